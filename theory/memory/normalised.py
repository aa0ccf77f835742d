r"""Memory of an sLSTM without recurrent weights, along given inputs: exactly what a window leaves.

Main names: `mean_gaps`, `mean_context`.

Then c and the normaliser nu are linear recurrences of one decay, and y = c / nu is a mean of
candidates.  After k inputs, with F the product of their forget gates and (c_k, nu_k) the run of the
truncated model, which starts at 0,

    y - y_k = (F c_0 + c_k) / (F nu_0 + nu_k) - c_k / nu_k = s (y_0 - y_k),
    s = F nu_0 / (F nu_0 + nu_k),

for every past (y_0, nu_0).  Over |y_0| <= 1 and nu_0 <= N it is largest at nu_0 = N and y_0 = +-1,
in all units at once: the bounds below and above differ by rounding only.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from theory.arithmetic.activations import SOFTPLUS, TANH
from theory.arithmetic.intervals import (
    Interval,
    activation_image,
    affine_image,
    products,
    sum_of,
    widened,
)
from theory.arithmetic.rounding import TINY, UNIT, gamma
from theory.errors import as_array, as_sequences, as_vector, check_positive
from theory.maps.exponential import SLSTM
from theory.memory.windows import WindowContext
from theory.norms.norms import L2
from theory.typing import Array

#: Inputs that are looked at first; four times as many where these are not enough.
_FIRST = 64


def mean_gaps(cell: SLSTM, X: Any, *, normaliser: Any) -> tuple[Array, Array]:
    r"""Return the largest gaps of y that any past can cause in an sLSTM without recurrent weights.

    Parameters
    ----------
    cell : SLSTM
        With W = 0.
    X : (T, m) array
        The inputs, of which a truncated model sees the last k.
    normaliser : float or (n,) array
        N, the largest normaliser nu = e^s - 1 before them: of an invariant box that of its upper
        end of s.

    Returns
    -------
    lower, upper : (T + 1,) arrays
        For k = 0 .. T: what some past reaches, and what none exceeds, in the Euclidean norm.  The
        output h differs by as much in every unit, times o of the last input.

    Raises
    ------
    ValueError
        If it is another map, a recurrent weight is not 0, the inputs have another width, or a
        normaliser is not positive and finite.

    Examples
    --------
    >>> from theory import SLSTM
    >>> cell = SLSTM(np.zeros((4, 1)), [[0.0], [0.0], [1.0], [0.0]])  # i = 1, f = 1/2
    >>> low, high = mean_gaps(cell, np.zeros((3, 1)), normaliser=2.0)
    >>> high.round(12).tolist()  # 1, then (2 / 2^k) / (2 / 2^k + 2 - 2 / 2^k)
    [1.0, 0.5, 0.25, 0.125]
    """
    x = _window(cell, X)
    n = cell.units
    given = as_array("normaliser", normaliser, ndim=(0, 1))
    N = as_vector("normaliser", np.full(n, given) if given.ndim == 0 else given, size=n)
    if not float(np.min(N)) > 0:
        raise ValueError(f"normaliser has least entry {np.min(N)}, needed positive numbers")
    F, nu, c, scale = _sums(cell, x[::-1])
    # N in units of the largest exp(a)
    N_low, N_high = _exp(sum_of(_log(N), (-scale, -scale)))
    with np.errstate(divide="ignore", over="ignore", under="ignore", invalid="ignore"):
        # 1 / (1 + nu / (F N)); without inputs 1
        most = products(F, (N_low, N_high))
        share_low = _share(most[0], nu[1], upward=False)
        share_high = _share(most[1], nu[0], upward=True)
        # |y_k| = |c| / nu, a mean of candidates
        inner = np.where((c[0] <= 0) & (c[1] >= 0), 0.0, np.minimum(np.abs(c[0]), np.abs(c[1])))
        outer = np.maximum(np.abs(c[0]), np.abs(c[1]))
        mean_low = np.where(inner > 0, np.nextafter(inner / nu[1], 0.0), 0.0)
        mean_low = np.nan_to_num(mean_low, nan=0.0)
        # no inputs: 0; sums that overflow say nothing, and then a mean of candidates is within 1
        mean_high = np.where(outer == 0, 0.0, np.nextafter(outer / nu[0], math.inf))
        mean_high = np.minimum(np.nan_to_num(mean_high, nan=1.0), 1.0)
        largest = np.nextafter(share_high * np.nextafter(1.0 + mean_high, math.inf), math.inf)
        least = np.nextafter(share_low * (1.0 + np.minimum(mean_low, 1.0)) * (1 - 4 * UNIT), 0.0)
    norm, flat = L2(), 1.0 - gamma(n + 4)
    upper = np.array([norm.majorant(row) for row in largest])
    # in units of a power of two, so that what underflows is nothing beside the largest square
    unit = np.ldexp(1.0, np.frexp(np.max(least, axis=1))[1])
    scaled = least / unit[:, None]
    lower = np.sqrt(np.maximum(np.sum(np.square(scaled), axis=1) - n * TINY, 0.0)) * flat * unit
    return np.minimum(np.nextafter(lower, 0.0), upper), upper


def mean_context(cell: SLSTM, X: Any, *, eps: float, normaliser: Any) -> WindowContext:
    r"""Return how many of the last inputs are enough for an error of eps in y, after any past.

    Parameters
    ----------
    cell : SLSTM
        With W = 0.
    X : (T, m) array
    eps : float
        Allowed error of the last y, in the Euclidean norm.
    normaliser : float or (n,) array
        As in `mean_gaps`.

    Raises
    ------
    ValueError
        As in `mean_gaps`, or if eps is not positive.

    Examples
    --------
    >>> from theory import SLSTM
    >>> cell = SLSTM(np.zeros((4, 1)), [[0.0], [0.0], [1.0], [0.0]])
    >>> found = mean_context(cell, np.zeros((9, 1)), eps=0.2, normaliser=2.0)
    >>> found.k, found.exact
    (3, True)
    """
    check_positive(eps=eps)
    x = _window(cell, X)
    # the gap of k inputs is that of these alone
    used = _FIRST
    while True:
        low, high = mean_gaps(cell, x[len(x) - min(used, len(x)) :], normaliser=normaliser)
        small = np.flatnonzero(high <= eps)
        if small.size:
            k = int(small[0])
            refuted = k - 1 if k and low[k - 1] > eps else None
            return WindowContext(k=k, error=float(high[k]), refuted=refuted)
        if used >= len(x):
            refuted = len(x) if low[-1] > eps else None
            return WindowContext(k=None, error=float(high[-1]), refuted=refuted)
        used *= 4


def _window(cell: Any, X: Any) -> Array:
    """Return the inputs of a cell that can be asked."""
    if not isinstance(cell, SLSTM):
        raise ValueError(
            f"received {cell!r}, needed a theory.SLSTM; of maps that are linear in their state "
            "take theory.memory.window_gaps"
        )
    if np.any(cell.W != 0):
        raise ValueError(
            "the recurrent weights are not all 0, so that the gates depend on the past; needed "
            "W = 0, or theory.memory.reach_tube along the inputs"
        )
    x = as_sequences("X", X, width=cell.input_dim)
    if x.ndim != 2:
        raise ValueError(f"X has shape {x.shape}, needed one window (T, {cell.input_dim})")
    return x


def _exp(a: Interval) -> Interval:
    with np.errstate(over="ignore", under="ignore"):
        low, high = widened(np.exp(a[0]), np.exp(a[1]))
    return np.maximum(low, 0.0), high


def _log(a: Array) -> Interval:
    return widened(np.log(a), np.log(a))


def _share(part: Array, other: Array, *, upward: bool) -> Array:
    """Return p / (p + q) for non-negative numbers, rounded down or up; 1 where q is 0."""
    value = np.where(other == 0, 1.0, part / (part + other))
    # a sum and a quotient err by 2 u, and may underflow
    moved = value * (1 + 8 * UNIT) + TINY if upward else value * (1 - 8 * UNIT) - TINY
    return np.clip(np.nan_to_num(moved, nan=float(upward)), 0.0, 1.0)


def _cumulated(low: Array, high: Array) -> Interval:
    """Enclose the sums of the first k rows, k = 0 .. T, entry by entry: (T + 1, n)."""
    zero, lost = np.zeros((1, low.shape[1])), gamma(len(low) + 2)
    sums = []
    for end, sign in ((low, -1.0), (high, 1.0)):
        with np.errstate(over="ignore", invalid="ignore"):
            size = np.cumsum(np.abs(end), axis=0) * (1 + 2 * lost)
            error = lost * size + len(low) * TINY
            moved = np.cumsum(end, axis=0) + sign * error
        # sums that overflow enclose nothing
        sums.append(np.concatenate([zero, np.where(np.isnan(moved), sign * math.inf, moved)]))
    return sums[0], sums[1]


def _sums(cell: SLSTM, back: Array) -> tuple[Interval, Interval, Interval, Array]:
    """Enclose F, nu_k and c_k over the last k inputs, and say by which e^scale the two are less."""
    n = cell.units
    at = affine_image(cell.U, back, back, cell.b)
    i, f, z = ((at[0][:, k * n : k * n + n], at[1][:, k * n : k * n + n]) for k in range(3))
    if cell.forget == "sigmoid":
        soft = activation_image(SOFTPLUS, -f[1], -f[0])
        f = -soft[1], -soft[0]
    scale = np.max(i[1], axis=0, initial=-math.inf, keepdims=False)
    scale = np.where(np.isfinite(scale), scale, 0.0)
    logs = _cumulated(*f)
    F = _exp(logs)
    # the k-th input from the end is forgotten by the k - 1 after it
    weight = _exp(sum_of((logs[0][:-1], logs[1][:-1]), sum_of(i, (-scale, -scale))))
    nu = _cumulated(*weight)
    c = _cumulated(*products(weight, activation_image(TANH, *z)))
    return F, (np.maximum(nu[0], 0.0), nu[1]), c, scale
