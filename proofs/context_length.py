"""Proof of `theory.theorems.context_length`: solving the gap bound for the context."""

from __future__ import annotations

import sympy as sp

from proofs import state_gap_finite
from proofs.decide import Expr
from proofs.steps import Proof, at_most, begin, symbols
from theory.theorems.assumptions import CONTRACTIVE, DRIVE_BOUNDED, OUTPUT_LIPSCHITZ, ZERO_START
from theory.theorems.context_length import CONTEXT_LENGTH, gap_at
from theory.theorems.theorem import Formula


def prove(formula: Formula = CONTEXT_LENGTH.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    proof = begin(CONTEXT_LENGTH, formula)
    lam, k, j, i, m, drive, lipschitz, eps = symbols("lam k j i m drive lipschitz eps")
    n, t = k + m, k + m + j
    outputs = proof.letter("y", "|y_t - y_t^n|, n = k + m inputs seen, t = n + j; 0 for shorter t")
    gap = proof.letter("e", "|h_t - h_t^n|")

    def bound(count: Expr, past: Expr) -> Expr:
        return gap_at(lam=lam, k=count, drive=drive, lipschitz=lipschitz, past=past)

    for assumption in (CONTRACTIVE, DRIVE_BOUNDED, ZERO_START):
        proof.assume(assumption)
    seen = proof.assume(OUTPUT_LIPSCHITZ, at_most(outputs, lipschitz * gap))
    horizon = proof.given(
        "eps", at_most(bound(k, lam ** (t + i)), eps), "k brings gap_at to eps, horizon t + i"
    )
    every = proof.given("eps", at_most(bound(k, 0), eps), "k brings gap_at to eps, every horizon")
    states = proof.apply(state_gap_finite.prove(), gap, lam=lam, k=n, t=t, drive=drive)
    below_one = proof.induct(
        "powers", at_most(lam**i, 1), over=i, base={}, step=lambda hypothesis: {hypothesis: lam}
    )

    # gap_at(k, lam**(t+i)) - gap_at(n, lam**t) = scale (lam**k (1 - lam**m) + lam**t (1 - lam**i))
    scale = lipschitz * drive / (1 - lam)
    more, longer = proof.at(below_one, i=m), below_one
    common = {seen: 1, states: lipschitz, more: scale * lam**k}
    proof.derive("every horizon", at_most(outputs, proof.bound()), {**common, every: 1})
    proof.conclude(outputs, {**common, horizon: 1, longer: scale * lam**t})

    # solved for lam**k, with past = lam**horizon or 0
    (past,) = symbols("past")
    r = eps * (1 - lam) / (lipschitz * drive)
    proof.check_equal(
        "gap_at(k) <= eps iff lam**k <= past + r",
        (eps - bound(k, past)) * (1 - lam),
        lipschitz * drive * (past + r - lam**k),
    )
    proof.check_equal(
        "equality at k = log(past + r) / log(lam)",
        lam ** (sp.log(past + r) / sp.log(lam)),
        past + r,
    )
    proof.check_equal(
        "one input fewer costs", bound(k, past) - bound(k + 1, past), lipschitz * drive * lam**k
    )
    reached = lipschitz * lam**k * drive * (1 - lam**j) / (1 - lam)
    proof.attained("h -> lam*h + drive at t = k + j", reached, eps=bound(k, lam ** (k + j)))
    return proof
