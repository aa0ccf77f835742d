r"""Exact gradients by reverse mode through time, of three different objects.

Main names: `recurrent_gradient`, `truncated_gradient`, `truncated_backprop_gradient`,
`input_gradients`, `training_data`, `TrainingData`, `Gradient`.

1. `recurrent_gradient`: of the recurrent model, which carries its state from the first input on.
2. `truncated_gradient`: of the k-step model, which *starts from zero k steps back*, at each time
   anew.  It is the gradient of a feed-forward model's loss.
3. `truncated_backprop_gradient`: what practitioners call truncated backpropagation.  The state is
   carried over, as in the recurrent model, but no derivative goes further back than k steps.  It is
   the gradient of no loss.

All three run the same loops on *windows*, the rows of `theory.kernels.loops`: one long window a
sequence, or one of k steps a time, started from zero or from the carried state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, final

import numpy as np
import numpy.typing as npt

from theory.errors import DivergedError, as_array, as_sequences, check_count
from theory.losses import Loss, look_up
from theory.maps.base import Affine, Map
from theory.truncation import LinearHead
from theory.typing import Array

Ints = npt.NDArray[np.int64]

#: Windows are cut into groups of sequences with at most this many entries of the state, so that
#: what one group stores (a few such arrays) stays near the cache.
GROUP_ENTRIES = 2**20


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingData:
    """Inputs, targets, and how the losses of single times add up; made by `training_data`."""

    inputs: Array  # x, (batch, T, m)
    targets: Array  # (batch, T, p), or labels (batch, T)
    loss: Loss
    weights: Array  # the loss is sum weights * loss_t, (batch, T)


def training_data(
    inputs: Any,
    targets: Any,
    *,
    loss: str | Loss = "squared",
    width: int | None = None,
    at: str = "every",
    weights: Any = None,
) -> TrainingData:
    r"""Return checked training data.

    Parameters
    ----------
    inputs : (T, m) or (batch, T, m) array
    targets : (T, p) or (batch, T, p) array; (T,) or (batch, T) labels for the cross entropy
        What the output after each input is compared with.
    loss : str or Loss
        ``squared``, ``cross_entropy`` (softmax), ``bernoulli`` (logistic) or ``linear``.
    width : int, optional
        p, the number of outputs; needed for labels, where the targets do not show it.
    at : str
        ``every``: the mean over all times and sequences; ``last``: the mean over sequences of the
        loss after the last input.
    weights : (T,) or (batch, T) array, optional
        Instead of `at`: the loss is sum weights * loss_t.  Zeros leave out the padding of short
        sequences.

    Returns
    -------
    TrainingData

    Raises
    ------
    ValueError
        If a shape does not fit, a label or a target is out of its range, or there is no input.

    Examples
    --------
    >>> training_data([[1.0], [0.0]], [[1.0], [0.5]], at="last").weights.tolist()
    [[0.0, 1.0]]
    """
    chosen = look_up(loss)
    raw = as_array("inputs", inputs, ndim=(2, 3))
    X = as_sequences("inputs", raw if raw.ndim == 3 else raw[None], width=raw.shape[-1])
    batch, T = X.shape[:2]
    if batch == 0 or T == 0 or X.shape[2] == 0:
        raise ValueError(f"inputs has shape {raw.shape}, needed at least one input to learn from")
    goal = as_array("targets", targets)
    goal = goal[None] if raw.ndim == 2 else goal
    if width is None:
        if chosen.name == "cross_entropy":
            raise ValueError("width=None, needed the number of outputs for labels")
        width = goal.shape[-1] if goal.ndim == 3 else 1
    check_count(at_least=1, width=width)
    goal = chosen.targets(goal, (batch, T), int(width))
    if weights is not None:
        share = as_array("weights", weights, ndim=(1, 2))
        if share.shape not in {(T,), (batch, T)}:
            raise ValueError(f"weights has shape {share.shape}, needed ({T},) or ({batch}, {T})")
        share = np.broadcast_to(share, (batch, T)).copy()
    elif at == "every":
        share = np.full((batch, T), 1.0 / (batch * T))
    elif at == "last":
        share = np.zeros((batch, T))
        share[:, -1] = 1.0 / batch
    else:
        raise ValueError(f"at={at!r}, needed 'every' or 'last', or weights of your own")
    for array in (X, goal, share):
        array.flags.writeable = False
    return TrainingData(inputs=X, targets=goal, loss=chosen, weights=share)


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


# cells --------------------------------------------------------------------------------------------


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Windows:
    """Which steps belong to which rows; see `theory.kernels.loops`."""

    first: Ints  # at each step, the first row that has begun, (S,)
    source: Ints  # at each step, the row of the input terms of that row, (S,)
    cut: npt.NDArray[np.bool_]  # after which steps nothing is carried back, (S,)
    start: Array  # H_0, (R, state_dim)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Cell:
    """A kind of map, by its terms, its loops, and what derivatives they give."""

    terms: Callable[[Array], Array]  # inputs (N, m) to input terms (N, q)
    forward: Callable[[Array, _Windows], tuple[Array, Any]]  # states (S + 1, R, n), and a tape
    # derivatives in the states to those in the terms, (S, R, q), and in the parameters but for U
    backward: Callable[[Array, Any, _Windows], tuple[Array, dict[str, Array]]]
    from_terms: Callable[[Array, Array], dict[str, Array]]  # (N, q) and inputs: U, b and the like
    input_weights: Array  # d terms / d x, (q, m)


def _affine_cell(form: Affine, names: tuple[str, str, str]) -> _Cell:
    from theory.kernels.loops import affine_adjoints, affine_windows

    W, WT = np.ascontiguousarray(form.W), np.ascontiguousarray(form.W.T)
    n = len(W)

    def forward(terms: Array, rows: _Windows) -> tuple[Array, Any]:
        S, R = len(rows.first), len(rows.start)
        H, slope = np.empty((S + 1, R, n)), np.empty((S, R, n))
        H[0] = rows.start
        rho = form.rho
        affine_windows(WT, terms, rows.first, rows.source, rho.code, rho.leak, H, slope)
        return H, (H, slope)

    def backward(G: Array, tape: Any, rows: _Windows) -> tuple[Array, dict[str, Array]]:
        H, slope = tape
        D = np.empty_like(slope)
        affine_adjoints(W, G, slope, rows.cut, D)
        return D, {names[0]: D.reshape(-1, n).T @ H[:-1].reshape(-1, n)}

    def from_terms(D: Array, X: Array) -> dict[str, Array]:
        return {names[1]: D.T @ X, names[2]: D.sum(axis=0)}

    return _Cell(
        terms=lambda X: X @ form.U.T + form.b,
        forward=forward,
        backward=backward,
        from_terms=from_terms,
        input_weights=form.U,
    )


def _lstm_cell(model: Any) -> _Cell:
    from theory.kernels.loops import lstm_adjoints, lstm_windows

    p = model.parameters
    W, WT = np.ascontiguousarray(p["W"]), np.ascontiguousarray(p["W"].T)
    n = W.shape[1]

    def forward(terms: Array, rows: _Windows) -> tuple[Array, Any]:
        S, R = len(rows.first), len(rows.start)
        H, C = np.empty((S + 1, R, n)), np.empty((S + 1, R, n))
        C[0], H[0] = rows.start[:, :n], rows.start[:, n:]
        gates, tc = np.empty((S, R, 4 * n)), np.empty((S, R, n))
        lstm_windows(WT, terms, rows.first, rows.source, H, C, gates, tc)
        return np.concatenate([C, H], axis=-1), (H, C, gates, tc)

    def backward(G: Array, tape: Any, rows: _Windows) -> tuple[Array, dict[str, Array]]:
        H, C, gates, tc = tape
        D = np.empty_like(gates)
        lstm_adjoints(W, G, C, gates, tc, rows.first, rows.cut, D)
        return D, {"W": D.reshape(-1, 4 * n).T @ H[:-1].reshape(-1, n)}

    return _Cell(
        terms=lambda X: X @ p["U"].T + p["b"],
        forward=forward,
        backward=backward,
        from_terms=lambda D, X: {"U": D.T @ X, "b": D.sum(axis=0)},
        input_weights=p["U"],
    )


def _gru_cell(model: Any) -> _Cell:
    from theory.kernels.loops import gru_adjoints, gru_windows

    p = model.parameters
    after = model.variant == "reset_after"
    W = np.ascontiguousarray(p["W"])
    n = W.shape[1]
    Wn = np.ascontiguousarray(W[2 * n :])
    WT, WnT = np.ascontiguousarray(W.T if after else W[: 2 * n].T), np.ascontiguousarray(Wn.T)
    back = W if after else np.ascontiguousarray(W[: 2 * n])
    bc = np.ascontiguousarray(p["b_candidate"]) if "b_candidate" in p else np.zeros(n)

    def forward(terms: Array, rows: _Windows) -> tuple[Array, Any]:
        S, R = len(rows.first), len(rows.start)
        H = np.empty((S + 1, R, n))
        H[0] = rows.start
        gates, inner = np.empty((S, R, 3 * n)), np.empty((S, R, n))
        gru_windows(WT, WnT, bc, after, terms, rows.first, rows.source, H, gates, inner)
        return H, (H, gates, inner)

    def backward(G: Array, tape: Any, rows: _Windows) -> tuple[Array, dict[str, Array]]:
        H, gates, inner = tape
        D, E = np.empty_like(gates), np.empty_like(gates)
        gru_adjoints(back, Wn, after, G, H, gates, inner, rows.first, rows.cut, D, E)
        flat, states = E.reshape(-1, 3 * n), H[:-1].reshape(-1, n)
        if after:
            found = {"W": flat.T @ states}
        else:
            reset = inner.reshape(-1, n)
            found = {"W": np.vstack([flat[:, : 2 * n].T @ states, flat[:, 2 * n :].T @ reset])}
        if "b_candidate" in p:
            found["b_candidate"] = flat[:, 2 * n :].sum(axis=0)
            if not after:
                found["b_candidate"][:] = 0.0
        return D, found

    return _Cell(
        terms=lambda X: X @ p["U"].T + p["b"],
        forward=forward,
        backward=backward,
        from_terms=lambda D, X: {"U": D.T @ X, "b": D.sum(axis=0)},
        input_weights=p["U"],
    )


def _cell(model: Map) -> _Cell:
    """Return the loops of a map.

    Raises
    ------
    ValueError
        If the library has none for this kind of map.
    """
    form = model.affine()
    names = tuple(model.parameters)
    if form is not None and len(names) == 3:
        return _affine_cell(form, (names[0], names[1], names[2]))
    kind = type(model).__name__
    if kind == "LSTM":
        return _lstm_cell(model)
    if kind == "GRU":
        return _gru_cell(model)
    raise ValueError(
        f"gradients of {model!r} are not available, needed a LinearMap, VanillaRNN, LSTM or GRU"
    )


# sweeps -------------------------------------------------------------------------------------------


@final
class _Sweep:
    """One map, one head and one data set, put together and checked."""

    def __init__(self, model: Map, head: LinearHead, data: TrainingData, start: Any) -> None:
        if not isinstance(data, TrainingData):
            raise ValueError(f"data={data!r}, needed what theory.training_data returns")
        self.cell = _cell(model)
        self.model, self.head, self.data = model, head, data
        batch, T, m = data.inputs.shape
        if m != model.input_dim:
            raise ValueError(
                f"the inputs have width {m}, needed {model.input_dim} as the map has them"
            )
        self.readout = readout_of(model, head)
        if head.C.shape[1] != len(self.readout):
            raise ValueError(
                f"head has C of shape {head.C.shape}, needed (p, {len(self.readout)}) for this map"
            )
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
            rows = _Windows(
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
            rows = _Windows(
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
    model: Map, head: LinearHead, data: TrainingData, *, start: Any = None
) -> Gradient:
    r"""Return the loss of the recurrent model and its gradient.

    Parameters
    ----------
    model : Map
        A `LinearMap`, `VanillaRNN`, `LSTM` or `GRU`.
    head : LinearHead
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
    >>> data = training_data([[1.0], [1.0]], [[1.0], [1.0]], loss="linear", at="last")
    >>> g = recurrent_gradient(LinearMap([[0.5]], [[1.0]]), LinearHead([[1.0]]), data)
    >>> g.loss, g.parameters["A"].tolist()
    (1.5, [[1.0]])
    """
    sweep = _Sweep(model, head, data, start)
    with np.errstate(over="ignore", invalid="ignore"):
        return sweep.add_up(sweep.along(None))


def truncated_gradient(
    model: Map, head: LinearHead, data: TrainingData, *, k: int, start: Any = None
) -> Gradient:
    r"""Return the loss of the k-step model and its gradient.

    The model starts from zero k steps before each time at which its output is compared; for the
    first k times it is the recurrent model.

    Parameters
    ----------
    model, head, data, start
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
    >>> data = training_data([[1.0], [1.0]], [[1.0], [1.0]], loss="linear", at="last")
    >>> g = truncated_gradient(LinearMap([[0.5]], [[1.0]]), LinearHead([[1.0]]), data, k=1)
    >>> g.loss, g.parameters["A"].tolist()
    (1.0, [[0.0]])
    """
    check_count(k=k)
    sweep = _Sweep(model, head, data, start)
    with np.errstate(over="ignore", invalid="ignore"):
        return sweep.add_up(sweep.windows(int(k), carried=False))


def truncated_backprop_gradient(
    model: Map,
    head: LinearHead,
    data: TrainingData,
    *,
    k: int,
    stride: int = 1,
    start: Any = None,
) -> Gradient:
    r"""Return what backpropagation gives when it is cut: the state is carried, derivatives are not.

    Parameters
    ----------
    model, head, data, start
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
    >>> data = training_data([[1.0], [1.0]], [[1.0], [1.0]], loss="linear", at="last")
    >>> model, head = LinearMap([[0.5]], [[1.0]]), LinearHead([[1.0]])
    >>> g = truncated_backprop_gradient(model, head, data, k=1)
    >>> g.loss, g.parameters["A"].tolist(), g.parameters["bias"].tolist()
    (1.5, [[1.0]], [1.0])
    """
    check_count(at_least=1, k=k, stride=stride)
    if stride not in {1, k}:
        raise ValueError(f"stride={stride}, needed 1 or k={k}")
    sweep = _Sweep(model, head, data, start)
    with np.errstate(over="ignore", invalid="ignore"):
        if stride == 1:
            return sweep.add_up(sweep.windows(int(k), carried=True))
        return sweep.add_up(sweep.along(int(k)))


def input_gradients(model: Map, head: LinearHead, data: TrainingData) -> Array:
    r"""Return the derivatives of the recurrent model's loss in all inputs.

    Parameters
    ----------
    model, head, data
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
    >>> data = training_data([[1.0], [1.0]], [[1.0], [1.0]], loss="linear", at="last")
    >>> input_gradients(LinearMap([[0.5]], [[1.0]]), LinearHead([[1.0]]), data).ravel().tolist()
    [0.5, 1.0]
    """
    sweep = _Sweep(model, head, data, None)
    batch, T, m = data.inputs.shape
    found = np.empty((T, batch, m))
    rows = _Windows(
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
