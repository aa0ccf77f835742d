r"""Activations of zonotopes: rho(a) = alpha a + beta +- delta, proved over the range of a.

Main names: `relaxed`, `remainder_range`, `secants`.

What is left of rho when a line is taken away, g(a) = rho(a) - alpha a, is enclosed over an interval
by what is known of the shape of rho.  Tangents bound a concave function from above and a convex one
from below, wherever they touch:

    g(a) <= g(t) + g'(t) (a - t)        for all a of an interval on which rho is concave,

so neither alpha nor the place t need be exact: they decide how sharp the enclosure is only.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from theory.arithmetic.activations import Activation
from theory.arithmetic.intervals import (
    Interval,
    activation_image,
    products,
    slope_range,
    sum_of,
)
from theory.arithmetic.zonotopes import Zonotope, combination
from theory.typing import Array

#: Parts of an interval on either side of a centre.
_CUTS = 64

#: Kinks of the activations that are linear in between.
_KINKS = {"relu": (0.0,), "leaky_relu": (0.0,), "hard_tanh": (-1.0, 1.0)}


def _kinks(rho: Activation) -> tuple[float, ...] | None:
    return _KINKS.get(rho.name.split("(")[0])


def _steep_place(rho: Activation, alpha: Array) -> Array:
    """Return about the a >= 0 (of softplus: the a) at which rho'(a) = alpha."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if rho.name == "tanh":
            place = np.arctanh(np.sqrt(np.clip(1.0 - alpha, 0.0, 1.0)))
        elif rho.name == "sigmoid":
            place = 2.0 * np.arctanh(np.sqrt(np.clip(1.0 - 4.0 * alpha, 0.0, 1.0)))
        else:
            share = np.clip(alpha, 0.0, 1.0)
            place = np.log(share) - np.log1p(-share)
    near: Array = np.clip(np.nan_to_num(place, nan=0.0), -800.0, 800.0)
    return near


def _line_left(rho: Activation, alpha: Array, at: Interval) -> Interval:
    """Enclose g(a) = rho(a) - alpha a at the numbers of an interval that is one point."""
    return sum_of(activation_image(rho, *at), products((-alpha, -alpha), at))


def _tangent(rho: Activation, alpha: Array, place: Array, low: Array, high: Array) -> Interval:
    """Return the ends of g(t) + g'(t) (a - t) over low <= a <= high, at their worst."""
    point = place, place
    slope = sum_of(slope_range(rho, *point), (-alpha, -alpha))
    moved = [products(slope, sum_of((end, end), (-place, -place))) for end in (low, high)]
    value = _line_left(rho, alpha, point)
    least = sum_of(value, (np.minimum(moved[0][0], moved[1][0]),) * 2)[0]
    largest = sum_of(value, (np.maximum(moved[0][1], moved[1][1]),) * 2)[1]
    return least, largest


def remainder_range(rho: Activation, alpha: Array, low: Array, high: Array) -> Interval:
    """Enclose rho(a) - alpha a over low <= a <= high, entry by entry; the ends are finite."""
    ends = [_line_left(rho, alpha, (end, end)) for end in (low, high)]
    least = np.minimum(ends[0][0], ends[1][0])
    largest = np.maximum(ends[0][1], ends[1][1])
    if rho.name in {"tanh", "sigmoid"}:
        # convex below 0, where the least is inside, and concave above
        place = _steep_place(rho, alpha)
        right = np.maximum(low, 0.0)
        above = _tangent(rho, alpha, np.clip(place, right, np.maximum(high, right)), right, high)[1]
        left = np.minimum(high, 0.0)
        below = _tangent(rho, alpha, np.clip(-place, np.minimum(low, left), left), low, left)[0]
        largest = np.where(high > 0, np.maximum(largest, above), largest)
        least = np.where(low < 0, np.minimum(least, below), least)
        return least, largest
    if rho.name == "softplus":
        place = np.clip(_steep_place(rho, alpha), low, high)
        return np.minimum(least, _tangent(rho, alpha, place, low, high)[0]), largest
    kinks = _kinks(rho)
    if kinks is not None:
        for kink in kinks:
            at = np.clip(kink, low, high)
            value = _line_left(rho, alpha, (at, at))
            least, largest = np.minimum(least, value[0]), np.maximum(largest, value[1])
        return least, largest
    # g(a) = g(m) + s (a - m) with s among the slopes of rho less alpha
    middle = np.clip(low / 2 + high / 2, low, high)
    slopes = sum_of(slope_range(rho, low, high), (-alpha, -alpha))
    apart = sum_of((low, high), (-middle, -middle))
    return sum_of(_line_left(rho, alpha, (middle, middle)), products(slopes, apart))


def _slopes(rho: Activation, low: Array, high: Array) -> Array:
    """Return slopes of lines of which little is left.

    For a convex or concave rho that of the secant leaves least, and for tanh and the logistic
    function within two per cent of it.
    """
    bottom, top = slope_range(rho, low, high)
    if rho.name == "sin":
        return bottom / 2 + top / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        secant = (rho(high) - rho(low)) / (high - low)
    return np.clip(np.where(np.isfinite(secant), secant, top), bottom, top)


