r"""Contraction in a Euclidean norm of a full Gram matrix, from terms in sectors.

Statement   |step(h, x) - step(g, x)| <= rate * |h - g|
Assumes     step(h, x) - step(g, x) is linear in h - g and in terms w_k with |w_k| <= |y_k|, the y_k
            linear in h - g and in the terms, and all states and inputs lie in a domain that the map
            never leaves; |h|**2 = h^T P h; for some multipliers q_k > 0 the form
            rate**2 |h - g|**2 - |step(h, x) - step(g, x)|**2 - sum_k q_k (y_k**2 - w_k**2) of h - g
            and w is positive semidefinite
Kind        sharp, attained by h -> rate h
Source      this project; the S-procedure for several layers of slopes, as in Fazlyab, Robey,
            Hassani, Morari and Pappas (2019); contractive_of_incremental_lmi is one layer of it
"""

from __future__ import annotations

from typing import Any

from theory.certificates import Contraction, certified
from theory.domain import Domain
from theory.errors import as_square, as_vector, check_nonnegative
from theory.norms.norms import WeightedL2
from theory.theorems.assumptions import IN_DOMAIN, IN_SECTORS, SECTOR_LMI
from theory.theorems.sectors import Sectors, sectors_hold
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(rate: Scalar) -> Scalar:
    """Return the right-hand side."""
    return rate


def contractive_of_sectors(
    sectors: Sectors, *, P: Any, q: Any, rate: float, domain: Domain | None = None
) -> Contraction | None:
    r"""Return the contraction, in the norm of P, of a map whose differences lie in sectors.

    This checks given P, multipliers and rate; `theory.contraction` with ``method="metric"`` finds
    them.

    Parameters
    ----------
    sectors : Sectors
        The terms of a step's difference on the domain, as `Map.sectors` returns them.
    P : (N, N) array
        Symmetric.
    q : (K,) array
        Positive, the sectors one after another.
    rate : float
    domain : Domain, optional
        Where the sectors hold, which the map never leaves; everywhere by default.

    Returns
    -------
    Contraction or None
        In `WeightedL2(P)`; None if the inequality cannot be proved in double precision, or the rate
        is not below 1.

    Raises
    ------
    ValueError
        If a shape does not fit, a number is not finite, P is not symmetric and positive definite,
        or the rate is negative.

    Examples
    --------
    >>> from theory import GRU, Inputs
    >>> from theory.certify import invariant_domain
    >>> cell = GRU([[0.1], [0.1], [0.5]], [[0.1], [0.1], [0.5]])
    >>> box = invariant_domain(cell, inputs=Inputs.box(-1, 1))
    >>> sectors = cell.sectors(box)
    >>> q = [0.3, 0.3, 0.1, 3.0]
    >>> c = contractive_of_sectors(sectors, P=[[1.0]], q=q, rate=0.9, domain=box)
    >>> str(c.norm), c.lam
    ('L2,P', 0.9)
    """
    if not isinstance(sectors, Sectors):
        raise ValueError(f"sectors={sectors!r}, needed theory.theorems.Sectors, as map.sectors(..)")
    weights = as_vector("q", q, size=sectors.count)
    check_nonnegative(rate=rate)
    norm = WeightedL2(as_square("P", P))
    norm.check_dim(sectors.state_dim)
    if not rate < 1 or not sectors_hold(sectors, norm.P, weights, float(rate)):
        return None
    return certified(
        float(rate),
        norm,
        method="sectors",
        detail=f"{len(sectors.terms)} sectors a unit, sqrt(cond(P)) <= {norm.condition_upper:.6g}",
        domain=domain,
        multipliers=tuple(weights.tolist()),
    )


CONTRACTIVE_OF_SECTORS = Theorem(
    name="contractive_of_sectors",
    title="contraction by terms in sectors",
    quantity=r"\frac{\|\phi(h, x) - \phi(g, x)\|_P}{\|h - g\|_P}",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(IN_SECTORS, IN_DOMAIN, SECTOR_LMI),
    source="this project; the S-procedure, as in Fazlyab, Robey, Hassani, Morari and Pappas (2019)",
    criterion=True,
)
