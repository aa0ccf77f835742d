"""Projections and parametrizations of PyTorch modules; skipped where PyTorch is not installed."""

import copy
from fractions import Fraction

import numpy as np
import pytest

from theory import Inputs, VanillaRNN, contraction
from theory.arithmetic import rigor
from theory.certify.gate_bounds import certify
from theory.errors import MissingExtraError
from theory.torch import MetricBall, RowSums, SpectralBall, StableProjection, parametrize_stable
from theory.torch.layers import layer_map, layers

torch = pytest.importorskip("torch", reason="PyTorch, the extra 'torch', is not installed")
nn = torch.nn
prune = pytest.importorskip("torch.nn.utils.prune", reason="PyTorch is not installed")

#: PyTorch's older ways to re-make a weight are deprecated, and are in use.
deprecated = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")

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
    monkeypatch.setattr("theory.torch.layers.torch", None)
    with pytest.raises(MissingExtraError, match=r"pip install '\.\[torch\]'"):
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


# ------------------------------------------------------ weights that the forward pass does not read

NAME = "weight_hh_l0"

#: What re-makes a weight by a hook, how it is undone, and what the message says.
REMADE = {
    "weight_norm": (
        lambda m: nn.utils.weight_norm(m, NAME),
        lambda m: nn.utils.remove_weight_norm(m, NAME),
        r"weight_norm, from weight_hh_l0_g, weight_hh_l0_v: .*remove_weight_norm\(module, '",
    ),
    "spectral_norm": (
        lambda m: nn.utils.spectral_norm(m, NAME),
        lambda m: nn.utils.remove_spectral_norm(m, NAME),
        r"spectral_norm, from weight_hh_l0_orig, .*remove_spectral_norm\(module, 'weight_hh_l0'",
    ),
    "prune": (
        lambda m: prune.l1_unstructured(m, NAME, amount=0.3),
        lambda m: prune.remove(m, NAME),
        r"prune \(L1Unstructured\), from weight_hh_l0_orig, weight_hh_l0_mask: .*prune.remove\(",
    ),
    "prune twice": (
        lambda m: prune.random_unstructured(prune.l1_unstructured(m, NAME, 0.3), NAME, 0.2),
        lambda m: prune.remove(m, NAME),
        r"prune \(PruningContainer\), from ",
    ),
}


def used_norm(module):
    """Return the norm of the recurrent weights that a forward pass in evaluation mode has used."""
    with torch.no_grad():
        module.eval()(torch.zeros(1, 1, 3, dtype=torch.float64))
    return rigor.spectral_norm_upper(module.weight_hh_l0.detach().numpy())


@deprecated
@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("maker", REMADE)
def test_weights_that_hooks_remake_are_refused(maker, kind):
    """The projected copy is overwritten by the next forward: 5.59 where 0.9 was certified."""
    make_so, undo, message = REMADE[maker]
    torch.manual_seed(1)
    module = kind(3, 5).double()
    with torch.no_grad():
        module.weight_hh_l0.mul_(6)
    early = StableProjection(module, rate=0.9)
    make_so(module)
    # whatever is refused stays as it is
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    for keep in (StableProjection, parametrize_stable):
        with pytest.raises(ValueError, match=message):
            keep(module, rate=0.9)
    for use in (early.project, early.step, early.certificates):
        with pytest.raises(ValueError, match=message):
            use()
    assert all(torch.equal(before[name], t) for name, t in module.state_dict().items())
    undo(module)
    stable = StableProjection(module, rate=0.9)
    stable.project()
    (c,) = stable.certificates()
    assert c is not None
    assert c.lam <= 0.9
    kept = module.weight_hh_l0.detach().clone()
    norm = used_norm(module)
    assert torch.equal(module.weight_hh_l0, kept)
    assert kind is not nn.RNN or norm <= 0.9


