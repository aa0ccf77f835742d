"""Sets of LSTM and GRU cells: cvxpy, certificates, bounds from both sides."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from theory import GRU, LSTM, Inputs, VanillaRNN
from theory.certify.certificate_file import certificate_from_dict, certificate_to_dict
from theory.certify.gate_bounds import certify, opened_up
from theory.certify.recheck import recheck
from theory.domain import Domain
from theory.kernels.row_limits import row_limits_kernel
from theory.projections import oracle, project
from theory.projections.gru import gru_limits, gru_lower
from theory.projections.gru_rows import gru_parameters, gru_rows
from theory.projections.gru_units import UnitBounds, per_unit_lower
from theory.projections.gru_units import unit_limits as gru_unit_limits
from theory.projections.lstm import (
    forget_rows,
    in_published,
    nearest_published,
    published_limits,
    published_middle,
)
from theory.projections.lstm_rows import lstm_parameters, lstm_rows
from theory.projections.lstm_units import unit_limits
from theory.projections.rows import RowLimits, nearest_rows, rows_lower, solve_rows
from theory.theorems.contractive_of_gru_norms import contractive_of_gru_norms


def lstm(seed, n, m=2, size=1.0):
    rng = np.random.default_rng(seed)
    return LSTM(*(rng.standard_normal(s) * size for s in ((4 * n, n), (4 * n, m), 4 * n)))


def gru(seed, n, m=2, size=1.0, variant="reset_after"):
    rng = np.random.default_rng(seed)
    W, U, b, c = (rng.standard_normal(s) * size for s in ((3 * n, n), (3 * n, m), 3 * n, n))
    return GRU(W, U, b, c if variant == "reset_after" else None, variant)


def limits(seed, n, m, kind):
    rng = np.random.default_rng(seed)
    if kind == "published":
        return published_limits(n, m, 0.95, float(rng.uniform(0.52, 0.94)), 1.3)
    if kind == "per unit":
        weights = np.append(rng.uniform(0.6, 1.0, n), np.ones(n))
        return unit_limits(n, m, 0.95, rng.uniform(0.1, 0.85, n), 1.3, weights)
    if kind.startswith("gru per unit"):
        variant = "reset_before" if kind.endswith("before") else "reset_after"
        update, reset = rng.uniform(-3, 2.5, (2, n))
        candidate, one = rng.uniform(0.3, 3.0, (2, n))
        bounds = UnitBounds(update=update, reset=reset, candidate=candidate, rows=one)
        return gru_unit_limits(gru(0, n, m, variant=variant), 0.95, 1.3, bounds)
    r = rng.uniform(0.55, 0.9, 2)
    cell = gru(seed, n, m)
    return gru_limits(cell, 0.95, 1.3, float(r[0]), float(r[1]), 0.4, float(rng.uniform(0.3, 1)))


def rows(seed, n, m, kind, size=1.0):
    if kind.startswith("gru"):
        return gru_rows(gru(seed, n, m, size))
    return lstm_rows(lstm(seed, n, m, size))


def sums(Y, where):
    """Return the left-hand sides of the inequalities, (rows, K)."""
    groups = np.repeat(np.arange(len(where.signed)), np.diff(where.starts))
    size = np.where(where.signed[groups] != 0, Y, np.abs(Y))
    a = where.factors[:, :, groups] * where.v[None]
    return np.einsum("ikj,ij->ik", a, size)


KINDS = ("published", "per unit", "gru", "gru per unit", "gru per unit before")
every_kind = pytest.mark.parametrize("kind", KINDS)


@every_kind
@pytest.mark.parametrize("n", [1, 3, 8])
def test_cvxpy_agrees(kind, n):
    X, where = rows(n, n, 2, kind), limits(n + 1, n, 2, kind)
    Y, tau = nearest_rows(X, where)
    solved = solve_rows(X, where)
    distance = np.linalg.norm(X - Y)
    assert distance == pytest.approx(solved.value, rel=1e-6, abs=1e-7)
    assert np.all(sums(Y, where) <= where.limits + 1e-12)
    assert np.max(np.abs(Y - solved.arrays[0])) < 1e-4
    # the multipliers give the same distance from below
    assert distance * (1 - 1e-9) - 1e-9 <= rows_lower(X, Y, where, tau) <= distance * (1 + 1e-14)
    if kind == "published":
        assert np.allclose(nearest_published(X, where)[0], Y, atol=1e-12)


@every_kind
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 3), size=st.sampled_from([0.01, 1, 1e6]))
def test_member_idempotent_not_expansive(kind, seed, n, size):
    where = limits(seed, n, 2, kind)
    X, V = rows(seed, n, 2, kind, size), rows(seed + 1, n, 2, kind, size)
    Y, Z = nearest_rows(X, where)[0], nearest_rows(V, where)[0]
    scale = 1e-12 * (1 + size)
    assert np.all(sums(Y, where) <= where.limits + scale)
    assert np.allclose(nearest_rows(Y, where)[0], Y, atol=scale)
    assert np.linalg.norm(Y - Z) <= np.linalg.norm(X - V) + scale
    assert np.sum((X - Y) * (Z - Y)) <= scale * (1 + np.linalg.norm(X)) * (1 + np.linalg.norm(Z))


@pytest.mark.parametrize("kind", ["lstm", "gru", "gru before"])
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 3))
def test_certificates_bound_steps(kind, seed, n):
    rng = np.random.default_rng(seed)
    size = float(rng.choice([0.1, 0.3] if kind == "lstm" else [0.1, 0.3, 0.6]))
    if kind == "lstm":
        cell = lstm(seed, n, 2, size)
    else:
        cell = gru(seed, n, 2, size, "reset_after" if kind == "gru" else "reset_before")
    weights = rng.uniform(0.5, 1, n)
    if kind == "lstm":
        weights = np.append(weights, np.ones(n))
    elif rng.random() < 0.5:
        weights = None
    c = certify(cell, 1.0, weights)
    if c is None:
        return
    box = c.domain.reach
    for _ in range(20):
        h = rng.uniform(-box, box) * rng.choice([1.0, 0.1])
        g = np.clip(h + rng.uniform(-1, 1, len(h)) * rng.choice([1e-3, 1.0]), -box, box)
        x = rng.choice([-1.0, 1.0], 2)
        moved, before = cell.step(h, x) - cell.step(g, x), c.norm.vector(h - g)
        assert c.norm.vector(moved) <= c.lam * before * (1 + 1e-12) + 1e-14
        assert np.all(np.abs(cell.step(h, x)) <= box)


def test_the_rate_of_the_published_conditions():
    """A.5: with sums on the boundary the row sum is the rate itself."""
    n, f, rate = 4, 0.64, 0.95
    room = rate - f
    one = np.full((n, n), 1.0 / n)
    W = np.vstack([room * one, room * (1 - f) * one, 0.25 * room * one, room * one])
    odds = math.log(f / (1 - f))
    b = np.concatenate([np.zeros(n), np.full(n, odds - room * (1 - f)), np.zeros(2 * n)])
    cell = LSTM(W, np.zeros((4 * n, 1)), b)
    assert certify(cell, 1.0).lam == pytest.approx(rate, abs=1e-12)
    found = project(cell, onto="lstm", rate=rate, forget=f)
    assert found.distance < 1e-9


@pytest.mark.parametrize("n", [1, 2, 6])
def test_lstm_sets(n):
    cell = lstm(n + 10, n, 3)
    fixed = project(cell, onto="lstm", rate=0.95, forget=0.7)
    best = project(cell, onto="lstm", rate=0.95)
    larger = project(cell, onto="lstm", rate=0.95, per_unit=True)
    assert larger.distance < best.distance <= fixed.distance * (1 + 1e-3)
    for found in (fixed, best, larger):
        assert found.certificate.lam <= 0.95
        assert found.lower <= found.distance
        assert certify(found.map, 1.0, getattr(found.certificate.norm, "v", None)).lam <= 0.95
        # what is not in the bounds stays
        for gate in ("i", "g", "o"):
            assert np.array_equal(found.map.gate(gate)[1], cell.gate(gate)[1])
            assert np.array_equal(found.map.gate(gate)[2], cell.gate(gate)[2])
    assert fixed.gap < 1e-9
    assert best.gap < 0.02
    assert project(best.map, onto="lstm", rate=0.95).map is best.map
    assert project(fixed.map, onto="lstm", rate=0.95, forget=0.7).distance < 1e-9


def test_forget_bound_is_best():
    cell = lstm(3, 4, 2)
    best = project(cell, onto="lstm", rate=0.9)
    for f in np.linspace(0.52, 0.89, 8):
        other = project(cell, onto="lstm", rate=0.9, forget=float(f))
        assert best.distance <= other.distance * (1 + 1e-3)
        assert best.lower <= other.distance


def test_single_precision():
    cell = lstm(5, 6, 2)
    for options in ({"forget": 0.7}, {}, {"per_unit": True}):
        found = project(cell, onto="lstm", rate=0.9, dtype="float32", **options)
        for a in found.map.parameters.values():
            assert np.array_equal(a, a.astype(np.float32))
        assert found.certificate.lam <= 0.9
    for per_unit in (False, True):
        found = project(gru(5, 6), onto="gru", rate=0.9, dtype="float32", per_unit=per_unit)
        assert all(np.array_equal(a, a.astype(np.float32)) for a in found.map.parameters.values())


def test_cvxpy_through_project():
    for cell, options in (
        (lstm(6, 3, 2), {"onto": "lstm", "forget": 0.7}),
        (lstm(6, 3, 2), {"onto": "lstm", "per_unit": True}),
        (gru(6, 3), {"onto": "gru", "per_unit": True}),
        (gru(6, 3, variant="reset_before"), {"onto": "gru", "per_unit": True}),
    ):
        ours = project(cell, rate=0.9, **options)
        theirs = project(cell, rate=0.9, method="cvxpy", **options)
        assert theirs.method.startswith("cvxpy")
        assert theirs.certificate.lam <= 0.9
        assert theirs.distance == pytest.approx(ours.distance, rel=1e-4)


@pytest.mark.parametrize("variant", ["reset_after", "reset_before"])
@pytest.mark.parametrize("n", [1, 3])
def test_gru_criterion(variant, n):
    cell = gru(n, n, 2, variant=variant)
    found = project(cell, onto="gru", rate=0.9)
    assert found.certificate.lam <= 0.9
    assert found.lower <= found.distance
    assert project(found.map, onto="gru", rate=0.9).map is found.map
    if variant == "reset_before":
        assert found.moved["b_candidate"] == 0.0


@pytest.mark.parametrize("variant", ["reset_after", "reset_before"])
@pytest.mark.parametrize(
    ("n", "size", "nearer"), [(1, 1.0, 0.99), (3, 0.2, 0.95), (3, 1.0, 0.96), (8, 0.3, 0.99)]
)
def test_gru_bounds_for_every_unit_are_nearer(n, size, nearer, variant):
    cell = gru(n, n, 2, size, variant)
    for rate in (0.95, 0.6):
        common = project(cell, onto="gru", rate=rate)
        found = project(cell, onto="gru", rate=rate, per_unit=True)
        assert 0 < found.distance < nearer * common.distance
        assert found.lower <= found.distance
        c = certify(found.map, 1.0)
        # on the boundary: nothing is given away
        assert rate * (1 - 1e-3) < c.lam == found.certificate.lam <= rate
        assert project(found.map, onto="gru", rate=rate, per_unit=True).map is found.map
        # the common set is a part
        assert project(common.map, onto="gru", rate=rate, per_unit=True).map is common.map
        if variant == "reset_before":
            assert found.moved["b_candidate"] == 0.0


@pytest.mark.parametrize("seed", [37, 112, 180, 273, 275, 318])
def test_no_cell_of_the_larger_set_is_further_than_that_of_the_published(seed):
    """One search ended further away, by up to 6 %, where it did not begin at that cell."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 4))
    variant, size = ("reset_after", "reset_before")[seed % 2], 10 ** rng.uniform(-2, 1.5)
    W, U, b = (rng.normal(size=shape) * size for shape in ((3 * n, n), (3 * n, n), 3 * n))
    second = [rng.normal(size=n) * size] if variant == "reset_after" else []
    cell = GRU(W, U, b, *second, variant=variant)
    common, found = (project(cell, onto="gru", rate=0.9, per_unit=own) for own in (False, True))
    assert found.distance <= common.distance * (1 + 1e-12)


