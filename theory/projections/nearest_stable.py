"""Nearest Schur-stable matrices: all eigenvalues in the disk |z| <= r.

Main names: `nearest_stable`, `Stable`.

The set is closed but not convex, and has no smooth boundary.  Every real matrix is Q T Q^T with T
block upper triangular (real Schur form), so the nearest stable matrix is found from

    minimise over orthogonal Q  the distance of Q^T A Q from block upper triangular matrices whose
    2 x 2 diagonal blocks are stable,

and the inner distance is a sum of squares: what is below the diagonal blocks, and the distances of
the blocks, which have a closed form (V. Noferini and F. Poloni, *Nearest Omega-stable matrix via
Riemannian optimization*, Numerische Mathematik 148, 2021).  The outer problem is solved by
limited-memory BFGS on the orthogonal group from several starts; it has local minima.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from scipy.linalg import schur as real_schur

from theory.arithmetic.rounding import ldexp_up, scaled_to_one
from theory.projections.stable_pairs import LEAST_RADIUS, stable_pairs
from theory.typing import Array

#: The search ends when the norm of the gradient is at most this part of |A|^2.
_GRADIENT = 1e-9

#: Or when ten steps together gained less than this part of the value.
_GAIN = 1e-9

#: Differences that the search remembers.
_MEMORY = 40

#: Most steps of the search from one start.
_STEPS = 3000

#: Size of the disturbance of a start, as a part of the radius.
DISTURBED = 0.05


def nearest_form(T: Array, radius: float) -> Array:
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


def descend(A: Array, radius: float, Q: Array, steps: int) -> Stable:
    r"""Minimise f(Q) = |T - S(T)|^2 / 2, T = Q^T A Q, S(T) the nearest form, from a start.

    With Q' = Q exp(X), X skew, dT = T X - X T, and R = T - S(T) is the gradient of the squared
    distance in T, so that df = <R, T X - X T> = <T^T R - R T^T, X>: the gradient is the skew part.
    Steps are Q (I - X/2)^-1 (I + X/2); directions are kept in the coordinates X.
    """
    n = len(A)
    eye = np.eye(n)

    def look(Q: Array) -> tuple[float, Array, Array]:
        T = Q.T @ A @ Q
        S = nearest_form(T, radius)
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
    for count in range(1, steps + 1):
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


def schur_factor(A: Array) -> Array:
    """Return Q of a real Schur form Q T Q^T with the complex pairs first.

    So every 2 x 2 block is one of those that `nearest_form` keeps, whatever the number of real
    eigenvalues: the search from a stable matrix starts no further away than that matrix.
    """

    def complex_pair(x: complex, y: float | None = None) -> bool:
        return (x.imag if y is None else y) != 0

    try:
        return np.asarray(real_schur(A, output="real", sort=complex_pair)[1])
    except np.linalg.LinAlgError:  # reordering changed an eigenvalue from real to complex
        return np.asarray(real_schur(A, output="real")[1])


def nearest_stable(
    A: Array,
    radius: float,
    *,
    starts: int = 4,
    rng: np.random.Generator | None = None,
    steps: int = _STEPS,
    near: Sequence[Array] = (),
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
    near
        Other matrices from whose Schur forms to start.

    Returns
    -------
    Stable
    """
    n = len(A)
    source = np.random.default_rng(0) if rng is None else rng
    B, e = scaled_to_one(A)
    # a smaller radius is nothing beside the error of computed eigenvalues
    r = max(ldexp_up(radius, -e), LEAST_RADIUS)
    points = [schur_factor(B), *(schur_factor(np.ldexp(X, -e)) for X in near), np.eye(n)]
    best: Stable | None = None
    for i in range(len(near) + max(starts, 1)):
        drawn = points[i] if i < len(points) else None
        Q = np.linalg.qr(source.standard_normal((n, n)))[0] if drawn is None else drawn
        found = descend(B, r, Q, steps)
        if best is None or found.distance < best.distance:
            best = found
    assert best is not None
    return replace(best, S=np.ldexp(best.S, e), distance=ldexp_up(best.distance, e))
