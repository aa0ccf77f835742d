r"""Layouts of recurrent blocks of language models: one layer's recurrence at a time.

Main names: `BLOCKS`, `block_cell`.

    mamba    A_log, D, x_proj.weight, dt_proj.weight, dt_proj.bias    `SelectiveSSM`
    rglru    recurrent_param, input_gate_weight, ...                  `RGLRU` (RecurrentGemma)
    mingru   linear_z.weight, linear_h.weight and biases              `MinGRU`

The input of such a map is what reaches the recurrence: behind the projection, the short convolution
and its activation.  What follows the recurrence, such as D and the gate, remembers nothing.
Mamba-2, mLSTM and sLSTM, RWKV-7, and what cannot be told from another layer by its arrays are
recognised, and refused with the reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from theory.interop.build import Said, check_shape, double_array, names_of
from theory.maps.base import Map
from theory.maps.mingru import MinGRU
from theory.maps.rglru import RGLRU
from theory.maps.selective import SelectiveSSM
from theory.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class Block:
    """How a recurrent block is known by its names, and what around it is no part of it."""

    name: str
    needs: str  # an array that no other block has
    keys: tuple[str, ...]  # what is read
    around: str = ""  # pattern of what stands beside the recurrence and is not read
    refused: str = ""


_AROUND_MAMBA = r"(conv1d|in_proj|out_proj)\.(weight|bias)|D"

BLOCKS = (
    Block(
        name="mamba",
        needs="x_proj.weight",
        keys=("A_log", "x_proj.weight", "dt_proj.weight", "dt_proj.bias"),
        around=_AROUND_MAMBA,
    ),
    Block(
        name="mamba2",
        needs="dt_bias",
        keys=("A_log", "dt_bias"),
        around=rf"{_AROUND_MAMBA}|norm\.weight",
        refused="is a layer of Mamba-2, which is not read; theory.maps.mamba2 makes the map of its "
        "arrays",
    ),
    Block(
        name="rglru",
        needs="recurrent_param",
        keys=(
            "recurrent_param", "input_gate_weight", "input_gate_bias", "recurrent_gate_weight",
            "recurrent_gate_bias",
        ),
    ),
    Block(
        name="mingru",
        needs="linear_z.weight",
        keys=("linear_z.weight", "linear_z.bias", "linear_h.weight", "linear_h.bias"),
    ),
    Block(
        name="mingru",
        needs="to_hidden_and_gate.weight",
        keys=("to_hidden_and_gate.weight",),
        around=r"to_out\.(weight|bias)",
        refused="is a minGRU whose candidate is x + 1/2 for x >= 0 and sigmoid(x) below, an "
        "activation of no map here",
    ),
    Block(
        name="mlstm",
        needs="igate_preact.weight",
        keys=("igate_preact.weight",),
        around=r".*",
        refused="is an mLSTM layer (xLSTM), whose queries and norms are not read; "
        "theory.maps.mlstm makes the map of its keys, values and gates",
    ),
    Block(
        name="slstm",
        needs="slstm_cell._recurrent_kernel_",
        keys=("slstm_cell._recurrent_kernel_",),
        around=r".*",
        refused="is an sLSTM layer (xLSTM), whose arrays do not say how its gates and heads are "
        "laid out; theory.maps.slstm makes the map of arrays (gate, head, ..)",
    ),
    Block(
        name="rwkv7",
        needs="r_k",
        keys=("r_k", "k_k", "k_a"),
        around=r".*",
        refused="is a layer of RWKV-7, which is not read; theory.maps.rwkv7 makes the map of its "
        "arrays",
    ),
)  # fmt: skip

_BY_KEY = {key: block for block in BLOCKS for key in block.keys}
#: Names that make a group of names a block.
NEEDED = re.compile("|".join(re.escape(block.needs) for block in BLOCKS))
PATTERN = re.compile(
    r"(?:(?P<prefix>.*)\.)??(?P<key>"
    + "|".join(sorted(map(re.escape, _BY_KEY), key=len, reverse=True))
    + ")"
)


def block_of(group: Any) -> Block:
    """Return the block of a group of names, which has one."""
    return next(block for block in BLOCKS if block.needs in group)


def around(group: Any, start: str) -> re.Pattern[str]:
    """Return the pattern of the full names that stand beside the recurrence."""
    return re.compile(f"{re.escape(start)}(?:{block_of(group).around or '(?!)'})")


def block_cell(group: dict[str, Any], start: str, said: Said) -> Map:
    """Return the map of a block's recurrence."""
    block = block_of(group)
    if block.refused:
        raise ValueError(f"{start.removesuffix('.') or 'the block'} {block.refused}")
    arrays = {key: double_array(f"{start}{key}", value) for key, value in group.items()}
    missing = [
        f"{start}{key}"
        for key in block.keys
        if key not in arrays and not (block.name == "mingru" and key.endswith("bias"))
    ]
    if missing:
        raise ValueError(f"missing keys: {', '.join(missing)}; there are {names_of(group)}")
    build = {"mamba": _mamba, "rglru": _rglru, "mingru": _mingru}[block.name]
    return build(arrays, start, said)


