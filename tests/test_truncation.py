"""The k-step counterpart: what it sees, what it is, and what it is made of."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory import (
    L1,
    L2,
    CallableMap,
    LinearHead,
    LinearMap,
    Linf,
    VanillaRNN,
    WeightedL1,
    WeightedL2,
    WeightedLinf,
    truncate,
)
from theory.arithmetic.rounding import UNIT, drift
from theory.memory import TruncatedModel
from theory.typing import Array

W = np.array([[0.5, -0.25, 0.0], [0.125, 0.5, 0.25], [0.0, -0.5, 0.25]])  # row sums 3/4, 7/8, 3/4
U = np.array([[1.0, 0.5], [-0.5, 1.0], [0.25, -1.0]])
b = np.array([0.1, -0.2, 0.3])
LAM = 0.875

MODELS = {
    "linear": LinearMap(W, U, b),
    "tanh": VanillaRNN(W, U, b),
    "sigmoid": VanillaRNN(W, U, b, activation="sigmoid"),
    "callable": CallableMap(lambda h, x: np.tanh(W @ h + U @ x + b), 3, 2),
}
every = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def tolerance(model, X: Array, *states: Array) -> float:
    h = np.max(np.abs(np.vstack([np.atleast_2d(s) for s in states])), axis=0)
    return 2 * drift(Linf().majorant(model.step_error(h, np.max(np.abs(X), axis=0))), LAM)


def inputs(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal((*shape, 2))


@every
@given(seed=st.integers(0, 2**32 - 1), T=st.integers(1, 9), k=st.integers(0, 10), data=st.data())
def test_only_the_last_k_inputs_matter(model, seed, T, k, data):
    """Bitwise: whatever is done to older inputs, and to the start, leaves no trace."""
    t = data.draw(st.integers(0, T - 1))
    X, h0 = inputs(seed, T), np.zeros(3)
    other, start = X.copy(), h0.copy()
    oldest = max(0, t + 1 - k)
    other[:oldest] = data.draw(st.sampled_from([0.0, 1e6, -1e-6])) * inputs(seed + 1, oldest)
    if t + 1 > k:
        start += 1e3
    short = truncate(model, k)
    np.testing.assert_array_equal(short.states(other, start)[t], short.states(X, h0)[t])
    # and the later ones do not matter either
    later = X.copy()
    later[t + 1 :] = 7.0
    np.testing.assert_array_equal(short(later)[t], short(X)[t])


@every
@given(seed=st.integers(0, 2**32 - 1), T=st.integers(0, 9), k=st.integers(0, 10))
def test_it_is_defined_window_by_window(model, seed, T, k):
    rng = np.random.default_rng(seed)
    X, h0, restart = inputs(seed, T), rng.standard_normal(3), rng.standard_normal(3)
    H = truncate(model, k, restart=restart).states(X, h0)
    assert H.shape == (T, 3)
    for t in range(T):
        g, window = (h0, X[: t + 1]) if t + 1 <= k else (restart, X[t + 1 - k : t + 1])
        visited = [g]
        for x in window:
            g = model.step(g, x)
            visited.append(g)
        bound = tolerance(model, X, *visited, H[t])
        assert np.max(np.abs(H[t] - g)) <= bound


@every
@pytest.mark.parametrize("k", [0, 1, 5, 12, 40])
def test_up_to_k_inputs_it_is_the_recurrent_model(model, k):
    X, h0 = inputs(0, 12), np.array([1.0, -2.0, 0.5])
    H, G = model.simulate(X, h0), truncate(model, k).states(X, h0)
    bound = tolerance(model, X, H, G, h0)
    assert np.max(np.abs(H[:k] - G[:k]), initial=0.0) <= bound
    if k < 12:
        assert np.max(np.abs(H[k:] - G[k:])) > 100 * bound


@every
def test_no_inputs_seen_gives_the_restart(model):
    restart = np.array([1.0, 2.0, 3.0])
    assert truncate(model, 0, restart=restart)(inputs(1, 4)).tolist() == [restart.tolist()] * 4
    assert truncate(model, 0)(inputs(1, 2)).tolist() == [[0.0] * 3] * 2


@every
def test_batches_are_sequences_side_by_side(model):
    X, h0 = inputs(2, 4, 7), np.random.default_rng(3).standard_normal((4, 3))
    short = truncate(model, 3, restart=[1.0, 0.0, -1.0], head=LinearHead([[1.0, 2.0, 3.0]], [4.0]))
    H, Y = short.states(X, h0), short(X, h0)
    assert H.shape == (4, 7, 3)
    assert Y.shape == (4, 7, 1)
    for i in range(4):
        bound = tolerance(model, X[i], H[i], h0[i], short.restart)
        assert np.max(np.abs(short.states(X[i], h0[i]) - H[i])) <= bound
        assert np.max(np.abs(short(X[i], h0[i]) - Y[i])) <= 6 * bound + 100 * UNIT
    one = short.states(X, h0[0])
    assert np.max(np.abs(one[2] - short.states(X[2], h0[0]))) <= tolerance(
        model, X[2], one[2], h0[0]
    )


@every
@pytest.mark.parametrize("k", [0, 2])
def test_nothing_gives_nothing(model, k):
    short = truncate(model, k)
    assert short(np.zeros((0, 2))).shape == (0, 3)
    assert short(np.zeros((3, 0, 2))).shape == (3, 0, 3)
    assert short(np.zeros((0, 5, 2))).shape == (0, 5, 3)


def test_inputs_and_starts_are_left_alone():
    X, h0, restart = inputs(4, 6), np.ones(3), np.ones(3)
    kept = X.copy()
    short = truncate(MODELS["tanh"], 2, restart=restart)
    short(X, h0)
    restart[0] = 99.0
    np.testing.assert_array_equal(X, kept)
    assert h0.tolist() == [1.0] * 3
    assert short.restart.tolist() == [1.0] * 3
    with pytest.raises(ValueError, match="read-only"):
        short.restart[0] = 0.0


def test_the_model_remembers_what_it_is_made_of():
    head = LinearHead(np.eye(3))
    short = truncate(MODELS["tanh"], np.int64(4), head=head)
    assert isinstance(short, TruncatedModel)
    assert (short.map, short.k, short.head) == (MODELS["tanh"], 4, head)
    assert type(short.k) is int


def test_known_values():
    ones = [[1.0]] * 3
    assert truncate(LinearMap([[0.5]], [[1.0]]), 2)(ones).ravel().tolist() == [1.0, 1.5, 1.5]
    assert truncate(LinearMap([[0.5]], [[1.0]]), 1, restart=[4.0])(ones).ravel().tolist() == [
        1.0,  # k = 1 input behind it: still the recurrent model, from 0
        3.0,
        3.0,
    ]


# ------------------------------------------------------------------------------------------- heads


def test_a_head_is_affine_in_the_state():
    head = LinearHead([[1.0, 2.0, 3.0], [0.0, -1.0, 0.5]], [10.0, 20.0])
    assert head(np.array([1.0, 1.0, 1.0])).tolist() == [16.0, 19.5]
    assert head(np.zeros((2, 5, 3))).shape == (2, 5, 2)
    assert LinearHead(np.eye(2)).d.tolist() == [0.0, 0.0]
    for array in (head.C, head.d):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0.0


@pytest.mark.parametrize(
    "norm",
    [
        L1(),
        L2(),
        Linf(),
        WeightedLinf([1.0, 0.1, 3.0]),
        WeightedL1([1.0, 0.1, 3.0]),
        WeightedL2([[2.0, 1, 0], [1, 2, 0], [0, 0, 1]]),
    ],
    ids=str,
)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_constant_of_a_head_is_above_every_quotient(norm, seed):
    rng = np.random.default_rng(seed)
    head = LinearHead(rng.standard_normal((2, 3)), rng.standard_normal(2))
    h = rng.standard_normal((20, 3)) * rng.choice([1.0, 100.0])
    image = norm.companion.vector(h @ head.C.T)
    slack = 1 + 2 * norm.vector_rounding(3) + 2 * norm.companion.vector_rounding(2)
    # the products err by gamma(3) |C| |h|, entry by entry
    error = 8 * UNIT * norm.companion.vector(np.abs(h) @ np.abs(head.C).T)
    assert (image <= head.lipschitz(norm) * norm.vector(h) * slack + error).all()


def test_the_constant_of_a_head_is_exact_where_it_is_simple():
    head = LinearHead([[3.0, -4.0]])
    assert head.lipschitz(Linf()) == 7.0
    assert head.lipschitz(L1()) == 4.0
    assert 5.0 <= head.lipschitz(L2()) <= 5.0 * (1 + 1e-14)
    assert LinearHead(np.eye(3)).lipschitz(L2()) == 1.0
