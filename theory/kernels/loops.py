r"""All compiled loops, in one file.

Main names: `run_kernel`, `leaky_kernel`, `lstm_kernel`, `gru_kernel`, `entrywise_kernel`,
`complex_kernel`, `gap_kernel`, `affine_windows`, `lstm_windows`, `gru_windows` with their
`..._adjoints`, `product`, `activate`, `tanh_in_place`, `logistic_in_place`, `sum_excess`,
`row_sum_kernel`, `row_limits_kernel`, `stable_pair_kernel`.

They are together because Numba's cache watches only the file of the kernel that it keeps: a change
in another file, of a function that the kernel calls, would go unseen.

The scalar tanh and exp of the C library cost 10 to 20 ns an entry, because a call stops the
compiler from vectorising the loop.  Those here are straight-line code:

    e**y = 2**k e**r,   k = round(y / ln 2),   |r| <= ln(2) / 2,
    e**r - 1 = r + r**2 (1/2! + r/3! + ... + r**12/14!),   remainder < r u / 50.

Then e**y - 1 = 2**k (e**r - 1) + (2**k - 1) without cancellation, and tanh(x) = E / (E + 2) with
E = e**(2|x|) - 1.  Measured against 200-bit arithmetic, the error is below 3.1 u.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from theory.kernels.jit import kernel
from theory.typing import Array

#: ln 2 in two parts: the first has trailing zeros, so that k times it is exact for k < 2**20.
_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10
_PER_LN2 = 1.0 / math.log(2.0)
_C2, _C3, _C4, _C5, _C6, _C7, _C8, _C9, _C10, _C11, _C12, _C13, _C14 = (
    1.0 / math.factorial(i) for i in range(2, 15)
)

#: tanh rounds to 1 from here on, as 1 - tanh(x) < 2 e**(-2 x) < u / 2; and here k <= 58.
_SATURATED = 20.0

#: Up to here e**y is formed by an integer shift, k <= 62.
_LARGEST = 42.0


#: u and eta of `theory.rounding`.
_UNIT, _TINY = 2.0**-53, 2.0**-1074

#: The unit roundoff of single precision.
_SINGLE = 2.0**-24

#: Splits a number into two halves of 26 digits.
_SPLIT = 2.0**27 + 1.0

#: So many double-precision numbers fill a cache line.
_BLOCK = 8

#: Between these a sum of squares has lost nothing to underflow or overflow that would show.
_SMALL_SQUARE, _LARGE_SQUARE = 2.0**-900, 2.0**900


@kernel
def tanh_in_place(a: Array) -> None:
    """Overwrite `a`, (n,), with tanh(a); NaN stays NaN."""
    for i in range(a.shape[0]):
        x = a[i]
        y = 2.0 * min(abs(x), _SATURATED)
        k = np.floor(y * _PER_LN2 + 0.5)
        r = (y - k * _LN2_HIGH) - k * _LN2_LOW
        p = _C13 + r * _C14
        p = _C11 + r * (_C12 + r * p)
        p = _C9 + r * (_C10 + r * p)
        p = _C7 + r * (_C8 + r * p)
        p = _C5 + r * (_C6 + r * p)
        p = _C3 + r * (_C4 + r * p)
        e = r + r * r * (_C2 + r * p)
        s = np.float64(np.int64(1) << np.int64(k))
        e = s * e + (s - 1.0)
        t = e / (e + 2.0)
        t = t if x >= 0.0 else -t
        a[i] = t if x == x else x


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
        x = a[i]
        y = min(abs(x), _LARGEST)
        k = np.floor(y * _PER_LN2 + 0.5)
        r = (y - k * _LN2_HIGH) - k * _LN2_LOW
        p = _C13 + r * _C14
        p = _C11 + r * (_C12 + r * p)
        p = _C9 + r * (_C10 + r * p)
        p = _C7 + r * (_C8 + r * p)
        p = _C5 + r * (_C6 + r * p)
        p = _C3 + r * (_C4 + r * p)
        e = 1.0 + (r + r * r * (_C2 + r * p))
        e = np.float64(np.int64(1) << np.int64(k)) * e
        t = (e if x >= 0.0 else 1.0) / (e + 1.0)
        a[i] = t if x == x else x


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
def lstm_windows(
    WT: Array, terms: Array, first: Any, source: Any, H: Array, C: Array, gates: Array, tc: Array
) -> None:
    """Overwrite H[1:] and C[1:], both (S + 1, R, n), gates, (S, R, 4 n), and tc = tanh(C[1:])."""
    S, R, n = tc.shape
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
def lstm_adjoints(
    W: Array, G: Array, C: Array, gates: Array, tc: Array, first: Any, cut: Any, D: Array
) -> None:
    """Overwrite D, (S, R, 4 n), as `affine_adjoints` does; G is (S or 1, R, 2 n), [c, h]."""
    S, R, n = tc.shape
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
    n = c.shape[0]
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
def lstm_rows(a: Array, c: Array, h: Array) -> None:
    """Overwrite the states c, h, (rows, n), from `a`, (rows, 4 n); see `lstm_gates`."""
    for r in range(a.shape[0]):
        lstm_gates(a[r], c[r], h[r])


@kernel
def lstm_kernel(WT: Array, terms: Array, s0: Array, S: Array, small: bool) -> None:
    """Overwrite S, (T, 2 n), with the states (c, h) of a long short-term memory cell.

    WT, (n, 4 n), is W transposed; terms, (T, 4 n), are the input terms; s0 is the start.
    """
    T, p = terms.shape
    n = WT.shape[0]
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
    n = c.shape[1]
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
    n = h.shape[1]
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
def entrywise_kernel(terms: Array, h0: Array, H: Array) -> None:
    """Overwrite H, (T, n), with the states of h <- a h + u; terms, (T, 2 n), are (a, u)."""
    T, n = H.shape
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
    n = real.shape[0]
    h = h0.copy()
    for t in range(T):
        for i in range(n):
            x, y = h[i], h[n + i]
            h[i] = real[i] * x - imag[i] * y + H[t, i]
            h[n + i] = imag[i] * x + real[i] * y + H[t, n + i]
            H[t, i] = h[i]
            H[t, n + i] = h[n + i]


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

    WT is W transposed; kind 1 is the sum of |d| scale, 2 the Euclidean norm, 0 the maximum of
    |d| / scale.
    """
    T, n = H.shape
    a = np.empty(n)
    for t in range(min(k, T)):
        row[t] = 0.0  # so early both models are the same
    # from the last time down, so that row t - 1 still holds the states of k - 1
    for t in range(T - 1, k - 1, -1):
        if k > 0:
            for i in range(n):
                a[i] = terms[t, i]
            add_product(WT, G[t - 1], a)
            activate(code, leak, a)
            for i in range(n):
                G[t, i] = a[i]
        gap = 0.0
        if kind == 0:
            for i in range(n):
                d = abs(H[t, i] - G[t, i]) / scale[i]
                gap = gap if d <= gap or gap != gap else d  # a NaN stays, whatever follows it
        elif kind == 1:
            for i in range(n):
                gap += abs(H[t, i] - G[t, i]) * scale[i]
        else:
            for i in range(n):
                gap += (H[t, i] - G[t, i]) * (H[t, i] - G[t, i])
            if _SMALL_SQUARE < gap < _LARGE_SQUARE:
                gap = np.sqrt(gap)
            else:
                # squares underflow or overflow: again, relative to the largest entry
                largest = 0.0
                for i in range(n):
                    d = abs(H[t, i] - G[t, i])
                    largest = largest if d <= largest or largest != largest else d
                gap = 0.0
                if largest > 0.0:
                    for i in range(n):
                        d = (H[t, i] - G[t, i]) / largest
                        gap += d * d
                    gap = largest * np.sqrt(gap)
                elif largest != largest:
                    gap = largest
        row[t] = gap


