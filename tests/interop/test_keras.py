"""Weights and layers of Keras."""

import sys
import types
from typing import ClassVar

import numpy as np
import pytest
from layouts import rnn_outputs, same

from theory import LSTM, Cascade, LinearMap
from theory.interop import from_keras, from_npz


def fixed(shape: tuple[int, ...], s: float) -> np.ndarray:
    """Return the numbers with which the values below were computed."""
    return (np.sin(1.0 + 0.7 * np.arange(int(np.prod(shape))) + s) * 0.9).reshape(shape)


#: Outputs of Keras 3.15 (JAX backend, single precision) for inputs ``fixed((4, 3), 5)`` and
#: weights ``fixed(shape, i)``, i = 0, 1, 2 for kernel, recurrent kernel and bias.
KERAS = {
    "lstm": [
        [0.04698992, 0.04760014],
        [-0.18641422, -0.24632343],
        [-0.08346310, 0.02512915],
        [0.03325628, 0.05542252],
    ],
    "gru": [
        [-0.13723029, 0.34101758],
        [-0.24464839, 0.11419017],
        [-0.36022369, -0.02438674],
        [-0.31175225, 0.36231894],
    ],
    "gru before": [
        [-0.12400489, 0.54891597],
        [-0.16948259, 0.20945766],
        [-0.31938836, 0.09901524],
        [-0.20844365, 0.58848158],
    ],
    "simple_rnn": [
        [-0.27968448, -0.88519025],
        [0.80758369, 0.72859895],
        [0.00648103, -0.56963545],
        [-0.13438962, -0.74847382],
    ],
}


#: What the layers had, and their weights do not tell.
GATED = {"activation": "tanh", "recurrent_activation": "sigmoid"}
TOLD = {"lstm": GATED, "gru": GATED, "simple_rnn": {"activation": "tanh"}}


def keras_weights(kind: str) -> list[np.ndarray]:
    gates = {"lstm": 4, "gru": 3, "gru before": 3, "simple_rnn": 1}[kind]
    bias = (2, 6) if kind == "gru" else (2 * gates,)
    shapes = ((3, 2 * gates), (2, 2 * gates), bias)
    return [fixed(shape, float(i)) for i, shape in enumerate(shapes)]


@pytest.mark.parametrize("kind", KERAS)
def test_values_computed_by_keras(kind):
    model = from_keras(keras_weights(kind), kind.split()[0], **TOLD[kind.split()[0]])
    got = model.simulate(fixed((4, 3), 5.0)) @ model.output_map.T
    assert np.max(np.abs(got - KERAS[kind])) < 2e-7


def test_keras_weights_without_bias_and_of_several_layers():
    kernel, recurrent, _ = keras_weights("gru")
    with pytest.raises(ValueError, match="a GRU without a bias, and nothing else tells which"):
        from_keras([kernel, recurrent], "gru", **GATED)
    for after in (True, False):
        plain = from_keras([kernel, recurrent], "gru", reset_after=after, **GATED)
        assert plain.variant == ("reset_after" if after else "reset_before")
        assert not plain.b.any()
    two = from_keras([keras_weights("lstm"), [fixed((2, 8), 3), fixed((2, 8), 4)]], "lstm", **GATED)
    assert isinstance(two, Cascade)
    assert (two.layers[1].parameters["U"] == fixed((2, 8), 3).T).all()
    relu = from_keras(keras_weights("simple_rnn"), "simple_rnn", activation="relu")
    assert relu.activation.name == "relu"


def test_keras_names_in_a_file(tmp_path):
    kernel, recurrent, bias = keras_weights("gru")
    named = {"gru/kernel:0": kernel, "gru/recurrent_kernel:0": recurrent, "gru/bias:0": bias}
    named |= {"dense/kernel:0": kernel, "dense/bias:0": bias}
    np.savez(tmp_path / "k.npz", **named)
    with pytest.raises(ValueError, match="activation='tanh' and recurrent_activation='sigmoid'"):
        from_npz(tmp_path / "k.npz")
    read = from_npz(tmp_path / "k.npz", **GATED)
    assert same(read, from_keras([kernel, recurrent, bias], "gru", **GATED))
    with pytest.raises(ValueError, match="'hard_sigmoid': gates other than sigmoid, hard"):
        from_npz(tmp_path / "k.npz", activation="tanh", recurrent_activation="hard_sigmoid")
    np.savez(tmp_path / "k.npz", recurrent_kernel=recurrent)
    with pytest.raises(ValueError, match=r"k.npz: missing keys: kernel"):
        from_npz(tmp_path / "k.npz")


