"""The layout of PyTorch's recurrent modules, all layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from theory.interop.build import (
    Said,
    cell_of,
    check_shape,
    double_array,
    gates_of,
    names_of,
    stack_layers,
)
from theory.maps.base import Map
from theory.typing import Array

BIDIRECTIONAL = (
    "the cell is bidirectional: its state depends on inputs to come, so it is no recurrent map of "
    "the past; take the forward direction alone, without the keys that end in _reverse (from a "
    "state dict, unused='*_reverse'), if there is one layer only: upper ones see both directions"
)
PROJECTED = (
    "the cell has projections (proj_size, weight_hr): its state is not that of an LSTM; there is "
    "no such map yet"
)


def torch_cells(group: dict[str, Any], start: str, said: Said) -> Map:
    """Return the map of PyTorch's weights, all layers."""
    if any(key.endswith("_reverse") for key in group):
        raise ValueError(BIDIRECTIONAL)
    if any(key.startswith("weight_hr") for key in group):
        raise ValueError(PROJECTED)
    if "bias" in group:
        return _equinox(group, start, said)
    ends = {key[key.index("_l") :] if "_l" in key else "" for key in group}
    if "" in ends and len(ends) > 1:
        raise ValueError(
            f"both {start}weight_hh and {start}weight_hh_l0 are there: a cell and a layer; pass "
            "one of them only"
        )
    odd = [end for end in sorted(ends - {""}) if end != f"_l{int(end[2:])}"]
    if odd:
        raise ValueError(f"layers are numbered _l0, _l1, and so on, received *{odd[0]}")
    # of a gap the first layer that is missing is named
    most = 1 + max((int(end[2:]) for end in ends - {""}), default=0)
    count = 1 if ends == {""} else min(most, len(ends) + 1)
    suffixes = [""] if ends == {""} else [f"_l{k}" for k in range(count)]
    biased = any(key.startswith("bias") for key in group)
    stems = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if biased else [])]
    needed = [f"{stem}{end}" for end in suffixes for stem in stems]
    missing = [f"{start}{key}" for key in needed if key not in group]
    if missing:
        there = names_of(f"{start}{key}" for key in group)
        raise ValueError(f"missing keys: {', '.join(missing)}; there are {there}")
    layers = []
    for end in suffixes:
        named = {stem: double_array(f"{start}{stem}{end}", group[f"{stem}{end}"]) for stem in stems}
        layers.append(_torch_layer(named, f"{start}*{end}", said))
        if len(layers) > 1 and layers[-1].input_dim == 2 * len(layers[-2].output_map):
            raise ValueError(
                f"{start}weight_ih{end} takes twice what the layer below gives, as in a "
                "bidirectional network, whose upper layers see inputs to come; only the forward "
                "direction of its first layer is a map of the past"
            )
    return stack_layers(layers)


def _torch_layer(named: dict[str, Array], where: str, said: Said) -> Map:
    """Return one layer; `where` is the pattern of its names."""
    W, U = named["weight_hh"], named["weight_ih"]
    names = {stem: where.replace("*", stem) for stem in named}
    gates, n = gates_of(names["weight_hh"], W)
    check_shape(names["weight_ih"], U, (gates * n, None))
    zero = np.zeros(gates * n)
    bi, bh = named.get("bias_ih", zero), named.get("bias_hh", zero)
    for stem in ("bias_ih", "bias_hh"):
        if stem in named:
            check_shape(names[stem], named[stem], (gates * n,))
    # only the reset gate sees the two biases of a GRU's candidate apart
    b, inner = bi + bh, None
    if gates == 3:
        b[2 * n :] = bi[2 * n :]
        inner = bh[2 * n :]
    return cell_of(W, U, b, said, b_candidate=inner, variant="reset_after" if gates == 3 else None)


def _equinox(group: dict[str, Any], start: str, said: Said) -> Map:
    """Return the map of a cell of Equinox: one bias, and bias_n inside of a GRU's reset gate."""
    arrays = {key: double_array(f"{start}{key}", value) for key, value in group.items()}
    gates, n = gates_of(f"{start}weight_hh", arrays["weight_hh"])
    check_shape(f"{start}weight_ih", arrays["weight_ih"], (gates * n, None))
    check_shape(f"{start}bias", arrays["bias"], (gates * n,))
    if gates == 3:
        check_shape(f"{start}bias_n", arrays["bias_n"], (n,))
    return cell_of(
        arrays["weight_hh"],
        arrays["weight_ih"],
        arrays["bias"],
        said,
        b_candidate=arrays.get("bias_n"),
        variant="reset_after" if gates == 3 else None,
    )


#: PyTorch's names in short, as g2p-en has them: enc_w_hh.
SHORT = {"w_ih": "weight_ih", "w_hh": "weight_hh", "b_ih": "bias_ih", "b_hh": "bias_hh"}


def short_cell(group: dict[str, Any], start: str, said: Said) -> Map:
    """Return the map of PyTorch's weights under short names."""
    return torch_cells({SHORT[key]: value for key, value in group.items()}, start, said)
