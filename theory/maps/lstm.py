r"""The long short-term memory cell.

Main name: `LSTM`.
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
from theory.errors import as_matrix
from theory.inputs import Inputs
from theory.maps.base import read_only
from theory.maps.boxes import ends as boxes
from theory.maps.boxes.lstm import (
    lstm_box,
    lstm_comparison,
    lstm_image,
    lstm_input_comparison,
    lstm_sectors,
    lstm_terms,
)
from theory.maps.boxes.reached import Reach, lstm_carried, lstm_reach
from theory.maps.boxes.slopes import lstm_slopes
from theory.maps.gates import GatedMap, finite_terms, gate_rows, stacked
from theory.theorems.sectors import Sectors
from theory.theorems.terms import Terms
from theory.typing import Array

#: The gates in the order of their rows: input, forget, candidate, output (PyTorch's order).
GATES = ("i", "f", "g", "o")


@final
class LSTM(GatedMap):
    r"""The long short-term memory cell; its state is (c, h), the cell state first.

    .. math::
        i, f, o = \sigma(W_\bullet h + U_\bullet x + b_\bullet),\quad
        g = \tanh(W_g h + U_g x + b_g),\quad
        c^+ = f c + i g,\quad h^+ = o \tanh(c^+)

    Parameters
    ----------
    W : (4 n, n) array
        Recurrent weights, the rows of the gates i, f, g, o one after another (PyTorch's order).
    U : (4 n, m) array
        Input weights, likewise.
    b : (4 n,) array, optional
        Bias, zero by default.

    Raises
    ------
    ValueError
        If shapes do not fit (the message names the gate) or a number is not finite.

    Examples
    --------
    >>> cell = LSTM(W=np.zeros((4, 1)), U=[[0.0], [0.0], [1.0], [0.0]])
    >>> cell.simulate([[1.0], [0.0]]).round(4).tolist()
    [[0.3808, 0.1817], [0.1904, 0.0941]]
    """

    def __init__(self, W: npt.ArrayLike, U: npt.ArrayLike, b: npt.ArrayLike | None = None) -> None:
        n = as_matrix("W", W).shape[1]
        self._W = stacked("W", W, GATES, n, n)
        self._U = stacked("U", U, GATES, n, None)
        self._b = stacked("b", np.zeros(4 * n) if b is None else b, GATES, n, 0)

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
        """Return W, U and b of one gate: i, f, g (the candidate) or o.

        Raises
        ------
        ValueError
            If there is no such gate.
        """
        rows = gate_rows(GATES, name, self.units)
        return self._W[rows], self._U[rows], self._b[rows]

    @property
    def parameters(self) -> Mapping[str, Array]:
        """Return W, U and b."""
        return read_only(W=self._W, U=self._U, b=self._b)

    def _rebuilt(self, parameters: Mapping[str, Any]) -> LSTM:
        return LSTM(**parameters)

    @property
    def output_map(self) -> Array:
        """Return [0 I], (n, 2 n): a head sees h only."""
        return np.eye(self.units, 2 * self.units, self.units)

    def _gates(self, h: Array, x: Array) -> tuple[Array, Array, Array, Array]:
        """Return the pre-activations of i, f, g, o."""
        self._check_widths(h, x)
        a = h[..., self.units :] @ self._W.T + x @ self._U.T + self._b
        i, f, g, o = np.split(a, 4, axis=-1)
        return i, f, g, o

    def step(self, h: Array, x: Array) -> Array:
        """Return (c+, h+) from the state `h`, which is (c, h)."""
        i, f, g, o = self._gates(h, x)
        c = SIGMOID(f) * h[..., : self.units] + SIGMOID(i) * TANH(g)
        return np.concatenate([c, SIGMOID(o) * TANH(c)], axis=-1)

    def _slopes(self, h: Array, x: Array) -> tuple[Array, ...]:
        """Return f, then dc+ by the pre-activations of i, f, g, then dh+ by that of o and by c+."""
        i, f, g, o = self._gates(h, x)
        c = h[..., : self.units]
        forget = SIGMOID(f)
        new = forget * c + SIGMOID(i) * TANH(g)
        return (
            forget,
            SIGMOID.derivative(i) * TANH(g),
            SIGMOID.derivative(f) * c,
            SIGMOID(i) * TANH.derivative(g),
            SIGMOID.derivative(o) * TANH(new),
            SIGMOID(o) * TANH.derivative(new),
        )

    def jacobian_state(self, h: Array, x: Array) -> Array:
        """Return d(c+, h+) / d(c, h), (..., 2 n, 2 n)."""
        forget, *slopes, by_o, by_c = self._slopes(h, x)
        *inner, W_o = np.split(self._W, 4)
        by_h = _combined(slopes, inner)
        dc = np.concatenate([forget[..., None] * np.eye(self.units), by_h], axis=-1)
        dh = by_c[..., None] * dc
        dh[..., self.units :] += by_o[..., None] * W_o
        return np.concatenate([dc, dh], axis=-2)

    def jacobian_input(self, h: Array, x: Array) -> Array:
        """Return d(c+, h+) / dx, (..., 2 n, m)."""
        _, *slopes, by_o, by_c = self._slopes(h, x)
        *inner, U_o = np.split(self._U, 4)
        dc = _combined(slopes, inner)
        return np.concatenate([dc, by_c[..., None] * dc + by_o[..., None] * U_o], axis=-2)

    def input_terms(self, X: Array) -> Array:
        """Return U x + b for every input, (..., 4 n)."""
        terms: Array = X @ self._U.T
        terms += self._b
        return finite_terms(terms)

    def advance(self, h: Array, terms: Array, out: Array | None = None) -> Array:
        """Return ``step(h, x)`` from ``terms = input_terms(x)``."""
        from theory.kernels.simulate import advance_lstm

        return advance_lstm(self._W, h, terms, out)

    def rounded_step(self, h: Rounded, x: Rounded) -> Rounded:
        """Return size and rounding error of a step, propagated through the gates one by one."""
        n = self.units
        cell, hidden = h.part(slice(n)), h.part(slice(n, None))
        i, f, g, o = (
            hidden.affine(W, b, (U, x)) for W, U, b in (self.gate(name) for name in GATES)
        )
        c = f.logistic() * cell + i.logistic() * g.tanh()
        y = o.logistic() * c.tanh()
        return h.of(np.append(c.size, y.size), np.append(c.error, y.error))

    def rest_reach(self, inputs: Inputs) -> Array:
        """Bound |c| = i |g| and |h| = o tanh |c| after one step from rest, entrywise."""
        reached = inputs.image_upper(self._U)
        i, _, _, o = np.split(sigmoid_up(np.nextafter(reached + self._b, np.inf)), 4)
        _, _, g, _ = np.split(tanh_up(np.nextafter(reached + np.abs(self._b), np.inf)), 4)
        c = np.nextafter(i * g, np.inf)
        return np.append(c, np.nextafter(o * tanh_up(c), np.inf))

    def _ends(self, domain: Domain | None) -> boxes.Ends:
        return boxes.ends_of(domain, self.state_dim, self.input_dim)

    @property
    def _gate_weights(self) -> boxes.Weights:
        return boxes.Weights(self._W, self._U, self._b)

    def image(self, domain: Domain) -> Interval:
        """Enclose (c+, h+) over a box, gate by gate."""
        return lstm_image(self._gate_weights, self._ends(domain))

    def slope_range(self, domain: Domain) -> Interval:
        """Enclose d(c+, h+) / d(c, h) over a box, gate by gate."""
        return lstm_slopes(self._gate_weights, self._ends(domain), in_state=True)

    def input_slope_range(self, domain: Domain) -> Interval:
        """Enclose d(c+, h+) / dx over a box, gate by gate."""
        return lstm_slopes(self._gate_weights, self._ends(domain), in_state=False)

    def reach(self, states: Zonotope, inputs: Interval, box: Interval) -> Reach:
        """Enclose a step of (c, h), with the arguments of the gates i, f, g and o."""
        return lstm_reach(self._gate_weights, states, inputs, box)

    def carry(
        self,
        states: Zonotope,
        seen: Zonotope,
        before: Interval,
        after: Interval,
        ranges: Interval | None = None,
    ) -> Zonotope:
        """Enclose a step of (c, h)."""
        del ranges
        known, both = states.clipped(*before), joined(states, seen)
        return lstm_carried(self._gate_weights, both, known, seen.hull(), after).states

    def candidate_box(self, input_low: Array, input_high: Array) -> Interval | None:
        """Return the box of (c, h) that its own gates keep; None if a forget gate reaches 1."""
        return lstm_box(self._gate_weights, (input_low, input_high))

    def comparison(self, domain: Domain | None = None) -> tuple[Array, ...] | None:
        """Return the matrix, (2 n, 2 n), of the bounds of gates and slopes on the domain.

        Everywhere there is none unless the forget gates do not depend on h.
        """
        return lstm_comparison(self._gate_weights, self._ends(domain))

    def terms(self, domain: Domain | None = None) -> Terms | None:
        """Return five terms a unit, of c and of W h in the gates i, f, g, o, by the same bounds."""
        return lstm_terms(self._gate_weights, self._ends(domain))

    def sectors(self, domain: Domain | None = None) -> Sectors:
        """Return six sectors a unit: of c, of W h in i, f, g and o, and of the new c in h."""
        return lstm_sectors(self._gate_weights, self._ends(domain))

    def input_comparison(self, domain: Domain | None = None) -> Array | None:
        """Return the matrix, (2 n, m), of the same bounds for the input."""
        return lstm_input_comparison(self._gate_weights, self._ends(domain))

    def _run(self, X: Array, h0: Array) -> Array:
        from theory.kernels.simulate import run_lstm

        return run_lstm(self._W, self.input_terms, X, h0)

    def __repr__(self) -> str:
        return f"LSTM(units={self.units}, m={self.input_dim})"


def _combined(slopes: list[Array], weights: list[Array]) -> Array:
    """Return sum_k diag(s_k) V_k, (..., n, m)."""
    i, f, g = (s[..., None] * V for s, V in zip(slopes, weights, strict=True))
    result: Array = i + f + g
    return result
