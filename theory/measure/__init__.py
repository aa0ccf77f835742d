"""What is it really?  The left-hand sides of the bounds, with a budget of their rounding error.

    truncation_gaps         the error of every truncation length at once, in one sweep
    truncation_gap_table    the same for every time and sequence
    local_rates             how much a map contracts along inputs: `MeasuredRates`
    effective_memory        how many inputs a deployed model remembers: an `EffectiveMemory`
    memory_among            which of a few lengths are enough: a `MemoryAmong`, in less time
    sequences_needed        how many independent sequences that takes
    upper_limit             the exact binomial limit behind it
    context_value           what symbols of context are worth on data: a `ContextValue`
    order_information       an upper bound of I, if the order is known: an `OrderInformation`
    blocks_needed           how many independent sequences that takes
    ngram_codes             the code lengths behind it, of n-grams: `NgramCodes`

To put a theorem on trial: `experiment` makes an `Experiment`, one instance of everything a theorem
may speak of; a `Run` holds its measurements, each an `Observation`.
"""

from theory.measure.context_value import (
    ContextValue,
    OrderInformation,
    blocks_needed,
    context_value,
    order_information,
)
from theory.measure.effective_memory import (
    EffectiveMemory,
    effective_memory,
    sequences_needed,
    upper_limit,
)
from theory.measure.experiment import Experiment, experiment
from theory.measure.gaps import truncation_gap_table, truncation_gaps
from theory.measure.memory_among import MemoryAmong, memory_among
from theory.measure.ngrams import NgramCodes, ngram_codes
from theory.measure.observation import Observation
from theory.measure.rates import MeasuredRates, local_rates
from theory.measure.run import Run

__all__ = [
    "ContextValue",
    "EffectiveMemory",
    "Experiment",
    "MeasuredRates",
    "MemoryAmong",
    "NgramCodes",
    "Observation",
    "OrderInformation",
    "Run",
    "blocks_needed",
    "context_value",
    "effective_memory",
    "experiment",
    "local_rates",
    "memory_among",
    "ngram_codes",
    "order_information",
    "sequences_needed",
    "truncation_gap_table",
    "truncation_gaps",
    "upper_limit",
]
