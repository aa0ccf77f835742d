r"""Back inside: a point is accepted by a rigorous test, or moved inwards by a growing margin.

Main names: `inside`, `half_space_distance`, `least_margin`.

A projection ends at the boundary, and so on either side of it in floating-point arithmetic.  Here
the point of a slightly smaller set is taken instead, the margin being doubled until the test, which
is a proof, accepts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from theory.arithmetic.rounding import (
    UNIT,
    down,
    inner_product_error,
    ldexp_down,
    ldexp_up,
    scaled_to_one,
)
from theory.arithmetic.sums import length_upper
from theory.typing import Array

T = TypeVar("T")

#: Unit roundoff of single precision.
SINGLE_UNIT = 2.0**-24

#: A margin beyond this is no longer a repair.
_LARGEST_MARGIN = 0.5


def unit_of(array: Any) -> float:
    """Return the unit roundoff of the type in which an array is stored."""
    return UNIT if np.asarray(array).dtype.itemsize >= 8 else SINGLE_UNIT


def least_margin(n: int, unit: float) -> float:
    r"""Return the margin, relative to the radius, that is tried first.

    The rigorous test of an n x n matrix against its norm needs about 6 n^2 u (the shift of
    `theory.arithmetic.rigor.eigenvalues_at_least` relative to the square of the norm), half of that
    on the norm.  A cast to single precision changes the norm by at most u sqrt(n) of it; rounding
    errors that are not aligned do by a few u.
    """
    margin = 16.0 * (n + 4) ** 2 * UNIT
    return margin if unit <= UNIT else margin + 8.0 * unit


def inside(
    point: Callable[[float], T], accept: Callable[[T], bool], margin: float
) -> tuple[T, float] | None:
    """Return the first accepted point and its margin; None if none is, up to a half.

    Parameters
    ----------
    point
        From a margin to the point of the set shrunken by it, as it will be stored.
    accept
        The rigorous test.
    margin
        The first one tried; may be 0.
    """
    while margin <= _LARGEST_MARGIN:
        candidate = point(margin)
        if accept(candidate):
            return candidate, margin
        margin = max(2.0 * margin, 2 * UNIT)
    return None


def half_space_distance(point: Array, normal: Array, support: float) -> float:
    r"""Return a lower bound of the distance of a point from a set, rounded down.

    Every w in the set obeys <normal, w> <= support, so that

        <normal, point> - support <= <normal, point - w> <= |normal| |point - w|.

    Parameters
    ----------
    point, normal : arrays of one shape
    support : float
        An upper bound of <normal, w> over the set, rounded up.

    Returns
    -------
    float
        Not negative; 0 if the half space does not separate the point from the set.
    """
    if not (np.any(normal) and np.isfinite(normal).all() and math.isfinite(support)):
        return 0.0
    N, e_N = scaled_to_one(np.asarray(normal, dtype=np.float64))
    p, e = scaled_to_one(np.asarray(point, dtype=np.float64))
    terms = N * p
    # entries of N and p, at most 1, that underflow in the scaling change a product by eta / 2 each,
    # and the product itself errs by as much: less than the 2 eta of `inner_product_error`
    error = float(inner_product_error(np.sum(np.abs(terms)), terms.size))
    excess = down(down(float(np.sum(terms)) - error) - ldexp_up(support, -e_N - e))
    return max(0.0, ldexp_down(down(excess / length_upper(N)), e)) if excess > 0 else 0.0
