"""What every map promises: one suite, run on each of them.

The definitions are written out here again, in plain Python, so that a map cannot agree with itself.
"""

import math
from collections.abc import Callable
from fractions import Fraction

import flint
import numpy as np
import pytest
from hypothesis import assume, given, target
from hypothesis import strategies as st

from theory import L1, L2, CallableMap, LinearMap, Linf, Map, VanillaRNN, WeightedL2, WeightedLinf
from theory.activations import ACTIVATIONS, Activation, activation
from theory.kernels.affine import LARGE_STEP, SMALL_DIM
from theory.maps.base import simulate_by_steps
from theory.rigor import row_sum_upper
from theory.rounding import ELEMENTARY_UNITS, TINY, UNIT, drift, gamma
from theory.typing import Array

RHO: dict[str, Callable[[float], float]] = {
    "identity": lambda a: a,
    "tanh": math.tanh,
    "relu": lambda a: a if a > 0 else 0.0,
    "sigmoid": lambda a: 1 / (1 + math.exp(-a)) if a > 0 else math.exp(a) / (1 + math.exp(a)),
    "softplus": lambda a: a + math.log1p(math.exp(-a)) if a > 0 else math.log1p(math.exp(a)),
    "hard_tanh": lambda a: -1.0 if a < -1 else 1.0 if a > 1 else a,
    "sin": math.sin,
    "leaky_relu(0.2)": lambda a: a if a > 0 else 0.2 * a,
    "leaky_relu(-0.5)": lambda a: a if a > 0 else -0.5 * a,
    "leaky_relu(2.0)": lambda a: a if a > 0 else 2.0 * a,
}
assert set(ACTIVATIONS) <= set(RHO)

N, M = 3, 2
_rng = np.random.default_rng(20)
_W = _rng.standard_normal((N, N))
_U = _rng.standard_normal((N, M))
_b = _rng.standard_normal(N)


def contractive(W: Array, rho: Activation, lam: float) -> Array:
    """Scale W so that the map contracts by at most lam in the maximum norm."""
    W = W * (lam / (rho.lipschitz * row_sum_upper(W)))
    while rho.lipschitz * row_sum_upper(W) > lam * (1 - 4 * UNIT):
        W = W * (1 - 2 * UNIT)
    return W


LAM = 0.9


def _make() -> dict[str, tuple[Map, str, Array]]:
    """Return each map with the name of its activation and its recurrent weights."""
    result: dict[str, tuple[Map, str, Array]] = {}
    W = contractive(_W, activation("identity"), LAM)
    result["LinearMap"] = LinearMap(W, _U, _b), "identity", W
    for name in RHO:
        W = contractive(_W, activation(name), LAM)
        result[f"VanillaRNN {name}"] = VanillaRNN(W, _U, _b, activation=name), name, W
    W = contractive(_W, activation("tanh"), LAM)

    def step(h: Array, x: Array) -> Array:
        return np.tanh(h @ W.T + x @ _U.T + _b)

    result["CallableMap"] = CallableMap(step, N, M), "tanh", W
    result["CallableMap vectorized"] = CallableMap(step, N, M, vectorized=True), "tanh", W
    return result


MAPS = _make()
every = pytest.mark.parametrize(("model", "rho", "W"), MAPS.values(), ids=MAPS)
AFFINE = {name: case for name, case in MAPS.items() if case[0].affine() is not None}
affine_only = pytest.mark.parametrize(("model", "rho", "W"), AFFINE.values(), ids=AFFINE)


def by_definition(rho: str, W: Array, h: list[float], x: list[float]) -> list[float]:
    """Return rho(W h + U x + b), one entry and one term at a time."""
    result = []
    for i in range(N):
        a = float(_b[i])
        for j in range(N):
            a += float(W[i, j]) * h[j]
        for j in range(M):
            a += float(_U[i, j]) * x[j]
        result.append(RHO[rho](a))
    return result


def budget(model: Map, states: Array, inputs: Array) -> Array:
    """Return the error of one step over given states and inputs, entrywise."""
    h = np.max(np.abs(states.reshape(-1, model.state_dim)), axis=0, initial=0.0)
    x = np.max(np.abs(inputs.reshape(-1, model.input_dim)), axis=0, initial=0.0)
    return model.step_error(h, x)


# ------------------------------------------------------------------------------------------ step


