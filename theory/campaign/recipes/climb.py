"""A search for the inputs and starts of a small map that come nearest to a bound.

Main names: `climb`, `CLIMBED`.
"""

from __future__ import annotations

import numpy as np

from theory.campaign.recipes.draws import certified, draw_map, draw_norm
from theory.maps.head import LinearHead
from theory.measure.experiment import Experiment, experiment
from theory.norms.norms import L1
from theory.theorems import THEOREMS
from theory.trials.verdict import verify
from theory.typing import Array

#: What `climb` brings near its bound; the criteria are searched by
#: `theory.measure.ratios.step_ratios`.
CLIMBED = (
    "drive",
    "hidden_state",
    "initial_state",
    "input_sequence",
    "state_gap_observed",
    "state_gap",
    "state_gap_finite",
    "state_gap_any_start",
    "output_gap",
    "context_length",
    "norm_change",
)


def climb(rng: np.random.Generator) -> Experiment:
    """Build a small random map and search for the inputs and starts that come nearest to a bound.

    Coordinate ascent over inputs in the box |x| <= 1 and over the three starts, by sign flips and
    moves to a corner: gaps are largest at the corners, since the drive is what the bounds are made
    of.  Starts are moved only for the theorems that allow any.
    """
    n, m, T = int(rng.choice([1, 2, 3, 5])), int(rng.integers(1, 3)), int(rng.integers(3, 14))
    norm = draw_norm(rng, n)
    recurrent = draw_map(rng, n, m, float(rng.choice([0.5, 0.9, 0.99])), norm)
    certificate = certified(recurrent, norm)
    target = CLIMBED[rng.integers(len(CLIMBED))]
    theorem = next(t for t in THEOREMS if t.name == target)
    anywhere = target in {"initial_state", "state_gap_any_start"}
    head = LinearHead(rng.standard_normal((1, n)))

    def at(genes: Array) -> Experiment:
        x, other, starts = np.split(genes, [T * m, 2 * T * m])
        start, restart, other_start = starts.reshape(3, n)
        return experiment(
            recurrent,
            x.reshape(T, m),
            contraction=certificate,
            k_max=min(T, 8),
            start=start if anywhere else None,
            restart=restart if anywhere else None,
            other_start=other_start,
            other_inputs=other.reshape(T, m),
            head=head,
            other_norm=L1(),
        )

    def height(genes: Array) -> float:
        value = verify(theorem, at(genes)).ratio
        return value if np.isfinite(value) else -1.0

    best = rng.uniform(-1, 1, 2 * T * m + 3 * n)
    top = height(best)
    for _ in range(60):
        genes = best.copy()
        i = rng.integers(len(genes))
        genes[i] = rng.choice([-genes[i], -1.0, 1.0])
        value = height(genes)
        if value > top:
            best, top = genes, value
    return at(best)
