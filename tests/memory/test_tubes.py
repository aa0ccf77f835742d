"""Tubes of zonotopes: attacked by ascent over pasts, and never wider than boxes."""

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
    Contraction,
    DiagonalSSM,
    Domain,
    HardGRU,
    Linf,
    PeepholeLSTM,
    VanillaRNN,
    contraction,
)
from theory.arithmetic.activations import ACTIVATIONS, leaky_relu
from theory.arithmetic.relaxations import secants
from theory.arithmetic.rounding import UNIT
from theory.arithmetic.zonotopes import Zonotope
from theory.certify import contractions
from theory.maps import RGLRU, EchoStateNetwork, LinearMap, MinGRU, SelectiveSSM
from theory.memory import critical_radius, reach_tube, visited_ranges
from theory.memory.metrics import Factor, length_after
from theory.norms.norms import WeightedL2


def attacked(model, X, low, high, known, rng, tries=4, rounds=6):
    """Return states after the inputs from pasts of a box that end far from the known ones."""
    found, far = [], known[-1]
    starts = [np.where(rng.random(len(low)) < 0.5, low, high) for _ in range(tries)]
    for h0 in starts:
        best = -1.0
        for _ in range(rounds):
            H = np.vstack([h0, model.simulate(X, h0)])
            found.append(H)
            apart = H[-1] - far
            size = float(np.linalg.norm(apart))
            if not size > best:
                break
            best, g = size, apart
            for h, x in zip(H[-2::-1], X[::-1], strict=True):
                g = g @ model.jacobian_state(h, x)
            # the corner of the box in the direction of the gradient
            h0 = np.where(g > 0, high, np.where(g < 0, low, h0))
    return np.array(found)


def drifted(model, H, X):
    """Return a generous bound of how far computed states are from exact ones."""
    local = model.step_error(np.abs(H).max(axis=(0, 1)), np.abs(X).max(axis=0, initial=0.0))
    growth = max(
        float(np.linalg.norm(model.jacobian_state(h, x), 2))
        for h, x in zip(H[0, :-1], X, strict=True)
    )
    return float(np.max(local)) * len(X) * max(growth, 1.0) ** len(X) * 8 + 1e-14


def models(rng, n=3, m=2, size=1.0):
    def W(rows, columns):
        return size * rng.standard_normal((rows, columns)) / np.sqrt(columns)

    gru, lstm = GRU(W(3 * n, n), W(3 * n, m)), LSTM(W(4 * n, n), W(4 * n, m))
    before = GRU(W(3 * n, n), W(3 * n, m), variant="reset_before")
    return [
        VanillaRNN(1.5 * W(n, n), W(n, m)),
        VanillaRNN(W(n, n), W(n, m), activation="leaky_relu(0.2)"),
        VanillaRNN(W(n, n), W(n, m), activation="sin"),
        EchoStateNetwork(1.5 * W(n, n), W(n, m), leak=rng.uniform(0.2, 1, n)),
        LinearMap(0.5 * W(n, n), W(n, m)),
        gru,
        before,
        lstm,
        MinGRU(W(2 * n, m), activation="tanh"),
        RGLRU(W(2 * m, m), rng.uniform(0, 3, m)),
        SelectiveSSM(np.ones((m, 2)), W_step=W(m, m), W_B=W(2, m)),
        DiagonalSSM(np.full(n, 0.6 + 0.2j), W(n, m)),
        Cascade([gru, lstm.with_parameters(U=W(4 * n, n)), MinGRU(W(2 * n, n))]),
        Cascade([VanillaRNN(W(n, n), W(n, m)), RGLRU(W(2 * n, n), rng.uniform(0, 3, n))]),
    ]


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.01, 0.3, 1.0]), st.integers(0, 13))
@settings(max_examples=14)
def test_no_attacked_past_leaves_a_tube(seed, radius, which):
    rng = np.random.default_rng(seed)
    model = models(rng, size=rng.choice([0.5, 1.0, 2.0]))[which]
    n, k = model.state_dim, 4
    X = rng.standard_normal((k, model.input_dim))
    known = rng.uniform(-0.5, 0.5, n)
    spread, disturbance = (0.0, 0.0) if rng.random() < 0.5 else (0.05, 0.01)
    tube = reach_tube(
        model, X, k=k, pasts=known, radius=radius, known=known, spread=spread,
        disturbance=disturbance, columns=int(rng.choice([1, 3, 10])),
        boxes=int(rng.choice([1, 4])),
    )  # fmt: skip
    H = attacked(model, X, tube.low[0], tube.high[0], tube.known, rng)
    slack = drifted(model, H, X)
    assert (tube.low - slack <= H).all()
    assert (tube.high + slack >= H).all()
    far = np.linalg.norm(H - tube.known, axis=-1).max(axis=0)
    assert (far <= tube.lengths + 2 * slack * n).all()
    # other inputs, and errors at every step
    moved = known + radius * rng.uniform(-1, 1, n)
    for x, low, high in zip(X, tube.low[1:], tube.high[1:], strict=True):
        moved = model.step(moved, x + spread * rng.choice([-1, 1], len(x)))
        moved = moved + disturbance * rng.choice([-1, 1], n)
        assert (low - slack <= moved).all()
        assert (moved <= high + slack).all()


