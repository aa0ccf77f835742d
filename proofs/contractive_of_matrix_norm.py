"""Proof of `theory.theorems.contractive_of_matrix_norm`: entry by entry, then the matrix norm."""

from __future__ import annotations

import sympy as sp

from proofs.steps import NORM, Proof, at_most, begin, equals, symbols
from theory.theorems.assumptions import AFFINE_FORM, MONOTONE_NORM
from theory.theorems.contractive_of_matrix_norm import CONTRACTIVE_OF_MATRIX_NORM
from theory.theorems.theorem import Formula


def prove(formula: Formula = CONTRACTIVE_OF_MATRIX_NORM.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    proof = begin(CONTRACTIVE_OF_MATRIX_NORM, formula)
    slope, norm, i, j, n = symbols("slope norm i j n")
    apart = proof.letter("d", "|h - g|")
    linear = proof.letter("w", "|W (h - g)|")
    scaled = proof.letter("s", "|slope * W (h - g)|")
    moved = proof.letter("e", "|step(h, x) - step(g, x)|")
    after = proof.sequence("r(i)", "|rho(a_i) - rho(b_i)|, a = W h + U x + b, b = W g + U x + b")
    before = proof.sequence("v(i)", "|a_i - b_i| = |(W (h - g))_i|")

    entrywise = proof.assume(
        AFFINE_FORM,
        at_most(after(i), slope * before(i)),
        "step(h, x) = rho(W h + U x + b), and no secant of rho is steeper than slope",
    )
    monotone = proof.assume(
        MONOTONE_NORM,
        at_most(moved, scaled),
        "entries at most as large make a vector at most as long",
        after=entrywise,
    )
    homogeneous = proof.cite("homogeneity, slope >= 0", NORM, equals(scaled, slope * linear))
    induced = proof.given("norm", at_most(linear, norm * apart), "|W v| <= norm * |v| for all v")
    proof.conclude(moved, {monotone: 1, homogeneous: 1, induced: slope}, times=apart)
    # rho(a) = slope*a on R, W = norm: the distance of the images of h and h + 1
    image = sp.Lambda(j, slope * norm * j)
    proof.attained("linear maps", image(i + 1) - image(i))

    # the norm that the maximum norm induces is the largest row sum of |W|
    row = proof.sequence("R(j)", "|W_ij| for some row i")
    entry = proof.sequence("x(j)", "|x_j|")
    largest = proof.letter("M", "max_j |x_j|")
    image_entry = proof.letter("z", "|(W x)_i|")
    bounded = proof.cite("a maximum bounds each", "definition", at_most(entry(j), largest))
    terms = proof.derive(
        "term by term", at_most(row(j) * entry(j), row(j) * largest), {bounded: row(j)}
    )
    rows = proof.sum_over("summed over j", terms, index=j, count=n, factor=largest)
    total = rows.relation.left
    triangle = proof.cite("triangle inequality on R", NORM, at_most(image_entry, total))
    proof.derive(
        "row sums bound W x", at_most(image_entry, rows.relation.right), {triangle: 1, rows: 1}
    )
    a, b, c, d, p, q = sp.symbols("a b c d p q", real=True)
    proof.check_equal(
        "reached at the signs of the row (two entries)",
        a * sp.sign(a) + b * sp.sign(b),
        abs(a) + abs(b),
    )
    proof.check_at_most(
        "the Frobenius norm bounds the spectral norm (two by two)",
        (a * p + b * q) ** 2 + (c * p + d * q) ** 2,
        (a**2 + b**2 + c**2 + d**2) * (p**2 + q**2),
        because=(a * q - b * p) ** 2 + (c * q - d * p) ** 2,
    )
    return proof
