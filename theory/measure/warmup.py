r"""What people act on: how long to warm up, how often to reset, from where to start.

Main names: `warmup`, `Warmup`, `reset`, `Reset`.

Warm-up     A restart has settled after k inputs if none of its later errors exceeds eps.  S_i is
            the least k after which every restart on sequence i has settled, up to `k_max`.
Statement   Let k be the least length for which S_i > k on no more sequences than the binomial
            limit allows.  Then, with probability at least `confidence` over the sequences, on a new
            one of the same distribution some restart errs by more than eps after k to `k_max`
            inputs with probability at most `probability`.  What a restart does later is not looked
            at, unless `k_max` reaches to the end of the sequences.
Proof       P(S > k) falls with k.  Let k* be the largest k at which it is above `probability`.  If
            k is wrong, k <= k*, so S_i > k* is seen on no more sequences than are allowed; that has
            probability at most 1 - confidence by the definition of the limit.

Resets      A model that is set to zero every P inputs has, j inputs after a reset, the error of the
            length j.  One copy is off for the first k of every P outputs; with two copies, reset in
            turn every P / 2 and read from the older one, every output has at least P / 2 inputs
            behind it, so P = 2 k, if at most `k_max`, loses nothing but eps, at twice the
            operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np
import numpy.typing as npt

from theory.errors import as_vector, check_count, check_positive
from theory.executors import PATIENCE, finished
from theory.maps.base import Map, check_map
from theory.measure.effective_memory import (
    DEFAULT_K_MAX,
    allowed_exceedances,
    checked,
    each,
    lengths_of,
    output_of,
)
from theory.measure.errors import DTYPES, TOLD
from theory.measure.jobs import Job
from theory.measure.pieces import cut
from theory.measure.restarts import Tell, restart_errors
from theory.measure.single import SingleSteps
from theory.norms.norm import Norm
from theory.progress import with_bar
from theory.shown import shown
from theory.threads import few_threads
from theory.typing import Array, Progress

#: Pieces that are read ahead of the workers.
_AHEAD = 8


@final
@shown
@dataclass(frozen=True, kw_only=True, eq=False)
class Warmup:
    """The answer of `warmup`: measured on sequences, with a statistical guarantee."""

    k: int | None  # inputs after which a restart has settled; None if k_max are not enough, or no
    # sequence is longer
    eps: float  # allowed error
    probability: float  # allowed probability that a restart on a new sequence has not settled
    confidence: float  # of the statement about that probability
    k_max: int  # the largest length that was looked at
    settled: npt.NDArray[np.int64]  # S_i of every sequence, (N,); k_max + 1 if it has not settled
    lengths: npt.NDArray[np.int64]  # inputs of every sequence, (N,)
    off: Array  # share of the times at which a restart is off by more than eps, (k_max + 1,)
    errors: Array  # largest error of every length on every sequence, (k_max + 1, N)
    allowed: int  # on how many sequences a restart may not have settled
    norm: Norm  # the norm of the error
    dtype: str  # what it was computed in, one of DTYPES

    @property
    def longer(self) -> int:
        """Return how many sequences have more than k inputs, and so put it to the test."""
        return 0 if self.k is None else int(np.count_nonzero(~(self.lengths <= self.k)))

    @property
    def to_the_end(self) -> bool:
        """Return whether every restart was followed to the end of its sequence."""
        return bool(self.k_max >= int(self.lengths.max()) - 1)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready description."""
        return {
            "kind": "measured",
            "k": self.k,
            "to_the_end": self.to_the_end,
            "epsilon": self.eps,
            "probability": self.probability,
            "confidence": self.confidence,
            "k_max": self.k_max,
            "sequences": len(self.settled),
            "longer": self.longer,
            "allowed_exceedances": self.allowed,
            "norm": self.norm.to_dict(),
            "dtype": self.dtype,
            "settled": self.settled.tolist(),
            "share_off": self.off.tolist(),
        }

    def __str__(self) -> str:
        basis = (
            f"with probability at least {1 - self.probability:g} on a new sequence (confidence "
            f"{self.confidence:g}, {len(self.settled)} sequences; {TOLD[self.dtype]}, not "
            "certified)"
        )
        if self.k is None:
            late = int(
                np.count_nonzero(~(self.settled <= min(self.k_max, int(self.lengths.max()) - 1)))
            )
            return (
                f"no warm-up up to {self.k_max} inputs is enough for an error of {self.eps:g}: on "
                f"{late} of {len(self.settled)} sequences a restart had not settled before the end "
                f"({TOLD[self.dtype]})"
            )
        until = "" if self.to_the_end else f" up to {self.k_max} inputs after it"
        return (
            f"warm-up of {self.k} inputs: a restart anywhere then stays within {self.eps:g}"
            f"{until}, {basis}; {self.longer} sequences are longer"
        )


