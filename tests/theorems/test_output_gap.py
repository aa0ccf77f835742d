"""The four questions, asked of output_gap: lipschitz * drive * lam**k / (1 - lam)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from questions import (
    OUTWARD,
    Asked,
    Typed,
    holds_at_extremes,
    is_sharp,
    scalar,
)

from theory import Contraction, LinearMap, truncate
from theory.strategies import experiments, factors
from theory.theorems import output_gap, state_gap
from theory.theorems.output_gap import OUTPUT_GAP

TYPED = Typed(
    theorem=OUTPUT_GAP,
    counts=("k",),
    sizes=("drive", "lipschitz"),
    rising=("lam", "drive", "lipschitz"),
    falling=("k",),
)


@pytest.mark.parametrize("head", [0.25, 3.0])
def test_sharp_for_a_linear_head(head):
    # less than the bound by the part 2**-60 of the history that is missing
    is_sharp(OUTPUT_GAP, scalar(0.5, T=60, head=head), slack=2.0**-60 + OUTWARD)


def test_oracle_of_the_scalar_system():
    # oracle A2.scalar_lds_gap, T = 60, below the bound by the factor 1 - .9**47
    bound = output_gap(Contraction.assumed(0.9), k=13, drive=1.0, lipschitz=3.0)
    assert pytest.approx(bound * (1 - 0.9**47), rel=1e-12) == 7.571687175989567


def broken():
    system, x = LinearMap([[0.5]], [[1.0]]), np.array([[1.0], [8.0]])
    gap = abs(system.simulate(x)[-1, 0] - truncate(system, 0).states(x)[-1, 0])
    assert gap == 8.5
    # h = 2 against 0 through f(h) = h**2, which has slope 1 at h = 1/2
    square = 2.0**2 - 0.0**2
    return {
        "contractive": scalar(0.9, claim=0.5, T=40),
        "drive_bounded": (gap, TYPED(0.5, k=0, drive=1.0, lipschitz=1.0)),
        "zero_start": scalar(0.9, x=0.0, start=[100.0]),
        "output_lipschitz": (square, TYPED(0.5, k=0, drive=1.0, lipschitz=1.0)),
    }


def witnesses():
    return {
        "Lipschitz constant of the output left out": scalar(0.5, head=3.0),
        "one power of lam too many": scalar(0.5),
        "any start": scalar(0.9, x=0.0, start=[100.0]),
    }


ASKED = Asked(
    made=experiments(min_length=1),
    extremes=holds_at_extremes,
    broken=broken,
    witnesses=witnesses,
    typed=TYPED,
)


@given(factors(), st.integers(0, 30))
def test_of_the_state_itself_it_is_the_state_gap(lam, k):
    c = Contraction.assumed(lam)
    assert output_gap(c, k=k, drive=0.7, lipschitz=1.0) == state_gap(c, k=k, drive=0.7)


def test_boundary_cases():
    assert TYPED(0.0, k=0, drive=1.0, lipschitz=3.0) == 3.0
    assert TYPED(0.0, k=1, drive=1.0, lipschitz=3.0) == 0.0
    assert TYPED(0.9, k=2, drive=0.0, lipschitz=3.0) == 0.0
    assert TYPED(0.9, k=2, drive=1.0, lipschitz=0.0) == 0.0
