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

from theory.certificates import Contraction
from theory.maps.base import Map
from theory.maps.lstm import LSTM
from theory.projections.base import Projection, Request
from theory.projections.gate_balls import (
    BELOW,
    GAIN,
    LEAST,
    ROOM,
    balanced,
    ball,
    ball_norm,
    held_below,
    in_domain,
    of_ranges,
    onto_balls,
    proof,
    shares,
    shortened,
    sizes,
)
from theory.projections.gates import log_odds
from theory.projections.metric import MetricSet, clip_in_metric, metric_ball
from theory.theorems.sectors import Sectors
from theory.typing import Array


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
        f = np.maximum(forget, LEAST * rate)

        def choose(p: Array, lengths: Array) -> tuple[Scales, Array]:
            inner = gains * lengths[:3] * (out / (1.0 - f / rate))
            part = shares(np.stack([np.sum(inner, axis=0), last * lengths[3]]))[0]
            made = cls(
                forget=f, gains=gains, out=out, last=last, p=p, shares=shares(inner), part=part
            )
            return made, made.rows(rate)

        return balanced(W, choose)

    def rows(self, rate: float) -> Array:
        """Return D, (4 n,)."""
        s = 1.0 - self.forget / rate
        inner = (self.p * np.square(self.out) / self.part) * np.square(self.gains / s) / self.shares
        return np.append(inner, self.p * np.square(self.last) / (1.0 - self.part))

    def within(self, W: Array, rate: float) -> float:
        """Return the norm of the weights, at most the rate in the set."""
        return ball_norm(W, self.rows(rate), self.p)

    def metric(self, rate: float) -> tuple[Array, Array]:
        """Return the diagonal of P, of (c, h), and the multipliers of w_0, i, f, g, w_4 and o."""
        through = self.p * np.square(self.out) / self.part
        p_c = through * self.forget / (rate - self.forget)
        D = self.rows(rate).reshape(4, -1)
        more, most = 1.0 + ROOM, 1.0 + 2.0 * ROOM
        q = [rate**2 * p_c * most, *(D[:3] * most), through * more, D[3] * more]
        return np.append(p_c, self.p), np.stack(q)

    def ball(self, rate: float) -> MetricSet:
        """Return the weights whose norm is at most the rate."""
        return ball(self.rows(rate), self.p, rate)


def metric_proof(cell: LSTM, rate: float, input_bound: float) -> Contraction | None:
    """Return the contraction at the rate in the norm of `Scales` for the cell; None if none.

    The ranges are those of the box that the cell's own gates keep, as in `of_ranges`.
    """
    found = in_domain(cell, input_bound)
    if found is None:
        return None
    domain, sectors = found
    scales = _scales_in(cell, sectors, rate)
    if scales is None:
        return None
    diagonal, q = scales.metric(rate * (1.0 - 2.0 * ROOM))
    return proof(sectors, diagonal, q * of_ranges(sectors), rate, domain)


def _scales_in(cell: LSTM, sectors: Sectors, rate: float) -> Scales | None:
    """Return scales whose norm is seen to be at most the rate, None otherwise."""
    size = sizes(sectors)
    inner = rate * (1.0 - 2.0 * ROOM)
    if not float(np.max(size[0])) < inner:
        return None
    gain = np.maximum(size, GAIN)
    given = {"forget": size[0], "gains": gain[1:4], "out": gain[4], "last": gain[5]}
    scales = Scales.around(cell.W, inner, **given)
    return scales if scales.within(cell.W, inner) <= inner else None


def lstm_l2(recurrent: Map, request: Request) -> Projection:
    """Project an LSTM onto the Euclidean set."""
    if not isinstance(recurrent, LSTM):
        raise ValueError(
            f"onto='lstm_l2' is a set of LSTM cells, received {recurrent!r}; for maps "
            "rho(W h + U x + b) there is onto='lmi', for a GRU onto='gru_l2'"
        )
    rate, bound = request.rate, request.input_bound
    return onto_balls(
        recurrent,
        request,
        gate=("f", "forget"),
        prove=partial(metric_proof, rate=rate, input_bound=bound),
        nearest=lambda cap, _: _nearest(recurrent, cap, rate, bound, request.method),
    )


def _nearest(
    cell: LSTM, cap: float, rate: float, bound: float, method: str
) -> tuple[Array, Array, Array]:
    """Return W, U and b with forget gates below the cap, W nearest in the ball of some scales."""
    n = cell.units
    rows = slice(n, 2 * n)
    W, U, b, f = held_below(cell, rows, cap, bound)
    one = np.ones(n)
    gains = np.stack([0.25 * one, 0.25 / (1.0 - f), one])
    inner = rate * (1.0 - 4.0 * ROOM)
    scales = Scales.around(W, inner, forget=f, gains=gains, out=one, last=0.25 * one)
    where = scales.ball(inner)
    new = clip_in_metric(W, where) if method == "closed_form" else metric_ball(W, where).W
    # sums of rows may have grown
    room = np.maximum(log_odds(f * BELOW) - bound * np.sum(np.abs(U[rows]), axis=1) - b[rows], 0.0)
    new[rows] = shortened(new[rows], room)
    return new, U, b
