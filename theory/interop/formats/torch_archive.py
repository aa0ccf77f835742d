r"""PyTorch's own files, .pt and .pth, and archives of TorchScript: their tensors, nothing else.

Main names: `read_torch`, `write_torch`, `is_torch`.

Such a file is a zip archive: a pickle that describes objects, and the numbers of each storage as
they are (before version 1.6 the pickles and the numbers stand in one stream).  The pickle is
described by `inert`; the code that a TorchScript archive holds is not looked at.  So a file that
``torch.load(weights_only=True)`` refuses is read as well: whatever is no tensor is left out.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Literal, final

import numpy as np

from theory.files.arrays import DEFAULT_LIMIT, Unread, too_large
from theory.interop.formats.described import Walk, rebuilt
from theory.interop.formats.inert import Described, Name, Stored, describe
from theory.interop.told import Told

#: Types of numbers by the names of storages; bfloat16 is the upper half of a float32.
_TYPES = {
    "Double": "f8", "Float": "f4", "Half": "f2", "BFloat16": "u2", "Long": "i8", "Int": "i4",
    "Short": "i2", "Char": "i1", "Byte": "u1", "Bool": "?",
}  # fmt: skip

#: The same by the names of types, where the storage has none.
_DTYPES = {
    "float64": "Double", "float32": "Float", "float16": "Half", "bfloat16": "BFloat16",
    "int64": "Long", "int32": "Int", "int16": "Short", "int8": "Char", "uint8": "Byte",
    "bool": "Bool",
}  # fmt: skip

#: What begins a file of before version 1.6.
_MAGIC = 0x1950A86A20F9469CFC6C


@final
@dataclass(frozen=True, kw_only=True)
class TorchTensor:
    """Where a tensor's numbers are among the storages."""

    key: str
    kind: str  # of `_TYPES`
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    negated: bool = False  # whether the storage has the other signs


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class TorchFile:
    """The tensors of a file and its storages, as they are stored."""

    tensors: Mapping[str, Any]  # each a `TorchTensor`, or an `Unread`
    storages: Mapping[str, bytes]
    order: Literal["<", ">"]
    legacy: bool = False
    told: Mapping[str, Told] = field(default_factory=dict)  # what modules say of themselves

    def array(self, name: str) -> Any:
        """Return one tensor as an array; bfloat16 in single precision."""
        flat, t = self._flat(name)
        array = np.lib.stride_tricks.as_strided(
            flat[t.offset :],
            shape=t.shape,
            strides=tuple(s * flat.itemsize for s in t.strides),
            writeable=False,
        )
        if t.kind == "BFloat16":
            array = (array.astype("<u4") << 16).view("<f4")
        return -array if t.negated else array

    def _flat(self, name: str) -> tuple[Any, TorchTensor]:
        t = self.tensors[name]
        kind = np.dtype(_TYPES[t.kind]).newbyteorder(self.order)
        data = self.storages[t.key]
        flat = np.frombuffer(data[: len(data) - len(data) % kind.itemsize], dtype=kind)
        last = t.offset + sum((n - 1) * s for n, s in zip(t.shape, t.strides, strict=True))
        count = math.prod(t.shape)
        inside = min((t.offset, *t.shape, *t.strides), default=0) >= 0 and count <= max(
            len(flat), 1
        )
        if not inside or (count and not last < len(flat)):
            raise ValueError(f"{name} does not fit into its storage; the file is damaged")
        return flat if count else flat[:0], t if count else replace(t, offset=0)

    def with_changed(self, arrays: Mapping[str, Any]) -> dict[str, bytes]:
        """Return the storages with these tensors replaced, each in its own type.

        Raises
        ------
        ValueError
            If another tensor reads the same numbers, or the type cannot store a number.
        """
        changed = dict(self.storages)
        for name, array in arrays.items():
            _, t = self._flat(name)
            if t.kind == "BFloat16":
                raise ValueError(
                    f"{name} is stored as BFloat16, which cannot store the projected numbers "
                    "exactly; convert it to float32 or float64"
                )
            kind = np.dtype(_TYPES[t.kind]).newbyteorder(self.order)
            data = bytearray(changed[t.key])
            places = np.asarray(t.offset)
            for n, step in zip(t.shape, t.strides, strict=True):
                places = places[..., None] + step * np.arange(n)
            if len(np.unique(places)) != places.size:
                raise ValueError(f"{name} shares numbers with itself; save a copy of it")
            flat = np.frombuffer(data, dtype=kind)
            flat[places] = -np.asarray(array) if t.negated else array
            changed[t.key] = bytes(data)
        for name in self.tensors:
            one = self.tensors[name]
            if name in arrays or isinstance(one, Unread):
                continue
            if one.key in {self.tensors[other].key for other in arrays}:
                before = self.array(name)
                after = TorchFile(tensors=self.tensors, storages=changed, order=self.order).array(
                    name
                )
                if before.tobytes() != after.tobytes():
                    raise ValueError(
                        f"{name} shares numbers with what would be changed; save copies"
                    )
        return changed


