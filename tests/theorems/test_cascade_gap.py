"""The four questions, asked of cascade_gap."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from questions import (
    STANDS,
    Asked,
    is_sharp,
    refuses_malformed,
    rounded_outward,
    scalar,
)

from theory import Cascade, Contraction, LinearMap, VanillaRNN, contraction, experiment, verify
from theory.campaign.recipes.gated import gated_stack
from theory.campaign.recipes.layers import layers, layers_impulse, layers_restart
from theory.strategies import factors
from theory.theorems import cascade_gap
from theory.theorems.cascade_gap import CASCADE_GAP, equal_rates, formula

seeds = st.integers(0, 2**32 - 1)


def two_layers(seed):
    """Return two small layers without gates, which contract everywhere."""
    rng = np.random.default_rng(seed)
    n, p, T = int(rng.integers(1, 4)), int(rng.integers(1, 4)), int(rng.integers(1, 20))
    lower = VanillaRNN(rng.uniform(-0.9, 0.9, (n, n)) / n, rng.standard_normal((n, 1)))
    upper = LinearMap(rng.uniform(-0.9, 0.9, (p, p)) / p, rng.standard_normal((p, n)))
    cell = Cascade([lower, upper])
    found = contraction(cell, method="comparison")
    return experiment(
        cell,
        rng.choice([-1.0, 1.0], (T, 1)),
        contraction=found,
        k_max=min(T, 8),
        start=rng.standard_normal(n + p),
    )


def test_holds_between_gated_layers():
    for seed in range(3):
        made = gated_stack(np.random.default_rng(seed))
        assert isinstance(made.map, Cascade)
        verdict = verify(CASCADE_GAP, made)
        assert verdict.outcome in STANDS, verdict


def test_sharp_for_scalar_layers():
    is_sharp(CASCADE_GAP, layers(np.random.default_rng(0)))


def test_oracle():
    # B5.cascade: lam = .9, L2 = .5, B = 1, k = 12, T = infinity: states 10 and 50
    c = Contraction.assumed(0.9)
    value = cascade_gap(c, c, k=12, gain=0.5, below=10.0, above=50.0)
    assert value == pytest.approx(31.06724901291, abs=1e-9)
    # and it is reached
    cell = Cascade([LinearMap([[0.9]], [[1.0]]), LinearMap([[0.9]], [[0.5]])])
    H = cell.simulate(np.ones((600, 1)))
    gap = H[-1] - cell.simulate(np.ones((12, 1)))[-1]
    assert gap[1] == pytest.approx(31.06724901291, abs=1e-9)


def broken():
    return {
        # one layer that forgets nothing, said to be two that forget
        "two_layers": (
            scalar(1.0, claim=0.5).inputs.sum(),
            formula(0.5, 0.25, 1.0, 4, 1.0, 1.0),
        ),
        "zero_restart": layers_restart(np.random.default_rng(0)),
    }


def witnesses():
    rng = np.random.default_rng(1)
    return {
        "nothing comes from below": layers(rng),
        "the layers' rates alone: no polynomial factor": layers(rng),
        "the lower state seen a step later": layers(rng),
        "present states instead of the stored ones": layers_impulse(rng),
        "any restart": layers_restart(rng),
    }


ASKED = Asked(
    made=seeds.map(lambda seed: two_layers(seed)),
    extremes=None,
    broken=broken,
    witnesses=witnesses,
)


@given(
    factors(), factors(), st.integers(0, 30), *(st.sampled_from((0.0, 0.5, 3.0)) for _ in range(3))
)
def test_typed_function(first, second, k, gain, below, above):
    c, d = Contraction.assumed(first), Contraction.assumed(second)
    value = cascade_gap(c, d, k=k, gain=gain, below=below, above=above)
    if first == second:
        made = {"lam": first, "gain": gain, "k": k, "below": below, "above": above}
        rounded_outward(equal_rates, value, **made)
    else:
        made = {"first": first, "second": second, "gain": gain, "below": below, "above": above}
        rounded_outward(formula, value, k=k, **made)
    # the sum that the quotient stands for
    a, b = Fraction(first), Fraction(second)
    total = sum((a ** (j + 1) * b ** (k - 1 - j) for j in range(k)), Fraction(0))
    exact = b**k * Fraction(above) + Fraction(gain) * total * Fraction(below)
    assert exact <= Fraction(value)
    assert Fraction(math.nextafter(math.nextafter(value, 0.0), 0.0)) <= exact


def test_malformed_questions():
    c = Contraction.assumed(0.5)
    refuses_malformed(
        lambda **more: cascade_gap(c, c, **more),
        counts=("k",),
        sizes=("gain", "below", "above"),
        k=3,
        gain=1.0,
        below=1.0,
        above=1.0,
    )
    for bad in ((None, c), (c, 0.9)):
        with pytest.raises(ValueError, match="needed a Contraction"):
            cascade_gap(*bad, k=1, gain=1.0, below=1.0, above=1.0)
