"""Nearest Schur-stable matrices: two by two exactly, larger ones from both sides."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp
from scipy.optimize import minimize

from theory import LinearMap, VanillaRNN
from theory.arithmetic.rounding import UNIT
from theory.kernels.stable_pairs import _hyperbola
from theory.projections import project
from theory.projections import schur as schur_module
from theory.projections.lyapunov_path import _lyapunov
from theory.projections.nearest_stable import nearest_stable, schur_factor
from theory.projections.spectrum_lower import (
    _around,
    _Pairs,
    determinant_lower,
    pair_distances_lower,
    principal_lower,
    schur_lower,
    trace_lower,
)
from theory.projections.stable_pairs import stable_pairs


def radius(X):
    return float(np.max(np.abs(np.linalg.eigvals(X))))


def jury(M):
    """Return the largest violation of 2 x 2 stability, |tr| <= 1 + det, det <= 1."""
    det = M[0, 0] * M[1, 1] - M[0, 1] * M[1, 0]
    return max(det - 1, abs(M[0, 0] + M[1, 1]) - 1 - det)


def by_search(M, rng):
    """Return the distance from stable 2 x 2 matrices by a general solver from many starts."""
    signs = ((0, -1), (1, 1), (1, -1))

    def constraint(which):
        kind, sign = signs[which]

        def function(x):
            det = x[0] * x[3] - x[1] * x[2]
            return 1 - det if kind == 0 else 1 + det + sign * (x[0] + x[3])

        return {"type": "ineq", "fun": function}

    limits = [constraint(k) for k in range(3)]
    best = np.inf
    for _ in range(10):
        start = M.ravel() * rng.uniform(0, 1) + rng.standard_normal(4) * 0.5
        found = minimize(
            lambda x: np.sum((x - M.ravel()) ** 2),
            start,
            jac=lambda x: 2 * (x - M.ravel()),
            constraints=limits,
            method="SLSQP",
            options={"maxiter": 300, "ftol": 1e-14},
        )
        if min(limit["fun"](found.x) for limit in limits) > -1e-9:
            best = min(best, np.sqrt(found.fun))
    return best


@pytest.mark.parametrize("kind", range(5))
def test_two_by_two_against_a_solver(kind):
    rng = np.random.default_rng(kind)
    for _ in range(6):
        M = rng.standard_normal((2, 2)) * rng.choice([0.5, 1, 2, 5])
        if kind == 1:
            M = np.diag(rng.standard_normal(2) * 2)
        if kind == 2:
            M = np.array([[0, 1], [-1, 0]]) * rng.uniform(0, 5) + 1e-9 * M
        if kind == 3:
            M = np.triu(M) + 0.1 * np.eye(2)
        if kind == 4:
            M = M + M.T
        X = stable_pairs(M[None], 1.0)[0]
        assert jury(X) <= 1e-12
        assert np.linalg.norm(X - M) == pytest.approx(by_search(M, rng), rel=1e-5, abs=1e-6)


@given(seed=st.integers(0, 2**32 - 1), r=st.sampled_from([1e-3, 0.5, 1.0, 40.0]))
def test_two_by_two_scales_and_stays(seed, r):
    M = np.random.default_rng(seed).standard_normal((3, 2, 2)) * 3
    X = stable_pairs(M, 1.0)
    assert np.allclose(stable_pairs(r * M, r), r * X, atol=1e-10 * r)
    inner = 0.9 * X
    assert np.array_equal(stable_pairs(inner, 1.0), inner)
    assert np.allclose(np.transpose(stable_pairs(np.transpose(M, (0, 2, 1)), 1.0), (0, 2, 1)), X)


def test_known_nearest_points():
    # a small excess of one eigenvalue is cut; of a large one it is nearer to turn the matrix
    near = stable_pairs(np.array([[[1.1, 0.0], [0.0, 0.2]]]), 1.0)[0]
    assert np.allclose(near, np.diag([1, 0.2]))
    far = stable_pairs(np.array([[[3.0, 0.0], [0.0, 0.2]]]), 1.0)[0]
    assert np.allclose(np.abs(far), [[1.7, 0.7], [0.7, 0.3]])
    assert far[0, 1] == -far[1, 0]
    turn = np.array([[0.0, -2.0], [2.0, 0.0]])
    X = stable_pairs(turn[None], 1.0)[0]
    assert np.linalg.norm(X - turn) <= np.linalg.norm(turn - turn / 2) + 1e-12
    # a Jordan block of size 2 at 0 is stable however large
    J = np.array([[[0.0, 1e6], [0.0, 0.0]]])
    assert np.array_equal(stable_pairs(J, 1.0), J)


@pytest.mark.parametrize("n", [1, 2, 3, 6, 9])
def test_bounds_from_both_sides(n):
    rng = np.random.default_rng(n)
    A = rng.standard_normal((n, n)) + 1.5 * np.eye(n)
    found = nearest_stable(A, 0.9, starts=3, rng=rng)
    X = found.matrix
    assert np.linalg.norm(X - A) == pytest.approx(found.distance, abs=1e-9)
    # eigenvalues on the boundary may be multiple, and then computed ones are no measure
    assert np.linalg.norm(found.Q.T @ found.Q - np.eye(n)) < 1e-10
    for k in range(0, n - 1, 2):
        assert jury(found.S[k : k + 2, k : k + 2] / 0.9) < 1e-12
    assert np.all(np.abs(np.diag(found.S)[n - n % 2 :]) <= 0.9)
    assert not np.any(np.tril(found.S, -2))
    s = np.linalg.svd(A)[1]
    assert schur_lower(A, 0.9) <= found.distance <= np.linalg.norm(np.maximum(s - 0.9, 0)) + 1e-9
    assert trace_lower(A, 0.9) <= found.distance + 1e-12


def test_lower_bounds_are_lower():
    rng = np.random.default_rng(7)
    for _ in range(100):
        n = int(rng.integers(1, 7))
        X = rng.standard_normal((n, n))
        X *= 0.9 / max(radius(X), 1e-9)
        A = X + rng.standard_normal((n, n)) * rng.choice([1e-6, 0.1, 10])
        assert schur_lower(A, 0.9) <= np.linalg.norm(A - X)
        S = 0.9 * np.linalg.qr(A)[0]
        assert determinant_lower(S + 0.3 * A, 0.9) <= np.linalg.norm(0.3 * A)
        # small entries: every principal submatrix is stable
        X = np.clip(X, -0.9 / n, 0.9 / n)
        assert principal_lower(A, 0.9) <= np.linalg.norm(A - X)
    # an orthogonal factor: one singular value may vanish, or all fall a little
    for n, size in ((2, 1.0001), (8, 1.2), (30, 3.0)):
        Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
        bound = determinant_lower(size * Q, 1.0)
        assert bound <= min(size - size ** (1 - n), np.sqrt(n) * (size - 1)) * (1 + 1e-12)
        assert bound >= 0.7 * min(size, np.sqrt(n) * (size - 1))
        assert schur_lower(2.0**-300 * size * Q, 2.0**-300) == pytest.approx(2.0**-300 * bound)
    assert determinant_lower(np.diag([9.0, 1e-3]), 1.0) == 0
    # attained: the trace by multiples of the identity, pairs by diagonal matrices
    assert trace_lower(3 * np.eye(4), 1.0) == pytest.approx(4.0)
    assert principal_lower(np.diag([3.0, -2.0, 0.5]), 1.0) == pytest.approx(np.sqrt(5))


def system(A):
    return LinearMap(A, np.eye(len(A)))


@pytest.mark.parametrize("seed", [0, 1])
def test_projection_is_proved_and_beats_convex_sets(seed):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((8, 8)) / np.sqrt(8) * 1.6
    found = project(system(A), onto="schur", rate=0.95, starts=2)
    assert found.certificate.lam <= 0.95
    assert found.certificate.evidence.kind == "certified"
    assert radius(found.map.W) < 0.95
    assert found.lower <= found.distance
    spectral = project(system(A), onto="spectral", rate=0.95)
    assert found.distance < 0.7 * spectral.distance
    free = found.residuals["distance of a stable matrix without proof"]
    # the proof costs little: it was 16 % before the central path
    assert found.distance <= 1.01 * free
    assert found.moved["U"] == 0.0


def test_a_stable_matrix_is_a_start_no_further_away():
    # a real eigenvalue before complex pairs: pairs of rows then cut the blocks of the pairs
    pair = np.array([[0.0, -0.9], [0.9, 0.0]])
    X = np.zeros((6, 6))
    X[0, 0], X[1:3, 1:3], X[3, 3], X[4:, 4:] = 0.5, pair, -0.5, 0.5 * pair
    for A in (X, X.T + 0.1):
        Q = schur_factor(A)
        T = Q.T @ A @ Q
        assert np.allclose(np.tril(T, -2), 0)
        assert np.allclose(np.diag(T, -1)[1::2], 0)
    A = X + 0.2 * np.random.default_rng(0).standard_normal((6, 6))
    found = nearest_stable(A, 0.9, starts=1, steps=0, near=(X,))
    assert found.distance <= np.linalg.norm(X - A) + 1e-12


def test_the_gradient_of_the_barrier_problem():
    rng = np.random.default_rng(3)
    S = 0.3 * rng.standard_normal((4, 4))
    P, Y, trace = _lyapunov(S, 1e6)
    assert np.allclose(P, np.eye(4) + S.T @ P @ S)
    assert np.allclose(Y, np.eye(4) + S @ Y @ S.T)
    E = rng.standard_normal((4, 4))
    near = [_lyapunov(S + t * E, 1e6)[2] for t in (1e-5, -1e-5)]
    assert (near[0] - near[1]) / 2e-5 == pytest.approx(2 * np.sum((P @ S @ Y) * E), rel=1e-6)
    assert trace == pytest.approx(np.trace(P))
    assert _lyapunov(1.01 * np.eye(4), 1e6) is None
    assert _lyapunov(0.999 * np.eye(4), 1e3) is None


def matrix_of(kind):
    rng = np.random.default_rng(10)
    G = rng.standard_normal((10, 10))
    return {
        "gaussian": 0.5 * G,
        # the nearest point is 0.95 Q, at the border in every norm; a second projection moved it
        "orthogonal": 1.2 * np.linalg.qr(G)[0],
        "symmetric": 0.2 * (G + G.T),
        "jordan": 1.1 * np.eye(5) + np.eye(5, k=1),
        "rotation": np.array([[0.0, -2.0], [2.0, 0.0]]),
        "one": np.array([[-7.0]]),
    }[kind]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "kind", ["gaussian", "orthogonal", "symmetric", "jordan", "rotation", "one"]
)
def test_what_it_returns_is_a_member(kind, dtype):
    found = project(system(matrix_of(kind)), onto="schur", rate=0.95, starts=1, dtype=dtype)
    again = project(found.map, onto="schur", rate=0.95, dtype=dtype)
    assert again.map is found.map
    assert again.distance == 0.0
    assert again.certificate.lam <= 0.95


def test_the_nearest_point_need_not_be_symmetric():
    # the gradient of a symmetric matrix is symmetric: without a disturbance the path stays there
    G = np.random.default_rng(4).standard_normal((12, 12))
    A = (G + G.T) * (1.5 / np.linalg.norm(G + G.T, 2))
    plain = np.linalg.norm(np.maximum(np.abs(np.linalg.eigvalsh(A)) - 0.95, 0))
    found = project(system(A), onto="schur", rate=0.95, starts=2)
    assert found.distance < 0.97 * plain


def test_extreme_systems():
    cases = {
        "large": 1e6 * np.eye(2),
        "small": 1e-200 * np.eye(3),
        "jordan": np.array([[1.2, 1.0], [0.0, 1.2]]),
        "nilpotent": np.array([[0.0, 1e3], [0.0, 0.0]]),
        "one": np.array([[-7.0]]),
        "zero": np.zeros((2, 2)),
        "companion": np.array([[0.0, 1.0], [-1.4, 2.3]]),
    }
    for name, A in cases.items():
        found = project(system(A), onto="schur", rate=0.9, starts=2)
        assert found.certificate.lam <= 0.9, name
        assert found.lower <= found.distance, name
    assert project(system(cases["nilpotent"]), onto="schur", rate=0.9).distance == 0.0
    assert project(system(cases["one"]), onto="schur", rate=0.9).distance == pytest.approx(6.1)


def test_what_it_does_not_apply_to():
    with pytest.raises(ValueError, match="nonlinear"):
        project(VanillaRNN([[2.0]], [[1.0]]), onto="schur", rate=0.5)
    with pytest.raises(ValueError, match="not a convex set"):
        project(system(np.eye(2)), onto="schur", rate=0.5, method="cvxpy")


def test_the_nearest_point_of_a_hyperbola_on_its_axis():
    # x**2 - y**2 = 1 nearest to (0, b): x**2 + (y - b)**2 = 1 + y**2 + (y - b)**2 is least at b / 2
    assert _hyperbola(0.0, 3.0) == (math.sqrt(3.25), 1.5)
    assert _hyperbola(3.0, 0.0) == (1.5, pytest.approx(math.sqrt(1.25)))


def integer_pairs():
    """Return all 2 x 2 matrices of small integers."""
    return np.array(list(itertools.product(range(-3, 4), repeat=4)), float).reshape(-1, 2, 2)


def test_pairs_with_an_eigenvalue_at_the_radius_are_members():
    """Where a cone's inequality failed by rounding, the cone itself was no candidate."""
    M = integer_pairs()
    det = M[:, 0, 0] * M[:, 1, 1] - M[:, 0, 1] * M[:, 1, 0]
    M = M[(det <= 1) & (np.abs(M[:, 0, 0] + M[:, 1, 1]) <= 1 + det)]
    assert len(M) > 100
    for r in (1.0, 0.9, 1 / 3):
        # r M is rounded, but the distance is not more than a rounding
        assert np.max(np.abs(stable_pairs(r * M, r) - r * M)) <= 1e-14
        assert np.max(pair_distances_lower(r * M / 4, r / 4)) <= 1e-15
    assert np.all(pair_distances_lower(M / 4, 0.25) == 0.0)
    assert principal_lower(np.array([[1.0, 1.0], [0.0, 0.0]]), 1.0) == 0.0


