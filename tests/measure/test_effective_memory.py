"""Effective memory: the statistics, the measurement, and what is said about both."""

import json
import math
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from theory import (
    L1,
    L2,
    LSTM,
    CallableMap,
    Contraction,
    Inputs,
    LinearHead,
    LinearMap,
    Linf,
    VanillaRNN,
    WeightedLinf,
    contraction,
    effective_memory,
    required_context,
    truncate,
)
from theory.certify import invariant_domain
from theory.errors import DivergedError
from theory.files.sequences import load_sequences
from theory.measure import truncation_gap_table
from theory.measure.effective_memory import (
    DEFAULT_K_MAX,
    EVENTS,
    EffectiveMemory,
    sequences_needed,
    upper_limit,
)

HALF = LinearMap([[0.5]], [[1.0]])


def tail(N: int, p: Fraction, seen: int) -> Fraction:
    """Return P(Binomial(N, p) <= seen), exactly."""
    return sum((math.comb(N, j) * p**j * (1 - p) ** (N - j) for j in range(seen + 1)), Fraction(0))


# -------------------------------------------------------------------------------------- the limit


@given(st.integers(1, 60), st.data(), st.sampled_from([0.5, 0.9, 0.99]))
def test_the_limit_inverts_the_binomial_exactly(N, data, confidence):
    seen = data.draw(st.integers(0, N - 1))
    limit = float(upper_limit(seen, N, confidence=confidence))
    alpha = 1 - Fraction(confidence)
    shift = Fraction(1, 10**9)
    # the least probability of so few exceedances falls through alpha at the limit
    assert tail(N, Fraction(limit) * (1 - shift), seen) > alpha
    assert tail(N, min(Fraction(1), Fraction(limit) * (1 + shift)), seen) < alpha


def test_limits_of_extreme_observations():
    assert upper_limit(5, 5, confidence=0.9) == 1.0
    # (1 - p)^N = alpha without exceedances
    assert abs(upper_limit(0, 10, confidence=0.95) - (1 - 0.05**0.1)) < 1e-14
    assert (np.diff(upper_limit(np.arange(11), 10, confidence=0.95)) > 0).all()


@given(
    st.sampled_from([0.5, 0.2, 0.1, 0.02, 0.01]),
    st.sampled_from([0.5, 0.9, 0.95, 0.99, 0.999]),
    st.integers(0, 5),
)
def test_how_many_sequences_are_needed(probability, confidence, seen):
    N = sequences_needed(probability, confidence, exceedances=seen)
    alpha = 1 - Fraction(confidence)
    assert tail(N, Fraction(probability), seen) <= alpha * (1 + Fraction(1, 10**9))
    assert tail(N - 1, Fraction(probability), seen) > alpha * (1 - Fraction(1, 10**9))
    if seen == 0:
        formula = math.log(1 - confidence) / math.log(1 - probability)
        assert N in {math.ceil(formula - 1e-9), math.ceil(formula + 1e-9)}


# ---------------------------------------------------------------------------------- the guarantee


def chain(N: int, rng: np.random.Generator, T: int) -> np.ndarray:
    """Return inputs that are zero but for one of size 1, at a geometric distance from the end."""
    X = np.zeros((N, T, 1))
    age = np.minimum(rng.geometric(0.5, N), T) - 1
    X[np.arange(N), T - 1 - age, 0] = 1.0
    return X


def exact_probability(k: int, T: int) -> float:
    """Return P(error at the end > 1/2) of the map h <- h + x: that the one is older than k."""
    return 0.5**k if k < T else 0.0


