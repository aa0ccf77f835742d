"""The four questions, asked of window_error, a lower bound.

lipschitz * gain * input_bound * lam**k * (1 - lam**(t - k)) / (1 - lam)
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from questions import (
    LAMS,
    Asked,
    Typed,
    holds_at_extremes,
    scalar,
)

from theory import Contraction, LinearMap, Linf, VanillaRNN, experiment, truncate
from theory.strategies import factors, input_sequences
from theory.theorems import state_gap_finite, window_error
from theory.theorems.window_error import WINDOW_ERROR

TYPED = Typed(
    theorem=WINDOW_ERROR,
    counts=("k", "t"),
    sizes=("gain", "input_bound", "lipschitz"),
    rising=("t", "gain", "input_bound", "lipschitz"),
    upward=False,
    from_k=True,
)
SIZES = st.sampled_from((1.0, 0.5, -2.0)) | st.floats(0.1, 10.0)


@pytest.mark.parametrize("lam", LAMS)
def test_sharp_the_truncated_model_errs_by_no_more(lam):
    # restarting from zero is minimax optimal: on constant inputs its error is the lower bound,
    # here with every number a sum of few powers of two when lam is one
    x = np.ones((12, 1))
    system = LinearMap([[lam]], [[1.0]])
    for k in (0, 1, 5, 11, 12, 17):
        error = abs(system.simulate(x)[-1, 0] - truncate(system, k).states(x)[-1, 0])
        bound = TYPED(lam, k=k, t=12, gain=1.0, input_bound=1.0)
        # 24 steps and a subtraction, each rounding by u of a state below 12
        assert error == pytest.approx(bound, abs=25 * 12 * 2.0**-53)


def test_oracle():
    # oracle B8.minimax: lam = .8, L_x = B = 1, T = 30, k = 7
    value = TYPED(0.8, k=7, t=30, gain=1.0, input_bound=1.0)
    assert value == pytest.approx(1.0423862998035731, rel=1e-12)


def test_no_function_of_the_window_does_better():
    # two histories with a common tail, and the best a function of the tail can answer: the middle
    system = LinearMap([[0.8]], [[1.0]])
    tail = np.sin(np.arange(7.0))
    ends = [
        system.simulate(np.concatenate([np.full(23, side), tail])[:, None])[-1, 0]
        for side in (1.0, -1.0)
    ]
    bound = TYPED(0.8, k=7, t=30, gain=1.0, input_bound=1.0)
    for answer in (*ends, np.mean(ends), 0.0, 3.0):
        # 30 steps of states below 5, each rounded by u
        assert max(abs(end - answer) for end in ends) >= bound - 60 * 5 * 2.0**-53


def broken():
    # tanh saturates: the past beyond one input of size 5 hardly shows
    cell = VanillaRNN([[0.5]], [[1.0]])
    made = experiment(
        cell, np.full((6, 1), 5.0), contraction=Contraction.assumed(0.5), other_norm=Linf()
    )
    return {"scalar_linear": made}


def witnesses():
    return {
        "history one input too long": scalar(0.5, T=6),
        "history taken as infinite": scalar(0.5, T=6),
        "distance of the histories not halved": scalar(0.5, T=6),
    }


ASKED = Asked(
    made=st.builds(
        scalar,
        factors(),
        gain=SIZES,
        head=SIZES,
        x=input_sequences(1, min_length=1, max_length=20),
        k_max=st.just(25),
    ),
    always_measured=True,
    extremes=holds_at_extremes,
    broken=broken,
    witnesses=witnesses,
    typed=TYPED,
)


@given(factors(), st.integers(0, 20), st.integers(0, 40))
def test_equals_the_upper_bound(lam, k, t):
    # the lower bound is rounded down and the upper one up: they enclose the same number
    c = Contraction.assumed(lam)
    lower = window_error(c, k=k, t=t, gain=0.5, input_bound=2.0)
    upper = state_gap_finite(c, k=k, t=t, drive=1.0)
    assert lower <= upper
    assert lower == pytest.approx(upper, rel=4 * 2.0**-53, abs=2 * 5e-324)


def test_boundary_cases():
    assert TYPED(0.0, k=0, t=5, gain=1.0, input_bound=1.0) == 1.0
    assert TYPED(0.9, k=5, t=5, gain=1.0, input_bound=1.0) == 0.0
    assert TYPED(0.9, k=6, t=5, gain=1.0, input_bound=1.0) == 0.0
    assert TYPED(0.9, k=0, t=5, gain=0.0, input_bound=1.0) == 0.0
    # a lower bound beyond the largest double is the largest double
    assert TYPED(0.5, k=0, t=2, gain=1e308, input_bound=1e308) == np.finfo(float).max
