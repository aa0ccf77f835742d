r"""Search for contractions: from a map in affine form to certificates accepted by `theory.rigor`.

Main names: `by_incremental_lmi`, `by_numerical_radius`, `by_diagonal`, `by_lyapunov`, `trade_offs`,
`accepted`.

The searches use `theory.lmi`, which is not trusted; what they return has passed a criterion.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from theory import lmi
from theory.certificates import Contraction, Evidence
from theory.maps.base import Affine
from theory.norms import Norm, WeightedL2
from theory.rounding import scaled_to_one
from theory.theorems.contractive_of_incremental_lmi import contractive_of_incremental_lmi
from theory.theorems.contractive_of_matrix_norm import contractive_of_matrix_norm
from theory.theorems.contractive_of_perron_weights import perron_weights
from theory.typing import Array

#: Margins above the least level, tried in turn until the trusted check accepts.
MARGINS = tuple(2.0**-e for e in range(21, 1, -2))

#: Up to this dimension a Gram matrix of least condition number is searched for, n^2 / 2 unknowns;
#: a third of a second at 32, three seconds at 64.
DENSE = 32

#: A Gram matrix with a larger condition number is of no use: its root enters every bound.
LARGEST_CONDITION = 2.0**44


def problem_of(form: Affine) -> lmi.Problem:
    """Return weights, scaled to largest entry about 1 by a power of two, and slopes."""
    low, high = form.slopes
    return lmi.Problem(W=form.W, alpha=low, beta=high)


def _prepared(form: Affine) -> tuple[lmi.Problem, float] | None:
    """Return the problem of W / size, and size; None for W = 0 and for linear maps."""
    largest = float(np.max(np.abs(form.W), initial=0.0))
    if largest == 0.0 or form.lipschitz == 0.0 or form.linear:
        return None
    size = 2.0 ** math.frexp(largest)[1]
    if not 1e-290 <= size < math.inf:
        return None
    problem = problem_of(form)
    return lmi.Problem(W=form.W / size, alpha=problem.alpha, beta=problem.beta), size


def accepted(form: Affine, candidate: lmi.Candidate | None) -> Contraction | None:
    """Return the contraction of a candidate if the criterion accepts it."""
    if candidate is None or not 0 <= candidate.r < 1:
        return None
    P, q = candidate.P, candidate.q
    if not (np.isfinite(P).all() and np.isfinite(q).all() and float(np.min(q)) > 0):
        return None
    P, e = scaled_to_one(P)
    values = np.linalg.eigvalsh(P)
    if not values[0] * LARGEST_CONDITION > values[-1]:
        return None
    try:
        return contractive_of_incremental_lmi(
            form.W,
            form.rho,
            P=P,
            q=np.ldexp(q, -e),
            rate=candidate.r,
            slopes=form.slopes,
            domain=form.domain,
        )
    except ValueError:  # P is not provably positive definite
        return None


def _certify_at(
    form: Affine, problem: lmi.Problem, size: float, x: Array, level: float
) -> Contraction | None:
    """Return the contraction at the smallest margin above the level that is accepted."""
    for margin in MARGINS:
        r = level * (1.0 + margin)
        if not r * size < 1.0:
            return None
        candidate = lmi.gram_at(problem, x, r)
        if candidate is None:
            continue
        found = accepted(form, lmi.Candidate(P=candidate.P, q=candidate.q, r=r * size))
        if found is not None:
            return found
    return None


def _norm_level(problem: lmi.Problem, x: Array) -> float:
    """Return a level that the weights D = diag(exp(x + `_shift`)) reach: |D diag(L) W D^-1|."""
    scaled = _steepest(problem)[:, None] * problem.scaled(x)
    return float(np.linalg.norm(scaled, 2)) * 1.001


def _steepest(problem: lmi.Problem) -> Array:
    largest: Array = np.maximum(np.abs(problem.alpha), np.abs(problem.beta))
    return largest


def _shift(problem: lmi.Problem) -> Array:
    r"""Return what turns log weights of a norm into those of the matrix inequality.

    With L the largest slope and tau = 2 L / (beta - alpha), in every unit,

        L^2 v^2 - s^2 = tau (s - alpha v)(beta v - s) + (tau - 1)(beta v - s)^2   if L = beta,

    and alike if L = -alpha: where P = D^2 proves a level for |s| <= L |v|, so it does, with
    Q = tau D^2, for the slopes in [alpha, beta].  Zero if all intervals are alike.
    """
    steep, width = _steepest(problem), problem.beta - problem.alpha
    # a unit without uncertainty would have weight infinity
    logs = 0.5 * np.log(
        np.maximum(steep, 2.0**-60) / np.maximum(width, 2.0**-12 * steep + 2.0**-60)
    )
    shift: Array = logs - np.mean(logs)
    return np.where(np.abs(shift) < 2.0**-40, 0.0, shift)


def _tolerance(n: int) -> float:
    """Return how near the least level is sought: each halving is a cyclic reduction more."""
    return 1e-6 if n <= 256 else 2e-5


def by_numerical_radius(form: Affine) -> Contraction | None:
    """Return the contraction for Q = I, or for Q as unequal slopes ask for it.

    For slopes in [0, 1] the rate is the numerical radius.
    """
    prepared = _prepared(form)
    if prepared is None:
        return None
    problem, size = prepared
    x = _shift(problem)
    guess = _norm_level(problem, np.zeros(problem.size))
    if not np.any(problem.product):
        guess = max(lmi.radius_below(problem, problem.W), 2.0**-30 * guess)
    level = lmi.least_level(problem, x, guess, tol=_tolerance(problem.size))
    return None if level is None else _certify_at(form, problem, size, x, level)


def _weights(problem: lmi.Problem, sharpness: float | None = None) -> tuple[Array, float] | None:
    """Return log weights that nearly minimise the level, and the level they reach."""
    # equal weights; balanced rows and columns; the weights of the best maximum norm, the only ones
    # of the three that are good for a reducible W
    steep = _steepest(problem)[:, None] * problem.W
    perron = -np.log(perron_weights(steep))
    starts = [np.zeros(problem.size), lmi.starting_weights(steep), perron - np.mean(perron)]
    levels = [_norm_level(problem, x) for x in starts]
    i = int(np.argmin(np.array(levels) * [1.0, 1.02, 1.02]))
    if not np.isfinite(levels[i]):
        return None
    x, level = lmi.best_weights(
        problem,
        starts[i] + _shift(problem),
        levels[i],
        sharpness=lmi.SHARPNESS if sharpness is None else sharpness,
    )
    return x, level


def rough_gram(form: Affine) -> Array | None:
    """Return a Gram matrix in whose norm all slopes let states grow by little, unverified."""
    if form.linear:
        A = form.W * form.lipschitz
        radius = float(np.max(np.abs(np.linalg.eigvals(A))))
        r = 1.001 * max(radius, 2.0**-20 * float(np.linalg.norm(A, 2)))
        return _stein(A, r) if 1e-150 < r < 1e150 else None
    prepared = _prepared(form)
    found = None if prepared is None else _weights(prepared[0], sharpness=32.0)
    if prepared is None or found is None:
        return None
    candidate = lmi.gram_at(prepared[0], found[0], found[1] * (1.0 + 2.0**-10))
    return None if candidate is None else candidate.P


def _is_reducible(W: Array) -> bool:
    """Return whether states fall into groups of which one drives another and is not driven back."""
    from scipy.sparse.csgraph import connected_components

    count, group = connected_components(W != 0, directed=True, connection="strong")
    return bool(count > 1 and np.any(W[group[:, None] != group[None, :]]))


def _told(c: Contraction | None, form: Affine, x: Array) -> Contraction | None:
    """Return the contraction; its evidence says where the least rate may not be attained."""
    if c is None:
        return None
    # multiplying the weights of one group by a large factor makes the others' effect on it vanish
    note = ""
    if _is_reducible(form.W):
        note = (
            "W is reducible: the infimum over all weights is that of its irreducible blocks, and "
            "need not be attained; this rate is above it"
        )
    elif float(np.max(np.abs(x))) >= lmi.LARGEST_LOG:
        note = "the weights are at their limit: this rate is above the infimum over all weights"
    if not note:
        return c
    evidence = replace(c.evidence, detail=f"{c.evidence.detail}; {note}")
    return replace(c, evidence=evidence)


def by_incremental_lmi(form: Affine) -> Contraction | None:
    """Return the contraction of the incremental matrix inequality with the best weights found."""
    prepared = _prepared(form)
    if prepared is None:
        return None
    problem, size = prepared
    found = _weights(problem)
    if found is None:
        return None
    x, level = found
    best = lmi.least_level(problem, x, level, tol=_tolerance(problem.size))
    certificate = None if best is None else _certify_at(form, problem, size, x, best)
    if certificate is None:
        # weights too unequal for double precision: pull them together, as little as need be
        for share in (0.98, 0.95, 0.9, 0.85, 0.8, 0.7, 0.55, 0.4, 0.2):
            best = lmi.least_level(problem, share * x, _norm_level(problem, share * x))
            if best is not None:
                certificate = _certify_at(form, problem, size, share * x, best)
            if certificate is not None:
                break
    return _told(certificate, form, x)


def by_matrix_norm(form: Affine, norm: Norm) -> Contraction | None:
    """Return the contraction in a given norm, by the norm of W."""
    return contractive_of_matrix_norm(
        form.W, form.rho, norm, slopes=form.slopes, domain=form.domain
    )


def by_diagonal(form: Affine) -> Contraction | None:
    """Return the contraction in the best weighted Euclidean norm with diagonal P."""
    steep = form.steepest[:, None] * form.W
    largest = float(np.max(np.abs(steep), initial=0.0))
    if largest == 0.0:
        return None
    n = len(form.W)
    plain = lmi.Problem(W=steep / largest, alpha=np.full(n, -1.0), beta=np.ones(n))
    found = _weights(plain)
    if found is None:
        return None
    for share in (1.0, 0.75, 0.5, 0.25):
        d = np.exp(share * found[0])
        try:
            norm = WeightedL2(np.diag(np.square(d / np.max(d))))
        except ValueError:  # too unequal to be proved positive definite
            continue
        certificate = by_matrix_norm(form, norm)
        if certificate is not None:
            evidence = Evidence(
                kind="certified",
                method="diagonal weights",
                detail=f"{certificate.evidence.detail}; weights within a factor "
                f"{float(np.max(d) / np.min(d)):.6g}",
            )
            return _told(replace(certificate, evidence=evidence), form, found[0])
    return None


def _stein(A: Array, r: float) -> Array | None:
    """Return P = sum of (A^T / r)^j (A / r)^j, with A^T P A = r^2 (P - I); None if it diverges."""
    with np.errstate(over="ignore", invalid="ignore"):
        P = lmi.sum_of_powers((A / r).T, np.eye(len(A)))
    return 0.5 * (P + P.T) if np.isfinite(P).all() else None


def lyapunov_at(form: Affine, r: float, *, dense: int = 0) -> Contraction | None:
    """Return the contraction of a linear map in the Lyapunov norm of level r / slope.

    Up to n = `dense`, in a norm of nearly least condition number at that rate.
    """
    slope = form.lipschitz
    P = None if not r > 0 else _stein(form.W * slope, r)
    if P is None:
        return None
    values = np.linalg.eigvalsh(P)
    if not 0 < values[-1] < LARGEST_CONDITION * values[0]:
        return None
    if len(P) <= dense:
        P = lmi.cheaper_lyapunov(form.W * slope, P, r)
    try:
        norm = WeightedL2(P * 2.0 ** -math.frexp(float(np.max(np.abs(P))))[1])
    except ValueError:
        return None
    found = by_matrix_norm(form, norm)
    if found is None:
        return None
    evidence = Evidence(
        kind="certified",
        method="Lyapunov",
        detail=f"sqrt(cond(P)) <= {norm.condition_upper:.6g}",
    )
    return Contraction(lam=found.lam, norm=norm, evidence=evidence, domain=form.domain)


def by_lyapunov(form: Affine) -> Contraction | None:
    """Return the contraction of a linear map at a rate as near its spectral radius as P allows."""
    if not form.linear or not np.any(form.W) or form.lipschitz == 0.0:
        return None
    A = form.W * form.lipschitz
    radius = float(np.max(np.abs(np.linalg.eigvals(A))))
    top = float(np.linalg.norm(A, 2))
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
    return replace(best, evidence=replace(best.evidence, detail=detail))


def cheapest_at(
    form: Affine, sharpest: Contraction, rate: float, *, dense: int = DENSE
) -> Contraction | None:
    """Return a contraction of about the given rate, in a norm of small condition number.

    The rate should be above that of `sharpest`, a contraction by the matrix inequality, the
    numerical radius or a Lyapunov norm.  Up to n = `dense` the condition number is nearly the least
    possible at that rate; beyond, weights are pulled towards equality as far as the rate allows.
    """
    if form.linear:
        return lyapunov_at(form, rate, dense=dense)
    n = len(form.W)
    prepared = _prepared(form)
    q = np.array(sharpest.evidence.multipliers)
    if prepared is None or len(q) != n:
        return None
    problem, size = prepared
    r = rate / size
    x = 0.5 * np.log(q / float(np.exp(np.mean(np.log(q)))))
    # log level is convex along the path s x, so the shares that reach r are an interval up to 1
    low, high = 0.0, 1.0
    for _ in range(12):
        middle = 0.5 * (low + high)
        reached = lmi.factors(problem, problem.scaled(middle * x), r * (1 - 1e-3)) is not None
        low, high = (low, middle) if reached else (middle, high)
    candidate = lmi.gram_at(problem, high * x, r)
    if candidate is None:
        return None
    if n <= dense:
        better = accepted(form, _resized(lmi.cheaper(problem, candidate), size))
        if better is not None:
            return better
    return accepted(form, _resized(candidate, size))


def _resized(candidate: lmi.Candidate, size: float) -> lmi.Candidate:
    return lmi.Candidate(P=candidate.P, q=candidate.q, r=candidate.r * size)


def end_of_trade(form: Affine) -> float:
    """Return the rate beyond which nothing is gained: of the Euclidean norm itself, or nearly 1."""
    return min(_norm_level(problem_of(form), np.zeros(len(form.W))), 1.0 - 1e-9)


def trade_offs(
    form: Affine, sharpest: Contraction, *, count: int = 4, dense: int = DENSE
) -> Iterator[Contraction]:
    r"""Yield contractions of larger rate and smaller condition number.

    Between the rate of `sharpest` and `end_of_trade`, on a grid that is denser near the former (the
    best choice for small errors).
    """
    end = end_of_trade(form)
    if not 0 < sharpest.lam < end:
        return
    for j in range(1, count + 1):
        share = (j / (count + 1)) ** 2
        found = cheapest_at(
            form, sharpest, sharpest.lam * (end / sharpest.lam) ** share, dense=dense
        )
        if found is not None:
            yield found
