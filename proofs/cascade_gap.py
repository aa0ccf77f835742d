"""Proof of `theory.theorems.cascade_gap`: induction over the window; the limit of equal rates."""

from __future__ import annotations

import sympy as sp

from proofs.steps import Proof, at_most, begin, symbols
from theory.theorems.assumptions import TWO_LAYERS, ZERO_RESTART
from theory.theorems.cascade_gap import CASCADE_GAP, equal_rates
from theory.theorems.theorem import Formula


def prove(formula: Formula = CASCADE_GAP.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    proof = begin(CASCADE_GAP, formula)
    first, second, gain, k, below, above = symbols("first second gain k below above")
    low = proof.sequence("l(k)", "gap of the lower layer, k steps after the restart")
    high = proof.sequence("e(k)", "|h_t - h_t^k|, gap of the upper layer, k steps after it")
    size_low = proof.letter("p", "|h_{t-k}| of the lower layer")
    size_high = proof.letter("q", "|h_{t-k}| of the upper layer")

    shrinks = proof.assume(TWO_LAYERS, at_most(low(k + 1), first * low(k)))
    follows = proof.assume(
        TWO_LAYERS,
        at_most(high(k + 1), second * high(k) + gain * low(k + 1)),
        "the upper layer contracts, and sees the lower one's new state",
    )
    start_low = proof.assume(
        ZERO_RESTART, at_most(low(0), size_low), "the lower layer restarts from 0"
    )
    start_high = proof.assume(
        ZERO_RESTART, at_most(high(0), size_high), "the upper layer restarts from 0"
    )
    seen_low = proof.given("below", at_most(size_low, below), "size of the lower state at t - k")
    seen_high = proof.given("above", at_most(size_high, above), "size of the upper state at t - k")
    lower = proof.induct(
        "the lower layer alone",
        at_most(low(k), first**k * below),
        over=k,
        base={start_low: 1, seen_low: 1},
        step=lambda hypothesis: {shrinks: 1, hypothesis: first},
    )
    lower_next = proof.at(lower, k=k + 1)
    proof.conclude_by_induction(
        high(k),
        over=k,
        base={start_high: 1, seen_high: 1},
        step=lambda hypothesis: {follows: 1, hypothesis: second, lower_next: gain},
    )
    value = second**k * above + gain * first * (first**k - second**k) / (first - second) * below
    proof.check_orbit(
        "upper state of h -> first*h and g -> second*g + gain*h from below and above",
        value,
        over=k,
        start=above,
        step=lambda g: second * g + gain * first ** (k + 1) * below,
    )
    proof.attained("positive scalar linear layers", value)
    # for whole numbers k the quotient is a polynomial; three of them show the limit
    lam = sp.Symbol("lam", positive=True)
    for count in (1, 2, 3):
        proof.check_limit(
            f"equal rates, k = {count}",
            CASCADE_GAP.formula(first, lam, gain, sp.Integer(count), below, above),
            first,
            lam,
            equal_rates(lam=lam, gain=gain, k=count, below=below, above=above),
        )
    return proof
