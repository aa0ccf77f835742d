"""The kernel of restarts, and the steps in single precision, against their definitions."""

import numpy as np
import pytest
from numba import config

from theory import GRU, L1, L2, LSTM, Cascade, EchoStateNetwork, Linf, VanillaRNN, WeightedLinf
from theory.arithmetic.activations import ACTIVATIONS
from theory.kernels import single
from theory.kernels.cells import gaps_at, restart_kernel
from theory.measure import restarts as sweeps
from theory.measure import truncation_gap_table
from theory.measure.jobs import Job, window
from theory.measure.rows import rows_of
from theory.measure.single import SingleSteps
from theory.measure.sweep import fused_form, size_of

RHO = [*ACTIVATIONS, "leaky_relu(0.2)"]
UNIT = float(np.finfo(np.float32).eps) / 2


def restarts(model, x, k_max, norm, last):
    form, kind, scale = fused_form(model, norm)
    errors = np.empty(k_max + 1)
    restart_kernel(
        np.ascontiguousarray(form.W.T), model.input_terms(x), model.simulate(x),
        np.zeros(model.state_dim), form.rho.code, form.rho.leak, kind, scale, last, errors,
    )  # fmt: skip
    return errors


@pytest.mark.parametrize("norm", [L1(), L2(), Linf(), WeightedLinf([1.0, 2.0, 0.5])], ids=str)
@pytest.mark.parametrize("last", [False, True])
def test_restarts_are_the_definition(norm, last):
    rng = np.random.default_rng(0)
    for scale in (0.1, 0.5, 1.5):
        model = VanillaRNN(scale * rng.standard_normal((3, 3)), rng.standard_normal((3, 2)))
        x = rng.standard_normal((25, 2))
        table = truncation_gap_table(model, x, k_max=30, norm=norm)
        expected = table[:, -1] if last else table.max(axis=1)
        for k_max in (30, 7):
            found = restarts(model, x, k_max, norm, last)
            np.testing.assert_array_equal(found, expected[: k_max + 1])


@pytest.mark.filterwarnings("ignore:overflow encountered")  # of the kernel as plain Python
def test_a_restart_beyond_doubles_stays_a_nan():
    model = VanillaRNN([[1e150, -1e160], [0.0, 1.0]], np.eye(2), activation="relu")
    x = np.zeros((8, 2))
    x[1:, 0] = x[0, 1] = 1.0
    for norm in (L1(), L2(), Linf()):
        with np.errstate(all="ignore"):
            errors = restarts(model, x, 7, norm, False)
        assert np.isnan(errors[5:7]).all()
    # and sizes whose squares are beyond doubles have a Euclidean length
    tall = VanillaRNN([[1.0]], [[1.0]], activation="identity")
    found = restarts(tall, np.full((2, 1), 1e200), 0, L2(), False)
    assert found[0] == pytest.approx(2e200)


# ------------------------------------------------------------------------- rows where they lie


def of_each_kind(rng, n):
    """Return an LSTM, a GRU with the reset after and before the product, and plain cells."""

    def of(*shape):
        return rng.standard_normal(shape)

    return {
        "lstm": LSTM(of(4 * n, n), of(4 * n, 2), of(4 * n)),
        "gru": GRU(of(3 * n, n), of(3 * n, 2), of(3 * n), of(n)),
        "gru before": GRU(of(3 * n, n), of(3 * n, 2), of(3 * n), variant="reset_before"),
        **{rho: VanillaRNN(of(n, n), of(n, 2), of(n), activation=rho) for rho in RHO},
    }


def advanced(cell, H, source, X, at):
    new = np.empty((len(at), cell.state_dim))
    rows_of(cell)(cell.input_terms(X), at, H, source, new)
    return new


