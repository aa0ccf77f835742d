"""The four questions, asked of vanishing_gradient: L_p lam**k L_x."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from questions import (
    Typed,
    agrees_with_formula,
    every_assumption_is_needed,
    every_near_miss_is_noticed,
    example_is_true,
    holds,
    is_sharp,
    learning,
    learns_at_extremes,
    refuses_malformed,
    statement_is_the_formula,
)

from theory import (
    Contraction,
    LinearHead,
    LinearMap,
    input_gradients,
    training_data,
    vanishing_gradient,
)
from theory.strategies import learning_experiments
from theory.theorems.vanishing_gradient import VANISHING_GRADIENT, formula

TYPED = Typed(
    function=vanishing_gradient,
    formula=formula,
    counts=("k",),
    sizes=("gain", "loss_gain"),
    rising=("gain", "loss_gain"),
    falling=("k",),
)


def fading(a, gain=1.0, loss=1.0, T=6):
    """Return |d p / d x| at lags 0 .. T - 1 of h <- a h + gain x, p(h) = loss h."""
    data = training_data(np.zeros((T, 1)), np.full((T, 1), loss), loss="linear", at="last")
    found = input_gradients(LinearMap([[a]], [[gain]]), LinearHead([[1.0]]), data)
    return np.abs(found[0, ::-1, 0])


@given(learning_experiments())
def test_holds(made):
    holds(VANISHING_GRADIENT, made)


def test_holds_at_extremes():
    learns_at_extremes(VANISHING_GRADIENT)


def test_sharp_for_the_scalar_system():
    is_sharp(VANISHING_GRADIENT, learning(0.5, gain=2.0))
    assert fading(0.5, 2.0, 3.0).tolist() == [6.0 * 0.5**k for k in range(6)]


def test_every_assumption_is_needed():
    claim = vanishing_gradient(Contraction.assumed(0.5), k=3, gain=1.0, loss_gain=1.0)
    every_assumption_is_needed(
        VANISHING_GRADIENT,
        {
            "contractive_set": (fading(0.9)[3], claim),
            "input_lipschitz": (fading(0.5, gain=2.0)[3], claim),
            "loss_lipschitz": (fading(0.5, loss=2.0)[3], claim),
        },
    )


def test_every_near_miss_is_noticed():
    every_near_miss_is_noticed(
        VANISHING_GRADIENT,
        {
            "one power of lam too many": learning(0.5),
            "Lipschitz constant in the input left out": learning(0.5, gain=2.0),
        },
    )


@given(st.data())
def test_typed_function(data):
    agrees_with_formula(TYPED, data)


def test_malformed_questions():
    refuses_malformed(
        vanishing_gradient, counts=("k",), sizes=("gain", "loss_gain"), k=1, gain=1.0, loss_gain=1.0
    )
    with pytest.raises(ValueError, match="needed a Contraction"):
        vanishing_gradient(0.5, k=1, gain=1.0, loss_gain=1.0)


def test_documentation_is_true():
    example_is_true(vanishing_gradient)
    statement_is_the_formula(VANISHING_GRADIENT)
