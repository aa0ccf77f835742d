"""Does a theorem hold here?  What is measured, and the near misses that must be refuted.

`verify` compares what an experiment measures with a theorem's formula and gives a `Verdict`, whose
`Outcome` is one of: holds, holds within rounding, refuted, or not applicable where an assumption is
not established.

`TRIALS` has the `Trial` of every theorem by its name, and `trial_of` finds one: how it is observed,
and its false neighbours, each a `NearMiss`, which a search must be able to refute.
"""

from theory.trials.table import TRIALS, trial_of
from theory.trials.trial import NearMiss, Trial
from theory.trials.verdict import Outcome, Verdict, verify

__all__ = [
    "TRIALS",
    "NearMiss",
    "Outcome",
    "Trial",
    "Verdict",
    "trial_of",
    "verify",
]
