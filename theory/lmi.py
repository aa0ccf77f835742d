r"""Candidates for the incremental matrix inequality: weights D, a level r and a Gram matrix P.

Main names: `Problem`, `Candidate`, `best_weights`, `least_level`, `gram_at`, `cheaper`,
`cheaper_lyapunov`.

Nothing here is trusted: `theory.rigor.lmi_holds` decides.  Far below the least level numbers
overflow; what comes of it is not finite, and is refused.  With slopes in [alpha_i, beta_i],

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
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
from scipy.linalg import lapack

from theory.typing import Array

#: log D is kept within about +-this, so that weights differ by at most a factor 2**20 and P by
#: 2**40, times the condition number of X: with more, P cannot be proved positive definite.
LARGEST_LOG = 10.0 * math.log(2.0)

#: The smoothing t ends at n times this: the level is then within about 1 / this of its infimum.
SHARPNESS = 500.0


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


def _cholesky(S: Array) -> Array | None:
    """Return the lower Cholesky factor of a symmetric matrix, None if it is not positive definite.

    LAPACK is called directly, here and below: for small matrices the checks that come before it in
    `scipy.linalg` take several times as long as the factorisation.
    """
    # the transpose of a C-ordered symmetric matrix is itself, in the order that LAPACK wants
    L, info = lapack.dpotrf(S.T, lower=1, clean=1)
    return np.asarray(L) if info == 0 else None


def _solve_lower(L: Array, B: Array) -> Array:
    """Return L^-1 B."""
    return np.asarray(lapack.dtrtrs(L, B, lower=1)[0])


def _solve(L: Array, B: Array) -> Array:
    """Return (L L^T)^-1 B."""
    return np.asarray(lapack.dpotrs(L, B, lower=1)[0])


@np.errstate(over="ignore", invalid="ignore")
def factors(problem: Problem, B: Array, r: float) -> Factors | None:
    """Return the factorisations at level r, or None if M is not positive definite there, or P.

    Cyclic reduction: A_0 = A, H_0 = H and A_{j+1} = A_j H_j^-1 A_j,
    H_{j+1} = H_j - A_j^T H_j^-1 A_j - A_j H_j^-1 A_j^T; all H_j > 0 iff M > 0 on the circle, and
    the A_j tend to zero quadratically.
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
        L = _cholesky(K)
        if L is None:
            return None
        left, right = _solve_lower(L, F), _solve_lower(L, F.T)  # L^-1 A_j and L^-1 A_j^T
        down, up = left.T @ left, right.T @ right
        Z -= down
        Y -= up
        K = K - down - up
        size = float(np.abs(down).max()) + float(np.abs(up).max())
        if not math.isfinite(size):
            return None
        if size <= 1e-9:  # what follows is of the order of its square
            break
        F = right.T @ left
    else:
        return None
    return Factors(H=H, A=A, Z=0.5 * (Z + Z.T), Y=0.5 * (Y + Y.T))


def sum_of_powers(
    T: Array, V: Array, *, powers: list[Array] | None = None, transposed: bool = False
) -> Array:
    """Return V + T V T^T + T^2 V T^2T + ... by doubling; with T^T in place of T if `transposed`.

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
        # what follows is smaller by the square of this
        if not float(np.abs(step).max()) > 1e-9 * float(np.abs(total).max()):
            break
    return total


@np.errstate(over="ignore", invalid="ignore")
def _barrier(problem: Problem, x: Array, s: float) -> tuple[float, Array, float] | None:
    r"""Return log det N at D = diag(exp(x)), r = exp(s), and its derivatives in x and s.

    M^-1 = (I - z T)^-1 Z^-1 (I - T^T / z)^-1 with T = Z^-1 A, so its mean over the circle solves
    N = T N T^T + Z^-1, and M^-1 = ... + N T^T / z + N + z T N + ...  With V = N^-1 and

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
    L = _cholesky(found.Z)
    if L is None:
        return None
    T = _solve(L, found.A)
    powers = [T]
    N = sum_of_powers(T, _solve(L, np.eye(len(B))), powers=powers)
    half = _cholesky(N)
    if half is None:
        return None
    V = _solve(half, np.eye(len(B)))
    value = 2.0 * float(np.sum(np.log(np.diag(half))))
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


