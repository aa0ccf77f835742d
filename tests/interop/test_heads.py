"""Output layers in files: read where they are heads of the states, otherwise named."""

from __future__ import annotations

import json

import numpy as np
import pytest

from theory import LSTM
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


# -------------------------------------------------------------------------------------------- ONNX


def graph(tmp_path, *between, name="m.onnx", layer="MatMul", C=None, biased=True, **attributes):
    """Write an LSTM, what is between, and a layer; `between` are (op, constants, attributes)."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed (extra: onnx)")
    helper, from_array = onnx.helper, onnx.numpy_helper.from_array
    C = RNG.standard_normal((5, 3)) if C is None else C
    d = RNG.standard_normal(len(C))
    order = [*range(3), *range(9, 12), *range(3, 6), *range(6, 9)]  # i, o, f, g
    stored = [
        from_array(U[order][None].astype(np.float32), "W"),
        from_array(0.3 * W[order][None].astype(np.float32), "R"),
    ]
    nodes = [helper.make_node("LSTM", ["X", "W", "R"], ["s0", "last"], name="cell", hidden_size=3)]
    value = "s0"
    for at, (op, constants, said) in enumerate(between):
        value = "last" if op == "last" else value
        if op == "last":
            continue
        inputs = [value]
        for number, constant in enumerate(constants):
            stored.append(from_array(np.asarray(constant), f"c{at}_{number}"))
            inputs.append(f"c{at}_{number}")
        nodes.append(helper.make_node(op, inputs, [f"s{at + 1}"], **said))
        value = f"s{at + 1}"
    turned = attributes.get("transB")
    stored.append(from_array((C if turned else C.T).astype(np.float32), "C"))
    stored.append(from_array(d.astype(np.float32), "d"))
    if layer == "Gemm":
        inputs = [value, "C", "d"] if biased else [value, "C"]
        nodes.append(helper.make_node("Gemm", inputs, ["Y"], name="head", **attributes))
    else:
        nodes.append(
            helper.make_node("MatMul", [value, "C"], ["p" if biased else "Y"], name="head")
        )
        if biased:
            nodes.append(helper.make_node("Add", ["d", "p"], ["Y"]))
    float32 = onnx.TensorProto.FLOAT
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("X", float32, ["T", 1, 2])],
        [helper.make_tensor_value_info("Y", float32, None)],
        stored,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = tmp_path / name
    onnx.save(model, path)
    return path, lambda x: onnx.reference.ReferenceEvaluator(model).run(
        ["Y"], {"X": x[:, None].astype(np.float32)}
    )[0]


SQUEEZE = ("Squeeze", [np.array([1])], {})
TIME_FIRST = ("Transpose", [], {"perm": [1, 0, 2]})
READ = {
    "matmul": ([SQUEEZE], "MatMul", {}),
    "no bias": ([SQUEEZE], "MatMul", {"biased": False}),
    "batch first": ([SQUEEZE, TIME_FIRST], "MatMul", {}),
    "rows": ([SQUEEZE, ("Reshape", [np.array([-1, 3])], {})], "Gemm", {"transB": 1}),
    "scaled": (
        [SQUEEZE, ("Reshape", [np.array([-1, 3])], {})], "Gemm", {"alpha": 2.0, "beta": 0.5},
    ),
    "last time": ([SQUEEZE, ("Gather", [np.array(-1)], {"axis": 0})], "Gemm", {"transB": 1}),
    "last state": ([("last", [], {}), ("Squeeze", [np.array([0])], {})], "Gemm", {"biased": False}),
    "later times": (
        [SQUEEZE, ("Slice", [np.array([2]), np.array([99]), np.array([0])], {})], "MatMul", {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", READ)
def test_a_head_behind_a_node_is_what_its_graph_computes(case, tmp_path):
    between, layer, said = READ[case]
    path, run = graph(tmp_path, *between, layer=layer, **said)
    cell = load(path)
    x = RNG.standard_normal((6, 2))
    ours = load_head(path, cell)(cell.simulate(x))
    theirs = np.asarray(run(x), dtype=np.float64).reshape(-1, 5)
    assert ours[-len(theirs) :] == pytest.approx(theirs, abs=1e-5)
    (found,) = recognised(path).heads
    assert (found.name, found.cells, found.sure, found.shape) == ("head", ("cell",), True, (5, 3))
    # what stands behind a cell is none of it, and does not change how it is read
    assert isinstance(cell, LSTM)


@pytest.mark.parametrize(
    ("between", "named"),
    [
        ([SQUEEZE, ("Relu", [], {})], "Relu"),
        ([SQUEEZE, ("Relu", [], {}), TIME_FIRST], "Relu"),
        ([SQUEEZE, ("Mul", [np.float32([1, 2, 3])], {})], "Mul"),
        ([SQUEEZE, ("ReduceMean", [], {"axes": [0]})], "ReduceMean"),
        # features in another place, or mixed with others
        ([SQUEEZE, ("Reshape", [np.array([3, -1])], {})], "Reshape"),
        (
            [SQUEEZE, ("Slice", [np.array([0]), np.array([2]), np.array([2])], {})],
            "Slice",
        ),
    ],
)
def test_what_stands_between_is_named(between, named, tmp_path):
    path, _ = graph(tmp_path, *between)
    cell = load(path)
    with pytest.raises(ValueError, match=f"between cell and it there is {named}$"):
        load_head(path, cell)
    with pytest.raises(ValueError, match=f"no head of the states.*{named}$"):
        load_head(path, cell, name="head")
    (found,) = recognised(path).heads
    assert (found.cells, found.told) == ((), f"between cell and it: {named}")


def test_features_that_were_moved_are_no_features(tmp_path):
    """After a Transpose the last axis is time, whatever its length is."""
    path, _ = graph(tmp_path, SQUEEZE, ("Transpose", [], {"perm": [2, 1, 0]}))
    with pytest.raises(ValueError, match="of another kind than C h"):
        load_head(path, load(path))


# ------------------------------------------------------------------------------------------- Keras


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


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_dense_layer_behind_a_recurrent_one_is_its_head(wrapped, tmp_path):
    last = dense("out")
    if wrapped:
        last = other("TimeDistributed", layer=dense("out"))
    path, arrays = keras(tmp_path, other("Dropout", rate=0.5), last, dense("second"))
    cell = load(path)
    head = load_head(path, cell)
    at = last["config"]["name"]
    assert np.array_equal(head.C[:, 3:], arrays[f"{at}/kernel"].T)
    first, second = sorted(recognised(path).heads, key=lambda one: not one.sure)
    assert (first.name, first.cells, first.sure, first.told) == (at, ("rnn",), True, "then softmax")
    assert (second.cells, second.told[:19]) == ((), "between rnn and it:")


def test_a_normalisation_between_is_named(tmp_path):
    path, _ = keras(tmp_path, other("LayerNormalization"), dense("out"))
    cell = load(path)
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
