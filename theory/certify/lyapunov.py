"""Contractions of linear maps in Lyapunov norms.

Main names: `by_lyapunov`, `lyapunov_at`.
"""

from __future__ import annotations

import math

import numpy as np

from theory.certificates import Contraction
from theory.certify import lmi
from theory.certify.accept import MARGINS, by_matrix_norm, in_units, well_conditioned
from theory.certify.condition import cheaper_lyapunov
from theory.maps.form import Affine
from theory.norms.norms import WeightedL2
from theory.norms.radius import balanced
from theory.typing import Array


def stein(A: Array, r: float) -> Array | None:
    """Return P = sum of (A^T / r)^j (A / r)^j, with A^T P A = r^2 (P - I); None if it diverges."""
    with np.errstate(over="ignore", invalid="ignore"):
        P = lmi.sum_of_powers((A / r).T, np.eye(len(A)))
    return 0.5 * (P + P.T) if np.isfinite(P).all() else None


def lyapunov_at(form: Affine, r: float, *, dense: int = 0) -> Contraction | None:
    """Return the contraction of a linear map in the Lyapunov norm of level r / slope.

    Up to n = `dense`, in a norm of nearly least condition number at that rate.
    """
    slope = form.lipschitz
    units, A = balanced(form.W * slope)
    P = None if not r > 0 else stein(A, r)
    if P is None or not well_conditioned(P):
        return None
    P = in_units(P, units)
    if len(P) <= dense:
        P = cheaper_lyapunov(form.W * slope, P, r)
    if not np.isfinite(P).all():
        return None
    try:
        norm = WeightedL2(P * 2.0 ** -math.frexp(float(np.max(np.abs(P))))[1])
    except ValueError:
        return None
    found = by_matrix_norm(form, norm)
    if found is None:
        return None
    detail = f"sqrt(cond(P)) <= {norm.condition_upper:.6g}"
    return found.described(method="Lyapunov", detail=detail)


def by_lyapunov(form: Affine) -> Contraction | None:
    """Return the contraction of a linear map at a rate as near its spectral radius as P allows."""
    if not form.linear or not np.any(form.W) or form.lipschitz == 0.0:
        return None
    A = form.W * form.lipschitz
    radius = float(np.max(np.abs(np.linalg.eigvals(A))))
    top = float(np.linalg.norm(balanced(A)[1], 2))
    best: Contraction | None = None
    # a defective eigenvalue on the spectral circle is attained by no norm, and eigenvalue routines
    # are off by the square root of the unit roundoff or more there
    floor = max(radius, top * 2.0**-20)
    for margin in (*MARGINS, 0.5, 1.0, 3.0, 15.0):
        r = floor * (1.0 + margin)
        found = lyapunov_at(form, r)
        if found is not None and (best is None or found.lam < best.lam):
            best = found
        elif best is not None:
            break
    if best is None:
        return None
    detail = (
        f"{best.evidence.detail}; spectral radius about {radius:.9g}, which need not be attained"
    )
    return best.described(detail=detail)
