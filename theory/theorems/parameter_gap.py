r"""Lipschitz dependence of the state on the parameters.

Statement   |h_t(w) - h_t(v)| <= distance * weight_gain * (1 - lam**t) / (1 - lam)
Assumes     every map between w and v contracts by lam (for the gap that of w is enough);
            |step_w(h, x) - step_v(h, x)| <= weight_gain * |w - v|; |w - v| <= distance; the same
            start and the same inputs.  The same bounds the derivative of h_t in w, and with k for t
            the k-step model
Kind        sharp, attained by h -> lam*h + w
Source      Miller and Hardt (ICLR 2019), appendix, as reconstructed; with finite t: this project
"""

from __future__ import annotations

from theory.arithmetic.rounding import evaluate
from theory.certificates import Contraction, check_one_step
from theory.errors import check_count, check_nonnegative
from theory.theorems.assumptions import CONTRACTIVE_SET, SAME_START, WEIGHT_LIPSCHITZ
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(lam: Scalar, t: Scalar, weight_gain: Scalar, distance: Scalar) -> Scalar:
    """Return the right-hand side."""
    return distance * weight_gain * (1 - lam**t) / (1 - lam)


def parameter_gap(c: Contraction, *, t: int, weight_gain: float, distance: float) -> float:
    """Bound the distance of the states of two parameter vectors after t equal inputs.

    Parameters
    ----------
    c : Contraction
        Of every map between the two.
    t : int
        Number of inputs.
    weight_gain : float
        L_w, see `theory.learning.constants.interface.map_constants`.
    distance : float
        Bound of |w - v|, the Euclidean distance of the parameters.

    Returns
    -------
    float
        An upper bound, rounded outward.

    Raises
    ------
    ValueError
        If `c` is not a one-step contraction, t is not a count, or a size is negative.

    Examples
    --------
    >>> parameter_gap(Contraction.assumed(0.5), t=2, weight_gain=2.0, distance=0.5)
    1.5
    """
    check_one_step(c)
    check_count(t=t)
    check_nonnegative(weight_gain=weight_gain, distance=distance)
    return evaluate(formula, lam=c.lam, t=int(t), weight_gain=weight_gain, distance=distance)


PARAMETER_GAP = Theorem(
    name="parameter_gap",
    title="Lipschitz in the parameters",
    quantity=r"\|h_t(w) - h_t(v)\|",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(CONTRACTIVE_SET, WEIGHT_LIPSCHITZ, SAME_START),
    source="Miller and Hardt (ICLR 2019), appendix, as reconstructed; with finite t: this project",
)
