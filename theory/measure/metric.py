r"""The user's own metric against k: what a window model costs in it, and what it costs to run.

Main names: `metric_against_k`, `MetricAgainstK`, `Cost`, `METRICS`.

A metric gives every sequence a loss; lower is better.  The k-step model and the recurrent one are
compared on the same sequences: d_i = loss_k(i) - loss(i) is independent from sequence to sequence.

Statement   Lengths are fixed beforehand and tested from the longest down; one passes if the upper
            confidence limit of E d is at most `tolerance`; the first that fails ends the search.
            With probability at least `confidence`, E d <= tolerance at every length that passed.
Proof       As for `theory.measure.memory_among`: of the lengths with E d > tolerance the longest is
            a number, not a random variable, and it has to pass for any wrong one to pass.
Limits      With `span`, the range (low, high) of the metric: the empirical Bernstein bound (Maurer
            and Pontil, COLT 2009, Theorem 4), R being twice its width, V the variance of d and
            delta = 1 - confidence,
                mean d + sqrt(2 V ln(2/delta) / N) + 7 R ln(2/delta) / (3 (N - 1)),
            which holds for every distribution.  Without it Student's limit, which holds as far as
            the mean of N differences is normal; losses so rare that none was seen are not in it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, final

import numpy as np
import numpy.typing as npt

from theory.errors import as_array, check_count, check_nonnegative
from theory.executors import finished
from theory.maps.base import Map, check_map
from theory.maps.head import as_head
from theory.measure.effective_memory import check_level
from theory.measure.memory_among import longest_first
from theory.measure.predictor import Predictor
from theory.progress import with_bar
from theory.shown import shown
from theory.threads import few_threads
from theory.truncation import truncate
from theory.typing import Array, Progress

#: Of the outputs of a sequence, (T, p), and its target: a loss.
Metric: TypeAlias = Callable[[Array, Any], float]

#: With fewer sequences a mean is not taken to be normal.
_LEAST = 30

#: Sequences that a worker is handed at a time.
_SHARE = 8

#: Runs of which the fastest is timed.
_RUNS = 3


def _matched(Y: Array, target: Any) -> tuple[Array, Array]:
    """Return outputs and targets: at all times, or at the last one if there is one target."""
    y = np.asarray(target)
    if y.ndim and len(y) == len(Y):
        return Y, y
    return Y[-1:], y[None]


def mse(Y: Array, target: Any) -> float:
    """Return the mean squared error."""
    out, y = _matched(Y, target)
    return float(np.mean((out - np.asarray(y, dtype=np.float64).reshape(out.shape)) ** 2))


def mae(Y: Array, target: Any) -> float:
    """Return the mean absolute error."""
    out, y = _matched(Y, target)
    return float(np.mean(np.abs(out - np.asarray(y, dtype=np.float64).reshape(out.shape))))


def _labels(target: Any, out: Array) -> npt.NDArray[np.int64]:
    """Return labels 0 .. classes - 1, one for each output."""
    y, classes = np.asarray(target, dtype=np.float64).reshape(-1), max(out.shape[1], 2)
    if len(y) != len(out):
        raise ValueError(
            f"there are {len(out)} outputs and {len(y)} labels, needed one label for each; labels "
            "are numbers 0, 1, .., not vectors of zeros and a one"
        )
    known = (y >= 0) & (y < classes) & (y == np.floor(y))
    if not known.all():
        raise ValueError(
            f"there is a label {y[~known][0]:g}, needed integers 0 .. {classes - 1}, as there are "
            f"{classes} classes; one output is the logit of label 1 against label 0"
        )
    return y.astype(np.int64)


def error_rate(Y: Array, target: Any) -> float:
    """Return the share of wrong labels, 1 - accuracy; one output is a logit of label 1."""
    out, y = _matched(Y, target)
    found = np.argmax(out, axis=1) if out.shape[1] > 1 else (out[:, 0] > 0).astype(np.int64)
    return float(np.mean(found != _labels(y, out)))


def cross_entropy(Y: Array, target: Any) -> float:
    """Return the mean cross entropy of logits, in nats."""
    out, y = _matched(Y, target)
    logits = out if out.shape[1] > 1 else np.concatenate([np.zeros_like(out), out], axis=1)
    top = logits.max(axis=1)
    sums = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
    return float(np.mean(sums - logits[np.arange(len(out)), _labels(y, out)]))


#: The ready metrics, by name.
METRICS: dict[str, Metric] = {
    "mse": mse,
    "mae": mae,
    "error_rate": error_rate,
    "cross_entropy": cross_entropy,
}


@final
@shown
@dataclass(frozen=True, kw_only=True)
class Cost:
    """What an output costs: by streaming, by a window of its own, by chunks with a warm-up."""

    k: int  # inputs in a window, and in the warm-up of a chunk
    chunk: int  # outputs of a chunk
    operations: tuple[float, float, float] | None  # products and sums for an output, None: unknown
    seconds: tuple[float, float, float]  # measured, for an output


@final
@shown
@dataclass(frozen=True, kw_only=True, eq=False)
class MetricAgainstK:
    """The answer of `metric_against_k`."""

    k: int | None  # the shortest length that passed, None if none did
    ks: tuple[int, ...]  # the lengths, the longest first
    full: Array  # loss of the recurrent model, (N,)
    losses: Array  # of every length, (len(ks), N)
    upper: Array  # upper confidence limit of the mean difference, (len(ks),)
    tolerance: float  # allowed mean difference
    confidence: float  # of the statement
    span: tuple[float, float] | None  # range of the metric: the limits are exact; None: Student's
    metric: str  # its name
    costs: tuple[Cost, ...]  # of every length

    @property
    def differences(self) -> Array:
        """Return the mean of loss_k - loss for every length."""
        means: Array = (self.losses - self.full).mean(axis=1)
        return means

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready description."""
        return {
            "kind": "measured",
            "k": self.k,
            "metric": self.metric,
            "full": float(self.full.mean()),
            "tolerance": self.tolerance,
            "confidence": self.confidence,
            "limits": "Student" if self.span is None else "empirical Bernstein",
            "sequences": len(self.full),
            "table": [
                {
                    "k": k,
                    "mean": float(row.mean()),
                    "difference": float(d),
                    "upper_limit": float(u),
                    "operations": None if c.operations is None else list(c.operations),
                    "seconds": list(c.seconds),
                }
                for k, row, d, u, c in zip(
                    self.ks, self.losses, self.differences, self.upper, self.costs, strict=True
                )
            ],
        }

    def __str__(self) -> str:
        law = "any distribution" if self.span is not None else "Student's limit, approximate"
        basis = f"confidence {self.confidence:g}, {len(self.full)} sequences, {law}"
        lines = [f"{self.metric} with all inputs: {self.full.mean():.4g}"]
        for k, row, u, c in zip(self.ks, self.losses, self.upper, self.costs, strict=True):
            stream, window, chunk = (f"{1e6 * s:.3g}" for s in c.seconds)
            lines.append(
                f"k = {k}: {row.mean():.4g}, more by at most {u:.3g}; microseconds an output: "
                f"streaming {stream}, windowed {window}, chunks of {c.chunk} {chunk}"
            )
        found = "no length" if self.k is None else f"k = {self.k}"
        lines.append(f"{found} costs at most {self.tolerance:g} in the mean ({basis}; measured)")
        return "\n".join(lines)


