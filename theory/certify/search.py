"""Search for contractions: from a map in affine form to certificates that a criterion accepts.

Main names: `by_incremental_lmi`, `by_numerical_radius`, `by_diagonal`.

The searches use `theory.certify.lmi`, which is not trusted; what they return has passed a
criterion.
"""

from __future__ import annotations

import math

import numpy as np

from theory.certificates import Contraction
from theory.certify import lmi
from theory.certify.accept import (
    MARGINS,
    accept_candidate,
    by_matrix_norm,
    in_units,
    problem_of,
)
from theory.certify.lyapunov import stein
from theory.maps.form import Affine
from theory.norms.norms import WeightedL2
from theory.norms.radius import balanced
from theory.theorems.contractive_of_perron_weights import perron_weights
from theory.typing import Array

#: Up to this dimension a Gram matrix of least condition number is searched for, n^2 / 2 unknowns;
#: a third of a second at 32, three seconds at 64.
DENSE = 32

#: Units differ by at most 2**(2 * 240), so that Gram matrices and their inverses stay in range; a
#: reducible W has no best units, only a sequence of ever more unequal ones.
_LARGEST_UNIT = 240


def prepare(form: Affine) -> tuple[lmi.Problem, float] | None:
    """Return the problem of W / size, and size; None for W = 0 and for linear maps."""
    largest = float(np.max(np.abs(form.W), initial=0.0))
    if largest == 0.0 or form.lipschitz == 0.0 or form.linear:
        return None
    size = 2.0 ** math.frexp(largest)[1]
    if not 1e-290 <= size < math.inf:
        return None
    problem = problem_of(form)
    return lmi.Problem(W=form.W / size, alpha=problem.alpha, beta=problem.beta), size


def in_best_units(problem: lmi.Problem) -> tuple[lmi.Problem, Array]:
    """Return the problem in units that balance rows and columns of W, and the units' exponents.

    For h = E g, E diagonal and of powers of two, the weights are E^-1 W E, formed exactly.
    """
    exponents = balanced(problem.W)[0]
    middle = (int(np.min(exponents)) + int(np.max(exponents))) // 2
    exponents = np.clip(exponents - middle, -_LARGEST_UNIT, _LARGEST_UNIT)
    shift = exponents[None, :] - exponents[:, None]
    W = np.ldexp(problem.W, shift)
    if not np.array_equal(np.ldexp(W, -shift), problem.W):
        return problem, 0 * exponents
    return lmi.Problem(W=W, alpha=problem.alpha, beta=problem.beta), exponents


def _certify_at(
    form: Affine, problem: lmi.Problem, size: float, units: Array, x: Array, level: float
) -> Contraction | None:
    """Return the contraction at the smallest margin above the level that is accepted."""
    for margin in MARGINS:
        r = level * (1.0 + margin)
        if not r * size < 1.0:
            return None
        candidate = lmi.gram_at(problem, x, r)
        if candidate is None:
            continue
        P, q = in_units(candidate.P, units), in_units(np.diag(candidate.q), units).diagonal()
        found = accept_candidate(form, lmi.Candidate(P=P, q=q, r=r * size))
        if found is not None:
            return found
    return None


