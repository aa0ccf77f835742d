"""To know more is never to claim less: what holds everywhere holds under given inputs, too."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from theory import (
    Cascade,
    EchoStateNetwork,
    Inputs,
    LinearMap,
    VanillaRNN,
    contraction,
    required_context,
)
from theory.strategies import any_maps

INPUTS = st.sampled_from([Inputs.box(-1, 1), Inputs.ball(0.3), Inputs.box(0, 50), Inputs.box(0, 0)])


def no_worse(model, inputs, effort=0):
    wide, near = contraction(model, effort=effort), contraction(model, inputs=inputs, effort=effort)
    if wide is None:
        return
    assert near is not None, f"{wide} everywhere, and nothing for {inputs}"
    # rates of other methods are not compared: that of fewer steps is more
    assert (near.iterate, near.lam) <= (wide.iterate, wide.lam)


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
