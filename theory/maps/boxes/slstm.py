"""Boxes of an sLSTM in the coordinates (y, s, h): enclosures and majorants.

Main names: `slstm_image`, `slstm_box`, `slstm_comparison`, `slstm_input_comparison`,
`slstm_slopes`.

With nu = e^s - 1, P = log(f nu) and a = log(i), everything is monotone in each of f, nu and i, so
that its ends are those at corners.  Where a slope is infinite, at nu = 0, its product is not:

    d g / d s = - g t,   t = f (1 + nu) / (f nu + i),      d s+ / d s = f (1 + nu) / (1 + f nu + i),

of which the sign of the derivative by nu is that of i - f, and of 1 + i - f.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np
import numpy.typing as npt

from theory.arithmetic.activations import SIGMOID, SOFTPLUS, TANH
from theory.arithmetic.intervals import (
    Interval,
    activation_image,
    products,
    slope_range,
    sum_of,
    widened,
)
from theory.arithmetic.rounding import ELEMENTARY_UNITS, UNIT, upper_after
from theory.maps.boxes.ends import (
    Ends,
    Weights,
    finite_or_none,
    magnitude,
    mixed,
    preactivation,
    with_room,
)
from theory.maps.boxes.slopes import slopes_at, times_rows
from theory.typing import Array


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Exponential:
    """The weights of the cell."""

    stack: Weights  # of i, f, z, o
    forgets: bool  # f = sigma(a), else exp(a)


#: At nu = 0 log(f nu) is minus infinity, which sums move outward to the least double.
_INFINITE = np.errstate(over="ignore", invalid="ignore")


def minus(a: Interval) -> Interval:
    """Return the interval of -a."""
    return -a[1], -a[0]


def _exp(a: Interval) -> Interval:
    with np.errstate(over="ignore", under="ignore"):
        low, high = widened(np.exp(a[0]), np.exp(a[1]))
    return np.maximum(low, 0.0), high


def log_normaliser(s: Array) -> Interval:
    r"""Enclose log(e^s - 1) = s + log(1 - e^{-s}) at numbers s >= 0.

    v = 1 - e^{-s} errs by 8 u relatively, so log(v) by 16 u more than its own 8 u |log(v)|, and the
    sum by u: below 32 u (1 + s + |log(v)|).  What underflows in v is s, to which v is rounded.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.where(np.isinf(s), 0.0, np.log(-np.expm1(-s)))
        value = s + part
        wrong = np.where(s > 0, 4 * ELEMENTARY_UNITS * UNIT * (1.0 + s + np.abs(part)), 0.0)
        low, high = value - wrong, value + wrong
    return np.where(s > 0, low, -math.inf), np.where(np.isinf(s), math.inf, high)


def _log_sum(a: Array, b: Array) -> Interval:
    """Enclose log(e^a + e^b) = max(a, b) + softplus(-|a - b|) at points."""
    largest = np.maximum(a, b)
    with np.errstate(invalid="ignore"):
        apart = sum_of((largest, largest), minus((np.minimum(a, b),) * 2))
    more = activation_image(SOFTPLUS, *minus(apart))
    # a softplus of at most 0 is at most log 2
    least = np.maximum(np.where(np.isnan(more[0]), 0.0, more[0]), 0.0)
    most = np.minimum(np.where(np.isnan(more[1]), 1.0, more[1]), 1.0)
    low, high = sum_of((largest, largest), (least, most))
    return np.where(largest == -math.inf, -math.inf, low), np.where(
        largest == -math.inf, -math.inf, high
    )


class _Ranges(NamedTuple):
    """Ranges over a box; every end is (n,)."""

    i: Interval  # a = log(i)
    f: Interval  # log(f)
    fades: Interval  # d log(f) by its pre-activation
    s: Interval  # of which what is below 0 counts as 0
    negative: npt.NDArray[np.bool_]  # whether some s are below 0
    P: Interval  # log(f nu)
    d: Interval  # a - P
    total: Interval  # log(f nu + i)
    z: Interval
    o: Interval
    slope_z: Interval
    slope_o: Interval


