r"""Two blocks of Mamba, or of minGRU, trained on characters in PyTorch, and the same as maps.

Nothing is constrained: these are the blocks as they are used, small enough for a minute of one
core.

Main names: `Network`, `train`, `to_map`.
"""

from __future__ import annotations

import math

import numpy as np

try:
    import torch
    import torch.nn.functional as fn
    from torch import Tensor, nn
except ImportError:
    from theory.errors import MissingExtraError

    raise MissingExtraError("torch", "experiments", "training the networks") from None

from _blocks import Norm, scan

import theory
from theory.maps import (
    Block,
    Chain,
    Concatenate,
    Dense,
    Function,
    Normalize,
    Pointwise,
    Product,
    Read,
    Select,
    Sum,
    short_convolution,
)

#: What is added to the mean square of a norm, as in `_blocks`.
EPS = 0.1

#: Inputs that the short convolution of a Mamba block sees, and states of each of its channels.
TAPS, STATES = 4, 4


class MinGRU(nn.Module):
    """x + sigma(G norm x) W h, where h is a minGRU over norm x."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.enter = Norm(), nn.Linear(width, 2 * width)
        self.gate, self.leave = nn.Linear(width, width), nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the next stream, (T, B, d)."""
        u = self.norm(x)
        z, new = self.enter(u).chunk(2, dim=-1)
        z = torch.sigmoid(z)
        h = scan(1 - z, z * torch.tanh(new), torch.zeros_like(x[0]))
        return x + torch.sigmoid(self.gate(u)) * self.leave(h)

    def split(self) -> Function:
        """Return what is made of x before times mix: x itself, and the arguments of all gates."""
        n = self.leave.in_features
        (W, b), (G, c) = _arrays(self.enter), _arrays(self.gate)
        gates = Dense(np.vstack([W, G]), np.append(b, c))
        x = Select(0, stop=n, size=n)
        return Concatenate([x, Chain([Normalize(np.ones(n), eps=EPS), gates])])

    def to_maps(self, after: Function) -> list[theory.Map]:
        """Return one layer on what `split` gives; its output is what `after` makes of the next."""
        n = self.leave.in_features
        h, x, gate = (Select(a, stop=a + n, size=5 * n) for a in (0, n, 4 * n))
        moved = [Chain([h, Dense(_double(self.leave.weight))]),
                 Chain([gate, Pointwise("sigmoid", n)])]  # fmt: skip
        core = theory.MinGRU(np.eye(2 * n), activation="tanh")
        before = Select(n, stop=3 * n, size=4 * n)
        return [Block(core, before=before, after=Chain([Sum([x, Product(moved)]), after]))]


