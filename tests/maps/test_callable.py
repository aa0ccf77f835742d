"""What is peculiar to a map given as a function: how it is called, and what it may return."""

import functools
import math

import numpy as np
import pytest

from theory import L2, CallableMap, Contraction, Inputs, truncate, truncation_gaps
from theory.arithmetic.rounding import UNIT
from theory.errors import DivergedError
from theory.testing import check_contraction, check_truncation
from theory.typing import Array


def half(h: Array, x: Array) -> Array:
    return 0.5 * h + x


def test_the_function_is_called_with_one_state_and_one_input_at_a_time():
    seen = []

    def step(h: Array, x: Array) -> Array:
        seen.append((h.shape, x.shape))
        return 0.5 * h + x.sum()

    model = CallableMap(step, state_dim=2, input_dim=3)
    model.step(np.zeros((4, 5, 2)), np.zeros(3))
    model.simulate(np.ones((2, 6, 3)))
    truncation_gaps(model, np.ones((4, 3)), k_max=2)
    truncate(model, 2)(np.ones((4, 3)))
    assert set(seen) == {((2,), (3,))}


def test_a_vectorized_function_is_called_with_the_whole_batch():
    seen = []

    def step(h: Array, x: Array) -> Array:
        seen.append((h.shape, x.shape))
        return 0.5 * h + x

    model = CallableMap(step, state_dim=2, input_dim=2, vectorized=True)
    model.simulate(np.ones((7, 3, 2)))
    assert seen == [((7, 2), (7, 2))] * 3


def test_both_ways_agree_bitwise_for_an_elementwise_function():
    X = np.random.default_rng(0).standard_normal((3, 9, 2))
    one, many = (CallableMap(half, 2, 2, vectorized=v) for v in (False, True))
    np.testing.assert_array_equal(one.simulate(X), many.simulate(X))
    np.testing.assert_array_equal(
        truncation_gaps(one, X, k_max=5), truncation_gaps(many, X, k_max=5)
    )
    np.testing.assert_array_equal(truncate(one, 3)(X), truncate(many, 3)(X))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1.0, 2.0, 3.0], r"step returned shape \(3,\), needed \(2,\); h has shape \(n,\)"),
        (1.0, r"step returned shape \(\), needed \(2,\)"),
        ([[1.0, 2.0]], r"step returned shape \(1, 2\), needed \(2,\)"),
        ([1.0, math.nan], r"the state returned by step holds nan at index \(1,\)"),
        ([math.inf, 1.0], r"the state returned by step holds inf at index \(0,\)"),
        ([1j, 0], r"the state returned by step has dtype complex128"),
        (None, r"the state returned by step is None, .*a function without a return"),
        (["a", "b"], r"the state returned by step has dtype <U1"),
    ],
)
def test_what_is_not_a_state_is_refused(value, message):
    model = CallableMap(lambda h, x: value, state_dim=2, input_dim=1)  # noqa: ARG005
    with pytest.raises(ValueError, match=message):
        model.step(np.zeros(2), np.zeros(1))
    with pytest.raises(ValueError, match=message):
        model.simulate(np.zeros((1, 1)))


def test_a_vectorized_function_must_keep_the_batch():
    model = CallableMap(lambda h, x: (h + x)[0], 2, 2, vectorized=True)
    with pytest.raises(ValueError, match=r"step returned shape \(2,\), needed \(4, 2\); with"):
        model.step(np.zeros((4, 2)), np.zeros((4, 2)))


def test_lists_and_integers_may_be_returned():
    model = CallableMap(lambda h, x: [int(x[0]), 1], 2, 1)  # noqa: ARG005
    assert model.simulate([[3.0]]).tolist() == [[3.0, 1.0]]


def test_errors_of_the_function_pass_through():
    def step(h: Array, x: Array) -> Array:  # noqa: ARG001
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        CallableMap(step, 1, 1).simulate(np.zeros((2, 1)))


def test_a_function_that_grows_beyond_the_range_is_refused_where_it_does():
    model = CallableMap(lambda h, x: 1e200 * (h + x), 1, 1)
    with (
        pytest.raises((ValueError, DivergedError), match=r"holds inf|step 2"),
        np.errstate(over="ignore"),
    ):
        model.simulate(np.ones((3, 1)))


def test_the_description_names_the_function():
    assert repr(CallableMap(half, 1, 1)) == "CallableMap(half, state_dim=1, input_dim=1)"
    partial = CallableMap(functools.partial(half), 2, 3)
    assert repr(partial) == "CallableMap(partial, state_dim=2, input_dim=3)"


