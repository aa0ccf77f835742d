r"""Projections of GRU cells onto their criterion, by the bounds of the gates.

Main names: `gru`, `gru_limits`, `gru_bounds`, `gru_nearest`, `gru_lower`, `GRUBounds`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any, final

import numpy as np

from theory.arithmetic.activations import SIGMOID
from theory.arithmetic.gates import GateBounds, sigmoid_up, tanh_up
from theory.arithmetic.intervals import plus_up
from theory.arithmetic.rounding import down, up, upper_after
from theory.arithmetic.sums import sums_up
from theory.certificates import Contraction
from theory.certify.gate_bounds import certify
from theory.maps.base import Map
from theory.maps.gru import GRU
from theory.projections import oracle
from theory.projections.base import NOT_CONVEX, Projection, Request, make_projection
from theory.projections.gates import (
    check_published_rate,
    finish,
    log_odds,
    log_odds_up,
    outside_note,
    unmoved,
)
from theory.projections.gru_rows import gru_parameters, gru_rows, row_starts
from theory.projections.gru_units import per_unit
from theory.projections.oracle import Solved
from theory.projections.rows import RowLimits, nearest_rows, rows_distance, rows_lower, solve_rows
from theory.typing import Array

#: How far a candidate's argument of tanh keeps from the largest, relatively: far more than
#: `tanh_up` adds, and still no distance that matters.
_ROOM = 2.0**-40


def gru_limits(
    cell: GRU, rate: float, bound: float, z: float, r: float, reset: float, candidate: float
) -> RowLimits:
    r"""Return the inequalities of the GRU criterion for fixed bounds.

    With z, r bounds of the gates, |W_r| 1 <= reset and |n| <= candidate, one step maps differences
    in the maximum norm to at most z + (1 - z) (r + reset / 4) |W_n| 1 + (1 + candidate) |W_z| 1 / 4
    (and, with the reset gate after the product, (1 - z) reset |b_c| / 4).
    """
    n, m = cell.units, cell.input_dim
    starts = row_starts(n, m)
    factors = np.zeros((n, 5, 10))
    factors[:, 0, 1] = 0.25 * (1.0 + candidate)
    factors[:, 0, 2] = (1.0 - z) * (r + 0.25 * reset)
    if cell.variant == "reset_after":
        factors[:, 0, 9] = (1.0 - z) * 0.25 * reset
    for k, g in ((1, 1), (2, 0), (3, 2)):  # z, r, n
        factors[:, k, g], factors[:, k, 3 + g], factors[:, k, 6 + g] = 1.0, bound, 1.0
    factors[:, 3, 9] = 1.0
    factors[:, 4, 0] = 1.0
    top = float(np.arctanh(candidate)) * (1 - _ROOM) if candidate < 1 else math.inf
    row = [rate - z, float(log_odds(z)), float(log_odds(r)), top, reset]
    return RowLimits(
        starts=starts, factors=factors, v=np.ones((5, int(starts[-1]))),
        limits=np.tile(row, (n, 1)), signed=np.zeros(10),
    )  # fmt: skip


@final
@dataclass(frozen=True, kw_only=True)
class GRUBounds:
    """What `gru_limits` fixes, so that the set is convex."""

    z: float  # of the update gate, above 1/2
    r: float  # of the reset gate
    reset: float  # of the row sums of |W_r|
    candidate: float  # of |n|

    def limits(self, cell: GRU, rate: float, bound: float, margin: float = 0.0) -> RowLimits:
        """Return the inequalities, those of a smaller set with a margin."""
        kept = 1.0 - margin
        # absolute values of the gates' arguments: no bound of a gate is below 1/2
        z, r = 0.5 + (self.z - 0.5) * kept, 0.5 + (self.r - 0.5) * kept
        level = z + (rate - self.z) * kept
        return gru_limits(cell, level, bound, z, r, self.reset * kept, self.candidate * kept)


def gru_bounds(cell: GRU, rate: float, bound: float, reach: float = 30.0) -> tuple[GRUBounds, int]:
    """Return the bounds whose set is nearest to a GRU, by a search, and the sets it looked at.

    The search goes to bounds 1 / (1 + exp(-reach)), as parts of what is possible: near 1 the update
    gate's bound leaves next to nothing for the recurrent weights.
    """
    from scipy.optimize import minimize

    X = gru_rows(cell)

    def bounds(x: Array) -> GRUBounds:
        part = SIGMOID(np.clip(x, -reach, reach))
        reset = float(np.exp(np.clip(x[2], -20, min(reach, 20))))
        return GRUBounds(
            z=float(0.5 + (rate - 0.5) * part[0]),
            r=float(0.5 + 0.5 * part[1]),
            reset=reset,
            candidate=float(part[3]),
        )

    def value(x: Array) -> float:
        where = bounds(x).limits(cell, rate, bound)
        return rows_distance(X, where) if np.all(where.limits > 0) else math.inf

    sums = float(np.max(np.abs(cell.gate("r")[0]).sum(axis=1)))
    start = min(
        (
            np.array([a, b, math.log(max(sums * c, 1e-3)), d])
            for a in (-1.0, 1.0)
            for b in (0.0, 2.0)
            for c in (0.3, 1.0)
            for d in (0.0, 4.0)
        ),
        key=value,
    )
    options: Any = {"xatol": 1e-3, "fatol": 1e-5, "maxfev": 160}
    found = minimize(value, np.asarray(start), method="Nelder-Mead", options=options)
    return bounds(np.asarray(found.x if found.fun <= value(start) else start)), int(found.nfev)


def gru_nearest(
    cell: GRU, request: Request, bounds: GRUBounds, solved: Solved | None = None
) -> tuple[tuple[Array, ...], Contraction, float]:
    """Return W, U, b and b_candidate of the nearest GRU for fixed bounds, its proof, the margin.

    Raises
    ------
    ArithmeticError
        If no cell near the boundary can be proved to contract.
    """
    X = gru_rows(cell)

    def prove(changed: GRU) -> Contraction | None:
        return in_criterion(changed, request.rate, request.input_bound, bounds)

    def point(margin: float) -> tuple[Array, ...]:
        if solved is not None:
            return gru_parameters(cell, solved.arrays[0] * (1.0 - margin))
        where = bounds.limits(cell, request.rate, request.input_bound, margin)
        return gru_parameters(cell, nearest_rows(X, where)[0])

    member = prove(cell)
    if member is not None and unmoved(cell, request):
        return tuple(cell.parameters.values()), member, 0.0
    return finish(cell, request, point, prove)


def least_bounds(cell: GRU, bound: float) -> GRUBounds:
    """Return the least bounds for which the criterion's inequalities on the gates hold."""
    gates = {g: GateBounds.of(*cell.gate(g), inputs=bound) for g in ("r", "z", "n")}
    return GRUBounds(
        z=float(np.max(sigmoid_up(gates["z"].reach))),
        r=float(np.max(sigmoid_up(gates["r"].reach))),
        reset=float(np.max(gates["r"].rows)),
        candidate=float(np.max(tanh_up(plus_up(gates["n"].reach, np.abs(cell.b_candidate))))),
    )


