"""Layers of Mamba-2, Falcon-Mamba, xLSTM and RWKV-7 by their published names.

Against definitions of ours, step by step in NumPy, and against the programs where they are there.
"""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from typer.testing import CliRunner

from theory.cli.main import app
from theory.interop import from_arrays, load, load_head, load_map, recognised, save_map
from theory.interop.tensors import tensor_of, write_tensors
from theory.memory import window_context, window_gaps
from theory.norms import L2

T = 12


def softplus(a):
    return np.logaddexp(0.0, a)


def sigmoid(a):
    return np.exp(-softplus(-a))


def rms(x, eps):
    return x / np.sqrt(np.mean(x * x) + eps)


def mamba2(rng, groups=2, heads=4, d=3, N=2, m=5):
    """Return arrays, inputs and states of (heads, N, d)."""
    w = rng.standard_normal
    inner, wide = heads * d, heads * d + 2 * groups * N
    arrays = {
        "A_log": w(heads),
        "dt_bias": w(heads),
        "D": w(heads),
        "in_proj.weight": w((inner + wide + heads, m)),
        "conv1d.weight": w((wide, 1, 4)),
        "conv1d.bias": w(wide),
        "norm.weight": w(inner),
        "out_proj.weight": w((m, inner)),
    }
    x, B, dt = w((T, heads, d)), w((T, groups, N)), w((T, heads))
    S, states = np.zeros((heads, N, d)), []
    for t in range(T):
        step = softplus(dt[t] + arrays["dt_bias"])
        for head in range(heads):
            a = np.exp(-step[head] * np.exp(arrays["A_log"][head]))
            own = B[t, head // (heads // groups)]
            S[head] = a * S[head] + step[head] * np.outer(own, x[t, head])
        states.append(S.ravel().copy())
    X = np.hstack([part.reshape(T, -1) for part in (x, B, dt)])
    return arrays, X, np.array(states), {"variant": f"mamba2({groups})"}


def falcon_mamba(rng, eps=1e-3, m=3, N=2, rank=2):
    w = rng.standard_normal
    arrays = {
        "A_log": w((m, N)),
        "D": w(m),
        "x_proj.weight": w((rank + 2 * N, m)),
        "dt_proj.weight": w((m, rank)),
        "dt_proj.bias": w(m),
        "conv1d.weight": w((m, 1, 4)),
        "conv1d.bias": w(m),
        "in_proj.weight": w((2 * m, m)),
        "out_proj.weight": w((m, m)),
    }
    X = w((T, m))
    h, states = np.zeros((m, N)), []
    for u in X:
        down = arrays["x_proj.weight"] @ u
        dt, B = rms(down[:rank], eps), rms(down[rank : rank + N], eps)
        dt = softplus(arrays["dt_proj.weight"] @ dt + arrays["dt_proj.bias"])
        h = np.exp(-dt[:, None] * np.exp(arrays["A_log"])) * h + np.outer(dt * u, B)
        states.append(h.ravel())
    return arrays, X, np.array(states), {"variant": f"falcon_mamba({eps})"}


def mlstm_states(K, V, i, f):
    """Run C, n <- f C + i k (v, 1), of keys (T, heads, dk), values (T, heads, dv), gates."""
    heads, keys, values = K.shape[1], K.shape[2], V.shape[2]
    S, states = np.zeros((heads, keys, values + 1)), []
    for t in range(T):
        for head in range(heads):
            new = np.exp(i[t, head]) * np.outer(K[t, head], np.append(V[t, head], 1.0))
            S[head] = sigmoid(f[t, head]) * S[head] + new
        states.append(S.ravel().copy())
    return np.array(states)


def xlstm_7b(rng, cap=2.0, heads=2, dk=2, dv=3, m=4, bias=True, fused=False):
    w = rng.standard_normal
    sizes = {"q": heads * dk, "k": heads * dk, "v": heads * dv, "ogate_preact": heads * dv}
    sizes |= {"igate_preact": heads, "fgate_preact": heads}
    arrays = {}
    for name, rows in sizes.items():
        arrays[f"{name}.weight"] = w((rows, m))
        arrays[f"{name}.bias"] = w(rows) if bias or "gate_preact" in name[1:] else np.zeros(rows)
    X = w((T, m))
    at = {name: X @ arrays[f"{name}.weight"].T + arrays[f"{name}.bias"] for name in sizes}
    gates = [cap * np.tanh(at[f"{one}gate_preact"] / cap) for one in "if"]
    K, V = at["k"].reshape(T, heads, dk), at["v"].reshape(T, heads, dv)
    states = mlstm_states(K, V, *gates)
    if not bias:
        arrays = {k: v for k, v in arrays.items() if k[1:] != ".bias" and k != "ogate_preact.bias"}
    if fused:
        kinds = ["weight", "bias"] if bias else ["weight"]
        pairs = {"qkv_opreact": ("q", "k", "v", "ogate_preact")}
        made = {
            f"{new}.{kind}": np.concatenate([arrays[f"{one}.{kind}"] for one in parts])
            for new, parts in pairs.items()
            for kind in kinds
        }
        for kind in ("weight", "bias"):
            both = [arrays[f"{one}gate_preact.{kind}"] for one in "if"]
            made[f"ifgate_preact.{kind}"] = np.concatenate(both)
        arrays = made
    arrays |= {"multihead_norm.weight": w(heads * dv), "out_proj.weight": w((m, heads * dv))}
    return arrays, X, states, {"variant": f"xlstm({cap:g})"}


def headwise(x, W):
    """Return the product with a matrix of blocks, x (.., heads d), W (heads, d, d)."""
    parts = np.einsum("...hd,hod->...ho", x.reshape(*x.shape[:-1], len(W), -1), W)
    return parts.reshape(x.shape)


def xlstm_mlstm(rng, heads=2, n=4, blocks=1, bias=True):
    w = rng.standard_normal
    arrays = {"learnable_skip": w(n), "mlstm_cell.outnorm.weight": w(n)}
    arrays |= {"proj_up.weight": w((2 * n, 3)), "proj_down.weight": w((3, n))}
    arrays |= {"conv1d.conv.weight": w((n, 1, 4)), "conv1d.conv.bias": w(n)}
    u, x = w((T, n)), w((T, n))
    at = {}
    for one, seen in (("q", u), ("k", u), ("v", x)):
        arrays[f"{one}_proj.weight"] = w((blocks, n // blocks, n // blocks))
        at[one] = headwise(seen, arrays[f"{one}_proj.weight"])
        if bias:
            arrays[f"{one}_proj.bias"] = w(n)
            at[one] = at[one] + arrays[f"{one}_proj.bias"]
    every, gates = np.hstack([at[one] for one in "qkv"]), []
    for one in "if":
        arrays[f"mlstm_cell.{one}gate.weight"] = w((heads, 3 * n)) / n
        arrays[f"mlstm_cell.{one}gate.bias"] = w(heads)
        W, b = (arrays[f"mlstm_cell.{one}gate.{kind}"] for kind in ("weight", "bias"))
        gates.append(every @ W.T + b)
    K, V = at["k"].reshape(T, heads, -1), at["v"].reshape(T, heads, -1)
    states = mlstm_states(K / np.sqrt(n // heads), V, *gates)
    return arrays, np.hstack([u, x]), states, {}


def xlstm_slstm(rng, heads=2, d=2, conv=True, by_heads=False):
    w = rng.standard_normal
    n = heads * d
    arrays = {f"{one}gate.weight": w((heads, d, d)) for one in "ifzo"}
    R, b = w((4, heads, d, d)), w((4, heads, d))  # of the gates, (out, in)
    if by_heads:
        kernel, bias = R.transpose(1, 3, 0, 2).reshape(heads, d, 4 * d), b.transpose(1, 0, 2)
    else:
        kernel, bias = R.transpose(1, 0, 2, 3).reshape(heads, 4 * d, d), b
    arrays |= {"slstm_cell._recurrent_kernel_": kernel, "slstm_cell._bias_": bias.ravel()}
    arrays |= {"group_norm.weight": w(n)}
    x = w((T, n))
    u = w((T, n)) if conv else x
    arrays |= {"conv1d.conv.weight": w((n, 1, 4)), "conv1d.conv.bias": w(n)} if conv else {}
    c, nu, h, states = np.zeros(n), np.zeros(n), np.zeros(n), []
    for t in range(T):
        # what the program calls fgate reaches its first gate, i, and igate its second, f
        given = [
            headwise(s[t], arrays[f"{one}gate.weight"])
            for one, s in zip("fizo", (u, u, x, x), strict=True)
        ]
        i, f, z, o = (a + headwise(h, R[gate]) + b[gate].ravel() for gate, a in enumerate(given))
        c = sigmoid(f) * c + np.exp(i) * np.tanh(z)
        nu = sigmoid(f) * nu + np.exp(i)
        h = sigmoid(o) * c / nu
        states.append(np.concatenate([c / nu, np.log1p(nu), h]))
    return arrays, np.hstack([u, x]) if conv else x, np.array(states), {}


def rwkv7(rng, first=False, fla=False, fused=False, heads=2, d=2, dv=3, m=4):
    w = rng.standard_normal
    n, values = heads * d, heads * dv
    mu = {one: rng.random(m) for one in "rwkvag"}
    low = {"w": (w((3, m)), w((n, 3)), w(n)), "a": (w((2, m)), w((n, 2)), w(n))}
    low |= {} if first else {"v": (w((2, m)), w((values, 2)), w(values))}
    K, V, k_k, k_a = w((n, m)), w((values, m)), w(n), w(n)
    arrays = {f"x_{one}": mu[one].reshape(1, 1, m) for one in mu}
    arrays |= {"k_k": k_k, "k_a": k_a, "r_k": w((heads, d))}
    for one, (down, up, b) in low.items():
        if fla:
            arrays |= {f"{one}_lora.lora.0.weight": down, f"{one}_lora.lora.2.weight": up}
            arrays[f"{one}_lora.lora.2.bias"] = b
        else:
            arrays |= {f"{one}1": down.T, f"{one}2": up.T, f"{one}0": b.reshape(1, 1, -1)}
    names = ("r_proj", "k_proj", "v_proj", "o_proj") if fla else ("receptance", "key", "value")
    arrays |= {f"{names[1]}.weight": K, f"{names[2]}.weight": V, f"{names[0]}.weight": w((n, m))}
    norm = "g_norm" if fla else "ln_x"
    arrays |= {f"{norm}.weight": w(values), f"{norm}.bias": w(values)}
    x, v_first = w((T, m)), w((T, values))
    before = np.vstack([np.zeros(m), x[:-1]])
    S, states = np.zeros((heads, d, dv)), []
    for t in range(T):
        seen = {one: x[t] + (before[t] - x[t]) * mu[one] for one in mu}

        def gate(one, rho, seen=seen):
            down, up, b = low[one]
            return sigmoid(up @ rho(down @ seen[one]) + b)

        decay = np.exp(-np.exp(-0.5) * gate("w", np.tanh))
        a, k, v = gate("a", lambda y: y), K @ seen["k"], V @ seen["v"]
        if not first:
            v = v + (v_first[t] - v) * gate("v", lambda y: y)
        removed, k = (k_k * k).reshape(heads, d), k * (1 + (a - 1) * k_a)
        length = np.sqrt(np.sum(removed**2, axis=1, keepdims=True) + (1e-6 if fused else 0.0))
        removed = removed / length
        for head in range(heads):
            r, own = removed[head], slice(head * d, (head + 1) * d)
            A = np.diag(decay[own]) - np.outer(a[own] * r, r)
            S[head] = A @ S[head] + np.outer(k[own], v.reshape(heads, dv)[head])
        states.append(S.ravel().copy())
    said = {"variant": "rwkv7(1e-06)" if fused else "rwkv7"} if fla else {}
    return arrays, np.hstack([x, before] + ([] if first else [v_first])), np.array(states), said


#: Makers, with what each of them is made with.
LAYERS = {
    "Mamba-2": (mamba2, {}),
    "Mamba-2 of one group": (mamba2, {"groups": 1}),
    "Falcon-Mamba": (falcon_mamba, {}),
    "xLSTM-7b": (xlstm_7b, {}),
    "xLSTM-7b without biases": (xlstm_7b, {"bias": False, "cap": 15.0}),
    "xLSTM-7b fused": (xlstm_7b, {"fused": True}),
    "xLSTM-7b fused without biases": (xlstm_7b, {"fused": True, "bias": False}),
    "mLSTM": (xlstm_mlstm, {}),
    "mLSTM in blocks": (xlstm_mlstm, {"blocks": 2, "bias": False}),
    "sLSTM": (xlstm_slstm, {}),
    "sLSTM of the other program": (xlstm_slstm, {"by_heads": True}),
    "sLSTM without convolution": (xlstm_slstm, {"conv": False}),
    "RWKV-7, the first layer": (rwkv7, {"first": True}),
    "RWKV-7": (rwkv7, {}),
    "RWKV-7 by other names": (rwkv7, {"fla": True}),
    "RWKV-7 by other names, fused": (rwkv7, {"fla": True, "fused": True, "first": True}),
}
every = pytest.mark.parametrize("name", LAYERS)


def made(name, seed=0):
    make, how = LAYERS[name]
    arrays, X, states, said = make(np.random.default_rng(seed), **how)
    at = "blocks.0.att." if how.get("first") else "blocks.3.mixer."
    return {f"{at}{key}": value for key, value in arrays.items()}, X, states, said


@every
def test_the_recurrence_is_the_published_one(name):
    for seed in range(3):
        arrays, X, states, said = made(name, seed)
        layer = from_arrays(arrays, **said)
        assert np.max(np.abs(layer.simulate(X) - states)) <= 1e-12 * max(1, np.max(np.abs(states)))


#: What is no part of a recurrence.
BESIDE = re.compile(
    r".*\.(D|in_proj|conv1d|out_proj|norm|learnable_skip|proj_up|proj_down|mlstm_cell\.outnorm|q|"
    r"ogate_preact|multihead_norm|group_norm|receptance|r_proj|ln_x|g_norm|x_r|x_g|r_k)(\..*)?"
)


@every
def test_every_array_is_used_or_named(name):
    arrays, X, states, said = made(name)
    rng = np.random.default_rng(9)
    for key, value in arrays.items():
        changed = from_arrays(arrays | {key: value + rng.random(np.shape(value)) / 2}, **said)
        reads = np.max(np.abs(changed.simulate(X) - states)) > 1e-6
        assert reads == (BESIDE.fullmatch(key) is None), key
    at = ".".join(next(iter(arrays)).split(".")[:3])
    with pytest.raises(ValueError, match=rf"\[{at}.extra\] would be left over"):
        from_arrays(arrays | {f"{at}.extra": np.ones(1)}, **said)


@every
def test_a_missing_array_is_named(name):
    arrays, _, _, said = made(name)
    needed = [key for key in arrays if not BESIDE.fullmatch(key)]
    # biases of queries, keys and values are zero where there are none
    needed = [key for key in needed if not re.search(r"(\.[kv]|[qkv]_proj|qkv_opreact)\.bias", key)]
    assert len(needed) >= 2
    for key in needed:
        rest = {other: value for other, value in arrays.items() if other != key}
        with pytest.raises(
            ValueError, match=r"missing keys|no recurrent weights|left over"
        ) as told:
            from_arrays(rest, **said)
        assert key in str(told.value) or "missing keys" not in str(told.value) or "proj" in key


@pytest.mark.parametrize(
    ("name", "change", "said", "message"),
    [
        ("Mamba-2", {}, {}, r"no array tells how many groups: pass variant='mamba2\(1\)'"),
        ("Mamba-2", {}, "mamba2(3)", r"divisor of 4 heads and of the 4 entries of B, .* 1, 2, 4"),
        ("Mamba-2", {}, "mamba2(many)", r"may have a number, as in 'mamba2\(8\)'"),
        ("Mamba-2", {"dt_bias": np.ones(3)}, "mamba2(2)", r"dt_bias has shape \(3,\)"),
        ("Mamba-2", {"in_proj.weight": np.ones((9, 5))}, "mamba2(2)", "in_proj.weight has 9 rows"),
        ("Mamba-2", {"out_proj.weight": np.ones((5, 9))}, "mamba2(2)", "needed 12 channels"),
        (
            "Mamba-2",
            {"A_log": np.ones(5), "dt_bias": np.ones(5), "in_proj.weight": np.ones((37, 5))},
            "mamba2(1)",
            "has 5 heads, needed a divisor of the 12 channels",
        ),
        ("Mamba-2", {}, "mamba", "dt_bias is that of mamba2"),
        ("Falcon-Mamba", {}, "falcon_mamba", r"or 'falcon_mamba\(1e-06\)'"),
        ("Falcon-Mamba", {}, "falcon_mamba(0)", "needed eps > 0"),
        ("xLSTM-7b", {}, {}, "pass its gate_soft_cap as variant='xlstm"),
        ("xLSTM-7b", {}, "xlstm(-1)", "needed a positive cap"),
        ("xLSTM-7b", {"fgate_preact.bias": np.ones(3)}, "xlstm(2)", r"needed \(2,\)"),
        ("xLSTM-7b", {"v.weight": np.ones((5, 4)), "v.bias": np.ones(5)}, "xlstm", "2 heads"),
        ("xLSTM-7b fused", {"multihead_norm.weight": np.ones(11)}, "xlstm", "needed 2 . keys"),
        ("mLSTM", {"k_proj.weight": np.ones((2, 4, 4))}, {}, "count times d = 4"),
        ("mLSTM", {"mlstm_cell.igate.weight": np.ones((2, 11))}, {}, "needed 3 n"),
        ("mLSTM", {}, "xlstm(2)", "which tells it; leave variant= out"),
        ("sLSTM", {"slstm_cell._recurrent_kernel_": np.ones((2, 7, 2))}, {}, r"\(heads, 4 d, d\)"),
        ("sLSTM", {"slstm_cell._bias_": np.ones(15)}, {}, r"needed \(16,\)"),
        ("RWKV-7", {"r_k": np.ones((3, 2))}, {}, r"key.weight has shape \(4, 4\), needed \(6"),
        ("RWKV-7", {"x_w": np.ones((1, 1, 3))}, {}, r"needed \(1, 1, 4\)"),
        ("RWKV-7", {"w1": np.ones((3, 4))}, {}, r"w1.T has shape \(4, 3\)"),
        ("RWKV-7", {"value.weight": np.ones((7, 4))}, {}, "a multiple of the 2 heads of r_k"),
        ("RWKV-7 by other names", {}, {}, "how its removed keys are normalised"),
    ],
)
def test_what_does_not_fit_is_refused(name, change, said, message):
    arrays, *_ = made(name)
    own = {f"blocks.3.mixer.{key}": value for key, value in change.items()}
    word = {"variant": said} if isinstance(said, str) else {}
    with pytest.raises(ValueError, match=message):
        from_arrays(arrays | own, **word)


@every
def test_it_is_written_and_read_again(name, tmp_path):
    arrays, X, _, said = made(name)
    layer = from_arrays(arrays, **said)
    save_map(tmp_path / "layer.npz", layer)
    again = load_map(tmp_path / "layer.npz")
    assert repr(again) == repr(layer)
    assert np.array_equal(again.simulate(X), layer.simulate(X))


def test_what_a_block_tells_itself_is_not_said():
    arrays, _, _, said = made("Mamba-2")
    for name in ("activation", "recurrent_activation"):
        with pytest.raises(ValueError, match=f"leave {name}= out"):
            from_arrays(arrays, **said, **{name: "tanh"})


def test_a_later_layer_of_rwkv_needs_its_gate_of_values():
    arrays, _, _, _ = made("RWKV-7")
    without = {key: value for key, value in arrays.items() if ".v" not in key}
    without["blocks.3.mixer.value.weight"] = arrays["blocks.3.mixer.value.weight"]
    with pytest.raises(ValueError, match=r"missing keys: blocks.3.mixer.v0, .* a layer of RWKV-7"):
        from_arrays(without)
    # the first layer has none; where its file holds one, it is not used
    first = {key.replace("blocks.3", "blocks.0"): value for key, value in arrays.items()}
    assert from_arrays(first).input_dim == 8


# ---------------------------------------------------------------------------- files, configurations


def saved(folder, arrays, config=None):
    path = folder / "model.safetensors"
    with path.open("wb") as stream:
        write_tensors(
            stream, {k: tensor_of(k, np.ascontiguousarray(v)) for k, v in arrays.items()}, {}
        )
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return path


INF = {"__float__": "Infinity"}  # as transformers writes it


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("Mamba-2", {"model_type": "mamba2", "n_groups": 2, "time_step_limit": [0.0, INF]}),
        ("Mamba-2", {"ssm_cfg": {"layer": "Mamba2", "ngroups": 2, "dt_limit": [0.0, np.inf]}}),
        ("Falcon-Mamba", {"model_type": "falcon_mamba", "mixer_rms_eps": 1e-3}),
        ("xLSTM-7b", {"model_type": "xlstm", "gate_soft_cap": 2.0}),
        ("RWKV-7 by other names", {"model_type": "rwkv7", "fuse_norm": False}),
        ("RWKV-7 by other names, fused", {"model_type": "rwkv7"}),
    ],
)
def test_a_configuration_tells_what_no_array_does(name, config, tmp_path):
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    arrays, X, states, _ = made(name)
    layer = load(saved(tmp_path, arrays, config))
    assert np.max(np.abs(layer.simulate(X) - states)) <= 1e-12 * max(1, np.max(np.abs(states)))
    np.savez(tmp_path / "model.npz", **arrays)
    assert repr(load(tmp_path / "model.npz")) == repr(layer)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"model_type": "mamba2", "n_groups": 2, "time_step_limit": [0.0, 0.1]},
            r"\(Mamba-2\) clips its step sizes to time_step_limit=\[0.0, 0.1\]",
        ),
        ({"model_type": "mamba2", "n_groups": "two"}, "has n_groups='two' in its config.json"),
        ({"model_type": "mamba2", "n_groups": 3}, r"variant='mamba2\(3\)', needed"),
        ({"model_type": ["mamba2"]}, "no array tells how many groups"),
        ({"model_type": "bamba", "n_groups": 2}, "no array tells how many groups"),
        ([], "no array tells how many groups"),
    ],
)
def test_a_configuration_that_does_not_fit(config, message, tmp_path):
    arrays, *_ = made("Mamba-2")
    np.savez(tmp_path / "model.npz", **arrays)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "model.npz")


