"""Closed forms of the constants for maps of the form rho(W h + U x + b), in `L2`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from theory.arithmetic.rounding import (
    evaluate,
    inner_product_error,
    product_up,
    sqrt_up,
    sum_up,
    up,
)
from theory.learning.constants.values import MapConstants
from theory.maps.base import Map
from theory.norms.norms import L2, Norm
from theory.typing import Array


def affine_constants(
    family: tuple[Map, ...],
    norm: Norm,
    X: Array | None,
    reach: float,
    trained: tuple[str, ...],
    radius: float,
) -> MapConstants | None:
    r"""Return the closed forms for rho(W h + U x + b) in L2.

    With a = W h + U x + b and R = sqrt(B_h**2 + B_x**2 + 1), of the trained parameters only,
    |da| <= |W|_2 |dh| and |da| <= R |dw|; with L = sup |rho'| and S = sup |rho''|, the product rule
    on diag(rho'(a)) W and diag(rho'(a)) (dW h + dU x + db) gives the rest.  |W| and |U x + b| are
    convex in the parameters, so that their largest values on a hull are at the given maps.
    """
    if not isinstance(norm, L2):
        return None
    forms = [form for form in (model.affine() for model in family) if form is not None]
    rho, n = forms[0].rho, forms[0].W.shape[0]
    names = tuple(family[0].parameters)
    free = [name in trained for name in names]  # W, U, b
    slack = [radius if is_free else 0.0 for is_free in free]
    L, S = rho.lipschitz, rho.curvature
    W = up(max(L2().matrix_upper(f.W) for f in forms) + slack[0])
    rows = up(max(float(np.max(L2().vector_upper(f.W))) for f in forms) + slack[0])
    absolute = up(max(L2().matrix_upper(np.abs(f.W)) for f in forms) + sqrt_up(n) * slack[0])
    if slack[0] == 0:
        W = max(L2().matrix_upper(f.W) for f in forms)
    offset = product_up(sqrt_up(n), up(abs(rho.at_zero)) if rho.at_zero else 0.0)
    drive = product_up(L, _affine_drive(forms, X, reach, slack))
    drive = up(drive + offset) if offset else drive
    lam = product_up(L, W)
    ball = math.inf
    if lam < 1:
        ball = drive if lam == 0 else _quotient_up(drive, lam)
    widest = max(abs(rho.range[0]), abs(rho.range[1]))
    bound = min(ball, product_up(sqrt_up(n), widest) if math.isfinite(widest) else math.inf)
    squares = [product_up(bound, bound), product_up(reach, reach), 1.0]
    R = sqrt_up(sum_up([q for q, is_free in zip(squares, free, strict=True) if is_free]))
    bends = product_up(S, R) if S > 0 else 0.0
    mixed = product_up(bends, W) if bends else 0.0
    mixed = sum_up([mixed, L]) if free[0] else mixed
    return MapConstants(
        lam=lam,
        drive=drive,
        state_bound=bound,
        input_bound=reach,
        weight_gain=product_up(L, R),
        beta_hh=product_up(product_up(S, rows), W) if S > 0 else 0.0,
        beta_hw=mixed,
        beta_wh=mixed,
        beta_ww=product_up(bends, R) if bends else 0.0,
        majorant=product_up(L, absolute),
        norm=norm,
        trained=trained,
        radius=radius,
    )


def _quotient_up(top: float, lam: float) -> float:
    """Return an upper bound of top / (1 - lam)."""
    return evaluate(lambda top, lam: top / (1 - lam), top=top, lam=lam)


def _affine_drive(forms: list[Any], X: Array | None, reach: float, slack: list[float]) -> float:
    """Return an upper bound of |U x + b|."""
    extra = sum_up([product_up(slack[1], reach), slack[2]])
    if X is None:
        drives = [
            sum_up([product_up(L2().matrix_upper(f.U), reach), float(L2().vector_upper(f.b))])
            for f in forms
        ]
        return sum_up([max(drives), extra])
    most = 0.0
    for f in forms:
        terms = X @ f.U.T + f.b
        if f.U.shape[1] == 1 and not f.b.any():
            # a single product: exact but for its rounding, which the length covers
            most = max(most, product_up(float(L2().vector_upper(f.U[:, 0])), reach))
            continue
        # an inner product of m + 1 terms, rounded in any order
        magnitude = np.abs(X) @ np.abs(f.U).T + np.abs(f.b)
        touched = (X != 0).astype(float) @ (f.U.T != 0).astype(float) > 0
        error = np.where(touched, inner_product_error(magnitude, X.shape[1] + 1), 0.0)
        most = max(most, float(np.max(L2().vector_upper(np.abs(terms) + error), initial=0.0)))
    return sum_up([most, extra])
