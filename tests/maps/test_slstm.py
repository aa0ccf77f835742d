"""The sLSTM against the published equations, with and without a stabiliser, and its linear case."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import theory
from theory import SLSTM, Inputs, LinearAttention
from theory.certify import invariant_domain
from theory.maps import slstm
from theory.memory import mean_context, mean_gaps, reach_tube, window_gaps
from theory.theorems.contractive_of_comparison import contractive_of_comparison

GAUGE = 1e-9


def cell_of(rng, n=4, m=3, size=1.0, forget="sigmoid", recurrent=1.0):
    return SLSTM(
        recurrent * size * rng.standard_normal((4 * n, n)) / np.sqrt(n),
        size * rng.standard_normal((4 * n, m)),
        rng.standard_normal(4 * n),
        forget,
    )


def published(cell, X, stabilised):
    """Return h of equations 8 to 18 in PyTorch, from c = n = h = 0."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra: torch)")
    W, U, b = (torch.tensor(p) for p in (cell.W, cell.U, cell.b))
    h = c = nu = torch.zeros(cell.units, dtype=torch.float64)
    m = torch.full((cell.units,), -torch.inf, dtype=torch.float64)
    shown = []
    for x in torch.tensor(X):
        i, f, z, o = torch.chunk(W @ h + U @ x + b, 4)
        log_f = torch.nn.functional.logsigmoid(f) if cell.forget == "sigmoid" else f
        if stabilised:
            new = torch.maximum(log_f + m, i)
            write, keep, m = torch.exp(i - new), torch.exp(log_f + m - new), new
        else:
            write, keep = torch.exp(i), torch.exp(log_f)
        c, nu = keep * c + write * torch.tanh(z), keep * nu + write
        h = torch.sigmoid(o) * c / nu
        shown.append(h)
    return torch.stack(shown).numpy()


@pytest.mark.parametrize("forget", ["sigmoid", "exp"])
@pytest.mark.parametrize("stabilised", [True, False])
def test_it_is_the_published_cell(forget, stabilised):
    rng = np.random.default_rng(0)
    cell = cell_of(rng, size=2.0, forget=forget)
    X = rng.standard_normal((40, 3))
    shown = cell.simulate(X) @ cell.output_map.T
    assert np.max(np.abs(shown - published(cell, X, stabilised))) < 1e-12


def test_nothing_overflows_where_programs_need_a_stabiliser():
    rng = np.random.default_rng(1)
    cell = cell_of(rng, size=300.0, forget="exp", recurrent=0.0)
    X = rng.standard_normal((60, 3))
    shown = cell.simulate(X) @ cell.output_map.T
    assert cell.simulate(X)[:, 4:8].max() > 1000  # log of a normaliser beyond all doubles
    assert np.max(np.abs(shown - published(cell, X, stabilised=True))) < 1e-9


@given(seed=st.integers(0, 2**32 - 1), shift=st.floats(-20, 20))
def test_a_shift_of_all_input_gates_changes_no_output(seed, shift):
    rng = np.random.default_rng(seed)
    cell = cell_of(rng)
    moved = cell.with_parameters(b=cell.b + shift * np.repeat([1.0, 0.0, 0.0, 0.0], 4))
    X = rng.standard_normal((12, 3))
    C = cell.output_map
    assert np.max(np.abs(cell.simulate(X) @ C.T - moved.simulate(X) @ C.T)) < GAUGE


def test_heads_are_blocks():
    rng = np.random.default_rng(2)
    W, R = rng.standard_normal((4, 6, 2)), rng.standard_normal((4, 3, 2, 2))
    b = rng.standard_normal((4, 6))
    X = rng.standard_normal((9, 2))
    whole = slstm(W, R, b=b).simulate(X)
    for head in range(3):
        rows = slice(2 * head, 2 * head + 2)
        alone = slstm(W[:, rows], R[:, head : head + 1], b=b[:, rows]).simulate(X)
        units = np.concatenate([np.arange(6)[rows] + 6 * part for part in range(3)])
        np.testing.assert_allclose(whole[:, units], alone, atol=1e-13)


def test_without_recurrent_weights_it_is_a_linear_recurrence():
    rng = np.random.default_rng(3)
    cell = cell_of(rng, n=3, m=2, recurrent=0.0)
    X = rng.standard_normal((30, 2))
    i, f, z, _ = np.split(X @ cell.U.T + cell.b, 4, axis=-1)
    # (c, nu) <- f (c, nu) + i (tanh z, 1), one head a unit
    rows, bias = np.zeros((3 + 6 + 3 + 3, 9)), np.zeros(15)
    bias[:3] = 1.0
    rows[[3, 5, 7], [0, 1, 2]], bias[[4, 6, 8]] = 1.0, 1.0
    rows[9:12, 3:6], rows[12:, 6:] = np.eye(3), np.eye(3)
    linear = LinearAttention(rows, bias, decay=np.ones(3), heads=3, keys=1, values=2, write="exp")
    seen = np.concatenate([np.tanh(z), f, i], axis=-1)
    memory = linear.simulate(seen).reshape(30, 3, 2)
    H = cell.simulate(X)
    np.testing.assert_allclose(H[:, :3], memory[..., 0] / memory[..., 1], atol=1e-12)
    np.testing.assert_allclose(H[:, 3:6], np.log1p(memory[..., 1]), atol=1e-12)
    # and so are their rates in the long run
    own, other = mean_gaps(cell, X, normaliser=1e-3)[1], window_gaps(linear, seen)[1]
    assert own[-1] / own[-2] == pytest.approx(other[-1] / other[-2], rel=0.05)


