r"""Code lengths of predictors of the last k symbols: interpolated n-grams, modified Kneser-Ney.

Main names: `ngram_codes`, `NgramCodes`.

After Chen and Goodman (1998).  The predictor of k symbols counts what followed them in training,
takes a discount off every count, and gives what was taken off to the predictor of k - 1 symbols,
in which a symbol counts once for each symbol that stood before; the last in line is uniform.  A
sequence begins after `k` marks, which are seen but not predicted: a predictor of k symbols knows
whether the sequence began less than k symbols ago.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt

from theory.errors import check_count
from theory.shown import shown
from theory.typing import Array

Ints = npt.NDArray[np.int64]

#: The part of every prediction that is uniform, so that no code is longer than log(d / UNIFORM).
UNIFORM = 2.0**-10

#: Contexts are numbered by classes of contexts times symbols, which have to fit into 63 bits.
_MOST_SYMBOLS = 2**31


@final
@shown
@dataclass(frozen=True, kw_only=True, eq=False)
class NgramCodes:
    """Code lengths of the symbols of a test, in nats, for every number of symbols seen."""

    codes: Array  # -log q_k(x_t | the k symbols before), (longest + 1, T)
    hindsight: (
        Array  # the least mean code of any function of k symbols on this test, (longest + 1,)
    )
    alphabet: int


def as_symbols(name: str, value: Any, alphabet: int) -> list[Ints]:
    """Return sequences of symbols 0 .. alphabet - 1 as a list of arrays.

    Raises
    ------
    ValueError
        If a sequence is empty or not of integers, or a symbol is outside of the alphabet.
    """
    if isinstance(value, np.ndarray) and value.ndim == 2 and value.size:
        whole = as_symbols(name, value.ravel(), alphabet)[0]
        return list(whole.reshape(value.shape))
    parts = [value] if np.ndim(value[0] if len(value) else 0) == 0 else list(value)
    found = []
    for i, part in enumerate(parts):
        array = np.asarray(part)
        where = name if len(parts) == 1 else f"{name}[{i}]"
        if array.ndim != 1 or len(array) == 0 or array.dtype.kind not in "iu":
            raise ValueError(
                f"{where} has shape {array.shape} and type {array.dtype}, needed a sequence of "
                f"integers 0 .. {alphabet - 1}; number the symbols, as numpy.unique does"
            )
        outside = (array < 0) | (array >= alphabet)
        if outside.any():
            t = int(np.flatnonzero(outside)[0])
            raise ValueError(
                f"{where} has the symbol {int(array[t])} at {t}, outside of the alphabet "
                f"0 .. {alphabet - 1}; give symbols that training does not know a class of their "
                "own, and count it in alphabet="
            )
        found.append(array.astype(np.int64))
    return found


def _joined(parts: Sequence[Ints], mark: int, longest: int) -> Ints:
    marks = np.full(longest, mark, dtype=np.int64)
    return np.concatenate([one for part in parts for one in (marks, part)])


def ngram_codes(train: Any, test: Any, *, alphabet: int, longest: int = 8) -> NgramCodes:
    r"""Fit predictors of 0 .. longest symbols to a training set, and encode a test with them.

    Parameters
    ----------
    train, test : sequence of int, or sequences of sequences
        Symbols 0 .. alphabet - 1.
    alphabet : int
        d.
    longest : int
        The largest number of symbols seen.

    Returns
    -------
    NgramCodes

    Raises
    ------
    ValueError
        If a symbol is outside of the alphabet, or a count is none.

    Examples
    --------
    >>> found = ngram_codes([0, 1] * 50, [0, 1] * 5, alphabet=2, longest=1)
    >>> [round(float(one), 2) for one in found.codes.mean(axis=1)]
    [0.69, 0.02]
    """
    check_count(at_least=1, alphabet=alphabet)
    check_count(longest=longest)
    d = int(alphabet)
    if not d < _MOST_SYMBOLS:
        raise ValueError(
            f"alphabet={alphabet}, needed fewer than {_MOST_SYMBOLS}; number the symbols that "
            "occur, as numpy.unique does"
        )
    first, second = (
        _joined(as_symbols(name, one, d), d, longest)
        for name, one in (("train", train), ("test", test))
    )
    symbols = np.concatenate([first, second])
    known = symbols != d
    target, judged = known.copy(), known.copy()
    target[len(first) :] = False
    judged[: len(first)] = False
    lower = np.full(int(judged.sum()), 1.0 / d)  # of the continuation counts, one order below
    grams = symbols.astype(np.int64)  # the class of the last k + 1 symbols, at each time
    before = np.zeros(len(symbols), dtype=np.int64)  # the class of the k symbols before
    codes, hindsight = [], []
    for k in range(longest + 1):
        grams = _classes(grams)
        raw = np.bincount(grams[target], minlength=int(grams.max()) + 1)
        q = _interpolated(raw, grams, before, target, judged, lower)
        codes.append(-np.log((1 - UNIFORM) * q + UNIFORM / d))
        hindsight.append(_hindsight(grams[judged], before[judged]))
        if k == longest:
            break
        # one symbol more: the classes of k + 2 symbols, each of which extends one of k + 1
        longer = np.zeros_like(grams)
        longer[1:] = grams[:-1] * (d + 1) + symbols[1:]
        longer = _classes(longer)
        _, places = np.unique(longer[target], return_index=True)
        ends = grams[target][places]
        extended = np.bincount(ends, minlength=len(raw))
        # what begins a sequence has one symbol before it, the mark, however often it occurs
        begins = np.zeros(len(symbols), dtype=bool)
        begins[k:] = symbols[: len(symbols) - k] == d
        initial = np.zeros(len(raw), dtype=bool)
        initial[grams[begins]] = True
        lower = _interpolated(
            np.where(initial, raw, extended), grams, before, target, judged, lower
        )
        before = np.zeros_like(grams)
        before[1:] = grams[:-1]
        grams = longer
    return NgramCodes(codes=np.array(codes), hindsight=np.array(hindsight), alphabet=d)


def _classes(keys: Ints) -> Ints:
    return np.unique(keys, return_inverse=True)[1].astype(np.int64)


def _interpolated(
    counts: Ints, grams: Ints, before: Ints, target: Any, judged: Any, lower: Array
) -> Array:
    """Return the predictions of the judged symbols, from counts of grams and the order below."""
    places = np.unique(grams[target], return_index=True)
    owners = before[target][places[1]]  # what stands before each gram that was counted
    own = counts[places[0]]
    discounts = _discounts(own)
    size = int(before.max()) + 1
    totals = np.bincount(owners, weights=own, minlength=size)
    given = np.bincount(owners, weights=discounts[np.minimum(own, 3)], minlength=size)
    c, total = counts[grams[judged]], totals[before[judged]]
    seen = total > 0
    safe = np.where(seen, total, 1.0)
    direct = np.maximum(c - discounts[np.minimum(c, 3)], 0.0) / safe
    return np.where(seen, direct + given[before[judged]] / safe * lower, lower)


def _discounts(counts: Ints) -> Array:
    """Return what is taken off counts of 0, 1, 2 and of 3 and more."""
    n = [int(np.sum(counts == j)) for j in (1, 2, 3, 4)]
    if not all(n):
        return np.array([0.0, 0.5, 0.5, 0.5])
    y = n[0] / (n[0] + 2 * n[1])
    found = [j - (j + 1) * y * n[j] / n[j - 1] for j in (1, 2, 3)]
    # a discount outside of its count would make a negative probability
    return np.array(
        [0.0, *(min(max(one, 0.0), j) for j, one in zip((1, 2, 3), found, strict=True))]
    )


def _hindsight(grams: Ints, before: Ints) -> float:
    r"""Return the empirical conditional entropy: no function of what stands before codes shorter.

    The mean of -log q(x | c) is at least that of -log of the frequency of x after c, by Gibbs'
    inequality for every c.
    """
    n = np.bincount(grams)
    whole = np.bincount(before)
    p = n[grams] / whole[before]
    return math.fsum((-np.log(p)).tolist()) / len(grams)
