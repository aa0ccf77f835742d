"""What is it really?  The left-hand sides of the bounds, with a budget of their rounding error.

    truncation_gaps         the error of every truncation length at once, in one sweep
    truncation_gap_table    the same for every time and sequence
    local_rates             how much a map contracts along inputs: `MeasuredRates`
    effective_memory        how many inputs a deployed model remembers: an `EffectiveMemory`
    memory_among            which of a few lengths are enough: a `MemoryAmong`, in less time
    memory_of               the same for anything that can be called, in the user's own distance
    memory_of_recording     what one long recording tells: a `RecordingMemory`
    DISTANCES               the ready distances by name; any function of two series is one
    metric_against_k        a metric of the k-step model against k, with a `Cost` for each k: a
                            `MetricAgainstK`; METRICS has the ready ones
    warmup, reset           how long to warm up, a `Warmup`; what resets cost, a `Reset`
    best_start              the constant start that errs least on the data, a `BestStart`
    drift                   whether long runs stay where training has been, a `Drift`
    certified_memory        measured until pasts are near, certified from there: a
                            `CertifiedMemory`
    sequences_needed        how many independent sequences that takes
    upper_limit             the exact binomial limit behind it
    context_value           what symbols of context are worth on data: a `ContextValue`
    order_information       an upper bound of I, if the order is known: an `OrderInformation`
    blocks_needed           how many independent sequences that takes
    ngram_codes             the code lengths behind it, of n-grams: `NgramCodes`

To put a theorem on trial: `experiment` makes an `Experiment`, one instance of everything a theorem
may speak of; a `Run` holds its measurements, each an `Observation`.
"""

from theory.measure.black_box import RecordingMemory, memory_of, memory_of_recording
from theory.measure.certified_memory import CertifiedMemory, certified_memory
from theory.measure.context_value import (
    ContextValue,
    OrderInformation,
    blocks_needed,
    context_value,
    order_information,
)
from theory.measure.distances import DISTANCES
from theory.measure.effective_memory import (
    EffectiveMemory,
    effective_memory,
    sequences_needed,
    upper_limit,
)
from theory.measure.experiment import Experiment, experiment
from theory.measure.gaps import truncation_gap_table, truncation_gaps
from theory.measure.memory_among import MemoryAmong, memory_among
from theory.measure.metric import METRICS, Cost, MetricAgainstK, metric_against_k
from theory.measure.ngrams import NgramCodes, ngram_codes
from theory.measure.observation import Observation
from theory.measure.rates import MeasuredRates, local_rates
from theory.measure.run import Run
from theory.measure.starts import BestStart, Drift, best_start, drift
from theory.measure.warmup import Reset, Warmup, reset, warmup

__all__ = [
    "DISTANCES",
    "METRICS",
    "BestStart",
    "CertifiedMemory",
    "ContextValue",
    "Cost",
    "Drift",
    "EffectiveMemory",
    "Experiment",
    "MeasuredRates",
    "MemoryAmong",
    "MetricAgainstK",
    "NgramCodes",
    "Observation",
    "OrderInformation",
    "RecordingMemory",
    "Reset",
    "Run",
    "Warmup",
    "best_start",
    "blocks_needed",
    "certified_memory",
    "context_value",
    "drift",
    "effective_memory",
    "experiment",
    "local_rates",
    "memory_among",
    "memory_of",
    "memory_of_recording",
    "metric_against_k",
    "ngram_codes",
    "order_information",
    "reset",
    "sequences_needed",
    "truncation_gap_table",
    "truncation_gaps",
    "upper_limit",
    "warmup",
]
