r"""Metrics that run backwards along the data: products of steps that no single norm sees.

Main names: `Factor`, `length_after`.

Around a known trajectory the differences of rho(W h + U x + b) obey e_t = S_t W e_{t-1} + d_t with
secants s_i in m_i +- r_i and what rounding adds, d_t.  A metric P of e_t becomes one of e_{t-1}:
for y = W e and v with |v_i| <= r_i |y_i|, S y = diag(m) y + v, and for every diagonal L >= 0

    |S y|_P^2 = (M y + v)^T P (M y + v) <= y^T Q y,

if  [[Q - M P M - L, -M P R], [-R P M, L - R P R]] >= 0  (with v = R w and w^T L w <= y^T L y), and

    |e_t|_P <= |e_{t-1}|_{W^T Q W} + |d_t|_P.

From P = I at the end this bounds the product of all steps at once, where the product of the norms
of the steps is far too large.  L and Q are proposed in doubles; what they prove is decided by
`theory.arithmetic.rigor`, with the rounding of every entry taken from the diagonal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from theory.arithmetic import rigor
from theory.arithmetic.rounding import (
    TINY,
    UNIT,
    gamma,
    product_up,
    sqrt_up,
    up,
)
from theory.norms.norms import L2
from theory.typing import Array

#: L is so many times what makes L - R P R dominant by its diagonal: each is tried.
_SHARES = (1.15, 1.5, 2.5)

#: Q is larger than it need be by this part of its diagonal, which decides the inequality.
_ROOM = 2.0**-30

#: The most steps that are looked back.
_BACK = 24


class Factor(NamedTuple):
    """One step e -> S W e + d, and what was known of e before it."""

    least: Array  # of the secants, (n,)
    largest: Array
    added: Array  # |d| entrywise, (n,)
    apart: Array  # |e| entrywise before the step
    length: float  # |e|_2 before the step


def length_after(W: Array, factors: Sequence[Factor]) -> float:
    """Return an upper bound of the Euclidean length of e after the steps; inf if none is proved."""
    steps = factors[-_BACK:]
    proposals = [_proposed(W, steps, share) for share in _SHARES]
    value, share, back = min(proposals)
    if not math.isfinite(value):
        return math.inf
    return _proved(W, steps[len(steps) - back :], share)


def _parts(one: Factor) -> tuple[Array, Array]:
    """Return m and r of secants in m +- r."""
    m = one.least / 2 + one.largest / 2
    r = np.nextafter(np.maximum(one.largest - m, m - one.least), math.inf)
    return m, r


def _middle(P: Array, m: Array, r: Array, share: float) -> tuple[Array, Array, Array]:
    """Return Q without its room, the diagonal of L, and R P R."""
    RPR = r[:, None] * P * r
    L = share * np.abs(RPR).sum(axis=1)
    # r is not 0, and P has no row of zeros once W has none: TINY keeps what is left invertible
    L = np.maximum(L, np.finfo(np.float64).tiny / UNIT)
    MPR = m[:, None] * P * r
    Q = m[:, None] * P * m + MPR @ np.linalg.solve(np.diag(L) - RPR, MPR.T) + np.diag(L)
    return (Q + Q.T) / 2, L, RPR


def _proposed(W: Array, steps: Sequence[Factor], share: float) -> tuple[float, float, int]:
    """Return the least length that a share of L may prove, the share, and how far it looks back."""
    P, best = np.eye(len(W)), (math.inf, share, 0)
    with np.errstate(all="ignore"):
        for back, one in enumerate(reversed(steps), start=1):
            try:
                Q = _middle(P, *_parts(one), share)[0]
                P = W.T @ Q @ W
                if not np.isfinite(P).all():
                    break
                largest = float(np.linalg.eigvalsh(P)[-1])
            except np.linalg.LinAlgError:
                break
            box = float(one.apart @ np.abs(P) @ one.apart)
            square = min(max(largest, 0.0) * one.length**2, box)
            best = min(best, (math.sqrt(square), share, back))
    return best


def _proved(W: Array, steps: Sequence[Factor], share: float) -> float:
    """Return the length that is proved from before the first of the steps; inf if none is."""
    n = len(W)
    P, added = np.eye(n), 0.0
    for one in reversed(steps):
        added = up(added + _length_in(P, one.added))
        Q = _decided(P, *_parts(one), share)
        if Q is None:
            return math.inf
        size = np.abs(W)
        with np.errstate(over="ignore", invalid="ignore"):
            product = W.T @ Q @ W
            # two products of length n, and the sum of the two triangles
            error = (size.T @ (np.abs(Q) @ size.sum(axis=1))) * gamma(2 * n + 8)
            error = error * (1 + gamma(2 * n + 8)) + 4 * n * n * TINY
            P = (product + product.T) / 2
            P[np.diag_indices(n)] = np.nextafter(np.diag(P) + error, math.inf)
        if not rigor.moderate_size(P):
            return math.inf
    first = steps[0]
    by_length = product_up(sqrt_up(L2().matrix_upper(P)), first.length)
    return up(min(by_length, _length_in(P, first.apart)) + added)


def _decided(P: Array, m: Array, r: Array, share: float) -> Array | None:
    """Return a Q for which the inequality is proved; None if it is not."""
    try:
        Q, L, RPR = _middle(P, m, r, share)
    except np.linalg.LinAlgError:
        return None
    if not np.isfinite(Q).all():
        return None
    Q[np.diag_indices(len(Q))] *= 1 + _ROOM
    MPM, MPR = m[:, None] * P * m, m[:, None] * P * r
    blocks = [[Q - MPM - np.diag(L), -MPR], [-MPR.T, np.diag(L) - RPR]]
    sizes = [
        [np.abs(Q) + np.abs(MPM) + np.diag(L), np.abs(MPR)],
        [np.abs(MPR.T), np.diag(L) + np.abs(RPR)],
    ]
    S, size = np.block(blocks), np.block(sizes)
    # an entry has four roundings at the most, of parts that are together as large as `size`
    lost = size.sum(axis=1) * (8 * UNIT) * (1 + gamma(2 * len(S))) + 8 * len(S) * TINY
    S[np.diag_indices(len(S))] -= lost * (1 + 8 * UNIT) + np.abs(np.diag(S)) * (2 * UNIT)
    diagonal = np.diag(S)
    if not bool(np.all(diagonal > 0)):
        return None
    # powers of two scale the rows and columns exactly
    scale = np.ldexp(1.0, -(np.frexp(diagonal)[1] // 2))
    T = S * scale[:, None] * scale
    T = (T + T.T) / 2 if not np.array_equal(T, T.T) else T
    return Q if rigor.moderate_size(T) and rigor.eigenvalues_at_least(T, 0.0) else None


def _length_in(P: Array, e: Array) -> float:
    """Return an upper bound of |d|_P over |d| <= e entrywise."""
    n = len(e)
    with np.errstate(over="ignore", invalid="ignore"):
        square = float(e @ (np.abs(P) @ e)) * (1 + gamma(2 * n + 8)) + 4 * n * n * TINY
    return sqrt_up(up(square)) if math.isfinite(square) else math.inf
