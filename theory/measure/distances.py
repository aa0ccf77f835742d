r"""How far apart two series of outputs are, in the user's own measure.

Main names: `Distance`, `DISTANCES`, `look_up_distance`.

A distance takes the outputs of the full model and those of the truncated one at the same times,
both (times, p), and returns a number:

    absolute           max over times and outputs of |y - z|
    total_variation    max over times of sum |y - z| / 2, of probabilities
    flips              share of the times at which the largest output is another one
    decibel            10 log10( sum |y - z|^2 / sum |y|^2 ), the error relative to the signal
    nash_sutcliffe     1 - NSE = sum |y - z|^2 / sum |y - mean y|^2

Averaged over times, total variation is what is called effective remembrance: how much of the output
an early input still moves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from theory.typing import Array

#: Of two series of outputs, each (times, p).
Distance: TypeAlias = Callable[[Array, Array], float]

#: By how much probabilities may miss 1 in single precision: the rounding of a softmax over 10**4.
_OFF_ONE = 2.0**-10


def absolute(y: Array, z: Array) -> float:
    """Return the largest difference of an output."""
    return float(np.max(np.abs(y - z)))


def total_variation(y: Array, z: Array) -> float:
    """Return the largest total variation distance of two distributions.

    Raises
    ------
    ValueError
        If outputs are no probabilities.
    """
    for one in (y, z):
        sound = np.all(one >= 0) and np.all(np.abs(one.sum(axis=1) - 1.0) <= _OFF_ONE)
        if not sound:
            raise ValueError(
                "total_variation needs outputs that are probabilities: none negative, with sum 1; "
                f"received outputs from {np.min(one):.4g} to {np.max(one):.4g} with sums from "
                f"{np.min(one.sum(axis=1)):.4g} to {np.max(one.sum(axis=1)):.4g}; apply softmax "
                "in predict, or take another distance"
            )
    return float(np.max(0.5 * np.abs(y - z).sum(axis=1)))


def flips(y: Array, z: Array) -> float:
    """Return the share of the times at which the largest output is another one."""
    if y.shape[1] < 2:
        raise ValueError(
            "flips compares which of several outputs is the largest, received one output; return "
            "both classes in predict, as in [1 - p, p]"
        )
    return float(np.mean(np.argmax(y, axis=1) != np.argmax(z, axis=1)))


def decibel(y: Array, z: Array) -> float:
    """Return the level of the error relative to the signal; -inf without an error."""
    error, signal = float(np.sum((y - z) ** 2)), float(np.sum(y**2))
    if error == 0:
        return -np.inf
    return float(10.0 * (np.log10(error) - np.log10(signal))) if signal > 0 else np.inf


def nash_sutcliffe(y: Array, z: Array) -> float:
    """Return 1 minus the Nash-Sutcliffe efficiency; infinite where the full output is constant."""
    error, spread = float(np.sum((y - z) ** 2)), float(np.sum((y - y.mean(axis=0)) ** 2))
    if error == 0:
        return 0.0
    return error / spread if spread > 0 else np.inf


#: The ready ones, by name.
DISTANCES: dict[str, Distance] = {
    "absolute": absolute,
    "total_variation": total_variation,
    "flips": flips,
    "decibel": decibel,
    "nash_sutcliffe": nash_sutcliffe,
}

#: Those that are of a whole series: of one time they say nothing, or not what they are read as.
OF_SERIES = ("nash_sutcliffe",)


def look_up_distance(distance: Any) -> tuple[str, Distance]:
    """Return the name of a distance, and the distance.

    Raises
    ------
    ValueError
        If it is neither a known name nor a function.
    """
    if callable(distance):
        return str(getattr(distance, "__name__", "own distance")), distance
    if distance not in DISTANCES:
        raise ValueError(
            f"distance={distance!r}, needed one of: {', '.join(DISTANCES)}, or a function of two "
            "series of outputs (times, p)"
        )
    return distance, DISTANCES[distance]
