"""Architectures of today, written once more with PyTorch as their papers state them."""

import math

import numpy as np
import pytest
from layouts import needs_torch, torch

from theory.maps import gated_delta, gla, mamba2, mlstm, retnet, rwkv7

pytestmark = needs_torch

T, M, HEADS, KEYS, VALUES = 40, 6, 2, 4, 3


def draw(rng, *shape):
    return rng.standard_normal(shape) / math.sqrt(M)


def rows(name, W, x):
    """Return W x by head."""
    del name
    return (torch.tensor(W) @ x).reshape(HEADS, -1)


def torch_retnet(p, xs):
    S = torch.zeros(HEADS, KEYS, VALUES, dtype=torch.float64)
    gamma = torch.tensor(p["gamma"])[:, None, None]
    for x in xs:
        S = gamma * S + rows("k", p["W_k"], x)[:, :, None] * rows("v", p["W_v"], x)[:, None, :]
        yield S


def torch_gla(p, xs):
    S = torch.zeros(HEADS, KEYS, VALUES, dtype=torch.float64)
    for x in xs:
        logits = rows("a", p["W_gate"], x) + torch.tensor(p["b_gate"]).reshape(HEADS, KEYS)
        alpha = torch.sigmoid(logits) ** (1 / p["temperature"])
        k, v = rows("k", p["W_k"], x), rows("v", p["W_v"], x)
        S = torch.diag_embed(alpha) @ S + torch.einsum("hk,hv->hkv", k, v)
        yield S


def torch_mamba2(p, xs):
    S = torch.zeros(HEADS, KEYS, VALUES, dtype=torch.float64)
    A, bias = torch.tensor(p["A"]), torch.tensor(p["dt_bias"])
    for x in xs:
        u, B, dt = torch.split(torch.tensor(p["W"]) @ x, [HEADS * VALUES, KEYS, HEADS])
        step = torch.nn.functional.softplus(dt + bias)
        # the discretised input matrix is step B, shared by the heads of the one group
        S = torch.exp(-A * step)[:, None, None] * S + torch.einsum(
            "h,k,hv->hkv", step, B, u.reshape(HEADS, VALUES)
        )
        yield S


def torch_mlstm(p, xs, q):
    """Yield the stabilised memory and normaliser, the running maximum, and the output for q."""
    C = torch.zeros(HEADS, VALUES, KEYS, dtype=torch.float64)
    n = torch.zeros(HEADS, KEYS, dtype=torch.float64)
    m = torch.zeros(HEADS, dtype=torch.float64)
    for x in xs:
        i = torch.tensor(p["W_i"]) @ x + torch.tensor(p["b_i"])
        log_f = torch.nn.functional.logsigmoid(torch.tensor(p["W_f"]) @ x + torch.tensor(p["b_f"]))
        top = torch.maximum(log_f + m, i)
        f, i, m = torch.exp(log_f + m - top), torch.exp(i - top), top
        k, v = rows("k", p["W_k"], x), rows("v", p["W_v"], x)
        C = f[:, None, None] * C + i[:, None, None] * torch.einsum("hv,hk->hvk", v, k)
        n = f[:, None] * n + i[:, None] * k
        size = torch.maximum((n * q).sum(-1).abs(), torch.exp(-m))
        yield C, n, m, torch.einsum("hvk,hk->hv", C, q) / size[:, None]


def torch_gated_delta(p, xs):
    # the paper's state has values first: S <- S alpha (1 - beta k k^T) + beta v k^T
    S = torch.zeros(HEADS, VALUES, KEYS, dtype=torch.float64)
    for x in xs:
        k = rows("k", p["W_k"], x)
        k = k / torch.sqrt((k * k).sum(-1, keepdim=True) + 1e-6)
        v = rows("v", p["W_v"], x)
        dt = torch.tensor(p["W_alpha"]) @ x + torch.tensor(p["dt_bias"])
        alpha = torch.exp(-torch.tensor(p["A"]) * torch.nn.functional.softplus(dt))
        beta = 2 * torch.sigmoid(torch.tensor(p["W_beta"]) @ x)
        eye = torch.eye(KEYS, dtype=torch.float64)
        turn = alpha[:, None, None] * (eye - beta[:, None, None] * k[:, :, None] * k[:, None, :])
        S = S @ turn + beta[:, None, None] * v[:, :, None] * k[:, None, :]
        yield S.transpose(-1, -2)


