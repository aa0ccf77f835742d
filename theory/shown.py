r"""How results show themselves: one line, a table in a notebook, rows, and copies.

Main names: `shown`, `short`, `frame`, `packed`, `restore`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from enum import Enum
from html import escape
from types import FunctionType, MappingProxyType
from typing import Any, TypeVar

import numpy as np

from theory.errors import MissingExtraError

T = TypeVar("T")

#: Entries of an array that are written out, and letters of anything that is inside another thing.
_ENTRIES, _LETTERS = 4, 200

#: Under which a copy is told which of its mappings nobody can change.
_VIEWS = "mappings that are views"


def short(value: Any) -> str:
    """Return one line for a value: numbers exactly, large arrays by their shape."""
    if isinstance(value, np.ndarray):
        small = value.ndim <= 1 and value.size <= _ENTRIES
        return str(value.tolist()) if small else f"array{value.shape}"
    if isinstance(value, np.generic):
        return str(value.item())
    if isinstance(value, Mapping):
        return _listed([f"{key}: {short(item)}" for key, item in value.items()], "{}")
    if isinstance(value, (tuple, list)):
        return _listed([short(item) for item in value], "()")
    if isinstance(value, Enum):
        text = str(value.value)
    elif isinstance(value, FunctionType):
        text = value.__name__  # its own text has its address
    else:
        text = str(value) if _speaks(value) else repr(value)
    return text if len(text) <= _LETTERS else f"{type(value).__name__}(..)"


def _speaks(value: Any) -> bool:
    """Return whether a class of ours says in words what it is."""
    return "__str__" in vars(type(value)) and type(value).__module__.startswith("theory.")


def _listed(parts: list[str], brackets: str) -> str:
    text = ", ".join(parts)
    if len(parts) > _ENTRIES or len(text) > _LETTERS:
        text = f"{len(parts)} of them"
    return brackets[0] + text + brackets[1]


def _said(result: Any) -> dict[str, str]:
    """Return the fields of a result that say something, in one line each."""
    return {
        field.name: short(value)
        for field in fields(result)
        for value in (getattr(result, field.name),)
        if not _is_default(value, field)
    }


def _is_default(value: Any, field: Any) -> bool:
    if field.default is MISSING or isinstance(value, np.ndarray):
        return False
    return type(value) is type(field.default) and bool(value == field.default)


def _repr(self: Any) -> str:
    return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in _said(self).items())})"


def _repr_html(self: Any) -> str:
    """Return a table of the fields, for notebooks."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th>"
        f"<td style='text-align:left'>{escape(value)}</td></tr>"
        for name, value in _said(self).items()
    )
    own = "__str__" in vars(type(self))
    said = f": {escape(str(self))}" if own else ""
    return f"<table><caption><b>{type(self).__name__}</b>{said}</caption>{rows}</table>"


def packed(self: Any) -> dict[str, Any]:
    """Return the fields for a copy or a pickle; a mapping that nobody can change cannot be."""
    state = dict(vars(self))
    views = [name for name, value in state.items() if isinstance(value, MappingProxyType)]
    return {**state, **{name: dict(state[name]) for name in views}, _VIEWS: views}


def restore(self: Any, state: dict[str, Any]) -> None:
    """Fill in a copy; arrays, which lose this when they are copied, are read-only again."""
    views = state.pop(_VIEWS, ())
    for name, value in state.items():
        _freeze(value)
        object.__setattr__(self, name, MappingProxyType(value) if name in views else value)


def _freeze(value: Any) -> None:
    if isinstance(value, np.ndarray):
        value.flags.writeable = False
    elif isinstance(value, dict):
        for item in value.values():
            _freeze(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            _freeze(item)


def shown(kind: type[T]) -> type[T]:
    """Give a dataclass a short `repr`, a table for notebooks, and copies that are read-only too.

    A class that is declared with ``repr=False`` has written its own.
    """
    made: Any = kind
    if made.__dataclass_params__.repr:
        made.__repr__ = _repr
    made._repr_html_ = _repr_html
    made.__getstate__ = packed
    made.__setstate__ = restore
    return kind


def frame(columns: Mapping[str, Any], *, index: str | None = None) -> Any:
    """Return a pandas table of columns.

    Raises
    ------
    MissingExtraError
        If pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise MissingExtraError("pandas", "notebook", "a table for pandas") from None
    table = pd.DataFrame(dict(columns))
    return table if index is None else table.set_index(index)
