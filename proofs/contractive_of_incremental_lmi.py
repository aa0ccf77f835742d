"""Proof of `theory.theorems.contractive_of_incremental_lmi`: the S-procedure for slopes."""

from __future__ import annotations

import sympy as sp

from proofs.steps import Proof, at_most, begin, equals, symbols
from theory.theorems.assumptions import AFFINE_FORM, INCREMENTAL_LMI
from theory.theorems.contractive_of_incremental_lmi import CONTRACTIVE_OF_INCREMENTAL_LMI
from theory.theorems.theorem import Formula

ALGEBRA = "expansion of the block matrix's quadratic form, checked for two units below"


def prove(formula: Formula = CONTRACTIVE_OF_INCREMENTAL_LMI.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    proof = begin(CONTRACTIVE_OF_INCREMENTAL_LMI, formula)
    (rate,) = symbols("rate")
    apart = proof.letter("d", "|h - g|_P, positive for different states", positive=True)
    moved = proof.letter("e", "|step(h, x) - step(g, x)|_P = |s|_P, s = rho(a) - rho(b)")
    value = proof.letter("F", "the block's quadratic form at (h - g, s)")
    slack = proof.letter("S", "sum_i q_i (s_i - alpha_i v_i) (beta_i v_i - s_i), v = W (h - g)")

    positive = proof.assume(
        INCREMENTAL_LMI, at_most(0, value), "a positive semidefinite matrix has no negative value"
    )
    sector = proof.assume(
        AFFINE_FORM,
        at_most(0, slack),
        "every secant s_i / v_i of rho lies in [alpha_i, beta_i], and q_i >= 0",
    )
    split = proof.cite(
        "F = rate**2 |h - g|**2 - |s|**2 - 2 S",
        ALGEBRA,
        equals(value + moved**2 + 2 * slack, rate**2 * apart**2),
    )
    squares = proof.derive(
        "the squares",
        at_most(moved**2, rate**2 * apart**2),
        {positive: 1, sector: 2, split: 1},
    )
    # b - a = (b**2 - a**2) / (b + a) with a = e, b = rate d; where b + a = 0 both vanish
    total = proof.letter("m", "rate d + e, positive unless both vanish", positive=True)
    whole = proof.cite(
        "m = rate d + e", "nothing is to be proved at 0", equals(total, rate * apart + moved)
    )
    proof.conclude(moved, {squares: 1 / total, whole: (moved - rate * apart) / total}, times=apart)
    # a relu network at pre-activations where one unit with W_ii = rate is active and the others are
    # not: the states h and h + e_i are mapped to states that differ by rate e_i
    size = proof.letter("p", "|e_i|_P", positive=True)
    proof.attained("a relu network with one active unit, W_ii = rate", rate * size / size)
    _two_units(proof)
    _slopes_about_zero(proof)
    return proof


def _two_units(proof: Proof) -> None:
    """Check the identity behind `ALGEBRA` for two units, in every entry."""
    rate = proof.arguments["rate"]
    p, o, w = sp.symbols("p_11 p_12 p_22", real=True)
    P = sp.Matrix([[p, o], [o, w]])
    W = sp.Matrix(2, 2, sp.symbols("w_11 w_12 w_21 w_22", real=True))
    d = sp.Matrix(sp.symbols("d_1 d_2", real=True))
    s = sp.Matrix(sp.symbols("s_1 s_2", real=True))
    q = sp.symbols("q_1 q_2", real=True)
    low, high = sp.symbols("alpha_1 alpha_2", real=True), sp.symbols("beta_1 beta_2", real=True)
    Q = sp.diag(*q)
    product = sp.diag(*(a * b for a, b in zip(low, high, strict=True)))
    total = sp.diag(*(a + b for a, b in zip(low, high, strict=True)))
    corner = rate**2 * P + 2 * W.T * Q * product * W
    form = d.T * corner * d - 2 * s.T * Q * total * W * d + s.T * (2 * Q - P) * s
    v = W * d
    slack = sum(q[i] * (s[i] - low[i] * v[i]) * (high[i] * v[i] - s[i]) for i in range(2))
    proof.check_equal(
        "the quadratic form splits (two units)",
        sp.expand(form[0]),
        sp.expand(rate**2 * (d.T * P * d)[0] - (s.T * P * s)[0] - 2 * slack),
    )


def _slopes_about_zero(proof: Proof) -> None:
    """Check what bounds the numerical radius of scaled members, as `theory.projections` uses it.

    With alpha <= 0 < beta all but the first term on the right is not negative, and that term is of
    the kind that gives, at |s_i| = rate |d_i|, the bound rate / beta of Re(z* d* Q W d) / d* Q d.
    """
    s, v, low = sp.symbols("s v alpha", real=True)
    high = sp.symbols("beta", positive=True)
    proof.check_equal(
        "the sector of slopes about 0 splits",
        sp.expand((s - low * v) * (high * v - s)),
        sp.expand((1 - low / high) * s * (high * v - s) - low / high * (high * v - s) ** 2),
    )
