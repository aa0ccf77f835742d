"""Comparison systems: the hierarchy of criteria, oracles, gaps entry by entry, layers."""

import math

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
    DiagonalSSM,
    Domain,
    EchoStateNetwork,
    Inputs,
    LinearHead,
    LinearMap,
    Linf,
    MinGRU,
    SelectiveSSM,
    VanillaRNN,
    WeightedL2,
    contraction,
    truncate,
    truncation_gaps,
)
from theory.arithmetic.rounding import UNIT
from theory.certify import contractions, invariant_domain
from theory.certify.gated import delta_iss_holds, gate_bound_matrix
from theory.maps.invariance import is_invariant
from theory.memory import componentwise_gap, layer_gaps
from theory.memory.context import required_context, smallest_error
from theory.memory.entrywise import componentwise_context
from theory.memory.layers import layer_rates
from theory.theorems import context_length
from theory.theorems.contractive_of_comparison import SEARCH_SLACK
from theory.theorems.contractive_of_gate_norms import gate_norms

seeds = st.integers(0, 2**32 - 1)

#: The relative rounding of bounds that one criterion takes row by row and another all in one, and
#: the end of the search for weights.
NEAR = 2 * SEARCH_SLACK + 2.0**-22


def random_lstm(seed):
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(1, 6)), int(rng.integers(1, 4))
    scale = 10.0 ** rng.uniform(-1.5, 0.0)
    return LSTM(
        scale / n * rng.standard_normal((4 * n, n)),
        scale * rng.standard_normal((4 * n, m)),
        scale * rng.standard_normal(4 * n),
    )


@settings(max_examples=50)
@given(seeds, st.sampled_from((0.0, 0.3, 1.0)))
def test_finer_criteria_are_never_worse(seed, bound):
    """(c) per unit <= (b) two rows, by gate bounds <= (a) row sums, as published."""
    cell = random_lstm(seed)
    methods = ("gate_norms", "delta_iss", "comparison")
    found = contractions(cell, inputs=Inputs.box(-bound, bound), methods=methods)
    published = gate_norms(**cell.parameters, input_bound=bound).published
    assert not published or "gate_norms" in found
    if "gate_norms" in found:
        assert found["delta_iss"].lam <= found["gate_norms"].lam * (1 + NEAR)
    if "delta_iss" in found:
        assert found["comparison"].lam <= found["delta_iss"].lam * (1 + NEAR)
    # the 2 x 2 matrix with spectral radius below 1 is the published condition of stability
    made = gate_bound_matrix(cell, input_bound=bound)
    if made is not None:
        radius = float(np.max(np.abs(np.linalg.eigvals(made[0]))))
        if abs(radius - 1) > 1e-9:
            assert delta_iss_holds(made[0]) == (radius < 1) == ("delta_iss" in found)


@settings(max_examples=40)
@given(seeds, st.sampled_from(["reset_after", "reset_before"]), st.sampled_from((0.0, 1.0)))
def test_a_gru_by_units_is_never_worse_than_by_row_sums(seed, variant, bound):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 6))
    scale = 10.0 ** rng.uniform(-1.5, 0.0)
    cell = GRU(
        scale / n * rng.standard_normal((3 * n, n)),
        scale * rng.standard_normal((3 * n, 2)),
        scale * rng.standard_normal(3 * n),
        variant=variant,
    )
    methods = ("delta_iss", "comparison")
    found = contractions(cell, inputs=Inputs.box(-bound, bound), methods=methods)
    if "delta_iss" in found:
        assert found["comparison"].lam <= found["delta_iss"].lam * (1 + NEAR)


# ------------------------------------------------------------------------------------------ oracles


def test_one_unit_of_the_recalled_constants():
    # B3.two_d1, B3.unit_d1; lambda_inf = .996055, f = .637724
    cell = LSTM([[0.36], [0.128], [0.09], [0.36]], np.full((4, 1), 0.25), np.full(4, 0.25))
    norms = gate_norms(**cell.parameters, input_bound=0.75)
    assert norms.forget == pytest.approx(0.637724, abs=1e-6)
    found = contractions(cell, inputs=Inputs.box(-0.75, 0.75))
    assert found["gate_norms"].lam == pytest.approx(0.996055, abs=1e-6)
    assert found["delta_iss"].lam == pytest.approx(0.739817, abs=1e-6)
    box = found["comparison"].domain
    assert box.high[0] == pytest.approx(0.7457, abs=2e-4)
    assert abs(box.low[0]) < 1e-100
    # the oracle takes the slope 1 of tanh for the new cell state, which the box keeps from 0
    assert found["comparison"].lam <= 0.7045310808650487
    assert found["comparison"].lam == pytest.approx(0.7045310808650487, rel=2e-4)


