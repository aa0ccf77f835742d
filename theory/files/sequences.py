r"""Input sequences from files, read without trusting them.

Main names: `load_sequences`, `as_list`, `Sequences`, `SequenceFileError`, `check_shape`.

Nothing is unpickled, and nothing is read before its declared size is known to be within a limit.
"""

from __future__ import annotations

import hashlib
from collections import abc
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from theory.errors import as_array, as_sequences
from theory.files.arrays import DEFAULT_LIMIT, ArrayFileError, read_arrays
from theory.typing import Array


class SequenceFileError(ValueError):
    """A sequence file that cannot be read, or is refused; the message says why."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Sequences:
    """Named input sequences and the fingerprint of their values."""

    names: tuple[str, ...]  # file name, member and index
    arrays: tuple[Array, ...]  # each (T, m), float64
    digest: str  # SHA-256 over shapes and values; file names may change

    def __len__(self) -> int:
        return len(self.arrays)


def load_sequences(path: str | Path, *, limit: int = DEFAULT_LIMIT) -> Sequences:
    """Read the input sequences of a file or of a folder of files.

    Parameters
    ----------
    path : path
        An ``.npy`` or ``.npz`` file, or a folder that holds some.  Every array is one sequence
        (T, m), or a batch of them (batch, T, m).
    limit : int
        Largest total number of bytes, unpacked.

    Returns
    -------
    Sequences
        In the order of file names and members.

    Raises
    ------
    SequenceFileError
        If nothing is found, a file is damaged, holds Python objects (they are never unpickled) or
        numbers that are not real and finite, or unpacks to more than the limit.
    """
    root = Path(path)
    if root.is_dir():
        files = sorted(
            f for f in root.iterdir() if f.suffix.lower() in {".npy", ".npz"} and f.is_file()
        )
        if not files:
            raise SequenceFileError(
                f"{root} holds no .npy or .npz file; save your sequences with numpy.save or "
                "numpy.savez, each of shape (T, m)"
            )
    elif root.is_file():
        files = [root]
    else:
        raise SequenceFileError(f"{root} does not exist; needed an .npy or .npz file or a folder")
    names: list[str] = []
    arrays: list[Array] = []
    left = limit
    for file in files:
        for name, array in _read(file, left):
            left -= array.nbytes
            found = [array] if array.ndim == 2 else list(array)
            names += [name if array.ndim == 2 else f"{name}[{i}]" for i in range(len(found))]
            arrays += found
    if not arrays:
        raise SequenceFileError(f"{root} holds no sequence; needed arrays of shape (T, m)")
    return Sequences(names=tuple(names), arrays=tuple(arrays), digest=_digest(arrays))


def _digest(arrays: list[Array]) -> str:
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(f"{array.shape}".encode())
        sha.update(array.astype("<f8").tobytes())
    return sha.hexdigest()


def _read(file: Path, left: int) -> list[tuple[str, Array]]:
    """Return the arrays of a file, named by file and member."""
    try:
        found = read_arrays(file, left, check_shape)
    except ArrayFileError as error:
        raise SequenceFileError(str(error)) from None
    named = [(f"{file.name}:{name}" if name else file.name, array) for name, array in found]
    try:
        return [(name, as_array(name, array)) for name, array in named]
    except ValueError as error:
        raise SequenceFileError(str(error)) from None


def check_shape(name: str, shape: tuple[int, ...]) -> None:
    """Raise `SequenceFileError` if an array of this shape holds no sequences."""
    if len(shape) not in {2, 3} or min(shape) < 0 or shape[-1] == 0:
        raise SequenceFileError(
            f"{name} has shape {shape}, needed (T, m) or (batch, T, m) with m >= 1; a single "
            "channel is x.reshape(-1, 1)"
        )


def as_list(sequences: Any, width: int) -> list[Array]:
    """Return sequences (T, width), T >= 1, each by itself, from what a user may pass.

    Parameters
    ----------
    sequences : (T, width) or (N, T, width) array, list of arrays (T, width), or Sequences
    width : int

    Raises
    ------
    ValueError
        If one has another shape, no inputs, or a number that is not finite; the message names it.
    """
    if isinstance(sequences, Sequences):
        named = list(zip(sequences.names, sequences.arrays, strict=True))
    elif isinstance(sequences, abc.Sequence):
        named = [(f"sequences[{i}]", x) for i, x in enumerate(sequences)]
    else:
        array = as_sequences("sequences", sequences, width=width)
        if array.ndim == 2:
            array = array[None]
        named = [(f"sequences[{i}]", x) for i, x in enumerate(array)]
    checked = []
    for name, x in named:
        one = as_sequences(name, x, width=width)
        if one.ndim != 2 or len(one) == 0:
            raise ValueError(
                f"{name} has shape {one.shape}, needed one sequence (T, {width}) with T >= 1"
            )
        checked.append(one)
    return checked
