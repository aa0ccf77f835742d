"""Pairs of states of a box, and what a step makes of their distance.

Main name: `stretched`.
"""

from collections.abc import Iterator

import numpy as np

from theory.certificates import Contraction
from theory.maps.base import Map


def stretched(
    recurrent: Map, c: Contraction, rng: np.random.Generator, *, drawn: int = 200
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the distances of pairs before and after a step, in the norm and domain of c.

    States are drawn, and half as many corners; pairs are far apart, then near; inputs are corners
    of |x_i| <= 1.
    """
    low, high = c.domain.low, c.domain.high
    corners = drawn // 2
    H = np.vstack([
        rng.uniform(low, high, (drawn, len(low))),
        np.where(rng.random((corners, len(low))) < 0.5, low, high),
    ])  # fmt: skip
    count = drawn + corners
    X = np.where(rng.random((count, recurrent.input_dim)) < 0.5, -1.0, 1.0)
    for near in (1.0, 1e-3):
        G = H + near * (H[rng.permutation(count)] - H)
        before = np.array([c.norm.vector(d) for d in H - G])
        after = np.array([c.norm.vector(d) for d in recurrent.step(H, X) - recurrent.step(G, X)])
        yield before, after
