"""The four questions, asked of gradient_gap: gamma k lam**(k - 1)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from questions import (
    Asked,
    is_sharp,
    learning,
    learns_at_extremes,
    rounded_outward,
)
from test_gradient_gap_finite import relu_gap, scalar_gap

from theory import Contraction, verify
from theory.strategies import learning_experiments
from theory.theorems import gradient_gap, gradient_gap_finite
from theory.theorems.gradient_gap import GRADIENT_GAP, formula

SIZES = ("drive", "weight_gain", "loss_gain", "beta_hh", "beta_wh", "beta_p")


def at(lam, **arguments):
    return gradient_gap(Contraction.assumed(lam), **arguments)


def test_sharp_at_one_step():
    verdict = is_sharp(GRADIENT_GAP, learning(0.5, T=250, trained="W", target=1.0))
    assert verdict.arguments["k"] == 1


def test_the_published_power_is_false_for_small_factors():
    # A.12 h: gap (1 - a)**-2 >= 1 at k = 1, while gamma k lam**k with any fixed gamma vanishes
    for a in (0.1, 0.01, 0.001):
        gap = scalar_gap(a, 1, 60)
        bound = at(a, k=1, drive=1.0, weight_gain=1 / (1 - a), loss_gain=1.0, beta_wh=1.0)
        assert 1.0 < gap <= bound * (1 + 1e-12)
        assert gap == pytest.approx(bound, rel=1e-9)


@given(st.sampled_from([0.0, 0.5, 0.9, 0.99]), st.integers(1, 9), st.integers(0, 40), st.data())
def test_never_below_the_finite_form(lam, k, more, data):
    sizes = {name: data.draw(st.sampled_from([0.0, 1.0, 0.1, 3.0])) for name in SIZES}
    whole = at(lam, k=k, **sizes)
    past = sizes.pop("drive") / (1 - lam) * (1 - 2.0**-50)
    finite = gradient_gap_finite(Contraction.assumed(lam), k=k, t=k + more, past=past, **sizes)
    assert finite <= whole * (1 + 1e-14)


def broken():
    c = Contraction.assumed(0.5)
    base = {"k": 1, "drive": 1.0, "weight_gain": 2.0, "loss_gain": 1.0, "beta_wh": 1.0}
    claim = gradient_gap(c, **base)
    truth, exact = scalar_gap(0.9, 1, 400), scalar_gap(0.5, 1, 400)
    kink, _ = relu_gap(20)
    assert verify(GRADIENT_GAP, learning(0.5)).ratio > 0.9
    return {
        "contractive_set": (truth, claim),
        "weight_lipschitz": (exact, gradient_gap(c, **{**base, "weight_gain": 0.5})),
        "smooth_map": (kink, gradient_gap(c, **{**base, "k": 20})),
        # of p(h) = 3 h, and of p(h) = 3 h**2 / 2 in the bias, where p' is claimed constant
        "loss_lipschitz": (3 * exact, claim),
        "loss_smooth": (
            3 * (2.0 * 2.0 - 1.0),
            gradient_gap(c, k=1, drive=1.0, weight_gain=1.0, loss_gain=6.0),
        ),
        # inputs of 4 where the drive is said to be 1
        "drive_bounded": (4 * exact, claim),
        # a start at 100: the factor acts on it at once, and the restarted model knows nothing
        "zero_start": (
            100.0 * 0.5,
            gradient_gap(c, **{**base, "k": 2, "drive": 0.0, "weight_gain": 0.0}),
        ),
    }


def witnesses():
    factor = learning(0.5, T=250, trained="W", target=1.0)
    return {
        "lam**k instead of lam**(k - 1)": factor,
        "change of the derivatives along the way left out": factor,
    }


ASKED = Asked(
    made=learning_experiments(),
    extremes=learns_at_extremes,
    broken=broken,
    witnesses=witnesses,
    malformed={"sizes": SIZES, "k": 1, **dict.fromkeys(SIZES, 1.0)},
)


@given(st.sampled_from([0.0, 0.5, 0.9, 1e-3]), st.integers(1, 9), st.data())
def test_typed_function(lam, k, data):
    sizes = {name: data.draw(st.sampled_from([0.0, 1.0, 0.1, 3.0])) for name in SIZES}
    rounded_outward(formula, at(lam, k=k, **sizes), lam=lam, k=k, **sizes)


def test_malformed_questions():
    good = dict.fromkeys(SIZES, 1.0)
    for bad in (0, -1, 1.5, None):
        with pytest.raises(ValueError, match="k="):
            at(0.5, k=bad, **good)
    assert np.isfinite(at(0.5, k=3, **good))
