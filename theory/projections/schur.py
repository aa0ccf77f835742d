"""Projections of linear maps onto the stable ones: all eigenvalues in the disk |z| <= r.

Main name: `schur`.

The nearest stable matrix is searched first (`theory.projections.nearest_stable`), then the nearest
one that can be proved stable (`theory.projections.lyapunov_path`).  That path starts far inside,
where there is little choice, and so it finds good starts of the search, too.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from theory.arithmetic.rounding import UNIT, ldexp_down, ldexp_up, scaled_to_one
from theory.arithmetic.sums import length_upper
from theory.certificates import Contraction
from theory.certify.lyapunov import lyapunov_at
from theory.maps.base import Map
from theory.maps.form import Affine
from theory.norms.norms import L2, WeightedL2
from theory.projections.base import (
    NOT_CONVEX,
    Projection,
    Request,
    accepted_arrays,
    make_projection,
)
from theory.projections.families import largest_condition
from theory.projections.forms import FAR, form_of, radius_of
from theory.projections.lyapunov_path import WIDER, provably_stable
from theory.projections.metric import gram_set, metric_ball
from theory.projections.nearest_stable import descend, nearest_stable, schur_factor
from theory.projections.norm_balls import spectral
from theory.projections.repair import SINGLE_UNIT
from theory.projections.spectrum_lower import schur_lower
from theory.theorems.contractive_of_matrix_norm import contractive_of_matrix_norm
from theory.typing import Array


def schur(recurrent: Map, request: Request) -> Projection:
    """Project a linear map onto spectral radius <= rate, with a Lyapunov norm as the proof.

    The nearest stable matrix lies on the boundary and tends to have multiple eigenvalues there, so
    that none or only an enormous constant proves it stable, and rounding its entries may move its
    eigenvalues out of the disk.  What is returned is the nearest matrix found among those that a
    norm of moderate condition number proves to contract at the rate; the distance of the unproved
    one is among the residuals.
    """
    form = form_of(recurrent, request.onto)
    if form.rho.slope[0] != form.rho.slope[1]:
        raise ValueError(
            f"onto='schur' is about linear maps, received {recurrent!r}: the spectral radius says "
            "nothing about a nonlinear map; take onto='lmi', 'diagonal' or 'spectral'"
        )
    if request.method != "auto":
        raise ValueError(
            f"method={request.method!r} does not apply to onto='schur', which is not a convex set "
            "and has no closed form; take method='auto', or onto='spectral' for a convex part of it"
        )
    A, n = form.W, len(form.W)
    radius = radius_of(form, request.rate)
    c = _lyapunov_contraction(form, request.rate)
    if c is not None and np.array_equal(request.cast(A), A):
        return make_projection(recurrent, {}, certificate=c, lower=0.0, method="member")
    # huge weights are scaled down as in `theory.projections.forms.scale_near`
    B, size = scaled_to_one(A)
    e = min(size, math.frexp(radius)[1] + FAR)
    r = math.ldexp(radius, -e)
    # rounding to single precision moves X by 2^-24 |X| sqrt(cond(P)) in the norm
    limit = min(WIDER * largest_condition(n), 2.0**26 if request.single else math.inf)
    # each search may find a local minimum from which another gets out; the Schur form of A with
    # clipped blocks is a start far from those of the path
    clipped = descend(B, r, schur_factor(B), 0)
    paths = [provably_stable(B, r, limit, near=x, rng=request.rng) for x in (None, clipped)]
    provable = min(paths, key=lambda path: path.distance)
    near = (provable.found.W,)
    free = nearest_stable(B, r, starts=request.starts, rng=request.rng, near=near)
    again = provably_stable(B, r, limit, near=free, rng=request.rng)
    provable = again if again.distance < provable.distance else provable
    P = provable.P
    norm = WeightedL2(P)

    def certify(arrays: tuple[Array, ...]) -> Contraction | None:
        # the test of members comes first: what is returned stays as it is in the next projection
        plain = _lyapunov_contraction(replace(form, W=arrays[0]), request.rate)
        own = contractive_of_matrix_norm(arrays[0], form.rho, norm=norm)
        return own if plain is not None and own is not None and own.lam <= request.rate else plain

    def point(margin: float) -> tuple[Array, ...]:
        where = gram_set(P, r * (1.0 - margin))
        found = metric_ball(B, where, accuracy=1e-5, start=provable.found.W * (1.0 - margin))
        return (np.ldexp(found.W, e),)

    values = np.linalg.eigvalsh(P)
    condition = float(values[-1] / values[0])
    first = (n + 4) ** 2 * UNIT * condition
    first = max(first, math.sqrt(condition) * SINGLE_UNIT) if request.single else first
    settled = accepted_arrays(request, (A,), point, certify, min(first, 0.25))
    lower = schur_lower(A, radius)
    distance = math.inf if settled is None else length_upper(settled[0][0] - A)
    # the spectral ball is no nearer than this
    ball = ldexp_down(metric_ball(B, gram_set(np.eye(n), r)).lower, size)
    if settled is None or not distance < ball:
        plain = spectral(recurrent, replace(request, method="auto"))
        if settled is None or not distance < plain.distance:
            note = "no matrix nearer than the spectral ball could be proved stable"
            return replace(plain, lower=min(lower, plain.distance), note=note)
    (new,), certificate, margin = settled
    return make_projection(
        recurrent,
        {recurrent.recurrent_name: new},
        certificate=certificate,
        lower=lower,
        method="central path of Lyapunov matrices, then the nearest point of a Lyapunov ball",
        iterations=free.iterations + provable.evaluations,
        residuals={
            "margin": margin,
            "gradient": free.gradient,
            "distance of a stable matrix without proof": ldexp_up(free.distance, size),
        },
        note=NOT_CONVEX,
    )


def _lyapunov_contraction(form: Affine, rate: float) -> Contraction | None:
    """Return a contraction at most at the rate, in the Euclidean or a Lyapunov norm, or None."""
    plain = contractive_of_matrix_norm(form.W, form.rho, norm=L2())
    if plain is not None and plain.lam <= rate:
        return plain
    radius = float(np.max(np.abs(np.linalg.eigvals(form.W)))) * form.rho.lipschitz
    if not radius < rate:
        return None
    for share in (1.0, 0.5):
        c = lyapunov_at(form, radius + share * (rate - radius))
        if c is not None and c.lam <= rate:
            return c
    return None
