"""A recurrent descent and those of its k-step counterparts, from the same start.

Main names: `train_twins`, `Twins`, `prediction_gaps`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt

from theory.errors import DivergedError, check_count
from theory.learning.data import TrainingData
from theory.learning.descent import MODELS, Descent, projected_gradient_descent
from theory.learning.gradients import readout_of
from theory.learning.weights import Projection, WeightVector
from theory.maps.base import Map, check_map
from theory.maps.head import own_head
from theory.norms.norms import L2
from theory.progress import with_bar
from theory.shown import frame, shown
from theory.theorems.schedules import Schedule
from theory.truncation import truncate
from theory.typing import Array, Progress


@shown
@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Twins:
    """A recurrent descent and those of its k-step counterparts, from the same start."""

    recurrent: Descent
    truncated: Mapping[int, Descent]  # by k
    distances: Mapping[int, Array]  # |w_recurrent - w_truncated| after 0 .. N steps, by k
    gaps: Mapping[int, Array]  # largest |y_t - y_t^k| at `gap_steps`, by k
    gap_steps: npt.NDArray[np.int64]  # the steps at which predictions were compared

    def to_frame(self) -> Any:
        """Return a pandas table of the distances, one row a step and one column a k."""
        named = {f"k={k}": values for k, values in self.distances.items()}
        return frame(named)


@with_bar("training")
def train_twins(
    recurrent: Map,
    head: Any,
    data: TrainingData,
    *,
    k: int | Sequence[int],
    steps: int,
    alpha: float,
    schedule: Schedule = "1/t",
    projection: Projection | None = None,
    model: str = "truncated",
    trained: Sequence[str] | None = None,
    train_head: bool = False,
    gap_every: int = 1,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Twins:
    r"""Train a recurrent model and its k-step counterparts from the same start.

    Parameters
    ----------
    recurrent, head, data, steps, alpha, schedule, projection, trained, train_head
        As for `projected_gradient_descent`, the same for all.
    k : int or sequence of int
        The truncation lengths.
    model : str
        ``truncated`` or ``truncated_backprop``: what the others are.
    gap_every : int
        Predictions are compared after 0, gap_every, 2 gap_every, ... steps.
    checkpoint : path, optional
        A folder; it receives one file a descent.
    resume : bool
        Whether to go on from the files there.
    progress : callable, optional
        Called with (steps made, steps in all), over all descents together.

    Returns
    -------
    Twins
        Distances and gaps end where the first of a pair diverged.

    Raises
    ------
    ValueError
        As `projected_gradient_descent`.

    Examples
    --------
    >>> from theory import LinearMap, LinearHead
    >>> from theory.learning import training_data
    >>> data = training_data([[4.0], [1.0]], [[0.0], [0.0]], at="last")
    >>> twins = train_twins(
    ...     LinearMap([[0.5]], [[1.0]]), LinearHead([[1.0]]), data, k=1, steps=1, alpha=0.25,
    ...     trained=("W",),
    ... )
    >>> twins.distances[1].tolist(), twins.gaps[1].tolist()
    ([0.0, 3.0], [2.0, 10.0])
    """
    check_map(recurrent)
    lengths = list(k) if isinstance(k, Sequence) else [k]
    check_count(at_least=1, gap_every=gap_every)
    for length in lengths:
        check_count(k=length)
    if model not in MODELS[1:]:
        raise ValueError(f"model={model!r}, needed one of: {', '.join(MODELS[1:])}")
    folder = None if checkpoint is None else Path(checkpoint)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    total = (1 + len(lengths)) * steps

    def descend(index: int, kind: str, length: int | None) -> Descent:
        def count(made: int, _: int) -> None:
            if progress is not None:
                progress(index * steps + made, total)

        name = "recurrent.npz" if length is None else f"{kind}_{length}.npz"
        return projected_gradient_descent(
            recurrent, head, data, steps=steps, alpha=alpha, schedule=schedule,
            projection=projection, model=kind, k=length, trained=trained, train_head=train_head,
            checkpoint=None if folder is None else folder / name, resume=resume, progress=count,
        )  # fmt: skip

    base = descend(0, "recurrent", None)
    others = {int(q): descend(i + 1, model, int(q)) for i, q in enumerate(lengths)}
    distances, gaps = {}, {}
    state = WeightVector(recurrent, own_head(recurrent, head), base.trained, train_head)
    for q, other in others.items():
        both = min(len(base.weights), len(other.weights))
        distances[q] = np.asarray(L2().vector(base.weights[:both] - other.weights[:both]))
        gaps[q] = np.array(
            [
                _gap_of(state, base.weights[i], other.weights[i], data, q)
                for i in range(0, both, gap_every)
            ]
        )
    return Twins(
        recurrent=base,
        truncated=others,
        distances=distances,
        gaps=gaps,
        gap_steps=np.arange(0, steps + 1, gap_every),
    )


def _gap_of(state: WeightVector, w: Array, v: Array, data: TrainingData, k: int) -> float:
    (one, head), (other, other_head) = state.unpack(w), state.unpack(v)
    try:
        return float(np.max(prediction_gaps(one, head, other, other_head, X=data.inputs, k=k)))
    except DivergedError:
        return math.inf


def prediction_gaps(
    recurrent: Map, head: Any, other: Map, other_head: Any, *, X: Any, k: int
) -> Array:
    r"""Return |y_t - y_t^k| of a recurrent model and the k-step model of other weights.

    Parameters
    ----------
    recurrent, head : Map and its output, see `theory.maps.as_head`
        The recurrent model.
    other, other_head : Map and its output
        The one that starts from zero k steps back.
    X : (T, m) or (batch, T, m) array
    k : int

    Returns
    -------
    (T,) or (batch, T) array
        In the Euclidean norm.

    Raises
    ------
    ValueError
        If a model is no map, a shape does not fit, or k is not a count.
    """
    check_map(recurrent)
    check_map(other)
    head, other_head = own_head(recurrent, head), own_head(other, other_head)
    long = head(recurrent.simulate(X) @ readout_of(recurrent, head).T)
    short = other_head(truncate(other, k).states(X) @ readout_of(other, other_head).T)
    return np.asarray(L2().vector(long - short))
