"""What a window leaves of every past: the bounds are attained, the context is the measured one."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory import RGLRU, DeltaRule, Inputs, LinearMap, MinGRU, SelectiveSSM, contraction
from theory.maps import (
    Block,
    Chain,
    Dense,
    LinearAttention,
    Pointwise,
    gated_delta,
    gla,
    mamba2,
    mlstm,
    retnet,
    rwkv7,
)
from theory.maps.boxes.delta import Parts, transition_upper
from theory.memory import (
    input_context,
    required_context,
    state_radius,
    transition_rate,
    window_context,
    window_decay,
    window_gaps,
)

M = 3
seeds = st.integers(0, 2**32 - 1)


def cells(rng):
    """Return one of every architecture, of a size that can be looked at."""

    def w(*shape):
        return rng.standard_normal(shape) / math.sqrt(M)

    before = Chain([Dense(w(4, M)), Pointwise("tanh", 4)])
    core = mlstm(w(4, 4), w(6, 4), W_i=w(2, 4), W_f=w(2, 4))
    delta = rwkv7(w(4, 4), w(4, 4), W_w=w(4, 4), W_a=w(4, 4), k_k=np.ones(4), k_a=w(4), heads=2)
    return {
        "Mamba": SelectiveSSM(np.exp(w(M, 2)), w(M, M), w(2, M), w(M)),
        "minGRU": MinGRU(w(8, M), w(8)),
        "RG-LRU": RGLRU(w(2 * M, M), w(M)),
        "RetNet": retnet(w(4, M), w(6, M), gamma=[0.5, 0.875]),
        "GLA": gla(w(4, M), w(6, M), W_gate=w(4, M), heads=2, temperature=4.0),
        "Mamba-2": mamba2(w(11, M), A=[1.0, 3.0], dt_bias=w(2), head_dim=3, state=3),
        "mLSTM": mlstm(w(4, M), w(6, M), W_i=w(2, M), W_f=w(2, M), b_f=[1.0, 2.0]),
        "gated delta": gated_delta(
            w(6, M), w(4, M), W_alpha=w(2, M), W_beta=w(2, M), A=[0.1, 0.3], reflects=True
        ),
        "RWKV-7": rwkv7(
            w(6, M), w(4, M), W_w=w(6, M), W_a=w(6, M), k_k=np.ones(6), k_a=w(6), heads=2
        ),
        "Block of mLSTM": Block(core, before=before),
        "Block of RWKV-7": Block(delta, before=before),
    }


every = pytest.mark.parametrize("name", cells(np.random.default_rng(0)))


def measured(layer, X):
    """Return the largest gaps that pasts of length 1 cause, for k = 0 .. T, by simulation.

    From 0 and from every unit vector: the gaps are the columns of a matrix, whose norm is asked.
    """
    n, found = layer.state_dim, [1.0]
    for k in range(1, len(X) + 1):
        window = np.repeat(X[None, -k:], n + 1, axis=0)
        ends = layer.simulate(window, np.vstack([np.zeros(n), np.eye(n)]))[:, -1]
        found.append(float(np.linalg.norm(ends[1:] - ends[0], 2)))
    return np.array(found)


@every
def test_the_context_is_the_measured_one(name):
    rng = np.random.default_rng(5)
    for _ in range(3):
        layer, X = cells(rng)[name], rng.standard_normal((70, M))
        gaps = measured(layer, X[-24:])
        low, high = window_gaps(layer, X[-24:])
        # a run rounds too: by an error of a step for each, of numbers of the size of the states
        states = np.abs(layer.simulate(X)).max(axis=0) + 1
        slack = 24 * np.linalg.norm(layer.step_error(states, np.abs(X).max(axis=0)))
        assert np.all(low <= high)
        assert np.all(low <= gaps + slack)
        assert np.all(gaps <= high + slack)
        assert np.all(high - low <= 1e-9 * high + 1e-9)
        for eps in (0.3, 0.02):
            found = window_context(layer, X, eps=eps)
            reached = np.flatnonzero(gaps <= eps)
            if len(reached) and np.min(np.abs(gaps / eps - 1)) > 1e-6:
                # to rounding the only k there is, where norms do not grow
                assert found.k == (reached[0] if "RWKV-7" not in name else found.k)
                assert found.exact
                assert high[found.k] <= eps < low[found.k - 1]
            # the size of the past scales the answer
            twice = window_context(layer, X, eps=2 * eps, past=2.0)
            assert (twice.k, twice.refuted) == (found.k, found.refuted)


@pytest.mark.parametrize("name", ["gated delta", "RWKV-7"])
def test_chunks_are_put_together(name):
    """More inputs than one chunk, and norms that have become tiny."""
    rng = np.random.default_rng(6)
    layer, X = cells(rng)[name], rng.standard_normal((200, M))
    A = layer.transitions(X)
    product, norms = np.tile(np.eye(3), (2, 1, 1)), [1.0]
    for t in reversed(range(200)):
        product = product @ A[t]
        norms.append(float(np.linalg.norm(product, 2, axis=(1, 2)).max()))
    low, high = window_gaps(layer, X)
    norms = np.array(norms)
    assert np.all(low * (1 - 1e-12) <= norms)
    assert np.all(norms <= high * (1 + 1e-12))
    for k in (1, 70, 130, 199):
        if low[k] < 1e-7:
            continue
        eps = float(high[k]) * (1 + 1e-6)
        found = window_context(layer, X, eps=eps)
        assert found.k is not None
        assert found.k <= k
        assert norms[found.k] <= eps


def test_the_gap_is_the_largest_of_the_entries():
    layer, X = MinGRU([[0.5], [-2.0], [1.0], [1.0]]), np.ones((9, 1))
    low, high = window_gaps(layer, X, past=3.0)
    each = np.array([window_decay(layer, X[9 - k :])[1].max() for k in range(10)])
    assert high == pytest.approx(3 * each, rel=1e-13)
    assert low == pytest.approx(3 * each, rel=1e-13)
    # longer than a chunk
    assert window_context(layer, np.ones((999, 1)), eps=1e-30).k == pytest.approx(
        math.log(1e-30) / math.log(window_decay(layer, X[:1])[1].max()), abs=1
    )


def test_too_few_inputs_say_so():
    for layer in (
        MinGRU([[0.0], [1.0]]),
        gated_delta(*[[[1.0]]] * 2, W_alpha=[[0]], W_beta=[[0]], A=[1]),
    ):
        found = window_context(layer, np.zeros((3, 1)), eps=0.01)
        assert (found.k, found.refuted, found.exact) == (None, 3, False)
        assert found.error == pytest.approx(0.125)
        assert window_context(layer, np.zeros((3, 1)), eps=1.0).k == 0
        assert window_context(layer, np.zeros((0, 1)), eps=0.5).k is None


@every
@settings(max_examples=12)
@given(seed=seeds)
def test_no_transition_is_above_the_rate(name, seed):
    rng = np.random.default_rng(seed)
    layer, bound = cells(rng)[name], float(rng.choice([0.0, 0.1, 1.0]))
    inputs = Inputs.box(-bound, bound)
    rate = transition_rate(layer, inputs)
    X = rng.uniform(-bound, bound, (20, M))
    J = layer.jacobian_state(np.zeros((20, layer.state_dim)), X)
    largest = np.linalg.norm(J, 2, axis=(1, 2))
    assert np.all(largest <= rate * (1 + 1e-12))
    # of these inputs alone it is the largest of theirs: exactly, but for rwkv7
    own = transition_rate(layer, X)
    assert own <= rate * (1 + 1e-12)
    if "RWKV-7" not in name:
        assert own == pytest.approx(largest.max(), rel=1e-10)
    # states that the inputs lead to
    if rate < 1:
        states = layer.simulate(rng.uniform(-bound, bound, (60, M)))
        assert np.linalg.norm(states, axis=1).max() <= state_radius(layer, inputs) + 1e-12
        k = input_context(layer, inputs, eps=0.01)
        low, _ = window_gaps(layer, X[: min(k, 20)], past=state_radius(layer, inputs))
        assert k > 20 or low[-1] <= 0.01


def test_the_bound_of_a_transition_is_attained():
    r"""sqrt(1 + t^2 / (o (2 - o))): the least factor for which every |r| <= 1 and every d serve."""
    for o, t in ((0.5, 0.4), (1.0, 0.7), (1.5, 0.3)):
        # two keys at the ends of d; r is turned until the norm is largest
        angles = np.linspace(0, math.pi / 2, 2001)
        r = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        A = np.eye(2) - np.array([o - t, o + t])[:, None] * r[:, :, None] * r[:, None, :]
        best = np.linalg.norm(A, 2, axis=(1, 2)).max()
        q = [math.log(d / (2 - d)) for d in (o - t, o + t)]
        parts = Parts(
            U=np.zeros((7, 1)),
            b=np.array([1.0, 1.0, 1.0, -800.0, -800.0, *q]),
            rows={"r": slice(0, 2), "v": slice(2, 3), "p": slice(3, 5), "q": slice(5, 7)}
            | {"k": slice(0, 2)},
            decay=np.ones(2),
            scale=np.full(2, 2.0),
            mix=np.ones(2),
            heads=1,
            keys=2,
            gated=False,
            eps=1e-6,
        )  # fmt: skip
        bound = float(transition_upper(parts, (np.zeros(1), np.zeros(1)))[0])
        assert bound == pytest.approx(math.sqrt(1 + t * t / (o * (2 - o))), rel=1e-12)
        assert best <= bound
        # the best r of two keys comes near: q = (o + t) gives the vertex
        assert best >= bound * (1 - 0.01)


def test_a_memory_of_one_decay_is_certified_as_such():
    layer = retnet(np.ones((2, 1)), np.ones((2, 1)), gamma=[0.75])
    c = contraction(layer)
    assert c.lam == pytest.approx(0.75)
    assert transition_rate(layer, Inputs.box(-1, 1)) == 0.75
    found = required_context(layer, eps=0.01, inputs=Inputs.box(-1, 1))
    assert found.k <= input_context(layer, Inputs.box(-1, 1), eps=0.01) + 1


def test_what_a_block_sees_is_enclosed():
    """An input that the function before a memory makes 1/2 with an error of rounding."""
    layer = Block(MinGRU([[0.0], [1.0]]), before=Dense([[0.1, 0.2, 0.3]]))
    low, high = window_decay(layer, np.ones((2, 3)))
    assert low[0] <= 0.25 <= high[0] <= 0.25 * (1 + 1e-12)
    with pytest.raises(ValueError, match="needed a map that is linear in its state"):
        window_gaps(Block(MinGRU([[0.0], [1.0]]), after=Dense([[1.0, 1.0]])), np.ones((2, 1)))


def test_nothing_is_proved_where_a_gate_may_stay_open():
    layer = gla([[1.0]], [[1.0]], W_gate=[[1.0]], heads=1)
    assert transition_rate(layer, Inputs.box(-math.inf, math.inf)) == 1.0
    assert input_context(layer, Inputs.box(-800, 800), eps=0.1) is None
    assert state_radius(layer, Inputs.box(-800, 800)) == math.inf


def test_bad_questions_are_refused():
    good = MinGRU([[0.0], [1.0]])
    for call, message in (
        (
            lambda: window_gaps(LinearMap([[0.5]], [[1.0]]), [[1.0]]),
            "needed a map that is linear",
        ),
        (lambda: window_gaps(np.eye(2), [[1.0]]), "needed a map that is linear"),
        (lambda: window_context(good, np.zeros((2, 2)), eps=0.1), r"X has shape \(2, 2\)"),
        (lambda: window_context(good, np.zeros((2, 2, 1)), eps=0.1), "needed one window"),
        (lambda: window_context(good, [[1.0]], eps=0.0), "eps"),
        (lambda: window_context(good, [[math.nan]], eps=0.1), "finite"),
        (lambda: window_gaps(good, [[1.0]], past=-1.0), "past"),
        (lambda: input_context(good, 1.0, eps=0.1), "inputs"),
        (lambda: input_context(good, Inputs.box(-1, 1), eps=math.nan), "eps"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    assert isinstance(cells(np.random.default_rng(1))["GLA"], LinearAttention)
    assert isinstance(cells(np.random.default_rng(1))["RWKV-7"], DeltaRule)
