"""The command line, as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from theory.campaign.recipes.table import RECIPES
from theory.campaign.report import html_report, number, statement, table
from theory.cli import app, main
from theory.cli.options import err as _err
from theory.cli.options import out as _out
from theory.theorems import THEOREMS
from theory.trials import TRIALS

FEWEST = str(len(RECIPES))


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command line in this process; returns status, output and errors."""

    def call(*arguments: str, width: int = 200) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["theory", *arguments])
        for console in (_out, _err):
            monkeypatch.setattr(console, "_width", width)
            monkeypatch.setattr(console, "_height", 50)
        try:
            main()
        except SystemExit as leaving:
            status = leaving.code or 0
        else:
            status = 0
        out, err = capsys.readouterr()
        return int(status), out, err

    return call


def test_verify_holds_and_writes_a_report(run, tmp_path):
    target = tmp_path / "deep" / "report.html"
    status, out, _ = run(
        "verify", "--instances", FEWEST, "--report", str(target), "--json", str(tmp_path / "v.json")
    )
    assert status == 0, out
    for theorem in THEOREMS:
        assert theorem.name in out
    assert out.count("holds") >= len(THEOREMS)
    page = target.read_text()
    assert page.count("data:image/png;base64,") == len(THEOREMS)
    # self-contained: no address is loaded from anywhere
    assert "http" not in page
    assert "Every theorem holds, every near miss is refuted" in page


def test_verify_one_theorem_on_sequences(run, tmp_path):
    np.savez(tmp_path / "x.npz", a=np.ones((9, 2)), b=np.eye(5))
    arguments = ("--only", "state_gap", "--sequences", str(tmp_path / "x.npz"))
    status, out, _ = run("verify", "--instances", FEWEST, *arguments)
    assert status == 0
    assert "4 driven by your sequences" in out
    assert "hidden_state" not in out


def test_verify_fails_when_a_near_miss_survives(run, monkeypatch):
    from dataclasses import replace

    from theory.theorems.state_gap import STATE_GAP

    true = replace(TRIALS["state_gap"].near_misses[0], formula=STATE_GAP.formula)
    blind = replace(TRIALS["state_gap"], near_misses=(true,))
    monkeypatch.setitem(TRIALS, "state_gap", blind)
    monkeypatch.setattr("theory.campaign.tasks.THEOREMS", (STATE_GAP,))
    status, out, _ = run("verify", "--instances", FEWEST)
    assert status == 1
    assert "near miss not refuted: state_gap [one power of lam too many]" in out


def test_verify_fails_when_a_theorem_is_refuted(run, monkeypatch):
    from dataclasses import replace

    from theory.theorems.state_gap import STATE_GAP

    false = replace(STATE_GAP, formula=TRIALS["state_gap"].near_misses[0].formula)
    monkeypatch.setattr("theory.campaign.tasks.THEOREMS", (false,))
    status, out, _ = run("verify", "--instances", FEWEST)
    assert status == 1
    assert "state_gap is refuted by" in out
    assert "REFUTED" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("verify", "--instances", "3"), "one of each recipe"),
        (("verify", "--only", "nothing"), "'nothing' is not known"),
        (("verify", "--sequences", "no_such.npy"), "does not exist"),
        (("verify", "--resume"), "--resume needs --json"),
        (("verify", "--jobs", "0"), "jobs=0"),
        (("verify", "--seed", "-1"), "seed=-1"),
        (("replay", "no_such.json"), "cannot be read"),
    ],
)
def test_malformed_questions_get_a_message_and_status_2(run, arguments, message):
    status, _, err = run(*arguments)
    assert status == 2
    assert message in err
    assert "Traceback" not in err


def test_replay(run, tmp_path):
    path = str(tmp_path / "v.json")
    run("verify", "--instances", FEWEST, "--only", "drive", "--json", path)
    status, out, _ = run("replay", path, "--all")
    assert status == 0
    assert f"{FEWEST} of {FEWEST} verdicts are equal to the last bit" in out


