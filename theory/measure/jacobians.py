r"""Norms of products of Jacobians along a trajectory.

Main name: `log_product_norms`.

The product of the r steps from time t is J_{t+r-1} ... J_t.  Small ones are formed, for all t at
once, by doubling, and their singular values come from LAPACK.  Large ones are only ever applied to
vectors, as they are or by the forms of `theory.measure.factors`; the largest singular value then
comes from Lanczos bidiagonalisation.
"""

from __future__ import annotations

import math

import numpy as np

from theory.errors import DivergedError
from theory.kernels.jacobians import product_norm_kernel
from theory.maps.base import Map
from theory.measure.factors import RESIDUAL, factors
from theory.measure.stacked_rates import log_norms_of_stack, stack_factors
from theory.norms.norm import Norm
from theory.typing import Array

#: Up to this state dimension forming the products is as fast as applying them, or faster;
#: tests/benchmarks/bench_rates.py prints the ratios.
DENSE_DIM = 32

#: Doubles in one block of Jacobians: 32 MiB.
BLOCK = 2**22


def log_product_norms(recurrent: Map, H: Array, X: Array, r: int, stride: int, norm: Norm) -> Array:
    """Return ln of the norms of J_{t+r-1} .. J_t for t = 0, stride, ...; -inf where it is zero.

    H, (T, n), are the states *before* the inputs X, (T, m).
    """
    count = max(0, (len(X) - r) // stride + 1)
    n = recurrent.state_dim
    if count == 0:
        return np.empty(0)
    if norm.p != 2 or n <= DENSE_DIM:
        return _by_products(recurrent, H, X, r, stride, norm, count)
    with np.errstate(over="ignore", invalid="ignore"):
        logs, _ = _by_vectors(recurrent, H, X, r, stride, norm, count)
    if np.isnan(logs).any():
        raise DivergedError("a Jacobian left the range of double precision; scale the weights down")
    return logs


def _blocks(count: int, r: int, stride: int, n: int) -> list[tuple[int, int]]:
    """Return ranges of windows whose Jacobians fit into a block."""
    size = max(1, (BLOCK // (n * n) - r) // stride + 1)
    # overlapping windows share Jacobians: a block much longer than r repeats few of them
    size = max(size, r // stride)
    return [(lo, min(lo + size, count)) for lo in range(0, count, size)]


def _by_vectors(
    recurrent: Map, H: Array, X: Array, r: int, stride: int, norm: Norm, count: int
) -> tuple[Array, int]:
    """Return the logarithms and the number of Lanczos steps."""
    n = recurrent.state_dim
    c = norm.coordinates(n)
    left, right, weighted = np.eye(1), np.eye(1), not c.plain
    if weighted:
        # ||A|| = |T A T^-1|_2
        left, right = np.ascontiguousarray(c.T), np.ascontiguousarray(c.inverse)
    # fixed, so that the same question has the same answer; no entry is small
    start = np.cos(np.arange(1.0, n + 1.0) ** 2) + 2.0 * (-1.0) ** np.arange(n)
    logs = np.empty(count)
    stack = stack_factors(recurrent, H, X)
    if stack is not None:
        return log_norms_of_stack(stack, r, stride, c, start, count)
    known = factors(recurrent, H, X)
    if known is not None:
        steps = product_norm_kernel(
            known.form, known.W, np.empty((0, 0, 0)), known.S, r, stride,
            left, right, weighted, start, RESIDUAL, logs,
        )  # fmt: skip
        return logs, steps
    steps = 0
    for lo, hi in _blocks(count, r, stride, n):
        at = slice(lo * stride, (hi - 1) * stride + r)
        J = _jacobians(recurrent, H[at], X[at])
        steps += product_norm_kernel(
            0, np.empty((0, 1)), J, np.empty((0, 0, 0)), r, stride,
            left, right, weighted, start, RESIDUAL, logs[lo:hi],
        )  # fmt: skip
    return logs, steps


def _scaled(P: Array, exponent: Array) -> tuple[Array, Array]:
    """Return matrices of size about 1 and the exponents, as doubles, of the powers taken out."""
    largest = np.max(np.abs(P), axis=(-2, -1))
    e = np.where(largest > 0, np.frexp(largest)[1], 0)
    return np.ldexp(P, -e[:, None, None]), exponent + e


def _products(J: Array, r: int, stride: int, count: int) -> tuple[Array, Array]:
    """Return scaled products of r factors from times 0, stride, ..., and their exponents."""
    zero = np.zeros(len(J))
    if stride > 1:
        times = np.arange(count) * stride
        P, e = _scaled(J[times], zero[:count])
        for j in range(1, r):
            P, e = _scaled(J[times + j] @ P, e)
        return P, e
    # doubling: the products of 1, 2, 4, .. factors, and those that the binary digits of r ask for
    D, d = _scaled(J, zero)
    P, e, length, m = D[:0], d[:0], 0, 1
    while True:
        if r & m:
            if length == 0:
                P, e = D[:count], d[:count]
            else:
                P, e = _scaled(D[length : length + count] @ P, e + d[length : length + count])
            length += m
        if 2 * m > r:
            return P, e
        D, d = _scaled(D[m:] @ D[:-m], d[m:] + d[:-m])
        m *= 2


def _jacobians(recurrent: Map, H: Array, X: Array) -> Array:
    """Return the Jacobians, (T, n, n).

    Raises
    ------
    DivergedError
        If one is not finite.
    """
    J = np.ascontiguousarray(recurrent.jacobian_state(H, X))
    if not np.isfinite(J).all():
        raise DivergedError("a Jacobian left the range of double precision; scale the weights down")
    return J


def _by_products(
    recurrent: Map, H: Array, X: Array, r: int, stride: int, norm: Norm, count: int
) -> Array:
    c = norm.coordinates(recurrent.state_dim)
    logs = np.empty(count)
    for lo, hi in _blocks(count, r, stride, recurrent.state_dim):
        at = slice(lo * stride, (hi - 1) * stride + r)
        P, e = _products(_jacobians(recurrent, H[at], X[at]), r, stride, hi - lo)
        with np.errstate(divide="ignore"):
            logs[lo:hi] = np.log(c.norms(P)) + e * math.log(2.0)
    return logs