def is_torch(path: Path) -> bool:
    """Return whether a file is PyTorch's, by its content."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("data.pkl") for name in archive.namelist())
    with path.open("rb") as stream:
        head = stream.read(64)
    return head[:1] == b"\x80" and _MAGIC.to_bytes(10, "little") in head


def read_torch(path: Path) -> TorchFile:
    """Return the tensors of a file of PyTorch's, under the names of their places.

    Raises
    ------
    ValueError
        If it is damaged or too large.
    """
    if not zipfile.is_zipfile(path):
        return _read_legacy(path)
    with zipfile.ZipFile(path) as archive:
        inner = [i for i in archive.infolist() if not i.filename.endswith("/")]
        size = sum(i.file_size for i in inner)
        if not size <= DEFAULT_LIMIT:
            raise ValueError(too_large(path.name, size, DEFAULT_LIMIT))
        twice = [name for name, n in Counter(i.filename for i in inner).items() if n > 1]
        if twice:
            raise ValueError(f"{twice[0]} is there twice; which of them counts is not known")
        root = next(i.filename for i in inner if i.filename.endswith("data.pkl"))
        root = root.removesuffix("data.pkl")
        tree = describe(io.BytesIO(archive.read(f"{root}data.pkl")))
        start = f"{root}data/"
        storages = {
            i.filename.removeprefix(start): archive.read(i)
            for i in inner
            if i.filename.startswith(start)
        }
        names = {i.filename for i in inner}
        order = archive.read(f"{root}byteorder") if f"{root}byteorder" in names else b"little"
    tensors, told = _tensors(tree, storages, path.name)
    return TorchFile(
        tensors=tensors, storages=storages, order=">" if order == b"big" else "<", told=told
    )


def _read_legacy(path: Path) -> TorchFile:
    content = path.read_bytes()
    stream = io.BytesIO(content)
    magic, _, system, tree, keys = (describe(stream) for _ in range(5))
    little = not isinstance(system, dict) or system.get("little_endian", True)
    if magic != _MAGIC or not isinstance(keys, list):
        raise ValueError("it is no file of PyTorch's")
    order: Any = "little" if little else "big"
    sizes = _sizes(tree)
    storages = {}
    for key in map(str, keys):
        count = int.from_bytes(stream.read(8), order)
        if key not in sizes:
            raise ValueError(f"nothing tells the type of its storage {key!r}; the file is damaged")
        if not 0 <= count * sizes[key] <= len(content):
            raise ValueError("a storage is longer than the file; the file is damaged")
        storages[key] = stream.read(count * sizes[key])
    tensors, told = _tensors(tree, storages, path.name)
    return TorchFile(
        tensors=tensors,
        storages=storages,
        order="<" if little else ">",
        legacy=True,
        told=told,
    )


def _sizes(tree: Any) -> dict[str, int]:
    """Return the size of a number in every storage, by its key; they stand one behind another."""
    sizes: dict[str, int] = {}
    seen: set[int] = set()
    left = [tree]
    while left:
        thing = left.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, Described):
            left += [thing.of, thing.arguments, thing.state, thing.items, thing.entries]
        elif isinstance(thing, (list, tuple)):
            left += thing
        elif isinstance(thing, dict):
            left += thing.values()
        elif isinstance(thing, Stored) and thing.key[0] == "storage":
            _, storage, key, *_ = thing.key
            kind = _kind_of(storage)
            if kind is None:
                told = storage.text if isinstance(storage, Name) else str(storage)
                raise ValueError(
                    f"a storage is of {told}, needed one of: {', '.join(_TYPES)}; save it again, "
                    "in the format of today"
                )
            size = np.dtype(_TYPES[kind]).itemsize
            if sizes.setdefault(str(key), size) != size:
                raise ValueError(f"its storage {key!r} has two types; the file is damaged")
    return sizes


def _kind_of(storage: Any) -> str | None:
    word = storage.text if isinstance(storage, Name) else ""
    kind = word.rpartition(".")[2].removesuffix("Storage")
    return kind if kind in _TYPES else None


def _tensors(
    tree: Any, storages: Mapping[str, bytes], file: str
) -> tuple[dict[str, Any], dict[str, Told]]:
    """Return where every tensor is, an `Unread` for what is not read, and what modules tell."""
    walk = Walk(tree)
    found: dict[str, Any] = {}
    left = DEFAULT_LIMIT
    for name, made in walk.found.items():
        parts = rebuilt(made)
        found[name] = one = made if parts is None else _tensor(parts, storages)
        # the numbers of others are those of the storages themselves
        if isinstance(one, TorchTensor) and (one.kind == "BFloat16" or one.negated):
            size = math.prod(one.shape) * np.dtype(_TYPES[one.kind]).itemsize
            if not size <= left:
                raise ValueError(too_large(f"{file}:{name}", size, left))
            left -= size
    return found, walk.told


def _tensor(parts: tuple[Any, ...], storages: Mapping[str, bytes]) -> TorchTensor | Unread:
    function, storage, offset, shape, strides, *more = parts
    if function == "_rebuild_qtensor":
        return Unread("is quantised; convert it with dequantize()")
    if not isinstance(storage, Stored):
        return Unread("has no storage in the file")
    _, kind, key, *_ = storage.key
    word = _kind_of(kind)
    if function == "_rebuild_tensor_v3":
        names = [one.text.rpartition(".")[2] for one in more if isinstance(one, Name)]
        word = next((_DTYPES[one] for one in names if one in _DTYPES), None)
    if word is None:
        told = kind.text if isinstance(kind, Name) else str(kind)
        return Unread(f"is stored as {told}, needed one of: {', '.join(_TYPES)}")
    # beyond the gradient's settings, and the type in the newest function
    beyond = more[3:] if function == "_rebuild_tensor_v3" else more[2:]
    views = {key: on for one in beyond for key, on in (one or {}).items() if on}
    if set(views) - {"neg"}:
        return Unread(f"is stored as a view ({', '.join(map(str, views))}); save a copy of it")
    if str(key) not in storages:
        raise ValueError(f"its storage {key!r} is missing; the file is damaged")
    numbers = (offset, *shape, *strides)
    if not all(type(one) is int for one in numbers) or len(shape) != len(strides):
        raise ValueError("a tensor has no shape; the file is damaged")
    return TorchTensor(
        key=str(key),
        kind=word,
        offset=offset,
        shape=tuple(shape),
        strides=tuple(strides),
        negated="neg" in views,
    )


def write_torch(
    stream: IO[bytes], source: Path, file: TorchFile, arrays: Mapping[str, Any]
) -> None:
    """Write a file with these tensors replaced; everything else is copied as it is.

    Raises
    ------
    ValueError
        If it is one of before version 1.6, or a number cannot be stored.
    """
    if file.legacy:
        raise ValueError(
            f"{source} is in PyTorch's format of before version 1.6, which is only read; save it "
            "again with torch.save"
        )
    changed = file.with_changed(arrays)
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(stream, "w") as new:
        for member in old.infolist():
            root, _, key = member.filename.rpartition("data/")
            own = key in changed and member.filename == f"{root}data/{key}"
            data = changed[key] if own and "/" not in key else old.read(member)
            new.writestr(member, data)
