r"""One step of every map, written once in operations that other programs have, too.

Main names: `step_of`, `function_of`, `check_known`, `check_known_function`.

`to_onnx` and `theory.torch.to_torch` run these recipes with nodes of a graph and with tensors;
`theory.interop.program.Numbers` runs them with arrays, to be compared with `Map.step` and with
`Function.__call__`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from theory.arithmetic.activations import activation
from theory.arithmetic.hard import LOGISTIC, Gate, gate_of
from theory.interop.program import Program, Words
from theory.maps.base import Map
from theory.maps.block import Block
from theory.maps.cascade import Cascade
from theory.maps.combine import Chain, Concatenate, Product, Sum
from theory.maps.diagonal import DiagonalSSM
from theory.maps.esn import EchoStateNetwork
from theory.maps.exponential import SLSTM
from theory.maps.functions import Dense, Function, Pointwise, Select
from theory.maps.gru import GRU
from theory.maps.hard_gru import HardGRU
from theory.maps.linear import LinearMap
from theory.maps.lstm import LSTM
from theory.maps.mingru import MinGRU
from theory.maps.normalize import Normalize
from theory.maps.peephole import PeepholeLSTM
from theory.maps.rglru import RGLRU
from theory.maps.rnn import VanillaRNN
from theory.maps.selective import SelectiveSSM
from theory.maps.softmax import Softmax

Values = Mapping[str, Any]


def _affine(ops: Words, p: Values, h: Any, x: Any) -> Any:
    return ops.add(ops.linear(h, p["W"]), ops.linear(x, p["U"]), p["b"])


def _linear(ops: Words, _: LinearMap, p: Values, h: Any, x: Any) -> Any:
    return _affine(ops, p, h, x)


def _rnn(ops: Words, recurrent: VanillaRNN, p: Values, h: Any, x: Any) -> Any:
    return ops.applied(recurrent.activation, _affine(ops, p, h, x))


def _leaky(ops: Words, recurrent: EchoStateNetwork, p: Values, h: Any, x: Any) -> Any:
    new = ops.applied(recurrent.activation, _affine(ops, p, h, x))
    return ops.add(ops.mul(ops.rest(p["leak"]), h), ops.mul(p["leak"], new))


def _lstm(ops: Words, recurrent: LSTM, p: Values, h: Any, x: Any) -> Any:
    n = recurrent.units
    cell, shown = ops.part(h, 0, n), ops.part(h, n, 2 * n)
    a = _affine(ops, p, shown, x)
    i, f, g, o = (ops.part(a, k * n, (k + 1) * n) for k in range(4))
    kept = ops.mul(ops.one("sigmoid", f), cell)
    cell = ops.add(kept, ops.mul(ops.one("sigmoid", i), ops.one("tanh", g)))
    return ops.joined([cell, ops.mul(ops.one("sigmoid", o), ops.one("tanh", cell))])


def _gate(ops: Words, gate: Gate, a: Any) -> Any:
    if not gate.hard:
        return ops.one("sigmoid", a)
    at = ops.add(ops.mul(ops.number(gate.slope), a), ops.number(0.5))
    two = ops.program.two
    return two("minimum", two("maximum", at, ops.number(0.0)), ops.number(1.0))


def _peephole(ops: Words, recurrent: PeepholeLSTM, p: Values, h: Any, x: Any) -> Any:
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


def _slstm(ops: Words, recurrent: SLSTM, p: Values, h: Any, x: Any) -> Any:
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


def _gru(ops: Words, recurrent: GRU | HardGRU, p: Values, h: Any, x: Any) -> Any:
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


def _mingru(ops: Words, recurrent: MinGRU, p: Values, h: Any, x: Any) -> Any:
    n = recurrent.state_dim
    a = ops.add(ops.linear(x, p["U"]), p["b"])
    z = ops.one("sigmoid", ops.part(a, 0, n))
    new = ops.applied(recurrent.activation, ops.part(a, n, 2 * n))
    return ops.add(ops.mul(ops.rest(z), h), ops.mul(z, new))


def _rglru(ops: Words, recurrent: RGLRU, p: Values, h: Any, x: Any) -> Any:
    n = recurrent.state_dim
    a = ops.one("sigmoid", ops.add(ops.linear(x, p["U"]), p["b"]))
    r, i = ops.part(a, 0, n), ops.part(a, n, 2 * n)
    # log sigma(L) = -softplus(-L)
    slow = ops.softplus(ops.minus(ops.number(0.0), p["Lambda"]))
    decay = ops.one("exp", ops.mul(ops.number(-recurrent.scale), r, slow))
    root = ops.one("sqrt", ops.gone(ops.mul(ops.number(2.0 * recurrent.scale), r, slow)))
    return ops.add(ops.mul(decay, h), ops.mul(root, i, x))


def _selective(ops: Words, recurrent: SelectiveSSM, p: Values, h: Any, x: Any) -> Any:
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


def _diagonal(ops: Words, recurrent: DiagonalSSM, p: Values, h: Any, x: Any) -> Any:
    n = recurrent.units
    real, imag = ops.part(h, 0, n), ops.part(h, n, 2 * n)
    a, b = p["eigenvalues_real"], p["eigenvalues_imag"]
    return ops.joined(
        [
            ops.add(ops.minus(ops.mul(a, real), ops.mul(b, imag)), ops.linear(x, p["B_real"])),
            ops.add(ops.mul(b, real), ops.mul(a, imag), ops.linear(x, p["B_imag"])),
        ]
    )


def _block(ops: Words, recurrent: Block, p: Values, h: Any, x: Any) -> Any:
    core = recurrent.core
    seen = _applied(ops, recurrent.before, _of(p, "before"), x)
    new = _STEPS[type(core)](ops, core, _of(p, "core"), ops.part(h, 0, core.state_dim), seen)
    if recurrent.after is None:
        return new
    return ops.joined([new, _applied(ops, recurrent.after, _of(p, "after"), ops.joined([new, x]))])


def _of(p: Values, word: str | int) -> dict[str, Any]:
    """Return the values of one part, under its own names."""
    start = f"{word}."
    return {key.removeprefix(start): value for key, value in p.items() if key.startswith(start)}


def _cascade(ops: Words, recurrent: Cascade, p: Values, h: Any, x: Any) -> Any:
    states = []
    for number, (layer, at) in enumerate(zip(recurrent.layers, recurrent.slices, strict=True)):
        new = _STEPS[type(layer)](ops, layer, _of(p, number), ops.part(h, at.start, at.stop), x)
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
    Block: _block,
    Cascade: _cascade,
}


def check_known(recurrent: Map) -> None:
    """Raise `ValueError` for a map without a recipe, or with a part without one."""
    for one in recurrent.layers if isinstance(recurrent, Cascade) else [recurrent]:
        if isinstance(one, Block):
            for f in (one.before, one.after):
                if f is not None:
                    check_known_function(f)
            check_known(one.core)
        elif isinstance(one, Cascade):
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
    return _STEPS[type(recurrent)](Words(program), recurrent, parameters, h, x)


# functions of one time step ----------------------------------------------------------------------


def _dense(ops: Words, _: Dense, p: Values, x: Any) -> Any:
    return ops.add(ops.linear(x, p["W"]), p["b"])


def _select(ops: Words, f: Select, _: Values, x: Any) -> Any:
    return ops.part(x, f.start, f.stop)


def _pointwise(ops: Words, f: Pointwise, _: Values, x: Any) -> Any:
    if f.activation == "silu":
        return ops.mul(x, ops.one("sigmoid", x))
    if f.activation == "gelu":
        share = ops.one("erf", ops.mul(x, ops.number(math.sqrt(0.5))))
        return ops.mul(ops.number(0.5), x, ops.add(ops.number(1.0), share))
    return ops.applied(activation(f.activation), x)


def _softmax(ops: Words, _: Softmax, __: Values, x: Any) -> Any:
    return ops.one("softmax", x)


def _normalize(ops: Words, f: Normalize, p: Values, x: Any) -> Any:
    mean = ops.program.constant(np.full((1, f.input_dim), 1.0 / f.input_dim))
    y = ops.minus(x, ops.linear(x, mean)) if f.kind == "layer" else x
    root = ops.one("sqrt", ops.add(ops.linear(ops.mul(y, y), mean), ops.number(f.eps)))
    return ops.add(ops.mul(p["gain"], ops.program.two("div", y, root)), p["bias"])


def _chain(ops: Words, f: Chain, p: Values, x: Any) -> Any:
    for number, part in enumerate(f.functions):
        x = _applied(ops, part, _of(p, number), x)
    return x


def _several(ops: Words, f: Sum | Product | Concatenate, p: Values, x: Any) -> Any:
    parts = [_applied(ops, part, _of(p, number), x) for number, part in enumerate(f.functions)]
    if isinstance(f, Concatenate):
        return ops.joined(parts)
    return ops.add(*parts) if isinstance(f, Sum) else ops.mul(*parts)


_FUNCTIONS: dict[type[Function], Callable[..., Any]] = {
    Dense: _dense,
    Select: _select,
    Pointwise: _pointwise,
    Normalize: _normalize,
    Softmax: _softmax,
    Chain: _chain,
    Sum: _several,
    Product: _several,
    Concatenate: _several,
}


def _applied(ops: Words, f: Function | None, p: Values, x: Any) -> Any:
    return x if f is None else _FUNCTIONS[type(f)](ops, f, p, x)


def check_known_function(f: Function) -> None:
    """Raise `ValueError` for a function without a recipe, or with a part without one."""
    if type(f) not in _FUNCTIONS:
        words = ", ".join(kind.__name__ for kind in _FUNCTIONS)
        raise ValueError(f"{f!r} is written for no other program, needed one of: {words}")
    for part in f.functions if isinstance(f, Chain | Sum | Product | Concatenate) else ():
        check_known_function(part)


def function_of(program: Program, f: Function, arrays: Values, x: Any) -> Any:
    """Return f(x) in a program's values.

    Parameters
    ----------
    program : Program
    f : Function
    arrays : mapping
        The values of what it is made of, under the names of `Function.arrays`.
    x
        The values of what it takes, (..., n).

    Raises
    ------
    ValueError
        If there is no recipe for the function, or for a part of it.
    """
    check_known_function(f)
    return _applied(Words(program), f, arrays, x)
