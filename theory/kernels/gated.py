r"""Recurrent simulation of gated maps, leaky cells and entrywise linear recurrences.

Main names: `run_lstm`, `run_gru`, `run_leaky`, `run_entrywise`, `run_complex`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from theory.kernels.affine import LARGE_STEP, SMALL_DIM
from theory.kernels.loops import (
    complex_kernel,
    entrywise_kernel,
    gru_batch_kernel,
    gru_kernel,
    leaky_kernel,
    lstm_batch_kernel,
    lstm_kernel,
)
from theory.maps.base import Affine
from theory.typing import Array

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
    WT = np.ascontiguousarray(W.T)
    S = np.empty((batch, T, 2 * n))
    if batch * n >= LARGE_STEP and batch > 1:
        c, h = np.ascontiguousarray(s0[:, :n]), np.ascontiguousarray(s0[:, n:])
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
    GT, NT = np.ascontiguousarray(W[: 2 * n].T), np.ascontiguousarray(W[2 * n :].T)
    H = np.empty((batch, T, n))
    if batch * n >= LARGE_STEP and batch > 1:
        h = h0.copy()
        for first, block in _blocks(X, terms, 3 * n):
            gru_batch_kernel(GT, NT, bias, block, h, H, reset_after, first)
        return H
    for i in range(batch):
        gru_kernel(GT, NT, bias, terms(X[i]), h0[i], H[i], reset_after, n <= SMALL_DIM)
    return H


def run_leaky(form: Affine, share: Array, terms: Array, h0: Array) -> Array:
    """Return the states (batch, T, n) from input terms (batch, T, n); overwrites `terms`."""
    batch, T, n = terms.shape
    H = np.ascontiguousarray(terms)
    if batch * n >= LARGE_STEP and batch > 1:
        h, a = h0.copy(), np.empty((batch, n))
        for t in range(T):
            np.matmul(h, form.W.T, out=a)
            a += H[:, t]
            form.rho.in_place(a)
            a *= share
            h *= 1.0 - share
            h += a
            H[:, t] = h
        return H
    WT = np.ascontiguousarray(form.W.T)
    for i in range(batch):
        leaky_kernel(WT, H[i], h0[i], share, form.rho.code, form.rho.leak, n <= SMALL_DIM)
    return H


def run_entrywise(terms: Terms, X: Array, h0: Array) -> Array:
    """Return the states (batch, T, n) of h <- a h + u from h0, (batch, n), where terms = (a, u)."""
    H = np.empty((*X.shape[:2], h0.shape[-1]))
    for i in range(len(H)):
        entrywise_kernel(terms(X[i]), h0[i], H[i])
    return H


def run_complex(real: Array, imag: Array, terms: Array, h0: Array) -> Array:
    """Return the states (batch, T, 2 n) of s <- lambda s + u in pairs; overwrites `terms`."""
    H = np.ascontiguousarray(terms)
    for i in range(len(H)):
        complex_kernel(real, imag, h0[i], H[i])
    return H
