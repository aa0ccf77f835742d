r"""Hypothesis strategies for the suites of users; loaded only when asked for.

Main names: `certified_maps`, `stable_maps`, `any_maps`, `lstm_maps`, `gru_maps`, `esn_maps`,
`diagonal_maps`, `recurrence_maps`, `cascade_maps`, `experiments`, `learning_experiments`,
`input_sequences`, `states`, `matrices_with_norm`, `norms`, `factors`, `activations`.

Instances are *built* to satisfy what is promised, by scaling to the target norm; nothing is
filtered.  The ends of every range are likely (lam = 0 and lam = 0.9999, one state, no inputs), and
a failing example shrinks to what a person would draw: few states, the identity as activation, the
Euclidean norm, lam = 1/2, a multiple of the identity as matrix, inputs of zeros and ones.

An argument may be a value, a strategy for such values, or None for the strategy named in its
description.

Examples
--------
A test of the user's own function on every certified map:

>>> from hypothesis import given, settings
>>> from theory import truncation_gaps
>>> @settings(deadline=None)  # the first call compiles
... @given(certified_maps())
... def test_no_gap_once_every_input_is_seen(pair):
...     recurrent, certificate = pair
...     inputs = [[1.0] * recurrent.input_dim] * 3
...     assert truncation_gaps(recurrent, inputs, 3, certificate.norm)[3] == 0
>>> test_no_gap_once_every_input_is_seen()
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, cast

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from theory.activations import ACTIVATIONS, IDENTITY, Activation, leaky_relu
from theory.activations import activation as look_up
from theory.certificates import Contraction
from theory.certify import contraction
from theory.errors import check_count, check_nonnegative, check_rate
from theory.learning import training_setup
from theory.losses import LOSSES
from theory.maps import (
    GRU,
    LSTM,
    RGLRU,
    Cascade,
    DiagonalSSM,
    EchoStateNetwork,
    LinearMap,
    Map,
    MinGRU,
    SelectiveSSM,
    VanillaRNN,
)
from theory.maps.gru import VARIANTS
from theory.measure import Experiment, experiment
from theory.norms import L1, L2, Linf, Norm, WeightedL1, WeightedL2, WeightedLinf
from theory.rounding import evaluate
from theory.theorems.contractive_of_matrix_norm import formula as factor_of_norm
from theory.truncation import LinearHead
from theory.typing import Array

#: Factors that are drawn often, simplest first: both ends of [0, 1) and what users type.
_FACTORS = (0.5, 0.0, 0.9, 1e-3, 0.99, 0.9999, 1 - 2.0**-20)

#: Numbers of magnitude at most 1 that a person would write, simplest first.
_SIMPLE = (0.0, 1.0, -1.0, 0.5, -0.5, 0.25, -0.25, 0.75, -0.75, 0.125, -0.125)

#: Positive weights whose products and quotients are exact, simplest first.
_WEIGHTS = (1.0, 2.0, 0.5, 4.0, 0.25, 16.0)

_EMPTY_RANGE = "min_length={} exceeds max_length={}, needed min_length <= max_length"

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
    return st.one_of(drawn)


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
def _arrays(shape: int | tuple[int, ...], bound: float = 1.0) -> st.SearchStrategy[Array]:
    return arrays(np.float64, shape, elements=_entries(bound), fill=st.just(0.0))


def states(n: int, bound: float = 1.0) -> st.SearchStrategy[Array]:
    """Draw a state, (n,), with entries of magnitude at most `bound`.

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
    return _arrays(n, float(bound))


