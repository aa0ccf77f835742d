"""Numbers of which it is known how large they are and how far from the exact ones.

Main name: `Rounded`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from theory.arithmetic.rounding import ELEMENTARY_UNITS, TINY, UNIT, gamma, inner_product_error, up
from theory.typing import Array


def _times(a: Array, b: Array) -> Array:
    """Return a b for sizes, of which infinite ones stand for numbers beyond the largest double."""
    with np.errstate(over="ignore", invalid="ignore"):
        product: Array = np.where((a == 0) | (b == 0), 0.0, a * b)
    return product


@final
@dataclass(frozen=True, eq=False)
class Rounded:
    r"""What is known of computed numbers: how large they are, and how far from the exact ones.

    Entrywise, for the computed p and the exact P: |p|, |P| <= size and |p - P| <= error.  The
    operations below return the same for the result of one operation in double precision, from

        |p q - P Q| <= |p| |q - Q| + |Q| |p - P|,     |fl(p q) - p q| <= u |p q| + eta,
        |(p + q) - (P + Q)| <= |p - P| + |q - Q|,     |fl(p + q) - (p + q)| <= u |p + q|,
        |rho(p) - rho(P)| <= L |p - P|,               |fl(rho(p)) - rho(p)| <= c (u |rho(p)| + eta),

    c = 8 for one elementary function, and `Activation.units` for what is made of several.

    The bounds are sums and products of non-negative doubles, fewer than eight roundings an
    operation, and so are raised by 8 u relatively.
    """

    size: Array  # bound of |p| and |P|
    error: Array  # bound of |p - P|

    @staticmethod
    def exact(size: Array) -> Rounded:
        """Return numbers of at most that size that are what they should be."""
        return Rounded(size, np.zeros_like(size))

    def __add__(self, other: Rounded) -> Rounded:
        """Return p + q."""
        size = (self.size + other.size) * (1 + 8 * UNIT)
        return Rounded(size, (self.error + other.error + UNIT * size) * (1 + 8 * UNIT))

    def __mul__(self, other: Rounded) -> Rounded:
        """Return p * q."""
        size = _times(self.size, other.size) * (1 + 8 * UNIT) + 2 * TINY
        carried = _times(self.size, other.error) + _times(other.size, self.error)
        return Rounded(size, (carried + UNIT * size) * (1 + 8 * UNIT) + 4 * TINY)

    def affine(self, W: Array, b: Array | None = None, *rest: tuple[Array, Rounded]) -> Rounded:
        r"""Return W p + b, or W p + V q + b with ``rest = ((V, q), ...)``, in any order of sums.

        The sum of n products, computed from operands that are off, errs by `inner_product_error`
        plus |W| times what they are off by.
        """
        pairs = ((W, self), *rest)
        length = sum(V.shape[1] for V, _ in pairs) + (b is not None)
        magnitude, carried = np.zeros(W.shape[0]), np.zeros(W.shape[0])
        with np.errstate(over="ignore", invalid="ignore"):
            for V, q in pairs:
                magnitude = magnitude + np.abs(V) @ q.size
                carried = carried + np.abs(V) @ q.error
        # what is beyond the largest double, or 0 times that, is bounded by infinity only
        magnitude, carried = (np.where(np.isnan(a), math.inf, a) for a in (magnitude, carried))
        if b is not None:
            magnitude = magnitude + np.abs(b)
        # the bounds are themselves sums of that length, of non-negative numbers
        own = inner_product_error(magnitude, length)
        error = own + carried * (1 + 2 * gamma(length + 2)) + 2 * length * TINY
        return Rounded((magnitude + own) * (1 + 8 * UNIT), error * (1 + 8 * UNIT))

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
        size = np.minimum(reach, grown) * (1 + 2 * units * UNIT) + 2 * units * TINY
        # two values of a bounded function are never further apart than its range is wide
        carried = np.minimum(lipschitz * self.error, up(interval[1] - interval[0]))
        error = (carried + units * UNIT * size) * (1 + 8 * UNIT) + 2 * units * TINY
        return Rounded(size, error)

    def logistic(self) -> Rounded:
        """Return 1 / (1 + exp(-p)), of slope at most 1/4."""
        return self.through(0.25, 0.5, (0.0, 1.0), 2 * ELEMENTARY_UNITS)

    def tanh(self) -> Rounded:
        """Return tanh(p), of slope at most 1."""
        return self.through(1.0, 0.0, (-1.0, 1.0))

    def complement(self) -> Rounded:
        """Return 1 - p for p in [0, 1]."""
        size = np.ones_like(self.size) * (1 + 2 * ELEMENTARY_UNITS * UNIT)
        return Rounded(size, (self.error + UNIT * size) * (1 + 8 * UNIT))
