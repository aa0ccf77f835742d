r"""A bound of the product of two entries bounds the distance of a pair, whatever their scaling.

Statement   (x - u)^2 + (y - v)^2 + multiplier (x - y)^2 / 2
            + 2 multiplier product / (1 + multiplier)
            >= multiplier * total**2 / (2 * (1 + 2 * multiplier))
Assumes     u v <= product for every member (u, v) of the set; total = x + y;
            multiplier >= 0 (no sign of x, y, u, v is needed)
Kind        lower; attained for every multiplier, by the nearest point of a hyperbola
Source      this project (weak duality for u v <= product)
"""

from __future__ import annotations

from theory.arithmetic.rounding import evaluate
from theory.errors import check_nonnegative
from theory.theorems.assumptions import BOUNDED_PRODUCT
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(total: Scalar, multiplier: Scalar) -> Scalar:
    """Return the right-hand side."""
    return multiplier * total**2 / (2 * (1 + 2 * multiplier))


def nearest_pair_distance(*, total: float, multiplier: float) -> float:
    """Bound the squared distance of a pair from a bounded product, with two terms, from below.

    Parameters
    ----------
    total : float
        x + y, of the moduli of the two entries.
    multiplier : float
        Any; the best one is where the bound of the squared distance is largest.

    Returns
    -------
    float
        A lower bound, rounded towards smaller, of the squared distance of (x, y) from the members
        + multiplier (x - y)**2 / 2 + 2 multiplier product / (1 + multiplier).

    Raises
    ------
    ValueError
        If an argument is negative.

    Examples
    --------
    From (2, 2) the nearest point with u v <= 1 is (1, 1): a squared distance of 2.  With the
    multiplier 7 it is at least 56/15 - 14/8.

    >>> nearest_pair_distance(total=4.0, multiplier=7.0)
    3.733333333333333
    """
    check_nonnegative(total=total, multiplier=multiplier)
    return evaluate(formula, upward=False, total=total, multiplier=multiplier)


NEAREST_PAIR_DISTANCE = Theorem(
    name="nearest_pair_distance",
    title="distance from a bounded product, from below",
    quantity=(
        r"(x - u)^2 + (y - v)^2 + \frac{1}{2} \mathrm{multiplier} \, (x - y)^2"
        r" + \frac{2 \, \mathrm{multiplier} \, \mathrm{product}}{1 + \mathrm{multiplier}}"
    ),
    formula=formula,
    kind=Kind.LOWER,
    assumes=(BOUNDED_PRODUCT,),
    source="this project",
)
