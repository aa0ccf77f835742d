"""How `state_gap_blocks` is attacked: what is measured, and its near misses."""

from __future__ import annotations

from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.theorems.assumptions import ITERATE_CONTRACTIVE, ZERO_START
from theory.theorems.state_gap_blocks import STATE_GAP_BLOCKS
from theory.trials.trial import NearMiss, Trial


def observe(run: Run) -> Observation:
    """Measure the gap for all k and all t >= k."""
    r = run.of.contraction.iterate
    k, _ = run.gap_index
    return run.gaps(
        lam=run.lam,
        blocks=k // r,
        rest=k % r,
        growth=run.growth,
        drive=run.drive,
        spread=run.spread,
    )


TRIAL = Trial(
    theorem=STATE_GAP_BLOCKS,
    observe=observe,
    near_misses=(
        NearMiss(
            name="drive of one step in place of that of r",
            formula=lambda lam, blocks, rest, growth, drive, spread: (  # noqa: ARG005
                growth**rest * lam**blocks * drive / (1 - lam)
            ),
        ),
        NearMiss(
            name="geometric factor 1/(1 - lam) dropped",
            formula=lambda lam, blocks, rest, growth, drive, spread: (
                growth**rest * lam**blocks * drive * spread
            ),
        ),
        NearMiss(
            name="one block too many",
            formula=lambda lam, blocks, rest, growth, drive, spread: (
                growth**rest * lam ** (blocks + 1) * drive * spread / (1 - lam)
            ),
        ),
        NearMiss(name="without contraction", drops=ITERATE_CONTRACTIVE),
        NearMiss(name="any start", drops=ZERO_START),
    ),
)
