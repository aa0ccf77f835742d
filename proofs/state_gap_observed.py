"""Proof of `theory.theorems.state_gap_observed`: the counterpart is a second trajectory."""

from __future__ import annotations

from proofs import initial_state
from proofs.steps import NORM, Proof, at_most, begin, equals, symbols
from theory.theorems.assumptions import CONTRACTIVE, SAME_INPUTS, ZERO_RESTART
from theory.theorems.state_gap_observed import STATE_GAP_OBSERVED
from theory.theorems.theorem import Formula

#: Why two trajectories that end at t receive the same inputs after t - k.
COUNTERPART = "both models receive the last k inputs"


def prove(formula: Formula = STATE_GAP_OBSERVED.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    proof = begin(STATE_GAP_OBSERVED, formula)
    lam, k, past = symbols("lam k past")
    gap = proof.letter("e", "|h_t - h_t^k|")
    apart = proof.letter("a", "|h_{t-k} - restart|")
    size = proof.letter("n", "|h_{t-k}|")
    restart = proof.letter("r", "|restart|")

    proof.assume(CONTRACTIVE)
    zero = proof.assume(ZERO_RESTART, equals(restart, 0))
    seen = proof.given("past", at_most(size, past), "|h_{t-k}| <= past")
    triangle = proof.cite("triangle inequality", NORM, at_most(apart, size + restart))
    iterated = proof.apply(
        initial_state.prove(),
        gap,
        discharged={SAME_INPUTS: COUNTERPART},
        lam=lam,
        t=k,
        distance=apart,
    )

    power = lam**k
    proof.conclude(gap, {iterated: 1, triangle: power, zero: power, seen: power})
    proof.check_orbit(
        "distance of the orbits of h -> lam*h from past and from 0",
        lam**k * past,
        over=k,
        start=past,
        step=lambda e: lam * e,
    )
    proof.attained("h -> lam*h", lam**k * past)
    return proof
