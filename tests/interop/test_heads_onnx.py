"""Layers behind the nodes of an ONNX graph: read where they are heads, otherwise named."""

from __future__ import annotations

import numpy as np
import pytest

from theory import LSTM
from theory.interop import load, load_head, recognised
from theory.interop.files import read_file
from theory.interop.heads import find_head
from theory.maps import with_head

RNG = np.random.default_rng(0)
W, U = RNG.standard_normal((12, 3)), RNG.standard_normal((12, 2))


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
    import onnx.reference

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
        ([SQUEEZE, ("Abs", [], {})], "Abs"),
        ([SQUEEZE, ("Abs", [], {}), TIME_FIRST], "Abs"),
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


def changed(path, change):
    """Write a model of a file again, changed."""
    import onnx

    model = onnx.load(path)
    change(model.graph, onnx.helper)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("shape", [(5, 1), (5, 1, 1)])
@pytest.mark.parametrize("layer", ["MatMul", "Gemm"])
def test_what_differs_from_time_to_time_is_no_bias(layer, shape, tmp_path):
    path, _ = graph(tmp_path, SQUEEZE, layer=layer)

    def turn(graph, _):
        (d,) = (one for one in graph.initializer if one.name == "d")
        del d.dims[:]
        d.dims.extend(shape)

    cell = load(changed(path, turn))
    if layer == "Gemm":
        with pytest.raises(ValueError, match="Gemm of another kind than C h"):
            load_head(path, cell)
    else:
        assert not load_head(path, cell).d.any()
        assert recognised(path).heads[0].told == "then Add"


@pytest.mark.parametrize("op", ["MatMul", "Squeeze", "Add"])
def test_an_operation_of_somebody_else_is_not_known(op, tmp_path):
    path, _ = graph(tmp_path, SQUEEZE)

    def own(graph, _):
        (node,) = (one for one in graph.node if one.op_type == op)
        node.domain = "my.dom"

    cell = load(changed(path, own))
    if op == "Add":
        assert not load_head(path, cell).d.any()
        return
    word = "MatMul of another kind" if op == "MatMul" else "my.dom.Squeeze"
    with pytest.raises(ValueError, match=word):
        load_head(path, cell)


@pytest.mark.parametrize("training", [False, True])
def test_dropout_hands_on_unless_it_is_in_training(training, tmp_path):
    dropped = ("Dropout", [np.float32(0.5), np.array(training)], {})
    path, _ = graph(tmp_path, SQUEEZE, dropped)
    cell = load(path)
    if training:
        with pytest.raises(ValueError, match=r"there is Dropout$"):
            load_head(path, cell)
    else:
        assert load_head(path, cell).C.shape == (5, 6)


@pytest.mark.parametrize("name", ["head", "cell"])
def test_layers_of_one_name_are_numbered(name, tmp_path):
    path, _ = graph(tmp_path, SQUEEZE)

    def twice(graph, helper):
        first = next(one for one in graph.node if one.name == "head")
        graph.node.append(helper.make_node("MatMul", list(first.input), ["second"], name=name))

    cell = load(changed(path, twice))
    assert [one.name for one in recognised(path).heads] == ["head", f"{name}_2"]
    with pytest.raises(ValueError, match=rf"layers that fit \(head, {name}_2\)"):
        load_head(path, cell)


@pytest.mark.parametrize("index", [0, 1])
def test_a_head_of_the_reverse_direction_is_not_of_the_forward_cell(index, tmp_path):
    path, _ = graph(tmp_path, ("Gather", [np.array(index)], {"axis": 1}))

    def both(graph, helper):
        for one in graph.initializer:
            if one.name in {"W", "R"}:
                one.raw_data *= 2
                one.dims[0] = 2
        graph.node[0].attribute.append(helper.make_attribute("direction", "bidirectional"))

    cell = load(changed(path, both), unused="*_reverse")
    if index:
        with pytest.raises(ValueError, match=r"there is Gather$"):
            load_head(path, cell)
    else:
        assert load_head(path, cell).C.shape == (5, 6)


@pytest.mark.parametrize("axis", [0, 2, -1])
def test_a_gather_that_adds_axes_is_not_followed(axis, tmp_path):
    between = (SQUEEZE, ("Gather", [np.array([[-1]])], {"axis": axis}))
    path, _ = graph(tmp_path, *between)
    with pytest.raises(ValueError, match=r"there is Gather$"):
        load_head(path, load(path))


def test_a_reshape_keeps_the_count_of_axes(tmp_path):
    """Of (2, 3, 3) the axis 2 is that of the features, whatever was before."""
    shape = ("Reshape", [np.array([2, -1, 3])], {})
    path, _ = graph(tmp_path, SQUEEZE, shape, ("Gather", [np.array([1, 0, 2])], {"axis": 2}))
    with pytest.raises(ValueError, match=r"there is Gather$"):
        load_head(path, load(path))


# -------------------------------------------------------------------------------- chains of layers

