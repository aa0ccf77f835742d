"""The left-hand sides of the bounds, measured with a budget of their rounding error.

`truncation_gaps` measures every truncation length at once, `local_rates` how much a map contracts
along inputs, and `effective_memory` how many inputs a deployed model remembers.  An `Experiment` is
one instance to test theorems on, and a `Run` holds its measurements.
"""

from theory.measure.effective_memory import (
    EffectiveMemory,
    effective_memory,
    sequences_needed,
    upper_limit,
)
from theory.measure.experiment import Experiment, experiment
from theory.measure.gaps import truncation_gap_table, truncation_gaps
from theory.measure.observation import Observation
from theory.measure.rates import MeasuredRates, local_rates
from theory.measure.run import Run

__all__ = [
    "EffectiveMemory",
    "Experiment",
    "MeasuredRates",
    "Observation",
    "Run",
    "effective_memory",
    "experiment",
    "local_rates",
    "sequences_needed",
    "truncation_gap_table",
    "truncation_gaps",
    "upper_limit",
]
