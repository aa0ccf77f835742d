"""Output layers of other programs, read as arrays; none of these programs is imported here.

Main names: `output_arrays`, `steps_of_layers`.

An object is known by the class it is of, its own or one above, and where that is defined.  What it
would compute beside C h + d (an activation, a hook, a weight that is made anew) is refused.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from theory.errors import plain_array

#: Programs by the package in which their classes are defined.
_PROGRAMS = {
    "torch": "torch", "keras": "keras", "tf_keras": "keras", "tensorflow": "keras",
    "reservoirpy": "reservoirpy",
}  # fmt: skip

_BY_CHAIN = "say what it computes with a theory.maps.Chain"

_BY_HAND = "if it is C h + d all the same, pass theory.LinearHead(C, d) with the arrays that count"


def output_arrays(head: Any, name: str) -> tuple[Any, Any | None]:
    """Return C, (p, width), and d, (p,) or None, of a layer of another program, or an array as C.

    Parameters
    ----------
    head
        A ``torch.nn.Linear``, a Keras ``Dense`` layer, a ``Ridge``, ``RLS`` or ``LMS`` node of
        reservoirpy, a tensor, or anything that NumPy makes an array of.
    name : str
        What messages call it.

    Raises
    ------
    ValueError
        If it is another layer, or computes something else.
    """
    readers = {"torch": _of_torch, "keras": _of_keras, "reservoirpy": _of_reservoirpy}
    program = next(iter(_programs(head)), None)
    C, d = (head, None) if program is None or _is_tensor(head) else readers[program](head, name)
    return plain_array(name, C), None if d is None else np.ravel(plain_array(f"{name}'s bias", d))


def _programs(head: Any) -> Iterator[str]:
    for one in type(head).__mro__:
        package = one.__module__.split(".")[0]
        if package in _PROGRAMS:
            yield _PROGRAMS[package]


def _is_tensor(head: Any) -> bool:
    return hasattr(head, "shape") and hasattr(head, "__array__")


def _class_name(head: Any) -> str | None:
    """Return the name of the class if it is the program's own, None for one derived from it."""
    own = type(head).__module__.split(".")[0] in _PROGRAMS
    return type(head).__name__ if own else None


def _of_torch(head: Any, name: str) -> tuple[Any, Any]:
    kind = type(head).__name__
    nn: Any = sys.modules["torch.nn"]
    if type(head) is not nn.Linear:
        inside = [at for at, one in head.named_modules() if type(one) is nn.Linear and at]
        hint = f"it holds {', '.join(inside)}: pass that one" if inside else _BY_HAND
        if type(head) is nn.Sequential and inside:
            hint = (
                f"theory.maps.with_head(recurrent, {name}) is a map that shows what all its layers "
                f"give; or pass one of those it holds, {', '.join(inside)}"
            )
        if isinstance(head, nn.Linear):
            hint = f"its weight or forward pass is its own; {_BY_HAND}"
        raise ValueError(f"{name} is a {kind}, needed a torch.nn.Linear; {hint}")
    _check_hooks(head, name)
    strange = _replaced(head)
    stored = [head._parameters.get(key) for key in ("weight", "bias")]
    strange |= any(one is not None and type(one) is not nn.Parameter for one in stored)
    if strange or stored[0] is None:
        raise ValueError(
            f"{name} is a torch.nn.Linear whose weight is no plain parameter, or whose forward "
            f"pass was replaced; {_BY_HAND}"
        )
    return stored[0], stored[1]


def _check_hooks(head: Any, name: str) -> None:
    """Raise `ValueError` if anything is called around the forward pass of a module."""
    shared: Any = sys.modules["torch.nn.modules.module"]
    hooks = [
        *head._forward_pre_hooks.values(), *head._forward_hooks.values(),
        *shared._global_forward_pre_hooks.values(), *shared._global_forward_hooks.values(),
    ]  # fmt: skip
    if hooks:
        told = getattr(hooks[0], "__qualname__", type(hooks[0]).__name__)
        raise ValueError(
            f"{name} has the hook {told}, of which it is not known whether it sets the weight or "
            f"changes the output; take it off, or {_BY_HAND}"
        )


def _replaced(head: Any) -> bool:
    """Return whether a module has another forward pass, or other weights, than its class says."""
    return (
        not {"forward", "weight", "bias"}.isdisjoint(vars(head))
        or getattr(head, "_compiled_call_impl", None) is not None
    )


#: PyTorch's activations in our words, by the names of their classes.
TORCH_ACTIVATIONS = {"ReLU": "relu", "Tanh": "tanh", "Sigmoid": "sigmoid", "SiLU": "silu"}

