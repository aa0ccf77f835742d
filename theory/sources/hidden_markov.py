r"""A hidden Markov model, as a stationary source of symbols.

Main name: `HiddenMarkovModel`.

    s_0 by `start`;  x_t = a with probability E[s_t, a];  s_(t+1) = j with probability A[s_t, j]
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, final

import numpy as np
import numpy.typing as npt

from theory.arithmetic.rounding import gamma, up
from theory.errors import as_matrix, as_square, as_vector, check_count
from theory.shown import shown
from theory.sources.hilbert import ELEMENTARY, total_variation_of_distance
from theory.typing import Array

#: States up to which the stationary distribution is computed in rationals.
EXACT_STATES = 24


def check_model(model: Any) -> HiddenMarkovModel:
    """Raise `ValueError` for anything but a hidden Markov model."""
    if not isinstance(model, HiddenMarkovModel):
        raise ValueError(
            f"model={model!r}, needed a HiddenMarkovModel(A, E) of transition and emission "
            "probabilities; theory.interop.from_hmmlearn makes one of a fitted model"
        )
    return model


@final
@shown
@dataclass(frozen=True, eq=False, repr=False)
class HiddenMarkovModel:
    r"""A stationary hidden Markov model over finitely many states and symbols.

    The model meant is that of the exact numbers with every row divided by its exact sum; the start
    is stationary, so that the symbols are.

    Parameters
    ----------
    A : (n, n) array
        A[i, j] is the probability of state j after state i.
    E : (n, d) array
        E[i, a] is the probability of symbol a in state i.
    start : (n,) array, optional
        A stationary distribution, needed where the chain has several: it is read as the weights of
        the closed classes, and inside a class the exact distribution is taken.

    Raises
    ------
    ValueError
        If a row does not add up to 1 up to rounding, an entry is negative, a state is left for
        good, or the chain has several stationary distributions and none of them is given.

    Examples
    --------
    >>> model = HiddenMarkovModel([[0.9, 0.1], [0.2, 0.8]], [[0.8, 0.2], [0.3, 0.7]])
    >>> model.stationary.round(6).tolist()
    [0.666667, 0.333333]
    """

    A: Array  # A, (n, n)
    E: Array  # E, (n, d)
    start: Array | None = None  # (n,)

    def __init__(
        self, A: npt.ArrayLike, E: npt.ArrayLike, *, start: npt.ArrayLike | None = None
    ) -> None:
        transition = as_square("A", A)
        emission = as_matrix("E", E, rows=len(transition))
        for name, matrix, what in (("A", transition, "state"), ("E", emission, "symbol")):
            _check_rows(name, matrix, what)
        given = None if start is None else as_vector("start", start, size=len(transition))
        if given is not None:
            _check_rows("start", given[None], "state")
        object.__setattr__(self, "A", transition)
        object.__setattr__(self, "E", emission)
        object.__setattr__(self, "start", given)
        object.__setattr__(self, "_classes", _closed_classes(transition, given))
        if given is not None and not np.all(
            np.abs(given - self.stationary) <= _allowed(len(transition))
        ):
            moved = given @ self.transition
            i = int(np.argmax(np.abs(moved - given)))
            raise ValueError(
                f"start is not stationary: state {i} has probability {given[i]:.6g} and "
                f"{moved[i]:.6g} one step later, needed start @ A = start; leave start out where "
                "the chain has one stationary distribution only"
            )

    @property
    def states(self) -> int:
        """Return n, the number of hidden states."""
        return len(self.A)

    @property
    def symbols(self) -> int:
        """Return d, the size of the alphabet."""
        return int(self.E.shape[1])

    @cached_property
    def transition(self) -> Array:
        """Return A with rows that add up to 1; every entry errs relatively by at most 2 u."""
        return _normalised(self.A)

    @cached_property
    def emission(self) -> Array:
        """Return E with rows that add up to 1; every entry errs relatively by at most 2 u."""
        return _normalised(self.E)

    @cached_property
    def stationary(self) -> Array:
        """Return the distribution of the state at every time, (n,)."""
        classes: list[Any] = self._classes  # type: ignore[attr-defined]
        found = np.zeros(self.states)
        for members in classes:
            weight = 1.0
            if self.start is not None and len(classes) > 1:
                weight = math.fsum(self.start[members]) / math.fsum(self.start)
            found[members] = weight * _stationary(self.A[np.ix_(members, members)])
        return found

    @cached_property
    def exact(self) -> bool:
        """Return whether `stationary` is known to a relative error of 6 u."""
        classes: list[Any] = self._classes  # type: ignore[attr-defined]
        return max(len(members) for members in classes) <= EXACT_STATES

    @cached_property
    def diameter(self) -> float:
        r"""Return max log(A_ij A_kl / (A_il A_kj)) over all, rounded up; inf if an entry is 0.

        Twice the largest distance that one step can leave between beliefs, in Hilbert's metric:
        that of the images of two states, which does not depend on what is observed.
        """
        if not np.all(self.A > 0):
            return math.inf
        logs = np.log(self.A)
        widest = 0.0
        for i in range(self.states):
            r = logs - logs[i]
            widest = max(widest, float(np.max(np.max(r, axis=1) - np.min(r, axis=1))))
        # four logarithms, each to ELEMENTARY |log|, and three differences
        spare = 4 * ELEMENTARY * float(np.max(np.abs(logs))) + gamma(8) * widest
        return up(widest + spare) if self.states > 1 else 0.0

    @cached_property
    def birkhoff(self) -> float:
        """Return tanh(diameter / 4), Birkhoff's factor of the filter, rounded up; 1 if unknown."""
        return total_variation_of_distance(self.diameter)

    def sample(self, length: int, *, rng: np.random.Generator, sequences: int = 1) -> Any:
        """Return symbols of independent sequences, (sequences, length), of type int64.

        Raises
        ------
        ValueError
            If a count is not one.
        """
        check_count(length=length)
        check_count(at_least=1, sequences=sequences)
        moves, shows = np.cumsum(self.transition, axis=1), np.cumsum(self.emission, axis=1)
        state = _draw(np.broadcast_to(np.cumsum(self.stationary), (sequences, self.states)), rng)
        found = np.empty((sequences, length), dtype=np.int64)
        for t in range(length):
            found[:, t] = _draw(shows[state], rng)
            state = _draw(moves[state], rng)
        return found

    def check_symbols(self, symbols: Any) -> Any:
        """Return symbols as integers, (..., T).

        Raises
        ------
        ValueError
            If one is not in the alphabet 0 .. d - 1.
        """
        array = np.asarray(symbols)
        if array.size == 0:
            return array.astype(np.int64)
        if array.dtype.kind not in "iu":
            raise ValueError(
                f"symbols of type {array.dtype}, needed integers 0 .. {self.symbols - 1}"
            )
        outside = (array < 0) | (array >= self.symbols)
        if outside.any():
            where = tuple(int(i) for i in np.argwhere(outside)[0])
            raise ValueError(
                f"symbol {int(array[where])} at index {where} is outside of the alphabet "
                f"0 .. {self.symbols - 1}; a model that may see others needs a symbol for them"
            )
        return array.astype(np.int64)

    def __repr__(self) -> str:
        return f"HiddenMarkovModel({self.states} states, {self.symbols} symbols)"


