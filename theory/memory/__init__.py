"""From a certificate to a memory and back: eps <-> k.

`required_context` gives the least k for eps and `smallest_error` the least eps for k.  Sharper
answers hold for some maps only: `componentwise_gap` entry by entry, `layer_gaps` layer by layer,
`worst_case_error` and `kernel_tail` for linear maps, `window_decay` without feedback, and
`reach_tube` along given inputs.
"""

from theory.memory.context import Choice, error_curve, required_context, smallest_error
from theory.memory.entrywise import componentwise_context, componentwise_gap
from theory.memory.iterates import context_length_iterate
from theory.memory.layers import LayerRates, layer_gaps, layer_rates
from theory.memory.reach import ReachTube, reach_tube
from theory.memory.tails import KernelTail, kernel_tail, window_decay
from theory.memory.worst_case import WorstCase, worst_case_error

__all__ = [
    "Choice",
    "KernelTail",
    "LayerRates",
    "ReachTube",
    "WorstCase",
    "componentwise_context",
    "componentwise_gap",
    "context_length_iterate",
    "error_curve",
    "kernel_tail",
    "layer_gaps",
    "layer_rates",
    "reach_tube",
    "required_context",
    "smallest_error",
    "window_decay",
    "worst_case_error",
]
