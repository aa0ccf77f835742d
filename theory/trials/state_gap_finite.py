"""How `state_gap_finite` is attacked: what is measured, and its near misses."""

from __future__ import annotations

from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.theorems.assumptions import CONTRACTIVE, ZERO_START
from theory.theorems.state_gap_finite import STATE_GAP_FINITE
from theory.trials.trial import NearMiss, Trial


def observe(run: Run) -> Observation:
    """Measure the gap for all k and all t >= k."""
    k, t = run.gap_index
    return run.gaps(lam=run.lam, k=k, t=t, drive=run.drive)


TRIAL = Trial(
    theorem=STATE_GAP_FINITE,
    observe=observe,
    near_misses=(
        NearMiss(
            name="one power of lam too many",
            formula=lambda lam, k, t, drive: drive * lam * (lam**k - lam**t) / (1 - lam),
        ),
        NearMiss(
            name="geometric factor 1/(1 - lam) dropped",
            formula=lambda lam, k, t, drive: drive * (lam**k - lam**t),
        ),
        NearMiss(name="without contraction", drops=CONTRACTIVE),
        NearMiss(name="any start", drops=ZERO_START),
    ),
)
