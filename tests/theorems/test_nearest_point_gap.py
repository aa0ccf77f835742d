"""The four questions, asked of nearest_point_gap: distance."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from questions import (
    Asked,
    holds_at_extremes,
    is_sharp,
    rounded_outward,
)

from theory import L1, L2, Contraction, LinearMap, Linf, experiment
from theory.measure.run import Run
from theory.projections import row_sum_ball
from theory.strategies import experiments
from theory.theorems import nearest_point_gap
from theory.theorems.nearest_point_gap import NEAREST_POINT_GAP, formula
from theory.trials.nearest_points import RADIUS, pairs, rescaled_rows


def made(norm=None, n=3):
    W = 0.5 * np.eye(n)
    W[0, -1] = 0.25
    cell = LinearMap(W, np.ones((n, 1)))
    return experiment(cell, np.zeros((1, 1)), contraction=Contraction.assumed(0.9, norm or Linf()))


@pytest.mark.parametrize("norm", [L1(), L2(), Linf()])
def test_sharp_for_members(norm):
    is_sharp(NEAREST_POINT_GAP, made(norm))


def test_the_pairs_are_what_they_promise():
    for norm in (L1(), L2(), Linf()):
        drawn = pairs(Run(made(norm, 5)))
        w, v = drawn.first[-1], drawn.second[-1]
        assert np.array_equal(drawn.ball(w), w)
        assert np.array_equal(drawn.ball(v), v)
        assert not np.array_equal(drawn.ball(drawn.first[0]), drawn.first[0])


def broken():
    # the circle of radius 1 is not convex: (d, 0) and (-d, 0) go to opposite points
    d = 0.25
    circle = (2.0, nearest_point_gap(distance=2 * d))
    # scaling rows goes into the set, but not to its nearest points
    n = 50
    near, far = np.zeros((1, n)), np.full((1, n), 1e-3)
    near[0, 0] = far[0, 0] = RADIUS
    before = float(np.linalg.norm(near - far))
    moved = float(np.linalg.norm(rescaled_rows(near) - rescaled_rows(far)))
    # A.12 (g): a factor up to sqrt(n)
    assert 6.5 < moved / before < math.sqrt(n)
    assert np.linalg.norm(row_sum_ball(near, RADIUS) - row_sum_ball(far, RADIUS)) <= before
    return {"convex_set": circle, "nearest_point": (moved, nearest_point_gap(distance=before))}


def witnesses():
    return {"rows scaled down to the ball": made(), "half of the distance": made()}


ASKED = Asked(
    made=experiments(min_length=1),
    extremes=holds_at_extremes,
    broken=broken,
    witnesses=witnesses,
    malformed={"sizes": ("distance",), "distance": 1.0},
)


@given(st.floats(0.0, 1e6, allow_subnormal=False))
def test_typed_function(distance):
    value = nearest_point_gap(distance=distance)
    rounded_outward(formula, value, distance=distance)
