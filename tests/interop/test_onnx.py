"""ONNX graphs: nodes are read as their own runtime runs them, or refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from theory.interop import load, recognised

onnx = pytest.importorskip("onnx", reason="onnx is not installed (extra: onnx)")
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def arrays(op, n, m, rng, *, biased=True, dtype=np.float32):
    g = GATES[op]
    found = {"W": rng.standard_normal((1, g * n, m)), "R": rng.standard_normal((1, g * n, n))}
    if biased:
        found["B"] = rng.standard_normal((1, 2 * g * n))
    return {name: value.astype(dtype) for name, value in found.items()}


def model(op, weights, *, made="stored", name="cell", more=(), **attributes):
    """Return a model with one node; its weights are stored, constants, or moved about."""
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    nodes, stored = [], []
    for key, value in weights.items():
        if made == "stored":
            stored.append(numpy_helper.from_array(value, key))
        elif made == "constant":
            tensor = numpy_helper.from_array(value, f"{key}_value")
            nodes.append(helper.make_node("Constant", [], [key], value=tensor))
        else:  # as exporters write it: halves, put together, with an axis in front
            half = value.shape[1] // 2
            stored.append(numpy_helper.from_array(value[0, :half], f"{key}_low"))
            stored.append(numpy_helper.from_array(value[0, half:], f"{key}_high"))
            stored.append(numpy_helper.from_array(np.array([0]), f"{key}_axes"))
            nodes.append(
                helper.make_node("Concat", [f"{key}_low", f"{key}_high"], [f"{key}_all"], axis=0)
            )
            nodes.append(helper.make_node("Unsqueeze", [f"{key}_all", f"{key}_axes"], [key]))
    inputs = ["X", "W", "R", "B" if "B" in weights else "", "", *more]
    size = weights["R"].shape[2]
    nodes.append(helper.make_node(op, inputs, ["Y"], name=name, hidden_size=size, **attributes))
    kind = helper.np_dtype_to_tensor_dtype(weights["W"].dtype)
    extra = [helper.make_tensor_value_info(one, kind, None) for one in more if one not in weights]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("X", kind, ["T", 1, weights["W"].shape[2]]), *extra],
        [helper.make_tensor_value_info("Y", kind, None)],
        stored,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def saved(tmp_path, built):
    path = tmp_path / "m.onnx"
    onnx.save(built, path)
    return path


def run(built, X):
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    session = runtime.InferenceSession(built.SerializeToString())
    return session.run(["Y"], {"X": X[:, None].astype(np.float32)})[0][:, 0, 0]


@pytest.mark.parametrize("made", ["stored", "constant", "moved"])
@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("LSTM", {}),
        ("GRU", {"linear_before_reset": 0}),
        ("GRU", {"linear_before_reset": 1}),
        ("RNN", {}),
        ("RNN", {"activations": ["Relu"]}),
        ("RNN", {"activations": ["LeakyRelu"], "activation_alpha": [0.25]}),
    ],
)
@pytest.mark.parametrize("biased", [True, False])
def test_nodes_are_read_as_the_runtime_runs_them(op, attributes, made, biased, tmp_path):
    rng = np.random.default_rng(len(made))
    n, m = 4, 3
    weights = arrays(op, n, m, rng, biased=biased)
    weights["R"] *= np.float32(0.3)
    built = model(op, weights, made=made, **attributes)
    recurrent = load(saved(tmp_path, built))
    X = rng.standard_normal((7, m))
    states = recurrent.simulate(X.astype(np.float32)) @ recurrent.output_map.T
    # single precision, sums of at most a dozen terms of moderate size
    assert np.max(np.abs(states - run(built, X))) < 1e-5


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"clip": 3.0}, "clip=3"),
        ({"input_forget": 1}, "coupled gates"),
        ({"direction": "reverse"}, "last input first"),
        ({"activations": ["Sigmoid", "Tanh", "Relu"]}, "two activations"),
        ({"activations": ["Elu", "Tanh", "Tanh"]}, "the activation Elu"),
    ],
)
def test_what_is_another_map_is_refused_by_name(attributes, message, tmp_path):
    built = model("LSTM", arrays("LSTM", 2, 2, np.random.default_rng(0)), **attributes)
    path = saved(tmp_path, built)
    with pytest.raises(ValueError, match=rf"cell \(LSTM node\) .*{message}"):
        load(path)
    (cell,) = recognised(path).cells
    assert cell.map is None
    assert message in cell.refused


def test_initial_states_that_are_stored_are_told(tmp_path):
    weights = arrays("GRU", 2, 3, np.random.default_rng(0))
    weights["h0"] = np.ones((1, 1, 2), np.float32)
    path = saved(tmp_path, model("GRU", weights, more=["h0"]))
    with pytest.raises(ValueError, match=r"cell.initial_h is not zero.*h0= is given"):
        load(path)
    load(path, unused="cell.initial_h")
    weights["h0"][:] = 0
    load(saved(tmp_path, model("GRU", weights, more=["h0"])))
    del weights["h0"]
    path = saved(tmp_path, model("GRU", weights, more=["h0"]))
    (cell,) = recognised(path).cells
    assert cell.map is not None
    assert cell.notes == ("initial_h comes from outside of the cell (h0)",)


def test_two_directions_and_one_of_them(tmp_path):
    rng = np.random.default_rng(1)
    one, two = (arrays("LSTM", 2, 3, rng) for _ in range(2))
    both = {key: np.concatenate([one[key], two[key]]) for key in one}
    path = saved(tmp_path, model("LSTM", both, direction="bidirectional"))
    with pytest.raises(ValueError, match="inputs to come"):
        load(path)
    alone = load(saved(tmp_path, model("LSTM", one)))
    path = saved(tmp_path, model("LSTM", both, direction="bidirectional"))
    forward = load(path, unused="*_reverse")
    assert all(np.array_equal(forward.parameters[k], alone.parameters[k]) for k in "WUb")


def two_nodes(rng, between=("Squeeze",)):
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    first, second = arrays("GRU", 3, 2, rng), arrays("GRU", 4, 3, rng)
    stored = [numpy_helper.from_array(v, f"a{k}") for k, v in first.items()]
    stored += [numpy_helper.from_array(v, f"b{k}") for k, v in second.items()]
    stored.append(numpy_helper.from_array(np.array([1]), "axes"))
    words = {"hidden_size": 3, "linear_before_reset": 1}
    nodes = [helper.make_node("GRU", ["X", "aW", "aR", "aB"], ["Y1"], name="low", **words)]
    at = "Y1"
    for number, op in enumerate(between):
        inputs = [at, "axes"] if op == "Squeeze" else [at]
        nodes.append(helper.make_node(op, inputs, [f"t{number}"]))
        at = f"t{number}"
    words["hidden_size"] = 4
    nodes.append(helper.make_node("GRU", [at, "bW", "bR", "bB"], ["Y"], name="top", **words))
    kind = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("X", kind, ["T", 1, 2])],
        [helper.make_tensor_value_info("Y", kind, None)],
        stored,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def test_a_stack_is_read_from_the_bottom_up(tmp_path):
    rng = np.random.default_rng(2)
    built = two_nodes(rng)
    path = saved(tmp_path, built)
    with pytest.raises(ValueError, match=r"more than one .*low \(onnx\), top \(onnx\)"):
        load(path)
    stack = load(path, prefix=["low", "top"])
    X = rng.standard_normal((6, 2)).astype(np.float32)
    assert np.max(np.abs(stack.simulate(X) @ stack.output_map.T - run(built, X))) < 1e-5
    assert [cell.reads for cell in recognised(path).cells] == ["", "low"]
    with pytest.raises(ValueError, match="low reads no other cell, not the states of 'top'"):
        load(path, prefix=["top", "low"])
    path = saved(tmp_path, two_nodes(rng, ("Squeeze", "Relu")))
    with pytest.raises(ValueError, match="between low and top stands Relu"):
        load(path, prefix=["low", "top"])


def test_what_stands_in_a_branch_is_read_and_in_a_loop_refused(tmp_path):
    helper = onnx.helper
    rng = np.random.default_rng(3)
    weights = arrays("LSTM", 2, 2, rng)
    inner = model("LSTM", weights, made="constant").graph
    kind = onnx.TensorProto.FLOAT

    def branch():
        return helper.make_graph(
            inner.node, "branch", [], [helper.make_tensor_value_info("Y", kind, None)]
        )

    outer = helper.make_graph(
        [
            helper.make_node(
                "If", ["yes"], ["Z"], name="if", then_branch=branch(), else_branch=branch()
            )
        ],
        "g",
        [
            helper.make_tensor_value_info("X", kind, ["T", 1, 2]),
            helper.make_tensor_value_info("yes", onnx.TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("Z", kind, None)],
    )
    built = helper.make_model(outer, opset_imports=[helper.make_opsetid("", 17)])
    path = saved(tmp_path, built)
    assert len(recognised(path).cells) == 2
    # both branches hold one and the same cell
    alone = load(saved(tmp_path, model("LSTM", weights)))
    assert np.array_equal(load(saved(tmp_path, built)).W, alone.W)
    body = helper.make_graph(
        [*inner.node, helper.make_node("Identity", ["on"], ["go"])],
        "body",
        [
            helper.make_tensor_value_info("i", onnx.TensorProto.INT64, []),
            helper.make_tensor_value_info("on", onnx.TensorProto.BOOL, []),
        ],
        [
            helper.make_tensor_value_info("go", onnx.TensorProto.BOOL, []),
            helper.make_tensor_value_info("Y", kind, None),
        ],
    )
    outer.node[0].CopyFrom(helper.make_node("Loop", ["", "yes"], ["Z"], name="again", body=body))
    path = saved(tmp_path, helper.make_model(outer, opset_imports=[helper.make_opsetid("", 17)]))
    with pytest.raises(ValueError, match="stands in the Loop again"):
        load(path)


def test_files_that_are_no_graphs(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"\xff\xfe no model")
    with pytest.raises(ValueError, match="it is no ONNX model"):
        load(tmp_path / "x.onnx")
    helper = onnx.helper
    info = helper.make_tensor_value_info("X", onnx.TensorProto.FLOAT, [1])
    out = helper.make_tensor_value_info("Y", onnx.TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Tanh", ["X"], ["Y"])], "g", [info], [out])
    onnx.save(helper.make_model(graph), tmp_path / "x.onnx")
    with pytest.raises(ValueError, match=r"no node of the kinds RNN, GRU, LSTM; there are: Tanh"):
        load(tmp_path / "x.onnx")


def test_weights_that_are_computed_are_named(tmp_path):
    helper = onnx.helper
    built = model("GRU", arrays("GRU", 2, 2, np.random.default_rng(0)))
    built.graph.node.insert(0, helper.make_node("Neg", ["R"], ["minus"]))
    built.graph.node[1].input[2] = "minus"
    with pytest.raises(ValueError, match=r"no constant R: it is minus, made by Neg"):
        load(saved(tmp_path, built))


def between(nodes, constants=()):
    """Return two tanh nodes of three units, with something between them."""
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    rng = np.random.default_rng(4)
    stored = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants]
    made = []
    for name, start, end, m in (("a", "X", "Y1", 2), ("b", "Z", "Y", 3)):
        for key, shape in (("W", (1, 3, m)), ("R", (1, 3, 3)), ("B", (1, 6))):
            value = rng.standard_normal(shape).astype(np.float32)
            stored.append(numpy_helper.from_array(value, name + key))
        inputs = [start, f"{name}W", f"{name}R", f"{name}B"]
        made.append(helper.make_node("RNN", inputs, [end], hidden_size=3, name=name))
    kind = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [made[0], *nodes, made[1]],
        "g",
        [helper.make_tensor_value_info("X", kind, [3, 1, 2])],
        [helper.make_tensor_value_info("Y", kind, None)],
        stored,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def test_what_exchanges_axes_between_layers_is_named(tmp_path):
    node = onnx.helper.make_node
    squeeze = node("Squeeze", ["Z0", "one"], ["Z"])
    one = [("one", np.array([1]))]
    read = {
        "squeezed": [node("Squeeze", ["Y1", "one"], ["Z"])],
        "rounded": [node("Cast", ["Y1"], ["Z0"], to=11), squeeze],
    }
    for nodes in read.values():
        assert len(load(saved(tmp_path, between(nodes, one)), prefix=["a", "b"]).layers) == 2
    torch_like = [
        node("Transpose", ["Y1"], ["Z0"], perm=[0, 2, 1, 3]),
        node("Reshape", ["Z0", "flat"], ["Z"]),
    ]
    path = saved(tmp_path, between(torch_like, [("flat", np.array([0, 0, -1]))]))
    assert len(load(path, prefix=["a", "b"]).layers) == 2
    for nodes, constants, words in (
        ([node("Transpose", ["Y1"], ["Z0"], perm=[3, 1, 2, 0]), squeeze], one, "Transpose"),
        (
            [
                node("Transpose", ["Y1"], ["Z0"], perm=[1, 2, 3, 0]),
                node("Reshape", ["Z0", "flat"], ["Z"]),
            ],
            [("flat", np.array([3, 1, 3]))],
            "Reshape",
        ),
        ([node("Cast", ["Y1"], ["Z0"], to=6), squeeze], one, "Cast"),
    ):
        path = saved(tmp_path, between(nodes, constants))
        with pytest.raises(ValueError, match=f"between a and b stands .*{words}"):
            load(path, prefix=["a", "b"])


def test_a_clip_of_zero_is_a_clip(tmp_path):
    weights = arrays("RNN", 2, 2, np.random.default_rng(0))
    with pytest.raises(ValueError, match="has clip=0"):
        load(saved(tmp_path, model("RNN", weights, clip=0.0)))


def test_arrays_that_grow_without_end_and_circles_are_refused(tmp_path):
    node = onnx.helper.make_node
    weights = arrays("RNN", 2, 2, np.random.default_rng(0))
    built = model("RNN", weights)
    at = "W"
    for i in range(40):
        built.graph.node.insert(i, node("Concat", [at, at], [f"c{i}"], axis=1))
        at = f"c{i}"
    built.graph.node[-1].input[1] = at
    with pytest.raises(ValueError, match="more than 1073741824 bytes on the way"):
        load(saved(tmp_path, built))
    built = model("RNN", weights)
    built.graph.node.insert(0, node("Identity", ["y"], ["x"]))
    built.graph.node.insert(1, node("Identity", ["x"], ["y"]))
    built.graph.node[-1].input[1] = "x"
    with pytest.raises(ValueError, match="made of itself"):
        load(saved(tmp_path, built))


def test_a_long_chain_of_identities_is_followed(tmp_path):
    node = onnx.helper.make_node
    weights = arrays("RNN", 2, 2, np.random.default_rng(0))
    built = model("RNN", weights)
    chain = [node("Identity", ["W" if i == 0 else f"w{i - 1}"], [f"w{i}"]) for i in range(300)]
    cell = built.graph.node.pop()
    cell.input[1] = "w299"
    built.graph.node.extend([*chain, cell])
    np.testing.assert_array_equal(load(saved(tmp_path, built)).U, weights["W"][0])
