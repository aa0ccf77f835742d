r"""The recurrences of Mamba, Falcon-Mamba and Mamba-2, by the names that all programs have.

Main names: `mamba_cell`, `mamba2_cell`.
"""

from __future__ import annotations

import numpy as np

from theory.interop.build import Said, check_shape
from theory.maps.architectures import mamba2
from theory.maps.attention import LinearAttention
from theory.maps.base import Map
from theory.maps.block import Block
from theory.maps.combine import Chain, Concatenate
from theory.maps.functions import Dense, Select
from theory.maps.normalize import Normalize
from theory.maps.selective import SelectiveSSM
from theory.typing import Array


def mamba_cell(arrays: dict[str, Array], start: str, said: Said) -> Map:
    r"""Return the recurrence: x_proj gives dt (of low rank), B and C, in this order.

    Falcon-Mamba divides each of the three by its root mean square.
    """
    words = ("mamba", "falcon_mamba")
    if said.variant is None:
        raise ValueError(
            f"{start}x_proj is that of Mamba, or of Falcon-Mamba, which normalises what it gives, "
            "and no array tells which: pass variant='mamba' or, with its mixer_rms_eps, "
            "variant='falcon_mamba(1e-06)' (in a command, --variant mamba); a config.json beside "
            "the file tells it, too"
        )
    word, eps = said.block(words, f"{start}x_proj")
    if (eps is not None) != (word == "falcon_mamba"):
        raise ValueError(
            f"variant={said.variant!r}, needed 'mamba', or 'falcon_mamba(1e-06)' with its "
            "mixer_rms_eps"
        )
    check_shape(f"{start}A_log", arrays["A_log"], (None, None))
    m, N = arrays["A_log"].shape
    check_shape(f"{start}x_proj.weight", arrays["x_proj.weight"], (None, m))
    check_shape(f"{start}dt_proj.weight", arrays["dt_proj.weight"], (m, None))
    rows, rank = len(arrays["x_proj.weight"]), arrays["dt_proj.weight"].shape[1]
    check_shape(f"{start}dt_proj.bias", arrays["dt_proj.bias"], (m,))
    if rows != rank + 2 * N:
        raise ValueError(
            f"{start}x_proj.weight has {rows} rows, needed {rank} + 2 * {N}: the step sizes of "
            "rank dt_proj.weight, and B and C of as many entries as A_log has columns"
        )
    down, up = arrays["x_proj.weight"], arrays["dt_proj.weight"]
    B, bias = down[rank : rank + N], arrays["dt_proj.bias"]
    with np.errstate(over="ignore"):
        decay = np.exp(arrays["A_log"])
    if eps is None:
        return SelectiveSSM(decay, up @ down[:rank], B, bias)
    # behind the m channels come the normalised dt and B, which steer
    before = Concatenate(
        [
            Select(0, stop=m, size=m),
            Chain([Dense(down[:rank]), Normalize(np.ones(rank), eps=eps)]),
            Chain([Dense(B), Normalize(np.ones(N), eps=eps)]),
        ]
    )
    W_step = np.hstack([np.zeros((m, m)), up, np.zeros((m, N))])
    W_B = np.hstack([np.zeros((N, m + rank)), np.eye(N)])
    return Block(SelectiveSSM(decay, W_step, W_B, bias), before=before)


def mamba2_cell(arrays: dict[str, Array], start: str, said: Said) -> LinearAttention:
    """Return the recurrence; in_proj gives the gate, x, B, C and dt, conv1d takes x, B and C."""
    rates = arrays["A_log"]
    check_shape(f"{start}A_log", rates, (None,))
    heads = len(rates)
    check_shape(f"{start}dt_bias", arrays["dt_bias"], (heads,))
    check_shape(f"{start}in_proj.weight", arrays["in_proj.weight"], (None, None))
    check_shape(f"{start}conv1d.weight", arrays["conv1d.weight"], (None, 1, None))
    rows, wide = len(arrays["in_proj.weight"]), len(arrays["conv1d.weight"])
    inner = rows - wide - heads
    if not 0 < inner < wide or (wide - inner) % 2:
        raise ValueError(
            f"{start}in_proj.weight has {rows} rows, conv1d.weight {wide} channels, for {heads} "
            f"heads of A_log; needed n + {wide} + {heads} rows for n channels of x, and "
            f"{wide} = n + 2 * groups * states"
        )
    for name, at in (("out_proj.weight", 1), ("norm.weight", 0)):
        if name in arrays and arrays[name].shape[at : at + 1] != (inner,):
            raise ValueError(
                f"{start}{name} has shape {arrays[name].shape}, needed {inner} channels, as "
                "in_proj.weight and conv1d.weight have for x"
            )
    if inner % heads:
        raise ValueError(
            f"{start}A_log has {heads} heads, needed a divisor of the {inner} channels of x"
        )
    both = (wide - inner) // 2
    groups = _groups(said, start, heads=heads, both=both)
    with np.errstate(over="ignore"):
        A = np.exp(rates)
    return mamba2(
        A=A,
        dt_bias=arrays["dt_bias"],
        head_dim=inner // heads,
        state=both // groups,
        groups=groups,
    )


def _groups(said: Said, start: str, *, heads: int, both: int) -> int:
    """Return how many groups of heads share a B, which has `both` entries in all of them."""
    fit = [g for g in range(1, min(heads, both) + 1) if heads % g == 0 and both % g == 0]
    told = ", ".join(map(str, fit))
    if said.variant is None:
        if fit == [1]:
            return 1
        raise ValueError(
            f"{start}conv1d gives B of {both} entries for {heads} heads, in groups of heads that "
            "share one, and no array tells how many groups: pass variant='mamba2(1)' for one "
            f"(in a command, --variant 'mamba2(1)'), n_groups one of: {told}; a config.json beside "
            "the file tells it, too"
        )
    _, number = said.block(("mamba2",), f"{start}dt_bias")
    if number is None and fit == [1]:
        return 1
    if number not in fit:
        raise ValueError(
            f"variant={said.variant!r}, needed 'mamba2(n_groups)' with a divisor of {heads} heads "
            f"and of the {both} entries of B, one of: {told}"
        )
    return int(number)
