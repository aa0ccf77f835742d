"""How `weight_gap_path` is attacked: what is measured, and its near misses."""

from __future__ import annotations

import numpy as np

from theory.learning.weights import with_weights
from theory.measure.learning import Learning, learning_of
from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.norms.norms import L2
from theory.theorems.weight_gap import formula as weight_gap
from theory.theorems.weight_gap_path import WEIGHT_GAP_PATH
from theory.trials.trial import NearMiss, Trial
from theory.typing import Array


def _defects(learning: Learning, k: int) -> Array:
    """Return alpha_i |grad p - grad p^k| at the weights of the k-step descent, as computed."""
    gaps = []
    for v in learning.descent(k).weights[:-1]:
        model = with_weights(learning.run.map, v, trained=learning.setup.trained)
        there = learning.gradient(learning.T, model=model)
        gaps.append(there - learning.gradient(learning.T, k, model))
    return np.asarray(learning.sizes * L2().vector(np.array(gaps)))


def observe(run: Run) -> Observation:
    """Train twins with a few lengths and measure the distance of their weights at every step."""
    learning = run.once(learning_of)
    assert learning is not None
    parts: list[tuple[Array, ...]] = []
    for k, c, gain, beta in learning.smooth_lengths():
        # on the hull of the weights met, a step stretches by at most 1 + alpha_i beta
        growth = learning.growth(beta)[1:]
        departed = np.cumsum(_defects(learning, k) / growth)
        w, v = learning.descent().weights, learning.descent(k).weights
        measured = L2().vector(w - v)[1:]
        # gradients err in both descents and twice in a defect; the rest as for weight_gap
        error = learning.gradient_error(c, gain)
        with np.errstate(over="ignore", invalid="ignore"):
            budget = weight_gap(growth, 4.4 * error, beta)
            budget = budget + learning.rounding_of_steps(k, growth)
            budget = budget + 2 * L2().vector_rounding(w.shape[1]) * (measured + growth * departed)
        keep = np.isfinite(growth) & np.isfinite(budget)
        parts.append((measured[keep], budget[keep], growth[keep], departed[keep]))
    joined = [np.concatenate([p[i] for p in parts]) if parts else np.zeros(0) for i in range(4)]
    return Observation(
        measured=joined[0],
        budget=joined[1],
        arguments={"amplification": joined[2], "departed": joined[3]},
    )


TRIAL = Trial(
    theorem=WEIGHT_GAP_PATH,
    observe=observe,
    near_misses=(
        NearMiss(
            name="no stretch after a defect",
            formula=lambda amplification, departed: departed + 0 * amplification,
        ),
        NearMiss(
            name="half the defects",
            formula=lambda amplification, departed: amplification * departed / 2,
        ),
    ),
)
