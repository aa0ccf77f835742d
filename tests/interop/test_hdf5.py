"""Keras' files: arrays, and the configuration where there is one."""

from __future__ import annotations

import io
import json
import sys
import zipfile

import numpy as np
import pytest

from theory import GRU, LSTM, Cascade
from theory.interop import load, recognised
from theory.interop.files import read_file
from theory.interop.write import changed_arrays, stored_cell, write

h5py = pytest.importorskip("h5py", reason="h5py is not installed (extra: keras)")
GATED = {"activation": "tanh", "recurrent_activation": "sigmoid"}
KERNELS = ("kernel", "recurrent_kernel", "bias")


def layer(gates, m, n, seed=0, *, bias=None):
    rng = np.random.default_rng(seed)
    shapes = [(m, gates * n), (n, gates * n), bias or (gates * n,)]
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def old_file(path, layers, config=None, version="2.2.4"):
    """Write what Keras 1 and 2 write: the layer's name twice, and :0 behind every array."""
    with h5py.File(path, "w") as file:
        root = file if config is None else file.create_group("model_weights")
        file.attrs["keras_version"] = version
        if config is not None:
            file.attrs["model_config"] = json.dumps(config)
        for name, arrays in layers.items():
            for key, array in zip(KERNELS, arrays, strict=True):
                root[f"{name}/{name}/{key}:0"] = array
    return path


def archive(path, layers, config, version="3.4.0"):
    """Write an archive of Keras 3, whose arrays have numbers."""
    held = io.BytesIO()
    with h5py.File(held, "w") as file:
        for name, arrays in layers.items():
            for number, array in enumerate(arrays):
                file[f"layers/{name}/cell/vars/{number}"] = array
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("metadata.json", json.dumps({"keras_version": version}))
        made.writestr("config.json", json.dumps(config))
        made.writestr("model.weights.h5", held.getvalue())
    return path


def sequential(*layers):
    made = [{"class_name": kind, "config": settings} for kind, settings in layers]
    return {"class_name": "Sequential", "config": {"name": "s", "layers": made}}


def ours(arrays):
    return LSTM(arrays[1].T, arrays[0].T, arrays[2])


def same(a, b):
    return type(a) is type(b) and all(
        np.array_equal(a.parameters[k], b.parameters[k]) for k in a.parameters
    )


def test_a_configuration_tells_what_arrays_do_not(tmp_path):
    arrays = layer(4, 3, 2)
    said = {"name": "rnn", "units": 2, **GATED}
    path = old_file(tmp_path / "m.h5", {"rnn": arrays}, sequential(("LSTM", said)))
    assert same(load(path), ours(arrays))
    (cell,) = recognised(path).cells
    assert (cell.prefix, cell.kind, cell.reads) == ("rnn", "Keras LSTM", "")
    with pytest.raises(ValueError, match="recurrent_activation='x', but the file tells"):
        load(path, recurrent_activation="x")
    alone = old_file(tmp_path / "w.hdf5", {"rnn": arrays})
    with pytest.raises(ValueError, match="the arrays do not tell the activations"):
        load(alone)
    assert same(load(alone, **GATED), ours(arrays))


@pytest.mark.parametrize(
    ("kind", "more", "message"),
    [
        ("LSTM", {"go_backwards": True}, "last input first"),
        (
            "LSTM",
            {"activation": {"module": "mine", "config": "tanh"}},
            "a function that is not known",
        ),
        ("ConvLSTM2D", {}, "of which there is no map"),
        ("Bidirectional", {}, "depends on inputs to come"),
    ],
)
def test_what_is_no_map_is_refused_by_its_layer(kind, more, message, tmp_path):
    said = {"name": "rnn", **GATED, **more}
    path = old_file(tmp_path / "m.h5", {"rnn": layer(4, 3, 2)}, sequential((kind, said)))
    with pytest.raises(ValueError, match=rf"rnn \(Keras {kind}\) .*{message}"):
        load(path)


def test_a_layer_of_somebody_else_is_refused(tmp_path):
    config = sequential(("LSTM", {"name": "rnn", **GATED}))
    config["config"]["layers"][0]["module"] = "mine"
    path = old_file(tmp_path / "m.h5", {"rnn": layer(4, 3, 2)}, config)
    with pytest.raises(ValueError, match="is of mine, none of Keras' own layers"):
        load(path)
    config["config"]["layers"][0]["module"] = "keras.layers"
    load(old_file(tmp_path / "m.h5", {"rnn": layer(4, 3, 2)}, config))


