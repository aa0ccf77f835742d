r"""Growth of gradients in the unstable regime.

Statement   d p_t / d factor >= (t - 1) * factor**(2*t - 3)
Assumes     h_t = factor * h_(t-1) + 1, h_0 = 0, p_t = (h_t - 1)**2 / 2 as a function of factor > 0;
            t >= 2
Kind        lower; exponential for factor > 1, attained at t = 2
Source      this project; Miller and Hardt (ICLR 2019), Proposition 1, is about this system
"""

from __future__ import annotations

from theory.arithmetic.rounding import evaluate
from theory.errors import check_count, check_positive
from theory.theorems.assumptions import SCALAR_GROWTH
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(factor: Scalar, t: Scalar) -> Scalar:
    """Return the right-hand side."""
    return (t - 1) * factor ** (2 * t - 3)


def gradient_growth(*, factor: float, t: int) -> float:
    """Return a lower bound of the derivative of the loss of the scalar linear system.

    Parameters
    ----------
    factor : float
        a > 0; the system is unstable for a > 1.
    t : int
        Number of inputs, at least 2.

    Returns
    -------
    float
        A lower bound, rounded downward; inf beyond the largest double.

    Raises
    ------
    ValueError
        If the factor is not positive, or t is not a count of at least 2.

    Examples
    --------
    >>> gradient_growth(factor=2.0, t=3)
    16.0
    """
    check_positive(factor=factor)
    check_count(at_least=2, t=t)
    return evaluate(formula, upward=False, factor=float(factor), t=int(t))


GRADIENT_GROWTH = Theorem(
    name="gradient_growth",
    title="growth of gradients, unstable system",
    quantity=r"p_t'(a)",
    formula=formula,
    kind=Kind.LOWER,
    assumes=(SCALAR_GROWTH,),
    source="this project; Miller and Hardt (ICLR 2019), Proposition 1, is about this system",
)
