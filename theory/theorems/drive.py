r"""The drive of a zero-start model: its offset may not be forgotten.

Statement   |step(0, x)| <= gain * input_bound + offset
Assumes     step is gain-Lipschitz in x; |x| <= input_bound; |step(0, 0)| <= offset
Kind        sharp, attained by h -> lam*h + gain*x + offset
Source      this project; repairs Miller and Hardt (ICLR 2019), section 3, as reconstructed, where
            step(0, 0) = 0 is assumed
"""

from __future__ import annotations

from theory.arithmetic.rounding import evaluate
from theory.errors import check_nonnegative
from theory.theorems.assumptions import INPUT_LIPSCHITZ
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(gain: Scalar, input_bound: Scalar, offset: Scalar) -> Scalar:
    """Return the right-hand side."""
    return gain * input_bound + offset


def drive(*, gain: float, input_bound: float, offset: float) -> float:
    """Bound |step(0, x)| over |x| <= input_bound.

    Parameters
    ----------
    gain : float
        L_x, see `Map.input_lipschitz`.
    input_bound : float
        B_x, in the companion norm.
    offset : float
        Bound of |step(0, 0)|; non-zero with a bias or an activation such as the logistic function.

    Returns
    -------
    float
        An upper bound, rounded outward.

    Raises
    ------
    ValueError
        If a size is negative.

    Examples
    --------
    >>> drive(gain=2.0, input_bound=3.0, offset=0.5)
    6.5
    """
    check_nonnegative(gain=gain, input_bound=input_bound, offset=offset)
    return evaluate(formula, gain=gain, input_bound=input_bound, offset=offset)


DRIVE = Theorem(
    name="drive",
    title="drive of a zero-start model",
    quantity=r"\|\phi(0, x)\|",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(INPUT_LIPSCHITZ,),
    source="this project (the published statement assumes offset 0, as reconstructed)",
)
