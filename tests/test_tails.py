"""Exact truncation errors of linear layers and of recurrences without feedback."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory import (
    RGLRU,
    DiagonalSSM,
    Inputs,
    LinearHead,
    LinearMap,
    MinGRU,
    SelectiveSSM,
    kernel_tail,
    truncate,
    window_decay,
)

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
