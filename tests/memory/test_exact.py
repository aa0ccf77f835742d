"""Exact errors and contexts of linear maps: closed forms, exact sums, both sides, and refusals."""

import itertools
import time
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from theory import (
    L1,
    L2,
    Cascade,
    DiagonalSSM,
    Inputs,
    LinearHead,
    LinearMap,
    Linf,
    VanillaRNN,
    WeightedL2,
    WeightedLinf,
    contraction,
    required_context,
    truncation_gaps,
)
from theory.memory import kernel_tail, smallest_error, worst_case_error
from theory.memory.euclid import EuclideanErrors
from theory.memory.linear import linear_form
from theory.memory.perturbed import perturbed
from theory.norms import over

BOX = Inputs.box(-1, 1)
seeds = st.integers(0, 2**32 - 1)


def rows_of(M):
    return [[Fraction(x) for x in row] for row in np.atleast_2d(M).tolist()]


def times(v, M):
    return [sum(x * row[j] for x, row in zip(v, M, strict=True)) for j in range(len(M[0]))]


def errors_by_sums(A, B, b, row, low, high, lags):
    """Return the largest errors of one output from every lag on, exactly, up to so many lags."""
    terms = []
    for _ in range(lags):
        K, shift = times(row, B), sum(x * y for x, y in zip(row, b, strict=True))
        sides = zip(K, low, high, strict=True)
        ends = [(x * Fraction(a), x * Fraction(b)) for x, a, b in sides]
        terms.append((shift + sum(max(e) for e in ends), -shift - sum(min(e) for e in ends)))
        row = times(row, A)
    errors, best = [], [Fraction(0), Fraction(0)]
    for both in reversed(terms):
        best = [max(Fraction(0), t + e) for t, e in zip(both, best, strict=True)]
        errors.append(max(best))
    return errors[::-1]


# one state ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("a", [1 - 1e-5, 1 - 1e-6, 1 - 1e-9, -(1 - 1e-7)])
def test_one_state_near_the_unit_circle_is_closed_and_quick(a):
    one = LinearMap([[a]], [[3.0]])
    worst_case_error(one, 1, inputs=BOX)  # imports
    began = time.process_time()
    worst = worst_case_error(one, 5, inputs=BOX)
    assert time.process_time() - began < 0.5  # 0.01 to 0.1 s
    with mpmath.workdps(50):
        size = abs(mpmath.mpf(a))
        exact = 3 * size**5 / (1 - size)
        assert mpmath.mpf(worst.lower[0]) <= exact <= mpmath.mpf(worst.upper[0])
    assert worst.upper[0] <= worst.lower[0] * (1 + 2.0**-50)
    # all that a double shows of the history, or its newest inputs
    assert len(worst.history) == 2**17
    assert np.array_equal(np.abs(worst.history), np.ones((2**17, 1)))


def test_one_state_of_any_scale():
    worst = worst_case_error(LinearMap([[0.5]], [[1e308]]), 5, inputs=BOX)
    assert worst.lower[0] <= 0.0625e308 <= worst.upper[0] <= 0.0625e308 * (1 + 2.0**-50)
    # powers that are no doubles, brought back by the head
    far = worst_case_error(LinearMap([[0.5]], [[1e300]]), 2000, inputs=BOX, head=[[1e300]])
    with mpmath.workdps(50):
        exact = mpmath.mpf(1e300) ** 2 * mpmath.mpf(2) ** -1999
        assert mpmath.mpf(far.lower[0]) <= exact <= mpmath.mpf(far.upper[0])
    assert far.upper[0] <= far.lower[0] * (1 + 2.0**-50)


