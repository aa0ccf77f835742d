"""Proof of `theory.theorems.contractive_of_gru_norms`, and the published form of its condition."""

from __future__ import annotations

from proofs.decide import LAM
from proofs.steps import Proof, at_most, begin, equals, symbols
from theory.theorems.assumptions import GRU_CELL, IN_DOMAIN, MAXIMUM_NORM
from theory.theorems.contractive_of_gru_norms import CONTRACTIVE_OF_GRU_NORMS
from theory.theorems.theorem import Formula


def prove(formula: Formula = CONTRACTIVE_OF_GRU_NORMS.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    # the factor of the candidate's pre-activation is a number in [0, 1), as lam is
    proof = begin(CONTRACTIVE_OF_GRU_NORMS, formula, inner=LAM)
    update, candidate, W_z = symbols("update candidate W_z")
    inner = LAM
    apart = proof.letter("d", "|h - g|")
    moved = proof.letter("e", "|step(h, x) - step(g, x)|, attained at entry i")
    share = proof.letter("s", "z_i")
    rest = proof.letter("r", "1 - z_i")
    new = proof.letter("N", "|n - n'|")
    gate = proof.letter("Z", "|z - z'|")

    inside = proof.assume(IN_DOMAIN)
    measured = proof.assume(
        MAXIMUM_NORM,
        at_most(moved, share * apart + rest * new + (1 + candidate) * gate),
        "h+ - g+ = z (h - g) + (1 - z) (n - n') + (z - z') (g - n'), with |g| <= 1 and "
        "|n'| <= candidate",
        after=inside,
    )
    whole = proof.assume(GRU_CELL, equals(share + rest, 1), "z and 1 - z")
    update_gate = proof.given("update", at_most(share, update), "update gates are below update")
    inner_part = proof.given("inner", at_most(new, inner * apart), "tanh has slopes of at most 1")
    moves = proof.given(
        "W_z", at_most(gate, W_z * apart / 4), "row sums W_z, and a slope of at most 1/4"
    )
    proof.conclude(
        moved,
        {
            measured: 1,
            inner_part: rest,
            moves: 1 + candidate,
            update_gate: (1 - inner) * apart,
            whole: inner * apart,
        },
        times=apart,
    )
    proof.attained("h -> z*h, without recurrent weights", update, inner=0, W_z=0)
    proof.check_equal(
        "below 1 exactly under the published condition on inner",
        1 - CONTRACTIVE_OF_GRU_NORMS.formula(update, inner, candidate, W_z),
        (1 - update) * (1 - (1 + candidate) * W_z / (4 * (1 - update)) - inner),
    )
    return proof
