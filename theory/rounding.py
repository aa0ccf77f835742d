r"""Every tolerance of the project, with its derivation: the only home of such numbers.

Main names: `up`, `down`, `gamma`, `sum_up`, `scaled_to_one`, `ldexp_up`, `ldexp_down`, `evaluate`,
`formula_slack`, `drift`, `Rounded`, `reverse_mode_error`, `UNIT`.

Model of arithmetic: IEEE 754 double precision, rounding to nearest, gradual underflow,

    fl(a op b) = (a op b)(1 + d) + e,   |d| <= u = 2**-53,   |e| <= eta/2,   eta = 2**-1074,

with e = 0 for sums.  A sum of n terms or an inner product of length n, evaluated in **any** order
and with or without fused multiply-add, has |error| <= gamma(n) * sum |a_i b_i| + n * eta,
gamma(n) = n u / (1 - n u)  (Higham, *Accuracy and Stability of Numerical Algorithms*, section 3.1).
Matrix products of any BLAS that multiplies conventionally (not Strassen) obey this entry by entry.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, final

import numpy as np

from theory.typing import Array, Scalar

#: u, the unit roundoff of double precision.
UNIT = 2.0**-53

#: eta, the smallest positive double.
TINY = 2.0**-1074

#: Assumed accuracy, in units of u, of the elementary functions of NumPy, Numba and libm (tanh, exp,
#: log1p, sin, pow) and of the kernels' own.  It is an assumption on libraries, not a theorem: tests
#: measure at most 3.5 u against 80-digit arithmetic, and the rest covers other platforms.
ELEMENTARY_UNITS = 8

#: Smallest precision, in bits, at which `evaluate` works; it doubles until the answer is decided.
_INTERVAL_BITS = 120


def up(x: float) -> float:
    """Return the next double above: an upper bound of whatever was rounded to nearest to `x`."""
    return math.nextafter(x, math.inf)


def down(x: float) -> float:
    """Return the next double below: a lower bound of whatever was rounded to nearest to `x`."""
    return math.nextafter(x, -math.inf)


def gamma(n: int) -> float:
    """Return an upper bound of gamma(n) = n u / (1 - n u)."""
    if not 0 <= n < 2**51:
        raise ValueError(
            f"gamma({n}): needed 0 <= n < 2**51, beyond which a sum has no digits left"
        )
    return up(up(n * UNIT) / down(1.0 - up(n * UNIT)))


def scaled_to_one(A: Array) -> tuple[Array, int]:
    """Return A / 2**e and e, with the largest modulus of A / 2**e in [1/2, 1); e = 0 for A = 0.

    Squares of entries then neither overflow nor, where they matter, underflow.  The scaling is
    exact but for entries 2**1022 times smaller than the largest: they err by at most eta / 2.
    """
    e = math.frexp(float(np.max(np.abs(A), initial=0.0)))[1]
    return np.ldexp(A, -e), e


def ldexp_up(x: float, e: int) -> float:
    """Return a double >= x * 2**e, exact unless it overflows or underflows."""
    try:
        scaled = math.ldexp(x, e)
    except OverflowError:
        return math.inf if x > 0 else -sys.float_info.max
    return scaled if x == 0 or abs(scaled) >= sys.float_info.min else up(scaled)


def ldexp_down(x: float, e: int) -> float:
    """Return a double <= x * 2**e, exact unless it overflows or underflows."""
    return -ldexp_up(-x, e)


def sum_up(values: Iterable[float]) -> float:
    """Return the smallest double >= the exact sum of non-negative `values`; inf on overflow.

    `math.fsum` rounds the exact sum once, to nearest.  Applied again to the same terms minus the
    result, it gives the exact sign of what was lost, so a sum that is a double stays itself.
    """
    terms = list(values)
    if math.inf in terms:
        return math.inf
    try:
        total = math.fsum(terms)
        return up(total) if math.fsum([*terms, -total]) > 0 else total
    except OverflowError:
        return math.inf


def product_up(a: float, b: float) -> float:
    """Return a double >= a * b for non-negative a, b; exact zeros and ones stay exact."""
    if a == 0 or b == 0:
        return 0.0
    if a == 1 or b == 1:
        return b if a == 1 else a
    return up(a * b)


def sqrt_up(x: float) -> float:
    """Return a double >= sqrt(x); exact squares stay exact."""
    root = math.sqrt(x)
    return root if math.isinf(x) or Fraction(root) ** 2 >= Fraction(x) else up(root)


def evaluate(formula: Callable[..., Scalar], *, upward: bool = True, **arguments: Any) -> float:
    """Evaluate a formula in interval arithmetic and round outward, once, to a double.

    Parameters
    ----------
    formula
        Arithmetic only (+ - * / **), as every formula in `theory.theorems` is.
    upward
        Whether to return an upper bound of the value (default) or a lower bound.
    arguments
        Floats, taken as the exact numbers they are, and integers.

    Returns
    -------
    float
        The smallest double not below the value (largest not above, with ``upward=False``), up to
        one unit in the last place.  `inf` when the value exceeds the largest double.

    Raises
    ------
    ZeroDivisionError
        If a divisor cannot be told from zero at 8000 bits: it is zero.
    """
    from mpmath import iv

    bits = _INTERVAL_BITS
    saved = iv.prec
    try:
        while True:
            iv.prec = bits
            exact = {
                name: int(value) if isinstance(value, (int, np.integer)) else iv.mpf(float(value))
                for name, value in arguments.items()
            }
            result = iv.convert(formula(**exact))
            low, high = (
                _outward(result._mpi_[0], upward=False),
                _outward(result._mpi_[1], upward=True),
            )
            # as tight as a double can be, or cancelling to nothing at whatever precision
            if high <= math.nextafter(low, math.inf) or (bits > 8000 and math.isfinite(low)):
                return high if upward else low
            bits *= 2
            if bits > 16000:
                raise ZeroDivisionError(f"formula is not finite at {arguments}")
    finally:
        iv.prec = saved


def _outward(end: Any, *, upward: bool) -> float:
    """Round an end of an interval outward to a double; an infinite one stays so."""
    from mpmath import libmp

    # to_float rounds to nearest among subnormal numbers, and to inf beyond the largest
    nearest = float(libmp.to_float(end))
    if upward:
        return up(nearest) if libmp.mpf_lt(libmp.from_float(nearest), end) else nearest
    return down(nearest) if libmp.mpf_gt(libmp.from_float(nearest), end) else nearest


def formula_slack(lam: float) -> float:
    r"""Return the relative error of a bound's formula evaluated in plain doubles.

    The formulas are products, quotients and sums of non-negative quantities, at most 16 operations,
    each exact to `ELEMENTARY_UNITS` u; the only subtractions are 1 - lam and 1 - lam**j (or
    lam**k - lam**t = lam**k (1 - lam**(t-k)) on integers k < t), in which the relative error grows
    by at most 1/(1 - lam).  The sum of all is below 16 * ELEMENTARY_UNITS * u / (1 - lam).
    """
    return 16 * ELEMENTARY_UNITS * UNIT / (1.0 - lam)


def drift(local: float, lam: float, steps: int | None = None) -> float:
    r"""Bound the distance of a computed trajectory from the exact one of the same inputs.

    Every computed step errs by at most `local` in the norm in which the map contracts by `lam`:

        e_{t+1} = step(h_t) - step(g_t) + rounding   =>   |e_{t+1}| <= lam |e_t| + local
        |e_0| = 0,  so  |e_t| <= local (1 + lam + ... + lam**(t-1)) <= local min(t, 1/(1 - lam)).

    Returns an upper bound, `local` times the smaller of the number of steps and 1/(1 - lam).
    """
    factor = up(1.0 / down(1.0 - lam)) if lam < 1 else math.inf
    if steps is not None:
        factor = min(factor, float(steps))
    return 0.0 if local == 0 else up(local * factor)


def reverse_mode_error(
    *,
    lam: float,
    state_error: float,
    seed_error: float,
    loss_gain: float,
    weight_gain: float,
    beta_hh: float,
    beta_wh: float,
    majorant: float,
    size: int,
    steps: int,
) -> float:
    r"""Bound the rounding error of a gradient by reverse mode, lam < 1.

    Let a_j be the derivative of the loss in the state j steps before its end, in the dual norm, and
    E_j the error of the computed one.  The computed states err by `state_error` and the computed
    a_0 by `seed_error`.  A step back multiplies by a Jacobian taken at a state that errs, and
    rounds: slopes to 16 u times their bound, products of length up to `size`; `majorant` bounds the
    norm of the Jacobian's entrywise bound.  So, with kappa = gamma(4 size + 128) majorant,

        |a_j| <= loss_gain lam**j,
        E_{j+1} <= lam E_j + (beta_hh state_error + kappa) |a_j|,
        sum_j E_j <= seed_error / (1 - lam)
                     + (beta_hh state_error + kappa) loss_gain / (1 - lam)**2.

    The gradient adds up d_w step^T a_j over `steps` rows, each rounded like a product:

        error <= sum_j weight_gain E_j + (beta_wh state_error + kappa') |a_j|,

    kappa' = gamma(4 size + 2 steps + 128) weight_gain.  A tenth more covers products of errors.
    """
    total = 1.0 / (1.0 - lam)
    step = beta_hh * state_error + gamma(4 * size + 128) * majorant
    last = beta_wh * state_error + gamma(4 * size + 2 * steps + 128) * weight_gain
    adjoints = seed_error * total + step * loss_gain * total * total
    return 1.1 * (weight_gain * adjoints + last * loss_gain * total)


def inner_product_error(magnitude: Array, length: int) -> Array:
    """Bound the error of sums of products from ``magnitude = sum |a_i b_i|`` as computed.

    The computed magnitude itself is low by at most a factor 1 - gamma(length), hence the 2.
    """
    return 2.0 * gamma(length + 2) * magnitude + 2 * length * TINY


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
