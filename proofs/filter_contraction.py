"""Proof of `theory.theorems.filter_contraction`: a step reaches the diameter, later ones shrink."""

from __future__ import annotations

from proofs.steps import Proof, at_most, begin, symbols
from theory.theorems.assumptions import BIRKHOFF
from theory.theorems.filter_contraction import FILTER_CONTRACTION
from theory.theorems.theorem import Formula


def prove(formula: Formula = FILTER_CONTRACTION.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    diameter, tau, i = symbols("diameter tau i")
    proof = begin(FILTER_CONTRACTION, formula, k=i + 1)
    distance = proof.sequence("d(i)", "Hilbert's distance of the beliefs after i symbols")
    weighed = proof.sequence("w(i)", "that of the beliefs after i symbols, times diag(E x)")
    same = proof.cite(
        "a positive diagonal matrix and a factor keep ratios of ratios",
        "definition of Hilbert's metric", at_most(weighed(i), distance(i)),
    )  # fmt: skip
    first = proof.assume(
        BIRKHOFF,
        at_most(distance(1), diameter),
        "A^T b and A^T g are mixtures of the rows of A, whose ratios differ by e^diameter at most",
    )
    factor = proof.cite(
        "a positive matrix contracts by tanh(diameter / 4)",
        "Birkhoff, Trans. AMS 85 (1957), Theorem 3",
        at_most(distance(i + 2), tau * weighed(i + 1)),
    )
    proof.conclude_by_induction(
        distance(i + 1), over=i,
        base={first: 1},
        step=lambda hypothesis: {factor: 1, proof.at(same, i=i + 1): tau, hypothesis: tau},
    )  # fmt: skip
    proof.attained("beliefs in two states, k = 1", diameter, k=1)
    return proof