def exact_pair_distance(M, r):
    """Return the distance to the nearest of all candidates, members in 120 bits."""
    a, b, c, d = (mp.mpf(x) for x in M.ravel().tolist())
    r = mp.mpf(r)
    p, q = abs(a + d) / 2, abs(c - b) / 2
    s = mp.sqrt((a - d) ** 2 + (b + c) ** 2) / 2
    room = mp.mpf(2) ** -90

    def inside(p, q, s):
        return (
            -room <= p <= r + room
            and p * p + q * q - s * s <= r * r + room * (1 + s * s)
            and s * s - q * q <= (r - p) ** 2 + room * (1 + s * s)
        )

    def hyperbola(a, b):
        low, high = mp.mpf(-1), mp.mpf(1)
        for _ in range(120):
            m = (low + high) / 2
            above = (a / (1 + m)) ** 2 - (b / (1 - m)) ** 2 > r * r
            low, high = (m, high) if above else (low, m)
        if a == 0:
            return mp.sqrt(r * r + b * b / 4), b / 2
        x = max(a / (1 + low), r)
        return x, mp.sqrt(x * x - r * r)

    y, x = hyperbola(s, q)
    length, t = mp.sqrt(p * p + q * q), mp.sqrt(q * q + (r - p) ** 2)
    points = [(p, q, s), (r, (s + q) / 2, (s + q) / 2), (mp.mpf(0), x, y)]
    if length:
        x, y = hyperbola(length, s)
        points.append((p * x / length, q * x / length, y))
    if t:
        h = (s + t) / 2
        points.append((r - (r - p) * h / t, q * h / t, h))
    squares = [(x - p) ** 2 + (y - q) ** 2 + (z - s) ** 2 for x, y, z in points if inside(x, y, z)]
    return mp.sqrt(2 * min(squares))


