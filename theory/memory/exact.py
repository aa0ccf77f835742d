r"""Errors of linear maps at every context, from both sides, and the least context for an error.

Main names: `exact_errors_of`, `ExactErrors`.

The error of every output is known from both sides (`worst_case_error`).  In a norm of p outputs at
most the norm of all of them together bounds the error, and it is at least that of each one alone:
of one output, and in the maximum norm, both are the same.  So are they of one state, all of whose
outputs are largest at once.  In the Euclidean norm the ends are brought nearer (`euclid`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, final

import numpy as np

from theory.arithmetic.rounding import TINY, UNIT, ldexp_down, ldexp_up, product_up
from theory.certificates import Contraction
from theory.memory.euclid import EuclideanErrors
from theory.memory.kernel import Columns, Kernel
from theory.memory.linear import LinearForm, Push, contraction_of
from theory.memory.one_state import OneState
from theory.memory.sums import block_sums, outward, tail_from, upper_of
from theory.norms.norms import L2, Norm
from theory.typing import Array

#: Multiplications after which a sum is not continued here: a fraction of a second.
_WORK = 2.0**31

#: Numbers in the matrices that Euclidean errors of several outputs are found from.
_TOGETHER = 2**20

#: By how many steps at most an answer from a table is made smaller.
_SHARPER = 4

#: What is left out of a sum, as a part of the error that is asked for.
_REST = 2.0**-34

#: More than a length loses where its entries underflow.
_LOST = 2.0**-1000


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Least:
    """The least context that is proved enough."""

    k: int
    error: float  # proved bound of the error at k
    refuted: int | None  # a context that is proved too small
    falls: bool = True  # whether the worst error cannot grow with k; all below are then too small


class ExactErrors(Protocol):
    """Errors at every context, over all histories."""

    @property
    def rate(self) -> float:
        """Return the rate at which the map is proved to contract."""

    def at(self, k: int) -> tuple[float, float]:
        """Return a number that some history exceeds or nearly reaches, and one that none does."""

    def least(self, eps: float) -> Least | None:
        """Return the least context for an error of eps; None if none is proved."""

    def upper(self, k_max: int) -> Array:
        """Return bounds of the error for k = 0 .. k_max."""


def exact_errors_of(
    form: LinearForm,
    C: Array,
    push: Push,
    norm: Norm,
    *,
    horizon: int | None = None,
    c: Contraction | None = None,
) -> ExactErrors | None:
    """Return the errors of a linear map; None if it is not seen to contract, or is too large.

    Parameters
    ----------
    form : LinearForm
    C : (p, n) array
        The output.
    push : Push
        What the inputs can do.
    norm : Norm
        Of the error.
    horizon : int, optional
        The longest sequence.
    c : Contraction, optional
        Of h <- A h, from `contraction_of`.
    """
    if len(form.A) == 1:
        if not abs(float(form.A[0, 0])) < 1:
            return None
        return _OfOneState(OneState(form, np.ones((1, 1)), push), C[:, 0], norm, horizon)
    c = contraction_of(form) if c is None else c
    if c is None or not c.lam < 1:
        return None
    kernel = Kernel(form, C, push, norm=c.norm, lam=c.lam, lags=horizon)
    # a sum that is not small after so much work would not be worth its name
    if not (kernel.lam < 1 and kernel.work * kernel.lags <= _WORK):
        return None
    return _OfTable(kernel, norm, attained=push.attained, horizon=horizon)


@final
class _OfOneState:
    """Of one state, whose error shrinks by |a| at every step."""

    def __init__(self, one: OneState, column: Array, norm: Norm, horizon: int | None) -> None:
        self.one, self.horizon = one, horizon
        self.above = float(norm.vector_upper(column))
        # as much below as the bound may be above
        slack = 1 - 2 * norm.vector_rounding(len(column)) - 8 * UNIT
        self.below = max(0.0, float(norm.vector(column)) * slack - _LOST)

    @property
    def rate(self) -> float:
        return abs(self.one.a)

    def at(self, k: int) -> tuple[float, float]:
        lags = None if self.horizon is None else max(self.horizon - k, 0)
        low, high = self.one.errors(k, lags)
        below = float(low[0]) * self.below if self.one.attained else 0.0
        return max(0.0, math.nextafter(below, 0.0)), product_up(float(high[0]), self.above)

    def least(self, eps: float) -> Least | None:
        low, high = -1, 0
        while not self.at(high)[1] <= eps:
            low, high = high, 2 * high + 1
            if high > 2**53:
                return None
        while high - low > 1:
            middle = (low + high) // 2
            if self.at(middle)[1] <= eps:
                high = middle
            else:
                low = middle
        refuted = high - 1 if high and self.at(high - 1)[0] > eps else None
        return Least(k=high, error=self.at(high)[1], refuted=refuted)

    def upper(self, k_max: int) -> Array:
        return np.array([self.at(k)[1] for k in range(k_max + 1)])


@final
class _OfTable:
    """Of several states, from sums of the kernel."""

    def __init__(self, kernel: Kernel, norm: Norm, *, attained: bool, horizon: int | None) -> None:
        self.kernel, self.norm, self.horizon = kernel, norm, horizon
        self.attained = attained and norm.monotone
        p, push = kernel.p, kernel.push
        # several outputs together, of inputs that push both ways alike
        balls = [q for q, _ in push.balls]
        alike = not kernel.shifted and (kernel.monotone or (not push.boxed and balls == [2.0]))
        self.euclidean = norm.plain and norm.p == 2 and p > 1 and self.attained and alike
        # how long an output of 1 alone is at least
        ones = np.asarray(norm.vector(np.eye(p)))
        self.single = ones * (1 - 2 * norm.vector_rounding(p) - 8 * UNIT)

    @property
    def rate(self) -> float:
        return self.kernel.lam

    def _above(self, errors: Array) -> Array:
        """Return bounds of the norm over all errors that are no larger, (N, p) -> (N,)."""
        if self.norm.monotone:
            return np.asarray(self.norm.vector_upper(errors))
        plain = np.asarray(self.norm.companion.vector_upper(errors))
        with np.errstate(over="ignore"):
            return np.nextafter(plain * self.norm.over_companion(errors.shape[-1]), np.inf)

    def _below(self, errors: Array) -> Array:
        """Return numbers that the norm of some error exceeds or nearly reaches."""
        if not self.attained:
            return np.zeros(errors.shape[:-1])
        largest: Array = np.max(errors * self.single, axis=-1)
        return np.maximum(np.nextafter(largest, 0.0), 0.0)

    def at(self, k: int) -> tuple[float, float]:
        lags = None if self.horizon is None else max(self.horizon - k, 0)
        tail = tail_from(self.kernel, k, lags=lags, tol=_REST, work=_WORK)
        low, high = float(self._below(tail.lower)), float(self._above(tail.upper))
        known = self._together(k, low)
        if known is None:
            return low, high
        errors, e = known
        return (
            max(low, ldexp_down(errors.lower(0), e)),
            min(high, ldexp_up(errors.upper(0), e)),
        )

    def _together(self, k: int, size: float) -> tuple[EuclideanErrors, int] | None:
        """Return the Euclidean errors from lag k on, up to a rest of a part of a size, and a unit.

        None in other norms, where bounds of each output are as good, and where there are too many.
        """
        kernel, columns = self.kernel, self.kernel.after(self.kernel.first, k)
        if not self.euclidean or not size > 0:
            return None
        largest = int(np.max(kernel.rows))
        e, start = largest + kernel.scale + columns.shift, columns.shift
        parts: list[tuple[Array, Array]] = []
        most = _TOGETHER / (kernel.m * kernel.p**2)
        while True:
            if self.horizon is not None and columns.lag >= self.horizon:
                rest = 0.0
                break
            rest = float(self._above(upper_of(kernel.rest(columns), self._outputs(columns))))
            if rest <= size * _REST:
                break
            if not len(parts) * kernel.lags <= most:
                return None
            left = None if self.horizon is None else self.horizon - columns.lag
            K, error = kernel.entries(columns)
            exponents = kernel.rows - largest + (columns.shift - start)
            K, error = K[:left], error[:left]
            error = outward(error, exponents, up=True) + TINY
            parts.append((np.ldexp(K, exponents), np.asarray(L2().vector_upper(error))))
            columns = kernel.after(columns, kernel.lags)
        if not parts:
            return None
        table, wrong = (np.concatenate(one) for one in zip(*parts, strict=True))
        together = not kernel.push.boxed
        return EuclideanErrors(table, wrong, ldexp_up(rest, -e), together=together), e

    def _outputs(self, columns: Columns) -> Array:
        """Return the exponents of the outputs in units of some columns."""
        return self.kernel.rows + (self.kernel.scale + columns.shift)

    def _starts(self, eps: float) -> tuple[list[Columns], Array]:
        """Return columns at the first lag of every block, until the rest is small, and the rest."""
        kernel = self.kernel
        columns = kernel.first
        starts: list[Columns] = []
        most = _WORK / kernel.work
        while True:
            if self.horizon is not None and columns.lag >= self.horizon:
                return starts, np.zeros(kernel.p)
            rest = upper_of(kernel.rest(columns), self._outputs(columns))
            whole = float(self._above(rest))
            if whole <= eps * _REST or columns.lag > most or not math.isfinite(whole):
                return starts, rest
            starts.append(columns)
            columns = kernel.after(columns, kernel.lags)

    def _block(self, columns: Columns, later: list[Array], k_max: float = math.inf) -> Array:
        """Return bounds of every output's error at the lags of a block below k_max, (N, p).

        `later` bounds, for each sign, the largest sums of what is behind, and is replaced by that
        of what is behind the block before.
        """
        kernel, e = self.kernel, self._outputs(columns)
        count = min(kernel.lags, k_max - columns.lag)
        inside = count if self.horizon is None else min(count, self.horizon - columns.lag)
        above = []
        for j, terms in enumerate(kernel.terms(columns)):
            upper = terms.upper[: int(max(inside, 0))]
            sums = _suffixes(upper, e, later[j], 2**kernel.row_levels) if len(upper) else upper
            above.append(np.vstack([sums, np.zeros((int(count) - len(upper), kernel.p))]))
            later[j] = above[-1][0]
        largest: Array = np.max(above, axis=0)
        return largest

    def least(self, eps: float) -> Least | None:
        kernel = self.kernel
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            starts, rest = self._starts(eps)
            if not float(self._above(rest)) <= eps:
                return None
            later = [rest] * (2 if kernel.shifted else 1)
            k = starts[-1].lag + kernel.lags if starts else 0
            for columns in reversed(starts):
                if self._skipped(columns, later, eps):
                    k = columns.lag
                    continue
                failing = np.flatnonzero(~(self._above(self._block(columns, later)) <= eps))
                k = columns.lag + (int(failing[-1]) + 1 if failing.size else 0)
                if failing.size:
                    break
        k = k if self.horizon is None else min(k, self.horizon)
        if self.euclidean and k > 0:
            return self._least_together(k, eps)
        k, error = self._sharper(k, eps)
        # a drift may cancel: then less context may be enough again
        return Least(
            k=k,
            error=error,
            refuted=k - 1 if k and self.at(k - 1)[0] > eps else None,
            falls=not self.kernel.shifted,
        )

    def _sharper(self, k: int, eps: float) -> tuple[int, float]:
        """Return a context that is enough, or a few less: sums from k on are a little sharper."""
        error = self.at(k)[1]
        for _ in range(_SHARPER):
            before = self.at(k - 1)[1] if k else math.inf
            if not before <= eps:
                break
            k, error = k - 1, before
        return k, error

    def _least_together(self, enough: int, eps: float) -> Least:
        """Return the least context between 0 and one that is enough, for a Euclidean error."""
        known = self._together(0, eps)
        if known is None:
            return Least(k=enough, error=self.at(enough)[1], refuted=None)
        errors, e = known

        def split(small: int, most: int, fails: Callable[[int], bool]) -> tuple[int, int]:
            while most - small > 1:
                middle = (small + most) // 2
                small, most = (middle, most) if fails(middle) else (small, middle)
            return small, most

        # errors do not grow with k, as inputs push both ways alike
        _, k = split(-1, enough, lambda j: not ldexp_up(errors.upper(j), e) <= eps)
        refuted, _ = split(-1, k, lambda j: ldexp_down(errors.lower(j), e) > eps)
        k, error = self._sharper(k, eps)
        return Least(k=k, error=error, refuted=refuted if refuted >= 0 else None)

    def _skipped(self, columns: Columns, later: list[Array], eps: float) -> bool:
        """Add the sum of a whole block, if no error in it is above eps; return whether it was."""
        kernel = self.kernel
        if not kernel.monotone:
            return False
        if self.horizon is not None and not columns.lag + kernel.lags <= self.horizon:
            return False
        sums = upper_of(kernel.sums(columns).upper, self._outputs(columns))
        upper = np.nextafter(later[0] + sums, np.inf)
        if not float(self._above(upper)) <= eps:
            return False
        later[0] = upper
        return True

    def upper(self, k_max: int) -> Array:
        kernel = self.kernel
        lags = None if self.horizon is None else max(self.horizon - k_max, 0)
        tail = tail_from(kernel, k_max, lags=lags, tol=_REST, work=_WORK)
        later = [tail.upper] * (2 if kernel.shifted else 1)
        columns, found = kernel.first, [tail.upper[None]]
        starts: list[Columns] = []
        while columns.lag < k_max:
            starts.append(columns)
            columns = kernel.after(columns, kernel.lags)
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            for columns in reversed(starts):
                found.insert(0, self._block(columns, later, k_max))
            return self._above(np.vstack(found))


def _suffixes(terms: Array, e: Array, later: Array, rows: int) -> Array:
    r"""Bound the largest sums of the terms from each on, and of what is behind them, (N, p).

    With S_k the sum from k on, and S_N = 0, the largest sum is

        max over j > k of S_k - S_j, or S_k and what is behind.
    """
    backward, factor = block_sums(terms[::-1], rows)
    sizes = block_sums(np.abs(terms[::-1]), rows)[0]
    S = outward(backward, e, up=True)
    least = np.minimum.accumulate(np.vstack([np.zeros((1, S.shape[1])), S[:-1]]), axis=0)
    # two sums, each off by a factor of the sizes, their difference and what is made of it
    error = (4 * factor + 32 * UNIT) * upper_of(sizes, e) + 4 * TINY + 8 * UNIT * later
    best = np.maximum(np.maximum(S - least, S + later), 0.0)
    return np.nextafter(best + error, np.inf)[::-1]
