"""Memory of what can only be called: distances, checks of the callable, one long recording."""

import json

import numpy as np
import pytest
from scipy import stats

from theory import LSTM, LinearHead, Linf
from theory.measure import DISTANCES, memory_among, memory_of, memory_of_recording
from theory.measure.effective_memory import EVENTS

ASKED = {"probability": 0.1, "confidence": 0.9}
RNG = np.random.default_rng(0)
MODEL = LSTM(0.2 * RNG.standard_normal((16, 4)), 0.5 * RNG.standard_normal((16, 2)))
HEAD = LinearHead(RNG.standard_normal((3, 8)))
X = np.random.default_rng(1).standard_normal((40, 30, 2))
LENGTHS = [25, 16, 9, 5, 2, 1]


def alone(x):
    return HEAD(MODEL.simulate(np.asarray(x)))


def softmax(x):
    y = np.exp(alone(x))
    return y / y.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("when", EVENTS)
def test_a_map_that_is_only_called_is_measured_as_one_that_is_known(when, batched):
    asked = {"lengths": LENGTHS, "when": when, **ASKED}
    for eps in (1.0, 0.05):
        known = memory_among(
            MODEL, X, head=HEAD, norm=Linf(), eps=eps, rng=np.random.default_rng(3), **asked
        )
        called = memory_of(
            alone, X, eps=eps, batched=batched, rng=np.random.default_rng(3), **asked
        )
        assert (called.k, called.passed, called.failed) == (known.k, known.passed, known.failed)
        assert called.exceedances[:-1] == known.exceedances[:-1]


def test_one_output_a_sequence():
    last = memory_of(lambda x: alone(x)[-1], X, lengths=LENGTHS, eps=0.05, when="last", **ASKED)
    every = memory_of(alone, X, lengths=LENGTHS, eps=0.05, when="last", **ASKED)
    assert last.to_dict() == every.to_dict()
    with pytest.raises(ValueError, match='ask with when="last"'):
        memory_of(lambda x: alone(x)[-1], X, lengths=LENGTHS, eps=0.05, **ASKED)


def test_distances_are_their_definitions():
    y, z = np.array([[0.2, 0.8], [0.6, 0.4]]), np.array([[0.5, 0.5], [0.3, 0.7]])
    assert DISTANCES["absolute"](y, z) == pytest.approx(0.3)
    assert DISTANCES["total_variation"](y, z) == pytest.approx(0.3)
    assert DISTANCES["flips"](y, z) == 1.0  # at a tie the first is the largest
    assert DISTANCES["decibel"](y, y + 0.1 * y) == pytest.approx(-20.0)
    assert DISTANCES["decibel"](y, y) == -np.inf
    assert DISTANCES["nash_sutcliffe"](y, np.tile(y.mean(axis=0), (2, 1))) == pytest.approx(1.0)
    assert DISTANCES["nash_sutcliffe"](y, y) == 0.0
    for name, message in (("total_variation", "probabilities"), ("flips", "one output")):
        with pytest.raises(ValueError, match=message):
            DISTANCES[name](3 * y[:, :1], z[:, :1])


def test_every_distance_has_an_answer():
    for name in DISTANCES:
        eps = -20.0 if name == "decibel" else 0.05
        found = memory_of(softmax, X, lengths=LENGTHS, eps=eps, distance=name, **ASKED)
        assert found.k is not None
        assert found.error == name
        json.dumps(found.to_dict(), allow_nan=False)
        assert name in str(found)

    def worst_square(y, z):
        return np.max((y - z) ** 2)

    own = memory_of(alone, X, lengths=LENGTHS, eps=0.05**2, distance=worst_square, **ASKED)
    ready = memory_of(alone, X, lengths=LENGTHS, eps=0.05, **ASKED)
    assert own.passed == ready.passed
    assert own.error == "worst_square"


# ------------------------------------------------------------------------- what is no function


class Carrying:
    """A model whose state is never reset."""

    def __init__(self, rate):
        self.rate, self.h = rate, 0.0

    def __call__(self, x):
        found = []
        for one in x:
            self.h = self.rate * self.h + one[0]
            found.append(self.h)
        return np.array(found)


def test_what_keeps_state_is_random_or_sees_the_batch_is_named():
    noise = np.random.default_rng(0)

    def normalised(batch):
        y = alone(batch)
        return y - y.mean(axis=0) if len(batch) > 1 else y

    def ahead(x):
        return np.cumsum(x[::-1, 0])[::-1]

    asked = {"lengths": [4, 2], "eps": 0.1, **ASKED}
    for predict, more, message in (
        (Carrying(0.9), {}, "keeps state between calls: the same sequence changed"),
        (Carrying(1.0), {}, "is random, or keeps state"),
        (lambda x: alone(x) + noise.normal(size=(len(x), 1)), {}, "is random, or keeps state"),
        (normalised, {"batched": True}, "changes its answer with the batch"),
        (ahead, {}, "looks ahead"),
        (lambda x: alone(x) * np.nan, {}, "not finite"),
        (lambda _: "no", {}, "needed an array of real numbers"),
        (lambda x: alone(x)[0], {"batched": True}, "for a batch of shape"),
        (3, {}, "needed a function of a sequence"),
    ):
        with pytest.raises(ValueError, match=message):
            memory_of(predict, X, **asked, **more)
    # a bidirectional model has a memory at its last time
    assert memory_of(ahead, X, when="last", **asked).k is not None


