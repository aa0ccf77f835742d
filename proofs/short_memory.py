"""Proof of `theory.theorems.short_memory`: losses fall, and their sum is the information."""

from __future__ import annotations

from proofs.steps import Proof, at_most, begin, equals, symbols
from theory.theorems.assumptions import SHARED_INFORMATION, STATIONARY
from theory.theorems.short_memory import SHORT_MEMORY
from theory.theorems.theorem import Formula

_TEXT = "Cover and Thomas, Elements of Information Theory, "


def prove(formula: Formula = SHORT_MEMORY.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    information, k, i = symbols("information k i")
    proof = begin(SHORT_MEMORY, formula)
    entropy = proof.sequence("H(i)", "H(x_0 | x_(-i) .. x_(-1))")
    rate = proof.letter("r", "H(x_0 | all of the past)")
    excess = proof.sequence("e(i)", "E KL(P(x_0 | all of the past), P(x_0 | last i symbols))")
    partial = proof.sequence("s(i)", "e(0) + .. + e(i)")
    shared = proof.letter("M", "mutual information of past and future")

    loss = proof.cite(
        "the mean divergence is what the far past tells beyond the last i symbols",
        _TEXT + "2.5", equals(excess(i), entropy(i) - rate),
    )  # fmt: skip
    fall = proof.cite(
        "conditioning reduces entropy", _TEXT + "Theorem 2.6.5", at_most(entropy(i + 1), entropy(i))
    )
    start = proof.cite("definition of s", "definition of a sum", equals(partial(0), excess(0)))
    grow = proof.cite(
        "definition of s", "definition of a sum", equals(partial(i + 1), partial(i) + excess(i + 1))
    )
    chain = proof.assume(
        STATIONARY,
        at_most(partial(k), shared),
        "chain rule: M = sum over i >= 0 of I(x_i; all before 0 | x_0 .. x_(i-1)), which is e(i) "
        "as the process may be shifted",
    )
    enough = proof.assume(SHARED_INFORMATION, at_most(shared, information), "M <= information")

    falling = proof.derive(
        "the losses fall", at_most(excess(i + 1), excess(i)),
        {proof.at(loss, i=i + 1): 1, fall: 1, loss: -1},
    )  # fmt: skip
    below = proof.induct(
        "the last of falling numbers is at most their mean",
        at_most((i + 1) * excess(i), partial(i)), over=i,
        base={start: -1},
        step=lambda hypothesis: {hypothesis: 1, falling: i + 1, grow: -1},
    )  # fmt: skip
    share = 1 / (k + 1)
    proof.conclude(excess(k), {proof.at(below, i=k): share, chain: share, enough: share})
    # n bits of log 2 each are shared, and the last of them is lost until all n are seen
    bit = proof.letter("b", "log 2: information of a bit")
    proof.attained("the circular register of k + 1 bits", bit, information=(k + 1) * bit)
    return proof
