"""theory.arithmetic.rigor against exact rational arithmetic: what it accepts must be true."""

import math
from fractions import Fraction

import flint
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from theory.arithmetic import rigor
from theory.arithmetic.rounding import TINY, UNIT, gamma, scaled_to_one
from theory.typing import Array

# ------------------------------------------------------------------------ exact linear algebra


def rational(A: Array) -> flint.fmpq_mat:
    """Return a matrix of doubles as the rationals they are."""
    rows = [[flint.fmpq(*x.as_integer_ratio()) for x in row] for row in A.tolist()]
    return flint.fmpq_mat(rows)


def positive_semidefinite(S: flint.fmpq_mat) -> bool:
    """Decide S >= 0 by symmetric elimination without rounding."""
    n = S.nrows()
    a = [[S[i, j] for j in range(n)] for i in range(n)]
    for k in range(n):
        pivot = a[k][k]
        if not pivot >= 0 or (pivot == 0 and any(a[i][k] != 0 for i in range(k + 1, n))):
            return False
        if pivot != 0:
            for i in range(k + 1, n):
                factor = a[i][k] / pivot
                for j in range(k + 1, i + 1):
                    a[i][j] -= factor * a[j][k]
                    a[j][i] = a[i][j]
    return True


def identity(n: int) -> flint.fmpq_mat:
    return flint.fmpq_mat(n, n, [int(i == j) for i in range(n) for j in range(n)])


def quadratic_bound_is_true(A, P, Q, mu: Fraction) -> bool:
    """Decide A^T P A <= mu^2 Q in rationals (P, Q = I by default)."""
    a = rational(A)
    p = identity(a.nrows()) if P is None else rational(P)
    q = identity(a.ncols()) if Q is None else rational(Q)
    square = flint.fmpq(mu.numerator, mu.denominator) ** 2
    return positive_semidefinite(square * q - a.transpose() * p * a)


def spectral_norm_at_most(A: Array, mu: float) -> bool:
    # through the smaller of the two Gram matrices, which have the same norm
    B = A if A.shape[0] >= A.shape[1] else A.T
    return mu == math.inf or quadratic_bound_is_true(B, None, None, Fraction(mu))


def lower_by_rayleigh(A: Array) -> Fraction:
    """Return ||A x||^2 / ||x||^2 for the computed leading vector, without rounding."""
    scaled = A / np.max(np.abs(A))
    x = [Fraction(value) for value in np.linalg.svd(scaled)[2][0].tolist()]
    images = (
        sum((Fraction(a) * y for a, y in zip(row, x, strict=True)), Fraction(0))
        for row in A.tolist()
    )
    return sum((y * y for y in images), Fraction(0)) / sum(y * y for y in x)


def test_the_elimination_used_here_decides_rightly():
    for S, answer in [
        ([[0, 0], [0, 0]], True),
        ([[1, 1], [1, 1]], True),
        ([[1, 1], [1, 1 - 2.0**-53]], False),
        ([[0, 1], [1, 5]], False),
        ([[-1e-300, 0], [0, 1]], False),
        ([[2, -1, 0], [-1, 2, -1], [0, -1, 2.0 / 3]], False),  # fl(2/3) < 2/3
        ([[2, -1, 0], [-1, 2, -1], [0, -1, np.nextafter(2 / 3, 1)]], True),
    ]:
        assert positive_semidefinite(rational(np.array(S, dtype=float))) is answer


# ---------------------------------------------------------------------------- adversarial inputs