@kernel
def push_jacobian(form: int, W: Array, J: Array, S: Array, t: int, v: Array, out: Array) -> None:
    """Overwrite `out`, (n,), with J_t v; the forms are those of `theory.kernels.rates`."""
    if form == 0:
        np.dot(J[t], v, out)
        return
    q = W.shape[1]
    gates = W.shape[0] // q
    if form == 1:
        a = np.dot(W, v)
        for i in range(q):
            out[i] = S[t, 0, i] * v[i]
        for g in range(gates):
            for i in range(q):
                out[i] += S[t, 1 + g, i] * a[g * q + i]
        return
    a = np.dot(W, v[q:])
    for i in range(q):
        dc = S[t, 0, i] * v[i] + S[t, 1, i] * a[i]
        dc += S[t, 2, i] * a[q + i] + S[t, 3, i] * a[2 * q + i]
        out[i] = dc
        out[q + i] = S[t, 5, i] * dc + S[t, 4, i] * a[3 * q + i]


@kernel
def pull_jacobian(form: int, W: Array, J: Array, S: Array, t: int, u: Array, out: Array) -> None:
    """Overwrite `out`, (n,), with the transposed J_t times u."""
    if form == 0:
        np.dot(J[t].T, u, out)
        return
    q = W.shape[1]
    gates = W.shape[0] // q
    a = np.empty(gates * q)
    if form == 1:
        for g in range(gates):
            for i in range(q):
                a[g * q + i] = S[t, 1 + g, i] * u[i]
        np.dot(W.T, a, out)
        for i in range(q):
            out[i] += S[t, 0, i] * u[i]
        return
    for i in range(q):
        dc = u[i] + S[t, 5, i] * u[q + i]
        out[i] = S[t, 0, i] * dc
        a[i] = S[t, 1, i] * dc
        a[q + i] = S[t, 2, i] * dc
        a[2 * q + i] = S[t, 3, i] * dc
        a[3 * q + i] = S[t, 4, i] * u[q + i]
    out[q:] = np.dot(W.T, a)