@given(
    a=st.sampled_from([0.0, 0.5, -0.5, 0.75, -0.875, 2.0**-60]),
    b=st.integers(-3, 3),
    ends=st.tuples(st.integers(-4, 4), st.integers(0, 4)),
    k=st.integers(0, 4),
    lags=st.integers(0, 7),
)
@settings(max_examples=25)
def test_one_state_with_a_drift_and_a_last_lag(a, b, ends, k, lags):
    low, high = ends[0] / 4, (ends[0] + ends[1]) / 4
    one = LinearMap([[a]], [[0.5]], [b / 8])
    found = worst_case_error(one, k, inputs=Inputs.box(low, high), horizon=k + lags)
    exact = errors_by_sums(
        rows_of(one.W), rows_of(one.U), [Fraction(b, 8)], [Fraction(1)], [low], [high], k + lags
    )
    exact = exact[k] if lags else Fraction(0)
    assert Fraction(float(found.lower[0])) <= exact <= Fraction(float(found.upper[0]))
    assert float(found.upper[0]) <= float(exact) * (1 + 1e-15)
    # and of infinitely many lags: beyond 400 of them nothing is left
    whole = worst_case_error(one, k, inputs=Inputs.box(low, high))
    (limit, *_) = errors_by_sums(
        rows_of(one.W), rows_of(one.U), [Fraction(b, 8)], [Fraction(a) ** k], [low], [high], 400
    )
    assert float(whole.lower[0]) == pytest.approx(float(limit), rel=1e-15, abs=0)
    assert float(whole.upper[0]) == pytest.approx(float(limit), rel=1e-15, abs=0)
    assert float(whole.upper[0]) >= float(limit) * (1 - 1e-20)
    # the history reaches it
    X = np.vstack([whole.history, np.zeros((k, 1))])
    h = Fraction(0)
    for x in X[: len(whole.history), 0].tolist():
        h = Fraction(a) * h + Fraction(0.5) * Fraction(x) + Fraction(b, 8)
    assert abs(h * Fraction(a) ** k) >= Fraction(float(whole.lower[0]))


def test_a_box_off_the_centre_of_a_ball():
    # the largest x_1 + x_2 + b over both; neither bound goes with the drift of the other
    inputs = Inputs(low=[-1.0, -1.0], high=[0.9, 0.9], balls=((L2(), 1.0),))
    for W in ([[0.5]], [[0.5, 0.0], [0.0, 0.25]]):
        n = len(W)
        one = LinearMap(W, np.ones((n, 2)), np.full(n, 0.1))
        choice = smallest_error(one, 1, inputs=inputs, norm=Linf())
        X = np.full((60, 2), np.sqrt(0.5) * (1 - 1e-12))
        assert inputs.contains(X[:1])
        gap = truncation_gaps(one, X, k_max=1, norm=Linf())[1]
        assert gap <= choice.error <= 1.3 * gap
        assert choice.lower == 0.0


# several states -----------------------------------------------------------------------------------


def test_slow_modes_whose_sum_is_known():
    # K_m = a^m + 3 c^m, of one sign; and r^m (1, 0, -1, 0, ..) of a quarter turn
    a, c, r = 1 - 1e-5, 0.75, 1 - 2.0**-14
    modes = worst_case_error(
        LinearMap(np.diag([a, c]), [[1.0], [3.0]]), 7, inputs=BOX, head=[[1.0, 1.0]]
    )
    turn = worst_case_error(LinearMap([[0.0, -r], [r, 0.0]], [[1.0], [0.0]]), 6, inputs=BOX)
    with mpmath.workdps(50):
        known = mpmath.mpf(a) ** 7 / (1 - mpmath.mpf(a)) + 12 * mpmath.mpf(c) ** 7
        even = mpmath.mpf(r) ** 6 / (1 - mpmath.mpf(r) ** 2)
    for found, exact in (
        (modes, [known]),
        (turn, [even, even * r]),
    ):
        for low, high, value in zip(found.lower, found.upper, exact, strict=True):
            assert mpmath.mpf(float(low)) <= value <= mpmath.mpf(float(high))
            assert high <= low * (1 + 4e-9)


