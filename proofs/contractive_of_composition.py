"""Proof of `theory.theorems.contractive_of_composition`: four inequalities in a row."""

from __future__ import annotations

from proofs.steps import Proof, at_most, begin, symbols
from theory.theorems.assumptions import TWO_CONTRACTIONS
from theory.theorems.contractive_of_composition import CONTRACTIVE_OF_COMPOSITION
from theory.theorems.theorem import Formula


def prove(formula: Formula = CONTRACTIVE_OF_COMPOSITION.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    proof = begin(CONTRACTIVE_OF_COMPOSITION, formula)
    lam_first, lam_second, there, back = symbols("lam_first lam_second there back")
    apart = proof.letter("d", "|h - g|")
    middle = proof.letter("m", "|first(h) - first(g)|")
    middle_there = proof.letter("p", "|first(h) - first(g)|'")
    end_there = proof.letter("q", "|second(first(h)) - second(first(g))|'")
    end = proof.letter("e", "|second(first(h)) - second(first(g))|")

    one = proof.assume(
        TWO_CONTRACTIONS, at_most(middle, lam_first * apart), "first contracts by lam_first in |.|"
    )
    two = proof.assume(
        TWO_CONTRACTIONS,
        at_most(end_there, lam_second * middle_there),
        "second contracts by lam_second in |.|'",
    )
    go = proof.given("there", at_most(middle_there, there * middle), "|h|' <= there * |h|")
    come = proof.given("back", at_most(end, back * end_there), "|h| <= back * |h|'")

    proof.conclude(
        end,
        {
            come: 1,
            two: back,
            go: back * lam_second,
            one: back * lam_second * there,
        },
        times=apart,
    )

    # |h| = max |h_i| and |h|' = c sum |h_i| on R^n: there = c n at (1, .., 1), back = 1/c at
    # (1, 0, .., 0).  first(h) = lam_first h_1 (1, .., 1) contracts |.| by lam_first and
    # second(h) = lam_second (sum h_i) (1, 0, .., 0) contracts |.|' by lam_second.  On h - g =
    # (1, 0, .., 0), of size 1, the first entry becomes lam_first, then lam_second n lam_first.
    c, n = 1 + symbols("c")[0], 1 + symbols("n")[0]
    proof.attained(
        "h_1*(1, .., 1), then (sum h_i)*(1, 0, .., 0), maximum and sum",
        lam_second * (n * lam_first),
        there=c * n,
        back=1 / c,
    )
    return proof
