"""Sums and lengths rounded upward, entry by entry.

Main names: `sums_up`, `sum_raised`, `length_upper`.
"""

from __future__ import annotations

import numpy as np

from theory.arithmetic.rigor import frobenius_upper
from theory.arithmetic.rounding import TINY, gamma
from theory.typing import Array


def length_upper(*arrays: Array) -> float:
    """Return an upper bound of the Euclidean length of all entries together.

    It is infinite where the length exceeds the largest double, or an entry is not finite.
    """
    entries = np.concatenate([np.ravel(a).astype(np.float64) for a in arrays])
    return float(frobenius_upper(entries[None]))


def sums_up(A: Array, v: Array | None = None) -> Array:
    r"""Return row sums of |A| v, v >= 0, rounded up.

    With S the exact sum of n products and s the computed one, |s - S| <= gamma(n) S + n eta, so

        S <= (s + n eta) / (1 - gamma(n)) <= (s + n eta) (1 + 2 gamma(n + 2)) (1 - u)^2,

    and three roundings are left: 1 + 2 gamma and the product (the two factors 1 - u), and the sum
    (the next double).  n eta (1 + 2 gamma) is below 16 n eta, which is exact.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        sums = np.abs(A).sum(axis=1) if v is None else np.abs(A) @ v
    return sum_raised(np.where(np.isnan(sums), np.inf, sums), A.shape[1])  # 0 times infinity


def sum_raised(sums: Array, n: int) -> Array:
    """Return upper bounds of sums of n products from the computed ones; see `sums_up`."""
    with np.errstate(over="ignore"):
        result: Array = np.nextafter(sums * (1 + 2 * gamma(n + 2)) + n * (16 * TINY), np.inf)
    return result
