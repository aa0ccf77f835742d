"""How `drive` is attacked: what is measured, and its near misses."""

from __future__ import annotations

import numpy as np

from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.theorems.drive import DRIVE
from theory.trials.trial import NearMiss, Trial


def observe(run: Run) -> Observation:
    """Measure |step(0, x_t)| at each input."""
    rest = np.zeros((len(run.of.inputs), run.map.state_dim))
    measured = run.norm.vector(run.map.step(rest, run.of.inputs))
    return Observation(
        measured=measured,
        budget=run.budget(measured, 1.0),
        arguments={
            "gain": run.input_gain,
            "input_bound": run.norm.companion.vector_upper(run.of.inputs),
            "offset": run.offset,
        },
    )


TRIAL = Trial(
    theorem=DRIVE,
    observe=observe,
    near_misses=(
        NearMiss(
            name="offset left out",
            formula=lambda gain, input_bound, offset: gain * input_bound,  # noqa: ARG005
        ),
        NearMiss(
            name="gain left out",
            formula=lambda gain, input_bound, offset: input_bound + offset,  # noqa: ARG005
        ),
    ),
)
