r"""Projected gradient descent on a recurrent model and on its k-step counterpart.

Main names: `projected_gradient_descent`, `Descent`, `Divergence`.

Nothing here is random: the same arguments give the same weights to the last bit, also after an
interruption and a resumption.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from theory.errors import DivergedError, check_count
from theory.learning.checkpoint import (
    Checkpoint,
    fingerprint,
    read_checkpoint,
    write_checkpoint,
)
from theory.learning.constants.values import trained_names
from theory.learning.data import TrainingData
from theory.learning.gradients import (
    Gradient,
    recurrent_gradient,
    truncated_backprop_gradient,
    truncated_gradient,
)
from theory.learning.weights import Projection, WeightVector
from theory.maps.base import Map, check_map
from theory.maps.head import LinearHead, own_head
from theory.norms.norms import L2
from theory.progress import with_bar
from theory.shown import frame, shown
from theory.theorems.schedules import Schedule, step_sizes
from theory.threads import few_threads
from theory.typing import Array, Progress

MODELS = ("recurrent", "truncated", "truncated_backprop")

#: Weights longer than this have left every set that a gradient is of use in; their squares would
#: soon overflow.
LONGEST_WEIGHTS = 1e100


@shown
@final
@dataclass(frozen=True, kw_only=True)
class Divergence:
    """Where a descent had to stop."""

    step: int  # the step that could not be made, from 1
    norm: float  # the length of the last weights that are finite
    reason: str

    def __str__(self) -> str:
        return f"diverged at step {self.step}, weights of length {self.norm:.3g}: {self.reason}"


@shown
@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Descent:
    """A finished, or diverged, descent: everything up to where it ended."""

    model: Map  # the map at the end
    head: LinearHead  # the head at the end
    weights: Array  # w after 0 .. N steps, (N + 1, size)
    losses: Array  # the loss there, (N + 1,)
    gradient_norms: Array  # length of the gradient at the first N of them, (N,)
    sizes: Array  # alpha_1 .. alpha_N, (N,)
    trained: tuple[str, ...]  # which parameters w consists of
    diverged: Divergence | None = None  # None if all steps were made

    @property
    def steps(self) -> int:
        """Return N, the number of steps made."""
        return len(self.weights) - 1

    def to_frame(self) -> Any:
        """Return a pandas table of losses, gradients and step sizes; extra: notebook."""

        def padded(values: Array) -> Array:
            return np.append(values, np.full(self.steps + 1 - len(values), np.nan))

        columns = {"gradient": padded(self.gradient_norms), "size": padded(self.sizes)}
        return frame({"step": range(self.steps + 1), "loss": self.losses, **columns}, index="step")


@with_bar("training")
def projected_gradient_descent(
    recurrent: Map,
    head: Any,
    data: TrainingData,
    *,
    steps: int,
    alpha: float,
    schedule: Schedule = "1/t",
    projection: Projection | None = None,
    model: str = "recurrent",
    k: int | None = None,
    trained: Sequence[str] | None = None,
    train_head: bool = False,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    save_every: int = 50,
    progress: Progress | None = None,
) -> Descent:
    r"""Make w <- Pi(w - alpha_i grad loss(w)), i = 1 .. N.

    Parameters
    ----------
    recurrent : Map
        Where it starts; projected first, if there is a projection.
    head : LinearHead, array, or output layer
        See `theory.maps.as_head`.
    data : TrainingData
        See `theory.learning.training_data`.
    steps : int
        N.
    alpha : float
        The first step size.
    schedule : str or callable
        See `step_sizes`; ``1/t`` is the one of the theorems.
    projection : callable, optional
        From a map to a map.  `weight_gap` needs the Euclidean projection onto a convex set.
    model : str
        Whose gradient: ``recurrent``, ``truncated`` (the k-step model, from zero at each time) or
        ``truncated_backprop`` (the state carried over, derivatives cut after k steps).
    k : int, optional
        The truncation length of the latter two.
    trained : sequence of str, optional
        The parameters of the map that are trained, all of them by default.
    train_head : bool
        Whether C and d of the head are trained too; the theorems about training are without.
    checkpoint : path, optional
        An .npz file that receives everything so far, written atomically: every `save_every` steps,
        at the end, at a divergence, and when interrupted.
    resume : bool
        Whether to go on from that file if it is there.
    save_every : int
    progress : callable, optional
        Called with (steps made, steps in all); see `progress_bar`.

    Returns
    -------
    Descent
        With ``diverged`` set if the weights or the gradient left the range of double precision.

    Raises
    ------
    ValueError
        If an argument is malformed, shapes do not fit together, the projection does not fit the
        map, or the checkpoint belongs to another descent.

    Examples
    --------
    >>> from theory import LinearMap, LinearHead
    >>> from theory.learning import training_data
    >>> data = training_data([[1.0]], [[1.0]])
    >>> done = projected_gradient_descent(
    ...     LinearMap([[0.5]], [[0.0]]), LinearHead([[1.0]]), data, steps=2, alpha=0.5,
    ...     trained=("b",),
    ... )
    >>> done.weights.ravel().tolist(), done.losses.tolist()
    ([0.0, 0.5, 0.625], [0.5, 0.125, 0.0703125])
    """
    # one thread: sums are then rounded the same way every time
    with few_threads():
        return _descend(
            _Runner(
                recurrent, own_head(recurrent, head), data, steps, alpha, schedule, projection,
                model, k, trained, train_head,
            ),
            checkpoint, resume, save_every, progress,
        )  # fmt: skip


def _descend(
    runner: _Runner,
    checkpoint: str | Path | None,
    resume: bool,
    save_every: int,
    progress: Progress | None,
) -> Descent:
    """Make the steps that are left, and save on the way."""
    check_count(at_least=1, save_every=save_every)
    file = None if checkpoint is None else Path(checkpoint)
    if resume:
        if file is None:
            raise ValueError("resume=True needs checkpoint=, the file to go on from")
        if file.exists():
            runner.load(file)
    try:
        while runner.step():
            if file is not None and runner.made % save_every == 0:
                runner.save(file)
            if progress is not None:
                progress(runner.made, len(runner.sizes))
    finally:
        if file is not None:
            runner.save(file)
    return runner.result()


@final
class _Runner:
    """The state of one descent between its steps."""

    def __init__(
        self,
        recurrent: Map,
        head: LinearHead,
        data: TrainingData,
        steps: int,
        alpha: float,
        schedule: Schedule,
        projection: Projection | None,
        model: str,
        k: int | None,
        trained: Sequence[str] | None,
        train_head: bool,
    ) -> None:
        check_map(recurrent)
        if model not in MODELS:
            raise ValueError(f"model={model!r}, needed one of: {', '.join(MODELS)}")
        if model != "recurrent":
            if k is None:
                raise ValueError(f"k=None, needed a truncation length for model={model!r}")
            check_count(at_least=1 if model == "truncated_backprop" else 0, k=k)
        self.sizes = step_sizes(alpha, schedule, steps=steps)
        self.state = WeightVector(recurrent, head, trained_names(recurrent, trained), train_head)
        self.data, self.projection, self.kind, self.k = data, projection, model, k
        self.map = self.state.projected(recurrent, projection)
        self.head = head
        self.weights = [self.state.pack(self.map, head)]
        self.losses: list[float] = []
        self.norms: list[float] = []
        self.diverged: Divergence | None = None
        self.ended = False
        # malformed data raises here, before the first step
        self.upcoming = self._gradient()
        self.losses.append(self.upcoming.loss if self.upcoming else math.nan)

    @property
    def made(self) -> int:
        """Return how many steps have been made."""
        return len(self.weights) - 1

    def _gradient(self) -> Gradient | None:
        """Return the gradient at the present weights; None, and a verdict, if there is none."""
        try:
            if self.kind == "recurrent":
                return recurrent_gradient(self.map, self.head, self.data)
            assert self.k is not None
            if self.kind == "truncated":
                return truncated_gradient(self.map, self.head, self.data, k=self.k)
            return truncated_backprop_gradient(self.map, self.head, self.data, k=self.k)
        except DivergedError as error:
            self._stop(str(error))
            return None

    def _stop(self, reason: str) -> None:
        norm = float(L2().vector(self.weights[-1]))
        self.diverged = Divergence(step=self.made + 1, norm=norm, reason=reason)

    def step(self) -> bool:
        """Make a step; return whether one was made."""
        if self.made >= len(self.sizes) or self.diverged is not None or self.upcoming is None:
            return False
        g = self.state.flat(self.upcoming)
        norm = float(L2().vector(g))
        with np.errstate(over="ignore", invalid="ignore"):
            w = self.weights[-1] - self.sizes[self.made] * g
            length = float(L2().vector(w)) if np.isfinite(w).all() else math.inf
        if not length < LONGEST_WEIGHTS:
            self._stop(
                f"a step of length {self.sizes[self.made] * norm:.3g} leads to weights of length "
                f"{length:.3g}; project onto stable maps, or take a smaller alpha"
            )
            return False
        model, head = self.state.unpack(w)
        self.map, self.head = self.state.projected(model, self.projection), head
        self.norms.append(norm)
        self.weights.append(self.state.pack(self.map, head))
        self.upcoming = self._gradient()
        self.losses.append(self.upcoming.loss if self.upcoming else math.nan)
        return True

    def result(self) -> Descent:
        """Return what has been done."""
        arrays = [np.array(self.weights), np.array(self.losses), np.array(self.norms)]
        for array in arrays:
            array.flags.writeable = False
        return Descent(
            model=self.map,
            head=self.head,
            weights=arrays[0],
            losses=arrays[1],
            gradient_norms=arrays[2],
            sizes=self.sizes,
            trained=self.state.trained,
            diverged=self.diverged,
        )

    # files ----------------------------------------------------------------------------------------

    def _fingerprint(self) -> str:
        plain = (self.kind, self.k)
        return fingerprint(plain, self.state, self.data, self.sizes, self.weights[0])

    def save(self, path: Path) -> None:
        """Write everything so far to a file."""
        # an interruption may have come between two of the lists
        whole = min(len(self.weights), len(self.losses))
        done = Checkpoint(
            fingerprint=self._fingerprint(),
            weights=np.array(self.weights[:whole]),
            losses=np.array(self.losses[:whole]),
            gradient_norms=np.array(self.norms[: whole - 1]),
            diverged="" if self.diverged is None else self.diverged.reason,
        )
        write_checkpoint(path, done)

    def load(self, path: Path) -> None:
        """Take over what a file holds; `ValueError` where it is of another descent."""
        width, most = len(self.weights[0]), len(self.sizes)
        done = read_checkpoint(path, self._fingerprint(), width=width, most=most)
        self.weights = [row.copy() for row in done.weights]
        self.losses = done.losses.tolist()
        self.norms = done.gradient_norms.tolist()
        self.map, self.head = self.state.unpack(self.weights[-1])
        self.upcoming = self._gradient()
        if done.diverged and self.diverged is None:
            self._stop(done.diverged)
