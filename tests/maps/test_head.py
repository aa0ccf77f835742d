"""Output layers as users have them: one function reads them, and all that take a head take them."""

import importlib
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from theory import (
    LSTM,
    Cascade,
    DiagonalSSM,
    Inputs,
    LinearHead,
    LinearMap,
    VanillaRNN,
    contraction,
    effective_memory,
    experiment,
    required_context,
    truncate,
)
from theory.learning import (
    input_gradients,
    prediction_gaps,
    projected_gradient_descent,
    recurrent_gradient,
    training_data,
)
from theory.maps import as_head
from theory.memory import kernel_tail, smallest_error, worst_case_error

rng = np.random.default_rng(0)
CELL = LSTM(0.1 * rng.standard_normal((12, 3)), rng.standard_normal((12, 2)))
C, d = rng.standard_normal((2, 3)), rng.standard_normal(2)
WIDE = np.hstack([np.zeros((2, 3)), C])  # of (c, h)


def made(module, name, **fields):
    """Return an object of a class of another program, as far as it is looked at."""
    kind = type(name, (), {"__module__": module})
    one = kind()
    vars(one).update(fields)
    return one


def function(module, name):
    return made(module, "function", __name__=name)


def linear(**fields):
    rho = function("keras.src.activations", "linear")
    known = {"activation": rho, "lora_enabled": False, "quantization_mode": None}
    known["get_weights"] = lambda: [C.T.astype(np.float32), d.astype(np.float32)]
    return made("keras.src.layers.core.dense", "Dense", **known | fields)


def ridge(**fields):
    return made("reservoirpy.nodes.ridge", "Ridge", **{"Wout": C.T, "bias": d[None]} | fields)


SAME = {
    "head": LinearHead(C, d),
    "wide head": LinearHead(WIDE, d),
    "array": C,
    "wide array": WIDE,
    "nested lists": C.tolist(),
    "float32": C.astype(np.float32),
    "Dense": linear(),
    "Dense without bias": linear(get_weights=lambda: [C.T]),
    "Ridge": ridge(),
    "RLS": made("reservoirpy.nodes.rls", "RLS", Wout=C.T, bias=d),
}


@pytest.mark.parametrize("name", SAME)
def test_every_kind_gives_the_head_of_the_whole_state(name):
    head = as_head(CELL, SAME[name])
    exact = name not in {"float32", "Dense"}
    assert head.C.shape == (2, 6)
    assert np.array_equal(head.C, WIDE if exact else WIDE.astype(np.float32))
    constant = np.zeros(2) if "array" in name or name in {"nested lists", "float32"} else d
    constant = np.zeros(2) if name == "Dense without bias" else constant
    assert head.d == pytest.approx(constant, rel=1e-7)


def test_a_head_of_the_last_layer_of_a_stack():
    top = LinearMap([[0.5]], np.ones((1, 2)))
    stack = Cascade([VanillaRNN(0.5 * np.eye(2), np.eye(2)), top])
    assert as_head(stack, [[3.0]]).C.tolist() == [[0.0, 0.0, 3.0]]
    assert as_head(stack, [[1.0, 2.0, 3.0]]).C.tolist() == [[1.0, 2.0, 3.0]]
    # between layers, too
    between = Cascade([CELL, top], [linear(get_weights=lambda: [C.T, d])])
    assert np.array_equal(between.readouts[0].C, WIDE)
    assert np.array_equal(between.readouts[0].d, d)


def test_all_that_take_a_head_take_what_a_user_has():
    X = rng.uniform(-1, 1, (30, 12, 2))
    states = CELL.simulate(X)
    outputs = states @ WIDE.T + d
    assert np.allclose(truncate(CELL, 12, head=ridge())(X), outputs)
    assert np.allclose(truncate(CELL, 12, head=C)(X), outputs - d)
    known = {"eps": 0.3, "probability": 0.2, "confidence": 0.9}
    heads = (LinearHead(WIDE), C, ridge())
    memories = [effective_memory(CELL, X, head=head, **known) for head in heads]
    assert np.array_equal(memories[0].errors, memories[1].errors)
    assert np.array_equal(memories[0].errors, memories[2].errors)
    small = LSTM(0.1 * CELL.parameters["W"], CELL.parameters["U"])
    ask = {"inputs": Inputs.box(-1, 1)}
    answers = [required_context(small, 1e-3, head=head, **ask) for head in heads]
    assert len({one.k for one in answers}) == 1
    k = answers[0].k
    assert len({smallest_error(small, k, head=head, **ask).error for head in (C, ridge())}) == 1
    # what was proved for one of them answers the question about another
    given = required_context(small, 1e-3, head=ridge(), **ask)
    assert effective_memory(small, X, head=C, certificate=given, **known).certified is not None
    layer = DiagonalSSM([0.5, 0.25j], [[1.0], [2.0]])
    B = rng.standard_normal((2, 4))
    heads = (LinearHead(B), B, ridge(Wout=B.T))
    tails = [kernel_tail(layer, head, k=3, **ask).upper for head in heads]
    worst = [worst_case_error(layer, 3, head=head, **ask).upper for head in heads]
    for found in (tails, worst):
        assert np.array_equal(found[0], found[1])
        assert np.array_equal(found[0], found[2])
    one = LinearMap([[0.5]], [[1.0]])
    made_of = experiment(one, [[1.0], [0.0]], contraction=contraction(one), head=[[3.0]])
    assert made_of.head.C.tolist() == [[3.0]]


