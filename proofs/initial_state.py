"""Proof of `theory.theorems.initial_state`: the contraction, iterated."""

from __future__ import annotations

from proofs.steps import NORM, Proof, at_most, begin, equals, symbols
from theory.theorems.assumptions import CONTRACTIVE, SAME_INPUTS
from theory.theorems.initial_state import INITIAL_STATE
from theory.theorems.theorem import Formula


def prove(formula: Formula = INITIAL_STATE.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    proof = begin(INITIAL_STATE, formula)
    lam, t, distance = symbols("lam t distance")
    gap = proof.sequence("e(t)", "|h_t - g_t|")
    moved = proof.sequence("c(t)", "|step(h_t, x) - step(g_t, x)|, x the next input of h")
    other = proof.sequence("u(t)", "|step(g_t, x) - step(g_t, y)|, y the next input of g")

    contractive = proof.assume(CONTRACTIVE, at_most(moved(t), lam * gap(t)))
    same = proof.assume(SAME_INPUTS, equals(other(t), 0), "x = y, so step(g_t, x) = step(g_t, y)")
    apart = proof.given("distance", at_most(gap(0), distance), "|h_0 - g_0| <= distance")
    triangle = proof.cite("triangle inequality", NORM, at_most(gap(t + 1), moved(t) + other(t)))
    recursion = proof.derive(
        "one step", at_most(gap(t + 1), lam * gap(t)), {triangle: 1, contractive: 1, same: 1}
    )

    proof.conclude_by_induction(
        gap(t), over=t, base={apart: 1}, step=lambda hypothesis: {recursion: 1, hypothesis: lam}
    )
    orbit = lam**t * distance
    proof.check_orbit(
        "distance of two orbits of h -> lam*h",
        orbit,
        over=t,
        start=distance,
        step=lambda e: lam * e,
    )
    proof.attained("h -> lam*h", orbit)
    return proof
