"""How `deployed_error` is attacked: what is measured, and its near misses.

Main names: `observe`, `deployed`.
"""

from __future__ import annotations

import numpy as np

from theory.arithmetic.rounding import drift
from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.theorems.assumptions import CONTRACTIVE, ZERO_START
from theory.theorems.deployed_error import DEPLOYED_ERROR
from theory.trials.trial import NearMiss, Trial
from theory.typing import Array

#: Errors of steps that are tried, as shares of the drive: of the k-step and the recurrent model.
SHARES = (0.125, 0.25)


def _pushed(run: Run, exact: Array, direction: Array, size: float) -> tuple[Array, float]:
    """Return states moved by at most about `size` in a direction, and the furthest of them.

    A state stays in the domain of the contraction, where there is one.
    """
    length = run.norm.vector_upper(direction)[..., None]
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        unit = np.where(length > 0, direction / length, 0.0)
    moved = exact + size * np.where(np.isfinite(unit), unit, 0.0)
    domain = run.of.contraction.domain
    if domain is not None:
        moved = np.clip(moved, np.minimum(domain.low, exact), np.maximum(domain.high, exact))
    return moved, float(np.max(run.norm.vector_upper(moved - exact), initial=0.0))


def deployed(run: Run) -> tuple[Array, float, float, float]:
    """Return the gaps at `Run.gap_index`, both errors of a step as measured, and the largest state.

    The recurrent model errs away from rest, and the k-step models away from it.
    """
    X, T, n = run.of.inputs, len(run.of.inputs), run.map.state_dim
    size = run.drive if np.isfinite(run.drive) and run.drive > 0 else 1.0
    run_error = step_error = 0.0
    states = [np.asarray(run.of.start, dtype=np.float64)]
    for x in X:
        exact = run.map.step(states[-1], x)
        outward = np.where(exact.any(), exact, np.ones(n))
        new, far = _pushed(run, exact, outward, SHARES[1] * size)
        states.append(new)
        run_error = max(run_error, far)
    full = np.vstack(states)
    table = np.full((run.of.k_max + 1, T), np.nan)
    # one window from each time; after j inputs those that end by T are left
    windows = np.tile(run.of.restart, (T + 1, 1)).astype(np.float64)
    largest = np.max(np.abs(np.vstack([full, windows])), axis=0)
    for j in range(min(run.of.k_max, T) + 1):
        if j > 0:
            windows = windows[: T + 1 - j]
            exact = run.map.step(windows, X[j - 1 :][: len(windows)])
            windows, far = _pushed(run, exact, exact - full[j:], SHARES[0] * size)
            step_error = max(step_error, far)
            largest = np.maximum(largest, np.max(np.abs(windows), axis=0))
        gaps = run.norm.vector(full[j:] - windows)
        table[j, max(j, 1) - 1 :] = gaps[1:] if j == 0 else gaps
    inputs = run.sizes[1]
    local = run.norm.majorant(run.map.step_error(np.maximum(largest, run.sizes[0]), inputs))
    return run.pick(table), step_error, run_error, local


def observe(run: Run) -> Observation:
    """Measure the gap of two models with steps that err, for all k and all t >= k."""
    k, t = run.gap_index
    measured, step_error, run_error, local = run.once(deployed)
    # the states are taken as they are, so only their exact steps and the norms round
    limit = drift(local, run.lam)
    budget = np.minimum(k * local, limit) + np.minimum(t * local, limit)
    return Observation(
        measured=measured,
        budget=budget + run.norm.vector_rounding(run.map.state_dim) * measured,
        arguments={
            "lam": run.lam,
            "k": k,
            "t": t,
            "drive": run.drive,
            "step_error": step_error,
            "run_error": run_error,
        },
    )


TRIAL = Trial(
    theorem=DEPLOYED_ERROR,
    observe=observe,
    near_misses=(
        NearMiss(
            name="one power of lam too many",
            formula=lambda lam, k, t, drive, step_error, run_error: (
                (
                    drive * (lam ** (k + 1) - lam ** (t + 1))
                    + step_error * (1 - lam**k)
                    + run_error * (1 - lam**t)
                )
                / (1 - lam)
            ),
        ),
        NearMiss(
            name="error of the last step only",
            formula=lambda lam, k, t, drive, step_error, run_error: (
                drive * (lam**k - lam**t) / (1 - lam) + step_error + run_error
            ),
        ),
        NearMiss(
            name="recurrent model taken as exact",
            observe=lambda run: observe(run).with_arguments(run_error=0.0),
        ),
        NearMiss(
            name="errors of the recurrent model forgotten with its past",
            formula=lambda lam, k, t, drive, step_error, run_error: (
                (drive * (lam**k - lam**t) + (step_error + run_error) * (1 - lam**k)) / (1 - lam)
            ),
        ),
        NearMiss(name="without contraction", drops=CONTRACTIVE),
        NearMiss(name="any start", drops=ZERO_START),
    ),
)
