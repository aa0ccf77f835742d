r"""What the Euclidean sets of LSTM and GRU cells share: one ball that holds all of W.

Main names: `balanced`, `shares`, `ball`, `ball_norm`, `in_domain`, `proof`, `gate_limits`,
`held_below`, `shortened`, `onto_balls`, `open_lower`.

For bounds of the gates, and scales chosen with them, a set is {W : ||D^(1/2) W p^(-1/2)|| <= R},
with an entry of D for every row of W, and one of p for every unit.  It is proved to contract by
`theory.theorems.contractive_of_sectors`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from theory.arithmetic.gates import GateBounds
from theory.certificates import Contraction
from theory.domain import Domain
from theory.inputs import Inputs
from theory.maps.gru import GRU
from theory.maps.invariance import invariant_domain
from theory.maps.lstm import LSTM
from theory.projections.base import NOT_CONVEX, Projection, Request, make_projection
from theory.projections.gates import best_number, finish, log_odds, log_odds_up, unmoved
from theory.projections.metric import MetricSet
from theory.projections.rows import RowLimits, nearest_rows, rows_lower
from theory.theorems.contractive_of_sectors import contractive_of_sectors
from theory.theorems.sectors import Sectors
from theory.typing import Array

Cell = TypeVar("Cell", LSTM, GRU)
S = TypeVar("S")

#: Multipliers exceed what their inequalities need by a few times this, and so does the rate: the
#: matrix inequality then holds with room for rounding.
ROOM = 2.0**-20

#: A bound of a gate is taken to be at least this part of the rate.
LEAST = 2.0**-20

#: What multiplies a term is taken to be at least this, so that no square of it underflows.
GAIN = 2.0**-30

#: A share is at least this; weights of the norm go at most so far apart, after so many rounds.
_SHARE, _APART, _ROUNDS = 2.0**-10, 2.0**12, 30

#: Powers of W^T W whose diagonals are balanced then, where asked: the larger, the nearer to the
#: norm.
_POWERS = (2, 2, 3, 3, *(4,) * 6)

#: Bounds of gates are aimed at a little below, for the cast to single precision.
BELOW = 1.0 - 2.0**-16


def shares(parts: Array) -> Array:
    """Return shares of sum 1 near those of the parts, none below the least."""
    total = np.sum(parts, axis=0)
    raw = np.where(total > 0, parts / np.where(total > 0, total, 1.0), 1.0 / len(parts))
    return np.asarray((raw + _SHARE) / (1.0 + len(parts) * _SHARE))


def balanced(
    W: Array, choose: Callable[[Array, Array], tuple[S, Array]], *, peaked: bool = False
) -> S:
    r"""Return scales for which the norm of these weights is small; any are allowed.

    `choose` returns scales and their D from p and the lengths of the rows of W p^(-1/2), (k, n).
    With M = D^(1/2) W p^(-1/2) rows and columns of a unit are made alike long: the diagonals of
    M M^T and M^T M.  That is where the Frobenius norm is least; with `peaked` further rounds take
    (M M^T)^k and (M^T M)^k, for trace (M^T M)^k, which is slower.
    """
    n = W.shape[1]
    blocks = W.reshape(-1, n, n)
    p: Array = np.ones(n)
    for _ in range(_ROUNDS):
        lengths = np.sqrt(np.sum(np.square(blocks) / p, axis=2))
        made, D = choose(p, lengths)
        rows = D.reshape(-1, n) / p
        columns = np.einsum("kij,ki->j", np.square(blocks), rows * p) / p
        sizes = np.sum(rows * np.square(lengths), axis=0) * p
        # rows and columns of a unit alike long (Osborne)
        factor = np.sqrt((columns + 1e-12) / (sizes + 1e-12))
        p = p * np.sqrt(np.clip(factor, 0.25, 4.0))
        p = np.maximum(p / float(np.max(p)), 1.0 / _APART)
    for power in _POWERS if peaked else ():
        left, s, right = np.linalg.svd(np.sqrt(D)[:, None] * W / np.sqrt(p), full_matrices=False)
        parts = (s / max(float(s[0]), np.finfo(float).tiny)) ** (2 * power)
        lengths = np.sqrt(np.square(left) @ parts / D).reshape(-1, n)
        made, D = choose(p, lengths)
        columns = parts @ np.square(right)
        rows = np.sum(D.reshape(-1, n) * np.square(lengths), axis=0)
        p = p * np.sqrt(np.clip(np.sqrt((columns + 1e-12) / (rows + 1e-12)), 0.25, 4.0))
        p = np.maximum(p / float(np.max(p)), 1.0 / _APART)
    return made


def ball(D: Array, p: Array, radius: float) -> MetricSet:
    """Return the weights whose norm is at most the radius."""
    n = len(p)
    return MetricSet(
        radius=radius, left=np.eye(len(D)), right=np.eye(n), high=np.sqrt(D), low=np.sqrt(p),
        P=np.diag(p), terms=(),
    )  # fmt: skip


def ball_norm(W: Array, D: Array, p: Array) -> float:
    """Return the norm of the weights."""
    return float(np.linalg.norm(np.sqrt(D)[:, None] * W / np.sqrt(p), 2))


def in_domain(cell: LSTM | GRU, input_bound: float) -> tuple[Domain, Sectors] | None:
    """Return a box that the cell never leaves, and its sectors there; None if none are known."""
    bound = np.full(cell.input_dim, input_bound)
    domain = invariant_domain(cell, inputs=Inputs.box(-bound, bound))
    if domain is None:
        return None
    sectors = cell.sectors(domain)
    return (domain, sectors) if sectors.finite else None


def sizes(sectors: Sectors) -> Array:
    """Return the largest modulus of what multiplies each term, (K / n, n)."""
    return np.stack([np.max(np.abs(one.range), axis=0) for one in sectors.terms])


def of_ranges(sectors: Sectors) -> Array:
    r"""Return by how much the multiplier of a range is larger than that of its modulus, (K / n, n).

    A range [l, u] has the middle m y + r w where the set has (|m| + r) w', and

        y^2 - w'^2 - k (y^2 - w^2) = k |m| / (|m| + r) (y - w)^2,   k = r / (|m| + r), m >= 0,

    so that its multiplier is k times as large.  Where |m| + r is below half of what the set has,
    w'^2 <= (y^2 + w^2) / 4, and k = 1/2 does.
    """
    low, high = (np.stack([one.range[k] for one in sectors.terms]) for k in (0, 1))
    size = sizes(sectors)
    k: Array = np.where(size < GAIN / 2, 0.5, (high - low) / np.maximum(size, GAIN / 2) / 2.0)
    return k


def proof(
    sectors: Sectors, diagonal: Array, q: Array, rate: float, domain: Domain
) -> Contraction | None:
    """Return the contraction in the norm of a diagonal P, if these multipliers prove it."""
    top = float(np.max(diagonal))
    P, multipliers = np.diag(diagonal / top), q.ravel() / top
    if not (np.all(multipliers > 0) and np.isfinite(multipliers).all()):
        return None
    return contractive_of_sectors(sectors, P=P, q=multipliers, rate=rate, domain=domain)


def gate_limits(cap: Array, n: int, m: int, input_bound: float) -> RowLimits:
    """Return the inequality |W| 1 + B |U| 1 + b <= log(cap / (1 - cap)) of a gate's every unit."""
    factors = np.tile([1.0, input_bound, 1.0], (n, 1, 1))
    return RowLimits(
        starts=np.array([0, n, n + m, n + m + 1]), factors=factors, v=np.ones((1, n + m + 1)),
        limits=log_odds(cap)[:, None], signed=np.array([0.0, 0.0, 1.0]),
    )  # fmt: skip


