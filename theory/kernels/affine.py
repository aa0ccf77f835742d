r"""Recurrent simulation of maps of the form h <- rho(W h + U x + b).

Main name: `run`.
"""

from __future__ import annotations

import numpy as np

from theory.kernels.loops import run_kernel
from theory.maps.base import Affine
from theory.typing import Array

#: Up to this state dimension a column-by-column product is as fast as a BLAS call or faster.
SMALL_DIM = 64

#: From this many state entries a step on (batch times n), one matrix product a step for the whole
#: batch beats running the sequences one after another.  Measured: the ratio of the two crosses 1
#: between 512 and 2048 for n from 32 to 512; tests/benchmarks/bench_simulation.py prints it.
LARGE_STEP = 1024


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
