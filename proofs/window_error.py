"""Proof of `theory.theorems.window_error`: two histories that a window cannot tell apart."""

from __future__ import annotations

import sympy as sp

from proofs.steps import NORM, Proof, at_most, begin, equals, symbols
from theory.theorems.assumptions import SCALAR_LINEAR
from theory.theorems.state_gap_finite import STATE_GAP_FINITE
from theory.theorems.theorem import Formula
from theory.theorems.window_error import WINDOW_ERROR


def prove(formula: Formula = WINDOW_ERROR.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    lam, k, j, i, gain, input_bound, lipschitz = symbols("lam k j i gain input_bound lipschitz")
    proof = begin(WINDOW_ERROR, formula, t=k + j)
    worst = proof.letter("w", "sup |y_t - g(last k inputs)| over |x| <= input_bound, t = k + j")
    high = proof.letter("p", "|y - g| for the history +input_bound, j times, then the common tail")
    low = proof.letter("q", "|y - g| for the history -input_bound, j times, then the same tail")
    outputs = proof.letter("y", "distance of the two outputs")
    before = proof.sequence("b(i)", "distance of the two states after i <= j inputs")
    after = proof.sequence("a(i)", "distance of the two states after j + i inputs")

    start = proof.assume(SCALAR_LINEAR, equals(before(0), 0), "both histories start from 0")
    apart = proof.assume(
        SCALAR_LINEAR,
        equals(before(i + 1), lam * before(i) + gain * 2 * input_bound),
        "step(h, x) = lam*h + gain*x under +input_bound and -input_bound",
    )
    meet = proof.assume(SCALAR_LINEAR, equals(after(0), before(j)), "then the tail begins")
    fade = proof.assume(SCALAR_LINEAR, equals(after(i + 1), lam * after(i)), "equal inputs cancel")
    read = proof.assume(SCALAR_LINEAR, equals(outputs, lipschitz * after(k)), "y = lipschitz*h")
    above = proof.cite("a supremum bounds each", "definition of a supremum", at_most(high, worst))
    below = proof.cite("a supremum bounds each", "definition of a supremum", at_most(low, worst))
    triangle = proof.cite(
        "triangle inequality, g being the same for both", NORM,
        at_most(outputs, high + low),
    )  # fmt: skip

    history = 2 * gain * input_bound * (1 - lam**i) / (1 - lam)
    opened = proof.induct(
        "the histories part", equals(before(i), history), over=i,
        base={start: 1}, step=lambda hypothesis: {apart: 1, hypothesis: lam},
    )  # fmt: skip
    closed = proof.induct(
        "the tails close the distance", equals(after(i), lam**i * before(j)), over=i,
        base={meet: 1}, step=lambda hypothesis: {fade: 1, hypothesis: lam},
    )  # fmt: skip
    distance = proof.derive(
        "distance of the outputs",
        equals(outputs, lipschitz * lam**k * history.subs(i, j)),
        {
            read: 1,
            proof.at(closed, i=k): lipschitz,
            proof.at(opened, i=j): lipschitz * lam**k,
        },
    )

    half = sp.Rational(1, 2)
    proof.conclude(worst, {above: half, below: half, triangle: half, distance: -half})
    # the k-step counterpart errs by no more: restarting from zero is minimax optimal
    upper = lipschitz * STATE_GAP_FINITE.formula(lam, k, k + j, gain * input_bound)
    proof.attained("the k-step counterpart, by state_gap_finite", upper)
    return proof