HADAMARD = np.array([[1.0, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])


def clustered(n: int, gap: float, seed: int = 0) -> Array:
    """Return a matrix with half of the singular values at 1 and half at 1 - gap."""
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.standard_normal((n, n)))[0] for _ in range(2))
    return (left * np.where(np.arange(n) < n // 2, 1 - gap, 1.0)) @ right


def adversarial() -> dict[str, Array]:
    rng = np.random.default_rng(7)
    column = rng.standard_normal((6, 1))
    cases = {
        "1 x 1": np.array([[0.3]]),
        "1 x 1 tiny": np.array([[TINY]]),
        "1 x n": rng.standard_normal((1, 7)),
        "n x 1": rng.standard_normal((7, 1)),
        "1 x n mixed": np.array([[1e300, 1.0, 1e-300]]),
        "n x 1 of subnormals": np.full((5, 1), 3 * TINY),
        "tall": rng.standard_normal((9, 3)),
        "wide": rng.standard_normal((3, 9)),
        "square": rng.standard_normal((8, 8)),
        "clustered": clustered(8, 1e-15),
        "clustered wider": clustered(9, 1e-9),
        "orthogonal up to rounding": np.linalg.qr(rng.standard_normal((10, 10)))[0],
        "hadamard / 2": HADAMARD / 2,
        "hadamard / 2 and a perturbation": HADAMARD / 2 + 2.0**-52 * np.eye(4),
        "hadamard / sqrt(2)": HADAMARD / math.sqrt(2),
        "rank one": column @ column.T,
        "rank one of ones": np.ones((7, 7)),
        "rank deficient": rng.standard_normal((8, 2)) @ rng.standard_normal((2, 8)),
        "nilpotent": np.diag(np.full(5, 3.0), 1),
        "nilpotent triangle": np.triu(rng.standard_normal((7, 7)), 1),
        "jordan block": 0.9 * np.eye(6) + np.diag(np.full(5, 1e8), 1),
        "mixed scales": np.diag([1e300, 1.0, 1e-300]) + 1e-150,
        "mixed scales below 1": np.diag([1.0, 1e-160, TINY]) + TINY,
        "graded": 10.0 ** -np.arange(49.0).reshape(7, 7),
        "subnormal": TINY * np.arange(1.0, 10.0).reshape(3, 3),
        "smallest": np.full((4, 4), TINY),
        "around the smallest normal": rng.standard_normal((5, 5)) * 2.0**-1022,
        "largest that fit": np.full((3, 3), 2.0**1021),
        "integers": rng.integers(-3, 4, (8, 8)).astype(float),
        "nearly cancelling": np.array([[1.0, 1.0], [1.0, 1.0 + 2.0**-52]]),
        "zero row and column": np.pad(rng.standard_normal((4, 4)), ((0, 2), (2, 0))),
    }
    return {
        **cases,
        **{f"{name} * 1e-300": A * 1e-300 for name, A in cases.items() if np.max(np.abs(A)) < 1e9},
        **{f"{name} * 1e300": A * 1e300 for name, A in cases.items() if np.max(np.abs(A)) < 1e7},
    }


ADVERSARIAL = adversarial()
by_name = pytest.mark.parametrize("A", ADVERSARIAL.values(), ids=ADVERSARIAL)

entries = st.one_of(
    st.floats(-2.0, 2.0),
    st.sampled_from([0.0, 1.0, -1.0, 0.5, 1 + 2.0**-52, TINY, -TINY, 2.0**-537, 1e-160, 1e-8]),
)
matrices = hnp.array_shapes(min_dims=2, max_dims=2, max_side=5).flatmap(
    lambda shape: hnp.arrays(np.float64, shape, elements=entries)
)


# ----------------------------------------------------------------------------------- row sums


@given(matrices)
def test_row_and_column_sums_are_the_smallest_doubles_above(A):
    exact = max(sum((Fraction(abs(a)) for a in row), Fraction(0)) for row in A.tolist())
    upper = rigor.row_sum_upper(A)
    assert Fraction(upper) >= exact
    assert upper == 0 or Fraction(math.nextafter(upper, -math.inf)) < exact
    assert rigor.column_sum_upper(A.T) == upper


def test_sums_of_nothing_and_beyond_the_range():
    assert rigor.row_sum_upper(np.zeros((0, 3))) == rigor.row_sum_upper(np.zeros((3, 0))) == 0.0
    assert rigor.row_sum_upper(np.full((1, 2), 1.7e308)) == math.inf
    assert rigor.column_sum_upper(np.full((2, 1), 1.7e308)) == math.inf
    assert rigor.row_sum_upper(np.array([[1.0, UNIT / 2]])) == 1.0 + 2 * UNIT


weights = st.one_of(
    st.floats(0.1, 10.0), st.sampled_from([1e-200, 1e-300, 1e200, 1e300, TINY, 2.0**-1022, 1.0])
)


def exact_weighted_row_sum(A: Array, v: Array, w: Array) -> Fraction:
    return max(
        sum(
            (Fraction(abs(a)) * Fraction(y) for a, y in zip(row, w.tolist(), strict=True)),
            Fraction(0),
        )
        / Fraction(x)
        for row, x in zip(A.tolist(), v.tolist(), strict=True)
    )


@given(matrices, st.data())
def test_weighted_row_sums_are_above(A, data):
    v = data.draw(hnp.arrays(np.float64, A.shape[0], elements=weights))
    w = data.draw(hnp.arrays(np.float64, A.shape[1], elements=weights))
    upper = rigor.weighted_row_sum_upper(A, v, w)
    assert upper == math.inf or Fraction(upper) >= exact_weighted_row_sum(A, v, w)


@given(
    hnp.arrays(np.float64, (3, 3), elements=st.floats(0.125, 2.0)),
    hnp.arrays(np.float64, 3, elements=st.floats(0.1, 10.0)),
)
def test_weighted_row_sums_are_tight_at_usual_scales(A, v):
    exact = exact_weighted_row_sum(A, v, v)
    # a product (u, then one double, 2 u), the sum (2 u), the quotient (u and 2 u): 8 u, and O(u^2)
    assert Fraction(rigor.weighted_row_sum_upper(A, v)) <= exact * (1 + 9 * Fraction(UNIT))


def test_weighted_row_sums_that_are_exact():
    A = np.array([[0.5, 4.0], [0.01, 0.5]])
    assert rigor.weighted_row_sum_upper(A, np.ones(2)) == rigor.row_sum_upper(A) == 4.5
    assert rigor.weighted_row_sum_upper(A, np.array([4.0, 1.0]), np.ones(2)) == 1.125
    assert rigor.weighted_row_sum_upper(np.zeros((2, 2)), np.array([1.0, 3.0])) == 0.0


@pytest.mark.parametrize("scale", [1e200, 1e308, 1e-200, 2.0**-1070])
def test_weighted_row_sums_of_extreme_weights(scale):
    """The weights cancel, though their products with entries leave the range."""
    A = np.array([[scale]])
    assert Fraction(rigor.weighted_row_sum_upper(A, np.array([scale]))) >= Fraction(scale)


# ------------------------------------------------------------------------------- spectral norm


@by_name
def test_spectral_norm_is_never_too_small(A):
    assert spectral_norm_at_most(A, rigor.spectral_norm_upper(A))


@given(matrices, st.sampled_from([0, -1060, -500, 500, 1000]))
@example(np.array([[TINY]]), 0)
@example(np.full((2, 2), TINY), 0)
def test_spectral_norm_is_never_too_small_at_random(A, exponent):
    B = np.ldexp(A, exponent)
    assert spectral_norm_at_most(B, rigor.spectral_norm_upper(B))


def tightness(n: int) -> float:
    r"""Return the relative excess that `spectral_norm_upper` may have at dimension n.

    The margins that `quadratic_bound_holds` and `eigenvalues_at_least` demand, relative to mu^2,
    with || |A|^T |A| || <= ||A||_F^2 <= n mu^2 and trace <= n mu^2, are 2 gamma(n + 4) n for
    forming, 4 u (1 + sqrt(n)) for subtracting, 6 gamma(n + 2) n for the shift, and as much again
    for what the residual may use of it: below 20 n (n + 4) u together.  A relative excess s of mu
    gives 2 s, and s is doubled from 2**-46 on; the error of LAPACK's estimate is below n u.
    """
    return max(2.0**-45, 20 * n * (n + 4) * UNIT) + n * UNIT


@by_name
def test_spectral_norm_is_tight(A):
    upper = rigor.spectral_norm_upper(A)
    if upper == math.inf:
        assert lower_by_rayleigh(A) >= Fraction(2**1023) ** 2
        return
    # in the subnormal range the answer is a multiple of the smallest double
    most = Fraction(upper) / (1 + Fraction(tightness(max(A.shape)))) - 3 * Fraction(TINY)
    assert most <= 0 or not quadratic_bound_is_true(
        A if A.shape[0] >= A.shape[1] else A.T, None, None, most
    )


@pytest.mark.parametrize("n", [16, 64])
def test_spectral_norm_of_larger_matrices(n):
    rng = np.random.default_rng(n)
    for A in (rng.standard_normal((n, n)), clustered(n, 1e-12), np.tril(rng.random((n, n)))):
        upper = rigor.spectral_norm_upper(A)
        lower = lower_by_rayleigh(A)
        assert lower <= Fraction(upper) ** 2 <= lower * Fraction(1 + 1e-10) ** 2
        assert tightness(n) < 1e-10


def test_spectral_norm_at_256():
    n = 256
    rng = np.random.default_rng(n)
    signs = rng.choice([-1.0, 1.0], n)
    Q = np.kron(np.kron(HADAMARD / 2, HADAMARD / 2), np.kron(HADAMARD / 2, HADAMARD / 2)) * signs
    # exactly orthogonal: every entry is +-1/16, so the norm of Q D is the largest of D
    D = np.linspace(0.5, 1.0, n)
    assert 1.0 <= rigor.spectral_norm_upper(Q * D) <= 1.0 + 1e-10
    assert 1.0 <= rigor.spectral_norm_upper(Q) <= 1.0 + 1e-10


def test_frobenius_norms_of_stacks_of_any_size():
    rng = np.random.default_rng(0)
    sizes = np.array([5e-324, 1e-310, 1e-200, 1e-162, 2.0**-450, 1.0, 1e140, 1e200, 1e307])
    for _ in range(40):
        m, n = rng.integers(1, 5, 2)
        A = rng.standard_normal((len(sizes), m, n)) * sizes[:, None, None]
        A[rng.random(A.shape) < 0.2] *= 1e-10
        bounds = rigor.frobenius_upper(A)
        for bound, one in zip(bounds.tolist(), A, strict=True):
            square = sum((Fraction(x) ** 2 for x in one.ravel().tolist()), Fraction(0))
            # relatively a few u for each entry, and an eta or two
            above = (Fraction(bound) - Fraction(2 * TINY)) / (1 + Fraction(1, 10**14))
            assert above <= 0 or above**2 <= square
            assert square <= Fraction(bound) ** 2
            assert float(rigor.frobenius_upper(one)) == bound
    assert rigor.frobenius_upper(np.zeros((2, 3, 3))).tolist() == [0.0, 0.0]
    unknown = np.array([[[np.nan]], [[np.inf]], [[-np.inf]], [[1.7e308]]])
    assert rigor.frobenius_upper(unknown)[:3].tolist() == [np.inf] * 3
    assert rigor.frobenius_upper(np.full((2, 2), 1.7e308)) == np.inf


@pytest.mark.parametrize("n", [1, 2, 5, 12, 40])
def test_signed_permutations_and_diagonals_have_their_exact_norm(n):
    rng = np.random.default_rng(n)
    P = np.eye(n)[rng.permutation(n)] * rng.choice([-1.0, 1.0], n)
    assert rigor.spectral_norm_upper(P) == 1.0
    assert rigor.spectral_norm_upper(P * 0.7) == 0.7
    assert rigor.spectral_norm_upper(np.diag(np.arange(1.0, n + 1))) == n
    assert TINY <= rigor.spectral_norm_upper(P * TINY) <= 2 * TINY
    assert rigor.spectral_norm_upper(P * 1.7e308) == 1.7e308


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (1, 4), (4, 1), (2, 5)])
def test_zero_matrices_have_norm_zero(shape):
    assert rigor.spectral_norm_upper(np.zeros(shape)) == 0.0


