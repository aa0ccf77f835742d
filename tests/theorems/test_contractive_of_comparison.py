"""The four questions, asked of contractive_of_comparison: row / weight."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from questions import (
    Asked,
    holds_at_extremes,
    is_sharp,
)

from theory import CallableMap, Contraction, LinearMap, Linf, WeightedLinf, experiment
from theory.arithmetic.rounding import UNIT
from theory.campaign.recipes.gated import gated, lstm_far_weighted, saturated
from theory.norms.resolvent import largest_rate, steps_to_rounding
from theory.theorems import contractive_of_comparison, contractive_of_perron_weights
from theory.theorems.contractive_of_comparison import (
    CONTRACTIVE_OF_COMPARISON,
    SEARCH_SLACK,
    _within_ratio,
    comparison_weights,
    formula,
)
from theory.theorems.contractive_of_perron_weights import LARGEST_RATIO

#: Oracle B1.perron: rate 0.7 with weights (20, 1).
M = np.array([[0.5, 4.0], [0.01, 0.5]])

seeds = st.integers(0, 2**32 - 1)


def at_rest(cell, v):
    return experiment(
        cell,
        np.zeros((4, cell.input_dim)),
        contraction=Contraction.assumed(0.9, WeightedLinf(v)),
    )


def test_sharp_for_linear_maps():
    verdict = is_sharp(
        CONTRACTIVE_OF_COMPARISON, at_rest(LinearMap(M, np.eye(2)), [20.0, 1.0]), slack=2.0**-44
    )
    assert verdict.bound == pytest.approx(0.7, rel=1e-12)


def test_sharp_for_a_leaky_unit():
    # slope 1 at rest, which the domain holds: 1 - a + a W
    is_sharp(CONTRACTIVE_OF_COMPARISON, saturated(np.random.default_rng(0)), slack=2.0**-18)


def broken():
    # a gate without any matrix that serves all inputs: (1 + x) h / 2 stretches by 2 at x = 3
    gate = CallableMap(lambda h, x: (1.0 + x) * h / 2, state_dim=1, input_dim=1)
    x = np.array([3.0])
    stretch = abs(gate.step(np.ones(1), x) - gate.step(np.zeros(1), x))[0]
    return {
        "majorised": (stretch, formula(row=0.5, weight=1.0)),
        "in_domain": lstm_far_weighted(np.random.default_rng(1)),
        # in the unweighted maximum norm the same map stretches (1, 1) by 4.5
        "weighted_maximum": (Linf().vector(M @ np.ones(2)), formula(row=14.0, weight=20.0)),
    }


def witnesses():
    rng = np.random.default_rng(2)
    return {
        "slopes at rest in place of the domain's": saturated(rng),
        "weights multiply instead of divide": at_rest(
            LinearMap(0.5 * np.eye(2), np.eye(2)), [0.5, 0.5]
        ),
        "states outside the domain": lstm_far_weighted(rng),
    }


ASKED = Asked(
    made=seeds.map(lambda seed: gated(np.random.default_rng(seed))),
    extremes=holds_at_extremes,
    broken=broken,
    witnesses=witnesses,
)


@given(st.integers(1, 6), st.integers(1, 3), seeds)
def test_typed_function(n, count, seed):
    rng = np.random.default_rng(seed)
    matrices = rng.random((count, n, n)) * rng.choice([0.0, 1.0], (count, n, n))
    matrices *= rng.choice([0.1, 1.0]) * 10.0 ** rng.uniform(-2, 2, (n, 1))
    found = contractive_of_comparison(matrices)
    if found is None:
        return
    v = found.norm.v
    rates = np.max([A @ v / v for A in matrices], axis=0)
    # inner products of n terms and a quotient
    assert np.max(rates) <= found.lam * (1 + 4 * (n + 2) * UNIT)
    assert found.lam <= np.max(rates) * (1 + 4 * (n + 2) * UNIT) + 1e-300
    # more unequal weights only where they forget sooner
    within = _within_ratio(list(matrices))
    before = steps_to_rounding(within, largest_rate(list(matrices), within))
    assert v.max() / v.min() <= LARGEST_RATIO or steps_to_rounding(v, found.lam) < before
    # no worse than equal weights, and for one matrix than any other search
    assert found.lam <= np.max(np.sum(matrices, axis=2)) * (1 + 4 * (n + 2) * UNIT)


@given(st.integers(1, 8), seeds)
def test_one_matrix_is_the_case_of_perron_weights(n, seed):
    rng = np.random.default_rng(seed)
    A = rng.uniform(0.1, 1.0, (n, n))
    A *= 0.9 / np.max(np.abs(np.linalg.eigvals(A)))
    ours, theirs = contractive_of_comparison([A]), contractive_of_perron_weights(A, "identity")
    assert ours.lam == pytest.approx(theirs.lam, rel=4 * SEARCH_SLACK)
    assert ours.lam == pytest.approx(0.9, rel=4 * SEARCH_SLACK)


@given(st.integers(1, 6), st.integers(1, 3), seeds)
def test_the_rate_is_never_above_that_of_the_given_weights(n, count, seed):
    rng = np.random.default_rng(seed)
    matrices, start = rng.random((count, n, n)), 10.0 ** rng.uniform(-3, 3, n)
    v = comparison_weights(list(matrices), start)
    before = np.max([A @ start / start for A in matrices])
    assert np.max([A @ v / v for A in matrices]) <= before * (1 + 4 * (n + 2) * UNIT)


def test_boundary_cases():
    assert contractive_of_comparison([np.zeros((3, 3))]).lam == 0.0
    assert contractive_of_comparison([[[1.0]]]) is None
    assert contractive_of_comparison([np.full((2, 2), 1e308)]) is None
    # reducible, with no best positive weights
    nilpotent = contractive_of_comparison([[[0.0, 1.0], [0.0, 0.0]]])
    assert 0 < nilpotent.lam <= 2.0**-20
    chain = contractive_of_comparison([[[0.5, 0.0], [1.0, 0.5]]])
    assert 0.5 < chain.lam < 0.51
    # periodic
    swap = contractive_of_comparison([[[0.0, 2.0], [0.125, 0.0]]])
    assert swap.lam == pytest.approx(0.5, rel=1e-8)
    # two matrices, each with radius 0, of joint growth 1/2 in the best weights
    pair = contractive_of_comparison([[[0.0, 0.5], [0.0, 0.0]], [[0.0, 0.0], [0.5, 0.0]]])
    assert pair.lam == pytest.approx(0.5, rel=1e-8)
    # weights whose ratio no double holds are no start of a search
    for start in ([1.0, 5e-324], [1e308, 1e-308]):
        assert contractive_of_comparison([np.eye(2) / 2], weights=start).lam == 0.5
        assert contractive_of_comparison([[[0.5, 1.0], [0.25, 0.5]]], weights=start) is None


def test_malformed_questions():
    for bad, message in (
        ([], "at least one"),
        ([np.eye(2), np.eye(3)], "one shape"),
        ([[[0.5, -0.1], [0.0, 0.5]]], "negative entry"),
        ([[[np.nan]]], "matrices"),
        ([[[0.5, 0.5]]], "square"),
    ):
        with pytest.raises(ValueError, match=message):
            contractive_of_comparison(bad)
    with pytest.raises(ValueError, match="positive weights"):
        contractive_of_comparison([np.eye(2) / 2], weights=[1.0, 0.0])
