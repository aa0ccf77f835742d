"""Matrices with a bound of their error, and products, powers and norms of such pairs.

A pair (C, F), arrays (..., n, n) and (...), is a computed matrix and a bound F of its distance from
the exact one in the Frobenius norm, |exact - C|_F <= F.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from theory.arithmetic.rigor import frobenius_upper
from theory.arithmetic.rounding import ELEMENTARY_UNITS, TINY, UNIT, gamma, ldexp_up, up
from theory.typing import Array


def product_error(b: Any, c: Any, e: Any, f: Any, n: int) -> Array:
    r"""Bound the Frobenius distances of fl(B C) from products (B + E)(C + F).

    B and C are (n, n) with Frobenius norms at most b and c, E and F have at most e and f; floats or
    arrays of them.

        (B + E)(C + F) - fl(B C) = B F + E C + E F + (B C - fl(B C)),
        |B C - fl(B C)|_F <= gamma(n) b c + n (n eta / 2),

    as each of the n^2 entries is a sum of n products, which lose eta / 2 each to underflow.  The
    four products of this bound and that with gamma lose eta / 2 too, less than 3 eta together.
    Infinite where the bound is: 0 times infinity is nothing that is known.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        # b c first: what underflows in gamma b would be multiplied by c
        whole = b * f + c * e + e * f + gamma(n + 1) * (b * c)
        bound = np.nextafter(whole * (1 + 16 * UNIT) + (n * n + 4) * TINY, np.inf)
    return np.where(np.isnan(bound), np.inf, bound)


def multiply_pairs(B: Array, e: Any, C: Array, f: Any) -> tuple[Array, Array]:
    """Return the product of two pairs."""
    error = product_error(frobenius_upper(B), frobenius_upper(C), e, f, B.shape[-1])
    with np.errstate(over="ignore", invalid="ignore"):
        return B @ C, error


def scaled_pair(C: Array, F: float, shift: int) -> tuple[Array, float, int]:
    """Return the same pair C 2**shift and F 2**shift, with a C whose largest entry is about 1."""
    size = float(np.max(np.abs(C), initial=0.0))
    if not 0 < size < math.inf:
        return C, F, shift
    e = math.frexp(size)[1]
    return np.ldexp(C, -e), up(ldexp_up(F, -e) + len(C) * TINY), shift + e


def scaled_power(C: Array, F: float, shift: int, k: int) -> tuple[Array, float, int]:
    """Return a pair and a shift, which are the k-th power of the matrix C 2**shift, k >= 1.

    By squaring: errors grow with the norms of the powers themselves.  The factors of the result are
    powers of nearly the same size.
    """

    def times(
        left: tuple[Array, float, int], right: tuple[Array, float, int]
    ) -> tuple[Array, float, int]:
        product, f = multiply_pairs(left[0], left[1], right[0], right[1])
        return scaled_pair(product, float(f), left[2] + right[2])

    square, result = (C, F, shift), None
    while True:
        if k % 2 == 1:
            result = square if result is None else times(square, result)
        k //= 2
        if k == 0:
            assert result is not None
            return result
        square = times(square, square)


def power_pair(C: Array, F: float, k: int) -> tuple[Array, float]:
    """Return the pair of a k-th power, k >= 1; infinite where it is beyond the largest double."""
    power, error, shift = scaled_power(C, F, 0, k)
    if shift == 0:
        return power, error
    with np.errstate(over="ignore", under="ignore"):
        # entries that become subnormal lose at most eta / 2 each
        return np.ldexp(power, shift), up(ldexp_up(error, shift) + len(C) * TINY)


