"""The four questions, asked of state_gap: drive * lam**k / (1 - lam)."""

import numpy as np
import pytest
from questions import (
    OUTWARD,
    Asked,
    Typed,
    holds_at_extremes,
    is_sharp,
    logistic,
    scalar,
)

from theory import (
    Contraction,
    LinearMap,
    VanillaRNN,
    contraction,
    experiment,
    truncation_gaps,
    verify,
)
from theory.measure import truncation_gap_table
from theory.strategies import experiments
from theory.theorems import state_gap
from theory.theorems.state_gap import STATE_GAP

TYPED = Typed(
    theorem=STATE_GAP,
    counts=("k",),
    sizes=("drive",),
    rising=("lam", "drive"),
    falling=("k",),
)


def test_sharp_for_constant_drive():
    # after T inputs the gap is the bound minus lam**T drive / (1 - lam): less by 2**-60
    is_sharp(STATE_GAP, scalar(0.5, T=60), slack=2.0**-60 + OUTWARD)


def test_sharp_for_a_rotation():
    # W = lam Q and x_t = Q**t v, Q a quarter turn: all states are multiples of x_t
    x = np.array([[0.0, 1.0], [-1.0, 0.0], [0.0, -1.0], [1.0, 0.0]] * 15)
    turn = LinearMap([[0.0, -0.5], [0.5, 0.0]], np.eye(2))
    made = experiment(turn, x, contraction=Contraction.assumed(0.5))
    is_sharp(STATE_GAP, made, slack=2.0**-60 + OUTWARD)


def test_nearly_sharp_for_tanh_under_small_inputs():
    # the slopes of tanh along the way, near 1 only for small states, multiply; as written in A.2
    for drive, digits in ((0.001, "0.99832"), (0.1, "0.00340")):
        gap = truncation_gaps(VanillaRNN([[0.9]], [[1.0]]), np.full((400, 1), drive), k_max=20)[20]
        ratio = gap / state_gap(Contraction.assumed(0.9), k=20, drive=drive)
        assert f"{ratio:.5f}" == digits


def test_sigmoid_at_rest_has_a_gap_that_the_published_bound_denies():
    # oracles A3.sigmoid_bias_gap and A3.sigmoid_bias_bound (A.12 a): h* - 1/2 and lam C / (1 - lam)
    cell = VanillaRNN([[1.0]], [[0.0]], activation="sigmoid")
    gaps = truncation_gaps(cell, np.zeros((200, 1)), k_max=3)
    certificate = contraction(cell)
    assert certificate.lam == 0.25
    assert gaps[1] == pytest.approx(0.15904606840740665, rel=1e-12)
    bounds = [state_gap(certificate, k=k, drive=0.5) for k in (1, 2, 3)]
    assert bounds[0] == pytest.approx(0.16666666666666666, rel=1e-12)
    assert (gaps[1:] < bounds).all()
    np.testing.assert_allclose(bounds, [0.1667, 0.0417, 0.0104], atol=5e-5)
    np.testing.assert_allclose(gaps[1:], [0.1590, 0.0366, 0.0083], atol=5e-5)
    # gain * input_bound alone is 0, and so would be the bound
    assert state_gap(certificate, k=1, drive=0.0 * 0.0) == 0.0


def test_a_start_far_out_leaves_a_gap_that_no_drive_explains():
    # A.12 b: h_0 = 100, lam = 0.9, no input, T = 20, k = 10: 100 * 0.9**20, the bound says 0
    table = truncation_gap_table(
        LinearMap([[0.9]], [[1.0]]), np.zeros((20, 1)), k_max=10, h0=[100.0]
    )
    assert table[10, 19] == pytest.approx(12.157665459056929, rel=1e-12)
    assert state_gap(Contraction.assumed(0.9), k=10, drive=0.0) == 0.0


def broken():
    # an input left out of the drive: x = 1, 1, 1, 8 with "drive 1"
    gap = truncation_gaps(LinearMap([[0.5]], [[1.0]]), [[1.0], [1.0], [1.0], [8.0]], k_max=0)[0]
    assert gap == 8.875
    return {
        "contractive": scalar(0.9, claim=0.5, T=40),
        "drive_bounded": (gap, state_gap(Contraction.assumed(0.5), k=0, drive=1.0)),
        "zero_start": scalar(0.9, x=0.0, start=[100.0]),
    }


def witnesses():
    return {
        "one power of lam too many": scalar(0.5),
        "geometric factor 1/(1 - lam) dropped": scalar(0.5),
        "offset step(0, 0) left out of the drive": logistic(),
        "without contraction": scalar(0.9, claim=0.5, T=40),
        "any start": scalar(0.9, x=0.0, start=[100.0]),
    }


ASKED = Asked(
    made=experiments(min_length=1),
    extremes=holds_at_extremes,
    broken=broken,
    witnesses=witnesses,
    typed=TYPED,
)


def test_boundary_cases():
    assert TYPED(0.0, k=0, drive=1.0) == 1.0
    assert TYPED(0.0, k=1, drive=1.0) == 0.0
    assert TYPED(0.9, k=7, drive=0.0) == 0.0
    assert TYPED(0.5, k=1100, drive=1.0) == 5e-324  # an upper bound never rounds to zero
    assert TYPED(1 - 2.0**-53, k=0, drive=1.0) == 2.0**53


def test_a_run_that_contradicts_its_contraction_is_not_applicable():
    verdict = verify(STATE_GAP, scalar(0.9, claim=0.5, T=40))
    assert "contractive is not established" in verdict.reason
