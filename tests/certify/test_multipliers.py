"""Certificates by terms: the search, the file and its check, and the exact Gram decision."""

import copy
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory import (
    GRU,
    LSTM,
    EchoStateNetwork,
    Inputs,
    VanillaRNN,
    WeightedL2,
    contraction,
    refute,
)
from theory.arithmetic.gram import weighted_gram_holds, weighted_gram_upper
from theory.certify import contractions, invariant_domain, reached_domain
from theory.certify.certificate_file import certificate_from_dict, certificate_to_dict
from theory.certify.multipliers import _Search, _starts
from theory.certify.recheck import recheck
from theory.norms.stored import norm_from_dict
from theory.projections.interface import check_metric

RNG = np.random.default_rng(7)
W, U = RNG.standard_normal((20, 5)), RNG.standard_normal((20, 2))
CELLS = {
    "lstm": (LSTM(0.15 * W, 0.2 * U), "euclidean"),
    "gru": (GRU(0.15 * W[:15], 0.2 * U[:15], b_candidate=0.1 * W[15, :]), "euclidean"),
    "gru, reset before": (GRU(0.15 * W[:15], 0.2 * U[:15], variant="reset_before"), "euclidean"),
    "leaky, all unlike": (
        EchoStateNetwork(0.3 * W[:5], U[:5], leak=[0.1, 0.3, 0.5, 0.7, 0.9]),
        "euclidean",
    ),
    "leaky": (EchoStateNetwork(0.3 * W[:5], U[:5], leak=0.3), "leak"),
    "leaky, slow": (EchoStateNetwork(0.1 * W[:5], U[:5], leak=0.3, activation="identity"), "leak"),
}
by_cell = pytest.mark.parametrize("name", CELLS)


def certified(name):
    cell, method = CELLS[name]
    c = contraction(cell, method=method, inputs=Inputs.box(-1.0, 1.0))
    assert c is not None
    return cell, c


@by_cell
def test_a_file_is_accepted_and_what_is_changed_is_not(name):
    cell, c = certified(name)
    data = json.loads(json.dumps(certificate_to_dict(cell, c)))
    assert recheck(certificate_from_dict(data), cell)

    def rejected(change):
        other = copy.deepcopy(data)
        change(other)
        return recheck(certificate_from_dict(other), cell).failed

    smaller = (float.fromhex(data["rate"]) * (1 - 2.0**-9)).hex()
    assert rejected(lambda d: d.update(rate=smaller)) == "inequality"
    if data["evidence"]["multipliers"]:
        shorter = data["evidence"]["multipliers"][1:]
        assert rejected(lambda d: d["evidence"].update(multipliers=shorter)) == "norm"
        negative = ["-0x1p+0", *data["evidence"]["multipliers"][1:]]
        assert rejected(lambda d: d["evidence"].update(multipliers=negative)) != ""
    other = cell.with_parameters(W=cell.parameters["W"] * (1 + 2.0**-20))
    assert recheck(certificate_from_dict(data), other).failed == "parameters"


def test_multipliers_of_one_unit_alone_do_not_pass():
    cell, c = certified("lstm")
    data = certificate_to_dict(cell, c)
    data["evidence"]["multipliers"][0] = (
        float.fromhex(data["evidence"]["multipliers"][0]) / 2
    ).hex()
    assert recheck(certificate_from_dict(data), cell).failed == "inequality"


@by_cell
def test_no_jacobian_is_above_the_rate(name):
    """Jacobians at states of the box, also those that a search makes stretch most, stay below."""
    cell, c = certified(name)
    rng = np.random.default_rng(3)
    worst = 0.0
    for _ in range(60):
        corner = np.where(rng.random(cell.state_dim) < 0.5, c.domain.low, c.domain.high)
        h = corner * rng.uniform(0, 1, cell.state_dim) ** 0.3
        x = np.where(rng.random(cell.input_dim) < 0.5, -1.0, 1.0)
        worst = max(worst, c.norm.matrix_lower(cell.jacobian_state(h, x)))
    assert 0 < worst <= c.lam


@by_cell
def test_auto_is_the_least_of_all(name):
    cell, _ = certified(name)
    asked = Inputs.box(-1.0, 1.0)
    auto, every = contraction(cell, inputs=asked), contractions(cell, inputs=asked)
    # each method's search begins elsewhere: what they find differs by little
    quick = [c.lam for name, c in every.items() if name != "metric"]
    assert auto.lam <= min(quick) * (1 + 1e-3)
    whole = contraction(cell, inputs=asked, effort=2)
    assert whole.lam <= min(c.lam for c in every.values()) * (1 + 1e-3)
    refuted = refute(cell)
    assert refuted is None or auto.domain is not None


@by_cell
def test_the_gradient_is_that_of_the_level(name):
    cell, _ = CELLS[name]
    terms = cell.terms(invariant_domain(cell, inputs=Inputs.box(-1.0, 1.0)))
    search, rng = _Search.of(terms), np.random.default_rng(11)
    for start in _starts(terms, search, None):
        x = start + 0.2 * rng.standard_normal(start.shape)
        direction = rng.standard_normal(start.shape)
        up, down = (search.level(x + s * direction, 4)[0] for s in (2.0**-14, -(2.0**-14)))
        slope = float(search.level(x, 4)[1] @ direction)
        assert slope == pytest.approx((up - down) * 2.0**13, rel=1e-5, abs=1e-7)


