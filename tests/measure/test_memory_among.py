"""Few lengths, tested from the longest down: the decisions are those of the whole table."""

import numpy as np
import pytest
from scipy import stats

from theory import (
    GRU,
    LSTM,
    CallableMap,
    Cascade,
    EchoStateNetwork,
    LinearHead,
    LinearMap,
    Linf,
    VanillaRNN,
    WeightedL2,
    contraction,
    effective_memory,
)
from theory.measure import memory_among, truncation_gap_table
from theory.measure.effective_memory import EVENTS
from theory.measure.restarts import Sweep

HALF = LinearMap([[0.5]], [[1.0]])
ASKED = {"probability": 0.1, "confidence": 0.9}


def models(rng):
    n, m = 6, 2

    def of(*shape):
        return rng.standard_normal(shape) / 3

    lstm = LSTM(of(4 * n, n), of(4 * n, m), of(4 * n))
    gru = GRU(of(3 * n, n), of(3 * n, m), of(3 * n), of(n))
    early = GRU(of(3 * n, n), of(3 * n, n), variant="reset_before")
    plain = VanillaRNN(of(n, n), of(n, m), of(n))
    leaky = EchoStateNetwork(of(n, n), of(n, n), leak=0.5, activation="relu")
    wide = VanillaRNN(of(40, 40) / 3, of(40, m))
    return [lstm, gru, plain, wide, Cascade([lstm, early, leaky], [None, of(n, n)])]


@pytest.mark.parametrize("number", range(5))
def test_errors_are_those_of_the_plain_sweep(number):
    """Restarts that have met the model leave, and what they would have measured is known."""
    rng = np.random.default_rng(number)
    model = models(rng)[number]
    X = list(rng.standard_normal((30, 150, 2)))
    X[3], X[4] = X[3][:1], X[4][:37]
    answer = effective_memory(model, X, eps=0.01, k_max=160, head=np.eye(model.state_dim), **ASKED)
    for i, x in enumerate(X):
        table = truncation_gap_table(model, x, k_max=160)
        np.testing.assert_allclose(answer.errors[:, i], table.max(axis=1), rtol=0, atol=2e-14)
    # and in single precision all is the same up to its rounding, and the decisions are equal
    single = effective_memory(
        model, X, eps=0.01, k_max=160, head=np.eye(model.state_dim), dtype="float32", **ASKED
    )
    np.testing.assert_allclose(single.errors, answer.errors, rtol=0, atol=2e-5)
    assert (single.exceedances == answer.exceedances).all()
    assert single.k == answer.k


@pytest.mark.parametrize("norm", [None, WeightedL2(np.eye(2))], ids=["fused", "rows"])
@pytest.mark.parametrize("small", [2.0**-40, 2.0**-80])
def test_a_model_that_wakes_up_is_not_taken_to_have_forgotten(norm, small):
    """A difference that is small but no rounding error grows again: such a restart stays."""
    model = LinearMap([[0.5, 0.0], [0.0, 2.0]], np.eye(2))
    X = np.zeros((30, 120, 2))
    X[:, 0] = [1.0, small]
    answer = effective_memory(model, X, eps=1.0, k_max=119, norm=norm, **ASKED)
    assert answer.k is None
    assert (answer.exceedances[1:119] == 30).all()


def test_a_latch_that_opens_late_is_followed():
    """Near its unstable state a unit keeps a tiny difference, which the last inputs blow up."""
    model = VanillaRNN(np.diag([2.0] + 39 * [0.1]), np.eye(40))
    X = np.zeros((30, 80, 40))
    X[:, 0, 0] = 1e-17
    answer = effective_memory(model, X, eps=0.1, k_max=79, **ASKED)
    assert answer.k is None
    assert answer.exceedances[70] == 30


def test_decisions_near_eps_are_those_of_double_precision():
    rng = np.random.default_rng(0)
    model = LSTM(rng.standard_normal((32, 8)) / 2, rng.standard_normal((32, 3)))
    X = rng.standard_normal((60, 40, 3))
    double = effective_memory(model, X, eps=0.1, k_max=30, **ASKED)
    for eps in (float(np.median(double.errors[6])), float(double.errors[8].max())):
        a = effective_memory(model, X, eps=eps, k_max=30, **ASKED)
        b = effective_memory(model, X, eps=eps, k_max=30, dtype="float32", **ASKED)
        assert (a.exceedances == b.exceedances).all()


