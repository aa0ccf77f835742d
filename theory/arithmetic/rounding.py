r"""The model of arithmetic, and the tolerances that several files share, each with its derivation.

Main names: `up`, `down`, `gamma`, `upper_after`, `lower_after`, `sum_up`, `scaled_to_one`,
`ldexp_up`, `ldexp_down`, `evaluate`, `formula_slack`, `drift`, `reverse_mode_error`, `UNIT`.

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
from decimal import ROUND_CEILING, ROUND_FLOOR, Context
from fractions import Fraction
from typing import Any

import numpy as np

from theory.typing import Array, Scalar

#: u, the unit roundoff of double precision.
UNIT = 2.0**-53

#: eta, the smallest positive double.
TINY = 2.0**-1074

#: Assumed accuracy, in units of u, of the elementary functions of NumPy, Numba and libm (tanh, exp,
#: log1p, sin, pow), of SciPy's erfc, and of the kernels' own.  It is an assumption on libraries,
#: not a theorem: tests measure at most 3.5 u against 80-digit arithmetic, and the rest covers other
#: platforms.
ELEMENTARY_UNITS = 8

#: What `upper_after` and `lower_after` allow for underflow, 2**34 eta: that of 2**10 operations, of
#: results that are multiplied by at most 2**24 afterwards.
LOST = 2.0**-1040

#: By how much, relatively, a box is made wider than its bounds ask for, so that its image, rounded
#: outward, is seen to lie inside.  Any number is sound: it decides how often the proof succeeds.
BOX_ROOM = 2.0**-24

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


def upper_after(x: Any, operations: int) -> Array:
    r"""Return numbers above the exact results of a few operations that were rounded to x >= 0.

    Operations are + * / and roots of non-negative numbers; `operations` is the largest number k of
    them on a way from exact numbers to the result.  With x = X prod (1 + d_i)^(+-1) of k factors,
    |d_i| <= u, and g = gamma(k + 3) >= (k + 3) u,

        X <= x / (1 - u)^k <= x / (1 - k u),
        fl(x fl(1 + g)) >= x (1 + g) (1 - u)^2 >= x (1 - 2 u) / (1 - (k + 3) u)
                        >= x (1 + u) / (1 - k u),

    as (1 - 2 u) (1 - k u) >= (1 + u) (1 - (k + 3) u).  `LOST`, and from 2**-990 on the part u of x
    that is left, cover what underflowed on the way.
    """
    with np.errstate(over="ignore"):
        above: Array = np.asarray(x) * (1.0 + gamma(operations + 3)) + LOST
    return above


def lower_after(x: Any, operations: int) -> Array:
    r"""Return non-negative numbers below the exact results of operations that were rounded to x.

    As `upper_after`, from the other side; a difference may be among the operations if its operands
    are exact.  With g = gamma(k + 3) >= (k + 3) u,

        X >= x (1 - u)^k >= x (1 - k u),
        fl(x fl(1 - g)) <= x (1 - (k + 3) u) (1 + u)^2 <= x (1 - k u) - u x + 2 u^2 x.
    """
    below: Array = np.maximum(np.asarray(x) * (1.0 - gamma(operations + 3)) - LOST, 0.0)
    return below


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


def decimal_up(x: float, digits: int) -> str:
    """Return a decimal number of so many digits that is no smaller than x."""
    return _told(x, digits, ROUND_CEILING)


def decimal_down(x: float, digits: int) -> str:
    """Return a decimal number of so many digits that is no larger than x."""
    return _told(x, digits, ROUND_FLOOR)


def decimal_rate(lam: float, digits: int) -> str:
    """Return `decimal_up` of a rate, which stays below 1: next to it with the digits that takes."""
    told = decimal_up(lam, digits)
    # a double below 1 is below it by 2**-53 at least: 16 digits do not step over
    while lam < 1 <= Fraction(told):
        digits += 1
        told = decimal_up(lam, digits)
    return told


def _told(x: float, digits: int, direction: str) -> str:
    if not math.isfinite(x):
        return str(x)
    context = Context(prec=digits, rounding=direction)
    told = context.create_decimal_from_float(float(x)).normalize(context)
    return f"{told:f}" if -5 < told.adjusted() < 15 else f"{told:g}"


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


def formula_slack(lam: Any, order: int = 1) -> Any:
    r"""Bound the relative error of a bound's formula evaluated in plain doubles; entrywise in lam.

    The formulas are products, quotients and sums of non-negative quantities, at most 16 operations,
    each exact to `ELEMENTARY_UNITS` u; the only subtractions are 1 - lam and 1 - lam**j (or
    lam**k - lam**t = lam**k (1 - lam**(t-k)) on integers k < t), in which the relative error grows
    by at most 1/(1 - lam).  The sum of all is below 16 * ELEMENTARY_UNITS * u / (1 - lam).

    A formula of order 2 also has k - s, s = (1 - lam**k)/(1 - lam), a sum of 1 - lam**i over i < k:
    at least (k - 1)(1 - lam), while s <= k errs by 11 u / (1 - lam) of itself.  For k >= 2 that is
    at most 22 u / (1 - lam)**2 of the difference; for k = 1 it is 0, and computed so.
    """
    return 16 * ELEMENTARY_UNITS * UNIT / (1.0 - lam) ** order


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
