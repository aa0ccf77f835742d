"""Layers of language models against the programs that have them, in double precision.

The programs are large and no part of any extra: each test skips where its program is not there.
They compute parts in single precision, whatever they are given; here in double.
"""

from __future__ import annotations

import numpy as np
import pytest

from theory.interop import from_arrays, load
from theory.maps.block import Block

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
T = 20


@pytest.fixture
def in_double(monkeypatch):
    """Let everything that asks for single precision have double."""
    to = torch.Tensor.to

    def wide(value):
        return torch.float64 if value is torch.float32 else value

    def to_double(self, *given, **named):
        return to(self, *map(wide, given), **{name: wide(value) for name, value in named.items()})

    monkeypatch.setattr(torch.Tensor, "float", lambda self: self.double())
    monkeypatch.setattr(torch.Tensor, "to", to_double)
    torch.manual_seed(0)


def filled(module):
    module = module.double().eval()
    with torch.no_grad():
        for one in module.parameters():
            one.copy_(torch.randn_like(one) / (one.shape[-1] ** 0.5 if one.ndim > 1 else 1.5))
    return module


def close(layer, X, states):
    found, states = layer.simulate(np.array(X)), np.array(states).reshape(len(X), -1)
    assert np.max(np.abs(found - states)) <= 1e-12 * max(1.0, np.max(np.abs(states)))


def run(model, watched):
    """Return what a module was given and gave, and the cache after every prefix of some tokens."""
    tokens, seen, caches = torch.randint(0, 11, (1, T)), {}, []
    watched.register_forward_hook(lambda _, given, out: seen.update(given=given[0], out=out))
    with torch.no_grad():
        for t in range(1, T + 1):
            caches.append(model(tokens[:, :t], use_cache=True))
    return seen["given"][0], seen["out"][0], caches


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_mamba_2_of_transformers(groups, tmp_path):
    hf = pytest.importorskip("transformers", reason="transformers is not installed")
    inner, N = 16, 4
    config = hf.Mamba2Config(
        num_heads=4, head_dim=4, hidden_size=8, state_size=N, n_groups=groups, num_hidden_layers=1,
        vocab_size=11, chunk_size=8,
    )  # fmt: skip
    model = filled(hf.Mamba2Model(config))
    model.save_pretrained(tmp_path)
    mixer = model.layers[0].mixer
    _, out, runs = run(model, mixer.in_proj)
    wide = inner + 2 * groups * N
    before = out[:, inner : inner + wide].T[None]
    weight, bias = mixer.conv1d.weight, mixer.conv1d.bias
    blurred = torch.nn.functional.conv1d(before, weight, bias, groups=wide, padding=3)[0, :, :T].T
    seen = torch.nn.functional.silu(blurred)[:, : inner + groups * N]
    X = torch.cat([seen, out[:, inner + wide :]], -1).detach().numpy()
    states = [one.cache.layers[0].recurrent_states[0][0].numpy().copy() for one in runs]
    close(load(tmp_path / "model.safetensors"), X, np.swapaxes(states, -1, -2))


@pytest.mark.usefixtures("in_double")
def test_falcon_mamba_of_transformers(tmp_path):
    hf = pytest.importorskip("transformers", reason="transformers is not installed")
    config = hf.FalconMambaConfig(
        hidden_size=8, state_size=3, num_hidden_layers=1, vocab_size=11, time_step_rank=2
    )
    model = filled(hf.FalconMambaModel(config))
    model.save_pretrained(tmp_path)
    seen, _, runs = run(model, model.layers[0].mixer.x_proj)
    states = [one.cache.layers[0].recurrent_states[0][0].numpy().copy() for one in runs]
    close(load(tmp_path / "model.safetensors"), seen.numpy(), states)


def without_stabiliser(C, n, m):
    grown = torch.exp(m.double())
    both = [C.double() * grown[..., None], (n.double() * grown)[..., None]]
    return torch.cat(both, -1)[0].numpy().copy()


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize("mode", ["single", "fused"])
@pytest.mark.parametrize("bias", [False, True])
def test_xlstm_of_transformers(mode, bias):
    hf = pytest.importorskip("transformers", reason="transformers is not installed")
    from transformers.models.xlstm import modeling_xlstm

    if not hasattr(modeling_xlstm, "xLSTMLayer"):
        pytest.skip("transformers takes the layer of the package xlstm, where that is installed")
    config = hf.xLSTMConfig(
        hidden_size=16, num_heads=2, num_hidden_layers=1, num_blocks=1, vocab_size=11,
        chunk_size=8, gate_soft_cap=2.0, weight_mode=mode, use_bias=bias,
    )  # fmt: skip
    module = filled(modeling_xlstm.xLSTMLayer(config))
    arrays = {name: value.numpy() for name, value in module.state_dict().items()}
    x, states = torch.randn(1, T, 16).double(), []
    with torch.no_grad():
        for t in range(1, T + 1):
            states.append(without_stabiliser(*module(x[:, :t])[1]))
    close(from_arrays(arrays, variant="xlstm(2)"), x[0].numpy(), states)


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize("bias", [False, True])
def test_the_mlstm_of_the_package_xlstm(bias):
    found = pytest.importorskip("xlstm.blocks.mlstm.layer", reason="xlstm is not installed")
    config = found.mLSTMLayerConfig(embedding_dim=8, num_heads=2, context_length=T, bias=bias)
    module = filled(found.mLSTMLayer(config))
    seen, X, states, carried, blurred = {}, [], [], None, None
    module.q_proj.register_forward_hook(lambda _, given, __: seen.update(u=given[0]))
    module.v_proj.register_forward_hook(lambda _, given, __: seen.update(x=given[0]))
    with torch.no_grad():
        for one in torch.randn(T, 1, 1, 8).double():
            _, after = module.step(one, mlstm_state=carried, conv_state=blurred)
            carried, blurred = after["mlstm_state"], after["conv_state"]
            C, n, m = carried
            states.append(torch.cat([C, n], -1)[0].mul(torch.exp(m)[0]).numpy().copy())
            X.append(torch.cat([seen["u"][0, 0], seen["x"][0, 0]]).numpy().copy())
    arrays = {name: value.numpy() for name, value in module.state_dict().items()}
    close(from_arrays(arrays), X, states)


