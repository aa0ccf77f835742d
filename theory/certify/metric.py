r"""Search for a full Gram matrix and multipliers of a map's sectors; it returns a candidate.

Main names: `by_metric`, `find`, `System`.

A step's difference is a feedback of terms |w_k| <= |y_k| around a linear system,

    d+ = A d + B w,        y = C d + D w,        G(zeta) = D + C (zeta I - A)^-1 B,

and multipliers q prove a rate lam in some norm iff M = diag(q) - G* diag(q) G is positive on the
circle of radius lam (the bounded real lemma; Doyle, Packard and Zhou, 1991).  The norm is then the
smallest solution P of a Riccati equation.  Minimised over log q, at a lam a little above the
least of the last q, is the logarithm of the mean of tr(diag(q) M^-1) over the circle, which is
convex, tends to infinity where M touches singularity, and has an exact gradient; lam follows
downward (the method of centres).  A Riccati equation is solved by doubling (Chu, Fan and Lin,
2005), so a value costs a few dozen products of matrices.
"""

from __future__ import annotations

import math
from typing import NamedTuple, final

import numpy as np

from theory.arithmetic.minimise import minimise
from theory.arithmetic.rigor import all_finite
from theory.certificates import Contraction
from theory.certify.lmi import cholesky, solve, sum_of_powers
from theory.domain import Domain
from theory.maps.base import Map
from theory.theorems.contractive_of_sectors import contractive_of_sectors
from theory.theorems.sectors import Sectors
from theory.typing import Array

#: How far above the least rate of the last multipliers the next ones are looked for, from where all
#: frequencies matter to where nearly the worst does, and how many steps a minimisation takes.
_ABOVE, _STEPS = (0.3, 0.1, 0.03, 0.01, 0.003), 25

#: Floating-point operations of a search, some twenty seconds of one core, and of one value of what
#: is minimised, over (N + K)^3; a search that ends before so many values never begins.
_WORK, _WORK_OF_ONE, _FEWEST = 2.0**38, 8.0, 30

#: Minimisations at one distance; further ones follow while the rate falls by half of the distance.
_REPEATS = 3

#: Holds log q in place along directions that change nothing.
_TIED = 1e-6

#: Relative accuracy of a least rate: on the way as a part of the distance, and at the end; and what
#: is added for the proof, tried in turn.
_NEAR, _NEAREST, _SLACKS = 2.0**-7, 1e-7, (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)

#: What makes the inequality of P strict, over what is added to the rate and the size of the
#: equation's constant term.
_STRICT = 1e-2

#: A rate above this after the first distances ends the search, and one that is not better than
#: what is known by this part is none.
_HOPELESS, _GAIN = 1.15, 2.0**-7

#: Sizes are taken to be at least this part of the largest.
_LEAST_SHARE = 1e-12

#: log q of what reads a new part begins so much lower, until some rate is reached; still
#: lower ones are tried as long as the rate falls by the last part.
_LOWER, _TRIES, _LARGEST_RATE, _LOWER_GAIN = 2.0, 12, 64.0, 0.02


@final
class System(NamedTuple):
    """The linear system of a map's sectors, of all units; w are (K,), d (N,)."""

    A: Array
    B: Array
    C: Array
    D: Array

    @classmethod
    def of(cls, sectors: Sectors) -> System:
        """Return the system of sectors whose ends are finite."""
        (Y, Z), N = sectors.forms, sectors.state_dim
        return cls(A=Z[:, :N], B=Z[:, N:], C=Y[:, :N], D=Y[:, N:])

    def at(self, lam: float) -> System:
        """Return the system whose circle of radius lam is the unit circle."""
        return self._replace(A=self.A / lam, B=self.B / lam)


class _Solution(NamedTuple):
    """The smallest P, and the feedback w = K d of the worst case."""

    P: Array
    K: Array
    inverse: Array  # of S = diag(q) - D^T diag(q) D - B^T P B


