"""The matrix inequality: the trusted check against rationals, the candidates against oracles."""

import math
from fractions import Fraction

import cvxpy as cp
import flint
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory import Inputs, LinearMap, VanillaRNN, WeightedL2, contraction
from theory.arithmetic.activations import ACTIVATIONS
from theory.arithmetic.rigor import lmi_holds
from theory.certify import contractions, invariant_domain, lmi
from theory.certify.jsr import rate_lower
from theory.maps import leaky_relu

MONE = np.array([[0.9, -1.0], [0.5, -0.9]])


def rational(A):
    return flint.fmpq_mat([[flint.fmpq(*x.as_integer_ratio()) for x in row] for row in A.tolist()])


def exact_block(W, alpha, beta, P, q, r):
    """Return the block matrix in rationals, entry by entry from its definition."""
    n = len(W)
    w, p = rational(W), rational(P)
    one = [flint.fmpq(*x.as_integer_ratio()) for x in q.tolist()]
    low = [flint.fmpq(*x.as_integer_ratio()) for x in alpha.tolist()]
    high = [flint.fmpq(*x.as_integer_ratio()) for x in beta.tolist()]
    square = flint.fmpq(*Fraction(r).as_integer_ratio()) ** 2
    K = flint.fmpq_mat(2 * n, 2 * n)
    for i in range(n):
        for j in range(n):
            K[i, j] = square * p[i, j] + 2 * sum(
                (w[k, i] * one[k] * low[k] * high[k] * w[k, j] for k in range(n)), flint.fmpq(0)
            )
            K[n + i, j] = -one[i] * (low[i] + high[i]) * w[i, j]
            K[j, n + i] = K[n + i, j]
            K[n + i, n + j] = 2 * one[i] * int(i == j) - p[i, j]
    return K


def is_positive_semidefinite(S):
    n = S.nrows()
    a = [[S[i, j] for j in range(n)] for i in range(n)]
    for k in range(n):
        if not a[k][k] >= 0 or (a[k][k] == 0 and any(a[i][k] != 0 for i in range(k + 1, n))):
            return False
        if a[k][k] != 0:
            for i in range(k + 1, n):
                factor = a[i][k] / a[k][k]
                for j in range(k + 1, n):
                    a[i][j] -= factor * a[k][j]
    return True


def problem(W, low=0.0, high=1.0):
    n = len(W)
    return lmi.Problem(W=np.asarray(W, float), alpha=np.full(n, low), beta=np.full(n, high))


def numerical_radius(A, angles=2001):
    """Return max over a grid of angles of the largest eigenvalue, refined at the best ones."""
    best = 0.0
    for t in np.linspace(0, math.pi, angles):
        half = 0.5 * np.exp(1j * t) * A
        best = max(best, float(np.linalg.eigvalsh(half + half.conj().T)[-1]))
    return best


# ------------------------------------------------------------------------------ the trusted check


def test_exact_rational_certificate():
    P = np.array([[1437.0, -1544.0], [-1544.0, 2563.0]])
    q, zero, one = np.array([1470.0, 2740.0]), np.zeros(2), np.ones(2)
    assert lmi_holds(MONE, zero, one, P, q, 23 / 25)
    # no certificate exists below max |w_ii| = 0.9, whatever P and q
    assert not lmi_holds(MONE, zero, one, P, q, 0.9 - 1e-12)
    # slopes in [-1, 1] need at least |W diag(1, -1)|'s radius 1.607
    assert not lmi_holds(MONE, -one, one, P, q, 0.92)


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 4),
    slack=st.sampled_from([-1e-3, -1e-9, -1e-13, 0.0, 1e-14, 1e-12, 1e-9, 1e-3]),
    slopes=st.sampled_from([(0.0, 1.0), (-1.0, 1.0), (0.25, 1.0), (-0.5, 0.75), (-2.0, -0.5)]),
    scale=st.sampled_from([1.0, 2.0**-300, 2.0**300, 1e-5]),
)
def test_accepts_only_what_is_true(seed, n, slack, slopes, scale):
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((n, n))
    found = lmi.least_level(problem(W, *slopes), np.zeros(n), 1.0)
    made = lmi.gram_at(problem(W, *slopes), np.zeros(n), found)
    E = np.exp2(rng.integers(-9, 10, n))  # exact changes of units: W -> E^-1 W E
    W, P = W / E[:, None] * E[None, :] * scale, made.P * E[:, None] * E[None, :]
    q, r = made.q * E * E, made.r * (1 + slack) * scale
    low, high = np.full(n, slopes[0]), np.full(n, slopes[1])
    accepted = lmi_holds(W, low, high, P, q, r)
    true = is_positive_semidefinite(exact_block(W, low, high, P, q, r))
    assert true or not accepted
    # a slack in r moves the block by 2 slack P only, and little of it is left where P is thin: 1e-9
    # is too little for n = 2, seed = 2, slopes (-2, -1/2), a true inequality hidden by rounding
    if slack >= 1e-3:
        assert accepted


