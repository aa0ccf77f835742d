r"""Division by the deviation: RMS and layer normalisation.

Main name: `Normalize`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, final

import numpy as np
import numpy.typing as npt

from theory.arithmetic.intervals import (
    Interval,
    affine_image,
    plus_up,
    products,
    sum_of,
    times_up,
    widened,
)
from theory.arithmetic.relaxations import relaxed_convex
from theory.arithmetic.rounded import Rounded
from theory.arithmetic.rounding import UNIT, gamma, up
from theory.arithmetic.zonotopes import Zonotope, combination, product
from theory.errors import as_vector, check_positive
from theory.maps.boxes.directions import LEAST_EPS, direction
from theory.maps.boxes.ends import magnitude
from theory.maps.boxes.reached import EXCESS
from theory.maps.functions import Function
from theory.norms.norms import L2
from theory.typing import Array


@final
class Normalize(Function):
    r"""Division by the deviation: g x / sqrt(mean(x^2) + eps) + b, of x - mean(x) for ``layer``.

    Its Lipschitz constant is max |g| / sqrt(eps) everywhere, and max |g| / s over a box where the
    root is at least s.

    Parameters
    ----------
    gain : (n,) array
        g.
    bias : (n,) array, optional
        b, zero by default.
    kind : str
        ``rms`` or ``layer``.
    eps : float

    Raises
    ------
    ValueError
        If shapes do not fit, a number is not finite, or eps is not positive.

    Examples
    --------
    >>> norm = Normalize([1.0, 1.0], eps=1e-6)
    >>> box = np.array([2.9, 3.9]), np.array([3.1, 4.1])
    >>> round(norm.lipschitz(box), 3), round(norm.lipschitz((-box[1], box[1])))
    (0.291, 1000)
    """

    def __init__(
        self,
        gain: npt.ArrayLike,
        bias: npt.ArrayLike | None = None,
        *,
        kind: str = "rms",
        eps: float = 1e-5,
    ) -> None:
        self.gain = as_vector("gain", gain)
        n = self.gain.size
        self.bias = as_vector("bias", np.zeros(n) if bias is None else bias, size=n)
        if kind not in {"rms", "layer"}:
            raise ValueError(f"kind={kind!r}, needed one of: rms, layer")
        check_positive(eps=eps)
        if not eps >= LEAST_EPS:
            raise ValueError(f"eps={eps}, needed at least {LEAST_EPS:.3g}")
        self.kind, self.eps = kind, float(eps)

    @property
    def input_dim(self) -> int:
        """Return n."""
        return self.gain.size

    @property
    def output_dim(self) -> int:
        """Return n."""
        return self.gain.size

    @property
    def arrays(self) -> Mapping[str, Array]:
        """Return gain and bias."""
        return {"gain": self.gain, "bias": self.bias}

    def with_arrays(self, arrays: Mapping[str, Any]) -> Normalize:
        """Return the same of another gain and bias."""
        return Normalize(arrays["gain"], arrays["bias"], kind=self.kind, eps=self.eps)

    def _parts(self, x: Array) -> tuple[Array, Array]:
        """Return x, or x less its mean, and the root that divides it."""
        if self.kind == "layer":
            x = x - np.mean(x, axis=-1, keepdims=True)
        return x, np.sqrt(np.mean(np.square(x), axis=-1, keepdims=True) + self.eps)

    def __call__(self, x: Array) -> Array:
        """Return g x / root + b."""
        y, root = self._parts(x)
        result: Array = self.gain * (y / root) + self.bias
        return result

    def jacobian(self, x: Array) -> Array:
        """Return diag(g) (P - y y^T / (n root^2)) / root, P the centring or the identity."""
        y, root = self._parts(x)
        n = self.input_dim
        P = np.eye(n) - (1.0 / n if self.kind == "layer" else 0.0)
        z = y / root
        turned = P - z[..., :, None] * z[..., None, :] / n
        J: Array = self.gain[:, None] * turned / root[..., None]
        return J

    def _centred(self, box: Interval) -> Interval:
        """Enclose x, or x less its mean; 1 / n is rounded, by u of it."""
        if self.kind == "rms":
            return box
        n = self.input_dim
        low, high = affine_image(np.eye(n) - 1.0 / n, *box)
        with np.errstate(over="ignore", invalid="ignore"):
            more = np.nextafter(4 * UNIT * np.sum(magnitude(box)), np.inf)
        return sum_of((low, high), (-np.full(n, more), np.full(n, more)))

    def _unit(self, box: Interval) -> Interval:
        """Enclose y / root: sqrt(n) y_i / sqrt(|y|^2 + n eps)."""
        n = self.input_dim
        root = math.sqrt(n)
        y = direction(self._centred(box), n * self.eps)
        wide = np.full(n, up(root) * (1 - 4 * UNIT)), np.full(n, up(root))
        return products(wide, y)

    def image(self, box: Interval) -> Interval:
        """Enclose g y / root + b over a box."""
        return sum_of(products((self.gain, self.gain), self._unit(box)), (self.bias, self.bias))

    def carry(self, z: Zonotope, box: Interval) -> Zonotope:
        r"""Return g y s + b, y and s = 1 / root as forms: the root is that of the squares' mean."""
        n, ends = self.input_dim, z.clipped(*box)
        y, at = z, ends
        if self.kind == "layer":
            at = self._centred(ends)
            more = np.full(n, np.nextafter(4 * UNIT * float(np.sum(magnitude(ends))), np.inf))
            y = z.affine(np.eye(n) - 1.0 / n, (-more, more))
        squares = product(y, y, at, at)
        size = magnitude(at)
        with np.errstate(over="ignore"):
            total = np.nextafter(np.sum(np.square(size)) / n * (1 + gamma(n + 8)), np.inf)
        least = np.full(1, self._root_down(ends) ** 2 * (1 - 8 * UNIT))
        most = np.full(1, np.nextafter(total + self.eps, np.inf) * (1 + 8 * UNIT))
        # 1 / n is rounded, and so are the ends of the shift
        off = (total + self.eps) * 4 * UNIT
        shift = np.array([self.eps - off]), np.array([self.eps + off])
        mean = squares.affine(np.full((1, n), 1.0 / n), shift)
        s = relaxed_convex(
            _inverse_root, _inverse_root_slope, _inverse_root_place, mean, mean.clipped(least, most)
        )
        inverse = _inverse_root(most)[0], _inverse_root(least)[1]
        s = s.within(*inverse, EXCESS).rows(np.zeros(n, dtype=int))
        span = np.full(n, inverse[0][0]), np.full(n, inverse[1][0])
        unit = product(y, s, at, span).within(*self._unit(ends), EXCESS)
        return combination([(self.gain, unit)], self.bias)

    def through(self, W: Array, b: Array) -> Interval:
        r"""Enclose W f(x) + b over all x: |y| / root <= sqrt(n), so |W diag(g) z| <= sqrt(n) |W g|.

        Of a dense W it is sqrt(n) times narrower than what the box of f(x) gives.
        """
        scaled = times_up(np.abs(W), np.abs(self.gain))
        length = L2().vector_upper(scaled)
        reach = times_up(length, up(math.sqrt(self.input_dim)))
        return sum_of(affine_image(W, self.bias, self.bias, b), (-reach, reach))

    def _root_down(self, box: Interval) -> float:
        """Return a lower bound of the root over a box."""
        y = self._centred(box)
        least = np.where((y[0] <= 0) & (y[1] >= 0), 0.0, np.minimum(*map(np.abs, y)))
        with np.errstate(over="ignore"):
            mean = float(np.sum(np.square(least))) / self.input_dim
        return math.sqrt(min(mean, 1e300) + self.eps) * (1 - 2 * gamma(self.input_dim + 8))

    def slopes(self, box: Interval) -> Array:
        """Return the sizes of the Jacobian over a box: off the diagonal 1 / n and z z^T / n."""
        n = self.input_dim
        z = magnitude(self._unit(box))
        own = 1.0 / n if self.kind == "layer" else 0.0
        outer = times_up(times_up(z[:, None], z[None, :]), up(1 / n))
        apart = plus_up(np.full((n, n), up(own) if own else 0.0), outer)
        # the diagonal of P - z z^T / n is in [-1, 1], as both are projections, or less
        np.fill_diagonal(apart, 1.0)
        return times_up(times_up(np.abs(self.gain)[:, None], apart), up(1 / self._root_down(box)))

    def lipschitz(self, box: Interval) -> float:
        """Return max |g| / root, the smaller of this and what the slopes say."""
        largest = float(np.max(np.abs(self.gain))) / self._root_down(box)
        return min(largest * (1 + 4 * UNIT), super().lipschitz(box))

    def rounded(self, x: Rounded) -> Rounded:
        """Return size and rounding error: the mean, the quotient, gain and bias, one by one."""
        y = x
        if self.kind == "layer":
            total, n = x.total(-1), self.input_dim
            # the quotient by n rounds once more, and may underflow
            each = total.size / n * x.arithmetic.raised + x.arithmetic.tiny
            wrong = total.error / n + 2 * x.arithmetic.unit * each + x.arithmetic.tiny
            y = x + x.of(each, wrong * (1 + 8 * UNIT))
        return x.stored(self.gain) * y.directed(self.eps, mean=True) + x.stored(self.bias)


def _inverse_root(q: Array) -> Interval:
    """Enclose 1 / sqrt(q), q > 0: a root and a quotient, each rounded once."""
    return widened(1.0 / np.sqrt(q), 1.0 / np.sqrt(q))


def _inverse_root_slope(q: Array) -> Interval:
    slope = -0.5 / (q * np.sqrt(q))
    return widened(slope, slope)


def _inverse_root_place(alpha: Array) -> Array:
    return np.asarray((-2.0 * alpha) ** (-2.0 / 3.0))
