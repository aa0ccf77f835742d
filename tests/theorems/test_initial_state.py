"""The four questions, asked of initial_state: lam**t * distance."""

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
    refuses_malformed,
    scalar,
    statement_is_the_formula,
)

from theory import LinearMap, initial_state
from theory.strategies import experiments
from theory.theorems.initial_state import INITIAL_STATE, formula

TYPED = Typed(
    function=initial_state,
    formula=formula,
    counts=("t",),
    sizes=("distance",),
    rising=("lam", "distance"),
    falling=("t",),
)


@given(experiments(any_start=True))
def test_holds(made):
    holds(INITIAL_STATE, made)


def test_holds_at_extremes():
    holds_at_extremes(INITIAL_STATE)


@pytest.mark.parametrize("lam", LAMS)
def test_sharp_for_linear_maps(lam):
    is_sharp(INITIAL_STATE, scalar(lam, T=20, start=[4.0], other_start=[-4.0]))


def test_every_assumption_is_needed():
    # from the same start, inputs 1 and 0: the distance of the starts is 0, that of the states 1
    system = LinearMap([[0.5]], [[1.0]])
    apart = np.abs(system.simulate([[1.0]]) - system.simulate([[0.0]]))[0, 0]
    every_assumption_is_needed(
        INITIAL_STATE,
        {
            "contractive": scalar(0.9, claim=0.5, T=40),
            "same_inputs": (apart, TYPED(0.5, t=1, distance=0.0)),
        },
    )


def test_every_near_miss_is_noticed():
    every_near_miss_is_noticed(
        INITIAL_STATE,
        {
            "one power of lam too many": scalar(0.5, other_start=[4.0]),
            "without contraction": scalar(0.9, claim=0.5, T=40),
        },
    )


@given(st.data())
def test_typed_function(data):
    agrees_with_formula(TYPED, data)


def test_boundary_cases():
    assert TYPED(0.0, t=0, distance=3.0) == 3.0
    assert TYPED(0.0, t=1, distance=3.0) == 0.0
    assert TYPED(0.9, t=9, distance=0.0) == 0.0


def test_malformed_questions():
    refuses_malformed(initial_state, counts=("t",), sizes=("distance",), t=3, distance=1.0)


def test_documentation_is_true():
    example_is_true(initial_state)
    statement_is_the_formula(INITIAL_STATE)