@given(st.integers(0, 2**32 - 1), st.integers(0, 13))
@settings(max_examples=8)
def test_never_wider_than_boxes_and_contractions_only_help(seed, which):
    rng = np.random.default_rng(seed)
    model = models(rng, size=0.6)[which]
    X = rng.standard_normal((5, model.input_dim))
    known = np.zeros(model.state_dim)
    options = {"k": 5, "pasts": known, "radius": 0.5}
    plain = reach_tube(model, X, columns=0, **options)
    sharp = reach_tube(model, X, **options)
    assert (plain.low <= sharp.low).all()
    assert (sharp.high <= plain.high).all()
    found = [c for c in contractions(model).values() if c.domain is None]
    helped = reach_tube(model, X, contractions=found, **options)
    assert (helped.lengths <= sharp.lengths * (1 + 1e-9)).all()
    H = attacked(model, X, sharp.low[0], sharp.high[0], sharp.known, rng)
    assert (helped.low - 1e-12 <= H).all()
    assert (helped.high + 1e-12 >= H).all()


def test_a_certified_layer_has_a_tube_that_narrows():
    rng = np.random.default_rng(1)
    n = 24
    W = rng.standard_normal((n, n))
    cell = VanillaRNN(0.95 * W / np.linalg.norm(W, 2), 0.1 * rng.standard_normal((n, 2)))
    X = np.zeros((50, 2))
    domain = Domain(low=-np.ones(n), high=np.ones(n), input_low=[0, 0], input_high=[0, 0])
    boxes = reach_tube(cell, X, k=50, domain=domain, columns=0)
    found = contraction(cell, norm=L2())
    balls = reach_tube(cell, X, k=50, domain=domain, columns=0, contractions=[found])
    both = reach_tube(cell, X, k=50, domain=domain, contractions=[found])
    assert boxes.steps(0.5) is None
    by_rate = int(np.log(0.5 / np.sqrt(n)) / np.log(found.lam)) + 1
    assert both.steps(0.5) <= balls.steps(0.5) <= by_rate
    assert both.steps(0.5) < by_rate / 2
    assert both.narrows


def test_zonotopes_forget_where_boxes_do_not():
    # a rotation by an eighth of a turn, shrunk to .8: a box grows by 1.13 in each step
    turn = 0.8 * np.array([[1, -1], [1, 1]]) / np.sqrt(2)
    cell = VanillaRNN(turn, np.eye(2))
    X = np.zeros((40, 2))
    domain = Domain(low=[-1, -1], high=[1, 1], input_low=[0, 0], input_high=[0, 0])
    assert reach_tube(cell, X, k=40, domain=domain, columns=0).steps(0.1) is None
    assert reach_tube(cell, X, k=40, domain=domain).steps(0.1) <= 17


def test_small_cells_from_the_full_box_by_splitting():
    # two units that do not forget from the whole box at once, and do from its parts
    cell = VanillaRNN([[1.6, -0.9], [0.8, 1.4]], np.eye(2))
    X = np.tile([[1.2, 0.4]], (8, 1))
    domain = Domain(low=[-1, -1], high=[1, 1], input_low=[0, 0], input_high=[2, 2])
    whole, parts = (
        reach_tube(cell, X, k=8, domain=domain, boxes=boxes).distance(Linf()) for boxes in (1, 16)
    )
    assert (parts <= whole * (1 + 1e-9)).all()
    assert whole[-1] > 1
    assert parts[-1] < 0.02


def test_what_rounding_makes_of_a_set_is_not_lost():
    cell = GRU(np.ones((6, 2)) / 4, np.ones((6, 1)) / 4)
    tube = reach_tube(cell, np.ones((30, 1)), k=30, pasts=np.zeros(2))
    assert 0 < tube.lengths[-1] < 1e-13
    assert (tube.low[-1] < tube.high[-1]).all()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_lengths_of_zonotopes(seed):
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(1, 6)), int(rng.integers(0, 12))
    G = rng.standard_normal((n, m)) * 10.0 ** rng.integers(-3, 4)
    z = Zonotope(rng.standard_normal(n), G, np.abs(rng.standard_normal(n)) * 0.1)
    bound = z.length_upper()
    for _ in range(50):
        xi = rng.choice([-1.0, 1.0], m)
        point = z.centre + G @ xi + z.rest * rng.choice([-1.0, 1.0], n)
        assert np.linalg.norm(point) <= bound
    assert bound <= np.linalg.norm(z.magnitude()) * (1 + 1e-12)


