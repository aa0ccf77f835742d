r"""The gated recurrent unit, in both conventions of its reset gate.

Main name: `GRU`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import numpy.typing as npt

from theory.arithmetic.activations import SIGMOID, TANH
from theory.arithmetic.gates import sigmoid_up, tanh_up
from theory.arithmetic.intervals import Interval
from theory.arithmetic.rounded import Rounded
from theory.arithmetic.zonotopes import Zonotope
from theory.arithmetic.zonotopes import stacked as joined
from theory.domain import Domain
from theory.errors import as_matrix, as_vector
from theory.inputs import Inputs
from theory.maps.base import read_only
from theory.maps.boxes import ends as boxes
from theory.maps.boxes.gru import (
    gru_box,
    gru_comparison,
    gru_image,
    gru_input_comparison,
    gru_sectors,
    gru_terms,
)
from theory.maps.boxes.reached import Reach, gru_carried, gru_reach
from theory.maps.boxes.slopes import gru_slopes
from theory.maps.gates import GatedMap, finite_terms, gate_rows, stacked
from theory.theorems.sectors import Sectors
from theory.theorems.terms import Terms
from theory.typing import Array

#: The gates in the order of their rows: reset, update, candidate (PyTorch's order).
GATES = ("r", "z", "n")

VARIANTS = ("reset_after", "reset_before")


@final
class GRU(GatedMap):
    r"""The gated recurrent unit, h <- (1 - z) n + z h.

    .. math::
        r, z = \sigma(W_\bullet h + U_\bullet x + b_\bullet),\qquad
        n = \tanh(U_n x + b_n + r (W_n h + b_c))
        \quad\text{or}\quad n = \tanh(W_n (r h) + U_n x + b_n)

    Parameters
    ----------
    W : (3 n, n) array
        Recurrent weights, the rows of the gates r, z, n one after another (PyTorch's order).
    U : (3 n, m) array
        Input weights, likewise.
    b : (3 n,) array, optional
        Bias, zero by default.
    b_candidate : (n,) array, optional
        b_c, the recurrent bias of the candidate, which the reset gate multiplies; zero by default.
    variant : str
        ``reset_after`` (the first form of n: PyTorch, and Keras by default) or ``reset_before``
        (the second, as first published); it has no b_c.

    Raises
    ------
    ValueError
        If shapes do not fit (the message names the gate), a number is not finite, the variant is
        unknown, or it is ``reset_before`` with a b_c that is not zero.

    Examples
    --------
    >>> cell = GRU(W=np.zeros((3, 1)), U=[[0.0], [0.0], [1.0]])
    >>> cell.simulate([[1.0], [0.0]]).round(4).tolist()
    [[0.3808], [0.1904]]
    """

    def __init__(
        self,
        W: npt.ArrayLike,
        U: npt.ArrayLike,
        b: npt.ArrayLike | None = None,
        b_candidate: npt.ArrayLike | None = None,
        variant: str = "reset_after",
    ) -> None:
        if variant not in VARIANTS:
            raise ValueError(f"variant={variant!r}, needed one of: {', '.join(VARIANTS)}")
        n = as_matrix("W", W).shape[1]
        self._W = stacked("W", W, GATES, n, n)
        self._U = stacked("U", U, GATES, n, None)
        self._b = stacked("b", np.zeros(3 * n) if b is None else b, GATES, n, 0)
        self._b_candidate = as_vector(
            "b_candidate", np.zeros(n) if b_candidate is None else b_candidate, size=n
        )
        self._variant = variant
        if variant == "reset_before" and np.any(self._b_candidate):
            raise ValueError(
                "b_candidate is not zero, but the variant reset_before has no such bias; add it "
                "to the rows of gate n in b, or take variant='reset_after'"
            )

    @property
    def units(self) -> int:
        """Return n, the number of units."""
        return int(self._W.shape[1])

    @property
    def state_dim(self) -> int:
        """Return n."""
        return self.units

    @property
    def input_dim(self) -> int:
        """Return m."""
        return int(self._U.shape[1])

    @property
    def variant(self) -> str:
        """Return ``reset_after`` or ``reset_before``."""
        return self._variant

    @property
    def W(self) -> Array:
        """Return the recurrent weights, (3 n, n), read-only."""
        return self._W

    @property
    def U(self) -> Array:
        """Return the input weights, (3 n, m), read-only."""
        return self._U

    @property
    def b(self) -> Array:
        """Return the bias, (3 n,), read-only."""
        return self._b

    @property
    def b_candidate(self) -> Array:
        """Return b_c, the recurrent bias of the candidate, (n,), read-only."""
        return self._b_candidate

    def gate(self, name: str) -> tuple[Array, Array, Array]:
        """Return W, U and b of one gate: r (reset), z (update) or n (the candidate).

        Raises
        ------
        ValueError
            If there is no such gate.
        """
        rows = gate_rows(GATES, name, self.units)
        return self._W[rows], self._U[rows], self._b[rows]

    @property
    def parameters(self) -> Mapping[str, Array]:
        """Return W, U, b and b_candidate."""
        return read_only(W=self._W, U=self._U, b=self._b, b_candidate=self._b_candidate)

    def _rebuilt(self, parameters: Mapping[str, Any]) -> GRU:
        return GRU(**parameters, variant=self._variant)

    def step(self, h: Array, x: Array) -> Array:
        """Return (1 - z) n + z h."""
        self._check_widths(h, x)
        _, z, candidate, _ = self._parts(h, x @ self._U.T + self._b)
        update = SIGMOID(z)
        result: Array = (1.0 - update) * TANH(candidate) + update * h
        return result

    def input_terms(self, X: Array) -> Array:
        """Return U x + b for every input, (..., 3 n)."""
        terms: Array = X @ self._U.T
        terms += self._b
        return finite_terms(terms)

    def _parts(self, h: Array, terms: Array) -> tuple[Array, Array, Array, Array]:
        """Return the pre-activations of r, z and n, and what the reset gate multiplies."""
        n = self.units
        gates = h @ self._W[: 2 * n].T + terms[..., : 2 * n]
        r, z = gates[..., :n], gates[..., n:]
        if self._variant == "reset_after":
            reset = h @ self._W[2 * n :].T + self._b_candidate
            return r, z, terms[..., 2 * n :] + SIGMOID(r) * reset, reset
        return r, z, (SIGMOID(r) * h) @ self._W[2 * n :].T + terms[..., 2 * n :], h

    def advance(self, h: Array, terms: Array, out: Array | None = None) -> Array:
        """Return ``step(h, x)`` from ``terms = input_terms(x)``."""
        from theory.kernels.simulate import advance_gru

        after = self._variant == "reset_after"
        return advance_gru(self._W, self._b_candidate, h, terms, out, reset_after=after)

    def jacobian_state(self, h: Array, x: Array) -> Array:
        """Return dh+ / dh, (..., n, n)."""
        return self._jacobian(h, x, in_state=True)

    def jacobian_input(self, h: Array, x: Array) -> Array:
        """Return dh+ / dx, (..., n, m)."""
        return self._jacobian(h, x, in_state=False)

    def _jacobian(self, h: Array, x: Array, *, in_state: bool) -> Array:
        self._check_widths(h, x)
        r, z, candidate, reset = self._parts(h, x @ self._U.T + self._b)
        by_r, by_z, by_n = np.split(self._W if in_state else self._U, 3)
        gate, update = SIGMOID(r)[..., None], SIGMOID(z)[..., None]
        # d(r v) = r dv + v dr, where v = W_n h + b_c goes through the gate, or v = h
        through = (SIGMOID.derivative(r) * reset)[..., None] * by_r
        W_n = self._W[2 * self.units :]
        if self._variant == "reset_after":
            inner = through + (gate * by_n if in_state else by_n)
        elif in_state:
            inner = W_n @ (through + gate * np.eye(self.units))
        else:
            inner = W_n @ through + by_n
        # d((1 - z) n + z h) = (1 - z) dn + (h - n) dz + z dh
        slope = ((h - TANH(candidate)) * SIGMOID.derivative(z))[..., None]
        result: Array = (1.0 - update) * TANH.derivative(candidate)[..., None] * inner
        result = result + slope * by_z
        return result + update * np.eye(self.units) if in_state else result

    def rounded_step(self, h: Rounded, x: Rounded) -> Rounded:
        """Return size and rounding error of a step, propagated through the gates one by one."""
        (W_r, U_r, b_r), (W_z, U_z, b_z), (W_n, U_n, b_n) = (self.gate(name) for name in GATES)
        r = h.affine(W_r, b_r, (U_r, x)).logistic()
        z = h.affine(W_z, b_z, (U_z, x)).logistic()
        if self._variant == "reset_after":
            a = r * h.affine(W_n, self._b_candidate) + x.affine(U_n, b_n)
        else:
            a = (r * h).affine(W_n, b_n, (U_n, x))
        return z.complement() * a.tanh() + z * h

    def rest_reach(self, inputs: Inputs) -> Array:
        """Bound |h+| = (1 - z) |n| after one step from rest, entrywise."""
        r, z, n = np.split(inputs.image_upper(self._U), 3)
        b_r, b_z, b_n = np.split(self._b, 3)
        # 1 - z is the gate of the opposite pre-activation
        rest = sigmoid_up(np.nextafter(z - b_z, np.inf))
        reset = sigmoid_up(np.nextafter(r + b_r, np.inf)) * np.abs(self._b_candidate)
        a = np.nextafter(
            n + np.nextafter(np.abs(b_n) + np.nextafter(reset, np.inf), np.inf), np.inf
        )
        return np.nextafter(rest * tanh_up(a), np.inf)

    def _ends(self, domain: Domain | None) -> boxes.Ends:
        return boxes.ends_of(domain, self.state_dim, self.input_dim)

    @property
    def _gate_weights(self) -> boxes.Weights:
        return boxes.Weights(self._W, self._U, self._b)

    @property
    def _reset_after(self) -> bool:
        return self._variant == "reset_after"

    def image(self, domain: Domain) -> Interval:
        """Enclose (1 - z) n + z h over a box."""
        return gru_image(
            self._gate_weights,
            self._b_candidate,
            self._ends(domain),
            reset_after=self._reset_after,
        )

    def slope_range(self, domain: Domain) -> Interval:
        """Enclose dh+ / dh over a box."""
        return self._slope_range(domain, in_state=True)

    def input_slope_range(self, domain: Domain) -> Interval:
        """Enclose dh+ / dx over a box."""
        return self._slope_range(domain, in_state=False)

    def _slope_range(self, domain: Domain, *, in_state: bool) -> Interval:
        return gru_slopes(
            self._gate_weights,
            self._b_candidate,
            self._ends(domain),
            reset_after=self._reset_after,
            in_state=in_state,
        )

    def reach(self, states: Zonotope, inputs: Interval, box: Interval) -> Reach:
        """Enclose a step of h, with the arguments of r, z and n, and what r multiplies."""
        return gru_reach(
            self._gate_weights,
            self._b_candidate,
            states,
            inputs,
            box,
            reset_after=self._reset_after,
        )

    def carry(
        self,
        states: Zonotope,
        seen: Zonotope,
        before: Interval,
        after: Interval,
        ranges: Interval | None = None,
    ) -> Zonotope:
        """Enclose a step of h."""
        known, both = states.clipped(*before), joined(states, seen)
        del ranges
        parts = (both, known, seen.hull(), after)
        gates, constant = self._gate_weights, self._b_candidate
        return gru_carried(gates, constant, *parts, reset_after=self._reset_after).states

    def candidate_box(self, input_low: Array, input_high: Array) -> Interval | None:
        """Return a box that holds 0 and every candidate it gives."""
        return gru_box(
            self._gate_weights,
            self._b_candidate,
            (input_low, input_high),
            reset_after=self._reset_after,
        )

    def comparison(self, domain: Domain | None = None) -> tuple[Array, ...] | None:
        """Return two matrices, (n, n): at the least and at the largest update gates of the domain.

        Everywhere there are none unless the update gates do not depend on h.
        """
        return gru_comparison(
            self._gate_weights,
            self._b_candidate,
            self._ends(domain),
            reset_after=self._reset_after,
        )

    def terms(self, domain: Domain | None = None) -> Terms | None:
        """Return four terms a unit, of h and of W h in r, z and n, by the same bounds."""
        return gru_terms(
            self._gate_weights,
            self._b_candidate,
            self._ends(domain),
            reset_after=self._reset_after,
        )

    def sectors(self, domain: Domain | None = None) -> Sectors:
        """Return the sectors of a step: of h - n, of W h in z, and of what n is made of."""
        return gru_sectors(
            self._gate_weights,
            self._b_candidate,
            self._ends(domain),
            reset_after=self._reset_after,
        )

    def input_comparison(self, domain: Domain | None = None) -> Array | None:
        """Return the matrix, (n, m), of the same bounds for the input."""
        return gru_input_comparison(
            self._gate_weights,
            self._b_candidate,
            self._ends(domain),
            reset_after=self._reset_after,
        )

    def _run(self, X: Array, h0: Array) -> Array:
        from theory.kernels.simulate import run_gru

        after = self._variant == "reset_after"
        return run_gru(self._W, self._b_candidate, self.input_terms, X, h0, reset_after=after)

    def __repr__(self) -> str:
        return f"GRU(n={self.units}, m={self.input_dim}, variant={self._variant!r})"
