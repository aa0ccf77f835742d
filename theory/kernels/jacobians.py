"""Loops that apply Jacobians to vectors, and norms of their products by Lanczos bidiagonalisation.

Main names: `push_jacobian`, `pull_jacobian`, `product_norm_kernel`.
"""

from __future__ import annotations

import math

import numpy as np

from theory.kernels.jit import kernel
from theory.typing import Array


@kernel
def push_jacobian(form: int, W: Array, J: Array, S: Array, t: int, v: Array, out: Array) -> None:
    """Overwrite `out`, (n,), with J_t v; the forms are those of `theory.measure.factors`."""
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
