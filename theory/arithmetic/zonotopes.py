r"""Zonotopes: boxes that remember which symbols their coordinates share, rounded outward.

Main names: `Zonotope`, `combination`, `product`, `stacked`.

A zonotope is the set of all

    c + G xi + diag(r) eta,        |xi_j| <= 1,  |eta_i| <= 1,

with centre c, generators G and rest r >= 0.  Zonotopes of as many columns share their symbols xi:
what is affine in a state keeps them, so that W z is not wider than the states make it, where the
affine image of a box takes every coordinate at its worst end.  Each row's eta is its own.

Every operation keeps a statement about points: if p, q, .. lie in the sets that their zonotopes are
*at one xi*, the operation's result lies in what its zonotope is at this xi.  `boxed` and `reduced`
alone change the symbols: they are for the stack of all rows that share them.  What is rounded goes
to r: sums of products err by `inner_product_error`, and all columns together by that of their
absolute sums.

A row of which nothing is known (overflow, infinite ends) has c = 0, G = 0 and r = inf.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from theory.arithmetic.intervals import (
    Interval,
    middle_and_radius,
    plus_up,
    products,
    sum_of,
    times_up,
)
from theory.arithmetic.rounding import (
    TINY,
    UNIT,
    gamma,
    inner_product_error,
    up,
    upper_after,
)
from theory.arithmetic.sums import length_upper, sum_raised, sums_up
from theory.shown import shown
from theory.typing import Array

#: Multiplications that a length may cost, up to twice as many columns as rows.
_PAIRS = 2**26

#: Numbers of a block of rows that is worked on at a time: 256 KiB of doubles.
_CACHED = 2**15

#: Shares of a symbol below this are not divided by.
_SMALL = 2.0**-900


@final
@shown
@dataclass(frozen=True, eq=False)
class Zonotope:
    """The set {c + G xi + diag(r) eta}; make it by `Zonotope.of` or `Zonotope.box`."""

    centre: Array  # c, (n,)
    generators: Array  # G, (n, m)
    rest: Array  # r, (n,), not negative; inf where nothing is known

    @staticmethod
    def of(centre: Array, generators: Array, rest: Array) -> Zonotope:
        """Return the zonotope; a row that is not finite is taken to be unknown."""
        lost = ~(np.isfinite(centre) & np.isfinite(rest) & np.isfinite(generators).all(axis=1))
        if lost.any():
            centre, rest = np.where(lost, 0.0, centre), np.where(lost, math.inf, rest)
            generators = np.where(lost[:, None], 0.0, generators)
        return Zonotope(centre, generators, rest)

    @staticmethod
    def box(low: Array, high: Array, symbols: int = 0) -> Zonotope:
        """Return a box, independent of all symbols; its ends may be infinite."""
        with np.errstate(over="ignore", invalid="ignore"):
            centre, radius = middle_and_radius((low, high))
        return Zonotope.of(centre, np.zeros((len(centre), symbols)), radius)

    @property
    def symbols(self) -> int:
        """Return how many symbols xi there are."""
        return int(self.generators.shape[1])

    @cached_property
    def _sums(self) -> Array:
        """The sums of the sizes of each row's generators, as computed."""
        sums, n = np.zeros(len(self.centre)), self.symbols
        with np.errstate(over="ignore", invalid="ignore"):
            for rows in _blocks(len(sums), n):
                sums[rows] = np.abs(self.generators[rows]).sum(axis=1)
        return sums

    def spread(self) -> Array:
        """Return the sum of the sizes of each row's generators, rounded upward."""
        with np.errstate(over="ignore"):
            return sum_raised(self._sums, self.symbols)

    def __len__(self) -> int:
        """Return n, the number of rows."""
        return len(self.centre)

    def radius(self) -> Array:
        """Return by how much each coordinate differs from the centre at most, rounded upward."""
        with np.errstate(over="ignore"):
            return plus_up(self.spread(), self.rest) if self.symbols else self.rest

    def magnitude(self) -> Array:
        """Return the largest size of each coordinate, rounded upward."""
        return plus_up(np.abs(self.centre), self.radius())

    def hull(self) -> Interval:
        """Return the ends of each coordinate, rounded outward."""
        radius = self.radius()
        with np.errstate(over="ignore"):
            low = np.nextafter(self.centre - radius, -math.inf)
            high = np.nextafter(self.centre + radius, math.inf)
        exact = radius == 0
        return np.where(exact, self.centre, low), np.where(exact, self.centre, high)

    def rows(self, which: slice | NDArray[Any]) -> Zonotope:
        """Return some of the rows, with the same symbols."""
        return Zonotope(self.centre[which], self.generators[which], self.rest[which])

    def padded(self, before: int = 0, after: int = 0) -> Zonotope:
        """Return the same set with further symbols, on which it does not depend."""
        n, m = self.generators.shape
        generators = np.zeros((n, before + m + after))
        generators[:, before : before + m] = self.generators
        return Zonotope(self.centre, generators, self.rest)

    def unshared(self) -> Zonotope:
        """Return the same set with the rest as columns: from here on it is shared, too."""
        known = np.isfinite(self.rest)
        places = np.flatnonzero(known & (self.rest > 0))
        m = self.symbols
        generators = np.zeros((len(self), m + len(places)))
        generators[:, :m] = self.generators
        generators[places, m + np.arange(len(places))] = self.rest[places]
        return Zonotope(self.centre, generators, np.where(known, 0.0, self.rest))

    def less(self, point: Array) -> Zonotope:
        """Return what is left of the points when one is taken away."""
        moved = self.centre - point
        return Zonotope.of(moved, self.generators, plus_up(self.rest, np.abs(moved) * (2 * UNIT)))

    def length_upper(self) -> float:
        r"""Return an upper bound of the Euclidean length of any point.

        With g_0 the centre and columns g_j,  |sum_j g_j xi_j|^2 <= sum_jk |g_j . g_k|, which is
        below the square of the box's length where columns point in different directions; all
        products together err by that of the absolute sums, which is the box's.
        """
        z = self.boxed(max(2 * len(self), math.isqrt(_PAIRS // max(len(self), 1))))
        columns = np.hstack([z.centre[:, None], z.generators])
        n, m = columns.shape
        box, whole = length_upper(z.magnitude()), length_upper(sums_up(columns))
        with np.errstate(over="ignore", invalid="ignore"):
            pairs = float(np.abs(columns.T @ columns).sum())
            square = pairs * (1 + gamma(m * m + 4)) + gamma(n + 4) * whole * whole
            total = up(up(math.sqrt(up(square + m * m * n * TINY))) + length_upper(z.rest))
        return min(box, total) if math.isfinite(total) else box

    def affine(self, W: Array | Interval, b: Array | Interval | None = None) -> Zonotope:
        r"""Return W z + b, of an interval matrix for all of its matrices; the symbols are kept.

        With W in W_m +- W_r,  |W z - W_m z| <= W_r max |z|.  In column j of W_m G each entry errs
        by gamma(n) (|W_m| |G_j|) + n eta; the sum over j is taken before the product with |W_m|.
        """
        middle, spread = middle_and_radius(W) if isinstance(W, tuple) else (W, None)
        size, n = np.abs(middle), middle.shape[1]
        shift, loose = np.zeros(len(middle)), np.zeros(len(middle))
        with np.errstate(over="ignore", invalid="ignore"):
            if b is not None:
                shift, loose = middle_and_radius(b) if isinstance(b, tuple) else (b, loose)
            centre = middle @ self.centre + shift
            # rows without generators, as those of known inputs, add exact zeros
            live = np.flatnonzero(self._sums)
            used = slice(int(live[0]), int(live[-1]) + 1) if live.size else slice(0)
            generators = middle[:, used] @ self.generators[used]
            total = np.abs(self.centre) + self._sums
            error = inner_product_error(size @ total + np.abs(shift), n + 1)
            error = error + 2 * n * (self.symbols + 1) * TINY
            parts = [error, loose, sums_up(middle, self.rest)]
            if spread is not None:
                parts.append(sums_up(spread, self.magnitude()))
            return Zonotope.of(centre, generators, _total_up(parts))

    def scaled(self, a: Array | Interval) -> Zonotope:
        """Return diag(a) z, of intervals for all of their numbers."""
        return combination([(a, self)])

    def within(self, low: Array, high: Array, excess: float = 1.0) -> Zonotope:
        r"""Return a zonotope that holds every point of this one that lies in a box.

        A row that is more than `excess` times as wide as the box is replaced by the interval of the
        box: such a point has an xi, which gives the rows that are kept, and the others are eta's.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            centre, radius = middle_and_radius((low, high))
        wider = np.logical_not(self.radius() <= excess * radius)
        if not wider.any():
            return self
        return Zonotope.of(
            np.where(wider, centre, self.centre),
            np.where(wider[:, None], 0.0, self.generators),
            np.where(wider, radius, self.rest),
        )

    def clipped(self, low: Array, high: Array) -> Interval:
        """Return the ends of the points of this set that lie in a box."""
        ends = self.hull()
        return np.maximum(ends[0], low), np.minimum(ends[1], high)

    def boxed(self, columns: int) -> Zonotope:
        """Return a zonotope around this one with the longest columns; the others go to the rest."""
        if self.symbols <= columns:
            return self
        kept, others = self._split(columns)
        with np.errstate(over="ignore"):
            rest = plus_up(self.rest, sums_up(others))
        return Zonotope.of(self.centre, kept, rest)

    def _split(self, columns: int) -> tuple[Array, Array]:
        """Return the longest columns and the others, each in their order."""
        sizes = np.abs(self.generators).sum(axis=0)
        chosen = np.zeros(self.symbols, dtype=bool)
        chosen[np.argsort(-sizes, kind="stable")[:columns]] = True
        return self.generators[:, chosen], self.generators[:, ~chosen]

    def reduced(self, columns: int) -> Zonotope:
        r"""Return a zonotope around this one with at most so many columns; n of them are new.

        The shortest columns S are enclosed in a parallelotope, whose axes B are their principal
        ones: for *any* matrices B and Y

            S = B Y + (S - B Y),    Y xi in [-d, d],  d = |Y| 1,

        so B diag(d) are n columns, and |S - B Y| 1 goes to the rest.  Here Y = B^T S.  Coordinates
        end wider than in `boxed`, by a factor of up to sqrt(n), but what they share is kept.
        """
        n = len(self)
        if self.symbols <= columns:
            return self
        if columns <= n:
            return self.boxed(columns)
        kept, S = self._split(columns - n)
        p = S.shape[1]
        try:
            B = np.linalg.eigh(S @ S.T)[1]
        except np.linalg.LinAlgError:
            return self.boxed(columns)
        with np.errstate(over="ignore", invalid="ignore"):
            Y = B.T @ S
            d = sums_up(Y)
            made = B @ Y
            # |S - B Y| <= |fl(S - fl(B Y))| (1 + u) + error of B Y, summed over the columns
            sizes = np.abs(B) @ np.abs(Y).sum(axis=1)
            error = inner_product_error(sizes, n) + 2 * n * p * TINY
            left = plus_up(sums_up(S - made) * (1 + 4 * UNIT), error)
            axes = B * d
            # one rounding a column, and underflow
            left = plus_up(left, sums_up(axes) * (2 * UNIT) + 2 * n * TINY)
        return Zonotope.of(self.centre, np.hstack([kept, axes]), plus_up(self.rest, left))


def _total_up(parts: Sequence[Array]) -> Array:
    """Return the sum of non-negative arrays, rounded upward."""
    with np.errstate(over="ignore", invalid="ignore"):
        total: Array = np.sum(parts, axis=0) * (1 + 2 * gamma(len(parts) + 2))
        return np.where(total == 0, 0.0, np.nextafter(total, math.inf))


def stacked(*zonotopes: Zonotope) -> Zonotope:
    """Return all rows of zonotopes that share their symbols, one below the other."""
    return Zonotope(
        np.concatenate([z.centre for z in zonotopes]),
        np.vstack([z.generators for z in zonotopes]),
        np.concatenate([z.rest for z in zonotopes]),
    )


def combination(
    terms: Sequence[tuple[Array | Interval, Zonotope]], offset: Array | Interval | None = None
) -> Zonotope:
    r"""Return sum_k diag(a_k) z_k + b over zonotopes that share their symbols, and intervals.

    On symbols that come after its own a zonotope does not depend.
    A number a in m +- s times a form z is m z and what is left, |(a - m) z| <= s max |z|.  A sum of
    K + 1 terms errs by gamma(K + 2) times that of their sizes.
    """
    first, symbols = terms[0][1], max(z.symbols for _, z in terms)
    centre = np.zeros(len(first))
    total = np.zeros(len(first))
    parts: list[Array] = []
    scales: list[Array] = []
    with np.errstate(over="ignore", invalid="ignore"):
        if offset is not None:
            if isinstance(offset, tuple):
                centre, loose = middle_and_radius(offset)
                parts.append(loose)
            else:
                centre = offset
            total = np.abs(centre)
        for a, z in terms:
            middle, spread = middle_and_radius(a) if isinstance(a, tuple) else (a, None)
            size = np.abs(middle)
            centre = centre + middle * z.centre
            scales.append(middle)
            total = total + size * (np.abs(z.centre) + z._sums)
            parts.append(times_up(size, z.rest))
            if spread is not None:
                parts.append(times_up(spread, z.magnitude()))
        generators = _weighted(scales, [z.generators for _, z in terms])
        # a product and the sums of K terms and the offset in each of the m + 1 columns
        error = inner_product_error(total, len(terms) + 1)
        parts.append(error + 4 * len(terms) * (symbols + 1) * TINY)
        return Zonotope.of(centre, generators, _total_up(parts))


def product(
    y: Zonotope,
    z: Zonotope,
    y_ends: Interval | None = None,
    z_ends: Interval | None = None,
    *,
    plus: Zonotope | None = None,
) -> Zonotope:
    r"""Return y z entry by entry, of zonotopes that share their symbols, as in `combination`.

    And another one `plus`, in the same pass over the columns.

    With y = c_y + v and z = c_z + w,  y z = c_z y + c_y z - c_y c_z + v w.  Of v w is known that
    |v w| <= max |v| max |w|, with ends of y and z that are known besides also by those, and
    `_quadratic_range`.  An interval for y times the form of z would be no narrower.
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        middle = y.centre * z.centre
        # the product c_y c_z is rounded once
        lost = np.abs(middle) * (2 * UNIT) + 2 * TINY
        least, largest = _quadratic_range(y, z)
        size = times_up(_apart(y, y_ends), _apart(z, z_ends))
        least, largest = np.fmax(least, -size), np.fmin(largest, size)
        offset = sum_of((least, largest), (-middle, -middle), (-lost, lost))
        more = [] if plus is None else [(np.ones(len(plus)), plus)]
        return combination([(z.centre, y), (y.centre, z), *more], offset)


def _quadratic_range(y: Zonotope, z: Zonotope) -> Interval:
    r"""Enclose v w for v = G xi + r eta of y and w = H xi + q zeta of z, row by row.

    For every s > 0 the form g xi h xi lies between the extreme eigenvalues of its matrix in the
    coordinates sqrt(s) xi times sum s_j xi_j^2 <= sum s_j.  That matrix has rank two, and

        2 lambda = d -+ sqrt(p q),  p = sum g_j^2 / s_j, q = sum h_j^2 / s_j, d = sum g_j h_j / s_j.

    With s_j = |g_j| / |g|_1 + |h_j| / |h|_1 the width is half that of -+ |g|_1 |h|_1 where g and h
    are alike in size.  The rests multiply what is left.
    """
    m = max(y.symbols, z.symbols)
    g, h = y.spread(), z.spread()
    scale = [np.where(t > _SMALL, 1.0 / np.maximum(t, _SMALL), 0.0)[:, None] for t in (g, h)]
    # of p, q, d, the sizes in d, s, and what counts in no share of either
    sums = np.zeros((7, len(g)))
    for at in _blocks(len(g), m):
        G, H = (one.rows(at).padded(after=m - one.symbols).generators for one in (y, z))
        _add_forms(G, H, scale[0][at], scale[1][at], sums[:, at])
    # an inverse, two products and a sum
    p, q = (upper_after(one, m + 4) for one in sums[:2])
    root = upper_after(np.sqrt(p) * np.sqrt(q), 3)
    wrong = upper_after(sums[3] * gamma(m + 4), m + 6)
    d, off = sums[2], plus_up(root, wrong)
    total = upper_after(sums[4] / 2, m + 1)
    form = np.minimum(_down(d - off), 0.0), np.maximum(_up(d + off), 0.0)
    # columns that count in no share are taken with the rests
    a, b = (plus_up(one.rest, sum_raised(part, m)) for one, part in ((y, sums[5]), (z, sums[6])))
    cross = plus_up(times_up(g, b), times_up(a, h), times_up(a, b))
    return sum_of(products((total, total), form), (-cross, cross))


def _add_forms(G: Array, H: Array, a: Array, b: Array, sums: Array) -> None:
    """Fill the seven rows of `sums` from some rows of both generators."""
    A, B = np.abs(G), np.abs(H)
    s = A * a
    s += B * b
    counted = s > _SMALL
    inverse = np.divide(1.0, s, out=np.zeros_like(s), where=counted)
    if not counted.all():
        s[~counted] = 0.0
        lost = ~counted
        sums[5] = np.where(lost, A, 0.0).sum(axis=1)
        sums[6] = np.where(lost, B, 0.0).sum(axis=1)
    sums[4] = s.sum(axis=1)
    B *= inverse
    sums[1] = _row_sums(B, np.abs(H, out=A))
    inverse *= G
    sums[0], sums[2] = _row_sums(inverse, G), _row_sums(inverse, H)
    sums[3] = _row_sums(np.abs(inverse, out=inverse), A)


def _blocks(rows: int, columns: int) -> list[slice]:
    """Return runs of rows that stay in the cache."""
    step = max(1, _CACHED // max(columns, 1))
    return [slice(first, min(first + step, rows)) for first in range(0, rows, step)]


def _weighted(scales: list[Array], matrices: list[Array]) -> Array:
    """Return the sum of diag(a_k) G_k."""
    total = np.empty((len(matrices[0]), max(G.shape[1] for G in matrices)))
    # the widest first: it fills every column
    widest, *others = sorted(zip(scales, matrices, strict=True), key=lambda one: -one[1].shape[1])
    for at in _blocks(*total.shape):
        np.multiply(widest[0][at, None], widest[1][at], out=total[at])
        for a, G in others:
            total[at, : G.shape[1]] += a[at, None] * G[at]
    return total


def _row_sums(A: Array, B: Array) -> Array:
    sums: Array = np.einsum("ij,ij->i", A, B)
    return sums


def _up(x: Array) -> Array:
    return np.asarray(np.nextafter(x, math.inf))


def _down(x: Array) -> Array:
    return np.asarray(np.nextafter(x, -math.inf))


def _apart(z: Zonotope, ends: Interval | None) -> Array:
    """Return by how much points differ from the centre at most, with ends that hold them."""
    radius = z.radius()
    if ends is None:
        return radius
    with np.errstate(over="ignore", invalid="ignore"):
        low = np.nextafter(z.centre - ends[0], math.inf)
        high = np.nextafter(ends[1] - z.centre, math.inf)
    # what is not a number bounds nothing
    return np.fmin(radius, np.maximum(np.maximum(low, high), 0.0))
