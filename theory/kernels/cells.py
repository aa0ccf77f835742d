"""Compiled loops of cells: steps, windows, whole sequences, and the gaps of all truncation lengths.

Main names: `run_kernel`, `leaky_kernel`, `lstm_kernel`, `gru_kernel`, `gap_kernel`,
`restart_kernel`, `affine_restarts`, `lstm_restarts`, `gru_restarts`, `affine_rows`, `gap_rows`,
`gaps_at`, `follow_rows`, `affine_windows`, `lstm_windows`, `gru_windows`, `product`, `activate`,
`tanh_in_place`, `logistic_in_place`.

They are together because Numba's cache watches only the file of the kernel that it keeps: a change
in another file, of a function that the kernel calls, would go unseen.

The scalar tanh and exp of the C library cost 10 to 20 ns an entry, because a call stops the
compiler from vectorising the loop.  Those here are straight-line code:

    e**y = 2**k e**r,   k = round(y / ln 2),   |r| <= ln(2) / 2,
    e**r - 1 = r + r**2 p(r),

where p, of degree 10, is (e**r - 1 - r) / r**2 at eleven Chebyshev nodes; the remainder is below
u / 200 of e**r - 1.  It is summed in parts side by side, as a chain of ten products waits for each
of them.  Then e**y - 1 = 2**k (e**r - 1) + (2**k - 1) without cancellation, and
tanh(x) = E / (E + 2) with E = e**(2|x|) - 1.  Measured against 200-bit arithmetic, the error is
below 3.1 u.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from theory.kernels.blocks import LINE
from theory.kernels.jit import SIZE, fma, kernel
from theory.typing import Array

#: ln 2 in two parts: the first has trailing zeros, so that k times it is exact for k < 2**20.
_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10
_PER_LN2 = 1.0 / math.log(2.0)
_P0, _P1, _P2, _P3, _P4, _P5, _P6, _P7, _P8, _P9, _P10 = (
    0.5,
    0.1666666666666667,
    0.04166666666666667,
    0.008333333333326136,
    0.0013888888888883748,
    0.00019841269874820627,
    2.4801587325547743e-05,
    2.7557255400206422e-06,
    2.75572736431103e-07,
    2.5105217004720745e-08,
    2.0914686968086876e-09,
)

#: tanh rounds to 1 from here on, as 1 - tanh(x) < 2 e**(-2 x) < u / 2; and here k <= 58.
_SATURATED = 20.0

#: Up to here e**y is formed by an integer shift, k <= 62.
_LARGEST = 42.0

#: Rows that are advanced together from where they lie.
_BLOCK = 32

#: Between these a sum of squares has lost nothing to underflow or overflow that would show.
_SMALL_SQUARE, _LARGE_SQUARE = 2.0**-900, 2.0**900


@kernel
def _exp_parts(y: float) -> tuple[float, float]:
    """Return e**r - 1 and 2**k of y = k ln 2 + r, 0 <= y <= 42."""
    k = np.floor(fma(y, _PER_LN2, 0.5))
    r = fma(-k, _LN2_LOW, fma(-k, _LN2_HIGH, y))
    r2 = r * r
    r4 = r2 * r2
    p = fma(r2, fma(r, _P3, _P2), fma(r, _P1, _P0))
    q = fma(r2, fma(r, _P7, _P6), fma(r, _P5, _P4))
    s = fma(r2, _P10, fma(r, _P9, _P8))
    p = fma(r4, fma(r4, s, q), p)
    return fma(r2, p, r), np.float64(np.int64(1) << np.int64(k))


@kernel
def _tanh(x: float) -> float:
    """Return tanh(x); NaN stays NaN."""
    e, s = _exp_parts(2.0 * min(abs(x), _SATURATED))
    e = fma(s, e, s - 1.0)
    t = e / (e + 2.0)
    t = t if x >= 0.0 else -t
    return t if x == x else x


@kernel
def _logistic(x: float) -> float:
    """Return 1 / (1 + exp(-x)), |x| <= 42; NaN stays NaN."""
    e, s = _exp_parts(min(abs(x), _LARGEST))
    e = fma(s, e, s)
    t = (e if x >= 0.0 else 1.0) / (e + 1.0)
    return t if x == x else x


@kernel
def tanh_in_place(a: Array) -> None:
    """Overwrite `a`, (n,), with tanh(a); NaN stays NaN."""
    for i in range(a.shape[0]):
        a[i] = _tanh(a[i])


@kernel
def logistic_in_place(a: Array) -> None:
    """Overwrite `a`, (n,), with 1 / (1 + exp(-a)); NaN stays NaN."""
    # counted, because a sum of integers vectorises and a maximum of doubles does not
    far = 0
    for i in range(a.shape[0]):
        far += not abs(a[i]) <= _LARGEST
    if far > 0:
        for i in range(a.shape[0]):
            z = np.exp(-abs(a[i]))
            a[i] = (1.0 if a[i] >= 0.0 else z) / (1.0 + z)
        return
    for i in range(a.shape[0]):
        a[i] = _logistic(a[i])


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
def add_product(WT: Array, h: Array, a: Array) -> None:
    """Add W h to `a`, (p,); WT is W transposed, (n, p)."""
    n, p = WT.shape
    # column by column: the inner loop is elementwise, so it vectorises without reordering sums;
    # four columns at a time, because loading and storing `a` takes as long as the products
    for j in range(0, n - 3, 4):
        h0, h1, h2, h3 = h[j], h[j + 1], h[j + 2], h[j + 3]
        for i in range(p):
            a[i] = a[i] + WT[j, i] * h0 + WT[j + 1, i] * h1 + WT[j + 2, i] * h2 + WT[j + 3, i] * h3
    for j in range(n - n % 4, n):
        hj = h[j]
        for i in range(p):
            a[i] += WT[j, i] * hj


@kernel
def product(WT: Array, h: Array, a: Array, small: bool) -> None:
    """Overwrite `a`, (p,), with W h; WT is W transposed, (n, p)."""
    if small:
        for i in range(a.shape[0]):
            a[i] = 0.0
        add_product(WT, h, a)
    else:
        np.dot(WT.T, h, a)


@kernel
def run_kernel(WT: Array, H: Array, h0: Array, code: int, leak: float, small: bool) -> None:
    """Overwrite H, holding the input terms (T, n), with the states; WT is W transposed."""
    T, n = H.shape
    h = h0.copy()
    a = np.empty(n)
    for t in range(T):
        product(WT, h, a, small)
        for i in range(n):
            a[i] += H[t, i]
        activate(code, leak, a)
        for i in range(n):
            h[i] = a[i]
            H[t, i] = a[i]


@kernel
def activate_with_slope(code: int, leak: float, a: Array, s: Array) -> None:
    """Overwrite `a`, (n,), with rho(a) and `s`, (n,), with rho'(a), right derivatives at kinks."""
    n = a.shape[0]
    if code == 2:
        for i in range(n):
            s[i] = 1.0 if a[i] >= 0.0 else 0.0
    elif code == 3:
        for i in range(n):
            s[i] = 1.0 if a[i] >= 0.0 else leak
    elif code == 5:
        for i in range(n):
            s[i] = a[i]
        logistic_in_place(s)
    elif code == 6:
        for i in range(n):
            s[i] = 1.0 if -1.0 <= a[i] < 1.0 else 0.0
    elif code == 7:
        for i in range(n):
            s[i] = np.cos(a[i])
    activate(code, leak, a)
    if code == 0:
        for i in range(n):
            s[i] = 1.0
    elif code == 1:
        for i in range(n):
            s[i] = 1.0 - a[i] * a[i]
    elif code == 4:
        for i in range(n):
            s[i] = a[i] * (1.0 - a[i])


