"""How `contractive_of_perron_weights` is attacked: what is measured, and its near misses."""

from __future__ import annotations

import numpy as np

from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.norms.norms import WeightedLinf
from theory.theorems.contractive_of_perron_weights import CONTRACTIVE_OF_PERRON_WEIGHTS
from theory.trials.trial import NearMiss, Trial
from theory.typing import Array


def _observe(run: Run, rows: Array) -> Observation:

    form = run.map.affine()
    assert form is not None
    assert isinstance(run.norm, WeightedLinf)
    v = run.norm.v
    i = int(np.argmax(rows / v))
    ratios, budgets = run.step_ratios
    # the row sum is a floating-point value: widen the budget by its relative error
    return Observation(
        measured=ratios,
        budget=budgets + run.norm.vector_rounding(len(v)) * ratios,
        arguments={"slope": form.rho.lipschitz, "row": float(rows[i]), "weight": float(v[i])},
    )


def observe(run: Run) -> Observation:
    """Measure the stretch of adversarial pairs of states under one step."""
    form = run.map.affine()
    assert form is not None
    assert isinstance(run.norm, WeightedLinf)
    return _observe(run, np.abs(form.W) @ run.norm.v)


def observe_signed(run: Run) -> Observation:
    """Use W in place of |W|, so that entries of opposite sign cancel."""
    form = run.map.affine()
    assert form is not None
    assert isinstance(run.norm, WeightedLinf)
    return _observe(run, np.abs(form.W @ run.norm.v))


TRIAL = Trial(
    theorem=CONTRACTIVE_OF_PERRON_WEIGHTS,
    observe=observe,
    near_misses=(
        NearMiss(name="signs cancel: W in place of |W|", observe=observe_signed),
        NearMiss(
            name="weights multiply instead of divide",
            formula=lambda slope, row, weight: slope * row * weight,
        ),
        NearMiss(
            name="slope left out",
            formula=lambda slope, row, weight: row / weight,  # noqa: ARG005
        ),
    ),
)
