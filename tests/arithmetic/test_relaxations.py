"""Activations of zonotopes: what is left of the line is enclosed, and nearly the least."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory.arithmetic.activations import ACTIVATIONS, activation
from theory.arithmetic.intervals import activation_image
from theory.arithmetic.relaxations import relaxed, remainder_range
from theory.arithmetic.zonotopes import Zonotope

NAMES = [*ACTIVATIONS, "leaky_relu(0.25)", "leaky_relu(-0.5)"]
ends = st.floats(-30, 30)


@pytest.mark.parametrize("name", NAMES)
@given(ends, ends, st.floats(-2, 2))
def test_what_is_left_holds_every_value_and_little_more(name, a, b, alpha):
    rho = activation(name)
    low, high = min(a, b), max(a, b)
    left = remainder_range(rho, np.array([alpha]), np.array([low]), np.array([high]))
    places = np.linspace(low, high, 400)
    values = rho(places) - alpha * places
    rounding = 1e-13 * (1 + np.max(np.abs(values)))
    assert left[0][0] <= np.min(values) + rounding
    assert np.max(values) <= left[1][0] + rounding
    if name != "sin":
        # between two places values move by at most their distance times the steepest slope
        room = (high - low) / 399 * (rho.lipschitz + abs(alpha)) + rounding
        assert left[1][0] - left[0][0] <= np.ptp(values) + 2 * room


def form(low, high):
    """Return a zonotope of one symbol with these ends."""
    middle, radius = (low + high) / 2, (high - low) / 2
    return Zonotope.of(np.array([middle]), np.array([[radius]]), np.zeros(1))


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "softplus", "relu", "hard_tanh"])
def test_the_line_leaves_about_the_least(name):
    """Against the best of many slopes."""
    rho = activation(name)
    for low, high in ((-1.0, 1.0), (-0.5, 2.0), (0.25, 3.0), (-4.0, -0.5)):
        places = np.linspace(low, high, 2000)
        slopes = np.linspace(*rho.slope, 400)
        least = np.min(np.ptp(rho(places) - slopes[:, None] * places, axis=1)) / 2
        found = relaxed(rho, form(low, high), np.array([low]), np.array([high])).rest[0]
        # the secant: twice as much where rho bends both ways, at most
        assert found <= (2.05 if name in {"tanh", "sigmoid", "hard_tanh"} else 1.01) * least + 1e-3


def test_a_line_of_a_narrow_interval_is_a_tangent():
    rho = activation("tanh")
    low, high = np.array([0.5]), np.array([0.5 + 1e-6])
    found = relaxed(rho, form(low[0], high[0]), low, high)
    assert found.rest[0] < 1e-12
    assert found.generators[0, 0] == pytest.approx(0.5e-6 * (1 - math.tanh(0.5) ** 2), rel=1e-5)


def test_the_identity_and_what_is_unknown():
    z = form(-1.0, 2.0)
    assert relaxed(activation("identity"), z, np.array([-1.0]), np.array([2.0])) is z
    for rho in (activation("tanh"), activation("sigmoid")):
        unknown = Zonotope.box(np.array([-math.inf]), np.array([math.inf]), symbols=1)
        found = relaxed(rho, unknown, np.array([-math.inf]), np.array([1.0])).hull()
        image = activation_image(rho, np.array([-math.inf]), np.array([1.0]))
        assert found[0][0] == pytest.approx(image[0][0], abs=1e-9)
        assert found[1][0] == pytest.approx(image[1][0], abs=1e-9)
