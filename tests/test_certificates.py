"""Contraction and Evidence: what can exist, what is said of it, what is written down."""

import json
from dataclasses import FrozenInstanceError
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory import (
    L1,
    L2,
    Contraction,
    Evidence,
    LinearMap,
    Linf,
    WeightedL1,
    WeightedL2,
    WeightedLinf,
    contraction,
)
from theory.certificates import check_one_step
from theory.norms.norms import norm_from_dict

rates = st.floats(0.0, 1.0, exclude_max=True)


@given(rates, st.sampled_from([L1(), L2(), Linf(), WeightedLinf([1.0, 2.0])]), st.integers(1, 9))
def test_it_keeps_what_it_is_given(lam, norm, iterate):
    c = Contraction(lam=lam, norm=norm, iterate=iterate)
    assert (c.lam, c.norm, c.iterate) == (lam, norm, iterate)
    assert type(c.lam) is float
    assert str(c.evidence) == "assumed (by hand)"


@pytest.mark.parametrize("lam", [1.0, 1.5, -1e-300, np.nextafter(1.0, 2.0), float("nan"), "half"])
def test_it_cannot_exist_without_contraction(lam):
    with pytest.raises(ValueError, match=r"^lam="):
        Contraction(lam=lam, norm=L2())


def test_the_factor_becomes_a_float():
    for lam in (0, np.float32(0.5), Fraction(1, 2), np.float64(0.25)):
        assert type(Contraction.assumed(lam).lam) is float
        assert Contraction.assumed(lam).lam == float(lam)


def test_it_cannot_be_changed():
    c = Contraction.assumed(0.5)
    with pytest.raises(FrozenInstanceError):
        c.lam = 2.0
    with pytest.raises(FrozenInstanceError):
        c.evidence.kind = "certified"
    with pytest.raises(TypeError):
        Contraction(0.5, L2())  # keyword-only


def test_a_factor_typed_by_hand_is_called_assumed_everywhere():
    c = Contraction.assumed(0.9)
    assert (c.norm.label, c.iterate) == ("L2", 1)
    assert repr(c) == "Contraction(lam=0.9, norm=L2, iterate=1, evidence=assumed (by hand))"
    assert c.to_dict()["evidence"] == {"kind": "assumed", "method": "by hand", "detail": ""}
    assert Contraction.assumed(0.9, Linf(), iterate=3).iterate == 3


def test_a_certified_one_says_by_what():
    c = contraction(LinearMap([[0.5, 0.0], [0.0, 0.25]], np.eye(2)), method="row_sums")
    assert c.evidence.kind == "certified"
    assert str(c.evidence) == "certified (row sums)"
    assert "certified (row sums)" in repr(c)
    assert "0.5" in c.evidence.detail


@pytest.mark.parametrize("kind", ["", "proved", "Certified", None, 1])
def test_other_kinds_of_evidence_are_refused(kind):
    with pytest.raises(ValueError, match=r"evidence kind .*, needed 'certified' or 'assumed'"):
        Evidence(kind=kind, method="m")


@given(rates, st.integers(1, 9))
def test_descriptions_are_exact(lam, iterate):
    norms = [
        L1(),
        WeightedLinf([0.1, 1 / 3]),
        WeightedL1([0.1, 1 / 3]),
        WeightedL2([[2.0, 1 / 3], [1 / 3, 1.0]]),
    ]
    for norm in norms:
        evidence = Evidence(kind="certified", method="m", detail="d")
        c = Contraction(lam=lam, norm=norm, iterate=iterate, evidence=evidence)
        data = json.loads(json.dumps(c.to_dict()))
        assert float.fromhex(data["lam"]) == lam
        assert data["iterate"] == iterate
        assert Evidence(**data["evidence"]) == evidence
        assert norm_from_dict(data["norm"]).to_dict() == norm.to_dict()


def test_contractions_are_compared_by_identity():
    one, other = Contraction.assumed(0.5), Contraction.assumed(0.5)
    assert one != other
    assert len({one, other}) == 2


def test_check_one_step():
    check_one_step(Contraction.assumed(0.5))
    with pytest.raises(ValueError, match="one of 2 steps together"):
        check_one_step(Contraction.assumed(0.5, iterate=2))
    with pytest.raises(ValueError, match=r"needed a Contraction; theory.contraction\(map\)"):
        check_one_step(None)
