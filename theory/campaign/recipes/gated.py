"""Recipes of gated, leaky and stacked maps, on their boxes and far outside them.

Main names: `gated`, `gated_euclidean`, `leaky`, `gated_stack`, `lstm_row_sums`, `gru_row_sums`,
`saturated`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from theory.campaign.recipes.draws import draw_inputs, draw_norm
from theory.certificates import Contraction
from theory.certify.interface import contraction
from theory.certify.metric import by_metric
from theory.domain import Domain
from theory.inputs import Inputs
from theory.maps.base import Map
from theory.maps.cascade import Cascade
from theory.maps.esn import EchoStateNetwork
from theory.maps.gru import GRU
from theory.maps.head import LinearHead
from theory.maps.invariance import invariant_domain
from theory.maps.lstm import LSTM
from theory.maps.mingru import MinGRU
from theory.maps.selective import SelectiveSSM
from theory.measure.experiment import Experiment, experiment
from theory.norms.norms import WeightedL2
from theory.theorems.contractive_of_sectors import contractive_of_sectors
from theory.typing import Array


def _within(rng: np.random.Generator, domain: Domain | None, n: int) -> Array:
    """Return a state of a domain, often at a corner."""
    if domain is None:
        return rng.standard_normal(n)
    place = rng.random(n)
    place = np.where(rng.random(n) < 0.5, np.round(place), place)
    return domain.moved_inside(domain.low + (domain.high - domain.low) * place)


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


def gated_euclidean(rng: np.random.Generator) -> Experiment:
    """Build a random LSTM, GRU or leaky map on its box, in a weighted Euclidean norm."""
    return _on_its_domain(rng, int(rng.integers(4)), "euclidean")


def gated_metric(rng: np.random.Generator) -> Experiment:
    """Build a random gated or leaky map, in a Euclidean norm of a full matrix, the first tried."""
    return _on_its_domain(rng, int(rng.integers(4)), "metric", sizes=(1, 2), first=3)


def leaky(rng: np.random.Generator) -> Experiment:
    """Build a random network with one leaking rate, from what is known of it without leak."""
    n, m, T = int(rng.choice([1, 2, 5])), int(rng.integers(1, 3)), int(rng.integers(1, 30))
    W = rng.standard_normal((n, n))
    W *= rng.uniform(0.2, 0.95) / np.linalg.norm(W, 2)
    rho = ("tanh", "relu", "sigmoid")[rng.integers(3)]
    cell = EchoStateNetwork(
        W, rng.standard_normal((n, m)), leak=rng.uniform(0.1, 0.9), activation=rho
    )
    found = contraction(cell, method="leak", required=True)
    return experiment(
        cell,
        draw_inputs(rng, T, m),
        contraction=found,
        k_max=min(T + 2, 12),
        other_start=rng.standard_normal(n),
    )


def leaky_scalar(rng: np.random.Generator) -> Experiment:
    """Build h <- (1 - a) h + a r h, h >= 0, of a small leaking rate a: the bound is attained."""
    rate, leak = rng.uniform(0.3, 0.7), rng.uniform(0.1, 0.3)
    cell = EchoStateNetwork([[rate]], [[1.0]], leak=leak, activation="relu")
    found = contraction(cell, method="leak", required=True)
    return experiment(cell, np.zeros((3, 1)), contraction=found, k_max=3, other_start=np.ones(1))


def leaky_far(rng: np.random.Generator) -> Experiment:
    """Build a leaky unit whose slopes are small on its box, far outside it."""
    cell = EchoStateNetwork([[float(rng.uniform(1.05, 1.2))]], [[1.0]], [2.0], leak=0.5)
    made = _certified_by(cell, "leak", np.full((3, 1), 0.1), np.zeros(1), np.zeros(1))
    return replace(made, start=np.full(1, -2.0), other_start=np.full(1, -1.9))


def gated_stack(rng: np.random.Generator) -> Experiment:
    """Build a random GRU on top of a random LSTM."""
    return _on_its_domain(rng, 6)


def _on_its_domain(
    rng: np.random.Generator,
    kind: int,
    method: str = "comparison",
    sizes: tuple[int, ...] = (1, 2, 5, 12),
    first: int = 0,
) -> Experiment:
    n, m, T = int(rng.choice(sizes)), int(rng.integers(1, 4)), int(rng.integers(1, 40))
    state = rng.bit_generator.state
    for halvings in range(first, 40):
        # the same draws, with recurrent weights half the size: small ones have a certificate
        rng.bit_generator.state = state
        recurrent = _gated(rng, n, m, 2.0 ** (1 - halvings), kind)
        inputs = Inputs.box(-1.0, 1.0)
        if method == "metric":
            # without a search, of which a campaign has no time
            found = by_metric(recurrent, invariant_domain(recurrent, inputs=inputs), distances=())
        else:
            found = contraction(recurrent, method=method, inputs=inputs)
        if found is not None:
            break
    else:
        raise ValueError(f"{recurrent!r} has no certificate for small recurrent weights")
    size = recurrent.state_dim
    return experiment(
        recurrent,
        np.clip(draw_inputs(rng, T, m), -1.0, 1.0),
        contraction=found,
        k_max=min(T + 2, 12),
        other_start=_within(rng, found.domain, size),
        other_inputs=np.clip(draw_inputs(rng, T, m), -1.0, 1.0),
        head=LinearHead(rng.standard_normal((2, size))),
        other_norm=draw_norm(rng, size),
    )


def _by_row_sums(rng: np.random.Generator, kind: str) -> Experiment:
    """Build a random LSTM or GRU in the maximum norm, by row sums of its gates."""
    n, m, T = int(rng.choice([1, 2, 8])), int(rng.integers(1, 3)), int(rng.integers(2, 30))
    gates = 4 if kind == "lstm" else 3
    W = rng.standard_normal((gates * n, n)) * 0.1 / n
    U = rng.standard_normal((gates * n, m)) / m
    method = "gate_norms" if kind == "lstm" else "delta_iss"
    bound, found = 1.0, None
    while found is None:
        recurrent = LSTM(W, U) if kind == "lstm" else GRU(W, U)
        found = contraction(recurrent, method=method, inputs=Inputs.box(-bound, bound))
        if found is None:
            # smaller inputs open the gates less; some recurrent weights are too large by themselves
            bound, W = bound / 2, W / 2
    return experiment(
        recurrent,
        bound * np.clip(draw_inputs(rng, T, m), -1.0, 1.0),
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


def saturated(rng: np.random.Generator, method: str = "comparison") -> Experiment:
    """Build a leaky unit that the first input saturates and the others do not."""
    cell = EchoStateNetwork([[float(rng.uniform(0.6, 0.9))]], [[1.0]], leak=0.5)
    x = np.array([[4.0], [0.0], [0.0]])
    return _certified_by(cell, method, x, np.zeros(1), np.full(1, 0.5))


def saturated_euclidean(rng: np.random.Generator) -> Experiment:
    """Build the same in a weighted Euclidean norm."""
    return saturated(rng, "euclidean")


def saturated_metric(rng: np.random.Generator) -> Experiment:
    """Build the same by its sector, with the multiplier that makes the inequality sharp."""
    made = saturated(rng)
    cell, domain = made.map, made.contraction.domain
    sectors = cell.sectors(domain)
    assert isinstance(cell, EchoStateNetwork)
    assert sectors is not None
    # d+ = m d + r w, |w| <= |W d|, with F = m r (d - w / W)^2 at rate m + r |W|
    Z, W = sectors.forms.Z, float(cell.W[0, 0])
    m, r = Z[0, 0], Z[0, 1] * W
    rate = (m + r) * (1 + 2.0**-36)
    q = rate * r / W**2
    found = contractive_of_sectors(sectors, P=[[1.0]], q=[q], rate=rate, domain=domain)
    if found is None:
        raise ValueError("a leaky unit has the rate of its steepest slope")
    return replace(made, contraction=found)


def lstm_far_metric(rng: np.random.Generator) -> Experiment:
    """Build an LSTM unit far outside its domain, in a Euclidean norm of a full matrix."""
    cell = LSTM(*_one_unit(4, f=(float(rng.uniform(0.1, 0.3)), 0.0, 0.0)))
    return _far(cell, "metric", np.array([[1e3, 0.5], [1e3, -0.5]]))


def thin_metric(_rng: np.random.Generator) -> Experiment:
    """Assume a rate in a thin norm, which half of a turn by a right angle hardly shrinks."""
    cell = EchoStateNetwork([[0.0, -1.0], [1.0, 0.0]], np.eye(2), leak=0.99, activation="relu")
    thin = WeightedL2([[1.0, 0.95], [0.95, 1.0]])
    return experiment(cell, np.ones((4, 2)), contraction=Contraction.assumed(0.9, thin))


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


def lstm_far_euclidean(rng: np.random.Generator) -> Experiment:
    """Build the same in a weighted Euclidean norm."""
    cell = LSTM(*_one_unit(4, f=(float(rng.uniform(0.1, 0.3)), 0.0, 0.0)))
    return _far(cell, "euclidean", np.array([[1e9, 0.5], [1e9, -0.5]]))


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
