"""Recipes of maps in affine form: random ones, and the witnesses of sharp bounds.

Main names: `random_map`, `scalar`, `rotation`, `perron`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from theory.arithmetic.activations import IDENTITY, RELU, SIGMOID, Activation, leaky_relu
from theory.campaign.recipes.draws import (
    DIMENSIONS,
    FACTORS,
    certified,
    draw_inputs,
    draw_map,
    draw_matrix,
    draw_norm,
    scaled_to,
)
from theory.maps.head import LinearHead
from theory.maps.linear import LinearMap
from theory.maps.rnn import VanillaRNN
from theory.measure.experiment import Experiment, experiment
from theory.norms.norms import L1, L2, Linf, Norm, WeightedLinf
from theory.theorems.contractive_of_perron_weights import contractive_of_perron_weights
from theory.typing import Array


def random_map(rng: np.random.Generator, *, any_start: bool = False) -> Experiment:
    """Build a random map of random dimension at a chosen factor, under random inputs."""
    n, m = int(rng.choice(DIMENSIONS)), int(rng.integers(1, 6))
    T = int(rng.integers(1, 90))
    norm = draw_norm(rng, n)
    recurrent = draw_map(rng, n, m, float(rng.choice(FACTORS)), norm)
    other = draw_norm(rng, n)
    partner = draw_map(rng, n, m, float(rng.choice(FACTORS)), other)
    state = rng.standard_normal((3, n)) * 3.0
    return experiment(
        recurrent,
        draw_inputs(rng, T, m),
        contraction=certified(recurrent, norm),
        k_max=min(T + 2, 24),
        start=state[0] if any_start else None,
        restart=state[1] if any_start else None,
        other_start=state[2],
        other_inputs=draw_inputs(rng, T, m),
        head=LinearHead(
            rng.standard_normal((2, n)) * rng.choice([0.1, 3.0]), rng.standard_normal(2)
        ),
        other_norm=other,
        partner=partner,
        partner_contraction=certified(partner, other),
    )


def random_start(rng: np.random.Generator) -> Experiment:
    """Build a random map that starts and restarts anywhere."""
    return random_map(rng, any_start=True)


def _scalar(rng: np.random.Generator, *, any_start: bool) -> Experiment:
    lam = float(rng.choice([0.5, 0.9, 0.99]))
    gain = float(rng.choice([0.5, 2.0]))
    bound, bias = (float(x) for x in rng.choice([0.5, 1.0, 2.0], size=2))
    # long enough for lam**T to vanish beside lam**k
    T = 1500 if lam > 0.9 else 300
    recurrent = LinearMap([[lam]], [[gain]], [bias])
    # starts that outweigh everything the drive can build up, of opposite signs
    heavy = 10.0 * (gain * bound + bias) / (1 - lam)
    return experiment(
        recurrent,
        np.full((T, 1), bound),
        contraction=certified(recurrent, L2()),
        k_max=30,
        start=[heavy] if any_start else None,
        restart=[-heavy / 2] if any_start else None,
        other_start=[5.0],
        head=LinearHead([[3.0]], [1.0]),
        other_norm=Linf(),
    )


def scalar(rng: np.random.Generator) -> Experiment:
    """Build h <- lam h + gain x + bias under constant inputs, where the bounds are reached."""
    return _scalar(rng, any_start=False)


def scalar_start(rng: np.random.Generator) -> Experiment:
    """Build the same with a positive start and a negative restart."""
    return _scalar(rng, any_start=True)


def scalar_window(rng: np.random.Generator) -> Experiment:
    """Build the family of the converse: no bias, random tails."""
    lam = float(rng.choice([0.5, 0.9, 0.99]))
    T = int(rng.integers(2, 22))
    recurrent = LinearMap([[lam]], [[float(rng.choice([0.5, 1.0, 2.0]))]])
    x = rng.uniform(-1, 1, (T, 1))
    return experiment(
        recurrent,
        x,
        contraction=certified(recurrent, Linf()),
        k_max=min(T, 20),
        head=LinearHead([[float(rng.choice([0.5, 3.0]))]]),
        other_norm=Linf(),
    )


def rotation(rng: np.random.Generator) -> Experiment:
    """Build h <- lam Q h + x with Q orthogonal and x_t = Q**t v, aligned with the state."""
    n = int(rng.choice([2, 3, 8, 32]))
    lam = float(rng.choice(FACTORS))
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    recurrent = LinearMap(scaled_to(Q, lam, L2()), np.eye(n))
    x = np.empty((120, n))
    v = rng.standard_normal(n)
    for t in range(len(x)):
        v = Q @ v
        x[t] = v
    # the tight head for the last state's direction comes from its whole space: the identity
    return experiment(recurrent, x, contraction=certified(recurrent, L2()), k_max=20)


def perron(rng: np.random.Generator) -> Experiment:
    """Build a positive matrix in its Perron weights, driven along its Perron vector."""
    n = int(rng.choice([2, 3, 8, 20]))
    lam = float(rng.choice([0.5, 0.9, 0.99]))
    scale = np.exp(rng.uniform(-2, 2, n))
    W = rng.uniform(0.1, 1.0, (n, n)) * scale[:, None] / scale[None, :]
    radius = float(np.max(np.abs(np.linalg.eigvals(W))))
    W = W * (lam / radius) * (1 - 2.0**-45)
    rho = (RELU, IDENTITY)[rng.integers(2)]
    recurrent, norm = _in_perron_weights(W, rho)
    return experiment(
        recurrent(norm.v[:, None]),
        np.ones((200, 1)),
        contraction=certified(recurrent(norm.v[:, None]), norm),
        k_max=20,
        other_norm=L2(),
    )


def _in_perron_weights(
    W: Array, rho: Activation
) -> tuple[Callable[[Array], VanillaRNN], WeightedLinf]:
    """Return a maker of the network with these weights, and the norm of its Perron weights."""
    found = contractive_of_perron_weights(W, rho)
    if found is None or not isinstance(found.norm, WeightedLinf):
        raise ValueError("a spectral radius of |W| below 1 / slope gives Perron weights")
    # a common factor of the weights changes nothing; at most 1/2, none is its own inverse
    return lambda U: VanillaRNN(W, U, activation=rho), WeightedLinf(found.norm.v / 2)


def signed_perron(rng: np.random.Generator) -> Experiment:
    """Build a matrix with both signs in every row, and slopes above 1, in its Perron weights."""
    n = int(rng.choice([2, 3, 8, 20]))
    rho = leaky_relu(-1.5)
    W = rng.uniform(0.1, 1.0, (n, n)) * (-1.0) ** np.arange(n)
    radius = float(np.max(np.abs(np.linalg.eigvals(np.abs(W)))))
    recurrent, norm = _in_perron_weights(W * (0.9 / radius / rho.lipschitz), rho)
    made = recurrent(rng.standard_normal((n, 2)))
    return experiment(
        made, draw_inputs(rng, 40, 2), contraction=certified(made, norm), k_max=16, other_norm=L2()
    )


def _norm_witness(rng: np.random.Generator, *, outward: bool) -> Experiment:
    n = int(rng.choice([2, 4, 9]))
    lam = float(rng.choice([0.5, 0.9]))
    one, first = np.ones((n, 1)), np.eye(n)[:, :1]
    W = lam * (one @ first.T if outward else first @ one.T)
    norms: tuple[Norm, Norm] = (Linf(), L1()) if outward else (L1(), Linf())
    recurrent = LinearMap(W, first if outward else one)
    x = np.zeros((12, 1))
    x[0] = 1.0
    return experiment(
        recurrent, x, contraction=certified(recurrent, norms[0]), k_max=6, other_norm=norms[1]
    )


def norm_witness_out(rng: np.random.Generator) -> Experiment:
    """Build a rank-one map that attains the constant from the maximum norm out to the sum norm."""
    return _norm_witness(rng, outward=True)


def norm_witness_in(rng: np.random.Generator) -> Experiment:
    """Build a rank-one map that attains the constant from the maximum norm into the sum norm."""
    return _norm_witness(rng, outward=False)


def _composition_witness(rng: np.random.Generator, *, outward: bool) -> Experiment:
    n = int(rng.choice([2, 4, 9]))
    lam = (0.75, 0.5)
    one, first = np.ones((n, 1)), np.eye(n)[:, :1]
    U = rng.standard_normal((n, 1))
    norms: tuple[Norm, Norm] = (Linf(), L1()) if outward else (L1(), Linf())
    recurrent = LinearMap(lam[0] * np.eye(n), U)
    second = LinearMap(lam[1] * (first @ one.T if outward else one @ first.T), U)
    return experiment(
        recurrent,
        rng.standard_normal((8, 1)),
        contraction=certified(recurrent, norms[0]),
        partner=second,
        partner_contraction=certified(second, norms[1]),
    )


def composition_witness_there(rng: np.random.Generator) -> Experiment:
    """Build two maps that attain the constant on the way to the second map's norm."""
    return _composition_witness(rng, outward=True)


def composition_witness_back(rng: np.random.Generator) -> Experiment:
    """Build two maps that attain the constant on the way back to the first map's norm."""
    return _composition_witness(rng, outward=False)


def logistic(rng: np.random.Generator) -> Experiment:
    """Build a logistic network at rest: its offset is all of its drive."""
    n = int(rng.choice([1, 3, 10]))
    W = scaled_to(np.abs(draw_matrix(rng, n)) + np.eye(n), float(rng.choice([1.0, 3.5])), L2())
    recurrent = VanillaRNN(W, np.zeros((n, 1)), activation=SIGMOID)
    return experiment(
        recurrent, np.zeros((40, 1)), contraction=certified(recurrent, L2()), k_max=12
    )


def steep(rng: np.random.Generator) -> Experiment:
    """Build a leaky network whose slope exceeds 1 where it is driven."""
    n = int(rng.choice([1, 2, 6]))
    rho = leaky_relu(-1.5)
    W = scaled_to(np.abs(draw_matrix(rng, n)), 0.9 / rho.lipschitz, L2())
    recurrent = VanillaRNN(W, np.ones((n, 1)), activation=rho)
    return experiment(
        recurrent, np.full((40, 1), -20.0), contraction=certified(recurrent, L2()), k_max=12
    )
