"""Sequences that are measured, and the part of each that tells all that is asked for.

Main names: `Job`, `Part`, `window`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from theory.errors import DivergedError
from theory.maps.base import Map, diverged
from theory.typing import Array


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """One sequence, until the time that is looked at."""

    X: Array  # the inputs, (T, m)
    end: int | None  # its error is that after so many inputs; None: the largest of all times
    number: int = 0  # which of all sequences it is, told where the model leaves the range


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """What is swept of a sequence: its last inputs, or all of them."""

    X: Array  # (T, m)
    H: Array  # the recurrent states, (T, n)
    start: Array  # the state before the first of the inputs, (n,)
    number: int  # which of all sequences it is
    begin: int  # inputs before the first of these


def window(recurrent: Map, job: Job, k_max: int) -> Part:
    """Return the part that tells all that is asked for; what was before is in its start."""
    start = np.zeros(recurrent.state_dim)
    if job.end is None:
        H = _followed(recurrent, job, 0, None, start)
        return Part(X=job.X, H=H, start=start, number=job.number, begin=0)
    begin = max(0, job.end - (k_max + 1))
    if begin:
        start = _followed(recurrent, job, 0, begin, start)[-1]
    H = _followed(recurrent, job, begin, job.end, start)
    return Part(X=job.X[begin : job.end], H=H, start=start, number=job.number, begin=begin)


def _followed(recurrent: Map, job: Job, begin: int, end: int | None, start: Array) -> Array:
    """Return the recurrent states of a part of a sequence.

    Raises
    ------
    DivergedError
        Which names the sequence by its place among all.
    """
    try:
        return recurrent.simulate(job.X[begin:end], start)
    except DivergedError as error:
        if error.step is None:
            raise DivergedError(f"sequence {job.number}: {error}") from None
        raise diverged(begin + error.step, job.number) from None
