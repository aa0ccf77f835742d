"""What every map promises: one suite, run on each of them.

The definitions are written out again in `definitions.py`, one number at a time and in ball
arithmetic, so that a map cannot agree with itself.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import flint
import numpy as np
import pytest
from definitions import (
    balls,
    bits,
    exact_step,
    jacobians_by_definition,
    step_by_definition,
    vanilla,
)
from enclosures import may_be_at_most
from hypothesis import given, target
from hypothesis import strategies as st
from targets import aimed

from theory import (
    GRU,
    L1,
    L2,
    LSTM,
    RGLRU,
    SLSTM,
    Block,
    CallableMap,
    Cascade,
    DeltaRule,
    DiagonalSSM,
    EchoStateNetwork,
    HardGRU,
    Inputs,
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
from theory.arithmetic.activations import ACTIVATIONS, Activation, activation
from theory.arithmetic.rigor import row_sum_upper
from theory.arithmetic.rounding import TINY, UNIT
from theory.kernels.blocks import BLOCK_ROWS
from theory.kernels.simulate import LARGE_STEP, SMALL_DIM
from theory.maps import (
    Chain,
    Concatenate,
    Dense,
    Normalize,
    Pointwise,
    Product,
    Read,
    Select,
    Sum,
    short_convolution,
)
from theory.measure import truncation_gap_table
from theory.typing import Array

RHO = [*ACTIVATIONS, "leaky_relu(0.2)", "leaky_relu(-0.5)", "leaky_relu(2.0)"]

N, M = 3, 2
LAM = 0.9


def contractive(W: Array, rho: Activation, lam: float) -> Array:
    """Scale W so that the map contracts by at most lam in the maximum norm."""
    W = W * (lam / (rho.lipschitz * row_sum_upper(W)))
    while rho.lipschitz * row_sum_upper(W) > lam * (1 - 4 * UNIT):
        W = W * (1 - 2 * UNIT)
    return W


def affine_maps(rng: np.random.Generator) -> dict[str, Map]:
    V = rng.standard_normal
    shape, U, b = V((N, N)), V((N, M)), V(N)
    result: dict[str, Map] = {
        "LinearMap": LinearMap(contractive(shape, activation("identity"), LAM), U, b)
    }
    for name in RHO:
        W = contractive(shape, activation(name), LAM)
        result[f"VanillaRNN {name}"] = VanillaRNN(W, U, b, activation=name)
    W = contractive(shape, activation("tanh"), LAM)

    def step(h: Array, x: Array) -> Array:
        return np.tanh(h @ W.T + x @ U.T + b)

    for name, vectorized in (("CallableMap", False), ("CallableMap vectorized", True)):
        own = CallableMap(step, N, M, vectorized=vectorized)
        own.exact = vanilla(W, U, b, "tanh")
        result[name] = own
    return result


def gated_maps(rng: np.random.Generator, size: float = 1.0) -> dict[str, Map]:
    """Return one of each, with normal weights of that size; the biases are as large as they are."""

    def V(*shape: int) -> Array:
        return size * rng.standard_normal(shape)

    def bias(*shape: int) -> Array:
        return rng.standard_normal(shape) * min(size, 1.0)

    lstm = LSTM(V(4 * N, N), V(4 * N, M), bias(4 * N))
    gru = GRU(V(3 * N, N), V(3 * N, M), bias(3 * N), bias(N))
    # three states on what the LSTM shows, five on what the selective layer does
    upper = GRU(V(3 * N, N), V(3 * N, N), bias(3 * N), variant="reset_before")
    rates, turns = rng.uniform(0.2, 0.7, N), rng.standard_normal(N)
    selective = (np.exp(rng.standard_normal((M, 2))), V(M, M), V(2, M), bias(M), bias(2))
    return {
        "LSTM": lstm,
        "PeepholeLSTM": PeepholeLSTM(V(4 * N, N), V(4 * N, M), bias(4 * N), V(3 * N)),
        "PeepholeLSTM hard": PeepholeLSTM(
            V(4 * N, N), V(4 * N, M), bias(4 * N), gates="hard_sigmoid(0.2)"
        ),
        "PeepholeLSTM hard, with peepholes": PeepholeLSTM(
            V(4 * N, N), V(4 * N, M), bias(4 * N), V(3 * N), "hard_sigmoid(1/6)"
        ),
        "GRU reset after": gru,
        "GRU reset before": GRU(V(3 * N, N), V(3 * N, M), bias(3 * N), variant="reset_before"),
        "HardGRU after": HardGRU(V(3 * N, N), V(3 * N, M), bias(3 * N), bias(N)),
        "HardGRU before": HardGRU(
            V(3 * N, N), V(3 * N, M), bias(3 * N), None, "reset_before", "hard_sigmoid(1/6)"
        ),
        "EchoStateNetwork": EchoStateNetwork(
            V(N, N), V(N, M), bias(N), leak=rng.uniform(0.1, 0.9, N)
        ),
        "EchoStateNetwork sigmoid": EchoStateNetwork(
            V(N, N), V(N, M), bias(N), leak=0.5, activation="sigmoid"
        ),
        "EchoStateNetwork without leak": EchoStateNetwork(V(N, N), V(N, M), bias(N)),
        "DiagonalSSM": DiagonalSSM(rates * np.exp(1j * turns), V(N, M) + 1j * V(N, M)),
        "SelectiveSSM euler": SelectiveSSM(*selective),
        "SelectiveSSM zoh": SelectiveSSM(*selective, discretization="zoh"),
        "MinGRU": MinGRU(V(2 * N, M), bias(2 * N)),
        "MinGRU tanh": MinGRU(V(2 * N, M), bias(2 * N), activation="tanh"),
        "RGLRU": RGLRU(V(2 * M, M), bias(M), bias(2 * M)),
        "LinearAttention constant": LinearAttention(
            V(6, M), bias(6), decay=[0.5, 0.25], heads=2, keys=1, values=2, forget="constant"
        ),
        "LinearAttention gate": LinearAttention(
            V(5, M), bias(5), decay=[1.0, 2.0], heads=1, keys=2, values=1
        ),
        "LinearAttention step": LinearAttention(
            V(8, M), bias(8), decay=[2.0, 1.0], heads=2, keys=1, values=2, write="step"
        ),
        "LinearAttention exp": LinearAttention(
            V(5, M), bias(5), decay=[1.0], heads=1, keys=2, values=1, write="exp"
        ),
        "DeltaRule gated": DeltaRule(
            V(10, M),
            bias(10),
            decay=[1.0, 2.0],
            scale=[1.0, 2.0],
            heads=2,
            keys=2,
            values=1,
            eps=0.1,
        ),
        "DeltaRule rwkv7": DeltaRule(
            V(10, M),
            bias(10),
            decay=[0.6, 2.0],
            mix=[0.5, -1.0],
            heads=1,
            keys=2,
            values=2,
            rule="rwkv7",
            eps=0.1,
        ),
        "Block": Block(
            MinGRU(V(2 * N, N), bias(2 * N)),
            before=Chain([Normalize(1 + V(M), bias(M), eps=1.0), Dense(V(N, M), bias(N))]),
            after=Sum(
                [
                    Chain([Select(0, stop=N, size=N + M), Dense(V(M, N)), Pointwise("silu", M)]),
                    Product([Dense(V(M, N + M), bias(M)), Dense(V(M, N + M), bias(M))]),
                    Select(N, stop=N + M, size=N + M),
                ]
            ),
        ),
        "Block of a memory": Block(
            LinearAttention(
                V(4, M), bias(4), decay=[0.5], heads=1, keys=2, values=2, forget="constant"
            ),
            after=Chain(
                [
                    Concatenate([Select(0, stop=4, size=4 + M), Dense(V(2, 4 + M), bias(2))]),
                    Read(1, keys=2, values=2, normalized=True),
                    Normalize([1.0 + size], kind="layer", eps=1.0),
                ]
            ),
        ),
        "Block without outputs": Block(
            SelectiveSSM(np.exp(V(M, 2)), V(M, M + 2), V(2, M + 2), bias(M), bias(2)),
            before=Concatenate(
                [
                    Select(0, stop=M, size=M),
                    Chain([Dense(V(2, M)), Normalize([1.0, 1.0], eps=1.0), Pointwise("tanh", 2)]),
                ]
            ),
        ),
        "short convolution": short_convolution(V(M, 4), bias(M), activation="silu"),
        "Cascade of gated layers": Cascade([lstm, upper]),
        "Cascade with readouts": Cascade(
            [SelectiveSSM(*selective), gru, LinearMap(0.5 * np.eye(1), V(1, N))],
            [LinearHead(V(M, 2 * M), bias(M)), V(N, N)],
        ),
        "Cascade of one": Cascade([gru]),
        "Cascade of affine layers": Cascade(
            [VanillaRNN(V(N, N), V(N, M)), DiagonalSSM(rates, V(N, N))]
        ),
        "SLSTM": SLSTM(V(4 * N, N), V(4 * N, M), bias(4 * N)),
        "SLSTM exp": SLSTM(
            V(4 * N, N), V(4 * N, M), bias(4 * N) - np.repeat([0.0, 2.0, 0.0, 0.0], N), "exp"
        ),
    }


MAPS = affine_maps(np.random.default_rng(20)) | gated_maps(np.random.default_rng(21))
every = pytest.mark.parametrize("model", MAPS.values(), ids=MAPS)


def some(condition: Callable[[Map], bool]) -> Any:
    """Return the parametrisation of the maps for which the condition holds."""
    chosen = {name: model for name, model in MAPS.items() if condition(model)}
    return pytest.mark.parametrize("model", chosen.values(), ids=chosen)


with_derivatives = some(lambda model: not isinstance(model, CallableMap))
of_known_gain = some(lambda model: model.input_lipschitz(Linf()) is not None)


def budget(model: Map, states: Array, inputs: Array) -> Array:
    """Return the error of one step over given states and inputs, entrywise."""
    h = np.max(np.abs(states.reshape(-1, model.state_dim)), axis=0, initial=0.0)
    x = np.max(np.abs(inputs.reshape(-1, model.input_dim)), axis=0, initial=0.0)
    return model.step_error(h, x)


# ------------------------------------------------------------------------------------------ step


@every
@given(seed=st.integers(0, 2**32 - 1), size=st.sampled_from([0.0, 1e-3, 1.0, 30.0]))
def test_step_is_its_definition(model, seed, size):
    rng = np.random.default_rng(seed)
    h, x = size * rng.standard_normal(model.state_dim), size * rng.standard_normal(M)
    expected = step_by_definition(model, h, x)
    # what is expected is rounded itself, by less than a step errs
    assert (np.abs(model.step(h, x) - expected) <= 2 * budget(model, h, x)).all()


@every
def test_step_broadcasts_over_leading_axes(model):
    rng = np.random.default_rng(1)
    n = model.state_dim
    h, x = rng.standard_normal((4, 5, n)), rng.standard_normal((4, 5, M))
    table = model.step(h, x)
    assert table.shape == (4, 5, n)
    error = 2 * budget(model, h, x)
    for i, j in np.ndindex(4, 5):
        assert (np.abs(table[i, j] - step_by_definition(model, h[i, j], x[i, j])) <= error).all()
    one_state = model.step(h[0, 0], x)
    one_input = model.step(h, x[0, 0])
    assert one_state.shape == one_input.shape == (4, 5, n)
    assert (np.abs(one_state - model.step(np.broadcast_to(h[0, 0], h.shape), x)) <= error).all()
    assert (np.abs(one_input - model.step(h, np.broadcast_to(x[0, 0], x.shape))) <= error).all()
    assert model.step(h[:, :0], x[:, :0]).shape == (4, 0, n)


@every
def test_step_leaves_its_arguments_alone(model):
    h, x = np.linspace(-1, 1, model.state_dim), np.linspace(-1, 1, M)
    before = h.copy(), x.copy()
    result = model.step(h, x)
    assert not np.shares_memory(result, h)
    assert (h == before[0]).all()
    assert (x == before[1]).all()


@every
def test_advance_is_step_from_input_terms(model):
    rng = np.random.default_rng(2)
    n = model.state_dim
    h, x = rng.standard_normal((6, n)), rng.standard_normal((6, M))
    terms = model.input_terms(x)
    assert terms.shape[0] == 6
    kept = h.copy(), terms.copy()
    expected = model.step(h, x)
    error = 2 * budget(model, h, x)
    plain = model.advance(h, terms)
    assert (np.abs(plain - expected) <= error).all()
    out = np.full((6, n), np.nan)
    assert model.advance(h, terms, out=out) is out
    np.testing.assert_array_equal(out, plain)
    np.testing.assert_array_equal(h, kept[0])
    np.testing.assert_array_equal(terms, kept[1])
    for i in range(6):
        one = model.advance(h[i], model.input_terms(x[i]))
        assert one.shape == (n,)
        assert (np.abs(one - expected[i]) <= error).all()


@every
def test_advance_takes_leading_axes_and_views(model):
    rng = np.random.default_rng(12)
    n, T = model.state_dim, BLOCK_ROWS + 3
    h, x = rng.standard_normal((2, T, n)), rng.standard_normal((2, T, M))
    expected, error = model.step(h, x), 2 * budget(model, h, x)
    terms = model.input_terms(x)
    assert (np.abs(model.advance(h, terms) - expected) <= error).all()
    # as truncated models and cascades call it
    wide = np.full((2, T, n + 2), np.nan)
    assert model.advance(h[:, 2:], terms[:, 2:], out=wide[:, 2:, 1:-1]).shape == (2, T - 2, n)
    assert (np.abs(wide[:, 2:, 1:-1] - expected[:, 2:]) <= error).all()
    assert np.isnan(wide[:, :, [0, -1]]).all()
    assert model.advance(h[:, :0], terms[:, :0]).shape == (2, 0, n)


# -------------------------------------------------------------------------------------- simulate


def check_run(model: Map, H: Array, X: Array, start: Array) -> None:
    """Check that every state is, within rounding, one step from the one before it."""
    before = np.concatenate([start[..., None, :], H[..., :-1, :]], axis=-2)
    apart = np.abs(H - model.step(before, X))
    # both sides err by at most the error of one step
    assert (apart <= 2 * budget(model, before, X)).all()


@every
@pytest.mark.parametrize("start", [None, "one", "each"])
def test_simulate_repeats_step(model, start):
    rng = np.random.default_rng(3)
    n = model.state_dim
    X = rng.standard_normal((4, 50, M))
    h0 = {"one": rng.standard_normal(n), "each": rng.standard_normal((4, n)), None: None}[start]
    H = model.simulate(X, h0)
    assert H.shape == (4, 50, n)
    first = np.broadcast_to(np.zeros(n) if h0 is None else h0, (4, n))
    check_run(model, H, X, first)
    for i in range(4):
        # one sequence alone, with or without a batch axis
        alone = model.simulate(X[i], first[i])
        assert alone.shape == (50, n)
        check_run(model, alone, X[i], first[i])
        check_run(model, model.simulate(X[i : i + 1], first[i]), X[i : i + 1], first[i : i + 1])
    # and the definition
    for i, t in ((0, 0), (1, 1), (3, 49)):
        before = H[i, t - 1] if t else first[i]
        apart = np.abs(H[i, t] - step_by_definition(model, before, X[i, t]))
        assert (apart <= 2 * budget(model, before, X[i, t])).all()


@every
def test_simulate_of_nothing_and_of_one(model):
    n = model.state_dim
    assert model.simulate(np.zeros((0, M))).shape == (0, n)
    assert model.simulate(np.zeros((0, M)), np.ones(n)).shape == (0, n)
    assert model.simulate(np.zeros((0, 4, M))).shape == (0, 4, n)
    assert model.simulate(np.zeros((3, 0, M))).shape == (3, 0, n)
    x = np.array([[0.25, -0.5]])
    expected = step_by_definition(model, np.zeros(n), x[0])
    assert (np.abs(model.simulate(x)[0] - expected) <= 2 * budget(model, np.zeros(n), x)).all()


@every
def test_simulate_leaves_its_arguments_alone_and_accepts_any_layout(model):
    rng = np.random.default_rng(4)
    n = model.state_dim
    X, h0 = rng.standard_normal((3, 6, M)), rng.standard_normal((3, n))
    kept = X.copy(), h0.copy()
    H = model.simulate(X, h0)
    np.testing.assert_array_equal(X, kept[0])
    np.testing.assert_array_equal(h0, kept[1])
    assert H.flags.writeable
    np.testing.assert_array_equal(H, model.simulate(X.tolist(), h0.tolist()))
    np.testing.assert_array_equal(H, model.simulate(np.asfortranarray(X), h0[::-1][::-1]))
    for frozen in (X, h0):
        frozen.flags.writeable = False
    np.testing.assert_array_equal(H, model.simulate(X, h0))
    np.testing.assert_array_equal(
        model.simulate(X.astype(np.float32)), model.simulate(X.astype(np.float32).astype(float))
    )
    assert model.simulate(np.ones((2, M), dtype=int)).shape == (2, n)


@every
def test_a_run_may_be_continued(model):
    X = np.random.default_rng(5).standard_normal((9, M))
    H = model.simulate(X)
    check_run(model, model.simulate(X[4:], H[3]), X[4:], H[3])
    # causal: the start of a run does not depend on what follows, bitwise if products are
    np.testing.assert_array_equal(model.simulate(X[:4]), H[:4])


#: Both sides of every size at which another implementation takes over: column loops up to
#: SMALL_DIM, matrix-vector products above it, matrix products from LARGE_STEP entries a step on.
CROSSINGS = [
    (SMALL_DIM, 1),
    (SMALL_DIM, 3),
    (SMALL_DIM + 1, 1),
    (SMALL_DIM + 1, 3),
    (SMALL_DIM - 1, LARGE_STEP // (SMALL_DIM - 1)),
    (SMALL_DIM, LARGE_STEP // SMALL_DIM),
    (4, LARGE_STEP // 4 - 1),
    (4, LARGE_STEP // 4),
    (LARGE_STEP // 5 - 1, 5),
    (LARGE_STEP // 5 + 1, 5),
]

#: A large map of each class that has more than one implementation.
LARGE: dict[str, Callable[[Callable[..., Array], int], Map]] = {
    **{
        name: lambda V, n, name=name: VanillaRNN(V(n, n), V(n, 2), V(n), activation=name)
        for name in RHO
    },
    "LSTM": lambda V, n: LSTM(V(4 * n, n), V(4 * n, 2), V(4 * n)),
    "SLSTM": lambda V, n: SLSTM(V(4 * n, n), V(4 * n, 2), V(4 * n)),
    "GRU reset after": lambda V, n: GRU(V(3 * n, n), V(3 * n, 2), V(3 * n), V(n)),
    "GRU reset before": lambda V, n: GRU(
        V(3 * n, n), V(3 * n, 2), V(3 * n), variant="reset_before"
    ),
    "EchoStateNetwork": lambda V, n: EchoStateNetwork(V(n, n), V(n, 2), V(n), leak=0.3),
    "DiagonalSSM": lambda V, n: DiagonalSSM(np.exp(1j * V(n)), V(n, 2) + 1j * V(n, 2)),
    "MinGRU": lambda V, n: MinGRU(V(2 * n, 2), V(2 * n)),
    "DeltaRule": lambda V, n: DeltaRule(
        V(2 * n + 2, 2), V(2 * n + 2), decay=[1.0], heads=1, keys=n, values=n, eps=1.0
    ),
}


@pytest.mark.parametrize(("n", "batch"), CROSSINGS)
@pytest.mark.parametrize("name", LARGE)
def test_every_implementation_agrees_with_step(name, n, batch):
    rng = np.random.default_rng(n)

    def V(*shape: int) -> Array:
        return rng.standard_normal(shape) / (2 * math.sqrt(n) if shape[-1] == n else 1.0)

    cell = LARGE[name](V, n)
    X, h0 = rng.standard_normal((batch, 12, 2)), rng.standard_normal((batch, cell.state_dim))
    H = cell.simulate(X, h0)
    check_run(cell, H, X, h0)
    # a wrong weight could not hide
    assert np.max(budget(cell, H, X)) < 1e-9


# ------------------------------------------------------------------------- rounding error of a step

#: Entries that make sums cancel, that are large, and that underflow when multiplied.
entries = st.one_of(
    st.floats(-2.0, 2.0),
    st.sampled_from(
        [0.0, 1.0, -1.0, 1e8, -1e8, 1e16, 1 + 2.0**-52, 1e-200, -1e-200, 1e-8, TINY, 1e100]
    ),
    st.floats(-1e9, 1e9),
)

#: The same without those whose products of four leave the range of doubles.
moderate = entries.map(lambda v: min(v, 1e16))

Draw = Callable[..., Array]

#: Each class from a function that draws arrays; n states and m inputs where both are free.
DRAWN: dict[str, Callable[[Draw, int, int], Map]] = {
    **{
        name: lambda V, n, m, name=name: VanillaRNN(V(n, n), V(n, m), V(n), activation=name)
        for name in RHO
    },
    "LSTM": lambda V, n, m: LSTM(V(4 * n, n), V(4 * n, m), V(4 * n)),
    "PeepholeLSTM": lambda V, n, m: PeepholeLSTM(V(4 * n, n), V(4 * n, m), V(4 * n), V(3 * n)),
    "PeepholeLSTM hard": lambda V, n, m: PeepholeLSTM(
        V(4 * n, n), V(4 * n, m), V(4 * n), V(3 * n), "hard_sigmoid(0.2)"
    ),
    "SLSTM": lambda V, n, m: SLSTM(V(4 * n, n), V(4 * n, m), V(4 * n)),
    "SLSTM exp": lambda V, n, m: SLSTM(V(4 * n, n), V(4 * n, m), V(4 * n), "exp"),
    "GRU reset after": lambda V, n, m: GRU(V(3 * n, n), V(3 * n, m), V(3 * n), V(n)),
    "GRU reset before": lambda V, n, m: GRU(
        V(3 * n, n), V(3 * n, m), V(3 * n), variant="reset_before"
    ),
    "HardGRU after": lambda V, n, m: HardGRU(V(3 * n, n), V(3 * n, m), V(3 * n), V(n)),
    "HardGRU before": lambda V, n, m: HardGRU(
        V(3 * n, n), V(3 * n, m), V(3 * n), None, "reset_before", "hard_sigmoid(1/6)"
    ),
    "EchoStateNetwork": lambda V, n, m: EchoStateNetwork(
        V(n, n), V(n, m), V(n), leak=np.clip(np.abs(V(n)), 1e-9, 1.0)
    ),
    "DiagonalSSM": lambda V, n, m: DiagonalSSM(V(n) + 1j * V(n), V(n, m) + 1j * V(n, m)),
    "SelectiveSSM euler": lambda V, n, m: SelectiveSSM(
        np.maximum(np.abs(V(m, n)), 1e-8), V(m, m), V(n, m), V(m), V(n)
    ),
    "SelectiveSSM zoh": lambda V, n, m: SelectiveSSM(
        np.maximum(np.abs(V(m, n)), 1e-8), V(m, m), V(n, m), V(m), V(n), discretization="zoh"
    ),
    "MinGRU": lambda V, n, m: MinGRU(V(2 * n, m), V(2 * n)),
    "MinGRU tanh": lambda V, n, m: MinGRU(V(2 * n, m), V(2 * n), activation="tanh"),
    "RGLRU": lambda V, n, _m: RGLRU(V(2 * n, n), V(n), V(2 * n)),
    "LinearAttention constant": lambda V, n, m: LinearAttention(
        V(n + 1, m),
        V(n + 1),
        decay=np.clip(np.abs(V(n)), 0.0, 1.0),
        heads=1,
        keys=n,
        values=1,
        forget="constant",
    ),
    "LinearAttention step": lambda V, n, m: LinearAttention(
        V(2 * n + 4, m),
        V(2 * n + 4),
        decay=np.abs(V(2)) + 1e-8,
        heads=2,
        keys=1,
        values=n,
        write="step",
    ),
    # the gate sees little of large inputs, which would leave the range
    "LinearAttention exp": lambda V, n, m: LinearAttention(
        np.vstack([V(n + 2, m), 1e-16 * np.clip(V(1, m), -1, 1)]),
        np.clip(V(n + 3), -10, 10),
        decay=np.abs(V(1)) + 1e-8,
        heads=1,
        keys=n,
        values=1,
        write="exp",
    ),
    "DeltaRule gated": lambda V, n, m: DeltaRule(
        V(n + 4, m),
        V(n + 4),
        decay=np.abs(V(1)) + 1e-8,
        heads=1,
        keys=n,
        values=2,
    ),
    "DeltaRule rwkv7": lambda V, n, m: DeltaRule(
        V(4 * n + 1, m),
        V(4 * n + 1),
        decay=np.abs(V(n)) + 1e-8,
        scale=np.clip(np.abs(V(n)), 0, 2),
        mix=V(n),
        heads=1,
        keys=n,
        values=1,
        rule="rwkv7",
        eps=1e-3,
    ),
    "Cascade": lambda V, n, m: Cascade(
        [
            LSTM(V(4 * n, n), V(4 * n, m), V(4 * n)),
            GRU(V(3 * m, m), V(3 * m, n), V(3 * m), V(m)),
            VanillaRNN(V(n, n), V(n, 1)),
        ],
        [None, LinearHead(V(1, m), V(1))],
    ),
}


@pytest.mark.parametrize("name", DRAWN)
@aimed
@given(data=st.data())
def test_one_step_is_within_its_error(name, data):
    small = 2 if name == "Cascade" else 4
    n, m = data.draw(st.integers(1, small)), data.draw(st.integers(1, min(small, 3)))
    linear = name in {"MinGRU", "RGLRU"} or name.split()[0] in {"LinearAttention", "DeltaRule"}
    drawn = moderate if "SSM" in name or linear else entries

    def draw(*shape: int) -> Array:
        size = math.prod(shape)
        return np.array(data.draw(st.lists(drawn, min_size=size, max_size=size))).reshape(shape)

    cell = DRAWN[name](draw, n, m)
    h, x = draw(cell.state_dim), draw(cell.input_dim)
    if name in RHO and n >= 2 and data.draw(st.booleans()):
        # two terms of the first entry cancel but for the last digits
        W = cell.W.copy()
        W[0, :2], h[:2] = [1.0, -1.0], [h[0], math.nextafter(h[0], data.draw(st.floats(-1e9, 1e9)))]
        cell = cell.with_parameters(W=W)
    error = cell.step_error(np.abs(h), np.abs(x))
    assert not np.isnan(error).any()
    with bits(2600):
        exact = exact_step(cell)(balls(h), balls(x))
        worst = 0.0
        for value in (
            cell.step(h, x),
            cell.advance(h, cell.input_terms(x)),
            cell.simulate(x[None], h)[0],
        ):
            for i in range(cell.state_dim):
                actual = abs(flint.arb(float(value[i])) - exact[i])
                assert may_be_at_most(actual, flint.arb(float(error[i])))
                worst = max(worst, float((actual / flint.arb(float(error[i]))).mid()))
    target(worst, label=f"share of the error of {name}")


#: Two units or channels whose gates all see p x_1 - q x_2, and nothing else.
CANCELLING: dict[str, Callable[[Draw], Map]] = {
    "LSTM": lambda U: LSTM(np.zeros((8, 2)), U(8)),
    "PeepholeLSTM": lambda U: PeepholeLSTM(np.zeros((8, 2)), U(8), gates="hard_sigmoid(1/6)"),
    # a normaliser of e^1000, and what is written is as large
    "SLSTM": lambda U: SLSTM(np.zeros((8, 2)), U(8), [1e3] * 2 + [0.0] * 6),
    "GRU reset after": lambda U: GRU(np.zeros((6, 2)), U(6), b_candidate=[1.0, 1.0]),
    "GRU reset before": lambda U: GRU(np.zeros((6, 2)), U(6), variant="reset_before"),
    "HardGRU": lambda U: HardGRU(np.zeros((6, 2)), U(6), b_candidate=[1.0, 1.0]),
    "EchoStateNetwork": lambda U: EchoStateNetwork(np.zeros((2, 2)), U(2), leak=0.5),
    "SelectiveSSM euler": lambda U: SelectiveSSM(np.ones((2, 1)), U(2), [[0.0, 0.0]]),
    "SelectiveSSM zoh": lambda U: SelectiveSSM(
        np.ones((2, 1)), U(2), [[0.0, 0.0]], b_B=[1.0], discretization="zoh"
    ),
    "MinGRU": lambda U: MinGRU(U(4)),
    "RGLRU": lambda U: RGLRU(U(4), [0.0, 0.0]),
    "Cascade": lambda U: Cascade(
        [VanillaRNN(np.zeros((2, 2)), U(2)), RGLRU(np.eye(4, 2), [0.0, 0.0])]
    ),
}


@pytest.mark.parametrize("name", CANCELLING)
def test_errors_of_pre_activations_are_passed_on(name):
    """What is lost where large products cancel is far above a few roundings."""
    rng = np.random.default_rng(24)
    worst = np.zeros(1)
    for _ in range(20):
        p, q, at = rng.uniform(1e8, 2e8), rng.uniform(1e8, 2e8), rng.uniform(1.0, 2.0)
        cell = CANCELLING[name](lambda rows, p=p, q=q: np.tile([p, -q], (rows, 1)))
        h, x = np.full(cell.state_dim, 1e3), np.array([at, p * at / q])
        apart = np.abs(cell.step(h, x) - step_by_definition(cell, h, x))
        assert (apart <= cell.step_error(h, x)).all()
        worst = np.maximum(worst, apart)
    assert (worst > 2.0**20 * UNIT).all()


@every
@given(seed=st.integers(0, 2**32 - 1))
def test_the_error_grows_with_the_sizes(model, seed):
    rng = np.random.default_rng(seed)
    h, x = rng.random(model.state_dim), rng.random(M)
    error = model.step_error(h, x)
    assert error.shape == (model.state_dim,)
    assert (error > 0).all()
    assert (model.step_error(2 * h, 2 * x) >= error).all()
    # a few dozen roundings of numbers of that size, no more; a layer passes the error on
    depth = len(model.layers) if isinstance(model, Cascade) else 1
    depth += 2 * isinstance(model, Block)
    largest = max([1.0, *(float(np.max(np.abs(p))) for p in model.parameters.values())])
    size = max(largest, float(np.max(h)), float(np.max(x))) ** 2
    assert (error <= 1000 * UNIT * (size * (model.state_dim + M)) ** depth).all()


def test_the_error_of_a_callable_map_is_what_was_assumed():
    half = CallableMap(lambda h, x: 0.5 * h + x, 2, 2, rounding_units=3.0)
    assert half.step_error(np.array([7.0, 1.0]), np.zeros(2)).tolist() == [21 * UNIT] * 2
    assert half.step_error(np.zeros(2), np.zeros(2)).tolist() == [3 * UNIT] * 2


@given(st.integers(0, 2**32 - 1))
def test_the_default_of_a_callable_map_covers_an_affine_step(seed):
    """|W|, |U|, |b| below 1, as its documentation says."""
    rng = np.random.default_rng(seed)
    W, U, b = rng.uniform(-1, 1, (N, N)), rng.uniform(-1, 1, (N, M)), rng.uniform(-1, 1, N)
    model = CallableMap(lambda h, x: np.tanh(W @ h + U @ x + b), N, M)
    h, x = rng.uniform(-9, 9, N), rng.uniform(-9, 9, M)
    error = model.step_error(np.abs(h), np.abs(x))
    as_affine = VanillaRNN(W, U, b).step_error(np.abs(h), np.abs(x))
    computed = model.step(h, x)
    assert (np.abs(computed - VanillaRNN(W, U, b).step(h, x)) <= error + as_affine).all()


# -------------------------------------------------------------------------------------- jacobians

#: Relative accuracy asked of Jacobians of O(1) weights: some hundred roundings, in sums of products
#: of at most three gates; a wrong term would be off by 2**50 units.
JACOBIAN = 4096 * UNIT


@with_derivatives
@given(seed=st.integers(0, 2**32 - 1))
def test_jacobians_are_the_derivatives(model, seed):
    rng = np.random.default_rng(seed)
    h, x = rng.standard_normal(model.state_dim), rng.standard_normal(M)
    exact = jacobians_by_definition(model, h, x)
    for J, expected in zip(
        (model.jacobian_state(h, x), model.jacobian_input(h, x)), exact, strict=True
    ):
        assert J.shape == expected.shape
        assert np.max(np.abs(J - expected)) <= JACOBIAN * max(1.0, float(np.max(np.abs(expected))))


@pytest.mark.parametrize("name", ["CallableMap", "CallableMap vectorized"])
@given(seed=st.integers(0, 2**32 - 1), size=st.sampled_from([0.1, 1.0, 100.0]))
def test_jacobians_by_differences(name, seed, size):
    model, exact = MAPS[name], MAPS["VanillaRNN tanh"]
    rng = np.random.default_rng(seed)
    h, x = size * rng.standard_normal(N), size * rng.standard_normal(M)
    for mine, theirs, V, around in (
        (model.jacobian_state, exact.jacobian_state, exact.W, h),
        (model.jacobian_input, exact.jacobian_input, exact.U, x),
    ):
        spacing = UNIT ** (1 / 3) * max(1.0, float(np.max(np.abs(around))))
        # third derivative of tanh: at most 2; both ends err by a step's error
        cut = spacing**2 / 6 * 2 * np.max(np.abs(V)) ** 3
        ends = np.max(exact.step_error(np.abs(h) + spacing, np.abs(x) + spacing)) / spacing
        assert np.max(np.abs(mine(h, x) - theirs(h, x))) <= cut + ends + 64 * UNIT


@every
def test_jacobians_broadcast(model):
    rng = np.random.default_rng(6)
    n = model.state_dim
    h, x = rng.standard_normal((4, n)), rng.standard_normal((4, M))
    states, inputs = model.jacobian_state(h, x), model.jacobian_input(h, x)
    assert states.shape == (4, n, n)
    assert inputs.shape == (4, n, M)
    for i in range(4):
        # summed in another order at most; differences by quotients of 2**-17 amplify that
        slack = 2**20 * UNIT * 64
        assert np.max(np.abs(states[i] - model.jacobian_state(h[i], x[i]))) <= slack
        assert np.max(np.abs(inputs[i] - model.jacobian_input(h[i], x[i]))) <= slack
    assert model.jacobian_state(h[0], x).shape == (4, n, n)
    assert model.jacobian_input(h, x[0]).shape == (4, n, M)
    assert model.jacobian_state(h, x[0]).shape == (4, n, n)
    assert model.jacobian_input(h[0], x).shape == (4, n, M)


# ------------------------------------------------------------------------------------------ sweeps


@pytest.mark.parametrize("name", gated_maps(np.random.default_rng(0)))
def test_the_truncation_sweep_is_its_definition(name):
    model = gated_maps(np.random.default_rng(22), size=0.1)[name]
    rng = np.random.default_rng(23)
    n, T, k_max = model.state_dim, 9, 11
    X, h0, restart = rng.standard_normal((T, M)), rng.standard_normal(n), rng.standard_normal(n)
    expected, states, slopes = np.zeros((k_max + 1, T)), [h0, restart], []
    h = h0
    for t in range(T):
        h = model.step(h, X[t])
        states.append(h)
        for k in range(min(t, k_max) + 1):
            g = restart
            for x in X[t + 1 - k : t + 1]:
                slopes.append(np.max(np.sum(np.abs(model.jacobian_state(g, x)), axis=1)))
                g = model.step(g, x)
            expected[k, t] = np.max(np.abs(h - g))
    # on these runs a step does not expand, so errors add up at most
    assert max(slopes) <= 1.0, f"{name} expands with weights of size 0.1: give it smaller ones"
    table = truncation_gap_table(model, X, k_max=k_max, norm=Linf(), h0=h0, restart=restart)
    size = 2 * np.max(np.abs(states), axis=0) + np.max(expected)
    local = Linf().majorant(model.step_error(size, np.max(np.abs(X), axis=0)))
    assert np.max(np.abs(table - expected)) <= 4 * T * local
    assert (table[np.arange(k_max + 1)[:, None] > np.arange(T)] == 0.0).all()
    assert expected[2, -1] > 1e6 * T * local


# -------------------------------------------------------------------------------------- parameters


@every
def test_parameters_are_read_only(model):
    for name, array in model.parameters.items():
        assert array.dtype == np.float64
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0.0
        if hasattr(model, name):
            assert array is getattr(model, name)
            with pytest.raises(AttributeError):
                setattr(model, name, array)
    with pytest.raises(TypeError):
        model.parameters["W"] = np.eye(N)


@every
def test_a_map_is_made_anew_from_its_parameters(model):
    X = np.random.default_rng(8).standard_normal((5, M))
    again = model.with_parameters(**{name: p.tolist() for name, p in model.parameters.items()})
    assert type(again) is type(model)
    assert repr(again) == repr(model)
    np.testing.assert_array_equal(again.simulate(X), model.simulate(X))
    for name, value in model.parameters.items():
        changed = model.with_parameters(**{name: 0.5 * value})
        for other, array in changed.parameters.items():
            expected = 0.5 * value if other == name else model.parameters[other]
            np.testing.assert_array_equal(array, expected)
    with pytest.raises(ValueError, match="has no parameter 'nothing'; it has: "):
        model.with_parameters(nothing=1.0)


@every
def test_the_output_map_selects_entries_of_the_state(model):
    C = model.output_map
    assert C.shape[1] == model.state_dim
    assert ((C == 0) | (C == 1)).all()
    assert (C.sum(axis=1) == 1).all()
    assert (C.sum(axis=0) <= 1).all()


def test_what_a_head_sees():
    assert MAPS["GRU reset after"].output_map.tolist() == np.eye(N).tolist()
    assert MAPS["LSTM"].output_map.tolist() == np.hstack([0 * np.eye(N), np.eye(N)]).tolist()
    top = MAPS["Cascade of gated layers"].output_map
    assert top.tolist() == np.hstack([np.zeros((N, 2 * N)), np.eye(N)]).tolist()


@every
def test_dimensions_and_description(model):
    assert model.input_dim == M
    assert model.step(np.zeros(model.state_dim), np.zeros(M)).shape == (model.state_dim,)
    text = repr(model)
    assert type(model).__name__ in text
    if isinstance(model, VanillaRNN):
        assert repr(model.activation.name) in text
    with pytest.raises(ValueError, match=r"needed \(\.\.\., \d+\)|needed \(\d+,\)|operand"):
        model.step(np.zeros(model.state_dim + 1), np.zeros(M))


@every
def test_affine_form(model):
    form = model.affine()
    known = isinstance(model, LinearMap | VanillaRNN | DiagonalSSM) or (
        isinstance(model, EchoStateNetwork) and (model.leak == 1).all()
    )
    assert (form is not None) == known
    if form is not None:
        rng = np.random.default_rng(9)
        h, x = rng.standard_normal((5, model.state_dim)), rng.standard_normal((5, M))
        same = VanillaRNN(form.W, form.U, form.b, activation=form.rho)
        error = budget(model, h, x) + budget(same, h, x)
        assert (np.abs(same.step(h, x) - model.step(h, x)) <= error).all()
        for array in (form.W, form.U, form.b):
            assert not array.flags.writeable


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64, np.int8, bool])
def test_parameters_of_short_types_are_taken_exactly(dtype):
    A = np.array([[0.1, 1.0], [0.0, 1.7]]).astype(dtype)
    B, bias = np.array([[1.3], [0.0]]).astype(dtype), np.array([1.0, 2.1]).astype(dtype)
    X = np.ones((5, 1))
    for short, long in (
        (LinearMap(A, B, bias), LinearMap(A.astype(float), B.astype(float), bias.astype(float))),
        (VanillaRNN(A, B, bias), VanillaRNN(A.astype(float), B.astype(float), bias.astype(float))),
        (MinGRU(B, bias), MinGRU(B.astype(float), bias.astype(float))),
    ):
        np.testing.assert_array_equal(short.simulate(X), long.simulate(X))


def test_a_linear_map_takes_the_names_of_control_theory_too():
    A, B, bias = np.array([[0.5, 0.1], [0.0, 0.3]]), np.ones((2, 1)), np.array([0.1, 0.2])
    one = LinearMap(W=A, U=B, b=bias)
    for other in (LinearMap(A, B, bias), LinearMap(A=A, B=B, bias=bias), LinearMap(A, B=B, b=bias)):
        assert list(other.parameters) == ["W", "U", "b"]
        for name, value in one.parameters.items():
            np.testing.assert_array_equal(other.parameters[name], value)
    assert (one.recurrent_name, one.form_names) == ("W", ("W", "U", "b"))
    np.testing.assert_array_equal(one.with_parameters(W=B @ B.T).W, B @ B.T)
    for arrays, message in (
        ({"W": A, "A": A, "U": B}, "W and A are two names of one array; pass one of them"),
        ({"W": A, "U": B, "B": B}, "U and B are two names"),
        ({"W": A, "U": B, "b": bias, "bias": bias}, "b and bias are two names"),
        ({"U": B}, "received no W, needed W "),
        ({"A": A}, "received no U, needed U "),
        ({"A": np.ones((2, 3)), "B": B}, r"W has shape \(2, 3\)"),
    ):
        with pytest.raises(ValueError, match=message):
            LinearMap(**arrays)


@pytest.mark.parametrize("name", sorted(MAPS))
def test_the_named_parameters_are_the_form(name):
    """`form_names` names W, U and b of the affine form, wherever it names any."""
    model = MAPS[name]
    form, names = model.affine(), model.form_names
    if names is None:
        with pytest.raises(ValueError, match=r"no parameter of .* is its recurrent matrix"):
            _ = model.recurrent_name
        return
    assert model.recurrent_name == names[0]
    for key, value in zip(names, (form.W, form.U, form.b), strict=True):
        np.testing.assert_array_equal(model.parameters[key], value)


def test_parameters_are_copied():
    A = np.eye(2) * 0.5
    model = LinearMap(A, A)
    A[0, 0] = 9.0
    assert model.W[0, 0] == model.U[0, 0] == 0.5
    W = np.zeros((4, 1))
    cell = LSTM(W, W)
    W[0, 0] = 9.0
    assert cell.W[0, 0] == cell.U[0, 0] == 0.0


def test_biases_are_zero_by_default():
    assert LinearMap(np.eye(2), np.eye(2)).b.tolist() == [0.0, 0.0]
    assert VanillaRNN(np.eye(2), np.eye(2)).b.tolist() == [0.0, 0.0]
    assert VanillaRNN(np.eye(2), np.eye(2)).activation.name == "tanh"
    for stacked in (4, 3):
        cell = (LSTM if stacked == 4 else GRU)(np.ones((stacked, 1)), np.ones((stacked, 1)))
        assert not cell.b.any()
    assert not EchoStateNetwork(np.eye(2), np.eye(2)).b.any()
    assert not MinGRU(np.ones((2, 1))).b.any()


# --------------------------------------------------------------------------- constants of the input

NORMS = [
    L1(),
    L2(),
    Linf(),
    WeightedLinf([0.3, 5.0, 1.0]),
    WeightedL1([0.3, 5.0, 1.0]),
    WeightedL2([[2.0, -1.0, 0.25], [-1.0, 1.5, 0.5], [0.25, 0.5, 1.0]]),
]


def fitting(model: Map) -> list[Any]:
    """Return the norms that are defined on the model's states."""
    return [norm for norm in NORMS if norm.dim in {None, model.state_dim}]


