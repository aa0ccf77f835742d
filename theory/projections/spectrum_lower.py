"""Proved lower bounds of the distance from the matrices with all eigenvalues in a disk.

Main names: `schur_lower`, `trace_lower`, `determinant_lower`, `principal_lower`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from theory.arithmetic.rounding import (
    ELEMENTARY_UNITS,
    UNIT,
    down,
    gamma,
    ldexp_down,
    ldexp_up,
    lower_after,
    scaled_to_one,
    sum_up,
    up,
    upper_after,
)
from theory.arithmetic.sums import length_upper
from theory.projections.stable_pairs import LEAST_RADIUS
from theory.typing import Array

#: Which of several matrices.
Mask = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]

#: The multiplier of `pair_distances_lower` lies between -1 and 1; both differences are no smaller.
_LEAST_ROOM = 2.0**-200

#: More than a few eta divided by `_LEAST_ROOM`.
_LOST = 2.0**-800

#: Smaller singular values, as parts of the largest or as such, are no help to `determinant_lower`;
#: above the second their squares do not underflow.
_LEAST_PART, _LEAST_VALUE = 2.0**-40, 2.0**-500

#: Halvings of the logarithm of their quotient, from 400 octaves to the last digit of a double.
_HALVINGS = 62


def trace_lower(A: Array, radius: float) -> float:
    r"""Return a lower bound of the distance of A from the matrices with |eigenvalues| <= radius.

    |tr X| <= n r for a member X, and |tr A - tr X| = |<I, A - X>| <= sqrt(n) |A - X|.
    """
    n = len(A)
    entries = np.diag(A).tolist()
    trace = abs(math.fsum(entries))
    excess = down(down(trace) - up(n * radius))
    return max(0.0, down(excess / up(math.sqrt(n)))) if excess > 0 else 0.0


def determinant_lower(A: Array, radius: float) -> float:
    r"""Return a lower bound of the distance of A from the matrices with |eigenvalues| <= radius.

    |det X| <= r^n for a member X, and its singular values are those of A minus d_i with
    |d| <= |A - X| (Mirsky).  For |d| < s_n, the least one, log(1 - x) is above its chord, and

        sum log((s_i - d_i) / s_i) >= log(1 - |d| / s_n) sum d_i s_n / (|d| s_i)
                                   >= log(1 - |d| / s_n) s_n |1 / s|.

    With computed U, s, V and F = A - U diag(s) V^T, the singular values of A are at least
    (1 - |U^T U - I|) (1 - |V^T V - I|) s_i - |F|.
    """
    n = len(A)
    if not np.any(A):
        return 0.0
    U, s, Vt = np.linalg.svd(A)
    lengths = length_upper(U), length_upper(Vt)
    off = [
        length_upper(M @ M.T - np.eye(n)) + 2 * gamma(n + 4) * (1 + length * length)
        for M, length in zip((U.T, Vt), lengths, strict=True)
    ]
    top = float(s[0])
    error = length_upper(A - (U * s) @ Vt)
    error += 2 * gamma(n + 4) * (top * lengths[0] * lengths[1] + length_upper(A))
    if not max(off) < 0.5:
        return 0.0
    # two differences and two products; the difference of all rounds by u of itself, which the
    # products of `lower_after` have in hand, as it is the smaller number
    low = lower_after(s * ((1 - off[0]) * (1 - off[1])), 4 + 1) - upper_after(error, 2)
    least = float(low[-1])
    if not (least > _LEAST_PART * top and least > _LEAST_VALUE):
        return 0.0
    logs, level = np.log(low), math.log(radius)
    error = 2 * gamma(n + 2 * ELEMENTARY_UNITS) * (float(np.sum(np.abs(logs))) + n * abs(level))
    room = float(np.sum(logs)) - n * level - error
    if not room > 0:
        return 0.0
    spread = math.sqrt(float(np.sum(np.square(least / low)))) * (1 + 2 * gamma(n + 4))
    # s_n (1 - exp(-room / spread)), which the elementary function and a product round
    share = -math.expm1(-float(lower_after(room / spread, 1)))
    return float(lower_after(share * least, ELEMENTARY_UNITS + 1))


def pair_distances_lower(M: Array, radius: float) -> Array:
    r"""Return lower bounds, (k,), of the distances of M, (k, 2, 2), from the stable matrices.

    Stable is |eigenvalues| <= r = radius, at least `LEAST_RADIUS` beside entries of at most 1.
    With p = |a + d| / 2, q = (c - b) / 2 and s = |((a - d) / 2, (b + c) / 2)| for ((a, b), (c, d)),
    a squared distance is twice that of x = (p, q, s), and a member x' is where

        p'^2 + q'^2 - s'^2 <= r^2,   s'^2 - q'^2 <= (r - p')^2,   s'^2 - q'^2 <= (r + p')^2.

    Weak duality: for multipliers k, l, l' >= 0 of the three, with m = k - l - l' and w = l - l',

        |x' - x|^2 >= p^2 + q^2 + s^2 - ((p - w r)^2 + q^2) / (1 + m) - s^2 / (1 - m)
                      - (k + l + l') r^2,                                       -1 < m < 1,

    the minimum over x' of the Lagrangian, in which p'^2 and q'^2 have the factor 1 + m, s'^2 the
    factor 1 - m.  For given m and w the least sum k + l + l' is max(m + 2 |w|, -m); the best w then
    leaves

        f(m) = base + m ((q^2 + h^2) / (1 + m) - s^2 / (1 - m) - e r^2),   where

        0 <= m, p <= (1 + m) r     w = 0              base = 0          h = p      e = 1,
        r <= p, (1 + m) r <= p     w = p / r - 1 - m  base = (p - r)^2  h = 0      e = 0,
        m <= 0, -m r <= p <= r     w = -m             base = 0          h = p - r  e = 0,
        m <= 0, p <= -m r          w = p / r          base = p^2        h = 0      e = -1.

    Duality is strong.  f is concave, as a partial maximum, and falls without bound towards -1 if
    q != 0 and towards 1 if s != 0; where it is largest in between, derivatives in the multipliers
    vanish or point outwards, which says that the minimum of the Lagrangian is a member and that the
    bound is its distance.  For q = 0 or s = 0 both sides are limits of those for small q and s.

    So what is proved is attained up to rounding, and no nearest point is needed for it.
    """
    bounds = np.zeros(len(M))
    a, b, c, d = (M[:, i, j] for i in range(2) for j in range(2))
    # q and r are doubled, s is the square of the doubled one; p - r, doubled, errs by less than 2 u
    # of the sum of its terms
    sign = np.where(a + d < 0, -1.0, 1.0)
    r = 2.0 * radius
    pairs = _Pairs(
        p=np.abs(a + d),
        q=c - b,
        s=np.square(a - d) + np.square(b + c),
        beyond=(sign * a - r) + sign * d,
        error=4.0 * UNIT * (np.abs(a) + np.abs(d) + r),
        r=r,
    )
    left = pairs.may_be_unstable()
    if not left.any():
        return bounds
    pairs = pairs.of(left)
    low = np.full(len(pairs.p), math.log2(_LEAST_ROOM))
    high = -low
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        rises = pairs.slope(np.exp2(middle)) > 0
        low, high = np.where(rises, middle, low), np.where(rises, high, middle)
    best = np.fmax(pairs.lower(np.exp2(low)), pairs.lower(np.exp2(high)))
    # of doubled numbers: a quarter, and twice that
    bounds[left] = lower_after(np.sqrt(0.5 * np.fmax(best, 0.0)), 1)
    return bounds


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Pairs:
    """Matrices of order 2 as in `pair_distances_lower`, in doubled coordinates."""

    p: Array  # |p|, (k,)
    q: Array  # q, (k,)
    s: Array  # s^2, (k,)
    beyond: Array  # p - r, (k,)
    error: Array  # bound of the error of p - r, (k,)
    r: float

    def of(self, which: Mask) -> _Pairs:
        """Return some of them."""
        arrays = (self.p, self.q, self.s, self.beyond, self.error)
        p, q, s, beyond, error = (array[which] for array in arrays)
        return _Pairs(p=p, q=q, s=s, beyond=beyond, error=error, r=self.r)

    def may_be_unstable(self) -> Mask:
        """Return where an inequality does not hold, as far as computed."""
        p, q, s = np.square(self.p), np.square(self.q), self.s
        cone = s - q > np.square(self.beyond)
        unstable: Mask = (p + q - s > self.r * self.r) | cone | (self.beyond > 0)
        return unstable

    def _case(self, m: Array) -> tuple[Array, Array, Array, Array]:
        """Return base, h, e and the error of base or h^2 by the table above.

        The first and the third line hold for every p; the second and fourth are taken where p, a
        sum rounded once, and the border, a product rounded five times, leave no doubt.
        """
        far = self.p > self.r * np.maximum(1.0 + m, 1.0) * (1 + 8 * UNIT)
        near = self.p < -m * self.r * (1 - 8 * UNIT)
        plain = np.logical_not(far | near)
        down = m >= 0
        base = np.where(far, np.square(self.beyond), np.where(near, np.square(self.p), 0.0))
        h = np.where(plain, np.where(down, self.p, self.beyond), 0.0)
        e = np.where(near, -1.0, np.where(plain & down, 1.0, 0.0))
        doubt = (2.0 * np.abs(self.beyond) + self.error) * self.error
        return base, h, e, np.where(far | (plain & ~down), doubt, 0.0)

    def slope(self, quotient: Array) -> Array:
        """Return f'(m) for (1 + m) / (1 - m) = quotient."""
        plus, minus, m = _around(quotient)
        _, h, e, _ = self._case(m)
        top = (np.square(self.q) + np.square(h)) / np.square(plus)
        slope: Array = top - self.s / np.square(minus) - e * (self.r * self.r)
        return slope

    def lower(self, quotient: Array) -> Array:
        r"""Return f(m) for (1 + m) / (1 - m) = quotient, rounded down.

        1 + m and 1 - m err by 2 u and m by 3 u, sums like p and q by u and their squares by 3 u, so
        no term errs by more than 7 u; differences and the product with m add 7 u of the sum of all
        terms, of which 32 u are taken off.  An underflow is divided by at least `_LEAST_ROOM`, and
        `_LOST` is more than what is left of a few of them.
        """
        plus, minus, m = _around(quotient)
        base, h, e, doubt = self._case(m)
        top = (np.square(self.q) + np.square(h)) / plus
        bottom, square = self.s / minus, e * (self.r * self.r)
        value = base + m * (top - bottom - square)
        size = base + np.abs(m) * (top + bottom + np.abs(square))
        share = np.where(h != 0, np.abs(m) / plus, 1.0)
        taken = 32 * UNIT * size + share * doubt + _LOST
        lower: Array = value - taken * (1 + 16 * UNIT)
        return lower


def _around(quotient: Array) -> tuple[Array, Array, Array]:
    """Return 1 + m, 1 - m and m for (1 + m) / (1 - m) = quotient."""
    total = 1.0 + quotient
    return 2.0 * quotient / total, 2.0 / total, (quotient - 1.0) / total


def principal_lower(A: Array, radius: float) -> float:
    r"""Return a lower bound of the distance from matrices with stable principal submatrices.

    Those of orders 1 and 2: |x_ii| <= r, and `pair_distances_lower`.  Disjoint pairs of indices
    have disjoint entries, so squared distances add up; pairs are taken greedily.
    """
    A, e = scaled_to_one(A)
    # a larger radius gives a smaller bound, and squares of quotients stay in range
    radius = max(ldexp_up(radius, -e), LEAST_RADIUS)
    n = len(A)
    if not radius < n:  # the norm of A, and so every eigenvalue, is below n
        return 0.0
    alone = lower_after(np.maximum(np.abs(np.diag(A)) - radius, 0.0), 1)
    if n < 2:
        return ldexp_down(float(alone[0]), e)
    i, j = np.triu_indices(n, 1)
    blocks = np.stack([A[i, i], A[i, j], A[j, i], A[j, j]], axis=-1).reshape(-1, 2, 2)
    gains = np.square(pair_distances_lower(blocks, radius))
    # what a pair adds to its two entries on the diagonal
    gains -= np.square(alone[i]) + np.square(alone[j])
    free = np.ones(n, dtype=bool)
    total = float(np.sum(np.square(alone)))
    for k in np.argsort(-gains, kind="stable"):
        if gains[k] <= 0:
            break
        if free[i[k]] and free[j[k]]:
            free[i[k]] = free[j[k]] = False
            total += float(gains[k])
    # n squares and their sum; a gain errs by 4 u of a pair's square, which is above that of its two
    # entries alone, and up to n / 2 sums follow: (n + 4 + n / 2) u of the total, half of it and one
    # more of the root.  Nothing underflows: what is positive is at least 2**-427.
    return ldexp_down(float(lower_after(math.sqrt(total), n + 8)), e)


def schur_lower(A: Array, radius: float) -> float:
    r"""Return a proved lower bound of the distance from the stable matrices.

    The largest of `trace_lower`, `determinant_lower` and of what the second moment gives:
    |tr X^2| <= n r^2, and with X = A - E, |tr A^2 - tr X^2| <= 2 |A| |E| + |E|^2, so that
    |E| >= sqrt(|A|^2 + |tr A^2| - n r^2) - |A|.
    """
    n = len(A)
    A, e = scaled_to_one(A)
    # a larger radius gives a smaller bound, far above what was lost in scaling
    radius = max(ldexp_up(radius, -e), LEAST_RADIUS)
    if not radius < n:
        return 0.0
    simple = max(trace_lower(A, radius), determinant_lower(A, radius))
    size = length_upper(A)
    terms = A * A.T
    second = abs(float(np.sum(terms))) - 2 * gamma(n * n + 2) * sum_up(np.abs(terms).ravel())
    excess = down(second - up(n * up(radius * radius)))
    if excess <= 0 or not math.isfinite(size):
        return ldexp_down(simple, e)
    # sqrt(s^2 + e) - s = e / (sqrt(s^2 + e) + s): a square, two sums, a root and a quotient
    bound = float(lower_after(excess / (math.sqrt(size * size + excess) + size), 5))
    return ldexp_down(max(simple, bound), e)
