"""How `nearest_point_distance` is attacked: what is measured, and its near misses."""

from __future__ import annotations

import numpy as np

from theory.arithmetic.rounding import gamma
from theory.arithmetic.sums import length_upper
from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.theorems.nearest_point_distance import NEAREST_POINT_DISTANCE
from theory.trials.nearest_points import pairs
from theory.trials.trial import NearMiss, Trial


def observe(run: Run) -> Observation:
    """Measure distances of members from a matrix outside, with the normal at its projection."""
    made = pairs(run)
    W = made.first[0]
    near = made.ball(W)
    N = W - near
    members = (near, *(made.ball(v) for v in made.second), 0.0 * W)
    error = 4 * gamma(W.size + 4) * float(np.sum(np.abs(N) * np.abs(W)))
    # the largest inner product with the members looked at
    support = max(float(np.sum(N * v)) for v in members) + error
    measured = np.array([float(np.linalg.norm(W - v)) for v in members])
    inner = max(float(np.sum(N * W)) - error, 0.0)
    return Observation(
        measured=measured,
        budget=4 * gamma(W.size + 4) * measured,
        arguments={"inner": inner, "support": max(support, 0.0), "length": length_upper(N)},
    )


TRIAL = Trial(
    theorem=NEAREST_POINT_DISTANCE,
    observe=observe,
    near_misses=(
        NearMiss(
            name="the support added",
            formula=lambda inner, support, length: (inner + support) / length,
        ),
        NearMiss(
            name="not divided by the length",
            formula=lambda inner, support, length: inner - support,  # noqa: ARG005
        ),
    ),
)