@every
@given(seed=st.integers(0, 2**32 - 1), size=st.sampled_from([0.0, 1e-3, 1.0, 30.0]))
def test_step_is_its_definition(model, rho, W, seed, size):
    rng = np.random.default_rng(seed)
    h, x = size * rng.standard_normal(N), size * rng.standard_normal(M)
    expected = by_definition(rho, W, h.tolist(), x.tolist())
    # both are within the step's own error of the exact value
    assert (np.abs(model.step(h, x) - expected) <= 2 * budget(model, h, x)).all()


@every
def test_step_broadcasts_over_leading_axes(model, rho, W):
    rng = np.random.default_rng(1)
    h, x = rng.standard_normal((4, 5, N)), rng.standard_normal((4, 5, M))
    table = model.step(h, x)
    assert table.shape == (4, 5, N)
    error = 2 * budget(model, h, x)
    for i, j in np.ndindex(4, 5):
        expected = by_definition(rho, W, h[i, j].tolist(), x[i, j].tolist())
        assert (np.abs(table[i, j] - expected) <= error).all()
    one_state = model.step(h[0, 0], x)
    one_input = model.step(h, x[0, 0])
    assert one_state.shape == one_input.shape == (4, 5, N)
    assert (np.abs(one_state - model.step(np.broadcast_to(h[0, 0], h.shape), x)) <= error).all()
    assert (np.abs(one_input - model.step(h, np.broadcast_to(x[0, 0], x.shape))) <= error).all()


@every
def test_step_leaves_its_arguments_alone(model, rho, W):  # noqa: ARG001
    h, x = np.linspace(-1, 1, N), np.linspace(-1, 1, M)
    before = h.copy(), x.copy()
    result = model.step(h, x)
    assert not np.shares_memory(result, h)
    assert (h == before[0]).all()
    assert (x == before[1]).all()


@every
def test_advance_is_step_from_input_terms(model, rho, W):  # noqa: ARG001
    rng = np.random.default_rng(2)
    h, x = rng.standard_normal((6, N)), rng.standard_normal((6, M))
    terms = model.input_terms(x)
    assert terms.shape[0] == 6
    kept = terms.copy()
    expected = model.step(h, x)
    error = 2 * budget(model, h, x)
    plain = model.advance(h, terms)
    assert (np.abs(plain - expected) <= error).all()
    out = np.full((6, N), np.nan)
    assert model.advance(h, terms, out=out) is out
    np.testing.assert_array_equal(out, plain)
    np.testing.assert_array_equal(terms, kept)
    for i in range(6):
        one = model.advance(h[i], model.input_terms(x[i]))
        assert one.shape == (N,)
        assert (np.abs(one - expected[i]) <= error).all()


# -------------------------------------------------------------------------------------- simulate


def steps(model: Map, X: Array, h0: Array) -> Array:
    """Run one sequence by `step` alone."""
    states, h = [], h0
    for x in X:
        h = model.step(h, x)
        states.append(h)
    return np.array(states).reshape(len(X), model.state_dim)


def drifts(model: Map, *runs: Array, X: Array, lam: float = LAM) -> Array:
    """Return what two runs of the same inputs may differ by in the maximum norm."""
    states = np.vstack([run.reshape(-1, model.state_dim) for run in runs])
    local = Linf().majorant(budget(model, states, X))
    return np.array(2 * drift(local, lam))


@every
@pytest.mark.parametrize("start", [None, "one", "each"])
def test_simulate_repeats_step(model, rho, W, start):
    rng = np.random.default_rng(3)
    X = rng.standard_normal((4, 50, M))
    h0 = {"one": rng.standard_normal(N), "each": rng.standard_normal((4, N)), None: None}[start]
    H = model.simulate(X, h0)
    assert H.shape == (4, 50, N)
    first = np.broadcast_to(np.zeros(N) if h0 is None else h0, (4, N))
    for i in range(4):
        expected = steps(model, X[i], first[i])
        bound = drifts(model, H[i], expected, first[i], X=X[i])
        assert (np.max(np.abs(H[i] - expected), axis=-1) <= bound).all()
        # one sequence alone, with or without a batch axis
        alone = model.simulate(X[i], first[i])
        assert alone.shape == (50, N)
        assert (np.abs(alone - H[i]) <= bound).all()
        assert (np.abs(model.simulate(X[i : i + 1], first[i])[0] - H[i]) <= bound).all()
        # and the definition
        h = first[i].tolist()
        for t in range(50):
            h = by_definition(rho, W, h, X[i, t].tolist())
            assert (np.abs(H[i, t] - h) <= bound).all()