def norm_level(problem: lmi.Problem, x: Array) -> float:
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

    For slopes in [0, 1] the rate is the numerical radius of W; for a W whose units are worth
    balancing, that of D W D^-1 for the D that balances it, where it is less.
    """
    prepared = prepare(form)
    if prepared is None:
        return None
    given, size = prepared
    best, units = in_best_units(given)
    tries = [(given, 0 * units, np.zeros(given.size))]
    if np.any(units):
        tries.append((best, units, lmi.starting_weights(_steepest(best)[:, None] * best.W)))
    found: list[tuple[float, lmi.Problem, Array, Array]] = []
    for problem, e, x in tries:
        if np.any(problem.product):
            guess = norm_level(problem, x)
        else:
            B = problem.scaled(x)
            guess = max(lmi.radius_below(problem, B), 2.0**-30 * float(np.linalg.norm(B)))
        weights = x + _shift(problem)
        level = lmi.least_level(
            problem,
            weights,
            guess,
            tol=_tolerance(problem.size),
            below=not np.any(problem.product) and not np.any(_shift(problem)),
        )
        if level is not None:
            found.append((level, problem, e, weights))
    if not found:
        return None
    level, problem, units, x = min(found, key=lambda one: one[0])
    return _certify_at(form, problem, size, units, x, level)


def _weights(
    problem: lmi.Problem, *, sharpness: float = lmi.SHARPNESS, work: float = lmi.WORK
) -> tuple[Array, float] | None:
    """Return log weights that nearly minimise the level, and the level they reach."""
    # equal weights; balanced rows and columns; the weights of the best maximum norm, the only ones
    # of the three that are good for a reducible W
    steep = _steepest(problem)[:, None] * problem.W
    perron = -np.log(perron_weights(steep))
    starts = [np.zeros(problem.size), lmi.starting_weights(steep), perron - np.mean(perron)]
    levels = [norm_level(problem, x) for x in starts]
    i = int(np.argmin(np.array(levels) * [1.0, 1.02, 1.02]))
    if not np.isfinite(levels[i]):
        return None
    x, level = lmi.best_weights(
        problem,
        starts[i] + _shift(problem),
        levels[i],
        sharpness=sharpness,
        work=work,
    )
    return x, level


def rough_gram(form: Affine) -> Array | None:
    """Return a Gram matrix in whose norm all slopes let states grow by little, unverified."""
    if form.linear:
        A = form.W * form.lipschitz
        radius = float(np.max(np.abs(np.linalg.eigvals(A))))
        r = 1.001 * max(radius, 2.0**-20 * float(np.linalg.norm(A, 2)))
        return stein(A, r) if 1e-150 < r < 1e150 else None
    prepared = prepare(form)
    if prepared is None:
        return None
    problem, units = in_best_units(prepared[0])
    found = _weights(problem, sharpness=32.0)
    if found is None:
        return None
    candidate = lmi.gram_at(problem, found[0], found[1] * (1.0 + 2.0**-10))
    return None if candidate is None else in_units(candidate.P, units)


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
    return c.described(detail=f"{c.evidence.detail}; {note}")


#: What the search of weights may take where the answer should come in seconds.
QUICK = lmi.WORK / 2


def by_incremental_lmi_quickly(form: Affine) -> Contraction | None:
    """Return what `by_incremental_lmi` finds with less work: the same up to n = 200 or so."""
    return by_incremental_lmi(form, work=QUICK)


def by_incremental_lmi(form: Affine, *, work: float = lmi.WORK) -> Contraction | None:
    """Return the contraction of the incremental matrix inequality with the best weights found."""
    prepared = prepare(form)
    if prepared is None:
        return None
    given, size = prepared
    problem, units = in_best_units(given)
    found = _weights(problem, work=work)
    if found is None:
        return None
    x, level = found
    best = lmi.least_level(problem, x, level, tol=_tolerance(problem.size))
    certificate = None if best is None else _certify_at(form, problem, size, units, x, best)
    if certificate is None and best is not None and best * size < 1.0:
        # weights too unequal for double precision: pull them together, as little as need be
        for share in (0.98, 0.95, 0.9, 0.85, 0.8, 0.7, 0.55, 0.4, 0.2):
            best = lmi.least_level(problem, share * x, norm_level(problem, share * x))
            if best is not None:
                certificate = _certify_at(form, problem, size, units, share * x, best)
            if certificate is not None:
                break
    return _told(certificate, form, x)


def by_diagonal(form: Affine) -> Contraction | None:
    """Return the contraction in the best weighted Euclidean norm with diagonal P."""
    steep = form.steepest[:, None] * form.W
    largest = float(np.max(np.abs(steep), initial=0.0))
    if largest == 0.0:
        return None
    n = len(form.W)
    plain, units = in_best_units(
        lmi.Problem(W=steep / largest, alpha=np.full(n, -1.0), beta=np.ones(n))
    )
    found = _weights(plain)
    if found is None:
        return None
    for share in (1.0, 0.75, 0.5, 0.25):
        d = np.exp(share * found[0])
        try:
            norm = WeightedL2(in_units(np.diag(np.square(d / np.max(d))), units))
        except ValueError:  # too unequal to be proved positive definite
            continue
        certificate = by_matrix_norm(form, norm)
        if certificate is not None:
            weights = np.sqrt(norm.P.diagonal())
            named = certificate.described(
                method="diagonal weights",
                detail=f"{certificate.evidence.detail}; weights within a factor "
                f"{float(np.max(weights) / np.min(weights)):.6g}",
            )
            return _told(named, form, found[0])
    return None
