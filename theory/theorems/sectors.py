r"""What a difference of states becomes in one step, as sums of terms in sectors.

Main names: `Sectors`, `Sector`, `sectors_hold`.

A difference d of two states is cut into parts of n entries.  A sector is a term s between a y and
b y, unit by unit; with the middle m and the half width r of [a, b]

    s = m y + r w,        |w_j| <= |y_j|,

and y = sum_q V_q d_q is linear in what it reads: parts of the state before the step, or new ones.
A new part is the sum of its sectors, and of what it takes as it is.  Beyond the parts of the state
there may be intermediate ones.  Unlike `theory.theorems.terms` a sector keeps the sign of what
multiplies, and a gate multiplies a sum as a whole.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, final

import numpy as np

from theory.arithmetic.intervals import Interval
from theory.arithmetic.rigor import all_finite, eigenvalues_at_least, moderate_size
from theory.arithmetic.rounding import gamma, up
from theory.typing import Array

#: An entry of the scaled forms loses at most 2**-700 to underflow, or nothing is proved: with
#: entries up to 2**64, as `moderate_size` has them, and sums of at most 2**20 of them, the norm of
#: F then errs by less than 2 * 2**(-700 + 2 * 64 + 3 * 20), as all later underflows do by far.
_LOST_BITS, _UNDERFLOW = 700, 2.0**-500

#: The smallest positive double is 2**-1074; a product loses at most half of it.
_TINY_BITS = 1074

#: Sectors below this are widened to it: scaling by a power of two is then exact.
_LEAST = 2.0**-500

#: New parts are read through at most so many others: a cell has three.
_DEEPEST = 4

#: A part, and what multiplies it: a matrix, or one number for all units.
Read = tuple[int, Array | float]


class Sector(NamedTuple):
    """A term s of a new part, between a y and b y in every unit."""

    part: int  # p, of which new part
    reads: tuple[Read, ...]  # y: of old parts 0, 1, .., then, from `Sectors.state_parts` on, of new
    range: Interval  # a and b, (n,) each


class Forms(NamedTuple):
    """The rows of y and of the new state, as linear in (d, w)."""

    Y: Array  # (K, N + K)
    Z: Array  # (N, N + K)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Sectors:
    """The terms of a step's difference, with all ends rounded outward."""

    units: int  # n
    state_parts: int  # how many parts are the state; further ones are intermediate
    terms: tuple[Sector, ...]
    direct: tuple[tuple[int, Read], ...] = ()  # a new part, and what it takes as it is

    def __post_init__(self) -> None:
        for part in {*range(self.state_parts), *(one.part for one in self.terms)}:
            self._check_depth(part, _DEEPEST)

    def _check_depth(self, part: int, left: int) -> None:
        reads = [read for one in self.terms if one.part == part for read in one.reads]
        reads += [read for p, read in self.direct if p == part]
        for q, _ in reads:
            if q < self.state_parts:
                continue
            if left == 0:
                raise ValueError(
                    f"part {part} is read through more than {_DEEPEST} others, needed new parts "
                    "that do not depend on themselves"
                )
            self._check_depth(q - self.state_parts, left - 1)

    @property
    def state_dim(self) -> int:
        """Return N, the dimension of the state."""
        return self.state_parts * self.units

    @property
    def count(self) -> int:
        """Return K, the number of terms of all units."""
        return len(self.terms) * self.units

    @property
    def finite(self) -> bool:
        """Return whether all ends are finite."""
        return all_finite(*(end for one in self.terms for end in one.range))

    @cached_property
    def _middles(self) -> list[Interval]:
        """Return m and r of every term, [m - r, m + r] holding [a, b]."""
        found = []
        for one in self.terms:
            low, high = one.range
            m = low / 2 + high / 2
            width = np.maximum(np.nextafter(high - m, np.inf), np.nextafter(m - low, np.inf))
            tiny = np.maximum(np.abs(low), np.abs(high)) < _LEAST
            width = np.where(tiny, _LEAST, np.where(low == high, 0.0, width))
            found.append((np.where(tiny, 0.0, m), width))
        return found

    @cached_property
    def forms(self) -> Forms:
        """Return y and the new state in terms of (d, w), rounded."""
        return self._forms(size=False)

    @cached_property
    def sizes(self) -> Forms:
        """Return the same from the absolute values of all that is multiplied and added."""
        return self._forms(size=True)

    def _forms(self, *, size: bool) -> Forms:
        Y = [self._sum(one.reads, size=size) for one in self.terms]
        Z = [self._new(p, size=size) for p in range(self.state_parts)]
        return Forms(np.vstack(Y), np.vstack(Z))

    def _sum(self, reads: tuple[Read, ...], *, size: bool) -> Array:
        total = np.zeros((self.units, self.state_dim + self.count))
        for q, V in reads:
            old = q < self.state_parts
            rows = self._of(q) if old else self._new(q - self.state_parts, size=size)
            W = np.abs(V) if size else V
            total += W @ rows if np.ndim(W) == 2 else W * rows
        return total

    def _new(self, p: int, *, size: bool) -> Array:
        total = self._sum(tuple(read for part, read in self.direct if part == p), size=size)
        for k, (one, (m, r)) in enumerate(zip(self.terms, self._middles, strict=True)):
            if one.part == p:
                middle = np.abs(m) if size else m
                total += middle[:, None] * self._sum(one.reads, size=size)
                total += r[:, None] * self._of(self.state_parts + k)
        return total

    @cached_property
    def lost(self) -> tuple[Array, Array]:
        """Return what underflow may cost an entry of each row of Y and of Z, in 2**-1074.

        Half of what is added is enough; the other half covers the rounding here.
        """
        Y = [self._lost_by(one.reads) for one in self.terms]
        Z = [self._lost_of(p) for p in range(self.state_parts)]
        return np.concatenate(Y), np.concatenate(Z)

    def _lost_by(self, reads: tuple[Read, ...]) -> Array:
        total = np.zeros(self.units)
        for q, V in reads:
            total += self.units
            if q >= self.state_parts:
                before = self._lost_of(q - self.state_parts)
                total += np.abs(V) @ before if np.ndim(V) == 2 else np.abs(V) * before
        return total

    def _lost_of(self, p: int) -> Array:
        total = self._lost_by(tuple(read for part, read in self.direct if part == p))
        for one, (m, _) in zip(self.terms, self._middles, strict=True):
            if one.part == p:
                total += np.abs(m) * self._lost_by(one.reads) + 1.0
        return total

    @property
    def roundings(self) -> int:
        """Return k, so that entries of Y and Z err by at most gamma(k) times those of `sizes`.

        A new part takes a product with a matrix, the sum of what is read, directly too, one product
        with m, and two sums for every term; it is made through at most `_DEEPEST` others.
        """
        reads = sum(len(one.reads) for one in self.terms) + len(self.direct)
        return (_DEEPEST + 1) * (self.units + reads + 2 * len(self.terms) + 1)

    def _of(self, block: int) -> Array:
        """Return the rows that take a block of n entries of (d, w)."""
        rows = np.zeros((self.units, self.state_dim + self.count))
        rows[np.arange(self.units), block * self.units + np.arange(self.units)] = 1.0
        return rows