@pytest.mark.parametrize(
    ("arguments", "more", "message"),
    [
        ((keras_weights("lstm"), "CuDNN"), {}, "needed one of: simple_rnn, gru, lstm"),
        ((keras_weights("lstm"), "LSTM"), {"activation": "tanh"}, "recurrent_activation='sigmoid'"),
        ((keras_weights("lstm"), "lstm"), {}, "hard_sigmoid by default"),
        ((keras_weights("lstm"),), GATED, "a list, which does not tell the cell"),
        ((keras_weights("simple_rnn"), "rnn"), {}, "pass activation="),
        ((keras_weights("simple_rnn"), "rnn"), GATED, "and this is a plain cell; leave it out"),
        ((keras_weights("simple_rnn"), "rnn"), {"activation": "swish"}, "'swish' of Keras is of"),
        ((keras_weights("lstm"), "gru"), {}, r"\(2, 8\), needed \(2, 6\)"),
        ((keras_weights("lstm")[:1], "lstm"), {}, "received 1 arrays"),
        (([], "lstm"), {}, "no weights"),
        ((keras_weights("gru"), "gru"), {"reset_after": False}, r"\(2, 6\), needed \(6,\)"),
        ((keras_weights("gru before"), "gru"), {"reset_after": True}, r"needed \(2, 6\)"),
        ((keras_weights("lstm"), "lstm"), {"reset_after": True}, "setting of a gru"),
        ((keras_weights("gru"), "gru"), {"reset_after": "yes"}, "'yes', needed True or False"),
        ((keras_weights("lstm"), "lstm"), GATED | {"activation": "relu"}, "no map with another"),
        ((keras_weights("lstm"), "lstm"), {"recurrent_activation": "x"}, "'x': gates other than"),
        (([*keras_weights("lstm")[:1], np.ones(8), np.ones(8)], "lstm"), {}, "recurrent_kernel"),
    ],
)  # fmt: skip
def test_keras_weights_that_do_not_fit(arguments, more, message):
    with pytest.raises(ValueError, match=message):
        from_keras(*arguments, **more)


#: Every activation of Keras 3, and older names; those without a formula have no map.
ACTIVATIONS = {
    "linear": lambda a: a,
    "relu": lambda a: np.maximum(a, 0),
    "leaky_relu": lambda a: np.where(a < 0, 0.2 * a, a),
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "softplus": lambda a: np.log1p(np.exp(a)),
    "hard_tanh": lambda a: np.clip(a, -1, 1),
    "tanh": np.tanh,
} | dict.fromkeys(
    (
        *("celu", "elu", "exponential", "gelu", "glu", "hard_shrink", "hard_sigmoid", "hard_silu"),
        *("hard_swish", "log_sigmoid", "log_softmax", "mish", "relu6", "selu", "silu", "swish"),
        *("soft_shrink", "softmax", "softsign", "sparse_plus", "sparse_sigmoid", "sparsemax"),
        *("squareplus", "tanh_shrink", "threshold"),
    )
)


@pytest.mark.parametrize("word", ACTIVATIONS)
def test_every_activation_is_right_or_refused(word):
    kernel, recurrent, bias = keras_weights("simple_rnn")
    gated = keras_weights("lstm")
    if word != "sigmoid":
        with pytest.raises(ValueError, match=f"recurrent_activation='{word}': gates other than"):
            from_keras(gated, "lstm", activation="tanh", recurrent_activation=word)
    if word != "tanh":
        with pytest.raises(ValueError, match=r"no map with another|of Keras is of no map"):
            from_keras(gated, "lstm", activation=word, recurrent_activation="sigmoid")
    if ACTIVATIONS[word] is None:
        with pytest.raises(ValueError, match=f"activation='{word}' of Keras is of no map here"):
            from_keras([kernel, recurrent, bias], "simple_rnn", activation=word)
        return
    model = from_keras([kernel, recurrent, bias], "simple_rnn", activation=word)
    X = 2 * fixed((6, 3), 5.0)
    expected = rnn_outputs(X, kernel.T, recurrent.T, bias, ACTIVATIONS[word])
    np.testing.assert_allclose(model.simulate(X), expected, rtol=1e-13, atol=1e-15)


# ------------------------------------------------------------------------------------------ layers


def library(monkeypatch):
    """Return a module that answers as Keras' does: classes, and functions under their names."""
    home = types.ModuleType("keras.src.layers.stand_in")
    monkeypatch.setitem(sys.modules, home.__name__, home)

    def add(name, thing):
        thing.__name__, thing.__module__ = name, home.__name__
        setattr(home, name, thing)
        return thing

    class Layer:
        def __init__(self, weights=(), **config):
            self.weights, self.config = list(weights), config
            for name, value in config.items():
                setattr(self, name, value)

        def get_weights(self):
            return self.weights

        def get_config(self):
            return {name: getattr(value, "__name__", value) for name, value in self.config.items()}

    for name in ("LSTM", "GRU", "SimpleRNN", "LSTMCell", "RNN", "Bidirectional", "LeakyReLU"):
        add(name, type(name, (Layer,), {}))
    for name in ("tanh", "sigmoid", "linear", "leaky_relu", "relu", "hard_sigmoid", "silu"):
        add(name, lambda x: x)
    return home


