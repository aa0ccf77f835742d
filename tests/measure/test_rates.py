"""Measured local rates: the products, their norms, and that nobody takes them for a proof."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory import (
    GRU,
    L1,
    L2,
    LSTM,
    CallableMap,
    Cascade,
    Contraction,
    DiagonalSSM,
    EchoStateNetwork,
    LinearMap,
    Linf,
    Map,
    MinGRU,
    VanillaRNN,
    WeightedL1,
    WeightedL2,
    WeightedLinf,
    contraction,
    truncation_gaps,
)
from theory.arithmetic.rounding import UNIT
from theory.errors import DivergedError
from theory.kernels.jacobians import product_norm_kernel, pull_jacobian, push_jacobian
from theory.measure import MeasuredRates, local_rates
from theory.measure import jacobians as rates
from theory.measure.stacked_rates import stack_factors
from theory.norms import Norm
from theory.theorems import state_gap

N, M = 3, 2


def make(seed: int = 0, n: int = N, m: int = M, scale: float = 1.0) -> dict[str, Map]:
    rng = np.random.default_rng(seed)

    def of(*shape: int) -> np.ndarray:
        return scale * rng.standard_normal(shape)

    W = of(n, n)
    return {
        "linear": LinearMap(of(n, n), of(n, m), of(n)),
        "rnn": VanillaRNN(of(n, n), of(n, m), of(n)),
        "relu": VanillaRNN(of(n, n), of(n, m), of(n), "relu"),
        "esn": EchoStateNetwork(of(n, n), of(n, m), of(n), leak=rng.uniform(0.1, 1, n)),
        "gru": GRU(of(3 * n, n), of(3 * n, m), of(3 * n), of(n)),
        "gru_before": GRU(of(3 * n, n), of(3 * n, m), of(3 * n), variant="reset_before"),
        "lstm": LSTM(of(4 * n, n), of(4 * n, m), of(4 * n)),
        "cascade": Cascade(
            [LSTM(of(4 * n, n), of(4 * n, m), of(4 * n)), VanillaRNN(of(n, n), of(n, n))]
        ),
        "diagonal": DiagonalSSM(of(n) / 3 + 0.5j * of(n), of(n, m)),
        "minimal gru": MinGRU(of(2 * n, m), of(2 * n)),
        "callable": CallableMap(lambda h, x: np.tanh(W @ h) + x[0], n, m),
    }


MAPS = make()
every = pytest.mark.parametrize("name", MAPS)
NORMS = {
    "L1": lambda _: L1(),
    "L2": lambda _: L2(),
    "Linf": lambda _: Linf(),
    "L2P": lambda n: WeightedL2(np.diag(np.arange(1.0, n + 1)) + 0.3),
    "Linfv": lambda n: WeightedLinf(np.arange(1.0, n + 1)),
    "L1v": lambda n: WeightedL1(np.arange(1.0, n + 1)),
}


def run(model: Map, T: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs and the states before them."""
    X = np.random.default_rng(seed).standard_normal((T, model.input_dim))
    return X, np.vstack([np.zeros(model.state_dim), model.simulate(X)[:-1]])


def by_definition(model: Map, X: np.ndarray, H: np.ndarray, r: int, stride: int, norm) -> list:
    """Return the norms of the products, one matrix after another."""
    found = []
    for t in range(0, len(X) - r + 1, stride):
        P = np.eye(model.state_dim)
        for j in range(t, t + r):
            P = model.jacobian_state(H[j], X[j]) @ P
        if isinstance(norm, WeightedL2):
            L = np.linalg.cholesky(norm.P)
            P = L.T @ P @ np.linalg.inv(L).T
        if isinstance(norm, (L2, WeightedL2)):
            found.append(np.linalg.norm(P, 2))
        else:
            v = norm.v if isinstance(norm, (WeightedL1, WeightedLinf)) else np.ones(len(P))
            A = np.abs(P.T if isinstance(norm, (L1, WeightedL1)) else P)
            found.append(((A @ v) / v).max())
    return found


# ---------------------------------------------------------------------------------- the products