def _parts(box: Ends) -> tuple[Interval, ...]:
    n = len(box.low) // 3
    return tuple((box.low[k * n : k * n + n], box.high[k * n : k * n + n]) for k in range(3))


@_INFINITE
def ranges_of(cell: Exponential, s: Interval, h: Interval, x: Interval) -> _Ranges:
    """Return the ranges of all parts of a step, from those of s, h and x."""
    low, high = preactivation(cell.stack, h, x)
    i, f, z, o = zip(np.split(low, 4), np.split(high, 4), strict=True)
    if cell.forgets:
        log_f, fades = minus(activation_image(SOFTPLUS, *minus(f))), minus(f)
        fades = activation_image(SIGMOID, *fades)
    else:
        log_f, fades = f, (np.ones_like(f[0]), np.ones_like(f[0]))
    seen = np.maximum(s[0], 0.0), np.maximum(s[1], 0.0)
    P = sum_of(log_f, (log_normaliser(seen[0])[0], log_normaliser(seen[1])[1]))
    total = _log_sum(P[0], i[0])[0], _log_sum(P[1], i[1])[1]
    return _Ranges(
        i=i,
        f=log_f,
        fades=fades,
        s=seen,
        negative=s[0] < 0,
        P=P,
        d=sum_of(i, minus(P)),
        total=total,
        z=activation_image(TANH, *z),
        o=activation_image(SIGMOID, *o),
        slope_z=slopes_at(TANH, z),
        slope_o=slopes_at(SIGMOID, o),
    )


def _of_box(cell: Exponential, box: Ends) -> tuple[Interval, _Ranges, Interval]:
    """Return the range of y, those of the gates, and that of y+."""
    y, s, h = _parts(box)
    r = ranges_of(cell, s, h, (box.input_low, box.input_high))
    return y, r, mixed(activation_image(SIGMOID, *minus(r.d)), y, r.z)


def _below(*parts: Interval) -> Interval:
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


@_INFINITE
def slstm_image(cell: Exponential, box: Ends) -> Interval:
    """Enclose (y+, s+, h+) over a box of (y, s, h) and x."""
    _, r, new = _of_box(cell, box)
    return _below(new, activation_image(SOFTPLUS, *r.total), products(r.o, new))


@_INFINITE
def slstm_box(cell: Exponential, inputs: Interval) -> Interval | None:
    """Return a box of (y, s, h) that may be invariant; None if a forget gate may reach 1."""
    n = len(cell.stack.W) // 4
    zero = np.zeros(n)
    r = ranges_of(cell, (zero, zero), (-np.ones(n), np.ones(n)), inputs)
    y = with_room(*r.z)
    h = with_room(*products(r.o, y))
    r = ranges_of(cell, (zero, zero), h, inputs)
    # nu <= i / (1 - f), at the largest of each
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        rest = -np.expm1(r.f[1])
        s = activation_image(SOFTPLUS, *(r.i[1] - np.log(rest),) * 2)[1]
    y, h = with_room(*r.z), with_room(*products(r.o, with_room(*r.z)))
    top = with_room(zero, s)[1] + n * 0.0
    if not (np.isfinite(top).all() and bool(np.all(rest > 0))):
        return None
    return _below(y, (zero, top), h)


@_INFINITE
def _ratio(r: _Ranges, plus_one: bool) -> Interval:
    """Enclose f (1 + nu) / (f nu + i), or with 1 added below; 0 where s is below 0."""
    found = []
    for end, other in ((0, 1), (1, 0)):
        corners = []
        for s in r.s:
            L = log_normaliser(s)
            P = sum_of((r.f[end],) * 2, L)
            below = [_log_sum(P[side], r.i[other])[side] for side in (0, 1)]
            total = below[0], below[1]
            if plus_one:
                total = activation_image(SOFTPLUS, *total)
            above = sum_of((r.f[end],) * 2, (s, s))
            corners.append(sum_of(above, minus(total)))
        found.append(
            np.minimum(corners[0][0], corners[1][0]) if end == 0 else np.maximum(
                corners[0][1], corners[1][1]
            )
        )  # fmt: skip
    low, high = _exp((found[0], found[1]))
    return np.where(r.negative, 0.0, low), high


