"""How `initial_state` is attacked: what is measured, and its near misses."""

from __future__ import annotations

from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.theorems.assumptions import CONTRACTIVE
from theory.theorems.initial_state import INITIAL_STATE
from theory.trials.trial import NearMiss, Trial


def observe(run: Run) -> Observation:
    """Measure the distance of the two runs at all times."""
    measured = run.norm.vector(run.states - run.other_states)
    distance = float(run.norm.vector_upper(run.of.start - run.of.other_start))
    return Observation(
        measured=measured,
        budget=run.budget(measured, run.times, run.times),
        arguments={"lam": run.lam, "t": run.times, "distance": distance},
    )


TRIAL = Trial(
    theorem=INITIAL_STATE,
    observe=observe,
    near_misses=(
        NearMiss(
            name="one power of lam too many",
            formula=lambda lam, t, distance: lam ** (t + 1) * distance,
        ),
        NearMiss(name="without contraction", drops=CONTRACTIVE),
    ),
)