@pytest.mark.parametrize(("probability", "confidence"), [(0.2, 0.9), (0.24, 0.75)])
def test_the_guarantee_holds_as_often_as_it_says(probability, confidence):
    """The sum of the inputs forgets nothing, so the law of its error is known exactly."""
    summing = LinearMap([[1.0]], [[1.0]])
    T, N, trials = 8, 40, 250
    rng = np.random.default_rng(4)
    wrong = 0
    for _ in range(trials):
        answer = effective_memory(
            summing,
            chain(N, rng, T),
            eps=0.5,
            probability=probability,
            confidence=confidence,
            when="last",
        )
        assert answer.k is not None
        wrong += exact_probability(answer.k, T) > probability
    # with this many trials a rate of 1 - confidence is exceeded so far once in a million runs
    limit = stats.binom.isf(1e-6, trials, 1 - confidence)
    assert wrong <= limit
    # and it is not empty: a wrong answer does occur
    assert wrong > 0


def test_looking_upward_instead_would_break_the_guarantee():
    """The least k that passes by itself, with no regard to longer ones, errs more often."""
    probability, confidence, N, k_max = 0.2, 0.9, 40, 30
    rng = np.random.default_rng(0)
    trials = 2000
    # an error that does not fall with k: each length fails with probability 1/4, by itself
    seen = rng.binomial(N, 0.25, (trials, k_max))
    passes = upper_limit(seen, N, confidence=confidence) <= probability
    naive = passes.any(axis=1).mean()
    ours = passes[:, -1].mean()  # the longest of them has to pass first
    assert naive > 2 * (1 - confidence)
    assert ours <= 1 - confidence + 4 * math.sqrt(0.1 * 0.9 / trials)


def test_errors_that_grow_with_k_are_not_overlooked():
    """h is the last input, and a rotation by a quarter: k = 1 is right, k = 2 is not."""
    quarter = np.array([[0.0, -1.0], [1.0, 0.0]])
    model = LinearMap(quarter, np.eye(2))
    X = np.zeros((100, 6, 2))
    # what is 1 and 2 steps before the end cancels: x_{t-1} seen alone is wrong, both are right
    X[:, -2] = [1.0, 0.0]
    X[:, -3] = -np.linalg.inv(quarter) @ [1.0, 0.0]
    answer = effective_memory(
        model, X, eps=0.5, probability=0.1, confidence=0.9, when="last", k_max=5
    )
    assert (answer.exceedances == [0, 0, 100, 0, 0, 0]).all()
    assert answer.k == 3
    assert (answer.upper[[0, 1]] <= 0.1).all()


def test_the_largest_length_only_matters_where_it_is_short():
    rng = np.random.default_rng(1)
    X = rng.uniform(-1, 1, (100, 12, 1))
    answers = [
        effective_memory(HALF, X, eps=0.05, probability=0.1, confidence=0.9, k_max=k)
        for k in (11, 12, 50)
    ]
    assert {a.k for a in answers} == {answers[0].k}
    assert answers[0].k is not None
    short = effective_memory(
        HALF, X, eps=0.05, probability=0.1, confidence=0.9, k_max=answers[0].k - 1
    )
    assert short.k is None
    assert "no k up to" in str(short)


# -------------------------------------------------------------------------------- the measurement


@pytest.mark.parametrize("norm", [None, L1(), Linf(), WeightedLinf([2.0, 1.0])], ids=str)
@pytest.mark.parametrize("when", EVENTS)
def test_errors_are_those_of_the_gap_table(when, norm):
    rng = np.random.default_rng(3)
    model = VanillaRNN(rng.standard_normal((3, 3)) / 3, rng.standard_normal((3, 2)))
    X = [rng.standard_normal((T, 2)) for T in (1, 2, 7, 40)] * 6
    head = LinearHead(rng.standard_normal((2, 3)))
    for seen in (None, head):
        if seen is None and norm is not None and norm.dim is not None:
            continue
        answer = effective_memory(
            model, X, eps=0.1, probability=0.2, confidence=0.9, when=when, head=seen, norm=norm,
            k_max=9, rng=np.random.default_rng(8),
        )  # fmt: skip
        times = np.random.default_rng(8)
        for i, x in enumerate(X):
            C = np.eye(3) if seen is None else head.C
            end = len(x) if when != "random" else 1 + int(times.integers(len(x)))
            H = model.simulate(x)
            expected = np.zeros(10)
            for k in range(10):
                at = range(k, len(x)) if when == "anywhere" else [end - 1]
                gaps = []
                for t in at:
                    if t < k:
                        continue
                    h = np.zeros(3)
                    for one in x[t + 1 - k : t + 1]:
                        h = model.step(h, one)
                    gaps.append((norm or L2()).vector(C @ (H[t] - h)))
                expected[k] = max(gaps, default=0.0)
            np.testing.assert_allclose(answer.errors[:, i], expected, rtol=0, atol=1e-13)