@st.composite
def _matrices(draw: st.DrawFn, n: int, m: int) -> Array:
    """Draw an (n, m) matrix that is not zero and has entries of magnitude about 1."""
    shape = draw(st.sampled_from(_SHAPES))
    if shape == "identity":
        return np.eye(n, m)
    if shape == "ones":
        return np.ones((n, m))
    if shape == "shift":  # nilpotent: large in every norm, yet it forgets in n steps
        return np.eye(n, m, 1) if m > 1 else np.eye(n, m)
    if shape == "rank one":
        A = np.outer(draw(_arrays(n)), draw(_arrays(m)))
    else:
        A = draw(_arrays((n, m)))
    if shape == "badly scaled":
        powers = 2.0 ** np.arange(max(n, m))
        A = A * powers[:n, None] / powers[:m]
    if not A.any():
        return np.eye(n, m)
    if shape == "orthogonal":
        A = np.asarray(np.linalg.qr(A if n >= m else A.T)[0])
        A = A if n >= m else A.T
    return np.ascontiguousarray(A)


def _scaled(A: Array, size: float, upper: Callable[[Array], float]) -> Array:
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
    >>> A = find(matrices_with_norm(2, Linf(), 0.5), lambda A: A[0, 1] != 0)
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
    measure, target = _drawn(draw, norm), _drawn(draw, size)
    source = None if m is None else measure.companion
    A = draw(_matrices(n, n if m is None else m))
    return _scaled(A, float(target), lambda B: measure.matrix_upper(B, source))