# The loops of reverse mode work on windows: R runs side by side, S steps each.  At step s the rows
# before first[s] have not begun and keep their start; row first[s] + i takes the input terms of row
# source[s] + i.  So the recurrent model is one window a sequence, and the k-step model one window
# of k steps a time, without a copy of the inputs.


@kernel
def affine_windows(
    WT: Array,
    terms: Array,
    first: Any,
    source: Any,
    code: int,
    leak: float,
    H: Array,
    slope: Array,
) -> None:
    """Overwrite H[1:], H being (S + 1, R, n), with states from H[0], and slope, (S, R, n)."""
    S, R, n = slope.shape
    for s in range(S):
        f = first[s]
        for r in range(f):
            for i in range(n):
                H[s + 1, r, i] = H[s, r, i]
                slope[s, r, i] = 0.0
        a = H[s + 1, f:]
        np.dot(H[s, f:], WT, a)
        o = source[s]
        for r in range(R - f):
            for i in range(n):
                a[r, i] += terms[o + r, i]
        activate_with_slope(code, leak, a.reshape((R - f) * n), slope[s, f:].reshape((R - f) * n))


@kernel
def lstm_windows(
    WT: Array, terms: Array, first: Any, source: Any, H: Array, C: Array, gates: Array, tc: Array
) -> None:
    """Overwrite H[1:] and C[1:], both (S + 1, R, n), gates, (S, R, 4 n), and tc = tanh(C[1:])."""
    S, R, n = tc.shape
    n &= SIZE
    for s in range(S):
        f = first[s]
        for r in range(f):
            for i in range(n):
                H[s + 1, r, i] = H[s, r, i]
                C[s + 1, r, i] = C[s, r, i]
                tc[s, r, i] = 0.0
                for q in range(4):
                    gates[s, r, q * n + i] = 0.0
        np.dot(H[s, f:], WT, gates[s, f:])
        o = source[s] - f
        for r in range(f, R):
            a = gates[s, r]
            for i in range(4 * n):
                a[i] += terms[o + r, i]
            logistic_in_place(a[: 2 * n])
            tanh_in_place(a[2 * n : 3 * n])
            logistic_in_place(a[3 * n :])
            for i in range(n):
                c = a[n + i] * C[s, r, i] + a[i] * a[2 * n + i]
                C[s + 1, r, i] = c
                tc[s, r, i] = c
            tanh_in_place(tc[s, r])
            for i in range(n):
                H[s + 1, r, i] = a[3 * n + i] * tc[s, r, i]


