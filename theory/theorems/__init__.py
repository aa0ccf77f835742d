"""The theorems, in reading order; each file holds one, with its formula and its typed function."""

from theory.theorem import Theorem
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
from theory.theorems.contractive_of_matrix_norm import (
    CONTRACTIVE_OF_MATRIX_NORM,
    contractive_of_matrix_norm,
)
from theory.theorems.contractive_of_perron_weights import (
    CONTRACTIVE_OF_PERRON_WEIGHTS,
    contractive_of_perron_weights,
)
from theory.theorems.drive import DRIVE, drive
from theory.theorems.hidden_state import HIDDEN_STATE, hidden_state
from theory.theorems.initial_state import INITIAL_STATE, initial_state
from theory.theorems.input_sequence import INPUT_SEQUENCE, input_sequence
from theory.theorems.norm_change import NORM_CHANGE, norm_change
from theory.theorems.output_gap import OUTPUT_GAP, output_gap
from theory.theorems.state_gap import STATE_GAP, state_gap
from theory.theorems.state_gap_any_start import STATE_GAP_ANY_START, state_gap_any_start
from theory.theorems.state_gap_finite import STATE_GAP_FINITE, state_gap_finite
from theory.theorems.state_gap_observed import STATE_GAP_OBSERVED, state_gap_observed
from theory.theorems.window_error import WINDOW_ERROR, window_error

#: All theorems, in reading order: criteria, sizes, sensitivities, gaps, context, converse, norms.
THEOREMS: tuple[Theorem, ...] = (
    CONTRACTIVE_OF_MATRIX_NORM,
    CONTRACTIVE_OF_PERRON_WEIGHTS,
    CONTRACTIVE_OF_COMPARISON,
    CONTRACTIVE_OF_GATE_NORMS,
    CONTRACTIVE_OF_GRU_NORMS,
    CONTRACTIVE_OF_INCREMENTAL_LMI,
    CONTRACTIVE_OF_COMPOSITION,
    DRIVE,
    HIDDEN_STATE,
    INITIAL_STATE,
    INPUT_SEQUENCE,
    STATE_GAP_OBSERVED,
    STATE_GAP,
    STATE_GAP_FINITE,
    STATE_GAP_ANY_START,
    OUTPUT_GAP,
    CASCADE_GAP,
    CONTEXT_LENGTH,
    WINDOW_ERROR,
    NORM_CHANGE,
)

__all__ = [
    "THEOREMS",
    "cascade_gap",
    "context_length",
    "contractive_of_comparison",
    "contractive_of_composition",
    "contractive_of_gate_norms",
    "contractive_of_gru_norms",
    "contractive_of_incremental_lmi",
    "contractive_of_matrix_norm",
    "contractive_of_perron_weights",
    "drive",
    "hidden_state",
    "initial_state",
    "input_sequence",
    "norm_change",
    "output_gap",
    "state_gap",
    "state_gap_any_start",
    "state_gap_finite",
    "state_gap_observed",
    "window_error",
]