@pytest.mark.parametrize("variant", ["reset_after", "reset_before"])
def test_certificates_of_gate_bounds_are_checked_again_from_a_file(variant):
    """Matrices of a step are less sharp: each takes its own z."""
    found = project(gru(3, 3, 2, 1.0, variant), onto="gru", rate=0.9, per_unit=True)
    for weights in (None, np.array([1.0, 1.001, 0.999])):
        c = certify(found.map, 1.0, weights)
        stored = certificate_from_dict(certificate_to_dict(found.map, c))
        assert recheck(stored, found.map)
        assert recheck(replace(stored, rate=0.999 * c.lam), found.map).failed == "inequality"
        # the bounds are for states of the unit box and for these inputs
        for size, bound in ((9.0, 1.0), (1.0, 9.0)):
            h, x = np.full(3, size), np.full(2, bound)
            where = Domain(low=-h, high=h, input_low=-x, input_high=x)
            forged = replace(stored, domain=where.to_dict())
            assert recheck(forged, found.map).failed == "inequality"


@given(r=st.floats(0, 1), w=st.floats(0, 10), c=st.floats(0, 100))
@example(r=0.9, w=0.0, c=0.0)
def test_the_largest_factor_of_a_reset_gate(r, w, c):
    at = r * np.linspace(0, 1, 1001)
    largest = np.max(at * w + at * (1 - at) * c)
    found = opened_up(*np.array([[r], [w], [c]])).item()
    assert largest * (1 - 1e-14) <= found <= (largest + 1e-6 * c) * (1 + 1e-14) + 1e-290


