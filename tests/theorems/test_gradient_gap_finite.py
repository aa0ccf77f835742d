"""The four questions, asked of gradient_gap_finite: lost history, Jacobians on the way, the end."""

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

from theory import Contraction, LinearHead, LinearMap, VanillaRNN, truncation_gaps
from theory.learning import recurrent_gradient, training_data, truncated_gradient
from theory.strategies import learning_experiments
from theory.theorems import gradient_gap_finite
from theory.theorems.gradient_gap_finite import GRADIENT_GAP_FINITE, formula

SIZES = ("past", "weight_gain", "loss_gain", "beta_hh", "beta_wh", "beta_p")


def relu_gap(k, T=60):
    """Return the gradient gap of A.12 j: the last input puts the kink between the two states."""
    model, head = VanillaRNN([[0.5]], [[1.0]], activation="relu"), LinearHead([[1.0]])
    x = np.ones((T, 1))
    before = model.simulate(x[:-1])[-1, 0]
    short = model.simulate(x[-k:-1])[-1, 0] if k > 1 else 0.0
    x[-1] = -0.25 * (before + short)
    data = training_data(x, np.ones((T, 1)), loss="linear", at="last")
    whole = recurrent_gradient(model, head, data)
    cut = truncated_gradient(model, head, data, k=k)
    states = truncation_gaps(model, x, k_max=k)[k]
    return abs(whole.parameters["W"][0, 0] - cut.parameters["W"][0, 0]), states


def at(lam, **arguments):
    return gradient_gap_finite(Contraction.assumed(lam), **arguments)


def scalar_gap(a, k, T, **loss):
    """Return the gap of the gradients in a of h <- a h + x at x = 1, p(h) = h."""
    model, head = LinearMap([[a]], [[1.0]]), LinearHead([[1.0]])
    data = training_data(np.ones((T, 1)), np.ones((T, 1)), loss="linear", at="last", **loss)
    pair = recurrent_gradient(model, head, data), truncated_gradient(model, head, data, k=k)
    return pair[0].parameters["W"][0, 0] - pair[1].parameters["W"][0, 0]


def test_sharp_in_the_factor_on_a_linear_loss():
    # lost history and the change of the derivatives, after 150 steps: less by 2**-140
    is_sharp(GRADIENT_GAP_FINITE, learning(0.5, T=250, trained="W", target=1.0))


def test_sharp_in_the_bias_on_a_squared_loss():
    # lost history and the other end
    is_sharp(GRADIENT_GAP_FINITE, learning(0.5, loss="squared"))


def test_oracles():
    # A7.lds_gap_k5 (T = inf): k a**(k-1) / (1-a) + a**k / (1-a)**2 at a = 0.9, k = 5
    constants = {"weight_gain": 10.0, "loss_gain": 1.0, "beta_wh": 1.0, "past": 10.0}
    assert at(0.9, k=5, t=10**6, **constants) == pytest.approx(91.854, rel=1e-12)
    assert scalar_gap(0.9, 5, 1200) == pytest.approx(91.854, rel=1e-12)
    # A7.gap_k1_a01 (A.12 h): 1 / (1 - a)**2 at k = 1, which k lam**k misses by a factor 1 / lam
    assert scalar_gap(0.1, 1, 100) == pytest.approx(1.2345679012345678, rel=1e-12)
    assert scalar_gap(0.01, 1, 100) / 0.01 == pytest.approx(102.03, rel=1e-4)


def test_a_kink_breaks_the_gap_that_smoothness_would_give():
    # A.12 j: the states agree ever better, the gradients do not
    for k in (5, 20):
        gap, states = relu_gap(k)
        assert gap == pytest.approx(4.0, rel=0.5**k * 8)
        assert states < 2.0 * 0.5**k * 1.01


def broken():
    c = Contraction.assumed(0.5)
    kink, _ = relu_gap(20)
    smooth = gradient_gap_finite(
        c, k=20, t=60, past=2.0, weight_gain=2.0, loss_gain=1.0, beta_wh=1.0
    )
    # a factor of 0.9 where 0.5 is claimed, k = 1, p(h) = h: 1 / (1 - 0.9)**2
    truth = scalar_gap(0.9, 1, 400)
    base = {"k": 1, "t": 400, "past": 2.0, "weight_gain": 2.0, "loss_gain": 1.0, "beta_wh": 1.0}
    claim = gradient_gap_finite(c, **base)
    # constants of L_w, of the loss and of its derivative that are smaller than they are
    factor = scalar_gap(0.5, 1, 400)
    model, head = LinearMap([[0.5]], [[1.0]]), LinearHead([[1.0]])
    data = training_data(np.ones((400, 1)), np.zeros((400, 1)), loss="squared", at="last")
    pair = recurrent_gradient(model, head, data), truncated_gradient(model, head, data, k=1)
    squared = pair[0].parameters["W"][0, 0] - pair[1].parameters["W"][0, 0]
    bias = pair[0].parameters["b"][0] - pair[1].parameters["b"][0]
    # a start at 100 is part of the history, and is no part of 1 / (1 - lam)
    far = recurrent_gradient(model, head, data, start=[100.0])
    near = training_data(np.zeros((3, 1)), np.ones((3, 1)), loss="linear", at="last")
    far = recurrent_gradient(model, head, near, start=[100.0]).parameters["W"][0, 0]
    return {
        "contractive_set": (truth, claim),
        "weight_lipschitz": (factor, gradient_gap_finite(c, **{**base, "weight_gain": 0.5})),
        "smooth_map": (kink, smooth),
        "loss_lipschitz": (squared, claim),
        "loss_smooth": (
            bias,
            gradient_gap_finite(c, k=1, t=400, past=2.0, weight_gain=1.0, loss_gain=2.0),
        ),
        "zero_start": (
            far,
            gradient_gap_finite(c, k=1, t=3, past=0.0, weight_gain=0.0, loss_gain=1.0, beta_wh=1.0),
        ),
    }


def witnesses():
    factor = learning(0.5, T=250, trained="W", target=1.0)
    return {
        "lost history alone": factor,
        "one power of lam too many": factor,
        "smoothness of the loss left out": learning(0.5, loss="squared"),
    }


ASKED = Asked(
    made=learning_experiments(),
    extremes=learns_at_extremes,
    broken=broken,
    witnesses=witnesses,
    malformed={"counts": ("t",), "sizes": SIZES, "k": 1, "t": 3, **dict.fromkeys(SIZES, 1.0)},
)


@given(st.sampled_from([0.0, 0.5, 0.9, 1e-3]), st.integers(1, 9), st.integers(0, 30), st.data())
def test_typed_function(lam, k, t, data):
    sizes = {name: data.draw(st.sampled_from([0.0, 1.0, 0.1, 3.0])) for name in SIZES}
    value = at(lam, k=k, t=t, **sizes)
    if t <= k:
        assert value == 0.0
    else:
        rounded_outward(formula, value, lam=lam, k=k, t=t, **sizes)


def test_malformed_questions():
    good = dict.fromkeys(SIZES, 1.0)
    for bad in (0, -1, 1.5, None):
        with pytest.raises(ValueError, match="k="):
            at(0.5, k=bad, t=3, **good)
