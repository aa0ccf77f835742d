r"""Truncation errors that are known exactly: linear layers, and recurrences without feedback.

Main names: `kernel_tail`, `KernelTail`, `window_decay`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from theory.errors import as_sequences, check_count
from theory.inputs import Inputs, box_of
from theory.maps.ssm import DiagonalSSM, LinearRecurrence
from theory.norms import L2, over
from theory.rounding import TINY, UNIT, down, gamma, product_up, up
from theory.truncation import LinearHead
from theory.typing import Array

Complex = np.ndarray[tuple[int, ...], np.dtype[np.complex128]]


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class KernelTail:
    """The worst truncation error of each output of a linear layer over a box |x_j| <= B_x."""

    lower: Array  # (p,), reached by some inputs in the box
    upper: Array  # (p,), never exceeded, for any length of history
    modal: Array  # (p,), the bound from the sizes of the modes, which ignores cancellation
    norms: float  # the bound |C| lam^k / (1 - lam) |B| of the rate alone, in Euclidean norms


#: Powers that are computed together.
_BLOCK = 2048

#: Kernel entries summed at the most; what follows is bounded by the modes.
_LONGEST = 2**20

#: The sum ends when the rest is below this part of it.
_REST = 2.0**-44


def kernel_tail(
    layer: DiagonalSSM,
    head: LinearHead | None = None,
    *,
    k: int,
    inputs: Inputs,
) -> KernelTail:
    r"""Return the exact worst-case truncation error of a diagonal state-space layer.

    The output forgets what is k steps back except for the tail of its kernel,

    .. math:: y_t - y_t^k = \sum_{m \ge k} K_m x_{t-m},\qquad K_m = C \Lambda^m B,

    so over |x_j| <= B_x the error is at most B_x times the sum of all \|K_m\| with m >= k, and the
    inputs B_x sign(K_m) reach it as the history grows.

    Parameters
    ----------
    layer : DiagonalSSM
    head : LinearHead, optional
        The real outputs of the state (Re s, Im s); the state itself by default.
    k : int
        Number of inputs that the truncated model sees.
    inputs : Inputs
        A box |x_j| <= B_x, one bound for every entry.

    Returns
    -------
    KernelTail
        Lower and upper values, rounded outward; they differ by the rounding of the sum and by its
        rest, some 2**-40 of it together unless an eigenvalue is within 1e-5 of the unit circle.

    Raises
    ------
    ValueError
        If an eigenvalue is not inside the unit circle, a shape does not fit, k is not a count, or
        the inputs are another set, for which the inputs B_x sign(K_m) need not be legal.

    Examples
    --------
    >>> layer = DiagonalSSM([0.9, 0.5], [[1.0], [1.0]])
    >>> head = LinearHead([[1.0, -1.0, 0.0, 0.0]])
    >>> tail = kernel_tail(layer, head, k=5, inputs=Inputs.box(-1, 1))
    >>> round(float(tail.upper[0]), 6), round(float(tail.modal[0]), 6), round(tail.norms, 6)
    (5.8424, 5.9674, 11.8098)
    """
    if not isinstance(layer, DiagonalSSM):
        raise ValueError(f"received {layer!r}, needed a DiagonalSSM")
    check_count(k=k)
    values: Complex = layer.eigenvalues
    B: Complex = layer.B
    n, m = B.shape
    bound = _bound_of(inputs, m)
    C = np.eye(2 * n) if head is None else head.C
    if C.shape[1] != 2 * n:
        raise ValueError(f"head has C of shape {C.shape}, needed (p, {2 * n})")
    size = np.nextafter(np.nextafter(np.abs(values), math.inf), math.inf)
    if not float(np.max(size)) < 1:
        worst = int(np.argmax(size))
        raise ValueError(
            f"eigenvalue {worst} has size {float(size[worst]):.17g}, needed sizes below 1: the "
            "layer never forgets"
        )
    # C (Re s; Im s) = Re(c s) with c = C_re - i C_im
    c = C[:, :n] - 1j * C[:, n:]
    weights = (c.T[:, :, None] * B[:, None, :]).reshape(n, -1)  # (n, p m)
    reach = np.abs(weights)
    lower, upper = np.zeros(len(C)), np.zeros(len(C))
    start: Complex = _power(values, int(k))
    steps = int(k)
    modal = _per_output(_modes(np.abs(start), steps, size, reach), m)
    while True:
        powers = np.empty((_BLOCK, n), dtype=np.complex128)
        powers[0], powers[1:] = start, values
        np.cumprod(powers, axis=0, out=powers)
        K = np.abs((powers @ weights).real)
        # every complex product errs relatively by less than 4 u (Higham, lemma 3.5), and a sum of
        # n complex products by less than gamma(4 n + 8) of its terms' sizes
        counts = (4.0 * UNIT) * (steps + np.arange(_BLOCK) + 2)[:, None]
        error = (np.abs(powers) @ reach) * (2 * counts + 2 * gamma(4 * n + 16)) + 8 * n * TINY
        lower += _per_output(np.sum(np.maximum(K - error, 0.0), axis=0), m)
        upper += _per_output(np.sum(K + error, axis=0), m)
        steps += _BLOCK
        start = powers[-1] * values
        rest = _per_output(_modes(np.abs(start), steps, size, reach), m)
        if bool(np.all(rest <= _REST * lower)) or steps >= _LONGEST + k or not np.any(rest):
            break
    # sums of terms of one sign: of a block, over the inputs, over the blocks
    slack = 2 * gamma(_BLOCK + m + 8 + (steps - int(k)) // _BLOCK)
    lam = up(float(np.max(size)))
    plain = product_up(
        product_up(L2().matrix_upper(C), L2().matrix_upper(np.vstack([B.real, B.imag]))),
        product_up(over(L2(), L2(), m), up(lam**k * (1 + 16 * UNIT)) / down(1 - lam)),
    )
    return KernelTail(
        lower=np.maximum(np.nextafter(lower * (bound * (1 - slack)), -math.inf), 0.0),
        upper=np.nextafter((upper + rest) * (bound * (1 + slack)), math.inf),
        modal=np.nextafter(modal * (bound * (1 + slack)), math.inf),
        norms=product_up(up(plain), bound),
    )


def _bound_of(inputs: Inputs, m: int) -> float:
    """Return B_x of the box |x_j| <= B_x."""
    low, high = box_of(inputs, m)
    bound = float(high[0])
    if not (bool(np.all(high == bound)) and bool(np.all(low == -bound))):
        raise ValueError(
            f"the inputs are {inputs}, needed a box |x_j| <= B, one bound for every entry; "
            "theory.Inputs.box(-B, B) around it gives an upper bound, and a lower one that it need "
            "not reach"
        )
    return bound


def _power(values: Complex, k: int) -> Complex:
    """Return values**k by repeated squaring; the error is that of k products at most."""
    result, square = np.ones_like(values), values.copy()
    while k:
        if k % 2:
            result = result * square
        square = square * square
        k //= 2
    return result


def _modes(power: Array, steps: int, size: Array, reach: Array) -> Array:
    """Bound sum_i |w_i| |lambda_i|^steps / (1 - |lambda_i|), for powers as computed: (p m,)."""
    raised = power * (1 + 8 * UNIT * (steps + 2)) + TINY
    total: Array = (raised / np.nextafter(1.0 - size, 0.0)) @ reach
    return total * (1 + 4 * gamma(len(size) + 8)) + TINY


def _per_output(table: Array, m: int) -> Array:
    """Return the sums over the m inputs of each output."""
    total: Array = table.reshape(-1, m).sum(axis=1)
    return total


def window_decay(layer: LinearRecurrence, X: Any) -> tuple[Array, Array]:
    r"""Return by how much exactly a window of inputs shrinks each entry of the state behind it.

    Of h <- a(x) h + u(x), entry by entry, the gap of the truncated model is

    .. math:: |h_t - h_t^k| = \prod_{j = t-k+1}^{t} a(x_j)\, |h_{t-k}|,

    for a selective state-space layer exp(-a (Delta_{t-k+1} + ... + Delta_t)) |h_{t-k}|.

    Parameters
    ----------
    layer : LinearRecurrence
        A `SelectiveSSM`, `MinGRU` or `RGLRU`.
    X : (k, m) array
        The window.

    Returns
    -------
    lower, upper : (n,) arrays
        Bounds of the product, rounded outward: they differ by rounding only.

    Raises
    ------
    ValueError
        If it is another kind of map, or the inputs have another width.

    Examples
    --------
    >>> from theory import MinGRU
    >>> low, high = window_decay(MinGRU([[0.0], [1.0]]), [[1.0], [0.0]])
    >>> bool(low[0] <= 0.25 <= high[0] <= 0.25 * (1 + 1e-12))
    True
    """
    if not isinstance(layer, LinearRecurrence):
        raise ValueError(
            f"received {layer!r}, needed a map h <- a(x) h + u(x) such as theory.SelectiveSSM"
        )
    inputs = as_sequences("X", X, width=layer.input_dim)
    if inputs.ndim != 2:
        raise ValueError(f"X has shape {inputs.shape}, needed one window (k, {layer.input_dim})")
    low, high = np.ones(layer.state_dim), np.ones(layer.state_dim)
    for x in inputs:
        least, largest = layer.decay_range((x, x))
        low = np.maximum(np.nextafter(low * least, -math.inf), 0.0)
        high = np.nextafter(high * largest, math.inf)
    return low, high
