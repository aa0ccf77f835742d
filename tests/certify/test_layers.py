"""Stacks are certified by their layers: hardly slower than the slowest, and checked from a file."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from theory import (
    GRU,
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
from theory.certify import (
    find_certificates,
    interface,
    invariant_domain,
    judge_contraction,
    load_certificate,
    reached_domain,
)
from theory.certify.certificate_file import certificate_from_dict, certificate_to_dict
from theory.certify.layers import layer_gains
from theory.certify.recheck import recheck
from theory.cli.main import app
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


def gated_of_torch(rng, kind, n, scale, m=3):
    """Return two layers of LSTM or GRU with the weights that torch starts with, times a scale."""

    def uniform(*shape):
        return scale * rng.uniform(-1, 1, shape) / np.sqrt(n)

    rows = {LSTM: 4 * n, GRU: 3 * n}[kind]
    return Cascade([kind(uniform(rows, n), uniform(rows, k), uniform(rows)) for k in (m, n)])


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


def alone(cell, domain, effort):
    """Return the best certificate of each layer on its part of a domain; None of one is no list."""
    if domain is None:
        return None
    parts = zip(cell.layers, cell.layer_domains(domain), strict=True)
    found = [contraction(layer, domain=part, effort=effort) for layer, part in parts]
    return None if None in found else found


@pytest.mark.parametrize(("kind", "n", "effort"), [(LSTM, 4, 1), (GRU, 4, 1), (GRU, 2, 2)])
@pytest.mark.parametrize("scale", [1.0, 0.55, 0.3])
def test_gated_stacks_of_torch_are_certified_iff_their_layers_are(kind, n, effort, scale):
    """No layer of four units is at the weights that torch starts with, at half of them all are."""
    cell, unit = gated_of_torch(np.random.default_rng(7), kind, n, scale), Inputs.box(-1, 1)
    of_box = alone(cell, invariant_domain(cell, inputs=unit), effort)
    asked = effort == 2 or of_box is None
    of_zero = alone(cell, reached_domain(cell, inputs=unit), effort) if asked else None
    known = [max(c.lam for c in layers) for layers in (of_box, of_zero) if layers is not None]
    found = contraction(cell, inputs=unit, effort=effort)
    assert (found is None) == (not known)
    if n == 4:
        assert (found is None) == (scale == 1)
    if found is not None:
        assert found.lam <= min(known) * 1.01
        reads_back(cell, found)


def test_the_command_says_the_same_of_a_file_of_two_layers(tmp_path):
    cell, path, out = (
        gated_of_torch(np.random.default_rng(7), LSTM, 3, 0.3), tmp_path / "w.npz", tmp_path / "c"
    )  # fmt: skip
    arrays = {}
    for number, layer in enumerate(cell.layers):
        named = zip(("weight_hh", "weight_ih", "bias_ih"), (layer.W, layer.U, layer.b), strict=True)
        arrays |= {f"{name}_l{number}": value for name, value in named}
        arrays[f"bias_hh_l{number}"] = np.zeros_like(layer.b)
    np.savez(path, **arrays)
    words = ["certify", str(path), "--inputs", "box:-1,1", "--json", str(out)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    stored = load_certificate(out)
    assert stored.method == "layers"
    assert stored.rate == pytest.approx(contraction(cell, inputs=Inputs.box(-1, 1)).lam, rel=1e-9)
    assert CliRunner().invoke(app, ["check", str(out), str(path)]).exit_code == 0


def test_the_largest_layer_says_whether_it_is_asked_what_is_reached(monkeypatch):
    cell, unit = gated_of_torch(np.random.default_rng(7), LSTM, 4, 0.55), Inputs.box(-1, 1)
    monkeypatch.setattr(interface, "FROM_ZERO", (0, 7))
    assert contraction(cell, inputs=unit) is None
    monkeypatch.setattr(interface, "FROM_ZERO", (0, 8))
    assert contraction(cell, inputs=unit).domain.reached is not None


def unbounded(name, rng, m):
    """Return a layer that contracts and leaves every box."""
    W = 0.9 * np.linalg.qr(rng.standard_normal((3, 3)))[0]
    U = 0.1 * rng.standard_normal((3, m))
    if name == "modes":
        return DiagonalSSM(0.9 * np.exp(1j * np.array([0.8, 2.0, 3.0])), U)
    return LinearMap(W, U) if name == "linear" else VanillaRNN(W, U, None, "relu")


@pytest.mark.parametrize("name", ["linear", "modes", "relu"])
@pytest.mark.parametrize("first", [False, True])
def test_layers_that_leave_every_box_stay_in_a_ball(name, first):
    """Both layers are certified; there is no box of both that the stack never leaves."""
    rng = np.random.default_rng(1)
    wild = unbounded(name, rng, 2)
    seen = len(wild.output_map) if first else 2
    gated = GRU(0.1 * rng.standard_normal((9, 3)), 0.1 * rng.standard_normal((9, seen)))
    layers = [wild, gated] if first else [gated, unbounded(name, rng, 3)]
    cell, unit = Cascade(layers), Inputs.ball(1)
    assert invariant_domain(cell, inputs=unit) is None
    found = contraction(cell, inputs=unit, required=True)
    assert found.lam <= max(c.lam for c in found.evidence.parts) * 1.01
    assert judge_contraction(cell, inputs=unit).contraction.lam == found.lam
    assert find_certificates(cell, unit).best.lam == found.lam
    # what is reached is in the box around the ball
    X = rng.standard_normal((100, 40, 2))
    H = cell.simulate(X / np.linalg.norm(X, axis=-1, keepdims=True))
    assert (np.abs(H) <= found.domain.high).all()
    choice = required_context(cell, 1e-2, inputs=unit)
    gaps = truncation_gaps(cell, X[0] / np.linalg.norm(X[0], axis=-1)[:, None], k_max=40, norm=L2())
    assert gaps[min(choice.k, 40)] <= 1e-2
    data = reads_back(cell, found)
    ball = data["domain"]["reached"]["parts"][0 if first else 1]

    def changed(**entries):
        wrong = copy.deepcopy(data)
        part = wrong["domain"]["reached"]["parts"][0 if first else 1]
        part.update(entries)
        return recheck(certificate_from_dict(wrong), cell)

    smaller = [(0.9 * float.fromhex(x)).hex() for x in ball["high"]]
    assert changed(high=smaller).failed == "invariance"
    wider = [(1.1 * float.fromhex(x)).hex() for x in ball["input_high"]]
    assert changed(input_high=wider).failed == "invariance"
    assert changed(reached={**ball["reached"], "ball": "L1"}).failed in {"invariance", None}
    assert changed(reached={**ball["reached"], "ball": "L3"}).failed == "invariance"


def test_a_layer_that_does_not_contract_has_no_ball():
    rng = np.random.default_rng(1)
    gated, turn = (
        GRU(0.1 * rng.standard_normal((9, 3)), np.ones((9, 2))),
        unbounded("linear", rng, 3),
    )
    for factor, known in ((1.1, True), (1.2, False)):
        cell = Cascade([gated, turn.with_parameters(W=factor * turn.W)])
        assert (reached_domain(cell, inputs=Inputs.box(-1, 1)) is not None) == known
    assert reached_domain(cell, inputs=Inputs.box(-np.inf, np.inf)) is None


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
