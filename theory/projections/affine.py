r"""Projections of maps rho(W h + U x + b): only the recurrent weights move.

Main names: `spectral`, `linf`, `l1`, `diagonal`, `lmi`.

With slopes of at most L the ball of radius rate / L of a matrix norm makes the map contract at the
rate.  The sets of `diagonal` and `lmi` without a given metric are unions of convex sets, one for
each metric; the projection alternates between the metric and the weights, and the distance never
grows: the weights found last are a member of the next set.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from theory import lmi as search
from theory.certificates import Contraction
from theory.maps.base import Affine, Map
from theory.norms import L1, L2, Linf, Norm, WeightedL2, WeightedLinf
from theory.projections import oracle
from theory.projections.balls import column_sum_ball, row_sum_ball, spectral_ball
from theory.projections.base import Projection, Request, answer, settle
from theory.projections.metric import (
    Found,
    MetricSet,
    clip_in_metric,
    gram_set,
    incremental_set,
    metric_ball,
)
from theory.projections.repair import half_space_distance, least_margin, unit_of
from theory.rounding import down, gamma, product_up, up
from theory.theorems.contractive_of_incremental_lmi import (
    contractive_of_incremental_lmi,
    slope_intervals,
)
from theory.theorems.contractive_of_matrix_norm import contractive_of_matrix_norm
from theory.typing import Array

#: Alternation between metric and weights ends when the distance falls by less than this part.
_SETTLED = 1e-3

#: And at the latest after so many rounds.
_ROUNDS = 12

#: Up to this dimension diagonal weights are part of the alternation; beyond, it is the Gram matrix
#: alone.
_WEIGHTED = 64


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
            f"{recurrent!r}; for LSTM and GRU cells there are onto='lstm' and onto='gru'"
        )
    return form


def parameter_of(recurrent: Map, W: Array) -> str:
    """Return the name of the parameter that is the recurrent matrix."""
    for name, value in recurrent.parameters.items():
        if value is W or (value.shape == W.shape and np.array_equal(value, W)):
            return name
    raise ValueError(
        f"no parameter of {recurrent!r} is its recurrent matrix; project a VanillaRNN or LinearMap"
    )


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


def _in_ball(
    recurrent: Map,
    request: Request,
    norm: Norm,
    nearest: Callable[[float], Array],
    lower: Callable[[Array], float],
    solver: Callable[[], oracle.Solved],
    first: float,
) -> Projection:
    """Return the projection onto the ball of a norm, by a closed form or a solver."""
    form = form_of(recurrent, request.onto)
    W = form.W

    def certify(arrays: tuple[Array, ...]) -> Contraction | None:
        return contractive_of_matrix_norm(arrays[0], form.rho, norm)

    method, note, solved = "closed form", "", None
    point: Callable[[float], tuple[Array, ...]] = lambda m: (nearest(m),)  # noqa: E731
    if request.method == "cvxpy":
        solved, note = oracle.attempt(solver)
        if solved is not None:
            W_solver = solved.arrays[0]
            point = lambda m: (W_solver * (1.0 - m),)  # noqa: E731
            method, first = f"cvxpy ({solved.solver})", 2.0**-50
    found = settle(request, (W,), point, certify, first)
    if found is None:
        raise ArithmeticError(
            f"no point near the boundary could be proved to contract at {request.rate!r}; the "
            "weights may be too large for double precision: scale them down first"
        )
    (new,), certificate, margin = found
    return answer(
        recurrent,
        {parameter_of(recurrent, W): new},
        certificate=certificate,
        lower=0.0 if new is W else lower(new),
        method=method,
        iterations=0 if solved is None else solved.iterations,
        residuals={"margin": margin},
        note=note,
    )


def spectral(recurrent: Map, request: Request) -> Projection:
    """Project onto slope * ||W||_2 <= rate."""
    form = form_of(recurrent, request.onto)
    radius = radius_of(form, request.rate)
    n = len(form.W)

    def lower(_: Array) -> float:
        return metric_ball(form.W, gram_set(np.eye(n), radius)).lower

    return _in_ball(
        recurrent,
        request,
        L2(),
        lambda m: np.asarray(spectral_ball(form.W, radius * (1 - m)), dtype=np.float64),
        lower,
        lambda: oracle.spectral(form.W, radius),
        least_margin(n, unit_of(np.float32(0)) if request.single else 2.0**-53),
    )


def _support_of_rows(N: Array, radius: Array, v: Array) -> float:
    """Return an upper bound of the inner product of N with matrices of bounded weighted rows."""
    # sum_j N_ij y_j <= max_j (|N_ij| / v_j) * radius_i
    terms = radius * np.max(np.abs(N) / v[None, :], axis=1)
    return up(float(np.sum(terms)) * (1 + 2 * gamma(len(N) + 4)) + len(N) * 2.0**-1070)


def linf(recurrent: Map, request: Request) -> Projection:
    """Project onto slope * max_i sum_j |W_ij| v_j / v_i <= rate."""
    form = form_of(recurrent, request.onto)
    radius, n = radius_of(form, request.rate), len(form.W)
    plain = request.weights is None
    v = np.ones(n) if request.weights is None else request.weights
    limits = radius * v if plain else np.nextafter(radius * v, 0.0)
    norm = Linf() if plain else WeightedLinf(v)

    def nearest(margin: float) -> Array:
        weights = None if plain else v
        return np.asarray(row_sum_ball(form.W, limits * (1 - margin), weights=weights))

    def lower(new: Array) -> float:
        N = form.W - new
        return half_space_distance(form.W, N, _support_of_rows(N, np.nextafter(radius * v, 9e9), v))

    return _in_ball(
        recurrent,
        request,
        norm,
        nearest,
        lower,
        lambda: oracle.row_sums(form.W, limits, v),
        0.0 if not request.single else 2.0**-24,
    )


def l1(recurrent: Map, request: Request) -> Projection:
    """Project onto slope * max_j sum_i |W_ij| <= rate."""
    form = form_of(recurrent, request.onto)
    radius, n = radius_of(form, request.rate), len(form.W)
    if request.weights is not None:
        raise ValueError(
            "weights= with onto='l1': no certificate is made in a weighted sum norm; project with "
            "theory.projections.column_sum_ball(W, radius, weights=...), or take onto='linf'"
        )
    limits = np.full(n, radius)

    def lower(new: Array) -> float:
        N = (form.W - new).T
        return half_space_distance(form.W.T, N, _support_of_rows(N, limits, np.ones(n)))

    return _in_ball(
        recurrent,
        request,
        L1(),
        lambda m: np.asarray(column_sum_ball(form.W, limits * (1 - m))),
        lower,
        lambda: oracle.column_sums(form.W, limits),
        0.0 if not request.single else 2.0**-24,
    )


# ------------------------------------------------------------------------------- sets of a metric


def _nearest_in_metric(
    recurrent: Map,
    request: Request,
    W: Array,
    where: MetricSet,
    certify: Callable[[Array], Contraction | None],
    start: Array | None = None,
) -> tuple[Array, Contraction, Found, str, str, float] | None:
    """Return the nearest accepted matrix of a fixed metric; None if none is accepted."""
    found: Found | None = None
    method, note = "splitting", ""
    if request.method == "closed_form":
        kept = clip_in_metric(W, where)
        bound = metric_ball(W, where)
        found = replace(bound, W=kept, iterations=0, residual=0.0)
        method = "clipping in the metric (a retraction)"
    elif request.method == "cvxpy":
        solved, note = oracle.attempt(lambda: oracle.metric(W, where))
        if solved is not None:
            bound = metric_ball(W, where)
            found = replace(bound, W=solved.arrays[0], iterations=solved.iterations, residual=0.0)
            method = f"cvxpy ({solved.solver})"
    if found is None:
        found = metric_ball(W, where, start=start)
    unit = 2.0**-24 if request.single else 2.0**-53
    best = found
    done = settle(
        request,
        (W,),
        lambda m: (best.W * (1.0 - m),),
        lambda arrays: certify(arrays[0]),
        least_margin(2 * len(W), unit),
    )
    if done is None:
        return None
    (new,), certificate, margin = done
    return new, certificate, found, method, note, margin


def _given_metric(
    recurrent: Map,
    request: Request,
    form: Affine,
    where: MetricSet,
    certify: Callable[[Array], Contraction | None],
) -> Projection:
    done = _nearest_in_metric(recurrent, request, form.W, where, certify)
    if done is None:
        raise ArithmeticError(
            f"no member could be proved to contract at {request.rate!r} in this metric; its Gram "
            "matrix may be too ill-conditioned: pull it towards the identity"
        )
    new, certificate, found, method, note, margin = done
    return answer(
        recurrent,
        {parameter_of(recurrent, form.W): new},
        certificate=certificate,
        lower=found.lower,
        method=method,
        iterations=found.iterations,
        residuals={"step": found.residual, "margin": margin},
        note=note,
    )


def diagonal(recurrent: Map, request: Request) -> Projection:
    """Project onto slope * ||D W D^-1||_2 <= rate, D = diag(weights) or the best found."""
    form = form_of(recurrent, request.onto)
    radius = radius_of(form, request.rate)
    if request.weights is not None:
        where, certify = _diagonal_set(form, request.weights, radius)
        return _given_metric(recurrent, request, form, where, certify)
    n = len(form.W)
    plain = search.Problem(W=form.W, alpha=np.full(n, -1.0), beta=np.ones(n))

    def metric(W: Array, x: Array) -> tuple[MetricSet, Callable[[Array], Contraction | None]]:
        del W
        return _diagonal_set(form, np.exp(x), radius)

    return _alternate(recurrent, request, form, plain, radius, metric)


def _diagonal_set(
    form: Affine, d: Array, radius: float
) -> tuple[MetricSet, Callable[[Array], Contraction | None]]:
    P = np.diag(np.square(d / float(np.max(d))))
    norm = WeightedL2(P)
    return gram_set(P, radius), lambda W: contractive_of_matrix_norm(W, form.rho, norm)


def lmi(recurrent: Map, request: Request) -> Projection:
    """Project onto the weights whose incremental matrix inequality holds at the rate."""
    form = form_of(recurrent, request.onto)
    if form.rho.slope[0] == form.rho.slope[1]:
        raise ValueError(
            "onto='lmi' is about activations whose slopes fill an interval, received a linear map; "
            "take onto='schur'"
        )
    if request.metric is not None:
        where, certify = _incremental(form, *request.metric, request.rate)
        return _given_metric(recurrent, request, form, where, certify)
    n = len(form.W)
    low, high = slope_intervals(form.rho, n)
    problem = search.Problem(W=form.W, alpha=low, beta=high)

    def metric(W: Array, x: Array) -> tuple[MetricSet, Callable[[Array], Contraction | None]]:
        at = search.gram_at(replace(problem, W=W), x, request.rate)
        if at is None:
            raise ValueError("the weights do not reach the level")
        scale = 2.0 ** -math.frexp(float(np.max(np.abs(at.P))))[1]
        return _incremental(form, at.P * scale, at.q * scale, request.rate)

    return _alternate(recurrent, request, form, problem, request.rate, metric)


def _incremental(
    form: Affine, P: Array, q: Array, rate: float
) -> tuple[MetricSet, Callable[[Array], Contraction | None]]:
    def certify(W: Array) -> Contraction | None:
        return contractive_of_incremental_lmi(W, form.rho, P=P, q=q, rate=rate)

    return incremental_set(P, q, form.rho.slope, rate), certify


def _weights(problem: search.Problem, x: Array, rounds: int) -> tuple[Array, float] | None:
    """Return better log weights than x, and the level they reach."""
    slope = float(max(np.max(np.abs(problem.alpha)), np.max(np.abs(problem.beta))))
    level = slope * float(np.linalg.norm(problem.scaled(x), 2)) * 1.001
    if not 0 < level < math.inf:
        return None
    if problem.size <= _WEIGHTED or not np.any(problem.alpha + problem.beta):
        x, level = search.best_weights(problem, x, level, steps=rounds, sharpness=60.0)
    least = search.least_level(problem, x, level, tol=1e-4)
    return None if least is None else (x, least)


def _alternate(
    recurrent: Map,
    request: Request,
    form: Affine,
    problem: search.Problem,
    level: float,
    metric: Callable[[Array, Array], tuple[MetricSet, Callable[[Array], Contraction | None]]],
) -> Projection:
    """Alternate between the metric and the nearest weights, from a scaled copy of the given ones.

    The level of W is homogeneous, so that W scaled by level / (level of W) is a member.
    """
    W = form.W
    size = 2.0 ** math.frexp(float(np.max(np.abs(W), initial=0.0)))[1]
    x = search.starting_weights(W) if np.any(W) else np.zeros(len(W))
    if len(W) > _WEIGHTED:
        x = np.zeros(len(W))
    found = None if not np.any(W) else _weights(replace(problem, W=W / size), x, 40)
    best = None
    rounds = 0
    distances: list[float] = []
    if found is not None:
        x, least = found
        reached = least * size
        inside = W if reached < level else W * (level / reached * (1.0 - 2.0**-12))
        for rounds in range(1, _ROUNDS + 1):  # noqa: B007
            try:
                where, certify = metric(inside, x)
                done = _nearest_in_metric(recurrent, request, W, where, certify)
            except ValueError:
                break
            if done is None:
                break
            distance = float(np.linalg.norm(done[0] - W))
            if best is None or distance < distances[-1]:
                best = done
                distances.append(distance)
                inside = done[0]
            else:
                break
            if distance == 0.0:
                break
            if len(distances) > 1 and distances[-2] - distance < _SETTLED * distances[-2]:
                break
            better = _weights(replace(problem, W=inside / size), x, 15)
            if better is not None and better[1] * size < level:
                x = better[0]
    plain = spectral(recurrent, replace(request, method="auto"))
    if best is None or float(np.linalg.norm(best[0] - W)) >= plain.distance:
        note = "" if plain.distance == 0 else "no metric gave a nearer point than the spectral ball"
        return replace(plain, lower=_never_nearer(W, problem, level), note=note)
    new, certificate, nearest, method, note, margin = best
    return answer(
        recurrent,
        {parameter_of(recurrent, W): new},
        certificate=certificate,
        lower=_never_nearer(W, problem, level),
        method=f"alternation, {method}",
        iterations=rounds,
        residuals={
            "step": nearest.residual,
            "margin": margin,
            "in the last metric": 1.0 - nearest.lower / max(distances[-1], 1e-300),
        },
        note=note,
    )


def _never_nearer(W: Array, problem: search.Problem, level: float) -> float:
    r"""Return a lower bound of the distance that holds for every metric.

    Constant slopes s_i of [alpha_i, beta_i] give a linear map, so that a member has
    rho(diag(s) W) <= level in whatever metric.  If all slopes may be 0, those that vanish but on
    two units show that every 2 x 2 principal submatrix is Schur stable at level / beta; disjoint
    pairs of units have disjoint entries, and their squared distances add up.
    """
    from theory.projections.schur import pairs_lower, trace_lower

    beta = float(np.max(problem.beta))
    largest = max(beta, float(np.max(-problem.alpha)))
    if not largest > 0:
        return 0.0
    bound = trace_lower(W, up(level / largest))
    if bool(np.all(problem.alpha <= 0)) and beta == largest:
        bound = max(bound, pairs_lower(W, up(level / beta)))
    return bound