@deprecated
def test_only_weights_that_the_set_is_about_need_be_stored():
    module = nn.utils.weight_norm(make("rnn relu"), "weight_ih_l0")
    stable = StableProjection(module, rate=0.9)
    stable.project()
    assert stable.certificates() != [None]
    with pytest.raises(ValueError, match="weight_ih_l0 is re-made"):
        StableProjection(nn.utils.weight_norm(nn.GRU(3, 4), "weight_ih_l0"), rate=0.9)


class Dropped(nn.Module):
    """Weight drop as wrappers do it; `how` sets the weight before every forward pass."""

    def __init__(self, module, how):
        super().__init__()
        self.module, self.how = module, how
        weight = module.weight_hh_l0
        if how != "parameter":
            del module._parameters[NAME]
        self.weight_hh_l0_raw = nn.Parameter(weight.detach().clone())
        self.put()

    def put(self):
        weight = nn.functional.dropout(self.weight_hh_l0_raw, 0.5, self.training)
        if self.how == "entry":
            self.module._parameters[NAME] = weight
        elif self.how == "parameter":
            self.module.weight_hh_l0 = nn.Parameter(weight.detach())
        else:
            self.module.weight_hh_l0 = weight

    def forward(self, x):
        self.put()
        return self.module(x)


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_weights_that_a_wrapper_sets_are_refused(kind):
    for how, message in (
        ("attribute", "weight_hh_l0 is a plain tensor, not a parameter"),
        ("entry", "weight_hh_l0 is a Tensor, needed a torch.nn.Parameter"),
    ):
        wrapped = Dropped(kind(3, 4), how)
        for keep in (StableProjection, parametrize_stable):
            with pytest.raises(ValueError, match=message):
                keep(wrapped.module, rate=0.9)
    # this one looks like any other until it is set again
    wrapped = Dropped(kind(3, 4), "parameter")
    stable = StableProjection(wrapped.module, rate=0.9)
    stable.project()
    wrapped(torch.zeros(1, 1, 3))
    for use in (stable.project, stable.certificates):
        with pytest.raises(ValueError, match="another parameter than when this projection"):
            use()


def hooked(module):
    module.register_forward_pre_hook(lambda one, _: one.weight_hh_l0.data.mul_(2))
    return module


def listening(module):
    module.register_forward_hook(lambda *_: None)
    return module


def with_keywords(module):
    hook = prune.L1Unstructured(0.5)
    hook._tensor_name = NAME
    module.register_forward_pre_hook(lambda *_, hook=hook: hook, with_kwargs=True)
    return module


def beside(module):
    module.register_buffer("weight_hh_l0_mask", torch.ones(4, 4))
    return module


def replaced(module):
    module.flatten_parameters = lambda: None
    return module


def flat(module):
    module._flat_weights[1] = torch.zeros(4, 4)
    return module


class Twice(nn.RNN):
    def forward(self, x):
        return super().forward(2 * x)


class Scaled(nn.RNN):
    def check_forward_args(self, *given):
        self._flat_weights = [2 * w for w in self._flat_weights]
        super().check_forward_args(*given)


class Mixed:
    def __call__(self, x):
        return x


class Called(Mixed, nn.RNN):
    pass


class Property(nn.RNN):
    weight_hh_l0 = property(lambda _: torch.zeros(4, 4))