def test_two_units_that_only_their_own_bounds_certify():
    # B3.oracle2: sigma(-1) + sqrt(.15) / 4
    W, b = np.zeros((8, 2)), np.zeros(8)
    W[4:6] = [[0.0, 1.5], [0.1, 0.0]]
    b[2:4] = -1.0
    cell = LSTM(W, np.zeros((8, 1)), b)
    found = contractions(cell, inputs=Inputs.box(-1.0, 1.0))
    assert list(found) == ["comparison", "euclidean", "metric"]  # and not one row for all units
    assert found["comparison"].lam == pytest.approx(0.36576600502518053, rel=1e-8)
    made, _ = gate_bound_matrix(cell, input_bound=1.0)
    assert np.max(np.abs(np.linalg.eigvals(made))) > 1
    assert not gate_norms(W, np.zeros((8, 1)), b, input_bound=1.0).published


def test_the_exact_rate_of_a_leaky_network():
    # B1.leaky: a = .1, naive 1.6, exact .9
    cell = EchoStateNetwork([[-5.0, 2.0], [2.0, -5.0]], np.eye(2), leak=0.1)
    assert contraction(cell).lam == pytest.approx(0.9, rel=1e-12)
    least, largest = cell.comparison()
    assert least == pytest.approx(np.diag([0.9, 0.9]))
    assert largest == pytest.approx(np.array([[0.4, 0.2], [0.2, 0.4]]))


def test_a_selective_layer_under_bounded_inputs():
    # B5.mamba_lam, B5.mamba_k: a = 1, b = -1, |w|_1 B = .5; 35 sharp, 38 by the drive
    layer = SelectiveSSM([[1.0]], [[0.5]], [[0.0]], [-1.0], [1.0], discretization="zoh")
    found = contraction(layer, inputs=Inputs.box(-1.0, 1.0))
    assert 0 <= found.lam - 0.8175744761936437 <= 64 * UNIT
    assert required_context(layer, 1e-3, inputs=Inputs.ball(1.0)).k == 35
    drive = layer.drive(found.norm, inputs=[[1.0], [-1.0]])
    assert context_length(found, eps=1e-3, drive=drive) == 38
    # without a bound of the inputs no rate below 1 serves all of them
    assert contraction(layer) is None
    assert contraction(MinGRU([[1.0], [1.0]])) is None


# --------------------------------------------------------------------------------------------- gaps


def driven(seed, n=4):
    rng = np.random.default_rng(seed)
    cell = LSTM(
        0.1 * rng.standard_normal((4 * n, n)),
        0.3 * rng.standard_normal((4 * n, 2)),
        0.3 * rng.standard_normal(4 * n),
    )
    return cell, rng.choice([-1.0, 1.0], (30, 2)), rng


@settings(max_examples=25)
@given(seeds, st.integers(0, 12))
def test_entrywise_gaps_hold_and_beat_the_rate(seed, k):
    cell, x, _ = driven(seed)
    box = invariant_domain(cell, inputs=Inputs.box(-1.0, 1.0))
    states = cell.simulate(x)
    gap = np.abs(states - truncate(cell, k).states(x))[-1]
    error = 40 * cell.step_error(box.reach, np.ones(2))
    observed = componentwise_gap(cell, box, k=k, past=np.abs(states[-1 - k]))
    assert np.all(gap <= observed + error)
    assert np.all(observed <= componentwise_gap(cell, box, k=k) * (1 + 1e-9))
    found = contraction(cell, method="comparison", inputs=Inputs.box(-1.0, 1.0))
    if found is not None:
        by_rate = found.lam**k * found.norm.majorant(box.reach) * found.norm.v
        assert np.all(componentwise_gap(cell, box, k=k) <= by_rate * (1 + 1e-9))


