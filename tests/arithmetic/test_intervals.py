"""Enclosures contain the exact images, checked in ball arithmetic, and are not much wider."""

import math
from fractions import Fraction

import flint
import numpy as np
import pytest
from enclosures import may_be_at_least, may_be_at_most
from hypothesis import given
from hypothesis import strategies as st

from theory import Inputs, LinearMap, VanillaRNN
from theory.arithmetic.activations import ACTIVATIONS
from theory.arithmetic.intervals import (
    activation_image,
    affine_image,
    plus_up,
    product_matrix_up,
    products,
    slope_range,
    sum_of,
    times_up,
)
from theory.arithmetic.rounding import ELEMENTARY_UNITS, TINY, UNIT
from theory.certify import invariant_domain
from theory.domain import Domain
from theory.maps import activation
from theory.maps.invariance import is_invariant

NAMES = ("identity", "tanh", "relu", "sigmoid", "softplus", "hard_tanh", "sin",
         "leaky_relu(0.25)", "leaky_relu(-0.5)", "leaky_relu(-1.5)", "leaky_relu(2.0)")  # fmt: skip
numbers = st.sampled_from((0.0, 1.0, -1.0, 0.1, -3.0, 1e-300, 5e-324, 2.0**60)) | st.floats(-40, 40)


@st.composite
def intervals(draw, size=3):
    ends = np.array(draw(st.lists(numbers, min_size=2 * size, max_size=2 * size)))
    return np.minimum(*ends.reshape(2, size)), np.maximum(*ends.reshape(2, size))


def points_of(low, high):
    """Return the ends and some points between: exact doubles."""
    inside = [low, high, np.clip(0.5 * (low + high), low, high), np.clip(0.0, low, high)]
    return [np.asarray(point) for point in inside]


def ball(name, a):
    """Return rho(a) in 200-bit ball arithmetic."""
    x, m = flint.arb(a), 1.0
    if name.startswith("leaky_relu"):
        m = float(name[11:-1])
        return x if a >= 0 else x * m
    return {
        "identity": lambda: x,
        "tanh": lambda: x.tanh(),
        "relu": lambda: x if a > 0 else flint.arb(0),
        "sigmoid": lambda: 1 / (1 + (-x).exp()),
        "softplus": lambda: (1 + x.exp()).log(),
        "hard_tanh": lambda: flint.arb(min(max(a, -1.0), 1.0)),
        "sin": lambda: x.sin(),
    }[name]()


@pytest.fixture(autouse=True)
def _precision():
    saved, flint.ctx.prec = flint.ctx.prec, 2000
    yield
    flint.ctx.prec = saved


@given(st.data())
def test_affine_images_hold_every_exact_value(data):
    low, high = data.draw(intervals())
    W = np.array(data.draw(st.lists(numbers, min_size=6, max_size=6))).reshape(2, 3)
    b = np.array(data.draw(st.lists(numbers, min_size=2, max_size=2)))
    below, above = affine_image(W, low, high, b)
    for i in range(2):
        terms = zip(W[i].tolist(), low.tolist(), high.tolist(), strict=True)
        ends = [sorted((Fraction(w) * Fraction(x), Fraction(w) * Fraction(y))) for w, x, y in terms]
        exact = [sum(end[j] for end in ends) + Fraction(b[i]) for j in (0, 1)]
        assert Fraction(below[i]) <= exact[0]
        assert exact[1] <= Fraction(above[i])
        size = sum(max(abs(x) for x in end) for end in ends) + abs(Fraction(b[i]))
        # about gamma(2 n) of the size of the terms, not more
        assert exact[0] - Fraction(below[i]) <= size * 2**-48 + Fraction(2) ** -1060


def test_infinite_ends_pass_only_through_weights_that_are_not_zero():
    low, high = np.array([-math.inf, -1.0]), np.array([1.0, math.inf])
    W = np.array([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 2.0], [0.0, -5e-324]])
    below, above = affine_image(W, low, high)
    assert np.isinf(below).tolist() == [False, True, False, False, True]
    assert np.isinf(above).tolist() == [False, False, True, True, False]
    assert below[2] == pytest.approx(-1.0)
    assert (below <= above).all()


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_activation_images_and_slopes_hold_every_exact_value(name, data):
    rho = activation(name)
    low, high = data.draw(intervals())
    below, above = activation_image(rho, low, high)
    least, greatest = slope_range(rho, low, high)
    assert (rho.slope[0] <= least).all()
    assert (greatest <= rho.slope[1]).all()
    points = points_of(low, high)
    for i in range(3):
        values = [ball(name, float(point[i])) for point in points]
        for value in values:
            assert may_be_at_least(value, flint.arb(below[i]))
            assert may_be_at_most(value, flint.arb(above[i]))
        for p, first in zip(points, values, strict=True):
            for q, second in zip(points, values, strict=True):
                if p[i] != q[i]:
                    slope = (first - second) / (flint.arb(float(p[i])) - flint.arb(float(q[i])))
                    assert may_be_at_least(slope, flint.arb(least[i]))
                    assert may_be_at_most(slope, flint.arb(greatest[i]))


