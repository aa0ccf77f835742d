"""The four questions, asked of input_sequence: gain * distance * (1 - lam**t) / (1 - lam)."""

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

from theory import CallableMap, input_sequence
from theory.strategies import experiments
from theory.theorems.input_sequence import INPUT_SEQUENCE, formula

TYPED = Typed(
    function=input_sequence,
    formula=formula,
    counts=("t",),
    sizes=("gain", "distance"),
    rising=("lam", "t", "gain", "distance"),
)


@given(experiments(any_start=True))
def test_holds(made):
    holds(INPUT_SEQUENCE, made)


def test_holds_at_extremes():
    holds_at_extremes(INPUT_SEQUENCE)


@pytest.mark.parametrize("lam", LAMS)
def test_sharp_under_opposite_constant_inputs(lam):
    # h_t - g_t = 2 gain (1 - lam**t) / (1 - lam)
    verdict = is_sharp(INPUT_SEQUENCE, scalar(lam, gain=0.5, T=20))
    assert verdict.arguments["distance"] == pytest.approx(2.0)


def test_every_assumption_is_needed():
    # x**2 has no Lipschitz constant: inputs 4 and 3 are 1 apart, the states 7
    square = CallableMap(lambda h, x: 0.5 * h + x**2, state_dim=1, input_dim=1)
    apart = np.abs(square.simulate([[4.0]]) - square.simulate([[3.0]]))[0, 0]
    assert apart == 7.0
    every_assumption_is_needed(
        INPUT_SEQUENCE,
        {
            "contractive": scalar(0.9, claim=0.5, T=40),
            "input_lipschitz": (apart, TYPED(0.5, t=1, gain=1.0, distance=1.0)),
        },
    )


def test_every_near_miss_is_noticed():
    every_near_miss_is_noticed(
        INPUT_SEQUENCE,
        {
            "last input only": scalar(0.5),
            "gain left out": scalar(0.5, gain=2.0),
            "one power of lam too many": scalar(0.5),
            "without contraction": scalar(0.9, claim=0.5, T=40),
        },
    )


@given(st.data())
def test_typed_function(data):
    agrees_with_formula(TYPED, data)


def test_boundary_cases():
    assert TYPED(0.0, t=0, gain=1.0, distance=3.0) == 0.0
    assert TYPED(0.0, t=1, gain=2.0, distance=3.0) == 6.0
    assert TYPED(0.9, t=9, gain=0.0, distance=3.0) == 0.0
    assert TYPED(1 - 2.0**-53, t=2, gain=1.0, distance=1.0) == 2.0


def test_malformed_questions():
    refuses_malformed(
        input_sequence, counts=("t",), sizes=("gain", "distance"), t=3, gain=1.0, distance=1.0
    )


def test_documentation_is_true():
    example_is_true(input_sequence)
    statement_is_the_formula(INPUT_SEQUENCE)
