"""The four questions, asked of state_gap_observed: lam**k * past."""

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

from theory import state_gap_observed
from theory.strategies import experiments
from theory.theorems.state_gap_observed import STATE_GAP_OBSERVED, formula

TYPED = Typed(
    function=state_gap_observed,
    formula=formula,
    counts=("k",),
    sizes=("past",),
    rising=("lam", "past"),
    falling=("k",),
)


@given(experiments(min_length=1, any_start=True))
def test_holds(made):
    holds(STATE_GAP_OBSERVED, made)


def test_holds_at_extremes():
    holds_at_extremes(STATE_GAP_OBSERVED)


@pytest.mark.parametrize("lam", LAMS)
@pytest.mark.parametrize("start", [0.0, 100.0])
def test_sharp_whatever_the_start(lam, start):
    is_sharp(STATE_GAP_OBSERVED, scalar(lam, T=20, k_max=25, start=[start]))


def test_every_assumption_is_needed():
    every_assumption_is_needed(
        STATE_GAP_OBSERVED,
        {
            "contractive": scalar(0.9, claim=0.5, T=40),
            # h = 0 throughout, the counterpart is -3 lam**k
            "zero_restart": scalar(0.5, x=0.0, restart=[-3.0]),
        },
    )


def test_every_near_miss_is_noticed():
    every_near_miss_is_noticed(
        STATE_GAP_OBSERVED,
        {
            "one power of lam too many": scalar(0.5),
            # the state decays from 8 on, so that the present one is the smaller
            "present state instead of the stored one": scalar(0.5, x=0.0, start=[8.0]),
            "without contraction": scalar(0.9, claim=0.5, T=40),
            "any restart": scalar(0.5, x=0.0, restart=[-3.0]),
        },
    )


@given(st.data())
def test_typed_function(data):
    agrees_with_formula(TYPED, data)


def test_boundary_cases():
    assert TYPED(0.0, k=0, past=3.0) == 3.0
    assert TYPED(0.0, k=1, past=3.0) == 0.0
    assert TYPED(0.9, k=9, past=0.0) == 0.0
    assert TYPED(0.1, k=2000, past=1.0) == 5e-324


def test_malformed_questions():
    refuses_malformed(state_gap_observed, counts=("k",), sizes=("past",), k=3, past=1.0)


def test_documentation_is_true():
    example_is_true(state_gap_observed)
    statement_is_the_formula(STATE_GAP_OBSERVED)
