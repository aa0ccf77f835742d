"""What restarts that have met the recurrent model would have measured later.

Main name: `Left`; `theory.measure.restarts` has the rest.
"""

from __future__ import annotations

from typing import TypeAlias, final

import numpy as np
import numpy.typing as npt

from theory.typing import Array

#: Rows of the input terms, or of states.
Places: TypeAlias = npt.NDArray[np.int64]


@final
class Left:
    """Restarts that have met the model in their arithmetic, which `simulate` rounds otherwise."""

    def __init__(self, stops: Places, of: Places, rest: Array) -> None:
        self.stops, self.of = stops, of
        self.first = np.concatenate([[0], stops[:-1]])
        self.rest = rest  # how far apart the two simulations of the model are
        self.since = np.full(len(of), np.iinfo(np.int64).max)  # the k at which each one met it
        self.any = False

    def add(self, starts: Places, k: int) -> None:
        """Take restarts at these times in, which have met the model after k steps."""
        self.since[starts] = k
        self.any = True

    def keep(self, errors: Array, k: int, last: bool) -> None:
        """Raise the errors of k to what these restarts would have measured."""
        if not self.any:
            return
        if last:
            ends = np.flatnonzero(self.stops - 1 - k >= self.first)
            times = self.stops[ends] - 1
            there = self.since[times - k] < k
            errors[ends[there]] = self.rest[times[there]]
            return
        v = np.zeros(len(self.of))
        count = len(v) - k
        if count > 0:
            there = (self.since[:count] < k) & (self.of[:count] == self.of[k:])
            v[k:] = np.where(there, self.rest[k:], 0.0)
        np.maximum(errors, np.maximum.reduceat(v, self.first), out=errors)
