"""The four questions, asked of hidden_state: lam**t * start + drive * (1 - lam**t) / (1 - lam)."""

import numpy as np
import pytest
from questions import (
    LAMS,
    Asked,
    Typed,
    holds_at_extremes,
    is_sharp,
    logistic,
    scalar,
)

from theory import LinearMap
from theory.strategies import experiments
from theory.theorems.hidden_state import HIDDEN_STATE

TYPED = Typed(
    theorem=HIDDEN_STATE,
    counts=("t",),
    sizes=("drive", "start"),
    rising=("lam", "drive", "start"),
)


@pytest.mark.parametrize("lam", LAMS)
@pytest.mark.parametrize("start", [0.0, 100.0])
def test_sharp_at_every_time(lam, start):
    is_sharp(HIDDEN_STATE, scalar(lam, T=20, start=[start]))


def broken():
    states = LinearMap([[0.5]], [[1.0]]).simulate([[1.0], [8.0]])
    assert states[-1, 0] == 8.5
    return {
        "contractive": scalar(0.9, claim=0.5, T=40),
        "drive_bounded": (states[-1, 0], TYPED(0.5, t=2, drive=1.0)),
    }


def witnesses():
    return {
        "start forgotten one step too early": scalar(0.5, start=[4.0]),
        "drive counted once instead of summed": scalar(0.5),
        "offset step(0, 0) left out of the drive": logistic(),
        "without contraction": scalar(0.9, claim=0.5, T=40),
    }


ASKED = Asked(
    made=experiments(any_start=True),
    extremes=holds_at_extremes,
    broken=broken,
    witnesses=witnesses,
    typed=TYPED,
)


def test_sigmoid_at_rest_leaves_the_published_ball():
    # with drive = gain * input_bound = 0 the state could not move, yet it is 1/2 after one step
    from theory import VanillaRNN

    states = VanillaRNN([[1.0]], [[0.0]], activation="sigmoid").simulate(np.zeros((1, 1)))
    assert states.tolist() == [[0.5]]
    assert TYPED(0.25, t=1, drive=0.0) == 0.0


def test_boundary_cases():
    assert TYPED(0.0, t=0, drive=1.0, start=3.0) == 3.0
    assert TYPED(0.0, t=1, drive=1.0, start=3.0) == 1.0
    assert TYPED(0.9, t=0, drive=1.0) == 0.0
    assert TYPED(0.9, t=50, drive=0.0) == 0.0
    assert TYPED(1 - 2.0**-53, t=2, drive=1.0) == 2.0
