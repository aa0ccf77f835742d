r"""How much of its past attention with a linear bias needs: a receptive field that is soft.

Main names: `attention_gap`, `attention_context`.

Attention with the bias of ALiBi weighs the value at lag j by exp(s_j - slope j), |s_j| <= S the
scores, normalised.  With a = exp(-slope) the mass p on lags k, k + 1, .. against that on the others
is

    p / (1 - p) <= (e^S a^k / (1 - a)) / (e^-S (1 - a^k) / (1 - a)) = e^(2 S) a^k / (1 - a^k),

so that the output is off from that of the last k values alone, by p times the distance of two means
of values,

    |out - out_k| <= 2 V e^(2 S) a^k / (1 - a^k + e^(2 S) a^k),   |v_j| <= V,

and no more: values -V before and V after, scores S before and -S after reach it as the past grows.
Without a bias a = 1, and the whole of 2 V is lost for every k.
"""

from __future__ import annotations

import math

from theory.arithmetic.rounding import ELEMENTARY_UNITS, TINY, UNIT, evaluate, product_up
from theory.errors import check_count, check_nonnegative, check_positive
from theory.typing import Scalar


def _formula(value: Scalar, spread: Scalar, decay: Scalar, k: Scalar) -> Scalar:
    return 2 * value * spread * decay**k / (1 - decay**k + spread * decay**k)


def attention_gap(*, slope: float, score_bound: float, value_bound: float, k: int) -> float:
    r"""Bound how much attention with a linear bias changes if it sees the last k inputs only.

    Parameters
    ----------
    slope : float
        Of the bias -slope * lag, positive; 2**(-8 i / heads) for head i of ALiBi.
    score_bound : float
        S, of |q . k| / sqrt(d) over all queries and keys, without the bias.
    value_bound : float
        V, of the norm of a value; the answer is in the same norm.
    k : int
        Inputs seen, the present one included.

    Returns
    -------
    float
        Rounded upward; 2 V for k = 0.

    Raises
    ------
    ValueError
        If the slope is not positive, a bound is negative, or k is not a count.

    Examples
    --------
    >>> round(attention_gap(slope=0.5, score_bound=0.0, value_bound=1.0, k=20), 7)
    9.08e-05
    """
    check_positive(slope=slope)
    check_nonnegative(score_bound=score_bound, value_bound=value_bound)
    check_count(k=k)
    # e^(2 S) and e^-slope, upward; the formula rises in both
    margin = 1 + (ELEMENTARY_UNITS + 2) * UNIT
    # a slope beyond the range of exp leaves the least number, which is above
    decay = min(max(product_up(math.exp(-slope), margin), TINY), 1.0)
    if decay == 1 or 2 * score_bound > 600:
        return 2.0 * value_bound
    spread = product_up(math.exp(2 * score_bound), margin)
    return max(evaluate(_formula, value=value_bound, spread=spread, decay=decay, k=int(k)), TINY)


def attention_context(eps: float, *, slope: float, score_bound: float, value_bound: float) -> int:
    r"""Return the least k for which `attention_gap` is at most eps.

    About (2 S + log(2 V / eps)) / slope.

    Parameters
    ----------
    eps : float
        Allowed change of the output.
    slope, score_bound, value_bound : float
        As for `attention_gap`.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If a number is out of its range, or the slope too small for any k below 2**40.

    Examples
    --------
    >>> attention_context(1e-3, slope=0.5, score_bound=2.0, value_bound=1.0)
    24
    """
    check_positive(eps=eps, slope=slope)
    check_nonnegative(score_bound=score_bound, value_bound=value_bound)

    def enough(k: int) -> bool:
        gap = attention_gap(slope=slope, score_bound=score_bound, value_bound=value_bound, k=k)
        return gap <= eps

    low, high = -1, 1
    while not enough(high):
        low, high = high, 2 * high
        if not high <= 2**40:
            raise ValueError(
                f"slope={slope!r} is too small for scores up to {score_bound!r}, needed a k below "
                "2**40; take a larger eps or bound the scores"
            )
    if enough(0):
        return 0
    low = max(low, 0)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