def test_the_context_of_an_lstm_and_of_its_output():
    cell, _, rng = driven(5)
    head = LinearHead(rng.standard_normal((1, 4)))
    choice = required_context(cell, 1e-3, inputs=Inputs.ball(1.0), head=head)
    assert choice.error <= 1e-3
    names = [name for name, _, _ in choice.considered]
    assert names[-1] == "comparison, entry by entry"
    entrywise = choice.considered[-1][2]
    # the same bounds of coefficients, in the weighted maximum norm and entry by entry
    assert entrywise <= min(k for name, _, k in choice.considered if name == "comparison")
    assert choice.k == min(k for _, _, k in choice.considered)
    # a head on h alone is one on (c, h) with zeros for c
    whole = LinearHead(np.hstack([np.zeros((1, 4)), head.C]))
    assert required_context(cell, 1e-3, inputs=Inputs.ball(1.0), head=whole).k == choice.k
    # one step less is not proved, and the inverse question agrees
    box = choice.contraction.domain
    assert componentwise_context(cell, box, eps=1e-3, head=whole) == entrywise
    assert smallest_error(cell, choice.k, inputs=Inputs.ball(1.0), head=head).error == choice.error
    assert smallest_error(cell, choice.k - 1, inputs=Inputs.ball(1.0), head=head).error > 1e-3
    # and it holds along a run
    x = np.random.default_rng(6).choice([-1.0, 1.0], (200, 2)) / math.sqrt(2)
    apart = whole(cell.simulate(x)) - whole(truncate(cell, choice.k).states(x))
    assert np.max(np.abs(apart)) <= 1e-3
    with pytest.raises(ValueError, match=r"needed \(p, 8\) for the whole state or \(p, 4\)"):
        required_context(cell, 1e-3, inputs=Inputs.ball(1.0), head=LinearHead(np.eye(3)))


def test_norms_that_are_not_monotone_are_left_to_the_rate():
    cell, _, _ = driven(5)
    full = WeightedL2(np.eye(8) + 0.1)
    choice = required_context(cell, 1e-3, inputs=Inputs.ball(1.0), norm=full)
    assert [name for name, _, _ in choice.considered] == ["comparison", "euclidean"]
    with pytest.raises(ValueError, match="not monotone"):
        componentwise_context(cell, choice.contraction.domain, eps=1e-3, norm=full)


