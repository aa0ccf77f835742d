"""Proofs that a map is not contractive in any norm.

Main names: `refute`, `Refutation`.

A map is refuted by two trajectories under the same inputs that never meet: two fixed points, or the
points of a cycle, whose existence is proved by the contraction of a Newton operator in a small box.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from theory.arithmetic.rounding import ELEMENTARY_UNITS, TINY, UNIT, down, gamma
from theory.certify.jsr import rate_lower
from theory.domain import Domain
from theory.errors import check_count
from theory.inputs import Inputs, as_inputs
from theory.maps.base import Map, check_map
from theory.maps.form import Affine
from theory.maps.invariance import invariant_domain
from theory.norms.radius import spectral_radius_lower
from theory.typing import Array

#: The boxes around points of a cycle are at least this wide, relative to 1 and the points: a
#: candidate, which the criterion of Krawczyk decides.
_LEAST_RADIUS = 2.0**-60


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Refutation:
    """A proof that a map is not contractive in any norm.

    ``orbits``: under the constant input x the points of `first` are a cycle of the map (one point
    is a fixed point) up to `radius` in each entry, and so are those of `second`; the trajectories
    from first[0] and second[0] never meet.  ``linear``: a linear map whose spectral radius is at
    least 1.  ``jacobian``: at state first[0] and input x the Jacobian has spectral radius above 1,
    which rules out every one-step contraction.
    """

    kind: str  # "orbits", "linear" or "jacobian"
    x: Array  # x, (m,)
    first: Array  # (p, n)
    second: Array  # (p', n)
    radius: float  # of the boxes around the points
    detail: str


def _derivative_radius(form: Affine, a: Array, width: Array) -> Array | None:
    """Bound |rho'(b) - fl(rho'(a))| over |b - a| <= width; None at a kink."""
    rho = form.rho
    rounding = 4 * ELEMENTARY_UNITS * UNIT * (1 + rho.lipschitz)
    if math.isfinite(rho.curvature):
        return rho.curvature * width * (1 + 8 * UNIT) + rounding
    kinks = (-1.0, 1.0) if rho.name == "hard_tanh" else (0.0,)
    apart = width * (1 + 8 * UNIT) + TINY
    if not all(bool(np.all(np.abs(a - kink) > apart)) for kink in kinks):
        return None
    return np.full(len(a), rounding)


def _verified_cycle(recurrent: Map, form: Affine, x: Array, points: Array) -> float | None:
    r"""Return a radius within which exactly one cycle lies around the points, or None.

    For F(h_1 .. h_p) = (step(h_1) - h_2, ..., step(h_p) - h_1) and any matrix C near its inverse
    derivative, T = id - C F maps the box of radius R around the points into itself and contracts if

        |C F| + kappa R <= R,   kappa >= || I - C F' || over the box,   kappa < 1   (maximum norm).
    """
    p, n = points.shape
    N = p * n
    W = form.W
    a = points @ W.T + x @ form.U.T + form.b
    J = np.zeros((N, N))
    for i in range(p):
        rows, after = slice(i * n, i * n + n), (i + 1) % p
        J[rows, rows] += form.rho.derivative(a[i])[:, None] * W
        J[rows, after * n : after * n + n] -= np.eye(n)
    try:
        C = np.linalg.inv(J)
    except np.linalg.LinAlgError:
        return None
    if not np.isfinite(C).all():
        return None
    error = recurrent.step_error(np.max(np.abs(points), axis=0), np.abs(x))
    image = recurrent.step(points, np.broadcast_to(x, (p, len(x))))
    residual = np.abs(image - np.roll(points, -1, axis=0)) * (1 + 2 * UNIT) + error
    size, slack = np.abs(C), 1 + 4 * gamma(N + 4)
    eta = float(np.max(size @ residual.ravel())) * slack
    if not math.isfinite(eta):
        return None
    radius = 4.0 * eta + _LEAST_RADIUS * (1.0 + float(np.max(np.abs(points))))
    # |I - C J| as computed, its rounding, and the change of the slopes over the box
    product = np.abs(np.eye(N) - C @ J)
    rounding = 2 * gamma(N + 4) * (size @ (np.abs(J) @ np.ones(N))) + 4 * UNIT
    row_sums = np.abs(W) @ np.ones(n)
    reach = row_sums * radius * slack
    sizes = np.abs(W) @ np.max(np.abs(points), axis=0) + np.abs(form.U) @ np.abs(x) + np.abs(form.b)
    preactivation = 4 * gamma(2 * n + len(x) + 8) * sizes + TINY
    change = np.zeros(N)
    for i in range(p):
        drift = _derivative_radius(form, a[i], reach + preactivation)
        if drift is None:
            return None
        change[i * n : i * n + n] = drift * row_sums
    kappa = float(np.max(product @ np.ones(N) + rounding + size @ change)) * slack
    return radius if kappa < 0.5 and eta + kappa * radius < radius * (1 - 4 * UNIT) else None


def _settle(recurrent: Map, form: Affine, x: Array, start: Array, steps: int) -> Array | None:
    """Run under a constant input and polish the cycle of period at most 4 that is reached."""
    terms = recurrent.input_terms(x[None])[0]
    h = start
    for _ in range(steps):
        h = recurrent.advance(h, terms)
        if not float(np.max(np.abs(h))) <= 1e6:
            return None
    orbit = [h]
    for _ in range(4):
        orbit.append(recurrent.advance(orbit[-1], terms))
    for p in (1, 2, 3, 4):
        if float(np.max(np.abs(orbit[p] - orbit[0]))) < 1e-3 * (1 + float(np.max(np.abs(h)))):
            return _polish(recurrent, form, x, np.array(orbit[:p]))
    return None


def _polish(recurrent: Map, form: Affine, x: Array, points: Array) -> Array | None:
    """Apply Newton's method to the first point of a cycle."""
    terms = recurrent.input_terms(x[None])[0]
    h = points[0]
    for _ in range(12):
        g, D = h, np.eye(len(h))
        for _ in points:
            D = (form.rho.derivative(g @ form.W.T + terms)[:, None] * form.W) @ D
            g = recurrent.advance(g, terms)
        try:
            h = h - np.linalg.solve(D - np.eye(len(h)), g - h)
        except np.linalg.LinAlgError:
            return None
        if not np.isfinite(h).all():
            return None
    result = [h]
    for _ in range(len(points) - 1):
        result.append(recurrent.advance(result[-1], terms))
    return np.array(result)


