"""How `weight_gap` is attacked: what is measured, and its near misses."""

from __future__ import annotations

import numpy as np

from theory.measure.learning import learning_of
from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.norms.norms import L2
from theory.theorems.weight_gap import WEIGHT_GAP, formula
from theory.trials.trial import NearMiss, Trial
from theory.typing import Array


def observe(run: Run) -> Observation:
    """Train twins with a few lengths and measure the distance of their weights at every step."""
    learning = run.once(learning_of)
    assert learning is not None
    parts: list[tuple[Array, ...]] = []
    for k, c, gain, beta in learning.smooth_lengths():
        mismatch = learning.mismatch(c, k)
        growth = learning.growth(beta)[1:]
        w, v = learning.descent().weights, learning.descent(k).weights
        measured = L2().vector(w - v)[1:]
        # computed twins are exact ones with gradients that err, and steps that round
        error = learning.gradient_error(c, gain)
        # overflow to inf or nan makes a bound of no use, which is what it then is
        with np.errstate(over="ignore", invalid="ignore"):
            budget = formula(growth, 2.2 * error, beta)
            budget = budget + learning.rounding_of_steps(k, growth)
            budget = budget + L2().vector_rounding(w.shape[1]) * measured
        keep = np.isfinite(growth) & np.isfinite(budget)
        shape = np.ones(int(keep.sum()))
        parts.append((measured[keep], budget[keep], growth[keep], mismatch * shape, beta * shape))
    joined = [np.concatenate([p[i] for p in parts]) if parts else np.zeros(0) for i in range(5)]
    return Observation(
        measured=joined[0],
        budget=joined[1],
        arguments={"amplification": joined[2], "mismatch": joined[3], "beta": joined[4]},
    )


TRIAL = Trial(
    theorem=WEIGHT_GAP,
    observe=observe,
    near_misses=(
        NearMiss(
            name="gradient gap summed without growth",
            formula=lambda amplification, mismatch, beta: mismatch * (1 - 1 / amplification) / beta,
        ),
        NearMiss(
            name="half the growth",
            formula=lambda amplification, mismatch, beta: (
                mismatch * (amplification - 1) / (2 * beta)
            ),
        ),
    ),
)
