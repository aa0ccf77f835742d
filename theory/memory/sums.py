r"""Sums of the terms of a kernel from some lag on, enclosed from both sides.

Main names: `tail_from`, `Tail`, `block_sums`, `outward`, `lower_of`, `upper_of`.

Sums over blocks of many lags go on until what a contraction bounds of the rest is below a share of
the sum, or below its own rounding error, or after `WORK` multiplications.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from theory.arithmetic.rounding import UNIT, gamma
from theory.memory.kernel import Columns, Kernel, Terms, in_units
from theory.typing import Array

#: Multiplications after which a sum is not continued: some ten seconds.
WORK = 2.0**36


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Tail:
    """The largest sum of the terms from a lag on, of every output, from both sides."""

    lower: Array  # (p,), finite; of `lags` terms of `sign`
    upper: Array  # (p,)
    sign: Array  # (p,)
    lags: Array  # (p,)
    start: Columns  # at the first lag


def block_sums(terms: Array, rows: int) -> tuple[Array, float]:
    """Return the sums of the terms up to each, (N, p), and a factor of their rounding error.

    Added up in blocks of so many rows, and over the blocks: the error is below the factor times the
    sum of all sizes.
    """
    N, p = terms.shape
    rows = rows if N % rows == 0 else N
    inside = np.cumsum(terms.reshape(-1, rows, p), axis=1)
    before = np.cumsum(inside[:, -1], axis=0)
    inside[1:] += before[:-1, None]
    return inside.reshape(N, p), 2 * gamma(rows + N // rows + 4)


@final
class _Running:
    """Sums of terms of one sign that were added so far, and the largest of them."""

    def __init__(self, p: int) -> None:
        self.total, self.best = np.zeros(p), np.zeros(p)  # of no lag at all: 0
        self.lag = np.zeros(p, dtype=np.int64)
        self.error, self.lags = np.zeros(p), 0

    def add_sum(self, total: Array, lags: int) -> None:
        """Add the sum of terms of which the whole is the largest."""
        self.total = self.best = self.total + total
        self.lags += lags
        self.lag[:] = self.lags
        self.error += 4 * UNIT * np.abs(self.total)

    def add(self, terms: Array, rows: int) -> None:
        """Add terms of either sign."""
        sums, factor = block_sums(terms, rows)
        sizes = np.sum(np.abs(terms), axis=0)
        self.error += factor * sizes + 4 * UNIT * (np.abs(self.total) + sizes)
        at = np.argmax(sums, axis=0)
        largest = self.total + np.take_along_axis(sums, at[None], axis=0)[0]
        better = largest > self.best
        self.best = np.where(better, largest, self.best)
        self.lag = np.where(better, self.lags + at + 1, self.lag)
        self.total = self.total + sums[-1]
        self.lags += len(terms)

    @property
    def lower(self) -> Array:
        """Return a lower bound of the largest sum."""
        return self.best - self.error

    def upper(self, rest: Array | float = 0.0) -> Array:
        """Return an upper bound of it, with a rest behind what was added."""
        whole: Array = (np.maximum(self.best, self.total + rest) + self.error) * (1 + 16 * UNIT)
        return whole


def tail_from(kernel: Kernel, k: int, *, lags: int | None, tol: float, work: float = WORK) -> Tail:
    """Return the largest sums of the terms from lag k on.

    Parameters
    ----------
    kernel : Kernel
    k : int
    lags : int, optional
        How many there are; infinitely many by default.
    tol, work : float
        Where the sum ends.
    """
    start = columns = kernel.after(kernel.first, k)
    p, rows = kernel.p, 2**kernel.row_levels
    signs = 2 if kernel.shifted else 1
    above, below = [_Running(p) for _ in range(signs)], [_Running(p) for _ in range(signs)]
    rest, most = np.zeros(p), work / kernel.work
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        while lags is None or above[0].lags < lags:
            left = None if lags is None else lags - above[0].lags
            shift = columns.shift - start.shift
            if kernel.monotone and (left is None or left >= kernel.lags):
                inside = in_units(kernel.sums(columns), shift)
                above[0].add_sum(inside.upper, kernel.lags)
                below[0].add_sum(inside.lower, kernel.lags)
            else:
                for j, terms in enumerate(kernel.terms(columns)):
                    inside = in_units(terms, shift)
                    above[j].add(inside.upper[:left], rows)
                    below[j].add(inside.lower[:left], rows)
            if lags is not None and above[0].lags >= lags:
                rest = np.zeros(p)
                break
            columns = kernel.after(columns, kernel.lags)
            rest = _rest(kernel, columns, columns.shift - start.shift)
            low = np.max([one.lower for one in below], axis=0)
            high = np.max([one.upper() for one in above], axis=0)
            # a rest below the error of the sum so far: more terms leave the enclosure as wide
            enough = rest <= np.maximum(tol * low, high - low)
            if bool(np.all(enough)) or not np.isfinite(rest).all() or above[0].lags > most:
                break
        low = np.max([one.lower for one in below], axis=0)
        high = np.max([one.upper(rest) for one in above], axis=0)
    exponents = kernel.rows + (kernel.scale + start.shift)
    best = np.argmax([one.lower for one in below], axis=0)
    lag = np.array([one.lag for one in below])
    return Tail(
        lower=lower_of(low, exponents),
        upper=upper_of(high, exponents),
        sign=np.where(best == 0, 1.0, -1.0),
        lags=np.take_along_axis(lag, best[None], axis=0)[0],
        start=start,
    )


def _rest(kernel: Kernel, columns: Columns, shift: int) -> Array:
    rest = kernel.rest(columns)
    return in_units(Terms(upper=rest, lower=rest), shift).upper


def outward(x: Array, exponents: Array, *, up: bool) -> Array:
    """Return x 2^e rounded upward or downward; x is (..., p) and e is (p,)."""
    with np.errstate(over="ignore", invalid="ignore"):
        y = np.ldexp(x, exponents)
        return np.where(_exact(x, y), y, np.nextafter(y, np.inf if up else -np.inf))


def lower_of(x: Array, exponents: Array) -> Array:
    """Return x 2^e rounded downward, at least 0 and finite."""
    below = np.minimum(outward(x, exponents, up=False), sys.float_info.max)
    return np.where(below > 0, below, 0.0)


def upper_of(x: Array, exponents: Array) -> Array:
    """Return x 2^e rounded upward; NaN, of 0 times infinity, is no bound, so inf."""
    above = outward(x, exponents, up=True)
    return np.where(above >= 0, above, np.inf)


def _exact(x: Array, y: Array) -> npt.NDArray[np.bool]:
    """Return where y is x 2^e itself, not rounded to a number of few digits."""
    known: npt.NDArray[np.bool] = (x == 0) | (np.abs(y) >= 2 * sys.float_info.min) & (
        np.abs(y) < sys.float_info.max
    )
    return known
