"""How every theorem is attacked: what is measured, and the near misses that must be refuted.

A file holds the trial of the theorem of its name.  `verify` compares what was measured with the
formula and gives a `Verdict`: holds, holds within rounding, refuted, or not applicable where an
assumption is not established.  `table` lists the trials.
"""

from theory.trials.table import TRIALS, trial_of
from theory.trials.trial import NearMiss, Trial
from theory.trials.verdict import Outcome, Verdict, judge, verify

__all__ = [
    "TRIALS",
    "NearMiss",
    "Outcome",
    "Trial",
    "Verdict",
    "judge",
    "trial_of",
    "verify",
]
