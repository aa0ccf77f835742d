"""judge and verify: every outcome, on observations made by hand."""

import json
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory import (
    THEOREMS,
    CallableMap,
    Contraction,
    LinearHead,
    LinearMap,
    Linf,
    VanillaRNN,
    WeightedL2,
    WeightedLinf,
    contraction,
    experiment,
    verify,
)
from theory.arithmetic.rounding import UNIT, evaluate
from theory.measure import Run
from theory.measure.observation import Observation
from theory.theorems.context_length import CONTEXT_LENGTH
from theory.theorems.contractive_of_composition import CONTRACTIVE_OF_COMPOSITION
from theory.theorems.contractive_of_matrix_norm import CONTRACTIVE_OF_MATRIX_NORM
from theory.theorems.contractive_of_perron_weights import CONTRACTIVE_OF_PERRON_WEIGHTS
from theory.theorems.drive import DRIVE
from theory.theorems.gradient_gap_finite import GRADIENT_GAP_FINITE
from theory.theorems.hidden_state import HIDDEN_STATE
from theory.theorems.input_sequence import INPUT_SEQUENCE
from theory.theorems.norm_change import NORM_CHANGE
from theory.theorems.state_gap import STATE_GAP
from theory.theorems.state_gap_observed import STATE_GAP_OBSERVED
from theory.theorems.theorem import Kind
from theory.theorems.window_error import WINDOW_ERROR
from theory.trials import TRIALS, Outcome, Verdict
from theory.trials.trial import NearMiss
from theory.trials.verdict import judge


def seen(measured, budget=0.0, **arguments) -> Observation:
    return Observation(measured=np.array(measured), budget=budget, arguments=arguments)


def same(bound):
    """The formula that is its argument."""
    return bound


def power(lam, k):
    return lam**k


# ------------------------------------------------------------------------------------------- judge


@pytest.mark.parametrize(
    ("kind", "measured", "bound", "budget", "expected"),
    [
        (Kind.UPPER, 1.0, 2.0, 0.0, Outcome.HOLDS),
        (Kind.SHARP, 2.0, 2.0, 0.0, Outcome.HOLDS),
        (Kind.UPPER, 2.0 + 1e-9, 2.0, 1e-8, Outcome.HOLDS_WITHIN_ROUNDING),
        (Kind.SHARP, 2.0 + 1e-9, 2.0, 1e-8, Outcome.HOLDS_WITHIN_ROUNDING),
        (Kind.UPPER, 2.0 + 1e-9, 2.0, 1e-10, Outcome.REFUTED),
        (Kind.UPPER, 2.0 * (1 + 2 * UNIT), 2.0, 0.0, Outcome.REFUTED),
        (Kind.LOWER, 3.0, 2.0, 0.0, Outcome.HOLDS),
        (Kind.LOWER, 2.0, 2.0, 0.0, Outcome.HOLDS),
        (Kind.LOWER, 2.0 - 1e-9, 2.0, 1e-8, Outcome.HOLDS_WITHIN_ROUNDING),
        (Kind.LOWER, 2.0 - 1e-9, 2.0, 1e-10, Outcome.REFUTED),
        (Kind.LOWER, 2.0 * (1 - UNIT), 2.0, 0.0, Outcome.REFUTED),
        # a bound of zero: only zero, or rounding, is below it
        (Kind.UPPER, 0.0, 0.0, 0.0, Outcome.HOLDS),
        (Kind.UPPER, 1e-17, 0.0, 1e-16, Outcome.HOLDS_WITHIN_ROUNDING),
        (Kind.UPPER, 1e-15, 0.0, 1e-16, Outcome.REFUTED),
        (Kind.LOWER, 0.0, 0.0, 0.0, Outcome.HOLDS),
        (Kind.LOWER, 5.0, 0.0, 0.0, Outcome.HOLDS),
        # infinities
        (Kind.UPPER, math.inf, 2.0, 0.0, Outcome.REFUTED),
        (Kind.UPPER, math.inf, 2.0, 1e300, Outcome.REFUTED),
        (Kind.LOWER, math.inf, 2.0, 0.0, Outcome.HOLDS),
    ],
)
def test_one_value(kind, measured, bound, budget, expected):
    verdict = judge("t", same, kind, seen([measured], budget, bound=bound))
    assert verdict.outcome is expected
    assert (verdict.measured, verdict.budget) == (measured, budget)
    assert verdict.bound == bound
    assert verdict.observations == 1
    assert verdict.arguments == {"bound": bound}