def test_a_norm_beyond_the_range_is_infinite():
    assert rigor.spectral_norm_upper(np.full((4, 4), 1.7e308)) == math.inf
    assert rigor.spectral_norm_upper(np.full((1, 4), 1.7e308)) == math.inf


@given(
    hnp.arrays(np.float64, (4, 3), elements=st.floats(-2.0, 2.0).filter(lambda x: abs(x) > 1e-9)),
    st.integers(-900, 900),
)
def test_spectral_norm_scales_exactly_by_powers_of_two(A, exponent):
    for B in (A, A[:3], A[:1], A[:, :1]):
        scaled = rigor.spectral_norm_upper(np.ldexp(B, exponent))
        assert scaled == math.ldexp(rigor.spectral_norm_upper(B), exponent)
        assert rigor.operator_norm_upper(np.ldexp(B, exponent)) == math.ldexp(
            rigor.operator_norm_upper(B), exponent
        )


@by_name
def test_spectral_norm_of_the_transpose(A):
    here, there = rigor.spectral_norm_upper(A), rigor.spectral_norm_upper(A.T)
    if A.shape[0] != A.shape[1]:
        # the smaller Gram matrix is used either way
        assert here == pytest.approx(there, rel=4 * gamma(A.size), abs=TINY)
    else:
        assert here == pytest.approx(there, rel=2 * tightness(len(A)), abs=4 * TINY)


