"""Proof of `theory.theorems.weight_gap_path`: one step of both descents, then the sum."""

from __future__ import annotations

import sympy as sp

from proofs.steps import NORM, Proof, at_most, begin, equals, symbols
from theory.theorems.assumptions import NONEXPANSIVE, PATH_DEFECT, PATH_STRETCH, TWIN_DESCENTS
from theory.theorems.theorem import Formula
from theory.theorems.weight_gap_path import WEIGHT_GAP_PATH


def prove(formula: Formula = WEIGHT_GAP_PATH.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    proof = begin(WEIGHT_GAP_PATH, formula)
    growth, departed, i, n = symbols("amplification departed i n")
    apart = proof.sequence("e(i)", "|w_i - v_i|")
    stretch = proof.sequence("q(i)", "stretch of step i + 1")
    defect = proof.sequence("d(i)", "defect of step i + 1")
    product = proof.sequence("G(i)", "product of the first i stretches")
    total = proof.sequence("S(i)", "sum of the first i defects, each over its product")
    before = proof.sequence("u(i)", "|(w - alpha grad p(w)) - (v - alpha grad p(v))| at i")
    onto = proof.sequence("p(i)", "distance of their projections")
    missed = proof.sequence("m(i)", "|v_(i+1) - Pi(v_i - alpha grad p(v_i))|")

    begun = proof.assume(TWIN_DESCENTS, equals(apart(0), 0))
    projected = proof.assume(NONEXPANSIVE, at_most(onto(i), before(i)))
    stretched = proof.assume(PATH_STRETCH, at_most(before(i), stretch(i) * apart(i)))
    short = proof.assume(PATH_DEFECT, at_most(missed(i), defect(i)))
    triangle = proof.cite("triangle inequality", NORM, at_most(apart(i + 1), onto(i) + missed(i)))
    empty = proof.given("departed", equals(total(0), 0), "an empty sum")
    longer = proof.given(
        "amplification", equals(product(i + 1), stretch(i) * product(i)), "one factor more"
    )
    more = proof.given(
        "departed",
        equals(product(i + 1) * total(i + 1), product(i + 1) * total(i) + defect(i)),
        "one term more, times the product",
    )
    whole = proof.given("amplification", equals(growth, product(n)), "the product over all n steps")
    sum_ = proof.given("departed", equals(departed, total(n)), "the sum over all n steps")

    recursion = proof.derive(
        "one step",
        at_most(apart(i + 1), stretch(i) * apart(i) + defect(i)),
        {triangle: 1, projected: 1, stretched: 1, short: 1},
    )
    solved = proof.induct(
        "the recursion is solved by the sum",
        at_most(apart(i), product(i) * total(i)),
        over=i,
        base={begun: 1, empty: -product(0)},
        step=lambda hypothesis: {
            recursion: 1,
            hypothesis: stretch(i),
            more: -1,
            longer: -total(i),
        },
    )
    proof.conclude(apart(n), {proof.at(solved, i=n): 1, whole: -departed, sum_: -product(n)})

    # p(w) = -beta w**2 / 2, p^k = p - mismatch w, a constant step size a: q = 1 + a beta,
    # d = a mismatch, and the difference obeys e -> q e + d; its sum is geometric
    a, beta, mismatch = sp.symbols("a beta mismatch", positive=True)
    q = 1 + a * beta
    gap = mismatch * (q**n - 1) / beta
    proof.check_orbit(
        "difference of the descents", gap, over=n, start=0, step=lambda e: q * e + a * mismatch
    )
    proof.attained(
        "p(w) = -beta*w**2/2, p^k(w) = p(w) - mismatch*w", gap,
        amplification=q**n, departed=a * mismatch * (1 - q**-n) / (q - 1),
    )  # fmt: skip
    return proof
