r"""Forgetting of the forward filter of a hidden Markov model, in Hilbert's metric.

Statement   max r - min r, r = log b_k - log g_k, of two beliefs after the same k symbols
            <= diameter * tau**(k - 1)
Assumes     positive transitions A with max log(A_ij A_kl / (A_il A_kj)) <= diameter; tau is its
            Birkhoff factor tanh(diameter / 4); k >= 1
Kind        sharp; attained at k = 1 by beliefs in two states
Source      Birkhoff (1957); Atar and Zeitouni (1997) for filters
"""

from __future__ import annotations

from theory.arithmetic.rounding import evaluate
from theory.errors import check_count, check_nonnegative
from theory.theorems.assumptions import BIRKHOFF
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(diameter: Scalar, tau: Scalar, k: Scalar) -> Scalar:
    """Return the right-hand side."""
    return diameter * tau ** (k - 1)


def filter_contraction(*, diameter: float, tau: float, k: int) -> float:
    r"""Bound the distance of two beliefs, however different, after the same k symbols.

    It holds for every sequence of symbols, where `short_memory` speaks of the mean over those of
    the source; and it falls geometrically, but says nothing of chains with forbidden transitions
    (tau = 1).  A distance D bounds the total variation of beliefs and of predictions by tanh(D / 4)
    and their divergence by D**2 / 8, see `theory.sources`.

    Parameters
    ----------
    diameter, tau : float
        `diameter` and `birkhoff` of a `theory.sources.HiddenMarkovModel`.
    k : int
        Symbols seen by both, at least 1.

    Returns
    -------
    float
        Rounded upward.

    Raises
    ------
    ValueError
        If the diameter is negative, tau is no rate, or k is not a count of at least 1.

    Examples
    --------
    >>> filter_contraction(diameter=2.0, tau=0.5, k=3)
    0.5
    """
    check_nonnegative(diameter=diameter)
    _check_tau(tau)
    check_count(at_least=1, k=k)
    return evaluate(formula, diameter=float(diameter), tau=float(tau), k=int(k))


def _check_tau(tau: float) -> None:
    check_nonnegative(tau=tau)
    if not tau < 1:
        raise ValueError(
            f"tau={tau!r}, needed tau < 1: a chain with a forbidden transition has none, and "
            "short_memory bounds what its predictors lose"
        )


FILTER_CONTRACTION = Theorem(
    name="filter_contraction",
    title="forgetting of a forward filter",
    quantity=r"d_H(b_k, g_k)",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(BIRKHOFF,),
    source="Birkhoff (1957); Atar, Zeitouni (1997)",
)
