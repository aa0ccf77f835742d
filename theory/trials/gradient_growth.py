"""How `gradient_growth` is attacked: what is measured, and its near misses."""

from __future__ import annotations

import numpy as np

from theory.arithmetic.rounding import gamma
from theory.measure.learning import learning_of
from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.theorems.gradient_growth import GRADIENT_GROWTH
from theory.trials.trial import NearMiss, Trial


def observe(run: Run) -> Observation:
    """Measure the gradient by reverse mode, at all times."""
    learning = run.once(learning_of)
    assert learning is not None
    T = len(run.of.inputs)
    return from_two_steps(run, [learning.gradient(t)[0] for t in range(2, T + 1)])


def from_two_steps(run: Run, derivatives: list[float]) -> Observation:
    """Return an observation of a derivative of p_2 .. p_T, with the budget of its recursion."""
    measured, T = np.array(derivatives), len(run.of.inputs)
    # sums of positive products; h - 1 loses a digit at most: h <= 2 (h - 1) for factor >= 1
    return Observation(
        measured=measured,
        budget=4 * gamma(16 * (T + 4)) * measured,
        arguments={"factor": float(run.map.parameters["W"][0, 0]), "t": np.arange(2.0, T + 1)},
    )


TRIAL = Trial(
    theorem=GRADIENT_GROWTH,
    observe=observe,
    near_misses=(
        NearMiss(
            name="one power too many",
            formula=lambda factor, t: (t - 1) * factor ** (2 * t - 2),
        ),
        NearMiss(
            name="the limit taken for the value",
            formula=lambda factor, t: (t - 1) * factor ** (2 * t - 1) / (factor - 1) ** 2,
        ),
    ),
)
