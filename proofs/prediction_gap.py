"""Proof of `theory.theorems.prediction_gap`: other weights, then a truncation."""

from __future__ import annotations

from functools import cache

import sympy as sp

from proofs import parameter_gap, state_gap
from proofs.steps import NORM, Proof, at_most, begin, symbols
from theory.theorems.assumptions import (
    CONTRACTIVE,
    CONTRACTIVE_SET,
    DRIVE_BOUNDED,
    OUTPUT_LIPSCHITZ,
    SAME_START,
    WEIGHT_LIPSCHITZ,
    ZERO_START,
)
from theory.theorems.prediction_gap import PREDICTION_GAP
from theory.theorems.theorem import Formula


@cache  # it serves as a lemma, again and again
def prove(formula: Formula = PREDICTION_GAP.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    proof = begin(PREDICTION_GAP, formula)
    lam, k, t, j, drive = symbols("lam k t j drive")
    weight_gain, lipschitz, distance = symbols("weight_gain lipschitz distance")
    outputs = proof.letter("y", "|y_t(w) - y_t^k(v)|")
    states = proof.letter("e", "|h_t(w) - h_t^k(v)|")
    weights = proof.letter("p", "|h_t(w) - h_t(v)|")
    truncated = proof.letter("s", "|h_t(v) - h_t^k(v)|")

    for assumption in (CONTRACTIVE_SET, WEIGHT_LIPSCHITZ, SAME_START, DRIVE_BOUNDED, ZERO_START):
        proof.assume(assumption)
    read = proof.assume(OUTPUT_LIPSCHITZ, at_most(outputs, lipschitz * states))
    triangle = proof.cite("triangle inequality", NORM, at_most(states, weights + truncated))
    by_weights = proof.apply(
        parameter_gap.prove(), weights,
        lam=lam, t=t, weight_gain=weight_gain, distance=distance,
    )  # fmt: skip
    by_truncation = proof.apply(
        state_gap.prove(), truncated, discharged={CONTRACTIVE: "contractive_set"},
        lam=lam, k=k, drive=drive,
    )  # fmt: skip
    # what is left over is lipschitz * weight_gain * distance * lam**t / (1 - lam) >= 0
    used = {read: 1, triangle: lipschitz, by_weights: lipschitz, by_truncation: lipschitz}
    proof.conclude(outputs, used)
    # h -> lam h + v with v = drive and w = drive + distance, y = lipschitz h: h_t = w S(t) against
    # h_t^k = v S(k), S(t) = (1 - lam**t) / (1 - lam)
    value = lipschitz * (
        (drive + distance) * (1 - lam ** (k + j)) - drive * (1 - lam**k)
    ) / (1 - lam)  # fmt: skip
    proof.approached(
        "h -> lam*h + v, w = v + distance, as t = k + j grows", value, j, sp.oo, weight_gain=1
    )
    return proof
