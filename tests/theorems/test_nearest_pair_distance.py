"""The four questions, asked of nearest_pair_distance: weak duality for a pair of entries."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from questions import (
    Asked,
    holds_at_extremes,
    rounded_outward,
)

from theory import Contraction, LinearMap, Linf, experiment, verify
from theory.strategies import experiments
from theory.theorems import nearest_pair_distance
from theory.theorems.nearest_pair_distance import NEAREST_PAIR_DISTANCE, formula


def made(n=3):
    W = 0.5 * np.eye(n)
    W[0, -1], W[-1, 0] = 0.25, 0.5
    cell = LinearMap(W, np.ones((n, 1)))
    return experiment(cell, np.zeros((1, 1)), contraction=Contraction.assumed(0.9, Linf()))


def test_attained_by_points_of_hyperbolas():
    verdict = verify(NEAREST_PAIR_DISTANCE, made())
    assert verdict.measured == pytest.approx(verdict.bound, rel=1e-12)


@given(st.floats(0.1, 5.0), st.floats(0.1, 5.0))
def test_the_best_multiplier_gives_the_distance(x, y):
    """Against the nearest point of the hyperbola u v = 1, looked for on a fine grid."""
    u = np.exp(np.linspace(-5, 5, 20001))
    squares = float(np.min(np.square(x - u) + np.square(y - 1 / u))) if x * y > 1 else 0.0
    bound = max(
        nearest_pair_distance(total=x + y, multiplier=m) - m * (x - y) ** 2 / 2 - 2 * m / (1 + m)
        for m in [0.0, *np.geomspace(1e-3, 1e6, 400).tolist()]
    )
    assert bound <= squares * (1 + 1e-9) + 1e-9
    if min(x, y) > 0.2 * max(x, y):  # elsewhere the least value has an entry below 0
        assert bound >= squares * (1 - 2e-2) - 1e-2


def broken():
    # the pair (2, 2) itself, with the product 1 at the multiplier 1
    return {"bounded_product": (1.0, nearest_pair_distance(total=4.0, multiplier=1.0))}


def witnesses():
    return {"the multiplier once": made(), "not halved": made()}


ASKED = Asked(
    made=experiments(min_length=1),
    extremes=holds_at_extremes,
    broken=broken,
    witnesses=witnesses,
    malformed={"sizes": ("total", "multiplier"), "total": 1.0, "multiplier": 1.0},
)


entries = st.floats(0.0, 1e6, allow_subnormal=False)


@given(entries, entries)
def test_typed_function(total, multiplier):
    value = nearest_pair_distance(total=total, multiplier=multiplier)
    rounded_outward(formula, value, upward=False, total=total, multiplier=multiplier)
    assert nearest_pair_distance(total=total + 1, multiplier=multiplier) >= value
