"""Modules of PyTorch: the simulation of the map is the forward pass of the module."""

import numpy as np
import pytest
from layouts import needs_torch, same, torch

from theory import Cascade
from theory.interop import from_torch


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
    with pytest.raises(ValueError, match="has dtype complex64, needed real numbers"):
        from_torch({k: v.to(torch.cfloat) for k, v in nn.RNN(2, 2).state_dict().items()})
    module = nn.LSTM(2, 2)
    with torch.no_grad():
        module.weight_hh_l0[3, 1] = torch.nan
    with pytest.raises(ValueError, match=r"weight_hh_l0 holds nan at index \(3, 1\)"):
        from_torch(module)


@needs_torch
def test_the_activation_is_the_one_that_the_forward_pass_uses():
    module = torch.nn.RNN(3, 4, nonlinearity="relu")
    module.nonlinearity = "tanh"  # which the forward pass does not look at
    assert from_torch(module).activation.name == "relu"


@needs_torch
def test_a_module_tells_its_activation_itself():
    module = torch.nn.RNN(3, 4, nonlinearity="relu")
    assert from_torch(module, activation="relu").activation.name == "relu"
    with pytest.raises(ValueError, match="activation='tanh', but the forward pass of the module"):
        from_torch(module, activation="tanh")


@needs_torch
def test_two_layers_in_both_directions_have_no_way_out_that_fails_later():
    """The advice for one layer ended in "layer 0 gives 5 outputs, but layer 1 takes 10"."""
    one, two = (torch.nn.LSTM(3, 5, num_layers=k, bidirectional=True) for k in (1, 2))
    for module in (one, two):
        with pytest.raises(ValueError, match="if there is one layer only: upper ones see both"):
            from_torch(module.state_dict())
    assert from_torch(one.state_dict(), unused="*_reverse").input_dim == 3
    with pytest.raises(ValueError, match="weight_ih_l1 takes twice what the layer below gives"):
        from_torch(two.state_dict(), unused="*_reverse")
