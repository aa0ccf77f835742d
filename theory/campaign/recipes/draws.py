"""What the recipes draw: norms, matrices, activations, inputs, and maps of a given rate.

Main names: `Recipe`, `scaled_to`, `certified`, `FACTORS`, `DIMENSIONS`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from theory.arithmetic.activations import ACTIVATIONS, IDENTITY, Activation, leaky_relu
from theory.certificates import Contraction
from theory.certify.interface import contraction
from theory.maps.base import Map
from theory.maps.linear import LinearMap
from theory.maps.rnn import VanillaRNN
from theory.measure.experiment import Experiment
from theory.norms.norms import L1, L2, Linf, Norm, WeightedL1, WeightedLinf
from theory.typing import Array

#: Contraction factors at which instances are built; 0 and the neighbourhood of 1 are included.
FACTORS = (0.0, 1e-3, 0.5, 0.9, 0.99, 0.9999)
DIMENSIONS = (1, 2, 3, 5, 8, 16, 33, 64)

Recipe = Callable[[np.random.Generator], Experiment]


def draw_norm(rng: np.random.Generator, n: int) -> Norm:
    """Return one of six norms, the Euclidean one most often."""
    v = rng.uniform(0.2, 5.0, n)
    kinds: tuple[Norm, ...] = (L2(), L2(), Linf(), L1(), WeightedLinf(v), WeightedL1(v))
    return kinds[rng.integers(len(kinds))]


def scaled_to(W: Array, size: float, norm: Norm) -> Array:
    """Return a multiple of W whose norm is at most `size` and equal to it but for rounding."""
    bound = norm.matrix_upper(W)
    return W * (size / bound) * (1 - 2.0**-50) if bound > 0 else W


def draw_matrix(rng: np.random.Generator, n: int) -> Array:
    """Return a recurrent matrix of one of several characters, not yet scaled."""
    kind = rng.integers(6)
    G = rng.standard_normal((n, n))
    if kind == 0:
        return np.asarray(np.linalg.qr(G)[0])
    if kind == 1:
        return np.abs(G)
    if kind == 2:
        return np.triu(G, 1) if n > 1 else G
    if kind == 3:
        scale = np.exp(rng.uniform(-3, 3, n))
        return G * scale[:, None] / scale[None, :]
    if kind == 4:
        return np.outer(G[0], G[:, 0])
    return G


def _activation(rng: np.random.Generator) -> Activation:
    choices = (*ACTIVATIONS.values(), leaky_relu(0.1), leaky_relu(-0.5), leaky_relu(-1.5))
    return choices[rng.integers(len(choices))]


def draw_inputs(rng: np.random.Generator, T: int, m: int) -> Array:
    """Return one of several kinds of input sequence, of size about 1."""
    kind = rng.integers(6)
    if kind == 0:
        return rng.standard_normal((T, m))
    if kind == 1:
        return rng.choice([-1.0, 1.0], size=(T, m))
    if kind == 2:
        return np.broadcast_to(rng.choice([-1.0, 1.0], size=m), (T, m)).copy()
    if kind == 3:
        return (rng.random((T, m)) < 0.1).astype(np.float64)
    if kind == 4:
        return np.zeros((T, m))
    return np.asarray(np.sin(np.arange(T)[:, None] * rng.uniform(0.01, 3.0, m)))


def draw_map(
    rng: np.random.Generator, n: int, m: int, lam: float, norm: Norm
) -> VanillaRNN | LinearMap:
    """Return a map that contracts by at most lam in the norm, and by hardly less."""
    rho = _activation(rng)
    W = scaled_to(draw_matrix(rng, n), lam / rho.lipschitz, norm)
    U = rng.standard_normal((n, m)) / np.sqrt(m)
    b = rng.standard_normal(n) * rng.choice([0.0, 0.3, 2.0])
    return LinearMap(W, U, b) if rho is IDENTITY else VanillaRNN(W, U, b, rho)


def certified(recurrent: Map, norm: Norm) -> Contraction:
    """Return the contraction of a map that was built to have one."""
    found = contraction(recurrent, norm=norm)
    if found is None:
        raise ValueError(f"{recurrent!r} was built to contract in {norm}, but has no certificate")
    return found
