"""Claims compared with exact numbers: what is false stops the lane, what is true is counted.

A claim is a double, the exact number a ball of 160 to 300 bits.  It is false if it is not a number,
or if *every* number of the ball contradicts it: a ball that is too wide to tell refutes nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

import flint
import numpy as np

Ball = flint.arb
Vector = list[flint.arb]


class FalseClaimError(AssertionError):
    """A number or a statement that exact arithmetic contradicts."""


class Tally:
    """Counts comparisons, by the name of what was claimed."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def at_most(self, name: str, exact: Iterable[Any], upper: Any, /, **inputs: Any) -> None:
        """Compare exact numbers with upper bounds, one by one."""
        bounds = np.ravel(np.asarray(upper, dtype=np.float64)).tolist()
        for number, bound in zip(exact, bounds, strict=True):
            self.counts[name] += 1
            # inf bounds everything, and a comparison with NaN is never true
            if bound == math.inf:
                continue
            if math.isnan(bound) or bound == -math.inf or number > bound:
                self._stop(name, f"upper {bound!r}, exact {number}", inputs)

    def at_least(self, name: str, exact: Iterable[Any], lower: Any, /, **inputs: Any) -> None:
        """Compare exact numbers with lower bounds, one by one."""
        bounds = np.ravel(np.asarray(lower, dtype=np.float64)).tolist()
        for number, bound in zip(exact, bounds, strict=True):
            self.counts[name] += 1
            if bound == -math.inf:
                continue
            if math.isnan(bound) or bound == math.inf or number < bound:
                self._stop(name, f"lower {bound!r}, exact {number}", inputs)

    def between(
        self, name: str, low: Any, exact: Iterable[Any], high: Any, /, **inputs: Any
    ) -> None:
        """Compare exact numbers with both ends of an enclosure."""
        numbers = list(exact)
        self.at_least(name, numbers, low, **inputs)
        self.at_most(name, numbers, high, **inputs)

    def no_less(self, name: str, small: Any, large: Any, /, **inputs: Any) -> None:
        """Compare two exact numbers of which the first is claimed to be no larger."""
        self.counts[name] += 1
        if small > large:
            self._stop(name, f"{small} is above {large}", inputs)

    def true(self, name: str, statement: bool, /, **inputs: Any) -> None:
        """Count a statement that exact arithmetic has decided."""
        self.counts[name] += 1
        if not statement:
            self._stop(name, "the statement is false", inputs)

    def _stop(self, name: str, found: str, inputs: dict[str, Any]) -> None:
        with np.printoptions(floatmode="unique", threshold=60):
            given = "; ".join(f"{key}={value!r}" for key, value in inputs.items())
        raise FalseClaimError(f"{name}: {found}; {given}")
