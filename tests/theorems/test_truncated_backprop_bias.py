"""The four questions, asked of truncated_backprop_bias: what older steps contribute."""

import numpy as np
import pytest
from questions import (
    Asked,
    Typed,
    is_sharp,
    learning,
    learns_at_extremes,
)

from theory import Contraction, LinearHead, LinearMap
from theory.learning import recurrent_gradient, training_data, truncated_backprop_gradient
from theory.strategies import learning_experiments
from theory.theorems import truncated_backprop_bias
from theory.theorems.truncated_backprop_bias import TRUNCATED_BACKPROP_BIAS

TYPED = Typed(
    theorem=TRUNCATED_BACKPROP_BIAS,
    counts=("k", "t"),
    sizes=("weight_gain", "loss_gain"),
    rising=("t", "weight_gain", "loss_gain"),
    falling=("k",),
    from_k=True,
)


def bias_of(a, k, T, trained):
    """Return the bias in a parameter of h <- a h + x + b under x = 1, p(h) = h."""
    model, head = LinearMap([[a]], [[1.0]]), LinearHead([[1.0]])
    data = training_data(np.ones((T, 1)), np.ones((T, 1)), loss="linear", at="last")
    whole = recurrent_gradient(model, head, data).parameters[trained]
    cut = truncated_backprop_gradient(model, head, data, k=k).parameters[trained]
    return float((whole - cut).ravel()[0])


def test_sharp_in_the_bias():
    is_sharp(TRUNCATED_BACKPROP_BIAS, learning(0.5))
    is_sharp(TRUNCATED_BACKPROP_BIAS, learning(0.75, T=20))


def test_oracles():
    # A7.lds_gap_tbptt_k5 (T = inf, in the factor, L_w = 10), and B7.bias (lags 0 .. 9 kept)
    c = Contraction.assumed(0.9)
    bound = truncated_backprop_bias(c, k=5, t=10**6, weight_gain=10.0, loss_gain=1.0)
    assert bound == pytest.approx(59.049, rel=1e-12)
    assert bias_of(0.9, 5, 1200, "W") == pytest.approx(59.049, rel=1e-12)
    c = Contraction.assumed(0.8)
    bound = truncated_backprop_bias(c, k=10, t=10**6, weight_gain=1.0, loss_gain=1.0)
    assert bound == pytest.approx(0.536870912, rel=1e-12)
    assert bias_of(0.8, 10, 600, "b") == pytest.approx(0.536870912, rel=1e-12)


def test_one_step_less_is_kept_than_aicher_foti_and_fox_may_count():
    # lags 0 .. K kept (their other indexing) is k = K + 1 here: a factor lam is gained
    assert bias_of(0.8, 11, 600, "b") == pytest.approx(0.8 * 0.536870912, rel=1e-12)


def broken():
    c = Contraction.assumed(0.5)
    claim = truncated_backprop_bias(c, k=2, t=100, weight_gain=1.0, loss_gain=1.0)
    exact = bias_of(0.5, 2, 100, "b")
    return {
        "contractive_set": (bias_of(0.9, 2, 100, "b"), claim),
        # a bias that acts through 3 b, and a loss 3 h
        "weight_lipschitz": (3 * exact, claim),
        "loss_lipschitz": (3 * exact, claim),
    }


def witnesses():
    return {"one power of lam too many": learning(0.5), "geometric factor dropped": learning(0.5)}


ASKED = Asked(
    made=learning_experiments(),
    extremes=learns_at_extremes,
    broken=broken,
    witnesses=witnesses,
    typed=TYPED,
)
