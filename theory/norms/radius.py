"""Spectral radii bounded from below, of a matrix and of products of diag(s) W.

Main names: `spectral_radius_lower`, `product_radius_lower`, `factors_radius_lower`, `reaches_one`,
`balanced`, `leading_pair`, `root_down`.

The trace of a power is a sum of powers of eigenvalues, so |tr A**k| <= n rho(A)**k; powers are
formed by squaring, with a bound of their rounding error.  Of large matrices an eigenvalue is
enclosed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

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

#: Beyond this dimension an eigenvalue is enclosed before traces of powers are tried.
_BY_PAIR = 64

#: What underflows there, eta / 2 a product, costs less than the first, as n < 2**20 and the norm of
#: the inverse is below the second.
_LOST, _LARGEST_INVERSE = 2.0**-500, 2.0**400


def leading_pair(operator: Callable[[Any], Any], n: int) -> tuple[complex, Any]:
    """Return an eigenvalue of largest magnitude, nearly, of a real operator, and its vector.

    By Arnoldi's method, for n > 4; a candidate, and zero if none is found.
    """
    from scipy.sparse.linalg import ArpackError, ArpackNoConvergence, LinearOperator, eigs

    values: Any
    vectors: Any
    start = np.random.default_rng(0).standard_normal(n)
    try:
        values, vectors = eigs(
            LinearOperator((n, n), matvec=operator, dtype=np.float64),
            k=2, ncv=min(40, n - 1), tol=1e-6, maxiter=30, v0=start,
        )  # fmt: skip
    except ArpackNoConvergence as partly:
        values, vectors = partly.eigenvalues, partly.eigenvectors
    except ArpackError:  # a nilpotent operator maps the start to 0
        values = np.zeros(0)
    if not len(values):
        return 0j, start
    k = int(np.argmax(np.abs(values)))
    return complex(values[k]), vectors[:, k]


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


def _in_units(
    A: Array, error: Array | None, exponents: Any, frobenius: float
) -> tuple[Array, float, int]:
    """Return a similar matrix, of largest entry about 1, a bound of its error, and its exponent.

    The exponents are those that `balanced` returns, zero if there is an error of size `frobenius`;
    the bound is in the Frobenius norm.
    """
    shift = exponents[None, :] - exponents[:, None]
    A = np.ldexp(A, shift)
    exponent = math.frexp(float(np.max(np.abs(A), initial=0.0)))[1]
    E = 0.0
    if error is not None:
        with np.errstate(over="ignore"):
            E = float(frobenius_upper(np.ldexp(error, shift - exponent)))
    if frobenius > 0:
        E = up(E + ldexp_up(frobenius, -exponent))
    # scaling A and the error may underflow, by at most eta / 2 an entry
    return np.ldexp(A, -exponent), up(E + len(A) * TINY), exponent


def _eigenvalue_lower(A: Array, error: float) -> float:
    r"""Return a lower bound of |lambda|, lambda an eigenvalue of every matrix within `error` of A.

    Let v be a vector with v_k = 1 and M the matrix A - lambda I with column k replaced by -v.  For
    y and y^ = y but y^_k = 0,

        (A - (lambda + y_k) I)(v + y^) = r + M y - y_k y^,   r = A v - lambda v,

    without a remainder.  For any R the map y -> y - R (r + M y - y_k y^) takes the ball |y| <= s
    in the maximum norm into itself if

        |R r| + |I - R M| s + |R| s^2 <= s,

    and has a fixed point there by Brouwer's theorem; |I - R M| < 1 makes R regular, so that lambda
    + y_k is an eigenvalue, within s of lambda.  A change of A by D, |D|_F <= F, adds |R| F |v|_2 to
    the first term and |R| F sqrt(n) to the factor of s.  Complex products are sums of real ones.

    Returns
    -------
    float
        0 if nothing can be proved.
    """
    n = len(A)
    if not (np.isfinite(A).all() and math.isfinite(error)):
        return 0.0
    value, v = leading_pair(lambda x: A @ x, n)
    if not (value != 0 and np.isfinite(v).all()):
        return 0.0
    with np.errstate(all="ignore"):  # what is not finite proves nothing
        try:
            shift = value * (1 + 2.0**-40)
            shifted = A - (shift if shift.imag else shift.real) * np.eye(n)
            for _ in range(2):
                v = np.linalg.solve(shifted, v / np.max(np.abs(v)))
            k = int(np.argmax(np.abs(v)))
            v = v / v[k]
            v[k] = 1.0
            value = (A[k] @ v).item()  # by row k of A v = lambda v
            M = A - value * np.eye(n)
            M[:, k] = -v
            R = np.linalg.inv(M)
        except np.linalg.LinAlgError:
            return 0.0
        if not (np.isfinite(R).all() and np.isfinite(M).all()):
            return 0.0
        slack = 2 * gamma(4 * n + 16)
        # r as computed, its rounding, and what the change of A adds
        size = np.abs(v)
        real = A @ v.real - (value.real * v.real - value.imag * v.imag)
        imaginary = A @ v.imag - (value.real * v.imag + value.imag * v.real)
        residual = np.abs(real) + np.abs(imaginary)
        residual += slack * (np.abs(A) @ size + abs(value) * size)
        residual += error * float(np.linalg.norm(v)) * (1 + slack)
        # I - R M alike; that M itself is rounded in its diagonal counts as a change of A
        parts = np.abs(R.real) + np.abs(R.imag)
        product = np.abs(np.eye(n) - (R.real @ M.real - R.imag @ M.imag))
        product += np.abs(R.real @ M.imag + R.imag @ M.real)
        one = np.ones(n)
        rounding = slack * (parts @ ((np.abs(M.real) + np.abs(M.imag)) @ one))
        rounding += parts @ (error * math.sqrt(n) + 2 * UNIT * (np.abs(np.diag(A)) + abs(value)))
        factor = float(np.max(product @ one + rounding)) * (1 + slack) + slack
        largest = float(np.max(parts @ one)) * (1 + slack)
        first = float(np.max(parts @ residual)) * (1 + slack) + _LOST
        s = 2 * first / (1 - factor)
        holds = factor < 1 and first + (factor + largest * s) * s <= s * (1 - slack)
        if not (holds and largest < _LARGEST_INVERSE and s < abs(value)):
            return 0.0
    return max(0.0, down((abs(value) * (1 - 4 * UNIT) - s) * (1 - 4 * UNIT)))


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

    Rounding lets the powers of a large matrix grow less far: beyond n = 64 an eigenvalue is
    enclosed, of those largest in magnitude, and traces are taken where that fails.

    Returns
    -------
    float
        Rounded downward; 0 if nothing can be proved.  Below the radius by about a factor n^(1/k),
        k at least 2^18, or as far as rounding lets the powers grow; of an enclosed eigenvalue by
        the rounding alone.
    """
    n = len(A)
    blocks = _diagonal_blocks(A, error) if frobenius == 0 else []
    if len(blocks) > 1:  # what one block does to another can hide all digits of the powers
        best = 0.0
        for block in blocks:
            part = np.ix_(block, block)
            within = None if error is None else np.broadcast_to(error, A.shape)[part]
            best = max(best, spectral_radius_lower(A[part], within, enough=enough))
        return best
    # a similarity would change the size of an error in the Frobenius norm
    plain = np.zeros(n, dtype=np.int64) if frobenius > 0 else None
    if n > _BY_PAIR:
        # in units that balance A alone: a row of zeros, whose error is all it has, says nothing
        units = balanced(A)[0] if plain is None else plain
        B, E, exponent = _in_units(A, error, units, frobenius)
        found = _eigenvalue_lower(B, E)
        if found > 0:
            return max(0.0, ldexp_down(found, exponent))
    units = balanced(A, error)[0] if plain is None else plain
    B, E, exponent = _in_units(A, error, units, frobenius)
    if not (math.isfinite(E) and np.any(B)):
        return 0.0
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


