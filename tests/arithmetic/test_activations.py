"""The facts of every activation, against balls of 300 bits and exact rationals."""

import math
from collections.abc import Iterator
from fractions import Fraction

import flint
import numpy as np
import pytest
from enclosures import may_be_at_least, may_be_at_most
from hypothesis import example, given, target
from hypothesis import strategies as st

from theory.arithmetic.activations import ACTIVATIONS, Activation, activation, leaky_relu
from theory.arithmetic.rounding import ELEMENTARY_UNITS, TINY, UNIT
from theory.kernels.cells import activate

EVERY = [
    *ACTIVATIONS.values(),
    *(leaky_relu(m) for m in (-2.0, -0.5, 0.0, 0.01, 0.3, 1.0, 3.0)),
]
SMOOTH = [rho for rho in EVERY if rho.curvature < math.inf and rho.code != 3]
every = pytest.mark.parametrize("rho", EVERY, ids=lambda rho: rho.name)
smooth = pytest.mark.parametrize("rho", SMOOTH, ids=lambda rho: rho.name)

reals = st.one_of(
    st.floats(-40.0, 40.0),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        [0.0, -0.0, 1.0, -1.0, TINY, -TINY, 745.2, -745.2, -708.5, -710.0, 1e-8, -1e-8]
    ),
    st.integers(-30, 30).map(lambda j: j * math.pi / 2),
)


@pytest.fixture(autouse=True, scope="module")
def _many_bits() -> Iterator[None]:
    saved, flint.ctx.prec = flint.ctx.prec, 2600  # sin needs as many bits as its argument has
    yield
    flint.ctx.prec = saved


def truth(rho: Activation, a: float) -> flint.arb:
    """Return rho(a) from its textbook definition."""
    x = flint.arb(a)
    one = flint.arb(1)
    # with 2600 bits the exponential of the largest double would need 10**308 of them
    far = abs(a) > 2000
    if rho.name == "tanh":
        return flint.arb(math.copysign(1, a)) if far else x.tanh()
    if rho.name == "sigmoid":
        return flint.arb(int(a > 0)) if far else one / (one + (-x).exp())
    if rho.name == "softplus":
        return flint.arb(max(a, 0.0)) if far else (one + x.exp()).log()
    if rho.name == "sin":
        return x.sin()
    if rho.name == "relu":
        return flint.arb(max(a, 0.0))
    if rho.name == "hard_tanh":
        return flint.arb(min(max(a, -1.0), 1.0))
    if rho.name == "identity":
        return x
    leak = flint.arb(float(rho.name[len("leaky_relu(") : -1]))
    return x if a >= 0 else leak * x


def slope_truth(rho: Activation, a: float) -> flint.arb:
    """Return the (right) derivative of rho from its textbook definition."""
    x = flint.arb(a)
    if rho.name == "tanh":
        return flint.arb(0) if abs(a) > 2000 else 1 - x.tanh() ** 2
    if rho.name == "sigmoid":
        value = truth(rho, a)
        return value * (1 - value)
    if rho.name == "softplus":
        return truth(activation("sigmoid"), a)
    if rho.name == "sin":
        return x.cos()
    if rho.name == "identity":
        return flint.arb(1)
    if rho.name == "hard_tanh":
        return flint.arb(int(-1 <= a < 1))
    leak = 0.0 if rho.name == "relu" else float(rho.name[len("leaky_relu(") : -1])
    return flint.arb(1) if a >= 0 else flint.arb(leak)


def by_kernel(rho: Activation, a: float) -> float:
    array = np.array([a])
    activate(rho.code, rho.leak, array)
    return float(array[0])


def units(computed: float, exact: flint.arb) -> float:
    """Return the error in units of u |exact|, after the absolute error of underflow."""
    error = abs(flint.arb(computed) - exact) - flint.arb(4 * TINY)
    size = abs(exact)
    return 0.0 if not error > 0 else float((error / (size * flint.arb(UNIT))).mid())


