"""The four questions, asked of nearest_point_distance: (inner - support) / length."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from questions import (
    Asked,
    holds_at_extremes,
    rounded_outward,
)

from theory import L1, L2, Contraction, LinearMap, Linf, experiment, verify
from theory.strategies import experiments
from theory.theorems import nearest_point_distance
from theory.theorems.nearest_point_distance import NEAREST_POINT_DISTANCE, formula

GOOD = {"inner": 3.0, "support": 1.0, "length": 2.0}


def made(norm=None, n=3):
    W = 0.5 * np.eye(n)
    W[0, -1] = 0.25
    cell = LinearMap(W, np.ones((n, 1)))
    return experiment(cell, np.zeros((1, 1)), contraction=Contraction.assumed(0.9, norm or Linf()))


@pytest.mark.parametrize("norm", [L1(), L2(), Linf()])
def test_attained_by_the_nearest_point(norm):
    verdict = verify(NEAREST_POINT_DISTANCE, made(norm))
    assert verdict.measured == pytest.approx(verdict.bound, rel=1e-9)


def broken():
    # a support that is too small: the half line v <= 1 from 3, with 0 for the support 1
    return {"half_space": (2.0, nearest_point_distance(inner=3.0, support=0.0, length=1.0))}


def witnesses():
    return {"the support added": made(), "not divided by the length": made()}


ASKED = Asked(
    made=experiments(min_length=1),
    extremes=holds_at_extremes,
    broken=broken,
    witnesses=witnesses,
    malformed={"sizes": ("inner", "support"), **GOOD},
)


@given(
    st.floats(0.0, 1e6, allow_subnormal=False),
    st.floats(0.0, 1e6, allow_subnormal=False),
    st.floats(1e-6, 1e6),
)
def test_typed_function(inner, support, length):
    value = nearest_point_distance(inner=inner, support=support, length=length)
    rounded_outward(formula, value, upward=False, inner=inner, support=support, length=length)
    assert nearest_point_distance(inner=inner + 1, support=support, length=length) >= value
    assert nearest_point_distance(inner=inner, support=support + 1, length=length) <= value


def test_malformed_questions():
    for bad in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="length="):
            nearest_point_distance(**{**GOOD, "length": bad})
