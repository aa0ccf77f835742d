r"""The loops for maps of the form h <- rho(W h + U x + b).

Main names: `run` (recurrent simulation), `run_kernel`.
"""

from __future__ import annotations

import numpy as np

from theory.kernels.elementary import logistic_in_place, tanh_in_place
from theory.kernels.jit import kernel
from theory.maps.base import Affine
from theory.typing import Array

#: Up to this state dimension a column-by-column product is as fast as a BLAS call or faster.
SMALL_DIM = 64

#: From this many state entries a step on (batch times n), one matrix product a step for the whole
#: batch beats running the sequences one after another.  Measured: the ratio of the two crosses 1
#: between 512 and 2048 for n from 32 to 512; tests/benchmarks/bench_simulation.py prints it.
LARGE_STEP = 1024


@kernel
def activate(code: int, leak: float, a: Array) -> None:
    """Overwrite `a`, (n,), with rho(a)."""
    n = a.shape[0]
    if code == 1:
        tanh_in_place(a)
    elif code == 2:
        for i in range(n):
            a[i] = max(a[i], 0.0)
    elif code == 3:
        for i in range(n):
            a[i] = a[i] if a[i] >= 0.0 else leak * a[i]
    elif code == 4:
        logistic_in_place(a)
    elif code == 5:
        for i in range(n):
            a[i] = max(a[i], 0.0) + np.log1p(np.exp(-abs(a[i])))
    elif code == 6:
        for i in range(n):
            a[i] = min(max(a[i], -1.0), 1.0)
    elif code == 7:
        for i in range(n):
            a[i] = np.sin(a[i])


@kernel
def run_kernel(WT: Array, H: Array, h0: Array, code: int, leak: float, small: bool) -> None:
    """Overwrite H, holding the input terms (T, n), with the states; WT is W transposed."""
    T, n = H.shape
    h = h0.copy()
    a = np.empty(n)
    W = WT.T
    for t in range(T):
        if small:
            # column by column: the inner loop is elementwise, so it vectorises without reordering
            for i in range(n):
                a[i] = H[t, i]
            for j in range(n):
                hj = h[j]
                for i in range(n):
                    a[i] += WT[j, i] * hj
        else:
            np.dot(W, h, a)
            for i in range(n):
                a[i] += H[t, i]
        activate(code, leak, a)
        for i in range(n):
            h[i] = a[i]
            H[t, i] = a[i]


def run(form: Affine, terms: Array, h0: Array) -> Array:
    """Return the states (batch, T, n) from input terms (batch, T, n); overwrites `terms`."""
    batch, steps, n = terms.shape
    H = np.ascontiguousarray(terms)
    if batch * n >= LARGE_STEP:
        h, a = h0, np.empty((batch, n))
        for t in range(steps):
            np.matmul(h, form.W.T, out=a)
            a += H[:, t]
            H[:, t] = form.rho.in_place(a)
            h = H[:, t]
        return H
    # C order for the column loop; the transposed view of it is what a BLAS matrix-vector call reads
    WT = np.ascontiguousarray(form.W.T)
    for i in range(batch):
        run_kernel(WT, H[i], h0[i], form.rho.code, form.rho.leak, n <= SMALL_DIM)
    return H
