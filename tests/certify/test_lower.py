"""Lower bounds against exact radii, refutations against exact dynamics."""

import math
from fractions import Fraction

import flint
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from theory import CallableMap, LinearMap, VanillaRNN
from theory.certify.jsr import rate_lower
from theory.certify.judge import judge_contraction
from theory.certify.refute import refute
from theory.maps import leaky_relu
from theory.norms.enclosed import multiply_pairs
from theory.norms.radius import _eigenvalue_lower, spectral_radius_lower


def exact_radius(A, bits=400):
    """Return an upper bound of the spectral radius, from enclosures of the eigenvalues."""
    saved = flint.ctx.prec
    flint.ctx.prec = bits
    try:
        rows = [[flint.acb(flint.arb(flint.fmpq(*x.as_integer_ratio()))) for x in r] for r in A]
        return max(abs(z).upper() for z in flint.acb_mat(rows).eig(multiple=True))
    finally:
        flint.ctx.prec = saved


def cell(W, rho="tanh", U=None, b=None):
    n = len(W)
    return VanillaRNN(W, np.ones((n, 1)) if U is None else U, b, rho)


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 6), power=st.sampled_from([-300, 0, 300]))
def test_radius_is_never_above_the_exact_one(seed, n, power):
    A = np.random.default_rng(seed).standard_normal((n, n))
    A = np.ldexp(A, power)
    found = spectral_radius_lower(A)
    truth = exact_radius(A.tolist())
    assert flint.arb(found) <= truth
    # k reaches at least 2**18 unless rounding stops the powers; n**(1/k) is then below 1 + 1e-4
    assert found >= 0.99 * float(truth)


