r"""Sequences that stay on disk until they are asked for.

Main names: `open_sequences`, `StoredSequences`.

Slices of an ``.npy`` file, members of an archive, chunks of a Zarr store and row groups of a
Parquet file are read when one of their sequences is needed.  What lies there may not change in
the meantime: size and time of every file are compared again before each piece is read.
"""

from __future__ import annotations

import hashlib
import math
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final, overload

import numpy as np
import numpy.typing as npt

from theory.errors import MissingExtraError, as_array
from theory.files.arrays import ArrayFileError, array_header, read_arrays
from theory.files.sequences import SequenceFileError, check_shape
from theory.typing import Array

#: Kinds of numbers that are read: bool, integers, floats.
_REAL = "biuf"

#: The column of a Parquet file that tells its sequences apart.
SEQUENCE_COLUMN = "sequence"


@final
@dataclass(frozen=True, kw_only=True)
class _Part:
    """Some sequences of one file, or of one array inside it."""

    name: str
    lengths: npt.NDArray[np.int64]  # T of each
    width: int  # m
    single: bool  # whether it is one sequence, not a batch
    read: Callable[[int], Any]  # the i-th of them, (T, m)


@final
class StoredSequences(Sequence[Array]):
    """Sequences on disk, in the order of file names and members; each is read when asked for.

    Made by `open_sequences`.
    """

    def __init__(self, path: Path, parts: list[_Part]) -> None:
        self.path = path
        self.stamp = _stamp(path)
        self._parts = parts
        self._firsts = np.cumsum([0, *(len(part.lengths) for part in parts)])
        self.lengths: npt.NDArray[np.int64] = np.concatenate([part.lengths for part in parts])
        self.widths: frozenset[int] = frozenset(part.width for part in parts)

    def __len__(self) -> int:
        return len(self.lengths)

    @overload
    def __getitem__(self, i: int) -> Array: ...
    @overload
    def __getitem__(self, i: slice) -> list[Array]: ...
    def __getitem__(self, i: int | slice) -> Array | list[Array]:
        if isinstance(i, slice):
            self.check_unchanged()
            return [self._read(j) for j in range(*i.indices(len(self)))]
        if not -len(self) <= i < len(self):
            raise IndexError(f"sequence {i} of {len(self)}")
        return self._read(i % len(self))

    def __iter__(self) -> Iterator[Array]:
        self.check_unchanged()
        return (self._read(i) for i in range(len(self)))

    @property
    def identity(self) -> str:
        """Return a digest of where the files are, and of their names, sizes and times."""
        place = str(self.path.resolve())
        return hashlib.sha256(f"{place}\n{self.stamp}".encode()).hexdigest()

    def name(self, i: int) -> str:
        """Return where a sequence comes from."""
        part, own = self._place(i)
        return part.name if part.single else f"{part.name}[{own}]"

    def check_width(self, width: int) -> None:
        """Raise `SequenceFileError` if a sequence has steps of other than so many numbers."""
        for part in self._parts:
            if part.width != width:
                raise SequenceFileError(
                    f"{part.name} has steps of {part.width} numbers, needed (T, {width}), the "
                    "inputs of the recurrence; theory show says what they are in a file of weights"
                )

    def check_unchanged(self) -> None:
        """Raise `SequenceFileError` if the files are no longer those that were opened."""
        if _stamp(self.path) != self.stamp:
            raise SequenceFileError(
                f"{self.path} has changed since it was opened (other files, sizes or times); what "
                "was read before does not belong to it: start anew with files that stay"
            )

    def _place(self, i: int) -> tuple[_Part, int]:
        at = int(np.searchsorted(self._firsts, i, side="right")) - 1
        return self._parts[at], i - int(self._firsts[at])

    def _read(self, i: int) -> Array:
        part, own = self._place(i)
        try:
            return as_array(self.name(i), part.read(own))
        except ValueError as error:
            raise SequenceFileError(str(error)) from None


