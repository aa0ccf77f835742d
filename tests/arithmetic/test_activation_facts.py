"""The stored facts of the activations are proved, and a wrong one is noticed.

The proofs speak of the mathematical functions; the last tests tie those to the NumPy functions, by
comparing both with arithmetic of many digits.
"""

import dataclasses
import math

import mpmath
import numpy as np
import pytest
import sympy as sp

from proofs.activations import EXAMPLES, prove
from proofs.steps import StepKind
from theory.arithmetic.activations import (
    ACTIVATIONS,
    HARD_TANH,
    IDENTITY,
    RELU,
    SIGMOID,
    SIN,
    SOFTPLUS,
    TANH,
    leaky_relu,
)
from theory.arithmetic.rounding import ELEMENTARY_UNITS, TINY, UNIT

INF = math.inf
EACH = pytest.mark.parametrize("rho", EXAMPLES, ids=lambda rho: rho.name)


@EACH
def test_the_facts_are_proved(rho):
    proof = prove(rho)
    assert proof.problems == ()
    assert proof.count(StepKind.CHECKED) >= 9


def test_every_activation_has_a_proof():
    assert set(ACTIVATIONS) <= {rho.name for rho in EXAMPLES}
    with pytest.raises(ValueError, match="no definition here"):
        prove(dataclasses.replace(TANH, name="gelu"))


def ulps(value, count):
    for _ in range(abs(count)):
        value = math.nextafter(value, math.copysign(INF, count))
    return value


SABOTAGE = [
    # slopes: too narrow on either side, and too wide
    (TANH, {"slope": (0.0, 0.99)}, "largest slope"),
    (TANH, {"slope": (0.0, ulps(1.0, -1))}, "largest slope"),
    (TANH, {"slope": (0.01, 1.0)}, "least slope"),
    (TANH, {"slope": (-0.1, 1.0)}, "least slope"),
    (TANH, {"slope": (0.0, 1.01)}, "largest slope"),
    (SIGMOID, {"slope": (0.0, 0.2)}, "largest slope"),
    (SIGMOID, {"slope": (0.0, 1.0)}, "largest slope"),
    (SOFTPLUS, {"slope": (0.0, 0.5)}, "largest slope"),
    (SOFTPLUS, {"slope": (0.5, 1.0)}, "least slope"),
    (SIN, {"slope": (0.0, 1.0)}, "least slope"),
    (SIN, {"slope": (-1.0, 0.5)}, "largest slope"),
    (RELU, {"slope": (0.0, 0.5)}, "largest"),
    (RELU, {"slope": (0.5, 1.0)}, "least"),
    (HARD_TANH, {"slope": (0.0, 2.0)}, "largest slope"),
    (HARD_TANH, {"slope": (-1.0, 1.0)}, "least slope"),
    (IDENTITY, {"slope": (0.0, 1.0)}, "least slope"),
    (leaky_relu(0.2), {"slope": (0.3, 1.0)}, "least"),
    (leaky_relu(0.2), {"slope": (0.0, 1.0)}, "least slope"),
    (leaky_relu(-0.5), {"slope": (0.0, 1.0)}, "least"),
    (leaky_relu(3.0), {"slope": (1.0, 2.0)}, "largest"),
    # curvature: too small by any amount, too large by two units, and at a kink finite
    (TANH, {"curvature": 0.76}, "curvature"),
    (TANH, {"curvature": ulps(TANH.curvature, -1)}, "curvature"),
    (TANH, {"curvature": ulps(TANH.curvature, 2)}, "curvature"),
    (TANH, {"curvature": INF}, "curvature"),
    (SIGMOID, {"curvature": 0.09}, "curvature"),
    (SIGMOID, {"curvature": ulps(SIGMOID.curvature, -2)}, "curvature"),
    (SIGMOID, {"curvature": ulps(SIGMOID.curvature, 2)}, "curvature"),
    (SOFTPLUS, {"curvature": ulps(0.25, -1)}, "curvature"),
    (SIN, {"curvature": ulps(1.0, -1)}, "curvature"),
    (RELU, {"curvature": 0.0}, "curvature"),
    (RELU, {"curvature": 1e308}, "curvature"),
    (HARD_TANH, {"curvature": 0.0}, "curvature"),
    (leaky_relu(0.2), {"curvature": 0.0}, "curvature"),
    (leaky_relu(1.0), {"curvature": INF}, "curvature"),
    (IDENTITY, {"curvature": 0.1}, "curvature"),
    # the value at 0
    (SIGMOID, {"at_zero": 0.0}, "rho(0)"),
    (SOFTPLUS, {"at_zero": 0.0}, "rho(0)"),
    (SOFTPLUS, {"at_zero": ulps(SOFTPLUS.at_zero, 1)}, "rho(0)"),
    (SOFTPLUS, {"at_zero": ulps(SOFTPLUS.at_zero, -1)}, "rho(0)"),
    (TANH, {"at_zero": TINY}, "rho(0)"),
    (RELU, {"at_zero": 1.0}, "rho(0)"),
    # the range: too narrow, and too wide
    (TANH, {"range": (-0.99, 1.0)}, "least value"),
    (TANH, {"range": (-1.0, 0.99)}, "largest value"),
    (TANH, {"range": (-2.0, 1.0)}, "least value"),
    (SIGMOID, {"range": (-1.0, 1.0)}, "least value"),
    (SIGMOID, {"range": (0.0, INF)}, "largest value"),
    (SOFTPLUS, {"range": (-INF, INF)}, "least value"),
    (SOFTPLUS, {"range": (0.0, 1e9)}, "largest value"),
    (SIN, {"range": (0.0, 1.0)}, "least value"),
    (SIN, {"range": (-1.0, 2.0)}, "largest value"),
    (RELU, {"range": (0.0, 1.0)}, "largest value"),
    (RELU, {"range": (-INF, INF)}, "least value"),
    (HARD_TANH, {"range": (-1.0, 0.5)}, "largest value"),
    (HARD_TANH, {"range": (-INF, 1.0)}, "least value"),
    (leaky_relu(0.2), {"range": (0.0, INF)}, "least value"),
    (leaky_relu(-0.5), {"range": (-INF, INF)}, "least value"),
    (IDENTITY, {"range": (0.0, INF)}, "least value"),
]


