"""What stands beside the arrays of a cell: every array is used, or named in a refusal.

Main names: `patterns_of`, `allowed`, `check_all_used`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase
from typing import Any

from theory.interop.build import names_of

#: What names beside a cell mean in other programs: patterns of them, the layouts they stand beside,
#: and what is known.
_MEANINGS = (
    (r"recurrent_bias", "keras", "haste's GRU, of which there is no layout here"),
    (
        r"gamma\w*|beta\w*|.*(layer|batch|rms|group)_?norm\w*|ln(_\w+)?|norm\w*",
        "",
        "a normalisation inside the step would be another map",
    ),
    (
        r"weight_c\w*|.*peephole\w*|w_c\w*|P",
        "",
        "peephole weights, as theory.PeepholeLSTM has them",
    ),
    (
        r"R|Wb|Rb|P|B",
        "own",
        "ONNX has W for the inputs, R for the state, and other orders of gates",
    ),
    (r"C|D|d", "own", "a readout stands beside A and B"),
    (r"Win|W_in", "own", "input weights are called U here: rename it"),
    (r"activation", "", "say it with activation=, in a command --activation"),
)

#: So many names are written out in the advice; a pattern does for more.
_LISTED = 3

#: Parts of a name that stand for something inside a step, wherever the cell is.
_INSIDE = re.compile(r"(\w*(layer|batch|rms|group)_?norm\w*|ln(_\w+)?|norm\w*|\w*peephole\w*)")


def patterns_of(unused: Any) -> list[str]:
    """Return the names and patterns of what may be left over, given as one or as several.

    Raises
    ------
    ValueError
        If they are no text.
    """
    patterns = [unused] if isinstance(unused, str) else unused
    if not isinstance(patterns, Iterable) or not all(isinstance(p, str) for p in patterns):
        raise ValueError(f"unused={unused!r}, needed a name, or a list of names")
    return list(patterns)


def allowed(name: str, patterns: Collection[str], *, exact: bool = False) -> bool:
    """Return whether a name is one of those that may be left over, or fits a pattern of theirs."""
    return name in patterns or (not exact and any(fnmatchcase(name, p) for p in patterns))


def check_all_used(
    names: Iterable[str], used: Collection[str], prefixes: Iterable[str], layout: str
) -> None:
    """Check that no array below a cell is left over.

    Parameters
    ----------
    names : iterable of str
        All arrays that are to be read.
    used : collection of str
    prefixes : iterable of str
        Where the cells are; without a prefix it is what stands beside them, and not what is under
        a prefix of its own, as a head is.
    layout : str

    Raises
    ------
    ValueError
        If one is; the message names it, and says what it means if that is known.
    """
    starts = list(prefixes)
    left = [name for name in names if name not in used and any(_below(name, s) for s in starts)]
    if not left:
        return
    own = [re.split(r"[./]", name.removesuffix(":0")) for name in left]
    told = next(
        (
            f" ({meaning})"
            for pattern, beside, meaning in _MEANINGS
            if beside in {"", layout}
            and any(re.fullmatch(pattern, part) for parts in own for part in parts)
        ),
        "",
    )
    words = left[0] if len(left) == 1 else left[:_LISTED]
    flags = " ".join(f"--unused {name}" for name in left[:_LISTED])
    raise ValueError(
        f"{names_of(left)} would be left over beside {names_of(used)}: what it does is not "
        f"known{told}; where it does not enter the step of the cell, allow it with "
        f"unused={words!r} (in a command, {flags})"
    )


def _below(name: str, prefix: str) -> bool:
    """Return whether an array belongs to what has that prefix."""
    if prefix:
        return name.startswith((f"{prefix}.", f"{prefix}/"))
    *path, _ = re.split(r"[./]", name)
    return not path or bool(_INSIDE.fullmatch(path[-1]))
