r"""Which of a few lengths are enough, without the table of all: as little work as the answer needs.

Main names: `memory_among`, `MemoryAmong`, `search_down`.

Statement   Let K_1 > K_2 > ... be lengths fixed before the sequences are looked at.  They are
            tested from the longest down; a length passes if the upper limit of its probability of
            an error above eps is at most `probability`; the first that fails ends the search.
            Then, with probability at least `confidence` over the sequences, a new sequence of the
            same distribution exceeds eps with probability at most `probability` at every length
            that has passed.
Proof       Let K* be the longest of the lengths whose probability p_{K*} of an error above eps is
            larger than `probability`; if there is none, nothing can be wrong.  Which one it is
            depends on the distribution only, not on the sequences.  If a length that passed is
            wrong, it is <= K*, so K* was tested, as no longer one failed, and passed: the upper
            limit was below p_{K*}.  By the definition of the limit this has probability at most
            1 - confidence.  So the confidence is spent once, however many lengths are tested and
            however they are spaced, and errors need not decrease with the length.
Stopping    A length fails as soon as more sequences exceed eps than any passing length may have;
            the others are then not looked at.  The count can only grow, so the decision is that of
            all sequences, and the proof stands.

Lengths between those that were tested have no guarantee: p need not fall with k.  To go on between
the last that passed and the first that failed would make the choice of the next length depend on
the sequences; the proof would not cover it.

With a certificate a restart leaves as soon as its later errors are proved to be at most half of
eps: ||C (h_t - h_t^k)|| <= ||C|| ||h_t - h_t^k||, and that distance does not grow any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt

from theory.certificates import Contraction, check_one_step
from theory.errors import check_count, check_positive
from theory.maps.base import Map, check_map
from theory.measure.effective_memory import EVENTS, allowed_exceedances, checked, output_of
from theory.measure.errors import DTYPES, TOLD, seen_of
from theory.measure.jobs import Job, window
from theory.measure.restarts import Sweep, together
from theory.measure.single import SingleSteps
from theory.norms.norm import Norm
from theory.progress import with_bar
from theory.shown import shown
from theory.typing import Array, Progress


@final
@shown
@dataclass(frozen=True, kw_only=True, eq=False)
class MemoryAmong:
    """The answer of `memory_among`: measured on sequences, with a statistical guarantee."""

    k: int | None  # the shortest length that passed, if any sequence puts it to the test
    passed: tuple[int, ...]  # all that passed, the longest first
    failed: int | None  # the length that ended the search; None if all passed
    exceedances: tuple[int, ...]  # of the lengths that passed, then of the one that failed
    looked: int  # how many sequences were looked at until the last length failed or passed
    eps: float  # allowed error
    probability: float  # allowed probability of an error above eps
    confidence: float  # of the statement about that probability
    when: str  # at which time of a sequence the error is taken, one of EVENTS
    error: str  # how it is measured: the norm, or the distance of `memory_of`
    sequences: int  # N
    longer: int  # how many sequences have more than k inputs, 0 without a k
    allowed: int  # the largest number of exceedances with which a length passes
    dtype: str = "float64"  # what it was computed in, one of DTYPES

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready description."""
        return {
            "kind": "measured",
            "k": self.k,
            "passed": list(self.passed),
            "failed": self.failed,
            "exceedances": list(self.exceedances),
            "looked": self.looked,
            "epsilon": self.eps,
            "probability": self.probability,
            "confidence": self.confidence,
            "event": EVENTS[self.when],
            "error": self.error,
            "sequences": self.sequences,
            "longer": self.longer,
            "allowed_exceedances": self.allowed,
            "dtype": self.dtype,
        }

    def __str__(self) -> str:
        claim = (
            f"the error ({self.error}) {EVENTS[self.when]} exceeds {self.eps:g} with probability "
            f"at most {self.probability:g}"
        )
        basis = (
            f"confidence {self.confidence:g}, {self.sequences} sequences, at most {self.allowed} "
            f"exceedances; {TOLD[self.dtype]}, not certified"
        )
        end = ""
        if self.failed is not None:
            end = (
                f"; k = {self.failed} fails: {self.exceedances[-1]} exceedances among the first "
                f"{self.looked} sequences"
            )
        if self.k is not None:
            return f"k = {self.k}: {claim} ({basis}; {self.longer} longer than k){end}"
        why = "no length that passed is shorter than any sequence" if self.passed else "none passed"
        return f"no k was found for which {claim}: {why} ({basis}){end}"


