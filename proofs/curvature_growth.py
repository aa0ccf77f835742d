"""Proof of `theory.theorems.curvature_growth`: a state and two derivatives, from below."""

from __future__ import annotations

import sympy as sp

from proofs.gradient_growth import from_below
from proofs.steps import Proof, at_most, begin, equals, symbols
from theory.theorems.assumptions import SCALAR_GROWTH
from theory.theorems.curvature_growth import CURVATURE_GROWTH
from theory.theorems.theorem import Formula


def prove(formula: Formula = CURVATURE_GROWTH.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    a, i = symbols("factor i")
    proof = begin(CURVATURE_GROWTH, formula, t=i + 2)
    quantity = proof.letter("q", "d^2 p_t / d factor^2, t = i + 2")
    h, d, state, derivative = from_below(proof)
    e = proof.sequence("e(i)", "d^2 h_i / d factor^2")
    still = proof.assume(SCALAR_GROWTH, equals(e(0), 0), "h_0 does not depend on factor")
    bend = proof.assume(
        SCALAR_GROWTH, equals(e(i + 1), a * e(i) + 2 * d(i)), "the second derivative of a step"
    )
    second = proof.induct(
        "the second derivative grows",
        at_most((i + 1) * i * a ** (i - 1), e(i + 2)),
        over=i,
        base={},
        step=lambda hypothesis: {proof.at(bend, i=i + 2): -1, hypothesis: a, derivative: 2},
    )
    chain = proof.assume(
        SCALAR_GROWTH,
        equals(quantity, d(i + 2) ** 2 + (h(i + 2) - 1) * e(i + 2)),
        "p = (h - 1)**2 / 2",
    )
    power = proof.check_equal("powers", a ** (2 * i), a**i * a**i)
    proof.conclude(
        quantity,
        {
            chain: -1,
            derivative: d(i + 2) + (i + 1) * a**i,
            state: e(i + 2),
            second: a ** (i + 1),
            power: (i + 1) * (2 * i + 1),
        },
    )
    del still
    # h_2 = a + 1, so that p_2'' = 1
    proof.attained("t = 2", sp.Integer(1), t=2)
    return proof
