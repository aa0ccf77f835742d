"""The theorems in Rocq: formulas as they are computed, statements about them, and the axioms."""

import random
import re
import shutil
import subprocess
from fractions import Fraction

import pytest

from proofs import prove, render
from proofs.rocq import (
    FOLDER,
    ON_THE_WAY,
    PROVED,
    __main__,
    build,
    machine_checked,
    proved_in,
)
from proofs.rocq.printer import Term, definition, formulas, read
from theory.theorems import THEOREMS
from theory.trials import TRIALS

#: Files of lemmas that several theorems share.
SHARED = {"library", "inner", "vectors", "gates", "tangent", "growth"}

COMPILER = pytest.mark.skipif(build.compiler() is None, reason=build.MISSING)
EACH = pytest.mark.parametrize("theorem", THEOREMS, ids=lambda theorem: theorem.name)
STEMS = pytest.mark.parametrize("stem", machine_checked())


def source(stem):
    return (FOLDER / f"{stem}.v").read_text(encoding="utf-8")


# the printer --------------------------------------------------------------------------------------


@EACH
def test_what_is_printed_is_what_the_formula_computes(theorem):
    rng = random.Random(theorem.name)
    types, text = read(theorem.formula)
    assert tuple(types) == theorem.symbols
    python = re.sub(r"INR (\w+)", r"\1", text).replace("%nat", "").replace("^", "**")
    for _ in range(20):
        # natural numbers that grow in the order of the arguments, as k <= t does
        counts = iter(sorted(rng.sample(range(3, 12), 3)))
        values = {
            name: next(counts) if kind == "nat" else Fraction(rng.randint(1, 99), 100)
            for name, kind in types.items()
        }
        assert eval(python, dict(values)) == theorem.formula(**values)


def test_the_formulas_in_rocq_are_those_of_the_theorems():
    same = source("formulas") == formulas()
    assert same, "proofs/rocq/formulas.v is old: run `python -m proofs.rocq --formulas`"


@pytest.mark.parametrize(
    ("formula", "text"),
    [
        (lambda a, b, c: a - (b - c), "a - (b - c)"),
        (lambda a, b, c: a - b - c, "a - b - c"),
        (lambda a, b, c: a / (b * c), "a / (b * c)"),
        (lambda a, b, c: a / b * c, "a / b * c"),
        (lambda a, b, c: a + b * -c, "a + b * - c"),
        (lambda a, k: (1 + a) ** (2 * k - 1), "(1 + a) ^ (2 * k - 1)%nat"),
        (lambda a, k: (a**k) ** 2 * k, "(a ^ k) ^ 2 * INR k"),
        (lambda a, k: a ** (2 * (k + 1)), "a ^ (2 * (k + 1))%nat"),
        (lambda a: 1 - 2 / a, "1 - 2 / a"),
    ],
)
def test_parentheses_are_kept(formula, text):
    assert read(formula)[1] == text


@pytest.mark.parametrize(
    "formula", [lambda a: 0.5 * a, lambda a, k: a ** (k / 2), lambda a, k: a ** (-k), lambda: True]
)
def test_what_is_no_arithmetic_is_refused(formula):
    with pytest.raises(TypeError, match="needed"):
        read(formula)


def test_lines_are_short():
    names = [f"letter_{i}" for i in range(20)]
    text = definition("long", eval(f"lambda {', '.join(names)}: {' + '.join(names)}"))
    assert max(map(len, text.splitlines())) <= 100


def test_a_term_knows_its_counts():
    a, k, t = Term("a"), Term("k"), Term("t")
    assert (a ** (t - k) * k + 1).counts() == {"k", "t"}
    assert (a * k).counts() == frozenset()


# the sources --------------------------------------------------------------------------------------


def test_every_file_is_a_theorem_s_or_shared():
    files = {path.stem for path in FOLDER.glob("*.v")}
    assert files == {*machine_checked(), *SHARED, "formulas"}