def held_below(
    cell: LSTM | GRU, rows: slice, cap: float, input_bound: float
) -> tuple[Array, Array, Array, Array]:
    """Return W, U and b with the nearest rows of a gate below the cap, and the gate's bounds."""
    n, m = cell.units, cell.input_dim
    W, U, b = (np.array(cell.parameters[name]) for name in ("W", "U", "b"))
    own = GateBounds.of(W[rows], U[rows], b[rows], inputs=input_bound).sigmoid
    far = own > cap
    if np.any(far):
        X = np.hstack([W[rows], U[rows], b[rows, None]])
        where = gate_limits(np.full(n, cap * BELOW), n, m, input_bound)
        Y = np.where(far[:, None], nearest_rows(X, where)[0], X)
        W[rows], U[rows], b[rows] = Y[:, :n], Y[:, n:-1], Y[:, -1]
        now = GateBounds.of(W[rows], U[rows], b[rows], inputs=input_bound)
        # of large rows the sums are rounded by more than the bound leaves
        most = log_odds(cap * BELOW) - 4.0 * np.spacing(now.reach)
        b[rows] = np.where(now.sigmoid > cap, b[rows] - (now.top - most), b[rows])
    return W, U, b, np.minimum(own, cap)


def shortened(W: Array, sums: Array) -> Array:
    """Return W with rows scaled to at most these sums |W| 1, (k,), which keeps it in every ball."""
    own = np.sum(np.abs(W), axis=1)
    return np.asarray(W * (sums / np.maximum(np.maximum(own, sums), np.finfo(float).tiny))[:, None])


