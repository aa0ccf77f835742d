"""Maps out again: recipes, ONNX graphs and PyTorch modules, against the maps themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from theory import CallableMap, Cascade, LinearHead, LinearMap, truncate
from theory.interop import from_arrays, to_onnx
from theory.interop.recipe import Numbers, step_of
from theory.maps import Block, DeltaRule, LinearAttention
from theory.strategies import any_maps

RNG = np.random.default_rng(0)


def draw(*shape, scale=0.4):
    return scale * RNG.standard_normal(shape)


def every():
    """Return one map of every kind, of moderate size."""
    from theory import (
        GRU,
        LSTM,
        RGLRU,
        SLSTM,
        DiagonalSSM,
        EchoStateNetwork,
        HardGRU,
        MinGRU,
        PeepholeLSTM,
        SelectiveSSM,
        VanillaRNN,
    )

    rho = ["tanh", "relu", "leaky_relu(0.2)", "sigmoid", "softplus", "hard_tanh", "sin"]
    found = {f"rnn {r}": VanillaRNN(draw(3, 3), draw(3, 2), draw(3), r) for r in rho}
    found |= {
        "linear": LinearMap(draw(3, 3), draw(3, 2), draw(3)),
        "leaky": EchoStateNetwork(draw(3, 3), draw(3, 2), draw(3), leak=[0.2, 0.5, 1.0]),
        "lstm": LSTM(draw(12, 3), draw(12, 2), draw(12)),
        "peephole": PeepholeLSTM(draw(12, 3), draw(12, 2), draw(12), draw(9)),
        "hard": PeepholeLSTM(draw(12, 3), draw(12, 2), gates="hard_sigmoid(0.2)"),
        "gru after": GRU(draw(9, 3), draw(9, 2), draw(9), draw(3)),
        "gru before": GRU(draw(9, 3), draw(9, 2), draw(9), variant="reset_before"),
        "slstm": SLSTM(draw(12, 3), draw(12, 2), draw(12)),
        "hard gru": HardGRU(draw(9, 3), draw(9, 2), draw(9), draw(3)),
        "mingru": MinGRU(draw(6, 2), draw(6), activation="tanh"),
        "rglru": RGLRU(draw(6, 3), draw(3), draw(6)),
        "euler": SelectiveSSM(np.exp(draw(2, 3)), draw(2, 2), draw(3, 2), draw(2), draw(3)),
        "zoh": SelectiveSSM(
            np.exp(draw(2, 3)), draw(2, 2), draw(3, 2), draw(2), draw(3), discretization="zoh"
        ),
        "diagonal": DiagonalSSM([0.5 + 0.3j, -0.2j], draw(2, 2) + 1j * draw(2, 2)),
    }
    found["stack"] = Cascade(
        [found["lstm"], LinearMap(draw(2, 2), draw(2, 3)), found["gru after"]],
        [None, LinearHead(draw(2, 2), draw(2))],
    )
    return found


EVERY = every()
K, T = 4, 7


@given(any_maps())
def test_recipes_are_the_steps(recurrent):
    layers = recurrent.layers if isinstance(recurrent, Cascade) else [recurrent]
    if any(isinstance(one, (CallableMap, LinearAttention, DeltaRule, Block)) for one in layers):
        with pytest.raises(ValueError, match="written for no other program"):
            step_of(Numbers(), recurrent, {}, None, None)
        return
    rng = np.random.default_rng(0)
    h, x = (
        rng.standard_normal((5, recurrent.state_dim)),
        rng.standard_normal((5, recurrent.input_dim)),
    )
    with np.errstate(all="ignore"):
        own = recurrent.step(h, x)
        other = step_of(Numbers(), recurrent, recurrent.parameters, h, x)
    size = 1 + np.max(np.abs(own))
    assert not np.isfinite(size) or np.max(np.abs(own - other)) <= 1e-9 * size


def runtime():
    pytest.importorskip("onnx", reason="onnx is not installed (extra: onnx)")
    return pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


def run(path, X):
    session = runtime().InferenceSession(str(path))
    return session.run(["Y"], {"X": X})[0]


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(("dtype", "slack"), [(np.float64, 1e-12), (np.float32, 1e-6)])
@pytest.mark.parametrize("form", ["window", "sequence"])
def test_graphs_are_the_truncated_models(name, dtype, slack, form, tmp_path):
    runtime()
    recurrent = EVERY[name]
    rng = np.random.default_rng(1)
    head = LinearHead(rng.standard_normal((2, recurrent.state_dim)), [0.1, -0.2])
    restart = 0.3 * rng.standard_normal(recurrent.state_dim)
    X = rng.standard_normal((T, recurrent.input_dim)).astype(dtype)
    model = truncate(recurrent, K, head=head, restart=restart)
    expected = model(X)
    path = tmp_path / "m.onnx"
    single = dtype is np.float32
    to_onnx(recurrent, path, k=K, form=form, head=head, restart=restart, single=single)
    if form == "window":
        windows = np.stack([X[t - K + 1 : t + 1] for t in range(K, T)])
        found, expected = run(path, windows), expected[K:]
    else:
        found = run(path, X)
    # single precision: weights and K steps are rounded to 6e-8
    size = 1 + np.max(np.abs(expected))
    assert found.dtype == dtype
    assert np.max(np.abs(found - expected)) <= slack * size


def test_what_to_onnx_refuses(tmp_path):
    pytest.importorskip("onnx", reason="onnx is not installed (extra: onnx)")
    mine = CallableMap(lambda h, x: h + x, state_dim=1, input_dim=1)
    for arguments, message in (
        ((mine, tmp_path / "m.onnx"), "written for no other program"),
        ((EVERY["lstm"], tmp_path / "m.txt"), "needed .onnx"),
    ):
        with pytest.raises(ValueError, match=message):
            to_onnx(*arguments, k=2)
    with pytest.raises(ValueError, match="needed one of: window, sequence"):
        to_onnx(EVERY["lstm"], tmp_path / "m.onnx", k=2, form="loop")
    with pytest.raises(ValueError, match="k=0"):
        to_onnx(EVERY["lstm"], tmp_path / "m.onnx", k=0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", EVERY)
def test_modules_are_the_models(name):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra: torch)")
    from theory.torch import to_torch

    recurrent = EVERY[name]
    rng = np.random.default_rng(1)
    X = rng.standard_normal((2, T, recurrent.input_dim))
    given = torch.from_numpy(X)
    restart = 0.3 * rng.standard_normal(recurrent.state_dim)
    head = LinearHead(rng.standard_normal((2, recurrent.state_dim)), [0.1, -0.2])
    whole = to_torch(recurrent)(given)
    assert np.max(np.abs(whole.detach().numpy() - recurrent.simulate(X))) < 1e-12
    for k in (0, 1, K, T, T + 3):
        module = to_torch(recurrent, k=k, head=head, restart=restart)
        expected = truncate(recurrent, k, head=head, restart=restart)(X)
        assert np.max(np.abs(module(given).detach().numpy() - expected)) < 1e-12
    module = to_torch(recurrent, k=K)
    module(given).square().sum().backward()
    # the other GRU has no bias inside of its reset gate
    without = {"b_candidate"} if name == "gru before" else set()
    missing = {key for key, p in module.named_parameters() if p.grad is None}
    assert missing == without
    assert module.float()(given.float()).dtype == torch.float32


def test_weights_come_back_from_a_module():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra: torch)")
    from theory.torch import to_torch

    recurrent = EVERY["gru after"]
    state = to_torch(recurrent).state_dict()
    again = from_arrays(state, unused="restart", variant="reset_after")
    assert all(
        np.array_equal(again.parameters[k], recurrent.parameters[k]) for k in recurrent.parameters
    )
    with pytest.raises(ValueError, match=r"X has shape \(3, 5\), needed \(T, 2\)"):
        to_torch(recurrent)(torch.ones(3, 5))