@STEMS
def test_the_theorem_is_about_the_formula(stem):
    """The theorem of the stem ends with `formulas.STEM`, after its assumptions."""
    text = re.sub(r"\(\*.*?\*\)", "", source(stem), flags=re.DOTALL)
    found = re.search(rf"^ *Theorem {stem}\b(.*?)\.\n *Proof\.", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    assert f"formulas.{stem} " in found.group(1)
    # no theorem imports another one, so that each is compiled by itself
    assert build.imports(text) <= {*SHARED, "formulas"}


@pytest.mark.parametrize("stem", [path.stem for path in sorted(FOLDER.glob("*.v"))])
def test_nothing_is_assumed_on_the_way(stem):
    text = re.sub(r"\(\*.*?\*\)", "", source(stem), flags=re.DOTALL)
    words = r"\b(Admitted|admit|Axiom|Axioms|Parameter|Parameters|Conjecture|bypass_check)\b"
    assert not re.search(words, text)
    assert not re.search(r"^(Hypothesis|Variable|Context)", text, re.MULTILINE)  # in sections only
    assert max(map(len, source(stem).splitlines())) <= 100


def test_what_is_called_machine_checked_is_there():
    for reference in {*PROVED, *ON_THE_WAY}:
        for stem in machine_checked():
            name, lemma = proved_in(stem, reference).split(".")
            assert re.search(
                rf"^ *(Theorem|Lemma|Definition) {lemma}\b", source(name), re.MULTILINE
            )
    assert proved_in("state_gap", "chain rule") == proved_in("no_theorem", "definition") == ""


def test_the_label_is_shown():
    shown = render.as_text(prove("state_gap"))
    assert "machine-checked: the statement is a theorem of proofs/rocq/state_gap.v" in shown
    assert r"proofs/rocq/state\_gap.v" in render.as_latex(prove("state_gap"))


# the compiler -------------------------------------------------------------------------------------


def test_a_missing_compiler_is_said(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(build, "compiler", lambda: None)
    assert __main__.main([str(tmp_path / "rocq")]) == 1
    assert "apt-get install --no-install-recommends coq" in capsys.readouterr().err
    with pytest.raises(FileNotFoundError, match="package coq"):
        build.compile_into(tmp_path)


def test_whatever_is_said_beyond_the_list_counts_as_an_axiom():
    text = "theorem a.b\nAxioms:\nP.ax : forall A,\n  A\nf is assumed to be guarded.\n"
    assert build._read_axioms(text) == {"a.b": {"P.ax", "f"}}
    assert build._read_axioms("theorem c.d\nClosed under the global context\n") == {"c.d": set()}
    with pytest.raises(ValueError, match="nothing was said of e"):
        build._read_axioms("theorem e\n")


def some(folder, *stems, **changed):
    """Copy some of the files into a folder, some of them changed."""
    folder.mkdir()
    for stem in ("library", "formulas", *stems):
        shutil.copy(FOLDER / f"{stem}.v", folder)
    for stem, text in changed.items():
        (folder / f"{stem}.v").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.heavy
@COMPILER
def test_a_wrong_formula_and_an_admitted_step_are_noticed(tmp_path):
    admitted = "From Stable Require Import library.\nTheorem all : False. Admitted.\n"
    folder = some(tmp_path / "sources", "state_gap_observed", all=admitted)
    done = build.compile_into(tmp_path / "right", source=folder)
    assert [one.name for one in done if one.ok] == [
        *("all", "formulas", "library", "state_gap_observed")
    ]
    assumed = build.axioms(tmp_path / "right", source=folder)
    assert assumed["all.all"] == {"all.all"}
    assert build.unexpected(assumed) == {"all.all": {"all.all"}}
    wrong = formulas().replace("  lam ^ k * past.", "  lam ^ (k + 1)%nat * past.")
    (folder / "formulas.v").write_text(wrong, encoding="utf-8")
    done = build.compile_into(tmp_path / "wrong", source=folder)
    assert [one.name for one in done if not one.ok] == ["state_gap_observed"]


@pytest.mark.slow
@COMPILER
def test_everything_compiles_and_rests_on_the_real_numbers_only(tmp_path, capsys):
    assert __main__.main([str(tmp_path / "rocq"), "--jobs", "2"]) == 0
    shown = capsys.readouterr().out
    assert all(stem in shown for stem in machine_checked())
    # nothing is left beside the sources
    assert {path.suffix for path in FOLDER.iterdir()} <= {".v", ".py", ""}


@pytest.mark.slow
@COMPILER
def test_no_near_miss_compiles(tmp_path):
    """For each wrong formula of the trials the theorem's file fails, and nothing else does."""
    assert all(one.ok for one in build.compile_into(tmp_path / "right", jobs=2))
    tried = 0
    for stem in machine_checked():
        for number, miss in enumerate(TRIALS[stem].near_misses):
            if miss.formula is None:
                continue
            folder = some(tmp_path / f"{stem}_{number}", stem)
            for shared in SHARED:
                shutil.copy(tmp_path / "right" / f"{shared}.vo", folder)
            before = definition(stem, TRIALS[stem].theorem.formula)
            after = definition(stem, miss.formula)
            (folder / "formulas.v").write_text(
                source("formulas").replace(before, after), encoding="utf-8"
            )
            command = ["coqc", "-q", "-Q", ".", build.NAMESPACE]
            for name, ok in (("formulas", True), (stem, False)):
                run = subprocess.run(
                    [*command, f"{name}.v"], cwd=folder, capture_output=True, text=True, check=False
                )
                assert (run.returncode == 0) is ok, f"{stem}: {miss.name}"
                # it is the proof that fails, not what it imports
                assert not re.search("inconsistent assumptions|Cannot find a phys", run.stderr)
            tried += 1
    assert tried >= len(machine_checked()) / 2
