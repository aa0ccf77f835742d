"""How `prediction_gap` is attacked: what is measured, and its near misses."""

from __future__ import annotations

import numpy as np

from theory.arithmetic.rounding import inner_product_error
from theory.learning.constants.values import MapConstants
from theory.learning.gradients import readout_of
from theory.maps.base import Map
from theory.measure.learning import learning_of
from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.theorems.prediction_gap import PREDICTION_GAP
from theory.trials.trial import NearMiss, Trial
from theory.truncation import truncate
from theory.typing import Array


def measured_gap(run: Run, k: int, w: Map, v: Map, c: MapConstants) -> tuple[Array, float]:
    """Return |y_t(w) - y_t^k(v)| at all times after k, and a budget."""
    learning = run.once(learning_of)
    assert learning is not None
    outputs = run.norm.companion
    C = learning.full_C
    x = run.of.inputs
    long, short = w.simulate(x), truncate(v, k).states(x)
    read = readout_of(run.map, learning.head).T
    apart = learning.head(long @ read) - learning.head(short @ read)
    measured = np.asarray(outputs.vector(apart[k:]))
    reach = c.state_bound * run.norm.reach_upper(run.map.state_dim)
    size = np.abs(C) @ reach + np.abs(learning.head.d)
    error = 2 * outputs.majorant(inner_product_error(size, C.shape[1] + 1))
    drifts = 2 * outputs.matrix_upper(C, run.norm) * learning.state_error(c)
    rounding = outputs.vector_rounding(len(C)) * float(np.max(measured, initial=0.0))
    return measured, drifts + error + rounding


def observe(run: Run) -> Observation:
    """Measure the gap between the map and the truncated other one, and between trained twins."""
    learning = run.once(learning_of)
    assert learning is not None
    rows = []
    lengths = learning.lengths(learning.T)
    cases = [(k, run.map, learning.setup.other, learning.pair) for k in lengths]
    if learning.setup.steps:
        cases += [
            (k, learning.descent().model, learning.descent(k).model, learning.met(k))
            for k in lengths[:2]
        ]
    gain = run.norm.companion.matrix_upper(learning.full_C, run.norm)
    for k, w, v, c in cases:
        if c is None:
            continue
        measured, budget = measured_gap(run, k, w, v, c)
        drive = v.drive(run.norm, inputs=run.of.inputs)
        rows.append(
            (float(np.max(measured)), budget, c.lam, float(k), drive, c.weight_gain,
             learning.distance(w, v))
        )  # fmt: skip
    table = np.array(rows).reshape(-1, 7).T
    return Observation(
        measured=table[0],
        budget=table[1],
        arguments={
            "lam": table[2], "k": table[3], "drive": table[4], "weight_gain": table[5],
            "lipschitz": gain, "distance": table[6],
        },
    )  # fmt: skip


TRIAL = Trial(
    theorem=PREDICTION_GAP,
    observe=observe,
    near_misses=(
        NearMiss(
            name="distance of the weights alone",
            formula=lambda lam, k, drive, weight_gain, lipschitz, distance: (  # noqa: ARG005
                lipschitz * weight_gain * distance / (1 - lam)
            ),
        ),
        NearMiss(
            name="truncation alone",
            formula=lambda lam, k, drive, weight_gain, lipschitz, distance: (  # noqa: ARG005
                lipschitz * lam**k * drive / (1 - lam)
            ),
        ),
    ),
)