#: Modules that hand on what they are given, in evaluation mode.
TORCH_PASSES = {"Identity", "Dropout", "AlphaDropout", "Dropout1d"}


def is_sequential(head: Any) -> bool:
    """Return whether something is a ``torch.nn.Sequential``."""
    nn: Any = sys.modules.get("torch.nn")
    return nn is not None and type(head) is nn.Sequential


def steps_of_layers(head: Any) -> list[tuple[Any, ...]]:
    """Return the steps of a ``torch.nn.Sequential``, as `theory.maps.output.chain_of` takes them.

    Raises
    ------
    ValueError
        If it is something else, or holds a layer that is not known.
    """
    if not is_sequential(head):
        raise ValueError(
            f"head is a {type(head).__name__}, needed a theory.maps.Function, such as a Chain of "
            "Dense and Pointwise, a LinearHead, or a torch.nn.Sequential"
        )
    return list(_steps(head, "head"))


def _steps(module: Any, name: str) -> Iterator[tuple[Any, ...]]:
    nn: Any = sys.modules["torch.nn"]
    kind = type(module).__name__
    if type(module) is nn.Linear:
        C, d = output_arrays(module, name)
        yield "dense", C, d
        return
    _check_hooks(module, name)
    if getattr(nn, kind, None) is not type(module) or _replaced(module):
        raise ValueError(f"{name} is a {kind} whose forward pass is its own; {_BY_CHAIN}")
    if kind == "Sequential":
        for at, inner in module._modules.items():
            yield from _steps(inner, f"{name}.{at}")
    elif kind in TORCH_ACTIVATIONS or (kind == "GELU" and module.approximate == "none"):
        yield "pointwise", TORCH_ACTIVATIONS.get(kind, "gelu")
    elif kind == "LeakyReLU" and 0 <= module.negative_slope < 1:
        yield "pointwise", f"leaky_relu({module.negative_slope!r})"
    elif kind == "Softmax" and module.dim == -1:
        yield ("softmax",)
    elif kind in {"LayerNorm", "RMSNorm"} and len(module.normalized_shape) == 1:
        if module.eps is None:
            raise ValueError(f"{name} has eps=None, which follows the data; give it a number")
        gain, bias = (module._parameters.get(key) for key in ("weight", "bias"))
        own = np.ones(module.normalized_shape) if gain is None else plain_array(name, gain)
        told = None if bias is None else plain_array(name, bias)
        yield "layer" if kind == "LayerNorm" else "rms", own, told, float(module.eps)
    elif kind not in TORCH_PASSES:
        raise ValueError(
            f"{name} is a {kind}, needed Linear, LayerNorm or RMSNorm of one axis, Dropout, or "
            f"{', '.join(TORCH_ACTIVATIONS)}, LeakyReLU of a slope in [0, 1), GELU that is not "
            f"approximate, Softmax of dim=-1; {_BY_CHAIN}"
        )


def _of_keras(head: Any, name: str) -> tuple[Any, Any]:
    kind = type(head).__name__
    if _class_name(head) != "Dense":
        raise ValueError(f"{name} is a {kind}, needed a Keras Dense layer; {_BY_HAND}")
    rho = head.activation
    own = getattr(rho, "__module__", "").split(".")[0] in _PROGRAMS
    if rho is not None and not (own and getattr(rho, "__name__", "") == "linear"):
        raise ValueError(
            f"{name} has the activation {getattr(rho, '__name__', rho)}, needed linear: the error "
            "of its outputs is not C times that of the states; pass the layer without it, for the "
            "error before the activation"
        )
    if getattr(head, "lora_enabled", False) or getattr(head, "quantization_mode", None):
        raise ValueError(f"{name} has a kernel made from others (LoRA, quantisation); {_BY_HAND}")
    weights = head.get_weights()
    if not weights:
        raise ValueError(f"{name} has no weights yet; call it once, or its build")
    return np.asarray(weights[0]).T, weights[1] if len(weights) > 1 else None


#: The nodes of reservoirpy that compute h Wout + bias.
_READOUTS = ("Ridge", "RLS", "LMS")


def _of_reservoirpy(head: Any, name: str) -> tuple[Any, Any]:
    kind = type(head).__name__
    if _class_name(head) not in _READOUTS:
        hint = "pass its readout node" if kind in {"Model", "ESN"} else _BY_HAND
        raise ValueError(
            f"{name} is a {kind}, needed one of: {', '.join(_READOUTS)} of reservoirpy; {hint}"
        )
    W, d = getattr(head, "Wout", None), getattr(head, "bias", None)
    if W is None or callable(W):
        raise ValueError(f"{name} has no Wout yet; fit it first")
    return np.asarray(W).T, d
