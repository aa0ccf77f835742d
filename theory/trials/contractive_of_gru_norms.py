"""How `contractive_of_gru_norms` is attacked: what is measured, and its near misses."""

from __future__ import annotations

import numpy as np

from theory.arithmetic.activations import SIGMOID
from theory.arithmetic.rounding import UNIT
from theory.maps.gru import GRU
from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.theorems.assumptions import IN_DOMAIN
from theory.theorems.contractive_of_gru_norms import CONTRACTIVE_OF_GRU_NORMS, gru_norms
from theory.trials.trial import NearMiss, Trial


def _observe(run: Run, *, at_rest: bool = False) -> Observation:
    parameters = run.map.parameters
    bound = float(np.max(np.abs(run.of.inputs), initial=0.0))
    assert isinstance(run.map, GRU)
    norms = gru_norms(**parameters, variant=run.map.variant, input_bound=bound)
    ratios, budgets = run.trajectory_ratios
    arguments = norms._asdict()
    if at_rest:
        n = run.map.state_dim
        arguments["update"] = float(np.max(SIGMOID(parameters["b"][n : 2 * n])))
    return Observation(
        measured=ratios,
        budget=budgets + (4 * run.norm.vector_rounding(run.map.state_dim) + 8 * UNIT) * ratios,
        arguments=arguments,
    )


def observe(run: Run) -> Observation:
    """Measure the stretch of adversarial pairs and of two trajectories under one step."""
    return _observe(run)


def observe_at_rest(run: Run) -> Observation:
    """Take the update gates at rest, h = 0 and x = 0, for those of the whole domain."""
    return _observe(run, at_rest=True)


TRIAL = Trial(
    theorem=CONTRACTIVE_OF_GRU_NORMS,
    observe=observe,
    near_misses=(
        NearMiss(name="update gates at rest in place of the largest", observe=observe_at_rest),
        NearMiss(
            name="the update gate does not move: W_z left out",
            formula=lambda update, inner, candidate, W_z: update + (1 - update) * inner,  # noqa: ARG005
        ),
        NearMiss(
            name="gates swapped: update weighs the candidate",
            formula=lambda update, inner, candidate, W_z: (
                (1 - update) + update * inner + (1 + candidate) * W_z / 4
            ),
        ),
        NearMiss(name="states outside the domain", drops=IN_DOMAIN),
    ),
)
