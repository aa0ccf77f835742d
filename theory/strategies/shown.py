"""Maps in failing examples, as code that can be pasted.

Main names: `noted`, `as_code`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, TypeVar, final

import numpy as np
from hypothesis import currently_in_test_context, note

from theory.arithmetic.activations import Activation
from theory.maps.base import Map
from theory.maps.cascade import Cascade
from theory.maps.functions import Function

M = TypeVar("M", bound=Map)


@final
class _Code:
    """What is only written out where a failing example is reported."""

    def __init__(self, recurrent: Map) -> None:
        self.recurrent = recurrent

    def __repr__(self) -> str:
        return f"drawn: {as_code(self.recurrent)}"


def noted(recurrent: M) -> M:
    """Return a map that was drawn; a failing example reports it with its weights."""
    if currently_in_test_context():
        note(_Code(recurrent))
    return recurrent


def as_code(recurrent: Map) -> str:
    """Return the call that makes a map again, every number exactly; arrays as lists."""
    if isinstance(recurrent, Cascade):
        layers = ", ".join(map(as_code, recurrent.layers))
        given = [
            f"LinearHead({one.C.tolist()}, {one.d.tolist()})" if one.given else "None"
            for one in recurrent.readouts
        ]
        return f"Cascade([{layers}], [{', '.join(given)}])"
    return _call(recurrent, recurrent.parameters)


def _call(made: Any, arrays: Mapping[str, Any]) -> str:
    words = []
    for name in inspect.signature(type(made)).parameters:
        value = arrays.get(name, getattr(made, name, None))
        if value is not None:
            words.append(f"{name}={_literal(value)}")
    return f"{type(made).__name__}({', '.join(words)})"


def _literal(value: Any) -> str:
    """Return the code of an argument."""
    if isinstance(value, Map):
        return as_code(value)
    if isinstance(value, Function):
        return _call(value, {})
    if isinstance(value, tuple) and any(isinstance(one, Function) for one in value):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, np.ndarray):
        return repr(value.tolist())
    return repr(value.name if isinstance(value, Activation) else value)