def test_scaling_that_loses_digits_is_noticed():
    A = np.array([[2.0**1000, TINY], [0.0, 2.0**1000]])
    B, e = scaled_to_one(A)
    assert rigor._lossy(A, B, e)
    assert spectral_norm_at_most(A, rigor.spectral_norm_upper(A))
    A[0, 1] = 0.0
    assert not rigor._lossy(A, *scaled_to_one(A))
    # exact, so that the lost entry alone makes the difference
    assert rigor.spectral_norm_upper(A) == 2.0**1000
    one_row = np.array([[2.0**1023, 3 * TINY]])
    assert spectral_norm_at_most(one_row, rigor.spectral_norm_upper(one_row))


@by_name
def test_scaled_puts_the_largest_entry_below_one(A):
    B, e = scaled_to_one(A)
    if not np.any(A):
        assert not np.any(B)
        return
    assert 0.5 <= np.max(np.abs(B)) < 1.0
    assert math.ldexp(float(np.max(np.abs(B))), e) == np.max(np.abs(A))


# ------------------------------------------------------------------ operator norms of two Grams


def gram(rng: np.random.Generator, n: int, condition: float) -> Array:
    """Return a symmetric matrix with eigenvalues between 1/condition and 1."""
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    P = (Q * np.geomspace(1 / condition, 1.0, n)) @ Q.T
    return (P + P.T) / 2


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 5),
    st.integers(1, 5),
    st.sampled_from([1.0, 1e2, 1e6, 1e10]),
    st.sampled_from([0, 1, -401, 300]),
    st.sampled_from([0, -1, 333]),
)
def test_operator_norms_between_weighted_norms(seed, m, n, condition, p, q):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((m, n))
    P, Q = np.ldexp(gram(rng, m, condition), p), np.ldexp(gram(rng, n, condition), q)
    for target, source in ((P, Q), (P, None), (None, Q), (None, None)):
        mu = rigor.operator_norm_upper(A, target, source)
        assert mu < math.inf
        assert quadratic_bound_is_true(A, target, source, Fraction(mu))
        if condition <= 1e2:
            # the margins of `tightness` count relative to mu^2 lambda_min(Q), that is times
            # cond(Q) and, as || |A|^T |P| |A| || may exceed || A^T P A ||, times cond(P)
            slack = Fraction(1 + tightness(2 * max(m, n)) * condition**2)
            assert not quadratic_bound_is_true(A, target, source, Fraction(mu) / slack)


def test_operator_norm_of_the_zero_matrix_is_zero():
    P = np.array([[2.0, 1.0], [1.0, 2.0]])
    for target, source in ((None, None), (P, None), (None, P), (P, P)):
        assert rigor.operator_norm_upper(np.zeros((2, 2)), target, source) == 0.0


