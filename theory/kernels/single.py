"""Steps of cells in single precision, rounded the same way for every row and on every machine.

Main names: `panels`, `lstm_rows_single`, `gru_rows_single`, `leaky_rows_single`,
`affine_rows_single`.

A library's matrix product may sum the rows of a block in different orders, so that two rows that
are equal need not stay equal.  Here every entry is one fixed chain of products and sums, without
fused operations: equal states under equal inputs have equal successors, which the sweep over
restarts relies on.  Weights come in panels of columns that stay in the cache.

tanh and the logistic function are formed as in `theory.kernels.cells`, with fewer terms: the
remainder r**8 / 8! of e**r, |r| <= ln(2) / 2, is below 2**-26.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from theory.kernels.blocks import lined
from theory.kernels.jit import SIZE, kernel

#: Columns in a panel, and rows that are advanced together.
WIDTH, ROWS = 128, 128

_ONE, _TWO, _HALF = np.float32(1.0), np.float32(2.0), np.float32(0.5)
_ZERO = np.float32(0.0)

#: ln 2 in two parts: the first has 10 bits, so that k times it is exact for k < 2**14.
_LN2_HIGH = np.float32(0.693359375)
_LN2_LOW = np.float32(math.log(2.0) - 0.693359375)
_PER_LN2 = np.float32(1.0 / math.log(2.0))
_C2, _C3, _C4, _C5, _C6, _C7 = (np.float32(1.0 / math.factorial(i)) for i in range(2, 8))

#: tanh rounds to 1 from here on, and here k <= 29; e**-y is nothing beside 1 from _LARGEST on.
_SATURATED, _LARGEST = np.float32(10.0), np.float32(40.0)


def panels(W: npt.ArrayLike, dtype: Any = np.float32) -> npt.NDArray[Any]:
    """Return W, (p, n), as panels of columns of its transpose, (count, n', width), zero-padded.

    n' is n rounded up to a multiple of 4.
    """
    given = np.asarray(W, dtype=dtype)
    p, n = given.shape
    count = -(-p // WIDTH)
    width = -(-p // (16 * count)) * 16
    padded = np.zeros((count * width, -(-n // 4) * 4), dtype=dtype)
    padded[:p, :n] = given
    return lined(padded.reshape(count, width, -1).transpose(0, 2, 1))


@kernel
def product_single(h: Any, P: Any, a: Any) -> None:
    """Overwrite `a`, (rows, p'), with W h for every row of h, (rows, n'); rows is a multiple of 4.

    P holds the panels of W, p' = count * width.
    """
    count, n, w = P.shape
    for q in range(count):
        lo = q * w
        for r in range(0, h.shape[0], 4):
            a0, a1 = a[r, lo : lo + w], a[r + 1, lo : lo + w]
            a2, a3 = a[r + 2, lo : lo + w], a[r + 3, lo : lo + w]
            for i in range(w):
                a0[i] = _ZERO
                a1[i] = _ZERO
                a2[i] = _ZERO
                a3[i] = _ZERO
            for j in range(0, n, 4):
                s, t, u, v = P[q, j], P[q, j + 1], P[q, j + 2], P[q, j + 3]
                e0, e1, e2, e3 = h[r, j], h[r + 1, j], h[r + 2, j], h[r + 3, j]
                f0, f1, f2, f3 = h[r, j + 1], h[r + 1, j + 1], h[r + 2, j + 1], h[r + 3, j + 1]
                g0, g1, g2, g3 = h[r, j + 2], h[r + 1, j + 2], h[r + 2, j + 2], h[r + 3, j + 2]
                k0, k1, k2, k3 = h[r, j + 3], h[r + 1, j + 3], h[r + 2, j + 3], h[r + 3, j + 3]
                for i in range(w):
                    x, y, z, o = s[i], t[i], u[i], v[i]
                    a0[i] = a0[i] + x * e0 + y * f0 + z * g0 + o * k0
                    a1[i] = a1[i] + x * e1 + y * f1 + z * g1 + o * k1
                    a2[i] = a2[i] + x * e2 + y * f2 + z * g2 + o * k2
                    a3[i] = a3[i] + x * e3 + y * f3 + z * g3 + o * k3


@kernel
def tanh_single(a: Any) -> None:
    """Overwrite `a`, (n,), with tanh(a); NaN stays NaN."""
    for i in range(a.shape[0]):
        x = a[i]
        y = min(_TWO * abs(x), _TWO * _SATURATED)
        k = np.floor(y * _PER_LN2 + _HALF)
        r = (y - k * _LN2_HIGH) - k * _LN2_LOW
        e = r + r * r * (_HALF + r * (_C3 + r * (_C4 + r * (_C5 + r * (_C6 + r * _C7)))))
        s = np.float32(np.int32(1) << np.int32(k))
        e = s * e + (s - _ONE)
        t = e / (e + _TWO)
        t = t if x >= _ZERO else -t
        a[i] = t if x == x else x


@kernel
def logistic_single(a: Any) -> None:
    """Overwrite `a`, (n,), with 1 / (1 + exp(-a)); NaN stays NaN."""
    for i in range(a.shape[0]):
        x = a[i]
        y = min(abs(x), _LARGEST)
        k = np.floor(y * _PER_LN2 + _HALF)
        r = (y - k * _LN2_HIGH) - k * _LN2_LOW
        e = _ONE + (r + r * r * (_C2 + r * (_C3 + r * (_C4 + r * (_C5 + r * (_C6 + r * _C7))))))
        # two shifts: k <= 58, and a 32-bit shift takes at most 30
        half = np.int32(k) >> np.int32(1)
        e = np.float32(np.int32(1) << half) * e
        e = np.float32(np.int32(1) << (np.int32(k) - half)) * e
        t = (e if x >= _ZERO else _ONE) / (e + _ONE)
        a[i] = t if x == x else x


@kernel
def activate_single(code: int, leak: Any, a: Any) -> None:
    """Overwrite `a`, (n,), with rho(a)."""
    n = a.shape[0]
    if code == 1:
        tanh_single(a)
    elif code == 2:
        for i in range(n):
            a[i] = max(a[i], _ZERO)
    elif code == 3:
        for i in range(n):
            a[i] = a[i] if a[i] >= _ZERO else leak * a[i]
    elif code == 4:
        logistic_single(a)
    elif code == 5:
        for i in range(n):
            a[i] = max(a[i], _ZERO) + np.log1p(np.exp(-abs(a[i])))
    elif code == 6:
        for i in range(n):
            a[i] = min(max(a[i], -_ONE), _ONE)
    elif code == 7:
        for i in range(n):
            a[i] = np.sin(a[i])


@kernel
def leaky_rows_single(
    P: Any, terms: Any, h: Any, kept: Any, share: Any, code: int, leak: Any, out: Any
) -> None:
    """Overwrite `out`, (rows, n), with kept h + share rho(W h + terms), entry by entry."""
    rows, n = terms.shape
    size, wide = P.shape[1], P.shape[0] * P.shape[2]
    old, a = np.zeros((ROWS, size), np.float32), np.empty((ROWS, wide), np.float32)
    for lo in range(0, rows, ROWS):
        count = min(ROWS, rows - lo)
        old[:count, :n] = h[lo : lo + count]
        full = count + 3 - (count + 3) % 4
        product_single(old[:full], P, a[:full])
        for r in range(count):
            own = a[r, :n]
            for i in range(n):
                own[i] += terms[lo + r, i]
            activate_single(code, leak, own)
            for i in range(n):
                out[lo + r, i] = kept[i] * old[r, i] + share[i] * own[i]


@kernel
def affine_rows_single(P: Any, b: Any, x: Any, out: Any) -> None:
    """Overwrite `out`, (rows, p), with A x + b for every row of x; P holds the panels of A."""
    rows, p = out.shape
    m = x.shape[1]
    given = np.zeros((ROWS, P.shape[1]), np.float32)
    a = np.empty((ROWS, P.shape[0] * P.shape[2]), np.float32)
    for lo in range(0, rows, ROWS):
        count = min(ROWS, rows - lo)
        given[:count, :m] = x[lo : lo + count]
        full = count + 3 - (count + 3) % 4
        product_single(given[:full], P, a[:full])
        for r in range(count):
            for i in range(p):
                out[lo + r, i] = a[r, i] + b[i]


@kernel
def lstm_rows_single(P: Any, terms: Any, s: Any, out: Any) -> None:
    """Overwrite `out`, (rows, 2 n), with the states (c, h) after one step from `s`."""
    rows, p = terms.shape
    n = p // 4 & SIZE
    size, wide = P.shape[1], P.shape[0] * P.shape[2]
    old, a = np.zeros((ROWS, size), np.float32), np.empty((ROWS, wide), np.float32)
    for lo in range(0, rows, ROWS):
        count = min(ROWS, rows - lo)
        old[:count, :n] = s[lo : lo + count, n:]
        full = count + 3 - (count + 3) % 4
        product_single(old[:full], P, a[:full])
        for r in range(count):
            own, c, h = a[r], out[lo + r, :n], out[lo + r, n:]
            for i in range(p):
                own[i] += terms[lo + r, i]
            logistic_single(own[: 2 * n])
            tanh_single(own[2 * n : 3 * n])
            logistic_single(own[3 * n : p])
            for i in range(n):
                c[i] = own[n + i] * s[lo + r, i] + own[i] * own[2 * n + i]
                h[i] = c[i]
            tanh_single(h)
            for i in range(n):
                h[i] *= own[3 * n + i]


@kernel
def gru_rows_single(P: Any, Q: Any, bias: Any, terms: Any, h: Any, out: Any, after: bool) -> None:
    """Overwrite `out`, (rows, n), with the states after one step of a gated recurrent unit.

    P holds the panels of the gates r, z, Q those of the candidate; `after` says where the reset
    gate acts.
    """
    rows, n = h.shape
    n &= SIZE
    size = P.shape[1]
    old, a = (
        np.zeros((ROWS, size), np.float32),
        np.empty((ROWS, P.shape[0] * P.shape[2]), np.float32),
    )
    inner, v = (
        np.zeros((ROWS, size), np.float32),
        np.empty((ROWS, Q.shape[0] * Q.shape[2]), np.float32),
    )
    for lo in range(0, rows, ROWS):
        count = min(ROWS, rows - lo)
        full = count + 3 - (count + 3) % 4
        old[:count, :n] = h[lo : lo + count]
        product_single(old[:full], P, a[:full])
        for r in range(count):
            own = a[r, : 2 * n]
            for i in range(2 * n):
                own[i] += terms[lo + r, i]
            logistic_single(own)
            for i in range(n):
                inner[r, i] = old[r, i] if after else own[i] * old[r, i]
        product_single(inner[:full], Q, v[:full])
        for r in range(count):
            candidate = v[r, :n]
            for i in range(n):
                reset = a[r, i] * (candidate[i] + bias[i]) if after else candidate[i]
                candidate[i] = terms[lo + r, 2 * n + i] + reset
            tanh_single(candidate)
            for i in range(n):
                z = a[r, n + i]
                out[lo + r, i] = (_ONE - z) * candidate[i] + z * old[r, i]
