"""Proof of `theory.theorems.state_gap_blocks`: sizes of states in blocks, then the stored state."""

from __future__ import annotations

import sympy as sp

from proofs import state_gap_iterate
from proofs.steps import NORM, Proof, at_most, begin, equals, symbols
from theory.theorems.assumptions import (
    DRIVE_BOUNDED,
    ITERATE_CONTRACTIVE,
    STEP_LIPSCHITZ,
    ZERO_RESTART,
    ZERO_START,
)
from theory.theorems.state_gap_blocks import STATE_GAP_BLOCKS
from theory.theorems.theorem import Formula


def prove(formula: Formula = STATE_GAP_BLOCKS.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    proof = begin(STATE_GAP_BLOCKS, formula)
    lam, blocks, rest, growth = symbols("lam blocks rest growth")
    drive, spread, i, j = symbols("drive spread i j")
    gap = proof.letter("e", "|h_t - h_t^k|, k = blocks r + rest")
    past = proof.letter("p", "|h_{t-k}|")
    size = proof.sequence("n(j)", "|h| after the first t - k - (j_0 - j) r inputs; n(j_0) = p")
    moved = proof.sequence("c(j)", "|r steps from that state - the same r steps from 0|")
    made = proof.sequence("d(i)", "what i steps make of 0 at most, in size")
    stretch = proof.sequence("s(i)", "|i steps from step(0, x) - the same i steps from 0|")
    constant = proof.sequence("B(i)", "Lipschitz constant of i steps")
    total = proof.sequence("S(i)", "B(0) + .. + B(i - 1)")
    driven = proof.letter("x", "|step(0, x)|")
    last = sp.Symbol("j_0", integer=True, nonnegative=True)
    r, first = (sp.Symbol(name, integer=True, nonnegative=True) for name in ("r", "i_0"))

    # what at most r steps make of 0
    lipschitz = proof.assume(
        STEP_LIPSCHITZ, at_most(stretch(i), constant(i) * driven), "i steps are Lipschitz"
    )
    bounded = proof.assume(DRIVE_BOUNDED, at_most(driven, drive))
    telescoped = proof.cite(
        "triangle inequality: i + 1 steps from 0 are i steps from step(0, x)",
        NORM,
        at_most(made(i + 1), made(i) + stretch(i)),
    )
    rest_at_0 = proof.cite("no steps leave 0 where it is", "definition", equals(made(0), 0))
    empty = proof.cite("a sum of no terms", "definition", equals(total(0), 0))
    added = proof.cite("one term more", "definition", equals(total(i + 1), total(i) + constant(i)))
    from_0 = proof.induct(
        "size after i steps from 0",
        at_most(made(i), drive * total(i)),
        over=i,
        base={rest_at_0: 1, empty: -drive},
        step=lambda hypothesis: {
            telescoped: 1,
            hypothesis: 1,
            lipschitz: 1,
            bounded: constant(i),
            added: -drive,
        },
    )
    whole = proof.given("spread", at_most(total(r), spread), "B(0) + .. + B(r - 1) <= spread")
    part = proof.given("spread", at_most(total(first), spread), "so is a part of it, i_0 < r")

    # blocks of r steps, after the first i_0 < r
    contracted = proof.assume(ITERATE_CONTRACTIVE, at_most(moved(j), lam * size(j)))
    begun = proof.assume(
        ZERO_START, at_most(size(0), made(first)), "the first i_0 steps start from h_0 = 0"
    )
    triangle = proof.cite("triangle inequality", NORM, at_most(size(j + 1), moved(j) + made(r)))
    onward = proof.derive(
        "one block",
        at_most(size(j + 1), lam * size(j) + drive * spread),
        {triangle: 1, contracted: 1, proof.at(from_0, i=r): 1, whole: drive},
    )
    states = proof.induct(
        "every state at a block's end",
        at_most(size(j), drive * spread / (1 - lam)),
        over=j,
        base={begun: 1, proof.at(from_0, i=first): 1, part: drive},
        step=lambda hypothesis: {onward: 1, hypothesis: lam},
    )
    here = proof.cite("the stored state is one of them", "definition", equals(past, size(last)))
    observed = proof.apply(
        state_gap_iterate.prove(),
        gap,
        discharged={ZERO_RESTART: "part of zero_start"},
        lam=lam,
        blocks=blocks,
        rest=rest,
        growth=growth,
        past=past,
    )
    power = growth**rest * lam**blocks
    proof.conclude(gap, {observed: 1, here: power, proof.at(states, j=last): power})
    _witness(proof)
    return proof


def _witness(proof: Proof) -> None:
    """Check the fixed point of h -> (a h_2 + drive, b h_1 + drive) and the orbit of 0."""
    lam, blocks, growth, drive = symbols("lam blocks growth drive")
    # growth = a, lam = a b, spread = 1 + a: h_1 = a h_2 + drive and h_2 = b h_1 + drive give
    # h_1 (1 - a b) = a drive + drive
    reached = drive * (1 + growth) / (1 - lam)
    proof.check_equal(
        "the fixed point of two steps, first entry",
        lam * reached + growth * drive + drive,
        reached,
    )
    n = symbols("n")[0]
    past = reached * (1 - lam**n)
    proof.check_orbit(
        "first entry after 2 n inputs",
        past,
        over=n,
        start=0,
        step=lambda h: lam * h + growth * drive + drive,
    )
    proof.approached(
        "h -> (a h_2 + drive, b h_1 + drive) after an even number of steps",
        lam**blocks * past,
        n,
        sp.oo,
        rest=0,
        spread=1 + growth,
    )
