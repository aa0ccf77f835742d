r"""Nearest points of matrix norm balls, provably inside, in double or single precision.

Main names: `spectral_ball`, `row_sum_ball`, `column_sum_ball`.

Each returns the nearest matrix in the Frobenius norm up to rounding, in the type of its argument,
and writes to `out` if given, which may be the argument itself.  A matrix that is provably in the
ball is returned as it is, bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from theory.arithmetic import rigor
from theory.arithmetic.rounding import ldexp_up, scaled_to_one
from theory.errors import as_array, as_vector, check_positive
from theory.kernels.blocks import locked
from theory.projections.repair import inside, least_margin, unit_of
from theory.typing import Array

#: W, weights, limits, whether the weights are ones, out -> how many lines moved.
_Kernel: TypeAlias = Callable[[Array, Array, Array, bool, Array], int]

#: Beyond this ratio of norm to radius the squares of singular values would lose digits that matter.
_LARGE_RATIO = 2.0**10

#: Weights spread by more than this power of two are refused.
_SPREAD = 400

#: A computed norm this near to the radius, relatively, leaves it to the rigorous test.
_NEAR = 2.0**-20


def as_weights(name: str, value: Any) -> Any:
    """Return a two-dimensional array of finite numbers; float32 and float64 are not copied.

    Raises
    ------
    ValueError
        If the value is not a matrix of real, finite numbers.
    """
    array = np.asarray(value)
    if array.dtype == np.float32 or array.dtype == np.float64:
        if array.ndim != 2 or min(array.shape) == 0:
            raise ValueError(f"{name} has shape {array.shape}, needed (n, m) with no empty side")
        if not np.isfinite(array).all():
            as_array(name, array)
        return array
    return as_array(name, array, ndim=2)


def target(name: str, array: Any, out: Any) -> Any:
    """Return the array to write to: `out`, checked, or a new one.

    Raises
    ------
    ValueError
        If `out` has another shape or type, or is not contiguous or not writeable.
    """
    if out is None:
        return np.empty(array.shape, dtype=array.dtype)
    if (
        not isinstance(out, np.ndarray)
        or out.shape != array.shape
        or out.dtype != array.dtype
        or not (out.flags.c_contiguous and out.flags.writeable)
    ):
        raise ValueError(
            f"out={type(out).__name__} does not fit {name} of shape {array.shape} and type "
            f"{array.dtype}; needed a writeable C-contiguous array of that shape and type"
        )
    return out


def clip_singular_values(W: Array, radius: float) -> tuple[Array, Array]:
    """Return W with singular values above the radius replaced by it, and what was subtracted.

    From the eigenvectors V of W^T W with eigenvalues above radius**2, if they are not much larger:
    W - W V diag(1 - radius / s) V^T; else from the singular value decomposition.
    """
    tall = W.shape[0] >= W.shape[1]
    B = W if tall else W.T
    values, vectors = np.linalg.eigh(B.T @ B)
    top = math.sqrt(max(float(values[-1]), 0.0))
    if top <= radius * _LARGE_RATIO:
        s = np.sqrt(np.maximum(values, 0.0))
        active = s > radius
        V = vectors[:, active]
        removed = (B @ V * (1.0 - radius / s[active])) @ V.T
    else:
        left, s, right = np.linalg.svd(B, full_matrices=False)
        # what is left is far smaller than what is removed: build it rather than subtract
        kept = (left * np.minimum(s, radius)) @ right
        removed = B - kept
        return (kept, removed) if tall else (kept.T, removed.T)
    kept = B - removed
    return (kept, removed) if tall else (kept.T, removed.T)


def spectral_ball(W: Any, radius: float, *, out: Any = None) -> Any:
    r"""Return the nearest matrix with ||Y||_2 <= radius.

    Singular values above the radius are replaced by it.

    Parameters
    ----------
    W : (m, n) array
    radius : float
    out : (m, n) array, optional
        Written to and returned; may be W itself.

    Returns
    -------
    (m, n) array
        Of the type of W; its spectral norm is at most the radius, proved by
        `theory.arithmetic.rigor.spectral_norm_at_most` on the stored numbers.

    Raises
    ------
    ValueError
        If a number is not finite, the radius is not positive, or `out` does not fit.

    Examples
    --------
    >>> spectral_ball([[2.0, 0.0], [0.0, 0.5]], 1.0).round(6).tolist()
    [[1.0, 0.0], [0.0, 0.5]]
    """
    array = as_weights("W", W)
    check_positive(radius=radius)
    result = target("W", array, out)
    B, e = scaled_to_one(np.asarray(array, dtype=np.float64))
    level = ldexp_up(radius, -e)
    unit = unit_of(array)
    if _below(B, level) and rigor.spectral_norm_at_most(np.asarray(array, np.float64), radius):
        result[...] = array
        return result

    def point(margin: float) -> Array:
        kept, _ = clip_singular_values(B, level * (1.0 - margin))
        return np.asarray(np.ldexp(kept, e), dtype=array.dtype)

    def accept(candidate: Array) -> bool:
        return rigor.spectral_norm_at_most(np.asarray(candidate, np.float64), radius)

    found = inside(point, accept, least_margin(max(array.shape), unit))
    result[...] = 0.0 if found is None else found[0]
    return result


def _below(B: Array, level: float) -> bool:
    """Return whether ||B||_2 <= level is possible: a power iteration does not exceed it."""
    x = B.T @ (B @ np.ones(B.shape[1]))
    for _ in range(8):
        length = float(np.linalg.norm(x))
        if length == 0.0:
            return True
        x = B.T @ (B @ (x / length))
        # |B^T B x| <= |B|^2 for a unit x
        if not math.sqrt(float(np.linalg.norm(x))) <= level * (1.0 + _NEAR):
            return False
    return True


def row_sum_ball(W: Any, radius: Any, *, weights: Any = None, out: Any = None) -> Any:
    r"""Return the nearest matrix with sum_j v_j |Y_ij| <= radius_i in every row.

    With equal radii this is the ball of the norm induced by the maximum norm; with
    radius_i = r v_i that of max |h_i| / v_i.

    Parameters
    ----------
    W : (m, n) array
    radius : float or (m,) array
    weights : (n,) array, optional
        v, ones by default.
    out : (m, n) array, optional
        Written to and returned; may be W itself.

    Returns
    -------
    (m, n) array
        Of the type of W; rows that are inside already stay as they are.

    Raises
    ------
    ValueError
        If a number is not finite, a radius or a weight is not positive, or `out` does not fit.

    Examples
    --------
    >>> row_sum_ball([[2.0, -1.5], [0.25, 0.5]], 1.0).tolist()
    [[0.75, -0.25], [0.25, 0.5]]
    """
    from theory.kernels.row_sums import row_sum_kernel

    return _sum_ball(W, radius, weights, out, row_sum_kernel, "row")


def column_sum_ball(W: Any, radius: Any, *, weights: Any = None, out: Any = None) -> Any:
    r"""Return the nearest matrix with sum_i v_i |Y_ij| <= radius_j in every column.

    With equal radii this is the ball of the norm induced by the sum norm; with radius_j = r v_j
    that of sum_i v_i |h_i|.

    Parameters
    ----------
    W : (m, n) array
    radius : float or (n,) array
    weights : (m,) array, optional
        v, ones by default.
    out : (m, n) array, optional
        Written to and returned; may be W itself.

    Returns
    -------
    (m, n) array
        Of the type of W; columns that are inside already stay as they are.

    Raises
    ------
    ValueError
        If a number is not finite, a radius or a weight is not positive, or `out` does not fit.
    """
    from theory.kernels.row_sums import column_sum_kernel

    return _sum_ball(W, radius, weights, out, column_sum_kernel, "column")


def _sum_ball(W: Any, radius: Any, weights: Any, out: Any, kernel: _Kernel, line: str) -> Any:
    """Return the nearest matrix with bounded weighted sums over every line, a row or a column."""
    array = as_weights("W", W)
    count, length = array.shape if line == "row" else array.T.shape
    plain = weights is None
    v = np.ones(length) if plain else as_vector("weights", weights, size=length)
    limits = np.full(count, float(radius)) if np.ndim(radius) == 0 else as_vector("radius", radius)
    if len(limits) != count:
        raise ValueError(
            f"radius has {len(limits)} entries, needed one or {count}, one for each {line}"
        )
    check_positive(radius=float(np.min(limits)), weights=float(np.min(v)))
    result = target("W", array, out)
    # sums and squares stay in range: weights around 1, entries within these powers of two
    least, most = (2.0**-400, 2.0**400) if plain else (2.0**-150, 2.0**130)
    largest = float(np.max(np.abs(array)))
    e = math.frexp(largest)[1] if not least < largest < most else 0
    middle = 0 if plain else middle_exponent(v)
    scaled_limits = _lowered(limits, -e - middle)
    v = np.ldexp(v, -middle)
    if e:
        scaled = np.ldexp(np.asarray(array, dtype=np.float64), -e)
        kernel(locked(scaled), v, scaled_limits, plain, scaled)
        result[...] = np.ldexp(scaled, e)
    else:
        kernel(locked(np.ascontiguousarray(array)), v, scaled_limits, plain, result)
    return result


def middle_exponent(weights: Array) -> int:
    """Return the exponent of two in the middle of weights.

    Raises
    ------
    ValueError
        If they are spread by more than 2^400.
    """
    least, largest = float(np.min(weights)), float(np.max(weights))
    bottom, top = math.frexp(least)[1], math.frexp(largest)[1]
    if not top - bottom <= _SPREAD:
        raise ValueError(
            f"weights from {least!r} to {largest!r}, needed a ratio of at most 2^{_SPREAD}: beyond "
            "it products of weights and entries leave the range of double precision"
        )
    return (top + bottom) // 2


def centered(weights: Array) -> Array:
    """Return weights times a power of two, for which the largest and the least are inverse."""
    return np.ldexp(weights, -middle_exponent(weights))


def _lowered(limits: Array, e: int) -> Array:
    """Return limits 2^e, rounded down where they underflow."""
    with np.errstate(over="ignore"):  # beyond the largest double there is no limit
        scaled = np.ldexp(limits, e)
        return np.where(np.ldexp(scaled, -e) > limits, np.nextafter(scaled, 0.0), scaled)
