r"""Memory along given inputs, of single maps and of stacks: a tube around the truncated run.

Main names: `tube_gaps`, `tube_context`, `TubeContext`.

The truncated run g is known.  The run h of any past lies within e of it, entry by entry, and

    |step(h, x) - step(g, y)| <= M |h - g| + G |x - y|

with matrices M and G of the tube: of layer after layer, since a layer above the first sees inputs
that truncation has changed.  Of recurrences that are linear in their state M is the transition at
the inputs themselves, so that the first layer loses nothing, and those above it lose what the
change of their inputs costs, which fades.

Beside it runs a zonotope (`Map.carry`), which remembers the signs that |h - g| forgets: a change of
the state of the first layer comes through norms, dense layers and gates as a product of matrices,
not of their absolute values.  At every step each of the two is cut where the other ends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from theory.arithmetic.intervals import Interval, plus_up, product_matrix_up
from theory.arithmetic.rounded import Rounded
from theory.arithmetic.zonotopes import Zonotope
from theory.domain import Domain
from theory.errors import as_array, as_sequences, check_count, check_positive
from theory.inputs import as_inputs
from theory.maps.base import Map, check_map
from theory.maps.cascade import Cascade
from theory.maps.head import Readout, as_head
from theory.maps.invariance import check_invariant, invariant_domain
from theory.memory.entrywise import gap_after_step
from theory.norms.norms import L2, Norm
from theory.shown import shown
from theory.typing import Array

#: Symbols that a zonotope keeps, over the number of states: more gain little here, where what is
#: lost is lost while the set is large.
COLUMNS = 1


@final
@shown
@dataclass(frozen=True, kw_only=True)
class TubeContext:
    """How many of the last inputs are proved enough along given inputs, whatever came before."""

    k: int | None  # None if all inputs are not seen to be enough
    error: float  # proved bound at k, or of all inputs


@final
class _Tube:
    """What a stack is made of, and where its states and the inputs of its layers are."""

    def __init__(self, recurrent: Map, domain: Domain, columns: int) -> None:
        self.map, self.columns = recurrent, columns
        self.layers: tuple[Map, ...]
        self.readouts: tuple[Readout, ...]
        self.slices: tuple[slice, ...]
        parts: tuple[Domain, ...] | None = (domain,)
        self.layers, self.readouts = (recurrent,), ()
        self.slices = (slice(0, recurrent.state_dim),)
        if isinstance(recurrent, Cascade):
            self.layers, self.readouts = recurrent.layers, recurrent.readouts
            self.slices, parts = recurrent.slices, recurrent.layer_domains(domain)
        if parts is None:
            raise ValueError(f"a layer of {recurrent!r} has no enclosure of its steps, needed one")
        self.parts = parts
        self.start = np.concatenate([part.reach for part in parts])  # |h| before the inputs
        self.low, self.high = (
            np.concatenate([getattr(part, end) for part in parts]) for end in ("low", "high")
        )

    def gaps(self, X: Array) -> Array:
        """Return bounds of |h - g| after these inputs, g being the run from 0, as computed."""
        G = self.map.simulate(X)
        gap = self.start
        before = np.zeros(self.map.state_dim)
        box = self._around(before, gap)
        states = Zonotope.box(*box).unshared() if self.columns else None
        for x, now in zip(X, G, strict=True):
            gap = self._after_step(gap, before, now, x)
            if states is not None:
                last, box = box, self._around(now, gap)
                seen = Zonotope.box(x, x, states.symbols)
                states = self.map.carry(states, seen, last, box)
            if states is not None:
                gap = np.minimum(gap, _apart(states.hull(), now))
                box = self._around(now, gap)
                states = states.within(*box).unshared().reduced(self.columns * len(gap))
            before = now
        return gap

    def _around(self, centre: Array, radius: Array) -> Interval:
        """Return the box of what is no farther from a point than that, and in the domain."""
        low = np.where(radius > 0, np.nextafter(centre - radius, -np.inf), centre)
        high = np.where(radius > 0, np.nextafter(centre + radius, np.inf), centre)
        return np.maximum(low, self.low), np.minimum(high, self.high)

    def _after_step(self, gap: Array, before: Array, now: Array, x: Array) -> Array:
        found: list[Array] = []
        seen, moved = x, np.zeros_like(x)
        for number, (layer, rows) in enumerate(zip(self.layers, self.slices, strict=True)):
            part = self.parts[number]
            if number:
                readout, below = self.readouts[number - 1], now[self.slices[number - 1]]
                seen = readout(below)
                own = readout.rounded(Rounded.exact(np.abs(below))).error
                moved = plus_up(product_matrix_up(np.abs(readout.C), found[-1][:, None])[:, 0], own)
            g, e = before[rows], gap[rows]
            here = Domain(
                low=_low(g, e, part.low),
                high=-_low(-g, e, -part.high),
                input_low=_low(seen, moved, part.input_low),
                input_high=-_low(-seen, moved, -part.input_high),
                start=False,
            )
            matrices = layer.comparison(here)
            if matrices is None:
                raise ValueError(
                    f"no matrix is known that majorises a step of {layer!r} along these inputs"
                )
            terms = [gap_after_step(matrices, e), layer.step_error(np.abs(g), np.abs(seen))]
            if np.any(moved > 0):
                gain = layer.input_comparison(here)
                if gain is None:
                    raise ValueError(f"no gain of {layer!r} in its inputs is known in this tube")
                terms.append(product_matrix_up(gain, moved[:, None])[:, 0])
            # and no state of the domain is further away
            far = _apart((part.low, part.high), now[rows])
            found.append(np.minimum(plus_up(*terms), far))
        return np.concatenate(found)


def _apart(box: Interval, point: Array) -> Array:
    """Return how far the points of a box may be from one, entry by entry, rounded upward."""
    far = np.nextafter(np.maximum(box[1] - point, point - box[0]), np.inf)
    result: Array = np.maximum(far, 0.0)
    return result


def _low(centre: Array, radius: Array, least: Array) -> Array:
    """Return the lower ends of a tube around a centre, cut where no state is, the centre inside."""
    below = np.where(radius > 0, np.nextafter(centre - radius, -np.inf), centre)
    return np.minimum(np.maximum(below, least), centre)


def _tube_of(
    recurrent: Map, X: Any, domain: Domain | None, inputs: Any, pasts: Any, columns: int
) -> tuple[_Tube, Array]:
    check_map(recurrent)
    check_count(columns=columns)
    x = as_sequences("X", X, width=recurrent.input_dim)
    if x.ndim != 2:
        raise ValueError(f"X has shape {x.shape}, needed one sequence (T, {recurrent.input_dim})")
    if domain is not None and inputs is not None:
        raise ValueError("received both domain= and inputs=, needed at most one")
    if domain is not None:
        check_invariant(recurrent, domain)
    else:
        before = (x if len(x) else None) if inputs is None else as_inputs(inputs, x.shape[1])
        domain = invariant_domain(recurrent, inputs=before)
        if domain is None:
            raise ValueError(
                f"no bounded box is found that {recurrent!r} never leaves, needed one; pass domain="
            )
    if not domain.contains_inputs(x):
        raise ValueError(f"some of X are outside the domain {domain}, needed all inside")
    tube = _Tube(recurrent, domain, int(columns))
    if pasts is not None:
        states = as_array("pasts", pasts)
        if states.ndim == 0 or states.shape[-1] != recurrent.state_dim or states.size == 0:
            raise ValueError(
                f"pasts has shape {states.shape}, needed (..., {recurrent.state_dim}), at least one"
            )
        if not domain.contains_states(states):
            raise ValueError(f"some of pasts are outside the domain {domain}, needed all inside")
        tube.start = np.max(np.abs(states.reshape(-1, recurrent.state_dim)), axis=0)
    return tube, x


def tube_gaps(
    recurrent: Map,
    X: Any,
    *,
    k: int,
    domain: Domain | None = None,
    inputs: Any = None,
    pasts: Any = None,
    columns: int = COLUMNS,
) -> Array:
    r"""Bound the gap of the truncated model after given inputs, entry by entry, for every past.

    Parameters
    ----------
    recurrent : Map
        A map with comparison matrices, or a `Cascade` of such.
    X : (T, m) array
        The inputs, of which the truncated model sees the last k.
    k : int
    domain : Domain, optional
        Where the states are: a box that the map never leaves, which is checked.
    inputs : Inputs, or (..., m) array, optional
        Which inputs came before, if no domain is given; by default such as the given ones.
    pasts : (..., n) array, optional
        States of the domain that are possible before those inputs, such as states met on other
        sequences: the answer is then for pasts that are no larger, entry by entry, only.
    columns : int
        Symbols that the zonotope keeps, over n; with 0 there is none, which is faster.

    Returns
    -------
    (n,) array
        Bounds of the distance of the exact state from the computed one of the truncated model:
        the rounding of that run is part of them.

    Raises
    ------
    ValueError
        If there are fewer than k inputs, no invariant box is found, a domain does not hold the
        inputs, or a layer has no comparison matrices there.

    Examples
    --------
    >>> from theory import MinGRU
    >>> bound = tube_gaps(MinGRU([[0.0], [1.0]]), np.ones((9, 1)), k=4)
    >>> round(float(bound[0]), 6)
    0.0625
    """
    tube, x = _tube_of(recurrent, X, domain, inputs, pasts, columns)
    check_count(k=k)
    if not len(x) >= k:
        raise ValueError(f"X holds {len(x)} inputs, needed at least k={k}")
    return tube.gaps(x[len(x) - int(k) :])


def tube_context(
    recurrent: Map,
    X: Any,
    *,
    eps: float,
    head: Any = None,
    norm: Norm | None = None,
    domain: Domain | None = None,
    inputs: Any = None,
    pasts: Any = None,
    columns: int = COLUMNS,
) -> TubeContext:
    r"""Return how many of the last inputs are proved enough along given inputs, for every past.

    Parameters
    ----------
    recurrent : Map
        As in `tube_gaps`, and so are X, domain, inputs and pasts.
    X : (T, m) array
    eps : float
        Allowed error of what the map shows of its last state (`Map.output_map`), or of a head.
    head : LinearHead, array, or output layer, optional
        See `theory.maps.as_head`.
    norm : Norm, optional
        A monotone norm of the error, `L2` by default.
    domain : Domain, optional
    inputs : Inputs, or (..., m) array, optional
    pasts : (..., n) array, optional
    columns : int

    Returns
    -------
    TubeContext
        A context found by doubling and bisection; not always the least that the tube proves.

    Raises
    ------
    ValueError
        As in `tube_gaps`, or if eps is not positive or the norm is not monotone.

    Examples
    --------
    >>> from theory import MinGRU
    >>> tube_context(MinGRU([[0.0], [1.0]]), np.ones((40, 1)), eps=0.01).k
    7
    """
    check_map(recurrent)
    check_positive(eps=eps)
    tube, x = _tube_of(recurrent, X, domain, inputs, pasts, columns)
    measure = L2() if norm is None else norm
    if not measure.monotone:
        raise ValueError(f"{measure} is not monotone, needed a norm of entrywise bounds")
    C = np.abs(recurrent.output_map if head is None else as_head(recurrent, head).C)

    def within(of: _Tube, first: int, last: int) -> tuple[int | None, float]:
        """Return a context of at most `last` and its error, None if there is none."""

        def error(k: int) -> float:
            return measure.majorant(gap_after_step((C,), of.gaps(x[len(x) - k :])))

        low, high, known = -1, min(first, last), math.inf
        while not (known := error(high)) <= eps:
            if high == last:
                return None, known
            low, high = high, min(2 * high, last)
        while high - low > 1:
            middle = (low + high) // 2
            found = error(middle)
            if found <= eps:
                high, known = middle, found
            else:
                low = middle
        return high, known

    k, error = within(tube, 1, len(x))
    if pasts is not None and k != 0:
        # the tube of all pasts is not wider everywhere: of fewer pasts no more is asked than of all
        every = _tube_of(recurrent, X, domain, inputs, None, columns)[0]
        last = len(x) if k is None else k - 1
        of_all = within(every, last, last)
        if of_all[0] is not None:
            k, error = of_all
    return TubeContext(k=k, error=error)
