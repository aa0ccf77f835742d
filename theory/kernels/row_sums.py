"""Nearest rows and columns under one inequality on a weighted sum of absolute values.

Main names: `sum_excess`, `row_sum_kernel`, `column_sum_kernel`.

The unit roundoff is stated here again: an imported number would go stale in Numba's cache.
"""

from __future__ import annotations

import numpy as np

from theory.kernels.jit import kernel
from theory.typing import Array

#: u and eta of `theory.arithmetic.rounding`.
_UNIT = 2.0**-53
_TINY = 2.0**-1074

#: The unit roundoff of single precision.
_SINGLE = 2.0**-24

#: Splits a number into two halves of 26 digits.
_SPLIT = 2.0**27 + 1.0

#: So many double-precision numbers fill a cache line.
_BLOCK = 8


@kernel
def sum_excess(a: Array, v: Array, plain: bool, limit: float) -> float:
    """Return a number >= sum v_j a_j - limit, whose sign decides; a, v >= 0; plain means v = 1.

    Two-sums: with s = fl(s + x) and its exact error e at every step, the sum is s + sum e, where
    |e| <= u s, and the n errors are added with an error below n u sum |e|, which is nothing where
    no sum was rounded.  A product v a is rounded once, which adds u s; if it underflows, eta.
    """
    n = a.shape[0]
    s, c, size = 0.0, 0.0, 0.0
    for j in range(n):
        x = a[j] if plain else a[j] * v[j]
        t = s + x
        z = t - s
        e = (s - (t - z)) + (x - z)
        c += e
        size += abs(e)
        s = t
    slack = 2.0 * (n + 2.0) * _UNIT * size
    if not plain:
        slack += 2.0 * _UNIT * s + (n + 1.0) * _TINY
    # s - limit is exact when the two are within a factor 2, and else far larger than c + slack; the
    # last sum has the sign of the exact one
    excess: float = (s - limit) + (c + slack)
    return excess


@kernel
def _towards_zero(t: float, single: bool) -> float:
    """Return t >= 0 as it can be stored, and not more; single precision loses at most 2 units."""
    if not single:
        return t
    # below t by a unit, and then rounded by at most one, except where numbers underflow
    y = float(np.float32(t * (1.0 - _SINGLE)))
    return y if y <= t else float(np.nextafter(np.float32(t), np.float32(0.0)))


@kernel
def _product(a: float, b: float) -> tuple[float, float]:
    """Return the rounded product and its error, by the exact products of halves (Dekker)."""
    p = a * b
    c, d = _SPLIT * a, _SPLIT * b
    high, top = c - (c - a), d - (d - b)
    low, rest = a - high, b - top
    return p, low * rest - (((p - high * top) - low * top) - high * rest)


@kernel
def _crossed(a: float, v: float, b: float, w: float) -> float:
    """Return a w - b v with a small relative error, whatever cancels."""
    p, e = _product(a, w)
    q, f = _product(b, v)
    return (p - q) + (e - f)


@kernel
def _weighted_rest(a: Array, v: Array, limit: float) -> float:
    r"""Overwrite a with d_j = a_j - t v_j >= 0 where that stays, else -inf; return t - tau >= 0.

    t is the smallest a_j / v_j above tau.  In the order of a_j / v_j the sum of v_j (a_j - s v_j)
    over the entries above s grows from one of them to the next by the gap times the sum of their
    v_j^2: nothing but sums of numbers >= 0, so that all digits of d_j and tau are right.
    """
    # Michelot's steps from the left stay below tau, whichever entries they leave out
    candidates, t, count = np.arange(a.shape[0]), 0.0, 0
    while count < len(candidates):
        count, total, weight = len(candidates), 0.0, 0.0
        for j in candidates:
            total += v[j] * a[j]
            weight += v[j] * v[j]
        t = max(t, (total * (1.0 - 4.0 * (count + 4.0) * _UNIT) - limit) / weight)
        kept = 0
        for j in candidates:
            candidates[kept] = j
            kept += a[j] > t * v[j] * (1.0 - 4.0 * (count + 4.0) * _UNIT)
        candidates, count = candidates[:kept], kept if kept == count else 0
    n = len(candidates)
    order = candidates[np.argsort(-a[candidates] / v[candidates])]
    for last in range(1, n):  # quotients that rounding has put into the wrong order
        for k in range(last, 0, -1):
            i, j = order[k - 1], order[k]
            if not _crossed(a[i], v[i], a[j], v[j]) < 0.0:
                break
            order[k - 1], order[k] = j, i
    if n == 0:  # zeros, and a limit of 0
        a[:] = -np.inf
        return 0.0
    first = order[0]
    total, weight, count = 0.0, v[first] * v[first], 1
    part: float = 0.0
    gaps = np.zeros(n)
    while True:
        part = (limit - total) / weight
        if count == n:
            break
        i, j = order[count - 1], order[count]
        gap = _crossed(a[i], v[i], a[j], v[j]) / v[i] / v[j]
        if gap >= part:
            break
        gaps[count - 1] = gap
        total += gap * weight
        weight += v[j] * v[j]
        count += 1
    a[:] = -np.inf
    t = 0.0
    for k in range(count - 1, -1, -1):
        t += gaps[k]
        a[order[k]] = t * v[order[k]]
    return part


