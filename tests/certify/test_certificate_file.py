"""Stored certificates: what is written is accepted, what is changed is rejected by name."""

import copy
import json
from dataclasses import replace
from typing import final

import numpy as np
import pytest

from theory import (
    L1,
    CallableMap,
    Cascade,
    Contraction,
    Domain,
    Inputs,
    LinearMap,
    Linf,
    Map,
    VanillaRNN,
    WeightedL1,
    WeightedL2,
    WeightedLinf,
    contraction,
)
from theory.certify import Evidence
from theory.certify.certificate_file import (
    OLD_FORMAT,
    certificate_from_dict,
    certificate_to_dict,
    load_certificate,
    save_certificate,
)
from theory.certify.recheck import hash_array, recheck
from theory.maps.base import read_only

MONE = np.array([[0.9, -1.0], [0.5, -0.9]])
CELL = VanillaRNN(MONE, np.eye(2), [0.1, 0.2])
SMALL = VanillaRNN(0.4 * MONE, np.eye(2))
#: Spectral radius 1.587: contractive only where biases keep it.
BIASED = VanillaRNN([[1.6, -0.4], [0.3, 1.5]], np.eye(2), [3.0, 3.0])
LARGER = VanillaRNN(
    np.random.default_rng(0).standard_normal((14, 14)) * 0.16, np.eye(14), np.full(14, 0.3)
)
METHODS = {
    "iterate": CELL,
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


def local(method="lmi", one=BIASED):
    return one, certificate_to_dict(
        one, contraction(one, method=method, inputs=Inputs.box(-0.1, 0.1))
    )


@final
class Gated(Map):
    """A cell of two units h <- s(x) tanh(h), s = 1 / (1 + x^2), with a comparison matrix only."""

    def __init__(self, W):
        self.W = np.asarray(W, float)

    state_dim, input_dim = 2, 1

    @property
    def parameters(self):
        return read_only(W=self.W)

    def step(self, h, x):
        return np.tanh(h @ self.W.T) / (1 + x**2)

    def comparison(self, domain=None):
        inside = 1.0 if domain is None else 0.5
        return (inside * np.abs(self.W), 0.25 * np.eye(2))

    def image(self, domain):  # noqa: ARG002
        return -np.ones(2), np.ones(2)

    def affine(self):
        return None

    jacobian_state = jacobian_input = input_terms = advance = step_error = _run = None
    input_lipschitz = None


@pytest.mark.parametrize("method", METHODS)
def test_round_trip(method, tmp_path):
    one = METHODS[method]
    c = contraction(one, method=method)
    path = tmp_path / "c.json"
    save_certificate(path, one, c=c)
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
        (("iterate",), 2, "norm"),
        (("iterate",), 0, "iterate"),
        (("iterate",), -1, "iterate"),
        (("iterate",), 10**6, "iterate"),
        (("map", "kind"), "LinearMap", "map"),
        (("map", "kind"), "", "map"),
        (("domain",), {"low": []}, "domain"),
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
    assert recheck(certificate_from_dict(data), LinearMap(MONE, np.eye(2))).failed == "map"


def test_a_contraction_of_a_linear_map_is_not_one_of_a_network():
    one, data = stored("lyapunov")
    network = VanillaRNN(one.W, one.U, activation="tanh")
    forged = changed(data, "map", "activation", value="tanh")
    forged = changed(forged, "map", "kind", value="VanillaRNN")
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


def test_only_what_can_be_verified_again_is_stored():
    with pytest.raises(ValueError, match="assumed"):
        certificate_to_dict(CELL, Contraction.assumed(0.5))
    c = contraction(SMALL, method="spectral")
    for claim, failed in (
        (Contraction(lam=0.01, norm=Linf(), iterate=3, evidence=c.evidence), "inequality"),
        (Contraction(lam=0.01, norm=Linf(), evidence=c.evidence), "inequality"),
    ):
        with pytest.raises(ValueError, match=f"cannot be verified again: {failed}"):
            certificate_to_dict(SMALL, claim)
    own = CallableMap(lambda h, x: 0.5 * h + x, 1, 1)
    with pytest.raises(ValueError, match="cannot be verified again"):
        certificate_to_dict(own, Contraction(lam=0.5, norm=Linf(), evidence=c.evidence))


# ---------------------------------------------------------------------------- on a domain


@pytest.mark.parametrize(
    "method", ["row_sums", "column_sums", "spectral", "perron", "numerical_radius", "diagonal",
               "lmi", "iterate"]
)  # fmt: skip
def test_round_trip_on_a_domain(method, tmp_path):
    c = contraction(BIASED, method=method, inputs=Inputs.box(-0.1, 0.1))
    path = tmp_path / "c.json"
    save_certificate(path, BIASED, c=c)
    back = load_certificate(path)
    assert recheck(back, BIASED), recheck(back, BIASED)
    # stored a little larger, so that other machines find it invariant too
    stored_high = np.array([float.fromhex(x) for x in back.domain["high"]])
    assert (stored_high >= c.domain.high).all()
    np.testing.assert_allclose(stored_high, c.domain.high, rtol=2.0**-38)
    # everywhere it is not true
    assert recheck(replace(back, domain=None), BIASED).failed == "inequality"


@pytest.mark.parametrize(
    ("name", "value", "failed"),
    [
        ("low", [-1.0, -1.0], "inequality"),  # a tanh stays in there, at larger slopes
        ("high", [0.5, 0.5], "invariance"),
        ("input_high", [9.0, 9.0], "invariance"),
        ("input_low", [-9.0, -9.0], "invariance"),
        ("low", [0.5, 0.5], "domain"),  # 0 is outside
        ("low", [0.0], "domain"),
        ("low", ["nan", 0.0], "domain"),
        ("input_low", [1.0, 1.0], "domain"),
    ],
)
def test_a_tampered_domain_is_named(name, value, failed):
    one, data = local()
    value = [x if isinstance(x, str) else x.hex() for x in value]
    answer = recheck(certificate_from_dict(changed(data, "domain", name, value=value)), one)
    assert answer.failed == failed, answer


def test_a_lower_rate_on_a_domain_is_rejected():
    for method in ("spectral", "perron", "lmi", "iterate"):
        one, data = local(method)
        rate = float.fromhex(data["rate"]) * (1 - 1e-3)
        lowered = certificate_from_dict(changed(data, "rate", value=rate.hex()))
        assert recheck(lowered, one).failed == "inequality"


# ------------------------------------------------------------------------------- several steps


def test_several_steps_are_proved_by_their_products():
    one, data = stored("iterate")
    assert data["iterate"] == 6
    for steps, accepted in ((5, False), (6, True), (7, True), (1, False)):
        answer = recheck(certificate_from_dict(changed(data, "iterate", value=steps)), one)
        assert answer.accepted is accepted, answer
        assert accepted or answer.failed == "inequality"
    lowered = changed(data, "rate", value=(0.9087).hex())
    assert recheck(certificate_from_dict(lowered), one).failed == "inequality"


def test_several_steps_are_proved_by_a_conversion():
    c = contraction(LARGER, method="iterate")
    assert c.evidence.source is not None
    data = certificate_to_dict(LARGER, c)
    assert recheck(certificate_from_dict(data), LARGER)
    source = ("evidence", "source")
    for path, value, failed in (
        (("iterate",), c.iterate - 1, "inequality"),
        (("rate",), (c.lam * 0.999).hex(), "inequality"),
        ((*source, "rate"), (0.5 * c.evidence.source.lam).hex(), "inequality"),
        ((*source, "rate"), (1.5).hex(), "rate"),
        ((*source, "iterate"), 2, "iterate"),
        ((*source, "norm"), {"name": "L3"}, "norm"),
        ((*source, "evidence", "source"), data["evidence"]["source"], "iterate"),
        # without the one step there are too many products
        (source, None, "inequality"),
    ):
        answer = recheck(certificate_from_dict(changed(data, *path, value=value)), LARGER)
        assert answer.failed == failed, (path, answer)
    with pytest.raises(ValueError, match="not a certificate"):
        certificate_from_dict(changed(data, *source, value=[1]))
    broken = certificate_from_dict(changed(data, *source, value={"rate": "half"}))
    assert recheck(broken, LARGER).failed == "norm"


# ------------------------------------------------------------------- maps without affine form


def test_comparison_matrices_prove_maps_without_affine_form():
    one = Gated([[0.3, 0.4], [0.0, 0.6]])
    evidence = Evidence(kind="certified", method="comparison matrix")
    weights = WeightedLinf([2.0, 1.0])
    c = Contraction(lam=0.6, norm=weights, evidence=evidence)
    data = certificate_to_dict(one, c)
    assert data["map"]["kind"] == "Gated"
    assert data["map"]["activation"] == ""
    assert recheck(certificate_from_dict(data), one)
    lowered = changed(data, "rate", value=(0.59).hex())
    assert recheck(certificate_from_dict(lowered), one).failed == "inequality"
    # other monotone norms by the larger entries of all matrices, several steps not at all
    total = Contraction(lam=0.999, norm=L1(), evidence=evidence)
    with pytest.raises(ValueError, match="inequality"):
        certificate_to_dict(one, total)
    certificate_to_dict(Gated([[0.3, 0.4], [0.0, 0.5]]), total)
    # columns 0.3 and (0.4 + 0.6 * 2) / 2 of the same map, up to rounding
    weighted = Contraction(lam=0.801, norm=WeightedL1([1.0, 2.0]), evidence=evidence)
    assert recheck(certificate_from_dict(certificate_to_dict(one, weighted)), one)
    thin = Contraction(lam=0.999, norm=WeightedL2([[1.0, 0.5], [0.5, 1.0]]), evidence=evidence)
    with pytest.raises(ValueError, match="no comparison matrix"):
        certificate_to_dict(one, thin)
    assert recheck(certificate_from_dict(changed(data, "iterate", value=2)), one).failed == (
        "iterate"
    )
    # on a domain with the matrices of the domain
    box = Domain(low=-np.ones(2), high=np.ones(2), input_low=[1.0], input_high=[2.0])
    half = Contraction(lam=0.3, norm=weights, evidence=evidence, domain=box)
    data = certificate_to_dict(one, half)
    assert recheck(certificate_from_dict(data), one)
    assert recheck(certificate_from_dict({**data, "domain": None}), one).failed == "inequality"
    small = {**box.to_dict(), "high": [(0.5).hex()] * 2}
    assert recheck(certificate_from_dict({**data, "domain": small}), one).failed == "invariance"
    assert recheck(certificate_from_dict(data), BIASED).failed == "map"


# -------------------------------------------------------------------------------- the old format


def test_files_of_the_first_version_are_read():
    one, data = stored("lmi")
    old = copy.deepcopy(data)
    old["format"] = OLD_FORMAT
    del old["domain"], old["evidence"]["source"], old["map"]["kind"]
    back = certificate_from_dict(old)
    assert recheck(back, one)
    assert (back.domain, back.source, back.kind) == (None, None, None)
    old["rate"] = (0.899).hex()
    assert recheck(certificate_from_dict(old), one).failed == "inequality"
    # no map without an affine form had one
    assert recheck(certificate_from_dict(old), Gated(MONE)).failed == "map"
    for missing in ("domain", "evidence"):
        with pytest.raises(ValueError, match=missing if missing == "domain" else "evidence"):
            certificate_from_dict({k: v for k, v in data.items() if k != missing})


def test_hash_is_of_shape_and_values():
    assert hash_array(np.zeros((2, 3))) != hash_array(np.zeros((3, 2)))
    assert hash_array(np.zeros(2)) != hash_array(np.array([0.0, 5e-324]))
    assert hash_array(np.eye(3)[::-1]) == hash_array(np.ascontiguousarray(np.eye(3)[::-1]))


#: Written when the parameters of a `LinearMap` were called A, B and bias.
OF_OLD_NAMES = """
{
 "format": "stable-recurrent-models certificate, version 2",
 "rate": "0x1.2de8a0c5a9f91p-3",
 "rate_decimal": "0.1474163589784863",
 "iterate": 1,
 "norm": {
  "name": "WeightedL2",
  "P": [
   [
    "0x1.76bdfa36a577ap-1",
    "-0x1.86096ec756398p-7"
   ],
   [
    "-0x1.86096ec756398p-7",
    "0x1.35342e39ce47dp-3"
   ]
  ]
 },
 "evidence": {
  "method": "Lyapunov",
  "detail": "sqrt(cond(P)) <= 2.20393",
  "multipliers": [],
  "source": null
 },
 "domain": null,
 "map": {
  "kind": "LinearMap",
  "activation": "identity",
  "state_dim": 2,
  "input_dim": 2,
  "sha256": {
   "A": "f50eade33cbe8b8965bbbbfb15376c760b53bbf51610dc704de344272d4e3dfb",
   "B": "9731c5e61c73fef1b41f85e7a4766144a67fcdc4c74a092b2f586e1e04ad31b0",
   "bias": "45e2f25e02832ebe2ff01c77369d754e8270cc3707914b80bc591ac522b5e197"
  }
 },
 "versions": {
  "theory": "0.1.0",
  "numpy": "2.4.6",
  "python": "3.11.7"
 }
}
"""


def test_a_linear_map_is_recognised_under_its_old_names():
    W = [[0.05926979462348153, -0.06227482977400092], [0.3018981326359378, 0.04945038945745177]]
    U = [[-0.45772582566733916, 0.2201951234700494], [-1.009618183538736, -0.20917557487171307]]
    data = json.loads(OF_OLD_NAMES)
    one = LinearMap(A=W, B=U)
    assert recheck(certificate_from_dict(data), one)
    written = certificate_to_dict(one, contraction(one, method="lyapunov"))
    assert sorted(written["map"]["sha256"]) == ["U", "W", "b"]
    # every array still counts, under its old name too
    for changed in ({"W": np.array(W) / 2}, {"U": np.array(U) / 2}, {"b": [1.0, 0.0]}):
        answer = recheck(certificate_from_dict(data), one.with_parameters(**changed))
        assert not answer
        assert (answer.failed, answer.reason) == (
            "parameters", f"the SHA-256 of {next(iter(changed))} is not the stored one",
        )  # fmt: skip
    # of both names neither is read for the other
    data["map"]["sha256"]["W"] = data["map"]["sha256"]["A"]
    assert recheck(certificate_from_dict(data), one).failed == "parameters"
    # nor for another kind of map
    answer = recheck(certificate_from_dict(json.loads(OF_OLD_NAMES)), VanillaRNN(W, U))
    assert answer.failed == "map"


def test_layers_are_recognised_under_old_names():
    below, above = LinearMap([[0.5]], [[1.0]]), LinearMap([[0.25]], [[0.125]])
    stack = Cascade([below, above])
    data = certificate_to_dict(stack, contraction(stack))
    hashes = data["map"]["sha256"]
    for layer in "01":
        for new, old in (("W", "A"), ("U", "B"), ("b", "bias")):
            hashes[f"{layer}.{old}"] = hashes.pop(f"{layer}.{new}")
    assert recheck(certificate_from_dict(data), stack)
    assert not recheck(certificate_from_dict(data), Cascade([above, above]))
