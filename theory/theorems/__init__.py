"""The theorems: a file holds one, with its formula and its typed function.

A theorem has two names here: in small letters the function that takes a `Contraction` and numbers
to a number, as `state_gap`; in capitals the `Theorem` itself, as `STATE_GAP`, with its statement,
its `Assumption` values, its `Kind` (upper, lower or sharp) and its formula, which also accepts
fractions, arrays and symbols.  `THEOREMS` lists them in this order:

Criteria, from weights to a contraction, or None:
    contractive_of_matrix_norm, contractive_of_perron_weights, contractive_of_comparison,
    contractive_of_multipliers (of `Terms`, a coefficient times a `Signal` each),
    contractive_of_sectors (of `Sectors`, a `Sector` for each term and its sign),
    contractive_of_gate_norms, contractive_of_gru_norms, contractive_of_incremental_lmi,
    contractive_of_leak, contractive_of_composition, contractive_of_layers, contractive_of_iterate

Sizes and sensitivities:
    drive, hidden_state, initial_state, input_sequence

What k steps lose, and which k is enough:
    state_gap_observed, state_gap, state_gap_finite, state_gap_any_start, state_gap_iterate,
    state_gap_blocks, output_gap, deployed_error (in arithmetic that rounds), cascade_gap,
    context_length, window_error (the converse), norm_change

Prediction of symbols:
    short_memory, filter_contraction

Projections:
    nearest_point_gap, nearest_point_distance, nearest_pair_distance

Gradients and training:
    parameter_gap, truncated_backprop_bias, vanishing_gradient, gradient_gap_finite, gradient_gap,
    loss_smoothness, weight_gap, prediction_gap, training_context

Without contraction:
    gradient_growth, curvature_growth
"""

