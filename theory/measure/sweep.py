r"""The sweep over all truncation lengths at once.

Main name: `sweep`.

The k-step state obeys h^k_t = step(h^{k-1}_{t-1}, x_t): restarted k steps before t is restarted k-1
steps before t-1, plus one step.  So one matrix product advances the truncated states of all times
from k - 1 to k, and the whole curve k = 0 .. k_max costs k_max products instead of T k_max**2 / 2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from theory.kernels.cells import gap_kernel
from theory.maps.base import Map
from theory.maps.form import Affine
from theory.norms.norm import Norm
from theory.typing import Array

#: Up to this state dimension the fused kernel is about as fast as matrix products or faster, and
#: for short sequences much faster: it pays no call overhead.  tests/benchmarks/bench_gaps.py prints
#: the ratios.
FUSED_DIM = 32

#: Rows measured together: few enough that a block of differences stays in the cache.
BLOCK_ROWS = 256


def fused_form(recurrent: Map, norm: Norm) -> tuple[Affine, int, Array] | None:
    """Return what `gap_kernel` needs, or None if it does not apply or would be slower."""
    n = recurrent.state_dim
    # in this order: the form of a large diagonal map is a dense matrix, made on demand
    form = recurrent.affine() if n <= FUSED_DIM else None
    if form is None or norm.blocks:
        return None
    c = norm.coordinates(n)
    if c.weights is None or (c.p == 2 and not c.plain):
        return None
    return form, 0 if c.p == math.inf else int(c.p), c.weights


def sweep(
    recurrent: Map,
    X: Array,
    H: Array,
    restart: Array,
    k_max: int,
    norm: Norm,
    output: Array | None = None,
) -> Iterator[Array]:
    """Yield ||h_t - h_t^k|| at all times, (T,), for k = 0 .. k_max, of one sequence X, (T, m).

    H, (T, n), are the recurrent states; with `output`, (p, n), the gaps are those of the outputs.
    The row that is yielded is overwritten by the next one.
    Extra memory: input terms, two copies of the truncated states, and a few blocks of rows.
    """
    T, n = H.shape
    terms = recurrent.input_terms(X)
    row = np.zeros(T)
    G = np.empty((T, n))
    G[...] = restart
    fused = fused_form(recurrent, norm) if output is None else None
    if fused is not None:
        form, kind, scale = fused
        WT, rho = np.ascontiguousarray(form.W.T), form.rho
        for k in range(k_max + 1):
            gap_kernel(WT, terms, H, G, rho.code, rho.leak, kind, scale, k, row)
            yield row
        return
    advanced = np.empty((T, n))
    buffer = np.empty((min(BLOCK_ROWS, T), n))
    for k in range(k_max + 1):
        row[:k] = 0.0
        if 0 < k < T:
            recurrent.advance(G[k - 1 : T - 1], terms[k:], out=advanced[k:])
            G, advanced = advanced, G
        for lo in range(k, T, BLOCK_ROWS):
            hi = min(lo + BLOCK_ROWS, T)
            rows = buffer[: hi - lo]
            np.subtract(G[lo:hi], H[lo:hi], out=rows)
            row[lo:hi] = norm.vector(rows if output is None else rows @ output.T)
        yield row
