"""Checks of terms in sectors: that steps are in them, and what is decided of their form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flint
import numpy as np
from check import Check
from definitions import balls, exact_step
from draws import Draw, a_map, domain, interior, tame_map
from exact import ZERO, Ball, minus, times
from tally import Tally

from theory import GRU, LSTM, EchoStateNetwork, Inputs, Map
from theory.certify import invariant_domain
from theory.maps import HardGRU
from theory.theorems import Sectors
from theory.theorems.sectors import sectors_hold
from theory.typing import Array

KINDS = (LSTM, GRU, HardGRU, EchoStateNetwork)


def new_parts(sectors: Sectors, old: list, term: Callable[[int, list], list]) -> list:
    """Return the new state from the old one, exactly; `term` makes s of a number and of y."""
    n, state = sectors.units, sectors.state_parts

    def of(q: int) -> list:
        return old[q * n : (q + 1) * n] if q < state else part(q - state)

    def read(reads: Any) -> list:
        total = [ZERO] * n
        for q, V in reads:
            image = times(V, of(q)) if np.ndim(V) == 2 else [Ball(float(V)) * a for a in of(q)]
            total = [a + b for a, b in zip(total, image, strict=True)]
        return total

    def part(p: int) -> list:
        total = read([one for to, one in sectors.direct if to == p])
        for k, one in enumerate(sectors.terms):
            if one.part == p:
                total = [a + b for a, b in zip(total, term(k, read(one.reads)), strict=True)]
        return total

    return [a for p in range(state) for a in part(p)]


def steps_in_sectors(rng: Draw, tally: Tally) -> None:
    """The difference of two steps is among the sums of all that the terms can be."""
    model = a_map(rng, KINDS)
    box = domain(rng, model)
    sectors = model.sectors(box)
    if sectors is None or not sectors.finite:
        return

    def whole(k: int, y: list) -> list:
        low, high = (balls(end) for end in sectors.terms[k].range)
        return [a.union(b) * c for a, b, c in zip(low, high, y, strict=True)]

    step = exact_step(model)
    for _ in range(3):
        h, g = (interior(rng, box.low, box.high) for _ in "hg")
        x = balls(interior(rng, box.input_low, box.input_high))
        moved = minus(step(balls(h), x), step(balls(g), x))
        reach = new_parts(sectors, minus(balls(h), balls(g)), whole)
        for d, bound in zip(moved, reach, strict=True):
            tally.true(
                f"{type(model).__name__}.sectors", d.overlaps(bound), h=h, g=g, box=box.to_dict(),
                **model.parameters,
            )  # fmt: skip


def decided_sectors(rng: Draw, tally: Tally) -> None:
    """Where the matrix inequality is said to hold, its form is not negative in any direction."""
    model = tame_map(rng, KINDS)
    box = invariant_domain(model, inputs=Inputs.box(-0.5, 0.5))
    sectors = None if box is None else model.sectors(box)
    if sectors is None or not sectors.finite:
        return
    (Y, Z), N = sectors.forms, sectors.state_dim
    A = rng.standard_normal((N, N)) * 10.0 ** rng.uniform(-3, 3, N)
    P = A.T @ A + np.diag(np.diag(A.T @ A))
    P, q = (P + P.T) / 2, np.exp(rng.uniform(-8, 8, sectors.count))
    F = Y.T @ (q[:, None] * Y) + Z.T @ P @ Z
    F[N:, N:] -= np.diag(q)
    # the least rate, as computed, and others that are very near to it
    S = -F[N:, N:]
    try:
        top = F[:N, :N] + F[:N, N:] @ np.linalg.solve(S, F[N:, :N])
        square = float(np.max(np.linalg.eigvals(np.linalg.solve(P, top)).real))
    except np.linalg.LinAlgError:
        return
    if not 0 < square < 1e12:
        return
    for slack in (-(2.0**-30), 2.0**-44, 2.0**-36, 2.0**-26, 2.0**-16):
        rate = float(np.sqrt(square)) * (1 + slack)
        if sectors_hold(sectors, P, q, rate):
            F_rate = -F
            F_rate[:N, :N] += rate * rate * P
            for xi in (*np.linalg.eigh(F_rate)[1].T[:2], rng.standard_normal(len(F))):
                form = _form(sectors, P, q, rate, xi)
                tally.true("sectors_hold", not form < 0, P=P, q=q, rate=rate, **model.parameters)


def _form(sectors: Sectors, P: Array, q: Array, rate: float, xi: Array) -> flint.arb:
    """Return rate^2 |d|^2 - |new|^2 - sum q (y^2 - w^2), with widths that hold every sector."""
    N, n = sectors.state_dim, sectors.units
    d, w, left = balls(xi[:N]), balls(xi[N:]), [ZERO]

    def worst(k: int, y: list) -> list:
        mine, weights = w[k * n : (k + 1) * n], balls(q[k * n : (k + 1) * n])
        if not seen[k]:
            seen[k] = True
            for c, a, b in zip(weights, y, mine, strict=True):
                left[0] = left[0] + c * (a * a - b * b)
        low, high = (balls(end) for end in sectors.terms[k].range)
        terms = zip(low, high, y, mine, strict=True)
        return [(a + b) / 2 * c + (b - a) / 2 * e for a, b, c, e in terms]

    seen = [False] * len(sectors.terms)
    new = new_parts(sectors, d, worst)
    length = [sum((a * b for a, b in zip(v, times(P, v), strict=True)), ZERO) for v in (d, new)]
    return Ball(rate) * Ball(rate) * length[0] - length[1] - left[0]


CHECKS = (
    Check(run=steps_in_sectors, covers=(Map.sectors,)),
    Check(run=decided_sectors, covers=(sectors_hold,)),
)
