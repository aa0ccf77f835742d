"""What the lane draws: numbers of every size, boxes anywhere, a map of every class, every norm."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from theory import (
    GRU,
    L1,
    L2,
    LSTM,
    RGLRU,
    SLSTM,
    Block,
    BlockMax,
    Cascade,
    DeltaRule,
    DiagonalSSM,
    Domain,
    EchoStateNetwork,
    HardGRU,
    LinearAttention,
    LinearHead,
    LinearMap,
    Linf,
    Map,
    MinGRU,
    PeepholeLSTM,
    SelectiveSSM,
    VanillaRNN,
    WeightedL1,
    WeightedL2,
    WeightedLinf,
)
from theory.arithmetic.activations import ACTIVATIONS, Activation, leaky_relu
from theory.arithmetic.hard import GATES
from theory.arithmetic.rounding import TINY
from theory.maps import (
    Chain,
    Concatenate,
    Dense,
    Function,
    Normalize,
    Pointwise,
    Product,
    Read,
    Select,
    Softmax,
    Sum,
)
from theory.norms import Norm
from theory.typing import Array

Draw = np.random.Generator

RHO: tuple[Activation, ...] = (
    *ACTIVATIONS.values(),
    *map(leaky_relu, (-1.5, -0.3, 0.0, 0.2, 1.0, 1.5)),
)


def one_of(rng: Draw, *choices: Any) -> Any:
    """Return one of the choices."""
    return choices[int(rng.integers(len(choices)))]


# numbers ------------------------------------------------------------------------------------------


def normal(rng: Draw, shape: Any) -> Array:
    return rng.standard_normal(shape)


def graded(rng: Draw, shape: Any) -> Array:
    return rng.standard_normal(shape) * 10.0 ** rng.uniform(-300, 300, shape)


def mildly_graded(rng: Draw, shape: Any) -> Array:
    return rng.standard_normal(shape) * 10.0 ** rng.uniform(-6, 6, shape)


def subnormal(rng: Draw, shape: Any) -> Array:
    return rng.integers(-40, 41, shape) * TINY * 2.0 ** rng.integers(0, 60, shape)


def huge(rng: Draw, shape: Any) -> Array:
    return rng.standard_normal(shape) * 1e300


def whole(rng: Draw, shape: Any) -> Array:
    return rng.integers(-3, 4, shape).astype(np.float64)


def near_one(rng: Draw, shape: Any) -> Array:
    return 1.0 + rng.integers(-4, 5, shape) * np.spacing(1.0)


KINDS: tuple[Callable[[Draw, Any], Array], ...] = (
    normal, normal, normal, graded, mildly_graded, subnormal, huge, whole, near_one,
)  # fmt: skip


def numbers(rng: Draw, shape: Any) -> Array:
    """Return numbers of one kind, with zeros among them at times."""
    drawn = one_of(rng, *KINDS)(rng, shape)
    return np.where(rng.random(shape) < 0.2, 0.0, drawn) if rng.random() < 0.3 else drawn


def weights(rng: Draw) -> Callable[..., Array]:
    """Return a function that draws the weights of one map: mostly of sizes that people train."""
    kind, size = one_of(rng, *KINDS), one_of(rng, 1e-3, 0.1, 0.3, 1.0, 3.0, 30.0)
    sparse = rng.random() < 0.2

    def draw(*shape: int) -> Array:
        plain = size * rng.standard_normal(shape) if rng.random() < 0.9 else kind(rng, shape)
        return np.where(rng.random(shape) < 0.5, 0.0, plain) if sparse else plain

    return draw


# boxes --------------------------------------------------------------------------------------------


def interval(rng: Draw, finite: bool) -> tuple[float, float]:
    """Return one interval: around 0, away from it, a point, graded, or infinite on a side."""
    size = float(one_of(rng, 1e-3, 0.1, 1.0, 1.0, 5.0, 100.0))
    kind = int(rng.integers(0, 11 if finite else 14))
    a, b = np.sort(rng.uniform(0.0, size, 2)).tolist()
    if kind <= 1:
        return -a, b
    if kind == 2:
        return a, b
    if kind == 3:
        return -b, -a
    if kind == 4:
        return 0.0, b
    if kind == 5:
        return -b, 0.0
    if kind == 6:
        return (a, a) if rng.random() < 0.5 else (-a, -a)
    if kind == 7:
        return a, float(np.nextafter(a, math.inf))
    if kind == 8:
        low, high = np.sort(subnormal(rng, 2)).tolist()
        return low, high
    if kind == 9:
        low, high = np.sort(graded(rng, 2)).tolist()
        return low, high
    if kind == 10:
        return 0.0, 0.0
    return ((-b, math.inf), (-math.inf, a), (-math.inf, math.inf))[kind - 11]


def ends(rng: Draw, size: int, *, finite: bool = True) -> tuple[Array, Array]:
    """Return the ends of a box of any kind."""
    low, high = zip(*(interval(rng, finite) for _ in range(size)), strict=True)
    return np.array(low), np.array(high)


def domain(rng: Draw, model: Map) -> Domain:
    """Return a box of states anywhere, and one of inputs: points, intervals, half lines."""
    low, high = ends(rng, model.state_dim)
    if rng.random() < 0.3:
        x = interior(rng, *ends(rng, model.input_dim))
        return Domain(low=low, high=high, input_low=x, input_high=x, start=False)
    x_low, x_high = ends(rng, model.input_dim, finite=rng.random() < 0.8)
    return Domain(low=low, high=high, input_low=x_low, input_high=x_high, start=False)


def interior(rng: Draw, low: Array, high: Array) -> Array:
    """Return a point of a box: corners, places next to them, and between."""
    far = 10.0 ** rng.uniform(-3, 6, low.shape)
    l = np.where(np.isfinite(low), low, np.where(np.isfinite(high), high, 0.0) - far)  # noqa: E741
    h = np.where(np.isfinite(high), high, np.where(np.isfinite(low), low, 0.0) + far)
    share = rng.random(low.shape)
    share = np.where(rng.random(low.shape) < 0.6, np.round(share), share)
    with np.errstate(over="ignore", invalid="ignore"):
        point = l * (1 - share) + h * share
    point = np.where(share == 0, l, np.where(share == 1, h, point))
    clipped: Array = np.clip(np.where(np.isfinite(point), point, l), low, high)
    return clipped


# maps ---------------------------------------------------------------------------------------------


def _linear(rng: Draw, W: Callable[..., Array], n: int, m: int) -> Map:
    return LinearMap(W(n, n), W(n, m), W(n))


def _vanilla(rng: Draw, W: Callable[..., Array], n: int, m: int) -> Map:
    return VanillaRNN(W(n, n), W(n, m), W(n), one_of(rng, *RHO))


def _leaky(rng: Draw, W: Callable[..., Array], n: int, m: int) -> Map:
    leak = one_of(rng, rng.uniform(0.01, 1.0), rng.uniform(0.01, 1.0, n), 1.0, 1e-9)
    return EchoStateNetwork(W(n, n), W(n, m), W(n), leak=leak, activation=one_of(rng, *RHO))


def _lstm(rng: Draw, W: Callable[..., Array], n: int, m: int) -> Map:
    return LSTM(W(4 * n, n), W(4 * n, m), W(4 * n))


def _peephole(rng: Draw, W: Callable[..., Array], n: int, m: int) -> Map:
    gate = one_of(rng, *GATES)
    return PeepholeLSTM(W(4 * n, n), W(4 * n, m), W(4 * n), W(3 * n), gate)


def _slstm(rng: Draw, W: Callable[..., Array], n: int, m: int) -> Map:
    return SLSTM(W(4 * n, n), W(4 * n, m), W(4 * n), one_of(rng, "sigmoid", "exp"))


def _gru(rng: Draw, W: Callable[..., Array], n: int, m: int) -> Map:
    if rng.random() < 0.5:
        return GRU(W(3 * n, n), W(3 * n, m), W(3 * n), variant="reset_before")
    return GRU(W(3 * n, n), W(3 * n, m), W(3 * n), W(n), variant="reset_after")


def _hard_gru(rng: Draw, W: Callable[..., Array], n: int, m: int) -> Map:
    after = rng.random() < 0.5
    more = (W(n), "reset_after") if after else (None, "reset_before")
    return HardGRU(W(3 * n, n), W(3 * n, m), W(3 * n), *more, one_of(rng, *GATES))


def _diagonal(rng: Draw, W: Callable[..., Array], n: int, m: int) -> Map:
    sizes = one_of(
        rng, rng.uniform(0, 1, n), 10.0 ** -rng.uniform(0, 300, n), 1 - rng.random(n) / 50
    )
    turn = np.exp(1j * rng.uniform(-math.pi, math.pi, n) * one_of(rng, 0.0, 1.0))
    return DiagonalSSM(np.minimum(sizes, 0.999) * turn, W(n, m) + 1j * W(n, m))


def _selective(rng: Draw, W: Callable[..., Array], n: int, m: int) -> Map:
    driven = int(rng.integers(1, m + 1))  # the other inputs steer only
    decay = np.exp(np.clip(W(driven, n), -600, 600))
    rule = one_of(rng, "euler", "zoh")
    return SelectiveSSM(decay, W(driven, m), W(n, m), W(driven), W(n), discretization=rule)


def _min_gru(rng: Draw, W: Callable[..., Array], n: int, m: int) -> Map:
    return MinGRU(W(2 * n, m), W(2 * n), activation=one_of(rng, *RHO))


def _rg_lru(rng: Draw, W: Callable[..., Array], n: int, m: int) -> Map:
    scale = one_of(rng, 0.5, 2.0, 8.0)
    return RGLRU(W(2 * m, m), np.clip(W(m), -600, 600), W(2 * m), scale=scale)


def _memory_rows(W: Callable[..., Array], rows: int, m: int) -> tuple[Array, Array]:
    """Return weights that leave the range of no exponential function."""
    return np.clip(W(rows, m), -1e3, 1e3), np.clip(W(rows), -300, 300)


def _attention(rng: Draw, W: Callable[..., Array], n: int, m: int) -> Map:
    heads, keys, values = (int(rng.integers(1, 3)) for _ in range(3))
    write = one_of(rng, "plain", "step", "exp")
    forget = "gate" if write == "step" else one_of(rng, "gate", "constant")
    gates = heads if write == "step" else int(one_of(rng, heads, heads * keys))
    rows = heads * (keys + values) + (gates if forget == "gate" else 0)
    U, b = _memory_rows(W, rows + (heads if write == "exp" else 0), m)
    decay = rng.random(gates) if forget == "constant" else np.exp(rng.uniform(-3, 3, gates))
    return LinearAttention(
        U, b, decay=decay, heads=heads, keys=keys, values=values, forget=forget, write=write
    )


def _delta(rng: Draw, W: Callable[..., Array], n: int, m: int) -> Map:
    heads, values, keys = int(rng.integers(1, 3)), int(rng.integers(1, 3)), n
    rule, gates = one_of(rng, "gated", "rwkv7"), int(one_of(rng, heads, heads * keys))
    rows = heads * (keys + values) + 2 * gates + (heads * keys if rule == "rwkv7" else 0)
    U, b = _memory_rows(W, rows, m)
    return DeltaRule(
        U, b, decay=np.exp(rng.uniform(-3, 3, gates)), heads=heads, keys=keys, values=values,
        scale=rng.uniform(0, 2, gates), mix=W(heads * keys), rule=rule,
        eps=float(one_of(rng, 1e-12, 1e-6, 1.0)),
    )  # fmt: skip


def a_function(rng: Draw, W: Callable[..., Array], n: int, p: int, depth: int = 2) -> Function:
    """Return a function R^n -> R^p of any kind, made of others up to a depth."""
    kind = int(rng.integers(0, 7 if depth else 2))
    if kind <= 1 and 0 < p <= n and rng.random() < 0.3:
        first = int(rng.integers(0, n - p + 1))
        return Select(first, stop=first + p, size=n)
    if kind <= 1:
        return Dense(W(p, n), W(p))
    if kind == 2:
        parts = [a_function(rng, W, n, p, depth - 1) for _ in range(2)]
        return one_of(rng, Sum, Product)(parts)
    if kind == 3:
        rho = one_of(rng, "silu", "gelu", *RHO)
        return Chain([a_function(rng, W, n, p, depth - 1), Pointwise(rho, p)])
    if kind == 4 and rng.random() < 0.3:
        return Chain([a_function(rng, W, n, p, depth - 1), Softmax(p)])
    if kind == 4:
        eps = float(one_of(rng, 1e-12, 1e-5, 1.0))
        norm = Normalize(W(n), W(n), kind=one_of(rng, "rms", "layer"), eps=eps)
        return Chain([norm, a_function(rng, W, n, p, depth - 1)])
    if kind == 5:
        keys, normalized = int(rng.integers(1, 3)), rng.random() < 0.5
        memory = Read(1, keys=keys, values=p + normalized, normalized=normalized)
        return Chain([a_function(rng, W, n, memory.input_dim, depth - 1), memory])
    if p == 1:
        return Dense(W(p, n), W(p))
    first = int(rng.integers(1, p))
    parts = [a_function(rng, W, n, width, depth - 1) for width in (first, p - first)]
    return Concatenate(parts)


def _block(rng: Draw, W: Callable[..., Array], n: int, m: int) -> Map:
    single = [make for kind, make in MAKERS.items() if kind not in {Cascade, Block}]
    alone = rng.random() < 0.2
    inputs = m if alone else int(rng.integers(1, 3))
    core = one_of(rng, *single)(rng, W, int(rng.integers(1, 3)), inputs)
    before = None if alone else a_function(rng, W, m, inputs, 1)
    if before is not None and rng.random() < 0.2:
        return Block(core, before=before)
    after = a_function(rng, W, core.state_dim + m, int(rng.integers(1, 3)))
    return Block(core, before=before, after=after)


def _stack(rng: Draw, W: Callable[..., Array], n: int, m: int) -> Map:
    single = [make for kind, make in MAKERS.items() if kind is not Cascade]
    layers = [one_of(rng, *single)(rng, W, int(rng.integers(1, 3)), m)]
    readouts: list[Any] = []
    for _ in range(int(rng.integers(1, 3))):
        width = int(rng.integers(1, 3))
        C = W(width, layers[-1].state_dim)
        readouts.append(LinearHead(C, W(width)) if rng.random() < 0.5 else C)
        layers.append(one_of(rng, *single)(rng, W, int(rng.integers(1, 3)), width))
    return Cascade(layers, readouts)


Maker = Callable[[Draw, Callable[..., Array], int, int], Map]

#: How each class is drawn.  A class that encloses its steps and is not here is named by a test.
MAKERS: dict[type[Map], Maker] = {
    LinearMap: _linear,
    VanillaRNN: _vanilla,
    EchoStateNetwork: _leaky,
    LSTM: _lstm,
    PeepholeLSTM: _peephole,
    SLSTM: _slstm,
    GRU: _gru,
    HardGRU: _hard_gru,
    DiagonalSSM: _diagonal,
    SelectiveSSM: _selective,
    MinGRU: _min_gru,
    RGLRU: _rg_lru,
    LinearAttention: _attention,
    DeltaRule: _delta,
    Block: _block,
    Cascade: _stack,
}


def a_map(rng: Draw, kinds: tuple[type[Map], ...] = tuple(MAKERS)) -> Map:
    """Return a map of one of the classes."""
    while True:
        make = MAKERS[one_of(rng, *kinds)]
        try:
            return make(rng, weights(rng), int(rng.integers(1, 4)), int(rng.integers(1, 4)))
        except ValueError:  # a product of weights beyond the largest double
            continue


def tame_map(rng: Draw, kinds: tuple[type[Map], ...] = tuple(MAKERS)) -> Map:
    """Return a map with weights of moderate size, which often contracts."""

    def W(*shape: int) -> Array:
        return size * rng.standard_normal(shape)

    size = float(one_of(rng, 0.05, 0.2, 0.5))
    return MAKERS[one_of(rng, *kinds)](rng, W, int(rng.integers(1, 4)), int(rng.integers(1, 3)))


# matrices and norms -------------------------------------------------------------------------------


def matrix(rng: Draw, n: int, m: int) -> Array:
    """Return a matrix of one of many kinds."""
    A = numbers(rng, (n, m))
    kind = int(rng.integers(8))
    if kind == 0:
        A = np.outer(numbers(rng, n), rng.standard_normal(m))
    elif kind == 1:
        A = np.tril(A)
    elif kind == 2:
        A = A * (np.arange(n)[:, None] == rng.permutation(max(n, m))[:m])
    elif kind == 3:
        A = np.linalg.qr(rng.standard_normal((n, m)))[0] if n >= m else A
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        scaled = np.ldexp(A, int(one_of(rng, 0, 0, 0, -900, 700)))
    return np.where(np.isfinite(scaled), scaled, 1.0)


def metric(rng: Draw, n: int) -> WeightedL2:
    """Return a weighted Euclidean norm, full or diagonal, well or badly scaled."""
    while True:
        B = rng.standard_normal((n, n)) * one_of(rng, 1.0, 0.0)
        P = B @ B.T + np.diag(np.exp(rng.uniform(-2, 2, n)))
        scale = 2.0 ** rng.integers(-200, 200, n) if rng.random() < 0.3 else np.ones(n)
        try:
            return WeightedL2(scale[:, None] * (0.5 * (P + P.T)) * scale)
        except ValueError:  # too ill-conditioned to be a norm in double precision
            continue


def positive(rng: Draw, n: int) -> Array:
    """Return positive weights of any size."""
    return one_of(
        rng,
        np.exp(rng.uniform(-2, 2, n)),
        10.0 ** rng.uniform(-300, 300, n),
        np.full(n, 10.0 ** rng.uniform(-305, 305)),
        np.ldexp(1.0, rng.integers(-1070, -1000, n)),
    )


def blocks(rng: Draw, n: int) -> BlockMax:
    """Return a maximum over one to three blocks, of norms of every kind but itself."""
    cuts = np.unique(rng.integers(1, n, 2)).tolist() if n > 1 else []
    sizes = np.diff([0, *cuts, n]).tolist()
    makers = [make for kind, make in NORMS.items() if kind is not BlockMax]
    parts = [one_of(rng, *makers)(rng, size) for size in sizes]
    return BlockMax(parts, sizes=sizes, weights=positive(rng, len(sizes)))


NORMS: dict[type[Norm], Callable[[Draw, int], Norm]] = {
    L1: lambda rng, n: L1(),
    L2: lambda rng, n: L2(),
    Linf: lambda rng, n: Linf(),
    WeightedL1: lambda rng, n: WeightedL1(positive(rng, n)),
    WeightedLinf: lambda rng, n: WeightedLinf(positive(rng, n)),
    WeightedL2: metric,
    BlockMax: blocks,
}


def a_norm(rng: Draw, n: int) -> Norm:
    """Return a norm on R^n."""
    return one_of(rng, *NORMS.values())(rng, n)
