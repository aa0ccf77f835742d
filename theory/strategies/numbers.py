"""Strategies for factors, activations, norms, states, matrices and inputs.

Main names: `factors`, `activations`, `norms`, `states`, `matrices_with_norm`, `input_sequences`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from theory.arithmetic.activations import ACTIVATIONS, IDENTITY, Activation, leaky_relu
from theory.errors import check_count, check_nonnegative
from theory.norms.blocks import BlockMax
from theory.norms.norms import L1, L2, Linf, Norm, WeightedL1, WeightedL2, WeightedLinf
from theory.typing import Array

#: Factors that are drawn often, simplest first: both ends of [0, 1) and what users type.
_FACTORS = (0.5, 0.0, 0.9, 1e-3, 0.99, 0.9999, 1 - 2.0**-20)

#: Numbers of magnitude at most 1 that a person would write, simplest first.
_SIMPLE = (0.0, 1.0, -1.0, 0.5, -0.5, 0.25, -0.25, 0.75, -0.75, 0.125, -0.125)

#: Positive weights whose products and quotients are exact, simplest first.
_WEIGHTS = (1.0, 2.0, 0.5, 4.0, 0.25, 16.0)

EMPTY_RANGE = "min_length={} exceeds max_length={}, needed min_length <= max_length"

#: Characters of a matrix, simplest first; "dense" leaves every entry to chance.
_SHAPES = ("identity", "dense", "ones", "shift", "orthogonal", "rank one", "badly scaled")


# strategies are values: those that are drawn from again and again are made once
_DRAWN_FACTORS = st.sampled_from(_FACTORS) | st.floats(0.0, 1.0, exclude_max=True)
_LEAKS = st.sampled_from((0.5, 0.125, -0.5, -1.5, 2.0)) | st.floats(-2.0, 2.0)
_ACTIVATIONS = st.sampled_from(
    (IDENTITY, *(rho for rho in ACTIVATIONS.values() if rho is not IDENTITY))
) | _LEAKS.map(leaky_relu)


def factors() -> st.SearchStrategy[float]:
    """Draw a contraction factor, 0 <= lam < 1; 0, 0.9999 and 1 - 2**-20 are frequent.

    Examples
    --------
    >>> from hypothesis import find
    >>> 0.95 < find(factors(), lambda lam: lam > 0.95) < 1
    True
    """
    return _DRAWN_FACTORS


def activations() -> st.SearchStrategy[Activation]:
    """Draw an activation, the identity first; leaky ones have any leak from -2 to 2.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(activations(), lambda rho: rho.lipschitz > 1).name.startswith("leaky_relu")
    True
    """
    return _ACTIVATIONS


def norms(dim: int, *, monotone: bool = False) -> st.SearchStrategy[Norm]:
    """Draw a norm on R^dim: Euclidean, maximum, sum, or a weighted one of these.

    Parameters
    ----------
    dim : int
    monotone : bool
        Whether to leave out the weighted Euclidean norms of a full P, in which an elementwise
        activation may expand.

    Raises
    ------
    ValueError
        If the dimension is not a positive integer.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(norms(2), lambda norm: not norm.monotone)
    L2,P
    """
    check_count(at_least=1, dim=dim)
    return _norms(int(dim), monotone)


@cache
def _norms(dim: int, monotone: bool) -> st.SearchStrategy[Norm]:
    weights = arrays(np.float64, dim, elements=st.sampled_from(_WEIGHTS))
    plain: tuple[Norm, ...] = (L2(), Linf(), L1())
    drawn: list[st.SearchStrategy[Norm]] = [
        st.sampled_from(plain),
        weights.map(WeightedLinf),
        weights.map(WeightedL1),
        weights.map(np.diag).map(WeightedL2),
    ]
    if dim > 1 and not monotone:
        drawn.append(_oblique_norms(dim))
    if dim > 1:
        drawn.append(_two_blocks(dim, monotone).map(lambda two: BlockMax(two[0], **two[1])))
    return st.one_of(drawn)


@st.composite
def _two_blocks(draw: st.DrawFn, dim: int, monotone: bool) -> tuple[list[Norm], dict[str, Any]]:
    """Draw the norms of two blocks, with their sizes and weights."""
    first = draw(st.integers(1, dim - 1))
    sizes = (first, dim - first)
    weights = draw(arrays(np.float64, 2, elements=st.sampled_from(_WEIGHTS)))
    return [draw(_norms(size, monotone)) for size in sizes], {"sizes": sizes, "weights": weights}


@st.composite
def _oblique_norms(draw: st.DrawFn, dim: int) -> Norm:
    """Draw a weighted Euclidean norm of a full P = L L^T, L with few binary digits."""
    # quarters of at most 1 beside a unit diagonal: P is exact, and far from singular
    below = draw(arrays(np.float64, (dim, dim), elements=st.sampled_from(_SIMPLE[:9])))
    L = np.tril(below, -1)
    if not L.any():
        L[1, 0] = 1.0
    L += np.diag(draw(arrays(np.float64, dim, elements=st.sampled_from(_WEIGHTS[:3]))))
    return WeightedL2(L @ L.T)


@cache
def _entries(bound: float = 1.0) -> st.SearchStrategy[float]:
    """Draw a number of magnitude at most `bound`; zero and the simple ones are frequent."""
    # single-precision draws have no entries so small that scaling to a norm would overflow
    drawn = st.sampled_from(_SIMPLE) | st.floats(-1.0, 1.0, width=32, allow_subnormal=False)
    return drawn if bound == 1.0 else drawn.map(lambda x: x * bound)


@cache
def float_arrays(shape: int | tuple[int, ...], bound: float = 1.0) -> st.SearchStrategy[Array]:
    """Draw an array with entries of magnitude at most `bound`."""
    return arrays(np.float64, shape, elements=_entries(bound), fill=st.just(0.0))


def states(n: int, bound: float = 1.0) -> st.SearchStrategy[Array]:
    """Draw a state, (n,).

    Parameters
    ----------
    n : int
    bound : float
        Of the magnitude of every entry.

    Raises
    ------
    ValueError
        If n is not a positive integer, or the bound is negative.

    Examples
    --------
    >>> from hypothesis import find
    >>> abs(find(states(1, bound=4.0), lambda h: h.any())) <= 4.0
    array([ True])
    """
    check_count(at_least=1, n=n)
    check_nonnegative(bound=bound)
    return float_arrays(n, float(bound))


@st.composite
def matrices(draw: st.DrawFn, n: int, m: int) -> Array:
    """Draw an (n, m) matrix that is not zero and has entries of magnitude about 1."""
    shape = draw(st.sampled_from(_SHAPES))
    if shape == "identity":
        return np.eye(n, m)
    if shape == "ones":
        return np.ones((n, m))
    if shape == "shift":  # nilpotent: large in every norm, yet it forgets in n steps
        return np.eye(n, m, 1) if m > 1 else np.eye(n, m)
    if shape == "rank one":
        A = np.outer(draw(float_arrays(n)), draw(float_arrays(m)))
    else:
        A = draw(float_arrays((n, m)))
    if shape == "badly scaled":
        powers = 2.0 ** np.arange(max(n, m))
        A = A * powers[:n, None] / powers[:m]
    if not A.any():
        return np.eye(n, m)
    if shape == "orthogonal":
        A = np.asarray(np.linalg.qr(A if n >= m else A.T)[0])
        A = A if n >= m else A.T
    return np.ascontiguousarray(A)


def scaled_to_size(A: Array, size: float, upper: Callable[[Array], float]) -> Array:
    """Return a multiple of A with upper(A) <= size, and equal to it but for rounding."""
    bound = upper(A)
    if size == 0 or bound == 0:
        return np.zeros_like(A)
    # upper() and the product round: step back by ever larger relative amounts until it fits
    B, back = A * (size / bound), 2.0**-52
    while upper(B) > size:
        B, back = A * (size / bound * (1 - back)), 2 * back
    return B


def matrices_with_norm(
    n: int,
    norm: Norm | st.SearchStrategy[Norm] | None = None,
    *,
    size: float | st.SearchStrategy[float] = 0.9,
    m: int | None = None,
) -> st.SearchStrategy[Array]:
    r"""Draw a matrix whose induced norm is at most `size`, and equal to it but for rounding.

    Parameters
    ----------
    n : int
        Number of rows.
    norm : Norm or strategy, optional
        `L2` by default.
    size : float or strategy
        The norm aimed at; ``norm.matrix_upper`` of what is drawn does not exceed it.
    m : int, optional
        Number of columns.  By default the matrix is square and `norm` is on both sides; if given,
        the columns are inputs, measured in ``norm.companion``.

    Raises
    ------
    ValueError
        If a count is not a positive integer, or the size is negative.

    Examples
    --------
    >>> from hypothesis import find
    >>> A = find(matrices_with_norm(2, Linf(), size=0.5), lambda A: A[0, 1] != 0)
    >>> Linf().matrix_upper(A) <= 0.5
    True
    """
    check_count(at_least=1, n=n, m=n if m is None else m)
    if not isinstance(size, st.SearchStrategy):
        check_nonnegative(size=size)
    if isinstance(norm, Norm):
        norm.check_dim(n)
    return _matrices_with_norm(n, L2() if norm is None else norm, size, m)


@st.composite
def _matrices_with_norm(
    draw: st.DrawFn,
    n: int,
    norm: Norm | st.SearchStrategy[Norm],
    size: float | st.SearchStrategy[float],
    m: int | None,
) -> Array:
    measure, target = draw_value(draw, norm), draw_value(draw, size)
    source = None if m is None else measure.companion
    A = draw(matrices(n, n if m is None else m))
    return scaled_to_size(A, float(target), lambda B: measure.matrix_upper(B, source))


def input_sequences(
    width: int,
    *,
    min_length: int = 0,
    max_length: int = 30,
    bound: float = 1.0,
    norm: Norm | None = None,
) -> st.SearchStrategy[Array]:
    r"""Draw inputs, (T, width) with min_length <= T <= max_length.

    Parameters
    ----------
    width : int
        m, the dimension of an input.
    min_length, max_length : int
    bound : float
        Largest size of an input.
    norm : Norm, optional
        In which the size is measured; entry by entry by default, as in `Linf`.

    Raises
    ------
    ValueError
        If a length is not a count or the range is empty, or the bound is negative.

    Examples
    --------
    >>> from hypothesis import find
    >>> len(find(input_sequences(1), lambda x: x.sum() >= 3)) >= 3
    True
    """
    check_count(at_least=1, width=width)
    check_count(min_length=min_length, max_length=max_length)
    check_nonnegative(bound=bound)
    if min_length > max_length:
        raise ValueError(EMPTY_RANGE.format(min_length, max_length))
    if norm is not None:
        norm.check_dim(width)
    return _input_sequences(width, min_length, max_length, float(bound), norm)


@st.composite
def _input_sequences(
    draw: st.DrawFn, width: int, min_length: int, max_length: int, bound: float, norm: Norm | None
) -> Array:
    length = draw(st.integers(min_length, max_length))
    kind = draw(st.sampled_from(("constant", "any", "alternating")))
    if kind == "any":
        x = draw(float_arrays((length, width)))
    else:
        x = np.tile(draw(float_arrays(width)), (length, 1))
        if kind == "alternating":
            x[1::2] *= -1.0
    if norm is not None:
        # rows outside the unit ball are brought onto its surface, so that they stay inside when
        # measured from above; in an unweighted norm a lone entry is inside as it is
        sizes = np.atleast_1d(norm.vector_upper(x))
        lone = (np.count_nonzero(x, axis=1) <= 1) & (norm.dim is None)
        outside = (sizes > 1.0) & ~lone
        x[outside] *= ((1 - 2.0**-40) / sizes[outside])[:, None]
    return x * bound


def draw_value(draw: st.DrawFn, value: Any) -> Any:
    """Return a value, drawn if it is a strategy."""
    return draw(value) if isinstance(value, st.SearchStrategy) else value