@pytest.mark.parametrize("variant", ["reset_after", "reset_before"])
def test_reset_gates_are_free_up_to_sums_of_one(variant):
    """w_r <= 1 costs nothing: z + (1 - z) w_n, attained at an open gate and n = h = 0."""
    for w_r, costs in ((1.0, False), (1.01, True)):
        b = np.array([60.0, 0.0, 0.0])
        cell = GRU([[w_r], [0.0], [0.8]], np.zeros((3, 1)), b, variant=variant)
        slope = cell.jacobian_state(np.zeros(1), np.zeros(1)).item()
        assert slope == pytest.approx(0.9, rel=1e-15)
        assert (certify(cell, 1.0).lam > slope * (1 + 1e-6)) == costs
        assert slope <= certify(cell, 1.0).lam


def test_gru_factor_is_attained():
    """The update gate moves by z (1 - z), and h - n by 2."""
    W, b = np.array([[0.0], [0.4], [0.0]]), np.array([0.0, 2.0, -30.0])
    cell = GRU(W, np.zeros((3, 1)), b)
    slope = cell.jacobian_state(np.ones(1), np.zeros(1)).item()
    assert slope <= certify(cell, 1.0).lam <= slope * (1 + 1e-14)
    # with 1 / 4 for z (1 - z) nothing is proved
    assert 1 / (1 + math.exp(-2.4)) + 0.5 * 0.4 > 1 > certify(cell, 1.0).lam