@every
def test_simulate_of_nothing_and_of_one(model, rho, W):
    assert model.simulate(np.zeros((0, M))).shape == (0, N)
    assert model.simulate(np.zeros((0, M)), np.ones(N)).shape == (0, N)
    assert model.simulate(np.zeros((0, 4, M))).shape == (0, 4, N)
    assert model.simulate(np.zeros((3, 0, M))).shape == (3, 0, N)
    x = np.array([[0.25, -0.5]])
    expected = by_definition(rho, W, [0.0] * N, x[0].tolist())
    assert (np.abs(model.simulate(x)[0] - expected) <= 2 * budget(model, np.zeros(N), x)).all()


@every
def test_simulate_leaves_its_arguments_alone_and_accepts_any_layout(model, rho, W):  # noqa: ARG001
    rng = np.random.default_rng(4)
    X, h0 = rng.standard_normal((3, 6, M)), rng.standard_normal((3, N))
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
    assert model.simulate(np.ones((2, M), dtype=int)).shape == (2, N)


@every
def test_a_run_may_be_continued(model, rho, W):  # noqa: ARG001
    X = np.random.default_rng(5).standard_normal((9, M))
    H = model.simulate(X)
    bound = drifts(model, H, X=X)
    assert (np.abs(model.simulate(X[4:], H[3]) - H[4:]) <= bound).all()
    np.testing.assert_array_equal(model.simulate(X[:4]), H[:4])  # causal, bitwise


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


@pytest.mark.parametrize(("n", "batch"), CROSSINGS)
@pytest.mark.parametrize("name", RHO)
def test_every_implementation_agrees_with_repeated_steps(name, n, batch):
    rng = np.random.default_rng(n)
    rho = activation(name)
    W = contractive(rng.standard_normal((n, n)), rho, LAM)
    cell = VanillaRNN(W, rng.standard_normal((n, 2)), rng.standard_normal(n), activation=name)
    X, h0 = rng.standard_normal((batch, 12, 2)), rng.standard_normal((batch, n))
    H = cell.simulate(X, h0)
    reference = simulate_by_steps(cell, X, h0)
    bound = drifts(cell, H, reference, h0, X=X)
    assert np.max(np.abs(H - reference)) <= bound
    assert np.max(np.abs(H[-1] - steps(cell, X[-1], h0[-1]))) <= bound
    assert bound < 1e-9  # a wrong entry of W could not hide


# ------------------------------------------------------------------------- rounding error of a step


def exactly(rho: str, a: flint.arb) -> flint.arb:
    """Return rho(a) as a ball, for a ball a that is far narrower than a double."""
    one = flint.arb(1)
    far = abs(a) > 2000
    if rho == "tanh":
        return (one if a > 0 else -one) if far else a.tanh()
    if rho == "sigmoid":
        return (one if a > 0 else 0 * one) if far else one / (one + (-a).exp())
    if rho == "softplus":
        return (a if a > 0 else 0 * one) if far else (one + a.exp()).log()
    if rho == "sin":
        return a.sin()
    if rho == "hard_tanh":
        return -one if a < -1 else one if a > 1 else a
    if rho == "identity":
        return a
    leak = 0.0 if rho == "relu" else float(rho[len("leaky_relu(") : -1])
    return a if a >= 0 else flint.arb(leak) * a


#: Entries that make sums cancel, that are large, and that underflow when multiplied.
entries = st.one_of(
    st.floats(-2.0, 2.0),
    st.sampled_from(
        [0.0, 1.0, -1.0, 1e8, -1e8, 1e16, 1 + 2.0**-52, 1e-200, -1e-200, 1e-8, TINY, 1e100]
    ),
    st.floats(-1e9, 1e9),
)


