"""How `input_sequence` is attacked: what is measured, and its near misses."""

from __future__ import annotations

import numpy as np

from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.theorems.assumptions import CONTRACTIVE
from theory.theorems.input_sequence import INPUT_SEQUENCE
from theory.trials.trial import NearMiss, Trial


def observe(run: Run) -> Observation:
    """Measure the distance of the runs under the two input sequences, at all times."""
    measured = run.norm.vector(run.states - run.other_driven_states)
    apart = run.norm.companion.vector_upper(run.of.inputs - run.of.other_inputs)
    return Observation(
        measured=measured,
        budget=run.budget(measured, run.times, run.times),
        arguments={
            "lam": run.lam,
            "t": run.times,
            "gain": run.input_gain,
            "distance": float(np.max(apart, initial=0.0)),
        },
    )


TRIAL = Trial(
    theorem=INPUT_SEQUENCE,
    observe=observe,
    near_misses=(
        NearMiss(
            name="last input only",
            formula=lambda lam, t, gain, distance: gain * distance,  # noqa: ARG005
        ),
        NearMiss(
            name="gain left out",
            formula=lambda lam, t, gain, distance: distance * (1 - lam**t) / (1 - lam),  # noqa: ARG005
        ),
        NearMiss(
            name="one power of lam too many",
            formula=lambda lam, t, gain, distance: lam * gain * distance * (1 - lam**t) / (1 - lam),
        ),
        NearMiss(name="without contraction", drops=CONTRACTIVE),
    ),
)
