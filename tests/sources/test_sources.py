"""Sources: what is refused, and what their filters and entropies are by definition."""

import math
from itertools import product

import numpy as np
import pytest

from theory import Inputs, Linf, contraction, required_context, truncate
from theory.interop import from_hmmlearn
from theory.sources import (
    BeliefFilter,
    HiddenMarkovModel,
    LinearGaussianModel,
    filter_contraction_of,
    hilbert_distance,
    information_values,
    markov_source,
    register,
    sampled_values,
    total_variation_of_distance,
)
from theory.theorems import window_error

A, E = [[0.9, 0.1], [0.2, 0.8]], [[0.8, 0.2], [0.3, 0.7]]
THREE = HiddenMarkovModel(
    [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.05, 0.15, 0.8]], [[0.7, 0.3], [0.5, 0.5], [0.1, 0.9]]
)


def probability(model, word):
    """Return the probability of a word, by all paths."""
    total = 0.0
    for path in product(range(model.states), repeat=len(word)):
        p = model.stationary[path[0]]
        for t, (s, x) in enumerate(zip(path, word, strict=True)):
            p *= model.emission[s, x] * (model.transition[path[t - 1], s] if t else 1.0)
        total += p
    return total


@pytest.mark.parametrize("model", [HiddenMarkovModel(A, E), THREE])
def test_the_counterpart_of_k_steps_is_the_best_predictor_of_k_symbols(model):
    recurrent, x = BeliefFilter(model), [0, 1, 1, 0, 1, 0]
    inputs = np.eye(model.symbols)[x]
    for k in (0, 1, 3):
        state = truncate(recurrent, k).states(inputs)[-1]
        last = x[len(x) - k :]
        right = [probability(model, [*last, a]) for a in (0, 1)]
        assert recurrent.next_symbol(state) == pytest.approx(np.array(right) / sum(right))


def test_jacobians_are_derivatives():
    recurrent, rng = BeliefFilter(THREE), np.random.default_rng(0)
    h, x = rng.standard_normal(2), np.eye(2)[1]
    for jacobian, at in ((recurrent.jacobian_state, h), (recurrent.jacobian_input, x)):
        columns = []
        for j in range(len(at)):
            ends = []
            for sign in (1, -1):
                moved = at + sign * 1e-6 * np.eye(len(at))[j]
                ends.append(recurrent.step(*((moved, x) if at is h else (h, moved))))
            columns.append((ends[0] - ends[1]) / 2e-6)
        assert jacobian(h, x) == pytest.approx(np.array(columns).T, abs=1e-8)


def test_certificates_and_contexts_apply_to_the_filter():
    recurrent = BeliefFilter(HiddenMarkovModel(A, E))
    found = contraction(recurrent)
    assert found.evidence.is_certified
    assert found.lam == filter_contraction_of(recurrent).lam == pytest.approx(5 / 7)
    inputs = Inputs.any_of(np.eye(2))
    answer = required_context(recurrent, eps=0.1, inputs=inputs, norm=Linf())
    symbols = recurrent.inputs_of(recurrent.model.sample(300, rng=np.random.default_rng(1))[0])
    apart = recurrent.simulate(symbols) - truncate(recurrent, answer.k).states(symbols)
    assert np.abs(apart).max() <= 0.1
    # for more states in the maximum norm, several steps together
    three = filter_contraction_of(BeliefFilter(THREE))
    assert three.iterate > 1
    assert three.lam == pytest.approx(2 * THREE.birkhoff**three.iterate)
    # which is found and used where no comparison matrix contracts
    rng = np.random.default_rng(0)
    quick, shown = rng.uniform(0.3, 1, (6, 6)), rng.uniform(0.1, 1, (6, 3))
    rows = [M / M.sum(axis=1, keepdims=True) for M in (quick, shown)]
    larger = BeliefFilter(HiddenMarkovModel(*rows))
    several = contraction(larger)
    assert several.iterate == 2
    assert several.lam == filter_contraction_of(larger).lam
    answer = required_context(larger, 0.01, inputs=Inputs.any_of(np.eye(3)), norm=Linf())
    symbols = larger.inputs_of(larger.model.sample(200, rng=rng)[0])
    apart = larger.simulate(symbols) - truncate(larger, answer.k).states(symbols)
    assert np.abs(apart).max() <= 0.01
    # a forbidden transition leaves no factor
    assert filter_contraction_of(BeliefFilter(HiddenMarkovModel([[0, 1], [0.5, 0.5]], E))) is None