def refute(
    recurrent: Map,
    *,
    inputs: Any = None,
    rng: np.random.Generator | None = None,
    starts: int = 16,
    steps: int = 400,
) -> Refutation | None:
    """Search for a proof that a map in affine form is not contractive; None if none is found.

    Parameters
    ----------
    recurrent : Map
    inputs : Inputs, or (..., m) array, optional
        Ask about these inputs only, and about states of the box that the map does not leave under
        them (`theory.certify.invariant_domain`), where `theory.contraction` looks too: what refutes
        is then an input of the set, with states of the box.  All inputs and states by default.
    rng : numpy.random.Generator, optional
        For starts and inputs; a fixed seed by default.
    starts, steps : int
        Trajectories for each constant input, and their length.

    Raises
    ------
    ValueError
        If a count is not a positive integer.

    Examples
    --------
    >>> from theory import VanillaRNN
    >>> refute(VanillaRNN([[2.0]], [[1.0]])).kind
    'orbits'
    """
    check_map(recurrent)
    check_count(at_least=1, starts=starts, steps=steps)
    form = recurrent.affine()
    if form is None:
        return None
    random = np.random.default_rng(0) if rng is None else rng
    n, m = form.W.shape[0], form.U.shape[1]
    asked = None if inputs is None else as_inputs(inputs, m)
    box = None if asked is None else invariant_domain(recurrent, inputs=asked)
    # where states can move in every direction, a Jacobian at one of them is that of a difference
    open_box = box is None or bool(np.all(box.low < box.high))
    if form.rho.slope[0] == form.rho.slope[1]:
        radius = spectral_radius_lower(form.W) * abs(form.rho.slope[0])
        if down(radius) >= 1 and open_box:
            return Refutation(
                kind="linear",
                x=np.zeros(m),
                first=np.zeros((0, n)),
                second=np.zeros((0, n)),
                radius=0.0,
                detail=f"spectral radius >= {radius:.6g}",
            )
        return None
    # inputs that centre the pre-activations where activations are steepest, and a few others
    center = np.linalg.lstsq(form.U, -form.b - form.W @ np.full(n, form.rho.at_zero), rcond=None)[0]
    candidates = [
        np.zeros(m),
        center,
        center + random.standard_normal(m),
        random.standard_normal(m),
    ]
    scale = 1.0 if math.isfinite(form.rho.range[1]) else 10.0
    if asked is not None:
        chosen = [y for x in candidates if (y := asked.near(x)) is not None]
        candidates = [*{y.tobytes(): y for y in chosen}.values()]
    for x in candidates:
        found: list[tuple[Array, float]] = []
        for j in range(starts):
            start = np.asarray(scale * random.standard_normal(n)) * float(j > 0)
            start = start if box is None else np.clip(start, box.low, box.high)
            points = _settle(recurrent, form, x, start, steps)
            if points is None:
                continue
            radius_or_none = _verified_cycle(recurrent, form, x, points)
            if radius_or_none is None or not _inside(box, points, radius_or_none):
                continue
            for others, other_radius in [*found, (np.roll(points, -1, axis=0), radius_or_none)]:
                if _never_meet(points, others, radius_or_none + other_radius):
                    return Refutation(
                        kind="orbits",
                        x=x,
                        first=points,
                        second=others,
                        radius=max(radius_or_none, other_radius),
                        detail=f"cycles of period {len(points)} and {len(others)} under one input",
                    )
            found.append((points, radius_or_none))
    steepest = np.full(n, form.rho.slope[0 if -form.rho.slope[0] > form.rho.slope[1] else 1])
    # one Jacobian has one pattern of slopes
    bound = rate_lower(recurrent, rng=rng, length=1, products=0)
    patterns = [steepest] if bound is None else [steepest, bound.slopes[0]]
    if not open_box:
        return None
    proofs = (_refute_by_jacobian(form, pattern, asked) for pattern in patterns)
    return next((proof for proof in proofs if proof is not None), None)


