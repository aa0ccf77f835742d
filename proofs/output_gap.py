"""Proof of `theory.theorems.output_gap`: the state gap, seen through a Lipschitz output."""

from __future__ import annotations

import sympy as sp

from proofs import state_gap
from proofs.steps import Proof, at_most, begin, symbols
from theory.theorems.assumptions import CONTRACTIVE, DRIVE_BOUNDED, OUTPUT_LIPSCHITZ, ZERO_START
from theory.theorems.output_gap import OUTPUT_GAP
from theory.theorems.theorem import Formula


def prove(formula: Formula = OUTPUT_GAP.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    proof = begin(OUTPUT_GAP, formula)
    lam, k, j, drive, lipschitz = symbols("lam k j drive lipschitz")
    outputs = proof.letter("y", "|f(h_t) - f(h_t^k)|")
    gap = proof.letter("e", "|h_t - h_t^k|")

    for assumption in (CONTRACTIVE, DRIVE_BOUNDED, ZERO_START):
        proof.assume(assumption)
    seen = proof.assume(OUTPUT_LIPSCHITZ, at_most(outputs, lipschitz * gap))
    states = proof.apply(state_gap.prove(), gap, lam=lam, k=k, drive=drive)

    proof.conclude(outputs, {seen: 1, states: lipschitz})
    past = drive * (1 - lam**j) / (1 - lam)
    proof.check_orbit(
        "orbit of h -> lam*h + drive", past, over=j, start=0, step=lambda h: lam * h + drive
    )
    witness = "h -> lam*h + drive, y = lipschitz*h, as j grows"
    proof.approached(witness, lipschitz * lam**k * past, j, sp.oo)
    return proof
