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

Importing this package loads neither numba, cvxpy, sympy nor hypothesis.
"""

from importlib.metadata import PackageNotFoundError, version

from theory import interop
from theory.activations import Activation, activation, leaky_relu
from theory.certificate_file import load_certificate, recheck, save_certificate
from theory.certificates import Contraction, Evidence
from theory.certify import contraction, contractions
from theory.comparison import componentwise_gap, layer_gaps
from theory.context import required_context, smallest_error
from theory.domain import Domain
from theory.errors import DivergedError, MissingExtraError
from theory.invariance import invariant_domain
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
from theory.norms import L1, L2, Linf, Norm, WeightedL2, WeightedLinf
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
    contractive_of_matrix_norm,
    contractive_of_perron_weights,
    drive,
    hidden_state,
    initial_state,
    input_sequence,
    norm_change,
    output_gap,
    state_gap,
    state_gap_any_start,
    state_gap_finite,
    state_gap_observed,
    window_error,
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
    "DiagonalSSM",
    "DivergedError",
    "Domain",
    "EchoStateNetwork",
    "EffectiveMemory",
    "Evidence",
    "Experiment",
    "Kind",
    "LinearHead",
    "LinearMap",
    "Linf",
    "Map",
    "MeasuredRates",
    "MinGRU",
    "MissingExtraError",
    "Norm",
    "Outcome",
    "Run",
    "SelectiveSSM",
    "Theorem",
    "TruncatedModel",
    "VanillaRNN",
    "Verdict",
    "WeightedL2",
    "WeightedLinf",
    "activation",
    "cascade_gap",
    "componentwise_gap",
    "context_length",
    "contraction",
    "contractions",
    "contractive_of_comparison",
    "contractive_of_composition",
    "contractive_of_gate_norms",
    "contractive_of_gru_norms",
    "contractive_of_incremental_lmi",
    "contractive_of_matrix_norm",
    "contractive_of_perron_weights",
    "drive",
    "effective_memory",
    "experiment",
    "hidden_state",
    "initial_state",
    "input_sequence",
    "interop",
    "invariant_domain",
    "judge_contraction",
    "kernel_tail",
    "layer_gaps",
    "leaky_relu",
    "load_certificate",
    "local_rates",
    "norm_change",
    "output_gap",
    "rate_lower",
    "recheck",
    "refute",
    "required_context",
    "save_certificate",
    "smallest_error",
    "state_gap",
    "state_gap_any_start",
    "state_gap_finite",
    "state_gap_observed",
    "truncate",
    "truncation_gap_table",
    "truncation_gaps",
    "verify",
    "window_decay",
    "window_error",
]