#: A function and its gradient, or None outside its domain.
Smooth = Callable[[Array], tuple[float, Array] | None]

#: Up to this many unknowns the inverse Hessian is kept as a matrix, which costs less than going
#: through the pairs one by one.
_DENSE_HESSIAN = 300


class _InverseHessian:
    """The BFGS approximation of an inverse Hessian: a matrix, or the last `memory` pairs."""

    def __init__(self, size: int, memory: int) -> None:
        self._dense = size <= _DENSE_HESSIAN
        self._memory = memory
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._matrix: Array | None = None
        self._pairs: list[tuple[Array, Array, float]] = []

    def direction(self, g: Array) -> Array:
        """Return -H g; a step of length at most 1 along -g while nothing is known."""
        if self._matrix is not None:
            return np.asarray(-(self._matrix @ g))
        if not self._pairs:
            return -g / max(1.0, float(np.linalg.norm(g)))
        p, alphas = -g, []
        for ds, dg, rho in reversed(self._pairs):
            a = rho * float(ds @ p)
            alphas.append(a)
            p = p - a * dg
        ds, dg, rho = self._pairs[-1]
        p = p / (rho * float(dg @ dg))
        for (ds, dg, rho), a in zip(self._pairs, reversed(alphas), strict=True):
            p = p + (a - rho * float(dg @ p)) * ds
        return p

    def update(self, ds: Array, dg: Array) -> None:
        """Take in a step and the change of the gradient along it, if they show convexity."""
        curvature = float(ds @ dg)
        if not curvature > 1e-12 * float(np.linalg.norm(ds) * np.linalg.norm(dg)):
            return
        rho = 1.0 / curvature
        if not self._dense:
            self._pairs = [*self._pairs[-(self._memory - 1) :], (ds, dg, rho)]
            return
        if self._matrix is None:
            self._matrix = curvature / float(dg @ dg) * np.eye(len(ds))
        # H <- (I - rho s y^T) H (I - rho y s^T) + rho s s^T
        v = self._matrix @ dg
        cross = np.outer(rho * ds, v)
        self._matrix += (rho + rho * rho * float(dg @ v)) * np.outer(ds, ds) - cross - cross.T


def minimise(
    function: Smooth, start: Array, *, steps: int, gradient: float, gain: float, memory: int = 30
) -> Array:
    """Return a point of smaller value, by BFGS with a weak Wolfe line search.

    The function may be undefined (None) outside an open set; the search shortens its step there.
    It stops when the gradient has a smaller norm than `gradient`, or the last ten steps together
    gained less than `gain`.  Of many unknowns only the last `memory` steps are remembered.
    """
    x = start
    here = function(x)
    if here is None:
        return x
    f, g = here
    inverse = _InverseHessian(len(x), memory)
    values = [f]
    for _ in range(steps):
        if not float(np.linalg.norm(g)) > gradient or (
            len(values) > 10 and values[-11] - values[-1] < gain
        ):
            break
        p = inverse.direction(g)
        slope = float(g @ p)
        if not slope < 0:
            inverse.clear()
            p, slope = -g, -float(g @ g)
        low, high, t = 0.0, math.inf, 1.0
        accepted = None
        for _ in range(24):
            trial = function(x + t * p)
            if trial is None or not trial[0] <= f + 1e-4 * t * slope:
                high = t
            elif float(trial[1] @ p) < 0.9 * slope:
                low, accepted = t, (t, trial)
            else:
                accepted = (t, trial)
                break
            t = 0.5 * (low + high) if math.isfinite(high) else 2.0 * t
        if accepted is None:
            break
        t, (f_new, g_new) = accepted
        ds, dg = t * p, g_new - g
        x, f, g = x + ds, f_new, g_new
        values.append(f)
        inverse.update(ds, dg)
    return x


