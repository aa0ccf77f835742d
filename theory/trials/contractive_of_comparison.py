"""How `contractive_of_comparison` is attacked: what is measured, and its near misses."""

from __future__ import annotations

import numpy as np

from theory.arithmetic.rounding import UNIT
from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.norms.resolvent import largest_image
from theory.theorems.assumptions import IN_DOMAIN
from theory.theorems.contractive_of_comparison import CONTRACTIVE_OF_COMPARISON
from theory.trials.trial import NearMiss, Trial
from theory.typing import Array


def _observe(run: Run, rows: Array) -> Observation:
    v = run.norm.v  # type: ignore[attr-defined]  # the assumption says that it has weights
    i = int(np.argmax(rows / v))
    ratios, budgets = run.trajectory_ratios
    # the row sum is a floating-point value: widen the budget by its relative error
    return Observation(
        measured=ratios,
        budget=budgets + (4 * run.norm.vector_rounding(len(v)) + 8 * UNIT) * ratios,
        arguments={"row": float(rows[i]), "weight": float(v[i])},
    )


def observe(run: Run) -> Observation:
    """Measure the stretch of adversarial pairs and of two trajectories under one step."""
    matrices = run.map.comparison(run.of.contraction.domain)
    assert matrices is not None
    return _observe(run, largest_image(matrices, run.norm.v))  # type: ignore[attr-defined]


def observe_at_rest(run: Run) -> Observation:
    """Use the slopes at the start and the first input in place of those of the whole domain."""
    x = run.of.inputs[0] if len(run.of.inputs) else np.zeros(run.map.input_dim)
    J = np.abs(run.map.jacobian_state(run.of.start, x))
    return _observe(run, J @ run.norm.v)  # type: ignore[attr-defined]


TRIAL = Trial(
    theorem=CONTRACTIVE_OF_COMPARISON,
    observe=observe,
    near_misses=(
        NearMiss(name="slopes at rest in place of the domain's", observe=observe_at_rest),
        NearMiss(
            name="weights multiply instead of divide", formula=lambda row, weight: row * weight
        ),
        NearMiss(name="states outside the domain", drops=IN_DOMAIN),
    ),
)