# --------------------------------------------------------------------------------------- commands


def shown_by(*words):
    run = CliRunner().invoke(app, [str(word) for word in words])
    assert run.exit_code in {0, 1}, run.output
    return run.output.replace("\n", "")


@every
def test_show_tells_what_is_read(name, tmp_path):
    arrays, _, _, said = made(name)
    path = tmp_path / "model.npz"
    np.savez(path, **arrays)
    text = shown_by("show", path, *(["--variant", said["variant"]] if said else []))
    assert repr(load(path, **said)) in text
    assert "inputs: " in text
    listed = text.partition("no part of it: ")[2]
    for key in filter(BESIDE.fullmatch, arrays):
        assert re.search(rf"(^| ){re.escape('.'.join(key.split('.')[3:]))}[ ,]", listed), key


@pytest.mark.parametrize("name", ["Falcon-Mamba", "RWKV-7"])
def test_what_the_data_make_forget_is_told(name, tmp_path):
    arrays, X, _, said = made(name)
    path, sequences = tmp_path / "model.npz", tmp_path / "sequences.npz"
    np.savez(path, **arrays)
    np.savez(sequences, **{f"s{k}": X for k in range(12)})
    word = ["--variant", said["variant"]] if said else []
    layer = load(path, **said)
    past = float(np.max(L2().vector_upper(layer.simulate(X))))
    _, high = window_gaps(layer, X, past=past)
    for eps in (float(high[5]) * 1.01, 1e-9):
        text = shown_by(
            "memory", path, "--epsilon", eps, "--sequences", sequences, *word,
            "--probability", "0.3", "--confidence", "0.9",
        )  # fmt: skip
        k = window_context(layer, X, eps=eps, past=past).k
        told = "not even all inputs are enough for" if k is None else f"last {k} inputs, or fewer"
        assert told in text
        assert k is None or high[k] <= eps


def test_no_part_of_a_block_is_its_output_layer(tmp_path):
    arrays, *_, said = made("mLSTM")
    path = tmp_path / "model.npz"
    layer = from_arrays(arrays, **said)
    # as wide as the states
    arrays |= {"head.weight": np.ones((5, layer.state_dim)), "head.bias": np.ones(5)}
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=r"choose one with --head NAME; head stands in a network"):
        load_head(path, layer)
    assert load_head(path, layer, name="head").C.shape == (5, layer.state_dim)
    inner = "blocks.3.mixer.mlstm_cell.igate"
    with pytest.raises(ValueError, match=f"{inner} is a part of blocks.3.mixer, not behind it"):
        load_head(path, layer, name=inner)
    (found,) = recognised(path).heads
    assert found.name == "head"


def test_two_recurrences_are_no_stack():
    arrays, *_, said = made("sLSTM")
    both = arrays | {key.replace("blocks.3", "blocks.4"): one for key, one in arrays.items()}
    with pytest.raises(ValueError, match="one recurrence of a network whose norms"):
        from_arrays(both, prefix=["blocks.3.mixer", "blocks.4.mixer"], **said)
    assert from_arrays(both, prefix="blocks.4.mixer").units == 4
