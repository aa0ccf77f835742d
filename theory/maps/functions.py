r"""What stands between recurrences: functions of one time step, with enclosures and slopes.

Main names: `Function`, `Dense`, `Select`, `Pointwise`.

`theory.maps.normalize` and `theory.maps.reading` hold others; `theory.maps.combine` puts them
together.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self, final

import numpy as np
import numpy.typing as npt

from theory.arithmetic.activations import SIGMOID, Activation
from theory.arithmetic.activations import activation as look_up
from theory.arithmetic.intervals import (
    Interval,
    activation_image,
    affine_image,
    slope_range,
    widened,
)
from theory.arithmetic.relaxations import relaxed
from theory.arithmetic.rounded import Rounded
from theory.arithmetic.rounding import ELEMENTARY_UNITS, TINY, UNIT
from theory.arithmetic.zonotopes import Zonotope, combination, product
from theory.errors import as_matrix, as_vector
from theory.maps.boxes.ends import magnitude
from theory.maps.boxes.reached import EXCESS
from theory.norms.norms import L2
from theory.typing import Array


class Function(ABC):
    """A function of one time step, R^n -> R^p.

    `__call__` in plain NumPy is the definition.
    """

    @property
    @abstractmethod
    def input_dim(self) -> int:
        """Return n."""

    @property
    @abstractmethod
    def output_dim(self) -> int:
        """Return p."""

    @property
    @abstractmethod
    def arrays(self) -> Mapping[str, Array]:
        """Return what can be learned, by names."""

    @abstractmethod
    def with_arrays(self, arrays: Mapping[str, Any]) -> Function:
        """Return the same function of other arrays, by the names of `arrays`."""

    @abstractmethod
    def __call__(self, x: Array) -> Array:
        """Return f(x), (..., p), of x, (..., n)."""

    @abstractmethod
    def jacobian(self, x: Array) -> Array:
        """Return df / dx, (..., p, n)."""

    @abstractmethod
    def image(self, box: Interval) -> Interval:
        """Enclose f over a box of inputs, rounded outward."""

    @abstractmethod
    def slopes(self, box: Interval) -> Array:
        """Return G, (p, n), |f(x) - f(y)| <= G |x - y| entrywise over a box; inf if unknown."""

    @abstractmethod
    def rounded(self, x: Rounded) -> Rounded:
        """Return size and rounding error of f(x)."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.input_dim} -> {self.output_dim})"

    def enclosed(self, box: Interval) -> tuple[Interval, Array]:
        """Return `image` and `slopes` together; of what is made of others, in one pass."""
        return self.image(box), self.slopes(box)

    def carry(self, z: Zonotope, box: Interval) -> Zonotope:
        """Enclose f over those points of a zonotope that lie in a box; its symbols are kept."""
        return Zonotope.box(*self.image(z.clipped(*box)), z.symbols)

    def lipschitz(self, box: Interval) -> float:
        """Return an upper bound of the Euclidean Lipschitz constant over a box; inf if unknown."""
        G = self.slopes(box)
        return L2().matrix_upper(G) if np.isfinite(G).all() else math.inf


class Fixed(Function):
    """What functions share that have no arrays."""

    @property
    def arrays(self) -> Mapping[str, Array]:
        """Return nothing."""
        return {}

    def with_arrays(self, arrays: Mapping[str, Any]) -> Self:
        """Return itself."""
        del arrays
        return self


@final
class Dense(Function):
    """The affine function W x + b.

    Parameters
    ----------
    W : (p, n) array
    b : (p,) array, optional
        Zero by default.

    Raises
    ------
    ValueError
        If shapes do not fit or a number is not finite.

    Examples
    --------
    >>> Dense([[1.0, -2.0]], [0.5]).lipschitz((np.zeros(2), np.ones(2))) >= 5**0.5
    True
    """

    def __init__(self, W: npt.ArrayLike, b: npt.ArrayLike | None = None) -> None:
        self.W = as_matrix("W", W)
        self.b = as_vector("b", np.zeros(len(self.W)) if b is None else b, size=len(self.W))

    @property
    def input_dim(self) -> int:
        """Return n."""
        return int(self.W.shape[1])

    @property
    def output_dim(self) -> int:
        """Return p."""
        return len(self.W)

    @property
    def arrays(self) -> Mapping[str, Array]:
        """Return W and b."""
        return {"W": self.W, "b": self.b}

    def with_arrays(self, arrays: Mapping[str, Any]) -> Dense:
        """Return the same of another W and b."""
        return Dense(arrays["W"], arrays["b"])

    def __call__(self, x: Array) -> Array:
        """Return W x + b."""
        result: Array = x @ self.W.T + self.b
        return result

    def jacobian(self, x: Array) -> Array:
        """Return W."""
        return np.broadcast_to(self.W, (*np.shape(x)[:-1], *self.W.shape))

    def image(self, box: Interval) -> Interval:
        """Enclose W x + b."""
        return affine_image(self.W, *box, self.b)

    def slopes(self, box: Interval) -> Array:
        """Return |W|."""
        del box
        return np.abs(self.W)

    def carry(self, z: Zonotope, box: Interval) -> Zonotope:
        """Return W z + b."""
        del box
        return z.affine(self.W, self.b)

    def lipschitz(self, box: Interval) -> float:
        """Return the spectral norm of W, rounded upward."""
        del box
        return L2().matrix_upper(self.W)

    def rounded(self, x: Rounded) -> Rounded:
        """Return size and rounding error of W x + b."""
        return x.affine(self.W, self.b)


