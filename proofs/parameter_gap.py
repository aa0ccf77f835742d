"""Proof of `theory.theorems.parameter_gap`: two maps, one step, then induction over t."""

from __future__ import annotations

from functools import cache

from proofs.steps import NORM, Proof, at_most, begin, equals, symbols
from theory.theorems.assumptions import CONTRACTIVE_SET, SAME_START, WEIGHT_LIPSCHITZ
from theory.theorems.parameter_gap import PARAMETER_GAP
from theory.theorems.theorem import Formula


@cache  # it serves as a lemma, again and again
def prove(formula: Formula = PARAMETER_GAP.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    proof = begin(PARAMETER_GAP, formula)
    lam, t, weight_gain, distance = symbols("lam t weight_gain distance")
    gap = proof.sequence("e(t)", "|h_t(w) - h_t(v)|")
    moved = proof.sequence("c(t)", "|step_w(h_t(w), x) - step_w(h_t(v), x)|, x the input at t + 1")
    changed = proof.sequence("d(t)", "|step_w(h_t(v), x) - step_v(h_t(v), x)|")
    apart = proof.letter("r", "|w - v|")

    contractive = proof.assume(CONTRACTIVE_SET, at_most(moved(t), lam * gap(t)))
    lipschitz = proof.assume(WEIGHT_LIPSCHITZ, at_most(changed(t), weight_gain * apart))
    begun = proof.assume(SAME_START, equals(gap(0), 0))
    near = proof.given("distance", at_most(apart, distance), "|w - v| <= distance")
    triangle = proof.cite("triangle inequality", NORM, at_most(gap(t + 1), moved(t) + changed(t)))
    recursion = proof.derive(
        "one step",
        at_most(gap(t + 1), lam * gap(t) + weight_gain * distance),
        {triangle: 1, contractive: 1, lipschitz: 1, near: weight_gain},
    )
    proof.conclude_by_induction(
        gap(t), over=t, base={begun: 1}, step=lambda hypothesis: {recursion: 1, hypothesis: lam}
    )
    # h -> lam h + w under w = v + distance: the difference obeys e -> lam e + distance, L_w = 1
    orbit = distance * (1 - lam**t) / (1 - lam)
    proof.check_orbit(
        "difference of the orbits of h -> lam*h + w",
        orbit, over=t, start=0, step=lambda e: lam * e + distance,
    )  # fmt: skip
    proof.attained("h -> lam*h + w", orbit, weight_gain=1)
    return proof
