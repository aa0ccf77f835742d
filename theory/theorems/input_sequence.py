r"""Lipschitz dependence on the inputs.

Statement   |h_t - g_t| <= gain * distance * (1 - lam**t) / (1 - lam)
Assumes     contractive; step is gain-Lipschitz in x; h_0 = g_0; |x_s - y_s| <= distance for all s
Kind        sharp, attained by h -> lam*h + gain*x under constant inputs
Source      Miller and Hardt (ICLR 2019), section 3 (L_x)
"""

from __future__ import annotations

from theory.arithmetic.rounding import evaluate
from theory.certificates import Contraction, check_one_step
from theory.errors import check_count, check_nonnegative
from theory.theorems.assumptions import CONTRACTIVE, INPUT_LIPSCHITZ
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(lam: Scalar, t: Scalar, gain: Scalar, distance: Scalar) -> Scalar:
    """Return the right-hand side."""
    return gain * distance * (1 - lam**t) / (1 - lam)


def input_sequence(c: Contraction, *, t: int, gain: float, distance: float) -> float:
    """Bound the distance of two trajectories from the same start under different inputs.

    Parameters
    ----------
    c : Contraction
    t : int
        Number of inputs received.
    gain : float
        L_x, see `Map.input_lipschitz`.
    distance : float
        Bound of |x_s - y_s| over all times, in the companion norm.

    Returns
    -------
    float
        An upper bound of |h_t - g_t|, rounded outward.

    Raises
    ------
    ValueError
        If `c` is not a one-step contraction, t is not a count, or a size is negative.

    Examples
    --------
    >>> input_sequence(Contraction.assumed(0.5), t=2, gain=2.0, distance=1.0)
    3.0
    """
    check_one_step(c)
    check_count(t=t)
    check_nonnegative(gain=gain, distance=distance)
    return evaluate(formula, lam=c.lam, t=int(t), gain=gain, distance=distance)


INPUT_SEQUENCE = Theorem(
    name="input_sequence",
    title="Lipschitz in the inputs",
    quantity=r"\|h_t - g_t\|",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(CONTRACTIVE, INPUT_LIPSCHITZ),
    source="Miller and Hardt (ICLR 2019), section 3",
)
