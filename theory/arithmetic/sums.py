"""Sums and lengths rounded upward, entry by entry.

Main names: `sums_up`, `length_upper`, `raised`.
"""

from __future__ import annotations

import numpy as np

from theory.arithmetic.rigor import frobenius_upper
from theory.arithmetic.rounding import gamma
from theory.typing import Array


def length_upper(*arrays: Array) -> float:
    """Return an upper bound of the Euclidean length of all entries together.

    It is infinite where the length exceeds the largest double, or an entry is not finite.
    """
    entries = np.concatenate([np.ravel(a).astype(np.float64) for a in arrays])
    return float(frobenius_upper(entries[None]))


def sums_up(A: Array, v: Array | None = None) -> Array:
    """Return row sums of |A| v, rounded up."""
    n = A.shape[1]
    sums = np.abs(A).sum(axis=1) if v is None else np.abs(A) @ v
    result: Array = np.nextafter(sums * (1 + 2 * gamma(n + 2)) + n * 2.0**-1070, np.inf)
    return result


def raised(x: Array) -> Array:
    """Return numbers above the results of a few rounded operations on non-negative numbers."""
    above: Array = x * (1 + 2.0**-48) + 2.0**-1040
    return above