@kernel
def _orthogonal_to(Q: Array, k: int, w: Array) -> float:
    """Subtract from w its part along the first k rows of Q, in place, and return its length."""
    along = np.dot(Q[:k], w)
    w -= np.dot(Q[:k].T, along)
    return float(np.sqrt(np.dot(w, w)))


@kernel
def product_norm_kernel(
    form: int,
    W: Array,
    J: Array,
    S: Array,
    r: int,
    stride: int,
    left: Array,
    right: Array,
    weighted: bool,
    start: Array,
    tol: float,
    logs: Array,
) -> int:
    """Overwrite `logs` with ln ||left J_{t+r-1} .. J_t right|| for t = 0, stride, ..; count steps.

    Golub-Kahan-Lanczos bidiagonalisation with full reorthogonalisation: every value is a Ritz
    value, hence a lower one up to rounding, and the search ends when its residual is at most tol
    times the value.  Every factor is scaled by a power of two, so that products neither overflow
    nor vanish.
    """
    n = start.shape[0]
    V, P = np.empty((n + 1, n)), np.empty((n, n))
    scale = np.ones(r)
    x, y = np.empty(n), np.empty(n)
    alpha, beta = np.zeros(n), np.zeros(n)
    guess = start.copy()
    steps = 0
    for window in range(logs.shape[0]):
        t = window * stride
        # the first product: finds the scales
        exponent = 0
        V[0] = guess / np.sqrt(np.dot(guess, guess))
        x[:] = np.dot(right, V[0]) if weighted else V[0]
        zero = False
        for j in range(r):
            push_jacobian(form, W, J, S, t + j, x, y)
            largest = 0.0
            for i in range(n):
                d = abs(y[i])
                largest = largest if d <= largest else d  # keeps a NaN
            if not 0.0 < largest < np.inf:
                zero = largest == 0.0
                break
            e = min(max(math.frexp(largest)[1], -1000), 1000)
            scale[j] = math.ldexp(1.0, -e)
            exponent += e
            for i in range(n):
                x[i] = y[i] * scale[j]
        if not 0.0 < largest < np.inf:
            # a vector with a part in every direction is mapped to nothing: so is every other
            logs[window] = -np.inf if zero else np.nan
            guess[:] = start
            continue
        P[0] = np.dot(left, x) if weighted else x
        alpha[0] = np.sqrt(np.dot(P[0], P[0]))
        P[0] /= alpha[0]
        sigma, k = alpha[0], 1
        best = V[0].copy()
        while True:
            steps += 1
            # w = A^T p_k - alpha_k v_k, orthogonal to all earlier v
            x[:] = np.dot(left.T, P[k - 1]) if weighted else P[k - 1]
            for j in range(r - 1, -1, -1):
                pull_jacobian(form, W, J, S, t + j, x, y)
                for i in range(n):
                    x[i] = y[i] * scale[j]
            w = np.dot(right.T, x) if weighted else x.copy()
            for i in range(n):
                w[i] -= alpha[k - 1] * V[k - 1, i]
            rest = _orthogonal_to(V, k, w)
            if k % 3 == 0 or k == n or rest <= tol * sigma:
                B = np.zeros((k, k))
                for i in range(k):
                    B[i, i] = alpha[i]
                    if i + 1 < k:
                        B[i, i + 1] = beta[i]
                p, s, vt = np.linalg.svd(B)
                sigma = s[0]
                # A^T (P p) - sigma (V v) = rest p_k v_{k+1}
                if k == n or rest * abs(p[k - 1, 0]) <= tol * sigma or rest <= tol * tol * sigma:
                    best = np.dot(V[:k].T, np.ascontiguousarray(vt[0]))
                    break
            beta[k - 1] = rest
            V[k] = w / rest
            x[:] = np.dot(right, V[k]) if weighted else V[k]
            for j in range(r):
                push_jacobian(form, W, J, S, t + j, x, y)
                for i in range(n):
                    x[i] = y[i] * scale[j]
            z = np.dot(left, x) if weighted else x.copy()
            for i in range(n):
                z[i] -= rest * P[k - 1, i]
            alpha[k] = _orthogonal_to(P, k, z)
            if alpha[k] > 0.0:
                P[k] = z / alpha[k]
            else:
                P[k] = 0.0
            k += 1
        logs[window] = np.log(sigma) + exponent * math.log(2.0)
        # the next product is mostly the same one step later; the start keeps every direction in
        x[:] = np.dot(right, best) if weighted else best
        push_jacobian(form, W, J, S, t, x, y)
        length = np.sqrt(np.dot(y, y))
        guess[:] = start
        if 0.0 < length < np.inf:
            for i in range(n):
                guess[i] += 3.0 * y[i] / length
    return steps


