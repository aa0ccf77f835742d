"""Proof of `theory.theorems.drive`: the triangle inequality through step(0, 0)."""

from __future__ import annotations

from proofs.steps import NORM, Proof, at_most, begin, symbols
from theory.theorems.assumptions import INPUT_LIPSCHITZ
from theory.theorems.drive import DRIVE
from theory.theorems.theorem import Formula


def prove(formula: Formula = DRIVE.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    proof = begin(DRIVE, formula)
    gain, input_bound, offset = symbols("gain input_bound offset")
    whole = proof.letter("d", "|step(0, x)|")
    moved = proof.letter("m", "|step(0, x) - step(0, 0)|")
    rest = proof.letter("r", "|step(0, 0)|")
    x = proof.letter("x", "|x - 0|")

    lipschitz = proof.assume(INPUT_LIPSCHITZ, at_most(moved, gain * x))
    bounded = proof.given("input_bound", at_most(x, input_bound), "|x| <= input_bound")
    at_rest = proof.given("offset", at_most(rest, offset), "|step(0, 0)| <= offset")
    triangle = proof.cite("triangle inequality", NORM, at_most(whole, moved + rest))

    proof.conclude(whole, {triangle: 1, lipschitz: 1, bounded: gain, at_rest: 1})
    # lam*h + gain*x + offset at h = 0, x = input_bound
    proof.attained("h -> lam*h + gain*x + offset", gain * input_bound + offset)
    return proof