def test_slope_ranges_are_as_narrow_as_the_derivative():
    for name, low, high, ends in (
        ("tanh", 1.0, 2.0, (1 - math.tanh(2) ** 2, 1 - math.tanh(1) ** 2)),
        ("tanh", -1.0, 2.0, (1 - math.tanh(2) ** 2, 1.0)),
        ("sigmoid", -3.0, -2.0, (0.04517665973091214, 0.10499358540350662)),
        ("softplus", 0.0, 1.0, (0.5, 0.7310585786300049)),
        ("relu", 0.0, 1.0, (1.0, 1.0)),
        ("relu", -1.0, 0.0, (0.0, 0.0)),
        ("relu", -1.0, 1.0, (0.0, 1.0)),
        ("leaky_relu(-0.5)", -1.0, -0.5, (-0.5, -0.5)),
        ("leaky_relu(2.0)", -1.0, 1.0, (1.0, 2.0)),
        ("hard_tanh", -1.0, 1.0, (1.0, 1.0)),
        ("hard_tanh", 1.0, 2.0, (0.0, 0.0)),
        ("sin", 0.5, 1.0, (math.cos(1.0), math.cos(0.5))),
        ("sin", 3.0, 3.5, (-1.0, math.cos(3.5))),
        ("sin", 1.0e9, 1.0e9, (-1.0, 1.0)),
    ):
        found = slope_range(activation(name), np.array([low]), np.array([high]))
        assert [float(end[0]) for end in found] == pytest.approx(ends, rel=1e-13, abs=1e-300)


def test_images_over_infinite_ends_are_the_range():
    everything = np.array([-math.inf]), np.array([math.inf])
    for name in NAMES:
        rho = activation(name)
        below, above = activation_image(rho, *everything)
        assert below[0] <= rho.range[0]
        assert rho.range[1] <= above[0]
        assert slope_range(rho, *everything)[0][0] == rho.slope[0]


@given(intervals(), intervals())
def test_products_and_sums_hold_every_exact_value(a, b):
    low, high = products(a, b)
    below, above = sum_of(a, b)
    for i in range(3):
        for x in (a[0][i], a[1][i]):
            for y in (b[0][i], b[1][i]):
                assert Fraction(low[i]) <= Fraction(x) * Fraction(y) <= Fraction(high[i])
                assert Fraction(below[i]) <= Fraction(x) + Fraction(y) <= Fraction(above[i])


def test_products_of_single_numbers_and_next_to_the_largest_double():
    assert products((1e-200, 1e-200), (1e-200, 1e-200))[1] == TINY
    largest = float(np.finfo(np.float64).max)
    assert products((1.0, largest), (-1.0, 1.0)) == (-math.inf, math.inf)


@given(intervals(), intervals())
def test_upward_sums_and_products(a, b):
    x, y = np.abs(a[0]), np.abs(b[1])
    for i in range(3):
        assert Fraction(times_up(x, y)[i]) >= Fraction(x[i]) * Fraction(y[i])
        assert Fraction(plus_up(x, y)[i]) >= Fraction(x[i]) + Fraction(y[i])
        assert (times_up(x, y)[i] == 0) == (x[i] == 0 or y[i] == 0)
    C = product_matrix_up(np.stack([x, y]), np.stack([x, y]).T)
    exact = sum(Fraction(p) * Fraction(q) for p, q in zip(x.tolist(), y.tolist(), strict=True))
    assert Fraction(C[0, 1]) >= exact
    assert (C[0, 1] == 0) == (exact == 0)


# --------------------------------------------------------------------------- invariant boxes


