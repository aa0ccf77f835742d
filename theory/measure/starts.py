r"""From which state to start, and whether a long run stays where training has been.

Main names: `best_start`, `BestStart`, `drift`, `Drift`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt

from theory.errors import check_count
from theory.files.sequences import as_list
from theory.maps.base import Map, check_map
from theory.measure.effective_memory import each, lengths_of, output_of
from theory.norms.norm import Norm
from theory.progress import with_bar
from theory.shown import shown
from theory.typing import Array, Progress

#: Windows that are looked at, drawn uniformly from all, where there are more.
WINDOWS = 2048

#: Steps of the search; each halves its length until the worst error falls.
ITERATIONS, HALVINGS = 40, 8

#: How many times later than in training states are taken.
FACTOR = 10


@final
@shown
@dataclass(frozen=True, kw_only=True, eq=False)
class BestStart:
    """A constant start for windows of k inputs."""

    state: Array  # the start, (n,)
    k: int  # inputs in a window
    found_on: tuple[float, float]  # worst error from zero, and from `state`, where it was sought
    held_out: tuple[float, float]  # the same on sequences that were not used in the search
    norm: Norm  # the norm of the error

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready description."""
        return {
            "kind": "measured",
            "state": self.state.tolist(),
            "k": self.k,
            "norm": self.norm.to_dict(),
            "worst_error": {
                name: {"from_zero": zero, "from_state": best}
                for name, (zero, best) in (
                    ("found_on", self.found_on),
                    ("held_out", self.held_out),
                )
            },
        }

    def __str__(self) -> str:
        zero, best = self.held_out
        return (
            f"worst error of a window of {self.k} inputs on sequences that were not used: "
            f"{best:.3g} from the start that was found, {zero:.3g} from zero ({self.norm}; "
            "measured)"
        )


@with_bar("steps")
def best_start(
    recurrent: Map,
    sequences: Any,
    *,
    k: int,
    head: Any = None,
    norm: Norm | None = None,
    rng: np.random.Generator | None = None,
    progress: Progress | None = None,
) -> BestStart:
    r"""Return a constant state from which windows of k inputs err less than from zero.

    Sought is the least worst error over the windows of the first half of the sequences: from zero,
    the mean state and the middle of its range, the best of these is improved by steps against the
    gradient of the worst windows, as long as the worst error falls.  That is a local search; zero
    is kept if nothing is better.  What is found is judged on the other half.

    Parameters
    ----------
    recurrent : Map
    sequences : (N, T, m) array, list of N arrays (T, m), or Sequences
        Two at least, some longer than k.
    k : int
        Inputs in a window.
    head : LinearHead, array, or output layer, optional
    norm : Norm, optional
        `L2` by default.
    rng : numpy.random.Generator, optional
        Draws the windows where there are more than `WINDOWS`; by default they are evenly spaced.
    progress : callable, optional
        Called with (steps done, steps at most); may raise to interrupt.

    Returns
    -------
    BestStart

    Raises
    ------
    ValueError
        If there are too few sequences, or an argument does not fit.
    DivergedError
        If the recurrent model leaves the range of double precision.

    Examples
    --------
    >>> from theory import LinearMap
    >>> X = 1.0 + np.random.default_rng(0).uniform(-1, 1, (20, 30, 1))
    >>> found = best_start(LinearMap([[0.5]], [[1.0]]), X, k=1)
    >>> found.held_out[1] < 0.7 * found.held_out[0]
    True
    """
    check_map(recurrent)
    C, measure = output_of(recurrent, head, norm)
    every = as_list(sequences, recurrent.input_dim)
    check_start(lengths_of(every), k)
    given = [X for X in every if len(X) > k]
    half = len(given) // 2
    fit = _Windows(recurrent, given[:half], int(k), C, measure, rng)
    judge = _Windows(recurrent, given[half:], int(k), C, measure, rng)
    zero = np.zeros(recurrent.state_dim)
    starts = [zero, fit.past.mean(axis=0), 0.5 * (fit.past.min(axis=0) + fit.past.max(axis=0))]
    worst = [fit.worst(one) for one in starts]
    at = int(np.argmin(worst))
    state, least = starts[at], worst[at]
    for i in range(ITERATIONS):
        direction = fit.descent(state)
        step, better = 1.0, False
        for _ in range(HALVINGS):
            tried = state + step * direction
            error = fit.worst(tried)
            if error < least:
                state, least, better = tried, error, True
                break
            step *= 0.5
        if progress is not None:
            progress(i + 1, ITERATIONS)
        if not better:
            break
    return BestStart(
        state=state,
        k=int(k),
        found_on=(worst[0], least),
        held_out=(judge.worst(zero), judge.worst(state)),
        norm=measure,
    )


