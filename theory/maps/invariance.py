r"""Boxes of states that a map never leaves.

Main names: `invariant_domain`, `is_invariant`, `check_invariant`.

A box B is forward invariant under the inputs in question if the enclosure of step(B, inputs) lies
in B.  Then so is the hull of 0 and that enclosure: it lies in B, so its image lies in the image of
B.  Shrinking by this rule never loses invariance, but the enclosure of a smaller box may round to a
larger end, so each box is checked again and the last one that passes is returned.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from theory.arithmetic.rounding import BOX_ROOM
from theory.domain import Domain, check_box
from theory.inputs import as_inputs
from theory.maps.base import Map, check_map
from theory.typing import Array

#: Shrinking ends when no width has lost this part of itself in one step.
_SETTLED = 2.0**-10

#: Parts of its size by which a box that misses its image by rounding is widened, one after another:
#: any is sound, the least that serves is the sharpest.
_ROOMS = (2.0**-44, 2.0**-34, BOX_ROOM)

#: Steps of shrinking at the most; each costs about one step of the map on 2 n states.
_STEPS = 50


def is_invariant(recurrent: Map, domain: Domain) -> bool:
    """Return whether it is proved that the map leaves no state of the domain's box.

    The proof is an outward-rounded enclosure of the image; False is not a proof of the contrary.
    False for the states reached from zero, which are no box: see `theory.maps.reached.holds_on`.
    """
    return _kept(recurrent, domain) is not None


def check_invariant(recurrent: Map, domain: Domain) -> None:
    """Raise unless it is a domain of this map that holds 0 and is proved to be never left.

    Raises
    ------
    ValueError
        If it is no domain, has other dimensions, need not hold 0, or is not proved invariant.
    """
    if not isinstance(domain, Domain):
        raise ValueError(f"domain={domain!r}, needed a theory.Domain")
    if (domain.state_dim, domain.input_dim) != (recurrent.state_dim, recurrent.input_dim):
        raise ValueError(
            f"the domain has {domain.state_dim} states and {domain.input_dim} inputs, needed "
            f"{recurrent.state_dim} and {recurrent.input_dim}"
        )
    if not domain.start:
        raise ValueError("the domain is a box on the way, needed one to start in")
    check_box(domain)
    if not is_invariant(recurrent, domain):
        raise ValueError(
            f"the box {domain} is not proved forward invariant, needed one that the map never "
            "leaves; theory.certify.invariant_domain(map, inputs=...) finds one"
        )


def _kept(recurrent: Map, domain: Domain) -> tuple[Array, Array] | None:
    """Return the enclosure of a box's image, None if it is not within the box."""
    image = recurrent.image(domain) if domain.reached is None else None
    if image is None:
        return None
    low, high = image
    return image if bool(np.all(domain.low <= low) and np.all(high <= domain.high)) else None


def invariant_domain(recurrent: Map, *, inputs: Any = None) -> Domain | None:
    r"""Return a box of states that contains 0 and that the map never leaves.

    Parameters
    ----------
    recurrent : Map
    inputs : Inputs, or (..., m) array, optional
        The inputs in question; the domain is one for the smallest box that holds them.  All inputs
        by default.

    Returns
    -------
    Domain or None
        Proved invariant; None if no bounded box is found or the map has no enclosure.

    Raises
    ------
    ValueError
        If the inputs are a plain number, none at all, or of another width.

    Examples
    --------
    >>> from theory import Inputs, VanillaRNN
    >>> box = invariant_domain(VanillaRNN([[0.5]], [[1.0]]), inputs=Inputs.box(-0.1, 0.1))
    >>> bool(0.16 < box.high[0] < 0.2), str(box.inputs)
    (True, '|x_i| <= 0.1')
    """
    check_map(recurrent)
    low, high = _input_box(recurrent.input_dim, inputs)
    first = recurrent.candidate_box(low, high)
    if first is None or not all(np.isfinite(end).all() for end in first):
        return None
    domain = _box(first, low, high)
    image = _kept(recurrent, domain)
    for room in _ROOMS:
        wider = None if image is not None else _inflated(recurrent, domain, room)
        if wider is None:
            break
        domain, image = wider, _kept(recurrent, wider)
    if image is None:
        return None
    for _ in range(_STEPS):
        smaller = _box(image, low, high)
        before, after = domain.high - domain.low, smaller.high - smaller.low
        if bool(np.all(after >= before * (1 - _SETTLED))):
            break
        image = _kept(recurrent, smaller)
        if image is None:
            break
        domain = smaller
    return domain


def _inflated(recurrent: Map, domain: Domain, part: float) -> Domain | None:
    """Return the hull of a box and its image, with a part of the larger end as room at both.

    An end that is next to 0 carries the rounding of the other one, beyond any part of itself.
    """
    image = recurrent.image(domain)
    if image is None or not all(np.isfinite(end).all() for end in image):
        return None
    low, high = np.minimum(domain.low, image[0]), np.maximum(domain.high, image[1])
    room = part * np.maximum(-low, high)
    with np.errstate(over="ignore"):
        ends = np.where(low < 0, low - room, 0.0), np.where(high > 0, high + room, 0.0)
    if not all(np.isfinite(end).all() for end in ends):
        return None
    return _box(ends, domain.input_low, domain.input_high)


def _box(ends: tuple[Array, Array], low: Array, high: Array) -> Domain:
    return Domain(
        low=np.minimum(ends[0], 0.0),
        high=np.maximum(ends[1], 0.0),
        input_low=low,
        input_high=high,
    )


def _input_box(m: int, inputs: Any) -> tuple[Array, Array]:
    if inputs is None:
        return np.full(m, -np.inf), np.full(m, np.inf)
    given = as_inputs(inputs, m)
    if given.rows is not None and len(given.rows) == 0:
        raise ValueError("inputs holds no input, needed at least one")
    return given.ends(m)
