"""The layout of ONNX's RNN, GRU and LSTM nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from theory.interop.build import (
    Said,
    cell_of,
    check_said_activations,
    check_shape,
    double_array,
    gates_of,
    names_of,
)
from theory.interop.layouts.torch import BIDIRECTIONAL
from theory.maps.base import Map
from theory.typing import Array

#: Where our gates, r z n and i f g o, are in ONNX's orders, z r h and i o f c.
ORDER = {1: (0,), 3: (1, 0, 2), 4: (0, 2, 3, 1)}


def onnx_cell(group: dict[str, Any], start: str, said: Said) -> Map:
    """Return the map of W, (1, g n, m), R, (1, g n, n), B, (1, 2 g n), and P, (1, 3 n)."""
    if any(key.endswith("_reverse") for key in group):
        raise ValueError(BIDIRECTIONAL)
    if "W" not in group:
        raise ValueError(f"missing keys: {start}W; there are {names_of(group)}")
    arrays = {key: double_array(f"{start}{key}", value) for key, value in group.items()}
    for key in ("initial_h", "initial_c"):
        if key in arrays and arrays[key].any():
            raise ValueError(
                f"{start}{key} is not zero, and no part of a map, whose states begin at zero "
                f"unless h0= is given: allow that with unused='{start}{key}' (in a command, "
                f"--unused {start}{key})"
            )
    R = arrays["R"]
    check_shape(f"{start}R", R, (1, None, None))
    gates, n = gates_of(f"{start}R[0]", R[0])
    check_shape(f"{start}W", arrays["W"], (1, gates * n, None))
    order = rows_of(n, gates)
    W, U = R[0][order], arrays["W"][0][order]
    both = np.zeros((2, gates * n))
    if "B" in arrays:
        check_shape(f"{start}B", arrays["B"], (1, 2 * gates * n))
        both = arrays["B"].reshape(2, gates * n)
    driven, inner = both[0][order], both[1][order]
    peepholes = None
    if "P" in arrays:
        if gates != 4:
            raise ValueError(f"{start}P goes with the four gates of an LSTM, not with {gates}")
        check_shape(f"{start}P", arrays["P"], (1, 3 * n))
        # stored in the order i, o, f
        p_i, p_o, p_f = np.split(arrays["P"][0], 3)
        peepholes = np.concatenate([p_i, p_f, p_o])
    if gates > 1:
        check_said_activations(said, "ONNX's nodes, whose attributes do: pass the file to load, or")
    b = driven + inner
    if gates != 3:
        return cell_of(W, U, b, said, peepholes=peepholes)
    if said.variant != "reset_after":
        return cell_of(W, U, b, said)
    b[2 * n :] = driven[2 * n :]
    return cell_of(W, U, b, said, b_candidate=inner[2 * n :])


def rows_of(n: int, gates: int) -> Array:
    """Return where the rows of our gates are among those stored."""
    return np.concatenate([np.arange(at * n, (at + 1) * n) for at in ORDER[gates]])
