"""Which cells there are among names of arrays, by the layouts that are known.

Main names: `groups_of`, `check_not_made`, `LAYOUTS`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from theory.interop.build import names_of
from theory.interop.layouts import blocks, jax

_TORCH = re.compile(
    r"(?:(?P<prefix>.*)\.)?(?P<key>(?:weight_ih|weight_hh|weight_hr|bias_ih|bias_hh)"
    r"(?:_l\d+)?(?:_reverse)?|bias|bias_n)"
)
#: What parametrizations, their predecessors and wrappers store instead of, or beside, a weight.
_MADE = re.compile(
    r"(?:(?P<prefix>.*?)\.)??(?:parametrizations\.(?P<held>(?:weight|bias)_[ih]\w+)\.\w+(?:\.\w+)*"
    r"|(?P<key>(?:weight_ih|weight_hh|weight_hr|bias_ih|bias_hh)(?:_l\d+)?(?:_reverse)?)"
    r"_(?!l\d|reverse$)\w+)"
)
_KERAS = re.compile(r"(?:(?P<prefix>.*)[./])?(?P<key>kernel|recurrent_kernel|bias)(?::0)?")
_ONNX = re.compile(r"(?:(?P<prefix>.*)\.)?(?P<key>[WRBP](?:_reverse)?|initial_[hc](?:_reverse)?)")
_SHORT = re.compile(r"(?:(?P<prefix>.*)[._])?(?P<key>[wb]_[ih]h)")
_OWN = re.compile(r"(?:(?P<prefix>.*)\.)?(?P<key>W|U|b|b_candidate|leak|A|B|C|D|bias)")

#: What makes a group of names one of that layout: Keras' other layers have kernels, too.
LAYOUTS = (
    ("torch", _TORCH, re.compile(r"weight_[ih]h.*")),
    ("keras", _KERAS, re.compile("recurrent_kernel")),
    ("onnx", _ONNX, re.compile("R")),
    ("own", _OWN, re.compile("W|A")),
    ("short", _SHORT, re.compile("w_hh")),
    ("flax", jax.FLAX, re.compile(r"h[nogr]?[./]kernel|dense_h[./]kernel")),
    ("haiku", jax.HAIKU, re.compile(r"/linear\.w|\.w_h")),
    ("block", blocks.PATTERN, blocks.NEEDED),
)


def groups_of(
    arrays: Mapping[str, Any], layout: str | None
) -> dict[tuple[str, str], dict[str, str]]:
    """Return the names of each cell's arrays by layout and prefix."""
    groups: dict[tuple[str, str], dict[str, str]] = {}
    for kind, pattern, needs in LAYOUTS:
        if layout not in {None, kind}:
            continue
        found: dict[str, dict[str, str]] = {}
        for name in arrays:
            match = pattern.fullmatch(str(name))
            if match:
                found.setdefault(match["prefix"] or "", {})[match["key"]] = name
        for at, group in found.items():
            if kind == "own" and ("onnx", at) in groups:
                continue
            if kind == "torch" and not _one_bias(arrays, group):
                group = {key: name for key, name in group.items() if key not in _ONE_BIAS}
            if kind == "own" and "A" not in group:
                # a readout has no meaning beside W
                group = {key: name for key, name in group.items() if key not in {"C", "D"}}
            if kind == "onnx" and "R" in group and np.ndim(arrays[group["R"]]) != 3:
                continue
            if any(needs.fullmatch(key) for key in group):
                groups[kind, at] = group
    return groups


#: Equinox has PyTorch's names, and one bias.
_ONE_BIAS = {"bias", "bias_n"}


def _one_bias(arrays: Mapping[str, Any], group: Mapping[str, str]) -> bool:
    """Return whether the biases of a group are those of a GRU or an LSTM of Equinox."""
    if group.keys() - {"weight_ih", "weight_hh"} not in ({"bias"}, _ONE_BIAS):
        return False
    shape: tuple[int, ...] = np.shape(arrays[group["weight_hh"]]) if "weight_hh" in group else ()
    gates = 3 if "bias_n" in group else 4
    return len(shape) == 2 and shape[0] == gates * shape[1]


def check_not_made(
    arrays: Mapping[str, Any],
    groups: Mapping[tuple[str, str], Mapping[str, Any]],
    wanted: str | None,
    layout: str | None,
) -> None:
    """Check that no weight of PyTorch's is stored in parts, or beside what it is made from."""
    if layout not in {None, "torch"}:
        return
    cells = {p: g for (kind, p), g in groups.items() if kind == "torch" and wanted in {None, p}}
    loose: dict[str, list[str]] = {}
    for name in map(str, arrays):
        match = None if _TORCH.fullmatch(name) else _MADE.fullmatch(name)
        if match is None:
            continue
        at, key = match["prefix"] or "", match["held"] or match["key"]
        # a wrapper around the cell may hold them, too
        p = next((p for p in cells if at in {p, ""} or p.startswith(f"{at}.")), None)
        if p is not None and key in cells[p]:
            raise ValueError(
                f"{_joined(p, key)} and {name} are both there, and one may be made from the other "
                "before every forward pass, perhaps as it was in training; which of them counts is "
                "not known: pass the module, or leave out the one that does not count"
            )
        if wanted in {None, at, p}:
            loose.setdefault(at if p is None else p, []).append(name)
    others = sorted({*cells, *loose})
    if wanted is None and loose and len(others) > 1:
        where = ", ".join(f"{p or '(no prefix)'} (torch)" for p in others)
        raise ValueError(f"more than one recurrent cell: {where}; choose one with prefix=")
    for names in loose.values():
        raise ValueError(
            f"weights are not stored themselves, but what they are made from: {names_of(names)}; a "
            "state dict does not tell how: pass the module, or first call remove_parametrizations, "
            "remove_weight_norm, remove_spectral_norm or prune.remove of torch.nn.utils, whichever "
            "it was; where one array is the weight itself (weight drop), rename it to that"
        )


def _joined(prefix: str, key: str) -> str:
    return f"{prefix}.{key}" if prefix else key
