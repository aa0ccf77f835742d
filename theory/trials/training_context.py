"""How `training_context` is attacked: what is measured, and its near misses."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from theory.arithmetic.rounding import evaluate
from theory.measure.learning import learning_of
from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.theorems.gradient_gap import formula as mismatch_of
from theory.theorems.prediction_gap import formula as prediction_of
from theory.theorems.training_context import TRAINING_CONTEXT
from theory.theorems.weight_gap import weight_gap
from theory.trials.prediction_gap import measured_gap
from theory.trials.trial import NearMiss, Trial


def _observe(run: Run, choose: Callable[[int], int]) -> Observation:

    learning = run.once(learning_of)
    assert learning is not None
    gain = run.norm.companion.matrix_upper(learning.full_C, run.norm)
    rows = []
    setup = learning.setup
    for wanted in learning.lengths(learning.T)[:2] if setup.steps else ():
        k = choose(wanted)
        c = learning.met(wanted)
        if c is None or k < 1:
            continue
        loss_gain, beta_p = learning.loss_constants(c, learning.T)
        beta = c.smoothness(loss_gain, beta_p)
        # eps is what the bound promises at `wanted`, so that this is the required context
        mismatch = evaluate(
            mismatch_of, lam=c.lam, k=wanted, drive=c.drive, weight_gain=c.weight_gain,
            loss_gain=loss_gain, beta_hh=c.beta_hh, beta_wh=c.beta_wh, beta_p=beta_p,
        )  # fmt: skip
        apart = weight_gap(
            steps=setup.steps, alpha=setup.alpha, beta=beta, mismatch=mismatch,
            schedule=setup.schedule,
        ) if math.isfinite(beta) else math.inf  # fmt: skip
        if math.isinf(apart):
            continue
        eps = evaluate(
            prediction_of, lam=c.lam, k=wanted, drive=c.drive, weight_gain=c.weight_gain,
            lipschitz=gain, distance=apart,
        )  # fmt: skip
        if learning.descent(k).diverged:
            continue
        measured, budget = measured_gap(
            run, k, learning.descent().model, learning.descent(k).model, c
        )
        if not len(measured):
            continue
        error = learning.gradient_error(c, loss_gain)
        trained = weight_gap(
            steps=setup.steps, alpha=setup.alpha, beta=beta, mismatch=2.2 * error,
            schedule=setup.schedule,
        )  # fmt: skip
        rows.append(
            (float(np.max(measured)), budget + gain * c.weight_gain * trained / (1 - c.lam), eps)
        )
    table = np.array(rows).reshape(-1, 3).T
    return Observation(measured=table[0], budget=table[1], arguments={"eps": table[2]})


def observe(run: Run) -> Observation:
    """Train twins with the context that a tolerance requires, and compare their predictions."""
    return _observe(run, lambda k: k)


def observe_one_fewer(run: Run) -> Observation:
    """Train with one input fewer than required."""
    return _observe(run, lambda k: k - 1)


def observe_half(run: Run) -> Observation:
    """Train with half of the inputs required."""
    return _observe(run, lambda k: k // 2)


TRIAL = Trial(
    theorem=TRAINING_CONTEXT,
    observe=observe,
    near_misses=(
        NearMiss(name="one input fewer", observe=observe_one_fewer),
        NearMiss(name="half of the inputs", observe=observe_half),
    ),
)
