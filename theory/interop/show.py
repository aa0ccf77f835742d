"""What is recognised in a file of weights, and what is not.

Main names: `recognised`, `Recognised`, `FoundCell`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from theory.files.arrays import Unread
from theory.interop.arrays import cells_of
from theory.interop.files import WeightFile, read_file
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
class Recognised:
    """The cells of a file, and the arrays that are of none of them."""

    path: Path
    kind: str  # of the file
    cells: tuple[FoundCell, ...]
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
        return Recognised(path=file.path, kind="save_map", cells=(one,), others={})
    groups = cells_of(file.arrays)
    cells: list[FoundCell] = []
    used: set[str] = set()
    for (layout, prefix), names in groups.items():
        used.update(names.values())
        used.update(name for name in file.arrays if prefix and name.startswith(f"{prefix}."))
        cells.append(_read(file, prefix, said, layout))
    others = {name: _words(array) for name, array in file.arrays.items() if name not in used}
    return Recognised(path=file.path, kind=file.kind, cells=tuple(cells), others=others)


def _read(
    file: WeightFile, prefix: str | None, said: dict[str, Any], layout: str = "save_map"
) -> FoundCell:
    told = told_of(file.told, prefix or "")
    found, refused = None, ""
    try:
        found = file.map(prefix=prefix, **said)
    except ValueError as error:
        refused = str(error).removeprefix(f"{file.path}: ")
    return FoundCell(
        prefix=prefix or "",
        kind=layout if told is None else told.kind,
        map=found,
        refused=refused,
        reads=None if told is None else told.source,
        notes=() if told is None else (*told.notes, *_between(told)),
    )


def _between(told: Told) -> tuple[str, ...]:
    return (f"between {told.source} and it: {told.between}",) if told.between else ()


def _words(array: Any) -> str:
    return array.reason if isinstance(array, Unread) else str(np.shape(array))
