"""Weights of other programs: the same numbers come out, and what does not fit is refused."""

import importlib
import json
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from theory import GRU, LSTM, Cascade, EchoStateNetwork, LinearMap, Map, VanillaRNN
from theory.errors import MissingExtraError
from theory.interop import (
    from_arrays,
    from_keras,
    from_npz,
    from_reservoirpy,
    from_safetensors,
    from_torch,
    read_weights,
)

try:
    import torch
except ImportError:
    torch = None
try:
    import safetensors.numpy
except ImportError:
    safetensors = None

needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed (extra 'torch')")
needs_safetensors = pytest.mark.skipif(
    safetensors is None, reason="safetensors is not installed (extra 'safetensors')"
)


def weights(cell: str, *, n: int = 2, m: int = 3, layers: int = 1, seed: int = 0, bias=True):
    """Return arrays under PyTorch's names."""
    rng = np.random.default_rng(seed)
    gates = {"rnn": 1, "gru": 3, "lstm": 4}[cell]
    named = {}
    for k in range(layers):
        named[f"weight_ih_l{k}"] = rng.standard_normal((gates * n, m if k == 0 else n))
        named[f"weight_hh_l{k}"] = rng.standard_normal((gates * n, n))
        if bias:
            named[f"bias_ih_l{k}"] = rng.standard_normal(gates * n)
            named[f"bias_hh_l{k}"] = rng.standard_normal(gates * n)
    return named


def same(a: Map, b: Map) -> bool:
    """Return whether two maps have the same class and parameters."""
    p, q = a.parameters, b.parameters
    return type(a) is type(b) and p.keys() == q.keys() and all((p[k] == q[k]).all() for k in p)


# -------------------------------------------------------------------------------- PyTorch's forward


def modules():
    nn = torch.nn
    return {
        "rnn tanh": lambda: nn.RNN(3, 5),
        "rnn relu": lambda: nn.RNN(3, 5, nonlinearity="relu", bias=False),
        "lstm": lambda: nn.LSTM(3, 5),
        "lstm without bias": lambda: nn.LSTM(3, 5, bias=False, batch_first=True),
        "gru": lambda: nn.GRU(3, 5),
        "rnn of 3 layers": lambda: nn.RNN(3, 5, num_layers=3),
        "lstm of 2 layers": lambda: nn.LSTM(3, 5, num_layers=2, dropout=0.5),
        "gru of 2 layers": lambda: nn.GRU(3, 5, num_layers=2),
        "rnn cell": lambda: nn.RNNCell(3, 5, nonlinearity="relu"),
        "lstm cell": lambda: nn.LSTMCell(3, 5),
        "gru cell": lambda: nn.GRUCell(3, 5, bias=False),
    }


def outputs(module, X: np.ndarray) -> np.ndarray:
    """Return what PyTorch computes in double precision, (T, units)."""
    double = module.double().eval()
    x = torch.from_numpy(X)
    with torch.no_grad():
        if isinstance(module, torch.nn.RNNCellBase):
            state, rows = None, []
            for one in x:
                state = double(one[None], state)
                rows.append((state[0] if isinstance(state, tuple) else state)[0])
            return torch.stack(rows).numpy()
        if module.batch_first:
            return double(x[None])[0][0].numpy()
        return double(x[:, None])[0][:, 0].numpy()