@with_bar("sequences")
def metric_against_k(
    model: Any,
    data: Iterable[tuple[Any, Any]],
    *,
    metric: str | Metric,
    ks: Iterable[int],
    head: Any = None,
    tolerance: float = 0.0,
    confidence: float = 0.95,
    span: tuple[float, float] | None = None,
    chunk: int = 64,
    batched: bool = False,
    progress: Progress | None = None,
    executor: Executor | Callable[[], Executor] | None = None,
) -> MetricAgainstK:
    r"""Return a metric of the k-step model against k, and the least k that costs little in it.

    The module's docstring has the statement and its proof.

    Parameters
    ----------
    model : Map, or callable
        A callable as for `theory.measure.memory_of`, with outputs at every time.
    data : pairs (inputs (T, m), target)
        Independent sequences.  Ready metrics take a target at every time, or one for the last.
    metric : str or callable
        ``"mse"``, ``"mae"``, ``"error_rate"``, ``"cross_entropy"`` (both of labels), or a function
        of the outputs (T, p) and the target of a sequence to a loss; lower is better.
    ks : counts
        The lengths, fixed before looking at the data; from 1 on for a callable.
    head : LinearHead, array, or output layer, optional
        The output of a map; by default the part of the state that a head sees.
    tolerance : float
        By how much the mean may be worse than with all inputs.
    confidence : float
    span : (low, high), optional
        The range of the metric, as (0, 1) of an error rate: limits then hold for any distribution.
    chunk : int
        Outputs of a chunk, for the cost.
    batched : bool
        Whether a callable takes batches.
    progress : callable, optional
        Called with (sequences done, sequences in all); may raise to interrupt.
    executor : Executor, or function that starts one, optional
        Whose workers run the models; see `theory.executors`.  What they are sent, the model and a
        metric of your own, has to be importable there.  What an output costs is timed here.

    Returns
    -------
    MetricAgainstK

    Raises
    ------
    ValueError
        If there are fewer than 30 sequences, a loss is not a finite number or not in `span`, an
        argument does not fit, or a callable is no function of the past inputs.

    Examples
    --------
    >>> from theory import LinearMap
    >>> half, rng = LinearMap([[0.5]], [[1.0]]), np.random.default_rng(0)
    >>> X = rng.uniform(-1, 1, (40, 30, 1))
    >>> data = [(x, half.simulate(x)) for x in X]
    >>> metric_against_k(half, data, metric="mse", ks=[8, 4, 2, 1], tolerance=0.01).k
    4
    """
    if not callable(model):
        check_map(model)
    name, _ = _look_up(metric)
    pairs = [(as_array(f"inputs of data[{i}]", x, ndim=(2,)), y) for i, (x, y) in enumerate(data)]
    if len(pairs) < _LEAST:
        raise ValueError(
            f"received {len(pairs)} sequences, needed at least {_LEAST} for a statement about the "
            "mean; split independent recordings, not one"
        )
    asked = longest_first(ks=ks)
    check_nonnegative(tolerance=tolerance)
    check_level("confidence", confidence)
    check_count(at_least=1, chunk=chunk)
    if span is not None and not -math.inf < span[0] < span[1] < math.inf:
        raise ValueError(f"span={span!r}, needed finite (low, high) with low < high")
    runs = _MapRuns(model, head) if isinstance(model, Map) else _CallRuns(model, batched)
    if isinstance(runs, _CallRuns):
        runs.prepare([x for x, _ in pairs], asked[-1])
    full, losses = np.empty(len(pairs)), np.empty((len(asked), len(pairs)))
    share = 1 if executor is None else _SHARE
    firsts = range(0, len(pairs), share)
    pieces = (_Piece(runs, metric, tuple(asked), span, pairs[i : i + share]) for i in firsts)
    done = 0
    for number, found in finished(_losses, pieces, executor=executor):
        i, count = firsts[number], found.shape[1]
        full[i : i + count], losses[:, i : i + count] = found[0], found[1:]
        done += count
        if progress is not None:
            progress(done, len(pairs))
    d = losses - full
    upper = np.array([_upper(row, confidence, span) for row in d])
    passed = int(np.argmax(np.append(~(upper <= tolerance), True)))
    longest = max((x for x, _ in pairs), key=len)
    return MetricAgainstK(
        k=asked[passed - 1] if passed else None,
        ks=tuple(asked),
        full=full,
        losses=losses,
        upper=upper,
        tolerance=float(tolerance),
        confidence=float(confidence),
        span=span,
        metric=name,
        costs=tuple(_cost(runs, longest, k, int(chunk)) for k in asked),
    )


