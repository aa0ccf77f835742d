"""How `contractive_of_iterate` is attacked: what is measured, and its near misses."""

from __future__ import annotations

import numpy as np

from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.theorems.assumptions import PRODUCTS_BOUNDED
from theory.theorems.contractive_of_iterate import CONTRACTIVE_OF_ITERATE
from theory.trials.trial import NearMiss, Trial


def observe(run: Run) -> Observation:
    """Measure the stretch of adversarial pairs of states under r steps."""
    ratios, budgets = run.iterate_ratios
    return Observation(measured=ratios, budget=budgets, arguments={"product": run.lam})


def observe_spectral_radius(run: Run) -> Observation:
    """Use the r-th power of the spectral radius of W in place of the norm of products."""
    seen = observe(run)
    form = run.map.affine()
    assert form is not None
    radius = float(np.max(np.abs(np.linalg.eigvals(form.W)))) * form.rho.lipschitz
    return seen.with_arguments(product=radius**run.of.contraction.iterate)


TRIAL = Trial(
    theorem=CONTRACTIVE_OF_ITERATE,
    observe=observe,
    near_misses=(
        NearMiss(name="r steps contract as 2 r do", formula=lambda product: product**2),
        NearMiss(name="power of the spectral radius of W", observe=observe_spectral_radius),
        NearMiss(name="any factor", drops=PRODUCTS_BOUNDED),
    ),
)
