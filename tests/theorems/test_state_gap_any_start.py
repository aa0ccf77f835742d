"""The four questions, asked of state_gap_any_start.

lam**k * (lam**(t - k) * start + drive * (1 - lam**(t - k)) / (1 - lam) + restart)
"""

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
from theory.theorems import state_gap_any_start, state_gap_finite
from theory.theorems.state_gap_any_start import STATE_GAP_ANY_START

TYPED = Typed(
    theorem=STATE_GAP_ANY_START,
    counts=("k", "t"),
    sizes=("drive", "start", "restart"),
    rising=("lam", "drive", "start", "restart"),
    from_k=True,
)
#: Only for t > k does the bound rise in lam: at t <= k it is 0 whatever lam is.


@pytest.mark.parametrize("lam", LAMS)
def test_sharp_for_opposite_starts(lam):
    is_sharp(STATE_GAP_ANY_START, scalar(lam, T=20, k_max=25, start=[4.0], restart=[-3.0]))


def test_repairs_the_published_bound_far_out():
    # A.12 b: h_0 = 100, lam = .9, no input, T = 20, k = 10: the gap 100 * .9**20 is the bound
    table = truncation_gap_table(
        LinearMap([[0.9]], [[1.0]]), np.zeros((20, 1)), k_max=10, h0=[100.0]
    )
    bound = TYPED(0.9, k=10, t=20, drive=0.0, start=100.0, restart=0.0)
    assert bound == pytest.approx(12.157665459056929, rel=1e-12)
    assert table[10, 19] == pytest.approx(bound, rel=1e-12)


def broken():
    # starts at 1 and -1, one input of size 8 with "drive 1"
    table = truncation_gap_table(
        LinearMap([[0.5]], [[1.0]]), [[8.0]], k_max=0, h0=[1.0], restart=[-1.0]
    )
    assert table[0, 0] == 9.5
    return {
        "contractive": scalar(0.9, claim=0.5, T=40),
        "drive_bounded": (
            table[0, 0],
            TYPED(0.5, k=0, t=1, drive=1.0, start=1.0, restart=1.0),
        ),
    }


def witnesses():
    far = scalar(0.5, start=[40.0], restart=[-30.0])
    return {
        "start left out": far,
        "restart left out": far,
        "drive left out": scalar(0.5),
        "without contraction": scalar(0.9, claim=0.5, T=40),
    }


ASKED = Asked(
    made=experiments(min_length=1, any_start=True, any_restart=True),
    extremes=holds_at_extremes,
    broken=broken,
    witnesses=witnesses,
    typed=TYPED,
)


@given(factors(), st.integers(0, 20), st.integers(0, 40))
def test_from_rest_it_is_the_finite_bound(lam, k, t):
    c = Contraction.assumed(lam)
    finite = state_gap_finite(c, k=k, t=t, drive=1.0)
    value = state_gap_any_start(c, k=k, t=t, drive=1.0, start=0.0)
    # the two formulas are the same rational, each rounded up by at most two units
    assert finite == pytest.approx(value, rel=4 * 2.0**-53, abs=2 * 5e-324)


def test_boundary_cases():
    assert TYPED(0.0, k=0, t=5, drive=1.0, start=7.0, restart=2.0) == 3.0
    assert TYPED(0.9, k=5, t=5, drive=1.0, start=7.0, restart=2.0) == 0.0
    assert TYPED(0.9, k=0, t=0, drive=1.0, start=7.0, restart=2.0) == 0.0
    assert TYPED(0.5, k=1, t=2, drive=0.0, start=4.0, restart=0.0) == 1.0
