r"""What the configuration of a Keras model tells of its recurrent layers; no layer is made.

Main names: `read_config`, `told_all`, `told_heads`, `told_of_layer`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from theory.interop.layouts.keras import hard_sigmoid_of
from theory.interop.told import Told, ToldHead

#: Layers of a configuration that are recurrent, and their cells.
_LAYERS = {
    "LSTM", "GRU", "SimpleRNN", "CuDNNLSTM", "CuDNNGRU", "LSTMCell", "GRUCell", "SimpleRNNCell",
    "RNN", "Bidirectional", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "StackedRNNCells",
}  # fmt: skip
_PLAIN = {"LSTM", "GRU", "SimpleRNN", "CuDNNLSTM", "CuDNNGRU"}

#: Layers that hand a state on as it is, in evaluation mode.
_PASSES = {
    "Dropout", "SpatialDropout1D", "GaussianNoise", "GaussianDropout", "InputLayer", "Masking",
    "ActivityRegularization",
}  # fmt: skip

#: Models stand in models no deeper than this.
_DEPTH = 20

#: A model has no more layers; each is compared with all others.
_MOST = 4096


def read_config(text: Any) -> Any:
    """Return a configuration from its text.

    Raises
    ------
    ValueError
        If it is not JSON.
    """
    if text is None:
        return None
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("its configuration is not JSON; the file is damaged") from None


def _layers_of(config: Any) -> list[dict[str, Any]]:
    """Return the layers of a model's configuration, in order; of another thing none."""
    inner = config.get("config") if isinstance(config, dict) else None
    if isinstance(inner, list):  # a Sequential of Keras 1
        layers: Any = inner
    else:
        layers = inner.get("layers") if isinstance(inner, dict) else None
    return [one for one in layers or [] if isinstance(one, dict)]


def told_all(config: Any, version: Any, *, places: Mapping[str, str] | None) -> dict[str, Told]:
    """Return what the configuration tells of every recurrent layer, by the prefix of its arrays.

    Parameters
    ----------
    config, version
        Of the file.
    places : mapping, optional
        Where each array is in a file that has the layers' names; without, the file is an archive
        of Keras 3, which counts the layers of a class, whatever their names are.

    Raises
    ------
    ValueError
        If models stand in models deeper than any are built.
    """
    found: dict[str, Told] = {}
    within: list[tuple[tuple[str, ...], Told]] = []  # layers in others, by the names around them
    layers = _layers_of(config)
    prefixes: dict[str, str] = {}  # of layers by their names
    for word, layer in _counted(layers):
        own = _name_of(layer)
        at = own if places is not None else word
        prefixes[own] = at
        told = _told_of(layer, version)
        if told is not None:
            found[at] = told
            continue
        for key, names, inner in _inside(layer, at, (own,), version):
            if places is None:
                found[key] = inner
            else:
                within.append((names, inner))
    if not max(len(layers), len(within)) <= _MOST:
        raise ValueError(f"its configuration has more than {_MOST} layers in one model")
    found |= _with_sources(found, layers, prefixes)
    for names, told in within:
        for at in _prefixes_of(names, places or {}):
            kept = found.setdefault(at, told)
            if kept != told and not kept.refused:
                why = "may be each of two layers of the configuration, by its name"
                found[at] = replace(told, refused=why)
    return found


def _prefixes_of(names: tuple[str, ...], places: Mapping[str, str]) -> list[str]:
    """Return the prefixes of arrays in places that have these names in this order.

    Where none has them all, it is those of what stands around: a wrapper may give its own name.
    """
    for length in range(len(names), 0, -1):
        hits = []
        for name, place in places.items():
            parts = iter(place.split("/"))
            if all(one in parts for one in names[:length]):
                hits.append(name.rpartition("/")[0])
        if hits:
            return sorted(set(hits))
    return []


def _name_of(layer: Mapping[str, Any]) -> str:
    settings = layer.get("config")
    settings = settings if isinstance(settings, dict) else {}
    return str(settings.get("name", layer.get("name", "")))


