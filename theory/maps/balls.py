r"""Balls that no trajectory from zero leaves, of maps that leave every box.

Main names: `ball_domain`, `stays_in_balls`, `ball_reach`.

A rotation leaves every box and yet contracts.  With e <= M e + s for the lengths e of groups of
entries (`theory.maps.lengths`), s those of step(0, x), states with e <= r stay there if M r + s <=
r; and with lam < 1 the rate in a plain norm and C the largest |step(0, x)| there, where |h| <=
C / (1 - lam).  The domain is the box around them; of a `Block` with the outputs that it gives.
"""

from __future__ import annotations

import math

import numpy as np

from theory.arithmetic.intervals import Interval, plus_up, product_matrix_up
from theory.arithmetic.rounding import down, product_up, up
from theory.domain import Domain, Reached
from theory.inputs import Inputs
from theory.maps.base import Map
from theory.maps.block import Block
from theory.maps.boxes.ends import fixed_box
from theory.maps.lengths import Groups
from theory.norms.norms import L1, L2, Linf, Norm, over
from theory.theorems.contractive_of_matrix_norm import contractive_of_matrix_norm
from theory.typing import Array

#: The norms whose balls are known by their name.
_BALLS: dict[str, Norm] = {"L2": L2(), "L1": L1()}

#: What the product of the balls of groups of entries is known by.
LENGTHS = "lengths"

#: A box is this much wider, relatively, than the balls in it: for rounding.
_ROOM = 2.0**-12


def ball_domain(layer: Map, inputs: Inputs) -> Domain | None:
    """Return the box around the smallest balls that a map is known not to leave, None if none."""
    low, high = inputs.ends(layer.input_dim)

    def around(name: str, ends: Interval) -> Domain:
        return Domain(
            low=ends[0], high=ends[1], input_low=low, input_high=high, reached=Reached(ball=name)
        )

    found: list[Domain] = []
    lengths = _of_lengths(layer, (low, high))
    if lengths is not None and stays_in_balls(layer, around(LENGTHS, lengths)):
        found.append(around(LENGTHS, lengths))
    for name, norm in _BALLS.items():
        reach = ball_reach(layer, norm, inputs)
        if math.isfinite(reach):
            end = np.full(layer.state_dim, reach * (1 + _ROOM))
            found.append(around(name, (-end, end)))
    return min(found, key=lambda one: float(np.mean(one.high - one.low)), default=None)


def ball_reach(layer: Map, name: Norm | str, inputs: Inputs) -> float:
    """Bound |h_i| for all states reached from zero, by a contraction in a norm; inf if none is."""
    norm = _BALLS.get(name) if isinstance(name, str) else name
    form = layer.affine()
    if norm is None or form is None or not np.isfinite(inputs.ends(layer.input_dim)).all():
        return math.inf
    c = contractive_of_matrix_norm(form.W, form.rho, norm=norm)
    if c is None:
        return math.inf
    # |h| <= r and lam r + C <= r give |h+| <= r
    radius = up(float(layer.drive(norm, inputs)) / down(1 - c.lam))
    return product_up(over(Linf(), norm, n=layer.state_dim), radius)


def _core(layer: Map) -> Map:
    return layer.core if isinstance(layer, Block) else layer


def _received(layer: Map, inputs: Interval) -> Interval:
    """Enclose what the core sees."""
    before = layer.before if isinstance(layer, Block) else None
    return inputs if before is None else before.image(inputs)


def _given(layer: Map, reach: Array, inputs: Interval) -> Interval:
    """Enclose what is made of states of the core within a reach, and of the inputs."""
    after = layer.after if isinstance(layer, Block) else None
    if after is None:
        return np.zeros(0), np.zeros(0)
    image: Interval = after.image((np.append(-reach, inputs[0]), np.append(reach, inputs[1])))
    return image


def _of_lengths(layer: Map, inputs: Interval) -> Interval | None:
    """Return a box around balls of groups of entries that may stay; nothing is proved."""
    core, seen = _core(layer), _received(layer, inputs)
    if not np.isfinite([*seen[0], *seen[1]]).all():
        return None
    zero = np.zeros(core.state_dim)
    known = core.group_comparison(
        Domain(low=zero, high=zero, input_low=seen[0], input_high=seen[1])
    )
    if known is None or known.rest is None:
        return None
    radii = fixed_box(np.maximum.reduce(known.own), known.rest)
    if radii is None or not np.isfinite(radii[1]).all() or not bool(np.all(radii[1] >= 0)):
        return None
    reach = radii[1][known.group]
    low, high = _given(layer, reach, inputs)
    if not np.isfinite([*low, *high]).all():
        return None
    return np.append(-reach, np.minimum(low, 0.0)), np.append(reach, np.maximum(high, 0.0))


def radii_in(domain: Domain, group: Groups) -> Array:
    """Return the radii of the largest balls of groups of the first entries in a box, (p,)."""
    within = np.minimum(-domain.low, domain.high)[: len(group)]
    radii = np.full(int(group.max()) + 1, math.inf)
    np.minimum.at(radii, group, within)
    return radii


def stays_in_balls(layer: Map, domain: Domain) -> bool:
    """Return whether it is proved that no state from zero leaves the balls in a domain."""
    core, inputs = _core(layer), (domain.input_low, domain.input_high)
    n, seen = core.state_dim, _received(layer, inputs)
    box = Domain(low=domain.low[:n], high=domain.high[:n], input_low=seen[0], input_high=seen[1])
    known = core.group_comparison(box)
    if known is None or known.rest is None:
        return False
    # 0 and every state of the balls are in the box: |h+| <= |step(h) - step(0)| + |step(0)|
    radii = radii_in(domain, known.group)
    for M in known.own:
        if not bool(
            np.all(plus_up(product_matrix_up(M, radii[:, None])[:, 0], known.rest) <= radii)
        ):
            return False
    low, high = _given(layer, radii[known.group], inputs)
    return bool(np.all(domain.low[n:] <= low) and np.all(high <= domain.high[n:]))
