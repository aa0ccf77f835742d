r"""How far r steps together can stretch distances: norms of all r-fold products of diag(s) W.

Main names: `lipschitz_of_steps`, `product_upper`, `growths`, `power`, `vertices`, `UnsettledError`.

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
import math
from typing import Any

import numpy as np

from theory.arithmetic.rigor import frobenius_upper
from theory.arithmetic.rounding import TINY, UNIT, gamma, product_up, up
from theory.norms.norms import L1, L2, Linf, Norm, WeightedL1, WeightedLinf, over
from theory.typing import Array

#: Partial products kept at a time; beyond that the number of vertices to the power r wins.
LARGEST_FRONTIER = 2**16

#: Up to this many units with two different slope ends their vertices are listed.
LARGEST_VERTICES = 10

#: Partial products followed to find a large full product early.
_BEAM = 24


def product_error(b: Any, c: Any, e: Any, f: Any, n: int) -> Array:
    r"""Bound the Frobenius distances of fl(B C) from products (B + E)(C + F).

    B and C are (n, n) with Frobenius norms at most b and c, E and F have at most e and f; floats or
    arrays of them.

        (B + E)(C + F) - fl(B C) = B F + E C + E F + (B C - fl(B C)),
        |B C - fl(B C)|_F <= gamma(n) b c + n (n eta / 2),

    as each of the n^2 entries is a sum of n products, which lose eta / 2 each to underflow.  The
    four products of this bound and that with gamma lose eta / 2 too, less than 3 eta together.
    Infinite where the bound is: 0 times infinity is nothing that is known.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        # b c first: what underflows in gamma b would be multiplied by c
        whole = b * f + c * e + e * f + gamma(n + 1) * (b * c)
        bound = np.nextafter(whole * (1 + 16 * UNIT) + (n * n + 4) * TINY, np.inf)
    return np.where(np.isnan(bound), np.inf, bound)


def power(A: Array, r: int) -> tuple[Array, float]:
    """Return a computed A**r and a bound of its Frobenius distance from the exact power, r >= 1.

    The smaller of two bounds: by the norms of the powers met on the way (good where they fall), and
    entry by entry, gamma(r (n + 1)) |A|**r (good where nothing cancels).
    """
    n = len(A)
    result: Array | None = None
    wrong, error, square = 0.0, 0.0, A
    majorant: Array | None = None
    size = np.abs(A)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        for bit in bin(r)[:1:-1]:
            if bit == "1":
                if result is None or majorant is None:
                    result, wrong, majorant = square, error, size
                else:
                    b, c = float(frobenius_upper(square)), float(frobenius_upper(result))
                    result, wrong = square @ result, float(product_error(b, c, error, wrong, n))
                    majorant = size @ majorant
            b = float(frobenius_upper(square))
            square, error = square @ square, float(product_error(b, b, error, error, n))
            size = size @ size
        assert result is not None
        assert majorant is not None
        # the majorant is a product of non-negative numbers, low by at most the same relative error;
        # each of less than 2 r products loses at most n eta to underflow, times later factors
        growth = r * math.log2(max(1.0, float(frobenius_upper(A))))
        lost = 2.0 * r * n * n * 2.0 ** (growth - 1070.0) if growth < 1000 else math.inf
        entrywise = float(frobenius_upper(majorant)) * 2 * gamma(r * (n + 2))
        entrywise = up(up(entrywise) + lost)
    if not np.any(_pattern(A, r)):
        return np.zeros_like(A), 0.0
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
    constant = product_up(over(norm, L2(), n), over(L2(), norm, n))
    return up(norm.matrix_upper(P) + product_up(constant, error))


def _quick_norms(norm: Norm, products: Array) -> Array | None:
    r"""Return rigorous upper bounds of the norms of a stack of matrices, or None if not known.

    In a weighted norm a sum s = sum_i v_i |P_ij| of n products is computed as s~,

        s <= s~ (1 + gamma(n)) + n eta / 2   =>   s / v_j <= (s~ (1 + gamma(n)) + n eta) / v_j,

    where eta / 2 is left for the rounding of s~ (1 + gamma(n)); what is lost to underflow is
    divided by the weight.  The quotient loses eta / 2 more, and the factor after it.
    """
    n = products.shape[-1]
    slack = 1 + 4 * gamma(2 * n + 4)

    def weighted(sums: Array, v: Array) -> Array:
        quotients = (sums * slack + n * TINY) / v
        return np.asarray(np.max(quotients, axis=1) * (1 + 4 * UNIT) + TINY)

    if isinstance(norm, Linf):
        return np.asarray(np.max(np.sum(np.abs(products), axis=2), axis=1) * slack)
    if isinstance(norm, L1):
        return np.asarray(np.max(np.sum(np.abs(products), axis=1), axis=1) * slack)
    if isinstance(norm, WeightedL1):
        return weighted(norm.v @ np.abs(products), norm.v)
    if isinstance(norm, WeightedLinf):
        return weighted(np.abs(products) @ norm.v, norm.v)
    if not isinstance(norm, L2):
        return None
    # ||A||_2^2 = ||G||_2 <= ||G^32||_F^(1/32) for G = A^T A.  A squaring errs by at most
    # gamma(n) |G|_F^2 <= n gamma(n) |G^2|_2, and the root divides later powers back: 6 in all.
    size = np.max(np.abs(products), axis=(1, 2))
    exponent = np.frexp(size)[1]
    A = np.ldexp(products, -exponent[:, None, None])
    G = np.swapaxes(A, 1, 2) @ A
    shift = np.zeros(len(G))
    for j in range(5):
        e = np.frexp(np.max(np.abs(G), axis=(1, 2)))[1]
        G = np.ldexp(G, -e[:, None, None])
        shift = shift + e * 0.5**j
        G = G @ G
    root = np.sqrt(np.sum(np.square(G), axis=(1, 2)))
    with np.errstate(divide="ignore"):
        logs = (np.log2(root) / 32 + shift) / 2 + exponent
    slack = (1 + 16 * n * gamma(n + 4)) * (1 + 64 * UNIT * (1 + float(np.max(np.abs(exponent)))))
    return np.where(size == 0, 0.0, np.exp2(logs) * slack + TINY)


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
    extra = product_up(product_up(over(norm, L2(), n), over(L2(), norm, n)), error)
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


def vertices(W: Array, low: Array, high: Array) -> Array | None:
    """Return diag(s) W for all vertices s, (N, n, n), or None if they are too many."""
    free = np.flatnonzero((low < high) & np.any(W != 0, axis=1))
    if len(free) > LARGEST_VERTICES:
        return None
    bits = (np.arange(2 ** len(free))[:, None] >> np.arange(len(free))) & 1
    slopes = np.tile(high, (len(bits), 1))
    slopes[:, free] = np.where(bits == 1, high[free], low[free])
    return np.asarray(slopes[:, :, None] * W)


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


def growths(
    W: Array | None, slopes: tuple[Array, Array] | None, norm: Norm, r: int, growth: float
) -> tuple[float, ...]:
    """Return upper bounds of the Lipschitz constants of 0, 1, .., r - 1 steps.

    The powers of that of one step, `growth`, or the norms of products where these are less.
    """
    powers = [1.0]
    for _ in range(r - 1):
        powers.append(powers[-1] * growth if growth in (0.0, 1.0) else up(powers[-1] * growth))
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
            constant = product_up(over(norm, L2(), n), over(L2(), norm, n))
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