@kernel
def sum_excess(a: Array, v: Array, plain: bool, limit: float) -> float:
    """Return a number >= sum v_j a_j - limit, whose sign decides; a, v >= 0; plain means v = 1.

    Two-sums: with s = fl(s + x) and its exact error e at every step, the sum is s + sum e, where
    |e| <= u s, and the n errors are added with an error below n u sum |e|, which is nothing where
    no sum was rounded.  A product v a is rounded once, which adds u s; if it underflows, eta.
    """
    n = a.shape[0]
    s, c, size = 0.0, 0.0, 0.0
    for j in range(n):
        x = a[j] if plain else a[j] * v[j]
        t = s + x
        z = t - s
        e = (s - (t - z)) + (x - z)
        c += e
        size += abs(e)
        s = t
    slack = 2.0 * (n + 2.0) * _UNIT * size
    if not plain:
        slack += 2.0 * _UNIT * s + (n + 1.0) * _TINY
    # s - limit is exact when the two are within a factor 2, and else far larger than c + slack; the
    # last sum has the sign of the exact one
    excess: float = (s - limit) + (c + slack)
    return excess


@kernel
def _towards_zero(t: float, single: bool) -> float:
    """Return t >= 0 as it can be stored, and not more; single precision loses at most 2 units."""
    if not single:
        return t
    # below t by a unit, and then rounded by at most one, except where numbers underflow
    y = float(np.float32(t * (1.0 - _SINGLE)))
    return y if y <= t else float(np.nextafter(np.float32(t), np.float32(0.0)))


@kernel
def _product(a: float, b: float) -> tuple[float, float]:
    """Return the rounded product and its error, by the exact products of halves (Dekker)."""
    p = a * b
    c, d = _SPLIT * a, _SPLIT * b
    high, top = c - (c - a), d - (d - b)
    low, rest = a - high, b - top
    return p, low * rest - (((p - high * top) - low * top) - high * rest)


@kernel
def _crossed(a: float, v: float, b: float, w: float) -> float:
    """Return a w - b v with a small relative error, whatever cancels."""
    p, e = _product(a, w)
    q, f = _product(b, v)
    return (p - q) + (e - f)


@kernel
def _weighted_rest(a: Array, v: Array, limit: float) -> float:
    r"""Overwrite a with d_j = a_j - t v_j >= 0 where that stays, else -inf; return t - tau >= 0.

    t is the smallest a_j / v_j above tau.  In the order of a_j / v_j the sum of v_j (a_j - s v_j)
    over the entries above s grows from one of them to the next by the gap times the sum of their
    v_j^2: nothing but sums of numbers >= 0, so that all digits of d_j and tau are right.
    """
    # Michelot's steps from the left stay below tau, whichever entries they leave out
    candidates, t, count = np.arange(a.shape[0]), 0.0, 0
    while count < len(candidates):
        count, total, weight = len(candidates), 0.0, 0.0
        for j in candidates:
            total += v[j] * a[j]
            weight += v[j] * v[j]
        t = max(t, (total * (1.0 - 4.0 * (count + 4.0) * _UNIT) - limit) / weight)
        kept = 0
        for j in candidates:
            candidates[kept] = j
            kept += a[j] > t * v[j] * (1.0 - 4.0 * (count + 4.0) * _UNIT)
        candidates, count = candidates[:kept], kept if kept == count else 0
    n = len(candidates)
    order = candidates[np.argsort(-a[candidates] / v[candidates])]
    for last in range(1, n):  # quotients that rounding has put into the wrong order
        for k in range(last, 0, -1):
            i, j = order[k - 1], order[k]
            if not _crossed(a[i], v[i], a[j], v[j]) < 0.0:
                break
            order[k - 1], order[k] = j, i
    if n == 0:  # zeros, and a limit of 0
        a[:] = -np.inf
        return 0.0
    first = order[0]
    total, weight, count = 0.0, v[first] * v[first], 1
    part: float = 0.0
    gaps = np.zeros(n)
    while True:
        part = (limit - total) / weight
        if count == n:
            break
        i, j = order[count - 1], order[count]
        gap = _crossed(a[i], v[i], a[j], v[j]) / v[i] / v[j]
        if gap >= part:
            break
        gaps[count - 1] = gap
        total += gap * weight
        weight += v[j] * v[j]
        count += 1
    a[:] = -np.inf
    t = 0.0
    for k in range(count - 1, -1, -1):
        t += gaps[k]
        a[order[k]] = t * v[order[k]]
    return part


