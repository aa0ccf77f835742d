"""Attention with a linear bias: a bound that is reached, and the least context for an error."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory.memory import attention_context, attention_gap


def attended(scores, values, slope):
    weights = np.exp(scores - slope * np.arange(len(scores)))
    return weights @ values / weights.sum()


@given(st.floats(0.05, 3.0), st.floats(0.0, 4.0), st.integers(1, 10), st.integers(0, 2**31))
def test_holds(slope, S, k, seed):
    rng = np.random.default_rng(seed)
    scores, values = rng.uniform(-S, S, 40), rng.uniform(-2, 2, 40)
    gap = abs(attended(scores, values, slope) - attended(scores[:k], values[:k], slope))
    assert gap <= attention_gap(slope=slope, score_bound=S, value_bound=2.0, k=k) + 1e-12


@pytest.mark.parametrize("k", [1, 4, 9])
def test_sharp_as_the_past_grows(k):
    lags = np.arange(400)
    scores, values = np.where(lags < k, -1.5, 1.5), np.where(lags < k, 1.0, -1.0)
    gap = 1.0 - attended(scores, values, 0.25)
    bound = attention_gap(slope=0.25, score_bound=1.5, value_bound=1.0, k=k)
    assert gap == pytest.approx(bound, rel=1e-12)
    # without e^(2 S), or with one step more, it is false
    assert gap > attention_gap(slope=0.25, score_bound=1.4, value_bound=1.0, k=k)
    assert gap > attention_gap(slope=0.25, score_bound=1.5, value_bound=1.0, k=k + 1)


def test_without_a_bias_nothing_is_forgotten():
    # all that lies before k may weigh as much as one likes
    scores, values = np.zeros(100_000), np.where(np.arange(100_000) < 5, 1.0, -1.0)
    assert 1.0 - attended(scores, values, 0.0) > 1.999
    assert attention_gap(slope=1e-300, score_bound=0.0, value_bound=1.0, k=5) == 2.0


@given(st.floats(1e-6, 10.0), st.floats(0.01, 5.0), st.floats(0.0, 20.0))
def test_the_answer_suffices_and_one_fewer_does_not(eps, slope, S):
    given = {"slope": slope, "score_bound": S, "value_bound": 1.0}
    k = attention_context(eps, **given)
    assert attention_gap(**given, k=k) <= eps
    if k:
        assert attention_gap(**given, k=k - 1) > eps


def test_edges_and_bad_questions():
    assert attention_gap(slope=1.0, score_bound=400.0, value_bound=3.0, k=2) == 6.0
    assert attention_context(5.0, slope=1.0, score_bound=0.0, value_bound=1.0) == 0
    with pytest.raises(ValueError, match="slope="):
        attention_gap(slope=0.0, score_bound=1.0, value_bound=1.0, k=2)
    with pytest.raises(ValueError, match="k="):
        attention_gap(slope=1.0, score_bound=1.0, value_bound=1.0, k=-1)
    with pytest.raises(ValueError, match="too small for scores"):
        attention_context(1e-3, slope=1e-15, score_bound=math.pi, value_bound=1.0)
