"""How `parameter_gap` is attacked: what is measured, and its near misses."""

from __future__ import annotations

import numpy as np

from theory.measure.learning import learning_of
from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.theorems.parameter_gap import PARAMETER_GAP
from theory.trials.trial import NearMiss, Trial


def observe(run: Run) -> Observation:
    """Measure the distance of the states of both parameter vectors from rest, at all times."""
    learning = run.once(learning_of)
    assert learning is not None
    c = learning.pair
    assert c is not None
    x = run.of.inputs
    pair = run.map.simulate(x), learning.setup.other.simulate(x)
    measured = run.norm.vector(pair[0] - pair[1])
    budget = 2 * learning.state_error(c) + run.norm.vector_rounding(run.map.state_dim) * measured
    return Observation(
        measured=measured,
        budget=budget,
        arguments={
            "lam": c.lam,
            "t": np.arange(1.0, len(x) + 1),
            "weight_gain": c.weight_gain,
            "distance": learning.distance(run.map, learning.setup.other),
        },
    )


TRIAL = Trial(
    theorem=PARAMETER_GAP,
    observe=observe,
    near_misses=(
        NearMiss(
            name="geometric factor dropped",
            formula=lambda lam, t, weight_gain, distance: distance * weight_gain,  # noqa: ARG005
        ),
        NearMiss(
            name="one step fewer",
            formula=lambda lam, t, weight_gain, distance: (
                distance * weight_gain * (1 - lam ** (t - 1)) / (1 - lam)
            ),
        ),
    ),
)
