r"""How many inputs a deployed model remembers, measured on its own sequences with a guarantee.

Main names: `effective_memory`, `EffectiveMemory`, `sequences_needed`, `upper_limit`.

The *error* of a truncation length k on one sequence is ||C (h_t - h_t^k)||, C the output, at one
time t or at its worst one (`EVENTS`).  What is observed is a Bernoulli variable for every sequence:
did the error exceed eps?  With independent sequences of one distribution, the number of times it
did is binomial, and the exact (Clopper-Pearson) upper limit of its probability p_k is the largest p
with P(Binomial(N, p) <= observed) >= 1 - confidence.

Statement   Let k be the least length such that it and every longer one up to `k_max` has an upper
            limit of at most `probability`.  Then, with probability at least `confidence` over the
            sequences, a new sequence of the same distribution exceeds eps at k with probability at
            most `probability`; and so it does at every longer length up to `k_max`.
Proof       Let k* be the largest length, up to `k_max`, with p_{k*} > `probability`; if there is
            none, nothing can be wrong.  k* is a number, not a random variable.  The lengths are
            tested from `k_max` down, and the first that fails ends the search.  So if some length
            <= k* was accepted, then k* itself was, whose upper limit is then below p_{k*}; this has
            probability at most 1 - confidence, by the definition of the limit, applied once.
            Having looked at many lengths costs nothing (fixed-sequence testing), and the errors
            need not decrease with k.

`k_max`, eps, `probability` and `confidence` must be chosen before the sequences are looked at.  If
no sequence is longer than `k_max`, then `k_max` is as good as infinite: there is no error at any
longer length on any of them, so each would have passed, and p_k <= P(T > k) tends to 0, so that k*
exists all the same.

Both models start from zero, so a model of k inputs is the recurrent one itself on every sequence
that is not longer: there the error is 0 and says nothing about memory.  The answer is therefore
none if no observation is of more than k inputs (`longer`), as for a model that never forgets.  To
leave an answer out makes no statement, so the proof stands.  If some are longer, but not as many as
would bear the claim by themselves, the claim is true mostly because sequences end; the answer says
so.

This is a statement about sequences *like those given*: of the same distribution (and length), and
independent of each other.  Pieces of one recording are not.  It is measured, never certified; a
certified bound, where there is one, stands beside it and holds for every input sequence.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt

from theory.arithmetic.rounding import evaluate
from theory.certificates import Contraction, check_one_step
from theory.errors import check_count, check_positive
from theory.executors import PATIENCE
from theory.files.sequences import as_list
from theory.files.stored import StoredSequences
from theory.inputs import Inputs
from theory.maps.base import Map, check_map
from theory.maps.head import as_head
from theory.measure.errors import TOLD
from theory.measure.pieces import Ask, errors_in_pieces
from theory.memory.context import Choice
from theory.norms.norm import check_norm
from theory.norms.norms import L2, Norm, same_norm
from theory.pictures import errors_against_k
from theory.progress import with_bar
from theory.shown import frame, shown
from theory.theorems.output_gap import formula as output_gap
from theory.typing import Array, Progress

#: What the error of a sequence is: at the worst of its times, at its last, at one drawn uniformly.
EVENTS = {
    "anywhere": "at some time of a sequence",
    "last": "at the last time of a sequence",
    "random": "at a uniformly drawn time of a sequence",
}

#: The largest truncation length that is looked at unless another one is given.
DEFAULT_K_MAX = 256

#: Levels of the error quantiles in the table.
LEVELS = (0.5, 0.9, 0.99, 1.0)


def upper_limit(exceedances: Any, sequences: int, *, confidence: float) -> Any:
    """Return the exact (Clopper-Pearson) upper confidence limit of a binomial probability.

    Parameters
    ----------
    exceedances : int or array of int
        How often the event was seen.
    sequences : int
        In how many independent trials.
    confidence : float

    Returns
    -------
    float or array
        The largest p for which so few exceedances have probability 1 - confidence or more.

    Examples
    --------
    >>> round(float(upper_limit(0, 459, confidence=0.99)), 6)
    0.009983
    """
    from scipy.stats import beta

    seen = np.asarray(exceedances)
    inside = seen < sequences
    limit = beta.ppf(confidence, seen + 1, np.where(inside, sequences - seen, 1))
    return np.where(inside, limit, 1.0)[()]


def sequences_needed(probability: float, confidence: float, *, exceedances: int = 0) -> int:
    r"""Return how many sequences are enough to bound the probability of an event.

    Without exceedances, (1 - probability)^N <= 1 - confidence, that is
    N >= ln(1 - confidence) / ln(1 - probability).

    Parameters
    ----------
    probability, confidence : float
        Both strictly between 0 and 1.
    exceedances : int
        How many of them may show the event all the same.

    Raises
    ------
    ValueError
        If a level is not inside (0, 1), or `exceedances` is not a count.

    Examples
    --------
    >>> sequences_needed(0.01, 0.99)
    459
    >>> sequences_needed(0.01, 0.99, exceedances=3)
    1001
    """
    check_level("probability", probability)
    check_level("confidence", confidence)
    check_count(exceedances=exceedances)
    seen = operator.index(exceedances)
    # doubling, then bisection: the limit falls with the number of sequences
    low, high = seen, max(1, 2 * seen)
    while upper_limit(seen, high, confidence=confidence) > probability:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if upper_limit(seen, middle, confidence=confidence) > probability:
            low = middle
        else:
            high = middle
    return high


@shown
@final
@dataclass(frozen=True, kw_only=True, eq=False)
class EffectiveMemory:
    """The answer of `effective_memory`: measured on sequences, with a statistical guarantee."""

    k: int | None  # the effective memory; None if no length is enough that any sequence puts to the
    # test, up to k_max
    eps: float  # allowed error
    probability: float  # allowed probability of an error above eps
    confidence: float  # of the statement about that probability
    when: str  # at which time of a sequence the error is taken, one of EVENTS
    norm: Norm  # the norm of the error
    sequences: int  # N, how many independent sequences
    lengths: tuple[int, int]  # the shortest and the longest of them
    longer: npt.NDArray[np.int64]  # how many have more than k inputs until the time that is looked
    # at, so that the model of k inputs is not the recurrent one, (k_max + 1,)
    errors: Array  # error of every length on every sequence, (k_max + 1, N); inf beyond doubles
    exceedances: npt.NDArray[np.int64]  # how many of them exceed eps, (k_max + 1,)
    upper: Array  # upper confidence limit of the probability, each k by itself, (k_max + 1,)
    certificate: Contraction | None = None  # beside it, what is proved
    certified: Array | None = None  # proved bound of the error, (k_max + 1,); inf where none
    certified_k: int | None = None  # least k <= k_max with a proved error of at most eps; it may
    # be the longest length or beyond, as the proof holds for sequences of any length
    certified_for: tuple[Inputs, ...] = ()  # that is proved for inputs in all of these sets
    dtype: str = "float64"  # what the errors were computed in, one of DTYPES

    @property
    def k_max(self) -> int:
        """Return the largest length that was looked at."""
        return len(self.errors) - 1

    @property
    def out_of_range(self) -> npt.NDArray[np.int64]:
        """Return on how many sequences the error leaves the range of doubles, (k_max + 1,)."""
        return np.array([np.count_nonzero(~np.isfinite(row)) for row in self.errors])

    @property
    def longest(self) -> int:
        """Return the largest number of inputs before a time that is looked at, up to k_max + 1."""
        return int(np.count_nonzero(self.longer))

    @property
    def reason(self) -> str | None:
        """Return why there is no k, in a few words; None if there is one."""
        if self.k is not None:
            return None
        if self.longest > self.k_max:
            return (
                f"no k up to {self.k_max} is enough: "
                f"{int(self.exceedances[-1])} exceedances at k = {self.k_max}"
            )
        last = self.longest - 1
        end = "latest time looked at (t" if self.when == "random" else "longest sequence (T"
        return (
            f"no k below the {end} = {self.longest}) is enough: "
            f"{int(self.exceedances[last])} exceedances at k = {last}, and k = {self.longest} is "
            "the recurrent model itself"
        )

    @property
    def longer_suffice(self) -> bool | None:
        """Return whether those longer than k bear the claim by themselves; None without a k.

        The exceedances at k are all among them, as the error of the others is 0.
        """
        if self.k is None:
            return None
        limit = upper_limit(
            self.exceedances[self.k], self.longer[self.k], confidence=self.confidence
        )
        return bool(limit <= self.probability)

    @property
    def allowed(self) -> int:
        """Return the largest number of exceedances with which a length passes; -1 if none does."""
        return allowed_exceedances(self.sequences, self.probability, self.confidence)

    def quantiles(self, levels: Sequence[float] = LEVELS) -> Array:
        """Return the empirical quantiles of the error, (k_max + 1, number of levels).

        Each is one of the observed errors: the least one that so large a part does not exceed;
        infinite where that is one beyond the range of double precision.
        """
        at = np.asarray(levels)
        # row by row: the table may lie on the disk, larger than memory
        return np.array([np.quantile(row, at, method="inverted_cdf") for row in self.errors])

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready description with the whole table."""
        table = [
            {
                "k": k,
                "quantiles": {
                    f"{level:g}": _number(q) for level, q in zip(LEVELS, row, strict=True)
                },
                "longer": int(self.longer[k]),
                "exceedances": int(self.exceedances[k]),
                "out_of_range": int(self.out_of_range[k]),
                "upper_limit": float(self.upper[k]),
                **({} if self.certified is None else {"certified": _number(self.certified[k])}),
            }
            for k, row in enumerate(self.quantiles())
        ]
        return {
            "kind": "measured",
            "k": self.k,
            "reason": self.reason,
            "k_max": self.k_max,
            "longest": self.longest,
            "longer_suffice": self.longer_suffice,
            "epsilon": self.eps,
            "probability": self.probability,
            "confidence": self.confidence,
            "event": EVENTS[self.when],
            "when": self.when,
            "norm": self.norm.to_dict(),
            "dtype": self.dtype,
            "sequences": self.sequences,
            "lengths": list(self.lengths),
            "allowed_exceedances": self.allowed,
            "certificate": None if self.certificate is None else self.certificate.to_dict(),
            "certified_k": self.certified_k,
            "certified_for": [str(inputs) for inputs in self.certified_for],
            "table": table,
        }

    def to_frame(self) -> Any:
        """Return a pandas table with one row for each k, as in `to_dict`; extra: notebook."""
        quantiles = dict(zip((f"{level:g}" for level in LEVELS), self.quantiles().T, strict=True))
        proved = {} if self.certified is None else {"certified": self.certified}
        counts = {"longer": self.longer, "exceedances": self.exceedances, "upper": self.upper}
        return frame({"k": range(self.k_max + 1), **quantiles, **counts, **proved}, index="k")

    def plot(self) -> Any:
        """Return a picture of the quantiles of the error against k, a matplotlib figure.

        Raises
        ------
        MissingExtraError
            If matplotlib is not installed.
        """
        # with longer contexts the model is the recurrent one
        last = min(self.k_max, self.longest - 1)
        curves = [
            ("largest measured" if level == 1 else f"{100 * level:g} % of the sequences",
             "measured", curve)
            for level, curve in zip(LEVELS, self.quantiles()[: last + 1].T, strict=True)
        ]  # fmt: skip
        if self.certified is not None:
            curves.append(("certified bound", "certified", self.certified[: last + 1]))
        ylabel = f"error {EVENTS[self.when]}, in {self.norm}"
        figure, axes = errors_against_k(
            curves, ylabel=ylabel, allowed=self.eps, k=self.k, name="effective memory k"
        )
        axes.set_title(f"{self.sequences} sequences", fontsize=12)
        return figure

    def __str__(self) -> str:
        claim = (
            f"the error {EVENTS[self.when]} exceeds {self.eps:g} with probability at most "
            f"{self.probability:g}"
        )
        basis = (
            f"confidence {self.confidence:g}, {self.sequences} sequences, at most {self.allowed} "
            f"exceedances; {TOLD[self.dtype]}, not certified"
        )
        if self.k is None and self.longest > self.k_max:
            answer = (
                f"no k up to {self.k_max} was found for which {claim}: "
                f"{int(self.exceedances[-1])} exceedances at k = {self.k_max} ({basis})"
            )
            return answer + self._range_note()
        if self.k is None:
            return f"{self.reason}; asked for: {claim} ({basis}){self._range_note()}"
        return f"k = {self.k}: {claim} ({basis}){self._length_note()}{self._range_note()}"

    def _length_note(self) -> str:
        """Return a remark on sequences not longer than k, if there are any."""
        if self.k is None or self.longer[self.k] == self.sequences:
            return ""
        tested = int(self.longer[self.k])
        what = "observed times" if self.when == "random" else "sequences"
        note = f"; {tested} of {self.sequences} {what} have more than k inputs"
        if self.longer_suffice:
            return f"{note}, and are enough by themselves"
        exceeding = int(self.exceedances[self.k])
        needed = sequences_needed(self.probability, self.confidence, exceedances=exceeding)
        return (
            f"{note}, too few to bear the claim by themselves ({needed} needed): on the others "
            "the model of k inputs is the recurrent one, whatever that remembers"
        )

    def _range_note(self) -> str:
        """Return a remark on lengths whose error is no number, if there are any."""
        lost = self.out_of_range
        at = np.flatnonzero(lost)
        if at.size == 0:
            return ""
        return (
            f"; for {_range(at)} the error of the model restarted k steps back leaves the range "
            f"of double precision on up to {int(lost.max())} sequences, which count as exceedances"
        )


