"""Functions between recurrences as a description, for JSON, and the arrays that they are made of.

Main names: `described_function`, `built_function`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from theory.maps.combine import Chain, Concatenate, Product, Sum
from theory.maps.functions import Dense, Function, Pointwise, Select
from theory.maps.normalize import Normalize
from theory.maps.reading import Read
from theory.maps.softmax import Softmax

#: Those that are made of others.
_COMBINED: dict[str, Any] = {
    "Sum": Sum,
    "Product": Product,
    "Concatenate": Concatenate,
    "Chain": Chain,
}

#: The others: their class, the arrays and what else the constructor takes.
_SINGLE: dict[str, tuple[type[Function], tuple[str, ...], tuple[str, ...]]] = {
    "Dense": (Dense, ("W", "b"), ()),
    "Select": (Select, (), ("start", "stop", "size")),
    "Pointwise": (Pointwise, (), ("activation", "size")),
    "Normalize": (Normalize, ("gain", "bias"), ("kind", "eps")),
    "Softmax": (Softmax, (), ("size",)),
    "Read": (Read, (), ("heads", "keys", "values", "normalized")),
}


def described_function(f: Function) -> dict[str, Any]:
    """Return the kind of a function and what its arrays do not tell."""
    word = type(f).__name__
    if isinstance(f, Sum | Product | Concatenate | Chain):
        return {"function": word, "parts": [described_function(part) for part in f.functions]}
    single = _SINGLE.get(word)
    if single is None:
        raise ValueError(
            f"a {word} cannot be written; needed one of: {', '.join([*_SINGLE, *_COMBINED])}"
        )
    return {"function": word} | {name: getattr(f, name) for name in single[2]}


def built_function(described: Any, arrays: Mapping[str, Any]) -> Function:
    """Return the function that is described, of these arrays and no others.

    Raises
    ------
    ValueError
        If the description is of no function, or the arrays are not its own.
    """
    word = described.get("function") if isinstance(described, dict) else None
    combine = _COMBINED.get(word) if isinstance(word, str) else None
    if combine is not None:
        parts = described.get("parts")
        if not isinstance(parts, list):
            raise ValueError(f"the parts of a {word} are not described; the file is damaged")
        own: list[dict[str, Any]] = [{} for _ in parts]
        for name, value in arrays.items():
            number, _, rest = name.partition(".")
            if number not in {str(k) for k in range(len(parts))}:
                raise ValueError(f"{name} is of no part of a {word}; the file is damaged")
            own[int(number)][rest] = value
        made = [built_function(part, a) for part, a in zip(parts, own, strict=True)]
        combined: Function = combine(made)
        return combined
    single = _SINGLE.get(word) if isinstance(word, str) else None
    if single is None:
        raise ValueError(f"the function is {word!r}, needed one of: {', '.join(_SINGLE)}")
    kind, names, settings = single
    told = {key: value for key, value in described.items() if key != "function"}
    if set(arrays) != set(names) or set(told) != set(settings):
        raise ValueError(
            f"a {word} is told by {sorted([*arrays, *told])}, needed {sorted([*names, *settings])}"
        )
    try:
        return kind(**arrays, **told)
    except (TypeError, OverflowError):
        raise ValueError(f"{told} do not make a {word}; the file is damaged") from None
