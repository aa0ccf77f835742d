"""Projections and parametrizations of PyTorch modules; skipped where PyTorch is not installed."""

import numpy as np
import pytest

from theory import Inputs, VanillaRNN, contraction, rigor
from theory.errors import MissingExtraError
from theory.projections.gated import certify
from theory.torch import (
    MetricBall,
    RowSums,
    SpectralBall,
    StableProjection,
    layer_map,
    layers,
    parametrize_stable,
)

torch = pytest.importorskip("torch", reason="PyTorch, the extra 'torch', is not installed")
nn = torch.nn

MODULES = {
    "rnn": lambda: nn.RNN(3, 6, num_layers=2, bidirectional=True),
    "rnn relu": lambda: nn.RNN(3, 6, nonlinearity="relu"),
    "rnn cell": lambda: nn.RNNCell(3, 6).double(),
    "lstm": lambda: nn.LSTM(3, 6, num_layers=2),
    "lstm without bias": lambda: nn.LSTM(3, 6, bias=False),
    "lstm cell": lambda: nn.LSTMCell(3, 6),
    "gru": lambda: nn.GRU(3, 6, num_layers=2),
    "gru without bias": lambda: nn.GRU(3, 6, bias=False),
    "gru cell": lambda: nn.GRUCell(3, 6).double(),
}


def make(name, size=6.0):
    torch.manual_seed(0)
    module = MODULES[name]()
    with torch.no_grad():
        for p in module.parameters():
            p.mul_(size)
    return module


def train(module, steps=3, rate=0.5, attach=None):
    torch.manual_seed(1)
    dtype = next(module.parameters()).dtype
    cell = isinstance(module, nn.RNNCell | nn.LSTMCell | nn.GRUCell)
    x = torch.randn(*((5, 3) if cell else (7, 5, 3)), dtype=dtype)
    optimizer = torch.optim.SGD(module.parameters(), lr=rate)
    handle = None if attach is None else attach.attach(optimizer)
    for _ in range(steps):
        optimizer.zero_grad()
        out = module(x)
        out = out[0] if isinstance(out, tuple) else out
        # upwards, but bounded: a relu network would overflow
        (-torch.tanh(out).square().sum()).backward()
        optimizer.step()
    return handle


@pytest.mark.parametrize("name", MODULES)
def test_projection_in_a_loop(name):
    module = make(name)
    stable = StableProjection(module, rate=0.9, every=2)
    pointers = [p.data_ptr() for p in module.parameters()]
    train(module, 4, attach=stable)
    assert [p.data_ptr() for p in module.parameters()] == pointers
    found = stable.certificates()
    assert len(found) == len(layers(module)[1])
    assert all(c is not None and c.lam <= 0.9 for c in found)
    before = [p.clone() for p in module.parameters()]
    stable.project()
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


@pytest.mark.parametrize("onto", ["linf", "l1", "lmi"])
def test_other_sets(onto):
    module = make("rnn relu", 2.0)
    stable = StableProjection(module, rate=0.9, onto=onto)
    stable.project()
    (c,) = stable.certificates()
    assert c is not None
    assert c.lam <= 0.9
    train(module, 2)
    if onto == "lmi":
        stable.project()
        assert stable.certificates()[0] is not None


def test_every_and_handle():
    module = make("rnn relu")
    stable = StableProjection(module, rate=0.9, every=3)
    assert [stable.step() for _ in range(6)] == [False, False, True, False, False, True]
    handle = train(module, 3, attach=stable)
    assert stable.calls == 9
    handle.remove()
    train(module, 1)
    assert stable.calls == 9


def test_without_projection_it_leaves_the_set():
    module = make("rnn relu", 2.0)
    stable = StableProjection(module, rate=0.9)
    stable.project()
    assert stable.certificates() != [None]
    train(module, 3, rate=0.5)
    assert stable.certificates() == [None]


def test_only_the_forget_gate_moves_input_weights():
    module = make("lstm cell")
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    StableProjection(module, rate=0.9).project()
    rows = torch.ones(24, dtype=torch.bool)
    rows[6:12] = False
    for name in ("weight_ih", "bias_ih", "bias_hh"):
        assert torch.equal(before[name][rows], getattr(module, name)[rows])


