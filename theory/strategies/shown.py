"""Maps in failing examples, as code that can be pasted.

Main names: `noted`, `as_code`.
"""

from __future__ import annotations

import inspect
from typing import Any, TypeVar, final

import numpy as np
from hypothesis import currently_in_test_context, note

from theory.arithmetic.activations import Activation
from theory.maps.base import Map
from theory.maps.cascade import Cascade

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
    words = []
    for name in inspect.signature(type(recurrent)).parameters:
        value: Any = recurrent.parameters.get(name, getattr(recurrent, name, None))
        if isinstance(value, np.ndarray):
            value = value.tolist()
        elif isinstance(value, Activation):
            value = value.name
        if value is not None:
            words.append(f"{name}={value!r}")
    return f"{type(recurrent).__name__}({', '.join(words)})"
