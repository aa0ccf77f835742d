r"""The output layer in a file of weights: the option `--head`.

Main names: `HeadOption`, `read_head`, `Head`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, final

import numpy as np
import typer

from theory.interop.files import WeightFile
from theory.maps.base import Map
from theory.maps.head import LinearHead, as_head

HeadOption = Annotated[
    str | None,
    typer.Option(
        "--head",
        help="The output layer in the file, as in head for head.weight and head.bias; by default "
        "the only one with a bias that fits, if there is one; none: the state itself.",
    ),
]

#: The option that leaves the output layer out.
NONE = "none"

#: PyTorch's names, C and d as they are; Keras', C from the right.
_NAMES = re.compile(r"(?:(?P<prefix>.*)[./])?(?P<key>weight|kernel|bias|recurrent_kernel)(?::0)?")

#: The readout of a linear system stands beside its A.
_LINEAR = re.compile(r"(?P<prefix>.*\.)?C")


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Head:
    """What was found."""

    head: LinearHead | None  # of the whole state; None: the error is that of the state
    name: str | None  # where it is in the file
    told: str  # a line that says so; empty if there is nothing to say


def read_head(file: WeightFile, recurrent: Map, name: str | None) -> Head:
    """Return the output layer of a file of weights.

    Parameters
    ----------
    file : WeightFile
    recurrent : Map
        The map of the same file.
    name : str, optional
        What the names of its arrays begin with, or "none".  By default the only layer that fits and
        has a bias: embeddings, which may fit by chance, have none.

    Raises
    ------
    ValueError
        If the file holds no such layer, or one of another width.
    """
    if name == NONE:
        return Head(head=None, name=None, told="")
    layers = _layers(file.arrays)
    if name is not None:
        at = name.rstrip("./").removesuffix(".weight").removesuffix("/kernel")
        if at not in layers:
            there = ", ".join(one or "(no prefix)" for one in layers) or "none"
            raise ValueError(
                f"{file.path} has no output layer {name!r}: needed {at}.weight, (p, n), or "
                f"{at}/kernel, (n, p); there are: {there}"
            )
        return _made(recurrent, at, *layers[at])
    widths = {recurrent.state_dim, len(recurrent.output_map)}
    fitting = {at: one for at, one in layers.items() if one[0].shape[1] in widths}
    whole = [at for at, (_, d) in fitting.items() if d is not None]
    if len(whole) == 1:
        found = _made(recurrent, whole[0], *fitting[whole[0]])
        told = f"{found.told}, the only layer of the file that fits; --head none leaves it out"
        return Head(head=found.head, name=found.name, told=told)
    if not fitting:
        return Head(head=None, name=None, told="")
    names = ", ".join(at or "(no prefix)" for at in fitting)
    told = f"no output layer: of the layers that fit ({names}), choose one with --head NAME"
    return Head(head=None, name=None, told=told)


def _made(recurrent: Map, at: str, C: Any, d: Any) -> Head:
    head = as_head(recurrent, C, name=f"{at or 'the output layer'}")
    if d is not None:
        head = LinearHead(head.C, d)
    count = len(head.C)
    told = f"output: {at or 'the layer without a prefix'} ({count} output{'s' * (count > 1)})"
    return Head(head=head, name=at, told=told)


def _layers(arrays: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return C, (p, n), and d of every layer of two arrays and every linear system's readout."""
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
            found[at] = (np.asarray(C) if "weight" in group else np.asarray(C).T, group.get("bias"))
    for name, C in arrays.items():
        match = _LINEAR.fullmatch(str(name))
        if match and f"{match['prefix'] or ''}A" in arrays and np.ndim(C) == 2:
            found[str(name)] = (np.asarray(C), np.zeros(len(C)))
    return found