def test_lengths_are_sharper_than_boxes():
    G = np.linalg.qr(np.random.default_rng(0).standard_normal((16, 16)))[0]
    # of a turned cube the length is 4 exactly, its box is up to 16 long
    assert Zonotope(np.zeros(16), G, np.zeros(16)).length_upper() == pytest.approx(4, rel=1e-6)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_secants_are_between_their_bounds(seed):
    rng = np.random.default_rng(seed)
    rho = [*ACTIVATIONS.values(), leaky_relu(0.2), leaky_relu(-0.5)][int(rng.integers(0, 9))]
    c = rng.normal(0, 2, 5)
    low, high = c - rng.exponential(2, 5), c + rng.exponential(2, 5)
    least, bound = secants(rho, (c, c), low, high)
    for share in np.linspace(0, 1, 101):
        a = low + share * (high - low)
        with np.errstate(invalid="ignore", divide="ignore"):
            secant = np.where(np.abs(a - c) > 1e-3, (rho(a) - rho(c)) / (a - c), bound)
        assert (secant <= bound + 1e-12).all()
        assert (least <= secant + 1e-12).all()
    if rho.name == "tanh":
        # from 1 over [-3, 3] the steepest secant touches at -.55
        one = secants(rho, (np.ones(1), np.ones(1)), np.array([-3.0]), np.array([3.0]))
        assert 0.83 < one[1][0] < 0.9
        # and the flattest ends at 3
        assert 0.1 < one[0][0] < 0.1168


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_metrics_bound_every_product_of_steps(seed):
    rng = np.random.default_rng(seed)
    n, k = int(rng.integers(1, 7)), int(rng.integers(1, 7))
    W = rng.standard_normal((n, n))
    factors, e, size = [], rng.uniform(-1, 1, (200, n)), 0.0
    for _ in range(k):
        least = rng.uniform(-0.2, 0.8, n)
        largest = least + rng.choice([0.0, 1e-9, 0.1, 0.4]) * rng.random(n)
        added = rng.choice([0.0, 1e-3]) * rng.random(n)
        apart = np.abs(e).max(axis=0)
        size = float(np.linalg.norm(e, axis=1).max())
        factors.append(Factor(least, largest, added, apart, size))
        e = rng.choice([least, largest], (200, 1))[:, 0] * (e @ W.T)
        e = e + added * rng.choice([-1.0, 1.0], (200, n))
        assert np.linalg.norm(e, axis=1).max() <= length_after(W, factors) * (1 + 1e-12)


def test_metrics_see_what_no_norm_of_single_steps_does():
    # a step that stretches by 4 in one direction, and one that does so in the other
    W = np.array([[0.0, 4.0], [0.05, 0.0]])
    one = Factor(np.full(2, 0.9), np.full(2, 1.0), np.zeros(2), np.ones(2), np.sqrt(2.0))
    bound = length_after(W, [one] * 10)
    # two steps shrink by 4 * .05 = .2, ten by 3.2e-4; slopes known to a tenth cost the rest
    assert np.sqrt(2.0) * 0.2**5 * 0.9**10 < bound < 12 * np.sqrt(2.0) * 0.2**5
    nothing = Factor(np.zeros(2), np.ones(2), np.zeros(2), np.full(2, np.inf), np.inf)
    assert length_after(W, [nothing]) == np.inf


def test_a_trained_kind_of_network_is_followed_from_every_past():
    # of norm .9: by the rate alone it takes 36 steps, and boxes never shrink
    rng = np.random.default_rng(3)
    n = 24
    W = rng.standard_normal((n, n))
    cell = VanillaRNN(0.9 * W / np.linalg.norm(W, 2), 0.3 * rng.standard_normal((n, 2)))
    X = rng.standard_normal((20, 2))
    domain = Domain(low=-np.ones(n), high=np.ones(n), input_low=[-9, -9], input_high=[9, 9])
    tube = reach_tube(cell, X, k=20, domain=domain)
    assert reach_tube(cell, X, k=20, domain=domain, columns=0).steps(0.1) is None
    assert tube.steps(0.1) <= 15 < int(np.log(0.1 / np.sqrt(n)) / np.log(0.9))
    H = attacked(cell, X, -np.ones(n), np.ones(n), tube.known, rng)
    assert (np.linalg.norm(H - tube.known, axis=-1).max(axis=0) <= tube.lengths + 1e-12).all()