@given(seed=seeds, n=st.integers(2, 4))
@example(seed=69, n=2)  # one state a thousandth of the others
@settings(max_examples=15)
def test_stacks_are_one_linear_map(seed, n):
    rng = np.random.default_rng(seed)

    def part(m):
        # a few bits, so that exact sums stay short
        W = np.round(rng.uniform(-1, 1, (n, n)) * 8) / 8 / n
        return LinearMap(
            W, np.round(8 * rng.uniform(-1, 1, (n, m))) / 8, np.round(4 * rng.random(n))
        )

    low, top = part(2), part(1)
    between = LinearHead(np.round(8 * rng.uniform(-1, 1, (1, n))) / 8, [0.5])
    stack = Cascade([low, top], [between])
    form = linear_form(stack)
    C = rows_of(between.C)
    A = [[*row, *[Fraction(0)] * n] for row in rows_of(low.W)]
    BC = [times(row, C) for row in rows_of(top.U)]
    A += [[*times(row, rows_of(low.W)), *own] for row, own in zip(BC, rows_of(top.W), strict=True)]
    B = [*rows_of(low.U), *(times(row, rows_of(low.U)) for row in BC)]
    b = [Fraction(x) for x in low.b.tolist()]
    b += [
        sum(x * y for x, y in zip(row, b[:n], strict=True)) + gain[0] / 2 + Fraction(own)
        for row, gain, own in zip(BC, rows_of(top.U), top.b.tolist(), strict=True)
    ]
    for name, exact, error in (("A", A, form.errors[0]), ("B", B, form.errors[1])):
        for i, j in np.ndindex(np.shape(exact)):
            off = abs(Fraction(float(getattr(form, name)[i, j])) - exact[i][j])
            assert off <= Fraction(float(error[i, j]))
    for mine, exact, error in zip(form.b.tolist(), b, form.errors[2].tolist(), strict=True):
        assert abs(Fraction(mine) - exact) <= Fraction(error)
    ends = np.array([-1.0, 0.5]), np.array([0.25, 1.0])
    found = worst_case_error(stack, 2, inputs=Inputs.box(*ends), horizon=9)
    for i in (0, 2 * n - 1):
        row = [Fraction(int(i == j)) for j in range(2 * n)]
        exact = errors_by_sums(A, B, b, row, *(end.tolist() for end in ends), 9)[2]
        assert Fraction(float(found.lower[i])) <= exact <= Fraction(float(found.upper[i]))
        # digits are lost beside the largest of the states, which all come from the same products
        assert found.upper[i] - found.lower[i] <= 1e-11 * found.upper.max() + 1e-300


def test_stacks_of_state_space_layers_forget():
    rng = np.random.default_rng(0)
    values = 0.95 * np.exp(1j * rng.uniform(0, 3, 4))
    layer = DiagonalSSM(values, rng.standard_normal((4, 2)))
    alone = worst_case_error(layer, 4, inputs=BOX)
    tail = kernel_tail(layer, k=4, inputs=BOX)
    assert np.all(alone.lower <= tail.upper)
    assert np.all(tail.lower <= alone.upper)
    assert alone.upper == pytest.approx(tail.upper, rel=1e-9)
    stack = Cascade(
        [layer, DiagonalSSM(values[:2], np.ones((2, 3)))], [rng.standard_normal((3, 8))]
    )
    found = worst_case_error(stack, 4, inputs=BOX)
    X = rng.choice([-1.0, 1.0], (200, 2))
    H = stack.simulate(X)
    gap = np.abs(H[-1] - stack.simulate(X[-4:])[-1])
    assert np.all(gap <= found.upper)
    assert found.upper == pytest.approx(found.lower, rel=1e-8)
    # and no one-layer certificate is needed for a context
    choice = required_context(stack, 1e-3, inputs=BOX, norm=Linf())
    assert choice.exact
    assert choice.error <= 1e-3 < np.max(worst_case_error(stack, choice.k - 1, inputs=BOX).lower)
    mixed = Cascade([layer, VanillaRNN([[0.5]], np.ones((1, 8)))])
    with pytest.raises(ValueError, match="needed a linear map"):
        worst_case_error(mixed, 1, inputs=BOX)


@given(seeds)
@settings(max_examples=15)
def test_a_perturbed_matrix_contracts_still(seed):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((3, 3))
    c = contraction(LinearMap(0.5 * A / np.max(np.abs(np.linalg.eigvals(A))), np.eye(3)))
    E = rng.standard_normal((3, 3))
    price = over(c.norm, L2(), n=3) * over(L2(), c.norm, n=3)
    E *= 0.1 / np.linalg.norm(E) / price
    found = perturbed(c, float(np.linalg.norm(E) * (1 + 1e-12)), 3)
    moved = 0.5 * A / np.max(np.abs(np.linalg.eigvals(A))) + E
    assert c.lam <= found.lam < 1
    assert found.norm.matrix_lower(moved) <= found.lam
    assert found.evidence.is_certified
    assert perturbed(c, 1e3, 3) is None


