"""The four questions, asked of contractive_of_gate_norms, and where the published form is loose."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from questions import (
    Asked,
    is_sharp,
)

from theory import GRU, LSTM, Linf, verify
from theory.arithmetic.rounding import UNIT
from theory.campaign.recipes.gated import (
    candidate_steep,
    forget_driven,
    forget_turning,
    lstm_far,
    lstm_row_sums,
)
from theory.maps.invariance import is_invariant
from theory.theorems import contractive_of_comparison, contractive_of_gate_norms
from theory.theorems.contractive_of_gate_norms import (
    CONTRACTIVE_OF_GATE_NORMS,
    GateNorms,
    formula,
    gate_norms,
)
from theory.trials.verdict import Outcome

seeds = st.integers(0, 2**32 - 1)


def test_sharp_without_recurrent_weights():
    # the forget gate is as far open as it can be; its bound is raised to make room for rounding
    is_sharp(
        CONTRACTIVE_OF_GATE_NORMS,
        forget_driven(np.random.default_rng(0)),
        slack=2.0**-22,
    )


def test_nearly_sharp_in_the_weights_of_the_candidate():
    # the input gate is sigma(12), 6e-6 from 1
    is_sharp(CONTRACTIVE_OF_GATE_NORMS, candidate_steep(np.random.default_rng(0)), slack=2e-5)


def broken():
    rng = np.random.default_rng(1)
    # a GRU whose gate z is no forget gate of an LSTM: 0.95 against the 1/2 of no weights
    gru = GRU(np.zeros((3, 1)), np.zeros((3, 1)), [0.0, 3.0, 0.0])
    stretch = abs(gru.step(np.ones(1), np.zeros(1)) - gru.step(np.zeros(1), np.zeros(1)))[0]
    # in the sum norm c -> (f c, o tanh f c) stretches by f (1 + o) near 0
    stretched = 0.9 * (1 + 0.99)
    return {
        "lstm_cell": (stretch, formula(0.5, 0.0, 0.0, 0.0, 0.0)),
        "in_domain": lstm_far(rng),
        "maximum_norm": (stretched, formula(0.9, 0.0, 0.0, 0.0, 0.0)),
    }


def witnesses():
    rng = np.random.default_rng(2)
    return {
        "forget gates at rest in place of the largest": forget_driven(rng),
        "the forget gate does not move: W_f left out": forget_turning(rng),
        "slope of the candidate 1/4 instead of 1": candidate_steep(rng),
        "states outside the domain": lstm_far(rng),
    }


ASKED = Asked(
    made=seeds.map(lambda seed: lstm_row_sums(np.random.default_rng(seed))),
    extremes=None,
    broken=broken,
    witnesses=witnesses,
)


@given(seeds)
def test_typed_function(seed):
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(1, 5)), int(rng.integers(1, 3))
    W, U, b = (
        rng.standard_normal((4 * n, n)) * 0.1 / n,
        0.1 * rng.standard_normal((4 * n, m)),
        0.1 * rng.standard_normal(4 * n),
    )
    norms, found = (f(W, U, b, input_bound=1.0) for f in (gate_norms, contractive_of_gate_norms))
    if found is None:
        assert norms.forget == 1 or formula(*norms) >= 1 - 8 * UNIT
        return
    assert found.lam == pytest.approx(formula(*norms), rel=1e-12)
    assert found.norm.label == "Linf"
    # its box is seen to be invariant, as a file's recheck will
    assert is_invariant(LSTM(W, U, b), found.domain)
    # below 1 exactly if the mean of the slacks is
    assert (sum(norms.slacks) < 4) == (found.lam < 1)
    assert not norms.published or found.lam < 1


def test_boundary_cases():
    zero = contractive_of_gate_norms(np.zeros((4, 1)), np.zeros((4, 1)), input_bound=0.0)
    assert zero.lam == pytest.approx(0.5, rel=1e-7)
    assert contractive_of_gate_norms(np.zeros((4, 1)), np.ones((4, 1)), input_bound=1e3) is None
    assert GateNorms(1.0, 0.1, 0.1, 0.1, 0.1).slacks == (math.inf,) * 4
    assert not GateNorms(1.0, 0.0, 0.0, 0.0, 0.0).published


# ------------------------------------------------------------------------------------------ oracles

#: The constants of the published experiments, as recalled.
F64 = GateNorms(0.64, 0.36, 0.128, 0.09, 0.36)


def test_the_recalled_constants_nearly_exhaust_the_row_sums():
    # A5.lam_row_f64, A5.k_row
    lam = formula(*F64)
    assert lam == pytest.approx(0.9988888888888889, rel=1e-12)
    assert math.ceil(math.log(1e-3) / math.log(lam)) == 6214
    # 0.128 <= 0.36**2 = 0.1296 within the published set, whose boundary is the factor 1
    assert F64.slacks == pytest.approx((1.0, 1.0, 0.128 / 0.1296, 1.0), rel=1e-12)
    assert formula(0.64, 0.36, 0.36**2, 0.09, 0.36) == pytest.approx(1.0, rel=1e-12)


def test_two_rows_of_the_same_constants_forget_57_times_faster():
    # A5.rho_f64, A5.k_perron: the comparison matrix whose row sums are the factor above
    f, W_i, W_f, W_z, W_o = F64
    alpha = W_i / 4 + W_z + W_f / (4 * (1 - f))
    M = np.array([[f, alpha], [f, alpha + W_o / 4]])
    assert np.max(M.sum(axis=1)) == pytest.approx(formula(*F64), rel=1e-12)
    found = contractive_of_comparison([M])
    assert found.lam == pytest.approx(0.9374453041312946, rel=1e-8)
    kappa = found.norm.v.max() / found.norm.v.min()
    assert kappa == pytest.approx(1.106202, rel=1e-6)
    assert math.ceil(math.log(1e-3 / kappa) / math.log(found.lam)) == 109


def test_the_published_set_touches_the_factor_1():
    """A.12 c: almost every boundary point of the set for f = .999 has a factor of nearly 1."""
    rng = np.random.default_rng(3)
    f = 0.999
    shares = rng.random((1000, 4))
    shares[np.arange(1000), rng.integers(0, 4, 1000)] = 1.0
    rates = [
        formula(f, i * (1 - f), g * (1 - f) ** 2, z * (1 - f) / 4, o * (1 - f))
        for i, g, z, o in shares
    ]
    # the slacks enter with the factor (1 - f) / 4 each: no margin comes from being inside
    assert np.max(rates) <= 1.0
    assert np.min(rates) >= f


def test_no_iterate_contracts_outside_the_box():
    """A.12 d: one unit, only W_f = .2: the stretch grows with c without bound."""
    cell = lstm_far(np.random.default_rng(0)).map.with_parameters(W=[[0], [0.2], [0], [0]])
    assert gate_norms(**cell.parameters, input_bound=0.0).slacks[2] < 1
    # as published, with the closed form of the gate's bound
    assert 0.2 < (1 - 0.5498) ** 2
    for c, stretch in ((10.0, 0.50), (100.0, 4.98), (1000.0, 49.8)):
        # |h| <= 1 on both sides
        moved = cell.step(np.array([c, 0.5]), np.zeros(1)) - cell.step(
            np.array([c, -0.5]), np.zeros(1)
        )
        assert abs(moved[0]) == pytest.approx(stretch, rel=5e-3)
    found = contractive_of_gate_norms(**cell.parameters, input_bound=0.0)
    made = lstm_far(np.random.default_rng(0))
    assert not found.domain.contains_states(made.start)
    assert verify(CONTRACTIVE_OF_GATE_NORMS, made).outcome is Outcome.NOT_APPLICABLE


def test_one_step_is_no_contraction_in_the_euclidean_norm():
    """A.12 e, A5.jac_norm_C2: d = 1, all W = 0, f = .9, o = sigma(10): the norm is 1.2728."""
    logit = math.log(0.9 / 0.1)
    cell = LSTM(np.zeros((4, 1)), np.zeros((4, 1)), [0.0, logit, 0.0, 10.0])
    J = cell.jacobian_state(np.zeros(2), np.zeros(1))
    assert np.linalg.norm(J, 2) == pytest.approx(1.2727633154369609, rel=1e-12)
    # in the maximum norm one step contracts
    found = contractive_of_gate_norms(**cell.parameters, input_bound=0.0)
    assert found.lam == pytest.approx(0.9, rel=1e-6)
    # A5.min_r_d1: K lam^r with K = sqrt(2 d)
    assert next(r for r in range(1, 99) if math.sqrt(2) * 0.9**r < 1) == 4


@pytest.mark.parametrize(("d", "least"), [(64, 4), (256, 6), (1024, 8)])
def test_the_number_of_steps_must_grow_with_the_logarithm_of_the_dimension(d, least):
    """A.12 e and m, A5.min_r_d1024: W_z = 1/8 in its first column."""
    W, b = np.zeros((4 * d, d)), np.zeros(4 * d)
    W[2 * d : 3 * d, 0] = 0.125
    b[:d] = b[3 * d :] = 10.0
    cell = LSTM(W, np.zeros((4 * d, 1)), b)
    J = cell.jacobian_state(np.zeros(2 * d), np.zeros(1))
    # units 2 .. d are alike: J acts on (c_1, mean of the other c, h_1, mean of the other h), and
    # on what is orthogonal to these it multiplies c by f = 1/2 and copies it to h
    Q = np.zeros((2 * d, 4))
    Q[0, 0] = Q[d, 2] = 1.0
    Q[1:d, 1] = Q[d + 1 :, 3] = 1 / math.sqrt(d - 1)
    small = Q.T @ J @ Q
    assert np.allclose(J @ Q, Q @ small, rtol=0, atol=1e-12)

    def norm(r):
        return max(np.linalg.norm(np.linalg.matrix_power(small, r), 2), math.sqrt(2) * 0.5**r)

    assert next(r for r in range(1, 20) if norm(r) < 1) == least
    # the sufficient number of steps, from K = sqrt(2 d) and the sup-norm rate at the fixed point
    lam = float(Linf().matrix_upper(J))
    enough = math.log(math.sqrt(2 * d)) / math.log(1 / lam)
    assert least <= math.floor(enough) + 1


def test_malformed_questions():
    W, U = np.zeros((4, 1)), np.zeros((4, 1))
    for bad in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="input_bound="):
            contractive_of_gate_norms(W, U, input_bound=bad)
    with pytest.raises(ValueError, match="U"):
        contractive_of_gate_norms(W, np.zeros((3, 1)), input_bound=1.0)