def _draw(cumulative: Array, rng: np.random.Generator) -> Any:
    """Return one index a row, drawn by rows of cumulative probabilities."""
    level = rng.random(len(cumulative))[:, None] * cumulative[:, -1:]
    return np.sum(cumulative[:, :-1] <= level, axis=1)


def _allowed(n: int) -> float:
    """Return by how much a row may miss 1 that was divided by its computed sum.

    The sum errs by gamma(n), each quotient by u, and single precision by 2**29 as much.
    """
    return 2.0**29 * gamma(n + 4)


def _check_rows(name: str, matrix: Array, what: str) -> None:
    if not np.all(matrix >= 0):
        i, j = (int(v) for v in np.argwhere(~(matrix >= 0))[0])
        raise ValueError(f"{name}[{i}, {j}] = {matrix[i, j]:.6g}, needed probabilities >= 0")
    for i, row in enumerate(matrix.tolist()):
        total = math.fsum(row)
        if total == 0:
            raise ValueError(
                f"row {i} of {name} is zero, needed probabilities of every {what} that add up to "
                "1; a state that was never visited in fitting has such a row: leave it out"
            )
        if not abs(total - 1) <= _allowed(len(row)):
            raise ValueError(
                f"row {i} of {name} adds up to {total:.9g}, needed 1; divide each row by its sum "
                "if these are counts"
            )


def _normalised(matrix: Array) -> Array:
    # an exact sum, rounded once, and a quotient
    totals = np.array([math.fsum(row) for row in matrix.tolist()])
    scaled: Array = matrix / totals[:, None]
    scaled.flags.writeable = False
    return scaled


def _closed_classes(A: Array, start: Array | None) -> list[Any]:
    """Return the closed communicating classes, if a distribution over them is known."""
    from scipy.sparse.csgraph import connected_components

    count, label = connected_components(A > 0, connection="strong")
    closed = [
        members
        for members in (np.flatnonzero(label == c) for c in range(count))
        if not np.any(np.delete(A[members], members, axis=1) > 0)
    ]
    staying = sorted(int(i) for members in closed for i in members)
    if len(staying) < len(A):
        left = sorted(set(range(len(A))) - set(staying))
        raise ValueError(
            f"the chain is reducible: it leaves state {left[0]} for good, needed a chain that "
            f"returns to every state; leave out the states {left}"
        )
    if len(closed) > 1 and start is None:
        raise ValueError(
            f"the chain is reducible: {len(closed)} classes of states are never left, such as "
            f"{closed[0].tolist()} and {closed[1].tolist()}, so that no stationary distribution is "
            "the only one; pass start=, the one that is meant"
        )
    return closed


def _stationary(A: Array) -> Array:
    """Return the stationary distribution of an irreducible chain, rows up to a factor."""
    n = len(A)
    if n > EXACT_STATES:
        return _eliminated(_normalised(A).astype(object).tolist(), float)
    rows = [[Fraction(a) for a in row] for row in A.tolist()]
    return _eliminated([[a / total for a in row] for row in rows if (total := sum(row))], Fraction)


def _eliminated(P: list[list[Any]], number: Any) -> Array:
    """Return the stationary distribution by elimination without subtractions.

    Grassmann, Taksar and Heyman (1985): a state is left out and its visits are passed through.
    """
    n = len(P)
    for k in range(n - 1, 0, -1):
        total = sum(P[k][:k], number(0))
        for i in range(k):
            P[i][k] = P[i][k] / total
            if P[i][k]:
                for j in range(k):
                    P[i][j] += P[i][k] * P[k][j]
    weights = [number(1)]
    for k in range(1, n):
        weights.append(sum((weights[i] * P[i][k] for i in range(k)), number(0)))
    whole = sum(weights, number(0))
    return np.array([float(w / whole) for w in weights])
