"""Norms: axioms, upper and lower values against exact arithmetic, constants between norms."""

import itertools
import json
import math
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, example, given, target
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from theory import L1, L2, BlockMax, Linf, WeightedL1, WeightedL2, WeightedLinf
from theory.arithmetic import rigor
from theory.arithmetic.rounding import TINY, UNIT, gamma, sqrt_up
from theory.norms import Norm, over
from theory.norms.norm import best_unit_image
from theory.norms.norms import scaled_matrix_upper
from theory.norms.stored import norm_from_dict
from theory.typing import Array

N = 3
V = np.array([0.3, 5.0, 1.0])
P = np.array([[2.0, -1.0, 0.25], [-1.0, 1.5, 0.5], [0.25, 0.5, 1.0]])
LIST: list[Norm] = [
    L1(),
    L2(),
    Linf(),
    WeightedLinf(V),
    WeightedL1(V),
    WeightedL2(np.diag([4.0, 0.1, 1.0])),
    WeightedL2(P),
    BlockMax([L2(), WeightedL1([0.75])], sizes=[2, 1], weights=[1.0, 4.0]),
    BlockMax([WeightedL2(P[:2, :2]), Linf()], sizes=[2, 1], weights=[0.3, 1.0]),
]
NAMES = ["L1", "L2", "Linf", "Linf,v", "L1,v", "L2,D", "L2,P", "max", "max,P"]
NORMS = dict(zip(NAMES, LIST, strict=True))
every = pytest.mark.parametrize("norm", LIST, ids=NAMES)
others = st.sampled_from(LIST)

usual = st.floats(-100.0, 100.0)
wide = st.one_of(
    usual,
    st.floats(-1e150, 1e150),
    st.sampled_from([0.0, TINY, -TINY, 1e-160, 1e-200, 1e-300, 1e-308, 3e150, 2.0**-537]),
)


def vectors(elements=wide, n: int = N):
    return hnp.arrays(np.float64, n, elements=elements)


def square(elements=usual, n: int = N):
    return hnp.arrays(np.float64, (n, n), elements=elements)


def weighted_sum(norm: WeightedL1, q: list[Fraction]) -> Fraction:
    pairs = zip(q, norm.v.tolist(), strict=True)
    return sum((abs(x) * Fraction(v) for x, v in pairs), Fraction(0))


def exact_power(norm: Norm, h: Array) -> tuple[Fraction, int]:
    """Return (||h||^p, p) without rounding, p = 1 or 2."""
    q = [Fraction(x) for x in h.tolist()]
    if isinstance(norm, L1):
        return sum(map(abs, q), Fraction(0)), 1
    if isinstance(norm, Linf):
        return max(map(abs, q)), 1
    if isinstance(norm, WeightedLinf):
        return max(abs(x) / Fraction(v) for x, v in zip(q, norm.v.tolist(), strict=True)), 1
    if isinstance(norm, WeightedL1):
        return weighted_sum(norm, q), 1
    if isinstance(norm, L2):
        return sum((x * x for x in q), Fraction(0)), 2
    if isinstance(norm, BlockMax):
        return exact_image(norm, q), 2
    assert isinstance(norm, WeightedL2)
    rows = [[Fraction(p) for p in row] for row in norm.P.tolist()]
    return sum(
        (a * p * b for a, row in zip(q, rows, strict=True) for p, b in zip(row, q, strict=True)),
        Fraction(0),
    ), 2


def is_above(bound: float, power: tuple[Fraction, int]) -> bool:
    return math.isinf(bound) or Fraction(bound) ** power[1] >= power[0]


def approximately(power: tuple[Fraction, int]) -> float:
    """Return the norm to some 15 digits, also where its square is beyond the range."""
    q, p = power
    if p == 1:
        return float(q)
    shift = 2 * (q.numerator.bit_length() - q.denominator.bit_length()) // 4 if q else 0
    return math.ldexp(math.sqrt(q / Fraction(2) ** (2 * shift)), shift)


# ------------------------------------------------------------------------------------------ axioms


@every
@given(a=vectors(usual), b=vectors(usual), c=usual)
def test_the_axioms_of_a_norm(norm, a, b, c):
    slack = 1 + 4 * norm.vector_rounding(N)
    tiny = 100 * TINY
    assert norm.vector(a + b) <= (norm.vector(a) + norm.vector(b)) * slack + tiny
    # c a is rounded entry by entry, which every norm here multiplies by at most its condition
    rounding = slack - 1 + 4 * UNIT * 10 * over(norm, Linf(), n=N) * over(Linf(), norm, n=N)
    assert abs(norm.vector(c * a) - abs(c) * norm.vector(a)) <= (
        rounding * abs(c) * norm.vector(a) + tiny
    )
    assert norm.vector(a) >= 0
    assert norm.vector(-a) == norm.vector(a)
    assert (norm.vector(a) == 0) == (not np.any(a)) or np.max(np.abs(a)) < 1e-150


