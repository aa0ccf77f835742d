r"""State gap for any start and any restart.

Statement   |h_t - h_t^k| <= lam**k
            * (lam**(t - k) * start + drive * (1 - lam**(t - k)) / (1 - lam) + restart)
Assumes     contractive; |step(0, x_t)| <= drive for all t; |h_0| <= start; the truncated model
            starts from a state of size at most restart
Kind        sharp, attained by h -> lam*h + drive with a negative restart
Source      this project; repairs Miller and Hardt (ICLR 2019), section 3, as reconstructed, for
            h_0 != 0
"""

from __future__ import annotations

from theory.arithmetic.rounding import evaluate
from theory.certificates import Contraction, check_one_step, drive_size
from theory.errors import check_count, check_nonnegative
from theory.inputs import Drive
from theory.theorems.assumptions import CONTRACTIVE, DRIVE_BOUNDED
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(
    lam: Scalar, k: Scalar, t: Scalar, drive: Scalar, start: Scalar, restart: Scalar
) -> Scalar:
    """Return the right-hand side."""
    return lam**k * (lam ** (t - k) * start + drive * (1 - lam ** (t - k)) / (1 - lam) + restart)


def state_gap_any_start(
    c: Contraction, *, k: int, t: int, drive: float | Drive, start: float, restart: float = 0.0
) -> float:
    """Bound the gap when the models do not start from zero; 0 for t <= k.

    Parameters
    ----------
    c : Contraction
    k, t : int
        Number of inputs that the counterpart sees, and that the recurrent model has received.
    drive : float or Drive
        Bound of |step(0, x_t)| in the norm of `c`, see `Map.drive`.
    start, restart : float
        Sizes of h_0 and of the state from which the counterpart starts.

    Returns
    -------
    float
        An upper bound, rounded outward.

    Raises
    ------
    ValueError
        If `c` is not a one-step contraction, a count is not one, or a size is negative.

    Examples
    --------
    >>> state_gap_any_start(Contraction.assumed(0.5), k=1, t=2, drive=0.0, start=4.0)
    1.0
    """
    check_one_step(c)
    check_count(k=k, t=t)
    check_nonnegative(start=start, restart=restart)
    size = drive_size(c, drive)
    if t <= k:
        return 0.0
    return evaluate(
        formula, lam=c.lam, k=int(k), t=int(t), drive=size, start=start, restart=restart
    )


STATE_GAP_ANY_START = Theorem(
    name="state_gap_any_start",
    title="state gap, any start and restart",
    quantity=r"\|h_t - h_t^k\|",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(CONTRACTIVE, DRIVE_BOUNDED),
    source="this project (the published statement takes h_0 = 0, as reconstructed)",
)