@pytest.mark.parametrize("name", RHO)
@given(data=st.data())
def test_one_step_is_within_its_error(name, data):
    n, m = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))

    def draw(*shape: int) -> Array:
        size = math.prod(shape)
        return np.array(data.draw(st.lists(entries, min_size=size, max_size=size))).reshape(shape)

    W, U, b, h, x = draw(n, n), draw(n, m), draw(n), draw(n), draw(m)
    if n >= 2 and data.draw(st.booleans()):
        # two terms of the first entry cancel but for the last digits
        W[0, :2], h[:2] = [1.0, -1.0], [h[0], math.nextafter(h[0], data.draw(st.floats(-1e9, 1e9)))]
    cell = VanillaRNN(W, U, b, activation=name)
    error = cell.step_error(np.abs(h), np.abs(x))
    saved, flint.ctx.prec = flint.ctx.prec, 2600
    try:
        worst = 0.0
        values = [
            cell.step(h, x),
            cell.advance(h, cell.input_terms(x)),
            cell.simulate(x[None], h)[0],
        ]
        for i in range(n):
            a = sum(
                map(Fraction.__mul__, map(Fraction, W[i].tolist()), map(Fraction, h.tolist())),
                Fraction(b[i]),
            )
            a += sum(map(Fraction.__mul__, map(Fraction, U[i].tolist()), map(Fraction, x.tolist())))
            exact = exactly(name, flint.arb(flint.fmpq(a.numerator, a.denominator)))
            for value in values:
                actual = abs(flint.arb(float(value[i])) - exact)
                assert not actual > flint.arb(float(error[i]))
                worst = max(worst, float((actual / flint.arb(float(error[i]))).mid()))
    finally:
        flint.ctx.prec = saved
    target(worst, label=f"share of the error of {name}")


@every
@given(seed=st.integers(0, 2**32 - 1))
def test_the_error_grows_with_the_sizes(model, rho, W, seed):  # noqa: ARG001
    rng = np.random.default_rng(seed)
    h, x = rng.random(N), rng.random(M)
    error = model.step_error(h, x)
    assert error.shape == (N,)
    assert (error > 0).all()
    assert (model.step_error(2 * h, 2 * x) >= error).all()
    # a few dozen roundings of numbers of that size, no more
    size = max(1.0, float(np.max(np.abs(_U))), float(np.max(h)), float(np.max(x))) ** 2
    assert (error <= 1000 * UNIT * size * (N + M)).all()


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


def jacobian_exact(rho: str, V: Array, a: list[Fraction]) -> list[list[flint.arb]]:
    """Return diag(rho'(a)) V by central differences of spacing 2**-300 in 1200 bits."""
    spacing = Fraction(1, 2**300)
    rows = []
    for i, at in enumerate(a):
        ends = [
            exactly(rho, flint.arb(flint.fmpq(q.numerator, q.denominator)))
            for q in (at + spacing, at - spacing)
        ]
        slope = (ends[0] - ends[1]) * flint.arb(2) ** 299
        rows.append([slope * flint.arb(float(v)) for v in V[i]])
    return rows


@affine_only
@given(seed=st.integers(0, 2**32 - 1))
def test_jacobians_are_the_derivatives(model, rho, W, seed):
    rng = np.random.default_rng(seed)
    h, x = rng.standard_normal(N), rng.standard_normal(M)
    a = [
        sum(
            (Fraction(w) * Fraction(y) for w, y in zip(W[i].tolist(), h.tolist(), strict=True)),
            Fraction(_b[i]),
        )
        + sum(
            (Fraction(u) * Fraction(y) for u, y in zip(_U[i].tolist(), x.tolist(), strict=True)),
            Fraction(0),
        )
        for i in range(N)
    ]
    form = model.affine()
    # away from the kinks, where no derivative exists
    smooth = form.rho.curvature < math.inf
    assume(smooth or all(abs(abs(q) - c) > Fraction(1, 10**6) for q in a for c in (0, 1)))
    # |rho'(a + e) - rho'(a)| <= curvature |e|, and rho' is computed to 4 ELEMENTARY_UNITS u
    size = np.abs(W) @ np.abs(h) + np.abs(_U) @ np.abs(x) + np.abs(_b)
    error = (form.rho.curvature if smooth else 0.0) * 2 * gamma(N + M + 3) * size
    error = error + 5 * ELEMENTARY_UNITS * UNIT * form.rho.lipschitz
    saved, flint.ctx.prec = flint.ctx.prec, 1200
    try:
        for V, jacobian in ((W, model.jacobian_state(h, x)), (_U, model.jacobian_input(h, x))):
            exact = jacobian_exact(rho, V, a)
            assert jacobian.shape == V.shape
            for i, j in np.ndindex(*V.shape):
                bound = flint.arb(float(error[i] * abs(V[i, j])) + TINY)
                assert not abs(flint.arb(float(jacobian[i, j])) - exact[i][j]) > bound
    finally:
        flint.ctx.prec = saved


