"""From stacked weights in PyTorch's order of gates to a map, with what the arrays cannot tell.

Main names: `Said`, `cell_of`, `leaky_cell`, `double_array`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from theory.arithmetic.activations import ACTIVATIONS, Activation
from theory.arithmetic.activations import activation as look_up
from theory.arithmetic.hard import GATES
from theory.errors import as_array
from theory.files.arrays import Unread
from theory.maps.base import Map
from theory.maps.cascade import Cascade
from theory.maps.esn import EchoStateNetwork
from theory.maps.gru import GRU, VARIANTS
from theory.maps.hard_gru import HardGRU
from theory.maps.linear import LinearMap
from theory.maps.lstm import LSTM
from theory.maps.peephole import PeepholeLSTM
from theory.maps.rnn import VanillaRNN
from theory.typing import Array

#: Blocks of language models, some with a number in brackets that no array tells.
BLOCK_VARIANTS = ("mamba", "falcon_mamba", "mamba2", "xlstm", "rwkv7")

#: A word, and perhaps a number in brackets.
_NUMBERED = re.compile(r"(?P<word>\w+?)(?:\((?P<number>[^()]*)\))?")

#: Cells by the number of gates stacked in their weights.
_CELLS = {1: "rnn", 3: "gru", 4: "lstm"}


@final
@dataclass(frozen=True, kw_only=True)
class Said:
    """What a caller says of a cell beyond its arrays, which do not tell it; None says nothing."""

    activation: str | Activation | None = None
    variant: str | None = None
    recurrent_activation: str | None = None

    def __post_init__(self) -> None:
        known = [*VARIANTS, *BLOCK_VARIANTS]
        if self.variant is None or self.variant in known:
            return
        parts = _NUMBERED.fullmatch(self.variant)
        if parts is None or parts["word"] not in BLOCK_VARIANTS or _number(parts) is None:
            raise ValueError(
                f"variant={self.variant!r}, needed one of: {', '.join(known)}; those of blocks may "
                "have a number, as in 'mamba2(8)'"
            )

    def block(self, words: Sequence[str], what: str) -> tuple[str, float | None]:
        """Return the word and the number of the variant, which is one of a block.

        Raises
        ------
        ValueError
            If it is of another one; `what` names the array that tells.
        """
        parts = _NUMBERED.fullmatch(str(self.variant))
        if parts is None or parts["word"] not in words:
            raise ValueError(
                f"variant={self.variant!r}, but {what} is that of {' or '.join(words)}"
            )
        return parts["word"], _number(parts)

    def check_known(self, *, variant: str | None, gated: bool = True, hard: bool = False) -> None:
        """Raise `ValueError` if more or other is said than fits a cell that is known.

        Its variant is given, None for a cell that is no GRU; the gates of a gated one are sigmoids,
        or hard ones where there is such a map.
        """
        if self.variant is not None and self.variant != variant:
            told = "no GRU" if variant is None else f"a GRU with variant={variant!r}"
            raise ValueError(f"variant={self.variant!r}, but the arrays are those of {told}")
        if self.recurrent_activation is None:
            return
        if not gated:
            raise ValueError(
                f"recurrent_activation={self.recurrent_activation!r} is of the gates of a GRU or "
                "an LSTM, and this is a plain cell; leave it out"
            )
        check_gates(self.recurrent_activation, hard=hard)


def _number(parts: re.Match[str]) -> float | None:
    """Return the number in brackets; None if there is none, or it is no finite one."""
    try:
        number = float(parts["number"] or "nan")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


#: What NumPy calls the types of safetensors; bfloat16 is the upper half of a float32.
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "BOOL": "?"}
DTYPES |= {f"{k}{8 * size}": f"<{k.lower()}{size}" for k in "IU" for size in (1, 2, 4, 8)}


def double_array(name: str, value: Any) -> Array:
    """Return a tensor or an array in double precision."""
    if isinstance(value, Unread):
        raise ValueError(f"{name} {value.reason}")
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


def check_gates(recurrent_activation: str, *, hard: bool = True) -> None:
    """Raise `ValueError` unless the gates are those of a map there is."""
    known = [*GATES] if hard else ["sigmoid"]
    if recurrent_activation in known:
        return
    which = (
        " (Keras' hard_sigmoid is hard_sigmoid(0.2) before version 3, hard_sigmoid(1/6) since)"
        if recurrent_activation == "hard_sigmoid"
        else ""
    )
    raise ValueError(
        f"recurrent_activation={recurrent_activation!r}: gates other than {', '.join(known)} are "
        f"of no map of this cell{which}; wrap your own step in theory.CallableMap"
    )


def check_said_activations(said: Said, who: str) -> None:
    """Raise `ValueError` unless both activations of a gated cell are said; `who` has them."""
    asked = {
        "activation='tanh'": said.activation is None,
        "recurrent_activation='sigmoid'": said.recurrent_activation is None,
    }
    missing = [name for name, lacks in asked.items() if lacks]
    if missing:
        flags = " ".join(
            f"--{name}".replace("='", " ").replace("_", "-").rstrip("'") for name in missing
        )
        raise ValueError(
            f"the arrays do not tell the activations of {who} {' and '.join(missing)} (in a "
            f"command, {flags})"
        )


def plain_activation(said: Said) -> Activation:
    """Return the activation of a plain cell, or ask for it."""
    if said.activation is None:
        known = ", ".join([*ACTIVATIONS, "leaky_relu(0.2)"])
        raise ValueError(
            "the weights are those of a plain cell, whose activation no array tells: pass "
            f"activation= (in a command, --activation), one of: {known}"
        )
    return look_up(said.activation)


def cell_of(
    W: Array,
    U: Array,
    b: Array,
    said: Said,
    *,
    b_candidate: Array | None = None,
    variant: str | None = None,
    peepholes: Array | None = None,
) -> Map:
    """Return the map of stacked weights in PyTorch's order of gates.

    The variant of a GRU is given where its layout tells it, and what the gates i, f, o of an LSTM
    see of its cell state.

    Raises
    ------
    ValueError
        If something is not said, or what is said does not fit.
    """
    kind = _CELLS[W.shape[0] // W.shape[1]]
    if kind == "rnn":
        said.check_known(variant=None, gated=False)
        rho = plain_activation(said)
        return LinearMap(W, U, b) if rho.name == "identity" else VanillaRNN(W, U, b, rho)
    if said.activation is not None and look_up(said.activation).name != "tanh":
        name = look_up(said.activation).name
        raise ValueError(
            f"activation={name!r}, but the weights are those of a {kind.upper()} cell, of which "
            "there is no map with another activation than tanh; wrap your own step in "
            "theory.CallableMap"
        )
    if kind == "lstm":
        said.check_known(variant=None, hard=True)
        gate = said.recurrent_activation or "sigmoid"
        if gate == "sigmoid" and (peepholes is None or not np.any(peepholes)):
            return LSTM(W, U, b)
        return PeepholeLSTM(W, U, b, peepholes, gate)
    variant = said.variant if variant is None else variant
    said.check_known(variant=variant, hard=True)
    if variant is None:
        raise ValueError(
            "the weights are those of a GRU, and no array tells which: pass variant= (in a "
            "command, --variant), 'reset_after' (as in PyTorch, and Keras by default: the reset "
            "gate multiplies W h + b) or 'reset_before' (as first published: it multiplies h)"
        )
    if said.recurrent_activation not in {None, "sigmoid"}:
        return HardGRU(W, U, b, b_candidate, variant, str(said.recurrent_activation))
    return GRU(W, U, b, b_candidate, variant)


def leaky_cell(W: Array, U: Array, b: Array, leak: Array, said: Said) -> Map:
    """Return the map of a leaky plain cell."""
    said.check_known(variant=None, gated=False)
    return EchoStateNetwork(W, U, b, leak=leak, activation=plain_activation(said))


def stack_layers(layers: Sequence[Map]) -> Map:
    """Return the layers as one map."""
    return layers[0] if len(layers) == 1 else Cascade(layers)
