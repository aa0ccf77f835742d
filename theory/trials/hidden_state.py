"""How `hidden_state` is attacked: what is measured, and its near misses."""

from __future__ import annotations

from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.theorems.assumptions import CONTRACTIVE
from theory.theorems.hidden_state import HIDDEN_STATE
from theory.trials.trial import NearMiss, Trial


def observe(run: Run) -> Observation:
    """Measure |h_t| at all times."""
    measured = run.norm.vector(run.states)
    start = float(run.norm.vector_upper(run.of.start))
    arguments = {"lam": run.lam, "t": run.times, "drive": run.drive, "start": start}
    return Observation(
        measured=measured, budget=run.budget(measured, run.times), arguments=arguments
    )


def observe_published_drive(run: Run) -> Observation:
    """Use L_x B_x alone as the drive, as if step(0, 0) were 0."""
    return observe(run).with_arguments(drive=run.published_drive)


TRIAL = Trial(
    theorem=HIDDEN_STATE,
    observe=observe,
    near_misses=(
        NearMiss(
            name="start forgotten one step too early",
            formula=lambda lam, t, drive, start: (
                lam ** (t + 1) * start + drive * (1 - lam**t) / (1 - lam)
            ),
        ),
        NearMiss(
            name="drive counted once instead of summed",
            formula=lambda lam, t, drive, start: lam**t * start + drive,
        ),
        NearMiss(name="offset step(0, 0) left out of the drive", observe=observe_published_drive),
        NearMiss(name="without contraction", drops=CONTRACTIVE),
    ),
)