def test_a_gru_that_keeps_more_may_read_almost_as_much():
    """s <= (rate - z) / (1 - z), unit by unit: at z = .9 still .8 of rate .98."""
    z, rate = 0.9, 0.98
    inner = (rate - z) / (1 - z)
    b = np.array([60.0, math.log(z / (1 - z)), 0.0])
    for size, inside in ((inner * (1 - 1e-9), True), (inner * (1 + 1e-9), False)):
        cell = GRU([[0.0], [0.0], [size]], np.zeros((3, 1)), b)
        made = project(cell, onto="gru", rate=rate, per_unit=True)
        assert (made.map is cell) == inside
        assert made.distance < 2e-9


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 3))
def test_gru_per_unit_lower_bound_is_sound(seed, n):
    rng = np.random.default_rng(seed)
    variant = str(rng.choice(["reset_after", "reset_before"]))
    cell = gru(seed, n, 2, float(rng.choice([0.1, 1.0, 10.0])), variant)
    lower, X = per_unit_lower(cell, 0.95, 1.3), gru_rows(cell)
    for k in range(4):
        where = limits(seed + k, n, 2, "gru per unit" + variant.removeprefix("reset_after")[5:])
        Y = nearest_rows(X, where)[0]
        assert lower <= np.linalg.norm(X - Y) * (1 + 1e-9)
        # members of the convex part contract
        made = cell.with_parameters(
            **dict(zip(cell.parameters, gru_parameters(cell, Y), strict=True))
        )
        assert certify(made, 1.3).lam <= 0.95 * (1 + 1e-9)