@every
@given(a=reals)
def test_values_are_within_the_assumed_units(rho, a):
    """What `ELEMENTARY_UNITS` assumes of the libraries, measured here, in both implementations."""
    exact = truth(rho, a)
    with np.errstate(over="ignore"):
        values = [float(rho(np.array([a]))[0]), by_kernel(rho, a)]
    if abs(rho.leak * a) > 1e308 and rho.code == 3:
        return  # leak * a leaves the range, and so does what is computed
    error = max(units(value, exact) for value in values)
    target(error, label=f"units of {rho.name}")
    assert error <= ELEMENTARY_UNITS
    low, high = rho.range
    assert low <= min(values) <= max(values) <= high


@every
def test_values_over_a_grid_are_within_three_units(rho):
    """The measured accuracy, a third of what is assumed; a library that is worse shows here."""
    rng = np.random.default_rng(0)
    # among them what reduces to the ends of |r| <= ln(2) / 2, where a remainder is largest
    odd = (np.arange(-40, 40) + 0.5) * math.log(2) / 2
    a = np.concatenate(
        [np.linspace(-30, 30, 481), rng.standard_normal(400), 10.0 ** -np.arange(9.0)]
        + [odd * (1 + shift) for shift in (-1e-3, 0.0, 1e-3)]
    )
    flint_values = [truth(rho, x) for x in a.tolist()]
    for computed in (rho(a).tolist(), [by_kernel(rho, x) for x in a.tolist()]):
        worst = max(map(units, computed, flint_values))
        assert worst <= 3.5


@every
@given(a=reals, b=reals)
@example(a=-1.0, b=1.0)
@example(a=0.0, b=TINY)
def test_difference_quotients_lie_in_the_slope_interval(rho, a, b):
    if a == b:
        return
    low, high = (flint.arb(s) for s in rho.slope)
    quotient = (truth(rho, a) - truth(rho, b)) / (flint.arb(a) - flint.arb(b))
    assert may_be_at_least(quotient, low)
    assert may_be_at_most(quotient, high)
    assert may_be_at_most(abs(quotient), flint.arb(rho.lipschitz))


@every
def test_slope_intervals_are_the_smallest(rho):
    """Both ends are approached by difference quotients."""
    near = [1e-9, -1e-9, 50.0, -50.0, math.pi - 1e-9]
    quotients = [float(slope_truth(rho, a).mid()) for a in near]
    # at distance 1e-9 from where the slope is extreme it is so within the curvature times 1e-9
    assert min(quotients) <= rho.slope[0] + 1e-8
    assert max(quotients) >= rho.slope[1] - 1e-8


@every
@given(a=reals)
@example(a=0.0)
@example(a=1.0)
@example(a=-1.0)
def test_derivatives_are_right_derivatives(rho, a):
    computed = float(rho.derivative(np.array([a]))[0])
    exact = slope_truth(rho, a)
    low, high = rho.slope
    # an exponential, a square of 1 + z and a quotient, each to ELEMENTARY_UNITS; underflow apart
    assert units(computed, exact) <= 4 * ELEMENTARY_UNITS
    # in the interval itself: rounding must not step over its ends
    assert low <= computed <= high


@smooth
@given(a=st.floats(-30.0, 30.0))
def test_curvature_bounds_the_second_derivative(rho, a):
    # by difference quotients of the exact derivative, which the mean value theorem bounds
    step = 2.0**-200
    ahead = flint.arb(a) + flint.arb(step)

    def slope(x: flint.arb) -> flint.arb:
        one = flint.arb(1)
        sigmoid = one / (one + (-x).exp())
        return {
            "identity": one,
            "tanh": 1 - x.tanh() ** 2,
            "sigmoid": sigmoid * (1 - sigmoid),
            "softplus": sigmoid,
            "sin": x.cos(),
        }[rho.name]

    second = abs(slope(ahead) - slope(flint.arb(a))) / flint.arb(step)
    assert may_be_at_most(second, flint.arb(rho.curvature))
    target(float(second.mid()), label=f"curvature of {rho.name}")


