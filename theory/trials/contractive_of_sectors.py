"""How `contractive_of_sectors` is attacked: what is measured, and its near misses."""

from __future__ import annotations

import numpy as np

from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.theorems.assumptions import IN_DOMAIN, SECTOR_LMI
from theory.theorems.contractive_of_sectors import CONTRACTIVE_OF_SECTORS
from theory.trials.trial import NearMiss, Trial


def observe(run: Run) -> Observation:
    """Measure the stretch of adversarial pairs and of two trajectories under one step."""
    ratios, budgets = run.trajectory_ratios
    own = 2 * run.norm.vector_rounding(run.map.state_dim) * ratios
    return Observation(measured=ratios, budget=budgets + own, arguments={"rate": run.lam})


def observe_at_rest(run: Run) -> Observation:
    """Use the Jacobian at the start and the first input in place of all sectors."""
    x = run.of.inputs[0] if len(run.of.inputs) else np.zeros(run.map.input_dim)
    stretch = run.norm.matrix_upper(run.map.jacobian_state(run.of.start, x))
    return observe(run).with_arguments(rate=stretch)


TRIAL = Trial(
    theorem=CONTRACTIVE_OF_SECTORS,
    observe=observe,
    near_misses=(
        NearMiss(name="sectors at rest in place of the domain's", observe=observe_at_rest),
        NearMiss(name="rate in place of rate**2 in the form", formula=lambda rate: rate**2),
        NearMiss(name="states outside the domain", drops=IN_DOMAIN),
        NearMiss(name="any Gram matrix", drops=SECTOR_LMI),
    ),
)
