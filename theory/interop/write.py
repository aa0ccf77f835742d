"""Projected weights, written back under the names and in the layout that they were read in.

Main names: `write`, `changed_arrays`, `in_single`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from theory.files.arrays import write_archive
from theory.files.writing import replacing
from theory.maps.base import Map
from theory.maps.gru import GRU
from theory.maps.lstm import LSTM

#: Names of the arrays of one layer: this package's own, PyTorch's, PyTorch's for a single cell.
_LAYOUTS = (
    ("W", "U", "b", "b_candidate"),
    ("A", "B", "bias", ""),
    ("weight_hh_l0", "weight_ih_l0", "bias_ih_l0", "bias_hh_l0"),
    ("weight_hh", "weight_ih", "bias_ih", "bias_hh"),
)


def layout(arrays: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Return the names of W, U and the biases in the layout that the arrays have."""
    for names in _LAYOUTS:
        if names[0] in arrays:
            return names
    raise ValueError(
        f"the file holds {sorted(arrays)}, needed recurrent weights under one of "
        f"{[names[0] for names in _LAYOUTS]}"
    )


def both_biases(names: tuple[str, str, str, str]) -> bool:
    """Return whether the layout has two biases, as PyTorch's has."""
    return names[0].startswith("weight")


def in_single(arrays: Mapping[str, Any], onto: str) -> bool:
    """Return whether something that a projection moves is stored in single precision."""
    names = layout(arrays)
    moved = names if onto in {"lstm", "gru"} else names[:1]
    types = [np.asarray(arrays[name]).dtype for name in moved if name in arrays]
    return any(one.kind == "f" and one.itemsize == 4 for one in types)


def changed_arrays(arrays: Mapping[str, Any], before: Map, after: Map) -> dict[str, Any]:
    """Return the file's arrays with the moved parameters replaced, each in its own type.

    Where the sum of PyTorch's two biases moves, each gets half of it: halves are exact, while a sum
    of two rounded numbers would not be the one that was proved.  A bias that the file has not gets
    the type of the recurrent weights; of PyTorch's two, both are made.

    Raises
    ------
    ValueError
        If a type cannot store a number.
    """
    names = layout(arrays)
    old, new = before.parameters, after.parameters
    out = {name: np.array(value) for name, value in arrays.items()}

    def make(name: str, size: int) -> None:
        if name not in out:
            out[name] = np.zeros(size, dtype=out[names[0]].dtype)

    def put(name: str, value: Any, where: Any = slice(None)) -> None:
        out[name][where] = value
        if not np.array_equal(np.asarray(out[name][where], dtype=np.float64), value):
            raise ValueError(
                f"{name} has type {out[name].dtype}, which cannot store the projected numbers "
                "exactly; convert it to float64 or float32"
            )

    put(names[0], new["W"])
    if isinstance(before, LSTM | GRU):
        if names[1] in out:
            put(names[1], new["U"])
        moved = old["b"] != new["b"]
        inner = isinstance(before, GRU) and np.any(old["b_candidate"] != new["b_candidate"])
        if np.any(moved) or inner:
            for name in names[2:] if both_biases(names) else names[2:3]:
                make(name, len(moved))
        if np.any(moved) and not both_biases(names):
            put(names[2], new["b"])
        elif np.any(moved):
            n = new["W"].shape[1]
            last = 2 * n if isinstance(before, GRU) else 4 * n
            summed = moved & (np.arange(len(moved)) < last)
            for name in names[2:]:
                put(name, 0.5 * new["b"][summed], summed)
            put(names[2], new["b"][moved & ~summed], moved & ~summed)
        if inner:
            n = new["W"].shape[1]
            make(names[3], n)
            where = slice(2 * n, None) if both_biases(names) else slice(None)
            put(names[3], new["b_candidate"], where)
    return out


def write(path: Path, arrays: Mapping[str, Any]) -> None:
    """Replace a file by these arrays in one step; make its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as stream:
        if path.suffix == ".npy":
            np.save(stream, arrays["W"], allow_pickle=False)
        else:
            write_archive(stream, arrays)