@kernel
def row_sum_kernel(W: Array, v: Array, limits: Array, plain: bool, out: Array) -> int:
    """Overwrite out, (m, n), with the nearest points of sum_j v_j |y_ij| <= limits_i to rows of W.

    Returns how many rows moved.  Rows that are provably inside are copied; the others end provably
    inside, also as single precision numbers.  `out` may be W.  The point is y_j = max(|x_j| - tau
    v_j, 0), and tau is found by Newton steps on the convex function sum v_j y_j(tau) - limit, from
    the left: each drops the entries that became zero (Michelot, Journal of Optimization Theory and
    Applications 50, 1986).
    """
    m, n = W.shape
    x, a, y = np.empty(n), np.empty(n), np.empty(n)
    kept, scale = np.empty(n), np.empty(n)
    single = out.itemsize < 8
    unit = _SINGLE if single else _UNIT
    moved = 0
    for i in range(m):
        limit = limits[i]
        for j in range(n):
            x[j] = W[i, j]
            a[j] = abs(x[j])
        if sum_excess(a, v, plain, limit) <= 0.0:
            for j in range(n):
                out[i, j] = W[i, j]
            continue
        moved += 1
        # y_j = max(d_j + part v_j, 0), d_j = |x_j| - shift v_j, part = shift - tau: no digits are
        # lost where the entries are far larger than the limit
        if plain:
            shift = 0.0
            for j in range(n):
                shift = max(shift, a[j])
            total = 0.0
            for j in range(n):
                a[j] -= shift
                kept[j], scale[j] = a[j], 1.0
                total += a[j]
            part = (limit - total) / n
        else:
            part = _weighted_rest(a, v, limit)
            for j in range(n):
                kept[j], scale[j] = a[j], v[j]
        count = n
        while True:
            # entries that stay positive move to the front, without a branch
            total, weight, after = 0.0, 0.0, 0
            for j in range(count):
                b, w = kept[j], scale[j]
                above = b + part * w > 0.0
                kept[after], scale[after] = b, w
                after += above
                total += w * b if above else 0.0
                weight += w * w if above else 0.0
            if after == 0 or after == count:
                break
            count = after
            part = min(part, (limit - total) / weight)
        # the sum of what is stored decides; corrections both ways, then only inwards
        chosen, nudge, over = part, 0.0, 1.0
        for attempt in range(60):
            for j in range(after):
                y[j] = _towards_zero(max(kept[j] + part * scale[j], 0.0), single)
            over = sum_excess(y[:after], scale, plain, limit)
            if over <= 0.0 and (weight == 0.0 or attempt > 0 or over >= -32.0 * unit * limit):
                break
            if attempt == 0 and weight > 0.0:
                part -= over / weight
                part -= 4.0 * _UNIT * abs(part)
            else:
                nudge = max(2.0 * nudge, 2.0 * _UNIT * abs(part), _TINY)
                part -= nudge + (max(over / weight, 0.0) if weight > 0.0 else 0.0)
        if not over <= 0.0:
            chosen = -np.inf
        for j in range(n):  # the entries of that sum, and no other
            t = max(a[j] + part * v[j], 0.0) if a[j] + chosen * v[j] > 0.0 else 0.0
            out[i, j] = np.copysign(_towards_zero(min(t, abs(x[j])), single), x[j])
    return moved


@kernel
def column_sum_kernel(W: Array, v: Array, limits: Array, plain: bool, out: Array) -> int:
    """Do to the columns of W what `row_sum_kernel` does to rows, a few at a time.

    So many columns are copied that whole cache lines are read and written.
    """
    m, n = W.shape
    block = np.empty((_BLOCK, m), out.dtype)
    moved = 0
    for first in range(0, n, _BLOCK):
        count = min(_BLOCK, n - first)
        for i in range(m):
            for k in range(count):
                block[k, i] = W[i, first + k]
        part = block[:count]
        moved += row_sum_kernel(part, v, limits[first : first + count], plain, part)
        for i in range(m):
            for k in range(count):
                out[i, first + k] = block[k, i]
    return moved


@kernel
def _hyperbola(a: float, b: float) -> tuple[float, float]:
    """Return the nearest point (x, y) of x**2 - y**2 = 1, x > 0, to (a, b), a, b >= 0.

    x = a / (1 + m), y = b / (1 - m) with a**2 / (1 + m)**2 - b**2 / (1 - m)**2 - 1 = 0, which
    falls from inf to -inf in -1 < m < 1; with b = 0 it may stay positive, and then m = 1.
    """
    low, high = -1.0, 1.0
    for _ in range(80):
        m = 0.5 * (low + high)
        if m <= low or m >= high:  # neighbours: there is no number between
            break
        p, q = a / (1.0 + m), b / (1.0 - m)
        if p * p - q * q > 1.0:
            low = m
        else:
            high = m
    if low == -1.0:  # a = 0 to rounding: m = -1, and x is free
        y = 0.5 * b
        return np.sqrt(1.0 + y * y), y
    x = a / (1.0 + low)
    # y from the equation: both sides of b / (1 - m) may be tiny
    return max(x, 1.0), np.sqrt(max(x * x - 1.0, 0.0))


