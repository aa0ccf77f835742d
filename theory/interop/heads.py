r"""The output layers of a file of weights: which of them reads the states of a cell.

Main names: `load_head`, `find_head`, `shown_by`, `behind`, `Head`.

ONNX graphs, and Keras' files with a configuration, tell what stands between a cell and a layer: it
is a head of the state if nothing does that changes what is read, and the last layer of a chain if
every layer in between is known; nothing else of them is guessed.
Of other files only names and shapes are known: a layer is taken without being asked for if it is
the only one as wide as what the cell shows, gives another number of outputs than the cell takes,
and has a bias, as embeddings, which may fit by chance, have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import numpy as np

from theory.interop.arrays import cells_of
from theory.interop.chains import told_chain, with_chains
from theory.interop.files import WeightFile, read_file
from theory.interop.layers import Layer, changed, layers_of
from theory.interop.layouts import blocks
from theory.interop.map_file import HEADER
from theory.maps.base import Map, check_map
from theory.maps.combine import Chain
from theory.maps.functions import Dense, Function
from theory.maps.head import LinearHead, as_head
from theory.maps.output import with_head

#: The name that leaves the output layer out.
NONE = "none"


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Head:
    """What was found."""

    head: LinearHead | None  # of the whole state; None: the error is that of the state
    function: Function | None  # or a chain of layers, of what the map shows
    name: str | None  # where it is in the file
    told: str  # a line that says so; empty if there is nothing to say


def load_head(
    path: str | Path,
    recurrent: Map,
    *,
    prefix: str | None = None,
    name: str | None = None,
) -> LinearHead | Function:
    """Return the output layer C h + d of a file of weights, or the chain of layers that ends in it.

    Parameters
    ----------
    path : path
        As for `load`.
    recurrent : Map
        The map of the same file; of a stack, the layer reads the topmost cell.
    prefix : str, optional
        Where that cell is, if the file has several.
    name : str, optional
        What the names of the layer's arrays begin with; needed only if there are several.  Layers
        and activations in a row, as in ``"fc1,relu,fc2"``, tell what a file of arrays does not.

    Returns
    -------
    LinearHead or Function
        Of the whole state; what is done to the outputs, such as a softmax, is not in it.  Where
        other layers stand between, it is their chain, for `theory.maps.with_head`.

    Raises
    ------
    ValueError
        If the file cannot be read, or holds no such layer, or several that fit.
    MissingExtraError
        If a package that the kind of file needs is not installed.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from theory.interop import load
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = f"{folder}/cell.npz"
    ...     cell = {"enc_w_ih": np.ones((6, 1)), "enc_w_hh": np.eye(6, 2)}
    ...     np.savez(path, fc_w=np.ones((3, 2)), fc_b=np.ones(3), **cell)
    ...     load_head(path, load(path))
    LinearHead(p=3, n=2)
    """
    check_map(recurrent)
    found = find_head(read_file(path), recurrent, name, prefix=prefix)
    if found.function is not None:
        return found.function
    if found.head is None:
        raise ValueError(found.told or f"{path} has no output layer that fits {recurrent!r}")
    return found.head


def shown_by(recurrent: Map, head: Head) -> tuple[Map, LinearHead | None]:
    """Return a map, and its head, of which the outputs are those of the head that was found."""
    return (
        (recurrent, head.head)
        if head.function is None
        else (with_head(recurrent, head.function), None)
    )


def find_head(
    file: WeightFile,
    recurrent: Map,
    name: str | None,
    *,
    prefix: str | list[str] | None = None,
) -> Head:
    """Return the output layer of a file of weights.

    Parameters
    ----------
    file : WeightFile
    recurrent : Map
        The map of the same file.
    name : str, optional
        What the names of its arrays begin with, a chain of such names and activations, or "none".
        By default the layer of which the file
        tells that it reads the states of the cell, or the only one without a doubt.
    prefix : str or list of str, optional
        Where the cell is, or the cells of a stack, from the bottom up.

    Raises
    ------
    ValueError
        If the file holds no such layer, or one of another width, or of another thing than the
        states of the cell.
    """
    if name == NONE:
        return Head(head=None, function=None, name=None, told="")
    widths = {recurrent.state_dim, len(recurrent.output_map)}
    layers = with_chains(file, layers_of(file.arrays, widths))
    given = [prefix] if isinstance(prefix, str) else prefix or []
    asked = [one.rstrip("./") for one in given]
    cells = _cells_of(file)
    top = asked[-1] if asked else cells[0] if len(cells) == 1 else None
    if name is not None and "," in name and name not in layers:
        function = told_chain(file, recurrent, name, layers)
        count = function.output_dim
        told = f"output: {name} ({count} output{'s' * (count > 1)}), as told"
        return Head(head=None, function=function, name=name, told=told)
    if name is not None:
        at = name.rstrip("./").removesuffix(".weight").removesuffix("/kernel")
        part = blocks.block_around(cells_of(file.arrays), at)
        why = _why_not(file, at, top, cells, layers.get(at))
        if part is not None:
            why = f"is a part of {part or 'the recurrent block'}, not behind it"
        if why:
            raise ValueError(f"{file.path}: {at} {why}")
        if at not in layers:
            there = ", ".join(one or "(no prefix)" for one in layers) or "none"
            raise ValueError(
                f"{file.path} has no output layer {name!r}: needed {at}.weight, (p, n), or "
                f"{at}/kernel, (n, p); there are: {there}"
            )
        if layers[at].either:
            raise ValueError(
                f"{file.path}: {at} is square, and its name does not tell whether it stands for C "
                f"or C^T; save it as {at}.weight, (p, n), or {at}.kernel, (n, p)"
            )
        return _made(file, recurrent, at, layers[at])
    known = cells_of(file.arrays)
    layers = {at: one for at, one in layers.items() if blocks.block_around(known, at) is None}
    reasons = {at: _why_not(file, at, top, cells, layers.get(at)) for at in [*layers, *file.heads]}
    fitting = {at: one for at, one in layers.items() if one.width in widths and not reasons[at]}
    doubts = {at: _doubt(file, recurrent, at, one) for at, one in fitting.items()}
    clear = [at for at, doubt in doubts.items() if not doubt]
    # what a file tells of counts whether it has a bias or not
    sure = _last([at for at in clear if at in file.heads], file)
    whole = sure or clear
    others = _other_cells(file, asked, cells)
    more = behind(recurrent, whole[0], layers) if len(whole) == 1 and not sure else ""
    if len(whole) == 1 and (sure or not (others or more)):
        found = _made(file, recurrent, whole[0], fitting[whole[0]])
        only = "the layer that reads its states" if sure else "the only layer of the file that fits"
        # what cannot be read may be what the network gives
        rest = [f"; {at} {why}" for at, why in reasons.items() if sure and why and _reads(file, at)]
        told = f"{found.told}, {only}; --head none leaves it out{''.join(rest[:2])}"
        return replace(found, told=told)
    if not fitting:
        why_not = [f"{at} {why}" for at, why in reasons.items() if why]
        told = f"no output layer: {'; '.join(why_not[:3])}" if why_not else ""
        return Head(head=None, function=None, name=None, told=told)
    if more:
        return Head(head=None, function=None, name=None, told=f"no output layer: {more}")
    names = ", ".join(at or "(no prefix)" for at in fitting)
    told = f"no output layer: of the layers that fit ({names}), choose one with --head NAME"
    if not whole:
        told += "".join(f"; {at or 'it'} {doubt}" for at, doubt in list(doubts.items())[:3])
    if whole and others:
        told += f"; the file has other cells ({', '.join(others)}), and does not tell whose it is"
    return Head(head=None, function=None, name=None, told=told)


def _reads(file: WeightFile, at: str) -> bool:
    """Return whether a file tells that a layer reads the states of a cell, through something."""
    told = file.heads.get(at)
    return told is not None and bool(told.source) and bool(told.between)


def _last(names: list[str], file: WeightFile) -> list[str]:
    """Return the layers that are not inside the chain of another one."""
    inside = {one.at for at in names for one in file.heads[at].through}
    return [at for at in names if at not in inside]


def _cells_of(file: WeightFile) -> list[str]:
    """Return the prefixes of the cells of a file; what is read as one stack counts as one."""
    found = [at for _, at in cells_of(file.arrays)]
    stack = HEADER in file.arrays or sorted(found) == sorted(map(str, range(len(found))))
    return [""] if stack else list(dict.fromkeys(found))


def _other_cells(file: WeightFile, asked: list[str], cells: list[str]) -> list[str]:
    """Return the cells of a file that are not among those that were asked for."""
    inside = tuple(f"{one}{mark}" for one in asked for mark in "./")
    others = [at for at in cells if at not in asked and not at.startswith(inside)]
    if not asked and len(cells) == 1:
        others = []
    if any(str(name).endswith("_reverse") for name in file.arrays):
        others.append("one of the other direction")
    return others


def _doubt(file: WeightFile, recurrent: Map, at: str, layer: Layer) -> str:
    """Return why a layer is not taken without being asked for; else nothing."""
    if layer.width != len(recurrent.output_map) and HEADER not in file.arrays:
        return "is as wide as the whole state, not as what the cell shows of it"
    if at in file.heads:
        return ""
    if blocks.has_inner(cells_of(file.arrays)):
        return "stands in a network of which the cell is one recurrence, with more between them"
    if _tells(file):
        return "is none of which the file tells what it reads"
    if layer.d is None:
        return "has no bias"
    if layer.either:
        return "is square, and its name does not tell whether it stands for C or C^T"
    if not layer.C.size or np.shape(layer.d) != (len(layer.C),):
        return f"has a bias of shape {np.shape(layer.d)} beside C of shape {layer.C.shape}"
    if at != "C" and not at.endswith(".C") and len(layer.C) == recurrent.input_dim:
        return "gives as many numbers as the cell takes, so that it may stand below it"
    return ""


def behind(recurrent: Map, at: str, layers: Mapping[str, Layer]) -> str:
    """Return what may stand behind a layer, if anything does; else nothing."""
    # one that gives what the cell takes stands below it
    found = [
        name
        for name, one in layers.items()
        if name != at and one.width == len(layers[at].C) and len(one.C) != recurrent.input_dim
    ]
    if not found:
        return ""
    return (
        f"{at} may have {found[0]} behind it, and nothing tells what stands between; say it, as "
        f"in --head {at},relu,{found[0]}, or take --head {at}"
    )


def _tells(file: WeightFile) -> bool:
    """Return whether a file has a graph or a configuration, so that nothing has to be guessed."""
    return file.kind == "ONNX" or bool(getattr(file.source, "configured", False))


def _why_not(
    file: WeightFile, at: str, top: str | None, cells: list[str], layer: Layer | None
) -> str:
    """Return why a layer is no head of a cell, as far as the file tells; else nothing."""
    told = file.heads.get(at)
    stored = changed(file, at)
    if told is None:
        return stored
    if told.source is None:
        return f"({told.kind}) reads several layers, not the states of a cell alone"
    if told.source == "":
        below = f": below it there is {told.between}" if told.between else ""
        return f"({told.kind}) does not read the states of a cell{below}"
    if told.between and (layer is None or layer.below is None):
        return (
            f"({told.kind}) is no head of the states: between {told.source} and it there is "
            f"{told.between}"
        )
    if top is None and len(cells) > 1:
        return (
            f"({told.kind}) reads the states of {told.source}, and the file has other cells; say "
            "which one the map is with prefix="
        )
    if top and told.source != top:
        return f"({told.kind}) reads the states of {told.source}"
    return f"({told.kind}) {stored}" if stored else ""


def _made(file: WeightFile, recurrent: Map, at: str, layer: Layer) -> Head:
    function: Function | None = None
    head: LinearHead | None = None
    if layer.below is not None:
        function = Chain([*layer.below.functions, Dense(layer.C, layer.d)])
    else:
        head = as_head(recurrent, layer.C, name=f"{at or 'the output layer'}")
    if head is not None and layer.d is not None:
        try:
            head = LinearHead(head.C, layer.d)
        except ValueError as error:
            raise ValueError(f"{file.path}: the bias of {at or 'the layer'}: {error}") from None
    count = len(layer.C)
    after = file.heads[at].after if at in file.heads else ""
    behind = f", behind {file.heads[at].between}" if function is not None else ""
    behind += f", before {after}" if after else ""
    told = (
        f"output: {at or 'the layer without a prefix'} ({count} output{'s' * (count > 1)}{behind})"
    )
    return Head(head=head, function=function, name=at, told=told)
