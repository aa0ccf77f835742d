"""The four questions, asked of input_sequence: gain * distance * (1 - lam**t) / (1 - lam)."""

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

from theory import CallableMap
from theory.strategies import experiments
from theory.theorems.input_sequence import INPUT_SEQUENCE

TYPED = Typed(
    theorem=INPUT_SEQUENCE,
    counts=("t",),
    sizes=("gain", "distance"),
    rising=("lam", "t", "gain", "distance"),
)


@pytest.mark.parametrize("lam", LAMS)
def test_sharp_under_opposite_constant_inputs(lam):
    # h_t - g_t = 2 gain (1 - lam**t) / (1 - lam)
    verdict = is_sharp(INPUT_SEQUENCE, scalar(lam, gain=0.5, T=20))
    assert verdict.arguments["distance"] == pytest.approx(2.0)


def broken():
    # x**2 has no Lipschitz constant: inputs 4 and 3 are 1 apart, the states 7
    square = CallableMap(lambda h, x: 0.5 * h + x**2, state_dim=1, input_dim=1)
    apart = np.abs(square.simulate([[4.0]]) - square.simulate([[3.0]]))[0, 0]
    assert apart == 7.0
    return {
        "contractive": scalar(0.9, claim=0.5, T=40),
        "input_lipschitz": (apart, TYPED(0.5, t=1, gain=1.0, distance=1.0)),
    }


def witnesses():
    return {
        "last input only": scalar(0.5),
        "gain left out": scalar(0.5, gain=2.0),
        "one power of lam too many": scalar(0.5),
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
    assert TYPED(0.0, t=0, gain=1.0, distance=3.0) == 0.0
    assert TYPED(0.0, t=1, gain=2.0, distance=3.0) == 6.0
    assert TYPED(0.9, t=9, gain=0.0, distance=3.0) == 0.0
    assert TYPED(1 - 2.0**-53, t=2, gain=1.0, distance=1.0) == 2.0
