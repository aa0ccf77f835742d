r"""Nearest points of the matrices that contract in a given metric.

Main names: `MetricSet`, `gram_set`, `incremental_set`, `metric_ball`, `clip_in_metric`, `Found`.

For fixed Gram matrices every such set reads {W : W^T H W <= r^2 P}, or ||L W R||_2 <= r with
L^T L = H and R R^T = P^-1:

- the spectral ball, H = P = I, and its weighted forms, H = P;
- the incremental matrix inequality with slopes in [alpha, beta], S = diag(alpha + beta),
  G = diag(alpha beta), for which the Schur complement gives H = Q S (2 Q - P)^-1 S Q - 2 Q G.
  H is positive semidefinite: with D = Q^1/2 and X = D^-1 P D^-1 < 2 I it is
  D (S (2 I - X)^-1 S - 2 G) D >= D (S^2 / 2 - 2 G) D = D diag((alpha - beta)^2 / 2) D.

In coordinates in which H and P are diagonal, an orthogonal change that keeps lengths and norms, the
nearest point solves

    minimise  sum_ij (X_ij - X0_ij)^2 / w_ij   subject to  ||X||_2 <= r,   w_ij = H_i / P_j.

If all w are equal it is X0 with clipped singular values; else clipping is a retraction onto the set
(`clip_in_metric`: nearest in the metric's own geometry, not in the Frobenius norm) and the nearest
point is the limit of a splitting iteration (`metric_ball`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import numpy as np

from theory.arithmetic.rounding import gamma, up
from theory.arithmetic.sums import length_upper
from theory.projections.repair import half_space_distance
from theory.typing import Array

#: The splitting iteration ends when distance and lower bound agree to this, relatively.
ACCURACY = 1e-6

#: And at the latest after so many steps.
LARGEST_COUNT = 400

#: Differences that the extrapolation remembers.
_MEMORY = 5


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Term:
    """A part of H = sum F^T M^-1 F; F and M are those of the set up to 4 u of each entry."""

    F: Array  # F, (n, n)
    M: Array  # M, (n, n), positive definite


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class MetricSet:
    r"""The set {W : W^T H W <= r^2 P}, in the coordinates in which H and P are diagonal."""

    radius: float  # r
    left: Array  # eigenvectors of H, (n, n)
    right: Array  # eigenvectors of P, (n, n)
    high: Array  # square roots of the eigenvalues of H, (n,)
    low: Array  # square roots of the eigenvalues of P, (n,)
    P: Array  # P, (n, n)
    terms: tuple[Term, ...]  # H = sum F^T M^-1 F; empty if no such form is known

    def inward(self, W: Array) -> Array:
        """Return X = L W R in those coordinates."""
        return (self.left.T @ W @ self.right) * (self.high[:, None] / self.low[None, :])

    def outward(self, X: Array) -> Array:
        """Return W from X."""
        return np.asarray(self.left @ (X * (self.low[None, :] / self.high[:, None])) @ self.right.T)


def gram_set(P: Array, radius: float) -> MetricSet:
    """Return {W : W^T P W <= radius^2 P}: ||W|| <= radius in the norm of P.

    Raises
    ------
    ValueError
        If P is not positive definite to rounding.
    """
    values, vectors = _eigen(P)
    root = np.sqrt(values)
    return MetricSet(
        radius=radius, left=vectors, right=vectors, high=root, low=root, P=P,
        terms=(Term(F=P, M=P),),
    )  # fmt: skip


def incremental_set(P: Array, q: Array, slopes: tuple[float, float], radius: float) -> MetricSet:
    """Return the matrices that satisfy the incremental matrix inequality for P, q at a rate.

    Raises
    ------
    ValueError
        If P or 2 diag(q) - P is not positive definite to rounding, or all slopes are equal.
    """
    alpha, beta = slopes
    if alpha == beta:
        raise ValueError(f"slopes [{alpha!r}, {beta!r}] of a linear map, needed an interval")
    s, g = alpha + beta, alpha * beta
    M = np.diag(2.0 * q) - P
    H = np.zeros_like(P)
    terms = []
    if s != 0:
        F = np.diag(s * q)
        H += F @ np.linalg.solve(M, F)
        terms.append(Term(F=F, M=M))
    H = 0.5 * (H + H.T) - np.diag(2.0 * g * q)
    if g < 0:
        D = np.diag(2.0 * abs(g) * q)
        terms.append(Term(F=D, M=D))
    _eigen(M)
    high, left = _eigen(H)
    low, right = _eigen(P)
    return MetricSet(
        radius=radius, left=left, right=right, high=np.sqrt(high), low=np.sqrt(low), P=P,
        # for positive slopes H is a difference, and no half space is known without rounding
        terms=tuple(terms) if g <= 0 else (),
    )  # fmt: skip


def _eigen(S: Array) -> tuple[Array, Array]:
    values, vectors = np.linalg.eigh(S)
    if not values[0] > 2.0**-50 * values[-1]:
        raise ValueError(
            f"a Gram matrix has eigenvalues from {values[0]:.3g} to {values[-1]:.3g}, needed it "
            "positive definite; add a multiple of the identity"
        )
    return np.asarray(values), np.asarray(vectors)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """The nearest point of a set, as far as it was computed."""

    W: Array  # the point
    lower: float  # lower bound of the distance from the set, proved
    iterations: int
    residual: float  # relative change in the last step
    #: the normal at X as a product A B^T in the coordinates of the set
    normal: tuple[Array, Array] | None = None
    scale: float = 1.0  # X0 - X is this times the normal, divided by w entrywise


def _clip(Z: Array, radius: float) -> tuple[Array, Array, Array]:
    """Return Z with clipped singular values, and A, B with Z minus that = A B^T."""
    values, vectors = np.linalg.eigh(Z.T @ Z)
    top = math.sqrt(max(float(values[-1]), 0.0))
    if top <= 1024.0 * radius:
        s = np.sqrt(np.maximum(values, 0.0))
        active = s > radius
        B = vectors[:, active]
        A = (Z @ B) * (1.0 - radius / s[active])
        return Z - A @ B.T, A, B
    left, s, right = np.linalg.svd(Z, full_matrices=False)
    active = s > radius
    A, B = left[:, active] * (s[active] - radius), right[active].T
    return (left * np.minimum(s, radius)) @ right, A, B


def clip_in_metric(W: Array, where: MetricSet) -> Array:
    """Return W with the singular values of L W R clipped: a retraction onto the set.

    It is the nearest point in ||L W R||_F.  In the Frobenius norm it is so only if H and P are
    multiples of the identity.
    """
    return where.outward(_clip(where.inward(W), where.radius)[0])


def metric_ball(
    W: Array,
    where: MetricSet,
    *,
    accuracy: float = ACCURACY,
    start: Array | None = None,
    most: int = LARGEST_COUNT,
) -> Found:
    r"""Return the nearest point in the Frobenius norm.

    Splitting (Douglas and Rachford): with C = clip(Z), reflect V = 2 C - Z, and let X minimise
    sum (X - X0)^2 / (2 w) + s |X - V|^2 / 2, then Z <- Z + X - C; s = (min w max w)^(-1/2).
    Extrapolated over the last few differences (Anderson), which the plain step replaces wherever
    the residual has grown.  C is in the set at every step, and Z - C is a normal of the set at C,
    which gives a half space and with it a lower bound of the distance.

    Parameters
    ----------
    W : (n, n) array
    where : MetricSet
    accuracy : float
        Distance and lower bound agree to this, relatively, unless `most` ends it.
    start : (n, n) array, optional
        A point whose distance is known to be near the least one.
    most : int
        The splitting ends after so many steps.

    Returns
    -------
    Found
    """
    X0 = where.inward(W)
    w = np.square(where.high[:, None] / where.low[None, :])
    s = 1.0 / math.sqrt(float(np.min(w)) * float(np.max(w)))
    equal = float(np.max(w)) <= float(np.min(w)) * (1.0 + 1e-12)
    Z = X0 if start is None else where.inward(start)
    share = 1.0 / (1.0 + s * w)
    points: list[Array] = []
    steps: list[Array] = []
    C, A, B = _clip(Z, where.radius)
    before, residual = math.inf, math.inf
    count = 0
    while True:
        count += 1
        X = share * X0 + (1.0 - share) * (2.0 * C - Z)
        step = X - C
        size = float(np.linalg.norm(step))
        residual = size / max(float(np.linalg.norm(C)), 1e-300)
        distance = math.sqrt(float(np.sum(np.square(C - X0) / w)))
        lower = _dual_value(X0, w, C, A, B)
        if equal or distance - lower <= accuracy * distance or count >= most:
            break
        points.append((Z + step).ravel())
        steps.append(step.ravel())
        if size > 1.5 * before:
            points, steps = points[-1:], steps[-1:]
        before = size
        if len(steps) > _MEMORY + 1:
            points.pop(0)
            steps.pop(0)
        Z = Z + step
        if len(steps) > 1:
            changes = np.stack([b - a for a, b in pairwise(steps)])
            gram = changes @ changes.T
            gram += 1e-13 * float(np.trace(gram)) * np.eye(len(gram))
            mix = np.linalg.lstsq(gram, changes @ steps[-1], rcond=None)[0]
            moves = np.stack([b - a for a, b in pairwise(points)])
            Z = (points[-1] - mix @ moves).reshape(Z.shape)
        C, A, B = _clip(Z, where.radius)
    point = where.outward(C)
    achieved = length_upper(point - W)
    return Found(
        W=point,
        lower=_half_space(W, where, A, B, achieved),
        iterations=count,
        residual=residual,
        normal=(A, B),
        scale=s,
    )


def _dual_value(X0: Array, w: Array, C: Array, A: Array, B: Array) -> float:
    """Return the distance of X0 from the half space with normal A B^T at C; not rigorous."""
    if A.shape[1] == 0:
        return 0.0
    Y = A @ B.T
    length = math.sqrt(float(np.sum(w * np.square(Y))))
    return max(0.0, float(np.sum(Y * (X0 - C)))) / length if length > 0 else 0.0


def _half_space(W: Array, where: MetricSet, A: Array, B: Array, achieved: float) -> float:
    r"""Return a proved lower bound of the distance of W from the set, from a normal A B^T.

    With a = L^-1 A and b = R B the normal of the set in W is H a b^T, and H a = sum F^T a_t with
    a_t = M_t^-1 F_t a.  For *any* columns a_t, b, a member W obeys

        sum_t a_t^T F_t W b <= (sum_t a_t^T M_t a_t)^(1/2) (b^T W^T H W b)^(1/2)
                            <= r (sum_t a_t^T M_t a_t)^(1/2) (b^T P b)^(1/2),

    so that no error in the a_t matters, only that of forming the normal N: the nearest point is at
    most `achieved` away, hence at most |W| + achieved long.
    """
    if not where.terms or A.shape[1] == 0:
        return 0.0
    n = len(W)
    a = where.left @ (A / where.high[:, None])
    b = where.right @ (B / where.low[:, None])
    N, size = np.zeros_like(W), np.zeros_like(W)
    quadratic: Array = np.zeros(a.shape[1])
    slack = gamma(6 * n + 16)
    for term in where.terms:
        a_t = np.asarray(np.linalg.solve(term.M, term.F @ a), dtype=np.float64)
        N += (term.F.T @ a_t) @ b.T
        size += (np.abs(term.F.T) @ np.abs(a_t)) @ np.abs(b).T
        quadratic += _forms_upper(term.M, a_t, slack)
    support = float(np.sum(np.sqrt(quadratic * _forms_upper(where.P, b, slack)))) * where.radius
    error = length_upper(slack * size)
    support = up(support * (1 + 2 * slack)) + up(error * up(length_upper(W) + achieved))
    return half_space_distance(W, N, up(support))


def _forms_upper(M: Array, a: Array, slack: float) -> Array:
    """Return upper bounds of a_k^T M a_k for the columns of a."""
    value = np.sum(a * (M @ a), axis=0)
    magnitude = np.sum(np.abs(a) * (np.abs(M) @ np.abs(a)), axis=0)
    forms: Array = np.maximum(value, 0.0) + slack * magnitude
    return forms
