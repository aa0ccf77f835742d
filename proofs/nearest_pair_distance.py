"""Proof of `theory.theorems.nearest_pair_distance`: two completed squares."""

from __future__ import annotations

from proofs.steps import Proof, at_most, begin, equals, symbols
from theory.theorems.assumptions import BOUNDED_PRODUCT
from theory.theorems.nearest_pair_distance import NEAREST_PAIR_DISTANCE
from theory.theorems.theorem import Formula


def prove(formula: Formula = NEAREST_PAIR_DISTANCE.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    proof = begin(NEAREST_PAIR_DISTANCE, formula)
    total, multiplier, product = symbols("total multiplier product")
    x, y = (proof.letter(name, "the modulus of an entry") for name in "xy")
    u, v = (proof.letter(name, "the modulus of a member's entry") for name in "uv")
    e = proof.letter("e", "the quantity on the left")
    g = multiplier / (1 + multiplier)

    member = proof.assume(BOUNDED_PRODUCT, at_most(u * v, product))
    terms = (x - u) ** 2 + (y - v) ** 2 + multiplier * (x - y) ** 2 / 2
    left = proof.cite("what e is", "definition", equals(e, terms + 2 * g * product))
    summed = proof.given("total", equals(total**2, (x + y) ** 2), "total = x + y")
    small = multiplier / (2 * (1 + 2 * multiplier))
    least = proof.check_at_most(
        "the least value over all u and v",
        small * (x + y) ** 2,
        terms + 2 * g * u * v,
        because=(u + g * v - x) ** 2
        + (1 + 2 * multiplier)
        / (1 + multiplier) ** 2
        * (v - (y - g * x) * (1 + multiplier) ** 2 / (1 + 2 * multiplier)) ** 2,
    )
    proof.conclude(e, {least: 1, member: 2 * g, left: -1, summed: small})

    # the nearest point of the hyperbola through (p, q), seen from along its normal
    p, q = symbols("p q")
    apart = multiplier * ((1 - g) * (p - q)) ** 2 / 2
    proof.attained(
        "a point of a hyperbola",
        g**2 * (p**2 + q**2) + apart + 2 * g * p * q,
        total=(1 + g) * (p + q),
    )
    return proof
