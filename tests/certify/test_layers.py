"""Stacks are certified by their layers: hardly slower than the slowest, and checked from a file."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory import (
    LSTM,
    BlockMax,
    CallableMap,
    Cascade,
    DiagonalSSM,
    EchoStateNetwork,
    Inputs,
    LinearMap,
    VanillaRNN,
    contraction,
    required_context,
    truncation_gaps,
)
from theory.certify import invariant_domain
from theory.certify.certificate_file import certificate_from_dict, certificate_to_dict
from theory.certify.layers import layer_gains
from theory.certify.recheck import recheck
from theory.norms import L2
from theory.theorems.contractive_of_layers import ROOM

seeds = st.integers(0, 2**32 - 1)


def scaled(rng, n, size):
    W = rng.standard_normal((n, n))
    return W * (size / np.linalg.norm(W, 2))


def of_torch(rng, n, m=3, layers=2):
    """Return a stack with the weights that torch starts with, uniform in 1 / sqrt(n)."""

    def uniform(*shape):
        return rng.uniform(-1, 1, shape) / np.sqrt(n)

    widths = [m, *[n] * (layers - 1)]
    return Cascade([VanillaRNN(uniform(n, n), uniform(n, seen), uniform(n)) for seen in widths])


def reads_back(cell, c):
    data = certificate_to_dict(cell, c)
    stored = certificate_from_dict(data)
    assert recheck(stored, cell)
    assert stored.rate <= c.lam * (1 + 2.0**-39)
    return data


@pytest.mark.parametrize("n", [8, 32])
def test_the_stack_that_torch_starts_with(n):
    """f09_stack.py: every layer has a certificate, the stack had none."""
    cell = of_torch(np.random.default_rng(n), n)
    layers = [contraction(layer, required=True) for layer in cell.layers]
    found = contraction(cell, required=True)
    assert found.evidence.method == "layers"
    assert found.lam <= max(c.lam for c in layers) * 1.01
    reads_back(cell, found)
    choice = required_context(cell, 1e-2, inputs=Inputs.box(-1, 1))
    gaps = truncation_gaps(
        cell, np.random.default_rng(0).uniform(-1, 1, (150, 3)), k_max=choice.k, norm=L2()
    )
    assert gaps[choice.k] <= choice.error <= 1e-2
    # the bound decides: a rate just above the layers' comes with weights that cost more
    assert choice.considered != ()
    sharp = required_context(
        cell, 1e-2, inputs=Inputs.box(-1, 1), certificates={"layers": found}, effort=0
    )
    assert choice.k <= sharp.k


def test_two_copies_of_one_layer():
    """bug5.py: |W|_2 = 1.15 and a certificate of .9 something, alone and on itself."""
    rng = np.random.default_rng(0)
    layer = VanillaRNN(scaled(rng, 8, 1.15), np.eye(8))
    alone, both = contraction(layer), contraction(Cascade([layer, layer]))
    assert alone.lam < both.lam <= alone.lam * 1.01
    k = required_context(layer, 1e-3, inputs=Inputs.ball(1)).k
    assert k < required_context(Cascade([layer, layer]), 1e-3, inputs=Inputs.ball(1)).k <= 5 * k


def test_linear_and_diagonal_stacks():
    rng = np.random.default_rng(0)
    linear = Cascade(
        [LinearMap(0.5 * np.linalg.qr(rng.standard_normal((16, 16)))[0], np.eye(16))] * 2
    )
    found = contraction(linear)
    assert 0.5 < found.lam <= 0.505
    z = 0.99 * np.exp(1j * rng.uniform(0, 6, 8))
    lru = Cascade(
        [
            DiagonalSSM(z, rng.standard_normal((8, 3))),
            DiagonalSSM(z, rng.standard_normal((8, 16))),
        ]
    )
    found = contraction(lru)
    # less than one per cent above .99 is the middle of the way to 1
    assert found.lam <= 0.99 * (1 + ROOM)
    assert required_context(lru, 1e-3, inputs=Inputs.box(-1, 1)) is not None


def test_layers_on_their_boxes():
    """An upper layer contracts under what the layer below can give, and not under all inputs."""
    rng = np.random.default_rng(3)
    lower = LSTM(0.1 * rng.standard_normal((12, 3)), 0.3 * rng.standard_normal((12, 2)))
    upper = LSTM(0.1 * rng.standard_normal((8, 2)), 0.5 * rng.standard_normal((8, 3)))
    cell, inputs = Cascade([lower, upper]), Inputs.box(-1, 1)
    assert contraction(cell) is None
    box = invariant_domain(cell, inputs=inputs)
    alone = [
        contraction(layer, domain=part)
        for layer, part in zip(cell.layers, cell.layer_domains(box), strict=True)
    ]
    found = contraction(cell, inputs=inputs, method="layers")
    assert max(c.lam for c in alone) <= found.lam <= max(c.lam for c in alone) * 1.01
    assert found.domain is not None
    assert isinstance(found.norm, BlockMax)
    assert found.lam < contraction(cell, inputs=inputs, method="comparison").lam * 1.01
    data = reads_back(cell, found)
    other = Cascade([lower, upper.with_parameters(b=upper.b + 1.0)])
    assert recheck(certificate_from_dict(data), other).failed == "parameters"


def test_stacks_of_stacks_and_of_one():
    rng = np.random.default_rng(1)
    inner = of_torch(rng, 4)
    top = EchoStateNetwork(scaled(rng, 2, 0.3), np.ones((2, 4)), leak=0.5)
    cell = Cascade([inner, top])
    found = contraction(cell, required=True)
    assert isinstance(found.norm.parts[0], BlockMax)
    reads_back(cell, found)
    assert contraction(Cascade([inner.layers[0]])).evidence.method != "layers"
    assert contraction(Cascade([inner])).lam <= contraction(inner).lam * 1.01


def test_what_is_not_certified():
    loud = VanillaRNN([[2.0]], [[1.0]])
    calm = VanillaRNN([[0.5]], [[1.0]])
    for layers in ([loud, calm], [calm, loud]):
        assert contraction(Cascade(layers)) is None
    # of a function of one's own nothing is known
    own = CallableMap(lambda h, x: 0.5 * h + x, state_dim=1, input_dim=1)
    assert contraction(Cascade([calm, own])) is None
    assert layer_gains(Cascade([calm, own]), [L2(), L2()], (None, None)) is None


def test_damaged_files_of_stacks_are_rejected():
    cell = of_torch(np.random.default_rng(0), 4)
    c = contraction(cell, method="layers")
    data = certificate_to_dict(cell, c)
    parts = data["evidence"]["parts"]

    def changed(**evidence):
        return recheck(
            certificate_from_dict({**data, "evidence": {**data["evidence"], **evidence}}), cell
        )

    slower = {**parts[0], "rate": (0.5 * c.evidence.parts[0].lam).hex()}
    assert changed(parts=[slower, parts[1]]).failed == "inequality"
    assert changed(parts=[parts[0]]).failed == "norm"
    assert changed(parts=[{**parts[0], "norm": L2().to_dict()}, parts[1]]).failed == "norm"
    assert changed(parts=[{**parts[0], "iterate": 2}, parts[1]]).failed == "iterate"
    assert changed(parts=[{**parts[0], "rate": (1.0).hex()}, parts[1]]).failed == "rate"
    assert changed(multipliers=[(1.0).hex()]).failed == "iterate"
    lower = {**data, "rate": max(part.lam for part in c.evidence.parts).hex()}
    assert recheck(certificate_from_dict(lower), cell).failed == "inequality"
    equal = {**data["norm"], "weights": [(1.0).hex()] * 2}
    assert recheck(certificate_from_dict({**data, "norm": equal}), cell).failed == "inequality"
    assert recheck(certificate_from_dict({**data, "norm": L2().to_dict()}), cell).failed == "norm"


@settings(max_examples=12)
@given(seeds)
def test_no_pair_of_states_moves_apart_faster(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 4, 3).tolist()
    layers = []
    for n, seen in zip(sizes, [2, *sizes], strict=False):
        made = VanillaRNN(
            scaled(rng, n, 0.7), rng.standard_normal((n, seen)), rng.standard_normal(n)
        )
        if rng.random() < 0.3:
            made = EchoStateNetwork(made.W, made.U, made.b, leak=0.5)
        layers.append(made)
    cell = Cascade(layers)
    found = contraction(cell, method="layers")
    assert found is not None
    h, g = rng.standard_normal((2, 40, cell.state_dim))
    x = rng.standard_normal((40, 2))
    g[:20] = h[:20] + 1e-3 * g[:20]
    before = found.norm.vector(h - g)
    assert (
        found.norm.vector(cell.step(h, x) - cell.step(g, x)) <= found.lam * before + 1e-12
    ).all()
