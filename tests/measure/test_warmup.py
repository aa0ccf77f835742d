"""Warm-up, resets, the best constant start, and drift."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import stats

from theory import GRU, CallableMap, LinearMap, VanillaRNN, effective_memory, truncate
from theory.files.stored import open_sequences
from theory.measure import best_start, drift, pieces, reset, warmup

HALF = LinearMap([[0.5]], [[1.0]])
ASKED = {"probability": 0.1, "confidence": 0.9}


def gru(seed, n=5, m=2):
    rng = np.random.default_rng(seed)
    return GRU(rng.normal(size=(3 * n, n)) / 2, rng.normal(size=(3 * n, m)), rng.normal(size=3 * n))


@pytest.mark.parametrize("seed", range(3))
def test_after_a_warm_up_nothing_is_off_any_more(seed):
    model = gru(seed)
    X = list(np.random.default_rng(seed).standard_normal((40, 60, 2)))
    X[2] = X[2][:4]
    table = effective_memory(model, X, eps=0.02, k_max=50, **ASKED)
    found = warmup(model, X, eps=0.02, k_max=50, **ASKED)
    over = table.errors > 0.02
    for i, settled in enumerate(found.settled):
        assert not over[settled:, i].any()
        assert settled == 0 or over[settled - 1, i]
    assert found.k is not None
    assert np.count_nonzero(~(found.settled <= found.k)) <= found.allowed
    assert np.count_nonzero(~(found.settled < found.k)) > found.allowed
    assert found.k >= table.k
    assert found.errors == pytest.approx(table.errors, rel=1e-12, abs=1e-13)
    # the shares are those of all times
    for k in (0, 3, 9):
        off = [
            np.linalg.norm(model.simulate(x)[k:] - truncate(model, k)(x)[k:], axis=1) > 0.02
            for x in X
        ]
        assert found.off[k] == pytest.approx(np.mean(np.concatenate(off)))
    assert found.longer == 39
    json.dumps(found.to_dict(), allow_nan=False)
    assert str(found).startswith(f"warm-up of {found.k} inputs")


def test_a_warm_up_in_single_precision():
    model = gru(1)
    X = list(np.random.default_rng(1).standard_normal((40, 60, 2)))
    double = reset(model, X, eps=0.02, periods=[20], k_max=50, **ASKED)
    single = reset(model, X, eps=0.02, periods=[20], k_max=50, dtype="float32", **ASKED)
    assert single.warmup.k == double.warmup.k
    assert single.lost == pytest.approx(double.lost, abs=0.01)
    assert single.warmup.errors == pytest.approx(double.warmup.errors, abs=1e-5)
    assert not np.array_equal(single.warmup.errors, double.warmup.errors)
    with pytest.raises(ValueError, match="dtype='half', needed one of: float64, float32"):
        warmup(model, X, eps=0.02, dtype="half", **ASKED)


def test_shares_are_of_all_restarts_also_of_those_that_have_met_the_model():
    # without inputs restarts are the model at once; those of the other half take their time
    X = list(
        np.random.default_rng(2).uniform(-1, 1, (600, 40, 1))
        * np.repeat([0, 1], 300)[:, None, None]
    )
    double, single = (warmup(HALF, X, eps=0.02, dtype=t, **ASKED) for t in ("float64", "float32"))
    assert 0.1 < double.off[3] < 0.5
    assert single.off == pytest.approx(double.off, abs=1e-3)


def test_the_guarantee_of_a_warm_up_holds_as_often_as_it_says():
    """The sum of inputs that are all zero but the one at the start: S is its age, known exactly."""
    summing, T, N, trials = LinearMap([[1.0]], [[1.0]]), 9, 40, 60
    rng, wrong = np.random.default_rng(1), 0
    for _ in range(trials):
        X = np.zeros((N, T, 1))
        age = np.minimum(rng.geometric(0.5, N), T) - 1
        X[np.arange(N), T - 1 - age, 0] = 1.0
        found = warmup(summing, X, eps=0.5, probability=0.2, confidence=0.9)
        # P(S > k) = P(age > k - 1) = 2**-k
        wrong += found.k is not None and 0.5**found.k > 0.2
    assert wrong <= stats.binom.isf(1e-6, trials, 0.1)


def test_a_model_that_never_settles_has_no_warm_up():
    X = np.random.default_rng(0).uniform(-1, 1, (40, 12, 1))
    found = warmup(LinearMap([[1.0]], [[1.0]]), X, eps=0.01, **ASKED)
    assert found.k is None
    assert "no warm-up up to 256" in str(found)
    answer = reset(LinearMap([[1.0]], [[1.0]]), X, eps=0.01, periods=[3], **ASKED)
    assert answer.two_copies is None
    assert "no period is known" in str(answer)


def test_resets_as_they_would_be_deployed():
    """One copy set to zero every P inputs, two copies half a period apart: run, and compare."""
    model = gru(7)
    X = np.random.default_rng(7).standard_normal((40, 120, 2))
    answer = reset(model, X, eps=0.05, periods=[10, 40], k_max=100, **ASKED)
    H = model.simulate(X)
    for P, lost in zip(answer.periods, answer.lost, strict=True):
        off = []
        for phase in range(P):  # resets after inputs phase, phase + P, ...
            for a in range(phase, 120 - P + 1, P):
                own = model.simulate(X[:, a : a + P])
                if a:
                    off.append(np.linalg.norm(own - H[:, a : a + P], axis=2) > 0.05)
        assert lost == pytest.approx(np.mean(np.concatenate(off, axis=1)), abs=0.03)
    P = answer.two_copies
    assert answer.warmup.k * 2 == P
    worst = 0.0
    for t in range(P, 120):
        a = t - P // 2 - (t % (P // 2))  # the older copy began there
        own = model.simulate(X[:, a : t + 1])[:, -1]
        worst = max(worst, float(np.linalg.norm(own - H[:, t], axis=1).max()))
    assert worst <= 0.05 or np.count_nonzero(~(answer.warmup.settled <= answer.warmup.k))
    assert "two copies, each reset" in str(answer)
    json.dumps(answer.to_dict(), allow_nan=False)


def test_periods_that_were_not_looked_at_are_refused():
    X = np.random.default_rng(0).uniform(-1, 1, (40, 12, 1))
    with pytest.raises(ValueError, match="needed at most 11"):
        reset(HALF, X, eps=0.1, periods=[12], **ASKED)
    with pytest.raises(ValueError, match="periods"):
        reset(HALF, X, eps=0.1, periods=[0], **ASKED)
    assert reset(HALF, X, eps=0.1, **ASKED).periods == (4, 8)


# -------------------------------------------------------------------------------- the best start


def test_the_best_start_of_a_linear_map_is_the_middle():
    """h_t - h_t^k = lam^k (h - c): the centre of the visited states is best, for every k."""
    X = 2.0 + np.random.default_rng(0).uniform(-1, 1, (40, 30, 1))
    found = best_start(HALF, X, k=2)
    H = HALF.simulate(X[:20])[:, :-2]
    middle = 0.5 * (H.min() + H.max())
    assert found.state[0] == pytest.approx(middle, abs=0.02)
    assert found.found_on[1] == pytest.approx(0.25 * 0.5 * (H.max() - H.min()), rel=0.02)
    assert found.held_out[1] < found.held_out[0]
    again = warmup(HALF, X, eps=0.4, start=found.state, **ASKED)
    assert again.k < warmup(HALF, X, eps=0.4, **ASKED).k


@pytest.mark.parametrize("seed", range(3))
def test_a_start_is_never_worse_than_zero_where_it_was_sought(seed):
    model = gru(seed)
    X = np.random.default_rng(seed).standard_normal((10, 40, 2))
    found = best_start(model, X, k=3, head=[[1.0, 0, 0, 0, 0]])
    assert found.found_on[1] <= found.found_on[0]
    H, k = model.simulate(X[:5]), 3
    d = truncate(model, k, restart=found.state)(X[:5])[:, k:, 0] - H[:, k:, 0]
    assert np.abs(d).max() == pytest.approx(found.found_on[1], rel=1e-9)
    json.dumps(found.to_dict(), allow_nan=False)
    assert "that were not used" in str(found)


def test_a_start_needs_sequences_to_be_judged_on():
    with pytest.raises(ValueError, match="needed two at least"):
        best_start(HALF, np.ones((3, 4, 1)), k=4)


# ---------------------------------------------------------------------------------------- drift


def test_drift_is_told_from_none():
    rng = np.random.default_rng(0)
    X = rng.uniform(-0.8, 1, (60, 200, 1))
    walk = drift(LinearMap([[1.0]], [[1.0]]), X, length=20)
    assert walk.drifts
    assert walk.ratio > 1
    assert walk.outside[0] > 0
    assert "states drift" in str(walk)
    still = drift(VanillaRNN([[0.5]], [[1.0]]), X, length=20)
    assert not still.drifts
    assert "no drift is seen" in str(still)
    json.dumps(still.to_dict(), allow_nan=False)


def test_no_drift_is_called_one_as_rarely_as_it_says():
    rng, called, trials = np.random.default_rng(3), 0, 150
    for _ in range(trials):
        X = rng.standard_normal((28, 12, 1))
        called += drift(LinearMap([[0.1]], [[1.0]]), X, length=4, factor=3).drifts
    assert called <= stats.binom.isf(1e-6, trials, 0.01)


def test_drift_needs_long_sequences():
    with pytest.raises(ValueError, match="needed at least 28 with 100 inputs"):
        drift(HALF, np.ones((30, 50, 1)), length=10)


def test_what_a_restart_does_beyond_the_longest_length_is_not_claimed():
    """A latch that is set at once, and is seen thirty inputs later."""
    # F = what has been, M = 1 if b came before a, y = M c: as a map of sums and rectifiers
    rng = np.random.default_rng(0)
    T, N = 60, 30
    X = np.zeros((N, T, 3))
    X[:, 5, 0], X[:, 10, 1] = 1.0, 1.0
    X[np.arange(N), rng.integers(40, 55, N), 2] = 1.0

    def step(H, x):
        F = np.maximum(H[..., 0], x[..., 0])
        M = np.maximum(H[..., 1], x[..., 1] * (1 - F))
        return np.stack([F, M, M * x[..., 2]], -1)

    latch = CallableMap(step, 3, 3)
    asked = {"eps": 0.1, "probability": 0.2, "confidence": 0.9, "head": [[0.0, 0.0, 1.0]]}
    short = warmup(latch, X, **asked, k_max=24)
    assert short.k == 0
    assert not short.to_the_end
    assert "up to 24 inputs after it" in str(short)
    whole = warmup(latch, X, **asked, k_max=T)
    assert whole.to_the_end
    assert whole.k is None or whole.k > 24
    assert "inputs after it" not in str(whole)


def test_two_copies_are_followed_for_their_period():
    X = np.random.default_rng(0).uniform(-1, 1, (459, 60, 1))
    cell = LinearMap([[0.8]], [[1.0]])
    answer = reset(cell, X, eps=0.1, k_max=16, periods=[4])
    assert answer.warmup.k is None or 2 * answer.warmup.k > 16
    assert answer.two_copies is None


def test_sequences_on_disk_are_read_piece_by_piece(tmp_path, monkeypatch):
    """And by several workers: the answer does not depend on who reads them."""
    model = gru(3)
    X = np.random.default_rng(3).standard_normal((60, 25, 2))
    np.save(tmp_path / "x.npy", X)
    monkeypatch.setattr(pieces, "_SEQUENCES", 7)
    asked = {"eps": 0.02, "k_max": 20, **ASKED}
    told = []
    with ThreadPoolExecutor(2) as pool:
        found = [
            warmup(model, X, **asked, progress=lambda *now: told.append(now)),
            warmup(model, open_sequences(tmp_path / "x.npy"), **asked),
            warmup(model, open_sequences(tmp_path / "x.npy"), **asked, executor=pool),
            reset(model, open_sequences(tmp_path / "x.npy"), **asked, executor=pool).warmup,
        ]
    assert len({(a.k, tuple(a.settled), tuple(a.off), tuple(a.lengths)) for a in found}) == 1
    assert told[-1] == (60, 60)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    with pytest.raises(ValueError, match="start has shape"):
        warmup(model, X, start=np.zeros(3), **asked)
    tests = [drift(model, given, length=2) for given in (X, open_sequences(tmp_path / "x.npy"))]
    assert tests[0].to_dict() == tests[1].to_dict()
