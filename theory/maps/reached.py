r"""The states that trajectories from zero reach, and the ranges of the gates' arguments there.

Main names: `reached_domain`, `is_reached`, `holds_on`, `check_domain`.

Let B be a box that the map never leaves, S -> S+ an enclosure of the steps of those states of S
that lie in B, under all inputs in question, and B_0 a box in B that holds 0 with

    S_0 = B_0,  S_{t+1} = S_t+,     S_r within B_0.                                           (1)

Let h_0 = 0, h_1, .. be a trajectory under such inputs.  By (1) and induction h_jr is in B_0 for all
j; and so for t >= r, t = (j + 1) r + s with 0 <= s < r, h_t is r + s steps away from a state of
B_0:

    h_t in S_{r+s}.                                                                           (2)

For t < r it lies in T_t, where T_0 = {0} and T_{t+1} = T_t+.  So all states lie in the union of
T_0 .. T_{r-1} and S_r .. S_{2r-1}, and the argument of a gate is, in any step of any trajectory
from zero, in the hull of its ranges over these 2 r sets.  The sets S_0 .. S_{r-1}, which begin with
all coordinates of a box apart, do not count.

A difference quotient of a gate between two such states, at whatever two times, is a mean of its
slopes between two numbers of this hull, hence in the range of the slopes over the hull; a product
of such numbers is in the product of their hulls.  So every bound of a step's differences that is
made of such ranges holds, although the union is not convex: `Map.terms`, `Map.comparison`,
`Map.affine_on`.  A truncated model starts from zero too, and its states are among these.

A map may leave every box and yet contract: a rotation does.  From zero it stays in balls, and so in
the box around them (`theory.maps.balls`).

The enclosures are zonotopes (`theory.maps.boxes.reached`), so that what the coordinates of h owe to
the same inputs is not counted as if each had been at its worst.  With r = 1 and boxes this would be
an invariant box.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from theory.arithmetic.intervals import Interval
from theory.arithmetic.zonotopes import Zonotope
from theory.domain import Domain, Reached
from theory.errors import check_count
from theory.inputs import Inputs, as_inputs
from theory.maps.balls import LENGTHS, ball_domain, ball_reach, stays_in_balls
from theory.maps.base import Map, check_map
from theory.maps.boxes.ends import meet
from theory.maps.boxes.reached import Reach
from theory.maps.cascade import Cascade
from theory.maps.invariance import check_invariant, invariant_domain, is_invariant

#: Columns that a zonotope keeps, over its rows.
ORDER = 10

#: Most steps until the enclosures from zero settle, and until those from B_0 are back in it; of a
#: file that names more, or more columns, nothing is computed.
_SETTLE, _PERIODS, _MOST, _MOST_ORDER = 40, 60, 256, 256

#: From zero, widths that grow by less than this part in a step have settled.
_SETTLED = 2.0**-7

#: B_0 is wider than what will be reached by one of these parts, on either side: (1) needs room.
_SLACKS = (2.0**-4, 2.0**-2)

#: Ranges are kept wider by this part than they were found: which columns are kept may differ where
#: sums are rounded otherwise.
_ROOM = 2.0**-12

#: Growth that falls by less than this quotient in a step is not followed to its end.
_MOST_GROWTH = 0.95

#: What widths are compared with at the least.
_LEAST = 2.0**-500

#: Gates whose arguments take nearly what they take on the box are not worth the steps.
_NEAR = 0.9


class _Walk(NamedTuple):
    """What a step of the walk has found."""

    before: Interval  # where the step began
    ranges: Interval
    after: Interval


def _walk(
    recurrent: Map, start: Zonotope, inputs: Interval, outer: Interval, order: int
) -> Iterator[_Walk]:
    """Walk from a set of states, for ever; ends where nothing is known of a step."""
    states = start.unshared()
    before = states.clipped(*outer)
    while True:
        found: Reach | None = recurrent.reach(states, inputs, outer)
        if found is None:
            return
        states = found.states.boxed(order * len(found.states)).unshared()
        after = states.clipped(*outer)
        ends = (*found.ranges, *after)
        if not all(np.isfinite(end).all() for end in ends) or not (after[0] <= after[1]).all():
            return
        yield _Walk(before, found.ranges, after)
        before = after


def _hull(intervals: list[Interval]) -> Interval:
    low, high = zip(*intervals, strict=True)
    return np.minimum.reduce(low), np.maximum.reduce(high)


def _mean_width(ends: Interval) -> float:
    return float(np.mean(ends[1] - ends[0]))


def _limit(hulls: list[Interval]) -> Interval:
    """Return about what hulls grow to that grow by the same quotient in every step."""
    steps = [_mean_width(one) for one in hulls[-3:]]
    if len(steps) < 3 or not steps[1] > steps[0]:
        return hulls[-1]
    quotient = min((steps[2] - steps[1]) / (steps[1] - steps[0]), _MOST_GROWTH)
    more = quotient / (1 - quotient)
    (low, high), (before_low, before_high) = hulls[-1], hulls[-2]
    return low + more * (low - before_low), high + more * (high - before_high)


def _widened(ends: Interval) -> Interval:
    """Return a little wider intervals."""
    room = (ends[1] - ends[0]) * _ROOM
    return np.nextafter(ends[0] - room, -np.inf), np.nextafter(ends[1] + room, np.inf)


def _inside(ends: Interval, box: Interval) -> bool:
    return bool(np.all(box[0] <= ends[0]) and np.all(ends[1] <= box[1]))


def _period(walk: Iterator[_Walk], start: Interval, outer: Interval) -> int | None:
    """Return the steps from B_0 until the states are back in it, a little inside; None if never."""
    width = start[1] - start[0]
    inner = (
        np.where(start[0] > outer[0], start[0] + _ROOM * width, start[0]),
        np.where(start[1] < outer[1], start[1] - _ROOM * width, start[1]),
    )
    excess: list[float] = []
    for count, step in enumerate(walk, start=1):
        if _inside(step.after, inner):
            return count
        out = np.maximum(inner[0] - step.after[0], step.after[1] - inner[1])
        excess.append(float(np.max(out / np.maximum(width, _LEAST))))
        # it falls, if it does, from the second step on
        if count >= _PERIODS or (count > 4 and not excess[-1] < excess[-3]):
            return None
    return None


def _collected(
    recurrent: Map, domain: Domain, reached: Reached
) -> tuple[Interval, Interval] | None:
    """Return the hulls of states and ranges that (1) and (2) give; None if (1) is not seen."""
    inputs, r = (domain.input_low, domain.input_high), reached.period
    zero = np.zeros(recurrent.state_dim)
    walks = [
        _walk(recurrent, Zonotope.box(*ends), inputs, reached.outer, reached.order)
        for ends in (reached.start, (zero, zero))
    ]
    again = [step for step, _ in zip(walks[0], range(2 * r), strict=False)]
    first = [step for step, _ in zip(walks[1], range(r), strict=False)]
    if len(again) < 2 * r or len(first) < r or not _inside(again[r - 1].after, reached.start):
        return None
    used = [*first, *again[r:]]
    return _hull([step.before for step in used]), _hull([step.ranges for step in used])


def reached_domain(
    recurrent: Map, *, inputs: Any, box: Domain | None = None, order: int = ORDER
) -> Domain | None:
    r"""Return what is reached from zero under some inputs, if that is less than the invariant box.

    Parameters
    ----------
    recurrent : Map
    inputs : Inputs, or (..., m) array
        The inputs in question, bounded.
    box : Domain, optional
        What `invariant_domain` found for them.
    order : int
        Columns that a zonotope keeps, over its rows: more are sharper, and slower.

    Returns
    -------
    Domain or None
        Proved; None if the map has no enclosure of this kind, the sets from zero are about as large
        as the box, or no period is found.  Of a map without an invariant box a box around balls, if
        it is not in affine form.  Of a stack, for each layer under what the one below can show it:
        this, or else its box, or else a box around balls.

    Raises
    ------
    ValueError
        As `invariant_domain`, or if the order is not a positive integer.

    Examples
    --------
    >>> from theory import Inputs, VanillaRNN
    >>> turn = VanillaRNN([[0.5, -0.5], [0.5, 0.5]], [[0.3], [0.0]])
    >>> found = reached_domain(turn, inputs=Inputs.box(-1, 1))
    >>> box = invariant_domain(turn, inputs=Inputs.box(-1, 1))
    >>> (found.high / box.high).round(1).tolist()
    [0.9, 0.8]
    >>> found.contains_states([[0.0, 0.0]]), found.contains_states([[0.1, 0.1]])
    (True, False)
    """
    check_map(recurrent)
    check_count(at_least=1, order=order)
    if isinstance(recurrent, Cascade):
        return _of_stack(recurrent, inputs, order)
    if box is None:
        box = invariant_domain(recurrent, inputs=inputs)
    if box is None:
        return kept_domain(recurrent, inputs=inputs)
    if not np.isfinite([box.input_low, box.input_high]).all():
        return None
    box = _kept(recurrent, box)
    if box is None:
        return None
    outer, ends = (box.low, box.high), (box.input_low, box.input_high)
    whole = next(_walk(recurrent, Zonotope.box(*outer), ends, outer, order), None)
    if whole is None:
        return None
    zero = np.zeros(recurrent.state_dim)
    hulls: list[Interval] = [(zero, zero)]
    walk = _walk(recurrent, Zonotope.box(zero, zero), ends, outer, order)
    for _, step in zip(range(_SETTLE), walk, strict=False):
        hulls.append(_hull([hulls[-1], step.after]))
        if not _mean_width(step.ranges) < _NEAR * _mean_width(whole.ranges):
            return None
        if _mean_width(hulls[-1]) <= _mean_width(hulls[-2]) * (1 + _SETTLED):
            break
    low, high = _limit(hulls)
    for slack in _SLACKS:
        room = slack * (high - low)
        start = np.maximum(low - room, outer[0]), np.minimum(high + room, outer[1])
        period = _period(_walk(recurrent, Zonotope.box(*start), ends, outer, order), start, outer)
        if period is not None:
            break
    else:
        return None
    kind = Reached(period=period, order=order, outer=outer, start=start)
    found = _collected(recurrent, _domain(start, box, kind), kind)
    if found is None:
        return None
    states, ranges = (_widened(one) for one in found)
    domain = _domain(meet(states, outer), box, replace(kind, ranges=ranges))
    _PROVED[domain] = weakref.ref(recurrent)
    return domain


def _kept(recurrent: Map, box: Domain) -> Domain | None:
    """Return the box, a little larger if that is invariant too; None if neither is."""
    wider = (end * (1 + _ROOM) for end in (box.low, box.high))
    for low, high in (tuple(wider), (box.low, box.high)):
        one = replace(box, low=low, high=high)
        if is_invariant(recurrent, one):
            return one
    return None


def _domain(ends: Interval, box: Domain, reached: Reached) -> Domain:
    return Domain(
        low=np.minimum(ends[0], 0.0),
        high=np.maximum(ends[1], 0.0),
        input_low=box.input_low,
        input_high=box.input_high,
        reached=reached,
    )


#: Domains that were proved, and of which map: the proof takes many steps.
_PROVED: weakref.WeakKeyDictionary[Domain, weakref.ref[Map]] = weakref.WeakKeyDictionary()


def is_reached(recurrent: Map, domain: Domain) -> bool:
    """Return whether it is proved that trajectories from zero stay in a domain and its ranges.

    All enclosures are computed again, from the period, the order and the boxes that it names.
    False is not a proof of the contrary; so it is for a domain without `Reached`.
    """
    known = _PROVED.get(domain)
    if known is not None and known() is recurrent:
        return True
    if domain.reached is None or not _proved(recurrent, domain, domain.reached):
        return False
    _PROVED[domain] = weakref.ref(recurrent)
    return True


def holds_on(recurrent: Map, domain: Domain) -> bool:
    """Return whether it is proved that trajectories that start in a domain stay in it.

    A box by `theory.maps.invariance.is_invariant`, states reached from zero by `is_reached`.
    """
    return (is_invariant if domain.reached is None else is_reached)(recurrent, domain)


def check_domain(recurrent: Map, domain: Domain) -> None:
    """Raise unless it is a domain of this map, of a box or of the states reached from zero.

    For questions about trajectories that start in it.

    Raises
    ------
    ValueError
        If it is no domain, has other dimensions, need not hold 0, or is not proved.
    """
    if getattr(domain, "reached", None) is None:
        check_invariant(recurrent, domain)
    elif not is_reached(recurrent, domain):
        raise ValueError(
            f"{domain}: it is not proved that {recurrent!r} reaches no others, needed the domain "
            "of this map; theory.certify.reached_domain(map, inputs=...) finds one"
        )


def _proved(recurrent: Map, domain: Domain, reached: Reached) -> bool:
    if (domain.state_dim, domain.input_dim) != (recurrent.state_dim, recurrent.input_dim):
        return False
    if not bool(np.all((domain.low <= 0) & (domain.high >= 0))):  # a box that need not hold 0
        return False
    if isinstance(recurrent, Cascade) or reached.parts:
        return isinstance(recurrent, Cascade) and _proved_stack(recurrent, domain, reached)
    n, inputs = recurrent.state_dim, (domain.input_low, domain.input_high)
    if reached.ball:
        if reached.ball == LENGTHS:
            return stays_in_balls(recurrent, domain)
        reach = ball_reach(recurrent, reached.ball, domain.inputs)
        return bool(np.all(domain.low <= -reach) and np.all(reach <= domain.high))
    if any(len(end) != n for end in (*reached.outer, *reached.start)):
        return False
    if not (1 <= reached.period <= _MOST and 1 <= reached.order <= _MOST_ORDER):
        return False
    zero = np.zeros(n)
    if not (_inside((zero, zero), reached.start) and _inside(reached.start, reached.outer)):
        return False
    if not np.isfinite(inputs).all():
        return False
    low, high = reached.outer
    box = Domain(low=low, high=high, input_low=inputs[0], input_high=inputs[1])
    if not is_invariant(recurrent, box):
        return False
    found = _collected(recurrent, domain, reached)
    if found is None or len(found[1][0]) != len(reached.ranges[0]):
        return False
    return _inside(found[0], (domain.low, domain.high)) and _inside(found[1], reached.ranges)


def kept_domain(recurrent: Map, *, inputs: Any) -> Domain | None:
    """Return what is known without a walk of a map that leaves every box: the box around balls.

    Of a stack layer by layer, where a layer has no box.  None if nothing is known, of a map in
    affine form, whose certificates hold everywhere, and of a stack that has a box.
    """
    if isinstance(recurrent, Cascade):
        return _of_stack(recurrent, inputs, None)
    given = as_inputs(inputs, recurrent.input_dim)
    found = None if recurrent.affine() is not None else ball_domain(recurrent, given)
    return found if found is not None and is_reached(recurrent, found) else None


def _of_stack(stack: Cascade, inputs: Any, order: int | None) -> Domain | None:
    """Return the domains of the layers as one; None if it is for no layer less than its box.

    Without an order no layer is walked through.
    """
    seen = Inputs.box(*as_inputs(inputs, stack.input_dim).ends(stack.input_dim))
    parts: list[Domain] = []
    for number, layer in enumerate(stack.layers):
        if number:
            below = stack.readouts[number - 1].image((parts[-1].low, parts[-1].high))
            seen = Inputs.box(*below)
        box = invariant_domain(layer, inputs=seen)
        part = None
        if order is not None and box is not None:
            part = reached_domain(layer, inputs=seen, box=box, order=order)
        part = part or box or ball_domain(layer, seen)
        if part is None or not np.isfinite([part.low, part.high]).all():
            return None
        parts.append(part)
    # layer by layer there may be boxes where none was found for all of them together
    alone = all(part.reached is None for part in parts)
    if alone and invariant_domain(stack, inputs=inputs) is not None:
        return None
    ends = (np.concatenate([getattr(part, end) for part in parts]) for end in ("low", "high"))
    low, high = ends
    domain = _domain((low, high), parts[0], Reached(parts=tuple(parts)))
    return domain if is_reached(stack, domain) else None


def _proved_stack(stack: Cascade, domain: Domain, reached: Reached) -> bool:
    """Prove every layer's part, for all that the layer below may show it."""
    if len(reached.parts) != len(stack.layers):
        return False
    seen: Interval = (domain.input_low, domain.input_high)
    first = 0
    for number, (layer, part) in enumerate(zip(stack.layers, reached.parts, strict=True)):
        if (part.state_dim, part.input_dim) != (layer.state_dim, layer.input_dim):
            return False
        if number:
            below = reached.parts[number - 1]
            seen = stack.readouts[number - 1].image((below.low, below.high))
        if not _inside(seen, (part.input_low, part.input_high)):
            return False
        rows = slice(first, first + part.state_dim)
        first += part.state_dim
        if not _inside((part.low, part.high), (domain.low[rows], domain.high[rows])):
            return False
        if not holds_on(layer, part):
            return False
    return True
