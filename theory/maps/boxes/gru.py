"""Boxes of a GRU: enclosures of a step, an invariant box, and matrices that majorise a step.

Main names: `gru_image`, `gru_box`, `gru_comparison`, `gru_terms`, `gru_sectors`,
`gru_input_comparison`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from theory.arithmetic.activations import TANH
from theory.arithmetic.hard import LOGISTIC, Gate
from theory.arithmetic.intervals import (
    Interval,
    activation_image,
    affine_image,
    complement,
    plus_up,
    product_matrix_up,
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
    mixed,
    narrowed,
    preactivation,
    scaled,
    steepest,
    with_room,
)
from theory.maps.boxes.lstm import ROUNDS, SETTLED
from theory.theorems.sectors import Sector, Sectors
from theory.theorems.terms import Signal, Terms
from theory.typing import Array


class GRURanges(NamedTuple):
    """Ranges and largest slopes over a box; every array is (n,)."""

    z: Interval
    rest: tuple[Array, Array]  # upper bounds of 1 - z at the least and at the largest z
    candidate: Interval
    slope_z: Array
    slope_n: Array
    r: Array  # largest r
    turned: Array  # largest |v| times the slope of r, where v is what r multiplies
    held: Interval  # v
    at: tuple[Interval, Interval, Interval]  # the arguments of r, z and n


def gru_ranges(
    gates: Weights, b_candidate: Array, box: Ends, *, reset_after: bool, gate: Gate = LOGISTIC
) -> GRURanges:
    """Enclose the gates r, z and the candidate, stacked in this order, over a box."""
    n = len(gates.W) // 3
    states, inputs = (box.low, box.high), (box.input_low, box.input_high)
    first = Weights(gates.W[: 2 * n], gates.U[: 2 * n], gates.b[: 2 * n])
    low, high = narrowed(preactivation(first, states, inputs), box)
    at_r, at_z = (low[:n], high[:n]), (low[n:], high[n:])
    r = gate.image(*at_r)
    own = affine_image(gates.U[2 * n :], *inputs, gates.b[2 * n :])
    if reset_after:
        held = narrowed(affine_image(gates.W[2 * n :], *states, b_candidate), box, 3 * n)
        at_n = sum_of(own, products(r, held))
    else:
        held = states
        at_n = sum_of(own, affine_image(gates.W[2 * n :], *products(r, held)))
    at_n = narrowed(at_n, box, 2 * n)
    z = gate.image(*at_z)
    return GRURanges(
        z=z,
        rest=(complement(z[0])[1], complement(z[1])[1]),
        candidate=activation_image(TANH, *at_n),
        slope_z=gate.slopes(*at_z)[1],
        slope_n=steepest(TANH, at_n),
        r=r[1],
        turned=times_up(gate.slopes(*at_r)[1], magnitude(held)),
        held=held,
        at=(at_r, at_z, at_n),
    )


def gru_image(
    gates: Weights, b_candidate: Array, box: Ends, *, reset_after: bool, gate: Gate = LOGISTIC
) -> Interval:
    """Enclose (1 - z) n + z h over a box of h and x."""
    r = gru_ranges(gates, b_candidate, box, reset_after=reset_after, gate=gate)
    return mixed(r.z, (box.low, box.high), r.candidate)


def gru_box(
    gates: Weights,
    b_candidate: Array,
    inputs: Interval,
    *,
    reset_after: bool,
    gate: Gate = LOGISTIC,
) -> Interval:
    r"""Return a box of h that may be invariant: the hull of 0 and the candidates it gives.

    h+ is a mean of h and n, so a box that holds every n it gives is never left.
    """
    n = len(gates.W) // 3
    low, high = -np.ones(n), np.ones(n)
    for _ in range(ROUNDS):
        found = gru_ranges(
            gates, b_candidate, Ends(low, high, *inputs), reset_after=reset_after, gate=gate
        ).candidate
        outer = with_room(*found)
        smaller = np.maximum(outer[0], low), np.minimum(outer[1], high)
        settled = bool(np.all(smaller[1] - smaller[0] >= (high - low) * (1 - SETTLED)))
        low, high = smaller
        if settled:
            break
    return low, high


def _gru_candidate(gates: Weights, r: GRURanges, *, reset_after: bool, in_state: bool) -> Array:
    """Return what multiplies a difference of h (or of x) in the candidate n.

    The reset gate multiplies W_n h + b_c, or h before W_n: r v - r' v' = r (v - v') + v' (r - r').
    """
    V_r, _, V_n = np.split(gates.W if in_state else gates.U, 3)
    W_n = np.abs(np.split(gates.W, 3)[2])
    inner = scaled(r.turned, V_r)
    if reset_after:
        through = plus_up(scaled(r.r, V_n) if in_state else np.abs(V_n), inner)
    elif in_state:
        through = product_matrix_up(W_n, plus_up(np.diag(r.r), inner))
    else:
        through = plus_up(np.abs(V_n), product_matrix_up(W_n, inner))
    return times_up(r.slope_n[:, None], through)


def gru_comparison(
    gates: Weights, b_candidate: Array, box: Ends, *, reset_after: bool, gate: Gate = LOGISTIC
) -> tuple[Array, ...] | None:
    r"""Return two matrices that majorise a step: at the least and at the largest update gate.

    h+ - g+ = z (h - g) + (1 - z) (n - n') + (z - z') (g - n'), with z that of h and n', z' of g:
    affine in z entry by entry, hence largest at an end of its range.
    """
    r = gru_ranges(gates, b_candidate, box, reset_after=reset_after, gate=gate)
    N = _gru_candidate(gates, r, reset_after=reset_after, in_state=True)
    Z = scaled(times_up(r.slope_z, _apart(r, box)), np.split(gates.W, 3)[1])
    matrices = [plus_up(np.diag(r.z[end]), times_up(r.rest[end][:, None], N), Z) for end in (0, 1)]
    return finite_or_none(*matrices)


def gru_terms(
    gates: Weights, b_candidate: Array, box: Ends, *, reset_after: bool, gate: Gate = LOGISTIC
) -> Terms | None:
    r"""Return the terms of h and of W h in r, z and n, at the least and the largest update gate.

    As in `gru_comparison`.  With the reset gate before W_n that is multiplied by xi = r h, an
    intermediate part whose difference is at most r |h - g| + (slope of r) |h| |W_r (h - g)|.
    """
    r = gru_ranges(gates, b_candidate, box, reset_after=reset_after, gate=gate)
    V_r, V_z, V_n = np.split(gates.W, 3)
    by_z = times_up(r.slope_z, _apart(r, box))
    none = np.zeros_like(by_z)
    sheets = []
    for end in (0, 1):
        by_n = times_up(r.rest[end], r.slope_n)
        if reset_after:
            rows = [[r.z[end], times_up(by_n, r.turned), by_z, times_up(by_n, r.r)]]
        else:
            rows = [[r.z[end], none, by_z, by_n], [r.r, r.turned, none, none]]
        sheets.append(rows)
    C = np.array(sheets)
    if not np.isfinite(C).all():
        return None
    last = Signal(0 if reset_after else 1, V_n)
    return Terms(
        coefficients=C,
        signals=(Signal(0, None), Signal(0, V_r), Signal(0, V_z), last),
        state_parts=1,
    )


def gru_sectors(
    gates: Weights, b_candidate: Array, box: Ends, *, reset_after: bool, gate: Gate = LOGISTIC
) -> Sectors:
    r"""Return the sectors of h+ - g+ = (n - n') + z ((h - g) - (n - n')) + (z - z') (g - n').

    With the reset gate after W_n, n - n' has two of its own, else one of an intermediate part r h.
    """
    r = gru_ranges(gates, b_candidate, box, reset_after=reset_after, gate=gate)
    V_r, V_z, V_n = np.split(gates.W, 3)
    at_r, at_z, at_n = r.at
    by_n, turning = slope_range(TANH, *at_n), products(gate.slopes(*at_r), r.held)
    opened = gate.image(*at_r)
    if reset_after:
        inner: tuple[Sector, ...] = (
            Sector(1, ((0, V_n),), products(by_n, opened)),
            Sector(1, ((0, V_r),), products(by_n, turning)),
        )
    else:
        inner = (
            Sector(2, ((0, 1.0),), opened),
            Sector(2, ((0, V_r),), turning),
            Sector(1, ((3, V_n),), by_n),
        )
    return Sectors(
        units=len(V_n),
        state_parts=1,
        terms=(
            *inner,
            Sector(0, ((0, 1.0), (2, -1.0)), r.z),
            Sector(0, ((0, V_z),), products(gate.slopes(*at_z), _between(r, box))),
        ),
        direct=((0, (2, 1.0)),),
    )


def _between(r: GRURanges, box: Ends) -> Interval:
    """Enclose h - n for h in the box and n a candidate."""
    with np.errstate(over="ignore"):
        low = np.nextafter(box.low - r.candidate[1], -math.inf)
        high = np.nextafter(box.high - r.candidate[0], math.inf)
    return low, high


def _apart(r: GRURanges, box: Ends) -> Array:
    """Return the largest |h - n| for h in the box and n a candidate."""
    return magnitude(_between(r, box))


def gru_input_comparison(
    gates: Weights, b_candidate: Array, box: Ends, *, reset_after: bool, gate: Gate = LOGISTIC
) -> Array | None:
    """Return the matrix (n, m) that majorises a step in its input; None if it is not finite."""
    r = gru_ranges(gates, b_candidate, box, reset_after=reset_after, gate=gate)
    by_x = _gru_candidate(gates, r, reset_after=reset_after, in_state=False)
    U_z = np.split(gates.U, 3)[1]
    # z (h - h) vanishes, and 1 - z is largest at the least z
    G = plus_up(
        times_up(r.rest[0][:, None], by_x), scaled(times_up(r.slope_z, _apart(r, box)), U_z)
    )
    found = finite_or_none(G)
    return None if found is None else found[0]
