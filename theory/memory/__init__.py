"""How many inputs are enough?  From a certificate to a memory and back: eps <-> k.

    required_context        the least certified k for eps: a `Choice`, or None
    smallest_error          the least certified eps for k, likewise
    truncate                the k-step counterpart: a `TruncatedModel`

Sharper answers, which hold for some maps only:

    worst_case_error        linear maps and stacks: the exact error over all histories, a
                            `WorstCase`; the two above use it, and say where k is the least there is
    kernel_tail             diagonal state-space layers: a `KernelTail`
    window_decay            recurrences that are linear in the state, along given inputs
    componentwise_gap       entry by entry, and `componentwise_context` the k for eps
    layer_rates             layer by layer of a cascade: `LayerRates`, and `layer_gaps` the bound
    context_length_iterate  from a contraction of several steps together
    deployed_context        in arithmetic that rounds, by `step_error_upper`: a `Deployment`; an
                            `Arithmetic` is made by `arithmetic` from the name of a format
    reach_tube              along given inputs: all that any past can still do, a `ReachTube`
    critical_radius         from how far apart given inputs bring states together: a
                            `CriticalRadius`, a share of `visited_ranges`
"""

from theory.arithmetic.formats import Arithmetic, arithmetic
from theory.memory.context import Choice, required_context, smallest_error
from theory.memory.critical import CriticalRadius, critical_radius, visited_ranges
from theory.memory.deployed import Deployment, deployed_context, step_error_upper
from theory.memory.entrywise import componentwise_context, componentwise_gap
from theory.memory.iterates import context_length_iterate
from theory.memory.layers import LayerRates, layer_gaps, layer_rates
from theory.memory.reach import ReachTube, reach_tube
from theory.memory.tails import KernelTail, kernel_tail, window_decay
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
    "WorstCase",
    "arithmetic",
    "componentwise_context",
    "componentwise_gap",
    "context_length_iterate",
    "critical_radius",
    "deployed_context",
    "kernel_tail",
    "layer_gaps",
    "layer_rates",
    "reach_tube",
    "required_context",
    "smallest_error",
    "step_error_upper",
    "truncate",
    "visited_ranges",
    "window_decay",
    "worst_case_error",
]
