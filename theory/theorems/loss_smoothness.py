r"""Smoothness of the loss in the parameters, for every length of history.

Statement   |grad p_t(w) - grad p_t(v)| <= distance * (loss_gain * (beta_hh * weight_gain**2
            / (1 - lam)**2 + (beta_hw + beta_wh) * weight_gain / (1 - lam) + beta_ww)
            + beta_p * weight_gain**2 / (1 - lam)) / (1 - lam)
Assumes     every map between w and v contracts by lam; weight_gain and the betas bound step_w and
            its derivatives; |grad p|_* <= loss_gain and beta_p-Lipschitz; |w - v| <= distance; the
            same start.  The same holds for the k-step model
Kind        sharp, attained to first order in the distance, after a long history, by h -> w*h + 1,
            p(h) = h
Source      Miller and Hardt (ICLR 2019), appendix, as reconstructed; constants: this project
"""

from __future__ import annotations

from typing import Any

from theory.arithmetic.rounding import evaluate
from theory.certificates import Contraction, check_one_step
from theory.errors import check_nonnegative
from theory.theorems.assumptions import (
    CONTRACTIVE_SET,
    LOSS_LIPSCHITZ,
    LOSS_SMOOTH,
    SAME_START,
    SMOOTH_MAP,
    WEIGHT_LIPSCHITZ,
)
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(
    lam: Scalar,
    weight_gain: Scalar,
    loss_gain: Scalar,
    beta_hh: Scalar,
    beta_hw: Scalar,
    beta_wh: Scalar,
    beta_ww: Scalar,
    beta_p: Scalar,
    distance: Scalar,
) -> Scalar:
    """Return the right-hand side; with distance 1 it is beta."""
    return (
        distance
        * (
            loss_gain
            * (
                beta_hh * weight_gain**2 / (1 - lam) ** 2
                + (beta_hw + beta_wh) * weight_gain / (1 - lam)
                + beta_ww
            )
            + beta_p * weight_gain**2 / (1 - lam)
        )
        / (1 - lam)
    )


def loss_smoothness(
    c: Contraction,
    *,
    weight_gain: float,
    loss_gain: float,
    beta_hh: float = 0.0,
    beta_hw: float = 0.0,
    beta_wh: float = 0.0,
    beta_ww: float = 0.0,
    beta_p: float = 0.0,
    distance: float = 1.0,
) -> float:
    """Bound the change of the gradient between two parameter vectors; beta, for distance 1.

    Parameters
    ----------
    c : Contraction
        Of every map between the two.
    weight_gain, beta_hh, beta_hw, beta_wh, beta_ww : float
        L_w and smoothness of the map, see `theory.learning.constants.interface.map_constants`.
    loss_gain, beta_p : float
        L_p and smoothness of the loss in the state, see `theory.learning.losses.loss_constants`.
    distance : float
        Bound of the Euclidean distance of the parameters.

    Returns
    -------
    float
        An upper bound, rounded outward.

    Raises
    ------
    ValueError
        If `c` is not a one-step contraction, or a size is negative.

    Examples
    --------
    >>> c = Contraction.assumed(0.5)
    >>> loss_smoothness(c, weight_gain=2.0, loss_gain=1.0, beta_hw=1.0, beta_wh=1.0)
    16.0
    """
    check_one_step(c)
    sizes = {
        "weight_gain": weight_gain, "loss_gain": loss_gain, "beta_hh": beta_hh,
        "beta_hw": beta_hw, "beta_wh": beta_wh, "beta_ww": beta_ww, "beta_p": beta_p,
        "distance": distance,
    }  # fmt: skip
    check_nonnegative(**sizes)
    arguments: dict[str, Any] = {"lam": c.lam, **sizes}
    return evaluate(formula, **arguments)


LOSS_SMOOTHNESS = Theorem(
    name="loss_smoothness",
    title="smoothness of the loss in the parameters",
    quantity=r"\|\nabla p_t(w) - \nabla p_t(v)\|",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(
        CONTRACTIVE_SET,
        WEIGHT_LIPSCHITZ,
        SMOOTH_MAP,
        LOSS_LIPSCHITZ,
        LOSS_SMOOTH,
        SAME_START,
    ),
    source="Miller and Hardt (ICLR 2019), appendix, as reconstructed; constants: this project",
)
