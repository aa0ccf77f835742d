"""How `contractive_of_layers` is attacked: what is measured, and its near misses."""

from __future__ import annotations

import numpy as np

from theory.arithmetic.rounding import UNIT
from theory.certify.layers import layer_gains, layer_parts
from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.theorems.assumptions import IN_DOMAIN
from theory.theorems.contractive_of_layers import CONTRACTIVE_OF_LAYERS, layer_rates_of
from theory.trials.trial import NearMiss, Trial


def observe(run: Run) -> Observation:
    """Measure the stretch of adversarial pairs and of two trajectories under one step."""
    certificate = run.of.contraction
    layers = certificate.evidence.parts
    parts = layer_parts(run.map, certificate.domain)  # type: ignore[arg-type]  # it is layered
    assert parts is not None
    gains = layer_gains(run.map, [c.norm for c in layers], parts)  # type: ignore[arg-type]
    assert gains is not None
    weights = run.norm.weights.tolist()  # type: ignore[attr-defined]  # a block maximum
    rates = [c.lam for c in layers]
    found = layer_rates_of(rates, gains, weights)
    i = int(np.argmax(found))
    ratios, budgets = run.trajectory_ratios
    first = i == 0
    return Observation(
        measured=ratios,
        budget=budgets + (4 * run.norm.vector_rounding(run.map.state_dim) + 8 * UNIT) * ratios,
        arguments={
            "own": rates[i],
            "gain": 0.0 if first else gains[i - 1],
            "weight": weights[i],
            "lower": weights[i if first else i - 1],
            "beneath": 0.0 if first else found[i - 1],
        },
    )


TRIAL = Trial(
    theorem=CONTRACTIVE_OF_LAYERS,
    observe=observe,
    near_misses=(
        NearMiss(
            name="nothing comes from below",
            formula=lambda own, gain, weight, lower, beneath: own,  # noqa: ARG005
        ),
        NearMiss(
            name="the lower state seen a step later",
            formula=lambda own, gain, weight, lower, beneath: (
                own + gain * weight / lower * beneath**2
            ),
        ),
        NearMiss(name="states outside the domain", drops=IN_DOMAIN),
    ),
)
