r"""Boxes of vectors that are divided by their length: x_i / sqrt(|x|^2 + eps).

Main name: `direction`.
"""

from __future__ import annotations

import numpy as np

from theory.arithmetic.intervals import Interval, widened
from theory.arithmetic.rounding import gamma
from theory.maps.boxes.ends import magnitude
from theory.typing import Array

#: The least eps: beside it what is lost where squares underflow is nothing.
LEAST_EPS = 2.0**-100


def _others(kappa: Interval, eps: float) -> Interval:
    """Enclose eps and the sum of the squares of the other entries, for every entry."""
    n = kappa[0].shape[-1]
    least = np.where((kappa[0] <= 0) & (kappa[1] >= 0), 0.0, np.minimum(*map(np.abs, kappa)))
    hidden = 1.0 - np.eye(n)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        low, high = ((end * end) @ hidden + eps for end in (least, magnitude(kappa)))
    slack = 2 * gamma(n + 4)
    return low * (1 - slack), np.where(np.isnan(high), np.inf, high * (1 + slack))


def direction(kappa: Interval, eps: float) -> Interval:
    """Enclose kappa_i / sqrt(kappa_i^2 + q), which grows with kappa_i and shrinks with q."""
    q_low, q_high = _others(kappa, eps)

    def value(end: Array, q: Array) -> Array:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
            far = np.sign(end) / np.sqrt(1 + np.square(np.sqrt(q) / end))
            found = np.where(np.abs(end) > 1, far, end / np.sqrt(end * end + q))
        return np.where(end == 0, 0.0, np.where(np.isnan(found), np.sign(end), found))

    low = value(kappa[0], np.where(kappa[0] >= 0, q_high, q_low))
    high = value(kappa[1], np.where(kappa[1] >= 0, q_low, q_high))
    low, high = widened(low, high)
    unknown = ~(np.isfinite(kappa[0]) & np.isfinite(kappa[1]) & np.isfinite(q_high))
    return (
        np.where(unknown, np.where(kappa[0] >= 0, 0.0, -1.0), np.clip(low, -1.0, 1.0)),
        np.where(unknown, np.where(kappa[1] <= 0, 0.0, 1.0), np.clip(high, -1.0, 1.0)),
    )
