"""Receptive fields of the systems that the essay names, by structure and by asking."""

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra: torch)")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

from theory.torch import receptive_field  # noqa: E402


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


class Chomp(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.size = size

    def forward(self, x):
        return x[:, :, : -self.size].contiguous()


class Residual(nn.Module):
    """A block of a temporal convolutional network: two convolutions, both cut on the right."""

    def __init__(self, inputs, outputs, size, dilation):
        super().__init__()
        pad = (size - 1) * dilation
        normed = nn.utils.parametrizations.weight_norm

        def half(width):
            layer = nn.Conv1d(width, outputs, size, padding=pad, dilation=dilation)
            return [normed(layer), Chomp(pad), nn.ReLU(), nn.Dropout(0.2)]

        self.net = nn.Sequential(*half(inputs), *half(outputs))
        self.skip = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x):
        return F.relu(self.net(x) + (x if self.skip is None else self.skip(x)))


class WaveNet(nn.Module):
    def __init__(self, dilations, size=2, width=6):
        super().__init__()
        self.first = nn.Conv1d(3, width, 1)
        self.sizes = [(size - 1) * d for d in dilations]
        self.layers = nn.ModuleList(
            nn.Conv1d(width, 2 * width, size, dilation=d) for d in dilations
        )
        self.mix = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in dilations)
        self.out = nn.Conv1d(width, 4, 1)

    def forward(self, x):
        h, total = self.first(x), 0
        for size, layer, mix in zip(self.sizes, self.layers, self.mix, strict=True):
            a, b = layer(F.pad(h, (size, 0))).chunk(2, dim=1)
            z = mix(torch.tanh(a) * torch.sigmoid(b))
            h, total = h + z, total + z
        return self.out(F.relu(total))


class Gated(nn.Module):
    """A gated convolution of a language model: words in, time in the middle."""

    def __init__(self, size, depth):
        super().__init__()
        self.words = nn.Embedding(11, 6)
        self.layers = nn.ModuleList(nn.Conv1d(6, 12, size) for _ in range(depth))
        self.out = nn.Linear(6, 11)

    def forward(self, x):
        h = self.words(x).transpose(1, 2)
        for layer in self.layers:
            h = h + F.glu(layer(F.pad(h, (layer.kernel_size[0] - 1, 0))), dim=1)
        return self.out(h.transpose(1, 2))


class Attention(nn.Module):
    def __init__(self, mask, layers=2, causal=False):
        super().__init__()
        self.words, self.norm = nn.Embedding(11, 8), nn.LayerNorm(8)
        self.parts, self.out = nn.Linear(8, 24), nn.Linear(8, 11)
        self.count, self.causal = layers, causal
        self.register_buffer("mask", mask)

    def forward(self, x):
        h = self.words(x)
        for _ in range(self.count):
            parts = self.parts(self.norm(h)).chunk(3, dim=-1)
            q, k, v = (parts[i].unflatten(-1, (2, 4)).transpose(1, 2) for i in range(3))
            a = F.scaled_dot_product_attention(q, k, v, attn_mask=self.mask, is_causal=self.causal)
            h = h + a.transpose(1, 2).flatten(2)
        return self.out(h)


class Heads(nn.Module):
    def __init__(self, mask):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.register_buffer("mask", mask)

    def forward(self, x):
        return self.attention(x, x, x, attn_mask=self.mask, need_weights=False)[0]


def lags(T):
    i = torch.arange(T)
    return i[:, None] - i[None, :]


def window(T, w):
    return (lags(T) >= 0) & (lags(T) < w)


WORDS = torch.arange(40).reshape(1, 40) % 11


@pytest.mark.parametrize(
    ("module", "example", "time", "k"),
    [
        (nn.Sequential(Residual(3, 5, 3, 1), Residual(5, 5, 3, 2)), torch.zeros(2, 3, 40), -1, 13),
        (WaveNet([1, 2, 4, 8]), torch.zeros(1, 3, 50), -1, 16),
        (WaveNet([1, 2, 1, 2], size=3), torch.zeros(1, 3, 50), -1, 13),
        (Gated(4, 3), WORDS, 1, 10),
        (Attention(window(40, 5)), WORDS, 1, 9),
        (Heads(~window(30, 4)), torch.zeros(1, 30, 8), 1, 4),
        (nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Tanh()), torch.zeros(1, 9, 3), 1, 1),
        (nn.Conv1d(3, 2, 4), torch.zeros(1, 3, 20), -1, 1),
    ],
)
def test_exact_fields(module, example, time, k):
    module.train()
    found = receptive_field(module, example, time=time)
    assert found.k == k
    assert {found.probed[0], found.probed[-1]} == {found.lags[0], found.lags[-1]}
    assert module.training
    if not isinstance(module, nn.Conv1d):
        assert found.causal