@kernel
def stable_pair_kernel(M: Array, radius: float, out: Array) -> None:
    r"""Overwrite out, (k, 2, 2), with the nearest matrices of eigenvalues of modulus <= radius.

    In units of the radius and with the coordinates p = (a + d) / 2, q = (c - b) / 2 and
    s = |((a - d) / 2, (b + c) / 2)| of ((a, b), (c, d)), whose squares add up to half that of the
    Frobenius norm, the trace is 2 p and the determinant p**2 + q**2 - s**2, so that stability is

        p**2 + q**2 - s**2 <= 1,   s**2 - q**2 <= (1 - |p|)**2,   |p| <= 1.

    Signs of p and q and the direction of s do not matter, so all are taken >= 0.  The nearest point
    is on the surface of determinant 1, on the cone s**2 = q**2 + (1 - p)**2 of an eigenvalue 1, on
    their intersection p = 1, s = q (twice the eigenvalue 1) or on that of the cones of 1 and -1,
    p = 0, s**2 = 1 + q**2.
    """
    for k in range(M.shape[0]):
        p0 = (0.5 * M[k, 0, 0] + 0.5 * M[k, 1, 1]) / radius
        q0 = (0.5 * M[k, 1, 0] - 0.5 * M[k, 0, 1]) / radius
        u = (0.5 * M[k, 0, 0] - 0.5 * M[k, 1, 1]) / radius
        v = (0.5 * M[k, 0, 1] + 0.5 * M[k, 1, 0]) / radius
        s0 = np.hypot(u, v)
        p, q, s = abs(p0), abs(q0), s0
        determinant = p * p + q * q - s * s
        t = np.hypot(q, 1.0 - p)
        # what is not inside the cones as rounded here has a candidate on them below
        if p <= 1.0 and determinant <= 1.0 and s <= t:
            for i in range(2):
                for j in range(2):
                    out[k, i, j] = M[k, i, j]
            continue
        # twice the eigenvalue 1; always a member
        bp, bq, bs = 1.0, 0.5 * (s + q), 0.5 * (s + q)
        best = (p - bp) ** 2 + (q - bq) ** 2 + (s - bs) ** 2
        # eigenvalues 1 and -1
        y, x = _hyperbola(s, q)
        distance = p * p + (q - x) ** 2 + (s - y) ** 2
        if distance < best:
            bp, bq, bs, best = 0.0, x, y, distance
        if determinant > 1.0:
            r = np.hypot(p, q)
            x, y = _hyperbola(r, s)
            distance = (r - x) ** 2 + (s - y) ** 2
            if distance < best and p * x <= r * (1.0 + 1e-13):
                bp, bq, bs, best = p * x / r, q * x / r, y, distance
        if s > t and p <= 1.0 and t > 0.0:
            half = 0.5 * (s + t)
            distance = 0.5 * (s - t) ** 2
            top = 1.0 - (1.0 - p) * half / t
            if distance < best and top >= -1e-13:
                bp, bq, bs, best = top, q * half / t, half, distance
        p = np.copysign(bp, p0) * radius
        q = np.copysign(bq, q0) * radius
        if s0 > 0.0:
            u, v = u * (bs / s0) * radius, v * (bs / s0) * radius
        else:
            u, v = bs * radius, 0.0
        out[k, 0, 0], out[k, 1, 1] = p + u, p - u
        out[k, 0, 1], out[k, 1, 0] = v - q, v + q


