"""Boxes and comparison matrices of gated maps: they hold what is sampled, and little more."""

import numpy as np
import pytest
from definitions import balls, bits, exact_step
from hypothesis import given, settings, target
from hypothesis import strategies as st
from targets import aimed

from theory import (
    GRU,
    LSTM,
    RGLRU,
    Block,
    Cascade,
    DiagonalSSM,
    Domain,
    EchoStateNetwork,
    Inputs,
    MinGRU,
    PeepholeLSTM,
    SelectiveSSM,
    VanillaRNN,
)
from theory.certify import invariant_domain
from theory.maps import Dense
from theory.maps.invariance import is_invariant
from theory.memory import reach_tube

M = 2


def lstm(g, n):
    return LSTM(g(4 * n, n), g(4 * n, M), g(4 * n))


def gru(g, n):
    return GRU(g(3 * n, n), g(3 * n, M), g(3 * n), g(n))


def gru_before(g, n):
    return GRU(g(3 * n, n), g(3 * n, M), g(3 * n), variant="reset_before")


def leaky(rho):
    def make(g, n):
        return EchoStateNetwork(g(n, n) / 2, g(n, M), g(n), leak=0.1 + 0.4, activation=rho)

    return make


def ssm(g, n):
    eigenvalues = 0.6 * np.exp(1j * np.linspace(0.0, 0.3, n))
    return DiagonalSSM(eigenvalues, g(n, M) + 1j * g(n, M))


def selective(rule):
    def make(g, n):
        return SelectiveSSM(np.exp(g(M, n)), g(M, M), g(n, M), g(M), g(n), discretization=rule)

    return make


def min_gru(g, n):
    return MinGRU(g(2 * n, M), g(2 * n), activation="tanh")


def rg_lru(g, n):
    del n
    return RGLRU(g(2 * M, M), g(M), g(2 * M), scale=2.0)


def gated_stack(g, n):
    top = EchoStateNetwork(g(n, n), g(n, n), leak=0.5)
    return Cascade([lstm(g, n), GRU(g(3 * n, n), g(3 * n, n)), top], [None, g(n, n)])


def mixed_stack(g, n):
    return Cascade([rg_lru(g, n), min_gru(g, n), VanillaRNN(g(n, n), g(n, n))])


MAKERS = {
    "lstm": lstm,
    "gru": gru,
    "gru_before": gru_before,
    **{f"leaky {rho}": leaky(rho) for rho in ("tanh", "relu", "sin", "leaky_relu(-1.5)")},
    "ssm": ssm,
    "euler": selective("euler"),
    "zoh": selective("zoh"),
    "min_gru": min_gru,
    "rg_lru": rg_lru,
    "gated_stack": gated_stack,
    "mixed_stack": mixed_stack,
}


def drawn(name, seed, scale):
    rng = np.random.default_rng(seed)
    return MAKERS[name](lambda *shape: scale * rng.standard_normal(shape), 1 + seed % 3), rng


def corners(rng, low, high, count):
    place = rng.random((count, len(low)))
    place = np.where(rng.random(place.shape) < 0.6, np.round(place), place)
    return np.clip(low + (high - low) * place, low, high)


@pytest.mark.parametrize("name", MAKERS)
@settings(aimed, max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from((0.1, 0.5, 1.0, 2.0)),
    bound=st.sampled_from((0.0, 0.1, 1.0, 2.0)),
)
def test_boxes_hold_what_is_sampled(name, seed, scale, bound):
    cell, rng = drawn(name, seed, scale)
    box = invariant_domain(cell, inputs=Inputs.box(-bound, bound))
    if box is None:
        # a gate may saturate, and weights of a leaky relu may grow: but not at small scales
        assert scale > 0.1
        return
    assert is_invariant(cell, box)
    h, g = corners(rng, box.low, box.high, 40), corners(rng, box.low, box.high, 40)
    # neighbours and pairs that differ in few entries stretch most
    g = np.where(rng.random(g.shape) < 0.5, g, h)
    g[::2] = h[::2] + 2.0**-20 * (g - h)[::2]
    x, y = (corners(rng, box.input_low, box.input_high, 40) for _ in "xy")
    low, high = cell.image(box)
    new = cell.step(h, x)
    error = cell.step_error(np.maximum(box.reach, 1.0), np.full(cell.input_dim, bound))
    assert np.all(low - error <= new)
    assert np.all(new <= high + error)
    apart, moved = np.abs(h - g), np.abs(new - cell.step(g, x))
    bounds = np.max([apart @ A.T for A in cell.comparison(box)], axis=0)
    assert np.all(moved <= bounds + 3 * error)
    by_input = np.abs(x - y) @ cell.input_comparison(box).T
    assert np.all(np.abs(new - cell.step(h, y)) <= by_input + 3 * error)
    visible = bounds > 2**20 * error
    if visible.any():
        target(float(np.max(moved[visible] / bounds[visible])), label=name)
    # whatever starts inside stays inside, up to the rounding of a step
    run = cell.simulate(corners(rng, box.input_low, box.input_high, 30), h[0])
    assert np.all((box.low - error <= run) & (run <= box.high + error))


