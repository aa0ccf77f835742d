"""Checks of sources: entropies of hidden Markov models, and how their filters forget."""

from __future__ import annotations

from itertools import pairwise, product
from typing import Any

import flint
import numpy as np
from check import Check
from definitions import balls
from exact import total
from tally import Ball, Tally, Vector

from theory.memory import attention_gap
from theory.norms import Linf
from theory.sources import (
    BeliefFilter,
    HiddenMarkovModel,
    divergence_of_distance,
    filter_contraction_of,
    information_values,
    total_variation_of_distance,
    total_variation_of_divergence,
)
from theory.typing import Array

Draw = np.random.Generator
ZERO = flint.arb(0)


def _model(rng: Draw, *, positive: bool = False) -> HiddenMarkovModel:
    """Return a model with entries of any size, and zeros unless it is to be positive."""
    n, d = int(rng.integers(2, 4)), int(rng.integers(2, 4))
    while True:
        A, E = (
            10.0 ** -rng.uniform(0, rng.choice([0.5, 6.0]), shape) for shape in ((n, n), (n, d))
        )
        if not positive and rng.random() < 0.5:
            A, E = (M * (rng.random(M.shape) < 0.7) for M in (A, E))
        if np.all(A.sum(axis=1) > 0) and np.all(E.sum(axis=1) > 0):
            try:
                return HiddenMarkovModel(*(M / M.sum(axis=1, keepdims=True) for M in (A, E)))
            except ValueError:  # reducible
                continue


def _rows(M: Array) -> list[Vector]:
    """Return the rows divided by their exact sums."""
    rows = [balls(row) for row in M]
    return [[a / total(row) for a in row] for row in rows]


def _stationary(A: list[Vector]) -> Vector:
    n = len(A)
    system = [[A[i][j] - (1 if i == j else 0) for i in range(n)] for j in range(n - 1)]
    system.append([flint.arb(1)] * n)
    right = flint.arb_mat([[0]] * (n - 1) + [[1]])
    return [flint.arb_mat(system).solve(right)[i, 0] for i in range(n)]


def _block(start: Vector, A: list[Vector], E: list[Vector], length: int) -> Ball:
    """Return the entropy of the first symbols, by all words."""
    n, d, H = len(A), len(E[0]), ZERO
    for word in product(range(d), repeat=length):
        alpha = start
        for symbol in word:
            seen = [a * E[i][symbol] for i, a in enumerate(alpha)]
            alpha = [total(seen[i] * A[i][j] for i in range(n)) for j in range(n)]
        p = total(alpha)
        if p > 0:
            H -= p * p.log()
    return H


def entropies(rng: Draw, tally: Tally) -> None:
    """Entropies of symbols, and the part of the information that words show."""
    model = _model(rng)
    L = int(rng.integers(0, 4))
    values = information_values(model, longest=L)
    A, E = _rows(model.A), _rows(model.E)
    start = _stationary(A)
    H = [_block(start, A, E, length) for length in range(L + 3)]
    h = [b - a for a, b in pairwise(H)]
    tally.between("entropies", values.entropies[0], h[:-1], values.entropies[1], model=model.A)
    # the rate is below every h_l, and above what is left if the first state is known
    known = [
        total(p * _block([flint.arb(int(i == j)) for j in range(len(A))], A, E, length)
              for i, p in enumerate(start))
        for length in (L + 1, L + 2)
    ]  # fmt: skip
    tally.at_most("rate", [known[1] - known[0]], values.rate[1], model=model.A)
    tally.at_least("rate", [h[-1]], values.rate[0], model=model.A)
    # I is at least the information of L + 1 symbols with one more, and of more with more
    tally.at_most("information", [2 * H[1] - H[2]], values.information[1], model=model.A)
    tally.at_most("excess", [a - h[-1] for a in h[:-1]], values.excess[1], model=model.A)
    least = [a - (known[1] - known[0]) for a in h[:-1]]
    tally.at_least("excess", least, values.excess[0], model=model.A)


def _step(model: HiddenMarkovModel, b: Vector, symbol: int) -> Vector:
    A, E = _rows(model.A), _rows(model.E)
    seen = [a * E[i][symbol] for i, a in enumerate(b)]
    return [total(seen[i] * A[i][j] for i in range(len(A))) for j in range(len(A))]


def _distance(b: Vector, g: Vector) -> Ball:
    r = [(x / y).log() for x, y in zip(b, g, strict=True)]
    high, low = r[0], r[0]
    for one in r[1:]:
        high, low = high.max(one), low.min(one)
    return high - low


