r"""The Euclidean set of GRU cells: all recurrent weights bounded together, by one norm.

Main names: `gru_l2`, `Scales`, `Ranges`, `metric_proof`.

With the update gate z in [a, b], b < rate, a difference d of h becomes

    d+ = z d + (1 - z) y + c,   y^2 <= sum_k (a_k (W_k d)_j)^2 / b_k,  k = r, n,
                                |c| <= a_z |(W_z d)_j|,

a_n the largest r n', a_r the largest |n' r' (W_n h + b_c)|, a_z the largest |z' (h - n)|, and
shares b_k of sum 1.  Let u, v, t > 0 with z^2 u + (1 - z)^2 v + t <= 1 at z = a and b: convex in
z, it holds between.  By Cauchy and Schwarz, with these as weights,

    (d+)^2 <= d^2 / u + y^2 / v + c^2 / t.

So the cell contracts at the rate in the Euclidean norm of weights P = p / (rate^2 - 1/u) if, over
all units,

    || D^(1/2) W diag(p)^(-1/2) ||_2 <= 1,   D_k = P a_k^2 / (v b_k),   D_z = P a_z^2 / t,

for given a, b, u, v, t and shares a convex set.  For one unit, y = Y and c = C, the least
(Y^2 / v + C^2 / t) / (rate^2 - 1/u) is where 1/u = b rate, and v and t share the rest of 1 as
(1 - b) Y and C do.  If that fails at z = a, both ends are sharp: with m = (a + b) / 2

    v / u = m / (1 - m),   (1 - t) / u = A = (b^2 (1 - m) + (1 - b)^2 m) / (1 - m),

b / (2 - b) for a = 0.  The multiplier of the sector of z, in units of P, is that at which the form
vanishes where z is sharp: (b - a) (1 - b) / (2 (u b - 1 + t)).
"""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple, final

import numpy as np

