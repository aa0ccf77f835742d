"""How `state_gap_iterate` is attacked: what is measured, and its near misses."""

from __future__ import annotations

from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.theorems.assumptions import ITERATE_CONTRACTIVE, ZERO_RESTART
from theory.theorems.state_gap_iterate import STATE_GAP_ITERATE
from theory.trials.trial import NearMiss, Trial


def observe(run: Run) -> Observation:
    """Measure the gap for all k and all t >= k."""
    k, t = run.gap_index
    measured = run.pick(run.gap_table)
    r = run.of.contraction.iterate
    past = run.norm.vector_upper(run.states)[(t - k).astype(int)]
    growth = run.growth
    # the stored state itself has drifted, which the bound multiplies by its own factor
    weight = growth ** (k % r) * run.lam ** (k // r)
    return Observation(
        measured=measured,
        budget=run.budget(measured, t, k) + weight * run.drift(t - k),
        arguments={
            "lam": run.lam,
            "blocks": k // r,
            "rest": k % r,
            "growth": growth,
            "past": past,
        },
    )


def observe_every_step(run: Run) -> Observation:
    """Count every step as a block."""
    k, _ = run.gap_index
    return observe(run).with_arguments(blocks=k, rest=0.0)


TRIAL = Trial(
    theorem=STATE_GAP_ITERATE,
    observe=observe,
    near_misses=(
        NearMiss(
            name="steps beyond the last block cost nothing",
            formula=lambda lam, blocks, rest, growth, past: lam**blocks * past,  # noqa: ARG005
        ),
        NearMiss(name="every step counted as a block", observe=observe_every_step),
        NearMiss(
            name="one block too many",
            formula=lambda lam, blocks, rest, growth, past: (
                growth**rest * lam ** (blocks + 1) * past
            ),
        ),
        NearMiss(name="without contraction", drops=ITERATE_CONTRACTIVE),
        NearMiss(name="any restart", drops=ZERO_RESTART),
    ),
)
