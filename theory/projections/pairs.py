r"""How far a matrix is from every set of scaled matrices, whatever the scaling.

Main names: `scaled_rows_lower`, `scaled_sums_lower`, `scaled_numerical_radius_lower`,
`pair_distance_squares`.

The matrices W for which some weights v > 0 have sum_j w_ij^2 v_j <= r^2 v_i in every row (as all
have with ||D W D^-1||_2 <= r for a diagonal D) form no convex set, and scaling moves any entry
out of sight.  But not an entry and its mirror image: with multipliers t_i of the rows,

    r^2 sum_i t_i >= sum_ij t_i w_ij^2 v_j / v_i >= sum_ij sqrt(t_i t_j) |w_ij w_ji|,

by the inequality of the means for each pair.  (The Perron root of a matrix is at least that of the
geometric mean with its transpose: L. Elsner, C. R. Johnson and J. A. Dias da Silva, *The Perron
root of a weighted geometric mean of nonnegative matrices*, Linear and Multilinear Algebra 24,
1988.)  Weak duality with this one inequality leaves a small problem for each pair, solved in
`theory.theorems.nearest_pair_distance`; the sum of their values is concave in t.  Row sums of
absolute values, sum_j |w_ij| v_j <= r v_i, come down to the same, since a nearest member has
w_ij <= a_ij and then sqrt(w_ij w_ji) >= w_ij w_ji / sqrt(a_ij a_ji).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.optimize import minimize

from theory.arithmetic.rounding import (
    ELEMENTARY_UNITS,
    UNIT,
    down,
    gamma,
    ldexp_down,
    ldexp_up,
    lower_after,
    scaled_to_one,
    sum_up,
    up,
)
from theory.arithmetic.sums import length_upper
from theory.typing import Array

#: Common multipliers looked at before the search, and its most steps.
_GRID, _STEPS = 2.0 ** np.arange(-12, 5), 30

#: Smaller levels are raised to this one, which costs next to nothing: entries are about 1.
_LEAST_LEVEL = 2.0**-400

#: What takes the roundings out of g = factor_ij m_ij: at most 4 of a factor, two roots, a product
#: and a quotient; 3 of m_ij, two roots and a product (of exact t); 2 products, that with this too.
_SMALLER = 1.0 - gamma(4 + 3 + 2 + 3)

#: More than an entry's share of what underflows, in squares and products of numbers of at most 1.
_LOST = 2.0**-1000

#: The search ends when a step gains less than this part of the value.
_GAIN = 1e-4


def pair_distance_squares(x: Array, y: Array, g: Array) -> tuple[Array, Array]:
    r"""Return the least of (x - u)^2 + (y - v)^2 + 2 g u v over u, v >= 0, and u v there.

    With x >= y it is y^2 - max(y - g x, 0)^2 / (1 - g^2).  The value has an absolute error of at
    most 32 u y^2.

    Parameters
    ----------
    x, y, g : arrays of one shape, not negative
    """
    large, small = np.maximum(x, y), np.minimum(x, y)
    rest = np.maximum(small - g * large, 0.0)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        v = np.where(rest > 0, rest / ((1.0 - g) * (1.0 + g)), 0.0)
    u = np.where(rest > 0, large - g * v, large)
    return np.square(small) - rest * v, u * v


def _least(x: Array, factors: Array, level: float, *, arithmetic: bool = False) -> float:
    """Return a lower bound of the distance from sum m_ij factors u_ij u_ji <= level sum t.

    m_ij is sqrt(t_i t_j), or the arithmetic mean of t_i and t_j.  x and factors are (G, n, n), not
    negative; every t gives a lower bound, and a good one is searched.
    """
    n, level = x.shape[1], max(level, _LEAST_LEVEL)
    mirrored, own = x.transpose(0, 2, 1), np.arange(n)
    alone = x[:, own, own]

    def terms(s: Array, slack: float = 1.0) -> tuple[Array, Array, Array]:
        t = np.exp(s)
        root = np.sqrt(t)
        means = root[:, None] * root[None, :]
        # the derivative of m_ij in s_i = log t_i is half of this
        shares = means
        if arithmetic:
            means, shares = 0.5 * (t[:, None] + t[None, :]), np.tile(t[:, None], len(t))
        g = factors * (means * slack)
        values, products = pair_distance_squares(x, mirrored, g)
        # an entry that is its own mirror image: twice the least of (x - u)^2 + g u^2
        u = alone / (1.0 + g[:, own, own])
        values[:, own, own], products[:, own, own] = 2.0 * g[:, own, own] * alone * u, u * u
        return t, values, products * factors * shares

    # a step too far gives a value that is infinite, or none
    @np.errstate(over="ignore", invalid="ignore")
    def negative(s: Array) -> tuple[float, Array]:
        t, values, slopes = terms(s)
        value = 0.5 * float(np.sum(values)) - level * float(np.sum(t))
        return -value, level * t - np.sum(slopes, axis=(0, 2))

    best = min((np.full(n, math.log(t)) for t in _GRID / level), key=lambda s: negative(s)[0])
    options: Any = {"maxiter": _STEPS, "ftol": _GAIN}
    found = minimize(negative, best, jac=True, method="L-BFGS-B", options=options)
    s = found.x if np.isfinite(found.x).all() and found.fun < negative(best)[0] else best
    # a smaller g gives a smaller value: one that rounding cannot have made too large
    t, values, _ = terms(s, _SMALLER)
    size = float(np.sum(np.square(x))) + float(np.sum(np.abs(values)))
    # each value errs by 32 u x^2 at most, their sum by gamma(x.size) of the sizes
    error = (64 * UNIT + 2 * gamma(x.size + 4)) * size + x.size * _LOST
    total = down(down(0.5 * float(np.sum(values)) - error) - up(up(level) * sum_up(t.tolist())))
    return down(math.sqrt(total)) if total > 0 else 0.0


def scaled_rows_lower(A: Array, radius: float) -> float:
    r"""Return a lower bound of the distance of A from all W with ||D W D^-1||_2 <= radius.

    Parameters
    ----------
    A : (n, n) array
    radius : float
        Positive.

    Returns
    -------
    float
        For every positive diagonal D, in the Frobenius norm, rounded down.

    Examples
    --------
    A rotation by a right angle, enlarged: both entries must come down to 1.

    >>> round(scaled_rows_lower(np.array([[0.0, -1.5], [1.5, 0.0]]), 1.0), 3)
    0.707
    """
    if not length_upper(A) > radius:
        return 0.0
    x, e = scaled_to_one(np.abs(A)[None])
    r = ldexp_up(radius, -e)
    return ldexp_down(_least(x, np.ones_like(x), up(r * r)), e)


def scaled_sums_lower(blocks: tuple[Array, ...], factors: tuple[float, ...], rate: float) -> float:
    r"""Return a lower bound of the distance from sum_j sum_k factor_k |W_k|_ij v_j <= rate v_i.

    Parameters
    ----------
    blocks : (n, n) arrays A_k
    factors : floats, one for each block
        Not negative, exact.
    rate : float
        Positive.

    Returns
    -------
    float
        For all weights v > 0, in the Frobenius norm of all blocks together, rounded down.
    """
    x, e = scaled_to_one(np.abs(np.stack(blocks)))
    product = np.sqrt(x) * np.sqrt(x.transpose(0, 2, 1))
    with np.errstate(divide="ignore"):
        factor = np.where(product > 0, np.array(factors)[:, None, None] / product, 0.0)
    if not np.isfinite(factor).all():
        return 0.0
    return ldexp_down(_least(x, factor, ldexp_up(rate, -e)), e)


def scaled_numerical_radius_lower(A: Array, radius: float) -> float:
    r"""Return a lower bound of the distance of A from all W with |y* D W D^-1 y| <= radius |y|^2.

    This holds for all complex y.  With B = D W D^-1, and y = e_i + z and e_i - z for a z of length
    1 with z_i = 0, the difference of both is

        |sum_j (b_ij z_j + b_ji conj(z_j))| <= 2 radius.

    Real z_j where w_ij w_ji > 0, and 0 elsewhere, give sum_j (|b_ij| + |b_ji|)^2 <= 4 radius^2 over
    these j; imaginary ones the same over the j with w_ij w_ji < 0.  By the inequality of the means
    (|b_ij| + |b_ji|)^2 >= 4 |w_ij w_ji|, so that in each row

        sum_j |w_ij w_ji| <= radius^2

    over the pairs of equal signs, and over those of opposite signs; and |w_ii| <= radius.  The
    nearest W with these has no entry of another sign than A has there: 0 would be nearer.  So the
    two kinds of pairs of A, and its diagonal, can be looked at apart.  With multipliers t_i of rows

        sum over i, j of (t_i + t_j) / 2 |w_ij w_ji| <= radius^2 sum_i t_i.

    Parameters
    ----------
    A : (n, n) array
    radius : float
        Positive.

    Returns
    -------
    float
        For every positive diagonal D, in the Frobenius norm, rounded down.

    Examples
    --------
    Of this pair the product must come down to 1.

    >>> round(scaled_numerical_radius_lower(np.array([[0.5, -1.5], [1.5, -0.5]]), 1.0), 3)
    0.707
    """
    if not length_upper(A) > radius:
        return 0.0
    x, e = scaled_to_one(np.abs(A)[None])
    r = ldexp_up(radius, -e)
    signs = np.sign(A) * np.sign(A.T)
    np.fill_diagonal(signs, 0.0)
    own = lower_after(np.maximum(np.diag(x[0]) - r, 0.0), 1)
    parts = [
        _least(x * (signs == sign), np.ones_like(x), up(r * r), arithmetic=True)
        for sign in (1.0, -1.0)
    ]
    # no square underflows in hypot, which is an elementary function
    total = math.hypot(*own.tolist(), *parts)
    return ldexp_down(float(lower_after(total, ELEMENTARY_UNITS)), e)
