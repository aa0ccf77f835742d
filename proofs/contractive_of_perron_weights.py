"""Proof of `theory.theorems.contractive_of_perron_weights`, and that Perron's rate is the best."""

from __future__ import annotations

import sympy as sp

from proofs.steps import NORM, Proof, at_most, begin, equals, symbols
from theory.theorems.assumptions import AFFINE_FORM, WEIGHTED_MAXIMUM
from theory.theorems.contractive_of_perron_weights import CONTRACTIVE_OF_PERRON_WEIGHTS
from theory.theorems.theorem import Formula

PERRON = "Perron and Frobenius; Horn and Johnson, Matrix Analysis, theorem 8.3.1"


def prove(formula: Formula = CONTRACTIVE_OF_PERRON_WEIGHTS.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    proof = begin(CONTRACTIVE_OF_PERRON_WEIGHTS, formula)
    slope, row, weight, j, n = symbols("slope row weight j n")
    apart = proof.letter("d", "|h - g| = max_j |h_j - g_j| / v_j")
    moved = proof.letter("e", "|step(h, x) - step(g, x)|, attained at entry i")
    after = proof.letter("r", "|rho(a_i) - rho(b_i)|, a = W h + U x + b, b = W g + U x + b")
    before = proof.letter("b", "|(W (h - g))_i|")
    parts = proof.sequence("x(j)", "|h_j - g_j|")
    size = proof.sequence("A(j)", "|W_ij|")
    v = proof.sequence("v(j)", "the weights")
    here = proof.letter("u", "v_i", positive=True)

    measured = proof.assume(WEIGHTED_MAXIMUM, equals(moved, after / here))
    within = proof.assume(WEIGHTED_MAXIMUM, at_most(parts(j), v(j) * apart))
    lipschitz = proof.assume(
        AFFINE_FORM,
        at_most(after, slope * before),
        "step(h, x) = rho(W h + U x + b), and no secant of rho is steeper than slope",
    )
    spread = sp.Sum(size(j) * parts(j), (j, 1, n))
    triangle = proof.cite("triangle inequality on R", NORM, at_most(before, spread))
    weighted = sp.Sum(size(j) * v(j), (j, 1, n))
    rows = proof.given(
        "row", at_most(weighted, here * row / weight), "(|W| v)_i / v_i <= row / weight for all i"
    )
    terms = proof.derive(
        "term by term", at_most(size(j) * parts(j), size(j) * v(j) * apart), {within: size(j)}
    )
    summed = proof.sum_over("summed over j", terms, index=j, count=n, factor=apart)

    steep = slope / here
    proof.conclude(
        moved,
        {measured: 1, lipschitz: 1 / here, triangle: steep, summed: steep, rows: steep * apart},
        times=apart,
    )
    # rho(a) = slope*a, W nonnegative, h - g = v = (p, q) of size 1: row i = 1 of W v, over v_1
    a, b, p, q = sp.symbols("a b p q", positive=True)
    proof.attained(
        "linear maps with W >= 0", slope * (a * p + b * q) / p, row=a * p + b * q, weight=p
    )
    _best_rate(proof)
    return proof


def _best_rate(proof: Proof) -> None:
    """Add Collatz and Wielandt: no weights give less than the spectral radius of |W|."""
    i, n = symbols("i n")
    radius = proof.letter("R", "spectral radius of |W|")
    rate = proof.letter("c", "max_i (|W| w)_i / w_i for any positive weights w")
    w = proof.sequence("w(i)", "the weights")
    image = proof.sequence("y(i)", "(|W| w)_i")
    left = proof.sequence("l(i)", "a left Perron vector of |W|: l >= 0, l != 0, l |W| = R l")
    product = proof.letter("P", "sum_i l_i w_i", positive=True)

    each = proof.cite("a maximum bounds each", "definition", at_most(image(i), rate * w(i)))
    terms = proof.derive(
        "times l_i", at_most(left(i) * image(i), left(i) * rate * w(i)), {each: left(i)}
    )
    summed = proof.sum_over("summed over i", terms, index=i, count=n, factor=rate)
    images, weights = summed.relation.left, sp.Sum(left(i) * w(i), (i, 1, n))
    eigen = proof.cite("l |W| w = R l w", PERRON, equals(images, radius * weights))
    whole = proof.cite("l w > 0, as w > 0, l >= 0, l != 0", PERRON, equals(product, weights))
    proof.derive(
        "no weights give a smaller rate",
        at_most(radius, rate),
        {summed: 1 / product, eigen: -1 / product, whole: (radius - rate) / product},
    )
    # two by two, W = ((a, b), (c, d)) >= 0 with c from the characteristic equation of R,
    # (R - a)(R - d) = b c; then v = (b, R - a) is an eigenvector, and its rate is R
    a, b, d = sp.symbols("a b d", positive=True)
    c = (radius - a) * (radius - d) / b
    v = sp.Matrix([b, radius - a])
    image_v = sp.Matrix([[a, b], [c, d]]) * v
    for entry in (0, 1):
        proof.check_equal(
            f"the Perron vector reaches it (two by two, row {entry + 1})",
            image_v[entry],
            radius * v[entry],
        )
