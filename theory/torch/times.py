r"""What operations of PyTorch do to the times of a sequence.

Main names: `follow`, `UnboundedError`.

A module is run once on an example, and every operation is seen (`torch.overrides`).  Beside each
tensor that comes from the input goes its axis of time and a table of marks: row t marks the inputs
that its entries at time t may depend on, whatever the weights and the values are.
"""

from __future__ import annotations

from collections.abc import Callable
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
    """Return the axis of time of a module's first output, and its marks.

    Raises
    ------
    ValueError
        If an operation is not known, or decides by values.
    UnboundedError
        If a step depends on everything before.
    """
    from torch.overrides import TorchFunctionMode

    start: Timed = (axis - example.ndim, np.eye(example.shape[axis], dtype=bool))
    # tensors are kept beside their times, so that no other one gets their place in memory
    known: dict[int, tuple[Any, Timed]] = {id(example): (example, start)}

    class Following(TorchFunctionMode):  # type: ignore[misc]
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            del types
            named = kwargs or {}
            timed = [known[id(t)] for t in _tensors((args, named)) if id(t) in known]
            if not timed:
                return func(*args, **named)
            name = func.__name__.strip("_")
            call = _Call(name, args, named, timed, {i: one for i, (_, one) in known.items()})
            shape = timed[0][0].shape
            result = func(*args, **named)
            found = call.times(result, shape)
            if found is not None:
                for one in _tensors(result):
                    known[id(one)] = one, found
            return result

    with torch.no_grad(), Following():
        result = module(example)
    while isinstance(result, (tuple, list)) and len(result):
        result = result[0]
    if id(result) not in known:
        raise ValueError("the output holds no sequence, needed a tensor with an axis of time")
    return known[id(result)][1]


def _tensors(value: Any) -> list[Any]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, (tuple, list)):
        return [one for part in value for one in _tensors(part)]
    return []


#: Operations that act at every time by themselves, and merge what they are given.
_AT_EVERY_TIME = frozenset({
    "add", "radd", "iadd", "sub", "rsub", "isub", "mul", "rmul", "imul", "truediv", "div", "neg",
    "tanh", "sigmoid", "relu", "gelu", "silu", "elu", "leaky_relu", "prelu", "softplus", "hardtanh",
    "relu6", "exp", "log", "sqrt", "rsqrt", "square", "pow", "abs", "clamp", "where", "maximum",
    "minimum", "dropout", "dropout1d", "contiguous", "clone", "float", "double", "to", "type_as",
    "detach",
})  # fmt: skip

#: Operations that take the form of a tensor and not its values.
_FORM_ONLY = frozenset({
    "get", "size", "dim", "len", "numel", "stride", "is_floating_point", "is_complex", "zeros_like",
    "ones_like", "empty_like", "full_like", "new_zeros", "new_ones", "new_empty", "new_full",
})  # fmt: skip

_WHOLE = frozenset({"lstm", "gru", "rnn_tanh", "rnn_relu", "group_norm", "instance_norm"})


