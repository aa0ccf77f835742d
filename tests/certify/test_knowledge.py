"""To know more is never to claim less: what holds everywhere holds under given inputs, too."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from theory import (
    GRU,
    Cascade,
    EchoStateNetwork,
    Inputs,
    LinearMap,
    VanillaRNN,
    contraction,
    required_context,
)
from theory.certify import invariant_domain
from theory.strategies import any_maps

#: Rates of weights that a search finds are this near to the least one, relatively, also where it
#: takes as many steps as it may (of a nilpotent matrix it comes nearer like 1 / steps).
SLACK = 2.0**-8

#: A chain of leaky units: nilpotent, so that no weights are best.
CHAIN = EchoStateNetwork(0.7 * np.eye(4, k=1), np.zeros((4, 1)), [0.7, 0, 0, 0], leak=0.5)

INPUTS = st.sampled_from([Inputs.box(-1, 1), Inputs.ball(0.3), Inputs.box(0, 50), Inputs.box(0, 0)])


def no_worse(model, inputs, effort=0):
    wide, near = contraction(model, effort=effort), contraction(model, inputs=inputs, effort=effort)
    if wide is None:
        return
    assert near is not None, f"{wide} everywhere, and nothing for {inputs}"
    # rates of other methods are not compared: that of fewer steps is more
    assert (near.iterate, near.lam) <= (wide.iterate, wide.lam)


def test_a_smaller_box_is_not_worse_for_another_method_that_just_succeeds():
    """Multipliers certify at 0.5 only, 0.963; the metric, 0.840 at 0.6, is looked for at both."""
    W = [
        [-0.06, 0.155], [-1.583, 0.038], [0.124, -0.095],
        [0.143, 0.245], [-0.544, 0.224], [-0.135, -0.508],
    ]  # fmt: skip
    U = np.array([[0.209, 1.488, -1.46, -1.653, -1.653, 1.977]]).T
    cell = GRU(W, U, [-0.126, -0.03, -0.393, -0.47, -1.013, 0.085])
    boxes = [invariant_domain(cell, inputs=Inputs.box(-a, a)) for a in (0.5, 0.6)]
    near, wide = (contraction(cell, domain=box, effort=2).lam for box in boxes)
    assert near <= wide * (1 + SLACK)
    assert near < 0.8 < wide


@given(any_maps(size=0.5), INPUTS)
@example(EchoStateNetwork([[0.5]], [[1.0]]), Inputs.box(-1, 1))
@example(Cascade([VanillaRNN([[0.5]], [[1.0]])]), Inputs.box(-1, 1))
def test_inputs_never_weaken_a_certificate(model, inputs):
    no_worse(model, inputs)


@pytest.mark.parametrize("seed", range(4))
def test_nor_do_they_at_the_default_effort(seed):
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((3, 3)) / 2.2
    for model in (
        VanillaRNN(W, np.eye(3)),
        EchoStateNetwork(W, np.eye(3), activation="relu"),
        Cascade([VanillaRNN(W, np.eye(3), rng.standard_normal(3))]),
        LinearMap(W, np.eye(3)),
    ):
        for inputs in (Inputs.box(-1, 1), Inputs.ball(0.1)):
            no_worse(model, inputs, effort=1)


def test_a_network_that_does_not_leak_is_the_plain_one():
    W = np.array([[0.9, -1.0], [0.5, -0.9]])
    for inputs in (Inputs.box(-0.2, 0.2), Inputs.ball(2.0)):
        plain, leaky, stacked = (
            contraction(model, inputs=inputs)
            for model in (
                VanillaRNN(W, np.eye(2)),
                EchoStateNetwork(W, np.eye(2)),
                Cascade([VanillaRNN(W, np.eye(2))]),
            )
        )
        assert plain.lam == leaky.lam == stacked.lam
        assert str(plain.domain) == str(leaky.domain) == str(stacked.domain)
    k = required_context(VanillaRNN(W, np.eye(2)), 1e-3, inputs=Inputs.ball(1.0)).k
    assert required_context(EchoStateNetwork(W, np.eye(2)), 1e-3, inputs=Inputs.ball(1.0)).k == k


#: Boxes of inputs, each within the one before it.
NESTED = (Inputs.box(-2, 2), Inputs.box(-0.5, 1), Inputs.box(0, 0.25))


@given(any_maps(size=0.7), st.integers(0, 2**32 - 1))
@settings(max_examples=6)
def test_less_inputs_never_weaken_a_certificate(model, seed):
    rows = np.random.default_rng(seed).uniform(0, 0.25, (4, model.input_dim))
    chain = [contraction(model, effort=0)]
    chain += [contraction(model, inputs=i, effort=0) for i in (*NESTED, Inputs.seen(rows))]
    for wide, near in itertools.pairwise(chain):
        if wide is None:
            continue
        assert near is not None
        assert near.iterate <= wide.iterate
        # the search for weights ends this near to the least rate
        assert near.iterate < wide.iterate or near.lam <= wide.lam * (1 + SLACK)


@given(any_maps(size=0.7))
@settings(max_examples=6)
@example(CHAIN)
def test_a_domain_never_weakens_a_certificate(model):
    for inputs in NESTED[:2]:
        box = invariant_domain(model, inputs=inputs)
        if box is None:
            continue
        by_box, by_inputs = (
            contraction(model, effort=0, **given) for given in ({"domain": box}, {"inputs": inputs})
        )
        everywhere = contraction(model, effort=0)
        for other in (everywhere, by_inputs):
            if other is not None:
                assert by_box is not None
                assert (by_box.iterate, by_box.lam) <= (other.iterate, other.lam)


@given(any_maps(size=0.5), st.integers(0, 2**32 - 1))
@settings(max_examples=6)
def test_less_inputs_never_need_a_longer_context(model, seed):
    rows = np.random.default_rng(seed).uniform(0, 0.25, (4, model.input_dim))
    chain = [
        required_context(model, 1e-2, inputs=i, effort=0) for i in (*NESTED, Inputs.seen(rows))
    ]
    for wide, near in itertools.pairwise(chain):
        if wide is not None:
            assert near is not None
            assert near.k <= wide.k
