"""Projected weights, written back under the names and in the layout that they were read in.

Main names: `stored_cell`, `changed_arrays`, `in_single`, `check_kept`, `write`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from theory.files.arrays import Unread, write_archive
from theory.files.writing import replacing
from theory.interop.arrays import cell_names
from theory.interop.files import WeightFile
from theory.interop.tensors import tensor_of, write_tensors
from theory.maps.base import Map
from theory.maps.gru import GRU
from theory.maps.lstm import LSTM


@final
@dataclass(frozen=True, kw_only=True)
class Slot:
    """Where a parameter stands: an array, or a row of it, perhaps with other axes and gates."""

    name: str
    shape: tuple[int, ...]  # of the array, where it has to be made
    row: int | None = None  # the row of the array
    keras: bool = False  # matrices act from the right, and a GRU has its gates in Keras' order

    def view(self, array: Any) -> Any:
        """Return what changes with the array, in the order of axes of ours."""
        part = array if self.row is None else array[self.row]
        return part.T if self.keras else part

    def order(self, rows: int, gates: int) -> Any:
        """Return where our rows are among those stored."""
        if not self.keras or gates != 3:
            return slice(None)
        n = rows // 3
        return np.concatenate([np.arange(n, 2 * n), np.arange(n), np.arange(2 * n, 3 * n)])


@final
@dataclass(frozen=True, kw_only=True)
class StoredCell:
    """Where the parameters of one cell stand among named arrays."""

    layout: str  # torch, keras or own
    W: Slot
    U: Slot | None  # None if the inputs are added to the state directly
    biases: tuple[Slot, ...]  # one, or two whose sum it is; there or to be made
    inner: (
        Slot | None
    )  # the candidate's bias inside the reset gate, where it is an array of its own

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Return all of them."""
        more = (slot for slot in (self.U, *self.biases, self.inner) if slot is not None)
        return (self.W, *more)


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
        If no cell is found or more than one, or it has several layers.
    """
    layout, start, names = cell_names(arrays, prefix=prefix, unused=unused)
    if layout == "torch":
        recurrent = [key for key in names if key.startswith("weight_hh")]
        if len(recurrent) != 1:
            raise ValueError(
                f"the cell has {len(recurrent)} layers, needed one; a projection is of one layer"
            )
        (key,) = recurrent
        end = key.removeprefix("weight_hh")
        size = np.shape(arrays[names[key]])[:1]
        return StoredCell(
            layout=layout,
            W=Slot(name=names[key], shape=()),
            U=Slot(name=names[f"weight_ih{end}"], shape=()),
            biases=tuple(
                Slot(name=names.get(f"bias_{p}{end}", f"{start}bias_{p}{end}"), shape=size)
                for p in ("ih", "hh")
            ),
            inner=None,
        )
    if layout == "keras":
        name = names["recurrent_kernel"]
        n, size = np.shape(arrays[name])
        bias = names.get("bias", name.replace("recurrent_kernel", "bias"))
        # a GRU of Keras' default has two, also where they are still to be made
        two = np.ndim(arrays[bias]) == 2 if "bias" in names else variant != "reset_before"
        two = two and size == 3 * n
        rows: tuple[int | None, ...] = (0, 1) if two else (None,)
        shape = (2, size) if two else (size,)
        return StoredCell(
            layout=layout,
            W=Slot(name=name, shape=(), keras=True),
            U=Slot(name=names["kernel"], shape=(), keras=True),
            biases=tuple(Slot(name=bias, shape=shape, row=row, keras=True) for row in rows),
            inner=None,
        )
    w, u, b = (
        next((names[key] for key in pair if key in names), None)
        for pair in (("W", "A"), ("U", "B"), ("b", "bias"))
    )
    assert w is not None
    size, n = np.shape(arrays[w])
    made = f"{start}{'bias' if 'A' in names else 'b'}"
    return StoredCell(
        layout=layout,
        W=Slot(name=w, shape=()),
        U=None if u is None else Slot(name=u, shape=()),
        biases=(Slot(name=b or made, shape=(size,)),),
        inner=Slot(name=names.get("b_candidate", f"{start}b_candidate"), shape=(n,)),
    )


def in_single(arrays: Mapping[str, Any], cell: StoredCell, onto: str) -> bool:
    """Return whether something that a projection moves is stored in single precision."""
    moved = cell.slots if onto in {"lstm", "gru"} else (cell.W,)
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
        If a type cannot store a number.
    """
    cell = stored_cell(arrays) if cell is None else cell
    old, new = before.parameters, after.parameters
    gates = 3 if isinstance(before, GRU) else 1
    out = dict(arrays)

    def make(slot: Slot) -> None:
        if slot.name not in out:
            out[slot.name] = np.zeros(slot.shape, dtype=np.asarray(out[cell.W.name]).dtype)

    def put(slot: Slot, value: Any, where: Any = slice(None)) -> None:
        array = np.array(out[slot.name])
        view = slot.view(array)
        order = slot.order(len(view), gates)
        entries = view[order].astype(np.float64)
        entries[where] = value
        view[order] = entries
        if not np.array_equal(view[order].astype(np.float64), entries):
            raise ValueError(
                f"{slot.name} has type {array.dtype}, which cannot store the projected numbers "
                "exactly; convert it to float64 or float32"
            )
        if slot.name not in arrays or not _same_bits(array, arrays[slot.name]):
            out[slot.name] = array

    put(cell.W, new["W"])
    if not isinstance(before, LSTM | GRU):
        return out
    if cell.U is not None:
        put(cell.U, new["U"])
    moved = old["b"] != new["b"]
    inner = isinstance(before, GRU) and bool(np.any(old["b_candidate"] != new["b_candidate"]))
    first, *second = cell.biases
    if np.any(moved) or inner:
        for slot in cell.biases:
            make(slot)
    if np.any(moved) and not second:
        put(first, new["b"])
    elif np.any(moved):
        n = new["W"].shape[1]
        last = 2 * n if isinstance(before, GRU) else 4 * n
        summed = moved & (np.arange(len(moved)) < last)
        for slot in cell.biases:
            put(slot, 0.5 * new["b"][summed], summed)
        put(first, new["b"][moved & ~summed], moved & ~summed)
    if inner:
        n = new["W"].shape[1]
        target = second[0] if second else cell.inner
        if target is None:
            raise ValueError(f"the layout {cell.layout} has no room for a bias of the candidate")
        make(target)
        put(target, new["b_candidate"], slice(2 * n, None) if second else slice(None))
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
        if source.tensors is None and isinstance(array, Unread):
            raise ValueError(f"{source.path}: {name} {array.reason}")


def write(path: Path, arrays: Mapping[str, Any], source: WeightFile) -> None:
    """Replace a file by these arrays in one step, in the format of the one they are from.

    What was not changed is written as it was stored; the folder is made.

    Raises
    ------
    ValueError
        If the format cannot store a number.
    """
    tensors = source.tensors
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
        elif source.single:
            np.save(stream, arrays["W"], allow_pickle=False)
        else:
            write_archive(stream, arrays)
