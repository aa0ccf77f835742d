r"""The exact worst-case truncation error of a linear map, enclosed from both sides.

Main names: `worst_case_error`, `WorstCase`.

For h <- A h + B x + b, y = C h the k-step counterpart forgets

    y_t - y_t^k = sum over m >= k of C A^m (B x_{t-m} + b),

which is linear in the forgotten inputs, so over a box of inputs the extremes of the terms are taken
one by one: with b = 0 and |x| <= B_x it is the kernel tail B_x sum |C A^m B|, attained by the signs
of the kernel.  The terms are summed up to some lag; a contraction |A h| <= lam |h| bounds the rest,
and keeps rounding errors of the rows C A^m from growing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from theory.arithmetic.rounding import TINY, UNIT, down, gamma, up
from theory.certificates import Contraction
from theory.certify.interface import contraction
from theory.errors import check_count, check_positive
from theory.inputs import Inputs, box_of
from theory.maps.base import Map, check_map
from theory.maps.head import LinearHead
from theory.norms.norms import L2, Norm, over
from theory.typing import Array

#: Lags beyond which the sum is not continued: the enclosure stays wider than was asked for.
_LARGEST_LAG = 200_000


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class WorstCase:
    """The largest error of every output over all histories of inputs in a box, rounded outward."""

    k: int  # k, the context
    lower: Array  # reached by some history, (p,)
    upper: Array  # exceeded by none, (p,)
    history: Array  # forgotten inputs, oldest first, that reach the largest of `lower`, (s, m)

    @property
    def error(self) -> float:
        """Return the largest upper bound: of the maximum norm of the output's error."""
        return float(np.max(self.upper))


def _well_conditioned(recurrent: Map) -> Contraction | None:
    """Return a contraction of about half the spectral gap, in whose norm little is lost."""
    from theory.certify.lyapunov import lyapunov_at

    sharpest, form = contraction(recurrent), recurrent.affine()
    if sharpest is None or sharpest.iterate != 1 or form is None:
        return None
    return lyapunov_at(form, 0.5 * (1.0 + sharpest.lam)) or sharpest


def worst_case_error(
    recurrent: Map,
    k: int,
    *,
    inputs: Inputs,
    head: LinearHead | None = None,
    horizon: int | None = None,
    tol: float = 1e-9,
    c: Contraction | None = None,
) -> WorstCase | None:
    r"""Return the exact worst-case error of the k-step counterpart of a linear map.

    No bound over the same inputs can be smaller.  For a box that is symmetric about 0 and no bias
    no other function of the last k inputs does better: two opposite histories with a common tail
    have outputs twice as far apart.

    Parameters
    ----------
    recurrent : Map
        A linear one, such as `LinearMap`; started from 0, and restarted from 0 k steps back.
    k : int
        Inputs that the truncated model sees.
    inputs : Inputs
        A bounded box.
    head : LinearHead, optional
        The outputs; the states by default.
    horizon : int, optional
        Longest sequence; every length by default.  From k = horizon on the error is 0, as both
        models are the same.
    tol : float
        The sum ends when the rest is less than this share of it.
    c : Contraction, optional
        Of one step; searched for by default.  That this map contracts in its norm is proved again,
        and the rate proved is used.

    Returns
    -------
    WorstCase or None
        None if no contraction is found: the error may then be infinite.

    Raises
    ------
    ValueError
        If the map is not linear, the inputs are no bounded box, a shape or count does not fit, or
        `c` is not a contraction of this map.

    Examples
    --------
    >>> from theory import Inputs, LinearMap
    >>> worst = worst_case_error(LinearMap([[0.5]], [[1.0]]), 3, inputs=Inputs.box(-1, 1))
    >>> worst.lower <= 0.25 <= worst.upper, round(worst.error, 9)
    (array([ True]), 0.25)
    """
    check_map(recurrent)
    check_count(k=k)
    check_positive(tol=tol)
    if horizon is not None:
        check_count(horizon=horizon)
    form = recurrent.affine()
    if form is None or form.rho.slope != (1.0, 1.0):
        raise ValueError(f"received {recurrent!r}, needed a linear map such as theory.LinearMap")
    n, m = form.U.shape
    low, high = box_of(inputs, m)
    C = np.eye(n) if head is None else head.C
    if C.shape[1] != n:
        raise ValueError(f"head has C of shape {C.shape}, needed (p, {n})")
    found = _well_conditioned(recurrent) if c is None else c
    if found is None:
        return None
    if found.iterate != 1 or not found.evidence.is_certified:
        raise ValueError(f"received {found!r}, needed a certified contraction of one step")
    lam = found.lam if c is None else _rate_of(form.W, found)
    with np.errstate(over="ignore", invalid="ignore"):
        return _enclose(
            form.W, form.U, form.b, C, (low, high), int(k), lam, found.norm,
            horizon=horizon, tol=tol,
        )  # fmt: skip


def _rate_of(A: Array, c: Contraction) -> float:
    """Return the rate of h <- A h in the norm of a given contraction, proved again.

    The contraction may be one of another map, and its rate then says nothing about this one.  That
    of a linear map is the induced norm, whose upper bound replaces it.

    Raises
    ------
    ValueError
        If A is not proved to contract in that norm.
    """
    c.norm.check_dim(len(A))
    lam = c.norm.matrix_upper(A)
    if not lam < 1:
        raise ValueError(
            f"the linear map has norm at most {lam:.17g} in {c.norm}, the norm of c={c!r}; needed "
            "a norm in which this map contracts; was c found for another map? leave it out, or "
            "pass theory.contraction of this one"
        )
    return lam