def in_criterion(
    cell: GRU, rate: float, bound: float, at: GRUBounds | None = None
) -> Contraction | None:
    """Return the contraction of a GRU that is provably in the set of the criterion, else None.

    For given bounds; without them, for the least that hold: the left-hand side grows with each, as
    z + (1 - z) s does with z while s <= 1.
    """
    least = least_bounds(cell, bound)
    if at is None:
        at = least
    elif not all(getattr(least, f.name) <= getattr(at, f.name) for f in fields(at)):
        return None
    room = down(rate - at.z)
    # quarters are exact but for underflow
    inner = upper_after((at.r + 0.25 * at.reset) * sums_up(cell.gate("n")[0]), 2)
    if cell.variant == "reset_after":
        inner = upper_after(inner + 0.25 * at.reset * np.abs(cell.b_candidate), 2)
    outer = upper_after(0.25 * (1.0 + at.candidate) * sums_up(cell.gate("z")[0]), 2)
    if not bool(np.all(upper_after(up(1.0 - at.z) * inner + outer, 2) <= room)):
        return None
    c = certify(cell, bound)
    return c if c is not None and c.lam <= rate else None


def gru_lower(cell: GRU, rate: float, bound: float) -> float:
    r"""Return a proved lower bound of the distance of a GRU from the sets of all bounds.

    Sums of absolute values are not negative, so that z, r >= 1/2.  With w_z, w_n the sums of a unit
    of W_z and W_n a member obeys w_z / 4 + (1 - z) w_n / 2 <= rate - z with a z of [1/2, rate],
    from which w_n <= 2 (rate - z) / (1 - z) and

        (w_z + w_n) / 4 <= rate - z + (2 z - 1) w_n / 4 <= (rate - z) / (2 (1 - z)) <= rate - 1/2.

    This and z <= rate in the inequality of the update gate make a convex set that contains all.
    """
    X = gru_rows(cell)
    # its factors, 1/4 and 1/2 * 1/2, are exact, and so is rate - 1/2 for rates of [1/2, 1]
    cap = gru_limits(cell, rate, bound, 0.5, 0.5, 0.0, 0.0)
    limits = np.full_like(cap.limits, np.inf)
    limits[:, 0] = rate - 0.5
    limits[:, 1] = float(log_odds_up(rate))
    cap = replace(cap, limits=limits)
    Y, tau = nearest_rows(X, cap)
    return rows_lower(X, Y, cap, tau)