def forgetting(rng: Draw, tally: Tally) -> None:
    """One step of a filter: Hilbert's distance, the comparison matrix, and the computed step."""
    model = _model(rng, positive=True)
    n = model.states
    recurrent: Any = BeliefFilter(model)
    odds = rng.standard_normal((2, n - 1)) * 10.0 ** rng.uniform(-3, 1.5)
    symbol = int(rng.integers(model.symbols))
    start = _stationary(_rows(model.A))
    beliefs = []
    for h in odds:
        weights = [x.exp() for x in balls(np.append(h, 0.0))]
        beliefs.append([w * p for w, p in zip(weights, start, strict=True)])
    moved = [_step(model, b, symbol) for b in beliefs]
    before, after = _distance(*beliefs), _distance(*moved)
    # 300 bits show no difference where beliefs agree to more
    tally.at_most("birkhoff", [after / before], model.birkhoff, A=model.A, odds=odds)
    tally.at_most("diameter", [after], model.diameter, A=model.A, odds=odds)
    x = np.eye(model.symbols)[symbol]
    exact = [[(b[j] / b[-1] / (start[j] / start[-1])).log() for j in range(n - 1)] for b in moved]
    apart = [abs(a - b) for a, b in zip(*exact, strict=True)]
    (M,) = recurrent.comparison()
    size = np.abs(odds[0] - odds[1])
    room = np.nextafter(M @ size * (1 + 2.0**-48), np.inf)
    tally.at_most("BeliefFilter.comparison", apart, room, A=model.A, odds=odds)
    error = recurrent.step_error(np.abs(odds).max(axis=0), x)
    for h, numbers in zip(odds, exact, strict=True):
        computed = balls(recurrent.step(h, x))
        off = [abs(a - b) for a, b in zip(computed, numbers, strict=True)]
        tally.at_most("BeliefFilter.step_error", off, error, A=model.A, odds=odds)
    found = filter_contraction_of(recurrent)
    if found is not None:
        for _ in range(found.iterate - 1):
            moved = [_step(model, b, symbol) for b in moved]
        ends = [[(b[j] / b[-1]).log() for j in range(n - 1)] for b in moved]
        first = [[(b[j] / b[-1]).log() for j in range(n - 1)] for b in beliefs]
        gap, was = (
            _largest([abs(a - b) for a, b in zip(*pair, strict=True)]) for pair in (ends, first)
        )
        tally.at_most("filter_contraction_of", [gap / was], found.lam, A=model.A, odds=odds)
        tally.true("filter_contraction_of", isinstance(found.norm, Linf))
    # a distance bounds total variation and divergence of the beliefs themselves
    p, q = ([a / total(b) for a in b] for b in beliefs)
    upper = float(before.upper()) * (1 + 2.0**-50)
    apart_by = total(abs(a - b) for a, b in zip(p, q, strict=True)) / 2
    divergence = total(a * (a / b).log() for a, b in zip(p, q, strict=True))
    tally.at_most("total_variation", [apart_by], total_variation_of_distance(upper), odds=odds)
    tally.at_most("divergence", [divergence], divergence_of_distance(upper), odds=odds)
    most = float(divergence.upper()) * (1 + 2.0**-50)
    tally.at_most("Pinsker", [apart_by], total_variation_of_divergence(max(most, 0.0)), odds=odds)


def _largest(numbers: Vector) -> Ball:
    found = numbers[0]
    for one in numbers[1:]:
        found = found.max(one)
    return found


def attention(rng: Draw, tally: Tally) -> None:
    """Attention with a linear bias over a finite past, the scores at their worst or anywhere."""
    slope, S = 10.0 ** rng.uniform(-2, 1), float(rng.choice([0.0, rng.uniform(0, 5)]))
    V, k, T = 10.0 ** rng.uniform(-3, 3), int(rng.integers(0, 12)), int(rng.integers(12, 60))
    lags = np.arange(T)
    worst = rng.random() < 0.5
    scores = np.where(lags < k, -S, S) if worst else rng.uniform(-S, S, T)
    values = np.where(lags < k, V, -V) if worst else rng.uniform(-V, V, T)
    a = flint.arb(float(slope))
    weights = [(s - a * int(j)).exp() for j, s in zip(lags, balls(scores), strict=True)]
    outs = []
    for last in (T, k):
        if last:
            up = total(w * v for w, v in zip(weights[:last], balls(values[:last]), strict=True))
            outs.append(up / total(weights[:last]))
    gap = abs(outs[0] - outs[1]) if k else 2 * flint.arb(float(V))
    bound = attention_gap(slope=slope, score_bound=S, value_bound=V, k=k)
    tally.at_most("attention_gap", [gap], bound, slope=slope, S=S, V=V, k=k)


CHECKS = (
    Check(run=attention, covers=(attention_gap,)),
    Check(run=entropies, covers=(information_values,), weight=0.3),
    Check(
        run=forgetting,
        covers=(
            filter_contraction_of, total_variation_of_distance, divergence_of_distance,
            total_variation_of_divergence, BeliefFilter.comparison,
        ),
    ),
)  # fmt: skip
