"""The Euclidean set of GRU cells: proofs, sharpness, what it holds that sums of rows do not."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs import stretched
from scipy.linalg import hadamard

from theory import GRU, LSTM, Inputs, VanillaRNN
from theory.certify import invariant_domain
from theory.certify.certificate_file import load_certificate, save_certificate
from theory.certify.gate_bounds import certify
from theory.certify.recheck import recheck
from theory.projections import project
from theory.projections.gru_metric import Ranges, Scales, metric_proof
from theory.theorems.contractive_of_sectors import contractive_of_sectors


def gru(seed, n, m=2, size=1.0, **options):
    rng = np.random.default_rng(seed)
    shapes = ((3 * n, n), (3 * n, m), 3 * n, n)
    return GRU(*(rng.standard_normal(s) * size for s in shapes), **options)


def keeper(W_n, update, n, W_z=0.0):
    """Return open reset gates, update gates of one value, and candidates that read W_n h."""
    z = np.zeros((n, n))
    b = np.concatenate([np.full(n, b) for b in (20.0, math.log(update / (1 - update)), 0.0)])
    return GRU(np.vstack([z, z + W_z, W_n]), np.zeros((3 * n, 1)), b)


@settings(max_examples=12)
@given(
    seed=st.integers(0, 2**32 - 1), n=st.integers(1, 5),
    size=st.sampled_from([0.1, 0.5, 1.0, 3.0, 10.0, 100.0]),
    rate=st.sampled_from([0.6, 0.9, 0.98, 0.999]), method=st.sampled_from(["auto", "closed_form"]),
)  # fmt: skip
def test_projected_cells_contract_in_their_norm(seed, n, size, rate, method):
    """Between states of the domain, drawn and at its corners; members have no distance."""
    cell = gru(seed, n, size=size)
    made = project(cell, onto="gru_l2", rate=rate, method=method)
    c = made.certificate
    assert c.lam <= rate
    assert made.lower <= made.distance * (1 + 1e-12)
    assert project(made.map, onto="gru_l2", rate=rate, method=method).map is made.map
    for before, after in stretched(made.map, c, np.random.default_rng(seed)):
        assert np.all(after <= rate * before * (1 + 1e-9) + 1e-12)


@pytest.mark.parametrize("update", [0.05, 0.3, 0.9])
def test_the_set_is_sharp(update):
    """A unit that reads itself contracts no faster than z + (1 - z) w."""
    most = (0.95 - update) / (1 - update)
    assert metric_proof(keeper(np.array([[0.99 * most]]), update, 1), 0.95, 1.0).lam == 0.95
    cell = keeper(np.array([[most * 1.001]]), update, 1)
    assert abs(cell.jacobian_state(np.zeros(1), np.zeros(1))[0, 0]) > 0.95
    assert metric_proof(cell, 0.95, 1.0) is None
    made = project(cell, onto="gru_l2", rate=0.95)
    assert 0 < made.distance < 0.01 * most


def test_gates_that_vary_cost_what_they_must():
    """Two units at z and at 0, the one reading the other: at least z^2 + w^2, if each may be both.

    The set has z / (2 - z) in place of z^2, for rates of 1.
    """
    one = np.ones(1)
    for z in (0.3, 0.6, 0.9):
        at = Ranges(low=0.0 * one, high=z * one, gains=np.array([[0.0], [0.0], [1.0]]))
        rate = 1 - 1e-9
        w = 1 / Scales.around(one[:, None] * [[0.0], [0.0], [1.0]], rate, at).within(
            np.array([[0.0], [0.0], [1.0]]), rate
        )
        assert w**2 == pytest.approx(1 - z / (2 - z), rel=0.01)
        assert w**2 < 1 - z**2


def test_rotations_are_in_this_set_alone():
    """Sums of the rows of a Hadamard matrix are sqrt(n) times its norm."""
    n = 16
    Q = hadamard(n)
    cell = keeper(0.8 / math.sqrt(n) * Q, 0.4, n)
    assert metric_proof(cell, 0.95, 1.0) is not None
    c = certify(cell, 1.0)
    assert c is None or c.lam > 0.95
    assert project(cell, onto="gru_l2", rate=0.95).map is cell
    assert project(cell, onto="gru", rate=0.95, per_unit=True).distance > 0.5


def test_weights_far_apart_are_balanced():
    """Units in other units of measurement: h_j -> t_j h_j where gates are nearly linear."""
    W_n = np.array([[0.0, 9.0], [0.009, 0.0]])
    cell = keeper(W_n, 0.3, 2)
    assert np.linalg.norm(W_n, 2) > 1
    assert metric_proof(cell, 0.95, 1.0) is not None


def test_large_cells_are_nearer_than_by_sums_of_rows():
    cell = gru(0, 48, size=1 / math.sqrt(48))
    made = project(cell, onto="gru_l2", rate=0.95, forget=0.7)
    clipped = project(cell, onto="gru_l2", rate=0.95, forget=0.7, method="closed_form")
    other = project(cell, onto="gru", rate=0.95, per_unit=True)
    assert clipped.distance < 1.1 * made.distance < 1.2 * clipped.distance
    assert max(made.distance, clipped.distance) < 0.995 * other.distance


def test_single_precision_and_the_bound_that_was_asked():
    cell = gru(3, 6)
    for update in (0.2, 0.7):
        made = project(cell, onto="gru_l2", rate=0.9, forget=update, dtype="float32")
        z = made.map.gate("z")
        top = np.sum(np.abs(z[0]), 1) + np.sum(np.abs(z[1]), 1) + z[2]
        assert np.max(1 / (1 + np.exp(-top))) <= update
        assert made.certificate.lam <= 0.9
        for a in made.map.parameters.values():
            assert np.array_equal(a, a.astype(np.float32)) or a is cell.b_candidate


def test_a_wide_gate_is_a_distance_that_no_member_escapes():
    cell = GRU(np.zeros((3, 1)), np.zeros((3, 1)), [0.0, 9.0, 0.0])
    made = project(cell, onto="gru_l2", rate=0.9)
    least = 9 - math.log(9)
    assert made.lower == pytest.approx(least, rel=1e-9)
    assert made.distance < 1.1 * least
    assert made.map.b[1] < math.log(9)


@pytest.mark.parametrize("seed", [5, 6, 7])
def test_the_ball_is_where_the_metric_proves_the_worst_gates(seed):
    """Sectors as wide as the derivation has them: just inside holds, just outside does not."""
    cell, rate, n = gru(seed, 3, size=0.3), 0.98, 3
    domain = invariant_domain(cell, inputs=Inputs.box(-1, 1))
    sectors = cell.sectors(domain)
    at = Ranges.within(sectors)
    scales = Scales.around(cell.W, rate, at)
    order = (2, 0, None, 1)  # the gates of the sectors n, r, z and W_z
    q = scales.multipliers(rate, (at.low, at.high))
    for factor, holds in ((0.9999, True), (1.0001, False)):
        V = np.split(cell.W * (factor / scales.within(cell.W, rate)), 3)
        terms = tuple(
            one if g is None
            else one._replace(reads=((0, V[g]),), range=(-scales.gains[g], scales.gains[g]))
            for one, g in zip(sectors.terms, order, strict=True)
        )  # fmt: skip
        made = type(sectors)(units=n, state_parts=1, terms=terms, direct=sectors.direct)
        P = np.diag(scales.metric(rate))
        c = contractive_of_sectors(made, P=P, q=q.ravel(), rate=rate * (1 + 1e-5))
        assert (c is not None) == holds
    # another multiplier of z: nothing is proved at the border
    V = np.split(cell.W * (0.9999 / scales.within(cell.W, rate)), 3)
    q[2] *= 1.5
    assert contractive_of_sectors(made, P=P, q=q.ravel(), rate=rate * (1 + 1e-5)) is None


def test_ends_of_the_update_gate_share_what_is_left():
    """z^2 u + (1 - z)^2 v + t <= 1 at both ends, with u beyond 1 / rate^2, and no better one."""
    rng = np.random.default_rng(0)
    n, rate = 40, 0.97
    ends = np.sort(rng.uniform(0, rate, (2, n)), axis=0)
    ends[0, :10], ends[0, 10:15] = 0.0, ends[1, 10:15]
    gains = rng.uniform(0.01, 2.0, (3, n))
    at = Ranges(low=ends[0], high=ends[1], gains=gains)
    W = np.concatenate([np.eye(n)] * 3)
    made = Scales.around(W, rate, at)
    u, v, t = made.u, made.v, made.t
    z = np.linspace(*ends, 50)
    assert np.max(z**2 * u + (1 - z) ** 2 * v + t) <= 1 + 1e-12
    assert np.all(u * rate**2 > 1)
    # of a diagonal W^T D W the weights p do not matter
    Y, C = gains[0] + gains[2], gains[1]
    cost = (Y**2 / v + C**2 / t) / (rate**2 - 1 / u)
    for _ in range(2000):
        U, V, T = (x * np.exp(rng.normal(0, rng.choice([0.02, 0.3]), n)) for x in (u, v, t))
        most = np.max(z**2 * U + (1 - z) ** 2 * V + T, axis=0)
        U, V, T = U / most, V / most, T / most
        left = rate**2 - 1 / U
        with np.errstate(divide="ignore"):
            other = np.where(left > 0, (Y**2 / V + C**2 / T) / left, np.inf)
        assert np.all(other > cost * (1 - 5e-3))


@pytest.mark.parametrize("size", [0.3, 3.0])
def test_certificates_round_trip(size, tmp_path):
    made = project(gru(4, 4, size=size), onto="gru_l2", rate=0.9)
    path = tmp_path / "c.json"
    save_certificate(path, made.map, c=made.certificate)
    stored = load_certificate(path)
    assert recheck(stored, made.map), recheck(stored, made.map)
    lower = replace(stored, multipliers=tuple(0.5 * q for q in stored.multipliers))
    assert recheck(lower, made.map).failed == "inequality"


def test_huge_cells():
    for seed, size in enumerate((1e3, 1e8, 1e12)):
        made = project(gru(seed, 3, size=size), onto="gru_l2", rate=0.9)
        assert made.certificate.lam <= 0.9
        assert made.gap < 0.99


def test_bounds_at_the_very_rate():
    """A bound that leaves next to nothing for the weights is taken a little lower."""
    made = project(gru(1, 3), onto="gru_l2", rate=0.9, forget=0.9 * (1 - 1e-12))
    assert made.certificate.lam <= 0.9


def test_malformed_questions():
    cell = gru(0, 2)
    for change, message in (
        ({"method": "cvxpy"}, "has no set 'gru_l2'"),
        ({"forget": 0.9}, "below the rate"),
        ({"per_unit": True}, "per_unit= is an option"),
        ({"metric": (np.eye(2), np.ones(2))}, "metric= is an option"),
    ):
        with pytest.raises(ValueError, match=message):
            project(cell, onto="gru_l2", rate=0.9, **change)
    for other in (VanillaRNN([[0.5]], [[1.0]]), LSTM(np.zeros((4, 1)), np.zeros((4, 1)))):
        with pytest.raises(ValueError, match="is a set of GRU cells"):
            project(other, onto="gru_l2", rate=0.9)
    before = GRU(cell.W, cell.U, cell.b, variant="reset_before")
    with pytest.raises(ValueError, match="onto='gru' takes it"):
        project(before, onto="gru_l2", rate=0.9)