def test_curvatures_are_the_suprema_rounded_outward():
    root3 = flint.arb(3).sqrt()
    suprema = {
        "identity": flint.arb(0),
        "tanh": 4 / (3 * root3),
        "sigmoid": 1 / (6 * root3),
        "softplus": flint.arb(1) / 4,
        "sin": flint.arb(1),
    }
    assert suprema.keys() == {rho.name for rho in SMOOTH}
    for name, supremum in suprema.items():
        value = flint.arb(ACTIVATIONS[name].curvature)
        assert may_be_at_least(value, supremum)
        assert may_be_at_most(value, supremum * (1 + 4 * flint.arb(UNIT)))
    assert {r.curvature for r in EVERY if r not in SMOOTH} == {math.inf, 0.0}  # 0 for leak 1


@every
def test_value_at_zero_is_rounded_to_nearest(rho):
    exact = truth(rho, 0.0)
    assert may_be_at_most(abs(flint.arb(rho.at_zero) - exact), flint.arb(UNIT) * abs(exact))
    # as computed it may be off by the accuracy of the libraries
    assert units(float(rho(np.zeros(1))[0]), exact) <= ELEMENTARY_UNITS


@every
def test_extreme_arguments_give_no_nan_and_stay_in_the_range(rho):
    a = np.array([-1e308, -1e4, -745.5, -TINY, -0.0, 0.0, TINY, 745.5, 1e4, 1e308])
    with np.errstate(over="ignore"):  # a leak above 1 leaves the range honestly
        values = rho(a)
    assert not np.isnan(values).any()
    assert (values >= rho.range[0]).all()
    assert (values <= rho.range[1]).all()
    assert not np.isnan(rho.derivative(a)).any()


@every
def test_in_place_is_the_function(rho):
    a = np.random.default_rng(0).standard_normal((3, 7)) * 3
    expected = rho(a)
    buffer = a.copy()
    assert rho.in_place(buffer) is buffer
    np.testing.assert_array_equal(buffer, expected)


@every
def test_the_function_leaves_its_argument_alone(rho):
    a = np.linspace(-2, 2, 9)
    before = a.copy()
    result = rho(a)
    assert not np.shares_memory(result, a)
    rho.derivative(a)
    np.testing.assert_array_equal(a, before)


# ------------------------------------------------------------------------------------- looking up


@every
def test_names_lead_back(rho):
    found = activation(rho.name)
    assert (found.name, found.slope, found.code) == (rho.name, rho.slope, rho.code)
    assert activation(rho) is rho


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(-0.0)
def test_leaky_relu_of_any_leak(leak):
    rho = leaky_relu(leak)
    assert rho.slope == (min(leak, 1.0), max(leak, 1.0))
    assert rho.leak == leak
    assert rho(np.array([-1.0, 0.0, 2.0])).tolist() == [-leak, 0.0, 2.0]
    again = activation(rho.name)
    assert again.leak == leak
    assert rho.lipschitz == max(1.0, abs(leak))


def test_lookup_examples():
    assert activation("leaky_relu").leak == 0.01
    assert activation("leaky_relu(0.2)").slope == (0.2, 1.0)
    assert activation("tanh").lipschitz == 1.0
    assert activation("sigmoid").lipschitz == 0.25
    assert activation("sin").lipschitz == 1.0
    assert Fraction(activation("softplus").at_zero) == Fraction(math.log(2))


@pytest.mark.parametrize(
    "name",
    ["Tanh", "", "leaky_relu(", "leaky_relu(x)", "leaky_relu(nan)", "leaky_relu(inf)", "gelu"],
)
def test_unknown_names_are_answered_with_the_known_ones(name):
    with pytest.raises(ValueError, match=r"is not known, needed one of: identity, tanh, relu"):
        activation(name)


@pytest.mark.parametrize("thing", [np.tanh, math.tanh, None, 3, ["tanh"]], ids=repr)
def test_what_is_not_a_name_is_refused_in_the_same_words(thing):
    with pytest.raises(ValueError, match=r"is not known, needed one of: identity, tanh, relu"):
        activation(thing)


@pytest.mark.parametrize("leak", [math.nan, math.inf, "0.1", 1j, [0.1], None])
def test_a_leak_that_is_no_number_is_refused(leak):
    with pytest.raises(ValueError, match="leak"):
        leaky_relu(leak)
