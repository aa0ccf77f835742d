"""Proof of `theory.theorems.vanishing_gradient`: the derivative, carried back step by step."""

from __future__ import annotations

from proofs.gradient_gap_finite import CHAIN, INDUCED
from proofs.steps import Proof, at_most, begin, equals, symbols
from theory.theorems.assumptions import CONTRACTIVE_SET, INPUT_LIPSCHITZ, LOSS_LIPSCHITZ
from theory.theorems.theorem import Formula
from theory.theorems.vanishing_gradient import VANISHING_GRADIENT


def prove(formula: Formula = VANISHING_GRADIENT.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    proof = begin(VANISHING_GRADIENT, formula)
    lam, k, gain, loss_gain = symbols("lam k gain loss_gain")
    slope = proof.letter("p", "|grad p(h_t)|_*")
    back = proof.sequence("a(k)", "|d p_t / d h_(t-k)|_*")
    entered = proof.sequence("g(k)", "|d p_t / d x_(t-k)|_*")

    steep = proof.assume(LOSS_LIPSCHITZ, at_most(slope, loss_gain))
    same = proof.cite("no step back yet", "definition", equals(back(0), slope))
    contractive = proof.assume(
        CONTRACTIVE_SET, at_most(back(k + 1), lam * back(k)), "|d_h step| <= lam, and its transpose"
    )
    lipschitz = proof.assume(
        INPUT_LIPSCHITZ, at_most(entered(k), gain * back(k)), "|d_x step| <= gain"
    )
    proof.cite(CHAIN, INDUCED, equals(0, 0))
    faded = proof.induct(
        "back through the states", at_most(back(k), loss_gain * lam**k), over=k,
        base={same: 1, steep: 1}, step=lambda hypothesis: {contractive: 1, hypothesis: lam},
    )  # fmt: skip
    proof.conclude(entered(k), {lipschitz: 1, faded: gain})
    orbit = loss_gain * lam**k
    proof.check_orbit(
        "derivatives of h -> lam*h + gain*x, p(h) = loss_gain*h",
        orbit, over=k, start=loss_gain, step=lambda a: lam * a,
    )  # fmt: skip
    proof.attained("h -> lam*h + gain*x, p(h) = loss_gain*h", gain * orbit)
    return proof
