"""Which inputs are meant: sets of vectors, and bounds that say for which of them they hold."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory import (
    GRU,
    L1,
    L2,
    LSTM,
    Cascade,
    Contraction,
    Domain,
    Inputs,
    LinearHead,
    LinearMap,
    Linf,
    MinGRU,
    SelectiveSSM,
    VanillaRNN,
    WeightedL1,
    WeightedL2,
    WeightedLinf,
    contraction,
    project,
    refute,
    required_context,
    truncation_gaps,
)
from theory.certificates import drive_size
from theory.certify import invariant_domain, judge_contraction
from theory.files.sequences import Sequences
from theory.inputs import as_inputs, read_inputs
from theory.maps import Drive
from theory.memory import context_length_iterate
from theory.norms.norms import same_norm
from theory.theorems import (
    context_length,
    deployed_error,
    gradient_gap,
    hidden_state,
    output_gap,
    prediction_gap,
    state_gap,
    state_gap_any_start,
    state_gap_blocks,
    state_gap_finite,
    training_context,
)

P = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.25], [0.0, 0.25, 3.0]])
NORMS = (
    L1(), L2(), Linf(), WeightedL1([1.0, 2.0, 0.25]), WeightedLinf([3.0, 0.5, 1.0]), WeightedL2(P),
)  # fmt: skip


def sets(rng):
    """Return sets in R^3 with points that lie in them, many on the boundary."""
    rows = rng.standard_normal((6, 3))
    low, high = np.array([-1.0, 0.0, -0.25]), np.array([1.0, 2.0, 0.5])
    corners = np.where(rng.random((40, 3)) < 0.5, low, high)
    yield Inputs.box(low, high), corners
    yield Inputs.box(-2, 2), 2.0 * np.sign(corners)
    yield Inputs.any_of(rows), rows
    for norm in NORMS:
        x = rng.standard_normal((40, 3)) * (rng.random((40, 3)) < 0.7)
        size = np.maximum(norm.vector_upper(x), 1e-300)[:, None]
        yield Inputs.ball(1.5, norm), 1.5 * (1 - 2.0**-50) * x / size
    yield Inputs.seen(rows), rows
    inside = rows * (1 + 0.1 * rng.uniform(-1, 1, (6, 1)))
    yield Inputs.seen(rows, widened=0.1), inside


# ------------------------------------------------------------------------------------- the fault


@pytest.mark.parametrize("kind", [VanillaRNN, LinearMap])
def test_a_chain_of_two_meanings_of_one_number_is_refused(kind):
    """The certificate's box holds ones, of length 4, the drive's ball did not: .3645 < 1.458."""
    cell = kind(0.9 * np.eye(16), 0.05 * np.eye(16))

    def chain():
        c = contraction(cell, method="spectral", input_bound=1.0)
        return state_gap(c, k=3, drive=cell.drive(c.norm, input_bound=1.0))

    with pytest.raises(ValueError, match=r"Inputs\.box\(-1\.0, 1\.0\).*Inputs\.ball\(1\.0\)"):
        chain()


@pytest.mark.parametrize(("kind", "least"), [(VanillaRNN, 0.8549), (LinearMap, 1.4579)])
@pytest.mark.parametrize(
    ("inputs", "x"), [(Inputs.box(-1, 1), 1.0), (Inputs.ball(1.0), 0.25)], ids=str
)
def test_a_bound_holds_for_the_inputs_of_its_drive(kind, least, inputs, x):
    cell = kind(0.9 * np.eye(16), 0.05 * np.eye(16))
    c = contraction(cell, method="spectral", norm=L2())
    drive = cell.drive(c.norm, inputs)
    X = np.full((120, 16), x)
    assert inputs.contains(X)
    measured = truncation_gaps(cell, X, k_max=3, norm=L2())[3]
    assert measured <= state_gap(c, k=3, drive=drive) <= 2 * measured
    if x == 1.0:
        assert measured >= least


# ---------------------------------------------------------------------------------- what they hold


@given(seed=st.integers(0, 2**32 - 1))
def test_points_of_a_set_are_within_all_that_encloses_it(seed):
    rng = np.random.default_rng(seed)
    U = rng.standard_normal((4, 3)) * (rng.random((4, 3)) < 0.8)
    for inputs, points in sets(rng):
        assert inputs.contains(points), inputs
        low, high = inputs.ends(3)
        assert ((low <= points) & (points <= high)).all()
        assert (np.abs(points) <= inputs.reach(3)).all()
        for norm in NORMS:
            slack = 1 + 2 * norm.vector_rounding(3)
            assert np.max(norm.vector(points)) <= inputs.norm_upper(norm, 3) * slack
        reach = inputs.image_upper(U)
        # in exact arithmetic: the bound is not below any image
        for row, bound in zip(U.tolist(), reach.tolist(), strict=True):
            for x in points.tolist():
                image = sum(
                    (Fraction(u) * Fraction(e) for u, e in zip(row, x, strict=True)), Fraction(0)
                )
                assert abs(image) <= Fraction(bound), inputs


@given(seed=st.integers(0, 2**32 - 1))
def test_what_is_within_another_set_has_no_point_outside(seed):
    rng = np.random.default_rng(seed)
    made = list(sets(rng))
    for one, points in made:
        for other, _ in made:
            if one.within(other, 3):
                assert other.contains(points), (one, other)


def test_which_sets_hold_which():
    box, ball = Inputs.box(-1, 1), Inputs.ball(1)
    assert ball.within(box, 16)
    assert not box.within(ball, 16)
    assert box.within(Inputs.ball(4), 16)  # the corner has length 4, exactly
    assert not box.within(Inputs.ball(4), 17)
    assert box.within(Inputs.ball(16, L1()), 16)
    assert box.within(Inputs.ball(1, Linf()), 16)
    assert box.within(ball, 1)
    assert ball.within(Inputs.ball(2), 3)
    assert ball.within(Inputs.ball(2, L1()), 4)  # sqrt(4)
    assert not ball.within(Inputs.ball(1, L1()), 4)
    assert Inputs.any_of([[1.0, 0.0]]).within(ball, 2)  # on the boundary, exactly
    assert not Inputs.any_of([[1.0, 1e-7]]).within(ball, 2)
    assert Inputs.box(0, 0).within(Inputs.any_of([[0.0, -0.0]]), 2)
    assert not box.within(Inputs.any_of([[0.0, 0.0]]), 2)
    assert Inputs.any_of([[0.0, 1.0]]).within(Inputs.any_of([[1.0, 1.0], [0.0, 1.0]]), 2)
    assert Inputs.any_of(np.zeros((0, 2))).within(Inputs.box(3, 4), 2)
    everything = Inputs.box(-np.inf, np.inf)
    assert box.within(everything, 3)
    assert not everything.within(box, 3)
    assert not everything.within(ball, 3)
    assert not everything.bounded
    X = np.random.default_rng(0).standard_normal((9, 3))
    assert Inputs.any_of(X).within(Inputs.seen(X), 3)
    assert Inputs.seen(X).within(Inputs.seen(X, 0.1), 3)
    assert not Inputs.seen(X, 0.1).within(Inputs.seen(X), 3)


def test_membership_is_exact_where_rounding_would_decide():
    third = 1 / 3  # below the third, so three of them are below 1
    assert Inputs.ball(1.0, L1()).contains([third] * 3)
    assert not Inputs.ball(1.0, L1()).contains([np.nextafter(third, 1)] * 3)
    assert Inputs.ball(5.0).contains([3.0, 4.0])
    assert not Inputs.ball(5.0).contains([3.0, np.nextafter(4.0, 5)])
    for norm, x in ((WeightedL1([1.0, 2.0]), [1.0, 2.0]), (WeightedLinf([1.0, 2.0]), [5.0, 10.0])):
        assert Inputs.ball(5.0, norm).contains(x)
        assert not Inputs.ball(5.0, norm).contains(np.nextafter(x, np.inf))
    weighted = WeightedL2(np.array([[1.0, 0.5], [0.5, 1.0]]))
    assert Inputs.ball(np.sqrt(3.0) * (1 + 2.0**-50), weighted).contains([1.0, 1.0])
    assert not Inputs.ball(np.sqrt(3.0) * (1 - 2.0**-50), weighted).contains([1.0, 1.0])


def test_infinite_ends():
    half = Inputs.box([0.0, -np.inf], [np.inf, 1.0])
    assert half.reach(2).tolist() == [np.inf, np.inf]
    assert half.norm_upper(L2(), 2) == np.inf
    assert half.image_upper(np.array([[0.0, 0.0], [1.0, 0.0]])).tolist() == [0.0, np.inf]
    assert half.contains([[7.0, -7.0]])
    assert not half.contains([[-1.0, 0.0]])
    # a tanh cell is bounded under all inputs, a linear map is not
    cell = VanillaRNN([[0.5]], [[1.0]])
    assert 1.0 <= float(cell.drive(L2(), Inputs.box(-np.inf, np.inf))) <= 1 + 1e-12
    with pytest.raises(ValueError, match=r"nothing bounds .* over all inputs"):
        LinearMap([[0.5]], [[1.0]]).drive(L2(), Inputs.box(-np.inf, np.inf))


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=15)
def test_the_drive_of_every_set_is_above_the_steps_of_its_points(seed):
    rng = np.random.default_rng(seed)

    def weights(*shape):
        return rng.standard_normal(shape)

    maps = [
        VanillaRNN(weights(2, 2), weights(2, 3), weights(2)),
        VanillaRNN(weights(2, 2), weights(2, 3), weights(2), activation="relu"),
        LinearMap(weights(2, 2), weights(2, 3), weights(2)),
        LSTM(weights(8, 2), weights(8, 3), weights(8)),
        GRU(weights(6, 2), weights(6, 3), weights(6)),
        SelectiveSSM(np.ones((3, 2)), weights(3, 3), weights(2, 3)),
        MinGRU(weights(4, 3), weights(4)),
        Cascade([VanillaRNN(weights(2, 2), weights(2, 3)), GRU(weights(6, 2), weights(6, 2))]),
    ]
    for recurrent in maps:
        for inputs, points in sets(rng):
            H = recurrent.step(np.zeros((len(points), recurrent.state_dim)), points)
            error = recurrent.step_error(np.max(np.abs(H), axis=0), np.max(np.abs(points), axis=0))
            for norm in (L1(), L2(), Linf()):
                drive = recurrent.drive(norm, inputs)
                slack = norm.majorant(error) + norm.vector_rounding(len(error)) * float(drive)
                assert float(np.max(norm.vector(H))) <= float(drive) + slack, (recurrent, inputs)
                assert drive.inputs is inputs


def test_a_finite_set_gives_the_largest_of_its_rows():
    rows = np.array([[3.0, 0.0], [0.0, 3.0]])
    tokens, box = Inputs.any_of(rows), Inputs.box(0, 3)
    U = np.array([[1.0, 1.0]])
    assert tokens.image_upper(U)[0] == pytest.approx(3.0)
    assert box.image_upper(U)[0] == pytest.approx(6.0)
    cell = VanillaRNN([[0.5]], U)
    assert float(cell.drive(L2(), tokens)) == pytest.approx(np.tanh(3.0))
    assert float(cell.drive(L2(), rows)) == float(cell.drive(L2(), tokens))


# ------------------------------------------------------------------------------------ how they tell


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        (Inputs.box(-1, 1), "|x_i| <= 1"),
        (Inputs.box(-0.1, 0.1), "|x_i| <= 0.1"),
        (Inputs.box([-1.0, -1.0], 1.0), "|x_i| <= 1"),
        (Inputs.box(0, 1), "0 <= x_i <= 1"),
        (Inputs.box(-np.inf, np.inf), "all inputs"),
        (Inputs.box(-np.inf, 1), "x_i <= 1"),
        (Inputs.box(0, np.inf), "x_i >= 0"),
        (Inputs.box([-1, 0], [1, 2]), "x in [-1, 1] x [0, 2]"),
        (Inputs.box(-np.arange(5.0), np.arange(5.0)), "a box of inputs within |x_i| <= 4"),
        (Inputs.ball(1), "|x|_2 <= 1"),
        (Inputs.ball(0.5, L1()), "|x|_1 <= 0.5"),
        (Inputs.ball(2, Linf()), "|x|_inf <= 2"),
        (Inputs.ball(2, WeightedL1([1.0])), "|x| <= 2 in L1,v"),
        (Inputs.any_of(np.ones((12, 2))), "12 given inputs"),
        (Inputs.any_of([1.0]), "1 given input"),
        (
            Inputs.seen(np.ones((12, 2))),
            "inputs like the 12 that were seen, within |x_i| <= 1 and |x|_2 <= 1.415",
        ),
        (
            Inputs.seen(np.ones((12, 2)), 0.1),
            "inputs within 0.1 of the 12 that were seen, within |x_i| <= 1.101 and |x|_2 <= 1.556",
        ),
    ],
)
def test_sets_say_which_inputs_they_hold(inputs, text):
    assert str(inputs) == text
    assert repr(inputs) == f"Inputs({text})"


def test_sequences_of_any_shape_are_taken():
    X = np.arange(12.0).reshape(2, 3, 2)
    sequences = Sequences(names=("a", "b"), arrays=(X[0], X[1]), digest="")
    for given_X in (X, [X[0], X[1]], sequences):
        made = Inputs.seen(given_X)
        assert made.low.tolist() == [0.0, 1.0]
        assert made.high.tolist() == [10.0, 11.0]
    assert len(as_inputs(sequences, 2).rows) == 6
    with pytest.raises(ValueError, match="read-only"):
        Inputs.seen(X).low[0] = 1.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Inputs.box(np.nan, 1), "low holds nan"),
        (lambda: Inputs.box([0.0, np.inf], [np.nan, np.inf]), "high holds nan"),
        (lambda: Inputs.box(1, -1), "low=1.0 and high=-1.0 at input 0, needed low <= high"),
        (lambda: Inputs.box(np.inf, np.inf), "needed low <= high"),
        (lambda: Inputs.box([0.0], [1.0, 2.0]), "of one length"),
        (lambda: Inputs.box("a", 1), "low has dtype"),
        (lambda: Inputs.box([[1.0], [2.0, 3.0]], 1), "low is not rectangular"),
        (lambda: Inputs.box(np.zeros((1, 1)), 1), r"low has shape \(1, 1\)"),
        (lambda: Inputs.ball(np.nan), "radius holds nan"),
        (lambda: Inputs.ball(np.inf), "radius holds inf"),
        (lambda: Inputs.ball(-1), "radius=-1.0 is negative"),
        (lambda: Inputs.ball(2**53 + 1), "no double is equal to"),
        (lambda: Inputs.ball(1, norm=2), "norm=2, needed a norm"),
        (lambda: Inputs.any_of([[np.nan]]), "rows holds nan"),
        (lambda: Inputs.any_of(1.0), r"rows has shape \(\)"),
        (lambda: Inputs.seen(np.zeros((0, 2))), "at least one input"),
        (lambda: Inputs.seen([[1.0]], widened=-1), "widened=-1 is negative"),
        (lambda: Inputs.seen([np.ones((2, 1)), np.ones((2, 3))]), r"dimensions \[1, 3\]"),
        (lambda: Inputs.box([0.0], [1.0]).reach(2), "of dimension 1, needed 2"),
        (lambda: Inputs.box([0.0], [1.0]).contains([1.0, 2.0]), r"needed \(\.\.\., 1\)"),
        (lambda: as_inputs(1.0, 4), r"inputs=1.0 does not say .*Inputs\.box.*Inputs\.ball"),
        (lambda: as_inputs(-1.0, 4), r"Inputs\.ball\(1\.0\)"),
        (lambda: as_inputs("ball:1", 4), "needed theory.Inputs"),
        (lambda: as_inputs(np.ones((3, 2)), 4), r"inputs has shape \(3, 2\), needed \(\.\.\., 4\)"),
        (
            lambda: Drive(size=-1.0, norm=L2(), inputs=Inputs.ball(1)),
            "size=-1.0, needed a number >= 0",
        ),
        (lambda: Drive(size=np.nan, norm=L2(), inputs=Inputs.ball(1)), "size=nan"),
    ],
)
def test_malformed_sets(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# ----------------------------------------------------------------------------- bounds ask the drive

BOUNDS = {
    "deployed_error": lambda c, d: deployed_error(
        c, k=1, t=3, drive=d, step_error=1e-3, run_error=1e-3
    ),
    "state_gap": lambda c, d: state_gap(c, k=1, drive=d),
    "state_gap_finite": lambda c, d: state_gap_finite(c, k=1, t=3, drive=d),
    "state_gap_any_start": lambda c, d: state_gap_any_start(c, k=1, t=3, drive=d, start=1.0),
    "state_gap_blocks": lambda c, d: state_gap_blocks(c, k=1, growth=1.0, drive=d),
    "output_gap": lambda c, d: output_gap(c, k=1, drive=d, lipschitz=1.0),
    "hidden_state": lambda c, d: hidden_state(c, t=3, drive=d),
    "context_length": lambda c, d: context_length(c, eps=1e-3, drive=d),
    "context_length_iterate": lambda c, d: context_length_iterate(
        c, eps=1e-3, growth=1.0, drive=d
    ),
    "gradient_gap": lambda c, d: gradient_gap(c, k=1, drive=d, weight_gain=1.0, loss_gain=1.0),
    "prediction_gap": lambda c, d: prediction_gap(c, k=1, drive=d, weight_gain=1.0, distance=0.1),
    "training_context": lambda c, d: training_context(
        c, eps=1e-3, steps=5, alpha=0.1, drive=d, weight_gain=1.0, loss_gain=1.0, beta=1.0
    ),
}  # fmt: skip


@pytest.mark.parametrize("bound", BOUNDS.values(), ids=BOUNDS)
def test_bounds_refuse_a_drive_that_is_not_theirs(bound):
    box = Domain(low=[-1.0] * 2, high=[1.0] * 2, input_low=[-1.0] * 2, input_high=[1.0] * 2)
    c = Contraction.assumed(0.5, L2(), domain=box)
    fits = Drive(size=0.75, norm=L2(), inputs=Inputs.ball(1.0))
    assert bound(c, fits) == bound(c, 0.75)
    with pytest.raises(ValueError, match="measured in Linf and the contraction is one in L2"):
        bound(c, Drive(size=0.75, norm=Linf(), inputs=Inputs.ball(1.0)))
    with pytest.raises(ValueError, match=r"for \|x\|_2 <= 1.5, but .* holds for \|x_i\| <= 1 only"):
        bound(c, Drive(size=0.75, norm=L2(), inputs=Inputs.ball(1.5)))
    with pytest.raises(ValueError, match=r"drive=-1\.0 is negative"):
        bound(c, -1.0)
    with pytest.raises(ValueError, match="drive=nan"):
        bound(c, float("nan"))
    with pytest.raises(ValueError, match="drive=inf, needed a finite number"):
        bound(c, Drive(size=math.inf, norm=L2(), inputs=Inputs.ball(1.0)))
    # a contraction everywhere holds for all inputs
    everywhere = Contraction.assumed(0.5, L2())
    large = Drive(size=0.75, norm=L2(), inputs=Inputs.ball(1e9))
    assert bound(everywhere, large) == bound(everywhere, 0.75)


def test_every_bound_that_takes_a_drive_asks_it():
    import inspect

    import theory

    taking = {
        name
        for face in (theory.theorems, theory.memory)
        for name in face.__all__
        if inspect.isfunction(function := getattr(face, name))
        and "drive" in inspect.signature(function).parameters
    }
    assert taking == set(BOUNDS)


def test_weights_are_part_of_a_norm():
    made = [L1(), L2(), Linf(), WeightedL1([1.0]), WeightedLinf([1.0]), WeightedL1([2.0])]
    made += [WeightedL2(np.eye(1)), WeightedL2(2 * np.eye(1))]
    for i, one in enumerate(made):
        assert same_norm(
            one, type(one)(*(getattr(one, name) for name in ("v", "P") if hasattr(one, name)))
        )
        assert [same_norm(one, other) for other in made] == [i == j for j in range(len(made))]
    c = Contraction.assumed(0.5, WeightedLinf([1.0, 2.0]))
    other = Drive(size=1.0, norm=WeightedLinf([1.0, 3.0]), inputs=Inputs.ball(1.0))
    with pytest.raises(ValueError, match="needed one norm"):
        drive_size(c, other)
    assert "for |x|_2 <= 1" in repr(other)


def test_a_drive_for_the_domain_itself_always_fits():
    cell = VanillaRNN([[1.1]], [[1.0]], [2.0])
    c = contraction(cell, domain=None, inputs=Inputs.box(-0.1, 0.1))
    drive = cell.drive(c.norm, c.domain.inputs)
    assert output_gap(c, k=2, drive=drive, lipschitz=LinearHead([[1.0]]).lipschitz(c.norm)) < 1


# --------------------------------------------------------------------------------- who takes them


def test_a_command_line_says_which_inputs(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.array([[1.0, 2.0], [3.0, -4.0]]))
    for text, told in (
        ("box:-1,1", "|x_i| <= 1"),
        ("box:0,inf", "x_i >= 0"),
        ("ball:2", "|x|_2 <= 2"),
        ("ball:2,L1", "|x|_1 <= 2"),
        (str(path), "inputs like the 2 that were seen, within |x_i| <= 4 and |x|_2 <= 5.001"),
    ):
        assert str(read_inputs(text)) == told
    for text, message in (
        ("1", r'pass --inputs "box:-1,1"; .* pass --inputs "ball:1"'),
        ("-1", r'pass --inputs "box:-1,1"; .* pass --inputs "ball:1"'),
        ("box:1", "is not understood"),
        ("box:1,2,3", "is not understood"),
        ("box:1,0", "needed low <= high"),
        ("box:a,b", "could not convert"),
        ("box:nan,1", "low holds nan"),
        ("ball:1,L3", "is not understood"),
        ("ball:-1", "is negative"),
        ("nowhere.npy", "does not exist"),
    ):
        with pytest.raises(ValueError, match=message):
            read_inputs(text)


@given(seed=st.integers(0, 2**32 - 1))
def test_near_points_are_members(seed):
    rng = np.random.default_rng(seed)
    for inputs, _ in sets(rng):
        for x in (*rng.standard_normal((4, 3)) * 3, np.zeros(3)):
            member = inputs.near(x)
            # where the box of what was seen does not hold 0, scaling may lead out of it
            assert member is not None or inputs.name
            assert member is None or inputs.contains(member)
    assert Inputs.any_of(np.zeros((0, 3))).near(np.zeros(3)) is None


#: Slopes are small where inputs are small; a pair of states never meets where they are not.
DRIVEN = VanillaRNN([[1.6, -0.4], [0.3, 1.5]], np.eye(2), [2.0, 2.0])


def test_what_refutes_is_an_input_of_the_set_with_states_of_its_box():
    small, large = Inputs.box(-0.1, 0.1), Inputs.box(-3, 3)
    assert refute(DRIVEN) is not None
    assert contraction(DRIVEN, inputs=small) is not None
    # the certificate on the box and a refutation there would contradict each other
    assert refute(DRIVEN, inputs=small) is None
    found = refute(DRIVEN, inputs=large)
    assert large.contains(found.x)
    assert contraction(DRIVEN, inputs=large) is None
    box = invariant_domain(DRIVEN, inputs=large)
    assert box.contains_states(found.first)
    assert box.contains_states(found.second)
    tokens = Inputs.any_of([[-2.0, -2.0], [0.0, 0.0]])
    assert tokens.contains(refute(DRIVEN, inputs=tokens).x)
    assert judge_contraction(DRIVEN, inputs=small).answer == "certified"
    judged = judge_contraction(DRIVEN, inputs=small)
    assert 0 < judged.lower.rate <= judged.contraction.lam
    assert judge_contraction(DRIVEN, inputs=large).answer == "refuted"
    with pytest.raises(ValueError, match="does not say which inputs"):
        judge_contraction(DRIVEN, inputs=1.0)
    with pytest.raises(ValueError, match="does not say which inputs"):
        refute(DRIVEN, inputs=1.0)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_no_map_is_certified_and_refuted_for_the_same_inputs(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 4))
    cell = VanillaRNN(
        rng.uniform(0.5, 2.0) * rng.standard_normal((n, n)),
        rng.standard_normal((n, 2)),
        3 * rng.standard_normal(n),
        activation=str(rng.choice(["tanh", "sigmoid", "relu"])),
    )
    inputs = Inputs.box(-rng.uniform(0, 1), rng.uniform(0, 1))
    if contraction(cell, inputs=inputs, effort=0) is not None:
        assert refute(cell, inputs=inputs, starts=4, steps=60) is None


def test_a_linear_map_without_a_box_is_refuted_for_all_states():
    inputs = Inputs.box(-1, 1)
    assert invariant_domain(LinearMap([[2.0]], [[1.0]]), inputs=inputs) is None
    assert refute(LinearMap([[2.0]], [[1.0]]), inputs=inputs).kind == "linear"
    assert refute(LinearMap([[0.5]], [[1.0]]), inputs=inputs) is None


def test_bounds_for_tokens_are_not_above_those_for_their_box():
    rows = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.25]])
    cell = VanillaRNN(0.9 * np.eye(2), np.array([[1.0, 1.0], [1.0, -1.0]]), activation="relu")
    tokens, box = Inputs.any_of(rows), Inputs.box(0, 1)
    one, other = (required_context(cell, 1e-3, inputs=inputs) for inputs in (tokens, box))
    assert one.k < other.k
    assert (one.inputs, other.inputs) == (tokens, box)
    assert required_context(cell, 1e-3, inputs=rows).k == one.k
    # a run of the tokens keeps the bound
    X = rows[np.random.default_rng(0).integers(0, 3, 300)]
    assert truncation_gaps(cell, X, k_max=one.k, norm=L2())[one.k] <= one.error <= 1e-3


def test_projections_take_the_largest_entry():
    cell = LSTM(np.full((4, 1), 0.3), np.full((4, 1), 2.0))
    by_box, by_ball = (
        project(cell, onto="lstm", rate=0.9, inputs=i)
        for i in (Inputs.box([-0.5], [2.0]), Inputs.ball(2.0))
    )
    assert str(by_box.certificate.domain.inputs) == "|x_i| <= 2"
    assert by_box.distance == by_ball.distance
    default = project(cell, onto="lstm", rate=0.9)
    assert str(default.certificate.domain.inputs) == "|x_i| <= 1"


def test_constants_beyond_the_largest_double_are_left_out():
    # L_x overflows in the norm, and so does the offset: 0 times infinity was asked for
    cell = VanillaRNN(np.zeros((2, 2)), np.full((2, 1), 1e308), np.full(2, 1e308), "relu")
    for norm in (L1(), WeightedL1(np.full(2, 1e10))):
        with pytest.raises(ValueError, match="bounds step"):
            cell.drive(norm, inputs=Inputs.box(0, 0))
    assert cell.drive(Linf(), inputs=Inputs.box(0, 0)).size < np.inf
