r"""State gap of the k-step counterpart, for every length of history.

Statement   |h_t - h_t^k| <= drive * lam**k / (1 - lam)
Assumes     contractive; |step(0, x_t)| <= drive for all t; h_0 = 0, restart from 0
Kind        sharp, attained in the limit of long histories by h -> lam*h + drive
Source      Miller and Hardt (ICLR 2019), section 3, there with drive = L_x B_x
"""

from __future__ import annotations

from theory.arithmetic.rounding import evaluate
from theory.certificates import Contraction, check_one_step, drive_size
from theory.errors import check_count
from theory.inputs import Drive
from theory.theorems.assumptions import CONTRACTIVE, DRIVE_BOUNDED, ZERO_START
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(lam: Scalar, k: Scalar, drive: Scalar) -> Scalar:
    """Return the right-hand side."""
    return drive * lam**k / (1 - lam)


def state_gap(c: Contraction, *, k: int, drive: float | Drive) -> float:
    """Bound the distance between the recurrent state and its k-step counterpart.

    Parameters
    ----------
    c : Contraction
    k : int
        Number of inputs that the counterpart sees.
    drive : float or Drive
        Bound of |step(0, x_t)| in the norm of `c`, see `Map.drive`.

    Returns
    -------
    float
        An upper bound, rounded outward, whatever the length of the history.

    Raises
    ------
    ValueError
        If `c` is not a one-step contraction, k is not a count, or the drive is negative or not one
        for `c`.

    Examples
    --------
    >>> state_gap(Contraction.assumed(0.5), k=3, drive=1.0)
    0.25
    """
    check_one_step(c)
    check_count(k=k)
    return evaluate(formula, lam=c.lam, k=int(k), drive=drive_size(c, drive))


STATE_GAP = Theorem(
    name="state_gap",
    title="state gap, any history",
    quantity=r"\|h_t - h_t^k\|",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(CONTRACTIVE, DRIVE_BOUNDED, ZERO_START),
    source="Miller and Hardt (ICLR 2019), section 3 (there with drive = L_x B_x)",
)
