r"""Keras' files: .h5 and .hdf5, and the archives .keras.

Main names: `read_keras`, `write_keras`, `KerasFile`, `is_hdf5`.

Only the arrays and the configuration, a text, are read; Keras is not needed, and no layer is made,
so that no function that a file names is called.
"""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, final

import numpy as np

from theory.errors import MissingExtraError
from theory.files.arrays import DEFAULT_LIMIT, Unread, too_large
from theory.interop.formats.keras_config import read_config, told_all, told_heads
from theory.interop.told import Told, ToldHead

#: What begins an HDF5 file.
_MARK = b"\x89HDF\r\n\x1a\n"

#: The weights of a Keras 3 archive, and its configuration.
_WEIGHTS, _CONFIG, _ABOUT = "model.weights.h5", "config.json", "metadata.json"

#: Names of the arrays of a cell in a Keras 3 archive, which numbers them.
_NUMBERED = {"0": "kernel", "1": "recurrent_kernel", "2": "bias"}

#: So many groups and arrays are looked at; one with several names counts each time.
_BUDGET = 10**5


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class KerasFile:
    """The arrays of a file, and what its configuration tells of the cells."""

    arrays: Mapping[str, Any]
    places: Mapping[str, str]  # where each array is in the HDF5 file
    told: Mapping[str, Told] = field(default_factory=dict)
    heads: Mapping[str, ToldHead] = field(default_factory=dict)
    configured: bool = False  # whether it has a configuration
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
            twice = [name for name, n in Counter(archive.namelist()).items() if n > 1]
            if twice:
                raise ValueError(f"{twice[0]} is there twice; which of them counts is not known")
            text = archive.read(_CONFIG) if _CONFIG in archive.namelist() else None
            about = archive.read(_ABOUT) if _ABOUT in archive.namelist() else b"{}"
            version = (read_config(about) or {}).get("keras_version")
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
        for place, dataset in _datasets(file, "", [_BUDGET]):
            key = place.removeprefix("model_weights/")
            there = not isinstance(dataset, Unread)
            if there:
                left -= dataset.size * dataset.dtype.itemsize
            if not left >= 0:
                raise ValueError(too_large(name, dataset.size, left))
            if key.startswith(("optimizer_weights/", "optimizer/")):
                continue
            key = _own_name(key) if inner else key
            _check_new(key, arrays)
            if there:
                places[key] = place
            arrays[key] = _value(dataset) if there else dataset
    if not inner:
        # save_weights of Keras 3 numbers arrays as an archive does
        numbered = bool(arrays) and all("/vars/" in key for key in arrays)
        short = {key: _own_name(key) for key in arrays} if numbered else _short_names(list(arrays))
        given, arrays = arrays, {}
        for key, value in given.items():
            _check_new(short[key], arrays)
            arrays[short[key]] = value
        places = {short[key]: value for key, value in places.items()}
    config = read_config(text)
    told = told_all(config, version, places=None if inner else places)
    heads = told_heads(config, told, named=not inner)
    return KerasFile(
        arrays=arrays, places=places, told=told, heads=heads, inner=inner,
        configured=config is not None,
    )  # fmt: skip


def _check_new(name: str, arrays: Mapping[str, Any]) -> None:
    if name in arrays:
        raise ValueError(f"two arrays have the name {name!r}; which of them counts is not known")


def _value(dataset: Any) -> Any:
    """Return the numbers of a dataset; integers are no weights, but codes of them."""
    kind = dataset.dtype.kind
    if kind in "iub":
        return Unread(f"is stored as {dataset.dtype}, as quantised weights are; save it as float32")
    return dataset[()] if kind == "f" else Unread(f"is stored as {dataset.dtype}")


def _datasets(group: Any, start: str, left: list[int]) -> Iterator[tuple[str, Any]]:
    """Yield the datasets below a group, in order, and an `Unread` for a link."""
    h5py = _h5py()
    for key in group:
        left[0] -= 1
        if not left[0] >= 0:
            raise ValueError(
                f"it has more than {_BUDGET} groups and arrays, counted by their names"
            )
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            yield f"{start}{key}", Unread("is a link, which is not followed; save a copy of it")
            continue
        inside = group[key]
        if isinstance(inside, h5py.Group):
            if not start.count("/") <= 100:
                raise ValueError("its groups are in a circle")
            yield from _datasets(inside, f"{start}{key}/", left)
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
