"""Maps from Keras layers and their weights; Keras itself is not needed.

Main name: `from_keras`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from theory.arithmetic.activations import Activation
from theory.arithmetic.activations import activation as look_up
from theory.interop.build import Said, check_gates, stack_layers
from theory.interop.layouts.keras import hard_sigmoid_of, keras_cell, own_name
from theory.interop.library import library_name
from theory.maps.base import Map

#: What Keras has been called.
_LIBRARIES = frozenset({"keras", "tf_keras", "tensorflow"})

#: Number of gates of each cell.
_GATES = {"simple_rnn": 1, "gru": 3, "lstm": 4}

#: Names of cells, in lower case and without underscores.
_CELLS = {"rnn": "simple_rnn", "simplernn": "simple_rnn", "gru": "gru", "lstm": "lstm"}

#: Keras' own classes of them; its RNN is a layer of any cell.
_CLASSES = {"SimpleRNN": "simple_rnn", "GRU": "gru", "LSTM": "lstm"}
_CLASSES |= {f"{name}Cell": cell for name, cell in _CLASSES.items()}


def from_keras(
    weights: Any,
    cell: str | None = None,
    *,
    reset_after: bool | None = None,
    activation: str | Activation | None = None,
    recurrent_activation: str | None = None,
) -> Map:
    r"""Return the map of a Keras layer, or of weights as ``layer.get_weights()`` lists them.

    Parameters
    ----------
    weights : layer or sequence
        A layer, which tells everything else; or ``[kernel, recurrent_kernel]``, perhaps with
        ``bias``; or a list of such layers or lists, one for each layer of a stack.
    cell : str, optional
        ``lstm`` (gates in Keras' order i, f, c, o), ``gru`` (z, r, h) or ``simple_rnn``, in any
        case; needed for weights.
    reset_after : bool, optional
        Of a GRU; by default as the shape of the bias says, needed for weights without one.
    activation : str, optional
        By Keras' names, as ``linear``; needed for weights.  Gated cells have maps with ``tanh``
        only.
    recurrent_activation : str, optional
        Of the gates, needed for their weights: layers made before Keras 2.3 have ``hard_sigmoid``.
        There are maps of ``sigmoid`` only.

    Returns
    -------
    Map

    Raises
    ------
    ValueError
        If the cell is not known, has other activations, something is not said that weights do not
        tell, or shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> weights = [np.ones((3, 4)), np.ones((1, 4)), np.zeros(4)]
    >>> from_keras(weights, "lstm", activation="tanh", recurrent_activation="sigmoid")
    LSTM(units=1, m=3)
    """
    said: dict[str, Any] = {
        "reset_after": reset_after,
        "activation": activation,
        "recurrent_activation": recurrent_activation,
    }
    if _is_layer(weights):
        return _of_layer(weights, cell, said)
    listed = isinstance(weights, (list, tuple)) and len(weights) > 0
    if listed and (isinstance(weights[0], (list, tuple)) or _is_layer(weights[0])):
        return stack_layers([from_keras(one, cell, **said) for one in weights])
    if cell is None:
        raise ValueError(
            f"received a {type(weights).__name__}, which does not tell the cell: pass cell=, one "
            f"of: {', '.join(_GATES)}; or the layer itself"
        )
    return _of_weights(weights, _cell_of_name(cell), said)


def _is_layer(thing: Any) -> bool:
    return callable(getattr(thing, "get_weights", None))


def _cell_of_name(name: str) -> str:
    found = _CELLS.get(str(name).lower().replace("_", ""))
    if found is None:
        raise ValueError(f"cell={name!r}, needed one of: {', '.join(_GATES)}")
    return found


def _of_weights(weights: Sequence[Any], cell: str, said: dict[str, Any]) -> Map:
    """Return the map of one layer's weights."""
    gates, reset_after = _GATES[cell], said["reset_after"]
    if reset_after is not None and cell != "gru":
        raise ValueError(f"reset_after={reset_after!r} is a setting of a gru, not of {cell}")
    if reset_after not in {None, True, False}:
        raise ValueError(f"reset_after={reset_after!r}, needed True or False")
    if len(weights) == 0:
        raise ValueError(
            "received no weights, needed [kernel, recurrent_kernel, bias]; a layer has some once "
            "it has seen an input"
        )
    if len(weights) not in {2, 3}:
        raise ValueError(
            f"received {len(weights)} arrays, needed [kernel, recurrent_kernel] and perhaps bias; "
            "for a stack pass a list of such lists"
        )
    if said["recurrent_activation"] is not None and gates > 1:
        check_gates(said["recurrent_activation"])
    variant = {None: None, True: "reset_after", False: "reset_before"}[reset_after]
    named = dict(zip(("kernel", "recurrent_kernel", "bias"), weights, strict=False))
    words = Said(
        activation=said["activation"],
        recurrent_activation=said["recurrent_activation"],
        variant=variant,
    )
    return keras_cell(named, "", words, gates=gates)


def _of_layer(layer: Any, cell: str | None, said: dict[str, Any]) -> Map:
    """Return the map of a layer, which tells its activations."""
    kind = library_name(type(layer), _LIBRARIES)
    known = None if kind is None else _CLASSES.get(kind)
    if known is None and (kind is not None or cell is None):
        raise ValueError(
            f"received a {type(layer).__name__}, needed one of Keras' own LSTM, GRU and SimpleRNN "
            "(of a model pass these layers, one or a list, and of an RNN its cell; a bidirectional "
            "layer is no map of the past); if it computes what one of these does, pass cell= as "
            "well"
        )
    if known is None:
        known = _cell_of_name(str(cell))
    elif cell is not None and _cell_of_name(cell) != known:
        raise ValueError(f"cell={cell!r}, but the layer is a {kind}; leave cell= out")
    config = _Config(layer)
    if config.value("go_backwards"):
        raise ValueError("the layer has go_backwards=True: it reads the last input first")
    told = {"activation": config.activation("activation")}
    if known != "simple_rnn":
        told["recurrent_activation"] = config.activation("recurrent_activation")
        if told["recurrent_activation"] == "hard_sigmoid":
            library = sys.modules.get(type(layer).__module__.partition(".")[0])
            told["recurrent_activation"] = hard_sigmoid_of(getattr(library, "__version__", None))
    if known == "gru":
        told["reset_after"] = config.value("reset_after")
    for name, value in said.items():
        if value is None:
            continue
        if told.get(name) is None:
            told[name] = value
        elif _word(value) != _word(told[name]):
            raise ValueError(
                f"{name}={value!r}, but the layer has {told[name]!r}; leave {name}= out"
            )
    return _of_weights(layer.get_weights(), known, {**dict.fromkeys(said), **told})


def _word(value: Any) -> Any:
    """Return a setting for a comparison; an activation has several names."""
    if isinstance(value, bool) or str(value).startswith("hard_sigmoid"):
        return value
    return look_up(own_name(value) if isinstance(value, str) else value).name


class _Config:
    """The settings of a layer: its attributes, or what its configuration says."""

    def __init__(self, layer: Any) -> None:
        self._layer = layer
        self._said: dict[str, Any] | None = None

    def value(self, name: str) -> Any:
        """Return a setting, None if there is none."""
        if hasattr(self._layer, name):
            return getattr(self._layer, name)
        if self._said is None:
            ask = getattr(self._layer, "get_config", None)
            self._said = dict(ask()) if callable(ask) else {}
        return self._said.get(name)

    def activation(self, name: str) -> str | None:
        """Return the name of an activation of Keras, None if nothing tells it.

        Raises
        ------
        ValueError
            If it is a function of somebody else, whatever its name is.
        """
        given = self.value(name)
        if given is None or isinstance(given, str):
            return given
        word = library_name(given, _LIBRARIES)
        if word is not None:
            return word
        if library_name(type(given), _LIBRARIES) == "LeakyReLU":
            slope = getattr(given, "negative_slope", None)
            slope = getattr(given, "alpha", None) if slope is None else slope
            if slope is not None:
                return f"leaky_relu({float(slope)!r})"
        raise ValueError(
            f"{name} of the layer is {given!r}, none of Keras' own functions: what it computes is "
            "not known; wrap your own step in theory.CallableMap"
        )