@pytest.mark.parametrize("kind", ["gaussian", "positive", "skew", "cyclic", "jordan", "blocks"])
def test_an_enclosed_eigenvalue_is_one_of_every_matrix_near(kind):
    rng = np.random.default_rng(7)
    n = 20
    A = rng.standard_normal((n, n)) / 8
    if kind == "positive":
        A = np.abs(A)
    if kind == "skew":
        A = A - A.T
    if kind == "cyclic":
        A = np.roll(np.diag(rng.uniform(0.5, 1, n)), 1, axis=1)
    if kind == "jordan":
        A = 0.5 * np.eye(n) + np.diag(np.ones(n - 1), 1)
    if kind == "blocks":  # eigenvalues of one modulus, of which many are equal
        A = np.kron(np.eye(n // 2), [[0.0, -0.75], [0.75, 0.0]])
    known = {"jordan": 0.5, "blocks": 0.75}.get(kind)
    truth = exact_radius(A.tolist(), 160) if known is None else flint.arb(known)
    assert flint.arb(_eigenvalue_lower(A, 0.0)) <= truth
    if kind in ("gaussian", "positive", "skew"):
        assert _eigenvalue_lower(A, 1e-14) >= float(truth) * (1 - 1e-9)
    for error in (1e-12, 1e-5, 1e-3):
        found = _eigenvalue_lower(A, error)
        # a change of that size that pulls all eigenvalues in, and any other
        pulled = float(truth) * (1 - error / np.linalg.norm(A))
        assert found <= pulled * (1 + 1e-12)
        D = rng.standard_normal((n, n))
        D *= error * (1 - 1e-12) / np.linalg.norm(D)
        assert flint.arb(found) <= exact_radius((A + D).tolist(), 160)
    if kind == "gaussian":  # it is of use, until the error is beyond its condition
        assert _eigenvalue_lower(A, 1e-5) > 0.99 * float(truth)
        assert _eigenvalue_lower(A, 1.0) == 0.0


@pytest.mark.parametrize("n", [65, 128, 256])
def test_large_maps_are_bounded_by_slopes_that_are_all_at_one(n):
    W = np.random.default_rng(n).uniform(-1, 1, (n, n)) / np.sqrt(n)
    radius = float(np.max(np.abs(np.linalg.eigvals(W))))
    assert radius * (1 - 1e-9) <= spectral_radius_lower(W) <= radius * (1 + 1e-9)
    # the ascent finds slopes that are better still
    found = rate_lower(cell(W), length=1, starts=1)
    assert found.rate > radius * 1.02
    assert found.rate == pytest.approx(
        np.max(np.abs(np.linalg.eigvals(found.slopes[0][:, None] * W))), rel=1e-6
    )
    # in any units
    D = 10.0 ** np.random.default_rng(1).uniform(-8, 8, n)
    scaled = spectral_radius_lower(W / D[:, None] * D[None, :])
    assert scaled == pytest.approx(radius, rel=1e-9)


def test_radius_of_awkward_matrices():
    assert spectral_radius_lower(np.zeros((3, 3))) == 0.0
    assert spectral_radius_lower(np.array([[0.0, 5.0], [0.0, 0.0]])) == 0.0
    # a Jordan block: eigenvalue routines are off by the n-th root of u, the bound is not above
    J = 0.9 * np.eye(8) + np.diag(np.ones(7), 1)
    assert 0.89 < spectral_radius_lower(J) <= 0.9
    # traces of odd powers vanish
    assert 0.999 < spectral_radius_lower(np.array([[0.0, 1.0], [1.0, 0.0]])) <= 1.0
    turn = math.pi / 3
    R = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    assert 0.999 < spectral_radius_lower(R) <= 1 + 2.0**-52


@pytest.mark.parametrize("n", [2, 3, 5, 6, 7, 9, 11, 12])
def test_radius_of_cycles(n):
    # the traces of powers that no multiple of the cycle's length divides are zero: powers 2^j and
    # 3 2^j never see a cycle of five
    sizes = np.exp(np.random.default_rng(n).uniform(-2, 2, n))
    W = np.roll(np.eye(n), 1, axis=1) * sizes[:, None]
    radius = math.exp(float(np.mean(np.log(sizes))))
    assert radius * (1 - 1e-5) <= spectral_radius_lower(W) <= radius * (1 + 1e-14)
    assert rate_lower(cell(W)).rate == pytest.approx(radius, rel=1e-5)


def test_radius_of_badly_scaled_matrices():
    rng = np.random.default_rng(4)
    d = np.exp2(rng.integers(-40, 41, 5))
    A = rng.standard_normal((5, 5))
    assert spectral_radius_lower(A * d[:, None] / d) == spectral_radius_lower(A)
    # also with an error in the same units
    error = np.full((5, 5), 1e-6)
    there = spectral_radius_lower(A * d[:, None] / d, error * d[:, None] / d)
    assert there == pytest.approx(spectral_radius_lower(A, error), rel=1e-3)
    one, other = rate_lower(cell(A)), rate_lower(cell(A * d[:, None] / d))
    assert other.rate == pytest.approx(one.rate, rel=1e-5)


def test_radius_allows_for_an_error():
    A = np.array([[0.5, 0.0], [0.0, 0.25]])
    sharp, wide = spectral_radius_lower(A), spectral_radius_lower(A, np.full((2, 2), 1e-3))
    # some matrix within 1e-3 has radius 0.499 or less
    assert wide <= 0.499 < sharp <= 0.5
    assert spectral_radius_lower(A, np.full((2, 2), 1.0)) == 0.0


def test_errors_whose_squares_underflow():
    # some matrix within the error is nilpotent
    A, error = np.array([[0.0, 1.0], [0.0, 1e-170]]), np.array([[0.0, 0.0], [0.0, 1e-170]])
    assert spectral_radius_lower(A, error) == 0.0
    assert spectral_radius_lower(A, 1e-3 * error) > 0
    # the rounding of a product of entries below 1e-162 is not nothing
    rng = np.random.default_rng(0)
    for size in (1e-170, 1e-200, 1e-300, 1e-320):
        B, C = rng.uniform(0.5, 1.0, (2, 3, 3))
        B *= size
        product = B @ C
        total = 0
        for i, j in np.ndindex(3, 3):
            row = sum(Fraction(b) * Fraction(c) for b, c in zip(B[i], C[:, j], strict=True))
            total += (row - Fraction(product[i, j])) ** 2
        assert total <= Fraction(float(multiply_pairs(B, 0.0, C, 0.0)[1])) ** 2


def test_published_lower_bound():
    # B4.jsr_lower: 0.9 at products of length 1
    found = rate_lower(cell([[0.9, -1.0], [0.5, -0.9]]))
    assert 0.9 * (1 - 1e-4) < found.rate <= 0.9
    assert found.slopes.shape == (1, 2)


def test_lower_bound_of_negative_and_steep_slopes():
    # slopes diag(1, -1) give 1.607 where slopes in [0, 1] give 0.9
    found = rate_lower(cell([[0.9, -1.0], [0.5, -0.9]], "sin"))
    assert 1.607 < found.rate <= 1.6071067811865477
    assert rate_lower(cell([[0.5]], leaky_relu(-1.5))).rate == pytest.approx(0.75, rel=1e-4)
    assert rate_lower(cell([[2.0]], "sigmoid")).rate == pytest.approx(0.5, rel=1e-4)
    assert rate_lower(CallableMap(lambda h, x: (h + x) / 2, 1, 1)) is None


def test_longer_products_help():
    # no mask alone has an eigenvalue, but the two in turn make a full circle: 0 -> 1 -> 0
    W = np.array([[0.0, 2.0, 0.0], [0.0, 0.0, 2.0], [1.0, 0.0, 0.0]])
    assert rate_lower(cell(W), length=1).rate == pytest.approx(4 ** (1 / 3), rel=1e-3)
    for bad in ({"length": 0}, {"starts": 0}, {"length": 1.5}):
        with pytest.raises(ValueError, match=r"needed|integer"):
            rate_lower(cell(W), **bad)


def test_three_answers():
    certified = judge_contraction(cell([[0.9, -1.0], [0.5, -0.9]]))
    assert certified.answer == "certified"
    assert 1.0 <= certified.gap < 1.001
    refuted = judge_contraction(cell([[0.0, 10.0], [-0.012, 1.1]]))
    assert refuted.answer == "refuted"
    assert refuted.contraction is None
    assert refuted.refutation.kind == "orbits"
    # h <- tanh(h): no rate below 1, yet every two trajectories meet
    assert judge_contraction(cell([[1.0]])).answer == "unknown"


def test_witness_of_the_published_counterexample():
    W = np.array([[0.0, 10.0], [-0.012, 1.1]])
    found = refute(cell(W))
    ends = {tuple(np.round(np.abs(h), 4)) for h in (found.first[0], found.second[0])}
    assert ends <= {(0.9997, 0.4384), (0.0, 0.0)}
    assert found.radius < 1e-10


@pytest.mark.parametrize(
    ("W", "rho", "b"),
    [
        ([[2.0]], "tanh", None),
        ([[2.0]], "tanh", [5.0]),
        ([[-2.0]], "tanh", None),
        ([[5.0]], "sigmoid", None),
        ([[-3.0, 0.1], [0.2, 0.1]], "tanh", None),
        ([[3.0]], "hard_tanh", None),
        ([[0.9, -1.0], [0.5, -1.2]], "tanh", None),
    ],
)
def test_orbits_stay_apart(W, rho, b):
    one = cell(W, rho, np.eye(len(W)), b)
    found = refute(one)
    assert found.kind == "orbits"
    # the points map to each other: simulation agrees within the radius and the rounding of a step
    X = np.tile(found.x, (24, 1))
    for points in (found.first, found.second):
        states = one.simulate(X[: len(points)], points[0])
        close = 10 * found.radius + 2.0**-40
        assert np.max(np.abs(states - np.roll(points, -1, axis=0))) <= close
    period = math.lcm(len(found.first), len(found.second))
    for t in range(period):
        a, b = found.first[t % len(found.first)], found.second[t % len(found.second)]
        assert np.max(np.abs(a - b)) > 2 * found.radius


def test_growth_refutes():
    assert refute(LinearMap([[1.001]], [[1.0]])).kind == "linear"
    assert refute(LinearMap([[0.999]], [[1.0]])) is None
    # under a negative input there are two fixed points, 0 and -x
    steep = refute(cell([[2.0]], "relu"))
    assert steep.kind == "orbits"
    # a rotation by a quarter that grows: no fixed point attracts, the Jacobian at rest decides
    turning = refute(cell([[0.0, -1.5], [1.5, 0.0]]))
    assert turning is not None


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 4))
@example(seed=20000, n=4)  # a certificate of 60 steps
@settings(max_examples=30)
def test_never_both(seed, n):
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((n, n))
    # near the border, where most are certified
    W *= rng.uniform(0.5, 1.6) / np.linalg.norm(W, 2)
    one = cell(W, ("tanh", "relu", "sigmoid", "hard_tanh")[rng.integers(4)], np.eye(n))
    judged = judge_contraction(one)
    if judged.answer == "certified":
        assert refute(one, starts=4, steps=100) is None
        # of as many steps as the certificate is about
        found = judged.contraction
        assert found.lam >= judged.lower.rate**found.iterate
