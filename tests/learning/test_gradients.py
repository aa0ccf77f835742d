"""Gradients: against difference quotients, PyTorch, sympy, and each other."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from theory import GRU, LSTM, CallableMap, LinearHead, LinearMap, VanillaRNN, truncate
from theory.arithmetic.rounding import UNIT
from theory.errors import DivergedError
from theory.learning import gradients as module
from theory.learning import (
    input_gradients,
    recurrent_gradient,
    training_data,
    truncated_backprop_gradient,
    truncated_gradient,
)
from theory.learning.losses import LOSSES

N, M, T, B = 3, 2, 7, 2


def make(kind: str, seed: int = 0, n: int = N, m: int = M):
    """Return a map of a kind with random weights of moderate size."""
    rng = np.random.default_rng(seed)
    W, U, b = 0.6 * rng.standard_normal((n, n)), rng.standard_normal((n, m)), rng.standard_normal(n)
    if kind == "linear":
        return LinearMap(W, U, b)
    if kind == "lstm":
        return LSTM(*(0.7 * rng.standard_normal(s) for s in ((4 * n, n), (4 * n, m), 4 * n)))
    if kind.startswith("reset"):
        bc = rng.standard_normal(n) if kind == "reset_after" else None
        arrays = (0.7 * rng.standard_normal(s) for s in ((3 * n, n), (3 * n, m), 3 * n))
        return GRU(*arrays, b_candidate=bc, variant=kind)
    return VanillaRNN(W, U, b, kind)


KINDS = ("linear", "tanh", "sigmoid", "softplus", "sin", "lstm", "reset_after", "reset_before")
KINKED = ("relu", "leaky_relu(-0.5)", "hard_tanh")
each = pytest.mark.parametrize("kind", KINDS)


def task(
    loss: str, seed: int = 0, at: str = "every", n: int = N, m: int = M, p: int = 3, T: int = T
):
    """Return a head and data for a loss."""
    rng = np.random.default_rng(seed)
    targets = {
        "squared": lambda: rng.standard_normal((B, T, p)),
        "linear": lambda: rng.standard_normal((B, T, p)),
        "cross_entropy": lambda: rng.integers(0, p, (B, T)),
        "bernoulli": lambda: rng.random((B, T, p)),
    }[loss]()
    head = LinearHead(rng.standard_normal((p, n)), rng.standard_normal(p))
    x = rng.standard_normal((B, T, m))
    return head, training_data(x, targets, loss=loss, width=p, at=at)


GRADIENTS = {
    "recurrent": recurrent_gradient,
    "truncated 1": lambda *a: truncated_gradient(*a, k=1),
    "truncated 3": lambda *a: truncated_gradient(*a, k=3),
    "truncated T": lambda *a: truncated_gradient(*a, k=T),
}


def difference_quotients(model, head, data, gradient, step=2.0**-17):
    """Return (p(w + e) - p(w - e)) / 2 e for every parameter of the map and of the head."""
    found = {}

    def central(values, rebuild):
        quotient = np.zeros_like(values)
        for index in np.ndindex(values.shape):
            ends = []
            for sign in (1, -1):
                moved = values.copy()
                moved[index] += sign * step
                ends.append(gradient(*rebuild(moved), data).loss)
            quotient[index] = (ends[0] - ends[1]) / (2 * step)
        return quotient

    for name, value in model.parameters.items():
        if name == "b_candidate" and model.variant == "reset_before":
            continue  # it has none
        found[name] = central(value, lambda v, q=name: (model.with_parameters(**{q: v}), head))
    found["C"] = central(head.C, lambda v: (model, LinearHead(v, head.d)))
    found["d"] = central(head.d, lambda v: (model, LinearHead(head.C, v)))
    return found


def agree(found, expected, scale=1e-8):
    # a central difference errs by |p'''| step**2 / 6, about 1e-10, and by rounding, 2**-53 / step
    for name, value in expected.items():
        got = found.head[name] if name in {"C", "d"} else found.parameters[name]
        np.testing.assert_allclose(got, value, atol=scale * (1 + np.max(np.abs(value))), rtol=0)


@each
@pytest.mark.parametrize("which", GRADIENTS)
def test_gradients_are_those_of_their_losses(kind, which):
    model = make(kind)
    head, data = task("squared")
    agree(
        GRADIENTS[which](model, head, data),
        difference_quotients(model, head, data, GRADIENTS[which]),
    )


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("at", ["every", "last"])
def test_every_loss(loss, at):
    model = make("tanh", 1)
    head, data = task(loss, at=at)
    for which in ("recurrent", "truncated 3"):
        agree(
            GRADIENTS[which](model, head, data),
            difference_quotients(model, head, data, GRADIENTS[which]),
        )


@pytest.mark.parametrize("kind", KINKED)
def test_kinked_activations_away_from_their_kinks(kind):
    model = make(kind, 3)
    head, data = task("squared")
    agree(
        recurrent_gradient(model, head, data),
        difference_quotients(model, head, data, recurrent_gradient),
    )


def test_weights_of_single_times_and_padding():
    model, (head, data) = make("tanh"), task("squared")
    share = np.zeros((B, T))
    share[0, 2:5], share[1, 1] = 0.5, -2.0
    some = training_data(data.inputs, data.targets, weights=share)
    for which in ("recurrent", "truncated 3"):
        agree(
            GRADIENTS[which](model, head, some),
            difference_quotients(model, head, some, GRADIENTS[which]),
        )
    # what comes after the last weight has no influence
    longer = np.concatenate([data.inputs, np.full((B, 3, M), 7.0)], axis=1)
    goal = np.concatenate([data.targets, np.full((B, 3, 3), 7.0)], axis=1)
    padded = training_data(longer, goal, weights=np.concatenate([share, np.zeros((B, 3))], axis=1))
    for gradient in GRADIENTS.values():
        a, b = gradient(model, head, some), gradient(model, head, padded)
        np.testing.assert_allclose(a.vector(), b.vector(), rtol=1e-12, atol=1e-14)


@each
def test_losses_are_those_of_the_models(kind):
    model, (head, data) = make(kind), task("squared")
    read = module.readout_of(model, head).T
    whole = head(model.simulate(data.inputs) @ read)
    expected = np.mean(np.sum((whole - data.targets) ** 2, axis=-1)) / 2
    assert recurrent_gradient(model, head, data).loss == pytest.approx(expected, rel=1e-13)
    for k in (0, 1, 3, T, T + 4):
        short = head(truncate(model, k).states(data.inputs) @ read)
        expected = np.mean(np.sum((short - data.targets) ** 2, axis=-1)) / 2
        assert truncated_gradient(model, head, data, k=k).loss == pytest.approx(expected, rel=1e-13)


# the three objects ------------------------------------------------------------------------------


@each
def test_beyond_the_first_input_all_three_agree(kind):
    model, (head, data) = make(kind), task("bernoulli")
    whole = recurrent_gradient(model, head, data)
    others = [
        truncated_gradient(model, head, data, k=T),
        truncated_gradient(model, head, data, k=T + 3),
        truncated_backprop_gradient(model, head, data, k=T),
        truncated_backprop_gradient(model, head, data, k=T + 3),
        truncated_backprop_gradient(model, head, data, k=T, stride=T),
    ]
    size = np.max(np.abs(whole.vector()))
    for other in others:
        np.testing.assert_allclose(other.vector(), whole.vector(), atol=1e-13 * size)


@each
def test_truncated_backpropagation_is_the_carried_state_held_constant(kind):
    """The cut gradient at one time is that of a model that starts from h_(t-k), a number."""
    model, (head, data) = make(kind), task("squared", at="last")
    k = 3
    states = model.simulate(data.inputs)
    tail = training_data(data.inputs[:, -k:], data.targets[:, -k:], at="last")
    expected = recurrent_gradient(model, head, tail, start=states[:, T - k - 1])
    found = truncated_backprop_gradient(model, head, data, k=k)
    np.testing.assert_allclose(found.vector(), expected.vector(), rtol=1e-12, atol=1e-14)
    assert found.loss == pytest.approx(recurrent_gradient(model, head, data).loss, rel=1e-13)


def test_common_practice_keeps_what_is_in_the_same_piece():
    """In pieces of k, the gradient is the sum of those of pieces that start from carried states."""
    model, (head, data) = make("tanh"), task("squared")
    k, pieces = 3, ((0, 3), (3, 6), (6, 7))
    start, total = np.zeros((B, N)), 0.0
    for low, high in pieces:
        share = np.full((B, high - low), 1.0 / (B * T))
        piece = training_data(data.inputs[:, low:high], data.targets[:, low:high], weights=share)
        total = total + recurrent_gradient(model, head, piece, start=start).vector()
        start = model.simulate(data.inputs[:, low:high], start)[:, -1]
    found = truncated_backprop_gradient(model, head, data, k=k, stride=k)
    np.testing.assert_allclose(found.vector(), total, rtol=1e-12, atol=1e-14)


def test_the_three_objects_differ():
    model, (head, data) = make("tanh"), task("squared")
    three = [
        recurrent_gradient(model, head, data).vector(),
        truncated_gradient(model, head, data, k=2).vector(),
        truncated_backprop_gradient(model, head, data, k=2).vector(),
    ]
    for i in range(3):
        for j in range(i):
            assert np.linalg.norm(three[i] - three[j]) > 1e-3


@given(st.integers(0, 2**32 - 1), st.sampled_from(KINDS), st.integers(1, 5))
def test_groups_of_sequences_add_up(seed, kind, k):
    model, (head, data) = make(kind, seed), task("squared", seed)
    whole = [g(model, head, data).vector() for g in GRADIENTS.values()]
    saved = module.GROUP_ENTRIES
    try:
        module.GROUP_ENTRIES = 1
        single = [g(model, head, data).vector() for g in GRADIENTS.values()]
    finally:
        module.GROUP_ENTRIES = saved
    for a, b in zip(whole, single, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12 * (1 + np.max(np.abs(a))))
    assert k >= 1


# other oracles ----------------------------------------------------------------------------------


def in_torch(torch, kind, model, head, X, loss, targets):
    """Return the loss and the gradients by PyTorch's own cells."""
    n, m = head.C.shape[1], X.shape[2]
    layer = {"tanh": torch.nn.RNN, "lstm": torch.nn.LSTM, "reset_after": torch.nn.GRU}[kind]
    cell = layer(m, n, batch_first=True, dtype=torch.float64)
    p = {name: torch.tensor(value) for name, value in model.parameters.items()}
    with torch.no_grad():
        cell.weight_hh_l0.copy_(p["W"])
        cell.weight_ih_l0.copy_(p["U"])
        cell.bias_ih_l0.copy_(p["b"])
        cell.bias_hh_l0.zero_()
        if "b_candidate" in p:
            cell.bias_hh_l0[2 * n :] = p["b_candidate"]
    C, d = torch.tensor(head.C.copy()), torch.tensor(head.d.copy())
    Y = cell(torch.tensor(X))[0] @ C.T + d
    functional = torch.nn.functional
    if loss == "cross_entropy":
        value = functional.cross_entropy(Y.flatten(0, 1), torch.tensor(targets).long().flatten())
    elif loss == "bernoulli":
        value = functional.binary_cross_entropy_with_logits(
            Y, torch.tensor(targets), reduction="sum"
        ) / (Y.shape[0] * Y.shape[1])
    else:
        value = ((Y - torch.tensor(targets)) ** 2).sum() / 2 / (Y.shape[0] * Y.shape[1])
    value.backward()
    found = {"W": cell.weight_hh_l0, "U": cell.weight_ih_l0, "b": cell.bias_ih_l0}
    grads = {name: w.grad.numpy() for name, w in found.items()}
    if "b_candidate" in p:
        grads["b_candidate"] = cell.bias_hh_l0.grad.numpy()[2 * n :]
    return value.item(), grads


