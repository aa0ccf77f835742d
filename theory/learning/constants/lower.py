"""States, inputs and parameters at which the constants are nearly reached: bounds from below.

Main name: `constants_lower`.
"""

from __future__ import annotations

import math

import numpy as np

from theory.errors import check_count
from theory.learning.constants.values import MapConstants
from theory.maps.base import Map, check_map
from theory.norms.norms import L2
from theory.typing import Array


def constants_lower(
    recurrent: Map, constants: MapConstants, *, rng: np.random.Generator, rounds: int = 400
) -> dict[str, float]:
    r"""Search for states, inputs and parameters at which the constants are nearly reached.

    Parameters
    ----------
    recurrent : Map
        One of the maps that `constants` are about.
    constants : MapConstants
    rng : numpy.random.Generator
    rounds : int
        Points tried for each constant; half of them near the best so far.

    Returns
    -------
    dict
        A lower value of lam, weight_gain, beta_hh, beta_hw and beta_ww: difference quotients, which
        no true constant is below.  Good for refuting and for judging looseness.

    Raises
    ------
    ValueError
        If `rounds` is not a positive count.
    """
    check_map(recurrent)
    check_count(at_least=1, rounds=rounds)
    norm, n, m = constants.norm, recurrent.state_dim, recurrent.input_dim
    names = constants.trained
    values = recurrent.parameters
    sizes = {name: values[name].size for name in names}
    total = sum(sizes.values())

    def moved(dw: Array) -> Map:
        if not dw.any():
            return recurrent
        changed, at = {}, 0
        for name in names:
            piece = dw[at : at + sizes[name]].reshape(values[name].shape)
            changed[name] = values[name] + piece
            at += sizes[name]
        return recurrent.with_parameters(**changed)

    def box(h: Array) -> Array:
        """Return a state inside the domain."""
        size = float(norm.vector(h))
        h = h * min(1.0, constants.state_bound / size) if size > 0 else h
        return np.asarray(h if constants.box is None else np.clip(h, -constants.box, constants.box))

    def inside(x: Array) -> Array:
        size = float(L2().vector(x))
        return np.asarray(x * min(1.0, constants.input_bound / size) if size > 0 else x)

    small = 2.0**-10
    # a step in w leaves the domain of a single map by so little: 2**-10 relative to its radius
    reach = max(constants.radius, 2.0**-20)

    def quotients(genes: Array) -> dict[str, float]:
        h = box(genes[:n] * 2 * constants.state_bound / math.sqrt(n))
        x = inside(genes[n : n + m] * 2 * constants.input_bound / math.sqrt(m))
        u, e = genes[n + m : 2 * n + m], genes[2 * n + m : 3 * n + m]
        d = genes[3 * n + m :]
        u, e = u / max(float(norm.vector(u)), 1e-300), e / max(float(norm.vector(e)), 1e-300)
        d = d / max(float(np.linalg.norm(d)), 1e-300) * reach
        other = moved(d)
        t = small * max(constants.state_bound, 2.0**-20)
        g = box(h + t * u)
        gap = float(norm.vector(g - h))
        J, K, Q = (
            recurrent.jacobian_state(h, x),
            recurrent.jacobian_state(g, x),
            other.jacobian_state(h, x),
        )
        middle, far = recurrent.step(h, x), other.step(h, x)
        back = moved(-d).step(h, x)
        return {
            "lam": float(norm.vector(J @ e)),
            "weight_gain": float(norm.vector(far - middle)) / reach,
            # two states that the box brings together show rounding only
            "beta_hh": float(norm.vector((K - J) @ e)) / gap if gap > t / 4 else 0.0,
            "beta_hw": float(norm.vector((Q - J) @ e)) / reach,
            "beta_ww": float(norm.vector(far - 2 * middle + back)) / reach**2
            if constants.radius > 0
            else 0.0,
        }

    best: dict[str, float] = {}
    at: dict[str, Array] = {}
    length = 3 * n + m + total
    for trial in range(rounds):
        genes = rng.standard_normal(length) * (rng.random(length) < rng.choice([0.3, 1.0]))
        targets = list(best)
        if targets and trial % 2:
            parent = at[targets[rng.integers(len(targets))]]
            genes = parent + rng.choice([0.05, 0.3]) * genes
        for name, value in quotients(genes).items():
            if name not in best or value > best[name]:
                best[name], at[name] = value, genes
    return best
