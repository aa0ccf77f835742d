r"""Boxes carried through affine maps and activations, rounded outward.

Main names: `affine_image`, `activation_image`, `activation_upper`, `slope_range`, `products`,
`matrix_product`, `middle_and_radius`, `complement`, `widened`, `times_up`.

An interval is a pair of arrays (low, high) of one shape, entry by entry; ends may be infinite.
What is returned encloses the exact image of the exact box, whatever the arithmetic rounded: the
error of sums of products is that of `theory.arithmetic.rounding.inner_product_error`, and
elementary functions err by at most `ELEMENTARY_UNITS` u of their value.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np

from theory.arithmetic.activations import Activation
from theory.arithmetic.rounding import ELEMENTARY_UNITS, TINY, UNIT, inner_product_error
from theory.typing import Array

Interval: TypeAlias = tuple[Array, Array]


def _outward(low: Array, high: Array) -> Interval:
    """Return the next doubles outward; what is not a number (inf - inf) bounds nothing."""
    below, above = np.nextafter(low, -math.inf), np.nextafter(high, math.inf)
    return np.where(np.isnan(below), -math.inf, below), np.where(np.isnan(above), math.inf, above)


def times_up(a: Array | float, b: Array | float) -> Array:
    """Return a b for non-negative entries, rounded upward; exact zeros stay zero."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        product = np.nextafter(a * b, math.inf)
    result: Array = np.where((a == 0) | (b == 0), 0.0, product)
    return result


def plus_up(*terms: Array) -> Array:
    """Return the sum of non-negative arrays, rounded upward; exact zeros stay zero."""
    total = np.zeros(np.broadcast_shapes(*(np.shape(t) for t in terms)))
    with np.errstate(over="ignore"):
        for term in terms:
            total = np.where(term == 0, total, np.where(total == 0, term, _up(total + term)))
    return total


def _up(x: Array) -> Array:
    above: Array = np.nextafter(x, math.inf)
    return above


