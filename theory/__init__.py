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

from importlib.metadata import PackageNotFoundError, version

from theory import interop
from theory.activations import Activation, activation, leaky_relu
from theory.certificate_file import load_certificate, recheck, save_certificate
from theory.certificates import Contraction, Evidence
from theory.certify import contraction, contractions
from theory.comparison import componentwise_gap, layer_gaps
from theory.constants import MapConstants, constants_lower, map_constants
from theory.context import required_context, smallest_error
from theory.domain import Domain
from theory.errors import DivergedError, MissingExtraError
from theory.gradients import (
    Gradient,
    TrainingData,
    input_gradients,
    recurrent_gradient,
    training_data,
    truncated_backprop_gradient,
    truncated_gradient,
)
from theory.inputs import Drive, Inputs
from theory.invariance import invariant_domain
from theory.iterates import context_length_iterate, iterate_in_norm
from theory.jsr import JointSpectralRadius, joint_spectral_radius
from theory.learning import Training, training_setup
from theory.linear_gap import worst_case_error
from theory.lower import judge_contraction, rate_lower, refute
from theory.maps import (
    GRU,
    LSTM,
    RGLRU,
    CallableMap,
    Cascade,
    DiagonalSSM,
    EchoStateNetwork,
    LinearMap,
    Map,
    MinGRU,
    SelectiveSSM,
    VanillaRNN,
)
from theory.measure import Experiment, Run, experiment, truncation_gap_table, truncation_gaps
from theory.measured_rates import MeasuredRates, local_rates
from theory.memory import EffectiveMemory, effective_memory
from theory.norms import L1, L2, Linf, Norm, WeightedL1, WeightedL2, WeightedLinf
from theory.projections import Projection, project
from theory.reach import ReachTube, reach_tube
from theory.tails import kernel_tail, window_decay
from theory.theorem import Kind, Theorem
from theory.theorems import (
    THEOREMS,
    cascade_gap,
    context_length,
    contractive_of_comparison,
    contractive_of_composition,
    contractive_of_gate_norms,
    contractive_of_gru_norms,
    contractive_of_incremental_lmi,
    contractive_of_iterate,
    contractive_of_matrix_norm,
    contractive_of_perron_weights,
    curvature_growth,
    drive,
    gradient_gap,
    gradient_gap_finite,
    gradient_growth,
    hidden_state,
    initial_state,
    input_sequence,
    loss_smoothness,
    nearest_pair_distance,
    nearest_point_distance,
    nearest_point_gap,
    norm_change,
    output_gap,
    parameter_gap,
    prediction_gap,
    state_gap,
    state_gap_any_start,
    state_gap_blocks,
    state_gap_finite,
    state_gap_iterate,
    state_gap_observed,
    training_context,
    truncated_backprop_bias,
    vanishing_gradient,
    weight_gap,
    window_error,
)
from theory.training import (
    Descent,
    Divergence,
    Twins,
    prediction_gaps,
    projected_gradient_descent,
    step_sizes,
    train_twins,
)
from theory.truncation import LinearHead, TruncatedModel, truncate
from theory.verdict import Outcome, Verdict, verify

try:
    __version__ = version("stable-recurrent-models")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

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