@pytest.mark.usefixtures("in_double")
def test_the_slstm_of_the_package_xlstm():
    found = pytest.importorskip("xlstm.blocks.slstm.layer", reason="xlstm is not installed")
    from xlstm.blocks.slstm.cell import sLSTMCell_cuda

    config = found.sLSTMLayerConfig(
        embedding_dim=8, num_heads=2, backend="vanilla", dtype="float32"
    )
    module = filled(found.sLSTMLayer(config))
    seen, states, x = {}, [], torch.randn(1, T, 8).double()
    module.fgate.register_forward_hook(lambda _, given, __: seen.update(u=given[0]))
    module.zgate.register_forward_hook(lambda _, given, __: seen.update(x=given[0]))
    with torch.no_grad():
        for t in range(1, T + 1):
            _, after = module(x[:, :t], return_last_state=True)
            h, c, n, m = after["slstm_state"][:, 0]
            states.append(torch.cat([c / n, torch.log1p(n * torch.exp(m)), h]).numpy().copy())
    arrays = {name: value.numpy() for name, value in module.state_dict().items()}
    X = torch.cat([seen["u"][0], seen["x"][0]], -1).numpy()
    close(from_arrays(arrays), X, states)
    # and as its other program stores the same weights
    cell, other = module.slstm_cell, sLSTMCell_cuda(config, skip_backend_init=True)
    kernel = cell._recurrent_kernel_int2ext(cell._recurrent_kernel_.detach()).contiguous()
    bias = cell._bias_int2ext(cell._bias_.detach()).contiguous()
    arrays["slstm_cell._recurrent_kernel_"] = other._recurrent_kernel_ext2int(kernel).numpy()
    arrays["slstm_cell._bias_"] = other._bias_ext2int(bias).numpy()
    close(from_arrays(arrays), X, states)


@pytest.mark.usefixtures("in_double")
@pytest.mark.parametrize("number", [0, 1])
def test_rwkv_7_of_the_package_rwkv(number, monkeypatch):
    monkeypatch.setenv("RWKV_V7_ON", "1")
    monkeypatch.setenv("RWKV_JIT_ON", "0")
    monkeypatch.setattr(torch.jit, "script", lambda f, *_, **__: f)
    step = pytest.importorskip("rwkv.model", reason="rwkv is not installed").RWKV_x070_TMix_one
    heads, d, n = 2, 4, 8

    def w(*shape):
        return torch.randn(*shape).double() / 2

    arrays = {f"x_{one}": torch.rand(1, 1, n).double() for one in "rwkvag"}
    for one in "wag" if number == 0 else "wagv":
        arrays |= {f"{one}1": w(n, 3), f"{one}2": w(3, n)}
        arrays |= {} if one == "g" else {f"{one}0": w(1, 1, n)}
    arrays |= {"k_k": w(1, 1, n), "k_a": w(1, 1, n), "r_k": w(heads, d)}
    matrices = ("receptance", "key", "value", "output")
    arrays |= {f"{one}.weight": w(n, n) for one in matrices}
    arrays |= {"ln_x.weight": w(n), "ln_x.bias": w(n)}
    layer = from_arrays({f"blocks.{number}.att.{k}": v.numpy() for k, v in arrays.items()})
    # as it loads them; its constant has six digits of exp(-1/2)
    given = {name: value.squeeze() for name, value in arrays.items()}
    given |= {f"{one}.weight": arrays[f"{one}.weight"].T for one in matrices}
    given = {f"v{k}": torch.empty(0) for k in "012"} | given | {"r_k": arrays["r_k"].flatten()}
    layer = Block(layer.core.with_parameters(decay=np.full(n, 0.606531)), before=layer.before)
    names = [*(f"x_{one}" for one in "rwkvag"), *(f"{one}{k}" for one in "wav" for k in "012")]
    names += ["g1", "g2", "k_k", "k_a", "r_k"]
    names += [f"{one}.weight" for one in matrices] + ["ln_x.weight", "ln_x.bias"]
    X, states = [], []
    S, before = torch.zeros(heads, d, d).double(), torch.zeros(n).double()
    for x, first in zip(w(T, n), w(T, n), strict=True):
        X.append(torch.cat([x, before, *([first] if number else [])]).numpy())
        values = [given[name] for name in names]
        _, before, S, _ = step(number, heads, d, x, before, first, S, *values)
        states.append(S.numpy().swapaxes(-1, -2).copy())
    close(layer, X, states)
