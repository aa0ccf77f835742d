"""The four questions, asked of parameter_gap: distance weight_gain (1 - lam**t) / (1 - lam)."""

import numpy as np
from questions import (
    OUTWARD,
    Asked,
    Typed,
    is_sharp,
    learning,
    learns_at_extremes,
)

from theory import Contraction, LinearMap
from theory.strategies import learning_experiments
from theory.theorems import parameter_gap
from theory.theorems.parameter_gap import PARAMETER_GAP

TYPED = Typed(
    theorem=PARAMETER_GAP,
    counts=("t",),
    sizes=("weight_gain", "distance"),
    rising=("lam", "t", "weight_gain", "distance"),
)


def test_sharp_in_the_bias():
    is_sharp(PARAMETER_GAP, learning(0.5))


def test_sharp_in_the_factor_after_a_long_history_to_first_order():
    # the distance of the factors is 2**-20; 1 / ((1 - a)(1 - a + 2**-20)) against 1 / (1 - a)**2
    made = learning(0.5, T=250, trained="W", change=2.0**-20)
    is_sharp(PARAMETER_GAP, made, slack=2.0**-19 + OUTWARD)


def broken():
    # h -> 2 h + w: apart by 1 + 2 + 4 after 3 steps, where 0.5 was claimed
    growing = [
        LinearMap([[2.0]], [[1.0]], [b]).simulate(np.zeros((3, 1)))[-1, 0] for b in (1.0, 0.0)
    ]
    c = Contraction.assumed(0.5)
    claimed = parameter_gap(c, t=3, weight_gain=1.0, distance=1.0)
    # a parameter that acts four times as strongly as claimed; starts that differ by 8
    strong = [LinearMap([[0.5]], [[4.0]]).simulate(np.full((3, 1), b))[-1, 0] for b in (1.0, 0.0)]
    apart = LinearMap([[0.5]], [[1.0]]).simulate(np.zeros((3, 1)), [16.0])[-1, 0]
    return {
        "contractive_set": (growing[0] - growing[1], claimed),
        "weight_lipschitz": (strong[0] - strong[1], claimed),
        "same_start": (apart, parameter_gap(c, t=3, weight_gain=1.0, distance=0.0)),
    }


def witnesses():
    return {"geometric factor dropped": learning(0.5), "one step fewer": learning(0.5)}


ASKED = Asked(
    made=learning_experiments(),
    extremes=learns_at_extremes,
    broken=broken,
    witnesses=witnesses,
    typed=TYPED,
)


def test_boundary_cases():
    assert TYPED(0.5, t=0, weight_gain=1.0, distance=1.0) == 0.0
    assert TYPED(0.0, t=7, weight_gain=3.0, distance=2.0) == 6.0
    assert TYPED(0.9, t=7, weight_gain=0.0, distance=2.0) == 0.0