def _enclose(
    A: Array,
    B: Array,
    b: Array,
    C: Array,
    box: tuple[Array, Array],
    k: int,
    lam: float,
    norm: Norm,
    *,
    horizon: int | None,
    tol: float,
) -> WorstCase:
    r"""Sum the kernel.

    The computed row v of lag m differs from C A^m by some w with |w h| <= e |h|; then

        v A + w A = C A^(m+1)   =>   e' = lam e + |rounding|_2 sup |h|_2 / |h|,

    and an entry of the kernel, v B_j, errs by e |B_j| and its own rounding.

    What is lost to underflow: an inner product of length n errs by n eta / 2 beside its relative
    error, and so does the bound of that; a row of n of them has Euclidean length

        sqrt(n) n eta / 2 <= n^2 eta / 2.

    A product of two bounds loses eta / 2 too, which the next factor may multiply: every product of
    bounds is followed by its own multiple of eta.  What is relative, of sums of positive terms, is
    left to `slack`.
    """
    n, m = B.shape
    low, high = box
    to_euclid = over(L2(), norm, n=n)
    columns, offset = norm.vector_upper(B.T), float(norm.vector_upper(b))
    reach = np.maximum(np.abs(low), np.abs(high))
    drive = (float(columns @ reach) + offset) * (1 + 4 * gamma(m + 4)) + (m + 1) * TINY
    # of |sum over later lags| <= |C A^(k+s)| drive / (1 - lam)
    later = up(drive / down(1.0 - lam))
    absolute, size_b = np.abs(A), np.abs(b)
    unit = 2 * gamma(n + 4)

    V = C.copy()
    e = np.zeros(len(C))

    def advance(V: Array, e: Array) -> tuple[Array, Array]:
        # n^2 eta / 2 of v A, u times as much of its bound, eta / 2 of the product with `unit`
        rounding = unit * L2().vector_upper(np.abs(V) @ absolute) + 2 * n * n * TINY
        return V @ A, lam * e + to_euclid * rounding + 2 * TINY

    for _ in range(k):
        V, e = advance(V, e)
    longest = _LARGEST_LAG if horizon is None else min(max(horizon - k, 0), _LARGEST_LAG)
    p = len(C)
    top, bottom, error = np.zeros(p), np.zeros(p), np.zeros(p)
    best_low, best_high = np.zeros(p), np.zeros(p)
    lag_of_best, sign_of_best = np.zeros(p, dtype=int), np.ones(p)
    kernels: list[Array] = []
    rest = np.zeros(p)
    slack = 1.0
    for s in range(1, longest + 1):
        K, size = V @ B, np.abs(V)
        # n eta / 2 of v B_j, u times as much of its bound, eta / 2 of each product
        wrong = (e[:, None] * columns + unit * (size @ np.abs(B)) + (n + 2) * TINY) @ reach
        shift = V @ b
        wrong += e * offset + unit * (size @ size_b) + (n + 2 + m) * TINY
        ends = K * low, K * high
        up_to, down_to = np.maximum(*ends).sum(axis=1), np.minimum(*ends).sum(axis=1)
        top, bottom = top + (up_to + shift), bottom + (down_to + shift)
        # the sum of 2 m products and the running sums
        magnitude = np.maximum(np.abs(ends[0]), np.abs(ends[1])).sum(axis=1) + np.abs(shift)
        error += wrong + 2 * gamma(m + 4) * magnitude
        # m products of each end, and the products of these bounds
        error += 2 * UNIT * (np.abs(top) + np.abs(bottom)) + (m + 2) * TINY
        kernels.append(K)
        slack = 1 + 4 * gamma(8 * (s + k + n + m + 16))  # all error terms are sums of positive ones
        value = np.maximum(top, -bottom)
        better = value - error * slack > best_low
        best_low = np.where(better, value - error * slack, best_low)
        lag_of_best[better] = s
        sign_of_best = np.where(better, np.where(top >= -bottom, 1.0, -1.0), sign_of_best)
        best_high = np.maximum(best_high, value + error * slack)
        V, e = advance(V, e)
        last = horizon is not None and s == horizon - k
        sizes = L2().vector_upper(V) * to_euclid * (1 + 4 * UNIT) + e * slack + 2 * TINY
        rest = np.nextafter(sizes * later * (1 + 16 * UNIT), np.inf)
        if last:
            rest = np.zeros(p)
        # a rest below the error of the sum so far: more terms leave the enclosure as wide
        if last or not np.any(rest > np.maximum(tol * best_low, error)):
            break
        if horizon is None and not np.isfinite(later):  # it stays so
            break
    total = np.maximum(best_high, np.maximum(top, -bottom) + error * slack + rest)
    i = int(np.argmax(best_low))
    history = np.zeros((int(lag_of_best[i]), m))
    for j, K in enumerate(kernels[: len(history)]):
        history[len(history) - 1 - j] = np.where(sign_of_best[i] * K[i] >= 0, high, low)
    return WorstCase(
        k=k,
        lower=np.array([max(0.0, down(x)) for x in best_low]),
        # NaN, of 0 times infinity, is no bound
        upper=np.array([0.0 if x == 0 else up(up(x)) if x > 0 else np.inf for x in total]),
        history=history,
    )
