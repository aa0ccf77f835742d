"""Nearest rows under several inequalities on weighted sums of absolute values.

Main name: `row_limits_kernel`.

The unit roundoff is stated here again: an imported number would go stale in Numba's cache.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from theory.kernels.jit import kernel
from theory.typing import Array

#: u and eta of `theory.arithmetic.rounding`.
_UNIT = 2.0**-53

#: Where an a is huge, what rounding leaves of an entry is still too much, by more than this part of
#: the limit: such rows are projected again, from there, at most so often in all.
_OUTSIDE, _PASSES = 2.0**-49, 6


@kernel
def _dot(a: Array, b: Array, c: Array) -> float:
    """Return sum a_j b_j c_j, in four parts that do not wait for each other."""
    n = a.shape[0]
    s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
    for i in range(n // 4):
        j = 4 * i  # so the compiler knows that no index is negative
        s0 += a[j] * b[j] * c[j]
        s1 += a[j + 1] * b[j + 1] * c[j + 1]
        s2 += a[j + 2] * b[j + 2] * c[j + 2]
        s3 += a[j + 3] * b[j + 3] * c[j + 3]
    for j in range(n - n % 4, n):
        s0 += a[j] * b[j] * c[j]
    return (s0 + s1) + (s2 + s3)


@kernel
def _model_step(J: Array, g: Array, tau: Array, d: Array) -> None:
    """Overwrite d with a step of large g d - d J d / 2 under tau + d >= 0.

    One number at a time, which only ascends; then those that stay positive together, by Gaussian
    elimination, as far as they stay so, if that is better.  Where inequalities share their only
    entry, J is singular, and a part of its diagonal is added.
    """
    count = len(g)
    A, e = J.copy(), g.copy()
    d[:] = 0.0
    for _ in range(20):
        for k in range(count):
            rest = g[k]
            for r in range(count):
                rest -= J[k, r] * d[r]
            d[k] = max(d[k] + rest / J[k, k], -tau[k]) if J[k, k] > 0.0 else -tau[k]
    for k in range(count):
        A[k, k] *= 1.0 + 2.0**-48
        if not tau[k] + d[k] > 0.0:  # stays at zero
            for r in range(count):
                e[r] -= J[r, k] * d[k]
                A[k, r] = 0.0
                A[r, k] = 0.0
            A[k, k] = 1.0
    for k in range(count):
        if not tau[k] + d[k] > 0.0:
            e[k] = d[k]
        for i in range(k + 1, count):
            part = A[i, k] / A[k, k]
            for r in range(k, count):
                A[i, r] -= part * A[k, r]
            e[i] -= part * e[k]
    share = 1.0
    for k in range(count - 1, -1, -1):
        for r in range(k + 1, count):
            e[k] -= A[k, r] * e[r]
        e[k] /= A[k, k]
        if tau[k] + e[k] < 0.0:
            share = min(share, -tau[k] / e[k])
    gain, other = 0.0, 0.0
    for k in range(count):
        gain += d[k] * g[k]
        other += share * e[k] * g[k]
        for r in range(count):
            gain -= 0.5 * d[k] * J[k, r] * d[r]
            other -= 0.5 * share * e[k] * J[k, r] * share * e[r]
    if other > gain or (share == 1.0 and other >= gain * (1.0 - 1e-9)):
        for k in range(count):
            d[k] = share * e[k]


@kernel
def _thresholds(
    starts: npt.NDArray[np.int64], factors: Array, v: Array, tau: Array, t: Array
) -> None:
    """Overwrite t with sum_k tau_k a_kj."""  # fmt: skip
    for j in range(t.shape[0]):
        t[j] = 0.0
    for k in range(tau.shape[0]):
        for g in range(factors.shape[1]):
            f = tau[k] * factors[k, g]
            if f != 0.0:
                for j in range(starts[g], starts[g + 1]):
                    t[j] += f * v[k, j]


@kernel
def _noise(
    x: Array, starts: npt.NDArray[np.int64], factors: Array, v: Array, above: Array
) -> float:
    """Return what the roundings of y make of one sum, over the entries that are above zero."""
    total = 0.0
    for i in range(factors.shape[0]):
        if factors[i] != 0.0:
            for j in range(starts[i], starts[i + 1]):
                total += factors[i] * v[j] * abs(x[j]) * above[j]
    return 8.0 * _UNIT * total


@kernel
def _changed(x: Array, starts: npt.NDArray[np.int64], signed: Array, t: Array, y: Array) -> float:
    """Return the distance of the row of the thresholds t from that of y, before it is cut at 0."""
    total = 0.0
    for i in range(signed.shape[0]):
        for j in range(starts[i], starts[i + 1]):
            if signed[i] != 0.0:
                d = x[j] - t[j] - y[j]
            else:
                d = max(abs(x[j]) - t[j], 0.0) - max(y[j], 0.0)
            total += d * d
    return math.sqrt(total)


@kernel
def _newton_ascent(
    x: Array,
    starts: npt.NDArray[np.int64],
    factors: Array,
    v: Array,
    limits: Array,
    signed: Array,
    tau: Array,
    t: Array,
) -> bool:
    """Add Newton steps on all multipliers together to tau, and overwrite t.

    The dual, sum_j (x_j^2 - y_j^2) / 2 - sum_k tau_k limit_k, is concave and piecewise quadratic.
    A step that goes too far is cut to about where the derivative along it is zero.  Returns whether
    the last step moved nothing but digits that rounding has already taken.
    """  # fmt: skip
    count, groups = limits.shape[0], factors.shape[1]
    J, g, d, before = np.empty((count, count)), np.empty(count), np.empty(count), tau.copy()
    y, above, lengths = np.empty_like(x), np.empty_like(x), np.empty(count)
    size = 0.0
    for j in range(x.shape[0]):
        size += x[j] * x[j]
    slope, at_low, low, high, share, reach, done = 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, False
    d[:] = 0.0
    for _ in range(100):
        _thresholds(starts, factors, v, tau, t)
        # entries that come back from zero are not in J
        if done and _changed(x, starts, signed, t, y) <= 8.0 * _UNIT * reach:
            return True
        J[:] = 0.0
        for k in range(count):
            g[k] = 0.0 if limits[k] == np.inf else -limits[k]
        for i in range(groups):
            first, end = starts[i], starts[i + 1]
            for j in range(first, end):
                y[j] = x[j] - t[j] if signed[i] != 0.0 else abs(x[j]) - t[j]
                above[j] = 1.0 if signed[i] != 0.0 or y[j] > 0.0 else 0.0
            for k in range(count):
                f = factors[k, i]
                if f == 0.0 or limits[k] == np.inf:
                    continue
                g[k] += f * _dot(v[k, first:end], y[first:end], above[first:end])
                for r in range(k + 1):
                    h = factors[r, i]
                    if h != 0.0 and limits[r] != np.inf:
                        J[k, r] += f * h * _dot(v[k, first:end], v[r, first:end], above[first:end])
        # the derivative along the step, which it is to bring down to a tenth
        after = 0.0
        for k in range(count):
            after += g[k] * d[k]
        beyond = after < -0.1 * slope
        if (beyond or (share < 1.0 and after > 0.1 * slope)) and high - low > 2.0**-20 * high:
            if beyond:
                high = share
                part = at_low / (at_low - after)
            else:
                low, at_low, part = share, after, 0.5
            share = low + (high - low) * min(max(part, 0.05), 0.5)
            for k in range(count):
                tau[k] = max(before[k] + share * d[k], 0.0)
            continue
        for k in range(count):
            before[k] = tau[k]
            # what rounding leaves of y, whose entries are at most those of x, says nothing
            most = 8.0 * _UNIT * math.sqrt(J[k, k] * size)
            if abs(g[k]) <= most and abs(g[k]) <= _noise(x, starts, factors[k], v[k], above):
                g[k] = 0.0
            if limits[k] != np.inf and not g[k] <= 0.0 and not J[k, k] > 0.0:
                return False  # no rows obey the inequality
            lengths[k] = J[k, k]
            for r in range(k):
                J[r, k] = J[k, r]
        _model_step(J, g, tau, d)
        moved, reach, slope = 0.0, math.sqrt(size), 0.0
        for k in range(count):
            slope += g[k] * d[k]
            if d[k] != 0.0:
                moved += abs(d[k]) * math.sqrt(lengths[k]) if lengths[k] > 0.0 else np.inf
            reach += tau[k] * math.sqrt(lengths[k])
            tau[k] = max(tau[k] + d[k], 0.0)
        at_low, low, high, share = slope, 0.0, 1.0, 1.0
        done = moved <= 8.0 * _UNIT * reach
    _thresholds(starts, factors, v, tau, t)
    return False


@kernel
def _row_limits(
    x: Array,
    starts: npt.NDArray[np.int64],
    factors: Array,
    v: Array,
    limits: Array,
    signed: Array,
    tau: Array,
    t: Array,
) -> int:
    """Overwrite tau, (K,), with the multipliers of one row, and t, (n,), with sum_k tau_k a_kj.

    They begin at tau, on which the time depends.  Newton steps on all multipliers, and then cyclic
    ascent of the dual until nothing moves: each multiplier in turn solves its own constraint, by
    Newton steps on a convex, decreasing, piecewise linear function (from the right a step lands on
    the left, from where they are monotone).  Returns the number of sweeps, 0 if Newton steps ended
    it.
    """  # fmt: skip
    count, groups = limits.shape[0], factors.shape[1]
    if _newton_ascent(x, starts, factors, v, limits, signed, tau, t):
        return 0
    for sweep in range(500):
        change = 0.0
        for k in range(count):
            limit = limits[k]
            if limit == np.inf:
                continue
            before, short = tau[k], -1.0
            for _ in range(100):
                total, weight, size = 0.0, 0.0, abs(limit)
                for g in range(groups):
                    f = factors[k, g]
                    if f == 0.0:
                        continue
                    if signed[g] != 0.0:
                        for j in range(starts[g], starts[g + 1]):
                            a = f * v[k, j]
                            total += a * (x[j] - t[j])
                            weight += a * a
                            size += a * (abs(x[j]) + t[j])
                    else:
                        for j in range(starts[g], starts[g + 1]):
                            a = f * v[k, j]
                            y = abs(x[j]) - t[j]
                            total += a * y if y > 0.0 else 0.0
                            weight += a * a if y > 0.0 else 0.0
                            size += a * t[j] if y > 0.0 else 0.0
                over = total - limit
                if over <= 0.0 and tau[k] == 0.0:
                    break
                if over > 0.0:
                    short = max(short, tau[k])
                if weight == 0.0:
                    if over > 0.0:  # no rows obey the inequality
                        break
                    new = 0.0  # all entries are zero already: again, from the left
                else:
                    new = max(tau[k] + over / weight, 0.0)
                if over <= 0.0 and new <= short:  # from there it came, but for rounding
                    new = 0.5 * (short + tau[k])
                    if not short < new < tau[k]:
                        break
                step = new - tau[k]
                tau[k] = new
                for g in range(groups):
                    f = factors[k, g]
                    if f != 0.0:
                        for j in range(starts[g], starts[g + 1]):
                            t[j] += step * f * v[k, j]
                if abs(over) <= 8.0 * _UNIT * (size + abs(total)):
                    break
            change = max(change, abs(tau[k] - before) - 1e-13 * abs(tau[k]))
        if change <= 0.0:
            return sweep + 1
    return 500


@kernel
def _inside(
    y: Array,
    starts: npt.NDArray[np.int64],
    factors: Array,
    v: Array,
    limits: Array,
    signed: Array,
) -> bool:
    """Return whether one row obeys the inequalities, but for digits that rounding takes."""
    for k in range(limits.shape[0]):
        if limits[k] == np.inf:
            continue
        total, size = 0.0, abs(limits[k])
        for g in range(factors.shape[1]):
            f = factors[k, g]
            if f != 0.0:
                for j in range(starts[g], starts[g + 1]):
                    a = f * v[k, j] * abs(y[j])
                    size += a
                    total += a if signed[g] == 0.0 or y[j] > 0.0 else -a
        if not total - limits[k] <= _OUTSIDE * size:
            return False
    return True


@kernel
def row_limits_kernel(
    X: Array,
    starts: npt.NDArray[np.int64],
    factors: Array,
    v: Array,
    limits: Array,
    signed: Array,
    out: Array,
    multipliers: Array,
) -> int:
    """Overwrite out, (m, n), with the nearest rows under several weighted sums each.

    The columns are in groups, group g from starts[g] to starts[g + 1], and row i is to obey, for
    all k, sum_j a_kj |y_j| <= limits[i, k] with a_kj = factors[i, k, g] v[k, j]; in groups marked
    as signed y_j stands for itself.  Overwrites multipliers, (m, K), where the search begins;
    returns the sweeps of the rows in which Newton steps did not end.  y_j is |x_j| - t_j where
    positive, else 0 (signed: x_j - t_j), t = sum_k tau_k a_k.
    """  # fmt: skip
    m, n = X.shape
    x, t, tau = np.empty(n), np.empty(n), np.empty(limits.shape[1])
    total = 0
    for i in range(m):
        x[:] = X[i]
        tau[:] = multipliers[i]
        multipliers[i] = 0.0
        for _ in range(_PASSES):
            total += _row_limits(x, starts, factors[i], v, limits[i], signed, tau, t)
            for k in range(limits.shape[1]):
                multipliers[i, k] += tau[k]
            for g in range(signed.shape[0]):
                for j in range(starts[g], starts[g + 1]):
                    if signed[g] != 0.0:
                        x[j] -= t[j]
                    else:
                        x[j] = np.copysign(max(abs(x[j]) - t[j], 0.0), x[j])
            if _inside(x, starts, factors[i], v, limits[i], signed):
                break
            tau[:] = 0.0
        out[i] = x
    return total
