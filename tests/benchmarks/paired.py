"""Paired timing: both candidates in turn, ratios pair by pair, medians to quote."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any


def seconds(run: Callable[[], Any]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def paired(
    ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int = 7
) -> tuple[float, float, float]:
    """Return the median seconds of both and the median of the ratios theirs / ours."""
    ours()
    theirs()
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(rounds)]
    return (
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(b / a for a, b in pairs),
    )
