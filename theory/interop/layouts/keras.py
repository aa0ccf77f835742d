"""The layout of Keras' recurrent layers, and the names of its activations."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np

from theory.arithmetic.activations import ACTIVATIONS, Activation
from theory.interop.build import (
    Said,
    cell_of,
    check_said_activations,
    check_shape,
    double_array,
    gates_of,
    names_of,
)
from theory.maps.base import Map
from theory.typing import Array

#: Keras' names of what has another one here; its leaky_relu has this slope, in every version.
_NAMES = {"linear": "identity", "leaky_relu": "leaky_relu(0.2)"}

#: Keras' activations that no map has.
_WITHOUT_A_MAP = {
    "celu", "elu", "exponential", "gelu", "glu", "hard_shrink", "hard_sigmoid", "hard_silu",
    "hard_swish", "log_sigmoid", "log_softmax", "mish", "relu6", "selu", "silu", "soft_shrink",
    "softmax", "softsign", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus", "swish",
    "tanh_shrink", "threshold",
}  # fmt: skip


def own_name(activation: str) -> str:
    """Return our name of an activation that Keras calls so.

    Raises
    ------
    ValueError
        If it is one of Keras' that no map has.
    """
    if activation in _WITHOUT_A_MAP:
        raise ValueError(
            f"activation={activation!r} of Keras is of no map here, needed one of: linear, "
            f"leaky_relu, {', '.join(ACTIVATIONS)}; wrap your own step in theory.CallableMap"
        )
    return _NAMES.get(activation, activation)


def hard_sigmoid_of(version: Any) -> str:
    """Return our name of a version's hard_sigmoid: a / 5 + 1/2 before Keras 3, a / 6 + 1/2 since.

    Without a version it stays Keras' own, which is refused.
    """
    text = version.decode() if isinstance(version, bytes) else str(version or "")
    major = text.partition(".")[0]
    if not major.isdecimal():
        return "hard_sigmoid"
    return "hard_sigmoid(1/6)" if int(major) >= 3 else "hard_sigmoid(0.2)"


def keras_cell(group: dict[str, Any], start: str, said: Said, *, gates: int | None = None) -> Map:
    """Return the map of Keras' weights: kernel (m, gates n), recurrent_kernel (n, gates n)."""
    if re.search(r"(?:^|[./])backward_", start):
        raise ValueError(
            f"{start.rstrip('.')} is the backward half of a bidirectional layer: it reads the last "
            "input first"
        )
    if "kernel" not in group:
        raise ValueError(f"missing keys: {start}kernel; there are {names_of(group)}")
    arrays = {key: double_array(f"{start}{key}", value) for key, value in group.items()}
    recurrent, kernel = arrays["recurrent_kernel"], arrays["kernel"]
    if gates is None:
        if recurrent.ndim != 2:
            raise ValueError(
                f"{start}recurrent_kernel has shape {recurrent.shape}, needed (n, gates n)"
            )
        gates, _ = gates_of(f"{start}recurrent_kernel, transposed,", recurrent.T)
    n = recurrent.shape[0] if recurrent.ndim else 0
    check_shape(f"{start}recurrent_kernel", recurrent, (n, gates * n))
    check_shape(f"{start}kernel", kernel, (None, gates * n))
    W, U = recurrent.T, kernel.T
    bias = arrays.get("bias")
    if gates in {3, 4} and bias is not None and bias.shape == (2 * gates * n,):
        return _of_cudnn(recurrent, kernel, bias, said)
    if gates != 3 and bias is not None:
        check_shape(f"{start}bias", bias, (gates * n,))
    variant = _variant(bias, said) if gates == 3 else None
    after = variant == "reset_after"
    if gates == 3 and bias is not None:
        check_shape(f"{start}bias", bias, (2, 3 * n) if after else (3 * n,))
    said = _checked(said, gates)
    if bias is None:
        bias = np.zeros((2, 3 * n)) if after else np.zeros(gates * n)
    if gates != 3:
        return cell_of(W, U, bias, said)
    order = np.concatenate([np.arange(n, 2 * n), np.arange(n), np.arange(2 * n, 3 * n)])
    W, U, bias = W[order], U[order], bias[..., order]
    if not after:
        return cell_of(W, U, bias, said, variant=variant)
    b = bias[0] + bias[1]
    b[2 * n :] = bias[0, 2 * n :]
    return cell_of(W, U, b, said, b_candidate=bias[1, 2 * n :], variant=variant)


def _of_cudnn(recurrent: Array, kernel: Array, bias: Array, said: Said) -> Map:
    """Return the map of CuDNN's packing: a gate's blocks are stored row by row, biases are two.

    It has these activations only, and of GRUs reset_after.
    """
    gates, n, m = len(bias) // (2 * len(recurrent)), len(recurrent), len(kernel)
    gru = gates == 3
    for name, only in (
        ("activation", "tanh"),
        ("recurrent_activation", "sigmoid"),
        ("variant", "reset_after" if gru else None),
    ):
        value = getattr(said, name)
        if value not in {None, only}:
            raise ValueError(f"{name}={value!r}, but CuDNN's layers have {only!r}; leave it out")
    split = zip(np.hsplit(recurrent, gates), np.hsplit(kernel, gates), strict=True)
    blocks = [(own, given.reshape(n, m)) for own, given in split]
    order = [1, 0, 2] if gru else range(4)  # z r h, and i f c o
    W = np.vstack([blocks[k][0] for k in order])
    U = np.vstack([blocks[k][1] for k in order])
    driven, inner = bias.reshape(2, gates, n)[:, order].reshape(2, gates * n)
    b = driven + inner
    if not gru:
        return cell_of(W, U, b, said)
    b[2 * n :] = driven[2 * n :]
    return cell_of(W, U, b, said, b_candidate=inner[2 * n :], variant="reset_after")


def _variant(bias: Any, said: Said) -> str:
    """Return which GRU it is: with reset_after there are two biases; without any it is asked."""
    if said.variant is not None:
        return said.variant
    if bias is None:
        raise ValueError(
            "the weights are those of a GRU without a bias, and nothing else tells which: pass "
            "reset_after= to from_keras, as the layer's get_config() says, or variant= (in a "
            "command, --variant): 'reset_after', the default since TensorFlow 2, or "
            "'reset_before'"
        )
    return "reset_after" if bias.ndim == 2 else "reset_before"


def _checked(said: Said, gates: int) -> Said:
    """Return what is said of a cell in our words; both activations of a gated one are asked."""
    if isinstance(said.activation, str):
        said = replace(said, activation=own_name(said.activation))
    elif isinstance(said.activation, Activation):
        said = replace(said, activation=said.activation.name)
    if gates > 1:
        check_said_activations(
            said,
            "Keras' gated layers (before version 2.3 gates are hard_sigmoid by default, and haste "
            "uses the same names for another order of gates): pass the layer itself to "
            "from_keras, a file with the configuration to load, or, if its get_config() says so,",
        )
    return said
