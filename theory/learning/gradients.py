r"""Exact gradients by reverse mode through time, of three different objects.

Main names: `recurrent_gradient`, `truncated_gradient`, `truncated_backprop_gradient`,
`input_gradients`, `Gradient`.

1. `recurrent_gradient`: of the recurrent model, which carries its state from the first input on.
2. `truncated_gradient`: of the k-step model, which *starts from zero k steps back*, at each time
   anew.  It is the gradient of a feed-forward model's loss.
3. `truncated_backprop_gradient`: what practitioners call truncated backpropagation.  The state is
   carried over, as in the recurrent model, but no derivative goes further back than k steps.  It is
   the gradient of no loss.

All three run the same loops on *windows*, the rows of `theory.kernels.cells`: one long window a
sequence, or one of k steps a time, started from zero or from the carried state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, final

import numpy as np

from theory.errors import DivergedError, check_count
from theory.learning.data import TrainingData
from theory.learning.reverse import Ints, Windows, loops_of
from theory.maps.base import Map, check_map
from theory.maps.head import LinearHead, own_head
from theory.shown import shown
from theory.typing import Array

#: Windows are cut into groups of sequences with at most this many entries of the state, so that
#: what one group stores (a few such arrays) stays near the cache.
GROUP_ENTRIES = 2**20


@shown
@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Gradient:
    """A loss and its derivatives."""

    loss: float  # sum weights * loss_t
    parameters: Mapping[str, Array]  # in the parameters of the map, by name
    head: Mapping[str, Array] = field(default_factory=dict)  # in C and d

    def vector(self, trained: tuple[str, ...] | None = None) -> Array:
        """Return the derivatives in the map's parameters, flat, in the order of their names."""
        names = tuple(self.parameters) if trained is None else trained
        return np.concatenate([self.parameters[name].ravel() for name in names])


