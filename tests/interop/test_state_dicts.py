"""State dicts, and arrays by other names of theirs: what fits, and what is refused."""

import pickle
import zipfile

import numpy as np
import pytest
from layouts import drop, same, weights

from theory import GRU, Cascade, LinearMap
from theory.interop import from_npz, from_torch, read_weights


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
    model = from_torch(dict(sorted(named.items())), activation="tanh")
    assert isinstance(model, Cascade)
    for k, layer in enumerate(model.layers):
        assert layer.parameters["W"] == named[f"weight_hh_l{k}"]


def test_other_keys_are_left_alone():
    named = {f"model.rnn.{k}": v for k, v in weights("lstm").items()}
    named |= {"model.head.weight": np.full((2, 2), np.nan), "step": "a text"}
    assert same(from_torch(named), from_torch(weights("lstm")))


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
        ({"epoch": 3, "state_dict": {}}, r"no recurrent weights among \[epoch\]"),
        ({"a": weights("gru"), "b": weights("gru")}, r"more than one .*: a \(torch\), b \(torch\)"),
        ({}, "no recurrent weights"),
    ],
)  # fmt: skip
def test_state_dicts_that_do_not_fit(arrays, message):
    with pytest.raises(ValueError, match=message):
        from_torch(arrays)


def test_a_checkpoint_is_read_one_level_down():
    inner = weights("gru")
    assert same(from_torch({"epoch": 3, "model": inner}), from_torch(inner))
    assert same(from_torch({"a": inner, "b": inner}, prefix="b"), from_torch(inner))


def test_an_activation_is_for_plain_cells():
    assert from_torch(weights("rnn"), activation="relu").activation.name == "relu"
    assert isinstance(from_torch(weights("rnn"), activation="identity"), LinearMap)
    with pytest.raises(ValueError, match="LSTM cell, of which there is no map with another"):
        from_torch(weights("lstm"), activation="relu")
    assert same(from_torch(weights("lstm"), activation="tanh"), from_torch(weights("lstm")))
    with pytest.raises(ValueError, match=r"pass activation= .*one of: identity, tanh, relu,"):
        from_torch(weights("rnn"))
    with pytest.raises(ValueError, match="'tan' is not known"):
        from_torch(weights("rnn"), activation="tan")


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "x.bin"])
def test_pickles_are_never_read(name, tmp_path):
    with pytest.raises(ValueError, match=r"theory.interop.load reads files, without unpickling"):
        from_torch(str(tmp_path / name))
    with pytest.raises(ValueError, match=r"cannot be read: No such file"):
        read_weights(tmp_path / name)
    (tmp_path / name).write_bytes(b"a text")
    with pytest.raises(ValueError, match=r"which is never read unless PyTorch wrote it"):
        read_weights(tmp_path / name)
    path = tmp_path / "p.npz"
    np.savez(path, W=np.array([object()], dtype=object))
    with pytest.raises(ValueError, match=r"p.npz: W holds Python objects, which are never"):
        from_npz(path)
    np.save(tmp_path / "p.npy", np.array([object()], dtype=object))
    with pytest.raises(ValueError, match=r"cannot be read: .*, which are never unpickled"):
        read_weights(tmp_path / "p.npy")


@pytest.mark.parametrize("name", ["weights", "model.pth.tar", "x.dat"])
def test_a_pickle_of_any_name_is_seen(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(pickle.dumps({"W": 1}))
    with pytest.raises(ValueError, match="looks like a pickle, which is never read"):
        read_weights(path)
    with zipfile.ZipFile(path, "w") as archive:  # as torch.save writes it
        archive.writestr("model/data.pkl", b"")
    with pytest.raises(ValueError, match="its pickle"):
        read_weights(path)
    for content in (b"", b"text", b"\x80\x09", b"PK\x05\x06"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"not an .npy or .npz file"):
            read_weights(path)
