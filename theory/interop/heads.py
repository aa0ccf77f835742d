r"""The output layers of a file of weights: which of them reads the states of a cell.

Main names: `load_head`, `find_head`, `Head`.

ONNX graphs, and Keras' files with a configuration, tell what stands between a cell and a layer: it
is a head of the state if nothing does that changes what is read.  Of other files only names and
shapes are known: a layer is taken without being asked for if it is the only one that fits and has a
bias, as embeddings, which may fit by chance, have none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from theory.interop.arrays import cells_of
from theory.interop.files import WeightFile, read_file
from theory.maps.base import Map, check_map
from theory.maps.head import LinearHead, as_head

#: The name that leaves the output layer out.
NONE = "none"

#: PyTorch's names, C and d as they are; Keras', C from the right.
_NAMES = re.compile(r"(?:(?P<prefix>.*)[./])?(?P<key>weight|kernel|bias|recurrent_kernel)(?::0)?")

#: Short names, as in fc_w and fc_b, linear.w and linear.b; C is either way round.
_SHORT = re.compile(r"(?P<prefix>.*)[_./](?P<key>[wWb])")

#: The readout of a linear system stands beside its A.
_LINEAR = re.compile(r"(?P<prefix>.*\.)?C")


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """An output layer: its arrays, and what is told of it."""

    C: Any  # (p, n)
    d: Any  # (p,), None without a bias
    either: bool = False  # whether C may be meant the other way round


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Head:
    """What was found."""

    head: LinearHead | None  # of the whole state; None: the error is that of the state
    name: str | None  # where it is in the file
    told: str  # a line that says so; empty if there is nothing to say


def load_head(
    path: str | Path,
    recurrent: Map,
    *,
    prefix: str | None = None,
    name: str | None = None,
) -> LinearHead:
    """Return the output layer C h + d of a file of weights.

    Parameters
    ----------
    path : path
        As for `load`.
    recurrent : Map
        The map of the same file; of a stack, the layer reads the topmost cell.
    prefix : str, optional
        Where that cell is, if the file has several.
    name : str, optional
        What the names of the layer's arrays begin with; needed only if there are several.

    Returns
    -------
    LinearHead
        Of the whole state; what is done to the outputs, such as a softmax, is not in it.

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
    if found.head is None:
        raise ValueError(found.told or f"{path} has no output layer that fits {recurrent!r}")
    return found.head


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
        What the names of its arrays begin with, or "none".  By default the only layer that fits and
        has a bias, or of which the file tells that it reads the states of the cell.
    prefix : str or list of str, optional
        Where the cell is, or the cells of a stack, from the bottom up.

    Raises
    ------
    ValueError
        If the file holds no such layer, or one of another width, or of another thing than the
        states of the cell.
    """
    if name == NONE:
        return Head(head=None, name=None, told="")
    widths = {recurrent.state_dim, len(recurrent.output_map)}
    layers = layers_of(file.arrays, widths)
    asked = [prefix] if isinstance(prefix, str) else prefix or []
    top = asked[-1] if asked else None
    if name is not None:
        at = name.rstrip("./").removesuffix(".weight").removesuffix("/kernel")
        why = _why_not(file, at, top)
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
    fitting = {
        at: one
        for at, one in layers.items()
        if one.C.shape[1] in widths and not _why_not(file, at, top)
    }
    others = _other_cells(file, asked) if asked else []
    # what a file tells of counts whether it has a bias or not
    sure = [at for at in fitting if at in file.heads]
    whole = sure or [at for at, one in fitting.items() if one.d is not None and not one.either]
    if len(whole) == 1 and (sure or not others):
        found = _made(file, recurrent, whole[0], fitting[whole[0]])
        only = "the layer that reads its states" if sure else "the only layer of the file that fits"
        return Head(
            head=found.head,
            name=found.name,
            told=f"{found.told}, {only}; --head none leaves it out",
        )
    if not fitting:
        reasons = [f"{at} {why}" for at in file.heads if (why := _why_not(file, at, top))]
        told = f"no output layer: {'; '.join(reasons[:3])}" if reasons else ""
        return Head(head=None, name=None, told=told)
    names = ", ".join(at or "(no prefix)" for at in fitting)
    told = f"no output layer: of the layers that fit ({names}), choose one with --head NAME"
    if whole and others:
        told += f"; the file has other cells ({', '.join(others)}), and does not tell whose it is"
    return Head(head=None, name=None, told=told)


def _other_cells(file: WeightFile, asked: list[str]) -> list[str]:
    """Return the cells of a file that are not among those that were asked for."""
    every = [at for _, at in cells_of(file.arrays)]
    return [at for at in every if not any(at == one or at.startswith(f"{one}.") for one in asked)]


def _why_not(file: WeightFile, at: str, top: str | None) -> str:
    """Return why a layer is no head of a cell, as far as the file tells; else nothing."""
    told = file.heads.get(at)
    if told is None:
        return ""
    if told.source is None:
        return f"({told.kind}) reads several layers, not the states of a cell alone"
    if told.source == "":
        return f"({told.kind}) does not read the states of a cell"
    if told.between:
        return (
            f"({told.kind}) is no head of the states: between {told.source} and it there is "
            f"{told.between}"
        )
    if top and told.source != top:
        return f"({told.kind}) reads the states of {told.source}"
    return ""


def _made(file: WeightFile, recurrent: Map, at: str, layer: Layer) -> Head:
    head = as_head(recurrent, layer.C, name=f"{at or 'the output layer'}")
    if layer.d is not None:
        head = LinearHead(head.C, layer.d)
    count = len(head.C)
    after = file.heads[at].after if at in file.heads else ""
    behind = f", before {after}" if after else ""
    told = (
        f"output: {at or 'the layer without a prefix'} ({count} output{'s' * (count > 1)}{behind})"
    )
    return Head(head=head, name=at, told=told)


def layers_of(arrays: Mapping[str, Any], widths: set[int]) -> dict[str, Layer]:
    """Return every layer of two arrays, or of one, and every linear system's readout."""
    groups: dict[str, dict[str, Any]] = {}
    for name, value in arrays.items():
        match = _NAMES.fullmatch(str(name))
        if match:
            groups.setdefault(match["prefix"] or "", {})[match["key"]] = value
    found = {}
    for at, group in groups.items():
        if "recurrent_kernel" in group:
            continue
        C = group["weight"] if "weight" in group else group.get("kernel")
        if C is not None and np.ndim(C) == 2:
            rows = np.asarray(C) if "weight" in group else np.asarray(C).T
            found[at] = Layer(C=rows, d=group.get("bias"))
    for name, C in arrays.items():
        match = _LINEAR.fullmatch(str(name))
        if match and f"{match['prefix'] or ''}A" in arrays and np.ndim(C) == 2:
            found[str(name)] = Layer(C=np.asarray(C), d=np.zeros(len(C)))
    found |= {at: layer for at, layer in _short(arrays, widths) if at not in found}
    return found


def _short(arrays: Mapping[str, Any], widths: set[int]) -> Iterator[tuple[str, Layer]]:
    """Yield the layers of short names, which are a matrix and a bias."""
    groups: dict[str, dict[str, Any]] = {}
    for name, value in arrays.items():
        match = _SHORT.fullmatch(str(name))
        if match:
            groups.setdefault(match["prefix"], {})[match["key"].replace("W", "w")] = value
    for at, group in groups.items():
        if set(group) != {"w", "b"} or np.ndim(group["w"]) != 2 or np.ndim(group["b"]) != 1:
            continue
        C, d = np.asarray(group["w"]), group["b"]
        ways = [M for M in (C, C.T) if M.shape[1] in widths and len(M) == len(d)]
        if ways:
            yield at, Layer(C=ways[0], d=d, either=len(ways) == 2)
