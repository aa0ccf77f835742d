"""What a model is trained on: inputs, targets, and how the losses of single times add up.

Main names: `TrainingData`, `training_data`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from theory.errors import as_array, as_sequences, check_count
from theory.learning.losses import Loss, look_up
from theory.shown import shown
from theory.typing import Array


@shown
@final
@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingData:
    """Inputs, targets, and how the losses of single times add up; made by `training_data`."""

    inputs: Array  # x, (batch, T, m)
    targets: Array  # (batch, T, p), or labels (batch, T)
    loss: Loss
    weights: Array  # the loss is sum weights * loss_t, (batch, T)


def training_data(
    inputs: Any,
    targets: Any,
    *,
    loss: str | Loss = "squared",
    width: int | None = None,
    at: str = "every",
    weights: Any = None,
) -> TrainingData:
    r"""Return checked training data.

    Parameters
    ----------
    inputs : (T, m) or (batch, T, m) array
    targets : (T, p) or (batch, T, p) array; (T,) or (batch, T) labels for the cross entropy
        What the output after each input is compared with.
    loss : str or Loss
        ``squared``, ``cross_entropy`` (softmax), ``bernoulli`` (logistic) or ``linear``.
    width : int, optional
        p, the number of outputs; needed for labels, where the targets do not show it.
    at : str
        ``every``: the mean over all times and sequences; ``last``: the mean over sequences of the
        loss after the last input.
    weights : (T,) or (batch, T) array, optional
        Instead of `at`: the loss is sum weights * loss_t.  Zeros leave out the padding of short
        sequences.

    Returns
    -------
    TrainingData

    Raises
    ------
    ValueError
        If a shape does not fit, a label or a target is out of its range, or there is no input.

    Examples
    --------
    >>> training_data([[1.0], [0.0]], [[1.0], [0.5]], at="last").weights.tolist()
    [[0.0, 1.0]]
    """
    chosen = look_up(loss)
    raw = as_array("inputs", inputs, ndim=(2, 3))
    X = as_sequences("inputs", raw if raw.ndim == 3 else raw[None], width=raw.shape[-1])
    batch, T = X.shape[:2]
    if batch == 0 or T == 0 or X.shape[2] == 0:
        raise ValueError(f"inputs has shape {raw.shape}, needed at least one input to learn from")
    goal = as_array("targets", targets)
    goal = goal[None] if raw.ndim == 2 else goal
    if width is None:
        if chosen.name == "cross_entropy":
            raise ValueError("width=None, needed the number of outputs for labels")
        width = goal.shape[-1] if goal.ndim == 3 else 1
    check_count(at_least=1, width=width)
    goal = chosen.targets(goal, (batch, T), int(width))
    if weights is not None:
        share = as_array("weights", weights, ndim=(1, 2))
        if share.shape not in {(T,), (batch, T)}:
            raise ValueError(f"weights has shape {share.shape}, needed ({T},) or ({batch}, {T})")
        share = np.broadcast_to(share, (batch, T)).copy()
    elif at == "every":
        share = np.full((batch, T), 1.0 / (batch * T))
    elif at == "last":
        share = np.zeros((batch, T))
        share[:, -1] = 1.0 / batch
    else:
        raise ValueError(f"at={at!r}, needed 'every' or 'last', or weights of your own")
    for array in (X, goal, share):
        array.flags.writeable = False
    return TrainingData(inputs=X, targets=goal, loss=chosen, weights=share)