def test_gru_per_unit_lower_bound_by_hand():
    """One unit with b_z = 5: the gate is bounded by the rate."""
    cell = GRU(np.zeros((3, 1)), np.zeros((3, 1)), [0.0, 5.0, 0.0])
    assert per_unit_lower(cell, 0.95, 1.0) == pytest.approx(5.0 - math.log(19), rel=1e-9)
    made = project(cell, onto="gru", rate=0.95, per_unit=True)
    assert made.distance == pytest.approx(made.lower, rel=2e-2)


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 3))
def test_gru_lower_bound_is_sound(seed, n):
    """No member of any bounds is nearer, and members have no distance."""
    rng = np.random.default_rng(seed)
    cell, rate = gru(seed, n, 2, float(rng.choice([0.1, 1.0, 10.0]))), 0.95
    lower = gru_lower(cell, rate, 1.0)
    X = gru_rows(cell)
    for _ in range(4):
        z, r, candidate = rng.uniform(0.5, 0.95), rng.uniform(0.5, 1), rng.uniform(0.05, 1)
        where = gru_limits(cell, rate, 1.0, z, r, rng.exponential(), candidate)
        assert lower <= np.linalg.norm(X - nearest_rows(X, where)[0]) * (1 + 1e-9)


def test_gru_lower_bound_by_hand():
    """One unit with w_z + w_n = 6: the half space (w_z + w_n) / 4 <= 0.45 is 4.2 / sqrt 2 away."""
    cell = GRU([[0.0], [3.0], [3.0]], np.zeros((3, 1)), np.zeros(3))
    assert gru_lower(cell, 0.95, 1.0) == pytest.approx(4.2 / np.sqrt(2), rel=1e-9)
    # more than the bound of the update gate alone
    assert gru_lower(cell, 0.95, 1.0) > 3.0 - math.log(0.95 / 0.05)


@pytest.mark.parametrize("seed", [0, 4294967295, 1481, 1484, 1499])
def test_inequalities_that_share_their_only_entry(seed):
    """The system for the multipliers is singular there."""
    for kind in KINDS:
        where, X = limits(seed, 3, 2, kind), rows(seed, 3, 2, kind, 1e6)
        Y, tau = nearest_rows(X, where)
        assert np.all(sums(Y, where) <= where.limits + 1e-6)
        assert rows_lower(X, Y, where, tau) >= np.linalg.norm(X - Y) * (1 - 1e-8)


def test_gru_rate_of_the_oracle():
    """GRU.lam: d = 2, all row sums .3, all bounds at .5; 1/4 or z (1 - z) for slopes."""
    # row sums of W are .3, and inputs and biases add .2 to every gate
    W = np.tile([[0.3, 0.0], [0.0, 0.3]], (3, 1))
    cell = GRU(W, np.full((6, 1), 0.2), np.zeros(6), variant="reset_before")
    theirs = contractive_of_gru_norms(**cell.parameters, variant=cell.variant, input_bound=1.0)
    assert theirs.lam == pytest.approx(0.811113896704792, abs=1e-12)
    z, n = 1 / (1 + math.exp(-0.5)), math.tanh(0.5)
    # and of r, which is z here
    less = (0.3 * (1 + n) + (1 - z) * 0.3 * 0.3) * (0.25 - z * (1 - z))
    assert certify(cell, 1.0).lam == pytest.approx(0.811113896704792 - less, abs=1e-12)