def check_start(lengths: npt.NDArray[np.int64], k: int) -> None:
    """Raise `ValueError` unless sequences of these lengths tell a best start of k inputs."""
    check_count(k=k)
    longer = int(np.count_nonzero(~(lengths <= k)))
    if longer < 2:
        raise ValueError(
            f"{longer} sequences have more than k = {k} inputs, needed two at least: one to "
            "search on, another to judge what is found"
        )


@final
class _Windows:
    """Windows of k inputs with the recurrent states before and after them."""

    def __init__(
        self,
        recurrent: Map,
        given: list[Array],
        k: int,
        C: Array,
        norm: Norm,
        rng: np.random.Generator | None,
    ) -> None:
        self.map, self.C, self.norm = recurrent, C, norm
        before, after, inputs = [], [], []
        counts = [len(X) - k for X in given]
        total = sum(counts)
        chosen = np.linspace(0, total - 1, min(total, WINDOWS)).astype(np.int64)
        if rng is not None and total > WINDOWS:
            chosen = np.sort(rng.choice(total, WINDOWS, replace=False))
        first = 0
        for X, count in zip(given, counts, strict=True):
            own = chosen[(chosen >= first) & (chosen < first + count)] - first
            first += count
            if not len(own):
                continue
            H = recurrent.simulate(X)
            before.append(H[own])
            after.append(H[own + k])
            inputs.append(np.stack([X[t + 1 : t + 1 + k] for t in own]))
        self.past, self.after = np.concatenate(before), np.concatenate(after)
        self.inputs = np.concatenate(inputs)
        self.terms = recurrent.input_terms(self.inputs)

    def _run(self, start: Array) -> Array:
        """Return all states of all windows, (k + 1, windows, n)."""
        states = [np.repeat(start[None], len(self.past), axis=0)]
        for j in range(self.inputs.shape[1]):
            states.append(self.map.advance(states[-1], self.terms[:, j]))
        return np.stack(states)

    def worst(self, start: Array) -> float:
        """Return the largest error of a window; infinite beyond doubles."""
        with np.errstate(over="ignore", invalid="ignore"):
            d = (self._run(start)[-1] - self.after) @ self.C.T
            error = float(np.max(self.norm.vector(d)))
        return error if np.isfinite(error) else np.inf

    def descent(self, start: Array) -> Array:
        """Return a step that lowers the squared errors of the worst windows, to first order."""
        states = self._run(start)
        d = (states[-1] - self.after) @ self.C.T
        sizes = self.norm.vector(d)
        # those within a tenth of the worst, so that one does not rise while another falls
        near = np.flatnonzero(sizes >= 0.9 * np.max(sizes))[:64]
        n = len(start)
        J = np.repeat(np.eye(n)[None], len(near), axis=0)
        for j in range(self.inputs.shape[1]):
            J = self.map.jacobian_state(states[j][near], self.inputs[near, j]) @ J
        A = (self.C @ J).reshape(-1, n)
        e = d[near].ravel()
        # the least step that solves A step = -e, damped where A says little
        u, s, vt = np.linalg.svd(A, full_matrices=False)
        damped = s / (s**2 + (0.1 * max(float(s[0]), np.finfo(float).tiny)) ** 2)
        step: Array = -(vt.T * damped) @ (u.T @ e)
        return step


