"""`project` from the outside: what every set promises, bad input, solver failures."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import theory
from theory import (
    GRU,
    LSTM,
    CallableMap,
    Contraction,
    Inputs,
    LinearMap,
    VanillaRNN,
    WeightedL1,
    WeightedLinf,
    contraction,
)
from theory.arithmetic.sums import length_upper
from theory.certify.certificate_file import certificate_from_dict, certificate_to_dict
from theory.certify.recheck import recheck
from theory.maps import leaky_relu
from theory.projections import SETS, Projection, oracle, project, spectral_ball
from theory.projections.repair import half_space_distance, inside, least_margin

ROOT = Path(__file__).resolve().parents[2]
BALLS = ("spectral", "linf", "l1")
AFFINE = (*BALLS, "diagonal", "lmi")


def cell(seed=0, n=4, size=1.5, rho="tanh"):
    rng = np.random.default_rng(seed)
    return VanillaRNN(
        rng.standard_normal((n, n)) * size, rng.standard_normal((n, 2)), rng.standard_normal(n), rho
    )


@pytest.mark.parametrize("onto", AFFINE)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_set_of_recurrent_weights(onto, dtype):
    made = cell()
    found = project(made, onto=onto, rate=0.9, dtype=dtype)
    assert isinstance(found, Projection)
    assert found.certificate.lam <= 0.9
    assert found.certificate.evidence.kind == "certified"
    assert 0 <= found.lower <= found.distance
    assert found.distance == pytest.approx(np.linalg.norm(found.map.W - made.W), rel=1e-12)
    assert found.moved == {"W": pytest.approx(found.distance), "U": 0.0, "b": 0.0}
    assert np.array_equal(found.map.U, made.U)
    # anybody can check it again
    stored = certificate_from_dict(certificate_to_dict(found.map, found.certificate))
    assert recheck(stored, found.map)
    if dtype == "float32":
        assert np.array_equal(found.map.W, found.map.W.astype(np.float32))
    if onto in BALLS:
        assert found.gap < 1e-6
        assert project(found.map, onto=onto, rate=0.9, dtype=dtype).map is found.map


@pytest.mark.parametrize("onto", BALLS)
@pytest.mark.parametrize("rho", ["sigmoid", leaky_relu(-2.0), "identity", "softplus"])
def test_slopes_scale_the_radius(onto, rho):
    made = cell(1, 3, 8.0, rho)
    found = project(made, onto=onto, rate=0.8)
    assert 0.8 * (1 - 1e-9) <= found.certificate.lam <= 0.8
    scale = made.activation.lipschitz
    plain = project(VanillaRNN(made.W, made.U, activation="tanh"), onto=onto, rate=0.8)
    assert (found.distance < plain.distance) == (scale < 1) or scale == 1


@pytest.mark.parametrize("onto", BALLS)
def test_cvxpy_is_moved_inside(onto):
    made = cell(2)
    ours = project(made, onto=onto, rate=0.9)
    theirs = project(made, onto=onto, rate=0.9, method="cvxpy")
    assert theirs.method.startswith("cvxpy")
    assert theirs.certificate.lam <= 0.9
    assert theirs.distance == pytest.approx(ours.distance, rel=1e-4)
    assert theirs.residuals["margin"] >= 0


@pytest.mark.parametrize("onto", [*BALLS, "diagonal"])
def test_a_failing_solver_falls_back_with_a_reason(monkeypatch, onto):
    def fail(*_args, **_kwargs):
        raise ArithmeticError("SCS: infeasible_inaccurate")

    for name in ("spectral", "row_sums", "column_sums", "metric"):
        monkeypatch.setattr(oracle, name, fail)
    options = {"weights": [1.0, 2.0, 1.0, 0.5]} if onto == "diagonal" else {}
    found = project(cell(), onto=onto, rate=0.9, method="cvxpy", **options)
    assert "infeasible_inaccurate" in found.note
    assert found.certificate.lam <= 0.9
    assert found.distance == project(cell(), onto=onto, rate=0.9, **options).distance


def test_no_solver_at_all():
    with pytest.raises(ArithmeticError, match="NOT_A_SOLVER"):
        oracle.solve((np.eye(2),), lambda cp, x: [x[0] <= 1], (("NOT_A_SOLVER", {}),))  # noqa: ARG005
    with pytest.raises(ArithmeticError, match="infeasible"):
        oracle.solve((np.eye(2),), lambda cp, x: [cp.abs(x[0]) <= -1])


@pytest.mark.parametrize("onto", ["linf", "l1"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("scale", [1.0, 1e12])
def test_weighted_sums(onto, dtype, scale):
    v = np.array([1.0, 5.0, 0.2, 1.0]) * scale
    options = {"onto": onto, "rate": 0.9, "weights": v, "dtype": dtype}
    found = project(cell(), **options)
    norm = WeightedLinf(v) if onto == "linf" else WeightedL1(v)
    assert norm.matrix_upper(found.map.W) <= 0.9
    assert found.certificate.lam <= 0.9
    assert found.certificate.norm.to_dict() == norm.to_dict()
    assert 0 <= found.lower <= found.distance
    assert found.gap < (1e-9 if dtype == "float64" else 1e-6)
    assert project(found.map, **options).map is found.map
    stored = certificate_from_dict(certificate_to_dict(found.map, found.certificate))
    assert recheck(stored, found.map)
    if dtype == "float64":
        solved = project(cell(), **options, method="cvxpy")
        assert solved.certificate.lam <= 0.9
        assert solved.distance == pytest.approx(found.distance, rel=1e-4)


def test_columns_with_weights_are_rows_of_the_transpose():
    """W^T contracts in sum v_i |h_i| as W does in max |h_i| / v_i: the norms are dual."""
    made, v = cell(), np.array([1.0, 5.0, 0.2, 1.0])
    turned = VanillaRNN(made.W.T, made.U, made.b)
    columns = project(made, onto="l1", rate=0.9, weights=v)
    rows = project(turned, onto="linf", rate=0.9, weights=v)
    assert np.array_equal(columns.map.W, rows.map.W.T)
    assert columns.certificate.lam == rows.certificate.lam
    ones = project(made, onto="l1", rate=0.9, weights=np.ones(4))
    assert np.allclose(ones.map.W, project(made, onto="l1", rate=0.9).map.W, rtol=0, atol=1e-14)


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 4), size=st.sampled_from([0, 1e-9, 3, 1e6]))
def test_extreme_weights(seed, n, size):
    made = cell(seed, n, size)
    for onto in BALLS:
        found = project(made, onto=onto, rate=0.7)
        assert found.certificate.lam <= 0.7
        assert found.lower <= found.distance
        if size <= 1e-9:
            assert found.map is made


@pytest.mark.parametrize("onto", ["diagonal", "lmi"])
@pytest.mark.parametrize(("n", "size"), [(1, 3), (1, 1e6), (2, 1e-9), (2, 0), (3, 1e6)])
def test_extreme_weights_in_some_metric(onto, n, size):
    made = cell(n, n, size)
    found = project(made, onto=onto, rate=0.7)
    assert found.certificate.lam <= 0.7
    assert found.lower <= found.distance
    if size <= 1e-9:
        assert found.map is made


def proved(found, rate):
    """Whether anybody can check that the projection is a member."""
    stored = certificate_from_dict(certificate_to_dict(found.map, found.certificate))
    return found.certificate.lam <= rate and recheck(stored, found.map)


@pytest.mark.parametrize("onto", [*AFFINE, "schur"])
@pytest.mark.parametrize("size", [5e-324, 1e-310, 1e154, 1e200, 1e300, 2.0**1022])
def test_weights_of_any_size(onto, size):
    W = size * np.array([[1.0, 0.5, -0.75], [0.25, 0.5, 0.0], [-0.5, 0.75, 1.0]])
    made = LinearMap(W, np.eye(3)) if onto == "schur" else VanillaRNN(W, np.eye(3))
    found = project(made, onto=onto, rate=0.9)
    assert proved(found, 0.9)
    if size < 1:
        assert found.map is made
    else:
        assert 0.3 * found.distance < found.lower <= found.distance
        assert found.distance == pytest.approx(size * np.linalg.norm(W / size), rel=1e-12)


@pytest.mark.parametrize("onto", [*AFFINE, "schur"])
def test_a_distance_beyond_the_largest_double(onto):
    W = np.full((3, 3), np.finfo(float).max)
    made = LinearMap(W, np.eye(3)) if onto == "schur" else VanillaRNN(W, np.eye(3))
    found = project(made, onto=onto, rate=0.9)
    assert proved(found, 0.9)
    assert found.distance == np.inf
    assert 1e308 < found.lower < np.inf


@pytest.mark.parametrize("onto", [*AFFINE, "schur"])
def test_weights_beyond_single_precision(onto):
    W = np.array([[1e39, 0.0], [0.0, 1.0]])
    made = LinearMap(W, np.eye(2)) if onto == "schur" else VanillaRNN(W, np.eye(2))
    found = project(made, onto=onto, rate=0.9, dtype="float32")
    W = next(iter(found.map.parameters.values()))
    assert proved(found, 0.9)
    assert np.array_equal(W, W.astype(np.float32))
    assert found.distance == pytest.approx(1e39)


@pytest.mark.parametrize("onto", ["linf", "l1"])
@pytest.mark.parametrize("size", [5e-324, 1e-310, 1e-200, 1e200, 1e308])
def test_only_quotients_of_weights_matter(onto, size):
    made = cell(7)
    plain = project(made, onto=onto, rate=0.9)
    found = project(made, onto=onto, rate=0.9, weights=np.full(4, size))
    assert proved(found, 0.9)
    assert found.distance == pytest.approx(plain.distance, rel=1e-12)
    assert found.lower == pytest.approx(plain.lower, rel=1e-12)
    with pytest.raises(ValueError, match="ratio"):
        project(made, onto=onto, rate=0.9, weights=[5e-324, 1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match=r"weights= go from 5e-324 to 1\.0, too far apart"):
        project(made, onto="diagonal", rate=0.9, weights=[5e-324, 1.0, 1.0, 1.0])


def test_huge_systems_have_a_nearest_stable_matrix_of_their_size():
    A = 1e300 * np.array([[1.0, 2.0], [0.0, 0.5]])
    found = project(LinearMap(A, np.eye(2)), onto="schur", rate=0.9)
    without = found.residuals["distance of a stable matrix without proof"]
    assert without == pytest.approx(np.hypot(1.0, 0.5) * 1e300, rel=0.2)
    assert project(LinearMap(A / 1e300, np.eye(2)), onto="schur", rate=1e-300).distance < np.inf


def test_repeated_and_defective_weights():
    cases = (
        np.ones((3, 3)),
        3 * np.eye(3),
        np.triu(np.full((3, 3), 2.0)),
        np.diag([4.0, 0.0, 0.0]),
        np.array([[0.0, 50.0, 0.0], [0.0, 0.0, 50.0], [0.0, 0.0, 0.0]]),
    )
    for W in cases:
        for onto in AFFINE:
            found = project(VanillaRNN(W, np.eye(3)), onto=onto, rate=0.9)
            assert found.certificate.lam <= 0.9


# ----------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("onto", SETS)
def test_rates_outside_the_open_interval(onto):
    for bad in (0.0, -0.5, 1.5, np.nan, np.inf, "fast"):
        with pytest.raises(ValueError, match="rate"):
            project(cell(), onto=onto, rate=bad)
    with pytest.raises(ValueError, match="border of stability"):
        project(cell(), onto=onto, rate=1.0)


def test_malformed_questions():
    made = cell()
    good = {"onto": "spectral", "rate": 0.9}
    cases = (
        ({"onto": "nuclear"}, "not known"),
        ({"onto": []}, "onto=.*not known"),
        ({"method": "magic"}, "method="),
        ({"method": ["auto"]}, "method="),
        ({"dtype": "float16"}, "dtype="),
        ({"dtype": ["float32"]}, "dtype="),
        ({"rng": 5}, "default_rng"),
        ({"rng": np.random.RandomState(0)}, "default_rng"),
        ({"starts": 0}, "starts="),
        ({"starts": 1.5}, "starts="),
        ({"starts": "many"}, "starts="),
        ({"weights": np.ones(4)}, "weights= is an option of onto='linf'"),
        ({"forget": 0.7}, "forget= is an option of onto='lstm'"),
        ({"per_unit": True}, "per_unit= is an option of onto='lstm'"),
        ({"per_unit": "no"}, "needed True or False"),
        ({"per_unit": None}, "needed True or False"),
        ({"metric": (np.eye(4), np.ones(4))}, "metric="),
        ({"onto": "linf", "weights": np.ones(3)}, "weights has shape"),
        ({"onto": "linf", "weights": [1.0, 1.0, 1.0, 0.0]}, "weights="),
        ({"onto": "l1", "weights": np.ones(3)}, "weights has shape"),
        ({"onto": "l1", "weights": [1.0, 1.0, 1.0, -1.0]}, "weights="),
        ({"onto": "lmi", "metric": 3}, "metric="),
        ({"onto": "lmi", "metric": Contraction.assumed(0.5)}, "matrix inequality"),
        ({"onto": "lmi", "metric": (np.eye(3), np.ones(4))}, "dimension of the map"),
        ({"onto": "lmi", "metric": contraction(cell(0, 3, 0.1), method="lmi")}, "dimension 3"),
        (
            {"onto": "lmi", "metric": (np.triu(np.ones((4, 4))), np.ones(4))},
            r"not symmetric: P\[0, 1\]=1.0 and P\[1, 0\]=0.0",
        ),
        ({"onto": "lmi", "metric": (np.eye(4), -np.ones(4))}, "q="),
        ({"onto": "lmi", "metric": (3 * np.eye(4), np.ones(4))}, "positive definite"),
    )
    for change, message in cases:
        with pytest.raises(ValueError, match=message):
            project(made, **{**good, **change})
    with pytest.raises(ValueError, match="needed a Map"):
        project(np.eye(2), **good)


def test_malformed_questions_about_gated_cells():
    lstm = LSTM(np.ones((8, 2)), np.ones((8, 1)))
    for forget in ("a", [0.6], np.nan, -0.7):
        with pytest.raises(ValueError, match="forget="):
            project(lstm, onto="lstm", rate=0.9, forget=forget)
    gru = GRU(np.ones((6, 2)), np.ones((6, 1)), variant="reset_before")
    for made, onto in ((lstm, "lstm"), (gru, "gru")):
        with pytest.raises(ValueError, match=r"inputs up to 1e\+300, needed a product"):
            project(made, onto=onto, rate=0.9, inputs=Inputs.box(-1e300, 1e300))
        with pytest.raises(ValueError, match=r"W holds entries up to 1e\+160"):
            project(made.with_parameters(W=1e160 * made.W), onto=onto, rate=0.9)


def test_methods_of_a_set_with_one_only():
    lstm = LSTM(np.ones((8, 2)), np.ones((8, 1)))
    plain = project(lstm, onto="lstm", rate=0.9)
    closed = project(lstm, onto="lstm", rate=0.9, method="closed_form")
    assert closed.method == plain.method == "soft thresholds of rows"
    for method in ("closed_form", "cvxpy"):
        with pytest.raises(ValueError, match=f"method='{method}' does not apply to onto='schur'"):
            project(LinearMap([[2.0]], [[1.0]]), onto="schur", rate=0.9, method=method)


def test_sets_that_do_not_apply():
    n = 2
    lstm = LSTM(np.zeros((4 * n, n)), np.zeros((4 * n, 1)))
    gru = GRU(np.zeros((3 * n, n)), np.zeros((3 * n, 1)))
    own = CallableMap(lambda h, x: 0.5 * h + x, 1, 1)
    for made in (lstm, gru, own):
        for onto in (*AFFINE, "schur"):
            with pytest.raises(ValueError, match="rho"):
                project(made, onto=onto, rate=0.9)
    for onto in ("lstm", "gru"):
        for made in (cell(), LinearMap([[0.5]], [[1.0]])):
            with pytest.raises(ValueError, match="cells, received"):
                project(made, onto=onto, rate=0.9)


# -------------------------------------------------------------------------------------- repair


def test_inside_grows_the_margin_until_accepted():
    tried = []

    def point(margin):
        tried.append(margin)
        return np.array([1.0 - margin])

    found = inside(point, lambda a: a[0] <= 0.9, 0.0)
    assert found is not None
    assert tried[0] == 0.0
    assert found[1] == tried[-1]
    assert inside(point, lambda _: False, 0.01) is None


@given(seed=st.integers(0, 2**32 - 1), exponent=st.integers(-300, 300))
def test_lengths_and_half_spaces_are_rounded_outward(seed, exponent):
    from fractions import Fraction

    rng = np.random.default_rng(seed)
    a = np.ldexp(rng.standard_normal(5), exponent)
    square = sum(Fraction(x) ** 2 for x in a.tolist())
    assert Fraction(length_upper(a)) ** 2 >= square
    assert length_upper(a) <= np.ldexp(np.linalg.norm(np.ldexp(a, -exponent)), exponent) * (
        1 + 1e-12
    )
    # the half space x_1 <= 1
    normal = np.array([1.0, 0.0])
    assert half_space_distance(np.array([3.0, 7.0]), normal, 1.0) == pytest.approx(2.0)
    assert half_space_distance(np.array([3.0, 7.0]), normal, 1.0) <= 2.0
    assert half_space_distance(np.array([0.5, 7.0]), normal, 1.0) == 0.0
    assert half_space_distance(np.array([3.0, 7.0]), 0 * normal, 1.0) == 0.0
    assert 0 < least_margin(4, 2.0**-53) < least_margin(4, 2.0**-24) < 1e-5


def test_the_library_loads_no_solver():
    code = (
        "import sys, theory, theory.projections as p\n"
        "p.project(theory.VanillaRNN([[2.0]], [[1.0]]), onto='spectral', rate=0.5)\n"
        "print([m for m in ('cvxpy', 'torch', 'sympy', 'hypothesis') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == "[]"
    assert theory.__name__ == "theory"


@pytest.mark.parametrize("onto", ["linf", "l1"])
@pytest.mark.parametrize("spread", [1.0, 1e9, 1e50])
def test_weights_of_two_sizes_leave_no_gap(onto, spread):
    made = VanillaRNN([[2.0, 0.1], [0.3, 1.0]], np.ones((2, 1)))
    found = project(made, onto=onto, rate=0.9, weights=[1.0 / spread, spread])
    assert 0 < found.distance < 2
    assert found.gap < 2.0**-44
    with pytest.raises(ValueError, match="needed a ratio"):
        project(made, onto=onto, rate=0.9, weights=[5e-324, 1.0])


def test_one_test_of_the_spectral_ball():
    """What the ball leaves as it is the projection leaves too, to the last digit of its norm."""
    Y = np.array(
        [[-0.39246914046395887, -0.3097869813008174], [0.30978698130078897, -0.39246914046395887]]
    )
    assert np.array_equal(spectral_ball(Y, 0.5), Y)
    made = VanillaRNN(Y, np.eye(2))
    found = project(made, onto="spectral", rate=0.5)
    assert found.map is made
    assert found.certificate.lam == 0.5


def test_a_rate_that_vanishes_beside_weights():
    made = VanillaRNN(1e90 * np.ones((3, 3)), np.eye(3))
    with pytest.raises(ValueError, match="rate=1e-300 times the least of weights"):
        project(made, onto="linf", rate=1e-300, weights=[1e151, 1e199, 1e119])