@every
def test_norms_act_along_the_last_axis(norm):
    h = np.random.default_rng(0).standard_normal((2, 4, N))
    for measure in (norm.vector, norm.vector_upper):
        table = measure(h)
        assert table.shape == (2, 4)
        for i, j in np.ndindex(2, 4):
            # a product with a matrix may be summed in another order
            assert abs(float(measure(h[i, j])) - table[i, j]) <= 4 * UNIT * N * table[i, j]
        assert measure(h[:0]).shape == (0, 4)
        assert np.ndim(measure(h[0, 0])) == 0
    assert norm.vector(np.zeros((2, N))).tolist() == [0.0, 0.0]
    assert norm.vector_upper(np.zeros((2, N))).tolist() == [0.0, 0.0]


# ----------------------------------------------------------------------------------- vector values


@every
@given(h=vectors())
@example(h=np.array([TINY, 0.0, 0.0]))
@example(h=np.full(N, TINY))
@example(h=np.array([1e-200, -1e-200, 1e-200]))
@example(h=np.array([1e150, 1e-150, 1.0]))
def test_vector_upper_is_above_the_exact_norm(norm, h):
    assert is_above(float(norm.vector_upper(h)), exact_power(norm, h))


@every
@given(h=vectors())
def test_vector_is_within_its_rounding(norm, h):
    exact = approximately(exact_power(norm, h))
    error = abs(float(norm.vector(h)) - exact)
    # relative rounding (and that of `approximately`); n products may underflow, each by TINY, and
    # the factor of P may have to carry that through
    assert error <= (norm.vector_rounding(N) + 4 * UNIT) * exact + 4 * N * N * TINY
    assert (
        float(norm.vector_upper(h)) <= exact * (1 + 3 * norm.vector_rounding(N)) + 8 * N * N * TINY
    )


@pytest.mark.parametrize(
    "exponent", [-1074, -1060, -1022, -600, -540, -500, 0, 500, 511, 600, 1020]
)
@pytest.mark.parametrize("name", ["L1", "L2", "Linf"])
def test_unweighted_norms_at_extreme_scales(name, exponent):
    norm = NORMS[name]
    h = np.ldexp(np.array([3.0, -4.0, 0.0]), exponent)
    exact = math.ldexp({"L1": 7.0, "L2": 5.0, "Linf": 4.0}[name], exponent)
    assert norm.vector(h) == exact
    assert exact <= norm.vector_upper(h) <= exact * (1 + 1e-14) + 2 * TINY


@pytest.mark.parametrize(
    ("norm", "h"),
    [
        (WeightedLinf([1e300]), [1e-300]),
        (WeightedLinf([1e300, 1.0]), [1e-300, 0.0]),
        (WeightedL1([1e-300]), [1e-300]),
        (WeightedL1([1e-20, 1.0]), [1.7e-304, 0.0]),
        (WeightedL1([0.75 * 2.0**-1000] * 3), [2.0**-74] * 3),
        (WeightedL1([1e300, 1.0]), [1e300, 1e-300]),
        (WeightedL2([[1e-300]]), [1e-200]),
        (WeightedL2([[1e-300]]), [1.23e-170]),
        (WeightedL2(1e-300 * np.eye(3)), [1e-171, 1.7e-171, 1.1e-171]),
        (WeightedL2(1e-300 * P), [1e-171, -1.7e-171, 1.1e-171]),
        (WeightedL2(1e-320 * np.eye(2)), [1.7e100, 1.1e100]),
        (WeightedL2(1e300 * P), [1e100, -1.7e100, 1.1e100]),
        (WeightedL2(1e300 * P), [1e-300, -1.7e-300, 1.1e-300]),
    ],
)
def test_weighted_norms_at_extreme_scales(norm, h):
    """A vector that is not zero has no upper bound zero, wherever products underflow."""
    assert is_above(float(norm.vector_upper(np.array(h))), exact_power(norm, np.array(h)))


@pytest.mark.parametrize("lanes", [1, 2, 4, 8, 16, 32])
@pytest.mark.parametrize("length", [128, 4000])
def test_long_sums_that_lose_their_small_terms(lanes, length):
    """A sum in so many lanes starts each with a 1, to which half a unit is added in vain."""
    for norm, small in ((L1(), 2.0**-54), (L2(), 2.0**-27), (WeightedL2(np.eye(128)), 2.0**-27)):
        h = np.where(np.arange(length) < lanes, 1.0, small)[: norm.dim]
        assert is_above(float(norm.vector_upper(h)), exact_power(norm, h))


