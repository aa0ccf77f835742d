"""What the attributes of ONNX's recurrent nodes tell, in our words.

Main names: `activation_name`, `told_of_node`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from theory.interop.told import Told

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


def told_of_node(node: Any, said: Mapping[str, Any]) -> Told:
    """Return what the attributes of a node tell."""
    kind = f"{node.op_type} node"
    known = {
        "activations", "activation_alpha", "activation_beta", "clip", "direction", "hidden_size",
        "input_forget", "layout", "linear_before_reset", "output_sequence",
    }  # fmt: skip
    strange = sorted(said.keys() - known)
    if strange:
        return Told(kind=kind, refused=f"has an attribute that is not known: {strange[0]}")
    if "clip" in said:
        return Told(
            kind=kind,
            refused=f"has clip={said['clip']:g}, which bounds what the activations see: that is "
            "another map",
        )
    if said.get("input_forget"):
        return Told(kind=kind, refused="has input_forget=1, coupled gates: that is another map")
    default = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}
    words = [one.decode() for one in said.get("activations", [])] or default[node.op_type]
    # those of a second direction stand behind
    words = words[: len(default[node.op_type])]
    alphas, betas = list(said.get("activation_alpha", [])), list(said.get("activation_beta", []))
    named = []
    for word in words:
        made = activation_name(word, alphas, betas)
        if made is None:
            return Told(
                kind=kind,
                refused=f"has the activation {word}, needed one of: Tanh, Sigmoid, HardSigmoid, "
                "Relu, LeakyRelu, Softplus",
            )
        named.append(made)
    if len(named) == 3 and named[1] != named[2]:
        return Told(kind=kind, refused=f"has two activations {named[1]} and {named[2]} of an LSTM")
    return Told(
        kind=kind,
        activation=named[0 if len(named) == 1 else 1],
        recurrent_activation=None if len(named) == 1 else named[0],
        variant=None
        if node.op_type != "GRU"
        else "reset_after"
        if said.get("linear_before_reset")
        else "reset_before",
    )
