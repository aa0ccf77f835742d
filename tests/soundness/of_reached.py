"""Checks of zonotopes, of activations of them, and of the states reached from zero."""

from __future__ import annotations

import numpy as np
from check import Check
from definitions import activated, balls, exact_step
from draws import RHO, Draw, ends, interior, numbers, one_of, tame_map
from exact import Ball, times
from tally import Tally

from theory import Inputs, Map
from theory.arithmetic.relaxations import relaxed, relaxed_convex, remainder_range, secants
from theory.arithmetic.zonotopes import Zonotope, combination, product, stacked
from theory.maps.balls import ball_domain, ball_reach, stays_in_balls
from theory.maps.normalize import _inverse_root, _inverse_root_place, _inverse_root_slope
from theory.maps.reached import check_domain, holds_on, is_reached, reached_domain
from theory.typing import Array


def _symbols(rng: Draw, size: int) -> Array:
    """Return values of symbols: signs mostly, exact doubles."""
    return np.where(
        rng.random(size) < 0.7, np.sign(rng.random(size) - 0.5), rng.uniform(-1, 1, size)
    )


def _zonotope(rng: Draw, n: int, m: int) -> Zonotope:
    return Zonotope.of(numbers(rng, n), numbers(rng, (n, m)), np.abs(numbers(rng, n)))


def _at(z: Zonotope, xi: Array, eta: Array) -> list:
    """Return the point of a zonotope at some symbols."""
    columns = times(z.generators, balls(xi))
    own = [r * e for r, e in zip(balls(z.rest), balls(eta), strict=True)]
    return [c + g + e for c, g, e in zip(balls(z.centre), columns, own, strict=True)]


def _held(tally: Tally, name: str, z: Zonotope, xi: Array, point: list, **given: Array) -> None:
    """Compare a point with what a zonotope is at the symbols xi."""
    middle = _at(z, xi, np.zeros(len(z)))
    away = [abs(p - c) for p, c in zip(point, middle, strict=True)]
    tally.at_most(name, away, z.rest, xi=xi, **given)


