r"""Networks of recurrences that are stable by construction, trained in PyTorch, and their maps.

Each recurrence is linear in its state, so that a whole window is one scan; each has gates that see
the input only, and a largest decay, `rate`, that no weights and no input can exceed.  A network is
one bare recurrence, or the usual two blocks of norm, recurrence and gated units, both residual,
each behind a convolution over four inputs.
`to_map` is the same network as a `theory.maps.Cascade` of blocks, for every certificate of stacks.

Main names: `Network`, `CORES`, `to_map`, `scan`.
"""

from __future__ import annotations

import math
from itertools import chain
from typing import Any

import numpy as np

try:
    import torch
    import torch.nn.functional as fn
    from torch import Tensor, nn
except ImportError:
    from theory.errors import MissingExtraError

    raise MissingExtraError("torch", "experiments", "training the networks") from None

import theory
from theory import maps
from theory.maps import (
    Block,
    Chain,
    Concatenate,
    Dense,
    Function,
    Normalize,
    Pointwise,
    Product,
    Select,
    Sum,
)

#: How far the inputs can move the logit of a gate from its middle.
SPAN = 4.0

#: What is added to a mean square before the root is taken: the constant of a norm is 1 / sqrt(EPS),
#: so a small number would cost certified memory, and buys nothing.
EPS = 0.1

#: A rate is undercut by this, relatively, so that rounding of the exported weights stays inside.
ROOM = 1e-6


class _Scan(torch.autograd.Function):
    """h_t = a_t h_{t-1} + b_t over the first axis; its gradient is the same scan, backwards."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, start: Tensor) -> Tensor:
        h, last = torch.empty_like(b), start
        for own, new, out in zip(a.unbind(), b.unbind(), h.unbind(), strict=True):
            last = torch.addcmul(new, own, last, out=out)
        ctx.save_for_backward(a, h, start)
        return h

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a, h, start = ctx.saved_tensors
        turned, total = a.conj().resolve_conj(), torch.empty_like(h)
        rows, given = total.unbind(), grad.unbind()
        rows[-1].copy_(given[-1])
        for t, own in reversed(list(enumerate(turned.unbind()[1:]))):
            torch.addcmul(given[t], own, rows[t + 1], out=rows[t])
        before = torch.cat([start[None], h[:-1]]).conj()
        return total * before, total, turned[0] * total[0]


def scan(a: Tensor, b: Tensor, start: Tensor) -> Tensor:
    """Return h_t = a_t h_{t-1} + b_t for all t: (T, ...), from h_{-1} = start."""
    return _Scan.apply(a, b, start)  # type: ignore[no-any-return, no-untyped-call]


class Core(nn.Module):
    """A recurrence behind a dense layer; what all of them share."""

    def __init__(self, width: int, units: int, rate: float, rows: int) -> None:
        super().__init__()
        self.units, self.rate = units, rate * (1.0 - ROOM)
        self.enter = nn.Linear(width, rows)

    #: Entries of what `forward` returns.
    reads: int

    #: Whether it bears products in bfloat16, where a network is trained with them.
    half = False

    def forward(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return what the block reads, (T, B, reads), and the last state."""
        raise NotImplementedError

    def before(self) -> list[Function]:
        """Return what is done to the normed input, as functions one after the other."""
        return [Dense(*_arrays(self.enter)), Pointwise("tanh", self.enter.out_features)]

    def to_map(self) -> theory.Map:
        """Return the recurrence on what `before` gives."""
        raise NotImplementedError


def _arrays(layer: nn.Linear) -> tuple[np.ndarray, np.ndarray]:
    return _double(layer.weight), _double(layer.bias)


def _double(value: Tensor) -> np.ndarray:
    return value.detach().cpu().double().numpy()


def _short(layer: nn.Linear) -> tuple[Tensor, Tensor]:
    """Return rows whose absolute sums are at most SPAN, and biases no less than -SPAN."""
    sums = layer.weight.abs().sum(1, keepdim=True)
    return layer.weight * (SPAN / sums.clamp(min=SPAN)), layer.bias.clamp(min=-SPAN)


def _logit(p: float) -> float:
    return math.log(p) - math.log1p(-p)


