r"""Decisions about matrices of doubles: every stated inequality between them is decided here.

Main names: `row_sum_upper`, `column_sum_upper`, `weighted_row_sum_upper`, `spectral_norm_upper`,
`spectral_norm_at_most`, `quadratic_bound_holds`, `lmi_holds`, `eigenvalues_at_least`,
`frobenius_upper`.

Nothing here optimises or iterates towards an answer.  Candidates come from elsewhere (eigenvalue
routines, solvers, power iterations); this module only decides whether a stated inequality between
matrices of doubles is true, and errs on the side of saying no.  It trusts IEEE arithmetic and the
entrywise error bound of matrix products in `theory.arithmetic.rounding`, and nothing else: in
particular not the Cholesky factorisation whose output it uses: the factor enters only through its
residual.

One rule for what is no number: if an entry of any argument, read or not, is NaN or infinite, an
upper bound is inf and a decision is False.  So is it for weights that are not positive.
"""

from __future__ import annotations

import math
import sys
from fractions import Fraction
from typing import Any

import numpy as np

from theory.arithmetic.rounding import (
    TINY,
    UNIT,
    gamma,
    ldexp_down,
    ldexp_up,
    product_up,
    scaled_to_one,
    sqrt_up,
    sum_up,
    up,
)
from theory.typing import Array

#: All matrices below are first scaled to largest entry about 1 by a power of two.  An entry that
#: underflows in the scaling and every underflow in the O(n**3) later operations costs at most
#: eta/2; with n <= 2**20 their sum, even multiplied by n, stays far below this.
_UNDERFLOW = 2.0**-950

#: Sums of squares between this and its inverse neither overflow nor lose what matters to underflow.
_LEAST_SQUARE = 2.0**-900

#: Products of three numbers between this and its inverse neither overflow nor underflow.
_MODERATE = 2.0**300

#: From here on, four times the least normal double, scaling by a power of two is exact.
_NORMAL = 2.0**-1020

#: The first multiple of an eigenvalue routine's estimate that is tried, and how near a product of
#: sums must come to a level for the exact sums to be worth forming.  Neither decides what is true.
_FIRST_SLACK, _MAY_DECIDE = 2.0**-46, 2.0**-30

#: Entries up to this multiply the sum of all underflows, at most n**2 eta, to below `_UNDERFLOW`.
_LARGEST = 2.0**64


def all_finite(*arrays: Array | None) -> bool:
    """Return whether no entry is NaN or infinite."""
    return all(A is None or bool(np.isfinite(A).all()) for A in arrays)


def row_sum_upper(A: Array) -> float:
    """Return the smallest double >= max_i sum_j |A_ij|, the norm induced by the maximum norm."""
    if not all_finite(A):
        return math.inf
    size = np.abs(A)
    with np.errstate(over="ignore"):
        rows = size[_may_be_largest(np.sum(size, axis=1), A.shape[1])]
    return max((sum_up(row) for row in rows.tolist()), default=0.0)


def _may_be_largest(totals: Array, length: int) -> np.ndarray[tuple[int, ...], np.dtype[np.bool]]:
    """Return which of some sums of products, as computed, may be the exact largest.

    Each errs relatively by less than gamma(length + 4), and underflow does not enter: it would take
    away less than every sum that can still be the largest has.  A total that overflows may belong
    to a sum that does not, but not to one much below the largest double.
    """
    largest = min(float(np.max(totals, initial=0.0)), sys.float_info.max)
    slack = 4 * gamma(length + 4)
    return np.logical_not(totals < largest * (1 - slack) - _LEAST_SQUARE)


def column_sum_upper(A: Array) -> float:
    """Return the smallest double >= max_j sum_i |A_ij|, the norm induced by the sum norm."""
    return row_sum_upper(A.T)


def weighted_row_sum_upper(A: Array, v: Array, w: Array | None = None) -> float:
    """Return an upper bound of max_i (|A| w)_i / v_i for positive v and w (w = v by default).

    This is the norm of A from max |x_j| / w_j to max |x_i| / v_i; with w = v every positive vector
    gives an upper bound of the spectral radius of |A| (Collatz-Wielandt).
    """
    weights = v if w is None else w
    if not (all_finite(A, v, weights) and bool(np.all(v > 0)) and bool(np.all(weights > 0))):
        return math.inf
    if not (_moderate(A) and _moderate(v) and _moderate(weights)):
        return _weighted_row_sum_exact(A, v, weights)
    totals = (np.abs(A) @ weights) / v
    rows = np.flatnonzero(_may_be_largest(totals, A.shape[1]))
    best = 0.0
    for row, scale in zip(np.abs(A[rows]).tolist(), v[rows].tolist(), strict=True):
        total = sum_up(product_up(a, b) for a, b in zip(row, weights.tolist(), strict=True))
        quotient = total / scale
        # fl(total / scale) * scale is exact in the test, so an exact quotient stays itself
        best = max(best, quotient if _covers(quotient, scale, total) else up(quotient))
    return best


