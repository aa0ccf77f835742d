"""Matrices with a bound of their error, and products, powers and norms of such pairs.

A pair is a computed matrix and a bound F of its distance from the exact one in the Frobenius norm.
"""

from __future__ import annotations

import math

import numpy as np

from theory.arithmetic.rigor import frobenius_upper
from theory.arithmetic.rounding import ELEMENTARY_UNITS, TINY, UNIT, gamma, up
from theory.norms.norms import L1, L2, Linf, Norm, WeightedL1, WeightedL2, WeightedLinf
from theory.norms.products import product_error
from theory.typing import Array

# ---------------------------------------------------------------------- matrices with error bounds
# A pair (C, F): arrays (..., n, n) and (...), |exact - C|_F <= F.


def multiply_pairs(B: Array, e: Array, C: Array, f: Array) -> tuple[Array, Array]:
    """Return the product of two pairs."""
    error = product_error(frobenius_upper(B), frobenius_upper(C), e, f, B.shape[-1])
    with np.errstate(over="ignore", invalid="ignore"):
        return B @ C, error


def power_pair(C: Array, f: Array, k: int) -> tuple[Array, Array]:
    """Return the pair of a k-th power, by squaring: errors grow with the powers' own norms."""
    if k == 1:
        return C, f
    root = power_pair(C, f, k // 2)
    square = multiply_pairs(*root, *root)
    return multiply_pairs(*square, C, f) if k % 2 else square


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


# ------------------------------------------------------------------------------------- coordinates


def coordinates_of(norm: Norm, n: int) -> tuple[Array, float]:
    """Return T and the kind of norm, |h| = |T h|_kind."""
    norm.check_dim(n)
    kinds = {L1: 1.0, L2: 2.0, Linf: math.inf}
    if type(norm) in kinds:
        return np.eye(n), kinds[type(norm)]
    if isinstance(norm, WeightedLinf):
        return np.diag(1.0 / norm.v), math.inf
    if isinstance(norm, WeightedL1):
        return np.diag(norm.v), 1.0
    if isinstance(norm, WeightedL2):
        return np.ascontiguousarray(np.linalg.cholesky(norm.P).T), 2.0
    raise ValueError(
        f"norm={norm!r}, needed one of L1, L2, Linf, WeightedL1, WeightedL2 and WeightedLinf on "
        f"R^{n}"
    )


def factor_pairs(W: Array, vertices: Array, T: Array) -> tuple[Array, Array] | None:
    r"""Return pairs for T diag(s) W T^-1; None if T is too ill-conditioned.

    For any S with T S = I + E, |E| <= eps < 1, T A T^-1 = (T A S)(I + E)^-1 is within
    (F + |T A S| eps) / (1 - eps) of what T A S was computed to be with error F.
    """
    n = len(W)
    try:
        S = np.asarray(np.linalg.inv(T), dtype=np.float64)
    except np.linalg.LinAlgError:
        return None
    zero: Array = np.zeros(())
    left, wrong = multiply_pairs(T, zero, S, zero)
    eps = float(frobenius_upper(left - np.eye(n)) + wrong) * (1 + 8 * UNIT)
    if not eps < 0.25:
        return None
    A = vertices[:, :, None] * W
    # of s_i W_ij, and of slopes and entries of W, at most 1, that vanished when they were scaled
    rounding: Array = 2 * UNIT * frobenius_upper(A) + 2 * n * n * TINY
    C, F = multiply_pairs(*multiply_pairs(T, zero, A, rounding), S, zero)
    # two products and a quotient lose eta / 2 each; the quotient by at least 3/4 makes it no more
    # than 2 eta
    F = (F + frobenius_upper(C) * eps) / (1 - eps) * (1 + 8 * UNIT) + 2 * TINY
    return (C, F) if np.isfinite(C).all() and np.isfinite(F).all() else None


def unscaled(x: float, e: int) -> float:
    """Return x 2**e rounded upward."""
    try:
        result = math.ldexp(x, e)
    except OverflowError:
        return math.inf
    return result if result >= 2.0**-1020 or x == 0 else up(result)
