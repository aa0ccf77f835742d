r"""The recurrence of RWKV-7, by the names of its own program and of flash-linear-attention.

Main names: `rwkv7_cell`, `NAMED`.
"""

from __future__ import annotations

import re

import numpy as np

from theory.interop.build import Said, check_shape
from theory.maps.architectures import rwkv7
from theory.maps.base import Map
from theory.maps.block import Block
from theory.maps.combine import Chain, Concatenate, Product, Sum
from theory.maps.functions import Dense, Function, Pointwise
from theory.typing import Array

#: What a matrix or bias is called: by the names of RWKV's own files, whose products of low rank act
#: from the right, and by those of flash-linear-attention.
_OWN = {"K": "key.weight", "V": "value.weight"} | {
    f"{one}{part}": f"{one}{part}" for one in "wav" for part in "012"
}
_FLA = {"K": "k_proj.weight", "V": "v_proj.weight"} | {
    f"{one}{part}": f"{one}_lora.lora.{at}"
    for one in "wav"
    for part, at in (("1", "0.weight"), ("2", "2.weight"), ("0", "2.bias"))
}
NAMED = (*_OWN.values(), *_FLA.values())

#: A removed key is divided by the larger of its length and 1e-12: this squared under a root.
_LEAST_LENGTH = 1e-24


def layer_number(start: str) -> int | None:
    """Return which layer of a network a prefix is of, None if it does not tell."""
    match = re.search(r"(?:^|\.)(?:blocks|layers)\.(\d+)\.\w+\.$", start)
    return None if match is None else int(match[1])


def rwkv7_cell(arrays: dict[str, Array], start: str, said: Said) -> Map:
    r"""Return the recurrence on (x_t, x_{t-1}), and on (x_t, x_{t-1}, v) but in the first layer.

    Each of w, k, v and a sees x_t + mu (x_{t-1} - x_t) with a mu of its own; in later layers values
    are moved towards those of the first, v, by a gate.  Some files of the first layer hold that
    gate, too, and no program uses it there.
    """
    fla = "k_proj.weight" in arrays
    names = _FLA if fla else _OWN
    eps = _eps(said, start, fla=fla)
    number = layer_number(start)
    later = bool(number) or (
        number is None and any(names[key] in arrays for key in ("v0", "v1", "v2"))
    )
    wanted = [key for key in names if later or key not in {"v0", "v1", "v2"}]
    missing = [f"{start}{names[key]}" for key in wanted if names[key] not in arrays]
    if missing:
        raise ValueError(f"missing keys: {', '.join(missing)}; a layer of RWKV-7 needs all")
    at = {key: arrays[names[key]] for key in wanted}
    check_shape(f"{start}r_k", arrays["r_k"], (None, None))
    heads, d = arrays["r_k"].shape
    check_shape(f"{start}{names['K']}", at["K"], (heads * d, None))
    n, m = at["K"].shape
    check_shape(f"{start}{names['V']}", at["V"], (None, m))
    values = len(at["V"])
    if values % heads:
        raise ValueError(
            f"{start}{names['V']} has {values} rows, needed a multiple of the {heads} heads of r_k"
        )
    rank = {}
    for one, rows in (("w", n), ("a", n), ("v", values)):
        if one == "v" and not later:
            continue
        if not fla:
            at[f"{one}1"], at[f"{one}2"] = at[f"{one}1"].T, at[f"{one}2"].T
            at[f"{one}0"] = at[f"{one}0"].ravel()  # stored as (1, 1, n)
        check_shape(_told(start, names, f"{one}1", fla), at[f"{one}1"], (None, m))
        rank[one] = len(at[f"{one}1"])
        check_shape(_told(start, names, f"{one}2", fla), at[f"{one}2"], (rows, rank[one]))
        check_shape(f"{start}{names[f'{one}0']}", at[f"{one}0"], (rows,))
    mix = {}
    for one in "wkva":
        mu = arrays[f"x_{one}"]
        if mu.size != m or mu.shape[-1:] != (m,):
            raise ValueError(f"{start}x_{one} has shape {mu.shape}, needed (1, 1, {m})")
        mix[one] = mu.ravel()
    vectors = {}
    for name in ("k_k", "k_a"):
        vectors[name] = arrays[name].ravel()
        check_shape(f"{start}{name}", vectors[name], (n,))

    def shifted(W: Array, one: str) -> Array:
        """Return W of x_t + mu (x_{t-1} - x_t) as a matrix of the inputs."""
        parts = [W * (1.0 - mix[one]), W * mix[one]]
        return np.hstack([*parts, np.zeros((len(W), values))] if later else parts)

    value: Function = Dense(shifted(at["V"], "v"))
    if later:
        first = np.hstack([np.zeros((values, 2 * m)), np.eye(values)])
        gate = Chain(
            [
                Dense(shifted(at["v1"], "v")),
                Dense(at["v2"], at["v0"]),
                Pointwise("sigmoid", values),
            ]
        )
        value = Sum([value, Product([Dense(first - shifted(at["V"], "v")), gate])])
    before = Concatenate(
        [
            Dense(shifted(at["K"], "k")),
            value,
            Chain([Dense(shifted(at["w1"], "w")), Pointwise("tanh", rank["w"])]),
            Dense(shifted(at["a1"], "a")),
        ]
    )
    sizes = (n, values, rank["w"], rank["a"])

    def placed(W: Array, number: int) -> Array:
        """Return W of one part of what the function before gives."""
        return np.hstack([W if k == number else np.zeros((len(W), s)) for k, s in enumerate(sizes)])

    core = rwkv7(
        placed(np.eye(n), 0),
        placed(np.eye(values), 1),
        W_w=placed(at["w2"], 2),
        W_a=placed(at["a2"], 3),
        b_w=at["w0"],
        b_a=at["a0"],
        heads=heads,
        eps=eps,
        **vectors,
    )
    return Block(core, before=before)


def _told(start: str, names: dict[str, str], key: str, fla: bool) -> str:
    return f"{start}{names[key]}{'' if fla else '.T'}"


def _eps(said: Said, start: str, *, fla: bool) -> float:
    """Return what is added to the squared length of a removed key."""
    if said.variant is None and fla:
        raise ValueError(
            f"{start.removesuffix('.') or 'the block'} is a layer of RWKV-7, and no array tells "
            "how its removed keys are normalised: pass variant='rwkv7', divided by their length, "
            "or 'rwkv7(1e-06)' with fuse_norm (in a command, --variant rwkv7); a config.json "
            "beside the file tells it, too"
        )
    if said.variant is None:
        return _LEAST_LENGTH
    _, eps = said.block(("rwkv7",), f"{start}r_k")
    return _LEAST_LENGTH if eps is None else eps