@pytest.mark.parametrize("name", ["CallableMap", "CallableMap vectorized"])
@given(seed=st.integers(0, 2**32 - 1), size=st.sampled_from([0.1, 1.0, 100.0]))
def test_jacobians_by_differences(name, seed, size):
    model, rho, W = MAPS[name]
    exact = VanillaRNN(W, _U, _b, activation=rho)
    rng = np.random.default_rng(seed)
    h, x = size * rng.standard_normal(N), size * rng.standard_normal(M)
    for mine, theirs, V, around in (
        (model.jacobian_state, exact.jacobian_state, W, h),
        (model.jacobian_input, exact.jacobian_input, _U, x),
    ):
        spacing = UNIT ** (1 / 3) * max(1.0, float(np.max(np.abs(around))))
        # third derivative of tanh: at most 2; both ends err by a step's error
        cut = spacing**2 / 6 * 2 * np.max(np.abs(V)) ** 3
        ends = np.max(exact.step_error(np.abs(h) + spacing, np.abs(x) + spacing)) / spacing
        assert np.max(np.abs(mine(h, x) - theirs(h, x))) <= cut + ends + 64 * UNIT


@every
def test_jacobians_broadcast(model, rho, W):  # noqa: ARG001
    rng = np.random.default_rng(6)
    h, x = rng.standard_normal((4, N)), rng.standard_normal((4, M))
    states, inputs = model.jacobian_state(h, x), model.jacobian_input(h, x)
    assert states.shape == (4, N, N)
    assert inputs.shape == (4, N, M)
    for i in range(4):
        # summed in another order at most; differences by quotients of 2**-17 amplify that
        slack = 2**20 * UNIT * 64
        assert np.max(np.abs(states[i] - model.jacobian_state(h[i], x[i]))) <= slack
        assert np.max(np.abs(inputs[i] - model.jacobian_input(h[i], x[i]))) <= slack
    assert model.jacobian_state(h[0], x).shape == (4, N, N)
    assert model.jacobian_input(h, x[0]).shape == (4, N, M)


# -------------------------------------------------------------------------------------- parameters


@every
def test_parameters_are_read_only(model, rho, W):  # noqa: ARG001
    for name, array in model.parameters.items():
        assert array is getattr(model, name)
        assert array.dtype == np.float64
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0.0
        with pytest.raises(AttributeError):
            setattr(model, name, array)
    with pytest.raises(TypeError):
        model.parameters["W"] = np.eye(N)


@every
def test_dimensions_and_description(model, rho, W):  # noqa: ARG001
    assert (model.state_dim, model.input_dim) == (N, M)
    text = repr(model)
    assert type(model).__name__ in text
    assert str(N) in text
    assert str(M) in text
    if isinstance(model, VanillaRNN):
        assert repr(rho) in text
        assert model.activation.name == rho


@every
def test_affine_form(model, rho, W):
    form = model.affine()
    if isinstance(model, CallableMap):
        assert form is None
        return
    np.testing.assert_array_equal(form.W, W)
    np.testing.assert_array_equal(form.U, _U)
    np.testing.assert_array_equal(form.b, _b)
    assert form.rho.name == rho


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64, np.int8, bool])
def test_parameters_of_short_types_are_taken_exactly(dtype):
    A = np.array([[0.1, 1.0], [0.0, 1.7]]).astype(dtype)
    B, bias = np.array([[1.3], [0.0]]).astype(dtype), np.array([1.0, 2.1]).astype(dtype)
    X = np.ones((5, 1))
    for short, long in (
        (LinearMap(A, B, bias), LinearMap(A.astype(float), B.astype(float), bias.astype(float))),
        (VanillaRNN(A, B, bias), VanillaRNN(A.astype(float), B.astype(float), bias.astype(float))),
    ):
        np.testing.assert_array_equal(short.simulate(X), long.simulate(X))


def test_parameters_are_copied():
    A = np.eye(2) * 0.5
    model = LinearMap(A, A)
    A[0, 0] = 9.0
    assert model.A[0, 0] == model.B[0, 0] == 0.5


def test_biases_are_zero_by_default():
    assert LinearMap(np.eye(2), np.eye(2)).bias.tolist() == [0.0, 0.0]
    assert VanillaRNN(np.eye(2), np.eye(2)).b.tolist() == [0.0, 0.0]
    assert VanillaRNN(np.eye(2), np.eye(2)).activation.name == "tanh"


# --------------------------------------------------------------------------- constants of the input

NORMS = [
    L1(),
    L2(),
    Linf(),
    WeightedLinf([0.3, 5.0, 1.0]),
    WeightedL2([[2.0, -1.0, 0.25], [-1.0, 1.5, 0.5], [0.25, 0.5, 1.0]]),
]


