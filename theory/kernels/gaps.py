r"""The sweep over all truncation lengths at once.

Main names: `sweep`, `gap_kernel`.

The k-step state obeys h^k_t = step(h^{k-1}_{t-1}, x_t): restarted k steps before t is restarted k-1
steps before t-1, plus one step.  So one matrix product advances the truncated states of all times
from k - 1 to k, and the whole curve k = 0 .. k_max costs k_max products instead of T k_max**2 / 2.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from theory.kernels.affine import activate
from theory.kernels.jit import kernel
from theory.maps.base import Affine, Map
from theory.norms import L1, L2, Linf, Norm, WeightedLinf
from theory.typing import Array

#: Up to this state dimension the fused kernel is about as fast as matrix products or faster, and
#: for short sequences much faster: it pays no call overhead.  tests/benchmarks/bench_gaps.py prints
#: the ratios.
FUSED_DIM = 32

#: Rows measured together: few enough that a block of differences stays in the cache.
BLOCK_ROWS = 256

Progress = Callable[[int, int], None]


@kernel
def gap_kernel(
    WT: Array,
    terms: Array,
    H: Array,
    restart: Array,
    code: int,
    leak: float,
    kind: int,
    scale: Array,
    table: Array,
) -> None:
    """Overwrite table[k, t], (k_max + 1, T), with the gap at time t; kind 0 is the maximum."""
    T, n = H.shape
    G = np.empty((T, n))
    a = np.empty(n)
    for t in range(T):
        for i in range(n):
            G[t, i] = restart[i]
    for k in range(table.shape[0]):
        # from the last time down, so that row t - 1 still holds the states of k - 1
        for t in range(T - 1, k - 1, -1):
            if k > 0:
                for i in range(n):
                    a[i] = terms[t, i]
                for j in range(n):
                    gj = G[t - 1, j]
                    for i in range(n):
                        a[i] += WT[j, i] * gj
                activate(code, leak, a)
                for i in range(n):
                    G[t, i] = a[i]
            gap = 0.0
            if kind == 0:
                for i in range(n):
                    gap = max(gap, abs(H[t, i] - G[t, i]) / scale[i])
            elif kind == 1:
                for i in range(n):
                    gap += abs(H[t, i] - G[t, i])
            else:
                for i in range(n):
                    gap += (H[t, i] - G[t, i]) * (H[t, i] - G[t, i])
                gap = np.sqrt(gap)
            table[k, t] = gap
        # the first k + 1 states of both models coincide when there are so few inputs
        for t in range(min(k, T)):
            table[k, t] = 0.0


def _fused_form(recurrent: Map, norm: Norm) -> tuple[Affine, int, Array] | None:
    """Return what `gap_kernel` needs, or None if it does not apply or would be slower."""
    form = recurrent.affine()
    if form is None or form.W.shape[0] > FUSED_DIM:
        return None
    ones = np.ones(form.W.shape[0])
    if isinstance(norm, WeightedLinf):
        return form, 0, norm.v
    kinds = {Linf: 0, L1: 1, L2: 2}
    return (form, kinds[type(norm)], ones) if type(norm) in kinds else None


def sweep(
    recurrent: Map,
    X: Array,
    H: Array,
    restart: Array,
    table: Array,
    norm: Norm,
    progress: Progress | None = None,
) -> None:
    """Overwrite table, (k_max + 1, T), with ||h_t - h_t^k|| for one sequence X, (T, m).

    H, (T, n), are the recurrent states.  Extra memory: input terms, two copies of the truncated
    states, and a few blocks of rows.
    """
    T, n = H.shape
    k_max = table.shape[0] - 1
    terms = recurrent.input_terms(X)
    fused = _fused_form(recurrent, norm)
    if fused is not None:
        form, kind, scale = fused
        WT = np.ascontiguousarray(form.W.T)
        gap_kernel(WT, terms, H, restart, form.rho.code, form.rho.leak, kind, scale, table)
        if kind != 2 or not ((table > 0) & (table < 2.0**-450)).any():
            if progress is not None:
                progress(k_max, k_max)
            return
        # squares of such gaps underflow in the kernel: measure again by the scaled norm
    G, advanced = np.empty((T, n)), np.empty((T, n))
    G[...] = restart
    buffer = np.empty((min(BLOCK_ROWS, T), n))
    for k in range(k_max + 1):
        table[k, :k] = 0.0
        if 0 < k < T:
            recurrent.advance(G[k - 1 : T - 1], terms[k:], out=advanced[k:])
            G, advanced = advanced, G
        for lo in range(k, T, BLOCK_ROWS):
            hi = min(lo + BLOCK_ROWS, T)
            rows = buffer[: hi - lo]
            np.subtract(G[lo:hi], H[lo:hi], out=rows)
            table[k, lo:hi] = norm.vector(rows)
        if progress is not None:
            progress(k, k_max)