class _Piece(NamedTuple):
    """Some sequences, and what is asked of them."""

    runs: _MapRuns | _CallRuns
    metric: str | Metric
    ks: tuple[int, ...]
    span: tuple[float, float] | None
    pairs: list[tuple[Array, Any]]


def _losses(piece: _Piece) -> Array:
    """Return the loss of the recurrent model and of every length, (1 + lengths, sequences)."""
    _, measured = _look_up(piece.metric)
    found = np.empty((1 + len(piece.ks), len(piece.pairs)))
    with few_threads(piece.runs.state_dim):
        for i, (x, y) in enumerate(piece.pairs):
            outputs = piece.runs.full(x)
            found[0, i] = _loss(measured, outputs, y, piece.span)
            for j, k in enumerate(piece.ks):
                short = outputs if k >= len(x) else piece.runs.short(x, k, outputs)
                found[1 + j, i] = _loss(measured, short, y, piece.span)
    return found


def _look_up(metric: Any) -> tuple[str, Metric]:
    if callable(metric):
        return str(getattr(metric, "__name__", "own metric")), metric
    if metric not in METRICS:
        raise ValueError(
            f"metric={metric!r}, needed one of: {', '.join(METRICS)}, or a function of outputs "
            "(T, p) and the target of a sequence"
        )
    return metric, METRICS[metric]


