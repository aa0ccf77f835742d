"""Why nothing was found: the bound, by how much it failed, and what to do next."""

import json
import math
import time

import numpy as np
import pytest

from theory import (
    GRU,
    LSTM,
    CallableMap,
    Cascade,
    EchoStateNetwork,
    Inputs,
    LinearMap,
    VanillaRNN,
    contraction,
)
from theory.certify import Cause, cause_of, judge_contraction, refute
from theory.certify.cause import place_of
from theory.certify.methods import check_method_fits, fitting_methods

RNG = np.random.default_rng(3)
UNIT = Inputs.box(-1, 1)
DEEP = LSTM(0.3 * RNG.standard_normal((16, 4)), 0.3 * RNG.standard_normal((16, 2)))
WIDE = GRU(0.3 * RNG.standard_normal((12, 4)), 0.3 * RNG.standard_normal((12, 2)))
NEVER = LSTM(np.zeros((4, 1)), [[1.0], [0.0], [1.0], [1.0]], [0.0, 900.0, 0.0, 0.0])


def spectral_radius(A):
    return float(np.max(np.abs(np.linalg.eigvals(A))))


def test_the_norm_that_is_nearest():
    for W in (RNG.standard_normal((5, 5)), np.array([[0.5, 9.0], [0.2, 0.5]])):
        cause = cause_of(VanillaRNN(W, np.ones((len(W), 1))))
        named = {
            "the largest row sum of |W|": np.abs(W).sum(axis=1).max(),
            "the largest column sum of |W|": np.abs(W).sum(axis=0).max(),
            "the spectral radius of |W|": spectral_radius(np.abs(W)),
            "the Euclidean norm of W": np.linalg.norm(W, 2),
        }
        assert cause.value == pytest.approx(min(named.values()), rel=1e-3)
        assert cause.value == pytest.approx(named[cause.bound], rel=1e-3)
        assert cause.needed == 1
        assert dict(cause.measures)["spectral radius"] == pytest.approx(spectral_radius(W))
    leaky = cause_of(LinearMap([[1.25]], [[1.0]]))
    assert str(leaky).startswith("the largest row sum of |W| is about 1.25, needed less than 1")


def test_the_comparison_matrix_of_a_gated_cell():
    for cell in (DEEP, WIDE):
        judged = judge_contraction(cell, inputs=UNIT)
        assert judged.answer == "unknown"
        cause = judged.cause
        assert cause.bound == "the spectral radius of the comparison matrix"
        box = cause.where
        assert "|x_i| <= 1" in box
        assert cause.value > 1
        assert f"about {cause.value:.4g}, needed less than 1" in str(judged)
    # the row sum of the forget gate is said of an LSTM
    gate = dict(cause_of(DEEP, inputs=UNIT).measures)
    W_f, U_f, b_f = DEEP.gate("f")
    assert gate["largest row sum of the forget gate"] == pytest.approx(
        np.abs(W_f).sum(axis=1).max()
    )
    reach = (np.abs(W_f).sum(axis=1) + np.abs(U_f).sum(axis=1) + b_f).max()
    assert gate["largest pre-activation of the forget gate"] == pytest.approx(reach)


def test_a_box_that_is_missing_and_a_layer_that_fails():
    cause = cause_of(NEVER, inputs=UNIT)
    assert cause.bound == "no bounded box of states is found"
    assert dict(cause.measures)["largest pre-activation of the forget gate"] == 900
    good = VanillaRNN([[0.5]], [[1.0]])
    assert cause_of(Cascade([good, NEVER]), inputs=UNIT).bound.startswith("layer 1: no bounded")
    assert cause_of(Cascade([NEVER, good]), inputs=UNIT).bound.startswith("layer 0: no bounded")
    below = Cascade([GRU(0.1 * np.ones((3, 1)), 0.1 * np.ones((3, 1))), good])
    assert contraction(below, inputs=UNIT) is not None
    cause = cause_of(Cascade([good, GRU(9 * np.ones((3, 1)), np.ones((3, 1)))]), inputs=UNIT)
    assert cause.bound.startswith("layer 1: the spectral radius")
    own = CallableMap(lambda h, x: h + x, 2, 2)
    for inputs in (None, UNIT):
        assert cause_of(own, inputs=inputs).bound == "nothing is known of the function"


def test_what_to_try_next():
    told = cause_of(VanillaRNN(2 * np.eye(1100), np.ones((1100, 1)))).advice
    assert any("--method numerical_radius" in one and "1100" in one for one in told)
    told = cause_of(VanillaRNN(2 * np.eye(100), np.ones((100, 1)))).advice
    assert any("--effort 2" in one for one in told)
    assert any("--inputs" in one for one in told)
    told = cause_of(DEEP, inputs=UNIT).advice
    assert not any("--inputs" in one for one in told)
    for word in ("theory memory", "theory project --onto lstm", "StableProjection"):
        assert any(word in one for one in told)


def test_it_takes_milliseconds_and_is_json():
    large = VanillaRNN(RNG.standard_normal((256, 256)), np.ones((256, 3)))
    cells = (large, DEEP, WIDE, NEVER, EchoStateNetwork(2 * np.eye(9), np.ones((9, 1)), leak=0.3))
    for cell in cells:
        began = time.perf_counter()
        cause = cause_of(cell, inputs=UNIT)
        assert time.perf_counter() - began < 1.0
        assert isinstance(cause, Cause)
        text = json.dumps(cause.to_dict(), allow_nan=False)
        assert json.loads(text)["bound"] == cause.bound
    assert cause_of(NEVER, inputs=UNIT).to_dict()["value"] is None
    with pytest.raises(ValueError, match="does not say which inputs"):
        cause_of(DEEP, inputs=1.0)


def test_a_refutation_says_where():
    found = refute(VanillaRNN([[2.0]], [[1.0]]))
    assert place_of(found) == "h = [0.957504], g = [0.], x = [0.]"
    judged = judge_contraction(VanillaRNN([[2.0]], [[1.0]]))
    assert judged.cause is None
    assert str(judged).startswith("refuted (orbits): cycles of period 1 and 1")
    assert str(judged).endswith(place_of(found))
    still = refute(LinearMap([[2.0]], [[1.0]]))
    assert place_of(still) == "at every state and input"
    wide = refute(VanillaRNN(3 * np.eye(30), np.ones((30, 1))))
    assert "..." in place_of(wide)
    assert "\n" not in place_of(wide)


def test_methods_that_are_for_other_maps():
    plain = VanillaRNN([[0.5]], [[1.0]])
    assert "spectral" in fitting_methods(plain)
    assert "spectral" not in fitting_methods(DEEP)
    for cell in (plain, DEEP):
        for name in fitting_methods(cell):
            check_method_fits(cell, name)
    with pytest.raises(ValueError, match=r"'spectral' is for maps of the form .* is not"):
        check_method_fits(DEEP, "spectral")
    with pytest.raises(ValueError, match=r"'comparison' is for maps without the form .* has"):
        check_method_fits(plain, "comparison")
    with pytest.raises(ValueError, match=r"'spectral' is for maps of the form"):
        contraction(DEEP, method="spectral", inputs=UNIT, required=True)
    assert math.isfinite(contraction(plain, method="spectral", required=True).lam)
