"""How `contractive_of_composition` is attacked: what is measured, and its near misses."""

from __future__ import annotations

from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.norms.norms import over
from theory.theorems.contractive_of_composition import CONTRACTIVE_OF_COMPOSITION
from theory.trials.trial import NearMiss, Trial


def observe(run: Run) -> Observation:
    """Measure the stretch of pairs of states under both maps in turn."""
    second = run.of.partner_contraction
    assert second is not None
    n = run.map.state_dim
    ratios, budgets = run.composed_step_ratios
    return Observation(
        measured=ratios,
        budget=budgets,
        arguments={
            "lam_first": run.lam,
            "lam_second": second.lam,
            "there": over(second.norm, run.norm, n=n),
            "back": over(run.norm, second.norm, n=n),
        },
    )


TRIAL = Trial(
    theorem=CONTRACTIVE_OF_COMPOSITION,
    observe=observe,
    near_misses=(
        NearMiss(
            name="norms taken as equal",
            formula=lambda lam_first, lam_second, there, back: lam_first * lam_second,  # noqa: ARG005
        ),
        NearMiss(
            name="way back not paid",
            formula=lambda lam_first, lam_second, there, back: lam_first * lam_second * there,  # noqa: ARG005
        ),
        NearMiss(
            name="way there not paid",
            formula=lambda lam_first, lam_second, there, back: lam_first * lam_second * back,  # noqa: ARG005
        ),
    ),
)