@pytest.mark.parametrize("kind", ["tanh", "lstm", "reset_after"])
@pytest.mark.parametrize("loss", ["squared", "cross_entropy", "bernoulli"])
def test_pytorch_agrees(kind, loss):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra: torch)")
    model = make(kind, 5, n=8, m=3)
    head, data = task(loss, 5, n=8, m=3, T=30)
    value, grads = in_torch(torch, kind, model, head, data.inputs.copy(), loss, data.targets.copy())
    found = recurrent_gradient(model, head, data)
    assert found.loss == pytest.approx(value, rel=1e-12)
    for name, expected in grads.items():
        np.testing.assert_allclose(
            found.parameters[name], expected, atol=1e-12 * (1 + np.max(np.abs(expected)))
        )


def symbolic_step(kind, h, x, w):
    """Return a step of a cell of one unit in sympy, from names of its parameters."""

    def sigma(a):
        return 1 / (1 + sp.exp(-a))

    if kind == "lstm":
        a = [w["W", q] * h[1] + w["U", q] * x + w["b", q] for q in range(4)]
        c = sigma(a[1]) * h[0] + sigma(a[0]) * sp.tanh(a[2])
        return [c, sigma(a[3]) * sp.tanh(c)]
    if kind.startswith("reset"):
        r, z = (sigma(w["W", q] * h[0] + w["U", q] * x + w["b", q]) for q in range(2))
        inner = w["U", 2] * x + w["b", 2]
        if kind == "reset_after":
            inner += r * (w["W", 2] * h[0] + w["b_candidate", 0])
        else:
            inner += w["W", 2] * r * h[0]
        return [(1 - z) * sp.tanh(inner) + z * h[0]]
    names = ("W", "U", "b")
    a = w[names[0], 0] * h[0] + w[names[1], 0] * x + w[names[2], 0]
    rho = {
        "linear": lambda v: v,
        "tanh": sp.tanh,
        "sigmoid": sigma,
        "softplus": lambda v: sp.log(1 + sp.exp(v)),
        "sin": sp.sin,
    }
    return [rho[kind](a)]


