"""The four questions, asked of contractive_of_multipliers: level * load."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from questions import Asked, is_sharp

from theory import GRU, L2, LSTM, CallableMap, EchoStateNetwork, Inputs, contraction
from theory.campaign.recipes.gated import (
    gated_euclidean,
    lstm_far_euclidean,
    saturated_euclidean,
)
from theory.certify import invariant_domain
from theory.certify.gated import by_comparison
from theory.certify.multipliers import by_multipliers, find, floor_of
from theory.theorems import contractive_of_multipliers
from theory.theorems.contractive_of_multipliers import (
    CONTRACTIVE_OF_MULTIPLIERS,
    formula,
    multipliers_hold,
)
from theory.theorems.terms import Signal, Terms

seeds = st.integers(0, 2**32 - 1)


def test_sharp_for_a_leaky_unit():
    # slope 1 at rest, which the domain holds: (1 - a + a W)^2
    is_sharp(
        CONTRACTIVE_OF_MULTIPLIERS, saturated_euclidean(np.random.default_rng(0)), slack=2.0**-16
    )


def broken():
    # a gate without terms that serve all inputs: (1 + x) h / 2 stretches by 2 at x = 3
    gate = CallableMap(lambda h, x: (1.0 + x) * h / 2, state_dim=1, input_dim=1)
    x = np.array([3.0])
    stretch = abs(gate.step(np.ones(1), x) - gate.step(np.zeros(1), x))[0] ** 2
    # of W = [[0, 4], [0, 0]] with weights (1, 64): |W h| = 4 |h_2| <= |h| / 2, not so unweighted
    W = np.array([[0.0, 4.0], [0.0, 0.0]])
    plain = float(L2().vector(W @ [0.0, 1.0])) ** 2
    return {
        "terms_bounded": (stretch, formula(level=0.5, load=0.5)),
        "in_domain": lstm_far_euclidean(np.random.default_rng(1)),
        "weighted_euclidean": (plain, formula(level=0.25, load=1.0)),
        # the form of y = 2 h is 4 t |h|^2, not t |h|^2
        "form_bounded": (0.5**2 * 4.0, formula(level=0.5, load=0.5)),
    }


def witnesses():
    rng = np.random.default_rng(2)
    return {
        "coefficients at rest in place of the domain's": saturated_euclidean(rng),
        "square of the level": saturated_euclidean(rng),
        "states outside the domain": lstm_far_euclidean(rng),
    }


ASKED = Asked(
    made=seeds.map(lambda seed: gated_euclidean(np.random.default_rng(seed))),
    extremes=None,
    broken=broken,
    witnesses=witnesses,
)


@st.composite
def cells(draw):
    """Return a gated or leaky map, its terms over the box of states, and its comparison."""
    rng = np.random.default_rng(draw(seeds))
    n, m = draw(st.integers(1, 6)), draw(st.integers(1, 2))
    scale = draw(st.sampled_from([0.05, 0.2, 0.5]))
    kind = draw(st.integers(0, 3))
    rows = (4, 3, 3, 1)[kind] * n
    W, U = scale * rng.standard_normal((rows, n)), scale * rng.standard_normal((rows, m))
    cell = (
        lambda: LSTM(W, U, scale * rng.standard_normal(rows)),
        lambda: GRU(W, U, b_candidate=scale * rng.standard_normal(n)),
        lambda: GRU(W, U, variant="reset_before"),
        lambda: EchoStateNetwork(W, U, leak=rng.uniform(0.1, 0.9, n)),
    )[kind]()
    box = invariant_domain(cell, inputs=Inputs.box(-1.0, 1.0))
    return cell, box


@given(cells(), seeds)
def test_typed_function(made, seed):
    """No weights and multipliers claim less than pairs of states are stretched."""
    cell, box = made
    terms, rng = cell.terms(box), np.random.default_rng(seed)
    parts, signals, n = terms.coefficients.shape[1:]
    w = np.exp(rng.uniform(-1, 1, (parts, n)))
    w[terms.state_parts :] *= 30.0
    t = terms.coefficients.max(axis=0) * np.exp(rng.uniform(-0.5, 0.5, (parts, signals, n)))
    found = contractive_of_multipliers(terms, weights=w.ravel(), multipliers=t.ravel(), domain=box)
    if found is None:
        return
    p = np.diag(found.norm.P)
    assert np.array_equal(p, w[: terms.state_parts].ravel())
    for _ in range(4):
        h, g = rng.uniform(box.low, box.high, (2, cell.state_dim))
        x = rng.uniform(box.input_low, box.input_high)
        apart = found.norm.vector(h - g)
        moved = found.norm.vector(cell.step(h, x) - cell.step(g, x))
        assert moved <= found.lam * apart * (1 + 1e-9)
    stored = found.evidence.multipliers
    assert multipliers_hold(terms, p, stored, found.lam * (1 + 2.0**-40))
    assert not multipliers_hold(terms, p, stored, found.lam * (1 - 2.0**-10))


@settings(max_examples=25)
@given(cells())
def test_the_search_is_never_notably_worse_than_the_comparison_matrix(made):
    """By its start from Perron weights; what is lost is the smoothing's."""
    cell, box = made
    terms, entrywise = cell.terms(box), by_comparison(cell, box)
    ours = by_multipliers(cell, box, entrywise)
    floor = floor_of(terms)
    if ours is not None:
        assert floor <= ours.lam * (1 + 1e-9)
        # of a leaky unit the entrywise bound sees that -|W_ii| takes away from 1 - a
        if entrywise is not None and not isinstance(cell, EchoStateNetwork):
            assert ours.lam <= entrywise.lam * 1.02
    auto = contraction(cell, domain=box)
    known = [c for c in (ours, entrywise) if c is not None]
    # of a leaky unit the metric may certify where neither does
    assert auto is not None or not known
    assert not known or auto.lam <= min(c.lam for c in known)