@pytest.mark.parametrize("name", MAKERS)
def test_jacobians_are_within_the_comparison(name):
    worst = 0.0
    for seed in range(5):
        cell, rng = drawn(name, seed, 0.25)
        box = invariant_domain(cell, inputs=Inputs.box(-0.5, 0.5))
        h = corners(rng, box.low, box.high, 200)
        x = corners(rng, box.input_low, box.input_high, 200)
        J = np.abs(cell.jacobian_state(h, x))
        largest = np.maximum.reduce(cell.comparison(box))
        assert np.all(largest * (1 + 1e-9) + 1e-12 >= J)
        worst = max(worst, float(np.max(J.max(axis=0) / np.maximum(largest, 1e-300))))
    # no matrix is idle: some entry is nearly reached
    assert worst > 0.7


def test_where_there_is_no_matrix_there_is_none():
    rng = np.random.default_rng(0)
    w = rng.standard_normal
    # c multiplies a gate that moves with h and with x: no constant serves all states
    for cell in (LSTM(w((8, 2)), w((8, 1))), GRU(w((6, 2)), w((6, 1)))):
        assert cell.comparison() is None
        assert cell.input_comparison() is None
        # nor is there a bounded box, or a contraction, without a bound of the inputs
        assert invariant_domain(LSTM(w((8, 2)), w((8, 1)))) is None
    # a forget gate that does not move has one
    still = np.array(w((8, 2)))
    still[2:4] = 0.0
    assert LSTM(still, np.where(np.arange(8)[:, None] // 2 == 1, 0.0, w((8, 1)))).comparison()
    # recurrences without feedback shrink nothing for certain when all inputs are allowed
    layer = SelectiveSSM([[1.0]], [[1.0]], [[1.0]])
    assert layer.comparison()[0].tolist() == [[1.0]]
    assert layer.input_comparison() is None


def test_domains_of_another_map_are_refused():
    box = Domain(low=[-1.0], high=[1.0], input_low=[0.0], input_high=[1.0])
    cells = (LSTM(np.zeros((4, 1)), np.zeros((4, 1))), DiagonalSSM([0.5], [[1.0]]))
    for cell in cells:
        for method in (cell.image, cell.comparison, cell.input_comparison):
            with pytest.raises(ValueError, match="the domain has 1 states and 1 inputs, needed 2"):
                method(box)


def test_the_invariant_box_of_a_constant_gate_is_exact():
    # c+ = c / 2 + tanh(3) / 2 x for |x| <= 1 through the candidate: |c| <= tanh(3)
    cell = LSTM(np.zeros((4, 1)), [[0.0], [0.0], [3.0], [0.0]])
    box = invariant_domain(cell, inputs=Inputs.box(-1.0, 1.0))
    assert box.high[0] == pytest.approx(np.tanh(3.0), rel=1e-6)
    assert box.low[0] == -box.high[0]


def test_the_box_of_a_selective_layer_depends_on_its_discretisation():
    # softplus(-1 + .5) at most; zoh: |h| <= sup |B u| / a, euler: Delta / (1 - exp(-a Delta))
    def make(rule):
        return SelectiveSSM([[1.0]], [[0.5]], [[0.0]], [-1.0], [1.0], discretization=rule)

    step = np.log1p(np.exp(-0.5))
    zoh, euler = (
        invariant_domain(make(r), inputs=Inputs.box(-1.0, 1.0)).high[0] for r in ("zoh", "euler")
    )
    assert zoh == pytest.approx(1.0, rel=1e-6)
    assert euler == pytest.approx(step / -np.expm1(-step), rel=1e-6)


def test_an_end_beside_zero_carries_the_rounding_of_the_other():
    # a state, and so an output, of [-1e-17, 1], as a product with a matrix leaves it
    scaled = [Dense(np.array([[0.7]])), Dense(np.array([[0.35, 0.0]]))]
    cell = MinGRU([[0.3], [0.5]])
    for bound in np.linspace(0.05, 3.0, 60):
        inputs = Inputs.box(0, float(bound))
        for model in (cell, Block(cell, before=scaled[0], after=scaled[1])):
            box = invariant_domain(model, inputs=inputs)
            assert box is not None
            assert is_invariant(model, box)
            assert np.all(box.low >= -1e-12)


def test_a_layer_sees_what_the_one_below_can_give():
    low = LSTM(np.zeros((4, 1)), [[0.0], [0.0], [0.1], [0.0]])
    top = GRU([[0.1]] * 3, [[1.0]] * 3)
    cell = Cascade([low, top])
    box = invariant_domain(cell, inputs=Inputs.box(-1.0, 1.0))
    below, above = cell.layer_domains(box)
    assert below.same_as(invariant_domain(low, inputs=Inputs.box(-1.0, 1.0)))
    # h = o tanh(c) = tanh(tanh(.1)) / 2 of the new state
    assert above.input_high[0] == pytest.approx(np.tanh(np.tanh(0.1)) / 2, rel=1e-5)
    assert box.same_as(
        Domain(
            low=np.append(below.low, above.low),
            high=np.append(below.high, above.high),
            input_low=below.input_low,
            input_high=below.input_high,
        )
    )


def test_an_rglru_that_is_carried_away_from_zero_stays_in_its_tube():
    # r = i = 1/2; the state after (1, 0) was below the tube by 2.8e-14 of itself
    unit = RGLRU(U=[[0.0], [0.0]], Lambda=[-5.0], scale=4.0)
    tube = reach_tube(unit, [[1.0], [0.0]], k=2)
    with bits(300):
        step = exact_step(unit)
        h = step(step(balls(np.zeros(1)), balls(np.ones(1))), balls(np.zeros(1)))[0]
        assert h >= tube.low[2, 0]
        assert h <= tube.high[2, 0]


def test_the_image_of_an_rglru_away_from_zero():
    # the lower end is least at one of the two decays: 1.0167 at one, .904 on the way to the other
    unit = RGLRU(U=[[40.0], [0.0]], Lambda=[3.0], b=[-20.0, 0.0], scale=8.0)
    box = Domain(low=[1.0], high=[6.0], input_low=[0.4], input_high=[0.6], start=False)
    left = unit.step(np.array([1.0]), np.array([0.55]))
    assert unit.image(box)[0] <= left < box.low
    assert not is_invariant(unit, box)


def test_the_image_of_an_euler_step_away_from_zero():
    # exp(-D) h + D w is concave in D for h < 0: largest inside, -1.6396; the ends give -1.7198
    layer = SelectiveSSM([[1.0]], [[30.0]], [[0.0]], b_step=[28.0], b_B=[1.0])
    box = Domain(low=[-2.2], high=[-2.0], input_low=[-1.0], input_high=[-0.9], start=False)
    x = np.linspace(-1.0, -0.9, 401)[:, None]
    reached = layer.step(np.full((401, 1), -2.0), x).max()
    assert reached <= layer.image(box)[1] < reached + 0.03


def test_a_stack_is_carried_away_from_zero():
    rng = np.random.default_rng(5)
    for seed in range(6):
        cell, _ = drawn("mixed_stack", seed, 0.5)
        x = rng.uniform(-1, 1, (6, M))
        tube = reach_tube(cell, x, k=6)
        run = np.vstack([np.zeros(cell.state_dim), cell.simulate(x)])
        drift = 2.0**-40
        assert np.all((tube.low - drift <= run) & (run <= tube.high + drift))
        assert tube.widths[-1].max() < tube.widths[0].max()


@pytest.mark.parametrize("bias", [0.0, 17.0, 18.0, 30.0, 36.0, 100.0, 700.0])
def test_boxes_at_large_forget_biases(bias):
    # |c| <= i g / (1 - f): provable as long as 1 - f is a positive double, found up to 17 before
    cell = LSTM(0.1 * np.ones((4, 1)), np.ones((4, 1)), [0.0, bias, 0.0, 0.0])
    box = invariant_domain(cell, inputs=Inputs.box(-1, 1))
    assert is_invariant(cell, box)
    entry, candidate = 1 / (1 + np.exp(-1.1)), np.tanh(1.1)
    largest = entry * candidate * (1 + np.exp(bias + 1.1))
    assert box.high[0] <= largest * (1 + 1e-6)
    # from its end a state loses what it gains
    h = np.array([box.high[0], box.high[1]])
    assert cell.step(h, np.array([1.0]))[0] <= box.high[0] * (1 + 1e-15)


@pytest.mark.parametrize("peepholes", [False, True])
def test_a_saturated_output_stays_within_one(peepholes):
    """Rounded outward o tanh(c) reached past 1, and out of the box, so that there was none."""
    U, b = np.array([[100.0], [0.0], [0.0], [100.0]]), np.array([0.0, 6.6, 100.0, 0.0])
    cell = PeepholeLSTM(np.zeros((4, 1)), U, b, np.zeros(3)) if peepholes else LSTM(
        np.zeros((4, 1)), U, b
    )  # fmt: skip
    box = invariant_domain(cell, inputs=Inputs.box(-1, 1))
    assert box is not None
    assert 700 < box.high[0] < 800
    assert box.high[1] == 1
