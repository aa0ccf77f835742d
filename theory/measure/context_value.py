r"""How much context do data need?  What symbols further back are worth, and what can be proved.

Main names: `context_value`, `ContextValue`, `order_information`, `OrderInformation`,
`blocks_needed`.

`short_memory` says that the best predictor of k symbols loses at most I / (k + 1), I the mutual
information of past and future.  From data the two sides stand like this.

*Code lengths are upper bounds.*  A predictor q that was fixed before the test has code lengths
-log q(x_t | past), of which the mean of their expectations given the past is the mean conditional
entropy of the symbols plus what q loses.  It holds of every process, stationary or not, and of
dependent symbols, for

    M_t = -log q(x_t | past) - E(-log q(x_t | past) | past)

are martingale differences: |mean of M_t| <= radius with the confidence asked for (`_radius`).

*In hindsight there is a lower bound.*  On a given test no function of the last k symbols whatever
has a smaller mean code length than the empirical conditional entropy of the test.  So whatever
sees k symbols is worse on this test than one of our predictors by `hindsight` - `codes`, and some
predictor, ours, is worse by no more than the difference of the codes.  Both are facts about the
test, with no confidence; the first is useless once contexts are rare (then `hindsight` is small).

*An upper bound of I cannot be had from data alone.*  Take any source of positive entropy rate, draw
one word of N symbols of it and repeat the word for ever, at a random phase.  The process is
stationary; T symbols of it have the same law as those of the source unless they run over the word's
end, with probability (T - 1) / N; its entropy rate is 0, and its I, the entropy of what is
repeated, grows with N.  So any number computed from T symbols that exceeded I with probability
1 - delta for every stationary process would exceed all numbers with probability 1 - delta.  It
takes an assumption: of n hidden states, I <= log n; of order m, I <= m log d, and from independent
sequences what `order_information` says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from theory.arithmetic.rounding import up
from theory.errors import as_vector, check_count, check_positive
from theory.measure.ngrams import UNIFORM, as_symbols, ngram_codes
from theory.shown import shown
from theory.theorems.short_memory import short_memory
from theory.typing import Array

#: The weights that `_radius` tries, each with its share of the error: any numbers are sound.
_WEIGHTS = 2.0 ** -np.arange(1.0, 17.0)


@final
@shown
@dataclass(frozen=True, kw_only=True, eq=False)
class ContextValue:
    """What context is worth on a test, in nats a symbol; index k of arrays is k symbols seen."""

    symbols: int  # T, symbols of the test
    alphabet: int  # d
    confidence: float  # of all statements below that need one, together
    codes: Array  # mean code lengths of our predictors of k symbols, (L + 1,): facts
    hindsight: Array  # no predictor of k symbols has a shorter mean code on this test, (L + 1,)
    radius: Array  # |codes - mean of their expectations given the past|, (L + 1,): with confidence
    gains: Array  # codes_k - codes_(k+1), (L,): what one symbol more is worth to our predictors
    gain_radius: Array  # the same of `gains`, (L,)
    excess_low: Array  # our predictor of k symbols loses at least that, (L + 1,): with confidence
    others: Mapping[str, float]  # mean code lengths that were handed in, by name

    @property
    def best(self) -> float:
        """Return the shortest mean code length, of our predictors and of those handed in."""
        return min([float(np.min(self.codes)), *self.others.values()])

    @property
    def entropy_upper(self) -> Array:
        """Return upper bounds of the mean entropy of a symbol given all before it, (L + 1,)."""
        return self.codes + self.radius

    @property
    def at_least(self) -> Array:
        """Return how much worse than `best` every predictor of k symbols is on this test, (L + 1,).

        0 where nothing is shown: contexts of k symbols are too rare in the test.
        """
        return np.maximum(self.hindsight - self.best, 0.0)

    @property
    def at_most(self) -> Array:
        """Return how much worse than `best` some predictor of k symbols, ours, is, (L + 1,)."""
        return self.codes - self.best

    def context(self, tolerance: float = 0.01) -> tuple[int, int | None]:
        """Return enclosing numbers of symbols after which `best` is reached up to a part of it.

        Fewer than the first are not enough for any predictor, on this test; the second is enough
        for ours, None if no number up to L is.

        Raises
        ------
        ValueError
            If the tolerance is not positive.
        """
        check_positive(tolerance=tolerance)
        allowed = tolerance * self.best
        short = np.flatnonzero(self.at_least > allowed)
        good = np.flatnonzero(self.at_most <= allowed)
        return (int(short[-1]) + 1 if len(short) else 0), (int(good[0]) if len(good) else None)

    def short_memory(self, k: int, *, states: int | None = None, order: int | None = None) -> float:
        """Return a bound of what the best predictor of k symbols loses, under an assumption.

        Parameters
        ----------
        k : int
        states : int, optional
            The source is a hidden Markov model of so many states: I <= log states.
        order : int, optional
            The source is Markov of that order: I <= order log d.

        Raises
        ------
        ValueError
            If nothing is assumed: data alone bound no information from above.
        """
        bounds = []
        if states is not None:
            check_count(at_least=1, states=states)
            bounds.append(up(math.log(states)) if states > 1 else 0.0)
        if order is not None:
            check_count(order=order)
            bounds.append(up(order * up(math.log(self.alphabet))) if self.alphabet > 1 else 0.0)
        if not bounds:
            raise ValueError(
                f"{self.symbols} symbols, or any number of them, give no upper bound of the "
                "information of past and future: a word that is longer, repeated, looks the same; "
                "pass states= or order=, what you assume of the source, or see "
                "theory.measure.order_information for independent sequences"
            )
        return short_memory(information=min(bounds), k=k)

    def __str__(self) -> str:
        low, high = self.context()
        enough = f"more than {len(self.codes) - 1}" if high is None else f"{high}"
        return (
            f"{self.symbols} symbols of {self.alphabet}: best code {self.best:.4f} nats; within "
            f"1 % of it no predictor of fewer than {low} symbols is, on this test, and ours of "
            f"{enough}"
        )


def context_value(
    train: Any,
    test: Any,
    *,
    alphabet: int,
    longest: int = 8,
    confidence: float = 0.95,
    accuracy: float | None = None,
    codes: Mapping[str, Any] | None = None,
) -> ContextValue:
    r"""Measure what symbols of context are worth, by predictors of 0 .. longest symbols.

    Parameters
    ----------
    train, test : sequence of int, or sequences of sequences
        Symbols 0 .. alphabet - 1; the test is looked at by nothing that is fitted.
    alphabet : int
        d, symbols that do not occur included.
    longest : int
        L.
    confidence : float
        Of all statements together that are more than facts about the test.
    accuracy : float, optional
        The largest radius of a code length, in nats, that is of use; log d by default, beyond which
        nothing would be said.
    codes : dict of (T,) arrays, optional
        Code lengths in nats of other predictors, such as trained networks, for the symbols of the
        test in order; a part 2**-10 of each prediction is made uniform.

    Returns
    -------
    ContextValue

    Raises
    ------
    ValueError
        If a symbol is outside of the alphabet, an array does not fit, or the test is too short for
        the confidence and accuracy; the message says how many symbols are needed.

    Examples
    --------
    >>> import numpy as np
    >>> from theory.sources import register
    >>> x = register(2, flip=0.1).sample(20000, rng=np.random.default_rng(0))[0]
    >>> found = context_value(x[:10000], x[10000:], alphabet=2, longest=3)
    >>> found.context()
    (2, 2)
    """
    _check_level(confidence)
    if accuracy is not None:
        check_positive(accuracy=accuracy)
    made = ngram_codes(train, test, alphabet=alphabet, longest=longest)
    T, d = made.codes.shape[1], made.alphabet
    others = {}
    for name, given in (codes or {}).items():
        one = as_vector(f"codes[{name!r}]", given, size=T)
        if not np.all(one >= 0):
            raise ValueError(f"codes[{name!r}] has a negative length, needed -log of probabilities")
        others[name] = -np.log((1 - UNIFORM) * np.exp(-one) + UNIFORM / d)
    largest = math.log(d / UNIFORM)
    both = np.vstack([made.codes, *others.values()])
    rows = len(both)
    # every code by itself, and every pair of them: so that the best may be chosen afterwards
    share = 2 * (1 - confidence) / (rows * (rows + 1))
    radius = np.array([_radius(row, 0.0, largest, share) for row in both])
    useful = math.log(d) if accuracy is None else accuracy
    if d > 1 and not np.max(radius[: longest + 1]) <= useful:
        worst = float(np.max(radius[: longest + 1]))
        raise ValueError(
            f"the test has {T} symbols, from which code lengths are known to {worst:.3g} nats with "
            f"confidence {confidence}; needed {useful:.3g}: about "
            f"{_symbols_needed(T, worst, useful)} symbols, a lower confidence, or a larger accuracy"
        )
    means = np.mean(both, axis=1)
    excess = np.zeros(longest + 1)
    for k in range(longest + 1):
        for j in range(rows):
            if j != k and means[k] - means[j] > excess[k]:
                spread = _radius(both[k] - both[j], -largest, largest, share)
                excess[k] = max(excess[k], means[k] - means[j] - spread)
    gains = made.codes[:-1] - made.codes[1:]
    return ContextValue(
        symbols=T,
        alphabet=d,
        confidence=float(confidence),
        codes=means[: longest + 1],
        hindsight=made.hindsight,
        radius=radius[: longest + 1],
        gains=np.mean(gains, axis=1),
        gain_radius=np.array([_radius(row, -largest, largest, share) for row in gains]),
        excess_low=excess,
        others={name: float(np.mean(row)) for name, row in others.items()},
    )


def _radius(values: Array, low: float, high: float, delta: float) -> float:
    r"""Return r with |mean of Z_t - E(Z_t | past)| <= r but with probability delta.

    X_t = (Z_t - low) / (high - low) in [0, 1] and m_t the mean of 1/2 and the X before t.  For
    y = X - m_t >= -1 and 0 <= w < 1,  exp(w y - psi y**2) <= 1 + w y,  psi = -log(1 - w) - w
    (Fan, Grama and Liu 2015), so that exp of the sum of w (X_t - E X_t) - psi (X_t - m_t)**2 is a
    supermartingale from 1, and

        sum of X_t - E X_t <= (log(1 / delta') + psi sum of (X_t - m_t)**2) / w

    but with probability delta'; so of 1 - X.  The best of 16 weights w costs a factor of 16 in
    delta', the two sides one of 2.
    """
    T, width = len(values), high - low
    X = (values - low) / width
    before = (0.5 + np.concatenate([[0.0], np.cumsum(X)[:-1]])) / np.arange(1.0, T + 1)
    square = math.fsum(np.square(X - before).tolist())
    psi = -np.log1p(-_WEIGHTS) - _WEIGHTS
    sums = (math.log(2 * len(_WEIGHTS) / delta) + psi * square) / _WEIGHTS
    return up(width * float(np.min(sums)) / T * (1 + 2.0**-40))


def _symbols_needed(T: int, radius: float, wanted: float) -> int:
    """Return how many symbols bring a radius down, which falls like the root of their number."""
    return math.ceil(T * max((radius / wanted) ** 2, radius / wanted))


def _check_level(confidence: float) -> None:
    check_positive(confidence=confidence)
    if not confidence < 1:
        raise ValueError(f"confidence={confidence!r}, needed a number between 0 and 1")


# what independent sequences of a source of known order say ----------------------------------------


@final
@shown
@dataclass(frozen=True, kw_only=True, eq=False)
class OrderInformation:
    """An upper bound of I from independent sequences of a Markov source of known order."""

    information: float | None  # in nats, with `confidence`; None if order log d is no worse
    trivial: float  # order log d
    order: int
    blocks: int  # N, independent sequences
    needed: int  # N for the accuracy asked for
    confidence: float

    @property
    def reason(self) -> str | None:
        """Return why there is no bound, None if there is one."""
        if self.information is not None:
            return None
        return (
            f"{self.blocks} independent sequences say no more than order log d = "
            f"{self.trivial:.4g} nats; about {self.needed} are needed"
        )


def order_information(
    sequences: Any,
    *,
    alphabet: int,
    order: int,
    confidence: float = 0.95,
    accuracy: float = 0.1,
) -> OrderInformation:
    r"""Bound I of a stationary Markov source of an assumed order, from independent sequences.

    I = (m + 1) H_m - m H_(m+1) for the entropies of m and of m + 1 symbols.  The first m + 1
    symbols of each sequence are N independent blocks, and of the entropy H~ of their frequencies

        H~ - E H~ within log N sqrt(2 log(2 / delta) / N) but with probability delta each
        E H~ <= H <= E H~ + log(1 + (K - 1) / N),   K = d**m or d**(m + 1) words

    (Antos and Kontoyiannis 2001; Paninski 2003).  Symbols of one sequence are not independent, and
    one sequence is one block.

    Parameters
    ----------
    sequences : sequences of sequences of int
        Independent, each a stretch of the source of more than `order` symbols.
    alphabet : int
        d.
    order : int
        m, assumed: nothing here can show that it is large enough.
    confidence : float
        Of the bound, under the assumption.
    accuracy : float
        The widening of the bound, in nats, for which `needed` counts.

    Returns
    -------
    OrderInformation

    Raises
    ------
    ValueError
        If a sequence is too short, or a symbol is outside of the alphabet.

    Examples
    --------
    >>> import numpy as np
    >>> from theory.sources import markov_source
    >>> source = markov_source([[0.9, 0.1], [0.1, 0.9]])
    >>> x = source.sample(2, rng=np.random.default_rng(0), sequences=200_000)
    >>> found = order_information(x, alphabet=2, order=1)
    >>> 0.368 <= found.information <= 0.6, round(found.trivial, 3), found.needed
    (True, 0.693, 2097152)
    """
    check_count(at_least=1, alphabet=alphabet, order=order)
    _check_level(confidence)
    needed = blocks_needed(alphabet, order, accuracy=accuracy, confidence=confidence)
    parts = as_symbols("sequences", sequences, alphabet)
    short = [i for i, part in enumerate(parts) if len(part) <= order]
    if short:
        raise ValueError(
            f"sequences[{short[0]}] has {len(parts[short[0]])} symbols, needed more than the order "
            f"{order}; leave out sequences that are shorter"
        )
    N = len(parts)
    first = np.array([part[: order + 1] for part in parts])
    H = [_frequency_entropy(first[:, :length]) for length in (order, order + 1)]
    spread, bias = _widening(N, alphabet, order, confidence)
    value = (order + 1) * (H[0] + bias + spread) - order * (H[1] - spread)
    trivial = up(order * up(math.log(alphabet)))
    return OrderInformation(
        information=up(value * (1 + 2.0**-40)) if value < trivial else None,
        trivial=trivial,
        order=int(order),
        blocks=N,
        needed=needed,
        confidence=float(confidence),
    )


def _frequency_entropy(words: Any) -> float:
    counts = np.unique(words, axis=0, return_counts=True)[1]
    p = counts / len(words)
    return math.fsum((-p * np.log(p)).tolist())


def _widening(N: int, alphabet: int, order: int, confidence: float) -> tuple[float, float]:
    """Return how far an entropy of frequencies may be off, and its bias for words of the order."""
    # each of the two entropies on one side only
    spread = math.log(N) * math.sqrt(2 * math.log(2 / (1 - confidence)) / N)
    words = order * math.log(alphabet) - math.log(N)
    return spread, math.log1p(math.exp(words)) if words < 700 else words


def blocks_needed(
    alphabet: int, order: int, *, accuracy: float = 0.1, confidence: float = 0.95
) -> int:
    """Return how many independent sequences widen the bound of `order_information` by `accuracy`.

    Parameters
    ----------
    alphabet, order : int
        d and m.
    accuracy : float
        In nats.
    confidence : float

    Returns
    -------
    int
        The least power of 2 that is enough.

    Raises
    ------
    ValueError
        If a number is out of its range.

    Examples
    --------
    >>> blocks_needed(2, 1), blocks_needed(65, 3)
    (2097152, 33554432)
    """
    check_count(at_least=1, alphabet=alphabet, order=order)
    check_positive(accuracy=accuracy)
    _check_level(confidence)
    N = 2
    while True:
        spread, bias = _widening(N, alphabet, order, confidence)
        if (2 * order + 1) * spread + (order + 1) * bias <= accuracy:
            return N
        N *= 2
