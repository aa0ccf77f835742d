"""Proof of `theory.theorems.state_gap_finite`: the stored state, bounded by its history."""

from __future__ import annotations

from proofs import hidden_state, state_gap_observed
from proofs.decide import Expr
from proofs.steps import Fact, Proof, begin, equals, symbols
from theory.theorems.assumptions import CONTRACTIVE, DRIVE_BOUNDED, ZERO_RESTART, ZERO_START
from theory.theorems.state_gap_finite import STATE_GAP_FINITE
from theory.theorems.theorem import Formula


def from_zero(proof: Proof) -> tuple[Expr, dict[Fact, Expr], Expr]:
    """Add what is known of the gap after k + j inputs; return it, what bounds it, and a witness."""
    lam, k, j, drive = symbols("lam k j drive")
    gap = proof.letter("e", "|h_t - h_t^k|, t = k + j")
    size = proof.letter("n", "|h_j|")
    begun = proof.letter("z", "|h_0|")

    proof.assume(CONTRACTIVE)
    proof.assume(DRIVE_BOUNDED)
    zero = proof.assume(ZERO_START, equals(begun, 0))
    observed = proof.apply(
        state_gap_observed.prove(),
        gap,
        discharged={ZERO_RESTART: "part of zero_start"},
        lam=lam,
        k=k,
        past=size,
    )
    bounded = proof.apply(hidden_state.prove(), size, lam=lam, t=j, drive=drive, start=begun)

    # h -> lam*h + drive: h_j from 0 after j steps, and apart from 0 after k more
    power, past = lam**k, drive * (1 - lam**j) / (1 - lam)
    proof.check_orbit(
        "orbit of h -> lam*h + drive", past, over=j, start=0, step=lambda h: lam * h + drive
    )
    proof.check_orbit(
        "its distance from the orbit of 0", power * past, over=k, start=past, step=lambda e: lam * e
    )
    return gap, {observed: 1, bounded: power, zero: lam ** (k + j)}, power * past


def prove(formula: Formula = STATE_GAP_FINITE.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    k, j = symbols("k j")
    proof = begin(STATE_GAP_FINITE, formula, t=k + j)
    gap, bounds, reached = from_zero(proof)
    proof.conclude(gap, bounds)
    proof.attained("h -> lam*h + drive", reached)
    return proof