@pytest.mark.parametrize("kind", list(Kind))
def test_not_a_number_is_never_a_success(kind):
    """A NaN compares false with everything; that must not read as `holds`."""
    for measured in ([math.nan], [0.5, math.nan], [math.nan, 0.5]):
        outcome = judge("t", same, kind, seen(measured, 0.0, bound=0.5)).outcome
        assert outcome not in {Outcome.HOLDS, Outcome.HOLDS_WITHIN_ROUNDING}
    outcome = judge("t", same, kind, seen([0.5], math.nan, bound=0.5)).outcome
    assert outcome not in {Outcome.HOLDS, Outcome.HOLDS_WITHIN_ROUNDING}
    # a formula that cannot be evaluated there compares with nothing
    outcome = judge("t", same, kind, seen([0.5, 0.5], 0.0, bound=np.array([0.5, math.nan]))).outcome
    assert outcome not in {Outcome.HOLDS, Outcome.HOLDS_WITHIN_ROUNDING}


def test_a_refutation_is_not_hidden_behind_a_bound_that_is_not_a_number():
    bound = np.array([1.0, math.nan, 1.0])
    verdict = judge("t", same, Kind.UPPER, seen([5.0, 1.0, 1.0], 0.0, bound=bound))
    assert verdict.outcome is Outcome.REFUTED
    assert (verdict.measured, verdict.bound) == (5.0, 1.0)


def test_equal_infinities_hide_no_refutation():
    """Their difference is a NaN, which used to be taken for the largest excess."""
    with np.errstate(invalid="ignore"):
        for kind, measured, bound in (
            (Kind.UPPER, [math.inf, 2.0], [math.inf, 1.0]),
            (Kind.LOWER, [math.inf, 1.0], [math.inf, 2.0]),
        ):
            verdict = judge("t", same, kind, seen(measured, 0.0, bound=np.array(bound)))
            assert verdict.outcome is Outcome.REFUTED
            assert (verdict.measured, verdict.bound) == (measured[1], bound[1])
    alone = judge("t", same, Kind.UPPER, seen([math.inf], 0.0, bound=math.inf))
    assert alone.outcome is Outcome.HOLDS


def test_a_bound_that_is_a_nan_in_intervals_is_no_statement(monkeypatch):
    monkeypatch.setattr("theory.trials.verdict.evaluate", lambda *_, **__: math.nan)
    verdict = judge("t", same, Kind.UPPER, seen([0.5], 0.0, bound=1.0))
    assert verdict.outcome is Outcome.NOT_APPLICABLE
    assert "not a number" in verdict.reason


def test_an_infinite_bound_is_no_refutation():
    verdict = judge("t", lambda drive: 2 * drive, Kind.UPPER, seen([1e300], 0.0, drive=1e308))
    assert verdict.outcome is Outcome.HOLDS
    assert (verdict.bound, verdict.ratio) == (math.inf, 0.0)


def test_nothing_measured_is_not_a_success():
    verdict = judge("t", same, Kind.UPPER, seen([], bound=np.array([])), evidence="e", label="l")
    assert verdict.outcome is Outcome.NOT_APPLICABLE
    assert verdict.reason == "nothing was measured"
    assert (verdict.observations, verdict.arguments) == (0, {})
    assert math.isnan(verdict.measured)
    assert math.isnan(verdict.ratio)
    assert (verdict.evidence, verdict.label) == ("e", "l")


def test_the_closest_value_is_reported():
    verdict = judge("t", same, Kind.UPPER, seen([1.0, 9.0, 3.0], bound=np.array([2.0, 10.0, 5.0])))
    assert (verdict.measured, verdict.bound, verdict.ratio) == (9.0, 10.0, 0.9)
    verdict = judge("t", same, Kind.LOWER, seen([4.0, 10.0, 5.0], bound=np.array([2.0, 9.0, 3.0])))
    assert (verdict.measured, verdict.bound, verdict.ratio) == (10.0, 9.0, 0.9)


