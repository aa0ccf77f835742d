r"""How much memory does a recurrent model really have, and when can k steps replace it?

Everything is a station on one line:

    parameters -> map -> contraction -> bound (eps <-> k) -> k-step counterpart -> measured gap
    -> verdict -> report

Symbols used throughout (the only table of them):

    h, g      states, (n,)                      lam     contraction factor, 0 <= lam < 1
    x, y      inputs, (m,)                      drive   C, bound of |step(0, x)|
    W, U, b   recurrent, input weights, bias    gain    L_x, Lipschitz constant in the input
    t, T      time, number of inputs            k       inputs that the truncated model sees
    h^k       state of the k-step counterpart   eps     allowed error of the output
    v, P      weights of a norm                 lipschitz   L_f, of the output
    w, v      parameter vectors                 weight_gain L_w, Lipschitz constant of step in w
    N         gradient steps                    loss_gain   L_p, Lipschitz constant of the loss
    alpha_i   step sizes                        beta_hh ..  of the derivatives of step; beta_p, beta

Importing this package loads neither numba, cvxpy, sympy nor hypothesis.
"""

from theory import interop
from theory.arithmetic.activations import Activation, activation, leaky_relu
from theory.certificates import Contraction, Evidence
from theory.certify.certificate_file import load_certificate, save_certificate
from theory.certify.enclose import JointSpectralRadius
from theory.certify.interface import contraction, contractions
from theory.certify.iterates import iterate_in_norm
from theory.certify.jsr import joint_spectral_radius, rate_lower
from theory.certify.judge import judge_contraction
from theory.certify.recheck import recheck
from theory.certify.refute import refute
from theory.domain import Domain
from theory.errors import DivergedError, MissingExtraError
from theory.inputs import Drive, Inputs
from theory.learning.constants.interface import map_constants
from theory.learning.constants.lower import constants_lower
from theory.learning.constants.values import MapConstants
from theory.learning.data import TrainingData, training_data
from theory.learning.descent import Descent, Divergence, projected_gradient_descent
from theory.learning.gradients import (
    Gradient,
    input_gradients,
    recurrent_gradient,
    truncated_backprop_gradient,
    truncated_gradient,
)
from theory.learning.setup import Training, training_setup
from theory.learning.twins import Twins, prediction_gaps, train_twins
from theory.maps.base import Map
from theory.maps.callable import CallableMap
from theory.maps.cascade import Cascade
from theory.maps.diagonal import DiagonalSSM
from theory.maps.esn import EchoStateNetwork
from theory.maps.gru import GRU
from theory.maps.head import LinearHead
from theory.maps.invariance import invariant_domain
from theory.maps.linear import LinearMap
from theory.maps.lstm import LSTM
from theory.maps.mingru import MinGRU
from theory.maps.rglru import RGLRU
from theory.maps.rnn import VanillaRNN
from theory.maps.selective import SelectiveSSM
from theory.measure.effective_memory import EffectiveMemory, effective_memory
from theory.measure.experiment import Experiment, experiment
from theory.measure.gaps import truncation_gap_table, truncation_gaps
from theory.measure.rates import MeasuredRates, local_rates
from theory.measure.run import Run
from theory.memory.context import required_context, smallest_error
from theory.memory.entrywise import componentwise_gap
from theory.memory.iterates import context_length_iterate
from theory.memory.layers import layer_gaps
from theory.memory.reach import ReachTube, reach_tube
from theory.memory.tails import kernel_tail, window_decay
from theory.memory.worst_case import worst_case_error
from theory.norms.norms import L1, L2, Linf, Norm, WeightedL1, WeightedL2, WeightedLinf
from theory.projections.base import Projection
from theory.projections.interface import project
from theory.theorems import THEOREMS
from theory.theorems.cascade_gap import cascade_gap
from theory.theorems.context_length import context_length
from theory.theorems.contractive_of_comparison import contractive_of_comparison
from theory.theorems.contractive_of_composition import contractive_of_composition
from theory.theorems.contractive_of_gate_norms import contractive_of_gate_norms
from theory.theorems.contractive_of_gru_norms import contractive_of_gru_norms
from theory.theorems.contractive_of_incremental_lmi import contractive_of_incremental_lmi
from theory.theorems.contractive_of_iterate import contractive_of_iterate
from theory.theorems.contractive_of_matrix_norm import contractive_of_matrix_norm
from theory.theorems.contractive_of_perron_weights import contractive_of_perron_weights
from theory.theorems.curvature_growth import curvature_growth
from theory.theorems.drive import drive
from theory.theorems.gradient_gap import gradient_gap
from theory.theorems.gradient_gap_finite import gradient_gap_finite
from theory.theorems.gradient_growth import gradient_growth
from theory.theorems.hidden_state import hidden_state
from theory.theorems.initial_state import initial_state
from theory.theorems.input_sequence import input_sequence
from theory.theorems.loss_smoothness import loss_smoothness
from theory.theorems.nearest_pair_distance import nearest_pair_distance
from theory.theorems.nearest_point_distance import nearest_point_distance
from theory.theorems.nearest_point_gap import nearest_point_gap
from theory.theorems.norm_change import norm_change
from theory.theorems.output_gap import output_gap
from theory.theorems.parameter_gap import parameter_gap
from theory.theorems.prediction_gap import prediction_gap
from theory.theorems.schedules import step_sizes
from theory.theorems.state_gap import state_gap
from theory.theorems.state_gap_any_start import state_gap_any_start
from theory.theorems.state_gap_blocks import state_gap_blocks
from theory.theorems.state_gap_finite import state_gap_finite
from theory.theorems.state_gap_iterate import state_gap_iterate
from theory.theorems.state_gap_observed import state_gap_observed
from theory.theorems.theorem import Kind, Theorem
from theory.theorems.training_context import training_context
from theory.theorems.truncated_backprop_bias import truncated_backprop_bias
from theory.theorems.vanishing_gradient import vanishing_gradient
from theory.theorems.weight_gap import weight_gap
from theory.theorems.window_error import window_error
from theory.trials.verdict import Outcome, Verdict, verify
from theory.truncation import TruncatedModel, truncate
from theory.version import __version__ as __version__

