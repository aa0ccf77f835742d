r"""Nearest Schur-stable matrices: all eigenvalues in the disk |z| <= r.

Main names: `nearest_stable`, `provably_stable`, `stable_pairs`, `schur`, `schur_lower`,
`trace_lower`, `pairs_lower`.

The set is closed but not convex, and has no smooth boundary.  Every real matrix is Q T Q^T with T
block upper triangular (real Schur form), so the nearest stable matrix is found from

    minimise over orthogonal Q  the distance of Q^T A Q from block upper triangular matrices whose
    2 x 2 diagonal blocks are stable,

and the inner distance is a sum of squares: what is below the diagonal blocks, and the distances of
the blocks, which have a closed form (V. Noferini and F. Poloni, *Nearest Omega-stable matrix via
Riemannian optimization*, Numerische Mathematik 148, 2021).  The outer problem is solved by
limited-memory BFGS on the orthogonal group from several starts; it has local minima.

A stable matrix on the boundary with multiple eigenvalues is not provably stable.  From there the
Lyapunov matrix P is optimised too, over the distance of A from {X : X^T P X <= r^2 P}; this is the
parametrisation X = S^-1 B S, ||B||_2 <= r, P = S^T S of N. Gillis, M. Karow and P. Sharma
(*Approximating the nearest stable discrete-time system*, Linear Algebra and its Applications 573,
2019), with the inner problem in B solved exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from scipy.linalg import schur as real_schur
from scipy.linalg import solve_discrete_lyapunov

from theory.certificates import Contraction
from theory.maps.base import Affine, Map
from theory.norms import L2, WeightedL2
from theory.projections.base import Projection, Request, answer, settle
from theory.projections.families import Best, GramFamily, best_metric
from theory.projections.metric import gram_set, metric_ball
from theory.projections.repair import length_upper
from theory.rounding import down, gamma, sum_up, up
from theory.search import lyapunov_at
from theory.theorems.contractive_of_matrix_norm import contractive_of_matrix_norm
from theory.typing import Array

#: The search ends when the norm of the gradient is at most this part of |A|^2.
_GRADIENT = 1e-9

#: Or when ten steps together gained less than this part of the value.
_GAIN = 1e-9

#: Differences that the search remembers.
_MEMORY = 40


def stable_pairs(M: Array, radius: float) -> Array:
    """Return the nearest 2 x 2 matrices whose eigenvalues are at most the radius; M is (k, 2, 2).

    Examples
    --------
    >>> stable_pairs(np.array([[[2.0, 0.0], [0.0, 0.5]]]), 1.0).round(12).tolist()
    [[[1.0, 0.0], [0.0, 0.5]]]
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
    for count in range(1, steps + 1):  # noqa: B007
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