def test_nothing_is_known_unless_it_is_given():
    model = CallableMap(half, 1, 1)
    assert model.affine() is None
    assert dict(model.parameters) == {}
    with pytest.raises(
        ValueError, match=r"unknown; pass an array of the inputs, or input_lipschitz="
    ):
        model.drive(L2(), Inputs.ball(1.0))
    known = CallableMap(half, 1, 1, input_lipschitz=1.0)
    assert 2.0 <= float(known.drive(L2(), Inputs.ball(2.0))) <= 2.0 + 1e-12


def test_no_states_without_inputs():
    model = CallableMap(half, 2, 2)
    assert model.simulate(np.zeros((0, 2))).shape == (0, 2)
    assert model.step(np.zeros((0, 2)), np.zeros((0, 2))).shape == (0, 2)


def test_a_buffer_that_is_returned_again_is_copied():
    rng = np.random.default_rng(0)
    W, U, X = rng.normal(size=(4, 4)) / 4, rng.normal(size=(4, 2)), rng.normal(size=(60, 2))
    buffer = np.zeros(4)

    def shared(h, x):
        return np.tanh(W @ h + U @ x, out=buffer)

    def spoiling(h, x):
        new = np.tanh(W @ h + U @ x)
        h[:], x[:] = np.nan, np.nan  # what it received are copies
        return new

    plain = CallableMap(lambda h, x: np.tanh(W @ h + U @ x), 4, 2)
    for own in (CallableMap(shared, 4, 2), CallableMap(spoiling, 4, 2)):
        assert np.array_equal(own.simulate(X), plain.simulate(X))
        assert np.array_equal(own.step(np.zeros((60, 4)), X), plain.step(np.zeros((60, 4)), X))
        assert float(own.drive(L2(), inputs=X)) == float(plain.drive(L2(), inputs=X))
        assert np.array_equal(truncation_gaps(own, X, k_max=6), truncation_gaps(plain, X, k_max=6))
        J = own.jacobian_state(np.zeros(4), X[0])
        assert np.array_equal(J, plain.jacobian_state(np.zeros(4), X[0]))


@pytest.mark.parametrize(("kind", "units"), [("f8", 1.0), ("f4", 2.0**29), ("f2", 2.0**42)])
def test_the_precision_of_a_step_is_noticed(kind, units):
    rng = np.random.default_rng(0)
    W = rng.normal(size=(4, 4))
    W = (W * 0.7 / np.linalg.norm(W, 2)).astype(kind)
    U = rng.normal(size=(4, 2)).astype(kind)
    own = CallableMap(lambda h, x: np.tanh(W @ h.astype(kind) + U @ x.astype(kind)), 4, 2)
    # a true claim is not refuted by the rounding of the type that the user computes in
    check_contraction(own, contraction=Contraction.assumed(0.75))
    check_truncation(own, rng.normal(size=(60, 2)), contraction=Contraction.assumed(0.75))
    assert own.precision == np.dtype(kind).name
    assert own.step_error(np.ones(4), np.ones(2))[0] == 4 * 22 * units * UNIT
    # a false one is, and the message says what the budget is made of
    with pytest.raises(AssertionError, match=f"rounding of a step in {np.dtype(kind).name}"):
        check_contraction(own, contraction=Contraction.assumed(0.3))


def test_a_state_that_is_not_finite_is_shown():
    own = CallableMap(lambda h, x: np.where(np.abs(h) > 5, np.nan, 0.5 * h + x), 2, 2)
    with pytest.raises(AssertionError, match=r"not finite\n  h = array.*\n  x = array"):
        check_contraction(own, contraction=Contraction.assumed(0.75))


def test_the_precision_of_what_is_no_array_is_noticed():
    """A list has no type of its own; a tensor may have one that NumPy has not."""

    def listed(h: Array, x: Array) -> list[np.float32]:
        return [np.float32(0.5 * h[0] + x[0])]

    own = CallableMap(listed, state_dim=1, input_dim=1)
    own.step(np.zeros(1), np.ones(1))
    assert own.precision == "float32"
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra 'torch')")
    for kind, name in (
        ("float64", "float64"),
        ("bfloat16", "bfloat16"),
        ("float8_e5m2", "float8"),
        ("float8_e4m3fn", "float8"),
    ):
        own = CallableMap(
            lambda h, x, kind=kind: torch.tensor(0.5 * h + x).to(getattr(torch, kind)),
            state_dim=1,
            input_dim=1,
        )
        own.step(np.zeros(1), np.ones(1))
        assert own.precision == name