def test_a_gru_is_read_as_torch_computes_it():
    module = make("gru cell", 2.0)
    made, rng = layer_map(module, ""), np.random.default_rng(0)
    for _ in range(3):
        h, x = rng.uniform(-1, 1, 6), rng.uniform(-1, 1, 3)
        theirs = module(torch.from_numpy(x), torch.from_numpy(h)).detach().numpy()
        assert np.allclose(made.step(h, x), theirs, atol=1e-12)


def test_members_of_the_gru_set_stay():
    module = make("gru cell", 1e-3)
    before = [p.detach().clone() for p in module.parameters()]
    stable = StableProjection(module, rate=0.9)
    stable.project()
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


def certified_rate(module, suffix):
    made = layer_map(module, suffix)
    if layers(module)[0] != "rnn":
        return certify(made, 1.0).lam
    return contraction(made, method="spectral").lam


@pytest.mark.parametrize("name", MODULES)
def test_parametrization_stays_inside(name):
    module = make(name, 2.0)
    parametrize_stable(module, rate=0.9)
    for _ in range(2):
        for suffix in layers(module)[1]:
            assert certified_rate(module, suffix) <= 0.9
        train(module, 2, rate=5.0)


def test_metric_parametrization():
    module = make("rnn relu", 2.0)
    parametrize_stable(module, rate=0.9, onto="lmi")
    metric = module.parametrizations.weight_hh_l0[0]
    assert isinstance(metric, MetricBall)
    train(module, 3, rate=2.0)
    assert contraction(layer_map(module, "_l0"), method="lmi").lam <= 0.9


def test_spectral_parametrization_is_onto_and_smooth():
    ball = SpectralBall(0.9)
    W = torch.randn(5, 5, dtype=torch.float64)
    W = 0.5 * W / torch.linalg.matrix_norm(W, 2)
    assert torch.allclose(ball(ball.right_inverse(W)), W, atol=1e-12)
    X = torch.randn(4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(ball, (X,))
    for size in (1e-30, 1e-3, 1.0, 1e4, 1e8, 1e30):
        wide = ball((size * torch.randn(6, 6)).float())
        assert rigor.spectral_norm_at_most(wide.double().numpy(), 0.9)
    X = torch.full((3, 3), 1e150, dtype=torch.float64, requires_grad=True)
    ball(X).sum().backward()
    assert torch.isfinite(X.grad).all()


def test_row_sums_parametrization():
    limits = np.array([1.0, np.inf, 0.25])
    rows = RowSums(limits)
    X = torch.tensor([[2.0, -2.0], [5.0, 5.0], [0.1, 0.1]])
    Y = rows(X)
    assert torch.equal(Y[1:], X[1:])
    assert float(Y[0].abs().sum()) <= 1.0
    assert torch.equal(rows(torch.zeros(3, 2)), torch.zeros(3, 2))


def test_bad_input():
    for bad in (nn.Linear(2, 2), nn.LSTM(2, 4, proj_size=2), None):
        with pytest.raises(ValueError, match="needed a"):
            StableProjection(bad, rate=0.9)
    module = make("rnn relu")
    for options, message in (
        ({"rate": 1.0}, "border"),
        ({"rate": 0.9, "every": 0}, "every="),
        ({"rate": 0.9, "onto": "lstm"}, "onto="),
        ({"rate": 0.9, "inputs": 0.0}, "does not say which inputs"),
        ({"rate": 0.9, "inputs": Inputs.box(0, 0)}, "not all 0"),
    ):
        with pytest.raises(ValueError, match=message):
            StableProjection(module, **options)
    other = contraction(layer_map(nn.RNN(3, 5), "_l0"), method="lmi")
    with pytest.raises(ValueError, match="dimension 5, needed 6"):
        StableProjection(module, rate=0.9, onto="lmi", metric=other)
    with pytest.raises(ValueError, match="matrix inequality"):
        MetricBall(contraction(VanillaRNN([[0.5]], [[1.0]]), method="spectral"), 0.9)
    with pytest.raises(ValueError, match="onto="):
        parametrize_stable(module, rate=0.9, onto="linf")
    with pytest.raises(ValueError, match="forget"):
        StableProjection(make("lstm cell"), rate=0.9, forget=0.95)
    with pytest.raises(ValueError, match="forget="):
        StableProjection(make("gru cell"), rate=0.9, forget=0.7)
    with pytest.raises(ValueError, match="more than 1/2"):
        StableProjection(make("gru cell"), rate=0.5)


def test_without_pytorch(monkeypatch):
    import theory.torch

    monkeypatch.setattr(theory.torch, "torch", None)
    with pytest.raises(MissingExtraError, match=r"stable-recurrent-models\[torch\]"):
        StableProjection(None, rate=0.9)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_refused(dtype):
    module = torch.nn.RNN(3, 4).to(getattr(torch, dtype))
    for keep in (StableProjection, parametrize_stable):
        with pytest.raises(ValueError, match=r"module.float\(\)"):
            keep(module, rate=0.9)


def test_parametrized_modules_are_not_changed_in_place():
    module = torch.nn.RNN(3, 4)
    parametrize_stable(module, rate=0.9)
    with pytest.raises(ValueError, match="is parametrized"):
        StableProjection(module, rate=0.5)


def test_parametrized_gru_at_small_rates():
    """Bounds of gates below 1/2 make empty sets, which must not be chosen."""
    for rate in (0.6, 0.65, 0.7):
        module = torch.nn.GRU(2, 4)
        parametrize_stable(module, rate=rate)
        c = certify(layer_map(module, "_l0"), 1.0)
        assert c is not None
        assert c.lam <= rate


def test_members_of_the_lstm_set_stay():
    """Also where the sum of the two biases is no number of single precision."""
    torch.manual_seed(0)
    for size in (0.01, 0.05):
        module = nn.LSTM(3, 6)
        with torch.no_grad():
            for p in module.parameters():
                p.mul_(size)
        b = module.bias_ih_l0.double() + module.bias_hh_l0.double()
        assert not torch.equal(b, b.float().double())
        before = [p.detach().clone() for p in module.parameters()]
        stable = StableProjection(module, rate=0.95)
        stable.project()
        assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))
        (c,) = stable.certificates()
        assert c is not None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["lstm", "gru", "lstm without bias", "rnn relu"])