@with_bar("sequences")
def effective_memory(
    recurrent: Map,
    sequences: Any,
    *,
    eps: float,
    probability: float = 0.01,
    confidence: float = 0.99,
    when: str = "anywhere",
    head: Any = None,
    norm: Norm | None = None,
    k_max: int | None = None,
    certificate: Contraction | Choice | None = None,
    rng: np.random.Generator | None = None,
    dtype: str = "float64",
    executor: Executor | Callable[[], Executor] | None = None,
    patience: float = PATIENCE,
    keep: str | Path | None = None,
    progress: Progress | None = None,
) -> EffectiveMemory:
    r"""Return the least k whose truncation error exceeds eps with at most a given probability.

    The module's docstring has the statement and its proof.  Both models start from zero.

    Parameters
    ----------
    recurrent : Map
    sequences : (N, T, m) array, list of N arrays (T, m), Sequences, or StoredSequences
        Independent draws from the distribution that the statement is about.
    eps : float
        Allowed error.
    probability : float
        Allowed probability that the error exceeds it.
    confidence : float
        With which the statement is to hold, over the draw of the sequences.
    when : str
        ``"anywhere"`` (default, the strongest): the error of a sequence is its largest over time;
        ``"last"``: the one at its last time; ``"random"``: the one at a time drawn uniformly from
        its own, so that the probability is over the time, too.
    head : LinearHead, array, or output layer, optional
        The output, see `theory.maps.as_head`; by default the part of the state that a head sees.
    norm : Norm, optional
        The norm of the error in the output, `L2` by default.
    k_max : int, optional
        The largest length that is looked at, `DEFAULT_K_MAX` by default; fix it, like `eps`,
        before looking at the sequences.  A sequence of T inputs takes at most k_max T steps of the
        map, and k_max**2 / 2 unless `when` is ``"anywhere"``; a restart that has met the recurrent
        model bit for bit takes no more.
    certificate : Contraction or Choice, optional
        Its bound is put beside: of a contraction, of one step, for all inputs not larger than those
        given; of what `theory.required_context` answered, with the bounds that are known there, for
        the inputs that were asked about, which have to hold those given.
    rng : numpy.random.Generator, optional
        Draws the times; needed for ``when="random"`` only.
    dtype : str
        ``"float64"``, or ``"float32"``: about half the time or less.  The statement is then about
        the model as it computes in single precision; exceedances that are close are looked at again
        in double precision, see `theory.measure.errors`.
    executor : Executor, or function that starts one, optional
        Whose workers measure, such as `theory.executors.processes`; see
        `theory.executors.finished`.
    patience : float
        Seconds without any answer, after which workers count as hung.
    keep : path, optional
        A folder where what is measured is kept, and taken from when the same is asked again: after
        an interruption nothing finished is lost.
    progress : callable, optional
        Called with (sequences done, sequences in all); may raise to interrupt.

    Returns
    -------
    EffectiveMemory
        Its `k` is None if even `k_max` inputs are not enough, or not provably so, and if no k below
        the length of the longest sequence is: with that k the truncated model is the recurrent one,
        whatever it remembers.  Its `reason` says which.

    Raises
    ------
    ValueError
        If there are too few sequences for the confidence (the message says how many are needed), a
        sequence has the wrong width or no inputs, or a level, name or norm does not fit.
    DivergedError
        If the recurrent model leaves the range of double precision.

    Notes
    -----
    Where only the restarted model leaves that range, its error is taken as infinite: it exceeds
    every eps, and the answer says so.

    Examples
    --------
    >>> from theory import LinearMap
    >>> X = np.random.default_rng(0).uniform(-1, 1, (459, 20, 1))
    >>> answer = effective_memory(LinearMap([[0.5]], [[1.0]]), X, eps=0.1)
    >>> answer.k
    5
    >>> answer.sequences, answer.allowed, int(answer.exceedances[5]), int(answer.exceedances[4])
    (459, 0, 0, 12)
    >>> forever = effective_memory(LinearMap([[1.0]], [[1.0]]), X, eps=0.1)
    >>> forever.k is None, forever.longest
    (True, 20)
    """
    check_map(recurrent)
    given = checked(recurrent, sequences, eps, probability, confidence, when, rng)
    longest = DEFAULT_K_MAX if k_max is None else k_max
    check_count(k_max=longest)
    C, measure = output_of(recurrent, head, norm)
    if isinstance(certificate, Choice):
        _check_answers(certificate, recurrent, given, C, measure)
    lengths = lengths_of(given)
    behind = lengths  # inputs until the time that is looked at
    if when == "random" and rng is not None:
        behind = np.array([1 + int(rng.integers(T)) for T in lengths])
    ends = [None if when == "anywhere" else int(end) for end in behind]
    ask = Ask(recurrent, operator.index(longest), measure, C, float(eps), dtype)
    errors = errors_in_pieces(
        ask, given, ends, lengths, executor=executor, patience=patience, keep=keep,
        progress=progress,
    )  # fmt: skip
    seen = np.array([np.count_nonzero(~(row <= eps)) for row in errors])
    upper = np.asarray(upper_limit(seen, len(given), confidence=confidence), dtype=np.float64)
    failing = np.flatnonzero(~(upper <= probability))
    least = 0 if failing.size == 0 else int(failing[-1]) + 1
    not_longer = np.searchsorted(np.sort(behind), np.arange(len(errors)), side="right")
    certified, certified_k = None, None
    sets: tuple[Inputs, ...] = ()
    if isinstance(certificate, Choice):
        certified = certificate.errors(len(errors) - 1)
        sets = (certificate.inputs,)
        certificate = certificate.contraction
    elif certificate is not None:
        certified, sets = certified_errors(
            recurrent, certificate, given, len(errors) - 1, C, measure
        )
    if certified is not None:
        proved = np.flatnonzero(certified <= eps)
        certified_k = int(proved[0]) if proved.size else None
    return EffectiveMemory(
        # a model of as many inputs as any time has behind it is the recurrent one
        k=least if least < len(errors) and not_longer[least] < len(given) else None,
        eps=float(eps),
        probability=float(probability),
        confidence=float(confidence),
        when=when,
        norm=measure,
        sequences=len(given),
        lengths=(int(lengths.min()), int(lengths.max())),
        longer=(len(given) - not_longer).astype(np.int64),
        errors=errors,
        exceedances=seen.astype(np.int64),
        upper=upper,
        certificate=certificate,
        certified=certified,
        certified_k=certified_k,
        certified_for=sets,
        dtype=dtype,
    )