def _mamba(arrays: dict[str, Array], start: str, said: Said) -> Map:
    r"""Return the recurrence of Mamba: x_proj gives dt (of low rank), B and C, in this order."""
    if said.variant is None:
        raise ValueError(
            f"{start}x_proj is that of Mamba, or of Falcon-Mamba, which normalises what it gives, "
            "and no array tells which: pass variant='mamba' (in a command, --variant mamba); "
            "a config.json beside the file tells it, too"
        )
    if said.variant != "mamba":
        raise ValueError(f"{start}x_proj is that of {said.variant!r}, of which there is no map")
    m, N = _matrix(arrays, start, "A_log")
    rows, _ = _matrix(arrays, start, "x_proj.weight", (None, m))
    _, rank = _matrix(arrays, start, "dt_proj.weight", (m, None))
    check_shape(f"{start}dt_proj.bias", arrays["dt_proj.bias"], (m,))
    if rows != rank + 2 * N:
        raise ValueError(
            f"{start}x_proj.weight has {rows} rows, needed {rank} + 2 * {N}: the step sizes of "
            "rank dt_proj.weight, and B and C of as many entries as A_log has columns"
        )
    down = arrays["x_proj.weight"]
    with np.errstate(over="ignore"):
        decay = np.exp(arrays["A_log"])
    return SelectiveSSM(
        decay,
        arrays["dt_proj.weight"] @ down[:rank],
        down[rank : rank + N],
        arrays["dt_proj.bias"],
        discretization="euler",
    )


def _matrix(
    arrays: dict[str, Array], start: str, name: str, shape: tuple[int | None, ...] = (None, None)
) -> tuple[int, int]:
    check_shape(f"{start}{name}", arrays[name], shape)
    return arrays[name].shape[0], arrays[name].shape[1]


def _rglru(arrays: dict[str, Array], start: str, said: Said) -> Map:
    r"""Return the RG-LRU, a = exp(-8 r softplus(p)) = sigma(-p)**(8 r); gates are block diagonal.

    There the first input of a sequence enters as it is, without sqrt(1 - a**2).
    """
    said.check_known(variant=None, gated=False)
    p = arrays["recurrent_param"]
    check_shape(f"{start}recurrent_param", p, (None,))
    rows, biases = [], []
    for gate in ("recurrent_gate", "input_gate"):
        blocks, bias = arrays[f"{gate}_weight"], arrays[f"{gate}_bias"]
        check_shape(f"{start}{gate}_weight", blocks, (None, None, None))
        heads, wide, high = blocks.shape
        if wide != high or heads * wide != len(p):
            raise ValueError(
                f"{start}{gate}_weight has shape {blocks.shape}, needed (heads, n, n) with heads "
                f"times n = {len(p)}"
            )
        check_shape(f"{start}{gate}_bias", bias, (heads, wide))
        U = np.zeros((len(p), len(p)))
        for head, block in enumerate(blocks):
            at = slice(head * wide, (head + 1) * wide)
            U[at, at] = block.T
        rows.append(U)
        biases.append(bias.ravel())
    return RGLRU(np.vstack(rows), -p, np.concatenate(biases))


def _mingru(arrays: dict[str, Array], start: str, said: Said) -> Map:
    """Return the minimal GRU as published, whose candidate is linear unless it is said."""
    said.check_known(variant=None, gated=False)
    n, m = _matrix(arrays, start, "linear_z.weight")
    check_shape(f"{start}linear_h.weight", arrays["linear_h.weight"], (n, m))
    biases = [arrays.get(f"linear_{gate}.bias", np.zeros(n)) for gate in "zh"]
    for gate, bias in zip("zh", biases, strict=True):
        check_shape(f"{start}linear_{gate}.bias", bias, (n,))
    if said.activation is None:
        raise ValueError(
            "the weights are those of a minimal GRU, whose candidate's activation no array tells: "
            "pass activation= (in a command, --activation), 'identity' as published"
        )
    return MinGRU(
        np.vstack([arrays["linear_z.weight"], arrays["linear_h.weight"]]),
        np.concatenate(biases),
        said.activation,
    )