def test_a_second_guide_leaves_what_the_first_has_moved(name, dtype):
    for size in (0.3, 1.0, 4.0):
        module = make(name, size).to(getattr(torch, dtype))
        first = StableProjection(module, rate=0.9)
        first.project()
        moved = [p.detach().clone() for p in module.parameters()]
        first.project()
        assert all(torch.equal(a, b) for a, b in zip(moved, module.parameters(), strict=True))
        # the bounds of a GRU's gates are chosen anew, and may be others
        if not name.startswith("gru"):
            StableProjection(module, rate=0.9).project()
            assert all(torch.equal(a, b) for a, b in zip(moved, module.parameters(), strict=True))
        assert all(c is not None for c in first.certificates())


def test_units_inside_keep_their_biases():
    """The forget gate of one unit is outside; the biases of the others are not written again."""
    torch.manual_seed(1)
    module = nn.LSTMCell(3, 6)
    with torch.no_grad():
        for p in module.parameters():
            p.mul_(0.01)
        module.weight_hh[6, 0] = 5.0
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    StableProjection(module, rate=0.95).project()
    rows = torch.ones(24, dtype=torch.bool)
    rows[6] = False
    for name, p in module.named_parameters():
        assert torch.equal(before[name][rows], p[rows])
    assert not torch.equal(before["bias_ih"], module.bias_ih)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("corner", "rate"), [(0.95, 0.9), (1.0, 0.99), (3.0, 0.9)])
