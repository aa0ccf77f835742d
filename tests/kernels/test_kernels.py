"""The kernels against the definition: every window run by `step`, whichever loop is taken."""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import config

from theory import (
    GRU,
    L1,
    L2,
    LSTM,
    CallableMap,
    LinearMap,
    Linf,
    Map,
    VanillaRNN,
    WeightedL1,
    WeightedL2,
    WeightedLinf,
)
from theory.arithmetic.rigor import row_sum_upper
from theory.arithmetic.rounding import UNIT, drift
from theory.kernels import cells as loops
from theory.kernels import simulate as affine
from theory.kernels.cells import gap_kernel, run_kernel
from theory.measure import sweep as gaps
from theory.measure import truncation_gap_table, truncation_gaps
from theory.norms import over
from theory.typing import Array

RHO = [
    "identity",
    "tanh",
    "relu",
    "leaky_relu(0.2)",
    "leaky_relu(-0.5)",
    "sigmoid",
    "softplus",
    "hard_tanh",
    "sin",
]
LAM = 0.9


def cell(seed: int, n: int, m: int, name: str) -> VanillaRNN:
    """Return a map that contracts by at most 0.9 in the maximum norm."""
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((n, n))
    W *= LAM * (1 - 8 * UNIT) / row_sum_upper(W)
    return VanillaRNN(W, rng.standard_normal((n, m)), rng.standard_normal(n), activation=name)


def by_windows(model: Map, X: Array, k_max: int, h0: Array, restart: Array) -> Array:
    """Return h_t - h_t^k, (k_max + 1, T, n): the definition, window by window."""
    T, n = len(X), model.state_dim
    h, table = h0, np.zeros((k_max + 1, T, n))
    for t in range(T):
        h = model.step(h, X[t])
        for k in range(min(t, k_max) + 1):  # after t + 1 inputs; k > t + 1 - 1 sees all of them
            g = restart
            for x in X[t + 1 - k : t + 1]:
                g = model.step(g, x)
            table[k, t] = h - g
    return table


def tolerance(model: Map, X: Array, *states: Array) -> float:
    """Return what two gaps of the same inputs may differ by in the maximum norm."""
    h = np.max(np.abs(np.vstack([np.atleast_2d(s) for s in states])), axis=0)
    # the truncated states are within the gap of the recurrent ones: twice their size plus restart
    local = Linf().majorant(model.step_error(3 * h, np.max(np.abs(X), axis=0, initial=0.0)))
    return 4 * drift(local, LAM)


BOTH = pytest.mark.parametrize("fused", [0, 10**9], ids=["products", "fused"])


@BOTH
@pytest.mark.parametrize("name", RHO)
@pytest.mark.parametrize(
    "norm",
    [L1(), L2(), Linf(), WeightedLinf([0.5, 3.0, 1.0]), WeightedL1([0.5, 3.0, 1.0])],
    ids=str,
)
def test_both_sweeps_are_the_definition(monkeypatch, fused, name, norm):
    monkeypatch.setattr(gaps, "FUSED_DIM", fused)
    model = cell(1, 3, 2, name)
    rng = np.random.default_rng(2)
    X, h0, restart = rng.standard_normal((12, 2)), rng.standard_normal(3), rng.standard_normal(3)
    table = truncation_gap_table(model, X, k_max=15, norm=norm, h0=h0, restart=restart)
    differences = by_windows(model, X, 15, h0, restart)
    expected = norm.vector(differences)
    error = tolerance(model, X, model.simulate(X, h0), h0, restart)
    error *= over(norm, Linf(), n=3)
    assert np.max(np.abs(table - expected)) <= error + norm.vector_rounding(3) * np.max(expected)
    assert error < 1e-10  # far below the gaps
    assert np.max(expected[:5, -1]) > 1e-6
    # both models are the same up to k inputs: exactly nothing
    assert (table[np.arange(16)[:, None] > np.arange(12)] == 0.0).all()


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 4),
    st.integers(0, 9),
    st.integers(0, 12),
    st.sampled_from(RHO),
    st.sampled_from([L1(), L2(), Linf()]),
)
def test_sweeps_agree_with_each_other_and_the_definition(seed, n, T, k_max, name, norm):
    model = cell(seed, n, 1, name)
    rng = np.random.default_rng(seed)
    X, h0, restart = rng.standard_normal((T, 1)), rng.standard_normal(n), rng.standard_normal(n)
    tables = []
    with pytest.MonkeyPatch.context() as patch:
        for fused in (0, 10**9):
            patch.setattr(gaps, "FUSED_DIM", fused)
            tables.append(
                truncation_gap_table(model, X, k_max=k_max, norm=norm, h0=h0, restart=restart)
            )
    assert tables[0].shape == (k_max + 1, T)
    expected = norm.vector(by_windows(model, X, k_max, h0, restart))
    states = [h0, restart, *model.simulate(X, h0)]
    error = tolerance(model, X, *states) * over(norm, Linf(), n=n)
    error += norm.vector_rounding(n) * np.max(expected, initial=0.0)
    for table in tables:
        assert np.max(np.abs(table - expected), initial=0.0) <= error


