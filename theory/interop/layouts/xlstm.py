r"""The recurrences of xLSTM: the layout of xLSTM-7b, and that of the package xlstm.

Main names: `xlstm_cell`, `mlstm_cell`, `slstm_cell`.

Programs carry the memory and its normaliser times exp(-m), with a running maximum m of exponents;
here m = 0: the same output but for an eps beside the normaliser, and the same memory.
"""

from __future__ import annotations

import math

import numpy as np

from theory.interop.build import Said, check_shape
from theory.maps.architectures import mlstm, slstm
from theory.maps.base import Map
from theory.maps.block import Block
from theory.maps.combine import Chain, Concatenate
from theory.maps.exponential import SLSTM
from theory.maps.functions import Dense, Pointwise, Select
from theory.typing import Array


def xlstm_cell(arrays: dict[str, Array], start: str, said: Said) -> Map:
    """Return the mLSTM of xLSTM-7b, whose gates are capped: cap * tanh(. / cap)."""
    if said.variant is None:
        raise ValueError(
            f"{start.removesuffix('.') or 'the block'} is an mLSTM layer of xLSTM-7b, and no array "
            "tells how its gates are capped: pass its gate_soft_cap as variant='xlstm(15)' (in a "
            "command, --variant 'xlstm(15)'), 'xlstm' for none; a config.json beside the file "
            "tells it, too"
        )
    _, cap = said.block(("xlstm",), f"{start}igate_preact")
    if cap is not None and not 0 < cap < math.inf:
        raise ValueError(f"variant={said.variant!r}, needed a positive cap, or 'xlstm' for none")
    rows = _fused(arrays, start) if "ifgate_preact.weight" in arrays else _single(arrays, start)
    (K, b_k), (V, b_v), (W_i, b_i), (W_f, b_f) = (rows[name] for name in "kvif")
    m, heads = K.shape[1], len(W_i)
    _check_heads(start, heads, keys=len(K), values=len(V))
    if cap is None:
        return mlstm(K, V, W_i=W_i, W_f=W_f, b_i=b_i, b_f=b_f, b_k=b_k, b_v=b_v)
    with np.errstate(over="ignore"):  # refused below
        shrunk = np.eye(2 * heads) / cap
    gates = Chain(
        [
            Dense(np.vstack([W_i, W_f]), np.concatenate([b_i, b_f])),
            Dense(shrunk),
            Pointwise("tanh", 2 * heads),
            Dense(cap * np.eye(2 * heads)),
        ]
    )

    def seen(W: Array) -> Array:
        return np.hstack([W, np.zeros((len(W), 2 * heads))])

    own = np.eye(2 * heads, m + 2 * heads, m)
    core = mlstm(seen(K), seen(V), W_i=own[:heads], W_f=own[heads:], b_k=b_k, b_v=b_v)
    return Block(core, before=Concatenate([Select(0, stop=m, size=m), gates]))


Rows = dict[str, tuple[Array, Array]]


def _single(arrays: dict[str, Array], start: str) -> Rows:
    """Return weights and biases of keys, values and gates, each an array of its own."""
    check_shape(f"{start}k.weight", arrays["k.weight"], (None, None))
    m, heads = arrays["k.weight"].shape[1], len(arrays["igate_preact.bias"])
    found: Rows = {}
    for short, name, rows in (
        ("k", "k", None),
        ("v", "v", None),
        ("i", "igate_preact", heads),
        ("f", "fgate_preact", heads),
    ):
        W = arrays[f"{name}.weight"]
        check_shape(f"{start}{name}.weight", W, (rows, m))
        b = arrays.get(f"{name}.bias", np.zeros(len(W)))
        check_shape(f"{start}{name}.bias", b, (len(W),))
        found[short] = W, b
    return found


def _fused(arrays: dict[str, Array], start: str) -> Rows:
    """Return the same of one array for q, k, v and the output gate, and one for both gates."""
    W, G, b_g = (arrays[f"{name}"] for name in ("qkv_opreact.weight", *_IF))
    check_shape(f"{start}qkv_opreact.weight", W, (None, None))
    check_shape(f"{start}ifgate_preact.weight", G, (None, W.shape[1]))
    check_shape(f"{start}ifgate_preact.bias", b_g, (len(G),))
    check_shape(f"{start}multihead_norm.weight", arrays["multihead_norm.weight"], (None,))
    b = arrays.get("qkv_opreact.bias", np.zeros(len(W)))
    check_shape(f"{start}qkv_opreact.bias", b, (len(W),))
    v, heads = len(arrays["multihead_norm.weight"]), len(G) // 2
    k = (len(W) - 2 * v) // 2
    if k <= 0 or len(W) % 2 or len(G) % 2:
        raise ValueError(
            f"{start}qkv_opreact.weight has {len(W)} rows, ifgate_preact.weight {len(G)}; needed "
            f"2 * keys + 2 * {v}, as multihead_norm.weight has {v} entries, and two for each head"
        )
    at = {"k": slice(k, 2 * k), "v": slice(2 * k, 2 * k + v)}
    gates = {"i": slice(heads), "f": slice(heads, None)}
    return {name: (W[rows], b[rows]) for name, rows in at.items()} | {
        name: (G[rows], b_g[rows]) for name, rows in gates.items()
    }


