r"""The largest Euclidean error of several outputs of a linear map, from both sides.

Main name: `EuclideanErrors`.

Over inputs that push independently, with matrices k_g (p, q) of the kernel, times the size of the
inputs, the largest error is

    E = max over |x_g| <= 1 of |sum k_g x_g| = max over |d| = 1 of sum |k_g' d|.

To find it is hard (it is a largest cut).  For any weights w_g > 0, by Cauchy and Schwarz,

    (sum |k_g' d|)^2 <= sum w_g  sum |k_g' d|^2 / w_g <= sum w_g  lambda_max(sum k_g k_g' / w_g),

which proves an upper bound; with the best weights it is below sqrt(pi / 2) E (Nesterov, 1998).
They are w_g = tr(k_g' X k_g)^(1/2) for the X that maximises their sum over tr X = 1, and are looked
for by steps towards the largest eigenvector.  Any d gives a lower bound, the length of the error
that the inputs pushing along d make; its own direction is the next d.
"""

from __future__ import annotations

import math
from typing import final

import numpy as np

from theory.arithmetic.rigor import spectral_norm_upper
from theory.arithmetic.rounding import (
    UNIT,
    down,
    gamma,
    ldexp_down,
    ldexp_up,
    scaled_to_one,
    sqrt_up,
    up,
)
from theory.typing import Array

#: Steps towards the best weights; directions that are tried, and steps from each to a worse one.
_STEPS, _TRIED, _TURNS = 16, 3, 8

#: The least weight, as a part of the size of what is weighed: any number is sound.
_LEAST = 2.0**-40

#: What squares lose to underflow, of matrices whose largest entries are about 1.
_LOST = 2.0**-900


@final
class EuclideanErrors:
    """Bounds of E over the lags from each on.

    Parameters
    ----------
    kernel : (N, q, p) array
        By lag.
    errors : (N,) array
        Bounds of the length of what is left out at a lag, for the rounding of the kernel.
    rest : float
        Bound of the length of what is left out behind the last lag.
    together : bool
        Whether the q inputs of a lag are in a Euclidean ball, rather than each in an interval.
    """

    def __init__(self, kernel: Array, errors: Array, rest: float, *, together: bool) -> None:
        self.kernel, self.errors, self.rest, self.together = kernel, errors, rest, together
        self.count, self.q, self.p = kernel.shape
        self._bounds: dict[int, float] = {}
        self._directions: dict[int, Array] = {}
        self._X: Array | None = None  # the best X so far: near that of another lag

    def _groups(self, squares: Array) -> Array:
        """Return the sums over the inputs of a lag, where they are together, of (N q,) numbers."""
        if not self.together:
            return squares
        whole: Array = np.repeat(np.sum(squares.reshape(-1, self.q), axis=1), self.q)
        return whole

    def _missing(self, k: int) -> float:
        left = float(np.sum(self.errors[k:])) * (1 + 2 * gamma(self.count + 4))
        return up(left + self.rest) if left + self.rest > 0 else 0.0

    def _rows(self, k: int) -> tuple[Array, int]:
        """Return the vectors from lag k on over 2^e, the largest entry about 1, and e."""
        return scaled_to_one(np.ascontiguousarray(self.kernel[k:].reshape(-1, self.p)))

    def lower(self, k: int) -> float:
        """Return a length that some error over the lags from k on reaches."""
        rows, e = self._rows(k)
        if not np.any(rows):
            return 0.0
        self.upper(k)
        low = ldexp_down(max(self._reached(rows, d) for d in self._directions[k].T), e)
        return max(0.0, down(low - self._missing(k)))

    def upper(self, k: int) -> float:
        """Return a length that no error over the lags from k on exceeds."""
        if k in self._bounds:
            return self._bounds[k]
        (rows, e), missing = self._rows(k), self._missing(k)
        if not np.any(rows):
            return missing
        sizes = np.sqrt(self._groups(np.einsum("ij,ij->i", rows, rows)))
        first, X = 0, self._X
        if X is None:
            X = (rows / np.where(sizes > 0, sizes, 1.0)[:, None]).T @ rows
            X /= np.trace(X)
        else:
            first = _STEPS // 2
        best, chosen, directions = math.inf, sizes, np.eye(self.p)
        for step in range(first, _STEPS):
            weighed = self._groups(np.einsum("ij,ij->i", rows @ X, rows))
            w = np.sqrt(np.maximum(weighed, 0.0)) + _LEAST * sizes
            values, vectors = np.linalg.eigh(self._weighed(rows, w)[0])
            bound = float(values[-1] * np.sum(w))
            if bound < best:
                best, chosen, directions, self._X = bound, w, vectors[:, -_TRIED:], X
            share = 2.0 / (step + 3)
            top = vectors[:, -1]
            X = (1 - share) * X + share * np.outer(top, top)
        single = np.eye(self.p)[:, [int(np.argmax(np.sum(np.abs(rows), axis=0)))]]
        directions, best = np.hstack([directions, single]), self._bound(rows, chosen)
        self._bounds[k], self._directions[k] = up(ldexp_up(best, e) + missing), directions
        return self._bounds[k]

    def _weighed(self, rows: Array, w: Array) -> tuple[Array, bool]:
        """Return sum k_g k_g' / w_g, and whether no vector is without a weight."""
        known = w > 0
        Y = np.where(known[:, None], rows / np.sqrt(np.where(known, w, 1.0))[:, None], 0.0)
        G = Y.T @ Y
        return 0.5 * (G + G.T), not np.any(rows[~known])

    def _bound(self, rows: Array, w: Array) -> float:
        """Return the bound that some weights prove."""
        G, complete = self._weighed(rows, w)
        if not complete:
            return math.inf
        # an entry errs by gamma |Y|' |Y|, of Frobenius norm at most that of |Y|_F^2
        slack = 2 * gamma(len(rows) + 64)
        largest = spectral_norm_upper(G) + slack * float(np.trace(G)) + _LOST
        # of groups that are together each weight counts once
        whole = float(np.sum(w)) * (1 + slack) / (self.q if self.together else 1)
        return sqrt_up(up(whole * largest * (1 + 16 * UNIT)))

    def _reached(self, rows: Array, d: Array) -> float:
        """Return a length that an error has, near the longest found from a direction."""
        best = 0.0
        slack = 2 * gamma(len(rows) + self.q + 64)
        for _ in range(_TURNS):
            push = rows @ d
            if self.together:
                length = np.sqrt(self._groups(np.square(push)))
                x = push / np.where(length > 0, length, 1.0) * (1 - 64 * UNIT)
            else:
                x = np.where(push >= 0, 1.0, -1.0)
            error = x @ rows
            size = float(np.sqrt(error @ error))
            # of the sum, entry by entry
            wrong = slack * float(np.sqrt(np.sum(np.square(np.abs(x) @ np.abs(rows)))))
            reached = size * (1 - slack) - wrong - _LOST
            if not reached > best:
                break
            best, d = reached, error / size
        return best