F32 = np.float32
INNER = RNG.standard_normal((3, 7)).astype(F32)
BACK = "what came two nodes before"
CHAINS = {
    "relu": [("Relu", [], {})],
    "leaky": [("LeakyRelu", [], {"alpha": 0.25})],
    "norm": [
        ("LayerNormalization", [F32([1, 2, 3]), F32([0, 1, -1])], {"epsilon": 1e-3, "axis": -1}),
        ("Tanh", [], {}),
    ],
    "no bias of a norm": [("LayerNormalization", [F32([1, 2, 3])], {})],
    "softmax": [("Softmax", [], {}), ("Relu", [], {})],
    "silu": [("Sigmoid", [], {}), ("Mul", [BACK], {})],
    "two": [
        ("MatMul", [INNER], {}), ("Add", [F32(np.arange(7))], {}), ("Softplus", [], {}),
        ("Gemm", [INNER.T, F32([1, 2, 3])], {}), ("Sigmoid", [], {}),
    ],
}  # fmt: skip


def chained(tmp_path, between):
    """Write a graph with a chain; return its path, and a function that runs it."""
    steps = [SQUEEZE, ("Reshape", [np.array([-1, 3])], {}), *between]
    given = [
        (op, [F32(0) if one is BACK else one for one in constants], said)
        for op, constants, said in steps
    ]
    path, _ = graph(tmp_path, *given, layer="Gemm", transB=1)
    import onnx
    import onnx.reference

    model = onnx.load(path)
    for node in model.graph.node:
        if node.op_type == "Mul":
            node.input[1] = f"s{len(steps) - 2}"
    onnx.save(model, path)
    runs = onnx.reference.ReferenceEvaluator(model)
    return path, lambda x: runs.run(["Y"], {"X": x[:, None].astype(np.float32)})[0]


@pytest.mark.parametrize("case", CHAINS)
def test_a_chain_behind_a_node_is_what_its_graph_computes(case, tmp_path):
    path, run = chained(tmp_path, CHAINS[case])
    cell = load(path)
    f = load_head(path, cell)
    x = RNG.standard_normal((6, 2))
    ours = with_head(cell, f).simulate(x)[:, cell.state_dim :]
    assert ours == pytest.approx(np.asarray(run(x), dtype=np.float64), abs=1e-5)
    found = [one for one in recognised(path).heads if one.name == "head"]
    assert [(one.cells, one.sure, one.shape) for one in found] == [(("cell",), True, (5, 3))]
    assert not recognised(path).others
    if case == "two":
        # layers inside it, by their names
        assert load_head(path, cell, name="s3").C.shape == (7, 6)
        deeper = load_head(path, cell, name="s6")
        assert (deeper.input_dim, deeper.output_dim) == (3, 3)


@pytest.mark.parametrize(
    "between",
    [
        [("Relu", [], {}), ("Abs", [], {})],
        [("MatMul", [INNER], {}), ("Abs", [], {}), ("MatMul", [INNER.T], {})],
        [("LayerNormalization", [F32([1, 2, 3])], {"axis": 0})],
        [("LeakyRelu", [], {"alpha": -0.5})],
        [("Elu", [], {})],
        [("Softmax", [], {"axis": 0})],
    ],
    ids=lambda steps: " ".join(op for op, *_ in steps),
)
def test_a_chain_with_a_part_that_is_not_known_is_named(between, tmp_path):
    path, _ = chained(tmp_path, between)
    # what is behind a layer that is not read is not followed
    name, named = ("s5", "MatMul, Abs") if len(between) == 3 else ("head", between[-1][0])
    with pytest.raises(ValueError, match=named):
        load_head(path, load(path), name=name)
    if len(between) == 3:
        # the layer that can be read is not what the network gives, and the line says so
        told = find_head(read_file(path), load(path), None).told
        assert "output: s3 (" in told
        assert "; s5 (MatMul node) is no head of the states" in told


@pytest.mark.parametrize(("opset", "axis", "read"), [(12, None, True), (12, 0, False)])
def test_the_softmax_of_older_graphs_is_of_all_axes_from_one_on(opset, axis, read, tmp_path):
    """Of (N, 3) that is the last one; without an axis it was 1 before opset 13."""
    said = {} if axis is None else {"axis": axis}
    path, _ = chained(tmp_path, [("Softmax", [], said)])
    import onnx

    model = onnx.load(path)
    model.opset_import[0].version = opset
    onnx.save(model, path)
    if read:
        f = load_head(path, load(path))
        assert [type(one).__name__ for one in f.functions] == ["Softmax", "Dense"]
    else:
        with pytest.raises(ValueError, match=r"there is Softmax$"):
            load_head(path, load(path))


def test_a_sigmoid_of_somebody_else_is_not_that_of_silu(tmp_path):
    """x foo.Sigmoid(x) was read as silu."""
    path, _ = chained(tmp_path, CHAINS["silu"])

    def change(g, helper):
        del helper
        next(node for node in g.node if node.op_type == "Sigmoid").domain = "foo"

    changed(path, change)
    with pytest.raises(ValueError, match=r"there is (Mul|foo.Sigmoid, Mul)$"):
        load_head(path, load(path))
