r"""Decisions about A^T diag(s) A + diag(own) <= level diag(d), by one Gram matrix and one factor.

Main names: `weighted_gram_upper`, `weighted_gram_holds`.

As in `theory.arithmetic.rigor`, True is a proof, an upper value is rounded outward, and where an
entry is not finite or a weight not positive nothing is claimed.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from theory.arithmetic.rigor import (
    absolute_gram_upper,
    all_finite,
    eigenvalues_at_least,
    moderate_size,
)
from theory.arithmetic.rounding import UNIT, gamma, up
from theory.typing import Array

#: The first level tried is at least this much above the estimate, relatively; the proof decides.
_FIRST_SLACK = 2.0**-46

#: Every underflow of what is formed here, with entries of at most 2**64, costs less in all, see
#: `theory.arithmetic.rigor`.
_UNDERFLOW = 2.0**-950

#: A level that pays for the handful of them that a proof asks for.
_LEAST = 2.0**-944


class _Form(NamedTuple):
    """A^T diag(s) A + diag(own) and diag(d) after a similarity by powers of two."""

    G: Array  # the Gram matrix as computed, (n, n)
    own: Array  # (n,)
    d: Array  # (n,), in [1/2, 2)
    error: float  # of G, in the spectral norm


def _formed(A: Array, s: Array, d: Array, own: Array) -> _Form | None:
    r"""Return the form with A <- diag(sqrt(s)) A E, d <- E d E, own <- E own E; None if it is lost.

    E is made of powers of two that bring d to about 1.  They are exact but for underflow, which is
    checked for A and d.  With B = diag(sqrt(s)) A E and its computed entries, each off by at most
    gamma(2) relatively,

        |fl(B^T B) - B^T B| <= gamma(m + 4) |B|^T |B|                             entrywise.
    """
    if not (all_finite(A, s, d, own) and np.all(s >= 0) and np.all(d > 0) and np.all(own >= 0)):
        return None
    half = -(np.frexp(d)[1] // 2)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        B, weights = np.ldexp(A, half), np.ldexp(d, 2 * half)
        back = np.ldexp(B, -half), np.ldexp(weights, -2 * half)
        if not (np.array_equal(back[0], A) and np.array_equal(back[1], d)):
            return None
        B *= np.sqrt(s)[:, None]
        rest = np.ldexp(own, 2 * half)
        if not (all_finite(B, rest) and moderate_size(B)):
            return None
        G = B.T @ B
    lower = np.tril(G)
    error = 2 * gamma(len(A) + 8) * absolute_gram_upper(B)
    return _Form(lower + np.tril(lower, -1).T, rest, weights, error)


def _holds(form: _Form, level: float) -> bool:
    """Decide the inequality; only the diagonal of level d - own - G rounds, by 3 u of its terms."""
    if not (math.isfinite(level) and level >= 0):
        return False
    diagonal = np.diag(form.G)
    K = -form.G
    np.einsum("ii->i", K)[:] = (level * form.d - form.own) - diagonal
    largest = float(np.max(level * form.d + form.own + np.abs(diagonal), initial=0.0))
    margin = up((form.error + 4 * UNIT * largest + _UNDERFLOW) * (1 + 8 * UNIT))
    return eigenvalues_at_least(K, margin)


def weighted_gram_holds(A: Array, s: Array, d: Array, level: float, own: Array) -> bool:
    r"""Decide A^T diag(s) A + diag(own) <= level diag(d), s, own >= 0 and d > 0; True is a proof.

    Equivalently sum_r s_r (A x)_r^2 + sum_i own_i x_i^2 <= level sum_i d_i x_i^2 for all x.  A has
    (m, n) entries; with no row the matrices are diagonal.
    """
    if len(A) == 0:
        return diagonal_ratio_upper(own, d) <= level
    form = _formed(A, s, d, own)
    return form is not None and _holds(form, level)


def diagonal_ratio_upper(own: Array, d: Array) -> float:
    """Return max_i own_i / d_i, rounded upward; inf where it is not known."""
    if not (all_finite(own, d) and np.all(d > 0) and np.all(own >= 0)):
        return math.inf
    with np.errstate(over="ignore", under="ignore"):
        ratios = np.where(own == 0, 0.0, np.nextafter(own / d, math.inf))
    return float(np.max(ratios, initial=0.0))


def weighted_gram_upper(A: Array, s: Array, d: Array, own: Array) -> float:
    """Return a level at which `weighted_gram_holds`, just above the least; inf if none is found.

    The first level tried is an eigenvalue routine's estimate and what the proof itself asks for.
    """
    if len(A) == 0:
        return diagonal_ratio_upper(own, d)
    form = _formed(A, s, d, own)
    if form is None:
        return math.inf
    root = np.sqrt(form.d)
    scaled = (form.G + np.diag(form.own)) / root[:, None] / root
    guess = float(np.linalg.eigvalsh(scaled)[-1])
    if not guess > _LEAST:
        # zero, or lost in underflow
        return _LEAST if _holds(form, _LEAST) else math.inf
    n = len(form.d)
    slack = _FIRST_SLACK + 4.0 * form.error / guess + 16.0 * n * gamma(n + 2)
    while slack < 1.0:
        level = guess * (1.0 + slack)
        if _holds(form, level):
            return level
        slack *= 2.0
    return math.inf