def test_the_worst_excess_is_reported():
    bound = np.array([1.0, 100.0, 1.0])
    verdict = judge("t", same, Kind.UPPER, seen([1.5, 102.0, 0.0], bound=bound))
    assert verdict.outcome is Outcome.REFUTED
    assert (verdict.measured, verdict.bound) == (102.0, 100.0)
    assert verdict.ratio == 1.02
    # a large excess within its budget does not hide a small one beyond
    budget = np.array([0.0, 5.0, 0.0])
    verdict = judge("t", same, Kind.UPPER, seen([1.5, 102.0, 0.0], budget, bound=bound))
    assert verdict.outcome is Outcome.REFUTED
    assert verdict.measured == 1.5


def test_values_that_are_all_rounding_do_not_compete():
    """1e-18 against 1e-30 is the ratio 1e12; but it is within its budget, and 0.9 is news."""
    measured, bound = np.array([1e-18, 0.9]), np.array([1e-30, 1.0])
    verdict = judge("t", same, Kind.UPPER, seen(measured, 1e-16, bound=bound))
    assert verdict.outcome is Outcome.HOLDS_WITHIN_ROUNDING  # it is said that one was above
    assert verdict.measured == 0.9


def test_only_rounding():
    verdict = judge("t", same, Kind.UPPER, seen([1e-18, 1e-19], 1e-16, bound=np.zeros(2)))
    assert verdict.outcome is Outcome.HOLDS_WITHIN_ROUNDING
    assert verdict.ratio == math.inf


def test_a_power_that_underflows_in_doubles_is_decided_exactly():
    # lam**k = 2**-1200 is 0 in doubles; the smallest double is above it all the same
    verdict = judge("t", power, Kind.UPPER, seen([0.0], lam=0.5, k=1200.0))
    assert verdict.outcome is Outcome.HOLDS
    assert verdict.bound == 5e-324
    verdict = judge("t", power, Kind.UPPER, seen([1e-323], lam=0.5, k=1200.0))
    assert verdict.outcome is Outcome.REFUTED


@given(st.floats(0.01, 0.999), st.integers(0, 200), st.integers(-3, 3))
def test_a_few_roundings_of_the_formula_refute_nothing(lam, k, ulps):
    """In plain doubles lam**k may be off by one; the decision is not."""
    from theory.arithmetic.rounding import evaluate

    upper = evaluate(power, lam=lam, k=k)
    measured = upper * (1 + ulps * 2 * UNIT)
    outcome = judge("t", power, Kind.UPPER, seen([measured], lam=lam, k=float(k))).outcome
    assert (outcome is Outcome.REFUTED) == (measured > upper)
    lower = evaluate(power, upward=False, lam=lam, k=k)
    measured = lower * (1 + ulps * 2 * UNIT)
    outcome = judge("t", power, Kind.LOWER, seen([measured], lam=lam, k=float(k))).outcome
    assert (outcome is Outcome.REFUTED) == (measured < lower)


def test_arguments_and_budgets_are_broadcast():
    k = np.array([0.0, 1.0, 2.0])
    verdict = judge("t", power, Kind.SHARP, seen([1.0, 0.5, 0.25], np.full(3, 1e-16), lam=0.5, k=k))
    assert verdict.outcome is Outcome.HOLDS
    assert verdict.observations == 3
    scalar = judge(
        "t",
        same,
        Kind.UPPER,
        Observation(measured=np.array(1.0), budget=0.0, arguments={"bound": 2}),
    )
    assert (scalar.observations, scalar.ratio) == (1, 0.5)


@given(
    st.lists(st.tuples(st.floats(0, 4), st.floats(0, 4), st.floats(0, 1)), min_size=1, max_size=8),
    st.sampled_from([Kind.UPPER, Kind.LOWER]),
)
def test_judge_agrees_with_the_comparison_value_by_value(rows, kind):
    measured, bound, budget = map(np.array, zip(*rows, strict=True))
    outcome = judge("t", same, kind, seen(measured, budget, bound=bound)).outcome
    excess = (measured - bound) if kind is Kind.UPPER else (bound - measured)
    # the slack for the formula may acquit in doubles only what is then decided exactly; the formula
    # is exact here, so a refutation is one unless another value is chosen: it is the largest
    slack = 16 * 8 * UNIT * 4
    if (excess > budget + slack).any():
        assert outcome is Outcome.REFUTED
    elif not (excess > budget).any():
        expected = Outcome.HOLDS_WITHIN_ROUNDING if (excess > 0).any() else Outcome.HOLDS
        assert outcome is expected


