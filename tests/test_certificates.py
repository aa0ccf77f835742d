"""Contraction and Evidence: what can exist, what is said of it, what is written down."""

import ast
import inspect
import json
import re
from dataclasses import FrozenInstanceError
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import nodes_of

from theory import (
    L1,
    L2,
    Contraction,
    LinearMap,
    Linf,
    WeightedL1,
    WeightedL2,
    WeightedLinf,
    contraction,
)
from theory.certificates import certified, check_one_step
from theory.certify import Evidence
from theory.norms.stored import norm_from_dict

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


# the door -----------------------------------------------------------------------------------------

ROOT = Path(__file__).resolve().parents[1]
#: The files, by their names.
CODE = {str(path.relative_to(ROOT)): path for path in sorted((ROOT / "theory").rglob("*.py"))}
DOOR = "theory/certificates.py"

#: Where the word is no claim of a contraction.
OTHER_WORDS = {
    "theory/certify/judge.py": "one of the three answers of a judgement, beside its contraction",
    "theory/cli/memory.py": "the heading of a column",
    "theory/measure/effective_memory.py": "the name of a field of a file",
    "theory/memory/context.py": "the kind of an answer in its dictionary, and of a curve",
    "theory/pictures.py": "the kind of a curve, which has a colour",
    "theory/torch/backprop.py": "the name of a field of a file",
}

#: What callers of the door import from beside the trusted base, and why it need not be trusted.
BESIDE = {
    "theory.arithmetic.rounded": "budgets of runs; no certificate is of a computed run",
    "theory.arithmetic.formats": "budgets of runs in other formats, beside the same",
    "theory.kernels": "computes runs and points; no certificate is of a computed run",
    "theory.theorems": "the theorem itself: proved in proofs/, attacked in theory/trials/",
    "theory.projections": "nearest points: candidates",
    "theory.norms.resolvent": "weights of norms: candidates",
    "theory.norms.radius": "units that balance a matrix, and lower bounds, which certify nothing",
    "theory.files": "reads arrays; what was read is what a statement is about",
}
WORDS = {
    *("theory.typing", "theory.errors", "theory.threads", "theory.certificates"),
    *("theory.shown", "theory.pictures"),
}


def literals(path):
    """Return how often the word stands as a string of its own."""
    return sum(isinstance(n, ast.Constant) and n.value == "certified" for n in nodes_of(path))


@cache
def imported(path):
    """Return the modules of theory/ that a file imports, and names inside them."""
    found = set()
    for node in nodes_of(path):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("theory"):
            found |= {(node.module, alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {(a.name, "") for a in node.names if a.name.startswith("theory")}
    return found


def module_of(name):
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


MODULES = {module_of(name): path for name, path in CODE.items()}
CALLERS = {
    m for m, path in MODULES.items() if ("theory.certificates", "certified") in imported(path)
}
CALLERS -= {"theory"}


def below(module):
    """Return the modules that a module imports."""
    pairs = imported(MODULES[module])
    return {f"{m}.{name}" if f"{m}.{name}" in MODULES else m for m, name in pairs} - {module}


def under(module, names):
    """Return whether a module is one of these, or inside a package among them."""
    return any(f"{module}.".startswith(f"{name}.") for name in names)


def trusted_base():
    """Return the modules that the docstring of the door names."""
    return set(re.findall(r"^ {4}(theory\.[a-z.]+)  +\w", inspect.getdoc(certified), re.M))


def test_the_word_stands_at_the_door_only():
    found = {name for name, path in CODE.items() if literals(path)}
    assert found == {DOOR, *OTHER_WORDS}


def test_no_other_file_makes_evidence_or_contractions():
    """`Contraction.assumed` says so in its name, `described` changes words only."""
    for name, path in CODE.items():
        made = {
            node.func.id
            for node in nodes_of(path)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert name == DOOR or not made & {"Contraction", "Evidence"}, name


def test_evidence_is_not_replaced_beside_the_door():
    for name, path in CODE.items():
        for node in nodes_of(path):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "replace":
                named = {word.arg for word in node.keywords}
                assert name == DOOR or not named & {"evidence", "kind", "lam"}, name


def test_callers_rest_on_the_trusted_base():
    """Follow their imports through the base: each module is listed, a word, or beside it."""
    base = trusted_base()
    maps = {m for m in MODULES if under(m, {"theory.maps"})}
    seen, left = set(), CALLERS | maps
    while left:
        module = left.pop()
        for name in below(module) - seen - CALLERS - WORDS:
            known = under(name, base) or under(name, BESIDE)
            assert known, f"{module} imports {name}: list it at the door, or say why not in BESIDE"
            seen.add(name)
            if under(name, base):
                left.add(name)
    assert not {name for name in base if not any(under(m, {name}) for m in seen)}
    assert not {name for name in BESIDE if not any(under(m, {name}) for m in seen)}


def test_contributing_names_the_same_base():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.split("## What a proof rests on")[1].split("\n## ")[0].split("\n\nOther")[0]
    named = {
        n.removesuffix(".py").rstrip("/").replace("/", ".")
        for n in re.findall(r"`(theory/[\w/.]+)`", section)
    }
    assert named == trusted_base() | {"theory.certificates"}


@pytest.mark.parametrize("lam", [1.0, 1.5, float("inf"), float("nan")])
def test_the_door_is_closed_to_what_does_not_contract(lam):
    assert certified(lam, L2(), method="spectral norm") is None


def test_the_door_is_closed_to_what_rests_on_an_assumption():
    with pytest.raises(ValueError, match="needed a certified contraction"):
        certified(0.5, L2(), method="norm change", source=Contraction.assumed(0.5))
    one = certified(0.5, Linf(), method="row sums")
    two = certified(0.5, L2(), method="norm change", iterate=2, source=one)
    assert two.evidence.source is one
    assert two.evidence.is_certified
    assert not Contraction.assumed(0.5).evidence.is_certified


def test_other_words_do_not_change_what_is_known():
    one = certified(0.5, Linf(), method="row sums", detail="d")
    told = one.described(method="other")
    assert (told.evidence.method, told.evidence.detail) == ("other", "d")
    assert told.evidence.is_certified
    assert not Contraction.assumed(0.5).described(detail="x").evidence.is_certified