def test_a_singular_source_has_no_finite_norm():
    assert rigor.operator_norm_upper(np.eye(2), None, np.ones((2, 2))) == math.inf
    assert rigor.operator_norm_upper(np.eye(2), None, np.diag([1.0, -1.0])) == math.inf
    assert rigor.operator_norm_upper(np.eye(2), None, np.diag([1.0, 0.0])) == math.inf


@given(
    hnp.arrays(np.float64, (3, 3), elements=st.floats(-1.0, 1.0)),
    st.floats(0.0, 4.0),
    st.integers(-8, 8),
)
def test_quadratic_bounds_that_are_accepted_are_true(A, mu, ulps):
    guess = rigor._operator_norm_guess(A, None, None)
    for candidate in (mu, guess * (1 + ulps * UNIT), guess * (1 + 2.0**ulps * 2.0**-46)):
        if rigor.quadratic_bound_holds(A, None, None, candidate):
            assert quadratic_bound_is_true(A, None, None, Fraction(candidate))


def test_the_error_made_in_forming_the_gram_matrix_is_paid_for():
    """Thousands of squares below half a unit are lost, however the sum is split into lanes."""
    A = np.concatenate([np.ones(32), np.full(4000, 2.0**-27)])[:, None] / 2
    exact = sum((Fraction(a) ** 2 for a in A[:, 0].tolist()), Fraction(0))
    assert Fraction(float((A.T @ A)[0, 0])) < exact
    mu, false = math.sqrt(8.0), 0
    while Fraction(mu) ** 2 < exact:
        assert not rigor.quadratic_bound_holds(A, None, None, mu)
        mu, false = math.nextafter(mu, math.inf), false + 1
    assert false > 10


def test_quadratic_bound_refuses_what_is_no_number():
    A = np.eye(2)
    for mu in (-1.0, math.nan, math.inf, -math.inf):
        assert not rigor.quadratic_bound_holds(A, None, None, mu)
    assert rigor.quadratic_bound_holds(A, None, None, 1.01)
    assert not rigor.quadratic_bound_holds(A, None, None, 0.99)
    assert not rigor.quadratic_bound_holds(A * math.nan, None, None, 1.0)


def test_only_lower_triangles_of_the_grams_are_read():
    P, Q = np.array([[1.0, 9.0], [0.25, 1.0]]), np.array([[1.0, -7.0], [0.5, 1.0]])
    A = np.array([[0.25, 0.5], [0.0, 0.25]])
    both = [rigor._symmetric(P), rigor._symmetric(Q)]
    for mu in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0):
        assert rigor.quadratic_bound_holds(A, P, Q, mu) == rigor.quadratic_bound_holds(A, *both, mu)


# ------------------------------------------------------------------- eigenvalues_at_least itself


def with_spectrum(*values: float) -> Array:
    """Return H diag(values) H, H = Hadamard / 2 orthogonal, all without rounding."""
    H = rational(HADAMARD / 2)
    D = rational(np.diag(values))
    S = H * D * H
    result = np.array(
        [[float(Fraction(int(S[i, j].p), int(S[i, j].q))) for j in range(4)] for i in range(4)]
    )
    assert rational(result) == S
    return result


@pytest.mark.parametrize("margin", [0.0, 0.25, 2.0**-20, 2.0**-45])
@pytest.mark.parametrize("below", [2.0**-51, 2.0**-50, 2.0**-48, 2.0**-44])
def test_a_least_eigenvalue_just_below_the_margin_is_refused(margin, below):
    # the others are dyadic with few digits, so that the entries are exact
    S = with_spectrum(margin - below, 1.0, 0.5, 0.75)
    assert not rigor.eigenvalues_at_least(S, margin)
    assert not rigor.eigenvalues_at_least(S[::-1, ::-1].copy(), margin)


@pytest.mark.parametrize("margin", [0.0, 0.25, 2.0**-20])
def test_a_least_eigenvalue_well_above_the_margin_is_accepted(margin):
    # the shift is 6 gamma(n + 2) trace, the residual below 2 gamma(n + 2) trace, the products and
    # the shifting take at most 4 gamma(n + 2) trace; the trace is 2.5
    room = 2.0**-45
    assert 12 * gamma(6) * 2.5 < room
    assert rigor.eigenvalues_at_least(with_spectrum(margin + room, 1.0, 0.5, 0.75), margin)


@given(
    hnp.arrays(np.int64, (4, 4), elements=st.integers(-9, 9)),
    st.integers(-6, 6),
    st.sampled_from([0.0, 1e-17, 1e-16, 1e-14, 1e-12]),
)
def test_what_eigenvalues_at_least_accepts_is_true(B, ulps, shift):
    """Margins within a few roundings of the computed least eigenvalue of a Gram matrix."""
    S = (B.T @ B).astype(np.float64) / 1024.0
    least = float(np.linalg.eigvalsh(S)[0])
    for margin in (least * (1 + ulps * UNIT) - shift, least * (1 + 2.0**ulps * UNIT), 0.0):
        if margin >= 0 and rigor.eigenvalues_at_least(S, margin):
            shifted = rational(S) - rational(np.diag(np.full(4, margin)))
            assert positive_semidefinite(shifted)


