"""Nearest matrices whose stability can be proved: the path of an interior point method.

Main names: `provably_stable`, `Proved`.

A stable matrix on the boundary with multiple eigenvalues is not provably stable, and stored in
double precision it need not even be stable.  What can be proved are the X with a Lyapunov matrix of
moderate size, P = I + (X / r)^T P (X / r): then X^T P X <= r^2 P, and cond(P) <= tr P.  They are
searched by an interior point method along

    minimise over X  |X - A|^2 / 2 - weight log(log(limit) - log(tr P)),   weight -> 0,

whose gradient costs a second Lyapunov equation (the smoothed spectral radius of J. Vanbiervliet,
B. Vandereycken, W. Michiels, S. Vandewalle and M. Diehl, *The smoothed spectral abscissa for robust
stability optimization*, SIAM Journal on Optimization 20, 2009).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np

from theory.arithmetic.minimise import minimise
from theory.certify.lmi import sum_of_powers
from theory.projections.balls import spectral_ball
from theory.projections.families import GramFamily, best_metric
from theory.projections.metric import Found, gram_set, metric_ball
from theory.projections.nearest_stable import DISTURBED, Stable, nearest_form
from theory.typing import Array

#: The weight of the barrier falls by this factor a step, to this part of the squared distance.
_FALL, _LEAST_WEIGHT = 0.25, 1e-3

#: The test of P needs less than the worst case of `largest_condition`: the trace of P is mostly one
#: eigenvalue.
WIDER = 8.0

#: The weight at which the path ends even where the distance vanishes, in units of the radius.
_NO_WEIGHT = 2.0**-80

#: Most steps of the search with one weight.
_BARRIER_STEPS = 200

#: A descent over metrics follows where their nearest points cost at most so many steps.
_CHEAP = 150


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
        noise *= DISTURBED * radius / float(np.linalg.norm(noise, 2))
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
        X = near.Q @ nearest_form(T, radius / (1.0 + margin)) @ near.Q.T
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