def trained(module) -> None:
    """Take some steps of gradient descent on remembering the input two steps back."""
    head = torch.nn.Linear(5, 3)
    optimizer = torch.optim.Adam([*module.parameters(), *head.parameters()], lr=0.05)
    generator = torch.Generator().manual_seed(3)
    for _ in range(15):
        x = torch.rand(12, 4, 3, generator=generator) - 0.5
        if isinstance(module, torch.nn.RNNCellBase):
            state, rows = None, []
            for one in x:
                state = module(one, state)
                rows.append(state[0] if isinstance(state, tuple) else state)
            y = torch.stack(rows)
        else:
            y = module(x.transpose(0, 1))[0].transpose(0, 1) if module.batch_first else module(x)[0]
        loss = (head(y)[2:] - x[:-2]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@needs_torch
@pytest.mark.parametrize("kind", modules() if torch is not None else [])
@pytest.mark.parametrize("training", [False, True], ids=["random", "trained"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_simulation_is_the_forward_pass(kind, training, dtype):
    torch.manual_seed(1)
    module = modules()[kind]()
    module.to(getattr(torch, dtype))
    if training and dtype == "float32":
        trained(module)
    elif training:
        trained(module.float())
        module.double()
    X = np.random.default_rng(0).standard_normal((30, 3))
    # read before the module is turned into double precision: floats are embedded exactly
    model = from_torch(module)
    got = model.simulate(X) @ model.output_map.T
    expected = outputs(module, X)
    assert np.max(np.abs(got - expected)) <= 1e-12 * max(1.0, np.max(np.abs(expected)))
    assert np.max(np.abs(expected)) > 0.05
    # and the state dict, which tells everything but the activation, gives the same map
    rho = "relu" if "relu" in str(getattr(module, "nonlinearity", "")) else "tanh"
    assert same(from_torch(module.state_dict(), activation=rho), model)


@needs_torch
def test_all_layers_and_both_parts_of_the_state_are_the_forward_pass():
    torch.manual_seed(2)
    module = torch.nn.LSTM(3, 4, num_layers=2).double()
    model = from_torch(module)
    X = np.random.default_rng(1).standard_normal((20, 3))
    with torch.no_grad():
        _, (h, c) = module(torch.from_numpy(X)[:, None])
    expected = np.concatenate([c[0, 0], h[0, 0], c[1, 0], h[1, 0]])
    assert isinstance(model, Cascade)
    np.testing.assert_allclose(model.simulate(X)[-1], expected, rtol=1e-12, atol=1e-14)


@needs_torch
def test_short_floats_are_embedded_exactly():
    module = torch.nn.RNN(2, 2, bias=False)
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        module.to(dtype)
        model = from_torch(module)
        for name, tensor in (("W", module.weight_hh_l0), ("U", module.weight_ih_l0)):
            for ours, theirs in zip(model.parameters[name].ravel(), tensor.flatten(), strict=True):
                assert float(ours) == theirs.item()


@needs_torch
def test_a_cell_inside_a_module_is_found():
    nn = torch.nn

    class Tagger(nn.Module):
        def __init__(self, **more):
            super().__init__()
            self.embed = nn.Embedding(10, 3)
            self.rnn = nn.GRU(3, 2)
            self.head = nn.Linear(2, 4)
            for name, module in more.items():
                setattr(self, name, module)

    tagger = Tagger()
    assert same(from_torch(tagger), from_torch(tagger.rnn))
    assert same(from_torch(tagger.state_dict()), from_torch(tagger.rnn))
    two = Tagger(second=nn.LSTM(2, 2))
    with pytest.raises(ValueError, match=r"2 recurrent cells; there are: rnn, second; choose one"):
        from_torch(two)
    with pytest.raises(
        ValueError, match=r"rnn \(torch\), second \(torch\); choose one with prefix="
    ):
        from_torch(two.state_dict())
    assert same(from_torch(two, prefix="second"), from_torch(two.second))
    assert same(from_torch(two.state_dict(), prefix="second."), from_torch(two.second))
    for given in (two, two.state_dict()):
        with pytest.raises(ValueError, match="under prefix='third'"):
            from_torch(given, prefix="third")
    with pytest.raises(ValueError, match=r"0 recurrent cells; there are: none; needed an RNN"):
        from_torch(nn.Linear(2, 2))


@needs_torch
def test_a_parametrised_weight_is_the_one_that_is_used():
    torch.manual_seed(0)
    module = torch.nn.RNN(2, 3).double()
    torch.nn.utils.parametrizations.spectral_norm(module, "weight_hh_l0", n_power_iterations=50)
    model = from_torch(module.eval())
    assert np.linalg.norm(model.parameters["W"], 2) == pytest.approx(1.0, abs=1e-6)
    X = np.random.default_rng(0).standard_normal((9, 2))
    np.testing.assert_allclose(model.simulate(X), outputs(module, X), rtol=1e-12, atol=1e-14)


@needs_torch
def test_modules_that_are_no_such_map_are_refused_with_the_reason():
    nn = torch.nn

    class Own(nn.LSTM):
        def forward(self, x, state=None):
            return super().forward(2 * x, state)

    for module, message in (
        (nn.LSTM(2, 2, bidirectional=True), "bidirectional: its state depends on inputs to come"),
        (nn.GRU(2, 2, num_layers=2, bidirectional=True), "bidirectional"),
        (nn.LSTM(2, 3, proj_size=1), r"projections \(proj_size, weight_hr\)"),
    ):
        for given in (module, module.state_dict()):
            with pytest.raises(ValueError, match=message):
                from_torch(given)
    with pytest.raises(ValueError, match="a Own with a forward pass of its own"):
        from_torch(Own(2, 2))
    with pytest.raises(ValueError, match=r"received a ndarray, needed a torch.nn.Module or"):
        from_torch(np.eye(2))
    with pytest.raises(ValueError, match=r"weight_\w+ is a tensor that holds no plain numbers"):
        from_torch(nn.RNN(2, 2, device="meta"))
    with pytest.raises(ValueError, match="holds no plain numbers: they are complex"):
        from_torch({k: v.to(torch.cfloat) for k, v in nn.RNN(2, 2).state_dict().items()})
    module = nn.LSTM(2, 2)
    with torch.no_grad():
        module.weight_hh_l0[3, 1] = torch.nan
    with pytest.raises(ValueError, match=r"weight_hh_l0 holds nan at index \(3, 1\)"):
        from_torch(module)


# ----------------------------------------------------------- weights that are made before a forward

#: PyTorch's older ways to re-make a weight are deprecated, and are in use.
deprecated = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")

NAME = "weight_hh_l0"


def remade():
    """Return ways to re-make a recurrent weight before every forward pass."""
    utils, prune = torch.nn.utils, importlib.import_module("torch.nn.utils.prune")

    def normed_and_pruned(m):
        return prune.l1_unstructured(utils.spectral_norm(m, NAME), "weight_ih_l0", 0.5)

    return {
        "plain": lambda m: m,
        "weight_norm": lambda m: utils.weight_norm(m, NAME),
        "weight_norm of all": lambda m: utils.weight_norm(m, NAME, dim=None),
        "spectral_norm": lambda m: utils.spectral_norm(m, NAME),
        "prune": lambda m: prune.l1_unstructured(m, NAME, amount=0.5),
        "prune twice": lambda m: prune.random_unstructured(
            prune.l1_unstructured(m, NAME, 0.3), NAME, 0.3
        ),
        "spectral_norm and prune": normed_and_pruned,
        "parametrizations.weight_norm": lambda m: utils.parametrizations.weight_norm(m, NAME),
        "parametrizations.spectral_norm": lambda m: utils.parametrizations.spectral_norm(m, NAME),
        "parametrizations.orthogonal": lambda m: utils.parametrizations.orthogonal(m, NAME),
    }


def learned(module, x):
    """Take large steps, after which the module's attribute is that of the last forward pass."""
    optimizer = torch.optim.SGD(module.parameters(), lr=2.0)
    for _ in range(4):
        optimizer.zero_grad()
        (module(x)[0] - 1).square().mean().backward()
        optimizer.step()


def bits(module) -> list:
    """Return everything of a module that reading it could change, and PyTorch's generator."""
    tensors = [*module.state_dict().items(), *((k, v) for k, v in vars(module).items())]
    kept = [(k, id(v), v.detach().clone()) for k, v in tensors if isinstance(v, torch.Tensor)]
    modes = [one.training for one in module.modules()]
    hooks = [len(one._forward_pre_hooks) for one in module.modules()]
    flat = [(id(w), w.detach().clone()) for w in module._flat_weights]
    return [kept, flat, modes, hooks, torch.get_rng_state()]


def equal(a, b) -> bool:
    """Return whether what `bits` found is the same."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return isinstance(a, int) or a == b  # identities of views of a state dict


@needs_torch
@deprecated
@pytest.mark.parametrize("kind", remade() if torch is not None else [])
@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
def test_weights_are_those_of_the_next_forward_pass(kind, cell):
    """The attribute is that of the last one: off by 0.48 after load_state_dict."""
    X = np.random.default_rng(0).standard_normal((20, 3))
    x = torch.from_numpy(X)[:, None]

    def build(seed):
        torch.manual_seed(seed)
        return remade()[kind](getattr(torch.nn, cell)(3, 5).double())

    def differs(module):
        """Return |simulate - forward|, read first, in training, and the module as it was."""
        module.train()
        before = bits(module)
        model = from_torch(module)
        assert equal(before, bits(module))
        module.eval()
        assert same(from_torch(module), model)
        with torch.no_grad():
            return np.max(
                np.abs(model.simulate(X) @ model.output_map.T - module(x)[0][:, 0].numpy())
            )

    module = build(1)
    learned(module, x)
    assert differs(module) <= 2e-15
    fresh = build(2)
    fresh.load_state_dict(module.state_dict())
    assert differs(fresh) <= 2e-15
    # and inside of another module
    assert same(from_torch(torch.nn.Sequential(fresh)), from_torch(fresh))


@needs_torch
def test_parametrizations_at_random_are_refused():
    class Drop(torch.nn.Module):
        def __init__(self, always):
            super().__init__()
            self.always = always

        def forward(self, W):
            return torch.nn.functional.dropout(W, 0.5, self.training or self.always)

    def dropped(always):
        module = torch.nn.RNN(2, 8).double()
        torch.nn.utils.parametrize.register_parametrization(module, NAME, Drop(always))
        return module

    module = dropped(always=False)
    state = torch.get_rng_state()
    model = from_torch(module)
    assert torch.equal(state, torch.get_rng_state())
    held = module.parametrizations[NAME]
    assert (model.parameters["W"] == held.original.detach().numpy()).all()
    with pytest.raises(ValueError, match="weight_hh_l0 is parametrized at random"):
        from_torch(dropped(always=True))
    held[0].register_forward_hook(lambda *_: None)
    with pytest.raises(ValueError, match="parametrized by a module with hooks"):
        from_torch(module)
    module = dropped(always=False)
    module.parametrizations[NAME][0].kept = torch.ones(1, requires_grad=True) * 2
    with pytest.raises(ValueError, match="in a way that cannot be copied"):
        from_torch(module)


@needs_torch
@deprecated
def test_hooks_upon_hooks_that_need_two_passes_are_refused():
    prune = importlib.import_module("torch.nn.utils.prune")
    module = torch.nn.utils.weight_norm(torch.nn.RNN(2, 3), NAME)
    prune.l1_unstructured(module, "weight_hh_l0_v", amount=0.5)
    # registered, but not yet run through
    with torch.no_grad():
        module.weight_hh_l0_v_orig.mul_(torch.arange(9.0).reshape(3, 3))
    with pytest.raises(ValueError, match="weight_hh_l0 is another one in the next forward pass"):
        from_torch(module)
    x = torch.zeros(1, 1, 2)
    module.eval()(x)  # uses the old v, and only then makes the new one
    old = module.weight_hh_l0.detach().clone()
    model = from_torch(module)
    module(x)
    assert not torch.equal(module.weight_hh_l0, old)
    assert (model.parameters["W"] == module.weight_hh_l0.detach().double().numpy()).all()


def drop_wrapper():
    """Return a class that drops weights as wrappers do it, in three ways."""
    nn, functional = torch.nn, torch.nn.functional

    class Dropped(nn.Module):
        def __init__(self, module, how="attribute"):
            super().__init__()
            self.module, self.how = module, how
            weight = module.weight_hh_l0.detach().clone()
            if how == "attribute":
                del module._parameters[NAME]
                module.flatten_parameters = lambda: None
            self.weight_hh_l0_raw = nn.Parameter(weight)
            self.put()

        def put(self):
            weight = functional.dropout(self.weight_hh_l0_raw, 0.5, self.training)
            if self.how == "entry":
                self.module._parameters[NAME] = weight
            elif self.how == "parameter":
                self.module.weight_hh_l0 = nn.Parameter(weight.detach())
            else:
                self.module.weight_hh_l0 = weight

        def forward(self, x):
            self.put()
            return self.module(x)

    return Dropped


@needs_torch
@pytest.mark.parametrize("how", ["attribute", "entry", "parameter"])
@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
def test_weights_that_a_wrapper_drops_are_refused(how, cell):
    """In evaluation mode they were those of the last pass in training: off by 0.08."""
    wrapped = drop_wrapper()(getattr(torch.nn, cell)(3, 5), how)
    wrapped.train()(torch.zeros(4, 1, 3))
    for training in (True, False):
        wrapped.train(training)
        with pytest.raises(ValueError, match="weight drop"):
            from_torch(wrapped)
        if how != "parameter":  # a parameter like any other, to one who sees the cell alone
            with pytest.raises(ValueError, match="weight drop"):
                from_torch(wrapped.module)
    state = wrapped.state_dict()
    with pytest.raises(ValueError, match=r"weight_hh_l0_raw") as caught:
        from_torch(state)
    if how != "attribute":
        assert "module.weight_hh_l0 and weight_hh_l0_raw are both there" in str(caught.value)
        state.pop("weight_hh_l0_raw")
    else:
        assert "rename it" in str(caught.value)
        state["module.weight_hh_l0"] = state.pop("weight_hh_l0_raw")
    X = np.random.default_rng(0).standard_normal((9, 3))
    model = from_torch(state)
    if how == "attribute":
        wrapped.double().eval()
        with torch.no_grad():
            expected = wrapped(torch.from_numpy(X)[:, None])[0][:, 0].numpy()
        np.testing.assert_allclose(model.simulate(X) @ model.output_map.T, expected, atol=2e-15)


@needs_torch
@pytest.mark.parametrize("where", ["cell", "around", "far around"])
def test_hooks_that_may_set_weights_are_refused(where):
    nn = torch.nn
    inner = nn.Sequential(nn.GRU(2, 2))
    outer = nn.Sequential(inner)
    at = {"cell": inner[0], "around": inner, "far around": outer}[where]

    def doubles(*_):
        inner[0].weight_hh_l0.data.mul_(2)

    handle = at.register_forward_pre_hook(doubles)
    with pytest.raises(ValueError, match=r"has the hook \S*doubles, which runs before"):
        from_torch(outer)
    if where != "cell":
        assert isinstance(from_torch(inner[0]), GRU)
    handle.remove()
    handle = inner[0].register_forward_hook(lambda *_: None)
    with pytest.raises(ValueError, match=r"0\.0 has the hook .*runs after the forward pass"):
        from_torch(outer)
    handle.remove()
    assert isinstance(from_torch(outer), GRU)
    with torch.autocast("cpu", dtype=torch.bfloat16), pytest.raises(ValueError, match="autocast"):
        from_torch(outer)


@needs_torch
@deprecated
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_modules_whose_weights_are_compiled_in():
    nn = torch.nn

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.LSTM(2, 3)

        def forward(self, x):
            return self.rnn(x)[0]

    model = Model()
    with pytest.raises(ValueError, match=r"rnn is an LSTM compiled by torch.jit; pass the module"):
        from_torch(torch.jit.script(model))
    quantised = torch.ao.quantization.quantize_dynamic(model, {nn.LSTM}, dtype=torch.qint8)
    with pytest.raises(ValueError, match=r"rnn is a quantised LSTM; pass the module"):
        from_torch(quantised)
    # these read the module's own weights
    for wrapped in (torch.compile(model, backend="eager"), nn.DataParallel(model)):
        assert same(from_torch(wrapped), from_torch(model.rnn))


@needs_torch
def test_the_activation_is_the_one_that_the_forward_pass_uses():
    module = torch.nn.RNN(3, 4, nonlinearity="relu")
    module.nonlinearity = "tanh"  # which the forward pass does not look at
    assert from_torch(module).activation.name == "relu"


@needs_torch
@deprecated
@pytest.mark.parametrize("kind", [k for k in remade() if k != "plain"] if torch else [])
@pytest.mark.parametrize("prefix", ["", "encoder.rnn."])
def test_state_dicts_of_weights_that_are_made(kind, prefix):
    module = remade()[kind](torch.nn.LSTM(3, 5))
    state = {f"{prefix}{k}": v for k, v in module.state_dict().items()}
    for given in (state, {"head.weight": torch.zeros(2), **state}):
        with pytest.raises(ValueError, match=r"not stored themselves, .*pass the module") as caught:
            from_torch(given)
        assert f"{prefix}{NAME}_" in str(
            caught.value
        ) or f"{prefix}parametrizations.{NAME}." in str(caught.value)
    with pytest.raises(ValueError, match="not stored themselves"):
        from_torch(state, prefix=prefix.rstrip(".") or None)


@needs_torch
def test_state_dicts_of_parametrised_modules_of_ours():
    from theory.torch import parametrize_stable

    module = torch.nn.LSTM(3, 5)
    parametrize_stable(module, rate=0.9)
    with pytest.raises(ValueError, match=r"parametrizations.weight_hh_l0.original.*pass the modul"):
        from_torch(module.state_dict())
    assert isinstance(from_torch(module), LSTM)


def test_made_weights_of_one_cell_beside_another_cell():
    plain = {f"a.{k}": v for k, v in weights("gru").items()}
    made = {f"b.{k}_g": v for k, v in weights("lstm").items()}
    for extra in (made, made | {"b.bias_ih_l0": np.ones(8)}):
        with pytest.raises(ValueError, match=r"more than one .*: a \(torch\), b \(torch\); choose"):
            from_torch(plain | extra)
        assert isinstance(from_torch(plain | extra, prefix="a"), GRU)
        with pytest.raises(ValueError, match="not stored themselves"):
            from_torch(plain | extra, prefix="b")
    # names that only begin like a weight's of a cell, or another direction's, are no parts
    both = weights("gru") | {"weight_hh_l0_reverse": np.ones((6, 2))}
    with pytest.raises(ValueError, match="bidirectional"):
        from_torch(both)
    for name in ("weight_hh_l0_orig", "parametrizations.weight_hh_l0.original"):
        with pytest.raises(ValueError, match=f"weight_hh_l0 and {name} are both there"):
            from_torch(weights("gru") | {name: np.ones(1)})


# ---------------------------------------------------------------------------------- state dicts


def test_a_state_dict_needs_no_torch():
    cell = weights("gru")
    model = from_torch(cell)
    assert isinstance(model, GRU)
    assert (cell["weight_hh_l0"] == model.W).all()
    assert (cell["weight_ih_l0"] == model.U).all()
    assert (model.b[:4] == (cell["bias_ih_l0"] + cell["bias_hh_l0"])[:4]).all()
    assert (model.b[4:] == cell["bias_ih_l0"][4:]).all()
    assert (model.b_candidate == cell["bias_hh_l0"][4:]).all()


def test_layers_are_in_their_order():
    named = weights("rnn", layers=11, n=1, m=1)
    model = from_torch(dict(sorted(named.items())))
    assert isinstance(model, Cascade)
    for k, layer in enumerate(model.layers):
        assert layer.parameters["W"] == named[f"weight_hh_l{k}"]


def test_other_keys_are_left_alone():
    named = {f"model.rnn.{k}": v for k, v in weights("lstm").items()}
    named |= {"model.head.weight": np.full((2, 2), np.nan), "step": "a text"}
    assert same(from_torch(named), from_torch(weights("lstm")))


def drop(cell, *keys):
    return {k: v for k, v in cell.items() if k not in keys}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (drop(weights("lstm"), "bias_hh_l0"), r"missing keys: bias_hh_l0; there are \["),
        (drop(weights("lstm"), "weight_hh_l0"), r"missing keys: weight_hh_l0;"),
        (
            drop(weights("rnn", layers=3), "weight_ih_l1", "weight_hh_l1"),
            "missing keys: weight_ih_l1, weight_hh_l1;",
        ),
        (
            {f"a.b.{k}": v for k, v in drop(weights("gru"), "bias_ih_l0").items()},
            r"missing keys: a\.b\.bias_ih_l0",
        ),
        (weights("lstm") | {"weight_hh_l0": np.ones((7, 2))}, r"weight_hh_l0 has shape \(7, 2\)"),
        (weights("lstm") | {"weight_hh_l0": np.ones((10, 2))}, r"5 gates of 2 units; needed 1"),
        (weights("lstm") | {"weight_hh_l0": np.ones((0, 2))}, r"shape \(0, 2\)"),
        (weights("lstm") | {"weight_hh_l0": np.ones(8)}, r"shape \(8,\)"),
        (weights("lstm") | {"weight_ih_l0": np.ones((6, 3))}, r"\(6, 3\), needed \(8, m\)"),
        (weights("lstm") | {"bias_hh_l0": np.ones(6)}, r"bias_hh_l0 has .*, needed \(8,\)"),
        (weights("lstm") | {"bias_hh_l0": np.full(8, np.inf)}, r"bias_hh_l0 holds inf"),
        (weights("gru") | {"weight_hh": np.ones((6, 2))}, "a cell and a layer"),
        (weights("gru") | {"weight_hh_l0_reverse": np.ones((6, 2))}, "bidirectional"),
        (weights("lstm") | {"weight_hr_l0": np.ones((1, 2))}, "projections"),
        (weights("lstm", layers=2) | {"weight_ih_l1": np.ones((8, 3))}, "layer 0 gives 2 outputs"),
        ({"weight_hh_l0": ["a"], "weight_ih_l0": [1.0]}, "weight_hh_l0 has dtype"),
        ({"epoch": 3, "state_dict": {}}, r"no recurrent weights among \[epoch, state_dict\]"),
        ({}, "no recurrent weights"),
    ],
)  # fmt: skip
def test_state_dicts_that_do_not_fit(arrays, message):
    with pytest.raises(ValueError, match=message):
        from_torch(arrays)


def test_an_activation_is_for_plain_cells():
    assert from_torch(weights("rnn"), activation="relu").activation.name == "relu"
    assert isinstance(from_torch(weights("rnn"), activation="identity"), LinearMap)
    with pytest.raises(ValueError, match="those of a LSTM, which has its own"):
        from_torch(weights("lstm"), activation="relu")
    with pytest.raises(ValueError, match="'tan' is not known"):
        from_torch(weights("rnn"), activation="tan")


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "x.bin"])
def test_pickles_are_never_read(name, tmp_path):
    for read in (from_torch, read_weights):
        with pytest.raises(ValueError, match=r"weights_only=True"):
            read(str(tmp_path / name))
    path = tmp_path / "p.npz"
    np.savez(path, W=np.array([object()], dtype=object))
    with pytest.raises(ValueError, match=r"cannot be read: .*, which are never unpickled"):
        from_npz(path)
    np.save(tmp_path / "p.npy", np.array([object()], dtype=object))
    with pytest.raises(ValueError, match=r"cannot be read: .*, which are never unpickled"):
        read_weights(tmp_path / "p.npy")


# ------------------------------------------------------------------------------------------- Keras


def fixed(shape: tuple[int, ...], s: float) -> np.ndarray:
    """Return the numbers with which the values below were computed."""
    return (np.sin(1.0 + 0.7 * np.arange(int(np.prod(shape))) + s) * 0.9).reshape(shape)


#: Outputs of Keras 3.15 (JAX backend, single precision) for inputs ``fixed((4, 3), 5)`` and
#: weights ``fixed(shape, i)``, i = 0, 1, 2 for kernel, recurrent kernel and bias.
KERAS = {
    "lstm": [
        [0.04698992, 0.04760014],
        [-0.18641422, -0.24632343],
        [-0.08346310, 0.02512915],
        [0.03325628, 0.05542252],
    ],
    "gru": [
        [-0.13723029, 0.34101758],
        [-0.24464839, 0.11419017],
        [-0.36022369, -0.02438674],
        [-0.31175225, 0.36231894],
    ],
    "gru before": [
        [-0.12400489, 0.54891597],
        [-0.16948259, 0.20945766],
        [-0.31938836, 0.09901524],
        [-0.20844365, 0.58848158],
    ],
    "simple_rnn": [
        [-0.27968448, -0.88519025],
        [0.80758369, 0.72859895],
        [0.00648103, -0.56963545],
        [-0.13438962, -0.74847382],
    ],
}


def keras_weights(kind: str) -> list[np.ndarray]:
    gates = {"lstm": 4, "gru": 3, "gru before": 3, "simple_rnn": 1}[kind]
    bias = (2, 6) if kind == "gru" else (2 * gates,)
    shapes = ((3, 2 * gates), (2, 2 * gates), bias)
    return [fixed(shape, float(i)) for i, shape in enumerate(shapes)]


@pytest.mark.parametrize("kind", KERAS)
def test_values_computed_by_keras(kind):
    model = from_keras(keras_weights(kind), kind.split()[0])
    got = model.simulate(fixed((4, 3), 5.0)) @ model.output_map.T
    assert np.max(np.abs(got - KERAS[kind])) < 2e-7


def test_keras_weights_without_bias_and_of_several_layers():
    kernel, recurrent, _ = keras_weights("gru")
    plain = from_keras([kernel, recurrent], "gru")
    assert plain.variant == "reset_after"
    assert not plain.b.any()
    assert from_keras([kernel, recurrent], "gru", reset_after=False).variant == "reset_before"
    two = from_keras([keras_weights("lstm"), [fixed((2, 8), 3), fixed((2, 8), 4)]], "lstm")
    assert isinstance(two, Cascade)
    assert (two.layers[1].parameters["U"] == fixed((2, 8), 3).T).all()
    relu = from_keras(keras_weights("simple_rnn"), "simple_rnn", activation="relu")
    assert relu.activation.name == "relu"


def test_keras_names_in_a_file(tmp_path):
    kernel, recurrent, bias = keras_weights("gru")
    named = {"gru/kernel:0": kernel, "gru/recurrent_kernel:0": recurrent, "gru/bias:0": bias}
    named |= {"dense/kernel:0": kernel, "dense/bias:0": bias}
    np.savez(tmp_path / "k.npz", **named)
    assert same(from_npz(tmp_path / "k.npz"), from_keras([kernel, recurrent, bias], "gru"))
    np.savez(tmp_path / "k.npz", recurrent_kernel=recurrent)
    with pytest.raises(ValueError, match=r"k.npz: missing keys: kernel"):
        from_npz(tmp_path / "k.npz")


@pytest.mark.parametrize(
    ("arguments", "more", "message"),
    [
        ((keras_weights("lstm"), "LSTM"), {}, "needed one of: simple_rnn, gru, lstm"),
        ((keras_weights("lstm"), "gru"), {}, r"\(2, 8\), needed \(2, 6\)"),
        ((keras_weights("lstm")[:1], "lstm"), {}, "received 1 arrays"),
        (([], "lstm"), {}, "no weights"),
        ((keras_weights("gru"), "gru"), {"reset_after": False}, r"\(2, 6\), needed \(6,\)"),
        ((keras_weights("gru before"), "gru"), {"reset_after": True}, r"needed \(2, 6\)"),
        ((keras_weights("lstm"), "lstm"), {"reset_after": True}, "setting of a gru"),
        ((keras_weights("lstm"), "lstm"), {"activation": "relu"}, "has its own"),
        ((keras_weights("lstm"), "lstm"), {"recurrent_activation": "x"}, "needed 'sigmoid'"),
        (([*keras_weights("lstm")[:1], np.ones(8), np.ones(8)], "lstm"), {}, "recurrent_kernel"),
    ],
)  # fmt: skip
def test_keras_weights_that_do_not_fit(arguments, more, message):
    with pytest.raises(ValueError, match=message):
        from_keras(*arguments, **more)


# -------------------------------------------------------------------------------------- reservoirpy


class Sparse:
    """What a SciPy sparse matrix answers."""

    def __init__(self, array):
        self.array = array

    def toarray(self):
        return self.array


class Reservoir:
    def __init__(self, **attributes):
        self.W = np.array([[0.5, 0.2], [0.0, -0.4]])
        self.Win = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, -1.0]])
        self.bias = np.array([[0.1], [0.2]])
        self.lr = 0.3
        self.activation = np.tanh
        self.__dict__.update(attributes)


@pytest.mark.parametrize(
    "bias", [np.array([0.1, 0.2]), np.array([[0.1], [0.2]]), 0.1, True, None, 0.0], ids=str
)
@pytest.mark.parametrize("sparse", [False, True])
def test_a_reservoir_is_its_equation(bias, sparse):
    node = Reservoir(bias=bias)
    W, Win = node.W, node.Win
    if sparse:
        node.W, node.Win = Sparse(W), Sparse(Win)
    model = from_reservoirpy(node)
    X = np.random.default_rng(0).standard_normal((9, 3))
    h = np.zeros(2)
    for t, x in enumerate(X):
        b = 0.0 if bias is None else np.ravel(np.asarray(bias, dtype=float))
        h = 0.7 * h + 0.3 * np.tanh(W @ h + Win @ x + b)
        np.testing.assert_allclose(model.simulate(X)[t], h, rtol=1e-13, atol=1e-15)
    assert isinstance(model, EchoStateNetwork)


def test_scipy_sparse_matrices_and_rates_of_each_unit():
    from scipy import sparse

    node = Reservoir(lr=np.array([0.3, 1.0]), activation="relu")
    dense = from_reservoirpy(node)
    node.W = sparse.csr_array(node.W)
    assert same(from_reservoirpy(node), dense)
    assert dense.leak.tolist() == [0.3, 1.0]
    assert dense.activation.name == "relu"


def test_the_reservoir_of_a_whole_network():
    class Network:
        feedback = False
        reservoir = Reservoir()

    assert same(from_reservoirpy(Network()), from_reservoirpy(Reservoir()))
    Network.feedback = True
    with pytest.raises(ValueError, match="driven by its own outputs"):
        from_reservoirpy(Network())


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"W": np.tanh}, "W is not drawn before"),
        ({"Win": None}, "has no Win;"),
        ({"Wfb": np.ones((2, 1))}, "has Wfb"),
        ({"noise_rc": 0.1}, "has noise_rc"),
        ({"equation": "external"}, "needed 'internal'"),
        ({"activation": lambda a: a}, "'<lambda>' is not known"),
        ({"lr": 1.5}, "leak"),
        ({"W": np.ones((2, 3))}, "square"),
        ({"bias": np.ones(3)}, r"b has shape \(3,\)"),
    ],
)
def test_reservoirs_that_are_no_such_map(attributes, message):
    with pytest.raises(ValueError, match=message):
        from_reservoirpy(Reservoir(**attributes))


def test_other_nodes_of_reservoirpy_are_refused():
    other = type("IPReservoir", (Reservoir,), {"__module__": "reservoirpy.nodes"})
    with pytest.raises(ValueError, match="received a IPReservoir, needed one of: Reservoir"):
        from_reservoirpy(other())
    assert isinstance(from_reservoirpy(Reservoir(noise_rc=0.0, Wfb=None)), EchoStateNetwork)


# ------------------------------------------------------------------------------------------- files


def every_map() -> dict[str, Map]:
    rng = np.random.default_rng(0)
    lstm = LSTM(rng.standard_normal((8, 2)), rng.standard_normal((8, 3)), rng.standard_normal(8))
    gru = GRU(*(rng.standard_normal(s) for s in ((6, 2), (6, 2), 6, 2)))
    return {
        "rnn": VanillaRNN(rng.standard_normal((2, 2)), rng.standard_normal((2, 3)), [1.0, 2.0]),
        "lstm": lstm,
        "gru": gru,
        "esn": EchoStateNetwork(np.eye(2) / 2, np.ones((2, 3)), [0.0, 1.0], leak=[0.5, 1.0]),
        "cascade": Cascade([lstm, gru]),
    }


@pytest.mark.parametrize("name", every_map())
def test_parameters_can_be_stored_and_read_back(name, tmp_path):
    model = every_map()[name]
    np.savez(tmp_path / "own.npz", **model.parameters)
    assert same(from_npz(tmp_path / "own.npz"), model)
    if safetensors is not None:
        safetensors.numpy.save_file(
            {k: v.copy() for k, v in model.parameters.items()}, tmp_path / "own.safetensors"
        )
        assert same(read_weights(tmp_path / "own.safetensors"), model)


def test_short_forms(tmp_path):
    np.save(tmp_path / "w.npy", np.eye(2))
    alone = read_weights(tmp_path / "w.npy")
    assert (alone.parameters["U"] == np.eye(2)).all()
    np.savez(tmp_path / "a.npz", A=np.eye(2), B=np.ones((2, 1)), bias=np.ones(2))
    linear = from_npz(tmp_path / "a.npz", activation="identity")
    assert isinstance(linear, LinearMap)
    assert linear.affine().b.tolist() == [1.0, 1.0]
    with pytest.raises(ValueError, match=r"w.npy is a single array"):
        from_npz(tmp_path / "w.npy")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"W": np.ones((2, 3))}, r"W has shape \(2, 3\)"),
        ({"W": np.ones((8, 2))}, "missing keys: U"),
        ({"W": np.ones((8, 2)), "U": np.ones((8, 1)), "b_candidate": [1.0]}, "b_candid"),
        ({"W": np.ones((8, 2)), "U": np.ones((8, 1)), "leak": 0.5}, "leak goes with"),
        ({"W": np.eye(2), "A": np.eye(2)}, "mean the same"),
        ({"x.W": np.eye(2), "y.W": np.eye(2)}, r"x \(own\), y \(own\); choose one with prefix="),
        ({"0.W": np.eye(2), "1.W": np.eye(2), "0.readout": np.eye(2)}, "the Cascade yourself"),
        ({"U": np.eye(2)}, "no recurrent weights"),
        ({"W": [[np.nan]]}, r"W holds nan at index \(0, 0\)"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit(arrays, message):
    with pytest.raises(ValueError, match=message):
        from_arrays(arrays)
    with pytest.raises(ValueError, match="layout 'jax' is not known"):
        from_arrays(arrays, layout="jax")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not an archive", b"nonsense", b"\x93NUMPY"])
@pytest.mark.parametrize("name", ["x.npz", "x.npy", "x.safetensors"])
def test_damaged_files(content, name, tmp_path):
    if name.endswith("safetensors") and safetensors is None:
        pytest.skip("safetensors is not installed (extra 'safetensors')")
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name} cannot be read: "):
        read_weights(path)
    path.unlink()
    with pytest.raises(ValueError, match=rf"{name} cannot be read: "):
        read_weights(path)


def test_an_archive_that_unpacks_to_more_than_the_limit(tmp_path):
    """Its header declares 8 TB; nothing is allocated for them."""
    path = tmp_path / "x.npz"
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000), }"
    header += b" " * (117 - len(header)) + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("W.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + header)
    with pytest.raises(ValueError, match=r"x.npz cannot be read: .* declares 8000000000000 bytes"):
        from_npz(path)


def test_a_truncated_archive(tmp_path):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("W.npy", b"\x93NUMPY\x01\x00")
    with pytest.raises(ValueError, match="cannot be read"):
        from_npz(path)


@needs_safetensors
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8])
def test_safetensors_of_every_width(dtype, tmp_path):
    named = {f"a.{k}": (8 * v).astype(dtype) for k, v in weights("gru").items()}
    named["other"] = np.zeros(3, dtype=np.int64)
    safetensors.numpy.save_file(named, tmp_path / "w.safetensors")
    expected = from_arrays({k: v.astype(np.float64) for k, v in named.items()})
    assert same(from_safetensors(tmp_path / "w.safetensors"), expected)


def write_safetensors(path, kind: str, data: dict[str, tuple[list[int], bytes]]) -> None:
    """Write a file by hand: a length, a header, the bytes."""
    header, at = {}, 0
    for name, (shape, raw) in data.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [at, at + len(raw)]}
        at += len(raw)
    text = json.dumps(header).encode()
    body = b"".join(raw for _, raw in data.values())
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


@needs_safetensors
def test_safetensors_of_bfloat16_and_of_unknown_types(tmp_path):
    path = tmp_path / "w.safetensors"
    # 1.5 = 0x3fc00000 and -2 = 0xc0000000 as float32; bfloat16 is the upper half
    two = {"W": ([1, 1], b"\xc0\x3f"), "U": ([1, 1], b"\x00\xc0")}
    write_safetensors(path, "BF16", two)
    model = from_safetensors(path)
    assert (model.parameters["W"], model.parameters["U"]) == (1.5, -2.0)
    write_safetensors(path, "F8_E4M3", {"W": ([1, 1], b"\x01"), "U": ([1, 1], b"\x01")})
    with pytest.raises(ValueError, match=r"[UW] is stored as F8_E4M3, needed F64, F32"):
        from_safetensors(path)


def run_without(package: str, program: str) -> str:
    """Return what a program prints where a package is not installed."""
    code = f"import sys; sys.modules[{package!r}] = None\n" + program
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_missing_extras_say_what_to_install(tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"")
    program = (
        "from theory import interop; from theory.errors import MissingExtraError\n"
        "try:\n    {}\nexcept MissingExtraError as error:\n    print(error)"
    )
    out = run_without("safetensors", program.format(f"interop.from_safetensors({str(path)!r})"))
    assert "pip install 'stable-recurrent-models[safetensors]'" in out
    out = run_without("torch", program.format("interop.from_torch(object())"))
    assert "pip install 'stable-recurrent-models[torch]'" in out
    assert issubclass(MissingExtraError, ImportError)


def test_reading_arrays_loads_neither_torch_nor_safetensors():
    program = (
        "import sys, numpy as np\nfrom theory import interop\n"
        "interop.from_torch({'weight_ih': np.ones((4, 1)), 'weight_hh': np.ones((4, 1))})\n"
        "print([m for m in ('torch', 'safetensors', 'keras', 'numba') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