def input_sequences(
    width: int,
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
        raise ValueError(_EMPTY_RANGE.format(min_length, max_length))
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
        x = draw(_arrays((length, width)))
    else:
        x = np.tile(draw(_arrays(width)), (length, 1))
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


def stable_maps(
    state_dim: int | st.SearchStrategy[int] | None = None,
    input_dim: int | st.SearchStrategy[int] | None = None,
    lam: float | st.SearchStrategy[float] | None = None,
    norm: Norm | st.SearchStrategy[Norm] | None = None,
    activation: str | Activation | st.SearchStrategy[Activation] | None = None,
) -> st.SearchStrategy[Map]:
    r"""Draw a `LinearMap` or `VanillaRNN` that is proved to contract; see `certified_maps`.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(stable_maps(), lambda recurrent: recurrent.state_dim == 2).affine().W.shape
    (2, 2)
    """
    return certified_maps(state_dim, input_dim, lam, norm, activation).map(lambda pair: pair[0])


def certified_maps(
    state_dim: int | st.SearchStrategy[int] | None = None,
    input_dim: int | st.SearchStrategy[int] | None = None,
    lam: float | st.SearchStrategy[float] | None = None,
    norm: Norm | st.SearchStrategy[Norm] | None = None,
    activation: str | Activation | st.SearchStrategy[Activation] | None = None,
) -> st.SearchStrategy[tuple[Map, Contraction]]:
    r"""Draw a map and the contraction that `theory.contraction` certifies for it.

    Parameters
    ----------
    state_dim, input_dim : int or strategy, optional
        1 to 5 states and 1 to 3 inputs by default.
    lam : float or strategy, optional
        The factor aimed at, `factors` by default; the certified one does not exceed it, and is
        smaller by rounding only.
    norm : Norm or strategy, optional
        The norm of the contraction, `norms` by default.
    activation : str, Activation or strategy, optional
        `activations` by default; only the identity if the norm is given and not monotone.

    Raises
    ------
    ValueError
        If a value is malformed: at once if it was given as a value, else when it is drawn.  Also
        when an activation that is not linear meets a norm that is not monotone: no criterion
        certifies such a map.

    Examples
    --------
    >>> from hypothesis import find
    >>> recurrent, certificate = find(certified_maps(lam=0.9, norm=Linf()), lambda pair: True)
    >>> certificate.lam <= 0.9, certificate.norm
    (True, Linf)
    """
    if state_dim is not None and not isinstance(state_dim, st.SearchStrategy):
        check_count(at_least=1, state_dim=state_dim)
        if isinstance(norm, Norm):
            norm.check_dim(state_dim)
    if input_dim is not None and not isinstance(input_dim, st.SearchStrategy):
        check_count(at_least=1, input_dim=input_dim)
    if lam is not None and not isinstance(lam, st.SearchStrategy):
        check_rate(lam)
    if isinstance(activation, str | Activation):
        activation = look_up(activation)
        if isinstance(norm, Norm):
            _check_certifiable(activation, norm)
    return _certified_maps(state_dim, input_dim, lam, norm, activation)


def _check_certifiable(rho: Activation, norm: Norm) -> None:
    if not norm.monotone and rho.slope[0] != rho.slope[1]:
        raise ValueError(
            f"activation {rho.name!r} with the norm {norm.label}, which is not monotone, has no "
            "certificate; pass activation='identity', or a monotone norm such as L2()"
        )


@st.composite
def _certified_maps(
    draw: st.DrawFn,
    state_dim: int | st.SearchStrategy[int] | None,
    input_dim: int | st.SearchStrategy[int] | None,
    lam: float | st.SearchStrategy[float] | None,
    norm: Norm | st.SearchStrategy[Norm] | None,
    activation: Activation | st.SearchStrategy[Activation] | None,
) -> tuple[Map, Contraction]:
    given = norm if isinstance(norm, Norm) else None
    dims = st.integers(1, 5) if given is None or given.dim is None else st.just(given.dim)
    n = _drawn(draw, dims if state_dim is None else state_dim)
    m = _drawn(draw, st.integers(1, 3) if input_dim is None else input_dim)
    factor = float(_drawn(draw, factors() if lam is None else lam))
    check_rate(factor)
    if activation is None and given is not None and not given.monotone:
        activation = IDENTITY
    rho = look_up(_drawn(draw, activations() if activation is None else activation))
    linear = rho.slope[0] == rho.slope[1]
    measure = _drawn(draw, norms(n, monotone=not linear) if norm is None else norm)
    measure.check_dim(n)
    _check_certifiable(rho, measure)

    def upper(A: Array) -> float:
        return evaluate(factor_of_norm, slope=rho.lipschitz, norm=measure.matrix_upper(A))

    W = _scaled(draw(_matrices(n, n)), factor, upper)
    U = draw(_matrices(n, m))
    b = draw(states(n, 2.0))
    recurrent = LinearMap(W, U, b) if rho is IDENTITY else VanillaRNN(W, U, b, rho)
    return recurrent, cast("Contraction", contraction(recurrent, norm=measure))


def _some(value: int | None, largest: int, name: str) -> st.SearchStrategy[int]:
    """Return a strategy for a count, from 1 on unless it is given."""
    if value is None:
        return st.integers(1, largest)
    check_count(at_least=1, **{name: value})
    return st.just(int(value))


@st.composite
def _weights(draw: st.DrawFn, gates: int, n: int, m: int, size: float) -> Array:
    """Draw the rows of several gates, (gates n, m), with entries of magnitude at most `size`."""
    rows = []
    for _ in range(gates):
        # a gate that sees nothing is the simplest
        share = draw(st.sampled_from((0.0, 1.0, 0.5, -1.0, 0.125)))
        A = draw(_matrices(n, m)) if share else np.zeros((n, m))
        rows.append(size * share * A / max(1.0, float(np.max(np.abs(A)))))
    return np.concatenate(rows)


def lstm_maps(
    units: int | None = None, input_dim: int | None = None, size: float = 1.0
) -> st.SearchStrategy[LSTM]:
    r"""Draw an `LSTM` with weights and biases of magnitude at most `size`; the simplest is zero.

    Parameters
    ----------
    units, input_dim : int, optional
        1 to 3 of each by default.
    size : float
        Nothing is certified; small weights make likely what contracts.

    Raises
    ------
    ValueError
        If a count is not a positive integer, or the size is negative.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(lstm_maps(), lambda cell: cell.units == 2).W.shape
    (8, 2)
    """
    check_nonnegative(size=size)
    return _lstm_maps(_some(units, 3, "units"), _some(input_dim, 3, "input_dim"), float(size))


@st.composite
def _lstm_maps(
    draw: st.DrawFn, units: st.SearchStrategy[int], input_dim: st.SearchStrategy[int], size: float
) -> LSTM:
    n, m = draw(units), draw(input_dim)
    return LSTM(
        draw(_weights(4, n, n, size)), draw(_weights(4, n, m, size)), draw(_arrays(4 * n, size))
    )


def gru_maps(
    units: int | None = None,
    input_dim: int | None = None,
    size: float = 1.0,
    variant: str | None = None,
) -> st.SearchStrategy[GRU]:
    r"""Draw a `GRU` with weights and biases of magnitude at most `size`; the simplest is zero.

    Parameters
    ----------
    units, input_dim : int, optional
        1 to 3 of each by default.
    size : float
    variant : str, optional
        ``reset_after`` or ``reset_before``, either by default.

    Raises
    ------
    ValueError
        If a count is not a positive integer, the size is negative, or the variant is unknown.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(gru_maps(), lambda cell: cell.variant == "reset_before").W.shape
    (3, 1)
    """
    check_nonnegative(size=size)
    if variant is not None and variant not in VARIANTS:
        raise ValueError(f"variant={variant!r}, needed one of: {', '.join(VARIANTS)}")
    variants = st.sampled_from(VARIANTS) if variant is None else st.just(variant)
    counts = _some(units, 3, "units"), _some(input_dim, 3, "input_dim")
    return _gru_maps(*counts, float(size), variants)


@st.composite
def _gru_maps(
    draw: st.DrawFn,
    units: st.SearchStrategy[int],
    input_dim: st.SearchStrategy[int],
    size: float,
    variants: st.SearchStrategy[str],
) -> GRU:
    n, m, variant = draw(units), draw(input_dim), draw(variants)
    W, U = draw(_weights(3, n, n, size)), draw(_weights(3, n, m, size))
    b = draw(_arrays(3 * n, size))
    candidate = draw(_arrays(n, size)) if variant == "reset_after" else None
    return GRU(W, U, b, candidate, variant)


def esn_maps(
    state_dim: int | None = None, input_dim: int | None = None, size: float = 1.0
) -> st.SearchStrategy[EchoStateNetwork]:
    r"""Draw an `EchoStateNetwork` with weights and biases of magnitude at most `size`.

    Parameters
    ----------
    state_dim, input_dim : int, optional
        1 to 4 states and 1 to 3 inputs by default.
    size : float

    Raises
    ------
    ValueError
        If a count is not a positive integer, or the size is negative.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(esn_maps(), lambda cell: cell.leak[0] < 1).leak.tolist()
    [0.5]
    """
    check_nonnegative(size=size)
    counts = _some(state_dim, 4, "state_dim"), _some(input_dim, 3, "input_dim")
    return _esn_maps(*counts, float(size))


@st.composite
def _esn_maps(
    draw: st.DrawFn,
    state_dim: st.SearchStrategy[int],
    input_dim: st.SearchStrategy[int],
    size: float,
) -> EchoStateNetwork:
    n, m = draw(state_dim), draw(input_dim)
    W, U = draw(_weights(1, n, n, size)), draw(_weights(1, n, m, size))
    rates = st.sampled_from((1.0, 0.5, 0.125)) | st.floats(2.0**-20, 1.0)
    leak = draw(arrays(np.float64, n, elements=rates)) if draw(st.booleans()) else draw(rates)
    return EchoStateNetwork(W, U, draw(_arrays(n, size)), leak, draw(activations()))


def diagonal_maps(
    units: int | None = None, input_dim: int | None = None, radius: float = 0.9
) -> st.SearchStrategy[DiagonalSSM]:
    r"""Draw a `DiagonalSSM` whose eigenvalues have modulus at most `radius`.

    Parameters
    ----------
    units, input_dim : int, optional
        1 to 3 of each by default; the state has twice as many entries as there are units.
    radius : float

    Raises
    ------
    ValueError
        If a count is not a positive integer, or the radius is negative.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(diagonal_maps(), lambda layer: layer.eigenvalues[0].imag != 0).units
    1
    """
    check_nonnegative(radius=radius)
    counts = _some(units, 3, "units"), _some(input_dim, 3, "input_dim")
    return _diagonal_maps(*counts, float(radius))


@st.composite
def _diagonal_maps(
    draw: st.DrawFn, units: st.SearchStrategy[int], input_dim: st.SearchStrategy[int], radius: float
) -> DiagonalSSM:
    n, m = draw(units), draw(input_dim)
    turns = st.sampled_from((0.0, 0.5, 1.0, 0.25)) | st.floats(-1.0, 1.0)
    moduli = np.array([draw(factors()) for _ in range(n)])
    angles = np.pi * np.array([draw(turns) for _ in range(n)])
    # the products round: a little inward, so that no modulus exceeds the radius
    values = radius * (1 - 2.0**-50) * moduli * np.exp(1j * angles)
    real, imag = draw(_weights(1, n, m, 1.0)), draw(_arrays((n, m)))
    return DiagonalSSM(values, real + 1j * imag)


def recurrence_maps(
    input_dim: int | None = None, size: float = 1.0
) -> st.SearchStrategy[MinGRU | RGLRU | SelectiveSSM]:
    r"""Draw a map a(x) h + u(x): a `MinGRU`, an `RGLRU` or a `SelectiveSSM`.

    Parameters
    ----------
    input_dim : int, optional
        1 to 3 by default.
    size : float
        Largest magnitude of weights and biases.

    Raises
    ------
    ValueError
        If the dimension is not a positive integer, or the size is negative.

    Examples
    --------
    >>> from hypothesis import find
    >>> type(find(recurrence_maps(), lambda layer: True)).__name__
    'MinGRU'
    """
    check_nonnegative(size=size)
    return _recurrence_maps(_some(input_dim, 3, "input_dim"), float(size))


@st.composite
def _recurrence_maps(
    draw: st.DrawFn, input_dim: st.SearchStrategy[int], size: float
) -> MinGRU | RGLRU | SelectiveSSM:
    m, n = draw(input_dim), draw(st.integers(1, 3))
    kind = draw(st.sampled_from(("minimal", "real-gated", "selective")))
    if kind == "minimal":
        U, b = draw(_weights(2, n, m, size)), draw(_arrays(2 * n, size))
        return MinGRU(U, b, draw(activations()))
    if kind == "real-gated":
        U, b = draw(_weights(2, m, m, size)), draw(_arrays(2 * m, size))
        return RGLRU(U, draw(_arrays(m, 4.0)), b, draw(st.sampled_from((8.0, 1.0))))
    decay = np.exp2(draw(_arrays((m, n), 4.0)))
    step, gain = draw(_weights(1, m, m, size)), draw(_weights(1, n, m, size))
    biases = draw(_arrays(m, size)), draw(_arrays(n, size))
    return SelectiveSSM(decay, step, gain, *biases, draw(st.sampled_from(("euler", "zoh"))))


def cascade_maps(
    depth: int | None = None, input_dim: int | None = None, size: float = 1.0
) -> st.SearchStrategy[Cascade]:
    r"""Draw a `Cascade` of layers of any kind, with or without readouts between them.

    Parameters
    ----------
    depth : int, optional
        Number of layers, 1 to 3 by default.
    input_dim : int, optional
        1 to 3 by default.
    size : float
        Largest magnitude of weights and biases.

    Raises
    ------
    ValueError
        If a count is not a positive integer, or the size is negative.

    Examples
    --------
    >>> from hypothesis import find
    >>> len(find(cascade_maps(), lambda model: len(model.layers) > 1).layers)
    2
    """
    check_nonnegative(size=size)
    return _cascade_maps(_some(depth, 3, "depth"), _some(input_dim, 3, "input_dim"), float(size))


@st.composite
def _cascade_maps(
    draw: st.DrawFn, depth: st.SearchStrategy[int], input_dim: st.SearchStrategy[int], size: float
) -> Cascade:
    layers: list[Map] = []
    readouts: list[Array | LinearHead | None] = []
    width = draw(input_dim)
    for number in range(draw(depth)):
        if number:
            below = layers[-1]
            kind = draw(st.sampled_from(("own", "matrix", "head")))
            width = len(below.output_map) if kind == "own" else draw(st.integers(1, 3))
            C = None if kind == "own" else draw(_weights(1, width, below.state_dim, size))
            readouts.append(LinearHead(C, draw(_arrays(width, size))) if kind == "head" else C)
        layers.append(draw(_layers(width, size)))
    return Cascade(layers, readouts)


def _layers(input_dim: int | None, size: float) -> st.SearchStrategy[Map]:
    """Draw a map of any class but `Cascade`, simplest first."""
    return st.one_of(
        stable_maps(input_dim=input_dim, norm=Linf()),
        esn_maps(input_dim=input_dim, size=size),
        diagonal_maps(input_dim=input_dim),
        lstm_maps(input_dim=input_dim, size=size),
        gru_maps(input_dim=input_dim, size=size),
        recurrence_maps(input_dim=input_dim, size=size),
    )


def any_maps(input_dim: int | None = None, size: float = 1.0) -> st.SearchStrategy[Map]:
    r"""Draw a map of any class that the library has, but for functions of the user's own.

    Parameters
    ----------
    input_dim : int, optional
        1 to 3 by default.
    size : float
        Largest magnitude of weights and biases, of all classes but the linear and vanilla ones;
        those contract.

    Raises
    ------
    ValueError
        If the dimension is not a positive integer, or the size is negative.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(any_maps(input_dim=2), lambda recurrent: recurrent.affine() is None).input_dim
    2
    """
    check_nonnegative(size=size)
    layers = _layers(input_dim, float(size))
    return st.one_of(layers, cascade_maps(input_dim=input_dim, size=size))


def experiments(
    maps: st.SearchStrategy[tuple[Map, Contraction]] | None = None,
    *,
    min_length: int = 0,
    max_length: int = 12,
    any_start: bool = False,
    any_restart: bool = False,
) -> st.SearchStrategy[Experiment]:
    r"""Draw an `Experiment` on which every theorem can be verified.

    Parameters
    ----------
    maps : strategy, optional
        Pairs of a map and its contraction, `certified_maps` by default.
    min_length, max_length : int
        Range of T, the number of inputs; the largest truncation length is one of T, T + 5, T - 1,
        1 and 0.
    any_start, any_restart : bool
        Whether the recurrent model, and the truncated one, start anywhere instead of at zero.

    Raises
    ------
    ValueError
        If a length is not a count or the range is empty.

    Examples
    --------
    >>> from hypothesis import given
    >>> from theory import THEOREMS, Outcome, verify
    >>> @given(experiments())
    ... def test_nothing_is_refuted(made):
    ...     assert all(verify(theorem, made).outcome is not Outcome.REFUTED for theorem in THEOREMS)
    """
    check_count(min_length=min_length, max_length=max_length)
    if min_length > max_length:
        raise ValueError(_EMPTY_RANGE.format(min_length, max_length))
    lengths = st.integers(min_length, max_length)
    return _experiments(certified_maps() if maps is None else maps, lengths, any_start, any_restart)


@st.composite
def _experiments(
    draw: st.DrawFn,
    maps: st.SearchStrategy[tuple[Map, Contraction]],
    sequence_lengths: st.SearchStrategy[int],
    any_start: bool,
    any_restart: bool,
) -> Experiment:
    recurrent, certificate = draw(maps)
    n, m = recurrent.state_dim, recurrent.input_dim
    length = draw(sequence_lengths)
    x = draw(input_sequences(m, length, length, bound=2.0))
    lengths = dict.fromkeys((length, length + 5, max(length - 1, 0), 1, 0))
    partner, partner_certificate = draw(certified_maps(n, m))
    return experiment(
        recurrent,
        x,
        contraction=certificate,
        k_max=draw(st.sampled_from(tuple(lengths))),
        start=draw(states(n, 4.0)) if any_start else None,
        restart=draw(states(n, 4.0)) if any_restart else None,
        other_start=draw(states(n, 4.0)),
        other_inputs=draw(input_sequences(m, length, length, bound=2.0)),
        head=LinearHead(draw(_matrices(draw(st.integers(1, 2)), n))),
        other_norm=draw(norms(n)),
        partner=partner,
        partner_contraction=partner_certificate,
        label="drawn by theory.strategies",
    )


def learning_experiments(*, max_length: int = 8, steps: int = 2) -> st.SearchStrategy[Experiment]:
    r"""Draw an `Experiment` on which the theorems about gradients and training can be verified.

    The activation is twice differentiable, the norm is `L2`, and there is a loss, targets, and a
    second parameter vector between which every map contracts.

    Parameters
    ----------
    max_length : int
        Largest T; at least 2.
    steps : int
        Of the descents.

    Raises
    ------
    ValueError
        If a count is too small.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(learning_experiments(), lambda made: made.training.loss.name == "bernoulli").k_max
    2
    """
    check_count(at_least=2, max_length=max_length)
    check_count(steps=steps)
    return _learning_experiments(int(max_length), int(steps))


#: Twice differentiable, simplest first.
_SMOOTH = tuple(rho for rho in ACTIVATIONS.values() if np.isfinite(rho.curvature))


@st.composite
def _learning_experiments(draw: st.DrawFn, max_length: int, steps: int) -> Experiment:
    rho = draw(st.sampled_from(sorted(_SMOOTH, key=lambda r: r is not IDENTITY)))
    lam = draw(st.sampled_from((0.5, 0.0, 0.9, 1e-3, 0.99)))
    recurrent, certificate = draw(certified_maps(lam=lam, norm=L2(), activation=rho))
    n, m = recurrent.state_dim, recurrent.input_dim
    T = draw(st.integers(2, max_length))
    names = tuple(recurrent.parameters)
    trained = draw(st.sampled_from((names, *((name,) for name in names))))
    # towards smaller parameters, so that every map on the way contracts by no more
    share = draw(st.sampled_from((0.0, 2.0**-20, 0.25, 1.0)))
    other = recurrent.with_parameters(
        **{name: recurrent.parameters[name] * (1.0 - share) for name in trained}
    )
    loss = draw(st.sampled_from(tuple(LOSSES)))
    p = draw(st.integers(1, 3))
    if loss == "cross_entropy":
        goal = draw(arrays(np.float64, T, elements=st.integers(0, p - 1).map(float)))
    elif loss == "bernoulli":
        goal = draw(arrays(np.float64, (T, p), elements=st.sampled_from((0.0, 1.0, 0.5))))
    else:
        goal = draw(_arrays((T, p), 2.0))
    return experiment(
        recurrent,
        draw(input_sequences(m, T, T, bound=2.0)),
        contraction=certificate,
        k_max=T,
        head=LinearHead(draw(_matrices(p, n))),
        training=training_setup(
            recurrent, goal, loss=loss, other=other, trained=trained, steps=steps,
            alpha=draw(st.sampled_from((0.125, 1.0, 2.0**-10))),
        ),
        label="drawn by theory.strategies",
    )  # fmt: skip


def _drawn(draw: st.DrawFn, value: Any) -> Any:
    """Return a value, drawn if it is a strategy."""
    return draw(value) if isinstance(value, st.SearchStrategy) else value
