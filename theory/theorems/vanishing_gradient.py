r"""Vanishing gradients: how the loss at time t depends on the input k steps before.

Statement   |d p_t / d x_(t-k)|_* <= loss_gain * lam**k * gain
Assumes     contractive; |step(h, x) - step(h, y)| <= gain * |x - y|; |grad p|_* <= loss_gain;
            |.|_* is the dual norm
Kind        sharp, attained by h -> lam*h + gain*x, p(h) = loss_gain*h
Source      Miller and Hardt (ICLR 2019), section 4, as reconstructed
"""

from __future__ import annotations

from theory.arithmetic.rounding import evaluate
from theory.certificates import Contraction, check_one_step
from theory.errors import check_count, check_nonnegative
from theory.theorems.assumptions import CONTRACTIVE_SET, INPUT_LIPSCHITZ, LOSS_LIPSCHITZ
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(lam: Scalar, k: Scalar, gain: Scalar, loss_gain: Scalar) -> Scalar:
    """Return the right-hand side."""
    return loss_gain * lam**k * gain


def vanishing_gradient(c: Contraction, *, k: int, gain: float, loss_gain: float) -> float:
    """Bound the derivative of the loss at a time in the input k steps before.

    Parameters
    ----------
    c : Contraction
    k : int
        The lag; 0 is the last input.
    gain : float
        L_x, see `Map.input_lipschitz`.
    loss_gain : float
        L_p, see `theory.learning.losses.loss_constants`.

    Returns
    -------
    float
        An upper bound, rounded outward, in the dual of the inputs' norm.

    Raises
    ------
    ValueError
        If `c` is not a one-step contraction, k is not a count, or a size is negative.

    Examples
    --------
    >>> vanishing_gradient(Contraction.assumed(0.5), k=2, gain=2.0, loss_gain=1.0)
    0.5
    """
    check_one_step(c)
    check_count(k=k)
    check_nonnegative(gain=gain, loss_gain=loss_gain)
    return evaluate(formula, lam=c.lam, k=int(k), gain=gain, loss_gain=loss_gain)


VANISHING_GRADIENT = Theorem(
    name="vanishing_gradient",
    title="vanishing gradients",
    quantity=r"\|\partial p_t / \partial x_{t-k}\|_*",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(CONTRACTIVE_SET, INPUT_LIPSCHITZ, LOSS_LIPSCHITZ),
    source="Miller and Hardt (ICLR 2019), section 4, as reconstructed",
)