def nearest_stable(
    A: Array,
    radius: float,
    *,
    starts: int = 4,
    rng: np.random.Generator | None = None,
    steps: int = 3000,
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

    Returns
    -------
    Stable
    """
    n = len(A)
    source = np.random.default_rng(0) if rng is None else rng
    e = math.frexp(float(np.max(np.abs(A), initial=0.0)))[1]
    B, r = np.ldexp(A, -e), math.ldexp(radius, -e)
    first = np.asarray(real_schur(B, output="real")[1])
    best: Stable | None = None
    for i in range(max(starts, 1)):
        if i == 0:
            Q = first
        elif i == 1:
            Q = np.eye(n)
        else:
            Q = np.linalg.qr(source.standard_normal((n, n)))[0]
        found = _descend(B, r, Q, steps)
        if best is None or found.distance < best.distance:
            best = found
    assert best is not None
    return replace(best, S=np.ldexp(best.S, e), distance=math.ldexp(best.distance, e))


def trace_lower(A: Array, radius: float) -> float:
    r"""Return a lower bound of the distance of A from the matrices with |eigenvalues| <= radius.

    |tr X| <= n r for a member X, and |tr A - tr X| = |<I, A - X>| <= sqrt(n) |A - X|.
    """
    n = len(A)
    entries = np.diag(A).tolist()
    trace = abs(math.fsum(entries))
    excess = down(down(trace) - up(n * radius))
    return max(0.0, down(excess / up(math.sqrt(n)))) if excess > 0 else 0.0


def pairs_lower(A: Array, radius: float) -> float:
    r"""Return a lower bound of the distance from matrices with stable principal 2 x 2 submatrices.

    Disjoint pairs of indices have disjoint entries, so squared distances add up; pairs are taken
    greedily.  A distance is computed from its closed form to a relative 2^-40 of the block's size:
    80 bisections and some ten operations, each well-conditioned relative to that size.
    """
    n = len(A)
    if n < 2:
        return max(0.0, down(abs(float(A[0, 0])) - radius))
    i, j = np.triu_indices(n, 1)
    blocks = np.stack([A[i, i], A[i, j], A[j, i], A[j, j]], axis=-1).reshape(-1, 2, 2)
    moved = np.sqrt(np.sum(np.square(blocks - stable_pairs(blocks, radius)), axis=(1, 2)))
    sizes = np.sqrt(np.sum(np.square(blocks), axis=(1, 2))) + radius
    distances = np.maximum(moved - 2.0**-40 * sizes, 0.0)
    free = np.ones(n, dtype=bool)
    total = 0.0
    for k in np.argsort(-distances, kind="stable"):
        if distances[k] <= 0:
            break
        if free[i[k]] and free[j[k]]:
            free[i[k]] = free[j[k]] = False
            total += float(distances[k]) ** 2
    alone = np.maximum(np.abs(np.diag(A)[free]) - radius, 0.0) * (1 - 2.0**-50)
    total += float(np.sum(np.square(alone)))
    return max(0.0, math.sqrt(total) * (1 - 4 * gamma(n + 8)))


def _lyapunov_root(X: Array, level: float) -> Array | None:
    """Return a root of P with X^T P X = level^2 (P - I); None if P is unusable."""
    import warnings

    try:
        with warnings.catch_warnings():
            # eigenvalues whose product is 1 have no solution; what comes out is not trusted
            warnings.simplefilter("ignore")
            P = np.asarray(solve_discrete_lyapunov((X / level).T, np.eye(len(X))))
        if not np.isfinite(P).all():
            return None
        P = 0.5 * (P + P.T)
        root = np.asarray(np.linalg.cholesky(P / float(np.max(np.abs(P)))).T)
    except (np.linalg.LinAlgError, ValueError):
        return None
    return root


def provably_stable(A: Array, radius: float, near: Array) -> Best:
    """Return a metric in which A has a near contraction by the radius, from a stable matrix `near`.

    The search over metrics starts from the best of the identity and of the Lyapunov matrices of A
    and of `near` at several levels.
    """
    families = [GramFamily(root=np.eye(len(A)), radius=radius)]
    for X in (A, near):
        top = max(float(np.max(np.abs(np.linalg.eigvals(X)))), radius * 2.0**-20)
        for margin in (1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0, 3.0):
            root = _lyapunov_root(X, top * (1.0 + margin))
            if root is not None:
                families.append(GramFamily(root=root, radius=radius))
    best = best_metric(A, families)
    assert best is not None  # the identity is a metric
    return best


def schur(recurrent: Map, request: Request) -> Projection:
    """Project a linear map onto spectral radius <= rate, with a Lyapunov norm as the proof.

    The nearest stable matrix lies on the boundary and tends to have multiple eigenvalues there, so
    that none or only an enormous constant proves it stable.  What is returned is the nearest matrix
    found among those that a norm of moderate condition number proves to contract at the rate; the
    distance of the unproved one is among the residuals.
    """
    from theory.projections.affine import form_of, parameter_of, radius_of

    form = form_of(recurrent, request.onto)
    if form.rho.slope[0] != form.rho.slope[1]:
        raise ValueError(
            f"onto='schur' is about linear maps, received {recurrent!r}: the spectral radius says "
            "nothing about a nonlinear map; take onto='lmi', 'diagonal' or 'spectral'"
        )
    if request.method == "cvxpy":
        raise ValueError(
            "onto='schur' is not a convex problem, so method='cvxpy' does not apply; take "
            "method='auto', or onto='spectral' for a convex inner approximation"
        )
    A, n = form.W, len(form.W)
    radius = radius_of(form, request.rate)
    c = _lyapunov_contraction(form, request.rate)
    if c is not None and np.array_equal(request.cast(A), A):
        return answer(recurrent, {}, certificate=c, lower=0.0, method="member")
    e = math.frexp(float(np.max(np.abs(A))))[1]
    B, r = np.ldexp(A, -e), math.ldexp(radius, -e)
    free = nearest_stable(B, r, starts=request.starts, rng=request.rng)
    with np.errstate(over="ignore", invalid="ignore"):
        provable = provably_stable(B, r, free.matrix)
    P = provable.where.P
    norm = WeightedL2(P)

    def certify(arrays: tuple[Array, ...]) -> Contraction | None:
        return contractive_of_matrix_norm(arrays[0], form.rho, norm)

    def point(margin: float) -> tuple[Array, ...]:
        where = gram_set(P, r * (1.0 - margin))
        found = metric_ball(B, where, accuracy=1e-5, start=provable.found.W * (1.0 - margin))
        return (np.ldexp(found.W, e),)

    values = np.linalg.eigvalsh(P)
    condition = float(values[-1] / values[0])
    first = 16.0 * (n + 4) ** 2 * 2.0**-53 * condition
    first = max(first, math.sqrt(condition) * 2.0**-22) if request.single else first
    settled = settle(request, (A,), point, certify, min(first, 0.25))
    if settled is None:
        raise ArithmeticError(
            f"no matrix near the given one could be proved stable at {request.rate!r}; take "
            "onto='spectral'"
        )
    (new,), certificate, margin = settled
    return answer(
        recurrent,
        {parameter_of(recurrent, A): new},
        certificate=certificate,
        lower=schur_lower(A, radius),
        method="orthogonal factor of a real Schur form, then the nearest Lyapunov ball",
        iterations=free.iterations + provable.evaluations,
        residuals={
            "margin": margin,
            "gradient": free.gradient,
            "distance of a stable matrix without proof": math.ldexp(free.distance, e),
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

    The larger of `trace_lower` and of what the second moment gives: |tr X^2| <= n r^2, and with
    X = A - E, |tr A^2 - tr X^2| <= 2 |A| |E| + |E|^2, so that
    |E| >= sqrt(|A|^2 + |tr A^2| - n r^2) - |A|.
    """
    n = len(A)
    size = length_upper(A)
    terms = A * A.T
    second = abs(float(np.sum(terms))) - 2 * gamma(n * n + 2) * sum_up(np.abs(terms).ravel())
    excess = down(second - up(n * up(radius * radius) * (1 + 2.0**-50)))
    if excess <= 0 or not math.isfinite(size):
        return trace_lower(A, radius)
    # sqrt(s^2 + e) - s = e / (sqrt(s^2 + e) + s)
    bound = excess / (math.sqrt(size * size + excess) + size) * (1 - 2.0**-48)
    return max(trace_lower(A, radius), bound)
