r"""The output layers of an ONNX graph: products with constants behind its recurrent nodes.

Main names: `heads_of`, `heads_behind`.

The states of a node are followed through what hands them on as they are, or moves axes other than
that of the features, to a MatMul or Gemm with constant weights, and an Add of constants behind it,
and on through activations and normalisations to further ones.  Where anything else stands between,
the layer is named, and is no head of the state.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from theory.interop.formats.onnx_graph import (
    PASSES,
    OnnxFile,
    Place,
    attributes_of,
    constant,
    hands_on,
    is_standard,
    moved_axes,
)
from theory.interop.told import Through, ToldHead

#: Layers that are told of, whatever stands before them; the first two are read.
_LAYERS = {"Gemm", "MatMul", "Einsum", "Conv"}

#: What only moves numbers about, and need not be told once something else stands between.
_MOVES = PASSES | {"Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Cast"}

#: So many nodes behind a cell are looked at.
_MOST = 1000


@final
@dataclass(frozen=True)
class _Way:
    """Where the states have come to, and how."""

    value: str
    axes: list[str] | None  # None: not as they were
    between: tuple[str, ...]
    through: tuple[Through, ...] | None  # None: there is something that is not known
    width: int  # how many features there are

    def on(self, value: str, node: Any, step: Through, width: int) -> _Way:
        """Return the way behind a node that is known."""
        between, through = (*self.between, node.op_type), (*(self.through or ()), step)
        return _Way(value, self.axes, between, through, width)


def heads_of(file: OnnxFile) -> tuple[dict[str, Any], dict[str, ToldHead]]:
    """Return arrays `NAME.weight`, (p, n), and `NAME.bias` of all output layers, and what is told.

    Layers that cannot be read have no arrays.
    """
    arrays: dict[str, Any] = {}
    told: dict[str, ToldHead] = {}
    seen = set()
    for name, place in file.places.items():
        names: dict[str, str] = {}  # of layers and normalisations by what they give
        for node, layer, own in heads_behind(file.model, name, place):
            # the same node behind two cells is one layer; a graph has each output once
            this = id(place.graphs[0]), node.output[0]
            if this in seen:
                continue
            seen.add(this)
            at = start = node.name or node.output[0]
            count = 1
            while at in told or at in file.places or f"{at}.weight" in arrays:
                count += 1
                at = f"{start}_{count}"
            names[node.output[0]] = at
            if node.op_type in _LAYERS:
                steps = tuple(replace(one, at=names.get(one.at, "")) for one in layer.through)
                told[at] = replace(layer, through=steps)
            arrays |= {f"{at}.{key}": value for key, value in own.items()}
    return arrays, told


def heads_behind(
    model: Any, name: str, place: Place
) -> Iterator[tuple[Any, ToldHead, dict[str, Any]]]:
    """Yield the layers behind one node: theirs, what is told, and the arrays if it is read.

    Normalisations on the way are yielded with their arrays, too.
    """
    node, graph = place.node, place.graphs[0].graph
    users: dict[str, list[Any]] = {}
    makers = {value: one for one in graph.node for value in one.output}
    for one in graph.node:
        for value in one.input:
            users.setdefault(value, []).append(one)
    layout = attributes_of(node).get("layout")
    n = int(attributes_of(node).get("hidden_size", 0))
    # the states at all times, and the last one; of an LSTM that is the h of (h, c)
    starts = [list("btdf" if layout else "tdbf"), list("bdf" if layout else "dbf")]
    # what is between is named, and listed step by step as long as every step is known
    waiting: list[_Way] = [
        _Way(value, axes, (), (), n)
        for value, axes in zip(node.output[:2], starts, strict=False)
        if value
    ]
    looked = 0
    while waiting and looked < _MOST:
        way = waiting.pop()
        value, axes, between = way.value, way.axes, way.between
        for user in users.get(value, []):
            looked += 1
            if user.op_type in {"RNN", "GRU", "LSTM"} or not user.output:
                continue
            if user.op_type in _LAYERS:
                layer, own, end = _layer(model, name, place, user, way, users)
                yield user, layer, own
                if own:
                    one = Through(kind="dense", at=user.output[0])
                    waiting.append(way.on(end, user, one, len(own["weight"])))
                continue
            step = _step(user, way, model, place, makers)
            if step is _INSIDE:
                continue
            if step is not None:
                one, own = step
                if own:
                    yield user, ToldHead(kind="", source=None), own
                waiting.append(way.on(user.output[0], user, one, way.width))
                continue
            moved = None if axes is None else _moved(user, value, axes, way.width, model, place)
            if axes is None and user.op_type in _MOVES:
                waiting.append(replace(way, value=user.output[0]))
            elif moved is None:
                word = user.op_type if is_standard(user) else f"{user.domain}.{user.op_type}"
                waiting.append(_Way(user.output[0], None, (*between, word), None, 0))
            else:
                waiting.append(replace(way, value=user.output[0], axes=moved))


def _moved(
    node: Any, value: str, axes: list[str], n: int, model: Any, place: Place
) -> list[str] | None:
    """Return the axes behind a node that leaves the features of a state as they are, or None."""
    said = attributes_of(node)
    if not node.input or node.input[0] != value:
        return None
    if not is_standard(node):
        return None
    if hands_on(node, place.graphs):
        return axes
    if node.op_type in {"Reshape", "Squeeze"} and "d" in axes and _both(place):
        return None  # both directions would be read
    moved = moved_axes(node, said, axes, place.graphs)
    if moved is not None:
        return moved
    numbers: Any = None
    if len(node.input) > 1:
        numbers = constant(model, node.input[1], place.graphs)
    if node.op_type == "Gather" and numbers is not None:
        at = int(said.get("axis", 0))
        if numbers.ndim > 1 or not -len(axes) <= at < len(axes) or axes[at] == "f":
            return None
        if axes[at] == "d" and _both(place) and np.any(numbers):
            return None  # the reverse direction
        at %= len(axes)
        return [*axes[:at], *([axes[at]] if numbers.ndim else []), *axes[at + 1 :]]
    if node.op_type == "Reshape" and numbers is not None and axes[-1] == "f":
        # states stay whole, in whatever order
        whole = n and numbers.ndim == 1 and numbers[-1] == n
        return [*("*" * (len(numbers) - 1)), "f"] if whole else None
    if node.op_type == "Slice":
        cut = said.get("axes")
        if cut is None and len(node.input) > 3 and node.input[3]:
            cut = constant(model, node.input[3], place.graphs)
        size = len(axes)
        if cut is not None and all(-size <= i < size and axes[i] != "f" for i in np.ravel(cut)):
            return axes
    return None


def _both(place: Place) -> bool:
    """Return whether a cell has two directions."""
    return bool(attributes_of(place.node).get("direction") == b"bidirectional")


#: What a Sigmoid is that is multiplied by its argument later on: no step by itself.
_INSIDE = (Through(kind=""), dict[str, Any]())

#: ONNX's activations in our words.
_ACTIVATIONS = {"Relu": "relu", "Tanh": "tanh", "Sigmoid": "sigmoid", "Softplus": "softplus"}


def _step(
    node: Any, way: _Way, model: Any, place: Place, makers: dict[str, Any]
) -> tuple[Through, dict[str, Any]] | None:
    """Return a step of a chain and its arrays, `_INSIDE`, or None for what is not known."""
    axes, value = way.axes, way.value
    known = axes is not None and axes[-1] == "f" and not ("d" in axes and _both(place))
    if not known or way.through is None or not is_standard(node) or value not in node.input:
        return None
    said, kind = attributes_of(node), node.op_type
    if kind == "Mul":
        # x sigmoid(x), as PyTorch writes it
        inner = next((one for one in node.input if one != value), "")
        if value in _argument(makers.get(inner)):
            return Through(kind="pointwise", word="silu"), {}
        inside = any(one in node.input for one in _argument(makers.get(value)))
        return _INSIDE if inside else None
    if node.input[0] != value:
        return None
    if kind in _ACTIVATIONS:
        return Through(kind="pointwise", word=_ACTIVATIONS[kind]), {}
    if kind == "LeakyRelu":
        slope = float(str(np.float32(said.get("alpha", 0.01))))
        word = f"leaky_relu({slope!r})"
        return (Through(kind="pointwise", word=word), {}) if 0 <= slope < 1 else None
    if kind == "Gelu" and said.get("approximate", b"none") == b"none":
        return Through(kind="pointwise", word="gelu"), {}
    if kind == "Softmax":
        # before opset 13 it is that of all axes from the second one on
        versions = [one.version for one in model.opset_import if one.domain in {"", "ai.onnx"}]
        axis = said.get("axis", -1 if versions and min(versions) >= 13 else 1)
        last = axis in {-1, len(axes or ()) - 1}
        return (Through(kind="softmax"), {}) if last else None
    if kind == "LayerNormalization" and said.get("axis", -1) in {-1, len(axes or ()) - 1}:
        own = {}
        for key, at in (("weight", 1), ("bias", 2)):
            if len(node.input) > at and node.input[at]:
                part = _spread(constant(model, node.input[at], place.graphs), way.width)
                if part is None:
                    return None
                own[key] = part
        parts = ("weight" if "weight" in own else "", "bias" if "bias" in own else "")
        eps = float(str(np.float32(said.get("epsilon", 1e-5))))
        # the mean and the deviation are outputs, too
        if own and not any(node.output[1:]):
            return Through(kind="layer", at=node.output[0], eps=eps, parts=parts), own
    return None


def _argument(node: Any) -> list[str]:
    """Return what a Sigmoid takes, of ONNX itself: another domain may have one, too."""
    own = node is not None and node.op_type == "Sigmoid" and is_standard(node)
    return list(node.input) if own else []


def _layer(
    model: Any, name: str, place: Place, node: Any, way: _Way, users: dict[str, list[Any]]
) -> tuple[ToldHead, dict[str, Any], str]:
    """Return what is told of a layer, its arrays, and what it gives, with its bias."""
    own: dict[str, Any] = {}
    axes, between = way.axes, way.between
    one = axes is not None and axes[-1] == "f" and not ("d" in axes and _both(place))
    known = way.through is not None and one
    if known and node.op_type in {"Gemm", "MatMul"} and is_standard(node):
        own = _weights(model, place, node, way.value, way.width)
    if not own and not between:
        between = (f"{node.op_type} of another kind than C h + d",)
    end = node.output[0]
    if own and "bias" not in own:
        end = _with_bias(model, place, own, end, users)
    after = [one.op_type for one in users.get(end, [])]
    told = ToldHead(
        kind=f"{node.op_type} node",
        source=name,
        between=", ".join(between),
        after=" and ".join(dict.fromkeys(after)),
        through=(way.through or ()) if own else (),
    )
    return told, own, end


def _weights(model: Any, place: Place, node: Any, value: str, n: int) -> dict[str, Any]:
    """Return the weight (p, n), and the bias of a Gemm, if they are constants; else nothing."""
    if node.input[0] != value:
        return {}
    said = attributes_of(node)
    weight = constant(model, node.input[1], place.graphs)
    if weight is None or weight.ndim != 2 or said.get("transA"):
        return {}
    weight = np.asarray(weight if said.get("transB") else weight.T, dtype=np.float64)
    if n and weight.shape[1] != n:
        return {}
    own = {"weight": weight * float(said.get("alpha", 1.0))}
    if len(node.input) > 2 and node.input[2]:
        bias = _spread(constant(model, node.input[2], place.graphs), len(weight))
        if bias is None:
            return {}
        own["bias"] = bias * float(said.get("beta", 1.0))
    return own


def _with_bias(
    model: Any, place: Place, own: dict[str, Any], value: str, users: dict[str, list[Any]]
) -> str:
    """Take the constant in that is added behind a MatMul; return what it gives then."""
    behind = users.get(value, [])
    if len(behind) != 1 or behind[0].op_type != "Add" or not is_standard(behind[0]):
        return value
    others = [one for one in behind[0].input if one != value]
    bias = constant(model, others[0], place.graphs) if len(others) == 1 else None
    bias = _spread(bias, len(own["weight"]))
    if bias is None:
        return value
    own["bias"] = bias
    return str(behind[0].output[0])


def _spread(bias: Any, p: int) -> Any:
    """Return a constant as the bias of p outputs; None if it differs along another axis."""
    if bias is None or (bias.ndim and (bias.shape[-1] not in {1, p} or bias.size > bias.shape[-1])):
        return None
    return np.broadcast_to(np.ravel(bias).astype(np.float64), (p,))
