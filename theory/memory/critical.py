r"""From how far apart given inputs are proved to bring states together.

Main names: `critical_radius`, `CriticalRadius`, `visited_ranges`.

A map that forgets on its data may not be provable from every past: sets as large as the box of all
states grow before they shrink.  How large a set around the known trajectory may be so that k steps
of its tube shrink it is a figure of merit of the map, the inputs and the method.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from theory.errors import as_array, as_sequences, as_vector, check_count, check_positive
from theory.maps.base import Map, check_map
from theory.memory.reach import COLUMNS, ReachTube, reach_tube
from theory.norms.norms import WeightedLinf
from theory.shown import shown
from theory.typing import Array

#: The smallest share that is looked at: below it rounding is most of what a tube is wide.
_SMALLEST = 2.0**-30

#: The largest: a set that is twice as wide as the range becomes smaller in any bounded map.
_LARGEST = 0.5

#: Halvings of the interval between a share that passes and one that does not, as exponents.
_HALVINGS = 8


@final
@shown
@dataclass(frozen=True, kw_only=True, eq=False)
class CriticalRadius:
    """The largest share of the visited range from which k steps are proved to shrink a set."""

    share: float  # r; 0 if not even the smallest one is proved to shrink
    k: int  # steps
    after: float  # what is left after them, as a share of the range, rounded up; inf without one
    ranges: Array  # the visited ranges, (n,)
    tube: ReachTube | None  # the one that proves it

    def __str__(self) -> str:
        if self.tube is None:
            return f"no set around the known states is proved to shrink in {self.k} steps"
        return (
            f"from {100 * self.share:.3g} % of the visited range, {self.k} steps leave "
            f"{100 * self.after:.3g} % (given that pasts are that near)"
        )


def visited_ranges(H: Any, n: int) -> Array:
    """Return how far each state has been seen to range; if it has not, the least of the others.

    Parameters
    ----------
    H : (..., n) array
        States met on data.
    n : int

    Returns
    -------
    (n,) array

    Raises
    ------
    ValueError
        If the states have another width, or none of them varies.
    """
    states = as_array("H", H)
    if states.ndim == 0 or states.shape[-1] != n or states.size == 0:
        raise ValueError(f"states have shape {states.shape}, needed (..., {n}), at least one")
    rows = states.reshape(-1, n)
    ranges = rows.max(axis=0) - rows.min(axis=0)
    if not float(ranges.max()) > 0:
        raise ValueError("all visited states are the same, needed some that differ")
    varied: Array = np.where(ranges > 0, ranges, ranges[ranges > 0].min())
    return varied


def critical_radius(
    recurrent: Map,
    X: Any,
    *,
    k: int,
    visited: Any,
    known: Any = None,
    left: float = 0.5,
    columns: int = COLUMNS,
) -> CriticalRadius:
    r"""Return the largest share of the visited range from which k steps are proved to shrink a set.

    Parameters
    ----------
    recurrent : Map
    X : (T, m) array
        The inputs, T >= k; the last k carry the set, those before lead to the known state.
    k : int
    visited : (..., n) array
        States met on data: their ranges are what radii are shares of.
    known : (n,) array, optional
        The state around which the pasts are; by default the one that X without its last k inputs
        leads to from 0.
    left : float
        The set has to shrink to this part of itself, in its largest share of a range.  A large set
        becomes a little smaller in any map whose states are bounded, which says nothing.
    columns : int
        As in `reach_tube`.

    Returns
    -------
    CriticalRadius
        By halving, each trial certified; larger shares than the one returned may pass, too.

    Raises
    ------
    ValueError
        If shapes do not fit, `left` is not positive, or the map does not enclose its steps.

    Examples
    --------
    >>> from theory import VanillaRNN
    >>> cell = VanillaRNN([[2.0]], [[1.0]])  # two stable states without inputs
    >>> X = np.zeros((30, 1))
    >>> found = critical_radius(cell, X, k=30, visited=[[-1.0], [1.0]], known=[0.9575])
    >>> 0.4 < found.share < 0.479, found.after <= found.share / 2
    (True, True)
    """
    check_map(recurrent)
    check_count(at_least=1, k=k)
    check_positive(left=left)
    x = as_sequences("X", X, width=recurrent.input_dim)
    if x.ndim != 2 or len(x) < k:
        raise ValueError(f"X has shape {x.shape}, needed one sequence of at least {k}")
    n = recurrent.state_dim
    ranges = visited_ranges(visited, n)
    before, used = x[: len(x) - int(k)], x[len(x) - int(k) :]
    if known is None:
        start = recurrent.simulate(before)[-1] if len(before) else np.zeros(n)
    else:
        start = as_vector("known", known, size=n)
    norm = WeightedLinf(ranges)

    def trial(exponent: float) -> tuple[float, float, ReachTube | None]:
        share = float(2.0**exponent)
        around = share * ranges
        with np.errstate(over="ignore", invalid="ignore"):
            try:
                tube = reach_tube(
                    recurrent, used, k=int(k), pasts=start, radius=around, known=start,
                    columns=columns,
                )  # fmt: skip
            except OverflowError:
                return share, np.inf, None
        after = float(tube.distance(norm)[-1])
        return share, after, tube if after <= left * share else None

    best = trial(np.log2(_LARGEST))
    if best[2] is None:
        low, high = float(np.log2(_SMALLEST)), float(np.log2(_LARGEST))
        best = trial(low)
        for _ in range(_HALVINGS if best[2] is not None else 0):
            middle = (low + high) / 2
            found = trial(middle)
            if found[2] is None:
                high = middle
            else:
                low, best = middle, found
    share, after, tube = best
    if tube is None:
        share, after = 0.0, np.inf
    return CriticalRadius(share=share, k=int(k), after=after, ranges=ranges, tube=tube)
