"""The four questions, asked of loss_smoothness: the Lipschitz constant of the gradient."""

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

from theory import Contraction, LinearHead, LinearMap, VanillaRNN
from theory.learning import recurrent_gradient, training_data
from theory.strategies import learning_experiments
from theory.theorems import loss_smoothness
from theory.theorems.loss_smoothness import LOSS_SMOOTHNESS, formula

SIZES = (
    "weight_gain", "loss_gain", "beta_hh", "beta_hw", "beta_wh", "beta_ww", "beta_p", "distance",
)  # fmt: skip


def at(lam, **arguments):
    return loss_smoothness(Contraction.assumed(lam), **arguments)


def curvature(a, loss, target, step=2.0**-24, T=1500):
    """Return the second derivative in a of the loss of h <- a h + 1, by a difference quotient."""
    data = training_data(np.ones((T, 1)), np.full((T, 1), target), loss=loss, at="last")
    head = LinearHead([[1.0]])
    ends = [
        recurrent_gradient(LinearMap([[a + s * step]], [[1.0]]), head, data).parameters["W"][0, 0]
        for s in (1, -1)
    ]
    return (ends[0] - ends[1]) / (2 * step)


def test_sharp_in_the_bias_on_a_squared_loss():
    is_sharp(LOSS_SMOOTHNESS, learning(0.5, loss="squared"))


def test_sharp_in_the_factor_to_first_order():
    made = learning(0.5, T=250, trained="W", target=1.0, change=2.0**-20)
    is_sharp(LOSS_SMOOTHNESS, made, slack=2.0**-18)


def test_oracles():
    # A8.lds_curv: 2 B / (1 - a)**3, which the bound equals for L_w = B / (1 - a)
    bound = at(0.9, weight_gain=10.0, loss_gain=1.0, beta_hw=1.0, beta_wh=1.0)
    assert bound == pytest.approx(2000.0, rel=1e-9)
    assert curvature(0.9, "linear", 1.0) == pytest.approx(2000.0, rel=1e-6)
    # A8.lds_sq_curv: (1 + 2 a) / (1 - a)**4 for (h - 1)**2 / 2; and 3 B**2 / (1 - a)**4 for y = 0
    assert curvature(0.9, "squared", 1.0) == pytest.approx(28000.0, rel=1e-6)
    assert curvature(0.9, "squared", 0.0) == pytest.approx(30000.0, rel=1e-6)
    zero = at(0.9, weight_gain=10.0, loss_gain=10.0, beta_hw=1.0, beta_wh=1.0, beta_p=1.0)
    assert zero == pytest.approx(30000.0, rel=1e-9)
    # so the order is (1 - a)**-4, not -3, when L_w and L_p grow with 1 / (1 - a) (A.12 i)


def broken():
    base = {"weight_gain": 2.0, "loss_gain": 1.0, "beta_hw": 1.0, "beta_wh": 1.0}
    claim = at(0.5, **base)
    exact = curvature(0.5, "linear", 1.0)
    # a kink: relu of h / 2 + w at w = -+ small, whose derivative jumps by 1
    kink = []
    for b in (1e-9, -1e-9):
        model = VanillaRNN([[0.0]], [[0.0]], [b], activation="relu")
        data = training_data([[0.0]], [[1.0]], loss="linear")
        kink.append(recurrent_gradient(model, LinearHead([[1.0]]), data).parameters["b"][0])
    return {
        "contractive_set": (curvature(0.9, "linear", 1.0), claim),
        "weight_lipschitz": (exact, at(0.5, **{**base, "weight_gain": 1.0})),
        "smooth_map": (
            abs(kink[0] - kink[1]),
            at(0.0, weight_gain=1.0, loss_gain=1.0, distance=2e-9),
        ),
        "loss_lipschitz": (3 * exact, claim),
        "loss_smooth": (curvature(0.5, "squared", 0.0), at(0.5, **{**base, "loss_gain": 2.0})),
        # the same loss from two starts, w = v: a h at h = 1 and at h = 0 differs in da
        "same_start": (1.0, at(0.5, **base, distance=0.0)),
    }


def witnesses():
    factor = learning(0.5, T=250, trained="W", target=1.0, change=2.0**-20)
    bias = learning(0.5, loss="squared")
    return {
        "mixed derivative counted once": factor,
        "smoothness of the loss left out": bias,
        "one geometric factor dropped": factor,
    }


ASKED = Asked(
    made=learning_experiments(),
    extremes=learns_at_extremes,
    broken=broken,
    witnesses=witnesses,
    malformed={"sizes": SIZES, **dict.fromkeys(SIZES, 1.0)},
)


@given(st.sampled_from([0.0, 0.5, 0.9, 1e-3]), st.data())
def test_typed_function(lam, data):
    sizes = {name: data.draw(st.sampled_from([0.0, 1.0, 0.1, 3.0])) for name in SIZES}
    rounded_outward(formula, at(lam, **sizes), lam=lam, **sizes)