def test_mixed_scales_in_one_vector():
    h = np.array([1e200, 1e-200, 1.0])
    for norm in (L1(), L2(), Linf()):
        assert norm.vector(h) == 1e200
        assert is_above(float(norm.vector_upper(h)), exact_power(norm, h))
    both = np.array([[1e-300] * N, [1e200, 0.0, 0.0], [0.0] * N, [3.0, 4.0, 0.0]])
    assert L2().vector(both).tolist() == [math.sqrt(3) * 1e-300, 1e200, 0.0, 5.0]


@every
@given(e=vectors(st.floats(0.0, 100.0)), signs=hnp.arrays(np.float64, N, elements=st.floats(-1, 1)))
def test_majorant_covers_everything_entrywise_smaller(norm, e, signs):
    bound = norm.majorant(e)
    for d in (signs * e, np.sign(signs) * e, e):
        assert is_above(bound, exact_power(norm, d))
    if norm.monotone:
        assert bound == float(norm.vector_upper(e))


@pytest.mark.parametrize("name", [name for name in NAMES if NORMS[name].monotone])
@given(a=vectors(usual), shrink=hnp.arrays(np.float64, N, elements=st.floats(-1.0, 1.0)))
def test_monotone_norms_are_monotone(name, a, shrink):
    norm = NORMS[name]
    smaller = exact_power(norm, shrink * a)  # |shrink a| <= |a| in doubles too
    assert smaller[0] <= exact_power(norm, a)[0]


def test_a_full_matrix_gives_a_norm_that_is_not_monotone():
    flags = {name: norm.monotone for name, norm in NORMS.items()}
    assert flags == dict.fromkeys(NAMES, True) | {"L2,P": False, "max,P": False}
    norm = NORMS["L2,P"]
    # e_1 + e_2 is shorter than e_1: P_12 < -P_22 / 2
    long, short = np.array([1.0, 1.0, 0.0]), np.array([1.0, 0.0, 0.0])
    assert exact_power(norm, long)[0] < exact_power(norm, short)[0]
    # so the vector norm of a majorising vector would not do
    assert norm.majorant(long) >= norm.vector(short) > norm.vector(long)


@pytest.mark.parametrize("seed", range(4))
def test_every_full_matrix_has_a_counterexample_to_monotonicity(seed):
    B = np.random.default_rng(seed).standard_normal((2, 2))
    S = B @ B.T + 0.5 * np.eye(2)
    S = (S + S.T) / 2
    norm = WeightedL2(S)
    assert not norm.monotone
    # minimise over the second entry: (1, -s12 / s22) is shorter than (1, 0) and larger entrywise
    larger, smaller = np.array([1.0, -S[0, 1] / S[1, 1]]), np.array([1.0, 0.0])
    assert exact_power(norm, larger)[0] < exact_power(norm, smaller)[0]


# ----------------------------------------------------------------------------------- matrix values


@every
@given(A=square(st.floats(-4.0, 4.0)), x=vectors(st.floats(-4.0, 4.0)))
def test_matrix_upper_is_above_every_quotient(norm, A, x):
    exact_x = exact_power(norm, x)
    assume(exact_x[0] > 0)
    upper = norm.matrix_upper(A)
    q = [
        sum((Fraction(a) * Fraction(y) for a, y in zip(row, x.tolist(), strict=True)), Fraction(0))
        for row in A.tolist()
    ]
    image = exact_image(norm, q)
    assert image <= Fraction(upper) ** exact_x[1] * exact_x[0]
    target(float(image / exact_x[0]) - upper ** exact_x[1], label="quotient less bound")


def exact_image(norm: Norm, q: list[Fraction]) -> Fraction:
    """Return ||q||^p of a rational vector."""
    if isinstance(norm, BlockMax):
        squares = [
            Fraction(w) ** 2
            * exact_image(part, q[at]) ** (1 if isinstance(part, L2 | WeightedL2) else 2)
            for w, part, at in norm.blocks
        ]
        return max(squares)
    if isinstance(norm, L1):
        return sum(map(abs, q), Fraction(0))
    if isinstance(norm, Linf):
        return max(map(abs, q))
    if isinstance(norm, WeightedLinf):
        return max(abs(x) / Fraction(v) for x, v in zip(q, norm.v.tolist(), strict=True))
    if isinstance(norm, WeightedL1):
        return weighted_sum(norm, q)
    if isinstance(norm, L2):
        return sum((x * x for x in q), Fraction(0))
    assert isinstance(norm, WeightedL2)
    total = Fraction(0)
    for a, row in zip(q, norm.P.tolist(), strict=True):
        total += a * sum((Fraction(p) * b for p, b in zip(row, q, strict=True)), Fraction(0))
    return total


