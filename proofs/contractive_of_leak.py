"""Proof of `theory.theorems.contractive_of_leak`: a mean of two maps."""

from __future__ import annotations

import sympy as sp

from proofs.steps import Proof, at_most, begin, symbols
from theory.theorems.assumptions import IN_DOMAIN, INNER_LIPSCHITZ, LEAKY
from theory.theorems.contractive_of_leak import CONTRACTIVE_OF_LEAK
from theory.theorems.theorem import Formula


def prove(formula: Formula = CONTRACTIVE_OF_LEAK.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    proof = begin(CONTRACTIVE_OF_LEAK, formula)
    leak, rate = symbols("leak rate")
    apart = proof.letter("d", "|h - g|")
    moved = proof.letter("e", "|step(h, x) - step(g, x)|")
    inner = proof.letter("f", "|f(h, x) - f(g, x)|")
    mean = proof.assume(
        LEAKY,
        at_most(moved, (1 - leak) * apart + leak * inner),
        "the triangle inequality, 1 - leak and leak not negative",
    )
    inside = proof.assume(IN_DOMAIN)
    bounded = proof.assume(INNER_LIPSCHITZ, at_most(inner, rate * apart), after=inside)
    proof.conclude(moved, {mean: 1, bounded: leak}, times=apart)
    # f(h) = rate h moves by (1 - leak + leak rate) in every direction
    a, r = sp.symbols("a r", positive=True)
    proof.attained("f(h) = rate h", (1 - a) + a * r, leak=a, rate=r)
    return proof
