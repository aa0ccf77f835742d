r"""Nearest Schur-stable matrices: all eigenvalues in the disk |z| <= r.

Main names: `nearest_stable`, `provably_stable`, `stable_pairs`, `schur`, `schur_lower`,
`trace_lower`, `determinant_lower`, `pair_distances_lower`, `principal_lower`.

The set is closed but not convex, and has no smooth boundary.  Every real matrix is Q T Q^T with T
block upper triangular (real Schur form), so the nearest stable matrix is found from

    minimise over orthogonal Q  the distance of Q^T A Q from block upper triangular matrices whose
    2 x 2 diagonal blocks are stable,

and the inner distance is a sum of squares: what is below the diagonal blocks, and the distances of
the blocks, which have a closed form (V. Noferini and F. Poloni, *Nearest Omega-stable matrix via
Riemannian optimization*, Numerische Mathematik 148, 2021).  The outer problem is solved by
limited-memory BFGS on the orthogonal group from several starts; it has local minima.

A stable matrix on the boundary with multiple eigenvalues is not provably stable, and stored in
double precision it need not even be stable.  What can be proved are the X with a Lyapunov matrix of
moderate size, P = I + (X / r)^T P (X / r): then X^T P X <= r^2 P, and cond(P) <= tr P.  They are
searched by an interior point method along

    minimise over X  |X - A|^2 / 2 - weight log(log(limit) - log(tr P)),   weight -> 0,

whose gradient costs a second Lyapunov equation (the smoothed spectral radius of J. Vanbiervliet,
B. Vandereycken, W. Michiels, S. Vandewalle and M. Diehl, *The smoothed spectral abscissa for robust
stability optimization*, SIAM Journal on Optimization 20, 2009).  Last comes the nearest point of
the ball of P.  The path starts far inside, where there is little choice, and so it finds good
starts of the search above too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from scipy.linalg import schur as real_schur

from theory.certificates import Contraction
from theory.lmi import minimise, sum_of_powers
from theory.maps.base import Affine, Map
from theory.norms import L2, WeightedL2
from theory.projections.balls import spectral_ball
from theory.projections.base import Projection, Request, answer, settle
from theory.projections.families import GramFamily, best_metric, largest_condition
from theory.projections.metric import Found, gram_set, metric_ball
from theory.projections.repair import length_upper
from theory.rounding import (
    ELEMENTARY_UNITS,
    UNIT,
    down,
    gamma,
    ldexp_down,
    ldexp_up,
    scaled_to_one,
    sum_up,
    up,
)
from theory.search import lyapunov_at
from theory.theorems.contractive_of_matrix_norm import contractive_of_matrix_norm
from theory.typing import Array

#: Which of several matrices.
Mask = np.ndarray[tuple[int, ...], np.dtype[np.bool]]

#: The search ends when the norm of the gradient is at most this part of |A|^2.
_GRADIENT = 1e-9

#: Or when ten steps together gained less than this part of the value.
_GAIN = 1e-9

#: Differences that the search remembers.
_MEMORY = 40

#: Most steps of the search from one start.
_STEPS = 3000

#: The weight of the barrier falls by this factor a step, to this part of the squared distance.
_FALL, _LEAST_WEIGHT = 0.25, 1e-3

#: The test of P needs less than the worst case of `largest_condition`: the trace of P is mostly one
#: eigenvalue.
_WIDER = 8.0

#: The weight at which the path ends even where the distance vanishes, in units of the radius.
_NO_WEIGHT = 2.0**-80

#: Most steps of the search with one weight.
_BARRIER_STEPS = 200

#: Size of the disturbance of a start, as a part of the radius.
_DISTURBED = 0.05

#: Smaller radii are raised to this one, beside entries of about 1, in lower bounds.
_LEAST_RADIUS = 2.0**-200

#: The multiplier of `pair_distances_lower` lies between -1 and 1; both differences are no smaller.
_LEAST_ROOM = 2.0**-200

#: Halvings of the logarithm of their quotient, from 400 octaves to the last digit of a double.
_HALVINGS = 62

#: A descent over metrics follows where their nearest points cost at most so many steps.
_CHEAP = 150


def stable_pairs(M: Array, radius: float) -> Array:
    """Return the nearest 2 x 2 matrices whose eigenvalues are at most the radius; M is (k, 2, 2).

    Examples
    --------
    >>> stable_pairs(np.array([[[1.25, 0.0], [0.0, 0.25]]]), 1.0).round(12).tolist()
    [[[1.0, 0.0], [0.0, 0.25]]]
    """
    from theory.kernels.loops import stable_pair_kernel

    out = np.empty_like(M)
    stable_pair_kernel(np.ascontiguousarray(M), radius, out)
    return out


def _nearest_form(T: Array, radius: float) -> Array:
    """Return the nearest block upper triangular matrix with stable blocks on the diagonal."""
    n = len(T)
    S = np.triu(T, 1)
    even = np.arange(0, n - 1, 2)
    blocks = np.empty((len(even), 2, 2))
    for i in range(2):
        for j in range(2):
            blocks[:, i, j] = T[even + i, even + j]
    blocks = stable_pairs(blocks, radius)
    for i in range(2):
        for j in range(2):
            S[even + i, even + j] = blocks[:, i, j]
    if n % 2:
        S[n - 1, n - 1] = min(max(T[n - 1, n - 1], -radius), radius)
    return S


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Stable:
    """A stable matrix near a given one."""

    Q: Array  # orthogonal, (n, n)
    S: Array  # block upper triangular, (n, n)
    distance: float
    iterations: int
    gradient: float  # norm of the gradient at the end, relative to |A|^2

    @property
    def matrix(self) -> Array:
        """Return Q S Q^T."""
        product: Array = self.Q @ self.S @ self.Q.T
        return product


def _descend(A: Array, radius: float, Q: Array, steps: int) -> Stable:
    r"""Minimise f(Q) = |T - S(T)|^2 / 2, T = Q^T A Q, S(T) the nearest form, from a start.

    With Q' = Q exp(X), X skew, dT = T X - X T, and R = T - S(T) is the gradient of the squared
    distance in T, so that df = <R, T X - X T> = <T^T R - R T^T, X>: the gradient is the skew part.
    Steps are Q (I - X/2)^-1 (I + X/2); directions are kept in the coordinates X.
    """
    n = len(A)
    eye = np.eye(n)

    def look(Q: Array) -> tuple[float, Array, Array]:
        T = Q.T @ A @ Q
        S = _nearest_form(T, radius)
        R = T - S
        G = T.T @ R - R @ T.T
        return 0.5 * float(np.sum(R * R)), 0.5 * (G - G.T), S

    def move(Q: Array, X: Array) -> Array:
        moved: Array = Q @ np.linalg.solve(eye - 0.5 * X, eye + 0.5 * X)
        return moved

    f, G, S = look(Q)
    size = max(float(np.sum(A * A)), 1e-300)
    pairs: list[tuple[Array, Array, float]] = []
    values = [f]
    count = 0
    for count in range(1, steps + 1):
        if not float(np.linalg.norm(G)) > _GRADIENT * size:
            break
        if len(values) > 10 and values[-11] - values[-1] < _GAIN * values[-1]:
            break
        D = -G
        alphas = []
        for dX, dG, rho in reversed(pairs):
            a = rho * float(np.sum(dX * D))
            alphas.append(a)
            D = D - a * dG
        if pairs:
            dX, dG, rho = pairs[-1]
            D = D / (rho * float(np.sum(dG * dG)))
        else:
            D = D * (0.1 / float(np.linalg.norm(G)))
        for (dX, dG, rho), a in zip(pairs, reversed(alphas), strict=True):
            D = D + (a - rho * float(np.sum(dG * D))) * dX
        slope = float(np.sum(G * D))
        if not slope < 0:
            pairs, D = [], -G * (0.1 / float(np.linalg.norm(G)))
            slope = float(np.sum(G * D))
        low, high, t = 0.0, math.inf, 1.0
        accepted = None
        for _ in range(20):
            moved = move(Q, t * D)
            trial = look(moved)
            if not trial[0] <= f + 1e-4 * t * slope:
                high = t
            elif float(np.sum(trial[1] * D)) < 0.9 * slope:
                low, accepted = t, (t, moved, trial)
            else:
                accepted = (t, moved, trial)
                break
            t = 0.5 * (low + high) if math.isfinite(high) else 2.0 * t
        if accepted is None:
            if not pairs:
                break
            pairs = []
            continue
        t, Q, (f, G_new, S) = accepted
        dX, dG = t * D, G_new - G
        curvature = float(np.sum(dX * dG))
        if curvature > 1e-12 * float(np.linalg.norm(dX) * np.linalg.norm(dG)):
            pairs = [*pairs[-(_MEMORY - 1) :], (dX, dG, 1.0 / curvature)]
        G = G_new
        values.append(f)
        if count % 64 == 0:  # rounding: back to an orthogonal matrix
            Q = np.linalg.qr(Q)[0]
            f, G, S = look(Q)
            pairs = []
    gradient = float(np.linalg.norm(G)) / size
    return Stable(Q=Q, S=S, distance=math.sqrt(2.0 * f), iterations=count, gradient=gradient)


def _schur_factor(A: Array) -> Array:
    """Return Q of a real Schur form Q T Q^T with the complex pairs first.

    So every 2 x 2 block is one of those that `_nearest_form` keeps, whatever the number of real
    eigenvalues: the search from a stable matrix starts no further away than that matrix.
    """

    def complex_pair(x: complex, y: float | None = None) -> bool:
        return (x.imag if y is None else y) != 0

    try:
        return np.asarray(real_schur(A, output="real", sort=complex_pair)[1])
    except np.linalg.LinAlgError:  # reordering changed an eigenvalue from real to complex
        return np.asarray(real_schur(A, output="real")[1])


def nearest_stable(
    A: Array,
    radius: float,
    *,
    starts: int = 4,
    rng: np.random.Generator | None = None,
    steps: int = _STEPS,
    near: Sequence[Array] = (),
) -> Stable:
    """Return a stable matrix near A: the best of several local minima.

    Parameters
    ----------
    A : (n, n) array
    radius : float
        Largest modulus of an eigenvalue.
    starts : int
        From the real Schur form of A, from A itself, and from random rotations of the Schur form.
    rng : numpy.random.Generator, optional
        For the random starts.
    steps : int
        Most steps for each start.
    near
        Other matrices from whose Schur forms to start.

    Returns
    -------
    Stable
    """
    n = len(A)
    source = np.random.default_rng(0) if rng is None else rng
    B, e = scaled_to_one(A)
    # a smaller radius is nothing beside the error of computed eigenvalues
    r = max(ldexp_up(radius, -e), _LEAST_RADIUS)
    points = [_schur_factor(B), *(_schur_factor(np.ldexp(X, -e)) for X in near), np.eye(n)]
    best: Stable | None = None
    for i in range(len(near) + max(starts, 1)):
        drawn = points[i] if i < len(points) else None
        Q = np.linalg.qr(source.standard_normal((n, n)))[0] if drawn is None else drawn
        found = _descend(B, r, Q, steps)
        if best is None or found.distance < best.distance:
            best = found
    assert best is not None
    return replace(best, S=np.ldexp(best.S, e), distance=ldexp_up(best.distance, e))


def trace_lower(A: Array, radius: float) -> float:
    r"""Return a lower bound of the distance of A from the matrices with |eigenvalues| <= radius.

    |tr X| <= n r for a member X, and |tr A - tr X| = |<I, A - X>| <= sqrt(n) |A - X|.
    """
    n = len(A)
    entries = np.diag(A).tolist()
    trace = abs(math.fsum(entries))
    excess = down(down(trace) - up(n * radius))
    return max(0.0, down(excess / up(math.sqrt(n)))) if excess > 0 else 0.0


def determinant_lower(A: Array, radius: float) -> float:
    r"""Return a lower bound of the distance of A from the matrices with |eigenvalues| <= radius.

    |det X| <= r^n for a member X, and its singular values are those of A minus d_i with
    |d| <= |A - X| (Mirsky).  For |d| < s_n, the least one, log(1 - x) is above its chord, and

        sum log((s_i - d_i) / s_i) >= log(1 - |d| / s_n) sum d_i s_n / (|d| s_i)
                                   >= log(1 - |d| / s_n) s_n |1 / s|.

    With computed U, s, V and F = A - U diag(s) V^T, the singular values of A are at least
    (1 - |U^T U - I|) (1 - |V^T V - I|) s_i - |F|.
    """
    n = len(A)
    if not np.any(A):
        return 0.0
    U, s, Vt = np.linalg.svd(A)
    lengths = length_upper(U), length_upper(Vt)
    off = [
        length_upper(M @ M.T - np.eye(n)) + 2 * gamma(n + 4) * (1 + length * length)
        for M, length in zip((U.T, Vt), lengths, strict=True)
    ]
    top = float(s[0])
    error = length_upper(A - (U * s) @ Vt)
    error += 2 * gamma(n + 4) * (top * lengths[0] * lengths[1] + length_upper(A))
    low = s * ((1 - off[0]) * (1 - off[1]) * (1 - 2.0**-50)) - error * (1 + 2.0**-50)
    least = float(low[-1])
    # below 2^-500 squares underflow; relative to the largest they are no help anyway
    if not (max(off) < 0.5 and least > 2.0**-40 * top and least > 2.0**-500):
        return 0.0
    logs, level = np.log(low), math.log(radius)
    error = 2 * gamma(n + 2 * ELEMENTARY_UNITS) * (float(np.sum(np.abs(logs))) + n * abs(level))
    room = float(np.sum(logs)) - n * level - error
    if not room > 0:
        return 0.0
    spread = math.sqrt(float(np.sum(np.square(least / low)))) * (1 + 2 * gamma(n + 4))
    return max(0.0, -math.expm1(-room / spread * (1 - 2.0**-48)) * least * (1 - 2.0**-46))


def pair_distances_lower(M: Array, radius: float) -> Array:
    r"""Return lower bounds, (k,), of the distances of M, (k, 2, 2), from the stable matrices.

    Stable is |eigenvalues| <= r = radius, at least `_LEAST_RADIUS` beside entries of at most 1.
    With p = |a + d| / 2, q = (c - b) / 2 and s = |((a - d) / 2, (b + c) / 2)| for ((a, b), (c, d)),
    a squared distance is twice that of x = (p, q, s), and a member x' is where

        p'^2 + q'^2 - s'^2 <= r^2,   s'^2 - q'^2 <= (r - p')^2,   s'^2 - q'^2 <= (r + p')^2.

    Weak duality: for multipliers k, l, l' >= 0 of the three, with m = k - l - l' and w = l - l',

        |x' - x|^2 >= p^2 + q^2 + s^2 - ((p - w r)^2 + q^2) / (1 + m) - s^2 / (1 - m)
                      - (k + l + l') r^2,                                       -1 < m < 1,

    the minimum over x' of the Lagrangian, in which p'^2 and q'^2 have the factor 1 + m, s'^2 the
    factor 1 - m.  For given m and w the least sum k + l + l' is max(m + 2 |w|, -m); the best w then
    leaves

        f(m) = base + m ((q^2 + h^2) / (1 + m) - s^2 / (1 - m) - e r^2),   where

        0 <= m, p <= (1 + m) r     w = 0              base = 0          h = p      e = 1,
        r <= p, (1 + m) r <= p     w = p / r - 1 - m  base = (p - r)^2  h = 0      e = 0,
        m <= 0, -m r <= p <= r     w = -m             base = 0          h = p - r  e = 0,
        m <= 0, p <= -m r          w = p / r          base = p^2        h = 0      e = -1.

    Duality is strong.  f is concave, as a partial maximum, and falls without bound towards -1 if
    q != 0 and towards 1 if s != 0; where it is largest in between, derivatives in the multipliers
    vanish or point outwards, which says that the minimum of the Lagrangian is a member and that the
    bound is its distance.  For q = 0 or s = 0 both sides are limits of those for small q and s.

    So what is proved is attained up to rounding, and no nearest point is needed for it.
    """
    bounds = np.zeros(len(M))
    a, b, c, d = (M[:, i, j] for i in range(2) for j in range(2))
    # q and r are doubled, s is the square of the doubled one; p - r, doubled, errs by less than 2 u
    # of the sum of its terms
    sign = np.where(a + d < 0, -1.0, 1.0)
    r = 2.0 * radius
    pairs = _Pairs(
        p=np.abs(a + d),
        q=c - b,
        s=np.square(a - d) + np.square(b + c),
        beyond=(sign * a - r) + sign * d,
        error=4.0 * UNIT * (np.abs(a) + np.abs(d) + r),
        r=r,
    )
    left = pairs.may_be_unstable()
    if not left.any():
        return bounds
    pairs = pairs.of(left)
    low = np.full(len(pairs.p), math.log2(_LEAST_ROOM))
    high = -low
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        rises = pairs.slope(np.exp2(middle)) > 0
        low, high = np.where(rises, middle, low), np.where(rises, high, middle)
    best = np.fmax(pairs.lower(np.exp2(low)), pairs.lower(np.exp2(high)))
    # of doubled numbers: a quarter, and twice that
    bounds[left] = np.sqrt(0.5 * np.fmax(best, 0.0)) * (1 - 4 * UNIT)
    return bounds


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Pairs:
    """Matrices of order 2 as in `pair_distances_lower`, in doubled coordinates."""

    p: Array  # |p|, (k,)
    q: Array  # q, (k,)
    s: Array  # s^2, (k,)
    beyond: Array  # p - r, (k,)
    error: Array  # bound of the error of p - r, (k,)
    r: float

    def of(self, which: Mask) -> _Pairs:
        """Return some of them."""
        arrays = (self.p, self.q, self.s, self.beyond, self.error)
        p, q, s, beyond, error = (array[which] for array in arrays)
        return _Pairs(p=p, q=q, s=s, beyond=beyond, error=error, r=self.r)

    def may_be_unstable(self) -> Mask:
        """Return where an inequality does not hold, as far as computed."""
        p, q, s = np.square(self.p), np.square(self.q), self.s
        cone = s - q > np.square(self.beyond)
        unstable: Mask = (p + q - s > self.r * self.r) | cone | (self.beyond > 0)
        return unstable

    def _case(self, m: Array) -> tuple[Array, Array, Array, Array]:
        """Return base, h, e and the error of base or h^2 by the table above.

        The first and the third line hold for every p; the second and fourth are taken where p, a
        sum rounded once, and the border, a product rounded five times, leave no doubt.
        """
        far = self.p > self.r * np.maximum(1.0 + m, 1.0) * (1 + 8 * UNIT)
        near = self.p < -m * self.r * (1 - 8 * UNIT)
        plain = np.logical_not(far | near)
        down = m >= 0
        base = np.where(far, np.square(self.beyond), np.where(near, np.square(self.p), 0.0))
        h = np.where(plain, np.where(down, self.p, self.beyond), 0.0)
        e = np.where(near, -1.0, np.where(plain & down, 1.0, 0.0))
        doubt = (2.0 * np.abs(self.beyond) + self.error) * self.error
        return base, h, e, np.where(far | (plain & ~down), doubt, 0.0)

    def slope(self, quotient: Array) -> Array:
        """Return f'(m) for (1 + m) / (1 - m) = quotient."""
        plus, minus, m = _around(quotient)
        _, h, e, _ = self._case(m)
        top = (np.square(self.q) + np.square(h)) / np.square(plus)
        slope: Array = top - self.s / np.square(minus) - e * (self.r * self.r)
        return slope

    def lower(self, quotient: Array) -> Array:
        r"""Return f(m) for (1 + m) / (1 - m) = quotient, rounded down.

        1 + m and 1 - m err by 2 u and m by 3 u, sums like p and q by u and their squares by 3 u, so
        no term errs by more than 7 u; differences and the product with m add 7 u of the sum of all
        terms, of which 32 u are taken off.  An underflow is divided by at least `_LEAST_ROOM`.
        """
        plus, minus, m = _around(quotient)
        base, h, e, doubt = self._case(m)
        top = (np.square(self.q) + np.square(h)) / plus
        bottom, square = self.s / minus, e * (self.r * self.r)
        value = base + m * (top - bottom - square)
        size = base + np.abs(m) * (top + bottom + np.abs(square))
        share = np.where(h != 0, np.abs(m) / plus, 1.0)
        taken = 32 * UNIT * size + share * doubt + 2.0**-800
        lower: Array = value - taken * (1 + 16 * UNIT)
        return lower


def _around(quotient: Array) -> tuple[Array, Array, Array]:
    """Return 1 + m, 1 - m and m for (1 + m) / (1 - m) = quotient."""
    total = 1.0 + quotient
    return 2.0 * quotient / total, 2.0 / total, (quotient - 1.0) / total


def principal_lower(A: Array, radius: float) -> float:
    r"""Return a lower bound of the distance from matrices with stable principal submatrices.

    Those of orders 1 and 2: |x_ii| <= r, and `pair_distances_lower`.  Disjoint pairs of indices
    have disjoint entries, so squared distances add up; pairs are taken greedily.
    """
    A, e = scaled_to_one(A)
    # a larger radius gives a smaller bound, and squares of quotients stay in range
    radius = max(ldexp_up(radius, -e), _LEAST_RADIUS)
    n = len(A)
    if not radius < n:  # the norm of A, and so every eigenvalue, is below n
        return 0.0
    alone = np.maximum(np.abs(np.diag(A)) - radius, 0.0) * (1 - 2.0**-50)
    if n < 2:
        return ldexp_down(float(alone[0]), e)
    i, j = np.triu_indices(n, 1)
    blocks = np.stack([A[i, i], A[i, j], A[j, i], A[j, j]], axis=-1).reshape(-1, 2, 2)
    gains = np.square(pair_distances_lower(blocks, radius))
    # what a pair adds to its two entries on the diagonal
    gains -= np.square(alone[i]) + np.square(alone[j])
    free = np.ones(n, dtype=bool)
    total = float(np.sum(np.square(alone)))
    for k in np.argsort(-gains, kind="stable"):
        if gains[k] <= 0:
            break
        if free[i[k]] and free[j[k]]:
            free[i[k]] = free[j[k]] = False
            total += float(gains[k])
    return ldexp_down(max(0.0, math.sqrt(total) * (1 - 4 * gamma(n + 8))), e)


@np.errstate(over="ignore", invalid="ignore")
def _lyapunov(S: Array, limit: float) -> tuple[Array, Array, float] | None:
    """Return P = I + S^T P S, Y = I + S Y S^T and tr P; None if that is beyond the limit."""
    powers, eye = [S], np.eye(len(S))
    P = sum_of_powers(S, eye, powers=powers, transposed=True)
    trace = float(np.sum(np.diag(P)))
    if not 0.0 < trace < limit:  # beyond the unit circle sums overflow to anything
        return None
    return P, sum_of_powers(S, eye, powers=powers), trace


def _central(A: Array, radius: float, X: Array, weight: float, limit: float) -> tuple[Array, int]:
    """Return the minimiser of the barrier problem, from X, and the number of evaluations.

    With S = X / r, d tr P = 2 <P S Y, dS>.
    """
    shape, most, count = A.shape, math.log(limit), 0

    def function(x: Array) -> tuple[float, Array] | None:
        nonlocal count
        count += 1
        S = x.reshape(shape) / radius
        found = _lyapunov(S, limit)
        if found is None:
            return None
        P, Y, trace = found
        room = 1.0 - math.log(trace) / most
        if not room > 0:
            return None
        D = x.reshape(shape) - A
        push = 2.0 * weight / (room * most * trace * radius)
        value = 0.5 * float(np.sum(D * D)) - weight * math.log(room)
        return value, (D + push * (P @ S @ Y)).ravel()

    x = minimise(function, X.ravel(), steps=_BARRIER_STEPS, gradient=0.0, gain=1e-2 * weight)
    return x.reshape(shape), count


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Proved:
    """A metric, and the nearest point of its ball."""

    P: Array  # P, (n, n)
    found: Found
    distance: float
    evaluations: int


def provably_stable(
    A: Array,
    radius: float,
    limit: float,
    *,
    near: Stable | None = None,
    rng: np.random.Generator | None = None,
) -> Proved:
    """Return a metric of condition number up to `limit` in which A has a near contraction.

    From A with clipped singular values and from a multiple of A, or from inside the blocks of a
    stable matrix, all a little disturbed: the nearest point of a symmetric or an orthogonal matrix
    need not be of its kind, but the gradient is.  A should be scaled to largest entry about 1.
    """
    n = len(A)
    source = np.random.default_rng(0) if rng is None else rng
    best = _in_ball(A, radius, np.eye(n), 0)
    for start, share in _starts(A, radius, limit, near):
        noise = source.standard_normal((n, n))
        noise *= _DISTURBED * radius / float(np.linalg.norm(noise, 2))
        X = start if _lyapunov((start + noise) / radius, limit) is None else start + noise
        weight, evaluations = share * float(np.sum(np.square(X - A))), 0
        while True:
            X, count = _central(A, radius, X, weight, limit)
            evaluations += count
            left = _LEAST_WEIGHT * float(np.sum(np.square(X - A)))
            if weight <= max(left, _NO_WEIGHT * radius * radius):
                break
            weight *= _FALL
        at = _lyapunov(X / radius, limit)
        if at is None:
            continue
        try:
            one = _in_ball(A, radius, at[0], evaluations)
        except ValueError:  # P is singular to rounding
            continue
        if one.distance < best.distance:
            best = one
    if best.found.iterations > _CHEAP or best.distance == 0.0:
        return best
    try:
        root = np.asarray(np.linalg.cholesky(best.P).T, dtype=np.float64)
    except np.linalg.LinAlgError:
        return best
    better = best_metric(A, [GramFamily(root=root, radius=radius)], rounds=1)
    if better is None or not better.distance < best.distance:
        return best
    return Proved(
        P=better.where.P,
        found=better.found,
        distance=better.distance,
        evaluations=best.evaluations + better.evaluations,
    )


def _starts(
    A: Array, radius: float, limit: float, near: Stable | None
) -> Iterator[tuple[Array, float]]:
    """Yield starts and their first weights, as parts of the squared distance."""
    margins = (0.01, 0.03, 0.1, 0.3, 0.6, 1.0, 3.0)
    if near is None:
        yield np.asarray(spectral_ball(A, 0.9 * radius), dtype=np.float64), 1.0
        size = max(float(np.max(np.abs(np.linalg.eigvals(A)))), radius)
        for margin in margins:
            X = A * (radius / (size * (1.0 + margin)))
            if _lyapunov(X / radius, limit) is not None:
                yield X, _FALL**3
                return
        return
    T = near.Q.T @ A @ near.Q
    for margin in margins:
        X = near.Q @ _nearest_form(T, radius / (1.0 + margin)) @ near.Q.T
        if _lyapunov(X / radius, limit) is not None:
            yield X, _FALL**3
            break
    nearest: Proved | None = None
    for margin in margins:
        at = _lyapunov(near.matrix / (radius * (1.0 + margin)), limit)
        if at is None:
            continue
        try:
            one = _in_ball(A, radius, at[0], 0)
        except ValueError:  # P is singular to rounding
            continue
        if nearest is None or one.distance < nearest.distance:
            nearest = one
    if nearest is not None:
        for margin in margins:
            X = nearest.found.W / (1.0 + margin)
            if _lyapunov(X / radius, limit) is not None:
                yield X, _FALL**3
                return


def _in_ball(A: Array, radius: float, P: Array, evaluations: int) -> Proved:
    """Return the nearest point of the ball of P, scaled to largest entry 1."""
    P = 0.5 * (P + P.T) / float(np.max(np.abs(P)))
    found = metric_ball(A, gram_set(P, radius), accuracy=1e-4)
    distance = float(np.linalg.norm(found.W - A))
    return Proved(P=P, found=found, distance=distance, evaluations=evaluations)


def schur(recurrent: Map, request: Request) -> Projection:
    """Project a linear map onto spectral radius <= rate, with a Lyapunov norm as the proof.

    The nearest stable matrix lies on the boundary and tends to have multiple eigenvalues there, so
    that none or only an enormous constant proves it stable, and rounding its entries may move its
    eigenvalues out of the disk.  What is returned is the nearest matrix found among those that a
    norm of moderate condition number proves to contract at the rate; the distance of the unproved
    one is among the residuals.
    """
    from theory.projections.affine import FAR, form_of, parameter_of, radius_of, spectral

    form = form_of(recurrent, request.onto)
    if form.rho.slope[0] != form.rho.slope[1]:
        raise ValueError(
            f"onto='schur' is about linear maps, received {recurrent!r}: the spectral radius says "
            "nothing about a nonlinear map; take onto='lmi', 'diagonal' or 'spectral'"
        )
    if request.method != "auto":
        raise ValueError(
            f"method={request.method!r} does not apply to onto='schur', which is not a convex set "
            "and has no closed form; take method='auto', or onto='spectral' for a convex part of it"
        )
    A, n = form.W, len(form.W)
    radius = radius_of(form, request.rate)
    c = _lyapunov_contraction(form, request.rate)
    if c is not None and np.array_equal(request.cast(A), A):
        return answer(recurrent, {}, certificate=c, lower=0.0, method="member")
    # huge weights are scaled down as in `theory.projections.affine.brought_near`
    B, size = scaled_to_one(A)
    e = min(size, math.frexp(radius)[1] + FAR)
    r = math.ldexp(radius, -e)
    # rounding to single precision moves X by 2^-24 |X| sqrt(cond(P)) in the norm
    limit = min(_WIDER * largest_condition(n), 2.0**26 if request.single else math.inf)
    # each search may find a local minimum from which another gets out; the Schur form of A with
    # clipped blocks is a start far from those of the path
    clipped = _descend(B, r, _schur_factor(B), 0)
    paths = [provably_stable(B, r, limit, near=x, rng=request.rng) for x in (None, clipped)]
    provable = min(paths, key=lambda path: path.distance)
    near = (provable.found.W,)
    free = nearest_stable(B, r, starts=request.starts, rng=request.rng, near=near)
    again = provably_stable(B, r, limit, near=free, rng=request.rng)
    provable = again if again.distance < provable.distance else provable
    P = provable.P
    norm = WeightedL2(P)

    def certify(arrays: tuple[Array, ...]) -> Contraction | None:
        # the test of members comes first: what is returned stays as it is in the next projection
        plain = _lyapunov_contraction(replace(form, W=arrays[0]), request.rate)
        own = contractive_of_matrix_norm(arrays[0], form.rho, norm)
        return own if plain is not None and own is not None and own.lam <= request.rate else plain

    def point(margin: float) -> tuple[Array, ...]:
        where = gram_set(P, r * (1.0 - margin))
        found = metric_ball(B, where, accuracy=1e-5, start=provable.found.W * (1.0 - margin))
        return (np.ldexp(found.W, e),)

    values = np.linalg.eigvalsh(P)
    condition = float(values[-1] / values[0])
    first = (n + 4) ** 2 * 2.0**-53 * condition
    first = max(first, math.sqrt(condition) * 2.0**-24) if request.single else first
    settled = settle(request, (A,), point, certify, min(first, 0.25))
    lower = schur_lower(A, radius)
    distance = math.inf if settled is None else length_upper(settled[0][0] - A)
    # the spectral ball is no nearer than this
    ball = ldexp_down(metric_ball(B, gram_set(np.eye(n), r)).lower, size)
    if settled is None or not distance < ball:
        plain = spectral(recurrent, replace(request, method="auto"))
        if settled is None or not distance < plain.distance:
            note = "no matrix nearer than the spectral ball could be proved stable"
            return replace(plain, lower=min(lower, plain.distance), note=note)
    (new,), certificate, margin = settled
    return answer(
        recurrent,
        {parameter_of(recurrent, A): new},
        certificate=certificate,
        lower=lower,
        method="central path of Lyapunov matrices, then the nearest point of a Lyapunov ball",
        iterations=free.iterations + provable.evaluations,
        residuals={
            "margin": margin,
            "gradient": free.gradient,
            "distance of a stable matrix without proof": ldexp_up(free.distance, size),
        },
        note="the set is not convex: a nearer member may exist",
    )


def _lyapunov_contraction(form: Affine, rate: float) -> Contraction | None:
    """Return a contraction at most at the rate, in the Euclidean or a Lyapunov norm, or None."""
    plain = contractive_of_matrix_norm(form.W, form.rho, L2())
    if plain is not None and plain.lam <= rate:
        return plain
    radius = float(np.max(np.abs(np.linalg.eigvals(form.W)))) * form.rho.lipschitz
    if not radius < rate:
        return None
    for share in (1.0, 0.5):
        c = lyapunov_at(form, radius + share * (rate - radius))
        if c is not None and c.lam <= rate:
            return c
    return None


def schur_lower(A: Array, radius: float) -> float:
    r"""Return a proved lower bound of the distance from the stable matrices.

    The largest of `trace_lower`, `determinant_lower` and of what the second moment gives:
    |tr X^2| <= n r^2, and with X = A - E, |tr A^2 - tr X^2| <= 2 |A| |E| + |E|^2, so that
    |E| >= sqrt(|A|^2 + |tr A^2| - n r^2) - |A|.
    """
    n = len(A)
    A, e = scaled_to_one(A)
    # a larger radius gives a smaller bound, far above what was lost in scaling
    radius = max(ldexp_up(radius, -e), _LEAST_RADIUS)
    if not radius < n:
        return 0.0
    simple = max(trace_lower(A, radius), determinant_lower(A, radius))
    size = length_upper(A)
    terms = A * A.T
    second = abs(float(np.sum(terms))) - 2 * gamma(n * n + 2) * sum_up(np.abs(terms).ravel())
    excess = down(second - up(n * up(radius * radius) * (1 + 2.0**-50)))
    if excess <= 0 or not math.isfinite(size):
        return ldexp_down(simple, e)
    # sqrt(s^2 + e) - s = e / (sqrt(s^2 + e) + s)
    bound = excess / (math.sqrt(size * size + excess) + size) * (1 - 2.0**-48)
    return ldexp_down(max(simple, bound), e)