def open_sequences(path: str | Path) -> StoredSequences:
    """Open the input sequences of a file or a folder without reading them.

    Parameters
    ----------
    path : path
        An ``.npy`` or ``.npz`` file, or a folder that holds some: every array is one sequence
        (T, m), or a batch of them (batch, T, m).  A ``.zarr`` store: an array (batch, T, m), or a
        group of arrays (T, m).  A ``.parquet`` file: one row a step, in order; the column
        ``sequence`` tells the sequences apart, the other columns are the inputs.

    Returns
    -------
    StoredSequences
        May be passed where a list of sequences is asked for.

    Raises
    ------
    SequenceFileError
        If nothing is found, a header is damaged, or something is stored that is no real number.
    MissingExtraError
        If the package that reads a Zarr store or a Parquet file is not installed.
    """
    root = Path(path)
    suffix = root.suffix.lower()
    if suffix == ".zarr":
        parts = _zarr_parts(root)
    elif suffix == ".parquet":
        parts = [_parquet_part(root)]
    elif root.is_dir():
        files = sorted(
            f for f in root.iterdir() if f.suffix.lower() in {".npy", ".npz"} and f.is_file()
        )
        parts = [part for file in files for part in _array_parts(file)]
    elif root.is_file():
        parts = _array_parts(root)
    else:
        raise SequenceFileError(
            f"{root} does not exist; needed a file .npy, .npz or .parquet, a folder of the first "
            "two, or a .zarr store"
        )
    if not parts or not sum(len(part.lengths) for part in parts):
        raise SequenceFileError(f"{root} holds no sequence; needed arrays of shape (T, m)")
    return StoredSequences(root, parts)


