r"""The joint spectral radius of a finite set of matrices, of which any one acts at each step.

Main names: `enclose_set`, `matrices_of`.

The norm in which products are measured is searched for: for coordinates T, the largest norm of
B = T A T^-1 over the set is minimised by its smooth bound

    f(T) = log(sum over A of tr (B^T B)**q) / (2 q),      T <- (I + X) T:
    df = sum of tr(G^T dB),  G = B (B^T B)**(q-1) / sum of tr (B^T B)**q,  dB = X B - B X.

It is a proposal: the norm of what comes out is proved positive definite, and products are formed
with bounds of their errors, whatever T is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import numpy as np

from theory.arithmetic.minimise import minimise
from theory.arithmetic.rounding import scaled_to_one
from theory.certify.accept import in_units
from theory.certify.ascent import LowerBound
from theory.certify.enclose import JointSpectralRadius, grow_tree
from theory.errors import as_array
from theory.norms.enclosed import in_column_units, similar_pairs
from theory.norms.norms import L2, Norm, WeightedL2
from theory.norms.radius import balanced, factors_radius_lower
from theory.typing import Array

#: Products that are listed for a first lower bound.
_LISTED = 4096

#: The exponents q of the smooth bound, and steps of the search at each; entries of T are n**2
#: unknowns, for which more than `_LARGEST` dimensions are too many.
_SHARPNESS, _STEPS, _LARGEST = (2, 8, 32), 60, 24

#: Units of T differ by at most 2**(2 * 240), so that T^T T and its inverse stay in range.
_LARGEST_UNIT = 240


def matrices_of(value: Any) -> Array:
    """Return a set of matrices, (N, n, n).

    Raises
    ------
    ValueError
        If it is empty, the matrices are not square or not of one size, or an entry is not finite.
    """
    try:
        sizes = {np.shape(A) for A in value}
    except (TypeError, ValueError):
        sizes = {()}
    if not all(len(size) == 2 for size in sizes):
        raise ValueError(
            f"received {value!r}, needed a Map, or a sequence of matrices (n, n); of one matrix A "
            "that is theory.LinearMap(A, B), theory.VanillaRNN(A, U), or the set [A]"
        )
    if len(sizes) > 1:
        raise ValueError(
            f"the matrices have shapes {sorted(map(str, sizes))}, needed one shape (n, n)"
        )
    A = np.array(as_array("the set of matrices", value, ndim=3), dtype=np.float64)
    if not (len(A) and A.shape[1] == A.shape[2] and A.shape[1]):
        raise ValueError(
            f"the set of matrices has shape {A.shape}, needed (N, n, n): N square matrices, N and "
            "n at least 1"
        )
    return A


def _fastest_product(A: Array) -> tuple[int, ...]:
    """Return the order of about the fastest growing product among the shortest ones.

    Of equal ones, as far as an eigenvalue routine can tell, the shortest.
    """
    count, n = len(A), A.shape[-1]
    products, orders = np.eye(n)[None], np.zeros((1, 0), dtype=np.int64)
    best = 0.0
    order: tuple[int, ...] = (0,)
    for length in range(1, 17):
        if len(products) * count > _LISTED and length > 1:
            break
        products = (A[:, None] @ products[None]).reshape(-1, n, n)
        orders = np.hstack(
            [np.tile(orders, (count, 1)), np.repeat(np.arange(count), len(orders))[:, None]]
        )
        growth = np.max(np.abs(np.linalg.eigvals(products)), axis=-1) ** (1.0 / length)
        # of equal ones the first, whatever the last digits
        i = int(np.argmax(growth >= np.max(growth) * (1 - 1e-9)))
        if growth[i] > best * (1 + 1e-9):
            best, order = float(growth[i]), tuple(orders[i].tolist())
    return order


def _good_norm(A: Array) -> Norm:
    """Return a norm in which all matrices grow by little, or `L2`."""
    n = A.shape[-1]
    units = balanced(np.max(np.abs(A), axis=0))[0]
    units = np.clip(units - (np.min(units) + np.max(units)) // 2, -_LARGEST_UNIT, _LARGEST_UNIT)
    even = np.ldexp(A, units[None, :] - units[:, None])
    size = float(np.max(np.abs(even)))
    if not 0 < size < math.inf:
        return L2()

    def function(q: int, base: Array) -> Any:
        similar = base @ (even / size) @ np.linalg.inv(base)

        def smooth(point: Array) -> tuple[float, Array] | None:
            X = np.eye(n) + point.reshape(n, n)
            try:
                inverse = np.linalg.inv(X)
            except np.linalg.LinAlgError:
                return None
            B = X @ similar @ inverse
            if not (np.linalg.det(X) > 0 and np.isfinite(B).all()):
                return None
            U, s, V = np.linalg.svd(B)
            top = float(np.max(s))
            if not top > 0:
                return None
            powers = (s / top) ** (2 * q)
            total = float(np.sum(powers))
            G = (U * ((s / top) ** (2 * q - 1) / (total * top))[:, None, :]) @ V
            swapped = np.swapaxes(B, 1, 2)
            gradient = np.sum(G @ swapped - swapped @ G, axis=0) @ inverse.T
            return math.log(top) + math.log(total) / (2 * q), gradient.ravel()

        return smooth

    T = np.eye(n)
    for q in _SHARPNESS if n <= _LARGEST else ():
        point = minimise(function(q, T), np.zeros(n * n), steps=_STEPS, gradient=1e-6, gain=1e-7)
        T = (np.eye(n) + point.reshape(n, n)) @ T
        T = T / np.max(np.abs(T))
    P = T.T @ T
    try:
        return WeightedL2(in_units(0.5 * (P + P.T), units))
    except ValueError:  # not provably positive definite
        return L2()


def _pairs(A: Array, norm: Norm) -> tuple[Array, Array] | None:
    """Return pairs for matrices that were scaled to largest entry 1, in a norm's coordinates."""
    T, B, lost = in_column_units(norm.coordinates(A.shape[-1]).T, A)
    return similar_pairs(B, np.full(len(A), lost), T)


def enclose_set(
    A: Array,
    *,
    norm: Norm | None,
    products: int,
    tol: float,
    executor: Executor | Callable[[], Executor] | None = None,
) -> JointSpectralRadius:
    """Return what `theory.certify.joint_spectral_radius` does for a set of matrices (N, n, n)."""
    count, n, _ = A.shape
    if products < count:
        raise ValueError(f"products={products}, needed at least one of each of {count} matrices")
    scaled, e = scaled_to_one(A)
    order = _fastest_product(scaled)
    rate = factors_radius_lower(A[list(order)])
    lower = LowerBound(rate=rate, slopes=np.zeros((0, n)), order=order)
    measure = _good_norm(scaled) if norm is None else norm
    pairs = _pairs(scaled, measure)
    if pairs is None:
        measure = L2()
        pairs = _pairs(scaled, measure)
    assert pairs is not None  # the identity is well conditioned, and all entries are at most 1
    tree = grow_tree(
        *pairs, best=math.ldexp(rate, -e), p=measure.p, products=products, tol=tol,
        executor=executor,
    )  # fmt: skip
    if tree.path is not None:
        faster = factors_radius_lower(A[tree.path])
        if faster > rate:
            lower = LowerBound(
                rate=faster, slopes=np.zeros((0, n)), order=tuple(tree.path.tolist())
            )
    return tree.enclosure(lower, e, measure)