@pytest.mark.parametrize("when", EVENTS)
@pytest.mark.parametrize("number", range(5))
def test_what_passes_is_what_passes_in_the_table(number, when):
    rng = np.random.default_rng(number)
    model = models(rng)[number]
    X = list(rng.standard_normal((40, 50, 2)))
    X[3] = X[3][:10]
    lengths = [40, 33, 20, 11, 5, 2, 0]
    for eps in (0.5, 0.02, 1e-5):
        asked = {**ASKED, "eps": eps, "when": when}
        few = memory_among(model, X, lengths=lengths, rng=np.random.default_rng(1), **asked)
        every = effective_memory(model, X, k_max=49, rng=np.random.default_rng(1), **asked)
        good = [k for k in lengths if every.upper[k] <= 0.1]
        failing = [k for k in lengths if not every.upper[k] <= 0.1]
        assert few.failed == (failing[0] if failing else None)
        assert few.passed == tuple(k for k in good if not failing or k > failing[0])
        for k, count in zip(few.passed, few.exceedances, strict=False):
            assert count == every.exceedances[k]
        assert few.k == (few.passed[-1] if few.passed else None)
        assert few.allowed == every.allowed


def test_a_certificate_changes_no_decision_and_saves_steps(monkeypatch):
    rng = np.random.default_rng(2)
    W = rng.standard_normal((40, 40))
    model = VanillaRNN(0.9 * W / np.linalg.norm(W, 2), rng.standard_normal((40, 2)))
    X, head = rng.standard_normal((40, 80, 2)), LinearHead(rng.standard_normal((1, 40)) / 6)
    asked = {"lengths": [70, 40, 20, 10, 5], "eps": 0.05, "head": head, **ASKED}
    rows = []
    advanced = Sweep._advanced

    def counted(self, G, source, at):
        rows.append(len(at))
        return advanced(self, G, source, at)

    monkeypatch.setattr(Sweep, "_advanced", counted)
    plain = memory_among(model, X, **asked)
    without, rows[:] = sum(rows), []
    certified = memory_among(model, X, certificate=contraction(model), **asked)
    assert certified.to_dict() == plain.to_dict()
    assert sum(rows) < 0.7 * without


def test_a_model_that_never_forgets_is_told_after_a_few_sequences():
    seen = []
    X = np.random.default_rng(0).uniform(-1, 1, (4000, 100, 3))
    keeps = LSTM(np.zeros((4, 1)), [[1.0, 0, 0], [0.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]],
                 [0.0, 30.0, 0.0, 0.0])  # fmt: skip
    answer = memory_among(
        keeps, X, lengths=[90, 50], eps=0.05, progress=lambda *done: seen.append(done)
    )
    assert answer.k is None
    assert answer.failed == 90
    assert answer.exceedances[0] > answer.allowed
    assert answer.looked < 4000
    assert seen == [(answer.looked, 4000)]
    assert "k = 90 fails" in str(answer)
    assert "none passed" in str(answer)


def test_the_guarantee_holds_for_any_spacing():
    """The sum of the inputs forgets nothing, so the law of its error is known exactly."""
    summing, T, N, trials = LinearMap([[1.0]], [[1.0]]), 8, 40, 80
    rng = np.random.default_rng(4)
    wrong = 0
    for _ in range(trials):
        X = np.zeros((N, T, 1))
        age = np.minimum(rng.geometric(0.5, N), T) - 1
        X[np.arange(N), T - 1 - age, 0] = 1.0
        answer = memory_among(
            summing, X, lengths=[7, 4, 2, 1], eps=0.5, probability=0.2, confidence=0.9, when="last"
        )
        wrong += any(0.5**k > 0.2 for k in answer.passed)
    assert wrong <= stats.binom.isf(1e-6, trials, 0.1)
    assert wrong > 0


def test_a_length_that_no_sequence_puts_to_the_test_is_no_answer():
    X = np.random.default_rng(0).uniform(-1, 1, (30, 5, 1))
    forever = LinearMap([[1.0]], [[1.0]])
    answer = memory_among(forever, X, lengths=[9, 5], eps=0.1, **ASKED)
    assert answer.k is None
    assert answer.passed == (9, 5)
    assert "no length that passed is shorter" in str(answer)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lengths": []}, "lengths is empty"),
        ({"lengths": [3, -1]}, "lengths"),
        ({"dtype": "float16"}, "needed one of: float64, float32"),
        ({"when": "random"}, "rng="),
        ({"sequences": np.ones((20, 5, 1))}, "needed at least 22"),
        (
            {"recurrent": CallableMap(lambda h, x: h + x, 1, 1), "dtype": "float32"},
            "is not known for",
        ),
        ({"certificate": 0.5}, "needed a Contraction"),
        ({"norm": "L2"}, "needed a norm"),
    ],
)
def test_malformed_questions(change, message):
    asked = {"recurrent": HALF, "sequences": np.ones((30, 5, 1)), "lengths": [3], "eps": 0.1}
    with pytest.raises(ValueError, match=message):
        memory_among(**{**asked, **ASKED, **change})


def test_the_norm_of_the_answer():
    X = np.random.default_rng(0).uniform(-1, 1, (30, 9, 1))
    answer = memory_among(HALF, X, lengths=[6, 5, 4], eps=0.1, norm=Linf(), **ASKED)
    assert answer.to_dict()["error"] == "Linf"