def test_critical_radius():
    cell = VanillaRNN([[2.0]], [[1.0]])
    found = critical_radius(
        cell, np.zeros((30, 1)), k=30, visited=[[-1.0], [1.0]], known=[0.957504]
    )
    # beyond 0, at .4788 of the range of 2, lies the other stable state
    assert 0.4 < found.share < 0.4788
    assert "given that pasts are that near" in str(found)
    # around the unstable one nothing shrinks
    none = critical_radius(cell, np.zeros((9, 1)), k=9, visited=[[-1.0], [1.0]])
    assert (none.share, none.tube) == (0.0, None)
    assert "no set around the known states" in str(none)
    with pytest.raises(ValueError, match="needed some that differ"):
        visited_ranges(np.ones((3, 2)), 2)
    assert visited_ranges([[0.0, 1.0], [0.5, 1.0]], 2).tolist() == [0.5, 0.5]


def test_malformed():
    cell = VanillaRNN(0.5 * np.eye(2), np.eye(2))
    X, box = np.zeros((3, 2)), np.zeros(2)
    own = CallableMap(lambda h, x: 0.5 * h + x, 2, 2)
    assumed = Contraction.assumed(0.5)
    small = Domain(low=[-1, -1], high=[1, 1], input_low=[0, 0], input_high=[0, 0])
    local = contraction(GRU(np.ones((6, 2)) / 9, np.ones((6, 2)) / 9), domain=small)
    for options, message in (
        ({"pasts": box, "radius": -1.0}, "radius has least entry -1.0"),
        ({"radius": 1.0}, "needed pasts= beside it"),
        ({"disturbance": 0.1}, "needed pasts= for the states"),
        ({"pasts": box, "contractions": [assumed]}, "needed a certified contraction"),
        ({"pasts": box, "spread": [1.0]}, "spread has"),
        ({"pasts": box, "columns": -1}, "columns=-1"),
        ({"pasts": box, "boxes": 0}, "boxes=0"),
        ({"known": [2.0, 0.0]}, "the known state is outside the domain"),
        ({"pasts": [5.0, 0.0], "contractions": [local]}, "needed one that holds for all pasts"),
    ):
        with pytest.raises(ValueError, match=message):
            reach_tube(cell, X, k=3, **options)
    with pytest.raises(ValueError, match="no enclosure"):
        reach_tube(own, X, k=3, pasts=box)
    assert reach_tube(cell, X, k=3).distance(L2()).shape == (4,)
    P = WeightedL2(np.array([[2.0, 0.5], [0.5, 1.0]]))
    tube = reach_tube(cell, X, k=3, pasts=box, radius=1.0)
    assert tube.distance(P)[0] >= np.sqrt(4) * (1 - 4 * UNIT)
    # outputs C h
    assert tube.distance(L2(), np.array([[1.0, 0.0]]))[0] == pytest.approx(1.0, rel=1e-9)
    assert tube.steps(0.51, C=np.array([[1.0, 0.0]])) == 1


@pytest.mark.parametrize("kind", ["peepholes", "hard peepholes", "hard GRU"])
def test_small_sets_are_followed_by_slopes(kind):
    """Nearly as far as corners are carried, where boxes grow."""
    rng, n = np.random.default_rng(0), 6
    W, U = rng.standard_normal((4 * n, n)) / 3, rng.standard_normal((4 * n, 2))
    hard = "hard_sigmoid(0.2)"
    if kind == "hard GRU":
        cell = HardGRU(W[: 3 * n], U[: 3 * n], gates=hard)
    else:
        gates = hard if "hard" in kind else "sigmoid"
        cell = PeepholeLSTM(W, U, peepholes=0.3 * rng.standard_normal(3 * n), gates=gates)
    X = rng.standard_normal((30, 2))
    start, radius = cell.simulate(X[:10])[-1], 1e-6
    shared, boxes = (
        reach_tube(cell, X[10:], k=20, pasts=start, radius=radius, known=start, columns=columns)
        for columns in (10, 0)
    )
    corners = start + radius * rng.choice([-1.0, 1.0], (200, cell.state_dim))
    runs = cell.simulate(np.repeat(X[None, 10:], 200, axis=0), corners)
    assert np.all((runs >= shared.low[1:] - 1e-14) & (runs <= shared.high[1:] + 1e-14))
    reached = np.abs(runs - shared.known[1:]).max(axis=(0, 2))
    assert shared.apart[-1].max() <= 3 * reached[-1]
    assert shared.apart[-1].max() < boxes.apart[-1].max() / 2
