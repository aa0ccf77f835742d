"""Proof of `theory.theorems.nearest_point_gap`: two variational inequalities, added."""

from __future__ import annotations

from proofs.steps import Proof, at_most, begin, equals, symbols
from theory.theorems.assumptions import CONVEX_SET, NEAREST_POINT
from theory.theorems.nearest_point_gap import NEAREST_POINT_GAP
from theory.theorems.theorem import Formula


def prove(formula: Formula = NEAREST_POINT_GAP.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    proof = begin(NEAREST_POINT_GAP, formula)
    (distance,) = symbols("distance")
    e = proof.letter("e", "|P(w) - P(v)|; where it is 0 there is nothing to prove", positive=True)
    a = proof.letter("a", "<P(w) - w, P(v) - P(w)>")
    b = proof.letter("b", "<P(v) - v, P(w) - P(v)>")
    c = proof.letter("c", "<w - v, P(w) - P(v)>")
    d = proof.letter("d", "|w - v|")

    nearest = proof.assume(NEAREST_POINT)
    # the segment from P(w) to P(v) is in the set, and along it the distance from w does not fall
    inward = "on the segment between P(w) and P(v) no point is nearer to "
    one = proof.assume(CONVEX_SET, at_most(0, a), inward + "w", after=nearest)
    two = proof.assume(CONVEX_SET, at_most(0, b), inward + "v", after=nearest)

    # coordinate by coordinate, with p = P(w), q = P(v)
    w, v, p, q = symbols("w v p q")
    proof.check_equal(
        "a coordinate of (w - v)(p - q)",
        (w - v) * (p - q),
        (p - w) * (q - p) + (p - q) ** 2 + (q - v) * (p - q),
    )
    total = proof.cite(
        "the sum over the coordinates", "linearity of inner products", equals(c, a + e**2 + b)
    )
    product = proof.cite("c <= |w - v| |P(w) - P(v)|", "Cauchy and Schwarz", at_most(c, d * e))
    near = proof.given("distance", at_most(d, distance), "|w - v| <= distance")

    proof.conclude(e, {near: 1, product: 1 / e, total: -1 / e, one: 1 / e, two: 1 / e})

    # members are their own nearest points
    proof.attained("two members", distance)
    return proof