def norms_upper(C: Array, f: Array, kind: float) -> Array:
    """Return upper bounds of the norms, induced by the 1-, 2- or maximum norm, of pairs.

    inf where an entry of C, or F, is not finite.
    """
    n = C.shape[-1]
    known = np.isfinite(C).all(axis=(-2, -1)) & np.isfinite(f)
    if not known.all():
        finite = np.where(known[..., None, None], C, 0.0)
        return np.where(known, norms_upper(finite, np.where(known, f, 0.0), kind), np.inf)
    if kind != 2:
        sums = np.sum(np.abs(C), axis=-1 if kind == math.inf else -2)
        result: Array = np.max(sums, axis=-1) * (1 + 2 * gamma(n + 2))
        # a row of n entries has a sum of at most sqrt(n) times its Euclidean length; the products
        # lose at most eta / 2 each
        return result + f * math.sqrt(n) * (1 + 4 * UNIT) + 2 * TINY
    # C = X diag(s) Y + R for whatever the routine returned, so |C| <= |X| max(s) |Y| + |R|
    X, s, Y = np.linalg.svd(C)
    one = np.eye(n)

    def length(Z: Array) -> Array:
        # |Z|^2 <= 1 + |Z^T Z - I|, formed with an error of at most gamma(n) |Z|_F^2
        wrong = frobenius_upper(np.swapaxes(Z, -1, -2) @ Z - one)
        wrong = wrong + 2 * gamma(n + 2) * np.square(frobenius_upper(Z))
        root: Array = np.sqrt(1 + wrong) * (1 + 4 * UNIT)
        return root

    # what underflows in X s, in its product with Y, in the products of norms and in the sums is at
    # most (n^2 / 2 + (n + sqrt(n)) |Y| / 2 + 3) eta, and |Y| <= length(Y) >= 1
    scaled = X * s[..., None, :]
    residual = frobenius_upper(C - scaled @ Y)
    residual = residual + 2 * gamma(n + 4) * frobenius_upper(scaled) * frobenius_upper(Y)
    largest: Array = np.max(s, axis=-1)
    rows = length(Y)
    whole: Array = (length(X) * largest * rows + residual + f) * (1 + 16 * UNIT)
    whole += (8 * n * n) * TINY * rows
    return whole


def roots_up(x: Array, k: Array | int) -> Array:
    """Return doubles above x**(1/k), x >= 0; inf for NaN."""
    # log and exp2 err by at most ELEMENTARY_UNITS u of their values
    with np.errstate(divide="ignore"):
        exponent = np.log2(x) / k
    slack = 4 * ELEMENTARY_UNITS * UNIT * (2 + 2 * np.abs(exponent))
    with np.errstate(invalid="ignore"):
        result = np.exp2(exponent) * (1 + 2 * slack) + TINY
    return np.where(x == 0, 0.0, np.where(np.isfinite(result), result, math.inf))


def factor_pairs(W: Array, vertices: Array, T: Array) -> tuple[Array, Array] | None:
    """Return pairs for T diag(s) W T^-1; None if T is too ill-conditioned."""
    T, W, lost = in_column_units(T, W)
    A = vertices[:, :, None] * W
    # of s_i W_ij, and of slopes and entries of W, at most 1, that vanished when they were scaled
    return similar_pairs(A, 2 * UNIT * frobenius_upper(A) + 2 * lost, T)


def in_column_units(T: Array, A: Array) -> tuple[Array, Array, float]:
    """Return T D^-1 and D A D^-1, of which T A T^-1 is made as well, for columns of size about 1.

    D is diagonal, of powers of two: exact, but for entries of A, at most 1, that underflow, here or
    when they were scaled.  Also returned is a bound of what they lose, in the Frobenius norm.
    """
    n = len(T)
    exponents = np.frexp(np.max(np.abs(T), axis=0))[1].astype(np.int64)
    spread = int(np.max(exponents)) - int(np.min(exponents))
    with np.errstate(over="ignore", under="ignore"):  # what is not finite is refused
        scaled = np.ldexp(A, exponents[:, None] - exponents[None, :])
        return np.ldexp(T, -exponents[None, :]), scaled, n * n * ldexp_up(TINY, spread)


def similar_pairs(A: Array, rounding: Any, T: Array) -> tuple[Array, Array] | None:
    r"""Return pairs for T A T^-1 from pairs (A, rounding); None if T is too ill-conditioned.

    For any S with T S = I + E, |E| <= eps < 1, T A T^-1 = (T A S)(I + E)^-1 is within
    (F + |T A S| eps) / (1 - eps) of what T A S was computed to be with error F.
    """
    n = len(T)
    try:
        S = np.asarray(np.linalg.inv(T), dtype=np.float64)
    except np.linalg.LinAlgError:
        return None
    zero: Array = np.zeros(())
    left, wrong = multiply_pairs(T, zero, S, zero)
    eps = float(frobenius_upper(left - np.eye(n)) + wrong) * (1 + 8 * UNIT)
    if not eps < 0.25:
        return None
    C, F = multiply_pairs(*multiply_pairs(T, zero, A, rounding), S, zero)
    # two products and a quotient lose eta / 2 each; the quotient by at least 3/4 makes it no more
    # than 2 eta
    F = (F + frobenius_upper(C) * eps) / (1 - eps) * (1 + 8 * UNIT) + 2 * TINY
    return (C, F) if np.isfinite(C).all() and np.isfinite(F).all() else None
