"""States reached from zero: no run leaves them, they are sharp, nothing is said of others."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, target
from hypothesis import strategies as st

from theory import (
    GRU,
    LSTM,
    Cascade,
    Domain,
    EchoStateNetwork,
    Inputs,
    LinearMap,
    VanillaRNN,
    contraction,
    required_context,
)
from theory.certify import invariant_domain, reached_domain, recheck, refute
from theory.certify.certificate_file import certificate_from_dict, certificate_to_dict
from theory.domain import domain_from_dict
from theory.maps.invariance import check_invariant, is_invariant
from theory.maps.reached import check_domain, holds_on, is_reached
from theory.memory import componentwise_gap, reach_tube
from theory.testing import check_contraction, check_truncation


def weights(seed, rows, n, m=2, drive=0.2):
    r = np.random.default_rng(seed)
    return r.standard_normal((rows * n, n)) / n**0.5, drive * r.standard_normal((rows * n, m))


def dense_lstm(n, bias, scale):
    """Return the cell of the table of rates: seed n."""
    r = np.random.default_rng(n)
    W, U = r.standard_normal((4 * n, n)) / n**0.5, r.standard_normal((4 * n, 4)) * 0.1
    return LSTM(scale * W, U, np.repeat([0.0, bias, 0.0, 0.0], n))


def lstm():
    return dense_lstm(6, -2.0, 0.5)


def gru(variant="reset_after"):
    W, U = weights(1, 3, 8, drive=0.1)
    r = np.random.default_rng(2)
    bias = np.zeros(8) if variant == "reset_before" else 0.1 * r.standard_normal(8)
    return GRU(0.4 * W, U, 0.2 * r.standard_normal(24), bias, variant=variant)


def leaky():
    W, U = weights(3, 1, 12)
    r = np.random.default_rng(4)
    return EchoStateNetwork(0.6 * W, U, r.standard_normal(12), leak=r.uniform(0.3, 1, 12))


def rnn(activation="tanh"):
    W, U = weights(5, 1, 12)
    return VanillaRNN(0.6 * W, U, np.random.default_rng(6).standard_normal(12), activation)


def stack():
    r = np.random.default_rng(7)
    first, second = lstm(), gru()
    return Cascade(
        [first, second], [np.hstack([np.zeros((2, 6)), 0.3 * r.standard_normal((2, 6))])]
    )


MAKERS = {
    "lstm": lstm,
    "gru": gru,
    "gru, reset before": lambda: gru("reset_before"),
    "leaky": leaky,
    "rnn": rnn,
    "rnn, sigmoid": lambda: rnn("sigmoid"),
}
BOX = Inputs.box(-1, 1)


@pytest.fixture(scope="module")
def known():
    made = {name: maker() for name, maker in MAKERS.items()}
    return {name: (cell, reached_domain(cell, inputs=BOX, order=4)) for name, cell in made.items()}


def arguments(cell, h, x):
    """Return the arguments of all gates, by the definition of the cell."""
    if isinstance(cell, GRU):
        n = cell.units
        terms = x @ cell.U.T + cell.b
        a = h @ cell.W[: 2 * n].T + terms[..., : 2 * n]
        r = 1 / (1 + np.exp(-a[..., :n]))
        if cell.variant == "reset_before":
            return np.concatenate([a, (r * h) @ cell.W[2 * n :].T + terms[..., 2 * n :]], axis=-1)
        held = h @ cell.W[2 * n :].T + cell.b_candidate
        return np.concatenate([a, terms[..., 2 * n :] + r * held, held], axis=-1)
    own = h[..., cell.units :] if isinstance(cell, LSTM) else h
    return own @ cell.W.T + x @ cell.U.T + cell.b


def share(values, low, high):
    """Return which part of the way from the middle to an end is attained at most."""
    return float(np.max(np.abs(values - (low + high) / 2) / ((high - low) / 2)))


def attained(cell, domain, X):
    """Return the largest share of the domain and of its ranges in runs from zero."""
    H = cell.simulate(X)
    before = np.concatenate([np.zeros_like(H[..., :1, :]), H[..., :-1, :]], axis=-2)
    a = arguments(cell, before, X)
    return max(share(H, domain.low, domain.high), share(a, *domain.reached.ranges))


@pytest.mark.parametrize("name", MAKERS)
@given(seed=st.integers(0, 2**32 - 1), unit=st.integers(0, 10**6))
def test_no_run_from_zero_leaves_them(known, name, seed, unit):
    """Signs at random, then those that push one argument of a gate outward at the last step."""
    cell, domain = known[name]
    r = np.random.default_rng(seed)
    X = np.sign(r.standard_normal((32, 14, cell.input_dim)))
    worst = attained(cell, domain, X)
    i = unit % len(domain.reached.ranges[0])

    def pushed(runs):
        H = cell.simulate(runs)
        return arguments(cell, H[:, -2], runs[:, -1])[:, i]

    best = X[int(np.argmax(pushed(X)))]
    for _ in range(2):
        flips = np.repeat(best[None], best.size, axis=0)
        places = np.unravel_index(np.arange(best.size), best.shape)
        flips[np.arange(best.size), places[0], places[1]] *= -1
        better = pushed(flips) > pushed(best[None])
        best = np.where(better.reshape(best.shape), -best, best)
        worst = max(worst, attained(cell, domain, best[None]))
    target(worst)
    assert worst <= 1


def test_they_are_sharp_and_less_than_the_box(known):
    for cell, domain in known.values():
        outer = domain.reached.outer
        assert np.mean((domain.high - domain.low) / (outer[1] - outer[0])) < 0.95
        r = np.random.default_rng(0)
        X = np.sign(r.standard_normal((3000, 20, cell.input_dim)))
        assert attained(cell, domain, X) > 0.6


@pytest.mark.parametrize("name", MAKERS)
def test_two_steps_at_different_times_are_majorised(known, name):
    """States of two runs at any two times, under one input: |step h - step g| <= M |h - g|."""
    cell, domain = known[name]
    r = np.random.default_rng(1)
    H = cell.simulate(np.sign(r.standard_normal((40, 10, cell.input_dim)))).reshape(
        -1, cell.state_dim
    )
    h, g = H[r.integers(len(H), size=300)], H[r.integers(len(H), size=300)]
    g[:40] = 0.0
    x = np.sign(r.standard_normal((300, cell.input_dim)))
    after = np.abs(cell.step(h, x) - cell.step(g, x))

    def majorant(where):
        return np.max([np.abs(h - g) @ M.T for M in cell.comparison(where)], axis=0)

    bound = majorant(domain)
    assert np.all(after <= bound * (1 + 1e-12) + 1e-15)
    ends = {"input_low": domain.input_low, "input_high": domain.input_high}
    low, high = domain.reached.outer
    assert np.all(bound <= majorant(Domain(low=low, high=high, **ends)))


def test_the_rates_of_the_table():
    cell = dense_lstm(32, -2.0, 0.45)
    box = invariant_domain(cell, inputs=BOX)
    assert contraction(cell, domain=box) is None
    found = contraction(cell, inputs=BOX)
    assert found.lam < 0.55
    assert found.domain.reached is not None
    assert "states reached from zero" in str(found)


def test_a_box_is_kept_where_it_is_enough_but_at_the_last_effort():
    cell = dense_lstm(8, -2.0, 0.6)
    one, two = (contraction(cell, inputs=BOX, effort=effort) for effort in (1, 2))
    assert one.domain.reached is None
    assert two.domain.reached is not None
    assert two.lam < 0.7 < one.lam


def changed(domain, **other):
    return Domain(
        low=other.pop("low", domain.low),
        high=other.pop("high", domain.high),
        input_low=domain.input_low,
        input_high=other.pop("input_high", domain.input_high),
        reached=replace(domain.reached, **other),
    )


@pytest.mark.parametrize("name", ["lstm", "leaky"])
def test_what_was_changed_is_not_proved(known, name):
    cell, domain = known[name]
    kind = domain.reached
    again = domain_from_dict(domain.to_dict())
    assert is_reached(cell, again)
    assert again.same_as(domain)
    low, high = kind.ranges
    small = kind.start[0] * 0.25, kind.start[1] * 0.25
    wide = kind.outer[0] * 8, kind.outer[1] * 8
    tight = kind.outer[0] / 8, kind.outer[1] / 8
    for wrong in (
        changed(domain, ranges=(low, low + 0.9 * (high - low))),
        changed(domain, ranges=(low[:-1], high[:-1])),
        changed(domain, high=domain.high * 0.75),
        changed(domain, start=small),
        changed(domain, start=(kind.start[0] * 0, kind.start[1])),
        changed(domain, start=wide),
        changed(domain, outer=tight),
        changed(domain, period=0),
        changed(domain, period=10**6),
        changed(domain, order=0),
        changed(domain, order=10**6),
        changed(domain, input_high=domain.input_high * 2),
        changed(domain, input_high=domain.input_high * math.inf),
    ):
        assert not is_reached(cell, wrong)
        with pytest.raises(ValueError, match="not proved"):
            check_domain(cell, wrong)
    other = cell.with_parameters(W=1.5 * cell.W)
    assert not is_reached(other, domain)
    assert not is_reached(LinearMap([[0.5]], [[1.0]]), domain)


def test_a_period_too_short_is_not_proved():
    cell = dense_lstm(16, -2.0, 0.4)
    domain = reached_domain(cell, inputs=BOX)
    assert domain.reached.period > 2
    assert not is_reached(cell, changed(domain, period=1))


def test_nothing_is_said_of_other_states(known):
    cell, domain = known["lstm"]
    n = cell.state_dim
    assert domain.contains_states(np.zeros((3, n)))
    assert not domain.contains_states(1e-9 * np.ones(n))
    assert not is_invariant(cell, domain)
    assert holds_on(cell, domain)
    c = contraction(cell, domain=domain)
    assert c.holds_for(np.zeros(n), np.ones((2, 4)))
    assert not c.holds_for(np.full(n, 0.01), np.ones((2, 4)))
    with pytest.raises(ValueError, match="reached from zero"):
        check_invariant(cell, domain)
    with pytest.raises(ValueError, match="reached from zero"):
        refute(cell, domain=domain)
    with pytest.raises(ValueError, match="reached from zero"):
        reach_tube(cell, np.zeros((5, 4)), domain=domain, k=3)
    with pytest.raises(ValueError, match="check_truncation"):
        check_contraction(cell, contraction=c)


def test_the_memory_of_runs_from_zero(known):
    cell, domain = known["lstm"]
    c = contraction(cell, domain=domain)
    choice = required_context(cell, 1e-3, inputs=BOX, certificates={"from zero": c})
    assert choice.contraction is c
    r = np.random.default_rng(3)
    X = np.sign(r.standard_normal((200, 40, 4)))
    gap = cell.simulate(X)[:, -1] - cell.simulate(X[:, -choice.k :])[:, -1]
    assert np.max(np.linalg.norm(gap, axis=1)) <= choice.error
    for verdict in check_truncation(cell, X[0, :10], contraction=c):
        assert verdict.outcome.value != "refuted"
    k = 4
    gap = np.abs(cell.simulate(X)[:, -1] - cell.simulate(X[:, -k:])[:, -1])
    assert np.all(np.max(gap, axis=0) <= componentwise_gap(cell, domain, k=k))


def test_stacks_by_their_layers():
    cell = stack()
    domain = reached_domain(cell, inputs=BOX)
    parts = domain.reached.parts
    assert any(part.reached is not None for part in parts)
    assert is_reached(cell, domain_from_dict(domain.to_dict()))
    c = contraction(cell, domain=domain)
    assert c.domain is domain
    r = np.random.default_rng(5)
    assert recheck(certificate_from_dict(certificate_to_dict(cell, c)), cell)
    H = cell.simulate(np.sign(r.standard_normal((200, 20, 4))))
    assert np.all((domain.low <= H) & (domain.high >= H))
    narrow = replace(parts[1], input_high=parts[1].input_high / 2, input_low=parts[1].input_low / 2)
    for wrong in (parts[:1], (parts[0], narrow), parts[::-1]):
        assert not is_reached(cell, changed(domain, parts=tuple(wrong)))
    assert not is_reached(cell.layers[0], domain)


def test_where_there_is_nothing_to_find():
    assert reached_domain(LinearMap([[0.5]], [[1.0]]), inputs=BOX) is None
    assert reached_domain(lstm(), inputs=Inputs.box(-math.inf, math.inf)) is None
    # from zero the whole box is reached
    assert reached_domain(dense_lstm(8, 0.0, 2.0), inputs=BOX) is None


def test_a_point_of_no_input():
    still = reached_domain(VanillaRNN([[0.5]], [[1.0]]), inputs=Inputs.box(0, 0))
    assert still is None or still.high[0] < 1e-9