def test_the_answer_agrees_with_its_table():
    rng = np.random.default_rng(5)
    X = rng.uniform(-1, 1, (300, 30, 1))
    answer = effective_memory(HALF, X, eps=0.02, probability=0.05, confidence=0.95, k_max=20)
    assert answer.k is not None
    assert (answer.upper[answer.k :] <= 0.05).all()
    assert answer.upper[answer.k - 1] > 0.05
    assert (answer.exceedances == (~(answer.errors <= 0.02)).sum(axis=1)).all()
    assert (answer.exceedances[answer.k :] <= answer.allowed).all()
    q = answer.quantiles()
    assert (q[:, -1] == answer.errors.max(axis=1)).all()
    assert (np.diff(q, axis=1) >= 0).all()
    data = json.loads(json.dumps(answer.to_dict()))
    assert data["kind"] == "measured"
    assert data["k"] == answer.k
    assert [row["k"] for row in data["table"]] == list(range(21))
    assert data["table"][3]["exceedances"] == answer.exceedances[3]
    assert "certified" not in data["table"][0]
    assert "measured, not certified" in str(answer)


def test_a_certificate_stands_beside_and_is_above():
    rng = np.random.default_rng(6)
    W = rng.standard_normal((4, 4))
    model = VanillaRNN(0.8 * W / np.linalg.norm(W, 2), rng.standard_normal((4, 2)))
    c = contraction(model, method="spectral")
    X = rng.uniform(-1, 1, (60, 25, 2))
    head = LinearHead(rng.standard_normal((1, 4)))
    for seen in (None, head):
        answer = effective_memory(
            model, X, eps=0.01, probability=0.1, confidence=0.95, certificate=c, head=seen, k_max=60
        )
        assert answer.certified is not None
        # a proof holds for all of them, so it is above the worst of them
        assert (answer.errors <= answer.certified[:, None]).all()
        assert answer.certified_k is not None
        assert answer.k is not None
        assert answer.certified_k >= answer.k
        assert (
            answer.certified[answer.certified_k] <= 0.01 < answer.certified[answer.certified_k - 1]
        )
        assert answer.to_dict()["certificate"]["evidence"]["kind"] == "certified"


def test_what_was_proved_before_is_not_derived_again(monkeypatch):
    """The bounds of a choice: those of its drive, its box, and entry by entry."""
    rng = np.random.default_rng(3)
    model = LSTM(0.1 * rng.standard_normal((8, 2)), 0.3 * rng.standard_normal((8, 2)))
    X = rng.uniform(-0.5, 0.5, (40, 20, 2))
    head = LinearHead(model.output_map)
    asked = {"eps": 0.001, "probability": 0.1, "confidence": 0.95, "norm": Linf(), "k_max": 60}
    choice = required_context(model, 0.001, inputs=Inputs.ball(1.0), head=head, norm=Linf())
    derived = effective_memory(model, X, certificate=choice.contraction, **asked)
    module = sys.modules["theory.measure.effective_memory"]  # the function has the same name
    monkeypatch.setattr(module, "certified_errors", None)
    answer = effective_memory(model, X, certificate=choice, **asked)
    assert answer.certificate is choice.contraction
    assert answer.certified_k == choice.k <= derived.certified_k
    assert np.all(answer.certified <= derived.certified)
    assert np.all(answer.certified >= np.max(answer.errors, axis=1))
    for change, message in (
        ({"norm": L2()}, "needed that of the output that is measured, in L2"),
        ({"head": LinearHead(np.eye(4))}, "another error"),
        ({"sequences": 2 * X}, "some sequences hold other inputs"),
        ({"recurrent": LSTM(model.W, model.U)}, "itself"),
    ):
        with pytest.raises(ValueError, match=message):
            effective_memory(
                **({"recurrent": model, "sequences": X, **asked} | change), certificate=choice
            )