def _published(cell: GRU, request: Request) -> GRU | None:
    """Return the nearest member of the criterion's set, which is in the larger one, too."""
    if not request.rate > 0.5:  # no update gate is bounded so low
        return None
    chosen, _ = gru_bounds(cell, request.rate, request.input_bound)
    try:
        arrays, _, _ = gru_nearest(cell, request, chosen)
    except ArithmeticError:
        return None
    found = cell.with_parameters(**dict(zip(cell.parameters, arrays, strict=True)))
    return found if isinstance(found, GRU) else None


def gru(recurrent: Map, request: Request) -> Projection:
    """Project a GRU onto its criterion, with the gates' bounds of least distance.

    Or onto the larger set with bounds for every unit.
    """
    if not isinstance(recurrent, GRU):
        raise ValueError(
            f"onto='gru' is a set of GRU cells, received {recurrent!r}; for an LSTM there is "
            "onto='lstm', for other maps the sets of their recurrent matrix"
        )
    if request.per_unit:
        return per_unit(recurrent, request, nearer=lambda: _published(recurrent, request))
    rate, bound = request.rate, request.input_bound
    check_published_rate(rate, "update", "take a larger one, or per_unit=True")
    member = in_criterion(recurrent, rate, bound)
    if member is not None and unmoved(recurrent, request):
        return make_projection(recurrent, {}, certificate=member, lower=0.0, method="member")
    X = gru_rows(recurrent)
    chosen, count = gru_bounds(recurrent, rate, bound)
    method, solved = "soft thresholds of rows", None
    note = outside_note(
        recurrent,
        request,
        ", which takes absolute values of biases, and 1/4 for all slopes; per_unit=True keeps it",
    )
    if request.method == "cvxpy":
        solved, why = oracle.attempt(lambda: solve_rows(X, chosen.limits(recurrent, rate, bound)))
        note = why or note

    arrays, certificate, margin = gru_nearest(recurrent, request, chosen, solved)
    return make_projection(
        recurrent,
        dict(zip(recurrent.parameters, arrays, strict=True)),
        certificate=certificate,
        lower=gru_lower(recurrent, rate, bound),
        method=solved.method if solved is not None else method,
        iterations=count,
        residuals={
            "margin": margin,
            "update": chosen.z,
            "reset": chosen.r,
            "reset weights": chosen.reset,
            "candidate": chosen.candidate,
        },
        note=note or NOT_CONVEX,
    )
