"""The larger set of LSTM cells, with a bound of the forget gate for every unit.

Main names: `unit_limits`, `per_unit_lower`.

The letters are those of `theory.projections.lstm`.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from theory.arithmetic.gates import GateBounds
from theory.arithmetic.rounding import ELEMENTARY_UNITS, lower_after, upper_after
from theory.certificates import Contraction
from theory.certify.gate_bounds import certify
from theory.maps.lstm import LSTM
from theory.projections import oracle
from theory.projections.base import (
    NOT_CONVEX,
    Projection,
    Request,
    make_projection,
    with_parameters,
)
from theory.projections.gates import GRID, finish, log_odds, log_odds_up, unmoved
from theory.projections.lstm_rows import lstm_parameters, lstm_rows, row_starts
from theory.projections.pairs import scaled_sums_lower
from theory.projections.rows import RowLimits, nearest_rows, rows_lower, solve_rows
from theory.typing import Array

#: From so many units on, searches for their bounds start from those of other weights.
_LARGE = 48

#: Rounds of new weights in the larger set.
_ROUNDS = 6

#: Weights of a rate so much smaller, relatively, are tried too: very unequal ones reach it only to
#: rounding.
_INSIDE = 2.0**-40

#: Least bound of a forget gate that is tried, as a part of the largest; the least weight, and the
#: change at which a search for weights ends.  Of candidates only.
_LEAST_SHARE, _LEAST_WEIGHT, _SETTLED = 2.0**-40, 2.0**-20, 1e-9


def unit_limits(
    n: int,
    m: int,
    rate: float,
    forget: Array,
    input_bound: float,
    weights: Array,
    *,
    cap: float | None = None,
) -> RowLimits:
    """Return the inequalities of the larger LSTM set for the units' forget bounds and weights.

    With a cap, rounded up, for the inequality of the gates alone.
    """
    v_c, v_h = weights[:n], weights[n:]
    factors = np.zeros((n, 3, 6))
    share = 0.25 / (1.0 - forget)
    for k, scale in ((0, v_c), (1, v_h)):
        for g, a in ((0, 0.25), (1, share), (2, 1.0)):
            factors[:, k, g] = a / scale
    factors[:, 1, 3] = 0.25 / v_h
    factors[:, 2, 1], factors[:, 2, 4], factors[:, 2, 5] = 1.0, input_bound, 1.0
    v = np.ones((3, 4 * n + m + 1))
    v[:2, : 4 * n] = np.tile(v_h, 4)
    odds = log_odds(forget) if cap is None else np.full(n, log_odds_up(cap))
    limits = np.stack([rate - forget, rate - forget * v_c / v_h, odds], axis=1)
    return RowLimits(
        starts=row_starts(n, m), factors=factors, v=v, limits=limits,
        signed=np.array([0.0, 0.0, 0.0, 0.0, 0.0, 1.0]),
    )  # fmt: skip


def per_unit(cell: LSTM, request: Request) -> Projection:
    r"""Project onto the larger set by successive convex steps.

    For fixed weights v and forget bounds f the set is convex and the units separate.  Each round
    chooses f for every unit by a search over one number; then v is moved towards the weights that
    the comparison matrix of the new cell asks for.  A round that does not come nearer ends it.
    Weights, or bounds, that are given stay.
    """
    X = lstm_rows(cell)
    n, m, rate, bound = cell.units, cell.input_dim, request.rate, request.input_bound
    given = request.weights

    def prove(changed: LSTM) -> Contraction | None:
        levels = (None, rate, rate * (1.0 - _INSIDE)) if given is None else (None,)
        for level in levels:
            v = given if level is None else _resolvent(changed, level, bound)
            c = certify(changed, bound, v)
            if c is not None and c.lam <= rate:
                return c
        return None

    member = prove(cell)
    if member is not None and unmoved(cell, request):
        return make_projection(cell, {}, certificate=member, lower=0.0, method="member")

    def nearest(v: Array, near: Array | None = None) -> tuple[float, Array, Array]:
        if request.keep is None:
            return _forget_for_units(X, n, m, rate, bound, v, near)
        f = request.keep
        Y = nearest_rows(X, unit_limits(n, m, rate, f, bound, v))[0]
        return float(np.linalg.norm(X - Y)), Y, f

    best: tuple[float, Array, Array, Array] | None = None  # distance, rows, forget, weights
    rounds = 0
    if given is None:
        original = _perron(cell, bound)
        candidates = [np.append(np.full(n, a), np.ones(n)) for a in (1.0, 0.8, 0.6)]
        candidates += [] if original is None else [original]
    else:
        candidates = [given]
    for v in candidates:
        rounds += 1
        tried = nearest(v, None if best is None else best[2])
        if best is None or tried[0] < best[0]:
            best = (*tried, v)
    assert best is not None
    for _ in range(_ROUNDS if given is None else 0):
        distance, Y, f, v = best
        W, U, b = lstm_parameters(cell, Y)
        wanted = _perron(with_parameters(cell, {"W": W, "U": U, "b": b}), bound)
        if wanted is None:
            break
        improved = False
        for share in (1.0, 0.5, 0.25):
            rounds += 1
            moved = np.exp((1.0 - share) * np.log(v) + share * np.log(wanted))
            tried = nearest(moved, f)
            if tried[0] < distance * (1.0 - 1e-3):
                best, improved = (*tried, moved), True
                break
        if not improved:
            break
    _, _, forget, v = best
    v = v / float(np.max(v)) if given is None else v
    method, note, solved = "successive soft thresholds of rows", "", None
    if request.method == "cvxpy":
        solved, note = oracle.attempt(
            lambda: solve_rows(X, unit_limits(n, m, rate, forget, bound, v))
        )

    def point(margin: float) -> tuple[Array, ...]:
        f = forget * (1.0 - margin)
        where = unit_limits(n, m, rate * (1.0 - margin * (1.0 - rate)), f, bound, v)
        if solved is not None:
            Y = solved.arrays[0].copy()
            # towards a point inside: no weights, and a bias that is low enough
            inner = np.zeros_like(Y)
            inner[:, -1] = np.minimum(X[:, -1], log_odds(f) - 0.1)
            return lstm_parameters(cell, (1.0 - margin) * Y + margin * inner)
        return lstm_parameters(cell, nearest_rows(X, where)[0])

    (W, U, b), certificate, margin = finish(cell, request, point, prove)
    return make_projection(
        cell,
        {"W": W, "U": U, "b": b},
        certificate=certificate,
        lower=max(per_unit_lower(cell, rate, bound), _lower_in(cell, rate, bound, given)),
        method=solved.method if solved is not None else method,
        iterations=rounds,
        residuals={
            "margin": margin,
            "least forget": float(np.min(forget)),
            "largest forget": float(np.max(forget)),
        },
        note=note or NOT_CONVEX,
    )


def per_unit_lower(cell: LSTM, rate: float, bound: float) -> float:
    r"""Return a proved lower bound of the distance of an LSTM from the sets of all weights and f.

    The radius of the comparison matrix is at least every forget bound, so that f <= rate, which is
    an inequality on W_f, U_f and b_f.  The rows of h give, with f >= 0,

        sum_k (|W_i| / 4 + |W_f| / 4 + |W_g| + |W_o| / 4)_jk v_k <= rate v_j

    for the weights v of h; the same without W_f is about other parameters than the first.
    """
    X = lstm_rows(cell)
    n = cell.units
    cap = unit_limits(n, cell.input_dim, rate, np.zeros(n), bound, np.ones(2 * n), cap=rate)
    limits = np.full_like(cap.limits, np.inf)
    limits[:, 2] = cap.limits[:, 2]
    cap = replace(cap, limits=limits)
    Y, multipliers = nearest_rows(X, cap)
    gate = rows_lower(X, Y, cap, multipliers)
    W = {g: cell.gate(g)[0] for g in ("i", "f", "g", "o")}
    others = scaled_sums_lower((W["i"], W["g"], W["o"]), (0.25, 1.0, 0.25), rate)
    together = scaled_sums_lower(tuple(W.values()), (0.25, 0.25, 1.0, 0.25), rate)
    return max(together, float(lower_after(math.hypot(gate, others), ELEMENTARY_UNITS)))


def _lower_in(cell: LSTM, rate: float, bound: float, weights: Array | None) -> float:
    r"""Return a proved lower bound of the distance of an LSTM from the sets of all f, for given v.

    All that f enters grows with it, and f < rate: f = 0 in the rows, and the rate in the gates.
    """
    if weights is None:
        return 0.0
    X, n = lstm_rows(cell), cell.units
    where = unit_limits(n, cell.input_dim, rate, np.zeros(n), bound, weights, cap=rate)
    # factors are a quotient, or exact
    where = replace(where, limits=upper_after(where.limits, 2))
    Y, multipliers = nearest_rows(X, where)
    return rows_lower(X, Y, where, multipliers)


def _forget_for_units(
    X: Array, n: int, m: int, rate: float, bound: float, v: Array, near: Array | None = None
) -> tuple[float, Array, Array]:
    """Return distance, rows and the forget bound of every unit, each of least distance.

    `near` are bounds that were best for other weights: in large cells the search stays around
    them.
    """

    def squares(f: Array) -> tuple[Array, Array]:
        Y = nearest_rows(X, unit_limits(n, m, rate, f, bound, v))[0]
        return np.sum(np.square(X - Y), axis=1), Y

    # f v_c / v_h < rate is needed as well
    top = rate * np.minimum(1.0, v[n:] / v[:n])
    if near is None or n < _LARGE:
        # and the bounds that the gates have already
        gate = GateBounds.of(X[:, n : 2 * n], X[:, 4 * n : -1], X[:, -1], inputs=bound)
        own = gate.sigmoid
        grid, rounds = np.array(GRID)[:, None] * top[None, :], 6
        grid = np.sort(np.vstack([grid, np.clip(own, _LEAST_SHARE * top, GRID[-1] * top)]), axis=0)
    else:
        f = np.minimum(near, GRID[-1] * top)
        grid, rounds = np.stack([f - 0.25 * np.minimum(f, top - f), f]), 4
        grid = np.vstack([grid, 2.0 * grid[1] - grid[0]])
    values = np.array([squares(f)[0] for f in grid])
    i = np.argmin(values, axis=0)
    units = np.arange(n)
    padded = np.vstack([np.zeros(n), grid, top])
    low, high = padded[i, units], padded[i + 2, units]
    best, least = grid[i, units], values[i, units]
    for _ in range(rounds):
        a, b = low + (high - low) / 3, high - (high - low) / 3
        at_a, at_b = squares(a)[0], squares(b)[0]
        left = at_a <= at_b
        low, high = np.where(left, low, a), np.where(left, b, high)
        for f, value in ((a, at_a), (b, at_b)):
            better = value < least
            best, least = np.where(better, f, best), np.where(better, value, least)
    value, Y = squares(best)
    return float(np.sqrt(np.sum(value))), Y, best


def _comparison(cell: LSTM, bound: float) -> tuple[Array, Array, Array] | None:
    """Return f, A and B: the rows are (f, A) for c and (f, A + B) for h; nothing is proved.

    None if a forget gate is not bounded away from 1.
    """
    W = {g: np.abs(cell.gate(g)[0]) for g in ("i", "f", "g", "o")}
    f = GateBounds.of(*cell.gate("f"), inputs=bound).sigmoid
    if not float(np.max(f)) < 1 - 1e-9:
        return None
    A = 0.25 * W["i"] + W["g"] + (0.25 / (1.0 - f))[:, None] * W["f"]
    return f, A, 0.25 * W["o"]


def _resolvent(cell: LSTM, rate: float, bound: float) -> Array | None:
    """Return weights in which the comparison matrix M is below the rate, if its radius is.

    v = (rate - M)^-1 1, positive if and only if the radius is below the rate, has M v = rate v - 1.
    """
    made = _comparison(cell, bound)
    if made is None or not float(np.max(made[0])) < rate:
        return None
    f, A, last = made
    with np.errstate(over="ignore", invalid="ignore"):
        share = rate / (rate - f)
        try:
            v_h = np.linalg.solve(rate * np.eye(len(f)) - share[:, None] * A - last, share)
        except np.linalg.LinAlgError:
            return None
        v = np.append((A @ v_h + 1.0) / (rate - f), v_h)
    return v / float(np.max(v)) if np.isfinite(v).all() and float(np.min(v)) > 0 else None


def _perron(cell: LSTM, bound: float) -> Array | None:
    """Return weights that balance the rows of the comparison matrix; nothing is proved."""
    made = _comparison(cell, bound)
    if made is None:
        return None
    f, A, last = made
    n = len(f)
    v = np.ones(2 * n)
    for _ in range(200):
        y = A @ v[n:]
        w = np.append(f * v[:n] + y, f * v[:n] + y + last @ v[n:])
        w = np.maximum(w / float(np.max(w)), _LEAST_WEIGHT)
        if float(np.max(np.abs(w - v))) < _SETTLED:
            break
        v = 0.5 * (v + w)
    return v / float(np.max(v))