@kernel
def gru_windows(
    WT: Array,
    WnT: Array,
    bc: Array,
    after: bool,
    terms: Array,
    first: Any,
    source: Any,
    H: Array,
    gates: Array,
    inner: Array,
) -> None:
    """Overwrite H[1:], (S + 1, R, n), gates r, z, n, (S, R, 3 n), and inner, (S, R, n).

    With the reset after the product, inner is W_n h + bc and WT is (n, 3 n); with the reset before
    it, inner is r h, WT is (n, 2 n) and WnT is (n, n).
    """
    S, R, n = inner.shape
    n &= SIZE
    width = WT.shape[1]
    product, candidate = np.empty((R, width)), np.empty((R, n))
    for s in range(S):
        f = first[s]
        for r in range(f):
            for i in range(n):
                H[s + 1, r, i] = H[s, r, i]
                inner[s, r, i] = 0.0
                for q in range(3):
                    gates[s, r, q * n + i] = 0.0
        np.dot(H[s, f:], WT, product[f:])
        o = source[s] - f
        for r in range(f, R):
            a = gates[s, r]
            for i in range(2 * n):
                a[i] = product[r, i] + terms[o + r, i]
            logistic_in_place(a[: 2 * n])
            for i in range(n):
                if after:
                    inner[s, r, i] = product[r, 2 * n + i] + bc[i]
                else:
                    inner[s, r, i] = a[i] * H[s, r, i]
        if not after:
            np.dot(inner[s, f:], WnT, candidate[f:])
        for r in range(f, R):
            a = gates[s, r]
            for i in range(n):
                u = a[i] * inner[s, r, i] if after else candidate[r, i]
                a[2 * n + i] = u + terms[o + r, 2 * n + i]
            tanh_in_place(a[2 * n :])
            for i in range(n):
                z = a[n + i]
                H[s + 1, r, i] = (1.0 - z) * a[2 * n + i] + z * H[s, r, i]


@kernel
def leaky_kernel(
    WT: Array, H: Array, h0: Array, share: Array, code: int, leak: float, small: bool
) -> None:
    """Overwrite H, holding the input terms (T, n), with the states of a leaky cell.

    WT is W transposed; share, (n,), is the part of the state that is replaced in a step.
    """
    T, n = H.shape
    h = h0.copy()
    a = np.empty(n)
    for t in range(T):
        product(WT, h, a, small)
        for i in range(n):
            a[i] += H[t, i]
        activate(code, leak, a)
        for i in range(n):
            h[i] = (1.0 - share[i]) * h[i] + share[i] * a[i]
            H[t, i] = h[i]