@affine_only
@pytest.mark.parametrize("norm", NORMS, ids=str)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_input_lipschitz_constant_is_above_every_quotient(model, rho, W, norm, seed):  # noqa: ARG001
    rng = np.random.default_rng(seed)
    gain = model.input_lipschitz(norm)
    h = rng.standard_normal(N)
    # along random directions, along signs, and along axes; near and far
    directions = np.vstack(
        [rng.standard_normal((3, M)), rng.choice([-1.0, 1.0], (2, M)), np.eye(M)]
    )
    x = np.repeat(rng.standard_normal((1, M)), len(directions), axis=0)
    y = x + rng.choice([1e-2, 1.0, 10.0]) * directions
    apart = norm.vector(model.step(h, y) - model.step(h, x))
    error = 2 * norm.majorant(budget(model, h, np.vstack([x, y])))
    rounding = norm.vector_rounding(N) * apart + 4 * UNIT * gain * norm.companion.vector(
        np.abs(x) + np.abs(y)
    )
    assert (apart <= gain * norm.companion.vector_upper(y - x) + error + rounding).all()
    target(float(np.max(apart / norm.companion.vector(y - x)) / gain), label="share of the gain")


@pytest.mark.parametrize("norm", NORMS[:3], ids=str)
def test_the_input_lipschitz_constant_of_a_linear_map_is_attained(norm):
    model = MAPS["LinearMap"][0]
    signs = np.array(np.meshgrid([-1.0, 1.0], [-1.0, 1.0])).reshape(2, -1).T
    directions = np.vstack([np.eye(M), signs, np.linalg.svd(_U)[2]])
    ratios = norm.vector(directions @ _U.T) / norm.vector(directions)
    assert model.input_lipschitz(norm) == pytest.approx(np.max(ratios), rel=1e-10)


@pytest.mark.parametrize("name", ["CallableMap", "CallableMap vectorized"])
def test_the_constant_of_a_callable_map_is_what_was_given(name):
    assert MAPS[name][0].input_lipschitz(L2()) is None
    known = CallableMap(lambda h, x: h + x, 1, 1, input_lipschitz=1)
    assert known.input_lipschitz(L2()) == 1.0


@every
@pytest.mark.parametrize("norm", NORMS, ids=str)
def test_the_drive_is_above_every_step_from_rest(model, rho, W, norm):  # noqa: ARG001
    X = np.random.default_rng(7).standard_normal((2, 10, M))
    flat = X.reshape(-1, M)
    bound = model.drive(norm, inputs=X)
    values = norm.vector(model.step(np.zeros((len(flat), N)), flat))
    # outward by a step's error, so above what is computed, and close to it
    assert np.max(values) <= bound
    error = norm.majorant(budget(model, np.zeros(N), flat))
    assert bound <= np.max(values) * (1 + 4 * norm.vector_rounding(N)) + 3 * error
    assert model.drive(norm, inputs=flat[0]) <= bound
    assert model.drive(norm, inputs=np.zeros((0, M))) == 0.0
    assert model.offset().tolist() == model.step(np.zeros(N), np.zeros(M)).tolist()


@affine_only
@pytest.mark.parametrize("norm", NORMS, ids=str)
@given(seed=st.integers(0, 2**32 - 1), bound=st.sampled_from([0.0, 1e-3, 1.0, 50.0]))
def test_the_drive_of_bounded_inputs_is_above_every_such_input(model, rho, W, norm, seed, bound):  # noqa: ARG001
    rng = np.random.default_rng(seed)
    x = rng.choice([-1.0, 1.0], (8, M)) * rng.choice([0.1, 1.0], (8, M))
    x *= bound / norm.companion.vector_upper(x)[:, None]
    C = model.drive(norm, input_bound=bound)
    values = norm.vector(model.step(np.zeros((8, N)), x))
    error = norm.majorant(budget(model, np.zeros(N), x)) + norm.vector_rounding(N) * values
    assert (values <= C + error).all()
    assert (
        model.input_lipschitz(norm) * bound * (1 + 8 * UNIT)
        + model.drive(norm, inputs=np.zeros((1, M))) * (1 + 8 * UNIT)
        >= C
    )


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
        assert Fraction(model.drive(Linf(), inputs=x)) >= max(exact)
        assert Fraction(model.drive(L1(), inputs=x)) >= sum(exact)
        assert Fraction(model.drive(L2(), inputs=x)) ** 2 >= sum(q * q for q in exact)