def best_weights(
    problem: Problem, start: Array, level: float, *, steps: int = 60, sharpness: float = SHARPNESS
) -> tuple[Array, float]:
    """Return x = log diag(D) that nearly minimises the level, and a level that D reaches.

    `level` must suffice for the starting weights.
    """
    n = problem.size
    weight = 1e-7 * n  # holds x in place along directions that change nothing

    def objective(t: float) -> Smooth:
        def function(point: Array) -> tuple[float, Array] | None:
            x, s = point[:n], float(point[n])
            if not (np.max(np.abs(x)) <= 2 * LARGEST_LOG and abs(s) <= 600):
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
            return f, np.append((by_x + pull) / t, (by_s + t) / t)

        return function

    point = np.append(start, math.log(level))
    t = 4.0 * n
    # small problems are cheap enough to go on while little is gained
    gain = (0.001 if n <= 32 else 0.02) / SHARPNESS
    while True:
        point = minimise(objective(t), point, steps=steps, gradient=0.05 * n / t, gain=gain)
        if t >= sharpness * n:
            break
        t = min(8.0 * t, sharpness * n)
    x = point[:n] - np.mean(point[:n])
    return x, math.exp(float(point[n]))


def radius_below(problem: Problem, B: Array) -> float:
    """Return a number below the least level for slopes in [0, beta], usually within a few percent.

    The numerical radius of M = 2 C B is at least the norms of its symmetric and its skew part.
    """
    M = 2.0 * problem.center[:, None] * B
    symmetric = np.linalg.eigvalsh(0.5 * (M + M.T))
    skew = np.linalg.eigvalsh(0.5j * (M - M.T))
    return float(max(abs(symmetric[0]), abs(symmetric[-1]), abs(skew[-1])))


def least_level(problem: Problem, x: Array, guess: float, *, tol: float = 1e-6) -> float | None:
    """Return a level that D = diag(exp(x)) reaches, within about `tol` of the least; None if none.

    `guess` is where the search begins; cyclic reduction decides on which side the least level lies.
    """
    B = problem.scaled(x)
    low, high, step = 0.0, guess, 1e-3
    if not (np.isfinite(B).all() and guess > 0):
        return None
    while factors(problem, B, high) is None:
        low, high, step = high, high * (1.0 + step), 2.0 * step
        if not high < 1e150:
            return None
    while low == 0.0:
        trial, step = high * (1.0 - step), min(2.0 * step, 0.5)
        if trial < 1e-150:
            return high
        if factors(problem, B, trial) is None:
            low = trial
        else:
            high = trial
    while high - low > tol * high:
        middle = 0.5 * (low + high)
        low, high = (low, middle) if factors(problem, B, middle) is not None else (middle, high)
    return high


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """What `theory.rigor.lmi_holds` is asked about."""

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
    square = np.square(W / np.max(np.abs(W), initial=np.finfo(float).tiny))
    np.fill_diagonal(square, 0.0)
    # a floor keeps empty rows and columns, that is reducible matrices, from running away
    square = square + 1e-8 * float(np.mean(square))
    x = np.zeros(len(W))
    if not np.any(square):
        return x
    for _ in range(30):
        B = square * np.exp(2.0 * (x[:, None] - x[None, :]))
        change = 0.25 * (np.log(np.sum(B, axis=0)) - np.log(np.sum(B, axis=1)))
        x = np.clip(x + 0.5 * change, -LARGEST_LOG / 2, LARGEST_LOG / 2)
        if float(np.max(np.abs(change))) < 1e-2:
            break
    return np.asarray(x - np.mean(x))


#: A block of a matrix inequality at P and q, and the gradient of log det from its inverse: with
#: respect to P as a symmetric matrix, and to q.
Block = Callable[[Array, Array], Array]
BlockGradient = Callable[[Array, Array], tuple[Array, Array]]


