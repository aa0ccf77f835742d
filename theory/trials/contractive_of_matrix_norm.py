"""How `contractive_of_matrix_norm` is attacked: what is measured, and its near misses."""

from __future__ import annotations

import numpy as np

from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.theorems.assumptions import MONOTONE_NORM
from theory.theorems.contractive_of_matrix_norm import CONTRACTIVE_OF_MATRIX_NORM
from theory.trials.trial import NearMiss, Trial


def observe(run: Run) -> Observation:
    """Measure the stretch of adversarial pairs of states under one step."""
    form = run.map.affine()
    assert form is not None
    ratios, budgets = run.step_ratios
    return Observation(
        measured=ratios,
        budget=budgets,
        arguments={"slope": form.rho.lipschitz, "norm": run.norm.matrix_upper(form.W)},
    )


def observe_spectral_radius(run: Run) -> Observation:
    """Use the spectral radius in place of the norm."""
    seen = observe(run)
    form = run.map.affine()
    assert form is not None
    radius = float(np.max(np.abs(np.linalg.eigvals(form.W))))
    return seen.with_arguments(norm=radius)


TRIAL = Trial(
    theorem=CONTRACTIVE_OF_MATRIX_NORM,
    observe=observe,
    near_misses=(
        NearMiss(name="slope left out", formula=lambda slope, norm: norm),  # noqa: ARG005
        NearMiss(name="spectral radius in place of the norm", observe=observe_spectral_radius),
        NearMiss(name="any norm", drops=MONOTONE_NORM),
    ),
)
