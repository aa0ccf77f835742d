r"""State gap in another norm than that of the contraction.

Statement   |h_t - h_t^k|' <= outer * inner * lam**k * past
Assumes     contractive in |.|; restart from 0; |h_{t-k}|' <= past; |h|' <= outer * |h| and
            |h| <= inner * |h|' for all h
Kind        sharp, attained by rank-one maps such as h -> lam*h_1*(1, ..., 1), from the maximum norm
            to the sum norm
Source      this project; outer * inner = sqrt(cond(P)) for a weighted Euclidean norm
"""

from __future__ import annotations

from theory.arithmetic.rounding import evaluate
from theory.certificates import Contraction, check_one_step
from theory.errors import check_count, check_nonnegative
from theory.norms.norms import Norm, over
from theory.theorems.assumptions import CONTRACTIVE, ZERO_RESTART
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(lam: Scalar, k: Scalar, past: Scalar, outer: Scalar, inner: Scalar) -> Scalar:
    """Return the right-hand side."""
    return outer * inner * lam**k * past


def norm_change(c: Contraction, *, k: int, past: float, norm: Norm, dim: int) -> float:
    """Bound the gap in `norm`, given a contraction in another one.

    Parameters
    ----------
    c : Contraction
    k : int
        Number of inputs that the counterpart sees.
    past : float
        Size of h_{t-k}, in `norm`.
    norm : Norm
        The norm in which the gap is wanted.
    dim : int
        Dimension of the state.

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
    >>> from theory import Linf, L1
    >>> norm_change(Contraction.assumed(0.5, Linf()), k=1, past=1.0, norm=L1(), dim=4)
    2.0
    """
    check_one_step(c)
    check_count(k=k)
    check_count(at_least=1, dim=dim)
    check_nonnegative(past=past)
    outer, inner = over(norm, c.norm, n=dim), over(c.norm, norm, n=dim)
    return evaluate(formula, lam=c.lam, k=int(k), past=past, outer=outer, inner=inner)


NORM_CHANGE = Theorem(
    name="norm_change",
    title="state gap in another norm",
    quantity=r"\|h_t - h_t^k\|'",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(CONTRACTIVE, ZERO_RESTART),
    source="this project",
)