class Mamba(nn.Module):
    """x + W ((S C + u) silu(z)): a gate z and, behind a short convolution, a selective layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.enter = Norm(), nn.Linear(width, 2 * width, bias=False)
        self.conv = nn.Conv1d(width, width, TAPS, groups=width, padding=TAPS - 1)
        self.step = nn.Linear(width, width)
        self.write = nn.Linear(width, STATES, bias=False)
        self.read = nn.Linear(width, STATES, bias=False)
        self.decay = nn.Parameter(torch.log(torch.arange(1.0, 1 + STATES)).repeat(width, 1))
        self.leave = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the next stream, (T, B, d)."""
        u, z = self.enter(self.norm(x)).chunk(2, dim=-1)
        u = self.conv(u.permute(1, 2, 0))[..., : len(x)].permute(2, 0, 1)
        u = fn.silu(u)
        step = fn.softplus(self.step(u))
        drive = (step * u)[..., None] * self.write(u)[..., None, :]
        fade = torch.exp(-torch.exp(self.decay) * step[..., None])
        S = scan(fade, drive, torch.zeros_like(drive[0]))
        y = (S * self.read(u)[..., None, :]).sum(-1) + u
        return x + self.leave(y * fn.silu(z))

    def split(self) -> Function:
        """Return what is made of x before times mix: x itself, and what enters the two branches."""
        d = self.leave.in_features
        norm, x = Normalize(np.ones(d), eps=EPS), Select(0, stop=d, size=d)
        return Concatenate([x, Chain([norm, Dense(_double(self.enter.weight))])])

    def to_maps(self, after: Function) -> list[theory.Map]:
        """Return two layers: the convolution of what `split` gives, and the recurrence on it.

        The first gives x, z and the convolution u, the second the next stream, already split.
        """
        d = self.leave.in_features
        n = d * STATES
        conv = short_convolution(
            _double(self.conv.weight)[:, 0], _double(self.conv.bias), activation="silu"
        )
        m = conv.state_dim
        x, z, u = (Select(a, stop=a + d, size=m + 3 * d) for a in (m, m + 2 * d, m - d))
        first = Block(conv, before=Select(d, stop=2 * d, size=3 * d), after=Concatenate([x, z, u]))
        size = n + 3 * d
        S, x, z, u = (
            Select(a, stop=b, size=size)
            for a, b in ((0, n), (n, n + d), (n + d, n + 2 * d), (n + 2 * d, size))
        )
        queries = Chain([u, Dense(np.tile(_double(self.read.weight), (d, 1)))])
        y = Sum([Chain([Concatenate([S, queries]), Read(d, keys=STATES, values=1)]), u])
        gate = Chain([z, Pointwise("silu", d)])
        grown = Sum([x, Chain([Product([y, gate]), Dense(_double(self.leave.weight))])])
        step, b = _arrays(self.step)
        second = Block(
            theory.SelectiveSSM(np.exp(_double(self.decay)), step, _double(self.write.weight), b),
            before=Select(2 * d, stop=3 * d, size=3 * d),
            after=Chain([grown, after]),
        )
        return [first, second]


KINDS: dict[str, type[MinGRU | Mamba]] = {"minGRU": MinGRU, "Mamba": Mamba}


class Network(nn.Module):
    """Embedding, two blocks, a norm and a linear output."""

    def __init__(self, kind: str, *, tokens: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(tokens, width)
        nn.init.normal_(self.table.weight, std=0.3)
        self.blocks = nn.ModuleList(KINDS[kind](width) for _ in range(2))
        self.norm, self.head = Norm(), nn.Linear(width, tokens)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, (T, B, tokens), of tokens (T, B)."""
        y = self.table(x)
        for block in self.blocks:
            y = block(y)
        return self.head(self.norm(y))


def to_map(model: Network) -> tuple[theory.Map, np.ndarray]:
    """Return the network up to its output layer as a map, and what it takes for every token.

    That is the embedding with all that the first block makes of it alone: of finitely many tokens
    such numbers are known, where over a box of embeddings a norm may turn them anywhere.
    """
    first, last = model.blocks
    norm = Normalize(np.ones(model.head.in_features), eps=EPS)
    layers = [*first.to_maps(last.split()), *last.to_maps(norm)]
    return theory.Cascade(layers), first.split()(_double(model.table.weight))


def train(
    kind: str, text: np.ndarray, *, tokens: int, width: int, steps: int, seed: int
) -> tuple[Network, float]:
    """Return a network after so many steps of Adam, and its last loss in bits a character."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = Network(kind, tokens=tokens, width=width)
    adam = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.3)
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    recent: list[float] = []
    length, batch = 96, 32
    for _ in range(steps):
        at = rng.integers(0, len(text) - length - 1, batch)
        rows = torch.from_numpy(np.stack([text[i : i + length + 1] for i in at], axis=1))
        logits = model(rows[:-1])
        loss = fn.cross_entropy(logits.flatten(0, 1), rows[1:].flatten())
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
        fall.step()
        recent.append(float(loss.detach()) / math.log(2))
    return model, float(np.mean(recent[-min(50, steps) :]))


def _arrays(layer: nn.Linear) -> tuple[np.ndarray, np.ndarray]:
    return _double(layer.weight), _double(layer.bias)


def _double(value: Tensor) -> np.ndarray:
    return value.detach().cpu().double().numpy()
