"""Recurrent blocks of language models under their own names, against their own formulas."""

from __future__ import annotations

import json

import numpy as np
import pytest

from theory import Block
from theory.interop import from_arrays, load
from theory.interop.tensors import tensor_of, write_tensors


def softplus(a):
    return np.log1p(np.exp(a))


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def mamba(rng, start="layers.0.mixer.", m=3, N=2, rank=2):
    arrays = {
        "A_log": rng.standard_normal((m, N)),
        "D": np.ones(m),
        "x_proj.weight": rng.standard_normal((rank + 2 * N, m)),
        "dt_proj.weight": rng.standard_normal((m, rank)),
        "dt_proj.bias": rng.standard_normal(m),
        "conv1d.weight": rng.standard_normal((m, 1, 4)),
        "conv1d.bias": np.zeros(m),
        "in_proj.weight": rng.standard_normal((2 * m, m)),
        "out_proj.weight": rng.standard_normal((m, m)),
    }

    def forward(X):
        h, out = np.zeros((m, N)), []
        for u in X:
            x = arrays["x_proj.weight"] @ u
            dt = softplus(arrays["dt_proj.weight"] @ x[:rank] + arrays["dt_proj.bias"])
            A = -np.exp(arrays["A_log"])
            B = x[rank : rank + N]
            h = np.exp(dt[:, None] * A) * h + dt[:, None] * B * u[:, None]
            out.append(h.ravel())
        return np.array(out)

    return {f"{start}{key}": value for key, value in arrays.items()}, forward


def test_a_layer_of_mamba():
    rng = np.random.default_rng(0)
    arrays, forward = mamba(rng)
    with pytest.raises(ValueError, match=r"or of Falcon-Mamba, .* pass variant='mamba'"):
        from_arrays(arrays)
    layer = from_arrays(arrays, variant="mamba")
    X = rng.standard_normal((6, 3))
    assert np.max(np.abs(layer.simulate(X) - forward(X))) < 1e-12
    with pytest.raises(ValueError, match=r"\[layers.0.mixer.extra\] would be left over"):
        from_arrays({**arrays, "layers.0.mixer.extra": np.ones(1)}, variant="mamba")
    wrong = {**arrays, "layers.0.mixer.x_proj.weight": np.ones((5, 3))}
    with pytest.raises(ValueError, match=r"has 5 rows, needed 2 \+ 2 \* 2"):
        from_arrays(wrong, variant="mamba")
    both = arrays | mamba(rng, "layers.1.mixer.")[0]
    with pytest.raises(ValueError, match="more than one recurrent cell"):
        from_arrays(both, variant="mamba")
    assert from_arrays(both, variant="mamba", prefix="layers.1.mixer").input_dim == 3


def test_a_configuration_beside_the_file_tells_which_layer_it_is(tmp_path):
    pytest.importorskip("safetensors", reason="safetensors is not installed")
    arrays, _ = mamba(np.random.default_rng(0))
    path = tmp_path / "model.safetensors"
    with path.open("wb") as stream:
        write_tensors(stream, {k: tensor_of(k, v) for k, v in arrays.items()}, {})
    with pytest.raises(ValueError, match="pass variant='mamba'"):
        load(path)
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"model_type": "mamba"}))
    assert load(path).input_dim == 3
    config.write_text(json.dumps({"model_type": "falcon_mamba"}))
    assert isinstance(load(path), Block)
    config.write_text(json.dumps({"model_type": "falcon_mamba", "mixer_rms_eps": None}))
    with pytest.raises(ValueError, match=r"\(Falcon-Mamba\) has mixer_rms_eps=None"):
        load(path)


def test_a_layer_of_recurrent_gemma():
    rng = np.random.default_rng(1)
    heads, wide = 2, 3
    n = heads * wide
    arrays = {"recurrent_param": rng.standard_normal(n)}
    for gate in ("input_gate", "recurrent_gate"):
        arrays[f"{gate}_weight"] = rng.standard_normal((heads, wide, wide))
        arrays[f"{gate}_bias"] = rng.standard_normal((heads, wide))
    unit = from_arrays({f"block.rg_lru.{key}": value for key, value in arrays.items()})
    X = rng.standard_normal((6, n))

    def gate(name, x):
        parts = np.einsum("hi,hij->hj", x.reshape(heads, wide), arrays[f"{name}_weight"])
        return sigmoid(parts + arrays[f"{name}_bias"]).ravel()

    h, out = np.zeros(n), []
    for x in X:
        log_a = -8.0 * gate("recurrent_gate", x) * softplus(arrays["recurrent_param"])
        h = np.exp(log_a) * h + np.sqrt(1 - np.exp(2 * log_a)) * gate("input_gate", x) * x
        out.append(h)
    assert np.max(np.abs(unit.simulate(X) - np.array(out))) < 1e-12
    arrays["input_gate_weight"] = np.ones((2, 3, 2))
    with pytest.raises(ValueError, match=r"input_gate_weight has shape \(2, 3, 2\)"):
        from_arrays(arrays)


def test_a_minimal_gru():
    rng = np.random.default_rng(2)
    arrays = {
        f"linear_{g}.{key}": rng.standard_normal(shape)
        for g in "zh"
        for key, shape in (("weight", (3, 2)), ("bias", 3))
    }
    with pytest.raises(ValueError, match="'identity' as published"):
        from_arrays(arrays)
    unit = from_arrays(arrays, activation="identity")
    x = rng.standard_normal(2)
    z = sigmoid(arrays["linear_z.weight"] @ x + arrays["linear_z.bias"])
    candidate = arrays["linear_h.weight"] @ x + arrays["linear_h.bias"]
    assert np.max(np.abs(unit.step(np.zeros(3), x) - z * candidate)) < 1e-15


def test_blocks_without_a_map_are_refused_by_name():
    arrays = {
        f"blocks.3.{name}.weight": np.ones((2, 2)) for name in ("to_hidden_and_gate", "to_out")
    }
    with pytest.raises(ValueError, match=r"blocks.3 is a minGRU whose candidate is x \+ 1/2"):
        from_arrays(arrays)


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("dt_bias", "Mamba-2"),
        ("igate_preact.weight", "xLSTM-7b"),
        ("mlstm_cell.igate.weight", "xlstm's mLSTM"),
        ("slstm_cell._recurrent_kernel_", "xlstm's sLSTM"),
        ("r_k", "RWKV-7"),
    ],
)
def test_what_is_missing_of_a_block_is_told(name, title):
    with pytest.raises(ValueError, match=f"missing keys of a layer of {title}: blocks.3."):
        from_arrays({f"blocks.3.{name}": np.ones((2, 2))})