def _diagonal_blocks(A: Array, error: Array | None) -> list[NDArray[np.intp]]:
    """Return the units of each irreducible diagonal block; one of all where no entry is zero.

    In some order of the units A is block triangular: its radius is the largest of theirs.
    """
    there = A != 0 if error is None else (A != 0) | (error != 0)
    if there.all():
        return [np.arange(len(A))]
    from scipy.sparse.csgraph import connected_components

    count, group = connected_components(there, directed=True, connection="strong")
    return [np.flatnonzero(group == number) for number in range(count)]


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
    if not np.isfinite(A).all():
        return False
    for units in _diagonal_blocks(A, None):
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


def factors_radius_lower(factors: Array) -> float:
    """Return a lower bound of rho(product)^(1/p) over factors (p, n, n), the first acting first."""
    n = factors.shape[-1]
    scaled, e = scaled_to_one(factors)
    lost = 0.0
    if np.array_equal(np.ldexp(scaled, e), factors):
        exponents = balanced(np.max(np.abs(scaled), axis=0))[0]
        shift = exponents[None, :] - exponents[:, None]
        with np.errstate(over="ignore", under="ignore"):
            similar = np.ldexp(scaled, shift)
            if np.array_equal(np.ldexp(similar, -shift), scaled):
                scaled = similar
    else:
        lost = n * TINY
    product, error = scaled[0], lost
    for factor in scaled[1:]:
        product, within = multiply_pairs(factor, lost, product, error)
        error = float(within)
    rate = spectral_radius_lower(product, np.full((n, n), error))
    if not rate > 0:
        return 0.0
    return max(0.0, ldexp_down(root_down(rate, len(factors), 0), e))


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
