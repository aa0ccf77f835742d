"""Proof of `theory.theorems.nearest_point_distance`: one inequality of Cauchy and Schwarz."""

from __future__ import annotations

import sympy as sp

from proofs.steps import Proof, at_most, begin, symbols
from theory.theorems.assumptions import HALF_SPACE
from theory.theorems.nearest_point_distance import NEAREST_POINT_DISTANCE
from theory.theorems.theorem import Formula


def prove(formula: Formula = NEAREST_POINT_DISTANCE.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    length = sp.Symbol("length", positive=True)
    proof = begin(NEAREST_POINT_DISTANCE, formula, length=length)
    inner, support = symbols("inner support")
    e = proof.letter("e", "|w - v|, v a member")
    s = proof.letter("s", "<normal, v>")

    member = proof.assume(HALF_SPACE, at_most(s, support))
    product = proof.cite(
        "<normal, w - v> <= |normal| |w - v|", "Cauchy and Schwarz", at_most(inner - s, length * e)
    )
    proof.conclude(e, {product: 1 / length, member: 1 / length})

    # the half line length * v <= support, and its end as seen from w outside
    (w,) = symbols("w")
    proof.attained("the end of a half line", w - support / length, inner=length * w)
    return proof