@pytest.mark.parametrize("forget", ["sigmoid", "exp"])
def test_the_gap_of_the_mean_is_attained(forget):
    rng = np.random.default_rng(4)
    cell, N = cell_of(rng, recurrent=0.0, forget=forget), 50.0
    X = rng.standard_normal((25, 3))
    low, high = mean_gaps(cell, X, normaliser=N)
    assert np.all(high - low <= 1e-12 * high)
    for k in (0, 1, 7, 25):
        used = X[25 - k :]
        cut = cell.simulate(used)[-1, :4] if k else np.zeros(4)
        past = np.concatenate([np.where(cut > 0, -1.0, 1.0), np.full(4, np.log1p(N)), np.zeros(4)])
        end = cell.simulate(used, past)[-1, :4] if k else past[:4]
        assert np.linalg.norm(end - cut) == pytest.approx(high[k], rel=1e-10)
    found = mean_context(cell, X, eps=1e-2, normaliser=N)
    assert found.k is None or found.exact


def test_sums_beyond_doubles_are_bounded_by_the_range_of_a_mean():
    """The normaliser overflows; y_4 is tanh(1), and -1 in its place is 1 + tanh(1) away."""
    cell = SLSTM(np.zeros((4, 1)), np.zeros((4, 1)), [0.0, 400.0, 1.0, 0.0], "exp")
    low, high = mean_gaps(cell, np.zeros((4, 1)), normaliser=2.0)
    assert low[4] <= 1 + np.tanh(1.0) <= high[4]
    assert mean_context(cell, np.zeros((4, 1)), eps=0.9, normaliser=2.0).k is None


def test_lower_bounds_of_very_small_gaps_keep_their_digits():
    bias = np.array([0.0, -92.0, 0.0, 0.0])
    cell = SLSTM(np.zeros((4, 1)), np.zeros((4, 1)), bias, "exp")
    low, high = mean_gaps(cell, np.zeros((4, 1)), normaliser=1.0)
    assert high[4] < 1e-159
    assert (1 - 1e-10) * high[4] <= low[4] <= high[4]


def test_what_is_certified_and_what_is_not():
    rng = np.random.default_rng(5)
    calm = cell_of(rng, size=0.2, recurrent=0.0)
    box = invariant_domain(calm, inputs=Inputs.box(-1, 1))
    found = theory.contraction(calm, domain=box)
    assert found is not None
    assert found.evidence.is_certified
    # a forget gate that may reach 1 need not forget: no box, and none is claimed
    held = SLSTM(np.zeros((4, 1)), [[0.0], [1.0], [0.0], [0.0]], forget="exp")
    assert invariant_domain(held, inputs=Inputs.box(-1, 1)) is None
    assert held.simulate(np.ones((50, 1)), [0.5, 1.0, 0.0])[-1, 1] > 40
    assert theory.contraction(held) is None


def of_small_weights(rng, n, size, forget="sigmoid"):
    """Return a cell with recurrent weights of that size, and where it stays."""
    U, b = 0.3 * rng.standard_normal((4 * n, 3)), np.zeros(4 * n)
    b[n : 2 * n] = -2.0 if forget == "exp" else 0.0
    cell = SLSTM(size * rng.standard_normal((4 * n, n)) / np.sqrt(n), U, b, forget)
    return cell, invariant_domain(cell, inputs=Inputs.box(-1, 1))


@pytest.mark.parametrize("forget", ["sigmoid", "exp"])
@settings(max_examples=12)
@given(seed=st.integers(0, 2**32 - 1), size=st.floats(0, 2), corner=st.booleans())
def test_every_row_of_a_jacobian_is_below_one_of_the_matrices(forget, seed, size, corner):
    """Also at a normaliser of 0, where g is 1, and at corners, where shares are extreme."""
    rng = np.random.default_rng(seed)
    cell, box = of_small_weights(rng, 3, size, forget)
    if box is None:
        return
    matrices = np.array(cell.comparison(box))
    share = rng.random((40, 9))
    states = box.low + (np.round(share) if corner else share) * (box.high - box.low)
    inputs = rng.uniform(-1, 1, (40, 3))
    rows = np.abs(cell.jacobian_state(states, np.sign(inputs) if corner else inputs))
    below = rows[None] <= matrices[:, None] * (1 + 1e-12) + 1e-15
    assert np.all(np.any(np.all(below, axis=-1), axis=0))
    # and none of them is above the one of the largest slopes of the whole box
    low, high = cell.slope_range(box)
    assert np.all(matrices <= np.maximum(np.abs(low), np.abs(high)) * (1 + 1e-12))


