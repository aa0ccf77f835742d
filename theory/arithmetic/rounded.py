"""Numbers of which it is known how large they are and how far from the exact ones.

Main names: `Rounded`, `MixedArithmeticError`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from theory.arithmetic.formats import DOUBLE, Arithmetic, sum_units
from theory.arithmetic.rounding import ELEMENTARY_UNITS, UNIT, gamma, up
from theory.typing import Array


def _times(a: Array, b: Array) -> Array:
    """Return a b for sizes, of which infinite ones stand for numbers beyond the largest double."""
    with np.errstate(over="ignore", invalid="ignore"):
        product: Array = np.where((a == 0) | (b == 0), 0.0, a * b)
    return product


class MixedArithmeticError(ValueError):
    """Numbers of two arithmetics in one operation: what its result errs by is not known."""


@final
@dataclass(frozen=True, eq=False)
class Rounded:
    r"""What is known of computed numbers: how large they are, and how far from the exact ones.

    Entrywise, for the computed p and the exact P: |p|, |P| <= size and |p - P| <= error.  The
    operations below return the same for the result of one operation in an arithmetic, from

        |p q - P Q| <= |p| |q - Q| + |Q| |p - P|,     |fl(p q) - p q| <= u |p q| + eta,
        |(p + q) - (P + Q)| <= |p - P| + |q - Q|,     |fl(p + q) - (p + q)| <= u |p + q|,
        |rho(p) - rho(P)| <= L |p - P|,               |fl(rho(p)) - rho(p)| <= c (u |rho(p)| + eta),

    c = 8 for one elementary function, and `Activation.units` for what is made of several.  Two
    operands of an operation are of one arithmetic (`MixedArithmeticError`).  Beyond the largest
    number of a format, and without digits left in a sum, the error is infinite.

    The bounds are sums and products of non-negative doubles, fewer than eight roundings an
    operation, and so are raised by 8 u of double precision relatively.
    """

    size: Array  # bound of |p| and |P|
    error: Array  # bound of |p - P|
    arithmetic: Arithmetic = DOUBLE  # in which operations on them are computed

    @staticmethod
    def exact(size: Array, arithmetic: Arithmetic = DOUBLE) -> Rounded:
        """Return numbers of at most that size that are what they should be."""
        return Rounded(size, np.zeros_like(size), arithmetic)

    def part(self, entries: slice) -> Rounded:
        """Return some of the numbers."""
        return Rounded(self.size[entries], self.error[entries], self.arithmetic)

    def of(self, size: Array, error: Array) -> Rounded:
        """Return other numbers in the same arithmetic."""
        return Rounded(size, error, self.arithmetic)

    def stored(self, weights: Array) -> Rounded:
        """Return numbers that are stored in the same arithmetic, of at most these sizes."""
        size = np.abs(weights)
        if not self.arithmetic.rounds_weights:
            return self.of(size, np.zeros_like(size))
        lost = (self.arithmetic.unit * size) * (1 + 8 * UNIT) + self.arithmetic.tiny
        return self._of(size * self.arithmetic.raised + self.arithmetic.tiny, lost)

    def _of(self, size: Array, error: Array) -> Rounded:
        """Return the same as `of`, without a bound for numbers beyond the largest one."""
        fits = np.isfinite(size) & (size <= self.arithmetic.largest)
        return self.of(size, np.where(fits, error, math.inf))

    def _check(self, *others: Rounded) -> None:
        for other in others:
            if other.arithmetic != self.arithmetic:
                raise MixedArithmeticError(
                    f"numbers of {self.arithmetic.name} and of {other.arithmetic.name} meet"
                )

    def __add__(self, other: Rounded) -> Rounded:
        """Return p + q."""
        self._check(other)
        size = (self.size + other.size) * self.arithmetic.raised
        own = self.arithmetic.unit * size
        return self._of(size, (self.error + other.error + own) * (1 + 8 * UNIT))

    def __mul__(self, other: Rounded) -> Rounded:
        """Return p * q."""
        self._check(other)
        tiny = self.arithmetic.tiny
        size = _times(self.size, other.size) * self.arithmetic.raised + 2 * tiny
        carried = _times(self.size, other.error) + _times(other.size, self.error)
        own = self.arithmetic.unit * size
        error = (carried + own) * (1 + 8 * UNIT) + 4 * tiny
        # what may be infinite, or no number, is so in a product with 0
        lost = np.isinf(self.error) | np.isinf(other.error)
        return self._of(size, np.where(lost, math.inf, error))

    def affine(self, W: Array, b: Array | None = None, *rest: tuple[Array, Rounded]) -> Rounded:
        r"""Return W p + b, or W p + V q + b with ``rest = ((V, q), ...)``, in any order of sums.

        The sum of n products errs by gamma(n) sum |W_ij p_j| + n eta, plus |W| times what the
        operands are off by, and u |W| |p| more where the weights were rounded to the format.  The
        bounds are themselves sums of that length of non-negative numbers, low by a factor 1 -
        gamma(n) of double precision at the most.
        """
        self._check(*(q for _, q in rest))
        pairs = ((W, self), *rest)
        length = sum(V.shape[1] for V, _ in pairs) + (b is not None)
        magnitude, carried, operands = (np.zeros(W.shape[0]) for _ in range(3))
        rounds = self.arithmetic.rounds_weights
        with np.errstate(over="ignore", invalid="ignore"):
            for V, q in pairs:
                magnitude = magnitude + np.abs(V) @ q.size
                carried = carried + np.abs(V) @ q.error
                operands = operands + (np.sum(q.size) if rounds else 0.0)
        if b is not None:
            magnitude = magnitude + np.abs(b)
            operands = operands + 1.0
        relative, tiny = self.arithmetic.of_products(length, len(pairs))
        low = 1 + 4 * gamma(length + 2)
        if rounds:
            # |fl(w) - w| <= u |w| + eta / 2
            moved = self.arithmetic.unit * magnitude + self.arithmetic.tiny * operands
            magnitude, carried = magnitude + moved, carried + moved
        # what is beyond the largest double, or 0 times that, is bounded by infinity only
        with np.errstate(over="ignore", invalid="ignore"):
            own = relative * magnitude * low + 2 * length * tiny
            error = own + carried * low + 2 * length * tiny
            size = (magnitude * low + own) * (1 + 8 * UNIT)
        size, error = (np.where(np.isnan(a), math.inf, a) for a in (size, error))
        return self._of(size, error * (1 + 8 * UNIT))

    def through(
        self,
        lipschitz: float,
        at_zero: float,
        interval: tuple[float, float],
        units: int = ELEMENTARY_UNITS,
    ) -> Rounded:
        """Return rho(p) for rho with that Lipschitz constant, value at 0, range, and units c."""
        reach = max(abs(interval[0]), abs(interval[1]))
        grown = (up(abs(at_zero)) + lipschitz * self.size) * (1 + 8 * UNIT)
        c, unit = self.arithmetic.units(units), self.arithmetic.unit
        lost = 2 * c * self.arithmetic.tiny
        size = np.minimum(reach, grown) * (1 + 2 * c * unit) + lost
        # two values of a bounded function are never further apart than its range is wide
        carried = np.minimum(lipschitz * self.error, up(interval[1] - interval[0]))
        error = (carried + c * unit * size) * (1 + 8 * UNIT) + lost
        # beyond the largest number p may be none, and so is its image
        fits = np.isfinite(self.error) & (self.size <= self.arithmetic.largest)
        return self._of(size, np.where(fits, error, math.inf))

    def logistic(self) -> Rounded:
        """Return 1 / (1 + exp(-p)), of slope at most 1/4."""
        return self.through(0.25, 0.5, (0.0, 1.0), 2 * ELEMENTARY_UNITS)

    def tanh(self) -> Rounded:
        """Return tanh(p), of slope at most 1."""
        return self.through(1.0, 0.0, (-1.0, 1.0))

    def exp(self) -> Rounded:
        """Return exp(p), of slope at most exp(size); as large as its bounds, not only its value."""
        c, unit = self.arithmetic.units(ELEMENTARY_UNITS), self.arithmetic.unit
        tiny = 2 * c * self.arithmetic.tiny
        with np.errstate(over="ignore", invalid="ignore"):
            top = np.exp(self.size) * (1 + 2 * c * unit) * (1 + 32 * UNIT) + tiny
            error = top * (self.error + 2 * c * unit) * (1 + 8 * UNIT) + tiny
        return self._of(top, np.where(np.isnan(error), math.inf, error))

    def total(self, axis: int) -> Rounded:
        """Return the sum along an axis, in any order, as an axis of one entry."""
        n = self.size.shape[axis]
        relative, slack = sum_units(n + 2, self.arithmetic.unit), 1 + 2 * gamma(n + 4)
        with np.errstate(over="ignore", invalid="ignore"):
            sizes = np.sum(self.size, axis=axis, keepdims=True) * slack
            own = relative * sizes
            error = np.sum(self.error, axis=axis, keepdims=True) * slack + own
        return self._of((sizes + own) * (1 + 8 * UNIT), error * (1 + 8 * UNIT))

    def directed(self, eps: float, *, mean: bool, steepest: float | None = None) -> Rounded:
        r"""Return y / sqrt(|y|^2 + eps) along the last axis, or with the mean of squares.

        In the Euclidean norm it is Lipschitz with 1 / sqrt(eps), or with `steepest` where the
        lengths are known.  With n entries the number under the root errs by its rounding, n squares
        and their sum, and by eta for each that underflows, which is d of itself:

            d = gamma(n + 6) + (n + 4) eta / eps,        |(1 + d)^(-1/2) - 1| <= |d| for |d| <= 1/2.
        """
        n, how = self.size.shape[-1], self.arithmetic
        relative, largest = sum_units(n + 6, how.unit), math.sqrt(n) if mean else 1.0
        lost = (relative + (n + 4) * (how.tiny / eps)) * (1 + 16 * UNIT)
        steep = 1 / math.sqrt(eps) if steepest is None else steepest
        slack, tiny = 1 + 4 * gamma(n + 8), 4 * how.tiny
        with np.errstate(over="ignore", invalid="ignore"):
            squares = np.sum(np.square(self.size), axis=-1, keepdims=True) * slack * how.raised
            length = np.sqrt(np.sum(np.square(self.error), axis=-1, keepdims=True)) * slack
            carried = np.minimum(length * (steep * slack), 2 * largest)
            size = np.minimum(self.size * steep, largest) * slack
            own = 2 * (lost + (how.units(ELEMENTARY_UNITS) + 2) * how.unit) * size + tiny
            error = (carried + own) * (1 + 8 * UNIT)
        # a computed sum beyond the largest number leaves nothing of the quotient
        summed = (squares + eps) * ((1 + relative) * slack)
        fits = (summed <= how.largest) & np.isfinite(squares) & (lost <= 0.5)
        fits = fits & np.isfinite(length)
        return self._of(size + own, np.where(fits, error, math.inf))

    def complement(self) -> Rounded:
        """Return 1 - p for p in [0, 1]."""
        own = self.arithmetic.unit
        size = np.ones_like(self.size) * (1 + 2 * self.arithmetic.units(ELEMENTARY_UNITS) * own)
        return self._of(size, (self.error + own * size) * (1 + 8 * UNIT))