def secants(rho: Activation, centre: Interval, low: Array, high: Array) -> Interval:
    r"""Enclose (rho(a) - rho(c)) / (a - c) over low <= a <= high and c in a narrow interval.

    For a rho that does not decrease, on either side of c the interval is cut, and

        (rho(a_1) - rho(c)) / (a_2 - c) <= (rho(a) - rho(c)) / (a - c)
            <= (rho(a_2) - rho(c)) / (a_1 - c),   c < a_1 <= a <= a_2.

    A secant is also a mean of the slopes on the way from c to a; the slopes alone bound it where
    rho is another one, and where a is as near to c as its own interval is wide.
    """
    ends = np.minimum(low, centre[0]), np.maximum(high, centre[1])
    whole = slope_range(rho, *ends)
    # beyond the largest double nothing is cut
    bounded = np.isfinite(ends[0]) & np.isfinite(ends[1])
    if rho.slope[0] < 0 or not bounded.all():
        return whole
    below, above = activation_image(rho, *centre)
    here = slope_range(rho, *centre)
    least, largest = np.maximum(here[0], 0.0), np.maximum(here[1], 0.0)
    shares = np.linspace(0.0, 1.0, _CUTS + 1)[:, None]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for sign, near, end in ((1.0, centre[1], high), (-1.0, centre[0], low)):
            far = np.maximum(end, near) if sign > 0 else np.minimum(end, near)
            places = near + shares * (far - near)
            places[-1] = far
            inner, outer = places[:-1], places[1:]
            way = np.minimum(outer, centre[0]), np.maximum(outer, centre[1])
            slope = slope_range(rho, *way)
            image = activation_image(rho, np.minimum(inner, outer), np.maximum(inner, outer))
            if sign > 0:
                risen = image[0] - above, image[1] - below
                run = inner - centre[1], outer - centre[0]
            else:
                risen = below - image[1], above - image[0]
                run = centre[0] - inner, centre[1] - outer
            up, down = np.nextafter(risen[1], math.inf), np.nextafter(risen[0], -math.inf)
            short, long = np.nextafter(run[0], -math.inf), np.nextafter(run[1], math.inf)
            steepest = np.where(short > 0, np.nextafter(up / short, math.inf), math.inf)
            flattest = np.where(down > 0, np.nextafter(down / long, 0.0), 0.0)
            largest = np.maximum(largest, np.fmin(steepest, slope[1]).max(axis=0))
            least = np.minimum(least, np.fmax(flattest, slope[0]).min(axis=0))
    return np.fmax(least, np.maximum(whole[0], 0.0)), np.fmin(largest, whole[1])


def relaxed(rho: Activation, a: Zonotope, low: Array, high: Array) -> Zonotope:
    """Return a zonotope of rho(a), for a zonotope of a whose points lie in low <= a <= high.

    The ends may be narrower than those of the zonotope.  Where they are not finite the range of rho
    is all that is known.
    """
    if rho.name == "identity":
        return a
    known = np.isfinite(low) & np.isfinite(high) & (low <= high) & np.isfinite(a.rest)
    l, h = np.where(known, low, 0.0), np.where(known, high, 0.0)  # noqa: E741
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        alpha = np.where(known, _slopes(rho, l, h), 0.0)
        offset = remainder_range(rho, alpha, l, h)
        whole = activation_image(rho, low, high)
        offset = np.where(known, offset[0], whole[0]), np.where(known, offset[1], whole[1])
    return combination([(alpha, a)], offset)


def relaxed_convex(
    value: Callable[[Array], Interval],
    slope: Callable[[Array], Interval],
    place: Callable[[Array], Array],
    a: Zonotope,
    ends: Interval,
) -> Zonotope:
    r"""Return a zonotope of g(a) for a convex g, for a zonotope of a whose points lie between ends.

    `value` and `slope` enclose g and g', and g' is about alpha at `place(alpha)`.  With alpha the
    slope of the secant, g(a) - alpha a is largest at an end, and no less than what any tangent
    leaves, at its worse end.
    """
    low, high = ends
    known = np.isfinite(low) & np.isfinite(high) & (low <= high) & np.isfinite(a.rest)
    l, h = np.where(known, low, a.centre), np.where(known, high, a.centre)  # noqa: E741
    with np.errstate(over="ignore", invalid="ignore", under="ignore", divide="ignore"):
        first, last = value(l), value(h)
        alpha = (last[0] - first[0]) / (h - l)
        alpha = np.where(np.isfinite(alpha), alpha, slope(l)[0])
        left = [sum_of(at, products((-alpha, -alpha), (x, x)))[1] for at, x in
                ((first, l), (last, h))]  # fmt: skip
        p = np.clip(np.where(np.isfinite(at := place(alpha)), at, l / 2 + h / 2), l, h)
        tilt = sum_of(slope(p), (-alpha, -alpha))
        moved = [products(tilt, sum_of((x, x), (-p, -p)))[0] for x in (l, h)]
        base = sum_of(value(p), products((-alpha, -alpha), (p, p)))
        least = sum_of(base, (np.minimum(*moved),) * 2)[0]
        # where nothing bounds the argument nothing bounds g
        least = np.where(known, least, -np.inf)
        most = np.where(known, np.maximum(*left), np.inf)
    return combination([(np.where(known, alpha, 0.0), a)], (least, most))