from theory.arithmetic.activations import SIGMOID
from theory.certificates import Contraction
from theory.maps.base import Map
from theory.maps.gru import GRU
from theory.projections.base import Projection, Request, with_parameters
from theory.projections.gate_balls import (
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
from theory.projections.metric import MetricSet, clip_in_metric, metric_ball
from theory.theorems.sectors import Sectors
from theory.typing import Array

#: A share of t or v in what u leaves is at least this.
_SHARE = 2.0**-10

#: Rounds in which a cell's ranges are those of the weights that the rounds before have found; by
#: clipping, and again by nearest points where the norm of the weights is not this large.
_ROUNDS, _FAR = 6, 2.0**40

#: A bound of the update gate keeps so far below the rate, relatively.
_BORDER = 1.0 - 2.0**-12


@final
class Ranges(NamedTuple):
    """What the terms of a difference are multiplied by; every array has an entry a unit."""

    low: Array  # a, the least update gate
    high: Array  # b, the largest
    gains: Array  # a of r, z and n, (3, n)

    @classmethod
    def of(cls, cell: GRU, sums: Array, bound: float) -> Ranges:
        """Return them for all weights whose rows have at most these sums |W| 1, (3, n), |h| <= 1.

        U and the biases are those of the cell, and |x_i| <= bound.
        """
        U, b = (cell.parameters[name].reshape(3, cell.units, -1) for name in ("U", "b"))
        driven, b = bound * np.sum(np.abs(U), axis=2), b[:, :, 0]
        r, high = SIGMOID((sums + driven + b)[:2])
        low = SIGMOID(b[1] - sums[1] - driven[1])
        held = sums[2] + np.abs(cell.b_candidate)
        n = np.tanh(driven[2] + np.abs(b[2]) + r * held)
        # h is no larger than the n that it is a mean of
        gains = np.stack([_steepest(0.0, r) * held, _steepest(low, high) * 2.0 * n, r])
        return cls(low=low, high=high, gains=gains)

    @classmethod
    def within(cls, sectors: Sectors) -> Ranges:
        """Return those of a cell's sectors."""
        n, r, _, z = sizes(sectors)
        return cls(*sectors.terms[2].range, gains=np.stack([r, z, n]))


def _steepest(low: Array | float, high: Array) -> Array:
    """Return the largest s (1 - s) between two values of a gate."""
    s = np.clip(0.5, low, high)
    return np.asarray(s * (1.0 - s))


@final
class Scales(NamedTuple):
    """What the set is chosen by; every array has an entry a unit."""

    low: Array  # a
    high: Array  # b
    gains: Array  # a of r, z and n, (3, n)
    p: Array  # what weighs the columns of W
    shares: Array  # b of r and n, (2, n)
    u: Array
    v: Array
    t: Array

    @classmethod
    def around(cls, W: Array, rate: float, at: Ranges, *, peaked: bool = False) -> Scales:
        """Return scales for which the norm of these weights is small; any are allowed."""
        high = np.maximum(at.high, LEAST * rate)
        low, gains = np.minimum(at.low, high), np.maximum(at.gains, GAIN)

        def choose(p: Array, lengths: Array) -> tuple[Scales, Array]:
            r, z, n = gains * lengths
            u, v, t = _weights(rate, low, high, r + n, z)
            parts = shares(np.stack([r, n]))
            made = cls(low=low, high=high, gains=gains, p=p, shares=parts, u=u, v=v, t=t)
            return made, made.rows(rate)

        return balanced(W, choose, peaked=peaked)

    def metric(self, rate: float) -> Array:
        """Return P."""
        return self.p / (rate**2 - 1.0 / self.u)

    def rows(self, rate: float) -> Array:
        """Return D, (3 n,), in the order of W."""
        r, z, n = self.metric(rate) * np.square(self.gains)
        by_r, by_n = self.shares
        return np.concatenate([r / (self.v * by_r), z / self.t, n / (self.v * by_n)])

    def within(self, W: Array, rate: float) -> float:
        """Return the norm of the weights, at most 1 in the set."""
        return ball_norm(W, self.rows(rate), self.p)

    def multipliers(self, rate: float, z: tuple[Array, Array]) -> Array:
        """Return those of the sectors n, r, z and W_z, with z in this range."""
        r, by_z, n = self.rows(rate).reshape(3, -1) * (1.0 + 3.0 * ROOM)
        sharp = (z[1] - z[0]) / 2.0 * (1.0 - self.high) / (self.u * self.high - 1.0 + self.t)
        least = ROOM * np.minimum(1.0 / self.u, 1.0 / self.v)
        return np.stack([n, r, self.metric(rate) * np.maximum(sharp * (1.0 + ROOM), least), by_z])

    def ball(self, rate: float) -> MetricSet:
        """Return the weights whose norm is at most 1."""
        return ball(self.rows(rate), self.p, 1.0)


def _weights(rate: float, a: Array, b: Array, Y: Array, C: Array) -> tuple[Array, Array, Array]:
    """Return u, v and t."""
    left, (of_y, of_c) = 1.0 - b / rate, shares(np.stack([(1.0 - b) * Y, C]))
    u, v, t = 1.0 / (b * rate), left * of_y / np.square(1.0 - b), left * of_c
    m, squared = (a + b) / 2.0, rate**2
    A = (b**2 * (1.0 - m) + (1.0 - b) ** 2 * m) / (1.0 - m)
    # that z = a fails implies A < b rate; where a = b rounding may say otherwise
    both = (a**2 * u + (1.0 - a) ** 2 * v + t > 1.0) & (b * rate > A)
    # there g = 1 - t is a zero of the derivative of
    # (B Y^2 / g + C^2 / (1 - g)) / (rate^2 - A / g)
    A = np.where(both, A, b * rate)
    B = A * (1.0 - m) / m
    top = np.maximum(np.sqrt(B) * Y, C)
    top = np.where(top > 0, top, 1.0)
    beta, gamma = B * np.square(Y / top), np.square(C / top)
    down = squared * beta + rate * np.sqrt(gamma * (beta * (squared - A) + gamma * A))
    g = (beta * squared + gamma * A) / np.where(down > 0, down, 1.0)
    most = 1.0 - A / squared
    t_both = np.clip(1.0 - g, _SHARE * most, (1.0 - _SHARE) * most)
    return (
        np.where(both, (1.0 - t_both) / A, u),
        np.where(both, (1.0 - t_both) / B, v),
        np.where(both, t_both, t),
    )


def metric_proof(cell: GRU, rate: float, input_bound: float) -> Contraction | None:
    """Return the contraction at the rate in the norm of `Scales` for the cell; None if none.

    The ranges are those of the box that the cell's own gates keep, as in `of_ranges`.
    """
    found = in_domain(cell, input_bound)
    if found is None:
        return None
    domain, sectors = found
    at = Ranges.within(sectors)
    inner = rate * (1.0 - 4.0 * ROOM)
    if not float(np.max(at.high)) < inner * _BORDER:
        return None
    scales = Scales.around(cell.W, inner, at)
    if not scales.within(cell.W, inner) <= 1.0:
        scales = Scales.around(cell.W, inner, at, peaked=True)
    if not scales.within(cell.W, inner) <= 1.0:
        return None
    k = of_ranges(sectors)
    k[2] = 1.0  # the multiplier of z is that of its range
    q = scales.multipliers(inner, (at.low, at.high)) * k
    return proof(sectors, scales.metric(inner), q, rate, domain)


def gru_l2(recurrent: Map, request: Request) -> Projection:
    """Project a GRU onto the Euclidean set."""
    if not isinstance(recurrent, GRU):
        raise ValueError(
            f"onto='gru_l2' is a set of GRU cells, received {recurrent!r}; for maps "
            "rho(W h + U x + b) there is onto='lmi', for an LSTM onto='lstm_l2'"
        )
    if recurrent.variant != "reset_after":
        raise ValueError(
            f"onto='gru_l2' is a set of GRU cells with variant='reset_after', received "
            f"{recurrent!r} with {recurrent.variant!r}: there W_n multiplies what W_r has changed, "
            "and no norm bounds a product of both; onto='gru' takes it"
        )
    rate, bound = request.rate, request.input_bound
    return onto_balls(
        recurrent,
        request,
        gate=("z", "update"),
        prove=partial(metric_proof, rate=rate, input_bound=bound),
        nearest=partial(_nearest, recurrent, rate=rate, bound=bound),
    )


def _nearest(
    cell: GRU, cap: float, method: str, *, rate: float, bound: float
) -> tuple[Array, Array, Array, Array]:
    """Return W, U, b and b_c with update gates below the cap, W nearest in the ball of some scales.

    The ranges depend on the sums of the rows of W, those of weights that were found before.
    """
    n, cap = cell.units, min(cap, rate * _BORDER**2)
    W, U, b, _ = held_below(cell, slice(n, 2 * n), cap, bound)
    held = with_parameters(cell, {"U": U, "b": b})
    inner = rate * (1.0 - 8.0 * ROOM)
    most = row_sums(W)
    free = Ranges.of(held, most, bound)
    # candidates of moderate size, as all members have them
    new = np.array(W)
    new[2 * n :] /= max(1.0, float(np.linalg.norm(free.gains[2][:, None] * W[2 * n :], 2)))
    start, best, least = row_sums(new), new, math.inf
    for clip in (True,) if method == "closed_form" else (True, False):
        sums = start
        for _ in range(_ROUNDS):
            at = Ranges.of(held, sums, bound)
            at = at._replace(high=np.minimum(at.high, cap))
            where = Scales.around(W, inner, at).ball(inner)
            # seen from far away, clipping is the nearest point but for rounding
            near = clip or not np.linalg.norm(where.inward(W)) < _FAR
            new = clip_in_metric(W, where) if near else metric_ball(W, where).W
            made = shortened(new, sums.ravel())
            distance = float(np.linalg.norm(made - cell.W))
            if distance < least:
                best, least = made, distance
            sums = np.sqrt(sums * row_sums(new))
            sums[1] = np.minimum(sums[1], most[1])
    return best, U, b, np.array(cell.b_candidate)


def row_sums(W: Array) -> Array:
    """Return |W| 1 of r, z and n, (3, n)."""
    return np.asarray(np.sum(np.abs(W), axis=1).reshape(3, -1))