def _moderate(A: Array) -> bool:
    """Return whether products of three such numbers neither overflow nor underflow."""
    size = np.abs(A[A != 0])
    return size.size == 0 or bool(size.min() > 1 / _MODERATE and size.max() < _MODERATE)


def _weighted_row_sum_exact(A: Array, v: Array, w: Array) -> float:
    """Return `weighted_row_sum_upper` from exact fractions: slow, but for numbers of any size."""
    weights = [Fraction(x) for x in w.tolist()]
    rows = [[Fraction(a) for a in row] for row in np.abs(A).tolist()]
    quotients = (
        sum((a * b for a, b in zip(row, weights, strict=True) if a), Fraction(0)) / Fraction(scale)
        for row, scale in zip(rows, v.tolist(), strict=True)
    )
    best = max(quotients, default=Fraction(0))
    try:
        nearest = float(best)
    except OverflowError:
        return math.inf
    return up(nearest) if Fraction(nearest) < best else nearest


def _covers(quotient: float, scale: float, total: float) -> bool:
    finite = math.isfinite(quotient) and math.isfinite(total)
    return not finite or Fraction(quotient) * Fraction(scale) >= Fraction(total)


def frobenius_upper(A: Array) -> Array:
    r"""Return upper bounds of the Frobenius norms of (..., m, n), entries of any size.

    Exactly 0 for a matrix of zeros; inf where the norm exceeds the largest double, and where an
    entry is infinite or NaN.

    The sum S of N squares is computed with an error of at most gamma(N) S + N eta / 2, which is
    below gamma(N + 1) S once S > 2^-900 (N < 2^100).  Other matrices are first scaled to largest
    entry in [1/2, 1) by a power of two: entries that underflow in it were 2^1022 times smaller.
    """
    # S <= fl(S) / (1 - gamma(N + 1))
    slack = 1 + 2 * gamma(A.shape[-1] * A.shape[-2] + 2)
    with np.errstate(over="ignore", invalid="ignore"):
        square = np.asarray(np.einsum("...ij,...ij->...", A, A))
        safe = (square > _LEAST_SQUARE) & (square < 1 / _LEAST_SQUARE)
        if safe.all():
            return np.asarray(np.nextafter(np.sqrt(square * slack), np.inf))
        largest = np.max(np.abs(A), axis=(-2, -1), initial=0.0)
        exponent = np.frexp(largest)[1]
        scaled = np.ldexp(A, -exponent[..., None, None])
        square = np.asarray(np.einsum("...ij,...ij->...", scaled, scaled))
        # the scaling back rounds only where it underflows
        bound = np.ldexp(np.nextafter(np.sqrt(square * slack), np.inf), exponent)
        bound = np.where(bound < _NORMAL, np.nextafter(bound, np.inf), bound)
    bound = np.where(square == 0, 0.0, np.where(np.isfinite(bound), bound, np.inf))
    return np.asarray(bound)


def _symmetric(A: Array) -> Array:
    """Return the symmetric matrix with the lower triangle of A (no arithmetic)."""
    lower = np.tril(A)
    return lower + np.tril(A, -1).T


def absolute_gram_upper(A: Array, M: Array | None = None) -> float:
    """Return an upper bound of the spectral norm of |A|^T |M| |A| (M = I by default).

    A symmetric matrix's norm is at most its largest row sum, which matrix-vector products give;
    each of the at most three products has relative error below gamma(length).
    """
    size = np.abs(A)
    y = size @ np.ones(A.shape[1])
    if M is not None:
        y = np.abs(M) @ y
    return float(np.max(size.T @ y, initial=0.0)) * (1 + 6 * gamma(max(A.shape) + 2)) + _UNDERFLOW


