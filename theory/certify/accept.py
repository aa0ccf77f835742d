"""From a candidate to a certificate: what the criteria accept.

Main names: `accept_candidate`, `by_matrix_norm`, `problem_of`, `in_units`.
"""

from __future__ import annotations

import numpy as np

from theory.arithmetic.rounding import scaled_to_one
from theory.certificates import Contraction
from theory.certify import lmi
from theory.maps.form import Affine
from theory.norms.norms import Norm
from theory.theorems.contractive_of_incremental_lmi import contractive_of_incremental_lmi
from theory.theorems.contractive_of_matrix_norm import contractive_of_matrix_norm
from theory.typing import Array

#: Margins above the least level, tried in turn until the trusted check accepts.
MARGINS = tuple(2.0**-e for e in range(21, 1, -2))

#: A Gram matrix with a larger condition number is of no use: its root enters every bound.  How
#: units are scaled does not count, that is the caller's choice.
LARGEST_CONDITION = 2.0**44


def problem_of(form: Affine) -> lmi.Problem:
    """Return weights, scaled to largest entry about 1 by a power of two, and slopes."""
    low, high = form.slopes
    return lmi.Problem(W=form.W, alpha=low, beta=high)


def accept_candidate(form: Affine, candidate: lmi.Candidate | None) -> Contraction | None:
    """Return the contraction of a candidate if the criterion accepts it."""
    if candidate is None or not 0 <= candidate.r < 1:
        return None
    P, q = candidate.P, candidate.q
    if not (np.isfinite(P).all() and np.isfinite(q).all() and float(np.min(q)) > 0):
        return None
    P, e = scaled_to_one(P)
    if not well_conditioned(P):
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


def well_conditioned(P: Array) -> bool:
    """Return whether P is about positive definite, with `LARGEST_CONDITION` in the best units."""
    root = np.sqrt(np.abs(np.diag(P)))
    if not float(np.min(root)) > 0:
        return False
    values = np.linalg.eigvalsh(P / root[:, None] / root[None, :])
    return bool(values[0] * LARGEST_CONDITION > values[-1])


def in_units(P: Array, exponents: Array) -> Array:
    """Return E^-1 P E^-1, for E = diag(2**exponents): the Gram matrix of h is P for E^-1 h."""
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(np.ldexp(P, -exponents[:, None] - exponents[None, :]))


def by_matrix_norm(form: Affine, norm: Norm) -> Contraction | None:
    """Return the contraction in a given norm, by the norm of W."""
    return contractive_of_matrix_norm(
        form.W, form.rho, norm=norm, slopes=form.slopes, domain=form.domain
    )
