"""Cells of Flax, Equinox and Haiku: their trees of arrays, against their own formulas."""

from __future__ import annotations

import numpy as np
import pytest

from theory import GRU, LSTM
from theory.interop import from_arrays
from theory.interop.write import changed_arrays, stored_cell

N, M, T = 3, 2, 5
GATED = {"activation": "tanh", "recurrent_activation": "sigmoid"}


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def draw(rng, *shape):
    return rng.standard_normal(shape)


def run(step, X, state):
    out = []
    for x in X:
        state, y = step(state, x)
        out.append(y)
    return np.array(out)


def flax_lstm(rng):
    tree = {f"i{g}": {"kernel": draw(rng, M, N)} for g in "ifgo"}
    tree |= {f"h{g}": {"kernel": draw(rng, N, N), "bias": draw(rng, N)} for g in "ifgo"}

    def step(state, x):
        c, h = state
        i, f, g, o = (
            x @ tree[f"i{w}"]["kernel"] + h @ tree[f"h{w}"]["kernel"] + tree[f"h{w}"]["bias"]
            for w in "ifgo"
        )
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        return (c, h), h

    return tree, GATED, lambda X: run(step, X, (np.zeros(N), np.zeros(N)))


def flax_gru(rng):
    tree = {f"i{g}": {"kernel": draw(rng, M, N), "bias": draw(rng, N)} for g in "rzn"}
    tree |= {f"h{g}": {"kernel": draw(rng, N, N)} for g in "rz"}
    tree["hn"] = {"kernel": draw(rng, N, N), "bias": draw(rng, N)}

    def step(h, x):
        given = {g: x @ tree[f"i{g}"]["kernel"] + tree[f"i{g}"]["bias"] for g in "rzn"}
        r, z = (sigmoid(given[g] + h @ tree[f"h{g}"]["kernel"]) for g in "rz")
        n = np.tanh(given["n"] + r * (h @ tree["hn"]["kernel"] + tree["hn"]["bias"]))
        h = (1 - z) * n + z * h
        return h, h

    return tree, GATED, lambda X: run(step, X, np.zeros(N))


def flax_simple(rng):
    tree = {
        "i": {"kernel": draw(rng, M, N), "bias": draw(rng, N)},
        "h": {"kernel": draw(rng, N, N)},
    }

    def step(h, x):
        h = np.tanh(x @ tree["i"]["kernel"] + tree["i"]["bias"] + h @ tree["h"]["kernel"])
        return h, h

    return tree, {"activation": "tanh"}, lambda X: run(step, X, np.zeros(N))


def haiku_lstm(rng):
    tree = {"lstm/linear": {"w": draw(rng, M + N, 4 * N), "b": draw(rng, 4 * N)}}

    def step(state, x):
        c, h = state
        a = np.concatenate([x, h]) @ tree["lstm/linear"]["w"] + tree["lstm/linear"]["b"]
        i, g, f, o = np.split(a, 4)
        c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        return (c, h), h

    return tree, {}, lambda X: run(step, X, (np.zeros(N), np.zeros(N)))


def haiku_gru(rng):
    tree = {"gru": {"w_i": draw(rng, M, 3 * N), "w_h": draw(rng, N, 3 * N), "b": draw(rng, 3 * N)}}

    def step(h, x):
        w_i, w_h, b = (tree["gru"][key] for key in ("w_i", "w_h", "b"))
        zr = x @ w_i[:, : 2 * N] + h @ w_h[:, : 2 * N] + b[: 2 * N]
        z, r = np.split(sigmoid(zr), 2)
        a = np.tanh(x @ w_i[:, 2 * N :] + (r * h) @ w_h[:, 2 * N :] + b[2 * N :])
        h = (1 - z) * h + z * a
        return h, h

    return tree, {}, lambda X: run(step, X, np.zeros(N))


def haiku_plain(rng):
    tree = {
        "vanilla_rnn/linear": {"w": draw(rng, M, N), "b": draw(rng, N)},
        "vanilla_rnn/linear_1": {"w": draw(rng, N, N), "b": draw(rng, N)},
    }

    def step(h, x):
        low, top = tree.values()
        h = np.maximum(x @ low["w"] + low["b"] + h @ top["w"] + top["b"], 0)
        return h, h

    return tree, {}, lambda X: run(step, X, np.zeros(N))


def nnx_gru(rng):
    tree = {
        "dense_i": {"kernel": draw(rng, M, 3 * N), "bias": draw(rng, 3 * N)},
        "dense_h": {"kernel": draw(rng, N, 3 * N), "bias": draw(rng, 3 * N)},
    }

    def step(h, x):
        given, held = (
            np.split(v @ part["kernel"] + part["bias"], 3)
            for v, part in ((x, tree["dense_i"]), (h, tree["dense_h"]))
        )
        r, z = sigmoid(given[0] + held[0]), sigmoid(given[1] + held[1])
        h = (1 - z) * np.tanh(given[2] + r * held[2]) + z * h
        return h, h

    return tree, GATED, lambda X: run(step, X, np.zeros(N))


CASES = [nnx_gru, flax_lstm, flax_gru, flax_simple, haiku_lstm, haiku_gru, haiku_plain]


@pytest.mark.parametrize("build", CASES)
@pytest.mark.parametrize("below", ["", "params"])
def test_trees_are_the_cells_they_say(build, below):
    rng = np.random.default_rng(0)
    tree, told, forward = build(rng)
    recurrent = from_arrays({below: tree} if below else tree, **told)
    X = rng.standard_normal((T, M))
    states = recurrent.simulate(X) @ recurrent.output_map.T
    assert np.max(np.abs(states - forward(X))) < 1e-13


