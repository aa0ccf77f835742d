"""How `filter_contraction` is attacked: what is measured, and its near misses."""

from __future__ import annotations

import math

import numpy as np

from theory.arithmetic.rounding import gamma
from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.sources.belief import BeliefFilter
from theory.theorems.filter_contraction import FILTER_CONTRACTION
from theory.trials.trial import NearMiss, Trial


def forgets(run: Run) -> bool:
    """Return whether a run is about the filter of a chain with positive transitions."""
    return isinstance(run.map, BeliefFilter) and math.isfinite(run.map.model.diameter)


def observe(run: Run) -> Observation:
    """Measure Hilbert's distance of the beliefs from both starts, and from the zero restart."""
    assert isinstance(run.map, BeliefFilter)
    T = len(run.of.inputs)
    odds = np.concatenate(
        [run.states[1:] - run.other_states[1:], run.states[1:] - run.map.simulate(run.of.inputs)]
    )
    odds = np.concatenate([odds, np.zeros((len(odds), 1))], axis=1)
    times = np.tile(np.arange(1.0, T + 1), 2)
    measured = np.max(odds, axis=1) - np.min(odds, axis=1)
    # the filter contracts no distance less than it keeps it, and a distance is at most twice the
    # largest entry of a difference of two runs, each of so many steps
    local = float(np.max(run.map.step_error(*run.sizes)))
    budget = 4 * local * times * (1 + gamma(16)) + gamma(4) * measured
    model = run.map.model
    return Observation(
        measured=measured,
        budget=budget,
        arguments={"diameter": model.diameter, "tau": model.birkhoff, "k": times},
    )


TRIAL = Trial(
    theorem=FILTER_CONTRACTION,
    observe=observe,
    near_misses=(
        NearMiss(
            name="one step too many",
            formula=lambda diameter, tau, k: diameter * tau**k,
        ),
        NearMiss(
            name="half the diameter",
            formula=lambda diameter, tau, k: diameter * tau ** (k - 1) / 2,
        ),
        NearMiss(
            name="the square of the factor",
            formula=lambda diameter, tau, k: diameter * tau ** (2 * (k - 1)),
        ),
    ),
)