@each
def test_sympy_derives_the_same(kind):
    """Jacobians of a step of one unit by sympy, multiplied forward: D <- J D + V."""
    model = make(kind, 7, n=1, m=1)
    n = model.state_dim
    keys = [(q, i) for q, value in model.parameters.items() for i in range(value.size)]
    w = {key: sp.Symbol(f"{key[0]}_{key[1]}") for key in keys}
    h, x = sp.symbols(f"h:{n}"), sp.Symbol("x")
    step = sp.Matrix(symbolic_step(kind, h, x, w))
    letters = (*h, x, *w.values())
    f, J, V = (
        sp.lambdify(letters, expr, "numpy")
        for expr in (step, step.jacobian(h), step.jacobian(list(w.values())))
    )
    numbers = [float(model.parameters[q].ravel()[i]) for q, i in keys]
    inputs = [0.7, -1.1, 0.4, 1.3]
    head = LinearHead([[1.5]], [0.25])
    data = training_data(np.array(inputs)[:, None], np.full((4, 1), 0.5), at="last")
    for k in (4, 2):
        state, D = np.zeros(n), np.zeros((n, len(keys)))
        for value in inputs[-k:]:
            at = (*state, value, *numbers)
            D = np.array(J(*at), float) @ D + np.array(V(*at), float)
            state = np.array(f(*at), float).ravel()
        expected = (1.5 * state[-1] + 0.25 - 0.5) * 1.5 * D[-1]
        found = truncated_gradient(model, head, data, k=k).vector()
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-14)


