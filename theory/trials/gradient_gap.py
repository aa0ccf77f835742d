"""How `gradient_gap` is attacked: what is measured, and its near misses."""

from __future__ import annotations

from theory.measure.learning import learning_of
from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.theorems.gradient_gap import GRADIENT_GAP, formula
from theory.trials.gradient_gap_finite import observe as observe_finite
from theory.trials.trial import NearMiss, Trial


def observe(run: Run) -> Observation:
    """Take the gaps of `gradient_gap_finite`, with the drive for the state k steps back."""
    seen = run.once(observe_finite)
    learning = run.once(learning_of)
    assert learning is not None
    c = learning.own
    assert c is not None
    arguments = {name: seen.arguments[name] for name in seen.arguments if name not in {"t", "past"}}
    return Observation(
        measured=seen.measured, budget=seen.budget, arguments={**arguments, "drive": c.drive}
    )


TRIAL = Trial(
    theorem=GRADIENT_GAP,
    observe=observe,
    near_misses=(
        NearMiss(
            name="lam**k instead of lam**(k - 1)",
            formula=lambda lam, k, drive, weight_gain, loss_gain, beta_hh, beta_wh, beta_p: (
                lam * formula(lam, k, drive, weight_gain, loss_gain, beta_hh, beta_wh, beta_p)
            ),
        ),
        NearMiss(
            name="change of the derivatives along the way left out",
            formula=lambda lam, k, drive, weight_gain, loss_gain, beta_hh, beta_wh, beta_p: (  # noqa: ARG005
                formula(lam, k, drive, weight_gain, loss_gain, 0, 0, beta_p)
            ),
        ),
    ),
)
