"""Proof of `theory.theorems.contractive_of_sectors`: the S-procedure for terms in sectors."""

from __future__ import annotations

import sympy as sp

from proofs.steps import Proof, at_most, begin, equals, symbols
from theory.theorems.assumptions import IN_DOMAIN, IN_SECTORS, SECTOR_LMI
from theory.theorems.contractive_of_sectors import CONTRACTIVE_OF_SECTORS
from theory.theorems.theorem import Formula

SQUARES = "what the form is, at the difference and the terms of the two states"


def prove(formula: Formula = CONTRACTIVE_OF_SECTORS.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    proof = begin(CONTRACTIVE_OF_SECTORS, formula)
    (rate,) = symbols("rate")
    apart = proof.letter("d", "|h - g|_P, positive for different states", positive=True)
    moved = proof.letter("e", "|step(h, x) - step(g, x)|_P")
    value = proof.letter("F", "the form at h - g and the terms w")
    slack = proof.letter("S", "sum_k q_k (y_k**2 - w_k**2)")

    inside = proof.assume(IN_DOMAIN)
    positive = proof.assume(
        SECTOR_LMI, at_most(0, value), "a positive semidefinite form has no negative value"
    )
    sector = proof.assume(
        IN_SECTORS, at_most(0, slack), "|w_k| <= |y_k| and q_k >= 0", after=inside
    )
    split = proof.cite(
        "F = rate**2 |h - g|**2 - |step(h, x) - step(g, x)|**2 - S",
        SQUARES,
        equals(value + moved**2 + slack, rate**2 * apart**2),
    )
    squares = proof.derive(
        "the squares",
        at_most(moved**2, rate**2 * apart**2),
        {positive: 1, sector: 1, split: 1},
    )
    # b - a = (b**2 - a**2) / (b + a) with a = e, b = rate d; where b + a = 0 both vanish
    total = proof.letter("m", "rate d + e, positive unless both vanish", positive=True)
    whole = proof.cite(
        "m = rate d + e", "nothing is to be proved at 0", equals(total, rate * apart + moved)
    )
    proof.conclude(moved, {squares: 1 / total, whole: (moved - rate * apart) / total}, times=apart)
    size = proof.letter("p", "|h - g|_P", positive=True)
    proof.attained("h -> rate h", rate * size / size)
    _secants(proof)
    _one_unit(proof)
    return proof


def _secants(proof: Proof) -> None:
    """Check that s = theta y with theta in [m - r, m + r] is m y + r w with |w| <= |y|."""
    m, y = sp.symbols("m y", real=True)
    r = sp.symbols("r", positive=True)
    theta = sp.symbols("theta", real=True)
    w = (theta - m) * y / r
    proof.check_equal(
        "a multiple is in the sector",
        sp.expand(r**2 * (y**2 - w**2)),
        sp.expand((theta - (m - r)) * (m + r - theta) * y**2),
    )


def _one_unit(proof: Proof) -> None:
    """Check the least form of a unit d+ = m d + r w, whose rate is m + r at w = d = y.

    With q = (m + r) r it is a square.
    """
    m, r, d, w = sp.symbols("m r d w", real=True)
    q = (m + r) * r
    form = (m + r) ** 2 * d**2 - (m * d + r * w) ** 2 - q * (d**2 - w**2)
    proof.check_equal(
        "one unit at its steepest slope", sp.expand(form), sp.expand(m * r * (d - w) ** 2)
    )
