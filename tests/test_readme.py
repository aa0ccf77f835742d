"""What README.md says is what happens, and the index of theorems is the one of the proofs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from theory.cli import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)

#: How far a trained network's context may be from the printed one on another machine.
ROOM = 4


def test_index_is_the_one_that_the_proofs_write():
    from proofs import PROOFS, prove, render

    # compared without pytest's difference of two long texts, which hides the advice
    written = (ROOT / "proofs/INDEX.md").read_text(encoding="utf-8")
    same = written == render.as_markdown([prove(name) for name in PROOFS])
    assert same, "proofs/INDEX.md is not the one of the proofs: run `python -m proofs --index`"


def test_the_front_page_is_short():
    assert len(README.splitlines()) <= 120
    assert README.count("![") == 1
    assert len(PROGRAMS) == 3


@pytest.mark.parametrize("program", PROGRAMS, ids=["certified", "own weights", "training"])
def test_each_program_runs_alone_and_prints_what_it_says(program, capsys):
    trains = "import torch" in program
    if trains:
        pytest.importorskip("torch", reason="torch is not installed (extra: torch)")
    said = re.findall(r"^# (.*)$", program, re.MULTILINE)[-1]
    exec(program, {})
    printed = capsys.readouterr().out.strip()
    if not trains:
        assert printed == said
        return
    # another build of PyTorch rounds otherwise, and sixty steps carry it on
    pattern = r"loss (\S+), certified k = (\d+)"
    (loss, k), (loss_said, k_said) = (
        re.fullmatch(pattern, one).groups() for one in (printed, said)
    )
    assert abs(float(loss) - float(loss_said)) <= 0.02
    assert abs(int(k) - int(k_said)) <= ROOM


def test_commands_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z]+)", README)) - {"and"} <= targets
    for command in set(re.findall(r"^theory (\w+)", README, re.MULTILINE)):
        assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0, command
    for name in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / name).exists(), name
    listed = subprocess.run(["make", "help"], capture_output=True, text=True, check=True, cwd=ROOT)
    assert {"verify", "test", "docs"} <= set(re.findall(r"^  make (\S+)", listed.stdout, re.M))
