"""What is it really?  The left-hand sides of the bounds, with a budget of their rounding error.

    truncation_gaps         the error of every truncation length at once, in one sweep
    truncation_gap_table    the same for every time and sequence
    local_rates             how much a map contracts along inputs: `MeasuredRates`
    effective_memory        how many inputs a deployed model remembers: an `EffectiveMemory`
    certified_memory        measured until pasts are near, certified from there: a
                            `CertifiedMemory`
    sequences_needed        how many independent sequences that takes
    upper_limit             the exact binomial limit behind it

To put a theorem on trial: `experiment` makes an `Experiment`, one instance of everything a theorem
may speak of; a `Run` holds its measurements, each an `Observation`.
"""

from theory.measure.certified_memory import CertifiedMemory, certified_memory
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
    "CertifiedMemory",
    "EffectiveMemory",
    "Experiment",
    "MeasuredRates",
    "Observation",
    "Run",
    "certified_memory",
    "effective_memory",
    "experiment",
    "local_rates",
    "sequences_needed",
    "truncation_gap_table",
    "truncation_gaps",
    "upper_limit",
]
