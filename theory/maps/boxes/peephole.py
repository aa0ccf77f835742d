"""Boxes of an LSTM with peepholes, or gates that are piecewise linear: enclosures and majorants.

Main names: `peephole_image`, `peephole_box`, `peephole_comparison`, `peephole_input_comparison`,
`peephole_slopes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np

from theory.arithmetic.activations import TANH
from theory.arithmetic.hard import Gate
from theory.arithmetic.intervals import (
    Interval,
    activation_image,
    plus_up,
    products,
    sum_of,
    times_up,
)
from theory.maps.boxes.ends import (
    Ends,
    Weights,
    finite_or_none,
    magnitude,
    preactivation,
    scaled,
    with_room,
)
from theory.maps.boxes.lstm import ROUNDS, SETTLED, shown_range
from theory.maps.boxes.slopes import slopes_at, times_rows
from theory.typing import Array


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Peepholes:
    """The weights of the cell."""

    stack: Weights  # of i, f, g, o
    p: tuple[Array, Array, Array]  # of c in i and f, and of c+ in o
    gate: Gate


class _Ranges(NamedTuple):
    """Ranges of the gates and their slopes over a box; every end is (n,)."""

    i: Interval
    f: Interval
    g: Interval
    o: Interval
    kept: Interval  # 1 - f
    cell: Interval  # c+
    slope_i: Interval
    slope_f: Interval
    slope_g: Interval
    slope_o: Interval


def _ranges(cell: Peepholes, c: Interval, h: Interval, x: Interval) -> _Ranges:
    """Enclose the gates in the order in which they are computed."""
    low, high = preactivation(cell.stack, h, x)
    i, f, g, o = zip(np.split(low, 4), np.split(high, 4), strict=True)
    p_i, p_f, p_o = ((p, p) for p in cell.p)
    i, f = sum_of(i, products(p_i, c)), sum_of(f, products(p_f, c))
    entry, kept, candidate = cell.gate.image(*i), cell.gate.image(*f), activation_image(TANH, *g)
    new = _new_cell(kept, cell.gate.rest(*f), c, products(entry, candidate))
    o = sum_of(o, products(p_o, new))
    return _Ranges(
        i=entry,
        f=kept,
        g=candidate,
        o=cell.gate.image(*o),
        kept=cell.gate.rest(*f),
        cell=new,
        slope_i=cell.gate.slopes(*i),
        slope_f=cell.gate.slopes(*f),
        slope_g=slopes_at(TANH, g),
        slope_o=cell.gate.slopes(*o),
    )


def _new_cell(f: Interval, rest: Interval, c: Interval, new: Interval) -> Interval:
    """Enclose f c + i g; as c - (1 - f) c + i g it stays below an end where i g <= (1 - f) c."""
    low, high = sum_of(products(f, c), new)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        lost = [np.maximum(np.nextafter(rest[0] * end, 0.0), 0.0) for end in (-c[0], c[1])]
    stays = [lost[0] >= -new[0], lost[1] >= new[1]]
    return (
        np.where(stays[0] & (c[0] <= 0), np.maximum(low, c[0]), low),
        np.where(stays[1] & (c[1] >= 0), np.minimum(high, c[1]), high),
    )


def _parts(box: Ends) -> tuple[Interval, Interval, Interval]:
    n = len(box.low) // 2
    return (
        (box.low[:n], box.high[:n]),
        (box.low[n:], box.high[n:]),
        (box.input_low, box.input_high),
    )


def peephole_image(cell: Peepholes, box: Ends) -> Interval:
    """Enclose (c+, h+) over a box of (c, h) and x."""
    r = _ranges(cell, *_parts(box))
    h = shown_range(r.o, r.cell)
    return np.concatenate([r.cell[0], h[0]]), np.concatenate([r.cell[1], h[1]])


def peephole_box(cell: Peepholes, inputs: Interval) -> Interval | None:
    """Return a box of (c, h) that may be invariant: c grows until its own gates hold it."""
    n = len(cell.stack.W) // 4
    h = (-np.ones(n), np.ones(n))
    c = (np.zeros(n), np.zeros(n))
    for _ in range(ROUNDS):
        r = _ranges(cell, c, h, inputs)
        if not bool(np.all(r.kept[0] > 0)):
            return None
        new = products(r.i, r.g)
        with np.errstate(over="ignore"):
            grown = with_room(new[0] / r.kept[0], new[1] / r.kept[0])
        if not (np.isfinite(grown[0]).all() and np.isfinite(grown[1]).all()):
            return None
        # without peepholes it depends on h alone, and the next round may only narrow h
        wider = np.minimum(grown[0], c[0]), np.maximum(grown[1], c[1])
        settled = bool(
            np.all(wider[1] - wider[0] <= (c[1] - c[0]) * (1 + SETTLED))
            and np.all(wider[0] >= c[0] * (1 + SETTLED))
        )
        c = wider
        if settled:
            break
    shown = with_room(*shown_range(r.o, c))
    h = np.maximum(shown[0], h[0]), np.minimum(shown[1], h[1])
    return np.concatenate([c[0], h[0]]), np.concatenate([c[1], h[1]])


class _Gains(NamedTuple):
    """What multiplies differences; every array is (n,)."""

    own: Array  # of c in c+
    by_i: Array  # of the pre-activations of i, f, g in c+
    by_f: Array
    by_g: Array
    out: Array  # of c+ in h+
    by_o: Array  # of the pre-activation of o in h+


def _gains(cell: Peepholes, box: Ends) -> _Gains:
    r"""Bound what multiplies each difference; p is what a gate sees of c.

    c+ - c'+ = f (c - c') + c' (f - f') + i (g - g') + g' (i - i'),
    h+ - h'+ = o (tanh c+ - tanh c'+) + tanh(c'+) (o - o').
    """
    c, h, x = _parts(box)
    r = _ranges(cell, c, h, x)
    p_i, p_f, p_o = (np.abs(p) for p in cell.p)
    by_i = times_up(magnitude(r.slope_i), magnitude(r.g))
    by_f = times_up(magnitude(r.slope_f), magnitude(c))
    by_o = times_up(magnitude(r.slope_o), magnitude(activation_image(TANH, *r.cell)))
    through = times_up(r.o[1], slopes_at(TANH, r.cell)[1])
    return _Gains(
        own=plus_up(r.f[1], times_up(by_i, p_i), times_up(by_f, p_f)),
        by_i=by_i,
        by_f=by_f,
        by_g=times_up(r.i[1], r.slope_g[1]),
        out=plus_up(through, times_up(by_o, p_o)),
        by_o=by_o,
    )


def _blocks(k: _Gains, V: Array) -> tuple[Array, Array]:
    """Return what multiplies |v - v'|, V v being in the gates: of c+ and of h+."""
    V_i, V_f, V_g, V_o = np.split(V, 4)
    A = plus_up(scaled(k.by_i, V_i), scaled(k.by_f, V_f), scaled(k.by_g, V_g))
    return A, plus_up(times_up(k.out[:, None], A), scaled(k.by_o, V_o))


def peephole_comparison(cell: Peepholes, box: Ends) -> tuple[Array, ...] | None:
    """Return the matrix (2 n, 2 n) that majorises a step; None if it is not finite."""
    with np.errstate(invalid="ignore", over="ignore"):
        k = _gains(cell, box)
        A, last = _blocks(k, cell.stack.W)
    n = len(A)
    M = np.zeros((2 * n, 2 * n))
    units = np.arange(n)
    M[units, units] = k.own
    M[units + n, units] = times_up(k.out, k.own)
    M[:n, n:], M[n:, n:] = A, last
    return finite_or_none(M)


def peephole_input_comparison(cell: Peepholes, box: Ends) -> Array | None:
    """Return the matrix (2 n, m) that majorises a step in its input; None if it is not finite."""
    with np.errstate(invalid="ignore", over="ignore"):
        found = finite_or_none(np.vstack(_blocks(_gains(cell, box), cell.stack.U)))
    return None if found is None else found[0]


def peephole_slopes(cell: Peepholes, box: Ends, *, in_state: bool) -> Interval:
    r"""Enclose d(c+, h+) / d(c, h), (2 n, 2 n), or by the inputs, (2 n, m).

    dc+ = (f + g s_i p_i + c s_f p_f) dc + (g s_i V_i + c s_f V_f + i s_g V_g) dv,
    dh+ = (o t' + t s_o p_o) dc+ + t s_o V_o dv,     t = tanh(c+).
    """
    c, h, x = _parts(box)
    r = _ranges(cell, c, h, x)
    p_i, p_f, p_o = ((p, p) for p in cell.p)
    V_i, V_f, V_g, V_o = np.split(cell.stack.W if in_state else cell.stack.U, 4)
    by_i, by_f = products(r.slope_i, r.g), products(r.slope_f, c)
    by = sum_of(
        times_rows(by_i, V_i), times_rows(by_f, V_f), times_rows(products(r.i, r.slope_g), V_g)
    )
    shown = products(r.slope_o, activation_image(TANH, *r.cell))
    through = sum_of(products(r.o, slopes_at(TANH, r.cell)), products(shown, p_o))
    out = sum_of(times_rows(through, by), times_rows(shown, V_o))
    if not in_state:
        return np.vstack([by[0], out[0]]), np.vstack([by[1], out[1]])
    own = sum_of(r.f, products(by_i, p_i), products(by_f, p_f))
    kept = products(through, own)
    low, high = (
        np.block([[np.diag(own[end]), by[end]], [np.diag(kept[end]), out[end]]]) for end in (0, 1)
    )
    return low, high
