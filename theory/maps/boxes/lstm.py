"""Boxes of an LSTM: enclosures of a step, an invariant box, and matrices that majorise a step.

Main names: `lstm_image`, `lstm_box`, `lstm_gains`, `lstm_comparison`, `lstm_terms`,
`lstm_sectors`, `lstm_input_comparison`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from theory.arithmetic.activations import SIGMOID, TANH
from theory.arithmetic.intervals import (
    Interval,
    activation_image,
    plus_up,
    products,
    slope_range,
    sum_of,
    times_up,
)
from theory.maps.boxes.ends import (
    Ends,
    Weights,
    finite_or_none,
    magnitude,
    meet,
    narrowed,
    preactivation,
    scaled,
    steepest,
    with_room,
)
from theory.theorems.sectors import Sector, Sectors
from theory.theorems.terms import Signal, Terms
from theory.typing import Array


class LSTMRanges(NamedTuple):
    """Ranges of the gates and largest slopes over a box; every array is (n,)."""

    i: Interval
    f: Interval
    g: Interval
    o: Interval
    kept: Interval  # 1 - f
    new: Interval  # i g
    slope_i: Array
    slope_f: Array
    slope_g: Array
    slope_o: Array


def lstm_ranges(
    gates: Weights, hidden: Interval, inputs: Interval, box: Ends | None = None
) -> LSTMRanges:
    """Enclose the gates i, f, g, o, stacked in this order, over boxes of h and x.

    Of a box that knows more of their arguments that is used, too.
    """
    at = preactivation(gates, hidden, inputs)
    low, high = at if box is None else narrowed(at, box)
    i, f, g, o = zip(np.split(low, 4), np.split(high, 4), strict=True)
    entry, candidate = activation_image(SIGMOID, *i), activation_image(TANH, *g)
    return LSTMRanges(
        i=entry,
        f=activation_image(SIGMOID, *f),
        g=candidate,
        o=activation_image(SIGMOID, *o),
        kept=activation_image(SIGMOID, -f[1], -f[0]),
        new=products(entry, candidate),
        slope_i=steepest(SIGMOID, i),
        slope_f=steepest(SIGMOID, f),
        slope_g=steepest(TANH, g),
        slope_o=steepest(SIGMOID, o),
    )


def _halves(box: Ends) -> tuple[Interval, Interval, Interval]:
    """Return the intervals of c, h and x."""
    n = len(box.low) // 2
    return (
        (box.low[:n], box.high[:n]),
        (box.low[n:], box.high[n:]),
        (box.input_low, box.input_high),
    )


def _new_cell(r: LSTMRanges, cell: Interval) -> Interval:
    r"""Enclose f c + i g over a box of c.

    At an upper end c >= 0 it is c - (1 - f) c + i g, hence at most c where i g <= (1 - f) c.  That
    is decided without f, of which nothing is left beside 1 at large forget biases; a lower end
    below 0 likewise.
    """
    low, high = sum_of(products(r.f, cell), r.new)
    least = r.kept[0]  # of 1 - f
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        # rounded down, and 0 where it is not positive
        lost = [np.maximum(np.nextafter(least * end, 0.0), 0.0) for end in (-cell[0], cell[1])]
    stays = [lost[0] >= -r.new[0], lost[1] >= r.new[1]]
    return (
        np.where(stays[0] & (cell[0] <= 0), np.maximum(low, cell[0]), low),
        np.where(stays[1] & (cell[1] >= 0), np.minimum(high, cell[1]), high),
    )


def shown_range(o: Interval, c: Interval) -> Interval:
    """Enclose o tanh(c); neither factor exceeds 1, and nor does it, however it is rounded."""
    low, high = products(o, activation_image(TANH, *c))
    return np.maximum(low, -1.0), np.minimum(high, 1.0)


def lstm_image(gates: Weights, box: Ends) -> Interval:
    """Enclose (c+, h+) over a box of (c, h) and x."""
    cell, hidden, inputs = _halves(box)
    r = lstm_ranges(gates, hidden, inputs)
    c = _new_cell(r, cell)
    h = shown_range(r.o, c)
    return np.concatenate([c[0], h[0]]), np.concatenate([c[1], h[1]])


#: Rounds of narrowing, each of the cost of a step or two; most end long before.
ROUNDS = 30

#: Narrowing ends when no width has lost this part of itself.
SETTLED = 2.0**-10


def lstm_box(gates: Weights, inputs: Interval) -> Interval | None:
    r"""Return a box of (c, h) that may be invariant, by alternation between h and c.

    With all forget gates below F < 1 and i g in [l, u], the cell states [min(0, l / (1 - F)),
    max(0, u / (1 - F))] stay, as F c + u <= c at the upper end; they bound h = o tanh(c), hence the
    gates, hence i g and F.
    """
    n = len(gates.W) // 4
    hidden = (-np.ones(n), np.ones(n))
    cell = (np.zeros(n), np.zeros(n))
    for _ in range(ROUNDS):
        r = lstm_ranges(gates, hidden, inputs)
        rest = r.kept[0]
        if not bool(np.all(rest > 0)):
            return None
        with np.errstate(over="ignore"):
            cell = with_room(r.new[0] / rest, r.new[1] / rest)
        if not (np.isfinite(cell[0]).all() and np.isfinite(cell[1]).all()):
            return None
        outer = with_room(*shown_range(r.o, cell))
        smaller = np.maximum(outer[0], hidden[0]), np.minimum(outer[1], hidden[1])
        before, after = hidden[1] - hidden[0], smaller[1] - smaller[0]
        hidden = smaller
        if bool(np.all(after >= before * (1 - SETTLED))):
            break
    return np.concatenate([cell[0], hidden[0]]), np.concatenate([cell[1], hidden[1]])


class LSTMGains(NamedTuple):
    """What multiplies differences in one step of an LSTM; every array is (n,)."""

    forget: Array  # of c in c+
    by_i: Array  # of the pre-activations of i, f, g in c+
    by_f: Array
    by_g: Array
    output: Array  # of c+ in h+
    by_o: Array  # of the pre-activation of o in h+


def lstm_gains(gates: Weights, box: Ends) -> LSTMGains:
    r"""Bound what multiplies each difference.

    c+ - c'+ = f (c - c') + c' (f - f') + i (g - g') + g' (i - i'),
    h+ - h'+ = o (tanh c+ - tanh c'+) + tanh(c'+) (o - o').
    """
    cell, hidden, inputs = _halves(box)
    r = lstm_ranges(gates, hidden, inputs, box)
    c = _new_cell(r, cell)
    if box.ranges is not None:
        c = meet(c, cell)  # of states reached from zero c+ is one of them
    return LSTMGains(
        forget=r.f[1],
        by_i=times_up(r.slope_i, magnitude(r.g)),
        by_f=times_up(r.slope_f, magnitude(cell)),
        by_g=times_up(r.i[1], r.slope_g),
        output=times_up(r.o[1], steepest(TANH, c)),
        by_o=times_up(r.slope_o, magnitude(activation_image(TANH, *c))),
    )


def lstm_comparison(gates: Weights, box: Ends) -> tuple[Array, ...] | None:
    """Return the matrix (2 n, 2 n) that majorises a step; None if it is not finite."""
    k = lstm_gains(gates, box)
    A, last = _lstm_blocks(k, gates.W)
    n = len(A)
    M = np.zeros((2 * n, 2 * n))
    units = np.arange(n)
    M[units, units] = k.forget
    M[units + n, units] = times_up(k.output, k.forget)
    M[:n, n:], M[n:, n:] = A, last
    return finite_or_none(M)


def lstm_terms(gates: Weights, box: Ends) -> Terms | None:
    """Return the terms of c and of W h in i, f, g and o; None if a coefficient is not finite."""
    k = lstm_gains(gates, box)
    own = [k.forget, k.by_i, k.by_f, k.by_g]
    rows = [
        np.stack([*own, np.zeros_like(k.by_o)]),
        np.stack([*(times_up(k.output, c) for c in own), k.by_o]),
    ]
    C = np.stack(rows)[None]
    if not np.isfinite(C).all():
        return None
    signals = (Signal(0, None), *(Signal(1, V) for V in np.split(gates.W, 4)))
    return Terms(coefficients=C, signals=signals, state_parts=2)


def lstm_sectors(gates: Weights, box: Ends) -> Sectors:
    r"""Return the sectors of the same differences, with their signs: o (tanh c+ - ..) is of c+."""
    cell, hidden, inputs = _halves(box)
    r = lstm_ranges(gates, hidden, inputs, box)
    c = _new_cell(r, cell)
    if box.ranges is not None:
        c = meet(c, cell)
    low, high = narrowed(preactivation(gates, hidden, inputs), box)
    at = zip(np.split(low, 4), np.split(high, 4), strict=True)
    rho = (SIGMOID, SIGMOID, TANH, SIGMOID)
    by_i, by_f, by_g, by_o = (slope_range(one, *a) for one, a in zip(rho, at, strict=True))
    V_i, V_f, V_g, V_o = np.split(gates.W, 4)
    return Sectors(
        units=len(V_i),
        state_parts=2,
        terms=(
            Sector(0, ((0, 1.0),), r.f),
            Sector(0, ((1, V_i),), products(by_i, r.g)),
            Sector(0, ((1, V_f),), products(by_f, cell)),
            Sector(0, ((1, V_g),), products(r.i, by_g)),
            Sector(1, ((2, 1.0),), products(r.o, slope_range(TANH, *c))),
            Sector(1, ((1, V_o),), products(by_o, activation_image(TANH, *c))),
        ),
    )


def _lstm_blocks(k: LSTMGains, V: Array) -> tuple[Array, Array]:
    """Return what multiplies |v - v'|, V v being in the gates: of c+ and of h+."""
    V_i, V_f, V_g, V_o = np.split(V, 4)
    A = plus_up(scaled(k.by_i, V_i), scaled(k.by_f, V_f), scaled(k.by_g, V_g))
    return A, plus_up(times_up(k.output[:, None], A), scaled(k.by_o, V_o))


def lstm_input_comparison(gates: Weights, box: Ends) -> Array | None:
    """Return the matrix (2 n, m) that majorises a step in its input; None if it is not finite."""
    found = finite_or_none(np.vstack(_lstm_blocks(lstm_gains(gates, box), gates.U)))
    return None if found is None else found[0]