@of_known_gain
@aimed
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_the_input_lipschitz_constant_is_above_every_quotient(model, data, seed):
    norm = data.draw(st.sampled_from(fitting(model)))
    rng = np.random.default_rng(seed)
    n = model.state_dim
    gain = model.input_lipschitz(norm)
    if gain is None:
        assert isinstance(model, Cascade)
        return
    h = rng.standard_normal(n)
    # along random directions, along signs, and along axes; near and far
    directions = np.vstack(
        [rng.standard_normal((3, M)), rng.choice([-1.0, 1.0], (2, M)), np.eye(M)]
    )
    x = np.repeat(rng.standard_normal((1, M)), len(directions), axis=0)
    y = x + rng.choice([1e-2, 1.0, 10.0]) * directions
    apart = norm.vector(model.step(h, y) - model.step(h, x))
    error = 2 * norm.majorant(budget(model, h, np.vstack([x, y])))
    rounding = norm.vector_rounding(n) * apart + 4 * UNIT * gain * norm.companion.vector(
        np.abs(x) + np.abs(y)
    )
    assert (apart <= gain * norm.companion.vector_upper(y - x) + error + rounding).all()
    target(float(np.max(apart / norm.companion.vector(y - x)) / gain), label="share of the gain")


@pytest.mark.parametrize("norm", NORMS[:3], ids=str)
@pytest.mark.parametrize("name", ["LinearMap", "DiagonalSSM"])
def test_the_input_lipschitz_constant_of_a_linear_map_is_attained(name, norm):
    model = MAPS[name]
    U = model.affine().U
    signs = np.array(np.meshgrid([-1.0, 1.0], [-1.0, 1.0])).reshape(2, -1).T
    directions = np.vstack([np.eye(M), signs, np.linalg.svd(U)[2]])
    ratios = norm.vector(directions @ U.T) / norm.vector(directions)
    assert model.input_lipschitz(norm) == pytest.approx(np.max(ratios), rel=1e-10)