class Usual(nn.RNN):
    """A subclass that changes nothing of the forward pass."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.start = nn.Parameter(torch.zeros(4))

    def reset_parameters(self):
        for weight in self.parameters():
            nn.init.normal_(weight)

    def extra_repr(self):
        return "usual"

    def first(self):
        return self.start


@deprecated
@pytest.mark.parametrize(
    ("module", "message"),
    [
        (lambda: hooked(nn.RNN(3, 4)), "hook .*lambda.*runs before the forward pass"),
        (lambda: with_keywords(nn.RNN(3, 4)), "runs before the forward pass"),
        (lambda: listening(nn.RNN(3, 4)), "runs after the forward pass"),
        (lambda: beside(nn.RNN(3, 4)), "weight_hh_l0 and weight_hh_l0_mask are both there"),
        (lambda: replaced(nn.RNN(3, 4)), "flatten_parameters of its own"),
        (lambda: flat(nn.RNN(3, 4)), "_flat_weights"),
        (lambda: Twice(3, 4), "a Twice with a forward pass of its own"),
        (lambda: Scaled(3, 4), r"Scaled defines check_forward_args of torch.nn.RNN again"),
        (lambda: Called(3, 4), "Mixed defines __call__ of torch.nn.RNN again"),
        (
            lambda: torch.compile(nn.RNN(3, 4), backend="eager"),
            "the module that torch.compile was given",
        ),
    ],
)
def test_forward_passes_that_are_not_known_are_refused(module, message):
    for keep in (StableProjection, parametrize_stable):
        with pytest.raises(ValueError, match=message):
            keep(module(), rate=0.9)


def test_forward_passes_that_are_the_usual_one():
    for module in (Usual(3, 4), make("rnn relu"), copy.deepcopy(make("rnn relu"))):
        stable = StableProjection(module, rate=0.9)
        stable.project()
        assert stable.certificates() != [None]
    module = nn.RNN(3, 4)
    module.__class__ = Property
    with pytest.raises(ValueError, match="Property defines weight_hh_l0"):
        StableProjection(module, rate=0.9)


@deprecated
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_compiled_and_quantised_modules_are_refused():
    with pytest.raises(ValueError, match=r"is an RNN compiled by torch.jit; pass the module it"):
        StableProjection(torch.jit.script(nn.RNN(3, 4)), rate=0.9)
    model = nn.Sequential(nn.LSTM(3, 4))
    (cell,) = torch.ao.quantization.quantize_dynamic(model, {nn.LSTM}, dtype=torch.qint8)
    with pytest.raises(ValueError, match=r"is a quantised LSTM; pass the module it was made from"):
        StableProjection(cell, rate=0.9)


def test_refused_parametrizations_are_not_run():
    """In training torch's own spectral norm moves its vectors at every look at the weight."""
    module = nn.utils.parametrizations.spectral_norm(nn.RNN(3, 4), NAME)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    for use in (StableProjection, parametrize_stable):
        with pytest.raises(ValueError, match="weight_hh_l0 is parametrized"):
            use(module, rate=0.9)
    layer_map(module, "_l0")
    assert all(torch.equal(before[name], t) for name, t in module.state_dict().items())


def test_hooks_of_all_modules_are_seen():
    stable = StableProjection(nn.RNN(3, 4), rate=0.9)
    for register in (
        nn.modules.module.register_module_forward_pre_hook,
        nn.modules.module.register_module_forward_hook,
    ):
        handle = register(lambda *_: None)
        with pytest.raises(ValueError, match=r"runs (before|after) the forward pass"):
            stable.certificates()
        handle.remove()
    stable.project()
    assert stable.certificates() != [None]


def test_nothing_is_certified_under_autocast():
    stable = StableProjection(nn.RNN(3, 4), rate=0.9)
    stable.project()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with pytest.raises(ValueError, match="outside of the autocast block"):
            stable.certificates()
        stable.project()
    assert stable.certificates() != [None]


def test_a_module_that_loses_digits_later_is_refused():
    stable = StableProjection(nn.RNN(3, 4), rate=0.9)
    stable.module.to(torch.bfloat16)
    for use in (stable.project, stable.certificates):
        with pytest.raises(ValueError, match=r"module.float\(\)"):
            use()


def test_parameters_that_are_replaced_are_refused():
    module = nn.LSTM(3, 4)
    stable = StableProjection(module, rate=0.9)
    stable.project()
    module.load_state_dict(nn.LSTM(3, 4).state_dict())  # in place
    stable.project()
    assert stable.certificates() != [None]
    module.load_state_dict(nn.LSTM(3, 4).state_dict(), assign=True)
    with pytest.raises(ValueError, match=r"load_state_dict\(assign=True\)"):
        stable.project()
    twin = copy.deepcopy(StableProjection(module, rate=0.9))
    twin.project()
    assert twin.certificates() != [None]


