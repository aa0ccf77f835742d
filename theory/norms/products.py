r"""How far r steps together can stretch distances: norms of all r-fold products of diag(s) W.

Main names: `lipschitz_of_steps`, `product_upper`, `growth_constant`, `growths`, `power`,
`vertices`, `slope_vertices`, `UnsettledError`.

With slopes s_i in [alpha_i, beta_i] the difference of two trajectories after r steps is

    diag(s^r) W ... diag(s^1) W (h - g),

affine in every single slope, and a norm is convex: the largest norm is reached at vertices of the
slopes.  Of a linear map there is one product, the power.  Otherwise vertices are multiplied one
after another, and a partial product of d factors is dropped once

    ||product|| * (bound of all products of r - d factors) <= the norm of a full product at hand,

since nothing that begins with it is larger than that.  What is returned is rounded outward: the
rounding made in forming a product is bounded in the Frobenius norm and added to its norm.
"""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np

from theory.arithmetic.rigor import frobenius_upper
from theory.arithmetic.rounding import TINY, UNIT, down, gamma, product_up, up
from theory.norms.enclosed import (
    factor_pairs,
    multiply_pairs,
    norms_upper,
    power_pair,
    product_error,
)
from theory.norms.norm import Norm, over
from theory.norms.norms import L2
from theory.typing import Array

#: Partial products kept at a time; beyond that the number of vertices to the power r wins.
LARGEST_FRONTIER = 2**16

#: Up to this many units with two different slope ends their vertices are listed.
LARGEST_VERTICES = 10

#: Products that `growth_constant` forms at the most, and factors of the longest; some seconds.
LARGEST_TREE, LONGEST_BRANCH = 2**17, 256

#: Weights of a norm that are smaller have no relative error of a few units.
_SMALLEST_WEIGHT = 2.0**-1000

#: Partial products followed to find a large full product early.
_BEAM = 24


def power(A: Array, r: int) -> tuple[Array, float]:
    """Return a computed A**r and a bound of its Frobenius distance from the exact power, r >= 1.

    The smaller of two bounds: by the norms of the powers met on the way (good where they fall), and
    entry by entry, gamma(r (n + 1)) |A|**r (good where nothing cancels).
    """
    n = len(A)
    if not np.any(_pattern(A, r)):
        return np.zeros_like(A), 0.0
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        result, wrong = power_pair(A, 0.0, r)
        majorant = power_pair(np.abs(A), 0.0, r)[0]
        # the majorant is a product of non-negative numbers, low by at most the same relative error;
        # each of less than 2 r products loses at most n eta to underflow, times later factors, and
        # so does the scaling of a factor before it
        growth = r * math.log2(max(1.0, float(frobenius_upper(A))))
        lost = 4.0 * r * n * n * 2.0 ** (growth - 1070.0) if growth < 1000 else math.inf
        entrywise = float(frobenius_upper(majorant)) * 2 * gamma(r * (n + 2))
        entrywise = up(up(entrywise) + lost)
    bound = min(wrong, entrywise)
    return result, bound if np.isfinite(result).all() else math.inf


def _pattern(A: Array, r: int) -> Array:
    """Return where A**r can differ from zero, for a matrix with the zeros of A."""
    result, square = np.eye(len(A)), (A != 0).astype(np.float64)
    for bit in bin(r)[:1:-1]:
        if bit == "1":
            result = np.minimum(result @ square, 1.0)
        square = np.minimum(square @ square, 1.0)
    return result


def _norm_upper(norm: Norm, P: Array, error: float) -> float:
    """Return an upper bound of the norm of every matrix within `error` of P (Frobenius)."""
    if not (math.isfinite(error) and np.isfinite(P).all()):
        return math.inf
    n = len(P)
    if error == 0.0:
        return norm.matrix_upper(P)
    constant = product_up(over(norm, L2(), n=n), over(L2(), norm, n=n))
    return up(norm.matrix_upper(P) + product_up(constant, error))


def _quick_norms(norm: Norm, products: Array) -> Array | None:
    """Return rigorous upper bounds of the norms of a stack of matrices, or None if not known."""
    return None if norm.blocks else norm.coordinates(products.shape[-1]).norms_upper(products)


def _largest_norm(norm: Norm, products: Array, error: float, floor: float = 0.0) -> float:
    """Return an upper bound, at least `floor`, of the norms of all matrices of a stack."""
    if len(products) == 0:
        return floor
    if not (math.isfinite(error) and np.isfinite(products).all()):
        return math.inf
    quick = _quick_norms(norm, products)
    best = floor
    if quick is None:
        for P in products:
            best = max(best, _norm_upper(norm, P, error))
        return best
    n = products.shape[-1]
    extra = product_up(product_up(over(norm, L2(), n=n), over(L2(), norm, n=n)), error)
    # slopes of both signs give every product many times: |P| = |-P|, looked at once
    seen: set[bytes] = set()
    for i in np.argsort(-quick):
        if up(float(quick[i]) + extra) <= best:
            break
        P = products[i]
        key = max((P + 0.0).tobytes(), (0.0 - P).tobytes())
        if key not in seen:
            seen.add(key)
            best = max(best, min(up(float(quick[i]) + extra), _norm_upper(norm, P, error)))
    return best


