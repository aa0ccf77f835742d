"""What a file says of a cell beyond its arrays, where its format says anything.

Main names: `Told`, `ToldHead`, `Through`, `told_of`, `agreed`, `flat_names`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, final

from theory.interop.build import Said


@final
@dataclass(frozen=True, kw_only=True)
class Told:
    """What a file says of one cell; None and empty texts say nothing."""

    kind: str  # what the format calls it, as in "LSTM node"
    activation: str | None = None  # in the words of its layout
    variant: str | None = None
    recurrent_activation: str | None = None
    refused: str = ""  # why it is no map
    source: str | None = None  # the cell whose states it reads, "" for none
    between: str = ""  # what stands between that one and this, if it changes what is read
    notes: tuple[str, ...] = ()  # what stands beside the recurrence, for people


@final
@dataclass(frozen=True, kw_only=True)
class Through:
    """A layer between a cell and an output layer."""

    kind: str  # "dense", "pointwise", "softmax", "layer" or "rms"
    at: str = ""  # what the names of its arrays begin with
    word: str = ""  # its activation
    eps: float = 0.0  # of a normalisation
    parts: tuple[str, str] = ("", "")  # the names behind `at` of its gain and its bias, if it has


@final
@dataclass(frozen=True, kw_only=True)
class ToldHead:
    """What a file says of one output layer."""

    kind: str  # what the format calls it
    source: str | None  # the cell whose states reach it, None if there is no telling which
    between: str = ""  # what stands between that cell and it, if that changes what is read
    after: str = ""  # what is done to its outputs, for people
    through: tuple[Through, ...] = ()  # the same layer by layer, if all of it can be read


def agreed(told: Told | None, said: Said, where: str) -> Said:
    """Return what a file tells and what a caller says, together.

    Raises
    ------
    ValueError
        If the file tells that the cell is no map, or another thing than the caller says.
    """
    if told is None:
        return said
    if told.refused:
        raise ValueError(f"{where or 'the cell'} ({told.kind}) {told.refused}")
    both = {}
    for name in ("activation", "variant", "recurrent_activation"):
        from_file, from_caller = getattr(told, name), getattr(said, name)
        # an Activation has the name that is said for it
        word = getattr(from_caller, "name", from_caller)
        if from_file is not None and word not in {None, from_file}:
            raise ValueError(
                f"{name}={from_caller!r}, but the file tells that {where or 'the cell'} has "
                f"{from_file!r}; leave {name}= out"
            )
        both[name] = from_caller if from_file is None else from_file
    return replace(said, **both)


def told_of(told: Mapping[str, Told], prefix: str) -> Told | None:
    """Return what is told of a cell, or of what it stands in, if that is refused."""
    if prefix in told:
        return told[prefix]
    around = (told[at] for at in told if prefix.startswith((f"{at}/", f"{at}.")))
    return next((one for one in around if one.refused), None)


#: A tree of arrays has no more leaves, and is no deeper.
_LEAVES, _DEPTH = 10**6, 100


def flat_names(tree: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the leaves of nested mappings, under the names of their paths joined by dots.

    Raises
    ------
    ValueError
        If it is too deep, holds itself, or has two leaves of one name.
    """
    found: dict[str, Any] = {}
    for name, leaf in _leaves(tree, "", 0):
        if name in found or not len(found) < _LEAVES:
            why = "two arrays have the name" if name in found else f"more than {_LEAVES} arrays at"
            raise ValueError(f"{why} {name!r}")
        found[name] = leaf
    return found


def _leaves(tree: Mapping[Any, Any], start: str, depth: int) -> Iterator[tuple[str, Any]]:
    if not depth <= _DEPTH:
        raise ValueError(f"arrays stand in mappings deeper than {_DEPTH} levels, or in a circle")
    for key, value in tree.items():
        name = f"{start}{key}"
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{name}.", depth + 1)
        else:
            yield name, value