def pairs_of_every_kind():
    rng = np.random.default_rng(5)
    G = rng.standard_normal((12, 2, 2))
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    eye = np.eye(2)
    near = stable_pairs(3 * G, 1.0)
    return {
        "gaussian": 2 * G,
        "diagonal": 2 * G * eye,
        "triangular": 3 * np.triu(G),
        "symmetric": G + np.transpose(G, (0, 2, 1)),
        "graded": G * 10.0 ** rng.uniform(-9, 3, G.shape),
        # s = 0 and q = 0, where the multiplier is at an end, and their neighbours
        "rotations": rng.uniform(0, 5, (12, 1, 1)) * turn,
        "nearly rotations": rng.uniform(0, 5, (12, 1, 1)) * turn + 1e-15 * G,
        "multiples of the identity": rng.uniform(-3, 3, (12, 1, 1)) * eye,
        "nearly multiples": rng.uniform(-3, 3, (12, 1, 1)) * eye + 1e-13 * G,
        "at the border": near,
        "near the border": near + G * 10.0 ** rng.uniform(-16, -2, (12, 1, 1)),
        "integers": integer_pairs()[::211],
        "huge": 1e150 * G,
        "zero": np.zeros((1, 2, 2)),
    }


@pytest.mark.parametrize("radius", [1.0, 0.9, 1e-3])
@pytest.mark.parametrize("kind", pairs_of_every_kind())
def test_pair_distances_are_proved_and_lose_nothing_but_rounding(kind, radius):
    r"""The dual has no gap: in units of the size, 32 u of squares taken off cost 16 u or less.

    Away from the surface it is the squared distance that errs relatively, and near to it, at the
    distance delta, the squared distance errs by 32 u delta size.
    """
    M = pairs_of_every_kind()[kind] * (radius if radius < 0.5 else 1.0)
    e = int(np.frexp(np.max(np.abs(M)))[1])
    M, r = np.ldexp(M, -e), max(math.ldexp(radius, -e), 2.0**-200)
    lower = pair_distances_lower(M, r)
    with mp.workprec(120):
        for one, bound in zip(M, lower.tolist(), strict=True):
            exact = exact_pair_distance(one, r)
            assert bound <= exact
            size = math.sqrt(float(np.sum(np.square(one)))) + r
            assert exact - bound <= 64 * UNIT * size