@pytest.mark.parametrize("n", [1, 2, 6, 12])
def test_near_singular_second_differences_are_decided_rightly(n):
    """tridiag(-1, 2, -1) / 4 has least eigenvalue sin^2(pi / (2 (n + 1))), known to many digits."""
    S = (2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)) / 4
    least = math.sin(math.pi / (2 * (n + 1))) ** 2
    # 14 gamma(n + 2) trace covers what the test needs, see above
    room = 20 * gamma(n + 2) * n
    assert rigor.eigenvalues_at_least(S, least - room)
    assert not rigor.eigenvalues_at_least(S, least + 8 * UNIT)


def test_matrices_of_other_kinds_are_refused():
    assert not rigor.eigenvalues_at_least(np.diag([1.0, -TINY]), 0.0)
    assert not rigor.eigenvalues_at_least(np.array([[math.nan]]), 0.0)
    assert not rigor.eigenvalues_at_least(np.array([[1.0, math.nan], [math.nan, 1.0]]), 0.0)
    assert not rigor.eigenvalues_at_least(np.eye(2), math.inf)
    assert not rigor.eigenvalues_at_least(np.eye(2), math.nan)


# ------------------------------------------------------------------- nothing unproved is trusted


def _garbage(kind: str):
    true = np.linalg.cholesky

    def cholesky(S: Array) -> Array:
        n = len(S)
        rng = np.random.default_rng(n)
        return {
            "zero": lambda: np.zeros((n, n)),
            "identity": lambda: np.eye(n),
            "random": lambda: np.tril(rng.standard_normal((n, n))),
            # a factor of the nearest definite matrix: as a failed factorisation would be continued
            "of a shifted matrix": lambda: true(
                S + (1e-12 - min(0.0, float(np.linalg.eigvalsh(S)[0]))) * np.eye(n)
            ),
            "nan": lambda: np.full((n, n), math.nan),
            "infinite": lambda: np.full((n, n), math.inf),
            "huge": lambda: np.full((n, n), 1e160),
            "full, not triangular": lambda: rng.standard_normal((n, n)),
        }[kind]()

    return cholesky


GARBAGE = [
    "zero",
    "identity",
    "random",
    "of a shifted matrix",
    "nan",
    "infinite",
    "huge",
    "full, not triangular",
]


@pytest.mark.parametrize("kind", GARBAGE)
def test_the_cholesky_factor_is_not_trusted(monkeypatch, kind):
    rng = np.random.default_rng(3)
    false = [
        (np.diag([1.0, -1e-9]), 0.0),
        (with_spectrum(0.25 - 2.0**-50, 1.0, 0.5, 0.75), 0.25),
        (with_spectrum(-(2.0**-50), 1.0, 0.5, 0.75), 0.0),
        (np.eye(3) * 0.5, 0.5 + 1e-12),
        (np.ones((5, 5)), 1e-12),
    ]
    A = rng.standard_normal((5, 5))
    norm = np.linalg.norm(A, 2)
    monkeypatch.setattr(rigor.np.linalg, "cholesky", _garbage(kind))
    with np.errstate(all="ignore"):
        for S, margin in false:
            assert not rigor.eigenvalues_at_least(S, margin)
        assert not rigor.quadratic_bound_holds(A, None, None, norm * (1 - 1e-13))
        assert spectral_norm_at_most(A, rigor.spectral_norm_upper(A))
        for shape in ((4, 4), (6, 2)):
            B = rng.standard_normal(shape)
            mu = rigor.operator_norm_upper(B)
            assert mu == math.inf or quadratic_bound_is_true(B, None, None, Fraction(mu))


@pytest.mark.parametrize(("size", "accepted"), [(1e-16, True), (1e-15, True), (1e-13, False)])
def test_a_wrong_factor_is_paid_for_by_its_residual(monkeypatch, size, accepted):
    true = np.linalg.cholesky
    S = with_spectrum(0.25, 1.0, 0.5, 0.75)
    noise = np.tril(np.random.default_rng(0).standard_normal((4, 4)))
    monkeypatch.setattr(rigor.np.linalg, "cholesky", lambda M: true(M) + size * noise)
    # the residual is L N^T + N L^T, of norm about 5 size; the shift is 6 gamma(6) trace, 1e-14
    assert rigor.eigenvalues_at_least(S, 0.25 - 1e-3) is accepted
    for ulps in range(-60, 60, 7):
        margin = 0.25 + ulps * UNIT
        assert margin <= 0.25 or not rigor.eigenvalues_at_least(S, margin)


