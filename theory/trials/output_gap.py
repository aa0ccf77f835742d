"""How `output_gap` is attacked: what is measured, and its near misses."""

from __future__ import annotations

import numpy as np

from theory.arithmetic.rounding import inner_product_error
from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.theorems.assumptions import ZERO_START
from theory.theorems.output_gap import OUTPUT_GAP
from theory.trials.trial import NearMiss, Trial
from theory.truncation import truncate
from theory.typing import Array


def measured_output_gaps(run: Run, k: int) -> tuple[Array, Array]:
    """Return |y_t - y_t^k| for t = k+1 .. T, and the budgets."""
    head, outputs = run.of.head, run.norm.companion
    short = truncate(run.map, k, restart=run.of.restart).states(run.of.inputs, run.of.start)[k:]
    long = run.states[1 + k :]
    times = run.times[1 + k :]
    measured = outputs.vector(head(long) - head(short))
    # both outputs err by an inner product of length n + 1, and inherit L_f times the states' drift
    size = np.abs(head.C) @ np.maximum(*np.abs([run.sizes[0], run.of.restart])) + np.abs(head.d)
    error = 2 * outputs.majorant(inner_product_error(size, head.C.shape[1] + 1))
    drifts = run.output_lipschitz * (run.drift(times) + run.drift(float(k)))
    return measured, drifts + error + outputs.vector_rounding(len(head.d)) * measured


def observe(run: Run) -> Observation:
    """Measure the output gap for a few k and all t > k."""
    lengths = np.unique(np.geomspace(1, max(run.of.k_max, 1), 6).astype(int))
    parts = [(k, *measured_output_gaps(run, int(k))) for k in [0, *lengths.tolist()]]
    return Observation(
        measured=np.concatenate([m for _, m, _ in parts]),
        budget=np.concatenate([b for _, _, b in parts]),
        arguments={
            "lam": run.lam,
            "k": np.concatenate([np.full(len(m), float(k)) for k, m, _ in parts]),
            "drive": run.drive,
            "lipschitz": run.output_lipschitz,
        },
    )


TRIAL = Trial(
    theorem=OUTPUT_GAP,
    observe=observe,
    near_misses=(
        NearMiss(
            name="Lipschitz constant of the output left out",
            formula=lambda lam, k, drive, lipschitz: drive * lam**k / (1 - lam),  # noqa: ARG005
        ),
        NearMiss(
            name="one power of lam too many",
            formula=lambda lam, k, drive, lipschitz: lipschitz * drive * lam ** (k + 1) / (1 - lam),
        ),
        NearMiss(name="any start", drops=ZERO_START),
    ),
)