def zonotopes(rng: Draw, tally: Tally) -> None:
    """Points of zonotopes at one choice of the symbols, and what is made of them."""
    n, m = 3, int(rng.integers(1, 6))
    y, z = _zonotope(rng, n, m), _zonotope(rng, n, m)
    xi, e, f = _symbols(rng, m), _symbols(rng, n), _symbols(rng, n)
    if not (np.isfinite(y.rest).all() and np.isfinite(z.rest).all()):
        return
    p, q = _at(y, xi, e), _at(z, xi, f)
    W, b = numbers(rng, (2, n)), numbers(rng, 2)
    image = [a + c for a, c in zip(times(W, p), balls(b), strict=True)]
    _held(tally, "affine", y.affine(W, b), xi, image, W=W, b=b)
    a = ends(rng, n)
    inner = interior(rng, *a)
    mixed = [s * u + v for s, u, v in zip(balls(inner), p, q, strict=True)]
    _held(tally, "combination", combination([(a, y), (np.ones(n), z)]), xi, mixed, a=inner)
    _held(tally, "product", product(y, z), xi, [u * v for u, v in zip(p, q, strict=True)])
    low, high = y.hull()
    tally.between("hull", low, p, high)
    own = y.unshared()
    shares = np.concatenate([xi, e[y.rest > 0]])
    _held(tally, "unshared", own, shares, p)
    both = stacked(y, z)
    _held(tally, "stacked", both, xi, [*p, *q])
    for fewer in (y.boxed(m // 2), y.reduced(n), y.reduced(n + 1)):
        low, high = fewer.hull()
        tally.between("reduced", low, p, high)


def relaxations(rng: Draw, tally: Tally) -> None:
    """What is left of an activation when a line is taken away, at points of the interval."""
    rho, n = one_of(rng, *RHO), 4
    low, high = ends(rng, n)
    alpha = np.where(rng.random(n) < 0.7, rng.uniform(*rho.slope, n), numbers(rng, n))
    left = remainder_range(rho, alpha, low, high)
    points = [low, high, np.clip(0.0, low, high), *(interior(rng, low, high) for _ in range(3))]
    for point in points:
        exact = [
            activated(rho.name, Ball(float(x))) - Ball(float(a)) * Ball(float(x))
            for x, a in zip(point, alpha, strict=True)
        ]
        tally.between(
            "remainder_range", left[0], exact, left[1], rho=rho.name, a=point, alpha=alpha
        )
    centre = interior(rng, low, high)
    found = secants(rho, (centre, centre), low, high)
    for point in points:
        apart = [(float(a), float(c)) for a, c in zip(point, centre, strict=True)]
        slopes = [
            (activated(rho.name, Ball(a)) - activated(rho.name, Ball(c))) / (Ball(a) - Ball(c))
            if a != c
            else Ball(float(found[0][i]))
            for i, (a, c) in enumerate(apart)
        ]
        tally.between("secants", found[0], slopes, found[1], rho=rho.name, a=point, c=centre)
    m = int(rng.integers(0, 4))
    z = Zonotope.of(rng.uniform(-3, 3, n), rng.uniform(-2, 2, (n, m)), np.abs(numbers(rng, n)))
    xi, eta = _symbols(rng, m), _symbols(rng, n)
    if np.isfinite(z.rest).all():
        image = [activated(rho.name, a) for a in _at(z, xi, eta)]
        _held(tally, "relaxed", relaxed(rho, z, *z.hull()), xi, image, rho=rho.name)


def convex(rng: Draw, tally: Tally) -> None:
    """A tangent and a secant of 1 / sqrt(a), at the points of a zonotope."""
    n, m = 3, int(rng.integers(0, 4))
    low = 2.0 ** rng.integers(-30, 10, n)
    high = low * (1 + 2.0 ** rng.integers(-40, 20, n))
    shares = rng.random((m + 1, n))
    shares *= 0.5 / np.sum(shares, axis=0)  # of the width, so that its points stay positive
    z = Zonotope.of(low / 2 + high / 2, (shares[1:] * (high - low)).T, shares[0] * (high - low))
    xi, eta = _symbols(rng, m), _symbols(rng, n)
    point = _at(z, xi, eta)
    found = relaxed_convex(_inverse_root, _inverse_root_slope, _inverse_root_place, z, z.hull())
    image = [Ball(1) / a.sqrt() for a in point]
    _held(tally, "relaxed_convex", found, xi, image, low=low, high=high, eta=eta)


def reaches(rng: Draw, tally: Tally) -> None:
    """A step of states of a zonotope, and a run from zero among the states reached from zero."""
    model = tame_map(rng)
    size = float(one_of(rng, 0.0, 0.1, 1.0))
    found = reached_domain(model, inputs=Inputs.box(-size, size), order=4)
    balled = ball_domain(model, Inputs.box(-size, size))
    n, m = model.state_dim, model.input_dim
    step = exact_step(model)
    box = np.full(n, -4.0), np.full(n, 4.0)
    x_ends = np.full(m, -size), np.full(m, size)
    z = Zonotope.of(rng.uniform(-1, 1, n), rng.uniform(-0.5, 0.5, (n, 3)), np.zeros(n))
    made = model.reach(z, x_ends, box)
    if made is not None:
        xi, x = _symbols(rng, 3), interior(rng, *x_ends)
        after = step(_at(z, xi, np.zeros(n)), balls(x))
        # a claim about steps that stay in the box
        if all(abs(a) <= 4 for a in after):
            low, high = made.states.hull()
            tally.between("reach", low, after, high, xi=xi, x=x, **model.parameters)
    for name, one in (("reached_domain", found), ("ball_domain", balled)):
        if one is None:
            continue
        tally.true("is_reached", is_reached(model, one) and holds_on(model, one))
        check_domain(model, one)
        h = balls(np.zeros(n))
        for _ in range(6):
            h = step(h, balls(interior(rng, *x_ends)))
            tally.between(name, one.low, h, one.high, **model.parameters)


CHECKS = (
    Check(run=zonotopes, covers=(combination, product, stacked)),
    Check(run=relaxations, covers=(relaxed, remainder_range, secants)),
    Check(run=convex, covers=(relaxed_convex,)),
    Check(
        run=reaches,
        covers=(
            Map.reach,
            reached_domain,
            is_reached,
            holds_on,
            check_domain,
            ball_domain,
            stays_in_balls,
            ball_reach,
        ),
        weight=0.5,
    ),
)
