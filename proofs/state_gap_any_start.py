"""Proof of `theory.theorems.state_gap_any_start`: two trajectories apart by |h_{t-k} - restart|."""

from __future__ import annotations

from proofs import hidden_state, initial_state
from proofs.state_gap_observed import COUNTERPART
from proofs.steps import NORM, Proof, at_most, begin, symbols
from theory.theorems.assumptions import CONTRACTIVE, DRIVE_BOUNDED, SAME_INPUTS
from theory.theorems.state_gap_any_start import STATE_GAP_ANY_START
from theory.theorems.theorem import Formula


def prove(formula: Formula = STATE_GAP_ANY_START.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    lam, k, j, drive, start, restart = symbols("lam k j drive start restart")
    proof = begin(STATE_GAP_ANY_START, formula, t=k + j)
    gap = proof.letter("e", "|h_t - h_t^k|, t = k + j")
    apart = proof.letter("a", "|h_j - g|, g the state from which the counterpart starts")
    size = proof.letter("n", "|h_j|")
    restarted = proof.letter("r", "|g|")

    proof.assume(CONTRACTIVE)
    proof.assume(DRIVE_BOUNDED)
    begun = proof.given("restart", at_most(restarted, restart), "|restart state| <= restart")
    iterated = proof.apply(
        initial_state.prove(),
        gap,
        discharged={SAME_INPUTS: COUNTERPART},
        lam=lam,
        t=k,
        distance=apart,
    )
    triangle = proof.cite("triangle inequality", NORM, at_most(apart, size + restarted))
    bounded = proof.apply(hidden_state.prove(), size, lam=lam, t=j, drive=drive, start=start)

    power = lam**k
    proof.conclude(gap, {iterated: 1, triangle: power, bounded: power, begun: power})
    # h -> lam*h + drive: from start after j steps, and apart from -restart after k more
    past = lam**j * start + drive * (1 - lam**j) / (1 - lam)
    proof.check_orbit(
        "orbit of h -> lam*h + drive", past, over=j, start=start, step=lambda h: lam * h + drive
    )
    proof.check_orbit(
        "its distance from the orbit of -restart",
        lam**k * (past + restart),
        over=k,
        start=past + restart,
        step=lambda e: lam * e,
    )
    proof.attained("h -> lam*h + drive, negative restart", lam**k * (past + restart))
    return proof