@every
@given(A=square(), exponent=st.sampled_from([0, 0, 0, -900, 900]))
@example(A=np.zeros((N, N)), exponent=0)
@example(A=np.eye(N), exponent=0)
@example(A=np.full((N, N), TINY), exponent=0)
@example(A=np.diag([1.0, 1.0], 1), exponent=0)
def test_lower_is_below_upper_and_close(norm, A, exponent):
    A = np.ldexp(A, exponent)
    lower, upper = norm.matrix_lower(A), norm.matrix_upper(A)
    assert 0.0 <= lower <= upper < math.inf
    largest = float(np.max(np.abs(A)))
    if largest > 2.0**-1000:
        # both are attained at a computed vector; P's condition is below 1e3.  Between blocks the
        # triangle inequality is not, nor are the constants between families
        attained = max(1, N * len(norm.blocks))
        assert lower >= upper / attained * (1 - 1e-9) - largest * 1e-9
    assert (upper == 0.0) == (not np.any(A))


@pytest.mark.parametrize("name", ["L1", "Linf"])
@given(A=square())
def test_sums_are_correctly_rounded(name, A):
    B = A if name == "Linf" else A.T
    exact = max(sum((Fraction(abs(a)) for a in row), Fraction(0)) for row in B.tolist())
    norm = NORMS[name]
    assert Fraction(norm.matrix_lower(A)) <= exact <= Fraction(norm.matrix_upper(A))


@given(
    hnp.arrays(np.float64, (2, 2), elements=st.integers(0, 40).map(lambda j: 1 + j * 2 * UNIT)),
    hnp.arrays(np.float64, 2, elements=st.integers(0, 40).map(lambda j: 1 + j * 2 * UNIT)),
    st.integers(0, 3),
)
def test_the_lower_value_of_weighted_rows_is_below(A, v, exponent):
    """Just above a power of two, where a rounding is largest relative to the value."""
    A = np.ldexp(A, [[exponent, 0], [0, -exponent]])
    exact = max(
        sum((Fraction(a) * Fraction(y) for a, y in zip(row, v.tolist(), strict=True)), Fraction(0))
        / Fraction(x)
        for row, x in zip(A.tolist(), v.tolist(), strict=True)
    )
    for norm, B in ((WeightedLinf(v), A), (WeightedL1(v), A.T)):
        assert Fraction(norm.matrix_lower(B)) <= exact <= Fraction(norm.matrix_upper(B))


@pytest.mark.parametrize("scale", [1e200, 1e-200, 1e300, 1e-320])
def test_matrix_values_with_extreme_weights(scale):
    """Weights cancel in a square matrix's norm, though products with them leave the range."""
    A = np.array([[0.5, 0.25], [0.125, 0.5]])
    weights = np.array([scale, scale])
    for B, norm in itertools.product(
        (A, A * 1e200, A * 1e-200), (WeightedLinf(weights), WeightedL1(weights))
    ):
        exact = 0.75 * (B[0, 0] / 0.5)  # the first row, and the second column
        lower, upper = norm.matrix_lower(B), norm.matrix_upper(B)
        assert lower <= exact * (1 + 4 * UNIT)
        assert exact * (1 - 4 * UNIT) <= upper


