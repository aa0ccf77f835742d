"""Compiled loops of cells: steps, windows, whole sequences, and the gaps of all truncation lengths.

Main names: `run_kernel`, `leaky_kernel`, `lstm_kernel`, `gru_kernel`, `gap_kernel`,
`restart_kernel`, `affine_windows`, `lstm_windows`, `gru_windows`, `product`, `activate`,
`tanh_in_place`, `logistic_in_place`.

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
def _gap(kind: int, scale: Array, h: Array, g: Array) -> float:
    """Return the size of h - g; for the kinds see `gap_kernel`."""
    n = h.shape[0]
    gap = 0.0
    if kind == 0:
        for i in range(n):
            d = abs(h[i] - g[i]) / scale[i]
            gap = gap if d <= gap or gap != gap else d  # a NaN stays, whatever follows it
    elif kind == 1:
        for i in range(n):
            gap += abs(h[i] - g[i]) * scale[i]
    else:
        for i in range(n):
            gap += (h[i] - g[i]) * (h[i] - g[i])
        if _SMALL_SQUARE < gap < _LARGE_SQUARE:
            gap = np.sqrt(gap)
        else:
            # squares underflow or overflow: again, relative to the largest entry
            largest = 0.0
            for i in range(n):
                d = abs(h[i] - g[i])
                largest = largest if d <= largest or largest != largest else d
            gap = 0.0
            if largest > 0.0:
                for i in range(n):
                    d = (h[i] - g[i]) / largest
                    gap += d * d
                gap = largest * np.sqrt(gap)
            elif largest != largest:
                gap = largest
    return gap


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
        row[t] = _gap(kind, scale, H[t], G[t])


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
        rest[t] = _gap(kind, scale, H[t], F[t])
    for k in range(K):
        errors[k] = 0.0
    for s in range(T):
        if last and T - 1 - s >= K:
            continue
        for i in range(n):
            g[i] = 0.0
        met = False
        for k in range(min(K, T - s)):
            t = s + k
            if k > 0 and not met:
                for i in range(n):
                    a[i] = terms[t, i]
                add_product(WT, g, a)
                activate(code, leak, a)
                met = True
                for i in range(n):
                    g[i] = a[i]
                    met = met and a[i] == F[t, i]
            if last and t < T - 1:
                continue
            gap = rest[t] if met else _gap(kind, scale, H[t], g)
            # a NaN stays
            errors[k] = errors[k] if gap <= errors[k] or errors[k] != errors[k] else gap