@pytest.mark.parametrize("lam", [1 - 9e-7, 1 - 1e-6, 1 - 1.1e-6])
def test_digits_that_cancel_do_not_hide_a_refutation(lam):
    # beside the first value, which holds but loses 2 u / (1 - lam)**2 of its bound in doubles
    formula, kind = GRADIENT_GAP_FINITE.formula, GRADIENT_GAP_FINITE.kind
    sizes = dict.fromkeys(("past", "weight_gain", "loss_gain", "beta_hh"), 1.0)
    for k in (2, 3, 4, 5):
        rest = {"k": k, "t": k, **sizes, "beta_wh": 1e-9, "beta_p": 1e-9}
        bounds = [evaluate(formula, upward=False, lam=rate, **rest) for rate in (lam, 0.5)]
        observed = seen(bounds * np.array([1, 1 + 1e-9]), lam=np.array([lam, 0.5]), **rest)
        verdict = judge("t", formula, kind, observed, order=GRADIENT_GAP_FINITE.order)
        assert (verdict.outcome, verdict.arguments["lam"]) == (Outcome.REFUTED, 0.5)


# ---------------------------------------------------------------------------- written and read back

awkward = st.floats() | st.sampled_from([math.nan, math.inf, -math.inf, 5e-324, 0.1, -0.0])


@given(
    st.sampled_from(list(Outcome)),
    st.tuples(awkward, awkward, awkward, awkward),
    st.dictionaries(st.text(max_size=5), awkward, max_size=4),
    st.integers(0, 10**9),
)
def test_verdicts_are_read_back_exactly(outcome, numbers, arguments, observations):
    one = Verdict(
        theorem="t [x]",
        outcome=outcome,
        **dict(zip(("measured", "bound", "budget", "ratio"), numbers, strict=True)),
        observations=observations,
        arguments=arguments,
        evidence="certified (spectral norm)",
        reason="r",
        label="l",
    )
    text = json.dumps(one.to_dict(), allow_nan=False)
    again = Verdict.from_dict(json.loads(text))
    assert repr(again) == repr(one)  # repr of a float is exact, and says nan
    assert json.dumps(again.to_dict(), allow_nan=False) == text


GOOD = judge("t", same, Kind.UPPER, seen([1.0], bound=2.0)).to_dict()


@pytest.mark.parametrize(
    "data",
    [
        {},
        None,
        [],
        "verdict",
        *[{k: v for k, v in GOOD.items() if k != name} for name in GOOD],
        {**GOOD, "outcome": "maybe"},
        {**GOOD, "measured": None},
        {**GOOD, "measured": "much"},
        {**GOOD, "arguments": [1.0]},
        {**GOOD, "arguments": {"k": "few"}},
        {**GOOD, "observations": "many"},
        {**GOOD, "theorem": 3},
    ],
)
def test_what_is_no_verdict_is_refused(data):
    with pytest.raises(ValueError):
        Verdict.from_dict(data)


def test_a_verdict_cannot_be_changed():
    verdict = Verdict.from_dict(GOOD)
    assert replace(verdict, label="x").label == "x"
    with pytest.raises(AttributeError):
        verdict.outcome = Outcome.REFUTED


# ------------------------------------------------------------------------------------------ verify

X = np.random.default_rng(0).uniform(0.5, 1.0, (30, 1))


def scalar(lam: float = 0.5, *, claimed: float | None = None, **options):
    return experiment(
        LinearMap([[lam]], [[1.0]]),
        X,
        contraction=Contraction.assumed(lam if claimed is None else claimed, Linf()),
        **options,
    )


