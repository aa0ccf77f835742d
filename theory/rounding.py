r"""Every tolerance of the project, with its derivation: the only home of such numbers.

Main names: `up`, `down`, `gamma`, `sum_up`, `evaluate`, `formula_slack`, `drift`, `UNIT`.

Model of arithmetic: IEEE 754 double precision, rounding to nearest, gradual underflow,

    fl(a op b) = (a op b)(1 + d) + e,   |d| <= u = 2**-53,   |e| <= eta/2,   eta = 2**-1074,

with e = 0 for sums.  A sum of n terms or an inner product of length n, evaluated in **any** order
and with or without fused multiply-add, has |error| <= gamma(n) * sum |a_i b_i| + n * eta,
gamma(n) = n u / (1 - n u)  (Higham, *Accuracy and Stability of Numerical Algorithms*, section 3.1).
Matrix products of any BLAS that multiplies conventionally (not Strassen) obey this entry by entry.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

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


def sum_up(values: Iterable[float]) -> float:
    """Return the smallest double >= the exact sum of non-negative `values`; inf on overflow.

    `math.fsum` rounds the exact sum once, to nearest.  Applied again to the same terms minus the
    result, it gives the exact sign of what was lost, so a sum that is a double stays itself.
    """
    terms = list(values)
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
    from mpmath import iv, libmp

    bits = _INTERVAL_BITS
    saved = iv.prec
    try:
        while True:
            iv.prec = bits
            exact = {
                name: value if isinstance(value, (int, np.integer)) else iv.mpf(float(value))
                for name, value in arguments.items()
            }
            result = iv.convert(formula(**exact))
            low, high = result._mpi_
            if not (libmp.mpf_eq(low, libmp.finf) or libmp.mpf_eq(low, libmp.fninf)) and not (
                libmp.mpf_eq(high, libmp.finf)
            ):
                return float(
                    libmp.to_float(high, rnd="c") if upward else libmp.to_float(low, rnd="f")
                )
            bits *= 2
            if bits > 8000:
                raise ZeroDivisionError(f"formula is not finite at {arguments}")
    finally:
        iv.prec = saved


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


def inner_product_error(magnitude: Array, length: int) -> Array:
    """Bound the error of sums of products from ``magnitude = sum |a_i b_i|`` as computed.

    The computed magnitude itself is low by at most a factor 1 - gamma(length), hence the 2.
    """
    return 2.0 * gamma(length + 2) * magnitude + 2 * length * TINY
