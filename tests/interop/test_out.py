"""Maps out again: recipes, ONNX graphs and PyTorch modules, against the maps themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from theory import CallableMap, Cascade, LinearHead, LinearMap, truncate
from theory.interop import from_arrays, to_onnx
from theory.interop.program import Numbers
from theory.interop.recipe import step_of
from theory.maps import (
    Block,
    Chain,
    Concatenate,
    DeltaRule,
    Dense,
    LinearAttention,
    Normalize,
    Pointwise,
    Product,
    Read,
    Select,
    Softmax,
    Sum,
    with_head,
)
from theory.strategies import any_maps, block_maps

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
    found["chain of the lstm"] = with_head(
        found["lstm"],
        Chain(
            [
                Dense(draw(4, 3), draw(4)), Pointwise("relu", 4),
                Normalize(draw(4), draw(4), kind="layer"), Pointwise("silu", 4),
                Dense(draw(2, 4), draw(2)), Softmax(2),
            ]
        ),
    )  # fmt: skip
    found["chain of the gru"] = with_head(
        found["gru after"], Chain([Dense(draw(2, 3)), Pointwise("leaky_relu(0.1)", 2)])
    )
    found["chain of the stack"] = with_head(found["stack"], Chain([Pointwise("tanh", 3)]))
    stream = Select(6, stop=8, size=8)
    found["block"] = Block(
        PeepholeLSTM(draw(12, 3), draw(12, 4), draw(12), draw(9)),
        before=Concatenate([Normalize(draw(2), eps=1e-3), Dense(draw(2, 2))]),
        after=Sum([stream, Product([Dense(draw(2, 8)), Chain([stream, Pointwise("tanh", 2)])])]),
    )
    found["stack of blocks"] = Cascade(
        [found["block"], Block(found["mingru"], before=Dense(draw(2, 2), draw(2)))]
    )
    return found


EVERY = every()
K, T = 4, 7


def strange(recurrent):
    if isinstance(recurrent, Cascade):
        return any(map(strange, recurrent.layers))
    core = recurrent.core if isinstance(recurrent, Block) else recurrent
    return isinstance(core, (CallableMap, LinearAttention, DeltaRule))


@given(any_maps() | block_maps())
def test_recipes_are_the_steps(recurrent):
    if strange(recurrent):
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


#: A chain of what the lstm shows, and the same in PyTorch.
CHAIN = Chain([Dense(draw(4, 3), draw(4)), Pointwise("sigmoid", 4), Dense(draw(2, 4), draw(2))])


@pytest.mark.parametrize("form", ["window", "sequence"])
@pytest.mark.parametrize("single", [False, True])
def test_a_chain_of_layers_is_a_head(form, single, tmp_path):
    """Of windows and of sequences shorter than k, too: the chain sees the last state alone."""
    runtime()
    dtype, slack = (np.float32, 1e-6) if single else (np.float64, 1e-12)
    X = np.random.default_rng(1).standard_normal((T, 2)).astype(dtype)
    block = with_head(EVERY["lstm"], CHAIN)
    expected = truncate(block, K)(X) @ block.output_map.T
    graphs = {
        "head": (EVERY["lstm"], CHAIN),
        "map": (block, block.output_map),
    }
    for name, (recurrent, head) in graphs.items():
        path = tmp_path / f"{name}.onnx"
        to_onnx(recurrent, path, k=K, form=form, head=head, single=single)
        if form == "window":
            found = run(path, np.stack([X[t - K + 1 : t + 1] for t in range(K, T)]))
            assert np.max(np.abs(found - expected[K:])) <= slack
        else:
            assert np.max(np.abs(run(path, X) - expected)) <= slack
    # the chain is not written out k times
    import onnx

    counts = [
        sum(node.op_type == "Sigmoid" for node in onnx.load(tmp_path / f"{name}.onnx").graph.node)
        for name in graphs
    ]
    assert counts == [3 * K + 1] * 2


def test_gelu_has_no_graph_in_double_precision(tmp_path):
    runtime()
    path, head = tmp_path / "m.onnx", Chain([Dense(draw(4, 3)), Pointwise("gelu", 4)])
    with pytest.raises(ValueError, match="gelu is written in single precision only"):
        to_onnx(EVERY["gru after"], path, k=2, head=head)
    assert not path.exists()
    to_onnx(EVERY["gru after"], path, k=2, head=head, single=True)
    X = draw(5, 2, 2).astype(np.float32)
    block = with_head(EVERY["gru after"], head)
    expected = np.stack([truncate(block, 2)(one)[-1] for one in X]) @ block.output_map.T
    assert np.max(np.abs(run(path, X) - expected)) < 1e-6


def test_functions_without_a_counterpart_are_named(tmp_path):
    pytest.importorskip("onnx", reason="onnx is not installed (extra: onnx)")
    read = Chain([Dense(draw(6, 3)), Read(1, keys=2, values=2)])
    named = r"Read\(6 -> 2\) is written for no other program, needed one of: Dense, Select, "
    for recurrent, head in (
        (EVERY["gru after"], read),
        (with_head(EVERY["gru after"], read), None),
        (Cascade([with_head(EVERY["gru after"], read)]), None),
    ):
        with pytest.raises(ValueError, match=named):
            to_onnx(recurrent, tmp_path / "m.onnx", k=2, head=head)
    assert not list(tmp_path.iterdir())


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
    large = LinearMap([[1e300]], [[1.0]])
    with pytest.raises(ValueError, match=r"W holds 1e\+300, more than single precision does"):
        to_onnx(large, tmp_path / "m.onnx", k=1, single=True)
    with pytest.raises(ValueError, match=r"the head or the restart holds 1e\+39"):
        to_onnx(EVERY["linear"], tmp_path / "m.onnx", k=1, head=1e39 * np.eye(3), single=True)
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


def test_a_chain_of_layers_in_a_module():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra: torch)")
    from theory.torch import to_torch

    nn = torch.nn
    torch.manual_seed(0)
    own = nn.Sequential(
        nn.Linear(3, 4),
        nn.GELU(),
        nn.LayerNorm(4),
        nn.Dropout(0.5),
        nn.Softmax(-1),
        nn.Linear(4, 2),
        nn.Tanh(),
    ).double()
    own.eval()
    X = RNG.standard_normal((2, T, 2))
    given = torch.from_numpy(X)
    block = with_head(EVERY["lstm"], own)
    shown = [EVERY["lstm"].simulate(X), truncate(EVERY["lstm"], K)(X)]
    for k, states in zip((None, K), shown, strict=True):
        expected = own(torch.from_numpy(states[..., 3:])).detach().numpy()
        for recurrent, head in ((EVERY["lstm"], own), (block, block.output_map)):
            found = to_torch(recurrent, k=k, head=head)(given).detach().numpy()
            assert np.max(np.abs(found - expected)) < 1e-12
    module = to_torch(EVERY["lstm"], k=K, head=own)
    assert "head.1_W" in dict(module.named_parameters())
    module(given).square().sum().backward()
    assert all(p.grad is not None for p in module.parameters())
    assert module.float()(given.float()).dtype == torch.float32
    read = Chain([Dense(draw(6, 3)), Read(1, keys=2, values=2)])
    with pytest.raises(ValueError, match=r"Read\(6 -> 2\) is written for no other program"):
        to_torch(EVERY["gru after"], head=read)


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
