"""Proof of `theory.theorems.loss_smoothness`: the derivatives of two maps' states."""

from __future__ import annotations

from functools import cache

import sympy as sp

from proofs import parameter_gap
from proofs.gradient_gap_finite import CHAIN, INDUCED
from proofs.steps import Proof, at_most, begin, equals, symbols
from theory.theorems.assumptions import (
    CONTRACTIVE_SET,
    LOSS_LIPSCHITZ,
    LOSS_SMOOTH,
    SAME_START,
    SMOOTH_MAP,
    WEIGHT_LIPSCHITZ,
)
from theory.theorems.loss_smoothness import LOSS_SMOOTHNESS
from theory.theorems.theorem import Formula


@cache  # it serves as a lemma, again and again
def prove(formula: Formula = LOSS_SMOOTHNESS.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    lam, t, weight_gain, loss_gain = symbols("lam t weight_gain loss_gain")
    beta_hh, beta_hw, beta_wh, beta_ww = symbols("beta_hh beta_hw beta_wh beta_ww")
    beta_p, distance = symbols("beta_p distance")
    proof = begin(LOSS_SMOOTHNESS, formula)
    gap = proof.letter("g", "|grad p_t(w) - grad p_t(v)|")
    between = proof.sequence("s(t)", "|h_t(w) - h_t(v)|")
    near = proof.letter("r", "|w - v|")
    length = proof.sequence("q(t)", "|D_t(v)|, D = d h / d w")
    apart = proof.sequence("e(t)", "|D_t(w) - D_t(v)|")
    carried = proof.sequence("a(t)", "|J (D(w) - D(v))|, J = d_h step_w at h_t(w)")
    turned = proof.sequence("b(t)", "|(J - J') D(v)|, J' = d_h step_v at h_t(v)")
    fresh = proof.sequence("c(t)", "|d_w step_w at h_t(w) - d_w step_v at h_t(v)|")
    ends = proof.letter("z", "|grad p(h_t(w)) - grad p(h_t(v))|_*")
    slope = proof.letter("p", "|grad p(h_t(w))|_*")

    proof.assume(WEIGHT_LIPSCHITZ)
    contractive = proof.assume(CONTRACTIVE_SET, at_most(carried(t), lam * apart(t)), "|J| <= lam")
    begun = proof.assume(SAME_START, equals(apart(0), 0), "the start does not depend on w")
    close = proof.given("distance", at_most(near, distance), "|w - v| <= distance")
    common = {"lam": lam, "t": t, "weight_gain": weight_gain}
    states_t = proof.apply(parameter_gap.prove(), between(t), distance=distance, **common)
    states = proof.derive(
        "at any time", at_most(between(t), distance * weight_gain / (1 - lam)), {states_t: 1}
    )
    length_t = proof.apply(parameter_gap.prove(), length(t), distance=sp.Integer(1), **common)
    lengths = proof.derive(
        "at any time", at_most(length(t), weight_gain / (1 - lam)), {length_t: 1}
    )
    triangle = proof.cite(
        "one step of both", CHAIN, at_most(apart(t + 1), carried(t) + turned(t) + fresh(t))
    )
    smooth_h = proof.assume(
        SMOOTH_MAP,
        at_most(turned(t), (beta_hh * between(t) + beta_hw * near) * length(t)),
        "|J - J'| <= beta_hh s(t) + beta_hw |w - v|",
    )
    smooth_w = proof.assume(
        SMOOTH_MAP,
        at_most(fresh(t), beta_wh * between(t) + beta_ww * near),
        "|V - V'| <= beta_wh s(t) + beta_ww |w - v|",
    )
    total = weight_gain / (1 - lam)
    rate = beta_hh * total**2 + (beta_hw + beta_wh) * total + beta_ww
    recursion = proof.derive(
        "one step",
        at_most(apart(t + 1), lam * apart(t) + rate * distance),
        {
            triangle: 1,
            contractive: 1,
            smooth_h: 1,
            smooth_w: 1,
            close: beta_hw * length(t) + beta_ww,
            states: beta_hh * length(t) + beta_wh,
            lengths: beta_hh * total * distance + beta_hw * distance,
        },
    )
    solved = proof.induct(
        "difference of the derivatives", at_most(apart(t), rate * distance / (1 - lam)), over=t,
        base={begun: 1}, step=lambda hypothesis: {recursion: 1, hypothesis: lam},
    )  # fmt: skip
    steep = proof.assume(LOSS_LIPSCHITZ, at_most(slope, loss_gain))
    bent = proof.assume(LOSS_SMOOTH, at_most(ends, beta_p * between(t)))
    whole = proof.cite(
        "both ends", CHAIN + "; " + INDUCED, at_most(gap, apart(t) * slope + length(t) * ends)
    )
    proof.conclude(
        gap,
        {
            whole: 1,
            steep: apart(t),
            solved: loss_gain,
            bent: length(t),
            states: beta_p * length(t),
            lengths: beta_p * total * distance,
        },
    )
    # h -> w h + C after a long history, p(h) = h: grad p = C / (1 - w)**2, increasing with slope
    drive = sp.Symbol("drive", nonnegative=True)
    value = sp.diff(drive / (1 - lam) ** 2, lam) * distance
    proof.attained(
        "h -> w*h + drive, p(h) = h, to first order", value, weight_gain=drive / (1 - lam),
        loss_gain=1, beta_hh=0, beta_hw=1, beta_wh=1, beta_ww=0, beta_p=0,
    )  # fmt: skip
    return proof
