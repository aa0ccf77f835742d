"""Exact truncation errors of linear layers and of recurrences without feedback."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory import RGLRU, DiagonalSSM, Inputs, LinearHead, LinearMap, MinGRU, SelectiveSSM, truncate
from theory.memory import kernel_tail, window_decay

seeds = st.integers(0, 2**32 - 1)


def test_oracle_of_two_modes():
    # B5.tail, B5.modal and the bound of the rate alone: 5.8424, 5.9674, 11.8098
    layer = DiagonalSSM([0.9, 0.5], [[1.0], [1.0]])
    tail = kernel_tail(
        layer, LinearHead([[1.0, -1.0, 0.0, 0.0]]), k=5, inputs=Inputs.box(-1.0, 1.0)
    )
    assert tail.lower[0] <= 5.8424 <= tail.upper[0]
    assert tail.upper[0] == pytest.approx(tail.lower[0], rel=1e-11)
    assert tail.modal[0] == pytest.approx(5.9674, rel=1e-12)
    assert tail.norms == pytest.approx(11.8098, rel=1e-12)


def test_oracle_of_a_rate():
    # B5.s4d_k: Re A = -.5, Delta = .1, least k with lam**k <= 1e-3
    lam = np.exp(-0.05)
    layer = DiagonalSSM([lam * np.exp(1.0j)], [[1.0 - lam]])
    sizes = [kernel_tail(layer, k=k, inputs=Inputs.box(-1.0, 1.0)).norms for k in (138, 139)]
    assert sizes[0] > 1e-3 >= sizes[1] * (1 - 1e-9)


@settings(max_examples=20)
@given(seeds, st.integers(0, 9))
def test_the_signs_of_the_kernel_reach_the_error(seed, k):
    rng = np.random.default_rng(seed)
    n, m, p, T = 3, 2, 2, 260
    modes = rng.uniform(0.0, 0.9, n) * np.exp(1j * rng.uniform(-np.pi, np.pi, n))
    B = rng.standard_normal((n, m)) + 1j * rng.standard_normal((n, m))
    layer, head = DiagonalSSM(modes, B), LinearHead(rng.standard_normal((p, 2 * n)))
    tail = kernel_tail(layer, head, k=k, inputs=Inputs.box(-0.5, 0.5))
    assert np.all(tail.lower <= tail.upper)
    assert np.all(tail.upper <= tail.modal * (1 + 1e-9))
    assert np.all(tail.modal <= tail.norms * n * (1 + 1e-9))
    # the kernel by simulation: impulses in each input
    impulses = np.zeros((m, T, m))
    impulses[np.arange(m), 0, np.arange(m)] = 1.0
    K = head(layer.simulate(impulses))  # (m, T, p)
    for output in range(p):
        x = 0.5 * np.sign(K[:, ::-1, output]).T
        error = head(layer.simulate(x)) - head(truncate(layer, k).states(x))
        reached = abs(error[-1, output])
        # 0.9**260 is 1e-12
        assert reached == pytest.approx(tail.upper[output], rel=1e-9, abs=1e-9)
        assert reached <= tail.upper[output] * (1 + 1e-12) + 1e-12
        # any other inputs stay below
        y = 0.5 * rng.choice([-1.0, 1.0], (T, m))
        error = head(layer.simulate(y)) - head(truncate(layer, k).states(y))
        assert np.max(np.abs(error[:, output])) <= tail.upper[output] * (1 + 1e-12) + 1e-12


def test_slow_modes_and_long_windows():
    # one real mode: lam**k / (1 - lam) exactly
    for lam, k in ((0.999, 0), (0.9999, 5000), (0.5, 100), (0.0, 1), (0.0, 0)):
        tail = kernel_tail(DiagonalSSM([lam], [[1.0]]), k=k, inputs=Inputs.box(-2.0, 2.0))
        exact = 2.0 * lam**k / (1 - lam)
        assert tail.lower[0] <= exact * (1 + 1e-9)
        assert exact * (1 - 1e-9) <= tail.upper[0]
        assert tail.upper[0] == pytest.approx(tail.lower[0], rel=1e-8, abs=1e-250)
        # nothing imaginary, but for what the rounding of the real part allows
        assert tail.lower[1] == 0.0
        assert tail.upper[1] <= 1e-8 * max(tail.upper[0], 1e-250)
    assert (
        kernel_tail(DiagonalSSM([0.5], [[1.0]]), k=3, inputs=Inputs.box(0, 0)).upper.max() < 1e-300
    )


def sums(values, B, C, k):
    """Return the sums of |K_m| over m >= k of each output, in 300 bits, and what may be missing."""
    modes = [mpmath.mpmathify(complex(z)) for z in values]
    inputs = [[mpmath.mpmathify(complex(z)) for z in row] for row in np.asarray(B)]
    n, m, p = len(modes), len(inputs[0]), len(C)
    gaps = [1 - abs(z) for z in modes]
    powers = [z**k for z in modes]
    # C (Re s; Im s) = Re((C_re - i C_im) s)
    w = [[[mpmath.mpc(C[o][i], -C[o][n + i]) * inputs[i][j] for i in range(n)] for j in range(m)]
         for o in range(p)]  # fmt: skip
    reach = [[sum(abs(row[j][i]) for j in range(m)) for i in range(n)] for row in w]

    def beyond():
        return [
            sum((abs(z) * r / g for z, r, g in zip(powers, row, gaps, strict=True)), mpmath.mpf(0))
            for row in reach
        ]

    total, first = [mpmath.mpf(0)] * p, beyond()
    while any(r > f * mpmath.mpf(2) ** -120 for r, f in zip(beyond(), first, strict=True)):
        for o in range(p):
            for row in w[o]:
                total[o] += abs(sum(x * z for x, z in zip(row, powers, strict=True)).real)
        powers = [x * z for x, z in zip(powers, modes, strict=True)]
    return total, beyond(), first


def check_tail(values, B, C, k, bound, *, width=None):
    """Compare with 300 bits; where the values are normal numbers, ask for a narrow enclosure."""
    layer = DiagonalSSM(values, B)
    head = None if C is None else LinearHead(C)
    tail = kernel_tail(layer, head, k=k, inputs=Inputs.box(-bound, bound))
    with mpmath.workprec(300):
        rows = np.eye(2 * len(values)) if C is None else np.asarray(C)
        total, missing, modal = sums(values, B, rows.tolist(), k)
        for i, (low, more, mode) in enumerate(zip(total, missing, modal, strict=True)):
            lower, upper = mpmath.mpf(tail.lower[i]), mpmath.mpf(tail.upper[i])
            assert lower <= (low + more) * bound
            assert low * bound <= upper
            assert mode * bound <= mpmath.mpf(tail.modal[i]) * (1 + mpmath.mpf(2) ** -250)
            assert low * bound <= mpmath.mpf(tail.norms)
            if width is not None and 2.0**-1000 < low * bound < 2.0**1000:
                assert upper - lower <= width * low * bound
                assert tail.modal[i] <= mode * bound * (1 + 1e-12)
    return tail


def test_powers_that_underflow():
    # one real mode, whose powers leave the normal range while the weight brings them back
    for lam, weight, k in (
        (2.7e-161, 1e300, 2),
        (0.5250020496350666, 251734369717.40234, 1142),
        (0.1, 1e9, 318),
        (1e-200, 1e300, 2),
        (5e-324, 1e300, 1),
        (-0.3, 1e-300, 12),
        (0.99, 1e300, 10**5),
        (0.5, 1e-300, 3000),
        (0.9j, 1e20, 7000),
        (0.3 + 0.4j, 1e290, 1040),
    ):
        tail = check_tail([lam], [[weight]], None, k, 1.0)
        with mpmath.workprec(300):
            z = mpmath.mpmathify(lam)
            true = weight * abs(z) ** k / (1 - abs(z))
        if complex(lam).imag == 0 and true > 2.0**-1020:
            assert tail.upper[0] <= true * (1 + 1e-10)
            assert tail.lower[0] >= true * (1 - 1e-10)
        assert not np.isnan([*tail.lower, *tail.upper, *tail.modal, tail.norms]).any()


def test_weights_beyond_the_largest_double():
    huge = kernel_tail(
        DiagonalSSM([0.5], [[1e300]]), LinearHead([[1e300, 0.0], [1e-300, 0.0]]), k=0,
        inputs=Inputs.box(-1.0, 1.0),
    )  # fmt: skip
    assert huge.upper[0] == huge.modal[0] == huge.norms == math.inf
    assert 1e308 < huge.lower[0] < math.inf
    assert huge.lower[1] <= 2.0 <= huge.upper[1] <= 2.0 + 1e-12
    # a power so small that what overflows comes back
    back = check_tail([1e-300], [[1e300]], [[1e300, 0.0]], 1, 1e-2, width=1e-12)
    assert back.norms == pytest.approx(1e298, rel=1e-12)
    # powers of any size: their exponent is no 64-bit integer any more
    gone = kernel_tail(
        DiagonalSSM([1e-300, 0.5], [[1e300], [1.0]]), k=10**40, inputs=Inputs.box(-1.0, 1.0)
    )
    assert (gone.lower == 0).all()
    assert (gone.upper[:2] == 5e-324).all()
    nothing = kernel_tail(
        DiagonalSSM([0.5, 0.0], [[0.0], [1e300]]), k=1, inputs=Inputs.box(-1e300, 1e300)
    )
    assert nothing.upper.max() == nothing.modal.max() == nothing.lower.max() == 0.0
    still = kernel_tail(DiagonalSSM([0.5], [[1e300]]), k=1, inputs=Inputs.box(0.0, 0.0))
    assert still.upper.max() == still.modal.max() == still.norms == 0.0


def test_the_bound_of_norms_holds_for_several_inputs():
    # every input of the box at its bound: |x| is sqrt(m) times that
    tail = kernel_tail(DiagonalSSM([0.5], [[1.0, 1.0, 1.0]]), k=0, inputs=Inputs.box(-1.0, 1.0))
    assert tail.lower[0] <= 6.0 <= tail.upper[0] <= tail.norms * (1 + 1e-12)
    assert tail.norms == pytest.approx(6.0, rel=1e-12)


def test_nearly_unit_eigenvalues_have_finite_bounds():
    lam = math.nextafter(1.0, 0.0)
    tail = kernel_tail(DiagonalSSM([lam], [[1.0]]), k=0, inputs=Inputs.box(-1.0, 1.0))
    assert tail.lower[0] <= 2.0**53 <= tail.upper[0]
    assert 2.0**53 <= tail.norms <= 2.0**53 * (1 + 1e-9)


@settings(max_examples=25)
@given(seeds)
def test_tails_of_any_size_are_enclosed(seed):
    rng = np.random.default_rng(seed)
    n, m, p = rng.integers(1, 4), rng.integers(1, 3), rng.integers(1, 3)
    sizes = rng.choice([rng.uniform(0.05, 0.9, n), 10.0 ** rng.uniform(-323, 0, n)])
    values = sizes * np.exp(1j * rng.choice([0.0, np.pi, np.pi / 2, 1.0], n))
    values = np.where(np.abs(values.imag) < 1e-15 * np.abs(values), values.real, values)
    k = int(rng.choice([rng.integers(0, 4), rng.integers(0, 5000)]))
    if rng.random() < 0.5:  # the largest power leaves the normal range
        k = int(-rng.uniform(300, 330) * math.log(10) / math.log(max(np.max(sizes), 1e-320)))
    B = rng.standard_normal((n, m)) * 10.0 ** rng.uniform(-300, 300, (n, m))
    B = B + 1j * rng.standard_normal((n, m)) * 10.0 ** rng.uniform(-300, 300)
    C = None
    if rng.random() < 0.7:
        C = rng.standard_normal((p, 2 * n)) * 10.0 ** rng.uniform(-300, 300, (p, 1))
    check_tail(values, B, C, k, float(10.0 ** rng.uniform(-300, 300)))


@settings(max_examples=15)
@given(seeds)
def test_tails_of_real_modes_are_narrow(seed):
    # terms of one sign: nothing cancels
    rng = np.random.default_rng(seed)
    n = rng.integers(1, 4)
    values = rng.uniform(0.05, 0.9, n)
    k = int(rng.integers(0, 5000))
    B = rng.uniform(0.5, 1.0, (n, 2)) * 10.0 ** min(300, -k * math.log10(values.max()))
    check_tail(values, B, [[1.0] * n + [0.0] * n], k, 0.5, width=1e-11)


def test_malformed_questions():
    good = DiagonalSSM([0.5], [[1.0]])
    for call, message in (
        (
            lambda: kernel_tail(LinearMap([[0.5]], [[1.0]]), k=1, inputs=Inputs.box(-1.0, 1.0)),
            "a DiagonalSSM",
        ),
        (
            lambda: kernel_tail(DiagonalSSM([1.0], [[1.0]]), k=1, inputs=Inputs.box(-1.0, 1.0)),
            "never forgets",
        ),
        (
            lambda: kernel_tail(good, LinearHead([[1.0]]), k=1, inputs=Inputs.box(-1.0, 1.0)),
            r"needed \(p, 2\)",
        ),
        (lambda: kernel_tail(good, k=-1, inputs=Inputs.box(-1.0, 1.0)), "k="),
        (lambda: kernel_tail(good, k=1, inputs=1.0), "does not say which inputs are meant"),
        # their signs are not free, so the lower bound would not be reached
        (lambda: kernel_tail(good, k=1, inputs=Inputs.box(0, 1)), r"needed a box \|x_j\| <= B"),
        (lambda: kernel_tail(good, k=1, inputs=Inputs.ball(1)), "needed a bounded box"),
        (lambda: window_decay(good, [[1.0]]), "h <- a"),
        (lambda: window_decay(MinGRU([[1.0], [1.0]]), np.ones((1, 2, 1))), "one window"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@given(seeds, st.integers(0, 12))
def test_the_gap_of_a_recurrence_without_feedback_is_exact(seed, k):
    rng = np.random.default_rng(seed)
    w = rng.standard_normal
    for layer in (
        SelectiveSSM(np.exp(w((2, 3))), w((2, 2)), w((3, 2)), w(2)),
        MinGRU(w((6, 2)), w(6)),
        RGLRU(w((4, 2)), w(2)),
    ):
        x = w((20, 2))
        states = layer.simulate(x)
        gap = np.abs(states - truncate(layer, k).states(x))[-1]
        low, high = window_decay(layer, x[20 - k :])
        assert np.all(low <= high)
        assert np.all(high <= low * (1 + 1e-11) + 1e-300)
        past = np.abs(states[-1 - k])
        # both trajectories round: by a step's error, k + 1 of them
        error = (2 * k + 3) * layer.step_error(np.abs(states).max(axis=0), np.abs(x).max(axis=0))
        assert np.all(low * past - error <= gap)
        assert np.all(gap <= high * past + error)


def test_the_empty_window_shrinks_nothing():
    low, high = window_decay(MinGRU([[0.0], [1.0]]), np.zeros((0, 1)))
    assert low.tolist() == high.tolist() == [1.0]
