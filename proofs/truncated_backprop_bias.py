"""Proof of `theory.theorems.truncated_backprop_bias`: what was cut, carried over k steps."""

from __future__ import annotations

from functools import cache

import sympy as sp

from proofs import parameter_gap
from proofs.gradient_gap_finite import CHAIN, INDUCED
from proofs.steps import Proof, at_most, begin, equals, symbols
from theory.theorems.assumptions import (
    CONTRACTIVE_SET,
    LOSS_LIPSCHITZ,
    SAME_START,
    WEIGHT_LIPSCHITZ,
)
from theory.theorems.theorem import Formula
from theory.theorems.truncated_backprop_bias import TRUNCATED_BACKPROP_BIAS


@cache  # it serves as a lemma, again and again
def prove(formula: Formula = TRUNCATED_BACKPROP_BIAS.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    lam, k, j, i, weight_gain, loss_gain = symbols("lam k j i weight_gain loss_gain")
    proof = begin(TRUNCATED_BACKPROP_BIAS, formula, t=k + j)
    bias = proof.letter("g", "|grad p_t - g_k|, t = k + j")
    cut = proof.letter("l", "|d h_j / d w|")
    carried = proof.sequence("q(i)", "|(d h_(j+i) / d h_j) (d h_j / d w)|")
    slope = proof.letter("p", "|grad p(h_t)|_*")

    proof.assume(WEIGHT_LIPSCHITZ)
    contractive = proof.assume(
        CONTRACTIVE_SET, at_most(carried(i + 1), lam * carried(i)), "|d_h step| <= lam"
    )
    steep = proof.assume(LOSS_LIPSCHITZ, at_most(slope, loss_gain))
    of_cut = proof.apply(
        parameter_gap.prove(), cut,
        discharged={SAME_START: "a derivative is a limit of quotients"},
        lam=lam, t=j, weight_gain=weight_gain, distance=sp.Integer(1),
    )  # fmt: skip
    same = proof.cite("no step yet", "definition", equals(carried(0), cut))
    lost = proof.cite(
        "the chain rule's terms older than k steps", CHAIN + "; " + INDUCED,
        at_most(bias, carried(k) * slope),
    )  # fmt: skip
    faded = proof.induct(
        "the cut derivative fades", at_most(carried(i), lam**i * cut), over=i,
        base={same: 1}, step=lambda hypothesis: {contractive: 1, hypothesis: lam},
    )  # fmt: skip
    proof.conclude(
        bias,
        {
            lost: 1,
            steep: carried(k),
            proof.at(faded, i=k): loss_gain,
            of_cut: loss_gain * lam**k,
        },
    )

    # h -> lam h + w, p(h) = h: grad p_t = 1 + lam + ... + lam**(t-1), of which k terms are kept
    def total(count: sp.Expr) -> sp.Expr:
        return (1 - lam**count) / (1 - lam)

    proof.attained("h -> lam*h + w, p(h) = h", total(k + j) - total(k), weight_gain=1, loss_gain=1)
    return proof
