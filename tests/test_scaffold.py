"""`python -m proofs --new STEM`: four files that run from the first minute, and what is left."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from proofs import scaffold

ROOT = Path(__file__).resolve().parents[1]
FILES = (
    "theory/theorems/{}.py",
    "theory/trials/{}.py",
    "proofs/{}.py",
    "tests/theorems/test_{}.py",
)

#: The shortest and the longest, those beside which the imports are sorted, and a criterion.
STEMS = ("q", "x" * scaffold.LONGEST, "assumption", "theorem_of_two", "contractive_of_two_norms")


def copied(folder: Path) -> Path:
    """Return a copy of the tree, without what was compiled."""
    for name in ("theory", "proofs", "tests"):
        ignored = shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "Makefile", "CHANGELOG.md"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python on the packages of a folder."""
    surroundings = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True, text=True, cwd=folder, check=False, env=surroundings,
    )  # fmt: skip


def everything(folder: Path) -> dict[Path, bytes]:
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return copied(tmp_path_factory.mktemp("tree"))


@pytest.fixture
def rooms(tmp_path):
    """Return a folder with the rooms only, for what reads no file."""
    for name in ("theory/theorems", "theory/trials", "proofs", "tests/theorems"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


def test_four_files_and_no_other_are_written(tree):
    before = everything(tree)
    done = python(tree, "-m", "proofs", "--new", "gap_sum")
    assert done.returncode == 0, done.stderr
    after = everything(tree)
    new = {str(path.relative_to(tree)) for path in after.keys() - before.keys()}
    assert new == {place.format("gap_sum") for place in FILES}
    assert {path: after[path] for path in before} == before
    for place in FILES:
        assert f"wrote {place.format('gap_sum')}" in done.stdout
    for name in (
        "theory/theorems/__init__.py",
        "theory/trials/table.py",
        "proofs/INDEX.md",
        "CHANGELOG.md",
    ):
        assert name in done.stdout

    # a second time nothing is overwritten
    again = python(tree, "-m", "proofs", "--new", "gap_sum")
    assert again.returncode == 2
    assert "theory/theorems/gap_sum.py exists already" in again.stderr
    assert everything(tree) == after


@pytest.mark.parametrize(
    ("stem", "message"),
    [
        ("", "needed a lower-case identifier"),
        ("3x", "needed a lower-case identifier"),
        ("gap-sum", "needed a lower-case identifier"),
        ("gap sum", "needed a lower-case identifier"),
        ("../gap", "needed a lower-case identifier"),
        ("Gap", "needed a lower-case identifier"),
        ("lambda", "needed a lower-case identifier"),
        ("_gap", "a letter first"),
        ("lücke", "needed a-z"),
        ("x" * (scaffold.LONGEST + 1), "at most 32 characters"),
        ("state_gap", "theory/theorems/state_gap.py exists already"),
        ("theorem", "theory/theorems/theorem.py exists already"),
        ("verdict", "theory/trials/verdict.py exists already"),
        ("steps", "proofs/steps.py exists already"),
        ("contraction", "theory.contraction is something already"),
    ],
)
def test_a_name_that_is_none_or_taken_is_refused(stem, message, capsys):
    from proofs.__main__ import main

    with pytest.raises(ValueError, match=message):
        scaffold.check_stem(stem)
    with pytest.raises(SystemExit) as ended:
        main(["--new", stem])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_folder_that_is_no_checkout_is_refused(tmp_path):
    with pytest.raises(ValueError, match="needed a checkout"):
        scaffold.write("gap_sum", tmp_path)


@pytest.mark.parametrize("place", FILES)
def test_a_single_file_that_exists_is_kept(rooms, place):
    path = rooms / place.format("gap_sum")
    path.write_text("kept")
    with pytest.raises(ValueError, match="exists already"):
        scaffold.write("gap_sum", rooms)
    assert list(rooms.rglob("*.py")) == [path]
    assert path.read_text() == "kept"


@pytest.mark.parametrize("stem", STEMS)
def test_the_files_are_in_style(rooms, stem):
    if importlib.util.find_spec("ruff") is None:
        pytest.skip("ruff is not installed; `make lint` installs it")
    shutil.copy(ROOT / "pyproject.toml", rooms)
    paths = [str(path.relative_to(rooms)) for path in scaffold.write(stem, rooms)]
    for check in (("format", "--check"), ("check",)):
        # without the tree beside them, which packages are this project's must be said
        known = ("--config", 'lint.isort.known-first-party=["theory","proofs"]')
        options = known if check == ("check",) else ()
        done = python(ROOT, "-m", "ruff", *check, *options, "--no-cache",
                      *(str(rooms / path) for path in paths))  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


def added(text: str, before: str, line: str) -> str:
    """Return a text with a line put before the first occurrence of another."""
    assert before in text
    return text.replace(before, f"{line}{before}", 1)


def registered(folder: Path) -> None:
    """Add the lines that are said to be left, of gap_sum."""
    theorems = "from theory.theorems.gap_sum import "
    for place, edits in {
        "theory/theorems/__init__.py": (
            ("from theory.theorems.theorem", f"{theorems}GAP_SUM, gap_sum\n"),
            ("    CURVATURE_GROWTH,\n)", "    GAP_SUM,\n"),
            ('    "GRADIENT_GAP",', '    "GAP_SUM",\n'),
            ('    "gradient_gap",', '    "gap_sum",\n'),
            ("    gradient_growth, curvature_growth", "    gap_sum,\n"),
        ),
        "theory/trials/table.py": (
            ("from theory.trials.trial ", "from theory.trials.gap_sum import TRIAL as GAP_SUM\n"),
            ("        CURVATURE_GROWTH,\n    )", "        GAP_SUM,\n"),
        ),
    }.items():
        path = folder / place
        text = path.read_text(encoding="utf-8")
        for before, line in edits:
            text = added(text, before, line)
        path.write_text(text, encoding="utf-8")


@pytest.mark.slow
def test_once_the_lines_are_there_only_the_example_fails(tmp_path):
    """Compiles the kernels anew, and checks types without a cache."""
    tree = copied(tmp_path)
    assert python(tree, "-m", "proofs", "--new", "gap_sum").returncode == 0
    tests = ("tests/theorems", "tests/test_completeness.py", "-k", "gap_sum")

    # without the lines, every place is named
    done = python(tree, "-m", "pytest", "-q", "-n", "0", "tests/test_completeness.py")
    for folder in ("theory/theorems", "theory/trials", "tests/theorems"):
        assert f"in {folder} but not in THEOREMS" in done.stdout

    registered(tree)
    done = python(tree, "-m", "pytest", "-q", "-n", "0", *tests)
    assert "1 failed" in done.stdout, done.stdout
    assert "still states the example" in done.stdout
    assert done.stdout.count("FAILED ") == 1

    proof = python(tree, "-m", "proofs", "gap_sum")
    assert proof.returncode == 0, proof.stdout
    done = python(tree, "-m", "pytest", "-q", "-n", "0", "tests/test_readme.py", "-k", "index")
    assert "python -m proofs --index" in done.stdout

    if importlib.util.find_spec("mypy") is not None:
        done = python(tree, "-m", "mypy", "--no-incremental")
        assert done.returncode == 0, done.stdout
