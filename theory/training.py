r"""Projected gradient descent on a recurrent model and on its k-step counterpart.

Main names: `projected_gradient_descent`, `train_twins`, `Descent`, `Twins`, `Divergence`,
`prediction_gaps`, `step_sizes`, `progress_bar`.

Nothing here is random: the same arguments give the same weights to the last bit, also after an
interruption and a resumption.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt

from theory.constants import trained_names
from theory.errors import DivergedError, as_array, check_count, check_positive
from theory.files import replacing
from theory.gradients import (
    Gradient,
    TrainingData,
    readout_of,
    recurrent_gradient,
    truncated_backprop_gradient,
    truncated_gradient,
)
from theory.maps.base import Map
from theory.norms import L2
from theory.threads import few_threads
from theory.truncation import LinearHead, truncate
from theory.typing import Array

#: A projection: from a map to the nearest one of a set, of the same kind and shape.
Projection = Callable[[Map], Map]
Schedule = str | Callable[[int], float]
Progress = Callable[[int, int], None]

MODELS = ("recurrent", "truncated", "truncated_backprop")

#: Weights longer than this have left every set that a gradient is of use in; their squares would
#: soon overflow.
LONGEST_WEIGHTS = 1e100


@final
@dataclass(frozen=True, kw_only=True)
class Divergence:
    """Where a descent had to stop."""

    step: int  # the step that could not be made, from 1
    norm: float  # the length of the last weights that are finite
    reason: str

    def __str__(self) -> str:
        return f"diverged at step {self.step}, weights of length {self.norm:.3g}: {self.reason}"


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


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Twins:
    """A recurrent descent and those of its k-step counterparts, from the same start."""

    recurrent: Descent
    truncated: Mapping[int, Descent]  # by k
    distances: Mapping[int, Array]  # |w_recurrent - w_truncated| after 0 .. N steps, by k
    gaps: Mapping[int, Array]  # largest |y_t - y_t^k| at `gap_steps`, by k
    gap_steps: npt.NDArray[np.int64]  # the steps at which predictions were compared


def step_sizes(alpha: float, schedule: Schedule, steps: int) -> Array:
    r"""Return alpha_1 .. alpha_N.

    Parameters
    ----------
    alpha : float
        The first step size.
    schedule : str or callable
        ``1/t``: alpha / i; ``1/sqrt``: alpha / sqrt(i); ``constant``: alpha; or a function from
        i = 1, 2, ... to a factor of alpha.
    steps : int
        N.

    Returns
    -------
    (N,) array

    Raises
    ------
    ValueError
        If alpha or a step is not positive and finite, or the schedule is not known.

    Examples
    --------
    >>> step_sizes(1.0, "1/t", 3).tolist()
    [1.0, 0.5, 0.3333333333333333]
    """
    check_positive(alpha=alpha)
    check_count(steps=steps)
    rules: dict[str, Callable[[int], float]] = {
        "1/t": lambda i: 1.0 / i,
        "1/sqrt": lambda i: 1.0 / math.sqrt(i),
        "constant": lambda _: 1.0,
    }
    if not callable(schedule):
        if schedule not in rules:
            raise ValueError(
                f"schedule={schedule!r} is not known, needed one of: {', '.join(rules)}, or a "
                "function of the step"
            )
        schedule = rules[schedule]
    sizes = as_array("schedule", [alpha * schedule(i) for i in range(1, steps + 1)], ndim=1)
    if not (sizes > 0).all():
        i = int(np.argmin(sizes > 0))
        raise ValueError(f"schedule gives {sizes[i]!r} at step {i + 1}, needed a positive number")
    return sizes


# weights ------------------------------------------------------------------------------------------


def with_weights(model: Map, w: Array, trained: Sequence[str]) -> Map:
    """Return the map whose trained parameters are those of w, one after another."""
    changed, at = {}, 0
    for name in trained:
        old = model.parameters[name]
        changed[name] = w[at : at + old.size].reshape(old.shape)
        at += old.size
    return model.with_parameters(**changed)


@final
class _State:
    """A map and a head as one vector w, and back."""

    def __init__(
        self, model: Map, head: LinearHead, trained: tuple[str, ...], train_head: bool
    ) -> None:
        self.model, self.head = model, head
        self.trained, self.train_head = trained, train_head

    def pack(self, model: Map, head: LinearHead) -> Array:
        parts = [model.parameters[name].ravel() for name in self.trained]
        if self.train_head:
            parts += [head.C.ravel(), head.d]
        return np.concatenate(parts)

    def unpack(self, w: Array) -> tuple[Map, LinearHead]:
        head = self.head
        if self.train_head:
            p, n = head.C.shape
            w, last = w[: -p * (n + 1)], w[-p * (n + 1) :]
            head = LinearHead(last[: p * n].reshape(p, n), last[p * n :])
        return with_weights(self.model, w, self.trained), head

    def flat(self, gradient: Gradient) -> Array:
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


# one descent --------------------------------------------------------------------------------------


def projected_gradient_descent(
    recurrent: Map,
    head: LinearHead,
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
    head : LinearHead
    data : TrainingData
        See `theory.training_data`.
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
    >>> from theory import LinearMap, LinearHead, training_data
    >>> data = training_data([[1.0]], [[1.0]])
    >>> done = projected_gradient_descent(
    ...     LinearMap([[0.5]], [[0.0]]), LinearHead([[1.0]]), data, steps=2, alpha=0.5,
    ...     trained=("bias",),
    ... )
    >>> done.weights.ravel().tolist(), done.losses.tolist()
    ([0.0, 0.5, 0.625], [0.5, 0.125, 0.0703125])
    """
    # one thread: sums are then rounded the same way every time
    with few_threads():
        return _descend(
            _Runner(
                recurrent, head, data, steps, alpha, schedule, projection, model, k, trained,
                train_head,
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
        if model not in MODELS:
            raise ValueError(f"model={model!r}, needed one of: {', '.join(MODELS)}")
        if model != "recurrent":
            if k is None:
                raise ValueError(f"k=None, needed a truncation length for model={model!r}")
            check_count(at_least=1 if model == "truncated_backprop" else 0, k=k)
        self.sizes = step_sizes(alpha, schedule, steps)
        self.state = _State(recurrent, head, trained_names(recurrent, trained), train_head)
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
        """Return a digest of all that the weights depend on, but for the projection's code."""
        digest = hashlib.sha256()
        name = type(self.state.model).__name__
        rho = getattr(self.state.model, "activation", None)
        kind = f"{name} {getattr(rho, 'name', '')} {getattr(self.state.model, 'variant', '')}"
        plain = (kind, self.kind, self.k, self.state.trained, self.state.train_head)
        digest.update(repr((*plain, self.data.loss.name)).encode())
        for array in (
            *self.state.model.parameters.values(),
            self.state.head.C, self.state.head.d, self.sizes, self.weights[0],
            self.data.inputs, self.data.targets, self.data.weights,
        ):  # fmt: skip
            digest.update(repr(array.shape).encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def save(self, path: Path) -> None:
        """Write everything so far to an .npz file, atomically."""
        stop = self.diverged
        # an interruption may have come between two of the lists
        whole = min(len(self.weights), len(self.losses))
        with replacing(path) as stream:
            np.savez(
                stream,
                fingerprint=np.array(self._fingerprint()),
                weights=np.array(self.weights[:whole]),
                losses=np.array(self.losses[:whole]),
                gradient_norms=np.array(self.norms[: whole - 1]),
                diverged=np.array("" if stop is None else stop.reason),
            )

    def load(self, path: Path) -> None:
        """Take over what a file holds.

        Raises
        ------
        ValueError
            If it cannot be read, or belongs to another descent.
        """
        needed = ("fingerprint", "weights", "losses", "gradient_norms", "diverged")
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
                found = {name: archive[name] for name in needed}
        except (OSError, KeyError, ValueError, EOFError) as error:
            raise ValueError(f"{path} cannot be read as a checkpoint: {error}") from None
        except Exception as error:  # a damaged archive raises what zipfile and zlib choose to
            raise ValueError(f"{path} cannot be read as a checkpoint: {error!r}") from None
        if str(found["fingerprint"]) != self._fingerprint():
            raise ValueError(
                f"{path} belongs to another descent (other data, weights, step sizes, model or k); "
                "resume with the same arguments, or remove the file"
            )
        weights = as_array("weights", found["weights"], ndim=2)
        if (
            weights.shape[1] != len(self.weights[0])
            or not 1 <= len(weights) <= len(self.sizes) + 1
            or len(found["losses"]) != len(weights)
            or len(found["gradient_norms"]) != len(weights) - 1
        ):
            raise ValueError(f"{path} cannot be read as a checkpoint: its arrays do not match")
        self.weights = [row.copy() for row in weights]
        self.losses = found["losses"].tolist()
        self.norms = found["gradient_norms"].tolist()
        self.map, self.head = self.state.unpack(self.weights[-1])
        self.upcoming = self._gradient()
        if str(found["diverged"]) and self.diverged is None:
            self._stop(str(found["diverged"]))


# twins --------------------------------------------------------------------------------------------


def train_twins(
    recurrent: Map,
    head: LinearHead,
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
    >>> from theory import LinearMap, LinearHead, training_data
    >>> data = training_data([[4.0], [1.0]], [[0.0], [0.0]], at="last")
    >>> twins = train_twins(
    ...     LinearMap([[0.5]], [[1.0]]), LinearHead([[1.0]]), data, k=1, steps=1, alpha=0.25,
    ...     trained=("A",),
    ... )
    >>> twins.distances[1].tolist(), twins.gaps[1].tolist()
    ([0.0, 3.0], [2.0, 10.0])
    """
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
    state = _State(recurrent, head, base.trained, train_head)
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


def _gap_of(state: _State, w: Array, v: Array, data: TrainingData, k: int) -> float:
    (one, head), (other, other_head) = state.unpack(w), state.unpack(v)
    try:
        return float(np.max(prediction_gaps(one, head, other, other_head, data.inputs, k=k)))
    except DivergedError:
        return math.inf


def prediction_gaps(
    recurrent: Map, head: LinearHead, other: Map, other_head: LinearHead, X: Any, *, k: int
) -> Array:
    r"""Return |y_t - y_t^k| of a recurrent model and the k-step model of other weights.

    Parameters
    ----------
    recurrent, head : Map and LinearHead
        The recurrent model.
    other, other_head : Map and LinearHead
        The one that starts from zero k steps back.
    X : (T, m) or (batch, T, m) array
    k : int

    Returns
    -------
    (T,) or (batch, T) array
        In the Euclidean norm.
    """
    long = head(recurrent.simulate(X) @ readout_of(recurrent, head).T)
    short = other_head(truncate(other, k).states(X) @ readout_of(other, other_head).T)
    return np.asarray(L2().vector(long - short))


@contextmanager
def progress_bar(label: str) -> Iterator[Progress]:
    """Show a progress bar on the terminal; use as ``with progress_bar("training") as shown``."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import (
        Progress as Bar,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bar(*columns, TimeRemainingColumn(), transient=True) as bar:
        task = bar.add_task(label, total=None)

        def show(made: int, steps: int) -> None:
            bar.update(task, completed=made, total=steps)

        yield show
