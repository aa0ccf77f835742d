r"""One step of every map, written once in operations that other programs have, too.

Main names: `Program`, `Numbers`, `step_of`, `check_known`.

`to_onnx` and `theory.torch.to_torch` run these recipes with nodes of a graph and with tensors;
`Numbers` runs them with arrays, to be compared with `Map.step`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import numpy as np
import numpy.typing as npt

from theory.arithmetic.activations import Activation
from theory.arithmetic.hard import LOGISTIC, Gate, gate_of
from theory.maps.base import Map
from theory.maps.cascade import Cascade
from theory.maps.diagonal import DiagonalSSM
from theory.maps.esn import EchoStateNetwork
from theory.maps.exponential import SLSTM
from theory.maps.gru import GRU
from theory.maps.hard_gru import HardGRU
from theory.maps.linear import LinearMap
from theory.maps.lstm import LSTM
from theory.maps.mingru import MinGRU
from theory.maps.peephole import PeepholeLSTM
from theory.maps.rglru import RGLRU
from theory.maps.rnn import VanillaRNN
from theory.maps.selective import SelectiveSSM

#: Beyond it exp(-s) is less than what s, or 1, is rounded by in double precision: 37 would do.
_FAR = 40.0


class Program(ABC):
    """What a recipe needs of a program: values, and operations on them along the last axis."""

    @abstractmethod
    def constant(self, array: Any) -> Any:
        """Return an array as a value."""

    @abstractmethod
    def two(self, name: str, a: Any, b: Any) -> Any:
        """Return add, sub, mul, div, maximum or minimum of two values."""

    @abstractmethod
    def one(self, name: str, a: Any) -> Any:
        """Return sigmoid, tanh, exp, log, sqrt, abs or sin of a value."""

    @abstractmethod
    def chosen(self, test: Any, a: Any, b: Any) -> Any:
        """Return a where the test is above 0, and b elsewhere."""

    @abstractmethod
    def linear(self, x: Any, W: Any) -> Any:
        """Return x W^T."""

    @abstractmethod
    def rows(self, W: Any, first: int, last: int) -> Any:
        """Return some rows of a matrix or entries of a vector."""

    @abstractmethod
    def flat(self, W: Any) -> Any:
        """Return the entries of a matrix, row by row."""

    @abstractmethod
    def part(self, x: Any, first: int, last: int) -> Any:
        """Return some entries along the last axis."""

    @abstractmethod
    def joined(self, parts: Sequence[Any]) -> Any:
        """Return values one after another along the last axis."""


@final
class Numbers(Program):
    """Arrays of NumPy, of one type."""

    def __init__(self, dtype: npt.DTypeLike = np.float64) -> None:
        self.dtype = dtype

    def constant(self, array: Any) -> Any:
        """Return the array in that type."""
        return np.asarray(array, dtype=self.dtype)

    def two(self, name: str, a: Any, b: Any) -> Any:
        """Return an operation of two arrays."""
        return getattr(np, {"sub": "subtract", "mul": "multiply", "div": "divide"}.get(name, name))(
            a, b
        )

    def one(self, name: str, a: Any) -> Any:
        """Return an operation of an array."""
        return 1.0 / (1.0 + np.exp(-a)) if name == "sigmoid" else getattr(np, name)(a)

    def chosen(self, test: Any, a: Any, b: Any) -> Any:
        """Return entries of both."""
        return np.where(test > 0.0, a, b)

    def linear(self, x: Any, W: Any) -> Any:
        """Return x W^T."""
        return x @ W.T

    def rows(self, W: Any, first: int, last: int) -> Any:
        """Return rows."""
        return W[first:last]

    def flat(self, W: Any) -> Any:
        """Return the entries row by row."""
        return W.reshape(-1)

    def part(self, x: Any, first: int, last: int) -> Any:
        """Return entries."""
        return x[..., first:last]

    def joined(self, parts: Sequence[Any]) -> Any:
        """Return arrays one after another."""
        return np.concatenate(parts, axis=-1)


@final
class _Words:
    """A program with short words for what recipes do."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.linear, self.rows = program.linear, program.rows
        self.part, self.joined = program.part, program.joined

    def number(self, value: float) -> Any:
        return self.program.constant(np.array(value))

    def add(self, *terms: Any) -> Any:
        total = terms[0]
        for term in terms[1:]:
            total = self.program.two("add", total, term)
        return total

    def mul(self, *factors: Any) -> Any:
        total = factors[0]
        for factor in factors[1:]:
            total = self.program.two("mul", total, factor)
        return total

    def minus(self, a: Any, b: Any) -> Any:
        return self.program.two("sub", a, b)

    def rest(self, a: Any) -> Any:
        """Return 1 - a."""
        return self.minus(self.number(1.0), a)

    def one(self, name: str, a: Any) -> Any:
        return self.program.one(name, a)

    def softplus(self, a: Any) -> Any:
        """Return max(a, 0) + log(1 + exp(-|a|))."""
        small = self.one("exp", self.minus(self.number(0.0), self.one("abs", a)))
        above = self.program.two("maximum", a, self.number(0.0))
        return self.add(above, self.log1p(small))

    def log1p(self, a: Any) -> Any:
        """Return log(1 + a) for a in [0, 1], to a few units of it.

        What 1 + a is rounded by is known without an error, and log(u + c) = log(u) + c / u up to
        c^2 / 2, a unit of log(1 + a) at most.
        """
        u = self.add(self.number(1.0), a)
        c = self.minus(a, self.minus(u, self.number(1.0)))
        return self.add(self.one("log", u), self.program.two("div", c, u))

    def gone(self, s: Any) -> Any:
        """Return 1 - exp(-s) for s >= 0, to a few units of it.

        Kahan's quotient: (1 - u) / -log(u) is nearly 1 for u near 1, so that it does not matter
        what u = exp(-s) is rounded by; s itself where that is 1.
        """
        two, zero = self.program.two, self.number(0.0)
        s = two("minimum", s, self.number(_FAR))
        u = self.one("exp", self.minus(zero, s))
        v = self.rest(u)
        # slopes are numbers in both: no quotient has the divisor 0
        divisor = self.program.chosen(v, self.minus(zero, self.one("log", u)), self.number(1.0))
        return self.program.chosen(v, self.mul(s, two("div", v, divisor)), s)

    def applied(self, rho: Activation, a: Any) -> Any:
        """Return the activation of a value."""
        if rho.name == "identity":
            return a
        if rho.name in {"tanh", "sigmoid", "sin"}:
            return self.one(rho.name, a)
        if rho.name == "softplus":
            return self.softplus(a)
        two, zero = self.program.two, self.number(0.0)
        if rho.name == "relu":
            return two("maximum", a, zero)
        if rho.name == "hard_tanh":
            return two("minimum", two("maximum", a, self.number(-1.0)), self.number(1.0))
        if rho.name.startswith("leaky_relu"):
            below = self.mul(self.number(rho.leak), two("minimum", a, zero))
            return self.add(two("maximum", a, zero), below)
        raise ValueError(f"the activation {rho.name} is written for no other program yet")


