"""Programs and layouts: each is the map of its forward pass, or refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layouts import gru_outputs, lstm_outputs, rnn_outputs, same

from theory import GRU, LSTM, EchoStateNetwork, LinearMap, VanillaRNN
from theory.interop import from_arrays, from_npz, from_torch, named_head, read_head

GATED = {"activation": "tanh", "recurrent_activation": "sigmoid"}
TANH = {"activation": "tanh"}


class Case(NamedTuple):
    """Arrays of a program, what is said beside them, and its forward pass."""

    arrays: dict[str, Any]
    told: dict[str, Any]
    forward: Callable[[np.ndarray], np.ndarray]


class Draw:
    """Weights of some size, the same for every layout of a seed."""

    def __init__(self, n: int, m: int, seed: int) -> None:
        self.n, self.m, self.rng = n, m, np.random.default_rng(seed)

    def __call__(self, *shape: int) -> np.ndarray:
        return self.rng.normal(size=shape) / 2

    def cell(self, gates: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        rows = gates * self.n
        return self(rows, self.m), self(rows, self.n), self(rows), self(rows)


def torch_named(parts, prefix="", end="_l0"):
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    return {f"{prefix}{name}{end}": part for name, part in zip(names, parts, strict=True)}


def torch_lstm(d, prefix="", **more):
    Wx, Wh, bx, bh = parts = d.cell(4)
    return Case(torch_named(parts, prefix) | more, {}, lambda X: lstm_outputs(X, Wx, Wh, bx + bh))


def torch_gru(d, end="_l0"):
    parts = d.cell(3)
    return Case(torch_named(parts, end=end), {}, lambda X: gru_outputs(X, *parts))


def torch_rnn(d, told):
    Wx, Wh, bx, bh = parts = d.cell(1)
    rho = {"relu": lambda a: np.maximum(a, 0)}.get(told.get("activation"), np.tanh)
    return Case(torch_named(parts), told, lambda X: rnn_outputs(X, Wx, Wh, bx + bh, rho))


def torch_layers(d):
    low, high = d.cell(4), (d(4 * d.n, d.n), *d.cell(4)[1:])
    arrays = torch_named(low) | torch_named(high, end="_l1")

    def forward(X):
        for Wx, Wh, bx, bh in (low, high):
            X = lstm_outputs(X, Wx, Wh, bx + bh)
        return X

    return Case(arrays, {}, forward)


def equinox_lstm(d, *, renamed):
    Wx, Wh, b, _ = d.cell(4)
    bias = {"bias_ih": b, "bias_hh": 0 * b} if renamed else {"bias": b}
    arrays = {"weight_ih": Wx, "weight_hh": Wh, **bias}
    return Case(arrays, {}, lambda X: lstm_outputs(X, Wx, Wh, b))


def equinox_gru(d, *, renamed):
    Wx, Wh, b, _ = d.cell(3)
    inner = np.concatenate([np.zeros(2 * d.n), d(d.n)])
    bias = {"bias_ih": b, "bias_hh": inner} if renamed else {"bias": b, "bias_n": inner[2 * d.n :]}
    arrays = {"weight_ih": Wx, "weight_hh": Wh, **bias}
    return Case(arrays, {}, lambda X: gru_outputs(X, Wx, Wh, b, inner))


def keras_lstm(d, told, order="ifgo", **more):
    """Keras has the blocks i, f, c, o; haste, under the same names, i, g, f, o."""
    Wx, Wh, b, _ = d.cell(4)
    arrays = {"rnn.kernel": Wx.T, "rnn.recurrent_kernel": Wh.T, "rnn.bias": b}
    return Case(arrays | more, told, lambda X: lstm_outputs(X, Wx, Wh, b, order))


def keras_gru(d, told, *, after=True, biased=True, **more):
    Wx, Wh, bx, bh = d.cell(3)
    bx, bh = biased * bx, (biased and after) * bh
    arrays = {"gru/kernel:0": Wx.T, "gru/recurrent_kernel:0": Wh.T}
    if biased:
        arrays["gru/bias:0"] = np.stack([bx, bh]) if after else bx
    return Case(arrays | more, told, lambda X: gru_outputs(X, Wx, Wh, bx, bh, "zrn", after))


def keras_rnn(d, told):
    Wx, Wh, b, _ = d.cell(1)
    rho = {"linear": lambda a: a, "leaky_relu": lambda a: np.where(a < 0, 0.2 * a, a)}
    rho = rho.get(told.get("activation"), np.tanh)
    arrays = {"kernel": Wx.T, "recurrent_kernel": Wh.T, "bias": b}
    return Case(arrays, told, lambda X: rnn_outputs(X, Wx, Wh, b, rho))


def own_plain(d, told, W="W", U="U", leak=None, **more):
    Wx, Wh, b, _ = d.cell(1)
    arrays = {W: Wh, U: Wx, "b": b} | ({} if leak is None else {"leak": leak})
    return Case(
        arrays | more, told, lambda X: rnn_outputs(X, Wx, Wh, b, leak=1.0 if leak is None else leak)
    )


def own_gru(d, told, inner):
    Wx, Wh, b, c = d.cell(3)
    c = np.concatenate([np.zeros(2 * d.n), inner * c[: d.n]])
    arrays = {"W": Wh, "U": Wx, "b": b, "b_candidate": c[2 * d.n :]}
    after = told.get("variant") != "reset_before"
    return Case(arrays, told, lambda X: gru_outputs(X, Wx, Wh, b, c, after=after))


def own_lstm(d):
    Wx, Wh, b, _ = d.cell(4)
    return Case({"W": Wh, "U": Wx, "b": b}, {}, lambda X: lstm_outputs(X, Wx, Wh, b))


def system(d, told, **more):
    B, A, bias, _ = d.cell(1)
    arrays = {"A": A, "B": B, "bias": bias} | more
    return Case(arrays, told, lambda X: rnn_outputs(X, B, A, bias, lambda a: a))


def peepholes(d, **more):
    case = torch_lstm(d)
    return Case(case.arrays | more, {}, case.forward)


def hard(s):
    return lambda a: np.clip(s * a + 0.5, 0, 1)


def hard_gru(d, *, after):
    case = keras_gru(d, TANH | {"recurrent_activation": "hard_sigmoid(0.2)"}, after=after)
    b = case.arrays["gru/bias:0"]
    bx, bh = b if after else (b, 0 * b)
    Wx, Wh = case.arrays["gru/kernel:0"].T, case.arrays["gru/recurrent_kernel:0"].T
    return case._replace(forward=lambda X: gru_outputs(X, Wx, Wh, bx, bh, "zrn", after, hard(0.2)))


def hard_lstm(d, gates):
    Wx, Wh, b, _ = d.cell(4)
    arrays = {"rnn.kernel": Wx.T, "rnn.recurrent_kernel": Wh.T, "rnn.bias": b}
    rho = hard(0.2 if gates.endswith("(0.2)") else 1 / 6)

    def forward(X):
        c, h, out = np.zeros(d.n), np.zeros(d.n), []
        for x in X:
            i, f, g, o = np.split(Wx @ x + Wh @ h + b, 4)
            c = rho(f) * c + rho(i) * np.tanh(g)
            h = rho(o) * np.tanh(c)
            out.append(h)
        return np.array(out)

    return Case(arrays, TANH | {"recurrent_activation": gates}, forward)


def peephole_onnx(d):
    """ONNX has the gates i, o, f, c, and peepholes in the order i, o, f; o sees the new cell."""
    Wx, Wh, b, c = d.cell(4)
    p = d(3 * d.n)
    arrays = {"W": Wx[None], "R": Wh[None], "B": np.concatenate([b, c])[None], "P": p[None]}

    def sigma(a):
        return 1 / (1 + np.exp(-a))

    def forward(X):
        cell, h, out = np.zeros(d.n), np.zeros(d.n), []
        p_i, p_o, p_f = np.split(p, 3)
        for x in X:
            i, o, f, g = np.split(Wx @ x + Wh @ h + b + c, 4)
            cell = sigma(f + p_f * cell) * cell + sigma(i + p_i * cell) * np.tanh(g)
            h = sigma(o + p_o * cell) * np.tanh(cell)
            out.append(h)
        return np.array(out)

    return Case(arrays, GATED, forward)


def onnx(d):
    Wx, Wh, b, c = d.cell(4)
    arrays = {"W": Wx[None], "R": Wh[None], "B": np.concatenate([b, c])[None]}
    return Case(arrays, {}, lambda X: lstm_outputs(X, Wx, Wh, b + c, "iofg"))


#: What is read, and is then the forward pass.
RIGHT: dict[str, Callable[[Draw], Case]] = {
    "torch lstm": torch_lstm,
    "torch lstm below a prefix, a head beside it": lambda d: torch_lstm(
        d, "enc.rnn.", **{"head.weight": d(2, d.n), "enc.norm.weight": d(d.n), "epoch": d(1)}
    ),
    "torch lstm without a prefix, a head with one": lambda d: torch_lstm(
        d, **{"head.weight": d(2, d.n)}
    ),
    "torch gru": torch_gru,
    "torch gru cell": lambda d: torch_gru(d, end=""),
    "torch rnn, told": lambda d: torch_rnn(d, TANH),
    "torch rnn, told another": lambda d: torch_rnn(d, {"activation": "relu"}),
    "torch lstm of two layers": torch_layers,
    "equinox lstm": lambda d: equinox_lstm(d, renamed=False),
    "equinox gru": lambda d: equinox_gru(d, renamed=False),
    "onnx, told": lambda d: onnx(d)._replace(told=GATED),
    "equinox lstm, renamed": lambda d: equinox_lstm(d, renamed=True),
    "equinox gru, renamed": lambda d: equinox_gru(d, renamed=True),
    "keras lstm, told": lambda d: keras_lstm(d, GATED),
    "keras lstm before 2.3, told": lambda d: hard_lstm(d, "hard_sigmoid(0.2)"),
    "keras gru before 2.3, told": lambda d: hard_gru(d, after=False),
    "keras gru of two biases with hard gates, told": lambda d: hard_gru(d, after=True),
    "keras 3 lstm, told": lambda d: hard_lstm(d, "hard_sigmoid(1/6)"),
    "onnx with peepholes, told": peephole_onnx,
    "keras gru, told": lambda d: keras_gru(d, GATED),
    "keras gru of the older kind, told": lambda d: keras_gru(d, GATED, after=False),
    "keras gru without bias, told": lambda d: keras_gru(
        d, GATED | {"variant": "reset_after"}, biased=False
    ),
    "older keras gru without bias, told": lambda d: keras_gru(
        d, GATED | {"variant": "reset_before"}, after=False, biased=False
    ),
    "keras rnn, linear": lambda d: keras_rnn(d, {"activation": "linear"}),
    "keras rnn, leaky_relu": lambda d: keras_rnn(d, {"activation": "leaky_relu"}),
    "own, told": lambda d: own_plain(d, TANH),
    "own, leaky": lambda d: own_plain(d, TANH, leak=0.3),
    "own, what is left over allowed": lambda d: own_plain(
        d, TANH | {"unused": ["vocab*", "head"]}, vocab_size=d(1), head=d(2)
    ),
    "own gru with an inner bias": lambda d: own_gru(d, {}, 1.0),
    "own gru, told": lambda d: own_gru(d, {"variant": "reset_after"}, 0.0),
    "own gru, told the other": lambda d: own_gru(d, {"variant": "reset_before"}, 0.0),
    "own lstm": own_lstm,
    "a linear system": lambda d: system(d, {}),
    "a linear system with a readout": lambda d: system(d, {}, C=d(2, d.n), D=np.zeros((2, d.m))),
    "a linear system without its feed-through": lambda d: system(d, {"unused": "D"}, D=d(2, d.m)),
}

#: What is refused, and what the message says.
REFUSED: dict[str, tuple[Callable[[Draw], Case], str]] = {
    "torch rnn": (lambda d: torch_rnn(d, {}), "pass activation="),
    "torch lstm, told relu": (
        lambda d: torch_lstm(d)._replace(told={"activation": "relu"}),
        "there is no map with another",
    ),
    "torch gru, told the other": (
        lambda d: torch_gru(d)._replace(told={"variant": "reset_before"}),
        "a GRU with variant='reset_after'",
    ),
    "haste lstm": (lambda d: keras_lstm(d, {}, "igfo"), "haste uses the same names"),
    "haste gru": (
        lambda d: keras_gru(d, {}, after=False, **{"gru/recurrent_bias:0": d(3 * d.n)}),
        r"\[gru/recurrent_bias:0\] .*haste",
    ),
    "haste lstm with normalisation": (
        lambda d: keras_lstm(d, GATED, "igfo", **{"rnn.gamma": d(2), "rnn.beta_h": d(2)}),
        r"\[rnn.gamma, rnn.beta_h\] .*normalisation",
    ),
    "lstm with normalisation": (
        lambda d: torch_lstm(d, "cell.", **{"cell.layernorm_i.weight": d(4 * d.n)}),
        r"\[cell.layernorm_i.weight\] .*normalisation",
    ),
    "lstm with normalisation, without a prefix": (
        lambda d: torch_lstm(d, **{"layernorm_i.weight": d(4 * d.n), "head.weight": d(1)}),
        r"\[layernorm_i.weight\] .*normalisation",
    ),
    "lstm with peepholes": (lambda d: peepholes(d, weight_ch_l0=d(3 * d.n)), "peephole"),
    "lstm cell with peepholes": (lambda d: peepholes(d, w_ci=d(d.n)), "peephole"),
    "onnx": (onnx, "activations of ONNX's nodes, whose attributes do"),
    "onnx without bias": (lambda d: own_plain(d, TANH, "R", "W"), r"\[R\] .*ONNX"),
    "keras lstm": (lambda d: keras_lstm(d, {}), "recurrent_activation='sigmoid'"),
    "keras lstm, half told": (lambda d: keras_lstm(d, TANH), "recurrent_activation='sigmoid'"),
    "keras lstm before 2.3": (
        lambda d: keras_lstm(d, TANH | {"recurrent_activation": "hard_sigmoid"}),
        r"hard_sigmoid is hard_sigmoid\(0.2\) before version 3",
    ),
    "keras lstm with relu": (
        lambda d: keras_lstm(d, GATED | {"activation": "relu"}),
        "there is no map with another",
    ),
    "keras gru without bias": (lambda d: keras_gru(d, GATED, biased=False), "without a bias"),
    "keras rnn": (lambda d: keras_rnn(d, {}), "pass activation="),
    "keras rnn, silu": (lambda d: keras_rnn(d, {"activation": "silu"}), "'silu' of Keras"),
    "own": (lambda d: own_plain(d, {}), "pass activation="),
    "own, more told": (lambda d: own_plain(d, TANH | {"variant": "reset_after"}), "no GRU"),
    "own, a readout beside": (lambda d: own_plain(d, TANH, C=d(1, d.n)), r"\[C\] .*A and B"),
    "own, leaky": (lambda d: own_plain(d, {}, leak=0.3), "pass activation="),
    "own gru": (lambda d: own_gru(d, {}, 0.0), "pass variant="),
    "a linear system, told tanh": (lambda d: system(d, TANH), "a linear map, which has none"),
    "a linear system with feed-through": (lambda d: system(d, {}, D=d(2, d.m)), "unused='D'"),
    "a linear system and W": (lambda d: system(d, {}, W=d(d.n, d.n)), "mean the same"),
}

SIZES = {"n": st.integers(1, 4), "m": st.integers(1, 3), "seed": st.integers(0, 2**31)}


@given(name=st.sampled_from(sorted(RIGHT)), **SIZES)
def test_what_is_read_is_the_forward_pass(name, n, m, seed):
    arrays, told, forward = RIGHT[name](Draw(n, m, seed))
    X = np.random.default_rng(seed).normal(size=(8, m))
    model = from_arrays(arrays, **told)
    expected = forward(X)
    got = model.simulate(X) @ model.output_map.T
    assert np.max(np.abs(got - expected)) <= 1e-12 * max(1.0, np.max(np.abs(expected)))


@pytest.mark.parametrize("name", RIGHT)
def test_every_layout_that_is_read(name):
    """The same without a draw, so that none is left out."""
    test_what_is_read_is_the_forward_pass.hypothesis.inner_test(name, 3, 2, 0)


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("size", [(3, 2), (2, 2), (1, 1)])
def test_what_is_refused(name, size):
    build, message = REFUSED[name]
    arrays, told, _ = build(Draw(*size, 0))
    with pytest.raises(ValueError, match=message) as caught:
        from_arrays(arrays, **told)
    assert "\n" not in str(caught.value)


@given(
    name=st.sampled_from(sorted(RIGHT)),
    extra=st.sampled_from(["gain", "mask_hh", "weight_x_l0", "peep", "bias2", "scale.weight"]),
    **SIZES,
)
def test_an_array_more_is_named_or_allowed(name, extra, n, m, seed):
    """What stands below the cell is never dropped without a word."""
    arrays, told, _ = RIGHT[name](Draw(n, m, seed))
    model = from_arrays(arrays, **told)
    first = next(iter(arrays))
    at = max(first.rfind("."), first.rfind("/")) + 1
    if not at and "." in extra:
        return  # a prefix of its own beside a cell without one: a layer of its own
    more = f"{first[:at]}{extra}"
    with pytest.raises(ValueError, match=rf"\[{more}\] would be left over.*unused='{more}'"):
        from_arrays({**arrays, more: np.ones(n)}, **told)
    given = told.get("unused", ())
    given = [given] if isinstance(given, str) else [*given]
    for allowed in (more, f"*{extra}"):
        again = from_arrays({**arrays, more: np.ones(n)}, **(told | {"unused": [*given, allowed]}))
        assert same(again, model)


# ------------------------------------------------------------------- names that mean one thing only


@pytest.mark.parametrize("n", [9, 12])
def test_exchanged_matrices_are_refused_with_both_readings(n):
    """Input weights W, (n, 3), recurrent ones U, (n, n): read as a GRU or LSTM of 3 units."""
    rng = np.random.default_rng(0)
    arrays = {"W": rng.normal(size=(n, 3)), "U": rng.normal(size=(n, n)), "b": np.zeros(n)}
    kind = {9: "GRU", 12: "LSTM"}[n]
    with pytest.raises(ValueError, match=rf"plain cell of {n} units.*or .* a {kind} of 3 units"):
        from_arrays(arrays, activation="tanh")
    if n == 9:
        assert isinstance(from_arrays(arrays, variant="reset_after"), GRU)
        assert isinstance(from_arrays(arrays | {"b_candidate": np.ones(3)}), GRU)
    for W in (arrays["W"].T, rng.normal(size=(n, 5))):
        with pytest.raises(ValueError, match=rf"plain cell of {n} units.*exchange the names"):
            from_arrays(arrays | {"W": W}, activation="tanh")
    right = from_arrays({"W": arrays["U"], "U": arrays["W"]}, activation="tanh")
    assert isinstance(right, VanillaRNN)
    assert right.input_dim == 3
    # what cannot be told apart is what the names say
    square = from_arrays({"W": np.eye(2), "U": 2 * np.eye(2)}, activation="tanh")
    assert square.W[0, 0] == 1
    assert isinstance(from_arrays({"W": np.ones((4, 1)), "U": np.ones((4, 3))}), LSTM)


def test_a_linear_system_is_one_and_has_its_readout(tmp_path):
    """It was a tanh network, off by 31.7 in 20 steps."""
    arrays = {"A": [[0.9, 0.5], [0.0, 0.8]], "B": [[1.0], [1.0]], "bias": [0.1, 0.2]}
    path = tmp_path / "s.npz"
    np.savez(path, **arrays)
    system = LinearMap(**arrays)
    assert same(from_npz(path), system)
    with pytest.raises(ValueError, match=r"s.npz: no C beside A"):
        read_head(path)
    np.savez(path, **arrays, C=[[1.0, 2.0]], D=[[0.0]])
    assert same(from_npz(path), system)
    assert read_head(path).C.tolist() == [[1.0, 2.0]]
    np.savez(path, **arrays, C=[[1.0, 2.0]], D=[[3.0]])
    for read in (from_npz, read_head):
        with pytest.raises(ValueError, match="straight to the output"):
            read(path)
        assert read(path, unused="D") is not None
    for wrong, message in (
        ({"C": np.ones((1, 3))}, r"C has shape \(1, 3\), needed \(m, 2\)"),
        ({"D": np.ones((1, 3))}, r"D has shape \(1, 3\)"),
        ({"A": np.ones((2, 3))}, r"A has shape \(2, 3\), needed \(2, 2\)"),
        ({"U": np.ones((2, 1))}, "B and U mean the same"),
        ({"leak": 0.5}, "leak goes with W"),
        ({"b": np.ones(2)}, "b and bias mean the same"),
    ):
        with pytest.raises(ValueError, match=message):
            from_arrays(arrays | wrong)
    with pytest.raises(ValueError, match=r"sys\.C"):
        named_head({f"sys.{k}": v for k, v in arrays.items()} | {"sys.C": np.ones((1, 1))})


def test_own_names_do_not_tell_what_they_lose():
    """GRU's variant was off by 0.07, the activation of a leaky network by 0.3."""
    rng = np.random.default_rng(0)
    gru = GRU(*(rng.normal(size=s) for s in ((9, 3), (9, 2), 9)), variant="reset_before")
    with pytest.raises(ValueError, match="pass variant="):
        from_arrays(gru.parameters)
    assert same(from_arrays(gru.parameters, variant="reset_before"), gru)
    for model in (
        EchoStateNetwork([[0.5]], [[1.0]], leak=0.3, activation="relu"),
        VanillaRNN([[0.5]], [[1.0]], activation="relu"),
    ):
        with pytest.raises(ValueError, match="pass activation="):
            from_arrays(model.parameters)
        again = from_arrays(model.parameters, activation="relu")
        assert same(again, model)
        assert again.activation.name == "relu"


@pytest.mark.parametrize("shape", [(), (4,), (1, 4, 4), (50, 1, 2), (0, 0), (4, 0)], ids=str)
def test_what_is_no_matrix(shape):
    W = np.ones(shape)
    with pytest.raises(ValueError, match=r"W has shape \(.*, needed \(n, n\), \(3 n, n\) or"):
        from_arrays({"W": W}, activation="tanh")


def test_a_pattern_never_takes_away_what_the_cell_needs():
    d = Draw(2, 3, 0)
    arrays, _, _ = torch_lstm(d)
    assert same(from_torch(arrays, unused="*"), from_torch(arrays))
    with pytest.raises(ValueError, match="missing keys: bias_hh_l0"):
        from_torch(arrays, unused="bias_hh_l0")
    # a name leaves out what is recognised, and refused otherwise
    both = arrays | {"weight_hh_l0_raw": arrays["weight_hh_l0"]}
    with pytest.raises(ValueError, match="are both there"):
        from_torch(both)
    assert same(from_torch(both, unused="weight_hh_l0_raw"), from_torch(arrays))