@pytest.mark.parametrize("guess", [0.0, TINY, 0.5, 0.9, 1 - 1e-12, 1.0, 3.0, math.nan, math.inf])
def test_the_guess_is_not_trusted(monkeypatch, guess):
    """Whatever the eigenvalue routine says, what is returned is an upper bound."""
    Q = np.linalg.qr(np.random.default_rng(1).standard_normal((6, 6)))[0]
    A = Q * np.linspace(0.1, 1.0, 6)
    truth = float(np.linalg.norm(A, 2))
    # the guess is made for the matrix that is scaled to largest entry in [1/2, 1)
    scale = 2.0 ** scaled_to_one(A)[1]
    monkeypatch.setattr(rigor, "_operator_norm_guess", lambda *_: guess * truth / scale)
    mu = rigor.operator_norm_upper(A)
    assert mu == math.inf or quadratic_bound_is_true(A, None, None, Fraction(mu))
    assert spectral_norm_at_most(A, rigor.spectral_norm_upper(A))
    if guess >= 0.9:
        assert mu < math.inf or not math.isfinite(guess)


def test_failing_routines_give_infinity_not_an_error(monkeypatch):
    def fails(_: Array) -> Array:
        raise np.linalg.LinAlgError

    monkeypatch.setattr(rigor.np.linalg, "cholesky", fails)
    A = np.random.default_rng(0).standard_normal((4, 4))
    assert rigor.operator_norm_upper(A) == math.inf
    assert not rigor.eigenvalues_at_least(np.eye(2), 0.5)
    # the simple bound remains: the root of the row sum times the column sum
    upper = rigor.spectral_norm_upper(A)
    assert spectral_norm_at_most(A, upper)
    assert upper**2 == pytest.approx(np.linalg.norm(A, 1) * np.linalg.norm(A, np.inf))


# ------------------------------------------------------------------------- what is no number

#: Every bound and decision of a pair of matrices or a matrix and weights, all of them certain.
UPPER = {
    "row_sum_upper": rigor.row_sum_upper,
    "column_sum_upper": rigor.column_sum_upper,
    "spectral_norm_upper": rigor.spectral_norm_upper,
    "weighted_row_sum_upper": lambda A: rigor.weighted_row_sum_upper(A, np.ones(3)),
    "operator_norm_upper": rigor.operator_norm_upper,
    "operator_norm_upper, target": lambda P: rigor.operator_norm_upper(np.eye(3), P + np.eye(3)),
    "operator_norm_upper, source": lambda Q: rigor.operator_norm_upper(
        np.eye(3), None, Q + np.eye(3)
    ),
    "operator_norm_upper of 0": lambda P: rigor.operator_norm_upper(
        np.zeros((3, 3)), P + np.eye(3), np.eye(3)
    ),
    "gram_residual_upper, P": lambda P: rigor.gram_residual_upper(P, np.eye(3)),
    "gram_residual_upper, L": lambda L: rigor.gram_residual_upper(np.eye(3), L),
}
HALF, THIRD = np.full(3, 0.5), np.eye(3) / 3
DECISION = {
    "spectral_norm_at_most": lambda A: rigor.spectral_norm_at_most(A, 9.0),
    "spectral_norm_at_most, inf": lambda A: rigor.spectral_norm_at_most(A, math.inf),
    "eigenvalues_at_least": lambda S: rigor.eigenvalues_at_least(S + np.eye(3), 0.5),
    "quadratic_bound_holds": lambda A: rigor.quadratic_bound_holds(A, None, None, 9.0),
    "quadratic_bound_holds, target": lambda P: rigor.quadratic_bound_holds(THIRD, P, None, 9.0),
    "quadratic_bound_holds, source": lambda Q: rigor.quadratic_bound_holds(
        THIRD, None, Q + np.eye(3), 9.0
    ),
    "lmi_holds, W": lambda W: rigor.lmi_holds(W, -HALF, HALF, np.eye(3), HALF + 0.1, 0.9),
    "lmi_holds, P": lambda P: rigor.lmi_holds(THIRD, -HALF, HALF, P + np.eye(3), HALF + 0.1, 0.9),
}
NONE = [math.nan, math.inf, -math.inf]


def with_one_entry(value: float) -> list[Array]:
    """Return matrices that hold the value once, at every position."""
    places = np.eye(9, dtype=bool).reshape(9, 3, 3)
    return [np.where(place, value, 0.0) for place in places]


@pytest.mark.parametrize("value", NONE)
@pytest.mark.parametrize("name", UPPER)
def test_upper_bounds_of_what_is_no_number_are_infinite(name, value):
    """At every position, also in triangles that are not read: `max` would skip some NaN."""
    assert UPPER[name](np.zeros((3, 3))) < math.inf
    assert [UPPER[name](A) for A in with_one_entry(value)] == [math.inf] * 9


@pytest.mark.parametrize("value", NONE)
@pytest.mark.parametrize("name", DECISION)
def test_decisions_about_what_is_no_number_are_no(name, value):
    assert DECISION[name](np.zeros((3, 3))) is True
    assert [DECISION[name](A) for A in with_one_entry(value)] == [False] * 9


@pytest.mark.parametrize("value", [*NONE, 0.0, -1.0])
def test_nothing_is_said_for_weights_that_are_not_positive(value):
    for i in range(3):
        v = np.ones(3)
        v[i] = value
        for A in (np.eye(3), np.zeros((3, 3)), 1e200 * np.eye(3)):
            assert rigor.weighted_row_sum_upper(A, v) == math.inf
            assert rigor.weighted_row_sum_upper(A, v, np.ones(3)) == math.inf
            assert rigor.weighted_row_sum_upper(A, np.ones(3), v) == math.inf