def slope_vertices(low: Array, high: Array) -> Array:
    """Return all slopes with s_i one of low_i and high_i, (N, n), high ends first."""
    ends = [(b,) if a == b else (b, a) for a, b in zip(low.tolist(), high.tolist(), strict=True)]
    return np.array(list(itertools.product(*ends)), dtype=np.float64)


def vertices(W: Array, low: Array, high: Array) -> Array | None:
    """Return diag(s) W for all vertices s, (N, n, n), or None if they are too many."""
    # where a row of W is zero, the slope does nothing
    low = np.where(np.any(W != 0, axis=1), low, high)
    if np.count_nonzero(low != high) > LARGEST_VERTICES:
        return None
    return np.asarray(slope_vertices(low, high)[:, :, None] * W)


class UnsettledError(Exception):
    """More products are needed than are kept at a time."""


def lipschitz_of_steps(
    W: Array, slopes: tuple[Array, Array], norm: Norm, r: int, known: tuple[float, ...] = (1.0,)
) -> tuple[float, ...]:
    r"""Return upper bounds of the Lipschitz constants of 0, 1, .., r steps of rho(W h + U x + b).

    Parameters
    ----------
    W : (n, n) array
    slopes : pair of (n,) arrays
        Ends of every unit's slopes.
    norm : Norm
        Any one on R^n, monotone or not.
    r : int
    known : tuple of float
        The bounds of 0, 1, .. steps that an earlier call returned.

    Raises
    ------
    UnsettledError
        If the slopes have too many vertices, or too many products matter.
    """
    low, high = slopes
    bounds = list(known)
    if bool(np.all(low == low[:1]) and np.all(high == low[:1])):
        s = abs(float(low[0]))
        for j in range(len(bounds), r + 1):
            P, error = power(W, j)
            scale = s if s in (0.0, 1.0) else functools.reduce(product_up, [s] * j, 1.0)
            bounds.append(product_up(scale, _norm_upper(norm, P, error)))
        return tuple(bounds)
    factors = vertices(W, low, high)
    if factors is None:
        raise UnsettledError(f"more than {LARGEST_VERTICES} units have two slopes")
    exact = bool(np.all(np.isin(low, (-1.0, 0.0, 1.0)) & np.isin(high, (-1.0, 0.0, 1.0))))
    # in a monotone norm the last factor is worst where all its slopes are steepest
    steepest = np.maximum(np.abs(low), np.abs(high))
    last = (steepest[:, None] * W)[None] if norm.monotone else factors
    size = float(max(np.max(frobenius_upper(factors)), np.max(frobenius_upper(last))))
    forming = 0.0 if exact else up(2 * UNIT * size + W.size * TINY)
    for j in range(len(bounds), r + 1):
        bounds.append(_of_products(factors, last, norm, j, bounds, forming, size))
    return tuple(bounds)


