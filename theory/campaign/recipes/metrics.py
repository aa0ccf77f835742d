"""Recipes about metrics and several steps together, and one false claim.

Main names: `oblique`, `incremental`, `swap`, `shear`, `products`, `boxed`, `false_factor`.
"""

from __future__ import annotations

import numpy as np

from theory.arithmetic.activations import HARD_TANH, RELU, SIGMOID, TANH
from theory.campaign.recipes.draws import certified, draw_inputs
from theory.certificates import Contraction
from theory.certify.interface import contraction
from theory.inputs import Inputs
from theory.maps.base import Map
from theory.maps.linear import LinearMap
from theory.maps.rnn import VanillaRNN
from theory.measure.experiment import Experiment, experiment
from theory.norms.norms import L2, Linf, Norm, WeightedL2
from theory.theorems.contractive_of_incremental_lmi import contractive_of_incremental_lmi
from theory.theorems.contractive_of_iterate import contractive_of_iterate


def false_factor(rng: np.random.Generator) -> Experiment:
    """Build a map that contracts by 0.9 but claims 0.5: for theorems without contraction."""
    n = int(rng.choice([1, 2, 5]))
    recurrent = LinearMap(0.9 * np.eye(n), rng.standard_normal((n, 1)))
    return experiment(
        recurrent,
        np.ones((40, 1)),
        contraction=Contraction.assumed(0.5),
        k_max=16,
        other_norm=L2(),
    )


def oblique(rng: np.random.Generator) -> Experiment:
    """Build a relu network in a Euclidean norm of a full P, which is not monotone."""
    c = float(rng.uniform(0.8, 0.95))
    P = np.array([[1.0, c], [c, 1.0]])
    norm = WeightedL2(P)
    rho = (RELU, HARD_TANH)[rng.integers(2)]
    recurrent = VanillaRNN(0.5 * np.eye(2), np.eye(2), activation=rho)
    return experiment(
        recurrent,
        rng.standard_normal((20, 2)),
        contraction=Contraction.assumed(norm.matrix_upper(recurrent.W), norm),
        k_max=8,
    )


def incremental(rng: np.random.Generator) -> Experiment:
    """Build a relu network with one active unit, of larger slope than the spectral radius."""
    s, c = float(rng.uniform(0.6, 0.9)), float(rng.uniform(0.3, 0.6))
    W = np.array([[s, -1.0], [c, -s]])
    recurrent = VanillaRNN(W, np.eye(2), [-60.0, 60.0], RELU)
    found = contraction(recurrent, method="lmi")
    if found is None:
        raise ValueError("a matrix ((s, -1), (c, -s)) with s < 1 and c < 1 has a certificate")
    return experiment(recurrent, np.zeros((6, 2)), contraction=found, k_max=4)


def incremental_sharp(rng: np.random.Generator) -> Experiment:
    """Build an active relu network that multiplies by its rate, in the norm of P = I."""
    n, s = int(rng.choice([1, 2, 5])), float(rng.uniform(0.3, 0.9))
    recurrent = VanillaRNN(s * np.eye(n), np.eye(n), np.full(n, 60.0), RELU)
    # the block is singular at the rate s itself
    found = contractive_of_incremental_lmi(
        recurrent.W, RELU, P=np.eye(n), q=np.ones(n), rate=s * (1 + 2.0**-36)
    )
    if found is None:
        raise ValueError("s I with s < 1 satisfies the inequality with P = Q = I just above s")
    return experiment(recurrent, np.zeros((6, n)), contraction=found, k_max=4)


def swap(rng: np.random.Generator) -> Experiment:
    """Build h <- (a h_2, b h_1) + x, which contracts in pairs of steps, under constant inputs."""
    a, b = float(rng.choice([1.0, 1.5, 4.0])), float(rng.choice([0.05, 0.2]))
    recurrent = LinearMap([[0.0, a], [b, 0.0]], np.eye(2))
    return experiment(
        recurrent,
        np.full((80, 2), float(rng.choice([0.5, 2.0]))),
        contraction=in_steps(recurrent, 2, Linf()),
        k_max=9,
    )


