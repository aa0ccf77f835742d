r"""Recipes: from a generator of random numbers to an experiment.

Main names: `RECIPES`, `build`, `on_sequence`.

A recipe *builds* an instance that satisfies what it promises; nothing is filtered.  Some are
random, some are the sharp witnesses of the theorems, some search for the worst inputs, and some
break one assumption on purpose, for the near misses that drop it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from theory.activations import (
    ACTIVATIONS,
    HARD_TANH,
    IDENTITY,
    RELU,
    SIGMOID,
    TANH,
    Activation,
    leaky_relu,
)
from theory.campaign.learning_recipes import LEARNING_RECIPES
from theory.certificates import Contraction
from theory.certify import contraction
from theory.domain import Domain
from theory.inputs import Inputs
from theory.learning import training_setup
from theory.maps import (
    GRU,
    LSTM,
    Cascade,
    EchoStateNetwork,
    LinearMap,
    Map,
    MinGRU,
    SelectiveSSM,
    VanillaRNN,
)
from theory.measure import Experiment, experiment
from theory.norms import L1, L2, Linf, Norm, WeightedL1, WeightedL2, WeightedLinf
from theory.theorems.contractive_of_incremental_lmi import contractive_of_incremental_lmi
from theory.theorems.contractive_of_iterate import contractive_of_iterate
from theory.theorems.contractive_of_perron_weights import contractive_of_perron_weights
from theory.truncation import LinearHead
from theory.typing import Array

#: Contraction factors at which instances are built; 0 and the neighbourhood of 1 are included.
FACTORS = (0.0, 1e-3, 0.5, 0.9, 0.99, 0.9999)
DIMENSIONS = (1, 2, 3, 5, 8, 16, 33, 64)

Recipe = Callable[[np.random.Generator], Experiment]


def _norm(rng: np.random.Generator, n: int) -> Norm:
    v = rng.uniform(0.2, 5.0, n)
    kinds: tuple[Norm, ...] = (L2(), L2(), Linf(), L1(), WeightedLinf(v), WeightedL1(v))
    return kinds[rng.integers(len(kinds))]


def scaled_to(W: Array, size: float, norm: Norm) -> Array:
    """Return a multiple of W whose norm is at most `size` and equal to it but for rounding."""
    bound = norm.matrix_upper(W)
    return W * (size / bound) * (1 - 2.0**-50) if bound > 0 else W


def _matrix(rng: np.random.Generator, n: int) -> Array:
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


def _inputs(rng: np.random.Generator, T: int, m: int) -> Array:
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


def _map(
    rng: np.random.Generator, n: int, m: int, lam: float, norm: Norm
) -> VanillaRNN | LinearMap:
    """Return a map that contracts by at most lam in the norm, and by hardly less."""
    rho = _activation(rng)
    W = scaled_to(_matrix(rng, n), lam / rho.lipschitz, norm)
    U = rng.standard_normal((n, m)) / np.sqrt(m)
    b = rng.standard_normal(n) * rng.choice([0.0, 0.3, 2.0])
    return LinearMap(W, U, b) if rho is IDENTITY else VanillaRNN(W, U, b, rho)


def certified(recurrent: Map, norm: Norm) -> Contraction:
    """Return the contraction of a map that was built to have one."""
    found = contraction(recurrent, norm=norm)
    if found is None:
        raise ValueError(f"{recurrent!r} was built to contract in {norm}, but has no certificate")
    return found


def random_map(rng: np.random.Generator, *, any_start: bool = False) -> Experiment:
    """Build a random map of random dimension at a chosen factor, under random inputs."""
    n, m = int(rng.choice(DIMENSIONS)), int(rng.integers(1, 6))
    T = int(rng.integers(1, 90))
    norm = _norm(rng, n)
    recurrent = _map(rng, n, m, float(rng.choice(FACTORS)), norm)
    other = _norm(rng, n)
    partner = _map(rng, n, m, float(rng.choice(FACTORS)), other)
    state = rng.standard_normal((3, n)) * 3.0
    return experiment(
        recurrent,
        _inputs(rng, T, m),
        contraction=certified(recurrent, norm),
        k_max=min(T + 2, 24),
        start=state[0] if any_start else None,
        restart=state[1] if any_start else None,
        other_start=state[2],
        other_inputs=_inputs(rng, T, m),
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
        made, _inputs(rng, 40, 2), contraction=certified(made, norm), k_max=16, other_norm=L2()
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
    W = scaled_to(np.abs(_matrix(rng, n)) + np.eye(n), float(rng.choice([1.0, 3.5])), L2())
    recurrent = VanillaRNN(W, np.zeros((n, 1)), activation=SIGMOID)
    return experiment(
        recurrent, np.zeros((40, 1)), contraction=certified(recurrent, L2()), k_max=12
    )


def steep(rng: np.random.Generator) -> Experiment:
    """Build a leaky network whose slope exceeds 1 where it is driven."""
    n = int(rng.choice([1, 2, 6]))
    rho = leaky_relu(-1.5)
    W = scaled_to(np.abs(_matrix(rng, n)), 0.9 / rho.lipschitz, L2())
    recurrent = VanillaRNN(W, np.ones((n, 1)), activation=rho)
    return experiment(
        recurrent, np.full((40, 1), -20.0), contraction=certified(recurrent, L2()), k_max=12
    )


#: What `climb` brings near its bound; the criteria are searched by `theory.measure.step_ratios`.
CLIMBED = (
    "drive",
    "hidden_state",
    "initial_state",
    "input_sequence",
    "state_gap_observed",
    "state_gap",
    "state_gap_finite",
    "state_gap_any_start",
    "output_gap",
    "context_length",
    "norm_change",
)


def climb(rng: np.random.Generator) -> Experiment:
    """Build a small random map and search for the inputs and starts that come nearest to a bound.

    Coordinate ascent over inputs in the box |x| <= 1 and over the three starts, by sign flips and
    moves to a corner: gaps are largest at the corners, since the drive is what the bounds are made
    of.  Starts are moved only for the theorems that allow any.
    """
    from theory.theorems import THEOREMS
    from theory.verdict import verify

    n, m, T = int(rng.choice([1, 2, 3, 5])), int(rng.integers(1, 3)), int(rng.integers(3, 14))
    norm = _norm(rng, n)
    recurrent = _map(rng, n, m, float(rng.choice([0.5, 0.9, 0.99])), norm)
    certificate = certified(recurrent, norm)
    target = CLIMBED[rng.integers(len(CLIMBED))]
    theorem = next(t for t in THEOREMS if t.name == target)
    anywhere = target in {"initial_state", "state_gap_any_start"}
    head = LinearHead(rng.standard_normal((1, n)))

    def at(genes: Array) -> Experiment:
        x, other, starts = np.split(genes, [T * m, 2 * T * m])
        start, restart, other_start = starts.reshape(3, n)
        return experiment(
            recurrent,
            x.reshape(T, m),
            contraction=certificate,
            k_max=min(T, 8),
            start=start if anywhere else None,
            restart=restart if anywhere else None,
            other_start=other_start,
            other_inputs=other.reshape(T, m),
            head=head,
            other_norm=L1(),
        )

    def height(genes: Array) -> float:
        value = verify(theorem, at(genes)).ratio
        return value if np.isfinite(value) else -1.0

    best = rng.uniform(-1, 1, 2 * T * m + 3 * n)
    top = height(best)
    for _ in range(60):
        genes = best.copy()
        i = rng.integers(len(genes))
        genes[i] = rng.choice([-genes[i], -1.0, 1.0])
        value = height(genes)
        if value > top:
            best, top = genes, value
    return at(best)


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
    return experiment(recurrent, _inputs(rng, 30, n), contraction=found, k_max=12)


def products(rng: np.random.Generator) -> Experiment:
    """Build a relu network whose products of several matrices are small, not the single ones."""
    s, c = float(rng.uniform(0.4, 0.85)), float(rng.uniform(0.2, 0.5))
    recurrent = VanillaRNN(
        [[s, -1.0], [c, -s]], np.eye(2), rng.standard_normal(2) * 0.3, (RELU, TANH)[rng.integers(2)]
    )
    found = contraction(recurrent, method="iterate")
    if found is None:
        raise ValueError("a matrix ((s, -1), (c, -s)) with s < 1 and c < 1 has short products")
    return experiment(recurrent, _inputs(rng, 30, 2), contraction=found, k_max=12)


def in_steps(recurrent: Map, r: int, norm: Norm) -> Contraction:
    """Return the contraction of r steps of a map in affine form, built to have one."""
    form = recurrent.affine()
    found = None if form is None else contractive_of_iterate(form.W, form.rho, norm, iterate=r)
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
        0.5 * np.clip(_inputs(rng, T, m), -1, 1),
        contraction=found,
        k_max=min(T + 1, 12),
        start=starts[0] if anywhere else None,
        restart=starts[1] if anywhere else None,
        other_start=starts[2],
    )


def _within(rng: np.random.Generator, domain: Domain | None, n: int) -> Array:
    """Return a state of a domain, often at a corner."""
    if domain is None:
        return rng.standard_normal(n)
    place = rng.random(n)
    place = np.where(rng.random(n) < 0.5, np.round(place), place)
    return np.clip(domain.low + (domain.high - domain.low) * place, domain.low, domain.high)


def _gated(rng: np.random.Generator, n: int, m: int, scale: float, kind: int) -> Map:
    """Return a gated, leaky or stacked map whose recurrent weights have a given size."""

    def weights(rows: int, columns: int) -> Array:
        return np.asarray(rng.standard_normal((rows, columns)) * (scale / np.sqrt(n)))

    def driven(rows: int) -> Array:
        return rng.standard_normal((rows, m))

    bias = float(rng.choice([0.0, 1.0]))
    if kind == 0:
        return LSTM(weights(4 * n, n), driven(4 * n), bias * rng.standard_normal(4 * n))
    if kind == 1:
        held = bias * rng.standard_normal(n)
        return GRU(weights(3 * n, n), driven(3 * n), bias * rng.standard_normal(3 * n), held)
    if kind == 2:
        return GRU(weights(3 * n, n), driven(3 * n), variant="reset_before")
    if kind == 3:
        rho = ("tanh", "sigmoid", "sin")[rng.integers(3)]
        leak = rng.uniform(0.1, 1.0, n) * (1 - 2.0**-10)
        return EchoStateNetwork(weights(n, n), driven(n), leak=leak, activation=rho)
    if kind == 4:
        rule = ("euler", "zoh")[rng.integers(2)]
        decay = rng.uniform(0.2, 2.0, (m, n))
        return SelectiveSSM(decay, driven(m) / m, driven(n), discretization=rule)
    if kind == 5:
        return MinGRU(driven(2 * n), bias * rng.standard_normal(2 * n))
    top = GRU(weights(3 * n, n), weights(3 * n, n))
    return Cascade([LSTM(weights(4 * n, n), driven(4 * n)), top])


def gated(rng: np.random.Generator) -> Experiment:
    """Build a random gated map on the box that it never leaves, from anywhere in it."""
    return _on_its_domain(rng, int(rng.integers(6)))


def gated_stack(rng: np.random.Generator) -> Experiment:
    """Build a random GRU on top of a random LSTM."""
    return _on_its_domain(rng, 6)


def _on_its_domain(rng: np.random.Generator, kind: int) -> Experiment:
    n, m, T = int(rng.choice([1, 2, 5, 12])), int(rng.integers(1, 4)), int(rng.integers(1, 40))
    state = rng.bit_generator.state
    for halvings in range(40):
        # the same draws, with recurrent weights half the size: small ones have a certificate
        rng.bit_generator.state = state
        recurrent = _gated(rng, n, m, 2.0 ** (1 - halvings), kind)
        found = contraction(recurrent, method="comparison", inputs=Inputs.box(-1.0, 1.0))
        if found is not None:
            break
    else:
        raise ValueError(f"{recurrent!r} has no certificate for small recurrent weights")
    size = recurrent.state_dim
    return experiment(
        recurrent,
        np.clip(_inputs(rng, T, m), -1.0, 1.0),
        contraction=found,
        k_max=min(T + 2, 12),
        other_start=_within(rng, found.domain, size),
        other_inputs=np.clip(_inputs(rng, T, m), -1.0, 1.0),
        head=LinearHead(rng.standard_normal((2, size))),
        other_norm=_norm(rng, size),
    )


def _by_row_sums(rng: np.random.Generator, kind: str) -> Experiment:
    """Build a random LSTM or GRU in the maximum norm, by row sums of its gates."""
    n, m, T = int(rng.choice([1, 2, 8])), int(rng.integers(1, 3)), int(rng.integers(2, 30))
    gates = 4 if kind == "lstm" else 3
    W = rng.standard_normal((gates * n, n)) * 0.1 / n
    U = rng.standard_normal((gates * n, m)) / m
    recurrent = LSTM(W, U) if kind == "lstm" else GRU(W, U)
    method = "gate_norms" if kind == "lstm" else "delta_iss"
    bound = 1.0
    while (
        found := contraction(recurrent, method=method, inputs=Inputs.box(-bound, bound))
    ) is None:
        bound /= 2  # smaller inputs open the gates less
    return experiment(
        recurrent,
        bound * np.clip(_inputs(rng, T, m), -1.0, 1.0),
        contraction=found,
        k_max=min(T, 8),
        start=_within(rng, found.domain, recurrent.state_dim),
        other_start=_within(rng, found.domain, recurrent.state_dim),
    )


def lstm_row_sums(rng: np.random.Generator) -> Experiment:
    """Build a random LSTM in the maximum norm."""
    return _by_row_sums(rng, "lstm")


def gru_row_sums(rng: np.random.Generator) -> Experiment:
    """Build a random GRU in the maximum norm."""
    return _by_row_sums(rng, "gru")


def _one_unit(gates: int, **rows: tuple[float, float, float]) -> tuple[Array, Array, Array]:
    """Return W, U, b of one unit from (W, U, b) of some of its gates, zero for the others."""
    names = "ifgo" if gates == 4 else "rzn"
    table = np.zeros((gates, 3))
    for name, values in rows.items():
        table[names.index(name)] = values
    return table[:, :1], table[:, 1:2], table[:, 2]


def _certified_by(
    recurrent: Map, method: str, inputs: Array, start: Array, other: Array
) -> Experiment:
    bound = float(np.max(np.abs(inputs), initial=0.0))
    found = contraction(recurrent, method=method, inputs=Inputs.box(-bound, bound))
    if found is None:
        raise ValueError(f"{recurrent!r} was built to have a certificate by {method}")
    return experiment(recurrent, inputs, contraction=found, k_max=3, start=start, other_start=other)


def saturated(rng: np.random.Generator) -> Experiment:
    """Build a leaky unit that the first input saturates and the others do not."""
    cell = EchoStateNetwork([[float(rng.uniform(0.6, 0.9))]], [[1.0]], leak=0.5)
    x = np.array([[4.0], [0.0], [0.0]])
    return _certified_by(cell, "comparison", x, np.zeros(1), np.full(1, 0.5))


def forget_driven(rng: np.random.Generator) -> Experiment:
    """Build an LSTM unit whose inputs open the forget gate beyond where it is at rest."""
    cell = LSTM(*_one_unit(4, f=(0.0, float(rng.uniform(2.0, 4.0)), 0.0)))
    start = np.array([0.5, 0.0])
    return _certified_by(cell, "gate_norms", np.ones((3, 1)), start, -start)


def forget_turning(rng: np.random.Generator) -> Experiment:
    """Build an LSTM unit with a large cell state, whose forget gate depends on h."""
    cell = LSTM(*_one_unit(4, f=(float(rng.uniform(0.3, 0.4)), 0.0, 0.0)))
    start = np.array([1.9, 0.0])
    made = _certified_by(cell, "gate_norms", np.zeros((3, 1)), np.zeros(2), np.zeros(2))
    return replace(made, start=start, other_start=start + np.array([0.0, 0.5]))


def candidate_steep(rng: np.random.Generator) -> Experiment:
    """Build an LSTM unit with open input gate, whose candidate depends on h."""
    w = float(rng.uniform(0.25, 0.4))
    cell = LSTM(*_one_unit(4, i=(0.0, 0.0, 12.0), g=(w, 0.0, 0.0)))
    return _certified_by(cell, "gate_norms", np.zeros((3, 1)), np.zeros(2), np.array([0.5, 0.5]))


def _far(cell: Map, method: str, states: Array) -> Experiment:
    """Start outside the domain, where a gate that turns multiplies what is large."""
    zero = np.zeros(cell.state_dim)
    made = _certified_by(cell, method, np.zeros((3, 1)), zero, zero)
    return replace(made, start=states[0], other_start=states[1])


def lstm_far(rng: np.random.Generator) -> Experiment:
    """Build an LSTM unit far outside its domain, in the maximum norm."""
    cell = LSTM(*_one_unit(4, f=(float(rng.uniform(0.1, 0.3)), 0.0, 0.0)))
    return _far(cell, "gate_norms", np.array([[1000.0, 0.5], [1000.0, -0.5]]))


def lstm_far_weighted(rng: np.random.Generator) -> Experiment:
    """Build the same in a weighted maximum norm."""
    cell = LSTM(*_one_unit(4, f=(float(rng.uniform(0.1, 0.3)), 0.0, 0.0)))
    return _far(cell, "comparison", np.array([[1e9, 0.5], [1e9, -0.5]]))


def update_driven(rng: np.random.Generator) -> Experiment:
    """Build a GRU unit whose inputs open the update gate beyond where it is at rest."""
    cell = GRU(*_one_unit(3, z=(0.0, float(rng.uniform(2.0, 4.0)), 0.0)))
    return _certified_by(cell, "delta_iss", np.ones((3, 1)), np.full(1, 0.5), np.full(1, -0.5))


def update_turning(rng: np.random.Generator) -> Experiment:
    """Build a GRU unit whose state is far from its candidate and whose update gate depends on h."""
    w = float(rng.uniform(0.3, 0.4))
    cell = GRU(*_one_unit(3, z=(w, 0.0, 0.0), n=(0.0, 0.0, -3.0)))
    made = _certified_by(cell, "delta_iss", np.zeros((3, 1)), np.zeros(1), np.zeros(1))
    return replace(made, start=np.full(1, 0.9), other_start=np.full(1, 0.5))


def gru_far(rng: np.random.Generator) -> Experiment:
    """Build a GRU unit far outside its domain."""
    cell = GRU(*_one_unit(3, z=(float(rng.uniform(0.02, 0.03)), 0.0, 0.0)))
    return _far(cell, "delta_iss", np.array([[50.0], [49.0]]))


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


#: All recipes, with the share of a campaign's instances each one gets.
RECIPES: dict[str, tuple[Recipe, int]] = {
    "random": (random_map, 8),
    "random_start": (random_start, 4),
    "scalar": (scalar, 2),
    "scalar_start": (scalar_start, 1),
    "scalar_window": (scalar_window, 2),
    "rotation": (rotation, 1),
    "perron": (perron, 1),
    "signed_perron": (signed_perron, 2),
    "norm_witness_out": (norm_witness_out, 1),
    "norm_witness_in": (norm_witness_in, 1),
    "composition_witness_there": (composition_witness_there, 1),
    "composition_witness_back": (composition_witness_back, 1),
    "logistic": (logistic, 1),
    "steep": (steep, 1),
    "climb": (climb, 2),
    "false_factor": (false_factor, 1),
    "oblique": (oblique, 1),
    "incremental": (incremental, 1),
    "incremental_sharp": (incremental_sharp, 1),
    **LEARNING_RECIPES,
    "swap": (swap, 1),
    "swap_impulse": (swap_impulse, 1),
    "shear": (shear, 1),
    "products": (products, 1),
    "boxed": (boxed, 2),
    "gated": (gated, 4),
    "gated_stack": (gated_stack, 1),
    "lstm_row_sums": (lstm_row_sums, 1),
    "gru_row_sums": (gru_row_sums, 1),
    "saturated": (saturated, 1),
    "forget_driven": (forget_driven, 1),
    "forget_turning": (forget_turning, 1),
    "candidate_steep": (candidate_steep, 1),
    "lstm_far": (lstm_far, 1),
    "lstm_far_weighted": (lstm_far_weighted, 1),
    "update_driven": (update_driven, 1),
    "update_turning": (update_turning, 1),
    "gru_far": (gru_far, 1),
    "layers": (layers, 1),
    "layers_impulse": (layers_impulse, 1),
    "layers_restart": (layers_restart, 1),
}

#: One period of the schedule: instance i of a campaign uses recipe i modulo its length.  Recipes
#: are interleaved, every one of them once in the first len(RECIPES) instances.
SCHEDULE: tuple[str, ...] = tuple(
    name
    for round_ in range(max(share for _, share in RECIPES.values()))
    for name, (_, share) in RECIPES.items()
    if share > round_
)


def build(recipe: str, seed: int, index: int) -> Experiment:
    """Build one instance; the same arguments always give the same one."""
    rng = np.random.default_rng([seed, index, *recipe.encode()])
    made = RECIPES[recipe][0](rng)
    return _labelled(made, f"{recipe} #{index} (seed {seed})")


def _labelled(made: Experiment, label: str) -> Experiment:
    return replace(made, label=label)


def on_sequence(x: Array, seed: int, index: int, name: str) -> Experiment:
    """Build a random stable map that is driven by a given input sequence (T, m)."""
    rng = np.random.default_rng([seed, index, 1])
    n = int(rng.choice([4, 16, 48]))
    m = x.shape[1]
    norm = (L2(), Linf(), L2())[rng.integers(3)]
    lam = float(rng.choice([0.5, 0.9, 0.99]))
    rho = (TANH, TANH, RELU, SIGMOID)[rng.integers(4)]
    W = scaled_to(rng.standard_normal((n, n)), lam / rho.lipschitz, norm)
    recurrent = VanillaRNN(
        W, rng.standard_normal((n, m)) / np.sqrt(m), rng.standard_normal(n) * 0.1, rho
    )
    made = experiment(
        recurrent,
        x,
        contraction=certified(recurrent, norm),
        # the table of gaps has k_max T entries, and every theorem looks at all of them
        k_max=min(len(x), 48, max(8, 500_000 // max(len(x), 1))),
        other_start=rng.standard_normal(n),
        other_inputs=x[::-1],
        head=LinearHead(rng.standard_normal((3, n)) / np.sqrt(n)),
        other_norm=Linf(),
        training=training_setup(
            recurrent,
            rng.standard_normal((len(x), 3)),
            other=recurrent.with_parameters(W=W * (1 - 2.0**-10)),
            steps=2,
            alpha=1e-3,
        ),
    )
    return _labelled(made, f"{name}, map {index} (seed {seed})")