@BOTH
@pytest.mark.parametrize("norm", [L1(), L2(), Linf(), WeightedLinf([1.0])], ids=str)
def test_tiny_gaps_keep_all_their_digits(monkeypatch, fused, norm):
    """Squares of gaps below 2**-537 underflow; the gaps themselves do not."""
    monkeypatch.setattr(gaps, "FUSED_DIM", fused)
    a = 2.0**-60
    X = np.zeros((16, 1))
    X[0] = 3.0
    table = truncation_gap_table(LinearMap([[a]], [[1.0]]), X, k_max=20, norm=norm)
    # h_t = 3 a**(t - 1) after t inputs, and the truncated model has forgotten the first for k < t
    t = np.arange(1, 17)
    expected = np.where(np.arange(21)[:, None] < t, 3.0 * a ** (t - 1.0), 0.0)
    np.testing.assert_array_equal(table, expected)
    assert expected[0, -1] < 2.0**-890


@BOTH
def test_tiny_gaps_of_several_entries(monkeypatch, fused):
    monkeypatch.setattr(gaps, "FUSED_DIM", fused)
    X = np.zeros((4, 2))
    X[0] = [3.0, 4.0]
    model = LinearMap(2.0**-200 * np.eye(2), np.eye(2))
    assert truncation_gaps(model, X, k_max=2, norm=L2()).tolist() == [
        5.0,
        5.0 * 2.0**-200,
        5.0 * 2.0**-400,
    ]


@BOTH
def test_k_max_beyond_the_length(monkeypatch, fused):
    monkeypatch.setattr(gaps, "FUSED_DIM", fused)
    model = LinearMap([[0.5]], [[1.0]])
    assert truncation_gaps(model, np.ones((2, 1)), k_max=6).tolist() == [1.5, 0.5, 0, 0, 0, 0, 0]
    assert truncation_gaps(model, np.zeros((0, 1)), k_max=3).tolist() == [0.0] * 4
    # a start counts as a past that the truncated model has lost, for t > k only
    assert truncation_gaps(model, np.zeros((2, 1)), k_max=3, h0=[8.0]).tolist() == [
        4.0,
        2.0,
        0.0,
        0.0,
    ]
    gap = truncation_gaps(model, np.zeros((2, 1)), k_max=2, h0=[8.0], restart=[4.0])
    assert gap.tolist() == [2.0, 0.0, 0.0]  # 8/4 - 4/2 = 0 for k = 1


#: Rows and lengths in a block, and norms that kernels know; as plain Python fewer: each takes long.
BLOCKS = [(3, 2), (1, 1), (7, 25), (19, 4), (256, 3)][: 1 if config.DISABLE_JIT else 5]
KNOWN = [L2(), L1(), Linf()][: 1 if config.DISABLE_JIT else 3]

LARGER = [
    cell(3, 40, 1, "tanh"),
    cell(3, 40, 1, "softplus"),
    LSTM(*(np.random.default_rng(7).standard_normal(size) / 4 for size in ((80, 20), (80, 1), 80))),
    GRU(*(np.random.default_rng(8).standard_normal(size) / 4 for size in ((120, 40), (120, 1)))),
]