class _Slopes(NamedTuple):
    """What differences are multiplied by; every end is (n,)."""

    own_y: Interval  # of y in y+
    y_by_s: Interval
    y_by_i: Interval  # of the pre-activations in y+
    y_by_f: Interval
    y_by_z: Interval
    own_s: Interval  # of s in s+
    s_by_i: Interval  # of the pre-activations in s+
    s_by_f: Interval
    out: Interval  # of y+ in h+
    by_o: Interval  # of the pre-activation of o in h+


def _slopes(y: Interval, r: _Ranges, new: Interval) -> _Slopes:
    """Return them over a box, from the ranges of y, of the gates and of y+."""
    # i / (1 + f nu + i) = sigma(a - log(1 + f nu)), and f nu / (1 + f nu + i) alike
    other = activation_image(SOFTPLUS, *r.P), activation_image(SOFTPLUS, *r.i)
    shares = [
        activation_image(SIGMOID, *sum_of(own, minus(rest)))
        for own, rest in zip((r.i, r.P), other, strict=True)
    ]
    return _Slopes(
        *_of_share(r.d, sum_of(r.z, minus(y)), _ratio(r, False), r),
        own_s=_ratio(r, True),
        s_by_i=shares[0],
        s_by_f=products(shares[1], r.fades),
        out=r.o,
        by_o=products(r.slope_o, new),
    )


def _of_share(
    d: Interval, apart: Interval, ratio: Interval, r: _Ranges
) -> tuple[Interval, Interval, Interval, Interval, Interval]:
    """Return the slopes of y+ where g = sigma(d), from the ranges of z - y and of t."""
    g = activation_image(SIGMOID, *d)
    moved = products(apart, slope_range(SIGMOID, *d))
    return (
        activation_image(SIGMOID, *minus(d)),
        products(minus(apart), products(g, ratio)),
        moved,
        minus(products(moved, r.fades)),
        products(g, r.slope_z),
    )


@_INFINITE
def slstm_slopes(cell: Exponential, box: Ends, *, in_state: bool) -> Interval:
    """Enclose d(y+, s+, h+) / d(y, s, h), (3 n, 3 n), or by the inputs, (3 n, m)."""
    return _matrix(cell, _slopes(*_of_box(cell, box)), in_state=in_state)


def _matrix(cell: Exponential, k: _Slopes, *, in_state: bool) -> Interval:
    with np.errstate(invalid="ignore", over="ignore"):
        V_i, V_f, V_z, V_o = np.split(cell.stack.W if in_state else cell.stack.U, 4)
        dy = sum_of(times_rows(k.y_by_i, V_i), times_rows(k.y_by_f, V_f), times_rows(k.y_by_z, V_z))
        ds = sum_of(times_rows(k.s_by_i, V_i), times_rows(k.s_by_f, V_f))
        dh = sum_of(times_rows(k.out, dy), times_rows(k.by_o, V_o))
        if not in_state:
            return np.vstack([dy[0], ds[0], dh[0]]), np.vstack([dy[1], ds[1], dh[1]])
        h_by_y, h_by_s = products(k.out, k.own_y), products(k.out, k.y_by_s)
    zero = np.zeros((len(dy[0]), len(dy[0])))
    low, high = (
        np.block(
            [
                [np.diag(k.own_y[end]), np.diag(k.y_by_s[end]), dy[end]],
                [zero, np.diag(k.own_s[end]), ds[end]],
                [np.diag(h_by_y[end]), np.diag(h_by_s[end]), dh[end]],
            ]
        )
        for end in (0, 1)
    )
    return low, high


#: What g and tau grow by at most from part to part of a box, unless it has so many parts.
_GROWS, _PARTS = 1.125, 32


