"""How `state_gap` is attacked: what is measured, and its near misses."""

from __future__ import annotations

from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.theorems.assumptions import CONTRACTIVE, ZERO_START
from theory.theorems.state_gap import STATE_GAP
from theory.trials.trial import NearMiss, Trial


def observe(run: Run) -> Observation:
    """Measure the gap for all k and all t >= k."""
    k, _ = run.gap_index
    return run.gaps(lam=run.lam, k=k, drive=run.drive)


def observe_published_drive(run: Run) -> Observation:
    """Use L_x B_x alone as the drive, as if step(0, 0) were 0."""
    return observe(run).with_arguments(drive=run.published_drive)


TRIAL = Trial(
    theorem=STATE_GAP,
    observe=observe,
    near_misses=(
        NearMiss(
            name="one power of lam too many",
            formula=lambda lam, k, drive: drive * lam ** (k + 1) / (1 - lam),
        ),
        NearMiss(
            name="geometric factor 1/(1 - lam) dropped",
            formula=lambda lam, k, drive: drive * lam**k,
        ),
        NearMiss(name="offset step(0, 0) left out of the drive", observe=observe_published_drive),
        NearMiss(name="without contraction", drops=CONTRACTIVE),
        NearMiss(name="any start", drops=ZERO_START),
    ),
)
