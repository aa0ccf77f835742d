"""The table of recipes: from a generator of random numbers to an experiment.

Main names: `RECIPES`, `build`, `on_sequence`.

A recipe *builds* an instance that satisfies what it promises; nothing is filtered.  Some are
random, some are the sharp witnesses of the theorems, some search for the worst inputs, and some
break one assumption on purpose, for the near misses that drop it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from theory.arithmetic.activations import RELU, SIGMOID, TANH
from theory.campaign.recipes.affine import (
    composition_witness_back,
    composition_witness_there,
    logistic,
    norm_witness_in,
    norm_witness_out,
    perron,
    random_map,
    random_start,
    rotation,
    scalar,
    scalar_start,
    scalar_window,
    signed_perron,
    steep,
)
from theory.campaign.recipes.climb import climb
from theory.campaign.recipes.draws import Recipe, certified, scaled_to
from theory.campaign.recipes.gated import (
    candidate_steep,
    forget_driven,
    forget_turning,
    gated,
    gated_euclidean,
    gated_metric,
    gated_stack,
    gru_far,
    gru_row_sums,
    leaky,
    leaky_far,
    leaky_scalar,
    lstm_far,
    lstm_far_euclidean,
    lstm_far_metric,
    lstm_far_weighted,
    lstm_row_sums,
    saturated,
    saturated_euclidean,
    saturated_metric,
    thin_metric,
    update_driven,
    update_turning,
)
from theory.campaign.recipes.layers import (
    layers,
    layers_impulse,
    layers_restart,
    stack,
    stack_far,
    stack_sharp,
)
from theory.campaign.recipes.learning import LEARNING_RECIPES
from theory.campaign.recipes.metrics import (
    boxed,
    false_factor,
    incremental,
    incremental_sharp,
    oblique,
    products,
    shear,
    swap,
    swap_impulse,
)
from theory.campaign.recipes.sources import hidden_markov, hidden_markov_far, register_bits
from theory.learning.setup import training_setup
from theory.maps.head import LinearHead
from theory.maps.rnn import VanillaRNN
from theory.measure.experiment import Experiment, experiment
from theory.norms.norms import L2, Linf
from theory.typing import Array

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
    "gated_euclidean": (gated_euclidean, 2),
    "gated_metric": (gated_metric, 1),
    "leaky": (leaky, 1),
    "leaky_far": (leaky_far, 1),
    "leaky_scalar": (leaky_scalar, 1),
    "gated_stack": (gated_stack, 1),
    "lstm_row_sums": (lstm_row_sums, 1),
    "gru_row_sums": (gru_row_sums, 1),
    "saturated": (saturated, 1),
    "saturated_euclidean": (saturated_euclidean, 1),
    "saturated_metric": (saturated_metric, 1),
    "forget_driven": (forget_driven, 1),
    "forget_turning": (forget_turning, 1),
    "candidate_steep": (candidate_steep, 1),
    "lstm_far": (lstm_far, 1),
    "lstm_far_weighted": (lstm_far_weighted, 1),
    "lstm_far_metric": (lstm_far_metric, 1),
    "thin_metric": (thin_metric, 1),
    "lstm_far_euclidean": (lstm_far_euclidean, 1),
    "update_driven": (update_driven, 1),
    "update_turning": (update_turning, 1),
    "gru_far": (gru_far, 1),
    "layers": (layers, 1),
    "layers_impulse": (layers_impulse, 1),
    "layers_restart": (layers_restart, 1),
    "stack": (stack, 1),
    "stack_sharp": (stack_sharp, 1),
    "stack_far": (stack_far, 1),
    "hidden_markov": (hidden_markov, 1),
    "hidden_markov_far": (hidden_markov_far, 1),
    "register_bits": (register_bits, 1),
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
