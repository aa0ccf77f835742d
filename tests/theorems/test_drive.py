"""The four questions, asked of drive: gain * input_bound + offset."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from questions import (
    LAMS,
    Asked,
    holds_at_extremes,
    is_sharp,
    logistic,
    rounded_outward,
    scalar,
)

from theory import CallableMap
from theory.strategies import experiments
from theory.theorems import drive
from theory.theorems.drive import DRIVE, formula

SIZES = st.sampled_from((0.0, 1.0, 0.1)) | st.floats(0.0, 1e6, allow_subnormal=False)


@pytest.mark.parametrize("lam", LAMS)
def test_sharp_when_input_and_offset_agree(lam):
    is_sharp(DRIVE, scalar(lam, gain=2.0, bias=0.5, x=3.0))


def test_sharp_for_the_logistic_function_at_rest():
    # A.12 a: gain 0 and offset 1/2
    verdict = is_sharp(DRIVE, logistic())
    assert (verdict.measured, verdict.arguments["gain"]) == (0.5, 0.0)


def broken():
    # step(0, x) = x**2 at x = 2, with the slope 1 that it has at x = 1/2
    square = CallableMap(lambda h, x: 0.5 * h + x**2, state_dim=1, input_dim=1)
    value = square.step(np.zeros(1), np.array([2.0]))[0]
    assert value == 4.0
    return {"input_lipschitz": (value, drive(gain=1.0, input_bound=2.0, offset=0.0))}


def witnesses():
    return {"offset left out": logistic(), "gain left out": scalar(0.5, gain=2.0)}


ASKED = Asked(
    made=experiments(min_length=1),
    extremes=holds_at_extremes,
    broken=broken,
    witnesses=witnesses,
    malformed={
        "sizes": ("gain", "input_bound", "offset"),
        "gain": 1.0,
        "input_bound": 1.0,
        "offset": 1.0,
    },
)


@given(SIZES, SIZES, SIZES, SIZES)
def test_typed_function(gain, input_bound, offset, more):
    arguments = {"gain": gain, "input_bound": input_bound, "offset": offset}
    value = drive(**arguments)
    rounded_outward(formula, value, **arguments)
    for name in arguments:
        assert drive(**{**arguments, name: arguments[name] + more}) >= value


def test_boundary_cases():
    assert drive(gain=0.0, input_bound=0.0, offset=0.0) == 0.0
    assert drive(gain=5.0, input_bound=0.0, offset=0.5) == 0.5
    # 0.1 * 3 + 0 is not a double: the answer is the next one above the exact product
    assert Fraction(0.3) < Fraction(0.1) * 3 < Fraction(drive(gain=0.1, input_bound=3.0, offset=0))
