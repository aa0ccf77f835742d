"""Contexts of stacks whose recurrences turn what they remember: complex modes and delta rules."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings, target
from hypothesis import strategies as st

from theory import Cascade, DiagonalSSM, Inputs, Linf, MinGRU, VanillaRNN, contraction
from theory.certify import find_certificates, invariant_domain, reached_domain
from theory.certify.certificate_file import certificate_from_dict, certificate_to_dict
from theory.certify.recheck import recheck
from theory.domain import Domain, Reached
from theory.maps import (
    Block,
    Chain,
    DeltaRule,
    Dense,
    LinearHead,
    Normalize,
    Pointwise,
    Product,
    Select,
    Sum,
    short_convolution,
)
from theory.maps.reached import holds_on, is_reached, kept_domain
from theory.memory import required_context, smallest_error
from theory.memory.entrywise import gap_after_step
from theory.memory.moves import BY_LENGTHS, errors_by_moves, moves_of
from theory.norms import L1, L2

seeds = st.integers(0, 2**32 - 1)
KINDS = ("lru", "delta", "rnn")
every = pytest.mark.parametrize("kind", KINDS)


def core(rng, kind, m, rate):
    """Return a recurrence that turns its state and shrinks its length at most by the rate."""
    w = rng.standard_normal
    if kind == "lru":
        # of the first |Re| + |Im| is larger than 1
        turns = rate * np.array([1.0, 0.8]) * np.exp(1j * rng.uniform(0.8, 2.3, 2))
        return DiagonalSSM([*turns, 0.5 * rate], w((3, m)) + 1j * w((3, m)))
    if kind == "delta":
        U = w((6, m))
        # w = sigma(p)^decay, p at most 1
        U[4] /= np.abs(U[4]).sum()
        decay = -math.log(rate) / math.log1p(math.exp(-1.0))
        return DeltaRule(U, decay=[decay], heads=1, keys=2, values=2, eps=0.1)
    Q = np.linalg.qr(w((3, 3)))[0]
    return VanillaRNN(rate * Q, w((3, m)))


def block(rng, kind, width=2, rate=0.8):
    """Return norm, recurrence and gated units, both residual."""
    w = rng.standard_normal
    inner = core(rng, kind, width, rate)
    n = inner.state_dim
    norm = Normalize(np.ones(width), eps=0.1)
    grown = Dense(np.hstack([0.5 * w((width, n)), np.eye(width)]), w(width))
    gate = Chain([Select(0, stop=width, size=2 * width), Pointwise("silu", width)])
    value = Select(width, stop=2 * width, size=2 * width)
    units = [norm, Dense(w((2 * width, width))), Product([gate, value]), Dense(w((width, width)))]
    after = Chain([grown, Sum([Select(0, stop=width, size=width), Chain(units)])])
    before = Chain([norm, Dense(w((width, width))), Pointwise("tanh", width)])
    return Block(inner, before=before, after=after)


def stack(rng, kind, rate=0.8):
    """Return two blocks behind short convolutions."""
    layers = [f for _ in range(2) for f in (short_convolution(rng.standard_normal((2, 2))),
                                            block(rng, kind, rate=rate))]  # fmt: skip
    return Cascade(layers)


def worst(model, C, rows, length, k):
    """Return the largest gap of outputs that any history of so many tokens makes."""
    every = np.array(list(itertools.product(range(len(rows)), repeat=length)))
    whole = model.simulate(rows[every])[:, -1]
    late = model.simulate(rows[every[:, length - k :]])[:, -1] if k else np.zeros_like(whole)
    return float(np.max(np.abs((whole - late) @ C.T)))


def bounds(model, inputs, C, k):
    """Return the errors that are proved for 0 .. k, on the box or else on balls."""
    domain = invariant_domain(model, inputs=inputs) or kept_domain(model, inputs=inputs)
    assert holds_on(model, domain)
    return np.minimum.reduce([*errors_by_moves(model, domain, k, LinearHead(C), Linf()).values()])


@every
@example(seed=3363)  # each layer has a box where none is found for all together
@settings(max_examples=3)
@given(seed=seeds)
def test_no_history_forgets_less_than_is_proved(kind, seed):
    """All histories over two tokens, of a bare block and of two: their gaps are below the bound."""
    rng = np.random.default_rng(seed)
    for model in (block(rng, kind), stack(rng, kind)):
        rows, C = 0.3 * rng.standard_normal((2, 2)), np.eye(model.state_dim)[-2:]
        proved = bounds(model, Inputs.any_of(rows), C, 4)
        for k in (1, 4):
            gap = worst(model, C, rows, 8, k)
            assert gap <= proved[k] * (1 + 1e-12)
            target(gap / proved[k], label=f"{type(model).__name__}, {k}")


@pytest.mark.parametrize("kind", ["lru", "delta"])
def test_stacks_that_turn_have_a_context(kind):
    """Entry by entry they need not shrink; under fewer inputs they never need more context."""
    rng = np.random.default_rng(7)
    model = stack(rng, kind)
    C = np.eye(model.state_dim)[-2:]
    corners = np.array(list(itertools.product([-0.5, 0.5], repeat=2)))
    ask = {"head": C, "norm": Linf(), "effort": 0}
    choice = required_context(model, 0.1, inputs=Inputs.any_of(corners[:2]), **ask)
    assert BY_LENGTHS in {name for name, _, _ in choice.considered}
    errors = choice.errors(choice.k)
    assert errors[-1] <= 0.1 < errors[-2]
    kept = [bounds(model, x, C, choice.k)[-1] for x in
            (Inputs.any_of(corners[:2]), Inputs.any_of(corners), Inputs.box(-1, 1))]  # fmt: skip
    assert kept == sorted(kept)
    assert kept[0] <= 0.1


@pytest.mark.parametrize("norm", [L1(), L2(), Linf()], ids=str)
def test_the_bound_of_a_mode_is_sharp_up_to_its_turns(norm):
    r"""A mode's outputs are off by |lambda|^k sum_m |Re lambda^m c b| at the worst.

    That is 2 / pi of the bound if the turns are dense, and all of it if they are by half a circle.
    """
    ratios = []
    for angle in (1.0, math.pi):
        layer = DiagonalSSM([0.98 * np.exp(1j * angle) + (1e-9j if angle > 3 else 0)], [[1.0]])
        wrapped = Block(layer, after=Dense([[1.0, 0.0, 0.0]]))
        asked = {"inputs": Inputs.box(-1, 1), "norm": norm, "effort": 0}
        bound = smallest_error(wrapped, 40, head=[[0.0, 0.0, 1.0]], **asked)
        exact = smallest_error(layer, 40, head=[[1.0, 0.0]], **asked)
        assert bound.error >= exact.lower
        assert BY_LENGTHS in {name for name, _, _ in bound.considered}
        ratios.append(exact.lower / bound.error)
        k = [required_context(model, 0.05, head=head, **asked).k
             for model, head in ((wrapped, [[0.0, 0.0, 1.0]]), (layer, [[1.0, 0.0]]))]  # fmt: skip
        assert k[1] <= k[0] <= k[1] + math.ceil(math.log(math.pi / 2) / -math.log(0.98)) + 1
    assert 2 / math.pi - 0.01 < ratios[0] < 2 / math.pi + 0.01
    assert ratios[1] > 0.999


@every
def test_balls_are_proved_again_and_smaller_ones_are_not(kind):
    """Each radius is needed: no ball that is a hundredth smaller is accepted."""
    model = block(np.random.default_rng(3), kind, rate=0.95)
    found = reached_domain(model, inputs=Inputs.box(-1, 1))
    if kind == "rnn":  # its activation keeps it in a box
        assert found is None or not found.reached.ball
        return
    assert found.reached.ball == "lengths"
    assert is_reached(model, replace_ends(found, 1.0))
    assert not is_reached(model, replace_ends(found, 0.99))
    H = model.simulate(np.sign(np.random.default_rng(0).standard_normal((20, 400, 2))))
    assert np.all((found.low <= H) & (found.high >= H))
    # the box around the balls is left from its corners
    assert invariant_domain(model, inputs=Inputs.box(-1, 1)) is None


def test_a_box_of_outputs_that_never_holds_0_is_no_domain_from_zero():
    """Every output is above 4, but where a run starts the state is 0."""
    model = Block(DiagonalSSM([0.5j], [[1.0]]), after=Dense([[0.1, 0.0, 0.0]], [5.0]))
    for least in (0.0, 4.0):
        domain = Domain(low=[-3, -3, least], high=[3, 3, 9], input_low=[-1], input_high=[1],
                        start=False, reached=Reached(ball="lengths"))  # fmt: skip
        assert is_reached(model, domain) == (least == 0)


def replace_ends(domain, share):
    return type(domain)(
        low=share * domain.low, high=share * domain.high, input_low=domain.input_low,
        input_high=domain.input_high, reached=domain.reached,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["lru", "delta"])
def test_what_was_found_before_is_worth_as_much(kind):
    """Also where a certificate everywhere leaves no reason to ask what is reached."""
    model = block(np.random.default_rng(5), kind)
    C, inputs = np.eye(model.state_dim)[-2:], Inputs.box(-1, 1)
    known = find_certificates(model, inputs, effort=0, iterates=False)
    ask = {"inputs": inputs, "head": C, "norm": Linf(), "effort": 0}
    found = [required_context(model, 0.1, certificates=c, **ask).k for c in (None, known)]
    assert found[0] == found[1]


@pytest.mark.parametrize("kind", ["lru", "delta"])
def test_a_transition_is_certified_and_checked_again_from_a_file(kind):
    model = block(np.random.default_rng(5), kind, rate=0.9)
    c = contraction(model, inputs=Inputs.box(-1, 1), effort=0)
    assert c.evidence.method == "transition"
    assert c.lam <= 0.9 * (1 + 1e-12)
    stored = certificate_from_dict(certificate_to_dict(model, c))
    assert recheck(stored, model)
    assert recheck(replace(stored, rate=c.lam * 0.99), model).failed == "inequality"


@example(seed=0)
@settings(max_examples=10)
@given(seed=seeds)
def test_layer_by_layer_is_no_worse_than_the_product_of_all_layers(seed):
    rng = np.random.default_rng(seed)
    layers = []
    for _ in range(2):
        after = Chain([Dense(rng.standard_normal((2, 4))), Pointwise("tanh", 2)])
        layers.append(Block(MinGRU(rng.standard_normal((4, 2))), after=after))
    model = Cascade(layers)
    box = invariant_domain(model, inputs=Inputs.box(-1, 1))
    moves, matrices = moves_of(model, box, lengths=False), model.comparison(box)
    assert not moves_of(model, box, lengths=True).grouped
    e = gap = box.reach
    for _ in range(5):
        e, gap = moves.after(e), gap_after_step(matrices, gap)
        assert np.all(e <= gap * (1 + 1e-12))
        assert np.all(gap <= e * (1 + 1e-9))


def test_long_matrices_with_few_entries_are_multiplied_by_these():
    """A shift is stored sparse; its products keep exact zeros, and are no smaller."""
    model = short_convolution(np.random.default_rng(1).standard_normal((12, 4)))
    box = invariant_domain(model, inputs=Inputs.box(-1, 1))
    moves = moves_of(model, box, lengths=False)
    e = gap = box.reach
    for k in range(1, 6):
        e, gap = moves.after(e), gap_after_step(model.comparison(box), gap)
        assert np.allclose(e, gap, rtol=1e-9, atol=0)
        assert np.all(e[:-12] >= 0)
        assert e.any() == (k < 4)