def swap_impulse(rng: np.random.Generator) -> Experiment:
    """Build the same with one input at the beginning, in the direction that grows."""
    a, b = float(rng.choice([1.0, 1.5, 4.0])), float(rng.choice([0.05, 0.2]))
    recurrent = LinearMap([[0.0, a], [b, 0.0]], np.eye(2))
    x = np.zeros((9, 2))
    x[0, 1] = float(rng.choice([1.0, -3.0]))
    return experiment(recurrent, x, contraction=in_steps(recurrent, 2, Linf()), k_max=8)


def shear(rng: np.random.Generator) -> Experiment:
    """Build a linear map that stretches for a while, though its spectral radius is small."""
    n, s = int(rng.choice([2, 3])), float(rng.uniform(0.1, 0.3))
    A = s * np.eye(n) + 2.0 * np.eye(n, k=1)
    found = contraction(recurrent := LinearMap(A, np.eye(n)), method="iterate", norm=Linf())
    if found is None:
        raise ValueError("a matrix of spectral radius below 1 has powers of norm below 1")
    return experiment(recurrent, draw_inputs(rng, 30, n), contraction=found, k_max=12)


def products(rng: np.random.Generator) -> Experiment:
    """Build a relu network whose products of several matrices are small, not the single ones."""
    s, c = float(rng.uniform(0.4, 0.85)), float(rng.uniform(0.2, 0.5))
    recurrent = VanillaRNN(
        [[s, -1.0], [c, -s]], np.eye(2), rng.standard_normal(2) * 0.3, (RELU, TANH)[rng.integers(2)]
    )
    found = contraction(recurrent, method="iterate")
    if found is None:
        raise ValueError("a matrix ((s, -1), (c, -s)) with s < 1 and c < 1 has short products")
    return experiment(recurrent, draw_inputs(rng, 30, 2), contraction=found, k_max=12)


def in_steps(recurrent: Map, r: int, norm: Norm) -> Contraction:
    """Return the contraction of r steps of a map in affine form, built to have one."""
    form = recurrent.affine()
    found = None if form is None else contractive_of_iterate(form.W, form.rho, norm=norm, iterate=r)
    if found is None:
        raise ValueError(
            f"{recurrent!r} was built to contract in {r} steps, but has no certificate"
        )
    return found


def boxed(rng: np.random.Generator) -> Experiment:
    """Build a network that contracts on a box only: biases keep its slopes small there."""
    n, m = int(rng.choice([1, 2, 4, 8])), int(rng.integers(1, 3))
    G = rng.standard_normal((n, n))
    W = G * (1.3 / np.linalg.norm(G, 2))
    # far out on either side, but for one unit
    b = rng.choice([-1.0, 1.0], n) * rng.uniform(2.5, 3.5, n)
    b[0] = 0.0 if n > 1 else b[0]
    recurrent = VanillaRNN(W, rng.standard_normal((n, m)) / m, b, (TANH, SIGMOID)[rng.integers(2)])
    found = contraction(recurrent, inputs=Inputs.box(-0.5, 0.5), effort=0)
    if found is None:
        # slopes of at most 1: shrink until some norm certifies
        recurrent = VanillaRNN(0.5 * W, recurrent.U, b, recurrent.activation)
        found = certified(recurrent, L2())
    T = int(rng.integers(2, 40))
    domain = found.domain
    ends = (np.zeros(n), np.ones(n)) if domain is None else (domain.low, domain.high)
    starts = rng.uniform(ends[0], ends[1], (3, n))
    anywhere = bool(rng.integers(2))
    return experiment(
        recurrent,
        0.5 * np.clip(draw_inputs(rng, T, m), -1, 1),
        contraction=found,
        k_max=min(T + 1, 12),
        start=starts[0] if anywhere else None,
        restart=starts[1] if anywhere else None,
        other_start=starts[2],
    )