def test_replay_of_a_tampered_outcome_fails(run, tmp_path):
    path = tmp_path / "v.json"
    run("verify", "--instances", FEWEST, "--only", "drive", "--json", str(path))
    path.write_text(path.read_text().replace('"outcome": "holds"', '"outcome": "refuted"'))
    status, out, _ = run("replay", str(path), "--all")
    assert status == 1
    assert "NO" in out


def test_resume_from_the_command_line(run, tmp_path):
    path = tmp_path / "v.json"
    arguments = ("verify", "--instances", FEWEST, "--only", "drive", "--json", str(path))
    run(*arguments)
    data = json.loads(path.read_text())
    data["results"] = dict(list(data["results"].items())[:4])
    path.write_text(json.dumps(data))
    status, out, _ = run(*arguments, "--resume")
    assert status == 0
    assert "4 kept from before" in out


def test_theorems_lists_every_statement(run):
    status, out, _ = run("theorems")
    assert status == 0
    for theorem in THEOREMS:
        assert theorem.name in out


def test_help_names_the_commands():
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    for name in ("verify", "replay", "theorems"):
        assert name in result.output


def test_console_script_is_installed():
    done = subprocess.run(
        [sys.executable, "-m", "theory", "theorems"], capture_output=True, text=True, check=True
    )
    assert "state_gap" in done.stdout


def test_report_without_its_packages_fails_before_the_work(run, monkeypatch, tmp_path):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)  # noqa: ARG005
    status, _, err = run("verify", "--report", str(tmp_path / "r.html"))
    assert status == 2
    assert "stable-recurrent-models[report]" in err


def test_numbers_for_people():
    assert number(float("nan")) == "-"
    assert number(1.0) == "1"
    assert number(1 - 2.0**-40) == "1-9e-13"
    assert number(1 + 2.0**-40) == "1+9e-13"
    assert number(0.5) == "0.5"
    assert number(float("inf")) == "inf"


def test_statements_are_found_and_end_where_the_next_heading_begins():
    for theorem in THEOREMS:
        text = statement(theorem.name)
        assert theorem.relation in text
        assert "Assumes" not in text


def test_report_escapes_what_it_is_given(tmp_path):
    from theory.campaign.results import summarize
    from theory.campaign.runner import Campaign
    from theory.campaign.tasks import Config

    evil = tmp_path / "<script>alert(1)<"
    evil.mkdir()
    np.save(evil / "<img src=x>.npy", np.ones((3, 1)))
    config = Config(instances=int(FEWEST), only=("drive",), sequences=str(evil))
    rows = summarize(config.theorems, list(Campaign(config).run()))
    page = html_report(rows, config, notes=["<script>"])
    assert "<script>" not in page
    assert "<img src=x>" not in page
    assert table(rows).row_count == 1


def test_statements_are_whole_on_a_narrow_terminal(run):
    status, out, _ = run("theorems", width=40)
    assert status == 0
    assert "…" not in out
    for theorem in THEOREMS:
        assert f"  statement  {statement(theorem.name)}\n" in out
        assert ", ".join(a.name for a in theorem.assumes) in out


def test_one_theorem(run):
    status, out, _ = run("theorems", "state_gap")
    assert status == 0
    assert out.startswith("state_gap\n  statement  ")
    assert len(out.splitlines()) == 5
    status, _, err = run("theorems", "state_gab")
    assert status == 2
    assert "'state_gab' is not known, needed the name of a theorem, such as: state_gap" in err


def test_version_and_short_help(run):
    from theory import __version__

    status, out, _ = run("--version")
    assert (status, out) == (0, f"stable-recurrent-models {__version__}\n")
    for arguments in (("-h",), ("certify", "-h")):
        status, out, _ = run(*arguments)
        assert status == 0
        assert "Usage" in out
