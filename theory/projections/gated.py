r"""Projections of LSTM and GRU cells.

Main names: `lstm`, `gru`, `certify`, `RowLimits`, `nearest_rows`, `GRUBounds`.

For fixed bounds of the gates the published sets are convex, and so are those with a bound for each
unit: the rows of a unit obey a few inequalities on weighted sums of absolute values, and units do
not share parameters.  What remains is to choose the bounds: one of them by a search over one number
(for each unit), others by a search over a few.

LSTM, states |h| <= 1, |c_j| <= 1 / (1 - f_j), inputs |x| <= B.  With w_g the row sums of |W_g| of
unit j in the weights v = (v_c, v_h) of a maximum norm and f = f_j, one step maps differences to at
most

    c:   f + (w_i / 4 + w_g + w_f / (4 (1 - f))) / v_c,
    h:   (f v_c + w_i / 4 + w_g + w_f / (4 (1 - f)) + w_o / 4) / v_h,

and f is a bound of the forget gate if |W_f| 1 + B |U_f| 1 + b_f <= log(f / (1 - f)).  With v = 1
the second line is the larger one.  The published set bounds the four sums one by one, with one f:
w_i, w_o <= rate - f, w_g <= (rate - f) / 4, w_f <= (rate - f) (1 - f), and takes |b_f| for b_f.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, final

import numpy as np
import numpy.typing as npt

from theory.activations import SIGMOID, TANH
from theory.certificates import Contraction, Evidence
from theory.domain import Domain
from theory.intervals import activation_image
from theory.maps.base import Map
from theory.norms import Linf, WeightedLinf
from theory.projections.base import Projection, Request, answer, settle
from theory.projections.pairs import scaled_sums_lower
from theory.projections.repair import half_space_distance, length_upper
from theory.rounding import gamma, up
from theory.typing import Array

if TYPE_CHECKING:
    from theory.projections.oracle import Solved

#: Grid of forget bounds, as fractions of the rate, before the search refines the best.
_GRID = (0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.88, 0.94, 0.98)

#: The search for a bound ends when its bracket is this narrow, relative to the rate.
_NARROW = 1e-3

#: From so many units on, searches for their bounds start from those of other weights.
_LARGE = 48

#: Rounds of new weights in the larger LSTM set.
_ROUNDS = 6

#: Cells of forget bounds that a lower bound of the distance may look at.
_CELLS = 40

#: An array of integers.
Integers = npt.NDArray[np.int64]

_GOLDEN = 0.5 * (math.sqrt(5.0) - 1.0)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class RowLimits:
    """Inequalities sum_j factors[i, k, g(j)] v[k, j] |y_ij| <= limits[i, k] on the rows i."""

    starts: Integers  # first column of each group, and the number of columns, (G + 1,)
    factors: Array  # (m, K, G)
    v: Array  # (K, n)
    limits: Array  # (m, K); inf for none
    signed: Array  # (G,), 1 where y_ij stands without its modulus


def nearest_rows(X: Array, where: RowLimits) -> tuple[Array, Array]:
    """Return the nearest rows and the multipliers of the inequalities."""
    from theory.kernels.loops import row_limits_kernel

    out = np.empty_like(X)
    multipliers = np.empty_like(where.limits)
    row_limits_kernel(
        np.ascontiguousarray(X), where.starts, np.ascontiguousarray(where.factors),
        np.ascontiguousarray(where.v), np.ascontiguousarray(where.limits), where.signed, out,
        multipliers,
    )  # fmt: skip
    return out, multipliers


def nearest_published(X: Array, where: RowLimits) -> tuple[Array, Array]:
    """Return `nearest_rows` for `published_limits`: all but the forget gates are plain balls."""
    from theory.kernels.loops import row_sum_kernel

    n, columns = X.shape
    Y, tau = np.empty_like(X), np.zeros_like(where.limits)
    ones = np.ones(n)
    for k, g in ((0, 0), (1, 3), (2, 2)):
        part = slice(g * n, (g + 1) * n)
        block = X[:, part].copy()
        row_sum_kernel(block, ones, np.ascontiguousarray(where.limits[:, k]), True, block)
        Y[:, part] = block
        tau[:, k] = np.max(np.abs(X[:, part] - block), axis=1)
    forget = np.r_[n : 2 * n, 4 * n : columns]
    gate = RowLimits(
        starts=np.array([0, n, columns - 3 * n - 1, columns - 3 * n]),
        factors=where.factors[:, 3:, [1, 4, 5]],
        v=where.v[3:, forget],
        limits=where.limits[:, 3:],
        signed=where.signed[[1, 4, 5]],
    )
    Y[:, forget], tau[:, 3:] = nearest_rows(X[:, forget], gate)
    return Y, tau


def rows_lower(X: Array, Y: Array, where: RowLimits, multipliers: Array) -> float:
    r"""Return a proved lower bound of the distance of X from the rows that obey the inequalities.

    A normal N with |N_j| <= sum_k tau_k a_kj (equal, not only at most, where y_j is signed) has
    inner product at most sum_k tau_k limit_k with every member.  N is X - Y, cut to that.
    """
    m = len(X)
    finite = np.isfinite(where.limits)
    tau = np.where(finite, multipliers, 0.0)
    N = X - Y
    groups = np.repeat(np.arange(len(where.signed)), np.diff(where.starts))
    # coefficients rounded down, so that the cut is safe
    t = np.zeros_like(X)
    for k in range(tau.shape[1]):
        t += (tau[:, k, None] * where.factors[:, k, :])[:, groups] * where.v[k][None, :]
    signed = where.signed[groups] != 0
    t *= np.where(signed, 1.0, 1.0 - 2 * gamma(tau.shape[1] + 4))
    N = np.where(signed[None, :], t, np.clip(N, -t, t))
    limits = np.where(finite, where.limits, 0.0)
    size = float(np.sum(np.abs(tau * limits)))
    support = float(np.sum(tau * limits)) + 2 * gamma(m * tau.shape[1] + 4) * size
    # a signed entry of N is a sum of products, rounded; it multiplies an entry of the member
    loose = 2 * gamma(tau.shape[1] + 4) * length_upper(np.where(signed[None, :], t, 0.0))
    reach = length_upper(X) + length_upper(X - Y)
    return half_space_distance(X, N, up(up(support) + up(loose * reach)))


# ------------------------------------------------------------------------------------ certificates


def _sums_up(A: Array, v: Array | None = None) -> Array:
    """Return row sums of |A| v, rounded up."""
    n = A.shape[1]
    sums = np.abs(A).sum(axis=1) if v is None else np.abs(A) @ v
    result: Array = np.nextafter(sums * (1 + 2 * gamma(n + 2)) + n * 2.0**-1070, np.inf)
    return result


def _up(x: Array) -> Array:
    """Return numbers above the results of a few rounded operations on non-negative numbers."""
    raised: Array = x * (1 + 2.0**-48) + 2.0**-1040
    return raised


def _sigmoid_up(a: Array) -> Array:
    return np.minimum(activation_image(SIGMOID, a, a)[1], 1.0)


def certify(recurrent: Map, input_bound: float, weights: Array | None = None) -> Contraction | None:
    """Return the contraction of an LSTM or GRU in a maximum norm, by its gates' bounds.

    Parameters
    ----------
    recurrent : LSTM or GRU
    input_bound : float
        Bound of |x_i|.
    weights : (state_dim,) array, optional
        Weights of the norm, ones by default; LSTM only.

    Returns
    -------
    Contraction or None
        On the domain |h| <= 1 (and |c_j| <= 1 / (1 - f_j)); None if the factor is not below 1.
    """
    from theory.maps.lstm import LSTM

    if isinstance(recurrent, LSTM):
        rates, low = _lstm_rates(recurrent, input_bound, weights)
    else:
        rates, low = _gru_rates(recurrent, input_bound)
    lam = float(np.max(rates))
    if not lam < 1:
        return None
    bound = np.full(recurrent.input_dim, input_bound)
    return Contraction(
        lam=lam,
        norm=Linf() if weights is None else WeightedLinf(weights),
        evidence=Evidence(
            kind="certified",
            method="gate bounds",
            detail=f"row sums of a comparison matrix, inputs |x| <= {input_bound!r}",
        ),
        domain=Domain(low=-low, high=low, input_low=-bound, input_high=bound),
    )


def _lstm_rates(cell: object, input_bound: float, weights: Array | None) -> tuple[Array, Array]:
    """Return row sums of the comparison matrix in the weights, and the ends of the states."""
    from theory.maps.lstm import LSTM

    assert isinstance(cell, LSTM)
    n = cell.units
    v = np.ones(2 * n) if weights is None else weights
    v_c, v_h = v[:n], v[n:]
    W_f, U_f, b_f = cell.gate("f")
    reach = _up(_sums_up(W_f) + input_bound * _sums_up(U_f))
    f = _sigmoid_up(np.nextafter(reach + b_f, np.inf))
    room = np.nextafter(1.0 - f, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        largest = np.where(room > 0, _up(1.0 / np.maximum(room, 2.0**-1000)), np.inf)
    rows = {g: _sums_up(cell.gate(g)[0], v_h) for g in ("i", "f", "g", "o")}
    inner = _up(0.25 * rows["i"] + rows["g"] + 0.25 * largest * rows["f"])
    by_c = _up(f + inner / v_c)
    by_h = _up((f * v_c + inner + 0.25 * rows["o"]) / v_h)
    low = np.append(np.where(np.isfinite(largest), largest, 1.0), np.ones(n))
    return np.append(by_c, by_h), low


def _gru_rates(cell: object, input_bound: float) -> tuple[Array, Array]:
    """Return the factors of all units in the maximum norm, and the ends of the states."""
    from theory.maps.gru import GRU

    if not isinstance(cell, GRU):
        raise ValueError(f"received {cell!r}, needed an LSTM or a GRU")
    n = cell.units
    rows, bounds = {}, {}
    for g in ("r", "z", "n"):
        W, U, b = cell.gate(g)
        rows[g] = _sums_up(W)
        bounds[g] = _up(rows[g] + input_bound * _sums_up(U)), b
    r, z = (_sigmoid_up(np.nextafter(bounds[g][0] + bounds[g][1], np.inf)) for g in ("r", "z"))
    reach, b_n = bounds["n"]
    extra = np.abs(cell.b_candidate)
    top = _up(reach + np.abs(b_n) + extra)
    candidate = np.minimum(activation_image(TANH, top, top)[1], 1.0)
    if cell.variant == "reset_after":
        inner = _up(r * rows["n"] + 0.25 * rows["r"] * (rows["n"] + extra))
    else:
        inner = _sums_up(cell.gate("n")[0], _up(r + 0.25 * rows["r"]))
    by_z = _up(0.25 * (1.0 + candidate) * rows["z"])
    # z + (1 - z) inner is affine in z of [0, z_max]
    last = np.maximum(_up(z + (1.0 - z + 2.0**-53) * inner), inner)
    return _up(last + by_z), np.ones(n)


# -------------------------------------------------------------------------------------------- LSTM


def _log_odds(f: Array | float) -> Array:
    """Return log(f / (1 - f)), a little less."""
    value = np.log(f) - np.log1p(-np.asarray(f, dtype=np.float64))
    return np.asarray(value - 2.0**-46 * (1.0 + np.abs(value)))


def _lstm_rows(cell: object) -> tuple[Array, Integers]:
    """Return the rows [W_i, W_f, W_g, W_o, U_f, b_f] of the units, and where the groups start."""
    from theory.maps.lstm import LSTM

    assert isinstance(cell, LSTM)
    n, m = cell.units, cell.input_dim
    _, U_f, b_f = cell.gate("f")
    X = np.hstack([*(cell.gate(g)[0] for g in ("i", "f", "g", "o")), U_f, b_f[:, None]])
    return X, np.array([0, n, 2 * n, 3 * n, 4 * n, 4 * n + m, 4 * n + m + 1])


def _lstm_parameters(cell: object, Y: Array) -> tuple[Array, Array, Array]:
    """Return W, U, b with the rows of the units replaced."""
    from theory.maps.lstm import LSTM

    assert isinstance(cell, LSTM)
    n, m = cell.units, cell.input_dim
    W = np.vstack([Y[:, k * n : (k + 1) * n] for k in range(4)])
    U, b = cell.U.copy(), cell.b.copy()
    U[n : 2 * n], b[n : 2 * n] = Y[:, 4 * n : 4 * n + m], Y[:, 4 * n + m]
    return W, U, b


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
    starts = np.array([0, n, 2 * n, 3 * n, 4 * n, 4 * n + m, 4 * n + m + 1])
    factors = np.zeros((n, 5, 6))
    for k, g in enumerate((0, 3, 2, 1)):
        factors[:, k, g] = 1.0
    factors[:, 4, 1], factors[:, 4, 4], factors[:, 4, 5] = 1.0, input_bound, 1.0
    room = rate - forget
    odds = float(_log_odds(forget if cap is None else cap))
    limits = np.tile([room, room, 0.25 * room, room * (1.0 - forget), odds], (n, 1))
    return RowLimits(
        starts=starts, factors=factors, v=np.ones((5, 4 * n + m + 1)), limits=limits,
        signed=np.zeros(6),
    )  # fmt: skip


def forget_rows(
    W_f: Array,
    U_f: Array,
    b_f: Array,
    *,
    rate: float,
    forget: float,
    input_bound: float,
    single: bool = False,
) -> tuple[Array, Array, Array]:
    """Return the forget gates' part of the nearest point of the published set.

    Parameters
    ----------
    W_f, U_f, b_f : (n, n), (n, m) and (n,) arrays
    rate, forget, input_bound : float
    single : bool
        Whether the result must be exact, and inside, in single precision.
    """
    n, m = len(W_f), U_f.shape[1]
    whole = published_limits(n, m, rate, forget, input_bound)
    shrink = 2.0**-22 if single else 8.0 * gamma(n + m + 8)
    where = RowLimits(
        starts=np.array([0, n, n + m, n + m + 1]),
        factors=whole.factors[:, 3:, [1, 4, 5]],
        v=np.ones((2, n + m + 1)),
        limits=whole.limits[:, 3:],
        signed=np.zeros(3),
    )
    X = np.hstack([W_f, U_f, b_f[:, None]])
    Y, tau = nearest_rows(X, where)
    moved = np.any(tau > 0, axis=1)
    if np.any(moved):
        inner = RowLimits(
            starts=where.starts, factors=where.factors[moved], v=where.v,
            limits=where.limits[moved] * (1.0 - shrink), signed=where.signed,
        )  # fmt: skip
        Y[moved] = nearest_rows(X[moved], inner)[0]
    if single:
        Y = Y.astype(np.float32).astype(np.float64)
    return Y[:, :n], Y[:, n : n + m], Y[:, n + m]


def unit_limits(
    n: int, m: int, rate: float, forget: Array, input_bound: float, weights: Array
) -> RowLimits:
    """Return the inequalities of the larger LSTM set for the units' forget bounds and weights."""
    starts = np.array([0, n, 2 * n, 3 * n, 4 * n, 4 * n + m, 4 * n + m + 1])
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
    limits = np.stack([rate - forget, rate - forget * v_c / v_h, _log_odds(forget)], axis=1)
    return RowLimits(
        starts=starts, factors=factors, v=v, limits=limits,
        signed=np.array([0.0, 0.0, 0.0, 0.0, 0.0, 1.0]),
    )  # fmt: skip