def _counted(layers: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield layers with what an archive calls each: the class, and how many there were before."""
    counts: dict[str, int] = {}
    for layer in layers:
        word = _snake(str(layer.get("class_name")).rpartition(">")[2])
        count = counts.get(word, 0)
        counts[word] = count + 1
        yield (f"{word}_{count}" if count else word), layer


def _inside(
    layer: dict[str, Any], at: str, names: tuple[str, ...], version: Any
) -> Iterator[tuple[str, tuple[str, ...], Told]]:
    """Yield of the recurrent layers in a model or a wrapper what is told, its names before it.

    These are its prefix in an archive, and the names of the layers around, with its own.
    """
    if not len(names) <= _DEPTH:
        raise ValueError(f"its configuration has models in models, more than {_DEPTH} deep")
    settings = layer.get("config")
    children = [(f"{at}/layers/{word}", one) for word, one in _counted(_layers_of(layer))]
    if isinstance(settings, dict):
        children += [
            (f"{at}/{key}", one)
            for key, one in settings.items()
            if isinstance(one, dict) and isinstance(one.get("config"), (dict, list))
        ]
    for key, one in children:
        own, told = (*names, _name_of(one)), _told_of(one, version)
        if told is not None:
            yield key, own, told
        else:
            yield from _inside(one, key, own, version)


def _told_of(layer: Mapping[str, Any], version: Any) -> Told | None:
    """Return what is told of a layer; None for one that is not recurrent."""
    kind, settings = str(layer.get("class_name")), layer.get("config")
    home, registered = layer.get("module"), layer.get("registered_name")
    package, _, last = kind.rpartition(">")
    if last not in _LAYERS:
        return None
    foreign = None if home in {None, "keras.layers"} else home
    if registered not in {None, "", last}:
        foreign = registered
    if package:
        foreign = package
    if foreign is not None:
        why = f"is of {foreign}, none of Keras' own layers: what it computes is not known"
        return Told(kind=kind, refused=why)
    return told_of_layer(kind, settings if isinstance(settings, dict) else {}, version)


def _snake(word: str) -> str:
    """Return how an archive of Keras 3 calls a layer of a class: simple_rnn, cu_dnnlstm, lstm."""
    out = ""
    for i, letter in enumerate(word):
        after = word[i + 1 : i + 2]
        if i and letter.isupper() and (word[i - 1].islower() or after.islower()):
            out += "_"
        out += letter.lower()
    return out


def told_of_layer(kind: str, settings: Mapping[str, Any], version: Any = None) -> Told:
    """Return what the settings of a layer tell, written by a version of Keras."""
    name = f"Keras {kind}"
    if kind not in _PLAIN:
        why = {
            "Bidirectional": "depends on inputs to come",
            "RNN": "wraps a cell; save the layer LSTM, GRU or SimpleRNN instead",
        }.get(kind, "is a recurrent layer of which there is no map")
        return Told(kind=name, refused=why)
    if settings.get("go_backwards"):
        return Told(kind=name, refused="has go_backwards=True: it reads the last input first")
    notes = ["it is stateful: it begins where the batch before ended"] * bool(
        settings.get("stateful")
    )
    if kind.startswith("CuDNN"):
        words: dict[str, Any] = {"activation": "tanh", "recurrent_activation": "sigmoid"}
        if kind == "CuDNNGRU":
            words["variant"] = "reset_after"
        return Told(kind=name, notes=tuple(notes), **words)
    words = {"activation": _function(settings.get("activation"))}
    if kind != "SimpleRNN":
        words["recurrent_activation"] = _function(settings.get("recurrent_activation"))
    if kind == "GRU":
        # before version 2 there was no such setting, and the reset gate came first
        after = settings.get("reset_after", False)
        words["variant"] = "reset_after" if after else "reset_before"
    if words.get("recurrent_activation") == "hard_sigmoid":
        words["recurrent_activation"] = hard_sigmoid_of(version)
    for key, value in words.items():
        if value is None:
            return Told(
                kind=name, refused=f"has {key}={settings.get(key)!r}, a function that is not known"
            )
    return Told(kind=name, notes=tuple(notes), **words)


def _function(value: Any) -> str | None:
    """Return the name of a function in a configuration; None for one of somebody else."""
    if isinstance(value, dict):
        if value.get("module") not in {None, "builtins", "keras.activations"}:
            return None
        if value.get("registered_name") not in {None, "", "function", value.get("config")}:
            return None
        value = value.get("config") if isinstance(value.get("config"), str) else None
    return value if isinstance(value, str) and ">" not in value else None


def told_heads(config: Any, told: Mapping[str, Told], *, named: bool) -> dict[str, ToldHead]:
    """Return what the configuration tells of the Dense layers of a model, by their prefixes.

    Parameters
    ----------
    config
    told : mapping
        What it tells of the recurrent layers, as `told_all` returns it.
    named : bool
        Whether the file has the layers' names; otherwise it counts the layers of a class.
    """
    found = {}
    layers = _layers_of(config)
    words = list(_counted(layers))
    prefixes = {_name_of(layer): _name_of(layer) if named else word for word, layer in words}
    below = _below(layers)
    for word, layer in words:
        own, inner = _name_of(layer), layer
        at = own if named else word
        if layer.get("class_name") == "TimeDistributed":
            # the same at every time
            settings = layer.get("config")
            inside = settings.get("layer") if isinstance(settings, dict) else None
            inner = inside if isinstance(inside, dict) else {}
            at = at if named else f"{at}/layer"
        if inner.get("class_name") != "Dense" or inner.get("module") not in {None, "keras.layers"}:
            continue
        settings = inner.get("config")
        after = _function(settings.get("activation")) if isinstance(settings, dict) else None
        source, between = _down(own, told, layers, prefixes, below)
        found[at] = ToldHead(
            kind="Keras Dense",
            source=source,
            between=between,
            after="" if after == "linear" else after or "an activation that is not known",
        )
    return found


def _below(layers: list[dict[str, Any]]) -> dict[str, str | None]:
    """Return the layer below each one by its name, "" for none, None where there are several."""
    names = [_name_of(one) for one in layers]
    below: dict[str, str | None] = {}
    for at, (name, layer) in enumerate(zip(names, layers, strict=True)):
        if "inbound_nodes" in layer:
            text = json.dumps(layer["inbound_nodes"])
            said = sorted({one for one in names if f'"{one}"' in text})
            below[name] = said[0] if len(said) == 1 else None if said else ""
        else:
            below[name] = names[at - 1] if at else ""
    return below


def _down(
    name: str,
    found: Mapping[str, Told],
    layers: list[dict[str, Any]],
    prefixes: Mapping[str, str],
    below: Mapping[str, str | None],
) -> tuple[str | None, str]:
    """Return the cell below a layer, as in `Told.source`, and what stands between them."""
    kinds = {_name_of(one): str(one.get("class_name")) for one in layers}
    between: list[str] = []
    one = below.get(name)
    while one and prefixes.get(one) not in found and len(between) < len(layers):
        if kinds[one] not in _PASSES:
            between.append(f"{kinds[one]} {one}")
        one = below.get(one)
    source = None if one is None else prefixes[one] if one and prefixes.get(one) in found else ""
    return source, ", ".join(reversed(between))


def _with_sources(
    found: dict[str, Told], layers: list[dict[str, Any]], prefixes: Mapping[str, str]
) -> dict[str, Told]:
    """Return what is told together with the layer below, where each has one at most."""
    below = _below(layers)
    out = {}
    for name, prefix in prefixes.items():
        if prefix in found:
            source, between = _down(name, found, layers, prefixes, below)
            out[prefix] = replace(found[prefix], source=source, between=between)
    return out