def sectors_hold(sectors: Sectors, P: Array, q: Array, rate: float) -> bool:
    r"""Decide the matrix inequality of a P > 0, multipliers q > 0 and a rate; True is a proof.

    With y = Y xi, the new state Z xi and the old one d, xi = (d, w), it says of the form

        F = rate^2 d^T P d - (Z xi)^T P (Z xi) - sum_k q_k (y_k^2 - w_k^2)

    that it is positive semidefinite.  A congruence by powers of two brings the diagonal of P and q
    to about 1; it is exact (checked).  With g = gamma(`Sectors.roundings`) the matrix of F is
    formed with an error below gamma(N + K + 16) + 3 g times the same entry of

        rate^2 |P| + |Z|^T |P| |Z| + |Y|^T diag(q) |Y| + diag(q)

    (of Z^T P Z and Y^T q Y both factors err by g), of norm at most as much of its largest row sum.
    What underflowed while Y and Z were made is multiplied by later weights and by the congruence
    (`Sectors.lost`): more than `_LOST_BITS` allows is refused.
    """
    N, K = sectors.state_dim, sectors.count
    if P.shape != (N, N) or q.shape != (K,) or not np.array_equal(P, P.T) or not sectors.finite:
        return False
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        forms, sizes, lost = sectors.forms, sectors.sizes, sectors.lost
    if not all_finite(P, q, *sizes, *lost) or not (math.isfinite(rate) and rate > 0):
        return False
    if not (np.all(q > 0) and np.all(np.diag(P) > 0)):
        return False
    half = np.concatenate([-(np.frexp(np.diag(P))[1] // 2), -(np.frexp(q)[1] // 2)])
    old = half[:N]
    with np.errstate(over="ignore"):
        scaled = np.ldexp(np.concatenate([lost[1], lost[0]]), np.max(half) - half)
    if not np.all(scaled <= 2.0 ** (_TINY_BITS - _LOST_BITS)):
        return False
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        X, y = np.ldexp(P, old[:, None] + old), np.ldexp(q, 2 * half[N:])
        (A, B), (A_size, B_size) = (
            # the rows of w and of d change units as their columns do
            (np.ldexp(Y, half[None, :] - half[N:, None]), np.ldexp(Z, half[None, :] - old[:, None]))
            for Y, Z in (forms, sizes)
        )
        back = (
            (np.ldexp(X, -old[:, None] - old), P),
            (np.ldexp(y, -2 * half[N:]), q),
            (np.ldexp(A, half[N:, None] - half[None, :]), forms.Y),
            (np.ldexp(B, old[:, None] - half[None, :]), forms.Z),
        )
        if not all(np.array_equal(one, other) for one, other in back):
            return False
        if not moderate_size(X, y, A_size, B_size) or not rate <= 2.0**64:
            return False
        F = -(B.T @ (X @ B)) - A.T @ (y[:, None] * A)
        F[:N, :N] += rate * rate * X
        np.einsum("ii->i", F)[N:] += y
        lower = np.tril(F)
        F = lower + np.tril(F, -1).T
        size, one = np.abs(X), np.ones(N + K)
        rows = B_size.T @ (size @ (B_size @ one)) + A_size.T @ (y * (A_size @ one))
        rows[:N] += rate * rate * (size @ one[:N])
        rows[N:] += y
        worst = float(np.max(rows))
    if not (np.isfinite(F).all() and math.isfinite(worst)):
        return False
    error = gamma(N + K + 16) + 3 * gamma(sectors.roundings)
    margin = up(2.0 * error * worst * (1 + 8 * error) + _UNDERFLOW)
    # entries of at most about 1, as the decision wants them
    scale = math.frexp(float(np.max(np.abs(F))))[1]
    if not abs(scale) < 200:
        return False
    return eigenvalues_at_least(np.ldexp(F, -scale), math.ldexp(margin, -scale)) and (
        eigenvalues_at_least(X, _UNDERFLOW)
    )