class _Call:
    """One operation, with the tensors it was given that have times."""

    def __init__(
        self,
        name: str,
        args: Any,
        named: Any,
        timed: list[tuple[Any, Timed]],
        all_: dict[int, Timed],
    ) -> None:
        self.name, self.args, self.named = name, args, named
        self.timed = timed
        self.source, (self.axis, self.marks) = timed[0]
        self.all = all_

    def argument(self, place: int, name: str, default: Any = None) -> Any:
        """Return an argument that may be given by place or by name."""
        return self.named.get(name, self.args[place] if len(self.args) > place else default)

    def times(self, result: Any, shape: Any) -> Timed | None:
        """Return the times of the result, None if it has none."""
        if self.name in _FORM_ONLY and not (self.name == "get" and _tensors(result)):
            return None
        if not _tensors(result):
            raise _unknown(f"{self.name}, by which values decide what is done,")
        if self.name in _WHOLE:
            raise UnboundedError
        if self.name in _AT_EVERY_TIME:
            return _merged([one for _, one in self.timed], result)
        if self.name not in _SPECIAL:
            raise _unknown(self.name)
        special: Callable[[Any, Any], Timed] = getattr(self, _SPECIAL[self.name])
        return special(result, shape)

    def _convolution(self, result: Any, shape: Any) -> Timed:
        del result, shape
        if self.axis != -1:
            raise _unknown("a convolution over another axis than the last")
        weight = self.argument(1, "weight")
        stride, dilation = (
            _single(self.argument(i, n, 1)) for i, n in ((3, "stride"), (5, "dilation"))
        )
        padding, size = self.argument(4, "padding", 0), weight.shape[-1]
        if isinstance(padding, str):
            whole = dilation * (size - 1) if padding == "same" else 0
            left, right = whole // 2, whole - whole // 2
        else:
            left = right = _single(padding)
        padded = np.pad(self.marks, ((left, right), (0, 0)))
        count = (len(padded) - dilation * (size - 1) - 1) // stride + 1
        starts = stride * np.arange(count)
        seen: Marks = np.logical_or.reduce([padded[starts + dilation * j] for j in range(size)])
        return -1, seen

    def _linear(self, result: Any, shape: Any) -> Timed:
        del result, shape
        if self.axis == -1:
            raise UnboundedError
        return self.axis, self.marks

    def _product(self, result: Any, shape: Any) -> Timed:
        del result
        if len(self.timed) > 1:
            raise _unknown("a product of two sequences; use scaled_dot_product_attention")
        summed = -1 if self.args[0] is self.source else (-2 if len(shape) > 1 else -1)
        if self.axis == summed:
            raise UnboundedError
        return self.axis, self.marks

    def _embedding(self, result: Any, shape: Any) -> Timed:
        del result, shape
        return self.axis - 1, self.marks

    def _normalised(self, result: Any, shape: Any) -> Timed:
        del result, shape
        if not len(self.argument(1, "normalized_shape")) < -self.axis:
            raise UnboundedError
        return self.axis, self.marks

    def _batch_normalised(self, result: Any, shape: Any) -> Timed:
        del result, shape
        if self.argument(5, "training", False):
            raise UnboundedError
        return self.axis, self.marks

    def _along(self, result: Any, shape: Any) -> Timed:
        """Return the times of an operation along one axis, which may not be that of time."""
        parts = {"cat": 1, "chunk": 2, "split": 2}
        default = {"cat": 0, "chunk": 0, "split": 0, "glu": -1}.get(self.name)
        given = self.argument(parts.get(self.name, 1), "dim", default)
        if given is None:
            raise UnboundedError
        n = len(shape)
        dims = {d % n for d in (given if isinstance(given, (tuple, list)) else [given])}
        if self.axis % n in dims:
            if default is not None:
                raise _unknown(f"{self.name} over times; pad or slice")
            raise UnboundedError
        if self.name == "cat":
            return _merged([one for _, one in self.timed], result)
        lost = 0
        if self.name in {"mean", "sum", "amax"} and not self.named.get("keepdim", False):
            lost = sum(1 for d in dims if d > self.axis % n)
        return self.axis + lost, self.marks

    def _index(self, result: Any, shape: Any) -> Timed:
        del result
        index = self.args[1]
        keys = list(index) if isinstance(index, tuple) else [index]
        if any(key is Ellipsis for key in keys):
            i = next(j for j, key in enumerate(keys) if key is Ellipsis)
            keys[i : i + 1] = [slice(None)] * (len(shape) - len(keys) + 1)
        keys += [slice(None)] * (len(shape) - len(keys))
        at = self.axis % len(shape)
        if not all(isinstance(key, (int, slice)) for key in keys):
            raise _unknown("an index that is neither a slice nor a number")
        if not isinstance(keys[at], slice):
            raise _unknown("a single time of a sequence")
        later = sum(isinstance(key, int) for key in keys[at + 1 :])
        return self.axis + later, self.marks[keys[at]]

    def _padded(self, result: Any, shape: Any) -> Timed:
        del result, shape
        pads, mode = list(self.argument(1, "pad")), self.argument(2, "mode", "constant")
        if mode != "constant":
            raise _unknown(f"padding by {mode!r}")
        place = 2 * (-self.axis - 1)
        left, right = pads[place : place + 2] if len(pads) > place else (0, 0)
        first, last = max(0, -left), len(self.marks) - max(0, -right)
        widths = ((max(0, left), max(0, right)), (0, 0))
        return self.axis, np.pad(self.marks[first:last], widths)

    def _rearranged(self, result: Any, shape: Any) -> Timed:
        n, given = len(shape), [*self.args[1:], *self.named.values()]
        at = self.axis % n
        if self.name == "permute":
            order = list(given[0]) if isinstance(given[0], (tuple, list)) else given
            new = [d % n for d in order].index(at)
        elif self.name == "transpose":
            first, second = (d % n for d in given)
            new = {first: second, second: first}.get(at, at)
        elif self.name == "unsqueeze":
            new = at + (given[0] % (n + 1) <= at)
        else:
            d = given[0] % n if given else None
            if d is None or d == at:
                raise _unknown("squeeze of the axis of time, or of none in particular")
            new = at - (d < at and shape[d] == 1)
        return new - result.ndim, self.marks

    def _reshaped(self, result: Any, shape: Any) -> Timed:
        """Return the times where their axis is kept: as much stands before it and after it."""
        at = self.axis % len(shape)
        before, after = shape[:at].numel(), shape[at + 1 :].numel()
        for new in range(result.ndim):
            kept = result.shape[new] == shape[at] and result.shape[:new].numel() == before
            if kept and result.shape[new + 1 :].numel() == after:
                return new - result.ndim, self.marks
        raise _unknown("a change of shape that does not keep the axis of time")

    def _attention(self, result: Any, shape: Any) -> Timed:
        del result, shape
        parts = [self.all.get(id(one)) for one in self.args[:3]]
        mask, causal = self.argument(3, "attn_mask"), bool(self.argument(5, "is_causal", False))
        return -2, _attended(parts, -2, None if causal else mask)

    def _heads(self, result: Any, shape: Any) -> Timed:
        del result, shape
        # of torch.nn.MultiheadAttention: times first, and True forbids
        parts = [self.all.get(id(one)) for one in self.args[:3]]
        mask = self.named.get("attn_mask")
        if mask is not None and mask.dtype == torch.bool:
            mask = ~mask
        return -3, _attended(parts, -3, mask)


