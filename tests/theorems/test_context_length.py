"""The four questions, asked of context_length: the smallest k whose bound is at most eps."""

import importlib
import math
import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from questions import (
    Asked,
    holds_at_extremes,
    is_sharp,
    logistic,
    scalar,
)

from theory import Contraction, LinearMap, truncate
from theory.strategies import experiments, factors
from theory.theorems import context_length, window_error
from theory.theorems.context_length import CONTEXT_LENGTH

# `theory.theorems.context_length` is the function; the module is reached by its name
MODULE = importlib.import_module("theory.theorems.context_length")


def at(lam, eps=1e-3, drive=1.0, lipschitz=1.0, horizon=None):
    return context_length(
        Contraction.assumed(lam), eps=eps, drive=drive, lipschitz=lipschitz, horizon=horizon
    )


def suffices(k, lam, eps, drive, lipschitz, horizon):
    """Decide L_f C (lam**k - lam**T) / (1 - lam) <= eps in rationals, multiplied out."""
    q = Fraction(lam)
    past = 0 if horizon is None else q**horizon
    gap = Fraction(lipschitz) * Fraction(drive) * (q**k - past)
    return gap <= Fraction(eps) * (1 - q)


def by_counting(lam, eps, drive, lipschitz, horizon):
    """Find the answer by trying k = 0, 1, 2, ..."""
    k = 0
    while not (horizon is not None and k >= horizon) and not suffices(
        k, lam, eps, drive, lipschitz, horizon
    ):
        k += 1
    return k


def test_sharp_for_the_scalar_system():
    # eps is half of the longest gap 2 - 2**-19, k = 1, and the gap there is 1 - 2**-19
    verdict = is_sharp(CONTEXT_LENGTH, scalar(0.5, T=20), slack=2.0**-19)
    assert verdict.arguments["eps"] == 1 - 2.0**-20


# oracles A3.k_inf, A3.k_T100, A3.k_T50
@pytest.mark.parametrize(("horizon", "k"), [(None, 88), (100, 86), (50, 50)])
def test_oracles(horizon, k):
    assert at(0.9, horizon=horizon) == k


def test_necessary_for_every_model_of_the_scalar_system():
    # one input fewer, and no function of the inputs seen errs by eps or less (B.8)
    c = Contraction.assumed(0.9)
    assert window_error(c, k=86, t=200, gain=1.0, input_bound=1.0) > 1e-3
    assert window_error(c, k=88, t=200, gain=1.0, input_bound=1.0) <= 1e-3


def broken():
    # promised 1 at k = 1 for drive 1; an input of size 8 before the last breaks it
    system = LinearMap([[0.5]], [[1.0]])
    k = at(0.5, eps=1.0)
    x = np.array([[8.0], [1.0]])
    gap = abs(system.simulate(x)[-1, 0] - truncate(system, k).states(x)[-1, 0])
    assert (k, gap) == (1, 4.0)
    # states 2 and 1 through f(h) = h**2, whose slope is not 1
    return {
        "contractive": scalar(0.9, claim=0.5, T=40),
        "drive_bounded": (gap, 1.0),
        "zero_start": scalar(0.9, T=40, start=[100.0]),
        "output_lipschitz": (2.0**2 - 1.0**2, 1.0),
    }


def witnesses():
    return {
        "one input fewer": scalar(0.5),
        "geometric factor 1/(1 - lam) dropped": scalar(0.9, T=100),
        "offset step(0, 0) left out of the drive": logistic(),
        "any start": scalar(0.9, T=40, start=[100.0]),
    }


ASKED = Asked(
    made=experiments(min_length=2),
    extremes=holds_at_extremes,
    broken=broken,
    witnesses=witnesses,
    malformed={
        "counts": ("horizon",),
        "sizes": ("drive", "lipschitz"),
        "eps": 0.5,
        "drive": 1.0,
        "lipschitz": 1.0,
        "horizon": 9,
    },
)


SIZES = st.sampled_from((1.0, 0.0, 0.1, 3.0, 2.0**-30)) | st.floats(1e-6, 1e6)
QUESTIONS = st.tuples(
    factors().map(lambda lam: min(lam, 0.99)),  # rationals of a few hundred thousand bits
    st.sampled_from((1e-3, 1.0, 0.5, 1e-9)) | st.floats(1e-9, 1e3),
    SIZES,
    SIZES,
    st.none() | st.integers(0, 300),
)


@given(QUESTIONS)
def test_the_answer_suffices_and_one_fewer_does_not(question):
    lam, eps, drive, lipschitz, horizon = question
    k = at(lam, eps, drive, lipschitz, horizon)
    assert k >= 0
    assert horizon is None or k <= horizon
    assert k == horizon or suffices(k, *question)
    assert k == 0 or not suffices(k - 1, *question)


@given(QUESTIONS)
def test_monotone(question):
    lam, eps, drive, lipschitz, horizon = question
    k = at(*question)
    assert at(lam, 2 * eps, drive, lipschitz, horizon) <= k
    assert at(lam, eps, 2 * drive, lipschitz, horizon) >= k
    assert at(lam, eps, drive, 3 * lipschitz, horizon) >= k
    assert at(lam, eps, drive, lipschitz, None) >= k
    assert at((lam + 1) / 2, eps, drive, lipschitz, horizon) >= k


#: Where L_f C lam**k = eps (1 - lam) exactly: a logarithm and a ceiling are off by one at some.
EQUALITIES = [(lam, Fraction(lam) ** k / (1 - Fraction(lam)), k)
              for lam in (0.5, 0.25, 2.0**-20) for k in (0, 1, 7, 10, 40)
              if (1 - Fraction(lam)).numerator == 1 or lam == 0.5]  # fmt: skip
