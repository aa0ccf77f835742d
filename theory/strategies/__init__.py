r"""Hypothesis strategies for the suites of users; loaded only when asked for.

Instances are *built* to satisfy what is promised, by scaling to the target norm; nothing is
filtered.  The ends of every range are likely (lam = 0 and lam = 0.9999, one state, no inputs), and
a failing example shrinks to what a person would draw: few states, the identity as activation, the
Euclidean norm, lam = 1/2, a multiple of the identity as matrix, inputs of zeros and ones.

    certified_maps          a map and its certificate; `stable_maps` the map alone
    any_maps                any map, stable or not; of one kind: `lstm_maps`, `gru_maps`,
                            `peephole_maps`, `slstm_maps`, `hard_gru_maps`, `esn_maps`,
                            `diagonal_maps`, `recurrence_maps`, `memory_maps`, `block_maps`,
                            `cascade_maps`
    input_sequences         inputs; `states` a state
    matrices_with_norm      matrices of a given norm
    factors, norms, activations
    experiments             what a theorem is tried on; `learning_experiments` with training

An argument may be a value, a strategy for such values, or None for the strategy named in its
description.

Examples
--------
A test of the user's own function on every certified map:

>>> from hypothesis import given, settings
>>> from theory import truncation_gaps
>>> @settings(deadline=None)  # the first call compiles
... @given(certified_maps())
... def test_no_gap_once_every_input_is_seen(pair):
...     recurrent, certificate = pair
...     inputs = [[1.0] * recurrent.input_dim] * 3
...     assert truncation_gaps(recurrent, inputs, k_max=3, norm=certificate.norm)[3] == 0
>>> test_no_gap_once_every_input_is_seen()
"""

from theory.strategies.experiments import experiments, learning_experiments
from theory.strategies.maps import (
    any_maps,
    block_maps,
    cascade_maps,
    certified_maps,
    diagonal_maps,
    esn_maps,
    gru_maps,
    hard_gru_maps,
    lstm_maps,
    memory_maps,
    peephole_maps,
    recurrence_maps,
    slstm_maps,
    stable_maps,
)
from theory.strategies.numbers import (
    activations,
    factors,
    input_sequences,
    matrices_with_norm,
    norms,
    states,
)

__all__ = [
    "activations",
    "any_maps",
    "block_maps",
    "cascade_maps",
    "certified_maps",
    "diagonal_maps",
    "esn_maps",
    "experiments",
    "factors",
    "gru_maps",
    "hard_gru_maps",
    "input_sequences",
    "learning_experiments",
    "lstm_maps",
    "matrices_with_norm",
    "memory_maps",
    "norms",
    "peephole_maps",
    "recurrence_maps",
    "slstm_maps",
    "stable_maps",
    "states",
]