def torch_rwkv7(p, xs):
    S = torch.zeros(HEADS, VALUES, KEYS, dtype=torch.float64)
    for x in xs:
        k, v = rows("k", p["W_k"], x), rows("v", p["W_v"], x)
        d = rows("w", p["W_w"], x) + torch.tensor(p["b_w"]).reshape(HEADS, KEYS)
        w = torch.exp(-math.exp(-0.5) * torch.sigmoid(d))
        a = torch.sigmoid(rows("a", p["W_a"], x) + torch.tensor(p["b_a"]).reshape(HEADS, KEYS))
        removed = k * torch.tensor(p["k_k"]).reshape(HEADS, KEYS)
        removed = removed / torch.sqrt((removed * removed).sum(-1, keepdim=True) + 1e-12)
        written = k * (1 + (a - 1) * torch.tensor(p["k_a"]).reshape(HEADS, KEYS))
        turn = torch.diag_embed(w) - removed[:, :, None] * (a * removed)[:, None, :]
        S = S @ turn + v[:, :, None] * written[:, None, :]
        yield S.transpose(-1, -2)


def parameters(name, rng):
    k, v = draw(rng, HEADS * KEYS, M), draw(rng, HEADS * VALUES, M)
    n = HEADS * KEYS
    more = {
        "retnet": {"gamma": np.array([0.9, 0.97])},
        "gla": {"W_gate": draw(rng, n, M), "b_gate": draw(rng, n), "temperature": 16.0},
        "gated_delta": {
            "W_alpha": draw(rng, HEADS, M), "W_beta": draw(rng, HEADS, M),
            "A": np.array([0.5, 2.0]), "dt_bias": draw(rng, HEADS),
        },
        "rwkv7": {
            "W_w": draw(rng, n, M), "W_a": draw(rng, n, M), "b_w": draw(rng, n),
            "b_a": draw(rng, n), "k_k": draw(rng, n), "k_a": draw(rng, n),
        },
    }[name]  # fmt: skip
    return {"W_k": k, "W_v": v, **more}


@pytest.mark.parametrize(
    ("name", "make", "theirs", "fixed"),
    [
        ("retnet", retnet, torch_retnet, {}),
        ("gla", gla, torch_gla, {"heads": HEADS}),
        ("gated_delta", gated_delta, torch_gated_delta, {"reflects": True}),
        ("rwkv7", rwkv7, torch_rwkv7, {"heads": HEADS}),
    ],
)
def test_memories_are_those_of_their_papers(name, make, theirs, fixed):
    rng = np.random.default_rng(11)
    p = parameters(name, rng)
    k, v = p.pop("W_k"), p.pop("W_v")
    layer = make(k, v, **p, **fixed)
    X = rng.standard_normal((T, M))
    mine = layer.memory(layer.simulate(X))
    for t, S in enumerate(theirs({"W_k": k, "W_v": v, **p}, torch.tensor(X))):
        assert np.max(np.abs(mine[t] - S.numpy())) <= 1e-12 * max(1.0, float(S.abs().max()))


@pytest.mark.parametrize("whole", [True, False])
def test_mamba2_is_that_of_its_paper(whole):
    """With the projection inside the map, and on what comes out of it."""
    rng = np.random.default_rng(12)
    W = draw(rng, HEADS * VALUES + KEYS + HEADS, M)
    p = {"A": np.array([1.0, 4.0]), "dt_bias": np.array([-1.0, -3.0])}
    X = rng.standard_normal((T, M))
    layer = mamba2(W if whole else None, **p, head_dim=VALUES, state=KEYS)
    mine = layer.memory(layer.simulate(X if whole else X @ W.T))
    for t, S in enumerate(torch_mamba2({"W": W, **p}, torch.tensor(X))):
        assert np.max(np.abs(mine[t] - S.numpy())) <= 1e-12


