r"""Arrays from .npy and .npz files, read without trusting them, and written under any name.

Main names: `read_arrays`, `array_header`, `write_archive`, `Unread`, `ArrayFileError`,
`DEFAULT_LIMIT`.

Nothing is unpickled, and nothing is read before its declared size is known to be within a limit.
"""

from __future__ import annotations

import io
import math
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any, final

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

#: Largest total size, in bytes once unpacked, that is read unless another limit is given: 1 GiB.
DEFAULT_LIMIT = 2**30

#: An .npy header is a short text; NumPy's own limit.
_MAX_HEADER = 10_000

#: Called with the name and the shape that a header declares, before the data are read.
Check = Callable[[str, tuple[int, ...]], None]


@final
class ArrayFileError(ValueError):
    """A file of arrays that cannot be read, or is refused; the message says why."""


@final
@dataclass(frozen=True)
class Unread:
    """An array that is there and is not read; refused by name if it turns out to be needed."""

    reason: str  # what it is stored as, and what to do, as in "holds Python objects, ..."


def read_arrays(
    file: Path,
    limit: int = DEFAULT_LIMIT,
    check: Check | None = None,
    *,
    leave_objects: bool = False,
    only: str | None = None,
) -> list[tuple[str, Any]]:
    """Return the arrays of a file with their names; an .npy file's only one has the empty name.

    Parameters
    ----------
    file : path
        ``.npy`` or ``.npz``.
    limit : int
        Largest total number of bytes, unpacked and as doubles.
    check : callable, optional
        Raises if a declared shape is not wanted.
    leave_objects : bool
        Whether an array of Python objects in an archive becomes an `Unread`.
    only : str, optional
        The one member of an archive that is read.

    Raises
    ------
    ArrayFileError
        If the file is damaged, holds something that is no array, Python objects or two arrays of
        one name, or unpacks to more than the limit.
    """
    try:
        if file.suffix.lower() == ".npz":
            return _read_archive(file, limit, check, leave_objects, only)
        if file.suffix.lower() == ".npy":
            size = file.stat().st_size
            if not size <= limit:
                raise ArrayFileError(too_large(file.name, size, limit))
            return [("", _parse(file.name, file.read_bytes(), limit, check))]
    except _ObjectsError as error:
        raise ArrayFileError(f"{file.name} {error}") from None
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        # the system's words for a missing file repeat its name
        told = (error.strerror if isinstance(error, OSError) else None) or error
        raise ArrayFileError(f"{file.name} cannot be read: {told}") from None
    raise ArrayFileError(f"{file.name} is not an .npy or .npz file")


def write_archive(stream: IO[bytes], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write an .npz file; unlike with `numpy.savez` an array may have any name."""
    with zipfile.ZipFile(stream, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                npy.write_array(member, array, allow_pickle=False)


def too_large(name: str, size: int, left: int) -> str:
    """Return the message for what is beyond a limit."""
    return (
        f"{name} unpacks to {size} bytes, {left} are left of the limit; "
        "split the file, or raise the limit if you trust it"
    )


def _read_archive(
    file: Path, left: int, check: Check | None, leave_objects: bool, only: str | None
) -> list[tuple[str, Any]]:
    found: dict[str, Any] = {}
    with zipfile.ZipFile(file) as archive:
        members = [i for i in archive.infolist() if not i.filename.endswith("/")]
        # the archive's own directory may lie, so what is read is counted as well
        declared = sum(i.file_size for i in members)
        if not declared <= left:
            raise ArrayFileError(too_large(file.name, declared, left))
        for member in members:
            own = member.filename.removesuffix(".npy")
            name = f"{file.name}:{own}"
            if not own.isprintable():
                raise ArrayFileError(f"{file.name} holds an array with the name {own!r}")
            if own == member.filename:
                raise ArrayFileError(f"{name} is no .npy array; leave it out of the archive")
            if only not in {None, own}:
                continue
            if own in found:
                raise ArrayFileError(f"{name} is there twice; which of them counts is not known")
            with archive.open(member) as stream:
                data = stream.read(left + 1)
            if len(data) > left:
                raise ArrayFileError(too_large(name, len(data), left))
            try:
                found[own] = _parse(name, data, left, check)
            except _ObjectsError as error:
                if not leave_objects:
                    raise ArrayFileError(f"{name} {error}") from None
                found[own] = Unread(str(error))
            left -= len(data)
    return list(found.items())


class _ObjectsError(Exception):
    """An array holds Python objects."""


def array_header(name: str, stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type that an .npy array declares, and leave the stream at its data.

    Raises
    ------
    ArrayFileError
        If it is no such array.
    """
    try:
        version = npy.read_magic(stream)
        read_header = {
            (1, 0): npy.read_array_header_1_0,
            (2, 0): npy.read_array_header_2_0,
        }.get(version)
        if read_header is None:
            raise ArrayFileError(f"{name} has .npy version {version}, needed 1.0 or 2.0")
        with warnings.catch_warnings():
            # of headers from Python 2, and of old names of types; both are read
            warnings.simplefilter("ignore")
            shape, _, dtype = read_header(stream, max_header_size=_MAX_HEADER)
        return shape, dtype
    # the header is a Python literal
    except (ValueError, TypeError, SyntaxError, TokenError, MemoryError, RecursionError) as error:
        if isinstance(error, ArrayFileError):
            raise
        raise ArrayFileError(f"{name} is not a readable .npy array: {error}") from None


def _parse(name: str, data: bytes, left: int, check: Check | None) -> npt.NDArray[Any]:
    stream = io.BytesIO(data)
    shape, dtype = array_header(name, stream)
    if dtype.hasobject:
        raise _ObjectsError(
            "holds Python objects, which are never unpickled; save it as a plain float array, one "
            "per sequence if the lengths differ"
        )
    if check is not None:
        check(name, shape)
    if not math.prod(shape) * dtype.itemsize <= len(data):
        raise ArrayFileError(
            f"{name} declares {math.prod(shape) * dtype.itemsize} bytes in its header, "
            f"{len(data)} are there"
        )
    # short numbers grow when they become doubles
    doubles = math.prod(shape) * np.dtype(np.float64).itemsize
    if not doubles <= left:
        raise ArrayFileError(too_large(name, doubles, left))
    stream.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            array = npy.read_array(stream, allow_pickle=False)
    except ValueError as error:
        raise ArrayFileError(f"{name} is not a readable .npy array: {error}") from None
    if stream.tell() != len(data):
        raise ArrayFileError(
            f"{name} holds {len(data) - stream.tell()} bytes behind its array, perhaps another "
            "one; save several arrays with numpy.savez"
        )
    return array
