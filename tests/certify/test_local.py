"""Certificates on a box: where slopes are those that are met, and nowhere else."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, target
from hypothesis import strategies as st

from theory import (
    L1,
    L2,
    Contraction,
    Domain,
    Inputs,
    LinearMap,
    Linf,
    VanillaRNN,
    WeightedL1,
    WeightedL2,
    WeightedLinf,
    contraction,
    experiment,
    refute,
    required_context,
    truncation_gaps,
    verify,
)
from theory.arithmetic.activations import TANH, slope_intervals
from theory.arithmetic.rounding import UNIT
from theory.certify import contractions, invariant_domain, judge_contraction
from theory.certify.interface import domain_of
from theory.memory.context import error_curve
from theory.norms.norms import scaled_matrix_upper
from theory.theorems import THEOREMS, contractive_of_matrix_norm, state_gap
from theory.trials import Outcome

#: Spectral radius 1.587: not contractive everywhere, whatever the norm (B.4).
LARGE = np.array([[1.6, -0.4], [0.3, 1.5]])


def biased(activation="tanh"):
    return VanillaRNN(LARGE, np.eye(2), [2.0, 2.0], activation)


# -------------------------------------------------------------------------------------- examples


def test_a_map_with_a_local_certificate_and_no_global_one():
    cell = biased()
    assert contraction(cell) is None
    assert judge_contraction(cell).answer == "refuted"
    c = contraction(cell, inputs=Inputs.box(-0.1, 0.1))
    assert c.domain is not None
    assert c.lam < 0.5
    assert c.evidence.kind == "certified"
    # states start at 0, which is in the box, and never leave it
    X = np.random.default_rng(0).uniform(-0.1, 0.1, (300, 2))
    assert c.domain.contains_states(cell.simulate(X))
    assert c.holds_for(np.zeros(2), X)
    assert not c.holds_for(np.zeros(2), 2 * X)
    drive = cell.drive(c.norm, inputs=X)
    gaps = truncation_gaps(cell, X, k_max=12, norm=c.norm)
    assert all(gaps[k] <= state_gap(c, k=k, drive=drive) for k in range(13))
    # larger inputs reach pre-activations near 0, where slopes are 1
    assert contraction(cell, inputs=Inputs.box(-3.0, 3.0)) is None


def test_small_slopes_along_one_trajectory_certify_nothing():
    # A.12, B.4: h <- tanh(2 h) has slope .1664 at its fixed point .957504, yet a restarted run
    # stays at 0: the gap never falls.  Every box holds 0, and there the slope is 2
    cell = VanillaRNN([[2.0]], [[1.0]])
    x = np.zeros((60, 1))
    settled = cell.simulate(x, [0.1])[-1]
    assert settled == pytest.approx(0.957504, abs=1e-6)
    assert float(cell.jacobian_state(settled, x[0])[0, 0]) == pytest.approx(0.1664, abs=1e-4)
    gap = truncation_gaps(cell, x, k_max=50, h0=settled)
    assert gap[50] == pytest.approx(0.957504, abs=1e-6)
    assert contraction(cell, inputs=Inputs.box(-0.0, 0.0)) is None
    with pytest.raises(ValueError, match="holds 0"):
        Domain(low=settled - 0.01, high=settled + 0.01, input_low=[0.0], input_high=[0.0])


def test_every_method_knows_the_slopes_of_the_box():
    cell = VanillaRNN(LARGE, np.eye(2), [3.0, 3.0])
    found = contractions(cell, inputs=Inputs.box(-0.1, 0.1), iterates=True)
    assert set(found) >= {
        "row_sums", "column_sums", "spectral", "perron", "numerical_radius", "diagonal", "lmi",
        "iterate",
    }  # fmt: skip
    low, high = cell.slopes(found["lmi"].domain)
    assert low.min() > 0
    for name, c in found.items():
        assert c.domain.same_as(found["lmi"].domain), name
        assert c.lam < 0.2, name
    steep = high[:, None] * LARGE
    assert found["spectral"].lam == pytest.approx(np.linalg.norm(steep, 2), rel=1e-9)
    assert found["row_sums"].lam == pytest.approx(np.linalg.norm(steep, np.inf), rel=1e-12)
    assert found["column_sums"].lam == pytest.approx(np.linalg.norm(steep, 1), rel=1e-12)
    radius = np.max(np.abs(np.linalg.eigvals(np.abs(steep))))
    assert found["perron"].lam == pytest.approx(radius, rel=1e-6)


def test_units_that_are_always_active_make_a_linear_map():
    W = np.array([[0.5, 5.0], [0.0, 0.5]])
    cell = VanillaRNN(W, np.eye(2), [20.0, 20.0], "relu")
    c = contraction(cell, inputs=Inputs.box(-1.0, 1.0), method="lyapunov")
    assert 0.5 < c.lam < 0.51
    assert contraction(cell, method="lyapunov") is None
    assert contraction(cell, inputs=Inputs.box(-1.0, 1.0), method="iterate").iterate > 1
    # and flat ones a constant
    flat = VanillaRNN(LARGE, np.eye(2), [9.0, -9.0], "hard_tanh")
    assert contraction(flat, inputs=Inputs.box(-1.0, 1.0)).lam == 0.0


# ------------------------------------------------------------------------------ never contradicted


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 4),
    st.sampled_from(["tanh", "sigmoid", "hard_tanh", "sin", "relu", "softplus"]),
)
@example(1832, 2, "relu")  # no unit is ever active: the box is one point
def test_no_local_certificate_is_contradicted_by_a_pair_of_states(seed, n, name):
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((n, n)) * rng.choice([0.3, 1.0, 2.0])
    cell = VanillaRNN(W, rng.standard_normal((n, 2)), 3 * rng.standard_normal(n), name)
    domain = invariant_domain(cell, inputs=Inputs.box(-0.3, 0.3))
    if domain is None:  # an unbounded activation with large weights: no box, no local certificate
        assert name in {"relu", "softplus"}
        return
    # corners and the inside of the box
    h, g = (
        np.where(rng.random((60, n)) < 0.5, rng.uniform(domain.low, domain.high, (60, n)), corner)
        for corner in (domain.low, domain.high)
    )
    h[:20] = g[:20] + 1e-3 * (rng.random((20, n)) - 0.5)
    h = np.clip(h, domain.low, domain.high)
    x = rng.uniform(-0.3, 0.3, (60, 2))
    share = 0.0
    for method in ("row_sums", "column_sums", "spectral", "perron", "numerical_radius", "diagonal"):
        c = contraction(cell, method=method, domain=domain)
        if c is None:
            continue
        before, after = c.norm.vector(g - h), c.norm.vector(cell.step(g, x) - cell.step(h, x))
        size = np.max(np.abs(np.vstack([g, h])), axis=0)
        error = 2 * c.norm.majorant(cell.step_error(size, np.max(np.abs(x), axis=0)))
        error += 2 * c.norm.majorant(4 * UNIT * (size + 1.0))
        slack = 1 + 4 * c.norm.vector_rounding(n)
        assert (after <= c.lam * before * slack + error).all(), method
        if c.lam > 1e-3:
            far = before > 1e-6
            ratios = (after / np.maximum(before, 1e-6))[far]
            share = max(share, float(np.max(ratios, initial=0.0)) / c.lam)
    target(share, label="share of the factor")


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_the_norm_of_scaled_rows_is_rounded_upward(seed, n):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, n)) * 10.0 ** rng.uniform(-3, 3, (n, 1))
    s = np.where(rng.random(n) < 0.2, 0.0, rng.uniform(0, 1, n))
    for norm in (
        L2(),
        L1(),
        Linf(),
        WeightedLinf(rng.uniform(0.1, 9, n)),
        WeightedL1(rng.uniform(0.1, 9, n)),
        WeightedL2(np.diag(rng.uniform(0.1, 9, n))),
    ):
        bound = scaled_matrix_upper(norm, s, A)
        lower = norm.matrix_lower(s[:, None] * A)
        assert lower * (1 - 1e-13) <= bound <= lower * (1 + 1e-8) + 1e-300
        assert scaled_matrix_upper(norm, np.ones(n), A) == norm.matrix_upper(A)
    thin = WeightedL2(np.eye(n) + 0.5)
    half = scaled_matrix_upper(thin, np.full(n, 0.5), A)
    assert half == np.nextafter(0.5 * thin.matrix_upper(A), np.inf)


def test_scaling_refuses_what_it_cannot_bound():
    with pytest.raises(ValueError, match="not monotone"):
        scaled_matrix_upper(WeightedL2([[1.0, 0.5], [0.5, 1.0]]), np.array([0.1, 0.2]), np.eye(2))
    with pytest.raises(ValueError, match="below 0"):
        scaled_matrix_upper(L2(), np.array([-0.1, 0.2]), np.eye(2))


def test_theorems_hold_on_the_box_and_only_there():
    cell = biased()
    c = contraction(cell, inputs=Inputs.box(-0.1, 0.1))
    x = np.random.default_rng(1).uniform(-0.1, 0.1, (30, 2))
    inside = experiment(cell, x, contraction=c, k_max=8)
    outside = experiment(cell, 5 * x, contraction=c, k_max=8)
    far = experiment(cell, x, contraction=c, k_max=8, other_start=[-1.0, -1.0])
    for theorem in THEOREMS:
        assert verify(theorem, inside).outcome is not Outcome.REFUTED, theorem.name
        needs = {a.name for a in theorem.assumes} & {"contractive", "iterate_contractive"}
        for other in (outside, far):
            if needs:
                assert verify(theorem, other).outcome is Outcome.NOT_APPLICABLE, theorem.name


def test_the_matrix_inequality_is_established_with_the_slopes_of_the_box():
    from theory.theorems.contractive_of_incremental_lmi import CONTRACTIVE_OF_INCREMENTAL_LMI

    cell = biased()
    c = contraction(cell, inputs=Inputs.box(-0.1, 0.1), method="lmi")
    x = np.random.default_rng(1).uniform(-0.1, 0.1, (30, 2))
    assert verify(CONTRACTIVE_OF_INCREMENTAL_LMI, experiment(cell, x, contraction=c)).outcome in (
        Outcome.HOLDS,
        Outcome.HOLDS_WITHIN_ROUNDING,
    )
    everywhere = Contraction(lam=c.lam, norm=c.norm, evidence=c.evidence)
    made = experiment(cell, x, contraction=everywhere)
    assert verify(CONTRACTIVE_OF_INCREMENTAL_LMI, made).outcome is Outcome.NOT_APPLICABLE


# ------------------------------------------------------------------------------------- questions


def test_the_box_is_left_out_where_it_brings_nothing():
    small = VanillaRNN(0.3 * LARGE, np.eye(2))
    # pre-activations reach 0, so the largest slopes are 1 here too, but the least are above 0
    assert domain_of(small, inputs=Inputs.box(-0.1, 0.1)) is not None
    assert (
        domain_of(
            VanillaRNN(0.3 * LARGE, np.eye(2), activation="relu"), inputs=Inputs.box(-1.0, 1.0)
        )
        is None
    )
    assert domain_of(LinearMap(0.3 * LARGE, np.eye(2)), inputs=Inputs.box(-1.0, 1.0)) is None
    assert (
        contraction(LinearMap(0.3 * LARGE, np.eye(2)), inputs=Inputs.box(-1.0, 1.0)).domain is None
    )
    # no bounded box: the answer is that for all states
    relu = VanillaRNN(LARGE, np.eye(2), activation="relu")
    assert domain_of(relu, inputs=Inputs.box(-1.0, 1.0)) is None


def test_context_under_bounded_inputs_uses_the_box():
    cell = biased()
    assert required_context(cell, 1e-3, inputs=Inputs.ball(3.0)) is None
    choice = required_context(cell, 1e-3, inputs=Inputs.ball(0.1))
    assert choice.contraction.domain is not None
    X = np.random.default_rng(0).uniform(-0.07, 0.07, (300, 2))
    assert truncation_gaps(cell, X, k_max=choice.k)[choice.k] <= 1e-3
    # a box of states also bounds the past where the activation does not
    linear = LinearMap([[0.9]], [[1.0]])
    assert required_context(linear, 1e-3, inputs=Inputs.ball(1.0)).k == 88


def test_bounds_for_inputs_outside_the_box_are_refused():
    cell = biased()
    c = contraction(cell, inputs=Inputs.box(-0.1, 0.1))
    assert error_curve(cell, c, inputs=Inputs.ball(0.1), count=3)[1][3] < 1
    with pytest.raises(ValueError, match=r"\|x\|_2 <= 0\.2, but the contraction holds on"):
        error_curve(cell, c, inputs=Inputs.ball(0.2))


def test_malformed_domains():
    cell = biased()
    box = invariant_domain(cell, inputs=Inputs.box(-0.1, 0.1))
    small = Domain(low=[-0.1, -0.1], high=[0.1, 0.1], input_low=[-1, -1], input_high=[1, 1])
    with pytest.raises(ValueError, match="at most one"):
        contraction(cell, domain=box, inputs=Inputs.box(-0.1, 0.1))
    with pytest.raises(ValueError, match="not proved forward invariant"):
        contraction(cell, domain=small)
    with pytest.raises(ValueError, match=r"needed a theory\.Domain"):
        contraction(cell, domain=(0, 1))
    with pytest.raises(ValueError, match="2 states and 2 inputs, needed 1 and 1"):
        contraction(VanillaRNN([[0.5]], [[1.0]]), domain=box)
    with pytest.raises(ValueError, match=r"input_bound=1\.0 does not say which inputs are meant"):
        contraction(cell, input_bound=1.0)
    with pytest.raises(ValueError, match=r"inputs=-1\.0 does not say which inputs are meant"):
        contraction(cell, inputs=-1.0)


def test_slopes_by_hand():
    assert [end.tolist() for end in slope_intervals(TANH, 2)] == [[0.0, 0.0], [1.0, 1.0]]
    found = slope_intervals(TANH, 2, ([-1.0, 0.25], [0.5, 2.0]), local=True)
    assert [end.tolist() for end in found] == [[0.0, 0.25], [0.5, 1.0]]
    for bad, message in (
        (([0.5, 0.5], [0.0, 1.0]), "low <= high"),
        (([0.0], [1.0]), "shape"),
        (([0.0, 0.0],), "two vectors"),
        (([2.0, 0.0], [3.0, 1.0]), "some within"),
    ):
        with pytest.raises(ValueError, match=message):
            slope_intervals(TANH, 2, bad, local=True)
    with pytest.raises(ValueError, match="needed the domain="):
        contractive_of_matrix_norm(LARGE, slopes=([0.0, 0.0], [0.5, 0.5]))
    # as wide as the activation's own they need none
    assert contractive_of_matrix_norm(0.3 * LARGE, slopes=([0.0, 0.0], [1.0, 1.0])).domain is None


def test_lower_bounds_are_global():
    # what no norm can certify everywhere says nothing of the box
    assert refute(biased()) is not None
    judged = judge_contraction(biased())
    assert judged.lower.rate > 1


def test_half_infinite_inputs_do_not_hide_rounding_errors():
    # 4000 weights of half an ulp: the sum at the finite ends is below the kink by 5e-14, where the
    # image began 1.06e-13 too high and the unit counted as saturated: "certified 0", stretched 10
    m = 4000
    row = np.full(m, 0.55 * np.spacing(0.5))
    row[:2] = 0.5
    exact = sum(map(Fraction, row.tolist()))
    bias = float(1 - exact - Fraction(5e-14))
    assert exact + Fraction(bias) < 1
    cell = VanillaRNN([[10.0]], row[None], [bias], activation="hard_tanh")
    domain = Domain(low=[0.0], high=[1.0], input_low=np.ones(m), input_high=np.full(m, np.inf))
    assert contraction(cell, domain=domain) is None
