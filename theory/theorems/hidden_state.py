r"""Size of the hidden state.

Statement   |h_t| <= lam**t * start + drive * (1 - lam**t) / (1 - lam)
Assumes     contractive; |step(0, x_t)| <= drive for all t; |h_0| <= start
Kind        sharp, attained by h -> lam*h + drive with constant positive drive
Source      Miller and Hardt (ICLR 2019), section 3, stated there for h_0 = 0 and step(0, 0) = 0
"""

from __future__ import annotations

from theory.arithmetic.rounding import evaluate
from theory.certificates import Contraction, check_one_step, drive_size
from theory.errors import check_count, check_nonnegative
from theory.inputs import Drive
from theory.theorems.assumptions import CONTRACTIVE, DRIVE_BOUNDED
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(lam: Scalar, t: Scalar, drive: Scalar, start: Scalar) -> Scalar:
    """Return the right-hand side."""
    return lam**t * start + drive * (1 - lam**t) / (1 - lam)


def hidden_state(c: Contraction, *, t: int, drive: float | Drive, start: float = 0.0) -> float:
    """Bound |h_t|.

    Parameters
    ----------
    c : Contraction
    t : int
        Number of inputs received.
    drive : float or Drive
        Bound of |step(0, x_t)| in the norm of `c`, see `Map.drive`.
    start : float
        Bound of |h_0|.

    Returns
    -------
    float
        An upper bound, rounded outward.

    Raises
    ------
    ValueError
        If `c` is not a one-step contraction, t is not a count, or a size is negative.

    Examples
    --------
    >>> hidden_state(Contraction.assumed(0.5), t=2, drive=1.0)
    1.5
    """
    check_one_step(c)
    check_count(t=t)
    check_nonnegative(start=start)
    return evaluate(formula, lam=c.lam, t=int(t), drive=drive_size(c, drive), start=start)


HIDDEN_STATE = Theorem(
    name="hidden_state",
    title="size of the hidden state",
    quantity=r"\|h_t\|",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(CONTRACTIVE, DRIVE_BOUNDED),
    source="Miller and Hardt (ICLR 2019), section 3 (there for zero start and zero offset)",
)
