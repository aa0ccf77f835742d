"""How `contractive_of_multipliers` is attacked: what is measured, and its near misses."""

from __future__ import annotations

import numpy as np

from theory.arithmetic.rounding import UNIT
from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.theorems.assumptions import IN_DOMAIN
from theory.theorems.contractive_of_multipliers import CONTRACTIVE_OF_MULTIPLIERS, shaped
from theory.theorems.terms import Terms
from theory.trials.trial import NearMiss, Trial
from theory.typing import Array


def terms_of(run: Run) -> tuple[Terms, Array, Array] | None:
    """Return the terms on the certificate's domain with its weights and multipliers, if any."""
    c = run.of.contraction
    terms, P = run.map.terms(c.domain), getattr(c.norm, "P", None)
    if terms is None or P is None or not c.norm.monotone:
        return None
    stored = c.evidence.multipliers
    inner = (terms.parts - terms.state_parts) * terms.units
    if len(stored) != inner + terms.coefficients[0].size:
        return None
    w, t = shaped(terms, np.append(np.diag(P), stored[:inner]), stored[inner:])
    return terms, w, t


def observe(run: Run) -> Observation:
    """Measure the squared stretch of adversarial pairs and of two trajectories under one step."""
    found = terms_of(run)
    assert found is not None
    terms, w, t = found
    load = terms.load_upper(t)
    ratios, budgets = run.trajectory_ratios
    # what rounding moves a ratio by it moves the square by (2 ratio + budget) budget
    own = (4 * run.norm.vector_rounding(terms.state_dim) + 8 * UNIT) * ratios
    budgets = budgets + own
    return Observation(
        measured=ratios**2,
        budget=(2 * ratios + budgets) * budgets,
        arguments={"level": terms.level_upper(w, t, load), "load": load},
    )


def observe_at_rest(run: Run) -> Observation:
    """Use the Jacobian at the start and the first input in place of all coefficients."""
    seen = observe(run)
    x = run.of.inputs[0] if len(run.of.inputs) else np.zeros(run.map.input_dim)
    stretch = run.norm.matrix_upper(run.map.jacobian_state(run.of.start, x))
    return seen.with_arguments(level=stretch**2, load=1.0)


TRIAL = Trial(
    theorem=CONTRACTIVE_OF_MULTIPLIERS,
    observe=observe,
    near_misses=(
        NearMiss(name="coefficients at rest in place of the domain's", observe=observe_at_rest),
        NearMiss(name="square of the level", formula=lambda level, load: level**2 * load),
        NearMiss(name="states outside the domain", drops=IN_DOMAIN),
    ),
)
