"""What the sets of affine maps share: the form, the radius of a rate, and weights of any size.

Main names: `form_of`, `radius_of`, `scale_near`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps

import numpy as np

from theory.arithmetic.rounding import down, ldexp_down, product_up, scaled_to_one
from theory.certificates import Contraction
from theory.maps.base import Map
from theory.maps.form import Affine
from theory.projections.base import Projection, Request, make_projection, with_parameters
from theory.typing import Array

#: Returns a contraction of weights, or None.
Certify = Callable[[Array], Contraction | None]

#: Returns the projection of a map.
Nearest = Callable[[Map, Request], Projection]

#: Weights beyond 2 to this times the radius are scaled down to there, so that no square overflows.
FAR = 256


def form_of(recurrent: Map, onto: str) -> Affine:
    """Return the form rho(W h + U x + b) of a map.

    Raises
    ------
    ValueError
        If it has none.
    """
    form = recurrent.affine()
    if form is None:
        raise ValueError(
            f"onto={onto!r} is a set of recurrent matrices of maps rho(W h + U x + b), received "
            f"{recurrent!r}; for LSTM and GRU cells there are onto='lstm' and onto='gru'; of a "
            "stack project each of its layers, of a leaky network theory.VanillaRNN(W, U, b)"
        )
    return form


def radius_of(form: Affine, rate: float) -> float:
    """Return the largest radius r with slope * r <= rate after rounding up.

    Raises
    ------
    ValueError
        If the activation is constant.
    """
    slope = form.rho.lipschitz
    if slope == 0:
        raise ValueError("the activation is constant, so every matrix is in the set")
    radius = rate / slope
    while product_up(slope, radius) > rate:
        radius = down(radius)
    return radius


def scale_near(nearest: Nearest) -> Nearest:
    r"""Return the projection onto a set for weights of any size, from that for moderate ones.

    Members X are at most R long and t X is a member for t in [0, 1].  So for t = 2^-k

        |W - X| = |t W - t X| / t >= dist(t W) / t,

    and the point nearest to t W is further from W than the nearest one by at most 2 R, of which
    rounding leaves nothing where |W| is beyond 2^`FAR` times the radius.
    """

    @wraps(nearest)
    def run(recurrent: Map, request: Request) -> Projection:
        form = form_of(recurrent, request.onto)
        radius = radius_of(form, request.rate)
        k = scaled_to_one(form.W)[1] - FAR - max(0, math.frexp(radius)[1])
        if k <= 0:
            return nearest(recurrent, request)
        name = recurrent.recurrent_name
        near = nearest(with_parameters(recurrent, {name: np.ldexp(form.W, -k)}), request)
        return make_projection(
            recurrent,
            {name: near.map.parameters[name]},
            certificate=near.certificate,
            lower=ldexp_down(near.lower, k),
            method=near.method,
            iterations=near.iterations,
            residuals=near.residuals,
            note=near.note,
        )

    return run
