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
from theory.measure.gaps import truncation_gaps

M = TypeVar("M", bound=Map)


@final
class _Code:
    """What is only written out where a failing example is reported."""

    def __init__(self, recurrent: Map) -> None:
        self.recurrent = recurrent

    def __repr__(self) -> str:
        return f"drawn: {as_code(self.recurrent)}"


#: What was run once, by the classes of the layers.
_RUN: set[tuple[type, ...]] = set()


def _compile(recurrent: Map) -> None:
    """Run a map for two steps, the first time that one of its class is drawn.

    Kernels are compiled, or read from the disk, at their first call; Hypothesis counts no time
    while it draws, so that no example is charged for it and its default deadline can stand.
    """
    layers = recurrent.layers if isinstance(recurrent, Cascade) else ()
    kinds = (type(recurrent), *map(type, layers))
    if kinds not in _RUN:
        _RUN.add(kinds)
        truncation_gaps(recurrent, np.zeros((2, recurrent.input_dim)), k_max=1)


def noted(recurrent: M) -> M:
    """Return a map that was drawn; a failing example reports it with its weights."""
    _compile(recurrent)
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
