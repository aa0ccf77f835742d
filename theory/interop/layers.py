"""Layers of a matrix and a bias among named arrays.

Main names: `Layer`, `layers_of`, `changed`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from theory.files.arrays import Unread
from theory.interop.files import WeightFile
from theory.maps.combine import Chain

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
    below: Chain | None = None  # what stands between the states and it

    @property
    def width(self) -> int:
        """Return how many numbers it reads of a state."""
        return int(self.C.shape[1]) if self.below is None else self.below.input_dim


#: Arrays beside those of a layer that change what it computes, by their names behind its own.
_BESIDE = re.compile(r"scale|zero_point|lora|quant|qweight|absmax|scb|^vars/", re.IGNORECASE)
_BESIDE_SHORT = re.compile(r"((w|b|weight|kernel|bias)_)?(scales?|zero_points?)", re.IGNORECASE)


def changed(file: WeightFile, at: str) -> str:
    """Return how the weights of a layer are stored, if not as they are; else nothing."""
    if re.search(r"(^|[./_])lora_", at):
        return "is a part of an adapter"
    stem = at.removesuffix(".base_layer")  # what adapters call a layer that they are added to
    for name, value in file.arrays.items():
        rest = str(name)
        if stem:
            if not rest.startswith((f"{stem}.", f"{stem}/", f"{stem}_")):
                continue
            mark, rest = rest[len(stem)], rest[len(stem) + 1 :]
        else:
            mark = "_"
        if _BESIDE_SHORT.fullmatch(rest) or (mark != "_" and _BESIDE.search(rest)):
            return f"is quantised, or changed by other arrays ({name}): save it as it is used"
        own = rest.removesuffix(":0") in {"weight", "kernel", "bias", "w", "W", "b"}
        if own and isinstance(value, Unread):
            return f"cannot be read: {name} {value.reason}"
        if own and np.asarray(value).dtype.kind in "iub":
            kind = np.asarray(value).dtype
            return f"is stored as {kind}, as quantised weights are; save it as floats"
    return ""


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
