"""Proof of `theory.theorems.training_context`: gradients, weights, predictions, solved for k."""

from __future__ import annotations

from functools import cache

import sympy as sp

from proofs import gradient_gap, prediction_gap, weight_gap
from proofs.steps import Proof, at_most, begin, symbols
from theory.theorems.assumptions import (
    CONTRACTIVE_SET,
    DRIVE_BOUNDED,
    GRADIENT_MISMATCH,
    LOSS_LIPSCHITZ,
    LOSS_SMOOTH,
    NONEXPANSIVE,
    OUTPUT_LIPSCHITZ,
    SAME_START,
    SMOOTH_MAP,
    TWIN_DESCENTS,
    WEIGHT_LIPSCHITZ,
    ZERO_START,
)
from theory.theorems.gradient_gap import formula as mismatch_of
from theory.theorems.prediction_gap import formula as prediction_of
from theory.theorems.theorem import Formula
from theory.theorems.training_context import TRAINING_CONTEXT, gap_at


@cache  # it serves as a lemma, again and again
def prove(formula: Formula = TRAINING_CONTEXT.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    proof = begin(TRAINING_CONTEXT, formula)
    lam, m, drive, weight_gain, loss_gain = symbols("lam m drive weight_gain loss_gain")
    lipschitz, beta_hh, beta_wh, beta_p = symbols("lipschitz beta_hh beta_wh beta_p")
    beta, eps, i = symbols("beta eps i")
    k = m + 1
    outputs = proof.letter("y", "|y_t(w_N) - y_t^k(v_N)|, k = m + 1")
    apart = proof.letter("d", "|w_N - v_N|")
    mismatch = proof.letter("e", "|grad p - grad p^k|, its supremum over the set")
    more = proof.letter("q", "amplification - 1")

    for assumption in (
        CONTRACTIVE_SET, WEIGHT_LIPSCHITZ, SMOOTH_MAP, LOSS_LIPSCHITZ, LOSS_SMOOTH, DRIVE_BOUNDED,
        OUTPUT_LIPSCHITZ, GRADIENT_MISMATCH, TWIN_DESCENTS, NONEXPANSIVE, SAME_START, ZERO_START,
    ):  # fmt: skip
        proof.assume(assumption)
    gradients = proof.apply(
        gradient_gap.prove(), mismatch, lam=lam, k=k, drive=drive, weight_gain=weight_gain,
        loss_gain=loss_gain, beta_hh=beta_hh, beta_wh=beta_wh, beta_p=beta_p,
    )  # fmt: skip
    weights = proof.apply(
        weight_gap.prove(), apart, amplification=1 + more, mismatch=mismatch, beta=beta
    )
    predictions = proof.apply(
        prediction_gap.prove(), outputs, lam=lam, k=k, drive=drive, weight_gain=weight_gain,
        lipschitz=lipschitz, distance=apart,
    )  # fmt: skip

    # per_mismatch and rest, as `training_context` forms them
    scale = lipschitz * weight_gain / (1 - lam)
    one = mismatch_of(
        lam=lam, k=sp.Integer(1), drive=drive, weight_gain=weight_gain, loss_gain=loss_gain,
        beta_hh=beta_hh, beta_wh=beta_wh, beta_p=beta_p,
    )  # fmt: skip
    per_mismatch, rest = scale * one * more / beta, lipschitz * drive / (1 - lam)
    chosen = proof.given(
        "eps", at_most(gap_at(lam=lam, k=k, per_mismatch=per_mismatch, rest=rest), eps),
        "k brings gap_at to eps",
    )  # fmt: skip
    proof.conclude(
        outputs,
        {predictions: 1, weights: scale, gradients: scale * more / beta, chosen: 1},
    )
    # from k >= lam / (1 - lam) on, one input more makes it no larger
    share = proof.letter("x", "k (1 - lam) - lam, not negative from there on")
    count = (share + lam) / (1 - lam)
    power = lam**i
    proof.check_at_most(
        "gap_at falls from k = lam / (1 - lam) on",
        (per_mismatch * (count + 1) * lam + rest * lam**2) * power,
        (per_mismatch * count + rest * lam) * power,
    )
    reached = prediction_of(
        lam=lam, k=k, drive=drive, weight_gain=weight_gain, lipschitz=lipschitz,
        distance=more / beta * mismatch_of(
            lam=lam, k=k, drive=drive, weight_gain=weight_gain, loss_gain=loss_gain,
            beta_hh=beta_hh, beta_wh=beta_wh, beta_p=beta_p,
        ),
    )  # fmt: skip
    target = gap_at(lam=lam, k=k, per_mismatch=per_mismatch, rest=rest)
    proof.attained("the witnesses of the three bounds", reached, eps=target)
    return proof
