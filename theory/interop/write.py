"""Projected weights, written back under the names and in the layout that they were read in.

Main names: `stored_cell`, `stored_layers`, `changed_arrays`, `in_single`, `check_kept`, `write`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from theory.files.arrays import Unread, write_archive
from theory.files.writing import replacing
from theory.interop.arrays import cell_names
from theory.interop.files import WeightFile
from theory.interop.formats.hdf5 import KerasFile, write_keras
from theory.interop.formats.onnx_graph import OnnxFile, write_onnx
from theory.interop.formats.torch_archive import TorchFile, write_torch
from theory.interop.slots import SLOTS, StoredCell
from theory.interop.tensors import tensor_of, write_tensors
from theory.maps.base import Map
from theory.maps.gru import GRU
from theory.maps.lstm import LSTM
from theory.projections.interface import GATED


def stored_cell(
    arrays: Mapping[str, Any],
    prefix: str | None = None,
    *,
    unused: str | Iterable[str] = (),
    variant: str | None = None,
) -> StoredCell:
    """Return where the recurrent cell stands among named arrays; a GRU's variant may be known.

    Raises
    ------
    ValueError
        If no cell is found or more than one, it has several layers, or none of its layout is
        written.
    """
    layout, start, names = cell_names(arrays, prefix=prefix, unused=unused)
    if layout not in SLOTS:
        raise ValueError(f"cells of the layout {layout!r} are read only; there is no projection")
    shapes = {key: np.shape(arrays[name]) for key, name in names.items()}
    return StoredCell(layout=layout, slots=tuple(SLOTS[layout](names, shapes, start, variant)))


def stored_layers(
    arrays: Mapping[str, Any],
    variants: Sequence[str | None],
    prefix: str | Sequence[str] | None = None,
    *,
    unused: str | Iterable[str] = (),
) -> list[StoredCell]:
    """Return where the cells of a stack stand, from the bottom up; of each the variant is known.

    Raises
    ------
    ValueError
        As `stored_cell` does, or if the layers of this layout are not told apart.
    """
    asked = prefix if prefix is None or isinstance(prefix, str) else list(prefix)
    if len(variants) == 1:
        one = asked[0] if isinstance(asked, list) else asked
        return [stored_cell(arrays, one, unused=unused, variant=variants[0])]
    if isinstance(asked, list):
        pairs = zip(asked, variants, strict=True)
        return [stored_cell(arrays, at, unused=unused, variant=one) for at, one in pairs]
    layout, start, names = cell_names(arrays, prefix=asked, unused=unused)
    if layout != "torch":
        raise ValueError(
            f"layers of the layout {layout!r} are not projected at once; name the prefix of each, "
            "from the bottom up"
        )
    cells = []
    for number, variant in enumerate(variants):
        own = {key: name for key, name in names.items() if key.endswith(f"_l{number}")}
        shapes = {key: np.shape(arrays[name]) for key, name in own.items()}
        cells.append(
            StoredCell(layout=layout, slots=tuple(SLOTS[layout](own, shapes, start, variant)))
        )
    return cells


def in_single(arrays: Mapping[str, Any], cell: StoredCell, onto: str) -> bool:
    """Return whether something that a projection moves is stored in single precision."""
    gated = onto in GATED
    moved = [slot for slot in cell.slots if gated or slot.parameter == "W"]
    types = [np.asarray(arrays[slot.name]).dtype for slot in moved if slot.name in arrays]
    return any(one.kind == "f" and one.itemsize == 4 for one in types)


def changed_arrays(
    arrays: Mapping[str, Any], before: Map, after: Map, cell: StoredCell | None = None
) -> dict[str, Any]:
    """Return the file's arrays with the moved parameters replaced, each in its own type.

    All other arrays are those that were given.  Where the sum of two biases moves, each gets half
    of it: halves are exact, while a sum of two rounded numbers would not be the one that was
    proved.  A bias that the file has not gets the type of the recurrent weights; of two, both are
    made.

    Raises
    ------
    ValueError
        If a type cannot store a number, or the layout has no room for it.
    """
    cell = stored_cell(arrays) if cell is None else cell
    old, new = before.parameters, after.parameters
    out = dict(arrays)
    single = np.asarray(out[cell.slots[0].name]).dtype
    moving = {name for name in old if name in new and np.any(old[name] != new[name])}
    names = {"W"} | ({"U", "b", "b_candidate"} if isinstance(before, LSTM | GRU) else set())
    for name in moving & names:
        slots = [slot for slot in cell.slots if slot.parameter == name]
        if not slots:
            raise ValueError(f"the layout {cell.layout} has no room for {name}")
        count = np.zeros(len(new[name]), dtype=int)
        for slot in slots:
            count[slot.rows(len(count))] += 1
        every = np.ones(len(count), dtype=bool)
        moved = old[name] != new[name] if name.startswith("b") else every
        if np.any(moved & (count == 0)):
            raise ValueError(f"the layout {cell.layout} has no room for {name}")
        if name.startswith("b"):
            # of two biases both are made
            for slot in cell.slots:
                if slot.parameter in {name, "b"} and slot.name not in out:
                    out[slot.name] = np.zeros(slot.shape, dtype=single)
        for slot in slots:
            rows = slot.rows(len(count))
            share = np.where(count[rows] > 1, 0.5, 1.0)
            value = new[name][rows]
            value = value * (share if value.ndim == 1 else share[:, None])
            if slot.name in out or np.any(moved[rows]):
                out[slot.name] = slot.put(out[slot.name], value, moved[rows])
    for name in out:
        if (
            name in arrays
            and out[name] is not arrays[name]
            and _same_bits(np.asarray(out[name]), arrays[name])
        ):
            out[name] = arrays[name]
    return out


def _same_bits(array: Any, other: Any) -> bool:
    return bool(array.dtype == other.dtype and array.tobytes() == np.asarray(other).tobytes())


def changed_names(arrays: Mapping[str, Any], done: Mapping[str, Any]) -> list[str]:
    """Return the names of the arrays that `changed_arrays` has changed or made."""
    return [name for name, array in done.items() if array is not arrays.get(name)]


def check_kept(source: WeightFile) -> None:
    """Check that everything in a file can be written again as it is.

    Raises
    ------
    ValueError
        If an archive holds an array that is not read.
    """
    for name, array in source.arrays.items():
        if source.tensors is None and source.source is None and isinstance(array, Unread):
            raise ValueError(f"{source.path}: {name} {array.reason}")


def write(path: Path, arrays: Mapping[str, Any], source: WeightFile) -> None:
    """Replace a file by these arrays in one step, in the format of the one they are from.

    What was not changed is written as it was stored; the folder is made.

    Raises
    ------
    ValueError
        If the format cannot store a number.
    """
    tensors, held = source.tensors, source.source
    changed = {name: arrays[name] for name in changed_names(source.arrays, dict(arrays))}
    if tensors is not None:
        # refused before there is a file
        made = {
            name: tensors[name]
            if name in tensors and array is source.arrays[name]
            else tensor_of(name, array, tensors[name].kind if name in tensors else None)
            for name, array in arrays.items()
        }
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as stream:
        if tensors is not None:
            write_tensors(stream, made, source.metadata)
        elif isinstance(held, TorchFile):
            write_torch(stream, source.path, held, changed)
        elif isinstance(held, KerasFile):
            write_keras(stream, source.path, held, changed)
        elif isinstance(held, OnnxFile):
            write_onnx(stream, held, changed)
        elif source.single:
            np.save(stream, arrays["W"], allow_pickle=False)
        else:
            write_archive(stream, arrays)