@pytest.mark.parametrize("norm", ["L2", "L2P"])
@pytest.mark.parametrize(("r", "stride"), [(1, 1), (4, 1), (3, 2)])
def test_a_stack_is_applied_layer_by_layer(monkeypatch, r, stride, norm):
    """All kinds of layers over each other, with and without readouts between them."""
    monkeypatch.setattr(rates, "DENSE_DIM", 0)
    layers = make(3)
    low, high = make(4), make(5, m=4)
    model = Cascade(
        [
            layers["lstm"],
            make(6, m=N)["gru"],
            high["esn"],
            make(7, m=N)["rnn"],
            make(8, m=N)["lstm"],
        ],
        [None, np.random.default_rng(0).standard_normal((4, N)), None, None],
    )
    X, H = run(model, 12)
    assert stack_factors(model, H, X) is not None
    chosen = NORMS[norm](model.state_dim)
    found = local_rates(model, X, r=r, stride=stride, norm=chosen)
    expected = by_definition(model, X, H, r, stride, chosen)
    np.testing.assert_allclose(np.exp(found.log_norms[0]), expected, rtol=1e-9)
    # a layer without such a form is applied as a matrix
    other = Cascade([low["gru_before"], make(9, m=N)["rnn"]])
    X, H = run(other, 6)
    assert stack_factors(other, H, X) is None
    measured = local_rates(other, X, r=r, norm=NORMS[norm](other.state_dim)).log_norms[0]
    expected = by_definition(other, X, H, r, 1, NORMS[norm](other.state_dim))
    np.testing.assert_allclose(np.exp(measured), expected, rtol=1e-9)


def test_products_of_a_stack_that_vanish_or_overflow(monkeypatch):
    monkeypatch.setattr(rates, "DENSE_DIM", 0)
    dead = VanillaRNN(np.zeros((2, 2)), np.zeros((2, 2)), [-1.0, -1.0], "relu")
    model = Cascade([dead, dead])
    assert (local_rates(model, np.ones((4, 2)), r=2).log_norms[0] == -np.inf).all()
    huge = VanillaRNN(1e-200 * np.eye(2), np.eye(2))
    found = local_rates(Cascade([huge, huge]), np.zeros((5, 2)), r=3).log_norms[0]
    np.testing.assert_allclose(found, 3 * np.log(1e-200), rtol=1e-3)


@every
@pytest.mark.parametrize("dense", [0, 10**9], ids=["vectors", "products"])
@pytest.mark.parametrize("norm", NORMS)
def test_norms_are_those_of_the_products(monkeypatch, name, dense, norm):
    monkeypatch.setattr(rates, "DENSE_DIM", dense)
    monkeypatch.setattr(rates, "BLOCK", 9 * 25)
    model = MAPS[name]
    measure = NORMS[norm](model.state_dim)
    X, H = run(model, 23)
    for r, stride in ((1, 1), (2, 1), (5, 1), (7, 3), (3, 5)):
        measured = local_rates(model, X, r=r, norm=measure, stride=stride)
        expected = by_definition(model, X, H, r, stride, measure)
        (logs,) = measured.log_norms
        assert logs.shape == (len(expected),)
        with np.errstate(divide="ignore"):
            np.testing.assert_allclose(logs, np.log(expected), rtol=1e-12, atol=1e-11)


@every
def test_the_product_is_the_derivative_of_the_iterated_map(name):
    """Central differences of whole runs, not of steps: the chain rule is part of what is tested."""
    model, r = MAPS[name], 4
    X, H = run(model, 9)
    n, t, eps = model.state_dim, 3, 1e-6
    D = np.array(
        [
            (
                model.simulate(X[t : t + r], H[t] + d)[-1]
                - model.simulate(X[t : t + r], H[t] - d)[-1]
            )
            / (2 * eps)
            for d in eps * np.eye(n)
        ]
    ).T
    measured = local_rates(model, X, r=r)
    assert math.exp(measured.log_norms[0][t]) == pytest.approx(np.linalg.norm(D, 2), rel=1e-6)


@pytest.mark.parametrize("name", ["linear", "rnn", "esn", "gru", "lstm"])
def test_structured_jacobians_are_the_jacobians(name):
    model = MAPS[name]
    X, H = run(model, 6)
    known = rates.factors(model, H, X)
    assert known is not None
    none, n = np.empty((0, 0, 0)), model.state_dim
    dense = np.ascontiguousarray(model.jacobian_state(H, X))
    for t in range(6):
        J, JT, K, KT = (np.empty((n, n)) for _ in range(4))
        for i, e in enumerate(np.eye(n)):
            push_jacobian(known.form, known.W, none, known.S, t, e, J[i])
            pull_jacobian(known.form, known.W, none, known.S, t, e, JT[i])
            push_jacobian(0, np.empty((0, 1)), dense, none, t, e, K[i])
            pull_jacobian(0, np.empty((0, 1)), dense, none, t, e, KT[i])
        size = 64 * UNIT * (1 + np.abs(dense[t]).max())
        assert np.abs(J.T - dense[t]).max() <= size
        assert np.abs(JT - dense[t]).max() <= size
        np.testing.assert_array_equal(K.T, dense[t])
        np.testing.assert_array_equal(KT, dense[t])


