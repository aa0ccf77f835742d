r"""What the last inputs make of every possible past: sets carried through the steps.

Main names: `reach_tube`, `ReachTube`.

A contraction bounds how far the past can reach for all inputs at once.  For given inputs the set of
all states that are possible k steps ago, carried through the last k steps, says it for these alone:
whatever happened before, the present state lies in the last set, and no two pasts differ there by
more than its width.  That is rigorous also where no contraction exists; a Jacobian of small norm
along the one trajectory that was seen is not, since the restarted model runs along another.

Boxes forget which coordinates vary together, and seldom narrow: the sets are zonotopes inside boxes
(`theory.memory.walk`), met with the ball of every contraction that is given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from theory.arithmetic.intervals import Interval, product_matrix_up
from theory.arithmetic.rounding import product_up
from theory.certificates import Contraction, check_one_step
from theory.domain import Domain
from theory.errors import as_array, as_sequences, as_vector, check_count, check_nonnegative
from theory.inputs import as_inputs
from theory.maps.base import Map, check_map
from theory.maps.invariance import check_invariant, invariant_domain
from theory.memory.walk import Walk, walk
from theory.norms.norms import L2, Norm, over
from theory.shown import frame, shown
from theory.typing import Array

#: A box that is narrower by less than this part of itself is as wide.
_NARROWER = 2.0**-7

#: Symbols that a zonotope keeps, over the number of states.
COLUMNS = 10


@shown
@final
@dataclass(frozen=True, kw_only=True, eq=False)
class ReachTube:
    """Boxes that hold the states of every past, after each of the last k inputs.

    The known trajectory is the k-step model's, as it was computed.
    """

    low: Array  # (k + 1, n); the first row is the box of the pasts
    high: Array  # (k + 1, n)
    known: Array  # (k + 1, n), the known trajectory
    lengths: Array  # (k + 1,), the largest Euclidean distance of a state from it
    all_pasts: bool = True  # whether these are all there can be, or those that were given

    @property
    def widths(self) -> Array:
        """Return high - low, rounded upward, (k + 1, n): what the past can change of each state."""
        with np.errstate(over="ignore"):
            apart = np.nextafter(self.high - self.low, math.inf)
        wide: Array = np.where(self.high == self.low, 0.0, apart)
        return wide

    @property
    def apart(self) -> Array:
        """Return by how much each state may differ from the known one, rounded up, (k + 1, n)."""
        with np.errstate(over="ignore"):
            far = np.maximum(self.high - self.known, self.known - self.low)
            result: Array = np.where(far == 0, 0.0, np.nextafter(far, math.inf))
        return result

    def distance(self, norm: Norm, C: Array | None = None) -> Array:
        """Return upper bounds, (k + 1,), of the distance of any state from the known one.

        With a matrix C, (p, n), it is that of the outputs C h.
        """
        n, apart = self.low.shape[1], self.apart
        norm.check_dim(n if C is None else len(C))
        price = over(norm, L2(), n=n) if C is None else norm.matrix_upper(C, L2())
        if C is not None:
            apart = product_matrix_up(apart, np.abs(C).T)
        boxes = np.array([norm.majorant(one) for one in apart])
        lengths = np.array([product_up(price, one) for one in self.lengths.tolist()])
        return np.asarray(np.minimum(boxes, lengths))

    def gap(self, norm: Norm) -> Array:
        """Return upper bounds, (k + 1,), of the distance of any two states in each set.

        The last one bounds |h_t - h_t^k| for these inputs, since 0 is among the pasts.
        """
        norm.check_dim(self.low.shape[1])
        boxes = np.array([norm.majorant(width) for width in self.widths])
        return np.asarray(np.minimum(boxes, 2 * self.distance(norm)))

    def steps(self, eps: float, norm: Norm | None = None, C: Array | None = None) -> int | None:
        """Return after how many inputs every state stays within eps of the known one.

        Parameters
        ----------
        eps : float
        norm : Norm, optional
            `L2` by default.
        C : (p, n) array, optional
            Of outputs C h instead of states.

        Returns
        -------
        int or None
            None if that is not shown for these inputs.

        Raises
        ------
        ValueError
            If eps is negative or the norm does not fit.
        """
        check_nonnegative(eps=eps)
        late = np.flatnonzero(~(self.distance(L2() if norm is None else norm, C) <= eps))
        k = int(late[-1]) + 1 if len(late) else 0
        return k if k < len(self.low) else None

    @property
    def narrows(self) -> bool:
        """Return whether the last box is notably narrower than the first, in some state.

        If not, the tube says nothing about memory: what it bounds was known before the inputs.
        """
        first, *_, last = self.widths if len(self.low) > 1 else (*self.widths, *self.widths)
        return bool(np.any(last < first * (1 - _NARROWER)))

    def to_frame(self) -> Any:
        """Return a pandas table: the width of every state after 0 .. k inputs; extra: notebook."""
        return frame({f"h{i}": width for i, width in enumerate(self.widths.T)})

    def __str__(self) -> str:
        k, width = len(self.low) - 1, self.widths
        whose = "any past" if self.all_pasts else "the given pasts"
        sizes = f"largest width {width[-1].max():.4g}, {width[0].max():.4g} before them"
        if not self.narrows:
            return (
                f"after {k} inputs the box of {whose} is no narrower ({sizes}): nothing is shown "
                "to be forgotten"
            )
        return f"after {k} inputs the box of {whose} is narrower ({sizes})"


def reach_tube(
    recurrent: Map,
    X: Any,
    *,
    k: int,
    domain: Domain | None = None,
    inputs: Any = None,
    pasts: Any = None,
    radius: Any = 0.0,
    known: Any = None,
    contractions: Sequence[Contraction] = (),
    disturbance: Any = 0.0,
    spread: Any = 0.0,
    columns: int = COLUMNS,
    boxes: int = 1,
) -> ReachTube:
    r"""Carry the set of all pasts, or of those that are given, through the last k inputs.

    Parameters
    ----------
    recurrent : Map
        One that encloses its steps (`Map.image`), as all but a `CallableMap` do.
    X : (T, m) array
        The inputs of which the last k are used, T >= k.
    k : int
        Number of inputs that the truncated model sees.
    domain : Domain, optional
        Where the states are before those inputs: a box that the map never leaves, and whose inputs
        hold the given ones; by default the one that `theory.certify.invariant_domain` finds.
    inputs : Inputs, or (..., m) array, optional
        Which inputs came before, if no domain is given: a set that holds the given ones.  By
        default the smallest box of these.
    pasts : (..., n) array, optional
        The states that are possible before those inputs, such as states met on other sequences, or
        the two ends of a box: the smallest box of these and of `known`, where the truncated model
        starts.  It need not be one that the map never leaves.
    radius : float or (n,) array
        By how much each entry of a past may differ from those given; a ball of that radius in any
        norm with |h_i| <= |h| is in this box.
    known : (n,) array, optional
        Where the truncated model starts, 0 by default.
    contractions : sequence of Contraction
        Certified ones of one step, whose balls are met with the sets: the tube then narrows at
        least as they do.  One that holds on a domain only has to hold the pasts and inputs.
    disturbance : float or (n,) array
        A bound of what is added to every entry at every step, as by other arithmetic.
    spread : float or (m,) array
        By how much each entry of every input may differ from X.
    columns : int
        Symbols that a zonotope keeps, over n; with 0 the sets are boxes.
    boxes : int
        Into how many boxes the pasts are split, one by one where most is left: worth its time up to
        about 6 states.

    Returns
    -------
    ReachTube
        Rounded outward at every step; never wider than with boxes only.

    Raises
    ------
    ValueError
        If there are fewer than k inputs, the map has no enclosure, no invariant box is found, both
        a domain and inputs are given or one of them beside pasts, the domain is not proved
        invariant or does not hold X, or a contraction is not certified for these pasts and inputs.

    Examples
    --------
    >>> from theory import VanillaRNN
    >>> cell = VanillaRNN([[1.6, -0.4], [0.3, 1.5]], np.eye(2))  # not contractive
    >>> tube = reach_tube(cell, np.ones((10, 2)), k=10)
    >>> bool(tube.widths[-1].max() < 2e-6), tube.steps(0.1)
    (True, 2)
    >>> met = cell.simulate(np.zeros((5, 2)), h0=[0.1, 0.2])
    >>> reach_tube(cell, np.ones((10, 2)), k=6, pasts=met).narrows
    True
    """
    check_map(recurrent)
    check_count(k=k, columns=columns)
    check_count(at_least=1, boxes=boxes)
    x = as_sequences("X", X, width=recurrent.input_dim)
    if x.ndim != 2 or len(x) < k:
        raise ValueError(f"X has shape {x.shape}, needed one sequence of at least {k}")
    n = recurrent.state_dim
    start = as_vector("known", np.zeros(n) if known is None else known, size=n)
    added, wide = _sizes("disturbance", disturbance, n), _sizes("spread", spread, x.shape[1])
    around = _sizes("radius", radius, n)
    if around.any() and pasts is None:
        raise ValueError("radius= is that of pasts, needed pasts= beside it")
    used = x[len(x) - int(k) :]
    first, stays = _first_box(recurrent, x, domain, inputs, pasts, around, start, wide)
    if added.any() and pasts is None:
        raise ValueError(
            "a box that the map never leaves may be left with a disturbance, needed pasts= for the "
            "states that are possible"
        )
    for c in contractions:
        _check_contraction(c, n, first, start, used, wide, added)
    how = Walk(
        recurrent=recurrent,
        columns=int(columns),
        contractions=tuple(contractions),
        disturbance=added,
        spread=wide,
        stays=stays,
    )
    return _tube(how, first, start, used, int(boxes), pasts is None)


def _sizes(name: str, value: Any, n: int) -> Array:
    """Return what is not negative as a vector."""
    given = as_array(name, value, ndim=(0, 1))
    sizes = as_vector(name, np.full(n, given) if given.ndim == 0 else given, size=n)
    if not float(np.min(sizes, initial=0.0)) >= 0:
        raise ValueError(f"{name} has least entry {np.min(sizes)}, needed none below 0")
    return sizes


def _check_contraction(
    c: Contraction, n: int, first: Interval, start: Array, X: Array, spread: Array, added: Array
) -> None:
    """Raise unless a contraction is proved for all that is carried."""
    check_one_step(c)
    c.norm.check_dim(n)
    if not c.evidence.is_certified:
        raise ValueError(f"received {c!r}, needed a certified contraction: a tube rests on it")
    if c.domain is None:
        return
    states = np.vstack([first[0], first[1], start])
    ends = np.vstack([np.nextafter(X - spread, -math.inf), np.nextafter(X + spread, math.inf)])
    if added.any() or not c.holds_for(states, ends if spread.any() else X):
        raise ValueError(
            f"the contraction holds on {c.domain} only, needed one that holds for all pasts, "
            "inputs and disturbances in question"
        )


def _tube(
    how: Walk, first: Interval, start: Array, X: Array, boxes: int, all_pasts: bool
) -> ReachTube:
    """Carry a box, or parts of it: the part that ends farthest is halved, as often as asked."""
    parts = [_carried(how, first, start, X)]
    while len(parts) < boxes:
        farthest = max(range(len(parts)), key=lambda i: float(parts[i].lengths[-1]))
        low, high = parts[farthest].low[0], parts[farthest].high[0]
        width = first[1] - first[0]
        share = np.divide(high - low, width, out=np.zeros_like(width), where=width > 0)
        i = int(np.argmax(share))
        middle = low[i] / 2 + high[i] / 2
        if not low[i] < middle < high[i]:
            break
        place = np.arange(len(low)) == i
        halves = (low, np.where(place, middle, high)), (np.where(place, middle, low), high)
        parts[farthest : farthest + 1] = [_carried(how, half, start, X) for half in halves]
    return ReachTube(
        low=np.minimum.reduce([part.low for part in parts]),
        high=np.maximum.reduce([part.high for part in parts]),
        known=parts[0].known,
        lengths=np.maximum.reduce([part.lengths for part in parts]),
        all_pasts=all_pasts,
    )


def _carried(how: Walk, first: Interval, start: Array, X: Array) -> ReachTube:
    """Return the tube of one box."""
    lows, highs, known, lengths = [], [], [], []
    for step in walk(how, how.start(first, start), X):
        lows.append(step.box[0])
        highs.append(step.box[1])
        known.append(step.known)
        lengths.append(step.length)
    return ReachTube(
        low=np.array(lows), high=np.array(highs), known=np.array(known), lengths=np.array(lengths)
    )


def _first_box(
    recurrent: Map,
    x: Array,
    domain: Domain | None,
    inputs: Any,
    pasts: Any,
    radius: Array,
    start: Array,
    spread: Array,
) -> tuple[Interval, Interval]:
    """Return the box of the states before the inputs, and one that is never left."""
    if len([one for one in (domain, inputs, pasts) if one is not None]) > 1:
        raise ValueError("received several of domain=, inputs= and pasts=, needed at most one")
    n = recurrent.state_dim
    if pasts is not None:
        states = as_array("pasts", pasts)
        if states.ndim == 0 or states.shape[-1] != n or states.size == 0:
            raise ValueError(f"pasts has shape {states.shape}, needed (..., {n}), at least one")
        rows = states.reshape(-1, n)
        low, high = rows.min(axis=0), rows.max(axis=0)
        if radius.any():
            low, high = np.nextafter(low - radius, -math.inf), np.nextafter(high + radius, math.inf)
        ends = np.full(n, -math.inf), np.full(n, math.inf)
        return (np.minimum(low, start), np.maximum(high, start)), ends
    if domain is not None:
        check_invariant(recurrent, domain)
    else:
        near = np.vstack([x - spread, x + spread]) if spread.any() else x
        before = (near if len(x) else None) if inputs is None else as_inputs(inputs, x.shape[1])
        domain = invariant_domain(recurrent, inputs=before)
        if domain is None:
            raise ValueError(
                f"no bounded box is found that {recurrent!r} never leaves, needed one; pass "
                "domain=, or pasts= for the states that are possible before these inputs"
            )
    if not domain.contains_inputs(x - spread) or not domain.contains_inputs(x + spread):
        raise ValueError(f"some of X are outside the domain {domain}, needed all inside")
    if not domain.contains_states(start):
        raise ValueError(f"the known state is outside the domain {domain}, needed it inside")
    return (domain.low, domain.high), (domain.low, domain.high)