def test_a_layer_tells_everything(monkeypatch):
    home = library(monkeypatch)
    gates = {"activation": home.tanh, "recurrent_activation": home.sigmoid}
    lstm = home.LSTM(keras_weights("lstm"), **gates)
    expected = from_keras(keras_weights("lstm"), "lstm", **GATED)
    for cell in (None, "lstm", "LSTM"):
        assert same(from_keras(lstm, cell), expected)
    assert same(from_keras(home.LSTMCell(keras_weights("lstm"), **gates)), expected)
    assert same(from_keras(lstm, **GATED), expected)
    kernel, recurrent, _ = keras_weights("gru")
    for after in (True, False):
        gru = home.GRU([kernel, recurrent], reset_after=after, **gates)
        assert from_keras(gru).variant == ("reset_after" if after else "reset_before")
    weights = keras_weights("simple_rnn")
    for word, name in (("linear", None), ("leaky_relu", "leaky_relu(0.2)"), ("relu", "relu")):
        model = from_keras(home.SimpleRNN(weights, activation=getattr(home, word)))
        assert isinstance(model, LinearMap) if name is None else model.activation.name == name
    slope = home.LeakyReLU(negative_slope=0.1)
    model = from_keras(home.SimpleRNN(weights, activation=slope))
    assert model.activation.name == "leaky_relu(0.1)"
    upper = home.GRU([kernel[:2], recurrent], reset_after=True, **gates)
    assert isinstance(from_keras([lstm, upper]), Cascade)


def test_layers_that_are_no_such_map(monkeypatch):
    home = library(monkeypatch)
    gates = {"activation": home.tanh, "recurrent_activation": home.sigmoid}
    weights = keras_weights("lstm")

    def tanh(x):
        return 2 * x

    class Own(home.LSTM):
        pass

    for layer, more, message in (
        (home.LSTM(weights, **gates), {"cell": "gru"}, "the layer is a LSTM; leave cell= out"),
        (home.LSTM(weights, **gates), {"activation": "relu"}, "but the layer has 'tanh'"),
        (home.LSTM(weights, **gates, go_backwards=True), {}, "reads the last input first"),
        (home.LSTM(weights, **gates | {"activation": home.relu}), {}, "no map with another"),
        (
            home.LSTM(weights, **gates | {"recurrent_activation": home.hard_sigmoid}),
            {},
            r"'hard_sigmoid': gates other than .* before version 3",
        ),
        (home.LSTM(weights, **gates | {"activation": tanh}), {}, "none of Keras' own functions"),
        (home.SimpleRNN(keras_weights("simple_rnn"), activation=home.silu), {}, "'silu' of Keras"),
        (home.LSTM([], **gates), {}, "has some once it has seen an input"),
        (home.RNN(weights, **gates), {}, "of an RNN its cell"),
        (home.Bidirectional(weights), {"cell": "lstm"}, "a bidirectional layer is no map"),
        (Own(weights, **gates), {}, "received a Own, needed one of Keras' own"),
    ):
        with pytest.raises(ValueError, match=message):
            from_keras(layer, **more)
    # by the word of the caller, with what the configuration says
    assert same(from_keras(Own(weights, **gates), "lstm"), from_keras(weights, "lstm", **GATED))


def test_a_layer_that_has_a_configuration_only():
    class Layer:
        config: ClassVar = {"activation": "tanh", "recurrent_activation": "hard_sigmoid"}

        def get_weights(self):
            return keras_weights("lstm")

        def get_config(self):
            return self.config

    with pytest.raises(ValueError, match="if it computes what one of these does, pass cell="):
        from_keras(Layer())
    with pytest.raises(ValueError, match="'hard_sigmoid': gates other than"):
        from_keras(Layer(), "lstm")
    Layer.config = GATED
    assert isinstance(from_keras(Layer(), "lstm"), LSTM)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_layers_of_keras_itself():
    keras = pytest.importorskip("keras", reason="Keras is not installed")
    layers, X = keras.layers, np.random.default_rng(0).normal(size=(9, 3))
    for layer in (
        layers.LSTM(4, return_sequences=True, dropout=0.2),
        layers.GRU(4, return_sequences=True),
        layers.GRU(4, return_sequences=True, reset_after=False),
        layers.GRU(4, return_sequences=True, use_bias=False),
        *(
            layers.SimpleRNN(4, return_sequences=True, activation=rho)
            for rho in (None, "tanh", "linear", "relu", "leaky_relu", "hard_tanh", "softplus")
        ),
    ):
        expected = np.asarray(layer(X[None].astype("float32")))[0]
        model = from_keras(layer)
        got = model.simulate(X) @ model.output_map.T
        assert np.max(np.abs(got - expected)) <= 1e-5 * max(1, np.max(np.abs(expected)))
