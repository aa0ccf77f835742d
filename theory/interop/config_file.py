"""What a config.json beside a file of weights tells of the recurrent blocks in it.

Main name: `told_beside`.

Its values are those that no array tells: which of two layers with one set of names it is, and
numbers in them.  Configurations of transformers, mamba_ssm and flash-linear-attention are known.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from theory.interop.layouts.blocks import block_of
from theory.interop.names import groups_of
from theory.interop.told import Told


def told_beside(path: Path, arrays: Mapping[str, Any]) -> dict[str, Told]:
    """Return what the configuration tells of each block, by its prefix.

    Parameters
    ----------
    path : Path
        Of the file of weights.
    arrays : mapping
        Those of the file, by their names.
    """
    config = path.with_name("config.json")
    if not config.is_file():
        return {}
    groups = groups_of(arrays, "block")
    if not groups:
        return {}
    try:
        told = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(told, dict):
        return {}
    found = {at: _told(block_of(group).name, told) for (_, at), group in groups.items()}
    return {at: one for at, one in found.items() if one is not None}


def _told(block: str, config: dict[str, Any]) -> Told | None:
    known = _KNOWN.get((block, str(config.get("model_type"))))
    if known is not None:
        return known(config)
    given = config.get("ssm_cfg")
    if "model_type" in config or not isinstance(given, dict):
        return None
    # mamba_ssm has no model_type, and leaves out what is as by default
    layer = given.get("layer", "Mamba1")
    if (block, layer) == ("mamba", "Mamba1"):
        return Told(kind="Mamba", variant="mamba")
    if (block, layer) == ("mamba2", "Mamba2"):
        return _mamba2(
            {"n_groups": given.get("ngroups", 1), "time_step_limit": given.get("dt_limit")}
        )
    return None


def _number(value: Any) -> float | None:
    """Return a number of a configuration, which may be infinite; None if it is none."""
    if isinstance(value, dict) and len(value) == 1:
        value = value.get("__float__")  # as transformers writes inf
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _numbered(kind: str, word: str, name: str, value: Any) -> Told:
    """Return a variant with a number of the configuration."""
    number = _number(value)
    if number is None or not math.isfinite(number):
        return Told(kind=kind, refused=f"has {name}={value!r} in its config.json, needed a number")
    short = f"{number:g}"
    exact = short if float(short) == number else repr(number)
    return Told(kind=kind, variant=f"{word}({exact})")


def _mamba(config: dict[str, Any]) -> Told:
    del config
    return Told(kind="Mamba", variant="mamba")


def _falcon_mamba(config: dict[str, Any]) -> Told:
    eps = config.get("mixer_rms_eps", 1e-6)
    return _numbered("Falcon-Mamba", "falcon_mamba", "mixer_rms_eps", eps)


def _mamba2(config: dict[str, Any]) -> Told:
    limits = config.get("time_step_limit")
    ends = [_number(end) for end in limits] if isinstance(limits, list) else [limits]
    if ends not in ([None], [0.0, math.inf]):
        return Told(
            kind="Mamba-2",
            refused=f"clips its step sizes to time_step_limit={limits} in its config.json, and no "
            "map does; needed [0, inf]",
        )
    return _numbered("Mamba-2", "mamba2", "n_groups", config.get("n_groups", 8))


def _xlstm(config: dict[str, Any]) -> Told:
    cap = config.get("gate_soft_cap", 15.0)
    if cap is None:
        return Told(kind="xLSTM", variant="xlstm")
    return _numbered("xLSTM", "xlstm", "gate_soft_cap", cap)


def _rwkv7(config: dict[str, Any]) -> Told:
    fused = config.get("fuse_norm", True)
    return Told(kind="RWKV-7", variant="rwkv7(1e-06)" if fused else "rwkv7")


#: By the block that arrays are, and the model that the configuration is of; what a configuration
#: leaves out is as its program has it by default.
_KNOWN: dict[tuple[str, str], Callable[[dict[str, Any]], Told]] = {
    ("mamba", "mamba"): _mamba,
    ("mamba", "falcon_mamba"): _falcon_mamba,
    ("mamba2", "mamba2"): _mamba2,
    ("xlstm", "xlstm"): _xlstm,
    ("rwkv7", "rwkv7"): _rwkv7,
}
