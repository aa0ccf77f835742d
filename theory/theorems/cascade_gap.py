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

from typing import TYPE_CHECKING

from theory.certificates import Contraction, check_one_step
from theory.errors import check_count, check_nonnegative
from theory.rounding import evaluate
from theory.theorem import Kind, NearMiss, Observation, Theorem
from theory.theorems.assumptions import TWO_LAYERS, ZERO_RESTART
from theory.typing import Scalar

if TYPE_CHECKING:
    from theory.measure import Run


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


def _observe(run: Run, *, past_is_present: bool = False) -> Observation:
    from theory.comparison import layer_gap_tables, layer_rates

    rates = layer_rates(run.map, run.of.contraction.domain)
    assert rates is not None
    measured, budget, sizes, k, t = layer_gap_tables(run, rates)
    past = (t if past_is_present else t - k).astype(int)
    first, second = _apart(*(float(rate) for rate in rates.rates))
    return Observation(
        measured=measured,
        budget=budget,
        arguments={
            "first": first,
            "second": second,
            "gain": float(rates.gains[1]),
            "k": k,
            "below": sizes[0][past],
            "above": sizes[1][past],
        },
    )


def _apart(first: float, second: float) -> tuple[float, float]:
    """Return rates no smaller that are visibly different; the formula divides by the difference."""
    least = 2.0**-20
    if abs(first - second) > least * max(first, second) and first != second:
        return first, second
    return first, min(second, first) + 2 * least * max(first, second, least)


def observe(run: Run) -> Observation:
    """Measure the upper layer's gap for all k and t > k, from the states at t - k."""
    return _observe(run)


def observe_present(run: Run) -> Observation:
    """Use the present states instead of those at the start of the window."""
    return _observe(run, past_is_present=True)


CASCADE_GAP = Theorem(
    name="cascade_gap",
    title="state gap of the upper of two layers",
    quantity=r"\|h_t - h_t^k\|",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(TWO_LAYERS, ZERO_RESTART),
    source="this project",
    observe=observe,
    near_misses=(
        NearMiss(
            name="nothing comes from below",
            formula=lambda first, second, gain, k, below, above: second**k * above,  # noqa: ARG005
        ),
        NearMiss(
            name="the layers' rates alone: no polynomial factor",
            formula=lambda first, second, gain, k, below, above: (
                second**k * above + gain * first**k * below
            ),
        ),
        NearMiss(
            name="the lower state seen a step later",
            formula=lambda first, second, gain, k, below, above: (
                second**k * above
                + gain * first * second * (first**k - second**k) / (first - second) * below
            ),
        ),
        NearMiss(name="present states instead of the stored ones", observe=observe_present),
        NearMiss(name="any restart", drops=ZERO_RESTART),
    ),
)
