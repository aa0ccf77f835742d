"""Lower bounds from pairs of entries: sound for every scaling, attained where they can be."""

import numpy as np
import pytest
from hypothesis import example, given, target
from hypothesis import strategies as st

from theory import LSTM, VanillaRNN
from theory.certify.gate_bounds import certify
from theory.maps import leaky_relu
from theory.projections import project, row_sum_ball, spectral_ball
from theory.projections.lstm_units import per_unit_lower
from theory.projections.pairs import (
    pair_distance_squares,
    scaled_numerical_radius_lower,
    scaled_rows_lower,
    scaled_sums_lower,
)

seeds = st.integers(0, 2**32 - 1)
sizes = st.sampled_from([1e-150, 1e-3, 1.0, 3.0, 1e6, 1e150])

#: The least relative rounding error of the members looked at.
ROUNDED = 1e-9


def matrix(rng, n, size):
    """Draw matrices of different kinds: some nearly symmetric, some triangular, some positive."""
    G = rng.standard_normal((n, n)) / np.sqrt(n)
    kind = rng.integers(4)
    if kind == 0:
        G = G + G.T
    elif kind == 1:
        G = np.triu(G)
    elif kind == 2:
        G = np.abs(G)
    return size * G


@given(seeds, st.integers(1, 6), sizes)
@example(0, 1, 3.0)
def test_no_scaled_ball_is_nearer(seed, n, size):
    rng = np.random.default_rng(seed)
    A, radius = matrix(rng, n, size), float(size * rng.choice([0.1, 0.5, 1.0]))
    lower, best = scaled_rows_lower(A, radius), np.inf
    for spread in (0.0, 0.5, 2.0, 8.0):
        d = np.exp(spread * rng.uniform(-1, 1, n))
        X = spectral_ball(d[:, None] * A / d[None, :], radius) / d[:, None] * d[None, :]
        reached = float(np.linalg.norm((X - A) / size)) * size
        assert lower <= reached * (1 + ROUNDED)
        best = min(best, reached)
    target(lower / best if best else 0.0, label="share of the distance")


@given(seeds, st.integers(1, 5), sizes)
def test_no_scaled_rows_are_nearer(seed, n, size):
    rng = np.random.default_rng(seed)
    factors = (0.25, 1.0)
    blocks = tuple(matrix(rng, n, size) for _ in factors)
    rate = float(size * rng.choice([0.1, 0.5, 1.0]))
    lower = scaled_sums_lower(blocks, factors, rate)
    for spread in (0.0, 0.5, 2.0, 8.0):
        v = np.exp(spread * rng.uniform(-1, 1, n))
        # |B_1| / 4 + |B_2| in one row, by its entries 4 times as large
        X = np.hstack([0.25 * blocks[0], blocks[1]])
        w = np.concatenate([v, v])
        near = row_sum_ball(X, rate * v, weights=w)
        moved = (near - X) * np.repeat([4.0, 1.0], n)
        reached = float(np.linalg.norm(moved / size)) * size
        assert lower <= reached * (1 + ROUNDED)


@given(seeds, st.floats(0, 8), st.floats(0, 8), st.floats(0, 2))
def test_value_of_a_pair(seed, x, y, g):
    """Against random points, and a grid of the smaller one with the best larger one."""
    rng = np.random.default_rng(seed)
    (value,), (product,) = pair_distance_squares(np.array([x]), np.array([y]), np.array([g]))
    v = np.concatenate([np.linspace(0, y, 400), rng.uniform(0, 9, 100)])
    u = np.maximum(x - g * v, 0.0)
    least = float(np.min(np.square(x - u) + np.square(y - v) + 2 * g * u * v))
    u = np.concatenate([np.linspace(0, x, 400), rng.uniform(0, 9, 100)])
    v = np.maximum(y - g * u, 0.0)
    least = min(least, float(np.min(np.square(x - u) + np.square(y - v) + 2 * g * u * v)))
    assert value <= least + 1e-12
    assert value >= least - (8 / 400) ** 2 * (1 + g)
    assert product >= 0


def test_bound_of_one_entry_is_its_distance():
    """|a| - r, at the multiplier |a| / r - 1; the search ends within its accuracy."""
    for a in (1.5, 3.0, 50.0):
        assert scaled_rows_lower(np.array([[-a]]), 1.0) == pytest.approx(a - 1, rel=1e-3)
        assert scaled_rows_lower(np.array([[-a]]), 1.0) <= a - 1


