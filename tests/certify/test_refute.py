"""Refutations of every kind of map: which states and inputs they use, and the proof in a file."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from theory import (
    GRU,
    LSTM,
    CallableMap,
    Cascade,
    DiagonalSSM,
    Domain,
    EchoStateNetwork,
    Inputs,
    LinearMap,
    MinGRU,
    VanillaRNN,
    contraction,
    refute,
)
from theory.certify import (
    StoredRefutation,
    invariant_domain,
    judge,
    judge_contraction,
    load_certificate,
    rate_lower,
    reached_domain,
    recheck,
    save_refutation,
)
from theory.certify.orbits import cycles_under, never_meet, verified_cycle
from theory.certify.places import product_rate
from theory.certify.refute import refuted_by
from theory.cli import certify as command
from theory.cli.main import app
from theory.interop import save_map
from theory.norms.radius import reaches_one, spectral_radius_lower

BOX = Inputs.box(-1, 1)


def two_attractors():
    """bug6.py: h -> (1 - z) tanh(3 h) + z h, z near 1."""
    return GRU(W=[[0.0], [0.0], [3.0]], U=np.zeros((3, 1)), b=[30.0, 0.0, 0.0])


def lstm(scale, n=8, seed=1):
    rng = np.random.default_rng(seed)
    W, U, b = (rng.uniform(-1, 1, shape) / np.sqrt(n) for shape in ((4 * n, n), (4 * n, 3), 4 * n))
    return LSTM(scale * W, U, b)


NEVER = {
    "leaky": (EchoStateNetwork([[2.0]], [[1.0]], leak=0.3), "orbits"),
    "GRU": (two_attractors(), "orbits"),
    "GRU, reset before": (
        GRU(W=[[0.0], [0.0], [4.0]], U=np.zeros((3, 1)), b=[3.0, 0, 0], variant="reset_before"),
        "orbits",
    ),
    "LSTM": (lstm(10.0), "orbits"),
    "lower layer": (Cascade([VanillaRNN([[2.0]], [[1.0]]), LinearMap([[0.5]], [[1.0]])]), "orbits"),
    "upper layer": (
        Cascade([MinGRU([[1.0]] * 2, [0.0] * 2), VanillaRNN([[2.0]], [[1]])]),
        "orbits",
    ),
    "h + x": (LinearMap([[1.0]], [[1.0]]), "linear"),
    "rotation": (LinearMap([[0.0, -1.0], [1.0, 0.0]], np.eye(2)), "linear"),
    "Jordan block": (LinearMap([[1.0, 1.0], [0.0, 1.0]], np.eye(2)), "linear"),
    "sum kept above": (Cascade([VanillaRNN([[0.5]], [[1]]), LinearMap([[1.0]], [[1]])]), "linear"),
}


@pytest.mark.parametrize("name", NEVER)
def test_what_never_forgets(name, tmp_path):
    cell, kind = NEVER[name]
    found = refute(cell)
    assert (found.kind, found.never_forgets) == (kind, True)
    assert judge_contraction(cell).answer == "refuted"
    assert contraction(cell) is None
    if kind == "orbits":
        # the two runs stay apart
        X = np.tile(found.x, (300, 1))
        ends = [cell.simulate(X, h0=points[0])[-1] for points in (found.first, found.second)]
        # a fixed point that repels is left for rounding: it is the start that does not move
        assert np.max(np.abs(found.first[0] - found.second[0])) > 2 * found.radius
        assert all(np.isfinite(end).all() for end in ends)
    stored_and_read(cell, found, tmp_path)


def stored_and_read(cell, found, tmp_path):
    path = tmp_path / "r.json"
    save_refutation(path, cell, refutation=found)
    stored = load_certificate(path)
    assert isinstance(stored, StoredRefutation)
    assert recheck(stored, cell)
    assert stored.refutation.kind == found.kind
    np.testing.assert_array_equal(stored.refutation.first, found.first)
    return path


def test_one_step_is_less_than_never(tmp_path):
    """Jacobians grow, and yet eight steps together may forget: the words are kept apart."""
    cell = LinearMap([[0.5, 4.0], [0.0, 0.5]], np.eye(2))
    assert refute(cell) is None
    spun = VanillaRNN([[0.0, -1.2], [1.2, 0.0]], np.eye(2))
    found = refute(spun, inputs=Inputs.any_of([[0.0, 0.0]]))
    assert found is not None
    gated = lstm(3.0, n=16)
    found = refute(gated, inputs=BOX)
    assert (found.kind, found.never_forgets) == ("jacobian", False)
    assert "spectral radius" in found.detail
    assert found.bound >= 1
    J = np.eye(32)
    for h, x in zip(found.first, found.inputs, strict=True):
        J = J @ gated.jacobian_state(h, x)
    radius = np.max(np.abs(np.linalg.eigvals(J))) ** (1 / len(found.first))
    assert found.bound <= radius * (1 + 1e-9)
    stored_and_read(gated, found, tmp_path)


def test_states_and_inputs_are_those_in_question():
    cell = VanillaRNN([[3.0]], [[1.0]], [4.0])
    # units are steep where x is near -4 only
    assert refute(cell).kind == "orbits"
    assert refute(cell, inputs=Inputs.box(-1, 1)) is None
    assert refute(cell, sequences=np.zeros((50, 1))) is None
    assert refute(cell, sequences=[np.full((50, 1), -4.0)]) is not None
    assert refute(cell, sequences=np.full((2, 5, 1), -4.0), inputs=Inputs.box(-5, 0)) is not None
    box = Domain(low=[-0.1], high=[0.1], input_low=[-4.05], input_high=[-3.95])
    found = refute(cell, domain=box)
    assert found.kind == "jacobian"
    assert box.contains_states(found.first)
    assert box.contains_inputs(found.inputs)
    far = Domain(low=[-1.0], high=[1.0], input_low=[2.0], input_high=[3.0])
    assert refute(cell, domain=far) is None
    for more, message in (
        ({"inputs": BOX, "domain": far}, "at most one of them"),
        ({"domain": BOX}, "needed a theory.Domain"),
        ({"domain": Domain(low=[0, 0], high=[1, 1], input_low=[0], input_high=[1])}, "2 states"),
        ({"inputs": BOX, "sequences": np.full((3, 1), -4.0)}, "not among the inputs in question"),
        ({"sequences": np.zeros((0, 1))}, "holds no input"),
        ({"sequences": np.zeros((3, 2))}, "sequences"),
    ):
        for ask in (refute, rate_lower):
            with pytest.raises(ValueError, match=message):
                ask(cell, **more)


def test_visited_states_refute_a_network_that_is_calm_at_rest():
    """At rest the update gate is open; a strong input closes it and the candidate is steep."""
    n = 6
    rng = np.random.default_rng(0)
    W = np.vstack([np.zeros((2 * n, n)), 2.5 * np.linalg.qr(rng.standard_normal((n, n)))[0]])
    U = np.vstack([np.zeros((n, 1)), np.full((n, 1), -8.0), np.zeros((n, 1))])
    cell = GRU(W, U, np.concatenate([np.full(n, 9.0), np.full(n, 4.0), np.zeros(n)]))
    calm, loud = np.zeros((40, 1)), np.ones((40, 1))
    quiet = rate_lower(cell, sequences=calm).rate
    assert quiet < 1.2
    found = refute(cell, sequences=[loud])
    assert found is not None
    assert (found.x == 1.0).all()
    assert rate_lower(cell, sequences=[loud]).rate > 2 * quiet / 1.2


def test_nothing_is_said_of_a_function_of_ones_own():
    own = CallableMap(lambda h, x: 2.0 * h + x, state_dim=1, input_dim=1)
    assert refute(own) is None
    assert rate_lower(own) is None
    assert judge_contraction(own).answer == "unknown"
    assert verified_cycle(own, np.zeros(1), np.zeros((1, 1))) is None


def test_a_cycle_is_verified_with_its_radius():
    cell = VanillaRNN([[-2.0]], [[1.0]])
    h = 0.9575040240772687
    points = np.array([[h], [-h]])
    radius = verified_cycle(cell, np.zeros(1), points)
    assert 0 < radius < 1e-12
    assert never_meet(points, np.roll(points, 1, axis=0), 2 * radius)
    assert verified_cycle(cell, np.zeros(1), points + 1e-3) is None or (
        verified_cycle(cell, np.zeros(1), points + 1e-3) > 1e-4
    )
    # at a fold the derivative of step(h) - h vanishes
    assert verified_cycle(VanillaRNN([[1.0]], [[1.0]]), np.zeros(1), np.zeros((1, 1))) is None
    # the kink of a relu is no place for one slope
    assert product_rate(VanillaRNN([[2.0]], [[1.0]], activation="relu"), *np.zeros((2, 1, 1))) == 0


def test_a_search_that_leaves_the_doubles_says_nothing():
    """Warnings are errors here; a decorator of a generator is left before its body runs."""
    steep = VanillaRNN([[1e200]], [[1.0]], activation="relu")
    starts = np.array([[1e150], [1.0]])
    assert list(cycles_under(steep, np.array([1.0]), starts, steps=50, tries=8)) == []


def test_radii_that_are_exactly_one():
    cycle = np.roll(np.eye(5), 1, axis=0)
    for A, answer in (
        (np.eye(3), True),
        (-np.eye(3), True),
        (cycle, True),
        (cycle * 0.999, False),
        (np.triu(np.ones((4, 4))), True),
        (np.array([[2.0, 3.0], [-1.0, -1.0]]), True),  # the cube roots of 1
        (np.array([[0.5, 0.5], [0.25, 0.75]]), True),  # stochastic
        (np.array([[0.5, 0.5], [0.25, 0.75 - 2.0**-50]]), False),
        (np.array([[1e-300, 1e300], [1e-300, 1e-300]]), False),  # too far apart to be decided
        (np.zeros((2, 2)), False),
        (np.full((2, 2), np.nan), False),
    ):
        assert reaches_one(A) is answer, A
        if answer:
            assert np.max(np.abs(np.linalg.eigvals(A))) > 1 - 1e-5


def test_an_error_in_the_frobenius_norm():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((6, 6))
    exact = np.max(np.abs(np.linalg.eigvals(A)))
    E = rng.standard_normal((6, 6))
    size = 1e-6
    E *= size / np.linalg.norm(E)
    below = spectral_radius_lower(A, frobenius=size)
    assert 0.9 * exact < below <= np.max(np.abs(np.linalg.eigvals(A + E)))
    assert spectral_radius_lower(A, frobenius=100.0) == 0
    assert spectral_radius_lower(A, enough=0.5 * exact) >= 0.5 * exact


@pytest.mark.parametrize("n", [48, 96])
def test_the_lower_bound_is_not_below_the_middle_of_the_box(n):
    """B7: all slopes 1 alone give rho(W)."""
    rng = np.random.default_rng(n)
    W = rng.uniform(-1, 1, (n, n)) / np.sqrt(n)
    cell = VanillaRNN(W, np.eye(n, 2))
    rho = np.max(np.abs(np.linalg.eigvals(W)))
    assert rate_lower(cell, length=2, starts=1).rate >= rho * (1 - 1e-6)
    assert rate_lower(cell, inputs=Inputs.box(-0.01, 0.01)).rate >= rho * (1 - 1e-2)


def test_both_bounds_of_what_is_unknown():
    rng = np.random.default_rng(0)
    cell = GRU(0.2 * rng.standard_normal((12, 4)), rng.standard_normal((12, 2)))
    judged = judge_contraction(cell, inputs=BOX)
    assert judged.answer == "unknown"
    assert 0.5 < judged.lower.rate < 1
    assert judged.lower.states.shape[1] == 4
    box = invariant_domain(cell, inputs=BOX)
    assert box.contains_states(judged.lower.states)


def test_damaged_refutations_are_rejected(tmp_path):
    cell = two_attractors()
    path = stored_and_read(cell, refute(cell), tmp_path)
    data = json.loads(path.read_text())

    def changed(**proof):
        path.write_text(json.dumps({**data, "refutation": {**data["refutation"], **proof}}))
        return recheck(load_certificate(path), cell)

    first = data["refutation"]["first"]
    assert changed()
    assert changed(second=first).reason == "the two cycles are not proved to be apart"
    assert "no cycle" in changed(first=[[(0.5).hex()]]).reason
    assert "no cycle" in changed(first=[]).reason
    assert "no linear map" in changed(kind="linear").reason
    one_step = {"kind": "jacobian", "never_forgets": False}
    assert "spectral radius" in changed(**one_step).reason
    assert "needed an input" in changed(**one_step, inputs=[]).reason
    assert "lie within" in changed(radius=(1e-30).hex()).reason
    assert "needed one of" in changed(kind="guess").reason
    assert "dimension" in changed(x=[(0.0).hex()] * 2, inputs=[[(0.0).hex()] * 2]).reason
    wrong = ({"never_forgets": False}, {"bound": "nan"}, {"radius": "inf"})
    for proof in ({"x": ["nan"]}, {"first": 3}, {"radius": None}, {"state_dim": 0}, *wrong):
        with pytest.raises(ValueError, match="is not a certificate"):
            changed(**proof)
    path.write_text(json.dumps(data))
    other = cell.with_parameters(b=[29.0, 0.0, 0.0])
    assert recheck(load_certificate(path), other).failed == "parameters"
    with pytest.raises(ValueError, match="does not hold of"):
        save_refutation(path, VanillaRNN([[0.5]], [[1.0]]), refutation=refute(cell))
    with pytest.raises(ValueError, match="needed a Refutation"):
        save_refutation(path, cell, refutation=None)


def test_a_bound_that_is_not_proved_is_rejected(tmp_path):
    cell = VanillaRNN([[2.0]], [[1.0]])
    for kind in ("jacobian", "linear"):
        cell = VanillaRNN([[2.0]], [[1.0]]) if kind == "jacobian" else LinearMap([[2.0]], [[1.0]])
        path = stored_and_read(cell, refute(cell), tmp_path)
        data = json.loads(path.read_text())
        proof = data["refutation"] | {"kind": kind, "never_forgets": kind != "jacobian"}
        zero, none = (0.0).hex(), []
        proof |= {"first": [[zero]], "inputs": [[zero]], "second": none, "bound": (1.9).hex()}
        path.write_text(json.dumps({**data, "refutation": proof}))
        assert recheck(load_certificate(path), cell)
        proof["bound"] = (2.1).hex()
        path.write_text(json.dumps({**data, "refutation": proof}))
        assert "is proved to be >= " in recheck(load_certificate(path), cell).reason


KINDS = (
    lambda rng, n: VanillaRNN(rng.standard_normal((n, n)), np.ones((n, 1))),
    lambda rng, n: EchoStateNetwork(
        rng.standard_normal((n, n)), np.ones((n, 1)), leak=float(rng.uniform(0.2, 1))
    ),
    lambda rng, n: GRU(rng.standard_normal((3 * n, n)), np.ones((3 * n, 1))),
    lambda rng, n: LSTM(rng.standard_normal((4 * n, n)), np.ones((4 * n, 1))),
    lambda rng, n: DiagonalSSM(rng.uniform(0, 1, n) * 0.99, np.ones((n, 1))),
    lambda rng, n: MinGRU(rng.standard_normal((2 * n, 1)), np.zeros(2 * n)),
    lambda rng, n: LinearMap(rng.standard_normal((n, n)) / n, np.ones((n, 1))),
)


@settings(max_examples=12)
@given(st.integers(0, 2**32 - 1))
def test_nothing_is_certified_and_refuted(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 4))
    cell = KINDS[rng.integers(len(KINDS))](rng, n)
    if rng.random() < 0.3:
        upper = KINDS[rng.integers(len(KINDS))](rng, 2)
        cell = Cascade([cell, upper], [rng.standard_normal((1, cell.state_dim))])
    inputs = Inputs.box(-1, 1)
    certified = contraction(cell, inputs=inputs, effort=0)
    found = refute(cell, inputs=inputs, starts=4, steps=60)
    assert found is None or certified is None
    lower = rate_lower(cell, inputs=inputs, length=2)
    if certified is not None and lower is not None and certified.iterate == 1:
        assert lower.rate <= certified.lam


def test_states_reached_from_zero_are_certified_or_not_known():
    """A certificate of them comes before a refutation, which may be of states that are not met."""
    rng = np.random.default_rng(8)
    W, U = rng.standard_normal((32, 8)) / 8**0.5, rng.standard_normal((32, 4)) * 0.1
    cell = LSTM(0.7 * W, U, np.repeat([0.0, -2.0, 0.0, 0.0], 8))
    inputs = Inputs.box(-1.0, 1.0)
    assert contraction(cell, domain=invariant_domain(cell, inputs=inputs)) is None
    judged = judge_contraction(cell, inputs=inputs)
    assert judged.answer == "certified"
    assert judged.contraction.domain.reached is not None
    of_zero = judge_contraction(cell, domain=reached_domain(cell, inputs=inputs))
    assert of_zero.answer == "certified"
    assert of_zero.lower is None
    # of larger weights neither is known, and nothing is refuted of states that may not be met
    turn = VanillaRNN([[0.5, -0.5], [0.5, 0.5]], [[0.3], [0.0]])
    where = reached_domain(turn, inputs=BOX)
    larger = turn.with_parameters(W=1.6 * turn.W)
    wide = reached_domain(larger, inputs=BOX)
    assert judge_contraction(turn, domain=where).answer == "certified"
    if wide is not None:
        assert judge_contraction(larger, domain=wide).answer in {"certified", "unknown"}


def test_a_lower_bound_of_one_refutes_though_the_search_for_refutations_finds_none(
    monkeypatch, tmp_path
):
    """Found at the weights that torch starts with: "unknown", and no norm below 1.02."""
    cell, inputs = lstm(3.0, n=3), Inputs.box(-1, 1)
    for module in (judge, command):
        monkeypatch.setattr(module, "refute", lambda *_, **__: None)
    found = judge_contraction(cell, inputs=inputs)
    assert found.answer == "refuted"
    assert found.refutation.kind == "jacobian"
    assert 1 <= found.refutation.bound <= found.lower.rate
    assert inputs.contains(found.refutation.inputs)
    stored_and_read(cell, found.refutation, tmp_path)
    # the corners of the box are not in the ball
    beside = judge_contraction(cell, inputs=Inputs.ball(1))
    assert beside.refutation is None or Inputs.ball(1).contains(beside.refutation.inputs)
    path = tmp_path / "w.npz"
    save_map(path, cell)
    told = CliRunner().invoke(app, ["certify", str(path), "--inputs", "box:-1,1"])
    assert told.exit_code == 1
    assert "refuted (jacobian)" in told.output
    assert refuted_by(cell, rate_lower(cell, inputs=inputs)).kind == "jacobian"
    assert refuted_by(cell, None) is None
    calm = lstm(0.1)
    assert refuted_by(calm, rate_lower(calm, inputs=inputs)) is None
    steep = VanillaRNN([[2.0]], [[1.0]])
    assert refuted_by(steep, rate_lower(steep)) is None  # of slopes, not of states
