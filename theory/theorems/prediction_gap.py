r"""Prediction gap after training: the recurrent twin against the k-step model of the other twin.

Statement   |y_t(w) - y_t^k(v)| <= lipschitz * (weight_gain * distance + lam**k * drive) / (1 - lam)
Assumes     every map between w and v contracts by lam; |step_w(h, x) - step_v(h, x)| <=
            weight_gain * |w - v|; |w - v| <= distance; |step_v(0, x_t)| <= drive; y = f(h) with f
            lipschitz-Lipschitz; h_0 = 0, restart from 0
Kind        sharp, attained in the limit of long histories by h -> lam*h + v, w = v + distance
Source      Miller and Hardt (ICLR 2019), Theorem 1, as reconstructed
"""

from __future__ import annotations

from theory.arithmetic.rounding import evaluate
from theory.certificates import Contraction, check_one_step, drive_size
from theory.errors import check_count, check_nonnegative
from theory.inputs import Drive
from theory.theorems.assumptions import (
    CONTRACTIVE_SET,
    DRIVE_BOUNDED,
    OUTPUT_LIPSCHITZ,
    SAME_START,
    WEIGHT_LIPSCHITZ,
    ZERO_START,
)
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(
    lam: Scalar, k: Scalar, drive: Scalar, weight_gain: Scalar, lipschitz: Scalar, distance: Scalar
) -> Scalar:
    """Return the right-hand side."""
    return lipschitz * (weight_gain * distance + lam**k * drive) / (1 - lam)


def prediction_gap(
    c: Contraction,
    *,
    k: int,
    drive: float | Drive,
    weight_gain: float,
    distance: float,
    lipschitz: float = 1.0,
) -> float:
    """Bound the distance of the outputs of the recurrent model of w and the k-step model of v.

    Parameters
    ----------
    c : Contraction
        Of every map between the two.
    k : int
        Number of inputs that the k-step model sees.
    drive : float or Drive
        Bound of |step_v(0, x_t)|.
    weight_gain : float
        L_w, see `theory.learning.constants.interface.map_constants`.
    distance : float
        Bound of |w - v|: measured, or from `weight_gap`.
    lipschitz : float
        L_f; 1 for the state itself.

    Returns
    -------
    float
        An upper bound, rounded outward.

    Raises
    ------
    ValueError
        If `c` is not a one-step contraction, k is not a count, or a size is negative.

    Examples
    --------
    >>> prediction_gap(Contraction.assumed(0.5), k=2, drive=1.0, weight_gain=1.0, distance=0.25)
    1.0
    """
    check_one_step(c)
    check_count(k=k)
    check_nonnegative(weight_gain=weight_gain, distance=distance, lipschitz=lipschitz)
    size = drive_size(c, drive)
    return evaluate(
        formula, lam=c.lam, k=int(k), drive=size, weight_gain=weight_gain, lipschitz=lipschitz,
        distance=distance,
    )  # fmt: skip


PREDICTION_GAP = Theorem(
    name="prediction_gap",
    title="prediction gap after training",
    quantity=r"\|y_t(w) - y_t^k(v)\|",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(
        CONTRACTIVE_SET,
        WEIGHT_LIPSCHITZ,
        SAME_START,
        DRIVE_BOUNDED,
        OUTPUT_LIPSCHITZ,
        ZERO_START,
    ),
    source="Miller and Hardt (ICLR 2019), Theorem 1, as reconstructed",
)
