"""Proof of `theory.theorems.hidden_state`: one step, then induction over t."""

from __future__ import annotations

from proofs.steps import NORM, Proof, at_most, begin, symbols
from theory.theorems.assumptions import CONTRACTIVE, DRIVE_BOUNDED
from theory.theorems.hidden_state import HIDDEN_STATE
from theory.theorems.theorem import Formula


def prove(formula: Formula = HIDDEN_STATE.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    proof = begin(HIDDEN_STATE, formula)
    lam, t, drive, start = symbols("lam t drive start")
    size = proof.sequence("n(t)", "|h_t|")
    moved = proof.sequence("c(t)", "|step(h_t, x) - step(0, x)| with x the input at t + 1")
    driven = proof.sequence("d(t)", "|step(0, x)| with the same x")

    contractive = proof.assume(CONTRACTIVE, at_most(moved(t), lam * size(t)))
    bounded = proof.assume(DRIVE_BOUNDED, at_most(driven(t), drive))
    begun = proof.given("start", at_most(size(0), start), "|h_0| <= start")
    triangle = proof.cite("triangle inequality", NORM, at_most(size(t + 1), moved(t) + driven(t)))
    recursion = proof.derive(
        "one step",
        at_most(size(t + 1), lam * size(t) + drive),
        {triangle: 1, contractive: 1, bounded: 1},
    )

    proof.conclude_by_induction(
        size(t), over=t, base={begun: 1}, step=lambda hypothesis: {recursion: 1, hypothesis: lam}
    )
    orbit = lam**t * start + drive * (1 - lam**t) / (1 - lam)
    proof.check_orbit(
        "orbit of h -> lam*h + drive", orbit, over=t, start=start, step=lambda h: lam * h + drive
    )
    proof.attained("h -> lam*h + drive", orbit)
    return proof
