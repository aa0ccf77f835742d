"""By how much one step stretches chosen pairs of states: bounds of a rate from below.

Main names: `step_ratios`, `norm_attaining`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from theory.arithmetic.rounding import UNIT
from theory.domain import Domain
from theory.norms.norm import Coordinates, Norm
from theory.typing import Array


def step_ratios(
    norm: Norm,
    directions: Array,
    states: Array,
    inputs: Array,
    step: Callable[[Array, Array], Array],
    local: Callable[[Array, Array], float],
    domain: Domain | None = None,
) -> tuple[Array, Array]:
    """Return the ratios by which one step stretches chosen pairs of states, with budgets.

    The pairs are neighbours and opposites along the given directions, around some of the given
    states and around zero, moved into the domain if there is one; `local` bounds the rounding of
    one step from sizes of h and x.
    """
    n = states.shape[1]
    chosen = states[np.linspace(0, len(states) - 1, min(len(states), 12)).astype(int)]
    bases = np.vstack([np.zeros((1, n)), chosen])
    drives = np.vstack([np.zeros((1, inputs.shape[1])), inputs[: min(len(inputs), 4)]])
    size = 1.0 + float(np.max(np.abs(bases)))
    scales = np.array([size * 2.0**-10, -size])
    shifts = (scales[:, None, None] * directions).reshape(-1, n)
    h = np.repeat(bases, len(shifts) * len(drives), axis=0)
    g = h + np.tile(np.repeat(shifts, len(drives), axis=0), (len(bases), 1))
    x = np.tile(drives, (len(bases) * len(shifts), 1))
    if domain is not None and domain.reached is not None:
        # no other states are known to lie there than those of a run from zero
        count = len(bases)
        h = np.repeat(bases, count * len(drives), axis=0)
        g = np.tile(np.repeat(bases, len(drives), axis=0), (count, 1))
        x = np.tile(drives, (count * count, 1))
    elif domain is not None:
        h, g = (np.clip(state, domain.low, domain.high) for state in (h, g))
    if domain is not None:
        x = np.clip(x, domain.input_low, domain.input_high)
    before = norm.vector(g - h)
    images = step(g, x), step(h, x)
    after = norm.vector(images[0] - images[1])
    # the images too: the step of a user's own function errs relative to what it returns
    reach = np.max(np.abs(np.vstack([g, h, *images])), axis=0)
    error = local(reach, np.max(np.abs(x), axis=0))
    keep = before > 0
    ratios = after[keep] / before[keep]
    # both steps err, and so do the differences (by u times a size) and the norms (relatively)
    relative = 4 * norm.vector_rounding(n) + 8 * UNIT
    entry = norm.majorant(4 * UNIT * reach)
    return ratios, (2 * error + entry * (1 + ratios)) / before[keep] + relative * ratios


def norm_attaining(norm: Norm, A: Array) -> Array:
    """Return directions, (p, n), that nearly maximise ||A d|| / ||d||; largest entry 1."""
    n = A.shape[1]
    candidates = [np.ones(n)]
    if np.any(A):
        scaled = A / np.max(np.abs(A))
        candidates.append(np.linalg.svd(scaled)[2][0])
        plain = Coordinates(p=2.0, weights=np.ones(n))
        own = plain if norm.blocks else norm.coordinates(n)
        rows, columns = (own if own.p == p else plain for p in (math.inf, 1.0))
        B = rows.conjugated(scaled)
        worst = B[int(np.argmax(np.sum(np.abs(B), axis=1)))]
        candidates.append(rows.inverse @ np.where(worst < 0, -1.0, 1.0))
        B = np.abs(columns.conjugated(scaled))
        candidates.append(columns.inverse[:, int(np.argmax(np.sum(B, axis=0)))])
        if own.p == 2 and not own.plain:
            # differences that an activation turns out of the thin direction of the unit ball
            candidates.extend(np.linalg.eigh(own.T.T @ own.T)[1].T[[0, -1]])
            candidates.append(own.inverse @ np.linalg.svd(own.conjugated(scaled))[2][0])
    directions = np.array(candidates, dtype=np.float64)
    scaled_down: Array = directions / np.max(np.abs(directions), axis=1, keepdims=True)
    return scaled_down
