"""Compiled loop of the sLSTM, in the coordinates of `theory.maps.exponential`.

Main name: `slstm_kernel`.
"""

from __future__ import annotations

import numpy as np

from theory.kernels.jit import SIZE, kernel
from theory.typing import Array


@kernel
def _logistic(a: float) -> float:
    z = np.exp(-abs(a))
    return float((1.0 if a >= 0.0 else z) / (1.0 + z))


@kernel
def _softplus(a: float) -> float:
    return float(max(a, 0.0) + np.log1p(np.exp(-abs(a))))


@kernel
def slstm_kernel(WT: Array, terms: Array, s0: Array, S: Array, forgets: bool) -> None:
    """Fill `S`, (T, 3 n), with the states (y, s, h); WT is W transposed, overwrites `terms`."""
    n = WT.shape[0] & SIZE
    before = s0
    for t in range(S.shape[0]):
        a = terms[t]
        for j in range(n):
            h = before[2 * n + j]
            for k in range(4 * n):
                a[k] += WT[j, k] * h
        for j in range(n):
            i, f = a[j], a[n + j]
            kept = -_softplus(-f) if forgets else f
            s = max(before[n + j], 0.0)
            # log(f nu), nothing at nu = 0: everything that was is replaced
            P = kept + (s + np.log(-np.expm1(-s))) if s > 0.0 else -np.inf
            y = _logistic(P - i) * before[j] + _logistic(i - P) * np.tanh(a[2 * n + j])
            S[t, j] = y
            S[t, n + j] = _softplus(max(P, i) + _softplus(-abs(P - i)))
            S[t, 2 * n + j] = _logistic(a[3 * n + j]) * y
        before = S[t]
