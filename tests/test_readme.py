"""What README.md says is what happens."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_index_is_the_one_that_the_proofs_print():
    done = subprocess.run(
        [sys.executable, "-m", "proofs", "--index"], capture_output=True, text=True, check=True
    )
    found = re.search(r"<!-- index: begin[^\n]*-->\n(.*?)<!-- index: end -->", README, re.DOTALL)
    assert found is not None
    # compared without pytest's difference of two long texts, which hides the advice
    same = found.group(1).strip() == done.stdout.strip()
    assert same, "the index is not the one of the proofs: paste `python -m proofs --index` there"


def test_first_program_runs_and_its_comments_are_true(capsys):
    program = re.search(r"## Bounds for your own weights\n\n```python\n(.*?)```", README, re.DOTALL)
    assert program is not None
    names: dict[str, object] = {}
    exec(program.group(1), names)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("Contraction(lam=0.90000")
    assert printed[0].endswith("evidence=certified (spectral norm))")
    assert float(printed[1]) < 1e-3
    assert isinstance(names["k"], int)


def test_programs_of_the_first_chapters_run_one_after_the_other(capsys):
    programs = re.findall(r"```python\n(.*?)```", README.split("## Your own map")[0], re.DOTALL)
    names: dict[str, object] = {}
    for program in programs:
        exec(program, names)
    printed = capsys.readouterr().out
    assert "\n(500, 80)\n" in printed
    inside, plain = names["inside"], names["plain"]
    assert inside.certificate.lam <= 0.95
    assert inside.distance < plain.distance
    assert len(programs) >= 2


def test_second_program_runs_and_its_comments_are_true(capsys):
    import numpy as np

    import theory

    program = re.search(r"linear map exactly\?\n\n```python\n(.*?)```", README, re.DOTALL)
    assert program is not None
    W = np.random.default_rng(0).standard_normal((8, 8))
    cell = theory.VanillaRNN(0.9 * W / np.linalg.norm(W, 2), np.eye(8))
    exec(program.group(1), {"theory": theory, "np": np, "cell": cell})
    gap, ends, errors = capsys.readouterr().out.splitlines()
    assert 1 <= float(gap) < 1.1
    assert [round(float(x), 3) for x in ends.split()] == [0.9, 0.9]
    exact, certified = map(float, errors.split())
    assert 0 < exact <= certified


def test_bounded_inputs_program_runs_and_its_comments_are_true(capsys):
    import numpy as np

    import theory

    program = re.search(
        r"although a single one does not:\n\n```python\n(.*?)```", README, re.DOTALL
    )
    assert program is not None
    names: dict[str, object] = {"np": np, "theory": theory}
    exec(program.group(1), names)
    assert theory.refute(names["driven"]) is not None
    printed = capsys.readouterr().out.splitlines()
    said = re.findall(r"  # (None|True[^\n]*|55)", program.group(1))
    assert printed == said


def test_own_map_program_runs():
    import numpy as np

    program = re.search(r"in your own test suite\n\n```python\n(.*?)```", README, re.DOTALL)
    assert program is not None
    W = np.diag(np.full(8, 0.75))
    U = np.eye(8, 3)
    names: dict[str, object] = {
        "my_step": lambda h, x: np.tanh(W @ h + U @ x),
        "my_inputs": np.random.default_rng(0).uniform(-1, 1, (30, 3)),
    }
    exec(program.group(1), names)
    names["test_my_cell"]()


def test_interop_and_memory_programs_run(capsys):
    names: dict[str, object] = {}
    for heading in ("Weights from other programs", r"remember on your own sequences\?"):
        program = re.search(heading + r"\n\n```python\n(.*?)```", README, re.DOTALL)
        assert program is not None
        exec(program.group(1), names)
    cell, answer, rates = capsys.readouterr().out.splitlines()
    assert cell == "LSTM(units=8, m=3)"
    assert re.fullmatch(
        r"k = \d+: the error at some time of a sequence exceeds 0.01 with probability at most 0.01 "
        r"\(confidence 0.99, 600 sequences, at most 0 exceedances; measured, not certified\)",
        answer,
    )
    assert rates.startswith("measured, not certified: rate of a step over 5 steps")


def test_commands_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z]+)  ", README)) <= targets
    for command in re.findall(r"^theory (\w+)", README, re.MULTILINE):
        done = subprocess.run(
            [sys.executable, "-m", "theory", command, "--help"], capture_output=True, check=False
        )
        assert done.returncode == 0, command
    for name in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / name).exists(), name
