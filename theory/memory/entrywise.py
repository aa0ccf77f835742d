"""Gaps entry by entry, from matrices that majorise one step.

Main names: `componentwise_gap`, `componentwise_context`.

Matrices M that majorise one step (`Map.comparison`) bound the distance of two trajectories of the
same inputs entry by entry: |h_t - g_t| <= max_M M |h_{t-1} - g_{t-1}|.  Carried on entry by entry
they give more than a rate, since the gap of an output needs no conversion of norms.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from theory.arithmetic.rounding import inner_product_error
from theory.domain import Domain
from theory.errors import as_vector, check_count, check_positive
from theory.maps.base import Map, check_map
from theory.maps.head import as_head
from theory.maps.reached import check_domain
from theory.memory.moves import least_context, moves_of
from theory.norms.norms import L2, Norm
from theory.typing import Array


def _matrices(recurrent: Map, domain: Domain | None) -> tuple[Array, ...]:
    found = recurrent.comparison(domain)
    if found is None:
        raise ValueError(
            f"no matrix is known that majorises a step of {recurrent!r} on this domain; give "
            "domain=theory.certify.invariant_domain(map, inputs=...)"
        )
    return found


def check_stays(recurrent: Map, domain: Domain | None) -> None:
    """Raise unless it is proved that no state that starts in the domain leaves it.

    The matrices bound one step from states of the domain.  That |h_t - h_t^k| <= M^k |h_{t-k}|
    needs every step of both models to start there: both start in the box, which holds 0, and stay
    in it if it is forward invariant under the inputs of the domain.
    """
    if domain is not None:
        check_domain(recurrent, domain)


def gap_after_step(matrices: tuple[Array, ...], gap: Array) -> Array:
    """Return an upper bound of max_M M gap, entry by entry; inf beyond the largest double."""
    images = []
    for M in matrices:
        with np.errstate(over="ignore", invalid="ignore"):
            image = M @ gap
            image = image + inner_product_error(image, M.shape[1])
        image = np.where(np.isnan(image), np.inf, image)  # 0 times infinity
        # a row that meets only zeros stays zero
        images.append(np.where((M > 0) @ (gap > 0), np.nextafter(image, np.inf), 0.0))
    result: Array = np.maximum.reduce(images)
    return result


def componentwise_gap(
    recurrent: Map, domain: Domain | None = None, *, k: int, past: Any = None
) -> Array:
    r"""Bound the state gap entry by entry: |h_t - h_t^k| <= M^k |h_{t-k}|.

    Sharper than a rate, as no norms are converted: an output C h is off by at most |C| times it.

    Parameters
    ----------
    recurrent : Map
        Restarted from 0 k steps back.
    domain : Domain, optional
        Where the states are, a box that the map never leaves, which is checked; everywhere by
        default.
    k : int
        Number of inputs that the truncated model sees.
    past : (n,) array, optional
        |h_{t-k}|, the sizes of one stored state; by default what the domain allows.

    Returns
    -------
    (n,) array
        An upper bound, rounded outward.

    Raises
    ------
    ValueError
        If no matrix majorises the map there, the domain is not proved invariant, k is not a count,
        a size is negative or of no state of the domain, or neither a domain nor a state is given.

    Examples
    --------
    >>> from theory import LinearMap
    >>> shift = LinearMap([[0.0, 5.0], [0.0, 0.0]], [[1.0], [1.0]])
    >>> componentwise_gap(shift, k=1, past=[1.0, 1.0]).round(6).tolist()
    [5.0, 0.0]
    >>> componentwise_gap(shift, k=2, past=[1.0, 1.0]).tolist()
    [0.0, 0.0]
    """
    check_map(recurrent)
    check_count(k=k)
    check_stays(recurrent, domain)
    gap = past_of(recurrent, domain, past)
    matrices = _matrices(recurrent, domain)
    for _ in range(int(k)):
        gap = gap_after_step(matrices, gap)
    return gap


def past_of(recurrent: Map, domain: Domain | None, past: Any) -> Array:
    """Return bounds |h_i| of the state where the window begins."""
    if past is None:
        if domain is None:
            raise ValueError(
                "received neither domain= nor past=, needed one of them to bound the state where "
                "the window begins"
            )
        return domain.reach
    sizes = as_vector("past", past, size=recurrent.state_dim)
    if not bool(np.all(sizes >= 0)):
        raise ValueError(f"past has least entry {np.min(sizes)}, needed sizes |h_i|")
    if domain is not None and not bool(np.all(sizes <= domain.reach)):
        i = int(np.argmin(sizes <= domain.reach))
        raise ValueError(
            f"past[{i}]={sizes[i]:.17g} is the size of no state of the domain, where it is at most "
            f"{domain.reach[i]:.17g}; needed a state in the domain"
        )
    return sizes


def componentwise_context(
    recurrent: Map,
    domain: Domain,
    *,
    eps: float,
    head: Any = None,
    norm: Norm | None = None,
) -> int | None:
    r"""Return the least k for which `componentwise_gap` proves an error of at most eps.

    Parameters
    ----------
    recurrent : Map
        Started in the domain, and restarted from 0.
    domain : Domain
        A box that the map never leaves, which is checked.
    eps : float
        Allowed error of the state, or of the outputs of `head`.
    head : LinearHead, array, or output layer, optional
        See `theory.maps.as_head`.
    norm : Norm, optional
        A monotone norm of the error, `L2` by default.

    Returns
    -------
    int or None
        None if it is not reached within 100,000 steps or about two seconds.

    Raises
    ------
    ValueError
        If eps is not positive, no matrix majorises the map there, the domain is not proved
        invariant, or the norm is not monotone.
    """
    check_map(recurrent)
    check_positive(eps=eps)
    measure = L2() if norm is None else norm
    if not measure.monotone:
        raise ValueError(f"{measure} is not monotone, needed a norm of entrywise bounds")
    check_stays(recurrent, domain)
    moves = moves_of(recurrent, domain, lengths=False)
    if moves is None:
        _matrices(recurrent, domain)
        return None
    output = None if head is None else as_head(recurrent, head)
    found = least_context(moves, float(eps), output, measure)
    return None if found is None else found[0]