def test_a_proof_of_several_steps_together_is_put_beside_too():
    shear = VanillaRNN([[0.5, 3.0], [0.0, 0.5]], np.eye(2), activation="relu")
    X = np.random.default_rng(0).uniform(-0.5, 0.5, (40, 30, 2))
    found = {"iterate": contraction(shear, method="iterate")}
    choice = required_context(shear, 0.1, inputs=Inputs.ball(1.0), certificates=found)
    assert choice.contraction.iterate > 1
    answer = effective_memory(
        shear, X, eps=0.1, probability=0.1, confidence=0.95, k_max=choice.k, certificate=choice
    )
    assert answer.certified_k == choice.k
    assert np.all(answer.certified >= np.max(answer.errors, axis=1))


def test_a_bound_without_a_lipschitz_constant_uses_the_inputs_themselves():
    model = CallableMap(lambda h, x: 0.5 * h + x, 1, 1)
    X = np.random.default_rng(0).uniform(-1, 1, (30, 10, 1))
    answer = effective_memory(
        model,
        X,
        eps=0.1,
        probability=0.1,
        confidence=0.9,
        certificate=Contraction.assumed(0.5, Linf()),
        norm=Linf(),
    )
    assert answer.certified is not None
    assert (answer.errors <= answer.certified[:, None]).all()
    assert abs(answer.certified[0] - 2 * np.abs(X).max()) < 1e-9


def test_a_bound_on_a_domain_needs_the_inputs_in_it():
    model = VanillaRNN([[0.9]], [[1.0]])
    X = np.random.default_rng(0).uniform(-0.5, 0.5, (30, 40, 1))
    box = invariant_domain(model, inputs=Inputs.box(-0.5, 0.5))
    assert box is not None
    inside = Contraction.assumed(0.9, domain=box)
    answer = effective_memory(
        model, X, eps=0.1, probability=0.1, confidence=0.9, certificate=inside
    )
    assert answer.certified is not None
    assert (answer.errors <= answer.certified[:, None]).all()
    # |h| <= reach < 1 is a better bound than drive / (1 - lam) = 5
    assert answer.certified[0] <= box.reach[0] * (1 + 1e-12)
    outside = effective_memory(
        model, 2 * X, eps=0.1, probability=0.1, confidence=0.9, certificate=inside
    )
    assert outside.certified_k is None
    table = json.loads(json.dumps(outside.to_dict(), allow_nan=False))["table"]
    assert table[0]["certified"] is None


def test_an_lstm_is_seen_through_its_output():
    rng = np.random.default_rng(2)
    model = LSTM(rng.standard_normal((8, 2)), rng.standard_normal((8, 1)))
    X = rng.standard_normal((30, 6, 1))
    answer = effective_memory(model, X, eps=0.1, probability=0.1, confidence=0.9, k_max=6)
    # without any input the truncated model is at 0, and h alone is seen
    H = model.simulate(X)[..., 2:]
    np.testing.assert_allclose(answer.errors[0], np.linalg.norm(H, axis=2).max(axis=1), rtol=1e-13)