class MinGRU(Core):
    """h <- (1 - z) h + z n, the logit of z moved by at most SPAN from its middle."""

    half = True

    def __init__(self, width: int, units: int, rate: float) -> None:
        super().__init__(width, units, rate, 2 * units)
        self.reads = units
        with torch.no_grad():  # decays from nearly 0 to nearly the rate
            self.enter.bias[:units] = torch.linspace(-2.0, 0.5, units)

    @property
    def middle(self) -> float:
        """Return the logit of z in the middle: SPAN below it, 1 - z is the rate."""
        return SPAN - _logit(self.rate)

    def forward(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return h twice: all of it, and the last."""
        p, n = self.enter(x).chunk(2, dim=-1)
        z = torch.sigmoid(self.middle + SPAN * torch.tanh(p))
        h = scan(1 - z, z * n, x.new_zeros(n.shape[1:]) if state is None else state)
        return h, h[-1]

    def before(self) -> list[Function]:
        """Return the dense layer, and tanh of the first half."""
        n = self.units
        gates = Chain([Select(0, stop=n, size=2 * n), Pointwise("tanh", n)])
        return [
            Dense(*_arrays(self.enter)),
            Concatenate([gates, Select(n, stop=2 * n, size=2 * n)]),
        ]

    def to_map(self) -> theory.Map:
        """Return a MinGRU whose gates see one entry each."""
        n = self.units
        U = np.diag(np.repeat([SPAN, 1.0], n))
        return theory.MinGRU(U, np.repeat([self.middle, 0.0], n))


class LRU(Core):
    """s <- diag(eigenvalues) s + B x, complex, the eigenvalues within a disc of radius rate."""

    def __init__(self, width: int, units: int, rate: float) -> None:
        super().__init__(width, units, rate, units)
        n = units // 2
        self.reads = 2 * n
        self.radius = nn.Parameter(_logits(torch.rand(n) * 0.9 + 0.05))
        self.angle = nn.Parameter(torch.rand(n) * math.pi)
        self.B = nn.Parameter(torch.randn(2, n, units) / math.sqrt(2 * units))

    def parts(self) -> tuple[Tensor, Tensor]:
        """Return the eigenvalues and B, each row times sqrt(1 - |eigenvalue|^2)."""
        radius = self.rate * torch.sigmoid(self.radius)
        share = torch.sqrt(1 - radius**2)[:, None]
        return torch.polar(radius, self.angle), torch.complex(*(share * self.B))

    def forward(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return (Re s, Im s), and the last s."""
        own, B = self.parts()
        u = torch.tanh(self.enter(x))
        drive = torch.complex(u @ B.real.T, u @ B.imag.T)
        start = torch.zeros_like(drive[0]) if state is None else state
        s = scan(own.expand_as(drive), drive, start)
        return torch.cat([s.real, s.imag], -1), s[-1]

    def to_map(self) -> theory.Map:
        """Return the diagonal layer."""
        own, B = (p.detach().cpu().to(torch.complex128).numpy() for p in self.parts())
        return theory.DiagonalSSM(own, B)


def _logits(p: Tensor) -> Tensor:
    return torch.log(p) - torch.log1p(-p)


class RGLRU(Core):
    """h <- a h + sqrt(1 - a^2) i x, a = exp(-q r), r no less than SPAN below its middle."""

    def __init__(self, width: int, units: int, rate: float) -> None:
        super().__init__(width, units, rate, units)
        self.reads = units
        self.gates = nn.Linear(units, 2 * units)
        self.faster = nn.Parameter(torch.rand(units) * 2 - 2)

    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return U and b of the gates, and q: a is at most the rate where r is least."""
        U, b = _short(self.gates)
        least = torch.sigmoid(b[: self.units] - SPAN)
        return U, b, -math.log(self.rate) / least * (1 + fn.softplus(self.faster))

    def forward(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return h twice: all of it, and the last."""
        U, b, q = self.parts()
        u = torch.tanh(self.enter(x))
        r, i = torch.sigmoid(fn.linear(u, U, b)).chunk(2, dim=-1)
        faded = q * r
        drive = torch.sqrt(-torch.expm1(-2 * faded)) * i * u
        h = scan(torch.exp(-faded), drive, torch.zeros_like(u[0]) if state is None else state)
        return h, h[-1]

    def to_map(self) -> theory.Map:
        """Return the unit with scale 1: q = softplus(-Lambda)."""
        U, b, q = (_double(p) for p in self.parts())
        return theory.RGLRU(U, -(q + np.log(-np.expm1(-q))), b, scale=1.0)


class Selective(Core):
    """h <- exp(-a D) h + D B x, D = softplus of a logit that moves by at most SPAN (Mamba)."""

    STATES = 4

    def __init__(self, width: int, units: int, rate: float) -> None:
        super().__init__(width, units, rate, units)
        self.reads = units
        self.step = nn.Linear(units, units)
        self.gain = nn.Linear(units, self.STATES)
        self.read = nn.Linear(width, self.STATES)
        self.faster = nn.Parameter(torch.linspace(-2, 4, self.STATES).repeat(units, 1))

    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return W and b of the step size, and the decays: at the least step those of the rate."""
        W, b = _short(self.step)
        least = fn.softplus(b - SPAN)[:, None]
        return W, b, -math.log(self.rate) / least * (1 + fn.softplus(self.faster))

    def forward(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return sum_s C_s h_ds of every channel, and the last h."""
        W, b, decay = self.parts()
        u = torch.tanh(self.enter(x))
        step = fn.softplus(fn.linear(u, W, b))
        drive = (step * u)[..., None] * self.gain(u)[..., None, :]
        start = torch.zeros_like(drive[0]) if state is None else state
        h = scan(torch.exp(-decay * step[..., None]), drive, start)
        return (h * self.read(x)[..., None, :]).sum(-1), h[-1]

    def to_map(self) -> theory.Map:
        """Return the selective layer."""
        W, b, decay = (_double(p) for p in self.parts())
        W_B, b_B = _arrays(self.gain)
        return theory.SelectiveSSM(decay, W, W_B, b, b_B)

    def queries(self) -> tuple[Function, Function]:
        """Return the dense layer of C, once for every channel, and how the memory is read."""
        W, b = _arrays(self.read)
        n = self.units
        return Dense(np.tile(W, (n, 1)), np.tile(b, n)), maps.Read(n, keys=self.STATES, values=1)


class Delta(Core):
    """S <- alpha (I - beta k k^T) S + beta k v^T, |k| = 1, alpha at most the rate."""

    KEYS = VALUES = 8

    def __init__(self, width: int, units: int, rate: float) -> None:
        super().__init__(width, units, rate, units)
        self.heads = max(1, units // self.VALUES)
        self.reads = self.heads * self.VALUES
        self.rows = nn.Linear(units, self.heads * (self.KEYS + self.VALUES))
        self.gates = nn.Linear(units, 2 * self.heads)
        self.read = nn.Linear(width, self.heads * self.KEYS)
        self.faster = nn.Parameter(torch.linspace(-4, 1, self.heads))

    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return U, b of the gates (alpha, beta), and the decays."""
        U, b = _short(self.gates)
        least = fn.softplus(b[: self.heads] - SPAN)
        return U, b, -math.log(self.rate) / least * (1 + fn.softplus(self.faster))

    def forward(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        r"""Return S^T q of every head, and the last S; all times of a window at once.

        With G_t the product of alpha up to t, S_t = G_t S_0 + sum_{s <= t} (G_t / G_s) k_s u_s^T,
        where (1 + tril(beta_t (G_t / G_s) k_t^T k_s)) u = beta (v - G_t S_0^T k_t).
        """
        U, b, decay = self.parts()
        T, B = x.shape[:2]
        u = torch.tanh(self.enter(x))

        def by_head(rows: Tensor) -> Tensor:  # (B, heads, T, ...)
            # of no sequences, too, a size has to be said
            each = math.prod(rows.shape[2:]) // self.heads
            return rows.view(T, B, self.heads, each).permute(1, 2, 0, 3)

        k, v = by_head(self.rows(u)).split([self.KEYS, self.VALUES], dim=-1)
        k = k * torch.rsqrt((k * k).sum(-1, keepdim=True) + KEY_EPS)
        q = by_head(self.read(x))
        p, c = by_head(fn.linear(u, U, b).view(T, B, 2, self.heads).transpose(2, 3)).unbind(-1)
        fade = torch.cumsum(-decay[:, None] * fn.softplus(p), -1)
        beta = torch.sigmoid(c)[..., None]
        later = torch.tril(torch.ones(T, T, dtype=torch.bool, device=x.device))
        ratio = torch.exp(torch.where(later, fade[..., :, None] - fade[..., None, :], -math.inf))
        whole = torch.exp(fade)[..., None]
        start = x.new_zeros(B, self.heads, self.KEYS, self.VALUES) if state is None else state
        L = beta * torch.tril(ratio * (k @ k.transpose(-1, -2)), -1)
        right = beta * (v - whole * (k @ start))
        w = torch.linalg.solve_triangular(L, right, upper=False, unitriangular=True)
        y = whole * (q @ start) + (ratio * (q @ k.transpose(-1, -2))) @ w
        last = whole[..., -1:, :] * start + (ratio[..., -1, :, None] * k).transpose(-1, -2) @ w
        return y.permute(2, 0, 1, 3).flatten(2), last

    def to_map(self) -> theory.Map:
        """Return the delta rule; its rows are keys, values, -p and beta."""
        U, b, decay = (_double(p) for p in self.parts())
        rows, own = _arrays(self.rows)
        each = self.KEYS + self.VALUES
        index = np.arange(len(rows)).reshape(self.heads, each)
        order = np.concatenate([index[:, : self.KEYS].ravel(), index[:, self.KEYS :].ravel()])
        n = self.heads
        return maps.DeltaRule(
            np.vstack([rows[order], -U[:n], U[n:]]), np.concatenate([own[order], -b[:n], b[n:]]),
            decay=decay, heads=n, keys=self.KEYS, values=self.VALUES, eps=KEY_EPS,
        )  # fmt: skip

    def queries(self) -> tuple[Function, Function]:
        """Return the dense layer of the queries, and how the memory is read."""
        read = maps.Read(self.heads, keys=self.KEYS, values=self.VALUES)
        return Dense(*_arrays(self.read)), read


#: What is added to the squared length of a key.
KEY_EPS = 1e-2

CORES: dict[str, type[Core]] = {
    "mingru": MinGRU, "lru": LRU, "rglru": RGLRU, "selective": Selective, "delta": Delta,
}  # fmt: skip


class Dropout(nn.Module):
    """Dropout with one mask for all times of a window (Gal and Ghahramani 2016)."""

    def __init__(self, p: float, *, time: int = 0) -> None:
        super().__init__()
        self.p, self.time = p, time

    def forward(self, x: Tensor) -> Tensor:
        """Return x with entries left out, the others larger."""
        if not self.p or not self.training:
            return x
        shape = list(x.shape)
        shape[self.time] = 1
        return x * (torch.rand(shape, device=x.device) >= self.p).div(1 - self.p)


#: Leaves nothing out.
_WHOLE = Dropout(0.0)


class Norm(nn.Module):
    """Division by the root of the mean square, without a gain: the next layer has one."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x / sqrt(mean(x^2) + EPS)."""
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPS)


class Layer(nn.Module):
    """Norm, recurrence, gated units, both residual; or the recurrence alone if it is bare."""

    def __init__(self, core: str, width: int, rate: float, dropout: float, bare: bool) -> None:
        super().__init__()
        self.core = CORES[core](width, width, rate)
        self.bare = bare
        self.leave = nn.Linear(self.core.reads, width)
        self.norm, self.drop = Norm(), Dropout(dropout)
        if not bare:
            self.wide, self.narrow = nn.Linear(width, 2 * width), nn.Linear(width, width)

    def forward(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the next stream and the last state of the recurrence."""
        seen = x if self.bare else self.norm(x)
        if self.core.half:
            h, state = self.core(seen, state)
        else:
            with torch.autocast(x.device.type, enabled=False):
                h, state = self.core(seen.float(), state)
        if self.bare:
            return self.leave(h), state
        x = x + self.drop(self.leave(h))
        gate, value = self.wide(self.norm(x)).chunk(2, dim=-1)
        return x + self.drop(self.narrow(fn.silu(gate) * value)), state

    def to_map(self, last: bool) -> Block:
        """Return the block; the last one ends with the norm before the output."""
        n = self.leave.out_features
        core = self.core.to_map()
        size = core.state_dim + n
        norm = Normalize(np.ones(n), eps=EPS)
        first: list[Function] = [] if self.bare else [norm]
        W, b = _arrays(self.leave)
        stream = Select(core.state_dim, stop=size, size=size)
        h: Function = Select(0, stop=core.state_dim, size=size)
        if isinstance(self.core, Selective | Delta):
            queries, read = self.core.queries()
            h = Chain([Concatenate([h, Chain([stream, *first, queries])]), read])
        grown: Function = Chain([h, Dense(W, b)])
        if not self.bare:
            if isinstance(h, Select):
                grown = Dense(np.hstack([W, np.eye(n)]), b)
            else:
                grown = Sum([stream, grown])
            gate = Chain([Select(0, stop=n, size=2 * n), Pointwise("silu", n)])
            value = Select(n, stop=2 * n, size=2 * n)
            branch = Chain(
                [norm, Dense(*_arrays(self.wide)), Product([gate, value]),
                 Dense(*_arrays(self.narrow))]
            )  # fmt: skip
            after = [grown, Sum([Select(0, stop=n, size=n), branch]), *([norm] if last else [])]
            grown = Chain(after)
        before = Chain([*first, *self.core.before()])
        return Block(core, before=before, after=grown)


class Mixed(nn.Module):
    """Sums over the last WIDTH inputs, weighted channel by channel: a short convolution."""

    WIDTH = 4

    def __init__(self, width: int) -> None:
        super().__init__()
        weights = torch.randn(width, self.WIDTH) / 2
        weights[:, -1] = 1.0
        self.weights = nn.Parameter(weights)

    def forward(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the sums, (T, B, n), and the inputs that the next ones still see."""
        last = self.WIDTH - 1
        seen = torch.cat([x.new_zeros(last, *x.shape[1:]) if state is None else state, x])
        T = len(x)
        total = self.weights[:, last] * x
        for j in range(last):
            total = total + self.weights[:, j] * seen[j : j + T]
        return total, seen[T:]

    def to_map(self) -> Block:
        """Return the block, whose transition is a shift."""
        return maps.short_convolution(_double(self.weights))


class Network(nn.Module):
    """Embedding, two blocks behind short convolutions, or one bare recurrence, and an output.

    With `table` the embedding is so wide, and followed by tanh and a dense layer.  What are no
    tokens, piano rolls, goes through a dense layer.
    """

    def __init__(
        self, core: str, *, inputs: int, classes: int, width: int, rate: float,
        dropout: float = 0.0, bare: bool = False, table: int = 0, tokens: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        # a narrow table has fewer ways to learn rare tokens by heart
        self.table = nn.Embedding(inputs, table or width) if tokens else None
        seen = table if tokens else inputs
        self.enter = nn.Linear(seen, width) if seen else None
        self.layers = nn.ModuleList(
            Layer(core, width, rate, dropout, bare) for _ in range(1 if bare else 2)
        )
        self.drop, self.head = Dropout(dropout), nn.Linear(width, classes)
        self.norm, self.bare = Norm(), bare
        self.mixed = nn.ModuleList([] if bare else [Mixed(width) for _ in self.layers])

    def encoder(self, x: Tensor, drop: Dropout = _WHOLE) -> Tensor:
        """Return the vectors of inputs; `drop` leaves entries of them out."""
        if self.table is None:
            return self.enter(drop(x))
        rows = self.table(x)
        return drop(rows) if self.enter is None else self.enter(drop(torch.tanh(rows)))

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Return the outputs (batch, time, classes) and the states of the recurrences."""
        h, states = self.encoder(x.transpose(0, 1), self.drop), []
        layers: Any = (
            self.layers if self.bare else chain(*zip(self.mixed, self.layers, strict=True))
        )
        for i, layer in enumerate(layers):
            h, last = layer(h, None if state is None else state[i])
            states.append(last)
        h = h if self.bare else self.norm(h)
        return self.head(self.drop(h)).transpose(0, 1), tuple(states)


class Restarted(nn.Module):
    """The k-step counterpart of a network: every output starts from zero k inputs back."""

    def __init__(self, network: nn.Module, k: int) -> None:
        super().__init__()
        self.network, self.k = network, k

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the outputs, and the last k - 1 inputs."""
        seen = x if state is None else torch.cat([state, x], 1)
        k = min(self.k, seen.shape[1])
        # before k inputs there are, the network itself has no more
        parts = [self.network(seen[:, :k])[0]]
        windows = seen.unfold(1, k, 1).movedim(-1, 2)
        for row in windows[:, 1:].split(1024, dim=1):
            flat = self.network(row.flatten(0, 1))[0][:, -1]
            parts.append(flat.unflatten(0, row.shape[:2]))
        return torch.cat(parts, 1)[:, -x.shape[1] :], seen[:, max(seen.shape[1] - k + 1, 0) :]


def to_map(model: Network) -> theory.Map:
    """Return the network up to its output layer as a map, in double precision."""
    blocks = [layer.to_map(last=layer is model.layers[-1]) for layer in model.layers]
    if model.bare:
        return blocks[0]
    mixed = [layer.to_map() for layer in model.mixed]
    return theory.Cascade(list(chain(*zip(mixed, blocks, strict=True))))