def lengths_of(given: Sequence[Array]) -> npt.NDArray[np.int64]:
    """Return how many inputs each sequence has; of those on disk without reading them."""
    if isinstance(given, StoredSequences):
        return given.lengths
    return np.array([len(X) for X in given], dtype=np.int64)


def allowed_exceedances(sequences: int, probability: float, confidence: float) -> int:
    """Return the largest number of exceedances with which a length passes; -1 if none does."""
    limits = upper_limit(np.arange(sequences + 1), sequences, confidence=confidence)
    return int(np.count_nonzero(limits <= probability)) - 1


def checked(
    recurrent: Map,
    sequences: Any,
    eps: float,
    probability: float,
    confidence: float,
    when: str,
    rng: np.random.Generator | None,
) -> Sequence[Array]:
    """Return the sequences, each by itself, if they bear an answer to this question.

    Raises
    ------
    ValueError
        If an argument does not fit, or there are too few of them.
    """
    check_positive(eps=eps)
    if when not in EVENTS:
        raise ValueError(f"when={when!r}, needed one of {[*EVENTS]}")
    given = each(sequences, recurrent.input_dim)
    needed = sequences_needed(probability, confidence)
    if len(given) < needed:
        raise ValueError(
            f"received {len(given)} sequences, needed at least {needed} for "
            f"probability={probability:g} at confidence={confidence:g}, even if none of them "
            "exceeds eps; collect more independent sequences, or ask for a larger probability or "
            "a smaller confidence"
        )
    if when == "random" and rng is None:
        raise ValueError('when="random" draws times: pass rng=numpy.random.default_rng(seed)')
    return given


