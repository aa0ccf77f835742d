"""Proof of `theory.theorems.weight_gap`: one step of both descents, then the product."""

from __future__ import annotations

from functools import cache

import sympy as sp

from proofs import loss_smoothness
from proofs.steps import NORM, Proof, at_most, begin, equals, symbols
from theory.theorems.assumptions import (
    CONTRACTIVE_SET,
    GRADIENT_MISMATCH,
    LOSS_LIPSCHITZ,
    LOSS_SMOOTH,
    NONEXPANSIVE,
    SAME_START,
    SMOOTH_MAP,
    TWIN_DESCENTS,
    WEIGHT_LIPSCHITZ,
)
from theory.theorems.loss_smoothness import formula as smoothness
from theory.theorems.theorem import Formula
from theory.theorems.weight_gap import WEIGHT_GAP

_CONSTANTS = "lam weight_gain loss_gain beta_hh beta_hw beta_wh beta_ww beta_p"


@cache  # it serves as a lemma, again and again
def prove(formula: Formula = WEIGHT_GAP.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    proof = begin(WEIGHT_GAP, formula)
    growth, mismatch, beta, i, n = symbols("amplification mismatch beta i n")
    names = _CONSTANTS.split()
    constants = dict(zip(names, symbols(_CONSTANTS), strict=True))
    apart = proof.sequence("d(i)", "|w_i - v_i|")
    size = proof.sequence("a(i)", "alpha_(i+1), a step size")
    product = proof.sequence("G(i)", "product of 1 + alpha_j beta over j = 1 .. i")
    before = proof.sequence("u(i)", "|(w - alpha grad p(w)) - (v - alpha grad p^k(v))| at i")
    changed = proof.sequence("c(i)", "|grad p(w_i) - grad p(v_i)|")
    other = proof.sequence("m(i)", "|grad p(v_i) - grad p^k(v_i)|")

    for assumption in (CONTRACTIVE_SET, WEIGHT_LIPSCHITZ, SMOOTH_MAP, LOSS_LIPSCHITZ, LOSS_SMOOTH):
        proof.assume(assumption)
    begun = proof.assume(TWIN_DESCENTS, equals(apart(0), 0))
    projected = proof.assume(NONEXPANSIVE, at_most(apart(i + 1), before(i)))
    mismatched = proof.assume(GRADIENT_MISMATCH, at_most(other(i), mismatch))
    triangle = proof.cite(
        "triangle inequality",
        NORM,
        at_most(before(i), apart(i) + size(i) * (changed(i) + other(i))),
    )
    smooth = proof.apply(
        loss_smoothness.prove(), changed(i), discharged={SAME_START: "one start for all w"},
        distance=apart(i), **constants,
    )  # fmt: skip
    is_beta = proof.given(
        "beta", at_most(smoothness(**constants, distance=sp.Integer(1)), beta),
        "beta is the constant of loss_smoothness",
    )  # fmt: skip
    empty = proof.given("amplification", equals(product(0), 1), "an empty product")
    longer = proof.given(
        "amplification",
        equals(product(i + 1), (1 + size(i) * beta) * product(i)),
        "one factor more",
    )
    whole = proof.given("amplification", equals(growth, product(n)), "the product over all n steps")

    recursion = proof.derive(
        "one step",
        at_most(apart(i + 1), (1 + size(i) * beta) * apart(i) + size(i) * mismatch),
        {
            projected: 1,
            triangle: 1,
            mismatched: size(i),
            smooth: size(i),
            is_beta: size(i) * apart(i),
        },
    )
    solved = proof.induct(
        "the recursion is solved by the product",
        at_most(apart(i), mismatch * (product(i) - 1) / beta),
        over=i,
        base={begun: 1, empty: -mismatch / beta},
        step=lambda hypothesis: {
            recursion: 1,
            hypothesis: 1 + size(i) * beta,
            longer: -mismatch / beta,
        },
    )
    proof.conclude(apart(n), {proof.at(solved, i=n): 1, whole: -mismatch / beta})

    # p(w) = -beta w**2 / 2, p^k = p - mismatch w, a constant step size a: the difference obeys
    # d -> (1 + a beta) d + a mismatch
    a = sp.Symbol("a", positive=True)
    gap = mismatch * ((1 + a * beta) ** n - 1) / beta
    proof.check_orbit(
        "difference of the descents", gap, over=n, start=0,
        step=lambda d: (1 + a * beta) * d + a * mismatch,
    )  # fmt: skip
    proof.attained(
        "p(w) = -beta*w**2/2, p^k(w) = p(w) - mismatch*w", gap, amplification=(1 + a * beta) ** n
    )
    return proof
