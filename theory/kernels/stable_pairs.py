"""Nearest 2 x 2 matrices whose eigenvalues stay in a disk.

Main name: `stable_pair_kernel`.
"""

from __future__ import annotations

import numpy as np

from theory.kernels.jit import kernel
from theory.typing import Array


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
