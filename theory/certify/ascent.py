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
from typing import Any, final

import numpy as np

from theory.arithmetic.rounding import scaled_to_one
from theory.maps.form import Affine
from theory.norms.products import slope_vertices
from theory.norms.radius import balanced, leading_pair, product_radius_lower
from theory.shown import shown
from theory.typing import Array


@shown
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
    order: tuple[int, ...] = ()  # of a set of matrices: which act, the first one first


#: Beyond this dimension only leading eigenvalues are computed, by Arnoldi's method.
_DENSE = 64

#: Floating-point operations that all of them may take, some ten seconds.
_WORK = 2.0**36


def _times(W: Array, slopes: Array, x: Any) -> Any:
    """Return the product of diag(s) W over all s, the first one applied first, times x."""
    for s in slopes:
        x = s * (W @ x)
    return x


def _leading(W: Array, slopes: Array) -> tuple[complex, Any, Any]:
    """Return about the eigenvalue of the product that is largest in magnitude, with its vectors.

    Of one call, a left and a right vector, at equal eigenvalues as far as an eigenvalue routine can
    tell; zero if none was found.
    """
    n = len(W)
    if n <= _DENSE:
        product = _times(W, slopes[:, :, None], np.eye(n))
        values, vectors = np.linalg.eig(product)
        k = int(np.argmax(np.abs(values)))
        left_values, left_vectors = np.linalg.eig(product.T)
        i = int(np.argmin(np.abs(left_values - values[k])))
        return complex(values[k]), vectors[:, k], left_vectors[:, i]
    value, v = leading_pair(lambda x: _times(W, slopes, x), n)

    def transposed(x: Any) -> Any:
        for s in slopes[::-1]:
            x = W.T @ (s * x)
        return x

    other, u = leading_pair(transposed, n)
    # of a pair of complex eigenvalues each call may return either
    return value, v, u if abs(other - value) <= abs(other.conjugate() - value) else u.conj()


def _growth(W: Array, slopes: Array) -> float:
    """Return rho(product)^(1/p) as computed."""
    n = len(W)
    if n <= _DENSE:
        product = _times(W, slopes[:, :, None], np.eye(n))
        size = float(np.max(np.abs(np.linalg.eigvals(product))))
    else:
        size = abs(leading_pair(lambda x: _times(W, slopes, x), n)[0])
    return math.pow(size, 1 / len(slopes))


def _ascend(
    W: Array, low: Array, high: Array, slopes: Array, *, work: float = math.inf
) -> tuple[float, Array]:
    """Move one factor at a time to the vertex that the eigenvalue's gradient points to.

    For a product lambda = u* diag(s) W R v / (u* v) is affine in each s_i, so its derivative is
    u_i* (W R v)_i / (u* v), and a step to a vertex in the direction in which |lambda| grows.
    """
    best, current = _growth(W, slopes), slopes.copy()
    p, n = len(slopes), len(W)
    left = work / (200.0 * p * n * n)  # how many eigenvalues, at a hundred products each
    for _ in range(20):
        improved = False
        for j in range(p):
            # the cyclic order that ends with factor j has the same spectral radius
            order = np.roll(current, -1 - j, axis=0)
            value, v, u = _leading(W, order)
            overlap = complex(u @ v)
            left -= 2
            if value == 0 or overlap == 0 or left < 0:
                break
            inner = W @ _times(W, order[:-1], v)
            slope = np.real(np.conj(value) * u * inner / overlap)
            wanted = np.where(slope > 0, high, low)
            promise = slope * (wanted - current[j])
            ranking = np.argsort(-promise, kind="stable")
            count = int(np.count_nonzero(promise > 0))
            # the derivative is that of one slope at a time: where all changes together overshoot,
            # try the more promising half of them, and so on
            while count > 0:
                trial = current.copy()
                trial[j, ranking[:count]] = wanted[ranking[:count]]
                size = _growth(W, trial)
                left -= 1
                if size > best * (1 + 1e-12):
                    best, current, improved = size, trial, True
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
        count = starts if n <= _DENSE else min(starts, 3)
        work = math.inf if n <= _DENSE else _WORK / (count * length)
        for p in range(1, length + 1):
            first = [np.tile(high, (p, 1)), np.tile(np.where(high > -low, high, low), (p, 1))]
            for j in range(count):
                slopes = first[j] if j < 2 else np.where(random.random((p, n)) < 0.5, high, low)
                candidates.append(_ascend(W, low, high, slopes, work=work))
    # of equal ones, as far as an eigenvalue routine can tell, the shortest first
    top = max(growth for growth, _ in candidates)
    candidates.sort(key=lambda one: (one[0] < top * (1 - 1e-9), len(one[1]), -one[0]))
    # each proof costs some twenty products of matrices; slopes constant at the end that is larger
    # in magnitude need no luck
    plain = np.where(high >= -low, high, low)[None]
    chosen = [slopes for _, slopes in candidates[: 3 if n <= _DENSE else 1]]
    if not any(np.array_equal(slopes, plain) for slopes in chosen):
        chosen.append(plain)
    steepest = [np.where(slopes == high, form.rho.slope[1], form.rho.slope[0]) for slopes in chosen]
    best = LowerBound(rate=0.0, slopes=steepest[0])
    for slopes in steepest:
        rate = product_radius_lower(form.W, slopes)
        # the bound of a longer product is a little nearer to its radius: no reason to prefer it
        if rate > best.rate * (1 + 2e-6):
            best = LowerBound(rate=rate, slopes=slopes)
    return best