def _loss(measured: Metric, Y: Array, y: Any, span: tuple[float, float] | None) -> float:
    found = float(measured(Y, y))
    if not math.isfinite(found) or (span is not None and not span[0] <= found <= span[1]):
        raise ValueError(
            f"the metric gave {found!r}, needed a finite number"
            + ("" if span is None else f" in the span {span}")
        )
    return found


def _upper(d: Array, confidence: float, span: tuple[float, float] | None) -> float:
    """Return the upper confidence limit of the mean of independent differences."""
    N, mean, variance = len(d), float(d.mean()), float(d.var(ddof=1))
    if span is None:
        from scipy.stats import t

        return mean + float(t.ppf(confidence, N - 1)) * math.sqrt(variance / N)
    width = 2.0 * (span[1] - span[0])
    log = math.log(2.0 / (1.0 - confidence))
    return mean + math.sqrt(2.0 * variance * log / N) + 7.0 * width * log / (3.0 * (N - 1))


@final
class _MapRuns:
    """Outputs of a map, with what they cost."""

    def __init__(self, recurrent: Map, head: Any) -> None:
        self.map = recurrent
        self.state_dim = recurrent.state_dim
        self.head = as_head(recurrent, recurrent.output_map if head is None else head)
        weights = [p.size for p in recurrent.parameters.values() if p.ndim == 2]
        self.operations: float | None = 2.0 * (sum(weights) + self.head.C.size)

    def full(self, x: Array) -> Array:
        """Return the outputs with all inputs."""
        return self.head(self.map.simulate(x))

    def short(self, x: Array, k: int, full: Array) -> Array:
        """Return the outputs after the last k inputs."""
        del full
        outputs: Array = truncate(self.map, k, head=self.head)(x)
        return outputs

    def of_windows(self, x: Array) -> Array:
        """Return the last outputs of windows, (windows, k, m)."""
        return self.head(self.map.simulate(x)[:, -1])


@final
class _CallRuns:
    """Outputs of a callable."""

    operations: float | None = None
    state_dim = 2**31  # not known: its threads are its own

    def __init__(self, predict: Any, batched: bool) -> None:
        self.model = Predictor(predict, batched=batched)

    def prepare(self, sequences: Sequence[Array], shortest: int) -> None:
        """Raise unless it is a function of the past inputs."""
        check_count(at_least=1, ks=shortest)
        self.model.check(sequences, causal=True)
        if not self.model.at_every_time:
            raise ValueError("needed outputs at every time, (T, p), received one a sequence")

    def full(self, x: Array) -> Array:
        """Return the outputs with all inputs."""
        outputs: Array = self.model.outputs(x[None])[0]
        return outputs

    def short(self, x: Array, k: int, full: Array) -> Array:
        """Return the outputs after the last k inputs."""
        late = self.model.last_of_windows(x, np.arange(k + 1, len(x) + 1), k)
        return np.concatenate([full[:k], late])

    def of_windows(self, x: Array) -> Array:
        """Return the last outputs of windows, (windows, k, m)."""
        return self.model.outputs(x)[:, -1]


def _cost(runs: _MapRuns | _CallRuns, x: Array, k: int, chunk: int) -> Cost:
    """Return what an output costs in the three ways of running a model."""
    T = len(x)
    seen = max(1, min(k, T))
    windows = np.stack([x[i : i + seen] for i in range(min(T - seen + 1, chunk))])
    part = x[: min(T, k + chunk)]
    outputs = max(1, len(part) - k)
    seconds = (
        _fastest(lambda: runs.full(x)) / T,
        _fastest(lambda: runs.of_windows(windows)) / len(windows),
        _fastest(lambda: runs.full(part)) / outputs,
    )
    one = runs.operations
    operations = None if one is None else (one, k * one, (k + chunk) / chunk * one)
    return Cost(k=k, chunk=chunk, operations=operations, seconds=seconds)


def _fastest(run: Callable[[], Any]) -> float:
    found = []
    for _ in range(_RUNS):
        begun = time.perf_counter()
        run()
        found.append(time.perf_counter() - begun)
    return min(found)
