"""Strategies for maps of every class, certified and not.

Main names: `certified_maps`, `stable_maps`, `any_maps`, `lstm_maps`, `gru_maps`, `esn_maps`,
`diagonal_maps`, `recurrence_maps`, `memory_maps`, `block_maps`, `cascade_maps`, `peephole_maps`,
`slstm_maps`, `hard_gru_maps`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from theory.arithmetic.activations import IDENTITY, Activation
from theory.arithmetic.activations import activation as look_up
from theory.arithmetic.hard import GATES
from theory.arithmetic.rounding import evaluate
from theory.certificates import Contraction
from theory.certify.interface import contraction
from theory.errors import check_count, check_nonnegative, check_rate
from theory.maps.attention import LinearAttention
from theory.maps.base import Map
from theory.maps.block import Block
from theory.maps.cascade import Cascade
from theory.maps.combine import Chain, Product, Sum
from theory.maps.delta import RULES, DeltaRule
from theory.maps.diagonal import DiagonalSSM
from theory.maps.esn import EchoStateNetwork
from theory.maps.exponential import FORGET, SLSTM
from theory.maps.functions import Dense, Function, Pointwise, Select
from theory.maps.gru import GRU, VARIANTS
from theory.maps.hard_gru import HardGRU
from theory.maps.head import LinearHead
from theory.maps.linear import LinearMap
from theory.maps.lstm import LSTM
from theory.maps.mingru import MinGRU
from theory.maps.normalize import Normalize
from theory.maps.peephole import PeepholeLSTM
from theory.maps.rglru import RGLRU
from theory.maps.rnn import VanillaRNN
from theory.maps.selective import SelectiveSSM
from theory.measure.gaps import truncation_gaps
from theory.norms.norms import Linf, Norm
from theory.strategies.numbers import (
    activations,
    draw_value,
    factors,
    float_arrays,
    matrices,
    norms,
    scaled_to_size,
    states,
)
from theory.strategies.shown import noted
from theory.theorems.contractive_of_matrix_norm import formula as factor_of_norm
from theory.typing import Array


def stable_maps(
    state_dim: int | st.SearchStrategy[int] | None = None,
    input_dim: int | st.SearchStrategy[int] | None = None,
    *,
    lam: float | st.SearchStrategy[float] | None = None,
    norm: Norm | st.SearchStrategy[Norm] | None = None,
    activation: str | Activation | st.SearchStrategy[Activation] | None = None,
) -> st.SearchStrategy[Map]:
    r"""Draw a `LinearMap` or `VanillaRNN` that is proved to contract.

    The parameters are those of `certified_maps`.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(stable_maps(), lambda recurrent: recurrent.state_dim == 2).affine().W.shape
    (2, 2)
    """
    return certified_maps(state_dim, input_dim, lam=lam, norm=norm, activation=activation).map(
        lambda pair: pair[0]
    )


#: A small map of n states for each kernel that runs one.
_SMALLEST: dict[str, Callable[[int], Map]] = {
    "plain": lambda n: VanillaRNN(np.eye(n) / 2, np.eye(n)),
    "lstm": lambda n: LSTM(np.zeros((4 * n, n)), np.zeros((4 * n, n))),
    "gru": lambda n: GRU(np.zeros((3 * n, n)), np.zeros((3 * n, n))),
    "leaky": lambda n: EchoStateNetwork(np.eye(n) / 2, np.eye(n), leak=0.5),
    "diagonal": lambda n: DiagonalSSM(np.full(n, 0.5), np.eye(n)),
    "entrywise": lambda n: MinGRU(np.ones((2 * n, n))),
}


@functools.cache
def _compile(kind: str) -> None:
    """Compile what runs a kind of maps, or read it from the disk, once in a process.

    It is done where a strategy is made: no example is charged for it, so that Hypothesis' default
    deadline and its check of slow drawing can stand.
    """
    for n in (1, 2):  # a matrix of one row is laid out otherwise, and compiled by itself
        cell = _SMALLEST[kind](n)
        cell.simulate(np.zeros((1, n)))
        truncation_gaps(cell, np.zeros((9, n)), k_max=3)


def certified_maps(
    state_dim: int | st.SearchStrategy[int] | None = None,
    input_dim: int | st.SearchStrategy[int] | None = None,
    *,
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
    _compile("plain")
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
    drawn = _certified_maps(state_dim, input_dim, lam, norm, activation)
    return drawn.map(lambda pair: (noted(pair[0]), pair[1]))


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
    n = draw_value(draw, dims if state_dim is None else state_dim)
    m = draw_value(draw, st.integers(1, 3) if input_dim is None else input_dim)
    factor = float(draw_value(draw, factors() if lam is None else lam))
    check_rate(factor)
    if activation is None and given is not None and not given.monotone:
        activation = IDENTITY
    rho = look_up(draw_value(draw, activations() if activation is None else activation))
    linear = rho.slope[0] == rho.slope[1]
    measure = draw_value(draw, norms(n, monotone=not linear) if norm is None else norm)
    measure.check_dim(n)
    _check_certifiable(rho, measure)

    def upper(A: Array) -> float:
        return evaluate(factor_of_norm, slope=rho.lipschitz, norm=measure.matrix_upper(A))

    W = scaled_to_size(draw(matrices(n, n)), factor, upper)
    U = draw(matrices(n, m))
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
        A = draw(matrices(n, m)) if share else np.zeros((n, m))
        rows.append(size * share * A / max(1.0, float(np.max(np.abs(A)))))
    return np.concatenate(rows)


def lstm_maps(
    units: int | None = None, input_dim: int | None = None, *, size: float = 1.0
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
    counts = _some(units, 3, "units"), _some(input_dim, 3, "input_dim")
    _compile("lstm")
    return _lstm_maps(*counts, float(size)).map(noted)


@st.composite
def _lstm_maps(
    draw: st.DrawFn, units: st.SearchStrategy[int], input_dim: st.SearchStrategy[int], size: float
) -> LSTM:
    n, m = draw(units), draw(input_dim)
    return LSTM(
        draw(_weights(4, n, n, size)),
        draw(_weights(4, n, m, size)),
        draw(float_arrays(4 * n, size)),
    )


def peephole_maps(
    units: int | None = None, input_dim: int | None = None, *, size: float = 1.0
) -> st.SearchStrategy[PeepholeLSTM]:
    r"""Draw a `PeepholeLSTM` of any gate, with weights of magnitude at most `size`.

    Parameters
    ----------
    units, input_dim : int, optional
        1 to 3 of each by default.
    size : float

    Raises
    ------
    ValueError
        If a count is not a positive integer, or the size is negative.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(peephole_maps(), lambda cell: cell.gates != "sigmoid").gates
    'hard_sigmoid(1/6)'
    """
    check_nonnegative(size=size)
    counts = _some(units, 3, "units"), _some(input_dim, 3, "input_dim")
    return _peephole_maps(*counts, float(size)).map(noted)


@st.composite
def _peephole_maps(
    draw: st.DrawFn, units: st.SearchStrategy[int], input_dim: st.SearchStrategy[int], size: float
) -> PeepholeLSTM:
    n, m = draw(units), draw(input_dim)
    return PeepholeLSTM(
        draw(_weights(4, n, n, size)),
        draw(_weights(4, n, m, size)),
        draw(float_arrays(4 * n, size)),
        draw(float_arrays(3 * n, size)),
        draw(st.sampled_from([*GATES])),
    )


def slstm_maps(
    units: int | None = None, input_dim: int | None = None, *, size: float = 1.0
) -> st.SearchStrategy[SLSTM]:
    r"""Draw an `SLSTM` of either forget gate, with weights of magnitude at most `size`.

    Parameters
    ----------
    units, input_dim : int, optional
        1 to 3 of each by default.
    size : float

    Raises
    ------
    ValueError
        If a count is not a positive integer, or the size is negative.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(slstm_maps(), lambda cell: cell.forget == "exp").units
    1
    """
    check_nonnegative(size=size)
    counts = _some(units, 3, "units"), _some(input_dim, 3, "input_dim")
    return _slstm_maps(*counts, float(size)).map(noted)


@st.composite
def _slstm_maps(
    draw: st.DrawFn, units: st.SearchStrategy[int], input_dim: st.SearchStrategy[int], size: float
) -> SLSTM:
    n, m = draw(units), draw(input_dim)
    return SLSTM(
        draw(_weights(4, n, n, size)),
        draw(_weights(4, n, m, size)),
        draw(float_arrays(4 * n, size)),
        draw(st.sampled_from(FORGET)),
    )


def gru_maps(
    units: int | None = None,
    input_dim: int | None = None,
    *,
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
    _compile("gru")
    return _gru_maps(*counts, float(size), variants).map(noted)


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
    b = draw(float_arrays(3 * n, size))
    candidate = draw(float_arrays(n, size)) if variant == "reset_after" else None
    return GRU(W, U, b, candidate, variant)


def hard_gru_maps(
    units: int | None = None, input_dim: int | None = None, *, size: float = 1.0
) -> st.SearchStrategy[HardGRU]:
    r"""Draw a `HardGRU` of any gate and variant, with weights of magnitude at most `size`.

    Parameters
    ----------
    units, input_dim : int, optional
        1 to 3 of each by default.
    size : float

    Raises
    ------
    ValueError
        If a count is not a positive integer, or the size is negative.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(hard_gru_maps(), lambda cell: cell.variant == "reset_before").gates
    'sigmoid'
    """
    cells = gru_maps(units, input_dim, size=size)
    return st.builds(_hardened, cells, st.sampled_from([*GATES])).map(noted)


def _hardened(cell: GRU, gates: str) -> HardGRU:
    return HardGRU(**cell.parameters, variant=cell.variant, gates=gates)


def esn_maps(
    state_dim: int | None = None, input_dim: int | None = None, *, size: float = 1.0
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
    _compile("leaky")
    return _esn_maps(*counts, float(size)).map(noted)


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
    return EchoStateNetwork(W, U, draw(float_arrays(n, size)), leak, draw(activations()))


def diagonal_maps(
    units: int | None = None, input_dim: int | None = None, *, radius: float = 0.9
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
    _compile("diagonal")
    return _diagonal_maps(*counts, float(radius)).map(noted)


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
    real, imag = draw(_weights(1, n, m, 1.0)), draw(float_arrays((n, m)))
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
    _compile("entrywise")
    return _recurrence_maps(_some(input_dim, 3, "input_dim"), float(size)).map(noted)


@st.composite
def _recurrence_maps(
    draw: st.DrawFn, input_dim: st.SearchStrategy[int], size: float
) -> MinGRU | RGLRU | SelectiveSSM:
    m, n = draw(input_dim), draw(st.integers(1, 3))
    kind = draw(st.sampled_from(("minimal", "real-gated", "selective")))
    if kind == "minimal":
        U, b = draw(_weights(2, n, m, size)), draw(float_arrays(2 * n, size))
        return MinGRU(U, b, draw(activations()))
    if kind == "real-gated":
        U, b = draw(_weights(2, m, m, size)), draw(float_arrays(2 * m, size))
        return RGLRU(U, draw(float_arrays(m, 4.0)), b, draw(st.sampled_from((8.0, 1.0))))
    channels = draw(st.integers(1, m))  # the other inputs steer only
    decay = np.exp2(draw(float_arrays((channels, n), 4.0)))
    step, gain = draw(_weights(1, channels, m, size)), draw(_weights(1, n, m, size))
    biases = draw(float_arrays(channels, size)), draw(float_arrays(n, size))
    return SelectiveSSM(decay, step, gain, *biases, draw(st.sampled_from(("euler", "zoh"))))


def memory_maps(
    input_dim: int | None = None, size: float = 1.0
) -> st.SearchStrategy[LinearAttention | DeltaRule]:
    r"""Draw a memory of keys and values: a `LinearAttention` or a `DeltaRule`.

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
    >>> find(memory_maps(), lambda layer: layer.keys > 1).keys
    2
    """
    check_nonnegative(size=size)
    return _memory_maps(_some(input_dim, 3, "input_dim"), float(size)).map(noted)


@st.composite
def _memory_maps(
    draw: st.DrawFn, input_dim: st.SearchStrategy[int], size: float
) -> LinearAttention | DeltaRule:
    m, shape = draw(input_dim), [draw(st.integers(1, 2)) for _ in range(3)]
    heads, keys, values = shape
    counts: dict[str, Any] = {"heads": heads, "keys": keys, "values": values}
    rule = draw(st.sampled_from(("constant", "gate", "step", "exp", "gated", "rwkv7")))
    gates = heads if rule == "step" or draw(st.booleans()) else heads * keys
    extra = {"constant": 0, "gate": gates, "step": gates, "exp": gates + heads}
    extra |= {"gated": 2 * gates, "rwkv7": 2 * gates + heads * keys}
    rows = heads * (keys + values) + extra[rule]
    U, b = draw(_weights(1, rows, m, size)), draw(float_arrays(rows, size))
    if rule in RULES:
        decay, scale = np.exp2(draw(float_arrays(gates, 2.0))), draw(st.sampled_from((1.0, 2.0)))
        return DeltaRule(U, b, decay=decay, scale=scale, rule=rule, **counts)
    if rule == "constant":
        decay = np.abs(draw(float_arrays(gates, 1.0)))
        return LinearAttention(U, b, decay=decay, forget="constant", **counts)
    write = {"gate": "plain"}.get(rule, rule)
    decay = np.exp2(draw(float_arrays(gates, 4.0)))
    return LinearAttention(U, b, decay=decay, write=write, **counts)


def block_maps(input_dim: int | None = None, size: float = 1.0) -> st.SearchStrategy[Block]:
    r"""Draw a `Block`: a norm, a gated recurrence or a memory, a gate, and the stream past it.

    Sometimes nothing comes after the recurrence.

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
    >>> find(block_maps(), lambda block: block.before is not None).input_dim
    1
    """
    check_nonnegative(size=size)
    return _block_maps(_some(input_dim, 3, "input_dim"), float(size)).map(noted)


@st.composite
def _block_maps(draw: st.DrawFn, input_dim: st.SearchStrategy[int], size: float) -> Block:
    m, size = draw(input_dim), float(size)
    core = draw(recurrence_maps(size=size) | memory_maps(size=size))
    kind = draw(st.sampled_from(("rms", "layer")))
    norm = Normalize(draw(float_arrays(m, size)), kind=kind, eps=draw(st.sampled_from((1.0, 1e-5))))
    before = Chain([norm, Dense(draw(_weights(1, core.input_dim, m, size)))])
    n = core.state_dim
    shown: Function = Chain([Select(0, stop=n, size=n + m), Dense(draw(_weights(1, m, n, size)))])
    stream = Select(n, stop=n + m, size=n + m)
    if draw(st.booleans()):
        gate = Dense(draw(_weights(1, m, n + m, size)), draw(float_arrays(m, size)))
        shown = Product([shown, Chain([gate, Pointwise("silu", m)])])
    after = None if draw(st.integers(0, 4)) == 4 else Sum([stream, shown])
    return Block(core, before=before, after=after)


def cascade_maps(
    depth: int | None = None, input_dim: int | None = None, *, size: float = 1.0
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
    counts = _some(depth, 3, "depth"), _some(input_dim, 3, "input_dim")
    for kind in _SMALLEST:
        _compile(kind)
    return _cascade_maps(*counts, float(size)).map(noted)


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
            readout: Array | LinearHead | None = None
            if kind != "own":
                readout = C = draw(_weights(1, width, below.state_dim, size))
                if kind == "head":
                    readout = LinearHead(C, draw(float_arrays(width, size)))
            readouts.append(readout)
        layers.append(draw(_layers(width, size)))
    return Cascade(layers, readouts)


def _layers(input_dim: int | None, size: float) -> st.SearchStrategy[Map]:
    """Draw a map of any class but `Cascade`, simplest first."""
    return st.one_of(
        stable_maps(input_dim=input_dim, norm=Linf()),
        esn_maps(input_dim=input_dim, size=size),
        diagonal_maps(input_dim=input_dim),
        lstm_maps(input_dim=input_dim, size=size),
        peephole_maps(input_dim=input_dim, size=size),
        slstm_maps(input_dim=input_dim, size=size),
        gru_maps(input_dim=input_dim, size=size),
        hard_gru_maps(input_dim=input_dim, size=size),
        recurrence_maps(input_dim=input_dim, size=size),
        memory_maps(input_dim=input_dim, size=size),
        block_maps(input_dim=input_dim, size=size),
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