@kernel
def row_sum_kernel(W: Array, v: Array, limits: Array, plain: bool, out: Array) -> int:
    """Overwrite out, (m, n), with the nearest points of sum_j v_j |y_ij| <= limits_i to rows of W.

    Returns how many rows moved.  Rows that are provably inside are copied; the others end provably
    inside, also as single precision numbers.  `out` may be W.  The point is y_j = max(|x_j| - tau
    v_j, 0), and tau is found by Newton steps on the convex function sum v_j y_j(tau) - limit, from
    the left: each drops the entries that became zero (Michelot, Journal of Optimization Theory and
    Applications 50, 1986).
    """
    m, n = W.shape
    x, a, y = np.empty(n), np.empty(n), np.empty(n)
    kept, scale = np.empty(n), np.empty(n)
    single = out.itemsize < 8
    unit = _SINGLE if single else _UNIT
    moved = 0
    for i in range(m):
        limit = limits[i]
        for j in range(n):
            x[j] = W[i, j]
            a[j] = abs(x[j])
        if sum_excess(a, v, plain, limit) <= 0.0:
            for j in range(n):
                out[i, j] = W[i, j]
            continue
        moved += 1
        # y_j = max(d_j + part v_j, 0), d_j = |x_j| - shift v_j, part = shift - tau: no digits are
        # lost where the entries are far larger than the limit
        if plain:
            shift = 0.0
            for j in range(n):
                shift = max(shift, a[j])
            total = 0.0
            for j in range(n):
                a[j] -= shift
                kept[j], scale[j] = a[j], 1.0
                total += a[j]
            part = (limit - total) / n
        else:
            part = _weighted_rest(a, v, limit)
            for j in range(n):
                kept[j], scale[j] = a[j], v[j]
        count = n
        while True:
            # entries that stay positive move to the front, without a branch
            total, weight, after = 0.0, 0.0, 0
            for j in range(count):
                b, w = kept[j], scale[j]
                above = b + part * w > 0.0
                kept[after], scale[after] = b, w
                after += above
                total += w * b if above else 0.0
                weight += w * w if above else 0.0
            if after == 0 or after == count:
                break
            count = after
            part = min(part, (limit - total) / weight)
        # the sum of what is stored decides; corrections both ways, then only inwards
        chosen, nudge, over = part, 0.0, 1.0
        for attempt in range(60):
            for j in range(after):
                y[j] = _towards_zero(max(kept[j] + part * scale[j], 0.0), single)
            over = sum_excess(y[:after], scale, plain, limit)
            if over <= 0.0 and (weight == 0.0 or attempt > 0 or over >= -32.0 * unit * limit):
                break
            if attempt == 0 and weight > 0.0:
                part -= over / weight
                part -= 4.0 * _UNIT * abs(part)
            else:
                nudge = max(2.0 * nudge, 2.0 * _UNIT * abs(part), _TINY)
                part -= nudge + (max(over / weight, 0.0) if weight > 0.0 else 0.0)
        if not over <= 0.0:
            chosen = -np.inf
        for j in range(n):  # the entries of that sum, and no other
            t = max(a[j] + part * v[j], 0.0) if a[j] + chosen * v[j] > 0.0 else 0.0
            out[i, j] = np.copysign(_towards_zero(min(t, abs(x[j])), single), x[j])
    return moved


@kernel
def column_sum_kernel(W: Array, v: Array, limits: Array, plain: bool, out: Array) -> int:
    """Do to the columns of W what `row_sum_kernel` does to rows, a few at a time.

    So many columns are copied that whole cache lines are read and written.
    """
    m, n = W.shape
    block = np.empty((_BLOCK, m), out.dtype)
    moved = 0
    for first in range(0, n, _BLOCK):
        count = min(_BLOCK, n - first)
        for i in range(m):
            for k in range(count):
                block[k, i] = W[i, first + k]
        part = block[:count]
        moved += row_sum_kernel(part, v, limits[first : first + count], plain, part)
        for i in range(m):
            for k in range(count):
                out[i, first + k] = block[k, i]
    return moved
