"""The maps once more, in ball arithmetic and one number at a time: what `step` is compared with.

`exact_step(model)` returns a function of lists of balls, (h, x) -> next state.  Nothing here calls
the maps, except for their parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import flint
import numpy as np

from theory import (
    GRU,
    LSTM,
    RGLRU,
    SLSTM,
    Block,
    CallableMap,
    Cascade,
    DeltaRule,
    DiagonalSSM,
    EchoStateNetwork,
    HardGRU,
    LinearAttention,
    LinearMap,
    Map,
    MinGRU,
    PeepholeLSTM,
    SelectiveSSM,
    VanillaRNN,
)
from theory.maps import (
    Chain,
    Concatenate,
    Dense,
    Function,
    Normalize,
    Pointwise,
    Read,
    Select,
    Softmax,
    Sum,
)
from theory.typing import Array

Ball = flint.arb
Vector = list[flint.arb]
Step = Callable[[Vector, Vector], Vector]

ONE, ZERO = Ball(1), Ball(0)

#: exp(-FAR) is nothing beside any double.
FAR = 2000


@contextmanager
def bits(precision: int) -> Iterator[None]:
    saved, flint.ctx.prec = flint.ctx.prec, precision
    try:
        yield
    finally:
        flint.ctx.prec = saved


def balls(values: Array) -> Vector:
    return [Ball(float(v)) for v in values]


def activated(name: str, a: Ball) -> Ball:
    """Return rho(a), for a ball that is far narrower than a double."""
    far = abs(a) > FAR
    if name == "tanh":
        return (ONE if a > 0 else -ONE) if far else a.tanh()
    if name == "sigmoid":
        return (ONE if a > 0 else ZERO) if far else ONE / (ONE + (-a).exp())
    if name == "softplus":
        return (a if a > 0 else ZERO) if far else a.exp().log1p()
    if name == "sin":
        return a.sin()
    if name.startswith("hard_sigmoid"):
        at = Ball(0.2 if name.endswith("(0.2)") else 1 / 6) * a + Ball(0.5)
        return ZERO if at < 0 else ONE if at > 1 else at
    if name == "hard_tanh":
        return -ONE if a < -1 else ONE if a > 1 else a
    if name == "identity":
        return a
    leak = 0.0 if name == "relu" else float(name[len("leaky_relu(") : -1])
    return a if a >= 0 else Ball(leak) * a


def faded(y: Ball) -> Ball:
    """Return exp(-y) for y >= 0."""
    return ZERO if y > FAR else (-y).exp()


def product(W: Array, v: Vector) -> Vector:
    return [sum((Ball(float(w)) * y for w, y in zip(row, v, strict=True)), ZERO) for row in W]


def plus(*terms: Vector) -> Vector:
    return [sum(parts, ZERO) for parts in zip(*terms, strict=True)]


def affine(W: Array, h: Vector, U: Array, x: Vector, b: Array) -> Vector:
    return plus(product(W, h), product(U, x), balls(b))


def vanilla(W: Array, U: Array, b: Array, rho: str) -> Step:
    return lambda h, x: [activated(rho, a) for a in affine(W, h, U, x, b)]


def lstm(cell: LSTM) -> Step:
    def step(s: Vector, x: Vector) -> Vector:
        c, h = s[: cell.units], s[cell.units :]
        a = affine(cell.W, h, cell.U, x, cell.b)
        n = cell.units
        i, f, g, o = a[:n], a[n : 2 * n], a[2 * n : 3 * n], a[3 * n :]
        new = [
            activated("sigmoid", f[j]) * c[j] + activated("sigmoid", i[j]) * activated("tanh", g[j])
            for j in range(n)
        ]
        return new + [activated("sigmoid", o[j]) * activated("tanh", new[j]) for j in range(n)]

    return step


def peephole(cell: PeepholeLSTM) -> Step:
    n, kind = cell.units, cell.gates
    p_i, p_f, p_o = (balls(p) for p in np.split(cell.peepholes, 3))

    def step(s: Vector, x: Vector) -> Vector:
        c, h = s[:n], s[n:]
        a = affine(cell.W, h, cell.U, x, cell.b)
        i, f, g, o = a[:n], a[n : 2 * n], a[2 * n : 3 * n], a[3 * n :]
        new = [
            activated(kind, f[j] + p_f[j] * c[j]) * c[j]
            + activated(kind, i[j] + p_i[j] * c[j]) * activated("tanh", g[j])
            for j in range(n)
        ]
        shown = [
            activated(kind, o[j] + p_o[j] * new[j]) * activated("tanh", new[j]) for j in range(n)
        ]
        return new + shown

    return step


def slstm(cell: SLSTM) -> Step:
    n = cell.units

    def step(state: Vector, x: Vector) -> Vector:
        y, s, h = state[:n], state[n : 2 * n], state[2 * n :]
        a = affine(cell.W, h, cell.U, x, cell.b)
        means, sizes, shown = [], [], []
        for j in range(n):
            i, f, z, o = a[j], a[n + j], a[2 * n + j], a[3 * n + j]
            kept = -activated("softplus", -f) if cell.forget == "sigmoid" else f
            if not s[j] <= 0:  # a ball around a very small s must not be read as 0
                P = kept + (s[j].expm1().log() if s[j] < FAR else s[j])
                g, total = activated("sigmoid", i - P), i + activated("softplus", P - i)
            else:
                g, total = ONE, i
            means.append((ONE - g) * y[j] + g * activated("tanh", z))
            sizes.append(total.exp().log1p() if total < FAR else total)
            shown.append(activated("sigmoid", o) * means[-1])
        return means + sizes + shown

    return step


def gru(cell: GRU | HardGRU) -> Step:
    n, kind = cell.units, cell.gates if isinstance(cell, HardGRU) else "sigmoid"
    p = cell.parameters
    (W_r, W_z, W_n), (U_r, U_z, U_n) = np.split(p["W"], 3), np.split(p["U"], 3)
    b_r, b_z, b_n = np.split(p["b"], 3)

    def step(h: Vector, x: Vector) -> Vector:
        r = [activated(kind, a) for a in affine(W_r, h, U_r, x, b_r)]
        z = [activated(kind, a) for a in affine(W_z, h, U_z, x, b_z)]
        if cell.variant == "reset_after":
            inner = plus(product(W_n, h), balls(p["b_candidate"]))
            inner = [r[j] * inner[j] for j in range(n)]
        else:
            inner = product(W_n, [r[j] * h[j] for j in range(n)])
        a = plus(inner, product(U_n, x), balls(b_n))
        return [(ONE - z[j]) * activated("tanh", a[j]) + z[j] * h[j] for j in range(n)]

    return step


def leaky(cell: EchoStateNetwork) -> Step:
    plain = vanilla(cell.W, cell.U, cell.b, cell.activation.name)
    share = balls(cell.leak)

    def step(h: Vector, x: Vector) -> Vector:
        new = plain(h, x)
        return [(ONE - a) * old + a * y for a, old, y in zip(share, h, new, strict=True)]

    return step


def diagonal(layer: DiagonalSSM) -> Step:
    values = [flint.acb(v.real, v.imag) for v in layer.eigenvalues.tolist()]
    B = layer.B

    def step(h: Vector, x: Vector) -> Vector:
        n = len(values)
        driven = zip(product(B.real, x), product(B.imag, x), strict=True)
        new = [values[j] * flint.acb(h[j], h[n + j]) + flint.acb(*u) for j, u in enumerate(driven)]
        return [s.real for s in new] + [s.imag for s in new]

    return step


def selective(layer: SelectiveSSM) -> Step:
    m, N = layer.decay.shape

    def step(h: Vector, x: Vector) -> Vector:
        delta = [
            activated("softplus", a) for a in plus(product(layer.W_step, x), balls(layer.b_step))
        ]
        gain = plus(product(layer.W_B, x), balls(layer.b_B))
        new = []
        for d in range(m):
            for s in range(N):
                rate = Ball(float(layer.decay[d, s]))
                kept = faded(rate * delta[d])
                share = ONE - kept if kept < 0.5 else -((-rate * delta[d]).expm1())
                gamma = delta[d] if layer.discretization == "euler" else share / rate
                new.append(kept * h[d * N + s] + gamma * gain[s] * x[d])
        return new

    return step


def min_gru(layer: MinGRU) -> Step:
    (U_z, U_n), (b_z, b_n) = np.split(layer.U, 2), np.split(layer.b, 2)

    def step(h: Vector, x: Vector) -> Vector:
        z = [activated("sigmoid", a) for a in plus(product(U_z, x), balls(b_z))]
        new = plus(product(U_n, x), balls(b_n))
        new = [activated(layer.activation.name, a) for a in new]
        return [(ONE - z[j]) * h[j] + z[j] * new[j] for j in range(len(h))]

    return step


def rg_lru(unit: RGLRU) -> Step:
    (U_r, U_i), (b_r, b_i) = np.split(unit.U, 2), np.split(unit.b, 2)
    # sigma(Lambda)**(c r) = exp(-c softplus(-Lambda) r); 1 - a**2 would cancel
    rates = [Ball(unit.scale) * activated("softplus", -a) for a in balls(unit.Lambda)]

    def step(h: Vector, x: Vector) -> Vector:
        r = [activated("sigmoid", a) for a in plus(product(U_r, x), balls(b_r))]
        i = [activated("sigmoid", a) for a in plus(product(U_i, x), balls(b_i))]
        y = [rate * p for rate, p in zip(rates, r, strict=True)]
        share = [ONE if p > FAR else (-((-2 * p).expm1())).sqrt() for p in y]
        return [faded(y[j]) * h[j] + share[j] * i[j] * x[j] for j in range(len(h))]

    return step


def attention(layer: LinearAttention) -> Step:
    heads, keys, values = layer.heads, layer.keys, layer.values
    powers = balls(layer.decay)
    block = heads * keys

    def step(h: Vector, x: Vector) -> Vector:
        rows = plus(product(layer.U, x), balls(layer.b))
        k, v, rest = rows[:block], rows[block : block + heads * values], rows[block:]
        rest = rest[heads * values :]
        a = powers
        if layer.forget == "gate":
            steps = [activated("softplus", -p) for p in rest[: len(powers)]]
            a = [faded(r * D) for r, D in zip(powers, steps, strict=True)]
        new = []
        for at, old in enumerate(h):
            key, j = divmod(at, values)
            head = key // keys
            g = ONE
            if layer.write == "step":
                g = steps[head]
            elif layer.write == "exp":
                g = rest[len(rest) - heads + head].exp()
            new.append(a[key * len(a) // block] * old + g * k[key] * v[head * values + j])
        return new

    return step


def delta(layer: DeltaRule) -> Step:
    heads, keys, values = layer.heads, layer.keys, layer.values
    parts, block = layer.parameters, layer.heads * layer.keys
    each = len(parts["decay"])

    def step(h: Vector, x: Vector) -> Vector:
        rows = plus(product(parts["U"], x), balls(parts["b"]))
        kappa, rest = rows[:block], rows[block:]
        v, rest = rest[: heads * values], rest[heads * values :]
        p, q, own = rest[:each], rest[each : 2 * each], rest[2 * each :]
        w, c = [], []
        for i in range(block):
            j = i * each // block
            rate = Ball(float(parts["decay"][j]))
            gate = (
                activated("softplus", -p[j])
                if layer.rule == "gated"
                else activated("sigmoid", p[j])
            )
            w.append(faded(rate * gate))
            c.append(Ball(float(parts["scale"][j])) * activated("sigmoid", q[j]))
        new = []
        for head in range(heads):
            at = range(head * keys, (head + 1) * keys)
            length = (sum((kappa[i] ** 2 for i in at), ZERO) + Ball(layer.eps)).sqrt()
            r = {i: kappa[i] / length for i in at}
            S = {i: h[i * values : (i + 1) * values] for i in at}
            seen = [sum((r[i] * S[i][j] for i in at), ZERO) for j in range(values)]
            for i in at:
                mix = Ball(float(parts["mix"][i]))
                k = r[i] if layer.rule == "gated" else own[i]
                g = k * (ONE + mix * (c[i] - ONE))
                u = c[i] * r[i] * (w[i] if layer.rule == "gated" else ONE)
                new += [
                    w[i] * S[i][j] - u * seen[j] + g * v[head * values + j] for j in range(values)
                ]
        return new

    return step


def _normal(a: Ball) -> Ball:
    """Return the share of the normal distribution below `a`."""
    return (ONE if a > 0 else ZERO) if abs(a) > FAR else (-a / Ball(2.0).sqrt()).erfc() / 2


def of_function(f: Function, x: Vector) -> Vector:
    """Return f(x)."""
    if isinstance(f, Dense):
        return plus(product(f.W, x), balls(f.b))
    if isinstance(f, Select):
        return x[f.start : f.stop]
    if isinstance(f, Pointwise):
        if f.activation == "silu":
            return [a * activated("sigmoid", a) for a in x]
        if f.activation == "gelu":
            return [a * _normal(a) for a in x]
        return [activated(f.activation, a) for a in x]
    if isinstance(f, Normalize):
        if f.kind == "layer":
            middle = sum(x, ZERO) / len(x)
            x = [a - middle for a in x]
        root = (sum((a * a for a in x), ZERO) / len(x) + Ball(f.eps)).sqrt()
        return plus([g * a / root for g, a in zip(balls(f.gain), x, strict=True)], balls(f.bias))
    if isinstance(f, Softmax):
        top = max(x, key=float)
        parts = [(a - top).exp() for a in x]
        return [a / sum(parts, ZERO) for a in parts]
    if isinstance(f, Read):
        n, each = f.heads * f.keys * f.values, []
        for head in range(f.heads):
            q = x[n + head * f.keys : n + (head + 1) * f.keys]
            rows = [x[(head * f.keys + i) * f.values :][: f.values] for i in range(f.keys)]
            y = [sum((q[i] * rows[i][j] for i in range(f.keys)), ZERO) for j in range(f.values)]
            if f.normalized:
                size = abs(y[-1])
                y = [a / size if size > 1 else a for a in y[:-1]]
            each += y
        return each
    if isinstance(f, Chain):
        for part in f.functions:
            x = of_function(part, x)
        return x
    parts = [of_function(part, x) for part in f.functions]
    if isinstance(f, Concatenate):
        return [a for part in parts for a in part]
    if isinstance(f, Sum):
        return plus(*parts)
    result = parts[0]
    for part in parts[1:]:
        result = [a * b for a, b in zip(result, part, strict=True)]
    return result


def block(model: Block) -> Step:
    core, n = exact_step(model.core), model.core.state_dim

    def step(h: Vector, x: Vector) -> Vector:
        u = x if model.before is None else of_function(model.before, x)
        new = core(h[:n], u)
        return new if model.after is None else new + of_function(model.after, new + x)

    return step


def cascade(model: Cascade) -> Step:
    steps = [exact_step(layer) for layer in model.layers]

    def step(h: Vector, x: Vector) -> Vector:
        new: Vector = []
        for number, layer in enumerate(model.layers):
            at = sum(below.state_dim for below in model.layers[:number])
            own = steps[number](h[at : at + layer.state_dim], x)
            new += own
            if number < len(model.readouts):
                readout = model.readouts[number]
                x = plus(product(readout.C, own), balls(readout.d))
        return new

    return step


#: The definition of each class; functions of the user's own are attached to their map.
OF_CLASS: dict[type[Map], Callable[..., Step]] = {
    LinearMap: lambda model: vanilla(model.W, model.U, model.b, "identity"),
    VanillaRNN: lambda cell: vanilla(cell.W, cell.U, cell.b, cell.activation.name),
    LSTM: lstm,
    PeepholeLSTM: peephole,
    SLSTM: slstm,
    GRU: gru,
    HardGRU: gru,
    EchoStateNetwork: leaky,
    DiagonalSSM: diagonal,
    SelectiveSSM: selective,
    MinGRU: min_gru,
    RGLRU: rg_lru,
    LinearAttention: attention,
    DeltaRule: delta,
    Block: block,
    Cascade: cascade,
}


def exact_step(model: Map) -> Step:
    """Return the step of a map in ball arithmetic."""
    if isinstance(model, CallableMap):
        return model.exact  # set by the test that made the map
    if type(model) not in OF_CLASS:
        raise LookupError(
            f"tests/support/definitions.py defines no {type(model).__name__}: needed its step in "
            "ball arithmetic, listed in OF_CLASS"
        )
    return OF_CLASS[type(model)](model)


def nearest(values: Vector) -> Array:
    return np.array([float(v.mid()) for v in values])


def step_by_definition(model: Map, h: Array, x: Array) -> Array:
    """Return the exact next state, rounded to nearest."""
    with bits(400):
        return nearest(exact_step(model)(balls(h), balls(x)))


def jacobians_by_definition(model: Map, h: Array, x: Array) -> tuple[Array, Array]:
    """Return d step / dh and d step / dx, by central differences of spacing 2**-300."""
    n = len(h)
    columns = []
    with bits(1200):
        step = exact_step(model)
        spacing = Ball(2) ** -300
        at = balls(np.append(h, x))
        for j in range(len(at)):
            ahead, behind = at.copy(), at.copy()
            ahead[j] += spacing
            behind[j] -= spacing
            ends = step(ahead[:n], ahead[n:]), step(behind[:n], behind[n:])
            columns.append(nearest([(a - b) / (2 * spacing) for a, b in zip(*ends, strict=True)]))
    J = np.array(columns).T
    return J[:, :n], J[:, n:]