def test_progress_may_interrupt():
    seen = []

    def stop(done, total):
        seen.append((done, total))
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        effective_memory(
            HALF, np.ones((30, 4, 1)), eps=0.1, probability=0.1, confidence=0.9, progress=stop
        )
    assert seen == [(1, 30), (2, 30), (3, 30)]


def test_sequences_from_a_file(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", a=rng.standard_normal((20, 5, 1)), b=rng.standard_normal((9, 1)))
    loaded = load_sequences(tmp_path / "x.npz")
    answer = effective_memory(HALF, loaded, eps=0.5, probability=0.2, confidence=0.9)
    assert answer.sequences == 21
    assert answer.lengths == (5, 9)
    assert answer.k_max == DEFAULT_K_MAX


# ---------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sequences": np.ones((20, 5, 1))}, r"received 20 sequences, needed at least 22 for"),
        ({"sequences": np.ones((5, 1))}, r"received 1 sequences"),
        ({"sequences": np.ones((30, 5, 2))}, r"needed \(T, 1\) or \(batch, T, 1\)"),
        ({"sequences": [np.ones((5, 1))] * 30 + [np.ones((5, 2))]}, r"sequences\[30\]"),
        ({"sequences": [np.ones((0, 1))] * 30}, r"T >= 1"),
        ({"sequences": [np.ones((2, 3, 1))] * 30}, r"needed one sequence"),
        ({"eps": 0.0}, "eps"),
        ({"probability": 0.0}, "probability"),
        ({"probability": 1.0}, "probability"),
        ({"confidence": 1.0}, "confidence"),
        ({"when": "sometimes"}, r"needed one of \['anywhere', 'last', 'random'\]"),
        ({"when": "random"}, "rng="),
        ({"k_max": -1}, "k_max"),
        ({"norm": "L2"}, "needed a norm"),
        ({"norm": WeightedLinf([1.0, 1.0])}, r"R\^2"),
        ({"head": LinearHead([[1.0, 2.0]])}, r"needed \(p, 1\)"),
        ({"recurrent": "lstm"}, "needed a Map"),
        ({"certificate": 0.5}, "needed a Contraction"),
        ({"certificate": Contraction.assumed(0.5, iterate=2)}, "2 steps"),
    ],
    ids=lambda x: next(iter(x)) if isinstance(x, dict) else "",
)
def test_malformed_questions(change, message):
    arguments = {
        "recurrent": HALF,
        "sequences": np.ones((30, 5, 1)),
        "eps": 0.1,
        "probability": 0.1,
        "confidence": 0.9,
    }
    with pytest.raises(ValueError, match=message):
        effective_memory(**{**arguments, **change})


def test_too_few_says_how_many_and_that_many_are_enough():
    X = np.zeros((100, 3, 1))
    with pytest.raises(ValueError, match="needed at least 459") as refused:
        effective_memory(HALF, X, eps=0.1)
    assert "collect more independent sequences" in str(refused.value)
    assert effective_memory(HALF, np.zeros((459, 3, 1)), eps=0.1).k == 0
    with pytest.raises(ValueError, match="needed at least 459"):
        effective_memory(HALF, np.zeros((458, 3, 1)), eps=0.1)


def test_divergence_is_not_an_answer():
    with pytest.raises(DivergedError):
        effective_memory(
            LinearMap([[1e200]], [[1.0]]),
            np.ones((30, 5, 1)),
            eps=0.1,
            probability=0.1,
            confidence=0.9,
        )


ASTRAY = VanillaRNN([[1e150, -1e160], [0.0, 1.0]], np.eye(2), activation="relu")


def astray(N=30, T=12):
    """Return inputs under which `ASTRAY` stays finite; restarted without the first, it does not."""
    X = np.zeros((N, T, 2))
    X[:, 1:, 0] = 1.0
    X[:, 0, 1] = 1.0
    return X


