"""Proof of `theory.theorems.contractive_of_multipliers`: Cauchy-Schwarz with weights."""

from __future__ import annotations

import sympy as sp

from proofs.steps import Proof, at_most, begin, equals, symbols
from theory.theorems.assumptions import FORM_BOUNDED, IN_DOMAIN, TERMS_BOUNDED, WEIGHTED_EUCLIDEAN
from theory.theorems.contractive_of_multipliers import CONTRACTIVE_OF_MULTIPLIERS
from theory.theorems.theorem import Formula

CAUCHY_SCHWARZ = "Cauchy-Schwarz for C_ik / sqrt(t_ik) and sqrt(t_ik) y_ki, two terms below"


def prove(formula: Formula = CONTRACTIVE_OF_MULTIPLIERS.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    proof = begin(CONTRACTIVE_OF_MULTIPLIERS, formula)
    level, load, i, n = symbols("level load i n")
    apart = proof.letter("D", "|h - g|**2")
    moved = proof.letter("E", "|step(h, x) - step(g, x)|**2")
    square = proof.sequence("e(i)", "|step(h, x) - step(g, x)|_i**2")
    weight = proof.sequence("p(i)", "the weights")
    terms = proof.sequence("y(i)", "sum_k t_ik y_ki**2, the y_k signals of h - g")
    sizes = proof.sequence("c(i)", "(sum_k C_ik |y_ki|)**2 of the sheet where it is largest")
    share = proof.sequence("q(i)", "sum_k C_ik**2 / t_ik of that sheet")

    measured = proof.assume(
        WEIGHTED_EUCLIDEAN, equals(moved, sp.Sum(weight(i) * square(i), (i, 1, n)))
    )
    inside = proof.assume(IN_DOMAIN)
    bounded = proof.assume(
        TERMS_BOUNDED, at_most(square(i), sizes(i)), "the terms bound a step", after=inside
    )
    product = proof.cite(
        "(sum of products)**2 at most a product of sums",
        CAUCHY_SCHWARZ,
        at_most(sizes(i), share(i) * terms(i)),
    )
    loads = proof.given(
        "load", at_most(share(i), load), "sum_k C_ik**2 / t_ik <= load for all i and sheets"
    )
    unit = proof.derive(
        "unit by unit",
        at_most(weight(i) * square(i), load * weight(i) * terms(i)),
        {bounded: weight(i), product: weight(i), loads: weight(i) * terms(i)},
    )
    summed = proof.sum_over("summed over i", unit, index=i, count=n, factor=load)
    form = proof.assume(
        FORM_BOUNDED, at_most(sp.Sum(weight(i) * terms(i), (i, 1, n)), level * apart)
    )
    proof.conclude(moved, {measured: 1, summed: 1, form: load}, times=apart)
    # h -> (a + b) h with t = (a, b): level and load are a + b
    a, b = sp.symbols("a b", positive=True)
    proof.attained("h -> (a + b) h, two terms", (a + b) ** 2, level=a + b, load=a**2 / a + b**2 / b)
    _two_terms(proof)
    _intermediate(proof)
    return proof


def _two_terms(proof: Proof) -> None:
    """Check the identity behind `CAUCHY_SCHWARZ` for two terms, and the best multipliers."""
    c, d, y, z = sp.symbols("c d y z", nonnegative=True)
    t, s = sp.symbols("t s", positive=True)
    proof.check_equal(
        "what is lost is a square",
        sp.expand((c**2 / t + d**2 / s) * (t * y**2 + s * z**2) - (c * y + d * z) ** 2),
        sp.expand(t * s * (c * z / t - d * y / s) ** 2),
    )


def _intermediate(proof: Proof) -> None:
    """Check that an intermediate part of level 1 / load drops out on both sides."""
    level, load = (proof.arguments[name] for name in ("level", "load"))
    state, inner = sp.symbols("D xi", nonnegative=True)
    proof.check_equal(
        "an intermediate part drops out",
        sp.expand(load * (level * state + inner / load) - inner),
        sp.expand(level * load * state),
    )
