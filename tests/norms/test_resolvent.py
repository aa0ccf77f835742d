"""Weights of graded and nearly triangular systems against exact arithmetic and all policies."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings, target
from hypothesis import strategies as st

from theory.arithmetic.rounding import UNIT
from theory.norms.resolvent import (
    graded_weights,
    largest_image,
    largest_rate,
    resolvent_weights,
    steps_to_rounding,
)
from theory.theorems import contractive_of_comparison, contractive_of_perron_weights

seeds = st.integers(0, 2**32 - 1)


def radius(matrices):
    """Return the largest spectral radius of a matrix made of rows of these."""
    rows = range(matrices.shape[1])
    choices = itertools.product(range(len(matrices)), repeat=len(rows))
    return max(np.max(np.abs(np.linalg.eigvals(matrices[list(one), rows]))) for one in choices)


def systems(rng, n, count, *, top):
    """Return matrices in moderate units, block triangular, and the units, of any ratio."""
    matrices = rng.random((count, n, n)) * (rng.random((count, n, n)) < rng.choice([0.3, 0.6, 1.0]))
    group = np.sort(rng.integers(0, 3, n))
    matrices[:, group[:, None] > group] = 0.0
    largest = radius(matrices)
    matrices *= top / largest if largest > 0 else 1.0
    matrices[:, group[:, None] < group] *= 10.0 ** rng.uniform(-3, 6)
    units = 10.0 ** (rng.uniform(-1, 1, n) * rng.choice([0.0, 5.0, 100.0]))
    return matrices, units


def exact_resolvent(M, t):
    """Return (t I - M)^-1 1 in fractions, by elimination."""
    n = len(M)
    rows = [[Fraction(float(t)) * (i == j) - Fraction(M[i, j]) for j in range(n)] for i in range(n)]
    for i in range(n):
        rows[i].append(Fraction(1))
    for k in range(n):
        for i in range(k + 1, n):
            share = rows[i][k] / rows[k][k]
            rows[i] = [a - share * b for a, b in zip(rows[i], rows[k], strict=True)]
    w = [Fraction(0)] * n
    for i in reversed(range(n)):
        w[i] = (rows[i][n] - sum(rows[i][j] * w[j] for j in range(i + 1, n))) / rows[i][i]
    return w


@given(st.integers(1, 8), st.integers(1, 3), st.sampled_from([0.3, 0.9, 0.989]), seeds)
def test_every_system_of_radius_below_one_is_certified(n, count, top, seed):
    rng = np.random.default_rng(seed)
    count = count if n <= 4 else 1  # all choices of rows are tried
    matrices, units = systems(rng, n, count, top=top)
    graded = matrices * units / units[:, None]
    found = [contractive_of_comparison(graded)]
    if count == 1:
        found.append(contractive_of_perron_weights(graded[0], "identity"))
    # the resolvents at some rates are among what could have been found
    rates = [t for t in (0.5, 0.95, 0.99, 0.995) if t > top]
    reference = min(
        steps_to_rounding(w, t) for t in rates if (w := resolvent_weights(graded, t)) is not None
    )
    for c in found:
        v = c.norm.v
        slack = 1 + 4 * (n + 2) * UNIT
        assert np.max(largest_image(graded, v) / v) <= c.lam * slack
        # more unequal weights are taken where they forget in two thirds of the steps
        assert steps_to_rounding(v, c.lam) <= 1.5 * (reference + 1) * (1 + 1e-6)
    worst = max(steps_to_rounding(c.norm.v, c.lam) for c in found)
    target(worst / reference, label="steps, of those of the resolvent")


@settings(max_examples=30)
@given(st.integers(1, 8), st.sampled_from([1.001, 1.5]), seeds)
def test_no_weights_for_a_radius_above_one(n, top, seed):
    rng = np.random.default_rng(seed)
    matrices, units = systems(rng, n, 1, top=top)
    if radius(matrices) > 1:
        graded = matrices * units / units[:, None]
        assert contractive_of_comparison(graded) is None
        assert resolvent_weights(graded, 1.0) is None


@settings(max_examples=30)
@given(st.integers(2, 8), seeds)
def test_sharp_where_an_irreducible_matrix_is_graded(n, seed):
    rng = np.random.default_rng(seed)
    M = rng.uniform(0.1, 1.0, (n, n))
    M *= 0.97 / radius(M[None])
    units = 10.0 ** rng.uniform(-100, 100, n)
    graded = M * units / units[:, None]
    for c in (contractive_of_comparison([graded]), contractive_of_perron_weights(graded)):
        assert 0.97 * (1 - 1e-12) <= c.lam <= 0.97 * (1 + 1e-6)


@given(st.integers(1, 8), seeds)
def test_the_resolvent_keeps_its_digits_in_any_units(n, seed):
    rng = np.random.default_rng(seed)
    matrices, units = systems(rng, n, 1, top=0.9)
    graded = matrices[0] * units / units[:, None]
    w, exact = resolvent_weights([graded], 0.95), exact_resolvent(graded, 0.95)
    largest = max(exact)
    scale = Fraction(float(np.max(w)))
    for one, truth in zip(w, exact, strict=True):
        # pivots are known to about n u (t / smallest pivot), here 0.05 and n at most 8
        assert abs(Fraction(one) / scale / (truth / largest) - 1) < 1e-10


def test_a_chain_has_the_weights_of_its_elimination():
    # (t I - M)^-1 1 by hand: w_2 = 1 / (t - a), w_1 = (1 + s w_2) / (t - a)
    w = resolvent_weights([np.array([[0.5, 1e30], [0.0, 0.5]])], 0.75)
    assert w[0] == 1.0
    assert w[1] == pytest.approx(4 / ((1 + 4e30) * 4), rel=1e-14)


def test_blocks_of_the_elimination_do_not_show():
    n = 150  # more than two blocks
    rng = np.random.default_rng(0)
    M = np.triu(rng.random((n, n))) * (rng.random((n, n)) < 0.05) * 0.9
    M += 0.3 / n * rng.random((n, n))
    t = radius_of_one(M) * 1.01
    w = resolvent_weights([M], t)
    reference = np.linalg.solve(t * np.eye(n) - M, np.ones(n))
    assert np.allclose(w, reference / reference.max(), rtol=1e-9)
    assert resolvent_weights([M], t * 0.98) is None


def radius_of_one(M):
    return float(np.max(np.abs(np.linalg.eigvals(M))))


def test_weights_are_kept_where_others_are_not_worth_it():
    def equal(scaled):
        return np.ones(len(scaled[0]))

    for M, v in (
        ([[0.0, 1.0], [0.0, 0.0]], [1.0, 2.0**-26]),  # forgets in three steps anyway
        ([[0.5, 0.0], [0.0, 0.4]], [1.0, 0.5]),  # no weights are better
        ([[0.5, 4.0], [0.01, 0.5]], [1.0, 0.05]),  # of the least rate
        ([[1.0, 0.0], [0.0, 1.0]], [1.0, 0.5]),  # there are none below 1
        ([[0.0, 0.0], [0.0, 0.0]], [1.0, 0.5]),
    ):
        weights = np.array(v)
        assert graded_weights([np.array(M)], weights, inner=equal) is weights
    # parts of a level: a rate of 1.5 is one of 0.75
    chain, v = [np.array([[1.0, 1e9], [0.0, 1.0]])], np.ones(2)
    assert graded_weights(chain, v, inner=equal) is v
    assert largest_rate(chain, graded_weights(chain, v, inner=equal, level=2.0)) < 2.0


def test_limits():
    # the ratio would overflow at small rates: a larger rate, for which it does not
    n = 164
    T = np.triu(np.full((n, n), 5.0), 1) + 0.9 * np.eye(n)
    c = contractive_of_comparison([T])
    assert 0.9 < c.lam < 1
    assert math.isfinite(c.norm.v.max() / c.norm.v.min())
    # no doubles hold any
    n = 600
    T = np.triu(np.full((n, n), 5.0), 1) + 0.9 * np.eye(n)
    assert contractive_of_comparison([T]) is None
    # entries of all sizes
    assert contractive_of_comparison([[[0.9, 1e290], [0.0, 0.9]]]) is not None
    assert contractive_of_comparison([[[0.9, 1e-300], [0.0, 0.9]]]).lam < 0.91