EQUALITIES += [(0.75, 4 * Fraction(3, 4) ** k, k) for k in (0, 1, 3, 10, 30)]
EQUALITIES += [(0.5, Fraction(1, 2**1000) / (1 - Fraction(1, 2)), 1000)]


@pytest.mark.parametrize(("lam", "eps", "k"), EQUALITIES)
def test_equality_counts_as_enough(lam, eps, k):
    assert Fraction(float(eps)) == eps
    assert at(lam, float(eps)) == k
    assert at(lam, math.nextafter(float(eps), 0.0)) == k + 1


@pytest.mark.parametrize("lam", [0.1, 0.3, 0.9, 0.7])
@pytest.mark.parametrize("k", [1, 5, 10, 22])
def test_near_equality_of_decimals_is_decided_exactly(lam, k):
    # eps is the rounded value of a power of a rounded decimal: which side it fell on, only exact
    # arithmetic knows
    eps = lam**k / (1 - lam)
    expected = k if suffices(k, lam, eps, 1.0, 1.0, None) else k + 1
    assert at(lam, eps) == expected == by_counting(lam, eps, 1.0, 1.0, None)


@pytest.mark.parametrize("horizon", [None, 0, 1, 2, 17, 40])
def test_equal_to_counting(horizon):
    for lam in (0.0, 1e-3, 0.3, 0.5, 0.9, 0.97):
        for eps in (1e-6, 1e-3, 0.25, 1.0, 50.0):
            assert at(lam, eps, 0.7, 3.0, horizon) == by_counting(lam, eps, 0.7, 3.0, horizon)


@pytest.mark.parametrize(
    ("first", "exact", "more"),
    [
        pytest.param((), 2**22, (800, 3200, 12800), id="rationals"),
        pytest.param((160,), 0, (800, 3200, 12800), id="intervals"),
        pytest.param((8,), 0, (16, 32, 64, 128, 800), id="growing-intervals"),
    ],
)
def test_every_way_of_deciding_agrees(monkeypatch, first, exact, more):
    monkeypatch.setattr(MODULE, "_EXACT_BITS", exact)
    monkeypatch.setattr(MODULE, "_MORE_BITS", more)
    if first:
        monkeypatch.setattr(MODULE, "_FIRST_BITS", *first)
    else:
        monkeypatch.setattr(MODULE, "_in_intervals", lambda *_: None)
    for lam in (0.0, 0.1, 0.5, 0.75, 0.9):
        for eps in (1e-3, 0.3, 0.5, 4 * 0.75**10):
            for horizon in (None, 0, 5, 30):
                expected = by_counting(lam, eps, 1.0, 1.0, horizon)
                assert at(lam, eps, horizon=horizon) == expected


def test_undecided_asks_for_more_context(monkeypatch):
    # with too few digits to tell, the answer errs on the safe side
    monkeypatch.setattr(MODULE, "_EXACT_BITS", 0)
    monkeypatch.setattr(MODULE, "_FIRST_BITS", 8)
    monkeypatch.setattr(MODULE, "_MORE_BITS", (8,))
    assert at(0.1, 0.1**5 / (1 - 0.1)) >= by_counting(0.1, 0.1**5 / (1 - 0.1), 1.0, 1.0, None)


@pytest.mark.parametrize("answer", [-3, -1, 0, 1, 2, 7, 40])
def test_a_poor_guess_costs_time_only(answer):
    # also where fewer than no inputs would be enough
    for guess in range(60):
        assert MODULE._smallest(lambda k: k >= answer, guess) == max(answer, 0)


def test_nothing_to_forget():
    assert at(0.0, eps=0.5) == 1
    assert at(0.0, eps=1.0) == 0
    assert at(0.9, drive=0.0) == 0
    assert at(0.9, lipschitz=0.0) == 0
    assert at(0.9, horizon=0) == 0
    assert at(0.9, eps=5e-324, horizon=7) == 7
    assert at(0.9, eps=1e308) == 0


def test_never_negative():
    # A.12 n: the logarithm gives -2.3 for lam = .5, L = 1, eps = 10
    assert math.log(10 * (1 - 0.5)) / math.log(0.5) == pytest.approx(-2.3, abs=0.03)
    assert at(0.5, eps=10.0) == 0


@pytest.mark.parametrize(
    ("lam", "eps", "horizon"),
    [
        (1 - 1e-9, 1e-3, None),
        (1 - 2.0**-53, 1e-3, None),
        (1 - 1e-9, 1e-3, 10**12),
        (1 - 2.0**-53, 1e-3, 10**15),
        (0.9999, 5e-324, None),
    ],
)
def test_huge_answers_are_exact_and_fast(lam, eps, horizon):
    started = time.process_time()
    k = at(lam, eps, horizon=horizon)
    assert time.process_time() - started < 2.0
    # beside the answer lam**k (1 - lam**(T - k)) moves by a factor lam, at least 2**-53 of itself:
    # 400 bits decide on which side of eps (1 - lam) it lies
    from mpmath import mp, mpf

    with mp.workprec(400):
        q = mpf(lam)
        past = 0 if horizon is None else q**horizon
        gaps = [(q**j - past) / (1 - q) for j in (k - 1, k)]
        assert gaps[0] > eps >= gaps[1]


def test_malformed_questions():
    for bad in (0.0, -0.0, -1.0, math.nan, math.inf, "one", None):
        with pytest.raises(ValueError, match="eps="):
            at(0.5, eps=bad)


def test_answers_a_python_integer():
    assert type(at(np.float64(0.5), eps=np.float64(0.1), horizon=np.int64(9))) is int