def test_refuses_what_is_not_positive():
    W, zero, one = 0.5 * np.eye(2), np.zeros(2), np.ones(2)
    assert lmi_holds(W, zero, one, np.eye(2), one, 0.75)
    assert not lmi_holds(W, zero, one, np.diag([1.0, 0.0]), one, 0.75)
    assert not lmi_holds(W, zero, one, np.diag([1.0, -1e-9]), one, 0.75)
    assert not lmi_holds(W, zero, one, np.eye(2), np.array([1.0, 0.0]), 0.75)
    assert not lmi_holds(W, zero, one, np.eye(2), one, math.nan)
    assert not lmi_holds(W, zero, one, np.eye(2), one, math.inf)
    assert not lmi_holds(W, one, zero, np.eye(2), one, 0.75)
    assert not lmi_holds(W, zero, one, np.eye(2) * np.nan, one, 0.75)
    # one entry of W off the range in which the change of units is exact
    assert not lmi_holds(np.array([[0.5, 5e-324], [0, 0.5]]), zero, one, np.eye(2), one, 1e300)


@pytest.mark.parametrize("angle", np.linspace(0, 2 * math.pi, 7))
def test_what_is_accepted_bounds_every_slope(angle):
    W = MONE @ np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    for rho in (*ACTIVATIONS.values(), leaky_relu(-0.5), leaky_relu(3.0)):
        c = contraction(VanillaRNN(0.2 * W, np.eye(2), activation=rho), method="lmi")
        if c is None:
            continue
        for slopes in np.stack(np.meshgrid(*[np.linspace(*rho.slope, 9)] * 2), -1).reshape(-1, 2):
            assert c.norm.matrix_lower(slopes[:, None] * 0.2 * W) <= c.lam


# ---------------------------------------------------------------------------------- the candidates


@pytest.mark.parametrize("slopes", [(0.0, 1.0), (-0.5, 1.0), (0.2, 0.7), (-1.0, 1.0)])
def test_barrier_gradient(slopes):
    rng = np.random.default_rng(5)
    n, h = 5, 1e-6
    one = lmi.Problem(
        W=rng.standard_normal((n, n)),
        alpha=slopes[0] * rng.uniform(0.5, 1, n),
        beta=slopes[1] * rng.uniform(0.8, 1, n),
    )
    x = 0.3 * rng.standard_normal(n)
    s = math.log(1.3 * float(np.linalg.norm(one.scaled(x), 2)))
    _, by_x, by_s = lmi._barrier(one, x, s)

    def central(dx, ds):
        ahead, behind = (lmi._barrier(one, x + i * dx, s + i * ds)[0] for i in (1, -1))
        return (ahead - behind) / (2 * h)

    # truncation h^2 f''' / 6 and rounding u |f| / h are below 1e-8 for values of order 1
    assert by_x == pytest.approx([central(h * e, 0.0) for e in np.eye(n)], abs=1e-7)
    assert by_s == pytest.approx(central(np.zeros(n), h), abs=1e-7)