def test_layers_that_share_their_weights():
    def tied(kind):
        module = kind(4, 4, num_layers=2)
        module.weight_hh_l1 = module.weight_hh_l0
        return module

    stable = StableProjection(tied(nn.RNN), rate=0.3)
    stable.project()
    assert None not in stable.certificates()
    message = "weight_hh_l0 and weight_hh_l1 share memory"
    for keep, module, options in (
        (StableProjection, tied(nn.LSTM), {}),
        (StableProjection, tied(nn.GRU), {}),
        (StableProjection, tied(nn.RNN), {"onto": "lmi"}),
        (parametrize_stable, tied(nn.RNN), {}),
    ):
        with pytest.raises(ValueError, match=message):
            keep(module, rate=0.9, **options)
    # parts of one large tensor are no shared memory, overlapping ones are
    large = torch.randn(4, 9)
    module = nn.RNN(4, 4, num_layers=2)
    module.weight_hh_l0 = nn.Parameter(large[:, :4])
    module.weight_hh_l1 = nn.Parameter(large[:, 4:8])
    StableProjection(module, rate=0.9).project()
    module.weight_hh_l1 = nn.Parameter(large[:, 3:7])
    with pytest.raises(ValueError, match=message):
        StableProjection(module, rate=0.9)


def test_the_activation_is_that_of_the_forward_pass():
    module = nn.RNN(3, 4, nonlinearity="relu")
    module.nonlinearity = "tanh"  # which the forward pass does not look at
    assert layer_map(module, "_l0").activation.name == "relu"


# ------------------------------------------------------------------- rates near the smallest number


def made_or_refused(function, X):
    """Return what a parametrization gives, or None and why it refuses."""
    try:
        return function(X), ""
    except ValueError as error:
        return None, str(error)


TYPES = {"float32": -149, "float64": -1074}
ABOVE = (0, 1, 2, 3, 4, 6, 8, 12, 20, 30)


@pytest.mark.parametrize("dtype", TYPES)
def test_spectral_balls_of_subnormal_rates(dtype):
    """A cast moves an entry by half the smallest number, whatever its size."""
    rng, least = np.random.default_rng(0), TYPES[dtype]
    made = refused = 0
    for n in range(1, 9):
        for above in (*ABOVE, -1 - least):
            rate = 2.0 ** (least + above) * (1.0 if above == 0 else float(rng.uniform(1, 1.9)))
            ball = SpectralBall(rate)
            for size in (1e-45, 1.0, 1e37):
                X = torch.from_numpy(size * rng.standard_normal((n, n))).to(getattr(torch, dtype))
                W, why = made_or_refused(ball, X)
                if W is None:
                    assert f"leaves no room in torch.{dtype}" in why
                    assert made_or_refused(ball.right_inverse, X) == (None, why)
                    refused += 1
                    continue
                made += 1
                assert rigor.spectral_norm_upper(W.double().numpy()) <= rate
                again = ball(ball.right_inverse(X))
                assert rigor.spectral_norm_upper(again.double().numpy()) <= rate
    assert min(made, refused) > 50


@pytest.mark.parametrize("rate", [1e-40, 1e-42, 3e-44])
def test_spectral_balls_that_were_left_by_rounding(rate):
    """Up to 1.04 of the rate, before the cast had room below it."""
    for n in range(2, 7):
        for seed in range(20):
            X = torch.randn(n, n, generator=torch.Generator().manual_seed(seed)) * 1e4
            W = SpectralBall(rate)(X).double().numpy()
            assert rigor.spectral_norm_upper(W) <= rate


