r"""A map and k as an ONNX graph without a state: k steps written out.

Main name: `to_onnx`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import numpy as np

from theory.errors import MissingExtraError, as_vector, check_count
from theory.files.writing import check_writable, replacing
from theory.interop.program import Program
from theory.interop.recipe import check_known, check_known_function, function_of, step_of
from theory.maps.base import Map, check_map
from theory.maps.block import Block
from theory.maps.functions import Function
from theory.maps.output import head_of
from theory.typing import Array

#: ONNX's names of the operations of recipes.
_OPS = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "maximum": "Max", "minimum": "Min",
    "sigmoid": "Sigmoid", "tanh": "Tanh", "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "abs": "Abs",
    "sin": "Sin", "erf": "Erf", "softmax": "Softmax",
}  # fmt: skip

_OPSET, _IR = 17, 9
_LAST = np.iinfo(np.int64).max

FORMS = ("window", "sequence")


@final
class _Graph(Program):
    """Nodes and stored tensors; a value is its name."""

    def __init__(self, onnx: Any, dtype: Any) -> None:
        self.onnx, self.dtype = onnx, dtype
        self.nodes: list[Any] = []
        self.stored: list[Any] = []
        self._known: dict[tuple[Any, ...], str] = {}

    def constant(self, array: Any, name: str | None = None) -> str:
        """Store an array in the precision of the graph."""
        with np.errstate(over="ignore"):
            held = np.asarray(array, dtype=self.dtype)
        if np.any(np.isinf(held) & np.isfinite(array)):
            raise ValueError(
                f"{name or 'the head or the restart'} holds {np.max(np.abs(array)):.3g}, more than "
                "single precision does; pass single=False"
            )
        return self.store(held, name)

    def store(self, array: Any, name: str | None = None) -> str:
        """Store an array as it is, once."""
        key = ("stored", array.dtype.str, array.shape, array.tobytes(), name)
        if key not in self._known:
            self._known[key] = name or f"c{len(self.stored)}"
            self.stored.append(self.onnx.numpy_helper.from_array(array, self._known[key]))
        return self._known[key]

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Add a node, once for the same inputs."""
        key = (op, *inputs, *sorted(attributes.items()))
        if key not in self._known:
            self._known[key] = f"v{len(self.nodes)}"
            made = self.onnx.helper.make_node(op, list(inputs), [self._known[key]], **attributes)
            self.nodes.append(made)
        return self._known[key]

    def cut(self, value: str, first: int, last: int, axis: int) -> str:
        """Return entries along an axis."""
        ends = [self.store(np.array([one], dtype=np.int64)) for one in (first, last, axis)]
        return self.node("Slice", value, *ends)

    def two(self, name: str, a: str, b: str) -> str:
        """Add an operation of two values."""
        return self.node(_OPS[name], a, b)

    def one(self, name: str, a: str) -> str:
        """Add an operation of a value."""
        if name == "erf" and self.dtype is not np.float32:
            raise ValueError(
                "gelu is written in single precision only, as ONNX Runtime has no Erf of doubles; "
                "pass single=True"
            )
        return self.node(_OPS[name], a)

    def chosen(self, test: str, a: str, b: str) -> str:
        """Add a choice."""
        return self.node("Where", self.node("Greater", test, self.constant(0.0)), a, b)

    def linear(self, x: str, W: str) -> str:
        """Add x W^T."""
        return self.node("MatMul", x, self.node("Transpose", W))

    def rows(self, W: str, first: int, last: int) -> str:
        """Add a cut of rows."""
        return self.cut(W, first, last, 0)

    def flat(self, W: str) -> str:
        """Add a reshape."""
        return self.node("Reshape", W, self.store(np.array([-1], dtype=np.int64)))

    def part(self, x: str, first: int, last: int) -> str:
        """Add a cut along the last axis."""
        return self.cut(x, first, last, -1)

    def joined(self, parts: Sequence[str]) -> str:
        """Add a concatenation."""
        return parts[0] if len(parts) == 1 else self.node("Concat", *parts, axis=-1)


