r"""Lipschitz dependence on the initial state.

Statement   |h_t - g_t| <= lam**t * distance
Assumes     contractive; the same inputs; |h_0 - g_0| <= distance
Kind        sharp, attained by h -> lam*h
Source      Miller and Hardt (ICLR 2019), section 3 (the definition of stability, iterated)
"""

from __future__ import annotations

from theory.arithmetic.rounding import evaluate
from theory.certificates import Contraction, check_one_step
from theory.errors import check_count, check_nonnegative
from theory.theorems.assumptions import CONTRACTIVE, SAME_INPUTS
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(lam: Scalar, t: Scalar, distance: Scalar) -> Scalar:
    """Return the right-hand side."""
    return lam**t * distance


def initial_state(c: Contraction, *, t: int, distance: float) -> float:
    """Bound the distance of two trajectories of the same inputs.

    Parameters
    ----------
    c : Contraction
    t : int
        Number of inputs received.
    distance : float
        Bound of |h_0 - g_0| in the norm of `c`.

    Returns
    -------
    float
        An upper bound of |h_t - g_t|, rounded outward.

    Raises
    ------
    ValueError
        If `c` is not a one-step contraction, t is not a count, or the distance is negative.

    Examples
    --------
    >>> initial_state(Contraction.assumed(0.5), t=3, distance=8.0)
    1.0
    """
    check_one_step(c)
    check_count(t=t)
    check_nonnegative(distance=distance)
    return evaluate(formula, lam=c.lam, t=int(t), distance=distance)


INITIAL_STATE = Theorem(
    name="initial_state",
    title="Lipschitz in the initial state",
    quantity=r"\|h_t - g_t\|",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(CONTRACTIVE, SAME_INPUTS),
    source="Miller and Hardt (ICLR 2019), section 3",
)