@pytest.mark.parametrize("dtype", TYPES)
def test_row_sums_of_subnormal_limits(dtype):
    rng, least = np.random.default_rng(0), TYPES[dtype]
    largest = float(torch.finfo(getattr(torch, dtype)).max) / 8
    made = refused = 0
    for shape in ((1,), (8,), (1, 1), (3, 2), (8, 8), (2, 40)):
        for above in (*ABOVE, -1 - least, 3 - least):
            limits = 2.0 ** (least + above) * rng.uniform(1, 1.9, shape[0])
            rows = RowSums(limits)
            for size in (1e-45, 1e-30, 1.0, 1e3, 1e20, largest):
                X = torch.from_numpy(size * rng.uniform(-1, 1, shape)).to(getattr(torch, dtype))
                W = rows(X).double().numpy().reshape(shape[0], -1)
                sums = [sum(map(Fraction, row)) for row in np.abs(W).tolist()]
                assert all(a <= Fraction(b) for a, b in zip(sums, limits.tolist(), strict=True))
                kept, why = made_or_refused(rows.right_inverse, X)
                if kept is None:
                    assert f"leaves no room in torch.{dtype}" in why
                    assert not W.all()
                    refused += 1
                    continue
                made += 1
    assert min(made, refused) > 50
    with pytest.raises(ValueError, match=r"module.float\(\)"):
        rows.right_inverse(X.half())


def test_row_sums_that_were_left_by_rounding():
    limits = np.array([1e-42, 1e-43])
    for seed in range(20):
        X = torch.randn(2, 4, generator=torch.Generator().manual_seed(seed))
        sums = RowSums(limits)(X).double().abs().sum(dim=1).numpy()  # of few digits, so exact
        assert (sums <= limits).all()


def test_row_sums_of_huge_weights():
    """A quotient of limit and sum would underflow (1.14 of the limit), or the sum overflow."""
    X = torch.tensor([[1e308]], dtype=torch.float64)
    assert RowSums(np.array([1.3e-15]))(X).item() <= 1.3e-15
    for size in (1e300, 1.7e308):
        X = torch.tensor([[size, -size, size / 3]], dtype=torch.float64, requires_grad=True)
        for limit in (1e-15, 1.3e-15, 1.0, 1e-320):
            W = RowSums(np.array([limit]))(X)
            sums = sum(map(Fraction, W.detach().abs()[0].tolist()))
            assert Fraction(limit) * 9 / 10 < sums <= Fraction(limit)
            W.sum().backward()
            assert torch.isfinite(X.grad).all()


def test_limits_keep_their_digits_when_the_module_does_not():
    module = make("lstm cell")
    parametrize_stable(module, rate=0.9)
    rows = module.parametrizations.weight_hh[0]
    before = rows.limits.clone()
    module.to(torch.float16).float()
    assert rows.limits.dtype == torch.float64
    assert torch.equal(rows.limits, before)
    assert module.to("meta").parametrizations.weight_hh[0].limits.is_meta
    assert not module.to_empty(device="cpu").parametrizations.weight_hh[0].limits.is_meta


@pytest.mark.parametrize("dtype", TYPES)
def test_metric_balls_of_subnormal_rates(dtype):
    rng, least = np.random.default_rng(0), TYPES[dtype]
    made = refused = 0
    for n in (1, 2, 5, 8):
        A = rng.standard_normal((n, n))
        P = np.eye(n) + 0.1 * A @ A.T / n
        P = 0.5 * (P + P.T)
        q = np.full(n, 0.6 + 0.1 * float(np.linalg.norm(A, 2)) ** 2)
        for above in (0, 2, 4, 8, 10, 11, 12, 13, 16, 24, 40):
            rate = 1.3 * 2.0 ** (least + above)
            for scale in (1.0, 2.0**-10):
                ball = MetricBall((scale * P, scale * q), rate)
                for size in (1e-45, 1.0, 1e10):
                    X = torch.from_numpy(size * rng.standard_normal((n, n)))
                    found, why = made_or_refused(ball, X.to(getattr(torch, dtype)))
                    if found is None:
                        assert "rounding moves weights by" in why
                        refused += 1
                        continue
                    made += 1
                    W, slopes = found.double().numpy(), (np.zeros(n), np.ones(n))
                    assert rigor.lmi_holds(W, *slopes, scale * P, scale * q, rate)
    assert min(made, refused) > 50