def test_a_state_that_only_another_sequence_moves_is_found():
    seen = {}

    def cached(x):
        old = seen.setdefault("x", x)
        offset = 0.0 if np.array_equal(old, x) or seen.get("off") else 1.0
        if not np.array_equal(old, x):
            seen["off"] = 0.0
            seen["x"] = x
        return alone(x) + offset

    with pytest.raises(ValueError, match="after it had seen another one"):
        memory_of(cached, X, lengths=[4], eps=0.1, **ASKED)


def test_the_guarantee_holds_for_a_flip():
    """The output is the sign of the only input that is not zero, however old."""

    def sign(x):
        s = np.sign(np.cumsum(x[:, 0]))
        return np.stack([s > 0, s <= 0], axis=1).astype(float)

    rng, wrong, trials, N, T = np.random.default_rng(0), 0, 40, 40, 8
    for _ in range(trials):
        x = np.zeros((N, T, 1))
        age = np.minimum(rng.geometric(0.5, N), T) - 1
        x[np.arange(N), T - 1 - age, 0] = 1.0
        found = memory_of(
            sign, x, lengths=[6, 4, 2, 1], eps=0.0, distance="flips", when="last",
            probability=0.2, confidence=0.9,
        )  # fmt: skip
        wrong += any(0.5**k > 0.2 for k in found.passed)
    assert wrong <= stats.binom.isf(1e-6, trials, 0.1)


# ------------------------------------------------------------------------------- one recording


def test_one_recording_has_no_guarantee_without_an_assumption():
    recording = np.random.default_rng(2).standard_normal((400, 2))
    seen = memory_of_recording(alone, recording, lengths=LENGTHS, eps=0.05, stride=7)
    assert seen.k is None
    assert "not independent" in seen.reason
    assert seen.to_dict()["kind"] == "measured"
    H = alone(recording)
    t = seen.times[3]
    short = alone(recording[t - 9 : t])[-1]
    assert seen.errors[LENGTHS.index(9), 3] == pytest.approx(np.abs(H[t - 1] - short).max())
    assert (np.diff(seen.quantiles()[:, 1]) >= 0).all()
    assert "no k: pieces" in str(seen)


def test_one_recording_with_an_assumption():
    recording = np.random.default_rng(2).standard_normal((900, 2))
    asked = {"lengths": LENGTHS, "eps": 0.05, "gap": 20, **ASKED}
    found = memory_of_recording(alone, recording, beta=0.0, **asked)
    assert found.k is not None
    assert found.to_dict()["kind"] == "assumed"
    assert "assumed" in str(found)
    # the mixing coefficient takes from the confidence: the answer never gets better
    weak = memory_of_recording(alone, recording, beta=1e-3, **asked)
    assert weak.k is None or weak.k >= found.k
    none = memory_of_recording(alone, recording, beta=0.01, **asked)
    assert none.k is None
    assert "leave no confidence" in none.reason
    few = memory_of_recording(alone, recording[:200], beta=0.0, **asked)
    assert "are too few" in few.reason


def test_halves_that_disagree_are_shown():
    """A sensor that is silent in the first half: nothing is forgotten there, as nothing is seen."""
    x = np.random.default_rng(0).uniform(0.5, 1, (200, 1))
    x[:100] = 0.0
    seen = memory_of_recording(lambda x: np.cumsum(x[:, 0]), x, lengths=[5], eps=0.1)
    first, second = seen.halves()[0]
    assert first < 0.1
    assert second > 0.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lengths": []}, "lengths is empty"),
        ({"lengths": [0]}, "lengths"),
        ({"eps": np.nan}, "eps"),
        ({"distance": "cosine"}, "needed one of: absolute"),
        ({"distance": lambda y, z: y - z}, "needed one number"),
        ({"when": "often"}, "needed one of"),
        ({"when": "random"}, "rng="),
        ({"when": "last", "distance": "nash_sutcliffe"}, "whole series"),
        ({"sequences": X[:3]}, "memory_of_recording"),
        ({"sequences": [*X, np.ones((3, 1))]}, "widths"),
    ],
)
def test_malformed_questions(change, message):
    asked = {"predict": alone, "sequences": X, "lengths": [3], "eps": 0.1, **ASKED}
    with pytest.raises(ValueError, match=message):
        memory_of(**{**asked, **change})


def test_malformed_questions_of_a_recording():
    x = X[0]
    for change, message in (
        ({"gap": 3}, "only one of gap and beta"),
        ({"lengths": [40]}, "the recording has 30 inputs"),
        ({"predict": lambda x: alone(x)[-1]}, "needed outputs at every time"),
        ({"distance": "nash_sutcliffe"}, "single times"),
    ):
        asked = {"predict": alone, "recording": x, "lengths": [5], "eps": 0.1}
        with pytest.raises(ValueError, match=message):
            memory_of_recording(**{**asked, **change})
