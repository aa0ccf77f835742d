"""The layout of this package: arrays named as `Map.parameters` names them."""

from __future__ import annotations

from typing import Any

import numpy as np

from theory.interop.build import cell_of, double_array, gates_of, names_of
from theory.maps.base import Map
from theory.maps.esn import EchoStateNetwork
from theory.maps.linear import OLD_NAMES
from theory.typing import Array


def own_cell(group: dict[str, Any], start: str, activation: str) -> Map:
    """Return the map of arrays named as the parameters of ours are."""
    arrays: dict[str, Array] = {}
    for key, value in group.items():
        name = OLD_NAMES.get(key, key)
        if name in arrays:
            raise ValueError(f"{start}{key} and {start}{name} mean the same; pass one of them")
        arrays[name] = double_array(f"{start}{key}", value)
    W = arrays["W"]
    gates, n = gates_of(f"{start}W", W)
    if "U" not in arrays and gates != 1:
        raise ValueError(f"missing keys: {start}U; there are {names_of(group)}")
    # without input weights the inputs are added to the state directly
    U = arrays.get("U", np.eye(n))
    b = arrays.get("b", np.zeros(gates * n))
    if "leak" in arrays:
        if gates != 1:
            raise ValueError(f"{start}leak goes with W of shape (n, n), not {W.shape}")
        return EchoStateNetwork(W, U, b, leak=arrays["leak"], activation=activation)
    if "b_candidate" in arrays and gates != 3:
        raise ValueError(f"{start}b_candidate goes with W of shape (3 n, n), not {W.shape}")
    return cell_of(W, U, b, activation, b_candidate=arrays.get("b_candidate"))