@kernel
def _dot(a: Array, b: Array, c: Array) -> float:
    """Return sum a_j b_j c_j, in four parts that do not wait for each other."""
    n = a.shape[0]
    s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
    for i in range(n // 4):
        j = 4 * i  # so the compiler knows that no index is negative
        s0 += a[j] * b[j] * c[j]
        s1 += a[j + 1] * b[j + 1] * c[j + 1]
        s2 += a[j + 2] * b[j + 2] * c[j + 2]
        s3 += a[j + 3] * b[j + 3] * c[j + 3]
    for j in range(n - n % 4, n):
        s0 += a[j] * b[j] * c[j]
    return (s0 + s1) + (s2 + s3)


@kernel
def _model_step(J: Array, g: Array, tau: Array, d: Array) -> None:
    """Overwrite d with a step of large g d - d J d / 2 under tau + d >= 0.

    One number at a time, which only ascends; then those that stay positive together, by Gaussian
    elimination, as far as they stay so, if that is better.  Where inequalities share their only
    entry, J is singular, and a part of its diagonal is added.
    """
    count = len(g)
    A, e = J.copy(), g.copy()
    d[:] = 0.0
    for _ in range(20):
        for k in range(count):
            rest = g[k]
            for r in range(count):
                rest -= J[k, r] * d[r]
            d[k] = max(d[k] + rest / J[k, k], -tau[k]) if J[k, k] > 0.0 else -tau[k]
    for k in range(count):
        A[k, k] *= 1.0 + 2.0**-48
        if not tau[k] + d[k] > 0.0:  # stays at zero
            for r in range(count):
                e[r] -= J[r, k] * d[k]
                A[k, r] = 0.0
                A[r, k] = 0.0
            A[k, k] = 1.0
    for k in range(count):
        if not tau[k] + d[k] > 0.0:
            e[k] = d[k]
        for i in range(k + 1, count):
            part = A[i, k] / A[k, k]
            for r in range(k, count):
                A[i, r] -= part * A[k, r]
            e[i] -= part * e[k]
    share = 1.0
    for k in range(count - 1, -1, -1):
        for r in range(k + 1, count):
            e[k] -= A[k, r] * e[r]
        e[k] /= A[k, k]
        if tau[k] + e[k] < 0.0:
            share = min(share, -tau[k] / e[k])
    gain, other = 0.0, 0.0
    for k in range(count):
        gain += d[k] * g[k]
        other += share * e[k] * g[k]
        for r in range(count):
            gain -= 0.5 * d[k] * J[k, r] * d[r]
            other -= 0.5 * share * e[k] * J[k, r] * share * e[r]
    if other > gain or (share == 1.0 and other >= gain * (1.0 - 1e-9)):
        for k in range(count):
            d[k] = share * e[k]


@kernel
def _thresholds(
    starts: npt.NDArray[np.int64], factors: Array, v: Array, tau: Array, t: Array
) -> None:
    """Overwrite t with sum_k tau_k a_kj."""  # fmt: skip
    for j in range(t.shape[0]):
        t[j] = 0.0
    for k in range(tau.shape[0]):
        for g in range(factors.shape[1]):
            f = tau[k] * factors[k, g]
            if f != 0.0:
                for j in range(starts[g], starts[g + 1]):
                    t[j] += f * v[k, j]


@kernel
def _newton_ascent(
    x: Array,
    starts: npt.NDArray[np.int64],
    factors: Array,
    v: Array,
    limits: Array,
    signed: Array,
    tau: Array,
    t: Array,
) -> bool:
    """Add Newton steps on all multipliers together to tau, and overwrite t.

    The dual, sum_j (x_j^2 - y_j^2) / 2 - sum_k tau_k limit_k, is concave and piecewise quadratic.
    A step that goes too far is cut to about where the derivative along it is zero.  Returns whether
    the last step moved nothing but digits that rounding has already taken.
    """  # fmt: skip
    count, groups = limits.shape[0], factors.shape[1]
    J, g, d, before = np.empty((count, count)), np.empty(count), np.empty(count), tau.copy()
    y, above, lengths = np.empty_like(x), np.empty_like(x), np.empty(count)
    size = 0.0
    for j in range(x.shape[0]):
        size += x[j] * x[j]
    slope, at_low, low, high, share, done = 0.0, 0.0, 0.0, 1.0, 1.0, False
    d[:] = 0.0
    for _ in range(100):
        _thresholds(starts, factors, v, tau, t)
        if done:
            return True
        J[:] = 0.0
        for k in range(count):
            g[k] = 0.0 if limits[k] == np.inf else -limits[k]
        for i in range(groups):
            first, end = starts[i], starts[i + 1]
            for j in range(first, end):
                y[j] = x[j] - t[j] if signed[i] != 0.0 else abs(x[j]) - t[j]
                above[j] = 1.0 if signed[i] != 0.0 or y[j] > 0.0 else 0.0
            for k in range(count):
                f = factors[k, i]
                if f == 0.0 or limits[k] == np.inf:
                    continue
                g[k] += f * _dot(v[k, first:end], y[first:end], above[first:end])
                for r in range(k + 1):
                    h = factors[r, i]
                    if h != 0.0 and limits[r] != np.inf:
                        J[k, r] += f * h * _dot(v[k, first:end], v[r, first:end], above[first:end])
        # the derivative along the step, which it is to bring down to a tenth
        after = 0.0
        for k in range(count):
            after += g[k] * d[k]
        beyond = after < -0.1 * slope
        if (beyond or (share < 1.0 and after > 0.1 * slope)) and high - low > 2.0**-20 * high:
            if beyond:
                high = share
                part = at_low / (at_low - after)
            else:
                low, at_low, part = share, after, 0.5
            share = low + (high - low) * min(max(part, 0.05), 0.5)
            for k in range(count):
                tau[k] = max(before[k] + share * d[k], 0.0)
            continue
        for k in range(count):
            before[k] = tau[k]
            if limits[k] != np.inf and not g[k] <= 0.0 and not J[k, k] > 0.0:
                return False  # no rows obey the inequality
            lengths[k] = J[k, k]
            for r in range(k):
                J[r, k] = J[k, r]
        _model_step(J, g, tau, d)
        moved, reach, slope = 0.0, math.sqrt(size), 0.0
        for k in range(count):
            slope += g[k] * d[k]
            if d[k] != 0.0:
                moved += abs(d[k]) * math.sqrt(lengths[k]) if lengths[k] > 0.0 else np.inf
            reach += tau[k] * math.sqrt(lengths[k])
            tau[k] = max(tau[k] + d[k], 0.0)
        at_low, low, high, share = slope, 0.0, 1.0, 1.0
        done = moved <= 8.0 * _UNIT * reach
    return False


@kernel
def _row_limits(
    x: Array,
    starts: npt.NDArray[np.int64],
    factors: Array,
    v: Array,
    limits: Array,
    signed: Array,
    tau: Array,
    t: Array,
) -> int:
    """Overwrite tau, (K,), with the multipliers of one row, and t, (n,), with sum_k tau_k a_kj.

    Newton steps on all multipliers, and then cyclic ascent of the dual until nothing moves: each
    multiplier in turn solves its own constraint, by Newton steps on a convex, decreasing, piecewise
    linear function (from the right a step lands on the left, from where they are monotone).
    Returns the number of sweeps, 0 if Newton steps ended it.
    """  # fmt: skip
    count, groups = limits.shape[0], factors.shape[1]
    for k in range(count):
        tau[k] = 0.0
    if _newton_ascent(x, starts, factors, v, limits, signed, tau, t):
        return 0
    for sweep in range(500):
        change = 0.0
        for k in range(count):
            limit = limits[k]
            if limit == np.inf:
                continue
            before = tau[k]
            for _ in range(100):
                total, weight, size = 0.0, 0.0, abs(limit)
                for g in range(groups):
                    f = factors[k, g]
                    if f == 0.0:
                        continue
                    if signed[g] != 0.0:
                        for j in range(starts[g], starts[g + 1]):
                            a = f * v[k, j]
                            total += a * (x[j] - t[j])
                            weight += a * a
                            size += a * (abs(x[j]) + t[j])
                    else:
                        for j in range(starts[g], starts[g + 1]):
                            a = f * v[k, j]
                            y = abs(x[j]) - t[j]
                            total += a * y if y > 0.0 else 0.0
                            weight += a * a if y > 0.0 else 0.0
                            size += a * t[j] if y > 0.0 else 0.0
                over = total - limit
                if over <= 0.0 and tau[k] == 0.0:
                    break
                if weight == 0.0:
                    if over > 0.0:  # no rows obey the inequality
                        break
                    new = 0.0  # all entries are zero already: again, from the left
                else:
                    new = max(tau[k] + over / weight, 0.0)
                step = new - tau[k]
                tau[k] = new
                for g in range(groups):
                    f = factors[k, g]
                    if f != 0.0:
                        for j in range(starts[g], starts[g + 1]):
                            t[j] += step * f * v[k, j]
                if abs(over) <= 8.0 * _UNIT * (size + abs(total)):
                    break
            change = max(change, abs(tau[k] - before) - 1e-13 * abs(tau[k]))
        if change <= 0.0:
            return sweep + 1
    return 500


@kernel
def row_limits_kernel(
    X: Array,
    starts: npt.NDArray[np.int64],
    factors: Array,
    v: Array,
    limits: Array,
    signed: Array,
    out: Array,
    multipliers: Array,
) -> int:
    """Overwrite out, (m, n), with the nearest rows under several weighted sums each.

    The columns are in groups, group g from starts[g] to starts[g + 1], and row i is to obey, for
    all k, sum_j a_kj |y_j| <= limits[i, k] with a_kj = factors[i, k, g] v[k, j]; in groups marked
    as signed y_j stands for itself.  Overwrites multipliers, (m, K); returns the sweeps of the rows
    in which Newton steps did not end.  y_j is |x_j| - t_j where positive, else 0 (signed:
    x_j - t_j), t = sum_k tau_k a_k.
    """  # fmt: skip
    m, n = X.shape
    t = np.empty(n)
    total = 0
    for i in range(m):
        x = X[i]
        total += _row_limits(x, starts, factors[i], v, limits[i], signed, multipliers[i], t)
        for g in range(signed.shape[0]):
            for j in range(starts[g], starts[g + 1]):
                if signed[g] != 0.0:
                    out[i, j] = x[j] - t[j]
                else:
                    out[i, j] = np.copysign(max(abs(x[j]) - t[j], 0.0), x[j])
    return total
