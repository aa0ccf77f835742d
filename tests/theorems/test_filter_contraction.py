"""The four questions, asked of filter_contraction: diameter tau**(k - 1)."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from questions import Asked, is_sharp, rounded_outward

from theory.campaign.recipes.sources import hidden_markov, hidden_markov_far
from theory.sources import (
    HiddenMarkovModel,
    divergence_of_distance,
    information_values,
    register,
)
from theory.theorems import filter_contraction, short_memory
from theory.theorems.filter_contraction import FILTER_CONTRACTION, formula
from theory.trials.filter_contraction import TRIAL


def far():
    return hidden_markov_far(np.random.default_rng(3))


@pytest.mark.parametrize("seed", range(5))
def test_sharp_from_certainty(seed):
    verdict = is_sharp(
        FILTER_CONTRACTION, hidden_markov_far(np.random.default_rng(seed)), slack=1e-12
    )
    assert verdict.arguments["k"] == 1


def test_oracle():
    # oracle B6.birkhoff: 5/7
    model = HiddenMarkovModel([[0.9, 0.1], [0.2, 0.8]], [[0.8, 0.2], [0.3, 0.7]])
    assert model.birkhoff == pytest.approx(5 / 7, rel=1e-14)
    assert model.birkhoff >= 5 / 7
    assert model.diameter == pytest.approx(math.log(36.0), rel=1e-14)


def loss_bound(model, k):
    """Return what the theorem says of the mean loss, by KL <= d**2 / 8."""
    return divergence_of_distance(
        filter_contraction(diameter=model.diameter, tau=model.birkhoff, k=k)
    )


def test_each_of_the_two_bounds_beats_the_other():
    quick = HiddenMarkovModel([[0.6, 0.4], [0.4, 0.6]], [[0.8, 0.2], [0.3, 0.7]])
    slow = HiddenMarkovModel([[0.999, 0.001], [0.001, 0.999]], [[0.8, 0.2], [0.3, 0.7]])
    for k in (1, 2, 4):
        mean = [short_memory(information=math.log(2), k=k)] * 2
        worst = [loss_bound(model, k) for model in (quick, slow)]
        assert worst[0] < mean[0]
        assert worst[1] > mean[1]
        for model, bound in zip((quick, slow), worst, strict=True):
            assert information_values(model, longest=5).excess[1][k] <= bound
    # a deterministic chain is not seen to forget at all
    assert register(3).birkhoff == 1.0


def broken():
    # A = identity keeps a distance of 3 for ever, whatever is seen
    return {"birkhoff": (3.0, formula(diameter=3.0, tau=math.tanh(0.75), k=2))}


def witnesses():
    return {m.name: far() for m in TRIAL.near_misses}


ASKED = Asked(
    made=st.builds(lambda seed: hidden_markov(np.random.default_rng(seed)), st.integers(0, 2**32)),
    always_measured=True,
    extremes=None,
    broken=broken,
    witnesses=witnesses,
    malformed={"sizes": ("diameter",), "diameter": 2.0, "tau": 0.5, "k": 2},
)


@given(st.floats(0.0, 100.0), st.floats(0.0, 0.999), st.integers(1, 50))
def test_typed_function(diameter, tau, k):
    value = filter_contraction(diameter=diameter, tau=tau, k=k)
    rounded_outward(formula, value, diameter=diameter, tau=tau, k=k)


def test_malformed_questions():
    for bad in (0, -1, 1.5):
        with pytest.raises(ValueError, match="k="):
            filter_contraction(diameter=1.0, tau=0.5, k=bad)
    for bad in (1.0, -0.5, math.nan, "half"):
        with pytest.raises(ValueError, match="tau="):
            filter_contraction(diameter=1.0, tau=bad, k=2)