@with_bar("sequences")
def memory_among(
    recurrent: Map,
    sequences: Any,
    *,
    lengths: Iterable[int],
    eps: float,
    probability: float = 0.01,
    confidence: float = 0.99,
    when: str = "anywhere",
    head: Any = None,
    norm: Norm | None = None,
    certificate: Contraction | None = None,
    rng: np.random.Generator | None = None,
    dtype: str = "float64",
    progress: Progress | None = None,
) -> MemoryAmong:
    r"""Return the shortest of some lengths that is enough, tested from the longest down.

    The module's docstring has the statement and its proof.  It is the question of
    `effective_memory` without its table: a model whose memory is longer than all lengths is told
    after a few sequences, and the error at the last time takes k steps a sequence, not k**2 / 2.

    Parameters
    ----------
    recurrent : Map
    sequences : (N, T, m) array, list of N arrays (T, m), or Sequences
        Independent draws from the distribution that the statement is about.
    lengths : counts
        The lengths to test, fixed before looking at the sequences.
    eps, probability, confidence : float
        As for `effective_memory`.
    when : str
        ``"anywhere"``, ``"last"`` or ``"random"``.
    head : LinearHead, array, or output layer, optional
    norm : Norm, optional
        `L2` by default.
    certificate : Contraction, optional
        Of one step, for all states and inputs or on a domain that holds the sequences.
    rng : numpy.random.Generator, optional
        Draws the times; needed for ``when="random"`` only.
    dtype : str
        ``"float64"``, or ``"float32"``: errors are then those of a model in single precision.
    progress : callable, optional
        Called with (sequences done, sequences in all) for every length; may raise to interrupt.

    Returns
    -------
    MemoryAmong

    Raises
    ------
    ValueError
        If there are too few sequences for the confidence, no length, or an argument does not fit.
    DivergedError
        If the recurrent model leaves the range of double precision.

    Examples
    --------
    >>> from theory import LinearMap
    >>> X = np.random.default_rng(0).uniform(-1, 1, (459, 20, 1))
    >>> half = LinearMap([[0.5]], [[1.0]])
    >>> answer = memory_among(half, X, lengths=[16, 8, 4, 2], eps=0.1)
    >>> answer.k, answer.failed
    (8, 4)
    """
    check_map(recurrent)
    given = checked(recurrent, sequences, eps, probability, confidence, when, rng)
    asked = longest_first(lengths=lengths)
    if dtype not in DTYPES:
        raise ValueError(f"dtype={dtype!r}, needed one of: {', '.join(DTYPES)}")
    C, measure = output_of(recurrent, head, norm)
    behind = np.array([len(X) for X in given])
    if when == "random" and rng is not None:
        behind = np.array([1 + int(rng.integers(len(X))) for X in given])
    last = when != "anywhere"
    jobs = [
        Job(X=X, end=int(end) if last else None, number=i)
        for i, (X, end) in enumerate(zip(given, behind, strict=True))
    ]
    enough = None if certificate is None else _enough(certificate, given, C, measure, eps)
    shown = None if np.array_equal(C, np.eye(recurrent.state_dim)) else C
    # what a certificate calls enough is about the whole state
    swept, seen = (recurrent, shown) if enough is not None else seen_of(recurrent, shown)
    steps = swept if dtype == "float64" else SingleSteps(swept)
    errors = np.zeros((len(asked), len(jobs)))
    # the longest length by itself, as it may fail at once; then all that the others still need
    spans = [(asked[0], int(np.max(behind)) - 1), (asked[-1], asked[0] - 1)]

    def measure_from(j: int, lo: int) -> int:
        """Measure what is new at a length, on the next sequences; return where the next are."""
        if j > 1 and not last:
            return len(jobs)
        k = asked[j]
        hi = lo + together(steps, jobs[lo:], k)
        span = (k, k) if last else spans[j]
        if span[0] <= span[1]:
            with np.errstate(over="ignore", invalid="ignore"):
                parts = [window(swept, job, k) for job in jobs[lo:hi]]
                sweep = Sweep(swept, steps, parts, measure, seen)
                sweep.enough = enough
                curve = np.zeros((k + 1, hi - lo))
                sweep.run(curve, last, span=span)
            rows = slice(j, j + 1) if last else slice(j, None)
            errors[rows, lo:hi] = np.maximum(errors[rows, lo:hi], curve[asked[rows]])
        return hi

    return search_down(
        asked, errors, behind, measure_from, progress, eps=eps, probability=probability,
        confidence=confidence, when=when, error=str(measure), dtype=dtype,
    )  # fmt: skip


