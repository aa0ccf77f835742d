r"""How far the gradient of the recurrent loss is from its linear part, on a ball of weights.

Main names: `remainder_upper`, `third_derivative_upper`.

With f' the derivative along one direction of length 1 of the weights and f'' along two of them,
and the letters of `theory.learning.tangents`, everywhere on the ball:

    h'_t  = S_t a'_t,                  a'_t  = W h'_(t-1) + (dW, dU, db) z_t,
    h''_t = S_t a''_t + r_t a'_t a'_t, a''_t = W h''_(t-1) + 2 dW h'_(t-1),

and, with the derivatives mu_t and delta_t of the loss, its third derivative along two equal
directions and a third one is a sum of

    weight_t l''_t (C h'_t)(C h''_t), thrice,    weight_t l'''_t (C h'_t)^3,
    mu_t r_t a'_t a''_t, thrice,                 mu_t rho'''_t (a'_t)^3,
    delta_t dW h''_(t-1), thrice.

Sequences are measured as one long vector over all times, at the centre by a Gram matrix of their
derivatives, elsewhere by what is added along the way from the centre, whose length is the radius.
Entries are bounded time by time, all over the ball: states from the first time on, derivatives of
the loss from the last one back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from theory.arithmetic.rounding import UNIT, ldexp_up, scaled_to_one
from theory.errors import check_nonnegative
from theory.learning.tangents import PRODUCTS, Tangents, above, form_roots
from theory.norms.norms import L2
from theory.typing import Array

#: What a few hundred operations on positive numbers lose is below this share.
_WIDER = 1.0 + 2.0**-40

#: Into how many shells a ball is cut, and from which radius on: bounds of smaller ones are as good
#: as flat.  Any numbers are sound.
_SHELLS, _WIDE = 4, 2.0**-11

#: A second derivative beyond this is of no use, and its squares would overflow.
_LARGEST = 2.0**100


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Tube:
    """Bounds at single times, all over the ball; arrays are (B T, n)."""

    s: Array  # of |rho'|
    r: Array  # of |rho''|
    q: Array  # of |rho'''|
    a: Array  # of the rows of the derivative of a_t
    mu: Array  # of the derivatives of the loss in the state
    moved: float  # of how far a state is from the computed one at the centre, in one unit
    h_second: float  # of |h''_t|


@final
class _Carried:
    r"""Bounds of |x_t| for x_t = N_t x_(t-1) + f_t, or back, by products of a few N_t.

    With |N_t| <= size and N_t off by E, a product of j of them is off by at most
    (size + |E|)^j - size^j.
    """

    def __init__(self, at: Tangents, *, forward: bool) -> None:
        self.at, self.forward = at, forward
        self.x, self.driven, self.change = (np.zeros(len(at.h)) for _ in range(3))

    def put(self, t: int, driven: float, change: float) -> None:
        """Bound |x_t|, where |f_t| <= driven and N_t is off by at most `change`."""
        self.driven[t], self.change[t] = driven, change
        size, way = self.at.size, -1 if self.forward else 1
        best, total, widest = math.inf, driven, 0.0
        for j in range(1, PRODUCTS + 1):
            there = t + j * way
            if not 0 <= there < len(self.x):
                best = min(best, total)
                break
            # the factors are those of the times t - j + 1 .. t, or back t + 1 .. t + j
            widest = max(widest, self.change[there + 1 if self.forward else there])
            room = math.prod([size + widest] * j) * _WIDER - math.prod([size] * j)
            factor = self.at.carried[j][t if self.forward else there] + room
            best = min(best, total + factor * self.x[there])
            total += factor * self.driven[there]
        self.x[t] = best * _WIDER


def _tube(at: Tangents, radius: float) -> _Tube | None:
    """Carry bounds of states and their derivatives along time; None where they outgrow all use."""
    S, n = at.h.shape
    flag = 1.0 if at.recurrent else 0.0
    size = at.size + flag * radius
    moved = np.zeros((S, n))
    s, r, q, a = np.ones((S, n)), np.zeros((S, n)), np.zeros((S, n)), np.empty((S, n))
    first, inner = np.zeros(S), np.zeros(S)  # of |h'_t| and |a''_t|
    second = _Carried(at, forward=True)  # of |h''_t|
    for t in range(S):
        if not at.first[t]:
            inner[t] = (size * second.x[t - 1] + 2.0 * flag * first[t - 1]) * _WIDER
        a[t] = (at.A_rows[t] + radius * inner[t]) * _WIDER
        change, bent = flag * radius + UNIT * at.frobenius, 0.0
        if at.bent:
            y = at.state_error + radius * a[t]
            steep = np.minimum(1.0, at.s[t] + 2.0 * y + 4 * UNIT)
            y = moved[t] = (at.state_error + radius * steep * a[t]) * _WIDER
            s[t] = np.minimum(1.0, (at.s[t] + 2.0 * y + 4 * UNIT) * _WIDER)
            # |d(2 h (1 - h^2))| <= 4 |dh| and |d(2 (1 - h^2)(1 - 3 h^2))| <= 8 |dh| for |h| <= 1
            r[t] = (np.abs(at.r[t]) + 4.0 * y + 16 * UNIT) * _WIDER
            q[t] = (np.abs(at.q[t]) + 8.0 * y + 32 * UNIT) * _WIDER
            change += (2.0 * float(np.max(y)) + 4 * UNIT) * size
            bent = _bent(at, t, r[t] * a[t], radius * inner[t])
        before = 0.0 if at.first[t] else first[t - 1]
        driven = 2.0 * flag * float(np.max(s[t])) * before + bent
        second.put(t, driven * _WIDER, change * _WIDER)
        first[t] = (at.D_each[t] + radius * second.x[t]) * _WIDER
        if not second.x[t] < _LARGEST:
            return None

    # back: mu'_t = W^T (S mu'_(t+1) + r mu a') + (dW)^T delta_(t+1) + weight_t C^T l'' C h'_t
    head = at.head_size * (at.data.loss.curvature * at.head_size)
    mu = np.abs(at.mu) + at.error("mu")
    back = _Carried(at, forward=False)
    for t in range(S - 1, -1, -1):
        driven = abs(float(at.weights[t])) * head * first[t]
        if t + 1 < S and not at.first[t + 1]:
            later = mu[t + 1]
            if at.bent:
                driven += size * _bent(at, t + 1, later * r[t + 1], radius * inner[t + 1])
            driven += flag * float(L2().vector_upper(s[t + 1] * later))
        back.put(t, driven * _WIDER, second.change[t])
        mu[t] = (mu[t] + radius * back.x[t]) * _WIDER
    return _Tube(
        s=s, r=r, q=q, a=a, mu=mu, moved=float(np.max(moved)), h_second=float(np.max(second.x))
    )


def _bent(at: Tangents, t: int, weights: Array, further: float) -> float:
    """Return a bound of |diag(weights) a'_t| where a' differs by `further` from the centre's."""
    # of weights up to one, so that what underflowed in A_t A_t^T stays as small
    share, e = scaled_to_one(weights)
    form = share[:, None] * at.A_forms[t] * share
    own = ldexp_up(float(form_roots(form, at.A.shape[2])), e)
    return own + float(np.max(weights)) * (at.error("A") + further)