Values = Mapping[str, Any]


def _affine(ops: _Words, p: Values, h: Any, x: Any) -> Any:
    return ops.add(ops.linear(h, p["W"]), ops.linear(x, p["U"]), p["b"])


def _linear(ops: _Words, _: LinearMap, p: Values, h: Any, x: Any) -> Any:
    return _affine(ops, p, h, x)


def _rnn(ops: _Words, recurrent: VanillaRNN, p: Values, h: Any, x: Any) -> Any:
    return ops.applied(recurrent.activation, _affine(ops, p, h, x))


def _leaky(ops: _Words, recurrent: EchoStateNetwork, p: Values, h: Any, x: Any) -> Any:
    new = ops.applied(recurrent.activation, _affine(ops, p, h, x))
    return ops.add(ops.mul(ops.rest(p["leak"]), h), ops.mul(p["leak"], new))


def _lstm(ops: _Words, recurrent: LSTM, p: Values, h: Any, x: Any) -> Any:
    n = recurrent.units
    cell, shown = ops.part(h, 0, n), ops.part(h, n, 2 * n)
    a = _affine(ops, p, shown, x)
    i, f, g, o = (ops.part(a, k * n, (k + 1) * n) for k in range(4))
    kept = ops.mul(ops.one("sigmoid", f), cell)
    cell = ops.add(kept, ops.mul(ops.one("sigmoid", i), ops.one("tanh", g)))
    return ops.joined([cell, ops.mul(ops.one("sigmoid", o), ops.one("tanh", cell))])


def _gate(ops: _Words, gate: Gate, a: Any) -> Any:
    if not gate.hard:
        return ops.one("sigmoid", a)
    at = ops.add(ops.mul(ops.number(gate.slope), a), ops.number(0.5))
    two = ops.program.two
    return two("minimum", two("maximum", at, ops.number(0.0)), ops.number(1.0))