_IF = ("ifgate_preact.weight", "ifgate_preact.bias")


def _check_heads(start: str, heads: int, *, keys: int, values: int) -> None:
    if heads == 0 or keys % heads or values % heads:
        raise ValueError(
            f"{start.removesuffix('.') or 'the block'} has {heads} heads by its gates, needed a "
            f"divisor of its {keys} keys and {values} values"
        )


def _by_blocks(name: str, blocks: Array, n: int) -> Array:
    """Return a matrix (n, n) of blocks (count, d, d) on its diagonal."""
    check_shape(name, blocks, (None, None, None))
    count, rows, columns = blocks.shape
    if rows != columns or count * rows != n:
        raise ValueError(
            f"{name} has shape {blocks.shape}, needed (count, d, d) with count times d = {n}"
        )
    W = np.zeros((n, n))
    for number, block in enumerate(blocks):
        at = slice(number * rows, (number + 1) * rows)
        W[at, at] = block
    return W


def mlstm_cell(arrays: dict[str, Array], start: str, said: Said) -> Map:
    """Return the mLSTM of the package xlstm: q, k of the convolution, v of what it was given."""
    del said
    names = {gate: f"mlstm_cell.{gate}gate.weight" for gate in "if"}
    check_shape(f"{start}{names['i']}", arrays[names["i"]], (None, None))
    heads, thrice = arrays[names["i"]].shape
    n = thrice // 3
    if thrice % 3:
        raise ValueError(
            f"{start}{names['i']} has {thrice} columns, needed 3 n: those of q, k and v"
        )
    _check_heads(start, heads, keys=n, values=n)
    rows, shift = [], []
    for name, at in (("q_proj", 0), ("k_proj", 0), ("v_proj", 1)):
        W = _by_blocks(f"{start}{name}.weight", arrays[f"{name}.weight"], n)
        b = arrays.get(f"{name}.bias", np.zeros(n))
        check_shape(f"{start}{name}.bias", b, (n,))
        parts = [np.zeros((n, n)), np.zeros((n, n))]
        parts[at] = W
        rows.append(np.hstack(parts))
        shift.append(b)
    _, K, V = rows
    _, b_k, b_v = shift
    every, moved = np.vstack(rows), np.concatenate(shift)
    gates: dict[str, Array] = {}
    for gate, name in names.items():
        W, b = arrays[name], arrays[f"mlstm_cell.{gate}gate.bias"]
        check_shape(f"{start}{name}", W, (heads, thrice))
        check_shape(f"{start}mlstm_cell.{gate}gate.bias", b, (heads,))
        gates |= {f"W_{gate}": W @ every, f"b_{gate}": W @ moved + b}
    root = math.sqrt(n // heads)
    return mlstm(K / root, V, b_k=b_k / root, b_v=b_v, **gates)


def slstm_cell(arrays: dict[str, Array], start: str, said: Said) -> SLSTM:
    """Return the sLSTM of the package xlstm.

    Its layer gives what fgate makes to the cell's first gate, i, and what igate makes to its
    second, f: the names are exchanged.  The recurrent kernel is (heads, 4 d, d), or (heads, d, 4 d)
    with the bias by heads, as of which of its programs the file is.
    """
    del said
    R, bias = arrays["slstm_cell._recurrent_kernel_"], arrays["slstm_cell._bias_"]
    check_shape(f"{start}slstm_cell._recurrent_kernel_", R, (None, None, None))
    heads, d = len(R), min(R.shape[1:])
    n = heads * d
    check_shape(f"{start}slstm_cell._bias_", bias, (4 * n,))
    if R.shape[1:] == (4 * d, d):
        R, bias = R.reshape(heads, 4, d, d).transpose(1, 0, 2, 3), bias.reshape(4, n)
    elif R.shape[1:] == (d, 4 * d):
        R = R.reshape(heads, d, 4, d).transpose(2, 0, 3, 1)
        bias = bias.reshape(heads, 4, d).transpose(1, 0, 2).reshape(4, n)
    else:
        raise ValueError(
            f"{start}slstm_cell._recurrent_kernel_ has shape {R.shape}, needed (heads, 4 d, d) or "
            "(heads, d, 4 d)"
        )
    blurred = any(f"conv1d.conv.{one}" in arrays for one in ("weight", "bias"))
    stack = []
    for name in ("fgate", "igate", "zgate", "ogate"):
        W = _by_blocks(f"{start}{name}.weight", arrays[f"{name}.weight"], n)
        parts = [W, np.zeros((n, n))] if name in {"fgate", "igate"} else [np.zeros((n, n)), W]
        stack.append(np.hstack(parts) if blurred else W)
    return slstm(np.stack(stack), R, b=bias)
