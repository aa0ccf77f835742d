"""The exact worst-case error of linear maps: closed forms, exact sums, and the certified bounds."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory import (
    Contraction,
    Inputs,
    LinearHead,
    LinearMap,
    Linf,
    VanillaRNN,
    contraction,
    truncate,
)
from theory.certify import contractions
from theory.maps import leaky_relu
from theory.memory import smallest_error, worst_case_error
from theory.memory.context import error_curve
from theory.memory.worst_case import WorstCase


def stable(seed, n, m=2, radius=0.9, bias=0.0):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, n))
    A *= radius / np.max(np.abs(np.linalg.eigvals(A)))
    return LinearMap(A, rng.standard_normal((n, m)), bias * rng.standard_normal(n))


@given(
    lam=st.floats(-0.99, 0.99),
    gain=st.floats(-10.0, 10.0),
    k=st.integers(0, 40),
    bound=st.floats(0.0, 5.0),
)
def test_scalar_closed_form(lam, gain, k, bound):
    one = LinearMap([[lam]], [[gain]])
    worst = worst_case_error(one, k, inputs=Inputs.box(-bound, bound))
    a = abs(Fraction(lam))
    exact = abs(Fraction(gain)) * Fraction(bound) * a**k / (1 - a)
    assert Fraction(float(worst.lower[0])) <= exact <= Fraction(float(worst.upper[0]))
    assert worst.upper[0] - worst.lower[0] <= 1e-8 * float(exact) + 1e-300


def test_published_kernel_tail():
    # B5.tail: modes .9 and .5, C B = (1, -1), k = 5; the modal bound and the paper's are larger
    one = LinearMap(np.diag([0.9, 0.5]), [[1.0], [-1.0]])
    head = LinearHead([[1.0, 1.0]])
    worst = worst_case_error(one, 5, inputs=Inputs.box(-1.0, 1.0), head=head, tol=1e-13)
    assert worst.lower[0] <= 5.8424 <= worst.upper[0]
    assert worst.upper[0] - worst.lower[0] < 1e-11
    c = contraction(one)
    curve = error_curve(one, c, inputs=Inputs.ball(1.0), head=head, count=5)[1]
    assert worst.error < 5.9674 < curve[5]
    # which the answer does not rest on
    assert smallest_error(one, 5, inputs=Inputs.ball(1.0), head=head).error <= 5.84240001


def test_published_scalar_gap_and_window():
    # A2.scalar_lds_gap and B8.minimax: no function of the last k inputs does better
    one = LinearMap([[0.9]], [[1.0]])
    for k in (0, 1, 7):
        worst = worst_case_error(one, k, inputs=Inputs.box(-1.0, 1.0))
        assert worst.lower[0] <= Fraction(9, 10) ** k * 10 * (1 + Fraction(1, 10**15))
        assert worst.upper[0] >= 0.9**k * 10 * (1 - 1e-15)
    short = worst_case_error(one, 2, inputs=Inputs.box(-1.0, 1.0), horizon=5)
    assert short.error == pytest.approx(0.81 + 0.729 + 0.6561, rel=1e-14)
    assert worst_case_error(one, 5, inputs=Inputs.box(-1.0, 1.0), horizon=5).error == 0.0


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 4), k=st.integers(0, 6))
def test_exact_rational_sums(seed, n, k):
    rng = np.random.default_rng(seed)
    one = stable(seed, n, bias=float(rng.choice([0.0, 0.5])))
    low, high = np.sort(rng.standard_normal((2, 2)), axis=0)
    head = LinearHead(rng.standard_normal((2, n)))
    worst = worst_case_error(
        one, k, inputs=Inputs.box(low, high), head=head, horizon=k + 6, tol=1e-30
    )
    A, B, b, C = (
        [[Fraction(x) for x in row] for row in np.atleast_2d(M).tolist()]
        for M in (one.W, one.U, one.b, head.C)
    )
    ends = [(Fraction(x), Fraction(y)) for x, y in zip(low.tolist(), high.tolist(), strict=True)]
    for i, row in enumerate(C):
        v, top, bottom, best = row, Fraction(0), Fraction(0), Fraction(0)
        for lag in range(k + 6):
            if lag >= k:
                K = [sum(v[j] * B[j][c] for j in range(n)) for c in range(2)]
                shift = sum(v[j] * b[0][j] for j in range(n))
                top += shift + sum(max(a * x, a * y) for a, (x, y) in zip(K, ends, strict=True))
                bottom += shift + sum(min(a * x, a * y) for a, (x, y) in zip(K, ends, strict=True))
                best = max(best, top, -bottom)
            v = [sum(v[j] * A[j][c] for j in range(n)) for c in range(n)]
        assert Fraction(float(worst.lower[i])) <= best <= Fraction(float(worst.upper[i]))
        assert worst.upper[i] <= worst.lower[i] + 1e-11 * (1 + float(best))


@pytest.mark.parametrize(("seed", "n", "bias"), [(1, 1, 0.0), (2, 3, 0.0), (3, 5, 0.3)])
def test_the_history_attains_it(seed, n, bias):
    one = stable(seed, n, bias=bias)
    worst = worst_case_error(one, 4, inputs=Inputs.box([-1.0, 0.5], [1.0, 2.0]))
    last = np.random.default_rng(seed).uniform(0.5, 1.0, (4, 2))
    X = np.vstack([worst.history, last])
    gap = np.abs(one.simulate(X)[-1] - truncate(one, 4).states(X)[-1])
    # two simulations of about 200 steps, in which rounding errors contract too
    assert np.max(gap) == pytest.approx(float(np.max(worst.lower)), rel=1e-8)
    assert (gap <= worst.upper * (1 + 1e-10)).all()
    # and random histories in the box stay below
    X = np.random.default_rng(9).uniform([-1.0, 0.5], [1.0, 2.0], (50, 60, 2))
    gaps = np.abs(one.simulate(X)[:, -1] - truncate(one, 4).states(X)[:, -1])
    assert (gaps <= worst.upper * (1 + 1e-10)).all()


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 5), k=st.integers(0, 12))
@settings(max_examples=8)
def test_certified_bounds_are_above(seed, n, k):
    one = stable(seed, n, m=1, radius=0.95)
    worst = worst_case_error(one, k, inputs=Inputs.box(-1.0, 1.0))
    for c in contractions(one).values():
        lengths, errors = error_curve(one, c, inputs=Inputs.ball(1.0), count=k)
        assert lengths[k] == k
        assert errors[k] >= float(np.max(worst.lower))
    assert smallest_error(one, k, inputs=Inputs.ball(1.0), norm=Linf()).error >= float(
        np.max(worst.lower)
    )


def test_the_best_certificate_comes_near():
    # a normal matrix: the certificate in the Euclidean norm is exact for a state that is one mode
    one = LinearMap([[0.9]], [[2.0]])
    worst = worst_case_error(one, 10, inputs=Inputs.box(-1.0, 1.0))
    assert smallest_error(one, 10, inputs=Inputs.ball(1.0)).error == pytest.approx(
        worst.error, rel=1e-9
    )
    # B4.nonnormal_r: K (.95) = 37.8 in the bound, the exact error knows the direction of the input
    skew = LinearMap([[0.9, 5.0], [0.0, 0.9]], [[0.0], [1.0]])
    worst = worst_case_error(skew, 30, inputs=Inputs.box(-1.0, 1.0))
    bound = smallest_error(skew, 30, inputs=Inputs.ball(1.0)).error
    assert worst.error <= bound <= 3 * worst.error


def test_lag_of_the_worst_history_with_an_offset():
    # the partial sums rise and fall: the bias pulls against what the input box allows
    one = LinearMap([[0.0, 1.0], [-0.9, 0.0]], np.zeros((2, 1)), [1.0, 0.0])
    worst = worst_case_error(one, 0, inputs=Inputs.box(0.0, 0.0))
    states = np.abs(one.simulate(np.zeros((400, 1))))
    assert worst.lower == pytest.approx(np.max(states, axis=0), rel=1e-9)
    assert worst.upper == pytest.approx(np.max(states, axis=0), rel=1e-7)


def test_nilpotent_and_zero():
    nilpotent = LinearMap([[0.0, 5.0], [0.0, 0.0]], np.eye(2))
    worst = worst_case_error(nilpotent, 1, inputs=Inputs.box(-1.0, 1.0))
    assert worst.lower[0] <= 5.0 <= worst.upper[0] <= 5.0 + 1e-6
    gone = worst_case_error(nilpotent, 2, inputs=Inputs.box(-1.0, 1.0))
    assert (gone.lower == 0).all()
    assert gone.error < 1e-9
    assert isinstance(gone, WorstCase)
    none = worst_case_error(LinearMap([[0.0]], [[1.0]]), 1, inputs=Inputs.box(-1.0, 1.0))
    assert none.error < 1e-300


def test_no_contraction_no_answer():
    assert worst_case_error(LinearMap([[1.0]], [[1.0]]), 3, inputs=Inputs.box(-1, 1)) is None
    linear = VanillaRNN([[0.5]], [[1.0]], activation=leaky_relu(1.0))
    assert worst_case_error(linear, 0, inputs=Inputs.box(-1, 1)).error == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"k": -1}, "k="),
        ({"inputs": Inputs.box([0.0, 1.0], [1.0, 1.0])}, "of dimension 2, needed 1"),
        ({"inputs": Inputs.box(-1, float("inf"))}, "x_i >= -1, needed a bounded box"),
        ({"inputs": Inputs.ball(1.0)}, r"\|x\|_2 <= 1, needed a bounded box"),
        ({"inputs": [[1.0], [2.0]]}, "2 given inputs, needed a bounded box"),
        ({"inputs": 1.0}, r"Inputs\.box\(-1\.0, 1\.0\)"),
        ({"horizon": -2}, "horizon"),
        ({"tol": 0.0}, "tol"),
        ({"head": LinearHead([[1.0, 2.0]])}, "head"),
        ({"recurrent": VanillaRNN([[0.5]], [[1.0]])}, "linear"),
        ({"c": Contraction.assumed(0.5)}, "certified"),
    ],
)
def test_bad_requests(changed, message):
    asked = {
        "recurrent": LinearMap([[0.5]], [[1.0]]), "k": 1, "inputs": Inputs.box(-1, 1)
    } | changed  # fmt: skip
    with pytest.raises(ValueError, match=message):
        worst_case_error(asked.pop("recurrent"), asked.pop("k"), **asked)


def test_a_contraction_of_another_map_proves_nothing():
    # its rate 0.1 would make the rest of the sum, of 10, one of 1.1
    slow, fast = LinearMap([[0.9]], [[1.0]]), LinearMap([[0.1]], [[1.0]])
    worst = worst_case_error(slow, 0, inputs=Inputs.box(-1, 1), tol=0.5, c=contraction(fast))
    assert worst.lower[0] <= 10.0 <= worst.upper[0] * (1 + 1e-12)
    # no contraction at all in that norm
    skew = LinearMap([[0.5, 3.0], [0.0, 0.5]], np.eye(2))
    for norm in (Linf(), None):
        other = contraction(LinearMap(0.5 * np.eye(2), np.eye(2)), norm=norm)
        with pytest.raises(ValueError, match="another map"):
            worst_case_error(skew, 0, inputs=Inputs.box(-1, 1), c=other)
    with pytest.raises(ValueError, match="norm on"):
        worst_case_error(slow, 0, inputs=Inputs.box(-1, 1), c=contraction(skew))
    # in every norm of its own the map is proved to contract again
    for c in contractions(skew).values():
        if c.iterate == 1:
            assert worst_case_error(skew, 2, inputs=Inputs.box(-1, 1), c=c).error > 0


def test_rows_lost_to_underflow():
    # every product of C A is 0.49 eta, which rounds to 0, and B brings it back
    n = 30
    one = LinearMap(np.full((n, n), 0.98 * 2.0**-475), np.full((n, 1), 2.0**1000))
    head = LinearHead(np.full((1, n), 2.0**-600))
    exact = n * n * Fraction(2.0**-600) * Fraction(0.98 * 2.0**-475) * 2**1000
    worst = worst_case_error(one, 1, inputs=Inputs.box(-1.0, 1.0), head=head, horizon=2)
    assert Fraction(float(worst.lower[0])) <= exact <= Fraction(float(worst.upper[0]))


def test_overflow_is_no_bound():
    # infinity from the inputs minus infinity from the bias is not 0
    one = LinearMap([[0.5]], [[1e300]], [-1e300])
    worst = worst_case_error(one, 0, inputs=Inputs.box(0.0, 1.0), head=LinearHead([[1e10]]))
    assert worst.upper[0] == np.inf
    huge = worst_case_error(LinearMap([[0.5]], [[1e300]]), 1, inputs=Inputs.box(0.0, 1e10))
    assert huge.upper[0] == np.inf
    assert huge.lower[0] < np.inf


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_sizes_from_the_smallest_to_the_largest(seed):
    rng = np.random.default_rng(seed)
    n, k = int(rng.integers(1, 4)), int(rng.integers(0, 6))
    T = k + int(rng.integers(1, 8))
    A = rng.uniform(-1, 1, (n, n)) / n * 10.0 ** rng.choice([0.0, rng.uniform(-320, 0)])
    B, b, C = (
        rng.standard_normal(shape) * 10.0 ** rng.uniform(-310, 300) for shape in ((n, 1), n, (1, n))
    )
    high = float(10.0 ** rng.uniform(-300, 300))
    c = contraction(LinearMap(A, B), norm=Linf()) if rng.random() < 0.5 else None
    try:
        worst = worst_case_error(
            LinearMap(A, B, b), k, inputs=Inputs.box(-high, high), head=LinearHead(C), horizon=T,
            c=c,
        )  # fmt: skip
    except ValueError:  # no contraction in the maximum norm
        assert c is None
        return
    if worst is None:
        return
    rows = [[Fraction(x) for x in row] for row in A.tolist()]
    v = [Fraction(x) for x in C[0].tolist()]
    up_to = down_to = Fraction(0)
    top = Fraction(0)
    for lag in range(T):
        if lag >= k:
            kernel = sum(x * Fraction(y) for x, y in zip(v, B[:, 0].tolist(), strict=True))
            shift = sum(x * Fraction(y) for x, y in zip(v, b.tolist(), strict=True))
            up_to += abs(kernel) * Fraction(high) + shift
            down_to += abs(kernel) * Fraction(high) - shift
            top = max(top, up_to, down_to)
        v = [sum(x * row[j] for x, row in zip(v, rows, strict=True)) for j in range(n)]
    if np.isfinite(worst.lower[0]):
        assert Fraction(float(worst.lower[0])) <= top
    assert worst.upper[0] == np.inf or top <= Fraction(float(worst.upper[0]))
    assert not np.isnan([*worst.lower, *worst.upper]).any()


def test_a_given_contraction_is_used():
    one = LinearMap([[0.5]], [[1.0]])
    c = contraction(one, norm=Linf())
    assert worst_case_error(one, 0, inputs=Inputs.box(-1, 1), c=c).error == pytest.approx(2.0)
