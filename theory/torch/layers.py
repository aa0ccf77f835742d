"""PyTorch's recurrent modules as maps: their layers, suffixes and arrays.

Main names: `layers`, `layer_map`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from theory.errors import MissingExtraError
from theory.interop.torch_weights import nonlinearity, strange_cells, weights_in_use
from theory.maps.base import Map
from theory.maps.gru import GRU
from theory.maps.lstm import LSTM
from theory.maps.rnn import VanillaRNN

torch: Any
nn: Any
parametrize: Any
Module: Any
try:
    torch = import_module("torch")
    nn, parametrize = torch.nn, import_module("torch.nn.utils.parametrize")
    Module = nn.Module
except ImportError:  # the extra is not installed
    torch = nn = parametrize = None
    Module = object


def need_torch() -> None:
    """Raise `MissingExtraError` without PyTorch."""
    if torch is None:
        raise MissingExtraError("torch", "torch", "a projection of PyTorch modules")


def layers(module: Any) -> tuple[str, list[str]]:
    """Return the kind of a module, ``rnn``, ``lstm`` or ``gru``, and the suffixes of its weights.

    Raises
    ------
    ValueError
        If the module is of another kind, or its LSTM has a projection of its own (``proj_size``).
    """
    need_torch()
    cells = {nn.RNNCell: "rnn", nn.LSTMCell: "lstm", nn.GRUCell: "gru"}
    stacks = {nn.RNN: "rnn", nn.LSTM: "lstm", nn.GRU: "gru"}
    for known, kind in cells.items():
        if isinstance(module, known):
            return kind, [""]
    kinds = [kind for known, kind in stacks.items() if isinstance(module, known)]
    if not kinds:
        hint = "pass the recurrent layer itself, such as model.rnn"
        if hasattr(module, "_orig_mod"):
            hint = "pass the module that torch.compile was given, which shares its weights"
        elif isinstance(module, nn.Module):
            hint = "; ".join(strange_cells(module)) or hint
        raise ValueError(
            f"received {type(module).__name__}, needed a torch.nn.RNN, LSTM or GRU, or a cell of "
            f"these; {hint}"
        )
    if getattr(module, "proj_size", 0):
        raise ValueError(f"proj_size={module.proj_size}, needed a torch.nn.LSTM without it")
    ends = ["", "_reverse"] if module.bidirectional else [""]
    return kinds[0], [f"_l{k}{end}" for k in range(module.num_layers) for end in ends]


def check_precision(name: str, tensor: Any) -> None:
    """Raise `ValueError` for weights of fewer digits than single precision."""
    if tensor.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"{name} is {tensor.dtype}, needed torch.float32 or torch.float64: with fewer digits "
            "weights move too far when they are stored; use module.float()"
        )


def host_array(tensor: Any) -> Any:
    """Return a contiguous NumPy array of a tensor: its own memory if it is on the CPU."""
    return tensor.detach().cpu().contiguous().numpy()


def store_array(tensor: Any, array: Any) -> None:
    """Copy an array back; its own memory is only said to have changed, for autograd."""
    with torch.no_grad():
        if array.ctypes.data != tensor.data_ptr():
            tensor.copy_(torch.from_numpy(array))
        else:
            torch.autograd.graph.increment_version(tensor)


def get_array(module: Any, name: str) -> Any:
    """Return a weight by its name, None if there is none."""
    return getattr(module, name, None)


def layer_map(module: Any, suffix: str) -> Map:
    """Return one layer of a module as a map in double precision.

    The two biases are added, but for a GRU's candidate, whose second one the reset gate multiplies.
    Its weights are those that PyTorch's own forward pass would read next, in evaluation mode;
    whether that is what runs, `theory.interop.torch_weights.check_forward` says.

    Raises
    ------
    ValueError
        If it is not known which these are.
    """
    kind, _ = layers(module)
    weights = weights_in_use(module)
    W, U = (
        np.asarray(host_array(weights[f"weight_{part}{suffix}"]), dtype=np.float64)
        for part in ("hh", "ih")
    )
    biases = [weights.get(f"bias_{part}{suffix}") for part in ("ih", "hh")]
    b_ih, b_hh = (
        np.zeros(len(W)) if b is None else np.asarray(host_array(b), dtype=np.float64)
        for b in biases
    )
    b = b_ih + b_hh
    if kind == "gru":
        last = slice(2 * W.shape[1], None)
        b[last] = b_ih[last]
        return GRU(W, U, b, b_hh[last])
    if kind == "lstm":
        return LSTM(W, U, b)
    return VanillaRNN(W, U, b, nonlinearity(module))