seeds = st.integers(0, 2**32 - 1)


@given(seeds, st.integers(0, 6), st.integers(1, 6))
def test_a_level_is_sharp_and_never_too_low(seed, m, n):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((m, n)) * 10.0 ** rng.uniform(-5, 5, n)
    s, d = 10.0 ** rng.uniform(-5, 5, m), 10.0 ** rng.uniform(-10, 10, n)
    own = 10.0 ** rng.uniform(-8, 8, n) * (rng.random(n) < 0.5)
    upper = weighted_gram_upper(A, s, d, own)
    root = np.sqrt(d)
    form = ((A.T * s) @ A + np.diag(own)) / root[:, None] / root
    least = float(np.linalg.eigvalsh(form)[-1])
    assert upper >= least * (1 - 1e-12)
    assert upper <= max(least, 1e-280) * (1 + 1e-9)
    assert not weighted_gram_holds(A, s, d, least * (1 - 1e-9), own) or least == 0
    for level in (math.nan, -1.0, math.inf):
        assert len(A) == 0 or not weighted_gram_holds(A, s, d, level, own)


def test_what_is_no_number_is_no_bound():
    one = np.ones(1)
    for A, s, d, own in (
        ([[np.nan]], one, one, one),
        ([[1.0]], -one, one, one),
        ([[1.0]], one, 0 * one, one),
        ([[1.0]], one, one, -one),
        ([[1e300]], 1e300 * one, one, one),
    ):
        assert weighted_gram_upper(np.array(A), s, d, own) == math.inf
    assert weighted_gram_upper(np.zeros((0, 1)), np.zeros(0), 0 * one, one) == math.inf


def test_a_diagonal_norm_is_stored_by_its_diagonal():
    p = np.array([0.5, 2.0, 8.0])
    data = json.loads(json.dumps(WeightedL2(np.diag(p)).to_dict()))
    assert list(data) == ["name", "diagonal"]
    back = norm_from_dict(data)
    assert np.array_equal(np.diag(back.P), p)
    # as files had it before
    old = {"name": "WeightedL2", "P": [[x.hex() for x in row] for row in np.diag(p).tolist()]}
    assert np.array_equal(norm_from_dict(old).P, back.P)
    assert back.condition_upper == pytest.approx(4.0, rel=1e-12)
    assert back.condition_upper >= 4.0


def test_multipliers_of_terms_are_no_metric_of_a_matrix_inequality():
    _, c = certified("leaky, all unlike")
    with pytest.raises(ValueError, match="not the certificate of a matrix inequality"):
        check_metric(c, 5)


@pytest.mark.parametrize("size", [0.0, 1e-320, 1e-160, 1e-30, 1e30, 1e160, 1e300])
def test_weights_of_any_size(size):
    """No overflow is warned of, and what is certified can be stored."""
    big = size * np.abs(W)
    for cell in (
        LSTM(big, U),
        GRU(big[:15], U[:15]),
        GRU(big[:15], U[:15], variant="reset_before"),
        EchoStateNetwork(big[:5], U[:5], leak=0.5),
        EchoStateNetwork(big[:5], U[:5], leak=[0.1, 0.3, 0.5, 0.7, 0.9], activation="identity"),
    ):
        for method in ("euclidean", "leak"):
            c = contraction(cell, method=method, inputs=Inputs.box(-1.0, 1.0))
            assert c is None or size < 1
            assert c is None or recheck(certificate_from_dict(certificate_to_dict(cell, c)), cell)


def test_a_file_of_a_full_metric_is_checked():
    """Accepted as written, of states from zero too; not with another rate, matrix, multiplier."""
    cell = GRU(0.2 * W[:15], 0.2 * U[:15], variant="reset_before")
    inputs = Inputs.box(-1.0, 1.0)
    zero = reached_domain(cell, inputs=inputs)
    for domain in (invariant_domain(cell, inputs=inputs), zero):
        c = contraction(cell, method="metric", domain=domain)
        assert not c.norm.monotone
        data = json.loads(json.dumps(certificate_to_dict(cell, c)))
        assert recheck(certificate_from_dict(data), cell)

        def rejected(change, data=data):
            other = copy.deepcopy(data)
            change(other)
            return recheck(certificate_from_dict(other), cell).failed

        def smaller(d):
            d["rate"] = (float.fromhex(d["rate"]) * 0.99).hex()

        def negative(d):
            d["evidence"]["multipliers"][0] = (-1.0).hex()

        def fewer(d):
            d["evidence"]["multipliers"].pop()

        def diagonal(d):
            d["norm"] = WeightedL2(np.diag(10.0 ** np.arange(5.0))).to_dict()

        def renamed(d):
            d["evidence"]["method"] = "multipliers"

        assert rejected(smaller) == rejected(negative) == rejected(diagonal) == "inequality"
        assert rejected(fewer) == rejected(renamed) == "norm"
    other = VanillaRNN(0.1 * W[:5], U[:5])
    assert contraction(other, method="metric") is None


def test_a_search_whose_products_overflow_finds_nothing():
    gates = [[-0.5, -2.4e174], [1.5e-177, -0.4], [0.0, -1.3e173], [3.4e-176, -0.3]]
    gru = GRU([*gates, [-0.2, 7.9e173], [-9.3e-176, 0.9]], np.full((6, 1), 0.1), np.zeros(6))
    assert contractions(gru, inputs=Inputs.box(-1, 1), methods=["metric"]) == {}
