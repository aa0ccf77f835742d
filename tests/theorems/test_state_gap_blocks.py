"""The four questions, asked of state_gap_blocks: growth**rest lam**blocks drive spread/(1-lam)."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from questions import (
    Asked,
    holds_at_extremes,
    is_sharp,
    rounded_outward,
    scalar,
    several_steps,
    swap,
)

from theory import Contraction, LinearMap, truncation_gaps
from theory.norms import Linf
from theory.strategies import factors
from theory.theorems import state_gap, state_gap_blocks
from theory.theorems.state_gap_blocks import STATE_GAP_BLOCKS, formula, spread_upper

sizes = st.sampled_from((0.0, 1.0, 0.1, 3.0)) | st.floats(0.0, 1e6, allow_subnormal=False)


def test_sharp_for_a_swap():
    # after T = 60 inputs the gap is short of the limit by (a b)**30 = 2**-30
    is_sharp(STATE_GAP_BLOCKS, swap(), slack=2.0**-29)
    is_sharp(STATE_GAP_BLOCKS, swap(T=120), slack=2.0**-44)
    # the fixed point of h <- (4 h_2 + 1, h_1 / 8 + 1) is (10, 2.25); drive 1, spread 1 + 4
    made = swap(T=200)
    assert made.map.simulate(made.inputs)[-1].tolist() == [10.0, 2.25]
    bound = state_gap_blocks(made.contraction, k=0, growth=4.0, drive=1.0)
    assert bound == pytest.approx(10.0, rel=1e-13)


def broken():
    # an input left out of the drive: x = 1, 1, 1, 8 with "drive 1"
    system = LinearMap([[0.5]], [[1.0]])
    left_out = truncation_gaps(system, [[1.0], [1.0], [1.0], [8.0]], k_max=0)[0]
    c = Contraction.assumed(0.5, Linf(), iterate=2)
    # h <- (4 h_2 + 1, h_1 / 8 + 1) reaches (10, 2.25), not within 3 as for a "growth" of 1/2
    reached = float(truncation_gaps(swap().map, np.ones((60, 2)), k_max=0, norm=Linf())[0])
    return {
        "iterate_contractive": scalar(0.9, claim=0.5, T=40),
        "step_lipschitz": (reached, state_gap_blocks(c, k=0, growth=0.5, drive=1.0)),
        "drive_bounded": (
            left_out,
            state_gap_blocks(Contraction.assumed(0.5), k=0, growth=0.5, drive=1.0),
        ),
        "zero_start": scalar(0.9, x=0.0, start=[100.0]),
    }


def witnesses():
    return {
        "drive of one step in place of that of r": swap(),
        "geometric factor 1/(1 - lam) dropped": swap(),
        "one block too many": swap(),
        "without contraction": scalar(0.9, claim=0.5, T=40),
        "any start": scalar(0.9, x=0.0, start=[100.0]),
    }


ASKED = Asked(
    made=several_steps(),
    extremes=holds_at_extremes,
    broken=broken,
    witnesses=witnesses,
)


@given(factors(), st.integers(1, 5), st.integers(0, 40), sizes, sizes)
def test_typed_function(lam, r, k, growth, drive):
    c = Contraction.assumed(lam, iterate=r)
    value = state_gap_blocks(c, k=k, growth=growth, drive=drive)
    spread = spread_upper(growth, r)
    counts = {"blocks": k // r, "rest": k % r}
    rounded_outward(formula, value, lam=lam, **counts, growth=growth, drive=drive, spread=spread)
    assert state_gap_blocks(c, k=k + r, growth=growth, drive=drive) <= value
    if r == 1:
        assert value == state_gap(Contraction.assumed(lam), k=k, drive=drive)


@given(sizes, st.integers(1, 9))
def test_spread_is_a_sum_of_powers(growth, r):
    exact = sum(Fraction(growth) ** i for i in range(r))
    value = Fraction(spread_upper(growth, r))
    assert exact <= value <= exact * (1 + Fraction(2) ** -40)


def test_malformed_questions():
    c = Contraction.assumed(0.5, iterate=3)
    good = {"k": 4, "growth": 2.0, "drive": 1.0, "spread": 3.0}
    with pytest.raises(ValueError, match="needed a Contraction"):
        state_gap_blocks(0.5, **good)
    for name, values in (
        ("k", (-1, 1.5, True, None)),
        ("growth", (-1.0, np.inf, np.nan)),
        ("drive", (-1.0, np.inf, np.nan)),
        ("spread", (-1.0, np.inf, np.nan)),
    ):
        for value in values:
            with pytest.raises(ValueError, match=f"{name}="):
                state_gap_blocks(c, **{**good, name: value})