@kernel
def lstm_gates(a: Array, c: Array, h: Array) -> None:
    """Overwrite the state c, h, (n,), from `a`, (4 n,), the pre-activations of i, f, g, o."""
    n = c.shape[0] & SIZE
    logistic_in_place(a[: 2 * n])
    tanh_in_place(a[2 * n : 3 * n])
    logistic_in_place(a[3 * n :])
    for i in range(n):
        c[i] = a[n + i] * c[i] + a[i] * a[2 * n + i]
        h[i] = c[i]
    tanh_in_place(h)
    for i in range(n):
        h[i] *= a[3 * n + i]


@kernel
def lstm_rows(a: Array, terms: Array, at: Any, old: Array, new: Array) -> None:
    """Overwrite new, (rows, 2 n), with the states (c, h) that follow old.

    `a`, (rows, 4 n), holds the products W h, and is overwritten; row r takes the input terms,
    (4 n,), of place at[r].
    """
    R, n = new.shape[0], new.shape[1] // 2 & SIZE
    for r in range(R):
        far, t = 0, at[r]
        for i in range(4 * n):
            x = a[r, i] + terms[t, i]
            a[r, i] = x
            far += not abs(x) <= _LARGEST
        if far > 0:
            for i in range(n):
                new[r, i] = old[r, i]
            lstm_gates(a[r], new[r, :n], new[r, n:])
            continue
        for i in range(n):
            kept = _logistic(a[r, n + i]) * old[r, i]
            new[r, i] = kept + _logistic(a[r, i]) * _tanh(a[r, 2 * n + i])
        for i in range(n):
            new[r, n + i] = _logistic(a[r, 3 * n + i]) * _tanh(new[r, i])


@kernel
def product_rows(h: Array, P: Array, a: Array) -> None:
    """Overwrite `a`, (rows, p'), with W h for every row of h, (rows, n'); rows is a multiple of 4.

    P holds the panels of W, see `theory.kernels.single`.  Every entry is one chain of fused sums,
    the same in every row, unlike that of a library.
    """
    count, n, w = P.shape
    for q in range(count):
        lo = q * w
        for r in range(0, h.shape[0], 4):
            a0, a1 = a[r, lo : lo + w], a[r + 1, lo : lo + w]
            a2, a3 = a[r + 2, lo : lo + w], a[r + 3, lo : lo + w]
            for i in range(w):
                a0[i] = 0.0
                a1[i] = 0.0
                a2[i] = 0.0
                a3[i] = 0.0
            for j in range(0, n, 4):
                s, t, u, v = P[q, j], P[q, j + 1], P[q, j + 2], P[q, j + 3]
                e0, e1, e2, e3 = h[r, j], h[r + 1, j], h[r + 2, j], h[r + 3, j]
                f0, f1, f2, f3 = h[r, j + 1], h[r + 1, j + 1], h[r + 2, j + 1], h[r + 3, j + 1]
                g0, g1, g2, g3 = h[r, j + 2], h[r + 1, j + 2], h[r + 2, j + 2], h[r + 3, j + 2]
                k0, k1, k2, k3 = h[r, j + 3], h[r + 1, j + 3], h[r + 2, j + 3], h[r + 3, j + 3]
                for i in range(w):
                    x, y, z, o = s[i], t[i], u[i], v[i]
                    a0[i] = fma(o, k0, fma(z, g0, fma(y, f0, fma(x, e0, a0[i]))))
                    a1[i] = fma(o, k1, fma(z, g1, fma(y, f1, fma(x, e1, a1[i]))))
                    a2[i] = fma(o, k2, fma(z, g2, fma(y, f2, fma(x, e2, a2[i]))))
                    a3[i] = fma(o, k3, fma(z, g3, fma(y, f3, fma(x, e3, a3[i]))))