def test_bound_of_a_rotation_is_its_distance():
    A = np.array([[0.0, 1.5], [-1.5, 0.0]])
    assert scaled_rows_lower(A, 1.0) == pytest.approx(np.sqrt(0.5), rel=1e-4)
    made = project(VanillaRNN(A, np.eye(2)), onto="diagonal", rate=0.9)
    assert made.lower == pytest.approx(0.6 * np.sqrt(2), rel=1e-3)
    assert made.distance == pytest.approx(0.6 * np.sqrt(2), rel=1e-6)


def test_far_outside():
    """Radii beside which everything is lost to rounding, and entries of all sizes."""
    assert scaled_rows_lower(np.array([[1e300]]), 1e-300) == pytest.approx(1e300, rel=1e-3)
    A = np.array([[0.0, 1e250], [1e250, 0.0]])
    assert 0.9e250 < scaled_rows_lower(A, 1e-200) <= 1e250
    assert scaled_rows_lower(np.array([[1e-200, 1e200], [1e-300, 0.0]]), 0.5) <= 1e-200
    assert scaled_sums_lower((A,), (1.0,), 1e-200) <= 1e250


@pytest.mark.parametrize("n", [4, 12])
def test_members_have_no_distance(n):
    rng = np.random.default_rng(n)
    d = np.exp(rng.uniform(-3, 3, n))
    X = spectral_ball(rng.standard_normal((n, n)), 1.0) / d[:, None] * d[None, :]
    assert scaled_rows_lower(X, 1.0) <= 1e-6
    assert scaled_rows_lower(np.triu(1e3 * rng.standard_normal((n, n)), 1), 1.0) == 0.0
    assert scaled_rows_lower(np.zeros((n, n)), 1.0) == 0.0
    assert scaled_sums_lower((np.zeros((n, n)),), (1.0,), 1.0) == 0.0


def test_every_piece_is_needed():
    """Without mirror images, or with the level of another set, members would have a distance."""
    rng = np.random.default_rng(0)
    n = 8
    d = np.exp(3.0 * np.arange(n))
    X = spectral_ball(3 * rng.standard_normal((n, n)), 1.0) / d[:, None] * d[None, :]
    assert scaled_rows_lower(X, 1.0) <= 1e-6
    # in one metric alone it is far outside
    assert np.linalg.norm(X - spectral_ball(X, 1.0)) > 1.0
    # and outside the set of half the radius, which the bound sees
    Y = spectral_ball(3 * rng.standard_normal((n, n)), 1.0)
    assert scaled_rows_lower(Y + Y.T, 0.25) > 0.5


@given(seeds, st.integers(1, 4))
def test_lstm_bound_is_sound(seed, n):
    """The weights that a certificate of the larger set is about are no nearer."""
    rng = np.random.default_rng(seed)
    cell = LSTM(
        2 * rng.standard_normal((4 * n, n)), rng.standard_normal((4 * n, 2)),
        rng.standard_normal(4 * n),
    )  # fmt: skip
    rate = float(rng.choice([0.4, 0.9]))
    lower = per_unit_lower(cell, rate, 1.0)
    W, U, b = (a.copy() for a in cell.parameters.values())
    for _ in range(40):
        W, U = 0.9 * W, 0.9 * U
        b[n : 2 * n] = np.minimum(b[n : 2 * n], 3.0) - 0.3
        moved = cell.with_parameters(W=W, U=U, b=b)
        v = np.exp(rng.uniform(-1, 1, 2 * n))
        found = [c for c in (certify(moved, 1.0), certify(moved, 1.0, v)) if c is not None]
        if any(c.lam <= rate for c in found):
            parts = zip(moved.parameters.values(), cell.parameters.values(), strict=True)
            assert lower <= np.sqrt(sum(np.sum(np.square(p - q)) for p, q in parts)) * (1 + 1e-9)
            return
    raise AssertionError("no member was found")


@pytest.mark.parametrize("n", [8, 24])
def test_bound_is_a_good_part_of_the_distance(n):
    """Of Gaussian matrices, where single entries say next to nothing."""
    rng = np.random.default_rng(n)
    A = 3 * rng.standard_normal((n, n)) / np.sqrt(n)
    made = project(VanillaRNN(A, np.eye(n)), onto="diagonal", rate=0.9)
    assert 0.5 * made.distance < made.lower <= made.distance


