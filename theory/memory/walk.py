r"""Sets of states carried through given inputs: what pasts still differ in, step by step.

Main names: `Walk`, `Step`, `walk`, `size_upper`.

A set S_t of states is kept as a zonotope, whose coordinates share symbols, inside a box B_t.  One
step makes of it

    S_{t+1} = step(S_t) + disturbance,   B_{t+1} = hull of S_{t+1}  and  image of B_t  and  I_{t+1},

where I_t are boxes carried by themselves, so that S_t is never wider than these.  Beside it runs
one trajectory c_t in doubles, the known one, which errs from the exact step of c_t by what rounding
does; every contraction with rate lam in a norm bounds the distance of the states of S_t from it,

    |h_{t+1} - c_{t+1}| <= lam |h_t - c_t| + rounding + disturbance,

where |h_t - c_t| is itself at most the size of S_t - c_t in that norm.  The ball of this radius is
one more set that S_{t+1} is met with: it falls at least as fast as the certificate says.  For steps
rho(W h + U x + b) of up to `_LOCAL` units, metrics that run backwards (`theory.memory.metrics`)
bound the Euclidean distance by all steps together, whatever is certified.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, final

import numpy as np

from theory.arithmetic.intervals import Interval, affine_image, plus_up, times_up
from theory.arithmetic.relaxations import secants
from theory.arithmetic.rounding import product_up, up
from theory.arithmetic.zonotopes import Zonotope
from theory.certificates import Contraction
from theory.domain import Domain
from theory.maps.base import Map
from theory.maps.boxes.ends import Weights, preactivation
from theory.memory.metrics import Factor, length_after
from theory.norms.norm import Norm
from theory.norms.norms import L2, over, scaled_matrix_upper
from theory.typing import Array

#: A row of a zonotope may be so many times as wide as the box that holds it: what it shares with
#: others is worth some width.
_EXCESS = 2.0


#: Units up to which local rates, which cost a norm a step, are worth it.
_LOCAL = 128


class Step(NamedTuple):
    """A set of states after a step."""

    states: Zonotope
    box: Interval  # which holds the states in question
    alone: Interval  # the box that was carried by itself, which holds the other one
    known: Array  # c, the known trajectory
    radii: tuple[float, ...]  # of the balls of the contractions around it
    length: float  # the largest Euclidean distance from it
    factors: tuple[Factor, ...] = ()  # of the differences, where metrics are carried backwards


class _Ranges(NamedTuple):
    """What is known of a step of rho(W h + U x + b)."""

    arguments: Interval
    secants: Interval | None  # from the arguments of the known state


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Walk:
    """How sets are carried."""

    recurrent: Map
    columns: int  # symbols that are kept, over the rows; 0: boxes only
    contractions: Sequence[Contraction]
    disturbance: Array  # (n,), added to every step
    spread: Array  # (m,), by how much each input may differ
    stays: Interval  # a box that holds the states at all times, or infinite ends

    @cached_property
    def rows(self) -> dict[int, Array]:
        """Return max |W_i e| over |e| <= 1 in the norm of each contraction, by its identity."""
        form = self.recurrent.affine()
        if form is None:
            return {}
        return {id(c): c.norm.dual_upper(form.W) for c in self.contractions}

    @cached_property
    def lengths(self) -> Array:
        """Return the Euclidean lengths of the rows of W."""
        form = self.recurrent.affine()
        assert form is not None
        return L2().dual_upper(form.W)

    def start(self, box: Interval, known: Array) -> Step:
        """Return the first set: a box."""
        far = _apart(box, known)
        radii = tuple(c.norm.majorant(far) for c in self.contractions)
        states = Zonotope.box(*box).unshared()
        return Step(states, box, box, known, radii, self._length(states, known, radii))

    def after(self, step: Step, x: Array) -> Step:
        """Return the set after an input.

        Raises
        ------
        ValueError
            If the map does not enclose its steps.
        """
        low, high = x, x
        if self.spread.any():
            low = np.where(self.spread > 0, np.nextafter(x - self.spread, -math.inf), x)
            high = np.where(self.spread > 0, np.nextafter(x + self.spread, math.inf), x)
        alone = self._image(step.alone, (low, high))
        box = _meet(alone, self._image(step.box, (low, high)), self.stays)
        known = self.recurrent.step(step.known, x)
        local = self.recurrent.step_error(np.maximum(np.abs(step.known), np.abs(known)), np.abs(x))
        ranges = self._ranges(step, (low, high))
        radii = []
        for c, radius in zip(self.contractions, step.radii, strict=True):
            held = c.domain is None or c.domain.contains_states(step.known)
            rate = self._rate(c, ranges)
            reach = self._reach_of(c, rate, radius, local) if held else math.inf
            radii.append(reach)
            if math.isfinite(reach):
                ball = np.nextafter(reach * c.norm.reach_upper(len(known)), math.inf)
                box = _meet(box, _around(known, ball))
        states = self._carried(step, (low, high), box, ranges)
        hull = states.hull()
        box = _meet(box, hull)
        tight = tuple(
            min(radius, size_upper(states, known, c.norm), c.norm.majorant(_apart(box, known)))
            for c, radius in zip(self.contractions, radii, strict=True)
        )
        length = self._length(states, known, tight)
        factors = self._factors(step, ranges, local)
        if factors:
            form = self.recurrent.affine()
            assert form is not None
            length = min(length, length_after(form.W, factors))
            around = _around(known, np.full(len(known), length))
            box = _meet(box, around)
            tight = tuple(
                min(radius, product_up(over(c.norm, L2(), n=len(known)), length))
                for c, radius in zip(self.contractions, tight, strict=True)
            )
        return Step(states, box, alone, known, tight, length, factors)

    def _factors(self, step: Step, ranges: _Ranges | None, local: Array) -> tuple[Factor, ...]:
        """Return the steps up to here as factors; none if one of them is not of that form."""
        if ranges is None or ranges.secants is None:
            return ()
        added = plus_up(local, self.disturbance)
        one = Factor(*ranges.secants, added, _apart(step.box, step.known), step.length)
        return (*step.factors, one)

    def _length(self, states: Zonotope, known: Array, radii: Sequence[float]) -> float:
        """Bound the Euclidean distance from the known trajectory, by the set and by the balls."""
        balls = (
            product_up(over(L2(), c.norm, n=len(known)), radius)
            for c, radius in zip(self.contractions, radii, strict=True)
        )
        return min(size_upper(states, known, L2()), *balls, math.inf)

    def _image(self, box: Interval, inputs: Interval) -> Interval:
        domain = Domain(
            low=box[0], high=box[1], input_low=inputs[0], input_high=inputs[1], start=False
        )
        image = self.recurrent.image(domain)
        if image is None:
            raise ValueError(f"{self.recurrent!r} has no enclosure of its steps, needed Map.image")
        return self._disturbed(image)

    def _disturbed(self, image: Interval) -> Interval:
        if not self.disturbance.any():
            return image
        return (
            np.nextafter(image[0] - self.disturbance, -math.inf),
            np.nextafter(image[1] + self.disturbance, math.inf),
        )

    def _ranges(self, step: Step, inputs: Interval) -> _Ranges | None:
        """Return what balls and box say of the arguments of rho; None if there is no such form."""
        form = self.recurrent.affine()
        local = len(step.known) <= _LOCAL and self.columns > 0
        if form is None or form.rho.name == "identity" or not (local or self.contractions):
            return None
        weights = Weights(form.W, form.U, form.b)
        centre = preactivation(weights, (step.known, step.known), inputs)
        at = preactivation(weights, step.box, inputs)
        for c, radius in zip(self.contractions, step.radii, strict=True):
            if math.isfinite(radius):
                far = times_up(self.rows[id(c)], radius)
                at = _meet(at, (_around(centre[0], far)[0], _around(centre[1], far)[1]))
        if not local or self.spread.any():
            return _Ranges(at, None)
        if math.isfinite(step.length):
            far = times_up(self.lengths, step.length)
            at = _meet(at, (_around(centre[0], far)[0], _around(centre[1], far)[1]))
        shared = step.states.affine(form.W, affine_image(form.U, *inputs, form.b))
        at = _meet(at, shared.hull())
        return _Ranges(at, secants(form.rho, centre, *at))

    def _rate(self, c: Contraction, ranges: _Ranges | None) -> float:
        """Return by how much a step at most stretches a distance from the known state.

        For the secants s from it, |diag(s) W e| <= |diag(max s) W| |e| in a monotone norm.
        """
        form = self.recurrent.affine()
        if ranges is None or ranges.secants is None or form is None or not c.norm.monotone:
            return c.lam
        steepest = np.maximum(*(np.abs(end) for end in ranges.secants))
        return min(c.lam, scaled_matrix_upper(c.norm, steepest, form.W))

    def _reach_of(self, c: Contraction, rate: float, radius: float, local: Array) -> float:
        """Bound the distance from the known trajectory after a step, by a contraction."""
        moved = c.norm.majorant(plus_up(local, self.disturbance))
        if self.spread.any():
            gain = self.recurrent.input_lipschitz(c.norm)
            if gain is None:
                return math.inf
            moved = up(moved + product_up(gain, c.norm.companion.majorant(self.spread)))
        return up(product_up(rate, radius) + moved)

    def _carried(
        self, step: Step, inputs: Interval, box: Interval, ranges: _Ranges | None
    ) -> Zonotope:
        """Return a zonotope of the states after a step that lie in a box."""
        n = len(box[0])
        if self.columns == 0:
            return Zonotope.box(*box)
        seen = Zonotope.box(*inputs).unshared()
        states = step.states.padded(after=seen.symbols)
        seen = seen.padded(before=step.states.symbols)
        # the disturbance comes after the step, which itself ends in a wider box
        wide = (
            np.nextafter(box[0] - self.disturbance, -math.inf),
            np.nextafter(box[1] + self.disturbance, math.inf),
        )
        at = None if ranges is None else ranges.arguments
        found = self.recurrent.carry(states, seen, step.box, wide, at)
        if found is None:
            return Zonotope.box(*box)
        if self.disturbance.any():
            moved = plus_up(found.rest, self.disturbance)
            found = Zonotope.of(found.centre, found.generators, moved)
        return found.within(*box, _EXCESS).unshared().reduced(self.columns * n)


def walk(how: Walk, first: Step, X: Array) -> Iterator[Step]:
    """Return the first set and those after each input."""
    yield first
    for x in X:
        first = how.after(first, x)
        yield first


def size_upper(states: Zonotope, about: Array, norm: Norm) -> float:
    """Return an upper bound of |h - about| over the states of a zonotope."""
    left = states.less(about)
    coarse = norm.majorant(left.magnitude())
    if norm.blocks or norm.p != 2:
        return coarse
    axes = norm.coordinates(len(about))
    turned = left if axes.plain else left.affine(axes.T)
    fine = up(turned.length_upper() * (1 + 4 * axes.error))
    return min(coarse, fine)


def _apart(box: Interval, point: Array) -> Array:
    """Return the largest distance of the states of a box from a point, entrywise."""
    with np.errstate(over="ignore"):
        far = np.maximum(box[1] - point, point - box[0])
        return np.where(far == 0, 0.0, np.nextafter(far, math.inf))


def _around(point: Array, far: Array) -> Interval:
    """Return the box of what is no farther from a point than that, entrywise."""
    return np.nextafter(point - far, -math.inf), np.nextafter(point + far, math.inf)


def _meet(*boxes: Interval) -> Interval:
    """Return the intersection of boxes that hold the same states."""
    low, high = zip(*boxes, strict=True)
    return np.maximum.reduce(low), np.minimum.reduce(high)
