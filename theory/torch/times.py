r"""What operations of PyTorch do to the times of a sequence.

Main names: `follow`, `UnboundedError`.

A module is traced to a graph (torch.fx) and run; beside every tensor of the sequence goes its axis
of time and a table of marks: row t marks the inputs that its entries at time t may depend on.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from theory.torch.layers import torch

Marks: TypeAlias = npt.NDArray[np.bool_]

#: An axis of time, from the end: -1 is the last; and the marks.
Timed: TypeAlias = tuple[int, Marks]


class UnboundedError(Exception):
    """An output depends on all inputs before it, or on all."""


def follow(module: Any, example: Any, axis: int) -> Timed:
    """Return the axis of time of a module's output and its marks.

    Raises
    ------
    ValueError
        If an operation is not known, or the module cannot be traced.
    UnboundedError
        If a step depends on everything before.
    """
    from torch import fx

    try:
        graph = fx.symbolic_trace(module) if not _is_leaf(module) else None
    except Exception as error:
        raise ValueError(
            f"{type(module).__name__} cannot be traced ({str(error).partition(chr(10))[0]}); "
            "needed a forward without decisions that depend on values"
        ) from None
    start: Timed = (axis - example.ndim, np.eye(example.shape[axis], dtype=bool))
    if graph is None:
        with torch.no_grad():
            result = module(example)
        return _layer(module, start, example, result)
    followed = _Follower(graph, start)
    with torch.no_grad():
        followed.run(example)
    if followed.last is None:
        raise ValueError("the output holds no sequence, needed a tensor with an axis of time")
    return followed.last


def _is_leaf(module: Any) -> bool:
    return type(module).__module__.startswith("torch.nn.modules") and not isinstance(
        module, (torch.nn.Sequential, torch.nn.ModuleList)
    )


class _Follower:
    """Runs a graph, with the times beside every tensor."""

    def __init__(self, graph: Any, start: Timed) -> None:
        self.graph = graph
        self.start = start
        self.last: Timed | None = None
        self._values: dict[Any, Any] = {}
        self._times: dict[Any, Timed] = {}

    def run(self, example: Any) -> None:
        """Run every node once."""
        modules = dict(self.graph.named_modules())
        for node in self.graph.graph.nodes:
            arguments = torch.fx.node.map_arg(node.args, lambda n: self._values[n])
            named = torch.fx.node.map_arg(node.kwargs, lambda n: self._values[n])
            if node.op == "placeholder":
                if not self._values:
                    self._values[node], self._times[node] = example, self.start
                elif node.args:
                    self._values[node] = node.args[0]
                else:
                    raise ValueError(f"the module takes {node.name} beside its input, needed one")
            elif node.op == "get_attr":
                value = self.graph
                for part in str(node.target).split("."):
                    value = getattr(value, part)
                self._values[node] = value
            elif node.op == "output":
                inner = [n for n in node.all_input_nodes if n in self._times]
                if len(inner) == 1:
                    self.last = self._times[inner[0]]
            elif node.op == "call_module":
                layer = modules[node.target]
                value = layer(*arguments, **named)
                self._values[node] = value
                timed = [n for n in node.all_input_nodes if n in self._times]
                if timed:
                    self._keep(node, self._of_module(layer, node, timed, value))
            else:
                if node.op == "call_method":
                    value = getattr(arguments[0], node.target)(*arguments[1:], **named)
                else:
                    value = node.target(*arguments, **named)
                self._values[node] = value
                if any(n in self._times for n in node.all_input_nodes):
                    self._keep(node, self._of_function(node, arguments, named, value))

    def _keep(self, node: Any, found: Timed | None) -> None:
        if found is not None:
            self._times[node] = found

    def _of_module(self, layer: Any, node: Any, timed: list[Any], value: Any) -> Timed | None:
        if isinstance(layer, torch.nn.MultiheadAttention):
            inputs = [self._times[n] for n in node.args[:3]]
            shift = 2 if layer.batch_first else 3
            if any(axis != (-2 if shift == 2 else -3) for axis, _ in inputs):
                raise _unknown("attention over another axis than that of batch_first")
            mask = node.kwargs.get("attn_mask", node.args[5] if len(node.args) > 5 else None)
            held = self._values.get(mask, mask)
            if held is not None and held.dtype == torch.bool:
                held = ~held  # here True forbids
            marks = _attended([m for _, m in inputs], held, causal=False)
            return inputs[0][0], marks
        if len(timed) != 1:
            raise _unknown(f"{type(layer).__name__} of several sequences")
        return _layer(layer, self._times[timed[0]], self._values[timed[0]], value)

    def _of_function(self, node: Any, args: Any, named: Any, value: Any) -> Timed | None:
        name = node.target if isinstance(node.target, str) else node.target.__name__
        if name in {"getattr", "size", "dim"} and not isinstance(value, torch.Tensor):
            return None
        timed = [n for n in node.all_input_nodes if n in self._times]
        axis, marks = self._times[timed[0]]
        source = self._values[timed[0]]
        if name in _AT_EVERY_TIME:
            return _merged([self._times[n] for n in timed], value)
        if name in {"softmax", "log_softmax", "glu", "mean", "sum", "amax", "cat", "chunk", "split",
                    "unbind", "stack", "layer_norm"}:  # fmt: skip
            return self._along(name, args, named, timed, value)
        if name == "getitem":
            return _indexed(self._times[timed[0]], source, args[1])
        if name == "pad":
            return _padded(self._times[timed[0]], args, named)
        if name in {"transpose", "permute", "unsqueeze", "squeeze"}:
            return _rearranged(name, axis, marks, source, args, named, value)
        if name in {"conv1d"}:
            raise _unknown("functional.conv1d; use torch.nn.Conv1d")
        if name == "scaled_dot_product_attention":
            parts = [self._times[n] for n in node.args[:3]]
            if any(a != -2 for a, _ in parts):
                raise _unknown("attention over another axis than the last but one")
            mask = named.get("attn_mask", args[3] if len(args) > 3 else None)
            causal = bool(named.get("is_causal", args[5] if len(args) > 5 else False))
            return -2, _attended([m for _, m in parts], mask, causal=causal)
        if name == "linear":
            if axis == -1:
                raise UnboundedError
            return axis, marks
        if name in {"reshape", "view", "flatten", "unflatten"}:
            return _reshaped(axis, marks, source, value)
        raise _unknown(name)

    def _along(self, name: str, args: Any, named: Any, timed: list[Any], value: Any) -> Timed:
        """Return the times of an operation along one axis, which may not be that of time."""
        axis, marks = self._times[timed[0]]
        source = self._values[timed[0]]
        if name in {"stack", "unbind"}:
            raise _unknown(name)
        if name == "layer_norm":
            dims = list(range(-len(args[1]), 0))
        else:
            default = 0 if name in {"cat", "chunk", "split"} else (-1 if name == "glu" else None)
            place = 2 if name in {"chunk", "split"} else 1
            given = named.get("dim", args[place] if len(args) > place else default)
            if given is None:
                raise UnboundedError
            dims = list(given) if isinstance(given, (tuple, list)) else [given]
        ndim = source.ndim
        if axis % ndim in {d % ndim for d in dims}:
            if name in {"cat", "chunk", "split", "glu"}:
                raise _unknown(f"{name} over times; pad or slice")
            raise UnboundedError
        if name == "cat":
            parts = [self._times[n] for n in timed]
            return _merged(parts, value)
        if name in {"mean", "sum", "amax"} and not named.get("keepdim", False):
            lost = sum(1 for d in dims if d % ndim > axis % ndim)
            return axis + lost, marks
        return axis, marks


#: Operations that act at every time by themselves, and merge what they are given.
_AT_EVERY_TIME = frozenset({
    "add", "sub", "mul", "truediv", "div", "neg", "tanh", "sigmoid", "relu", "gelu", "silu", "elu",
    "leaky_relu", "softplus", "exp", "log", "sqrt", "square", "pow", "abs", "dropout", "contiguous",
    "clone", "iadd", "imul", "isub", "float", "double", "to", "add_", "mul_", "type_as", "detach",
})  # fmt: skip


def _unknown(what: str) -> ValueError:
    return ValueError(
        f"{what} is not an operation whose times are known; needed convolutions, padding, slices, "
        "attention, and layers that act at every time by themselves"
    )


def _layer(layer: Any, timed: Timed, source: Any, value: Any) -> Timed:
    """Return the times of a layer's output."""
    nn = torch.nn
    axis, marks = timed
    if isinstance(layer, nn.Conv1d):
        if axis != -1:
            raise _unknown("a convolution over another axis than the last")
        return -1, _convolved(layer, marks)
    if isinstance(layer, (nn.RNNBase, nn.RNNCellBase)):
        raise UnboundedError
    if isinstance(layer, nn.Linear):
        if axis == -1:
            raise UnboundedError
        return axis, marks
    if isinstance(layer, nn.Embedding):
        return axis - 1, marks
    if isinstance(layer, (nn.LayerNorm, nn.RMSNorm)):
        if not len(layer.normalized_shape) < -axis:
            raise UnboundedError
        return axis, marks
    if isinstance(layer, nn.modules.batchnorm._BatchNorm):
        return axis, marks  # in evaluation mode
    if isinstance(layer, (nn.GroupNorm, nn.modules.instancenorm._InstanceNorm)):
        raise UnboundedError
    if isinstance(layer, (nn.ConstantPad1d, nn.ZeroPad1d)):
        return _padded(timed, (source, layer.padding), {})
    if isinstance(layer, nn.GLU):
        if layer.dim % source.ndim == axis % source.ndim:
            raise _unknown("a gate over times")
        return axis, marks
    at_every_time = (
        nn.Identity, nn.Dropout, nn.Dropout1d, nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU,
        nn.ELU, nn.LeakyReLU, nn.PReLU, nn.Softplus, nn.Hardtanh, nn.ReLU6,
    )  # fmt: skip
    if isinstance(layer, at_every_time) and value.shape == source.shape:
        return axis, marks
    raise _unknown(type(layer).__name__)


