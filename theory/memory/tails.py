r"""Truncation errors that are known exactly: linear layers, and recurrences without feedback.

Main names: `kernel_tail`, `KernelTail`, `window_decay`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from theory.arithmetic.rounding import (
    TINY,
    UNIT,
    down,
    gamma,
    ldexp_down,
    ldexp_up,
    product_up,
    scaled_to_one,
    up,
)
from theory.errors import as_sequences, check_count
from theory.inputs import Inputs, box_of
from theory.maps.block import Block
from theory.maps.diagonal import DiagonalSSM
from theory.maps.head import as_head
from theory.maps.recurrence import LinearRecurrence
from theory.memory.products import core_of, seen
from theory.norms.norms import L2, Linf, over
from theory.shown import shown
from theory.typing import Array

Complex = np.ndarray[tuple[int, ...], np.dtype[np.complex128]]
Integers = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


@shown
@final
@dataclass(frozen=True, kw_only=True, eq=False)
class KernelTail:
    """The worst truncation error of each output of a linear layer over a box |x_j| <= B_x."""

    lower: Array  # (p,), reached by some inputs in the box
    upper: Array  # (p,), never exceeded, for any length of history
    modal: Array  # (p,), the bound from the sizes of the modes, which ignores cancellation
    norms: float  # the bound |C| lam^k / (1 - lam) |B| |x| of the rate alone, in Euclidean norms


#: Powers in a table are products of at most this many powers lambda**(2**j).
_LEVELS = 11

#: Powers that are used together.
_BLOCK = 2**_LEVELS

#: Blocks summed at the most; what follows is bounded by the modes.
_MOST_BLOCKS = 2**9

#: The sum ends when the rest is below this part of it.
_REST = 2.0**-44

#: Exponents below this stand for numbers that no weight brings back to the doubles.
_DEEPEST = -(2**40)


def kernel_tail(
    layer: DiagonalSSM,
    head: Any = None,
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
    head : LinearHead, array, or output layer, optional
        See `theory.maps.as_head`.  The real outputs of the state (Re s, Im s); the state itself by
        default.
    k : int
        Number of inputs that the truncated model sees.
    inputs : Inputs
        A box |x_j| <= B_x, one bound for every entry.

    Returns
    -------
    KernelTail
        Lower and upper values, rounded outward; they differ by the rounding of the sum and by its
        rest, some 2**-40 of it together unless an eigenvalue is within 3e-5 of the unit circle or
        the modes cancel.  Powers and weights may be of any size: a value below the normal range is
        enclosed by subnormal numbers, one beyond the largest double by that and inf.

    Raises
    ------
    ValueError
        If an eigenvalue is not inside the unit circle, a shape does not fit, k is not a count, or
        the inputs are another set, for which the inputs B_x sign(K_m) need not be legal.

    Examples
    --------
    >>> layer = DiagonalSSM([0.9, 0.5], [[1.0], [1.0]])
    >>> head = [[1.0, -1.0, 0.0, 0.0]]
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
    largest = _bound_of(inputs, m)
    C = np.eye(2 * n) if head is None else as_head(layer, head).C
    size = _sizes_upper(values)
    if not float(np.max(size)) < 1:
        worst = int(np.argmax(size))
        raise ValueError(
            f"eigenvalue {worst} has size {float(size[worst]):.17g}, needed sizes below 1: the "
            "layer never forgets"
        )
    bound, bound_exponent = np.frexp(largest)
    lower, upper, modal, exponents = _scaled_sums(values, size, B, C, int(k))
    exponents = exponents + int(bound_exponent)
    # one product more; the scaled sums and `bound` are doubles of moderate size or below
    least = np.maximum(np.nextafter(lower * bound, -np.inf), 0.0)
    ends = [np.where(x == 0, 0.0, np.nextafter(x * bound, np.inf)) for x in (upper, modal)]
    if not bound > 0:
        ends = [np.zeros(len(C)) for _ in ends]
    return KernelTail(
        lower=np.maximum(_each(ldexp_down, least, exponents), 0.0),
        upper=_each(ldexp_up, ends[0], exponents),
        modal=_each(ldexp_up, ends[1], exponents),
        norms=_bound_of_norms(C, B, float(np.max(size)), int(k), largest),
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


def _scaled_sums(
    values: Complex, size: Array, B: Complex, C: Array, k: int
) -> tuple[Array, Array, Array, Integers]:
    r"""Return the sums of |K_m| over m >= k and the inputs from both sides, the modes', exponents.

    Powers and weights are carried as mantissas and exponents: with lambda_i^(k + s L) = M_i 2^E_i,
    c_i B_i = W_i 2^F_i for an output and an input, and L = `_BLOCK`,

        K_(k + s L + t) 2^-G = Re sum_i V_i lambda_i^t,   V_i = M_i W_i 2^(E_i + F_i - G),   t < L.

    G is the largest E_i + F_i of the output in the first block, so |V_i| <= 2 there, and later, as
    the sizes of the modes fall.  In these units the loss to underflow is a multiple of eta:

        V_i as computed      errs by at most  8 (s + 2) u |V_i| + 2 eta,    see `_weights`,
        lambda_i^t           by at most  8 l u |lambda_i^t| + 8 l eta,      l = `_LEVELS`, `_table`,
        so a product of both by at most  8 (s + 2 + l) u |V_i lambda_i^t| + (16 l + 2) eta,

    and the sum of the real parts, an inner product of 2 n terms, by gamma(2 n) sum |V_i lambda_i^t|
    + 2 n eta more.  The factor 2 and the 2 l eta more below cover products of errors, and the
    rounding of the bound itself.
    """
    n, m = B.shape
    p = len(C)
    # C (Re s; Im s) = Re(c s) with c = C_re - i C_im
    c, c_exponent = _mantissas(np.ascontiguousarray((C[:, :n] - 1j * C[:, n:]).T))
    b, b_exponent = _mantissas(B)
    W, rest_exponent = _mantissas(c[:, :, None] * b[:, None, :])  # (n, p, m)
    F = rest_exponent + c_exponent[:, :, None] + b_exponent[:, None, :]
    M, E = _scaled_powers(values, k)
    powers, (stride, stride_exponent) = _table(values)
    there = (W != 0) & (M != 0)[:, None, None]
    whole = np.where(there, F + E[:, None, None], np.iinfo(np.int64).min // 2)
    G = np.max(whole, axis=(0, 2))
    G = np.where(np.any(there, axis=(0, 2)), G, 0)
    count = np.count_nonzero(there, axis=0)  # (p, m); what is not there adds nothing, exactly
    parts = np.hstack([powers.real, -powers.imag])
    sizes = np.abs(powers)
    lower, upper = np.zeros(p), np.zeros(p)
    absolute = (18.0 * _LEVELS + 4.0) * TINY * count.reshape(-1)
    gap = np.nextafter(1.0 - size, 0.0)
    V = _weights(M, W, E[:, None, None] + F - G[:, None], there)
    modal = _modes(V, gap, there, 0)
    block = 0
    while True:
        table = V.reshape(n, -1)
        K = np.abs(parts @ np.vstack([table.real, table.imag]))
        relative = 8.0 * UNIT * (block + 2 + _LEVELS) + gamma(2 * n)
        error = (sizes @ np.abs(table)) * (2 * relative) + absolute
        lower += np.sum(np.maximum(K - error, 0.0), axis=0).reshape(p, m).sum(axis=1)
        upper += np.sum(K + error, axis=0).reshape(p, m).sum(axis=1)
        block += 1
        M, shift = _mantissas(M * stride)
        E = np.maximum(E + stride_exponent + shift, 2 * _DEEPEST)
        V = _weights(M, W, E[:, None, None] + F - G[:, None], there)
        rest = _modes(V, gap, there, block)
        # a rest below the error of the sum so far: more terms leave the enclosure as wide
        enough = rest <= np.maximum(_REST * lower, upper - lower)
        if bool(np.all(enough)) or block >= _MOST_BLOCKS:
            break
    # sums of terms of one sign: of a block, over the inputs, over the blocks, and the last one
    slack = 2 * gamma(_BLOCK + m + 8 + block)
    lower = np.maximum(np.nextafter(lower * (1 - slack), -np.inf), 0.0)
    upper, modal = ((x + y) * (1 + slack) for x, y in ((upper, rest), (modal, 0.0)))
    ends = [np.where(x == 0, 0.0, np.nextafter(x, np.inf)) for x in (upper, modal)]
    return lower, ends[0], ends[1], G


def _each(rounded: Any, x: Array, exponents: Integers) -> Array:
    return np.array([rounded(a, e) for a, e in zip(x.tolist(), exponents.tolist(), strict=True)])


def _sizes_upper(values: Complex) -> Array:
    """Return doubles >= |lambda_i|, exact for real and imaginary ones."""
    # scaled to largest part in [1/2, 1): two squares, a sum and a root err by less than 3 u, where
    # a part or a square that underflows loses at most eta of at least 1/4
    scaled, e = _mantissas(values)
    root = np.sqrt(np.square(scaled.real) + np.square(scaled.imag))
    root = np.nextafter(np.ldexp(root * (1 + 4 * UNIT), e.astype(np.int32)), np.inf)
    exact = (values.real == 0) | (values.imag == 0)
    return np.where(exact, np.abs(values.real) + np.abs(values.imag), root)


def _mantissas(z: Complex) -> tuple[Complex, Integers]:
    """Return z / 2**e and e, the larger part of z / 2**e in [1/2, 1); e = 0 where z = 0.

    The larger part is exact; the other errs by at most eta / 2.
    """
    e = np.frexp(np.maximum(np.abs(z.real), np.abs(z.imag)))[1].astype(np.int64)
    return _shifted(z, -e), e


def _shifted(z: Complex, e: Integers) -> Complex:
    """Return z 2**e, each part rounded once, only where it is subnormal."""
    result = np.empty(np.broadcast_shapes(z.shape, e.shape), dtype=np.complex128)
    clipped = np.clip(e, -4000, 4000).astype(np.int32)
    result.real, result.imag = np.ldexp(z.real, clipped), np.ldexp(z.imag, clipped)
    return result


def _scaled_powers(values: Complex, k: int) -> tuple[Complex, Integers]:
    r"""Return M and E with lambda_i**k = M_i 2**E_i, |error of M_i| <= 2 u |M_i|.

    By repeated squaring of integers a + i b of P bits, see `_cut`.  At most 2 k cuts enter
    lambda^k, counted with their multiplicity:

        P = 104 + bits of k   =>   relative error <= 2 k 2^(2-P) (1 + small) <= 2^-100.

    The parts are then rounded to doubles, by at most u |M_i|, M_i being |part| >= 1/2.
    """
    bits = 104 + k.bit_length()
    powers = []
    for z in values.tolist():
        square, result, rest = _cut(*_integers(z), bits), (1, 0, 0), k
        while rest:
            if rest & 1:
                result = _times(result, square, bits)
            rest >>= 1
            if rest:
                square = _times(square, square, bits)
        powers.append(result)
    return _as_mantissas(powers)


def _integers(z: complex) -> tuple[int, int, int]:
    """Return integers a, b and e with z = (a + i b) 2**e."""
    real, imag = z.real.as_integer_ratio(), z.imag.as_integer_ratio()
    # denominators are powers of two
    common = max(real[1], imag[1])
    return real[0] * (common // real[1]), imag[0] * (common // imag[1]), 1 - common.bit_length()


def _cut(a: int, b: int, e: int, bits: int) -> tuple[int, int, int]:
    """Return the larger part of (a + i b) 2**e cut to so many bits, and as many of the other.

    Both change by less than one unit, of which the larger has 2^(bits-1): the number changes
    relatively by less than 2^(2-bits).
    """
    excess = max(max(a.bit_length(), b.bit_length()) - bits, 0)
    return a >> excess, b >> excess, e + excess


def _times(x: tuple[int, int, int], y: tuple[int, int, int], bits: int) -> tuple[int, int, int]:
    a, b, e = x
    c, d, f = y
    return _cut(a * c - b * d, a * d + b * c, e + f, bits)


def _as_mantissas(numbers: list[tuple[int, int, int]]) -> tuple[Complex, Integers]:
    """Return (a + i b) 2**e as M 2**E, each part of M rounded once, the larger in [1/2, 1]."""
    M = np.zeros(len(numbers), dtype=np.complex128)
    E = np.zeros(len(numbers), dtype=np.int64)
    for i, (a, b, e) in enumerate(numbers):
        length = max(a.bit_length(), b.bit_length())
        if length:
            M[i] = complex(a / (1 << length), b / (1 << length))
            E[i] = max(e + length, _DEEPEST)
    return M, E


def _table(values: Complex) -> tuple[Complex, tuple[Complex, Integers]]:
    r"""Return lambda_i**t for t < `_BLOCK`, (t, n), and `_scaled_powers` for t = `_BLOCK`.

    With the powers L_j = lambda^(2^j), rounded to doubles, of error 2 u |L_j| + eta, an entry
    lambda^(s + 2^j), s < 2^j, is a product of one before and L_j.  A complex product errs by less
    than 4 u of its size and 2 eta (four products of parts lose eta / 2 each), so an error of
    alpha |lambda^s| + a before becomes at most

        (alpha + 6 u + small) |lambda^(s + 2^j)| + a (1 + small) + 4 eta,

    and after l levels at most 8 l u of the power and 8 l eta.
    """
    bits = 104 + _BLOCK.bit_length()
    squares = [_cut(*_integers(z), bits) for z in values.tolist()]
    powers = np.ones((_BLOCK, len(values)), dtype=np.complex128)
    for j in range(_LEVELS):
        powers[2**j : 2 ** (j + 1)] = powers[: 2**j] * _shifted(*_as_mantissas(squares))
        squares = [_times(x, x, bits) for x in squares]
    return powers, _as_mantissas(squares)


def _weights(
    M: Complex, W: Complex, shift: Integers, there: np.ndarray[tuple[int, ...], np.dtype[np.bool]]
) -> Complex:
    r"""Return V = M W 2^shift in block s, with an error of at most 8 (s + 2) u |V| + 2 eta.

    M errs by 2 u in the first block and by (4 + 2) u more in each that follows, W by 4 u, their
    product by 4 u: (10 + 6 s) u together.  All are mantissas, whose parts underflow only where they
    are nothing beside the other; the shift loses eta / 2 in each part.
    """
    return np.where(there, _shifted(M[:, None, None] * W, shift), 0.0)


def _modes(
    V: Complex, gap: Array, there: np.ndarray[tuple[int, ...], np.dtype[np.bool]], block: int
) -> Array:
    """Bound the sums over inputs of |V_i| / (1 - |lambda_i|), gap <= 1 - |lambda_i|: (p,)."""
    raised = np.abs(V) * (1 + 16 * UNIT * (block + 3)) + 8 * TINY * there
    total: Array = np.sum(raised / gap[:, None, None], axis=(0, 2))
    # quotients of at least eta each: a rounding is at most u of them, or half of that eta
    return total * (1 + 4 * gamma(raised.size + 8))


def _bound_of_norms(C: Array, B: Complex, lam: float, k: int, input_bound: float) -> float:
    """Return an upper bound of |C| lam^k / (1 - lam) |B| max |x| over |x_j| <= input_bound."""
    if not (np.any(C) and np.any(B)) or input_bound == 0:
        return 0.0
    output, e = scaled_to_one(C)
    entry, f = scaled_to_one(np.vstack([B.real, B.imag]))
    power, exponent = _scaled_powers(np.array([lam + 0j]), k)
    mantissa, g = np.frexp(input_bound)
    total = product_up(L2().matrix_upper(output), L2().matrix_upper(entry))
    raised = float(power[0].real)
    total = product_up(total, up(raised * (1 + 4 * UNIT)) if raised else 0.0)
    total = up(total / down(1.0 - lam))
    total = product_up(product_up(total, over(L2(), Linf(), n=B.shape[1])), float(mantissa))
    return ldexp_up(total, e + f + int(exponent[0]) + int(g))


def window_decay(layer: LinearRecurrence | Block, X: Any) -> tuple[Array, Array]:
    r"""Return by how much exactly a window of inputs shrinks each entry of the state behind it.

    Of h <- a(x) h + u(x), entry by entry, the gap of the truncated model is

    .. math:: |h_t - h_t^k| = \prod_{j = t-k+1}^{t} a(x_j)\, |h_{t-k}|,

    for a selective state-space layer exp(-a (Delta_{t-k+1} + ... + Delta_t)) |h_{t-k}|.

    Parameters
    ----------
    layer : LinearRecurrence, or Block of one without `after`
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
    core, before = core_of(layer) or (None, None)
    if not isinstance(core, LinearRecurrence):
        raise ValueError(
            f"received {layer!r}, needed a map h <- a(x) h + u(x) such as theory.SelectiveSSM"
        )
    inputs = as_sequences("X", X, width=layer.input_dim)
    if inputs.ndim != 2:
        raise ValueError(f"X has shape {inputs.shape}, needed one window (k, {layer.input_dim})")
    low, high = np.ones(layer.state_dim), np.ones(layer.state_dim)
    for x in inputs:
        least, largest = core.decay_range(seen(before, (x, x)))
        low = np.maximum(np.nextafter(low * least, -np.inf), 0.0)
        high = np.nextafter(high * largest, np.inf)
    return low, high
