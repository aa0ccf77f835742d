r"""What the configuration of a Keras model tells of its recurrent layers; no layer is made.

Main names: `read_config`, `told_all`, `told_heads`, `told_of_layer`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from theory.interop.formats.keras_layers import (
    foreign,
    function_name,
    is_cell,
    name_of,
    passes,
    through,
    word_of,
)
from theory.interop.layouts.keras import hard_sigmoid_of
from theory.interop.told import Told, ToldHead

_PLAIN = {"LSTM", "GRU", "SimpleRNN", "CuDNNLSTM", "CuDNNGRU"}

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
        own = name_of(layer)
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
    if _is_model(config):
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
        own, told = (*names, name_of(one)), _told_of(one, version)
        if told is not None:
            yield key, own, told
        else:
            yield from _inside(one, key, own, version)


def _told_of(layer: Mapping[str, Any], version: Any) -> Told | None:
    """Return what is told of a layer; None for one that is not recurrent."""
    kind, settings = str(layer.get("class_name")), layer.get("config")
    if not is_cell(layer):
        return None
    home = foreign(layer)
    if home:
        why = f"is of {home}, none of Keras' own layers: what it computes is not known"
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
    words = {"activation": function_name(settings.get("activation"))}
    if kind != "SimpleRNN":
        words["recurrent_activation"] = function_name(settings.get("recurrent_activation"))
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
    found: dict[str, ToldHead] = {}
    layers = _layers_of(config)
    if not _is_model(config):
        return found  # what a model of another class computes is not known
    words = list(_counted(layers))
    prefixes = {name_of(layer): name_of(layer) if named else word for word, layer in words}
    below = _below(layers)
    for word, layer in words:
        own, inner = name_of(layer), layer
        at = own if named else word
        if layer.get("class_name") == "TimeDistributed" and not foreign(layer):
            # the same at every time
            settings = layer.get("config")
            inside = settings.get("layer") if isinstance(settings, dict) else None
            inner = inside if isinstance(inside, dict) else {}
            at = at if named else f"{at}/layer"
        if inner.get("class_name") != "Dense" or foreign(inner):
            continue
        settings = inner.get("config")
        after = function_name(settings.get("activation")) if isinstance(settings, dict) else None
        source, between = _down(own, told, layers, prefixes, below)
        found[at] = ToldHead(
            kind="Keras Dense",
            source=source,
            between=between,
            after="" if after == "linear" else after or "an activation that is not known",
            through=through(_chain_below(own, layers, below), prefixes, named) if source else (),
        )
    return found


def _chain_below(
    name: str, layers: list[dict[str, Any]], below: Mapping[str, tuple[str | None, set[int]]]
) -> list[dict[str, Any]]:
    """Return the layers between a layer and the cell below it, with that cell, from there up."""
    by_name = {name_of(one): one for one in layers}
    chain: list[dict[str, Any]] = []
    one, outputs = below.get(name, ("", set()))
    while one and len(chain) < len(layers):
        chain.append(by_name[one])
        if is_cell(by_name[one]):
            return chain[::-1] if outputs <= {0, 1} else []
        one, outputs = below.get(one, ("", set()))
    return []


#: Keras' own models; the second is the older name of the first.
_MODELS = {"Functional", "Model", "Sequential"}


def _is_model(config: Any) -> bool:
    """Return whether a configuration is of Keras' own model, whose layers tell what it does."""
    if not isinstance(config, dict) or str(config.get("class_name")) not in _MODELS:
        return False
    home = str(config.get("module") or "keras")
    registered = config.get("registered_name") in {None, "", config.get("class_name")}
    return registered and home.partition(".")[0] in {"keras", "tensorflow", "tf_keras"}


def _below(layers: list[dict[str, Any]]) -> dict[str, tuple[str | None, set[int]]]:
    """Return the layer below each one by its name, and which of its outputs are read.

    It is "" for none, and None where there are several, or no telling.
    """
    names = [name_of(one) for one in layers]
    graph = any("inbound_nodes" in one for one in layers)
    below: dict[str, tuple[str | None, set[int]]] = {}
    for at, (name, layer) in enumerate(zip(names, layers, strict=True)):
        if names.count(name) > 1:
            below[name] = None, set()
        elif graph:
            read = set(_read_by(layer.get("inbound_nodes"), set(names)))
            said = {one for one, _ in read}
            none: str | None = "" if "inbound_nodes" in layer and not said else None
            below[name] = said.pop() if len(said) == 1 else none, {output for _, output in read}
        else:
            below[name] = names[at - 1] if at else "", {0}
    return below


def _read_by(nodes: Any, names: set[str]) -> Iterator[tuple[str, int]]:
    """Yield the layers that inbound nodes name, each with which of its outputs; -1 if untold."""
    if isinstance(nodes, dict):
        nodes = list(nodes.values())
    if isinstance(nodes, str) and nodes in names:
        yield nodes, -1
    if not isinstance(nodes, list):
        return
    if len(nodes) >= 3 and isinstance(nodes[0], str) and nodes[0] in names:
        numbers = [one for one in nodes[1:3] if isinstance(one, int)]
        yield nodes[0], numbers[1] if len(numbers) == 2 else -1
        nodes = nodes[3:]
    for one in nodes:
        yield from _read_by(one, names)


def _down(
    name: str,
    found: Mapping[str, Told],
    layers: list[dict[str, Any]],
    prefixes: Mapping[str, str],
    below: Mapping[str, tuple[str | None, set[int]]],
) -> tuple[str | None, str]:
    """Return the cell below a layer, as in `Told.source`, and what stands between them."""
    by_name = {name_of(one): one for one in layers}
    between: list[str] = []
    one, outputs = below.get(name, ("", set()))
    while one and not is_cell(by_name[one]) and len(between) < len(layers):
        if not passes(by_name[one]):
            between.append(word_of(by_name[one]))
        one, outputs = below.get(one, ("", set()))
    if one and is_cell(by_name[one]):
        # the outputs are the states, then the last one, then the c of an LSTM
        if not outputs <= {0, 1}:
            between.append(
                f"the state c of {one}" if outputs == {2} else f"another output of {one}"
            )
        if prefixes.get(one) in found:
            return prefixes[one], ", ".join(reversed(between))
    return None if one is None else "", ", ".join(reversed(between))


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