@pytest.mark.parametrize("name", NAMES)
@given(seed=st.integers(0, 2**32), bound=st.sampled_from((0.0, 0.1, 2.0)))
def test_no_trajectory_leaves_an_invariant_box(name, seed, bound):
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(1, 6)), int(rng.integers(1, 3))
    W = rng.standard_normal((n, n)) * rng.choice([0.1, 0.5, 2.0]) / n
    U, b = rng.standard_normal((n, m)), rng.standard_normal(n) * rng.choice([0.0, 1.0])
    cell = LinearMap(W, U, b) if name == "identity" else VanillaRNN(W, U, b, name)
    box = invariant_domain(cell, inputs=Inputs.box(-bound, bound))
    if box is None:
        assert not all(np.isfinite(cell.affine().rho.range))
        return
    assert is_invariant(cell, box)
    X = rng.choice([-bound, bound], (60, m))
    starts = np.where(rng.random(n) < 0.5, box.low, box.high)
    for start in (np.zeros(n), starts):
        states = cell.simulate(X, start)
        slack = np.max(cell.step_error(np.abs(box.reach), np.full(m, bound)))
        assert (box.low - slack <= states).all()
        assert (states <= box.high + slack).all()


def test_an_unstable_linear_map_has_no_invariant_box():
    # the last two have radius 1, computed as less: I - |W| is singular
    for W in ([[1.5]], [[0.25, 0.75], [0.75, 0.25]], [[1.0, 0.0], [1e149, 0.01]]):
        line = LinearMap(W, np.ones((len(W), 1)))
        assert invariant_domain(line, inputs=Inputs.box(-1.0, 1.0)) is None
    # signs cancel in W, not in |W|: nothing is found, though the map is stable
    assert (
        invariant_domain(
            LinearMap([[0.6, 0.6], [-0.6, 0.6]], np.eye(2)), inputs=Inputs.box(-1.0, 1.0)
        )
        is None
    )


def test_a_box_that_is_too_small_is_not_invariant():
    cell = LinearMap([[0.5]], [[1.0]])
    for high, expected in ((2.0, False), (2.0000001, True)):
        box = Domain(low=[-high], high=[high], input_low=[-1.0], input_high=[1.0])
        assert is_invariant(cell, box) is expected


def test_inputs_make_the_box():
    cell = VanillaRNN([[0.5]], [[1.0]])
    wide, narrow = invariant_domain(cell), invariant_domain(cell, inputs=[[0.1], [0.2]])
    assert wide.high[0] == 1.0
    assert narrow.low[0] == 0.0
    assert narrow.high[0] < 0.4
    assert narrow.input_low.tolist() == [0.1]
    with pytest.raises(ValueError, match="needed at least one"):
        invariant_domain(cell, inputs=np.zeros((0, 1)))
    with pytest.raises(ValueError, match="inputs has shape"):
        invariant_domain(cell, inputs=[[0.1, 0.2]])
    with pytest.raises(ValueError, match=r"inputs=1\.0 does not say which inputs are meant"):
        invariant_domain(cell, inputs=1.0)


@given(st.integers(0, 2**32 - 1))
def test_affine_images_of_half_infinite_boxes(seed):
    # an infinite end says nothing about the other side, which is reached at the finite end
    rng = np.random.default_rng(seed)
    p, n = 2, int(rng.integers(1, 40))
    W = rng.standard_normal((p, n)) * 2.0 ** rng.integers(-30, 30, (p, n))
    end = rng.standard_normal(n) * 2.0 ** rng.integers(-30, 30, n)
    b = rng.standard_normal(p)
    for sign in (1.0, -1.0):
        V = sign * np.abs(W)  # so that the finite ends give the least sums, or the largest
        low, high = affine_image(V, end, np.full(n, np.inf), b)
        for i in range(p):
            exact = sum(Fraction(v) * Fraction(x) for v, x in zip(V[i], end, strict=True))
            exact += Fraction(b[i])
            assert Fraction(low[i]) <= exact if sign > 0 else exact <= Fraction(high[i])
        assert np.all(np.isinf(high if sign > 0 else low))


def test_compound_functions_are_given_what_their_parts_lose():
    # 1 / (1 + exp(-a)) is made of three operations, softplus of four: more than one function's 8 u
    units = {name: rho.units for name, rho in ACTIVATIONS.items()}
    assert units["tanh"] == units["sin"] == ELEMENTARY_UNITS
    assert units["sigmoid"] == 2 * ELEMENTARY_UNITS
    assert units["softplus"] == 3 * ELEMENTARY_UNITS
    for name in ("sigmoid", "softplus"):
        low, high = activation_image(ACTIVATIONS[name], np.ones(1), np.ones(1))
        assert high - low >= 2 * units[name] * UNIT * ACTIVATIONS[name](np.ones(1))


def test_ends_that_are_no_numbers_bound_nothing():
    infinite = np.array([np.inf])
    low, high = sum_of((infinite, infinite), (-infinite, -infinite))
    assert low == -np.inf
    assert high == np.inf
