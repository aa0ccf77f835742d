"""The four questions, asked of state_gap_observed: lam**k * past."""

import pytest
from questions import (
    LAMS,
    Asked,
    Typed,
    holds_at_extremes,
    is_sharp,
    scalar,
)

from theory.strategies import experiments
from theory.theorems.state_gap_observed import STATE_GAP_OBSERVED

TYPED = Typed(
    theorem=STATE_GAP_OBSERVED,
    counts=("k",),
    sizes=("past",),
    rising=("lam", "past"),
    falling=("k",),
)


@pytest.mark.parametrize("lam", LAMS)
@pytest.mark.parametrize("start", [0.0, 100.0])
def test_sharp_whatever_the_start(lam, start):
    is_sharp(STATE_GAP_OBSERVED, scalar(lam, T=20, k_max=25, start=[start]))


def broken():
    return {
        "contractive": scalar(0.9, claim=0.5, T=40),
        # h = 0 throughout, the counterpart is -3 lam**k
        "zero_restart": scalar(0.5, x=0.0, restart=[-3.0]),
    }


def witnesses():
    return {
        "one power of lam too many": scalar(0.5),
        # the state decays from 8 on, so that the present one is the smaller
        "present state instead of the stored one": scalar(0.5, x=0.0, start=[8.0]),
        "without contraction": scalar(0.9, claim=0.5, T=40),
        "any restart": scalar(0.5, x=0.0, restart=[-3.0]),
    }


ASKED = Asked(
    made=experiments(min_length=1, any_start=True),
    extremes=holds_at_extremes,
    broken=broken,
    witnesses=witnesses,
    typed=TYPED,
)


def test_boundary_cases():
    assert TYPED(0.0, k=0, past=3.0) == 3.0
    assert TYPED(0.0, k=1, past=3.0) == 0.0
    assert TYPED(0.9, k=9, past=0.0) == 0.0
    assert TYPED(0.1, k=2000, past=1.0) == 5e-324
