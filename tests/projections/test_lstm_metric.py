"""The Euclidean set of LSTM cells: proofs, sharpness, what it holds that sums of rows do not."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs import stretched
from scipy.linalg import hadamard

from theory import GRU, LSTM, Inputs, VanillaRNN
from theory.certify import invariant_domain
from theory.certify.gate_bounds import certify
from theory.projections import project
from theory.projections.lstm_metric import Scales, metric_proof
from theory.theorems.contractive_of_sectors import contractive_of_sectors


def lstm(seed, n, m=2, size=1.0):
    rng = np.random.default_rng(seed)
    return LSTM(*(rng.standard_normal(s) * size for s in ((4 * n, n), (4 * n, m), 4 * n)))


def integrator(W_g, forget, n):
    """Return open gates, forget gates of one value, and candidates that read W_g h."""
    z = np.zeros((n, n))
    b = np.concatenate([np.full(n, b) for b in (20.0, math.log(forget / (1 - forget)), 0.0, 20.0)])
    return LSTM(np.vstack([z, z, W_g, z]), np.zeros((4 * n, 1)), b)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1), n=st.integers(1, 5),
    size=st.sampled_from([0.1, 0.5, 1.0, 3.0, 10.0, 100.0]),
    rate=st.sampled_from([0.6, 0.9, 0.98, 0.999]), method=st.sampled_from(["auto", "closed_form"]),
)  # fmt: skip
def test_projected_cells_contract_in_their_norm(seed, n, size, rate, method):
    """Between states of the domain, drawn and at its corners; members have no distance."""
    cell = lstm(seed, n, size=size)
    made = project(cell, onto="lstm_l2", rate=rate, method=method)
    c = made.certificate
    assert c.lam <= rate
    assert made.lower <= made.distance * (1 + 1e-12)
    assert project(made.map, onto="lstm_l2", rate=rate, method=method).map is made.map
    for before, after in stretched(made.map, c, np.random.default_rng(seed)):
        assert np.all(after <= rate * before * (1 + 1e-9) + 1e-12)


@pytest.mark.parametrize("forget", [0.3, 0.9])
def test_the_set_is_sharp(forget):
    """A unit that integrates what it reads of itself contracts no faster than f + w."""
    for share in (0.98, 0.99):
        cell = integrator(np.array([[(0.95 - forget) * share]]), forget, 1)
        assert metric_proof(cell, 0.95, 1.0).lam == 0.95
    cell = integrator(np.array([[(0.95 - forget) * 1.001]]), forget, 1)
    J = cell.jacobian_state(np.zeros(2), np.zeros(1))
    assert max(abs(np.linalg.eigvals(J))) > 0.95
    assert metric_proof(cell, 0.95, 1.0) is None
    made = project(cell, onto="lstm_l2", rate=0.95)
    assert 0 < made.distance < 0.01


def test_rotations_are_in_this_set_alone():
    """Sums of the rows of a Hadamard matrix are sqrt(n) times its norm."""
    n = 16
    Q = hadamard(n)
    cell = integrator(0.3 / math.sqrt(n) * Q, 0.6, n)
    assert metric_proof(cell, 0.95, 1.0) is not None
    c = certify(cell, 1.0)
    assert c is None or c.lam > 0.95
    assert project(cell, onto="lstm_l2", rate=0.95).map is cell
    assert project(cell, onto="lstm", rate=0.95, per_unit=True).distance > 0.5


def test_weights_far_apart_are_balanced():
    """Units in other units of measurement: h_j -> t_j h_j where gates are nearly linear."""
    W_g = np.array([[0.0, 3.0], [0.003, 0.0]])
    cell = integrator(W_g, 0.5, 2)
    assert np.linalg.norm(W_g, 2) > 1
    assert metric_proof(cell, 0.95, 1.0) is not None


def test_large_cells_are_nearer_than_by_sums_of_rows():
    cell = lstm(0, 48, size=1 / math.sqrt(48))
    made = project(cell, onto="lstm_l2", rate=0.9)
    clipped = project(cell, onto="lstm_l2", rate=0.9, method="closed_form")
    other = project(cell, onto="lstm", rate=0.9, per_unit=True)
    assert made.distance < clipped.distance < 1.1 * made.distance
    assert made.distance < 0.99 * other.distance


def test_single_precision_and_the_bound_that_was_asked():
    cell = lstm(3, 6)
    for forget in (0.2, 0.7):
        made = project(cell, onto="lstm_l2", rate=0.9, forget=forget, dtype="float32")
        f = made.map.gate("f")
        top = np.sum(np.abs(f[0]), 1) + np.sum(np.abs(f[1]), 1) + f[2]
        assert np.max(1 / (1 + np.exp(-top))) <= forget
        assert made.certificate.lam <= 0.9
        for a in made.map.parameters.values():
            assert np.array_equal(a, a.astype(np.float32))


def test_a_wide_gate_is_a_distance_that_no_member_escapes():
    cell = LSTM(np.zeros((4, 1)), np.zeros((4, 1)), [0.0, 9.0, 0.0, 0.0])
    made = project(cell, onto="lstm_l2", rate=0.9)
    least = 9 - math.log(9)
    assert made.lower == pytest.approx(least, rel=1e-9)
    assert made.distance < 1.1 * least
    assert made.map.b[1] < math.log(9)


def test_the_ball_is_where_the_metric_proves_the_worst_gates():
    """Sectors as wide as the derivation has them: just inside holds, just outside does not."""
    cell, rate = lstm(5, 3, size=0.3), 0.98
    domain = invariant_domain(cell, inputs=Inputs.box(-1, 1))
    sectors, n = cell.sectors(domain), 3
    size = np.stack([np.max(np.abs(one.range), axis=0) for one in sectors.terms])
    wide = [one._replace(range=(-s, s)) for one, s in zip(sectors.terms, size, strict=True)]
    given_ = {"forget": size[0], "gains": size[1:4], "out": size[4], "last": size[5]}
    scales = Scales.around(cell.W, rate, **given_)
    P, q = scales.metric(rate)
    for factor, holds in ((0.9999, True), (1.0001, False)):
        V = np.split(cell.W * (rate * factor / scales.within(cell.W, rate)), 4)
        gates = {1: V[0], 2: V[1], 3: V[2], 5: V[3]}
        terms = tuple(
            one._replace(reads=((1, gates[k]),)) if k in gates else one
            for k, one in enumerate(wide)
        )
        made = type(sectors)(units=n, state_parts=2, terms=terms)
        c = contractive_of_sectors(made, P=np.diag(P), q=q.ravel(), rate=rate * (1 + 1e-5))
        assert (c is not None) == holds


def test_huge_cells():
    for seed, size in enumerate((1e3, 1e8, 1e12)):
        made = project(lstm(seed, 3, size=size), onto="lstm_l2", rate=0.9)
        assert made.certificate.lam <= 0.9
        assert made.gap < 0.99


def test_malformed_questions():
    cell = lstm(0, 2)
    for change, message in (
        ({"method": "cvxpy"}, "has no set 'lstm_l2'"),
        ({"forget": 0.9}, "below the rate"),
        ({"per_unit": True}, "per_unit= is an option"),
        ({"metric": (np.eye(4), np.ones(4))}, "metric= is an option"),
    ):
        with pytest.raises(ValueError, match=message):
            project(cell, onto="lstm_l2", rate=0.9, **change)
    others = (VanillaRNN([[0.5]], [[1.0]]), GRU(np.zeros((3, 1)), np.zeros((3, 1))))
    for other in others:
        with pytest.raises(ValueError, match="is a set of LSTM cells"):
            project(other, onto="lstm_l2", rate=0.9)
