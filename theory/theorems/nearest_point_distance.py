r"""A half space that contains a set bounds the distance from it.

Statement   |w - v| >= (inner - support) / length
Assumes     <normal, v> <= support for every member v of the set; inner = <normal, w>,
            length = |normal| > 0
Kind        lower; attained by nearest points of convex sets, with normal = w - P(w)
Source      classical (separation of a point from a convex set)
"""

from __future__ import annotations

from theory.arithmetic.rounding import evaluate
from theory.errors import check_nonnegative, check_positive
from theory.theorems.assumptions import HALF_SPACE
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(inner: Scalar, support: Scalar, length: Scalar) -> Scalar:
    """Return the right-hand side."""
    return (inner - support) / length


def nearest_point_distance(*, inner: float, support: float, length: float) -> float:
    """Bound the distance of a point from a set, from below.

    Parameters
    ----------
    inner : float
        Inner product of a normal and the point.
    support : float
        An upper bound of the inner products of the normal and the members.
    length : float
        Euclidean length of the normal.

    Returns
    -------
    float
        A lower bound, rounded towards smaller; negative if the half space holds the point.

    Raises
    ------
    ValueError
        If inner or support is negative, or the length is not positive.

    Examples
    --------
    >>> nearest_point_distance(inner=3.0, support=1.0, length=2.0)
    1.0
    """
    check_nonnegative(inner=inner, support=support)
    check_positive(length=length)
    return evaluate(formula, upward=False, inner=inner, support=support, length=length)


NEAREST_POINT_DISTANCE = Theorem(
    name="nearest_point_distance",
    title="distance from a set, from below",
    quantity=r"\|w - v\|",
    formula=formula,
    kind=Kind.LOWER,
    assumes=(HALF_SPACE,),
    source="classical",
)
