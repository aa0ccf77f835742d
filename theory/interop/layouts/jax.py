r"""The layouts of JAX's libraries: cells of Flax, and of Haiku.

Main names: `flax_cell`, `haiku_cell`, `FLAX`, `HAIKU`.

    flax    hi.kernel, hi.bias, ii.kernel and so on (LSTM); hr, hz, hn, ir, iz, in (GRU); h, i
            (SimpleCell, without residual); dense_h, dense_i (the GRU and the LSTM of nnx, whose
            gates are stacked)
    haiku   lstm/linear.w, .b; gru.w_i, .w_h, .b; vanilla_rnn/linear.w of the input, linear_1.w

Matrices act from the right.  Equinox has PyTorch's names, and one bias, see `layouts.torch`.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

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

FLAX = re.compile(
    r"(?:(?P<prefix>.*)[./])?(?P<key>(?:[hi](?:[igorzn]|f|if_)?|if_|dense_[hi])[./](?:kernel|bias))"
    r"(?:[./]value)?"
)
HAIKU = re.compile(
    r"(?P<prefix>(?:.*[./~])?(?:lstm|gru|vanilla_rnn)(?:_\d+)?)"
    r"(?P<key>/linear(?:_1)?\.[wb]|\.w_[ih]|\.b)"
)

#: Gates in our order, by their number.
_GATES = {1: ("",), 3: ("r", "z", "n"), 4: ("i", "f", "g", "o")}


def flax_cell(group: dict[str, Any], start: str, said: Said) -> Map:
    """Return the map of a cell of Flax."""
    named = {key.replace("/", ".").replace("if_", "if"): one for key, one in group.items()}
    arrays = {key: double_array(f"{start}{key}", value) for key, value in named.items()}
    stacked = "dense_h.kernel" in arrays
    if stacked:
        kinds: tuple[str, ...] = ("",)
        words = {"h": "dense_h", "i": "dense_i"}
    else:
        kinds = next(
            gates
            for count, gates in _GATES.items()
            if f"h{gates[-1]}.kernel" in arrays or count > 3
        )
        words = {"h": "h", "i": "i"}
    needed = [f"{words[side]}{gate}.kernel" for side in "hi" for gate in kinds]
    missing = [f"{start}{key}" for key in needed if key not in arrays]
    if missing:
        raise ValueError(f"missing keys: {', '.join(missing)}; there are {names_of(group)}")

    def of(side: str) -> tuple[Array, Array]:
        kernels = [arrays[f"{words[side]}{gate}.kernel"] for gate in kinds]
        for gate, kernel in zip(kinds, kernels, strict=True):
            width = kernels[0].shape if kernels[0].ndim == 2 else (None, None)
            check_shape(f"{start}{words[side]}{gate}.kernel", kernel, width)
        matrix = np.vstack([one.T for one in kernels])
        biases = []
        for gate, kernel in zip(kinds, kernels, strict=True):
            key = f"{words[side]}{gate}.bias"
            bias = arrays.get(key, np.zeros(kernel.shape[1]))
            check_shape(f"{start}{key}", bias, (kernel.shape[1],))
            biases.append(bias)
        return matrix, np.concatenate(biases)

    (W, inner), (U, driven) = of("h"), of("i")
    gates, n = gates_of(f"{start}{words['h']} kernels, transposed,", W)
    check_shape(f"{start}{words['i']} kernels, transposed,", U, (gates * n, None))
    if gates > 1:
        check_said_activations(said, "Flax' cells: pass")
    b = driven + inner
    if gates != 3:
        return cell_of(W, U, b, said)
    b[2 * n :] = driven[2 * n :]
    return cell_of(W, U, b, said, b_candidate=inner[2 * n :], variant="reset_after")


def haiku_cell(group: dict[str, Any], start: str, said: Said) -> Map:
    """Return the map of a cell of Haiku."""
    arrays = {
        key.lstrip("./"): double_array(f"{start.removesuffix('.')}{key}", value)
        for key, value in group.items()
    }
    if "linear.w" in arrays and "linear_1.w" not in arrays:
        return _haiku_lstm(arrays, start, said)
    if "w_h" in arrays:
        return _haiku_gru(arrays, start, said)
    names = ("linear.w", "linear_1.w")
    _check_there(arrays, names, start)
    for name in names:
        check_shape(f"{start}{name}", arrays[name], (None, None))
    U, W = (arrays[name].T for name in names)
    n = len(W)
    check_shape(f"{start}linear_1.w", W, (n, n))
    check_shape(f"{start}linear.w, transposed,", U, (n, None))
    b = np.zeros(n)
    for name in ("linear.b", "linear_1.b"):
        if name in arrays:
            check_shape(f"{start}{name}", arrays[name], (n,))
            b = b + arrays[name]
    if said.activation is None:
        said = Said(activation="relu", recurrent_activation=said.recurrent_activation)
    return cell_of(W, U, b, said)


def _check_there(arrays: dict[str, Array], names: tuple[str, ...], start: str) -> None:
    missing = [f"{start}{name}" for name in names if name not in arrays]
    if missing:
        raise ValueError(f"missing keys: {', '.join(missing)}; there are {names_of(arrays)}")


def _haiku_lstm(arrays: dict[str, Array], start: str, said: Said) -> Map:
    r"""Return the LSTM of [x, h] w + b, gates in the order i, g, f, o, f = sigma(. + 1)."""
    w = arrays["linear.w"]
    if w.ndim != 2 or w.shape[1] % 4 or w.shape[0] <= w.shape[1] // 4:
        raise ValueError(f"{start}linear.w has shape {w.shape}, needed (m + n, 4 n)")
    n = w.shape[1] // 4
    b = arrays.get("linear.b", np.zeros(4 * n))
    check_shape(f"{start}linear.b", b, (4 * n,))
    order = np.concatenate([np.arange(k * n, (k + 1) * n) for k in (0, 2, 1, 3)])
    both, b = w.T[order], b[order].copy()
    b[n : 2 * n] += 1.0  # exact for single-precision numbers of moderate size
    m = len(w) - n
    return cell_of(both[:, m:], both[:, :m], b, said)


def _haiku_gru(arrays: dict[str, Array], start: str, said: Said) -> Map:
    r"""Return the GRU h <- (1 - z) h + z a, whose z is the opposite of ours; the reset is before.

    sigma(-x) = 1 - sigma(x): the rows of z change their signs.
    """
    _check_there(arrays, ("w_i", "w_h"), start)
    W, U = arrays["w_h"].T, arrays["w_i"].T
    _, n = gates_of(f"{start}w_h, transposed,", W)
    check_shape(f"{start}w_h, transposed,", W, (3 * n, n))
    check_shape(f"{start}w_i, transposed,", U, (3 * n, None))
    b = arrays.get("b", np.zeros(3 * n))
    check_shape(f"{start}b", b, (3 * n,))
    order = np.concatenate([np.arange(k * n, (k + 1) * n) for k in (1, 0, 2)])
    sign = np.concatenate([np.ones(n), -np.ones(n), np.ones(n)])
    return cell_of(
        W[order] * sign[:, None], U[order] * sign[:, None], b[order] * sign, said,
        variant="reset_before",
    )  # fmt: skip