def test_malformed_questions_about_gaps():
    cell, _, _ = driven(5)
    box = invariant_domain(cell, inputs=Inputs.box(-1.0, 1.0))
    for call, message in (
        (lambda: componentwise_gap(cell, box, k=-1), "k="),
        (lambda: componentwise_gap(cell, box, k=1, past=-np.ones(8)), "past has least entry"),
        (lambda: componentwise_gap(LinearMap([[0.5]], [[1.0]]), k=1), "neither domain= nor past="),
        (lambda: componentwise_gap(cell, k=1, past=np.ones(8)), "no matrix is known"),
        (lambda: componentwise_context(cell, box, eps=0.0), "eps="),
        (
            lambda: contraction(cell, domain=box, inputs=Inputs.box(-1.0, 1.0)),
            "at most one of them",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    assert (
        contraction(CallableMap(lambda h, x: h / 2 + x, 1, 1), inputs=Inputs.box(-1.0, 1.0)) is None
    )


# ------------------------------------------------------------------------------------------- layers


def test_a_stack_forgets_at_the_slower_rate_of_its_layers():
    rng = np.random.default_rng(0)
    low = VanillaRNN(0.3 * np.eye(2), rng.standard_normal((2, 1)))
    top = DiagonalSSM([0.9 * np.exp(2.0j)], [[1.0, 1.0j]])
    stack = Cascade([low, top])
    found = layer_rates(stack)
    assert found.rates == pytest.approx([0.3, 0.9], rel=1e-9)
    # entry by entry |Re| + |Im| of the eigenvalue is above 1, so only the rates certify it
    assert contraction(stack, method="comparison") is None
    assert 0.9 <= contraction(stack).lam <= 0.9 * 1.01
    x = rng.choice([-1.0, 1.0], (120, 1))
    states = stack.simulate(x)
    for k in (0, 1, 5, 30):
        bound = layer_gaps(stack, k=k, past=np.abs(states[-1 - k]))
        gap = states[-1] - truncate(stack, k).states(x)[-1]
        for rows, norm, most in zip(stack.slices, found.norms, bound, strict=True):
            assert norm.vector(gap[rows]) <= most * (1 + 1e-12) + 1e-13
    assert bound[1] <= 2 * 0.9**30 * (np.abs(states[-31]).sum() * 3)


def test_depth_costs_a_polynomial():
    # three scalar layers of one rate: (M^k)_{31} = L^2 lam^k k (k + 1) / 2
    layer = LinearMap([[0.9]], [[0.5]])
    stack = Cascade([layer] * 3)
    for k in (1, 4, 25):
        bound = layer_gaps(stack, k=k, past=[1.0, 0.0, 0.0])
        exact = [0.9**k, 0.5 * k * 0.9**k, 0.25 * k * (k + 1) / 2 * 0.9**k]
        assert bound == pytest.approx(exact, rel=1e-9)
        assert np.all(bound >= np.array(exact) * (1 - 64 * UNIT))


def test_layers_without_rates():
    assert layer_rates(LinearMap([[0.5]], [[1.0]])) is None
    unstable = Cascade([LinearMap([[2.0]], [[1.0]]), LinearMap([[0.5]], [[1.0]])])
    assert layer_gaps(unstable, k=3, past=[1.0, 1.0]) is None
    gated = Cascade([LSTM(np.zeros((4, 1)), np.ones((4, 1))), LinearMap([[0.5]], [[1.0]])])
    assert layer_rates(gated) is None
    box = invariant_domain(gated, inputs=Inputs.box(-1.0, 1.0))
    assert layer_rates(gated, box).rates[1] == 0.5
    assert isinstance(layer_rates(gated, box).norms[1], (L2, Linf))
    assert np.all(layer_gaps(gated, box, k=200) < 1e-6)


# ----------------------------------------------------------------------------------- invariance


def test_a_box_that_the_map_leaves_is_refused():
    """On |h| <= 1e-3 the slopes are near 1, but b = 3 drives the state to 0.995."""
    cell = VanillaRNN([[0.5]], [[1.0]], [3.0])
    box = Domain(low=[-1e-3], high=[1e-3], input_low=[0.0], input_high=[0.0])
    for call in (
        lambda: componentwise_gap(cell, box, k=1),
        lambda: componentwise_context(cell, box, eps=1e-3),
    ):
        with pytest.raises(ValueError, match="not proved forward invariant"):
            call()
    # the first step alone leaves it: its reach of 1e-3 would have bounded the gap at k = 0
    gap = truncation_gaps(cell, np.zeros((40, 1)), k_max=0, norm=Linf())[0]
    assert gap > 0.99


def test_layers_of_a_box_that_the_cascade_leaves_are_refused():
    layer = VanillaRNN([[0.5]], [[1.0]])
    biased = VanillaRNN([[0.5]], [[1.0]], [3.0])
    for stack in (Cascade([biased, layer]), Cascade([layer, biased])):
        box = invariant_domain(stack, inputs=Inputs.box(-1.0, 1.0))
        ends = {"input_low": box.input_low, "input_high": box.input_high}
        # the parts of an invariant box are invariant under what the layer below passes on
        assert all(map(is_invariant, stack.layers, stack.layer_domains(box)))
        assert layer_gaps(stack, box, k=2).shape == (2,)
        for i in range(2):
            high = box.high.copy()
            high[i] *= 0.5
            small = Domain(low=box.low, high=high, **ends)
            parts = stack.layer_domains(small)
            assert is_invariant(stack, small) == all(map(is_invariant, stack.layers, parts))
            assert not is_invariant(stack, small)
            for call in (layer_rates, lambda s, d: layer_gaps(s, d, k=2)):
                with pytest.raises(ValueError, match="not proved forward invariant"):
                    call(stack, small)


def test_a_stored_state_has_the_size_of_one_in_the_domain():
    cell = VanillaRNN([[0.5]], [[1.0]])
    box = invariant_domain(cell, inputs=Inputs.box(-0.1, 0.1))
    assert componentwise_gap(cell, box, k=1, past=box.reach)[0] > 0
    for call in (componentwise_gap, lambda *a, **b: layer_gaps(Cascade([cell]), *a[1:], **b)):
        with pytest.raises(ValueError, match=r"past\[0\]=2 is the size of no state of the domain"):
            call(cell, box, k=1, past=[2.0])
