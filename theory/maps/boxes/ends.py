"""Boxes as pairs of ends, carried through affine maps and activations.

Main names: `Ends`, `ends_of`, `preactivation`, `steepest`, `fixed_box`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from theory.arithmetic.activations import Activation
from theory.arithmetic.intervals import (
    Interval,
    affine_image,
    complement,
    products,
    slope_range,
    sum_of,
    times_up,
)
from theory.arithmetic.rounding import BOX_ROOM
from theory.domain import Domain
from theory.typing import Array


class Ends(NamedTuple):
    """A box of states and one of inputs, whose ends may be infinite."""

    low: Array  # (n,)
    high: Array  # (n,)
    input_low: Array  # (m,)
    input_high: Array  # (m,)
    ranges: Interval | None = None  # what is known besides of the gates' arguments, (p,) each


class Weights(NamedTuple):
    """The weights of one gate, or of several in a stack."""

    W: Array  # (n, n)
    U: Array  # (n, m)
    b: Array  # (n,)


def ends_of(domain: Domain | None, n: int, m: int) -> Ends:
    """Return the ends of a domain, infinite ones if there is none."""
    if domain is None:
        return Ends(
            np.full(n, -math.inf), np.full(n, math.inf), np.full(m, -math.inf), np.full(m, math.inf)
        )
    if (domain.state_dim, domain.input_dim) != (n, m):
        raise ValueError(
            f"the domain has {domain.state_dim} states and {domain.input_dim} inputs, needed {n} "
            f"and {m}"
        )
    reached = domain.reached
    # of a ball nothing is known but the box around it
    ranges = None if reached is None or reached.ball else reached.ranges
    return Ends(domain.low, domain.high, domain.input_low, domain.input_high, ranges)


def meet(a: Interval, b: Interval) -> Interval:
    """Return the intersection of two intervals that hold the same numbers."""
    return np.maximum(a[0], b[0]), np.minimum(a[1], b[1])


def narrowed(at: Interval, box: Ends, first: int = 0) -> Interval:
    """Return intervals of gates' arguments, with what the box knows of them from `first` on.

    Raises
    ------
    ValueError
        If it knows of other gates than those.
    """
    if box.ranges is None:
        return at
    rows = slice(first, first + len(at[0]))
    known = box.ranges[0][rows], box.ranges[1][rows]
    if len(known[0]) != len(at[0]):
        raise ValueError(
            f"the domain knows the ranges of {len(box.ranges[0])} arguments of gates, needed "
            f"{first + len(at[0])} at least; is it one of another map?"
        )
    return meet(at, known)


def magnitude(interval: Interval) -> Array:
    """Return the largest |a| in an interval."""
    largest: Array = np.maximum(np.abs(interval[0]), np.abs(interval[1]))
    return largest


def preactivation(gate: Weights, states: Interval, inputs: Interval) -> Interval:
    """Enclose W h + U x + b."""
    return sum_of(affine_image(gate.W, *states, gate.b), affine_image(gate.U, *inputs))


def steepest(rho: Activation, at: Interval) -> Array:
    """Return an upper bound of all slopes of a non-decreasing rho on an interval."""
    return slope_range(rho, *at)[1]


def scaled(rows: Array, A: Array) -> Array:
    """Return diag(rows) |A|, rounded upward."""
    return times_up(rows[:, None], np.abs(A))


def finite_or_none(*matrices: Array) -> tuple[Array, ...] | None:
    """Return the matrices if all their entries are finite."""
    return matrices if all(np.isfinite(M).all() for M in matrices) else None


def mixed(share: Interval, kept: Interval, new: Interval) -> Interval:
    """Enclose s p + (1 - s) q for s in the share, p in `kept`, q in `new`.

    It is affine in s, hence largest and least at the ends of the share, and a mean of p and q,
    hence within their hull.
    """
    first, last = (sum_of(products((s, s), kept), products(complement(s), new)) for s in share)
    low, high = np.minimum(first[0], last[0]), np.maximum(first[1], last[1])
    return (
        np.maximum(low, np.minimum(kept[0], new[0])),
        np.minimum(high, np.maximum(kept[1], new[1])),
    )


#: The same for what is so small that a part of itself is no room.
_LEAST_ROOM = 2.0**-500


def with_room(low: Array, high: Array) -> Interval:
    """Return the hull of 0 and an interval, a little wider."""
    wide = (1 + BOX_ROOM, _LEAST_ROOM)
    return (
        np.where(low < 0, low * wide[0] - wide[1], 0.0),
        np.where(high > 0, high * wide[0] + wide[1], 0.0),
    )


def hull_with_room(ends: Interval) -> Interval | None:
    """Return the hull of 0 and an interval, a little wider; None if it is not bounded."""
    if not (np.isfinite(ends[0]).all() and np.isfinite(ends[1]).all()):
        return None
    return with_room(*ends)


#: By how much the start of `fixed_box` is widened: more than a solution of a linear system, good to
#: half of the digits, is off.
_WIDER = 2.0**-20


def fixed_box(M: Array, start: Array) -> Interval | None:
    """Return -r, r with r = (I - M)^-1 s, a little wider; None if M has not a radius below 1."""
    if not (np.isfinite(start).all() and np.isfinite(M).all()):
        return None
    if not np.max(np.abs(np.linalg.eigvals(M))) < 1:
        return None
    # a candidate, widened so that the outward-rounded image fits; a zero stays narrow
    wider = start * (1 + _WIDER) + _LEAST_ROOM
    try:
        bare = np.asarray(np.linalg.solve(np.eye(len(M)) - M, wider))
    except np.linalg.LinAlgError:  # a radius of 1, computed as less
        return None
    # states that little drives but the others need room beside these, as in a shift register
    alone = start < _WIDER * bare
    if not np.any(alone):
        return -bare, bare
    wider = np.where(alone, wider + _WIDER * bare, wider)
    r = np.asarray(np.linalg.solve(np.eye(len(M)) - M, wider))
    return -r, r