@kernel
def _lined(rows: int, width: int) -> Array:
    """Return an array, (rows, width), that begins at a cache line.

    Elsewhere every other vector lies across two lines, and a product takes up to twice as long.
    """
    flat = np.empty(rows * width + LINE)
    first = -(flat.ctypes.data // 8) % LINE
    return flat[first : first + rows * width].reshape(rows, width)


@kernel
def affine_restarts(
    P: Array, terms: Array, at: Any, old: Array, source: Any, code: int, leak: float, new: Array
) -> None:
    """Overwrite new, (rows, n), with the states that follow rows `source` of old.

    For the rest see `lstm_restarts`.
    """
    n = old.shape[1]
    h, a = np.zeros((_BLOCK, P.shape[1])), _lined(_BLOCK, P.shape[0] * P.shape[2])
    for lo in range(0, len(at), _BLOCK):
        count = min(_BLOCK, len(at) - lo)
        for r in range(count):
            s = source[lo + r]
            for i in range(n):
                h[r, i] = old[s, i]
        full = count + 3 - (count + 3) % 4
        product_rows(h[:full], P, a[:full])
        for r in range(count):
            own, out = terms[at[lo + r]], new[lo + r]
            if code == 1:
                for i in range(n):
                    out[i] = _tanh(a[r, i] + own[i])
            else:
                for i in range(n):
                    out[i] = a[r, i] + own[i]
                activate(code, leak, out)


@kernel
def lstm_restarts(P: Array, terms: Array, at: Any, old: Array, source: Any, new: Array) -> None:
    """Overwrite new, (rows, 2 n), with the states (c, h) that follow rows `source` of old.

    Row r takes the input terms, (4 n,), of place at[r]; P holds the panels of W.  A row of old is
    read before any later row of new is written: with source[r] >= r both may be one array.
    """
    n = old.shape[1] // 2 & SIZE
    h, c = np.zeros((_BLOCK, P.shape[1])), np.empty((_BLOCK, n))
    a = _lined(_BLOCK, P.shape[0] * P.shape[2])
    for lo in range(0, len(at), _BLOCK):
        count = min(_BLOCK, len(at) - lo)
        for r in range(count):
            s = source[lo + r]
            for i in range(n):
                c[r, i] = old[s, i]
            for i in range(n):
                h[r, i] = old[s, n + i]
        full = count + 3 - (count + 3) % 4
        product_rows(h[:full], P, a[:full])
        lstm_rows(a[:count], terms, at[lo : lo + count], c, new[lo : lo + count])


@kernel
def gru_restarts(
    P: Array,
    Q: Array,
    bias: Array,
    terms: Array,
    at: Any,
    old: Array,
    source: Any,
    after: bool,
    new: Array,
) -> None:
    """Overwrite new, (rows, n), with the states that follow rows `source` of old.

    With the reset after the product, P holds the panels of W, and Q is not read; with the reset
    before it, P holds those of the gates r, z, and Q those of the candidate.  For the rest see
    `lstm_restarts`.
    """
    n = old.shape[1] & SIZE
    h, v = np.zeros((_BLOCK, P.shape[1])), np.zeros((_BLOCK, P.shape[1]))
    a = _lined(_BLOCK, P.shape[0] * P.shape[2])
    u = _lined(_BLOCK, 0 if after else Q.shape[0] * Q.shape[2])
    for lo in range(0, len(at), _BLOCK):
        count = min(_BLOCK, len(at) - lo)
        for r in range(count):
            s = source[lo + r]
            for i in range(n):
                h[r, i] = old[s, i]
        full = count + 3 - (count + 3) % 4
        product_rows(h[:full], P, a[:full])
        for r in range(count):
            own, gates = terms[at[lo + r]], a[r, : 2 * n]
            for i in range(2 * n):
                gates[i] += own[i]
            logistic_in_place(gates)
            if not after:
                for i in range(n):
                    v[r, i] = gates[i] * h[r, i]
        if not after:
            product_rows(v[:full], Q, u[:full])
        for r in range(count):
            own, out = terms[at[lo + r]], new[lo + r]
            for i in range(n):
                reset = a[r, i] * (a[r, 2 * n + i] + bias[i]) if after else u[r, i]
                z = a[r, n + i]
                out[i] = (1.0 - z) * _tanh(own[2 * n + i] + reset) + z * h[r, i]


@kernel
def lstm_kernel(WT: Array, terms: Array, s0: Array, S: Array, small: bool) -> None:
    """Overwrite S, (T, 2 n), with the states (c, h) of a long short-term memory cell.

    WT, (n, 4 n), is W transposed; terms, (T, 4 n), are the input terms; s0 is the start.
    """
    T, p = terms.shape
    n = WT.shape[0] & SIZE
    c, h = s0[:n].copy(), s0[n:].copy()
    a = np.empty(p)
    for t in range(T):
        product(WT, h, a, small)
        for i in range(p):
            a[i] += terms[t, i]
        lstm_gates(a, c, h)
        for i in range(n):
            S[t, i] = c[i]
            S[t, n + i] = h[i]


@kernel
def lstm_batch_kernel(WT: Array, terms: Array, c: Array, h: Array, S: Array, first: int) -> None:
    """Overwrite the states c, h, (batch, n), and S, (batch, T, 2 n), from time `first` on.

    terms, (steps, batch, 4 n), are the input terms of these steps; WT is W transposed.
    """
    steps, batch, p = terms.shape
    n = c.shape[1] & SIZE
    a = np.empty((batch, p))
    for t in range(steps):
        np.dot(h, WT, a)
        for b in range(batch):
            for i in range(p):
                a[b, i] += terms[t, b, i]
            lstm_gates(a[b], c[b], h[b])
            for i in range(n):
                S[b, first + t, i] = c[b, i]
                S[b, first + t, n + i] = h[b, i]


@kernel
def gru_kernel(
    GT: Array, NT: Array, bias: Array, terms: Array, h0: Array, H: Array, after: bool, small: bool
) -> None:
    """Overwrite H, (T, n), with the states of a gated recurrent unit.

    GT, (n, 2 n), and NT, (n, n), are the weights of the gates r, z and of the candidate,
    transposed; terms, (T, 3 n), are the input terms; `after` says where the reset gate acts.
    """
    T, n = H.shape
    n &= SIZE
    h = h0.copy()
    a, v, candidate = np.empty(2 * n), np.empty(n), np.empty(n)
    for t in range(T):
        product(GT, h, a, small)
        for i in range(2 * n):
            a[i] += terms[t, i]
        logistic_in_place(a)
        for i in range(n):
            v[i] = h[i] if after else a[i] * h[i]
        product(NT, v, candidate, small)
        for i in range(n):
            reset = a[i] * (candidate[i] + bias[i]) if after else candidate[i]
            candidate[i] = terms[t, 2 * n + i] + reset
        tanh_in_place(candidate)
        for i in range(n):
            h[i] = (1.0 - a[n + i]) * candidate[i] + a[n + i] * h[i]
            H[t, i] = h[i]


@kernel
def gru_batch_kernel(
    GT: Array, NT: Array, bias: Array, terms: Array, h: Array, H: Array, after: bool, first: int
) -> None:
    """Overwrite the states h, (batch, n), and H, (batch, T, n), from time `first` on.

    terms, (steps, batch, 3 n), are the input terms of these steps; for the rest see `gru_kernel`.
    """
    steps, batch, _ = terms.shape
    n = h.shape[1] & SIZE
    a, v, candidates = np.empty((batch, 2 * n)), np.empty((batch, n)), np.empty((batch, n))
    for t in range(steps):
        np.dot(h, GT, a)
        for b in range(batch):
            for i in range(2 * n):
                a[b, i] += terms[t, b, i]
            logistic_in_place(a[b])
            for i in range(n):
                v[b, i] = h[b, i] if after else a[b, i] * h[b, i]
        np.dot(v, NT, candidates)
        for b in range(batch):
            candidate = candidates[b]
            for i in range(n):
                reset = a[b, i] * (candidate[i] + bias[i]) if after else candidate[i]
                candidate[i] = terms[t, b, 2 * n + i] + reset
            tanh_in_place(candidate)
            for i in range(n):
                h[b, i] = (1.0 - a[b, n + i]) * candidate[i] + a[b, n + i] * h[b, i]
                H[b, first + t, i] = h[b, i]


@kernel
def affine_rows(a: Array, terms: Array, code: int, leak: float) -> None:
    """Overwrite `a`, (rows, n), products W h, with rho(a + terms)."""
    R, n = a.shape
    if code == 1:
        for r in range(R):
            for i in range(n):
                a[r, i] = _tanh(a[r, i] + terms[r, i])
        return
    for r in range(R):
        for i in range(n):
            a[r, i] += terms[r, i]
        activate(code, leak, a[r])


@kernel
def _length(h: Array, g: Array) -> float:
    """Return |h - g| relative to the largest entry, where squares underflow or overflow."""
    n = h.shape[0]
    largest = 0.0
    for i in range(n):
        d = abs(h[i] - g[i])
        largest = largest if d <= largest or largest != largest else d
    gap = 0.0
    if largest > 0.0:
        for i in range(n):
            d = (h[i] - g[i]) / largest
            gap += d * d
        largest *= np.sqrt(gap)
    return largest


# Terms are folded, one half on the other: a single chain of sums would wait for each of them.


@kernel
def _sum(d: Array) -> float:
    """Return the sum of `d`, (n,), which is overwritten."""
    n = d.shape[0]
    while n > 8:
        half = (n + 1) // 2
        for i in range(n - half):
            d[i] += d[half + i]
        n = half
    total = 0.0
    for i in range(n):
        total += d[i]
    return total


@kernel
def _largest(d: Array) -> float:
    """Return the largest of `d`, (n,), none negative, or a NaN of them; `d` is overwritten."""
    n = d.shape[0]
    while n > 8:
        half = (n + 1) // 2
        for i in range(n - half):
            d[i] = d[i] if d[half + i] <= d[i] or d[i] != d[i] else d[half + i]
        n = half
    top = 0.0
    for i in range(n):
        top = top if d[i] <= top or top != top else d[i]
    return top


@kernel
def gap_rows(G: Array, H: Array, kind: int, scale: Array, row: Array) -> None:
    """Overwrite row, (rows,), with the sizes of H - G, (rows, n).

    Kind 1 is the sum of |d| scale, 2 the Euclidean norm, 0 the maximum of |d| / scale.
    """
    R, n = G.shape
    d = np.empty(n)
    for r in range(R):
        if kind == 0:
            for i in range(n):
                d[i] = abs(H[r, i] - G[r, i]) / scale[i]
            row[r] = _largest(d)
        elif kind == 1:
            for i in range(n):
                d[i] = abs(H[r, i] - G[r, i]) * scale[i]
            row[r] = _sum(d)
        else:
            for i in range(n):
                d[i] = (H[r, i] - G[r, i]) * (H[r, i] - G[r, i])
            square = _sum(d)
            if _SMALL_SQUARE < square < _LARGE_SQUARE:
                row[r] = np.sqrt(square)
            else:
                row[r] = _length(H[r], G[r])


@kernel
def _squares(G: Array, r: int, H: Array, t: int, first: int, n: int) -> float:
    """Return the sum of n squares of H[t] - G[r]; eight chains, as one would wait for each sum."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    last = first + n - n % 8
    for i in range(first, last, 8):
        s0 += (H[t, i] - G[r, i]) * (H[t, i] - G[r, i])
        s1 += (H[t, i + 1] - G[r, i + 1]) * (H[t, i + 1] - G[r, i + 1])
        s2 += (H[t, i + 2] - G[r, i + 2]) * (H[t, i + 2] - G[r, i + 2])
        s3 += (H[t, i + 3] - G[r, i + 3]) * (H[t, i + 3] - G[r, i + 3])
        s4 += (H[t, i + 4] - G[r, i + 4]) * (H[t, i + 4] - G[r, i + 4])
        s5 += (H[t, i + 5] - G[r, i + 5]) * (H[t, i + 5] - G[r, i + 5])
        s6 += (H[t, i + 6] - G[r, i + 6]) * (H[t, i + 6] - G[r, i + 6])
        s7 += (H[t, i + 7] - G[r, i + 7]) * (H[t, i + 7] - G[r, i + 7])
    for i in range(last, first + n):
        s0 += (H[t, i] - G[r, i]) * (H[t, i] - G[r, i])
    return ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))


@kernel
def gaps_at(G: Array, H: Array, at: Any, first: int, kind: int, scale: Array, row: Array) -> None:
    """Overwrite row, (rows,), with the sizes of entries `first` on of H[at[r]] - G[r].

    As many entries as `scale` has; for the kinds see `gap_rows`.
    """
    n = scale.shape[0]
    for r in range(len(at)):
        square = _squares(G, r, H, at[r], first, n) if kind == 2 else 0.0
        if _SMALL_SQUARE < square < _LARGE_SQUARE:
            row[r] = np.sqrt(square)
        else:
            g, h = G[r : r + 1, first : first + n], H[at[r] : at[r] + 1, first : first + n]
            gap_rows(g, h, kind, scale, row[r : r + 1])


@kernel
def follow_rows(
    G: Array,
    at: Any,
    source: Any,
    k: int,
    H: Array,
    F: Array,
    of: Any,
    stops: Any,
    near: Array,
    top: Array,
    digits: float,
    first: int,
    kind: int,
    scale: Array,
    last: bool,
    eps: float,
    row: Array,
    since: Any,
) -> tuple[int, int, int]:
    """Measure restarts after k inputs; return how many go on, have met the model, are off by eps.

    Rows of G are at the places `at`, which is overwritten with the next places of those that go on,
    and `source` with their rows.  Raises row, one entry a sequence, to the gaps to H, and sets
    `since` to k where those began that are as near to F as `theory.measure.restarts` tells.
    """
    n, rows = G.shape[1], len(at)
    gaps = np.empty(rows)
    gaps_at(G, H, at, first, kind, scale, gaps)
    going = met = off = 0
    for r in range(rows):
        t, gap = at[r], gaps[r]
        i = of[t]
        ends = t + 1 == stops[i]
        off += not gap <= eps
        if ends or not last:
            # a NaN stays
            row[i] = row[i] if gap <= row[i] or row[i] != row[i] else gap
        apart = k == 0
        for j in range(n):
            if apart:
                break
            f, d = F[t, j], abs(G[r, j] - F[t, j])
            apart = not (d <= near[j] and d <= top[t] and d <= digits * abs(f))
        if not apart:
            met += 1
            since[t - k] = k
        elif not ends:
            source[going] = r
            at[going] = t + 1
            going += 1
    return going, met, off


@kernel
def gap_kernel(
    WT: Array,
    terms: Array,
    H: Array,
    G: Array,
    code: int,
    leak: float,
    kind: int,
    scale: Array,
    k: int,
    row: Array,
) -> None:
    """Advance G, (T, n), from k - 1 to k steps and overwrite row, (T,), with the gaps.

    WT is W transposed; for the kinds see `gap_rows`.
    """
    T, n = H.shape
    a = np.empty(n)
    for t in range(min(k, T)):
        row[t] = 0.0  # so early both models are the same
    # from the last time down, so that row t - 1 still holds the states of k - 1
    if k > 0:
        for t in range(T - 1, k - 1, -1):
            for i in range(n):
                a[i] = terms[t, i]
            add_product(WT, G[t - 1], a)
            activate(code, leak, a)
            for i in range(n):
                G[t, i] = a[i]
    gap_rows(G[k:], H[k:], kind, scale, row[k:])


@kernel
def restart_kernel(
    WT: Array,
    terms: Array,
    H: Array,
    h0: Array,
    code: int,
    leak: float,
    kind: int,
    scale: Array,
    last: bool,
    errors: Array,
) -> None:
    """Overwrite errors, (k_max + 1,), with the largest gaps of all k, or those at the last time.

    Restarts from zero are followed one by one, rounded as in `gap_kernel`, until they meet the
    model in the same arithmetic, bit for bit; for the rest see there.
    """
    T, n = H.shape
    K = errors.shape[0]
    F, rest, a, g = np.empty((T, n)), np.empty(T), np.empty(n), h0.copy()
    for t in range(T):
        for i in range(n):
            a[i] = terms[t, i]
        add_product(WT, g, a)
        activate(code, leak, a)
        for i in range(n):
            g[i] = a[i]
            F[t, i] = a[i]
    gap_rows(F, H, kind, scale, rest)
    for k in range(K):
        errors[k] = 0.0
    G, gaps = np.empty((min(K, T), n)), np.empty(min(K, T))
    for s in range(T):
        if last and T - 1 - s >= K:
            continue
        count = min(K, T - s)
        for i in range(n):
            G[0, i] = 0.0
        apart = 1  # how many inputs until it has met the model, and so many states
        while apart < count:
            for i in range(n):
                a[i] = terms[s + apart, i]
            add_product(WT, G[apart - 1], a)
            activate(code, leak, a)
            met = True
            for i in range(n):
                G[apart, i] = a[i]
                met = met and a[i] == F[s + apart, i]
            if met:
                break
            apart += 1
        gap_rows(G[:apart], H[s : s + apart], kind, scale, gaps[:apart])
        for k in range(T - 1 - s if last else 0, count):
            gap = gaps[k] if k < apart else rest[s + k]
            # a NaN stays
            errors[k] = errors[k] if gap <= errors[k] or errors[k] != errors[k] else gap
