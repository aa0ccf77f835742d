"""The layout of this package: arrays named as `Map.parameters` names them, or as control does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from theory.interop.build import (
    Said,
    cell_of,
    check_shape,
    double_array,
    gates_of,
    leaky_cell,
    names_of,
)
from theory.maps.base import Map
from theory.maps.head import LinearHead
from theory.maps.linear import LinearMap
from theory.typing import Array


def own_cell(group: dict[str, Any], start: str, said: Said) -> Map:
    """Return the map of arrays named as the parameters of ours are, or of a linear system."""
    if "A" in group:
        return _linear_system(group, start, said)
    if "B" in group:
        raise ValueError(
            f"{start}W and {start}B do not go together: B is the input matrix beside A, and a bias "
            "in ONNX; name the input weights U, and the bias b"
        )
    if "b" in group and "bias" in group:
        raise ValueError(f"{start}b and {start}bias mean the same; pass one of them")
    names = {key: f"{start}{key}" for key in group}
    arrays = {key: double_array(names[key], value) for key, value in group.items()}
    W = arrays["W"]
    # these two are of a GRU only
    if "U" in arrays and "b_candidate" not in arrays and said.variant is None:
        _check_not_exchanged(W, arrays["U"], start)
    gates, n = gates_of(f"{start}W", W)
    if "U" not in arrays and gates != 1:
        raise ValueError(f"missing keys: {start}U; there are {names_of(group)}")
    # without input weights the inputs are added to the state directly
    U = arrays.get("U", np.eye(n))
    b = arrays.get("b", arrays.get("bias", np.zeros(gates * n)))
    inner = arrays.get("b_candidate")
    if inner is not None and gates != 3:
        raise ValueError(f"{start}b_candidate goes with W of shape (3 n, n), not {W.shape}")
    if "leak" in arrays:
        if gates != 1:
            raise ValueError(f"{start}leak goes with W of shape (n, n), not {W.shape}")
        return leaky_cell(W, U, b, arrays["leak"], said)
    # the other GRU has no bias inside of the reset gate
    sure = "reset_after" if inner is not None and inner.any() else None
    return cell_of(W, U, b, said, b_candidate=inner, variant=sure)


def _check_not_exchanged(W: Array, U: Array, start: str) -> None:
    """Check that U is not the recurrent matrix, which alone has to be square."""
    if W.ndim != 2 or U.ndim != 2 or U.shape[0] != U.shape[1] or W.shape[0] == W.shape[1]:
        return
    n = U.shape[0]
    if n not in W.shape:
        return
    told = f"{start}W has shape {W.shape} and {start}U has shape {U.shape}: "
    m = W.shape[1] if W.shape[0] == n else W.shape[0]
    plain = (
        f"U looks like the recurrent matrix of a plain cell of {n} units, and W like the input "
        f"matrix of its {m} inputs"
    )
    gates = {3 * m: "GRU", 4 * m: "LSTM"}.get(n) if W.shape[0] == n else None
    if gates is None:
        raise ValueError(f"{told}{plain}; exchange the names: here W acts on the state")
    raise ValueError(
        f"{told}either {plain} (then exchange the names: here W acts on the state), or W holds the "
        f"recurrent weights of a {gates} of {m} units with as many as {n} inputs (then "
        + (
            "pass variant=, in a command --variant)"
            if gates == "GRU"
            else "write theory.LSTM(W, U, b) into a file with theory.interop.save_map)"
        )
    )


def _linear_system(group: dict[str, Any], start: str, said: Said) -> Map:
    """Return h <- A h + B x + bias; C is the matrix of its readout, see `named_head`."""
    for key, other in (("W", "A"), ("U", "B")):
        if key in group:
            verb = "mean the same" if other in group else "are of two layouts"
            raise ValueError(f"{start}{other} and {start}{key} {verb}; pass one of them")
    for key in ("leak", "b_candidate"):
        if key in group:
            raise ValueError(f"{start}{key} goes with W, not with {start}A, a linear map")
    if "b" in group and "bias" in group:
        raise ValueError(f"{start}b and {start}bias mean the same; pass one of them")
    if said.activation not in {None, "identity", "linear"}:
        raise ValueError(
            f"activation={said.activation!r}, but {start}A is a name of a linear map, which has "
            "none; leave it out, or name the arrays W, U and b"
        )
    said.check_known(variant=None, gated=False)
    arrays = {key: double_array(f"{start}{key}", value) for key, value in group.items()}
    A = arrays["A"]
    n = A.shape[0] if A.ndim else 0
    check_shape(f"{start}A", A, (n, n))
    B = arrays.get("B", np.eye(n))
    check_shape(f"{start}B", B, (n, None))
    bias = arrays.get("bias", arrays.get("b", np.zeros(n)))
    check_shape(f"{start}bias", bias, (n,))
    linear_readout(arrays, start, n, B.shape[1])
    return LinearMap(A, B, bias)


def linear_readout(arrays: Mapping[str, Array], start: str, n: int, m: int) -> LinearHead | None:
    """Return y = C h, the readout beside A and B, or None if there is none.

    Raises
    ------
    ValueError
        If shapes do not fit, or D is not zero.
    """
    C, D = arrays.get("C"), arrays.get("D")
    if C is not None:
        check_shape(f"{start}C", C, (None, n))
    if D is not None:
        check_shape(f"{start}D", D, (None if C is None else len(C), m))
        if D.any():
            raise ValueError(
                f"{start}D, from the input straight to the output, is no part of a map or of its "
                "head; it remembers nothing, so that the errors of a truncation are those without "
                f"it: allow that with unused='{start}D' (in a command, --unused {start}D)"
            )
    return None if C is None else LinearHead(C)
