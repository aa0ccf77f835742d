r"""Bounds of gates over a box of states and inputs, derived once.

Main names: `GateBounds`, `sigmoid_up`, `sigmoid_down`, `tanh_up`.

A gate is sigma or tanh of a = W h + U x + b.  Its bounds are needed by theorems, which know no map,
by criteria, sets and constants; so they stand left of all of these and know arrays only.

For |h_i| <= s_i and |x_i| <= B_i, with sums of absolute values of the rows,

    |W h|_j <= sum_i |W_ji| s_i = rows_j,     |U x|_j <= sum_i |U_ji| B_i = driven_j,
    a_j   <= rows_j + driven_j + b_j   = top_j,
    |a_j| <= rows_j + driven_j + |b_j| = reach_j,

and sigma and tanh increase, tanh is odd and 1 - sigma(a) = sigma(-a):

    sigma(a_j) <= sigma(top_j),   1 - sigma(a_j) >= sigma(-top_j),   |tanh a_j| <= tanh(reach_j).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np

from theory.arithmetic.activations import SIGMOID, TANH
from theory.arithmetic.intervals import activation_image, activation_upper, plus_up, times_up
from theory.arithmetic.rigor import row_sum_upper
from theory.arithmetic.rounding import product_up, up
from theory.arithmetic.sums import sums_up
from theory.typing import Array


def sigmoid_up(a: Any) -> Array:
    """Return upper bounds of the logistic function at arguments of at most a."""
    return activation_upper(SIGMOID, np.asarray(a, dtype=np.float64))


def sigmoid_down(a: Any) -> Array:
    """Return lower bounds of the logistic function at arguments of at least a."""
    at = np.asarray(a, dtype=np.float64)
    return activation_image(SIGMOID, at, at)[0]


def tanh_up(a: Any) -> Array:
    """Return upper bounds of tanh at arguments of at most a."""
    return activation_upper(TANH, np.asarray(a, dtype=np.float64))


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class GateBounds:
    """The weights of one gate, and what follows for it, every number rounded upward.

    `largest_row` and `largest_reach` are sums rounded once, the arrays a few roundings above.
    """

    W: Array  # W, (p, n)
    U: Array  # U, (p, m)
    b: Array  # b, (p,)
    state: Array  # s, (n,)
    inputs: Array  # B, (m,)

    @classmethod
    def of(cls, W: Array, U: Array, b: Array, *, state: Any = 1.0, inputs: Any) -> GateBounds:
        """Return the bounds of a gate; one number as a bound of all entries alike."""
        return cls(
            W=W,
            U=U,
            b=b,
            state=np.broadcast_to(np.asarray(state, dtype=np.float64), W.shape[1:]),
            inputs=np.broadcast_to(np.asarray(inputs, dtype=np.float64), U.shape[1:]),
        )

    def weighted(self, v: Array) -> Array:
        """Return the row sums of |W| v: what the gate's argument moves by for |dh_i| <= v_i."""
        return sums_up(self.W, v)

    @cached_property
    def rows(self) -> Array:
        """Return sum_i |W_ji| s_i, (p,)."""
        return sums_up(self.W, _weights(self.state))

    @cached_property
    def driven(self) -> Array:
        """Return sum_i |U_ji| B_i, (p,)."""
        return sums_up(self.U, _weights(self.inputs))

    @cached_property
    def top(self) -> Array:
        """Return the bound of a_j, (p,)."""
        return np.asarray(np.nextafter(plus_up(self.rows, self.driven) + self.b, np.inf))

    @cached_property
    def reach(self) -> Array:
        """Return the bound of |a_j|, (p,)."""
        return plus_up(self.rows, self.driven, np.abs(self.b))

    @property
    def sigmoid(self) -> Array:
        """Return the bound of sigma(a_j), (p,)."""
        return sigmoid_up(self.top)

    @property
    def tanh(self) -> Array:
        """Return the bound of |tanh a_j|, (p,)."""
        return tanh_up(self.reach)

    @cached_property
    def largest_row(self) -> float:
        """Return max_j sum_i |W_ji|, the norm of W induced by the maximum norm."""
        return row_sum_upper(self.W)

    @cached_property
    def largest_reach(self) -> float:
        """Return the bound of |a_j| for all j."""
        parts = (_scaled(self.W, self.state), _scaled(self.U, self.inputs), self.b[:, None])
        return row_sum_upper(np.hstack(parts))

    @property
    def separate_reach(self) -> float:
        """Return the bound of |a_j| from the norms of W, U and b one by one, as is published.

        Never below `largest_reach` but for rounding; for states of at most 1.
        """
        B = float(np.max(self.inputs, initial=0.0))
        driven = product_up(row_sum_upper(self.U), B)
        return up(up(self.largest_row + driven) + float(np.max(np.abs(self.b), initial=0.0)))


def _weights(v: Array) -> Array | None:
    """Return the weights of a row sum, None for ones."""
    return None if bool(np.all(v == 1.0)) else v


def _scaled(A: Array, v: Array) -> Array:
    """Return |A| diag(v), rounded upward; exact where v is 1."""
    return np.where(v == 1.0, np.abs(A), times_up(np.abs(A), v))