def slstm_comparison(cell: Exponential, box: Ends) -> tuple[Array, ...] | None:
    r"""Return matrices (3 n, 3 n) whose largest majorises a step; None if they are not finite.

    One matrix of the largest slopes has 1 - g where g is least and g where it is largest.  The
    matrices here are of parts of the box, those of y+ and h+ by g, that of s+ by tau:

        tau = 1 - f (1 + nu) / (1 + f nu + i) = (1 + i - f) / (1 + f nu + i),
        i / (1 + f nu + i) = tau i / (1 - f + i),    f nu / (1 + f nu + i) = tau f nu / (1 - f + i),

    so that whatever is kept nearly whole is written to as little.  A difference of steps is a mean
    of slopes along the way, and each of these, row by row, is below that of one of the parts.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        y, r, new = _of_box(cell, box)
        k = _slopes(y, r, new)
        apart, ratio = sum_of(r.z, minus(y)), _ratio(r, False)
        g = activation_image(SIGMOID, *r.d)
        tau = np.clip(1.0 - k.own_s[1], 0.0, 1.0), np.clip(1.0 - k.own_s[0], 0.0, 1.0)
        count = max(_count(*g), _count(*tau))
        # logits of g, rising, and 1 - tau, falling: whatever the edges, parts leave nothing out
        at = _edges(*g, count)
        at = np.clip(np.log(at) - np.log1p(-at), *r.d)
        at[0], at[-1] = r.d
        kept = np.clip(1.0 - _edges(*tau, count), *k.own_s)
        kept[0], kept[-1] = k.own_s[::-1]
        by_i, by_f = _by_written(cell, r)
        found = []
        for j in range(count):
            most = np.maximum(np.nextafter(1.0 - kept[j + 1], math.inf), 0.0)
            part = _Slopes(
                *_of_share((at[j], at[j + 1]), apart, ratio, r),
                own_s=(kept[j + 1], kept[j]),
                s_by_i=_at_most(k.s_by_i, most, by_i),
                s_by_f=_at_most(k.s_by_f, most, by_f),
                out=k.out,
                by_o=k.by_o,
            )
            found.append(magnitude(_matrix(cell, part, in_state=True)))
    return finite_or_none(*found)


def _by_written(cell: Exponential, r: _Ranges) -> tuple[Array, Array]:
    r"""Bound i / (1 - f + i), and f nu / (1 - f + i) times the slope of log(f); inf where f > 1.

    That slope is 1 - f for f = sigma, and (1 - f) / (1 - f + i) rises with 1 - f and falls in i.
    """
    i, f = _exp(r.i), _exp(r.f)
    rest = r.fades if cell.forgets else widened(-np.expm1(r.f[1]), -np.expm1(r.f[0]))
    low = np.maximum(rest[0], 0.0)
    nu = widened(*(np.expm1(r.s[1]),) * 2)[1]
    # falling in rest, and rising with i
    by_i = upper_after(i[1] / (low + i[1]), 2)
    if cell.forgets:
        share = upper_after(rest[1] / (rest[1] + i[0]), 2)
    else:
        share = upper_after(1.0 / (low + i[0]), 2)
    by_f = upper_after(f[1] * nu * share, 2)
    known = r.f[1] <= 0
    return np.where(known, by_i, math.inf), np.where(known, by_f, math.inf)


def _at_most(range_: Interval, most: Array, bound: Array) -> Interval:
    """Return a range cut at most times a bound, where there is one."""
    known = np.isfinite(bound)
    product = upper_after(most * np.where(known, bound, 0.0), 1)
    high = np.where(known, np.minimum(range_[1], product), range_[1])
    return np.minimum(range_[0], high), high


def _count(low: Array, high: Array) -> int:
    """Return into how many parts shares are split."""
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.log(high / low) / math.log(_GROWS)
    most = float(np.max(np.nan_to_num(steps, nan=_PARTS, posinf=_PARTS), initial=1.0))
    return int(min(max(math.ceil(most), 1), _PARTS))


def _edges(low: Array, high: Array, count: int) -> Array:
    """Return count + 1 rows from the least to the largest shares, by the same factor each."""
    least = np.maximum(low, high * _GROWS**-_PARTS)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.linspace(np.log(least), np.log(high), count + 1)
    result: Array = np.maximum.accumulate(np.nan_to_num(np.exp(logs), nan=0.0))
    return result


def slstm_input_comparison(cell: Exponential, box: Ends) -> Array | None:
    """Return the matrix (3 n, m) that majorises a step in its input; None if it is not finite."""
    found = finite_or_none(magnitude(slstm_slopes(cell, box, in_state=False)))
    return None if found is None else found[0]
