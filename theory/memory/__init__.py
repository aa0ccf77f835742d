"""How many inputs are enough?  From a certificate to a memory and back: eps <-> k.

    required_context        the least certified k for eps: a `Choice`, or None
    smallest_error          the least certified eps for k, likewise
    truncate                the k-step counterpart: a `TruncatedModel`

Sharper answers, which hold for some maps only:

    worst_case_error        linear maps and stacks: the exact error over all histories, a
                            `WorstCase`; the two above use it, and say where k is the least there is
    kernel_tail             diagonal state-space layers: a `KernelTail`
    window_context          maps that are linear in the state, along given inputs: the least k, a
                            `WindowContext`; `window_gaps` the error of every k, `window_decay` that
                            of every entry
    mean_context            of an sLSTM without recurrent weights, likewise; `mean_gaps` of every k
    input_context           of these maps, over all inputs of a set, from `transition_rate` and
                            `state_radius`
    componentwise_gap       entry by entry, and `componentwise_context` the k for eps
    layer_rates             layer by layer of a cascade: `LayerRates`, and `layer_gaps` the bound
    context_length_iterate  from a contraction of several steps together
    deployed_context        in arithmetic that rounds, by `step_error_upper`: a `Deployment`; an
                            `Arithmetic` is made by `arithmetic` from the name of a format
    attention_gap           attention with a linear bias, and `attention_context` the k for eps
    tube_context            along given inputs, of stacks too: a `TubeContext`, and `tube_gaps` the
                            bound of every entry
    reach_tube              along given inputs: all that any past can still do, a `ReachTube`
    critical_radius         from how far apart given inputs bring states together: a
                            `CriticalRadius`, a share of `visited_ranges`
"""

from theory.arithmetic.formats import Arithmetic, arithmetic
from theory.memory.along import TubeContext, tube_context, tube_gaps
from theory.memory.attention import attention_context, attention_gap
from theory.memory.context import Choice, required_context, smallest_error
from theory.memory.critical import CriticalRadius, critical_radius, visited_ranges
from theory.memory.deployed import Deployment, deployed_context, step_error_upper
from theory.memory.entrywise import componentwise_context, componentwise_gap
from theory.memory.iterates import context_length_iterate
from theory.memory.layers import LayerRates, layer_gaps, layer_rates
from theory.memory.normalised import mean_context, mean_gaps
from theory.memory.reach import ReachTube, reach_tube
from theory.memory.tails import KernelTail, kernel_tail, window_decay
from theory.memory.windows import (
    WindowContext,
    input_context,
    state_radius,
    transition_rate,
    window_context,
    window_gaps,
)
from theory.memory.worst_case import WorstCase, worst_case_error
from theory.truncation import TruncatedModel, truncate

__all__ = [
    "Arithmetic",
    "Choice",
    "CriticalRadius",
    "Deployment",
    "KernelTail",
    "LayerRates",
    "ReachTube",
    "TruncatedModel",
    "TubeContext",
    "WindowContext",
    "WorstCase",
    "arithmetic",
    "attention_context",
    "attention_gap",
    "componentwise_context",
    "componentwise_gap",
    "context_length_iterate",
    "critical_radius",
    "deployed_context",
    "input_context",
    "kernel_tail",
    "layer_gaps",
    "layer_rates",
    "mean_context",
    "mean_gaps",
    "reach_tube",
    "required_context",
    "smallest_error",
    "state_radius",
    "step_error_upper",
    "transition_rate",
    "truncate",
    "tube_context",
    "tube_gaps",
    "visited_ranges",
    "window_context",
    "window_decay",
    "window_gaps",
    "worst_case_error",
]