@pytest.mark.parametrize("model", LARGER, ids=repr)
@pytest.mark.parametrize("norm", [*KNOWN, WeightedL2(np.eye(40))], ids=repr)
def test_blocks_of_rows_and_of_lengths_make_no_difference(monkeypatch, model, norm):
    """However restarts are cut and followed, all of them are, at all times."""
    X = np.random.default_rng(0).standard_normal((20, 1))
    expected = truncation_gap_table(model, X, k_max=25, norm=norm)
    G = np.zeros((20, 40))
    for k in range(20):
        if k:
            G[k:] = model.advance(G[k - 1 : -1], model.input_terms(X[k:]))
        found = norm.vector(G[k:] - model.simulate(X)[k:])
        assert expected[k, k:] == pytest.approx(found, rel=1e-9, abs=1e-13)
    for own in (gaps.OWN_DIM, 0):
        monkeypatch.setattr(gaps, "OWN_DIM", own)
        for rows, lengths in BLOCKS:
            monkeypatch.setattr(gaps, "BLOCK_ROWS", rows)
            monkeypatch.setattr(gaps, "_TOGETHER", lengths)
            table = truncation_gap_table(model, X, k_max=25, norm=norm)
            if own and gaps.size_of(norm, 40) is not None:
                np.testing.assert_array_equal(table, expected)
            # BLAS may sum a product of other shape in another order
            assert table == pytest.approx(expected, rel=1e-9, abs=1e-13)
            assert (table[np.arange(26)[:, None] > np.arange(20)] == 0.0).all()


@pytest.mark.parametrize("norm", [L1(), L2(), Linf(), WeightedLinf(np.arange(1.0, 44))], ids=repr)
def test_folded_sums_are_norms(norm):
    """Of every dimension, with numbers whose squares leave the range, and with a NaN anywhere."""
    rng = np.random.default_rng(0)
    for n in range(1, 44):
        if norm.dim is not None and n != norm.dim:
            continue
        kind, scale = gaps.size_of(norm, n)
        G, H = rng.standard_normal((2, 5, n))
        G[1] *= 1e200
        H[2], G[2] = H[2] * 1e-200, G[2] * 1e-200
        G[3] = H[3]
        G[4, rng.integers(n)] = np.nan
        row = np.empty(5)
        with np.errstate(over="ignore"):  # as plain Python it is told
            loops.gap_rows(G, H, kind, scale, row)
        np.testing.assert_allclose(row[:4], norm.vector(G[:4] - H[:4]), rtol=2 * n * UNIT)
        assert row[3] == 0.0
        assert np.isnan(row[4])


def test_elementary_functions_against_long_arithmetic():
    """Within 3.1 u; the polynomial is the one that the module derives."""
    with mpmath.workdps(50):
        a = mpmath.log(2) / 2 * mpmath.mpf("1.0001")
        nodes = [a * mpmath.cos(mpmath.pi * (2 * i + 1) / 22) for i in range(11)]
        powers = mpmath.matrix([[x**j for j in range(11)] for x in nodes])
        # (e**x - 1 - x) / x**2, at 0 as well
        values = mpmath.matrix(
            [sum(x**j / mpmath.factorial(j + 2) for j in range(60)) for x in nodes]
        )
        fitted = [float(c) for c in mpmath.lu_solve(powers, values)]
        assert [getattr(loops, f"_P{j}") for j in range(11)] == fitted
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(-s, s, 300) for s in (1e-8, 0.1, 0.4, 2.0, 18.0, 41.9)])
    x = np.append(x, [0.0, -0.0, 20.0, 42.0, 1e-300, np.inf, -np.inf])
    with mpmath.workprec(200):
        for function, exact in (
            (loops.tanh_in_place, mpmath.tanh),
            (loops.logistic_in_place, lambda y: 1 / (1 + mpmath.exp(-y))),
        ):
            for near in (x[np.abs(x) <= 42.0], x):
                y = near.copy()
                function(y)
                for given, found in zip(near.tolist(), y.tolist(), strict=True):
                    true = exact(mpmath.mpf(given))
                    assert abs(found - true) <= 3.1 * UNIT * abs(true) + 2.0**-1074
    y = np.array([np.nan, 1.0])
    with np.errstate(invalid="ignore"):  # as plain Python it is told
        loops.tanh_in_place(y)
    assert np.isnan(y[0])
    assert abs(y[1] - np.tanh(1.0)) <= 8 * UNIT


@pytest.mark.parametrize("size", [1.0, 100.0])
def test_rows_of_an_lstm_are_its_steps(size):
    """Gates beyond the range of the short exponential, too."""
    rng = np.random.default_rng(1)
    model = LSTM(size * rng.standard_normal((12, 3)), rng.standard_normal((12, 2)), np.zeros(12))
    S, x = rng.standard_normal((9, 6)), rng.standard_normal((9, 2))
    found = model.advance(S, model.input_terms(x))
    assert found == pytest.approx(model.step(S, x), rel=1e-12, abs=1e-12)
    S[4, 5] = np.nan
    with np.errstate(invalid="ignore"):
        assert np.isnan(model.advance(S, model.input_terms(x))[4, 3:]).all()


