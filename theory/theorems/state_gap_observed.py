r"""State gap of the k-step counterpart from one stored state.

Statement   |h_t - h_t^k| <= lam**k * past
Assumes     contractive; restart from 0; |h_{t-k}| <= past, whatever h_0 was
Kind        sharp, attained by h -> lam*h + drive; the tightest of the gap bounds
Source      this project; the step before the last of Miller and Hardt (ICLR 2019), section 3
"""

from __future__ import annotations

from theory.arithmetic.rounding import evaluate
from theory.certificates import Contraction, check_one_step
from theory.errors import check_count, check_nonnegative
from theory.theorems.assumptions import CONTRACTIVE, ZERO_RESTART
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(lam: Scalar, k: Scalar, past: Scalar) -> Scalar:
    """Return the right-hand side."""
    return lam**k * past


def state_gap_observed(c: Contraction, *, k: int, past: float) -> float:
    """Bound the gap a posteriori, from the size of the recurrent state k steps ago.

    Parameters
    ----------
    c : Contraction
    k : int
        Number of inputs that the counterpart sees.
    past : float
        |h_{t-k}| in the norm of `c`.

    Returns
    -------
    float
        An upper bound, rounded outward.

    Raises
    ------
    ValueError
        If `c` is not a one-step contraction, k is not a count, or `past` is negative.

    Examples
    --------
    >>> state_gap_observed(Contraction.assumed(0.5), k=3, past=2.0)
    0.25
    """
    check_one_step(c)
    check_count(k=k)
    check_nonnegative(past=past)
    return evaluate(formula, lam=c.lam, k=int(k), past=past)


STATE_GAP_OBSERVED = Theorem(
    name="state_gap_observed",
    title="state gap from one stored state",
    quantity=r"\|h_t - h_t^k\|",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(CONTRACTIVE, ZERO_RESTART),
    source="this project (a posteriori form of Miller and Hardt, ICLR 2019, section 3)",
)
