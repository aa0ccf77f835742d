"""The safetensors format: tensors as they are stored, and a file made of them again.

Main names: `Tensor`, `read_tensors`, `write_tensors`.

A file is the length of a header, the header (JSON: type, shape and place of every tensor, and free
text under ``__metadata__``), and the numbers one after another.  What NumPy has no type for is kept
as bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, final

import numpy as np

from theory.errors import MissingExtraError
from theory.files.arrays import Unread
from theory.interop.build import DTYPES

#: The header begins after its length, and what follows it at a multiple of this.
_WORD = 8


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Tensor:
    """One tensor as it is stored."""

    kind: str  # its type by the format's name, as in F32
    shape: tuple[int, ...]
    data: bytes  # row by row, little-endian

    @property
    def array(self) -> Any:
        """Return it as an array; bfloat16 in single precision, and what NumPy has not, `Unread`."""
        if self.kind not in DTYPES:
            return Unread(f"is stored as {self.kind}, needed {', '.join(DTYPES)}; convert it")
        array = np.frombuffer(self.data, dtype=DTYPES[self.kind])
        if self.kind == "BF16":
            array = (array.astype("<u4") << 16).view("<f4")
        return array.reshape(self.shape)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a safetensors file by name, in its order, and its metadata.

    Raises
    ------
    ValueError
        If the file cannot be read.
    MissingExtraError
        If the package safetensors is not installed.
    """
    try:
        from safetensors import SafetensorError, deserialize
    except ImportError:
        raise MissingExtraError("safetensors", "safetensors", "a safetensors file") from None
    read: Any = deserialize  # it has no types
    try:
        content = path.read_bytes()
        found = dict(read(content))
    except (OSError, SafetensorError) as error:
        # the system's words for a missing file repeat its name
        told = (error.strerror if isinstance(error, OSError) else None) or error
        raise ValueError(f"{path} cannot be read: {told}") from None
    # the package has checked the header
    end = _WORD + int.from_bytes(content[:_WORD], "little")
    header = json.loads(content[_WORD:end])
    metadata = header.pop("__metadata__", None) or {}
    for name in header:
        if not name.isprintable():
            raise ValueError(f"{path} cannot be read: it holds a tensor with the name {name!r}")
    tensors = {
        name: Tensor(kind=t["dtype"], shape=tuple(t["shape"]), data=bytes(t["data"]))
        for name, t in ((name, found[name]) for name in header)
    }
    return tensors, metadata


def tensor_of(name: str, array: Any, kind: str | None = None) -> Tensor:
    """Return an array as a tensor, of the given type or that of the array.

    Raises
    ------
    ValueError
        If the type cannot store a number.
    """
    values = np.asarray(array)
    if kind is None:
        kinds = {np.dtype(text): kind for kind, text in DTYPES.items() if kind != "BF16"}
        kind = kinds[values.dtype.newbyteorder("<")]
    if kind == "BF16":
        bits = np.ascontiguousarray(values, dtype="<f4").view("<u4")
        if np.any(bits & 0xFFFF):
            raise ValueError(
                f"{name} is stored as BF16, which cannot store the projected numbers exactly; "
                "convert it to F32 or F64"
            )
        data = (bits >> 16).astype("<u2").tobytes()
    else:
        data = np.ascontiguousarray(values, dtype=DTYPES[kind]).tobytes()
    return Tensor(kind=kind, shape=values.shape, data=data)


def write_tensors(
    stream: IO[bytes], tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> None:
    """Write a safetensors file; tensors of larger numbers come first, so that all are aligned."""

    def size(name: str) -> float:
        count = math.prod(tensors[name].shape)
        return -len(tensors[name].data) / count if count else 0.0

    places, at = {}, 0
    order = sorted(tensors, key=size)
    for name in order:
        places[name] = [at, at + len(tensors[name].data)]
        at = places[name][1]
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    for name, tensor in tensors.items():
        header[name] = {
            "dtype": tensor.kind,
            "shape": list(tensor.shape),
            "data_offsets": places[name],
        }
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % _WORD)
    stream.write(len(text).to_bytes(_WORD, "little") + text)
    for name in order:
        stream.write(tensors[name].data)
