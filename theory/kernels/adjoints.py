"""Loops of reverse mode through time: derivatives of the loss in pre-activations and input terms.

Main names: `affine_adjoints`, `lstm_adjoints`, `gru_adjoints`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from theory.kernels.jit import SIZE, kernel
from theory.typing import Array


@kernel
def affine_adjoints(W: Array, G: Array, slope: Array, cut: Any, D: Array) -> None:
    """Overwrite D, (S, R, n), with the derivatives of the loss in the pre-activations.

    G is d loss / d H[1:] from the loss itself, (S, R, n), or (1, R, n) for the last step alone.
    After a step s with cut[s] nothing is carried further back.
    """
    S, R, n = slope.shape
    adjoint = np.zeros((R, n))
    for s in range(S - 1, -1, -1):
        if G.shape[0] == S or s == S - 1:
            g = G[s] if G.shape[0] == S else G[0]
            for r in range(R):
                for i in range(n):
                    adjoint[r, i] += g[r, i]
        d = D[s]
        for r in range(R):
            for i in range(n):
                d[r, i] = adjoint[r, i] * slope[s, r, i]
        if cut[s]:
            adjoint[:] = 0.0
        else:
            np.dot(d, W, adjoint)


@kernel
def lstm_adjoints(
    W: Array, G: Array, C: Array, gates: Array, tc: Array, first: Any, cut: Any, D: Array
) -> None:
    """Overwrite D, (S, R, 4 n), as `affine_adjoints` does; G is (S or 1, R, 2 n), [c, h]."""
    S, R, n = tc.shape
    n &= SIZE
    dh, dc = np.zeros((R, n)), np.zeros((R, n))
    for s in range(S - 1, -1, -1):
        if G.shape[0] == S or s == S - 1:
            g = G[s] if G.shape[0] == S else G[0]
            for r in range(R):
                for i in range(n):
                    dc[r, i] += g[r, i]
                    dh[r, i] += g[r, n + i]
        for r in range(R):
            d, a = D[s, r], gates[s, r]
            if r < first[s]:
                d[:] = 0.0
                dc[r, :] = 0.0
                continue
            for i in range(n):
                t = tc[s, r, i]
                e = dc[r, i] + dh[r, i] * a[3 * n + i] * (1.0 - t * t)
                d[i] = e * a[2 * n + i] * a[i] * (1.0 - a[i])
                d[n + i] = e * C[s, r, i] * a[n + i] * (1.0 - a[n + i])
                d[2 * n + i] = e * a[i] * (1.0 - a[2 * n + i] * a[2 * n + i])
                d[3 * n + i] = dh[r, i] * t * a[3 * n + i] * (1.0 - a[3 * n + i])
                dc[r, i] = e * a[n + i]
        if cut[s]:
            dh[:] = 0.0
            dc[:] = 0.0
        else:
            np.dot(D[s], W, dh)


@kernel
def gru_adjoints(
    W: Array,
    Wn: Array,
    after: bool,
    G: Array,
    H: Array,
    gates: Array,
    inner: Array,
    first: Any,
    cut: Any,
    D: Array,
    E: Array,
) -> None:
    """Overwrite D, (S, R, 3 n), for the input terms and E, the same for the recurrent products.

    They differ in the candidate's third, and only with the reset after the product.
    """
    S, R, n = inner.shape
    dh, back = np.zeros((R, n)), np.empty((R, n))
    gate, third = np.empty((R, W.shape[0])), np.empty((R, n))
    for s in range(S - 1, -1, -1):
        if G.shape[0] == S or s == S - 1:
            g = G[s] if G.shape[0] == S else G[0]
            for r in range(R):
                for i in range(n):
                    dh[r, i] += g[r, i]
        for r in range(R):
            d, a = D[s, r], gates[s, r]
            if r < first[s]:
                d[:] = 0.0
                dh[r, :] = 0.0
                third[r, :] = 0.0
                continue
            for i in range(n):
                z, c = a[n + i], a[2 * n + i]
                d[n + i] = dh[r, i] * (H[s, r, i] - c) * z * (1.0 - z)
                d[2 * n + i] = dh[r, i] * (1.0 - z) * (1.0 - c * c)
                third[r, i] = d[2 * n + i]
        if not after:
            np.dot(third, Wn, back)
        for r in range(R):
            d, a, e = D[s, r], gates[s, r], E[s, r]
            for i in range(n):
                u = d[2 * n + i] * inner[s, r, i] if after else back[r, i] * H[s, r, i]
                d[i] = u * a[i] * (1.0 - a[i])
                e[i], e[n + i] = d[i], d[n + i]
                e[2 * n + i] = d[2 * n + i] * (a[i] if after else 1.0)
                dh[r, i] = dh[r, i] * a[n + i] + (0.0 if after else back[r, i] * a[i])
            for j in range(gate.shape[1]):
                gate[r, j] = e[j]
        if cut[s]:
            dh[:] = 0.0
        else:
            np.dot(gate, W, back)
            for r in range(R):
                for i in range(n):
                    dh[r, i] += back[r, i]