def test_forget_rows_keep_members():
    rng = np.random.default_rng(9)
    W, U, b = 1e-3 * rng.standard_normal((3, 3)), 1e-3 * rng.standard_normal((3, 2)), np.zeros(3)
    *kept, moved = forget_rows(W, U, b, rate=0.9, forget=0.7, input_bound=1.0)
    assert not np.any(moved)
    for a, k in zip((W, U, b), kept, strict=True):
        assert np.array_equal(a, k)


def test_parameters_round_trip():
    cell = lstm(11, 3, 2)
    X = lstm_rows(cell)
    for a, b in zip(lstm_parameters(cell, X), (cell.W, cell.U, cell.b), strict=True):
        assert np.array_equal(a, b)


def test_bad_input():
    cell = lstm(0, 2)
    for options, message in (
        ({"rate": 0.5}, "at least 1/2"),
        ({"rate": 0.9, "forget": 0.95}, "forget"),
        ({"rate": 0.9, "forget": 0.4}, "forget"),
        ({"rate": 0.9, "forget": 0.9, "per_unit": True}, "forget"),
        ({"rate": 0.9, "inputs": 1.0}, "does not say which inputs are meant"),
        ({"rate": 0.9, "inputs": Inputs.box(-np.inf, 1)}, "needed bounded ones"),
    ):
        with pytest.raises(ValueError, match=message):
            project(cell, onto="lstm", **options)
    with pytest.raises(ValueError, match="onto='gru'"):
        project(gru(0, 2), onto="lstm", rate=0.9)
    with pytest.raises(ValueError, match="onto='lstm'"):
        project(cell, onto="gru", rate=0.9)
    with pytest.raises(ValueError, match="LSTM or a GRU"):
        certify(VanillaRNN([[0.5]], [[1.0]]), 1.0)
    with pytest.raises(ValueError, match="at least 1/2"):
        project(gru(0, 2), onto="gru", rate=0.5)
    # at a rate of one half or less there is still the larger set
    assert project(cell, onto="lstm", rate=0.4, per_unit=True).certificate.lam <= 0.4
    assert project(gru(0, 2), onto="gru", rate=0.4, per_unit=True).certificate.lam <= 0.4


def test_wild_cells():
    for size in (0.0, 1e-8, 1e6):
        for per_unit in (False, True):
            for cell, onto in ((lstm(1, 2, 2, size), "lstm"), (gru(1, 2, 2, size), "gru")):
                found = project(cell, onto=onto, rate=0.9, per_unit=per_unit)
                assert found.certificate.lam <= 0.9


def test_solver_failure_is_reported(monkeypatch):
    def fail(*_):
        raise ArithmeticError("CLARABEL: user_limit")

    monkeypatch.setattr(oracle, "rows", fail)
    cell = lstm(2, 2)
    found = project(cell, onto="lstm", rate=0.9, forget=0.7, method="cvxpy")
    assert "user_limit" in found.note
    assert found.distance == project(cell, onto="lstm", rate=0.9, forget=0.7).distance


@pytest.mark.parametrize("rate", [0.51, 0.6, 0.7])
@pytest.mark.parametrize("variant", ["reset_after", "reset_before"])
def test_gru_at_small_rates(rate, variant):
    """Bounds of gates below 1/2 make empty sets, which the search must not choose."""
    rng = np.random.default_rng(0)
    for _ in range(2):
        cell = GRU(
            0.3 * rng.standard_normal((9, 3)), 0.3 * rng.standard_normal((9, 2)),
            0.3 * rng.standard_normal(9), variant=variant,
        )  # fmt: skip
        made = project(cell, onto="gru", rate=rate)
        assert made.certificate.lam <= rate
        assert made.lower <= made.distance


