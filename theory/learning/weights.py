"""A map and a head as one vector of weights, and back.

Main names: `with_weights`, `Projection`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import final

import numpy as np

from theory.learning.gradients import Gradient
from theory.maps.base import Map
from theory.maps.head import LinearHead
from theory.typing import Array

#: A projection: from a map to the nearest one of a set, of the same kind and shape.
Projection = Callable[[Map], Map]


def with_weights(model: Map, w: Array, *, trained: Sequence[str]) -> Map:
    """Return the map whose trained parameters are those of w, one after another."""
    changed, at = {}, 0
    for name in trained:
        old = model.parameters[name]
        changed[name] = w[at : at + old.size].reshape(old.shape)
        at += old.size
    return model.with_parameters(**changed)


@final
class WeightVector:
    """A map and a head as one vector w, and back."""

    def __init__(
        self, model: Map, head: LinearHead, trained: tuple[str, ...], train_head: bool
    ) -> None:
        self.model, self.head = model, head
        self.trained, self.train_head = trained, train_head

    def pack(self, model: Map, head: LinearHead) -> Array:
        """Return the vector of a map and a head."""
        parts = [model.parameters[name].ravel() for name in self.trained]
        if self.train_head:
            parts += [head.C.ravel(), head.d]
        return np.concatenate(parts)

    def unpack(self, w: Array) -> tuple[Map, LinearHead]:
        """Return the map and the head of a vector."""
        head = self.head
        if self.train_head:
            p, n = head.C.shape
            w, last = w[: -p * (n + 1)], w[-p * (n + 1) :]
            head = LinearHead(last[: p * n].reshape(p, n), last[p * n :])
        return with_weights(self.model, w, trained=self.trained), head

    def flat(self, gradient: Gradient) -> Array:
        """Return a gradient as one vector."""
        found = gradient.vector(self.trained)
        if self.train_head:
            found = np.concatenate([found, gradient.head["C"].ravel(), gradient.head["d"]])
        return found

    def projected(self, model: Map, projection: Projection | None) -> Map:
        """Return the projection of a map, checked to fit it."""
        if projection is None:
            return model
        made = projection(model)
        shapes = {name: value.shape for name, value in model.parameters.items()}
        found = {}
        if isinstance(made, Map):
            found = {name: value.shape for name, value in made.parameters.items()}
        if found != shapes or type(made) is not type(model):
            raise ValueError(
                f"the projection does not fit the map: received {made!r}, needed a map with the "
                f"parameters {shapes}, as {model!r} has"
            )
        for name, value in made.parameters.items():
            if name not in self.trained and not np.array_equal(value, model.parameters[name]):
                raise ValueError(
                    f"the projection changes {name}, which is not trained; train it too, or take a "
                    "projection that leaves it alone"
                )
        return made
