r"""Errors of all truncation lengths in double or single precision.

Main name: `errors_of`.

In single precision both models are run as a program that computes in it would run them, up to the
order of sums.  How far that is from double precision is measured on the recurrent states of every
sequence: d, the largest distance of the two outputs.  A restarted run is taken to be off by at most
`MARGIN` d as well; so where an error is within MARGIN d of eps, the sequence is measured again in
double precision.  Nothing proves that the margin is wide enough (a restart that passes near a
saddle may go the other way), so that the answer is one about the model in single precision.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from theory.maps.base import Map
from theory.maps.block import Block
from theory.maps.functions import Function
from theory.measure.jobs import Job
from theory.measure.restarts import restart_errors
from theory.measure.single import SingleSteps
from theory.norms.norm import Norm
from theory.typing import Array, Progress

#: What measurements may be computed in.
DTYPES = ("float64", "float32")

#: How an answer says what it was computed in.
TOLD = {"float64": "measured", "float32": "measured in single precision"}

#: How many times farther than the recurrent run a restarted one may be off in single precision.
MARGIN = 8.0


def errors_of(
    recurrent: Map,
    jobs: Sequence[Job],
    k_max: int,
    norm: Norm,
    C: Array,
    *,
    eps: float,
    dtype: str = "float64",
    progress: Progress | None = None,
) -> Array:
    """Return the errors of k = 0 .. k_max on every sequence, (k_max + 1, N).

    It is infinite where it leaves the range of double precision.

    Raises
    ------
    ValueError
        If the precision is unknown, or not known for this map.
    DivergedError
        If the recurrent model leaves the range of the precision.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype={dtype!r}, needed one of: {', '.join(DTYPES)}")
    # no output to form: the state itself is seen, and short loops take the fused kernel
    shown = None if np.array_equal(C, np.eye(recurrent.state_dim)) else C
    recurrent, seen = seen_of(recurrent, shown)
    tell = None if progress is None else _counted(progress, len(jobs))
    if dtype == "float64":
        errors = restart_errors(recurrent, recurrent, jobs, k_max, norm, seen, tell)
    else:
        steps = SingleSteps(recurrent)
        off = np.zeros(len(jobs))
        errors = restart_errors(recurrent, steps, jobs, k_max, norm, seen, tell, off)
        # written so that a NaN is measured again, too
        doubtful = np.flatnonzero(~(np.abs(errors - eps) > MARGIN * off).all(axis=0))
        again = [jobs[int(i)] for i in doubtful]
        if again:
            errors[:, doubtful] = restart_errors(recurrent, recurrent, again, k_max, norm, seen)
    # a NaN, from infinity minus infinity in the restarted model, is as far off as can be
    errors[np.isnan(errors)] = np.inf
    return errors


def seen_of(recurrent: Map, C: Array | None) -> tuple[Map, Array | Function | None]:
    """Return the recurrence itself, and what is seen of it, where a `Block` shows its outputs."""
    if C is None or not isinstance(recurrent, Block) or recurrent.before is not None:
        return recurrent, C
    outputs = np.array_equal(C, recurrent.output_map)
    return (recurrent.core, recurrent.after) if outputs else (recurrent, C)


def _counted(progress: Progress, total: int) -> Callable[[float], None]:
    """Return what calls `progress` once for every sequence that is done."""
    told = 0

    def tell(done: float) -> None:
        nonlocal told
        while told + 1 <= done:
            told += 1
            progress(told, total)

    return tell
