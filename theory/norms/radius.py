"""Spectral radii bounded from below, of a matrix and of products of diag(s) W.

Main names: `spectral_radius_lower`, `product_radius_lower`, `reaches_one`, `balanced`, `root_down`.

The trace of a power is a sum of powers of eigenvalues, so |tr A**k| <= n rho(A)**k; powers are
formed by squaring, with a bound of their rounding error.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

from theory.arithmetic.rigor import frobenius_upper
from theory.arithmetic.rounding import (
    ELEMENTARY_UNITS,
    TINY,
    UNIT,
    down,
    gamma,
    ldexp_down,
    ldexp_up,
    scaled_to_one,
    up,
)
from theory.norms.enclosed import multiply_pairs, scaled_pair, scaled_power
from theory.typing import Array


def balanced(A: Array, error: Array | None = None) -> tuple[Any, Array]:
    """Return exponents e and the similar matrix with entries A_ij 2**(e_j - e_i), formed exactly.

    Rows and columns of it, with its error, have about equal sizes, so that errors relative to its
    norm are small; the exponents are zero where the matrix would lose an entry.
    """
    from scipy.linalg import matrix_balance

    zero = np.zeros(len(A), dtype=np.int64)
    with np.errstate(all="ignore"):
        size = A if error is None else np.abs(A) + error
        if not np.isfinite(size).all():
            return zero, A
        scale = matrix_balance(size, permute=False, separate=True)[1][0]
        if not (np.isfinite(scale).all() and np.all(scale > 0)):
            return zero, A
        exponents = np.frexp(scale)[1].astype(np.int64) - 1
        shift = exponents[None, :] - exponents[:, None]
        B = np.ldexp(A, shift)
        exact = np.isfinite(B).all() and np.array_equal(np.ldexp(B, -shift), A)
    return (exponents, B) if exact else (zero, A)


def _good_powers(A: Array) -> list[int]:
    """Return odd numbers m such that the traces of A^(m 2^j) are large for one of them.

    The dominant eigenvalues of a cyclic matrix are the p-th roots of one number, and the trace of a
    power vanishes unless p divides it.
    """
    if len(A) > 256:  # a long cycle among many units is rare, and eigenvalues take seconds
        return [1, 3]
    values = np.linalg.eigvals(A)
    sizes = np.abs(values)
    top = float(np.max(sizes))
    if not top > 0:
        return [1]
    phases = (values / top)[sizes > 0.9 * top]
    seen = {m: float(np.abs(np.sum(phases ** (64 * m)))) for m in range(1, 2 * len(A) + 2, 2)}
    powers = [1, 3]
    best = max(seen, key=lambda m: (seen[m], -m))
    if seen[best] > 2 * max(seen[m] for m in powers if m in seen):
        powers.append(best)
    return powers


def spectral_radius_lower(
    A: Array, error: Array | None = None, *, frobenius: float = 0.0, enough: float = math.inf
) -> float:
    r"""Return a lower bound of the spectral radius, of every matrix within `error` of A entrywise.

    Or within `frobenius` of A in the Frobenius norm.  The search for a sharper bound ends once it
    is at least `enough`.

    The trace of A^k is a sum of n k-th powers of eigenvalues, so rho(A) >= (|tr A^k| / n)^(1/k).
    For k = m 2^j, with a few odd m, the power is formed by squaring, together with a bound E of the
    distance in the Frobenius norm from the exact power:

        (B + E)^2 - fl(B^2):   E' = 2 |B| E + E^2 + gamma(n) |B|^2.

    Every step is scaled by a power of two, exactly, after a similarity by powers of two.

    Returns
    -------
    float
        Rounded downward; 0 if nothing can be proved.  Below the radius by about a factor n^(1/k),
        k at least 2^18, or as far as rounding lets the powers grow.
    """
    n = len(A)
    exponents = np.zeros(n, dtype=np.int64)
    if not frobenius > 0:  # a similarity would change the size of that error
        exponents, A = balanced(A, error)
    top = float(np.max(np.abs(A), initial=0.0))
    if top == 0.0:
        return 0.0
    exponent = math.frexp(top)[1]
    B = np.ldexp(A, -exponent)
    E = 0.0
    if error is not None:
        with np.errstate(over="ignore"):
            shifted = np.ldexp(error, exponents[None, :] - exponents[:, None] - exponent)
            E = float(frobenius_upper(shifted))
        if not math.isfinite(E):
            return 0.0
    if frobenius > 0:
        E = up(E + ldexp_up(frobenius, -exponent))
        if not math.isfinite(E):
            return 0.0
    # scaling A and the error may underflow, by at most eta / 2 an entry
    E = up(E + n * TINY)
    best = 0.0
    for power in _good_powers(B):
        C, F, shift = scaled_power(B, E, exponent, power)
        k = power
        for _ in range(19):
            trace = float(np.sum(np.diag(C)))
            # |tr X| <= sqrt(n) |X|_F for the error, and the sum itself is rounded
            wrong = math.sqrt(n) * F + gamma(n + 2) * float(np.sum(np.abs(np.diag(C))))
            least = (abs(trace) - up(wrong * (1 + 8 * UNIT))) / n
            if least > 0 and math.isfinite(least):
                best = max(best, root_down(down(least), k, shift))
                if best >= enough:
                    return best
            size = float(np.max(np.abs(C)))
            if not (0 < size < math.inf and size >= 10 * F):
                break
            C, F, shift = scaled_power(*scaled_pair(C, F, shift), 2)
            k *= 2
    return best


def root_down(x: float, k: int, shift: int = 0) -> float:
    """Return a double below (x 2**shift)**(1/k), x > 0."""
    # log and exp2 err by at most ELEMENTARY_UNITS u of their values
    exponent = (math.log2(x) + shift) / k
    slack = 4 * ELEMENTARY_UNITS * UNIT * (1 + abs(exponent) + abs(math.log2(x)) / k)
    if not -1000 < exponent < 1000:
        return 0.0
    return max(0.0, down(float(2.0**exponent) * (1 - 2 * slack)))


#: Largest irreducible matrix whose determinant is formed exactly, and largest spread of exponents.
_EXACT, _SPREAD = 48, 600


def reaches_one(A: Array) -> bool:
    """Decide in exact arithmetic that the spectral radius is at least 1; False proves nothing.

    It is that of an irreducible diagonal block B, in an order of the units.  |det B| is a product
    of its eigenvalues; and 1 or -1 is one of them where det(B - 1) or det(B + 1) vanishes.
    """
    from scipy.sparse.csgraph import connected_components

    if not np.isfinite(A).all():
        return False
    count, group = connected_components(A != 0, directed=True, connection="strong")
    for number in range(count):
        units = np.flatnonzero(group == number)
        B = A[np.ix_(units, units)]
        sizes = np.abs(B[B != 0])
        if len(B) > _EXACT or not len(sizes):
            continue
        spread = np.frexp(np.array([np.min(sizes), np.max(sizes), 1.0]))[1]
        if int(np.ptp(spread)) > _SPREAD:
            continue
        one = np.eye(len(B))
        if abs(_determinant(B)) >= 1 or any(_determinant(B, s * one) == 0 for s in (1.0, -1.0)):
            return True
    return False


def _determinant(B: Array, less: Array | None = None) -> Fraction:
    """Return the exact determinant of B, or of B - less, by elimination without fractions."""
    n = len(B)
    rows = [[Fraction(b) for b in row] for row in B.tolist()]
    if less is not None:
        for row, other in zip(rows, less.tolist(), strict=True):
            row[:] = [a - Fraction(b) for a, b in zip(row, other, strict=True)]
    scale = max(entry.denominator for row in rows for entry in row)
    M = [[int(entry * scale) for entry in row] for row in rows]
    sign, before = 1, 1
    for k in range(n - 1):
        pivot = next((i for i in range(k, n) if M[i][k] != 0), None)
        if pivot is None:
            return Fraction(0)
        if pivot != k:
            M[k], M[pivot], sign = M[pivot], M[k], -sign
        for i in range(k + 1, n):
            for j in range(k + 1, n):
                M[i][j] = (M[i][j] * M[k][k] - M[i][k] * M[k][j]) // before
        before = M[k][k]
    return Fraction(sign * M[n - 1][n - 1], scale**n)


def product_radius_lower(W: Array, slopes: Array) -> float:
    """Return a lower bound of rho(product)^(1/p) over the factors diag(s) W, s in `slopes`."""
    n = len(W)
    slopes, steep = scaled_to_one(slopes)
    scaled, e = scaled_to_one(W)
    if np.array_equal(np.ldexp(np.ldexp(scaled, e // 2), e - e // 2), W):
        # a similarity by a diagonal matrix is one of every factor, and so of the product
        scaled = balanced(scaled)[1]
    # eta / 2 each of s_i W_ij, of a slope that vanished when it was scaled, times W_ij, and of such
    # an entry, times a slope of at most 1
    lost = up(n * TINY * (1 + float(np.max(np.abs(scaled)))))
    product = slopes[0][:, None] * scaled
    error = up(float(frobenius_upper(product)) * 2 * UNIT + lost)
    for s in slopes[1:]:
        factor = s[:, None] * scaled
        wrong = up(float(frobenius_upper(factor)) * 2 * UNIT + lost)
        product, within = multiply_pairs(factor, wrong, product, error)
        error = float(within)
    rate = spectral_radius_lower(product, frobenius=error)
    if not rate > 0:
        return 0.0
    return max(0.0, ldexp_down(root_down(rate, len(slopes), 0), e + steep))
