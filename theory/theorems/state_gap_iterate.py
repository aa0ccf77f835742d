r"""State gap from one stored state, when only several steps together contract.

Statement   |h_t - h_t^k| <= growth**rest * lam**blocks * past
Assumes     r steps together contract by lam; |step(h, x) - step(g, x)| <= growth * |h - g|;
            restart from 0; |h_{t-k}| <= past; k = blocks r + rest
Kind        sharp, attained by h -> (a h_2, b h_1), which contracts in pairs of steps
Source      this project; Miller and Hardt (ICLR 2019), section 3, state it for multiples of r
"""

from __future__ import annotations

from theory.arithmetic.rounding import evaluate
from theory.certificates import Contraction, check_contraction_given
from theory.errors import check_count, check_nonnegative
from theory.theorems.assumptions import ITERATE_CONTRACTIVE, STEP_LIPSCHITZ, ZERO_RESTART
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(lam: Scalar, blocks: Scalar, rest: Scalar, growth: Scalar, past: Scalar) -> Scalar:
    """Return the right-hand side."""
    return growth**rest * lam**blocks * past


def state_gap_iterate(c: Contraction, *, k: int, growth: float, past: float) -> float:
    """Bound the gap a posteriori, from a contraction of ``c.iterate`` steps together.

    Parameters
    ----------
    c : Contraction
        Of any number of steps.
    k : int
        Number of inputs that the counterpart sees.
    growth : float
        A Lipschitz constant of one step in the norm of `c`, possibly above 1.
    past : float
        |h_{t-k}| in the norm of `c`.

    Returns
    -------
    float
        An upper bound, rounded outward.

    Raises
    ------
    ValueError
        If `c` is not a contraction, k is not a count, or a size is negative.

    Examples
    --------
    >>> state_gap_iterate(Contraction.assumed(0.5, iterate=3), k=7, growth=2.0, past=1.0)
    0.5
    """
    check_contraction_given(c)
    check_count(k=k)
    check_nonnegative(growth=growth, past=past)
    blocks, rest = divmod(int(k), c.iterate)
    return evaluate(formula, lam=c.lam, blocks=blocks, rest=rest, growth=growth, past=past)


STATE_GAP_ITERATE = Theorem(
    name="state_gap_iterate",
    title="state gap from one stored state, several steps together",
    quantity=r"\|h_t - h_t^k\|",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(ITERATE_CONTRACTIVE, STEP_LIPSCHITZ, ZERO_RESTART),
    source="this project; Miller and Hardt (ICLR 2019), section 3, for multiples of r",
)