@each
def test_derivatives_in_the_inputs(kind):
    model, (head, data) = make(kind), task("squared", at="last")
    found = input_gradients(model, head, data)
    step = 2.0**-17
    for index in [(0, 0, 0), (1, 3, 1), (0, T - 1, 1)]:
        ends = []
        for sign in (1, -1):
            x = data.inputs.copy()
            x[index] += sign * step
            ends.append(recurrent_gradient(
                model, head, training_data(x, data.targets, at="last")
            ).loss)  # fmt: skip
        assert found[index] == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-8)


# trouble ----------------------------------------------------------------------------------------


def test_malformed_questions():
    model, (head, data) = make("tanh"), task("squared")
    with pytest.raises(ValueError, match="needed what theory"):
        recurrent_gradient(model, head, (data.inputs, data.targets))
    with pytest.raises(ValueError, match=r"C of shape \(3, 4\), needed \(p, 3\)"):
        recurrent_gradient(model, LinearHead(np.ones((3, 4))), data)
    with pytest.raises(ValueError, match="width 3, needed 2"):
        recurrent_gradient(model, LinearHead(np.ones((2, N))), data)
    with pytest.raises(ValueError, match="the inputs have width 2, needed 5"):
        recurrent_gradient(make("tanh", m=5), head, data)
    with pytest.raises(ValueError, match="needed a LinearMap, VanillaRNN, LSTM or GRU"):
        recurrent_gradient(CallableMap(lambda h, x: h + x.sum(), N, M), head, data)
    with pytest.raises(ValueError, match="k=-1"):
        truncated_gradient(model, head, data, k=-1)
    with pytest.raises(ValueError, match="k=0"):
        truncated_backprop_gradient(model, head, data, k=0)
    with pytest.raises(ValueError, match="stride=2, needed 1 or k=3"):
        truncated_backprop_gradient(model, head, data, k=3, stride=2)
    _, labels = task("cross_entropy")
    with pytest.raises(ValueError, match="the largest label is 2, needed at most 1"):
        recurrent_gradient(
            model, LinearHead(np.ones((2, N))),
            training_data(labels.inputs, np.full((B, T), 2), loss="cross_entropy", width=3),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": "hinge"}, "'hinge' is not known, needed one of: squared"),
        ({"targets": np.zeros((B, T + 1, 1))}, r"needed \(2, 7, 1\)"),
        ({"inputs": np.zeros((B, 0, M))}, "at least one input"),
        ({"at": "first"}, "needed 'every' or 'last'"),
        ({"weights": np.ones(3)}, r"needed \(7,\) or \(2, 7\)"),
        ({"loss": "cross_entropy", "targets": np.zeros((B, T))}, "needed the number of outputs"),
        (
            {"loss": "cross_entropy", "targets": np.full((B, T), 3), "width": 3},
            "label 3 at index",
        ),
        (
            {"loss": "cross_entropy", "targets": np.full((B, T), -1), "width": 3},
            "label -1 at index",
        ),
        (
            {"loss": "cross_entropy", "targets": np.full((B, T), 0.5), "width": 3},
            "label 0.5 at index",
        ),
        ({"loss": "bernoulli", "targets": np.full((B, T, 1), 1.5)}, "holds 1.5 at index"),
        ({"targets": np.full((B, T, 1), np.nan)}, "needed finite numbers"),
    ],
)
def test_malformed_data(change, message):
    good = {"inputs": np.zeros((B, T, M)), "targets": np.zeros((B, T, 1))}
    with pytest.raises(ValueError, match=message):
        training_data(**{**good, **change})