def test_hard_gates_are_those_of_the_version(tmp_path):
    said = {"name": "rnn", "activation": "tanh", "recurrent_activation": "hard_sigmoid"}
    arrays = {"rnn": layer(4, 3, 2)}
    for version, gates in (("2.2.4", "hard_sigmoid(0.2)"), ("3.4.0", "hard_sigmoid(1/6)")):
        path = old_file(tmp_path / "m.h5", arrays, sequential(("LSTM", said)), version)
        assert load(path).gates == gates
    path = old_file(tmp_path / "m.h5", arrays, sequential(("LSTM", said)), "")
    with pytest.raises(ValueError, match=r"is hard_sigmoid\(0.2\) before version 3"):
        load(path)


def test_an_archive_counts_layers_of_a_class_whatever_their_names(tmp_path):
    low, top = layer(4, 3, 2), layer(4, 2, 2, seed=1)
    # the first layer has the name that the archive gives to the second
    config = sequential(
        ("InputLayer", {"name": "input"}),
        ("LSTM", {"name": "lstm_1", **GATED}),
        ("Dropout", {"name": "dropout", "rate": 0.5}),
        ("LSTM", {"name": "top", **GATED}),
    )
    path = archive(tmp_path / "m.keras", {"lstm": low, "lstm_1": top}, config)
    stack = load(path, prefix=["lstm", "lstm_1"])
    assert isinstance(stack, Cascade)
    assert all(same(a, ours(b)) for a, b in zip(stack.layers, (low, top), strict=True))
    with pytest.raises(ValueError, match="lstm reads no other cell"):
        load(path, prefix=["lstm_1", "lstm"])


def test_a_layer_between_two_cells_is_named(tmp_path):
    config = sequential(
        ("LSTM", {"name": "a", **GATED}),
        ("Dense", {"name": "dense"}),
        ("LSTM", {"name": "b", **GATED}),
    )
    layers = {"a": layer(4, 3, 2), "b": layer(4, 2, 2)}
    path = old_file(tmp_path / "m.h5", layers, config)
    with pytest.raises(ValueError, match="between a and b stands Dense dense"):
        load(path, prefix=["a", "b"])


@pytest.mark.parametrize("gates", [3, 4])
def test_the_packing_of_cudnn_is_known_by_its_bias(gates, tmp_path):
    """A gate's block is stored row by row, so that read as columns it is another matrix."""
    n, m = 3, 2
    arrays = layer(gates, m, n, bias=(2 * gates * n,))
    found = load(old_file(tmp_path / "m.h5", {"rnn": arrays}))
    kernel, recurrent, bias = arrays
    order = [1, 0, 2] if gates == 3 else [0, 1, 2, 3]
    for at, gate in enumerate(order):
        rows, columns = slice(at * n, (at + 1) * n), slice(gate * n, (gate + 1) * n)
        assert np.array_equal(found.W[rows], recurrent[:, columns])
        assert np.array_equal(found.U[rows].ravel(), kernel[:, columns].ravel())
    driven, inner = bias[: gates * n].astype(float), bias[gates * n :].astype(float)
    if gates == 4:
        assert np.array_equal(found.b, driven + inner)
    else:
        assert np.array_equal(found.b_candidate, inner[2 * n :])
        assert np.array_equal(found.b[2 * n :], driven[2 * n :])
    with pytest.raises(ValueError, match="CuDNN's layers have 'sigmoid'"):
        load(tmp_path / "m.h5", recurrent_activation="hard_sigmoid(0.2)")


