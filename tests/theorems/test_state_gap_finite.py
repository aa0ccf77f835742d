"""The four questions, asked of state_gap_finite: drive * (lam**k - lam**t) / (1 - lam)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from questions import (
    LAMS,
    Asked,
    Typed,
    holds_at_extremes,
    is_sharp,
    scalar,
)

from theory import Contraction, LinearMap
from theory.measure import truncation_gap_table
from theory.strategies import experiments, factors
from theory.theorems import state_gap, state_gap_finite
from theory.theorems.state_gap_finite import STATE_GAP_FINITE

TYPED = Typed(
    theorem=STATE_GAP_FINITE,
    counts=("k", "t"),
    sizes=("drive",),
    rising=("lam", "t", "drive"),
    falling=("k",),
    from_k=True,
)


@pytest.mark.parametrize("lam", LAMS)
def test_sharp_at_every_time(lam):
    is_sharp(STATE_GAP_FINITE, scalar(lam, gain=0.5, x=2.0, T=20, k_max=25))


def test_oracle_of_the_scalar_system():
    # oracle A2.scalar_lds_gap: lam = .9, L_x = .5, B = 2, L_f = 3, T = 60, k = 13, an equality
    bound = 3 * state_gap_finite(Contraction.assumed(0.9), k=13, t=60, drive=1.0)
    assert bound == pytest.approx(7.571687175989567, rel=1e-12)
    table = truncation_gap_table(LinearMap([[0.9]], [[0.5]]), np.full((60, 1), 2.0), k_max=13)
    assert 3 * table[13, 59] == pytest.approx(7.571687175989567, rel=1e-12)


def broken():
    table = truncation_gap_table(LinearMap([[0.5]], [[1.0]]), [[1.0], [8.0]], k_max=0)
    assert table[0, 1] == 8.5
    return {
        "contractive": scalar(0.9, claim=0.5, T=40),
        "drive_bounded": (table[0, 1], TYPED(0.5, k=0, t=2, drive=1.0)),
        "zero_start": scalar(0.9, x=0.0, start=[100.0]),
    }


def witnesses():
    return {
        "one power of lam too many": scalar(0.5),
        "geometric factor 1/(1 - lam) dropped": scalar(0.5),
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


@given(factors(), st.integers(0, 30), st.integers(0, 60))
def test_never_above_the_bound_of_every_history(lam, k, t):
    c = Contraction.assumed(lam)
    assert state_gap_finite(c, k=k, t=t, drive=1.0) <= state_gap(c, k=k, drive=1.0)


def test_boundary_cases():
    assert TYPED(0.0, k=0, t=5, drive=1.0) == 1.0
    assert TYPED(0.9, k=5, t=5, drive=1.0) == 0.0
    assert TYPED(0.9, k=6, t=5, drive=1.0) == 0.0
    assert TYPED(0.9, k=0, t=0, drive=1.0) == 0.0
    assert TYPED(0.9, k=0, t=1, drive=0.25) == 0.25
    assert TYPED(1 - 2.0**-53, k=0, t=2, drive=1.0) == 2.0
    assert TYPED(0.5, k=0, t=9, drive=0.0) == 0.0