def _stamp(path: Path) -> str:
    """Return a digest of names, sizes and times of all files that are read."""
    files = sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        try:
            found = file.stat()
        except OSError:
            digest.update(b"gone")
            continue
        digest.update(f"{file.name} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _part(name: str, shape: tuple[int, ...], kind: str, read: Callable[[int], Any]) -> _Part:
    check_shape(name, shape)
    if kind not in _REAL:
        raise SequenceFileError(f"{name} holds no real numbers (kind {kind!r}), needed floats")
    count = shape[0] if len(shape) == 3 else 1
    lengths = np.full(count, shape[-2], dtype=np.int64)
    return _Part(
        name=name, lengths=lengths, width=shape[-1], single=len(shape) == 2, read=read
    )  # fmt: skip


def _array_parts(file: Path) -> list[_Part]:
    if file.suffix.lower() == ".npz":
        return _archive_parts(file)
    if file.suffix.lower() != ".npy":
        raise SequenceFileError(f"{file.name} is not an .npy or .npz file")
    try:
        mapped = np.lib.format.open_memmap(file, mode="r")
    except (OSError, ValueError, SyntaxError, TypeError) as error:
        raise SequenceFileError(f"{file.name} cannot be mapped: {error}") from None
    behind = file.stat().st_size - int(mapped.offset) - mapped.nbytes
    if behind:
        raise SequenceFileError(
            f"{file.name} holds {behind} bytes behind its array, perhaps another one; save several "
            "arrays with numpy.savez"
        )
    return [_part(file.name, mapped.shape, mapped.dtype.kind, _slice_of(file, mapped))]


def _slice_of(file: Path, mapped: np.memmap) -> Callable[[int], Any]:
    """Return what reads the i-th sequence; a file that stays mapped fills memory page by page."""
    shape, dtype, start = mapped.shape[-2:], mapped.dtype, int(mapped.offset)
    if not mapped.flags.c_contiguous:
        # columns first: a sequence lies all over the file
        whole = mapped[None] if mapped.ndim == 2 else mapped
        return lambda i: whole[i]
    count = math.prod(shape)

    def read(i: int) -> Any:
        found = np.fromfile(file, dtype, count, offset=start + i * count * dtype.itemsize)
        if len(found) != count:
            raise SequenceFileError(f"{file.name} ends before its sequence {i}")
        return found.reshape(shape)

    return read


def _archive_parts(file: Path) -> list[_Part]:
    """Return one part a member; a member is read as a whole, and the last one kept."""
    kept: dict[str, Any] = {}

    def reader(member: str) -> Callable[[int], Any]:
        def read(i: int) -> Any:
            if member not in kept:
                kept.clear()
                kept[member] = dict(read_arrays(file, limit=_archive_size(file), only=member))[
                    member
                ]
            array = kept[member]
            return array if array.ndim == 2 else array[i]

        return read

    try:
        with zipfile.ZipFile(file) as archive:
            found: list[_Part] = []
            for info in archive.infolist():
                own = info.filename.removesuffix(".npy")
                if any(part.name == f"{file.name}:{own}" for part in found):
                    raise SequenceFileError(f"{file.name}:{own} is there twice")
                with archive.open(info) as stream:
                    shape, dtype = array_header(f"{file.name}:{own}", stream)
                found.append(_part(f"{file.name}:{own}", shape, dtype.kind, reader(own)))
            return found
    except (OSError, EOFError, zipfile.BadZipFile, RuntimeError, ArrayFileError) as error:
        raise SequenceFileError(f"{file.name} cannot be read: {error}") from None


def _archive_size(file: Path) -> int:
    with zipfile.ZipFile(file) as archive:
        return sum(info.file_size for info in archive.infolist())


def _zarr_parts(root: Path) -> list[_Part]:
    try:
        import zarr
    except ImportError:
        raise MissingExtraError("zarr", "data", "a Zarr store") from None
    try:
        store = zarr.open(str(root), mode="r")
        arrays = [(root.name, store)]
        if not hasattr(store, "shape"):
            if inner := sorted(store.group_keys()):
                raise SequenceFileError(
                    f"{root.name} holds groups ({', '.join(inner)}); open one of them by itself"
                )
            arrays = [(f"{root.name}/{name}", store[name]) for name in sorted(store.array_keys())]
        return [_part(name, tuple(a.shape), a.dtype.kind, _member(a)) for name, a in arrays]
    except SequenceFileError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SequenceFileError(f"{root.name} cannot be read as a Zarr store: {error}") from None


def _member(array: Any) -> Callable[[int], Any]:
    return lambda i: np.asarray(array[i] if array.ndim == 3 else array[:])


def _parquet_part(file: Path) -> _Part:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtraError("pyarrow", "data", "a Parquet file") from None
    try:
        table = pq.ParquetFile(file)
        names = table.schema_arrow.names
    except (OSError, pa.ArrowException) as error:
        raise SequenceFileError(f"{file.name} cannot be read as a Parquet file: {error}") from None
    columns = [name for name in names if name != SEQUENCE_COLUMN]
    if SEQUENCE_COLUMN not in names or not columns:
        raise SequenceFileError(
            f"{file.name} has the columns {', '.join(names) or 'none'}; needed one named "
            f"{SEQUENCE_COLUMN!r} that tells the sequences apart, and one or more of inputs"
        )
    if len(set(names)) != len(names):
        raise SequenceFileError(f"{file.name} has two columns of one name: {', '.join(names)}")
    for name in columns:
        kind = table.schema_arrow.field(name).type
        if not (
            pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
        ):
            raise SequenceFileError(
                f"{file.name} has {kind} in the column {name!r}, needed real numbers"
            )
    told = table.read(columns=[SEQUENCE_COLUMN]).column(0)
    if told.null_count:
        raise SequenceFileError(
            f"{file.name} has {told.null_count} rows without a {SEQUENCE_COLUMN!r}, needed one in "
            "every row"
        )
    ids = told.to_numpy()
    if ids.dtype.kind == "f" and bool(np.isnan(ids).any()):
        raise SequenceFileError(f"{file.name} has a NaN in {SEQUENCE_COLUMN!r}")
    if not len(ids):
        raise SequenceFileError(f"{file.name} holds no sequence; it has no rows")
    ends = np.append(np.flatnonzero(ids[1:] != ids[:-1]) + 1, len(ids)) if len(ids) else ids[:0]
    starts = np.append(0, ends[:-1]).astype(np.int64)
    if len(set(ids[starts].tolist())) != len(starts):
        raise SequenceFileError(
            f"{file.name} has rows of one sequence in several places; sort it by "
            f"{SEQUENCE_COLUMN!r} and time"
        )
    groups = np.cumsum(
        [0, *(table.metadata.row_group(g).num_rows for g in range(table.num_row_groups))]
    )
    kept: dict[int, Array] = {}

    def rows(g: int) -> Array:
        if g not in kept:
            if len(kept) > 1:
                kept.clear()
            read = table.read_row_group(g, columns=columns)
            kept[g] = np.column_stack([read.column(name).to_numpy() for name in columns])
        return kept[g]

    def read(i: int) -> Any:
        lo, hi = int(starts[i]), int(ends[i])
        first = int(np.searchsorted(groups, lo, side="right")) - 1
        last = int(np.searchsorted(groups, hi - 1, side="right")) - 1
        found = [
            rows(g)[max(lo - int(groups[g]), 0) : hi - int(groups[g])]
            for g in range(first, last + 1)
        ]
        return np.concatenate(found)

    return _Part(
        name=file.name, lengths=(ends - starts).astype(np.int64), width=len(columns),
        single=False, read=read,
    )  # fmt: skip
