"""Stored certificates: what is written is accepted, what is changed is rejected by name."""

import copy
import json

import numpy as np
import pytest

from theory import Contraction, LinearMap, Linf, VanillaRNN, contraction
from theory.certificate_file import (
    certificate_from_dict,
    certificate_to_dict,
    hash_array,
    load_certificate,
    recheck,
    save_certificate,
)

MONE = np.array([[0.9, -1.0], [0.5, -0.9]])
CELL = VanillaRNN(MONE, np.eye(2), [0.1, 0.2])
SMALL = VanillaRNN(0.4 * MONE, np.eye(2))
METHODS = {
    "lmi": CELL,
    "numerical_radius": CELL,
    "spectral": SMALL,
    "row_sums": SMALL,
    "column_sums": SMALL,
    "perron": SMALL,
    "diagonal": SMALL,
    "lyapunov": LinearMap([[0.9, 5.0], [0.0, 0.9]], np.eye(2)),
}


def stored(method):
    one = METHODS[method]
    return one, certificate_to_dict(one, contraction(one, method=method))


@pytest.mark.parametrize("method", METHODS)
def test_round_trip(method, tmp_path):
    one = METHODS[method]
    c = contraction(one, method=method)
    path = tmp_path / "c.json"
    save_certificate(path, one, c)
    back = load_certificate(path)
    assert back.norm == c.norm.to_dict()
    assert c.lam <= back.rate <= c.lam * (1 + 2.0**-38)
    answer = recheck(back, one)
    assert answer.accepted, answer
    assert answer
    # reading and writing again changes nothing
    assert json.loads(path.read_text()) == certificate_to_dict(one, c)


def changed(data, *path, value):
    data = copy.deepcopy(data)
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return data


@pytest.mark.parametrize(
    ("path", "value", "failed"),
    [
        (("rate",), (0.899).hex(), "inequality"),
        (("rate",), (1.0).hex(), "rate"),
        (("rate",), (-0.5).hex(), "rate"),
        (("rate",), "nan", "rate"),
        (("iterate",), 2, "iterate"),
        (("evidence", "multipliers"), [(1.0).hex(), (1.0).hex()], "inequality"),
        (("evidence", "multipliers"), [(1.0).hex()], "norm"),
        (("evidence", "multipliers"), ["nan", "nan"], "norm"),
        (("evidence", "multipliers"), [], "inequality"),
        (("norm",), {"name": "L2"}, "norm"),
        (("norm", "P"), [[(1.0).hex(), (0.0).hex()], [(0.0).hex(), (1.0).hex()]], "inequality"),
        (("norm", "P"), [[(1.0).hex(), (2.0).hex()], [(0.0).hex(), (1.0).hex()]], "norm"),
        (("norm", "P"), [[(1.0).hex()]], "norm"),
        (("norm", "P"), [["x"]], "norm"),
        (("map", "activation"), "relu", "activation"),
        (("map", "sha256", "W"), "0" * 64, "parameters"),
        (("map", "sha256"), {}, "parameters"),
    ],
)
def test_tampering_is_named(path, value, failed):
    one, data = stored("lmi")
    answer = recheck(certificate_from_dict(changed(data, *path, value=value)), one)
    assert not answer
    assert answer.failed == failed, answer
    assert answer.reason


@pytest.mark.parametrize("method", ["spectral", "perron", "diagonal", "row_sums", "lyapunov"])
def test_a_lower_rate_is_rejected(method):
    one, data = stored(method)
    rate = float.fromhex(data["rate"])
    lowered = certificate_from_dict(changed(data, "rate", value=(rate * (1 - 1e-6)).hex()))
    assert recheck(lowered, one).failed == "inequality"


def test_every_parameter_is_bound():
    _, data = stored("lmi")
    for other in (
        VanillaRNN(np.nextafter(MONE, 1), np.eye(2), [0.1, 0.2]),
        VanillaRNN(MONE, 2 * np.eye(2), [0.1, 0.2]),
        VanillaRNN(MONE, np.eye(2), [0.1, 0.3]),
        VanillaRNN(MONE[:1, :1], np.eye(1)),
    ):
        assert recheck(certificate_from_dict(data), other).failed == "parameters"
    assert recheck(certificate_from_dict(data), LinearMap(MONE, np.eye(2))).failed == "activation"


def test_a_contraction_of_a_linear_map_is_not_one_of_a_network():
    one, data = stored("lyapunov")
    network = VanillaRNN(one.A, one.B, activation="tanh")
    forged = changed(data, "map", "activation", value="tanh")
    forged = changed(forged, "map", "sha256", value=certificate_hashes(network))
    assert recheck(certificate_from_dict(forged), network).failed == "inequality"


def certificate_hashes(one):
    return {name: hash_array(value) for name, value in one.parameters.items()}


def test_malformed_files(tmp_path):
    path = tmp_path / "c.json"
    _, data = stored("spectral")
    for text, message in (
        ("", "not a certificate"),
        ("[]", "format"),
        ("{}", "format"),
        (json.dumps({**data, "format": "other"}), "format"),
        (json.dumps({k: v for k, v in data.items() if k != "rate"}), "rate"),
        (json.dumps({**data, "rate": "half"}), "not a certificate"),
        (json.dumps({**data, "iterate": "one"}), "not a certificate"),
        ('{"format": NaN}', "NaN"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            load_certificate(path)


def test_only_certified_one_step_contractions_are_stored():
    with pytest.raises(ValueError, match="assumed"):
        certificate_to_dict(CELL, Contraction.assumed(0.5))
    c = contraction(SMALL)
    several = Contraction(lam=c.lam, norm=Linf(), iterate=3, evidence=c.evidence)
    with pytest.raises(ValueError, match="3 step"):
        certificate_to_dict(SMALL, several)


def test_hash_is_of_shape_and_values():
    assert hash_array(np.zeros((2, 3))) != hash_array(np.zeros((3, 2)))
    assert hash_array(np.zeros(2)) != hash_array(np.array([0.0, 5e-324]))
    assert hash_array(np.eye(3)[::-1]) == hash_array(np.ascontiguousarray(np.eye(3)[::-1]))
