"""Heads of several layers: what they compute, what is measured and what is proved of them."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from layouts import needs_torch, torch

from theory import GRU, L2, LSTM, Cascade, Inputs, LinearHead, LinearMap, VanillaRNN
from theory.maps import Chain, Dense, Normalize, Pointwise, as_function, as_head, with_head
from theory.measure import effective_memory, truncation_gap_table
from theory.measure.errors import errors_of
from theory.measure.jobs import Job
from theory.measure.memory_among import memory_among
from theory.memory import required_context


def drawn(seed, n, p=2):
    """Return a chain R^n -> R^p."""
    rng = np.random.default_rng(seed)
    w = rng.standard_normal
    norm = Normalize(1 + 0.1 * w(n), w(n), kind="layer", eps=1.0)
    return Chain([norm, Dense(w((5, n)), w(5)), Pointwise("gelu", 5), Dense(w((p, 5)), w(p))])


def cells(scale=0.5):
    rng = np.random.default_rng(1)

    def w(*shape):
        return scale * rng.standard_normal(shape)

    lstm, gru = LSTM(w(12, 3), w(12, 2), w(12)), GRU(w(12, 4), w(12, 3), w(12), w(4))
    return {"lstm": lstm, "stack": Cascade([lstm, gru]), "rnn": VanillaRNN(w(3, 3), w(3, 2))}


@pytest.mark.parametrize("name", cells())
def test_a_map_with_a_head_shows_what_the_head_gives(name):
    cell = cells()[name]
    X = np.random.default_rng(2).standard_normal((9, 2))
    H = cell.simulate(X)
    seen = H @ cell.output_map.T
    f = drawn(0, seen.shape[1])
    model = with_head(cell, f)
    Y = model.simulate(X)
    np.testing.assert_array_equal(Y[:, : cell.state_dim], H)
    np.testing.assert_allclose(Y @ model.output_map.T, f(seen), rtol=1e-14)
    # of the whole state, too
    whole = LinearHead(np.ones((1, cell.state_dim)), [3.0])
    np.testing.assert_allclose(
        with_head(cell, whole).simulate(X)[:, -1], H.sum(axis=1) + 3.0, rtol=1e-14
    )


@pytest.mark.parametrize("name", cells())
@pytest.mark.parametrize("last", [False, True])
def test_errors_of_outputs_are_those_of_the_map_that_shows_them(name, last):
    cell = cells(1.0)[name]
    model = with_head(cell, drawn(0, len(cell.output_map)))
    rng = np.random.default_rng(3)
    Xs = [rng.standard_normal((T, 2)) for T in (1, 7, 30)]
    jobs = [Job(X=x, end=len(x) if last else None) for x in Xs]
    C = model.output_map
    found = errors_of(model, jobs, 12, L2(), C, eps=1e-3)
    rough = errors_of(model, jobs, 12, L2(), C, eps=1e-3, dtype="float32")
    for i, x in enumerate(Xs):
        table = np.zeros((13, len(x)))
        states = model.simulate(x)
        for k in range(13):
            for t in range(len(x)):
                begin = max(0, t + 1 - k)
                y = model.simulate(x[begin : t + 1])[-1] if k else np.zeros(model.state_dim)
                table[k, t] = np.linalg.norm(C @ (states[t] - y))
        expected = table[:, -1] if last else table.max(axis=1)
        np.testing.assert_allclose(found[:, i], expected, rtol=1e-9, atol=1e-13)
        np.testing.assert_allclose(rough[:, i], expected, rtol=1e-3, atol=1e-4)


def test_what_is_proved_of_outputs_holds_for_them():
    cell = cells(0.2)["lstm"]
    model = with_head(cell, drawn(4, 3))
    inputs = Inputs.box([-1.0, -1.0], [1.0, 1.0])
    head = LinearHead(model.output_map)
    choice = required_context(model, 1e-2, inputs=inputs, head=head)
    assert choice is not None
    X = np.random.default_rng(5).choice([-1.0, 1.0], (60, 40, 2))
    table = np.array([truncation_gap_table(model, x, k_max=choice.k)[-1].max() for x in X[:20]])
    assert table.max() <= 1e-2
    answer = effective_memory(
        model, X, eps=1e-2, probability=0.05, confidence=0.95, certificate=choice
    )
    assert (answer.errors <= answer.certified[:, None]).all()
    assert answer.k <= answer.certified_k == choice.k
    few = memory_among(model, X, lengths=range(1, 20), eps=1e-2, probability=0.05, confidence=0.95)
    assert few.k == max(answer.k, 1)


def test_an_output_beyond_doubles_is_told_as_a_state_is():
    head = Chain([Dense([[1e200]]), Pointwise("relu", 1), Dense([[1e200]])])
    model = with_head(LinearMap([[0.5]], [[1.0]]), head)
    with pytest.raises(ArithmeticError, match="left the range of double precision at step 3"):
        effective_memory(
            model, np.array([[[0.0], [0.0], [1.0]]] * 60), eps=1.0, probability=0.1, confidence=0.9
        )


@pytest.mark.parametrize("name", ["silu", "gelu"])
def test_smooth_activations_at_the_ends_of_the_doubles(name):
    """The logistic function of -745 is one denormal number, off by 40 percent: so was the image."""
    f = Pointwise(name, 1)
    with mpmath.workprec(100):
        for x in (-745.0, -746.0, -750.0, -38.4, -1e-320, 5e-324, 30.0):
            t = mpmath.mpf(x)
            share = 1 / (1 + mpmath.exp(-t))
            true = t * (share if name == "silu" else mpmath.erfc(-t / mpmath.sqrt(2)) / 2)
            low, high = f.image((np.array([x]), np.array([x])))
            assert mpmath.mpf(low[0]) <= true <= mpmath.mpf(high[0])
    # squares overflow, and nothing warns
    far = np.array([-1.7e308]), np.array([1.7e308])
    assert f.slopes(far).item() == pytest.approx(f._f.slopes[1])
    assert [f.jacobian(end).item() for end in far] == [0.0, 1.0]


@needs_torch
def test_layers_of_pytorch_are_a_function():
    nn = torch.nn
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Dropout(0.5), nn.LayerNorm(4), nn.Linear(4, 6), nn.SiLU(),
        nn.Sequential(nn.RMSNorm(6, eps=1e-3), nn.Linear(6, 5, bias=False), nn.GELU()),
        nn.LeakyReLU(0.2), nn.Linear(5, 2), nn.Sigmoid(), nn.Identity(),
    ).double().eval()  # fmt: skip
    x = np.random.default_rng(0).standard_normal((7, 4))
    ours = as_function(module)(x)
    theirs = module(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(ours, theirs, atol=1e-14)


@needs_torch
def test_layers_that_are_not_known_are_named():
    nn = torch.nn

    class Own(nn.ReLU):
        pass

    hooked = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    hooked[1].register_forward_hook(lambda *_: None)
    for layers, match in (
        ([nn.Linear(2, 2), nn.ELU()], "head.1 is a ELU, needed Linear"),
        ([nn.Linear(2, 2), nn.GELU("tanh")], "head.1 is a GELU, .* GELU that is not approximate"),
        ([nn.Linear(2, 2), nn.Softplus()], "head.1 is a Softplus, needed Linear"),
        ([nn.Linear(2, 2), Own()], "Own whose forward pass is its own"),
        ([nn.RMSNorm(2), nn.Linear(2, 2)], "eps=None"),
        ([nn.ReLU()], "no layer with weights"),
        ([hooked], "has the hook"),
        ([nn.Linear(2, 3), nn.Linear(2, 2)], "gives 3 entries"),
    ):
        with pytest.raises(ValueError, match=match):
            as_function(nn.Sequential(*layers))
    with pytest.raises(ValueError, match=r"is a Own, needed a theory.maps.Function"):
        as_function(Own())


def test_heads_that_do_not_fit_are_refused():
    cell = cells()["lstm"]
    with pytest.raises(ValueError, match=r"takes 4 entries, needed 6, .* or 3"):
        with_head(cell, drawn(0, 4))
    with pytest.raises(ValueError, match=r"needed a theory.maps.Function"):
        with_head(cell, np.eye(3))
    with pytest.raises(ValueError, match=r"theory.maps.with_head\(recurrent, head\)"):
        as_head(cell, drawn(0, 3))
