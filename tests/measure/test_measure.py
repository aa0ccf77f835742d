"""Measurements against exact rational trajectories, and the defaults and caches around them."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, target
from hypothesis import strategies as st

from theory import (
    L1,
    L2,
    CallableMap,
    Contraction,
    LinearHead,
    LinearMap,
    Linf,
    Map,
    VanillaRNN,
    WeightedL1,
    WeightedL2,
    WeightedLinf,
    contraction,
    experiment,
    truncate,
    truncation_gaps,
)
from theory.arithmetic.rigor import row_sum_upper
from theory.arithmetic.rounding import UNIT, drift
from theory.measure import Experiment, Run, truncation_gap_table
from theory.measure.observation import Observation
from theory.measure.ratios import norm_attaining, step_ratios
from theory.norms import over
from theory.typing import Array

HALF = LinearMap([[0.5]], [[1.0]])
C = Contraction.assumed(0.5)


def contractive(seed: int, n: int, lam: float, name: str = "identity") -> VanillaRNN:
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((n, n))
    W *= lam * (1 - 8 * UNIT) / row_sum_upper(W)
    return VanillaRNN(W, rng.standard_normal((n, 2)), rng.standard_normal(n), activation=name)


def exact_trajectory(model: Map, X: Array, h0: Array) -> list[list[Fraction]]:
    """Return h_0 .. h_T of a linear map in rationals."""
    form = model.affine()
    rows = [
        ([Fraction(w) for w in W], [Fraction(u) for u in U], Fraction(c))
        for W, U, c in zip(form.W.tolist(), form.U.tolist(), form.b.tolist(), strict=True)
    ]
    states = [[Fraction(x) for x in h0.tolist()]]
    for x in X.tolist():
        q = [Fraction(y) for y in x]
        states.append(
            [
                sum((w * g for w, g in zip(W, states[-1], strict=True)), c)
                + sum((u * y for u, y in zip(U, q, strict=True)), Fraction(0))
                for W, U, c in rows
            ]
        )
    return states


# --------------------------------------------------------------------------------- gaps and tables


@pytest.mark.parametrize("norm", [L1(), Linf()], ids=str)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 3),
    lam=st.sampled_from([0.3, 0.9, 1 - 2.0**-20]),
)
def test_measured_gaps_are_within_their_budget_of_the_exact_ones(norm, seed, n, lam):
    model = contractive(seed, n, lam)
    model = LinearMap(model.W.T if norm.label == "L1" else model.W, model.U, model.b)
    rng = np.random.default_rng(seed)
    X, h0, restart = rng.standard_normal((6, 2)), rng.standard_normal(n), rng.standard_normal(n)
    run = Run(
        experiment(
            model, X, contraction=Contraction.assumed(lam, norm), start=h0, restart=restart, k_max=6
        )
    )
    k, t = run.gap_index
    measured = run.pick(run.gap_table)
    budget = run.budget(measured, t, k)
    H = exact_trajectory(model, X, h0)
    worst = 0.0
    for i in range(len(k)):
        a, c = int(k[i]), int(t[i])
        G = H[c] if c <= a else exact_trajectory(model, X[c - a : c], restart)[-1]
        d = [abs(x - y) for x, y in zip(H[c], G, strict=True)]
        exact = sum(d) if norm.label == "L1" else max(d)
        error = abs(Fraction(float(measured[i])) - exact)
        assert error <= Fraction(float(budget[i]))
        worst = max(worst, float(error / Fraction(float(budget[i]))))
    target(worst, label="share of the budget")
    assert set(zip(k, t, strict=True)) == {(a, c) for a in range(7) for c in range(max(a, 1), 7)}


@given(st.integers(0, 2**32 - 1), st.integers(0, 9), st.integers(0, 12), st.booleans())
def test_the_sweep_is_the_truncated_model_for_every_k(seed, T, k_max, as_function):
    model: Map = contractive(seed, 2, 0.9, "tanh")
    lam = 0.9
    if as_function:
        model = CallableMap(model.step, 2, 2, vectorized=True, rounding_units=1000)
    rng = np.random.default_rng(seed)
    X, h0, restart = rng.standard_normal((T, 2)), rng.standard_normal(2), rng.standard_normal(2)
    table = truncation_gap_table(model, X, k_max=k_max, norm=Linf(), h0=h0, restart=restart)
    H = model.simulate(X, h0)
    # |h| <= 1 for tanh, but for the starts
    size = np.maximum(1.0, np.maximum(np.abs(h0), np.abs(restart)))
    local = Linf().majorant(model.step_error(size, np.max(np.abs(X), axis=0, initial=0.0)))
    for k in range(k_max + 1):
        G = truncate(model, k, restart=restart).states(X, h0)
        assert np.max(np.abs(table[k] - Linf().vector(H - G)), initial=0.0) <= 4 * drift(local, lam)


def test_the_curve_is_the_supremum_of_the_table():
    model = contractive(0, 3, 0.9, "tanh")
    X = np.random.default_rng(0).standard_normal((4, 30, 2))
    table = truncation_gap_table(model, X, k_max=9)
    assert table.shape == (4, 10, 30)
    np.testing.assert_array_equal(truncation_gaps(model, X, k_max=9), table.max(axis=(0, 2)))
    np.testing.assert_array_equal(truncation_gaps(model, X[1], k_max=9), table[1].max(axis=-1))
    for i in range(4):
        np.testing.assert_array_equal(truncation_gap_table(model, X[i], k_max=9), table[i])
    h0 = np.random.default_rng(1).standard_normal((4, 3))
    starts = truncation_gap_table(model, X, k_max=9, h0=h0)
    for i in range(4):
        np.testing.assert_array_equal(
            truncation_gap_table(model, X[i], k_max=9, h0=h0[i]), starts[i]
        )


def test_known_curve():
    ones = np.ones((3, 1))
    assert truncation_gaps(HALF, ones, k_max=3).tolist() == [1.75, 0.75, 0.25, 0.0]
    assert truncation_gap_table(HALF, ones, k_max=2).tolist() == [
        [1.0, 1.5, 1.75],
        [0.0, 0.5, 0.75],
        [0.0, 0.0, 0.25],
    ]
    assert truncation_gaps(HALF, np.zeros((0, 1)), k_max=2).tolist() == [0.0] * 3
    assert truncation_gaps(HALF, np.zeros((2, 0, 1)), k_max=2).tolist() == [0.0] * 3
    assert truncation_gaps(HALF, ones, k_max=0).tolist() == [1.75]


@pytest.mark.parametrize("norm", [None, L1(), Linf(), WeightedLinf([1.0]), WeightedL2([[4.0]])])
def test_the_norm_of_the_gaps(norm):
    weight = 2.0 if isinstance(norm, WeightedL2) else 1.0
    assert truncation_gaps(HALF, np.ones((3, 1)), k_max=1, norm=norm).tolist() == [
        1.75 * weight,
        0.75 * weight,
    ]


# ---------------------------------------------------------------------------------------- progress


@pytest.mark.parametrize("norm", [L2(), WeightedL2([[1.0]])], ids=["fused", "products"])
def test_progress_is_reported_up_to_the_end(norm):
    seen = []
    truncation_gaps(
        HALF, np.ones((5, 1)), k_max=9, norm=norm, progress=lambda k, end: seen.append((k, end))
    )
    # k = 0 .. 4: from k = 5 on, both models are the same
    assert seen == [(done, 5) for done in range(1, 6)]


def test_progress_of_a_batch():
    seen = []
    truncation_gaps(
        HALF, np.ones((3, 5, 1)), k_max=3, progress=lambda i, end: seen.append((i, end))
    )
    assert seen == [(done, 12) for done in range(1, 13)]


class Enough(Exception):  # noqa: N818
    pass


@pytest.mark.parametrize("X", [np.ones((5, 1)), np.ones((3, 5, 1))], ids=["one", "batch"])
def test_progress_may_interrupt(X):
    calls = []

    def stop(done: int, end: int) -> None:
        calls.append((done, end))
        raise Enough

    with pytest.raises(Enough):
        truncation_gaps(HALF, X, k_max=4, norm=WeightedL2([[1.0]]), progress=stop)
    assert len(calls) == 1
    # nothing was left in a strange state
    assert truncation_gaps(HALF, np.ones((3, 1)), k_max=1).tolist() == [1.75, 0.75]


# ------------------------------------------------------------------------------------- experiments


def test_defaults_of_an_experiment():
    model = LinearMap(0.5 * np.eye(2), np.ones((2, 3)))
    X = np.arange(12.0).reshape(4, 3)
    one = experiment(model, X, contraction=C)
    assert isinstance(one, Experiment)
    assert one.map is model
    assert one.contraction is C
    assert one.k_max == 4
    assert one.start.tolist() == one.restart.tolist() == [0.0, 0.0]
    assert one.other_start.tolist() == [1.0, 1.0]
    np.testing.assert_array_equal(one.inputs, X)
    np.testing.assert_array_equal(one.other_inputs, -X)
    np.testing.assert_array_equal(one.head.C, np.eye(2))
    assert one.other_norm.label == "L2"
    assert (one.partner, one.partner_contraction, one.label) == (None, None, "")
    assert experiment(model, np.zeros((200, 3)), contraction=C).k_max == 64
    assert experiment(model, np.zeros((200, 3)), contraction=C, k_max=199).k_max == 199
    assert experiment(model, np.zeros((0, 3)), contraction=C).k_max == 0


def test_an_experiment_keeps_what_it_is_given():
    head, partner = LinearHead([[2.0]]), LinearMap([[0.25]], [[1.0]])
    one = experiment(
        HALF,
        [[1.0], [2.0]],
        contraction=C,
        k_max=np.int32(1),
        start=[3.0],
        restart=[4.0],
        other_inputs=[[5.0], [6.0]],
        other_start=[7.0],
        head=head,
        other_norm=L1(),
        partner=partner,
        partner_contraction=C,
        label="mine",
    )
    assert one.k_max == 1
    assert type(one.k_max) is int
    assert [x.tolist() for x in (one.start, one.restart, one.other_start)] == [[3.0], [4.0], [7.0]]
    assert one.other_inputs.tolist() == [[5.0], [6.0]]
    assert (one.head, one.partner, one.partner_contraction) == (head, partner, C)
    assert (one.other_norm.label, one.label) == ("L1", "mine")


# -------------------------------------------------------------------------------------------- runs


def counted() -> tuple[CallableMap, list[int]]:
    calls: list[int] = []

    def step(h: Array, x: Array) -> Array:
        calls.append(1)
        return 0.5 * h + x

    return CallableMap(step, 1, 1, input_lipschitz=1.0), calls


def test_a_run_measures_each_thing_once_and_only_when_asked():
    model, calls = counted()
    run = Run(experiment(model, np.ones((6, 1)), contraction=C))
    assert not calls
    for name in (
        "states",
        "other_states",
        "other_driven_states",
        "gap_table",
        "drive",
        "sizes",
        "step_ratios",
    ):
        first = getattr(run, name)
        after = len(calls)
        assert getattr(run, name) is first
        assert len(calls) == after
    assert calls


def test_an_observation_is_made_once():
    calls = []

    def observe(run: Run) -> Observation:
        calls.append(run)
        return Observation(measured=np.ones(1), budget=0.0, arguments={})

    run = Run(experiment(HALF, np.ones((3, 1)), contraction=C))
    assert run.once(observe) is run.once(observe)
    assert calls == [run]
    # another function that looks the same is another observation
    assert run.once(lambda r: observe(r)) is not run.once(observe)
    assert len(calls) == 2


def test_what_a_run_measures():
    model = LinearMap(0.5 * np.eye(2), [[1.0], [0.0]], [0.0, 1.0])
    X = np.array([[1.0], [-2.0], [4.0]])
    one = experiment(model, X, contraction=C, start=[8.0, 0.0], other_start=[0.0, 8.0], k_max=2)
    run = Run(one)
    assert (run.lam, run.norm.label, run.map) == (0.5, "L2", model)
    assert run.states.tolist() == [[8.0, 0.0], [5.0, 1.0], [0.5, 1.5], [4.25, 1.75]]
    assert run.other_states.tolist() == [[0.0, 8.0], [1.0, 5.0], [-1.5, 3.5], [3.25, 2.75]]
    assert run.other_driven_states.tolist() == [[8.0, 0.0], [3.0, 1.0], [3.5, 1.5], [-2.25, 1.75]]
    assert run.times.tolist() == [0.0, 1.0, 2.0, 3.0]
    expected = truncation_gap_table(model, X, k_max=2, norm=L2(), h0=[8.0, 0.0])
    np.testing.assert_array_equal(run.gap_table, expected)
    np.testing.assert_array_equal(
        run.gap_table_in(Linf()),
        truncation_gap_table(model, X, k_max=2, norm=Linf(), h0=[8.0, 0.0]),
    )
    # outward: just above |(4, 1)|, 1, 4 and 1
    for value, exact in (
        (run.drive, math.sqrt(17)),
        (run.input_gain, 1.0),
        (run.input_bound, 4.0),
        (run.offset, 1.0),
        (run.output_lipschitz, 1.0),
    ):
        assert exact <= value <= exact * (1 + 1e-13)


def test_what_is_unknown_of_a_callable_map():
    run = Run(
        experiment(CallableMap(lambda h, x: 0.5 * h + x, 1, 1), np.ones((3, 1)), contraction=C)
    )
    assert math.isnan(run.input_gain)
    assert 0.0 <= run.offset < 1e-13
    assert 1.0 <= run.drive < 1.0 + 1e-13
    with pytest.raises(ValueError, match="no partner"):
        _ = run.composed_step_ratios


def test_runs_of_nothing():
    run = Run(experiment(HALF, np.zeros((0, 1)), contraction=C))
    assert run.states.tolist() == [[0.0]]
    assert run.gap_table.shape == (1, 0)
    assert run.gap_index[0].size == 0
    assert run.drive == run.input_bound == 0.0
    assert run.local_error >= 0.0
    assert not run.contradicted


@given(st.integers(0, 2**32 - 1), st.sampled_from(["identity", "tanh", "sigmoid", "sin"]))
def test_sizes_cover_every_state_met(seed, name):
    model = contractive(seed, 3, 0.9, name)
    rng = np.random.default_rng(seed)
    X, start, restart = rng.standard_normal((8, 2)), *(5 * rng.standard_normal((2, 3)))
    run = Run(
        experiment(
            model, X, contraction=Contraction.assumed(0.9, Linf()), start=start, restart=restart
        )
    )
    h, x = run.sizes
    met = [run.states, run.other_states, run.other_driven_states]
    met += [truncate(model, k, restart=restart).states(X, start) for k in range(9)]
    assert (np.abs(np.vstack(met)) <= h * (1 + 4 * UNIT)).all()
    assert (np.abs(restart) <= h).all()
    assert (np.abs(X) <= x).all()


def test_drifts_are_shorter_for_shorter_runs():
    run = Run(experiment(HALF, np.ones((50, 1)), contraction=C))
    assert run.drift(0.0) == 0.0
    assert run.drift(1.0) == run.local_error
    steps = run.drift(np.arange(50.0))
    assert (np.diff(steps) >= 0).all()
    assert steps[-1] == drift(run.local_error, 0.5)
    measured = np.array([0.0, 1.0])
    expected = run.drift(1.0) + run.drift(2.0) + L2().vector_rounding(1) * measured
    np.testing.assert_array_equal(run.budget(measured, 1.0, 2.0), expected)


# ----------------------------------------------------------------------------------- step ratios


NORMS = [
    L1(),
    L2(),
    Linf(),
    WeightedLinf([1.0, 20.0, 0.25]),
    WeightedL1([1.0, 20.0, 0.25]),
    WeightedL2(np.diag([1.0, 16.0, 0.25])),
    WeightedL2([[2.0, -1.0, 0.25], [-1.0, 1.5, 0.5], [0.25, 0.5, 1.0]]),
]


@pytest.mark.parametrize("norm", NORMS, ids=str)
@given(seed=st.integers(0, 2**32 - 1))
def test_attaining_directions_attain_the_norm(norm, seed):
    A = np.random.default_rng(seed).standard_normal((3, 3))
    directions = norm_attaining(norm, A)
    assert (np.max(np.abs(directions), axis=1) == 1.0).all()
    ratios = norm.vector(directions @ A.T) / norm.vector(directions)
    assert np.max(ratios) >= norm.matrix_upper(A) * (1 - 1e-9)
    assert norm_attaining(norm, np.zeros((3, 3))).tolist() == [[1.0] * 3]


@pytest.mark.parametrize("norm", NORMS, ids=str)
@given(seed=st.integers(0, 2**32 - 1))
def test_step_ratios_of_a_linear_map_reach_its_norm_and_no_more(norm, seed):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((3, 3))
    A *= 0.9 / norm.matrix_upper(A)
    model = LinearMap(A, rng.standard_normal((3, 2)))
    factor = norm.matrix_upper(A)
    run = Run(
        experiment(model, rng.standard_normal((9, 2)), contraction=Contraction.assumed(0.95, norm))
    )
    ratios, budgets = run.step_ratios
    assert (ratios - budgets <= factor).all()
    assert np.max(ratios) >= factor * (1 - 1e-6)
    assert np.median(budgets) < 1e-10
    assert not run.contradicted


def test_a_false_factor_is_contradicted_by_the_run():
    X = np.random.default_rng(0).standard_normal((30, 1))
    for claimed, expected in ((0.5, True), (0.89, True), (0.9, False), (0.95, False)):
        claim = Contraction.assumed(claimed)
        run = Run(experiment(LinearMap([[0.9]], [[1.0]]), X, contraction=claim))
        assert run.contradicted is expected


def test_a_factor_that_only_the_step_ratios_contradict():
    """On its trajectory from rest the map looks contractive; around another state it is not."""
    model = CallableMap(lambda h, x: np.tanh(2.0 * h) + x, 1, 1)
    run = Run(experiment(model, np.full((20, 1), 2.0), contraction=Contraction.assumed(0.5)))
    assert run.contradicted


@pytest.mark.parametrize("seed", range(3))
def test_certified_contractions_are_never_contradicted(seed):
    rng = np.random.default_rng(seed)
    for name in ("tanh", "sigmoid", "relu", "leaky_relu(-0.5)", "sin"):
        model = contractive(seed, 4, 0.9, name)
        c = contraction(model)
        run = Run(experiment(model, rng.standard_normal((40, 2)), contraction=c))
        assert not run.contradicted
        ratios, budgets = run.step_ratios
        assert (ratios <= c.lam + budgets).all()


def test_composed_step_ratios_are_within_the_product_of_the_factors():
    first, second = contractive(1, 3, 0.9, "tanh"), contractive(2, 3, 0.8, "sin")
    certificates = contraction(first, norm=Linf()), contraction(second, norm=L1())
    assert certificates[1] is None or certificates[1].lam < 1
    partner = Contraction.assumed(0.8, Linf())
    run = Run(
        experiment(
            first,
            np.random.default_rng(3).standard_normal((20, 2)),
            contraction=certificates[0],
            partner=second,
            partner_contraction=partner,
        )
    )
    ratios, budgets = run.composed_step_ratios
    product = certificates[0].lam * 0.8 * over(Linf(), Linf(), n=3) ** 2
    assert (ratios - budgets <= product).all()
    assert np.max(ratios) > product / 4
    assert np.median(budgets) < 1e-10


def test_step_ratios_leave_out_pairs_that_coincide():
    ratios, budgets = step_ratios(
        Linf(),
        np.ones((1, 1)) * 2.0**-60,
        np.ones((2, 1)),
        np.zeros((1, 1)),
        lambda h, x: 0.5 * h + x,
        lambda h, x: 0.0,  # noqa: ARG005
    )
    assert np.isfinite(ratios).all()
    assert (ratios - budgets <= 0.5).all()