def _convolved(layer: Any, marks: Marks) -> Marks:
    (size,), (dilation,), (stride,) = layer.kernel_size, layer.dilation, layer.stride
    if layer.padding_mode != "zeros":
        raise _unknown(f"padding_mode={layer.padding_mode!r}")
    if isinstance(layer.padding, str):
        whole = dilation * (size - 1) if layer.padding == "same" else 0
        left, right = whole // 2, whole - whole // 2
    else:
        left = right = layer.padding[0]
    padded = np.pad(marks, ((left, right), (0, 0)))
    count = (len(padded) - dilation * (size - 1) - 1) // stride + 1
    starts = stride * np.arange(count)
    seen: Marks = np.logical_or.reduce([padded[starts + dilation * j] for j in range(size)])
    return seen


def _merged(parts: list[Timed], value: Any) -> Timed:
    """Return the union of what stands at the same time, single times being spread."""
    axis = parts[0][0]
    if any(a != axis for a, _ in parts):
        raise _unknown("a sum of sequences with different axes of time")
    length = value.shape[axis]
    marks = np.zeros((length, parts[0][1].shape[1]), dtype=bool)
    for _, one in parts:
        if len(one) not in (1, length):
            raise _unknown("a sum of sequences of different lengths")
        marks |= one
    return axis, marks


