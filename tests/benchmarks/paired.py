"""Paired timing: both candidates in turn, ratios pair by pair, medians to quote."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

#: Clocks: of the wall, and of this process, which other work on the machine disturbs less.
WALL, PROCESSOR = time.perf_counter, time.process_time


def seconds(run: Callable[[], Any], clock: Callable[[], float] = WALL) -> float:
    started = clock()
    run()
    return clock() - started


def paired(
    ours: Callable[[], Any],
    theirs: Callable[[], Any],
    rounds: int = 7,
    clock: Callable[[], float] = WALL,
) -> tuple[float, float, float]:
    """Return the median seconds of both and the median of the ratios theirs / ours."""
    ours()
    theirs()
    pairs = [(seconds(ours, clock), seconds(theirs, clock)) for _ in range(rounds)]
    return (
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(b / a for a, b in pairs),
    )
