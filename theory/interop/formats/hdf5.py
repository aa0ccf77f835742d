r"""Keras' files: .h5 and .hdf5, and the archives .keras.

Main names: `read_keras`, `write_keras`, `KerasFile`, `is_hdf5`.

Only the arrays and the configuration, a text, are read; Keras is not needed, and no layer is made,
so that no function that a file names is called.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, final

import numpy as np

from theory.errors import MissingExtraError
from theory.files.arrays import DEFAULT_LIMIT, Unread, too_large
from theory.interop.layouts.keras import hard_sigmoid_of
from theory.interop.told import Told

#: What begins an HDF5 file.
_MARK = b"\x89HDF\r\n\x1a\n"

#: The weights of a Keras 3 archive, and its configuration.
_WEIGHTS, _CONFIG, _ABOUT = "model.weights.h5", "config.json", "metadata.json"

#: Names of the arrays of a cell in a Keras 3 archive, which numbers them.
_NUMBERED = {"0": "kernel", "1": "recurrent_kernel", "2": "bias"}

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


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class KerasFile:
    """The arrays of a file, and what its configuration tells of the cells."""

    arrays: Mapping[str, Any]
    places: Mapping[str, str]  # where each array is in the HDF5 file
    told: Mapping[str, Told] = field(default_factory=dict)
    inner: str = ""  # the HDF5 file in an archive, "" for a file that is one


def is_hdf5(path: Path) -> bool:
    """Return whether a file is HDF5, or an archive of Keras with one inside, by its content."""
    with path.open("rb") as stream:
        if stream.read(len(_MARK)) == _MARK:
            return True
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return _WEIGHTS in archive.namelist()


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise MissingExtraError("h5py", "keras", "an HDF5 file") from None
    return h5py


def read_keras(path: Path) -> KerasFile:
    """Return the arrays of a file, and what its configuration tells.

    Raises
    ------
    ValueError
        If it is damaged or too large.
    MissingExtraError
        If the package h5py is not installed.
    """
    _h5py()
    try:
        if not zipfile.is_zipfile(path):
            return _read(path.read_bytes(), path.name, None, "")
        with zipfile.ZipFile(path) as archive:
            size = sum(i.file_size for i in archive.infolist())
            if not size <= DEFAULT_LIMIT:
                raise ValueError(too_large(path.name, size, DEFAULT_LIMIT))
            text = archive.read(_CONFIG) if _CONFIG in archive.namelist() else None
            about = archive.read(_ABOUT) if _ABOUT in archive.namelist() else b"{}"
            version = (_config(about) or {}).get("keras_version")
            return _read(archive.read(_WEIGHTS), path.name, text, _WEIGHTS, version)
    except (OSError, KeyError, RuntimeError, zipfile.BadZipFile) as error:
        raise ValueError(f"it is damaged: {error}") from None


def _read(
    content: bytes, name: str, text: bytes | str | None, inner: str, version: Any = None
) -> KerasFile:
    places: dict[str, str] = {}
    arrays: dict[str, Any] = {}
    left = DEFAULT_LIMIT
    with _h5py().File(io.BytesIO(content), "r") as file:
        text = file.attrs.get("model_config") if text is None else text
        version = file.attrs.get("keras_version", version)
        for place, dataset in _datasets(file, ""):
            left -= dataset.size * dataset.dtype.itemsize
            if not left >= 0:
                raise ValueError(too_large(name, dataset.size, left))
            key = place.removeprefix("model_weights/")
            if key.startswith(("optimizer_weights/", "optimizer/")):
                continue
            places[_own_name(key) if inner else key] = place
            plain = dataset.dtype.kind in "fiub"
            arrays[_own_name(key) if inner else key] = (
                dataset[()] if plain else Unread(f"is stored as {dataset.dtype}")
            )
    if not inner and not all("/vars/" in key for key in arrays):
        names = _short_names(list(arrays))
        arrays = {names[key]: value for key, value in arrays.items()}
        places = {names[key]: value for key, value in places.items()}
    elif not inner:
        # save_weights of Keras 3 numbers arrays as an archive does
        arrays = {_own_name(key): value for key, value in arrays.items()}
        places = {_own_name(key): value for key, value in places.items()}
    told = _told_all(_config(text), version, numbered=bool(inner))
    return KerasFile(arrays=arrays, places=places, told=told, inner=inner)


def _datasets(group: Any, start: str) -> Iterator[tuple[str, Any]]:
    """Yield the datasets below a group, in order; links into other files are left alone."""
    h5py = _h5py()
    for key in group:
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            continue
        inside = group[key]
        if isinstance(inside, h5py.Group):
            if not start.count("/") <= 100:
                raise ValueError("its groups are in a circle")
            yield from _datasets(inside, f"{start}{key}/")
        elif isinstance(inside, h5py.Dataset):
            if inside.external or inside.is_virtual:
                raise ValueError(f"{start}{key} is kept in another file")
            yield f"{start}{key}", inside


def _short_names(places: list[str]) -> dict[str, str]:
    """Return lstm_1/kernel for lstm_1/sequential/lstm_1/lstm_cell/kernel:0, where that is unique.

    The first part is what a configuration calls the layer.
    """
    short: dict[str, list[str]] = {}
    for place in places:
        layer, _, rest = place.partition("/")
        own = f"{layer}/{rest.rpartition('/')[2]}" if rest else layer
        short.setdefault(own.removesuffix(":0"), []).append(place)
    return {
        place: name if len(those) == 1 else place.removesuffix(":0")
        for name, those in short.items()
        for place in those
    }


def _own_name(place: str) -> str:
    """Return lstm/kernel for layers/lstm/cell/vars/0, as Keras 3 numbers arrays."""
    parts = place.split("/")
    while parts and parts[0] in {"layers", "_layer_checkpoint_dependencies"}:
        parts.pop(0)
    if parts[-3:-1] == ["cell", "vars"] and parts[-1] in _NUMBERED:
        return "/".join([*parts[:-3], _NUMBERED[parts[-1]]])
    if parts[-2:-1] == ["vars"] and parts[-1] in {"0", "1"}:
        return "/".join([*parts[:-2], ("kernel", "bias")[int(parts[-1])]])
    return "/".join(parts)


# ---------------------------------------------------------------------------------- configuration


def _config(text: Any) -> Any:
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


def _told_all(config: Any, version: Any, *, numbered: bool) -> dict[str, Told]:
    """Return what the configuration tells of every recurrent layer, by the prefix of its arrays."""
    found: dict[str, Told] = {}
    layers = _layers_of(config)
    counts: dict[str, int] = {}
    prefixes: dict[str, str] = {}  # of layers by their names
    for layer in layers:
        kind, settings = str(layer.get("class_name")), layer.get("config")
        settings = settings if isinstance(settings, dict) else {}
        own = str(settings.get("name", layer.get("name", "")))
        at = own
        if numbered:
            # the archive counts the layers of a class, whatever their names are
            word = _snake(kind)
            count = counts.get(word, 0)
            at = f"{word}_{count}" if count else word
        counts[_snake(kind)] = counts.get(_snake(kind), 0) + 1
        prefixes[own] = at
        home = layer.get("module")
        if kind in _LAYERS and home not in {None, "keras.layers"}:
            why = f"is of {home}, none of Keras' own layers: what it computes is not known"
            found[at] = Told(kind=kind, refused=why)
        elif kind in _LAYERS:
            found[at] = told_of_layer(kind, settings, version)
    return _with_sources(found, layers, prefixes)


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
        value = value.get("config") if isinstance(value.get("config"), str) else None
    return value if isinstance(value, str) else None


def _with_sources(
    found: dict[str, Told], layers: list[dict[str, Any]], prefixes: Mapping[str, str]
) -> dict[str, Told]:
    """Return what is told together with the layer below, where each has one at most."""
    names = [str((one.get("config") or {}).get("name", one.get("name", ""))) for one in layers]
    kinds = dict(zip(names, (str(one.get("class_name")) for one in layers), strict=True))
    below: dict[str, str | None] = {}
    for at, (name, layer) in enumerate(zip(names, layers, strict=True)):
        if "inbound_nodes" in layer:
            said = sorted(
                {one for one in kinds if f'"{one}"' in json.dumps(layer["inbound_nodes"])}
            )
            below[name] = said[0] if len(said) == 1 else None if said else ""
        else:
            below[name] = names[at - 1] if at else ""
    out = {}
    for name, prefix in prefixes.items():
        if prefix not in found:
            continue
        between: list[str] = []
        one = below.get(name)
        while one and prefixes.get(one) not in found and len(between) < len(names):
            if kinds[one] not in _PASSES:
                between.append(f"{kinds[one]} {one}")
            one = below.get(one)
        source = (
            None if one is None else prefixes[one] if one and prefixes.get(one) in found else ""
        )
        out[prefix] = replace(found[prefix], source=source, between=", ".join(reversed(between)))
    return out


# ------------------------------------------------------------------------------------------ writing


def write_keras(
    stream: IO[bytes], source: Path, file: KerasFile, changed: Mapping[str, Any]
) -> None:
    """Write a file with some arrays replaced, each in its own type; the rest is copied.

    Raises
    ------
    ValueError
        If an array is not in the file.
    """
    missing = [name for name in changed if name not in file.places]
    if missing:
        raise ValueError(f"{source} has no {missing[0]}, and would need one: save it with a bias")
    if not file.inner:
        stream.write(_replaced(source.read_bytes(), file, changed))
        return
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(stream, "w") as new:
        for member in old.infolist():
            data = old.read(member)
            if member.filename == file.inner:
                data = _replaced(data, file, changed)
            new.writestr(member, data)


def _replaced(content: bytes, file: KerasFile, changed: Mapping[str, Any]) -> bytes:
    held = io.BytesIO(content)
    with _h5py().File(held, "r+") as opened:
        for name, array in changed.items():
            opened[file.places[name]][...] = np.asarray(array)
    return held.getvalue()