def best_number(function: Callable[[float], float], first: float, last: float) -> float:
    """Return the number between the two of least value: a grid, then golden sections."""
    grid = [first + (last - first) * share for share in _GRID]
    values = [function(f) for f in grid]
    i = int(np.argmin(values))
    low, high = ([first, *grid][i], [*grid, last][i + 1])
    best, least = grid[i], values[i]
    a, b = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_a, at_b = function(a), function(b)
    while high - low > _NARROW * (last - first):
        if at_a <= at_b:
            high, b, at_b = b, a, at_a
            a = high - _GOLDEN * (high - low)
            at_a = function(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + _GOLDEN * (high - low)
            at_b = function(b)
        for f, value in ((a, at_a), (b, at_b)):
            if value < least:
                best, least = f, value
    return best


def _distance(X: Array, where: RowLimits) -> float:
    return float(np.linalg.norm(X - nearest_rows(X, where)[0]))


def _published_distance(X: Array, where: RowLimits) -> float:
    return float(np.linalg.norm(X - nearest_published(X, where)[0]))


def lstm(recurrent: Map, request: Request) -> Projection:
    """Project an LSTM onto the published set, or onto the larger one with a bound per unit."""
    from theory.maps.lstm import LSTM

    if not isinstance(recurrent, LSTM):
        raise ValueError(
            f"onto='lstm' is a set of LSTM cells, received {recurrent!r}; for a GRU there is "
            "onto='gru', for other maps the sets of their recurrent matrix"
        )
    if not request.per_unit and request.rate <= 0.5:
        raise ValueError(
            f"rate={request.rate!r}: the published set takes the absolute value of the forget "
            "gates' biases, so their bound is at least 1/2, and so is the rate; take "
            "per_unit=True, or a larger rate"
        )
    if request.forget is not None and not 0.5 < request.forget < request.rate:
        raise ValueError(
            f"forget={request.forget!r}, needed 1/2 < forget < rate = {request.rate!r}: the "
            "published bound of the gate is at least 1/2, and the cell contracts no faster"
        )
    if request.forget is not None and request.per_unit:
        raise ValueError("forget= is the bound of all units, per_unit=True chooses one for each")
    return _per_unit(recurrent, request) if request.per_unit else _published(recurrent, request)


def _stored(cell: Map, request: Request) -> bool:
    """Return whether all parameters are exact in the type asked for."""
    return all(np.array_equal(request.cast(a), a) for a in cell.parameters.values())


def _finish(
    cell: Map,
    request: Request,
    weights: Array | None,
    point: Callable[[float], tuple[Array, ...]],
    first: float,
) -> tuple[tuple[Array, ...], Contraction, float] | None:
    """Return accepted W, U, b (and b_candidate) with their certificate and margin."""
    names = tuple(cell.parameters)

    def rates(arrays: tuple[Array, ...]) -> Contraction | None:
        changed = cell.with_parameters(**dict(zip(names, arrays, strict=True)))
        return certify(changed, request.input_bound, weights)

    # a cell may contract at the rate without being in the set: what is asked is the set's point
    start = point(0.0)
    return settle(request, start, point, rates, first)


def _first_margin(request: Request, n: int) -> float:
    """Return the margin, relative to the rate, that covers the rounding of row sums."""
    return 8.0 * gamma(4 * n + 64) + (2.0**-23 if request.single else 0.0)


def _failed(request: Request) -> ArithmeticError:
    return ArithmeticError(
        f"no cell near the boundary could be proved to contract at {request.rate!r}; the weights "
        "may be too large for double precision: scale them down first"
    )


def _published(cell: Map, request: Request) -> Projection:
    from theory.maps.lstm import LSTM
    from theory.projections import oracle

    assert isinstance(cell, LSTM)
    X, _ = _lstm_rows(cell)
    n, m, rate, bound = cell.units, cell.input_dim, request.rate, request.input_bound
    if request.forget is None:
        member = certify(cell, bound)
        if member is not None and member.lam <= rate and _stored(cell, request):
            return answer(cell, {}, certificate=member, lower=0.0, method="member")

    def limits(f: float, shrink: float = 0.0) -> RowLimits:
        return published_limits(n, m, rate * (1.0 - shrink), f, bound)

    forget = request.forget
    if forget is None:
        forget = best_number(lambda f: _published_distance(X, limits(f)), 0.5, rate)
    chosen = forget
    method, note, solved = "soft thresholds of rows", "", None
    if request.method == "cvxpy":
        solved, note = oracle.attempt(lambda: _solve_rows(X, limits(chosen)))

    def point(margin: float) -> tuple[Array, ...]:
        if solved is not None:
            # the set is star-shaped around 0
            return _lstm_parameters(cell, solved.arrays[0] * (1.0 - margin))
        f = chosen - margin * min(chosen - 0.5, rate - chosen)
        return _lstm_parameters(cell, nearest_published(X, limits(f, margin))[0])

    done = _finish(cell, request, None, point, _first_margin(request, n))
    if done is None:
        raise _failed(request)
    (W, U, b), certificate, margin = done
    lower = _published_lower(X, cell, request, forget)
    return answer(
        cell,
        {"W": W, "U": U, "b": b},
        certificate=certificate,
        lower=lower,
        method=f"cvxpy ({solved.solver})" if solved is not None else method,
        iterations=0 if solved is None else solved.iterations,
        residuals={"margin": margin, "forget": forget},
        note=note,
    )


def _solve_rows(X: Array, where: RowLimits) -> Solved:
    from theory.projections import oracle

    groups = np.repeat(np.arange(len(where.signed)), np.diff(where.starts))
    return oracle.rows(
        X, where.factors, groups, where.v, where.limits, where.signed[groups].astype(bool)
    )


def _published_lower(X: Array, cell: object, request: Request, forget: float) -> float:
    """Return a proved lower bound of the distance from the published sets of all forget bounds.

    With the forget bound asked for, from one set.  Else for f of a cell [a, b] the set is contained
    in that with the sums at a and the bound of the gate at b; the least of the cells' lower bounds
    counts, and the cell that has it is halved until the bounds are within a part of 0.01.
    """
    from theory.maps.lstm import LSTM

    assert isinstance(cell, LSTM)
    n, m, bound = cell.units, cell.input_dim, request.input_bound
    # the certificate drops less than the set: a rate rounded up contains it
    rate = up(request.rate)

    def lower(a: float, b: float) -> float:
        where = published_limits(n, m, rate, a, bound, cap=b)
        slack = 1.0 + 2.0**-40 * np.sign(where.limits)
        where = RowLimits(
            starts=where.starts, factors=where.factors, v=where.v,
            limits=where.limits * slack + 2.0**-40 * np.array([0.0, 0.0, 0.0, 0.0, 1.0]),
            signed=where.signed,
        )  # fmt: skip
        Y, tau = nearest_published(X, where)
        return rows_lower(X, Y, where, tau)

    if request.forget is not None:
        return lower(forget, forget)
    reached = _published_distance(X, published_limits(n, m, request.rate, forget, bound))
    last_end = rate * (1.0 - 1e-9)
    ends = [0.5, *(0.5 + (rate - 0.5) * share for share in _GRID), last_end]
    cells = [(lower(a, b), a, b) for a, b in pairwise(ends)]
    # an f nearer to the rate: nothing but 0 in the sums, at any bound of the gate
    last = lower(last_end, max(request.rate, 1.0 - 2.0**-40))
    for _ in range(_CELLS):
        least, a, b = min(cells)
        if least >= 0.99 * reached or b - a < 1e-6:
            break
        middle = 0.5 * (a + b)
        cells.remove((least, a, b))
        cells += [(lower(a, middle), a, middle), (lower(middle, b), middle, b)]
    return min(last, min(cells)[0])


def _per_unit(cell: Map, request: Request) -> Projection:
    r"""Project onto the larger set by successive convex steps.

    For fixed weights v and forget bounds f the set is convex and the units separate.  Each round
    chooses f for every unit by a search over one number; then v is moved towards the weights that
    the comparison matrix of the new cell asks for.  A round that does not come nearer ends it.
    """
    from theory.maps.lstm import LSTM
    from theory.projections import oracle

    assert isinstance(cell, LSTM)
    X, _ = _lstm_rows(cell)
    n, m, rate, bound = cell.units, cell.input_dim, request.rate, request.input_bound
    original = _perron(cell, bound)
    for v in (None, original):
        member = certify(cell, bound, v)
        if member is not None and member.lam <= rate and _stored(cell, request):
            return answer(cell, {}, certificate=member, lower=0.0, method="member")
    best: tuple[float, Array, Array, Array] | None = None  # distance, rows, forget, weights
    rounds = 0
    candidates = [np.append(np.full(n, a), np.ones(n)) for a in (1.0, 0.8, 0.6)]
    if original is not None:
        candidates.append(original)
    for v in candidates:
        rounds += 1
        tried = _forget_for_units(X, n, m, rate, bound, v, None if best is None else best[2])
        if best is None or tried[0] < best[0]:
            best = (*tried, v)
    assert best is not None
    for _ in range(_ROUNDS):
        distance, Y, f, v = best
        W, U, b = _lstm_parameters(cell, Y)
        wanted = _perron(cell.with_parameters(W=W, U=U, b=b), bound)
        if wanted is None:
            break
        improved = False
        for share in (1.0, 0.5, 0.25):
            rounds += 1
            moved = np.exp((1.0 - share) * np.log(v) + share * np.log(wanted))
            tried = _forget_for_units(X, n, m, rate, bound, moved, f)
            if tried[0] < distance * (1.0 - 1e-3):
                best, improved = (*tried, moved), True
                break
        if not improved:
            break
    _, _, forget, v = best
    v = v / float(np.max(v))
    method, note, solved = "successive soft thresholds of rows", "", None
    if request.method == "cvxpy":
        solved, note = oracle.attempt(
            lambda: _solve_rows(X, unit_limits(n, m, rate, forget, bound, v))
        )

    def point(margin: float) -> tuple[Array, ...]:
        f = forget * (1.0 - margin)
        where = unit_limits(n, m, rate * (1.0 - margin * (1.0 - rate)), f, bound, v)
        if solved is not None:
            Y = solved.arrays[0].copy()
            # towards a point inside: no weights, and a bias that is low enough
            inner = np.zeros_like(Y)
            inner[:, -1] = np.minimum(X[:, -1], _log_odds(f) - 0.1)
            return _lstm_parameters(cell, (1.0 - margin) * Y + margin * inner)
        return _lstm_parameters(cell, nearest_rows(X, where)[0])

    done = _finish(cell, request, v, point, _first_margin(request, n))
    if done is None:
        raise _failed(request)
    (W, U, b), certificate, margin = done
    return answer(
        cell,
        {"W": W, "U": U, "b": b},
        certificate=certificate,
        lower=per_unit_lower(cell, rate, bound),
        method=f"cvxpy ({solved.solver})" if solved is not None else method,
        iterations=rounds,
        residuals={
            "margin": margin,
            "least forget": float(np.min(forget)),
            "largest forget": float(np.max(forget)),
        },
        note=note or "the set is not convex: a nearer member may exist",
    )


def per_unit_lower(cell: object, rate: float, bound: float) -> float:
    r"""Return a proved lower bound of the distance of an LSTM from the sets of all weights and f.

    The radius of the comparison matrix is at least every forget bound, so that f <= rate, which is
    an inequality on W_f, U_f and b_f.  The rows of h give, with f >= 0,

        sum_k (|W_i| / 4 + |W_f| / 4 + |W_g| + |W_o| / 4)_jk v_k <= rate v_j

    for the weights v of h; the same without W_f is about other parameters than the first.
    """
    from theory.maps.lstm import LSTM

    assert isinstance(cell, LSTM)
    X, _ = _lstm_rows(cell)
    n = cell.units
    largest = np.full(n, min(rate * (1 + 2.0**-40), 1 - 2.0**-50))
    cap = unit_limits(n, cell.input_dim, rate, largest, bound, np.ones(2 * n))
    limits = cap.limits.copy()
    limits[:, :2] = np.inf
    limits[:, 2] += 2.0**-40
    cap = RowLimits(
        starts=cap.starts, factors=cap.factors, v=cap.v, limits=limits, signed=cap.signed
    )
    Y, multipliers = nearest_rows(X, cap)
    gate = rows_lower(X, Y, cap, multipliers)
    W = {g: cell.gate(g)[0] for g in ("i", "f", "g", "o")}
    others = scaled_sums_lower((W["i"], W["g"], W["o"]), (0.25, 1.0, 0.25), up(rate))
    together = scaled_sums_lower(tuple(W.values()), (0.25, 0.25, 1.0, 0.25), up(rate))
    return max(together, math.hypot(gate, others) * (1 - 2.0**-50))


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
        grid, rounds = np.array(_GRID)[:, None] * top[None, :], 6
    else:
        f = np.minimum(near, _GRID[-1] * top)
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


def _perron(cell: Map, bound: float) -> Array | None:
    """Return weights that balance the rows of the comparison matrix; nothing is proved."""
    from theory.maps.lstm import LSTM

    assert isinstance(cell, LSTM)
    n = cell.units
    W = {g: np.abs(cell.gate(g)[0]) for g in ("i", "f", "g", "o")}
    _, U_f, b_f = cell.gate("f")
    a = W["f"].sum(axis=1) + bound * np.abs(U_f).sum(axis=1) + b_f
    f = 1.0 / (1.0 + np.exp(-np.clip(a, -700, 700)))
    if not float(np.max(f)) < 1 - 1e-9:
        return None
    A = 0.25 * W["i"] + W["g"] + (0.25 / (1.0 - f))[:, None] * W["f"]
    v = np.ones(2 * n)
    for _ in range(200):
        y = A @ v[n:]
        w = np.append(f * v[:n] + y, f * v[:n] + y + 0.25 * (W["o"] @ v[n:]))
        w = np.maximum(w / float(np.max(w)), 2.0**-20)
        if float(np.max(np.abs(w - v))) < 1e-9:
            break
        v = 0.5 * (v + w)
    return v / float(np.max(v))


# --------------------------------------------------------------------------------------------- GRU


def gru_limits(
    cell: object, rate: float, bound: float, z: float, r: float, reset: float, candidate: float
) -> RowLimits:
    r"""Return the inequalities of the GRU criterion for fixed bounds.

    With z, r bounds of the gates, |W_r| 1 <= reset and |n| <= candidate, one step maps differences
    in the maximum norm to at most z + (1 - z) (r + reset / 4) |W_n| 1 + (1 + candidate) |W_z| 1 / 4
    (and, with the reset gate after the product, (1 - z) reset |b_c| / 4).
    """
    from theory.maps.gru import GRU

    assert isinstance(cell, GRU)
    n, m = cell.units, cell.input_dim
    sizes = [n, n, n, m, m, m, 1, 1, 1, 1]
    starts = np.append(0, np.cumsum(sizes))
    factors = np.zeros((n, 5, 10))
    factors[:, 0, 1] = 0.25 * (1.0 + candidate)
    factors[:, 0, 2] = (1.0 - z) * (r + 0.25 * reset)
    if cell.variant == "reset_after":
        factors[:, 0, 9] = (1.0 - z) * 0.25 * reset
    for k, g in ((1, 1), (2, 0), (3, 2)):  # z, r, n
        factors[:, k, g], factors[:, k, 3 + g], factors[:, k, 6 + g] = 1.0, bound, 1.0
    factors[:, 3, 9] = 1.0
    factors[:, 4, 0] = 1.0
    top = float(np.arctanh(candidate)) * (1 - 2.0**-40) if candidate < 1 else math.inf
    row = [rate - z, float(_log_odds(z)), float(_log_odds(r)), top, reset]
    return RowLimits(
        starts=starts, factors=factors, v=np.ones((5, int(starts[-1]))),
        limits=np.tile(row, (n, 1)), signed=np.zeros(10),
    )  # fmt: skip


def _gru_rows(cell: object) -> Array:
    from theory.maps.gru import GRU

    assert isinstance(cell, GRU)
    gates = [cell.gate(g) for g in ("r", "z", "n")]
    return np.hstack(
        [
            *(W for W, _, _ in gates),
            *(U for _, U, _ in gates),
            *(b[:, None] for _, _, b in gates),
            cell.b_candidate[:, None],
        ]
    )


def _gru_parameters(cell: object, Y: Array) -> tuple[Array, ...]:
    from theory.maps.gru import GRU

    assert isinstance(cell, GRU)
    n, m = cell.units, cell.input_dim
    W = np.vstack([Y[:, k * n : (k + 1) * n] for k in range(3)])
    U = np.vstack([Y[:, 3 * n + k * m : 3 * n + (k + 1) * m] for k in range(3)])
    rest = Y[:, 3 * (n + m) :]
    return W, U, rest[:, :3].T.ravel(), rest[:, 3].copy()


@final
@dataclass(frozen=True, kw_only=True)
class GRUBounds:
    """What `gru_limits` fixes, so that the set is convex."""

    z: float  # of the update gate, above 1/2
    r: float  # of the reset gate
    reset: float  # of the row sums of |W_r|
    candidate: float  # of |n|

    def limits(self, cell: object, rate: float, bound: float, margin: float = 0.0) -> RowLimits:
        """Return the inequalities, those of a smaller set with a margin."""
        kept = 1.0 - margin
        # absolute values of the gates' arguments: no bound of a gate is below 1/2
        z, r = 0.5 + (self.z - 0.5) * kept, 0.5 + (self.r - 0.5) * kept
        level = z + (rate - self.z) * kept
        return gru_limits(cell, level, bound, z, r, self.reset * kept, self.candidate * kept)


def gru_bounds(
    cell: object, rate: float, bound: float, reach: float = 30.0
) -> tuple[GRUBounds, int]:
    """Return the bounds whose set is nearest to a GRU, by a search, and the sets it looked at.

    The search goes to bounds 1 / (1 + exp(-reach)), as parts of what is possible: near 1 the update
    gate's bound leaves next to nothing for the recurrent weights.
    """
    from scipy.optimize import minimize

    from theory.maps.gru import GRU

    assert isinstance(cell, GRU)
    X = _gru_rows(cell)

    def bounds(x: Array) -> GRUBounds:
        part = 1.0 / (1.0 + np.exp(-np.clip(x, -reach, reach)))
        reset = float(np.exp(np.clip(x[2], -20, min(reach, 20))))
        return GRUBounds(
            z=float(0.5 + (rate - 0.5) * part[0]),
            r=float(0.5 + 0.5 * part[1]),
            reset=reset,
            candidate=float(part[3]),
        )

    def value(x: Array) -> float:
        where = bounds(x).limits(cell, rate, bound)
        return _distance(X, where) if np.all(where.limits > 0) else math.inf

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
    cell: Map, request: Request, bounds: GRUBounds, solved: Solved | None = None
) -> tuple[tuple[Array, ...], Contraction, float]:
    """Return W, U, b and b_candidate of the nearest GRU for fixed bounds, its proof, the margin.

    Raises
    ------
    ArithmeticError
        If no cell near the boundary can be proved to contract.
    """
    X = _gru_rows(cell)

    def point(margin: float) -> tuple[Array, ...]:
        if solved is not None:
            return _gru_parameters(cell, solved.arrays[0] * (1.0 - margin))
        where = bounds.limits(cell, request.rate, request.input_bound, margin)
        return _gru_parameters(cell, nearest_rows(X, where)[0])

    first = _first_margin(request, len(X))
    start = point(0.0)
    if not all(map(np.array_equal, start, cell.parameters.values())):
        # inside by more than rounding moves it, so that the set leaves it where it is
        start = point(first)
    done = _finish(cell, request, None, lambda m: start if m == 0.0 else point(m), first)
    if done is None:
        raise _failed(request)
    return done