@pytest.mark.parametrize("build", [nnx_gru, flax_lstm, flax_gru, haiku_lstm, haiku_gru])
def test_what_is_written_is_read_again(build):
    tree, told, _ = build(np.random.default_rng(1))
    arrays = {f"{a}.{b}": value for a, inner in tree.items() for b, value in inner.items()}
    before = from_arrays(arrays, **told)
    # halves keep the sum with Haiku's 1 exact
    p = {key: np.round(256 * value) / 256 for key, value in before.parameters.items()}
    after = LSTM(**p) if isinstance(before, LSTM) else GRU(**p, variant=before.variant)
    again = from_arrays(changed_arrays(arrays, before, after, stored_cell(arrays)), **told)
    for key in p:
        assert np.array_equal(again.parameters[key], p[key]), key


def test_what_is_missing_is_named():
    tree, told, _ = flax_lstm(np.random.default_rng(0))
    del tree["if"]
    with pytest.raises(ValueError, match=r"missing keys: if.kernel"):
        from_arrays(tree, **told)
    with pytest.raises(ValueError, match="activations of Flax' cells: pass activation='tanh'"):
        from_arrays(flax_lstm(np.random.default_rng(0))[0])
    tree = haiku_lstm(np.random.default_rng(0))[0]
    tree["lstm/linear"]["w"] = np.ones((2, 12))
    with pytest.raises(ValueError, match=r"linear.w has shape \(2, 12\), needed \(m \+ n, 4 n\)"):
        from_arrays(tree)


@pytest.mark.filterwarnings("ignore")
def test_flax_itself_agrees():
    linen = pytest.importorskip("flax.linen", reason="flax is not installed")
    jax = pytest.importorskip("jax", reason="jax is not installed")
    X = np.random.default_rng(0).standard_normal((T, M))
    for cell, told in (
        (linen.OptimizedLSTMCell(N), GATED),
        (linen.GRUCell(N), GATED),
        (linen.SimpleCell(N), {"activation": "tanh"}),
    ):
        key = jax.random.PRNGKey(0)
        start = cell.initialize_carry(key, (M,))
        tree = cell.init(key, start, X[0])
        named = jax.tree_util.tree_map(np.asarray, tree)
        recurrent = from_arrays(named, **told)
        states = recurrent.simulate(X) @ recurrent.output_map.T
        expected = run(lambda h, x: cell.apply(tree, h, x), X, start)  # noqa: B023
        assert np.max(np.abs(states - expected)) < 1e-6


@pytest.mark.filterwarnings("ignore")
def test_nnx_itself_agrees():
    nnx = pytest.importorskip("flax.nnx", reason="flax is not installed")
    jax = pytest.importorskip("jax", reason="jax is not installed")
    rng = np.random.default_rng(0)
    X = rng.standard_normal((T, M))
    for kind in (nnx.LSTMCell, nnx.OptimizedLSTMCell, nnx.GRUCell, nnx.SimpleCell):
        cell = kind(M, N, rngs=nnx.Rngs(0))
        tree = nnx.to_pure_dict(nnx.state(cell, nnx.Param))
        tree = jax.tree_util.tree_map(lambda a: draw(rng, *a.shape), tree)
        nnx.update(cell, jax.tree_util.tree_map(jax.numpy.asarray, tree))
        recurrent = from_arrays(
            tree, **({} if kind is nnx.SimpleCell else GATED) | {"activation": "tanh"}
        )
        states = recurrent.simulate(X) @ recurrent.output_map.T
        expected = run(cell, X, cell.initialize_carry((M,), nnx.Rngs(0)))
        assert np.max(np.abs(states - expected)) < 1e-6


@pytest.mark.filterwarnings("ignore")
def test_haiku_itself_agrees():
    haiku = pytest.importorskip("haiku", reason="dm-haiku is not installed")
    jax = pytest.importorskip("jax", reason="jax is not installed")
    X = np.random.default_rng(0).standard_normal((T, M))
    for kind in (haiku.LSTM, haiku.GRU, haiku.VanillaRNN):

        def forward(X, kind=kind):
            cell = kind(N)
            out, state = [], cell.initial_state(None)
            for x in X:
                y, state = cell(x, state)
                out.append(y)
            return jax.numpy.stack(out)

        made = haiku.transform(forward)
        tree = made.init(jax.random.PRNGKey(0), X)
        tree = jax.tree_util.tree_map(lambda a: a + 0.1, tree)
        recurrent = from_arrays(jax.tree_util.tree_map(np.asarray, tree))
        states = recurrent.simulate(X) @ recurrent.output_map.T
        assert np.max(np.abs(states - made.apply(tree, None, X))) < 1e-6


@pytest.mark.filterwarnings("ignore")
def test_equinox_itself_agrees():
    equinox = pytest.importorskip("equinox", reason="equinox is not installed")
    jax = pytest.importorskip("jax", reason="jax is not installed")
    X = np.random.default_rng(0).standard_normal((T, M))
    for kind in (equinox.nn.LSTMCell, equinox.nn.GRUCell):
        cell = kind(M, N, key=jax.random.PRNGKey(0))
        names = ("weight_ih", "weight_hh", "bias", "bias_n")
        tree = {
            k: np.asarray(getattr(cell, k)) for k in names if getattr(cell, k, None) is not None
        }
        recurrent = from_arrays(tree)
        zero = jax.numpy.zeros(N)
        state = (zero, zero) if kind is equinox.nn.LSTMCell else zero
        expected = []
        for x in X:
            state = cell(jax.numpy.asarray(x), state)
            expected.append(state[0] if isinstance(state, tuple) else state)
        states = recurrent.simulate(X) @ recurrent.output_map.T
        assert np.max(np.abs(states - np.array(expected))) < 1e-6
