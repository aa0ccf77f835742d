"""The table of trials, one for each theorem.

Main names: `TRIALS`, `trial_of`.
"""

from __future__ import annotations

from theory.theorems.theorem import Theorem
from theory.trials.cascade_gap import TRIAL as CASCADE_GAP
from theory.trials.context_length import TRIAL as CONTEXT_LENGTH
from theory.trials.contractive_of_comparison import TRIAL as CONTRACTIVE_OF_COMPARISON
from theory.trials.contractive_of_composition import TRIAL as CONTRACTIVE_OF_COMPOSITION
from theory.trials.contractive_of_gate_norms import TRIAL as CONTRACTIVE_OF_GATE_NORMS
from theory.trials.contractive_of_gru_norms import TRIAL as CONTRACTIVE_OF_GRU_NORMS
from theory.trials.contractive_of_incremental_lmi import TRIAL as CONTRACTIVE_OF_INCREMENTAL_LMI
from theory.trials.contractive_of_iterate import TRIAL as CONTRACTIVE_OF_ITERATE
from theory.trials.contractive_of_layers import TRIAL as CONTRACTIVE_OF_LAYERS
from theory.trials.contractive_of_leak import TRIAL as CONTRACTIVE_OF_LEAK
from theory.trials.contractive_of_matrix_norm import TRIAL as CONTRACTIVE_OF_MATRIX_NORM
from theory.trials.contractive_of_multipliers import TRIAL as CONTRACTIVE_OF_MULTIPLIERS
from theory.trials.contractive_of_perron_weights import TRIAL as CONTRACTIVE_OF_PERRON_WEIGHTS
from theory.trials.contractive_of_sectors import TRIAL as CONTRACTIVE_OF_SECTORS
from theory.trials.curvature_growth import TRIAL as CURVATURE_GROWTH
from theory.trials.deployed_error import TRIAL as DEPLOYED_ERROR
from theory.trials.drive import TRIAL as DRIVE
from theory.trials.filter_contraction import TRIAL as FILTER_CONTRACTION
from theory.trials.gradient_gap import TRIAL as GRADIENT_GAP
from theory.trials.gradient_gap_finite import TRIAL as GRADIENT_GAP_FINITE
from theory.trials.gradient_growth import TRIAL as GRADIENT_GROWTH
from theory.trials.hidden_state import TRIAL as HIDDEN_STATE
from theory.trials.initial_state import TRIAL as INITIAL_STATE
from theory.trials.input_sequence import TRIAL as INPUT_SEQUENCE
from theory.trials.loss_smoothness import TRIAL as LOSS_SMOOTHNESS
from theory.trials.nearest_pair_distance import TRIAL as NEAREST_PAIR_DISTANCE
from theory.trials.nearest_point_distance import TRIAL as NEAREST_POINT_DISTANCE
from theory.trials.nearest_point_gap import TRIAL as NEAREST_POINT_GAP
from theory.trials.norm_change import TRIAL as NORM_CHANGE
from theory.trials.output_gap import TRIAL as OUTPUT_GAP
from theory.trials.parameter_gap import TRIAL as PARAMETER_GAP
from theory.trials.prediction_gap import TRIAL as PREDICTION_GAP
from theory.trials.short_memory import TRIAL as SHORT_MEMORY
from theory.trials.state_gap import TRIAL as STATE_GAP
from theory.trials.state_gap_any_start import TRIAL as STATE_GAP_ANY_START
from theory.trials.state_gap_blocks import TRIAL as STATE_GAP_BLOCKS
from theory.trials.state_gap_finite import TRIAL as STATE_GAP_FINITE
from theory.trials.state_gap_iterate import TRIAL as STATE_GAP_ITERATE
from theory.trials.state_gap_observed import TRIAL as STATE_GAP_OBSERVED
from theory.trials.training_context import TRIAL as TRAINING_CONTEXT
from theory.trials.trial import Trial
from theory.trials.truncated_backprop_bias import TRIAL as TRUNCATED_BACKPROP_BIAS
from theory.trials.vanishing_gradient import TRIAL as VANISHING_GRADIENT
from theory.trials.weight_gap import TRIAL as WEIGHT_GAP
from theory.trials.window_error import TRIAL as WINDOW_ERROR

#: The trials by the names of their theorems, in reading order.
TRIALS: dict[str, Trial] = {
    trial.theorem.name: trial
    for trial in (
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
}


def trial_of(theorem: Theorem) -> Trial:
    """Return the trial of a theorem, looked up by its name."""
    try:
        return TRIALS[theorem.name]
    except KeyError:
        raise ValueError(
            f"no trial of {theorem.name!r}; theory/trials/{theorem.name}.py holds TRIAL, and "
            "theory/trials/table.py lists it"
        ) from None
