r"""Candidates for the incremental matrix inequality: weights D, a level r and a Gram matrix P.

Main names: `Problem`, `Candidate`, `best_weights`, `least_level`, `gram_at`.

Nothing here is trusted: `theory.arithmetic.rigor.lmi_holds` decides.  Far below the least level
numbers overflow; what comes of it is not finite, and is refused.  With slopes in [alpha_i, beta_i],

    C = diag(alpha + beta) / 2,   G = diag(alpha beta),   B = D W D^-1 (D diagonal, positive),

the inequality has a solution P, Q = D**2 at the level r iff

    M(z) = 2 I + (2 / r^2) B^T G B - z A - A^T / z >= 0  for all |z| = 1,   A = (2 / r) C B

(the operator Fejer-Riesz theorem; for slopes in [0, 1] it is Ando's theorem, and the least such r
is the numerical radius of B).  At a level where M > 0 there is a factorisation

    M(z) = (I - A^T Z^-1 / z) Z (I - z Z^-1 A),   Z + A^T Z^-1 A = 2 I + (2 / r^2) B^T G B =: H,

whose largest Z is found by cyclic reduction (B. Meini, *Efficient computation of the extreme
solutions of X + A* X^-1 A = Q*, Mathematics of Computation 71, 2002), and 2 I - Z is the smallest
solution X = D^-1 P D^-1.  The least level over D is found by following, for growing t, the minimum
of

    t log r + log det N,   N = mean over |z| = 1 of M(z)^-1,

which is smooth, tends to infinity where M touches singularity at any angle, and costs a few dozen
real matrix products.  The sets {log D : level r suffices} are convex (three lines theorem), so
there are no other local minima.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, final

import numpy as np

from theory.arithmetic.minimise import Smooth, minimise
from theory.typing import Array

#: log D is kept within about +-this, so that weights differ by at most a factor 2**20 and P by
#: 2**40, times the condition number of X: with more, P cannot be proved positive definite.
LARGEST_LOG = 10.0 * math.log(2.0)

#: The smoothing t ends at n times this: the level is then within about 1 / this of its infimum.
SHARPNESS = 500.0

#: t over n at first, where an objective far from sharp is cheap to minimise, and its growth.
_FIRST, _GROWTH = 16.0, 6.0

#: Floating-point operations that the search of weights may take, some twenty seconds of one core:
#: beyond n = 256 or so it ends before the weights are the best ones, beyond 800 it never begins.
WORK = 2.0**40

#: With fewer values than this of the objective nothing is gained.
_FEWEST = 12

#: Of one value of the objective: about 170 n**3 operations, half of them in cyclic reduction.
_WORK_OF_ONE = 170.0


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """Recurrent weights and the slope interval of every unit."""

    W: Array  # W, (n, n)
    alpha: Array  # least slopes, (n,)
    beta: Array  # greatest slopes, (n,)

    @property
    def size(self) -> int:
        """Return n."""
        return len(self.W)

    @property
    def center(self) -> Array:
        """Return the diagonal of C."""
        return 0.5 * (self.alpha + self.beta)

    @property
    def product(self) -> Array:
        """Return the diagonal of G."""
        return self.alpha * self.beta

    @cached_property
    def floor(self) -> float:
        """Return a level that every solution with P > 0 exceeds, 0 if M > 0 says so anyway.

        The inequality implies r^2 P > (C W)^T P C W, as for every constant choice of slopes, and
        then P > 0 iff rho(C W) < r.  Where alpha beta > 0, M may be positive at lower levels too.
        """
        if not np.any(self.product > 0):
            return 0.0
        return float(np.max(np.abs(np.linalg.eigvals(self.center[:, None] * self.W))))

    def scaled(self, x: Array) -> Array:
        """Return B = D W D^-1 for x = log diag(D)."""
        d = np.exp(x)
        return self.W * (d[:, None] / d[None, :])


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Factors:
    """The two extreme factorisations of M at a level where it is positive definite."""

    H: Array  # H = 2 I + (2 / r^2) B^T G B
    A: Array  # A = (2 / r) C B
    Z: Array  # the largest solution of Z + A^T Z^-1 A = H
    Y: Array  # the largest solution of Y + A Y^-1 A^T = H; H - Y is the smallest Z
    V: Array  # the inverse of the mean of M(z)^-1 over the circle


@cache
def _lapack() -> Any:
    """Return LAPACK: the checks before it in `scipy.linalg` take longer than small matrices do."""
    from scipy.linalg import lapack  # a tenth of a second, on demand

    return lapack


def cholesky(S: Array) -> Array | None:
    """Return the lower Cholesky factor of a symmetric matrix; None if there is none."""
    # the transpose of a C-ordered symmetric matrix is itself, in the order that LAPACK wants
    L, info = _lapack().dpotrf(S.T, lower=1, clean=1)
    return np.asarray(L) if info == 0 else None


def _solve_lower(L: Array, B: Array) -> Array:
    """Return L^-1 B."""
    return np.asarray(_lapack().dtrtrs(L, B, lower=1)[0])


def solve(L: Array, B: Array) -> Array:
    """Return (L L^T)^-1 B."""
    return np.asarray(_lapack().dpotrs(L, B, lower=1)[0])


@np.errstate(over="ignore", invalid="ignore")
def factors(problem: Problem, B: Array, r: float) -> Factors | None:
    """Return the factorisations at level r, or None if M is not positive definite there, or P.

    Cyclic reduction: A_0 = A, H_0 = H and A_{j+1} = A_j H_j^-1 A_j,
    H_{j+1} = H_j - A_j^T H_j^-1 A_j - A_j H_j^-1 A_j^T; all H_j > 0 iff M > 0 on the circle, and
    the A_j tend to zero quadratically.  With M_j(z) = H_j - z A_j - A_j^T / z, the even part of
    M_j(z)^-1 is M_{j+1}(z^2)^-1, so all these inverses have the same mean, that of the limit H^-1.
    """
    if not (max(problem.floor, 1e-150) < r < 1e150 and np.isfinite(B).all()):
        return None
    n = len(B)
    A = (2.0 / r) * problem.center[:, None] * B
    H = 2.0 * np.eye(n)
    if np.any(problem.product):
        H += (2.0 / r**2) * (B.T @ (problem.product[:, None] * B))
    if not (np.isfinite(A).all() and np.isfinite(H).all()):
        return None
    K, Z, Y, F = H.copy(), H.copy(), H.copy(), A
    for _ in range(60):
        L = cholesky(K)
        if L is None:
            return None
        left, right = _solve_lower(L, F), _solve_lower(L, F.T)  # L^-1 A_j and L^-1 A_j^T
        down, up = left.T @ left, right.T @ right
        Z -= down
        Y -= up
        K = K - down - up
        size = float(down.trace()) + float(up.trace())  # above every entry of a Gram matrix
        if not math.isfinite(size):
            return None
        if size <= 1e-9:  # what follows is of the order of its square
            break
        F = right.T @ left
    else:
        return None
    return Factors(H=H, A=A, Z=0.5 * (Z + Z.T), Y=0.5 * (Y + Y.T), V=0.5 * (K + K.T))


def sum_of_powers(
    T: Array, V: Array, *, powers: list[Array] | None = None, transposed: bool = False
) -> Array:
    """Return V + T V T^T + T^2 V T^2T + ... for V >= 0 by doubling; T^T for T if `transposed`.

    `powers` holds T, T^2, T^4, ... as far as they are known; it is extended in place.
    """
    known = [T] if powers is None else powers
    total = V
    for j in range(60):
        if j == len(known):
            known.append(known[-1] @ known[-1])
        power = known[j].T if transposed else known[j]
        step = power @ total @ power.T
        total = total + step
        # what follows is smaller by the square of this; traces are above all entries
        if not float(step.trace()) > 1e-9 * float(total.trace()):
            break
    return total


@np.errstate(over="ignore", invalid="ignore")
def _barrier(problem: Problem, x: Array, s: float) -> tuple[float, Array, float] | None:
    r"""Return log det N at D = diag(exp(x)), r = exp(s), and its derivatives in x and s.

    M^-1 = (I - z T)^-1 Z^-1 (I - T^T / z)^-1 with T = Z^-1 A, so that with N its mean over the
    circle M^-1 = ... + N T^T / z + N + z T N + ...  With V = N^-1 and

        K = sum over j >= 0 of T^j N T^Tj,   J = sum over j >= 0 of T^Tj V T^j,

    the means of M^-1 V M^-1 and of z M^-1 V M^-1 are

        R = K + N (J - V) N   and   S = K T^T + N T^T J N,   so, with E = H - 2 I,

        d log det N = 2 tr(S dA) - tr(R dH),   dB = X B - B X  for  X = diag(dx),
        dA/ds = -A,   dH/ds = -2 E.
    """
    B = problem.scaled(x)
    found = factors(problem, B, math.exp(s))
    if found is None:
        return None
    L = cholesky(found.Z)
    if L is None:
        return None
    T = solve(L, found.A)
    powers = [T]
    V, half = found.V, cholesky(found.V)
    if half is None:
        return None
    N = solve(half, np.eye(len(B)))
    value = -2.0 * float(np.sum(np.log(np.diag(half))))
    if np.any(T):
        K = sum_of_powers(T, N, powers=powers)
        J = sum_of_powers(T, V, powers=powers, transposed=True)
        R = K + N @ (J - V) @ N
        S = K @ T.T + N @ T.T @ J @ N
    else:
        R, S = N, np.zeros_like(N)
    if not (np.isfinite(R).all() and np.isfinite(S).all()):
        return None
    by_x = 2.0 * (np.einsum("ij,ji->i", found.A, S) - np.einsum("ij,ji->i", S, found.A))
    by_s = -2.0 * float(np.einsum("ij,ji->", S, found.A))
    if np.any(problem.product):
        E = found.H - 2.0 * np.eye(len(B))
        inner = np.einsum("ij,ij->i", B @ R, B)
        by_x -= (4.0 / math.exp(2 * s)) * problem.product * inner
        by_x += 2.0 * np.einsum("ij,ji->i", R, E)
        by_s += 2.0 * float(np.einsum("ij,ji->", R, E))
    return value, by_x, by_s


def best_weights(
    problem: Problem,
    start: Array,
    level: float,
    *,
    steps: int = 200,
    sharpness: float = SHARPNESS,
    work: float = WORK,
) -> tuple[Array, float]:
    """Return x = log diag(D) that nearly minimises the level, and a level that D reaches.

    `level` must suffice for the starting weights.  Below 0 there is none.
    """
    n = problem.size
    left = int(work / (_WORK_OF_ONE * n**3))  # how often the objective may be evaluated
    if left < _FEWEST or not level > 0:
        return start, level
    weight = 1e-7 * n  # holds x in place along directions that change nothing
    # one log weight moves the objective by about 1 / n: in these units curvatures are about 1
    unit = math.sqrt(n)

    def size(x: Array) -> tuple[float, Array]:
        """Return log |B|_F^2, whose growth along x the level is tied to, and its gradient."""
        square = np.square(problem.scaled(x))
        total = float(np.sum(square))
        if not 0 < total < math.inf:
            return math.nan, x
        return math.log(total), 2.0 * (np.sum(square, axis=1) - np.sum(square, axis=0)) / total

    def objective(t: float) -> Smooth:
        def function(point: Array) -> tuple[float, Array] | None:
            x = unit * point[:n]
            if not np.max(np.abs(x)) <= 2 * LARGEST_LOG:
                return None
            tied, by_size = size(x)
            s = float(point[n]) + tied
            nonlocal left
            left -= 1
            if not (abs(s) <= 600 and left >= 0):
                return None
            found = _barrier(problem, x, s)
            if found is None:
                return None
            value, by_x, by_s = found
            scale = weight * t / n
            # where the infimum is not attained, log D goes to infinity: a quadratic wall
            beyond = x - np.clip(x, -LARGEST_LOG, LARGEST_LOG)
            pull = scale * x + t * beyond
            f = (value + t * s + 0.5 * (scale * float(x @ x) + t * float(beyond @ beyond))) / t
            by_level = (by_s + t) / t
            return f, np.append(unit * ((by_x + pull) / t + by_level * by_size), by_level)

        return function

    point = np.append(start / unit, math.log(level) - size(start)[0])
    t = (_FIRST if left > 2 * _FEWEST else 0.25 * _FIRST) * n
    # small problems are cheap enough to go on while little is gained, as along a ridge
    gain = (0.0001 if n <= 32 else 0.02) / SHARPNESS
    while True:
        point = minimise(objective(t), point, steps=steps, gradient=0.05 * n / t, gain=gain)
        if t >= sharpness * n or left < _FEWEST:
            break
        t = min(_GROWTH * t, sharpness * n)
    x = unit * point[:n]
    best = math.exp(float(point[n]) + size(x)[0])
    return x - np.mean(x), best


def radius_below(problem: Problem, B: Array) -> float:
    """Return a number below the least level for slopes in [0, beta], usually within a few percent.

    The numerical radius of M = 2 C B is at least the norms of its symmetric and its skew part.
    """
    M = 2.0 * problem.center[:, None] * B
    symmetric, skew = 0.5 * (M + M.T), 0.5 * (M - M.T)
    if len(M) <= 256:
        return max(float(np.linalg.norm(symmetric, 2)), float(np.linalg.norm(skew, 2)))
    return max(_norm_below(symmetric), _norm_below(skew))


def _norm_below(S: Array, *, steps: int = 60) -> float:
    """Return nearly |S|_2, from below, of a matrix whose transpose is S or -S: by Lanczos."""
    random = np.random.default_rng(0)
    q = random.standard_normal(len(S))
    basis: list[Array] = []
    alphas: list[float] = []
    betas = [float(np.linalg.norm(q))]
    for _ in range(min(steps, len(S))):
        q = q / betas[-1]
        basis.append(q)
        q = S.T @ (S @ q)
        alphas.append(float(q @ basis[-1]))
        known = np.array(basis)
        q = q - known.T @ (known @ q)
        q = q - known.T @ (known @ q)
        betas.append(float(np.linalg.norm(q)))
        if not betas[-1] > 1e-12 * max(map(abs, alphas)):
            break
    inner = betas[1 : len(alphas)]
    values = np.linalg.eigvalsh(np.diag(alphas) + np.diag(inner, 1) + np.diag(inner, -1))
    return math.sqrt(max(float(values[-1]), 0.0))


def least_level(
    problem: Problem, x: Array, guess: float, *, tol: float = 1e-6, below: bool = False
) -> float | None:
    """Return a level that D = diag(exp(x)) reaches, within about `tol` of the least; None if none.

    `guess` is where the search begins; `below` says that it is a bound from below, which may be
    sharp.  Cyclic reduction decides on which side the least level lies.
    Above it, at r, the least eigenvalue of V is about c (r - least)**p, p = 1/2 where M(z) touches
    zero at one angle and p = 1 where it does at all: its square is convex in r, and the secant's
    zero, where the next trial is, above the least level.
    """
    B = problem.scaled(x)
    low, high, step = (guess, guess * (1.0 + tol), 3.0 * tol) if below else (0.0, guess, tol)
    if not (np.isfinite(B).all() and guess > 0):
        return None
    while (found := factors(problem, B, high)) is None:
        low, high, step = high, high * (1.0 + step), 4.0 * step
        if not high < 1e150:
            return None
    square, slope = _least_square(found.V), 0.0
    while high - low > tol * high:
        trial = 0.5 * (low + high)
        if low == 0.0:
            trial, step = high * (1.0 - step), min(4.0 * step, 0.5)
            if trial < 1e-150:
                return high
        if slope > 0:  # half of the tolerance above the zero, or, if that is here, below it
            zero, half = high - square / slope, 0.5 * tol * high
            aimed = zero + half if zero + 2.0 * half < high else zero - half
            trial = aimed if low < aimed < high else trial
        found = factors(problem, B, trial)
        if found is None:
            low = trial
        else:
            less = _least_square(found.V)
            slope = (square - less) / (high - trial)
            high, square = trial, less
    return high


def _least_square(V: Array) -> float:
    """Return about the square of the least eigenvalue of a positive definite V."""
    L = cholesky(V)
    if L is None:
        return 0.0
    v = np.ones((len(V), 1))
    size = 1.0
    for _ in range(12):
        v = solve(L, v / np.linalg.norm(v))
        size = float(np.linalg.norm(v))
    return 1.0 / size**2 if 0 < size < math.inf else 0.0


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """What `theory.arithmetic.rigor.lmi_holds` is asked about."""

    P: Array  # P, (n, n), symmetric
    q: Array  # q, (n,), positive
    r: float  # the level


@np.errstate(over="ignore", invalid="ignore")
def gram_at(problem: Problem, x: Array, r: float) -> Candidate | None:
    """Return P midway between the smallest and the largest solution for D = diag(exp(x))."""
    found = factors(problem, problem.scaled(x), r)
    if found is None:
        return None
    n = problem.size
    # X from the largest Z is 2 I - Z, from the smallest Z = H - Y it is 2 I - H + Y
    X = 2.0 * np.eye(n) - 0.5 * (found.Z + found.H - found.Y)
    d = np.exp(x)
    P = X * (d[:, None] * d[None, :])
    return Candidate(P=0.5 * (P + P.T), q=d * d, r=r)


def starting_weights(W: Array) -> Array:
    """Return log of a diagonal that balances the rows and columns of |W|, zero for W = 0.

    Each pass sets d_i so that row i and column i of D |W| D^-1 have equal Euclidean norms.
    """
    x, size = np.zeros(len(W)), np.abs(W - np.diag(np.diag(W)))
    if not np.any(size):
        return x
    square = np.square(size / np.max(size))
    # a floor keeps empty rows and columns, that is reducible matrices, from running away
    square = square + 1e-8 * float(np.mean(square))
    for _ in range(30):
        B = square * np.exp(2.0 * (x[:, None] - x[None, :]))
        change = 0.25 * (np.log(np.sum(B, axis=0)) - np.log(np.sum(B, axis=1)))
        x = np.clip(x + 0.5 * change, -LARGEST_LOG / 2, LARGEST_LOG / 2)
        if float(np.max(np.abs(change))) < 1e-2:
            break
    return np.asarray(x - np.mean(x))