def test_factorisation_is_one():
    rng = np.random.default_rng(6)
    W = rng.standard_normal((6, 6))
    one = problem(W, -0.3, 1.0)
    found = lmi.factors(one, W, 1.1 * lmi.least_level(one, np.zeros(6), 1.0))
    scale = 64 * 6 * 2.0**-53 * float(np.max(np.abs(found.H))) * np.linalg.cond(found.Z)
    for Z, A in ((found.Z, found.A), (found.Y, found.A.T)):
        assert np.max(np.abs(Z + A.T @ np.linalg.solve(Z, A) - found.H)) <= scale
    # the largest solution: Z^-1 A has its spectrum inside the disc
    assert np.max(np.abs(np.linalg.eigvals(np.linalg.solve(found.Z, found.A)))) < 1


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 6))
def test_level_is_the_numerical_radius(seed, n):
    W = np.random.default_rng(seed).standard_normal((n, n))
    radius = numerical_radius(W, 400)
    level = lmi.least_level(problem(W), np.zeros(n), 1.0)
    # the grid of angles is low by at most |W| (pi / 400)^2 / 8; the level is within 1e-6
    grid = float(np.linalg.norm(W, 2)) * (math.pi / 400) ** 2 / 8
    assert radius * (1 - 1e-12) <= level <= (radius + grid) * (1 + 2e-6)


def test_symmetric_slopes_are_the_scaled_norm():
    W = np.array([[0.0, 10.0], [-0.012, 1.1]])
    x, _ = lmi.best_weights(problem(W, -1.0, 1.0), np.zeros(2), 11.0)
    assert np.linalg.norm(problem(W).scaled(x), 2) == pytest.approx(1.2, rel=2e-3)


def oracle(W, alpha, beta):
    """Return the least rate of the matrix inequality by bisection with an interior-point solver."""
    n = len(W)
    P, q, slack = cp.Variable((n, n), symmetric=True), cp.Variable(n), cp.Variable()
    square, Q = cp.Parameter(nonneg=True), cp.diag(q)
    K = cp.bmat(
        [
            [
                square * P + 2 * W.T @ Q @ np.diag(alpha * beta) @ W,
                -W.T @ Q @ np.diag(alpha + beta),
            ],
            [-np.diag(alpha + beta) @ Q @ W, 2 * Q - P],
        ]
    )
    task = cp.Problem(
        cp.Maximize(slack),
        [0.5 * (K + K.T) >> slack * np.eye(2 * n), P >> slack * np.eye(n), cp.trace(P) == n],
    )
    low, high = 0.0, 1.01 * float(np.linalg.norm(W, 2))
    while high - low > 1e-5 * high:
        square.value = (0.5 * (low + high)) ** 2
        task.solve(solver="CLARABEL")
        low, high = (low, 0.5 * (low + high)) if slack.value > 1e-8 else (0.5 * (low + high), high)
    return high


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("low", [0.0, -0.4, 0.1])
def test_within_two_permille_of_the_solver(seed, low):
    rng = np.random.default_rng([seed, 7])
    n = (2, 3, 4, 5, 6, 8)[seed]
    W = rng.standard_normal((n, n)) * np.exp(rng.uniform(-1, 1, (n, 1)))
    W *= 0.6 / np.linalg.norm(W, 2)
    c = contraction(VanillaRNN(W, np.ones((n, 1)), activation=leaky_relu(low)), method="lmi")
    best = oracle(W, np.full(n, low), np.ones(n))
    assert c.lam <= 1.002 * best
    # the oracle asks for a slack of 1e-8 and stops at 1e-5, so it is high by little more
    assert c.lam >= (1 - 1e-4) * best


@pytest.mark.parametrize("seed", range(3))
def test_slopes_away_from_0_on_a_box(seed):
    rng = np.random.default_rng([seed, 3])
    W = rng.standard_normal((3, 3))
    W *= 0.6 / np.linalg.norm(W, 2)
    cell = VanillaRNN(W, np.eye(3), [0.3, -0.2, 0.1])
    box = invariant_domain(cell, inputs=Inputs.box(-0.2, 0.2))
    low, high = cell.slopes(box)
    assert low.min() > 0.2
    assert len({*low.tolist(), *high.tolist()}) > 3
    c = contraction(cell, method="lmi", domain=box)
    best = oracle(W, low, high)
    assert (1 - 1e-4) * best <= c.lam <= 1.002 * best
    # slopes in [0, high] allow more, so less would be certified
    assert c.lam <= oracle(W, np.zeros(3), high) * (1 + 1e-4)


