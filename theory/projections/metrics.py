"""Projections of affine maps onto the sets that contract in a metric, given or searched.

Main names: `diagonal`, `lmi`.

Only the recurrent weights move.  The sets of `diagonal` and `lmi` without a given metric are unions
of convex sets, one for each metric; the distance is minimised over the metric too
(`theory.projections.families`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from theory.arithmetic.activations import slope_intervals
from theory.arithmetic.rounding import UNIT, ldexp_up, scaled_to_one, up
from theory.certificates import Contraction
from theory.certify import lmi as search
from theory.certify.accept import accept_candidate, problem_of
from theory.maps.base import Map
from theory.maps.form import Affine
from theory.norms.norms import WeightedL2
from theory.projections import oracle
from theory.projections.base import (
    NOT_CONVEX,
    Projection,
    Request,
    accepted_arrays,
    make_projection,
)
from theory.projections.families import (
    DiagonalFamily,
    Family,
    IncrementalFamily,
    best_metric,
    largest_condition,
)
from theory.projections.forms import Certify, form_of, radius_of, scale_near
from theory.projections.metric import (
    Found,
    MetricSet,
    clip_in_metric,
    gram_set,
    incremental_set,
    metric_ball,
)
from theory.projections.norm_balls import spectral
from theory.projections.pairs import scaled_numerical_radius_lower, scaled_rows_lower
from theory.projections.repair import SINGLE_UNIT, least_margin
from theory.projections.spectrum_lower import principal_lower, schur_lower
from theory.theorems.contractive_of_incremental_lmi import contractive_of_incremental_lmi
from theory.theorems.contractive_of_matrix_norm import contractive_of_matrix_norm
from theory.typing import Array

#: Up to this dimension the search over metrics runs until it settles; beyond, for one round.
_WEIGHTED = 64

#: Margins up to which the test of members is tried on a result, so that it stays as it is.
_ROOM = (0.0, *(2.0**-e for e in range(16, 9, -1)))


def _nearest_in_metric(
    request: Request,
    W: Array,
    where: MetricSet,
    certify: Certify,
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
            method = solved.method
    if found is None:
        found = metric_ball(W, where, start=start)
    unit = SINGLE_UNIT if request.single else UNIT
    best = found
    done = accepted_arrays(
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
    certify: Certify,
) -> Projection:
    done = _nearest_in_metric(request, form.W, where, certify)
    if done is None:
        raise ArithmeticError(
            f"no member could be proved to contract at {request.rate!r} in this metric; its Gram "
            "matrix may be too ill-conditioned: pull it towards the identity"
        )
    new, certificate, found, method, note, margin = done
    return make_projection(
        recurrent,
        {recurrent.recurrent_name: new},
        certificate=certificate,
        lower=found.lower,
        method=method,
        iterations=found.iterations,
        residuals={"step": found.residual, "margin": margin},
        note=note,
    )


@scale_near
def diagonal(recurrent: Map, request: Request) -> Projection:
    """Project onto slope * ||D W D^-1||_2 <= rate, D = diag(weights) or the best found."""
    form = form_of(recurrent, request.onto)
    radius = radius_of(form, request.rate)
    if request.weights is not None:
        try:
            where, certify = _diagonal_set(form, request.weights, radius)
        except ValueError:
            least, largest = float(np.min(request.weights)), float(np.max(request.weights))
            raise ValueError(
                f"weights= go from {least!r} to {largest!r}, too far apart to prove that their "
                "squares are positive beside each other; bring them closer together"
            ) from None
        return _given_metric(recurrent, request, form, where, certify)
    n = len(form.W)
    if not np.any(form.W):
        return spectral(recurrent, request)
    problem = search.Problem(W=form.W, alpha=np.full(n, -1.0), beta=np.ones(n))

    def starting(W: Array) -> list[Family]:
        balanced, best = search.starting_weights(W), _weights(replace(problem, W=W))
        logs = [np.zeros(n), balanced, *([] if best is None else [best[0]])]
        # weights too far apart for a proof are cut, or all brought together
        reach = 0.5 * math.log(largest_condition(n)) * (1.0 - 2.0**-20)
        for x in logs[1:]:
            spread = float(np.max(x) - np.min(x))
            if spread > reach:
                logs += [np.maximum(x, float(np.max(x)) - reach), x * (reach / spread)]
        return [DiagonalFamily(log=x, radius=radius) for x in logs]

    def proof(family: Family) -> tuple[MetricSet, Certify]:
        assert isinstance(family, DiagonalFamily)
        return _diagonal_set(form, family.weights(np.zeros(n)), radius)

    lower = max(_never_nearer(form.W, problem, radius), scaled_rows_lower(form.W, up(radius)))
    return _in_some_metric(recurrent, request, form, starting, proof, lower)


def _diagonal_set(form: Affine, d: Array, radius: float) -> tuple[MetricSet, Certify]:
    P = np.diag(np.square(d / float(np.max(d))))
    norm = WeightedL2(P)
    return gram_set(P, radius), lambda W: contractive_of_matrix_norm(W, form.rho, norm=norm)


@scale_near
def lmi(recurrent: Map, request: Request) -> Projection:
    r"""Project onto the weights whose incremental matrix inequality holds at the rate.

    If the slopes include 0, a member W has |y* D W D^-1 y| <= rate / L |y|^2 with D^2 = diag(q) and
    L the largest modulus of a slope.  For with f the change of the activations and a <= 0 <= b,

        rate^2 x* P x - f* P f >= sum_i 2 q_i (f - a W x)_i (b W x - f)_i     for all x, f,
        (f - a v) (b v - f) = (1 - a / b) f (b v - f) - (a / b) (b v - f)^2,

    so that q_i (1 - a / b) f (b W x - f)_i may stand on the right; the rest is not negative.  Put
    f = rate z x with |z| = 1: what is left is b Re(z* x* Q W x) <= rate x* Q x.  Where -a is the
    larger one, look at -W.
    """
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
    if not np.any(form.W):
        return spectral(recurrent, request)
    slopes, rate = form.rho.slope, request.rate
    low, high = slope_intervals(form.rho, n)
    problem = search.Problem(W=form.W, alpha=low, beta=high)

    def starting(W: Array) -> list[Family]:
        # P = I, q = (1, ..) gives a spectral ball; others from scaled copies of W, which are
        # members
        families: list[Family] = [
            IncrementalFamily(root=np.eye(n), q=np.ones(n), slopes=slopes, radius=rate)
        ]
        found = _weights(replace(problem, W=W))
        if found is None:
            return families
        x, reached = found
        scaled, e = scaled_to_one(W)
        level = ldexp_up(reached, -e)
        shares = (1.0 - 2.0**-12, 0.97, 0.9, 0.75)
        for scale in (1.0, *shares) if reached < rate else shares:
            member = W if scale == 1.0 else scaled * (rate / level * scale)
            at = search.gram_at(replace(problem, W=member), x, rate)
            if at is None:
                continue
            P, e = scaled_to_one(at.P)
            try:
                root = np.asarray(np.linalg.cholesky(P).T, dtype=np.float64)
            except np.linalg.LinAlgError:
                continue
            q = np.ldexp(at.q, -e)
            families.append(IncrementalFamily(root=root, q=q, slopes=slopes, radius=rate))
        return families

    def proof(family: Family) -> tuple[MetricSet, Certify]:
        assert isinstance(family, IncrementalFamily)
        return _incremental(form, *family.pair(np.zeros(family.size())), rate)

    lower = _never_nearer(form.W, problem, rate)
    if slopes[0] <= 0 <= slopes[1]:
        within = scaled_numerical_radius_lower(form.W, up(rate / form.rho.lipschitz))
        lower = max(lower, within)
    return _in_some_metric(recurrent, request, form, starting, proof, lower)


def _incremental(form: Affine, P: Array, q: Array, rate: float) -> tuple[MetricSet, Certify]:
    def certify(W: Array) -> Contraction | None:
        return contractive_of_incremental_lmi(W, form.rho, P=P, q=q, rate=rate)

    return incremental_set(P, q, form.rho.slope, rate), certify


def gentle_metric(recurrent: Map, rate: float) -> Contraction | None:
    """Return the certificate of a member in a metric of moderate weights; None if none is found.

    The weights of least level may be far apart, as those of a reducible matrix are: the first that
    suffice, on the way to them from equal ones, distort less.
    """
    form = form_of(recurrent, "lmi")
    problem = problem_of(form)
    found = _weights(problem) if np.any(form.W) else None
    if found is None:
        return None
    for share in (0.0, 0.25, 0.5, 0.75, 0.9, 1.0):
        c = accept_candidate(form, search.gram_at(problem, share * found[0], rate))
        if c is not None:
            return c
    return None


def _weights(problem: search.Problem) -> tuple[Array, float] | None:
    """Return log weights of a small level, and the level."""
    W, e = scaled_to_one(problem.W)
    problem = replace(problem, W=W)
    x = search.starting_weights(problem.W)
    slope = float(max(np.max(np.abs(problem.alpha)), np.max(np.abs(problem.beta))))
    levels = [
        slope * float(np.linalg.norm(problem.scaled(start), 2)) * 1.001 for start in (x, 0.0 * x)
    ]
    x, level = (x, levels[0]) if levels[0] < levels[1] else (0.0 * x, levels[1])
    if not 0 < level < math.inf:
        return None
    if problem.size <= _WEIGHTED:
        x, level = search.best_weights(problem, x, level)
    least = search.least_level(problem, x, level, tol=1e-6)
    return None if least is None else (x, ldexp_up(least, e))


def _in_some_metric(
    recurrent: Map,
    request: Request,
    form: Affine,
    starting: Callable[[Array], Sequence[Family]],
    proof: Callable[[Family], tuple[MetricSet, Certify]],
    lower: float,
) -> Projection:
    """Return the nearest member in the best metric found, or in the spectral ball."""
    W, n = form.W, len(form.W)
    done = None

    def member(W: Array, families: Sequence[Family]) -> Contraction | None:
        """Return the contraction of a member of one of the starting sets."""
        for family in families:
            if family.at(np.zeros(family.size())) is None:
                continue
            c = proof(family)[1](W)
            if c is not None and c.lam <= request.rate:
                return c
        return None

    families = starting(W)
    given = member(W, families)
    if given is not None and np.array_equal(request.cast(W), W):
        return make_projection(recurrent, {}, certificate=given, lower=0.0, method="member")
    rounds = 8 if n <= _WEIGHTED else 1
    best = best_metric(W, families, rounds=rounds)
    if best is not None:
        where, certify = proof(best.family)
        done = _nearest_in_metric(request, W, where, certify, best.found.W)
    plain = spectral(recurrent, replace(request, method="auto"))
    if best is None or done is None or float(np.linalg.norm(done[0] - W)) >= plain.distance:
        note = "no metric gave a nearer point than the spectral ball"
        return replace(plain, lower=min(lower, plain.distance), note=note)
    new, certificate, nearest, method, note, margin = done
    # the test of members knows nothing of the metric found here, and may need more room
    for step in _ROOM if n <= _WEIGHTED else ():
        inner = new if step == 0.0 else request.cast(nearest.W * (1.0 - step))
        c = member(inner, starting(inner))
        if c is not None:
            new, certificate, margin = inner, (certificate if step == 0.0 else c), max(margin, step)
            break
    return make_projection(
        recurrent,
        {recurrent.recurrent_name: new},
        certificate=certificate,
        lower=lower,
        method=f"descent over metrics, {method}",
        iterations=best.evaluations,
        residuals={
            "margin": margin,
            "gap in the last metric": 1.0 - nearest.lower / max(best.distance, 1e-300),
        },
        note=note or NOT_CONVEX,
    )


def _never_nearer(W: Array, problem: search.Problem, level: float) -> float:
    r"""Return a lower bound of the distance that holds for every metric.

    Constant slopes s_i of [alpha_i, beta_i] give a linear map, so that a member has
    rho(diag(s) W) <= level in whatever metric.  If all slopes may be 0, those that vanish but on
    one or two units show that every principal submatrix of these orders is Schur stable at level /
    beta.
    """
    beta = float(np.max(problem.beta))
    largest = max(beta, float(np.max(-problem.alpha)))
    if not largest > 0:
        return 0.0
    bound = schur_lower(W, up(level / largest))
    if bool(np.all(problem.alpha <= 0)) and beta == largest:
        bound = max(bound, principal_lower(W, up(level / beta)))
    return bound