@final
class Select(Fixed):
    """A run of entries, start <= i < stop, of n.

    Parameters
    ----------
    start, stop, size : int

    Raises
    ------
    ValueError
        If it is no run of at least one entry.

    Examples
    --------
    >>> Select(1, stop=3, size=3)(np.array([1.0, 2.0, 3.0])).tolist()
    [2.0, 3.0]
    """

    def __init__(self, start: int, *, stop: int, size: int) -> None:
        if not 0 <= start < stop <= size:
            raise ValueError(f"start={start}, stop={stop}, needed 0 <= start < stop <= {size}")
        self.start, self.stop, self.size = int(start), int(stop), int(size)

    @property
    def input_dim(self) -> int:
        """Return n."""
        return self.size

    @property
    def output_dim(self) -> int:
        """Return stop - start."""
        return self.stop - self.start

    def __call__(self, x: Array) -> Array:
        """Return the entries."""
        return x[..., self.start : self.stop]

    def jacobian(self, x: Array) -> Array:
        """Return rows of the identity."""
        rows = np.eye(self.output_dim, self.size, self.start)
        return np.broadcast_to(rows, (*np.shape(x)[:-1], *rows.shape))

    def image(self, box: Interval) -> Interval:
        """Return the intervals of the entries."""
        return self(box[0]), self(box[1])

    def carry(self, z: Zonotope, box: Interval) -> Zonotope:
        """Return the rows of the entries."""
        del box
        return z.rows(slice(self.start, self.stop))

    def slopes(self, box: Interval) -> Array:
        """Return rows of the identity."""
        del box
        return np.eye(self.output_dim, self.size, self.start)

    def rounded(self, x: Rounded) -> Rounded:
        """Return what is known of the entries."""
        return x.part(slice(self.start, self.stop))


def _silu(x: Array) -> Array:
    return x * SIGMOID(x)


def _silu_slope(x: Array) -> Array:
    s = SIGMOID(x)
    return np.asarray(s * (1 + x * (1 - s)))


#: Beyond this |x| the normal distribution is 0 or 1 to double precision.
_FLAT = 40.0


def _normal(x: Array) -> Array:
    """Return the share of the normal distribution below x."""
    from scipy.special import erfc

    return np.asarray(0.5 * erfc(x * -math.sqrt(0.5)))


def _gelu(x: Array) -> Array:
    return x * _normal(x)


def _gelu_slope(x: Array) -> Array:
    held = np.clip(x, -_FLAT, _FLAT)  # whose square does not overflow
    return np.asarray(_normal(x) + x * np.exp(-0.5 * np.square(held)) / math.sqrt(2 * math.pi))


@final
@dataclass(frozen=True, kw_only=True)
class _Smooth:
    """A function that falls to a least value and grows to x from there.

    Its slope falls up to -steep, grows up to steep, and falls to 1.  Places and values are right to
    2**-40, and the two slopes lie beyond the extreme ones: tests decide them in ball arithmetic.
    """

    name: str
    function: Callable[[Array], Array]
    derivative: Callable[[Array], Array]
    at: float  # where it is least
    least: float
    steep: float  # where its slope is largest
    slopes: tuple[float, float]
    moved: float  # a computed value errs by so much times |x| more than relatively
    flat: float  # beyond this |x| it is x or 0 to double precision

    def __call__(self, x: Array) -> Array:
        """Return f(x)."""
        return self.function(x)


#: x sigma(x), by 16 eta |x| off where sigma underflows, and x times the normal distribution: the
#: argument of erfc errs by 2 u, which moves x erfc by x**2 phi(x) 2 u < u |x| / 2.
SMOOTH = {
    "silu": _Smooth(
        name="silu", function=_silu, derivative=_silu_slope,
        at=-1.2784645427610738, least=-0.27846454276107384,
        steep=2.3993572805154675, slopes=(-0.09983935, 1.09983935), moved=16 * TINY, flat=1024.0,
    ),
    "gelu": _Smooth(
        name="gelu", function=_gelu, derivative=_gelu_slope,
        at=-0.7517915246935645, least=-0.1699712074799036,
        steep=1.4142135623730951, slopes=(-0.12890416, 1.12890416), moved=UNIT, flat=_FLAT,
    ),
}  # fmt: skip

