"""The four questions, asked of gradient_growth: at least (t - 1) a**(2 t - 3)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from questions import (
    Asked,
    growing,
    is_sharp,
    rounded_outward,
)

from theory import LinearHead, LinearMap
from theory.learning import projected_gradient_descent, recurrent_gradient, training_data
from theory.theorems import gradient_growth
from theory.theorems.gradient_growth import GRADIENT_GROWTH, formula
from theory.trials.gradient_growth import TRIAL


def slope(a, T):
    """Return d p_T / d a."""
    data = training_data(np.ones((T, 1)), np.ones((T, 1)), at="last")
    model = LinearMap([[a]], [[1.0]])
    return recurrent_gradient(model, LinearHead([[1.0]]), data).parameters["W"][0, 0]


def test_sharp_at_two_steps():
    is_sharp(GRADIENT_GROWTH, growing(1.5, 2))


def test_reality():
    # A.10: 1.14e3 at T = 10 and 6.2e20 at T = 200 for a = 1.1; A10.grad_lim = 900 for a = 0.9
    assert slope(1.1, 10) == pytest.approx(1.14e3, rel=5e-3)
    assert slope(1.1, 200) == pytest.approx(6.2e20, rel=5e-3)
    assert slope(0.9, 10) == pytest.approx(145.5, rel=1e-3)
    assert slope(0.9, 2000) == pytest.approx(900.0, rel=1e-9)
    # asymptotically (T - 1) (a / (a - 1))**2 a**(2 T - 3)
    limit = 199 * (1.1 / 0.1) ** 2 * 1.1**397
    assert slope(1.1, 200) / limit == pytest.approx(1.0, abs=0.06)


def test_descent_at_the_published_step_sizes():
    # A.12 f: T = 2 reaches the optimum in one step; T = 10 from 1.1 diverges at alpha = 1 and not
    # at 1e-4; and a stable start diverges just as well, unprojected
    def descend(a, T, alpha, steps):
        data = training_data(np.ones((T, 1)), np.ones((T, 1)), at="last")
        return projected_gradient_descent(
            LinearMap([[a]], [[1.0]]), LinearHead([[1.0]]), data, steps=steps, alpha=alpha,
            trained=("W",),
        )  # fmt: skip

    assert descend(1.1, 2, 1.0, 1).weights[-1].tolist() == [0.0]
    unstable = descend(1.1, 10, 1.0, 30)
    assert unstable.diverged is not None
    sizes = np.log(np.abs(unstable.weights[1:, 0]))
    assert sizes[-1] / sizes[-2] == pytest.approx(17.0, rel=0.1)  # doubly exponential, 2 T - 3
    assert descend(1.1, 10, 1e-4, 400).diverged is None
    stable = descend(0.9, 10, 1.0, 30)
    assert stable.diverged is not None
    assert stable.weights[1, 0] == pytest.approx(-144.6, rel=1e-3)


def broken():
    # another input, 0.5: the state is half as large
    return {"scalar_growth": growing(1.5, 8, x=0.25)}


def witnesses():
    return {m.name: growing(1.5, 8) for m in TRIAL.near_misses}


ASKED = Asked(
    made=st.builds(growing, st.floats(1.0, 4.0), st.integers(2, 40)),
    always_measured=True,
    extremes=None,
    broken=broken,
    witnesses=witnesses,
    malformed={"counts": ("t",), "sizes": ("factor",), "factor": 1.5, "t": 3},
)


@given(st.sampled_from([0.5, 1.1, 2.0]), st.integers(2, 30))
def test_typed_function(factor, t):
    value = gradient_growth(factor=factor, t=t)
    rounded_outward(formula, value, upward=False, factor=factor, t=t)


def test_malformed_questions():
    for bad in (0, 1):
        with pytest.raises(ValueError, match="t="):
            gradient_growth(factor=1.5, t=bad)
    with pytest.raises(ValueError, match="factor="):
        gradient_growth(factor=0.0, t=3)
