"""How `cascade_gap` is attacked: what is measured, and its near misses."""

from __future__ import annotations

import numpy as np

from theory.arithmetic.rounding import UNIT
from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.memory.layers import LayerRates, layer_rates
from theory.theorems.assumptions import ZERO_RESTART
from theory.theorems.cascade_gap import CASCADE_GAP
from theory.trials.trial import NearMiss, Trial
from theory.truncation import truncate
from theory.typing import Array


def layer_gap_tables(
    run: Run, found: LayerRates
) -> tuple[Array, Array, tuple[Array, ...], Array, Array]:
    """Measure the top layer's gap: values, budgets, sizes of all layers' states, k and t.

    The budget follows the rounding errors up the layers: with local errors d_l the drifts obey
    e_l <= rate_l e_l + d_l + gain_l e_{l-1}.
    """
    k, t = run.gap_index
    keep = k < t
    k, t = k[keep], t[keep]
    top, norm = found.slices[-1], found.norms[-1]
    table = np.zeros((run.of.k_max + 1, len(run.of.inputs)))
    for length in range(run.of.k_max + 1):
        counterpart = truncate(run.map, length, restart=run.of.restart)
        apart = run.states[1:] - counterpart.states(run.of.inputs, run.of.start)
        table[length] = norm.vector(apart[:, top])
    measured = table[k.astype(int), t.astype(int) - 1]
    sizes = tuple(
        one.vector_upper(run.states[:, rows])
        for one, rows in zip(found.norms, found.slices, strict=True)
    )
    local, drifts = run.map.step_error(*run.sizes), 0.0
    for one, rows, rate, gain in zip(
        found.norms, found.slices, found.rates, found.gains, strict=True
    ):
        drifts = (one.majorant(local[rows]) + gain * drifts) / (1 - rate)
    # two runs, and the stored state that enters the bound
    budget = 3 * drifts * (1 + 64 * UNIT) + norm.vector_rounding(run.map.state_dim) * measured
    return measured, budget, sizes, k, t


def _observe(run: Run, *, past_is_present: bool = False) -> Observation:

    rates = layer_rates(run.map, run.of.contraction.domain)
    assert rates is not None
    measured, budget, sizes, k, t = layer_gap_tables(run, rates)
    past = (t if past_is_present else t - k).astype(int)
    first, second = _apart(*(float(rate) for rate in rates.rates))
    return Observation(
        measured=measured,
        budget=budget,
        arguments={
            "first": first,
            "second": second,
            "gain": float(rates.gains[1]),
            "k": k,
            "below": sizes[0][past],
            "above": sizes[1][past],
        },
    )


def _apart(first: float, second: float) -> tuple[float, float]:
    """Return rates no smaller that are visibly different; the formula divides by the difference."""
    least = 2.0**-20
    if abs(first - second) > least * max(first, second) and first != second:
        return first, second
    return first, min(second, first) + 2 * least * max(first, second, least)


def observe(run: Run) -> Observation:
    """Measure the upper layer's gap for all k and t > k, from the states at t - k."""
    return _observe(run)


def observe_present(run: Run) -> Observation:
    """Use the present states instead of those at the start of the window."""
    return _observe(run, past_is_present=True)


TRIAL = Trial(
    theorem=CASCADE_GAP,
    observe=observe,
    near_misses=(
        NearMiss(
            name="nothing comes from below",
            formula=lambda first, second, gain, k, below, above: second**k * above,  # noqa: ARG005
        ),
        NearMiss(
            name="the layers' rates alone: no polynomial factor",
            formula=lambda first, second, gain, k, below, above: (
                second**k * above + gain * first**k * below
            ),
        ),
        NearMiss(
            name="the lower state seen a step later",
            formula=lambda first, second, gain, k, below, above: (
                second**k * above
                + gain * first * second * (first**k - second**k) / (first - second) * below
            ),
        ),
        NearMiss(name="present states instead of the stored ones", observe=observe_present),
        NearMiss(name="any restart", drops=ZERO_RESTART),
    ),
)
