"""The four questions, asked of contractive_of_incremental_lmi: rate."""

import numpy as np
import pytest
from hypothesis import strategies as st
from questions import (
    Asked,
    is_sharp,
)

from theory import CallableMap, Contraction, VanillaRNN, WeightedL2, contraction, experiment
from theory.certify import Evidence
from theory.maps import leaky_relu
from theory.theorems import contractive_of_incremental_lmi
from theory.theorems.contractive_of_incremental_lmi import (
    CONTRACTIVE_OF_INCREMENTAL_LMI,
    formula,
)

MONE = np.array([[0.9, -1.0], [0.5, -0.9]])
P = np.array([[1437.0, -1544.0], [-1544.0, 2563.0]])
Q = np.array([1470.0, 2740.0])


def relu_in_a_corner():
    """Return a relu network of which only the second unit is active: W_22 = -0.9 is its step."""
    cell = VanillaRNN(MONE, np.eye(2), [-60.0, 60.0], "relu")
    return experiment(cell, np.zeros((6, 2)), contraction=contraction(cell, method="lmi"))


@st.composite
def certified(draw):
    n = draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rho = draw(st.sampled_from(["tanh", "relu", "sigmoid", leaky_relu(-0.5), leaky_relu(0.2)]))
    W = rng.standard_normal((n, n)) * np.exp(rng.uniform(-1, 1, (n, 1)))
    W *= draw(st.sampled_from([0.3, 0.8])) / np.linalg.norm(W, 2)
    cell = VanillaRNN(W, rng.standard_normal((n, 2)), 3 * rng.standard_normal(n), rho)
    found = contraction(cell, method="lmi")
    assert found is not None
    return experiment(cell, rng.standard_normal((draw(st.integers(0, 12)), 2)), contraction=found)


def test_sharp_where_one_unit_is_active():
    # the rate found is within the search's margin, 2**-20, of W_22 = 0.9
    is_sharp(CONTRACTIVE_OF_INCREMENTAL_LMI, relu_in_a_corner(), slack=2.0**-18)


def broken():
    # a gate, "W = 1/2": step(h, x) = (1 + x) h / 2 stretches by 2 at x = 3
    gate = CallableMap(lambda h, x: (1.0 + x) * h / 2, state_dim=1, input_dim=1)
    stretch = abs(gate.step(np.ones(1), np.array([3.0])) - gate.step(np.zeros(1), np.zeros(1)))[0]
    # W = I / 2 has norm 1/2 in every P-norm, but relu turns differences out of the thin direction
    thin = WeightedL2([[1.0, 0.95], [0.95, 1.0]])
    half = VanillaRNN(0.5 * np.eye(2), np.eye(2), activation="relu")
    return {
        "affine_form": (stretch, formula(rate=0.5)),
        "incremental_lmi": experiment(
            half, np.ones((4, 2)), contraction=Contraction.assumed(0.5 + 2.0**-40, thin)
        ),
    }


def witnesses():
    thin = WeightedL2([[1.0, 0.95], [0.95, 1.0]])
    half = VanillaRNN(0.5 * np.eye(2), np.eye(2), activation="relu")
    return {
        "r P in place of r**2 P in the block": relu_in_a_corner(),
        "spectral radius of W in place of the rate": relu_in_a_corner(),
        "any Gram matrix": experiment(
            half, np.ones((4, 2)), contraction=Contraction.assumed(0.5 + 2.0**-40, thin)
        ),
    }


ASKED = Asked(
    made=certified(),
    extremes=None,
    broken=broken,
    witnesses=witnesses,
)


def test_a_wrong_multiplier_is_not_applicable():
    good = contractive_of_incremental_lmi(MONE, P=P, q=Q, rate=0.92)
    cell = VanillaRNN(MONE, np.eye(2))
    bad = Contraction(
        lam=0.92,
        norm=good.norm,
        evidence=Evidence(kind="certified", method="by hand", multipliers=(1470.0, 27400.0)),
    )
    from theory import verify
    from theory.trials import Outcome

    for c, outcome in ((good, Outcome.HOLDS), (bad, Outcome.NOT_APPLICABLE)):
        made = experiment(cell, np.zeros((3, 2)), contraction=c)
        assert verify(CONTRACTIVE_OF_INCREMENTAL_LMI, made).outcome is outcome


def test_typed_function():
    found = contractive_of_incremental_lmi(MONE, P=P, q=Q, rate=23 / 25)
    assert found.lam == 23 / 25
    assert found.evidence.multipliers == tuple(Q)
    assert contractive_of_incremental_lmi(MONE, P=P, q=Q, rate=0.91) is None
    assert contractive_of_incremental_lmi(MONE, P=P, q=Q, rate=1.0) is None
    assert contractive_of_incremental_lmi(MONE, "sin", P=P, q=Q, rate=0.92) is None
    assert contractive_of_incremental_lmi(3 * MONE, "sigmoid", P=P, q=Q, rate=0.75) is not None


def test_malformed_arguments():
    good = {"P": P, "q": Q, "rate": 0.92}
    for bad, message in (
        ({"P": -P}, "positive definite"),
        ({"P": P + np.array([[0, 1], [0, 0]])}, "not symmetric"),
        ({"P": np.eye(3)}, "R\\^3"),
        ({"q": [1.0]}, "q has shape"),
        ({"q": [1.0, np.nan]}, "q holds nan"),
        ({"rate": -0.5}, "rate="),
        ({"rate": np.nan}, "rate="),
    ):
        with pytest.raises(ValueError, match=message):
            contractive_of_incremental_lmi(MONE, **{**good, **bad})
    with pytest.raises(ValueError, match="square"):
        contractive_of_incremental_lmi(MONE[:1], **good)
    with pytest.raises(ValueError, match="activation"):
        contractive_of_incremental_lmi(MONE, "tan", **good)
