"""What an experiment learns from: a loss, targets, a second parameter vector, and a schedule.

Main names: `Training`, `training_setup`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from theory.errors import check_count
from theory.learning.constants.values import trained_names
from theory.learning.losses import Loss, look_up
from theory.learning.weights import Projection
from theory.maps.base import Map, check_map
from theory.shown import shown
from theory.theorems.schedules import Schedule, step_sizes
from theory.typing import Array


@shown
@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Training:
    """What an experiment learns from; made by `training_setup`."""

    loss: Loss
    targets: Array  # (T, p), or labels (T,)
    other: Map  # a second parameter vector
    trained: tuple[str, ...]  # the parameters that w consists of
    steps: int  # N
    alpha: float  # the first step size
    schedule: Schedule
    projection: Projection | None  # exact: it only copies or clips numbers


def training_setup(
    recurrent: Map,
    targets: Any,
    *,
    loss: str | Loss = "squared",
    other: Map | None = None,
    trained: Sequence[str] | None = None,
    steps: int = 0,
    alpha: float = 1.0,
    schedule: Schedule = "1/t",
    projection: Projection | None = None,
) -> Training:
    r"""Return what `theory.experiment` needs for the theorems about gradients and training.

    Parameters
    ----------
    recurrent : Map
        The map of the experiment.
    targets : (T, p) array, or (T,) labels
        One for the output after each input.
    loss : str or Loss
    other : Map, optional
        A second parameter vector, of a map of the same kind; the same by default.
    trained : sequence of str, optional
        The parameters that are trained, all by default.
    steps, alpha, schedule
        Of the descents that are compared, see `theory.theorems.schedules.step_sizes`.
    projection : callable, optional
        Applied after each step.  It must be exact, as clipping entries is: its own rounding is not
        in the budgets.

    Returns
    -------
    Training

    Raises
    ------
    ValueError
        If a number is malformed; shapes are checked when the gradients are first asked for.
    """
    check_map(recurrent)
    if other is not None:
        check_map(other)
    check_count(steps=steps)
    step_sizes(alpha, schedule, steps=steps)
    return Training(
        loss=look_up(loss),
        targets=np.asarray(targets, dtype=np.float64),
        other=recurrent if other is None else other,
        trained=trained_names(recurrent, trained),
        steps=int(steps),
        alpha=float(alpha),
        schedule=schedule,
        projection=projection,
    )