def product_matrix_up(A: Array, B: Array) -> Array:
    """Return A B for non-negative matrices, rounded upward; exact zeros stay zero."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        C = A @ B
        C = _up(C + inner_product_error(C, A.shape[-1]))
    # what is infinite or no number bounds nothing, but where it meets exact zeros only
    touched = (A != 0).astype(np.float64) @ (B != 0).astype(np.float64)
    result: Array = np.where(touched > 0, np.where(np.isnan(C), math.inf, C), 0.0)
    return result


def affine_image(W: Array, low: Array, high: Array, b: Array | None = None) -> Interval:
    """Enclose W h + b over low <= h <= high; W is (p, n), the ends are (..., n), b is (p,)."""
    n = W.shape[1]
    shift = np.zeros(W.shape[0]) if b is None else b
    bounded_low, bounded_high = np.isfinite(low), np.isfinite(high)
    # an infinite end makes one side of a sum infinite, and the other side is reached at the finite
    # end: that end takes its place (0 where both are infinite), so that l <= h always
    l = np.where(bounded_low, low, np.where(bounded_high, high, 0.0))  # noqa: E741
    h = np.where(bounded_high, high, l)
    # around the middle: |W h - W middle| <= |W| radius
    size = np.abs(W)
    with np.errstate(over="ignore", invalid="ignore"):
        middle = l / 2 + h / 2
        radius = np.nextafter(np.maximum(h - middle, middle - l), math.inf)
        radius = np.where(l == h, 0.0, radius)
        middle = np.where(l == h, l, middle)
        spread, magnitude = np.stack([radius, np.abs(middle) + radius]) @ size.T
        error = inner_product_error(magnitude + np.abs(shift), 2 * n + 4)
        centre = middle @ W.T + shift
        lower, upper = centre - spread - error, centre + spread + error
    lower, upper = _outward(lower, upper)
    # overflow is no bound
    lower = np.where(np.isfinite(lower), lower, -math.inf)
    upper = np.where(np.isfinite(upper), upper, math.inf)
    if bounded_low.all() and bounded_high.all():
        return lower, upper
    # a weight that is not zero carries an infinite end on
    positive, negative = (W > 0).T, (W < 0).T
    goes_down = ~bounded_low @ positive | ~bounded_high @ negative
    goes_up = ~bounded_high @ positive | ~bounded_low @ negative
    return np.where(goes_down, -math.inf, lower), np.where(goes_up, math.inf, upper)


def matrix_product(A: Interval, B: Interval) -> Interval:
    r"""Enclose the products of all matrices of A, (p, n), with all of B, (n, q).

    With midpoints and radii, |A B - A_m B_m| <= |A_m| B_r + A_r (|B_m| + B_r).
    """
    n = A[0].shape[1]
    with np.errstate(over="ignore", invalid="ignore"):
        (a, a_radius), (b, b_radius) = middle_and_radius(A), middle_and_radius(B)
        spread = np.abs(a) @ b_radius + a_radius @ (np.abs(b) + b_radius)
        magnitude = np.abs(a) @ np.abs(b) + spread
        wrong = spread + inner_product_error(magnitude, 2 * n + 4)
        # a sum of exact zeros is one
        wrong = np.where(magnitude == 0, _touched(A, B) * wrong, wrong)
        centre = a @ b
        ends = centre - wrong, centre + wrong
    outward = _outward(*ends)
    return np.where(wrong == 0, ends[0], outward[0]), np.where(wrong == 0, ends[1], outward[1])


def middle_and_radius(A: Interval) -> tuple[Array, Array]:
    """Return midpoints and radii that cover the intervals; of a single number exactly that."""
    middle = np.where(A[0] == A[1], A[0], A[0] / 2 + A[1] / 2)
    radius = np.nextafter(np.maximum(A[1] - middle, middle - A[0]), math.inf)
    return middle, np.where(A[0] == A[1], 0.0, radius)


def _touched(A: Interval, B: Interval) -> Array:
    """Return where a product has a term that is not exactly zero."""
    a, b = (((M[0] != 0) | (M[1] != 0)).astype(np.float64) for M in (A, B))
    touched: Array = np.minimum(a @ b, 1.0)
    return touched


def sum_of(*intervals: Interval) -> Interval:
    """Enclose the sum of independent intervals; a zero adds nothing, exactly."""
    low, high = intervals[0]
    for other_low, other_high in intervals[1:]:
        with np.errstate(over="ignore", invalid="ignore"):
            sums = low + other_low, high + other_high
        ends = _outward(*sums)
        low = np.where((low == 0) | (other_low == 0), sums[0], ends[0])
        high = np.where((high == 0) | (other_high == 0), sums[1], ends[1])
    return low, high


def products(a: Interval, b: Interval) -> Interval:
    """Enclose the entrywise product of two independent intervals; 0 times an infinite end is 0."""
    a_zero, b_zero = [x == 0 for x in a], [y == 0 for y in b]
    ends, tiny = [], np.zeros(np.broadcast_shapes(np.shape(a[0]), np.shape(b[0])))
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        for x, x_zero in zip(a, a_zero, strict=True):
            for y, y_zero in zip(b, b_zero, strict=True):
                exact = x_zero | y_zero
                end = np.where(exact, 0.0, x * y)
                ends.append(end)
                # a product of two nonzero ends that was rounded to zero
                tiny[(end == 0) & np.logical_not(exact)] = TINY
        low, high = np.minimum.reduce(ends), np.maximum.reduce(ends)
        # a product with an exact zero is exact; others are rounded once
        return (
            np.where(low == 0, 0.0 - tiny, np.nextafter(low, -math.inf)),
            np.where(high == 0, tiny, np.nextafter(high, math.inf)),
        )


def complement(s: Array) -> Interval:
    """Enclose 1 - s for 0 <= s <= 1."""
    rest = 1.0 - s
    exact = (s == 0) | (s == 1)
    return (
        np.where(exact, rest, np.maximum(np.nextafter(rest, -math.inf), 0.0)),
        np.where(exact, rest, np.minimum(np.nextafter(rest, math.inf), 1.0)),
    )


def widened(low: Array, high: Array, units: int = ELEMENTARY_UNITS) -> Interval:
    """Move computed ends outward by `units` u of their size and, for underflow, `units` eta."""
    with np.errstate(over="ignore", invalid="ignore"):
        below = low - (units * UNIT * np.abs(low) + units * TINY)
        above = high + (units * UNIT * np.abs(high) + units * TINY)
    return _outward(np.where(np.isinf(low), low, below), np.where(np.isinf(high), high, above))


def activation_image(rho: Activation, low: Array, high: Array) -> Interval:
    """Enclose rho over low <= a <= high, entry by entry, within its range."""
    if rho.name == "identity":
        return low, high
    if rho.name == "sin":
        ends: Interval = _cosine_image(low, high, quarter=True)
    elif rho.slope[0] < 0:  # leaky relu of negative leak: least at the kink
        at_low, at_high = rho(low), rho(high)
        kink = (low < 0) & (high > 0)
        least = np.where(kink, 0.0, np.minimum(at_low, at_high))
        ends = widened(least, np.maximum(at_low, at_high), rho.units)
    else:
        ends = widened(_at_infinity(rho, low), _at_infinity(rho, high), rho.units)
    return np.maximum(ends[0], rho.range[0]), np.minimum(ends[1], rho.range[1])


def activation_upper(rho: Activation, a: Array) -> Array:
    """Return an upper bound of a non-decreasing rho over arguments up to a, entry by entry.

    The upper end of `activation_image` of a alone; what is not a number has the largest value.
    """
    return activation_image(rho, a, a)[1]


def _at_infinity(rho: Activation, a: Array) -> Array:
    """Return rho(a) with its limits at infinite arguments."""
    limit_low = rho.range[0] if math.isfinite(rho.range[0]) else -math.inf
    limit_high = rho.range[1] if math.isfinite(rho.range[1]) else math.inf
    inside = rho(np.where(np.isfinite(a), a, 0.0))
    result: Array = np.where(np.isfinite(a), inside, np.where(a < 0, limit_low, limit_high))
    return result


def slope_range(rho: Activation, low: Array, high: Array) -> Interval:
    r"""Enclose all difference quotients of rho on low <= a <= high, entry by entry.

    A difference quotient is a mean of the derivative over the interval, so the range of the
    derivative encloses it; of tanh and the logistic function it is largest at the point nearest to
    0 and least at the farthest.
    """
    alpha, beta = rho.slope
    shape = np.broadcast_shapes(np.shape(low), np.shape(high))
    if alpha == beta:
        return np.full(shape, alpha), np.full(shape, beta)
    if rho.name in {"tanh", "sigmoid"}:
        nearest = np.where((low <= 0) & (high >= 0), 0.0, np.minimum(np.abs(low), np.abs(high)))
        farthest = np.maximum(np.abs(low), np.abs(high))
        # z = exp(..) errs by 8 u and eta; (1 + z)**2 by 2 (8 + 1) + 1 u, the quotient by one more:
        # 28 u and 4 eta of 4 z / (1 + z)**2, below 4 ELEMENTARY_UNITS of each
        ends = widened(rho.derivative(farthest), rho.derivative(nearest), 4 * ELEMENTARY_UNITS)
    elif rho.name == "softplus":
        # increasing, and itself the logistic function
        ends = widened(rho.derivative(low), rho.derivative(high), 4 * ELEMENTARY_UNITS)
    elif rho.name == "hard_tanh":
        inside = (low >= -1) & (high <= 1)
        outside = (high <= -1) | (low >= 1)
        ends = np.where(inside, 1.0, 0.0), np.where(outside, 0.0, 1.0)
    elif rho.name == "sin":
        ends = _cosine_image(low, high, quarter=False)
    else:  # relu and leaky relu
        below = 0.0 if rho.name == "relu" else rho.leak
        left, right = np.full(shape, below), np.ones(shape)
        ends = (
            np.where(low >= 0, right, np.where(high <= 0, left, min(below, 1.0))),
            np.where(low >= 0, right, np.where(high <= 0, left, max(below, 1.0))),
        )
    return np.clip(ends[0], alpha, beta), np.clip(ends[1], alpha, beta)


#: Beyond this the argument reduction below has lost too many digits to place the extremes.
_LARGEST_ANGLE = 2.0**20

#: Places in half turns err by a few u of at most `_LARGEST_ANGLE`, less than 2**-31: with this
#: margin every extreme inside is counted.
_PLACE = 2.0**-30


def _cosine_image(low: Array, high: Array, *, quarter: bool) -> Interval:
    """Enclose cos (sin with ``quarter``) over low <= a <= high."""
    function = np.sin if quarter else np.cos
    safe = (np.abs(low) <= _LARGEST_ANGLE) & (np.abs(high) <= _LARGEST_ANGLE)
    l, h = np.where(safe, low, 0.0), np.where(safe, high, 0.0)  # noqa: E741
    # in half turns: cos has an extreme at every integer, sin at every integer and a half
    shift = 0.5 if quarter else 0.0
    first = np.ceil(l / math.pi - shift - _PLACE)
    last = np.floor(h / math.pi - shift + _PLACE)
    even = np.floor(last / 2) * 2 >= first
    odd = np.floor((last - 1) / 2) * 2 + 1 >= first
    at_low, at_high = function(l), function(h)
    bottom, top = widened(np.minimum(at_low, at_high), np.maximum(at_low, at_high))
    bottom = np.where(odd | ~safe, -1.0, np.maximum(bottom, -1.0))
    top = np.where(even | ~safe, 1.0, np.minimum(top, 1.0))
    return bottom, top