def _inside(box: Domain | None, points: Array, radius: float) -> bool:
    """Decide that all states within `radius` of the points, entry by entry, lie in a box."""
    return box is None or box.contains_states(
        [np.nextafter(points - radius, -np.inf), np.nextafter(points + radius, np.inf)]
    )


def _never_meet(points: Array, others: Array, radii: float) -> bool:
    """Decide that trajectories along two cycles have different states at all times."""
    p, q = len(points), len(others)
    return all(
        float(np.max(np.abs(points[t % p] - others[t % q]))) * (1 - 4 * UNIT) > 2 * radii
        for t in range(math.lcm(p, q))
    )


def _refute_by_jacobian(
    form: Affine, pattern: Array, asked: Inputs | None = None
) -> Refutation | None:
    """Drive the units, at rest, to pre-activations whose slopes come near a pattern.

    The state is 0, which every box of states holds; the input is one of those asked about.
    """
    n = len(form.W)
    grid = np.array([-30.0, -1.0, 0.0, 1.0, 30.0])
    slopes = form.rho.derivative(grid)
    # at a kink the slope is not defined
    slopes[2] = slopes[2] if math.isfinite(form.rho.curvature) or slopes[1] == slopes[3] else np.inf
    goal = grid[np.argmin(np.abs(slopes[None, :] - pattern[:, None]), axis=1)]
    h = np.zeros(n)
    x = np.linalg.lstsq(form.U, goal - form.b, rcond=None)[0]
    if asked is not None:
        member = asked.near(x)
        if member is None:
            return None
        x = member
    a = x @ form.U.T + form.b
    sizes = np.abs(form.W) @ np.abs(h) + np.abs(form.U) @ np.abs(x) + np.abs(form.b)
    wrong = _derivative_radius(form, a, 4 * gamma(2 * n + len(x) + 8) * sizes + TINY)
    if wrong is None:
        return None
    J = form.rho.derivative(a)[:, None] * form.W
    rate = spectral_radius_lower(J, (wrong[:, None] + 4 * UNIT) * np.abs(form.W) + TINY)
    if not rate > 1:
        return None
    return Refutation(
        kind="jacobian",
        x=x,
        first=h[None],
        second=np.zeros((0, n)),
        radius=0.0,
        detail=f"the Jacobian there has spectral radius >= {rate:.6g}",
    )
