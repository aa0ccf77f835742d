"""The four questions, asked of short_memory: information / (k + 1)."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from questions import Asked, is_sharp, rounded_outward

from theory import Contraction, Linf, experiment
from theory.campaign.recipes.sources import register_bits
from theory.sources import (
    BeliefFilter,
    HiddenMarkovModel,
    information_values,
    register,
    total_variation_of_divergence,
)
from theory.theorems import short_memory
from theory.theorems.short_memory import SHORT_MEMORY, formula
from theory.trials.short_memory import TRIAL


def filtered(model, T=4):
    """Return the filter of a model, as an experiment."""
    recurrent = BeliefFilter(model)
    inputs = np.eye(model.symbols)[np.zeros(T, int)]
    return experiment(recurrent, inputs, contraction=Contraction.assumed(0.5, Linf()))


@st.composite
def models(draw):
    n, d = draw(st.integers(2, 3)), draw(st.integers(2, 3))
    entries = st.floats(0.01, 1.0)
    A, E = (np.array([[draw(entries) for _ in range(m)] for _ in range(n)]) for m in (n, d))
    return HiddenMarkovModel(*(M / M.sum(axis=1, keepdims=True) for M in (A, E)))


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
@pytest.mark.parametrize("flip", [0.0, 0.1])
def test_sharp_the_register(bits, flip):
    # I = n (log 2 - entropy of a flip), and i_(n-1) is one n-th of it
    values = information_values(register(bits, flip=flip), longest=bits + 1)
    entropy = -flip * math.log(flip) - (1 - flip) * math.log(1 - flip) if flip else 0.0
    assert values.excess[0][bits - 1] == pytest.approx(math.log(2) - entropy, rel=1e-11)
    bound = short_memory(information=values.information[1], k=bits - 1)
    assert values.excess[0][bits - 1] >= bound * (1 - 1e-11)
    # once all bits are seen nothing is lost
    assert values.excess[1][bits] <= 1e-11


def test_sharp_verdict():
    is_sharp(SHORT_MEMORY, register_bits(np.random.default_rng(0)), slack=1e-9)


def test_oracle():
    # oracle B6: i_0, i_1, i_2 = 2.0164, .6278, .2064e-2, I = .029494 nats
    model = HiddenMarkovModel([[0.9, 0.1], [0.2, 0.8]], [[0.8, 0.2], [0.3, 0.7]])
    values = information_values(model)
    for end in (0, 1):
        assert values.excess[end][:3] == pytest.approx([2.0164e-2, 0.6278e-2, 0.2064e-2], rel=1e-4)
    assert values.information[0] <= 0.029495 <= values.information[1] < 0.02958
    assert values.excess[1][6] / values.excess[1][5] == pytest.approx(0.3245, rel=2e-3)


def test_the_published_bound_follows():
    for k in range(1, 9):
        assert short_memory(information=1.0, k=k) < 1.0 / k


def test_mean_total_variation_by_pinsker():
    # register of 3 bits: a fair coin for a known bit is off by 1/2, and the bound is sqrt(log 2/2)
    bound = total_variation_of_divergence(short_memory(information=3 * math.log(2), k=2))
    assert bound == pytest.approx(math.sqrt(math.log(2) / 2))
    assert bound >= 0.5


def broken():
    # not stationary: x_0 repeats x_(-5), all else is constant; 5 bits back are one bit of M
    late = (math.log(2), formula(information=math.log(2), k=4))
    # a register of 3 bits whose information is taken for that of its alphabet
    much = (math.log(2), formula(information=math.log(2), k=2))
    return {"stationary": late, "shared_information": much}


def witnesses():
    return {m.name: filtered(register(3, noise=2.0**-40)) for m in TRIAL.near_misses}


ASKED = Asked(
    made=models().map(filtered),
    always_measured=True,
    extremes=None,
    broken=broken,
    witnesses=witnesses,
    malformed={"counts": ("k",), "sizes": ("information",), "information": 1.0, "k": 3},
)


@given(st.floats(0.0, 1e6), st.integers(0, 50))
def test_typed_function(information, k):
    value = short_memory(information=information, k=k)
    rounded_outward(formula, value, information=information, k=k)
    assert short_memory(information=information, k=k + 1) <= value
