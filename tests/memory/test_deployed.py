"""Steps in other formats: simulated in them, never further off than what is proved."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory import GRU, LSTM, CallableMap, Cascade, DiagonalSSM, Domain, Inputs, VanillaRNN
from theory.arithmetic.activations import Activation
from theory.arithmetic.formats import DOUBLE, arithmetic
from theory.arithmetic.rounded import Rounded
from theory.errors import DivergedError
from theory.maps import (
    RGLRU,
    SLSTM,
    Block,
    Chain,
    DeltaRule,
    Dense,
    EchoStateNetwork,
    Function,
    LinearAttention,
    LinearMap,
    Map,
    MinGRU,
    Normalize,
    Pointwise,
    Select,
    SelectiveSSM,
    Sum,
)
from theory.memory import deployed_context, required_context, step_error_upper
from theory.memory.deployed import _entry_errors
from theory.strategies import any_maps


def cast(thing, dtype):
    """Return a copy of a map whose arrays are numbers of another format."""
    if isinstance(thing, np.ndarray) and thing.dtype == np.float64:
        return thing.astype(dtype)
    if isinstance(thing, (tuple, list)):
        return type(thing)(cast(one, dtype) for one in thing)
    if isinstance(thing, Activation) and thing.name == "identity":
        return dataclasses.replace(thing, function=np.copy)  # its own makes doubles of anything
    if isinstance(thing, (Map, Function)) or type(thing).__name__ in {"Affine", "Readout"}:
        copy = object.__new__(type(thing))
        names = (
            vars(thing)
            if isinstance(thing, (Map, Function))
            else {f.name: getattr(thing, f.name) for f in dataclasses.fields(thing)}
        )
        for name, value in names.items():
            object.__setattr__(copy, name, cast(value, dtype))
        return copy
    return thing


def steps_apart(model, dtype, rng, cases=40, size=1.0):
    """Return computed next states less exact ones, from states of the format, and the domain."""
    h = rng.uniform(-size, size, (cases, model.state_dim)).astype(dtype)
    x = rng.uniform(-size, size, (cases, model.input_dim))
    exact = model.step(h.astype(np.float64), x)
    computed = cast(model, dtype).step(h, x.astype(dtype))
    # some are written to an array of doubles in the end; what one layer hands to the next is a
    # product of doubles in some stacks, nearer to the exact one
    if not isinstance(model, Cascade):
        np.testing.assert_array_equal(computed, computed.astype(dtype))
    return np.abs(computed.astype(np.float64) - exact), box_of(model, size)


def box_of(model, size):
    return Domain(
        low=-size * np.ones(model.state_dim),
        high=size * np.ones(model.state_dim),
        input_low=-size * np.ones(model.input_dim),
        input_high=size * np.ones(model.input_dim),
    )


def entries(model, how, box):
    return _entry_errors(model, arithmetic(how), box)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@given(data=st.data())
@settings(max_examples=40)
def test_no_step_errs_by_more(dtype, data):
    model = data.draw(any_maps())
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    how = arithmetic(np.dtype(dtype).name)
    size = rng.choice([0.01, 1.0, 20.0])
    bound = entries(model, how, box_of(model, size))
    with np.errstate(all="ignore"):
        try:
            apart, _ = steps_apart(model, dtype, rng, cases=10, size=size)
        except DivergedError:
            assert np.isinf(bound).any()
            return
    # beyond the largest number nothing is claimed
    assert np.all((apart <= bound) | np.isinf(bound))
    assert np.isfinite(bound).all() or dtype == np.float16


def of_size(n, m, seed=3):
    rng = np.random.default_rng(seed)

    def W(rows, columns):
        return rng.standard_normal((rows, columns)) / np.sqrt(columns)

    yield LinearMap(0.9 * W(n, n) / 2, W(n, m))
    yield VanillaRNN(W(n, n), W(n, m))
    yield EchoStateNetwork(W(n, n), W(n, m), leak=0.3)
    yield GRU(W(3 * n, n), W(3 * n, m))
    yield LSTM(W(4 * n, n), W(4 * n, m))
    yield MinGRU(W(2 * n, m))
    yield RGLRU(W(2 * n, n), rng.uniform(0, 4, n))
    yield SelectiveSSM(np.ones((4, n // 4)), W_step=W(4, 4), W_B=W(n // 4, 4))
    yield DiagonalSSM(np.full(n, 0.8 + 0.1j), W(n, m))
    yield Cascade([GRU(W(3 * n, n), W(3 * n, m)), LSTM(W(4 * n, n), W(4 * n, n))])
    yield SLSTM(W(4 * n, n), W(4 * n, m))
    k = n // 4
    yield LinearAttention(W(3 * k + 4, m), decay=np.ones(k), heads=1, keys=k, values=k + 4)
    yield DeltaRule(W(2 * k + 6, m), decay=[1.0], heads=1, keys=k, values=k + 4, eps=1e-2)
    yield Block(
        MinGRU(W(2 * n, n)),
        before=Chain([Normalize(np.ones(m), eps=1e-2), Dense(W(n, m)), Pointwise("silu", n)]),
        after=Sum([Chain([Select(0, stop=n, size=n + m), Dense(W(m, n))]), Dense(W(m, n + m))]),
    )


#: Proved over seen, in 40 steps of single and of half precision, rounded up by a third.
FURTHEST = {
    LinearMap: (84, 16), VanillaRNN: (92, 43), EchoStateNetwork: (93, 19), GRU: (390, 110),
    LSTM: (272, 56), MinGRU: (33, 36), RGLRU: (264, 146), SelectiveSSM: (71, 51),
    DiagonalSSM: (13, 10), Cascade: (2640, 970), SLSTM: (1150, 740), LinearAttention: (48, 52),
    # a normalisation is taken at its steepest, which is at 0 where nothing is lost
    DeltaRule: (8200, 4300), Block: (58000, 60000),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("model", list(of_size(32, 8)), ids=lambda m: type(m).__name__)
def test_how_far_what_is_proved_is_from_what_is_seen(model, dtype):
    """Most of it is what n products may err by beside what they do, n to sqrt(n), gate by gate."""
    apart, box = steps_apart(model, dtype, np.random.default_rng(1))
    # NumPy adds products of half precision in single precision
    bound = entries(model, arithmetic(np.dtype(dtype).name, ulp=1, sums="float32"), box)
    assert np.all(apart <= bound)
    assert bound.max() < FURTHEST[type(model)][dtype is np.float16] * apart.max()


def test_what_may_overflow_is_not_bounded_by_the_range_of_a_gate():
    """80000 - 80000 in half precision is no number, and so is its gate."""
    cell = MinGRU([[4e4, -4e4], [1.0, 0.0]])
    box = Domain(low=[-1.0], high=[1.0], input_low=[-2.0, -2.0], input_high=[2.0, 2.0])
    with np.errstate(over="ignore", invalid="ignore"):
        assert np.isnan(np.sum(cell.U[0].astype(np.float16) * np.float16(2.0)))
    with pytest.raises(ValueError, match="may exceed 65504"):
        step_error_upper(cell, "float16", domain=box)


def test_a_key_whose_square_overflows_loses_its_direction():
    """In doubles: 1e200 / sqrt(inf) is 0, and 1 is right."""
    rule = DeltaRule([[1e200], [1.0], [0.0], [0.0]], decay=[1.0], heads=1, keys=1, values=1)
    assert np.isinf(rule.step_error(np.ones(1), np.ones(1))).all()
    norm = Block(LinearMap([[0.0]], [[1.0]]), after=Chain([Select(0, stop=1, size=2),
                                                           Normalize([1.0])]))  # fmt: skip
    assert np.isinf(norm.step_error(np.ones(2), np.array([1e200]))[1])
    assert np.isfinite(norm.step_error(np.ones(2), np.array([1e100]))).all()


def test_steps_in_bfloat16():
    torch = pytest.importorskip("torch", reason="NumPy has no bfloat16")
    rng = np.random.default_rng(5)
    n, m = 24, 6
    W, U = rng.standard_normal((3 * n, n)) / 6, rng.standard_normal((3 * n, m)) / 3
    cell = torch.nn.GRUCell(m, n, bias=False, dtype=torch.bfloat16)
    with torch.no_grad():
        cell.weight_hh.copy_(torch.tensor(W))
        cell.weight_ih.copy_(torch.tensor(U))
        h = torch.tensor(rng.uniform(-1, 1, (50, n))).to(torch.bfloat16)
        x = rng.uniform(-1, 1, (50, m))
        computed = cell(torch.tensor(x).to(torch.bfloat16), h).double().numpy()
    exact = GRU(W, U).step(h.double().numpy(), x)
    box = Domain(low=-np.ones(n), high=np.ones(n), input_low=-np.ones(m), input_high=np.ones(m))
    for how in (arithmetic("bfloat16"), arithmetic("bfloat16", sums="float32")):
        assert np.all(np.abs(computed - exact) <= entries(GRU(W, U), how, box))


@given(st.integers(1, 200), st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=30)
def test_a_sum_in_half_precision_in_the_worst_order(n, seed, rounds):
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((3, n)) if rounds else rng.standard_normal((3, n)).astype(np.float16)
    p = rng.standard_normal(n).astype(np.float16)
    halves = W.astype(np.float16) * p
    order = np.argsort(-np.abs(halves), axis=1)  # the largest first: every sum rounds coarsely
    total = np.zeros(3, dtype=np.float16)
    for j in range(n):
        total = total + np.take_along_axis(halves, order, axis=1)[:, j]
    assert total.dtype == np.float16
    how = arithmetic("float16", rounds_weights=rounds)
    sizes = np.abs(p).astype(np.float64)
    bound = Rounded.exact(sizes, how).affine(W.astype(np.float64))
    exact = W.astype(np.float64) @ p.astype(np.float64)
    assert np.all(np.abs(total.astype(np.float64) - exact) <= bound.error)
    assert np.all(np.abs(total) <= bound.size)


def test_double_precision_is_as_it_was_but_for_the_factor_of_sums():
    model = GRU(np.ones((6, 2)), np.ones((6, 1)))
    own = model.step_error(np.ones(2), np.ones(1))
    double = model.rounded_step(Rounded.exact(np.ones(2)), Rounded.exact(np.ones(1)))
    np.testing.assert_array_equal(own, double.error)
    assert double.arithmetic is DOUBLE


def test_sums_in_single_precision_are_sharper_and_large_ones_need_them():
    box = Domain(low=-np.ones(64), high=np.ones(64), input_low=[-1.0], input_high=[1.0])
    cell = VanillaRNN(np.eye(64) + 0.01, np.ones((64, 1)))
    plain = step_error_upper(cell, "float16", domain=box)
    summed = step_error_upper(cell, arithmetic("float16", sums="float32"), domain=box)
    exact = arithmetic("float16", sums="float32", rounds_weights=False)
    assert step_error_upper(cell, exact, domain=box) < summed < plain
    wide = LinearMap(np.eye(3000) / 2, np.ones((3000, 1)))
    big = Domain(low=-np.ones(3000), high=np.ones(3000), input_low=[-1.0], input_high=[1.0])
    with pytest.raises(ValueError, match="no digits left; take sums='float32'"):
        step_error_upper(wide, "float16", domain=big)
    with pytest.raises(ValueError, match="may exceed 65504"):
        step_error_upper(
            LinearMap([[0.5]], [[1e6]]), "float16",
            domain=Domain(low=[-1.0], high=[1.0], input_low=[-1.0], input_high=[1.0]),
        )  # fmt: skip


def test_a_state_of_eight_bits():
    rng = np.random.default_rng(2)
    n = 16
    cell = VanillaRNN(rng.standard_normal((n, n)) / 8, rng.standard_normal((n, 3)))
    box = Domain(low=-np.ones(n), high=np.ones(n), input_low=-np.ones(3), input_high=np.ones(3))
    for scale in (1 / 127, 1 / 100, 1 / 200):  # the last one cannot hold 1
        how = arithmetic("float32", state_scale=scale)
        h = scale * np.round(rng.uniform(-1, 1, (50, n)) / scale)
        x = rng.uniform(-1, 1, (50, 3))
        stored = scale * np.clip(np.round(cell.step(h, x) / scale), -127, 127)
        apart = np.linalg.norm(stored - cell.step(h, x), axis=1)
        bound = step_error_upper(cell, how, domain=box)
        assert apart.max() <= bound
        if scale >= 1 / 127:
            # all entries at half a step at once: scale / 2 * sqrt(n)
            assert bound < 1.01 * scale / 2 * np.sqrt(n)


def test_windows_in_half_precision_are_as_good_as_proved():
    rng = np.random.default_rng(4)
    n, m = 12, 3
    W = rng.standard_normal((n, n))
    cell = VanillaRNN(0.6 * W / np.linalg.norm(W, 2), 0.3 * rng.standard_normal((n, m)))
    X = rng.uniform(-1, 1, (60, m))
    found = deployed_context(cell, 0.3, inputs=Inputs.box(-1, 1), how="float16")
    assert found is not None
    assert found.k is not None
    both = deployed_context(cell, 0.3, inputs=Inputs.box(-1, 1), how="float16", exact_run=False)
    half = cast(cell, np.float16)
    H, G = np.zeros(n), np.zeros(n, dtype=np.float16)
    for x in X:
        H, G = cell.step(H, x), half.step(G, x.astype(np.float16))
    assert np.linalg.norm(G - H) <= found.floor
    for k, bound, pair in zip(range(20), found.errors(19), both.errors(19), strict=True):
        g = np.zeros(n, dtype=np.float16)
        for x in X[len(X) - k :]:
            g = half.step(g, x.astype(np.float16))
        assert np.linalg.norm(g - H) <= bound
        assert np.linalg.norm(g.astype(float) - G.astype(float)) <= pair
    # no window is longer than needed: one less is not proved
    assert found.bound(found.k) <= 0.3 < found.bound(found.k - 1)
    assert found.bound(found.enough) <= 2 * found.floor


def test_exact_arithmetic_is_the_answer_without_it():
    cell = VanillaRNN([[0.5, 0.2], [0.0, 0.4]], np.eye(2))
    plain = required_context(cell, 1e-3, inputs=Inputs.box(-1, 1), effort=0)
    found = deployed_context(cell, 1e-3, inputs=Inputs.box(-1, 1), step_error=0.0, effort=0)
    assert found.k == plain.k
    assert (found.floor, found.step_error) == (0.0, 0.0)


def test_gated_cells_are_certified_where_computed_states_stay():
    rng = np.random.default_rng(6)
    cell = GRU(0.1 * rng.standard_normal((9, 3)), 0.1 * rng.standard_normal((9, 2)))
    found = deployed_context(cell, 0.1, inputs=Inputs.box(-1, 1), how="float32")
    assert found.k is not None
    exact = required_context(cell, 0.1, inputs=Inputs.box(-1, 1))
    assert found.k >= exact.k
    assert found.contraction.domain is not None
    # without a box at all the ball of the certificate is used
    turning = LinearMap([[0.0, -0.9], [0.9, 0.0]], np.eye(2))
    around = deployed_context(turning, 0.1, inputs=Inputs.box(-1, 1), how="float32")
    assert around.states is None or around.states.high.max() < 1e3
    assert around.k is not None


def test_no_window_is_enough_below_the_floor():
    cell = VanillaRNN([[0.5]], [[1.0]])
    found = deployed_context(cell, 1e-6, inputs=Inputs.box(-1, 1), how="bfloat16")
    assert found.k is None
    assert found.error == found.floor > 1e-6
    assert "from k=4 on rounding, at most 0.122" in str(found)
    assert "costs more than truncation" in str(
        deployed_context(cell, 1e-3, inputs=Inputs.box(-1, 1))
    )


def test_malformed():
    cell = VanillaRNN([[0.5]], [[1.0]])
    with pytest.raises(ValueError, match="'float8' is not known, needed one of: float64, float32"):
        deployed_context(cell, 0.1, inputs=Inputs.box(-1, 1), how="float8")
    with pytest.raises(ValueError, match="sums='float16' is coarser than 'float32'"):
        arithmetic("float32", sums="float16")
    with pytest.raises(ValueError, match=r"ulp=0\.5, needed at least 1"):
        arithmetic("float32", ulp=0.5)
    with pytest.raises(ValueError, match="step_error=nan"):
        deployed_context(cell, 0.1, inputs=Inputs.box(-1, 1), step_error=np.nan)
    with pytest.raises(ValueError, match=r"needed a theory\.Domain of 1 states"):
        step_error_upper(cell, "float32", domain=None)
    with pytest.raises(ValueError, match="needed bounded ones"):
        deployed_context(cell, 0.1, inputs=Inputs.box(-np.inf, np.inf))
    own = CallableMap(lambda h, x: h / 2 + x, state_dim=1, input_dim=1)
    box = Domain(low=[-1.0], high=[1.0], input_low=[-1.0], input_high=[1.0])
    with pytest.raises(ValueError, match="in float32 is not known, needed a map of this package"):
        step_error_upper(own, "float32", domain=box)


def test_rates_that_vanish_in_a_format_have_no_bound():
    """A stored decay of 0 makes 0 / 0 of the gain."""
    slow = SelectiveSSM([[2e-8]], [[0.0]], [[0.0]], [1.0], [1.0], discretization="zoh")
    box = box_of(slow, 1.0)
    with pytest.raises(ValueError, match="is finite"):
        step_error_upper(slow, "float16", domain=box)
    assert step_error_upper(slow, "float32", domain=box) < 1e-4


def test_a_sum_of_squares_that_rounding_takes_beyond_the_largest_number_is_bounded_by_nothing():
    """65060 in exact numbers; added one after another in half precision it is infinite."""
    y = np.array([183.875, *[31.75] * 31])
    total = np.float16(0)
    with np.errstate(over="ignore"):
        for square in np.square(y).astype(np.float16):
            total = total + square
    assert np.sum(np.square(y)) < 65504
    assert np.isinf(total)
    how = arithmetic("float16", rounds_weights=False)
    assert np.isinf(Rounded.exact(y, how).directed(1.0, mean=False).error).all()
    assert np.isfinite(Rounded.exact(y / 2, how).directed(1.0, mean=False).error).all()