def _peephole(ops: _Words, recurrent: PeepholeLSTM, p: Values, h: Any, x: Any) -> Any:
    n, gate = recurrent.units, gate_of(recurrent.gates)
    cell, shown = ops.part(h, 0, n), ops.part(h, n, 2 * n)
    a = _affine(ops, p, shown, x)
    i, f, g, o = (ops.part(a, k * n, (k + 1) * n) for k in range(4))
    p_i, p_f, p_o = (ops.rows(p["peepholes"], k * n, (k + 1) * n) for k in range(3))
    kept = ops.mul(_gate(ops, gate, ops.add(f, ops.mul(p_f, cell))), cell)
    entry = _gate(ops, gate, ops.add(i, ops.mul(p_i, cell)))
    cell = ops.add(kept, ops.mul(entry, ops.one("tanh", g)))
    out = _gate(ops, gate, ops.add(o, ops.mul(p_o, cell)))
    return ops.joined([cell, ops.mul(out, ops.one("tanh", cell))])


def _slstm(ops: _Words, recurrent: SLSTM, p: Values, h: Any, x: Any) -> Any:
    n, two = recurrent.units, ops.program.two
    mean, s, shown = (ops.part(h, k * n, (k + 1) * n) for k in range(3))
    a = _affine(ops, p, shown, x)
    i, f, z, o = (ops.part(a, k * n, (k + 1) * n) for k in range(4))
    zero = ops.number(0.0)
    if recurrent.forget == "sigmoid":
        f = ops.minus(zero, ops.softplus(ops.minus(zero, f)))
    s = two("maximum", s, zero)
    # log(nu), -inf at nu = 0; no logarithm of 0 is taken, whose slope is not a number
    part, chosen = ops.gone(s), ops.program.chosen
    log_nu = ops.add(s, ops.one("log", chosen(part, part, ops.number(1.0))))
    kept = ops.add(f, chosen(part, log_nu, ops.number(-np.inf)))
    by = ops.minus(i, kept)
    share, rest = ops.one("sigmoid", by), ops.one("sigmoid", ops.minus(zero, by))
    mean = ops.add(ops.mul(rest, mean), ops.mul(share, ops.one("tanh", z)))
    near = ops.one("exp", ops.minus(zero, ops.one("abs", by)))
    s = ops.softplus(ops.add(two("maximum", kept, i), ops.log1p(near)))
    return ops.joined([mean, s, ops.mul(ops.one("sigmoid", o), mean)])


def _gru(ops: _Words, recurrent: GRU | HardGRU, p: Values, h: Any, x: Any) -> Any:
    n = recurrent.units
    given = ops.add(ops.linear(x, p["U"]), p["b"])
    gates = ops.add(ops.linear(h, ops.rows(p["W"], 0, 2 * n)), ops.part(given, 0, 2 * n))
    gate = gate_of(recurrent.gates) if isinstance(recurrent, HardGRU) else LOGISTIC
    r, z = (_gate(ops, gate, ops.part(gates, k * n, (k + 1) * n)) for k in range(2))
    W_n = ops.rows(p["W"], 2 * n, 3 * n)
    if recurrent.variant == "reset_after":
        inner = ops.mul(r, ops.add(ops.linear(h, W_n), p["b_candidate"]))
    else:
        inner = ops.linear(ops.mul(r, h), W_n)
    new = ops.one("tanh", ops.add(inner, ops.part(given, 2 * n, 3 * n)))
    return ops.add(ops.mul(ops.rest(z), new), ops.mul(z, h))


def _mingru(ops: _Words, recurrent: MinGRU, p: Values, h: Any, x: Any) -> Any:
    n = recurrent.state_dim
    a = ops.add(ops.linear(x, p["U"]), p["b"])
    z = ops.one("sigmoid", ops.part(a, 0, n))
    new = ops.applied(recurrent.activation, ops.part(a, n, 2 * n))
    return ops.add(ops.mul(ops.rest(z), h), ops.mul(z, new))


def _rglru(ops: _Words, recurrent: RGLRU, p: Values, h: Any, x: Any) -> Any:
    n = recurrent.state_dim
    a = ops.one("sigmoid", ops.add(ops.linear(x, p["U"]), p["b"]))
    r, i = ops.part(a, 0, n), ops.part(a, n, 2 * n)
    # log sigma(L) = -softplus(-L)
    slow = ops.softplus(ops.minus(ops.number(0.0), p["Lambda"]))
    decay = ops.one("exp", ops.mul(ops.number(-recurrent.scale), r, slow))
    root = ops.one("sqrt", ops.gone(ops.mul(ops.number(2.0 * recurrent.scale), r, slow)))
    return ops.add(ops.mul(decay, h), ops.mul(root, i, x))


