r"""State gap of the k-step counterpart after t inputs.

Statement   |h_t - h_t^k| <= drive * (lam**k - lam**t) / (1 - lam)
Assumes     contractive; |step(0, x_t)| <= drive for all t; h_0 = 0, restart from 0; t >= k
Kind        sharp, attained at every t and k by h -> lam*h + drive
Source      this project; the finite-history form of Miller and Hardt (ICLR 2019), section 3
"""

from __future__ import annotations

from theory.arithmetic.rounding import evaluate
from theory.certificates import Contraction, check_one_step, drive_size
from theory.errors import check_count
from theory.inputs import Drive
from theory.theorems.assumptions import CONTRACTIVE, DRIVE_BOUNDED, ZERO_START
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(lam: Scalar, k: Scalar, t: Scalar, drive: Scalar) -> Scalar:
    """Return the right-hand side."""
    return drive * (lam**k - lam**t) / (1 - lam)


def state_gap_finite(c: Contraction, *, k: int, t: int, drive: float | Drive) -> float:
    """Bound the gap after exactly t inputs; 0 for t <= k, where both models are the same.

    Parameters
    ----------
    c : Contraction
    k : int
        Number of inputs that the counterpart sees.
    t : int
        Number of inputs that the recurrent model has received.
    drive : float or Drive
        Bound of |step(0, x_t)| in the norm of `c`, see `Map.drive`.

    Returns
    -------
    float
        An upper bound, rounded outward.

    Raises
    ------
    ValueError
        If `c` is not a one-step contraction, a count is not one, or the drive is negative.

    Examples
    --------
    >>> state_gap_finite(Contraction.assumed(0.5), k=1, t=2, drive=1.0)
    0.5
    """
    check_one_step(c)
    check_count(k=k, t=t)
    if t <= k:
        return 0.0
    return evaluate(formula, lam=c.lam, k=int(k), t=int(t), drive=drive_size(c, drive))


STATE_GAP_FINITE = Theorem(
    name="state_gap_finite",
    title="state gap after t inputs",
    quantity=r"\|h_t - h_t^k\|",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(CONTRACTIVE, DRIVE_BOUNDED, ZERO_START),
    source="this project (finite-history form of Miller and Hardt, ICLR 2019, section 3)",
)