@final
@shown
@dataclass(frozen=True, kw_only=True, eq=False)
class Drift:
    """Whether states after long runs are among those seen in training."""

    length: int  # inputs in training
    late: int  # inputs after which states are looked at
    pairs: int  # of independent sequences, an early and a late state of each
    farther: int  # in how many the late state was farther from those of training
    p_value: float  # probability of so many or more, were there no drift
    ratio: float  # median of late over early distances
    outside: Array  # share of sequences whose late state leaves a unit's range in training, (n,)

    @property
    def drifts(self) -> bool:
        """Return whether chance explains so many with a probability below one in a hundred."""
        return bool(self.p_value < 0.01)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready description."""
        return {
            "kind": "measured",
            "length": self.length,
            "late": self.late,
            "pairs": self.pairs,
            "farther": self.farther,
            "p_value": self.p_value,
            "ratio": self.ratio,
            "outside": self.outside.tolist(),
        }

    def __str__(self) -> str:
        found = "states drift" if self.drifts else "no drift is seen"
        worst = int(np.argmax(self.outside))
        return (
            f"{found}: in {self.farther} of {self.pairs} pairs of sequences the state after "
            f"{self.late} inputs is farther from those of training than that after {self.length} "
            f"(p = {self.p_value:.2g}), median ratio of the distances {self.ratio:.3g}; unit "
            f"{worst} is then outside its range in training on "
            f"{100 * float(self.outside[worst]):.3g} % of the sequences"
        )


@with_bar("sequences")
def drift(
    recurrent: Map,
    sequences: Any,
    *,
    length: int,
    factor: int = FACTOR,
    progress: Progress | None = None,
) -> Drift:
    r"""Test whether states after `factor` times the training length are among those of training.

    The first half of the sequences gives the states of training, those after up to `length` inputs.
    The others are taken in pairs: the distance to the nearest of these states, of one after
    `length` inputs, is compared with that of the other after `factor` times as many.  Both are
    independent, so if early and late states have one law the late one is farther with probability
    1/2 at most, and the number of pairs in which it is has an exact binomial limit.  Units are
    scaled by their standard deviation in training.

    Parameters
    ----------
    recurrent : Map
    sequences : (N, T, m) array, list of N arrays (T, m), Sequences, or StoredSequences
        Independent, each with ``factor * length`` inputs at least.
    length : int
        Inputs in training.
    factor : int
    progress : callable, optional
        Called with (sequences done, sequences in all); may raise to interrupt.

    Returns
    -------
    Drift

    Raises
    ------
    ValueError
        If there are fewer than 28 sequences, one is too short, or an argument does not fit.
    DivergedError
        If the model leaves the range of double precision.

    Examples
    --------
    >>> from theory import LinearMap
    >>> X = np.random.default_rng(0).uniform(0, 1, (40, 100, 1))
    >>> drift(LinearMap([[1.0]], [[1.0]]), X, length=10).drifts
    True
    >>> drift(LinearMap([[0.5]], [[1.0]]), X, length=10).drifts
    False
    """
    check_map(recurrent)
    given = each(sequences, recurrent.input_dim)
    late = check_drift(lengths_of(given), length, factor)
    from scipy.spatial import KDTree
    from scipy.stats import binom

    half = len(given) // 2
    seen: list[Array] = []
    early: list[Array] = []
    after: list[Array] = []
    for i, X in enumerate(given):
        odd = (i - half) % 2 == 1
        H = recurrent.simulate(X[: late if i >= half and odd else length])
        if i < half:
            seen.append(H)
        else:
            (after if odd else early).append(H[-1])
        if progress is not None:
            progress(i + 1, len(given))
    early = early[: len(after)]
    states = np.concatenate(seen)
    spread = states.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    tree = KDTree(states / scale)
    near = [tree.query(np.stack(rows) / scale)[0] for rows in (early, after)]
    farther = int(np.count_nonzero(~(near[1] <= near[0])))
    count = len(early)
    low, high = states.min(axis=0), states.max(axis=0)
    rows = np.stack(after)
    outside: npt.NDArray[np.bool_] = ~((rows >= low) & (rows <= high))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(near[1] == near[0], 1.0, near[1] / near[0])
    return Drift(
        length=int(length),
        late=late,
        pairs=count,
        farther=farther,
        p_value=float(binom.sf(farther - 1, count, 0.5)),
        ratio=float(np.median(ratios)),
        outside=outside.mean(axis=0),
    )


def check_drift(lengths: npt.NDArray[np.int64], length: int, factor: int = FACTOR) -> int:
    """Return the later number of inputs, if sequences of these lengths tell a drift until then.

    Raises
    ------
    ValueError
        If they do not.
    """
    check_count(at_least=1, length=length)
    check_count(at_least=2, factor=factor)
    late = int(length) * int(factor)
    short = int(np.min(lengths)) if len(lengths) else 0
    if len(lengths) < _LEAST or not short >= late:
        raise ValueError(
            f"received {len(lengths)} sequences, the shortest with {short} inputs, needed at least "
            f"{_LEAST} with {late} inputs, {factor} times the training length"
        )
    return late


#: Sequences: of seven pairs, all of them farther has probability 2**-7 < 0.01.
_LEAST = 28
