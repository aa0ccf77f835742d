"""The four questions, asked of deployed_error: the gap of two models whose steps err."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from questions import LAMS, Asked, holds_at_extremes, is_sharp, rounded_outward, scalar

from theory import Contraction
from theory.strategies import experiments, factors
from theory.theorems import deployed_error, state_gap, state_gap_finite
from theory.theorems.deployed_error import DEPLOYED_ERROR, ever, formula

SIZES = st.sampled_from((0.0, 1.0, 0.1, 3.0)) | st.floats(0.0, 1e6, allow_subnormal=False)


@pytest.mark.parametrize("lam", LAMS)
def test_sharp_with_errors_of_opposite_signs(lam):
    is_sharp(DEPLOYED_ERROR, scalar(lam, gain=0.5, x=2.0, T=20, k_max=25), slack=2.0**-44)


@given(factors(), st.integers(0, 40), st.integers(0, 40), SIZES, SIZES, SIZES)
def test_typed_function_is_the_formula_rounded_outward(lam, k, t, drive, step_error, run_error):
    c = Contraction.assumed(lam)
    sizes = {"drive": drive, "step_error": step_error, "run_error": run_error}
    value = deployed_error(c, k=k, t=t, **sizes)
    rounded_outward(formula, value, lam=lam, k=min(k, t), t=t, **sizes)
    whenever = deployed_error(c, k=k, **sizes)
    rounded_outward(ever, whenever, lam=lam, k=k, **sizes)
    assert value <= whenever


@given(factors(), st.integers(0, 40), st.integers(0, 40), SIZES)
def test_exact_models_have_the_gap_of_exact_models(lam, k, t, drive):
    c = Contraction.assumed(lam)
    assert deployed_error(c, k=k, drive=drive, step_error=0.0) == state_gap(c, k=k, drive=drive)
    finite = deployed_error(c, k=k, t=t, drive=drive, step_error=0.0)
    assert finite == state_gap_finite(c, k=k, t=t, drive=drive)


@given(factors(), st.integers(0, 40), SIZES)
def test_a_longer_window_helps_until_the_error_of_a_step_is_the_drive(lam, k, drive):
    """The share of k is lam**k (drive - step_error): at drive = step_error all k are alike."""
    lam, size = Fraction(lam), Fraction(drive)
    alike = {ever(lam, j, size, size, 0) for j in (k, k + 1, 0)}
    assert len(alike) == 1
    assert ever(lam, k + 1, size, size / 2, 0) <= ever(lam, k, size, size / 2, 0)


def broken():
    c = Contraction.assumed(0.5)
    return {
        "contractive": scalar(0.9, claim=0.5, T=40),
        # an input left out of the drive: h <- h/2 + x from 0 under 1, 8
        "drive_bounded": (8.5, deployed_error(c, k=0, t=2, drive=1.0, step_error=0.0)),
        "zero_start": scalar(0.9, x=0.0, start=[100.0]),
        # h <- h/2 + 1 computed as h/2: 0 instead of 1.5 after two steps
        "steps_err": (1.5, deployed_error(c, k=2, t=2, drive=1.0, step_error=0.0)),
    }


def witnesses():
    return {
        "one power of lam too many": scalar(0.5),
        "error of the last step only": scalar(0.5),
        "recurrent model taken as exact": scalar(0.5),
        "errors of the recurrent model forgotten with its past": scalar(0.5),
        "without contraction": scalar(0.9, claim=0.5, T=40),
        "any start": scalar(0.9, x=0.0, start=[100.0]),
    }


ASKED = Asked(
    made=experiments(min_length=1),
    extremes=holds_at_extremes,
    broken=broken,
    witnesses=witnesses,
    malformed={
        "counts": ("k",), "sizes": ("drive", "step_error", "run_error"), "k": 3, "drive": 1.0,
        "step_error": 1.0, "run_error": 1.0,
    },
)  # fmt: skip


def test_boundary_cases():
    c = Contraction.assumed(0.0)
    assert deployed_error(c, k=0, t=5, drive=1.0, step_error=7.0) == 1.0
    assert deployed_error(c, k=1, t=5, drive=1.0, step_error=7.0) == 7.0
    assert deployed_error(c, k=5, t=0, drive=1.0, step_error=7.0, run_error=7.0) == 0.0
    slow = Contraction.assumed(1 - 2.0**-53)
    assert deployed_error(slow, k=2, t=2, drive=9.0, step_error=1.0) == 2.0
    with pytest.raises(ValueError, match="t=-1"):
        deployed_error(c, k=1, t=-1, drive=1.0, step_error=0.0)
