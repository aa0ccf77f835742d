"""How `state_gap_observed` is attacked: what is measured, and its near misses."""

from __future__ import annotations

from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.theorems.assumptions import CONTRACTIVE, ZERO_RESTART
from theory.theorems.state_gap_observed import STATE_GAP_OBSERVED
from theory.trials.trial import NearMiss, Trial


def _observe(run: Run, *, at_start_of_window: bool) -> Observation:
    k, t = run.gap_index
    measured = run.pick(run.gap_table)
    sizes = run.norm.vector_upper(run.states)
    seen = sizes[(t - k if at_start_of_window else t).astype(int)]
    # the stored state itself has drifted, which enters the bound scaled by lam**k <= 1
    return Observation(
        measured=measured,
        budget=run.budget(measured, t, k, t - k),
        arguments={"lam": run.lam, "k": k, "past": seen},
    )


def observe(run: Run) -> Observation:
    """Measure the gap for all k and all t >= k, with the state at the start of the window."""
    return _observe(run, at_start_of_window=True)


def observe_present(run: Run) -> Observation:
    """Use the present state instead of the one at the start of the window."""
    return _observe(run, at_start_of_window=False)


TRIAL = Trial(
    theorem=STATE_GAP_OBSERVED,
    observe=observe,
    near_misses=(
        NearMiss(
            name="one power of lam too many",
            formula=lambda lam, k, past: lam ** (k + 1) * past,
        ),
        NearMiss(name="present state instead of the stored one", observe=observe_present),
        NearMiss(name="without contraction", drops=CONTRACTIVE),
        NearMiss(name="any restart", drops=ZERO_RESTART),
    ),
)
