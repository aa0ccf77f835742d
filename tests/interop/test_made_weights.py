"""Weights that are made before a forward pass: those of the next one are read, or none."""

import importlib

import numpy as np
import pytest
from layouts import needs_torch, same, torch, weights

from theory import GRU, LSTM
from theory.interop import from_torch

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
    model = from_torch(state, activation="tanh")
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
    assert same(from_torch(torch.jit.script(model).state_dict()), from_torch(model))
    quantised = torch.ao.quantization.quantize_dynamic(model, {nn.LSTM}, dtype=torch.qint8)
    with pytest.raises(ValueError, match=r"rnn is a quantised LSTM; pass the module"):
        from_torch(quantised)
    # these read the module's own weights
    for wrapped in (torch.compile(model, backend="eager"), nn.DataParallel(model)):
        assert same(from_torch(wrapped), from_torch(model.rnn))


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
