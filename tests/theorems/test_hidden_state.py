"""The four questions, asked of hidden_state: lam**t * start + drive * (1 - lam**t) / (1 - lam)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from questions import (
    LAMS,
    Typed,
    agrees_with_formula,
    every_assumption_is_needed,
    every_near_miss_is_noticed,
    example_is_true,
    holds,
    holds_at_extremes,
    is_sharp,
    logistic,
    refuses_malformed,
    scalar,
    statement_is_the_formula,
)

from theory import LinearMap, hidden_state
from theory.strategies import experiments
from theory.theorems.hidden_state import HIDDEN_STATE, formula

TYPED = Typed(
    function=hidden_state,
    formula=formula,
    counts=("t",),
    sizes=("drive", "start"),
    rising=("lam", "drive", "start"),
)


@given(experiments(any_start=True))
def test_holds(made):
    holds(HIDDEN_STATE, made)


def test_holds_at_extremes():
    holds_at_extremes(HIDDEN_STATE)


@pytest.mark.parametrize("lam", LAMS)
@pytest.mark.parametrize("start", [0.0, 100.0])
def test_sharp_at_every_time(lam, start):
    is_sharp(HIDDEN_STATE, scalar(lam, T=20, start=[start]))


def test_every_assumption_is_needed():
    states = LinearMap([[0.5]], [[1.0]]).simulate([[1.0], [8.0]])
    assert states[-1, 0] == 8.5
    every_assumption_is_needed(
        HIDDEN_STATE,
        {
            "contractive": scalar(0.9, claim=0.5, T=40),
            "drive_bounded": (states[-1, 0], TYPED(0.5, t=2, drive=1.0)),
        },
    )


def test_every_near_miss_is_noticed():
    every_near_miss_is_noticed(
        HIDDEN_STATE,
        {
            "start forgotten one step too early": scalar(0.5, start=[4.0]),
            "drive counted once instead of summed": scalar(0.5),
            "offset step(0, 0) left out of the drive": logistic(),
            "without contraction": scalar(0.9, claim=0.5, T=40),
        },
    )


def test_sigmoid_at_rest_leaves_the_published_ball():
    # with drive = gain * input_bound = 0 the state could not move, yet it is 1/2 after one step
    from theory import VanillaRNN

    states = VanillaRNN([[1.0]], [[0.0]], activation="sigmoid").simulate(np.zeros((1, 1)))
    assert states.tolist() == [[0.5]]
    assert TYPED(0.25, t=1, drive=0.0) == 0.0


@given(st.data())
def test_typed_function(data):
    agrees_with_formula(TYPED, data)


def test_boundary_cases():
    assert TYPED(0.0, t=0, drive=1.0, start=3.0) == 3.0
    assert TYPED(0.0, t=1, drive=1.0, start=3.0) == 1.0
    assert TYPED(0.9, t=0, drive=1.0) == 0.0
    assert TYPED(0.9, t=50, drive=0.0) == 0.0
    assert TYPED(1 - 2.0**-53, t=2, drive=1.0) == 2.0


def test_malformed_questions():
    refuses_malformed(
        hidden_state, counts=("t",), sizes=("drive", "start"), t=3, drive=1.0, start=1.0
    )


def test_documentation_is_true():
    example_is_true(hidden_state)
    statement_is_the_formula(HIDDEN_STATE)
