r"""Hyperbolic tangent and logistic function in loops that vectorise.

Main names: `tanh_in_place`, `logistic_in_place`.

The scalar functions of the C library cost 10 to 20 ns an entry, because a call stops the compiler
from vectorising the loop.  These are straight-line code:

    e**y = 2**k e**r,   k = round(y / ln 2),   |r| <= ln(2) / 2,
    e**r - 1 = r + r**2 (1/2! + r/3! + ... + r**12/14!),   remainder < r u / 50.

Then e**y - 1 = 2**k (e**r - 1) + (2**k - 1) without cancellation, and tanh(x) = E / (E + 2) with
E = e**(2|x|) - 1.  Measured against 200-bit arithmetic, the error is below 3.1 u.
"""

from __future__ import annotations

import math

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

#: tanh rounds to 1 from here on: 1 - tanh(x) < 2 e**(-2 x) < u.
_SATURATED = 22.0

#: Up to here e**y is formed by an integer shift, k <= 62.
_LARGEST = 42.0


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
    largest = 0.0
    for i in range(a.shape[0]):
        largest = max(largest, abs(a[i]))
    if not largest <= _LARGEST:
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
