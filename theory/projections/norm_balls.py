"""Projections onto balls of matrix norms: the spectral norm, row sums and column sums.

Main names: `spectral`, `linf`, `l1`.

With slopes of at most L the ball of radius rate / L of a matrix norm makes the map contract at the
rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from theory.arithmetic import rigor
from theory.arithmetic.rounding import UNIT, product_up, scaled_to_one, upper_after
from theory.certificates import Contraction, certified
from theory.maps.base import Map
from theory.norms.norms import L1, L2, Linf, Norm, WeightedL1, WeightedLinf
from theory.projections import oracle
from theory.projections.balls import centered, column_sum_ball, row_sum_ball, spectral_ball
from theory.projections.base import Projection, Request, accepted_arrays, make_projection
from theory.projections.forms import form_of, radius_of, scale_near
from theory.projections.metric import gram_set, metric_ball
from theory.projections.repair import SINGLE_UNIT, half_space_distance, least_margin
from theory.theorems.contractive_of_matrix_norm import contractive_of_matrix_norm
from theory.typing import Array

#: The margin tried first for what a solver returned.
_FIRST = 8 * UNIT


def _in_ball(
    recurrent: Map,
    request: Request,
    norm: Norm,
    nearest: Callable[[float], Array],
    lower: Callable[[Array], float],
    solver: Callable[[], oracle.Solved],
    first: float,
    certify: Callable[[Array], Contraction | None] | None = None,
) -> Projection:
    """Return the projection onto the ball of a norm, by a closed form or a solver."""
    form = form_of(recurrent, request.onto)
    W = form.W
    prove = certify or partial(contractive_of_matrix_norm, activation=form.rho, norm=norm)

    method, note, solved = "closed form", "", None
    point: Callable[[float], tuple[Array, ...]] = lambda m: (nearest(m),)  # noqa: E731
    if request.method == "cvxpy":
        solved, note = oracle.attempt(solver)
        if solved is not None:
            W_solver = solved.arrays[0]
            point = lambda m: (W_solver * (1.0 - m),)  # noqa: E731
            method, first = solved.method, _FIRST
    found = accepted_arrays(request, (W,), point, lambda arrays: prove(arrays[0]), first)
    if found is None:
        raise ArithmeticError(
            f"no point near the boundary could be proved to contract at {request.rate!r}; the "
            "weights may be too large for the type they are stored in: scale them down first"
        )
    (new,), certificate, margin = found
    return make_projection(
        recurrent,
        {recurrent.recurrent_name: new},
        certificate=certificate,
        lower=0.0 if new is W else lower(new),
        method=method,
        iterations=0 if solved is None else solved.iterations,
        residuals={"margin": margin},
        note=note,
    )


@scale_near
def spectral(recurrent: Map, request: Request) -> Projection:
    """Project onto slope * ||W||_2 <= rate."""
    form = form_of(recurrent, request.onto)
    radius = radius_of(form, request.rate)
    n = len(form.W)

    def lower(_: Array) -> float:
        return metric_ball(form.W, gram_set(np.eye(n), radius)).lower

    def certify(W: Array) -> Contraction | None:
        c = contractive_of_matrix_norm(W, form.rho)
        if c is not None and c.lam <= request.rate:
            return c
        # a test at the radius itself accepts what a bound of the norm may miss by its last digits
        within = product_up(form.lipschitz, radius) <= request.rate
        if not (within and rigor.spectral_norm_at_most(W, radius)):
            return None
        detail = f"slope {form.lipschitz!r} times |W| <= {radius!r}"
        return certified(request.rate, L2(), method="spectral norm", detail=detail)

    return _in_ball(
        recurrent,
        request,
        L2(),
        lambda m: np.asarray(spectral_ball(form.W, radius * (1 - m)), dtype=np.float64),
        lower,
        lambda: oracle.spectral(form.W, radius),
        least_margin(n, SINGLE_UNIT if request.single else UNIT),
        certify,
    )


def _normal_of_rows(N: Array, kept: Array, radius: Array, v: Array) -> tuple[Array, float]:
    """Return N cut to tau_i v_j, and an upper bound of its product with members.

    tau is what the entries that stay ask for, heavy ones most: in the light ones it is rounding.
    """
    shares = v / float(np.max(v))
    sums = np.sum(np.where(kept, np.abs(N), 0.0) * shares, axis=1)
    squares = np.sum(np.where(kept, shares, 0.0) ** 2, axis=1)
    with np.errstate(over="ignore"):
        largest = np.max(np.abs(N) / shares, axis=1)
    tau = np.where(squares > 0, sums / np.where(squares > 0, squares, 1.0), largest)
    bound = tau[:, None] * shares[None, :]
    # sum_j N_ij y_j <= tau_i sum_j shares_j |y_j| <= tau_i radius_i / max(v): two roundings in the
    # bound of N_ij, two in a term, and those of the sum
    terms = tau * (radius / float(np.max(v)))
    return np.clip(N, -bound, bound), float(upper_after(np.sum(terms), len(N) + 4))


def _sums(recurrent: Map, request: Request, *, columns: bool) -> Projection:
    """Project onto a ball of (weighted) row sums, or of column sums: those of the transpose."""
    form = form_of(recurrent, request.onto)
    radius, n = radius_of(form, request.rate), len(form.W)
    weights = None if request.weights is None else centered(request.weights)
    v = np.ones(n) if weights is None else weights
    limits = radius * v if weights is None else np.nextafter(radius * v, 0.0)
    if not float(np.min(limits)) > 0:
        raise ValueError(
            f"rate={request.rate!r} times the least of weights={request.weights} is too small for "
            "double precision; take a larger rate, or weights nearer to each other"
        )
    ball = column_sum_ball if columns else row_sum_ball
    solver = oracle.column_sums if columns else oracle.row_sums
    if request.weights is None:
        norm: Norm = L1() if columns else Linf()
    else:
        norm = (WeightedL1 if columns else WeightedLinf)(request.weights)

    def turned(A: Array) -> Array:
        return A.T if columns else A

    def lower(new: Array) -> float:
        W, Y = turned(form.W), turned(new)
        N = scaled_to_one(W - Y)[0]
        N, support = _normal_of_rows(N, Y != 0, np.nextafter(radius * v, math.inf), v)
        return half_space_distance(W, N, support)

    return _in_ball(
        recurrent,
        request,
        norm,
        lambda m: np.asarray(ball(form.W, limits * (1 - m), weights=weights)),
        lower,
        lambda: solver(form.W, limits, v),
        SINGLE_UNIT if request.single else 0.0,
    )


def linf(recurrent: Map, request: Request) -> Projection:
    """Project onto slope * max_i sum_j |W_ij| v_j / v_i <= rate."""
    return _sums(recurrent, request, columns=False)


def l1(recurrent: Map, request: Request) -> Projection:
    """Project onto slope * max_j sum_i v_i |W_ij| / v_j <= rate."""
    return _sums(recurrent, request, columns=True)
