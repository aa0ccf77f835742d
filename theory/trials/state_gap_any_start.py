"""How `state_gap_any_start` is attacked: what is measured, and its near misses."""

from __future__ import annotations

from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.theorems.assumptions import CONTRACTIVE
from theory.theorems.state_gap_any_start import STATE_GAP_ANY_START
from theory.trials.trial import NearMiss, Trial


def observe(run: Run) -> Observation:
    """Measure the gap for all k and all t >= k."""
    k, t = run.gap_index
    return run.gaps(
        lam=run.lam,
        k=k,
        t=t,
        drive=run.drive,
        start=float(run.norm.vector_upper(run.of.start)),
        restart=float(run.norm.vector_upper(run.of.restart)),
    )


TRIAL = Trial(
    theorem=STATE_GAP_ANY_START,
    observe=observe,
    near_misses=(
        NearMiss(
            name="start left out",
            formula=lambda lam, k, t, drive, start, restart: (  # noqa: ARG005
                lam**k * (drive * (1 - lam ** (t - k)) / (1 - lam) + restart)
            ),
        ),
        NearMiss(
            name="restart left out",
            formula=lambda lam, k, t, drive, start, restart: (  # noqa: ARG005
                lam**k * (lam ** (t - k) * start + drive * (1 - lam ** (t - k)) / (1 - lam))
            ),
        ),
        NearMiss(
            name="drive left out",
            formula=lambda lam, k, t, drive, start, restart: (  # noqa: ARG005
                lam**k * (lam ** (t - k) * start + restart)
            ),
        ),
        NearMiss(name="without contraction", drops=CONTRACTIVE),
    ),
)