def test_a_refused_parametrization_leaves_the_module_as_it_was():
    module = nn.LSTM(3, 4)
    before = module.state_dict()
    # so large inputs that nothing is left for the forget gate's input weights
    with pytest.raises(ValueError, match=r"a limit of .* leaves no room in torch.float32.*double"):
        parametrize_stable(module, rate=0.9, forget=0.7, inputs=Inputs.box(-1e45, 1e45))
    assert not nn.utils.parametrize.is_parametrized(module)
    assert list(module.state_dict()) == list(before)
    with pytest.raises(ValueError, match=r"rate=1e-44 leaves no room in torch.float32.*double"):
        parametrize_stable(nn.RNN(3, 40), rate=1e-44)


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


def test_what_a_cache_or_a_compiler_computes_is_not_read():
    from theory.interop import from_torch

    class Tenth(nn.Module):
        def forward(self, X):
            return 0.1 * X

    cell = nn.RNNCell(1, 1, bias=False)
    nn.utils.parametrize.register_parametrization(cell, "weight_hh", Tenth(), unsafe=True)
    with nn.utils.parametrize.cached():
        cell(torch.ones(1, 1))
        with pytest.raises(ValueError, match=r"inside torch\.nn\.utils\.parametrize\.cached"):
            from_torch(cell)
    assert from_torch(cell).W.shape == (1, 1)
    compiled = nn.RNN(2, 3)
    compiled._compiled_call_impl = lambda *given: given  # what module.compile() sets
    for ask in (from_torch, lambda module: StableProjection(module, rate=0.9)):
        with pytest.raises(ValueError, match="compiled in place"):
            ask(compiled)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training_in_a_graded_norm(kind, dtype):
    """Two layers stay inside from the first step on, and what is inside does not move."""
    torch.manual_seed(0)
    module = getattr(torch.nn, kind)(3, 9, num_layers=2).to(getattr(torch, dtype))
    with torch.no_grad():
        for p in module.parameters():
            p *= 4
    stable = StableProjection(module, rate=0.95, ratio=2.0**30)
    stable.open_gates()
    gates = 0.5 + 0.5 * torch.tanh(0.5 * (module.bias_ih_l1 + module.bias_hh_l1)[9:18])
    assert 0.5 < float(gates.max().detach()) < 0.95
    stable.project()
    kept = [p.clone() for p in module.parameters()]
    stable.project()
    assert all(map(torch.equal, kept, module.parameters()))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    stable.attach(optimizer)
    x = torch.rand(6, 4, 3, dtype=kept[0].dtype) * 2 - 1
    for _ in range(3):
        optimizer.zero_grad()
        (-module(x)[0].square().sum()).backward()
        optimizer.step()
        for c in stable.certificates():
            assert c.lam <= 0.95
            assert c.norm.v.max() == 2.0**30
    plain = StableProjection(module, rate=0.95)
    assert not all(plain.certificates())  # in one norm for all units they are far outside


def test_graded_norms_are_refused_where_there_are_none():
    lstm = torch.nn.LSTM(2, 3)
    for module, options, message in (
        (torch.nn.RNN(2, 3), {"ratio": 4.0}, "ratio=4.0 is of norms of LSTMs and GRUs"),
        (lstm, {"ratio": 4.0, "forget": 0.7}, "and forget="),
        (lstm, {"ratio": 0.5}, "needed 1 <= ratio"),
        (torch.nn.GRU(2, 3, bias=False), {"ratio": 4.0}, "bias=True"),
    ):
        with pytest.raises(ValueError, match=message):
            StableProjection(module, rate=0.9, **options)
    with pytest.raises(ValueError, match="give a ratio"):
        StableProjection(lstm, rate=0.9).open_gates()
