r"""Distances of probability vectors: Hilbert's metric, and what it says of two others.

Main names: `hilbert_distance`, `total_variation_of_distance`, `divergence_of_distance`,
`total_variation_of_divergence`.

For positive p and q with r_i = log p_i - log q_i the distance is d = max r - min r.  Scaling either
vector changes nothing, and no matrix of non-negative entries increases it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from theory.arithmetic.rounding import ELEMENTARY_UNITS, UNIT, product_up, sqrt_up, up
from theory.errors import as_array, check_nonnegative
from theory.typing import Array

#: A relative error of an elementary function, with the rounding of what is done to its result.
ELEMENTARY = (ELEMENTARY_UNITS + 4) * UNIT


def hilbert_distance(p: Any, q: Any) -> Array:
    """Return max r - min r for r = log p - log q, along the last axis, as computed.

    Parameters
    ----------
    p, q : (..., n) arrays
        Positive; they need not add up to 1.

    Returns
    -------
    (...,) array

    Raises
    ------
    ValueError
        If an entry is not positive.

    Examples
    --------
    >>> round(float(hilbert_distance([0.5, 0.5], [0.2, 0.8])), 6)
    1.386294
    """
    first, second = as_array("p", p), as_array("q", q)
    for name, one in (("p", first), ("q", second)):
        if not np.all(one > 0):
            raise ValueError(
                f"{name} has an entry that is not positive, needed positive vectors: Hilbert's "
                "distance from the border is infinite"
            )
    r = np.log(first) - np.log(second)
    return np.asarray(np.max(r, axis=-1) - np.min(r, axis=-1))


def total_variation_of_distance(distance: float) -> float:
    r"""Return tanh(d / 4), an upper bound of the total variation |p - q|_1 / 2, rounded up.

    The largest difference of two probability vectors with ratios in an interval of length d is that
    of two points, at s = sqrt(e^d): (s - 1) / (s + 1) = tanh(d / 4).

    Parameters
    ----------
    distance : float
        Hilbert's distance of the two.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the distance is negative.

    Examples
    --------
    >>> total_variation_of_distance(0.0), round(total_variation_of_distance(4.0), 6)
    (0.0, 0.761594)
    """
    if distance == math.inf:
        return 1.0
    check_nonnegative(distance=distance)
    return min(1.0, product_up(math.tanh(distance / 4), 1 + ELEMENTARY)) if distance else 0.0


def divergence_of_distance(distance: float) -> float:
    r"""Return d**2 / 8, an upper bound of the divergence KL(p, q) in nats, rounded up.

    With r = log p - log q, of values in an interval of length d, Hoeffding's lemma gives

        0 = log E_p exp(-r) <= -E_p r + d**2 / 8,   KL(p, q) = E_p r.

    Parameters
    ----------
    distance : float
        Hilbert's distance of the two.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the distance is negative.

    Examples
    --------
    >>> round(divergence_of_distance(2.0), 9)
    0.5
    """
    if distance == math.inf:
        return math.inf
    check_nonnegative(distance=distance)
    return up(distance * distance / 8)


def total_variation_of_divergence(divergence: float) -> float:
    """Return sqrt(KL / 2), Pinsker's upper bound of |p - q|_1 / 2, rounded up; at most 1.

    Parameters
    ----------
    divergence : float
        In nats; of a mean divergence it bounds the mean distance.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the divergence is negative.

    Examples
    --------
    >>> total_variation_of_divergence(0.5)
    0.5
    """
    check_nonnegative(divergence=divergence)
    half = divergence / 2  # exact, unless it is subnormal
    return min(1.0, sqrt_up(half if half * 2 == divergence else up(half)))