def growth_constant(W: Array, slopes: tuple[Array, Array], norm: Norm, rate: float) -> float:
    r"""Return K such that j steps together stretch by at most K rate**j, for every j.

    Products are continued until they are not longer than rate**j.  Every product of any length is
    then one of such leaves, times an inner node X of the tree at its end, so that

        K = max |X| / rate**length   over the inner nodes, the identity (1) among them.

    The norm is |T h| up to a relative error e, which costs (1 + e) / (1 - e).

    Parameters
    ----------
    W : (n, n) array
    slopes : pair of (n,) arrays
    norm : Norm
    rate : float
        Positive; an upper bound of the joint spectral radius, or the tree does not end.

    Returns
    -------
    float
        Rounded upward; inf if the tree has more nodes than `LARGEST_TREE`, a longer branch than
        `LONGEST_BRANCH`, or nothing is proved.
    """
    n, (low, high) = len(W), slopes
    low = np.where(np.any(W != 0, axis=1), low, high)
    if norm.blocks:  # it has no coordinates
        return math.inf
    space = norm.coordinates(n)
    if np.count_nonzero(low != high) > LARGEST_VERTICES or not 0 < rate < math.inf:
        return math.inf
    if space.weights is not None and not np.min(np.abs(np.diag(space.T))) >= _SMALLEST_WEIGHT:
        return math.inf
    ends = slope_vertices(low, high)
    if bool(np.all(low == -high)) and len(ends) > 1:  # the other half only changes a sign
        ends = ends[: len(ends) // 2]
    made = factor_pairs(W, ends, space.T)
    if made is None:
        return math.inf
    (B, e), C, f = made, np.eye(n)[None], np.zeros(1)
    worst = power = 1.0
    formed = 0
    for _ in range(LONGEST_BRANCH):
        formed += len(C) * len(B)
        power = down(power * rate)
        if formed > LARGEST_TREE or not power > 0:
            return math.inf
        C, f = multiply_pairs(B[None], e[None], C[:, None], f[:, None])
        C, f = C.reshape(-1, n, n), f.ravel()
        sizes = norms_upper(C, f, space.p)
        inner = ~(sizes <= power)
        C, f = C[inner], f[inner]
        if len(C) == 0:
            slack = max(space.error, 4 * UNIT)
            return up(worst * (1 + slack) / (1 - slack) * (1 + 8 * UNIT))
        worst = max(worst, up(float(np.max(sizes[inner])) / power))
    return math.inf


def growth_upper(W: Array, slopes: tuple[Array, Array], norm: Norm, rate: float, r: int) -> float:
    """Return the bound K rate**r of `growth_constant`, rounded upward."""
    return geometric_up(growth_constant(W, slopes, norm, rate), rate, r)[r]


def geometric_up(K: float, rate: float, r: int) -> tuple[float, ...]:
    """Return K rate**j for j = 0 .. r, rounded upward."""
    bounds = [K]
    for _ in range(r):
        bounds.append(product_up(bounds[-1], rate))
    return tuple(bounds)


def growths(
    W: Array | None,
    slopes: tuple[Array, Array] | None,
    norm: Norm,
    r: int,
    growth: float,
    geometric: tuple[float, float] | None = None,
) -> tuple[float, ...]:
    """Return upper bounds of the Lipschitz constants of 0, 1, .., r - 1 steps.

    The powers of that of one step, `growth`, or the norms of products where these are less; or K
    rate**j, where such a pair is known.
    """
    powers = [1.0]
    for _ in range(r - 1):
        powers.append(powers[-1] * growth if growth in (0.0, 1.0) else up(powers[-1] * growth))
    if geometric is not None:
        return (1.0, *map(min, powers[1:], geometric_up(*geometric, r)[1:r]))
    if W is None or slopes is None:
        return tuple(powers)
    known: tuple[float, ...] = (1.0,)
    try:
        for j in range(1, r):
            known = lipschitz_of_steps(W, slopes, norm, j, known)
    except UnsettledError:
        pass
    return tuple(min(pair) for pair in zip(powers, known, strict=False)) + tuple(
        powers[len(known) :]
    )


def product_upper(W: Array, slopes: tuple[Array, Array], norm: Norm, r: int) -> float:
    """Return the last of `lipschitz_of_steps`; of a linear map without the others."""
    low, high = slopes
    if bool(np.all(low == low[:1]) and np.all(high == low[:1])):
        return lipschitz_of_steps(W, slopes, norm, r, (math.nan,) * r)[r]
    return lipschitz_of_steps(W, slopes, norm, r)[r]


def _of_products(
    factors: Array,
    last: Array,
    norm: Norm,
    r: int,
    bounds: list[float],
    forming: float,
    size: float,
) -> float:
    """Return an upper bound of the norms of all r-fold products that end with one of `last`."""
    n = factors.shape[-1]
    with np.errstate(over="ignore", invalid="ignore"):
        target = _beam(factors, last, norm, r)
        partial, error = (factors if r > 1 else last), forming
        for depth in range(1, r):
            onward = factors if depth < r - 1 else last
            quick = _quick_norms(norm, partial)
            if quick is None:
                quick = np.array([_norm_upper(norm, P, 0.0) for P in partial])
            constant = product_up(over(norm, L2(), n=n), over(L2(), norm, n=n))
            reach = quick + product_up(constant, error)
            reach = np.nextafter(reach * bounds[r - depth] * (1 + 8 * UNIT), np.inf)
            if bounds[r - depth] == 0:  # and so are the products, exactly
                reach = np.zeros_like(reach)
            partial = partial[~(reach <= target)]
            count = len(partial) * len(onward)
            if count > LARGEST_FRONTIER:
                raise UnsettledError(f"{count} products of {depth + 1} steps matter")
            largest = float(np.max(frobenius_upper(partial), initial=0.0))
            error = float(product_error(size, largest, forming, error, n))
            partial = (onward[:, None] @ partial[None]).reshape(-1, n, n)
    return _largest_norm(norm, partial, error, target)


def _beam(factors: Array, last: Array, norm: Norm, r: int) -> float:
    """Return about the largest norm of r-fold products; a guess only, of which any will do."""
    n = factors.shape[-1]

    def size(P: Array) -> float:
        return norm.matrix_upper(P) if np.isfinite(P).all() else math.inf

    partial = factors if r > 1 else last
    for depth in range(r):
        quick = _quick_norms(norm, partial)
        sizes = np.array([size(P) for P in partial[:512]]) if quick is None else quick
        order = np.argsort(-sizes)[:_BEAM]
        if depth == r - 1:
            best = max(size(P) for P in partial[order[:4]])
            return float(best * (1 + 2.0**-40)) if math.isfinite(best) else 0.0
        onward = factors if depth < r - 2 else last
        partial = (onward[:, None] @ partial[order][None]).reshape(-1, n, n)
    return 0.0
