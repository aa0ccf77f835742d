"""Reach tubes: no past is left out, for the inputs given."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory import (
    GRU,
    L2,
    LSTM,
    CallableMap,
    Cascade,
    Domain,
    Inputs,
    LinearMap,
    Linf,
    VanillaRNN,
    contraction,
)
from theory.arithmetic.rounding import UNIT
from theory.certify import invariant_domain
from theory.measure import truncation_gap_table
from theory.memory import reach_tube

LARGE = np.array([[1.6, -0.4], [0.3, 1.5]])
CELL = VanillaRNN(LARGE, np.eye(2))
ALL_OF_TANH = Domain(low=[-1, -1], high=[1, 1], input_low=[0, 0], input_high=[1, 1])


def test_oracles():
    # B.4: spectral radius 1.587, constant drive (1, 1), from [-1, 1]^2
    tube = reach_tube(CELL, np.ones((20, 2)), k=20, domain=ALL_OF_TANH, columns=0)
    widths = tube.widths.max(axis=1)
    sharper = reach_tube(CELL, np.ones((20, 2)), k=20, domain=ALL_OF_TANH)
    assert (sharper.widths <= tube.widths).all()
    assert widths[0] == np.nextafter(2.0, 3.0)
    assert widths[5] == pytest.approx(0.26905, abs=5e-6)
    assert widths[10] == pytest.approx(1.8273e-6, abs=5e-11)
    # rounded outward they never vanish, as naive ones do at 20
    assert 0 < widths[20] < 1e-14
    # without drive the past is never forgotten: width 1.91
    tube = reach_tube(CELL, np.zeros((40, 2)), k=40, domain=ALL_OF_TANH)
    assert tube.widths[-1].max() == pytest.approx(1.91, abs=0.01)
    assert contraction(CELL) is None


def test_the_trap_is_not_fallen_into():
    # h <- tanh(2 h): slope .17 at .9575, but the restarted run stays at 0
    cell = VanillaRNN([[2.0]], [[1.0]])
    assert reach_tube(cell, np.zeros((50, 1)), k=50).gap(L2())[-1] > 1.9


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(0, 12))
def test_no_past_is_left_out(seed, n, k):
    rng = np.random.default_rng(seed)
    name = rng.choice(["tanh", "sigmoid", "hard_tanh", "sin"])
    W = rng.standard_normal((n, n)) * rng.choice([0.5, 1.5])
    cell = VanillaRNN(W, rng.standard_normal((n, 2)), rng.standard_normal(n), str(name))
    x = rng.standard_normal((12, 2)) * rng.choice([0.0, 1.0, 4.0])
    tube = reach_tube(cell, x, k=k)
    # whatever came before: any state of the first box
    for _ in range(6):
        h = np.where(rng.random(n) < 0.5, tube.low[0], tube.high[0])
        states = np.vstack([h, cell.simulate(x[12 - k :], h)])
        drift = 64 * (k + 1) * UNIT * (1 + np.abs(W).sum()) ** np.arange(k + 1)[:, None] * 8
        assert (states >= tube.low - drift).all()
        assert (states <= tube.high + drift).all()
    # so also the k-step model and the recurrent one
    gap = truncation_gap_table(cell, x, k_max=k, norm=Linf())[k, -1]
    assert gap <= tube.gap(Linf())[-1] + 2 * drift[-1, 0]
    assert len(tube.low) == k + 1


def test_nested_and_never_wider_than_the_box():
    x = np.random.default_rng(0).uniform(-1, 1, (30, 2))
    domain = invariant_domain(CELL, inputs=x)
    # zonotopes, which are cut where they are long, are nested but for a part of 1e-7
    for columns, slack in ((0, 1e-12), (10, 1e-6)):
        last = [
            reach_tube(CELL, x, k=k, domain=domain, columns=columns).widths[-1]
            for k in range(0, 31, 1 if columns == 0 else 5)
        ]
        for before, after in itertools.pairwise(last):
            assert (after <= before * (1 + slack)).all()


def test_linear_maps_shrink_by_their_matrix():
    system = LinearMap([[0.5]], [[1.0]])
    tube = reach_tube(system, np.ones((6, 1)), k=6)
    widths = tube.widths[:, 0]
    # each step rounds an interval of size 2 outward
    np.testing.assert_allclose(widths[1:], widths[0] * 0.5 ** np.arange(1, 7), atol=1e-13)
    assert widths[-1] >= widths[0] * 0.5**6


def test_malformed_questions():
    own = CallableMap(lambda h, x: 0.5 * h + x, 2, 2)
    for arguments, message in (
        ((CELL, np.ones((3, 2)), 4), "at least 4"),
        ((CELL, np.ones((3, 2)), -1), "k="),
        ((CELL, np.ones((3, 1)), 2), "X has shape"),
        ((CELL, np.ones((1, 3, 2)), 2), "one sequence"),
        ((own, np.ones((3, 2)), 2), "no bounded box"),
    ):
        with pytest.raises(ValueError, match=message):
            reach_tube(*arguments[:2], k=arguments[2])
    with pytest.raises(ValueError, match="outside the domain"):
        reach_tube(CELL, 2 * np.ones((3, 2)), k=2, domain=ALL_OF_TANH)
    small = Domain(low=[0, 0], high=[0.1, 0.1], input_low=[0, 0], input_high=[1, 1])
    with pytest.raises(ValueError, match="not proved forward invariant"):
        reach_tube(CELL, np.ones((3, 2)), k=2, domain=small)
    assert reach_tube(CELL, np.zeros((0, 2)), k=0).widths.shape == (1, 2)


def test_what_came_before_may_be_other_inputs():
    x = np.full((6, 2), 0.1)
    own, wider = (reach_tube(CELL, x, k=4, inputs=i) for i in (None, Inputs.box(-1, 1)))
    assert (wider.low[0] < own.low[0]).all()
    assert (wider.widths >= own.widths).all()
    same = reach_tube(CELL, x, k=4, domain=invariant_domain(CELL, inputs=Inputs.box(-1, 1)))
    assert np.array_equal(same.high, wider.high)
    for options, message in (
        ({"inputs": 1.0}, "does not say which inputs are meant"),
        ({"inputs": Inputs.box(0, 1), "domain": ALL_OF_TANH}, "needed at most one"),
        ({"inputs": Inputs.box(0.2, 1)}, "outside the domain"),
    ):
        with pytest.raises(ValueError, match=message):
            reach_tube(CELL, x, k=4, **options)


def test_stacks_away_from_0():
    # a bias moves the lower layer's box away from 0, where its states only pass through
    low, top = VanillaRNN([[0.1]], [[1.0]], [2.0]), VanillaRNN([[0.1]], [[1.0]])
    x = np.ones((5, 1))
    stack = Cascade([low, top])
    tube, alone = reach_tube(stack, x, k=5), reach_tube(low, x, k=5)
    np.testing.assert_allclose(tube.widths[:, 0], alone.widths[:, 0], rtol=1e-4, atol=1e-15)
    assert 0 < tube.widths[-1, 1] < 1e-6
    assert tube.narrows
    states = np.vstack([stack.simulate(x, h0=h)[-1] for h in (tube.low[0], tube.high[0])])
    assert (states >= tube.low[-1] - 1e-15).all()
    assert (states <= tube.high[-1] + 1e-15).all()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10)
def test_from_pasts_that_are_no_invariant_box(seed):
    rng = np.random.default_rng(seed)
    for cell in (
        VanillaRNN(1.5 * rng.standard_normal((2, 2)), np.eye(2)),
        GRU(rng.standard_normal((6, 2)), rng.standard_normal((6, 2))),
        Cascade([CELL, VanillaRNN(rng.standard_normal((2, 2)), np.eye(2))]),
        LSTM(rng.standard_normal((4, 1)), rng.standard_normal((4, 2)), [0, 900.0, 0, 0]),
    ):
        x, n = rng.standard_normal((4, 2)), cell.state_dim
        pasts = rng.standard_normal((3, n)) * rng.choice([1e-3, 1.0, 20.0])
        tube = reach_tube(cell, x, k=4, pasts=pasts)
        for h in (*pasts, np.zeros(n), tube.low[0], tube.high[0]):
            run = np.vstack([h, cell.simulate(x, h0=h)])
            slack = 1e-12 * (1 + np.abs(run))
            assert (run >= tube.low - slack).all()
            assert (run <= tube.high + slack).all()
        assert f"{tube}".count("the given pasts") == 1


def test_a_tube_that_is_the_whole_box_says_so():
    still = reach_tube(VanillaRNN([[2.0]], [[1.0]]), np.zeros((9, 1)), k=9)
    assert not still.narrows
    assert str(still).startswith("after 9 inputs the box of any past is no narrower")
    assert "nothing is shown to be forgotten" in str(still)
    assert reach_tube(CELL, np.ones((9, 2)), k=9).narrows
    assert not reach_tube(CELL, np.ones((9, 2)), k=0).narrows


def test_malformed_pasts():
    for pasts, message in (
        (np.zeros((3, 1)), "pasts has shape"),
        (np.zeros((0, 2)), "at least one"),
        (1.0, "pasts has shape"),
        ([[np.nan, 0.0]], "finite"),
    ):
        with pytest.raises(ValueError, match=message):
            reach_tube(CELL, np.ones((3, 2)), k=2, pasts=pasts)
    with pytest.raises(ValueError, match="needed at most one"):
        reach_tube(CELL, np.ones((3, 2)), k=2, pasts=np.zeros(2), domain=ALL_OF_TANH)
