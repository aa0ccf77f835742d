"""Where the parameters of a cell stand among named arrays, in every layout that is written back.

Main names: `Slot`, `StoredCell`, `SLOTS`.

A slot knows how its array is read: a function of the array that picks entries.  The same function
of the places of the entries says where to write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from theory.interop.layouts.onnx import rows_of
from theory.interop.layouts.torch import SHORT
from theory.typing import Array

Shape = tuple[int, ...]


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Slot:
    """Where a parameter, or some of its rows, stands in an array."""

    name: str
    parameter: str  # W, U, b or b_candidate
    shape: Shape  # of the array, where it has to be made
    pick: Callable[[Any], Any] = lambda array: array  # from the array to our rows
    first: int = 0  # the rows of the parameter, from here
    count: int | None = None  # so many, all by default
    sign: Array | None = None  # what our rows are times those stored
    offset: Array | None = None  # what our rows are beyond those stored

    def rows(self, total: int) -> slice:
        """Return the rows of the parameter that stand here."""
        return slice(self.first, total if self.count is None else self.first + self.count)

    def put(self, array: Any, value: Array, moved: Array) -> Any:
        """Return the array with the rows that moved replaced.

        Raises
        ------
        ValueError
            If its type cannot store a number.
        """
        array = np.array(array)
        places = self.pick(np.arange(array.size).reshape(array.shape))[moved]
        kept = value[moved]
        if self.offset is not None:
            kept = kept - self.offset[moved]
        if self.sign is not None:
            signs = self.sign[moved]
            kept = kept * (signs if kept.ndim == 1 else signs[:, None])
        flat = array.reshape(-1)
        with np.errstate(over="ignore"):
            flat[places] = kept
        read = flat[places].astype(np.float64)
        if self.offset is not None:
            read, kept = read + self.offset[moved], value[moved]
        if not np.array_equal(read, kept):
            raise ValueError(
                f"{self.name} has type {array.dtype}, which cannot store the projected numbers "
                "exactly; convert it to float64 or float32"
            )
        return array


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class StoredCell:
    """Where the parameters of one cell stand; the first slot is one of W."""

    layout: str
    slots: tuple[Slot, ...]

    @property
    def bias_terms(self) -> int:
        """Return how many numbers at most are summed to one of the bias."""
        here = [slot for slot in self.slots if slot.parameter == "b"]
        return max((sum(_meet(one, two) for two in here) for one in here), default=1)


def _meet(one: Slot, two: Slot) -> bool:
    ends = [np.inf if s.count is None else s.first + s.count for s in (one, two)]
    return bool(one.first < ends[1] and two.first < ends[0])


Names = Mapping[str, str]
Shapes = Mapping[str, Shape]


def _size(shape: Shape) -> tuple[int, int]:
    """Return the number of gates and of units of recurrent weights (g n, n)."""
    return shape[0] // shape[1], shape[1]


def _two_biases(
    gates: int, n: int, first: tuple[str, Shape, Any], second: tuple[str, Shape, Any]
) -> Iterator[Slot]:
    """Yield two biases that are summed, but for the candidate of a GRU, whose second is inside."""
    name, shape, pick = first
    yield Slot(name=name, parameter="b", shape=shape, pick=pick)
    name, shape, pick = second
    if gates != 3:
        yield Slot(name=name, parameter="b", shape=shape, pick=pick)
        return

    def gated(array: Any) -> Any:
        return pick(array)[: 2 * n]

    def inner(array: Any) -> Any:
        return pick(array)[2 * n :]

    yield Slot(name=name, parameter="b", shape=shape, pick=gated, count=2 * n)
    yield Slot(name=name, parameter="b_candidate", shape=shape, pick=inner)


def _all(array: Any) -> Any:
    return array


def _torch(names: Names, shapes: Shapes, start: str, variant: str | None) -> Iterator[Slot]:
    del variant
    recurrent = [key for key in names if key.startswith("weight_hh")]
    if len(recurrent) != 1:
        raise ValueError(
            f"the cell has {len(recurrent)} layers, needed one; a projection is of one layer"
        )
    (key,) = recurrent
    end = key.removeprefix("weight_hh")
    gates, n = _size(shapes[key])
    size = (gates * n,)
    yield Slot(name=names[key], parameter="W", shape=shapes[key])
    yield Slot(name=names[f"weight_ih{end}"], parameter="U", shape=())
    if "bias" in names:
        yield Slot(name=names["bias"], parameter="b", shape=size)
        if "bias_n" in names:
            yield Slot(name=names["bias_n"], parameter="b_candidate", shape=(n,))
        return
    named = [names.get(f"bias_{p}{end}", f"{start}bias_{p}{end}") for p in ("ih", "hh")]
    yield from _two_biases(gates, n, (named[0], size, _all), (named[1], size, _all))


def _short(names: Names, shapes: Shapes, start: str, variant: str | None) -> Iterator[Slot]:
    yield from _torch(
        {SHORT[key]: name for key, name in names.items()},
        {SHORT[key]: shape for key, shape in shapes.items()},
        start,
        variant,
    )


def _keras(names: Names, shapes: Shapes, start: str, variant: str | None) -> Iterator[Slot]:
    del start
    name = names["recurrent_kernel"]
    n, size = shapes["recurrent_kernel"]
    gates, m = size // n, shapes["kernel"][0]
    order = rows_of(n, gates) if gates == 3 else np.arange(size)
    bias = names.get("bias", name.replace("recurrent_kernel", "bias"))
    if shapes.get("bias") == (2 * size,) and gates > 1:
        # CuDNN's packing: every gate's block is stored row by row
        def block(array: Any, wide: int, high: int) -> Any:
            parts = [one.reshape(high, wide) for one in np.hsplit(array, gates)]
            return np.vstack(parts)[order]

        yield Slot(name=name, parameter="W", shape=(), pick=lambda a: block(a, n, n))
        yield Slot(name=names["kernel"], parameter="U", shape=(), pick=lambda a: block(a, m, n))
        first = bias, (2 * size,), lambda a: a[:size][order]
        yield from _two_biases(gates, n, first, (bias, (2 * size,), lambda a: a[size:][order]))
        return
    yield Slot(name=name, parameter="W", shape=(), pick=lambda a: a.T[order])
    yield Slot(name=names["kernel"], parameter="U", shape=(), pick=lambda a: a.T[order])
    # a GRU of Keras' default has two biases, also where they are still to be made
    two = len(shapes["bias"]) == 2 if "bias" in names else variant != "reset_before"
    if not (two and gates == 3):
        yield Slot(name=bias, parameter="b", shape=(size,), pick=lambda a: a[order])
        return
    both = bias, (2, size)
    yield from _two_biases(gates, n, (*both, lambda a: a[0][order]), (*both, lambda a: a[1][order]))


def _onnx(names: Names, shapes: Shapes, start: str, variant: str | None) -> Iterator[Slot]:
    _, size, n = shapes["R"]
    gates = size // n
    order = rows_of(n, gates)
    yield Slot(name=names["R"], parameter="W", shape=(), pick=lambda a: a[0][order])
    yield Slot(name=names["W"], parameter="U", shape=(), pick=lambda a: a[0][order])
    bias = names.get("B", f"{start}B"), (1, 2 * size)
    first = (*bias, lambda a: a[0][:size][order])
    second = (*bias, lambda a: a[0][size:][order])
    if gates == 3 and variant == "reset_before":
        yield Slot(name=first[0], parameter="b", shape=first[1], pick=first[2])
        yield Slot(name=second[0], parameter="b", shape=second[1], pick=second[2])
        return
    yield from _two_biases(gates, n, first, second)


def _flax(names: Names, shapes: Shapes, start: str, variant: str | None) -> Iterator[Slot]:
    del start, variant
    plain = {key.replace("/", ".").replace("if_", "if"): name for key, name in names.items()}
    sizes = {key.replace("/", ".").replace("if_", "if"): shape for key, shape in shapes.items()}
    if "dense_h.kernel" in plain:
        yield from _stacked_flax(plain, sizes)
        return
    order = next(
        gates for gates in (("r", "z", "n"), ("i", "f", "g", "o"), ("",))
        if f"h{gates[-1]}.kernel" in plain
    )  # fmt: skip
    n = sizes[f"h{order[-1]}.kernel"][0]
    for side, parameter in (("h", "W"), ("i", "U")):
        for at, gate in enumerate(order):
            name = plain[f"{side}{gate}.kernel"]
            yield Slot(
                name=name, parameter=parameter, shape=(), pick=np.transpose, first=at * n, count=n
            )
    for side in "hi":
        for at, gate in enumerate(order):
            name = plain.get(f"{side}{gate}.bias", "")
            if not name:
                continue
            inside = side == "h" and gate == "n"
            yield Slot(
                name=name,
                parameter="b_candidate" if inside else "b",
                shape=(n,),
                first=0 if inside else at * n,
                count=n,
            )


def _stacked_flax(names: Names, shapes: Shapes) -> Iterator[Slot]:
    """Yield the slots of dense_h and dense_i, of the cells of nnx with stacked gates."""
    n, size = shapes["dense_h.kernel"]
    for side, parameter in (("h", "W"), ("i", "U")):
        name = names[f"dense_{side}.kernel"]
        yield Slot(name=name, parameter=parameter, shape=(), pick=np.transpose)
    biases = [names.get(f"dense_{side}.bias", "") for side in "ih"]
    pair = [(name, (size,), _all) for name in biases]
    # what is not there has no room
    yield from (slot for slot in _two_biases(size // n, n, *pair) if slot.name)


def _haiku(names: Names, shapes: Shapes, start: str, variant: str | None) -> Iterator[Slot]:
    del start, variant
    plain = {key.lstrip("./"): name for key, name in names.items()}
    sizes = {key.lstrip("./"): shape for key, shape in shapes.items()}
    if "linear.w" in plain and "linear_1.w" not in plain:
        m, n = sizes["linear.w"][0] - sizes["linear.w"][1] // 4, sizes["linear.w"][1] // 4
        order = np.concatenate([np.arange(k * n, (k + 1) * n) for k in (0, 2, 1, 3)])
        one = np.concatenate([np.zeros(n), np.ones(n), np.zeros(2 * n)])
        name = plain["linear.w"]
        yield Slot(name=name, parameter="W", shape=(), pick=lambda a: a.T[order][:, m:])
        yield Slot(name=name, parameter="U", shape=(), pick=lambda a: a.T[order][:, :m])
        if "linear.b" in plain:
            yield Slot(
                name=plain["linear.b"],
                parameter="b",
                shape=(),
                pick=lambda a: a[order],
                offset=one,
            )
        return
    if "w_h" in plain:
        n = sizes["w_h"][0]
        order = rows_of(n, 3)
        sign = np.concatenate([np.ones(n), -np.ones(n), np.ones(n)])
        for key, parameter in (("w_h", "W"), ("w_i", "U")):
            yield Slot(
                name=plain[key], parameter=parameter, shape=(), pick=lambda a: a.T[order], sign=sign
            )
        if "b" in plain:
            yield Slot(name=plain["b"], parameter="b", shape=(), pick=lambda a: a[order], sign=sign)
        return
    name = plain["linear_1.w"]
    yield Slot(name=name, parameter="W", shape=(), pick=np.transpose)


def _own(names: Names, shapes: Shapes, start: str, variant: str | None) -> Iterator[Slot]:
    del variant
    linear = "A" in names
    w = "A" if linear else "W"
    size, n = shapes[w]
    yield Slot(name=names[w], parameter="W", shape=())
    u = "U" if "U" in names else "B"
    if u in names:
        yield Slot(name=names[u], parameter="U", shape=())
    b = next((names[key] for key in ("b", "bias") if key in names), "")
    made = b or f"{start}{'bias' if linear else 'b'}"
    yield Slot(name=made, parameter="b", shape=(size,))
    inner = names.get("b_candidate", f"{start}b_candidate")
    yield Slot(name=inner, parameter="b_candidate", shape=(n,))


SLOTS = {
    "torch": _torch,
    "short": _short,
    "keras": _keras,
    "onnx": _onnx,
    "flax": _flax,
    "haiku": _haiku,
    "own": _own,
}