@pytest.mark.parametrize("norm", [L2(), L1(), Linf(), WeightedLinf([1.0, 2.0])], ids=str)
@pytest.mark.parametrize("when", EVENTS)
def test_an_error_that_is_no_number_exceeds_every_eps(when, norm):
    """The restarted model is at infinity minus infinity, while the recurrent one is finite."""
    answer = effective_memory(
        ASTRAY, astray(500), eps=0.1, norm=norm, when=when, k_max=10, rng=np.random.default_rng(0)
    )
    assert answer.k is None
    assert not np.isnan(answer.errors).any()
    if when != "random":
        assert (answer.exceedances == 500).all()
        assert answer.out_of_range[5:].tolist() == [500] * 6
    assert "leaves the range of double precision on up to" in str(answer)
    # where the model is looked at alone, it is refused
    with pytest.raises(DivergedError):
        truncate(ASTRAY, 5)(astray(1)[0])


def test_errors_beyond_the_range_are_shown_and_written():
    X = np.concatenate([astray(10), np.zeros((90, 12, 2))])
    answer = effective_memory(ASTRAY, X, eps=0.1, probability=0.2, confidence=0.9, k_max=10)
    assert answer.k == 0  # ten in a hundred are allowed
    assert answer.exceedances.tolist() == [10] * 11
    assert "on up to 10 sequences" in str(answer)
    assert answer.quantiles()[6].tolist() == [0.0, 0.0, math.inf, math.inf]
    table = json.loads(json.dumps(answer.to_dict(), allow_nan=False))["table"]
    assert table[6]["quantiles"] == {"0.5": 0.0, "0.9": 0.0, "0.99": None, "1": None}
    assert [row["out_of_range"] for row in table] == answer.out_of_range.tolist()
    assert "range" not in str(
        effective_memory(HALF, np.ones((30, 5, 1)), eps=0.1, probability=0.1, confidence=0.9)
    )


# ------------------------------------------------------------------------- a k that tests nothing


@pytest.mark.parametrize("rate", [1.0, 1.05, -1.0])
@pytest.mark.parametrize("k_max", [None, 24, 25, 26])
@pytest.mark.parametrize("when", EVENTS)
def test_a_model_that_never_forgets_has_no_effective_memory(rate, k_max, when):
    """With as many inputs as the longest sequence has, the truncated model is the model itself."""
    X = np.random.default_rng(0).uniform(-1, 1, (459, 25, 1))
    model = LinearMap([[rate]], [[1.0]])
    answer = effective_memory(
        model, X, eps=0.1, when=when, k_max=k_max, rng=np.random.default_rng(1)
    )
    assert answer.k is None
    assert answer.longer_suffice is None
    assert (answer.exceedances[25:] == 0).all()
    data = json.loads(json.dumps(answer.to_dict(), allow_nan=False))
    assert data["k"] is None
    assert data["reason"] == answer.reason
    if k_max == 24:
        assert str(answer).startswith("no k up to 24 was found for which the error")
        assert answer.reason.startswith("no k up to 24 is enough: ")
    elif when == "random":
        assert str(answer).startswith("no k below the latest time looked at (t = 25) is enough: ")
    else:
        assert str(answer).startswith("no k below the longest sequence (T = 25) is enough: ")
        assert answer.reason in str(answer)


def test_a_k_below_the_longest_sequence_is_an_answer():
    # the last input but one counts at the last time only, so k = T - 1 is needed and enough
    X = np.zeros((459, 5, 1))
    X[:, 1] = 1.0
    answer = effective_memory(LinearMap([[0.5]], [[1.0]]), X, eps=0.1)
    assert answer.k == 4
    assert answer.reason is None
    assert answer.longest == 5
    assert answer.longer_suffice
    assert "longer" not in str(answer)
    assert "more than k" not in str(answer)
    # one input earlier, and it is none
    early = effective_memory(LinearMap([[0.5]], [[1.0]]), X[:, 1:], eps=0.1)
    assert early.k is None
    assert early.reason.startswith("no k below the longest sequence (T = 4) is enough: 459 exceed")