@pytest.mark.parametrize("scale", [1e300, 1e-300])
@pytest.mark.parametrize("size", [1e200, 1.0, 1e-200])
def test_matrix_values_with_extreme_gram_matrices(scale, size):
    A = size * np.array([[0.5, 0.25, 0.0], [0.0, 0.5, 0.125], [0.25, 0.0, 0.5]])
    plain, scaled = WeightedL2(P), WeightedL2(P * scale)
    assert scaled.matrix_upper(A) == pytest.approx(plain.matrix_upper(A), rel=1e-9)
    assert scaled.matrix_lower(A) == pytest.approx(plain.matrix_upper(A), rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_lower_values_beyond_the_range_stay_finite(name):
    A = np.full((N, N), 1.7e308)
    lower = NORMS[name].matrix_lower(A)
    assert 1e308 < lower <= sys.float_info.max
    assert NORMS[name].matrix_upper(A) == math.inf


#: Matrices of integers, whose products are exact.
integral = square(st.integers(-8, 8).map(float))


@every
@given(other=others, A=integral, B=integral)
def test_products_are_submultiplicative_through_a_source(norm, other, A, B):
    """||A B||_{norm <- norm} <= ||A||_{norm <- other} ||B||_{other <- norm}."""
    through = norm.matrix_upper(A, other) * other.matrix_upper(B, norm) * (1 + 4 * UNIT)
    assert norm.matrix_lower(A @ B) <= through


@every
@given(other=others, data=st.data())
def test_matrix_upper_from_another_norm(norm, other, data):
    """Also of rectangular matrices where both norms are defined in every dimension."""
    rows = N if norm.dim else data.draw(st.integers(1, 4))
    columns = N if other.dim else data.draw(st.integers(1, 4))
    A = data.draw(hnp.arrays(np.float64, (rows, columns), elements=st.floats(-4.0, 4.0)))
    x = data.draw(vectors(st.floats(-4.0, 4.0), columns))
    size, p = exact_power(other, x)
    q = [
        sum((Fraction(a) * Fraction(y) for a, y in zip(row, x.tolist(), strict=True)), Fraction(0))
        for row in A.tolist()
    ]
    image = exact_image(norm, q)
    r = exact_power(norm, np.ones(rows))[1]
    upper = Fraction(norm.matrix_upper(A, other))
    # ||A x|| <= upper ||x||, both sides to the power 2
    assert image ** (2 // r) <= upper**2 * size ** (2 // p)


def test_matrix_upper_known_values():
    A = np.array([[1.0, -2.0], [3.0, 4.0]])
    assert L1().matrix_upper(A) == 6.0
    assert Linf().matrix_upper(A) == 7.0
    assert L2().matrix_upper(A) == pytest.approx(5.116672736016927, rel=1e-12)
    # (3 * 1 + 4 * 2) / 2 by the second row, with at most 8 u of rounding up
    assert 5.5 <= WeightedLinf([1.0, 2.0]).matrix_upper(A) <= 5.5 * (1 + 9 * UNIT)
    # (2 * 1 + 4 * 2) / 2 by the second column
    assert 7.0 <= WeightedL1([1.0, 2.0]).matrix_upper(A) <= 7.0 * (1 + 9 * UNIT)
    D = np.array([2.0, 0.5])
    expected = np.linalg.norm(np.diag(D) @ A @ np.diag(1 / D), 2)
    assert WeightedL2(np.diag(D**2)).matrix_upper(A) == pytest.approx(expected, rel=1e-12)


# ------------------------------------------------------------------------------- constants between


@every
@example(other=L2(), h=np.array([5e-324, 5e-324, 0.0]))  # doubles have no squares of these
@given(other=others, h=vectors(usual))
def test_over_bounds_one_norm_by_another(norm, other, h):
    c = Fraction(over(norm, other, n=N))
    (a, p), (b, q) = exact_power(norm, h), exact_power(other, h)
    assert a ** (2 // p) <= c**2 * b ** (2 // q)
    if b:
        share = a ** (2 // p) / (c**2 * b ** (2 // q))
        target(math.sqrt(share), label="share of the constant")


def witness(norm: Norm, other: Norm, n: int) -> Array:
    """Return a vector on which ||h||_norm / ||h||_other is largest."""
    if isinstance(other, BlockMax):
        return np.concatenate(
            [
                x / (w * part.vector(x))
                for w, part, at in other.blocks
                for x in [witness(norm, part, at.stop - at.start)]
            ]
        )
    if isinstance(norm, BlockMax):
        found = np.zeros((len(norm.blocks), n))
        for row, (_, part, at) in zip(found, norm.blocks, strict=True):
            row[at] = witness(part, other, at.stop - at.start)
        return found[np.argmax(norm.vector(found) / other.vector(found))]
    if isinstance(norm, WeightedLinf | WeightedL2) and isinstance(other, L1 | L2 | Linf):
        if isinstance(norm, WeightedL2):
            return np.linalg.eigh(norm.P)[1][:, -1]
        return np.eye(n)[np.argmin(norm.v)]
    if isinstance(norm, WeightedL1):
        return np.eye(n)[np.argmax(norm.v / getattr(other, "v", 1.0))]
    if isinstance(other, WeightedL1):
        return np.eye(n)[np.argmin(other.v)]
    if isinstance(norm, WeightedLinf) and isinstance(other, WeightedLinf):
        return np.eye(n)[np.argmax(other.v / norm.v)]
    if isinstance(other, WeightedLinf):
        return other.v
    if isinstance(norm, WeightedL2) and isinstance(other, WeightedL2):
        L = np.linalg.cholesky(other.P)
        M = np.linalg.solve(L, np.linalg.solve(L, norm.P).T)
        return np.linalg.solve(L.T, np.linalg.eigh(M)[1][:, -1])
    if isinstance(other, WeightedL2):
        return np.linalg.eigh(other.P)[1][:, 0]
    order = {L1: 0, L2: 1, Linf: 2}
    return np.ones(n) if order[type(norm)] < order[type(other)] else np.eye(n)[0]


#: The pairs for which the documentation of `over` promises the best constant.
SHARP = [
    *[(a, b) for a in NAMES[:3] for b in NAMES[:3]],
    ("Linf,v", "Linf,v"),
    ("Linf,v", "Linf"),
    ("Linf", "Linf,v"),
    ("L1,v", "L1,v"),
    ("L1,v", "L1"),
    ("L1", "L1,v"),
    ("L2,P", "L2"),
    ("L2", "L2,P"),
    ("L2,D", "L2"),
    ("L2", "L2,D"),
    ("L2,P", "L2,D"),
    ("L2,D", "L2,P"),
    *[("max", name) for name in NAMES[:3]],
    *[(name, "max") for name in NAMES[:3]],
    ("max,P", "L2"),
    ("L2", "max,P"),
]


@pytest.mark.parametrize(("name", "other"), SHARP)
def test_over_is_attained_where_it_is_documented_as_exact(name, other):
    a, b = NORMS[name], NORMS[other]
    h = witness(a, b, N)
    assert a.vector(h) / b.vector(h) >= over(a, b, n=N) * (1 - 1e-10)


def test_over_known_values():
    for n in (1, 2, 5, 100):
        assert over(L1(), Linf(), n=n) == n
        assert over(L1(), L2(), n=n) == over(L2(), Linf(), n=n) == sqrt_up(float(n))
        assert over(Linf(), L2(), n=n) == over(Linf(), L1(), n=n) == over(L2(), L1(), n=n) == 1.0
        assert over(L2(), L2(), n=n) == 1.0
    for norm in LIST:
        assert over(norm, norm, n=N) == 1.0
    twice = WeightedLinf(2 * V)
    assert 0.5 <= over(twice, WeightedLinf(V), n=N) <= 0.5 + 4 * UNIT
    assert 2.0 <= over(WeightedLinf(V), twice, n=N) <= 2.0 + 8 * UNIT
    twice = WeightedL1(2 * V)
    assert 2.0 <= over(twice, WeightedL1(V), n=N) <= 2.0 + 8 * UNIT
    assert 0.5 <= over(WeightedL1(V), twice, n=N) <= 0.5 + 4 * UNIT
    norm = NORMS["L2,D"]
    assert over(norm, L2(), n=N) == pytest.approx(2.0)
    assert over(L2(), norm, n=N) == pytest.approx(math.sqrt(10))
    assert norm.condition_upper == pytest.approx(math.sqrt(40))
    assert norm.condition_upper >= math.sqrt(40) * (1 - 2 * UNIT)


def test_over_asks_for_the_right_dimension():
    for a, b in ((NORMS["Linf,v"], L2()), (L2(), NORMS["L2,P"])):
        with pytest.raises(ValueError, match=r"is a norm on R\^3, needed one on R\^2"):
            over(a, b, n=2)


@pytest.mark.parametrize("v", [TINY, 1e-310, 1e300])
def test_over_with_extreme_weights_is_above_and_warns_of_nothing(v):
    norm, total = WeightedLinf([v]), WeightedL1([v])
    for a, b, exact in (
        (norm, Linf(), 1 / Fraction(v)),
        (Linf(), norm, Fraction(v)),
        (total, L1(), Fraction(v)),
        (L1(), total, 1 / Fraction(v)),
        (total, norm, Fraction(v) ** 2),
        (norm, total, 1 / Fraction(v) ** 2),
    ):
        constant = over(a, b, n=1)
        assert constant == math.inf or Fraction(constant) >= exact


# ------------------------------------------------------------------------------------ construction


@every
def test_descriptions_are_read_back_bitwise(norm):
    data = json.loads(json.dumps(norm.to_dict()))
    again = norm_from_dict(data)
    assert type(again) is type(norm)
    assert again.to_dict() == norm.to_dict()
    h = np.random.default_rng(0).standard_normal((5, N))
    np.testing.assert_array_equal(again.vector(h), norm.vector(h))
    assert repr(norm) == norm.label
    assert isinstance(norm.companion, L1 | L2 | Linf)
    assert norm.companion.companion.label == norm.companion.label


@given(hnp.arrays(np.float64, 3, elements=st.floats(5e-324, 1e300)))
def test_weights_are_read_back_bitwise(v):
    for kind in (WeightedLinf, WeightedL1):
        assert norm_from_dict(kind(v).to_dict()).v.tolist() == v.tolist()


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"name": "L3"},
        {"name": None},
        {"name": ["L2"]},
        {"name": "WeightedLinf"},
        {"name": "WeightedL2"},
        {"name": "WeightedLinf", "v": ["not hex"]},
        {"name": "WeightedLinf", "v": [1.0]},
        {"name": "WeightedLinf", "v": ["-0x1p+0"]},
        {"name": "WeightedL1"},
        {"name": "WeightedL1", "v": ["0x0p+0"]},
        {"name": "WeightedL2", "P": [["0x1p+0", "0x1p+0"]]},
        {"name": "BlockMax", "parts": [{"name": "L2"}], "sizes": [1], "weights": ["-0x1p+0"]},
        {"name": "BlockMax", "parts": [{"name": "L2"}], "sizes": [1.5], "weights": ["0x1p+0"]},
        {"name": "BlockMax", "parts": [{"name": "L3"}], "sizes": [1], "weights": ["0x1p+0"]},
        {"name": "BlockMax", "parts": ["L2"], "sizes": [1], "weights": ["0x1p+0"]},
        {"name": "BlockMax", "parts": [], "sizes": [], "weights": []},
        {"name": "BlockMax"},
    ],
    ids=str,
)
def test_descriptions_of_nothing_are_refused(data):
    with pytest.raises(ValueError):
        norm_from_dict(data)


@pytest.mark.parametrize(
    ("v", "message"),
    [
        ([1.0, 0.0], "least entry 0.0, needed positive"),
        ([1.0, -2.0], "least entry -2.0, needed positive"),
        ([], "needed positive weights"),
        ([[1.0]], r"v has shape \(1, 1\), needed 1 dimension"),
        ([math.nan], r"v holds nan at index \(0,\)"),
        ([math.inf], r"v holds inf"),
    ],
)
def test_bad_weights(v, message):
    for kind in (WeightedLinf, WeightedL1):
        with pytest.raises(ValueError, match=message):
            kind(v)


@pytest.mark.parametrize(
    ("P", "message"),
    [
        ([[1.0, 0.5], [0.25, 1.0]], r"P is not symmetric \(largest \|P - P\^T\| is 0.25\)"),
        ([[1.0, 2.0], [2.0, 1.0]], r"not provably positive definite \(least eigenvalue about -1\)"),
        ([[1.0, 1.0], [1.0, 1.0]], r"not provably positive definite"),
        ([[0.0]], r"not provably positive definite"),
        ([[-1.0]], r"not provably positive definite"),
        ([[1.0, 2.0]], r"P has shape \(1, 2\), needed a square matrix"),
        ([1.0], r"P has shape \(1,\), needed 2 dimension"),
        ([[math.nan]], r"P holds nan"),
    ],
)
def test_bad_gram_matrices(P, message):
    with pytest.raises(ValueError, match=message):
        WeightedL2(P)


def test_blocks_without_a_norm_are_refused():
    for parts, more, message in (
        ([], {"sizes": []}, "received 0 parts and 0 sizes"),
        ([L2()], {"sizes": [1, 2]}, "received 1 parts and 2 sizes"),
        ([L2(), 2.0], {"sizes": [1, 2]}, r"parts\[1\]=2.0, needed a norm"),
        ([L2()], {"sizes": [0]}, r"sizes\[0\]=0, needed"),
        ([WeightedL1(V)], {"sizes": [2]}, r"is a norm on R\^3, needed one on R\^2"),
        ([L2()], {"sizes": [2], "weights": [0.0]}, "least entry 0.0, needed positive"),
        ([L2()], {"sizes": [2], "weights": [1.0, 1.0]}, r"weights has shape \(2,\), needed \(1,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            BlockMax(parts, **more)
    with pytest.raises(ValueError, match="maximum over blocks, needed a norm that is"):
        NORMS["max"].coordinates(3)


def test_blocks_of_the_same_sizes_are_compared_one_by_one():
    a = BlockMax([L2(), Linf()], sizes=[2, 1], weights=[2.0, 1.0])
    b = BlockMax([Linf(), L1()], sizes=[2, 1], weights=[1.0, 0.25])
    assert over(a, b, n=3) == pytest.approx(4.0)
    assert over(b, a, n=3) == pytest.approx(0.5)
    nested = BlockMax([a, L2()], sizes=[3, 2])
    h = np.array([3.0, 4.0, 1.0, 0.0, 2.0])
    assert nested.vector(h) == 10.0
    assert norm_from_dict(nested.to_dict()).vector(h) == 10.0


def test_weights_are_copied_and_frozen():
    v, S = V.copy(), P.copy()
    norm, other = WeightedLinf(v), WeightedL2(S)
    v[0] = S[0, 0] = 99.0
    assert norm.v[0] == V[0]
    assert other.P[0, 0] == P[0, 0]
    for array in (norm.v, other.P):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0
    with pytest.raises(AttributeError):
        norm.v = v


def test_dimensions():
    assert [norm.dim for norm in LIST] == [None, None, None, 3, 3, 3, 3, 3, 3]
    for norm in LIST:
        norm.check_dim(3)
        if norm.dim is None:
            norm.check_dim(17)
        else:
            with pytest.raises(ValueError, match=r"needed one on R\^17"):
                norm.check_dim(17)


def test_vector_rounding_grows_with_condition():
    assert L2().vector_rounding(10) == 2 * gamma(26)
    ill = WeightedL2([[1.0, 0.999999], [0.999999, 1.0]])
    assert ill.vector_rounding(2) > 1000 * L2().vector_rounding(2)
    # (1, -1) is nearly in the kernel: the relative error is large there, and covered
    h = np.array([1.0, -1.0 + 2.0**-30])
    exact = approximately(exact_power(ill, h))
    assert abs(ill.vector(h) - exact) <= ill.vector_rounding(2) * exact


# ------------------------------------------------------------------------- what is no number


@every
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nothing_finite_is_said_of_what_is_no_number(norm, value):
    for i in range(N):
        h = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
        h[1, i] = value
        table = norm.vector_upper(h)
        assert table[0] < table[1] == math.inf
        assert table[2] == 0.0
        assert norm.majorant(np.abs(h[1])) == math.inf
        for j in range(N):
            A = np.zeros((N, N))
            A[i, j] = value
            assert norm.matrix_lower(A) == 0.0
            for source in (None, *LIST):
                assert norm.matrix_upper(A, source) == math.inf
            if norm.monotone:
                assert scaled_matrix_upper(norm, np.array([0.0, 1.0, 2.0]), A) == math.inf


@every
def test_slopes_that_are_no_numbers(norm):
    for i in range(N):
        slopes = np.ones(N)
        slopes[i] = math.nan
        with pytest.raises(ValueError, match="slopes have least entry nan, needed none below 0"):
            scaled_matrix_upper(norm, slopes, np.zeros((N, N)))
        slopes[i] = math.inf
        assert scaled_matrix_upper(norm, slopes, np.zeros((N, N))) == math.inf


def test_vectors_whose_norm_overflows_have_no_finite_bound():
    """Products with the factor of P overflow with both signs, and their sum is NaN."""
    norm = WeightedL2(np.ldexp(P, 900))
    h = np.array([[1e300, -1e300, 1e300], [1e300, 1e300, 1e300], [1.0, 2.0, 3.0]])
    table = norm.vector_upper(h)
    assert table[:2].tolist() == [math.inf, math.inf]
    assert is_above(table[2], exact_power(norm, h[2]))
    assert norm.majorant(np.abs(h[0])) == math.inf


# ------------------------------------------------------------------- the factor of P is not trusted


def with_factor(monkeypatch, factor, S: Array) -> WeightedL2:
    """Return the norm of S with `factor` for NumPy's, but in the proofs of `rigor`."""
    true, proved = np.linalg.cholesky, rigor.operator_norm_upper

    def bound(*arguments):
        with monkeypatch.context() as patch:
            patch.setattr(np.linalg, "cholesky", true)
            return proved(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(rigor, "operator_norm_upper", bound)
        patch.setattr(np.linalg, "cholesky", factor)
        return WeightedL2(S)


@pytest.mark.parametrize("size", [1e-15, 1e-12, 1e-8, 1e-4, 1e-2])
@pytest.mark.parametrize("scale", [-900, 0, 900])
def test_vectors_are_bounded_with_a_factor_that_errs(monkeypatch, size, scale):
    """An a-priori bound of what LAPACK returns would not notice."""
    true = np.linalg.cholesky
    noise = 1.0 + size * np.random.default_rng(0).uniform(-1.0, 1.0, (N, N))
    norm = with_factor(monkeypatch, lambda S: true(S) * noise, np.ldexp(P, scale))
    for h in np.random.default_rng(1).standard_normal((100, N)):
        power = exact_power(norm, h)
        assert is_above(float(norm.vector_upper(h)), power)
        error = abs(float(norm.vector(h)) - approximately(power))
        assert error <= (norm.vector_rounding(N) + 4 * UNIT) * approximately(power)


def fails(_: Array) -> Array:
    raise np.linalg.LinAlgError


@pytest.mark.parametrize(
    "factor",
    [np.zeros_like, lambda S: S * math.nan, lambda S: S * math.inf, lambda S: 2.0 * S, fails],
    ids=["zero", "nan", "inf", "wrong", "fails"],
)
def test_a_factor_that_is_wrong_is_refused(monkeypatch, factor):
    with pytest.raises(ValueError, match="no correct digit left"):
        with_factor(monkeypatch, factor, P)


@pytest.mark.parametrize(
    ("n", "condition"), [(1, 1.0), (3, 1.0), (3, 1e6), (8, 1e10), (32, 1e2), (32, 1e6)]
)
def test_the_rounding_of_a_gram_matrix_is_near_what_is_expected(n, condition):
    r"""E is of size n u || |L| |L|^T ||, and |D x|^2 is at most cond(P) |x|_P^2."""
    Q = np.linalg.qr(np.random.default_rng(n).standard_normal((n, n)))[0]
    S = (Q * np.geomspace(1 / condition, 1.0, n)) @ Q.T
    S = (S + S.T) / 2
    scaled = S / np.sqrt(np.outer(np.diag(S), np.diag(S)))
    least = float(np.linalg.eigvalsh(scaled)[0])
    # the a-priori bound that stood here before
    before = 2.0 * (2.0 + n / least) * gamma(2 * n + 6)
    assert WeightedL2(S).vector_rounding(n) <= 1.5 * before


@pytest.mark.parametrize("norm", [L2(), WeightedL2(np.eye(2))], ids=["L2", "L2,P"])
def test_lower_values_cover_what_underflows(norm):
    """A product that is 0.6 of the smallest double is computed as the whole."""
    A, x = np.diag([0.5, 0.6 * 2.0**-1000]), np.array([[0.0], [2.0**-74]])
    assert best_unit_image(norm, A, x) <= A[1, 1]
    assert norm.matrix_lower(A) == pytest.approx(0.5)
