"""Recipes of forward filters: random hidden Markov models, and the witnesses of their theorems.

Main names: `hidden_markov`, `hidden_markov_far`, `register_bits`.
"""

from __future__ import annotations

import numpy as np

from theory.certificates import Contraction
from theory.measure.experiment import Experiment, experiment
from theory.norms.norms import Linf
from theory.sources.belief import BeliefFilter, filter_contraction_of
from theory.sources.hidden_markov import HiddenMarkovModel
from theory.sources.markov import register
from theory.typing import Array

#: Log-odds that are as good as certainty: exp(-40) is below 2**-57.
_CERTAIN = 40.0

#: A chance of a wrong symbol that leaves a deterministic register one, to 12 digits.
_RARE = 2.0**-48


def _experiment(
    recurrent: BeliefFilter, rng: np.random.Generator, start: Array, other: Array
) -> Experiment:
    T = int(rng.integers(2, 9))
    symbols = recurrent.model.sample(T, rng=rng)[0]
    found = filter_contraction_of(recurrent)
    return experiment(
        recurrent,
        np.eye(recurrent.input_dim)[symbols],
        contraction=Contraction.assumed(0.5, Linf()) if found is None else found,
        k_max=T,
        start=start,
        other_start=other,
    )


def hidden_markov(rng: np.random.Generator) -> Experiment:
    """Return the filter of a random positive model, from two random beliefs."""
    n, d = int(rng.integers(2, 5)), int(rng.integers(2, 4))
    A = rng.uniform(0.1, 1.0, (n, n)) + rng.integers(0, 4) * np.eye(n)
    E = rng.uniform(0.1, 1.0, (n, d))
    A, E = (M / M.sum(axis=1, keepdims=True) for M in (A, E))
    starts = rng.standard_normal((2, n - 1)) * 3
    return _experiment(BeliefFilter(HiddenMarkovModel(A, E)), rng, *starts)


def hidden_markov_far(rng: np.random.Generator) -> Experiment:
    """Return the filter of a quickly mixing chain, from certainty in one state and in the other."""
    a = float(rng.uniform(0.55, 0.6))
    e = float(rng.uniform(0.5, 0.52))
    model = HiddenMarkovModel([[a, 1 - a], [1 - a, a]], [[e, 1 - e], [1 - e, e]])
    start = np.full(1, _CERTAIN)
    return _experiment(BeliefFilter(model), rng, start, -start)


def register_bits(rng: np.random.Generator) -> Experiment:
    """Return the filter of a circular register that hardly ever shows a wrong bit."""
    recurrent = BeliefFilter(register(int(rng.integers(2, 5)), noise=_RARE))
    zero = np.zeros(recurrent.state_dim)
    return _experiment(recurrent, rng, zero, zero + 1)
