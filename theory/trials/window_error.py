"""How `window_error` is attacked: what is measured, and its near misses."""

from __future__ import annotations

import numpy as np

from theory.arithmetic.rounding import UNIT, inner_product_error
from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.theorems.window_error import WINDOW_ERROR
from theory.trials.trial import NearMiss, Trial


def observe(run: Run) -> Observation:
    """Run two histories at +B and -B with a common tail, and halve the distance of the outputs.

    Whatever a function of the tail answers, it errs by at least that on one of the two.
    """
    t = len(run.of.inputs)
    if t == 0:
        return Observation(measured=np.zeros(0), budget=0.0, arguments={})
    bound = float(np.max(np.abs(run.of.inputs)))
    lengths = np.arange(min(run.of.k_max, t) + 1)
    # |c|, |u| and |a| of the scalar family are read from the map; signs do not matter
    form, head = run.map.affine(), run.of.head
    assert form is not None
    tails = np.broadcast_to(run.of.inputs, (len(lengths), t, 1)).copy()
    before = np.arange(t) < (t - lengths)[:, None]
    high, low = tails.copy(), tails.copy()
    high[before], low[before] = bound, -bound
    states = [run.map.simulate(x) for x in (high, low)]
    ends = [head(h[:, -1]) for h in states]
    measured = np.abs(ends[0] - ends[1])[:, 0] / 2
    lipschitz, gain = abs(float(head.C[0, 0])), abs(float(form.U[0, 0]))
    # the family contracts by lam in |.| itself, so no norm enters: a step errs by `local` at most,
    # two trajectories drift by local / (1 - lam) each, and both outputs are rounded
    largest = np.array([float(np.max(np.abs(states)))])
    local = float(run.map.step_error(largest, np.array([bound]))[0])
    drifted = min(float(t), 1 / (1 - run.lam)) * local
    size = lipschitz * largest + abs(float(head.d[0]))
    output = float(inner_product_error(size, 2)[0])
    error = (lipschitz * drifted + output) * (1 + 64 * UNIT) + 2 * UNIT * measured
    return Observation(
        measured=measured,
        budget=error,
        arguments={
            "lam": run.lam,
            "k": lengths.astype(np.float64),
            "t": float(t),
            "gain": gain,
            "input_bound": bound,
            "lipschitz": lipschitz,
        },
    )


TRIAL = Trial(
    theorem=WINDOW_ERROR,
    observe=observe,
    near_misses=(
        NearMiss(
            name="history one input too long",
            formula=lambda lam, k, t, gain, input_bound, lipschitz: (
                lipschitz * gain * input_bound * lam**k * (1 - lam ** (t - k + 1)) / (1 - lam)
            ),
        ),
        NearMiss(
            name="history taken as infinite",
            formula=lambda lam, k, t, gain, input_bound, lipschitz: (  # noqa: ARG005
                lipschitz * gain * input_bound * lam**k / (1 - lam)
            ),
        ),
        NearMiss(
            name="distance of the histories not halved",
            formula=lambda lam, k, t, gain, input_bound, lipschitz: (
                2 * lipschitz * gain * input_bound * lam**k * (1 - lam ** (t - k)) / (1 - lam)
            ),
        ),
    ),
)
