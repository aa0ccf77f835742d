"""How `vanishing_gradient` is attacked: what is measured, and its near misses."""

from __future__ import annotations

import numpy as np

from theory.measure.learning import learning_of
from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.theorems.vanishing_gradient import VANISHING_GRADIENT
from theory.trials.trial import NearMiss, Trial


def observe(run: Run) -> Observation:
    """Measure the derivative of the last loss in every input."""
    learning = run.once(learning_of)
    assert learning is not None
    c = learning.own
    assert c is not None
    gain, _ = learning.loss_constants(c, learning.T)
    measured = learning.input_gradients(learning.T)[::-1]
    # a gradient in the inputs is one in the weights of a map with one more input
    error = learning.gradient_error(c) * max(run.input_gain / max(c.weight_gain, 1e-300), 1.0)
    return Observation(
        measured=measured,
        budget=error * run.map.input_dim,
        arguments={
            "lam": c.lam,
            "k": np.arange(float(len(measured))),
            "gain": run.input_gain,
            "loss_gain": gain,
        },
    )


TRIAL = Trial(
    theorem=VANISHING_GRADIENT,
    observe=observe,
    near_misses=(
        NearMiss(
            name="one power of lam too many",
            formula=lambda lam, k, gain, loss_gain: loss_gain * lam ** (k + 1) * gain,
        ),
        NearMiss(
            name="Lipschitz constant in the input left out",
            formula=lambda lam, k, gain, loss_gain: loss_gain * lam**k,  # noqa: ARG005
        ),
    ),
)