def test_an_unstable_gradient_is_an_error_not_a_nan():
    model = LinearMap([[3.0]], [[1.0]])
    data = training_data(np.ones((500, 1)), np.zeros((500, 1)), at="last")
    with pytest.raises(DivergedError, match="left the range of double precision"):
        recurrent_gradient(model, LinearHead([[1.0]]), data)
    with pytest.raises(DivergedError):
        input_gradients(model, LinearHead([[1e300]]), data)


def test_linear_gradients_are_exact_to_rounding():
    # A7.lds_gap_k5 and A7.lds_gap_tbptt_k5: h -> a h + 1 after a long history at a = 0.9
    model, head = LinearMap([[0.9]], [[1.0]]), LinearHead([[1.0]])
    data = training_data(np.ones((1200, 1)), np.ones((1200, 1)), loss="linear", at="last")
    whole = recurrent_gradient(model, head, data).parameters["W"][0, 0]
    short = truncated_gradient(model, head, data, k=5).parameters["W"][0, 0]
    cut = truncated_backprop_gradient(model, head, data, k=5).parameters["W"][0, 0]
    assert whole == pytest.approx(100.0, rel=1200 * 8 * UNIT)
    assert whole - short == pytest.approx(91.854, rel=1e-12)
    assert whole - cut == pytest.approx(59.049, rel=1e-12)