# contexts -----------------------------------------------------------------------------------------


def chain(masses=5, damping=0.15):
    """Return a chain of masses and springs, one of them pushed, in steps of a tenth."""
    from scipy.linalg import expm

    n = masses
    K = 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    A = np.block([[np.zeros((n, n)), np.eye(n)], [-K, -damping * np.eye(n)]])
    push = np.zeros((2 * n, 1))
    push[n] = 1.0
    M = expm(0.1 * np.block([[A, push], [np.zeros((1, 2 * n + 1))]]))
    return LinearMap(M[: 2 * n, : 2 * n], M[: 2 * n, 2 * n :])


def test_masses_and_springs():
    one = chain()
    for asked in (
        {"norm": Linf()},
        {"head": np.eye(10)[:1]},
        {"head": np.eye(10)[4:5], "norm": L1()},
    ):
        choice = required_context(one, 1e-3, inputs=BOX, effort=0, **asked)
        assert choice.exact
        assert choice.lower <= choice.error <= 1e-3
        assert choice.error <= choice.lower * (1 + 1e-9)
        head = asked.get("head")
        before = worst_case_error(one, choice.k - 1, inputs=BOX, head=head)
        at = worst_case_error(one, choice.k, inputs=BOX, head=head)
        assert np.max(at.upper) <= 1e-3 < np.max(before.lower)
        # the bounds at every k are those of the sums
        curve = choice.errors(choice.k + 3)
        assert curve[choice.k - 1] > 1e-3 >= curve[choice.k]
        assert curve[7] == pytest.approx(worst_case_error(one, 7, inputs=BOX, head=head).error)
        again = smallest_error(one, choice.k, inputs=BOX, effort=0, **asked)
        assert again.error == choice.error
    # certificates alone ask for a fifth more
    choice = required_context(one, 1e-3, inputs=BOX, norm=Linf())
    assert min(k for name, _, k in choice.considered if name != "kernel") >= 1.15 * choice.k


@given(seed=seeds, n=st.integers(1, 3), eps=st.sampled_from([0.3, 1e-2, 1e-6]), drift=st.booleans())
@settings(max_examples=20)
def test_the_least_context_is_the_least(seed, n, eps, drift):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, n))
    A *= rng.uniform(0.3, 0.97) / np.max(np.abs(np.linalg.eigvals(A)))
    one = LinearMap(A, rng.standard_normal((n, 2)), drift * rng.standard_normal(n))
    low, high = (-1.0, 1.0) if not drift else (-0.5, 2.0)
    box = Inputs.box(low, high)
    head, horizon = rng.standard_normal((2, n)), None if seed % 2 else 40
    asked = {"inputs": box, "head": head, "norm": Linf(), "horizon": horizon, "effort": 0}
    choice = required_context(one, eps, **asked)
    if choice is None:
        assert horizon is not None
        return
    known = {"inputs": box, "head": head, "horizon": horizon}
    assert np.max(worst_case_error(one, choice.k, **known).upper) <= eps * (1 + 1e-12)
    if choice.k > 0 and (horizon is None or horizon > choice.k):
        assert choice.refuted == choice.k - 1
        # where a drift may cancel, less may be enough, and no more is said
        assert choice.exact == (not drift or n == 1)
        assert np.max(worst_case_error(one, choice.k - 1, **known).lower) > eps


def test_balls_and_sets_of_inputs():
    rng = np.random.default_rng(3)
    A = rng.standard_normal((3, 3))
    one = LinearMap(0.9 * A / np.max(np.abs(np.linalg.eigvals(A))), rng.standard_normal((3, 2)))
    head = rng.standard_normal((1, 3))
    powers = [head @ np.linalg.matrix_power(one.W, m) @ one.U for m in range(400)]
    for norm, dual in ((L2(), 2), (L1(), np.inf), (Linf(), 1)):
        inputs = Inputs.ball(2.0, norm)
        for k in (0, 7):
            found = smallest_error(one, k, inputs=inputs, head=head, effort=0)
            exact = 2 * sum(np.linalg.norm(K, dual) for K in (p[0] for p in powers[k:]))
            assert found.error == pytest.approx(exact, rel=1e-9)
            assert found.lower == pytest.approx(exact, rel=1e-9)
            assert found.lower <= found.error
        assert required_context(one, 1e-2, inputs=inputs, head=head, effort=0).exact
    # of a set that is no whole box or ball it is a bound only
    seen = Inputs.seen([rng.uniform(-1, 1, (9, 2))])
    choice = required_context(one, 1e-2, inputs=seen, head=head)
    assert not choice.exact
    assert choice.refuted is None
    assert choice.lower == 0.0
    assert choice.k <= required_context(one, 1e-2, inputs=Inputs.box(-1.2, 1.2), head=head).k


