"""Proof of `theory.theorems.gradient_gap_finite`: the derivatives of both states, step by step."""

from __future__ import annotations

from functools import cache

import sympy as sp

from proofs import parameter_gap, state_gap_observed
from proofs.decide import Expr
from proofs.steps import Proof, at_most, begin, equals, symbols
from theory.theorems.assumptions import (
    CONTRACTIVE,
    CONTRACTIVE_SET,
    LOSS_LIPSCHITZ,
    LOSS_SMOOTH,
    SAME_START,
    SMOOTH_MAP,
    WEIGHT_LIPSCHITZ,
    ZERO_RESTART,
    ZERO_START,
)
from theory.theorems.gradient_gap_finite import GRADIENT_GAP_FINITE
from theory.theorems.theorem import Formula

#: References of facts about derivatives.
INDUCED = "definition of an induced norm"
CHAIN = "chain rule and triangle inequality"


@cache  # it serves as a lemma, again and again
def prove(formula: Formula = GRADIENT_GAP_FINITE.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    lam, m, j, i = symbols("lam m j i")
    k = m + 1
    past, weight_gain, loss_gain = symbols("past weight_gain loss_gain")
    beta_hh, beta_wh, beta_p = symbols("beta_hh beta_wh beta_p")
    proof = begin(GRADIENT_GAP_FINITE, formula, k=k, t=k + j)
    gap = proof.letter("g", "|grad p_t - grad p_t^k|, k = m + 1, t = k + j")
    between = proof.sequence("s(i)", "|h_(j+i) - h^k_(j+i)|")
    long = proof.letter("l", "|D_j|, D = d h / d w")
    short = proof.sequence("q(i)", "|D^k_(j+i)|")
    apart = proof.sequence("e(i)", "|D_(j+i) - D^k_(j+i)|")
    carried = proof.sequence("a(i)", "|J (D - D^k)|, J = d_h step at h_(j+i)")
    turned = proof.sequence("b(i)", "|(J - J^k) D^k|, J^k = d_h step at h^k_(j+i)")
    fresh = proof.sequence("c(i)", "|d_w step at h_(j+i) - d_w step at h^k_(j+i)|")
    ends = proof.letter("z", "|grad p(h_t) - grad p(h_t^k)|_*")
    slope = proof.letter("p", "|grad p(h_t)|_*")

    for assumption in (WEIGHT_LIPSCHITZ, ZERO_START, CONTRACTIVE_SET):
        proof.assume(assumption)
    # how far apart the states are, and how long their derivatives
    states = proof.apply(
        state_gap_observed.prove(), between(i),
        discharged={CONTRACTIVE: "contractive_set", ZERO_RESTART: "part of zero_start"},
        lam=lam, k=i, past=past,
    )  # fmt: skip
    derivative = {SAME_START: "a derivative is a limit of quotients with |w - v| = 1 * |w - v|"}
    of_long = proof.apply(
        parameter_gap.prove(), long, discharged=derivative,
        lam=lam, t=j, weight_gain=weight_gain, distance=sp.Integer(1),
    )  # fmt: skip
    of_short = proof.apply(
        parameter_gap.prove(), short(i), discharged=derivative,
        lam=lam, t=i, weight_gain=weight_gain, distance=sp.Integer(1),
    )  # fmt: skip

    # D_(i+1) - D^k_(i+1) = J (D - D^k) + (J - J^k) D^k + (V - V^k), V = d_w step
    started = proof.assume(ZERO_START, equals(apart(0), long), "the restart is 0 for every w")
    triangle = proof.cite(
        "one step of both", CHAIN, at_most(apart(i + 1), carried(i) + turned(i) + fresh(i))
    )
    contractive = proof.assume(CONTRACTIVE_SET, at_most(carried(i), lam * apart(i)), "|J| <= lam")
    smooth_h = proof.assume(
        SMOOTH_MAP, at_most(turned(i), beta_hh * between(i) * short(i)), "|J - J^k| <= beta_hh s(i)"
    )
    smooth_w = proof.assume(
        SMOOTH_MAP, at_most(fresh(i), beta_wh * between(i)), "|V - V^k| <= beta_wh s(i)"
    )
    recursion = proof.derive(
        "one step",
        at_most(
            apart(i + 1),
            lam * apart(i)
            + lam**i * past * (beta_hh * weight_gain * (1 - lam**i) / (1 - lam) + beta_wh),
        ),
        {
            triangle: 1,
            contractive: 1,
            smooth_h: 1,
            smooth_w: 1,
            states: beta_wh + beta_hh * short(i),
            of_short: beta_hh * lam**i * past,
        },
    )
    solved = proof.induct(
        "difference of the derivatives after i + 1 steps",
        at_most(
            apart(i + 1),
            lam ** (i + 1) * weight_gain * (1 - lam**j) / (1 - lam)
            + lam**i * past
            * (
                (i + 1) * beta_wh
                + beta_hh * weight_gain * (i + 1 - (1 - lam ** (i + 1)) / (1 - lam)) / (1 - lam)
            ),
        ),
        over=i,
        base={proof.at(recursion, i=0): 1, started: lam, of_long: lam},
        step=lambda hypothesis: {proof.at(recursion, i=i + 1): 1, hypothesis: lam},
    )  # fmt: skip

    # D^T grad p - D^kT grad p^k = (D - D^k)^T grad p + D^kT (grad p - grad p^k)
    steep = proof.assume(LOSS_LIPSCHITZ, at_most(slope, loss_gain))
    bent = proof.assume(LOSS_SMOOTH, at_most(ends, beta_p * between(k)))
    whole = proof.cite(
        "both ends", CHAIN + "; " + INDUCED, at_most(gap, apart(k) * slope + short(k) * ends)
    )
    proof.conclude(
        gap,
        {
            whole: 1,
            steep: apart(k),
            proof.at(solved, i=m): loss_gain,
            bent: short(k),
            proof.at(states, i=k): beta_p * short(k),
            proof.at(of_short, i=k): beta_p * lam**k * past,
        },
    )

    # h -> lam h + w from 0, p(h) = (h + y)**2 / 2 with y >= 0: grad p_t = (h_t + y) S(t), where
    # S(t) = 1 + lam + ... + lam**(t - 1) and h_t = w S(t)
    w, y = sp.symbols("w y", nonnegative=True)

    def S(count: Expr) -> Expr:
        return (1 - lam**count) / (1 - lam)

    value = (w * S(k + j) + y) * S(k + j) - (w * S(k) + y) * S(k)
    proof.attained(
        "h -> lam*h + w, p(h) = (h + y)**2/2", value, past=w * S(j), weight_gain=1,
        loss_gain=w * S(k + j) + y, beta_hh=0, beta_wh=0, beta_p=1,
    )  # fmt: skip
    return proof
