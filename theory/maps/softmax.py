r"""Shares that sum to 1: the softmax over all entries.

Main name: `Softmax`.

Statement   |softmax(x) - softmax(y)|_p <= |x - y|_p / 2 for every p in [1, inf]; on a set on which
            each share s_i is in [a_i, b_i] the factor is max 2 s (1 - s) over these.
Proof       The Jacobian J = diag(s) - s s^T is symmetric, and the sizes of its row i sum to
            s_i (1 - s_i) + s_i sum_{j != i} s_j = 2 s_i (1 - s_i) <= 1/2, so |J|_1 = |J|_inf <=
            1/2, and |J|_p <= |J|_1^(1/p) |J|_inf^(1 - 1/p) (Riesz and Thorin).  The mean of J along
            the segment from x to y obeys the same.
Sharp       s = (1/2, 1/2): 1/2 is attained for every p along x_1 - x_2.
Source      Nair (2025), Softmax is 1/2-Lipschitz, arXiv:2510.23012; before it Gao and Pavel (2017),
            arXiv:1704.00805, with the constant 1 for p = 2.
"""

from __future__ import annotations

import math
from typing import final

import numpy as np

from theory.arithmetic.formats import sum_units
from theory.arithmetic.intervals import Interval, times_up, widened
from theory.arithmetic.rounded import Rounded
from theory.arithmetic.rounding import ELEMENTARY_UNITS, UNIT, lower_after, upper_after
from theory.arithmetic.zonotopes import Zonotope
from theory.errors import check_count
from theory.maps.boxes.reached import EXCESS
from theory.maps.functions import Fixed
from theory.typing import Array


@final
class Softmax(Fixed):
    r"""The softmax of all entries, s_i = exp(x_i) / sum_j exp(x_j).

    Its Lipschitz constant is 1/2 in `L1`, `L2` and `Linf`.

    Parameters
    ----------
    size : int
        n, the number of entries.

    Raises
    ------
    ValueError
        If it is not positive.

    Examples
    --------
    >>> f = Softmax(3)
    >>> f(np.log([1.0, 2.0, 5.0])).round(6).tolist()
    [0.125, 0.25, 0.625]
    >>> f.lipschitz((np.full(3, -9.0), np.full(3, 9.0)))
    0.5
    """

    def __init__(self, size: int) -> None:
        check_count(at_least=1, size=size)
        self.size = int(size)

    @property
    def input_dim(self) -> int:
        """Return n."""
        return self.size

    @property
    def output_dim(self) -> int:
        """Return n."""
        return self.size

    def __call__(self, x: Array) -> Array:
        """Return the shares; less the largest entry, so that nothing overflows."""
        e = np.exp(x - np.max(x, axis=-1, keepdims=True))
        return np.asarray(e / np.sum(e, axis=-1, keepdims=True))

    def jacobian(self, x: Array) -> Array:
        """Return diag(s) - s s^T."""
        s = self(x)
        return np.asarray(s[..., None] * (np.eye(self.size) - s[..., None, :]))

    def image(self, box: Interval) -> Interval:
        """Enclose s_i = 1 / (1 + sum_{j != i} exp(x_j - x_i)), which falls with every x_j - x_i."""
        low, high = box
        # differences, exponentials, then n sums and a quotient, each rounded outward
        with np.errstate(over="ignore", under="ignore"):
            most, least = (
                np.exp(np.nextafter(a[None, :] - b[:, None], side))
                for a, b, side in ((high, low, np.inf), (low, high, -np.inf))
            )
            for e in (most, least):
                np.fill_diagonal(e, 0.0)
            above = upper_after(np.sum(widened(most, most)[1], axis=1), self.size) + 1.0
            held = np.maximum(widened(least, least)[0], 0.0)
            np.fill_diagonal(held, 0.0)
            below = lower_after(np.sum(held, axis=1), self.size) + 1.0
        ends = lower_after(1.0 / above, 2), upper_after(1.0 / below, 2)
        return ends[0], np.minimum(ends[1], 1.0)

    def _shares(self, box: Interval) -> tuple[Interval, Array]:
        """Return the image, and the largest s_i (1 - s_i) over it."""
        low, high = self.image(box)
        nearest = np.clip(0.5, low, high)
        return (low, high), np.minimum(upper_after(nearest * (1.0 - nearest), 2), 0.25)

    def slopes(self, box: Interval) -> Array:
        """Return the largest sizes of s_i (1 - s_i), and beside the diagonal of s_i s_j."""
        (_, high), own = self._shares(box)
        # s_j <= 1 - s_i, so that s_i s_j is below both of them, too
        apart = np.minimum(times_up(high[:, None], high[None, :]), np.minimum(own[:, None], own))
        np.fill_diagonal(apart, own)
        return np.asarray(apart)

    def lipschitz(self, box: Interval) -> float:
        """Return the largest 2 s (1 - s), 1/2 at the most, or what the slopes say if it is less."""
        return min(2.0 * float(np.max(self._shares(box)[1])), super().lipschitz(box))

    def carry(self, z: Zonotope, box: Interval) -> Zonotope:
        """Return s at one point, and the Jacobians over the box times what is left of it."""
        ends = z.clipped(*box)
        if not all(np.isfinite(end).all() for end in ends):
            return super().carry(z, box)
        at = np.clip(z.centre, *ends)
        (low, high), _ = self._shares(ends)
        least, most = lower_after(np.outer(low, low), 1), times_up(high[:, None], high[None, :])
        J = -most, -least
        # s (1 - s) is concave: least at an end, largest at 1/2 or next to it
        falls = [lower_after(s * np.maximum(1.0 - s, 0.0), 2) for s in (low, high)]
        np.fill_diagonal(J[0], np.minimum(*falls))
        np.fill_diagonal(J[1], self._shares(ends)[1])
        return z.less(at).affine(J, self.image((at, at))).within(*self.image(ends), EXCESS)

    def rounded(self, x: Rounded) -> Rounded:
        r"""Return size and rounding error of the shares.

        With z_j = x_j - max x <= 0 rounded by u |z_j|, exp(z_j) errs by exp(z_j) |z_j| u <= u / e,
        less than .64 u with all higher orders, and by c u of itself.  Their sum S >= 1 errs by what
        its n terms do and by gamma(n) S, the quotient by both and u:

            (.64 (n + 1) + 2 c + 1) u + gamma(n)    times 2 for products of errors below 1/4.
        """
        n, how = self.size, x.arithmetic
        c = how.units(ELEMENTARY_UNITS)
        own = (0.64 * (n + 1) + 2 * c + 1) * how.unit + sum_units(n + 2, how.unit)
        own = 2 * own * (1 + 8 * UNIT) + 4 * (n + 1) * c * how.tiny
        fits = np.isfinite(x.error).all() and bool(np.all(x.size <= how.largest))
        known = fits and own <= 0.25 and n <= how.largest
        carried = min(1.0, 0.5 * float(np.max(x.error))) if known else math.inf
        size = np.full(n, 1.0 + own if known else math.inf)
        return x.of(size, np.full(n, (carried + own) * (1 + 8 * UNIT)))