def test_heads_of_a_group_share_their_key():
    layer = mamba2(A=np.ones(4), dt_bias=np.zeros(4), head_dim=1, state=2, groups=2)
    x = np.array([1.0, 2.0, 3.0, 4.0, 10.0, 20.0, 30.0, 40.0, *np.zeros(4)])
    S = layer.memory(layer.step(np.zeros(8), x))[..., 0] / math.log(2)
    assert S.round(12).tolist() == [[10, 20], [20, 40], [90, 120], [120, 160]]


def test_mlstm_is_that_of_its_paper_and_the_stabiliser_changes_nothing():
    rng = np.random.default_rng(13)
    p = {
        "W_k": draw(rng, HEADS * KEYS, M), "W_v": draw(rng, HEADS * VALUES, M),
        "W_i": 3 * draw(rng, HEADS, M), "W_f": draw(rng, HEADS, M),
        "b_i": draw(rng, HEADS), "b_f": np.array([2.0, 4.0]),
    }  # fmt: skip
    k, v = p["W_k"], p["W_v"]
    layer = mlstm(k, v, **{name: p[name] for name in ("W_i", "W_f", "b_i", "b_f")})
    X, q = rng.standard_normal((T, M)), rng.standard_normal((HEADS, KEYS))
    mine = layer.memory(layer.simulate(X))
    for t, (C, n, m, y) in enumerate(torch_mlstm(p, torch.tensor(X), torch.tensor(q))):
        back = np.exp(m.numpy())
        size = max(1.0, float(np.abs(mine[t]).max()))
        own = np.swapaxes(mine[t][..., :VALUES], -1, -2)
        assert np.max(np.abs(own - C.numpy() * back[:, None, None])) <= 1e-12 * size
        assert np.max(np.abs(mine[t][..., VALUES] - n.numpy() * back[:, None])) <= 1e-12 * size
        # the output: with the normaliser that the state holds
        told = np.einsum("hkv,hk->hv", mine[t], q)
        output = told[:, :VALUES] / np.maximum(np.abs(told[:, VALUES:]), 1.0)
        assert output == pytest.approx(y.numpy(), rel=1e-11, abs=1e-12)


def test_shapes_that_do_not_fit_are_told():
    one = [[1.0]]
    for call, message in (
        (
            lambda: retnet(one, one, gamma=[0.5, 0.5]),
            "needed a multiple of 2 heads",
        ),
        (lambda: retnet(one, [[1.0, 2.0]], gamma=[0.5]), r"\[1, 2\] columns"),
        (lambda: retnet(one, one, gamma=[1.5]), "needed constants in"),
        (lambda: gla(one, one, W_gate=[[1.0, 1.0]], heads=1), "W_gate has shape"),
        (lambda: gla(one, one, W_gate=one, heads=1, temperature=0.0), "temperature"),
        (lambda: mamba2(A=[-1.0], dt_bias=[0.0], head_dim=1, state=1), "needed positive powers"),
        (
            lambda: mamba2(A=np.ones(3), dt_bias=np.ones(3), head_dim=1, state=1, groups=2),
            "needed a divisor of the 3 heads",
        ),
        (lambda: mlstm(one, one, W_i=one, W_f=[[1.0], [1.0]]), "W_f has shape"),
        (lambda: gated_delta(one, one, W_alpha=one, W_beta=one, A=[0.0]), "decay > 0"),
        (
            lambda: rwkv7(one, one, W_w=one, W_a=one, k_k=[1.0, 1.0], k_a=[1.0], heads=1),
            "k_k has shape",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            call()
