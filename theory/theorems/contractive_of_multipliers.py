r"""Contraction in a weighted Euclidean norm from terms with bounded coefficients.

Statement   |step(h, x) - step(g, x)|**2 / |h - g| <= level * load * |h - g|
Assumes     |step(h, x) - step(g, x)|_i <= max over sheets of sum_k C_ik |y_ki| for all i, and
            all states and inputs lie in a domain that the map never leaves; the y_k are linear in
            h - g, |h|**2 = sum_i p_i h_i**2 with p positive; for some t positive
            sum_i p_i sum_k t_ik y_ki**2 <= level * |h - g|**2 for all h - g; sum_k C_ik**2 / t_ik
            <= load for all i and sheets
Kind        sharp, attained by h -> (a + b) h of two terms
Source      this project; with y = |h - g|, one matrix and weights of Perron it gives the rate of
            contractive_of_comparison, and with one term the norm of diag(C) W
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from theory.arithmetic.rounding import down, evaluate, sqrt_up
from theory.certificates import Contraction, certified
from theory.domain import Domain
from theory.errors import as_vector
from theory.norms.norms import WeightedL2
from theory.theorems.assumptions import FORM_BOUNDED, IN_DOMAIN, TERMS_BOUNDED, WEIGHTED_EUCLIDEAN
from theory.theorems.terms import Terms
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Array, Scalar


def formula(level: Scalar, load: Scalar) -> Scalar:
    """Return the right-hand side."""
    return level * load


#: No smaller rate is claimed but 0, so that the square of a rate does not underflow.
_LEAST_RATE = 2.0**-400


def contractive_of_multipliers(
    terms: Terms, *, weights: Any, multipliers: Any, domain: Domain | None = None
) -> Contraction | None:
    r"""Return the contraction, in a weighted Euclidean norm, of a map that terms majorise.

    This checks given weights and multipliers; `theory.contraction` with ``method="euclidean"``
    finds them.  An intermediate part xi of the terms has weights m of its own, and drops out:

        sum p d+^2 + sum m xi^2 <= load (level sum p d^2 + sum m xi^2 / load).

    Parameters
    ----------
    terms : Terms
        What bounds a step's difference on the domain, as `Map.terms` returns it.
    weights : (parts * n,) array
        p, the weights of the parts of the state, then m, those of intermediate parts; positive.
    multipliers : (parts * signals * n,) array
        t, for every part the signals one after another; positive where a coefficient is.
    domain : Domain, optional
        Where the coefficients hold, a box that the map never leaves; everywhere by default.

    Returns
    -------
    Contraction or None
        In `WeightedL2` with diagonal weights p; None if no rate below 1 can be proved, or if ratios
        of the weights leave the range of double precision.

    Raises
    ------
    ValueError
        If a length does not fit, a number is not finite, or a weight is not positive.

    Examples
    --------
    >>> from theory import GRU, Inputs
    >>> from theory.certify import invariant_domain
    >>> cell = GRU([[0.1], [0.1], [0.5]], [[0.1], [0.1], [0.5]])
    >>> box = invariant_domain(cell, inputs=Inputs.box(-1, 1))
    >>> terms = cell.terms(box)
    >>> largest = terms.coefficients.max(axis=0).ravel()
    >>> c = contractive_of_multipliers(terms, weights=[1.0], multipliers=largest, domain=box)
    >>> str(c.norm), bool(0.6 < c.lam < 0.9)
    ('L2,P', True)
    """
    if not isinstance(terms, Terms):
        raise ValueError(f"terms={terms!r}, needed theory.theorems.Terms, as map.terms(domain)")
    w, t = shaped(terms, weights, multipliers)
    if not np.isfinite(terms.coefficients).all():
        return None
    load = terms.load_upper(t)
    level = terms.level_upper(w, t, load)
    if not (math.isfinite(level) and math.isfinite(load)):
        return None
    p = w[: terms.state_parts].ravel()
    if not p.min() >= np.finfo(np.float64).tiny * p.max():
        return None
    lam = sqrt_up(evaluate(formula, level=level, load=load))
    return certified(
        max(lam, _LEAST_RATE) if load > 0 else 0.0,
        WeightedL2(np.diag(p)),
        method="multipliers",
        detail=f"{terms.coefficients.shape[2]} terms a unit, weights within a factor "
        f"{math.sqrt(float(p.max() / p.min())):.6g}",
        domain=domain,
        multipliers=(*w[terms.state_parts :].ravel().tolist(), *t.ravel().tolist()),
    )


def shaped(terms: Terms, weights: Any, multipliers: Any) -> tuple[Array, Array]:
    """Return weights (parts, n) and multipliers (parts, signals, n), checked."""
    parts, signals, n = terms.coefficients.shape[1:]
    w = as_vector("weights", weights, size=parts * n)
    t = as_vector("multipliers", multipliers, size=parts * signals * n)
    if not bool(np.all(w > 0)):
        raise ValueError(f"weights has least entry {np.min(w)}, needed positive weights")
    if not bool(np.all(t >= 0)):
        raise ValueError(f"multipliers has least entry {np.min(t)}, needed none below 0")
    return w.reshape(parts, n), t.reshape(parts, signals, n)


def multipliers_hold(terms: Terms, p: Array, stored: tuple[float, ...], rate: float) -> bool:
    """Decide whether stored numbers prove a rate in the norm of diag(p); True is a proof.

    Raises
    ------
    ValueError
        As `contractive_of_multipliers`.
    """
    inner = (terms.parts - terms.state_parts) * terms.units
    w, t = shaped(terms, [*p.tolist(), *stored[:inner]], stored[inner:])
    load = terms.load_upper(t)
    if not (np.isfinite(terms.coefficients).all() and load < math.inf):
        return False
    # without a load nothing is left of a difference
    return load == 0 or terms.level_holds(w, t, load, down(down(rate * rate) / load))


CONTRACTIVE_OF_MULTIPLIERS = Theorem(
    name="contractive_of_multipliers",
    title="contraction by multipliers of bounded terms",
    quantity=r"\frac{\|\phi(h, x) - \phi(g, x)\|_P^2}{\|h - g\|_P^2}",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(TERMS_BOUNDED, IN_DOMAIN, WEIGHTED_EUCLIDEAN, FORM_BOUNDED),
    source="this project; Cauchy-Schwarz with weights",
    criterion=True,
)
