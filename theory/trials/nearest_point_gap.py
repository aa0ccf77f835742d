"""How `nearest_point_gap` is attacked: what is measured, and its near misses."""

from __future__ import annotations

from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.theorems.nearest_point_gap import NEAREST_POINT_GAP
from theory.trials.nearest_points import pairs, rescaled_rows
from theory.trials.trial import NearMiss, Trial


def observe(run: Run) -> Observation:
    """Measure the distance of projections onto a ball of matrices."""
    made = pairs(run)
    return Observation(
        measured=made.moved(), budget=made.budget, arguments={"distance": made.distances}
    )


def observe_rescaled_rows(run: Run) -> Observation:
    """Measure the same where rows are scaled down instead."""
    made = pairs(run)
    return Observation(
        measured=made.moved(rescaled_rows),
        budget=made.budget,
        arguments={"distance": made.distances},
    )


TRIAL = Trial(
    theorem=NEAREST_POINT_GAP,
    observe=observe,
    near_misses=(
        NearMiss(name="rows scaled down to the ball", observe=observe_rescaled_rows),
        NearMiss(name="half of the distance", formula=lambda distance: distance / 2),
    ),
)