def _solved(constant: float, slope: float) -> float:
    """Return an upper bound of every finite x <= constant + slope x; inf unless slope <= 1/2."""
    return above(constant / (1.0 - above(slope))) if above(slope) <= 0.5 else math.inf


def third_derivative_upper(at: Tangents, radius: float) -> float:
    r"""Return an upper bound of the third derivative's norm on a ball around v.

    It is inf where the ball is too wide: every quantity below is finite on a ball, so that
    x <= constant + slope x bounds it where the slope is below 1.

    Raises
    ------
    ValueError
        If the radius is negative.
    """
    check_nonnegative(radius=radius)
    tube = _tube(at, radius) if radius <= 1.0 else None
    if tube is None:
        return math.inf
    e, flag = radius, 1.0 if at.recurrent else 0.0
    size = at.size + flag * e
    slopes = 2.0 * tube.moved + 4 * UNIT if at.bent else 0.0
    change = above(slopes * size + flag * e + UNIT * at.frobenius)  # of S_t W as computed
    gain = at.gain(change)
    if not math.isfinite(gain):
        return math.inf

    # h' and h'': h1 <= D + e h2;  h2 <= gain (2 s h1 + bent),  bent <= b + c e a2,
    # a2 <= |W| h2 + 2 h1
    s, bend = float(np.max(tube.s)), tube.r * tube.a
    c, D = float(np.max(bend)), at.D_longest
    b = at.longest(bend) + c * at.error("A") if at.bent else 0.0
    h2 = _solved(
        gain * (2 * flag * s * D + b + 2 * flag * c * e * D),
        gain * e * (2 * flag * s + c * (size + 2 * flag * e)),
    )
    if not math.isfinite(h2):
        return math.inf
    h1 = D + e * h2
    a2 = size * h2 + 2 * flag * h1
    driven = 2 * flag * s * h1 + b + c * e * a2  # what h'' is driven by

    # outputs, weighted by (weight l'')^(1/2): l'' changes by a factor of at most exp |dy|
    head = at.head_size * math.sqrt(at.heaviest * at.data.loss.curvature)
    factor, reach = 1.0, 0.0
    if at.bends:
        reach = at.output_rows + float(np.max(at.rows)) * e * tube.h_second  # |C_j h'_t|
        half = (float(np.max(at.output_error)) + e * reach) / 2
        factor = 1.0 / (1.0 - half) if half <= 0.5 else math.inf
    y2 = min(at.output_gain * factor * (1.0 + change * gain) * driven, head * h2)  # of h''
    y1 = _solved(at.output_longest + e * y2, e * reach / 2)

    # bent = mu r a', and mu' = W^T (S mu'_+ + bent_+) + (dW)^T delta_+ + C^T l'' C h'
    bent = cubic = 0.0
    if at.bent:
        weights = tube.mu * tube.r
        bent = at.longest(weights) + float(np.max(weights)) * (at.error("A") + e * a2)
        share = np.sqrt(tube.mu * tube.q * tube.a)
        root = at.longest(share) + float(np.max(share)) * (at.error("A") + e * a2)
        cubic = root * root
    delta = 0.0
    if at.recurrent:
        still = at.delta_longest + e * bent
        mu1 = _solved(gain * (size * bent + still + head * y1), gain * e)
        delta = still + e * mu1
    return above(3 * y1 * y2 + reach * y1 * y1 + 3 * bent * a2 + cubic + 3 * delta * h2)


def remainder_upper(at: Tangents, radius: float) -> float:
    r"""Return M with |grad p(w) - grad p(v) - Hess p(v) (w - v)| <= M |w - v|^2 / 2 on the ball.

    The left-hand side is at most |w - v|^2 times the integral of (1 - t) M(t) over 0 <= t <= 1,
    M(t) a bound on the ball of radius t |w - v|.  Over the j-th of J parts of [0, 1] the weight is
    half of (2 (J - j) + 1) / J^2.

    Raises
    ------
    ValueError
        If the radius is negative.
    """
    whole = third_derivative_upper(at, radius)
    if not (radius > _WIDE and math.isfinite(whole)):
        return whole
    # j / J of a radius, with J a power of 2: rounded once
    inner = [third_derivative_upper(at, above(radius * j / _SHELLS)) for j in range(1, _SHELLS)]
    parts = [
        (2 * (_SHELLS - j) + 1) * min(third, whole)
        for j, third in enumerate([*inner, whole], start=1)
    ]
    return above(sum(parts) / _SHELLS**2)