#: Which method knows an operation.
_SPECIAL = {
    "conv1d": "_convolution",
    "linear": "_linear",
    **dict.fromkeys(("matmul", "mm", "bmm", "rmatmul"), "_product"),
    "embedding": "_embedding",
    **dict.fromkeys(("layer_norm", "rms_norm"), "_normalised"),
    "batch_norm": "_batch_normalised",
    **dict.fromkeys(("softmax", "log_softmax", "glu", "mean", "sum", "amax"), "_along"),
    **dict.fromkeys(("cat", "chunk", "split"), "_along"),
    "getitem": "_index",
    "pad": "_padded",
    **dict.fromkeys(("transpose", "permute", "unsqueeze", "squeeze"), "_rearranged"),
    **dict.fromkeys(("reshape", "view", "flatten", "unflatten"), "_reshaped"),
    "scaled_dot_product_attention": "_attention",
    "multi_head_attention_forward": "_heads",
}


def _unknown(what: str) -> ValueError:
    return ValueError(
        f"{what} is not an operation whose times are known; needed convolutions, padding, slices, "
        "attention, and layers that act at every time by themselves"
    )


def _single(value: Any) -> int:
    return int(value[0]) if isinstance(value, (tuple, list)) else int(value)


def _merged(parts: list[Timed], result: Any) -> Timed:
    """Return the union of what stands at the same time, single times being spread."""
    axis = parts[0][0]
    if any(a != axis for a, _ in parts):
        raise _unknown("a sum of sequences with different axes of time")
    length = result.shape[axis]
    marks = np.zeros((length, parts[0][1].shape[1]), dtype=bool)
    for _, one in parts:
        if len(one) not in (1, length):
            raise _unknown("a sum of sequences of different lengths")
        marks |= one
    return axis, marks


def _attended(parts: list[Timed | None], axis: int, mask: Any) -> Marks:
    """Return the marks of attention: those of the query, and of all keys and values allowed."""
    if any(one is None or one[0] != axis for one in parts):
        raise _unknown("attention over another axis than that of time")
    query, key, value = (one[1] for one in parts if one is not None)
    if mask is None:
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
