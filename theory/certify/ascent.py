"""Products of slopes and weights whose spectral radius is large: a rate that no norm can beat.

Main name: `LowerBound`.

If ||step(h, x) - step(g, x)|| <= r ||h - g|| in some norm for every choice of slopes s_i in
[alpha_i, beta_i], then every product of p matrices diag(s) W has norm at most r**p, so its
spectral radius is at most r**p.  A good product is found by search and its spectral radius bounded
rigorously from below.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from theory.arithmetic.rounding import scaled_to_one
from theory.maps.form import Affine
from theory.norms.products import slope_vertices
from theory.norms.radius import balanced, product_radius_lower
from theory.typing import Array

#: Up to which dimension so many starts, factors and rounds of ascent are tried.
_EFFORT = (
    (64, (1000, 1000, 20)),
    (128, (3, 1000, 20)),
    (256, (1, 2, 6)),
    (math.inf, (1, 1, 2)),
)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class LowerBound:
    """A rate that no norm can beat, with the product that shows it.

    Over all sequences of the slopes that units have anywhere, or over the states and inputs in
    question, of which the product is one of Jacobians, in any order.
    """

    rate: float  # rounded downward
    slopes: Array | None = None  # the periodic slope sequence, (p, n)
    states: Array | None = None  # where the Jacobians are, (p, n)
    inputs: Array | None = None  # and under which inputs, (p, m)


def _growth(W: Array, slopes: Array) -> float:
    """Return rho(product)^(1/p) as computed."""
    product = np.eye(len(W))
    for s in slopes:
        product = (s[:, None] * W) @ product
    return math.pow(float(np.max(np.abs(np.linalg.eigvals(product)))), 1 / len(slopes))


def _effort(n: int) -> tuple[int, int, int]:
    """Return how many starts, factors and rounds are worth it: eigenvalues cost n^3 each."""
    return next(effort for size, effort in _EFFORT if n <= size)


def _ascend(W: Array, low: Array, high: Array, slopes: Array) -> tuple[float, Array]:
    """Move one factor at a time to the vertex that the eigenvalue's gradient points to.

    For a product lambda = u* diag(s) W R v / (u* v) is affine in each s_i, so its derivative is
    u_i* (W R v)_i / (u* v), and a step to a vertex in the direction in which |lambda| grows.
    """
    best, current = _growth(W, slopes), slopes.copy()
    p = len(slopes)
    for _ in range(_effort(len(W))[2]):
        improved = False
        for j in range(p):
            # the cyclic order that ends with factor j has the same spectral radius
            rest = np.eye(len(W))
            for i in range(1, p):
                rest = (current[(j + i) % p][:, None] * W) @ rest
            inner = W @ rest
            values, vectors = np.linalg.eig(current[j][:, None] * inner)
            k = int(np.argmax(np.abs(values)))
            left_values, left_vectors = np.linalg.eig((current[j][:, None] * inner).T)
            u = left_vectors[:, int(np.argmin(np.abs(left_values - values[k])))]
            v = vectors[:, k]
            overlap = complex(u @ v)
            if values[k] == 0 or overlap == 0:
                break
            slope = np.real(np.conj(values[k]) * u * (inner @ v) / overlap)
            wanted = np.where(slope > 0, high, low)
            promise = slope * (wanted - current[j])
            order = np.argsort(-promise, kind="stable")
            count = int(np.count_nonzero(promise > 0))
            # the derivative is that of one slope at a time: where all changes together overshoot,
            # try the more promising half of them, and so on
            while count > 0:
                trial = current.copy()
                trial[j, order[:count]] = wanted[order[:count]]
                value = _growth(W, trial)
                if value > best * (1 + 1e-12):
                    best, current, improved = value, trial, True
                    break
                count //= 2
        if not improved:
            break
    return best, current


def search_products(
    form: Affine, random: np.random.Generator, length: int, starts: int
) -> LowerBound:
    """Return the best of all vertices, if they are few, and of ascents from random products."""
    n = len(form.W)
    W = balanced(scaled_to_one(form.W)[0])[1]
    # a common factor of all slopes changes no choice between them
    ends = scaled_to_one(np.array(form.rho.slope))[0]
    low, high = np.full(n, ends[0]), np.full(n, ends[1])
    candidates: list[tuple[float, Array]] = []
    if low[0] == high[0]:
        candidates = [(_growth(W, high[None]), high[None])]
    else:
        if n <= 8:
            vertices = slope_vertices(low, high)
            radii = np.max(np.abs(np.linalg.eigvals(vertices[:, :, None] * W)), axis=-1)
            for i in np.argsort(-radii, kind="stable")[:3]:
                candidates.append((float(radii[i]), vertices[i][None]))
        most, longest, _ = _effort(n)
        for p in range(1, min(length, longest) + 1):
            first = [np.tile(high, (p, 1)), np.tile(np.where(high > -low, high, low), (p, 1))]
            for j in range(min(starts, most)):
                slopes = first[j] if j < 2 else np.where(random.random((p, n)) < 0.5, high, low)
                candidates.append(_ascend(W, low, high, slopes))
    # of equal ones, as far as an eigenvalue routine can tell, the shortest first
    top = max(growth for growth, _ in candidates)
    candidates.sort(key=lambda one: (one[0] < top * (1 - 1e-9), len(one[1]), -one[0]))
    # all slopes at their largest are those in the middle of the box, where it is around 0
    steepest = [
        np.where(slopes == high, form.rho.slope[1], form.rho.slope[0])
        for slopes in (*(slopes for _, slopes in candidates[:3]), high[None])
    ]
    best = LowerBound(rate=0.0, slopes=steepest[0])
    for slopes in steepest:
        rate = product_radius_lower(form.W, slopes)
        # the bound of a longer product is a little nearer to its radius: no reason to prefer it
        if rate > best.rate * (1 + 2e-6):
            best = LowerBound(rate=rate, slopes=slopes)
    return best
