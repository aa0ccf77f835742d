r"""Nearest Schur-stable matrices against published methods, in one table.

Run ``OPENBLAS_NUM_THREADS=1 python tests/benchmarks/bench_schur.py 10 20 50``; nothing here passes
or fails.  It needs the extras ``bench`` (pymanopt) and ``test`` (python-flint).

Every method answers three questions, and only answers to the same one are compared:

- found: the distance in exact arithmetic of what it found, on the border of the set;
- member: the distance of a matrix of doubles next to it whose eigenvalues, computed with 600 bits,
  are in the disk; before it stands by how much the found matrix, as stored, was outside;
- proved: the distance with a proof, from the same search for a Lyapunov matrix started from it; of
  `theory.projections.project`, what it returns.

A norm that proves X^t to shrink like r^t has sqrt(cond) >= max |X^t| / r^t.  At n = 50 that is 1e10
to 1e13 for the members next to what is found for the triangular, symmetric, orthogonal and Grcar
matrices, which no norm stored in double precision can prove: there "proved" stays above "member".
"""

import argparse
import math
import time

import numpy as np

from theory import LinearMap
from theory.certify import lmi
from theory.projections import project, spectral_ball
from theory.projections.families import largest_condition
from theory.projections.lyapunov_path import WIDER, provably_stable
from theory.projections.metric import gram_set, metric_ball
from theory.projections.nearest_stable import Stable, nearest_form, nearest_stable, schur_factor

RATE = 0.95


def systems(n):
    rng = np.random.default_rng(n)
    eye = np.eye(n)
    G = rng.standard_normal((n, n))
    yield "gaussian", G * (1.3 / radius(G))
    yield "uniform", rng.uniform(0, 1, (n, n)) * (2.0 / n)
    yield "triangular", np.triu(rng.standard_normal((n, n))) / 2
    yield "symmetric", 1.5 * (G + G.T) / np.linalg.norm(G + G.T, 2)
    yield "orthogonal", 1.2 * np.linalg.qr(G)[0]
    yield "grcar", (eye + np.eye(n, k=1) + np.eye(n, k=2) - np.eye(n, k=-1)) / 2
    S = rng.standard_normal((n, n)) * (rng.uniform(size=(n, n)) < 0.2)
    yield "sparse", S * (1.5 / radius(S))
    yield "large", rng.standard_normal((n, n))
    E = rng.uniform(0, 1, (n, n))
    yield "stochastic", 1.3 * E / E.sum(axis=1, keepdims=True) + 0.5 * eye
    yield "jordan", 1.1 * eye + np.eye(n, k=1)
    yield "convection", 0.62 * eye + 0.704 * np.eye(n, k=-1) + 0.176 * np.eye(n, k=1)
    yield "kahan", 1.25 * 0.6 ** np.arange(n)[:, None] * (eye - 0.8 * np.triu(np.ones((n, n)), 1))


def radius(X, bits=0):
    """Return the spectral radius, computed with that many bits."""
    if not bits:
        return float(np.max(np.abs(np.linalg.eigvals(X))))
    import flint

    before, flint.ctx.prec = flint.ctx.prec, bits
    try:
        M = flint.acb_mat(len(X), len(X), [flint.acb(x) for x in X.ravel().tolist()])
        return max(float(abs(z).mid()) for z in M.eig(algorithm="approx", maxiter=5000))
    finally:
        flint.ctx.prec = before


# ------------------------------------------------------------------------------- other methods


def fast_gradient(A, r, seconds, S):
    """Return what N. Gillis, M. Karow and P. Sharma's method finds.

    X = S^-1 B S with ||B||_2 <= r; gradient steps on S and B with extrapolation and restarts.
    """

    def value(S, B):
        inverse = np.linalg.inv(S)
        X = inverse @ B @ S
        return X - A, inverse, X

    def clip(B):
        left, s, right = np.linalg.svd(B)
        return (left * np.minimum(s, r)) @ right

    B = clip(S @ A @ np.linalg.inv(S))
    f = 0.5 * np.sum(value(S, B)[0] ** 2)
    step, ends = 1e-2, time.process_time() + seconds
    S_y, B_y, t = S, B, 1.0
    while time.process_time() < ends and step > 1e-14:
        R, inverse, X = value(S_y, B_y)
        K = inverse.T @ R
        S_new = S_y - step * (K @ -X.T + B_y.T @ K)
        B_new = clip(B_y - step * (K @ S_y.T))
        new = 0.5 * np.sum(value(S_new, B_new)[0] ** 2)
        if not new < f:
            if t > 1.0:
                S_y, B_y, t = S, B, 1.0
            else:
                step *= 0.5
            continue
        after = 0.5 * (1 + np.sqrt(1 + 4 * t * t))
        S_y, B_y = (N + (t - 1) / after * (N - M) for N, M in ((S_new, S), (B_new, B)))
        S, B, f, t, step = S_new, B_new, new, after, step * 1.1
    return value(S, B)[2]


def gradient_starts(A):
    """Yield S = I, and roots of the Lyapunov matrices of A, as the method's authors start."""
    yield np.eye(len(A))
    for margin in (0.03, 0.3):
        P = lyapunov(A, radius(A) * (1 + margin))
        try:
            root = np.linalg.cholesky(P / np.max(P)).T
        except np.linalg.LinAlgError:
            continue
        if np.linalg.cond(root) < 1e6:
            yield root
            return


def lyapunov(A, level):
    return lmi.sum_of_powers((A / level).T, np.eye(len(A)))


