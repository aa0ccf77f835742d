"""Proof of `theory.theorems.state_gap`: the stored state, bounded whatever its history."""

from __future__ import annotations

import sympy as sp

from proofs.state_gap_finite import from_zero
from proofs.steps import Proof, begin, symbols
from theory.theorems.state_gap import STATE_GAP
from theory.theorems.theorem import Formula


def prove(formula: Formula = STATE_GAP.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    j = symbols("j")[0]
    proof = begin(STATE_GAP, formula)
    gap, bounds, reached = from_zero(proof)
    # what is left over is drive * lam**(k + j) / (1 - lam) >= 0
    proof.conclude(gap, bounds)
    proof.approached("h -> lam*h + drive as j grows", reached, j, sp.oo)
    return proof
