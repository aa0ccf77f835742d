"""Output layers in files: read where they are heads of the states, otherwise named."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from theory.interop import load, load_head, recognised
from theory.interop.files import read_file
from theory.interop.heads import find_head

RNG = np.random.default_rng(0)
W, U = RNG.standard_normal((12, 3)), RNG.standard_normal((12, 2))
TORCH = {"rnn.weight_ih_l0": U, "rnn.weight_hh_l0": 0.3 * W}


def written(tmp_path, **more):
    path = tmp_path / "m.npz"
    np.savez(path, **TORCH, **{name.replace("__", "."): value for name, value in more.items()})
    return path


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("mark", ["_", "__"])
def test_short_names_are_read_whichever_way_round(mark, turned, tmp_path):
    C, d = RNG.standard_normal((5, 3)), RNG.standard_normal(5)
    path = written(tmp_path, **{f"fc{mark}w": C.T if turned else C, f"fc{mark}b": d})
    cell = load(path, prefix="rnn")
    head = load_head(path, cell)
    x = RNG.standard_normal((7, 2))
    H = cell.simulate(x)
    assert np.array_equal(head(H), H[:, 3:] @ C.T + d)
    (found,) = recognised(path).heads
    assert (found.name, found.cells, found.sure) == ("fc", ("rnn",), False)


def test_a_square_matrix_of_a_short_name_may_be_either(tmp_path):
    path = written(tmp_path, fc_w=RNG.standard_normal((3, 3)), fc_b=np.ones(3))
    cell = load(path, prefix="rnn")
    with pytest.raises(ValueError, match="of the layers that fit"):
        load_head(path, cell)
    with pytest.raises(ValueError, match=r"is square, and its name does not tell"):
        load_head(path, cell, name="fc")
    (found,) = recognised(path).heads
    assert "C or C^T" in found.told


def test_a_layer_beside_two_cells_may_be_of_either(tmp_path):
    other = {name.replace("rnn", "dec"): value for name, value in TORCH.items()}
    path = tmp_path / "two.npz"
    np.savez(path, **TORCH, **other, fc_w=np.ones((1, 3)), fc_b=np.ones(1))
    cell = load(path, prefix="rnn")
    found = find_head(read_file(path), cell, None, prefix="rnn")
    assert found.head is None
    assert "other cells (dec), and does not tell whose it is" in found.told
    assert load_head(path, cell, prefix="rnn", name="fc").C.shape == (1, 6)


def test_a_normalisation_is_named(tmp_path):
    path = written(tmp_path, norm__weight=np.ones(3), norm__bias=np.zeros(3))
    assert recognised(path).others["norm.weight"] == "(3,), a normalisation by its shape"
    with pytest.raises(ValueError, match="has no output layer that fits"):
        load_head(path, load(path, prefix="rnn"))


def refused(path, match, *, prefix=None, **asked):
    """Check that no head is taken, and that the reason is told."""
    cell = load(path, prefix=prefix or "rnn")
    with pytest.raises(ValueError, match=match):
        load_head(path, cell, prefix=prefix, **asked)
    return cell


def test_a_layer_of_the_whole_state_is_taken_by_name_only(tmp_path):
    """Of 2 n inputs it may read both directions, or the states and something else."""
    path = written(tmp_path, fc__weight=np.ones((1, 6)), fc__bias=np.ones(1))
    cell = refused(path, "is as wide as the whole state, not as what the cell shows")
    assert load_head(path, cell, name="fc").C.shape == (1, 6)


def test_the_reverse_direction_is_another_cell(tmp_path):
    both = {f"{name}_reverse": value for name, value in TORCH.items()}
    path = tmp_path / "both.npz"
    np.savez(path, **TORCH, **both, **{"fc.weight": np.ones((1, 3)), "fc.bias": np.ones(1)})
    cell = load(path, unused="*_reverse")
    with pytest.raises(ValueError, match="other direction"):
        load_head(path, cell)
    assert load_head(path, cell, name="fc").C.shape == (1, 6)


def test_without_a_prefix_a_layer_beside_two_cells_is_not_taken(tmp_path):
    other = {name.replace("rnn", "dec"): value for name, value in TORCH.items()}
    path = tmp_path / "two.npz"
    np.savez(path, **TORCH, **other, fc_w=np.ones((1, 3)), fc_b=np.ones(1))
    refused(path, r"other cells \(rnn, dec\)")


@pytest.mark.parametrize("prefix", ["rnn", "rnn.", "rnn/"])
def test_a_prefix_may_end_as_its_names_go_on(prefix, tmp_path):
    path = written(tmp_path, fc_w=np.ones((1, 3)), fc_b=np.ones(1))
    cell = load(path, prefix=prefix)
    assert load_head(path, cell, prefix=prefix).C.shape == (1, 6)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"fc.weight": np.ones((1, 3), dtype=np.int8)}, "is stored as int8"),
        ({"fc.weight_scale": np.float64(0.1)}, r"other arrays \(fc.weight_scale\)"),
        ({"fc.scale": np.float64(0.1)}, r"other arrays \(fc.scale\)"),
        ({"fc.lora_A.weight": np.ones((2, 3))}, r"other arrays \(fc.lora_A.weight\)"),
        ({"fc.weight_fake_quant.zero": np.ones(1)}, "other arrays"),
    ],
)
def test_quantised_and_adapted_layers_are_refused(more, why, tmp_path):
    path = tmp_path / "m.npz"
    np.savez(path, **(TORCH | {"fc.weight": np.ones((1, 3)), "fc.bias": np.ones(1)} | more))
    refused(path, why)
    refused(path, why, name="fc")


def test_a_bias_that_does_not_fit_is_named(tmp_path):
    path = written(tmp_path, fc__weight=np.ones((5, 3)), fc__bias=np.ones(3))
    refused(path, r"bias of shape \(3,\) beside C of shape \(5, 3\)")
    refused(path, r"the bias of fc: .*needed \(5,\)", name="fc")


def test_a_layer_that_may_stand_below_the_cell_is_not_guessed(tmp_path):
    path = written(tmp_path, inp__weight=np.ones((2, 3)), inp__bias=np.ones(2))
    cell = refused(path, "gives as many numbers as the cell takes")
    assert load_head(path, cell, name="inp").C.shape == (2, 6)


def test_layers_in_a_row_are_told_by_the_caller(tmp_path):
    """Of a state dict nobody knows what stands between them."""
    first, last = RNG.standard_normal((7, 3)), RNG.standard_normal((4, 7))
    arrays = {
        "h.0.weight": first,
        "h.0.bias": np.ones(7),
        "h.2.weight": last,
        "h.2.bias": np.ones(4),
    }
    path = tmp_path / "m.npz"
    np.savez(path, **TORCH, **arrays)
    cell = refused(path, r"h.0 may have h.2 behind it, .* as in --head h.0,relu,h.2")
    f = load_head(path, cell, name="h.0, relu, h.2.weight")
    h = RNG.standard_normal((5, 3))
    expected = np.maximum(h @ first.T + 1, 0) @ last.T + 1
    np.testing.assert_allclose(f(h), expected, rtol=1e-12)
    assert load_head(path, cell, name="h.0").C.shape == (7, 6)
    refused(path, r"'norm' of 'h.0,norm,h.2' is no layer, there are: h.0, h.2", name="h.0,norm,h.2")
    refused(path, "takes 7 numbers, needed 3", name="relu,h.2")
    refused(path, "gives 7 entries, but", name="h.0,h.0")
    # what gives as many numbers as the cell takes stands below it
    np.savez(path, **TORCH, **arrays | {"h.2.weight": last[:2], "h.2.bias": np.ones(2)})
    assert load_head(path, cell).C.shape == (7, 6)


# ------------------------------------------------------------------------------------------- Keras

NORM_PARTS = ("gamma", "beta")


def keras(tmp_path, *layers):
    """Write a file of Keras 2 with an LSTM rnn of 3 units, and these layers behind it."""
    h5py = pytest.importorskip("h5py", reason="h5py is not installed (extra: keras)")
    gates = {"activation": "tanh", "recurrent_activation": "sigmoid"}
    made = [{"class_name": "LSTM", "config": {"name": "rnn", "units": 3, **gates}}, *layers]
    path = tmp_path / "m.h5"
    shapes = {"kernel": (2, 12), "recurrent_kernel": (3, 12), "bias": (12,)}
    arrays = {f"rnn/{key}": RNG.standard_normal(shape) for key, shape in shapes.items()}
    for one in layers:
        inner = one["config"].get("layer", one)
        if one["class_name"] == "LayerNormalization":
            arrays |= {f"layernormalization/{key}": RNG.standard_normal(3) for key in NORM_PARTS}
        if inner["class_name"] == "Dense":
            at, p = one["config"]["name"], inner["config"]["units"]
            arrays |= {f"{at}/kernel": RNG.standard_normal((3, p)), f"{at}/bias": np.ones(p)}
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = "2.15.0"
        file.attrs["model_config"] = json.dumps(
            {"class_name": "Sequential", "config": {"name": "s", "layers": made}}
        )
        for name, value in arrays.items():
            layer = name.partition("/")[0]
            file[f"model_weights/{layer}/{name}:0"] = value
    return path, arrays


def dense(name, units=4, activation="softmax"):
    said = {"name": name, "units": units, "activation": activation}
    return {"class_name": "Dense", "config": said}


def other(kind, **said):
    return {"class_name": kind, "config": {"name": kind.lower(), **said}}


NORM = {"epsilon": 0.01, "axis": [1], "scale": True, "center": True}
BETWEEN = {
    "relu": [other("ReLU", max_value=None, negative_slope=0.0, threshold=0.0)],
    "leaky": [other("LeakyReLU", alpha=0.25)],
    "norm": [other("LayerNormalization", **NORM), other("Activation", activation="gelu")],
    "dense": [dense("inner", 3, "swish"), other("Dropout", rate=0.5)],
    "shares": [other("Softmax", axis=[1])],
    "inner shares": [dense("inner", 3, "softmax")],
    "wrapped": [
        other("TimeDistributed", layer=dense("inner", 3, "tanh")), other("Activation",
        activation="sigmoid"),
    ],
}  # fmt: skip


def by_hand(name, arrays, h):
    """Return what the layers compute, written out."""
    if name == "relu":
        return np.maximum(h, 0)
    if "shares" in name:
        z = h if name == "shares" else h @ arrays["inner/kernel"] + arrays["inner/bias"]
        return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    if name == "leaky":
        return np.where(h >= 0, h, 0.25 * h)
    if name == "norm":
        centred = h - h.mean(axis=1, keepdims=True)
        z = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 0.01)
        z = z * arrays["layernormalization/gamma"] + arrays["layernormalization/beta"]
        return z * [[0.5 * (1 + math.erf(a / math.sqrt(2))) for a in row] for row in z]
    at = "timedistributed" if name == "wrapped" else "inner"
    a = h @ arrays[f"{at}/kernel"] + arrays[f"{at}/bias"]
    return 1 / (1 + np.exp(-np.tanh(a))) if name == "wrapped" else a / (1 + np.exp(-a))


@pytest.mark.parametrize("name", BETWEEN)
def test_a_chain_of_known_layers_is_read(name, tmp_path):
    path, arrays = keras(tmp_path, *BETWEEN[name], dense("out"))
    cell = load(path)
    f = load_head(path, cell)
    H = cell.simulate(RNG.standard_normal((7, 2)))
    expected = by_hand(name, arrays, H[:, 3:]) @ arrays["out/kernel"] + arrays["out/bias"]
    np.testing.assert_allclose(f(H[:, 3:]), expected, rtol=1e-12, atol=1e-12)
    found = {one.name: one for one in recognised(path).heads}
    assert found["out"].sure
    assert found["out"].cells == ("rnn",)
    assert not recognised(path).others


@pytest.mark.parametrize(
    "between",
    [
        other("ReLU", max_value=6.0),
        other("LeakyReLU", alpha=-1),
        other("Activation", activation="elu"),
        other("LayerNormalization", **NORM | {"axis": [0]}),
        other("LayerNormalization", **NORM | {"axis": [1, 2]}),
        other("LayerNormalization", **NORM | {"rms_scaling": True}),
        other("LayerNormalization", **NORM | {"scale": False, "center": False}),
        other("Flatten"),
        other("Softmax", axis=0),
        other("Softmax", axis=[0, 1]),
        dense("inner", 3, "mine>f"),
        dense("inner", 5, "relu"),
    ],
    ids=lambda one: f"{one['class_name']} {list(one['config'].values())[1:]}",
)
def test_a_chain_with_a_layer_that_is_not_known_is_named(between, tmp_path):
    path, _ = keras(tmp_path, between, dense("out"))
    with pytest.raises(ValueError, match=f"there is {between['class_name']} "):
        load_head(path, load(path), name="out")


def test_the_commands_measure_what_a_chain_gives(tmp_path):
    from typer.testing import CliRunner

    from theory.cli.main import app

    path, _ = keras(tmp_path, dense("inner", 3, "relu"), dense("out", 1, "sigmoid"))
    np.savez(tmp_path / "x.npz", x=RNG.uniform(-1, 1, (60, 12, 2)))

    def run(*arguments):
        return CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "200"}).output

    told = "output: out (1 output, behind Dense inner (relu), before sigmoid), the layer that reads"
    asked = ["--epsilon", "0.9", "--probability", "0.05", "--confidence", "0.95"]
    assert told in run("memory", path, "--sequences", tmp_path / "x.npz", *asked)
    assert told in run("warmup", path, "--sequences", tmp_path / "x.npz", *asked)
    assert "out (1, 3): reads rnn; between rnn and it: Dense inner (relu); then" in run(
        "show", path
    )


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_dense_layer_behind_a_recurrent_one_is_its_head(wrapped, tmp_path):
    last = dense("out", activation="elu")
    if wrapped:
        last = other("TimeDistributed", layer=last)
    path, arrays = keras(tmp_path, other("Dropout", rate=0.5), last, dense("second"))
    cell = load(path)
    head = load_head(path, cell)
    at = last["config"]["name"]
    assert np.array_equal(head.C[:, 3:], arrays[f"{at}/kernel"].T)
    first, second = sorted(recognised(path).heads, key=lambda one: not one.sure)
    assert (first.name, first.cells, first.sure, first.told) == (at, ("rnn",), True, "then elu")
    assert (second.cells, second.told[:19]) == ((), "between rnn and it:")


def test_a_normalisation_between_is_named(tmp_path):
    path, _ = keras(tmp_path, other("LayerNormalization"), dense("out"))
    cell = load(path)
    # its settings are not all there
    with pytest.raises(ValueError, match=r"there is LayerNormalization layernormalization$"):
        load_head(path, cell)
    with pytest.raises(ValueError, match="is no head of the states"):
        load_head(path, cell, name="out")


def test_the_commands_take_the_head_that_the_file_tells(tmp_path):
    from typer.testing import CliRunner

    from theory.cli.main import app

    path, _ = keras(tmp_path, dense("out", 1, "sigmoid"))
    np.savez(tmp_path / "x.npz", x=RNG.uniform(-1, 1, (60, 5, 2)))
    asked = ["--epsilon", "0.5", "--probability", "0.05", "--confidence", "0.95"]
    done = CliRunner().invoke(
        app, ["warmup", str(path), "--sequences", str(tmp_path / "x.npz"), *asked],
        env={"COLUMNS": "200"},
    )  # fmt: skip
    assert "output: out (1 output, before sigmoid), the layer that reads its states" in done.output
    done = CliRunner().invoke(app, ["show", str(path)], env={"COLUMNS": "200"})
    assert "out (1, 3): reads rnn; then sigmoid" in done.output


def functional(path, *, reads, name="rnn", cell="LSTM"):
    """Make the model of a file a graph, in which the Dense out reads an output of the cell."""
    import h5py

    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        config["class_name"] = "Functional"
        first, *_, last = config["config"]["layers"]
        first["class_name"] = cell
        first["inbound_nodes"] = []
        last["inbound_nodes"] = [[[name, 0, reads, {}]]]
        file.attrs["model_config"] = json.dumps(config)
    return path


@pytest.mark.parametrize("reads", [0, 1, 2])
def test_the_state_c_is_not_what_a_cell_shows(reads, tmp_path):
    path, arrays = keras(tmp_path, dense("out"))
    cell = load(functional(path, reads=reads))
    if reads == 2:
        with pytest.raises(ValueError, match="there is the state c of rnn"):
            load_head(path, cell)
    else:
        assert np.array_equal(load_head(path, cell).C[:, 3:], arrays["out/kernel"].T)


def test_the_second_cell_of_a_stack_may_not_read_the_state_c():
    from theory.interop.formats.keras_config import told_all

    layers = [
        {"class_name": "LSTM", "config": {"name": name}, "inbound_nodes": nodes}
        for name, nodes in (("a", []), ("b", [[["a", 0, 2, {}]]]))
    ]
    config = {"class_name": "Functional", "config": {"layers": layers}}
    assert told_all(config, None, places={})["b"].between == "the state c of a"


def test_names_beyond_ascii_are_compared_as_they_are():
    from theory.interop.formats.keras_config import told_all, told_heads

    layers = [
        {"class_name": "LSTM", "config": {"name": "zelle_\u00e4"}, "inbound_nodes": []},
        dense("out") | {"inbound_nodes": [[["zelle_\u00e4", 0, 0, {}]]]},
    ]
    config = {"class_name": "Functional", "config": {"layers": layers}}
    told = told_all(config, None, places={})
    assert told_heads(config, told, named=True)["out"].source == "zelle_\u00e4"


@pytest.mark.parametrize(
    "between",
    [
        other("Dropout", rate=0.5) | {"module": None, "registered_name": "mine>Dropout"},
        other("Dropout", rate=0.5) | {"module": None, "registered_name": "Dropout"},
        other("Dropout", rate=0.5) | {"module": "mine"},
        other("mine>Dropout", rate=0.5),
        # somebody else's, by what it lacks
        other("GaussianNoise"),
        other("Masking", mask_value=0.5),
        other("Sequential", layers=[other("Activation", activation="relu")]),
    ],
    ids=lambda one: f"{one['class_name']} {len(one)}",
)
def test_layers_of_somebody_else_and_models_do_not_hand_on(between, tmp_path):
    path, _ = keras(tmp_path, between, dense("out"))
    with pytest.raises(ValueError, match=f"there is {between['class_name']} "):
        load_head(path, load(path))


def test_masking_of_zeros_hands_on(tmp_path):
    path, _ = keras(tmp_path, other("Masking", mask_value=0.0), dense("out"))
    assert load_head(path, load(path)).C.shape == (4, 6)


def test_a_nested_model_is_not_skipped_and_not_guessed():
    """The cell stands in a model, and a ReLU behind it there."""
    from theory.interop.formats.keras_config import told_all, told_heads

    cell = {"class_name": "LSTM", "config": {"name": "rnn"}}
    inner = other("Sequential", layers=[cell, other("Activation", activation="relu")])
    config = {"class_name": "Sequential", "config": {"layers": [inner, dense("out")]}}
    told = told_all(config, None, places={"sequential/kernel": "model_weights/sequential/rnn/k:0"})
    assert told
    out = told_heads(config, told, named=True)["out"]
    assert (out.source, out.between) == ("", "Sequential sequential")


@pytest.mark.parametrize("kind", ["Dense of another", "TimeDistributed of another", "Mine"])
def test_what_a_configuration_does_not_tell_is_taken_by_name_only(kind, tmp_path):
    last = dense("out") | {"module": None, "registered_name": "mine>Dense"}
    if kind == "TimeDistributed of another":
        last = other("TimeDistributed", layer=dense("out")) | {"registered_name": "mine>TD"}
    path, _ = keras(tmp_path, last if kind != "Mine" else dense("out"))
    if kind == "Mine":
        import h5py

        with h5py.File(path, "r+") as file:
            text = file.attrs["model_config"].replace("Sequential", "mine>Model")
            file.attrs["model_config"] = text
    cell = load(path)
    with pytest.raises(ValueError, match="is none of which the file tells what it reads"):
        load_head(path, cell)
    assert load_head(path, cell, name=last["config"]["name"]).C.shape == (4, 6)
