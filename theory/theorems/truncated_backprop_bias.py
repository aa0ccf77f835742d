r"""Bias of truncated backpropagation: the state is carried, the gradient is cut after k steps.

Statement   |grad p_t - g_k| <= lam**k * loss_gain * weight_gain * (1 - lam**(t - k)) / (1 - lam)
Assumes     contractive; weight_gain bounds step_w; |grad p|_* <= loss_gain; k <= t
Kind        sharp, attained by h -> lam*h + w, p(h) = h
Source      this project; Aicher, Foti and Fox (UAI 2020) with one decay rate for all lags
"""

from __future__ import annotations

from theory.arithmetic.rounding import evaluate
from theory.certificates import Contraction, check_one_step
from theory.errors import check_count, check_nonnegative
from theory.theorems.assumptions import CONTRACTIVE_SET, LOSS_LIPSCHITZ, WEIGHT_LIPSCHITZ
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(lam: Scalar, k: Scalar, t: Scalar, weight_gain: Scalar, loss_gain: Scalar) -> Scalar:
    """Return the right-hand side."""
    return lam**k * loss_gain * weight_gain * (1 - lam ** (t - k)) / (1 - lam)


def truncated_backprop_bias(
    c: Contraction, *, k: int, t: int, weight_gain: float, loss_gain: float
) -> float:
    """Bound the bias of the gradient that truncated backpropagation gives for the loss at time t.

    Parameters
    ----------
    c : Contraction
    k, t : int
        Steps kept, and inputs received.
    weight_gain : float
        L_w, see `theory.learning.constants.interface.map_constants`.
    loss_gain : float
        L_p, see `theory.learning.losses.loss_constants`.

    Returns
    -------
    float
        An upper bound, rounded outward; 0 for t <= k.

    Raises
    ------
    ValueError
        If `c` is not a one-step contraction, a count is not one, or a size is negative.

    Examples
    --------
    >>> truncated_backprop_bias(Contraction.assumed(0.5), k=1, t=2, weight_gain=1.0, loss_gain=1.0)
    0.5
    """
    check_one_step(c)
    check_count(k=k, t=t)
    check_nonnegative(weight_gain=weight_gain, loss_gain=loss_gain)
    if t <= k:
        return 0.0
    return evaluate(
        formula, lam=c.lam, k=int(k), t=int(t), weight_gain=weight_gain, loss_gain=loss_gain
    )


TRUNCATED_BACKPROP_BIAS = Theorem(
    name="truncated_backprop_bias",
    title="bias of truncated backpropagation",
    quantity=r"\|\nabla p_t - g_k\|",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(CONTRACTIVE_SET, WEIGHT_LIPSCHITZ, LOSS_LIPSCHITZ),
    source="this project; Aicher, Foti and Fox (UAI 2020) with one decay rate for all lags",
)