@pytest.mark.parametrize("name", RHO)
def test_a_step_into_an_array_of_any_layout(name):
    model = cell(8, 4, 2, name)
    rng = np.random.default_rng(2)
    h, terms = rng.standard_normal((6, 4)), rng.standard_normal((6, 4))
    expected = model.advance(h, terms)
    wide = np.zeros((6, 8))
    assert model.advance(h, terms, out=wide[:, ::2]) is not None
    assert (wide[:, ::2] == expected).all()
    assert not wide[:, 1::2].any()
    # one vector of terms for all states, and one state under all terms
    assert model.advance(h, terms[0])[3] == pytest.approx(model.advance(h[3], terms[0]))
    assert model.advance(h[0], terms)[3] == pytest.approx(model.advance(h[0], terms[3]))


def test_sequences_longer_than_a_block():
    model = LinearMap([[0.5]], [[1.0]])
    T = 2 * gaps.BLOCK_ROWS + 5
    table = truncation_gap_table(model, np.ones((T, 1)), k_max=3, norm=WeightedL2([[1.0]]))
    k, t = np.arange(4)[:, None], np.arange(1, T + 1)
    # 2 (2**-k - 2**-t), exact to the last bits of a sum of halves
    expected = np.where(k < t, 2.0 * (0.5**k - 0.5**t), 0.0)
    assert np.max(np.abs(table - expected)) <= 8 * UNIT


def test_which_sweep_is_taken():
    small, large = (cell(0, n, 1, "tanh") for n in (gaps.FUSED_DIM, gaps.FUSED_DIM + 1))
    assert gaps.fused_form(small, L2()) is not None
    for kind in (WeightedLinf, WeightedL1):
        assert gaps.fused_form(small, kind(np.ones(gaps.FUSED_DIM))) is not None
    assert gaps.fused_form(small, WeightedL2(np.eye(gaps.FUSED_DIM))) is None
    assert gaps.fused_form(large, L2()) is None
    assert gaps.fused_form(CallableMap(lambda h, x: h + x, 2, 2), L2()) is None


@pytest.mark.parametrize("name", RHO)
@pytest.mark.parametrize("small", [True, False])
def test_the_run_kernel_is_repeated_steps(name, small):
    model = cell(4, 5, 2, name)
    rng = np.random.default_rng(5)
    X, h0 = rng.standard_normal((30, 2)), rng.standard_normal(5)
    H = model.input_terms(X)
    form = model.affine()
    before = h0.copy()
    WT = np.ascontiguousarray(form.W.T)
    run_kernel(WT, H, h0, form.rho.code, form.rho.leak, small)
    assert (h0 == before).all()
    expected, h = [], h0
    for x in X:
        h = model.step(h, x)
        expected.append(h)
    assert np.max(np.abs(H - expected)) <= tolerance(model, X, H, h0)


def test_run_takes_every_path(monkeypatch):
    model = cell(6, 4, 1, "sin")
    X = np.random.default_rng(1).standard_normal((9, 7, 1))
    expected = model.simulate(X)
    bound = tolerance(model, X.reshape(-1, 1), expected.reshape(-1, 4))
    for small, large in ((0, 10**9), (10**9, 10**9), (0, 36), (0, 37)):
        monkeypatch.setattr(affine, "SMALL_DIM", small)
        monkeypatch.setattr(affine, "LARGE_STEP", large)
        assert np.max(np.abs(model.simulate(X) - expected)) <= bound


@pytest.mark.parametrize("kind", [0, 1, 2])
@pytest.mark.parametrize("where", [0, 1, 2])
def test_a_gap_that_is_no_number_stays_none_whatever_follows_it(kind, where):
    """The maximum used to forget a NaN in an entry before the last."""
    H, G = np.zeros((1, 3)), np.zeros((1, 3))
    G[0, where] = np.nan
    row = np.zeros(1)
    gap_kernel(np.zeros((3, 3)), H, H, G, 0, 0.0, kind, np.ones(3), 0, row)
    assert np.isnan(row[0])


def test_compile_options():
    """Fast mathematics would let a kernel assume that NaN does not exist."""
    for compiled in (run_kernel, gap_kernel, loops.activate):
        options = getattr(compiled, "targetoptions", None)  # plain functions without compilation
        if options is not None:
            assert not options.get("fastmath", False)
            assert options["error_model"] == "numpy"
            assert options["nogil"]
