r"""Contraction of a stack of layers, in a weighted maximum of the layers' own norms.

Statement   |step(h, x) - step(g, x)| <= (own + gain * weight / lower * beneath) * |h - g|
Assumes     every layer contracts by own in its norm and is Lipschitz by gain in the new state of
            the layer below, between their norms; all states and inputs lie in a domain that the map
            never leaves; |h| = max_l w_l |h_l|_l, attained after the step at a layer of weight
            weight, lower that of the layer below it, whose part has grown by at most beneath
Kind        sharp, attained by positive scalar linear layers; 0 comes from below the first layer
Source      this project; block triangular comparison, with w_l / w_{l-1} small enough every rate
            above the largest of the layers'
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from theory.arithmetic.rounding import evaluate
from theory.certificates import Contraction, certified, check_one_step
from theory.domain import Domain
from theory.errors import check_count, check_nonnegative, check_rate
from theory.norms.blocks import BlockMax
from theory.norms.norms import Linf, Norm, over
from theory.theorems.assumptions import BLOCK_MAXIMUM, IN_DOMAIN, LAYERED
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(own: Scalar, gain: Scalar, weight: Scalar, lower: Scalar, beneath: Scalar) -> Scalar:
    """Return the right-hand side."""
    return own + gain * weight / lower * beneath


#: The rate aimed at is larger than the largest of the layers' by this, relatively: below one per
#: cent, and each halving would double the ratio of the weights.
ROOM = 2.0**-7

#: Weights are this much smaller, relatively, than the rate aimed at allows, for rounding.
_INSIDE = 2.0**-40


#: Weights beyond this, or its inverse, would leave the range when they multiply norms.
_LARGEST = 2.0**500

#: Smaller rates are aimed at as this one: room beside it, divided by a gain that weights within
#: `_LARGEST` can answer, is still a number of all digits.
LEAST = 1 / _LARGEST


def layer_rates_of(
    rates: Sequence[float], gains: Sequence[float], weights: Sequence[float]
) -> list[float]:
    """Return bounds of what the parts of the layers grow by, from the first up, rounded upward.

    Parameters
    ----------
    rates, weights : sequence of float
        Of every layer.
    gains : sequence of float
        Of every layer but the first, in the one below; finite.
    """
    found = [float(rates[0])]
    for number in range(1, len(rates)):
        if not math.isfinite(found[-1]):
            return [*found, *(math.inf for _ in rates[number:])]
        found.append(
            evaluate(
                formula,
                own=rates[number],
                gain=gains[number - 1],
                weight=weights[number],
                lower=weights[number - 1],
                beneath=found[-1],
            )
        )
    return found


def _weights(
    layers: Sequence[Contraction], gains: Sequence[float], sizes: Sequence[int], goal: float
) -> list[float]:
    """Return the largest weights that the goal allows, of units of about equal size at most."""
    reach = [over(c.norm, Linf(), n=size) for c, size in zip(layers, sizes, strict=True)]
    weights, grown = [1.0], layers[0].lam
    for number in range(1, len(layers)):
        own, gain, below = layers[number].lam, gains[number - 1], weights[-1]
        # the norms of two layers at |h_i| <= 1 need not be further apart than they are
        weight = below * reach[number - 1] / reach[number]
        if gain * grown > 0:
            weight = min(weight, below * (goal - own) / (gain * grown) * (1 - _INSIDE))
        weights.append(weight)
        grown = own + gain * weight / below * grown
    return weights


def contractive_of_layers(
    layers: Sequence[Contraction],
    gains: Sequence[float],
    *,
    sizes: Sequence[int],
    rate: float | None = None,
    domain: Domain | None = None,
) -> Contraction | None:
    r"""Return the contraction of a stack, each layer of which sees the new state of the one below.

    Parameters
    ----------
    layers : sequence of Contraction
        Of every layer alone, from the input up; of a single step, on the layer's part of the
        domain.
    gains : sequence of float
        Of every layer but the first: its Lipschitz constant in the state of the layer below,
        between their norms, what is read out in between included.
    sizes : sequence of int
        Number of states of every layer.
    rate : float, optional
        The rate aimed at, above that of every layer; by default just above.  A larger one comes
        with a norm that is cheaper to convert.
    domain : Domain, optional
        Where it holds, a box that the stack never leaves; everywhere by default.

    Returns
    -------
    Contraction or None
        In a `BlockMax` of the layers' norms; certified if all layers are.  None if the weights
        leave the range of double precision.

    Raises
    ------
    ValueError
        If there is no layer, numbers do not fit, a contraction is not one of a single step, a gain
        is negative or NaN, a norm is not one on its layer's states, or the rate is not one above
        all layers'.

    Examples
    --------
    >>> c = Contraction.assumed(0.9)
    >>> found = contractive_of_layers([c, c], [0.5], sizes=[1, 1])
    >>> round(found.lam, 3), found.norm.weights.round(4).tolist()
    (0.907, [1.0, 0.0156])
    """
    kept = list(layers)
    if not kept or len(gains) != len(kept) - 1 or len(sizes) != len(kept):
        raise ValueError(
            f"received {len(kept)} layers, {len(gains)} gains and {len(sizes)} sizes, needed at "
            "least one layer, a gain for each but the first, and a size for each"
        )
    for c in kept:
        check_one_step(c)
    for i, (gain, size) in enumerate(zip([0.0, *gains], sizes, strict=True)):
        check_nonnegative(**{f"gains[{i - 1}]": gain})
        check_count(at_least=1, **{f"sizes[{i}]": size})
        kept[i].norm.check_dim(size)
    largest = max(c.lam for c in kept)
    aim = max(largest, LEAST) * (1 + ROOM)
    goal = min(aim, (1 + largest) / 2) if rate is None else rate
    check_rate(goal)
    if rate is not None and not rate > largest:
        raise ValueError(f"rate={rate!r}, needed one above that of every layer, {largest!r}")
    weights = _weights(kept, gains, sizes, goal)
    if not all(LEAST < weight < _LARGEST for weight in weights):
        return None
    lam = max(layer_rates_of([c.lam for c in kept], gains, weights))
    if not lam < 1:
        return None
    norms: list[Norm] = [c.norm for c in kept]
    told = ", ".join(f"{c.lam:.6g} ({c.evidence.method})" for c in kept)
    more: dict[str, Any] = {
        "method": "layers",
        "detail": f"layers {told}; weights within a factor {max(weights) / min(weights):.6g}",
        "domain": domain,
        "parts": tuple(kept),
    }
    make = certified if all(c.evidence.is_certified for c in kept) else Contraction.assumed
    return make(lam, BlockMax(norms, sizes=sizes, weights=weights), **more)


CONTRACTIVE_OF_LAYERS = Theorem(
    name="contractive_of_layers",
    title="contraction of a stack of layers",
    quantity=r"\frac{\|\phi(h, x) - \phi(g, x)\|_{\max}}{\|h - g\|_{\max}}",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(LAYERED, IN_DOMAIN, BLOCK_MAXIMUM),
    source="this project",
    criterion=True,
)
