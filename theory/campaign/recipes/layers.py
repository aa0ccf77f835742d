"""Recipes of two layers, where the bound of the upper one is reached.

Main names: `layers`, `layers_impulse`, `layers_restart`; `stack`, `stack_sharp`, `stack_far`, with
the certificate that the layers have together.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from theory.campaign.recipes.draws import draw_inputs
from theory.certify.interface import contraction
from theory.inputs import Inputs
from theory.maps.base import Map
from theory.maps.cascade import Cascade
from theory.maps.linear import LinearMap
from theory.maps.lstm import LSTM
from theory.maps.rnn import VanillaRNN
from theory.measure.experiment import Experiment, experiment
from theory.norms.blocks import BlockMax
from theory.theorems.contractive_of_layers import contractive_of_layers
from theory.typing import Array


def _layers(rng: np.random.Generator, inputs: Array, *, restart: Array | None = None) -> Experiment:
    first, second, gain = rng.uniform(0.6, 0.9, 3)
    cell = Cascade([LinearMap([[first]], [[1.0]]), LinearMap([[second]], [[gain]])])
    found = contraction(cell, method="comparison")
    if found is None:
        raise ValueError("two scalar layers with rates below 1 have a certificate")
    return experiment(cell, inputs, contraction=found, k_max=8, restart=restart)


def stack(rng: np.random.Generator) -> Experiment:
    """Build two or three layers that contract alone, with any gain between them."""
    sizes = rng.integers(1, 5, int(rng.integers(2, 4))).tolist()
    m = int(rng.integers(1, 3))
    made: list[Map] = []
    for n, seen in zip(sizes, [m, *sizes], strict=False):
        W = rng.standard_normal((n, n))
        W *= float(rng.choice([0.1, 0.5, 0.9])) / np.linalg.norm(W, 2)
        U = rng.standard_normal((n, seen)) * float(rng.choice([0.1, 1.0, 30.0]))
        made.append(VanillaRNN(W, U) if rng.random() < 0.6 else LinearMap(W, U))
    cell = Cascade(made)
    found = contraction(cell, method="layers", required=True)
    n = cell.state_dim
    return experiment(
        cell,
        draw_inputs(rng, int(rng.integers(1, 20)), m),
        contraction=found,
        k_max=6,
        start=rng.standard_normal(n),
        other_start=rng.standard_normal(n),
    )


def stack_sharp(rng: np.random.Generator) -> Experiment:
    """Build two positive scalar linear layers, apart by the weights: the bound is reached."""
    rates = rng.uniform(0.4, 0.6, 2)
    gain = float(rng.uniform(1.0, 2.0))
    cell = Cascade([LinearMap([[rates[0]]], [[1.0]]), LinearMap([[rates[1]]], [[gain]])])
    certificates = [contraction(layer, required=True) for layer in cell.layers]
    found = contractive_of_layers(certificates, [gain], sizes=[1, 1], rate=0.9)
    assert found is not None
    assert isinstance(found.norm, BlockMax)
    apart = 1.0 / found.norm.weights
    return experiment(
        cell, np.zeros((4, 1)), contraction=found, start=np.zeros(2), other_start=apart
    )


def stack_far(rng: np.random.Generator) -> Experiment:
    """Build a layer over an LSTM unit that is far outside its domain."""
    W, U, b = np.zeros((4, 1)), np.zeros((4, 1)), np.zeros(4)
    W[1], U[2] = rng.uniform(0.1, 0.3), 1.0
    cell = Cascade([LSTM(W, U, b), LinearMap([[0.5]], [[1.0]])])
    found = contraction(cell, method="layers", inputs=Inputs.box(-1, 1), required=True)
    made = experiment(cell, np.zeros((3, 1)), contraction=found)
    start, other = np.array([1e9, 0.5, 0.0]), np.array([1e9, -0.5, 0.0])
    return replace(made, start=start, other_start=other)


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
