r"""Gradient gap of the k-step model after t inputs.

Statement   |grad p_t - grad p_t^k| <= loss_gain * (lam**k * weight_gain * (1 - lam**(t - k))
            / (1 - lam) + lam**(k - 1) * past * (k * beta_wh + beta_hh * weight_gain
            * (k - (1 - lam**k) / (1 - lam)) / (1 - lam)))
            + beta_p * lam**k * past * weight_gain * (1 - lam**k) / (1 - lam)
Assumes     contractive; weight_gain, beta_hh and beta_wh bound step_w and its derivatives;
            |grad p|_* <= loss_gain and beta_p-Lipschitz; |h_(t-k)| <= past; h_0 = 0, restart from
            0; 1 <= k <= t
Kind        sharp, attained in the limit of long histories by h -> w*h + drive, p(h) = h
Source      Miller and Hardt (ICLR 2019), appendix, as reconstructed; the sum form is this project's
"""

from __future__ import annotations

from theory.arithmetic.rounding import evaluate
from theory.certificates import Contraction, check_one_step
from theory.errors import check_count, check_nonnegative
from theory.theorems.assumptions import (
    CONTRACTIVE_SET,
    LOSS_LIPSCHITZ,
    LOSS_SMOOTH,
    SMOOTH_MAP,
    WEIGHT_LIPSCHITZ,
    ZERO_START,
)
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(
    lam: Scalar,
    k: Scalar,
    t: Scalar,
    past: Scalar,
    weight_gain: Scalar,
    loss_gain: Scalar,
    beta_hh: Scalar,
    beta_wh: Scalar,
    beta_p: Scalar,
) -> Scalar:
    """Return the right-hand side: lost history, other Jacobians on the way, another end."""
    return loss_gain * (
        lam**k * weight_gain * (1 - lam ** (t - k)) / (1 - lam)
        + lam ** (k - 1)
        * past
        * (k * beta_wh + beta_hh * weight_gain * (k - (1 - lam**k) / (1 - lam)) / (1 - lam))
    ) + beta_p * lam**k * past * weight_gain * (1 - lam**k) / (1 - lam)


def gradient_gap_finite(
    c: Contraction,
    *,
    k: int,
    t: int,
    past: float,
    weight_gain: float,
    loss_gain: float,
    beta_hh: float = 0.0,
    beta_wh: float = 0.0,
    beta_p: float = 0.0,
) -> float:
    """Bound the distance of the gradients of the recurrent model and of its k-step counterpart.

    Parameters
    ----------
    c : Contraction
    k, t : int
        Inputs seen by the counterpart, at least 1, and received by the recurrent model.
    past : float
        Bound of the state k steps back, |h_(t-k)|.
    weight_gain, beta_hh, beta_wh : float
        L_w and smoothness of the map, see `theory.learning.constants.interface.map_constants`.
    loss_gain, beta_p : float
        L_p and smoothness of the loss in the state, see `theory.learning.losses.loss_constants`.

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
    h -> w*h + 1 after a long history, at w = 0.9 and k = 5, where p(h) = h:

    >>> c = Contraction.assumed(0.9)
    >>> bound = gradient_gap_finite(
    ...     c, k=5, t=2000, past=10.0, weight_gain=10.0, loss_gain=1.0, beta_wh=1.0
    ... )
    >>> round(bound, 9)
    91.854
    """
    check_one_step(c)
    check_count(at_least=1, k=k)
    check_count(t=t)
    check_nonnegative(
        past=past, weight_gain=weight_gain, loss_gain=loss_gain, beta_hh=beta_hh,
        beta_wh=beta_wh, beta_p=beta_p,
    )  # fmt: skip
    if t <= k:
        return 0.0
    return evaluate(
        formula, lam=c.lam, k=int(k), t=int(t), past=past, weight_gain=weight_gain,
        loss_gain=loss_gain, beta_hh=beta_hh, beta_wh=beta_wh, beta_p=beta_p,
    )  # fmt: skip


GRADIENT_GAP_FINITE = Theorem(
    name="gradient_gap_finite",
    title="gradient gap after t inputs",
    quantity=r"\|\nabla p_t - \nabla p_t^k\|",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(
        CONTRACTIVE_SET,
        WEIGHT_LIPSCHITZ,
        SMOOTH_MAP,
        LOSS_LIPSCHITZ,
        LOSS_SMOOTH,
        ZERO_START,
    ),
    source="Miller and Hardt (ICLR 2019), appendix, as reconstructed; sum form: this project",
    order=2,
)