def _riccati(s: System, q: Array, strict: float = 0.0) -> _Solution | None:
    r"""Return the smallest solution of P = A^T P A + C^T q C + X^T S^-1 X; None if there is none.

    X = B^T P A + D^T q C.  A part `strict` of the size of C^T q C is added to it, times I.
    """
    qC = q[:, None] * s.C
    qD = s.D.T @ (q[:, None] * s.D)
    L = cholesky(np.diag(q) - qD)
    if L is None:
        return None
    DqC = s.D.T @ qC
    b, u = np.linalg.solve(L, s.B.T), np.linalg.solve(L, DqC)
    a, G, H = s.A + b.T @ u, b.T @ b, s.C.T @ qC + u.T @ u
    n = len(a)
    one, sides = np.eye(n), np.empty((n, 2 * n))
    H += strict * float(np.trace(H)) / n * one
    for _ in range(60):
        sides[:, :n], sides[:, n:] = a, G
        try:
            inner = np.linalg.solve(one - G @ H, sides)
        except np.linalg.LinAlgError:
            return None
        more, carried = a.T @ H @ inner[:, :n], a @ inner
        G = G + carried[:, n:] @ a.T
        a, H = carried[:, :n], H + 0.5 * (more + more.T)
        G = 0.5 * (G + G.T)
        size = float(np.abs(more).max())
        if not math.isfinite(size):
            return None
        if size <= 1e-12 * float(H.trace()):  # no entry of a positive H is above its trace
            break
    else:
        return None
    # where there is no solution the doubling may end at one that is not positive
    if cholesky(H + 1e-9 * float(np.abs(np.diag(H)).max()) * one) is None:
        return None
    S = np.diag(q) - qD - s.B.T @ H @ s.B
    L = cholesky(0.5 * (S + S.T))
    if L is None:
        return None
    inverse = solve(L, np.eye(len(q)))
    return _Solution(H, inverse @ (s.B.T @ H @ s.A + DqC), inverse)


def _barrier(s: System, theta: Array) -> tuple[float, Array] | None:
    r"""Return log of the mean of tr(diag(q) M^-1), q = exp(theta), over K, with its gradient.

    M^-1 is the spectrum of w = K d + v, d+ = Ac d + B v, v white of covariance S^-1, Ac = A + B K:
    with Y the covariance of d, M_0 = S^-1 + K Y K^T and M_j = K Ac^(j-1) E, E = Ac Y K^T + B S^-1.
    So with Y_1 = sum Ac^j E q E^T Ac^jT and J = sum Ac^jT K^T q K Ac^j the mean of M^-1 q M^-1 is

        M_0 q M_0 + K Y_1 K^T + E^T J E,

    likewise that of G M^-1 q (G M^-1)*, with y = F d + D v in place of w; and dM = dq - G* dq G.
    """
    q = np.exp(theta)
    found = _riccati(s, q)
    if found is None:
        return None
    K, inverse = found.K, found.inverse
    closed, powers = s.A + s.B @ K, []
    noise = s.B @ inverse
    powers.append(closed)
    Y = sum_of_powers(closed, noise @ s.B.T, powers=powers)
    F = s.C + s.D @ K
    E, E_y = closed @ Y @ K.T + noise, closed @ Y @ F.T + noise @ s.D.T
    Y_1 = sum_of_powers(closed, (E * q) @ E.T, powers=powers)
    J = sum_of_powers(closed, K.T @ (q[:, None] * K), powers=powers, transposed=True)
    M, M_y = inverse + K @ Y @ K.T, s.D @ inverse + F @ Y @ K.T
    value = float(q @ np.diag(M))
    if not (math.isfinite(value) and value > 0 and np.isfinite(J).all()):
        return None

    def mean(middle: Array, outer: Array, ahead: Array) -> Array:
        later = np.einsum("ij,ij->i", outer @ Y_1, outer)
        return np.asarray((middle * middle) @ q + later + np.einsum("ji,ji->i", J @ ahead, ahead))

    slopes = q * (np.diag(M) - mean(M, K, E) + mean(M_y, F, E_y)) / value
    return math.log(value / len(q)), slopes


def floor_of(system: System) -> float:
    """Return about the largest spectral radius at w = y, -y and 0; for saving time only."""
    one, best = np.eye(len(system.D)), 0.0
    for sign in (0.0, 1.0, -1.0):
        try:
            y = np.linalg.solve(one - sign * system.D, system.C)
        except np.linalg.LinAlgError:  # where digits were lost: of this sign nothing is known
            continue
        best = max(best, _radius(system.A + sign * (system.B @ y)))
    return best


def _radius(M: Array) -> float:
    """Return about the spectral radius; inf where the matrix has overflowed."""
    return float(np.max(np.abs(np.linalg.eigvals(M)))) if np.isfinite(M).all() else math.inf


def _reaches(s: System, theta: Array, lam: float) -> bool:
    """Return whether multipliers prove a rate, as computed."""
    at = s.at(lam)
    found = _riccati(at, np.exp(theta))
    if found is None:
        return False
    return _radius(at.A + at.B @ found.K) < 1