__all__ = [
    "GRU",
    "L1",
    "L2",
    "LSTM",
    "RGLRU",
    "THEOREMS",
    "Activation",
    "CallableMap",
    "Cascade",
    "Contraction",
    "Descent",
    "DiagonalSSM",
    "DivergedError",
    "Divergence",
    "Domain",
    "Drive",
    "EchoStateNetwork",
    "EffectiveMemory",
    "Evidence",
    "Experiment",
    "Gradient",
    "Inputs",
    "JointSpectralRadius",
    "Kind",
    "LinearHead",
    "LinearMap",
    "Linf",
    "Map",
    "MapConstants",
    "MeasuredRates",
    "MinGRU",
    "MissingExtraError",
    "Norm",
    "Outcome",
    "Projection",
    "ReachTube",
    "Run",
    "SelectiveSSM",
    "Theorem",
    "Training",
    "TrainingData",
    "TruncatedModel",
    "Twins",
    "VanillaRNN",
    "Verdict",
    "WeightedL1",
    "WeightedL2",
    "WeightedLinf",
    "activation",
    "cascade_gap",
    "componentwise_gap",
    "constants_lower",
    "context_length",
    "context_length_iterate",
    "contraction",
    "contractions",
    "contractive_of_comparison",
    "contractive_of_composition",
    "contractive_of_gate_norms",
    "contractive_of_gru_norms",
    "contractive_of_incremental_lmi",
    "contractive_of_iterate",
    "contractive_of_matrix_norm",
    "contractive_of_perron_weights",
    "curvature_growth",
    "drive",
    "effective_memory",
    "experiment",
    "gradient_gap",
    "gradient_gap_finite",
    "gradient_growth",
    "hidden_state",
    "initial_state",
    "input_gradients",
    "input_sequence",
    "interop",
    "invariant_domain",
    "iterate_in_norm",
    "joint_spectral_radius",
    "judge_contraction",
    "kernel_tail",
    "layer_gaps",
    "leaky_relu",
    "load_certificate",
    "local_rates",
    "loss_smoothness",
    "map_constants",
    "nearest_pair_distance",
    "nearest_point_distance",
    "nearest_point_gap",
    "norm_change",
    "output_gap",
    "parameter_gap",
    "prediction_gap",
    "prediction_gaps",
    "project",
    "projected_gradient_descent",
    "rate_lower",
    "reach_tube",
    "recheck",
    "recurrent_gradient",
    "refute",
    "required_context",
    "save_certificate",
    "smallest_error",
    "state_gap",
    "state_gap_any_start",
    "state_gap_blocks",
    "state_gap_finite",
    "state_gap_iterate",
    "state_gap_observed",
    "step_sizes",
    "train_twins",
    "training_context",
    "training_data",
    "training_setup",
    "truncate",
    "truncated_backprop_bias",
    "truncated_backprop_gradient",
    "truncated_gradient",
    "truncation_gap_table",
    "truncation_gaps",
    "vanishing_gradient",
    "verify",
    "weight_gap",
    "window_decay",
    "window_error",
    "worst_case_error",
]
