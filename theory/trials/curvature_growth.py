"""How `curvature_growth` is attacked: what is measured, and its near misses."""

from __future__ import annotations

from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.theorems.curvature_growth import CURVATURE_GROWTH
from theory.trials.gradient_growth import from_two_steps
from theory.trials.trial import NearMiss, Trial


def observe(run: Run) -> Observation:
    """Measure the second derivative by forward recursion, at all times."""
    a = float(run.map.parameters["W"][0, 0])
    h = first = second = 0.0
    found = []
    for driven in run.map.input_terms(run.of.inputs)[:, 0].tolist():
        # derivatives of a h + 1 in a, from those of h
        h, first, second = a * h + driven, a * first + h, a * second + 2 * first
        found.append(first * first + (h - 1.0) * second)
    return from_two_steps(run, found[1:])


TRIAL = Trial(
    theorem=CURVATURE_GROWTH,
    observe=observe,
    near_misses=(
        NearMiss(
            name="one power too many",
            formula=lambda factor, t: (t - 1) * (2 * t - 3) * factor ** (2 * t - 3),
        ),
        NearMiss(
            name="both parts counted alike",
            formula=lambda factor, t: 2 * (t - 1) ** 2 * factor ** (2 * t - 4),
        ),
    ),
)