def gram_residual_upper(P: Array, L: Array) -> float:
    r"""Return an upper bound of ||P - L L^T||_2, for any L; inf if it is not finite.

    With D = fl(P - fl(L L^T)), a difference that errs by at most u |D|, and n columns of L,

        |P - L L^T| <= (1 + u) |D| + gamma(n) |L| |L|^T + underflow        entrywise,
        ||P - L L^T||_2 <= (1 + u) ||D||_F + gamma(n) || |L| |L|^T ||_2 + underflow.

    The second norm is at most the largest row sum, and at most ||L||_F^2.
    """
    if not all_finite(P, L):
        return math.inf
    with np.errstate(over="ignore", invalid="ignore"):
        residual = float(frobenius_upper(P - L @ L.T))
        length = float(frobenius_upper(L))
        gram = min(absolute_gram_upper(L.T), up(length * length))
    total = residual + 2 * gamma(L.shape[1] + 2) * gram + _UNDERFLOW
    return total * (1 + 8 * UNIT) if math.isfinite(total) else math.inf


def eigenvalues_at_least(S: Array, margin: float) -> bool:
    r"""Decide lambda_min(S) >= margin for a symmetric S and margin >= 0; True is a proof.

    Entries of S should be at most about 1 in magnitude.  Let c >= 0 and L be *any* real matrix, and
    E = (S - c I) - L L^T.  As L L^T >= 0, lambda_min(S) >= c - ||E||_2, so c - ||E||_2 >= margin
    proves the claim.  Here L is what LAPACK returns for the Cholesky factor of fl(S - c I), c is
    the margin plus the error to be expected, and ||E|| is bounded a posteriori:

        ||E||_2 <= ||fl(S - c I) - L L^T||_2 + u max_i (c + |s_ii|)

    (the shifted-Cholesky test of Rump, *Verification of positive definiteness*, BIT 46, 2006, with
    the a-priori bound on the factorisation replaced by the residual of whatever came out of it).
    """
    if not (margin >= 0 and all_finite(S)):
        return False
    n = S.shape[0]
    trace = float(np.sum(np.abs(np.diag(S))))
    c = margin + 6.0 * gamma(n + 2) * trace + 4.0 * _UNDERFLOW
    if not math.isfinite(c):
        return False
    shifted = S.copy()
    np.einsum("ii->i", shifted)[:] -= c
    try:
        L = np.asarray(np.linalg.cholesky(shifted), dtype=np.float64)
    except np.linalg.LinAlgError:
        return False
    residual = gram_residual_upper(shifted, L)
    shifting = 2 * UNIT * (c + float(np.max(np.abs(np.diag(S)), initial=0.0)))
    error = (residual + shifting) * (1 + 16 * UNIT)
    return c - error >= margin * (1 + 4 * UNIT)


def moderate_size(*arrays: Array | None) -> bool:
    """Return whether all entries are numbers of at most 2**64."""
    sizes = (np.max(np.abs(A), initial=0.0) for A in arrays if A is not None)
    return all(bool(size <= _LARGEST) for size in sizes)


def quadratic_bound_holds(A: Array, target: Array | None, source: Array | None, mu: float) -> bool:
    r"""Decide A^T P A <= mu^2 Q in the sense of symmetric matrices (P, Q = I by default).

    Equivalently ||A x||_P <= mu ||x||_Q for all x, with ||x||_P^2 = x^T P x, P the `target` and Q
    the `source` Gram matrix (symmetric; only their lower triangles are read).  Entries should be at
    most about 1, and those beyond 2**64 are refused: an underflow would be multiplied by them.
    True is a proof; False may mean that the margin is within rounding.

    With G = fl(A^T P A) the forming error has norm at most
    gamma(m + n) || |A|^T |P| |A| ||_2, and fl(mu^2 Q - G) adds 3 u (mu^2 |q| + |g|) entrywise.
    """
    mu = float(mu)  # NumPy's doubles warn of an overflow
    square = mu * mu
    if not (mu >= 0 and math.isfinite(square) and moderate_size(A, target, source)):
        return False
    P = None if target is None else _symmetric(target)
    G = _symmetric(A.T @ (A if P is None else P @ A))
    n = A.shape[1]
    Q = np.eye(n) if source is None else _symmetric(source)
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused below
        K = square * Q - G
        rows = np.sum(square * np.abs(Q) + np.abs(G), axis=1)
    forming = (
        2 * gamma(A.shape[0] + (0 if P is None else P.shape[0]) + 4) * absolute_gram_upper(A, P)
    )
    subtracting = 4 * UNIT * float(np.max(rows, initial=0.0))
    margin = up((forming + subtracting * (1 + 2 * gamma(n + 2)) + _UNDERFLOW) * (1 + 8 * UNIT))
    return eigenvalues_at_least(K, margin)