def test_the_matrices_are_not_far_above_the_slopes():
    """One unit: over its box each entry of a row is attained, beside what the row keeps."""
    rng = np.random.default_rng(8)
    cell, box = of_small_weights(rng, 1, 0.1)
    matrices = np.array(cell.comparison(box))
    states, inputs = (
        rng.uniform(box.low, box.high, (4_000, 3)),
        np.sign(rng.uniform(-1, 1, (4_000, 3))),
    )
    states[: len(states) // 2] = np.where(states[: len(states) // 2] > 0, box.high, box.low)
    J = np.abs(cell.jacobian_state(states, inputs))
    for row, column in ((0, 0), (1, 1), (1, 2)):
        # the largest sum of what is kept and what is written, with any weight of the latter
        for weight in (0.1, 1.0, 10.0):
            v = np.zeros(3)
            v[row], v[column] = 1.0, 1.0 if row == column else weight
            assert np.max(J[:, row] @ v) <= np.max(matrices[:, row] @ v)
            assert np.max(matrices[:, row] @ v) <= 1.6 * np.max(J[:, row] @ v)


@pytest.mark.parametrize(
    ("forget", "n", "size"), [("sigmoid", 2, 0.2), ("sigmoid", 8, 0.03), ("exp", 8, 0.05)]
)
def test_recurrent_weights_are_certified_where_one_matrix_gives_nothing(forget, n, size):
    cell, box = of_small_weights(np.random.default_rng(0), n, size, forget)
    found = theory.contraction(cell, domain=box)
    assert found is not None
    assert found.evidence.is_certified
    low, high = cell.slope_range(box)
    assert contractive_of_comparison([np.maximum(np.abs(low), np.abs(high))]) is None
    # pasts of the box come together no more slowly than it says
    rng = np.random.default_rng(1)
    X = rng.uniform(-1, 1, (20, 3))
    ends = cell.simulate(
        np.repeat(X[None], 20, axis=0), rng.uniform(box.low, box.high, (20, 3 * n))
    )
    gaps = np.max(np.abs(ends - ends[:1]) / found.norm.v, axis=(0, 2))
    assert np.all(gaps[1:] <= found.lam * gaps[:-1] * (1 + 1e-9))


def test_tubes_narrow_where_no_rate_is_certified():
    rng = np.random.default_rng(6)
    cell = cell_of(rng, size=0.4)
    X = np.clip(rng.standard_normal((40, 3)), -1, 1)
    box = invariant_domain(cell, inputs=Inputs.box(-1, 1))
    assert theory.contraction(cell, domain=box) is None
    tube = reach_tube(cell, X, k=40, domain=box)
    assert tube.narrows
    assert tube.distance(theory.L2())[-1] < 1e-3
    for _ in range(20):
        past = rng.uniform(box.low, box.high)
        ends = cell.simulate(X, past)
        assert np.all((tube.low[1:] <= ends) & (ends <= tube.high[1:]))


@pytest.mark.parametrize("forget", ["sigmoid", "exp"])
def test_gradients_are_those_of_pytorch(forget):
    pytest.importorskip("torch", reason="PyTorch is not installed (extra: torch)")
    import torch

    from theory.torch import to_torch

    rng = np.random.default_rng(7)
    cell = cell_of(rng, n=2, m=2, forget=forget)
    X, d = rng.standard_normal((6, 2)), rng.standard_normal(6)
    module = to_torch(cell, k=6)
    given = torch.tensor(X[None], requires_grad=True)
    out = module(given)
    (out[0, -1] if out.ndim == 3 else out[0]).backward(torch.tensor(d[: out.shape[-1]]))
    # d h_T / d x_0 by the chain of Jacobians
    H = np.vstack([np.zeros(6), cell.simulate(X)])
    chain = cell.jacobian_input(H[0], X[0])
    for t in range(1, 6):
        chain = cell.jacobian_state(H[t], X[t]) @ chain
    assert np.max(np.abs(given.grad[0, 0].numpy() - d @ chain)) < 1e-12


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: SLSTM(np.zeros((4, 1)), np.zeros((4, 1)), forget="relu"), "sigmoid, exp"),
        (lambda: SLSTM(np.zeros((3, 1)), np.zeros((4, 1))), "gate o"),
        (lambda: slstm(np.zeros((3, 1, 1))), "i, f, z, o"),
        (lambda: slstm(np.zeros((4, 3, 1)), np.zeros((4, 2, 2, 2))), "3 units"),
        (lambda: mean_gaps(cell_of(np.random.default_rng(0)), [[0.0] * 3], normaliser=1), "W = 0"),
        (lambda: mean_gaps(theory.LSTM([[0.0]] * 4, [[0.0]] * 4), [[0.0]], normaliser=1), "SLSTM"),
        (lambda: mean_gaps(slstm(np.zeros((4, 1, 1))), [[0.0]], normaliser=0), "positive"),
        (lambda: mean_gaps(slstm(np.zeros((4, 1, 1))), [[[0.0]]], normaliser=1), "one window"),
    ],
)
def test_refusals(make, match):
    with pytest.raises(ValueError, match=match):
        make()