def test_the_least_slopes_count():
    # the published example: 0.9 for slopes in [0, 1], less for [0.3, 1] and [0.6, 1]
    rates = [
        contraction(recurrent(MONE, leaky_relu(low)), method="lmi").lam for low in (0.0, 0.3, 0.6)
    ]
    np.testing.assert_allclose(rates, [0.9, 0.7534, 0.6473], atol=5e-5)
    # and on the box that inputs of at most 0.01 leave tanh in
    cell = VanillaRNN(MONE, np.eye(2))
    assert contraction(cell, inputs=Inputs.box(-0.01, 0.01)).lam == pytest.approx(0.8336, abs=1e-4)


@pytest.mark.parametrize("seed", range(8))
def test_numerical_radius_and_matrix_inequality_are_the_same(seed):
    """Ando (1973): with Q = I the least rate of the inequality is the numerical radius."""
    rng = np.random.default_rng([seed, 11])
    n = 2 + seed % 4
    A = rng.standard_normal((n, n))
    if seed >= 4:
        A = np.triu(A)
    # r times the block of B.2a, with Z = r X: linear in (Z, r)
    Z, r = cp.Variable((n, n), symmetric=True), cp.Variable()
    K = cp.bmat([[Z, -A.T], [-A, 2 * r * np.eye(n) - Z]])
    cp.Problem(cp.Minimize(r), [0.5 * (K + K.T) >> 0]).solve(solver="CLARABEL")
    radius = numerical_radius(A, 4001)
    assert radius == pytest.approx(float(r.value), rel=2e-6)
    # and what is certified is just above it, or above that of D A D^-1 for a D that balances A
    c = contraction(VanillaRNN(A * (0.5 / radius), np.eye(n)), method="numerical_radius")
    d = np.sqrt(c.evidence.multipliers)
    best = numerical_radius(A * (d[:, None] / d[None, :]), 4001) * (0.5 / radius)
    assert best * (1 - 1e-6) <= c.lam <= best * (1 + 1e-5)
    assert c.lam <= 0.5 * (1 + 1e-5)
    # the units of the first matrices that are not triangular need no balance, but for one
    assert (np.ptp(d) == 0) == (seed in (1, 2, 3))


# -------------------------------------------------------------------------------- known and awkward


def recurrent(W, rho="tanh"):
    return VanillaRNN(W, np.ones((len(W), 1)), activation=rho)


def test_published_example_is_optimal():
    c = contraction(recurrent(MONE), method="lmi")
    assert 0.9 <= c.lam <= 0.9 * (1 + 1e-5)
    assert isinstance(c.norm, WeightedL2)
    assert contraction(recurrent(MONE), method="diagonal") is None
    assert contraction(recurrent(MONE), method="spectral") is None


def test_spectral_radius_below_one_is_no_certificate():
    yildiz = recurrent([[0.0, 10.0], [-0.012, 1.1]])
    assert contractions(yildiz) == {}
    assert contraction(yildiz, effort=2) is None


def test_gaussian_is_certified_where_the_spectral_norm_is_not():
    G = np.random.default_rng(3).standard_normal((24, 24))
    cell = recurrent(G * (1.2 / np.linalg.norm(G, 2)))
    found = contractions(cell)
    assert "spectral" not in found
    assert found["lmi"].lam < found["numerical_radius"].lam < 1
    assert contraction(cell).lam == found["lmi"].lam


@given(w=st.floats(-0.999, 0.999), slope=st.sampled_from([(0.0, 1.0), (-0.5, 1.0), (0.5, 1.0)]))
def test_one_unit(w, slope):
    c = contraction(recurrent([[w]], leaky_relu(slope[0])), method="lmi")
    if abs(w) < 1e-280:
        return
    assert abs(w) <= c.lam <= abs(w) * (1 + 1e-5)


