r"""The recurrent cells of an ONNX graph: its RNN, GRU and LSTM nodes.

Main names: `read_onnx`, `write_onnx`, `OnnxFile`, `Place`, `constant`, `moved_axes`,
`hands_on`, `is_standard`.

The weights of a node are initialisers or constants, or made of them by moving numbers about
(reshapes, slices, concatenations), which ONNX's own reference does; nothing else is evaluated, and
no runtime is needed.  Nodes in the branches of an If are read as well, each under its own name;
those in the body of a Loop or a Scan are named and refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, final

import numpy as np

from theory.errors import MissingExtraError
from theory.files.arrays import DEFAULT_LIMIT
from theory.interop.formats.onnx_words import told_of_node
from theory.interop.layouts.torch import BIDIRECTIONAL
from theory.interop.told import Told

_OPS = ("RNN", "GRU", "LSTM")

#: Inputs of a node by place; the fifth, the lengths of sequences, says where a batch ends.
_INPUTS = ("X", "W", "R", "B", "lengths", "initial_h", "initial_c", "P")

#: Operations that move numbers about, or change their type exactly.
_MOVES = {
    "Constant", "Identity", "Unsqueeze", "Squeeze", "Transpose", "Concat", "Slice", "Reshape",
    "Split", "Cast", "Flatten", "Gather",
}  # fmt: skip

#: Operations that hand a state on to the next layer as it is; `_passed` follows those that move
#: axes.
PASSES = {"Identity", "Dropout"}

#: Types between which a Cast only rounds: FLOAT, FLOAT16, DOUBLE, BFLOAT16.
FLOATS = {1, 10, 11, 16}


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Scope:
    """A graph, with what its values are made by and what is stored in it, by name."""

    graph: Any
    makers: Mapping[str, Any]
    stored: Mapping[str, Any]

    @classmethod
    def of(cls, graph: Any) -> _Scope:
        """Return a graph with its index; of two makers of one name the first counts."""
        makers: dict[str, Any] = {}
        for node in graph.node:
            for name in node.output:
                makers.setdefault(name, node)
        return cls(graph=graph, makers=makers, stored={t.name: t for t in graph.initializer})


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Place:
    """A node with the graphs around it, the innermost first."""

    node: Any
    graphs: tuple[_Scope, ...]
    inside: str  # the Loop or Scan around it, "" for none


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class OnnxFile:
    """A model and its cells."""

    model: Any
    places: Mapping[str, Place]
    arrays: Mapping[str, Any]  # of the cells, as in `NAME.W`
    told: Mapping[str, Told]


def _onnx() -> Any:
    try:
        import onnx
        import onnx.helper
        import onnx.numpy_helper
        import onnx.reference
    except ImportError:
        raise MissingExtraError("onnx", "onnx", "an ONNX file") from None
    return onnx


def read_onnx(path: Path) -> OnnxFile:
    """Return the cells of an ONNX file.

    Raises
    ------
    ValueError
        If the file cannot be read, or holds no such node.
    MissingExtraError
        If the package onnx is not installed.
    """
    onnx = _onnx()
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(path))
    except (DecodeError, ValueError, TypeError, onnx.checker.ValidationError) as error:
        raise ValueError(f"it is no ONNX model, or a part of it is missing: {error}") from None
    places: dict[str, Place] = {}
    for place in _places(model.graph, (), ""):
        name = place.node.name or place.node.output[0]
        start, count = name, 1
        while name in places:
            count += 1
            name = f"{start}_{count}"
        places[name] = place
    if not places:
        kinds = sorted(_kinds(model.graph))
        raise ValueError(
            f"it holds no node of the kinds {', '.join(_OPS)}; there are: {', '.join(kinds)}"
            + (
                "; a cell written out in primitive operations is not recognised"
                if {"Sigmoid", "Tanh"} & set(kinds)
                else ""
            )
        )
    arrays: dict[str, Any] = {}
    told: dict[str, Told] = {}
    for name, place in places.items():
        own, told[name] = _read(model, name, place)
        arrays |= own
    told = {name: _with_source(one, places[name], places) for name, one in told.items()}
    return OnnxFile(model=model, places=places, arrays=arrays, told=told)


def is_standard(node: Any) -> bool:
    """Return whether a node is what ONNX itself says, none of a domain of somebody else."""
    return node.domain in {"", "ai.onnx"}


def hands_on(node: Any, graphs: tuple[_Scope, ...]) -> bool:
    """Return whether a node hands a state on as it is, but for rounding."""
    if not is_standard(node):
        return False
    said = attributes_of(node)
    if node.op_type == "Dropout":
        if said.get("is_test") == 0:
            return False
        training = node.input[2] if len(node.input) > 2 else ""
        tensor = _stored(training, graphs) if training else None
        return not training or (
            tensor is not None and not np.any(_onnx().numpy_helper.to_array(tensor))
        )
    return node.op_type in PASSES or (node.op_type == "Cast" and said.get("to") in FLOATS)


def _kinds(graph: Any) -> set[str]:
    """Return the operations of a graph and of those inside."""
    found = {node.op_type for node in graph.node}
    inner = (g for n in graph.node for a in n.attribute for g in (a.g, *a.graphs) if g.node)
    return found.union(*map(_kinds, inner))


def _places(graph: Any, above: tuple[_Scope, ...], inside: str) -> Iterator[Place]:
    graphs = (_Scope.of(graph), *above)
    for node in graph.node:
        if node.op_type in _OPS and is_standard(node):
            yield Place(node=node, graphs=graphs, inside=inside)
        loop = f"the {node.op_type} {node.name}" if node.op_type in {"Loop", "Scan"} else inside
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.node:
                    yield from _places(inner, graphs, loop)


def attributes_of(node: Any) -> dict[str, Any]:
    """Return the attributes of a node by name."""
    helper = _onnx().helper
    return {one.name: helper.get_attribute_value(one) for one in node.attribute}


def _read(model: Any, name: str, place: Place) -> tuple[dict[str, Any], Told]:
    """Return the arrays of one node, and what it tells."""
    node, said = place.node, attributes_of(place.node)
    told = told_of_node(node, said)
    inputs = dict(zip(_INPUTS, node.input, strict=False))
    arrays: dict[str, Any] = {}
    notes = []
    for key in ("W", "R", "B", "P"):
        if inputs.get(key):
            value = constant(model, inputs[key], place.graphs)
            if value is None:
                made = _maker(inputs[key], place.graphs)
                by = f", made by {made.op_type}" if made is not None else ", an input of the graph"
                told = replace(told, refused=f"has no constant {key}: it is {inputs[key]}{by}")
            else:
                arrays[f"{name}.{key}"] = value
    for key in ("initial_h", "initial_c"):
        if inputs.get(key):
            value = constant(model, inputs[key], place.graphs)
            if value is None:
                notes.append(f"{key} comes from outside of the cell ({inputs[key]})")
            elif np.any(value):
                arrays[f"{name}.{key}"] = value
    if inputs.get("lengths"):
        notes.append("sequences of a batch have lengths of their own")
    direction = said.get("direction", b"forward").decode()
    if direction == "bidirectional":
        both, arrays = arrays, {}
        for key, value in both.items():
            at = 1 if ".initial_" in key else 0
            first, second = np.split(value, 2, axis=at)
            arrays |= {key: first, f"{key}_reverse": second}
        notes.append(BIDIRECTIONAL)
    elif direction == "reverse":
        told = replace(told, refused="has direction=reverse: it reads the last input first")
    if place.inside:
        told = replace(
            told, refused=f"stands in {place.inside}, whose own steps are around those of the cell"
        )
    return arrays, replace(told, notes=tuple(notes))


# ---------------------------------------------------------------------------------------- constants


def _maker(name: str, graphs: tuple[_Scope, ...]) -> Any:
    """Return the node that makes a value, None if none does."""
    return next((g.makers[name] for g in graphs if name in g.makers), None)


def _stored(name: str, graphs: tuple[_Scope, ...]) -> Any:
    """Return the tensor of an initialiser or a Constant, None if it is none."""
    for one in graphs:
        if name in one.stored:
            return one.stored[name]
    node = _maker(name, graphs)
    if node is not None and node.op_type == "Constant":
        return next((one.t for one in node.attribute if one.name == "value"), None)
    return None


def constant(model: Any, name: str, graphs: tuple[_Scope, ...]) -> Any:
    """Return a value that is stored, or made of stored ones by moving numbers about, or None."""
    onnx = _onnx()
    tensor = _stored(name, graphs)
    if tensor is not None:
        return onnx.numpy_helper.to_array(tensor)
    needed: list[Any] = []
    leaves: dict[str, Any] = {}
    waiting, seen = [name], set()
    while waiting:
        one = waiting.pop()
        if one in seen or not one:
            continue
        seen.add(one)
        tensor = _stored(one, graphs)
        if tensor is not None:
            leaves[one] = onnx.numpy_helper.to_array(tensor)
            continue
        node = _maker(one, graphs)
        if node is None:
            return None
        if node.op_type == "ConstantOfShape" and one.startswith(name) and not node.input:
            return None
        if node.op_type not in _MOVES:
            return None
        needed.append(node)
        waiting.extend(node.input)
    wanted = {id(node) for node in needed}
    left = DEFAULT_LIMIT - sum(value.nbytes for value in leaves.values())
    for scope in reversed(graphs):
        for node in (one for one in scope.graph.node if id(one) in wanted):
            made = _moved(model, node, leaves)
            left -= sum(value.nbytes for value in made)
            if left < 0:
                raise ValueError(
                    f"{name} is made of other arrays and takes more than {DEFAULT_LIMIT} bytes on "
                    "the way; fold the constants of the model first"
                )
            leaves |= dict(zip(node.output, made, strict=False))
    if name not in leaves:
        raise ValueError(f"{name} is made of itself; the model is damaged")
    return leaves[name]


def _moved(model: Any, node: Any, known: Mapping[str, Any]) -> list[Any]:
    """Return the outputs of one node on known inputs."""
    onnx = _onnx()
    names = [one for one in node.input if one]
    missing = [one for one in names if one not in known]
    if missing:
        raise ValueError(
            f"{missing[0]} is used before it is made, or made of itself; the model is damaged"
        )
    graph = onnx.helper.make_graph(
        [node],
        "constant",
        [],
        [onnx.helper.make_empty_tensor_value_info(one) for one in node.output if one],
        [onnx.numpy_helper.from_array(np.asarray(known[one]), one) for one in dict.fromkeys(names)],
    )
    single = onnx.helper.make_model(graph, opset_imports=model.opset_import)
    try:
        return list(map(np.asarray, onnx.reference.ReferenceEvaluator(single).run(None, {})))
    except Exception as error:  # of any kind, from what a file says
        raise ValueError(
            f"the {node.op_type} {node.name} of constants cannot be computed: {error}"
        ) from None


# ---------------------------------------------------------------------------------------- one stack


def _with_source(told: Told, place: Place, places: Mapping[str, Place]) -> Told:
    """Return what is told together with where the inputs of a node come from."""
    outputs = {one: name for name, p in places.items() for one in p.node.output[:1] if one}
    name, chain = place.node.input[0], list[Any]()
    for _ in range(10_000):
        if name in outputs:
            chain.reverse()
            first = attributes_of(places[outputs[name]].node)
            words = _passed(chain, first, attributes_of(place.node), place.graphs)
            return replace(told, source=outputs[name], between=", ".join(words))
        node = _maker(name, place.graphs)
        if node is None or not node.input:
            break
        chain.append(node)
        name = node.input[0]
    return replace(told, source="")


def _passed(
    chain: list[Any], above: Mapping[str, Any], below: Mapping[str, Any], graphs: tuple[_Scope, ...]
) -> list[str]:
    """Return the operations that do not hand a state on as it is, from one cell to the next.

    Axes are followed by their letters, time, batch, direction and features; of one direction only,
    so that its axis may be dropped.
    """
    axes = list("btdf" if above.get("layout") else "tdbf")
    strange = []
    for node in chain:
        said = attributes_of(node)
        if hands_on(node, graphs):
            continue
        moved = moved_axes(node, said, axes, graphs)
        if moved is None:
            strange.append(node.op_type)
        else:
            axes = moved
    wanted = list("btf" if below.get("layout") else "tbf")
    if not strange and axes != wanted:
        # axes were exchanged on the way
        return [node.op_type for node in chain] or ["nothing that drops the axis of directions"]
    return strange


def moved_axes(
    node: Any, said: Mapping[str, Any], axes: list[str], graphs: tuple[_Scope, ...]
) -> list[str] | None:
    """Return the axes behind a node, None where it does more than move or drop them."""
    if not is_standard(node):
        return None
    if node.op_type == "Transpose":
        order = list(said.get("perm", reversed(range(len(axes)))))
        return [axes[i] for i in order] if sorted(order) == list(range(len(axes))) else None
    numbers = list(said["axes"]) if "axes" in said else None
    if numbers is None and len(node.input) > 1:
        tensor = _stored(node.input[1], graphs)
        numbers = None if tensor is None else _onnx().numpy_helper.to_array(tensor).ravel().tolist()
    if numbers is None:
        return None
    if node.op_type == "Squeeze":
        dropped = {i % len(axes) for i in numbers}
        kept = [one for i, one in enumerate(axes) if i not in dropped]
        return kept if [axes[i] for i in sorted(dropped)] == ["d"] else None
    # what PyTorch writes: the axes of direction and features become one
    if node.op_type == "Reshape" and numbers == [0, 0, -1] and axes[2:] == ["d", "f"]:
        return [*axes[:2], "f"]
    return None


# ------------------------------------------------------------------------------------------ writing


def write_onnx(stream: IO[bytes], file: OnnxFile, changed: Mapping[str, Any]) -> None:
    """Write the model with the weights of some nodes replaced, each in its own type.

    Raises
    ------
    ValueError
        If a node has two directions, whose weights are one array.
    """
    onnx = _onnx()
    model = onnx.ModelProto()
    model.CopyFrom(file.model)
    places = list(_places(model.graph, (), ""))
    for (name, old), place in zip(file.places.items(), places, strict=True):
        for at, key in enumerate(_INPUTS):
            if f"{name}.{key}" not in changed:
                continue
            if f"{name}.{key}_reverse" in file.arrays:
                raise ValueError(f"{name} has two directions, whose weights are stored together")
            while len(place.node.input) <= at:
                place.node.input.append("")
            made = f"{old.node.output[0] or name}_{key}_projected"
            place.graphs[0].graph.initializer.append(
                onnx.numpy_helper.from_array(np.ascontiguousarray(changed[f"{name}.{key}"]), made)
            )
            place.node.input[at] = made
    stream.write(model.SerializeToString())
