r"""Nearest rows under inequalities on weighted sums of absolute values, and bounds from below.

Main names: `RowLimits`, `nearest_rows`, `rows_lower`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from theory.arithmetic.rounding import gamma, up
from theory.arithmetic.sums import length_upper
from theory.kernels.blocks import locked
from theory.projections import oracle
from theory.projections.oracle import Solved
from theory.projections.repair import half_space_distance
from theory.typing import Array

#: Rows beyond 2 to this times the largest limit are scaled down to there first.
_FAR = 40

#: An array of integers.
Integers = npt.NDArray[np.int64]


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class RowLimits:
    """Inequalities sum_j factors[i, k, g(j)] v[k, j] |y_ij| <= limits[i, k] on the rows i."""

    starts: Integers  # first column of each group, and the number of columns, (G + 1,)
    factors: Array  # (m, K, G)
    v: Array  # (K, n)
    limits: Array  # (m, K); inf for none
    signed: Array  # (G,), 1 where y_ij stands without its modulus

    @property
    def groups(self) -> Integers:
        """Return the group of every column, (n,)."""
        return np.repeat(np.arange(len(self.signed)), np.diff(self.starts))


def nearest_rows(X: Array, where: RowLimits, *, start: Array | None = None) -> tuple[Array, Array]:
    r"""Return the nearest rows and the multipliers of the inequalities.

    `start` are multipliers near to these, as of the last step of a training: it is then faster.

    Members y are at most R long, and without signed entries t y is one for t in [0, 1].  So for far
    larger rows x the point nearest to t x is further from x than the nearest one by at most 2 R, as
    in `theory.projections.forms.scale_near`.
    """
    finite = np.isfinite(where.limits) & (where.limits > 0)
    bounded = np.any((where.factors != 0) & np.isfinite(where.limits)[:, :, None], axis=1)
    bounded = bounded[:, where.groups]
    sizes = np.max(np.where(bounded, np.abs(X), 0.0), axis=1, initial=0.0)
    most = np.max(np.where(finite, where.limits, 0.0), axis=1, initial=0.0)
    k = np.zeros(len(X), dtype=np.int64)
    if not np.any(where.signed):
        k = np.where(most > 0, np.frexp(sizes)[1] - np.frexp(most)[1] - _FAR, 0).clip(min=0)
    near = None if start is None else np.ldexp(start, -k[:, None])
    out, tau = _nearest(np.where(bounded, np.ldexp(X, -k[:, None]), X), where, near)
    return np.where(bounded, out, X), np.ldexp(tau, k[:, None])


def _nearest(X: Array, where: RowLimits, start: Array | None = None) -> tuple[Array, Array]:
    from theory.kernels.row_limits import row_limits_kernel

    out = np.empty_like(X)
    multipliers = np.zeros_like(where.limits) if start is None else start
    x, factors, v, limits = (
        locked(np.ascontiguousarray(one)) for one in (X, where.factors, where.v, where.limits)
    )
    starts, signed = locked(where.starts), locked(where.signed)
    row_limits_kernel(x, starts, factors, v, limits, signed, out, multipliers)
    return out, multipliers


def rows_lower(X: Array, Y: Array, where: RowLimits, multipliers: Array) -> float:
    r"""Return a proved lower bound of the distance of X from the rows that obey the inequalities.

    A normal N with |N_j| <= sum_k tau_k a_kj (equal, not only at most, where y_j is signed) has
    inner product at most sum_k tau_k limit_k with every member.  N is X - Y, cut to that.
    """
    m = len(X)
    finite = np.isfinite(where.limits)
    tau = np.where(finite, multipliers, 0.0)
    N = X - Y
    groups = where.groups
    # coefficients rounded down, so that the cut is safe
    t = np.zeros_like(X)
    for k in range(tau.shape[1]):
        t += (tau[:, k, None] * where.factors[:, k, :])[:, groups] * where.v[k][None, :]
    signed = where.signed[groups] != 0
    t *= np.where(signed, 1.0, 1.0 - 2 * gamma(tau.shape[1] + 4))
    N = np.where(signed[None, :], t, np.clip(N, -t, t))
    limits = np.where(finite, where.limits, 0.0)
    size = float(np.sum(np.abs(tau * limits)))
    support = float(np.sum(tau * limits)) + 2 * gamma(m * tau.shape[1] + 4) * size
    # a signed entry of N is a sum of products, rounded; it multiplies an entry of the member
    loose = 2 * gamma(tau.shape[1] + 4) * length_upper(np.where(signed[None, :], t, 0.0))
    reach = length_upper(X) + length_upper(X - Y)
    return half_space_distance(X, N, up(up(support) + up(loose * reach)))


def rows_distance(X: Array, where: RowLimits) -> float:
    """Return the distance of the nearest rows; nothing is proved."""
    return float(np.linalg.norm(X - nearest_rows(X, where)[0]))


def solve_rows(X: Array, where: RowLimits) -> Solved:
    """Return the nearest rows by a solver."""
    signed = where.signed[where.groups].astype(bool)
    return oracle.rows(X, where.factors, where.groups, where.v, where.limits, signed)