@pytest.mark.parametrize("name", ["CallableMap", "CallableMap vectorized"])
def test_the_constant_of_a_callable_map_is_what_was_given(name):
    assert MAPS[name].input_lipschitz(L2()) is None
    known = CallableMap(lambda h, x: h + x, 1, 1, input_lipschitz=1)
    assert known.input_lipschitz(L2()) == 1.0


@pytest.mark.parametrize("name", ["LSTM", "GRU reset after", "SelectiveSSM zoh", "MinGRU", "RGLRU"])
def test_no_constant_serves_all_states_of_a_gated_map(name):
    model = MAPS[name]
    if "W" in model.parameters:  # gates that the state does not close
        model = model.with_parameters(W=0.0 * model.W)
    assert model.input_lipschitz(Linf()) is None
    moved = [
        np.max(np.abs(model.jacobian_input(np.full(model.state_dim, size), np.full(M, 0.1))))
        for size in (1e3, 1e6)
    ]
    assert moved[1] > 100 * moved[0]


@every
@pytest.mark.parametrize("norm", NORMS, ids=str)
def test_the_drive_is_above_every_step_from_rest(model, norm):
    if norm not in fitting(model):
        pytest.skip("a norm on another number of states")
    X = np.random.default_rng(7).standard_normal((2, 10, M))
    flat = X.reshape(-1, M)
    bound = float(model.drive(norm, inputs=X))
    steps = model.step(np.zeros((len(flat), model.state_dim)), flat)
    values = norm.vector(steps)
    # outward by a step's error, so above what is computed, and close to it
    assert np.max(values) <= bound
    error = norm.majorant(budget(model, steps, flat))
    assert bound <= np.max(values) * (1 + 4 * norm.vector_rounding(model.state_dim)) + 3 * error
    assert float(model.drive(norm, inputs=flat[0])) <= bound
    assert float(model.drive(norm, inputs=np.zeros((0, M)))) == 0.0
    assert model.offset().tolist() == model.step(np.zeros(model.state_dim), np.zeros(M)).tolist()


