"""How `contractive_of_gate_norms` is attacked: what is measured, and its near misses."""

from __future__ import annotations

import numpy as np

from theory.arithmetic.activations import SIGMOID
from theory.arithmetic.rounding import UNIT
from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.theorems.assumptions import IN_DOMAIN
from theory.theorems.contractive_of_gate_norms import CONTRACTIVE_OF_GATE_NORMS, gate_norms
from theory.trials.trial import NearMiss, Trial
from theory.typing import Array


def _observe(run: Run, forget: float | None = None) -> Observation:
    parameters = run.map.parameters
    bound = float(np.max(np.abs(run.of.inputs), initial=0.0))
    norms = gate_norms(parameters["W"], parameters["U"], parameters["b"], input_bound=bound)
    ratios, budgets = run.trajectory_ratios
    arguments = norms._asdict()
    if forget is not None:
        arguments["forget"] = forget
    return Observation(
        measured=ratios,
        budget=budgets + (4 * run.norm.vector_rounding(run.map.state_dim) + 8 * UNIT) * ratios,
        arguments=arguments,
    )


def observe(run: Run) -> Observation:
    """Measure the stretch of adversarial pairs and of two trajectories under one step."""
    return _observe(run)


def observe_at_rest(run: Run) -> Observation:
    """Take the forget gates at rest, h = 0 and x = 0, for those of the whole domain."""
    b: Array = run.map.parameters["b"]
    n = len(b) // 4
    return _observe(run, float(np.max(SIGMOID(b[n : 2 * n]))))


TRIAL = Trial(
    theorem=CONTRACTIVE_OF_GATE_NORMS,
    observe=observe,
    near_misses=(
        NearMiss(name="forget gates at rest in place of the largest", observe=observe_at_rest),
        NearMiss(
            name="the forget gate does not move: W_f left out",
            formula=lambda forget, W_i, W_f, W_z, W_o: forget + (W_i + W_o) / 4 + W_z,  # noqa: ARG005
        ),
        NearMiss(
            name="slope of the candidate 1/4 instead of 1",
            formula=lambda forget, W_i, W_f, W_z, W_o: (
                forget + (W_i + W_o + W_z) / 4 + W_f / (4 * (1 - forget))
            ),
        ),
        NearMiss(name="states outside the domain", drops=IN_DOMAIN),
    ),
)
