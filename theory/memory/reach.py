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
from theory.errors import as_sequences, check_count
from theory.inputs import as_inputs
from theory.maps.base import Map, check_map
from theory.maps.invariance import check_invariant, invariant_domain
from theory.norms.norms import Norm
from theory.typing import Array


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class ReachTube:
    """Boxes that hold the states of every past, after each of the last k inputs."""

    low: Array  # (k + 1, n); the first row is the box of all pasts
    high: Array  # (k + 1, n)

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


def reach_tube(
    recurrent: Map, X: Any, *, k: int, domain: Domain | None = None, inputs: Any = None
) -> ReachTube:
    r"""Carry the box of all pasts through the last k inputs.

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

    Returns
    -------
    ReachTube
        Rounded outward at every step.

    Raises
    ------
    ValueError
        If there are fewer than k inputs, the map has no enclosure, no invariant box is found, both
        a domain and inputs are given, or the domain is not proved invariant or does not hold X.

    Examples
    --------
    >>> from theory import VanillaRNN
    >>> cell = VanillaRNN([[1.6, -0.4], [0.3, 1.5]], np.eye(2))  # not contractive
    >>> tube = reach_tube(cell, np.ones((10, 2)), k=10)
    >>> bool(tube.widths[-1].max() < 2e-6)
    True
    """
    check_map(recurrent)
    check_count(k=k)
    x = as_sequences("X", X, width=recurrent.input_dim)
    if x.ndim != 2 or len(x) < k:
        raise ValueError(f"X has shape {x.shape}, needed one sequence of at least {k}")
    if domain is not None:
        if inputs is not None:
            raise ValueError("received both domain= and inputs=, needed at most one of them")
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
    lows, highs = [domain.low], [domain.high]
    for now in x[len(x) - int(k) :]:
        here = Domain(low=lows[-1], high=highs[-1], input_low=now, input_high=now, start=False)
        image = recurrent.image(here)
        if image is None:
            raise ValueError(f"{recurrent!r} has no enclosure of its steps, needed Map.image")
        lows.append(image[0])
        highs.append(image[1])
    return ReachTube(low=np.array(lows), high=np.array(highs))
