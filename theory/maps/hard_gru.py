r"""The gated recurrent unit with gates that are piecewise linear.

Main name: `HardGRU`.
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
from theory.inputs import Inputs
from theory.maps.base import read_only, simulate_by_steps
from theory.maps.boxes import ends as boxes
from theory.maps.boxes.gru import (
    gru_box,
    gru_comparison,
    gru_image,
    gru_input_comparison,
    gru_sectors,
    gru_terms,
)
from theory.maps.boxes.slopes import gru_slopes
from theory.maps.gates import GatedMap, carried_by_slopes
from theory.maps.gru import GRU
from theory.theorems.sectors import Sectors
from theory.theorems.terms import Terms
from theory.typing import Array


@final
class HardGRU(GatedMap):
    r"""The GRU h <- (1 - z) n + z h with r, z = gamma(.), gamma a hard sigmoid.

    Parameters
    ----------
    W, U, b, b_candidate, variant
        As of a `GRU`.
    gates : str
        gamma: ``hard_sigmoid(0.2)`` (a / 5 + 1/2 within [0, 1]: Keras before version 3, ONNX by
        default), ``hard_sigmoid(1/6)`` (a / 6 + 1/2: Keras 3), or ``sigmoid``, with which it is a
        `GRU`.

    Raises
    ------
    ValueError
        As a `GRU` does, or if the gate is unknown.

    Examples
    --------
    >>> cell = HardGRU(W=np.zeros((3, 1)), U=[[0.0], [-1.0], [1.0]])
    >>> cell.simulate([[1.0], [0.0]]).round(4).tolist()  # z = 0.3, then 0.5
    [[0.5331], [0.2666]]
    """

    def __init__(
        self,
        W: npt.ArrayLike,
        U: npt.ArrayLike,
        b: npt.ArrayLike | None = None,
        b_candidate: npt.ArrayLike | None = None,
        variant: str = "reset_after",
        gates: str = "hard_sigmoid(0.2)",
    ) -> None:
        # the same arrays under the same conditions
        self._cell = GRU(W, U, b, b_candidate, variant)
        self._gate = gate_of(gates)

    @property
    def units(self) -> int:
        """Return n, the number of units."""
        return self._cell.units

    @property
    def state_dim(self) -> int:
        """Return n."""
        return self._cell.units

    @property
    def input_dim(self) -> int:
        """Return m."""
        return self._cell.input_dim

    @property
    def variant(self) -> str:
        """Return ``reset_after`` or ``reset_before``."""
        return self._cell.variant

    @property
    def gates(self) -> str:
        """Return the name of the function of the gates."""
        return self._gate.name

    @property
    def parameters(self) -> Mapping[str, Array]:
        """Return W, U, b and b_candidate."""
        return read_only(**self._cell.parameters)

    def _rebuilt(self, parameters: Mapping[str, Any]) -> HardGRU:
        return HardGRU(**parameters, variant=self.variant, gates=self.gates)

    def input_terms(self, X: Array) -> Array:
        """Return U x + b for every input, (..., 3 n)."""
        return self._cell.input_terms(X)

    @property
    def _after(self) -> bool:
        return self.variant == "reset_after"

    def _opened(self, h: Array, terms: Array) -> tuple[Array, Array, Array, Array]:
        """Return the pre-activations of r, z and n, and what the reset gate multiplies."""
        n, W = self.units, self._cell.W
        r, z = np.split(h @ W[: 2 * n].T + terms[..., : 2 * n], 2, axis=-1)
        if self._after:
            held = h @ W[2 * n :].T + self._cell.b_candidate
            return r, z, terms[..., 2 * n :] + self._gate(r) * held, held
        return r, z, (self._gate(r) * h) @ W[2 * n :].T + terms[..., 2 * n :], h

    def step(self, h: Array, x: Array) -> Array:
        """Return (1 - z) n + z h."""
        self._check_widths(h, x)
        return self.advance(h, x @ self._cell.U.T + self._cell.b)

    def advance(self, h: Array, terms: Array, out: Array | None = None) -> Array:
        """Return ``step(h, x)`` from ``terms = input_terms(x)``."""
        _, z, candidate, _ = self._opened(h, terms)
        z = self._gate(z)
        result: Array = (1.0 - z) * TANH(candidate) + z * h
        if out is None:
            return result
        out[...] = result
        return out

    def jacobian_state(self, h: Array, x: Array) -> Array:
        """Return dh+ / dh, (..., n, n)."""
        return self._jacobian(h, x, in_state=True)

    def jacobian_input(self, h: Array, x: Array) -> Array:
        """Return dh+ / dx, (..., n, m)."""
        return self._jacobian(h, x, in_state=False)

    def _jacobian(self, h: Array, x: Array, *, in_state: bool) -> Array:
        self._check_widths(h, x)
        r, z, candidate, held = self._opened(h, x @ self._cell.U.T + self._cell.b)
        by_r, by_z, by_n = np.split(self._cell.W if in_state else self._cell.U, 3)
        W_n = np.split(self._cell.W, 3)[2]
        gate, update = self._gate(r)[..., None], self._gate(z)[..., None]
        # d(r v) = r dv + v dr, as in `GRU`
        turned = (self._gate.derivative(r) * held)[..., None] * by_r
        if self._after:
            inner = turned + (gate * by_n if in_state else by_n)
        else:
            inner = W_n @ (turned + gate * np.eye(self.units) if in_state else turned)
            inner = inner if in_state else inner + by_n
        slope = ((h - TANH(candidate)) * self._gate.derivative(z))[..., None]
        result: Array = (1.0 - update) * TANH.derivative(candidate)[..., None] * inner
        result = result + slope * by_z
        return result + update * np.eye(self.units) if in_state else result

    def rounded_step(self, h: Rounded, x: Rounded) -> Rounded:
        """Return size and rounding error of a step, propagated through the gates one by one."""
        (W_r, U_r, b_r), (W_z, U_z, b_z), (W_n, U_n, b_n) = map(self._cell.gate, ("r", "z", "n"))
        r = self._gate.rounded(h.affine(W_r, b_r, (U_r, x)))
        z = self._gate.rounded(h.affine(W_z, b_z, (U_z, x)))
        if self._after:
            a = r * h.affine(W_n, self._cell.b_candidate) + x.affine(U_n, b_n)
        else:
            a = (r * h).affine(W_n, b_n, (U_n, x))
        return z.complement() * a.tanh() + z * h

    def rest_reach(self, inputs: Inputs) -> Array:
        """Bound |h+| after one step from rest, entrywise."""
        low, high = inputs.ends(self.input_dim)
        zero = np.zeros(self.state_dim)
        least, most = self.image(Domain(low=zero, high=zero, input_low=low, input_high=high))
        return np.maximum(np.abs(least), np.abs(most))

    def _of_box(self, domain: Domain | None) -> tuple[boxes.Weights, Array, boxes.Ends]:
        cell = self._cell
        box = boxes.ends_of(domain, self.state_dim, self.input_dim)
        return boxes.Weights(cell.W, cell.U, cell.b), cell.b_candidate, box

    def image(self, domain: Domain) -> Interval:
        """Enclose (1 - z) n + z h over a box."""
        return gru_image(*self._of_box(domain), reset_after=self._after, gate=self._gate)

    def slope_range(self, domain: Domain) -> Interval:
        """Enclose dh+ / dh over a box."""
        return self._slopes(domain, in_state=True)

    def input_slope_range(self, domain: Domain) -> Interval:
        """Enclose dh+ / dx over a box."""
        return self._slopes(domain, in_state=False)

    def _slopes(self, domain: Domain, *, in_state: bool) -> Interval:
        return gru_slopes(
            *self._of_box(domain), reset_after=self._after, in_state=in_state, gate=self._gate
        )

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
        """Return a box that holds 0 and every candidate it gives."""
        weights, b_candidate, _ = self._of_box(None)
        ends = input_low, input_high
        return gru_box(weights, b_candidate, ends, reset_after=self._after, gate=self._gate)

    def comparison(self, domain: Domain | None = None) -> tuple[Array, ...] | None:
        """Return two matrices, (n, n): at the least and at the largest update gates."""
        return gru_comparison(*self._of_box(domain), reset_after=self._after, gate=self._gate)

    def terms(self, domain: Domain | None = None) -> Terms | None:
        """Return four terms a unit, of h and of W h in r, z and n, by the same bounds."""
        return gru_terms(*self._of_box(domain), reset_after=self._after, gate=self._gate)

    def sectors(self, domain: Domain | None = None) -> Sectors:
        """Return the sectors of a step: of h - n, of W h in z, and of what n is made of."""
        return gru_sectors(*self._of_box(domain), reset_after=self._after, gate=self._gate)

    def input_comparison(self, domain: Domain | None = None) -> Array | None:
        """Return the matrix, (n, m), of the same bounds for the input."""
        return gru_input_comparison(*self._of_box(domain), reset_after=self._after, gate=self._gate)

    def _run(self, X: Array, h0: Array) -> Array:
        return simulate_by_steps(self, X, h0)

    def __repr__(self) -> str:
        return (
            f"HardGRU(n={self.units}, m={self.input_dim}, variant={self.variant!r}, "
            f"gates={self.gates!r})"
        )