def lmi_holds(W: Array, alpha: Array, beta: Array, P: Array, q: Array, r: float) -> bool:
    r"""Decide the incremental matrix inequality for slopes in [alpha_i, beta_i]; True is a proof.

    With Q = diag(q), G = diag(alpha beta) and S = diag(alpha + beta) it reads

        [ r^2 P + 2 W^T Q G W    -W^T Q S ]
        [     -Q S W              2 Q - P ]  >= 0,     P > 0,     q > 0.

    For d = h - g, a = W d and any s_i with (s_i - alpha_i a_i)(beta_i a_i - s_i) >= 0 its quadratic
    form at (d, s) is r^2 d^T P d - s^T P s - 2 sum q_i (s_i - alpha_i a_i)(beta_i a_i - s_i), so
    |rho(W h + c) - rho(W g + c)|_P <= r |h - g|_P.

    A similarity by powers of two, W <- E^-1 W E, P <- E P E, q <- E^2 q, and W, r <- W / 2**e,
    r / 2**e change nothing and are exact (checked); they make q about 1 and r about 1.  Then every
    entry of the block is formed with an error below gamma(n + 10) times the same entry of

        N = [ r^2 |P| + 2 |W|^T Q |G| |W|,  |W|^T Q |S| ;  Q |S| |W|,  2 Q + |P| ]

    (an inner product of n terms of at most 4 factors, a sum, a sum of two slopes), so the error has
    norm at most gamma(n + 10) times the largest row sum of N.
    """
    n = len(W)
    if not (math.isfinite(r) and r > 0 and np.all(q > 0) and np.all(alpha <= beta)):
        return False
    if not all_finite(W, alpha, beta, P, q):
        return False
    e = math.frexp(r)[1]
    half = -(np.frexp(q)[1] // 2)  # exponents of E
    shift = half[None, :] - half[:, None] - e
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        A, r = np.ldexp(W, shift), math.ldexp(r, -e)
        X, y = _symmetric(np.ldexp(P, half[:, None] + half[None, :])), np.ldexp(q, 2 * half)
        exact = np.array_equal(np.ldexp(A, -shift), W) and np.array_equal(np.ldexp(y, -2 * half), q)
        if not (exact and np.array_equal(np.ldexp(np.tril(X), -half[:, None] - half), np.tril(P))):
            return False
        product, total = alpha * beta, alpha + beta
        K = np.empty((2 * n, 2 * n))
        K[:n, :n] = r * r * X + 2.0 * (A.T @ ((y * product)[:, None] * A))
        K[n:, :n] = -(y * total)[:, None] * A
        K[n:, n:] = np.diag(2.0 * y) - X
        K = _symmetric(K)
        size, one = np.abs(A), np.ones(n)
        rows = np.abs(X) @ one
        top = r * r * rows + 2.0 * (size.T @ (y * np.abs(product) * (size @ one)))
        top += size.T @ (y * np.abs(total))
        rows += 2.0 * y + y * np.abs(total) * (size @ one)
        worst = float(np.max(np.maximum(top, rows)))
    if not (np.isfinite(K).all() and math.isfinite(worst) and moderate_size(A)):
        return False
    margin = up(2.0 * gamma(n + 10) * worst * (1 + 8 * gamma(n + 4)) + _UNDERFLOW)
    return eigenvalues_at_least(K, margin) and eigenvalues_at_least(X, _UNDERFLOW)


def operator_norm_upper(
    A: Array, target: Array | None = None, source: Array | None = None
) -> float:
    r"""Return an upper bound of max ||A x||_P / ||x||_Q, accepted by `quadratic_bound_holds`.

    The candidates are an eigenvalue routine's estimate and small multiples of it; the first that is
    proved is returned.  If none is (a source Gram matrix singular to rounding), the answer is inf.

    It is that of E^-1 A F for E P E and F Q F, E and F of powers of two: units do not matter.
    """
    if not all_finite(A, target, source):
        return math.inf
    if not np.any(A):
        return 0.0
    P, rows = _in_units(target, A.shape[0])
    Q, columns = _in_units(source, A.shape[1])
    if not moderate_size(P, Q):  # nor are they positive semidefinite
        return math.inf
    shift = columns[None, :] - rows[:, None]
    exponent = int(np.max(np.where(A != 0, np.frexp(A)[1] + shift, np.iinfo(np.int64).min)))
    B = np.ldexp(A, shift - exponent)
    if P is None and Q is None and B.shape[0] < B.shape[1]:
        B = np.ascontiguousarray(B.T)  # the spectral norm of the transpose is the same
    guess = _operator_norm_guess(B, P, Q)
    slack = _FIRST_SLACK
    while slack < 1.0:
        mu = guess * (1.0 + slack)
        if quadratic_bound_holds(B, P, Q, mu):
            return ldexp_up(mu, exponent)
        # the test's shift is relative to the trace: special matrices need less
        slack = max(2.0 * slack, B.shape[1] ** 2 * UNIT)
    return math.inf


def _in_units(P: Array | None, n: int) -> tuple[Array | None, Any]:
    """Return E P E, its diagonal between 1/2 and 2, and the exponents of E."""
    if P is None:
        return None, np.zeros(n, dtype=np.int64)
    half = -(np.frexp(np.diag(P))[1].astype(np.int64) // 2)
    with np.errstate(over="ignore"):  # what is not finite is refused
        return np.ldexp(P, half[:, None] + half[None, :]), half


def _operator_norm_guess(A: Array, P: Array | None, Q: Array | None) -> float:
    """Estimate max ||A x||_P / ||x||_Q; a candidate only, never trusted."""
    G = _symmetric(A.T @ (A if P is None else P @ A))
    try:
        if Q is not None:
            L = np.linalg.cholesky(_symmetric(Q))
            G = np.linalg.solve(L, np.linalg.solve(L, G).T)
        return math.sqrt(max(float(np.linalg.eigvalsh(G)[-1]), 0.0))
    except np.linalg.LinAlgError:
        return math.inf


def spectral_norm_upper(A: Array) -> float:
    r"""Return a double >= ||A||_2, rigorous against rounding, for any finite A.

    The least of three upper bounds: ||A||_2 <= sqrt(||A||_1 ||A||_inf) (exact for diagonal and
    permutation-like matrices), the vector norm for a single row or column, and the smallest mu with
    A^T A <= mu^2 I accepted by `quadratic_bound_holds`.

    Parameters
    ----------
    A : (m, n) array

    Returns
    -------
    float
        Above the true norm by a relative 1e-10 or less up to n = 256, 1e-9 at n = 1024; inf only
        if the norm itself exceeds the largest double or an entry is not finite.
    """
    if not all_finite(A):
        return math.inf
    if not np.any(A):
        return 0.0
    B, e = scaled_to_one(A)
    rows, columns = row_sum_upper(B), column_sum_upper(B)
    simple = rows if rows == columns else sqrt_up(product_up(rows, columns))
    # scaling down may have lost entries below 2**-1074, each by at most half of that
    lost = 0.0 if e <= 0 else B.size * TINY
    bound = ldexp_up(up(simple + lost) if lost and _lossy(A, B, e) else simple, e)
    if min(A.shape) == 1:
        return min(bound, ldexp_up(up(float(frobenius_upper(B))), e))
    return min(bound, operator_norm_upper(A))


def spectral_norm_at_most(A: Array, mu: float) -> bool:
    r"""Decide ||A||_2 <= mu; True is a proof, and mu = inf is above the norm of every finite A.

    By ||A||_2 <= sqrt(||A||_1 ||A||_inf) or one test of `quadratic_bound_holds` at mu, where
    `spectral_norm_upper` searches for the least bound; both sides are scaled by the same power of
    two.
    """
    mu = float(mu)  # NumPy's doubles warn of an overflow
    if not (mu >= 0 and all_finite(A)):
        return False
    if mu == math.inf or not np.any(A):
        return True
    size = np.abs(A)
    with np.errstate(over="ignore"):
        rows, columns = float(np.max(size.sum(axis=1))), float(np.max(size.sum(axis=0)))
    # the exact sums are slow: only where they may decide
    if math.sqrt(rows) * math.sqrt(columns) <= mu * (1 + _MAY_DECIDE):
        exact_rows, exact_columns = row_sum_upper(A), column_sum_upper(A)
        geometric = sqrt_up(product_up(exact_rows, exact_columns))  # rounded: may exceed both
        if max(exact_rows, exact_columns) <= mu or geometric <= mu:
            return True
    B, e = scaled_to_one(A)
    if _lossy(A, B, e):
        return spectral_norm_upper(A) <= mu
    if B.shape[0] < B.shape[1]:
        B = np.ascontiguousarray(B.T)
    # a smaller level is harder to meet, and ||B||_2 is far below the largest taken here
    return quadratic_bound_holds(B, None, None, min(ldexp_down(mu, -e), _LARGEST))


def _lossy(A: Array, B: Array, e: int) -> bool:
    return not np.array_equal(np.ldexp(B, e), A)
