"""Balls of matrix norms: hand-solved cases, extremes, cvxpy, and what makes a nearest point one."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory.arithmetic import rigor
from theory.kernels.row_sums import row_sum_kernel, sum_excess
from theory.projections import column_sum_ball, oracle, row_sum_ball, spectral_ball
from theory.projections.balls import clip_singular_values

BALLS = {"spectral": spectral_ball, "linf": row_sum_ball, "l1": column_sum_ball}
MEASURES = {
    "spectral": rigor.spectral_norm_upper,
    "linf": rigor.row_sum_upper,
    "l1": rigor.column_sum_upper,
}
every_ball = pytest.mark.parametrize("name", BALLS)

#: A margin of 16 (n + 4)**2 u relative to the radius is all that a result may fall short of it.
SHORT = 2.0**-36


def matrices(seed, n, scale=1.0):
    return np.random.default_rng(seed).standard_normal((n, n)) * scale


def is_member(name, Y, radius):
    if name == "spectral":
        return rigor.spectral_norm_at_most(np.asarray(Y, dtype=np.float64), radius)
    return MEASURES[name](np.asarray(Y, dtype=np.float64)) <= radius


# ---------------------------------------------------------------------------- hand-solved cases


def test_two_by_two():
    D = np.diag([2.0, 0.5])
    for name, ball in BALLS.items():
        assert np.allclose(ball(D, 1.0), np.diag([1.0, 0.5]), atol=1e-12), name
    # singular values 3 and 1 on the diagonals of the plane
    W = np.array([[2.0, 1.0], [1.0, 2.0]])
    assert np.allclose(spectral_ball(W, 1.5), [[1.25, 0.25], [0.25, 1.25]], atol=1e-12)
    assert row_sum_ball(W, 2.0).tolist() == [[1.5, 0.5], [0.5, 1.5]]
    assert row_sum_ball(W, 1.0).tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert column_sum_ball([[2.0, 0.0], [-1.0, 0.5]], 1.0).tolist() == [[1.0, 0.0], [0.0, 0.5]]


def test_weighted_rows_by_hand():
    # |y1| + 2 |y2| <= 2 from (3, 1): y = (3 - t, 1 - 2 t) has 5 - 5 t = 2 at t = 3/5, y2 < 0; so
    # y2 = 0 and y1 = 2
    assert row_sum_ball([[3.0, 1.0]], 2.0, weights=[1.0, 2.0]) == pytest.approx(
        np.array([[2.0, 0.0]]), abs=1e-12
    )
    # from (2, 2): t = (6 - 2) / 5 = 4/5, y = (1.2, .4)
    assert row_sum_ball([[2.0, -2.0]], [2.0], weights=[1.0, 2.0]) == pytest.approx(
        np.array([[1.2, -0.4]]), abs=1e-12
    )


# ------------------------------------------------------------------------------------ properties


@every_ball
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 6),
    exponent=st.sampled_from([-200, -10, 0, 1, 20, 200]),
    radius=st.sampled_from([1e-3, 0.5, 0.999, 3.0]),
    single=st.booleans(),
)
def test_member_idempotent_and_nearest(name, seed, n, exponent, radius, single):
    ball = BALLS[name]
    scale = math.ldexp(1.0, max(min(exponent, 100), -100) if single else exponent)
    W = matrices(seed, n, scale)
    W = W.astype(np.float32) if single else W
    Y = ball(W, radius)
    assert Y.dtype == W.dtype
    assert is_member(name, Y, radius)
    assert np.array_equal(ball(Y, radius), Y)
    wide, near = W.astype(np.float64), Y.astype(np.float64)
    if is_member(name, wide, radius):
        assert np.array_equal(Y, W)
        return
    # <W - Y, V - Y> <= 0 for members V, up to the margin and the cast
    unit = 2.0**-20 if single else SHORT
    rng = np.random.default_rng(seed + 1)
    for V in (*rng.standard_normal((8, n, n)), np.zeros((n, n)), near):
        V = V * radius / max(MEASURES[name](V), 1e-300) if np.any(V) else V
        slack = unit * np.linalg.norm(wide - near) * (np.linalg.norm(near) + radius * n)
        assert np.sum((wide - near) * (V - near)) <= slack


@every_ball
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 5), spread=st.sampled_from([1e-3, 1.0]))
def test_not_expansive(name, seed, n, spread):
    W = matrices(seed, n, 2.0)
    V = W + matrices(seed + 1, n, spread)
    moved = np.linalg.norm(BALLS[name](W, 0.9) - BALLS[name](V, 0.9))
    assert moved <= np.linalg.norm(W - V) + SHORT * n


def test_rescaling_is_no_projection():
    """A.12 (g): scaling rows, or the whole matrix, down to the ball expands distances."""
    for n in (2, 20, 50):
        near, far = np.zeros((1, n)), np.full((1, n), 1e-4)
        near[0, 0] = far[0, 0] = 1.0
        shrink = far / np.sum(np.abs(far))
        expansion = np.linalg.norm(shrink - near) / np.linalg.norm(far - near)
        assert 0.95 * math.sqrt(n - 1) < expansion
        assert expansion > 4 or n < 20
        nearest = row_sum_ball(far, 1.0)
        assert np.linalg.norm(nearest - near) <= np.linalg.norm(far - near)
        # the whole matrix by its spectral norm, from the identity
        D, E = np.eye(n), np.diag(np.append(1.0 + 1e-4, np.ones(n - 1)))
        assert np.linalg.norm(E / (1.0 + 1e-4) - D) / np.linalg.norm(E - D) == pytest.approx(
            math.sqrt(n - 1), rel=1e-3
        )


@every_ball
def test_members_stay_bit_for_bit(name):
    for W in (np.zeros((3, 3)), np.eye(3), -np.eye(1), np.diag([1.0, -0.25]), 0.3 * matrices(1, 2)):
        assert np.array_equal(BALLS[name](W, 1.0), W)
        assert np.array_equal(np.signbit(BALLS[name](W, 1.0)), np.signbit(W))


@every_ball
def test_in_place(name):
    for dtype in (np.float64, np.float32):
        W = matrices(3, 5).astype(dtype)
        expected = BALLS[name](W, 0.7)
        assert BALLS[name](W, 0.7, out=W) is W
        assert np.array_equal(W, expected)
        assert np.any(W < 0)


def test_repeated_and_missing_directions():
    rng = np.random.default_rng(4)
    Q = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    assert np.allclose(spectral_ball(3 * Q, 1.0), Q, atol=1e-11)
    one = np.outer(rng.standard_normal(6), rng.standard_normal(6))
    assert np.allclose(spectral_ball(one, 1.0), one / np.linalg.norm(one, 2), atol=1e-11)
    wild = one * 1e6 + 0.1 * Q
    left, s, right = np.linalg.svd(wild)
    expected = (left * np.minimum(s, 1.0)) @ right
    assert np.allclose(spectral_ball(wild, 1.0), expected, atol=1e-9)


@every_ball
@pytest.mark.parametrize("n", [1, 2, 8, 32])
def test_cvxpy_agrees(name, n):
    W = matrices(n, n)
    solver = {
        "spectral": lambda: oracle.spectral(W, 0.9),
        "linf": lambda: oracle.row_sums(W, np.full(n, 0.9), np.ones(n)),
        "l1": lambda: oracle.column_sums(W, np.full(n, 0.9), np.ones(n)),
    }[name]
    if name == "spectral" and n > 8:
        solver = lambda: oracle.solve(  # noqa: E731
            (W,), lambda cp, x: [cp.sigma_max(x[0]) <= 0.9], (("SCS", {"eps": 1e-6}),)
        )
    solved = solver()
    ours = BALLS[name](W, 0.9)
    assert np.linalg.norm(ours - W) <= solved.value * (1 + 1e-6) + 1e-6
    assert np.max(np.abs(solved.arrays[0] - ours)) < 2e-4


def test_weighted_cvxpy_agrees():
    rng = np.random.default_rng(8)
    W, v, limits = rng.standard_normal((6, 9)), rng.uniform(0.2, 4, 9), rng.uniform(0.5, 3, 6)
    solved = oracle.row_sums(W, limits, v)
    ours = row_sum_ball(W, limits, weights=v)
    assert np.max(np.abs(solved.arrays[0] - ours)) < 1e-6
    assert np.all(np.abs(ours) @ v <= limits * (1 + 1e-15))
    columns = oracle.column_sums(W.T, limits, v)
    assert np.max(np.abs(columns.arrays[0] - column_sum_ball(W.T, limits, weights=v))) < 1e-6


def exact_row(x, v, limit):
    """The nearest point by its definition, in rational numbers."""
    a, v, limit = [Fraction(abs(t)) for t in x], [Fraction(t) for t in v], Fraction(limit)
    if sum(s * t for s, t in zip(a, v, strict=True)) <= limit:
        return a
    order = sorted(range(len(a)), key=lambda j: -a[j] / v[j])
    for count in range(1, len(a) + 1):
        kept = order[:count]
        tau = (sum(v[j] * a[j] for j in kept) - limit) / sum(v[j] ** 2 for j in kept)
        if all(a[j] <= tau * v[j] for j in order[count:]):
            break
    return [max(s - tau * t, Fraction(0)) for s, t in zip(a, v, strict=True)]


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 9),
    weights=st.sampled_from([0.0, 1.0, 5.0, 20.0, 40.0]),
    entries=st.sampled_from([0.0, 1.0, 9.0]),
    excess=st.sampled_from([1e-3, 1.0, 9.0, 40.0]),
)
def test_weights_of_all_sizes(seed, n, weights, entries, excess):
    """As near as the exact point is, to the last digits, and not only a member."""
    rng = np.random.default_rng(seed)
    v = np.exp(np.clip(weights * rng.standard_normal(n), -130, 130))
    x = rng.standard_normal(n) * np.exp(entries * rng.standard_normal(n))
    limit = float(np.abs(x) @ v * np.exp(-excess * rng.uniform()))
    (y,) = row_sum_ball(x[None], [limit], weights=v)
    right = exact_row(x.tolist(), v.tolist(), limit)
    assert sum(Fraction(abs(s)) * Fraction(t) for s, t in zip(y, v, strict=True)) <= limit
    off = sum((Fraction(abs(s)) - t) ** 2 for s, t in zip(y, right, strict=True))
    assert off <= Fraction(2**-49) ** 2 * n**2 * sum(t**2 for t in right)


@pytest.mark.parametrize("seed", range(8))
def test_quotients_that_only_rounding_tells_apart(seed):
    """The order of x_j / v_j is decided exactly."""
    rng = np.random.default_rng(seed)
    v = rng.uniform(0.1, 10.0, 12)
    x = 0.7 * v
    for excess in (1e-3, 1.0, 20.0):
        limit = float(x @ v * np.exp(-excess))
        (y,) = row_sum_ball(x[None], [limit], weights=v)
        right = exact_row(x.tolist(), v.tolist(), limit)
        off = sum((Fraction(s) - t) ** 2 for s, t in zip(y.tolist(), right, strict=True))
        assert off <= Fraction(2**-48) ** 2 * sum(t**2 for t in right)


def test_a_limit_of_zero():
    out = np.ones((2, 2))
    moved = row_sum_kernel(np.array([[0.0, 0.0], [1.0, 2.0]]), np.ones(2), np.zeros(2), False, out)
    assert moved == 2
    assert not np.any(out)


def test_weights_of_two_sizes():
    # the entries of the first column weigh nothing beside those of the second
    W = np.array([[2.0, 0.1], [0.3, 1.0]])
    v = np.array([1e-9, 1e9])
    assert np.allclose(row_sum_ball(W, 0.9 * v, weights=v), [[0.9, 0.0], [0.3, 0.9]], rtol=1e-15)
    assert np.allclose(row_sum_ball(W, [0.5, 9.0], weights=[1e55, 1e-55]), [[0, 0.1], [0, 1]])
    # only ratios count, also where squares of weights would overflow
    for size in (1e-300, 1e300):
        same = row_sum_ball(W, 0.9 * np.array([1.0, 2.0]) * size, weights=[size, 2 * size])
        assert np.allclose(same, row_sum_ball(W, [0.9, 1.8], weights=[1.0, 2.0]), rtol=1e-14)
    with pytest.raises(ValueError, match="ratio of at most"):
        row_sum_ball(W, v, weights=[1e-300, 1e300])


@every_ball
@pytest.mark.parametrize("size", [5e-324, 1e-310, 1e-200, 1e200, 1e308])
def test_sizes_at_both_ends(name, size):
    W = np.array([[size, size / 2], [0.0, size / 3]])
    for radius in (1e-300, 0.5, 1e300):
        for weights in (None, [1e-300, 2e-300], [1e300, 1e290]):
            options = {} if name == "spectral" or weights is None else {"weights": weights}
            Y = BALLS[name](W, radius, **options)
            assert np.isfinite(Y).all()
            assert name == "spectral" or np.all(np.abs(Y) <= np.abs(W))
            if not options:
                assert is_member(name, Y, radius)


# --------------------------------------------------------------------------------------- kernels


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 40),
    plain=st.booleans(),
    off=st.integers(-3, 3),
)
def test_sum_excess_never_errs_downwards(seed, n, plain, off):
    rng = np.random.default_rng(seed)
    a = np.abs(rng.standard_normal(n)) * np.exp(rng.uniform(-20, 20, n))
    v = np.ones(n) if plain else rng.uniform(0.1, 3, n)
    exact = sum((Fraction(x) * Fraction(y) for x, y in zip(a, v, strict=True)), Fraction(0))
    limit = float(exact)
    for _ in range(abs(off)):
        limit = math.nextafter(limit, math.copysign(math.inf, off))
    if sum_excess(a, v, plain, limit) <= 0:
        assert exact <= Fraction(limit)
    else:
        # it is only wrong by a rounding of the products, or the square of one
        relative = 2.0**-90 if plain else 2.0**-51
        assert exact > Fraction(limit) * Fraction(1 - relative) or exact > limit


def test_kernel_counts_rows():
    W = np.array([[3.0, 4.0], [0.1, 0.2], [0.0, -9.0]])
    out = np.empty_like(W)
    assert row_sum_kernel(W, np.ones(2), np.ones(3), True, out) == 2


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(7, 19), (19, 7), (1, 9), (8, 8)])
def test_columns_are_rows_of_the_transpose(dtype, shape):
    """Bit for bit, also where the columns do not fill the blocks that they are taken in."""
    W = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    limits = np.linspace(0.1, 3.0, shape[1])
    v = np.linspace(0.5, 2.0, shape[0])
    for weights in (None, v):
        rows = row_sum_ball(W.T, limits, weights=weights)
        assert np.array_equal(column_sum_ball(W, limits, weights=weights), rows.T)


def test_clipping_keeps_what_is_small_beside_what_is_removed():
    W = np.array([[1e100, 3e99], [0.0, 1.0]])
    assert np.linalg.norm(spectral_ball(W, 0.5), 2) == pytest.approx(0.5)
    assert np.linalg.norm(spectral_ball(W, 0.5)) > 0.7


def test_clipping_splits():
    W = matrices(5, 6, 3.0)
    for radius in (0.5, 1e-4):
        kept, removed = clip_singular_values(W, radius)
        assert np.allclose(kept + removed, W)
        assert np.linalg.norm(kept, 2) == pytest.approx(radius)


# ------------------------------------------------------------------------------------- bad input


@every_ball
def test_bad_input(name):
    ball = BALLS[name]
    W = np.eye(2)
    with pytest.raises(ValueError, match="holds nan"):
        ball([[math.nan, 0.0], [0.0, 1.0]], 1.0)
    with pytest.raises(ValueError, match="holds inf"):
        ball(np.full((2, 2), np.inf, dtype=np.float32), 1.0)
    for bad in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="radius"):
            ball(W, bad)
    with pytest.raises(ValueError, match="shape"):
        ball(np.ones(3), 1.0)
    for out in (np.empty((2, 3)), np.empty((2, 2), np.float32), np.empty((2, 2)).T[::-1]):
        with pytest.raises(ValueError, match="out="):
            ball(W, 1.0, out=out)


def test_bad_weights():
    with pytest.raises(ValueError, match="weights"):
        row_sum_ball(np.eye(2), 1.0, weights=[1.0, 0.0])
    with pytest.raises(ValueError, match="radius has 3"):
        row_sum_ball(np.eye(2), [1.0, 1.0, 1.0])
