r"""Layouts of recurrent blocks of language models: one layer's recurrence at a time.

Main names: `BLOCKS`, `block_cell`, `block_notes`.

    mamba     A_log, x_proj.weight, dt_proj.weight, ..       `SelectiveSSM`, in a `Block` of
                                                             Falcon-Mamba
    mamba2    A_log, dt_bias; shapes of in_proj, conv1d      `LinearAttention`
    rglru     recurrent_param, input_gate_weight, ..         `RGLRU` (RecurrentGemma)
    mingru    linear_z.weight, linear_h.weight and biases    `MinGRU`
    xlstm     k, v, igate_preact, fgate_preact               `Block` of `LinearAttention` (xLSTM-7b)
    mlstm     q_proj, k_proj, v_proj, mlstm_cell.igate, ..   `LinearAttention` (package xlstm)
    slstm     slstm_cell._recurrent_kernel_, igate, ..       `SLSTM` (package xlstm)
    rwkv7     key.weight, w0, w1, .. or w_lora.lora.0, ..    `Block` of `DeltaRule`

The input of such a map is what reaches the recurrence; `theory show` tells what that is, and what
of the layer stands beside it.  What follows the recurrence, such as D and the gate, remembers
nothing.  What is not read is refused with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from theory.interop.build import Said, check_shape, double_array, names_of
from theory.interop.layouts import mamba, rwkv, xlstm
from theory.maps.base import Map
from theory.maps.mingru import MinGRU
from theory.maps.rglru import RGLRU
from theory.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class Layer:
    """How a recurrent block is known by its names, and what around it is no part of it."""

    name: str
    title: str  # for people
    needs: str  # an array that no other block has
    keys: tuple[str, ...]  # what is read
    may: tuple[str, ...] = ()  # what is read if it is there
    inputs: str = ""  # what the inputs of the map are
    beside: Mapping[str, str]  # patterns of what is not read, and what that is
    build: Callable[[dict[str, Array], str, Said], Map] | None  # None if it is refused
    refused: str = ""


def _mingru(arrays: dict[str, Array], start: str, said: Said) -> Map:
    """Return the minimal GRU as published, whose candidate is linear unless it is said."""
    said.check_known(variant=None, gated=False)
    check_shape(f"{start}linear_z.weight", arrays["linear_z.weight"], (None, None))
    n, m = arrays["linear_z.weight"].shape
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


def _rglru(arrays: dict[str, Array], start: str, said: Said) -> Map:
    r"""Return the RG-LRU, a = exp(-8 r softplus(p)) = sigma(-p)**(8 r); gates are block diagonal.

    There the first input of a sequence enters as it is, without sqrt(1 - a**2).
    """
    del said
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


_AROUND_MAMBA = {
    r"in_proj\.(weight|bias)": "the projection before the convolution",
    r"conv1d\.(weight|bias)": "the short convolution before the recurrence",
    "D": "what passes the recurrence by",
    r"out_proj\.(weight|bias)": "the projection after the gate",
}
_AROUND_XLSTM = {
    r"q\.(weight|bias)": "the queries, which read the memory",
    r"ogate_preact\.(weight|bias)": "the output gate",
    r"multihead_norm\.(weight|bias)": "the normalisation of what is read",
    r"out_proj\.(weight|bias)": "the projection after the gate",
}
_XLSTM_INPUTS = "the normalised input of the layer"

BLOCKS = (
    Layer(
        name="mamba",
        title="Mamba",
        needs="x_proj.weight",
        keys=("A_log", "x_proj.weight", "dt_proj.weight", "dt_proj.bias"),
        inputs="what the short convolution and its activation give",
        beside=_AROUND_MAMBA,
        build=mamba.mamba_cell,
    ),
    Layer(
        name="mamba2",
        title="Mamba-2",
        needs="dt_bias",
        keys=("A_log", "dt_bias", "conv1d.weight", "in_proj.weight"),
        may=("out_proj.weight", "norm.weight"),
        inputs="in this order: x and B, which the short convolution and its activation give, "
        "and dt, as in_proj gives it",
        beside=_AROUND_MAMBA | {r"norm\.weight": "the gated normalisation after the recurrence"},
        build=mamba.mamba2_cell,
    ),
    Layer(
        name="rglru",
        title="RecurrentGemma",
        needs="recurrent_param",
        keys=(
            "recurrent_param", "input_gate_weight", "input_gate_bias", "recurrent_gate_weight",
            "recurrent_gate_bias",
        ),
        inputs="what the short convolution gives",
        beside={},
        build=_rglru,
    ),
    Layer(
        name="mingru",
        title="minGRU",
        needs="linear_z.weight",
        keys=("linear_z.weight", "linear_h.weight"),
        may=("linear_z.bias", "linear_h.bias"),
        beside={},
        build=_mingru,
    ),
    Layer(
        name="mingru",
        title="minGRU",
        needs="to_hidden_and_gate.weight",
        keys=("to_hidden_and_gate.weight",),
        beside={r"to_out\.(weight|bias)": "the projection after the recurrence"},
        build=None,
        refused="is a minGRU whose candidate is x + 1/2 for x >= 0 and sigmoid(x) below, an "
        "activation of no map here",
    ),
    Layer(
        name="xlstm",
        title="xLSTM-7b",
        needs="igate_preact.weight",
        keys=(
            "k.weight", "v.weight", "igate_preact.weight", "igate_preact.bias",
            "fgate_preact.weight", "fgate_preact.bias",
        ),
        may=("k.bias", "v.bias"),
        inputs=_XLSTM_INPUTS,
        beside=_AROUND_XLSTM,
        build=xlstm.xlstm_cell,
    ),
    Layer(
        name="xlstm",
        title="xLSTM-7b",
        needs="ifgate_preact.weight",
        keys=(
            "qkv_opreact.weight", "ifgate_preact.weight", "ifgate_preact.bias",
            "multihead_norm.weight",
        ),
        may=("qkv_opreact.bias",),
        inputs=_XLSTM_INPUTS,
        beside=_AROUND_XLSTM,
        build=xlstm.xlstm_cell,
    ),
    Layer(
        name="mlstm",
        title="xlstm's mLSTM",
        needs="mlstm_cell.igate.weight",
        keys=(
            "q_proj.weight", "k_proj.weight", "v_proj.weight", "mlstm_cell.igate.weight",
            "mlstm_cell.igate.bias", "mlstm_cell.fgate.weight", "mlstm_cell.fgate.bias",
        ),
        may=("q_proj.bias", "k_proj.bias", "v_proj.bias"),
        inputs="what the short convolution and its activation give, and behind it what they are "
        "given (the first half of proj_up)",
        beside={
            r"proj_up\.(weight|bias)": "the projection before the convolution",
            r"conv1d\.conv\.(weight|bias)": "the short convolution before the recurrence",
            "learnable_skip": "what passes the recurrence by",
            r"mlstm_cell\.outnorm\.weight": "the normalisation of what is read",
            r"mlstm_cell\.causal_mask": "no parameter",
            r"proj_down\.(weight|bias)": "the projection after the gate",
        },
        build=xlstm.mlstm_cell,
    ),
    Layer(
        name="slstm",
        title="xlstm's sLSTM",
        needs="slstm_cell._recurrent_kernel_",
        keys=(
            "slstm_cell._recurrent_kernel_", "slstm_cell._bias_", "igate.weight", "fgate.weight",
            "zgate.weight", "ogate.weight",
        ),
        may=("conv1d.conv.weight", "conv1d.conv.bias"),
        inputs="what the short convolution and its activation give, and behind it the normalised "
        "input of the layer; that alone where there is no convolution",
        beside={
            r"conv1d\.conv\.(weight|bias)": "the short convolution before the recurrence",
            r"group_norm\.weight": "the normalisation after the recurrence",
        },
        build=xlstm.slstm_cell,
    ),
    Layer(
        name="rwkv7",
        title="RWKV-7",
        needs="r_k",
        keys=("r_k", "k_k", "k_a", "x_w", "x_k", "x_v", "x_a"),
        may=rwkv.NAMED,
        inputs="the normalised input of the layer, that of the step before, and but in the first "
        "layer the values of the first layer, one behind the other",
        beside={
            "r_k|x_[rg]|(receptance|r_proj).weight": "what the memory is read by",
            r"g[12]|g_lora\.lora\.[02]\.weight": "the output gate",
            r"(ln_x|g_norm)\.(weight|bias)": "the normalisation of what is read",
            r"(output|o_proj)\.weight": "the projection after the gate",
        },
        build=rwkv.rwkv7_cell,
    ),
)  # fmt: skip

_BY_KEY = {key for block in BLOCKS for key in (*block.keys, *block.may)}
#: Names that make a group of names a block.
NEEDED = re.compile("|".join(re.escape(block.needs) for block in BLOCKS))
PATTERN = re.compile(
    # the shortest prefix: the longest key
    r"(?:(?P<prefix>.*?)\.)??(?P<key>" + "|".join(map(re.escape, sorted(_BY_KEY))) + ")"
)


def block_of(group: Any) -> Layer:
    """Return the block of a group of names, which has one."""
    return next(block for block in BLOCKS if block.needs in group)


def around(group: Any, start: str) -> re.Pattern[str]:
    """Return the pattern of the full names that stand beside the recurrence."""
    beside = block_of(group).beside or ["(?!)"]
    return re.compile(f"{re.escape(start)}(?:{'|'.join(beside)})")


def is_inner(group: Any) -> bool:
    """Return whether a block is one recurrence of a network, with more before and behind it."""
    return block_of(group).name != "mingru"


Cells = Mapping[tuple[str, str], Mapping[str, str]]


def has_inner(cells: Cells) -> bool:
    """Return whether a file has such a block, among its cells by layout and prefix."""
    return any(kind == "block" and is_inner(group) for (kind, _), group in cells.items())


def block_around(cells: Cells, layer: str) -> str | None:
    """Return the prefix of the block that a layer, by the start of its names, is a part of."""
    for (kind, at), group in cells.items():
        start = f"{at}." if at else ""
        if kind != "block" or not layer.startswith(start):
            continue
        beside = around(group, start)
        for name in (layer, f"{layer}.weight"):
            if name in group.values() or beside.fullmatch(name):
                return at
    return None


def used(group: Mapping[str, str]) -> list[str]:
    """Return the full names of a group that its block reads; others may look like its own."""
    block = block_of(group)
    return [name for key, name in group.items() if key in {*block.keys, *block.may}]


def block_notes(group: Mapping[str, str], start: str, names: Any) -> tuple[str, ...]:
    """Return what the inputs of a block's map are, and which arrays beside it are not read."""
    block = block_of(group)
    notes = [f"inputs: {block.inputs}"] if block.inputs else []
    own = [str(name).removeprefix(start) for name in names if str(name).startswith(start)]
    around = dict(block.beside)
    if block.name == "rwkv7" and rwkv.layer_number(start) == 0:
        around[r"v[012]"] = "of later layers"
    beside = [
        f"{', '.join(there)} ({what})"
        for pattern, what in around.items()
        if (there := [name for name in own if re.fullmatch(pattern, name)])
    ]
    return (*notes, f"no part of it: {'; '.join(beside)}") if beside else tuple(notes)


