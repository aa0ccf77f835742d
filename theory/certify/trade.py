"""A larger rate for a norm that is cheaper to convert.

Main names: `trade_offs`, `cheapest_at`, `end_of_trade`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from theory.certificates import Contraction
from theory.certify import lmi
from theory.certify.accept import accept_candidate, problem_of
from theory.certify.condition import cheaper
from theory.certify.lyapunov import lyapunov_at
from theory.certify.search import DENSE, norm_level, prepare
from theory.maps.form import Affine


def cheapest_at(
    form: Affine, sharpest: Contraction, rate: float, *, dense: int = DENSE
) -> Contraction | None:
    """Return a contraction of about the given rate, in a norm of small condition number.

    The rate should be above that of `sharpest`, a contraction by the matrix inequality, the
    numerical radius or a Lyapunov norm.  Up to n = `dense` the condition number is nearly the least
    possible at that rate; beyond, weights are pulled towards equality as far as the rate allows.
    """
    if form.linear:
        return lyapunov_at(form, rate, dense=dense)
    n = len(form.W)
    prepared = prepare(form)
    q = np.array(sharpest.evidence.multipliers)
    if prepared is None or len(q) != n:
        return None
    problem, size = prepared
    r = rate / size
    x = 0.5 * np.log(q / float(np.exp(np.mean(np.log(q)))))
    # log level is convex along the path s x, so the shares that reach r are an interval up to 1
    low, high = 0.0, 1.0
    for _ in range(12):
        middle = 0.5 * (low + high)
        reached = lmi.factors(problem, problem.scaled(middle * x), r * (1 - 1e-3)) is not None
        low, high = (low, middle) if reached else (middle, high)
    candidate = lmi.gram_at(problem, high * x, r)
    if candidate is None:
        return None
    if n <= dense:
        better = accept_candidate(form, _resized(cheaper(problem, candidate), size))
        if better is not None:
            return better
    return accept_candidate(form, _resized(candidate, size))


def _resized(candidate: lmi.Candidate, size: float) -> lmi.Candidate:
    return lmi.Candidate(P=candidate.P, q=candidate.q, r=candidate.r * size)


def end_of_trade(form: Affine) -> float:
    """Return the rate beyond which nothing is gained: of the Euclidean norm itself, or nearly 1."""
    return min(norm_level(problem_of(form), np.zeros(len(form.W))), 1.0 - 1e-9)


def trade_offs(
    form: Affine, sharpest: Contraction, *, count: int = 4, dense: int = DENSE
) -> Iterator[Contraction]:
    r"""Yield contractions of larger rate and smaller condition number.

    Between the rate of `sharpest` and `end_of_trade`, on a grid that is denser near the former (the
    best choice for small errors).
    """
    end = end_of_trade(form)
    if not 0 < sharpest.lam < end:
        return
    for j in range(1, count + 1):
        share = (j / (count + 1)) ** 2
        found = cheapest_at(
            form, sharpest, sharpest.lam * (end / sharpest.lam) ** share, dense=dense
        )
        if found is not None:
            yield found
