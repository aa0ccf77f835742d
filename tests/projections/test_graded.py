"""Gated cells in graded norms: proofs, what the price of reading is, triangular cells, training."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs import stretched

from theory import GRU, LSTM, Inputs, LinearHead, VanillaRNN, contraction
from theory.certify.gate_bounds import certify
from theory.memory import required_context
from theory.projections import graded_norm, project
from theory.projections.base import Request
from theory.projections.graded_rows import (
    GradedSet,
    gated_parameters,
    gated_rows,
    graded_limits,
)
from theory.projections.rows import RowLimits, nearest_rows, rows_lower

GATES = {LSTM: 4, GRU: 3}


def drawn(kind, seed, n, m=2, size=1.0, **options):
    rng, g = np.random.default_rng(seed), GATES[kind]
    shapes = ((g * n, n), (g * n, m), g * n)
    return kind(*(rng.standard_normal(s) * size for s in shapes), **options)


def asked(cell, rate, ratio=2.0**40, **options):
    norm = graded_norm(cell, rate=rate, ratio=ratio)
    return Request(
        onto=type(cell).__name__.lower(), rate=rate, method="auto", weights=norm.weights,
        keep=norm.forget, per_unit=True, **options,
    )  # fmt: skip


def chain(kind, n, size):
    """Return a cell whose units read only earlier ones, by weights of one size, gates below 1/2."""
    W = np.tril(np.full((n, n), size), -1)
    b = np.zeros((GATES[kind], n))
    b[1] = -W.sum(1) - 2.0
    return kind(np.tile(W, (GATES[kind], 1)), np.full((GATES[kind] * n, 1), 0.5), b.ravel())


@settings(max_examples=40)
@given(
    kind=st.sampled_from([LSTM, GRU]), seed=st.integers(0, 2**32 - 1), n=st.integers(1, 6),
    size=st.sampled_from([0.1, 0.5, 1.0, 3.0, 30.0]), rate=st.sampled_from([0.6, 0.9, 0.98]),
    ratio=st.sampled_from([1.0, 8.0, 2.0**20, 2.0**60, 2.0**100]), bounds=st.booleans(),
    before=st.booleans(),
)  # fmt: skip
def test_projected_cells_contract_in_the_norm_that_is_given(
    kind, seed, n, size, rate, ratio, bounds, before
):
    """Between states drawn and at corners, entry by entry; members have no distance."""
    options = {"variant": "reset_before"} if before and kind is GRU else {}
    cell = drawn(kind, seed, n, size=size, **options)
    norm = graded_norm(cell, rate=rate, ratio=ratio)
    ask = {"onto": kind.__name__.lower(), "per_unit": True, "rate": rate, "weights": norm.weights}
    ask |= {"forget": norm.forget} if bounds else {}
    made = project(cell, **ask)
    c = made.certificate
    assert c.lam <= rate
    assert np.array_equal(c.norm.v, norm.weights)
    assert made.lower <= made.distance * (1 + 1e-12)
    assert project(made.map, **ask).map is made.map
    # an entry's own rounding is seen where its unit weighs least
    slack = 1e-12 * np.max(np.abs(c.domain.high)) / norm.weights.min()
    for distance, after in stretched(made.map, c, np.random.default_rng(seed), drawn=100):
        assert np.all(after <= rate * distance * (1 + 1e-9) + slack)


@pytest.mark.parametrize("kind", [LSTM, GRU])
@pytest.mark.parametrize("size", [1.0, 40.0])
def test_triangular_cells_are_members_whatever_their_size(kind, size):
    n = 8
    cell = chain(kind, n, size)
    ask = {"onto": kind.__name__.lower(), "per_unit": True, "rate": 0.9}
    flat = project(cell, **ask, weights=np.ones(cell.state_dim))
    assert flat.distance > 0.5 * size
    norm = graded_norm(cell, rate=0.9, ratio=2.0**100)
    assert project(cell, **ask, weights=norm.weights).map is cell


@pytest.mark.parametrize(("kind", "share"), [(LSTM, 1.0), (GRU, 2.0)])
def test_the_price_of_reading_is_the_ratio_of_weights(kind, share):
    """A unit of forget 1/2 reads an earlier one by up to .4 (GRU: .4 / .5) times the ratio."""
    bounded, g = np.array([0.5 * (1 - 2.0**-30), 0.5]), GATES[kind]
    for ratio in (4.0, 1000.0):
        for part, inside in ((0.999, True), (1.001, False)):
            W, b = np.zeros((g, 2, 2)), np.zeros((g, 2))
            W[2, 1, 0] = 0.4 * share * ratio * part  # the candidate of the later unit
            b[0], b[1] = 40.0, np.log(bounded / (1 - bounded))
            cell = kind(W.reshape(-1, 2), np.zeros((g * 2, 1)), b.ravel())
            norm = graded_norm(cell, rate=0.9, ratio=ratio)
            c = certify(cell, 1.0, norm.weights)
            assert (c.lam <= 0.9) == inside


@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_bounds_of_the_gates_are_kept_and_used(kind):
    """Units that are to hold their own bounds do, and some of them reach these."""
    cell = drawn(kind, 3, 12, size=2.0)
    ask = asked(cell, 0.95)
    arrays, c = GradedSet(cell, ask).nearest(cell)
    new = cell.with_parameters(**dict(zip(cell.parameters, arrays, strict=False)))
    W, U, b = new.gate("f" if kind is LSTM else "z")
    top = 1 / (1 + np.exp(-np.abs(W).sum(1) - np.abs(U).sum(1) - b))
    assert np.all(top <= ask.keep * (1 + 1e-12))
    assert np.max(top / ask.keep) > 1 - 1e-9
    assert 0.95 * (1 - 1e-3) < c.lam <= 0.95


def test_dense_cells_are_nearer_than_in_any_norm_that_is_searched_for():
    for kind in (LSTM, GRU):
        cell = drawn(kind, 0, 24)
        ask = {"onto": kind.__name__.lower(), "per_unit": True, "rate": 0.95}
        norm = graded_norm(cell, rate=0.95)
        made = project(cell, **ask, weights=norm.weights)
        assert made.distance < 0.95 * project(cell, **ask).distance


@settings(max_examples=25)
@given(
    kind=st.sampled_from([LSTM, GRU]), seed=st.integers(0, 2**32 - 1), n=st.integers(1, 9),
    ratio=st.sampled_from([1.0, 2.0**10, 2.0**40]), step=st.sampled_from([0.0, 1e-3, 0.3, 30.0]),
)  # fmt: skip
def test_where_the_search_begins_changes_nothing(kind, seed, n, ratio, step):
    cell = drawn(kind, seed, n)
    where = graded_limits(cell, asked(cell, 0.9, ratio))
    _, start = nearest_rows(gated_rows(cell), where)
    X = gated_rows(cell) + step * gated_rows(drawn(kind, seed + 1, n))
    Y, tau = nearest_rows(X, where)
    warm, again = nearest_rows(X, where, start=start)
    assert np.allclose(warm, Y, rtol=1e-9, atol=1e-11 * np.max(np.abs(X)))
    assert np.array_equal(start, nearest_rows(gated_rows(cell), where)[1])  # it is not written to
    del tau, again


def test_reset_gates_before_and_after_agree_where_they_are_open():
    """With open reset gates, and no W_r, the two variants are one cell, and so are their sets."""
    cell = drawn(GRU, 5, 6)
    W, b = cell.W.copy(), cell.b.copy()
    W[:6], b[:6] = 0.0, 40.0
    made = []
    for variant in ("reset_after", "reset_before"):
        one = GRU(W, cell.U * 0.1, b, variant=variant)
        arrays = GradedSet(one, asked(one, 0.9, 8.0)).nearest(one)[0]
        made.append(np.hstack([arrays[0], arrays[1]]))
    assert np.allclose(made[0], made[1], atol=1e-9)


def test_what_a_ratio_costs_a_context():
    cell = chain(LSTM, 6, 0.2)
    ask = {"inputs": Inputs.box(-1, 1), "head": LinearHead(np.ones((1, 12)))}
    flat = required_context(cell, 1e-3, **ask)
    for ratio in (2.0**10, 2.0**40):
        norm = graded_norm(cell, rate=0.9, ratio=ratio)
        c = project(cell, onto="lstm", per_unit=True, rate=0.9, weights=norm.weights).certificate
        k = required_context(cell, 1e-3, certificates={"graded": c}, **ask).k
        assert k <= flat.k + math.ceil(math.log(ratio) / math.log(1 / 0.9))


def test_single_precision_and_sums_of_biases():
    for kind in (LSTM, GRU):
        cell = drawn(kind, 2, 7, size=0.7)
        ask = asked(cell, 0.97, single=True, bias_terms=2)
        arrays, c = GradedSet(cell, ask).nearest(cell)
        assert c.lam <= 0.97
        for a, given_ in zip(arrays, cell.parameters.values(), strict=False):
            assert np.all((a == given_) | (a == a.astype(np.float32)))
        assert len(gated_parameters(cell, gated_rows(cell))) == len(arrays)


def test_a_training_is_followed():
    """Step by step from where the last one ended, as from the beginning; members stay."""
    for kind in (LSTM, GRU):
        cell = drawn(kind, 6, 9)
        ask = asked(cell, 0.95)
        inside = GradedSet(cell, ask)
        for step in range(4):
            arrays, c = inside.nearest(cell)
            assert c.lam <= 0.95
            cell = cell.with_parameters(**dict(zip(cell.parameters, arrays, strict=True)))
            assert inside.nearest(cell)[0][0] is cell.parameters["W"]
            noise = 0.05 * np.random.default_rng(step).standard_normal(cell.W.shape)
            cell = cell.with_parameters(W=cell.W + noise)
            for a, b in zip(inside.moved(cell), GradedSet(cell, ask).moved(cell), strict=True):
                assert np.allclose(a, b, rtol=1e-9, atol=1e-12)


def test_weights_are_geometric_and_bounds_are_mixed():
    norm = graded_norm(drawn(LSTM, 0, 64), rate=0.9, ratio=2.0**30)
    v = norm.weights[:64]
    assert np.array_equal(norm.weights[64:], v)
    assert (v[0], v[-1]) == (1.0, 2.0**30)
    steps = np.unique(np.round(np.diff(np.log2(v)), 9))
    assert steps.tolist() == [0.0, 2.0]
    assert 0.27 <= norm.forget.min() < 0.29
    assert 0.86 < norm.forget.max() <= 0.882
    for level in np.unique(v):
        assert norm.forget[v == level].max() - norm.forget[v == level].min() > 0.3
    assert graded_norm(drawn(GRU, 0, 1), rate=0.9).weights.tolist() == [1.0]


def test_certificates_need_no_hint():
    """What contracts in a graded norm is certified by the ordinary question, too."""
    cell = drawn(LSTM, 4, 10)
    made = project(
        cell, onto="lstm", per_unit=True, rate=0.95, weights=graded_norm(cell, rate=0.95).weights
    )
    c = contraction(made.map, method="comparison", domain=made.certificate.domain)
    assert c is not None
    assert c.lam < 1


def test_malformed_questions():
    cell = drawn(LSTM, 0, 2)
    ask = {"onto": "lstm", "rate": 0.9}
    for change, message in (
        ({"weights": np.ones(4)}, "needed per_unit=True too"),
        ({"weights": np.ones(2), "per_unit": True}, "weights has shape"),
        ({"weights": [1.0, 1.0, 0.0, 1.0], "per_unit": True}, "weights=0.0, needed"),
        ({"weights": [1.0, 1.0, 1.0, 1e80], "per_unit": True}, "at most 2\\*\\*100"),
        ({"weights": [1e-20, 1.0, 1.0, 1e20], "per_unit": True}, "at most 2\\*\\*100"),
        ({"weights": [5e-324] * 4, "per_unit": True}, "divide all by the largest"),
        ({"forget": [0.3, 0.95], "per_unit": True}, "forget= holds 0.95, needed bounds"),
        ({"forget": [0.3, 0.0], "per_unit": True}, "forget= holds 0.0, needed bounds"),
        ({"forget": [0.3], "per_unit": True}, "forget has shape"),
        (
            {"forget": [0.3, 0.5], "per_unit": True, "weights": [1.0, 2.0, 1.0, 1.0]},
            "leave no cell: of unit 1 the state c counts 2 and h 1",
        ),
        ({"forget": [0.6, 0.7]}, "one bound for all units unless per_unit=True"),
    ):
        with pytest.raises(ValueError, match=message):
            project(cell, **ask, **change)
    with pytest.raises(ValueError, match="needed per_unit=True too"):
        project(drawn(GRU, 0, 2), onto="gru", rate=0.9, forget=0.7)
    for ratio in (0.5, math.inf, math.nan, 2.0**101):
        with pytest.raises(ValueError, match="ratio="):
            graded_norm(cell, rate=0.9, ratio=ratio)
    with pytest.raises(ValueError, match="needed an LSTM or a GRU"):
        graded_norm(VanillaRNN([[0.5]], [[1.0]]), rate=0.9)


@pytest.mark.parametrize("first", [4.77812321e9, -4.77812321e9])
def test_a_row_whose_largest_entry_ends_near_zero_is_projected(first):
    """Beyond the multiplier all entries were zero, and going back there passed for rounding."""
    X = np.array([[first, 5e-8, 3e-7, 1.8e-4, 2.5e-10, 7e4]])
    v = np.array([[9.03e5, 6.2e6, 1.2e6, 4.9e-6, 1e-13, 1.9e-13]])
    where = RowLimits(
        starts=np.array([0, 6]), factors=np.ones((1, 1, 1)), v=v, limits=np.array([[0.048]]),
        signed=np.zeros(1),
    )  # fmt: skip
    Y, tau = nearest_rows(X, where)
    assert np.sum(v * np.abs(Y)) <= 0.048 * (1 + 1e-9)
    distance = np.linalg.norm(X - Y)
    assert distance * (1 - 1e-9) <= rows_lower(X, Y, where, tau) <= distance * (1 + 1e-14)


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 3))
def test_rows_obey_limits_whatever_their_sizes(seed, count):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 8))
    X = rng.standard_normal((2, n)) * 10.0 ** rng.uniform(-10, 10, (2, n))
    where = RowLimits(
        starts=np.array([0, n]), factors=rng.uniform(0.1, 1, (2, count, 1)),
        v=2.0 ** rng.uniform(-50, 50, (count, n)), limits=rng.uniform(0.01, 1, (2, count)),
        signed=np.zeros(1),
    )  # fmt: skip
    Y, tau = nearest_rows(X, where)
    total = np.einsum("ikg,kj,ij->ik", where.factors, where.v, np.abs(Y))
    assert np.all(total <= where.limits * (1 + 1e-9))
    assert rows_lower(X, Y, where, tau) <= np.linalg.norm(X - Y) * (1 + 1e-14)
