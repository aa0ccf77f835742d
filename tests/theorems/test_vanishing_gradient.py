"""The four questions, asked of vanishing_gradient: L_p lam**k L_x."""

import numpy as np
from questions import (
    Asked,
    Typed,
    is_sharp,
    learning,
    learns_at_extremes,
)

from theory import Contraction, LinearHead, LinearMap
from theory.learning import input_gradients, training_data
from theory.strategies import learning_experiments
from theory.theorems import vanishing_gradient
from theory.theorems.vanishing_gradient import VANISHING_GRADIENT

TYPED = Typed(
    theorem=VANISHING_GRADIENT,
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


def test_sharp_for_the_scalar_system():
    is_sharp(VANISHING_GRADIENT, learning(0.5, gain=2.0))
    assert fading(0.5, 2.0, 3.0).tolist() == [6.0 * 0.5**k for k in range(6)]


def broken():
    claim = vanishing_gradient(Contraction.assumed(0.5), k=3, gain=1.0, loss_gain=1.0)
    return {
        "contractive_set": (fading(0.9)[3], claim),
        "input_lipschitz": (fading(0.5, gain=2.0)[3], claim),
        "loss_lipschitz": (fading(0.5, loss=2.0)[3], claim),
    }


def witnesses():
    return {
        "one power of lam too many": learning(0.5),
        "Lipschitz constant in the input left out": learning(0.5, gain=2.0),
    }


ASKED = Asked(
    made=learning_experiments(),
    extremes=learns_at_extremes,
    broken=broken,
    witnesses=witnesses,
    typed=TYPED,
)
