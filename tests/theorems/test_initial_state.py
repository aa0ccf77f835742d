"""The four questions, asked of initial_state: lam**t * distance."""

import numpy as np
import pytest
from questions import (
    LAMS,
    Asked,
    Typed,
    holds_at_extremes,
    is_sharp,
    scalar,
)

from theory import LinearMap
from theory.strategies import experiments
from theory.theorems.initial_state import INITIAL_STATE

TYPED = Typed(
    theorem=INITIAL_STATE,
    counts=("t",),
    sizes=("distance",),
    rising=("lam", "distance"),
    falling=("t",),
)


@pytest.mark.parametrize("lam", LAMS)
def test_sharp_for_linear_maps(lam):
    is_sharp(INITIAL_STATE, scalar(lam, T=20, start=[4.0], other_start=[-4.0]))


def broken():
    # from the same start, inputs 1 and 0: the distance of the starts is 0, that of the states 1
    system = LinearMap([[0.5]], [[1.0]])
    apart = np.abs(system.simulate([[1.0]]) - system.simulate([[0.0]]))[0, 0]
    return {
        "contractive": scalar(0.9, claim=0.5, T=40),
        "same_inputs": (apart, TYPED(0.5, t=1, distance=0.0)),
    }


def witnesses():
    return {
        "one power of lam too many": scalar(0.5, other_start=[4.0]),
        "without contraction": scalar(0.9, claim=0.5, T=40),
    }


ASKED = Asked(
    made=experiments(any_start=True),
    extremes=holds_at_extremes,
    broken=broken,
    witnesses=witnesses,
    typed=TYPED,
)


def test_boundary_cases():
    assert TYPED(0.0, t=0, distance=3.0) == 3.0
    assert TYPED(0.0, t=1, distance=3.0) == 0.0
    assert TYPED(0.9, t=9, distance=0.0) == 0.0
