r"""The networks of the experiments: recurrent ones, and feed-forward ones that see k inputs.

All map inputs (batch, time) of tokens, or (batch, time, keys), and a state to outputs (batch, time,
classes) and the next state.  The state of a recurrent network is its hidden state; that of a
feed-forward network is the inputs that its next output still sees.

Main names: `Recurrent`, `Windowed`, `GatedConvolution`, `Dilated`, `WindowTransformer`, `build`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Any

try:
    import torch
    import torch.nn.functional as fn
    from torch import Tensor, nn
except ImportError:
    from theory.errors import MissingExtraError

    raise MissingExtraError("torch", "experiments", "training the networks") from None

import _blocks

CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}

#: Those of the paper.
PUBLISHED = ("rnn", "lstm")

#: Recurrences that are stable by construction, bare and as two blocks.
BUILT = tuple(name + shape for shape in ("", "-blocks") for name in _blocks.CORES)


class Encoder(nn.Module):
    """Tokens to vectors in [-1, 1]^m, the box that the certificates of gated cells need.

    Piano rolls are in [0, 1]^88 as they are.
    """

    def __init__(self, inputs: int, width: int, tokens: bool) -> None:
        super().__init__()
        self.table = nn.Embedding(inputs, width) if tokens else None
        self.width = width if tokens else inputs
        self.low = -1.0 if tokens else 0.0

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, time, width)."""
        return x if self.table is None else torch.tanh(self.table(x))


