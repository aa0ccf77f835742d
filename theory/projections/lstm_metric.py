r"""The Euclidean set of LSTM cells: all recurrent weights bounded together, by one norm.

Main names: `lstm_l2`, `Scales`, `metric_proof`.

With f_j < rate the bound of the forget gate of unit j, a difference (d, e) of (c, h) becomes

    d+ = f w_0 + sum_k a_k w_k,   |w_0| <= |d|,  |w_k| <= |(W_k e)_j|,   k = i, f, g,
    e+ = w_4 + a_o w_5,           |w_4| <= |d+|, |w_5| <= |(W_o e)_j|,

a = (1/4, 1 / (4 (1 - f)), 1, 1/4) at most.  Let s = 1 - f / rate, p > 0, 0 < g < 1 and shares b_k
of sum 1.  By Cauchy and Schwarz, with weights f / rate and s, then b_k,

    (d+)^2 <= rate f w_0^2 + sum_k a_k^2 w_k^2 / (b_k s),
    (e+)^2 <= w_4^2 / g + a_o^2 w_5^2 / (1 - g),

and with p_c = (p / g) f / (rate - f), where p_c + p / g = (p / g) / s,

    p_c (d+)^2 + p (e+)^2 <= rate^2 p_c d^2 + sum_k D_k (W_k e)^2 + D_o (W_o e)^2,
    D_k = p a_k^2 / (g b_k s^2),   D_o = p a_o^2 / (1 - g).

So the cell contracts at the rate in the Euclidean norm of the weights (p_c, p) if, over all units,

    || D^(1/2) W diag(p)^(-1/2) ||_2 <= rate,

for given f, p, g and b a convex set.  a / s is what a constant difference does to c, and to h.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple, final

import numpy as np

from theory.arithmetic.gates import GateBounds
from theory.certificates import Contraction
from theory.inputs import Inputs
from theory.maps.base import Map
from theory.maps.invariance import invariant_domain
from theory.maps.lstm import LSTM
from theory.projections.base import NOT_CONVEX, Projection, Request, make_projection
from theory.projections.gates import best_number, finish, log_odds, log_odds_up, unmoved
from theory.projections.metric import MetricSet, clip_in_metric, metric_ball
from theory.projections.rows import RowLimits, nearest_rows, rows_lower
from theory.theorems.contractive_of_sectors import contractive_of_sectors
from theory.theorems.sectors import Sectors
from theory.typing import Array

#: Multipliers exceed what the inequalities above need by this, once and twice, and the rate by
#: twice as much, so that the matrix inequality holds with room for rounding.
_ROOM = 2.0**-20

#: A bound of a forget gate is taken to be at least this part of the rate, a share of a gate at
#: least this; weights of the norm go at most so far apart, after so many rounds.
_LEAST, _SHARE, _APART, _ROUNDS = 2.0**-20, 2.0**-10, 2.0**12, 30

#: What multiplies a term is taken to be at least this, so that no square of it underflows.
_GAIN = 2.0**-30

#: Forget bounds are aimed at a little below, for the cast to single precision.
_BELOW = 1.0 - 2.0**-16


@final
class Scales(NamedTuple):
    """What the set is chosen by; every array has an entry a unit."""

    forget: Array  # f
    gains: Array  # a of i, f and g, (3, n)
    out: Array  # what multiplies d+ in e+, 1 at most
    last: Array  # a_o
    p: Array  # squared weights of h in the norm
    shares: Array  # b of i, f and g, (3, n)
    part: Array  # g

    @classmethod
    def around(
        cls, W: Array, rate: float, *, forget: Array, gains: Array, out: Array, last: Array
    ) -> Scales:
        """Return scales for which the norm of these weights is small; any are allowed."""
        n = len(forget)
        f = np.maximum(forget, _LEAST * rate)
        blocks = W.reshape(4, n, n)
        p: Array = np.ones(n)
        for _ in range(_ROUNDS):
            lengths = np.sqrt(np.sum(np.square(blocks) / p, axis=2))
            inner = gains * lengths[:3] * (out / (1.0 - f / rate))
            to_c, to_h = np.sum(inner, axis=0), last * lengths[3]
            shares = _shares(inner)
            part = _shares(np.stack([to_c, to_h]))[0]
            made = cls(forget=f, gains=gains, out=out, last=last, p=p, shares=shares, part=part)
            rows = made.rows(rate).reshape(4, n) / p
            columns = np.einsum("kij,ki->j", np.square(blocks), rows * p) / p
            sizes = np.sum(rows * np.square(lengths), axis=0) * p
            # rows and columns of a unit alike long (Osborne)
            factor = np.sqrt((columns + 1e-12) / (sizes + 1e-12))
            p = p * np.sqrt(np.clip(factor, 0.25, 4.0))
            p = np.maximum(p / float(np.max(p)), 1.0 / _APART)
        return made

    def rows(self, rate: float) -> Array:
        """Return D, (4 n,)."""
        s = 1.0 - self.forget / rate
        inner = (self.p * np.square(self.out) / self.part) * np.square(self.gains / s) / self.shares
        return np.append(inner, self.p * np.square(self.last) / (1.0 - self.part))

    def within(self, W: Array, rate: float) -> float:
        """Return the norm of the weights, at most the rate in the set."""
        scaled = np.sqrt(self.rows(rate))[:, None] * W / np.sqrt(self.p)
        return float(np.linalg.norm(scaled, 2))

    def metric(self, rate: float) -> tuple[Array, Array]:
        """Return the diagonal of P, of (c, h), and the multipliers of w_0, i, f, g, w_4 and o."""
        through = self.p * np.square(self.out) / self.part
        p_c = through * self.forget / (rate - self.forget)
        D = self.rows(rate).reshape(4, -1)
        more, most = 1.0 + _ROOM, 1.0 + 2.0 * _ROOM
        q = [rate**2 * p_c * most, *(D[:3] * most), through * more, D[3] * more]
        return np.append(p_c, self.p), np.stack(q)

    def ball(self, rate: float) -> MetricSet:
        """Return the weights whose norm is at most the rate."""
        n = len(self.p)
        return MetricSet(
            radius=rate, left=np.eye(4 * n), right=np.eye(n), high=np.sqrt(self.rows(rate)),
            low=np.sqrt(self.p), P=np.diag(self.p), terms=(),
        )  # fmt: skip


def _shares(parts: Array) -> Array:
    """Return shares of sum 1 near those of the parts, none below the least."""
    total = np.sum(parts, axis=0)
    raw = np.where(total > 0, parts / np.where(total > 0, total, 1.0), 1.0 / len(parts))
    return np.asarray((raw + _SHARE) / (1.0 + len(parts) * _SHARE))


def metric_proof(cell: LSTM, rate: float, input_bound: float) -> Contraction | None:
    r"""Return the contraction at the rate in the norm of `Scales` for the cell; None if none.

    The ranges are those of the box that the cell's own gates keep.  A range [l, u] has the middle
    m y + r w where the set has (|m| + r) w', and

        y^2 - w'^2 - k (y^2 - w^2) = k |m| / (|m| + r) (y - w)^2,   k = r / (|m| + r), m >= 0,

    so that its multiplier is k times as large.  Where |m| + r is below half of what the set has,
    w'^2 <= (y^2 + w^2) / 4, and k = 1/2 does.
    """
    bound = np.full(cell.input_dim, input_bound)
    domain = invariant_domain(cell, inputs=Inputs.box(-bound, bound))
    if domain is None:
        return None
    sectors = cell.sectors(domain)
    if not sectors.finite:
        return None
    scales = _scales_in(cell, sectors, rate)
    if scales is None:
        return None
    inner = rate * (1.0 - 2.0 * _ROOM)
    low, high = (np.stack([one.range[k] for one in sectors.terms]) for k in (0, 1))
    diagonal, q = scales.metric(inner)
    size = np.maximum(np.abs(high), np.abs(low))
    q = q * np.where(size < _GAIN / 2, 0.5, (high - low) / np.maximum(size, _GAIN / 2) / 2.0)
    top = float(np.max(diagonal))
    P, multipliers = np.diag(diagonal / top), q.ravel() / top
    if not (np.all(multipliers > 0) and np.isfinite(multipliers).all()):
        return None
    return contractive_of_sectors(sectors, P=P, q=multipliers, rate=rate, domain=domain)


def _scales_in(cell: LSTM, sectors: Sectors, rate: float) -> Scales | None:
    """Return scales whose norm is seen to be at most the rate, None otherwise."""
    size = np.stack(
        [np.maximum(np.abs(one.range[0]), np.abs(one.range[1])) for one in sectors.terms]
    )
    inner = rate * (1.0 - 2.0 * _ROOM)
    if not float(np.max(size[0])) < inner:
        return None
    gain = np.maximum(size, _GAIN)
    given = {"forget": size[0], "gains": gain[1:4], "out": gain[4], "last": gain[5]}
    scales = Scales.around(cell.W, inner, **given)
    return scales if scales.within(cell.W, inner) <= inner else None


def lstm_l2(recurrent: Map, request: Request) -> Projection:
    """Project an LSTM onto the Euclidean set."""
    if not isinstance(recurrent, LSTM):
        raise ValueError(
            f"onto='lstm_l2' is a set of LSTM cells, received {recurrent!r}; for maps "
            "rho(W h + U x + b) there is onto='lmi'"
        )
    if request.method == "cvxpy":
        raise ValueError("method='cvxpy' has no set 'lstm_l2', needed auto or closed_form")
    cell, rate, bound = recurrent, request.rate, request.input_bound
    if request.forget is not None and not request.forget < rate:
        raise ValueError(f"forget={request.forget!r}, needed a number below the rate {rate!r}")
    prove = partial(metric_proof, rate=rate, input_bound=bound)
    member = prove(cell)
    if member is not None and unmoved(cell, request):
        return make_projection(cell, {}, certificate=member, lower=0.0, method="member")

    def distance(cap: float) -> float:
        return _length(cell, _nearest(cell, cap, rate, bound, request.method))

    cap = request.forget
    if cap is None:
        cap = best_number(distance, 0.0, rate)
    W, U, b = _nearest(cell, cap, rate, bound, request.method)

    def point(margin: float) -> tuple[Array, ...]:
        return W * (1.0 - margin), U, b  # the set is star-shaped in W

    arrays, certificate, margin = finish(cell, request, point, prove)
    return make_projection(
        cell,
        dict(zip(("W", "U", "b"), arrays, strict=True)),
        certificate=certificate,
        lower=_forget_lower(cell, rate, bound),
        method="clipping in a diagonal metric" if request.method == "closed_form" else "splitting",
        residuals={"margin": margin, "largest forget": cap},
        note=NOT_CONVEX,
    )


def _length(cell: LSTM, arrays: tuple[Array, Array, Array]) -> float:
    parts = zip(arrays, cell.parameters.values(), strict=True)
    return float(np.sqrt(sum(np.sum(np.square(a - b)) for a, b in parts)))


def forget_limits(cap: Array, n: int, m: int, input_bound: float) -> RowLimits:
    """Return the inequality |W_f| 1 + B |U_f| 1 + b_f <= log(cap / (1 - cap)) of every unit."""
    factors = np.tile([1.0, input_bound, 1.0], (n, 1, 1))
    return RowLimits(
        starts=np.array([0, n, n + m, n + m + 1]), factors=factors, v=np.ones((1, n + m + 1)),
        limits=log_odds(cap)[:, None], signed=np.array([0.0, 0.0, 1.0]),
    )  # fmt: skip


def _nearest(
    cell: LSTM, cap: float, rate: float, bound: float, method: str
) -> tuple[Array, Array, Array]:
    """Return W, U and b with forget gates below the cap, W nearest in the ball of some scales."""
    n, m = cell.units, cell.input_dim
    W, U, b = (np.array(cell.parameters[name]) for name in ("W", "U", "b"))
    rows = slice(n, 2 * n)
    own = GateBounds.of(*cell.gate("f"), inputs=bound).sigmoid
    f = np.minimum(own, cap)
    far = own > cap
    if np.any(far):
        X = np.hstack([W[rows], U[rows], b[rows, None]])
        where = forget_limits(np.full(n, cap * _BELOW), n, m, bound)
        Y = np.where(far[:, None], nearest_rows(X, where)[0], X)
        W[rows], U[rows], b[rows] = Y[:, :n], Y[:, n:-1], Y[:, -1]
    one = np.ones(n)
    gains = np.stack([0.25 * one, 0.25 / (1.0 - f), one])
    inner = rate * (1.0 - 4.0 * _ROOM)
    scales = Scales.around(W, inner, forget=f, gains=gains, out=one, last=0.25 * one)
    ball = scales.ball(inner)
    new = clip_in_metric(W, ball) if method == "closed_form" else metric_ball(W, ball).W
    # sums of rows may have grown; shorter rows stay in the ball
    sums = np.sum(np.abs(new[rows]), axis=1)
    room = np.maximum(log_odds(f * _BELOW) - bound * np.sum(np.abs(U[rows]), axis=1) - b[rows], 0.0)
    new[rows] *= np.minimum(1.0, room / np.maximum(sums, np.finfo(float).tiny))[:, None]
    return new, U, b


def _forget_lower(cell: LSTM, rate: float, bound: float) -> float:
    """Return a proved lower bound of the distance of every member: at h = 0 its f is below rate."""
    n, m = cell.units, cell.input_dim
    _, U_f, b_f = cell.gate("f")
    X = np.hstack([U_f, b_f[:, None]])
    where = RowLimits(
        starts=np.array([0, m, m + 1]), factors=np.tile([bound, 1.0], (n, 1, 1)),
        v=np.ones((1, m + 1)), limits=np.full((n, 1), log_odds_up(rate)),
        signed=np.array([0.0, 1.0]),
    )  # fmt: skip
    Y, multipliers = nearest_rows(X, where)
    return rows_lower(X, Y, where, multipliers)