def orthogonal_group(A, r, seconds, Q):
    """Return the Q that pymanopt's conjugate gradients find.

    The objective is V. Noferini and F. Poloni's, with the 2 x 2 blocks in closed form.
    """
    import pymanopt
    from pymanopt.manifolds import SpecialOrthogonalGroup
    from pymanopt.optimizers import ConjugateGradient

    manifold = SpecialOrthogonalGroup(len(A))

    def rest(Q):
        T = Q.T @ A @ Q
        return T - nearest_form(T, r)

    @pymanopt.function.numpy(manifold)
    def cost(Q):
        return 0.5 * float(np.sum(rest(Q) ** 2))

    @pymanopt.function.numpy(manifold)
    def gradient(Q):
        R = rest(Q)
        return A @ Q @ R.T + A.T @ Q @ R

    problem = pymanopt.Problem(manifold, cost, euclidean_gradient=gradient)
    ends = time.time() + seconds
    value = math.inf
    # it may end early at a step of length zero, from where it is started again
    while (left := ends - time.time()) > 0 and cost(Q) < value:
        value = cost(Q)
        solver = ConjugateGradient(
            max_time=left, max_iterations=10**6, min_gradient_norm=1e-9, verbosity=0
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            Q = solver.run(problem, initial_point=Q).point
    return Q


def lyapunov_ball(A, r):
    """Return the nearest point of the ball of a Lyapunov matrix of A, the best of some."""
    found = []
    for margin in (1e-2, 3e-2, 0.1, 0.3):
        try:
            found.append(metric_ball(A, gram_set(lyapunov(A, radius(A) * (1 + margin)), r)).W)
        except ValueError:
            continue
    return nearest(A, found) if found else np.full_like(A, np.nan)


# ------------------------------------------------------------------------------- the table


def nearest(A, points):
    return min(points, key=lambda X: np.linalg.norm(X - A))


def member(A, r, X, Q=None):
    """Return by how much X, as stored, is outside, and the distance of a member next to it.

    It comes from the same factor Q with a smaller radius, or is a multiple of X.
    """
    outside, margin = radius(X, 600) - r, 0.0
    near, reached = X, outside
    while reached > 0:
        margin = max(4 * margin, 1e-5)
        if margin > 0.9:
            return outside, math.nan
        if Q is None:
            near = X * (1 - margin)
        else:
            near = Q @ nearest_form(Q.T @ A @ Q, r * (1 - margin)) @ Q.T
        reached = radius(near, 600) - r
    return outside, float(np.linalg.norm(near - A))


def proved(A, r, X):
    if not np.isfinite(X).all():
        return math.nan
    Q = schur_factor(X)
    S = nearest_form(Q.T @ X @ Q, r)
    near = Stable(Q=Q, S=S, distance=0.0, iterations=0, gradient=0.0)
    return provably_stable(A, r, WIDER * largest_condition(len(A)), near=near).distance


def table(n, seconds, chosen):
    print(f"\nn = {n}, radius {RATE}, at most {seconds} s of each other method and start\n")
    print("| matrix | method | found | outside | member | proved | sqrt cond | s |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for name, A in systems(n):
        if chosen and name not in chosen:
            continue
        size = float(np.max(np.abs(A)))
        A, r = A / size, RATE / size

        def row(method, X, took, Q=None, value=None, root="", A=A, r=r, size=size, name=name):
            outside, distance = member(A, r, X, Q) if np.isfinite(X).all() else (math.nan, math.nan)
            value = proved(A, r, X) * size if value is None else value
            print(f"| {name} | {method} | {np.linalg.norm(X - A) * size:.5f} | "
                  f"{outside * size:.0e} | {distance * size:.5f} | {value:.5f} | {root} | "
                  f"{took:.1f} |", flush=True)  # fmt: skip

        began = time.process_time()
        found = project(LinearMap(A * size, np.eye(n)), onto="schur", rate=RATE)
        took = time.process_time() - began
        W = found.map.W / size
        began = time.process_time()
        free = nearest_stable(A, r, near=(W,), starts=3)
        root = getattr(found.certificate.norm, "condition_upper", 1.0)
        row("project", W, took, value=found.distance, root=f"{root:.0e}")
        row("ours, no proof", free.matrix, time.process_time() - began, free.Q, found.distance)

        began = time.process_time()
        factors = [orthogonal_group(A, r, seconds, Q) for Q in (schur_factor(A), np.eye(n))]
        pairs = [(Q @ nearest_form(Q.T @ A @ Q, r) @ Q.T, Q) for Q in factors]
        X, Q = min(pairs, key=lambda pair: np.linalg.norm(pair[0] - A))
        row("orthogonal group", X, time.process_time() - began, Q)

        began = time.process_time()
        X = nearest(A, [fast_gradient(A, r, seconds, S) for S in gradient_starts(A)])
        row("fast gradient", X, time.process_time() - began)

        began = time.process_time()
        X = lyapunov_ball(A, r)
        row("Lyapunov ball", X, time.process_time() - began)
        X = np.asarray(spectral_ball(A, r))
        row("spectral ball", X, 0.0, value=float(np.linalg.norm(X - A)) * size)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", type=int, nargs="*", default=[10, 20, 50])
    parser.add_argument("--seconds", type=float, default=10.0, help="of each method and start")
    parser.add_argument("--only", nargs="*", default=[], help="names of matrices")
    chosen = parser.parse_args()
    for n in chosen.sizes:
        table(n, chosen.seconds, chosen.only)


if __name__ == "__main__":
    main()
