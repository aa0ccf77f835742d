"""Certificates for Rocq: what is written, what is refused, and what the compiler says of it."""

import re
import shutil
import subprocess

import numpy as np
import pytest

from theory import GRU, L1, L2, Contraction, Linf, VanillaRNN, WeightedL1, contraction
from theory.certify.rocq_file import for_rocq, rocq_text, save_rocq

W = np.array([[0.5, -0.25], [0.125, 0.25]])
CELL = VanillaRNN(W, np.eye(2))
ROWS, COLUMNS = Contraction.assumed(0.75, Linf()), Contraction.assumed(0.625, L1())


def test_the_integers_are_the_entries():
    text = rocq_text(CELL, c=ROWS)
    assert "Definition scale := 8%Z." in text
    assert "Definition M : list (list Z) := ([4; -2] :: [1; 2] :: nil)%Z." in text
    assert "([4; 1] :: [-2; 2] :: nil)" in rocq_text(CELL, c=COLUMNS)  # by columns
    assert f"Definition num := {3 * 2**28}%Z." in text
    weighted = Contraction.assumed(0.75, WeightedL1([1.0, 1.5]))
    assert "Definition V : list Z := [2; 3]%Z." in rocq_text(CELL, c=weighted)


def test_the_context_is_that_of_the_bound():
    text = rocq_text(CELL, c=ROWS, eps=0.5, drive=1.0)
    # 0.75**8 / 0.25 = 0.4004.., and 7 give more than a half
    assert "(* 8 inputs suffice for an error of 0.5 if |map 0 u_s| <= 1.0 *)" in text
    # one power after the other would take minutes
    slow = rocq_text(CELL, c=Contraction.assumed(0.9999, Linf()), eps=1e-6, drive=1.0)
    assert "Theorem truncated" in slow
    assert "Theorem context" not in slow


@pytest.mark.parametrize(
    ("cell", "c", "said"),
    [
        (CELL, Contraction.assumed(0.7, Linf()), "one of the rows exceeds"),
        (CELL, Contraction.assumed(0.6, L1()), "one of the columns exceeds"),
        (CELL, Contraction.assumed(0.9, L2()), "needed a maximum or sum norm"),
        (CELL, Contraction.assumed(0.9, Linf(), iterate=2), "of one step"),
        (VanillaRNN(W, np.eye(2), activation="sin"), ROWS, "needed one of: identity, relu, tanh"),
        (VanillaRNN(np.zeros((65, 65)), np.eye(65)), ROWS, "at most 64 units"),
        (GRU(np.zeros((6, 2)), np.zeros((6, 1))), ROWS, "such as VanillaRNN"),
    ],
)
def test_what_a_file_cannot_hold_is_refused(cell, c, said):
    with pytest.raises(ValueError, match=said):
        rocq_text(cell, c=c)


def test_the_smallest_rate_that_fits_is_taken():
    spectral = Contraction.assumed(0.5, L2())
    assert for_rocq([ROWS, spectral, COLUMNS]) is COLUMNS
    with pytest.raises(ValueError, match="theory certify --json"):
        for_rocq([spectral])


def compiled(path):
    return subprocess.run(
        ["coqc", "-q", path.name], cwd=path.parent, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("coqc") is None, reason="coqc is not installed")
def test_rocq_accepts_what_is_true_and_nothing_else(tmp_path):
    rng = np.random.default_rng(0)
    large = rng.standard_normal((64, 64))
    large *= 0.9 / np.abs(large).sum(axis=1).max()
    cell = VanillaRNN(large, np.eye(64), activation="sigmoid")
    perron = contraction(VanillaRNN(W, np.eye(2)), method="perron")
    for name, one, c in (
        *(("rows", CELL, ROWS), ("columns", CELL, COLUMNS), ("weighted", CELL, perron)),
        ("large", cell, Contraction.assumed(0.9 / 4 + 1e-9, Linf())),
    ):
        path = tmp_path / f"{name}.v"
        save_rocq(path, one, c=c, eps=1e-3, drive=2.0)
        done = compiled(path)
        assert done.returncode == 0, done.stderr
        assumed = set(re.findall(r"^([\w.]+)", done.stdout, re.MULTILINE))
        assert assumed <= {
            "Axioms",
            "Classical_Prop.classic",
            "ClassicalDedekindReals.sig_forall_dec",
            "ClassicalDedekindReals.sig_not_dec",
            "FunctionalExtensionality.functional_extensionality_dep",
        }
    text = rocq_text(CELL, c=ROWS, eps=1e-3, drive=2.0)
    wrong = {
        "rate": text.replace(f"num := {3 * 2**28}%Z", f"num := {3 * 2**28 - 1}%Z"),
        "entry": text.replace("[4; -2]", "[4; -3]"),
        "shape": text.replace("[4; -2]", "[4]"),
        "weight": text.replace("V : list Z := [1; 1]", "V : list Z := [1; 2]"),
        "context": re.sub(r"\b32\b", "31", text),
    }
    for name, changed in wrong.items():
        assert changed != text, name
        path = tmp_path / f"wrong_{name}.v"
        path.write_text(changed, encoding="utf-8")
        assert compiled(path).returncode != 0, name