@given(
    a=st.floats(-0.5, 0.5), b=st.floats(-0.5, 0.5), ratio=st.sampled_from([1.0, 2.0**20, 2.0**-20])
)
def test_two_units_of_a_scaled_rotation(a, b, ratio):
    # W = a I + b J is normal: every rate is |a + ib|, in any units of the two states
    if math.hypot(a, b) < 1e-3:
        return
    W = np.array([[a, -b * ratio], [b / ratio, a]])
    c = contraction(recurrent(W), effort=2)
    assert math.hypot(a, b) * (1 - 1e-12) <= c.lam <= math.hypot(a, b) * (1 + 2e-3)


@pytest.mark.parametrize("exponent", [-200, -40, 0])
def test_homogeneous(exponent):
    G = np.random.default_rng(8).standard_normal((5, 5))
    G *= 0.9 / np.linalg.norm(G, 2)
    for method in ("lmi", "numerical_radius", "diagonal", "spectral"):
        plain = contraction(recurrent(G), method=method).lam
        scaled = contraction(recurrent(G * 2.0**exponent), method=method).lam
        assert scaled == pytest.approx(plain * 2.0**exponent, rel=1e-5)


def test_zero_nilpotent_defective_and_triangular():
    assert contraction(recurrent(np.zeros((3, 3)))).lam == 0.0
    nilpotent = contraction(recurrent([[0.0, 5.0], [0.0, 0.0]]))
    # the infimum 0 is not attained: the rate stays above it
    assert 0 < nilpotent.lam < 1e-4
    defective = contraction(recurrent([[0.9, 5.0], [0.0, 0.9]]))
    assert 0.9 < defective.lam < 0.9001
    W = np.kron([[1.0, 5.0], [0.0, 1.0]], [[0.5, -0.6], [0.6, 0.5]])
    assert math.sqrt(0.61) < contraction(recurrent(W)).lam < math.sqrt(0.61) * 1.001


def test_permutation_with_bad_units():
    rng = np.random.default_rng(9)
    d = np.exp(rng.uniform(-6, 6, 6))
    W = 0.9 * np.eye(6)[rng.permutation(6)] * d[:, None] / d[None, :]
    for method in ("auto", "lmi", "diagonal", "perron"):
        assert contraction(recurrent(W), method=method).lam == pytest.approx(0.9, rel=2e-3)


def test_boundary_is_refused():
    for size in (1.0, 1.0 + 2.0**-52):
        assert contraction(recurrent(size * np.eye(2)), effort=2) is None
    assert contraction(recurrent((1 - 2.0**-40) * np.eye(2))).lam < 1


def test_single_precision_is_taken_as_it_is():
    W = MONE.astype(np.float32)
    c = contraction(recurrent(W), method="lmi")
    assert np.float64(np.float32(0.9)) <= c.lam <= 0.9001


def test_linear_maps_reach_their_spectral_radius():
    rng = np.random.default_rng(10)
    A = rng.standard_normal((8, 8))
    A *= 0.95 / np.max(np.abs(np.linalg.eigvals(A)))
    c = contraction(LinearMap(A, np.ones((8, 1))))
    assert c.evidence.method == "Lyapunov"
    assert 0.95 * (1 - 1e-12) <= c.lam <= 0.95 * (1 + 1e-4)
    assert contraction(recurrent(A), method="lyapunov") is None
    assert contraction(LinearMap(A * 1.06, np.ones((8, 1)))) is None


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 6))
def test_never_below_the_lower_bound(seed, n):
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((n, n)) * np.exp(rng.uniform(-3, 3, (n, 1)))
    W *= rng.uniform(0.1, 1.0) / np.max(np.abs(np.linalg.eigvals(W)))
    cell = recurrent(W, (*ACTIVATIONS.values(), leaky_relu(-0.3))[rng.integers(8)])
    lower = rate_lower(cell, starts=2, length=2).rate
    for name, c in contractions(cell).items():
        assert c.lam >= lower, name


def test_bad_requests():
    cell = recurrent(MONE)
    with pytest.raises(ValueError, match="numerical_radius"):
        contraction(cell, method="sharpest")
    for effort in (-1, 3, 1.5):
        with pytest.raises(ValueError, match="effort="):
            contraction(cell, effort=effort)