#: Theorems about something that the scalar family has not: gates, layers, multipliers, training.
ELSEWHERE = {
    *("contractive_of_gate_norms", "contractive_of_gru_norms", "contractive_of_incremental_lmi"),
    *("contractive_of_multipliers", "contractive_of_leak", "contractive_of_layers"),
    *("cascade_gap", "parameter_gap", "truncated_backprop_bias", "vanishing_gradient"),
    *("gradient_gap_finite", "gradient_gap", "loss_smoothness", "weight_gap", "prediction_gap"),
    *(
        "contractive_of_sectors",
        "weight_gap_path",
        "training_context",
        "gradient_growth",
        "curvature_growth",
    ),
    *("short_memory", "filter_contraction"),
}


def test_every_theorem_holds_on_the_scalar_family():
    options = {
        "partner": LinearMap([[0.25]], [[1.0]]),
        "partner_contraction": Contraction.assumed(0.25),
    }
    one = experiment(
        LinearMap([[0.5]], [[1.0]]),
        X,
        contraction=Contraction.assumed(0.5, WeightedLinf([1.0])),
        **options,
    )
    for theorem in THEOREMS:
        verdict = verify(theorem, one)
        if theorem.name in ELSEWHERE:
            assert verdict.outcome is Outcome.NOT_APPLICABLE
            continue
        assert verdict.outcome in {Outcome.HOLDS, Outcome.HOLDS_WITHIN_ROUNDING}, theorem.name
        assert verdict.theorem == theorem.name
        assert verdict.evidence == "assumed (by hand)"
        assert verdict.ratio <= 1 + 1e-6
        assert set(verdict.arguments) == set(theorem.symbols)


def test_a_run_may_be_reused():
    one = scalar(label="here")
    run = Run(one)
    for theorem in (STATE_GAP, HIDDEN_STATE):
        assert verify(theorem, run) == verify(theorem, one)
        assert verify(theorem, run).label == "here"


def test_evidence_is_repeated():
    cell = VanillaRNN([[0.5]], [[1.0]])
    one = experiment(cell, X, contraction=contraction(cell, method="spectral"))
    assert verify(STATE_GAP, one).evidence == "certified (spectral norm)"


CASES: dict[str, tuple[object, Callable[[], object], str]] = {
    "iterate": (
        STATE_GAP,
        lambda: experiment(
            LinearMap([[0.5]], [[1.0]]), X, contraction=Contraction.assumed(0.5, iterate=2)
        ),
        "contractive",
    ),
    "false factor": (STATE_GAP, lambda: scalar(0.9, claimed=0.5), "contractive"),
    "start": (STATE_GAP, lambda: scalar(start=[1.0]), "zero_start"),
    "restart": (STATE_GAP, lambda: scalar(restart=[1.0]), "zero_start"),
    "restart, observed": (STATE_GAP_OBSERVED, lambda: scalar(restart=[1.0]), "zero_restart"),
    "restart, norms": (NORM_CHANGE, lambda: scalar(restart=[1.0]), "zero_restart"),
    "start, context": (CONTEXT_LENGTH, lambda: scalar(start=[1.0]), "zero_start"),
    "gain": (
        INPUT_SEQUENCE,
        lambda: experiment(
            CallableMap(lambda h, x: 0.5 * h + x, 1, 1), X, contraction=Contraction.assumed(0.5)
        ),
        "input_lipschitz",
    ),
    "gain, drive": (
        DRIVE,
        lambda: experiment(
            CallableMap(lambda h, x: 0.5 * h + x, 1, 1), X, contraction=Contraction.assumed(0.5)
        ),
        "input_lipschitz",
    ),
    "form": (
        CONTRACTIVE_OF_MATRIX_NORM,
        lambda: experiment(
            CallableMap(lambda h, x: 0.5 * h + x, 1, 1), X, contraction=Contraction.assumed(0.5)
        ),
        "affine_form",
    ),
    "norm": (
        CONTRACTIVE_OF_MATRIX_NORM,
        lambda: experiment(
            VanillaRNN(0.5 * np.eye(2), np.ones((2, 1))),
            X,
            contraction=Contraction.assumed(0.7, WeightedL2([[1.0, 0.5], [0.5, 1.0]])),
        ),
        "monotone_norm",
    ),
    "weights": (CONTRACTIVE_OF_PERRON_WEIGHTS, scalar, "weighted_maximum"),
    "partner": (CONTRACTIVE_OF_COMPOSITION, scalar, "two_contractions"),
    "family, bias": (
        WINDOW_ERROR,
        lambda: experiment(
            LinearMap([[0.5]], [[1.0]], [1.0]), X, contraction=Contraction.assumed(0.5)
        ),
        "scalar_linear",
    ),
    "family, rate": (WINDOW_ERROR, lambda: scalar(0.5, claimed=0.75), "scalar_linear"),
    "family, activation": (
        WINDOW_ERROR,
        lambda: experiment(VanillaRNN([[0.5]], [[1.0]]), X, contraction=Contraction.assumed(0.5)),
        "scalar_linear",
    ),
    "family, head": (
        WINDOW_ERROR,
        lambda: scalar(head=LinearHead([[1.0], [1.0]])),
        "scalar_linear",
    ),
}


