r"""Recipes for the theorems about gradients and training.

Main name: `LEARNING_RECIPES`.

Some are random; the others are scalar systems on which the bounds are reached, or nearly.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from theory.arithmetic.activations import IDENTITY, SIGMOID, SIN, SOFTPLUS, TANH
from theory.certificates import Contraction
from theory.certify.interface import contraction
from theory.learning.constants.interface import map_constants
from theory.learning.losses import LOSSES, loss_constants
from theory.learning.setup import training_setup
from theory.maps.base import Map
from theory.maps.gru import GRU, VARIANTS
from theory.maps.head import LinearHead
from theory.maps.linear import LinearMap
from theory.maps.lstm import LSTM
from theory.maps.rnn import VanillaRNN
from theory.measure.experiment import Experiment, experiment
from theory.norms.norms import L2, Linf
from theory.typing import Array


def _certified(recurrent: Map) -> Contraction:
    found = contraction(recurrent, norm=L2())
    if found is None:
        raise ValueError(f"{recurrent!r} was built to contract, but has no certificate")
    return found


def _targets(rng: np.random.Generator, loss: str, T: int, p: int) -> Array:
    if loss == "cross_entropy":
        return rng.integers(0, p, T).astype(np.float64)
    if loss == "bernoulli":
        return (rng.random((T, p)) < 0.3).astype(np.float64)
    return rng.standard_normal((T, p))


def learning(rng: np.random.Generator) -> Experiment:
    """Build a small random smooth map with a random loss, and a second map near it."""
    n, m, p = int(rng.choice([1, 2, 3, 6])), int(rng.integers(1, 4)), int(rng.integers(1, 4))
    T, lam = int(rng.integers(2, 14)), float(rng.choice([0.1, 0.5, 0.9]))
    rho = (IDENTITY, TANH, TANH, SIGMOID, SOFTPLUS, SIN)[rng.integers(6)]
    W = rng.standard_normal((n, n))
    W *= lam / rho.lipschitz / L2().matrix_upper(W) * (1 - 2.0**-40)
    U, b = rng.standard_normal((n, m)), rng.standard_normal(n) * rng.choice([0.0, 0.5])
    recurrent = LinearMap(W, U, b) if rho is IDENTITY else VanillaRNN(W, U, b, rho)
    names = tuple(recurrent.parameters)
    trained = (names, names[:1], names[1:])[rng.integers(3)]
    scale = float(rng.choice([1e-6, 1e-2])) * (1 - lam)
    moved = {
        q: recurrent.parameters[q] + scale * rng.standard_normal(recurrent.parameters[q].shape)
        for q in trained
    }
    loss = tuple(LOSSES)[rng.integers(len(LOSSES))]
    x = rng.standard_normal((T, m))
    head = LinearHead(rng.standard_normal((p, n)), rng.standard_normal(p))
    targets = _targets(rng, loss, T, p)
    return experiment(
        recurrent,
        x,
        contraction=_certified(recurrent),
        k_max=T,
        head=head,
        training=training_setup(
            recurrent, targets, loss=loss, other=recurrent.with_parameters(**moved),
            trained=trained, steps=3, alpha=_gentle(recurrent, x, trained, loss, head, targets),
        ),
    )  # fmt: skip


def _gentle(
    recurrent: Map, x: Array, trained: tuple[str, ...], loss: str, head: LinearHead, targets: Array
) -> float:
    """Return a step size at which alpha beta is about 1 where the descent starts."""
    c = map_constants(recurrent, inputs=x, trained=trained)
    if c is None or not c.lam < 1:
        return 1e-3
    gains = loss_constants(LOSSES[loss], head.C, head.d, targets, L2(), c.state_bound)
    beta = c.smoothness(*gains)
    return 1.0 / beta if 0 < beta < np.inf else 0.1


def learning_gated(rng: np.random.Generator) -> Experiment:
    """Build a small LSTM or GRU that contracts in the maximum norm, by its jets."""
    n, m, p, T = int(rng.choice([1, 2, 3])), 2, 2, int(rng.integers(2, 10))
    kind = int(rng.integers(3))
    rows = 4 if kind == 0 else 3
    shapes = ((rows * n, n), (rows * n, m), rows * n)
    x = rng.uniform(-1, 1, (T, m))
    size = 0.4
    while True:
        W, U, b = (size / np.sqrt(n) * rng.standard_normal(s) for s in shapes)
        recurrent: Map = LSTM(W, U, b) if kind == 0 else GRU(W, U, b, variant=VARIANTS[kind - 1])
        other = recurrent.with_parameters(W=W * (1 - 2.0**-8))
        c = map_constants([recurrent, other], Linf(), inputs=x)
        if c is not None and c.lam < 0.99:
            break
        size *= 0.7  # a cell of vanishing weights contracts by about 1/2
    loss = ("squared", "bernoulli", "linear")[rng.integers(3)]
    head = LinearHead(rng.standard_normal((p, recurrent.state_dim)))
    targets = _targets(rng, loss, T, p)
    beta = c.smoothness(
        *loss_constants(LOSSES[loss], head.C, head.d, targets, Linf(), c.state_bound)
    )
    return experiment(
        recurrent,
        x,
        contraction=Contraction.assumed(c.lam, Linf()),
        k_max=T,
        head=head,
        training=training_setup(
            recurrent, targets, loss=loss, other=other, steps=2, alpha=1.0 / beta,
        ),
    )  # fmt: skip


def _scalar(
    a: float, *, T: int, trained: str, loss: str, target: float, change: float, steps: int,
    alpha: float, gain: float = 1.0,
) -> Experiment:  # fmt: skip
    """Build h <- a h + gain x + bias at x = 1 / gain, y = h, and one parameter that is trained."""
    recurrent = LinearMap([[a]], [[gain]], [0.0])
    other = recurrent.with_parameters(**{trained: recurrent.parameters[trained] - change})
    return experiment(
        recurrent,
        np.full((T, 1), 1.0 / gain),
        contraction=_certified(recurrent),
        k_max=8,
        head=LinearHead([[1.0]]),
        training=training_setup(
            recurrent, np.full((T, 1), target), loss=loss, other=other, trained=(trained,),
            steps=steps, alpha=alpha,
        ),
    )  # fmt: skip


def learning_bias(rng: np.random.Generator) -> Experiment:
    """Build a descent in the bias on a squared loss: gaps of both kinds, and one step, are sharp.

    alpha beta = 1/2 at the first step: beta = 1 / (1 - a)**2.
    """
    a = float(rng.choice([0.5, 0.75]))
    return _scalar(
        a, T=150, trained="b", loss="squared", target=-1.0, change=0.25, steps=3,
        alpha=0.5 * (1 - a) ** 2,
    )  # fmt: skip


def learning_drift(rng: np.random.Generator) -> Experiment:
    """Build a descent in the bias on a linear loss: predictions part as far as they can."""
    a = float(rng.choice([0.5, 0.75]))
    return _scalar(
        a, T=150, trained="b", loss="linear", target=-1.0, change=0.25, steps=2,
        alpha=2.0**-40, gain=2.0,
    )  # fmt: skip


def learning_weight(rng: np.random.Generator) -> Experiment:
    """Build a linear loss in the factor, whose derivatives are those of a / (1 - a)."""
    a = float(rng.choice([0.5, 0.75]))
    return _scalar(
        a, T=250, trained="W", loss="linear", target=1.0, change=2.0**-20, steps=1, alpha=2.0**-10
    )


def growth(rng: np.random.Generator) -> Experiment:
    """Build the unstable system h <- a h + 1 with the target 1; its contraction is a fiction."""
    recurrent = LinearMap([[float(rng.choice([1.1, 1.5, 2.0]))]], [[1.0]])
    T = int(rng.integers(2, 16))
    return experiment(
        recurrent,
        np.ones((T, 1)),
        contraction=Contraction.assumed(0.5),
        k_max=4,
        head=LinearHead([[1.0]]),
        training=training_setup(recurrent, np.ones((T, 1)), trained=("W",)),
    )


#: The recipes, with the share of a campaign's instances each one gets.
LEARNING_RECIPES: dict[str, tuple[Callable[[np.random.Generator], Experiment], int]] = {
    "learning": (learning, 4),
    "learning_gated": (learning_gated, 2),
    "learning_bias": (learning_bias, 1),
    "learning_drift": (learning_drift, 1),
    "learning_weight": (learning_weight, 1),
    "growth": (growth, 1),
}
