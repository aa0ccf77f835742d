r"""The recurrent part of rnnoise, from the constants in its shared library.

Main names: `constants`, `parameters`, `Library`.

The library's table of symbols tells where each constant array lies, so that the weights are read
from the file as bytes, and nothing of it is run.  What the cells are given on real sound the
library alone can tell: `Library` runs it, as ONNX Runtime runs a graph, and looks at its state.
"""

from __future__ import annotations

import ctypes
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Numbers in an input, the outputs of the two convolutions, and of each of the three cells.
FEATURES, FIRST, UNITS, CELLS = 65, 128, 384, 3

#: Samples in a frame of 10 ms.
FRAME = 480


def constants(path: Path) -> dict[str, bytes]:
    """Return the constant arrays of a shared library (ELF, 64 bits) by the names of its symbols."""
    data = path.read_bytes()
    if data[:6] != b"\x7fELF\x02\x01":
        raise ValueError(f"{path} is no shared library of 64 bits with the low byte first")
    (table,), (count,) = struct.unpack_from("<Q", data, 40), struct.unpack_from("<H", data, 60)
    sections = [struct.unpack_from("<IIQQQQIIQQ", data, table + 64 * i) for i in range(count)]
    found = {}
    for _, kind, _, _, first, size, link, *_ in sections:
        if kind != 2:  # a table of symbols
            continue
        names = sections[link][4]
        for at in range(first, first + size, 24):
            name, info, _, where, address, length = struct.unpack_from("<IBBHQQ", data, at)
            if info & 15 == 1 and 0 < where < count and sections[where][1] == 1:  # has bytes here
                begin = sections[where][4] + address - sections[where][3]
                word = data[names + name : data.index(b"\0", names + name)].decode()
                found[word] = data[begin : begin + length]
    return found


def parameters(found: dict[str, bytes], cell: int) -> dict[str, Array]:
    """Return W, U and the two biases of a cell, gates in PyTorch's order."""
    # its order is update, reset, candidate
    order = [*range(UNITS, 2 * UNITS), *range(UNITS), *range(2 * UNITS, 3 * UNITS)]
    U, W = (_sparse(found, f"gru{cell}_{part}") for part in ("input", "recurrent"))
    diagonal = _floats(found, f"gru{cell}_recurrent_weights_diag").reshape(3, UNITS)
    for gate in range(3):
        W[gate * UNITS + np.arange(UNITS), np.arange(UNITS)] += diagonal[gate]
    b_ih, b_hh = (_floats(found, f"gru{cell}_{part}_bias") for part in ("input", "recurrent"))
    return {
        "weight_ih_l0": U[order],
        "weight_hh_l0": W[order],
        "bias_ih_l0": b_ih[order],
        "bias_hh_l0": b_hh[order],
    }


def _floats(found: dict[str, bytes], name: str) -> Array:
    return np.frombuffer(found[name], dtype="<f4").astype(np.float64)


def _sparse(found: dict[str, bytes], name: str) -> Array:
    """Return a matrix that is kept in blocks of 8 rows and 4 columns.

    For every 8 rows the index tells how many blocks there are, then the first column of each; a
    block holds its columns one after another.
    """
    index = iter(np.frombuffer(found[f"{name}_weights_idx"], dtype="<i4").tolist())
    blocks = _floats(found, f"{name}_weights_float").reshape(-1, 4, 8)
    matrix, at = np.zeros((3 * UNITS, UNITS)), 0
    for row in range(0, 3 * UNITS, 8):
        for _ in range(next(index)):
            column = next(index)
            matrix[row : row + 8, column : column + 4] = blocks[at].T
            at += 1
    return matrix


class Library:
    """The library at work."""

    def __init__(self, path: Path) -> None:
        self.found = constants(path)
        self._run = ctypes.CDLL(str(path))
        self._run.rnnoise_create.argtypes = [ctypes.c_void_p]
        self._run.rnnoise_create.restype = ctypes.c_void_p
        self._run.rnnoise_destroy.argtypes = [ctypes.c_void_p]
        self._run.rnnoise_process_frame.argtypes = [ctypes.c_void_p] * 3
        self._run.rnnoise_process_frame.restype = ctypes.c_float
        self._numbers = int(self._run.rnnoise_get_size()) // 4
        self._at: int | None = None

    def _layer(self, name: str, x: Array, size: int) -> Array:
        weights = _floats(self.found, f"{name}_weights_float").reshape(-1, size)
        return np.tanh(x @ weights + _floats(self.found, f"{name}_bias"))

    def speech(self, sound: Array) -> Array:
        """Return the probability of speech in every frame, from a new state, (T,)."""
        return self._frames(sound)[0]

    def followed(self, sound: Array) -> tuple[Array, Array, Array]:
        """Return inputs of the cells, (T, 384), their states, (T, 1152), and the probabilities."""
        probabilities, memory = self._frames(sound, look=True)
        at = self._place(memory)
        first = at + 2 * FEATURES + 2 * FIRST
        # a layer sees what is given to it now, and the two times before, which are kept
        kept = memory[:, first - 2 * FIRST : first]
        before = np.concatenate([np.zeros((1, 2 * FIRST)), kept[:-1]])
        inputs = self._layer("conv2", np.hstack([before, kept[:, FIRST:]]), UNITS)
        return inputs, memory[:, first : first + CELLS * UNITS], probabilities

    def _frames(self, sound: Array, *, look: bool = False) -> tuple[Array, Array]:
        state = self._run.rnnoise_create(None)
        try:
            frames = np.asarray(sound * 32767, dtype=np.float32)
            frames = frames[: len(frames) // FRAME * FRAME].reshape(-1, FRAME)
            out = np.empty(FRAME, dtype=np.float32)
            said, seen = [], []
            for frame in frames:
                given = np.ascontiguousarray(frame)
                said.append(
                    self._run.rnnoise_process_frame(state, out.ctypes.data, given.ctypes.data)
                )
                if look:
                    raw = ctypes.string_at(state, 4 * self._numbers)
                    seen.append(np.frombuffer(raw, dtype="<f4").astype(np.float64))
            return np.array(said), np.array(seen)
        finally:
            self._run.rnnoise_destroy(state)

    def _place(self, memory: Array) -> int:
        """Return where in the library's memory the states of the layers begin.

        It is where the first layer, given the features that are kept there, gives what is kept
        behind them.
        """
        if self._at is not None:
            return self._at
        size = 2 * FEATURES + 2 * FIRST
        last, before = memory[-1], memory[-2]
        for at in range(len(last) - size - CELLS * UNITS):
            kept = last[at + size - FIRST : at + size]
            if np.max(np.abs(kept)) > 1 or not kept.any():
                continue
            x = np.concatenate([before[at : at + FEATURES], last[at : at + 2 * FEATURES]])
            if not np.isfinite(x).all():
                continue
            if np.max(np.abs(self._layer("conv1", x, FIRST) - kept)) < 0.05:
                self._at = at
                return at
        raise ValueError("the library keeps its state otherwise than version 0.2 does")
