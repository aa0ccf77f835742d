r"""Contraction from matrices that majorise a step entry by entry.

Statement   |step(h, x) - step(g, x)| <= row / weight * |h - g|
Assumes     |step(h, x) - step(g, x)|_i <= max over matrices M >= 0 of (M |h - g|)_i for all i, and
            all states and inputs lie in a domain that the map never leaves;
            |h| = max_i |h_i| / v_i, v positive; (M v)_i / v_i <= row / weight for all i and M
Kind        sharp, attained by linear maps with W >= 0; contractive_of_perron_weights is the case of
            one matrix slope * |W|
Source      this project; comparison systems (Bonassi, Farina and Scattolini, arXiv 2011.06806, have
            that of a GRU with one row); Collatz-Wielandt
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from theory.arithmetic.rounding import evaluate
from theory.certificates import Contraction, certified
from theory.domain import Domain
from theory.errors import as_square, as_vector
from theory.norms.norms import WeightedLinf
from theory.norms.resolvent import graded_weights, largest_image, largest_rate
from theory.theorems.assumptions import IN_DOMAIN, MAJORISED, WEIGHTED_MAXIMUM
from theory.theorems.contractive_of_perron_weights import LARGEST_RATIO
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Array, Scalar


def formula(row: Scalar, weight: Scalar) -> Scalar:
    """Return the right-hand side."""
    return row / weight


#: The search for weights ends when its rate is this near to the least possible, relatively: over
#: the context that forgets by a factor e it changes a bound by less than 2**-30 / (1 - lam).
SEARCH_SLACK = 2.0**-30

#: Multiplications that the search may take, about a second, steps that it takes in any case, and
#: the most; and the most in units in which weights are near to their best.
_WORK, _STEPS, _MOST, _MOST_INSIDE = 2.0**29, 60, 1000, 200

#: Perturbations tried, from well irreducible to none, as parts of the largest row sum.
_SHIFTS = (2.0**-10, 2.0**-20, 2.0**-30, 0.0)


def comparison_weights(matrices: Sequence[Array], start: Array | None = None) -> Array:
    r"""Return positive weights that nearly minimise max_M max_i (M v)_i / v_i.

    Within `LARGEST_RATIO` where that is as good: units coupled almost one way, or of very different
    sizes, ask for more (`theory.norms.resolvent`).  Candidates only: any positive vector certifies
    some rate.  A start at which 1 / v or the rate overflows is left out.
    """

    def inner(scaled: Sequence[Array]) -> Array:
        return _within_ratio(scaled, most=_MOST_INSIDE)

    return graded_weights(matrices, _within_ratio(matrices, start), inner=inner)


@np.errstate(over="ignore")
def _within_ratio(
    matrices: Sequence[Array], start: Array | None = None, *, most: int = _MOST
) -> Array:
    r"""Return weights that differ by little more than a start or by at most `LARGEST_RATIO`.

    Power iteration on v -> max_M M v, of which the rate max_i (max_M M v)_i / v_i never grows:
    M v <= lam v gives M M v <= lam M v.  A small constant added to all entries makes it converge
    for reducible matrices; the less is added, the more unequal the weights may become.
    """
    n = len(matrices[0])
    v = np.ones(n)
    if start is not None:
        given = start / np.max(start)
        usable = np.min(given) >= np.finfo(np.float64).tiny
        if usable and math.isfinite(largest_rate(matrices, given)):
            v = given
        else:
            start = None
    best, best_rate = v, largest_rate(matrices, v)
    scale = best_rate if start is None else largest_rate(matrices, np.ones(n))
    # no weights give less than a diagonal entry: of a diagonal matrix all give it
    least = max(float(np.max(np.diagonal(M), initial=0.0)) for M in matrices)
    if not (math.isfinite(scale) and scale > 0 and best_rate > least * (1 + SEARCH_SLACK)):
        return best
    steps = max(_STEPS, min(int(_WORK / (len(matrices) * n * n)), most))
    for shift in _SHIFTS:
        # a perturbed matrix need not be known better than it is near to the other
        enough = max(SEARCH_SLACK, shift / 4)
        for _ in range(steps):
            steps -= 1
            image = largest_image(matrices, v)
            quotients = image / v
            floor = quotients.min()
            # f(v) >= v shows that no weights give a rate below 1
            if floor >= 1:
                return best
            if shift:
                image = image + shift * scale * (v.sum() / n)
                quotients = image / v
                floor = quotients.min()
            rate = quotients.max()
            if rate - floor <= enough * rate:
                break
            # a part of v keeps periodic matrices from going around in circles
            v = image / scale + rate / scale / 4 * v
            v = np.maximum(v / v.max(), 1.0 / LARGEST_RATIO)
        quotients = largest_image(matrices, v) / v
        found = float(quotients.max())
        if found < best_rate * (1 - SEARCH_SLACK):
            best, best_rate = v, found
        if found - quotients.min() <= SEARCH_SLACK * found:
            break
    return best


def contractive_of_comparison(
    matrices: Any, *, weights: Any = None, domain: Domain | None = None
) -> Contraction | None:
    r"""Return the contraction, in the best weighted maximum norm, of a map that matrices majorise.

    Parameters
    ----------
    matrices : sequence of (n, n) arrays
        Non-negative, with |step(h, x) - step(g, x)|_i <= max_M (M |h - g|)_i for all states h, g
        and inputs x of the domain, as `Map.comparison` returns them.
    weights : (n,) array, optional
        Where the search for the weights of the norm begins; the rate is never above that of these.
    domain : Domain, optional
        Where the matrices hold, a box that the map never leaves
        (`theory.certify.invariant_domain`); everywhere by default.

    Returns
    -------
    Contraction or None
        In `WeightedLinf(v)`, with a rate just above the joint Perron root; where weights become
        ever more unequal near it, with one in whose weights less remains sooner.  None if that is
        not below 1, or no doubles hold such weights.

    Raises
    ------
    ValueError
        If there is no matrix, shapes do not fit, an entry is negative or not finite, or a weight is
        not positive.

    Examples
    --------
    >>> c = contractive_of_comparison([[[0.5, 4.0], [0.01, 0.5]]])
    >>> round(c.lam, 6), (c.norm.v / c.norm.v.min()).round(3).tolist()
    (0.7, [20.0, 1.0])
    """
    checked = [as_square("matrices", M) for M in matrices]
    if not checked or any(M.shape != checked[0].shape for M in checked):
        raise ValueError(
            f"matrices has shapes {[M.shape for M in checked]}, needed at least one, all of one "
            "shape"
        )
    if not all(bool(np.all(M >= 0)) for M in checked):
        raise ValueError(
            "matrices has a negative entry, needed matrices that bound sizes; of a linear map they "
            "are |W|"
        )
    start = None if weights is None else as_vector("weights", weights, size=len(checked[0]))
    if start is not None and not bool(np.all(start > 0)):
        raise ValueError(f"weights has least entry {np.min(start)}, needed positive weights")
    norm = WeightedLinf(comparison_weights(checked, start))
    row = max(norm.matrix_upper(M) for M in checked)
    if math.isinf(row):
        return None
    lam = evaluate(formula, row=row, weight=1.0)
    ratio = float(norm.v.max() / norm.v.min())
    detail = f"weights within a factor {ratio:.6g}"
    return certified(lam, norm, method="comparison matrix", detail=detail, domain=domain)


CONTRACTIVE_OF_COMPARISON = Theorem(
    name="contractive_of_comparison",
    title="contraction by comparison matrices",
    quantity=r"\frac{\|\phi(h, x) - \phi(g, x)\|_{\infty,v}}{\|h - g\|_{\infty,v}}",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(MAJORISED, IN_DOMAIN, WEIGHTED_MAXIMUM),
    source="this project; Collatz-Wielandt (Horn and Johnson, Matrix Analysis, section 8.1)",
    criterion=True,
)
