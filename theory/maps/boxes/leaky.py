"""Boxes of a leaky cell: enclosures of a step and matrices that majorise it.

Main names: `leaky_image`, `leaky_comparison`, `leaky_terms`, `leaky_input_comparison`.
"""

from __future__ import annotations

import numpy as np

from theory.arithmetic.activations import Activation
from theory.arithmetic.intervals import (
    Interval,
    activation_image,
    complement,
    products,
    slope_range,
    sum_of,
    times_up,
)
from theory.maps.boxes.ends import (
    Ends,
    Weights,
    finite_or_none,
    magnitude,
    mixed,
    narrowed,
    preactivation,
    scaled,
)
from theory.theorems.sectors import Sector, Sectors
from theory.theorems.terms import Signal, Terms
from theory.typing import Array


def leaky_image(weights: Weights, leak: Array, rho: Activation, box: Ends) -> Interval:
    """Enclose (1 - a) h + a rho(W h + U x + b) over a box of h and x."""
    image = activation_image(rho, *_arguments(weights, box))
    return mixed((leak, leak), image, (box.low, box.high))


def _arguments(weights: Weights, box: Ends) -> Interval:
    """Enclose W h + U x + b over a box of h and x."""
    at = preactivation(weights, (box.low, box.high), (box.input_low, box.input_high))
    return narrowed(at, box)


def leaky_comparison(
    weights: Weights, leak: Array, rho: Activation, box: Ends
) -> tuple[Array, ...] | None:
    r"""Return |(1 - a) I + a s W| at the least and the largest slopes s, which majorise a step.

    A difference is (1 - a) d + a s W d with one slope s for each unit, and its size is convex in
    each slope, hence largest at an end.
    """
    at = _arguments(weights, box)
    least, largest = slope_range(rho, *at)
    own = np.diag(weights.W)
    matrices = []
    for s in (least,) if np.array_equal(least, largest) else (least, largest):
        gain = times_up(leak, np.abs(s))
        M = scaled(gain, weights.W)
        middle = products(products((leak, leak), (s, s)), (own, own))
        np.fill_diagonal(M, magnitude(sum_of(complement(leak), middle)))
        matrices.append(M)
    return finite_or_none(*matrices)


def leaky_terms(weights: Weights, leak: Array, rho: Activation, box: Ends) -> Terms:
    """Return the terms (1 - a) d and a s W d, s the largest sizes of slopes."""
    at = _arguments(weights, box)
    C = np.stack([complement(leak)[1], times_up(leak, magnitude(slope_range(rho, *at)))])
    return Terms(
        coefficients=C[None, None],
        signals=(Signal(0, None), Signal(0, weights.W)),
        state_parts=1,
    )


def leaky_sectors(weights: Weights, leak: Array, rho: Activation, box: Ends) -> Sectors:
    """Return d - a d + s, with s a slope of a rho times W d."""
    slopes = slope_range(rho, *_arguments(weights, box))
    return Sectors(
        units=len(leak),
        state_parts=1,
        terms=(Sector(0, ((0, weights.W),), products((leak, leak), slopes)),),
        direct=((0, (0, 1.0)), (0, (0, -np.diag(leak)))),
    )


def leaky_input_comparison(
    weights: Weights, leak: Array, rho: Activation, box: Ends
) -> Array | None:
    """Return diag(a s) |U|, s the largest sizes of slopes."""
    at = _arguments(weights, box)
    return scaled(times_up(leak, magnitude(slope_range(rho, *at))), weights.U)
