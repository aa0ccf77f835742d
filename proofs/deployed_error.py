"""Proof of `theory.theorems.deployed_error`: the exact gap, and the drift of either model."""

from __future__ import annotations

import sympy as sp

from proofs import state_gap_finite
from proofs.decide import Expr
from proofs.steps import NORM, Fact, Proof, at_most, begin, equals, symbols
from theory.theorems.assumptions import CONTRACTIVE, DRIVE_BOUNDED, STEPS_ERR, ZERO_START
from theory.theorems.deployed_error import DEPLOYED_ERROR, ever
from theory.theorems.theorem import Formula


def drift(
    proof: Proof, letters: tuple[str, str, str], model: str, error: Expr
) -> tuple[Expr, Fact]:
    """Add how far a computed model drifts from the exact one in i steps; return both."""
    lam, i = symbols("lam i")
    name, moved_name, own_name = letters
    apart = proof.sequence(f"{name}(i)", f"distance of the computed {model} from the exact one")
    moved = proof.sequence(f"{moved_name}(i)", "distance of their exact next states")
    own = proof.sequence(f"{own_name}(i)", "error of the computed next state")
    contractive = proof.assume(CONTRACTIVE, at_most(moved(i), lam * apart(i)))
    errs = proof.assume(STEPS_ERR, at_most(own(i), error))
    begun = proof.given("t", equals(apart(0), 0), f"the {model} starts from the same state")
    triangle = proof.cite("triangle inequality", NORM, at_most(apart(i + 1), moved(i) + own(i)))
    recursion = proof.derive(
        "one step",
        at_most(apart(i + 1), lam * apart(i) + error),
        {triangle: 1, contractive: 1, errs: 1},
    )
    bound = proof.induct(
        f"drift of the {model}",
        at_most(apart(i), error * (1 - lam**i) / (1 - lam)),
        over=i,
        base={begun: 1},
        step=lambda hypothesis: {recursion: 1, hypothesis: lam},
    )
    return apart, bound


def prove(formula: Formula = DEPLOYED_ERROR.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    lam, k, j, i, drive = symbols("lam k j i drive")
    step_error, run_error = symbols("step_error run_error")
    proof = begin(DEPLOYED_ERROR, formula, t=k + j)
    gap = proof.letter("e", "distance of the two computed models after t = k + j inputs")
    exact = proof.letter("g", "distance of the two exact models then")

    window, window_drift = drift(proof, ("w", "a", "c"), "k-step model", step_error)
    run, run_drift = drift(proof, ("r", "b", "d"), "recurrent model", run_error)
    proof.assume(DRIVE_BOUNDED)
    proof.assume(ZERO_START)
    truncation = proof.apply(state_gap_finite.prove(), exact, lam=lam, k=k, t=k + j, drive=drive)
    triangle = proof.cite("triangle inequality", NORM, at_most(gap, exact + window(k) + run(k + j)))
    proof.conclude(
        gap,
        {
            triangle: 1,
            truncation: 1,
            proof.at(window_drift, i=k): 1,
            proof.at(run_drift, i=k + j): 1,
        },
    )

    # recurrent: h -> lam*h + drive + run_error; k-step: g -> lam*g + drive - step_error
    past = (drive + run_error) * (1 - lam**j) / (1 - lam)
    proof.check_orbit(
        "orbit of h -> lam*h + drive + run_error",
        past,
        over=j,
        start=0,
        step=lambda h: lam * h + drive + run_error,
    )
    reached = lam**k * past + (step_error + run_error) * (1 - lam**k) / (1 - lam)
    proof.check_orbit(
        "its distance from the orbit of 0 under g -> lam*g + drive - step_error",
        reached,
        over=k,
        start=past,
        step=lambda e: lam * e + step_error + run_error,
    )
    proof.attained("h -> lam*h + drive with errors of opposite signs", reached)
    proof.check_limit(
        "any history",
        DEPLOYED_ERROR.formula(lam, k, k + i, drive, step_error, run_error),
        i,
        sp.oo,
        ever(lam, k, drive, step_error, run_error),
    )
    return proof