@pytest.mark.parametrize("multiplier", [-1.0, -0.5, 0.0, 1e-3, 0.7, 1.0])
def test_the_multiplier_of_a_pair_is_not_trusted(monkeypatch, multiplier):
    """Whatever m is found, what is returned is a lower bound."""
    monkeypatch.setattr(_Pairs, "slope", lambda _, quotient: multiplier - _around(quotient)[2])
    with mp.workprec(120):
        for M in pairs_of_every_kind().values():
            M = M / max(float(np.max(np.abs(M))), 1.0)
            for one, bound in zip(M[:6], pair_distances_lower(M[:6], 0.3).tolist(), strict=True):
                assert bound <= exact_pair_distance(one, 0.3)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_distances_of_what_is_no_number_are_not_bounded(value):
    M = np.zeros((4, 2, 2))
    M.reshape(4, 4)[range(4), range(4)] = value
    with np.errstate(invalid="ignore"):
        assert pair_distances_lower(M, 0.5).tolist() == [0.0] * 4


@pytest.mark.parametrize("eps", [1e-6, 1e-7, 1e-8, 1e-9])
def test_principal_lower_bound_near_the_determinant_surface(eps):
    """A rotation a little too large: a square root there has half of the digits."""
    member = 0.9 * np.array([[0.0, -1.0], [1.0, 0.0]])
    A = (1 + eps) * member
    assert principal_lower(A, 0.9) <= np.linalg.norm(A - member)


