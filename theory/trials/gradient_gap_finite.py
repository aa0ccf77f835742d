"""How `gradient_gap_finite` is attacked: what is measured, and its near misses."""

from __future__ import annotations

import numpy as np

from theory.measure.learning import learning_of
from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.norms.norms import L2
from theory.theorems.gradient_gap_finite import GRADIENT_GAP_FINITE, formula
from theory.trials.trial import NearMiss, Trial


def observe(run: Run) -> Observation:
    """Measure the gap of the gradients at a few times and lengths."""
    learning = run.once(learning_of)
    assert learning is not None
    c = learning.own
    assert c is not None
    rows = []
    for t in learning.times:
        gain, beta_p = learning.loss_constants(c, t)
        whole = learning.gradient(t)
        for k in learning.lengths(t):
            measured = float(L2().vector(whole - learning.gradient(t, k)))
            past = float(run.norm.vector_upper(run.states[t - k])) + learning.state_error(c)
            rows.append((measured, float(k), float(t), past, gain, beta_p))
    table = np.array(rows).reshape(-1, 6).T
    size = sum(run.map.parameters[name].size for name in learning.setup.trained)
    return Observation(
        measured=table[0],
        budget=2 * learning.gradient_error(c) + L2().vector_rounding(size) * table[0],
        arguments={
            "lam": c.lam,
            "k": table[1],
            "t": table[2],
            "past": table[3],
            "weight_gain": c.weight_gain,
            "loss_gain": table[4],
            "beta_hh": c.beta_hh,
            "beta_wh": c.beta_wh,
            "beta_p": table[5],
        },
    )


TRIAL = Trial(
    theorem=GRADIENT_GAP_FINITE,
    observe=observe,
    near_misses=(
        NearMiss(
            name="lost history alone",
            formula=lambda lam, k, t, past, weight_gain, loss_gain, beta_hh, beta_wh, beta_p: (  # noqa: ARG005
                loss_gain * lam**k * weight_gain * (1 - lam ** (t - k)) / (1 - lam)
            ),
        ),
        NearMiss(
            name="one power of lam too many",
            formula=lambda lam, k, t, past, weight_gain, loss_gain, beta_hh, beta_wh, beta_p: (
                lam * formula(lam, k, t, past, weight_gain, loss_gain, beta_hh, beta_wh, beta_p)
            ),
        ),
        NearMiss(
            name="smoothness of the loss left out",
            formula=lambda lam, k, t, past, weight_gain, loss_gain, beta_hh, beta_wh, beta_p: (  # noqa: ARG005
                formula(lam, k, t, past, weight_gain, loss_gain, beta_hh, beta_wh, 0)
            ),
        ),
    ),
)
