"""Malformed questions: each is refused by a message that names what came and what was needed."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from theory import (
    CallableMap,
    Contraction,
    Inputs,
    LinearHead,
    LinearMap,
    Linf,
    VanillaRNN,
    WeightedL2,
    WeightedLinf,
    experiment,
    truncate,
    truncation_gaps,
)
from theory.certificates import check_one_step
from theory.certify import Evidence
from theory.errors import (
    DivergedError,
    MissingExtraError,
    as_array,
    as_matrix,
    as_sequences,
    as_square,
    as_states,
    as_vector,
    check_count,
    check_nonnegative,
    check_positive,
    check_rate,
)
from theory.measure import truncation_gap_table
from theory.theorems import (
    context_length,
    contractive_of_composition,
    contractive_of_matrix_norm,
    contractive_of_perron_weights,
    drive,
    hidden_state,
    initial_state,
    input_sequence,
    norm_change,
    output_gap,
    state_gap,
    state_gap_any_start,
    state_gap_finite,
    state_gap_observed,
    window_error,
)

I2 = np.eye(2)
HALF = LinearMap(0.5 * I2, I2)
C = Contraction.assumed(0.5)

# ------------------------------------------------------------------------------- arrays of numbers

#: What is not an array of real, finite, double-precision numbers, and what the message must say.
NOT_NUMBERS = {
    "nan": ([[0.0, math.nan], [0.0, 0.0]], r"holds nan at index \(0, 1\), needed finite"),
    "inf": ([[0.0, 0.0], [math.inf, 0.0]], r"holds inf at index \(1, 0\), needed finite"),
    "-inf": ([[-math.inf, 0.0], [0.0, 0.0]], r"holds -inf at index \(0, 0\), needed finite"),
    "complex": ([[1j, 0], [0, 0]], r"has dtype complex128, needed real numbers; pass real and"),
    "object": ([[object(), 0], [0, 0]], r"has dtype object, needed real numbers"),
    "None": ([[None, 0], [0, 0]], r"has dtype object, needed real numbers"),
    "ragged": ([[1.0, 2.0], [3.0]], r"is not rectangular .*needed an array of real numbers"),
    "text": ([["1", "2"], ["3", "4"]], r"has dtype <U1, needed real numbers; convert it"),
    "bytes": (np.array([[b"1", b"2"]] * 2), r"has dtype \|S1, needed real numbers; convert it"),
    "dates": (np.zeros((2, 2), "M8[s]"), r"has dtype datetime64\[s\], needed real numbers"),
    "beyond 64 bits": ([[2**70, 0], [0, 0]], r"has dtype object, needed real numbers"),
}
needs_longdouble = np.dtype(np.longdouble).itemsize > 8


@pytest.mark.parametrize(("value", "message"), NOT_NUMBERS.values(), ids=NOT_NUMBERS)
@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda v: as_array("M", v), "M"),
        (lambda v: as_matrix("M", v), "M"),
        (lambda v: as_square("M", v), "M"),
        (lambda v: as_sequences("M", v, width=2), "M"),
        (lambda v: LinearMap(v, I2), "W"),
        (lambda v: LinearMap(I2, v), "U"),
        (lambda v: VanillaRNN(v, I2), "W"),
        (lambda v: VanillaRNN(I2, v), "U"),
        (lambda v: LinearHead(v), "C"),
        (lambda v: WeightedL2(v), "P"),
        (lambda v: HALF.simulate(v), "X"),
        (lambda v: HALF.drive(Linf(), inputs=v), "inputs"),
        (lambda v: truncate(HALF, 1)(v), "X"),
        (lambda v: truncation_gaps(HALF, v, k_max=1), "X"),
        (lambda v: experiment(HALF, v, contraction=C), "inputs"),
        (lambda v: experiment(HALF, I2, other_inputs=v, contraction=C), "other_inputs"),
        (lambda v: contractive_of_matrix_norm(v), "W"),
        (lambda v: contractive_of_perron_weights(v), "W"),
    ],
)
def test_matrices_that_are_not_numbers(call, name, value, message):
    with pytest.raises(ValueError, match=rf"^{name} {message}"):
        call(value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([0.0, math.nan], r"holds nan at index \(1,\)"),
        ([math.inf, 0.0], r"holds inf at index \(0,\)"),
        ([1j, 0], "has dtype complex128"),
        (["1", "2"], "has dtype <U1"),
        ([None, 1.0], "has dtype object"),
        ([1.0, 2.0, 3.0], r"has shape \(3,\), needed \(2,\)"),
        (1.0, r"has shape \(\), needed 1 dimension"),
        ([[1.0, 2.0]], r"has shape \(1, 2\), needed 1 dimension"),
        ([], r"has shape \(0,\), needed \(2,\)"),
    ],
)
@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda v: as_vector("v", v, size=2), "v"),
        (lambda v: LinearMap(I2, I2, v), "b"),
        (lambda v: VanillaRNN(I2, I2, v), "b"),
        (lambda v: LinearHead(I2, v), "d"),
        (lambda v: HALF.simulate(I2, v), "h0"),
        (lambda v: truncate(HALF, 1, restart=v), "restart"),
        (lambda v: truncation_gaps(HALF, I2, k_max=1, restart=v), "restart"),
        (lambda v: truncation_gaps(HALF, I2, k_max=1, h0=v), "h0"),
        (lambda v: experiment(HALF, I2, start=v, contraction=C), "start"),
        (lambda v: experiment(HALF, I2, restart=v, contraction=C), "restart"),
        (lambda v: experiment(HALF, I2, other_start=v, contraction=C), "other_start"),
    ],
)
def test_vectors_that_do_not_fit(call, name, value, message):
    with pytest.raises(ValueError, match=rf"^{name} {message}"):
        call(value)


@pytest.mark.skipif(not needs_longdouble, reason="long doubles are doubles on this platform")
def test_long_doubles_are_refused_because_rounding_them_is_the_callers():
    with pytest.raises(ValueError, match=r"needed at most double precision; round it yourself"):
        LinearMap(np.eye(2, dtype=np.longdouble), I2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LinearMap(np.ones((2, 3)), I2), r"W has shape \(2, 3\), needed a square matrix"),
        (lambda: VanillaRNN(np.ones((3, 2)), I2), r"W has shape \(3, 2\), needed a square matrix"),
        (lambda: LinearMap(I2, np.ones((3, 2))), r"U has shape \(3, 2\), needed \(2, m\)"),
        (lambda: VanillaRNN(I2, np.ones((1, 2))), r"U has shape \(1, 2\), needed \(2, m\)"),
        (lambda: LinearMap(I2, np.ones(2)), r"U has shape \(2,\), needed 2 dimension"),
        (lambda: LinearMap(0.5, I2), r"W has shape \(\), needed 2 dimension"),
        (lambda: LinearMap(np.zeros((0, 0)), I2), r"W has shape \(0, 0\).* no empty side"),
        (lambda: LinearMap(I2, np.zeros((2, 0))), r"U has shape \(2, 0\).* no empty side"),
        (lambda: HALF.simulate(np.ones((4, 3))), r"X has shape \(4, 3\), needed \(T, 2\) or"),
        (lambda: HALF.simulate(np.ones(2)), r"X has shape \(2,\), needed 2 or 3 dimension"),
        (lambda: HALF.simulate(np.ones((1, 1, 1, 2))), r"X has shape \(1, 1, 1, 2\), needed 2 or"),
        (
            lambda: HALF.simulate(np.ones((4, 3, 2)), np.ones((3, 2))),
            r"h0 has shape \(3, 2\), needed \(2,\) or \(4, 2\)",
        ),
        (lambda: HALF.simulate(I2, I2), r"h0 has shape \(2, 2\), needed 1 dimension"),
        (lambda: truncate(HALF, 1, head=LinearHead(np.eye(3))), r"head has C of shape \(3, 3\)"),
        (lambda: HALF.drive(Linf(), inputs=np.ones((4, 3))), r"inputs has shape \(4, 3\), needed"),
        (
            lambda: HALF.drive(Linf(), inputs=1.0),
            r"inputs=1\.0 does not say which inputs are meant",
        ),
        (lambda: HALF.drive(Linf()), "needed inputs=, such as theory.Inputs.box"),
        (
            lambda: HALF.drive(Linf(), input_bound=1.0),
            r"Inputs\.box\(-1\.0, 1\.0\).*Inputs\.ball\(1\.0",
        ),
        (lambda: HALF.drive(Linf(), Inputs.ball(-1.0)), r"radius=-1.0 is negative"),
        (
            lambda: experiment(HALF, np.ones((3, 4, 2)), contraction=C),
            r"inputs has shape \(3, 4, 2\), needed one sequence \(T, m\)",
        ),
        (
            lambda: experiment(HALF, I2, other_inputs=np.ones((3, 2)), contraction=C),
            r"other_inputs has shape \(3, 2\), needed \(2, 2\) as inputs has",
        ),
        (
            lambda: truncation_gaps(HALF, I2, k_max=1, norm=WeightedLinf([1.0, 1.0, 1.0])),
            r"Linf,v is a norm on R\^3, needed one on R\^2",
        ),
        (
            lambda: experiment(HALF, I2, contraction=Contraction.assumed(0.5, WeightedLinf([1.0]))),
            r"Linf,v is a norm on R\^1, needed one on R\^2",
        ),
        (
            lambda: experiment(HALF, I2, contraction=C, head=LinearHead(np.eye(3))),
            r"head has C of shape \(3, 3\), needed \(p, 2\)",
        ),
        (
            lambda: experiment(HALF, I2, contraction=C, other_norm=WeightedLinf([1.0])),
            r"Linf,v is a norm on R\^1, needed one on R\^2",
        ),
        (
            lambda: experiment(HALF, I2, contraction=C, partner=LinearMap([[0.5]], [[1.0]])),
            r"partner .*state",
        ),
        (
            lambda: contractive_of_composition(
                Contraction.assumed(0.5, WeightedLinf([1.0])), C, dim=2
            ),
            r"Linf,v is a norm on R\^1",
        ),
    ],
)
def test_shapes_that_do_not_fit(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# ---------------------------------------------------------------------------- conversions are exact


@given(
    hnp.arrays(
        st.sampled_from(["?", "i1", "i4", "u2", "u4", "f2", "f4", "f8", ">f8", "<f4"]).map(
            np.dtype
        ),
        (2, 3),
        elements={"allow_nan": False, "allow_infinity": False},
    )
)
def test_short_types_are_converted_exactly(array):
    result = as_array("a", array)
    assert result.dtype == np.float64
    assert result.flags.c_contiguous
    assert result.tolist() == array.astype(object).tolist()


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_integers_beyond_the_precision_of_a_double_are_refused(dtype):
    exact = np.array([2**53, 2**60], dtype=dtype)
    assert [int(x) for x in as_array("a", exact)] == [2**53, 2**60]
    # "converted (exactly)": 2**53 + 1 is no double
    with pytest.raises(ValueError, match=r"a holds 9007199254740993 .*index \(1,\)"):
        as_array("a", np.array([0, 2**53 + 1], dtype=dtype))


def test_arrays_in_any_order_are_made_contiguous():
    fortran = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    for view in (fortran, fortran[::-1], fortran[:, ::2]):
        result = as_array("a", view)
        assert result.flags.c_contiguous
        np.testing.assert_array_equal(result, view)


def test_parameters_are_copied_and_frozen():
    source = np.eye(2)
    for frozen in (as_matrix("M", source), as_square("M", source), as_vector("v", source[0])):
        assert not np.shares_memory(frozen, source)
        with pytest.raises(ValueError, match="read-only"):
            frozen[...] = 0.0


def test_states_are_broadcast_over_a_batch():
    state = as_states("h0", [1.0, 2.0], size=2, batch=(3,))
    assert state.tolist() == [[1.0, 2.0]] * 3
    assert state.flags.c_contiguous
    assert as_states("h0", np.ones((3, 2)), size=2, batch=(3,)).shape == (3, 2)
    assert as_states("h0", [1.0], size=1, batch=()).shape == (1,)
    assert as_states("h0", np.ones((0, 2)), size=2, batch=(0,)).shape == (0, 2)


# ------------------------------------------------------------------------------------------ counts

COUNTS = {
    "k": [
        lambda k: truncate(HALF, k),
        lambda k: state_gap(C, k=k, drive=1.0),
        lambda k: state_gap_observed(C, k=k, past=1.0),
        lambda k: state_gap_finite(C, k=k, t=3, drive=1.0),
        lambda k: state_gap_any_start(C, k=k, t=3, drive=1.0, start=1.0),
        lambda k: output_gap(C, k=k, drive=1.0, lipschitz=1.0),
        lambda k: window_error(C, k=k, t=3, gain=1.0, input_bound=1.0),
        lambda k: norm_change(C, k=k, past=1.0, norm=Linf(), dim=2),
    ],
    "k_max": [
        lambda k: truncation_gaps(HALF, I2, k_max=k),
        lambda k: truncation_gap_table(HALF, I2, k_max=k),
        lambda k: experiment(HALF, I2, contraction=C, k_max=k),
    ],
    "t": [
        lambda t: hidden_state(C, t=t, drive=1.0),
        lambda t: initial_state(C, t=t, distance=1.0),
        lambda t: input_sequence(C, t=t, gain=1.0, distance=1.0),
        lambda t: state_gap_finite(C, k=1, t=t, drive=1.0),
    ],
    "horizon": [lambda t: context_length(C, eps=0.1, drive=1.0, horizon=t)],
}
CALLS_WITH_COUNTS = [(name, call) for name, calls in COUNTS.items() for call in calls]


@pytest.mark.parametrize(("name", "call"), CALLS_WITH_COUNTS)
@pytest.mark.parametrize("count", [-1, 1.0, 2.5, True, np.True_, "3", math.nan, 1j, [1]], ids=repr)
def test_counts_that_are_none(name, call, count):
    with pytest.raises(ValueError, match=rf"^{name}=.*(needed an integer|not an integer)"):
        call(count)


@pytest.mark.parametrize(("name", "call"), CALLS_WITH_COUNTS)
@pytest.mark.parametrize("count", [0, 7, np.int8(3), np.uint64(5), np.array(2)], ids=repr)
def test_counts_of_any_integer_type_are_legal(name, call, count):  # noqa: ARG001
    call(count)


@pytest.mark.parametrize("dim", [0, -1, 1.5, True, "2"])
def test_dimensions_are_positive_integers(dim):
    for name in ("state_dim", "input_dim"):
        dims = {"state_dim": 1, "input_dim": 1, name: dim}
        with pytest.raises(ValueError, match=rf"^{name}="):
            CallableMap(lambda h, x: h, **dims)  # noqa: ARG005
    with pytest.raises(ValueError, match=r"^dim="):
        contractive_of_composition(C, C, dim=dim)
    with pytest.raises(ValueError, match=r"^iterate="):
        Contraction.assumed(0.5, iterate=dim)


def test_check_count_says_from_where():
    check_count(k=0, t=np.int64(5))
    check_count(at_least=1, k=1)
    with pytest.raises(ValueError, match=r"k=0, needed an integer k >= 1"):
        check_count(at_least=1, k=0)
    with pytest.raises(ValueError, match=r"k=0.5 is not an integer, needed k in 0, 1, \.\.\."):
        check_count(k=0.5)


# -------------------------------------------------------------------------------------------- sizes

SIZES = {
    "drive": lambda v: state_gap(C, k=1, drive=v),
    "past": lambda v: state_gap_observed(C, k=1, past=v),
    "start": lambda v: hidden_state(C, t=1, drive=1.0, start=v),
    "distance": lambda v: initial_state(C, t=1, distance=v),
    "gain": lambda v: input_sequence(C, t=1, gain=v, distance=1.0),
    "lipschitz": lambda v: output_gap(C, k=1, drive=1.0, lipschitz=v),
    "offset": lambda v: drive(gain=1.0, input_bound=1.0, offset=v),
    "input_bound": lambda v: window_error(C, k=1, t=2, gain=1.0, input_bound=v),
    "restart": lambda v: state_gap_any_start(C, k=1, t=2, drive=1.0, start=1.0, restart=v),
    "input_lipschitz": lambda v: CallableMap(lambda h, x: h, 1, 1, input_lipschitz=v),  # noqa: ARG005
    "rounding_units": lambda v: CallableMap(lambda h, x: h, 1, 1, rounding_units=v),  # noqa: ARG005
}


@pytest.mark.parametrize(("name", "call"), SIZES.items(), ids=SIZES)
@pytest.mark.parametrize(
    "value", [-1.0, -5e-324, math.nan, math.inf, 1j, "1", [1.0], None], ids=repr
)
def test_sizes_that_are_none(name, call, value):
    if value is None and name in {"input_lipschitz", "rounding_units"}:
        return  # not given
    with pytest.raises(ValueError, match=rf"^{name}=.*(negative|finite|real number)"):
        call(value)
    call(0.0)
    call(np.float32(0.5))
    call(1)


@pytest.mark.parametrize("eps", [0.0, -0.0, -1e-3, math.nan, math.inf, "0.1", 1j])
def test_tolerances_are_positive(eps):
    with pytest.raises(ValueError, match=r"^eps="):
        context_length(C, eps=eps, drive=1.0)


@pytest.mark.parametrize("lam", [1.0, 1.003, -1e-9, 2, math.nan, math.inf, "0.5", 1j, None, [0.5]])
def test_rates_are_below_one(lam):
    with pytest.raises(ValueError, match=r"^lam="):
        check_rate(lam)
    with pytest.raises(ValueError, match=r"^lam="):
        Contraction.assumed(lam)


def test_the_message_about_a_rate_says_what_to_try():
    with pytest.raises(
        ValueError,
        match=r"lam=1.003 is not a contraction \(needs 0 <= lam < 1\); scale the recurrent weights",
    ):
        Contraction.assumed(1.003)
    for lam in (0, 0.0, 1 - 2.0**-53, np.float32(0.5)):
        check_rate(lam)


def test_positive_and_nonnegative_name_their_argument():
    check_positive(a=1, b=5e-324)
    check_nonnegative(a=0, b=0.0)
    with pytest.raises(ValueError, match=r"b=0.0, needed b > 0"):
        check_positive(a=1.0, b=0.0)
    with pytest.raises(ValueError, match=r"b=-2 is negative, needed b >= 0"):
        check_nonnegative(a=1.0, b=-2)


# ----------------------------------------------------------------------------- wrong kinds of thing


def test_a_bound_asks_for_a_contraction_of_one_step():
    with pytest.raises(
        ValueError, match=r"received None, needed a Contraction; theory.contraction"
    ):
        state_gap(None, k=1, drive=1.0)
    with pytest.raises(ValueError, match=r"received 0.5, needed a Contraction"):
        hidden_state(0.5, t=1, drive=1.0)
    with pytest.raises(ValueError, match=r"one of 3 steps together"):
        check_one_step(Contraction.assumed(0.5, iterate=3))


def test_other_wrong_kinds():
    with pytest.raises(ValueError, match=r"norm='L2', needed a norm such as theory.L2\(\)"):
        Contraction(lam=0.5, norm="L2")
    with pytest.raises(
        ValueError, match=r"evidence kind 'guessed', needed 'certified' or 'assumed'"
    ):
        Evidence(kind="guessed", method="by eye")
    with pytest.raises(ValueError, match=r"step=3 is not callable"):
        CallableMap(3, 1, 1)


# ---------------------------------------------------------------------------- legal, though unusual


@pytest.mark.parametrize("T", [0, 1, 3])
@pytest.mark.parametrize("k", [0, 1, 3, 10])
def test_empty_sequences_and_any_k_are_legal(T, k):
    X = np.ones((T, 2))
    assert HALF.simulate(X).shape == (T, 2)
    assert truncate(HALF, k)(X).shape == (T, 2)
    gaps = truncation_gaps(HALF, X, k_max=k)
    assert gaps.shape == (k + 1,)
    # a half at every step: sum_{j=k}^{T-1} 2^-j in both entries, exactly
    exact = [sum(2.0**-j for j in range(i, T)) for i in range(k + 1)]
    assert truncation_gaps(HALF, X, k_max=k, norm=Linf()).tolist() == exact


@pytest.mark.parametrize("batch", [0, 1, 3])
@pytest.mark.parametrize("T", [0, 2])
def test_empty_batches_and_batches_of_empty_sequences_are_legal(batch, T):
    X = np.ones((batch, T, 2))
    assert HALF.simulate(X).shape == (batch, T, 2)
    assert HALF.simulate(X, np.ones((batch, 2))).shape == (batch, T, 2)
    assert truncate(HALF, 1)(X).shape == (batch, T, 2)
    assert truncation_gap_table(HALF, X, k_max=3).shape == (batch, 4, T)
    assert truncation_gaps(HALF, X, k_max=3).shape == (4,)


# ---------------------------------------------------------------------------------- the exceptions


def test_divergence_names_the_step_and_the_sequence():
    X = np.zeros((3, 8, 1))
    start = np.array([[0.0], [0.0], [1.0]])
    with pytest.raises(DivergedError, match=r"at step 4 of sequence 2;.* scale the recurrent"):
        LinearMap([[1e100]], [[1.0]]).simulate(X, start)
    assert issubclass(DivergedError, ArithmeticError)


@pytest.mark.parametrize("n", [1, 64, 130])
@pytest.mark.parametrize("rho", ["identity", "relu", "softplus"])
def test_divergence_is_noticed_in_every_implementation(n, rho):
    cell = VanillaRNN(1e200 * np.eye(n), np.ones((n, 1)), activation=rho)
    with pytest.raises(DivergedError, match="at step 3 of sequence 0"):
        cell.simulate(np.ones((5, 1)))


@pytest.mark.parametrize("k", [1, 4])
def test_a_truncated_model_that_diverges_says_so(k):
    with pytest.raises(DivergedError):
        truncate(LinearMap([[1e200]], [[1.0]]), k, restart=[1e200])(np.ones((4, 1)))


@pytest.mark.parametrize("norm", [Linf(), WeightedLinf([1.0, 2.0]), None], ids=str)
@pytest.mark.parametrize("rho", ["identity", "relu", "hard_tanh", "leaky_relu(0.5)"])
def test_a_gap_that_is_not_a_number_is_never_measured_as_a_number(norm, rho):
    """inf - inf inside a single step of the truncated model; the recurrent one stays finite."""
    W = np.array([[1e200, -1e200], [0.0, 0.0]])
    cell = VanillaRNN(W, I2, activation=rho)
    with pytest.raises(DivergedError):
        truncation_gaps(cell, np.ones((3, 2)), k_max=2, norm=norm, restart=[1e200, 1e200])


def test_a_missing_extra_says_what_to_install():
    error = MissingExtraError("matplotlib", "report", "a figure")
    assert isinstance(error, ImportError)
    assert str(error) == (
        "a figure needs the package 'matplotlib', which is not installed; "
        "try: pip install '.[report]' in the folder of stable-recurrent-models"
    )