@pytest.mark.parametrize("value", NONE)
def test_nothing_is_said_for_other_arguments_that_are_no_number(value):
    for i in range(3):
        for k in range(3):
            alpha, beta, q = -HALF, HALF.copy(), HALF + 0.1
            (alpha, beta, q)[k][i] = value
            assert not rigor.lmi_holds(THIRD, alpha, beta, np.eye(3), q, 0.9)
    assert not rigor.lmi_holds(THIRD, -HALF, HALF, np.eye(3), HALF + 0.1, value)
    assert not rigor.eigenvalues_at_least(np.eye(3), value)
    assert not rigor.quadratic_bound_holds(THIRD, None, None, value)
    assert rigor.spectral_norm_at_most(THIRD, value) == (value == math.inf)
    assert rigor.spectral_norm_at_most(np.zeros((3, 3)), value) == (value == math.inf)


def test_margins_below_zero_are_refused():
    # c - |E| >= margin (1 + 4 u) would prove less than the margin
    assert not rigor.eigenvalues_at_least(np.eye(2), -1.0)


def test_a_total_that_overflows_hides_no_larger_sum():
    """Five terms just above half a unit carry 2^1024 - 5 units beyond the largest double."""
    unit, largest = 2.0**971, np.finfo(np.float64).max
    A = np.zeros((2, 6))
    A[0] = [largest - 4 * unit, *[math.nextafter(unit / 2, math.inf)] * 5]
    A[1, :2] = largest - unit, 0.75 * unit
    for order in (A, A[::-1], A[:, ::-1]):
        assert rigor.row_sum_upper(order) == rigor.column_sum_upper(order.T) == largest


@given(
    matrices,
    st.sampled_from([-1070, -1000, -600, 0, 600, 1000]),
    st.one_of(
        st.floats(0.0, 4.0), st.sampled_from([0.0, TINY, 2.0**-1022, 1e-300, 1e300, 1.7e308])
    ),
    st.booleans(),
)
@example(np.array([[TINY, 0.0], [0.0, 0.0]]), 0, 1.7e308, False)
@example(np.full((2, 2), 1.75), 1000, 1.7e308, False)
def test_spectral_norms_at_most_are_decided_without_overflow(A, exponent, mu, relative):
    B = np.ldexp(A, exponent)
    level = math.ldexp(mu, exponent) if relative and mu < 5.0 else mu
    if rigor.spectral_norm_at_most(B, level):
        assert spectral_norm_at_most(B, level)
    elif float(np.max(np.abs(B))) >= 2.0**-1000:  # relative errors, where the level is no subnormal
        assert not spectral_norm_at_most(B, level * (1 - 2 * tightness(5)))


@pytest.mark.parametrize("exponent", [-1040, -1001, -999, 0, 1000])
def test_small_matrices_are_not_refused(exponent):
    """[[3, 4], [-4, 3]] has norm 5, and the root of row sum times column sum is 7."""
    A = np.ldexp(np.array([[3.0, 4.0], [-4.0, 3.0]]), exponent)
    assert rigor.spectral_norm_at_most(A, math.ldexp(5.5, exponent))
    assert not rigor.spectral_norm_at_most(A, math.ldexp(4.9375, exponent))
    assert rigor.spectral_norm_at_most(A, math.inf)


def test_quadratic_bounds_beyond_the_range_are_refused():
    assert not rigor.quadratic_bound_holds(np.eye(2), None, None, 1e200)
    assert not rigor.quadratic_bound_holds(np.eye(2), None, None, np.float64(1e200))
    assert rigor.spectral_norm_at_most(np.full((2, 2), 1e308), np.finfo(np.float64).max) is False
    assert not rigor.quadratic_bound_holds(2.0**65 * np.eye(2), None, None, 2.0**66)
    assert not rigor.quadratic_bound_holds(np.eye(2), None, 2.0**60 * np.eye(2), 1e150)
    # the product of P and A underflows, and A would multiply what is lost
    A, P = np.array([[2.0**500]]), np.array([[0.75 * 2.0**-1000]])
    assert not rigor.quadratic_bound_holds(A, P, None, 0.5)


@given(
    hnp.arrays(np.float64, (3, 3), elements=st.floats(-1.0, 1.0)),
    hnp.arrays(np.float64, (3, 3), elements=st.floats(-1.0, 1.0)),
    st.booleans(),
)
def test_residuals_of_gram_matrices_are_above_the_exact_ones(P, L, near):
    P = rigor._symmetric(L @ L.T if near else P)
    upper = rigor.gram_residual_upper(P, L)
    exact = rational(P) - rational(L) * rational(L).transpose()
    # ||E||_2 <= upper  iff  E^2 <= upper^2 for a symmetric E
    square = rational(np.array([[upper]]))[0, 0] ** 2
    assert positive_semidefinite(square * identity(3) - exact * exact)
    assert not near or upper <= 100 * UNIT