from theory.theorems.cascade_gap import CASCADE_GAP, cascade_gap
from theory.theorems.context_length import CONTEXT_LENGTH, context_length
from theory.theorems.contractive_of_comparison import (
    CONTRACTIVE_OF_COMPARISON,
    contractive_of_comparison,
)
from theory.theorems.contractive_of_composition import (
    CONTRACTIVE_OF_COMPOSITION,
    contractive_of_composition,
)
from theory.theorems.contractive_of_gate_norms import (
    CONTRACTIVE_OF_GATE_NORMS,
    contractive_of_gate_norms,
)
from theory.theorems.contractive_of_gru_norms import (
    CONTRACTIVE_OF_GRU_NORMS,
    contractive_of_gru_norms,
)
from theory.theorems.contractive_of_incremental_lmi import (
    CONTRACTIVE_OF_INCREMENTAL_LMI,
    contractive_of_incremental_lmi,
)
from theory.theorems.contractive_of_iterate import CONTRACTIVE_OF_ITERATE, contractive_of_iterate
from theory.theorems.contractive_of_layers import CONTRACTIVE_OF_LAYERS, contractive_of_layers
from theory.theorems.contractive_of_leak import CONTRACTIVE_OF_LEAK, contractive_of_leak
from theory.theorems.contractive_of_matrix_norm import (
    CONTRACTIVE_OF_MATRIX_NORM,
    contractive_of_matrix_norm,
)
from theory.theorems.contractive_of_multipliers import (
    CONTRACTIVE_OF_MULTIPLIERS,
    contractive_of_multipliers,
)
from theory.theorems.contractive_of_perron_weights import (
    CONTRACTIVE_OF_PERRON_WEIGHTS,
    contractive_of_perron_weights,
)
from theory.theorems.contractive_of_sectors import CONTRACTIVE_OF_SECTORS, contractive_of_sectors
from theory.theorems.curvature_growth import CURVATURE_GROWTH, curvature_growth
from theory.theorems.deployed_error import DEPLOYED_ERROR, deployed_error
from theory.theorems.drive import DRIVE, drive
from theory.theorems.filter_contraction import FILTER_CONTRACTION, filter_contraction
from theory.theorems.gradient_gap import GRADIENT_GAP, gradient_gap
from theory.theorems.gradient_gap_finite import GRADIENT_GAP_FINITE, gradient_gap_finite
from theory.theorems.gradient_growth import GRADIENT_GROWTH, gradient_growth
from theory.theorems.hidden_state import HIDDEN_STATE, hidden_state
from theory.theorems.initial_state import INITIAL_STATE, initial_state
from theory.theorems.input_sequence import INPUT_SEQUENCE, input_sequence
from theory.theorems.loss_smoothness import LOSS_SMOOTHNESS, loss_smoothness
from theory.theorems.nearest_pair_distance import NEAREST_PAIR_DISTANCE, nearest_pair_distance
from theory.theorems.nearest_point_distance import NEAREST_POINT_DISTANCE, nearest_point_distance
from theory.theorems.nearest_point_gap import NEAREST_POINT_GAP, nearest_point_gap
from theory.theorems.norm_change import NORM_CHANGE, norm_change
from theory.theorems.output_gap import OUTPUT_GAP, output_gap
from theory.theorems.parameter_gap import PARAMETER_GAP, parameter_gap
from theory.theorems.prediction_gap import PREDICTION_GAP, prediction_gap
from theory.theorems.sectors import Sector, Sectors
from theory.theorems.short_memory import SHORT_MEMORY, short_memory
from theory.theorems.state_gap import STATE_GAP, state_gap
from theory.theorems.state_gap_any_start import STATE_GAP_ANY_START, state_gap_any_start
from theory.theorems.state_gap_blocks import STATE_GAP_BLOCKS, state_gap_blocks
from theory.theorems.state_gap_finite import STATE_GAP_FINITE, state_gap_finite
from theory.theorems.state_gap_iterate import STATE_GAP_ITERATE, state_gap_iterate
from theory.theorems.state_gap_observed import STATE_GAP_OBSERVED, state_gap_observed
from theory.theorems.terms import Signal, Terms
from theory.theorems.theorem import Assumption, Kind, Theorem
from theory.theorems.training_context import TRAINING_CONTEXT, training_context
from theory.theorems.truncated_backprop_bias import TRUNCATED_BACKPROP_BIAS, truncated_backprop_bias
from theory.theorems.vanishing_gradient import VANISHING_GRADIENT, vanishing_gradient
from theory.theorems.weight_gap import WEIGHT_GAP, weight_gap
from theory.theorems.window_error import WINDOW_ERROR, window_error

#: All theorems, in reading order: criteria, sizes, sensitivities, gaps, context, converse, norms,
#: symbols, projections, then gradients, training, and the unstable regime.
THEOREMS: tuple[Theorem, ...] = (
    CONTRACTIVE_OF_MATRIX_NORM,
    CONTRACTIVE_OF_PERRON_WEIGHTS,
    CONTRACTIVE_OF_COMPARISON,
    CONTRACTIVE_OF_MULTIPLIERS,
    CONTRACTIVE_OF_LEAK,
    CONTRACTIVE_OF_GATE_NORMS,
    CONTRACTIVE_OF_GRU_NORMS,
    CONTRACTIVE_OF_INCREMENTAL_LMI,
    CONTRACTIVE_OF_SECTORS,
    CONTRACTIVE_OF_COMPOSITION,
    CONTRACTIVE_OF_LAYERS,
    CONTRACTIVE_OF_ITERATE,
    DRIVE,
    HIDDEN_STATE,
    INITIAL_STATE,
    INPUT_SEQUENCE,
    STATE_GAP_OBSERVED,
    STATE_GAP,
    STATE_GAP_FINITE,
    STATE_GAP_ANY_START,
    STATE_GAP_ITERATE,
    STATE_GAP_BLOCKS,
    OUTPUT_GAP,
    DEPLOYED_ERROR,
    CASCADE_GAP,
    CONTEXT_LENGTH,
    WINDOW_ERROR,
    NORM_CHANGE,
    SHORT_MEMORY,
    FILTER_CONTRACTION,
    NEAREST_POINT_GAP,
    NEAREST_POINT_DISTANCE,
    NEAREST_PAIR_DISTANCE,
    PARAMETER_GAP,
    TRUNCATED_BACKPROP_BIAS,
    VANISHING_GRADIENT,
    GRADIENT_GAP_FINITE,
    GRADIENT_GAP,
    LOSS_SMOOTHNESS,
    WEIGHT_GAP,
    PREDICTION_GAP,
    TRAINING_CONTEXT,
    GRADIENT_GROWTH,
    CURVATURE_GROWTH,
)

