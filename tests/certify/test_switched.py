"""The joint spectral radius of sets of matrices: closed forms, published pairs, brute force."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from theory import L1, L2, LinearMap, Linf, WeightedL2
from theory.certify import joint_spectral_radius
from theory.norms.radius import factors_radius_lower

GOLDEN = (1 + math.sqrt(5)) / 2
SHEARS = np.array([[[1.0, 1.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 1.0]]])


def product(A, order):
    """Return the product of some of the matrices, the first of the order acting first."""
    P = np.eye(A.shape[-1])
    for i in order:
        P = A[i] @ P
    return P


def growth(A, order):
    return float(np.max(np.abs(np.linalg.eigvals(product(A, order))))) ** (1 / len(order))


def encloses(found, exact, *, tol=1e-4):
    """Whether an enclosure holds a number that is known to some digits, and is narrow."""
    return exact * (1 - tol) <= found.lower.rate <= exact * (1 + 1e-14) and exact * (
        1 - 1e-14
    ) <= found.upper <= exact * (1 + 2 * tol)


# ----------------------------------------------------------------------------------- closed forms


def test_two_shears_grow_by_the_golden_ratio():
    # both have Euclidean norm phi, and the trace of their product is 3 = phi**2 + phi**-2
    found = joint_spectral_radius(SHEARS)
    assert encloses(found, GOLDEN, tol=1e-6)
    assert sorted(found.lower.order) == [0, 1]
    assert found.lower.slopes.shape == (0, 2)
    # a list of lists, integers, in another norm: the same, by longer products
    other = joint_spectral_radius([[[1, 1], [0, 1]], [[1, 0], [1, 1]]], norm=Linf(), products=5000)
    assert other.lower.rate == found.lower.rate
    assert found.upper < other.upper < 1.7
    assert other.longest > 5


def test_rotations_triangular_and_commuting_sets_grow_by_the_largest_radius():
    def turn(angle, size):
        c, s = size * math.cos(angle), size * math.sin(angle)
        return [[c, -s], [s, c]]

    found = joint_spectral_radius([turn(1.0, 0.8), turn(0.3, 0.9), turn(2.0, 0.7)])
    assert encloses(found, 0.9)
    assert found.lower.order == (1,)
    rng = np.random.default_rng(0)
    # a product of triangular matrices has the products of their diagonals
    T = np.triu(rng.standard_normal((3, 4, 4)))
    assert encloses(joint_spectral_radius(T), float(np.max(np.abs(np.einsum("kii->ki", T)))))
    X = rng.standard_normal((3, 3))
    C = [X @ np.diag(d) @ np.linalg.inv(X) for d in ([0.5, 0.2, 0.1], [-0.9, 0.3, 0.0])]
    assert encloses(joint_spectral_radius(C), 0.9)
    # one matrix: its spectral radius
    A = rng.standard_normal((5, 5))
    assert encloses(joint_spectral_radius(A[None]), float(np.max(np.abs(np.linalg.eigvals(A)))))
    # it is homogeneous, and the same for the transposes
    plain = joint_spectral_radius(SHEARS * 0.1, norm=L2())
    assert joint_spectral_radius(SHEARS * 0.1 * 2.0**500, norm=L2()).upper == plain.upper * 2.0**500
    assert joint_spectral_radius(np.swapaxes(T, 1, 2)).upper == pytest.approx(
        joint_spectral_radius(T).upper, rel=1e-3
    )


def test_sets_that_do_not_grow():
    zero = joint_spectral_radius(np.zeros((2, 3, 3)))
    assert zero.lower.rate == 0
    assert zero.upper < 1e-150
    nilpotent = joint_spectral_radius([[[0.0, 5.0], [0.0, 0.0]]])
    assert nilpotent.lower.rate == 0
    assert 0 < nilpotent.upper < 1e-4
    # each is nilpotent, and both in turn are not
    pair = joint_spectral_radius([[[0, 1], [0, 0]], [[0, 0], [1, 0]]])
    assert encloses(pair, 1.0)
    assert len(pair.lower.order) == 2


def test_badly_scaled_sets():
    e = np.array([150, 0, -120])
    rng = np.random.default_rng(1)
    A = rng.standard_normal((2, 3, 3))
    plain = joint_spectral_radius(A)
    scaled = joint_spectral_radius(np.ldexp(A, e[:, None] - e[None, :]))
    assert scaled.lower.order == plain.lower.order
    assert scaled.lower.rate == pytest.approx(plain.lower.rate, rel=1e-9)
    assert scaled.upper == pytest.approx(plain.upper, rel=1e-3)


# -------------------------------------------------------------------------------- published sets


def test_the_pair_of_gripenberg():
    """Gripenberg (1996); recalled, and twelve factors of one and one of the other attain it."""
    A = np.array([[[3.0, 0.0], [1.0, 3.0]], [[3.0, -3.0], [0.0, -1.0]]]) / 5
    found = joint_spectral_radius(A)
    assert encloses(found, 0.659678908955284)
    assert sorted(found.lower.order) == [0] * 12 + [1]


@pytest.mark.parametrize("zeros", [2, 3])
def test_wavelets_of_daubechies(zeros):
    """The Hoelder exponents .5500 and 1.0878 of Daubechies and Lagarias (1992), derived.

    The filter of Z zeros is ((1 + z) / 2)**Z q(z) with q(1) = 1, and first coefficients
    q_0 = (1 + sqrt 3) / 2 and (1 + sqrt 10 + sqrt(5 + 2 sqrt 10)) / 4; the exponent is
    Z - 1 - log2 of the joint spectral radius of the two Toeplitz blocks of q.
    """
    if zeros == 2:
        q = np.array([1 + math.sqrt(3), 1 - math.sqrt(3)]) / 2
        A, exponent = q[:, None, None], 0.5500
    else:
        root, inner = math.sqrt(10), math.sqrt(5 + 2 * math.sqrt(10))
        first, last = (1 + root + inner) / 4, (1 + root - inner) / 4
        q = np.array([first, 1 - first - last, last])
        A = np.array([[[q[0], 0.0], [q[2], q[1]]], [[q[1], q[0]], [0.0, q[2]]]])
        exponent = 1.0878
    # |q|**2 = sum over k < Z of binom(Z - 1 + k, k) y**k, y = sin(w / 2)**2
    for w in (0.3, 1.0, 2.5):
        y = math.sin(w / 2) ** 2
        power = sum(math.comb(zeros - 1 + k, k) * y**k for k in range(zeros))
        assert abs(np.sum(q * np.exp(1j * w * np.arange(len(q))))) ** 2 == pytest.approx(power)
    found = joint_spectral_radius(A)
    assert encloses(found, float(q[0]))
    assert zeros - 1 - math.log2(found.upper) == pytest.approx(exponent, abs=1e-4)


def test_the_pair_on_which_ellipsoids_are_off_by_the_root_of_two():
    """Blondel, Nesterov and Theys (2005), recalled; derived: products have entries 0, 1, -1."""
    A = np.array([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, -1.0]]])
    for order in itertools.product((0, 1), repeat=6):
        assert set(np.unique(product(A, order))) <= {-1.0, 0.0, 1.0}
    single = joint_spectral_radius(A, products=2)
    assert single.upper == pytest.approx(math.sqrt(2), rel=1e-2)
    found = joint_spectral_radius(A)
    assert 1 - 1e-6 < found.lower.rate <= 1 <= found.upper < 1.03


def test_the_family_without_the_finiteness_property():
    """Hare, Morris, Sidorov and Theys (2011): best products are balanced words of 0 and 1."""
    a = 0.749326546330367
    A = SHEARS * np.array([1.0, a])[:, None, None]
    found = joint_spectral_radius(A)
    assert found.gap < 1.001
    order = found.lower.order
    # the share of the second matrix tends to 1 / golden**2; convergents are of Fibonacci numbers
    assert abs(sum(order) / len(order) - GOLDEN**-2) < 0.02
    for length in range(1, len(order)):
        counts = {sum((order + order)[i : i + length]) for i in range(len(order))}
        assert max(counts) - min(counts) <= 1
    # a longer word of the family, 5 of 13, is within the enclosure and grows no slower
    word = [int((i + 1) * 5 // 13 > i * 5 // 13) for i in range(13)]
    assert growth(A, order) * (1 - 1e-6) <= growth(A, word) <= found.upper


# ------------------------------------------------------------------------------------- soundness


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 4),
    count=st.integers(1, 3),
    norm=st.sampled_from([None, L1(), L2(), Linf()]),
)
@example(seed=1132313, n=2, count=1, norm=None)  # triangular, with two near eigenvalues
@settings(max_examples=12)
def test_no_product_exceeds_the_bound(seed, n, count, norm):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((count, n, n)) * np.exp(rng.uniform(-2, 2, (count, 1, 1)))
    A *= rng.random((count, n, n)) < rng.uniform(0.3, 1)
    found = joint_spectral_radius(A, norm=norm, products=400)
    assert 0 <= found.lower.rate <= found.upper
    if found.lower.rate > 0:
        assert found.lower.rate == pytest.approx(growth(A, found.lower.order), rel=1e-3)
    for length in range(1, 6):
        for order in itertools.product(range(count), repeat=length):
            P = product(A, order)
            # both are computed, with relative errors far below 1e-9 of the product of the norms
            error = 1e-12 * math.prod(float(np.linalg.norm(A[i])) for i in order)
            size = found.norm.matrix_lower(P)
            room = found.norm.companion_over(n) * found.norm.over_companion(n) * math.sqrt(n)
            assert size <= found.constant * found.upper**length * (1 + 1e-9) + error * room
            radius = np.max(np.abs(np.linalg.eigvals(P)))
            spread = (error * max(1.0, float(np.linalg.norm(P))) ** (n - 1)) ** (1 / n)
            assert radius <= found.upper**length * (1 + 1e-6) + 4 * spread


def test_more_products_never_weaken_the_bound():
    A = np.random.default_rng(3).standard_normal((3, 4, 4))
    found = [joint_spectral_radius(A, products=count) for count in (3, 30, 300, 3000)]
    for few, many in itertools.pairwise(found):
        assert many.upper <= few.upper
        assert many.lower.rate >= few.lower.rate
        assert many.products <= 3000
    # a set that is larger grows no slower
    assert joint_spectral_radius(A[:2], products=3000).lower.rate <= found[-1].upper
    better = joint_spectral_radius(A, norm=found[-1].norm, products=3)
    assert better.upper == found[0].upper


def test_radii_of_products_are_bounded_from_below():
    assert factors_radius_lower(np.zeros((2, 2, 2))) == 0.0
    tiny = factors_radius_lower(SHEARS * 2.0**-1000)
    assert GOLDEN * (1 - 1e-5) <= tiny * 2.0**1000 <= GOLDEN
    mixed = np.array([[[1.0, 0.0], [0.0, 5e-324]]] * 2)
    assert 1 - 1e-5 <= factors_radius_lower(mixed) <= 1


def test_bad_sets():
    for bad, message in (
        (np.eye(2), r"or the set \[A\]"),
        ([[0.5, 1.0], [0.0, 0.5]], r"or the set \[A\]"),
        (0.5, "needed a Map, or a sequence of matrices"),
        ([], r"needed \(N, n, n\)|needed 3 dimension"),
        ([np.eye(2), np.eye(3)], "needed one shape"),
        (np.ones((2, 2, 3)), "square matrices"),
        ([[[math.nan]]], "nan"),
        ([[[1j]]], "real numbers"),
        ([LinearMap([[0.5]], [[1.0]])], "needed a Map, or a sequence of matrices"),
    ):
        with pytest.raises(ValueError, match=message):
            joint_spectral_radius(bad)
    with pytest.raises(ValueError, match="at least one of each of 2"):
        joint_spectral_radius(SHEARS, products=1)
    for bad in ({"products": 0}, {"tol": 0.0}, {"norm": WeightedL2(np.eye(3))}):
        with pytest.raises(ValueError, match=r"needed|norm on"):
            joint_spectral_radius(SHEARS, **bad)