@pytest.mark.parametrize("kind", ["lstm", "gru", "cudnn lstm", "cudnn gru", "archive"])
def test_what_is_written_is_read_again(kind, tmp_path):
    gates, n, m = 3 if "gru" in kind else 4, 3, 2
    bias = (2, 3 * n) if kind == "gru" else (2 * gates * n,) if "cudnn" in kind else None
    arrays = layer(gates, m, n, bias=bias)
    said = GATED if "cudnn" not in kind else {}
    if kind == "archive":
        config = sequential(("LSTM", {"name": "rnn", **GATED}))
        path = archive(tmp_path / "m.keras", {"lstm": arrays}, config)
    else:
        path = old_file(tmp_path / "m.h5", {"rnn": arrays})
    file = read_file(path)
    before = file.map(**said)
    p = before.parameters
    moved = {key: np.float32(0.5 * p[key]).astype(float) for key in p}
    after = LSTM(**moved) if gates == 4 else GRU(**moved)
    cell = stored_cell(file.arrays, variant=getattr(before, "variant", None))
    target = tmp_path / f"new{path.suffix}"
    write(target, changed_arrays(file.arrays, before, after, cell), file)
    again = load(target, **said)
    assert same(again, after)


def test_damaged_files(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n and no more")
    with pytest.raises(ValueError, match="it is damaged"):
        load(tmp_path / "a.h5")
    path = tmp_path / "b.keras"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("config.json", b"{")
        made.writestr("model.weights.h5", b"")
    with pytest.raises(ValueError, match=r"not JSON|it is damaged"):
        load(path)
    path = archive(tmp_path / "b.keras", {"lstm": layer(4, 1, 1)}, {})
    with zipfile.ZipFile(path, "a") as made, pytest.warns(UserWarning, match="Duplicate"):
        made.writestr("config.json", b"{")
    with pytest.raises(ValueError, match=r"config\.json is there twice"):
        load(path)
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["rnn/kernel"] = h5py.ExternalLink("other.h5", "/x")
        file["rnn/recurrent_kernel"] = np.eye(2)
    with pytest.raises(ValueError, match=r"rnn.kernel is a link, which is not followed"):
        load(tmp_path / "c.h5")


@pytest.mark.parametrize("kind", ["soft", "external"])
def test_a_linked_bias_is_no_zero(kind, tmp_path):
    path = old_file(tmp_path / "m.h5", {"rnn": layer(4, 3, 2)})
    with h5py.File(path, "r+") as file:
        file["elsewhere"] = file["rnn/rnn/bias:0"][()]
        del file["rnn/rnn/bias:0"]
        link = h5py.SoftLink("/elsewhere") if kind == "soft" else h5py.ExternalLink("b.h5", "/bias")
        file["rnn/rnn/bias:0"] = link
    with pytest.raises(ValueError, match=r"rnn.bias is a link, which is not followed"):
        load(path, prefix="rnn", unused="elsewhere", **GATED)


def test_groups_with_two_names_are_counted(monkeypatch, tmp_path):
    """Sixty groups with two names each have 2^60 paths."""
    monkeypatch.setattr("theory.interop.formats.hdf5._BUDGET", 1000)
    with h5py.File(tmp_path / "m.h5", "w") as file:
        group = file
        for _ in range(60):
            inner = group.create_group("a")
            group["b"] = inner
            group = inner
    with pytest.raises(ValueError, match="more than 1000 groups and arrays"):
        load(tmp_path / "m.h5")


def test_integers_are_codes_and_no_weights(tmp_path):
    arrays = layer(4, 3, 2)
    arrays[0] = np.ones((3, 8), dtype=np.int8)
    path = old_file(tmp_path / "m.h5", {"rnn": arrays})
    with pytest.raises(ValueError, match=r"rnn.kernel is stored as int8, as quantised"):
        load(path, **GATED)


def test_two_arrays_of_one_short_name_are_refused(tmp_path):
    path = old_file(tmp_path / "m.h5", {"rnn": layer(4, 3, 2)})
    with h5py.File(path, "r+") as file:
        file["rnn/rnn/bias"] = np.ones(8)
    with pytest.raises(ValueError, match="two arrays have the name"):
        load(path, **GATED)


def nested(inner, wrapper):
    """Return a configuration with a layer in a model, or in a wrapper."""
    if wrapper:
        return sequential(("TimeDistributed", {"name": "outer", "layer": inner}))
    return sequential(("Sequential", {"name": "outer", "layers": [inner]}))


@pytest.mark.parametrize("wrapper", [False, True])
@pytest.mark.parametrize(
    ("more", "registered", "message"),
    [
        ({"go_backwards": True}, None, "last input first"),
        ({}, "pkg>LSTM", "is of pkg>LSTM, none of Keras' own"),
        ({"activation": "my>tanh"}, None, "a function that is not known"),
    ],
)
def test_layers_in_models_and_wrappers_tell(wrapper, more, registered, message, tmp_path):
    arrays = layer(4, 3, 2)
    said = {"name": "inner", **GATED, **more}
    inner = {"class_name": "LSTM", "config": said, "registered_name": registered}
    config = nested(inner, wrapper)
    word = "time_distributed/layer" if wrapper else "sequential/layers/lstm"
    zipped = archive(tmp_path / "m.keras", {word: arrays}, config)
    old = tmp_path / "m.h5"
    for place in ("outer/inner/lstm_cell", "outer/outer/inner", "outer/lstm_cell"):
        with h5py.File(old, "w") as file:
            file.attrs["keras_version"] = "2.2.4"
            file.attrs["model_config"] = json.dumps(config)
            for key, array in zip(KERNELS, arrays, strict=True):
                file[f"model_weights/{place}/{key}:0"] = array
        with pytest.raises(ValueError, match=message):
            load(old, **GATED)
    with pytest.raises(ValueError, match=message):
        load(zipped, **GATED)
    # one that is Keras' own, with nothing else, is told as anywhere
    inner["config"] = {"name": "inner", **GATED}
    inner["registered_name"] = None
    found = load(archive(tmp_path / "m.keras", {word: arrays}, nested(inner, wrapper)))
    assert same(found, ours(arrays))


def test_hard_gates_in_a_model_in_a_model(tmp_path):
    arrays = layer(4, 3, 2)
    said = {"name": "inner", "activation": "tanh", "recurrent_activation": "hard_sigmoid"}
    config = nested({"class_name": "LSTM", "config": said}, wrapper=False)
    zipped = archive(tmp_path / "m.keras", {"sequential/layers/lstm": arrays}, config)
    assert load(zipped).gates == "hard_sigmoid(1/6)"


def test_two_layers_in_one_model_are_not_taken_for_each_other(tmp_path):
    """Where the places tell only the model, what its layers tell has to agree."""
    low = {"class_name": "LSTM", "config": {"name": "low", **GATED}}
    top = {"class_name": "LSTM", "config": {"name": "top", **GATED, "go_backwards": True}}
    config = sequential(("Sequential", {"name": "outer", "layers": [low, top]}))
    path = old_file(tmp_path / "m.h5", {"outer": layer(4, 3, 2)}, config)
    with pytest.raises(ValueError, match=r"each of two layers|last input first"):
        load(path)


def test_classes_with_a_package_are_foreign(tmp_path):
    config = sequential(("pkg>LSTM", {"name": "rnn", **GATED}))
    path = old_file(tmp_path / "m.h5", {"rnn": layer(4, 3, 2)}, config)
    with pytest.raises(ValueError, match="is of pkg, none of Keras' own"):
        load(path, **GATED)
    function = {"class_name": "function", "config": "tanh", "registered_name": "my>tanh"}
    config = sequential(("LSTM", {"name": "rnn", **GATED, "activation": function}))
    path = old_file(tmp_path / "m.h5", {"rnn": layer(4, 3, 2)}, config)
    with pytest.raises(ValueError, match="a function that is not known"):
        load(path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_keras_itself_agrees(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras", reason="Keras is not installed")
    rng = np.random.default_rng(0)
    X = rng.standard_normal((1, 6, 3))
    for made in (
        keras.layers.LSTM(4, return_sequences=True),
        keras.layers.GRU(4, return_sequences=True),
        keras.layers.GRU(4, return_sequences=True, reset_after=False),
        keras.layers.SimpleRNN(4, return_sequences=True, activation="relu", name="own"),
    ):
        model = keras.Sequential([keras.Input((None, 3)), made])
        model.set_weights([0.5 * rng.standard_normal(w.shape) for w in model.get_weights()])
        expected = np.asarray(model(X).detach())[0]
        for ending in (".keras", ".h5"):
            model.save(tmp_path / f"m{ending}")
            found = load(tmp_path / f"m{ending}")
            assert np.max(np.abs(found.simulate(X[0]) @ found.output_map.T - expected)) < 1e-6
    assert "tensorflow" not in sys.modules
