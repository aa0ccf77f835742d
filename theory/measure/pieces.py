r"""Errors of all truncation lengths on any number of sequences, piece by piece.

Main names: `errors_in_pieces`, `cut`.

A piece is a few sequences that follow each other.  How they are cut depends on the sequences alone,
so the errors are bit for bit the same with any executor, and with any interruption.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from theory.certify.recheck import hashes_of
from theory.errors import check_positive
from theory.executors import PATIENCE, finished
from theory.files.stored import StoredSequences
from theory.files.writing import write_atomically
from theory.maps.base import Map
from theory.measure.errors import errors_of
from theory.measure.jobs import Job
from theory.norms.norm import Norm
from theory.threads import few_threads
from theory.typing import Array, Progress
from theory.version import __version__

#: Most sequences of a piece, and most numbers in it: 16 MiB of doubles.
_SEQUENCES, _NUMBERS = 256, 2**21

#: Pieces that are read ahead of the workers.
_AHEAD = 8

#: Files of a folder that keeps what is finished.
_QUESTION, _ERRORS, _DONE = "question.json", "errors.npy", "done.npy"


class Ask(NamedTuple):
    """What is asked of every piece."""

    recurrent: Map
    k_max: int
    norm: Norm
    C: Array
    eps: float
    dtype: str


class _Piece(NamedTuple):
    ask: Ask
    arrays: list[Array]
    ends: list[int | None]
    first: int  # the number of the first of them


def _jobs(arrays: Sequence[Array], ends: Sequence[int | None], first: int) -> list[Job]:
    pairs = enumerate(zip(arrays, ends, strict=True), first)
    return [Job(X=X, end=end, number=i) for i, (X, end) in pairs]


def _errors(piece: _Piece) -> Array:
    ask = piece.ask
    jobs = _jobs(piece.arrays, piece.ends, piece.first)
    with few_threads(ask.recurrent.state_dim):
        return errors_of(
            ask.recurrent, jobs, ask.k_max, ask.norm, ask.C, eps=ask.eps, dtype=ask.dtype
        )


def errors_in_pieces(
    ask: Ask,
    given: Sequence[Array],
    ends: Sequence[int | None],
    lengths: npt.NDArray[np.int64],
    *,
    executor: Executor | Callable[[], Executor] | None,
    patience: float = PATIENCE,
    keep: str | Path | None,
    progress: Progress | None,
) -> Array:
    """Return the errors of k = 0 .. k_max on every sequence, (k_max + 1, N).

    Parameters
    ----------
    ask : Ask
    given : sequence of N arrays (T, m)
        Read piece by piece.
    ends : sequence of N ints or None
        Until which input each is looked at.
    lengths : (N,) int array
    executor : Executor, or function that starts one, optional
        See `theory.executors.finished`.
    patience : float
        Seconds without any answer, after which workers count as hung.
    keep : path, optional
        A folder for what is finished; what it holds already, of the same question, is taken from
        there.  The errors that are returned then stay in its file and are mapped.
    progress : callable, optional
        Called with (sequences done, sequences in all).

    Raises
    ------
    ValueError
        If the folder holds another question, or a map that has no parameters to know it by, or the
        patience is not positive.
    """
    check_positive(patience=patience)
    bounds = cut(lengths, ask.recurrent.input_dim)
    kept = None if keep is None else _Kept(Path(keep), ask, given, ends, len(bounds))
    errors = np.empty((ask.k_max + 1, len(given))) if kept is None else kept.errors
    todo = [p for p in range(len(bounds)) if kept is None or not kept.done[p]]
    done = len(given) - sum(hi - lo for lo, hi in (bounds[p] for p in todo))
    if done and progress is not None:
        progress(done, len(given))

    def take(p: int, found: Array) -> None:
        lo, hi = bounds[p]
        errors[:, lo:hi] = found
        if kept is not None:
            kept.finish(p)

    if executor is None:
        for p in todo:
            lo, hi = bounds[p]
            jobs = _jobs(given[lo:hi], ends[lo:hi], lo)
            tell = None if progress is None else _after(progress, done, len(given))
            take(
                p,
                errors_of(
                    ask.recurrent, jobs, ask.k_max, ask.norm, ask.C, eps=ask.eps, dtype=ask.dtype,
                    progress=tell,
                ),
            )  # fmt: skip
            done += hi - lo
        return errors

    def pieces() -> Iterator[_Piece]:
        for lo, hi in (bounds[p] for p in todo):
            yield _Piece(ask, list(given[lo:hi]), list(ends[lo:hi]), lo)

    answers = finished(_errors, pieces(), executor=executor, patience=patience, ahead=_AHEAD)
    for number, found in answers:
        take(todo[number], found)
        done += found.shape[1]
        if progress is not None:
            progress(done, len(given))
    return errors


def _after(progress: Progress, done: int, total: int) -> Progress:
    return lambda more, _: progress(done + more, total)


def cut(lengths: npt.NDArray[np.int64], width: int) -> list[tuple[int, int]]:
    """Return first and last + 1 of the sequences of each piece."""
    bounds, lo, numbers = [], 0, 0
    for i, length in enumerate(lengths.tolist()):
        if i > lo and (i - lo == _SEQUENCES or numbers + length * width > _NUMBERS):
            bounds.append((lo, i))
            lo, numbers = i, 0
        numbers += length * width
    return [*bounds, (lo, len(lengths))]


class _Kept:
    """A folder with the errors so far, and which pieces they are of."""

    def __init__(
        self,
        folder: Path,
        ask: Ask,
        given: Sequence[Array],
        ends: Sequence[int | None],
        pieces: int,
    ) -> None:
        question = _described(ask, given, ends)
        shape = (ask.k_max + 1, len(given))
        said = folder / _QUESTION
        if said.exists():
            try:
                theirs = json.loads(said.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise ValueError(f"{said} cannot be read: {error}") from None
            for name, mine in question.items():
                if not isinstance(theirs, dict) or theirs.get(name) != mine:
                    raise ValueError(
                        f"{folder} keeps another measurement (its {name} differs); name another "
                        "folder, or delete this one"
                    )
            self.errors = _mapped(folder / _ERRORS, shape, np.dtype(np.float64))
            self.done = _mapped(folder / _DONE, (pieces,), np.dtype(np.bool_))
            return
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ValueError(f"{folder} is not empty and keeps no measurement; name a new folder")
        self.errors = _created(folder / _ERRORS, shape, np.dtype(np.float64))
        self.done = _created(folder / _DONE, (pieces,), np.dtype(np.bool_))
        self.errors.flush()
        self.done.flush()
        # last, so that a folder with a question has all of its files
        write_atomically(said, json.dumps(question))

    def finish(self, piece: int) -> None:
        """Note a piece, after its errors are on the disk."""
        self.errors.flush()
        self.done[piece] = True
        self.done.flush()


def _created(file: Path, shape: tuple[int, ...], dtype: np.dtype) -> np.memmap:
    """Return a mapped array in a new file, whose place on the disk is taken beforehand.

    A page that is written to a mapped file and finds no place ends the process.
    """
    array = np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=shape)
    if hasattr(os, "posix_fallocate"):
        try:
            with file.open("r+b") as opened:
                os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
        except OSError as error:
            del array
            file.unlink()
            raise OSError(
                error.errno,
                f"{file} of {math.prod(shape) * dtype.itemsize} bytes has no place "
                f"({error.strerror}); name a folder on another disk, or a smaller k_max",
            ) from None
    return array


def _mapped(file: Path, shape: tuple[int, ...], dtype: np.dtype) -> np.memmap:
    try:
        # mapped for reading first: for writing NumPy fills a file that was cut with zeros
        np.lib.format.open_memmap(file, mode="r")
        array = np.lib.format.open_memmap(file, mode="r+")
    except (OSError, ValueError, SyntaxError, TypeError) as error:
        raise ValueError(f"{file} is damaged: {error}; delete its folder") from None
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(
            f"{file} holds {array.dtype} {array.shape}, needed {dtype} {shape}; delete its folder"
        )
    return array


def _described(
    ask: Ask, given: Sequence[Array], ends: Sequence[int | None]
) -> dict[str, str | float]:
    """Return the question, by parts, so that a difference can be named."""
    # what reads files of maps is not needed before
    from theory.interop.map_file import described_map

    try:
        said = described_map(ask.recurrent)
    except ValueError as error:
        raise ValueError(
            f"{ask.recurrent!r} cannot be known again by a folder: {error}; measure it without "
            "keep="
        ) from None
    output = hashlib.sha256(np.ascontiguousarray(ask.C).tobytes()).hexdigest()
    if isinstance(given, StoredSequences):
        sequences = given.identity
    else:
        digest = hashlib.sha256()
        for X in given:
            digest.update(f"{X.shape}".encode())
            digest.update(np.ascontiguousarray(X).tobytes())
        sequences = digest.hexdigest()
    return {
        "version": __version__,
        "map": hashlib.sha256(repr((said, hashes_of(ask.recurrent))).encode()).hexdigest(),
        "output": output,
        "norm": json.dumps(ask.norm.to_dict()),
        "k_max": ask.k_max,
        "eps": ask.eps,
        "dtype": ask.dtype,
        "sequences": sequences,
        "times": hashlib.sha256(repr(list(ends)).encode()).hexdigest(),
    }
