"""Proof of `theory.theorems.norm_change`: into the contraction's norm and out again."""

from __future__ import annotations

from proofs import state_gap_observed
from proofs.steps import Proof, at_most, begin, symbols
from theory.theorems.assumptions import CONTRACTIVE, ZERO_RESTART
from theory.theorems.norm_change import NORM_CHANGE
from theory.theorems.theorem import Formula


def prove(formula: Formula = NORM_CHANGE.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    proof = begin(NORM_CHANGE, formula)
    lam, k, past, outer, inner = symbols("lam k past outer inner")
    gap_there = proof.letter("f", "|h_t - h_t^k|'")
    gap = proof.letter("e", "|h_t - h_t^k|")
    size_there = proof.letter("q", "|h_{t-k}|'")
    size = proof.letter("n", "|h_{t-k}|")

    proof.assume(CONTRACTIVE)
    proof.assume(ZERO_RESTART)
    out = proof.given("outer", at_most(gap_there, outer * gap), "|h|' <= outer * |h| for all h")
    into = proof.given("inner", at_most(size, inner * size_there), "|h| <= inner * |h|' for all h")
    seen = proof.given("past", at_most(size_there, past), "|h_{t-k}|' <= past")
    observed = proof.apply(state_gap_observed.prove(), gap, lam=lam, k=k, past=size)

    scale = outer * lam**k
    proof.conclude(gap_there, {out: 1, observed: outer, into: scale, seen: scale * inner})

    # |h| = max |h_i| and |h|' = c sum |h_i| on R^n: outer = c n, attained at (1, .., 1), and
    # inner = 1/c, attained at (1, 0, .., 0).  h -> lam h_1 (1, .., 1) contracts |.| by lam and
    # carries (past/c, 0, .., 0), of size past in |.|', to lam**k (past/c) (1, .., 1).
    c, n = 1 + symbols("c")[0], 1 + symbols("n")[0]
    entry = lam**k * past / c
    proof.check_orbit(
        "entries of the state of h -> lam*h_1*(1, .., 1)",
        entry,
        over=k,
        start=past / c,
        step=lambda h: lam * h,
    )
    proof.attained(
        "h -> lam*h_1*(1, .., 1), maximum to sum", c * n * entry, outer=c * n, inner=1 / c
    )
    return proof
