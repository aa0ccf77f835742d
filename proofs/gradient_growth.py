"""Proof of `theory.theorems.gradient_growth`: a state and its derivative, from below."""

from __future__ import annotations

from proofs.decide import Expr
from proofs.steps import Fact, Proof, at_most, begin, equals, symbols
from theory.theorems.assumptions import SCALAR_GROWTH
from theory.theorems.gradient_growth import GRADIENT_GROWTH
from theory.theorems.theorem import Formula


def from_below(proof: Proof) -> tuple[Expr, Expr, Fact, Fact]:
    """Add h_(i+2) - 1 >= a**(i+1) and d_(i+2) >= (i+1) a**i; return h, d and both facts."""
    a, i = symbols("factor i")
    h = proof.sequence("h(i)", "h_i")
    d = proof.sequence("d(i)", "d h_i / d factor")
    rest = proof.assume(SCALAR_GROWTH, equals(h(0), 0), "h_0 = 0")
    step = proof.assume(SCALAR_GROWTH, equals(h(i + 1), a * h(i) + 1), "one step")
    still = proof.assume(SCALAR_GROWTH, equals(d(0), 0), "h_0 does not depend on factor")
    slope = proof.assume(SCALAR_GROWTH, equals(d(i + 1), a * d(i) + h(i)), "its derivative")
    first = {proof.at(step, i=0): -a, rest: -(a**2)}
    state = proof.induct(
        "the state grows", at_most(a ** (i + 1) + 1, h(i + 2)), over=i,
        base={proof.at(step, i=1): -1, **first},
        step=lambda hypothesis: {proof.at(step, i=i + 2): -1, hypothesis: a},
    )  # fmt: skip
    derivative = proof.induct(
        "its derivative grows", at_most((i + 1) * a**i, d(i + 2)), over=i,
        base={
            proof.at(slope, i=1): -1, proof.at(slope, i=0): -a, still: -(a**2),
            proof.at(step, i=0): -1, rest: -2 * a,
        },
        step=lambda hypothesis: {proof.at(slope, i=i + 2): -1, hypothesis: a, state: 1},
    )  # fmt: skip
    return h, d, state, derivative


def prove(formula: Formula = GRADIENT_GROWTH.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    a, i = symbols("factor i")
    proof = begin(GRADIENT_GROWTH, formula, t=i + 2)
    quantity = proof.letter("q", "d p_t / d factor, t = i + 2")
    h, d, state, derivative = from_below(proof)
    chain = proof.assume(
        SCALAR_GROWTH, equals(quantity, (h(i + 2) - 1) * d(i + 2)), "p = (h - 1)**2 / 2"
    )
    power = proof.check_equal("powers", a ** (2 * i + 1), a ** (i + 1) * a**i)
    proof.conclude(
        quantity,
        {chain: -1, state: d(i + 2), derivative: a ** (i + 1), power: i + 1},
    )
    # h_2 = a + 1, so that p_2' = a
    proof.attained("t = 2", a, t=2)
    return proof