def block_cell(group: dict[str, Any], start: str, said: Said) -> Map:
    """Return the map of a block's recurrence."""
    block = block_of(group)
    if block.build is None:
        raise ValueError(f"{start.removesuffix('.') or 'the block'} {block.refused}")
    if not is_inner(group):
        return _built(block, group, start, said)
    for name in ("activation", "recurrent_activation", "variant"):
        given = getattr(said, name)
        if given is not None and (name != "variant" or block.name not in _ASK):
            raise ValueError(
                f"{name}={given!r}, but {start.removesuffix('.') or 'the block'} is a layer of "
                f"{block.title}, which tells it; leave {name}= out"
            )
    return _built(block, group, start, said)


#: Blocks of which no array tells everything.
_ASK = {"mamba", "mamba2", "xlstm", "rwkv7"}


def _built(block: Layer, group: dict[str, Any], start: str, said: Said) -> Map:
    assert block.build is not None
    read = {*block.keys, *block.may}
    arrays = {
        key: double_array(f"{start}{key}", value) for key, value in group.items() if key in read
    }
    missing = [f"{start}{key}" for key in block.keys if key not in arrays]
    if missing:
        raise ValueError(
            f"missing keys of a layer of {block.title}: {', '.join(missing)}; there are "
            f"{names_of(group)}"
        )
    return block.build(arrays, start, said)
