r"""Weights of a maximum norm from the resolvent of non-negative matrices, however graded these are.

Main names: `resolvent_weights`, `graded_weights`.

With M >= 0 and t above its spectral radius, w = (t I - M)^-1 1 is positive and M w = t w - 1 < t w:
in the norm max_i |h_i| / w_i the rate is below t.  Elimination without a search for pivots adds
numbers of one sign everywhere but on the diagonal, and commutes with a change of units; so w keeps
its digits for weights of any ratio, and all pivots are positive if and only if the radius is below
t (Fiedler and Ptak, 1962).  Candidates only: whoever uses them bounds the rate anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from theory.arithmetic.rounding import UNIT
from theory.typing import Array

#: Pivots eliminated together, so that most of the work is in products of matrices.
_BLOCK = 64

#: Rounds of choosing, for every row, the matrix that is the largest there.
_ROUNDS = 30

#: The right-hand side, small so that larger weights have room; the ratio up to which the largest
#: weight is 1, as products with entries that are not extreme then stay where sums are fast; and the
#: exponent of the largest ratio, so that quotients do not overflow.
_SMALL, _MODERATE, _WIDEST = 2.0**-900, 2.0**290, 1000

#: Between what -log t is looked for, and how near its logarithm is found, to the base 2.
_SLOWEST, _FASTEST, _FINE = 2.0**-32, 2.0**6, 2.0**-4

#: Multiplications that a search may take beyond its first steps, about two seconds.
_WORK = 2.0**32

#: Steps of a power iteration that guesses the radius, and the first rates around it, as parts.
_STEPS, _AROUND = 256, (-(2.0**-6), 2.0**-6)

#: Shares of the fastest forgetting that are tried: near it weights may be far more unequal.
_SHARES = (0.98, 0.95, 0.9, 0.8, 0.6)

#: More unequal weights have to forget by so much faster than the given ones, of which a rate this
#: near to a lower bound, relatively, is the best already.
_NOTABLY, _NEAR = 1.5, 2.0**-10

#: log 1 / u: weights are judged by the steps after which, with their ratio, rounding remains.
_DIGITS = -math.log(UNIT)


@np.errstate(over="ignore")
def largest_image(matrices: Sequence[Array], v: Array) -> Array:
    """Return max_M M v, entrywise."""
    image = matrices[0] @ v
    for M in matrices[1:]:
        image = np.maximum(image, M @ v)
    return image


def largest_rate(matrices: Sequence[Array], v: Array) -> float:
    """Return about max_M max_i (M v)_i / v_i; inf where it overflows."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        rate = float(np.max(largest_image(matrices, v) / v))
    return rate if math.isfinite(rate) else math.inf


