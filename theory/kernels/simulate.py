"""Recurrent simulation: which kernel runs, and in which order, for one sequence or a batch.

Main names: `run`, `run_lstm`, `run_gru`, `run_leaky`, `run_entrywise`, `run_complex`,
`run_slstm`, `advance_affine`, `advance_lstm`, `advance_gru`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from theory.arithmetic.activations import Activation
from theory.kernels.blocks import locked, row_blocks
from theory.kernels.cells import (
    affine_rows,
    gru_batch_kernel,
    gru_kernel,
    leaky_kernel,
    logistic_in_place,
    lstm_batch_kernel,
    lstm_kernel,
    lstm_rows,
    run_kernel,
    tanh_in_place,
)
from theory.kernels.entrywise import complex_kernel, entrywise_kernel
from theory.kernels.slstm import slstm_kernel
from theory.threads import few_threads
from theory.typing import Array

#: Up to this state dimension a column-by-column product is as fast as a BLAS call or faster.
SMALL_DIM = 64

#: From this many state entries a step on (batch times n), one matrix product a step for the whole
#: batch beats running the sequences one after another.  Measured: the ratio of the two crosses 1
#: between 512 and 2048 for n from 32 to 512; tests/benchmarks/bench_simulation.py prints it.
LARGE_STEP = 1024


def _transposed(W: Array) -> Array:
    return locked(np.ascontiguousarray(W.T))


def run(W: Array, rho: Activation, terms: Array, h0: Array) -> Array:
    """Return the states (batch, T, n) from input terms (batch, T, n); overwrites `terms`."""
    batch, steps, n = terms.shape
    H = np.ascontiguousarray(terms)
    if batch * n >= LARGE_STEP:
        h, a = h0, np.empty((batch, n))
        for t in range(steps):
            np.matmul(h, W.T, out=a)
            a += H[:, t]
            H[:, t] = rho.in_place(a)
            h = H[:, t]
        return H
    # C order for the column loop; the transposed view of it is what a BLAS matrix-vector call reads
    WT, h0 = _transposed(W), locked(h0)
    for i in range(batch):
        run_kernel(WT, H[i], h0[i], rho.code, rho.leak, n <= SMALL_DIM)
    return H


#: Input terms that are computed at a time for a whole batch: they stay in the cache.
BLOCK_ENTRIES = 2**16

#: What a map needs of its inputs; `Map.input_terms`.
Terms = Callable[[Array], Array]


def _blocks(X: Array, terms: Terms, width: int) -> Iterator[tuple[int, Array]]:
    """Yield the first time and the input terms, (steps, batch, width), of successive times."""
    batch, T, _ = X.shape
    steps = max(1, BLOCK_ENTRIES // (batch * width))
    for first in range(0, T, steps):
        block = np.ascontiguousarray(X[:, first : first + steps].transpose(1, 0, 2))
        yield first, terms(block)


def run_lstm(W: Array, terms: Terms, X: Array, s0: Array) -> Array:
    """Return the states (c, h), (batch, T, 2 n), of inputs (batch, T, m) from s0, (batch, 2 n)."""
    n = W.shape[1]
    batch, T, _ = X.shape
    WT, s0 = _transposed(W), locked(s0)
    S = np.empty((batch, T, 2 * n))
    if batch * n >= LARGE_STEP and batch > 1:
        c, h = np.ascontiguousarray(s0[:, :n]), np.ascontiguousarray(s0[:, n:])
        with few_threads(n):
            for first, block in _blocks(X, terms, 4 * n):
                lstm_batch_kernel(WT, block, c, h, S, first)
        return S
    for i in range(batch):
        lstm_kernel(WT, terms(X[i]), s0[i], S[i], n <= SMALL_DIM)
    return S


def run_gru(
    W: Array, bias: Array, terms: Terms, X: Array, h0: Array, *, reset_after: bool
) -> Array:
    """Return the states (batch, T, n) of inputs (batch, T, m) from h0, (batch, n).

    `bias` is what the reset gate multiplies besides W_n h.
    """
    n = W.shape[1]
    batch, T, _ = X.shape
    GT, NT = _transposed(W[: 2 * n]), _transposed(W[2 * n :])
    bias, h0 = locked(bias), locked(h0)
    H = np.empty((batch, T, n))
    if batch * n >= LARGE_STEP and batch > 1:
        h = h0.copy()
        with few_threads(n):
            for first, block in _blocks(X, terms, 3 * n):
                gru_batch_kernel(GT, NT, bias, block, h, H, reset_after, first)
        return H
    for i in range(batch):
        gru_kernel(GT, NT, bias, terms(X[i]), h0[i], H[i], reset_after, n <= SMALL_DIM)
    return H


def run_leaky(W: Array, rho: Activation, share: Array, terms: Array, h0: Array) -> Array:
    """Return the states (batch, T, n) from input terms (batch, T, n); overwrites `terms`."""
    batch, T, n = terms.shape
    H = np.ascontiguousarray(terms)
    if batch * n >= LARGE_STEP and batch > 1:
        h, a = h0.copy(), np.empty((batch, n))
        with few_threads(n):
            for t in range(T):
                np.matmul(h, W.T, out=a)
                a += H[:, t]
                rho.in_place(a)
                a *= share
                h *= 1.0 - share
                h += a
                H[:, t] = h
        return H
    WT, h0, share = _transposed(W), locked(h0), locked(share)
    for i in range(batch):
        leaky_kernel(WT, H[i], h0[i], share, rho.code, rho.leak, n <= SMALL_DIM)
    return H


def run_slstm(W: Array, terms: Terms, X: Array, s0: Array, *, forgets: bool) -> Array:
    """Return the states (y, s, h), (batch, T, 3 n), of inputs (batch, T, m) from s0."""
    WT, s0 = _transposed(W), locked(s0)
    S = np.empty((*X.shape[:2], s0.shape[-1]))
    for i in range(len(S)):
        slstm_kernel(WT, terms(X[i]), s0[i], S[i], forgets)
    return S


def run_entrywise(terms: Terms, X: Array, h0: Array) -> Array:
    """Return the states (batch, T, n) of h <- a h + u from h0, (batch, n), where terms = (a, u)."""
    H, h0 = np.empty((*X.shape[:2], h0.shape[-1])), locked(h0)
    for i in range(len(H)):
        entrywise_kernel(terms(X[i]), h0[i], H[i])
    return H


def run_complex(real: Array, imag: Array, terms: Array, h0: Array) -> Array:
    """Return the states (batch, T, 2 n) of s <- lambda s + u in pairs; overwrites `terms`."""
    H = np.ascontiguousarray(terms)
    real, imag, h0 = locked(real), locked(imag), locked(h0)
    for i in range(len(H)):
        complex_kernel(real, imag, h0[i], H[i])
    return H


def advance_affine(W: Array, rho: Activation, h: Array, terms: Array, out: Array | None) -> Array:
    """Return the states rho(W h + terms), (..., n)."""
    result, blocks, _ = row_blocks(h, terms, out)
    for old, own, new in blocks:
        np.matmul(old, W.T, out=new)
        affine_rows(new, own, rho.code, rho.leak)
    return result


def advance_lstm(W: Array, h: Array, terms: Array, out: Array | None) -> Array:
    """Return the states (c, h), (..., 2 n), one step on from `h` with input terms (..., 4 n)."""
    n = W.shape[1]
    result, blocks, rows = row_blocks(h, terms, out)
    gates = np.empty((rows, 4 * n))
    for old, own, new in blocks:
        a = np.matmul(old[:, n:], W.T, out=gates[: len(old)])
        lstm_rows(a, own, np.arange(len(old)), old, new)
    return result


def advance_gru(
    W: Array, bias: Array, h: Array, terms: Array, out: Array | None, *, reset_after: bool
) -> Array:
    """Return the states (..., n) one step on from `h` with input terms (..., 3 n)."""
    n = W.shape[1]
    result, blocks, rows = row_blocks(h, terms, out)
    gates, inner, candidates = np.empty((rows, 2 * n)), np.empty((rows, n)), np.empty((rows, n))
    for old, own, new in blocks:
        a, v, candidate = gates[: len(old)], inner[: len(old)], candidates[: len(old)]
        np.matmul(old, W[: 2 * n].T, out=a)
        a += own[:, : 2 * n]
        logistic_in_place(a.ravel())
        r, z = a[:, :n], a[:, n:]
        if reset_after:
            np.matmul(old, W[2 * n :].T, out=candidate)
            candidate += bias
            candidate *= r
        else:
            np.multiply(r, old, out=v)
            np.matmul(v, W[2 * n :].T, out=candidate)
        candidate += own[:, 2 * n :]
        tanh_in_place(candidate.ravel())
        candidate *= np.subtract(1.0, z, out=v)
        np.multiply(z, old, out=new)
        new += candidate
    return result