@pytest.mark.parametrize(
    "norm",
    [L1(), L2(), Linf(), WeightedLinf([1.0, 2.0, 0.5]), WeightedL2(np.diag([1.0, 4.0, 2.0]) + 0.1)],
)
def test_errors_in_other_norms_are_between_the_ends(norm):
    rng = np.random.default_rng(5)
    A = rng.standard_normal((3, 3))
    one = LinearMap(0.9 * A / np.max(np.abs(np.linalg.eigvals(A))), rng.standard_normal((3, 1)))
    choice = smallest_error(one, 4, inputs=BOX, norm=norm)
    # all signs of the nearest eight lags, as the kernel has them beyond
    K = [np.linalg.matrix_power(one.W, m) @ one.U[:, 0] for m in range(4, 300)]
    reached = max(
        float(norm.vector(sum(s * v for s, v in zip(signs, K, strict=False))))
        for signs in itertools.product((-1.0, 1.0), repeat=10)
    )
    assert reached <= choice.error
    assert choice.lower <= choice.error
    assert choice.lower >= 0.0
    X = rng.uniform(-1, 1, (60, 1))
    assert truncation_gaps(one, X, k_max=4, norm=norm)[4] <= choice.error
    # of one output every norm is exact
    single = smallest_error(
        one, 4, inputs=BOX, head=[[1.0, 2.0, 3.0]], norm=type(norm)() if norm.plain else L2()
    )
    assert single.lower == pytest.approx(single.error, rel=1e-9)


def test_one_state_is_exact_in_every_norm():
    one = LinearMap([[0.99]], [[1.0]])
    for norm in (L1(), L2(), Linf(), WeightedL2([[2.0, 1.0], [1.0, 2.0]])):
        choice = required_context(one, 1e-3, inputs=BOX, head=[[1.0], [-2.0]], norm=norm)
        assert choice.exact
        assert choice.lower == pytest.approx(choice.error, rel=1e-12)
        size = float(norm.vector(np.array([1.0, -2.0])))
        k = int(np.ceil(np.log(1e-3 * 0.01 / size) / np.log(0.99)))
        assert choice.k == k


def test_a_bound_of_the_size_of_the_box_is_none():
    # two states of the box are never farther apart; a conversion of norms may say more
    shear = VanillaRNN([[0.5, 3.0], [0.0, 0.5]], np.eye(2), activation="relu")
    found = {"iterate": contraction(shear, method="iterate")}
    asked = {"inputs": Inputs.ball(1.0), "certificates": found}
    assert smallest_error(shear, 11, **asked) is None
    choice = smallest_error(shear, 101, **asked)
    widths = choice.states.high - choice.states.low
    assert choice.error < np.linalg.norm(widths)
    assert np.all(choice.errors(20) <= np.linalg.norm(widths) * (1 + 1e-12))


# several outputs together -------------------------------------------------------------------------