@pytest.mark.parametrize(("theorem", "make", "name"), CASES.values(), ids=CASES)
def test_an_assumption_that_is_not_established_is_named(theorem, make, name):
    verdict = verify(theorem, make())
    assert verdict.outcome is Outcome.NOT_APPLICABLE
    assert f"{name} is not established: " in verdict.reason
    statement = next(a.statement for a in theorem.assumes if a.name == name)
    assert statement in verdict.reason


def test_all_missing_assumptions_are_named():
    verdict = verify(STATE_GAP, scalar(0.9, claimed=0.5, start=[1.0]))
    assert "contractive is not established" in verdict.reason
    assert "zero_start is not established" in verdict.reason


def test_empty_sequences_are_not_applicable():
    one = experiment(LinearMap([[0.5]], [[1.0]]), X[:0], contraction=Contraction.assumed(0.5))
    for theorem in (STATE_GAP, DRIVE):
        verdict = verify(theorem, one)
        assert verdict.outcome is Outcome.NOT_APPLICABLE
        assert verdict.reason == "nothing was measured"


def test_a_near_miss_is_named_and_refuted():
    wrong = NearMiss(
        name="half of it", formula=lambda lam, k, drive: drive * lam**k / (1 - lam) / 2
    )
    verdict = verify(STATE_GAP, scalar(), near_miss=wrong)
    assert verdict.theorem == "state_gap [half of it]"
    assert verdict.outcome is Outcome.REFUTED
    assert verdict.ratio > 1.5
    assert verify(STATE_GAP, scalar()).outcome is Outcome.HOLDS


def test_a_near_miss_drops_only_its_own_assumption():
    any_start = next(m for m in TRIALS["state_gap"].near_misses if m.name == "any start")
    assert verify(STATE_GAP, scalar(start=[100.0]), near_miss=any_start).outcome is Outcome.REFUTED
    # contraction is still asked for
    both = scalar(0.9, claimed=0.5, start=[100.0])
    verdict = verify(STATE_GAP, both, near_miss=any_start)
    assert verdict.outcome is Outcome.NOT_APPLICABLE
    assert "contractive" in verdict.reason
    assert "zero_start" not in verdict.reason


def test_a_false_factor_is_refuted_where_it_is_dropped():
    without = next(m for m in TRIALS["state_gap"].near_misses if m.name == "without contraction")
    verdict = verify(STATE_GAP, scalar(0.9, claimed=0.5), near_miss=without)
    assert verdict.outcome is Outcome.REFUTED


def test_an_observation_of_its_own():
    missing = NearMiss(name="nothing", observe=lambda run: seen([], lam=0.5, k=0.0, drive=1.0))  # noqa: ARG005
    assert verify(STATE_GAP, scalar(), near_miss=missing).reason == "nothing was measured"


def test_a_published_drive_of_an_unknown_gain_is_no_success():
    """`input_gain` is nan for a function; a near miss that uses it says nothing."""
    published = next(m for m in TRIALS["hidden_state"].near_misses if m.observe is not None)
    one = experiment(
        CallableMap(lambda h, x: 0.5 * h + x, 1, 1), X, contraction=Contraction.assumed(0.5)
    )
    assert verify(HIDDEN_STATE, one).outcome is Outcome.HOLDS
    outcome = verify(HIDDEN_STATE, one, near_miss=published).outcome
    assert outcome not in {Outcome.HOLDS, Outcome.HOLDS_WITHIN_ROUNDING}
