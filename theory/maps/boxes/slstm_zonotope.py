"""A step of an sLSTM on zonotopes, in the coordinates (y, s, h).

Main name: `slstm_carried`.
"""

from __future__ import annotations

import math

import numpy as np

from theory.arithmetic.activations import SIGMOID, SOFTPLUS, TANH
from theory.arithmetic.intervals import Interval, activation_image, products, sum_of, widened
from theory.arithmetic.relaxations import relaxed
from theory.arithmetic.rounding import ELEMENTARY_UNITS
from theory.arithmetic.zonotopes import Zonotope, combination, product, stacked
from theory.maps.boxes.ends import meet, mixed, preactivation
from theory.maps.boxes.reached import EXCESS
from theory.maps.boxes.slstm import Exponential, log_normaliser, minus, ranges_of
from theory.typing import Array


def _relaxed_log(s: Zonotope, low: Array, high: Array) -> Zonotope:
    r"""Return a zonotope of log(e^s - 1), which is concave, over low <= s <= high.

    From 0 on nothing bounds it.
    What is left of a line is least at an end and at most that of a tangent,

        L(s) - alpha s <= L(t) - alpha t + (L'(t) - alpha) (s - t),    L'(t) = 1 / (1 - e^{-t}).
    """
    known = (low > 0) & np.isfinite(high)
    low, high = np.where(known, low, 1.0), np.where(known, high, 1.0)
    ends = [log_normaliser(end) for end in (low, high)]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        steep = [-1.0 / np.expm1(-end) for end in (high, low)]
        secant = (ends[1][1] - ends[0][0]) / (high - low)
        alpha = np.clip(np.where(np.isfinite(secant), secant, steep[0]), *steep)
        place = np.clip(np.nan_to_num(-np.log1p(-1.0 / alpha), nan=0.0), low, high)
        at = -1.0 / np.expm1(-place)
    slope = sum_of(widened(at, at, 2 * ELEMENTARY_UNITS), (-alpha, -alpha))
    left = [
        sum_of(value, products((-alpha, -alpha), (end, end)))
        for value, end in zip((*ends, log_normaliser(place)), (low, high, place), strict=True)
    ]
    moved = [products(slope, sum_of((end, end), (-place, -place))) for end in (low, high)]
    above = [sum_of(left[2], one)[1] for one in moved]
    least, largest = np.minimum(left[0][0], left[1][0]), np.maximum(above[0], above[1])
    return combination(
        [(alpha, s)],
        (np.where(known, least, -math.inf), np.where(known, largest, math.inf)),
    )


@np.errstate(over="ignore", invalid="ignore")
def slstm_carried(
    cell: Exponential, both: Zonotope, known: Interval, inputs: Interval, box: Interval
) -> Zonotope:
    """Return the step of (y, s, h, x), whose symbols are shared, from states in `known`."""
    n = len(cell.stack.W) // 4
    one, rows = np.ones(n), [slice(k * n, (k + 1) * n) for k in range(4)]
    y, s, h = ((known[0][at], known[1][at]) for at in rows[:3])
    W, U, b = cell.stack
    form = both.rows(slice(2 * n, None)).affine(np.hstack([W, U]), b)
    at = meet(form.hull(), preactivation(cell.stack, h, inputs))
    i, f, z, o = (form.rows(r) for r in rows)
    f_at = at[0][rows[1]], at[1][rows[1]]
    if cell.forgets:
        f = combination([(-one, relaxed(SOFTPLUS, f.scaled(-one), *minus(f_at)))])
    r = ranges_of(cell, s, h, inputs)
    d = combination([(one, i), (-one, f), (-one, _relaxed_log(both.rows(rows[1]), *r.s))])
    d_ends = meet(d.hull(), r.d)
    low, high = activation_image(SIGMOID, *d_ends)
    new_z = relaxed(TANH, z, at[0][rows[2]], at[1][rows[2]])
    apart = combination([(one, new_z), (-one, both.rows(rows[0]))])
    moved = product(relaxed(SIGMOID, d, *d_ends), apart, (low, high), sum_of(r.z, minus(y)))
    image = mixed(activation_image(SIGMOID, *minus(d_ends)), y, r.z)
    new_y = combination([(one, both.rows(rows[0])), (one, moved)])
    new_y = new_y.within(*meet(image, (box[0][rows[0]], box[1][rows[0]])), EXCESS).unshared()
    # log(f nu + i) = a + softplus(-d)
    soft = relaxed(SOFTPLUS, d.scaled(-one), *minus(d_ends))
    total = combination([(one, i), (one, soft)])
    t_ends = meet(total.hull(), r.total)
    new_s = relaxed(SOFTPLUS, total, *t_ends)
    inside = meet(activation_image(SOFTPLUS, *t_ends), (box[0][rows[1]], box[1][rows[1]]))
    new_s = new_s.within(*inside, EXCESS)
    gate = relaxed(SIGMOID, o, at[0][rows[3]], at[1][rows[3]])
    y_ends = meet(new_y.hull(), image)
    shown = product(gate, new_y, r.o, y_ends)
    shown = shown.within(*meet(products(r.o, y_ends), (box[0][rows[2]], box[1][rows[2]])), EXCESS)
    return stacked(new_y, new_s.padded(after=new_y.symbols - new_s.symbols), shown)