def _least(s: System, theta: Array, lam: float, near: float, step: float) -> float:
    """Return about the least rate of multipliers, of which lam is one, about a step above it."""
    low, high = 0.0, lam
    while high - low > near * high and high > 1e-9:
        trial = high * (1 - step) if low == 0.0 else 0.5 * (low + high)
        if _reaches(s, theta, trial):
            high, step = trial, min(2 * step, 0.5)
        else:
            low = trial
    return high


def _start(s: System) -> tuple[Array, float] | None:
    """Return multipliers that reach some rate; what reads new parts gets smaller ones.

    One that a term of size |y| enters by b should have |b| / |y|, as in Cauchy-Schwarz.
    """
    sizes = [np.linalg.norm(s.B, axis=0), np.linalg.norm(s.C, axis=1)]
    b, y = (np.maximum(one, _LEAST_SHARE * float(np.max(one)) + 1e-200) for one in sizes)
    theta = np.log(b) - np.log(y)
    after = np.any(s.D != 0, axis=1)
    best: tuple[Array, float] | None = None
    for _ in range(_TRIES):
        theta = np.where(after, theta - _LOWER, theta)
        lam = 1.5 if best is None else best[1]
        while not _reaches(s, theta, lam) and best is None and lam < _LARGEST_RATE:
            lam *= 2
        if _reaches(s, theta, lam * (1 - _LOWER_GAIN)):
            near = _LOWER_GAIN / 4
            best = theta, _least(s, theta, lam * (1 - _LOWER_GAIN), near, _LOWER_GAIN)
        elif best is not None or not np.any(after):
            break
    return best


@np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore")
def find(
    sectors: Sectors, *, known: float = 1.0, distances: tuple[float, ...] = _ABOVE
) -> tuple[Array, float, System] | None:
    """Return log q and about the least rate found, None if none below 1 or the known one is near.

    The system is the one that they are multipliers of.  Without distances those that the search
    begins at are taken.
    """
    left = int(_WORK / _WORK_OF_ONE / (sectors.state_dim + sectors.count) ** 3)
    if left < _FEWEST or not sectors.finite:
        return None
    system = System.of(sectors)
    if not (all_finite(*system) and floor_of(system) < known):
        return None
    begun = _start(system)
    if begun is None:
        return None
    (theta, lam), near = begun, _LOWER_GAIN
    for above in distances:
        for _ in range(_REPEATS):
            at = system.at(lam * (1 + above))

            def value(x: Array, at: System = at) -> tuple[float, Array] | None:
                nonlocal left
                left -= 1
                found = _barrier(at, x) if left >= 0 else None
                if found is None:
                    return None
                tie = _TIED * x / len(x)
                return found[0] + 0.5 * float(tie @ x), found[1] + tie

            theta = minimise(value, theta, steps=_STEPS, gradient=1e-5, gain=1e-3)
            theta = theta - float(np.mean(theta))
            before, near = lam, above * _NEAR
            lam = _least(system, theta, lam * (1 + above), near, above)
            if left < 0 or lam > before * (1 - above / 2):
                break
        if not lam <= known * (1 + above) ** 2 * _HOPELESS:
            return None
    return theta, _least(system, theta, lam, _NEAREST, near), system


def by_metric(
    recurrent: Map,
    domain: Domain | None = None,
    known: Contraction | None = None,
    distances: tuple[float, ...] = _ABOVE,
) -> Contraction | None:
    """Return the contraction in the best Euclidean norm found, by a map's sectors.

    `known` is a contraction of which nothing notably larger is looked for; see `find`.
    """
    sectors, most = recurrent.sectors(domain), 1.0 if known is None else known.lam * (1 - _GAIN)
    if sectors is None:
        return None
    found = find(sectors, known=most, distances=distances)
    if found is None:
        return None
    theta, least, system = found
    for slack in _SLACKS:
        rate, lam = least * (1 + slack), least * (1 + slack / 2)
        solved = _riccati(system.at(lam), np.exp(theta), strict=_STRICT * slack)
        if solved is None or not rate < most:
            continue
        P, q = 0.5 * (solved.P + solved.P.T), np.exp(theta) * lam**2
        scale = float(np.max(np.diag(P)))
        P, q = P / scale, q / scale
        try:
            c = contractive_of_sectors(sectors, P=P, q=q, rate=rate, domain=domain)
        except ValueError:  # a P that keeps no digit of a length
            return None
        if c is not None:
            return c
    return None