def _indexed(timed: Timed, source: Any, index: Any) -> Timed | None:
    axis, marks = timed
    if not isinstance(source, torch.Tensor):  # one of several parts, each with the same times
        return timed
    keys = list(index) if isinstance(index, tuple) else [index]
    if any(key is None for key in keys):
        raise _unknown("an index with None")
    if any(key is Ellipsis for key in keys):
        i = keys.index(Ellipsis)
        keys[i : i + 1] = [slice(None)] * (source.ndim - len(keys) + 1)
    keys += [slice(None)] * (source.ndim - len(keys))
    at = axis % source.ndim
    if not isinstance(keys[at], slice):
        raise _unknown("a single time of a sequence")
    later = sum(isinstance(key, int) for key in keys[at + 1 :])
    return axis + later, marks[keys[at]]


def _padded(timed: Timed, args: Any, named: Any) -> Timed:
    axis, marks = timed
    pads = list(named.get("pad", args[1] if len(args) > 1 else ()))
    mode = named.get("mode", args[2] if len(args) > 2 else "constant")
    if mode != "constant":
        raise _unknown(f"padding by {mode!r}")
    place = 2 * (-axis - 1)
    left, right = pads[place : place + 2] if len(pads) > place else (0, 0)
    first, last = max(0, -left), len(marks) - max(0, -right)
    return axis, np.pad(marks[first:last], ((max(0, left), max(0, right)), (0, 0)))


def _rearranged(
    name: str, axis: int, marks: Marks, source: Any, args: Any, named: Any, value: Any
) -> Timed:
    at = axis % source.ndim
    given = [*args[1:], *named.values()]
    if name == "permute":
        order = list(given[0]) if isinstance(given[0], (tuple, list)) else given
        new = [d % source.ndim for d in order].index(at)
    elif name == "transpose":
        first, second = (d % source.ndim for d in given)
        new = {first: second, second: first}.get(at, at)
    elif name == "unsqueeze":
        d = given[0] % (source.ndim + 1)
        new = at + (d <= at)
    else:
        d = given[0] % source.ndim if given else None
        if d is None or d == at:
            raise _unknown("squeeze of the axis of time, or of none in particular")
        new = at - (d < at and source.shape[d] == 1)
    return new - value.ndim, marks


def _reshaped(axis: int, marks: Marks, source: Any, value: Any) -> Timed:
    """Return the times where the axis of time is kept: as much stands before it and after it."""
    at = axis % source.ndim
    before, after = source.shape[:at].numel(), source.shape[at + 1 :].numel()
    for new in range(value.ndim):
        if (
            value.shape[new] == source.shape[at]
            and value.shape[:new].numel() == before
            and value.shape[new + 1 :].numel() == after
        ):
            return new - value.ndim, marks
    raise _unknown("a change of shape that does not keep the axis of time")


def _attended(parts: list[Marks], mask: Any, *, causal: bool) -> Marks:
    """Return the marks of attention: those of the query, and of all keys and values allowed."""
    query, key, value = parts
    if mask is None or causal:
        raise UnboundedError
    allowed = mask.detach()
    allowed = (allowed if allowed.dtype == torch.bool else ~torch.isneginf(allowed)).cpu().numpy()
    while allowed.ndim > 2:
        allowed = allowed.any(axis=0)
    if allowed.shape != (len(query), len(key)):
        raise _unknown(f"a mask of shape {allowed.shape}")
    lags = np.arange(len(key))[None, :] - np.arange(len(query))[:, None]
    reach = lags[allowed]
    # a mask that lets the last query see the first key bounds nothing
    if len(reach) and not (reach.min() > 1 - len(key) and reach.max() < len(key) - 1):
        raise UnboundedError
    seen: Marks = allowed.astype(int) @ (key | value).astype(int) > 0
    return seen | query