@with_bar("sequences")
def warmup(
    recurrent: Map,
    sequences: Any,
    *,
    eps: float,
    probability: float = 0.01,
    confidence: float = 0.99,
    head: Any = None,
    norm: Norm | None = None,
    k_max: int | None = None,
    start: Any = None,
    dtype: str = "float64",
    progress: Progress | None = None,
    executor: Executor | Callable[[], Executor] | None = None,
    patience: float = PATIENCE,
) -> Warmup:
    r"""Return after how many inputs a model that starts cold is, and stays, within eps.

    The module's docstring has the statement and its proof.

    Parameters
    ----------
    recurrent : Map
    sequences : (N, T, m) array, list of N arrays (T, m), Sequences, or StoredSequences
        Independent draws from the distribution that the statement is about; those that
        `theory.files.open_sequences` found on disk are read piece by piece.
    eps, probability, confidence : float
        As for `effective_memory`.
    head : LinearHead, array, or output layer, optional
    norm : Norm, optional
        `L2` by default.
    k_max : int, optional
        The largest length that is looked at; fix it before looking at the sequences.
    start : (n,) array, optional
        The state of a cold start, zero by default; see `theory.measure.best_start`.
    dtype : str
        ``"float64"``, or ``"float32"``: errors are then those of a model in single precision.
    progress : callable, optional
        Called with (sequences done, sequences in all); may raise to interrupt.
    executor : Executor, or function that starts one, optional
        Whose workers follow the restarts; see `theory.executors`.
    patience : float
        Seconds without any answer, after which workers count as hung.

    Returns
    -------
    Warmup

    Raises
    ------
    ValueError
        If there are too few sequences for the confidence, or an argument does not fit.
    DivergedError
        If the recurrent model leaves the range of double precision.

    Examples
    --------
    >>> from theory import LinearMap
    >>> X = np.random.default_rng(0).uniform(-1, 1, (459, 20, 1))
    >>> warmup(LinearMap([[0.5]], [[1.0]]), X, eps=0.1).k
    5
    """
    check_map(recurrent)
    given = checked(recurrent, sequences, eps, probability, confidence, "anywhere", None)
    longest = DEFAULT_K_MAX if k_max is None else k_max
    check_count(k_max=longest)
    check_positive(patience=patience)
    if dtype not in DTYPES:
        raise ValueError(f"dtype={dtype!r}, needed one of: {', '.join(DTYPES)}")
    C, measure = output_of(recurrent, head, norm)
    seen = None if np.array_equal(C, np.eye(recurrent.state_dim)) else C
    start = None if start is None else as_vector("start", start, size=recurrent.state_dim)
    lengths = lengths_of(given)
    bounds = cut(lengths, recurrent.input_dim)
    pieces = (
        _Piece(recurrent, dtype, given[lo:hi], lo, int(longest), measure, seen, float(eps), start)
        for lo, hi in bounds
    )
    settled, off = np.zeros(len(given), dtype=np.int64), np.zeros((2, int(longest) + 1))
    errors = np.empty((int(longest) + 1, len(given)))
    done = 0

    def tell(more: float) -> None:
        if progress is not None:
            progress(done + math.floor(more), len(given))

    answers = (
        ((number, _settled(piece, tell)) for number, piece in enumerate(pieces))
        if executor is None
        else finished(_settled, pieces, executor=executor, patience=patience, ahead=_AHEAD)
    )
    for number, (found, counts, part) in answers:
        lo, hi = bounds[number]
        settled[lo:hi], errors[:, lo:hi] = found, part
        off += counts  # whole numbers: in any order the same
        done += hi - lo
        tell(0)
    allowed = allowed_exceedances(len(given), probability, confidence)
    k = int(np.sort(settled)[len(given) - 1 - allowed])
    enough = k <= longest and bool(np.any(lengths > k))
    with np.errstate(invalid="ignore"):
        share = np.where(off[1] > 0, off[0] / np.maximum(off[1], 1), 0.0)
    return Warmup(
        k=k if enough else None,
        eps=float(eps),
        probability=float(probability),
        confidence=float(confidence),
        k_max=int(longest),
        settled=settled,
        lengths=lengths,
        off=share,
        errors=errors,
        allowed=allowed,
        norm=measure,
        dtype=dtype,
    )


class _Piece(NamedTuple):
    """Some sequences, and what is asked of them."""

    recurrent: Map
    dtype: str
    given: Sequence[Array]
    first: int  # the number of the first of them
    k_max: int
    norm: Norm
    C: Array | None
    eps: float
    start: Array | None