def numerical_radius(B):
    """Return the numerical radius, from the largest eigenvalue of Re(z B) over a fine circle."""
    z = np.exp(1j * np.linspace(0, 2 * np.pi, 721))[:, None, None]
    half = 0.5 * (z * B + np.conj(z) * B.T)
    return float(np.max(np.linalg.eigvalsh(half)[:, -1])) * (1 + 1e-4)


@given(seeds, st.integers(1, 5), sizes)
@example(0, 1, 3.0)
@example(3, 2, 1.0)
def test_no_scaled_numerical_radius_is_nearer(seed, n, size):
    rng = np.random.default_rng(seed)
    A, radius = matrix(rng, n, size), float(size * rng.choice([0.1, 0.5, 1.0]))
    if rng.integers(2):
        A *= rng.choice([-1.0, 1.0], (n, n))
    lower, best = scaled_numerical_radius_lower(A, radius), np.inf
    for spread in (0.0, 0.5, 2.0, 8.0):
        d = np.exp(spread * rng.uniform(-1, 1, n))
        B = d[:, None] * A / d[None, :]
        for start in (B, spectral_ball(B, radius), spectral_ball(B, 2 * radius)):
            X = start * min(1.0, radius / numerical_radius(start)) if np.any(start) else start
            X = X / d[:, None] * d[None, :]
            reached = float(np.linalg.norm((X - A) / size)) * size
            assert lower <= reached * (1 + ROUNDED)
            best = min(best, reached)
    target(lower / best if best else 0.0, label="share of the distance")


def test_members_of_a_numerical_radius_are_at_the_border_of_every_inequality():
    """Stars of equal and of opposite signs, one entry, one pair: each inequality is attained."""
    star = np.zeros((4, 4))
    star[0, 1:] = star[1:, 0] = 1 / np.sqrt(3)
    turned = star.copy()
    turned[1:, 0] *= -1
    for X in (star, turned, np.diag([1.0, -1.0]), np.array([[0.0, 1.0], [-1.0, 0.0]])):
        assert numerical_radius(X) == pytest.approx(1.0, rel=1e-3)
        d = np.arange(1.0, 1.0 + len(X))
        Y = d[:, None] * X / d[None, :]
        assert scaled_numerical_radius_lower(Y, 1.0) <= 1e-6
        assert scaled_numerical_radius_lower(1.5 * X, 1.0) == pytest.approx(
            0.5 * np.linalg.norm(X), rel=0.01
        )
    assert scaled_numerical_radius_lower(np.triu(np.full((5, 5), 9.0), 1), 1.0) == 0.0
    assert scaled_numerical_radius_lower(np.full((3, 3), 1e-320), 1.0) == 0.0
    assert scaled_numerical_radius_lower(np.full((1, 1), 1e300), 1.0) == pytest.approx(1e300)


@pytest.mark.parametrize("seed", [10, 11, 12, 13])
def test_steps_of_the_search_may_go_far(seed):
    """With seed 10 a step of the line search goes to multipliers of 1e242: no overflow is told."""
    A = np.random.default_rng(seed).uniform(-1, 1, (6, 6))
    for lower in (scaled_numerical_radius_lower, scaled_rows_lower):
        assert 0.0 <= lower(A, 0.7) <= np.linalg.norm(A)


@pytest.mark.parametrize("rho", ["tanh", "sigmoid", leaky_relu(-0.5), leaky_relu(-3.0)])
@pytest.mark.parametrize(("n", "count"), [(2, 3), (3, 2)])
def test_no_member_of_the_matrix_inequality_is_nearer(rho, n, count):
    """Whatever the slopes, as long as they include 0: members have no distance."""
    rng = np.random.default_rng(n)
    for _ in range(count):
        A = 4.0 * rng.standard_normal((n, n))
        near = project(VanillaRNN(A, np.eye(n), activation=rho), onto="lmi", rate=0.9)
        L = near.map.activation.lipschitz
        assert scaled_numerical_radius_lower(near.map.W, 0.9 / L) <= 1e-6 * np.linalg.norm(A)
        assert near.lower <= near.distance


@pytest.mark.heavy
def test_bound_is_a_good_part_of_the_distance_from_the_matrix_inequality():
    n = 8
    rng = np.random.default_rng(n)
    A = 3 * rng.standard_normal((n, n)) / np.sqrt(n)
    made = project(VanillaRNN(A, np.eye(n)), onto="lmi", rate=0.9)
    assert 0.45 * made.distance < made.lower <= made.distance
    A = A - A.T
    made = project(VanillaRNN(A, np.eye(n)), onto="lmi", rate=0.9)
    assert 0.75 * made.distance < made.lower <= made.distance