@np.errstate(over="ignore", under="ignore")
def _growth(matrices: Sequence[Array]) -> float:
    """Return about the factor of growth of v -> max_M M v, a guess of the largest radius."""
    v, logs = np.ones(len(matrices[0])), []
    for _ in range(_STEPS):
        v = largest_image(matrices, v)
        size = float(np.max(v))
        if not 0 < size < math.inf:
            return 0.0
        v /= size
        logs.append(math.log(size))
    return math.exp(sum(logs[_STEPS // 2 :]) / (_STEPS // 2))


def steps_to_rounding(v: Array, rate: float) -> float:
    """Return k with rate**k max v / min v = u, u the unit roundoff; inf for no rate below 1."""
    if not rate < 1:
        return math.inf
    ratio = math.log(float(np.max(v))) - math.log(float(np.min(v)))
    return (ratio + _DIGITS) / -math.log(rate) if rate > 0 else 0.0


def _resolvent(M: Array, t: float) -> Array | None:
    """Return (t I - M)^-1 times a small constant; None if a pivot is not positive."""
    n = len(M)
    # L U = t I - M; off the diagonals L and U are stored with the other sign, so not negative
    A, left, pivots = M.copy(), t - np.diag(M), np.empty(n)
    for start in range(0, n, _BLOCK):
        end = min(start + _BLOCK, n)
        panel, right = A[start:, start:end].copy(), A[start:end, end:]
        for k in range(end - start):
            pivot = left[start + k]
            if not pivot > 0:
                return None
            pivots[start + k] = pivot
            panel[k + 1 :, k] /= pivot
            column, row = panel[k + 1 :, k], panel[k, k + 1 :]
            panel[k + 1 :, k + 1 :] += np.multiply.outer(column, row)
            right[k + 1 :] += np.multiply.outer(column[: len(row)], right[k])
            left[start + k + 1 : end] -= column[: len(row)] * row
        A[start:, start:end] = panel
        below = panel[end - start :]
        A[end:, end:] += below @ right
        left[end:] -= np.einsum("ik,ki->i", below, right)
    w = np.full(n, _SMALL)
    for i in range(1, n):
        w[i] += A[i, :i] @ w[:i]
    for i in range(n - 1, -1, -1):
        w[i] = (w[i] + A[i, i + 1 :] @ w[i + 1 :]) / pivots[i]
    return w if np.isfinite(w).all() and float(np.min(w)) > 0 else None


@np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore")
def resolvent_weights(matrices: Sequence[Array], t: float) -> Array | None:
    r"""Return weights in which all matrices have a rate of at most t, nearly, or None.

    Of several matrices each row is taken from that which is largest there, in turn, until no row
    changes (Howard's iteration): the weights grow from round to round.

    Parameters
    ----------
    matrices : sequence of (n, n) arrays, not negative
    t : float
        Above the largest spectral radius of a matrix made of rows of them.

    Returns
    -------
    (n,) array or None
        Positive; the largest is 1, unless doubles then are too small for the least.

    Examples
    --------
    >>> chain = np.array([[0.9, 1e9], [0.0, 0.9]])
    >>> v = resolvent_weights([chain], 0.95)
    >>> bool((chain @ v <= 0.95 * v).all()), resolvent_weights([chain], 0.9) is None
    (True, True)
    """
    stacked = np.stack(list(matrices))
    rows = np.arange(stacked.shape[1])
    chosen = np.argmax(stacked.sum(axis=2), axis=0)
    w: Array | None = None
    for _ in range(_ROUNDS):
        w = _resolvent(stacked[chosen, rows], t)
        if w is None:
            return None
        images = stacked @ w
        best = np.argmax(images, axis=0)
        better = images[best, rows] > images[chosen, rows] * (1 + len(rows) * UNIT)
        if not better.any():
            break
        chosen = np.where(better, best, chosen)
    assert w is not None
    return _centred(w)


def _centred(w: Array) -> Array | None:
    """Return weights of largest 1, or whose least and largest are as far from it if they must."""
    largest, least = float(np.max(w)), float(np.min(w))
    if not 0 < least <= largest < math.inf:
        return None
    if largest < least * _MODERATE:
        return w / largest
    down, up = math.frexp(least)[1], math.frexp(largest)[1]
    return np.ldexp(w, -((down + up) // 2)) if up - down < _WIDEST else None


def graded_weights(
    matrices: Sequence[Array],
    v: Array,
    *,
    inner: Callable[[list[Array]], Array],
    level: float = 1.0,
) -> Array:
    """Return the given weights, or more unequal ones that are worth it.

    They are where the given rate is not below the level and another one is, and where by
    `steps_to_rounding` they forget notably sooner, at a smaller rate.

    Parameters
    ----------
    matrices : sequence of (n, n) arrays, not negative
    v : (n,) array
        Positive.
    inner : callable
        Returns good weights of matrices in units in which weights need not be very unequal.
    level : float, optional
        Rates matter as parts of it.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        quotients = largest_image(matrices, v) / v
        rate, floor = float(np.max(quotients)), float(np.min(quotients))
    # no weights give less than the least quotient (Collatz and Wielandt), nor than a diagonal entry
    floor = max(floor, *(float(np.max(np.diagonal(M), initial=0.0)) for M in matrices))
    settled = rate < level and floor >= rate * (1 - _NEAR)
    if settled or not (rate > 0 and floor < level):
        return v
    units = _graded_units(matrices, rate / level, floor / level, level)
    if units is None:
        return v
    found = [units]
    with np.errstate(under="ignore", over="ignore", invalid="ignore", divide="ignore"):
        scaled = [np.divide(M * units, units[:, None]) for M in matrices]
        if all(np.isfinite(M).all() for M in scaled):
            more = _centred(units * inner(scaled))
            found += [] if more is None else [more]
    rates = [largest_rate(matrices, w) / level for w in found]
    i = int(np.argmin([steps_to_rounding(w, x) for w, x in zip(found, rates, strict=True)]))
    # where it is a matter of a step or two a smaller rate is worth nothing
    steps, before = 1 + steps_to_rounding(found[i], rates[i]), steps_to_rounding(v, rate / level)
    return found[i] if rates[i] < rate / level and _NOTABLY * steps <= before else v


def _graded_units(
    matrices: Sequence[Array], known: float, floor: float, level: float
) -> Array | None:
    """Return the weights of least `steps_to_rounding` among some rates below the known one.

    None if there are none that forget notably faster; rates are parts of the level.
    """
    count, most = 0, max(1.0, _WORK / (len(matrices) * len(matrices[0]) ** 3))
    tried: list[tuple[Array, float]] = []

    def reaches(speed: float) -> bool:
        nonlocal count
        count += 1
        w = resolvent_weights(matrices, level * math.exp(-speed))
        if w is not None:
            tried.append((w, largest_rate(matrices, w) / level))
        return w is not None

    slowest, fastest = _SLOWEST, _FASTEST
    if known < 1:
        slowest = max(slowest, _NOTABLY * -math.log(known))
    if floor > 0:
        fastest = min(fastest, -math.log(floor))
    if not (slowest < fastest and reaches(slowest)):
        return None
    guess = -math.log(max(_growth(matrices) / level, math.exp(-fastest)))
    first = [math.log2(guess * (1 + part)) for part in _AROUND] if guess > 0 else []
    low, high = math.log2(slowest), math.log2(fastest)
    while high - low > _FINE and count < most:
        inside = [one for one in first if low < one < high]
        middle = inside[0] if inside else 0.5 * (low + high)
        low, high = (middle, high) if reaches(2.0**middle) else (low, middle)
    for share in _SHARES if count < most else ():
        reaches(max(share * 2.0**low, slowest))
    return min(tried, key=lambda one: steps_to_rounding(*one))[0]
