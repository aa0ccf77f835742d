"""How `loss_smoothness` is attacked: what is measured, and its near misses."""

from __future__ import annotations

import numpy as np

from theory.measure.learning import learning_of
from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.norms.norms import L2
from theory.theorems.loss_smoothness import LOSS_SMOOTHNESS, formula
from theory.trials.trial import NearMiss, Trial


def observe(run: Run) -> Observation:
    """Measure the distance of the gradients of both parameter vectors at a few times."""
    learning = run.once(learning_of)
    assert learning is not None
    c = learning.pair
    assert c is not None
    other = learning.setup.other
    measured, gains, betas = [], [], []
    for t in learning.times:
        pairs = [(learning.gradient(t), learning.gradient(t, model=other))]
        pairs += [
            (learning.gradient(t, k), learning.gradient(t, k, model=other))
            for k in learning.lengths(t)[:1]
        ]
        gain, beta_p = learning.loss_constants(c, t)
        for one, two in pairs:
            measured.append(float(L2().vector(one - two)))
            gains.append(gain)
            betas.append(beta_p)
    size = sum(run.map.parameters[name].size for name in learning.setup.trained)
    seen = np.array(measured)
    return Observation(
        measured=seen,
        budget=2 * learning.gradient_error(c) + L2().vector_rounding(size) * seen,
        arguments={
            "lam": c.lam,
            "weight_gain": c.weight_gain,
            "loss_gain": np.array(gains),
            "beta_hh": c.beta_hh,
            "beta_hw": c.beta_hw,
            "beta_wh": c.beta_wh,
            "beta_ww": c.beta_ww,
            "beta_p": np.array(betas),
            "distance": learning.distance(run.map, other),
        },
    )


TRIAL = Trial(
    theorem=LOSS_SMOOTHNESS,
    observe=observe,
    near_misses=(
        NearMiss(
            name="mixed derivative counted once",
            formula=lambda lam, weight_gain, loss_gain, beta_hh, beta_hw, beta_wh, beta_ww, beta_p, distance: (  # noqa: ARG005, E501
                formula(lam, weight_gain, loss_gain, beta_hh, beta_hw, 0, beta_ww, beta_p, distance)
            ),
        ),
        NearMiss(
            name="smoothness of the loss left out",
            formula=lambda lam, weight_gain, loss_gain, beta_hh, beta_hw, beta_wh, beta_ww, beta_p, distance: (  # noqa: ARG005, E501
                formula(
                    lam, weight_gain, loss_gain, beta_hh, beta_hw, beta_wh, beta_ww, 0, distance
                )
            ),
        ),
        NearMiss(
            name="one geometric factor dropped",
            formula=lambda lam, weight_gain, loss_gain, beta_hh, beta_hw, beta_wh, beta_ww, beta_p, distance: (  # noqa: E501
                (1 - lam)
                * formula(
                    lam,
                    weight_gain,
                    loss_gain,
                    beta_hh,
                    beta_hw,
                    beta_wh,
                    beta_ww,
                    beta_p,
                    distance,
                )
            ),
        ),
    ),
)
