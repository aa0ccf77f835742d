"""A metric against k: the definition, the confidence statement, and the costs."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import stats

from theory import GRU, LinearHead, LinearMap, truncate
from theory.measure import METRICS, metric_against_k

RNG = np.random.default_rng(0)
MODEL = GRU(0.3 * RNG.standard_normal((12, 4)), RNG.standard_normal((12, 2)))
HEAD = LinearHead(RNG.standard_normal((3, 4)))
X = np.random.default_rng(1).standard_normal((40, 30, 2))
KS = [20, 10, 5, 2, 1]


def labelled():
    return [(x, HEAD(MODEL.simulate(x)).argmax(axis=1)) for x in X]


def test_losses_are_those_of_the_k_step_model():
    data = labelled()
    found = metric_against_k(MODEL, data, metric="error_rate", ks=KS, head=HEAD, tolerance=0.02)
    for j, k in enumerate(KS):
        for i, (x, y) in enumerate(data):
            wrong = truncate(MODEL, k, head=HEAD)(x).argmax(axis=1) != y
            assert found.losses[j, i] == np.mean(wrong)
    assert (found.full == 0).all()
    limits = stats.t.ppf(0.95, 39) * found.losses.std(axis=1, ddof=1) / np.sqrt(40)
    np.testing.assert_allclose(found.upper, found.losses.mean(axis=1) + limits)
    good = [k for k, u in zip(KS, found.upper, strict=True) if u <= 0.02]
    assert found.k == good[-1]
    json.dumps(found.to_dict(), allow_nan=False)
    assert f"k = {found.k} costs at most 0.02" in str(found)
    # the same model, only called
    called = metric_against_k(
        lambda x: HEAD(MODEL.simulate(x)), data, metric="error_rate", ks=KS, tolerance=0.02
    )
    np.testing.assert_allclose(called.losses, found.losses)
    assert called.k == found.k
    assert called.costs[0].operations is None


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_has_an_answer(name):
    data = labelled()
    if name in {"mse", "mae"}:
        data = [(x, HEAD(MODEL.simulate(x))) for x, _ in data]
    every = metric_against_k(MODEL, data, metric=name, ks=KS, head=HEAD, tolerance=0.5)
    assert every.k is not None
    last = [(x, y[-1]) for x, y in data]
    at_end = metric_against_k(MODEL, last, metric=name, ks=KS, head=HEAD, tolerance=0.5)
    assert at_end.losses.shape == every.losses.shape


def test_metrics_are_their_definitions():
    logits, y = np.array([[0.0, 2.0], [1.0, 0.0]]), np.array([1, 1])
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert METRICS["cross_entropy"](logits, y) == pytest.approx(-np.log(p[[0, 1], y]).mean())
    assert METRICS["error_rate"](logits, y) == 0.5
    one = (logits[:, 1] - logits[:, 0])[:, None]
    assert METRICS["cross_entropy"](one, y) == METRICS["cross_entropy"](logits, y)
    assert METRICS["error_rate"](one, y) == 0.5
    assert METRICS["mse"](logits, logits + 2.0) == 4.0
    assert METRICS["mae"](one, np.float64(one[-1, 0] + 3.0)) == pytest.approx(3.0)


def test_the_limits_hold_as_often_as_they_say():
    """A length that is wrong by more than the tolerance passes in one of twenty runs at most."""
    rng, trials, N = np.random.default_rng(5), 60, 60
    summing = LinearMap([[1.0]], [[1.0]])
    wrong = {None: 0, (0.0, 1.0): 0}

    def last_is_off(Y, y):
        return float(abs(Y[-1, 0] - y) > 0.5)

    for _ in range(trials):
        x = np.zeros((N, 5, 1))
        x[rng.random(N) < 0.3, 0] = 1.0  # so that k = 4 loses 0.3 in the mean
        data = [(one, one.sum()) for one in x]
        for span in wrong:
            found = metric_against_k(
                summing, data, metric=last_is_off, ks=[4], tolerance=0.29, span=span
            )
            wrong[span] += found.k is not None
    assert wrong[None] <= stats.binom.isf(1e-4, trials, 0.07)
    assert wrong[0.0, 1.0] <= stats.binom.isf(1e-6, trials, 0.05)


def test_the_exact_limit_is_above_the_approximate_one():
    data = labelled()
    asked = {"metric": "error_rate", "ks": KS, "head": HEAD, "tolerance": 0.1}
    student = metric_against_k(MODEL, data, **asked)
    exact = metric_against_k(MODEL, data, span=(0.0, 1.0), **asked)
    assert (exact.upper > student.upper).all()
    assert "any distribution" in str(exact)
    assert "approximate" in str(student)


def test_costs_grow_as_the_ways_of_running_do():
    found = metric_against_k(MODEL, labelled(), metric="error_rate", ks=KS, head=HEAD, chunk=10)
    one = 2 * (12 * 4 + 12 * 2 + 12)
    for c in found.costs:
        assert c.operations == (one, c.k * one, (c.k + 10) / 10 * one)
        assert min(c.seconds) > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": labelled()[:5]}, "needed at least 30"),
        ({"ks": []}, "ks is empty"),
        ({"ks": [-1]}, "ks"),
        ({"metric": "f1"}, "needed one of: mse"),
        ({"metric": lambda Y, _: float("nan") * Y[0, 0]}, "needed a finite number"),
        ({"span": (0.0, 0.1)}, r"in the span \(0.0, 0.1\)"),
        ({"span": (1, 0)}, "needed finite"),
        ({"span": (0, float("nan"))}, "needed finite"),
        ({"span": (-float("inf"), float("inf"))}, "needed finite"),
        ({"tolerance": -1.0}, "tolerance"),
        ({"confidence": 1.0}, "confidence"),
        ({"model": 3}, "needed a Map"),
        ({"model": lambda x: x[-1]}, "at every time"),
        ({"model": lambda x: x, "ks": [0]}, "ks"),
    ],
)
def test_malformed_questions(change, message):
    asked = {"model": MODEL, "data": labelled(), "metric": "error_rate", "ks": KS}
    with pytest.raises(ValueError, match=message):
        metric_against_k(**{**asked, **change})


def test_workers_give_the_losses_of_one_process():
    told = []
    with ThreadPoolExecutor(2) as pool:
        found = [
            metric_against_k(
                MODEL, labelled(), metric=mean_wrong, ks=KS, head=HEAD, executor=executor,
                progress=lambda *now: told.append(now),
            )
            for executor in (None, pool)
        ]  # fmt: skip
    assert found[0].losses.tolist() == found[1].losses.tolist()
    assert found[0].full.tolist() == found[1].full.tolist()
    assert told[-1] == (40, 40)
    with ThreadPoolExecutor(1) as pool, pytest.raises(ValueError, match="the metric gave nan"):
        metric_against_k(MODEL, labelled(), metric=no_number, ks=KS, head=HEAD, executor=pool)


def mean_wrong(Y, y):
    return float(np.mean(Y.argmax(axis=1) != y))


def no_number(_, __):
    return np.nan