def test_learning_takes_them_and_keeps_their_width():
    data = training_data(rng.uniform(-1, 1, (3, 5, 2)), rng.uniform(-1, 1, (3, 5, 2)))
    grads = [recurrent_gradient(CELL, head, data) for head in (LinearHead(C, d), ridge())]
    assert grads[0].loss == grads[1].loss
    assert grads[1].head["C"].shape == C.shape
    rows = [input_gradients(CELL, head, data) for head in (LinearHead(C, d), ridge())]
    assert np.array_equal(rows[0], rows[1])
    gaps = [prediction_gaps(CELL, head, CELL, head, X=data.inputs, k=2) for head in (C, ridge())]
    assert np.allclose(gaps[0], gaps[1], atol=1e-14)
    ends = [
        projected_gradient_descent(CELL, head, data, steps=2, alpha=0.1, train_head=True)
        for head in (LinearHead(C, d), ridge())
    ]
    assert np.array_equal(ends[0].head.C, ends[1].head.C)
    with pytest.raises(ValueError, match=r"needed \(p, 6\) for the whole state or \(p, 3\)"):
        recurrent_gradient(CELL, np.ones((2, 4)), data)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (np.ones((2, 4)), r"C of shape \(2, 4\), needed \(p, 6\) for the whole state or \(p, 3\)"),
        (LinearHead(np.ones((2, 4))), r"needed \(p, 6\) for the whole state or \(p, 3\)"),
        (np.ones(3), r"shape \(3,\), needed \(p, 6\)"),
        (np.ones((2, 3), dtype=complex), "complex"),
        (np.full((2, 3), np.nan), "needed finite numbers"),
        ("head", "needed real numbers"),
        (linear(activation=function("keras.src.activations", "relu")), "activation relu"),
        (linear(activation=function("mine", "linear")), "activation linear"),
        (linear(lora_enabled=True), "LoRA"),
        (linear(get_weights=list), "has no weights yet"),
        (made("keras.src.layers.core.einsum_dense", "EinsumDense"), "needed a Keras Dense"),
        (ridge(Wout=None), "fit it first"),
        (ridge(Wout=np.ones((5, 2))), r"C of shape \(2, 5\)"),
        (made("reservoirpy.model", "Model"), "pass its readout node"),
        (made("reservoirpy.nodes.reservoir", "Reservoir"), "needed one of: Ridge, RLS, LMS"),
    ],
)  # fmt: skip
def test_what_is_no_head_is_refused(head, message):
    with pytest.raises(ValueError, match=message):
        as_head(CELL, head)


def test_a_class_derived_from_one_of_theirs_is_refused():
    base = type(linear())
    own = type("Mine", (base,), {"__module__": "mine"})()
    vars(own).update(vars(linear()))
    with pytest.raises(ValueError, match="is a Mine, needed a Keras Dense"):
        as_head(CELL, own)


def test_no_other_program_is_imported_for_an_array(monkeypatch):
    for name in ("torch", "keras", "reservoirpy"):
        monkeypatch.setitem(sys.modules, name, None)
    assert as_head(CELL, C).C.shape == (2, 6)
    assert as_head(CELL, SimpleNamespace(__array__=lambda *_, **__: C)).C.shape == (2, 6)
    assert isinstance(sys.modules["numpy"], ModuleType)


# PyTorch ------------------------------------------------------------------------------------------


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="torch is not installed")


def layer(torch, **options):
    return torch.nn.Linear(3, 2, **{"dtype": torch.float64} | options)


def test_layers_and_tensors_of_torch(torch):
    one = layer(torch)
    weight, bias = one.weight.detach().numpy(), one.bias.detach().numpy()
    head = as_head(CELL, one)
    assert np.array_equal(head.C[:, 3:], weight)
    assert np.array_equal(head.d, bias)
    H = rng.standard_normal((4, 6))
    with torch.no_grad():
        forward = one(torch.tensor(H[:, 3:])).numpy()
    assert np.allclose(head(H), forward, atol=1e-14)
    assert np.array_equal(as_head(CELL, layer(torch, bias=False)).d, np.zeros(2))
    # a tensor with a gradient, of few bits, or sparse
    for tensor in (one.weight, one.weight.bfloat16(), one.weight.to_sparse()):
        expected = tensor.detach().to_dense().double().numpy()
        assert np.array_equal(as_head(CELL, tensor).C[:, 3:], expected)
    assert np.array_equal(truncate(CELL, 2, head=one).head.C, head.C)


def test_layers_of_torch_that_compute_something_else(torch):
    nn = torch.nn
    prune = importlib.import_module("torch.nn.utils.prune")

    def hooked(one):
        one.register_forward_hook(lambda *_: None)
        return one

    def replaced(one):
        one.forward = lambda x: 2 * x
        return one

    def plain(one):
        weight = one.weight.detach()
        del one.weight
        one.weight = weight
        return one

    class Own(nn.Linear):
        def forward(self, x):
            return super().forward(x) ** 2

    cases = [
        (nn.utils.parametrizations.spectral_norm(layer(torch)), "forward pass is its own"),
        (prune.l1_unstructured(layer(torch), "weight", 1), "hook"),
        (hooked(layer(torch)), "has the hook"),
        (replaced(layer(torch)), "forward pass was replaced"),
        (plain(layer(torch)), "no plain parameter"),
        (Own(3, 2), "is a Own, needed a torch.nn.Linear"),
        (nn.Sequential(nn.Linear(3, 2), nn.ReLU()), r"with_head\(recurrent, head\).* holds, 0"),
        (nn.LSTM(2, 3), "needed a torch.nn.Linear"),
        (nn.LazyLinear(2), "needed a torch.nn.Linear|no plain parameter"),
        (layer(torch, device="meta"), "no plain numbers"),
        (nn.Linear(4, 2), r"needed \(p, 6\) for the whole state or \(p, 3\)"),
    ]
    for one, message in cases:
        with pytest.raises(ValueError, match=message):
            as_head(CELL, one)
