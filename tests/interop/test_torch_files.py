"""PyTorch's files and archives of TorchScript: tensors are read, and nothing is run."""

from __future__ import annotations

import contextlib
import io
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory import GRU
from theory.arithmetic.activations import activation
from theory.files.arrays import Unread
from theory.interop import from_torch, load, recognised
from theory.interop.files import read_file
from theory.interop.formats import torch_archive
from theory.interop.formats.inert import Described, Name, Stored, describe
from theory.interop.write import changed_arrays, stored_cell, write


class Bomb:
    """Unpickled, it would write a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def same(a, b):
    return repr(a) == repr(b) and all(
        np.array_equal(a.parameters[k], b.parameters[k]) for k in a.parameters
    )


def test_a_pickle_is_described_and_not_run(tmp_path):
    target = tmp_path / "boom"
    told = describe(io.BytesIO(pickle.dumps({"a": [1, (2.5, None)], "b": Bomb(target)})))
    assert told["a"] == [1, (2.5, None)]
    assert isinstance(told["b"], Described)
    assert told["b"].of in {Name("_io.open"), Name("io.open")}
    assert not target.exists()
    path = tmp_path / "m.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", pickle.dumps(Bomb(target), protocol=2))
    with pytest.raises(ValueError, match="no recurrent weights"):
        load(path)
    assert not target.exists()


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(), inner, max_size=3)
    ),
)


@given(plain, st.sampled_from([0, 1, 2, 3, 4, 5]))
def test_plain_values_are_what_they_are(value, protocol):
    assert describe(io.BytesIO(pickle.dumps(value, protocol=protocol))) == value


@given(st.binary(max_size=60))
def test_noise_is_refused_or_described(noise):
    with contextlib.suppress(ValueError):
        describe(io.BytesIO(noise))


torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra: torch)")


@pytest.fixture
def module():
    torch.manual_seed(0)
    return torch.nn.GRU(3, 2)


@pytest.mark.parametrize("zipped", [True, False])
def test_state_dicts_checkpoints_and_modules(module, zipped, tmp_path):
    expected = from_torch(module)
    path = tmp_path / "m.pt"
    optimizer = {"state": {0: {"exp_avg": torch.ones(2)}}, "lr": 0.1}
    for saved, prefix in (
        (module.state_dict(), None),
        ({"epoch": 3, "model": module.state_dict(), "opt": optimizer}, None),
        ({"model": module.state_dict(), "ema": module.state_dict()}, "ema"),
        (module, None),
        (torch.nn.Sequential(torch.nn.Linear(1, 3), module), "1"),
    ):
        torch.save(saved, path, _use_new_zipfile_serialization=zipped)
        assert same(load(path, prefix=prefix), expected)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scripts_are_read_by_their_tensors(module, tmp_path):
    path = tmp_path / "m.jit"
    torch.jit.save(torch.jit.script(torch.nn.Sequential(torch.nn.Linear(1, 3), module)), path)
    assert same(load(path), from_torch(module))
    found = recognised(path)
    assert [(cell.prefix, cell.kind) for cell in found.cells] == [("1", "torch")]
    assert found.others == {"0.weight": "(3, 1)", "0.bias": "(3,)"}


@pytest.mark.parametrize("kind", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_every_type_is_embedded_exactly(kind, tmp_path):
    module = torch.nn.GRU(3, 2).to(kind)
    torch.save(module.state_dict(), tmp_path / "m.pt")
    found = load(tmp_path / "m.pt")
    assert np.array_equal(found.W, module.weight_hh_l0.detach().double().numpy())


def test_views_and_shared_numbers(tmp_path):
    block = torch.arange(24.0).reshape(4, 6)
    torch.save(
        {"w_hh": block[1:, ::2].T.contiguous().T[:, :1], "w_ih": block.T[:3, 1:]}, tmp_path / "m.pt"
    )
    found = load(tmp_path / "m.pt")
    assert np.array_equal(found.U, block.T[:3, 1:].numpy())
    assert np.array_equal(found.W, block[1:, ::2][:, :1].numpy())


@pytest.mark.parametrize("kind", [torch.float64, torch.float32])
def test_what_is_written_is_read_again(kind, module, tmp_path):
    whole = torch.nn.Sequential(module, torch.nn.Linear(2, 1)).to(kind)
    path, target = tmp_path / "m.pt", tmp_path / "new.pt"
    torch.save({"epoch": 3, "model": whole.state_dict()}, path)
    file = read_file(path)
    before = file.map()
    p = before.parameters
    after = GRU(**{key: np.float32(0.5 * p[key]).astype(float) for key in p})
    cell = stored_cell(file.arrays)
    write(target, changed_arrays(file.arrays, before, after, cell), file)
    assert same(load(target), after)
    # PyTorch reads it, and finds everything else as it was
    again = torch.load(target, weights_only=True)
    assert again["epoch"] == 3
    assert torch.equal(again["model"]["1.weight"], whole[1].weight)


def test_numbers_that_two_tensors_share_are_not_changed(module, tmp_path):
    state = module.state_dict()
    state["copy"] = state["weight_hh_l0"]
    torch.save(state, tmp_path / "m.pt")
    file = read_file(tmp_path / "m.pt")
    before = file.map(unused="copy")
    half = {k: np.float32(0.5 * v).astype(float) for k, v in before.parameters.items()}
    after = GRU(**half)
    cell = stored_cell(file.arrays, unused="copy")
    with pytest.raises(ValueError, match="copy shares numbers"):
        write(tmp_path / "n.pt", changed_arrays(file.arrays, before, after, cell), file)
    assert not (tmp_path / "n.pt").exists()


def test_a_damaged_archive(module, tmp_path):
    path = tmp_path / "m.pt"
    torch.save(module.state_dict(), path)
    with zipfile.ZipFile(path) as archive:
        members = {i.filename: archive.read(i) for i in archive.infolist()}
    broken = tmp_path / "broken.pt"
    for change, message in (
        (lambda name, data: data[:40] if name.endswith("data.pkl") else data, "its pickle"),
        (
            lambda name, data: data[:4] if "/data/" in name else data,
            "does not fit into its storage",
        ),
        (
            lambda name, data: None if name.endswith("/data/0") else data,
            "its storage '0' is missing",
        ),
    ):
        with zipfile.ZipFile(broken, "w") as archive:
            for name, data in members.items():
                if change(name, data) is not None:
                    archive.writestr(name, change(name, data))
        with pytest.raises(ValueError, match=message):
            load(broken)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_quantised_tensors_are_named(tmp_path):
    one = torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 0, torch.qint8)
    torch.save({"w_hh": one, "w_ih": torch.ones(2, 2)}, tmp_path / "m.pt")
    with pytest.raises(ValueError, match="is quantised"):
        load(tmp_path / "m.pt", activation="tanh")


def test_any_damage_is_refused_or_read(module, tmp_path):
    torch.save(module.state_dict(), tmp_path / "m.pt")
    with zipfile.ZipFile(tmp_path / "m.pt") as archive:
        members = {i.filename: archive.read(i) for i in archive.infolist()}
    rng, path = np.random.default_rng(0), tmp_path / "damaged.pt"
    for _ in range(150):
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                data = bytearray(content)
                if name.endswith("data.pkl"):
                    data[rng.integers(len(data))] = rng.integers(256)
                archive.writestr(name, bytes(data))
        with contextlib.suppress(ValueError):
            load(path)


@pytest.mark.parametrize(
    "made",
    [
        lambda w: w.numpy(),
        lambda w: w.tolist(),
        lambda w: w.to_sparse(),
        lambda w: w.numpy().tobytes(),
        lambda w: w.untyped_storage(),
        lambda w: torch.view_as_real(torch.complex(w, w)).to_sparse(),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("prefix", ["", "rnn."])
def test_a_bias_that_is_no_tensor_is_no_zero(made, prefix, module, tmp_path):
    state = {
        f"{prefix}{key}": made(w) if "bias" in key else w for key, w in module.state_dict().items()
    }
    torch.save(state, tmp_path / "m.pt")
    with pytest.raises(ValueError, match="bias_ih_l0 is stored as"):
        load(tmp_path / "m.pt")


@pytest.mark.parametrize("number", [0.5, np.float32(0.5)])
def test_a_leak_that_is_a_number_is_refused(number, tmp_path):
    torch.save({"W": torch.eye(2), "U": torch.ones(2, 1), "leak": number}, tmp_path / "m.pt")
    with pytest.raises(ValueError, match="leak is stored as"):
        load(tmp_path / "m.pt", activation="tanh")


def test_lists_beside_a_state_dict_are_left_alone(module, tmp_path):
    beside = {"epoch": 3, "losses": [1.0, 0.5], "scores": np.ones(3), "best": np.float64(1.0)}
    torch.save({"model": module.state_dict(), "log": beside}, tmp_path / "m.pt")
    assert same(load(tmp_path / "m.pt"), from_torch(module))
    torch.save([3, module.state_dict()], tmp_path / "m.pt")
    assert same(load(tmp_path / "m.pt"), from_torch(module))


def test_negated_views_have_their_signs(module, tmp_path):
    state = dict(module.state_dict())
    state["weight_hh_l0"] = torch._neg_view(state["weight_hh_l0"])
    torch.save(state, tmp_path / "m.pt")
    file = read_file(tmp_path / "m.pt")
    before = file.map()
    assert np.array_equal(before.W, state["weight_hh_l0"].resolve_neg().double().numpy())
    # and keep them when they are written
    p = before.parameters
    after = GRU(**{key: np.float32(0.5 * p[key]).astype(float) for key in p})
    cell = stored_cell(file.arrays)
    write(tmp_path / "n.pt", changed_arrays(file.arrays, before, after, cell), file)
    assert same(load(tmp_path / "n.pt"), after)
    again = torch.load(tmp_path / "n.pt", weights_only=True)["weight_hh_l0"]
    assert np.array_equal(again.resolve_neg().double().numpy(), after.W)


def test_storages_of_what_is_not_read_have_their_length(module, tmp_path):
    """In files of before version 1.6 they stand before others: a wrong length shifts these."""
    saved = {"model": module.state_dict(), "x": torch.eye(3).to_sparse()}
    for own in (saved, dict(reversed(saved.items()))):
        torch.save(own, tmp_path / "m.pt", _use_new_zipfile_serialization=False)
        assert same(load(tmp_path / "m.pt"), from_torch(module))
    saved["x"] = torch.ones(2, dtype=torch.complex64)
    torch.save(saved, tmp_path / "m.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match=r"a storage is of torch\.ComplexFloatStorage"):
        load(tmp_path / "m.pt")


def test_what_is_not_read_does_not_hinder_writing(module, tmp_path):
    torch.save({"model": module.state_dict(), "x": {"losses": [1.0, 2.0]}}, tmp_path / "m.pt")
    file = read_file(tmp_path / "m.pt")
    before = file.map()
    p = before.parameters
    after = GRU(**{key: np.float32(0.5 * p[key]).astype(float) for key in p})
    cell = stored_cell(file.arrays)
    write(tmp_path / "n.pt", changed_arrays(file.arrays, before, after, cell), file)
    assert same(load(tmp_path / "n.pt"), after)


def test_other_views_are_refused():
    # a tensor of complex numbers only can be such a view, which no map has
    storage = Stored(("storage", Name("torch.FloatStorage"), "0", "cpu", 4))
    parts = ("_rebuild_tensor_v2", storage, 0, (2, 2), (2, 1), False, {}, {"conj": True})
    made = torch_archive._tensor(parts, {"0": bytes(16)})
    assert isinstance(made, Unread)
    assert "a view (conj)" in made.reason


@pytest.mark.parametrize("zipped", [True, False])
def test_modules_tell_their_activation(zipped, tmp_path):
    path = tmp_path / "m.pt"
    for made in (torch.nn.RNN(3, 2, nonlinearity="relu"), torch.nn.RNNCell(3, 2, bias=False)):
        word = made.nonlinearity
        other = {"relu": "tanh", "tanh": "relu"}[word]
        for saved, prefix in ((made, ""), (torch.nn.Sequential(made), "0")):
            torch.save(saved, path, _use_new_zipfile_serialization=zipped)
            assert same(load(path), from_torch(made))
            assert same(load(path, activation=word), from_torch(made))
            assert same(load(path, activation=activation(word)), from_torch(made))
            with pytest.raises(ValueError, match=f"activation='{other}', but the file tells"):
                load(path, prefix=prefix or None, activation=other)
    torch.save(torch.nn.LSTM(3, 2, proj_size=1), path)
    with pytest.raises(ValueError, match="has proj_size=1"):
        load(path, unused="weight_hr_l0")
    torch.save(torch.nn.GRU(3, 2, bidirectional=True), path)
    with pytest.raises(ValueError, match="has bidirectional=True"):
        load(path, unused="*_reverse")


def test_two_arrays_of_one_name_are_refused(module, tmp_path):
    state = dict(module.state_dict())
    double = {**state, "weight_hh_l0": 2 * state["weight_hh_l0"]}
    for saved in (
        {"a.weight_hh_l0": state["weight_hh_l0"], "a": double},
        {**state, "_parameters": double},
    ):
        torch.save(saved, tmp_path / "m.pt")
        with pytest.raises(ValueError, match="two arrays have the name"):
            load(tmp_path / "m.pt")


def test_members_of_one_name_are_refused(module, tmp_path):
    torch.save(module.state_dict(), tmp_path / "m.pt")
    with zipfile.ZipFile(tmp_path / "m.pt", "a") as made, pytest.warns(UserWarning, match="Dup"):
        made.writestr("m/data/0", b"")
    with pytest.raises(ValueError, match="data/0 is there twice"):
        load(tmp_path / "m.pt")


def test_what_is_too_deep_or_shared_too_often_is_refused(module, monkeypatch, tmp_path):
    state = dict(module.state_dict())
    deep = {"bias": torch.ones(2)}
    for _ in range(120):
        deep = {"a": deep}
    torch.save({**state, "x": deep}, tmp_path / "m.pt")
    with pytest.raises(ValueError, match="deeper than 100 levels"):
        load(tmp_path / "m.pt")
    monkeypatch.setattr("theory.interop.formats.described._BUDGET", 10**4)
    for start in ({}, [1.0], [{}]):
        shared = start
        for _ in range(40):
            shared = {"a": shared, "b": shared} if start == {} else [shared, shared]
        torch.save({"model": state, "x": shared}, tmp_path / "m.pt")
        # numbers in lists are not walked through
        if start == [1.0]:
            assert same(load(tmp_path / "m.pt"), from_torch(module))
            continue
        with pytest.raises(ValueError, match="more than 10000 things"):
            load(tmp_path / "m.pt")


def test_a_key_of_shared_tuples_is_not_hashed(tmp_path):
    """Its hash would take 2^40 steps; what stands under it keeps a name."""
    pickled = b"\x80\x02}(X\x01\x00\x00\x00k" + b"2\x86" * 40 + b"K\x01u."
    (told,) = describe(io.BytesIO(pickled)).items()
    assert told == ("<tuple 0>", 1)
    torch.save(
        {("a", "b"): torch.ones(2), "model": torch.nn.GRU(3, 2).state_dict()}, tmp_path / "m"
    )
    assert "<tuple 0>" in read_file(tmp_path / "m").arrays


def test_views_that_unpack_to_more_than_the_limit(monkeypatch, tmp_path):
    block = torch.zeros(1000, dtype=torch.bfloat16)
    torch.save({f"w{i}": block.view(10, 100) for i in range(50)}, tmp_path / "m.pt")
    monkeypatch.setattr("theory.interop.formats.torch_archive.DEFAULT_LIMIT", 60_000)
    with pytest.raises(ValueError, match="w30 unpacks to 2000 bytes, 0 are left of the limit"):
        load(tmp_path / "m.pt")
