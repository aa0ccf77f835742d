"""How `nearest_pair_distance` is attacked: what is measured, and its near misses."""

from __future__ import annotations

import numpy as np

from theory.arithmetic.rounding import UNIT
from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.theorems.nearest_pair_distance import NEAREST_PAIR_DISTANCE
from theory.trials.nearest_points import scaled_pairs
from theory.trials.trial import NearMiss, Trial


def observe(run: Run) -> Observation:
    """Measure pairs of entries, from nearest points of hyperbolas and from scaled balls."""
    x, y, u, v, multiplier = scaled_pairs(run)
    parts = (
        np.square(x - u),
        np.square(y - v),
        0.5 * multiplier * np.square(x - y),
        2.0 * multiplier * (u * v) / (1.0 + multiplier),
    )
    # differences are rounded relative to their terms, and the total is squared
    size = (1.0 + multiplier) * (np.square(x) + np.square(y) + np.square(u) + np.square(v))
    return Observation(
        measured=np.sum(parts, axis=0),
        budget=32 * UNIT * size,
        arguments={"total": x + y, "multiplier": multiplier},
    )


TRIAL = Trial(
    theorem=NEAREST_PAIR_DISTANCE,
    observe=observe,
    near_misses=(
        NearMiss(
            name="the multiplier once",
            formula=lambda total, multiplier: multiplier * total**2 / (2 * (1 + multiplier)),
        ),
        NearMiss(
            name="not halved",
            formula=lambda total, multiplier: multiplier * total**2 / (1 + 2 * multiplier),
        ),
    ),
)
