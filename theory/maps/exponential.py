r"""The sLSTM of xLSTM: exponential gates, a normaliser, and recurrent weights.

Main name: `SLSTM`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, final

import numpy as np
import numpy.typing as npt

from theory.arithmetic.activations import SIGMOID, SOFTPLUS, TANH
from theory.arithmetic.intervals import Interval
from theory.arithmetic.rounded import Rounded
from theory.arithmetic.rounding import ELEMENTARY_UNITS, UNIT
from theory.arithmetic.zonotopes import Zonotope
from theory.arithmetic.zonotopes import stacked as joined
from theory.domain import Domain
from theory.errors import as_matrix
from theory.inputs import Inputs
from theory.maps.base import read_only
from theory.maps.boxes import ends as boxes
from theory.maps.boxes.slstm import (
    Exponential,
    slstm_box,
    slstm_comparison,
    slstm_image,
    slstm_input_comparison,
    slstm_slopes,
)
from theory.maps.boxes.slstm_zonotope import slstm_carried
from theory.maps.gates import GatedMap, finite_terms, gate_rows, stacked
from theory.typing import Array

#: Forget gates: f = sigma(a) or f = exp(a).
FORGET = ("sigmoid", "exp")


@final
class SLSTM(GatedMap):
    r"""The sLSTM (Beck et al. 2024, "xLSTM", equations 8 to 18), in coordinates that stay bounded.

    .. math::
        i = e^{W_i h + U_i x + b_i},\quad f = \gamma(W_f h + U_f x + b_f),\quad
        z = \tanh(W_z h + U_z x + b_z),\quad o = \sigma(W_o h + U_o x + b_o),\\
        c^+ = f c + i z,\qquad \nu^+ = f \nu + i,\qquad h^+ = o\, c^+ / \nu^+

    What comes after depends on c and the normaliser through y = c / nu and nu alone, which is the
    state here, nu as s = log(1 + nu):

    .. math::
        y^+ = (1 - g) y + g z,\quad g = \frac{i}{f \nu + i},\qquad
        s^+ = \log(1 + f \nu + i),\qquad h^+ = o\, y^+

    so y is a mean of the candidates.  The state (y, s, h) = 0 is the published start, c = nu = 0.

    Parameters
    ----------
    W : (4 n, n) array
        Recurrent weights, the rows of i, f, z, o one after another; those of several heads are
        blocks on the diagonal of each (`theory.slstm` makes them).
    U : (4 n, m) array
        Input weights.
    b : (4 n,) array, optional
        Bias, zero by default.
    forget : str
        gamma: ``sigmoid``, as programs have it, or ``exp``.

    Raises
    ------
    ValueError
        If shapes do not fit (the message names the gate), a number is not finite, or the forget
        gate is unknown.

    Notes
    -----
    Programs carry (c, nu) e^{-m} with a running maximum m, the stabiliser: the same y and h, hence
    the same memory, for every m.  Here nothing overflows: all is computed from log(nu).
    Normalisers below 0 do not occur and are read as 0.

    Adding a number to all of b_i multiplies nu and changes no output.  Certificates do depend on
    it, since they measure differences of s: least entries of log(i) near 0 serve them well.

    Where exp(W_f h + ..) may reach 1, nothing need ever be forgotten; no invariant box is found.

    Examples
    --------
    >>> cell = SLSTM(np.zeros((4, 1)), [[0.0], [0.0], [1.0], [0.0]])
    >>> H = cell.simulate([[1.0], [0.0]])  # nu = 1, then 1.5
    >>> H.round(4).tolist()
    [[0.7616, 0.6931, 0.3808], [0.2539, 0.9163, 0.1269]]
    """

    GATES = ("i", "f", "z", "o")

    def __init__(
        self,
        W: npt.ArrayLike,
        U: npt.ArrayLike,
        b: npt.ArrayLike | None = None,
        forget: str = "sigmoid",
    ) -> None:
        n = as_matrix("W", W).shape[1]
        self._W = stacked("W", W, self.GATES, n, n)
        self._U = stacked("U", U, self.GATES, n, None)
        self._b = stacked("b", np.zeros(4 * n) if b is None else b, self.GATES, n, 0)
        if forget not in FORGET:
            raise ValueError(f"forget={forget!r}, needed one of: {', '.join(FORGET)}")
        self._forget = forget

    @property
    def units(self) -> int:
        """Return n, the number of units."""
        return int(self._W.shape[1])

    @property
    def state_dim(self) -> int:
        """Return 3 n: the state is (y, s, h)."""
        return 3 * self.units

    @property
    def input_dim(self) -> int:
        """Return m."""
        return int(self._U.shape[1])

    @property
    def forget(self) -> str:
        """Return ``sigmoid`` or ``exp``."""
        return self._forget

    @property
    def W(self) -> Array:
        """Return the recurrent weights, (4 n, n), read-only."""
        return self._W

    @property
    def U(self) -> Array:
        """Return the input weights, (4 n, m), read-only."""
        return self._U

    @property
    def b(self) -> Array:
        """Return the bias, (4 n,), read-only."""
        return self._b

    def gate(self, name: str) -> tuple[Array, Array, Array]:
        """Return W, U and b of one gate: i, f, z (the candidate) or o.

        Raises
        ------
        ValueError
            If there is no such gate.
        """
        rows = gate_rows(self.GATES, name, self.units)
        return self._W[rows], self._U[rows], self._b[rows]

    @property
    def parameters(self) -> Mapping[str, Array]:
        """Return W, U and b."""
        return read_only(W=self._W, U=self._U, b=self._b)

    def _rebuilt(self, parameters: Mapping[str, Any]) -> SLSTM:
        return SLSTM(**parameters, forget=self._forget)

    @property
    def output_map(self) -> Array:
        """Return [0 0 I], (n, 3 n): a head sees h only."""
        return np.eye(self.units, 3 * self.units, 2 * self.units)

    def _opened(self, h: Array, a: Array) -> tuple[Array, ...]:
        """Return a_i, a_z, a_o, P = log(f nu), and l = log(f nu + i), from all pre-activations."""
        i, f, z, o = np.split(a, 4, axis=-1)
        kept = -SOFTPLUS(-f) if self._forget == "sigmoid" else f
        s = np.maximum(h[..., self.units : 2 * self.units], 0.0)
        with np.errstate(divide="ignore"):
            P = kept + (s + np.log(-np.expm1(-s)))
        return i, z, o, P, np.maximum(P, i) + SOFTPLUS(-np.abs(P - i))

    def step(self, h: Array, x: Array) -> Array:
        """Return (y+, s+, h+) from the state `h`, which is (y, s, h)."""
        self._check_widths(h, x)
        return self._advance(h, x @ self._U.T + self._b)

    def _advance(self, h: Array, terms: Array) -> Array:
        n = self.units
        i, z, o, P, total = self._opened(h, h[..., 2 * n :] @ self._W.T + terms)
        y = SIGMOID(P - i) * h[..., :n] + SIGMOID(i - P) * TANH(z)
        return np.concatenate([y, SOFTPLUS(total), SIGMOID(o) * y], axis=-1)

    def _jacobian(self, h: Array, x: Array, V: Array, *, in_state: bool) -> Array:
        self._check_widths(h, x)
        n = self.units
        a = h[..., 2 * n :] @ self._W.T + x @ self._U.T + self._b
        i, z, o, P, total = self._opened(h, a)
        y, s = h[..., :n], np.maximum(h[..., n : 2 * n], 0.0)
        new, f = SOFTPLUS(total), np.split(a, 4, axis=-1)[1]
        log_f, fades = (-SOFTPLUS(-f), SIGMOID(-f)) if self._forget == "sigmoid" else (f, 1.0)
        g, rest = SIGMOID(i - P), SIGMOID(P - i)
        V_i, V_f, V_z, V_o = np.split(V, 4)
        moved = (TANH(z) - y) * g * rest
        dy = moved[..., None] * V_i - (moved * fades)[..., None] * V_f
        dy = dy + (g * TANH.derivative(z))[..., None] * V_z
        with np.errstate(over="ignore", under="ignore"):
            ds = np.exp(i - new)[..., None] * V_i + (np.exp(P - new) * fades)[..., None] * V_f
            # f (1 + nu) / nu+ and / (1 + nu+)
            seen = np.exp(log_f + s - total), np.exp(log_f + s - new)
        if in_state:
            eye, zero = np.eye(n), np.zeros((*dy.shape[:-1], n))
            counts = h[..., n : 2 * n] >= 0
            by_s = np.where(counts, (y - TANH(z)) * g * seen[0], 0.0)
            own = np.where(counts, seen[1], 0.0)
            dy = np.concatenate([rest[..., None] * eye, by_s[..., None] * eye, dy], axis=-1)
            ds = np.concatenate([zero, own[..., None] * eye, ds], axis=-1)
        dh = SIGMOID(o)[..., None] * dy
        mean = rest * y + g * TANH(z)
        dh[..., -V.shape[1] :] += (mean * SIGMOID.derivative(o))[..., None] * V_o
        return np.concatenate([dy, ds, dh], axis=-2)

    def jacobian_state(self, h: Array, x: Array) -> Array:
        """Return d(y+, s+, h+) / d(y, s, h), (..., 3 n, 3 n)."""
        return self._jacobian(h, x, self._W, in_state=True)

    def jacobian_input(self, h: Array, x: Array) -> Array:
        """Return d(y+, s+, h+) / dx, (..., 3 n, m)."""
        return self._jacobian(h, x, self._U, in_state=False)

    def input_terms(self, X: Array) -> Array:
        """Return U x + b for every input, (..., 4 n)."""
        return finite_terms(X @ self._U.T + self._b)

    def advance(self, h: Array, terms: Array, out: Array | None = None) -> Array:
        """Return ``step(h, x)`` from ``terms = input_terms(x)``."""
        result = self._advance(h, terms)
        if out is None:
            return result
        out[...] = result
        return out

    def rounded_step(self, h: Rounded, x: Rounded) -> Rounded:
        r"""Return size and rounding error of a step, propagated through the gates one by one.

        With d = log(i) - log(f nu), of which log(nu) = s + log(1 - e^{-s}) is unbounded below: its
        rounding errs by e_0 + kappa |d|, where kappa is a few units, and where |d| is large neither
        g = sigma(d) nor log(f nu + i) depends on it,

            sup |sigma'| |d| <= 2 sup t e^{-t/2} e^{e_0} <= 2 e,       e_0 <= 1, kappa <= 1/2.
        """
        n, unit, c = self.units, h.arithmetic.unit, h.arithmetic.units(ELEMENTARY_UNITS)
        y, s, hidden = (h.part(slice(k * n, (k + 1) * n)) for k in range(3))
        stacks = (np.split(one, 4) for one in (self._W, self._U, self._b))
        i, f, z, o = (hidden.affine(W, b, (U, x)) for W, U, b in zip(*stacks, strict=True))
        logit = f.through(*SOFTPLUS.facts) if self._forget == "sigmoid" else f
        grows = np.zeros(n) if self._forget == "sigmoid" else f.size
        with np.errstate(over="ignore", invalid="ignore"):
            # every logarithm but that of nu, and 1
            sizes = 2.0 * (1.0 + i.size + logit.size + s.size)
            kappa = 2.0 * (c + 4.0) * unit
            start = i.error + logit.error + kappa * sizes
            settled = (start <= 1.0) & (kappa <= 0.5)
            # nu off by what s is off by, and by what underflows
            off = s.error + 4.0 * c * h.arithmetic.tiny
            by_s = np.minimum(np.nan_to_num(np.exp(i.size + grows) * off, nan=math.inf), 1.0)
            wrong = np.where(settled, start / 4 + 6.0 * kappa, 1.0) + by_s
            wrong = np.minimum(wrong + 2.0 * c * (unit + h.arithmetic.tiny), 1.0 + 4.0 * c * unit)
            wrong = np.where(np.isfinite(start + s.error), wrong, math.inf)
            lost = i.error + 2.0 * (start + kappa * (sizes + 6.0)) + 3.0 * (c + 1.0) * unit * sizes
            lost = lost + np.exp(grows) * off
            lost = np.where(settled & (off < math.inf), lost, math.inf)
        slack = 1 + 64 * UNIT
        share = h.of(np.full(n, 1.0 + 4.0 * c * unit), wrong * slack)
        new = share * y + share * z.tanh()
        # |log(f nu + i)| is one of its parts', and log 2
        total = h.of(sizes * slack, lost * slack).through(*SOFTPLUS.facts)
        shown = o.logistic() * new
        parts = (new, total, shown)
        return h.of(*(np.concatenate([getattr(p, k) for p in parts]) for k in ("size", "error")))

    def rest_reach(self, inputs: Inputs) -> Array:
        """Bound |y|, s and |h| after one step from rest, entrywise."""
        low, high = inputs.ends(self.input_dim)
        zero = np.zeros(self.state_dim)
        least, most = self.image(Domain(low=zero, high=zero, input_low=low, input_high=high))
        return np.maximum(np.abs(least), np.abs(most))

    @property
    def _gates(self) -> Exponential:
        stack = boxes.Weights(self._W, self._U, self._b)
        return Exponential(stack=stack, forgets=self._forget == "sigmoid")

    def _ends(self, domain: Domain | None) -> boxes.Ends:
        return boxes.ends_of(domain, self.state_dim, self.input_dim)

    def image(self, domain: Domain) -> Interval:
        """Enclose (y+, s+, h+) over a box, gate by gate."""
        return slstm_image(self._gates, self._ends(domain))

    def carry(
        self,
        states: Zonotope,
        seen: Zonotope,
        before: Interval,
        after: Interval,
        ranges: Interval | None = None,
    ) -> Zonotope:
        """Enclose a step of (y, s, h)."""
        del ranges
        known, both = states.clipped(*before), joined(states, seen)
        return slstm_carried(self._gates, both, known, seen.hull(), after)

    def slope_range(self, domain: Domain) -> Interval:
        """Enclose d(y+, s+, h+) / d(y, s, h) over a box, gate by gate."""
        return slstm_slopes(self._gates, self._ends(domain), in_state=True)

    def input_slope_range(self, domain: Domain) -> Interval:
        """Enclose d(y+, s+, h+) / dx over a box, gate by gate."""
        return slstm_slopes(self._gates, self._ends(domain), in_state=False)

    def candidate_box(self, input_low: Array, input_high: Array) -> Interval | None:
        """Return the box of (y, s, h) that its own gates keep; None if a forget gate reaches 1."""
        return slstm_box(self._gates, (input_low, input_high))

    def comparison(self, domain: Domain | None = None) -> tuple[Array, ...] | None:
        """Return matrices, (3 n, 3 n), of the largest slopes on parts of the domain."""
        return slstm_comparison(self._gates, self._ends(domain))

    def input_comparison(self, domain: Domain | None = None) -> Array | None:
        """Return the matrix, (3 n, m), of the same bounds for the input."""
        return slstm_input_comparison(self._gates, self._ends(domain))

    def _run(self, X: Array, h0: Array) -> Array:
        from theory.kernels.simulate import run_slstm

        return run_slstm(self._W, self.input_terms, X, h0, forgets=self._forget == "sigmoid")

    def __repr__(self) -> str:
        return f"SLSTM(units={self.units}, m={self.input_dim}, forget={self._forget!r})"
