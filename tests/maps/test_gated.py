"""What is peculiar to gated maps, state-space layers and cascades: shapes, gates, conventions."""

import math
import re

import numpy as np
import pytest
from definitions import step_by_definition

from theory import (
    GRU,
    LSTM,
    RGLRU,
    CallableMap,
    Cascade,
    Contraction,
    DiagonalSSM,
    EchoStateNetwork,
    LinearHead,
    LinearMap,
    Linf,
    MinGRU,
    SelectiveSSM,
    VanillaRNN,
    truncate,
)
from theory.arithmetic.rounding import UNIT
from theory.errors import DivergedError
from theory.inputs import Inputs
from theory.kernels.blocks import BLOCK_ROWS
from theory.maps.base import Map
from theory.norms import L1, L2, Norm, WeightedLinf
from theory.testing import check_contraction

RNG = np.random.default_rng(0)
V = RNG.standard_normal

# ------------------------------------------------------------------------------------------ shapes


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LSTM(V((11, 3)), V((12, 2))), ("W has shape (11, 3), needed (12, 3): 3 rows for "
         "each of the gates i, f, g, o, in this order; gate o has 2 of them")),
        (lambda: LSTM(V((9, 3)), V((12, 2))), "gate o has 0 of them"),
        (lambda: LSTM(V((12, 3)), V((16, 2))), ("U has shape (16, 2), needed (12, m): 3 rows for "
         "each of the gates i, f, g, o, in this order; there are 4 after gate o")),
        (lambda: LSTM(V((12, 3)), V((12, 2)), V(7)), ("b has shape (7,), needed (12,): 3 rows for "
         "each of the gates i, f, g, o, in this order; gate g has 1 of them")),
        (lambda: LSTM(V(12), V((12, 2))), "W has shape (12,), needed 2 dimension(s)"),
        (lambda: LSTM(V((12, 3)), V((12, 2)), V((2, 12))), "b has shape (2, 12), needed 1"),
        (lambda: LSTM([[math.nan]] * 4, np.ones((4, 1))), "W holds nan at index (0, 0)"),
        (lambda: LSTM(np.ones((4, 1)), [["a"]] * 4), "U has dtype <U1, needed real numbers"),
        (lambda: GRU(V((8, 3)), V((9, 2))), "the gates r, z, n, in this order; gate n has 2"),
        (lambda: GRU(V((9, 3)), V((6, 2))), "U has shape (6, 2), needed (9, m)"),
        (lambda: GRU(V((9, 3)), V((9, 2)), V(9), V(2)), "b_candidate has shape (2,), needed (3,)"),
        (lambda: GRU(V((3, 1)), V((3, 1)), variant="v3"), "needed one of: reset_after, reset_b"),
        (lambda: GRU(V((3, 1)), V((3, 1)), None, [1.0], "reset_before"), "has no such bias; add"),
        (lambda: EchoStateNetwork(V((2, 3)), V((2, 1))), "W has shape (2, 3), needed a square"),
        (lambda: EchoStateNetwork(V((2, 2)), V((3, 1))), "U has shape (3, 1), needed (2, m)"),
        (lambda: EchoStateNetwork(V((2, 2)), V((2, 1)), leak=[1.0]), "leak has shape (1,), needed"),
        (lambda: EchoStateNetwork([[1.0]], [[1.0]], leak=0.0), "leak has entries from 0.0 to 0.0"),
        (lambda: EchoStateNetwork([[1.0]], [[1.0]], leak=1.5), "needed 0 < leak <= 1"),
        (lambda: DiagonalSSM([0.5, 0.5j], V((3, 1))), "B (real part) has shape (3, 1), needed (2"),
        (lambda: DiagonalSSM([[0.5]], [[1.0]]), "eigenvalues (real part) has shape (1, 1), needed"),
        (lambda: DiagonalSSM([], np.ones((0, 1))), "eigenvalues is empty"),
        (lambda: DiagonalSSM([complex(0, math.inf)], [[1.0]]), "(imaginary part) holds inf"),
        (lambda: SelectiveSSM([[0.0]], [[1.0]], [[1.0]]), "decay has least entry 0.0, needed posi"),
        (lambda: SelectiveSSM([[1.0]], [[1.0, 1.0]], [[1.0]]), "W_B has shape (1, 1), needed (1"),
        (lambda: SelectiveSSM(np.ones((2, 1)), np.ones((2, 1)), [[1.0]]), "W_step has shape (2,"),
        (lambda: SelectiveSSM([[1.0]], [[1.0]], V((2, 1))), "W_B has shape (2, 1), needed (1, 1)"),
        (lambda: SelectiveSSM([[1.0]], [[1.0]], [[1.0]], V(2)), "b_step has shape (2,), needed (1"),
        (lambda: SelectiveSSM([[1.0]], [[1.0]], [[1.0]], None, V(2)), "b_B has shape (2,), needed"),
        (lambda: SelectiveSSM([[1.0]], [[1.0]], [[1.0]], discretization="tustin"), "euler, zoh"),
        (lambda: MinGRU(V((3, 2))), ("U has shape (3, 2), needed (2, m): 1 rows for each of the "
         "gates z, n, in this order; there are 1 after gate n")),
        (lambda: MinGRU(V((1, 2))), "gate n has 0 of them"),
        (lambda: MinGRU(V((2, 2)), V(3)), "b has shape (3,), needed (2,)"),
        (lambda: MinGRU(V((2, 2)), activation="swish"), "activation 'swish' is not known"),
        (lambda: RGLRU(V((4, 3)), V(2)), ("U has shape (4, 3), needed (4, 2): in the rows of each "
         "of the gates r, i one column for each of 2 units")),
        (lambda: RGLRU(V((3, 2)), V(2)), "gate i has 1 of them"),
        (lambda: RGLRU(np.ones((0, 0)), []), "Lambda is empty"),
        (lambda: RGLRU(V((2, 1)), V(1), scale=0.0), "scale=0.0, needed scale > 0"),
    ],
)  # fmt: skip
def test_a_wrong_shape_is_explained(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


def test_gates_by_name():
    W, U, b = V((12, 3)), V((12, 2)), V(12)
    for number, name in enumerate("ifgo"):
        rows = slice(3 * number, 3 * number + 3)
        for mine, all_gates in zip(LSTM(W, U, b).gate(name), (W, U, b), strict=True):
            np.testing.assert_array_equal(mine, all_gates[rows])
    for number, name in enumerate("rzn"):
        rows = slice(3 * number, 3 * number + 3)
        for mine, all_gates in zip(GRU(W[:9], U[:9], b[:9]).gate(name), (W, U, b), strict=True):
            np.testing.assert_array_equal(mine, all_gates[rows])
    np.testing.assert_array_equal(MinGRU(U, b).gate("n")[0], U[6:])
    np.testing.assert_array_equal(RGLRU(V((4, 2)), V(2), b[:4]).gate("i")[1], b[2:4])
    with pytest.raises(ValueError, match="gate 'z' is not known, needed one of: i, f, g, o"):
        LSTM(W, U, b).gate("z")


def test_sizes():
    cell = LSTM(V((12, 3)), V((12, 2)))
    assert (cell.units, cell.state_dim, cell.input_dim) == (3, 6, 2)
    assert GRU(V((12, 4)), V((12, 2))).units == 4
    layer = SelectiveSSM(np.ones((2, 5)), V((2, 2)), V((5, 2)))
    assert (layer.state_dim, layer.input_dim) == (10, 2)
    assert DiagonalSSM([0.5, 0.5j, 1.0], V((3, 4))).state_dim == 6


# ------------------------------------------------------------------------------- known quantities


def test_an_lstm_with_open_gates_counts():
    """Saturated gates make c an integrator: c+ = c + g."""
    cell = LSTM(np.zeros((4, 1)), [[0.0], [0.0], [1.0], [0.0]], [40.0, 40.0, 0.0, 40.0])
    H = cell.simulate(np.full((5, 1), 0.5))
    assert H[:, 0] == pytest.approx(np.arange(1, 6) * math.tanh(0.5), rel=1e-15)
    assert H[:, 1] == pytest.approx(np.tanh(H[:, 0]), rel=1e-15)


def test_the_published_rate_holds_on_its_set_and_not_everywhere():
    """Largest row sums .36, .128, .09, .36 and f <= .64: lambda = .99889 on |h| <= 1, |c| <= 2.78.

    With W_f not zero no rate holds for all states: c multiplies what h does to the forget gate.
    """
    rng = np.random.default_rng(0)
    A = rng.standard_normal((16, 4))
    A /= np.sum(np.abs(A), axis=1, keepdims=True)
    A *= np.repeat([0.36, 0.128, 0.09, 0.36], 4)[:, None] * (1 - 8 * UNIT)
    U, b = rng.uniform(-1, 1, (16, 1)), rng.uniform(-1, 1, 16)
    U[4:8], b[4:8] = 0.25, 0.25
    cell, claim = LSTM(A, U, b), Contraction.assumed(0.998888889, Linf())
    inputs = rng.uniform(-0.75, 0.75, (20, 1))
    check_contraction(cell, contraction=claim, radius=1.0, inputs=inputs)
    with pytest.raises(AssertionError, match=r"does not contract by lam=0\.998"):
        check_contraction(cell, contraction=claim, inputs=inputs)


def test_both_conventions_of_the_reset_gate():
    """One unit, everything but the reset gate's position alike: r (w h) = w (r h) without bias."""
    W, U, b = V((3, 1)), V((3, 1)), V(3)
    X = V((9, 1))
    after, before = GRU(W, U, b), GRU(W, U, b, variant="reset_before")
    assert np.max(np.abs(after.simulate(X) - before.simulate(X))) <= 1e3 * UNIT
    # of several units, or with a bias in the gate's reach, they are different maps
    assert np.max(np.abs(GRU(W, U, b, [1.0]).simulate(X) - before.simulate(X))) > 1e-3
    W, U = V((6, 2)), V((6, 1))
    apart = GRU(W, U).simulate(X) - GRU(W, U, variant="reset_before").simulate(X)
    assert np.max(np.abs(apart)) > 1e-3
    assert (after.variant, before.variant) == ("reset_after", "reset_before")
    assert before.with_parameters(b=b).variant == "reset_before"


def test_a_leaky_cell_between_identity_and_vanilla():
    W, U, b, X = V((3, 3)), V((3, 2)), V(3), V((20, 2))
    plain = VanillaRNN(W, U, b).simulate(X)
    np.testing.assert_allclose(EchoStateNetwork(W, U, b).simulate(X), plain, rtol=1e-12)
    h = V(3)
    slow = EchoStateNetwork(W, U, b, leak=2.0**-40)
    assert np.max(np.abs(slow.step(h, X[0]) - h)) <= 2.0**-39 * (1 + np.max(np.abs(h)))
    mixed = EchoStateNetwork(W, U, b, leak=[1.0, 2.0**-40, 1.0])
    assert mixed.affine() is None
    np.testing.assert_allclose(
        mixed.step(h, X[0])[[0, 2]], np.tanh(W @ h + U @ X[0] + b)[[0, 2]], rtol=1e-13
    )


def test_a_diagonal_layer_is_a_complex_recurrence():
    values, B, X = 0.9 * np.exp(1j * V(4)), V((4, 2)) + 1j * V((4, 2)), V((60, 2))
    s, expected = np.zeros(4, dtype=complex), []
    for x in X:
        s = values * s + B @ x
        expected.append(np.append(s.real, s.imag))
    layer = DiagonalSSM(values, B)
    np.testing.assert_allclose(layer.simulate(X), expected, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(layer.eigenvalues, values)
    np.testing.assert_array_equal(layer.B, B)
    # as the dense system of twice the dimension
    form = layer.affine()
    dense = LinearMap(form.W, form.U).simulate(X)
    np.testing.assert_allclose(layer.simulate(X), dense, rtol=0, atol=1e-12)


def test_the_selective_layer_of_the_oracle():
    """a = 1, b = -1, |w| B_x = 1/2: the largest factor is .817574476, at x = -1."""
    layer = SelectiveSSM([[1.0]], [[0.5]], [[0.0]], [-1.0], [1.0], "zoh")
    factors = [float(layer.coefficients(np.array([x]))[0][0]) for x in (-1.0, 0.0, 1.0)]
    assert max(factors) == factors[0] == pytest.approx(0.817574476, abs=1e-9)
    # the held input is a convex combination: no state beyond sup |B u| / a
    H = layer.simulate(np.tile([[1.0], [-1.0]], (200, 1)))
    assert np.max(np.abs(H)) <= 1.0
    # the truncation gap is exactly exp(-a sum of steps) |h_{T-k}|
    X = np.cos(np.arange(30.0))[:, None]
    H, k = layer.simulate(X), 7
    gap = np.abs(truncate(layer, k)(X) - H)[-1, 0]
    shrunk = np.prod([layer.coefficients(x)[0][0] for x in X[-k:]])
    assert gap == pytest.approx(shrunk * abs(H[-1 - k, 0]), rel=1e-12)


def test_discretisations_agree_for_small_steps():
    parts = (np.exp(V((2, 3))), V((2, 2)), V((3, 2)))
    X = V((5, 2))
    short = -20.0 * np.ones(2)  # softplus(-20) = 2e-9
    held = SelectiveSSM(*parts, short, discretization="zoh").coefficients(X)
    first_order = SelectiveSSM(*parts, short).coefficients(X)
    np.testing.assert_array_equal(held[0], first_order[0])
    np.testing.assert_allclose(held[1], first_order[1], rtol=1e-6)
    assert (held[1] != first_order[1]).any()


def test_minimal_gated_units_are_convex_combinations():
    unit = MinGRU(V((6, 2)), V(6), activation="tanh")
    H = unit.simulate(10 * V((500, 2)), np.ones(3))
    assert np.max(np.abs(H)) <= 1.0


def test_the_real_gated_unit_keeps_unit_variance():
    """a**2 + (1 - a**2) = 1: white inputs through i = 1 keep their variance."""
    unit = RGLRU(np.zeros((2, 1)), [0.0], b=[0.0, 40.0], scale=1.0)
    H = unit.simulate(np.random.default_rng(1).standard_normal((40000, 1)))
    assert np.std(H[100:]) == pytest.approx(1.0, abs=0.05)


def test_a_recurrence_whose_gate_is_closed_keeps_its_state():
    unit = RGLRU(np.zeros((2, 1)), [800.0])  # softplus(-800) underflows: a = 1
    assert unit.step(np.array([3.0]), np.array([5.0])).tolist() == [3.0]
    assert np.isfinite(unit.jacobian_input(np.array([3.0]), np.array([5.0]))).all()


# ---------------------------------------------------------------------------------------- cascades


def test_the_two_layer_gap_of_the_oracle():
    """Positive scalar layers, lambda = .9, L_2 = .5, B = 1, k = 12: the top gap is attained."""
    model = Cascade([LinearMap([[0.9]], [[1.0]]), LinearMap([[0.9]], [[0.5]])])
    X = np.ones((800, 1))
    gap = (model.simulate(X) - truncate(model, 12)(X))[-1, 1]
    assert gap == pytest.approx(31.06724901291, rel=1e-11)


def test_layers_see_the_new_state_of_the_one_below():
    lower, upper = LSTM(V((8, 2)), V((8, 3))), GRU(V((3, 1)), V((3, 2)))
    model = Cascade([lower, upper])
    h, x = V(5), V(3)
    below = lower.step(h[:4], x)
    np.testing.assert_array_equal(model.step(h, x)[:4], below)
    np.testing.assert_array_equal(model.step(h, x)[4:], upper.step(h[4:], below[2:]))
    assert model.layers == (lower, upper)
    assert [(part.start, part.stop) for part in model.slices] == [(0, 4), (4, 5)]
    assert model.readouts[0].C.tolist() == lower.output_map.tolist()
    X, first = V((2, 30, 3)), V((2, 5))
    H = model.simulate(X, first)
    np.testing.assert_allclose(H[..., :4], lower.simulate(X, first[:, :4]), atol=1e-12)
    above = upper.simulate(H[..., 2:4], first[:, 4:])
    np.testing.assert_allclose(H[..., 4:], above, atol=1e-12)


def test_readouts_by_matrix_and_head():
    lower, upper = VanillaRNN(V((3, 3)), V((3, 2))), LinearMap(0.5 * np.eye(1), V((1, 2)))
    C, d = V((2, 3)), V(2)
    model = Cascade([lower, upper], [LinearHead(C, d)])
    h, x = V(4), V(2)
    expected = upper.step(h[3:], C @ lower.step(h[:3], x) + d)
    np.testing.assert_allclose(model.step(h, x)[3:], expected, rtol=1e-13)
    assert list(model.parameters) == [
        "0.W", "0.U", "0.b", "1.W", "1.U", "1.b", "0.readout", "0.readout_bias",
    ]  # fmt: skip
    half = model.with_parameters(**{"0.readout": 0.5 * C, "1.W": [[0.25]]})
    np.testing.assert_array_equal(half.readouts[0].C, 0.5 * C)
    np.testing.assert_array_equal(half.readouts[0].d, d)
    assert half.layers[1].W.tolist() == [[0.25]]
    plain = Cascade([lower, upper], [C])
    np.testing.assert_array_equal(plain.readouts[0].C, C)
    assert not plain.readouts[0].d.any()
    # a matrix that only selects is not multiplied by, but stays a parameter
    selecting = Cascade([lower, upper], [np.eye(2, 3, 1)])
    assert selecting.readouts[0].entries == slice(1, 3)
    assert "0.readout" in selecting.parameters
    assert Cascade([lower, upper], [np.eye(2, 3)[::-1]]).readouts[0].entries is None
    assert Cascade([lower, upper], [LinearHead(np.eye(2, 3), d)]).readouts[0].entries is None


def test_a_cascade_of_cascades():
    parts = [LSTM(V((8, 2)), V((8, 2))) for _ in range(3)]
    nested, flat = Cascade([Cascade(parts[:2]), parts[2]]), Cascade(parts)
    X = V((20, 2))
    np.testing.assert_allclose(nested.simulate(X), flat.simulate(X), atol=1e-13)
    assert "0.1.U" in nested.parameters
    again = nested.with_parameters(**{"0.1.U": parts[2].U})
    np.testing.assert_array_equal(again.layers[0].layers[1].U, parts[2].U)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Cascade([]), "layers=[], needed one Map at least"),
        (lambda: Cascade([LinearMap([[0.5]], [[1.0]]), "lstm"]), "needed one Map at least"),
        (lambda: Cascade([LinearMap(np.eye(2), np.eye(2)), LinearMap([[1.0]], [[1.0]])]),
         ("layer 0 gives 2 outputs, but layer 1 takes 1; give readouts= with a matrix of shape "
         "(1, 2) in place 0")),
        (lambda: Cascade([LinearMap([[0.5]], [[1.0]])] * 2, []), ("received 0 readouts for 2 "
         "layers, needed 1")),
        (lambda: Cascade([LinearMap([[0.5]], [[1.0]])] * 2, [np.eye(2)]), ("readout has C of shape "
         "(2, 2), needed (p, 1), as wide as the state")),
    ],
)  # fmt: skip
def test_layers_that_do_not_fit_are_refused(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


def test_the_rounding_error_of_a_cascade_with_a_function_needs_its_gain():
    lower = LinearMap([[0.5]], [[1.0]])

    def half(h, x):
        return 0.5 * h + 2.0 * x

    unknown = Cascade([lower, CallableMap(half, 1, 1)])
    with pytest.raises(ValueError, match="amplified by an unknown factor; pass input_lipschitz="):
        unknown.step_error(np.ones(2), np.ones(1))
    known = Cascade([lower, CallableMap(half, 1, 1, input_lipschitz=2.0)])
    error = known.step_error(np.ones(2), np.ones(1))
    assert error[1] >= 2 * error[0]
    # at the bottom the inputs are exact, and nothing need be known
    first = Cascade([CallableMap(half, 1, 1), lower])
    assert (first.step_error(np.ones(2), np.ones(1)) > 0).all()
    assert unknown.rest_reach(Inputs.box(-1, 1)) is None
    with pytest.raises(ValueError, match="pass an array of the inputs"):
        unknown.drive(Linf(), Inputs.box(-1, 1))
    assert float(known.drive(Linf(), Inputs.box(-1, 1))) == pytest.approx(2.0)


# ------------------------------------------------------------------------------------- divergence


@pytest.mark.parametrize(
    "model",
    [
        LSTM(np.ones((4, 1)), np.full((4, 1), 1e308)),
        GRU(np.ones((3, 1)), np.full((3, 1), 1e308)),
        EchoStateNetwork([[1.0]], [[1e308]], leak=0.5),
        DiagonalSSM([0.5j], [[1e308]]),
        SelectiveSSM([[1.0]], [[1e200]], [[1e200]]),
        MinGRU([[1e308], [1e308]]),
        Cascade([LSTM(np.ones((4, 1)), np.full((4, 1), 1e308))]),
    ],
    ids=lambda model: type(model).__name__,
)
def test_inputs_that_leave_the_range_are_refused(model: Map):
    with pytest.raises(DivergedError, match="left the range of double precision"):
        model.simulate([[100.0]])
    with pytest.raises(DivergedError, match="left the range"):
        model.simulate(np.full((2000, 2, 1), 100.0))


def test_states_that_leave_the_range_are_refused():
    with pytest.raises(DivergedError, match="at step 12 of sequence 1"):
        DiagonalSSM([1e30], [[1.0]]).simulate(np.stack([np.zeros((20, 1)), np.ones((20, 1))]))


def test_saturated_gates_raise_no_warning():
    cell = LSTM(np.full((4, 1), 1e300), np.full((4, 1), -1e300))
    assert np.isfinite(cell.simulate(np.array([[1.0], [-1.0], [1.0]]))).all()
    terms = cell.input_terms(np.ones((BLOCK_ROWS + 1, 1)))
    assert np.isfinite(cell.advance(np.ones((BLOCK_ROWS + 1, 2)), terms)).all()


# ------------------------------------------------------------------------------------ input bounds


@pytest.mark.parametrize("norm", [L1(), L2(), Linf()], ids=str)
def test_how_far_linear_maps_reach_on_a_ball(norm: Norm):
    U = V((6, 3))
    reach = Inputs.ball(2.0, norm)
    assert reach.reach(3).tolist() == [2.0] * 3
    dual = {"L1": np.inf, "L2": 2, "Linf": 1}[norm.label]
    exact = 2.0 * np.linalg.norm(U, dual, axis=1)
    assert (reach.image_upper(U) >= exact * (1 - 4 * UNIT)).all()
    np.testing.assert_allclose(reach.image_upper(U), exact, rtol=1e-14)
    assert reach.image_upper(np.zeros((2, 3))) == pytest.approx(0.0, abs=1e-300)


def test_how_far_linear_maps_reach_in_a_box():
    U, size = V((6, 3)), np.array([0.0, 1.0, 3.0])
    np.testing.assert_allclose(Inputs.box(-size, size).image_upper(U), np.abs(U) @ size, rtol=1e-14)
    weighted = Inputs.ball(1.0, WeightedLinf([1.0, 2.0, 3.0]))
    assert weighted.reach(3).tolist() == [1.0, 2.0, 3.0]
    assert (weighted.image_upper(U) >= np.abs(U) @ [1.0, 2.0, 3.0]).all()


def test_how_far_a_memory_cell_gets_from_rest():
    """i = sigma(20), g = tanh(1 + 20), o = sigma(1 + 1): c is 1 and h is o tanh(1)."""
    cell = LSTM(np.zeros((4, 1)), [[0.0], [0.0], [1.0], [1.0]], [20.0, 0.0, 20.0, 1.0])
    bound = cell.rest_reach(Inputs.box(-1, 1))
    assert bound == pytest.approx([1.0, 0.670810], abs=1e-6)
    assert (cell.step(np.zeros(2), np.ones(1)) <= bound).all()


# ------------------------------------------------------------------------------ equality with torch


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("n", "m", "batch"), [(1, 1, 1), (5, 3, 4), (70, 2, 1), (64, 3, 20)])
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_simulation_is_what_torch_computes(kind, n, m, batch, seed):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    torch.manual_seed(seed)
    module = getattr(torch.nn, kind)(m, n, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        for parameter in module.parameters():  # beyond the timid range of the default
            parameter.normal_(std=1.0 / math.sqrt(parameter.shape[-1]))
    W, U, b, b_h = (
        getattr(module, name).detach().numpy()
        for name in ("weight_hh_l0", "weight_ih_l0", "bias_ih_l0", "bias_hh_l0")
    )
    if kind == "LSTM":
        cell: Map = LSTM(W, U, b + b_h)
    else:
        cell = GRU(W, U, b + np.where(np.arange(3 * n) < 2 * n, b_h, 0.0), b_h[2 * n :])
    X = np.random.default_rng(seed).standard_normal((batch, 40, m))
    with torch.no_grad():
        expected = module(torch.from_numpy(X))[0].numpy()
    H = cell.simulate(X) @ cell.output_map.T
    assert np.max(np.abs(H - expected)) <= 1e-12 * np.max(np.abs(expected))


def test_the_rounding_budget_of_an_rglru_covers_a_decay_that_is_lost():
    # the pre-activation of r errs by more than 2: a is .997 in doubles and .00093 exactly
    U = np.zeros((6, 3))
    U[0] = [0.0, 1e17, -1e17 / 3]
    unit = RGLRU(U=U, Lambda=[-20.0, 0.0, 0.0], scale=8.0)
    h, x = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.078410912107204, 3.2352327363216125])
    apart = np.abs(unit.step(h, x) - step_by_definition(unit, h, x))
    assert apart[0] > 0.9
    assert np.all(apart <= unit.step_error(np.abs(h), np.abs(x)))