def gru_lower(cell: object, rate: float, bound: float) -> float:
    r"""Return a proved lower bound of the distance of a GRU from the sets of all bounds.

    Sums of absolute values are not negative, so that z, r >= 1/2.  With w_z, w_n the sums of a unit
    of W_z and W_n a member obeys w_z / 4 + (1 - z) w_n / 2 <= rate - z with a z of [1/2, rate],
    from which w_n <= 2 (rate - z) / (1 - z) and

        (w_z + w_n) / 4 <= rate - z + (2 z - 1) w_n / 4 <= (rate - z) / (2 (1 - z)) <= rate - 1/2.

    This and z <= rate in the inequality of the update gate make a convex set that contains all.
    """
    X = _gru_rows(cell)
    top = min(rate * (1 + 2.0**-40), 1 - 2.0**-50)
    cap = gru_limits(cell, up(rate), bound, 0.5, 0.5, 0.0, 0.0)
    limits = np.full_like(cap.limits, np.inf)
    limits[:, 0] = cap.limits[:, 0] + 2.0**-40
    limits[:, 1] = float(_log_odds(top)) + 2.0**-40
    cap = RowLimits(
        starts=cap.starts, factors=cap.factors, v=cap.v, limits=limits, signed=cap.signed
    )
    Y, tau = nearest_rows(X, cap)
    return rows_lower(X, Y, cap, tau)


