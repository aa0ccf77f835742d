"""The layout of Keras' recurrent layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from theory.interop.build import cell_of, check_shape, double_array, gates_of, names_of
from theory.maps.base import Map


def keras_cell(
    group: dict[str, Any],
    start: str,
    activation: str,
    *,
    gates: int | None = None,
    reset_after: bool | None = None,
) -> Map:
    """Return the map of Keras' weights: kernel (m, gates n), recurrent_kernel (n, gates n)."""
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
    if gates != 3:
        if bias is not None:
            check_shape(f"{start}bias", bias, (gates * n,))
        return cell_of(W, U, np.zeros(gates * n) if bias is None else bias, activation)
    # reset_after has a bias for the inputs and one for the state; by default the shape decides
    after = reset_after
    if after is None:
        after = bias is None or bias.ndim == 2
    if bias is None:
        bias = np.zeros((2, 3 * n)) if after else np.zeros(3 * n)
    check_shape(f"{start}bias", bias, (2, 3 * n) if after else (3 * n,))
    order = np.concatenate([np.arange(n, 2 * n), np.arange(n), np.arange(2 * n, 3 * n)])
    W, U, bias = W[order], U[order], bias[..., order]
    if not after:
        return cell_of(W, U, bias, activation, variant="reset_before")
    b = bias[0] + bias[1]
    b[2 * n :] = bias[0, 2 * n :]
    return cell_of(W, U, b, activation, b_candidate=bias[1, 2 * n :])
