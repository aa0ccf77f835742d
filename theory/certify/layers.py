"""Stacks: the certificates of the layers made one, in a weighted maximum of the layers' norms.

Main names: `by_layers`, `certify_layers`, `layer_parts`, `layer_gains`.

Layer l moves by e_l+ <= lam_l e_l + L_l e_{l-1}+, each in the layer's own norm; the comparison is
block triangular, so that every rate above the largest lam_l is one of the stack, for the price of
the weights (`theory.theorems.contractive_of_layers`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from theory.arithmetic.intervals import product_matrix_up
from theory.arithmetic.rounding import product_up
from theory.certificates import Contraction
from theory.domain import Domain
from theory.maps.base import Map
from theory.maps.cascade import Cascade
from theory.norms.norms import L2, Norm, over
from theory.theorems.contractive_of_layers import ROOM, contractive_of_layers


def layer_parts(stack: Cascade, domain: Domain | None) -> tuple[Domain | None, ...] | None:
    """Return the part of a domain that each layer is asked about, with the inputs it can receive.

    None if the image of a layer is unknown.  Where the domain is invariant so are the parts: let
    B = B_1 x .. x B_L be its box, and I_l the enclosure of the image of B_l under the inputs X_l
    that the layer below makes of its own; the image of the stack is I_1 x .. x I_L, so that B holds
    it iff B_l holds I_l for every l.
    """
    if domain is None:
        return (None,) * len(stack.layers)
    return stack.layer_domains(domain)


def layer_gains(
    stack: Cascade, norms: Sequence[Norm], parts: Sequence[Domain | None]
) -> list[float] | None:
    """Return the layers' Lipschitz constants in the new state below, between the layers' norms.

    Rounded upward; None if one of them is unknown.
    """
    gains: list[float] = []
    for number in range(1, len(stack.layers)):
        found = _layer_gain(stack, number, norms[number - 1], norms[number], parts[number])
        if found is None:
            return None
        gains.append(found)
    return gains


def _layer_gain(
    stack: Cascade, number: int, below: Norm, own: Norm, part: Domain | None
) -> float | None:
    r"""Return the smaller of two bounds: L_x |C|, and by the matrix G that majorises a step.

    |step(h, C g + d) - step(h, C k + d)| <= G |C| |g - k| entrywise.  A norm that is monotone
    measures sizes alone, | |e| | = |e|; any other is left for its companion, which is.
    """
    layer, C = stack.layers[number], stack.readouts[number - 1].C
    known: list[float] = []
    slope = layer.input_lipschitz(own)
    if slope is not None:
        known.append(product_up(slope, own.companion.matrix_upper(C, below)))
    seen = layer.input_comparison(part)
    if seen is not None:
        through = product_matrix_up(seen, np.abs(C))
        outer, inner = (norm if norm.monotone else norm.companion for norm in (own, below))
        moved = outer.matrix_upper(through, inner)
        moved = product_up(over(own, outer, n=len(through)), moved)
        known.append(product_up(moved, over(inner, below, n=through.shape[1])))
    return min(known, default=None)


def certify_layers(
    stack: Cascade,
    layers: Sequence[Contraction],
    domain: Domain | None = None,
    *,
    rate: float | None = None,
) -> Contraction | None:
    """Return the contraction of a stack from one of each layer on its part of the domain."""
    parts = layer_parts(stack, domain)
    gains = None if parts is None else layer_gains(stack, [c.norm for c in layers], parts)
    if gains is None or not all(math.isfinite(gain) for gain in gains):
        return None
    sizes = [layer.state_dim for layer in stack.layers]
    return contractive_of_layers(layers, gains, sizes=sizes, rate=rate, domain=domain)


#: What finds contractions of a single layer on its part of the domain.
Search = Callable[[Map, Domain | None], Sequence[Contraction]]


def by_layers(recurrent: Map, domain: Domain | None, search: Search) -> Contraction | None:
    """Return the contraction of a stack by a search for one of every layer.

    The slowest layer sets the rate.  Of the others that certificate is taken whose norm is cheapest
    to convert, for the room that it leaves for what comes from below.
    """
    if not isinstance(recurrent, Cascade) or recurrent.affine() is not None:
        return None
    parts = layer_parts(recurrent, domain)
    if parts is None:
        return None
    found: list[list[Contraction]] = []
    for layer, part in zip(recurrent.layers, parts, strict=True):
        own = [c for c in search(layer, part) if c.iterate == 1]
        if not own:
            return None
        found.append(own)
    goal = max(min(c.lam for c in own) for own in found) * (1 + ROOM / 2)

    def price(c: Contraction, n: int) -> float:
        there, back = over(c.norm, L2(), n=n), over(L2(), c.norm, n=n)
        return product_up(there, back) / (goal - c.lam)

    chosen = [
        min((c for c in own if c.lam < goal), key=lambda c: price(c, n), default=own[0])
        for own, n in zip(found, (layer.state_dim for layer in recurrent.layers), strict=True)
    ]
    return certify_layers(recurrent, chosen, domain)