def to_onnx(
    recurrent: Map,
    path: str | Path,
    *,
    k: int,
    form: str = "window",
    head: Any = None,
    restart: Any = None,
    single: bool = False,
) -> None:
    r"""Write the k-step counterpart of a map as an ONNX graph, which keeps no state.

    Parameters
    ----------
    recurrent : Map
        Any but a `CallableMap`, a `DeltaRule` and a `LinearAttention`, also inside of a `Block` or
        a `Cascade`.
    path : path
        It ends in ``.onnx``; a file that is there is replaced.
    k : int
        How many inputs the model sees, 1 at least.
    form : str
        ``window``: X of shape (N, k, m), the last k inputs of N times, the oldest first, gives Y of
        shape (N, p).  ``sequence``: X of shape (T, m) gives Y of shape (T, p), at every time, as
        `theory.truncate` does from the zero start.
    head : LinearHead, array, output layer, Function, or torch.nn.Sequential, optional
        As for `theory.truncate`, or a chain of layers as for `theory.maps.with_head`; outputs are
        states without.
    restart : (n,) array, optional
        The state k steps back, zero by default.
    single : bool
        Whether numbers are of single precision; of double by default.

    Raises
    ------
    ValueError
        If the map or a function has no recipe, which is named, a shape does not fit, the form is
        unknown, or the path cannot be written; for ``gelu`` in double precision, and for numbers
        that single precision does not hold.
    MissingExtraError
        If the package onnx is not installed.

    Notes
    -----
    The graph consists of elementary operations only, so that every runtime takes it; the number of
    nodes grows with k.

    Numbers of single precision end at 1e-45: an `SLSTM` whose normaliser falls below, where log(i)
    stays below -103, forgets all at each step.  A number added to all of b_i prevents it, and
    changes no output (`SLSTM`).
    """
    check_map(recurrent)
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
    except ImportError:
        raise MissingExtraError("onnx", "onnx", "an ONNX file") from None
    check_known(recurrent)
    check_count(at_least=1, k=k)
    if form not in FORMS:
        raise ValueError(f"form={form!r}, needed one of: {', '.join(FORMS)}")
    file = Path(path)
    if file.suffix.lower() != ".onnx":
        raise ValueError(f"{path} ends in {file.suffix!r}, needed .onnx")
    check_writable(file)
    n, m = recurrent.state_dim, recurrent.input_dim
    start = as_vector("restart", np.zeros(n) if restart is None else restart, size=n)
    output = None if head is None else head_of(recurrent, head)
    if isinstance(output, Function):
        check_known_function(output)
    graph = _Graph(onnx, np.float32 if single else np.float64)
    parameters = {name: graph.constant(value, name) for name, value in recurrent.parameters.items()}
    core, own, after = _without_output(recurrent, parameters)
    run = _window if form == "window" else _sequence
    made, newest = run(graph, core, own, k, start[: core.state_dim])
    if after is not None:
        arrays = {name: parameters[f"after.{name}"] for name in after.arrays}
        shown = function_of(graph, after, arrays, graph.joined([made, newest]))
        made = graph.joined([made, shown])
    if isinstance(output, Function):
        arrays = {name: graph.constant(value) for name, value in output.arrays.items()}
        made = function_of(graph, output, arrays, graph.joined([made, newest]))
    elif output is not None:
        C, d = graph.constant(output.C), graph.constant(output.d)
        made = graph.two("add", graph.linear(made, C), d)
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(graph.dtype))
    shape = ["N", k, m] if form == "window" else ["T", m]
    width = n
    if output is not None:
        width = output.output_dim if isinstance(output, Function) else len(output.C)
    built = onnx.helper.make_graph(
        [*graph.nodes, onnx.helper.make_node("Identity", [made], ["Y"])],
        f"{type(recurrent).__name__} in {k} steps",
        [onnx.helper.make_tensor_value_info("X", kind, shape)],
        [onnx.helper.make_tensor_value_info("Y", kind, [shape[0], width])],
        graph.stored,
    )
    opset = onnx.helper.make_opsetid("", _OPSET)
    model = onnx.helper.make_model(built, opset_imports=[opset], ir_version=_IR)
    onnx.checker.check_model(model, full_check=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as stream:
        stream.write(model.SerializeToString())


def _without_output(
    recurrent: Map, parameters: dict[str, str]
) -> tuple[Map, dict[str, str], Function | None]:
    """Return the recurrence of a block, its values, and what is made of its last state alone."""
    if not isinstance(recurrent, Block) or recurrent.after is None:
        return recurrent, parameters, None
    if recurrent.before is not None:
        core = Block(recurrent.core, before=recurrent.before)
        return core, {name: parameters[name] for name in core.parameters}, recurrent.after
    own = {name: parameters[f"core.{name}"] for name in recurrent.core.parameters}
    return recurrent.core, own, recurrent.after


def _window(
    graph: _Graph, recurrent: Map, parameters: dict[str, str], k: int, start: Array
) -> tuple[str, str]:
    """Return the states after each of N windows (N, k, m), and the last inputs."""
    axis = graph.store(np.array([1], dtype=np.int64))
    # rows of the state k steps back, as many as there are windows
    zeros = graph.node("Mul", graph.cut(graph.cut("X", 0, 1, 1), 0, 1, 2), graph.constant(0.0))
    h = graph.two("add", graph.node("Squeeze", zeros, axis), graph.constant(start[None]))
    for t in range(k):
        x = graph.node("Squeeze", graph.cut("X", t, t + 1, 1), axis)
        h = step_of(graph, recurrent, parameters, h, x)
    return h, x


def _sequence(
    graph: _Graph, recurrent: Map, parameters: dict[str, str], k: int, start: Array
) -> tuple[str, str]:
    """Return the states at every time of a sequence (T, m), and the inputs there.

    Row t of stage j has the input k - 1 - j steps before t.  Where there is none yet, the state is
    still zero; where there are exactly k, it has been the restart before the first of them.
    """
    before = graph.store(np.array([k, 0, 0, 0], dtype=np.int64))
    X = graph.node("Pad", "X", before, graph.constant(0.0))
    ones = graph.node(
        "Add", graph.node("Mul", graph.cut("X", 0, 1, 1), graph.constant(0.0)), graph.constant(1.0)
    )
    there = graph.node("Pad", ones, before, graph.constant(0.0))
    # with k inputs or fewer behind it a row starts from zero: both models coincide
    full = graph.cut(there, 0, -k, 0)
    h = graph.two("mul", full, graph.constant(start[None]))
    for j in range(1, k + 1):
        ends = (j, j - k if j < k else _LAST)
        x, on = graph.cut(X, *ends, 0), graph.cut(there, *ends, 0)
        new = step_of(graph, recurrent, parameters, h, x)
        # a difference of new and old would lose digits: on is 0 or 1, so both products are exact
        off = graph.two("sub", graph.constant(1.0), on)
        h = graph.two("add", graph.two("mul", on, new), graph.two("mul", off, h))
    return h, "X"
