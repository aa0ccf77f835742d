r"""The long short-term memory cell with peepholes, and with gates that are piecewise linear.

Main name: `PeepholeLSTM`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import numpy.typing as npt

from theory.arithmetic.activations import TANH
from theory.arithmetic.hard import gate_of
from theory.arithmetic.intervals import Interval
from theory.arithmetic.rounded import Rounded
from theory.arithmetic.zonotopes import Zonotope
from theory.domain import Domain
from theory.errors import as_matrix
from theory.inputs import Inputs
from theory.maps.base import read_only, simulate_by_steps
from theory.maps.boxes import ends as boxes
from theory.maps.boxes.peephole import (
    Peepholes,
    peephole_box,
    peephole_comparison,
    peephole_image,
    peephole_input_comparison,
    peephole_slopes,
)
from theory.maps.gates import GatedMap, carried_by_slopes, finite_terms, stacked
from theory.maps.lstm import GATES
from theory.typing import Array

#: The gates that see c: input and forget the one before, output the new one.
SEEING = ("i", "f", "o")


@final
class PeepholeLSTM(GatedMap):
    r"""The LSTM whose gates may see the cell state, and may be piecewise linear.

    .. math::
        i, f = \gamma(W_\bullet h + U_\bullet x + b_\bullet + p_\bullet c),\quad
        g = \tanh(W_g h + U_g x + b_g),\quad c^+ = f c + i g,\\
        o = \gamma(W_o h + U_o x + b_o + p_o c^+),\quad h^+ = o \tanh(c^+)

    Its state is (c, h), as that of an `LSTM`, which it is with sigmoids and without peepholes.

    Parameters
    ----------
    W, U, b
        As of an `LSTM`.
    peepholes : (3 n,) array, optional
        p of the gates i, f, o, one after another; zero by default.
    gates : str
        gamma: ``sigmoid``, ``hard_sigmoid(1/6)`` (a / 6 + 1/2 within [0, 1]: PyTorch, Keras 3) or
        ``hard_sigmoid(0.2)`` (a / 5 + 1/2: Keras before, ONNX by default).

    Raises
    ------
    ValueError
        If shapes do not fit (the message names the gate), a number is not finite, or the gate is
        unknown.

    Examples
    --------
    >>> cell = PeepholeLSTM(np.zeros((4, 1)), np.ones((4, 1)), gates="hard_sigmoid(0.2)")
    >>> cell.simulate([[0.0], [1.0]]).round(4).tolist()
    [[0.0, 0.0], [0.5331, 0.3414]]
    """

    def __init__(
        self,
        W: npt.ArrayLike,
        U: npt.ArrayLike,
        b: npt.ArrayLike | None = None,
        peepholes: npt.ArrayLike | None = None,
        gates: str = "sigmoid",
    ) -> None:
        n = as_matrix("W", W).shape[1]
        self._W = stacked("W", W, GATES, n, n)
        self._U = stacked("U", U, GATES, n, None)
        self._b = stacked("b", np.zeros(4 * n) if b is None else b, GATES, n, 0)
        given = np.zeros(3 * n) if peepholes is None else peepholes
        self._peepholes = stacked("peepholes", given, SEEING, n, 0)
        self._gate = gate_of(gates)

    @property
    def units(self) -> int:
        """Return n, the number of units."""
        return int(self._W.shape[1])

    @property
    def state_dim(self) -> int:
        """Return 2 n: the state is (c, h)."""
        return 2 * self.units

    @property
    def input_dim(self) -> int:
        """Return m."""
        return int(self._U.shape[1])

    @property
    def gates(self) -> str:
        """Return the name of the function of the gates."""
        return self._gate.name

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

    @property
    def peepholes(self) -> Array:
        """Return what the gates i, f, o see of c, (3 n,), read-only."""
        return self._peepholes

    @property
    def parameters(self) -> Mapping[str, Array]:
        """Return W, U, b and peepholes."""
        return read_only(W=self._W, U=self._U, b=self._b, peepholes=self._peepholes)

    def _rebuilt(self, parameters: Mapping[str, Any]) -> PeepholeLSTM:
        return PeepholeLSTM(**parameters, gates=self.gates)

    @property
    def output_map(self) -> Array:
        """Return [0 I], (n, 2 n): a head sees h only."""
        return np.eye(self.units, 2 * self.units, self.units)

    def step(self, h: Array, x: Array) -> Array:
        """Return (c+, h+) from the state `h`, which is (c, h)."""
        self._check_widths(h, x)
        return self._advance(h, x @ self._U.T + self._b)

    def _opened(self, h: Array, terms: Array) -> tuple[Array, ...]:
        """Return c, the pre-activations of i, f, g, o, and c+."""
        n = self.units
        c = h[..., :n]
        i, f, g, o = np.split(h[..., n:] @ self._W.T + terms, 4, axis=-1)
        p_i, p_f, p_o = np.split(self._peepholes, 3)
        i, f = i + p_i * c, f + p_f * c
        new = self._gate(f) * c + self._gate(i) * TANH(g)
        return c, i, f, g, o + p_o * new, new

    def _advance(self, h: Array, terms: Array) -> Array:
        *_, o, new = self._opened(h, terms)
        return np.concatenate([new, self._gate(o) * TANH(new)], axis=-1)

    def _jacobian(self, h: Array, x: Array, V: Array, *, in_state: bool) -> Array:
        self._check_widths(h, x)
        c, i, f, g, o, new = self._opened(h, x @ self._U.T + self._b)
        p_i, p_f, p_o = np.split(self._peepholes, 3)
        V_i, V_f, V_g, V_o = np.split(V, 4)
        by_i, by_f = self._gate.derivative(i) * TANH(g), self._gate.derivative(f) * c
        by_g, by_o = self._gate(i) * TANH.derivative(g), self._gate.derivative(o) * TANH(new)
        dc = by_i[..., None] * V_i + by_f[..., None] * V_f + by_g[..., None] * V_g
        if in_state:
            own = self._gate(f) + by_i * p_i + by_f * p_f
            dc = np.concatenate([own[..., None] * np.eye(self.units), dc], axis=-1)
        dh = (self._gate(o) * TANH.derivative(new) + by_o * p_o)[..., None] * dc
        dh[..., -V.shape[1] :] += by_o[..., None] * V_o
        return np.concatenate([dc, dh], axis=-2)

    def jacobian_state(self, h: Array, x: Array) -> Array:
        """Return d(c+, h+) / d(c, h), (..., 2 n, 2 n)."""
        return self._jacobian(h, x, self._W, in_state=True)

    def jacobian_input(self, h: Array, x: Array) -> Array:
        """Return d(c+, h+) / dx, (..., 2 n, m)."""
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
        """Return size and rounding error of a step, propagated through the gates one by one."""
        n = self.units
        c, hidden = h.part(slice(n)), h.part(slice(n, None))
        p_i, p_f, p_o = (h.stored(p) for p in np.split(self._peepholes, 3))
        stacks = (np.split(one, 4) for one in (self._W, self._U, self._b))
        i, f, g, o = (hidden.affine(W, b, (U, x)) for W, U, b in zip(*stacks, strict=True))
        gated = self._gate.rounded
        new = gated(f + p_f * c) * c + gated(i + p_i * c) * g.tanh()
        y = gated(o + p_o * new) * new.tanh()
        return h.of(np.append(new.size, y.size), np.append(new.error, y.error))

    def rest_reach(self, inputs: Inputs) -> Array:
        """Bound |c| and |h| after one step from rest, entrywise."""
        low, high = inputs.ends(self.input_dim)
        zero = np.zeros(self.state_dim)
        least, most = self.image(Domain(low=zero, high=zero, input_low=low, input_high=high))
        return np.maximum(np.abs(least), np.abs(most))

    @property
    def _weights(self) -> Peepholes:
        p_i, p_f, p_o = np.split(self._peepholes, 3)
        return Peepholes(
            stack=boxes.Weights(self._W, self._U, self._b), p=(p_i, p_f, p_o), gate=self._gate
        )

    def _ends(self, domain: Domain | None) -> boxes.Ends:
        return boxes.ends_of(domain, self.state_dim, self.input_dim)

    def image(self, domain: Domain) -> Interval:
        """Enclose (c+, h+) over a box, gate by gate."""
        return peephole_image(self._weights, self._ends(domain))

    def slope_range(self, domain: Domain) -> Interval:
        """Enclose d(c+, h+) / d(c, h) over a box, gate by gate."""
        return peephole_slopes(self._weights, self._ends(domain), in_state=True)

    def input_slope_range(self, domain: Domain) -> Interval:
        """Enclose d(c+, h+) / dx over a box, gate by gate."""
        return peephole_slopes(self._weights, self._ends(domain), in_state=False)

    def carry(
        self,
        states: Zonotope,
        seen: Zonotope,
        before: Interval,
        after: Interval,
        ranges: Interval | None = None,
    ) -> Zonotope | None:
        """Enclose a step by its slopes."""
        del ranges
        return carried_by_slopes(self, states, seen, before, after)

    def candidate_box(self, input_low: Array, input_high: Array) -> Interval | None:
        """Return the box of (c, h) that its own gates keep; None if a forget gate reaches 1."""
        return peephole_box(self._weights, (input_low, input_high))

    def comparison(self, domain: Domain | None = None) -> tuple[Array, ...] | None:
        """Return the matrix, (2 n, 2 n), of the bounds of gates and slopes on the domain."""
        return peephole_comparison(self._weights, self._ends(domain))

    def input_comparison(self, domain: Domain | None = None) -> Array | None:
        """Return the matrix, (2 n, m), of the same bounds for the input."""
        return peephole_input_comparison(self._weights, self._ends(domain))

    def _run(self, X: Array, h0: Array) -> Array:
        return simulate_by_steps(self, X, h0)

    def __repr__(self) -> str:
        return f"PeepholeLSTM(units={self.units}, m={self.input_dim}, gates={self.gates!r})"
