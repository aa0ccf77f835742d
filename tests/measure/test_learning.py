"""What is measured about gradients and training, and whether its budgets cover the rounding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf

from theory import (
    L2,
    Contraction,
    LinearHead,
    LinearMap,
    VanillaRNN,
    contraction,
    experiment,
    verify,
)
from theory.arithmetic.rounding import reverse_mode_error
from theory.campaign.recipes.table import build
from theory.learning import training_setup
from theory.measure import Run
from theory.measure.learning import learning_of
from theory.strategies import learning_experiments
from theory.theorems import THEOREMS
from theory.trials.verdict import Outcome

#: The theorems about gradients and training.
LEARNING = [
    t
    for t in THEOREMS
    if not {a.name for a in t.assumes}.isdisjoint({"contractive_set", "scalar_growth"})
]


def made(seed, rho="tanh", n=2, T=9, lam=0.8, loss="squared", **more):
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((n, n))
    W *= lam / np.linalg.norm(W, 2) * (1 - 2.0**-40)
    model = VanillaRNN(W, rng.standard_normal((n, 1)), rng.standard_normal(n), rho)
    return experiment(
        model,
        rng.standard_normal((T, 1)),
        contraction=contraction(model, norm=L2()) or Contraction.assumed(lam),
        k_max=T,
        head=LinearHead(rng.standard_normal((2, n)), rng.standard_normal(2)),
        training=training_setup(model, rng.standard_normal((T, 2)), loss=loss, **more),
    )


def exact_gradient(one, t, k=None):
    """Return the gradient of p_t in W, U, b by forward recursion in 60 digits."""
    model, head, n = one.map, one.head, one.map.state_dim
    W, U, b = (np.vectorize(mpf)(v) for v in model.parameters.values())
    C, d = np.vectorize(mpf)(head.C), np.vectorize(mpf)(head.d)
    x = np.vectorize(mpf)(one.inputs)[:t]
    x = x if k is None else x[-k:]
    size = n * n + n + n
    h, D = np.array([mpf(0)] * n), np.array([[mpf(0)] * size] * n)
    for value in x:
        a = W @ h + U @ value + b
        slope = np.array([1 - mp.tanh(q) ** 2 for q in a])
        V = np.array([[mpf(0)] * size] * n)
        for i in range(n):
            V[i, i * n : (i + 1) * n] = h
            V[i, n * n + i] = value[0]
            V[i, n * n + n + i] = mpf(1)
        D = slope[:, None] * (W @ D + V)
        h = np.array([mp.tanh(q) for q in a])
    goal = np.vectorize(mpf)(one.training.targets[t - 1])
    return (C @ h + d - goal) @ C @ D


@pytest.mark.parametrize("seed", range(6))
def test_budgets_cover_the_rounding_of_gradients(seed):
    one = made(seed, lam=(0.5, 0.8, 0.99)[seed % 3])
    learning = Run(one).once(learning_of)
    with mp.workdps(60):
        for t in learning.times:
            for k in (None, *learning.lengths(t)):
                exact = exact_gradient(one, t, k)
                got = learning.gradient(t, k)
                error = mp.sqrt(sum((mpf(g) - e) ** 2 for g, e in zip(got, exact, strict=True)))
                budget = learning.gradient_error(learning.own)
                assert error <= budget
                # and are not so wide that they would hide a false theorem
                size = mp.sqrt(sum(e**2 for e in exact))
                assert budget <= 1e-7 * max(size, 1)


def test_the_budget_grows_with_all_that_errs():
    base = {
        "lam": 0.5, "state_error": 1e-15, "seed_error": 1e-15, "loss_gain": 1.0,
        "weight_gain": 1.0, "beta_hh": 1.0, "beta_wh": 1.0, "majorant": 1.0, "size": 4, "steps": 9,
    }  # fmt: skip
    value = reverse_mode_error(**base)
    assert 0 < value < 1e-12
    for name in base:
        larger = {**base, name: 0.9 if name == "lam" else base[name] * 2}
        assert reverse_mode_error(**larger) > value, name


def test_what_a_run_without_training_has():
    run = Run(
        experiment(
            LinearMap([[0.5]], [[1.0]]), np.ones((5, 1)), contraction=Contraction.assumed(0.5)
        )
    )
    assert run.once(learning_of) is None
    for theorem in LEARNING:
        verdict = verify(theorem, run)
        assert verdict.outcome is Outcome.NOT_APPLICABLE
        assert "is not established" in verdict.reason


def test_measurements_are_made_once():
    run = Run(made(0, steps=3, alpha=1e-3))
    learning = run.once(learning_of)
    assert run.once(learning_of) is learning
    assert learning.descent() is learning.descent()
    assert learning.descent(2) is learning.descent(2)
    assert learning.pair is learning.pair
    assert len(learning.maps_met(2)) == 8
    assert learning.times == (2, 6, 9)
    assert learning.lengths(9)[-1] == 8


def test_a_diverging_pair_has_no_constants():
    one = made(0, steps=40, alpha=1e12, schedule="constant")
    learning = Run(one).once(learning_of)
    assert learning.descent().diverged is not None or learning.met(2) is None
    for theorem in THEOREMS:
        assert verify(theorem, one).outcome is not Outcome.REFUTED


def test_an_unstable_map_has_no_rate():
    model = LinearMap([[1.5]], [[1.0]])
    one = experiment(
        model, np.ones((5, 1)), contraction=Contraction.assumed(0.5),
        training=training_setup(model, np.ones((5, 1))),
    )  # fmt: skip
    assert Run(one).once(learning_of).own is None


@given(learning_experiments(), st.booleans())
def test_drawn_experiments_are_what_they_promise(one, again):
    learning = Run(one).once(learning_of)
    assert learning is not None
    assert learning.pair is not None
    assert learning.pair.lam < 1
    assert learning.pair.smooth
    assert len(one.inputs) >= 2
    del again


def test_malformed_setups():
    model = LinearMap([[0.5]], [[1.0]])
    for arguments, message in (
        ({"loss": "hinge"}, "'hinge' is not known"),
        ({"steps": -1}, "steps=-1"),
        ({"alpha": 0.0}, "alpha=0.0"),
        ({"trained": ("A",)}, "'A' is no parameter"),
    ):
        with pytest.raises(ValueError, match=message):
            training_setup(model, np.ones((3, 1)), **arguments)


@pytest.mark.parametrize("index", range(12))
def test_gated_cells_obey_the_theorems(index):
    run = Run(build("learning_gated", 1, index))
    applied = 0
    for theorem in LEARNING:
        verdict = verify(theorem, run)
        assert verdict.outcome is not Outcome.REFUTED, verdict
        applied += verdict.outcome is not Outcome.NOT_APPLICABLE
    assert applied >= 6
