r"""Fixed points and cycles of a map under a constant input, proved to exist in small boxes.

Main names: `verified_cycle`, `never_meet`, `cycles_under`.

A candidate is found by running the map and by Newton's method; what decides is a Newton operator
with the enclosure of the slopes over a box (`Map.slope_range`), so that every map that has one will
do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from theory.arithmetic.intervals import middle_and_radius
from theory.arithmetic.rounding import UNIT, gamma
from theory.domain import Domain
from theory.maps.base import Map
from theory.typing import Array

#: The boxes around points of a cycle are at least this wide, relative to 1 and the points: a
#: candidate, which the criterion of Krawczyk decides.
_LEAST_RADIUS = 2.0**-60

#: A trajectory beyond this is taken to diverge.
_FAR = 1e6

#: Longest cycles that are looked for.
_PERIODS = 4


def box_around(h: Array, radius: float, x: Array) -> Domain:
    """Return the box of states within a radius of h, entry by entry, under one input."""
    low = np.nextafter(h - radius, -np.inf) if radius > 0 else h
    high = np.nextafter(h + radius, np.inf) if radius > 0 else h
    return Domain(low=low, high=high, input_low=x, input_high=x, start=False)


def enclosed_slopes(
    recurrent: Map, h: Array, x: Array, radius: float = 0.0
) -> tuple[Array, Array] | None:
    """Return middle and radius, (n, n) each, of the slopes around a state; None if unknown."""
    found = recurrent.slope_range(box_around(h, radius, x))
    if found is None or not (np.isfinite(found[0]).all() and np.isfinite(found[1]).all()):
        return None
    return middle_and_radius(found)


def verified_cycle(
    recurrent: Map, x: Array, points: Array, radius: float | None = None
) -> float | None:
    r"""Return a radius within which exactly one cycle lies around the points, or None.

    For F(h_1 .. h_p) = (step(h_1) - h_2, ..., step(h_p) - h_1) and any matrix C near its inverse
    derivative, T = id - C F maps the box of radius R around the points into itself and contracts if

        |C F| + kappa R <= R,   kappa >= || I - C F' || over the box,   kappa < 1   (maximum norm),

    where F' is made of what `Map.slope_range` encloses.

    Parameters
    ----------
    recurrent : Map
    x : (m,) array
        The constant input.
    points : (p, n) array
        A cycle, nearly.
    radius : float, optional
        R, by default a little more than what the points are off by.
    """
    p, n = points.shape
    N = p * n
    residual = np.zeros(N)
    J, wide = np.zeros((N, N)), np.zeros((N, N))
    for i in range(p):
        image = recurrent.image(box_around(points[i], 0.0, x))
        slopes = enclosed_slopes(recurrent, points[i], x)
        if image is None or slopes is None:
            return None
        rows, after = slice(i * n, i * n + n), (i + 1) % p
        ends = (np.abs(end - points[after]) for end in image)
        residual[rows] = np.maximum(*ends) * (1 + 2 * UNIT)
        J[rows, rows] += slopes[0]
        J[rows, after * n : after * n + n] -= np.eye(n)
    try:
        C = np.linalg.inv(J)
    except np.linalg.LinAlgError:
        return None
    if not (np.isfinite(C).all() and np.isfinite(residual).all()):
        return None
    size, slack = np.abs(C), 1 + 4 * gamma(N + 4)
    eta = float(np.max(size @ residual)) * slack
    if not math.isfinite(eta):
        return None
    if radius is None:
        radius = 4.0 * eta + _LEAST_RADIUS * (1.0 + float(np.max(np.abs(points))))
    # |I - C J| as computed, its rounding, and what the slopes change by over the box
    J[:] = 0.0
    for i in range(p):
        slopes = enclosed_slopes(recurrent, points[i], x, radius)
        if slopes is None:
            return None
        rows, after = slice(i * n, i * n + n), (i + 1) % p
        J[rows, rows] += slopes[0]
        wide[rows, rows] += slopes[1]
        J[rows, after * n : after * n + n] -= np.eye(n)
    ones = np.ones(N)
    product = np.abs(np.eye(N) - C @ J)
    rounding = 2 * gamma(N + 4) * (size @ (np.abs(J) @ ones)) + 4 * UNIT
    kappa = float(np.max(product @ ones + rounding + size @ (wide @ ones))) * slack
    # of a fixed point the two parts of J are summed where they meet: relatively by u
    kappa += float(np.max(size @ (np.abs(J) @ ones))) * 4 * UNIT
    return radius if kappa < 0.5 and eta + kappa * radius < radius * (1 - 4 * UNIT) else None


def never_meet(points: Array, others: Array, radii: float) -> bool:
    """Decide that trajectories along two cycles have different states at all times."""
    p, q = len(points), len(others)
    return all(
        float(np.max(np.abs(points[t % p] - others[t % q]))) * (1 - 4 * UNIT) > 2 * radii
        for t in range(math.lcm(p, q))
    )


def cycles_under(
    recurrent: Map, x: Array, starts: Array, *, steps: int, tries: int
) -> Iterator[tuple[Array, float]]:
    """Yield the different verified cycles, with their radii, near which runs from starts end.

    Each yields the points of one cycle, (p, n).  Where a run does not settle, Newton's method is
    tried from its end, and from the starts: it finds fixed points that repel too.
    """
    terms = recurrent.input_terms(x[None])[0]
    H = _ends(recurrent, terms, starts, steps)
    found: list[Array] = []
    for h, settled in [*((h, True) for h in H), *((h, False) for h in starts)]:
        if tries <= 0:
            return
        orbit = [h]
        # a decorator would hold only until a generator is made
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(_PERIODS if settled else 0):
                orbit.append(recurrent.advance(orbit[-1], terms))
        near = 1e-3 * (1 + float(np.max(np.abs(h))))
        period = next(
            (p for p in range(1, len(orbit)) if float(np.max(np.abs(orbit[p] - h))) < near), 1
        )
        if settled and any(
            float(np.min(np.max(np.abs(known - h), axis=1))) < near for known in found
        ):
            continue
        tries -= 1
        points = _polish(recurrent, x, np.array(orbit[:period]))
        if points is None:
            continue
        close = 1e-6 * (1 + float(np.max(np.abs(points))))
        if any(float(np.min(np.max(np.abs(known - points[0]), axis=1))) < close for known in found):
            continue
        radius = verified_cycle(recurrent, x, points)
        if radius is not None:
            found.append(points)
            yield points, radius


@np.errstate(over="ignore", invalid="ignore")
def _ends(recurrent: Map, terms: Array, starts: Array, steps: int) -> Array:
    """Return where runs are after so many steps, but for those that go far."""
    H = starts
    for _ in range(steps):
        H = recurrent.advance(H, terms)
        H = H[np.max(np.abs(H), axis=1) <= _FAR]
        if not len(H):
            break
    return H


@np.errstate(over="ignore", invalid="ignore")
def _polish(recurrent: Map, x: Array, points: Array) -> Array | None:
    """Apply Newton's method, damped, to the first point of a cycle."""
    p, h = len(points), points[0]

    def after(g: Array) -> Array:
        for _ in range(p):
            g = recurrent.step(g, x)
        return g

    off = after(h) - h
    for _ in range(30):
        g, D = h, np.eye(len(h))
        for _ in range(p):
            D = recurrent.jacobian_state(g, x) @ D
            g = recurrent.step(g, x)
        try:
            move = np.linalg.solve(D - np.eye(len(h)), g - h)
        except np.linalg.LinAlgError:
            return None
        size = float(np.max(np.abs(off)))
        for halvings in range(8):
            trial = h - move * 0.5**halvings
            rest = after(trial) - trial
            if float(np.max(np.abs(rest))) < size:
                break
        else:
            # as good as rounding lets it be, or nowhere
            break
        h, off = trial, rest
    if not float(np.max(np.abs(off))) < 1e-9 * (1 + float(np.max(np.abs(h)))):
        return None
    result = [h]
    for _ in range(p - 1):
        result.append(recurrent.step(result[-1], x))
    return np.array(result)
