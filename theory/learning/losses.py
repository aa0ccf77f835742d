r"""Losses of an output y = C h + d, as values with the constants that the theorems need.

Main names: `SquaredLoss`, `CrossEntropy`, `BernoulliLoss`, `LinearLoss`, all of them a `Loss`;
`look_up`.

`CrossEntropy` puts a softmax on the outputs and `BernoulliLoss` a logistic function on each of
them: their outputs are logits.  All lengths here are Euclidean.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, final

import numpy as np

from theory.arithmetic.intervals import complement
from theory.arithmetic.rounding import product_up, sqrt_up, up
from theory.errors import as_array
from theory.norms.norms import L2
from theory.typing import Array


class Loss(ABC):
    """A function of an output (p,) and a target, and its gradient in the output."""

    #: How `theory.learning.training_data` names it.
    name: str

    #: An upper bound of the second derivative in the output, as a spectral norm.
    curvature: float

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    @abstractmethod
    def targets(self, value: Any, leading: tuple[int, ...], width: int) -> Array:
        """Return checked targets for outputs of shape (*leading, width).

        Raises
        ------
        ValueError
            If the shape does not fit, or a target is out of its range.
        """

    @abstractmethod
    def value(self, Y: Array, targets: Array) -> Array:
        """Return the loss of outputs (..., p): (...,)."""

    @abstractmethod
    def gradient(self, Y: Array, targets: Array) -> Array:
        """Return the derivatives of the loss in the outputs, (..., p)."""

    @abstractmethod
    def gain(self, targets: Array, reach: float) -> float:
        """Return an upper bound of the gradient's length over outputs of length up to `reach`."""


def _dense(name: str, value: Any, leading: tuple[int, ...], width: int) -> Array:
    targets = as_array("targets", value)
    if targets.shape != (*leading, width):
        raise ValueError(
            f"targets has shape {targets.shape}, needed {(*leading, width)} for the {name} loss: "
            "one row of outputs a time"
        )
    return targets


def _longest(rows: Array) -> float:
    """Return an upper bound of the length of the rows of (..., p)."""
    return float(np.max(L2().vector_upper(rows), initial=0.0))


@final
class SquaredLoss(Loss):
    """The loss |y - target|**2 / 2; targets are (..., p)."""

    name = "squared"
    curvature = 1.0

    def targets(self, value: Any, leading: tuple[int, ...], width: int) -> Array:
        """Return real targets of the outputs' shape."""
        return _dense(self.name, value, leading, width)

    def value(self, Y: Array, targets: Array) -> Array:
        """Return |y - target|**2 / 2."""
        return np.asarray(0.5 * np.sum(np.square(Y - targets), axis=-1))

    def gradient(self, Y: Array, targets: Array) -> Array:
        """Return y - target."""
        return np.asarray(Y - targets)

    def gain(self, targets: Array, reach: float) -> float:
        """Return reach + max |target|."""
        return up(reach + _longest(targets))


@final
class CrossEntropy(Loss):
    """The loss -log softmax(y)[target]; targets are labels 0 .. p - 1, (...,)."""

    name = "cross_entropy"
    # diag(s) - s s^T for a distribution s: a quadratic form is a variance of numbers of length 1,
    # hence at most ((1 / sqrt 2) - (-1 / sqrt 2))**2 / 4 = 1/2 (Popoviciu)
    curvature = 0.5

    def targets(self, value: Any, leading: tuple[int, ...], width: int) -> Array:
        """Return labels as an array of whole numbers."""
        labels = as_array("targets", value)
        if labels.shape != leading:
            raise ValueError(
                f"targets has shape {labels.shape}, needed {leading} for the cross_entropy loss: "
                "one label a time"
            )
        wrong = ~((labels == np.floor(labels)) & (labels >= 0) & (labels < width))
        if wrong.any():
            where = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise ValueError(
                f"targets holds the label {labels[where]:g} at index {where}, needed whole numbers "
                f"0 .. {width - 1}: the head has {width} outputs"
            )
        return labels

    def value(self, Y: Array, targets: Array) -> Array:
        """Return log(sum exp y) - y[target]."""
        top = np.max(Y, axis=-1, keepdims=True)
        log_sum = np.log(np.sum(np.exp(Y - top), axis=-1)) + top[..., 0]
        chosen = np.take_along_axis(Y, targets.astype(np.intp)[..., None], axis=-1)[..., 0]
        return np.asarray(log_sum - chosen)

    def gradient(self, Y: Array, targets: Array) -> Array:
        """Return softmax(y) - e_target."""
        z = np.exp(Y - np.max(Y, axis=-1, keepdims=True))
        z /= np.sum(z, axis=-1, keepdims=True)
        index = targets.astype(np.intp)[..., None]
        np.put_along_axis(z, index, np.take_along_axis(z, index, axis=-1) - 1.0, axis=-1)
        return np.asarray(z)

    def gain(self, targets: Array, reach: float) -> float:
        """Return sqrt(2): (1 - s)**2 + the squares of numbers of sum 1 - s."""
        del targets, reach
        return sqrt_up(2.0)