@np.errstate(over="ignore", invalid="ignore")
def _least_condition(
    P: Array, q: Array, block: Block, gradient: BlockGradient, *, steps: int
) -> tuple[Array, Array]:
    r"""Return P and q with block(P, q) > 0 and nearly least cond(P), from a strict solution.

    For growing t, minimises  t log kappa - log det(P - I) - log det(kappa I - P) - log det(block)
    over P, log q and log kappa; at the end log kappa is within about 4 n / t of its least value.
    """
    n = len(P)
    lower = np.tril_indices(n)
    count = len(lower[0])
    values = np.linalg.eigvalsh(P)
    if not values[0] > 0:
        return P, q
    scale = 1.2 / float(values[0])
    kappa = 1.5 * float(values[-1]) * scale

    def unpack(point: Array) -> tuple[Array, Array, float]:
        X = np.zeros((n, n))
        X[lower] = point[:count]
        X = X + np.tril(X, -1).T
        return X, np.exp(point[count:-1]), math.exp(float(point[-1]))

    def objective(t: float) -> Smooth:
        def function(point: Array) -> tuple[float, Array] | None:
            if not float(np.max(np.abs(point[count:]))) <= 300:
                return None
            X, y, k = unpack(point)
            total, inverses = 0.0, []
            for matrix in (block(X, y), X - np.eye(n), k * np.eye(n) - X):
                L = _cholesky(matrix)
                if L is None:
                    return None
                total -= 2.0 * float(np.sum(np.log(np.diag(L))))
                inverses.append(_solve(L, np.eye(len(L))))
            inner, low, high = inverses
            gP, gq = gradient(inner, y)
            gP = -gP - low + high
            gP = gP + np.tril(gP, -1)  # an entry off the diagonal stands for two
            gk = t - k * float(np.trace(high))
            full = np.concatenate([gP[lower], -gq * y, [gk]])
            return (total + t * math.log(k)) / t, full / t

        return function

    point = np.concatenate([(P * scale)[lower], np.log(q * scale), [math.log(kappa)]])
    # enlarging P, q and kappa together by a factor s changes the four terms by t log s - 4 n log s,
    # so that t must exceed 4 n
    t = 16.0 * n
    while t <= 500.0 * n:
        point = minimise(
            objective(t), point, steps=steps, gradient=0.02 * n / t, gain=1e-3 * n / t, memory=40
        )
        t *= 5.0
    X, y, _ = unpack(point)
    return X, y


def cheaper(problem: Problem, start: Candidate, *, steps: int = 300) -> Candidate:
    """Return a candidate at the same level whose P has nearly the least condition number."""
    n, r = problem.size, start.r
    W, G, S = problem.W, problem.product, problem.alpha + problem.beta

    def block(P: Array, q: Array) -> Array:
        K = np.empty((2 * n, 2 * n))
        K[:n, :n] = r * r * P + 2.0 * W.T @ ((q * G)[:, None] * W)
        K[n:, :n] = -(q * S)[:, None] * W
        K[:n, n:] = K[n:, :n].T
        K[n:, n:] = np.diag(2.0 * q) - P
        return K

    def gradient(inner: Array, q: Array) -> tuple[Array, Array]:  # noqa: ARG001  # linear in q
        by_q = 2.0 * G * np.einsum("ij,ij->i", W @ inner[:n, :n], W)
        by_q -= 2.0 * S * np.einsum("ij,ji->i", W, inner[:n, n:])
        by_q += 2.0 * np.diag(inner[n:, n:])
        return r * r * inner[:n, :n] - inner[n:, n:], by_q

    P, q = _least_condition(start.P, start.q, block, gradient, steps=steps)
    return Candidate(P=P, q=q, r=r)


def cheaper_lyapunov(A: Array, P: Array, r: float, *, steps: int = 300) -> Array:
    """Return a P with A^T P A < r^2 P of nearly least condition number, from one that has it."""

    def block(X: Array, q: Array) -> Array:  # noqa: ARG001  # there are no multipliers
        K = r * r * X - A.T @ X @ A
        return 0.5 * (K + K.T)

    def gradient(inner: Array, q: Array) -> tuple[Array, Array]:
        return r * r * inner - A @ inner @ A.T, np.zeros_like(q)

    return _least_condition(P, np.ones(1), block, gradient, steps=steps)[0]
