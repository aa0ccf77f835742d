"""How `short_memory` is attacked: what is measured, and its near misses."""

from __future__ import annotations

import math

import numpy as np

from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.sources.belief import BeliefFilter
from theory.sources.information import InformationValues, information_values
from theory.theorems.short_memory import SHORT_MEMORY
from theory.trials.trial import NearMiss, Trial

#: Symbols up to which the losses are enclosed.
_LONGEST = 8


def _values(run: Run) -> InformationValues | None:
    recurrent = run.map
    if not isinstance(recurrent, BeliefFilter) or not recurrent.model.exact:
        return None
    n, d = recurrent.model.states, recurrent.model.symbols
    most = math.floor(math.log(2**14 / n) / math.log(max(d, 2))) - 1
    return information_values(recurrent.model, longest=max(0, min(_LONGEST, most)))


def is_source(run: Run) -> bool:
    """Return whether a run is about the filter of a source whose losses are enclosed."""
    return run.once(_values) is not None


def observe(run: Run) -> Observation:
    """Enclose the loss of the best predictor of k symbols, by all words."""
    values = run.once(_values)
    assert values is not None
    low, high = values.excess
    return Observation(
        measured=(low + high) / 2,
        budget=(high - low) / 2 + np.spacing(high),
        arguments={"information": values.information[1], "k": np.arange(len(low), dtype=float)},
    )


def _of_alphabet(run: Run) -> Observation:
    assert isinstance(run.map, BeliefFilter)
    return observe(run).with_arguments(information=math.log(run.map.model.symbols))


TRIAL = Trial(
    theorem=SHORT_MEMORY,
    observe=observe,
    near_misses=(
        NearMiss(
            name="one symbol too many",
            formula=lambda information, k: information / (k + 2),
        ),
        NearMiss(
            name="falling like the square",
            formula=lambda information, k: information / (k + 1) ** 2,
        ),
        NearMiss(
            name="the alphabet for the hidden state",
            observe=_of_alphabet,
        ),
    ),
)
