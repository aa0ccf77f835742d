r"""A half space that contains a set bounds the distance from it.

Statement   |w - v| >= (inner - support) / length
Assumes     <normal, v> <= support for every member v of the set; inner = <normal, w>,
            length = |normal| > 0
Kind        lower; attained by nearest points of convex sets, with normal = w - P(w)
Source      classical (separation of a point from a convex set)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from theory.errors import check_nonnegative, check_positive
from theory.rounding import evaluate
from theory.theorem import Kind, NearMiss, Observation, Theorem
from theory.theorems.assumptions import HALF_SPACE
from theory.typing import Scalar

if TYPE_CHECKING:
    from theory.measure import Run


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


def observe(run: Run) -> Observation:
    """Measure distances of members from a matrix outside, with the normal at its projection."""
    import numpy as np

    from theory.projections.measured import pairs
    from theory.projections.repair import length_upper
    from theory.rounding import gamma

    made = pairs(run)
    W = made.first[0]
    near = made.ball(W)
    N = W - near
    members = (near, *(made.ball(v) for v in made.second), 0.0 * W)
    error = 4 * gamma(W.size + 4) * float(np.sum(np.abs(N) * np.abs(W)))
    # the largest inner product with the members looked at
    support = max(float(np.sum(N * v)) for v in members) + error
    measured = np.array([float(np.linalg.norm(W - v)) for v in members])
    inner = max(float(np.sum(N * W)) - error, 0.0)
    return Observation(
        measured=measured,
        budget=4 * gamma(W.size + 4) * measured,
        arguments={"inner": inner, "support": max(support, 0.0), "length": length_upper(N)},
    )


NEAREST_POINT_DISTANCE = Theorem(
    name="nearest_point_distance",
    title="distance from a set, from below",
    quantity=r"\|w - v\|",
    formula=formula,
    kind=Kind.LOWER,
    assumes=(HALF_SPACE,),
    source="classical",
    observe=observe,
    near_misses=(
        NearMiss(
            name="the support added",
            formula=lambda inner, support, length: (inner + support) / length,
        ),
        NearMiss(
            name="not divided by the length",
            formula=lambda inner, support, length: inner - support,  # noqa: ARG005
        ),
    ),
)
