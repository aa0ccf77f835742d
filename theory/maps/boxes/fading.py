"""Boxes of recurrences that forget by exp(-y): state-space layers and gated linear units.

Main names: `fading`, `faded_share`, `euler_image`, `euler_box`, `turned_image`, `turned_box`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from theory.arithmetic.intervals import Interval, products, sum_of, widened
from theory.maps.boxes.ends import hull_with_room
from theory.typing import Array


def fading(y: Interval) -> Interval:
    """Enclose exp(-y) over an interval of y >= 0."""
    ends = widened(np.exp(-y[1]), np.exp(-y[0]))
    return np.maximum(ends[0], 0.0), np.minimum(ends[1], 1.0)


def faded_share(y: Array) -> Interval:
    """Enclose 1 - exp(-y) for numbers y >= 0."""
    ends = widened(-np.expm1(-y), -np.expm1(-y))
    return np.maximum(ends[0], 0.0), np.minimum(ends[1], 1.0)


def euler_image(rates: Array, step: Interval, gain: Interval, states: Interval) -> Interval:
    r"""Enclose exp(-a D) h + D w over steps D >= 0, gains w and states h, for the rates a > 0."""
    low = _euler_up(rates, step, -gain[0], -states[0])
    return -low, _euler_up(rates, step, gain[1], states[1])


def _euler_up(rates: Array, step: Interval, w: Array, h: Array) -> Array:
    r"""Bound f(D) = exp(-a D) h + D w from above over an interval of D, for h and w of any sign.

    Of f'' = a**2 exp(-a D) h the sign is that of h.  For h >= 0, f is convex and largest at an end
    of the steps.  For h < 0 it is concave: no larger than any of its tangents, which are largest at
    an end.  The best tangent is that at the largest value,

        f'(D) = w - a h exp(-a D) = 0,     D = log(a h / w) / a   for w < 0,

    or at the end next to it; a point that rounding has moved gives a tangent all the same.
    """

    def fade(D: Array) -> Interval:
        return fading(products((rates, rates), (D, D)))

    def value(D: Array) -> Interval:
        return sum_of(products(fade(D), (h, h)), products((D, D), (w, w)))

    ends = np.maximum(*(value(D)[1] for D in step))
    sinking = h < 0
    if not sinking.any():
        return ends
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        top = np.log(rates * np.where(sinking, h, -1.0) / np.minimum(w, 0.0)) / rates
    # w >= 0 rises to the end; so does what is not a number
    top = np.where(np.isfinite(top), np.clip(top, *step), step[1])
    top = np.where(np.isfinite(top), top, step[0])
    fall = products(products((rates, rates), fade(top)), (-h, -h))
    slope = sum_of((w, w), fall)
    rises = [products(slope, sum_of((D, D), (-top, -top)))[1] for D in step]
    tangent: Array = sum_of(value(top), (np.maximum(*rises), np.maximum(*rises)))[1]
    return np.where(sinking, np.minimum(tangent, _apart_up(fade, step, w, h)), ends)


def _apart_up(fade: Callable[[Array], Interval], step: Interval, w: Array, h: Array) -> Array:
    """Bound exp(-a D) h + D w from above for h < 0, each of the two terms by itself."""
    last = np.where(w >= 0, step[1], step[0])
    return sum_of(products(fade(step[1]), (h, h)), products((last, last), (w, w)))[1]


def euler_box(y: Interval, step: Interval, gain: Interval) -> Interval | None:
    r"""Return a box around 0 that may be invariant under exp(-a D) h + D w.

    w D / (1 - exp(-a D)) grows with D, so the longest step decides.
    """
    rest = faded_share(y[1])[0]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        ends = tuple(np.where(w == 0, 0.0, w * (step[1] / rest)) for w in gain)
    return hull_with_room((ends[0], ends[1]))


def turned_image(y: Interval, drive: Interval, states: Interval) -> Interval:
    """Enclose exp(-y) h + sqrt(1 - exp(-2 y)) w over intervals of y >= 0, of h, and of w."""
    low, high = states
    return -_turned_up(y, -drive[0], -low), _turned_up(y, drive[1], high)


def roots(y: Array) -> Interval:
    """Enclose sqrt(1 - exp(-2 y))."""
    value = np.sqrt(-np.expm1(-2.0 * y))
    low, high = widened(value, value)
    return np.maximum(low, 0.0), np.minimum(high, 1.0)


#: A product of doubles above this is off by less than 2 u of itself, underflow included.
_NORMAL = 2.0**-1000


#: Products of two computed numbers that differ by less, relatively, are not told apart: far above
#: the few dozen u by which a root of an exponential function times a number errs.
_DOUBT = 2.0**-40


def _turned_up(y: Interval, w: Array, h: Array) -> Array:
    r"""Bound a h + sqrt(1 - a**2) w from above over a = exp(-y), for h and w of any sign.

    With (a, sqrt(1 - a**2)) = (cos t, sin t), t in [0, pi / 2], it is g(t) = h cos t + w sin t:

        h <= 0 and w <= 0:   g'' = -g >= 0, so g is convex and largest at an end;
        h <= 0 <= w:         g' = -h sin t + w cos t >= 0, so it is largest at the last t;
        w <= 0 <= h:         g' <= 0, so it is largest at the first t;
        h, w > 0:            g is concave with its largest value |(h, w)| at tan t = w / h, and
                             largest at the end next to that place, if the place is not inside.
    """
    at_ends = [(fading((end, end)), roots(end)) for end in y]
    (slowest, first), (fastest, last) = at_ends

    def total(a: Interval, s: Interval) -> Array:
        return sum_of(products(a, (h, h)), products(s, (w, w)))[1]

    ends = np.maximum(*(total(a, s) for a, s in at_ends))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        # tan t >= w / h from the first t on, or up to the last: decided with a margin that is far
        # above the few u by which such products err, and only where they do not underflow
        after = _surely_below(slowest[1] * w, first[0] * h)
        before = _surely_below(last[1] * h, fastest[0] * w)
        length = widened(*(np.hypot(h, w),) * 2)[1]
    apart = total(slowest, (last[1], last[1]))
    inside = (h > 0) & (w > 0) & ~after & ~before
    result: Array = np.where(inside, np.minimum(length, apart), ends)
    return result


def _surely_below(small: Array, large: Array) -> np.ndarray[tuple[int, ...], np.dtype[np.bool]]:
    """Return where one product of two computed numbers is below another one, errors included."""
    return np.asarray((large >= _NORMAL) & (small <= large * (1 - _DOUBT)))


def turned_box(y: Interval, drive: Interval) -> Interval | None:
    r"""Return a box around 0 that may be invariant under a h + sqrt(1 - a**2) w, a = exp(-y).

    h = w sqrt(1 - a**2) / (1 - a) is what the largest a keeps, and others keep more than enough.
    """
    rest = faded_share(y[0])[0]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        ends = tuple(np.where(w == 0, 0.0, w * (roots(y[0])[1] / rest)) for w in drive)
    return hull_with_room((ends[0], ends[1]))
