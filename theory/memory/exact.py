r"""Errors of linear maps at every context, from both sides, and the least context for an error.

Main names: `exact_errors_of`, `ExactErrors`.

The error of every output is known from both sides (`worst_case_error`).  In a norm of p outputs at
most the norm of all of them together bounds the error, and it is at least that of each one alone:
of one output, and in the maximum norm, both are the same.  So are they of one state, all of whose
outputs are largest at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, final

import numpy as np

from theory.arithmetic.rounding import TINY, product_up
from theory.certificates import Contraction
from theory.memory.kernel import Columns, Kernel
from theory.memory.linear import LinearForm, Push, contraction_of
from theory.memory.one_state import OneState
from theory.memory.sums import block_sums, lower_of, outward, tail_from, upper_of
from theory.norms.norms import Norm
from theory.typing import Array

#: Multiplications after which a sum is not continued here: a fraction of a second.
_WORK = 2.0**31

#: What is left out of a sum, as a part of the error that is asked for.
_REST = 2.0**-34


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Least:
    """The least context that is proved enough."""

    k: int
    error: float  # proved bound of the error at k
    refuted: int | None  # a context that is proved too small, k - 1 where the answer is exact


class ExactErrors(Protocol):
    """Errors at every context, over all histories."""

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
        slack = 1 - 2 * norm.vector_rounding(len(column)) - 2.0**-50
        self.below = max(0.0, float(norm.vector(column)) * slack - 2.0**-1000)

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
        p = kernel.p
        # how long an output of 1 alone is at least
        ones = np.asarray(norm.vector(np.eye(p)))
        self.single = ones * (1 - 2 * norm.vector_rounding(p) - 2.0**-50)

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
        return float(self._below(tail.lower)), float(self._above(tail.upper))

    def _outputs(self, columns: Columns) -> Array:
        """Return the exponents of the outputs in units of some columns."""
        return self.kernel.rows + (self.kernel.scale + columns.shift)

    def _starts(self, eps: float) -> tuple[list[Columns], Array]:
        """Return columns at the first lag of every block, until the rest is small, and the rest."""
        kernel = self.kernel
        columns, starts = kernel.first, []
        most = _WORK / kernel.work
        while True:
            if self.horizon is not None and columns.lag >= self.horizon:
                return starts, np.zeros(kernel.p)
            rest = upper_of(kernel.rest(columns), self._outputs(columns))
            if float(self._above(rest)) <= eps * _REST or columns.lag > most:
                return starts, rest
            starts.append(columns)
            columns = kernel.after(columns, kernel.lags)

    def _block(self, columns: Columns, later: _Later) -> tuple[Array, Array]:
        """Return the errors of every output at the lags of a block, (N, p), from both sides."""
        left = None if self.horizon is None else self.horizon - columns.lag
        e = self._outputs(columns)
        above, below = [], []
        for j, terms in enumerate(self.kernel.terms(columns)):
            upper, lower = terms.upper[:left], terms.lower[:left]
            above.append(_suffixes(upper, e, later.upper[j], 2**self.kernel.row_levels, up=True))
            below.append(_suffixes(lower, e, later.lower[j], 2**self.kernel.row_levels, up=False))
        later.upper = [one[0] for one in above]
        later.lower = [one[0] for one in below]
        return np.max(above, axis=0), np.max(below, axis=0)

    def least(self, eps: float) -> Least | None:
        kernel = self.kernel
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            starts, rest = self._starts(eps)
            if not float(self._above(rest)) <= eps:
                return None
            later = _Later(rest, 2 if kernel.shifted else 1)
            error = float(self._above(rest))
            k = starts[-1].lag + kernel.lags if starts else 0
            k = k if self.horizon is None else min(k, self.horizon)
            for columns in reversed(starts):
                if self._skipped(columns, later, eps):
                    k, error = columns.lag, float(self._above(later.upper[0]))
                    continue
                upper, lower = self._block(columns, later)
                errors = self._above(upper)
                failing = np.flatnonzero(~(errors <= eps))
                if failing.size == 0:
                    k, error = columns.lag, float(errors[0])
                    continue
                i = int(failing[-1])
                if i + 1 < len(errors):
                    k, error = columns.lag + i + 1, float(errors[i + 1])
                too_small = bool(self._below(lower[i]) > eps)
                return Least(k=k, error=error, refuted=k - 1 if too_small else None)
        return Least(k=k, error=error, refuted=None)

    def _skipped(self, columns: Columns, later: _Later, eps: float) -> bool:
        """Add the sum of a whole block, if no error in it is above eps; return whether it was."""
        kernel = self.kernel
        if not kernel.monotone:
            return False
        if self.horizon is not None and self.horizon < columns.lag + kernel.lags:
            return False
        sums, e = kernel.sums(columns), self._outputs(columns)
        upper = np.nextafter(later.upper[0] + upper_of(sums.upper, e), np.inf)
        if not float(self._above(upper)) <= eps:
            return False
        lower = later.lower[0] + lower_of(sums.lower, e)
        later.upper, later.lower = [upper], [np.maximum(np.nextafter(lower, -np.inf), 0.0)]
        return True

    def upper(self, k_max: int) -> Array:
        kernel = self.kernel
        lags = None if self.horizon is None else max(self.horizon - k_max, 0)
        tail = tail_from(kernel, k_max, lags=lags, tol=_REST, work=_WORK)
        later = _Later(tail.upper, 2 if kernel.shifted else 1)
        columns, found = kernel.first, [tail.upper[None]]
        starts: list[Columns] = []
        while columns.lag < k_max:
            starts.append(columns)
            columns = kernel.after(columns, kernel.lags)
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            for columns in reversed(starts):
                e, above = self._outputs(columns), []
                for j, terms in enumerate(kernel.terms(columns)):
                    upper = terms.upper[: k_max - columns.lag]
                    if self.horizon is not None:
                        upper = np.where(
                            columns.lag + np.arange(len(upper))[:, None] < self.horizon, upper, 0.0
                        )
                    above.append(_suffixes(upper, e, later.upper[j], 2**kernel.row_levels, up=True))
                later.upper = [one[0] for one in above]
                found.insert(0, np.max(above, axis=0))
            return self._above(np.vstack(found))


@final
class _Later:
    """The largest sums, for each sign, of what is behind a block."""

    def __init__(self, rest: Array, signs: int) -> None:
        self.upper = [rest] * signs
        self.lower = [np.zeros_like(rest)] * signs


def _suffixes(terms: Array, e: Array, later: Array, rows: int, *, up: bool) -> Array:
    r"""Return the largest sums of the terms from each on, and of what is behind them, (N, p).

    With S_k the sum from k on, and S_N = 0, the largest sum is

        max over j > k of S_k - S_j, or S_k and what is behind.
    """
    backward, factor = block_sums(terms[::-1], rows)
    sizes = block_sums(np.abs(terms[::-1]), rows)[0]
    # S_k, and the least of S_j for j > k
    S = outward(backward, e, up=up)
    least = np.minimum.accumulate(np.vstack([np.zeros((1, S.shape[1])), S[:-1]]), axis=0)
    error = (4 * factor + 2.0**-48) * upper_of(sizes, e) + 4 * TINY + 2.0**-50 * later
    best = np.maximum(np.maximum(S - least, S + later), 0.0)
    if up:
        return np.nextafter(best + error, np.inf)[::-1]
    return np.maximum(np.nextafter(best - error, -np.inf), 0.0)[::-1]