def test_lower_bounds_of_huge_matrices_are_finite():
    A = np.array([[1e155, 1e155, 0.0], [0.0, 0.1, 0.0], [0.0, 0.0, 0.1]])
    assert 0.9e155 < principal_lower(A, 0.9) <= 1e155
    assert 0.0 < schur_lower(A, 0.9) <= 1e155
    largest = np.finfo(float).max
    assert 0.9 * largest < principal_lower(np.array([[largest]]), 0.9) <= largest
    # the distance is beyond the largest double, which is a lower bound all the same
    assert schur_lower(np.full((3, 3), largest), 0.9) == largest


@pytest.mark.parametrize("lower", [schur_lower, principal_lower])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_lower_bounds_of_subnormal_matrices(lower, n):
    A = np.full((n, n), 1e-320)
    assert lower(A, 0.9) == 0.0
    assert 0.0 < lower(A, 1e-322) <= np.sqrt(n) * 1e-320 * n


def test_the_spectral_ball_is_left_alone_where_it_cannot_be_nearer(monkeypatch):
    asked = []
    spectral = schur_module.spectral

    def counted(recurrent, request):
        asked.append(recurrent)
        return spectral(recurrent, request)

    monkeypatch.setattr(schur_module, "spectral", counted)
    near = system(np.array([[1.1, 3.0], [0.0, 0.5]]))
    assert project(near, onto="schur", rate=0.9, starts=1).distance < 0.5
    assert not asked
    project(system(np.array([[1.0, 1e8], [0.0, 0.5]])), onto="schur", rate=0.9, starts=1)
    assert asked


@pytest.mark.parametrize("diagonal", [(1.0, 0.5), (1.0, 1.0), (0.95, 0.2)])
@pytest.mark.parametrize("beside", [1e6, 1e8])
def test_never_further_than_the_spectral_ball(diagonal, beside):
    """Where no Lyapunov matrix of moderate size proves anything nearby."""
    a, b = diagonal
    cell = LinearMap([[a, beside], [0.0, b]], np.eye(2))
    made = project(cell, onto="schur", rate=0.9)
    assert made.certificate.lam <= 0.9
    assert made.distance <= project(cell, onto="spectral", rate=0.9).distance * (1 + 1e-9)
