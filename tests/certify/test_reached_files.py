"""Certificates of the states reached from zero: told, written, read, and refused when changed."""

import copy
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from theory import LSTM, Inputs, VanillaRNN, contraction
from theory.certify import find_certificates, load_certificate, recheck, save_certificate
from theory.certify.certificate_file import certificate_from_dict, certificate_to_dict
from theory.cli.main import app
from theory.domain import Domain, Reached
from theory.interop import save_map


@pytest.fixture(scope="module")
def made():
    r = np.random.default_rng(8)
    W, U = r.standard_normal((32, 8)) / 8**0.5, r.standard_normal((32, 4)) * 0.1
    cell = LSTM(0.6 * W, U, np.repeat([0.0, -2.0, 0.0, 0.0], 8))
    c = contraction(cell, inputs=Inputs.box(-1, 1), effort=2)
    assert c.domain.reached is not None
    return cell, c


def test_a_file_is_read_back_and_proved_again(made, tmp_path):
    cell, c = made
    path = tmp_path / "c.json"
    save_certificate(path, cell, c=c)
    stored = load_certificate(path)
    assert recheck(stored, cell)
    other = cell.with_parameters(b=cell.b + 1e-3)
    assert recheck(stored, other).failed == "parameters"


def scaled(ends, factor):
    return [[(float.fromhex(x) * factor).hex() for x in end] for end in ends]


def narrower(data):
    data["domain"]["reached"]["ranges"] = scaled(data["domain"]["reached"]["ranges"], 0.9)


def smaller_start(data):
    data["domain"]["reached"]["start"] = scaled(data["domain"]["reached"]["start"], 0.5)


def smaller_outer(data):
    data["domain"]["reached"]["outer"] = scaled(data["domain"]["reached"]["outer"], 0.5)


def smaller_states(data):
    for end in ("low", "high"):
        data["domain"][end] = scaled([data["domain"][end]], 0.5)[0]


def more_inputs(data):
    data["domain"]["input_high"] = [(2.0).hex()] * 4


def one_period(data):
    data["domain"]["reached"]["period"] = 1


def as_a_box(data):
    del data["domain"]["reached"]


@pytest.mark.parametrize(
    "change",
    [narrower, smaller_start, smaller_outer, smaller_states, more_inputs, one_period, as_a_box],
)
def test_a_changed_file_is_refused(made, change):
    cell, c = made
    data = certificate_to_dict(cell, c)
    wrong = json.loads(json.dumps(data))
    change(wrong)
    assert recheck(certificate_from_dict(data), cell)
    assert recheck(certificate_from_dict(wrong), cell).failed in {"invariance", "inequality"}


def test_a_smaller_rate_is_refused(made):
    cell, c = made
    data = certificate_to_dict(cell, c)
    data["rate"] = (c.lam * 0.99).hex()
    assert recheck(certificate_from_dict(data), cell).failed == "inequality"


@pytest.mark.parametrize("value", [None, [], {"period": 1}, "text", 3])
def test_what_is_no_domain_is_refused(made, value):
    cell, c = made
    data = certificate_to_dict(cell, c)
    data["domain"]["reached"] = (
        value if value is not None else {**data["domain"]["reached"], "start": 1}
    )
    assert recheck(certificate_from_dict(data), cell).failed == "domain"


def test_ends_that_are_no_numbers_are_refused(made):
    cell, c = made
    for name in ("outer", "start", "ranges"):
        data = copy.deepcopy(certificate_to_dict(cell, c))
        data["domain"]["reached"][name][0][0] = "nan"
        assert recheck(certificate_from_dict(data), cell).failed == "domain"


TURN = VanillaRNN([[0.6, -0.6], [0.6, 0.6]], [[1.0], [1.0]])


def in_a_ball(**more):
    ends = {"low": [-20.0] * 2, "high": [20.0] * 2, "input_low": [-1.0], "input_high": [1.0]}
    return Domain(**ends, reached=Reached(ball="L2", **more))


def test_of_a_ball_nothing_is_known_but_its_box():
    """Ranges beside it were believed: a rate of 2e-4 for a map whose rate at 0 is 0.85."""
    far = np.full(2, 5.0), np.full(2, 6.0)
    for more in ({"ranges": far}, {"outer": far}, {"start": far}, {"period": 1}, {"order": 1}):
        with pytest.raises(ValueError, match="needed the norm alone"):
            in_a_ball(**more)
    domain = in_a_ball()
    assert contraction(TURN, domain=domain).lam == contraction(TURN).lam
    data = certificate_to_dict(TURN, contraction(TURN, domain=domain))
    assert recheck(certificate_from_dict(data), TURN)
    data["domain"]["reached"]["ranges"] = [[x.hex() for x in end] for end in far]
    assert recheck(certificate_from_dict(data), TURN).failed == "domain"


@pytest.mark.parametrize(
    "change",
    [
        lambda domain: domain["reached"].update(period=float("inf")),
        lambda domain: domain.update(low=["0x1p5000"] * 8),
        lambda domain: domain["reached"].update(start=[["0x1p5000"] * 8] * 2),
    ],
)
def test_numbers_beyond_all_bounds_are_no_domain(made, change):
    cell, c = made
    data = copy.deepcopy(certificate_to_dict(cell, c))
    change(data["domain"])
    assert recheck(certificate_from_dict(data), cell).failed == "domain"


def test_lists_in_lists_without_end_are_no_certificate(tmp_path):
    path = tmp_path / "c.json"
    path.write_text("[" * 100_000)
    with pytest.raises(ValueError, match="nested too deeply"):
        load_certificate(path)


def test_all_that_is_found_is_told(made):
    cell, c = made
    found = find_certificates(cell, Inputs.box(-1, 1), effort=2)
    assert found.best.lam == c.lam
    assert "euclidean, from zero" in found.named
    assert "euclidean, on the box" in found.named


def test_the_command_says_whose_states_they_are(made, tmp_path):
    cell, _ = made
    weights, out = tmp_path / "w.npz", tmp_path / "c.json"
    save_map(weights, cell)
    run = CliRunner().invoke(
        app,
        ["certify", str(weights), "--inputs", "box:-1,1", "--effort", "2", "--json", str(out)],
    )  # fmt: skip
    assert run.exit_code == 0, run.output
    assert "states reached from zero" in run.output
    assert recheck(load_certificate(out), cell)
    check = CliRunner().invoke(app, ["check", str(out), str(weights)])
    assert check.exit_code == 0, check.output
    assert "states reached from zero" in check.output