def gru(recurrent: Map, request: Request) -> Projection:
    """Project a GRU onto its criterion, with the gates' bounds of least distance."""
    from theory.maps.gru import GRU
    from theory.projections import oracle

    if not isinstance(recurrent, GRU):
        raise ValueError(
            f"onto='gru' is a set of GRU cells, received {recurrent!r}; for an LSTM there is "
            "onto='lstm', for other maps the sets of their recurrent matrix"
        )
    rate, bound = request.rate, request.input_bound
    member = certify(recurrent, bound)
    if member is not None and member.lam <= rate and _stored(recurrent, request):
        return answer(recurrent, {}, certificate=member, lower=0.0, method="member")

    if rate <= 0.5:
        raise ValueError(
            f"rate={rate!r}: the set takes the absolute value of the update gates' biases, so "
            "their bound is at least 1/2, and so is the rate; take a larger one"
        )
    X = _gru_rows(recurrent)
    chosen, count = gru_bounds(recurrent, rate, bound)
    method, note, solved = "soft thresholds of rows", "", None
    if request.method == "cvxpy":
        solved, note = oracle.attempt(lambda: _solve_rows(X, chosen.limits(recurrent, rate, bound)))

    arrays, certificate, margin = gru_nearest(recurrent, request, chosen, solved)
    return answer(
        recurrent,
        dict(zip(recurrent.parameters, arrays, strict=True)),
        certificate=certificate,
        lower=gru_lower(recurrent, rate, bound),
        method=f"cvxpy ({solved.solver})" if solved is not None else method,
        iterations=count,
        residuals={
            "margin": margin,
            "update": chosen.z,
            "reset": chosen.r,
            "reset weights": chosen.reset,
            "candidate": chosen.candidate,
        },
        note=note or "the set is not convex: a nearer member may exist",
    )
