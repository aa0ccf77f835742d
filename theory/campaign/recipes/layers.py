"""Recipes of two layers, where the bound of the upper one is reached.

Main names: `layers`, `layers_impulse`, `layers_restart`.
"""

from __future__ import annotations

import numpy as np

from theory.certify.interface import contraction
from theory.maps.cascade import Cascade
from theory.maps.linear import LinearMap
from theory.measure.experiment import Experiment, experiment
from theory.typing import Array


def _layers(rng: np.random.Generator, inputs: Array, *, restart: Array | None = None) -> Experiment:
    first, second, gain = rng.uniform(0.6, 0.9, 3)
    cell = Cascade([LinearMap([[first]], [[1.0]]), LinearMap([[second]], [[gain]])])
    found = contraction(cell, method="comparison")
    if found is None:
        raise ValueError("two scalar layers with rates below 1 have a certificate")
    return experiment(cell, inputs, contraction=found, k_max=8, restart=restart)


def layers(rng: np.random.Generator) -> Experiment:
    """Build two positive scalar linear layers, where the bound of the upper one is reached."""
    return _layers(rng, np.ones((60, 1)))


def layers_impulse(rng: np.random.Generator) -> Experiment:
    """Build the same after an impulse: the stored states are larger than the present ones."""
    x = np.zeros((30, 1))
    x[0] = 1.0
    return _layers(rng, x)


def layers_restart(rng: np.random.Generator) -> Experiment:
    """Build the same at rest, with a truncated model that restarts elsewhere."""
    return _layers(rng, np.zeros((12, 1)), restart=np.array([3.0, 3.0]))
