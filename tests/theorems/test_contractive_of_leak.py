"""The four questions, asked of contractive_of_leak: 1 - leak + leak * rate."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from questions import Asked, is_sharp

from theory import (
    L2,
    CallableMap,
    Contraction,
    EchoStateNetwork,
    Inputs,
    VanillaRNN,
    contraction,
    experiment,
)
from theory.campaign.recipes.gated import leaky, leaky_far
from theory.certify.certificate_file import certificate_from_dict, certificate_to_dict
from theory.certify.recheck import recheck
from theory.theorems import contractive_of_leak
from theory.theorems.contractive_of_leak import CONTRACTIVE_OF_LEAK, formula

seeds = st.integers(0, 2**32 - 1)


def halving(leak):
    """Return h -> (1 - leak) h + leak h / 2 for h >= 0."""
    cell = EchoStateNetwork([[0.5]], [[1.0]], leak=leak, activation="relu")
    found = contraction(cell, method="leak")
    return experiment(cell, np.zeros((4, 1)), contraction=found, other_start=np.ones(1))


def test_sharp_for_an_active_unit():
    is_sharp(CONTRACTIVE_OF_LEAK, halving(0.25), slack=2.0**-18)


def broken():
    # a step that adds: h + f(h) / 2 with f(h) = h / 2 stretches by 5/4
    added = CallableMap(lambda h, x: h + h / 4 + 0 * x, state_dim=1, input_dim=1)
    moved = abs(added.step(np.ones(1), np.zeros(1)) - added.step(np.zeros(1), np.zeros(1)))[0]
    # f(h) = 2 h is no contraction by 1/2
    twice = EchoStateNetwork([[2.0]], [[1.0]], leak=0.5, activation="identity")
    stretch = abs(twice.step(np.ones(1), np.zeros(1)) - twice.step(np.zeros(1), np.zeros(1)))[0]
    return {
        "leaky": (moved, formula(leak=0.5, rate=0.5)),
        "inner_lipschitz": (stretch, formula(leak=0.5, rate=0.5)),
        "in_domain": leaky_far(np.random.default_rng(1)),
    }


def witnesses():
    return {
        "leak and 1 - leak exchanged": halving(0.25),
        "the rate without leak": halving(0.25),
        "states outside the domain": leaky_far(np.random.default_rng(2)),
    }


ASKED = Asked(
    made=seeds.map(lambda seed: leaky(np.random.default_rng(seed))),
    extremes=None,
    broken=broken,
    witnesses=witnesses,
)


@given(st.floats(0.0, 0.999), st.floats(2.0**-20, 1.0))
def test_typed_function(rate, leak):
    c = contractive_of_leak(Contraction.assumed(rate), leak=leak)
    exact = formula(leak=leak, rate=rate)
    assert exact <= c.lam * (1 + 2.0**-50)
    assert c.lam <= exact * (1 + 2.0**-50)
    assert not c.evidence.is_certified


@settings(max_examples=15)
@given(seeds, st.sampled_from([0.1, 0.5, 0.9]))
def test_jaegers_condition_is_a_corollary(seed, leak):
    """|W|_2 < 1 certifies a leaky network of tanh by at most 1 - a + a |W|_2."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 7))
    W = rng.standard_normal((n, n))
    W *= rng.uniform(0.1, 0.99) / np.linalg.norm(W, 2)
    found = contraction(EchoStateNetwork(W, np.ones((n, 1)), leak=leak))
    assert found.lam <= (1 - leak + leak * np.linalg.norm(W, 2)) * (1 + 1e-9)


def test_the_sharp_engine_serves_leaky_networks():
    """The network that only the matrix inequality certifies, with a leak: MONE of `THEORY.md`."""
    W = [[0.9, -1.0], [0.5, -0.9]]
    cell = EchoStateNetwork(W, np.eye(2), leak=0.5)
    for method in ("comparison", "euclidean"):
        assert contraction(cell, method=method) is None
    found = contraction(cell)
    assert found.lam == pytest.approx(0.5 + 0.5 * 0.9, rel=1e-5)
    assert not found.norm.monotone


def test_slopes_on_the_box_are_used():
    cell = EchoStateNetwork([[1.1]], [[1.0]], [2.0], leak=0.5)
    assert contraction(cell, method="leak") is None
    found = contraction(cell, method="leak", inputs=Inputs.box(-0.1, 0.1))
    assert found.lam < 0.6
    assert found.domain is not None


def test_a_linear_network_has_nearly_its_spectral_radius():
    """(1 - a) I + a W, with a leak for each unit, in whatever norm suits it."""
    cell = EchoStateNetwork([[-3.0]], [[1.0]], leak=0.3, activation="identity")
    assert contraction(cell).lam == pytest.approx(0.2, rel=1e-9)
    W, leak = np.array([[0.0, -1.2], [1.2, 0.5]]), np.array([0.5, 0.25])
    cell = EchoStateNetwork(W, np.eye(2), leak=leak, activation="identity")
    radius = np.max(np.abs(np.linalg.eigvals(np.diag(1 - leak) + leak[:, None] * W)))
    found = contraction(cell)
    assert radius <= found.lam <= radius * (1 + 1e-3)
    h, g = np.array([0.3, -2.0]), np.array([-1.0, 0.5])
    moved = found.norm.vector(cell.step(h, np.zeros(2)) - cell.step(g, np.zeros(2)))
    assert moved <= found.lam * found.norm.vector(h - g) * (1 + 1e-12)
    assert recheck(certificate_from_dict(certificate_to_dict(cell, found)), cell)


def test_without_leak_it_is_the_map_itself():
    W = [[0.5, 0.1], [0.0, 0.5]]
    assert contraction(EchoStateNetwork(W, np.eye(2)), method="leak") is None
    assert contraction(EchoStateNetwork(W, np.eye(2), leak=[0.5, 0.6]), method="leak") is None
    assert contraction(VanillaRNN(W, np.eye(2)), method="leak") is None


def test_malformed_questions():
    good = Contraction.assumed(0.5, L2())
    for bad in (0.0, -0.5, 1.5, np.nan):
        with pytest.raises(ValueError, match="leak="):
            contractive_of_leak(good, leak=bad)
    with pytest.raises(ValueError, match="2 steps"):
        contractive_of_leak(Contraction.assumed(0.5, iterate=2), leak=0.5)
    assert contractive_of_leak(Contraction.assumed(1 - 2.0**-53), leak=2.0**-60) is None