@with_derivatives
@aimed
@given(
    data=st.data(), seed=st.integers(0, 2**32 - 1), bound=st.sampled_from([0.0, 1e-3, 1.0, 50.0])
)
def test_the_drive_of_bounded_inputs_is_above_every_such_input(model, data, seed, bound):
    norm = data.draw(st.sampled_from(fitting(model)))
    rng = np.random.default_rng(seed)
    n = model.state_dim
    x = rng.choice([-1.0, 1.0], (8, M)) * rng.choice([0.1, 1.0], (8, M))
    x *= bound / norm.companion.vector_upper(x)[:, None]
    C = float(model.drive(norm, Inputs.ball(bound, norm.companion)))
    values = norm.vector(model.step(np.zeros((8, n)), x))
    error = norm.majorant(budget(model, np.zeros(n), x)) + norm.vector_rounding(n) * values
    assert (values <= C + error).all()
    gain = model.input_lipschitz(norm)
    if gain is not None:
        at_zero = float(model.drive(norm, inputs=np.zeros((1, M))))
        assert gain * bound * (1 + 8 * UNIT) + at_zero * (1 + 8 * UNIT) >= C
    target(float(np.max(values) / C) if C > 0 else 0.0, label="share of the drive")


@pytest.mark.parametrize(
    ("model", "C", "reached"),
    [
        # i = sigma(1 + 1), g = tanh(1)
        (LSTM(np.zeros((4, 1)), [[1.0], [0.0], [1.0], [0.0]], [1, 0, 0, 0]), 0.670810, 0.670810),
        # 1 - z = sigma(1 + 1), n = tanh(1 + sigma(0) 2)
        (
            GRU(np.zeros((3, 1)), [[0.0], [-1.0], [1.0]], [0, -1, 0], b_candidate=[2.0]),
            0.849113,
            0.849113,
        ),
        # softplus(1 + 1) (1 + 1)
        (SelectiveSSM([[1.0]], [[1.0]], [[1.0]], [1.0], [1.0]), 4.253856, 4.253856),
        # gamma = 1 - exp(-softplus(1)), but at most 1 / decay
        (SelectiveSSM([[1.0]], [[0.0]], [[1.0]], [1.0], [1.0], "zoh"), 2.0, 1.462117),
        # sigma(1 + 1) (1 + 1)
        (MinGRU([[1.0], [1.0]], [1.0, 1.0]), 1.761594, 1.761594),
        # sigma(1 + 1) 1, of which the factor sqrt(1 - 2**-16) is reached
        (RGLRU([[0.0], [1.0]], [0.0], [0.0, 1.0], scale=16.0), 0.880797, 0.880790),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_drive_of_one_unit(model, C, reached):
    assert np.max(model.rest_reach(Inputs.box(-1, 1))) == pytest.approx(C, abs=1e-6)
    # the enclosure of the step knows that gamma and the input gate are functions of one input
    assert float(model.drive(Linf(), Inputs.box(-1, 1))) == pytest.approx(reached, abs=1e-6)
    largest = np.max(np.abs(model.step(np.zeros(model.state_dim), np.ones(1))))
    assert largest == pytest.approx(reached, abs=1e-6)


def test_the_drive_of_a_linear_map_is_above_the_exact_one():
    """The float value alone would be below the exact norm half of the time."""
    rng = np.random.default_rng(8)
    for _ in range(50):
        B, bias, x = rng.standard_normal((2, 3)), rng.standard_normal(2), rng.standard_normal(3)
        model = LinearMap(np.zeros((2, 2)), B, bias)
        exact = [
            abs(
                sum(
                    (Fraction(u) * Fraction(y) for u, y in zip(row, x.tolist(), strict=True)),
                    Fraction(c),
                )
            )
            for row, c in zip(B.tolist(), bias.tolist(), strict=True)
        ]
        assert Fraction(float(model.drive(Linf(), inputs=x))) >= max(exact)
        assert Fraction(float(model.drive(L1(), inputs=x))) >= sum(exact)
        assert Fraction(float(model.drive(L2(), inputs=x))) ** 2 >= sum(q * q for q in exact)
