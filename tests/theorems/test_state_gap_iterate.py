"""The four questions, asked of state_gap_iterate: growth**rest * lam**blocks * past."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from questions import (
    Asked,
    holds_at_extremes,
    impulse,
    is_sharp,
    rounded_outward,
    scalar,
    several_steps,
    swap,
)

from theory import Contraction
from theory.measure import truncation_gap_table
from theory.norms import Linf
from theory.strategies import factors
from theory.theorems import state_gap_iterate, state_gap_observed
from theory.theorems.state_gap_iterate import STATE_GAP_ITERATE, formula

sizes = st.sampled_from((0.0, 1.0, 0.1, 3.0)) | st.floats(0.0, 1e6, allow_subnormal=False)


def test_sharp_at_every_remainder():
    # lam = a b and growth = a are exact; the bound of the power is above it by 2**-48
    verdict = is_sharp(STATE_GAP_ITERATE, impulse(), slack=2.0**-44)
    assert verdict.arguments["rest"] in (0.0, 1.0)
    made = impulse()
    table = truncation_gap_table(made.map, made.inputs, k_max=7, norm=Linf())
    for k in range(8):
        # the state after the first input is (0, 1)
        bound = state_gap_iterate(made.contraction, k=k, growth=4.0, past=1.0)
        factor = 4.0 if k % 2 else 1.0
        assert table[k, k] == factor * 0.5 ** (k // 2)
        assert table[k, k] <= bound <= table[k, k] * (1 + 2.0**-44)


def broken():
    # one step of h <- (4 h_2, h_1 / 8) from (0, 1): 4, not the 1/2 of a "growth" of 1/2
    return {
        "iterate_contractive": scalar(0.9, claim=0.5, T=40),
        "step_lipschitz": (
            4.0,
            state_gap_iterate(Contraction.assumed(0.5, iterate=2), k=1, growth=0.5, past=1.0),
        ),
        "zero_restart": scalar(0.5, x=0.0, restart=[-3.0]),
    }


def witnesses():
    return {
        "steps beyond the last block cost nothing": impulse(),
        "every step counted as a block": impulse(),
        "one block too many": swap(),
        "without contraction": scalar(0.9, claim=0.5, T=40),
        "any restart": scalar(0.5, x=0.0, restart=[-3.0]),
    }


ASKED = Asked(
    made=several_steps(any_start=True),
    extremes=holds_at_extremes,
    broken=broken,
    witnesses=witnesses,
)


@given(factors(), st.integers(1, 5), st.integers(0, 40), sizes, sizes)
def test_typed_function(lam, r, k, growth, past):
    c = Contraction.assumed(lam, iterate=r)
    value = state_gap_iterate(c, k=k, growth=growth, past=past)
    rounded_outward(formula, value, lam=lam, blocks=k // r, rest=k % r, growth=growth, past=past)
    assert state_gap_iterate(c, k=k + r, growth=growth, past=past) <= value
    assert state_gap_iterate(c, k=k, growth=growth + 1.0, past=past) >= value
    if r == 1:
        assert value == state_gap_observed(Contraction.assumed(lam), k=k, past=past)


def test_malformed_questions():
    c = Contraction.assumed(0.5, iterate=3)
    good = {"k": 4, "growth": 2.0, "past": 1.0}
    for bad in (None, 0.9, "c"):
        with pytest.raises(ValueError, match="needed a Contraction"):
            state_gap_iterate(bad, **good)
    for name, values in (
        ("k", (-1, 1.5, True, None, np.nan)),
        ("growth", (-1.0, np.inf, np.nan, "a")),
        ("past", (-1.0, np.inf, np.nan, 1j)),
    ):
        for value in values:
            with pytest.raises(ValueError, match=f"{name}="):
                state_gap_iterate(c, **{**good, name: value})