def _selective(ops: _Words, recurrent: SelectiveSSM, p: Values, h: Any, x: Any) -> Any:
    m, N = recurrent.decay.shape
    each = ops.program.constant(np.kron(np.eye(m), np.ones((N, 1))))  # of a channel, its states
    tiled = ops.program.constant(np.tile(np.eye(N), (m, 1)))
    step = ops.softplus(ops.add(ops.linear(x, p["W_step"]), p["b_step"]))
    gain = ops.linear(ops.add(ops.linear(x, p["W_B"]), p["b_B"]), tiled)
    long, driven = ops.linear(step, each), ops.linear(ops.part(x, 0, m), each)
    rate = ops.program.flat(p["decay"])
    faded = ops.mul(rate, long)
    decay = ops.one("exp", ops.minus(ops.number(0.0), faded))
    if recurrent.discretization == "zoh":
        long = ops.program.two("div", ops.gone(faded), rate)
    return ops.add(ops.mul(decay, h), ops.mul(long, gain, driven))


def _diagonal(ops: _Words, recurrent: DiagonalSSM, p: Values, h: Any, x: Any) -> Any:
    n = recurrent.units
    real, imag = ops.part(h, 0, n), ops.part(h, n, 2 * n)
    a, b = p["eigenvalues_real"], p["eigenvalues_imag"]
    return ops.joined(
        [
            ops.add(ops.minus(ops.mul(a, real), ops.mul(b, imag)), ops.linear(x, p["B_real"])),
            ops.add(ops.mul(b, real), ops.mul(a, imag), ops.linear(x, p["B_imag"])),
        ]
    )


def _cascade(ops: _Words, recurrent: Cascade, p: Values, h: Any, x: Any) -> Any:
    states = []
    for number, (layer, at) in enumerate(zip(recurrent.layers, recurrent.slices, strict=True)):
        own = {name: p[f"{number}.{name}"] for name in layer.parameters}
        new = _STEPS[type(layer)](ops, layer, own, ops.part(h, at.start, at.stop), x)
        states.append(new)
        if number + 1 == len(recurrent.layers):
            break
        readout = recurrent.readouts[number]
        if readout.given:
            C, d = p[f"{number}.readout"], p[f"{number}.readout_bias"]
            x = ops.add(ops.linear(new, C), d)
        elif readout.entries is not None:
            x = ops.part(new, readout.entries.start, readout.entries.stop)
        else:
            x = ops.linear(new, ops.program.constant(readout.C))
    return ops.joined(states)


_STEPS: dict[type[Map], Callable[..., Any]] = {
    LinearMap: _linear,
    VanillaRNN: _rnn,
    EchoStateNetwork: _leaky,
    LSTM: _lstm,
    PeepholeLSTM: _peephole,
    SLSTM: _slstm,
    GRU: _gru,
    HardGRU: _gru,
    MinGRU: _mingru,
    RGLRU: _rglru,
    SelectiveSSM: _selective,
    DiagonalSSM: _diagonal,
    Cascade: _cascade,
}


def check_known(recurrent: Map) -> None:
    """Raise `ValueError` for a map without a recipe, or with a layer without one."""
    for one in recurrent.layers if isinstance(recurrent, Cascade) else [recurrent]:
        if isinstance(one, Cascade):
            check_known(one)
        elif type(one) not in _STEPS:
            words = ", ".join(kind.__name__ for kind in _STEPS)
            raise ValueError(
                f"{one!r} is written for no other program, needed one of: {words}; of a function "
                "of your own nothing is known but its values"
            )


def step_of(program: Program, recurrent: Map, parameters: Values, h: Any, x: Any) -> Any:
    """Return the next state in a program's values.

    Parameters
    ----------
    program : Program
    recurrent : Map
    parameters : mapping
        The values of its parameters, under the names of `Map.parameters`.
    h, x
        The values of states (..., n) and inputs (..., m).

    Raises
    ------
    ValueError
        If there is no recipe for the map.
    """
    check_known(recurrent)
    return _STEPS[type(recurrent)](_Words(program), recurrent, parameters, h, x)
