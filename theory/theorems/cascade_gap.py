r"""Gap of the upper of two layers, each driven by the one below.

Statement   |h_t - h_t^k| <= second**k * above
                             + gain * first * (first**k - second**k) / (first - second) * below
Assumes     two layers contractive by first != second in their norms, the upper one Lipschitz by
            gain in what it sees of the lower one's new state; restart from 0; below and above bound
            the layers' states at t-k
Kind        sharp, attained by positive scalar linear layers; for equal rates it tends to
            lam**k * (above + k * gain * below): depth costs a polynomial, not a worse rate
Source      this project
"""

from __future__ import annotations

from theory.arithmetic.rounding import evaluate
from theory.certificates import Contraction, check_one_step
from theory.errors import check_count, check_nonnegative
from theory.theorems.assumptions import TWO_LAYERS, ZERO_RESTART
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(
    first: Scalar, second: Scalar, gain: Scalar, k: Scalar, below: Scalar, above: Scalar
) -> Scalar:
    """Return the right-hand side, for different rates."""
    return second**k * above + gain * first * (first**k - second**k) / (first - second) * below


def equal_rates(lam: Scalar, gain: Scalar, k: Scalar, below: Scalar, above: Scalar) -> Scalar:
    """Return its limit for equal rates."""
    return lam**k * (above + k * gain * below)


def cascade_gap(
    first: Contraction, second: Contraction, *, k: int, gain: float, below: float, above: float
) -> float:
    """Bound the gap of the upper of two layers.

    Parameters
    ----------
    first, second : Contraction
        Of the lower and of the upper layer, each in its own norm.
    k : int
        Number of inputs that the counterpart sees.
    gain : float
        Lipschitz constant of the upper layer in the lower one's state, between those norms; what is
        read out in between included.
    below, above : float
        Sizes of the layers' states at t - k.

    Returns
    -------
    float
        An upper bound, rounded outward.

    Raises
    ------
    ValueError
        If a contraction is not one of a single step, k is not a count, or a size is negative.

    Examples
    --------
    >>> c = Contraction.assumed(0.5)
    >>> cascade_gap(c, c, k=2, gain=1.0, below=1.0, above=1.0)
    0.75
    """
    check_one_step(first)
    check_one_step(second)
    check_count(k=k)
    check_nonnegative(gain=gain, below=below, above=above)
    return _value(first.lam, second.lam, gain, int(k), below, above)


def _value(first: float, second: float, gain: float, k: int, below: float, above: float) -> float:
    if first == second:
        return evaluate(equal_rates, lam=first, gain=gain, k=k, below=below, above=above)
    return evaluate(formula, first=first, second=second, gain=gain, k=k, below=below, above=above)


CASCADE_GAP = Theorem(
    name="cascade_gap",
    title="state gap of the upper of two layers",
    quantity=r"\|h_t - h_t^k\|",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(TWO_LAYERS, ZERO_RESTART),
    source="this project",
)