def test_sampled_values_are_the_enclosed_ones():
    found = sampled_values(THREE, lengths=(0, 1, 3), rng=np.random.default_rng(0), sequences=4000)
    values = information_values(THREE)
    for k, mean, error in zip(found.lengths, found.excess, found.errors, strict=True):
        assert abs(mean - values.excess[1][k]) <= 4.5 * error
    with pytest.raises(ValueError, match="horizon"):
        sampled_values(THREE, lengths=(3,), rng=np.random.default_rng(0), horizon=2)
    with pytest.raises(ValueError, match="lengths is empty"):
        sampled_values(THREE, lengths=(), rng=np.random.default_rng(0))


def test_a_markov_source_loses_nothing_from_its_order_on():
    rng = np.random.default_rng(5)
    P = rng.uniform(0.1, 1, (2, 2, 2))
    values = information_values(markov_source(P / P.sum(axis=-1, keepdims=True)))
    assert values.excess[0][1] > 1e-4
    assert values.excess[1][2] <= 1e-10
    assert values.information[1] - values.information[0] <= 1e-9
    with pytest.raises(ValueError, match="m \\+ 1 axes"):
        markov_source([0.5, 0.5])


def test_stationary_distributions():
    # cyclic, reducible with a start, and a chain of many states
    assert register(2).stationary.tolist() == [0.25] * 4
    pair = HiddenMarkovModel(np.eye(2), E, start=[0.25, 0.75])
    assert pair.stationary.tolist() == [0.25, 0.75]
    rng = np.random.default_rng(0)
    many = rng.uniform(size=(30, 30))
    model = HiddenMarkovModel(many / many.sum(axis=1, keepdims=True), np.full((30, 2), 0.5))
    assert model.stationary @ model.transition == pytest.approx(model.stationary, rel=1e-12)
    with pytest.raises(ValueError, match="more than 24 states"):
        information_values(model)


@pytest.mark.parametrize(
    ("transition", "start", "message"),
    [
        ([[0.9, 0.2], [0.2, 0.8]], None, r"row 0 of A adds up to 1\.1, needed 1"),
        ([[1.0, 0.0], [0.0, 0.0]], None, "row 1 of A is zero"),
        ([[1.1, -0.1], [0.2, 0.8]], None, r"A\[0, 1\] = -0\.1"),
        ([[1.0, 0.0], [0.0, 1.0]], None, "2 classes of states are never left"),
        ([[0.5, 0.5], [0.0, 1.0]], None, "leaves state 0 for good"),
        ([[0.9, 0.1], [0.2, 0.8]], [0.5, 0.5], "start is not stationary: state 0"),
    ],
)
def test_improper_chains_are_refused(transition, start, message):
    with pytest.raises(ValueError, match=message):
        HiddenMarkovModel(transition, E, start=start)


def test_what_a_filter_refuses():
    with pytest.raises(ValueError, match=r"E\[1, 0\] = 0: symbol 0 excludes state 1"):
        BeliefFilter(HiddenMarkovModel(A, [[0.5, 0.5], [0.0, 1.0]]))
    with pytest.raises(ValueError, match="one state"):
        BeliefFilter(HiddenMarkovModel([[1.0]], [[0.5, 0.5]]))
    with pytest.raises(ValueError, match="symbol 2 at index"):
        BeliefFilter(THREE).inputs_of([0, 1, 2])
    with pytest.raises(ValueError, match="needed integers"):
        BeliefFilter(THREE).inputs_of([0.5])
    with pytest.raises(ValueError, match="needed at most 15"):
        information_values(THREE, longest=40)
    with pytest.raises(ValueError, match="not positive"):
        hilbert_distance([0.0, 1.0], [0.5, 0.5])