@given(seed=seeds, together=st.booleans(), p=st.integers(2, 3), q=st.integers(1, 2))
@settings(max_examples=15)
def test_the_longest_sum_of_a_few_vectors(seed, together, p, q):
    """Against all signs, or many directions; the bounds are sqrt(pi / 2) apart at most."""
    rng = np.random.default_rng(seed)
    kernel = rng.standard_normal((4, q, p)) * 10.0 ** rng.uniform(-3, 3)
    found = EuclideanErrors(kernel, np.zeros(4), 0.0, together=together)
    for k in (0, 2):
        rows = kernel[k:]
        if together:
            d = rng.standard_normal((4000, p))
            d /= np.linalg.norm(d, axis=1, keepdims=True)
            longest = np.max(np.sum(np.linalg.norm(rows @ d.T, axis=1), axis=0))
        else:
            flat = rows.reshape(-1, p)
            signs = np.array(list(itertools.product((-1.0, 1.0), repeat=len(flat))))
            longest = np.max(np.linalg.norm(signs @ flat, axis=1))
        low, high = found.lower(k), found.upper(k)
        assert longest <= high * (1 + 1e-12)
        assert low <= high
        if not together:
            assert low <= longest * (1 + 1e-12)
        # of few vectors a direction may lead to a shorter sum than another one
        assert low >= 0.75 * longest
        # the best weights are within sqrt(pi / 2), and found nearly
        assert high <= 1.02 * np.sqrt(np.pi / 2) * longest
    moved = EuclideanErrors(kernel, np.full(4, 0.5), 2.0, together=together)
    assert moved.upper(0) == pytest.approx(found.upper(0) + 4.0, rel=1e-12)
    assert moved.lower(0) == pytest.approx(max(0.0, found.lower(0) - 4.0), abs=1e-9)
    nothing = EuclideanErrors(np.zeros((2, q, p)), np.zeros(2), 0.0, together=together)
    assert (nothing.lower(0), nothing.upper(0)) == (0.0, 0.0)


def test_euclidean_errors_of_the_state():
    one = chain()
    choice = required_context(one, 1e-3, inputs=BOX, effort=0)
    largest = required_context(one, 1e-3, inputs=BOX, norm=Linf(), effort=0).k
    # some percent above what is refuted; by the bounds of the outputs it would be eight
    assert largest <= choice.refuted < choice.k <= 1.02 * choice.refuted
    assert choice.lower <= choice.error <= 1e-3
    assert choice.lower >= 0.9 * choice.error
    # an error as long is made by inputs, as far as a simulation can tell
    assert smallest_error(one, choice.refuted, inputs=BOX, effort=0).lower > 1e-3
    rng = np.random.default_rng(0)
    A = rng.standard_normal((4, 4))
    turning = LinearMap(0.9 * A / np.max(np.abs(np.linalg.eigvals(A))), rng.standard_normal((4, 2)))
    for inputs in (Inputs.ball(1.0), BOX):
        found = required_context(turning, 1e-3, inputs=inputs, effort=0)
        assert found.k - 2 <= found.refuted <= found.k - 1
        short = required_context(turning, 1e-3, inputs=inputs, horizon=found.k + 2, effort=0)
        assert short is None or short.k <= found.k


def test_a_drift_that_cancels_leaves_smaller_contexts_open():
    """The errors are .6, 1, .5, ..: one input fewer than two is too few, and none is enough."""
    cell = LinearMap(np.diag([0.0, 0.5]), np.ones((2, 1)))
    asked = {"inputs": Inputs.box(1, 1), "head": [[-1.4, 1.0]]}
    choice = required_context(cell, 0.8, **asked)
    assert (choice.k, choice.refuted, choice.exact) == (2, 1, False)
    assert smallest_error(cell, 0, **asked).error <= 0.8


def test_delay_lines_forget_after_their_length():
    line = LinearMap(np.diag(np.ones(4), -1), np.eye(5)[:, :1])
    box = Inputs.box(-1, 1)
    assert worst_case_error(line, 2, inputs=box).upper == pytest.approx([0, 0, 1, 1, 1], abs=1e-12)
    assert worst_case_error(line, 5, inputs=box).error <= 1e-12
    choice = required_context(line, 0.5, inputs=box, head=np.eye(5)[-1:])
    assert (choice.k, choice.exact) == (5, True)


def test_inputs_that_are_one_subnormal_number():
    least = 2.0**-1074
    worst = worst_case_error(
        LinearMap([[0.5]], [[2.0**1000]]), 0, inputs=Inputs.box(3 * least, 3 * least), horizon=1
    )
    assert Fraction(float(worst.lower[0])) <= 3 * Fraction(2) ** -74 <= Fraction(worst.error)


def test_errors_of_a_power_that_overflow_are_no_bound():
    W = [[0.04658161742039954, 1.4268864976006917e-175], [-0.40945832, -6.78e-311]]
    worst = worst_case_error(LinearMap(W, [[5e-324], [7.4e299]]), 228, inputs=Inputs.box(-1, 1))
    assert float(worst.lower[0]) == 0.0
    assert worst.error == np.inf
