"""Products of diag(s) W: never below a product that exists, and hardly above the largest."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory import L1, L2, Linf, WeightedL1, WeightedL2, WeightedLinf
from theory.arithmetic.rigor import frobenius_upper
from theory.norms import products as module
from theory.norms.enclosed import product_error
from theory.norms.products import (
    UnsettledError,
    growths,
    lipschitz_of_steps,
    power,
    product_upper,
    vertices,
)

MONE = np.array([[0.9, -1.0], [0.5, -0.9]])
UNIT_SLOPES = (np.zeros(2), np.ones(2))


def exact(rows):
    return [[Fraction(x) for x in row] for row in np.asarray(rows).tolist()]


def times(A, B):
    return [
        [
            sum((a * b for a, b in zip(row, column, strict=True)), Fraction(0))
            for column in zip(*B, strict=True)
        ]
        for row in A
    ]


def distance(A, P):
    """Return the square of the Frobenius distance of fractions A from doubles P, exactly."""
    pairs = zip(A, exact(P), strict=True)
    return sum((a - p) ** 2 for row, other in pairs for a, p in zip(row, other, strict=True))


def test_oracles_of_the_joint_spectral_radius():
    # B.4: the r-th roots for r = 1..6, the published example of B.2 with slopes in [0, 1]
    bounds = lipschitz_of_steps(MONE, UNIT_SLOPES, L2(), 6)
    roots = [bound ** (1 / r) for r, bound in enumerate(bounds) if r]
    np.testing.assert_allclose(roots, [1.6841, 1.1769, 1.0762, 1.0292, 1.0019, 0.9842], atol=5e-5)
    assert bounds[6] == pytest.approx(0.908787, abs=1e-6)
    # the norm of a product of the published certificate is at most the rate to the power
    P = WeightedL2([[1.437, -1.544], [-1.544, 2.563]])
    for r, bound in enumerate(lipschitz_of_steps(MONE, UNIT_SLOPES, P, 4)):
        assert bound <= 0.92**r * (1 + 1e-9)


def norms_of(n, rng):
    return (
        L2(),
        Linf(),
        L1(),
        WeightedLinf(rng.uniform(0.5, 2.0, n)),
        WeightedL1(rng.uniform(0.5, 2.0, n)),
        WeightedL2(np.diag(rng.uniform(0.5, 2.0, n))),
        WeightedL2(np.eye(n) + 0.3),
    )


@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(0, 6))
def test_all_products_are_covered_and_no_more(seed, n, which):
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((n, n)) * np.exp(rng.uniform(-3, 3, (n, 1)))
    low = rng.uniform(-1.0, 0.7, n)
    high = low + rng.uniform(0, 1, n) * (rng.random(n) < 0.8)
    norm, r = norms_of(n, rng)[which], 3 if n < 3 else 2
    bounds = lipschitz_of_steps(W, (low, high), norm, r)
    corners = [np.diag(s) @ W for s in itertools.product(*zip(low, high, strict=True))]
    for steps in range(1, r + 1):
        largest = 0.0
        for factors in itertools.product(corners, repeat=steps):
            product = np.eye(n)
            for factor in factors:
                product = factor @ product
            largest = max(largest, norm.matrix_lower(product))
        assert largest <= bounds[steps] * (1 + 1e-12)
        assert bounds[steps] <= largest * (1 + 1e-6) + 1e-300
        # slopes inside do not exceed their ends
        inside = np.eye(n)
        for _ in range(steps):
            inside = (rng.uniform(low, high)[:, None] * W) @ inside
        assert norm.matrix_lower(inside) <= bounds[steps] * (1 + 1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 12))
def test_powers_and_their_error_against_fractions(seed, n, r):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, n)) * 10.0 ** rng.uniform(-3, 3, (n, 1))
    A[rng.random((n, n)) < 0.3] = 0.0
    P, error = power(A, r)
    true = exact(A)
    for _ in range(r - 1):
        true = times(true, exact(A))
    assert distance(true, P) <= Fraction(error) ** 2
    size = float(np.linalg.norm(np.linalg.matrix_power(np.abs(A), r)))
    assert error <= 1e-12 * size + 1e-300


def test_an_error_of_a_product_covers_its_rounding():
    rng = np.random.default_rng(0)
    for n in (1, 2, 5):
        B, C = rng.standard_normal((n, n)), rng.standard_normal((n, n))
        E, F = 1e-9 * rng.standard_normal((n, n)), 1e-7 * rng.standard_normal((n, n))
        error = float(
            product_error(
                frobenius_upper(B), frobenius_upper(C), frobenius_upper(E), frobenius_upper(F), n
            )
        )
        true = times(
            [
                [b + e for b, e in zip(*rows, strict=True)]
                for rows in zip(exact(B), exact(E), strict=True)
            ],
            [
                [c + f for c, f in zip(*rows, strict=True)]
                for rows in zip(exact(C), exact(F), strict=True)
            ],
        )
        assert distance(true, B @ C) <= Fraction(error) ** 2


@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-300, 1e-160, 1.0, 1e150, 1e300]))
def test_frobenius_is_above(seed, scale):
    A = np.random.default_rng(seed).standard_normal((3, 2)) * scale
    total = sum(Fraction(x) ** 2 for x in A.ravel().tolist())
    bound = float(frobenius_upper(A))
    assert total <= Fraction(bound) ** 2 <= total * (1 + Fraction(1, 10**12))
    stack = np.stack([A, 0.5 * A])
    assert frobenius_upper(stack).tolist() == [bound, 0.5 * bound]


def random_size(rng, shape, low=-320, high=300):
    """Return numbers of sizes 10**low .. 10**high, some of them zero."""
    x = rng.choice([-1.0, 1.0], shape) * 10.0 ** rng.uniform(low, high, shape)
    return np.where(rng.random(shape) < 0.1, 0.0, x)


def test_errors_of_products_of_any_size():
    # gamma b underflows, and c brings it back; half an eta is lost by every product of the bound
    rng = np.random.default_rng(1)
    for _ in range(400):
        n = int(rng.integers(1, 4))
        B, C = random_size(rng, (n, n), -320, 150), random_size(rng, (n, n), -320, 150)
        if rng.random() < 0.5:  # about as large as the smallest number
            B = rng.uniform(0, 1, (n, n)) * 10.0 ** rng.uniform(-324, -150)
            C = rng.uniform(0, 1, (n, n)) * 10.0 ** rng.uniform(-174, 150)
        E, F = (rng.uniform(-1, 1) * 10.0 ** rng.uniform(-320, 0) * X for X in (B, C))
        sizes = (frobenius_upper(X) for X in (B, C, E, F))
        error = float(product_error(*sizes, n))
        near = [
            [
                [x + y for x, y in zip(*rows, strict=True)]
                for rows in zip(exact(X), exact(Y), strict=True)
            ]
            for X, Y in ((B, E), (C, F))
        ]
        with np.errstate(over="ignore", invalid="ignore"):
            product = B @ C
        if np.isfinite(product).all() and error < np.inf:
            assert distance(times(*near), product) <= Fraction(error) ** 2
    # nothing is known of 0 times infinity
    assert product_error(0.0, np.inf, 0.0, 0.0, 1) == np.inf
    # five halves of eta, and n = 1
    b, c, e, f = (Fraction(x) for x in (2.0**-537, 1.4 * 2.0**-538, 2.0**-538, 2.0**-538))
    assert b * f + c * e + e * f <= product_error(2.0**-537, 1.4 * 2.0**-538, 2.0**-538,
                                                  2.0**-538, 1)  # fmt: skip


def quotients(norm, P):
    """Return the exact weighted norm of doubles."""
    v = [Fraction(x) for x in norm.v.tolist()]
    rows = [[abs(x) for x in row] for row in exact(P)]
    if isinstance(norm, WeightedL1):
        rows = [list(column) for column in zip(*rows, strict=True)]
    weighed = isinstance(norm, WeightedLinf | WeightedL1)
    assert weighed
    return max(
        sum((a * w for a, w in zip(row, v, strict=True)), Fraction(0)) / scale
        for row, scale in zip(rows, v, strict=True)
    )


def test_quick_norms_alone_are_upper_bounds():
    # n eta are lost before they are divided by a weight of 1e-305
    lost = np.full((1, 2, 2), 2.4e-19)
    tiny = np.full(2, 1e-305)
    rng = np.random.default_rng(2)
    tries = [(lost, tiny)]
    for _ in range(400):
        n = int(rng.integers(1, 5))
        P = random_size(rng, (2, n, n), -200, 200)
        v = 10.0 ** rng.uniform(-305, 305, n)
        if rng.random() < 0.5:  # near each other, products near the smallest number
            v = rng.uniform(1, 9, n) * 10.0 ** rng.choice([-305, 305])
            P = rng.uniform(0, 1, (2, n, n)) * 10.0 ** rng.uniform(-21, -15)
        tries.append((P, v))
    for P, v in tries:
        for norm in (WeightedLinf(v), WeightedL1(v)):
            with np.errstate(over="ignore"):
                bounds = module._quick_norms(norm, P)
            for bound, one in zip(bounds.tolist(), P, strict=True):
                assert bound == np.inf or quotients(norm, one) <= Fraction(bound)
        n = P.shape[-1]
        with np.errstate(over="ignore"):
            for norm in (Linf(), L1(), L2()):
                bounds = module._quick_norms(norm, P)
                for bound, one in zip(bounds.tolist(), P, strict=True):
                    assert bound >= norm.matrix_lower(one)


def test_what_cancels_and_what_vanishes():
    # a nilpotent matrix is forgotten exactly, however large; tiny powers do not vanish
    slopes = (np.ones(2), np.ones(2))
    assert lipschitz_of_steps(np.array([[0, 1e200], [0, 0]]), slopes, L2(), 2)[2] == 0.0
    tiny = lipschitz_of_steps(np.array([[0, 1e-200], [1e-200, 0]]), slopes, L2(), 2)[2]
    assert 0 < tiny < 1e-300
    assert lipschitz_of_steps(np.array([[0.5, 1e200], [0, 0.5]]), slopes, L2(), 2)[2] > 1e199
    # W = 0, and units that are always flat
    assert lipschitz_of_steps(np.zeros((2, 2)), UNIT_SLOPES, L2(), 2) == (1.0, 0.0, 0.0)
    flat = (np.zeros(2), np.array([0.0, 1.0]))
    assert (
        lipschitz_of_steps(np.array([[9.0, 9.0], [0.0, 0.5]]), flat, L2(), 3)[3] <= 0.5**3 * 1.001
    )


def test_products_that_overflow_have_no_bound():
    W = np.array([[1e120, -1e120], [1e120, 1e120]])
    low, high = np.array([-0.5, 0.1]), np.array([0.5, 1.0])
    for norm in (L1(), L2(), Linf(), WeightedLinf([1.0, 2.0]), WeightedL2(np.eye(2) + 0.3)):
        bounds = lipschitz_of_steps(W, (low, high), norm, 3)
        assert 1e120 < bounds[1] < 1e121
        assert bounds[3] == np.inf
    # one slope for all: its powers are rounded upward too, and may leave the range
    same = np.full(2, 1e200)
    assert lipschitz_of_steps(np.eye(2), (same, same), L2(), 2)[2] == np.inf


def test_pruning_changes_no_bound(monkeypatch):
    rng = np.random.default_rng(3)
    W = rng.standard_normal((3, 3))
    ends = (np.zeros(3), np.ones(3))
    pruned = lipschitz_of_steps(W, ends, L2(), 4)
    # without a product at hand nothing is dropped
    monkeypatch.setattr(module, "_beam", lambda *_: 0.0)
    np.testing.assert_allclose(lipschitz_of_steps(W, ends, L2(), 4), pruned, rtol=1e-9)


def test_limits(monkeypatch):
    big = np.random.default_rng(0).standard_normal((11, 11))
    with pytest.raises(UnsettledError, match="more than 10 units"):
        lipschitz_of_steps(big, (np.zeros(11), np.ones(11)), L2(), 2)
    assert vertices(big, np.zeros(11), np.ones(11)) is None
    # of a linear map any power is one product
    assert len(lipschitz_of_steps(big, (np.ones(11), np.ones(11)), L2(), 3)) == 4
    monkeypatch.setattr(module, "LARGEST_FRONTIER", 8)
    with pytest.raises(UnsettledError, match="products of"):
        lipschitz_of_steps(MONE, UNIT_SLOPES, L2(), 6)


def test_growths_are_the_smaller_of_powers_and_products():
    found = growths(MONE, UNIT_SLOPES, L2(), 5, 1.7)
    bounds = lipschitz_of_steps(MONE, UNIT_SLOPES, L2(), 4)
    assert found == tuple(min(b, f) for b, f in zip(bounds, found, strict=True))
    assert growths(None, None, L2(), 4, 2.0)[1:] == pytest.approx((2.0, 4.0, 8.0))
    big = np.eye(12)
    assert len(growths(big, (np.zeros(12), np.ones(12)), L2(), 4, 1.0)) == 4
    assert product_upper(MONE, UNIT_SLOPES, L2(), 4) == bounds[4]


def test_products_that_differ_in_sign_are_looked_at_once(monkeypatch):
    # a rotation with slopes +-1: all 4**r products have the norm 1, none is above another
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    looked_at = []
    norm_upper = module._norm_upper

    def count(*arguments):
        looked_at.append(arguments)
        return norm_upper(*arguments)

    monkeypatch.setattr(module, "_norm_upper", count)
    bounds = lipschitz_of_steps(turn, (np.full(2, -1.0), np.full(2, 1.0)), L2(), 4)
    assert all(1 - 1e-12 <= bound <= 1 + 1e-9 for bound in bounds)
    assert len(looked_at) < 2**5 < 4 + 4**2 + 4**3 + 4**4