@pytest.mark.parametrize(
    ("rho", "wrong", "about"), SABOTAGE, ids=lambda value: getattr(value, "name", str(value))
)
def test_a_wrong_fact_fails(rho, wrong, about):
    proof = prove(dataclasses.replace(rho, **wrong))
    assert not proof.ok
    assert any(about in problem for problem in proof.problems)
    # nothing but the wrong fact is complained of; a wrong slope may be a wrong Lipschitz constant
    assert all(about in p or p.startswith("Lipschitz") for p in proof.problems)


@pytest.mark.parametrize("fact", ["slope", "curvature", "at_zero", "range"])
@EACH
def test_every_fact_is_looked_at(rho, fact):
    stored = getattr(rho, fact)
    wrong = (-7.0, 7.0) if isinstance(stored, tuple) else 7.0
    assert not prove(dataclasses.replace(rho, **{fact: wrong})).ok


# the NumPy functions ------------------------------------------------------------------------------

_HALF_LINE = np.concatenate(
    [
        np.linspace(0.0, 50.0, 121),
        np.geomspace(1e-320, 1e300, 63),
        [0.5, 1.0, 17.0, 19.0625, 36.7, 37.5, 354.9, 372.3, 700.0, 708.5, 744.5, 745.2, 1e300],
        np.random.default_rng(5).uniform(0.0, 40.0, 60),
        math.pi * np.arange(1, 20) / 2,
    ]
)
GRID = np.unique(np.concatenate([-_HALF_LINE, _HALF_LINE]))

#: Digits of the reference.  The derivative of tanh at 750 is 1 - tanh**2 = 1e-651, so that this
#: many leave 80 correct ones; beyond, the derivatives are below the smallest double.
DIGITS = 740


def exact_values(expr, a):
    function = sp.lambdify(sp.Symbol("a", real=True), expr, modules="mpmath")
    with mpmath.workdps(DIGITS):
        return [function(mpmath.mpf(float(x))) for x in a]


def units(computed, exact):
    """The error in units of u = 2**-53 of the exact value, or of the smallest double below it."""
    with mpmath.workdps(80):
        return max(
            float(abs(mpmath.mpf(float(c)) - e) / (UNIT * abs(e) + TINY))
            for c, e in zip(computed, exact, strict=True)
        )


@EACH
def test_values_agree_with_the_definition(rho):
    computed = rho(GRID)
    error = units(computed, exact_values(prove(rho).definition, GRID))
    assert error <= ELEMENTARY_UNITS
    # what rounds to nearest once, or not at all
    if rho.name not in ("tanh", "sigmoid", "softplus", "sin"):
        assert error <= 1
    buffer = GRID.copy()
    assert rho.in_place(buffer) is buffer
    assert units(buffer, exact_values(prove(rho).definition, GRID)) <= ELEMENTARY_UNITS
    assert rho(np.zeros(1))[0] == rho.at_zero
    assert rho.range[0] <= computed.min()
    assert computed.max() <= rho.range[1]


@EACH
def test_derivatives_agree_with_the_definition(rho):
    derivative = sp.diff(prove(rho).definition.rewrite(sp.exp), sp.Symbol("a", real=True))
    if rho.name == "sin":
        derivative = sp.cos(sp.Symbol("a", real=True))
    error = units(rho.derivative(GRID), exact_values(derivative, GRID))
    assert error <= ELEMENTARY_UNITS
    if rho.curvature in (0.0, INF):
        assert error == 0  # the slope of a piece, and the right one at a knot


def test_a_wrong_function_would_be_noticed():
    shifted = dataclasses.replace(TANH, function=lambda a: np.tanh(a * (1 + 2.0**-48)))
    exact = exact_values(prove(TANH).definition, GRID)
    assert units(shifted(GRID), exact) > ELEMENTARY_UNITS


@pytest.mark.parametrize("leak", [0.0, -0.0, 0.01, 0.2, 1.0, 5.0, -0.5, -1.0, -3.0, 1e-300, 1e300])
def test_leaky_relu_with_any_leak(leak):
    assert prove(leaky_relu(leak)).ok
