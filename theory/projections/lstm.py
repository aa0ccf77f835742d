r"""Projections of LSTM cells: the published set, and the larger one with bounds for every unit.

Main names: `lstm`, `published_limits`, `forget_rows`.

States |h| <= 1, |c_j| <= 1 / (1 - f_j), inputs |x_i| <= B.  With w_g the row sums of |W_g| of unit
j in the weights v = (v_c, v_h) of a maximum norm and f = f_j, one step maps differences to at most

    c:   f + (w_i / 4 + w_g + w_f / (4 (1 - f))) / v_c,
    h:   (f v_c + w_i / 4 + w_g + w_f / (4 (1 - f)) + w_o / 4) / v_h,

and f is a bound of the forget gate if |W_f| 1 + B |U_f| 1 + b_f <= log(f / (1 - f)).  With v = 1
the second line is the larger one.  The published set bounds the four sums one by one, with one f:
w_i, w_o <= rate - f, w_g <= (rate - f) / 4, w_f <= (rate - f) (1 - f), and takes |b_f| for b_f.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from theory.arithmetic.gates import GateBounds, sigmoid_up
from theory.arithmetic.rounding import down, gamma, upper_after
from theory.certificates import Contraction
from theory.certify.gate_bounds import certify
from theory.kernels.blocks import locked
from theory.maps.base import Map
from theory.maps.lstm import LSTM
from theory.projections import oracle
from theory.projections.base import Projection, Request, make_projection
from theory.projections.gates import (
    GRID,
    best_number,
    check_published_rate,
    finish,
    log_odds,
    log_odds_up,
    outside_note,
    unmoved,
)
from theory.projections.lstm_rows import lstm_parameters, lstm_rows, row_starts
from theory.projections.lstm_units import per_unit
from theory.projections.repair import SINGLE_UNIT
from theory.projections.rows import RowLimits, nearest_rows, rows_lower, solve_rows
from theory.typing import Array

#: Cells of forget bounds that a lower bound of the distance may look at; it stops at this part of
#: the distance reached, or when a cell is this narrow, and f from this part of the rate on share a
#: cell.  Any numbers give a lower bound.
_CELLS, _ENOUGH, _NARROWEST, _LAST = 40, 0.99, 1e-6, 1.0 - 1e-9


def published_limits(
    n: int, m: int, rate: float, forget: float, input_bound: float, *, cap: float | None = None
) -> RowLimits:
    """Return the inequalities of the published LSTM set for a bound of the forget gates.

    Parameters
    ----------
    n, m : int
        Units and inputs.
    rate, forget, input_bound : float
        forget < rate.
    cap : float, optional
        Another forget bound for the inequality of the gate alone.
    """
    factors = np.zeros((n, 5, 6))
    for k, g in enumerate((0, 3, 2, 1)):
        factors[:, k, g] = 1.0
    factors[:, 4, 1], factors[:, 4, 4], factors[:, 4, 5] = 1.0, input_bound, 1.0
    room = rate - forget
    odds = float(log_odds(forget if cap is None else cap))
    limits = np.tile([room, room, 0.25 * room, room * (1.0 - forget), odds], (n, 1))
    return RowLimits(
        starts=row_starts(n, m), factors=factors, v=np.ones((5, 4 * n + m + 1)), limits=limits,
        signed=np.zeros(6),
    )  # fmt: skip


def nearest_published(X: Array, where: RowLimits) -> tuple[Array, Array]:
    """Return `nearest_rows` for `published_limits`: all but the forget gates are plain balls."""
    from theory.kernels.row_sums import row_sum_kernel

    n, columns = X.shape
    Y, tau = np.empty_like(X), np.zeros_like(where.limits)
    ones = np.ones(n)
    for k, g in ((0, 0), (1, 3), (2, 2)):
        part = slice(g * n, (g + 1) * n)
        block = X[:, part].copy()
        row_sum_kernel(locked(block), ones, np.ascontiguousarray(where.limits[:, k]), True, block)
        Y[:, part] = block
        tau[:, k] = np.max(np.abs(X[:, part] - block), axis=1)
    forget = np.r_[n : 2 * n, 4 * n : columns]
    Y[:, forget], tau[:, 3:] = nearest_rows(X[:, forget], _forget_limits(where))
    return Y, tau


def _forget_limits(where: RowLimits) -> RowLimits:
    """Return those of `published_limits` that are about W_f, U_f and b_f alone."""
    sizes = np.diff(where.starts)[[1, 4, 5]]
    return RowLimits(
        starts=np.append(0, np.cumsum(sizes)),
        factors=where.factors[:, 3:, [1, 4, 5]],
        v=np.ones((2, int(np.sum(sizes)))),
        limits=where.limits[:, 3:],
        signed=where.signed[[1, 4, 5]],
    )


def _published_sizes(cell: LSTM, input_bound: float) -> tuple[float, float, float]:
    """Return what an LSTM's published limits are compared with, each rounded up.

    The bound of the forget gates, with |b_f|; the largest of w_i, w_o and 4 w_g; the largest w_f.
    """
    gates = {g: GateBounds.of(*cell.gate(g), inputs=input_bound) for g in ("i", "f", "g", "o")}
    i, f, g, o = (float(np.max(gate.rows)) for gate in gates.values())
    return float(np.max(sigmoid_up(gates["f"].reach))), max(i, o, 4.0 * g), f


def in_published(
    cell: LSTM, rate: float, input_bound: float, forget: float | None = None
) -> Contraction | None:
    """Return the contraction of an LSTM that is provably in the published set, else None.

    For a bound of the forget gates; without one, for the least that bounds them: all other limits
    fall with it.
    """
    least, others, own = _published_sizes(cell, input_bound)
    f = least if forget is None else forget
    room = down(rate - f)
    if not (least <= f and others <= room and own <= down(room * down(1.0 - f))):
        return None
    c = certify(cell, input_bound)
    return c if c is not None and c.lam <= rate else None


def published_middle(cell: LSTM, rate: float, input_bound: float) -> float | None:
    """Return the middle of the forget bounds for which an LSTM is in the set; None if it is not."""
    if in_published(cell, rate, input_bound) is None:
        return None
    first, others, own = _published_sizes(cell, input_bound)
    # (rate - f) (1 - f) = w_f
    root = 0.5 * (1.0 + rate - math.sqrt((1.0 - rate) ** 2 + 4.0 * own))
    middle = 0.5 * (first + min(root, rate - others))
    return first if in_published(cell, rate, input_bound, middle) is None else middle


def forget_rows(
    W_f: Array,
    U_f: Array,
    b_f: Array,
    *,
    rate: float,
    forget: float,
    input_bound: float,
    single: bool = False,
) -> tuple[Array, Array, Array, npt.NDArray[np.bool_]]:
    """Return the forget gates' part of the nearest point of the published set.

    Parameters
    ----------
    W_f, U_f, b_f : (n, n), (n, m) and (n,) arrays
    rate, forget, input_bound : float
    single : bool
        Whether what moves must be exact, and inside, in single precision.

    Returns
    -------
    W_f, U_f, b_f, moved : arrays
        moved, (n,), marks the rows that are not as they were: those not provably inside.
    """
    n, m = len(W_f), U_f.shape[1]
    where = _forget_limits(published_limits(n, m, rate, forget, input_bound))
    X = np.hstack([W_f, U_f, b_f[:, None]])
    own = down(down(rate - forget) * down(1.0 - forget))

    def outside(Y: Array) -> npt.NDArray[np.bool_]:
        gate = GateBounds.of(Y[:, :n], Y[:, n:-1], Y[:, -1], inputs=input_bound)
        beyond: npt.NDArray[np.bool_] = (gate.rows > own) | (sigmoid_up(gate.reach) > forget)
        return beyond

    moved = left = outside(X)
    shrink = 4 * SINGLE_UNIT if single else 8.0 * gamma(n + m + 8)
    Y = X.copy()
    while np.any(left):
        limits = where.limits[left] * max(1.0 - shrink, 0.0)
        inner = replace(where, factors=where.factors[left], limits=limits)
        rows = nearest_rows(X[left], inner)[0]
        # where double precision has no digits left for so large rows, none of them stays
        Y[left] = (rows.astype(np.float32) if single else rows) if shrink < 1.0 else 0.0
        left, shrink = outside(Y), 2.0 * shrink
    return Y[:, :n], Y[:, n:-1], Y[:, -1], moved


def _published_distance(X: Array, where: RowLimits) -> float:
    return float(np.linalg.norm(X - nearest_published(X, where)[0]))


def lstm(recurrent: Map, request: Request) -> Projection:
    """Project an LSTM onto the published set, or onto the larger one with a bound per unit."""
    if not isinstance(recurrent, LSTM):
        raise ValueError(
            f"onto='lstm' is a set of LSTM cells, received {recurrent!r}; for a GRU there is "
            "onto='gru', for other maps the sets of their recurrent matrix"
        )
    if not request.per_unit:
        check_published_rate(request.rate, "forget", "take a larger one, or per_unit=True")
    if request.forget is not None and not 0.5 < request.forget < request.rate:
        raise ValueError(
            f"forget={request.forget!r}, needed 1/2 < forget < rate = {request.rate!r}: the "
            "published bound of the gate is at least 1/2, and the cell contracts no faster"
        )
    return per_unit(recurrent, request) if request.per_unit else _published(recurrent, request)


def _published(cell: LSTM, request: Request) -> Projection:
    X = lstm_rows(cell)
    n, m, rate, bound = cell.units, cell.input_dim, request.rate, request.input_bound

    prove = partial(in_published, rate=rate, input_bound=bound, forget=request.forget)
    member = prove(cell)
    if member is not None and unmoved(cell, request):
        return make_projection(cell, {}, certificate=member, lower=0.0, method="member")

    def limits(f: float, margin: float = 0.0) -> RowLimits:
        cap = f - margin * min(f - 0.5, rate - f)
        at = cap if request.forget is None else f
        return published_limits(n, m, rate * (1.0 - margin), at, bound, cap=cap)

    forget = request.forget
    if forget is None:
        forget = best_number(lambda f: _published_distance(X, limits(f)), 0.5, rate)
    chosen = forget
    method, solved = "soft thresholds of rows", None
    note = outside_note(cell, request, ", which takes |b_f| for b_f; per_unit=True keeps it")
    if request.method == "cvxpy":
        solved, why = oracle.attempt(lambda: solve_rows(X, limits(chosen)))
        note = why or note

    def point(margin: float) -> tuple[Array, ...]:
        if solved is not None:
            # the set is star-shaped around 0
            return lstm_parameters(cell, solved.arrays[0] * (1.0 - margin))
        return lstm_parameters(cell, nearest_published(X, limits(chosen, margin))[0])

    (W, U, b), certificate, margin = finish(cell, request, point, prove)
    lower = _published_lower(X, cell, request, forget)
    return make_projection(
        cell,
        {"W": W, "U": U, "b": b},
        certificate=certificate,
        lower=lower,
        method=solved.method if solved is not None else method,
        iterations=0 if solved is None else solved.iterations,
        residuals={"margin": margin, "forget": forget},
        note=note,
    )


def _published_lower(X: Array, cell: LSTM, request: Request, forget: float) -> float:
    """Return a proved lower bound of the distance from the published sets of all forget bounds.

    With the forget bound asked for, from one set.  Else for f of a cell [a, b] the set is contained
    in that with the sums at a and the bound of the gate at b; the least of the cells' lower bounds
    counts, and the cell that has it is halved until the bounds are within a part of 0.01.
    """
    n, m, bound, rate = cell.units, cell.input_dim, request.input_bound, request.rate

    def lower(a: float, b: float) -> float:
        where = published_limits(n, m, rate, a, bound, cap=b)
        # the same limits rounded up: rate - a, a difference of exact numbers, and times 1 - a
        room = float(upper_after(rate - a, 1))
        own = float(upper_after(room * (1.0 - a), 2))
        row = [room, room, 0.25 * room, own, float(log_odds_up(b))]
        where = replace(where, limits=np.tile(row, (n, 1)))
        Y, tau = nearest_published(X, where)
        return rows_lower(X, Y, where, tau)

    if request.forget is not None:
        return lower(forget, forget)
    reached = _published_distance(X, published_limits(n, m, request.rate, forget, bound))
    last_end = rate * _LAST
    ends = [0.5, *(0.5 + (rate - 0.5) * share for share in GRID), last_end]
    cells = [(lower(a, b), a, b) for a, b in pairwise(ends)]
    # an f nearer to the rate: next to nothing but 0 in the sums
    last = lower(last_end, rate)
    for _ in range(_CELLS):
        least, a, b = min(cells)
        if least >= _ENOUGH * reached or b - a < _NARROWEST:
            break
        middle = 0.5 * (a + b)
        cells.remove((least, a, b))
        cells += [(lower(a, middle), a, middle), (lower(middle, b), middle, b)]
    return min(last, min(cells)[0])
