"""How `contractive_of_incremental_lmi` is attacked: what is measured, and its near misses."""

from __future__ import annotations

import numpy as np

from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.theorems.assumptions import INCREMENTAL_LMI
from theory.theorems.contractive_of_incremental_lmi import CONTRACTIVE_OF_INCREMENTAL_LMI
from theory.trials.trial import NearMiss, Trial


def observe(run: Run) -> Observation:
    """Measure the stretch of adversarial pairs of states under one step."""
    ratios, budgets = run.step_ratios
    return Observation(measured=ratios, budget=budgets, arguments={"rate": run.lam})


def observe_spectral_radius(run: Run) -> Observation:
    """Use the spectral radius of W, as if every slope were constant."""
    seen = observe(run)
    form = run.map.affine()
    assert form is not None
    radius = float(np.max(np.abs(np.linalg.eigvals(form.W)))) * form.rho.lipschitz
    return seen.with_arguments(rate=radius)


TRIAL = Trial(
    theorem=CONTRACTIVE_OF_INCREMENTAL_LMI,
    observe=observe,
    near_misses=(
        NearMiss(name="r P in place of r**2 P in the block", formula=lambda rate: rate**2),
        NearMiss(name="spectral radius of W in place of the rate", observe=observe_spectral_radius),
        NearMiss(name="any Gram matrix", drops=INCREMENTAL_LMI),
    ),
)