def each(sequences: Any, width: int) -> Sequence[Array]:
    """Return the sequences as a list, or as they lie on the disk."""
    if not isinstance(sequences, StoredSequences):
        return as_list(sequences, width)
    sequences.check_width(width)
    short = np.flatnonzero(sequences.lengths == 0)
    if short.size:
        raise ValueError(f"{sequences.name(int(short[0]))} has no inputs, needed T >= 1")
    return sequences


def _number(x: Any) -> float | None:
    """Return a number that JSON has; it has no infinity."""
    return float(x) if math.isfinite(x) else None


def _range(lengths: npt.NDArray[np.int64]) -> str:
    """Return "k = 3" or "k from 3 to 9" for the least and the largest of some lengths."""
    low, high = int(lengths[0]), int(lengths[-1])
    return f"k = {low}" if low == high else f"k from {low} to {high}"


def check_level(name: str, value: float) -> None:
    """Raise `ValueError` unless a probability is strictly between 0 and 1."""
    check_positive(**{name: value})
    if not value < 1:
        raise ValueError(f"{name}={value!r}, needed 0 < {name} < 1")


def output_of(recurrent: Map, head: Any, norm: Norm | None) -> tuple[Array, Norm]:
    """Return the matrix of the output and the norm of its error."""
    C = recurrent.output_map if head is None else as_head(recurrent, head).C
    measure = L2() if norm is None else check_norm(norm)
    measure.check_dim(len(C))
    return C, measure


