r"""Gains of linear recurrences over a whole run, by one factorisation along time.

Main name: `gain_upper`.

As in `theory.arithmetic.rigor`, an upper value is a proof: the factor enters only by its residual.
"""

from __future__ import annotations

import math

import numpy as np

from theory.arithmetic.rigor import all_finite, frobenius_upper, moderate_size
from theory.arithmetic.rounding import gamma, upper_after
from theory.typing import Array

#: Share of the identity that pays for the residual of the factor; any number is sound.
_SHIFT = 2.0**-24

#: Steps of the power iteration that proposes a gain, and the first slack that is tried above it.
_PROPOSALS, _FIRST_SLACK = 30, 2.0**-7


def gain_upper(F: Array, G: Array) -> float:
    r"""Return g with sum_t h_t^T G_t h_t <= g^2 sum_t |f_t|^2 for h_t = F_t h_(t-1) + f_t, h_0 = 0.

    F and G are (T, n, n), G_t symmetric and positive semidefinite; F_1 meets h_0 and is not read.
    Runs after one another are one run with F_t = 0 where the next one starts.  inf if no gain is
    found.

    With f_t = h_t - F_t h_(t-1), and c = 1 / g^2, the claim is that the block tridiagonal form

        B_tt = I + F_(t+1)^T F_(t+1) - c G_t,    B_(t+1)t = -F_(t+1)

    is nonnegative.  It is factored as L L^T + E after a shift by a share of the identity, L of two
    block diagonals; the norm of E is at most that of its largest row of three blocks.
    """
    if not (all_finite(F, G) and moderate_size(F, G)) or len(F) == 0:
        return math.inf if len(F) else 0.0
    guess = _proposed(F, G)
    if not guess > 0:
        return 0.0 if not G.any() else math.inf
    slack = _FIRST_SLACK
    while slack < 2.0**10:
        gain = guess * (1.0 + slack)
        if _holds(F, G, 1.0 / (gain * gain)):
            # 1 / g^2 and its use round three times
            return float(upper_after(gain, 4))
        slack *= 2.0
    return math.inf


def _proposed(F: Array, G: Array) -> float:
    """Return an estimate of the gain from below, by a power iteration."""
    T, n = F.shape[:2]
    back = np.ascontiguousarray(F.swapaxes(1, 2))
    f = np.ones((T, n)) / math.sqrt(T * n)
    value = 0.0
    for _ in range(_PROPOSALS):
        h = np.empty_like(f)
        h[0] = f[0]
        for t in range(1, T):
            h[t] = F[t] @ h[t - 1] + f[t]
        f = np.einsum("tij,tj->ti", G, h)
        for t in range(T - 2, -1, -1):
            f[t] += back[t + 1] @ f[t + 1]
        value = float(np.linalg.norm(f))
        if not (value > 0 and math.isfinite(value)):
            return 0.0
        f /= value
    return math.sqrt(value)


def _holds(F: Array, G: Array, c: float) -> bool:
    """Decide that the form of `gain_upper` is nonnegative; True is a proof."""
    T, n = F.shape[:2]
    one = np.eye(n)
    diagonal = (1.0 - _SHIFT) * one - c * G
    diagonal[:-1] += F[1:].swapaxes(1, 2) @ F[1:]
    L, K = np.empty_like(F), np.zeros_like(F)
    rest = diagonal[0]
    for t in range(T):
        try:
            L[t] = np.linalg.cholesky(rest)
        except np.linalg.LinAlgError:
            return False
        if t + 1 < T:
            K[t + 1] = -np.linalg.solve(L[t], F[t + 1].T).T
            rest = diagonal[t + 1] - K[t + 1] @ K[t + 1].T
    both = np.concatenate([L, K], axis=2)
    size, lower, beside, steps = (frobenius_upper(A) for A in (both, L, K, F))
    residual = frobenius_upper(diagonal - both @ both.swapaxes(1, 2))
    residual = residual + 2 * gamma(2 * n + 4) * size**2
    # the diagonal block itself, of sums of at most n + 4 products
    formed = 2 * gamma(n + 6) * (n + c * frobenius_upper(G))
    formed[:-1] += 2 * gamma(n + 6) * steps[1:] ** 2
    aside = frobenius_upper(F[1:] + K[1:] @ L[:-1].swapaxes(1, 2))
    aside = aside + 2 * gamma(n + 4) * (steps[1:] + beside[1:] * lower[:-1])
    worst = float(np.max(residual + formed)) + 2 * float(np.max(aside, initial=0.0))
    return float(upper_after(worst, 16)) <= _SHIFT
