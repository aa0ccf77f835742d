"""What is recognised in a file of weights, and what is not.

Main names: `recognised`, `Recognised`, `FoundCell`, `FoundHead`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from theory.files.arrays import Unread
from theory.interop.arrays import cells_of
from theory.interop.chains import with_chains
from theory.interop.files import WeightFile, read_file
from theory.interop.heads import behind
from theory.interop.layers import layers_of
from theory.interop.layouts.blocks import block_notes, block_of
from theory.interop.map_file import HEADER
from theory.interop.told import Told, told_of
from theory.maps.base import Map
from theory.shown import shown


@final
@shown
@dataclass(frozen=True, kw_only=True, eq=False)
class FoundCell:
    """One cell: the map it is, or why it is none."""

    prefix: str  # where it is, as asked for with prefix=
    kind: str  # what the file, or its layout, calls it
    map: Map | None
    refused: str  # empty for a map
    reads: str | None  # the cell whose states it reads, "" for none, None if that is not known
    notes: tuple[str, ...]


@final
@shown
@dataclass(frozen=True, kw_only=True, eq=False)
class FoundHead:
    """One output layer: of which cells it may be one, or why it is none."""

    name: str  # as asked for with name=, and with --head
    cells: tuple[str, ...]  # prefixes of the cells that it fits
    sure: bool  # whether the file tells that it reads these states
    shape: tuple[int, ...] | None  # of C, (p, n)
    told: str  # what the file says stands between, or is done to its outputs; or why it is not read


@final
@shown
@dataclass(frozen=True, kw_only=True, eq=False)
class Recognised:
    """The cells of a file, its output layers, and the arrays that are of none of them."""

    path: Path
    kind: str  # of the file
    cells: tuple[FoundCell, ...]
    heads: tuple[FoundHead, ...]
    others: dict[str, str]  # names of other arrays, and what they are


def recognised(
    path: str | Path,
    *,
    activation: str | None = None,
    variant: str | None = None,
    recurrent_activation: str | None = None,
) -> Recognised:
    """Return what is recognised in a file of weights.

    Parameters
    ----------
    path : path
    activation, variant, recurrent_activation
        As in `load`, for the cells that need them; what does not fit a cell is told there.

    Raises
    ------
    ValueError
        If the file cannot be read.
    MissingExtraError
        If a package that the kind of file needs is not installed.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/two.npz", **{"W": np.eye(2), "head.weight": np.ones((1, 2))})
    ...     found = recognised(f"{folder}/two.npz", activation="tanh")
    >>> [(cell.prefix, cell.map) for cell in found.cells], found.others
    ([('', VanillaRNN(n=2, m=2, activation='tanh'))], {'head.weight': '(1, 2)'})
    """
    file = read_file(path)
    said = {
        "activation": activation,
        "variant": variant,
        "recurrent_activation": recurrent_activation,
    }
    if HEADER in file.arrays:
        one = _read(file, None, {})
        return Recognised(path=file.path, kind="save_map", cells=(one,), heads=(), others={})
    groups = cells_of(file.arrays)
    cells: list[FoundCell] = []
    used: set[str] = set()
    for (layout, prefix), names in groups.items():
        used.update(names.values())
        used.update(name for name in file.arrays if prefix and name.startswith(f"{prefix}."))
        cells.append(_read(file, prefix, said, layout, names))
    left = {name: array for name, array in file.arrays.items() if name not in used}
    heads = _heads(file, left, cells)
    of_heads = [one.name for one in heads]
    between = [
        step.at for one in heads if one.sure and one.name in file.heads
        for step in file.heads[one.name].through if step.at
    ]  # fmt: skip
    others = {
        name: _words(array, name, left)
        for name, array in left.items()
        if not any(_is_of(name, head) for head in [*of_heads, *between])
    }
    return Recognised(
        path=file.path, kind=file.kind, cells=tuple(cells), heads=tuple(heads), others=others
    )


def _is_of(name: str, head: str) -> bool:
    """Return whether an array is of a layer, which has nothing below it."""
    rest = name.removesuffix(":0").removeprefix(head)
    return name.startswith(head) and rest in _PARTS


#: What the arrays of a layer are called behind its name.
_WORDS = ("weight", "kernel", "bias", "gamma", "beta", *"wWb")
_PARTS = {"", *(f"{mark}{one}" for mark in "./_" for one in _WORDS)}


def _heads(file: WeightFile, left: dict[str, Any], cells: list[FoundCell]) -> list[FoundHead]:
    """Return the output layers: those that a file tells of, or that fit and have a bias."""
    maps = {cell.prefix: cell.map for cell in cells if cell.map is not None}
    widths = {at: len(one.output_map) for at, one in maps.items()}
    wholes = {at: one.state_dim for at, one in maps.items() if one.state_dim != widths[at]}
    every = {*widths.values(), *wholes.values()}
    there = {k: v for k, v in left.items() if not isinstance(v, Unread)}
    layers = with_chains(file, layers_of(there, every))
    found = []
    for name in dict.fromkeys([*layers, *file.heads]):
        layer, told = layers.get(name), file.heads.get(name)
        if told is None and (layer is None or layer.d is None):
            continue
        shape = None if layer is None else tuple(layer.C.shape)
        reads = None if layer is None else layer.width
        fits = [at for at, wide in widths.items() if wide == reads]
        whole = [at or "the cell" for at, wide in wholes.items() if wide == reads]
        chained = layer is not None and layer.below is not None
        words = ""
        sure = told is not None and bool(told.source) and (chained or not told.between)
        if told is not None:
            fits = [at for at in fits if sure and at == told.source]
            if told.between and told.source:
                words = f"between {told.source} and it: {told.between}"
                words += f"; then {told.after}" if chained and told.after else ""
            elif told.after:
                words = f"then {told.after}"
        elif layer is not None and layer.either:
            words = "square, and its name does not tell whether it is C or C^T"
        if told is None and fits and not words:
            words = behind(maps[fits[0]], name, layers)
        if told is None and whole and not fits:
            words = (
                f"as wide as the whole state of {', '.join(whole)}, not as what it shows; taken "
                "by its name only"
            )
        if fits or (told is None and whole) or (told is not None and told.source):
            found.append(
                FoundHead(name=name, cells=tuple(fits), sure=sure, shape=shape, told=words)
            )
    return found


def _read(
    file: WeightFile,
    prefix: str | None,
    said: dict[str, Any],
    layout: str = "save_map",
    names: Mapping[str, str] | None = None,
) -> FoundCell:
    told = told_of(file.told, prefix or "")
    found, refused = None, ""
    kind, notes = layout, () if told is None else (*told.notes, *_between(told))
    if layout == "block" and names is not None:
        kind, own = block_of(names).title, f"{prefix}." if prefix else ""
        notes += block_notes(names, own, file.arrays)
    try:
        found = file.map(prefix=prefix, **said)
    except ValueError as error:
        refused = str(error).removeprefix(f"{file.path}: ")
    return FoundCell(
        prefix=prefix or "",
        kind=kind if told is None else told.kind,
        map=found,
        refused=refused,
        reads=None if told is None else told.source,
        notes=notes,
    )


def _between(told: Told) -> tuple[str, ...]:
    return (f"between {told.source} and it: {told.between}",) if told.between else ()


def _words(array: Any, name: str, beside: dict[str, Any]) -> str:
    if isinstance(array, Unread):
        return array.reason
    start, end = name[: -len("weight")], np.shape(array)
    one = name.endswith(("weight", "gamma")) and len(end) == 1
    bias: Any = beside.get(f"{start}bias", beside.get(f"{name[: -len('gamma')]}beta"))
    if one and bias is not None and np.shape(bias) == end:
        return f"{end}, a normalisation by its shape"
    return str(end)