def test_metric_balls_hold_members_that_no_metric_near_the_identity_does(corner, rate, dtype):
    """Weights far apart would leave nothing of the ball in single precision."""
    module = nn.RNN(1, 2, dtype=getattr(torch, dtype))
    with torch.no_grad():
        module.weight_hh_l0.copy_(torch.tensor([[0.5, corner], [0.0, 0.5]]))
    W = module.weight_hh_l0.detach().clone()
    parametrize_stable(module, rate=rate, onto="lmi")
    assert torch.allclose(module.weight_hh_l0, W, atol=2e-3 * corner)
    c = contraction(layer_map(module, "_l0"), method="lmi")
    assert c is not None
    assert c.lam <= rate


def test_metrics_too_far_from_single_precision_are_refused():
    P, q = np.diag([1.0, 2.0**-40]), np.array([1.0, 2.0**-40])
    ball = MetricBall((P, q), 0.9)
    assert torch.isfinite(ball(torch.eye(2, dtype=torch.float64))).all()
    with pytest.raises(ValueError, match=r"module.double\(\)"):
        ball(torch.eye(2))


@pytest.mark.parametrize("onto", ["spectral", "lmi"])
def test_balls_follow_the_module(onto, tmp_path):
    """To another precision and back, into a file, and from there into another module."""
    module = make("rnn relu", 2.0).double()
    parametrize_stable(module, rate=0.9, onto=onto)
    W = module.weight_hh_l0.detach().clone()
    module.float()
    assert module.weight_hh_l0.dtype == torch.float32
    assert torch.allclose(module.weight_hh_l0.double(), W, atol=1e-4)
    c = contraction(layer_map(module, "_l0"), method=onto)
    assert c is not None
    assert c.lam <= 0.9
    torch.save(module.state_dict(), tmp_path / "module.pt")
    other = make("rnn relu", 0.5).float()
    parametrize_stable(other, rate=0.5, onto=onto)
    other.load_state_dict(torch.load(tmp_path / "module.pt", weights_only=True))
    assert torch.equal(other.weight_hh_l0, module.weight_hh_l0)
    with pytest.raises(ValueError, match=r"module.float\(\)"):
        module.to(torch.bfloat16)  # which computes the weights


def test_row_sums_refuse_half_precision():
    module = make("lstm cell")
    parametrize_stable(module, rate=0.9)
    module.to(torch.float16)
    with pytest.raises(ValueError, match=r"module.float\(\)"):
        module.weight_hh  # noqa: B018


def test_weights_that_are_not_finite_stop_it_before_anything_moves():
    module = make("lstm cell")
    before = module.weight_hh.detach().clone()
    stable = StableProjection(module, rate=0.9)
    with torch.no_grad():
        module.bias_ih[8] = np.nan
    with pytest.raises(ValueError, match="bias_ih holds"):
        stable.project()
    assert torch.equal(module.weight_hh, before)


def test_dropout_raises_the_inputs_of_higher_layers():
    torch.manual_seed(0)
    made = {}
    for p in (0.0, 0.5):
        module = nn.LSTM(3, 6, num_layers=2, dropout=p)
        with torch.no_grad():
            module.weight_ih_l1.fill_(0.4)
        StableProjection(module, rate=0.9, forget=0.7).project()
        made[p] = layer_map(module, "_l1")
    bounded = [certify(made[p], 2.0) for p in (0.0, 0.5)]
    assert bounded[0] is None or bounded[0].lam > 0.9
    assert bounded[1].lam <= 0.9


def test_autograd_sees_that_weights_moved():
    module = make("rnn relu")
    out = module(torch.randn(2, 1, 3))[0].sum()
    StableProjection(module, rate=0.5).project()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.backward()


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_the_inputs_that_are_said_are_those_of_the_certificate(kind):
    for inputs, told in (
        (None, "|x_i| <= 1"),
        (Inputs.box(-2, 2), "|x_i| <= 2"),
        (Inputs.ball(0.5), "|x_i| <= 0.5"),
        (np.array([[0.0, 0.0, 3.0]]), "|x_i| <= 3"),
    ):
        module = {"lstm": nn.LSTM, "gru": nn.GRU}[kind](3, 4)
        stable = StableProjection(module, rate=0.9, inputs=inputs)
        stable.project()
        (certificate,) = stable.certificates()
        assert certificate.lam <= 0.9
        assert str(certificate.domain.inputs) == told
