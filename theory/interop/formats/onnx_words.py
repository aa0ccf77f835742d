"""Our names of ONNX's activations.

Main name: `activation_name`.
"""

from __future__ import annotations

import numpy as np

#: Our names of ONNX's activations.
_ACTIVATIONS = {
    "tanh": "tanh", "relu": "relu", "sigmoid": "sigmoid", "softplus": "softplus",
    "leakyrelu": "leaky_relu",
}  # fmt: skip


def activation_name(word: str, alphas: list[float], betas: list[float]) -> str | None:
    """Return our name of an activation; its numbers are taken from the lists, in order."""
    low = word.lower()
    if low == "hardsigmoid":
        # single-precision numbers, as 0.2 in doubles
        alpha = float(str(np.float32(alphas.pop(0)))) if alphas else 0.2
        beta = float(str(np.float32(betas.pop(0)))) if betas else 0.5
        if beta == 0.5 and alpha == 0.2:
            return "hard_sigmoid(0.2)"
        if beta == 0.5 and np.float32(alpha) == np.float32(1 / 6):
            return "hard_sigmoid(1/6)"
        return None
    if low == "leakyrelu":
        return f"leaky_relu({float(str(np.float32(alphas.pop(0)))) if alphas else 0.01!r})"
    return _ACTIVATIONS.get(low)
