"""Candidates at the same level whose norm is cheap to convert: nearly the least condition number.

Main names: `cheaper`, `cheaper_lyapunov`.

Nothing here is trusted; what it returns passes a criterion before it is called certified.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from theory.arithmetic.minimise import Smooth, minimise
from theory.certify.lmi import Candidate, Problem, cholesky, solve
from theory.typing import Array

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
                L = cholesky(matrix)
                if L is None:
                    return None
                total -= 2.0 * float(np.sum(np.log(np.diag(L))))
                inverses.append(solve(L, np.eye(len(L))))
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