__all__ = [
    "CASCADE_GAP",
    "CONTEXT_LENGTH",
    "CONTRACTIVE_OF_COMPARISON",
    "CONTRACTIVE_OF_COMPOSITION",
    "CONTRACTIVE_OF_GATE_NORMS",
    "CONTRACTIVE_OF_GRU_NORMS",
    "CONTRACTIVE_OF_INCREMENTAL_LMI",
    "CONTRACTIVE_OF_ITERATE",
    "CONTRACTIVE_OF_LAYERS",
    "CONTRACTIVE_OF_LEAK",
    "CONTRACTIVE_OF_MATRIX_NORM",
    "CONTRACTIVE_OF_MULTIPLIERS",
    "CONTRACTIVE_OF_PERRON_WEIGHTS",
    "CONTRACTIVE_OF_SECTORS",
    "CURVATURE_GROWTH",
    "DEPLOYED_ERROR",
    "DRIVE",
    "FILTER_CONTRACTION",
    "GRADIENT_GAP",
    "GRADIENT_GAP_FINITE",
    "GRADIENT_GROWTH",
    "HIDDEN_STATE",
    "INITIAL_STATE",
    "INPUT_SEQUENCE",
    "LOSS_SMOOTHNESS",
    "NEAREST_PAIR_DISTANCE",
    "NEAREST_POINT_DISTANCE",
    "NEAREST_POINT_GAP",
    "NORM_CHANGE",
    "OUTPUT_GAP",
    "PARAMETER_GAP",
    "PREDICTION_GAP",
    "SHORT_MEMORY",
    "STATE_GAP",
    "STATE_GAP_ANY_START",
    "STATE_GAP_BLOCKS",
    "STATE_GAP_FINITE",
    "STATE_GAP_ITERATE",
    "STATE_GAP_OBSERVED",
    "THEOREMS",
    "TRAINING_CONTEXT",
    "TRUNCATED_BACKPROP_BIAS",
    "VANISHING_GRADIENT",
    "WEIGHT_GAP",
    "WINDOW_ERROR",
    "Assumption",
    "Kind",
    "Sector",
    "Sectors",
    "Signal",
    "Terms",
    "Theorem",
    "cascade_gap",
    "context_length",
    "contractive_of_comparison",
    "contractive_of_composition",
    "contractive_of_gate_norms",
    "contractive_of_gru_norms",
    "contractive_of_incremental_lmi",
    "contractive_of_iterate",
    "contractive_of_layers",
    "contractive_of_leak",
    "contractive_of_matrix_norm",
    "contractive_of_multipliers",
    "contractive_of_perron_weights",
    "contractive_of_sectors",
    "curvature_growth",
    "deployed_error",
    "drive",
    "filter_contraction",
    "gradient_gap",
    "gradient_gap_finite",
    "gradient_growth",
    "hidden_state",
    "initial_state",
    "input_sequence",
    "loss_smoothness",
    "nearest_pair_distance",
    "nearest_point_distance",
    "nearest_point_gap",
    "norm_change",
    "output_gap",
    "parameter_gap",
    "prediction_gap",
    "short_memory",
    "state_gap",
    "state_gap_any_start",
    "state_gap_blocks",
    "state_gap_finite",
    "state_gap_iterate",
    "state_gap_observed",
    "training_context",
    "truncated_backprop_bias",
    "vanishing_gradient",
    "weight_gap",
    "window_error",
]