#: What the least value and the slopes, known to more digits than these, are widened by.
_ROOM = 2.0**-40


@final
class Pointwise(Fixed):
    r"""One function of every entry: an activation, ``silu``, x sigma(x), or ``gelu``, x Phi(x).

    Parameters
    ----------
    activation : str or Activation
    size : int
        n, the number of entries.

    Raises
    ------
    ValueError
        If the activation is unknown.

    Examples
    --------
    >>> low, high = Pointwise("silu", 1).image((np.array([-9.0]), np.array([0.0])))
    >>> low.round(4).tolist(), bool(0 <= high[0] < 1e-300)
    ([-0.2785], True)
    """

    def __init__(self, activation: str | Activation, size: int) -> None:
        known = SMOOTH.get(activation) if isinstance(activation, str) else None
        self._f: Activation | _Smooth = known or look_up(activation)
        self.size = int(size)

    def __repr__(self) -> str:
        return f"Pointwise({self.activation!r}, {self.size})"

    @property
    def activation(self) -> str:
        """Return the name of the activation."""
        return self._f.name

    @property
    def input_dim(self) -> int:
        """Return n."""
        return self.size

    @property
    def output_dim(self) -> int:
        """Return n."""
        return self.size

    def __call__(self, x: Array) -> Array:
        """Return rho(x)."""
        return self._f(x)

    def jacobian(self, x: Array) -> Array:
        """Return diag(rho'(x))."""
        return np.asarray(self._f.derivative(x)[..., None] * np.eye(self.size))

    def image(self, box: Interval) -> Interval:
        """Enclose rho over a box."""
        f = self._f
        if isinstance(f, Activation):
            return activation_image(f, *box)
        low, high = box
        with np.errstate(invalid="ignore"):
            ends = [np.where(np.isneginf(end), 0.0, f(end)) for end in box]
        moved = [f.moved * np.minimum(np.abs(end), f.flat) for end in box]
        # the logistic function errs by 16 u, erfc by 8 u, a product by one more and by eta
        below, above = widened(
            np.minimum(ends[0] - moved[0], ends[1] - moved[1]),
            np.maximum(ends[0] + moved[0], ends[1] + moved[1]),
            24,
        )
        inside = (low <= f.at) & (high >= f.at)
        # near the least place, which is known to a few digits only
        bottom = np.where(inside, f.least - _ROOM, below)
        return np.maximum(bottom, f.least - _ROOM), above

    def _slope_range(self, box: Interval) -> Interval:
        f = self._f
        if isinstance(f, Activation):
            return slope_range(f, *box)
        low, high = box
        # the slope falls up to -a, grows up to a, and falls again
        first, last = (np.clip(end, -f.steep, f.steep) for end in box)
        with np.errstate(invalid="ignore"):
            ends = [
                np.where(np.isfinite(end), f.derivative(end), np.where(end > 0, 1.0, 0.0))
                for end in (low, high, first, last)
            ]
        # clipped places that are not of the box are met by none of its slopes: leave them out
        ends[2] = np.where((first >= low) & (first <= high), ends[2], ends[0])
        ends[3] = np.where((last >= low) & (last <= high), ends[3], ends[1])
        slack = _ROOM  # far above what a slope of size 1 and of |x| <= 800 errs by
        below, above = np.minimum.reduce(ends) - slack, np.maximum.reduce(ends) + slack
        return np.maximum(below, f.slopes[0]), np.minimum(above, f.slopes[1])

    def carry(self, z: Zonotope, box: Interval) -> Zonotope:
        """Return rho as a line and what is left, x sigma(x) as a product, x Phi(x) by slopes."""
        ends = z.clipped(*box)
        if isinstance(self._f, Activation):
            return relaxed(self._f, z, *ends)
        if self.activation == "silu":
            form = product(z, relaxed(SIGMOID, z, *ends), ends, activation_image(SIGMOID, *ends))
        else:
            at = np.clip(z.centre, *ends)
            form = combination([(self._slope_range(ends), z.less(at))], self.image((at, at)))
        return form.within(*self.image(ends), EXCESS)

    def slopes(self, box: Interval) -> Array:
        """Return the largest sizes of the slopes over a box, on the diagonal."""
        return np.diag(magnitude(self._slope_range(box)))

    def rounded(self, x: Rounded) -> Rounded:
        """Return size and rounding error of rho(x)."""
        if isinstance(self._f, Activation):
            return x.through(*self._f.facts)
        # that of sigma, or of erfc and its argument, times x, of slope in [-0.13, 1.13]
        units, how = x.arithmetic.units(4 * ELEMENTARY_UNITS), x.arithmetic
        tiny = units * how.tiny * (1 + x.size)
        size = x.size * (1 + units * how.unit) * (1 + 8 * UNIT) + tiny
        error = (1.13 * x.error + units * how.unit * size) * (1 + 8 * UNIT) + tiny
        return x.of(size, np.where(size <= how.largest, error, math.inf))
