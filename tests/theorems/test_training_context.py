"""The four questions, asked of training_context: k(N, eps)."""

import importlib
import math
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from questions import (
    Asked,
    is_sharp,
    learning,
    learns_at_extremes,
)

from theory import Contraction
from theory.strategies import learning_experiments
from theory.theorems import prediction_gap, training_context, weight_gap
from theory.theorems.gradient_gap import gradient_gap
from theory.theorems.training_context import TRAINING_CONTEXT, geometric_context, lambert_context

MODULE = importlib.import_module("theory.theorems.training_context")
BASE = {"steps": 100, "alpha": 0.1, "drive": 1.0, "weight_gain": 1.0, "loss_gain": 1.0}
SMOOTH = {"beta_hh": 0.5, "beta_wh": 1.0, "beta_p": 0.25}


def test_sharp_for_a_drift():
    # tiny steps on a linear loss: all of the gap is that of the truncation
    is_sharp(TRAINING_CONTEXT, learning(0.5), slack=2.0**-30)


def bound_at(c, k, eps=None, lipschitz=1.0, beta=1.0, **more):
    """Return the three bounds put together for a given k."""
    del eps
    arguments = {**BASE, **SMOOTH, **more}
    names = ("drive", "weight_gain", "loss_gain", *SMOOTH)
    mismatch = gradient_gap(c, k=k, **{name: arguments[name] for name in names})
    apart = weight_gap(
        steps=arguments["steps"], alpha=arguments["alpha"], beta=beta, mismatch=mismatch
    )
    return prediction_gap(
        c, k=k, drive=arguments["drive"], weight_gain=arguments["weight_gain"], distance=apart,
        lipschitz=lipschitz,
    )  # fmt: skip


@given(
    st.sampled_from([0.0, 0.5, 0.9, 0.99, 1e-3]), st.sampled_from([1e-6, 1e-3, 1.0, 30.0]),
    st.sampled_from([0.5, 2.0]),
)  # fmt: skip
def test_the_answer_suffices_and_one_fewer_does_not(lam, eps, lipschitz):
    c = Contraction.assumed(lam)
    k = training_context(c, eps=eps, beta=1.0, lipschitz=lipschitz, **BASE, **SMOOTH)
    slack = 1 + 1e-12
    for more in range(6):
        assert bound_at(c, k + more, lipschitz=lipschitz) <= eps * slack
    if k > 1:
        assert bound_at(c, k - 1, lipschitz=lipschitz) * slack > eps


@given(st.sampled_from([0.1, 0.5, 0.9, 0.99, 0.3]), st.sampled_from([1e-9, 1e-3, 0.3, 0.5, 4.0]))
def test_geometric_context_by_counting(lam, bound):
    k = geometric_context(lam, bound)
    q, most = Fraction(lam), Fraction(bound)
    # k lam**k falls from 1 / log(1 / lam) on
    last = max(k, math.ceil(1 / -math.log(lam))) + 3
    assert all(n * q**n <= most for n in range(k, last))
    assert k == 0 or (k - 1) * q ** (k - 1) > most


def test_oracles():
    # A9.lambert_k
    assert lambert_context(0.9, 1e-3) == pytest.approx(110.19297248734426, rel=1e-10)
    assert geometric_context(0.9, 1e-3) == 111
    # explicit sufficient forms, with l = log(1 / lam) and c = 1e-3
    rate = -math.log(0.9)
    v = math.log(1 / (1e-3 * rate)) - 1
    assert (1 + math.sqrt(2 * v) + v) / rate >= 110.19297248734426
    assert 2 / rate * math.log(2 / (math.e * rate * 1e-3)) >= 110.19297248734426


def test_ties_are_decided_exactly():
    # k 2**-k = 3/8 at k = 3 and 1/2 at k = 1 and k = 2
    assert geometric_context(0.5, 0.375) == 3
    assert geometric_context(0.5, math.nextafter(0.375, 0.0)) == 4
    assert geometric_context(0.5, 0.5) == 0
    assert geometric_context(0.5, math.nextafter(0.5, 0.0)) == 3
    assert geometric_context(0.0, 1e-300) == 0


def test_extremes_of_lambert():
    for lam in (1e-300, 0.5, 1 - 2.0**-30):
        for bound in (1e-300, 1e-9, 1.0):
            k = geometric_context(lam, bound)
            assert abs(k - lambert_context(lam, bound)) <= 2 + 1e-6 * k


def broken():
    # what the context promises, against what the twins do when a constant was understated
    c = Contraction.assumed(0.5)
    eps = 1e-2
    k = training_context(c, eps=eps, beta=1.0, **BASE, **SMOOTH)
    larger = {
        "contractive_set": bound_at(Contraction.assumed(0.9), k),
        "weight_lipschitz": bound_at(c, k, weight_gain=9.0),
        "smooth_map": bound_at(c, k, beta_hh=99.0, beta_wh=99.0),
        "loss_lipschitz": bound_at(c, k, loss_gain=99.0),
        "loss_smooth": bound_at(c, k, beta_p=99.0),
        "drive_bounded": bound_at(c, k, drive=9.0),
        "output_lipschitz": bound_at(c, k, lipschitz=9.0),
        # gradients that differ by 1 throughout; weights that start 1 apart; a projection that
        # doubles distances, after one step; starts 8 apart before k steps
        "gradient_mismatch": prediction_gap(
            c, k=k, drive=1.0, weight_gain=1.0,
            distance=weight_gap(steps=100, alpha=0.1, beta=1.0, mismatch=1.0),
        ),
        "twin_descents": prediction_gap(c, k=k, drive=1.0, weight_gain=1.0, distance=1.0),
        "nonexpansive": 2.0**100 * bound_at(c, k),
        "same_start": eps + 1.0,
        "zero_start": 8.0 * 0.5,
    }  # fmt: skip
    return {name: (measured, eps) for name, measured in larger.items()}


def witnesses():
    return {"one input fewer": learning(0.5), "half of the inputs": learning(0.5)}


ASKED = Asked(
    made=learning_experiments(),
    extremes=learns_at_extremes,
    broken=broken,
    witnesses=witnesses,
    malformed={
        "counts": ("steps",),
        "sizes": ("drive", "weight_gain", "loss_gain", "beta", "lipschitz", *SMOOTH),
        "eps": 0.1,
        "beta": 1.0,
        "lipschitz": 1.0,
        **BASE,
        **SMOOTH,
    },
)


def test_grows_with_the_logarithm_of_the_steps():
    c = Contraction.assumed(0.9)
    arguments = {**BASE, **SMOOTH, "beta": 10.0, "eps": 1e-3}
    found = [training_context(c, **{**arguments, "steps": n}) for n in (10, 100, 1000)]
    # alpha beta = 1: one decade costs log(10) / log(1 / lam) = 21.9 inputs, and the k in front
    assert [22 <= b - a <= 26 for a, b in pairwise(found)] == [True, True]


def test_malformed_questions():
    c = Contraction.assumed(0.5)
    for bad in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="eps="):
            training_context(c, eps=bad, beta=1.0, **BASE)
    with pytest.raises(ValueError, match="beyond the largest double"):
        training_context(c, eps=0.1, beta=1e6, **{**BASE, "alpha": 10.0})
    for function in (geometric_context, lambert_context):
        with pytest.raises(ValueError, match="lam="):
            function(1.0, 0.1)
        with pytest.raises(ValueError, match="bound="):
            function(0.5, 0.0)