def test_maps_without_a_form_fall_back_to_their_jacobians():
    for name in ("gru_before", "cascade", "callable"):
        X, H = run(MAPS[name], 3)
        assert rates.factors(MAPS[name], H, X) is None


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 40),
    st.integers(1, 6),
    st.sampled_from(["random", "orthogonal", "one", "clustered", "zero rows"]),
)
def test_lanczos_finds_the_largest_singular_value(seed, n, r, kind):
    """Multiple, clustered and vanishing singular values included."""
    rng = np.random.default_rng(seed)
    J = rng.standard_normal((r, n, n))
    if kind == "orthogonal":
        J = np.linalg.qr(J)[0]
    elif kind == "one":
        J = J[:, :, :1] * J[:, :1, :]
    elif kind == "clustered":
        U, _, V = np.linalg.svd(J)
        J = U * (1 + 1e-4 * rng.random((r, 1, n))) @ V
    elif kind == "zero rows":
        J[:, : n // 2] = 0.0
    logs = np.empty(1)
    start = np.cos(np.arange(1.0, n + 1.0) ** 2) + 2.0
    product_norm_kernel(
        0, np.empty((0, 1)), np.ascontiguousarray(J), np.empty((0, 0, 0)), r, 1,
        np.eye(1), np.eye(1), False, start, rates.RESIDUAL, logs,
    )  # fmt: skip
    P = np.eye(n)
    for one in J:
        P = one @ P
    best = np.linalg.norm(P, 2)
    if best <= 1e3 * n * UNIT * np.prod([np.linalg.norm(one, 2) for one in J]):
        return  # the product cancels to rounding
    # lower up to rounding, and within the residual
    slack = 1e3 * n * r * UNIT * np.prod([np.linalg.norm(one, 2) for one in J]) / best
    assert logs[0] <= math.log(best) + slack
    assert logs[0] >= math.log(best) - slack - rates.RESIDUAL


def test_long_products_neither_vanish_nor_overflow():
    for a in (1e-3, 1e3):
        for n in (2, 40):
            model = LinearMap(a * np.eye(n), np.zeros((n, 1)))
            measured = local_rates(model, np.zeros((600, 1)), r=500, stride=50)
            np.testing.assert_allclose(measured.rates, a, rtol=1e-12)
            assert measured.log_norms[0][0] == pytest.approx(500 * math.log(a))


@pytest.mark.parametrize("n", [1, 2, 40])
def test_a_product_of_zeros_has_the_rate_zero(n):
    measured = local_rates(
        VanillaRNN(np.eye(n), np.ones((n, 1)), activation="relu"), -np.ones((9, 1)), r=2
    )
    assert (measured.rates == 0.0).all()
    assert measured.memory(1e-3) == 2
    assert measured.mean_rate == 0.0
    # and after it the search goes on
    X = np.ones((12, 1))
    X[4] = -100.0
    again = local_rates(VanillaRNN(0.5 * np.eye(n), np.ones((n, 1)), activation="relu"), X, r=2)
    np.testing.assert_allclose(again.rates, [0.5] * 3 + [0.0] * 2 + [0.5] * 6, rtol=1e-12)


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
@pytest.mark.parametrize("n", [2, 40])
def test_a_jacobian_that_is_not_finite_is_refused(n):
    model = CallableMap(lambda h, x: 0.0 * h * x, n, 1)
    object.__setattr__(model, "jacobian_state", lambda h, _: np.full((*h.shape[:-1], n, n), np.inf))
    with pytest.raises(DivergedError, match="Jacobian"):
        local_rates(model, np.zeros((3, 1)))


@pytest.mark.parametrize("n", [2, 40])
def test_huge_factors(n):
    """Neither squares nor sums of products overflow where the norm itself is a number."""
    measured = local_rates(LinearMap(1e200 * np.eye(n), np.zeros((n, 1))), np.zeros((4, 1)), r=2)
    np.testing.assert_allclose(measured.rates, 1e200, rtol=1e-12)


def test_a_product_beyond_the_largest_number_is_refused():
    model = LinearMap(np.full((40, 40), 1e308), np.zeros((40, 1)))
    with pytest.raises(DivergedError, match="Jacobian"):
        local_rates(model, np.zeros((3, 1)))


def test_a_norm_without_coordinates_is_none():
    class Own(Norm):
        dim, label, monotone = None, "own", True

    with pytest.raises(TypeError, match=r"abstract methods .*coordinates"):
        Own()


# ------------------------------------------------------------------------- measured, not certified


def test_the_trap_of_one_trajectory():
    """Every local rate is 0.166, every restarted run stays at 0: the gap never falls."""
    model = VanillaRNN([[2.0]], [[1.0]])
    fixed = [0.957504024079573]
    X = np.zeros((200, 1))
    measured = local_rates(model, X, h0=fixed)
    assert measured.quantile(1.0) == pytest.approx(2 * (1 - fixed[0] ** 2), rel=1e-9)
    assert measured.fraction_below_one == 1.0
    assert measured.memory(1e-6) == 8
    gaps = truncation_gaps(model, X, k_max=150, h0=fixed)
    assert (gaps > 0.9575).all()
    assert contraction(model) is None
    assert str(measured).startswith("measured, not certified")


def test_it_is_no_contraction_and_cannot_be_made_one():
    measured = local_rates(VanillaRNN([[0.5]], [[1.0]]), np.zeros((5, 1)))
    assert not isinstance(measured, Contraction)
    assert not hasattr(measured, "lam")
    assert not hasattr(measured, "evidence")
    with pytest.raises(ValueError, match="needed a Contraction"):
        state_gap(measured, k=1, drive=1.0)
    with pytest.raises(ValueError, match="not a real number"):
        Contraction.assumed(measured)
    with pytest.raises(TypeError):
        float(measured)
    assert json.loads(json.dumps(measured.to_dict()))["kind"] == "measured"


@given(
    st.integers(0, 2**32 - 1), st.sampled_from(["spectral", "row_sums", "column_sums", "perron"])
)
def test_no_measured_rate_is_above_a_certified_one(seed, method):
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((4, 4))
    model = VanillaRNN(
        0.9 * W / np.abs(np.linalg.eigvals(np.abs(W))).max(), rng.standard_normal((4, 1))
    )
    c = contraction(model, method=method)
    if c is None:
        return
    for r in (1, 3):
        measured = local_rates(model, rng.standard_normal((12, 1)), r=r, norm=c.norm)
        assert measured.quantile(1.0) <= c.lam * (1 + 1e-12)


def test_a_linear_map_has_the_same_rate_everywhere():
    model = LinearMap([[0.9, 5.0], [0.0, 0.9]], np.eye(2))
    measured = local_rates(model, np.ones((2, 90, 2)), r=1)
    assert measured.rates.shape == (180,)
    assert measured.rates == pytest.approx(5.157, abs=1e-3)
    # the smallest power with a norm below 1 is the 55th
    for r, below in ((54, 0.0), (55, 1.0)):
        assert local_rates(model, np.ones((90, 2)), r=r).fraction_below_one == below


# ----------------------------------------------------------------------------------- what it says


def test_quantiles_and_memory():
    logs = (np.log([0.25, 0.25, 0.25]), np.log([4.0]))
    measured = MeasuredRates(r=2, stride=1, norm=L2(), log_norms=logs)
    assert measured.rates == pytest.approx([0.5, 0.5, 0.5, 2.0])
    assert measured.fraction_below_one == 0.75
    assert measured.quantile(0.75) == pytest.approx(0.5)
    assert measured.quantile(0.76) == pytest.approx(2.0)
    assert measured.mean_rate == pytest.approx(2**-0.5)
    assert measured.memory(0.1, 0.5) == 4  # 0.25 ** 2 = 1 / 16
    assert measured.memory(0.1) is None
    assert measured.memory(1.0) == 0
    for level in (-0.1, 1.1):
        with pytest.raises(ValueError, match="level"):
            measured.quantile(level)
    with pytest.raises(ValueError, match="eps"):
        measured.memory(0.0)
    text = str(measured)
    assert "75 % of 4 products contract" in text
    assert "2 sequences" in text


def test_sequences_of_any_length_and_progress():
    seen = []
    model = MAPS["rnn"]
    X = [np.zeros((T, M)) for T in (1, 5, 8)]
    measured = local_rates(model, X, r=3, progress=lambda i, n: seen.append((i, n)))
    assert [len(one) for one in measured.log_norms] == [0, 3, 6]
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"r": 0}, "r=0"),
        ({"r": 1.5}, "r=1.5"),
        ({"stride": 0}, "stride=0"),
        ({"r": 6}, r"r=6, but the longest of 1 sequences has 5 inputs"),
        ({"sequences": np.zeros((5, 3))}, r"needed \(T, 2\)"),
        ({"sequences": []}, "longest of 0 sequences"),
        ({"norm": "L2"}, "needed a norm"),
        ({"norm": WeightedLinf([1.0])}, r"needed one on R\^3"),
        ({"h0": [0.0]}, "h0"),
        ({"recurrent": np.eye(2)}, "needed a Map"),
    ],
    ids=lambda x: next(iter(x)) if isinstance(x, dict) else "",
)
def test_malformed_questions(change, message):
    arguments = {"recurrent": MAPS["rnn"], "sequences": np.zeros((5, M))}
    with pytest.raises(ValueError, match=message):
        local_rates(**{**arguments, **change})