def test_sequences_that_end_before_k_matters_are_counted():
    rng = np.random.default_rng(0)
    short = list(rng.uniform(-1, 1, (599, 5, 1)))
    forever = LinearMap([[1.0]], [[1.0]])
    answer = effective_memory(forever, [*short, np.ones((40, 1))], eps=0.1, probability=0.02)
    # literally true: of 600 such sequences one exceeds 0.1 at k = 5
    assert answer.k == 5
    assert answer.longer[4:7].tolist() == [600, 1, 1]
    assert answer.exceedances[5] == 1
    assert answer.longer_suffice is False
    needed = sequences_needed(0.02, 0.99, exceedances=1)
    assert (
        f"1 of 600 sequences have more than k inputs, too few to bear the claim by themselves "
        f"({needed} needed)" in str(answer)
    )
    # a model that forgets is told apart: at k = 4 all are longer
    assert "more than k" not in str(effective_memory(HALF, short, eps=0.2, probability=0.02))
    # and so is one that is put to the test by enough of them
    many = [*short[:50], *rng.uniform(-1, 1, (500, 40, 1))]
    half = effective_memory(HALF, many, eps=0.05, probability=0.02)
    assert half.k is not None
    assert half.k >= 5
    assert half.longer_suffice
    assert "500 of 550 sequences have more than k inputs, and are enough" in str(half)
    row = half.to_dict()["table"][half.k]
    assert row["longer"] == 500


def test_what_the_longer_ones_bear_is_the_limit_of_those_alone():
    """The remark and `sequences_needed` say the same, to the last sequence."""
    for tested in (228, 229, 230, 231):
        X = [np.zeros((3, 1))] * (300 - tested) + [np.zeros((9, 1))] * tested
        X = [x.copy() for x in X]
        for x in X:
            x[0] = 1.0
        answer = effective_memory(LinearMap([[0.5]], [[1.0]]), X, eps=0.5**2, probability=0.02)
        # the first input is worth 2**-k: k = 2 is the least that is enough, and all are longer
        assert answer.k == 2
        assert answer.longer_suffice
        later = effective_memory(LinearMap([[0.5]], [[1.0]]), X, eps=0.5**4, probability=0.02)
        assert later.k == 4
        assert later.longer_suffice is (tested >= sequences_needed(0.02, 0.99))


def test_a_proof_holds_for_longer_sequences_than_those_given():
    """The certified k may be beyond them all: it is proved for every length."""
    X = np.random.default_rng(0).uniform(-1, 1, (30, 4, 1))
    model = LinearMap([[0.9]], [[1.0]])
    answer = effective_memory(
        model, X, eps=0.1, probability=0.1, confidence=0.9, certificate=contraction(model)
    )
    assert answer.k is None
    assert answer.certified_k is not None
    assert answer.certified_k >= answer.longest == 4
    long = np.sign(np.random.default_rng(1).uniform(-1, 1, (3, 500, 1)))
    gaps = truncation_gap_table(model, long * np.abs(X).max(), k_max=answer.certified_k)
    assert (gaps[:, answer.certified_k] <= 0.1).all()


def test_gaps_seen_through_an_output_of_any_shape():
    """The table of the whole state is what an identity output sees."""
    rng = np.random.default_rng(9)
    model = VanillaRNN(rng.standard_normal((2, 2)) / 2, rng.standard_normal((2, 1)))
    X = rng.standard_normal((30, 8, 1))
    answer = effective_memory(
        model, X, eps=0.1, probability=0.1, confidence=0.9, head=LinearHead(np.eye(2)), k_max=8
    )
    table = truncation_gap_table(model, X, k_max=8)
    np.testing.assert_array_equal(answer.errors, table.max(axis=2).T)
    assert isinstance(answer, EffectiveMemory)
