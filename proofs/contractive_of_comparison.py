"""Proof of `theory.theorems.contractive_of_comparison`, and the two by two case by Jury."""

from __future__ import annotations

import sympy as sp

from proofs.steps import Proof, at_most, begin, equals, symbols
from theory.theorems.assumptions import IN_DOMAIN, MAJORISED, WEIGHTED_MAXIMUM
from theory.theorems.contractive_of_comparison import CONTRACTIVE_OF_COMPARISON
from theory.theorems.theorem import Formula


def prove(formula: Formula = CONTRACTIVE_OF_COMPARISON.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    proof = begin(CONTRACTIVE_OF_COMPARISON, formula)
    row, weight, j, n = symbols("row weight j n")
    apart = proof.letter("d", "|h - g| = max_j |h_j - g_j| / v_j")
    moved = proof.letter("e", "|step(h, x) - step(g, x)|, attained at entry i")
    after = proof.letter("r", "|step(h, x) - step(g, x)|_i")
    parts = proof.sequence("x(j)", "|h_j - g_j|")
    size = proof.sequence("M(j)", "entry (i, j) of the matrix for which (M |h - g|)_i is largest")
    v = proof.sequence("v(j)", "the weights")
    here = proof.letter("u", "v_i", positive=True)

    measured = proof.assume(WEIGHTED_MAXIMUM, equals(moved, after / here))
    within = proof.assume(WEIGHTED_MAXIMUM, at_most(parts(j), v(j) * apart))
    inside = proof.assume(IN_DOMAIN)
    spread = sp.Sum(size(j) * parts(j), (j, 1, n))
    majorised = proof.assume(
        MAJORISED, at_most(after, spread), "the matrices bound a step in the domain", after=inside
    )
    weighted = sp.Sum(size(j) * v(j), (j, 1, n))
    rows = proof.given(
        "row", at_most(weighted, here * row / weight), "(M v)_i / v_i <= row / weight for all i, M"
    )
    terms = proof.derive(
        "term by term", at_most(size(j) * parts(j), size(j) * v(j) * apart), {within: size(j)}
    )
    summed = proof.sum_over("summed over j", terms, index=j, count=n, factor=apart)
    proof.conclude(
        moved,
        {measured: 1, majorised: 1 / here, summed: 1 / here, rows: apart / here},
        times=apart,
    )
    # W >= 0, h - g = v = (p, q) of size 1: row i = 1 of W v, over v_1
    a, b, p, q = sp.symbols("a b p q", positive=True)
    proof.attained("linear maps with W >= 0", (a * p + b * q) / p, row=a * p + b * q, weight=p)
    _two_by_two(proof)
    return proof


def _two_by_two(proof: Proof) -> None:
    """Add the matrix of one row for all units of an LSTM, and when its spectral radius is below 1.

    The criterion of Jury, tr M - 1 < det M < 1, for real eigenvalues of which one is the radius:
    1 - tr + det = (1 - r)(1 - s) > 0 says that both are below 1 or both above, and then det > 1.
    """
    f, a, o, q = sp.symbols("f a o q", nonnegative=True)
    M = sp.Matrix([[f, a], [o * f, o * a + q]])
    proof.check_equal("trace, LSTM by gate bounds", M.trace(), f + o * a + q)
    proof.check_equal("determinant, LSTM by gate bounds", M.det(), f * q)
    discriminant = M.trace() ** 2 - 4 * M.det()
    proof.check_equal(
        "its eigenvalues are real: a discriminant of two squares and a product",
        discriminant,
        (f - o * a - q) ** 2 + 4 * a * o * f,
    )
    r, s = sp.symbols("r s", real=True)
    proof.check_equal("Jury: 1 - tr + det", 1 - (r + s) + r * s, (1 - r) * (1 - s))
    proof.check_equal(
        "Jury: det - 1, positive if both are above 1",
        r * s - 1,
        (r - 1) * (s - 1) + (r - 1) + (s - 1),
    )