@final
class _Sweep:
    """One map, one head and one data set, put together and checked."""

    def __init__(self, model: Map, head: Any, data: TrainingData, start: Any) -> None:
        check_map(model)
        if not isinstance(data, TrainingData):
            raise ValueError(f"data={data!r}, needed what theory.learning.training_data returns")
        self.cell = loops_of(model)
        head = own_head(model, head)
        self.model, self.head, self.data = model, head, data
        batch, T, m = data.inputs.shape
        if m != model.input_dim:
            raise ValueError(
                f"the inputs have width {m}, needed {model.input_dim} as the map has them"
            )
        self.readout = readout_of(model, head)
        wide = data.targets.ndim == 3
        if wide and data.targets.shape[2] != len(head.C):
            raise ValueError(
                f"the targets have width {data.targets.shape[2]}, needed {len(head.C)} as the head "
                "has outputs"
            )
        if not wide and not float(np.max(data.targets)) < len(head.C):
            raise ValueError(
                f"the largest label is {np.max(data.targets):g}, needed at most {len(head.C) - 1}: "
                f"the head has {len(head.C)} outputs"
            )
        n = model.state_dim
        self.start = np.zeros((batch, n)) if start is None else np.broadcast_to(start, (batch, n))
        self.full = np.ascontiguousarray(head.C @ self.readout)  # outputs from whole states
        live = np.flatnonzero(np.any(data.weights != 0, axis=0))
        self.begin = int(live[0]) if len(live) else T  # the first time with a loss

    def groups(self, entries: int) -> Iterator[slice]:
        """Yield slices of sequences whose windows have about so many entries each."""
        batch = len(self.data.inputs)
        size = max(1, GROUP_ENTRIES // max(entries, 1))
        for low in range(0, batch, size):
            yield slice(low, min(low + size, batch))

    def times(self, part: slice) -> tuple[Array, Array, Array]:
        """Return inputs, targets and weights of a group, time before sequence."""
        data = self.data
        return (
            np.ascontiguousarray(data.inputs[part].swapaxes(0, 1)),
            data.targets[part].swapaxes(0, 1),
            data.weights[part].swapaxes(0, 1),
        )

    def of_outputs(self, H: Array, targets: Array, weights: Array) -> tuple[float, Array, Array]:
        """Return the loss of states (..., n), its derivatives in them, and in the outputs."""
        Y = H @ self.full.T + self.head.d
        loss = float(np.sum(weights * self.data.loss.value(Y, targets)))
        g = self.data.loss.gradient(Y, targets)
        g *= weights[..., None]
        return loss, g @ self.full, g

    def add_up(self, parts: Iterator[tuple[float, dict[str, Array], dict[str, Array]]]) -> Gradient:
        """Return the sum over groups."""
        loss = 0.0
        total = {name: np.zeros_like(value) for name, value in self.model.parameters.items()}
        head = {"C": np.zeros_like(self.head.C), "d": np.zeros_like(self.head.d)}
        for value, found, of_head in parts:
            loss += value
            for name in found:
                total[name] += found[name]
            for name in of_head:
                head[name] += of_head[name]
        derivatives = [*total.values(), *head.values()]
        if not (np.isfinite(loss) and all(np.isfinite(d).all() for d in derivatives)):
            raise DivergedError(
                "the gradient left the range of double precision; the model is unstable on these "
                "inputs: scale the recurrent weights down, or shorten the sequences"
            )
        return Gradient(loss=loss, parameters=MappingProxyType(total), head=MappingProxyType(head))

    def head_part(self, H: Array, g: Array) -> dict[str, Array]:
        flat, states = g.reshape(-1, g.shape[-1]), H.reshape(-1, H.shape[-1])
        return {"C": (flat.T @ states) @ self.readout.T, "d": flat.sum(axis=0)}

    def along(self, cut_every: int | None) -> Iterator[tuple[float, dict[str, Array], Any]]:
        """Yield the parts of one window a sequence, cut every so many steps."""
        T = self.data.inputs.shape[1]
        for part in self.groups(T * self.model.state_dim):
            X, targets, weights = self.times(part)
            B = X.shape[1]
            rows = Windows(
                first=np.zeros(T, dtype=np.int64),
                source=np.arange(T, dtype=np.int64) * B,
                cut=np.zeros(T, dtype=bool) if cut_every is None else np.arange(T) % cut_every == 0,
                start=self.start[part],
            )
            flat = X.reshape(T * B, -1)
            H, tape = self.cell.forward(self.cell.terms(flat), rows)
            loss, G, g = self.of_outputs(H[1:], targets, weights)
            D, found = self.cell.backward(np.ascontiguousarray(G), tape, rows)
            found |= self.cell.from_terms(D.reshape(T * B, -1), flat)
            yield loss, found, self.head_part(H[1:], g)

    def windows(self, k: int, *, carried: bool) -> Iterator[tuple[float, dict[str, Array], Any]]:
        """Yield the parts of a window of k steps a time, from zero or from the carried state."""
        T, n = self.data.inputs.shape[1], self.model.state_dim
        S = min(k, T)
        for part in self.groups(max(S, 1) * (T - self.begin) * n):
            X, targets, weights = self.times(part)
            B = X.shape[1]
            ends = np.arange(self.begin, T)
            # window of the end t: inputs t - S + 1 .. t; where that is negative it has not begun
            begun = np.maximum(self.begin, S - 1 - np.arange(S))
            rows = Windows(
                first=(begun - self.begin) * B,
                source=(begun - S + 1 + np.arange(S)) * B,
                cut=np.zeros(S, dtype=bool),
                start=self._starts(X, part, ends, S, k, carried).reshape(-1, n),
            )
            flat = X.reshape(T * B, -1)
            H, tape = self.cell.forward(self.cell.terms(flat), rows)
            last = H[-1].reshape(len(ends), B, n)
            loss, G, g = self.of_outputs(last, targets[self.begin :], weights[self.begin :])
            found: dict[str, Array] = {}
            if S > 0 and len(ends) > 0:
                D, found = self.cell.backward(np.ascontiguousarray(G.reshape(1, -1, n)), tape, rows)
                total = np.zeros((T * B, D.shape[-1]))
                for s in range(S):
                    used = D[s, rows.first[s] :]
                    total[rows.source[s] : rows.source[s] + len(used)] += used
                found |= self.cell.from_terms(total, flat)
            yield loss, found, self.head_part(last, g)

    def _starts(self, X: Array, part: slice, ends: Ints, S: int, k: int, carried: bool) -> Array:
        """Return where the windows of these ends start, (ends, B, n)."""
        start = np.asarray(self.start[part])
        if not carried:
            # a window that reaches back to the first input starts where the recurrent model does
            starts = np.zeros((len(ends), *start.shape))
            starts[ends < k] = start
            return starts
        states = self.model.simulate(X.swapaxes(0, 1), start).swapaxes(0, 1)
        past = np.concatenate([start[None], states])
        picked: Array = past[np.maximum(ends - S + 1, 0)]
        return picked


def readout_of(model: Map, head: LinearHead) -> Array:
    """Return the part of the state that a head sees, as a matrix (width, state_dim).

    That is `Map.output_map`; a head as wide as the state sees all of it.
    """
    return np.eye(model.state_dim) if head.C.shape[1] == model.state_dim else model.output_map


def recurrent_gradient(
    recurrent: Map, head: Any, data: TrainingData, *, start: Any = None
) -> Gradient:
    r"""Return the loss of the recurrent model and its gradient.

    Parameters
    ----------
    recurrent : Map
        A `LinearMap`, `VanillaRNN`, `LSTM` or `GRU`.
    head : LinearHead, array, or output layer
        Of the state or of what `Map.output_map` shows of it, see `theory.maps.as_head`.
        Its outputs are compared with the targets.
    data : TrainingData
        See `training_data`.
    start : (n,) or (batch, n) array, optional
        The state before the first input, zero by default; a constant.

    Returns
    -------
    Gradient

    Raises
    ------
    ValueError
        If the map is of another kind, or shapes or labels do not fit together.
    DivergedError
        If the loss or a derivative leaves the range of double precision.

    Examples
    --------
    h_2 = a + 1 under inputs 1, 1, so that d h_2 / d a = 1:

    >>> from theory import LinearHead, LinearMap
    >>> from theory.learning import training_data
    >>> data = training_data([[1.0], [1.0]], [[1.0], [1.0]], loss="linear", at="last")
    >>> g = recurrent_gradient(LinearMap([[0.5]], [[1.0]]), LinearHead([[1.0]]), data)
    >>> g.loss, g.parameters["W"].tolist()
    (1.5, [[1.0]])
    """
    sweep = _Sweep(recurrent, head, data, start)
    with np.errstate(over="ignore", invalid="ignore"):
        return sweep.add_up(sweep.along(None))


def truncated_gradient(
    recurrent: Map, head: Any, data: TrainingData, *, k: int, start: Any = None
) -> Gradient:
    r"""Return the loss of the k-step model and its gradient.

    The model starts from zero k steps before each time at which its output is compared; for the
    first k times it is the recurrent model.

    Parameters
    ----------
    recurrent, head, data, start
        As for `recurrent_gradient`.
    k : int
        How many inputs it sees; from T on it is the recurrent model.

    Returns
    -------
    Gradient

    Raises
    ------
    ValueError
        As `recurrent_gradient`; also if k is not a count.
    DivergedError
        If the loss or a derivative leaves the range of double precision.

    Examples
    --------
    >>> from theory import LinearHead, LinearMap
    >>> from theory.learning import training_data
    >>> data = training_data([[1.0], [1.0]], [[1.0], [1.0]], loss="linear", at="last")
    >>> g = truncated_gradient(LinearMap([[0.5]], [[1.0]]), LinearHead([[1.0]]), data, k=1)
    >>> g.loss, g.parameters["W"].tolist()
    (1.0, [[0.0]])
    """
    check_map(recurrent)
    check_count(k=k)
    sweep = _Sweep(recurrent, head, data, start)
    with np.errstate(over="ignore", invalid="ignore"):
        return sweep.add_up(sweep.windows(int(k), carried=False))


def truncated_backprop_gradient(
    recurrent: Map,
    head: Any,
    data: TrainingData,
    *,
    k: int,
    stride: int = 1,
    start: Any = None,
) -> Gradient:
    r"""Return what backpropagation gives when it is cut: the state is carried, derivatives are not.

    Parameters
    ----------
    recurrent, head, data, start
        As for `recurrent_gradient`, whose loss this is.
    k : int
        How many steps back each derivative goes, at most.
    stride : int
        1 cuts exactly k steps before each time, so that `truncated_backprop_bias` bounds the bias
        at each.  k is the common practice: the sequence is cut into pieces of k steps, and a time
        keeps the 1 to k steps of its own piece.

    Returns
    -------
    Gradient
        The loss of the recurrent model; the derivatives are those of no loss.

    Raises
    ------
    ValueError
        As `recurrent_gradient`; also if k is not a positive count, or the stride is neither 1
        nor k.
    DivergedError
        If the loss or a derivative leaves the range of double precision.

    Examples
    --------
    >>> from theory import LinearHead, LinearMap
    >>> from theory.learning import training_data
    >>> data = training_data([[1.0], [1.0]], [[1.0], [1.0]], loss="linear", at="last")
    >>> model, head = LinearMap([[0.5]], [[1.0]]), LinearHead([[1.0]])
    >>> g = truncated_backprop_gradient(model, head, data, k=1)
    >>> g.loss, g.parameters["W"].tolist(), g.parameters["b"].tolist()
    (1.5, [[1.0]], [1.0])
    """
    check_map(recurrent)
    check_count(at_least=1, k=k, stride=stride)
    if stride not in {1, k}:
        raise ValueError(f"stride={stride}, needed 1 or k={k}")
    sweep = _Sweep(recurrent, head, data, start)
    with np.errstate(over="ignore", invalid="ignore"):
        if stride == 1:
            return sweep.add_up(sweep.windows(int(k), carried=True))
        return sweep.add_up(sweep.along(int(k)))


def input_gradients(recurrent: Map, head: Any, data: TrainingData) -> Array:
    r"""Return the derivatives of the recurrent model's loss in all inputs.

    Parameters
    ----------
    recurrent, head, data
        As for `recurrent_gradient`; with ``at="last"`` the result shows how the derivative of one
        loss fades with the lag.

    Returns
    -------
    (batch, T, m) array

    Raises
    ------
    ValueError
        As `recurrent_gradient`.

    Examples
    --------
    >>> from theory import LinearHead, LinearMap
    >>> from theory.learning import training_data
    >>> data = training_data([[1.0], [1.0]], [[1.0], [1.0]], loss="linear", at="last")
    >>> input_gradients(LinearMap([[0.5]], [[1.0]]), LinearHead([[1.0]]), data).ravel().tolist()
    [0.5, 1.0]
    """
    sweep = _Sweep(recurrent, head, data, None)
    batch, T, m = data.inputs.shape
    found = np.empty((T, batch, m))
    rows = Windows(
        first=np.zeros(T, dtype=np.int64),
        source=np.arange(T, dtype=np.int64) * batch,
        cut=np.zeros(T, dtype=bool),
        start=np.asarray(sweep.start),
    )
    X, targets, weights = sweep.times(slice(None))
    with np.errstate(over="ignore", invalid="ignore"):
        H, tape = sweep.cell.forward(sweep.cell.terms(X.reshape(T * batch, m)), rows)
        _, G, _ = sweep.of_outputs(H[1:], targets, weights)
        D, _ = sweep.cell.backward(np.ascontiguousarray(G), tape, rows)
        np.matmul(D, sweep.cell.input_weights, out=found)
    if not np.isfinite(found).all():
        raise DivergedError(
            "a derivative left the range of double precision; the model is unstable on these inputs"
        )
    return found.swapaxes(0, 1)