@final
class BernoulliLoss(Loss):
    """The loss sum log(1 + exp y) - target y; targets are (..., p) with entries in [0, 1]."""

    name = "bernoulli"
    curvature = 0.25

    def targets(self, value: Any, leading: tuple[int, ...], width: int) -> Array:
        """Return probabilities of the outputs' shape."""
        targets = _dense(self.name, value, leading, width)
        wrong = ~((targets >= 0) & (targets <= 1))
        if wrong.any():
            where = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise ValueError(
                f"targets holds {targets[where]:g} at index {where}, needed probabilities in "
                "[0, 1] for the bernoulli loss"
            )
        return targets

    def value(self, Y: Array, targets: Array) -> Array:
        """Return sum log(1 + exp y) - target y."""
        softplus = np.maximum(Y, 0.0) + np.log1p(np.exp(-np.abs(Y)))
        return np.asarray(np.sum(softplus - targets * Y, axis=-1))

    def gradient(self, Y: Array, targets: Array) -> Array:
        """Return sigma(y) - target."""
        z = np.exp(-np.abs(Y))
        return np.asarray(np.where(Y >= 0, 1.0, z) / (1.0 + z) - targets)

    def gain(self, targets: Array, reach: float) -> float:
        """Return the length of max(target, 1 - target), at most sqrt(p)."""
        del reach
        return _longest(np.maximum(targets, complement(targets)[1]))


@final
class LinearLoss(Loss):
    """The loss target . y, of which the bounds are sharp; targets are (..., p)."""

    name = "linear"
    curvature = 0.0

    def targets(self, value: Any, leading: tuple[int, ...], width: int) -> Array:
        """Return real directions of the outputs' shape."""
        return _dense(self.name, value, leading, width)

    def value(self, Y: Array, targets: Array) -> Array:
        """Return target . y."""
        return np.asarray(np.sum(Y * targets, axis=-1))

    def gradient(self, Y: Array, targets: Array) -> Array:
        """Return the target."""
        return np.broadcast_to(targets, Y.shape).copy()

    def gain(self, targets: Array, reach: float) -> float:
        """Return max |target|."""
        del reach
        return _longest(targets)


LOSSES: dict[str, Loss] = {
    loss.name: loss for loss in (SquaredLoss(), CrossEntropy(), BernoulliLoss(), LinearLoss())
}


def look_up(loss: str | Loss) -> Loss:
    """Return a loss by its name.

    Raises
    ------
    ValueError
        If the name is not known; the message lists those that are.
    """
    if isinstance(loss, Loss):
        return loss
    if loss not in LOSSES:
        raise ValueError(f"loss {loss!r} is not known, needed one of: {', '.join(LOSSES)}")
    return LOSSES[loss]


def head_gain(C: Array, norm: Any) -> float:
    """Return an upper bound of |C h|_2 / ||h||."""
    return float(L2().matrix_upper(C, norm))


def loss_constants(
    loss: Loss, C: Array, d: Array, targets: Array, norm: Any, state_bound: float
) -> tuple[float, float]:
    r"""Return L_p and beta_p of p(h) = loss(C h + d), over ||h|| <= state_bound.

    grad p = C^T g and its differences, in the dual norm: |C^T g|_* <= ||C|| |g|_2, where ||C|| goes
    from the norm of the state to the Euclidean one; likewise beta_p <= ||C||**2 curvature.
    """
    size = head_gain(C, norm)
    reach = up(product_up(size, state_bound) + _longest(d[None]))
    slope = loss.gain(targets, reach)
    return product_up(size, slope), product_up(product_up(size, size), loss.curvature)
