"""Proof of `theory.theorems.input_sequence`: one step through a mixed pair, then induction."""

from __future__ import annotations

from proofs.steps import NORM, Proof, at_most, begin, equals, symbols
from theory.theorems.assumptions import CONTRACTIVE, INPUT_LIPSCHITZ
from theory.theorems.input_sequence import INPUT_SEQUENCE
from theory.theorems.theorem import Formula


def prove(formula: Formula = INPUT_SEQUENCE.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    proof = begin(INPUT_SEQUENCE, formula)
    lam, t, gain, distance = symbols("lam t gain distance")
    gap = proof.sequence("e(t)", "|h_t - g_t|, h driven by x and g by y, h_0 = g_0")
    moved = proof.sequence("c(t)", "|step(h_t, x) - step(g_t, x)| with x the input at t + 1")
    other = proof.sequence("u(t)", "|step(g_t, x) - step(g_t, y)| with y the input at t + 1")
    apart = proof.sequence("d(t)", "|x - y| at t + 1")

    contractive = proof.assume(CONTRACTIVE, at_most(moved(t), lam * gap(t)))
    lipschitz = proof.assume(INPUT_LIPSCHITZ, at_most(other(t), gain * apart(t)))
    near = proof.given("distance", at_most(apart(t), distance), "|x_s - y_s| <= distance for all s")
    begun = proof.given("t", equals(gap(0), 0), "counted from the common start h_0 = g_0")
    triangle = proof.cite("triangle inequality", NORM, at_most(gap(t + 1), moved(t) + other(t)))
    recursion = proof.derive(
        "one step",
        at_most(gap(t + 1), lam * gap(t) + gain * distance),
        {triangle: 1, contractive: 1, lipschitz: 1, near: gain},
    )

    proof.conclude_by_induction(
        gap(t), over=t, base={begun: 1}, step=lambda hypothesis: {recursion: 1, hypothesis: lam}
    )
    orbit = gain * distance * (1 - lam**t) / (1 - lam)
    proof.check_orbit(
        "distance of the orbits of h -> lam*h + gain*x under x and x + distance",
        orbit,
        over=t,
        start=0,
        step=lambda e: lam * e + gain * distance,
    )
    proof.attained("h -> lam*h + gain*x", orbit)
    return proof
