r"""Gradient gap of the k-step model, for every length of history.

Statement   |grad p_t - grad p_t^k| <= k * lam**(k - 1) * (lam * weight_gain * (loss_gain + beta_p
            * drive / (1 - lam)) + loss_gain * drive * (beta_wh + beta_hh * weight_gain
            / (1 - lam))) / (1 - lam)
Assumes     contractive; weight_gain, beta_hh and beta_wh bound step_w and its derivatives;
            |grad p|_* <= loss_gain and beta_p-Lipschitz; |step(0, x_t)| <= drive; h_0 = 0, restart
            from 0; k >= 1
Kind        sharp, attained at k = 1 in the limit of long histories by h -> w*h + drive, p(h) = h
Source      Miller and Hardt (ICLR 2019), Proposition 4 as reconstructed: gamma k lam**k; the power
            k - 1 cannot be replaced by k
"""

from __future__ import annotations

from theory.arithmetic.rounding import evaluate
from theory.certificates import Contraction, check_one_step, drive_size
from theory.errors import check_count, check_nonnegative
from theory.inputs import Drive
from theory.theorems.assumptions import (
    CONTRACTIVE_SET,
    DRIVE_BOUNDED,
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
    drive: Scalar,
    weight_gain: Scalar,
    loss_gain: Scalar,
    beta_hh: Scalar,
    beta_wh: Scalar,
    beta_p: Scalar,
) -> Scalar:
    """Return the right-hand side."""
    return (
        k
        * lam ** (k - 1)
        * (
            lam * weight_gain * (loss_gain + beta_p * drive / (1 - lam))
            + loss_gain * drive * (beta_wh + beta_hh * weight_gain / (1 - lam))
        )
        / (1 - lam)
    )


def gradient_gap(
    c: Contraction,
    *,
    k: int,
    drive: float | Drive,
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
    k : int
        Number of inputs that the counterpart sees, at least 1.
    drive : float or Drive
        Bound of |step(0, x_t)|.
    weight_gain, beta_hh, beta_wh : float
        L_w and smoothness of the map, see `theory.learning.constants.interface.map_constants`.
    loss_gain, beta_p : float
        L_p and smoothness of the loss in the state, see `theory.learning.losses.loss_constants`.

    Returns
    -------
    float
        An upper bound, rounded outward, whatever the length of the history.

    Raises
    ------
    ValueError
        If `c` is not a one-step contraction, k is not a positive count, or a size is negative.

    Examples
    --------
    >>> c = Contraction.assumed(0.5)
    >>> gradient_gap(c, k=1, drive=1.0, weight_gain=2.0, loss_gain=1.0, beta_wh=1.0)
    4.0
    """
    check_one_step(c)
    check_count(at_least=1, k=k)
    check_nonnegative(
        weight_gain=weight_gain, loss_gain=loss_gain, beta_hh=beta_hh, beta_wh=beta_wh,
        beta_p=beta_p,
    )  # fmt: skip
    size = drive_size(c, drive)
    return evaluate(
        formula, lam=c.lam, k=int(k), drive=size, weight_gain=weight_gain, loss_gain=loss_gain,
        beta_hh=beta_hh, beta_wh=beta_wh, beta_p=beta_p,
    )  # fmt: skip


GRADIENT_GAP = Theorem(
    name="gradient_gap",
    title="gradient gap, any history",
    quantity=r"\|\nabla p_t - \nabla p_t^k\|",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(
        CONTRACTIVE_SET,
        WEIGHT_LIPSCHITZ,
        SMOOTH_MAP,
        LOSS_LIPSCHITZ,
        LOSS_SMOOTH,
        DRIVE_BOUNDED,
        ZERO_START,
    ),
    source="Miller and Hardt (ICLR 2019), Proposition 4, as reconstructed; constants: this project",
)
