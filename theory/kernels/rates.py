r"""Norms of products of Jacobians along a trajectory.

Main name: `log_product_norms`.

The product of the r steps from time t is J_{t+r-1} ... J_t.  Small ones are formed, for all t at
once, by doubling, and their singular values come from LAPACK.  Large ones are only ever applied to
vectors, in one of the forms

    0   J_t itself,
    1   J_t v = s_0 v + sum over gates g of s_g (W_g v),                s_. = S[t, .], elementwise
    2   dc+ = s_0 dc + s_1 W_i dh + s_2 W_f dh + s_3 W_g dh,   dh+ = s_5 dc+ + s_4 W_o dh,

form 1 being that of rho(W h + ..), of a leaky one and of a GRU, form 2 that of an LSTM; the largest
singular value then comes from Lanczos bidiagonalisation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np

from theory.kernels.loops import product_norm_kernel
from theory.maps.base import Map
from theory.norms import L1, L2, Linf, Norm, WeightedL2, WeightedLinf
from theory.rounding import UNIT
from theory.typing import Array

#: Up to this state dimension forming the products is as fast as applying them, or faster;
#: tests/benchmarks/bench_rates.py prints the ratios.
DENSE_DIM = 24

#: The relative residual at which Lanczos stops.  A Ritz value with residual e is within e of a
#: singular value, and below the largest by about e**2 / gap, which is u / gap here: as good as
#: rounding itself, unless the two largest are nearly the same, when it is their distance at most.
RESIDUAL = math.sqrt(UNIT)

#: Doubles in one block of Jacobians: 32 MiB.
BLOCK = 2**22


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Factors:
    """The Jacobians of a whole trajectory as products of few arrays."""

    form: int  # 1 or 2, see above
    W: Array  # the gates' weights, one below the other, (gates n, n)
    S: Array  # elementwise factors, (T, 1 + gates or 6, n)


def factors(recurrent: Map, H: Array, X: Array) -> Factors | None:
    """Return the Jacobians at states H, (T, n), and inputs X, (T, m); None if they have no form."""
    form = recurrent.affine()
    if form is not None:
        slopes = form.rho.derivative(H @ form.W.T + X @ form.U.T + form.b)
        S = np.stack([np.zeros_like(slopes), slopes], axis=1)
        return Factors(form=1, W=np.ascontiguousarray(form.W), S=S)
    return None


def log_product_norms(
    recurrent: Map, H: Array, X: Array, r: int, stride: int, norm: Norm
) -> Array:
    """Return ln of the norms of J_{t+r-1} .. J_t for t = 0, stride, ...; -inf where it is zero.

    H, (T, n), are the states *before* the inputs X, (T, m).
    """
    count = max(0, (len(X) - r) // stride + 1)
    n = recurrent.state_dim
    euclidean = isinstance(norm, (L2, WeightedL2))
    if count == 0:
        return np.empty(0)
    if not euclidean or n <= DENSE_DIM:
        return _by_products(recurrent, H, X, r, stride, norm, count)
    return _by_vectors(recurrent, H, X, r, stride, norm, count)[0]


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
    left, right, weighted = np.eye(1), np.eye(1), isinstance(norm, WeightedL2)
    if isinstance(norm, WeightedL2):
        # ||A||_P = ||L^T A L^-T||_2 with P = L L^T
        L = np.linalg.cholesky(norm.P)
        left = np.ascontiguousarray(L.T)
        right = np.ascontiguousarray(np.linalg.inv(L).T)
    # fixed, so that the same question has the same answer; no entry is small
    start = np.cos(np.arange(1.0, n + 1.0) ** 2) + 2.0 * (-1.0) ** np.arange(n)
    logs = np.empty(count)
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
        J = np.ascontiguousarray(recurrent.jacobian_state(H[at], X[at]))
        steps += product_norm_kernel(
            0, np.empty((0, 1)), J, np.empty((0, 0, 0)), r, stride,
            left, right, weighted, start, RESIDUAL, logs[lo:hi],
        )  # fmt: skip
    return logs, steps


def _scaled(P: Array, exponent: Array) -> tuple[Array, Array]:
    """Return matrices of size about 1 and the exponents of the powers of two taken out."""
    largest = np.max(np.abs(P), axis=(-2, -1))
    e = np.where(largest > 0, np.frexp(largest)[1], 0)
    return np.ldexp(P, -e[:, None, None]), exponent + e


def _products(J: Array, r: int, stride: int, count: int) -> tuple[Array, Array]:
    """Return scaled products of r factors from times 0, stride, ..., and their exponents."""
    zero = np.zeros(len(J), dtype=np.int64)
    if stride > 1:
        times = np.arange(count) * stride
        P, e = _scaled(J[times], zero[:count])
        for j in range(1, r):
            P, e = _scaled(J[times + j] @ P, e)
        return P, e
    # doubling: the products of 1, 2, 4, .. factors, and those that the binary digits of r ask for
    D, d = _scaled(J, zero)
    P, e, length, m = None, None, 0, 1
    while True:
        if r & m:
            if P is None or e is None:
                P, e = D[:count], d[:count]
            else:
                P, e = _scaled(D[length : length + count] @ P, e + d[length : length + count])
            length += m
        if 2 * m > r:
            assert P is not None
            assert e is not None
            return P, e
        D, d = _scaled(D[m:] @ D[:-m], d[m:] + d[:-m])
        m *= 2


def _matrix_norm(norm: Norm) -> Callable[[Array], Array]:
    """Return the induced norm of stacked matrices, rounded to nearest."""
    if isinstance(norm, L2):
        return lambda P: np.linalg.svd(P, compute_uv=False)[:, 0]
    if isinstance(norm, WeightedL2):
        L = np.linalg.cholesky(norm.P)
        right = np.linalg.inv(L).T
        return lambda P: np.linalg.svd(L.T @ P @ right, compute_uv=False)[:, 0]
    if isinstance(norm, L1):
        return lambda P: np.max(np.sum(np.abs(P), axis=1), axis=-1)
    if isinstance(norm, Linf):
        return lambda P: np.max(np.sum(np.abs(P), axis=2), axis=-1)
    if isinstance(norm, WeightedLinf):
        v = norm.v
        return lambda P: np.max((np.abs(P) @ v) / v, axis=-1)
    raise ValueError(
        f"the norm of a matrix is not known for {norm.label}; needed one of L1, L2, Linf, "
        "WeightedL2, WeightedLinf"
    )


def _by_products(
    recurrent: Map, H: Array, X: Array, r: int, stride: int, norm: Norm, count: int
) -> Array:
    measure = _matrix_norm(norm)
    logs = np.empty(count)
    for lo, hi in _blocks(count, r, stride, recurrent.state_dim):
        at = slice(lo * stride, (hi - 1) * stride + r)
        P, e = _products(recurrent.jacobian_state(H[at], X[at]), r, stride, hi - lo)
        with np.errstate(divide="ignore"):
            logs[lo:hi] = np.log(measure(P)) + e * math.log(2.0)
    return logs