def test_published_lower_bound_at_rates_near_one():
    """No recurrent weights and a forget bias of 30: a member half a unit away."""
    W, b = np.zeros((4, 1)), np.zeros(4)
    W[0], b[1] = 0.5, 30.0
    made = project(LSTM(W, np.zeros((4, 1)), b), onto="lstm", rate=1 - 1e-15)
    assert made.lower <= 0.5


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 4),
    size=st.sampled_from([0.05, 0.3, 1.0, 30.0]),
    rate=st.sampled_from([0.6, 0.9, 0.999]),
    dtype=st.sampled_from(["float32", "float64"]),
    kind=st.sampled_from(
        ["published", "fixed", "per unit", "euclidean", "gru", "gru per unit", "gru euclidean"]
    ),
)
def test_projected_cells_stay(seed, n, size, rate, dtype, kind):
    """Bit for bit, also where a bias is the sum of two numbers of single precision."""
    rng = np.random.default_rng(seed)
    is_gru = kind.startswith("gru")
    gates = 3 if is_gru else 4
    shapes = [(gates * n, n), (gates * n, 2), (gates * n,), (gates * n,), (n,)]
    W, U, b, d, c = (
        (size * rng.standard_normal(shape)).astype(dtype).astype(float) for shape in shapes
    )
    cell = GRU(W, U, b, c) if is_gru else LSTM(W, U, b + d)
    options = {"onto": "gru" if is_gru else "lstm", "per_unit": kind.endswith("per unit")}
    if kind == "fixed":
        options["forget"] = 0.5 + 0.6 * (rate - 0.5)
    if kind.endswith("euclidean"):
        options["onto"] += "_l2"
    made = project(cell, rate=rate, dtype=dtype, bias_terms=2, **options)
    assert made.certificate.lam <= rate
    assert made.lower <= made.distance
    assert project(made.map, rate=rate, dtype=dtype, bias_terms=2, **options).map is made.map
    for name, a in made.map.parameters.items():
        kept = a == cell.parameters[name]
        assert np.all(kept | (a == a.astype(dtype)))


@pytest.mark.parametrize("size", [3.7, 3.8])
def test_cells_that_contract_outside_of_the_published_set(size):
    """By the sign of b_f, and the sum of all limits: the larger set holds the first of them."""
    W, b = np.zeros((4, 1)), np.zeros(4)
    W[0], b[1] = size, -10.0
    cell = LSTM(W, np.zeros((4, 1)), b)
    assert (certify(cell, 1.0).lam <= 0.95) == (size == 3.7)
    made = project(cell, onto="lstm", rate=0.95)
    # |b_f| <= log(19), and w_i <= rate - f
    assert made.distance == pytest.approx(math.hypot(size, 10 - math.log(19)), rel=0.1)
    assert made.lower <= made.distance
    assert ("per_unit=True keeps it" in made.note) == (size == 3.7)
    larger = project(cell, onto="lstm", rate=0.95, per_unit=True)
    assert larger.distance == pytest.approx(max(0.0, size - 4 * 0.95), abs=1e-3)


def test_a_gru_that_contracts_outside_of_the_criterion():
    b = np.array([0.0, -4.0, 0.0])
    cell = GRU(np.zeros((3, 1)), np.zeros((3, 1)), b)
    assert certify(cell, 1.0).lam < 0.1
    made = project(cell, onto="gru", rate=0.9)
    assert made.moved["b"] == pytest.approx(4 - math.log(9), rel=1e-2)
    assert "absolute values of biases" in made.note
    assert project(cell, onto="gru", rate=0.9, per_unit=True).map is cell


def test_forget_bounds_that_keep_a_member():
    cell = project(lstm(3, 4), onto="lstm", rate=0.9).map
    middle = published_middle(cell, 0.9, 1.0)
    assert in_published(cell, 0.9, 1.0, middle)
    small = lstm(3, 4, size=0.01)
    middle = published_middle(small, 0.9, 1.0)
    assert 0.52 < middle < 0.8
    assert in_published(small, 0.9, 1.0, middle)
    assert published_middle(lstm(3, 4), 0.9, 1.0) is None


