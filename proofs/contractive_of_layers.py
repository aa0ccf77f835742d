"""Proof of `theory.theorems.contractive_of_layers`: one layer, given the one below."""

from __future__ import annotations

from proofs.steps import Proof, at_most, begin, equals, symbols
from theory.theorems.assumptions import BLOCK_MAXIMUM, IN_DOMAIN, LAYERED
from theory.theorems.contractive_of_layers import CONTRACTIVE_OF_LAYERS
from theory.theorems.theorem import Formula


def prove(formula: Formula = CONTRACTIVE_OF_LAYERS.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    proof = begin(CONTRACTIVE_OF_LAYERS, formula)
    own, gain, weight, lower, beneath = symbols("own gain weight lower beneath")
    apart = proof.letter("d", "|h - g| = max_l w_l |h_l - g_l|_l")
    moved = proof.letter("e", "|step(h, x) - step(g, x)|, attained at layer l")
    after = proof.letter("r", "|step(h, x) - step(g, x)|_l, of layer l")
    before = proof.letter("p", "|h_l - g_l|_l, of layer l")
    under = proof.letter("s", "the same after the step, of the layer below")

    measured = proof.assume(BLOCK_MAXIMUM, equals(moved, weight * after))
    within = proof.assume(BLOCK_MAXIMUM, at_most(weight * before, apart))
    inside = proof.assume(IN_DOMAIN)
    layered = proof.assume(
        LAYERED,
        at_most(after, own * before + gain * under),
        "the layer contracts, and sees the new state of the one below",
        after=inside,
    )
    grown = proof.given(
        "beneath",
        at_most(lower * under, beneath * apart),
        "the weighted part of the layer below after the step is at most beneath |h - g|",
    )
    proof.conclude(
        moved,
        {measured: 1, layered: weight, within: own, grown: gain * weight / lower},
        times=apart,
    )
    # two layers h -> a h, g -> b g + c h+ at h = 1 / lower and g = 1 / weight, of size 1
    proof.attained(
        "positive scalar linear layers",
        weight * (own / weight + gain * (beneath / lower)),
        own=own,
        gain=gain,
        weight=weight,
        lower=lower,
        beneath=beneath,
    )
    return proof