def test_total_variation_is_reached():
    # two points with odds s and 1 / s, s = e^(d / 4)... the largest difference at that distance
    for d in (0.1, 1.0, 5.0):
        s = math.exp(d / 2)
        p, q = np.array([s, 1]) / (s + 1), np.array([1, s]) / (s + 1)
        assert hilbert_distance(p, q) == pytest.approx(d)
        assert np.abs(p - q).sum() / 2 == pytest.approx(total_variation_of_distance(d))


def test_kalman_filter():
    model = LinearGaussianModel([[0.9]], [[1.0]], [[1.0]], [[1.0]])
    # the Riccati solution of a scalar system is a root of p**2 - p (1 - 1 + .81) - 1 = 0
    p = (0.81 + math.sqrt(0.81**2 + 4)) / 2
    assert model.remaining[0, 0] == pytest.approx(p)
    losses = model.excess(12)
    assert np.all(np.diff(losses) <= 0)
    assert losses.sum() <= model.information
    assert all((k + 1) * one <= model.information for k, one in enumerate(losses))
    # on average the loss falls like the square of the rate at which the worst case is forgotten
    rate = model.filter().W[0, 0]
    assert losses[6] / losses[5] == pytest.approx(rate**2, rel=1e-3)
    worst = [
        window_error(contraction(model.filter()), k=k, t=200, gain=0.9 - rate, input_bound=1.0)
        for k in (5, 6)
    ]
    assert worst[1] / worst[0] == pytest.approx(rate)
    for bad, message in (
        (([[1.0]], [[1.0]], [[1.0]], [[1.0]]), "spectral radius 1"),
        (([[0.5]], [[1.0]], [[-1.0]], [[1.0]]), "negative eigenvalue"),
        (([[0.5]], [[1.0]], [[1.0]], [[0.0]]), "not positive definite"),
        (([[0.5]], [[1.0]], [[1.0]], np.eye(2)), "R has shape"),
    ):
        with pytest.raises(ValueError, match=message):
            LinearGaussianModel(*bad)


def test_excess_of_a_gaussian_model_by_the_covariance_of_outputs():
    F, C = np.array([[0.8, 0.3], [-0.2, 0.6]]), np.array([[1.0, 0.5]])
    model = LinearGaussianModel(F, C, np.diag([1.0, 0.5]), [[0.3]])
    T = 40
    lags = [
        (C @ np.linalg.matrix_power(F, t) @ model.spread @ C.T)[0, 0] + (0.3 if t == 0 else 0.0)
        for t in range(T)
    ]
    S = np.array([[lags[abs(i - j)] for i in range(T)] for j in range(T)])
    logs = [np.linalg.slogdet(S[:m, :m])[1] / 2 for m in range(1, T + 1)]
    steps = np.diff([0.0, *logs])
    assert model.excess(8) == pytest.approx(steps[:9] - steps[-1], abs=1e-12)


def test_hmmlearn():
    hmm = pytest.importorskip("hmmlearn.hmm", reason="hmmlearn is not installed (extra: hmm)")
    symbols = HiddenMarkovModel(A, E).sample(2000, rng=np.random.default_rng(0)).T
    fitted = hmm.CategoricalHMM(n_components=2, n_iter=5, random_state=0).fit(symbols)
    model = from_hmmlearn(fitted)
    recurrent = BeliefFilter(model)
    # their forward pass starts elsewhere, which a positive chain forgets
    inputs = np.eye(2)[symbols[:200, 0]]
    ours = recurrent.belief(recurrent.simulate(inputs)[-2])
    theirs = fitted.predict_proba(symbols[:199])[-1] @ fitted.transmat_
    assert ours == pytest.approx(theirs, abs=1e-9)
    with pytest.raises(ValueError, match="no transmat_, emissionprob_"):
        from_hmmlearn(hmm.CategoricalHMM())
    with pytest.raises(ValueError, match="no emissionprob_"):
        from_hmmlearn(hmm.GaussianHMM(2).fit(np.random.default_rng(0).normal(size=(50, 1))))


def test_hmmlearn_is_read_by_what_it_holds():
    class Fitted:
        transmat_, emissionprob_ = np.array(A), np.array(E)

    assert from_hmmlearn(Fitted()).A.tolist() == A
    with pytest.raises(ValueError, match="a fitted model over a finite alphabet"):
        from_hmmlearn(object())