def test_forget_rows_of_wild_cells_end_inside():
    rng = np.random.default_rng(4)
    for size in (1e3, 1e8, 1e13, 1e30):
        W, U, b = (size * rng.standard_normal(s) for s in ((3, 3), (3, 2), 3))
        for single in (False, True):
            *new, moved = forget_rows(W, U, b, rate=0.9, forget=0.7, input_bound=1.0, single=single)
            assert np.all(moved)
            again = forget_rows(*new, rate=0.9, forget=0.7, input_bound=1.0, single=single)
            assert not np.any(again[-1])


@pytest.mark.parametrize("size", [1e8, 1e12, 1e20])
@pytest.mark.parametrize("kind", ["published", "per unit", "reset_after", "reset_before"])
@pytest.mark.parametrize("seeds", [(0,), pytest.param((1, 2, 3), marks=pytest.mark.heavy)])
def test_huge_cells(size, kind, seeds):
    options = {"onto": "lstm", "per_unit": kind == "per unit"}
    for seed in seeds:
        if kind.startswith("reset"):
            cell, options = gru(seed, 3, size=size, variant=kind), {"onto": "gru"}
        else:
            cell = lstm(seed, 3, size=size)
        if kind == "per unit" and size > 1e13:
            # biases far below zero allow far too wide gates, whose sums have no digits of 1
            with pytest.raises(ArithmeticError, match="too large for double precision"):
                project(cell, rate=0.9, **options)
            continue
        made = project(cell, rate=0.9, **options)
        assert made.certificate.lam <= 0.9
        assert made.gap < (1e-6 if kind == "published" else 0.7)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e5, 1e15, 1e30])
def test_nearest_rows_of_all_sizes(size):
    """Inside to rounding and not beyond: one of two limits holds with equality."""
    rng = np.random.default_rng(0)
    m = 50
    factors = np.zeros((m, 2, 2))
    factors[:, 0, 0], factors[:, 1, :] = 1.0, 1.0
    where = RowLimits(
        starts=np.array([0, 2, 4]), factors=factors, v=np.ones((2, 4)),
        limits=np.tile([0.06, 0.847], (m, 1)), signed=np.zeros(2),
    )  # fmt: skip
    X = size * rng.standard_normal((m, 4))
    Y, tau = nearest_rows(X, where)
    assert np.all(sums(Y, where) <= where.limits * (1 + 1e-14))
    assert np.all(np.abs(Y) <= np.abs(X))
    if size >= 1.0:
        assert np.all(np.abs(Y[:, 2:]).sum(axis=1) > 0)
    assert rows_lower(X, Y, where, tau) == pytest.approx(np.linalg.norm(X - Y), rel=1e-9)


def test_rates_without_room():
    for onto, cell in (("lstm", lstm(0, 2)), ("gru", gru(0, 2))):
        with pytest.raises(ValueError, match="at least 1/2"):
            project(cell, onto=onto, rate=0.5 + 2.0**-51)
        assert project(cell, onto=onto, rate=0.5 + 2.0**-29).certificate.lam < 0.51


@pytest.mark.parametrize(
    ("kind", "size", "seed", "sweeps"),
    [("published", 1e14, 10, 0), ("published", 1e15, 6, 1), ("per unit", 1e15, 10, 0),
     ("gru", 1e15, 2, 1)],
)  # fmt: skip
def test_where_newton_steps_have_no_digits(kind, size, seed, sweeps):
    """Both ways end, with an error of the digits that such rows have."""
    X, where = rows(seed, 2, 1, kind, size), limits(seed, 2, 1, kind)
    out, tau = np.empty_like(X), np.zeros_like(where.limits)
    arrays = (where.factors, where.v, where.limits)
    count = row_limits_kernel(
        X.copy(), where.starts, *(np.ascontiguousarray(a) for a in arrays), where.signed, out, tau
    )
    assert count == sweeps
    assert np.max(sums(out, where) - where.limits) <= 64 * 2.0**-53 * size


def test_limits_that_nothing_obeys():
    where = RowLimits(
        starts=np.array([0, 2]), factors=np.ones((1, 1, 1)), v=np.ones((1, 2)),
        limits=np.array([[-1.0]]), signed=np.zeros(1),
    )  # fmt: skip
    Y, _ = nearest_rows(np.array([[3.0, -1.0]]), where)
    assert np.array_equal(Y, np.zeros((1, 2)))
