"""Loops of linear recurrences that treat every entry by itself.

Main names: `entrywise_kernel`, `complex_kernel`.
"""

from __future__ import annotations

from theory.kernels.jit import SIZE, kernel
from theory.typing import Array


@kernel
def entrywise_kernel(terms: Array, h0: Array, H: Array) -> None:
    """Overwrite H, (T, n), with the states of h <- a h + u; terms, (T, 2 n), are (a, u)."""
    T, n = H.shape
    n &= SIZE
    h = h0.copy()
    for t in range(T):
        for i in range(n):
            h[i] = terms[t, i] * h[i] + terms[t, n + i]
            H[t, i] = h[i]


@kernel
def complex_kernel(real: Array, imag: Array, h0: Array, H: Array) -> None:
    """Overwrite H, holding the input terms (T, 2 n), with the states of s <- lambda s + u.

    Numbers are pairs: H[t] is (Re u, Im u) before and (Re s, Im s) after; lambda is real + i imag.
    """
    T = H.shape[0]
    n = real.shape[0] & SIZE
    h = h0.copy()
    for t in range(T):
        for i in range(n):
            x, y = h[i], h[n + i]
            h[i] = real[i] * x - imag[i] * y + H[t, i]
            h[n + i] = imag[i] * x + real[i] * y + H[t, n + i]
            H[t, i] = h[i]
            H[t, n + i] = h[n + i]