def longest_first(*, at_least: int = 0, **lengths: Iterable[int]) -> list[int]:
    """Return each of the named lengths once, the longest first.

    Raises
    ------
    ValueError
        If there is none, or one is no count; the argument is named.
    """
    ((name, values),) = lengths.items()
    wanted = list(values)
    if not wanted:
        raise ValueError(f"{name} is empty, needed the lengths to test, as in [200, 100, 50]")
    for k in wanted:
        check_count(at_least=at_least, **{name: k})
    return sorted({int(k) for k in wanted}, reverse=True)


def search_down(
    asked: Sequence[int],
    errors: Array,
    behind: npt.NDArray[np.int64],
    measure_from: Callable[[int, int], int],
    progress: Progress | None,
    *,
    eps: float,
    probability: float,
    confidence: float,
    when: str,
    error: str,
    dtype: str = "float64",
) -> MemoryAmong:
    """Test lengths from the longest down until one fails.

    `measure_from(j, i)` overwrites ``errors[j, i:...]`` for the next sequences from i on, and
    returns the first that is left.  A NaN exceeds every eps.  `behind` are the inputs of every
    sequence until the time that is looked at.
    """
    total = errors.shape[1]
    allowed = allowed_exceedances(total, probability, confidence)
    passed: list[int] = []
    counts: list[int] = []
    looked, failed = 0, None
    for j, k in enumerate(asked):
        looked, seen = 0, 0
        while looked < total and seen <= allowed:
            looked = measure_from(j, looked)
            seen = int(np.count_nonzero(~(errors[j, :looked] <= eps)))
            if progress is not None:
                progress(looked, total)
        counts.append(seen)
        if seen > allowed:
            failed = k
            break
        passed.append(k)
    least = passed[-1] if passed else None
    longer = 0 if least is None else int(np.count_nonzero(~(behind <= least)))
    return MemoryAmong(
        k=least if longer else None,
        passed=tuple(passed),
        failed=failed,
        exceedances=tuple(counts),
        looked=looked,
        eps=float(eps),
        probability=float(probability),
        confidence=float(confidence),
        when=when,
        error=error,
        sequences=total,
        longer=longer,
        allowed=allowed,
        dtype=dtype,
    )


def _enough(
    c: Contraction, given: Sequence[Array], C: Array, norm: Norm, eps: float
) -> Callable[[Array], npt.NDArray[np.bool_]]:
    """Return which differences of states are proved to give errors of at most eps / 2 from now."""
    check_one_step(c)
    c.norm.check_dim(C.shape[1])
    if c.domain is not None and not all(c.domain.contains_inputs(X) for X in given):
        raise ValueError(
            "the certificate is for inputs of its domain, but some sequences hold others; ask for "
            "a contraction on a domain that holds them, or leave certificate= out"
        )
    gain = norm.matrix_upper(C, c.norm)
    check_positive(gain=gain)

    def small(d: Array) -> npt.NDArray[np.bool_]:
        sizes: npt.NDArray[np.bool_] = gain * c.norm.vector_upper(d) <= 0.5 * eps
        return sizes

    return small
