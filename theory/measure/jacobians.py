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
from dataclasses import dataclass
from typing import final

import numpy as np

from theory.arithmetic.activations import SIGMOID, TANH
from theory.arithmetic.rounding import UNIT
from theory.errors import DivergedError
from theory.kernels.jacobians import product_norm_kernel
from theory.maps.base import Map
from theory.maps.esn import EchoStateNetwork
from theory.maps.gru import GRU
from theory.maps.lstm import LSTM
from theory.norms.norm import Norm
from theory.typing import Array

#: Up to this state dimension forming the products is as fast as applying them, or faster;
#: tests/benchmarks/bench_rates.py prints the ratios.
DENSE_DIM = 32

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
        return _gated(form.W, np.zeros_like(slopes), slopes)
    if isinstance(recurrent, EchoStateNetwork):
        slopes = recurrent.activation.derivative(H @ recurrent.W.T + recurrent.input_terms(X))
        return _gated(recurrent.W, 1.0 - recurrent.leak + 0.0 * H, recurrent.leak * slopes)
    if isinstance(recurrent, GRU) and recurrent.variant == "reset_after":
        return _of_gru(recurrent, H, X)
    return _of_lstm(recurrent, H, X) if isinstance(recurrent, LSTM) else None


def _gated(W: Array, *slopes: Array, form: int = 1) -> Factors:
    # a copy of its own: Numba would compile once more for a read-only array
    return Factors(form=form, W=np.array(W), S=np.stack(slopes, axis=1))


def _of_gru(cell: GRU, H: Array, X: Array) -> Factors:
    a, terms = H @ cell.W.T, cell.input_terms(X)
    r, z = np.split((a + terms)[:, : 2 * cell.units], 2, axis=1)
    # v goes through the reset gate: h+ = (1 - z) n + z h, n = tanh(u + r v)
    v = a[:, 2 * cell.units :] + cell.b_candidate
    u = terms[:, 2 * cell.units :] + SIGMOID(r) * v
    inner = (1.0 - SIGMOID(z)) * TANH.derivative(u)
    return _gated(
        cell.W,
        SIGMOID(z),
        inner * SIGMOID.derivative(r) * v,
        (H - TANH(u)) * SIGMOID.derivative(z),
        inner * SIGMOID(r),
    )


def _of_lstm(cell: LSTM, H: Array, X: Array) -> Factors:
    c, h = np.split(H, 2, axis=1)
    i, f, g, o = np.split(h @ cell.W.T + cell.input_terms(X), 4, axis=1)
    new = SIGMOID(f) * c + SIGMOID(i) * TANH(g)
    return _gated(
        cell.W,
        SIGMOID(f),
        SIGMOID.derivative(i) * TANH(g),
        SIGMOID.derivative(f) * c,
        SIGMOID(i) * TANH.derivative(g),
        SIGMOID.derivative(o) * TANH(new),
        SIGMOID(o) * TANH.derivative(new),
        form=2,
    )


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
