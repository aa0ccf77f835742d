"""How `context_length` is attacked: what is measured, and its near misses."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.theorems.assumptions import ZERO_START
from theory.theorems.context_length import CONTEXT_LENGTH, context_length
from theory.trials.output_gap import measured_output_gaps
from theory.trials.trial import NearMiss, Trial


def _observe(run: Run, choose: Callable[[float, Run], int]) -> Observation:

    lengths, budgets, targets = [], [], []
    longest = float(np.max(run.gap_table[0], initial=0.0)) * run.output_lipschitz
    for share in (0.5, 0.1, 1e-2, 1e-4):
        eps = share * longest
        if not eps > 0:
            continue
        k = choose(eps, run)
        if k < len(run.of.inputs):
            measured, budget = measured_output_gaps(run, k)
            worst = int(np.argmax(measured - budget))
            lengths.append(measured[worst])
            budgets.append(budget[worst])
            targets.append(eps)
    return Observation(
        measured=np.array(lengths), budget=np.array(budgets), arguments={"eps": np.array(targets)}
    )


def _right(eps: float, run: Run) -> int:
    return context_length(
        run.of.contraction,
        eps=eps,
        drive=run.drive,
        lipschitz=run.output_lipschitz,
        horizon=len(run.of.inputs),
    )


def observe(run: Run) -> Observation:
    """Measure the worst output gap at the required context of a few tolerances."""
    return _observe(run, _right)


def observe_one_fewer(run: Run) -> Observation:
    """Use one input fewer than required."""
    return _observe(run, lambda eps, r: max(0, _right(eps, r) - 1))


def observe_without_geometric_factor(run: Run) -> Observation:
    """Solve lipschitz * drive * lam**k <= eps instead."""

    def choose(eps: float, r: Run) -> int:
        tolerance = eps / (1 - r.lam)
        return context_length(
            r.of.contraction, eps=tolerance, drive=r.drive, lipschitz=r.output_lipschitz
        )

    return _observe(run, choose)


def observe_published_drive(run: Run) -> Observation:
    """Use L_x B_x alone as the drive, as if step(0, 0) were 0."""

    def choose(eps: float, r: Run) -> int:
        if math.isnan(r.published_drive):
            # L_x is unknown: ask for all inputs, which measures nothing
            return len(r.of.inputs)
        return context_length(
            r.of.contraction, eps=eps, drive=r.published_drive, lipschitz=r.output_lipschitz
        )

    return _observe(run, choose)


TRIAL = Trial(
    theorem=CONTEXT_LENGTH,
    observe=observe,
    near_misses=(
        NearMiss(name="one input fewer", observe=observe_one_fewer),
        NearMiss(
            name="geometric factor 1/(1 - lam) dropped", observe=observe_without_geometric_factor
        ),
        NearMiss(name="offset step(0, 0) left out of the drive", observe=observe_published_drive),
        NearMiss(name="any start", drops=ZERO_START),
    ),
)
