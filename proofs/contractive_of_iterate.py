"""Proof of `theory.theorems.contractive_of_iterate`: secants make r steps a product of matrices."""

from __future__ import annotations

import sympy as sp

from proofs.steps import Proof, at_most, begin, symbols
from theory.theorems.assumptions import AFFINE_FORM, PRODUCTS_BOUNDED
from theory.theorems.contractive_of_iterate import CONTRACTIVE_OF_ITERATE
from theory.theorems.theorem import Formula

SECANTS = "mean value: rho(a) - rho(b) = s (a - b) with a slope s of rho, unit by unit"


def prove(formula: Formula = CONTRACTIVE_OF_ITERATE.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    proof = begin(CONTRACTIVE_OF_ITERATE, formula)
    (product,) = symbols("product")
    apart = proof.letter("d", "|h - g|")
    moved = proof.letter("e", "|r steps from h - r steps from g|")
    whole = proof.letter("m", "|diag(s^r) W .. diag(s^1) W (h - g)|, s the secants on the way")

    affine = proof.assume(AFFINE_FORM, at_most(moved, whole), SECANTS)
    bounded = proof.assume(
        PRODUCTS_BOUNDED,
        at_most(whole, product * apart),
        "every product of r matrices diag(s) W, s_i slopes of rho, has norm at most product",
    )
    proof.conclude(moved, {affine: 1, bounded: 1}, times=apart)
    _ends_suffice(proof)
    # a linear map h -> a h of one unit: r steps multiply by a**r, the only product there is
    proof.attained("linear maps", product * apart / apart)
    return proof


def _ends_suffice(proof: Proof) -> None:
    """Check, for one slope, that a convex function of it is largest at an end."""
    s, low, high = sp.symbols("s low high", real=True)
    constant, factor = sp.symbols("A B", real=True)
    share = (high - s) / (high - low)
    # any entry of a product is A + B s in one slope s, the others fixed
    proof.check_equal(
        "A + B s is the mean of its values at the ends, with weights that add up to 1",
        constant + factor * s,
        share * (constant + factor * low) + (1 - share) * (constant + factor * high),
    )
    # so the norm is at most theta p + eta q <= max(p, q), theta + eta = 1, q = p + extra
    theta, eta, norm, extra = sp.symbols("theta eta p extra", nonnegative=True)
    proof.check_at_most(
        "a mean of two norms is at most the larger one",
        theta * norm + eta * (norm + extra),
        (theta + eta) * (norm + extra),
        because=theta * extra,
    )
