r"""The distance from the set of a metric, minimised over the metric.

Main names: `Family`, `GramFamily`, `DiagonalFamily`, `IncrementalFamily`, `best_metric`, `Best`.

The matrices that contract in *some* metric form a union of convex sets, one for each metric.  The
distance from one of them is a function of the metric whose gradient costs nothing more: if X is the
nearest point and Y >= 0 the multiplier of X^T H X <= r^2 P, half the squared distance changes by

    < Y, X^T dH X - r^2 dP > / 2.

It is minimised by limited-memory BFGS; every few steps the coordinates are changed to those in
which P is the identity.  Every metric on the way has its nearest point, a member.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from theory.arithmetic.minimise import minimise
from theory.arithmetic.rounding import scaled_to_one
from theory.projections.metric import (
    LARGEST_COUNT,
    Found,
    MetricSet,
    gram_set,
    incremental_set,
    metric_ball,
)
from theory.typing import Array

#: Relative accuracy of the nearest points during the search.
_COARSE = 1e-4

#: From this dimension on the search leaves aside metrics in which the nearest point takes more than
#: so many steps: they are ill-conditioned, and most of the time would be spent in them.
_LARGE, _STEPS = 17, 100

#: Relative accuracy of the last one.
_FINE = 1e-6

#: The search ends when a round lowers half the squared distance by less than this part.
_SETTLED = 2e-3

#: (Y, X) -> the gradient in the variables.
Pullback = Callable[[Array, Array], Array]


class Family(ABC):
    """Metrics near one of them, by variables that are zero there."""

    @abstractmethod
    def at(self, x: Array) -> tuple[MetricSet, Pullback] | None:
        """Return the set of a metric and the gradient's pullback; None if it is no metric."""

    @abstractmethod
    def size(self) -> int:
        """Return the number of variables."""

    @abstractmethod
    def moved(self, x: Array) -> Family:
        """Return the same metrics by variables that are zero at `x`."""


def largest_condition(n: int) -> float:
    """Return the condition number of P up to which a margin of 2^-10 suffices for the proof.

    The test of A^T P A <= r^2 P shifts by about 6 n^2 u of the largest eigenvalue of P, which must
    be small beside 2 (margin) of the smallest.
    """
    return 2.0**-10 / (12.0 * (n + 4) ** 2 * 2.0**-53)


def _scaled_gram(root: Array) -> tuple[Array, float] | None:
    """Return E^T E scaled to norm 1, and the scale; None if it is too ill-conditioned."""
    P = root.T @ root
    if not np.isfinite(P).all():
        return None
    size = float(np.linalg.norm(P, 2))
    if not 0 < size < np.inf:
        return None
    P = 0.5 * (P + P.T) / size
    values = np.linalg.eigvalsh(P)
    if not values[0] * largest_condition(len(P)) >= values[-1]:
        return None
    return P, size


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class GramFamily(Family):
    """The balls X^T P X <= r^2 P, P = F^T E^T E F with E = I + x."""

    root: Array  # F, (n, n)
    radius: float

    def size(self) -> int:
        """Return n**2."""
        return self.root.size

    def _root(self, x: Array) -> Array:
        n = len(self.root)
        moved: Array = (np.eye(n) + x.reshape(n, n)) @ self.root
        return moved

    def at(self, x: Array) -> tuple[MetricSet, Pullback] | None:
        """Return the ball of P."""
        root = self._root(x)
        found = _scaled_gram(root)
        if found is None:
            return None
        P, size = found

        def pull(Y: Array, X: Array) -> Array:
            by_P = 0.5 * (X @ Y @ X.T - self.radius**2 * Y) / size
            return (2.0 * root @ by_P @ self.root.T).ravel()

        return gram_set(P, self.radius), pull

    def moved(self, x: Array) -> GramFamily:
        """Return the family around another P."""
        root = self._root(x)
        return GramFamily(root=root / float(np.linalg.norm(root, 2)), radius=self.radius)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class DiagonalFamily(Family):
    """The balls X^T P X <= r^2 P, P = diag(exp(2 (log d + x)))."""

    log: Array  # log d, (n,)
    radius: float

    def size(self) -> int:
        """Return n."""
        return self.log.size

    def weights(self, x: Array) -> Array:
        """Return the weights d, the largest 1."""
        d: Array = np.exp(self.log + x - float(np.max(self.log + x)))
        return d

    def at(self, x: Array) -> tuple[MetricSet, Pullback] | None:
        """Return the ball of D."""
        if not float(np.max(np.abs(x))) <= 10.0:
            return None
        d = self.weights(x)
        if not float(np.min(d)) ** 2 * largest_condition(len(d)) >= 1.0:
            return None

        def pull(Y: Array, X: Array) -> Array:
            by_P = 0.5 * (np.sum((X @ Y) * X, axis=1) - self.radius**2 * np.diag(Y))
            return np.asarray(2.0 * by_P * d * d)

        return gram_set(np.diag(d * d), self.radius), pull

    def moved(self, x: Array) -> DiagonalFamily:
        """Return the family around other weights."""
        return DiagonalFamily(log=self.log + x, radius=self.radius)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class IncrementalFamily(Family):
    """The sets of the incremental matrix inequality: P as in `GramFamily`, and log q."""

    root: Array  # F, (n, n), P = F^T F
    q: Array  # q, (n,)
    slopes: tuple[float, float]
    radius: float

    def size(self) -> int:
        """Return n**2 + n."""
        return self.root.size + self.q.size

    def pair(self, x: Array) -> tuple[Array, Array]:
        """Return P and q."""
        n = len(self.q)
        root = (np.eye(n) + x[: n * n].reshape(n, n)) @ self.root
        P = root.T @ root
        return 0.5 * (P + P.T), self.q * np.exp(x[n * n :])

    def at(self, x: Array) -> tuple[MetricSet, Pullback] | None:
        """Return the set of P and q."""
        n = len(self.q)
        if not float(np.max(np.abs(x[n * n :]))) <= 10.0:
            return None
        P, q = self.pair(x)
        root = (np.eye(n) + x[: n * n].reshape(n, n)) @ self.root
        if not np.isfinite(P).all() or _scaled_gram(root) is None:
            return None
        M = 2.0 * np.diag(q) - P
        try:
            np.linalg.cholesky(M)
            where = incremental_set(P, q, self.slopes, self.radius)
        except (ValueError, np.linalg.LinAlgError):
            return None
        s, g = sum(self.slopes), self.slopes[0] * self.slopes[1]
        # K = M^-1 S Q;  dH = S dQ K + K^T S dQ - K^T dM K - 2 G dQ,  dM = 2 dQ - dP
        K = np.linalg.solve(M, np.diag(s * q))

        def pull(Y: Array, X: Array) -> Array:
            V = X @ Y @ X.T
            KV = K @ V
            KVK = KV @ K.T
            by_P = 0.5 * (KVK - self.radius**2 * Y)
            by_q = s * np.diag(KV) - np.diag(KVK) - g * np.diag(V)
            return np.append((2.0 * root @ by_P @ self.root.T).ravel(), by_q * q)

        return where, pull

    def moved(self, x: Array) -> IncrementalFamily:
        """Return the family around another pair."""
        P, q = self.pair(x)
        P, e = scaled_to_one(P)
        return IncrementalFamily(
            root=np.asarray(np.linalg.cholesky(P).T), q=np.ldexp(q, -e), slopes=self.slopes,
            radius=self.radius,
        )  # fmt: skip


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Best:
    """The metric of least distance found, and the nearest point in it."""

    family: Family  # at its zero is the metric
    where: MetricSet
    found: Found
    distance: float
    evaluations: int


