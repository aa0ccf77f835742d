"""From stacked weights in PyTorch's order of gates to a map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from theory.errors import as_array
from theory.maps.base import Map
from theory.maps.cascade import Cascade
from theory.maps.gru import GRU
from theory.maps.linear import LinearMap
from theory.maps.lstm import LSTM
from theory.maps.rnn import VanillaRNN
from theory.typing import Array

#: Cells by the number of gates stacked in their weights.
_CELLS = {1: "rnn", 3: "gru", 4: "lstm"}


#: What NumPy calls the types of safetensors; bfloat16 is the upper half of a float32.
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "BOOL": "?"}
DTYPES |= {f"{k}{8 * size}": f"<{k.lower()}{size}" for k in "IU" for size in (1, 2, 4, 8)}


@final
class Unread:
    """A tensor of a type that NumPy has not; refused by name if it turns out to be needed."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


def double_array(name: str, value: Any) -> Array:
    """Return a tensor or an array in double precision."""
    if isinstance(value, Unread):
        raise ValueError(
            f"{name} is stored as {value.kind}, needed {', '.join(DTYPES)}; convert it"
        )
    if hasattr(value, "detach"):
        try:
            if value.is_complex():
                raise TypeError("they are complex")
            value = value.detach().cpu().to_dense().double().numpy()
        except (RuntimeError, TypeError, NotImplementedError) as error:
            raise ValueError(f"{name} is a tensor that holds no plain numbers: {error}") from None
    return as_array(name, value)


def names_of(names: Any, limit: int = 12) -> str:
    """Return names for a message."""
    every = [str(name) for name in names]
    more = "" if len(every) <= limit else f" and {len(every) - limit} more"
    return f"[{', '.join(every[:limit])}]{more}"


def gates_of(name: str, W: Array) -> tuple[int, int]:
    """Return how many gates are stacked in recurrent weights (gates n, n), and n."""
    if W.ndim != 2 or 0 in W.shape or W.shape[0] % W.shape[1]:
        raise ValueError(
            f"{name} has shape {W.shape}, needed (n, n), (3 n, n) or (4 n, n) for n units: one "
            "block of n rows for every gate"
        )
    gates = W.shape[0] // W.shape[1]
    if gates not in _CELLS:
        raise ValueError(
            f"{name} has shape {W.shape}, {gates} gates of {W.shape[1]} units; needed 1 (plain), "
            "3 (GRU) or 4 (LSTM)"
        )
    return gates, W.shape[1]


def check_shape(name: str, array: Array, shape: tuple[int | None, ...]) -> None:
    """Raise `ValueError` unless the shape fits; None stands for any size."""
    fits = array.ndim == len(shape) and all(
        s in {None, have} for s, have in zip(shape, array.shape, strict=True)
    )
    if not fits or 0 in array.shape:
        words = ", ".join("m" if s is None else str(s) for s in shape)
        needed = f"({words},)" if len(shape) == 1 else f"({words})"
        raise ValueError(f"{name} has shape {array.shape}, needed {needed}")


def cell_of(
    W: Array,
    U: Array,
    b: Array,
    activation: str,
    *,
    b_candidate: Array | None = None,
    variant: str = "reset_after",
) -> Map:
    """Return the map of stacked weights in PyTorch's order of gates."""
    kind = _CELLS[W.shape[0] // W.shape[1]]
    if kind == "rnn":
        return LinearMap(W, U, b) if activation == "identity" else VanillaRNN(W, U, b, activation)
    if activation != "tanh":
        raise ValueError(
            f"activation={activation!r}, but the weights are those of a {kind.upper()}, which has "
            "its own: leave it at tanh"
        )
    return LSTM(W, U, b) if kind == "lstm" else GRU(W, U, b, b_candidate, variant)


def stack_layers(layers: Sequence[Map]) -> Map:
    """Return the layers as one map."""
    return layers[0] if len(layers) == 1 else Cascade(layers)
