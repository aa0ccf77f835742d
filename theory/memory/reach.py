r"""What the last inputs make of every possible past: boxes carried through the steps.

Main names: `reach_tube`, `ReachTube`.

A contraction bounds how far the past can reach for all inputs at once.  For given inputs the box of
all states that are possible k steps ago, carried through the last k steps, says it for these alone:
whatever happened before, the present state lies in the last box, and no two pasts differ there by
more than its width.  That is rigorous also where no contraction exists; a Jacobian of small norm
along the one trajectory that was seen is not, since the restarted model runs along another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from theory.domain import Domain
from theory.errors import as_array, as_sequences, check_count
from theory.inputs import as_inputs
from theory.maps.base import Map, check_map
from theory.maps.invariance import check_invariant, invariant_domain
from theory.norms.norms import Norm
from theory.shown import frame, shown
from theory.typing import Array

#: A box that is narrower by less than this part of itself is as wide.
_NARROWER = 2.0**-7


@shown
@final
@dataclass(frozen=True, kw_only=True, eq=False)
class ReachTube:
    """Boxes that hold the states of every past, after each of the last k inputs."""

    low: Array  # (k + 1, n); the first row is the box of the pasts
    high: Array  # (k + 1, n)
    all_pasts: bool = True  # whether these are all there can be, or those that were given

    @property
    def widths(self) -> Array:
        """Return high - low, rounded upward, (k + 1, n): what the past can change of each state."""
        with np.errstate(over="ignore"):
            apart = np.nextafter(self.high - self.low, math.inf)
        wide: Array = np.where(self.high == self.low, 0.0, apart)
        return wide

    def gap(self, norm: Norm) -> Array:
        """Return upper bounds, (k + 1,), of the distance of any two states in each box.

        The last one bounds |h_t - h_t^k| for these inputs, since 0 is among the pasts.
        """
        norm.check_dim(self.low.shape[1])
        return np.array([norm.majorant(width) for width in self.widths])

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
) -> ReachTube:
    r"""Carry the box of all pasts, or of those that are given, through the last k inputs.

    Parameters
    ----------
    recurrent : Map
        One that encloses its steps (`Map.image`), as those in affine form do.
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
        the two ends of a box: the smallest box of these and of 0, where the truncated model starts.
        It need not be one that the map never leaves.

    Returns
    -------
    ReachTube
        Rounded outward at every step.

    Raises
    ------
    ValueError
        If there are fewer than k inputs, the map has no enclosure, no invariant box is found, both
        a domain and inputs are given or one of them beside pasts, or the domain is not proved
        invariant or does not hold X.

    Examples
    --------
    >>> from theory import VanillaRNN
    >>> cell = VanillaRNN([[1.6, -0.4], [0.3, 1.5]], np.eye(2))  # not contractive
    >>> tube = reach_tube(cell, np.ones((10, 2)), k=10)
    >>> bool(tube.widths[-1].max() < 2e-6)
    True
    >>> met = cell.simulate(np.zeros((5, 2)), h0=[0.1, 0.2])
    >>> reach_tube(cell, np.ones((10, 2)), k=6, pasts=met).narrows
    True
    """
    check_map(recurrent)
    check_count(k=k)
    x = as_sequences("X", X, width=recurrent.input_dim)
    if x.ndim != 2 or len(x) < k:
        raise ValueError(f"X has shape {x.shape}, needed one sequence of at least {k}")
    first = _first_box(recurrent, x, domain, inputs, pasts)
    lows, highs = [first[0]], [first[1]]
    for now in x[len(x) - int(k) :]:
        here = Domain(low=lows[-1], high=highs[-1], input_low=now, input_high=now, start=False)
        image = recurrent.image(here)
        if image is None:
            raise ValueError(f"{recurrent!r} has no enclosure of its steps, needed Map.image")
        lows.append(image[0])
        highs.append(image[1])
    return ReachTube(low=np.array(lows), high=np.array(highs), all_pasts=pasts is None)


def _first_box(
    recurrent: Map, x: Array, domain: Domain | None, inputs: Any, pasts: Any
) -> tuple[Array, Array]:
    """Return the box of the states before the inputs."""
    if len([one for one in (domain, inputs, pasts) if one is not None]) > 1:
        raise ValueError("received several of domain=, inputs= and pasts=, needed at most one")
    if pasts is not None:
        states = as_array("pasts", pasts)
        if states.ndim == 0 or states.shape[-1] != recurrent.state_dim or states.size == 0:
            raise ValueError(
                f"pasts has shape {states.shape}, needed (..., {recurrent.state_dim}), at least one"
            )
        rows = states.reshape(-1, recurrent.state_dim)
        return np.minimum(rows.min(axis=0), 0.0), np.maximum(rows.max(axis=0), 0.0)
    if domain is not None:
        check_invariant(recurrent, domain)
    else:
        before = (x if len(x) else None) if inputs is None else as_inputs(inputs, x.shape[1])
        domain = invariant_domain(recurrent, inputs=before)
        if domain is None:
            raise ValueError(
                f"no bounded box is found that {recurrent!r} never leaves, needed one; pass "
                "domain=, or pasts= for the states that are possible before these inputs"
            )
    if not domain.contains_inputs(x):
        raise ValueError(f"some of X are outside the domain {domain}, needed all inside")
    return domain.low, domain.high