def test_it_certifies_twice_the_scale_of_dense_weights():
    """The table of the report: seed 64, forget bias -2; the entrywise bound ends at .1 to .2."""
    rng = np.random.default_rng(64)
    W = rng.standard_normal((256, 64)) / 8
    U, b = rng.standard_normal((256, 4)) * 0.1, np.repeat([0.0, -2.0, 0.0, 0.0], 64)
    cell = LSTM(0.2 * W, U, b)
    assert contraction(cell, method="comparison", inputs=Inputs.box(-1.0, 1.0)) is None
    found = contraction(cell, inputs=Inputs.box(-1.0, 1.0))
    assert found.lam < 0.45
    assert found.evidence.method == "multipliers"


def test_boundary_cases():
    none = EchoStateNetwork(np.zeros((2, 2)), np.eye(2), leak=[0.25, 0.5])
    found = contraction(none, method="euclidean")
    assert 0.75 <= found.lam <= 0.75 * (1 + 1e-12)
    # no signal at all: what is left of a difference is nothing
    nothing = Terms(coefficients=np.zeros((1, 1, 1, 2)), signals=(Signal(0, None),), state_parts=1)
    w, t = find(nothing)
    c = contractive_of_multipliers(nothing, weights=w.ravel(), multipliers=t.ravel())
    assert c.lam == 0.0
    assert multipliers_hold(nothing, np.ones(2), (0.0, 0.0), 0.0)
    # a coefficient without a multiplier proves nothing
    one = Terms(coefficients=np.full((1, 1, 1, 1), 0.5), signals=(Signal(0, None),), state_parts=1)
    assert contractive_of_multipliers(one, weights=[1.0], multipliers=[0.0]) is None
    assert contractive_of_multipliers(one, weights=[1.0], multipliers=[0.5]).lam >= 0.5
    infinite = Terms(
        coefficients=np.full((1, 1, 1, 1), np.inf), signals=(Signal(0, None),), state_parts=1
    )
    assert contractive_of_multipliers(infinite, weights=[1.0], multipliers=[0.5]) is None
    assert contractive_of_multipliers(nothing, weights=[1.0, 5e-324], multipliers=t.ravel()) is None


def test_malformed_questions():
    one = Terms(coefficients=np.full((1, 1, 1, 1), 0.5), signals=(Signal(0, None),), state_parts=1)
    for bad, message in (
        ({"weights": [0.0], "multipliers": [0.5]}, "positive"),
        ({"weights": [1.0], "multipliers": [-0.5]}, "none below 0"),
        ({"weights": [1.0, 1.0], "multipliers": [0.5]}, "weights has shape"),
        ({"weights": [1.0], "multipliers": [np.nan]}, "multipliers holds nan"),
    ):
        with pytest.raises(ValueError, match=message):
            contractive_of_multipliers(one, **bad)
    with pytest.raises(ValueError, match=r"needed theory\.theorems\.Terms"):
        contractive_of_multipliers(np.eye(2), weights=[1.0], multipliers=[1.0])
    for C, parts, message in (
        (np.ones((1, 1, 2, 1)), 1, "shape"),
        (-np.ones((1, 1, 1, 1)), 1, "negative"),
    ):
        with pytest.raises(ValueError, match=message):
            Terms(coefficients=C, signals=(Signal(0, None),), state_parts=parts)
