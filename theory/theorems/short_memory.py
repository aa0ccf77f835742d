r"""Prediction with a short memory: what is lost by seeing the last k symbols only.

Statement   E KL(P(x_0 | all of the past), P(x_0 | x_(-k) .. x_(-1))) <= information / (k + 1)
Assumes     the symbols are a stationary process; past and future share at most `information` nats
Kind        sharp; attained at k = n - 1 by the circular register of n bits (`theory.sources`)
Source      Sharan, Kakade, Liang and Valiant (STOC 2018) with 1 / k; 1 / (k + 1): this project
"""

from __future__ import annotations

from theory.arithmetic.rounding import evaluate
from theory.errors import check_count, check_nonnegative
from theory.theorems.assumptions import SHARED_INFORMATION, STATIONARY
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(information: Scalar, k: Scalar) -> Scalar:
    """Return the right-hand side."""
    return information / (k + 1)


def short_memory(*, information: float, k: int) -> float:
    r"""Bound the mean divergence of the best predictor of k symbols from the best of all.

    Of a hidden Markov model with n states the information is at most log n, whatever its mixing;
    of a Markov source of order m over d symbols at most m log d.  By Pinsker's inequality the mean
    total variation is at most the root of half the bound, `theory.sources`'
    `total_variation_of_divergence`.  The published bound is information / k.

    Parameters
    ----------
    information : float
        I, an upper bound of the mutual information of past and future, in nats.
    k : int
        Symbols seen.

    Returns
    -------
    float
        In nats, rounded upward.

    Raises
    ------
    ValueError
        If the information is negative or k is not a count.

    Examples
    --------
    >>> short_memory(information=1.0, k=3)
    0.25
    """
    check_nonnegative(information=information)
    check_count(k=k)
    return evaluate(formula, information=float(information), k=int(k))


SHORT_MEMORY = Theorem(
    name="short_memory",
    title="prediction with a short memory",
    quantity=r"E\,\mathrm{KL}(P(x_0 \mid x_{<0}), P(x_0 \mid x_{-k}, \dots, x_{-1}))",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(STATIONARY, SHARED_INFORMATION),
    source="Sharan, Kakade, Liang, Valiant (STOC 2018) with 1/k; 1/(k + 1): this project",
)
