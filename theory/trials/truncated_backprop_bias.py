"""How `truncated_backprop_bias` is attacked: what is measured, and its near misses."""

from __future__ import annotations

import numpy as np

from theory.measure.learning import learning_of
from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.norms.norms import L2
from theory.theorems.truncated_backprop_bias import TRUNCATED_BACKPROP_BIAS
from theory.trials.trial import NearMiss, Trial


def observe(run: Run) -> Observation:
    """Measure the bias at a few times and lengths."""
    learning = run.once(learning_of)
    assert learning is not None
    c = learning.own
    assert c is not None
    rows = []
    for t in learning.times:
        gain, _ = learning.loss_constants(c, t)
        whole = learning.gradient(t)
        for k in learning.lengths(t):
            measured = float(L2().vector(whole - learning.cut_gradient(t, k)))
            rows.append((measured, float(k), float(t), gain))
    table = np.array(rows).reshape(-1, 4).T
    size = sum(run.map.parameters[name].size for name in learning.setup.trained)
    return Observation(
        measured=table[0],
        budget=2 * learning.gradient_error(c) + L2().vector_rounding(size) * table[0],
        arguments={
            "lam": c.lam, "k": table[1], "t": table[2], "weight_gain": c.weight_gain,
            "loss_gain": table[3],
        },
    )  # fmt: skip


TRIAL = Trial(
    theorem=TRUNCATED_BACKPROP_BIAS,
    observe=observe,
    near_misses=(
        NearMiss(
            name="one power of lam too many",
            formula=lambda lam, k, t, weight_gain, loss_gain: (
                lam ** (k + 1) * loss_gain * weight_gain * (1 - lam ** (t - k)) / (1 - lam)
            ),
        ),
        NearMiss(
            name="geometric factor dropped",
            formula=lambda lam, k, t, weight_gain, loss_gain: (  # noqa: ARG005
                lam**k * loss_gain * weight_gain
            ),
        ),
    ),
)