@pytest.mark.parametrize("kind", ["lstm", "gru", "gru before", *RHO])
@pytest.mark.parametrize("n", [1, 5, 33, 130][: 3 if config.DISABLE_JIT else 4])
@pytest.mark.parametrize("rows", [1, 64, 130][: 2 if config.DISABLE_JIT else 3])
def test_rows_where_they_lie_have_their_steps(kind, n, rows):
    rng = np.random.default_rng(4)
    cell = of_each_kind(rng, n)[kind]
    H, X = rng.standard_normal((200, cell.state_dim)), rng.standard_normal((150, 2))
    X[::7] *= 50.0  # gates beyond where the quick exponential is used
    source, at = rng.integers(200, size=rows), rng.integers(150, size=rows)
    found, expected = advanced(cell, H, source, X, at), cell.step(H[source], X[at])
    # the rounding of a step covers the kernel's and that of the definition
    error = cell.step_error(np.abs(H).max(axis=0), np.abs(X).max(axis=0))
    assert (np.abs(found - expected) <= 2 * error).all()
    # the same row has the same successor wherever it stands
    some = np.sort(rng.choice(rows, (rows + 1) // 2, replace=False))
    np.testing.assert_array_equal(advanced(cell, H, source[some], X, at[some]), found[some])


@pytest.mark.parametrize("kind", ["lstm", "gru", "gru before", "tanh"])
def test_rows_may_be_overwritten_where_they_lie(kind):
    rng = np.random.default_rng(6)
    cell = of_each_kind(rng, 7)[kind]
    H, X = rng.standard_normal((150, cell.state_dim)), rng.standard_normal((150, 2))
    source, at = np.sort(rng.choice(150, 140, replace=False)), rng.integers(150, size=140)
    expected = advanced(cell, H, source, X, at)
    rows_of(cell)(cell.input_terms(X), at, H, source, H[:140])
    np.testing.assert_array_equal(H[:140], expected)


def test_a_state_that_is_no_number_stays_in_its_row():
    rng = np.random.default_rng(7)
    for cell in of_each_kind(rng, 5).values():
        H, X = rng.standard_normal((9, cell.state_dim)), rng.standard_normal((9, 2))
        at = np.arange(9)
        expected = advanced(cell, H, at, X, at)
        H[3] = np.nan
        # as plain Python a kernel warns of the cast that it does
        with np.errstate(invalid="ignore"):
            found = advanced(cell, H, at, X, at)
        assert np.isnan(found[3]).all()
        np.testing.assert_array_equal(np.delete(found, 3, 0), np.delete(expected, 3, 0))


def swept(model, X, norm, *, k_max, last=False, span=None, one_by_one=False):
    """Return the errors, and how many are more than 0.1 of how many."""
    jobs = [Job(X=x, end=len(x) if last else None) for x in X]
    parts = [window(model, job, k_max) for job in jobs]
    sweep = sweeps.Sweep(model, model, parts, norm, None)
    sweep.over = 0.1, np.zeros((2, k_max + 1))
    if one_by_one:  # length by length, with arrays
        sweep.enough = lambda d: np.zeros(len(d), dtype=bool)
    errors = np.zeros((k_max + 1, len(X)))
    sweep.run(errors, last, span=span)
    return errors, sweep.over[1]


@pytest.mark.parametrize("kind", ["lstm", "gru", "tanh"])
@pytest.mark.parametrize("norm", [L2(), L1()][: 1 if config.DISABLE_JIT else 2], ids=str)
@pytest.mark.parametrize("asked", [{}, {"last": True}, {"span": (3, 11)}], ids=str)
def test_restarts_in_blocks_are_those_one_by_one(monkeypatch, kind, norm, asked):
    """However they are cut and followed; those that have met the model, others, and at its end."""
    rng = np.random.default_rng(9)
    cell = of_each_kind(rng, 3)[kind]
    weights = {name: 0.03 * value for name, value in cell.parameters.items()}
    X = [rng.standard_normal((T, 2)) for T in (70, 1, 14)]
    for model, k_max in ((cell, 9), (cell.with_parameters(**weights), 70)):
        expected = swept(model, X, norm, k_max=k_max, one_by_one=True, **asked)
        assert (np.max(expected[0][-8:]) <= 1e-15) == (model is not cell)  # which forgets
        for rows, lengths in [(3, 7), (64, 32), (1, 1)][: 1 if config.DISABLE_JIT else 3]:
            monkeypatch.setattr(sweeps, "_AT_HAND", 0)
            monkeypatch.setattr(sweeps, "_LEAST", rows)
            monkeypatch.setattr(sweeps, "_TOGETHER", lengths)
            for found, one in zip(
                swept(model, X, norm, k_max=k_max, **asked), expected, strict=True
            ):
                np.testing.assert_array_equal(found, one)


@pytest.mark.filterwarnings("ignore:overflow encountered")  # of the kernel as plain Python
def test_errors_that_are_no_numbers_stay_in_blocks():
    model = VanillaRNN([[1e150, -1e160], [0.0, 1.0]], np.eye(2), activation="relu")
    x = np.zeros((8, 2))
    x[1:, 0] = x[0, 1] = 1.0
    with np.errstate(all="ignore"):
        found, expected = (swept(model, [x], L2(), k_max=7, one_by_one=o) for o in (False, True))
    assert np.isnan(found[0][5:7]).all()
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_map_of_another_kind_has_no_such_kernel():
    assert rows_of(EchoStateNetwork([[0.5]], [[1.0]], leak=0.5)) is None


@pytest.mark.parametrize("norm", [L1(), L2(), Linf(), WeightedLinf(np.arange(1.0, 12.0))], ids=str)
def test_gaps_of_rows_where_they_lie_are_their_norms(norm):
    rng = np.random.default_rng(5)
    G, H = rng.standard_normal((70, 15)), rng.standard_normal((90, 15))
    # squares that underflow, overflow, or are no numbers
    G[:3] *= [[1e-170], [1e170], [np.nan]]
    at = rng.integers(90, size=70)
    H[at[0]] = H[at[1]] = 0.0
    row = np.empty(70)
    with np.errstate(all="ignore"):
        gaps_at(G, H, at, 2, *size_of(norm, 11), row)
        expected = norm.vector(H[at, 2:13] - G[:, 2:13])
    np.testing.assert_allclose(row, expected, rtol=16 * 2.0**-53)


# ----------------------------------------------------------------------------- single precision


def cells(rng, n=5, m=3):
    def of(*shape):
        return rng.standard_normal(shape)

    return [
        LSTM(of(4 * n, n), of(4 * n, m), of(4 * n)),
        GRU(of(3 * n, n), of(3 * n, m), of(3 * n), of(n)),
        GRU(of(3 * n, n), of(3 * n, m), of(3 * n), variant="reset_before"),
        *(VanillaRNN(of(n, n), of(n, m), of(n), activation=rho) for rho in RHO),
        EchoStateNetwork(of(n, n), of(n, m), of(n), leak=rng.uniform(0.1, 1, n)),
        Cascade([LSTM(of(8, 2), of(8, m)), GRU(of(9, 3), of(9, 4))], [of(4, 2)]),
        Cascade([VanillaRNN(of(2, 2), of(2, m)), EchoStateNetwork(of(2, 2), of(2, 2), leak=0.3)]),
    ]


@pytest.mark.parametrize("rows", [1, 3, 130])
def test_steps_in_single_precision_are_the_definition(rows):
    rng = np.random.default_rng(1)
    for model in cells(rng):
        h = rng.standard_normal((rows, model.state_dim)).astype(np.float32)
        x = rng.standard_normal((rows, model.input_dim)).astype(np.float32)
        steps = SingleSteps(model)
        found = steps.advance(h, steps.input_terms(x.astype(np.float64)))
        assert found.dtype == np.float32
        expected = model.step(h.astype(np.float64), x.astype(np.float64))
        # a dozen roundings of sums whose terms add up to a dozen or two
        assert np.max(np.abs(found - expected)) <= 400 * UNIT * (1 + np.abs(expected).max())


def test_equal_rows_have_equal_successors_wherever_they_stand():
    """What the sweep relies on, bit for bit; a library's matrix product does not do it."""
    rng = np.random.default_rng(2)
    for model in cells(rng, n=37, m=3)[:4]:
        steps = SingleSteps(model)
        h = rng.standard_normal((300, model.state_dim)).astype(np.float32)
        terms = steps.input_terms(rng.standard_normal((300, 3)))
        whole = steps.advance(h, terms)
        chosen = np.sort(rng.choice(300, 77, replace=False))
        np.testing.assert_array_equal(steps.advance(h[chosen], terms[chosen]), whole[chosen])


@pytest.mark.parametrize("name", ["tanh_single", "logistic_single"])
def test_elementary_functions_are_good_to_a_few_units(name):
    a = np.concatenate([np.linspace(-60, 60, 4001), [0.0, 1e-30, -1e-8, 1e30, np.inf, -np.inf]])
    a = a.astype(np.float32)
    given = a.astype(np.float64)
    with np.errstate(over="ignore"):
        true = np.tanh(given) if name == "tanh_single" else 1.0 / (1.0 + np.exp(-given))
    getattr(single, name)(a)
    near = np.abs(a - true) <= 8 * UNIT * np.abs(true)
    # e**-y is nothing beside 1 from 40 on, and the logistic function is not smaller there
    assert (near | ((given < -40) & (a < 1e-17))).all()
    nan = np.array([np.nan], dtype=np.float32)
    with np.errstate(invalid="ignore"):
        getattr(single, name)(nan)
    assert np.isnan(nan[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_panels_hold_the_weights(dtype):
    rng = np.random.default_rng(3)
    for p, n in ((1, 1), (5, 3), (128, 4), (129, 7), (300, 9)):
        W = rng.standard_normal((p, n)).astype(dtype)
        P = single.panels(W, dtype)
        # no vector lies across two cache lines, and no panel is much narrower than another
        assert P.ctypes.data % 64 == 0
        assert P.flags.c_contiguous
        assert P.shape[2] % 16 == 0
        assert P.shape[0] * (P.shape[2] - 16) < p
        flat = P.transpose(0, 2, 1).reshape(-1, P.shape[1])
        np.testing.assert_array_equal(flat[:p, :n], W)
        assert not flat[p:].any()
        assert not flat[:, n:].any()