def test_the_counterpart_of_k_inputs_is_the_module_itself():
    """What k is for: the output at any time from its last k inputs alone."""
    module, x = Gated(3, 2).eval(), WORDS
    k = receptive_field(module, x, time=1).k
    whole = module(x)
    for t in (k - 1, 20, 39):
        assert torch.allclose(module(x[:, t + 1 - k : t + 1])[:, -1], whole[:, t], atol=1e-6)


def test_lags_may_have_holes_and_later_inputs_are_told():
    found = receptive_field(nn.Conv1d(1, 1, 3, dilation=4), torch.zeros(1, 1, 40))
    assert found.lags == (0, 4, 8)
    assert (found.k, found.future, found.causal) == (1, 8, False)
    assert str(found) == "receptive field of 1 inputs, 8 later ones beside, 6 of them skipped"
    middle = receptive_field(nn.Conv1d(1, 1, 5, padding="same"), torch.zeros(1, 1, 30))
    assert (middle.k, middle.future) == (3, 2)


ALIBI = torch.where(lags(40) >= 0, -0.5 * lags(40).float(), -torch.inf)


@pytest.mark.parametrize(
    ("module", "example"),
    [
        (nn.LSTM(3, 4, batch_first=True), torch.zeros(1, 20, 3)),
        (Attention(None), WORDS),
        (Attention(None, causal=True), WORDS),
        (Attention(window(40, 40)), WORDS),
        (Attention(ALIBI), WORDS),  # soft only: theory.memory.attention_gap
        (nn.Sequential(nn.Conv1d(20, 4, 1), nn.GroupNorm(1, 4)), torch.zeros(1, 20, 9)),
    ],
)
def test_what_sees_all_has_no_field(module, example):
    time = -1 if isinstance(module, nn.Sequential) else 1
    assert receptive_field(module, example, time=time) is None


class Hooked(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv1d(1, 1, 2)
        self.layer.register_forward_hook(lambda _, args, out: out + args[0][:, :, 3:4])

    def forward(self, x):
        return self.layer(F.pad(x, (1, 0)))


def dead():
    layer = nn.Conv1d(1, 1, 3)
    with torch.no_grad():
        layer.weight[:, :, 0] = 0
    return layer


class Sorted(nn.Module):
    def forward(self, x):
        return torch.sort(x, dim=-1)[0]


class Deciding(nn.Module):
    def forward(self, x):
        return x if torch.equal(x, x) else -x


@pytest.mark.parametrize(
    ("module", "example", "message"),
    [
        (Hooked(), torch.zeros(1, 1, 20), "depend on different lags"),
        (dead(), torch.zeros(1, 1, 20), "the first lag is 0, but of 8 draws none reached it"),
        (nn.Conv1d(1, 1, 3), torch.zeros(1, 1, 3), "too short to tell a field"),
        (nn.Conv1d(1, 1, 3, stride=2), torch.zeros(1, 1, 30), "strides and positions have none"),
        (Sorted(), torch.zeros(1, 1, 20), "sort is not an operation whose times are known"),
        (Deciding(), torch.zeros(1, 1, 20), "equal, by which values decide what is done"),
        (nn.Conv1d(1, 1, 3, padding=1, padding_mode="circular"), torch.zeros(1, 1, 9), "circular"),
        (torch.zeros(2, 2), torch.zeros(1, 1, 20), r"needed a torch\.nn\.Module"),
        (nn.Conv1d(1, 1, 3), torch.zeros(4), "needed a tensor with an axis of time"),
    ],
)
def test_refused(module, example, message):
    with pytest.raises(ValueError, match=message):
        receptive_field(module, example)


def test_one_class_is_no_example():
    with pytest.raises(ValueError, match="needed classes that differ"):
        receptive_field(Gated(2, 1), torch.zeros(1, 20, dtype=torch.long), time=1)


def test_what_is_seen_beyond_the_structure_is_an_error():
    from theory.torch.receptive_field import _compare

    with pytest.raises(ValueError, match=r"depends on lags \[-5\], which its structure does not"):
        _compare((-2, 0), (-5, -2, 0))
