r"""Single layers of a Keras configuration: whose they are, and what they compute.

Main names: `is_cell`, `passes`, `through`, `name_of`, `word_of`, `foreign`, `function_name`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from theory.interop.told import Through

#: Layers of a configuration that are recurrent, and their cells.
CELLS = {
    "LSTM", "GRU", "SimpleRNN", "CuDNNLSTM", "CuDNNGRU", "LSTMCell", "GRUCell", "SimpleRNNCell",
    "RNN", "Bidirectional", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "StackedRNNCells",
}  # fmt: skip

#: Layers that hand a state on as it is, in evaluation mode, and a setting that Keras' own have: an
#: .h5 file does not tell somebody else's class of the same name.
_PASSES = {
    "Dropout": {"rate", "p"}, "SpatialDropout1D": {"rate", "p"}, "GaussianDropout": {"rate", "p"},
    "GaussianNoise": {"stddev", "sigma"}, "Masking": {"mask_value"},
    "ActivityRegularization": {"l1"},
}  # fmt: skip

#: What activations are called here; another one is not read.
_ACTIVATIONS = {
    "relu": "relu", "tanh": "tanh", "sigmoid": "sigmoid", "softplus": "softplus", "silu": "silu",
    "swish": "silu", "gelu": "gelu",
}  # fmt: skip


def name_of(layer: Mapping[str, Any]) -> str:
    """Return what a layer is called."""
    settings = layer.get("config")
    settings = settings if isinstance(settings, dict) else {}
    return str(settings.get("name", layer.get("name", "")))


def word_of(layer: Mapping[str, Any]) -> str:
    """Return what a layer is, for people: its class, its name and its activation."""
    settings = layer.get("config")
    said = settings.get("activation") if isinstance(settings, dict) else None
    word = f"{layer.get('class_name')} {name_of(layer)}"
    after = function_name(said)
    return word if after in {None, "linear"} else f"{word} ({after})"


def foreign(layer: Mapping[str, Any]) -> str:
    """Return whose a layer is, empty for Keras' own."""
    home, registered = layer.get("module"), layer.get("registered_name")
    package, _, last = str(layer.get("class_name")).rpartition(">")
    if package:
        return package
    # Keras' own have a module, or, before version 3, neither
    if registered not in {None, "", last} or (registered and home is None):
        return str(registered)
    return "" if home in {None, "keras.layers"} else str(home)


def function_name(value: Any) -> str | None:
    """Return the name of a function in a configuration; None for one of somebody else."""
    if isinstance(value, dict):
        if value.get("module") not in {None, "builtins", "keras.activations"}:
            return None
        if value.get("registered_name") not in {None, "", "function", value.get("config")}:
            return None
        value = value.get("config") if isinstance(value.get("config"), str) else None
    return value if isinstance(value, str) and ">" not in value else None


def is_cell(layer: Mapping[str, Any]) -> bool:
    """Return whether a layer is recurrent."""
    return str(layer.get("class_name")).rpartition(">")[2] in CELLS


def passes(layer: Mapping[str, Any]) -> bool:
    """Return whether a layer hands a state on as it is, in evaluation mode."""
    if layer.get("class_name") == "InputLayer":
        return True
    needed = _PASSES.get(str(layer.get("class_name")))
    settings = layer.get("config")
    if needed is None or foreign(layer) or not isinstance(settings, dict):
        return False
    # masking only replaces what equals its value by zero
    if not needed & settings.keys() or settings.get("mask_value", 0) != 0:
        return False
    # one that was called with training=True is in training mode for ever
    return '"training": true' not in json.dumps(layer.get("inbound_nodes"))


def through(
    chain: Sequence[Mapping[str, Any]], prefixes: Mapping[str, str], named: bool
) -> tuple[Through, ...]:
    """Return what stands behind a cell, the first of these layers; none if a part is not known.

    Parameters
    ----------
    chain : sequence of layers
        The cell, and what stands on it.
    prefixes : mapping
        Of the arrays of layers, by their names.
    named : bool
        Whether the file has the layers' names.
    """
    if not chain:
        return ()
    settings = chain[0].get("config")
    every = isinstance(settings, dict) and settings.get("return_sequences")
    found: list[Through] = []
    for layer in chain[1:]:
        if passes(layer):
            continue
        steps = list(_steps(layer, prefixes.get(name_of(layer), ""), 3 if every else 2, named))
        if not steps or any(one is None for one in steps):
            return ()
        found += [one for one in steps if one is not None and one.word != "linear"]
    return tuple(found)


def _steps(layer: Mapping[str, Any], at: str, axes: int, named: bool) -> Iterator[Through | None]:
    """Yield what a layer does to arrays with so many axes; None for what is not known."""
    kind, settings = str(layer.get("class_name")), layer.get("config")
    if foreign(layer) or not isinstance(settings, dict):
        yield None
        return
    inner = settings.get("layer")
    if kind == "TimeDistributed" and isinstance(inner, dict):
        yield from _steps(inner, at if named else f"{at}/layer", axes - 1, named)
    elif kind == "Dense":
        yield Through(kind="dense", at=at)
        yield _activation(settings)
    elif kind == "Activation":
        yield _activation(settings)
    elif kind == "ReLU":
        slope = settings.get("negative_slope")
        plain = not settings.get("threshold") and settings.get("max_value") is None
        yield Through(kind="pointwise", word="relu") if plain and not slope else None
    elif kind == "LeakyReLU":
        slope = settings.get("negative_slope", settings.get("alpha"))
        if isinstance(slope, (int, float)) and 0 <= slope < 1:
            yield Through(kind="pointwise", word=f"leaky_relu({float(slope)!r})")
        else:
            yield None
    elif kind == "Softmax":
        yield Through(kind="softmax") if _of_the_last(settings, axes) else None
    elif kind == "LayerNormalization":
        yield _normalisation(settings, at, axes)
    else:
        yield None


def _activation(settings: Mapping[str, Any]) -> Through | None:
    word = function_name(settings.get("activation", "linear"))
    if word == "linear":
        return Through(kind="pointwise", word="linear")
    if word == "softmax":  # of the last axis
        return Through(kind="softmax")
    return Through(kind="pointwise", word=_ACTIVATIONS[word]) if word in _ACTIVATIONS else None


def _of_the_last(settings: Mapping[str, Any], axes: int) -> bool:
    """Return whether a layer works along the last of so many axes, and no other."""
    axis = settings.get("axis")
    axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    return isinstance(axis, int) and axis in {-1, axes - 1}


def _normalisation(settings: Mapping[str, Any], at: str, axes: int) -> Through | None:
    eps = settings.get("epsilon")
    one = _of_the_last(settings, axes)
    if not one or not isinstance(eps, float) or settings.get("rms_scaling"):
        return None
    # an archive numbers them in this order
    there = [key for key, said in (("gamma", "scale"), ("beta", "center")) if settings.get(said)]
    if settings.get("scale") is None or settings.get("center") is None:
        return None
    return Through(
        kind="layer",
        at=at,
        eps=eps,
        parts=("gamma" if "gamma" in there else "", "beta" if "beta" in there else ""),
    )
