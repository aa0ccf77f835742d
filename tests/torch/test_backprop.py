"""Bias of truncated backpropagation by autograd, and the theorem's bound above it."""

import json

import numpy as np
import pytest

from theory import L2, Linf, contraction
from theory.certificates import Contraction
from theory.torch import truncated_backprop
from theory.torch.layers import layer_map

torch = pytest.importorskip("torch", reason="PyTorch, the extra 'torch', is not installed")
nn, mse = torch.nn, torch.nn.functional.mse_loss


class Tagger(nn.Module):
    """A recurrent layer and an output layer that hand on the state."""

    def __init__(self, cell, first=True):
        super().__init__()
        self.rnn = cell(3, 5, batch_first=first)
        self.head = nn.Linear(5, 2)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x, state=None):
        out, state = self.rnn(x, state)
        return self.head(self.dropout(out)), state


def make(cell, first=True, scale=1.0):
    torch.manual_seed(0)
    module = Tagger(cell, first).double()
    with torch.no_grad():
        module.rnn.weight_hh_l0.mul_(scale)
    x, y = torch.randn(4, 20, 3).double(), torch.randn(4, 20, 2).double()
    return module, ((x, y) if first else (x.transpose(0, 1), y.transpose(0, 1)))


@pytest.mark.parametrize("cell", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("cut", ["last", "chunks"])
def test_gradients_are_those_of_a_loop_that_detaches(cell, cut):
    module, (x, y) = make(cell)
    ks = [1, 4, 7, 20, 30]
    answer = truncated_backprop(module, (x, y), loss=mse, ks=ks, cut=cut)
    assert module.training
    module.eval()

    def gradient(k):
        """Cut by hand, one step at a time."""
        module.zero_grad()
        state, total = None, 0.0
        for t in range(20):
            distance = t % k if cut == "chunks" else (20 - t) % k if t == 20 - k else 1
            if t and (distance == 0) and (cut == "chunks" or t == 20 - k):
                state = tuple(s.detach() for s in state) if cell is nn.LSTM else state.detach()
            out, state = module(x[:, t : t + 1], state)
            if cut == "chunks":
                total = total + mse(out, y[:, t : t + 1]) / 20
        (total if cut == "chunks" else mse(out[:, 0], y[:, -1])).backward()
        return np.concatenate([p.grad.numpy().ravel() for p in module.parameters()])

    whole = gradient(100)
    assert answer.full == pytest.approx(np.linalg.norm(whole))
    for i, k in enumerate(ks):
        assert answer.bias[i] == pytest.approx(np.linalg.norm(gradient(k) - whole), abs=1e-12)
    assert answer.bias[3] == answer.bias[4] == 0
    assert answer.cosine[3] == pytest.approx(1.0)
    assert answer.least(0.0) == 20
    assert answer.least(1.0) in ks
    json.dumps(answer.to_dict(), allow_nan=False)
    assert "measured on one batch" in str(answer)


def test_the_time_axis_may_come_first():
    a = truncated_backprop(*make(nn.GRU), loss=mse, ks=[3])
    b = truncated_backprop(*make(nn.GRU, first=False), loss=mse, ks=[3])
    np.testing.assert_allclose(a.bias, b.bias)


@pytest.mark.parametrize("scale", [0.2, 0.5, 0.8])
def test_the_theorem_is_above_what_autograd_finds(scale):
    module, batch = make(nn.RNN, scale=scale)
    c = contraction(layer_map(module.rnn, "_l0"), norm=L2())
    assert c is not None
    answer = truncated_backprop(
        module, batch, loss=mse, ks=[1, 2, 5, 10, 20], cut="last", certificate=c
    )
    assert (answer.layer_bias <= answer.bound * (1 + 1e-12) + 1e-15).all()
    assert answer.bound[-1] == 0
    assert (answer.layer_bias <= answer.bias + 1e-15).all()
    assert "proved at most" in str(answer)
    assert "certified" in answer.to_dict()["table"][0]


def test_the_bound_counts_losses_that_see_earlier_outputs():
    class Summing(Tagger):
        def forward(self, x, state=None):
            out, state = self.rnn(x, state)
            return self.head(out.cumsum(dim=1)), state

    torch.manual_seed(1)
    module = Summing(nn.RNN).double()
    x, y = torch.randn(3, 12, 3).double(), torch.randn(3, 2).double()
    c = contraction(layer_map(module.rnn, "_l0"), norm=L2())
    answer = truncated_backprop(module, (x, y), loss=mse, ks=[12], cut="last", certificate=c)
    assert answer.bound[0] == answer.layer_bias[0] == 0


def test_malformed_questions():
    module, (x, y) = make(nn.RNN)
    asked = {"loss": mse, "ks": [3]}
    c = Contraction.assumed(0.5)
    for change, message in (
        ({"ks": []}, "ks is empty"),
        ({"ks": [0]}, "ks"),
        ({"cut": "middle"}, "needed one of: last, chunks"),
        ({"batch": (x, y[:, -1])}, "needs targets at all times"),
        ({"module": nn.Linear(3, 2).double(), "batch_first": True}, "forward|needed the outputs"),
        ({"module": nn.Linear(3, 2).double()}, "where the time axis is"),
        ({"loss": lambda o, t: o - t}, "needed one number"),
        ({"module": make(nn.GRU)[0], "certificate": c, "cut": "last"}, "one torch.nn.RNN"),
        ({"certificate": Contraction.assumed(0.5, Linf()), "cut": "last"}, "L2"),
        ({"batch": (x * torch.nan, y)}, "not finite"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            truncated_backprop(**{"module": module, "batch": (x, y), **asked, **change})
