"""A minimiser for smooth functions of many numbers: BFGS with a weak Wolfe line search.

Main names: `minimise`, `Smooth`.

What it returns is a candidate; nothing here is trusted.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from theory.typing import Array

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
