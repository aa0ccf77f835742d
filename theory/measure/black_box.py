r"""How many inputs a model remembers that can only be called: no weights, any output, any distance.

Main names: `memory_of`, `memory_of_recording`, `RecordingMemory`.

On independent sequences the guarantee is that of `theory.measure.memory_among`: what is observed of
a sequence is whether its error exceeds eps, whatever measures the error.

One long recording is one sequence.  Its pieces are not independent, so without an assumption there
is no guarantee, and none is given; what was seen is told.  With an assumption there is:

Statement   Let E_t be the error at time t for one of the lengths, looked at N times, `gap` apart.
            Assumes that the errors are stationary, and that the beta-mixing coefficient between
            those up to a time and those from `gap` later on is at most `beta`.  Then the statement
            of `memory_among` holds for E_t, with probability at least `confidence` over recordings,
            if lengths are tested at the level 1 - confidence - (N - 1) beta.
Proof       Berbee's coupling (1979; in this form Yu, Ann. Probab. 22 (1994), Corollary 2.7): the
            probability of any event of the N errors is within (N - 1) beta of what it is for
            independent errors of the same law.  For those, the event that a wrong length passes has
            probability at most 1 - confidence - (N - 1) beta.

The assumption is the user's word; halves of the recording that disagree speak against it, and
halves that agree do not prove it.  So the answer is called `assumed`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt

from theory.errors import as_array, check_count, check_nonnegative
from theory.files.sequences import Sequences
from theory.measure.distances import OF_SERIES, Distance, look_up_distance
from theory.measure.effective_memory import (
    EVENTS,
    LEVELS,
    sequences_needed,
    upper_limit,
)
from theory.measure.memory_among import MemoryAmong, longest_first, search_down
from theory.measure.predictor import Predictor
from theory.progress import with_bar
from theory.shown import shown
from theory.typing import Array, Progress


@with_bar("sequences")
def memory_of(
    predict: Callable[[Any], Any],
    sequences: Any,
    *,
    lengths: Iterable[int],
    eps: float,
    distance: str | Distance = "absolute",
    probability: float = 0.01,
    confidence: float = 0.99,
    when: str = "anywhere",
    stride: int = 1,
    batched: bool = False,
    rng: np.random.Generator | None = None,
    progress: Progress | None = None,
) -> MemoryAmong:
    r"""Return the shortest of some lengths with which a callable model hardly changes its output.

    The output after the last k inputs alone is compared with that after all of them.

    Parameters
    ----------
    predict : callable
        From a sequence (T, m), or with `batched` from a batch (B, T, m), to outputs at every time,
        (T, p) or (T,), or at the last one.  It has to start anew in every call.
    sequences : list of arrays (T, m), (N, T, m) array, or Sequences
        Independent draws from the distribution that the statement is about.
    lengths : counts from 1 on
        The lengths to test, fixed before looking at the sequences.
    eps : float
        Allowed distance; in decibel it may be negative.
    distance : str or callable
        ``"absolute"``, ``"total_variation"``, ``"flips"``, ``"decibel"``, ``"nash_sutcliffe"``, see
        `theory.measure.distances`, or a function of two series of outputs, each (times, p).
    probability, confidence : float
        As for `effective_memory`.
    when : str
        ``"anywhere"``: the distance is that of the outputs at all times; ``"last"``, ``"random"``:
        at the last time, or at one drawn uniformly.
    stride : int
        With ``"anywhere"``, only every so many times are looked at.
    batched : bool
        Whether `predict` takes batches.
    rng : numpy.random.Generator, optional
        Draws the times; needed for ``when="random"`` only.
    progress : callable, optional
        Called with (sequences done, sequences in all) for every length; may raise to interrupt.

    Returns
    -------
    MemoryAmong

    Raises
    ------
    ValueError
        If there are too few sequences for the confidence, an argument does not fit, or `predict`
        keeps state between calls, is random, changes its answer with the batch, or looks ahead.

    Examples
    --------
    >>> X = np.random.default_rng(0).uniform(-1, 1, (60, 20, 1))
    >>> def smoothed(x):
    ...     y = [0.0]
    ...     for one in x:
    ...         y.append(0.5 * y[-1] + float(one[0]))
    ...     return np.array(y[1:])
    >>> memory_of(smoothed, X, lengths=[16, 8, 4, 2], eps=0.1, probability=0.05, confidence=0.95).k
    8
    """
    name, measured = look_up_distance(distance)
    needed = sequences_needed(probability, confidence)
    given = _series(sequences)
    if len(given) < needed:
        raise ValueError(
            f"received {len(given)} sequences, needed at least {needed} for "
            f"probability={probability:g} at confidence={confidence:g}; collect more independent "
            "sequences; for one long recording ask theory.measure.memory_of_recording"
        )
    asked = longest_first(at_least=1, lengths=lengths)
    _check_eps(eps)
    check_count(at_least=1, stride=stride)
    if when not in EVENTS:
        raise ValueError(f"when={when!r}, needed one of {[*EVENTS]}")
    if when == "random" and rng is None:
        raise ValueError('when="random" draws times: pass rng=numpy.random.default_rng(seed)')
    if when != "anywhere" and name in OF_SERIES:
        raise ValueError(f'{name} is a distance of whole series, needed when="anywhere"')
    model = Predictor(predict, batched=batched)
    model.check(given, causal=when != "last")
    if when != "last" and not model.at_every_time:
        raise ValueError(
            f"when={when!r} needs outputs at every time, (T, p), received one output a sequence; "
            'ask with when="last"'
        )
    behind = np.array([len(X) for X in given])
    if when == "random" and rng is not None:
        behind = np.array([1 + int(rng.integers(len(X))) for X in given])
    errors = np.full((len(asked), len(given)), -np.inf)
    full: dict[int, Array] = {}

    def measure_from(j: int, i: int) -> int:
        k, X = asked[j], given[i]
        ends = np.arange(k + 1, len(X) + 1, stride) if when == "anywhere" else behind[i : i + 1]
        ends = ends[ends > k]
        if len(ends):
            if i not in full:
                full[i] = model.outputs(X[None])[0]
            y = full[i][ends - 1] if model.at_every_time else full[i]
            z = model.last_of_windows(X, ends, k)
            errors[j, i] = _number(measured, y, z)
        return i + 1

    return search_down(
        asked, errors, behind, measure_from, progress, eps=eps, probability=probability,
        confidence=confidence, when=when, error=name,
    )  # fmt: skip


@final
@shown
@dataclass(frozen=True, kw_only=True, eq=False)
class RecordingMemory:
    """What one long recording tells of a model's memory."""

    k: int | None  # the shortest length that passed under the assumption; None without one
    reason: str | None  # why there is no k
    lengths: tuple[int, ...]  # the longest first
    times: npt.NDArray[np.int64]  # after how many inputs the outputs are compared, (N,)
    errors: Array  # of every length at every time, (lengths, N)
    eps: float  # allowed error
    probability: float  # allowed probability of an error above eps
    confidence: float  # of the statement, under the assumption
    gap: int | None  # inputs between two times
    beta: float | None  # the mixing coefficient at this gap, on the user's word
    error: str  # the distance

    def quantiles(self, levels: Sequence[float] = LEVELS) -> Array:
        """Return the empirical quantiles of every length's errors, (lengths, levels)."""
        table = np.quantile(self.errors, np.asarray(levels), axis=1, method="inverted_cdf")
        return np.ascontiguousarray(table.T)

    def halves(self) -> Array:
        """Return the share of errors above eps in the first and the second half, (lengths, 2)."""
        half = len(self.times) // 2
        over = ~(self.errors <= self.eps)
        return np.stack([over[:, :half].mean(axis=1), over[:, half:].mean(axis=1)], axis=1)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready description."""
        return {
            "kind": "measured" if self.k is None else "assumed",
            "k": self.k,
            "reason": self.reason,
            "epsilon": self.eps,
            "probability": self.probability,
            "confidence": self.confidence,
            "gap": self.gap,
            "beta": self.beta,
            "error": self.error,
            "times": len(self.times),
            "table": [
                {
                    "k": k,
                    "quantiles": {f"{q:g}": float(v) for q, v in zip(LEVELS, row, strict=True)},
                    "above_eps_in_halves": [float(one) for one in halves],
                }
                for k, row, halves in zip(
                    self.lengths, self.quantiles(), self.halves(), strict=True
                )
            ],
        }

    def __str__(self) -> str:
        lines = []
        for k, q, (a, b) in zip(self.lengths, self.quantiles(), self.halves(), strict=True):
            lines.append(
                f"k = {k}: median {q[0]:.3g}, 99 % {q[2]:.3g}, largest {q[3]:.3g}; "
                f"above {self.eps:g} in {100 * a:.3g} % and {100 * b:.3g} % of the halves"
            )
        if self.k is None:
            return "\n".join([*lines, f"no k: {self.reason}"])
        answer = (
            f"k = {self.k}, assumed: the error ({self.error}) exceeds {self.eps:g} with "
            f"probability at most {self.probability:g} (confidence {self.confidence:g}, "
            f"{len(self.times)} times {self.gap} inputs apart; on your word the errors are "
            f"stationary, with a mixing coefficient of at most {self.beta:g} over this gap)"
        )
        return "\n".join([*lines, answer])


@with_bar("lengths")
def memory_of_recording(
    predict: Callable[[Any], Any],
    recording: Any,
    *,
    lengths: Iterable[int],
    eps: float,
    distance: str | Distance = "absolute",
    probability: float = 0.01,
    confidence: float = 0.99,
    gap: int | None = None,
    beta: float | None = None,
    stride: int = 1,
    batched: bool = False,
    progress: Progress | None = None,
) -> RecordingMemory:
    r"""Return what one long recording tells of the memory of a callable model.

    The module's docstring has the assumption under which there is an answer, and the theorem.

    Parameters
    ----------
    predict : callable
        As for `memory_of`, with outputs at every time.
    recording : (T, m) array
        One sequence.
    lengths : counts from 1 on
        Fixed before looking at the recording.
    eps, distance, probability, confidence
        As for `memory_of`; the distance is taken at single times.
    gap, beta : int and float, optional
        The assumption: errors `gap` inputs apart have a beta-mixing coefficient of at most `beta`;
        0 takes them for independent.  Without both there is no k.
    stride : int
        Without `gap`: every so many times are looked at.
    batched : bool
        Whether `predict` takes batches.
    progress : callable, optional
        Called with (lengths done, lengths in all); may raise to interrupt.

    Returns
    -------
    RecordingMemory

    Raises
    ------
    ValueError
        If the recording is too short for the lengths, an argument does not fit, or `predict` is no
        function of the past inputs, see `memory_of`.

    Examples
    --------
    >>> X = np.random.default_rng(0).uniform(-1, 1, (400, 1))
    >>> last = lambda x: x[:, 0]
    >>> seen = memory_of_recording(last, X, lengths=[4, 2, 1], eps=0.1)
    >>> seen.k is None, float(seen.errors.max())
    (True, 0.0)
    >>> asked = {"probability": 0.1, "confidence": 0.9}
    >>> memory_of_recording(last, X, lengths=[4, 2, 1], eps=0.1, gap=10, beta=0.0, **asked).k
    1
    """
    name, measured = look_up_distance(distance)
    X = as_array("recording", recording, ndim=(2,))
    asked = longest_first(at_least=1, lengths=lengths)
    _check_eps(eps)
    check_count(at_least=1, stride=stride)
    sequences_needed(probability, confidence)  # checks the levels
    if (gap is None) != (beta is None):
        raise ValueError("received only one of gap and beta, needed both: they are one assumption")
    if gap is not None and beta is not None:
        check_count(at_least=1, gap=gap)
        check_nonnegative(beta=beta)
    if name in OF_SERIES:
        raise ValueError(f"{name} is a distance of whole series, needed one of single times")
    times = np.arange(asked[0] + 1, len(X) + 1, stride if gap is None else gap)
    if len(times) < 2:
        raise ValueError(
            f"the recording has {len(X)} inputs, needed more than the longest length {asked[0]} "
            "and two times at least; take shorter lengths or a smaller gap"
        )
    model = Predictor(predict, batched=batched)
    model.check([X[: asked[0] + 1], X[1 : asked[0] + 2]], causal=True)
    if not model.at_every_time:
        raise ValueError("needed outputs at every time, (T, p), received one output a sequence")
    full = model.outputs(X[None])[0]
    errors = np.empty((len(asked), len(times)))
    for j, k in enumerate(asked):
        z = model.last_of_windows(X, times, k)
        errors[j] = [_number(measured, full[t - 1 : t], z[i : i + 1]) for i, t in enumerate(times)]
        if progress is not None:
            progress(j + 1, len(asked))
    k_found, reason = _under_assumption(asked, errors, eps, probability, confidence, beta)
    return RecordingMemory(
        k=k_found,
        reason=reason,
        lengths=tuple(asked),
        times=times,
        errors=errors,
        eps=float(eps),
        probability=float(probability),
        confidence=float(confidence),
        gap=gap,
        beta=beta,
        error=name,
    )


def _under_assumption(
    asked: list[int],
    errors: Array,
    eps: float,
    probability: float,
    confidence: float,
    beta: float | None,
) -> tuple[int | None, str | None]:
    """Return k, or why there is none."""
    if beta is None:
        return None, (
            "pieces of one recording are not independent, so nothing is guaranteed; state how fast "
            "errors become independent with gap= and beta=, or collect separate sequences"
        )
    count = errors.shape[1]
    left = 1.0 - confidence - (count - 1) * beta
    if not left > 0:
        return None, (
            f"{count} times with beta = {beta:g} leave no confidence: needed "
            f"(N - 1) beta < {1.0 - confidence:g}; take a larger gap with a smaller beta"
        )
    if count < sequences_needed(probability, 1.0 - left):
        return None, (
            f"{count} times are too few, needed {sequences_needed(probability, 1.0 - left)}; take "
            "a longer recording, a smaller gap, or a larger probability"
        )
    seen = np.count_nonzero(~(errors <= eps), axis=1)
    limits = np.asarray(upper_limit(seen, count, confidence=1.0 - left))
    failing = np.flatnonzero(~(limits <= probability))
    passed = len(asked) if failing.size == 0 else int(failing[0])
    if passed == 0:
        return None, f"the longest length fails: {int(seen[0])} of {count} errors exceed eps"
    return asked[passed - 1], None


def _series(sequences: Any) -> list[Array]:
    """Return sequences (T, m), T >= 1, all of one width."""
    if isinstance(sequences, Sequences):
        sequences = list(sequences.arrays)
    given = [as_array(f"sequences[{i}]", one, ndim=(2,)) for i, one in enumerate(sequences)]
    widths = {one.shape[1] for one in given}
    if len(widths) > 1 or any(len(one) == 0 for one in given):
        raise ValueError(
            f"sequences have the widths {sorted(widths)} and lengths from "
            f"{min(map(len, given))}, needed (T, m) with one m and T >= 1"
        )
    return given


def _check_eps(eps: float) -> None:
    if not np.isfinite(eps):
        raise ValueError(f"eps={eps!r}, needed a finite distance")


def _number(measured: Distance, y: Array, z: Array) -> float:
    """Return the distance.

    Raises
    ------
    ValueError
        If it is not one number.
    """
    found = np.asarray(measured(y, z), dtype=np.float64)
    if found.shape != () or np.isnan(found):
        raise ValueError(
            f"the distance returned {found!r} for outputs of shape {y.shape}, needed one number"
        )
    return float(found)
