"""The projection as a Lightning callback, with Lightning itself where it is installed."""

import sys
import types

import pytest

from theory.errors import MissingExtraError
from theory.torch import stable_callback

torch = pytest.importorskip("torch", reason="PyTorch, the extra 'torch', is not installed")
nn = torch.nn


class Callback:
    """What a trainer calls; Lightning's has all hooks, and does nothing in them."""


@pytest.fixture
def stub(monkeypatch):
    module = types.ModuleType("lightning.pytorch")
    module.Callback = Callback
    monkeypatch.setitem(sys.modules, "lightning", types.ModuleType("lightning"))
    monkeypatch.setitem(sys.modules, "lightning.pytorch", module)


def network():
    torch.manual_seed(0)
    model = nn.Module()
    model.rnn, model.head = nn.RNN(2, 4, batch_first=True), nn.Linear(4, 1)
    with torch.no_grad():
        model.rnn.weight_hh_l0.mul_(5.0)
    return model


def fit(model, callback, steps, accumulate=1):
    """Train as a trainer does: hooks around a loop in which the optimizer steps now and then."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    trainer = types.SimpleNamespace(optimizers=[optimizer])
    callback.on_train_start(trainer, model)
    for i in range(steps):
        model.head(model.rnn(torch.randn(3, 5, 2))[0]).square().mean().backward()
        if (i + 1) % accumulate == 0:
            optimizer.step()
            optimizer.zero_grad()
    before = callback.projection.calls
    callback.on_train_end(trainer, model)
    optimizer.step()
    assert callback.projection.calls == before
    return before


@pytest.mark.usefixtures("stub")
def test_weights_are_stable_when_training_ends():
    model, callback = network(), stable_callback("rnn", rate=0.9, every=4)
    assert isinstance(callback, Callback)
    assert fit(model, callback, steps=6, accumulate=2) == 3
    assert all(c is not None and c.lam <= 0.9 for c in callback.projection.certificates())
    assert torch.linalg.matrix_norm(model.rnn.weight_hh_l0, 2) <= 0.9 + 1e-6


@pytest.mark.usefixtures("stub")
def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="rate"):
        stable_callback("rnn", rate=1.5)
    with pytest.raises(ValueError, match="every"):
        stable_callback("rnn", rate=0.9, every=0)
    with pytest.raises(ValueError, match="no layer 'lstm'; it has: rnn, head"):
        fit(network(), stable_callback("lstm", rate=0.9), 1)
    model = network()
    other = types.SimpleNamespace(optimizers=[torch.optim.SGD(model.head.parameters(), lr=0.1)])
    with pytest.raises(ValueError, match="no optimizer moves"):
        stable_callback("rnn", rate=0.9).on_train_start(other, model)


def test_without_lightning_the_extra_is_named(monkeypatch):
    for name in ("lightning", "lightning.pytorch", "pytorch_lightning"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match="lightning"):
        stable_callback("rnn", rate=0.9)


@pytest.mark.filterwarnings("ignore")
def test_lightning_itself_trains_a_stable_layer(tmp_path):
    pl = pytest.importorskip("lightning.pytorch", reason="Lightning is not installed")

    class Model(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = network()

        def training_step(self, batch, _):
            return self.net.head(self.net.rnn(batch[0])[0]).square().mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    data = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(torch.randn(12, 5, 2)), batch_size=2
    )
    model, callback = Model(), stable_callback("net.rnn", rate=0.9, every=2)
    trainer = pl.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
        accumulate_grad_batches=2, callbacks=[callback],
    )  # fmt: skip
    trainer.fit(model, data)
    assert callback.projection.calls == 3
    assert all(c is not None and c.lam <= 0.9 for c in callback.projection.certificates())
