r"""The larger set of GRU cells, with bounds of the gates for every unit.

Main names: `UnitBounds`, `unit_bounds`, `unit_limits`, `per_unit`, `per_unit_lower`.

States |h| <= 1, inputs |x_i| <= B.  With w_g the row sum of |W_g| of a unit, z and r bounds of its
gates and N of its |n|, as in `theory.certify.gate_bounds`, one step maps differences in the maximum
norm to at most z + (1 - z) s, where

    s = g w_n + w_r |b_c| / 4 + z (1 + N) w_z,      g = max r' (1 + (1 - r') w_r) over r' <= r,

or, with the reset gate before W_n, sum_j |W_n|_ij g_j for the first two terms.  So a unit contracts
at the rate if s <= (rate - z) / (1 - z).  With a bound of w_r in its place the set is convex, and
units share no parameter.  As g <= 1 for w_r <= 1, reset gates are free up to there.

Weights of the norm are left out: they bring less than a hundredth of the distance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import numpy.typing as npt

from theory.arithmetic.gates import GateBounds, sigmoid_up, tanh_up
from theory.arithmetic.intervals import plus_up
from theory.certificates import Contraction
from theory.certify.gate_bounds import certify, opened_up
from theory.maps.gru import GRU
from theory.projections import oracle
from theory.projections.base import NOT_CONVEX, Projection, Request, make_projection
from theory.projections.gates import finish, log_odds, log_odds_up, unmoved
from theory.projections.gru_rows import gru_parameters, gru_rows, row_starts
from theory.projections.rows import RowLimits, nearest_rows, rows_lower, solve_rows
from theory.typing import Array

#: Where a search starts: update gates bounded by these parts of the rate, besides their own.
_SHARES = (0.5, 0.85)

#: The largest part of the rate.
_LAST = 0.999

#: Rounds of the search, in which a step that brings nothing is halved.
_ROUNDS = 8

#: Parts of the reset gates' weights that are tried where all units share their g, and of the
#: weights of the norm as their bounds.
_RESETS = (1.0, 0.5, 0.2, 0.05)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class UnitBounds:
    """What makes the set convex, for every unit: every array is (n,), infinite for no bound."""

    update: Array  # of the argument of z
    reset: Array  # of the argument of r
    candidate: Array  # of the modulus of the argument of n
    rows: Array  # of the row sum of |W_r| v

    @property
    def z(self) -> Array:
        """Return the bounds of the update gates."""
        return sigmoid_up(self.update)


def unit_bounds(cell: GRU, input_bound: float, weights: Array | None = None) -> UnitBounds:
    """Return the least bounds that hold for a cell."""
    gates = {g: GateBounds.of(*cell.gate(g), inputs=input_bound) for g in ("r", "z", "n")}
    return UnitBounds(
        update=gates["z"].top,
        reset=gates["r"].top,
        candidate=plus_up(gates["n"].reach, np.abs(cell.b_candidate)),
        rows=gates["r"].rows if weights is None else gates["r"].weighted(weights),
    )


def unit_limits(
    cell: GRU,
    rate: float,
    input_bound: float,
    bounds: UnitBounds,
    margin: float = 0.0,
    *,
    weights: Array | None = None,
) -> RowLimits:
    """Return the inequalities of the set on `gru_rows`; those of a smaller one with a margin.

    `weights` are those of the norm, ones by default; `bounds.rows` is then of |W_r| v.
    """
    n, m = cell.units, cell.input_dim
    w = np.ones(n) if weights is None else weights
    # columns of W_n whose units weigh the same, one run after another
    runs = np.append(0, np.flatnonzero(np.diff(w)) + 1)
    starts = row_starts(n, m)
    starts = np.concatenate([starts[:2], 2 * n + runs, starts[3:]])
    z, r = bounds.z, sigmoid_up(bounds.reset)
    last = len(runs) + 2
    factors, v = np.zeros((n, 5, last + 7)), np.ones((5, int(starts[-1])))
    of_n = slice(2, last)
    factors[:, 0, 1], factors[:, 0, of_n] = z * (1.0 + tanh_up(bounds.candidate)), 1.0
    v[0, n : 2 * n], v[4, :n] = w, w
    if cell.variant == "reset_after":
        factors[:, 0, of_n] = opened_up(
            *np.broadcast_arrays(r[:, None], w[runs], bounds.rows[:, None])
        )
        factors[:, 0, -1] = 0.25 * bounds.rows
    else:
        v[0, 2 * n : 3 * n] = opened_up(r, w, bounds.rows)
    for k, own, g in ((1, 1, 1), (2, 0, 0), (3, of_n, 2)):  # z, r, n
        factors[:, k, own] = 1.0
        factors[:, k, last + g], factors[:, k, last + 3 + g] = input_bound, 1.0
    factors[:, 3, -1] = 1.0
    factors[:, 4, 0] = 1.0
    inner = (1.0 - margin) * w * (rate - z) / (1.0 - z)
    update, reset = (
        np.where(np.isinf(a), a, a - margin * (1.0 + np.where(np.isinf(a), 0.0, np.abs(a))))
        for a in (bounds.update, bounds.reset)
    )
    rest = [(1.0 - margin) * a for a in (bounds.candidate, bounds.rows)]
    signed = np.zeros(last + 7)
    signed[last + 3 : last + 5] = 1.0
    return RowLimits(
        starts=starts, factors=factors, v=v,
        limits=np.stack([inner, update, reset, *rest], axis=1), signed=signed,
    )  # fmt: skip


def per_unit(
    cell: GRU, request: Request, *, nearer: Callable[[], GRU | None] = lambda: None
) -> Projection:
    """Project onto the larger set, with the bounds of least distance that a search finds.

    `nearer` gives a member of a smaller set, than which none that is chosen is further.
    """
    rate, bound, weights = request.rate, request.input_bound, request.weights

    def prove(changed: GRU) -> Contraction | None:
        c = certify(changed, bound, weights)
        return c if c is not None and c.lam <= rate else None

    member = prove(cell)
    if member is not None and unmoved(cell, request):
        return make_projection(cell, {}, certificate=member, lower=0.0, method="member")
    X = gru_rows(cell)
    search = _Search(cell, X, request)
    known = nearer() if weights is None and request.keep is None else None
    chosen = search.best() if known is None else search.best(unit_bounds(known, bound))
    method, note, solved = "soft thresholds of rows", "", None
    if request.method == "cvxpy":
        solved, note = oracle.attempt(lambda: solve_rows(X, search.limits(chosen)))

    def point(margin: float) -> tuple[Array, ...]:
        where = search.limits(chosen, margin)
        if solved is None:
            return gru_parameters(cell, nearest_rows(X, where)[0])
        # towards a point inside: no weights, and biases of the gates that are low enough
        inner = np.zeros_like(X)
        inner[:, -4:-2] = np.minimum(X[:, -4:-2], where.limits[:, [2, 1]] - 0.1)
        return gru_parameters(cell, (1.0 - margin) * solved.arrays[0] + margin * inner)

    arrays, certificate, margin = finish(cell, request, point, prove)
    z = chosen.z
    return make_projection(
        cell,
        dict(zip(cell.parameters, arrays, strict=True)),
        certificate=certificate,
        lower=per_unit_lower(cell, rate, bound),
        method=solved.method if solved is not None else method,
        iterations=search.count,
        residuals={
            "margin": margin,
            "least update": float(np.min(z)),
            "largest update": float(np.max(z)),
        },
        note=note or NOT_CONVEX,
    )


def per_unit_lower(cell: GRU, rate: float, bound: float) -> float:
    r"""Return a proved lower bound of the distance of a GRU from the sets of all bounds.

    A unit's factor is at least z, so that a member's update gates are bounded by the rate: one
    inequality on W_z, U_z and b_z.  Of the other gates nothing is said, as closed reset gates take
    all weights of n out of sight.
    """
    n, m = cell.units, cell.input_dim
    _, U, b = cell.gate("z")
    X = np.hstack([cell.gate("z")[0], U, b[:, None]])
    cap = RowLimits(
        starts=np.array([0, n, n + m, n + m + 1]),
        factors=np.tile([1.0, bound, 1.0], (n, 1, 1)),
        v=np.ones((1, n + m + 1)),
        limits=np.full((n, 1), float(log_odds_up(rate))),
        signed=np.array([0.0, 0.0, 1.0]),
    )
    Y, multipliers = nearest_rows(X, cap)
    return rows_lower(X, Y, cap, multipliers)


@final
class _Search:
    """Bounds of least distance, unit by unit; those of the update gates may be given."""

    def __init__(self, cell: GRU, X: Array, request: Request) -> None:
        self.cell, self.X, self.request = cell, X, request
        self.own = unit_bounds(cell, request.input_bound, request.weights)
        self.top = float(log_odds(_LAST * request.rate))
        self.count = 0

    def limits(self, bounds: UnitBounds, margin: float = 0.0) -> RowLimits:
        """Return the inequalities of the set with these bounds."""
        asked = self.request
        return unit_limits(
            self.cell, asked.rate, asked.input_bound, bounds, margin, weights=asked.weights
        )

    def best(self, *known: UnitBounds) -> UnitBounds:
        """Return the best bounds that were found, none worse than those that are known."""
        own, asked = self.own, self.request
        n = len(own.update)
        names: tuple[str, ...] = ("update", "rows", "candidate")
        updates = [np.minimum(own.update, self.top)]
        updates += [np.full(n, float(log_odds(share * asked.rate))) for share in _SHARES]
        if asked.keep is not None:
            names, updates = names[1:], [log_odds(asked.keep)]
        found = [self.around([one], names) for one in known]
        w = np.ones(n) if asked.weights is None else asked.weights
        shares = _RESETS[:1] if asked.weights is None else _RESETS
        if self.cell.variant == "reset_after":
            starts = [
                replace(own, update=update, rows=rows)
                for update in updates
                for rows in (own.rows, *(np.minimum(own.rows, share * w) for share in shares))
            ]
            found.append(self.around(starts, names))
            return min(found, key=lambda one: one[1])[0]
        for part in _RESETS:
            reset = np.where(own.reset > 0, part * own.reset, own.reset)
            at = replace(own, reset=reset, rows=part * own.rows)
            starts = [replace(at, update=update) for update in updates]
            found.append(self.around(starts, [name for name in names if name != "rows"]))
        return min(found, key=lambda one: one[1])[0]

    def squares(self, bounds: UnitBounds) -> Array:
        """Return the units' squared distances."""
        self.count += 1
        near = nearest_rows(self.X, self.limits(bounds))[0]
        squares: Array = np.sum(np.square(self.X - near), axis=1)
        return squares

    def around(
        self, starts: Sequence[UnitBounds], names: Sequence[str]
    ) -> tuple[UnitBounds, float]:
        """Return the best bounds near the best start of every unit, and their distance.

        Every unit tries a step up and down in each of its bounds; one that brings nothing is
        halved.
        """
        best, least = starts[0], self.squares(starts[0])

        def take(tried: UnitBounds) -> npt.NDArray[np.bool_]:
            nonlocal best, least
            squares = self.squares(tried)
            better: npt.NDArray[np.bool_] = squares < least
            changed = {
                name: np.where(better, getattr(tried, name), getattr(best, name)) for name in names
            }
            best, least = replace(best, **changed), np.minimum(squares, least)
            return better

        for start in starts[1:]:
            take(start)
        steps = {name: np.ones(len(least)) for name in names}
        for _ in range(_ROUNDS):
            for name, step in steps.items():
                gained = np.zeros(len(least), dtype=bool)
                for sign in (1.0, -1.0):
                    gained |= take(self.moved(best, name, sign * step))
                steps[name] = np.where(gained, step, 0.5 * step)
        return best, math.sqrt(float(np.sum(least)))

    def moved(self, bounds: UnitBounds, name: str, step: Array) -> UnitBounds:
        """Return the bounds with one of them moved: that of z by a step, others by e^step."""
        at = getattr(bounds, name)
        new = np.minimum(at + step, self.top) if name == "update" else at * np.exp(step)
        return replace(bounds, **{name: new})
