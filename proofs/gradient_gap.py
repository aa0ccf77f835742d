"""Proof of `theory.theorems.gradient_gap`: the finite form, whatever the history."""

from __future__ import annotations

from functools import cache

import sympy as sp

from proofs import gradient_gap_finite, hidden_state
from proofs.steps import Proof, at_most, begin, equals, symbols
from theory.theorems.assumptions import (
    CONTRACTIVE,
    CONTRACTIVE_SET,
    DRIVE_BOUNDED,
    LOSS_LIPSCHITZ,
    LOSS_SMOOTH,
    SMOOTH_MAP,
    WEIGHT_LIPSCHITZ,
    ZERO_START,
)
from theory.theorems.gradient_gap import GRADIENT_GAP
from theory.theorems.theorem import Formula


@cache  # it serves as a lemma, again and again
def prove(formula: Formula = GRADIENT_GAP.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    lam, m, j, i, drive = symbols("lam m j i drive")
    weight_gain, loss_gain = symbols("weight_gain loss_gain")
    beta_hh, beta_wh, beta_p = symbols("beta_hh beta_wh beta_p")
    k = m + 1
    proof = begin(GRADIENT_GAP, formula, k=k)
    gap = proof.letter("g", "|grad p_t - grad p_t^k|, k = m + 1, t = k + j")
    size = proof.letter("n", "|h_j|")
    begun = proof.letter("z", "|h_0|")

    for assumption in (
        CONTRACTIVE_SET, WEIGHT_LIPSCHITZ, SMOOTH_MAP, LOSS_LIPSCHITZ, LOSS_SMOOTH, DRIVE_BOUNDED,
    ):  # fmt: skip
        proof.assume(assumption)
    zero = proof.assume(ZERO_START, equals(begun, 0))
    from_rest = proof.apply(
        hidden_state.prove(), size, discharged={CONTRACTIVE: "contractive_set"},
        lam=lam, t=j, drive=drive, start=begun,
    )  # fmt: skip
    finite = proof.apply(
        gradient_gap_finite.prove(), gap, lam=lam, k=k, t=k + j, past=size,
        weight_gain=weight_gain, loss_gain=loss_gain, beta_hh=beta_hh, beta_wh=beta_wh,
        beta_p=beta_p,
    )  # fmt: skip
    # |h_j| <= C / (1 - lam), and k - (1 - lam**k) / (1 - lam) <= k
    largest = proof.derive(
        "whatever the history", at_most(size, drive / (1 - lam)), {from_rest: 1, zero: lam**j}
    )
    below_one = proof.induct(
        "powers", at_most(lam**i, 1), over=i, base={}, step=lambda hypothesis: {hypothesis: lam}
    )
    power = proof.at(below_one, i=m)
    # multiplied by the nonnegative quantities that stand beside them
    lam_k = lam * lam**m
    per_size = loss_gain * lam**m * (
        k * beta_wh + beta_hh * weight_gain * k / (1 - lam)
    ) + beta_p * lam_k * weight_gain / (1 - lam)
    proof.conclude(
        gap,
        {
            finite: 1,
            largest: per_size,
            power: loss_gain * lam**m * size * beta_hh * weight_gain * lam / (1 - lam) ** 2,
        },
    )
    # h -> w h + C from 0, p(h) = h: h_t - h_t^k = C w**k (1 - w**j) / (1 - w), to be derived in w
    value = sp.diff(drive * lam * (1 - lam**j) / (1 - lam), lam)
    proof.approached(
        "h -> w*h + drive, p(h) = h, k = 1, as j grows", value, j, sp.oo, k=sp.Integer(1),
        weight_gain=drive / (1 - lam), loss_gain=1, beta_hh=0, beta_wh=1, beta_p=0,
    )  # fmt: skip
    return proof