def multiplier(found: Found, where: MetricSet) -> Array:
    r"""Return Y of the nearest point, from the normal that the splitting found.

    In the coordinates of the set X0 - X is w s times U diag(k) V^T, and X is r U V^T on the same
    singular vectors, so that Y = R V diag(s k / r) V^T R^T.
    """
    assert found.normal is not None
    U, V = found.normal
    V = where.right @ (V / where.low[:, None])
    k = np.sqrt(np.sum(np.square(U), axis=0))
    Y: Array = (V * (found.scale * k / where.radius)) @ V.T
    return Y


def best_metric(
    W: Array, families: Sequence[Family], *, rounds: int = 8, steps: int = 30
) -> Best | None:
    """Return the metric near which W has the nearest member; None if no family has a metric.

    Parameters
    ----------
    W : (n, n) array
    families
        Where the search may start: from the one that is nearest at its zero.
    rounds, steps
        At most so many changes of coordinates, and steps in each.
    """
    count, most = 0, _STEPS if len(W) >= _LARGE else LARGEST_COUNT
    best: tuple[float, Family, Found] | None = None
    for family in families:
        one = family.at(np.zeros(family.size()))
        if one is None:
            continue
        count += 1
        found = metric_ball(W, one[0], accuracy=_COARSE)
        value = 0.5 * float(np.sum(np.square(found.W - W)))
        if best is None or value < best[0]:
            best = (value, family, found)
    if best is None:
        return None
    value, family, found = best
    for _ in range(rounds):
        if value == 0.0:
            break
        here, start = family, found.W

        def function(
            x: Array, here: Family = here, start: Array = start
        ) -> tuple[float, Array] | None:
            nonlocal count
            count += 1
            one = here.at(x)
            if one is None:
                return None
            near = metric_ball(W, one[0], accuracy=_COARSE, start=start, most=most)
            if len(W) >= _LARGE and near.iterations == most:
                return None
            gap = 0.5 * float(np.sum(np.square(near.W - W)))
            return gap, one[1](multiplier(near, one[0]), near.W)

        zero = np.zeros(here.size())
        x = minimise(function, zero, steps=steps, gradient=1e-9 * value, gain=1e-5 * value)
        moved = here.moved(x)
        one = moved.at(np.zeros(moved.size()))
        if one is None:
            break
        near = metric_ball(W, one[0], accuracy=_COARSE, start=start)
        reached = 0.5 * float(np.sum(np.square(near.W - W)))
        if not reached < value:
            break
        gained, value, family, found = value - reached, reached, moved, near
        if gained < _SETTLED * value:
            break
    last = family.at(np.zeros(family.size()))
    assert last is not None
    found = metric_ball(W, last[0], accuracy=_FINE, start=found.W)
    return Best(
        family=family,
        where=last[0],
        found=found,
        distance=float(np.linalg.norm(found.W - W)),
        evaluations=count,
    )
