"""The four questions, asked of curvature_growth: at least (t - 1)(2 t - 3) a**(2 t - 4)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from questions import (
    STANDS,
    Asked,
    growing,
    is_sharp,
    rounded_outward,
)

from theory import LinearHead, LinearMap, verify
from theory.learning import recurrent_gradient, training_data
from theory.measure import Run
from theory.theorems import curvature_growth
from theory.theorems.curvature_growth import CURVATURE_GROWTH, formula
from theory.trials.curvature_growth import TRIAL


def test_sharp_at_two_steps():
    is_sharp(CURVATURE_GROWTH, growing(1.5, 2))


def test_reality():
    # against difference quotients of the gradient by reverse mode
    for a, T in ((1.1, 10), (1.5, 6), (2.0, 3)):
        step = 2.0**-20
        data = training_data(np.ones((T, 1)), np.ones((T, 1)), at="last")
        ends = [
            recurrent_gradient(
                LinearMap([[a + s * step]], [[1.0]]), LinearHead([[1.0]]), data
            ).parameters["W"][0, 0]
            for s in (1, -1)
        ]
        quotient = (ends[0] - ends[1]) / (2 * step)
        seen = verify(CURVATURE_GROWTH, growing(a, T))
        observation = TRIAL.observe(Run(growing(a, T)))
        assert observation.measured[-1] == pytest.approx(quotient, rel=1e-8)
        assert seen.outcome in STANDS
    # A.10: of order T**2 a**(2 T)
    measured = TRIAL.observe(Run(growing(1.1, 200))).measured[-1]
    assert 0.1 < measured / (200**2 * 1.1**400 * 100) < 10


def broken():
    # another input, 0.5: the state is half as large
    return {"scalar_growth": growing(1.5, 8, x=0.25)}


def witnesses():
    return {m.name: growing(1.5, 8) for m in TRIAL.near_misses}


ASKED = Asked(
    made=st.builds(growing, st.floats(1.0, 4.0), st.integers(2, 40)),
    always_measured=True,
    extremes=None,
    broken=broken,
    witnesses=witnesses,
    malformed={"counts": ("t",), "sizes": ("factor",), "factor": 1.5, "t": 3},
)


@given(st.sampled_from([0.5, 1.1, 2.0]), st.integers(2, 30))
def test_typed_function(factor, t):
    value = curvature_growth(factor=factor, t=t)
    rounded_outward(formula, value, upward=False, factor=factor, t=t)


def test_malformed_questions():
    for bad in (0, 1):
        with pytest.raises(ValueError, match="t="):
            curvature_growth(factor=1.5, t=bad)
    with pytest.raises(ValueError, match="factor="):
        curvature_growth(factor=0.0, t=3)
