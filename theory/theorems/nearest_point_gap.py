r"""Projections onto convex sets do not expand distances.

Statement   |P(w) - P(v)| <= distance
Assumes     P(w) is a nearest point of the set to w, and so for v; the set is convex;
            |w - v| <= distance
Kind        sharp, attained by members, which stay where they are
Source      classical (Moreau 1965); used by Miller and Hardt (ICLR 2019) for projected gradients
"""

from __future__ import annotations

from theory.arithmetic.rounding import evaluate
from theory.errors import check_nonnegative
from theory.theorems.assumptions import CONVEX_SET, NEAREST_POINT
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(distance: Scalar) -> Scalar:
    """Return the right-hand side."""
    return distance


def nearest_point_gap(*, distance: float) -> float:
    """Bound the distance of the projections of two points onto a convex set.

    Parameters
    ----------
    distance : float
        The distance of the points, in the Euclidean norm.

    Returns
    -------
    float
        An upper bound.

    Raises
    ------
    ValueError
        If the distance is negative.

    Examples
    --------
    >>> nearest_point_gap(distance=0.5)
    0.5
    """
    check_nonnegative(distance=distance)
    return evaluate(formula, distance=distance)


NEAREST_POINT_GAP = Theorem(
    name="nearest_point_gap",
    title="distance of projections",
    quantity=r"\|P(w) - P(v)\|",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(NEAREST_POINT, CONVEX_SET),
    source="classical (Moreau 1965)",
)
