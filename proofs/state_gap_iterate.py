"""Proof of `theory.theorems.state_gap_iterate`: the last steps first one by one, then in blocks."""

from __future__ import annotations

from proofs.steps import NORM, Proof, at_most, begin, equals, symbols
from theory.theorems.assumptions import ITERATE_CONTRACTIVE, STEP_LIPSCHITZ, ZERO_RESTART
from theory.theorems.state_gap_iterate import STATE_GAP_ITERATE
from theory.theorems.theorem import Formula


def prove(formula: Formula = STATE_GAP_ITERATE.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    proof = begin(STATE_GAP_ITERATE, formula)
    lam, blocks, rest, growth, past, i, j = symbols("lam blocks rest growth past i j")
    single = proof.sequence("s(i)", "distance of the two models i steps after the restart")
    several = proof.sequence("b(j)", "their distance after the first rest steps and j blocks of r")
    size = proof.letter("n", "|h_{t-k}|")
    restart = proof.letter("q", "|restart|")

    stretched = proof.assume(STEP_LIPSCHITZ, at_most(single(i + 1), growth * single(i)))
    contracted = proof.assume(ITERATE_CONTRACTIVE, at_most(several(j + 1), lam * several(j)))
    zero = proof.assume(ZERO_RESTART, equals(restart, 0))
    seen = proof.given("past", at_most(size, past), "|h_{t-k}| <= past")
    triangle = proof.cite("triangle inequality", NORM, at_most(single(0), size + restart))
    start = proof.derive(
        "distance at the restart", at_most(single(0), past), {triangle: 1, seen: 1, zero: 1}
    )
    one_by_one = proof.induct(
        "one step after another",
        at_most(single(i), growth**i * past),
        over=i,
        base={start: 1},
        step=lambda hypothesis: {stretched: 1, hypothesis: growth},
    )
    joined = proof.cite(
        "blocks begin where the single steps end", "definition", equals(several(0), single(rest))
    )
    first = proof.at(one_by_one, i=rest)
    # k = blocks r + rest steps lie between the restart and t
    proof.conclude_by_induction(
        several(blocks),
        over=blocks,
        base={joined: 1, first: 1},
        step=lambda hypothesis: {proof.at(contracted, j=blocks): 1, hypothesis: lam},
    )
    # h -> (a h_2, b h_1) in the maximum norm, a >= b: two steps multiply by a b = lam, one step by
    # growth = a; from (0, past) one step more leads to (a past, 0)
    step = growth * past
    proof.check_orbit(
        "size after j pairs of steps of h -> (a h_2, b h_1), from (0, past)",
        lam**j * past,
        over=j,
        start=past,
        step=lambda s: lam * s,
    )
    proof.attained("h -> (a h_2, b h_1) after an odd number of steps", lam**blocks * step, rest=1)
    return proof