def open_lower(gate: tuple[Array, Array, Array], rate: float, input_bound: float) -> float:
    """Return a proved lower bound of the distance of members, of gates below the rate at h = 0."""
    _, U, b = gate
    n, m = U.shape
    X = np.hstack([U, b[:, None]])
    where = RowLimits(
        starts=np.array([0, m, m + 1]), factors=np.tile([input_bound, 1.0], (n, 1, 1)),
        v=np.ones((1, m + 1)), limits=np.full((n, 1), log_odds_up(rate)),
        signed=np.array([0.0, 1.0]),
    )  # fmt: skip
    Y, multipliers = nearest_rows(X, where)
    return rows_lower(X, Y, where, multipliers)


def onto_balls(
    cell: Cell,
    request: Request,
    *,
    gate: tuple[str, str],
    prove: Callable[[Cell], Contraction | None],
    nearest: Callable[[float, str], tuple[Array, ...]],
) -> Projection:
    """Project onto the best ball, by the bound of the gate that keeps the state.

    Parameters
    ----------
    cell, request
    gate
        Its letter and its name.
    prove
        Returns the contraction of a member.
    nearest
        From a bound of the gate and a method to the parameters of a near member, W first; smaller
        weights W are members too.  The search for the bound asks for the closed form.
    """
    rate = request.rate
    if request.method == "cvxpy":
        raise ValueError(f"method='cvxpy' has no set {request.onto!r}, needed auto or closed_form")
    if request.forget is not None and not request.forget < rate:
        raise ValueError(f"forget={request.forget!r}, needed a number below the rate {rate!r}")
    member = prove(cell)
    if member is not None and unmoved(cell, request):
        return make_projection(cell, {}, certificate=member, lower=0.0, method="member")
    given = cell.parameters

    def distance(cap: float) -> float:
        parts = zip(nearest(cap, "closed_form"), given.values(), strict=True)
        return float(np.sqrt(sum(np.sum(np.square(a - b)) for a, b in parts)))

    cap = request.forget
    if cap is None:
        cap = best_number(distance, 0.0, rate)
    W, *rest = nearest(cap, request.method)

    def point(margin: float) -> tuple[Array, ...]:
        return W * (1.0 - margin), *rest

    arrays, certificate, margin = finish(cell, request, point, prove)
    letter, name = gate
    residuals: dict[str, Any] = {"margin": margin, f"largest {name}": cap}
    return make_projection(
        cell,
        dict(zip(given, arrays, strict=True)),
        certificate=certificate,
        # a member's gate is below the rate where h = 0
        lower=open_lower(cell.gate(letter), rate, request.input_bound),
        method="clipping in a diagonal metric" if request.method == "closed_form" else "splitting",
        residuals=residuals,
        note=NOT_CONVEX,
    )