def _check_answers(
    choice: Choice, recurrent: Map, sequences: Sequence[Array], C: Array, norm: Norm
) -> None:
    """Raise unless what was proved is about this map, this error and these inputs."""
    if choice.recurrent is not recurrent:
        raise ValueError(
            f"the certificate is about {choice.recurrent!r}, needed one about {recurrent!r} itself"
        )
    seen = np.eye(recurrent.state_dim) if choice.head is None else choice.head.C
    if not (np.array_equal(seen, C) and same_norm(choice.norm, norm)):
        raise ValueError(
            f"the certificate bounds another error, in {choice.norm}, needed that of the output "
            f"that is measured, in {norm}; ask theory.required_context with the same head and norm"
        )
    if not all(choice.inputs.contains(X) for X in sequences):
        raise ValueError(
            f"the certificate is for {choice.inputs}, but some sequences hold other inputs; ask "
            "theory.required_context with inputs=theory.Inputs.seen(sequences)"
        )


def certified_errors(
    recurrent: Map, c: Contraction, sequences: Sequence[Array], k_max: int, C: Array, norm: Norm
) -> tuple[Array, tuple[Inputs, ...]]:
    r"""Return the proved bound of the output's error for k = 0 .. k_max, and for which inputs.

    It is rounded upward, and holds for every sequence, of any length, of inputs that are in all of
    the returned sets: in the certificate's domain and not larger, in the companion of its norm,
    than the largest of those given; for a map of which nothing bounds step(0, x) beyond them, made
    of the given inputs.  It is infinite if a given input lies outside the domain.
    """
    check_one_step(c)
    c.norm.check_dim(recurrent.state_dim)
    bound = max(float(np.max(c.norm.companion.vector_upper(X))) for X in sequences)
    inputs = Inputs.ball(bound, c.norm.companion)
    try:
        drive = float(recurrent.drive(c.norm, inputs))
    except ValueError:
        inputs = Inputs.any_of(np.concatenate(list(sequences)))
        drive = float(recurrent.drive(c.norm, inputs))
    sets: tuple[Inputs, ...] = (inputs,)
    if c.domain is not None:
        if not inputs.within(c.domain.inputs, recurrent.input_dim):
            sets = (inputs, c.domain.inputs)
        if not all(c.domain.contains_inputs(X) for X in sequences):
            return np.full(k_max + 1, math.inf), sets
        drive = min(drive, c.drive_of_reach(c.domain.reach))
    lipschitz = norm.matrix_upper(C, c.norm)
    if not math.isfinite(drive * lipschitz):
        return np.full(k_max + 1, math.inf), sets
    errors = [
        evaluate(output_gap, lam=c.lam, k=k, drive=drive, lipschitz=lipschitz)
        for k in range(k_max + 1)
    ]
    return np.array(errors), sets
