"""Proofs that a map is not contractive in any norm.

Main names: `refute`, `refuted_by`, `Refutation`, `question`.

Two words are kept apart.  A map that *never forgets* has two trajectories under the same inputs
that never meet: two fixed points or cycles, or a linear map whose spectral radius is at least 1.  A
Jacobian, or a product of several, of spectral radius 1 or more says less: no norm certifies a
contraction of one step on any set that holds those states in its interior, and several steps
together may still contract.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from theory.arithmetic.rounding import decimal_down
from theory.certify.ascent import LowerBound
from theory.certify.jsr import question, rate_lower
from theory.certify.orbits import cycles_under, enclosed_slopes, never_meet
from theory.certify.places import Where, best_product, places, product_rate
from theory.domain import Domain
from theory.errors import check_count
from theory.maps.base import Map, check_map
from theory.maps.cascade import Cascade
from theory.maps.form import Affine
from theory.norms.radius import reaches_one, spectral_radius_lower
from theory.shown import shown
from theory.typing import Array

#: Beyond this dimension runs are shorter, and fewer of their ends are looked at.
_LARGE = 200


#: A bound this large ends the search for a sharper one; a radius computed to be this large is
#: worth a proof.
_ENOUGH, _NEARLY = 1.0 + 2.0**-20, 1.0 - 2.0**-20


@shown
@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Refutation:
    """A proof that a map is not contractive in any norm.

    ``orbits``: under the constant input x the points of `first` are a cycle of the map (one point
    is a fixed point) up to `radius` in each entry, and so are those of `second`; the trajectories
    from first[0] and second[0] never meet.  ``linear``: a linear map, or a layer of a stack, whose
    spectral radius is at least 1.  ``jacobian``: the product of the Jacobians at the states `first`
    under `inputs` has spectral radius at least 1, which rules out every one-step contraction.
    """

    kind: str  # "orbits", "linear" or "jacobian"
    x: Array  # x, (m,)
    first: Array  # (p, n)
    second: Array  # (p', n)
    radius: float  # of the boxes around the points
    detail: str
    inputs: Array  # (p, m), one to each of `first`; x where it is constant
    bound: float = 0.0  # lower bound of rho(product)**(1/p), of a linear map or Jacobians

    @property
    def never_forgets(self) -> bool:
        """Return whether two trajectories never meet: no memory length will do."""
        return self.kind != "jacobian"


def refute(
    recurrent: Map,
    *,
    inputs: Any = None,
    domain: Domain | None = None,
    sequences: Any = None,
    rng: np.random.Generator | None = None,
    starts: int = 16,
    steps: int = 400,
) -> Refutation | None:
    """Search for a proof that a map is not contractive; None if none is found.

    Parameters
    ----------
    recurrent : Map
        Any but a function of one's own, of which only steps are known.
    inputs : Inputs, or (..., m) array, optional
        Ask about these inputs only, and about states of the box that the map does not leave under
        them (`theory.certify.invariant_domain`), where `theory.contraction` looks too: what refutes
        is then an input of the set, with states of the box.  All inputs and states by default.
    domain : Domain, optional
        Ask about the states and inputs of a box instead.
    sequences : (T, m) or (batch, T, m) array, or a list of (T, m) arrays, optional
        Inputs that occur.  The states that they visit are looked at first; without `inputs` and
        `domain`, no other input is used.
    rng : numpy.random.Generator, optional
        For starts and inputs; a fixed seed by default.
    starts, steps : int
        Trajectories for each constant input, and their length; fewer of a large map.

    Raises
    ------
    ValueError
        If a count is not a positive integer, the inputs and the domain are both given or do not
        fit the map, or a sequence holds an input that is not in question.

    Examples
    --------
    >>> from theory import GRU, VanillaRNN
    >>> refute(VanillaRNN([[2.0]], [[1.0]])).kind
    'orbits'
    >>> cell = GRU(W=[[0.0], [0.0], [3.0]], U=np.zeros((3, 1)), b=[30.0, 0.0, 0.0])
    >>> found = refute(cell)
    >>> found.never_forgets, sorted(abs(found.first - found.second).round(3).tolist())
    (True, [[0.995]])
    """
    check_map(recurrent)
    check_count(at_least=1, starts=starts, steps=steps)
    random = np.random.default_rng(0) if rng is None else rng
    where = question(recurrent, inputs, domain, sequences)
    found = _by_linear(recurrent) if where.open else None
    if found is not None:
        return found
    zero = np.zeros(recurrent.state_dim), np.zeros(recurrent.input_dim)
    if enclosed_slopes(recurrent, *zero) is None:
        return None
    found = _by_orbits(recurrent, where, random, starts, steps)
    if found is None and where.open:
        found = _by_jacobians(recurrent, where, random)
    return found


def linear_bound(recurrent: Map) -> tuple[float, str] | None:
    """Return a bound from below, at least 1, of a linear map's spectral radius, and where it is.

    Of a stack, that of a layer: states that differ in that layer alone keep the layers below alike.
    None if there is no such map, or nothing is proved.
    """
    if isinstance(recurrent, Cascade):
        for number, layer in enumerate(recurrent.layers):
            below = linear_bound(layer)
            if below is not None:
                return below[0], f"layer {number}: {below[1]}"
        return None
    form = recurrent.affine()
    if form is None or form.rho.slope[0] != form.rho.slope[1] or form.rho.slope[0] != 1.0:
        return None
    bound = spectral_radius_lower(form.W, enough=_ENOUGH)
    if bound >= 1:
        return bound, f"spectral radius >= {decimal_down(bound, 6)}"
    if reaches_one(form.W):
        return 1.0, "spectral radius >= 1, decided exactly"
    return None


def _by_linear(recurrent: Map) -> Refutation | None:
    found = linear_bound(recurrent)
    if found is None:
        return None
    n, m = recurrent.state_dim, recurrent.input_dim
    return Refutation(
        kind="linear",
        x=np.zeros(m),
        first=np.zeros((0, n)),
        second=np.zeros((0, n)),
        radius=0.0,
        detail=found[1],
        inputs=np.zeros((0, m)),
        bound=found[0],
    )


def _constant_inputs(recurrent: Map, where: Where, random: np.random.Generator) -> list[Array]:
    """Return constant inputs in question: 0, those that centre the units, ends, and others."""
    m = recurrent.input_dim
    form = recurrent.affine()
    candidates = [np.zeros(m)]
    if form is not None:
        # where activations are steepest
        held = form.W @ np.full(len(form.W), form.rho.at_zero)
        centre = np.linalg.lstsq(form.U, -form.b - held, rcond=None)[0]
        candidates += [centre, centre + random.standard_normal(m)]
    candidates.append(random.standard_normal(m))
    if where.sequences:
        rows = np.concatenate(where.sequences)
        candidates += [np.mean(rows, axis=0), rows[len(rows) // 2]]
    if where.inputs is not None:
        low, high = where.inputs.ends(m)
        candidates += [end for end in (low, high) if np.isfinite(end).all()]
        near = (where.inputs.near(x) for x in candidates)
        candidates = [x for x in near if x is not None]
    return [*{x.tobytes(): x for x in candidates}.values()]


def _by_orbits(
    recurrent: Map, where: Where, random: np.random.Generator, starts: int, steps: int
) -> Refutation | None:
    n = recurrent.state_dim
    form = recurrent.affine()
    scale = 10.0 if form is not None and not math.isfinite(form.rho.range[1]) else 1.0
    large = n > _LARGE
    for x in _constant_inputs(recurrent, where, random)[: 3 if large else 6]:
        begun = scale * random.standard_normal((min(starts, 8) if large else starts, n))
        begun[0] = 0.0
        if where.box is not None:
            begun = np.clip(begun, where.box.low, where.box.high)
        found: list[tuple[Array, float]] = []
        cycles = cycles_under(
            recurrent, x, begun, steps=min(steps, 150) if large else steps, tries=6 if large else 24
        )
        for points, radius in cycles:
            if not _inside(where.box, points, radius):
                continue
            for others, other in [*found, (np.roll(points, -1, axis=0), radius)]:
                if never_meet(points, others, radius + other):
                    return Refutation(
                        kind="orbits",
                        x=x,
                        first=points,
                        second=others,
                        radius=max(radius, other),
                        detail=f"cycles of period {len(points)} and {len(others)} under one input",
                        inputs=np.tile(x, (len(points), 1)),
                    )
            found.append((points, radius))
    return None


def _inside(box: Domain | None, points: Array, radius: float) -> bool:
    """Decide that all states within `radius` of the points, entry by entry, lie in a box."""
    return box is None or box.contains_states(
        [np.nextafter(points - radius, -np.inf), np.nextafter(points + radius, np.inf)]
    )


def _by_jacobians(recurrent: Map, where: Where, random: np.random.Generator) -> Refutation | None:
    """Prove a product of Jacobians to have spectral radius at least 1, the cheap ones first."""
    candidates: list[tuple[Array, Array]] = []
    form = recurrent.affine()
    if form is not None:
        candidates = _steep_places(recurrent, form, where, random)
    for states, inputs in candidates:
        found = _proved(recurrent, states, inputs)
        if found is not None:
            return found
    visited = places(recurrent, where, random)
    for climb in (False, True):
        best = best_product(recurrent, where, visited, length=3 if climb else 1, climb=climb)
        if best is not None and best[2] >= _NEARLY:
            found = _proved(recurrent, best[0], best[1])
            if found is not None:
                return found
    return None


def refuted_by(recurrent: Map, lower: LowerBound | None) -> Refutation | None:
    """Return what a lower bound by Jacobians refutes; None if it is below 1, or by slopes alone."""
    if lower is None or lower.states is None or lower.inputs is None or not lower.rate >= 1:
        return None
    return _proved(recurrent, lower.states, lower.inputs)


def _proved(recurrent: Map, states: Array, inputs: Array) -> Refutation | None:
    bound = product_rate(recurrent, states, inputs, enough=_ENOUGH)
    if not bound >= 1:
        return None
    number = len(states)
    one = "the Jacobian at the state and input below has"
    told = one if number == 1 else f"a product of {number} Jacobians has"
    root = "" if number == 1 else f", its root of order {number},"
    return Refutation(
        kind="jacobian",
        x=inputs[0],
        first=states,
        second=np.zeros((0, recurrent.state_dim)),
        radius=0.0,
        detail=f"{told} spectral radius{root} >= {decimal_down(bound, 6)}",
        inputs=inputs,
        bound=bound,
    )


def _steep_places(
    recurrent: Map, form: Affine, where: Where, random: np.random.Generator
) -> list[tuple[Array, Array]]:
    """Drive the units, at rest, to pre-activations whose slopes come near a good pattern.

    The state is 0, which every box of states holds; the input is one of those in question.
    """
    n = len(form.W)
    steepest = np.full(n, form.rho.slope[0 if -form.rho.slope[0] > form.rho.slope[1] else 1])
    # one Jacobian has one pattern of slopes
    bound = rate_lower(recurrent, rng=random, length=1, products=0)
    patterns = [steepest] if bound is None or bound.slopes is None else [steepest, bound.slopes[0]]
    grid = np.array([-30.0, -1.0, 0.0, 1.0, 30.0])
    slopes = form.rho.derivative(grid)
    # at a kink the slope is not defined
    slopes[2] = slopes[2] if math.isfinite(form.rho.curvature) or slopes[1] == slopes[3] else np.inf
    found = []
    for pattern in patterns:
        goal = grid[np.argmin(np.abs(slopes[None, :] - pattern[:, None]), axis=1)]
        place = where.near(np.zeros(n), np.linalg.lstsq(form.U, goal - form.b, rcond=None)[0])
        if place is not None and where.holds(*place):
            found.append((place[0][None], place[1][None]))
    return found