def _settled(piece: _Piece, tell: Tell | None = None) -> tuple[npt.NDArray[np.int64], Array, Array]:
    """Return S_i of every sequence, how many restarts are off, of how many, (2, k_max + 1), errors.

    The errors, (k_max + 1, N), are the largest of every length; what is no number counts as inf.
    """
    steps = piece.recurrent if piece.dtype == "float64" else SingleSteps(piece.recurrent)
    off = np.zeros((2, piece.k_max + 1))
    with few_threads(piece.recurrent.state_dim):
        errors = restart_errors(
            piece.recurrent,
            steps,
            [Job(X=X, end=None, number=i) for i, X in enumerate(piece.given, piece.first)],
            piece.k_max,
            piece.norm,
            piece.C,
            tell=tell,
            over=(piece.eps, off),
            restart=piece.start,
        )
    over = ~(errors <= piece.eps)
    settled = np.where(over.any(axis=0), len(over) - np.argmax(over[::-1], axis=0), 0)
    return settled.astype(np.int64), off, np.where(np.isnan(errors), np.inf, errors)


@final
@shown
@dataclass(frozen=True, kw_only=True, eq=False)
class Reset:
    """The answer of `reset`."""

    warmup: Warmup  # how long a restart takes
    periods: tuple[int, ...]  # P, inputs between two resets of one copy
    lost: tuple[float, ...]  # with one copy: share of the outputs that are off by more than eps
    two_copies: int | None  # the least P with two copies that loses nothing but eps, None: unknown

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready description."""
        return {
            "kind": "measured",
            "periods": list(self.periods),
            "lost_with_one_copy": list(self.lost),
            "two_copies": self.two_copies,
            "warmup": self.warmup.to_dict(),
        }

    def __str__(self) -> str:
        lines = [
            f"one copy, reset every {P} inputs: {100 * share:.3g} % of the outputs are off by more "
            f"than {self.warmup.eps:g}"
            for P, share in zip(self.periods, self.lost, strict=True)
        ]
        if self.two_copies is None:
            lines.append("two copies: no period is known to be long enough")
        else:
            lines.append(
                f"two copies, each reset every {self.two_copies} inputs, half a period apart, "
                "reading the older one: every output has "
                f"{self.two_copies // 2} inputs behind it, twice the operations"
            )
        return "\n".join([str(self.warmup), *lines])


@with_bar("sequences")
def reset(
    recurrent: Map,
    sequences: Any,
    *,
    eps: float,
    periods: Iterable[int] = (),
    probability: float = 0.01,
    confidence: float = 0.99,
    head: Any = None,
    norm: Norm | None = None,
    k_max: int | None = None,
    start: Any = None,
    dtype: str = "float64",
    progress: Progress | None = None,
    executor: Executor | Callable[[], Executor] | None = None,
    patience: float = PATIENCE,
) -> Reset:
    r"""Return what resets of the state cost, with one copy of the model or with two in turn.

    Parameters
    ----------
    recurrent : Map
    sequences, eps, probability, confidence, head, norm, k_max, start, dtype, progress
        As for `warmup`.
    executor, patience
        As for `warmup`.
    periods : counts from 1 on
        Inputs between two resets, none longer than `k_max`; by default 1, 2, 4, 8, ... times the
        warm-up.

    Returns
    -------
    Reset
        What is lost is measured: the share over all sequences, times and phases of the period.

    Raises
    ------
    ValueError
        If a period is not between 1 and `k_max`, or as for `warmup`.
    DivergedError
        If the recurrent model leaves the range of double precision.

    Examples
    --------
    >>> from theory import LinearMap
    >>> X = np.random.default_rng(0).uniform(-1, 1, (459, 30, 1))
    >>> answer = reset(LinearMap([[0.5]], [[1.0]]), X, eps=0.1, periods=[10, 20], k_max=25)
    >>> answer.two_copies, [round(share, 2) for share in answer.lost]
    (10, [0.16, 0.08])
    """
    wanted = list(periods)
    for P in wanted:
        check_count(at_least=1, periods=P)
    asked = sorted({int(P) for P in wanted})
    check_map(recurrent)
    given = each(sequences, recurrent.input_dim)
    longest = DEFAULT_K_MAX if k_max is None else k_max
    check_count(k_max=longest)
    seen = min(int(longest), max(map(int, lengths_of(given)), default=0) - 1)
    if asked and not asked[-1] <= seen:
        raise ValueError(
            f"periods={asked[-1]}, needed at most {seen}: the largest length that is looked at "
            "and that a sequence is longer than; raise k_max, or give longer sequences"
        )
    found = warmup(
        recurrent, given, eps=eps, probability=probability, confidence=confidence, head=head,
        norm=norm, k_max=k_max, start=start, dtype=dtype, progress=progress, executor=executor,
        patience=patience,
    )  # fmt: skip
    if not asked:
        first = max(1, found.k or 1)
        asked = [first * 2**i for i in range(8) if first * 2**i <= seen]
    lost = tuple(float(np.mean(found.off[1 : P + 1])) for P in asked)
    two = None if found.k is None else 2 * max(1, found.k)
    if two is not None and not (two <= found.k_max or found.to_the_end):
        two = None  # a copy is followed for so many inputs
    return Reset(warmup=found, periods=tuple(asked), lost=lost, two_copies=two)