class Recurrent(nn.Module):
    """One layer of tanh units, LSTM or GRU cells, and a linear output."""

    def __init__(
        self, cell: str, encoder: Encoder, hidden: int, classes: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.kind = cell
        self.drop = _blocks.Dropout(dropout, time=1)
        self.encoder = encoder
        self.cell = CELLS[cell](encoder.width, hidden, batch_first=True)
        self.head = nn.Linear(hidden, classes)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Return the outputs and the last state."""
        h, state = self.cell(self.drop(self.encoder(x)), state)
        return self.head(self.drop(h)), state

    def terms(self, x: Tensor) -> Tensor:
        """Return what a step needs of the inputs: U x + b, of GRUs without the bias behind r."""
        weights = self.cell
        own = weights.bias_hh_l0
        if self.kind == "gru":
            n = weights.hidden_size
            own = torch.cat([own[: 2 * n], own.new_zeros(n)])
        return fn.linear(self.encoder(x), weights.weight_ih_l0, weights.bias_ih_l0 + own)

    def step(self, state: tuple[Tensor, ...], terms: Tensor) -> tuple[Tensor, ...]:
        """Return the next state: (h,) of tanh units and GRU cells, (h, c) of LSTM cells."""
        a = fn.linear(state[0], self.cell.weight_hh_l0)
        if self.kind == "gru":
            (h_r, h_z, h_n), (r, z, n) = a.chunk(3, dim=-1), terms.chunk(3, dim=-1)
            reset, update = torch.sigmoid(r + h_r), torch.sigmoid(z + h_z)
            n = torch.tanh(n + reset * (h_n + self.cell.bias_hh_l0.chunk(3)[2]))
            return ((1 - update) * n + update * state[0],)
        a = a + terms
        if self.kind == "rnn":
            return (torch.tanh(a),)
        i, f, g, o = a.chunk(4, dim=-1)
        c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    def rest(self, *shape: int) -> tuple[Tensor, ...]:
        """Return the zero state with these leading dimensions."""
        one = self.cell.weight_hh_l0.new_zeros(*shape, self.cell.hidden_size)
        return (one,) * (2 if self.kind == "lstm" else 1)


class Windowed(nn.Module):
    """The k-step counterpart of a recurrent network: every output starts from zero k inputs back.

    It shares the parameters of the network that it is made of, in training too.
    """

    def __init__(self, network: Recurrent, k: int) -> None:
        super().__init__()
        self.network = network
        self.k = k

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the outputs, from k products over all times, and the last k - 1 inputs."""
        net, width = self.network, x.shape[1]
        seen = x if state is None else torch.cat([state, x], 1)
        terms, T = net.terms(seen), seen.shape[1]
        G = net.rest(len(x), T)
        # stage j takes the input j steps before the last one; rows t < j have no such input
        for j in range(min(self.k, T) - 1, -1, -1):
            new = net.step(tuple(g[:, j:] for g in G), terms[:, : T - j])
            G = tuple(torch.cat([g[:, :j], n], 1) for g, n in zip(G, new, strict=True))
        return net.head(G[0][:, T - width :]), kept(seen, self.k)


def restarted(network: nn.Module, k: int) -> nn.Module:
    """Return the k-step counterpart of a recurrent network."""
    return (Windowed if isinstance(network, Recurrent) else _blocks.Restarted)(network, k)


def kept(seen: Tensor, k: int) -> Tensor:
    """Return the last k - 1 inputs."""
    return seen[:, max(seen.shape[1] - (k - 1), 0) :]


class FeedForward(nn.Module):
    """What the feed-forward networks share: they see the last k inputs."""

    def __init__(self, encoder: Encoder, hidden: int, classes: int, k: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.k = k
        self.enter = nn.Linear(encoder.width, hidden)
        self.head = nn.Linear(hidden, classes)

    def body(self, h: Tensor) -> Tensor:
        """Return the features (batch, time, hidden) of encoded inputs; causal."""
        raise NotImplementedError

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the outputs and the last k - 1 inputs."""
        seen = x if state is None else torch.cat([state, x], 1)
        h = self.body(self.enter(self.encoder(seen)))
        return self.head(h[:, seen.shape[1] - x.shape[1] :]), kept(seen, self.k)


def causal(h: Tensor, layer: nn.Conv1d) -> Tensor:
    """Return a convolution over time that sees nothing of the future: (batch, channels, time)."""
    return layer(fn.pad(h, ((layer.kernel_size[0] - 1) * layer.dilation[0], 0)))


class GatedConvolution(FeedForward):
    """One convolution of width k with gated linear units (Dauphin et al. 2017), residual."""

    def __init__(self, encoder: Encoder, hidden: int, classes: int, k: int) -> None:
        super().__init__(encoder, hidden, classes, k)
        self.layer = nn.Conv1d(hidden, 2 * hidden, k)

    def body(self, h: Tensor) -> Tensor:
        """Return h + a * sigmoid(b), (a, b) the two halves of the convolution."""
        return h + fn.glu(causal(h.transpose(1, 2), self.layer), dim=1).transpose(1, 2)


class Dilated(FeedForward):
    """Residual layers of width 2 with dilations 1, 2, 4, ... (WaveNet, TCN): k is a power of 2."""

    def __init__(self, encoder: Encoder, hidden: int, classes: int, k: int) -> None:
        super().__init__(encoder, hidden, classes, k)
        if k & (k - 1):
            raise ValueError(f"k={k} inputs by doubling dilations, needed a power of 2")
        self.layers = nn.ModuleList(
            nn.Conv1d(hidden, hidden, 2, dilation=2**i) for i in range(k.bit_length() - 1)
        )

    def body(self, h: Tensor) -> Tensor:
        """Return the last layer's features."""
        h = h.transpose(1, 2)
        for layer in self.layers:
            h = h + fn.relu(causal(h, layer))
        return h.transpose(1, 2)


class WindowTransformer(FeedForward):
    """One layer of causal attention over the last k inputs, with biases linear in the distance."""

    def __init__(self, encoder: Encoder, hidden: int, classes: int, k: int) -> None:
        super().__init__(encoder, hidden, classes, k)
        self.heads = 4
        self.queries = nn.Linear(hidden, 3 * hidden)
        self.mixed = nn.Linear(hidden, hidden)
        self.wide = nn.Sequential(
            nn.LayerNorm(hidden), nn.Linear(hidden, 2 * hidden), nn.ReLU(),
            nn.Linear(2 * hidden, hidden),
        )  # fmt: skip
        self.norm = nn.LayerNorm(hidden)

    def body(self, h: Tensor) -> Tensor:
        """Return attention and a feed-forward layer, both residual."""
        B, T, n = h.shape
        q, v, w = (
            a.view(B, T, self.heads, -1).transpose(1, 2)
            for a in self.queries(self.norm(h)).chunk(3, dim=-1)
        )
        time = torch.arange(T, device=h.device)
        lag = (time[:, None] - time[None, :]).float()
        slopes = 2.0 ** -torch.arange(0, 2 * self.heads, 2, device=h.device)
        bias = torch.where((lag >= 0) & (lag < self.k), -lag * slopes[:, None, None], -math.inf)
        mixed = fn.scaled_dot_product_attention(q, v, w, attn_mask=bias)
        h = h + self.mixed(mixed.transpose(1, 2).reshape(B, T, n))
        return h + self.wide(h)


FEED_FORWARD: dict[str, type[FeedForward]] = {
    "gated-conv": GatedConvolution,
    "tcn": Dilated,
    "transformer": WindowTransformer,
}


def count(model: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(p.numel() for p in model.parameters())


def build(
    name: str, *, inputs: int, classes: int, tokens: bool, hidden: int, width: int, k: int | None,
    rate: float = 0.9, dropout: float = 0.0, table: int = 0,
) -> nn.Module:  # fmt: skip
    """Return a network by name, with fresh parameters from torch's global generator.

    A recurrent name with k is the k-step counterpart; of all but RNNs and LSTMs the width is chosen
    so that there are about as many parameters as in an LSTM of `hidden` units.
    """
    if name in PUBLISHED:
        network = Recurrent(name, Encoder(inputs, width, tokens), hidden, classes, dropout)
        return network if k is None else Windowed(network, k)
    if name in BUILT and k is not None:
        raise ValueError(f"{name} sees all inputs, needed no k, received k={k}")
    if name in FEED_FORWARD and k is None:
        raise ValueError(f"{name} sees the last k inputs only, needed k")

    def of(n: int) -> nn.Module:
        if name in BUILT:
            core, _, blocks = name.partition("-")
            return _blocks.Network(
                core, inputs=inputs, classes=classes, width=n, rate=rate, dropout=dropout,
                bare=not blocks, table=table, tokens=tokens,
            )  # fmt: skip
        if name in CELLS:
            network = Recurrent(name, Encoder(inputs, width, tokens), n, classes, dropout)
            return network if k is None else Windowed(network, k)
        return FEED_FORWARD[name](Encoder(inputs, width, tokens), n, classes, k)

    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        budget = count(Recurrent("lstm", Encoder(inputs, width, tokens), hidden, classes))
        step = 8 if name in BUILT else 4
        widths = range(step, (2 * hidden if name in CELLS else 512) + 1, step)
        # the number of parameters grows with the width
        at = bisect_left(widths, budget, key=lambda n: count(of(n)))
        near = widths[max(at - 1, 0) : at + 1]
        best = min(near, key=lambda n: abs(count(of(n)) - budget))
    return of(best)
