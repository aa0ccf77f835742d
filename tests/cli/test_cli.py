"""The command line, as a user types it."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from theory.campaign import runner
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


def test_verify_shows_its_answer_before_a_full_disk(run, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(runner, "write_atomically", full)
    target = tmp_path / "v.json"
    arguments = ("--instances", FEWEST, "--only", "state_gap", "--json", str(target))
    status, out, err = run("verify", *arguments)
    assert status == 2
    assert "state_gap" in out
    assert "the verdicts are not kept" in err
    assert "No space left" in err
    assert not target.exists()


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
    for module in ("tasks", "runner"):
        monkeypatch.setattr(f"theory.campaign.{module}.THEOREMS", (STATE_GAP,))
    status, out, _ = run("verify", "--instances", FEWEST)
    assert status == 1
    assert "near miss not refuted: state_gap [one power of lam too many]" in out


def test_verify_fails_when_a_theorem_is_refuted(run, monkeypatch):
    from dataclasses import replace

    from theory.theorems.state_gap import STATE_GAP

    false = replace(STATE_GAP, formula=TRIALS["state_gap"].near_misses[0].formula)
    for module in ("tasks", "runner"):
        monkeypatch.setattr(f"theory.campaign.{module}.THEOREMS", (false,))
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
        (("verify", "--jobs", "2", "--cluster", "tcp://127.0.0.1:1"), "drop one of the two"),
        (("verify", "--patience", "0"), "patience=0"),
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
    assert "pip install '.[report]' in the folder" in err


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


@pytest.fixture
def idle(monkeypatch):
    """Let a campaign judge nothing."""
    from theory.campaign.runner import Campaign

    def run(self, **_):
        self.save()
        return iter(())

    monkeypatch.setattr(Campaign, "run", run)


@pytest.mark.usefixtures("idle")
def test_a_finished_campaign_is_not_overwritten(run, tmp_path):
    path = tmp_path / "v.json"
    path.write_text("kept")
    arguments = ("verify", "--instances", FEWEST, "--only", "drive", "--json", str(path))
    status, _, err = run(*arguments)
    assert status == 2
    assert "--resume to continue its campaign, or --force" in err
    assert path.read_text() == "kept"
    assert run(*arguments, "--force")[0] != 2
    assert path.read_text() != "kept"


@pytest.mark.parametrize("kept", [False, True])
def test_an_interrupted_campaign_says_what_is_kept(run, monkeypatch, tmp_path, kept):
    from theory.campaign.runner import Campaign

    def pressed(self, **_):  # noqa: ARG001
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(Campaign, "run", pressed)
    path = tmp_path / "v.json"
    more = ("--json", str(path)) if kept else ()
    status, _, err = run("verify", "--instances", FEWEST, *more)
    assert status == 130
    told = f"interrupted: 0 of {FEWEST} instances are "
    told += f"kept; continue with --json {path} --resume\n" if kept else "done and none is kept; "
    assert told in err


@pytest.mark.usefixtures("idle")
def test_sequences_that_moved_are_asked_for(run, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    np.save(tmp_path / "data" / "x.npy", np.ones((5, 1)))
    monkeypatch.chdir(tmp_path)
    arguments = ("--instances", FEWEST, "--only", "drive", "--json", "v.json")
    assert run("verify", *arguments, "--sequences", "data/x.npy")[0] != 2
    monkeypatch.chdir(tmp_path / "data")
    status, _, err = run("replay", "../v.json")
    assert status == 2
    assert "not at data/x.npy, seen from this folder; pass where they are now, --sequences" in err
    assert run("replay", "../v.json", "--sequences", "x.npy")[0] == 0


def test_the_least_number_of_instances_is_said(run):
    _, out, _ = run("verify", "--help")
    assert f"at least {FEWEST}" in " ".join(out.replace("│", " ").split())
    # a name that is wrong is noticed first
    assert "'nothing' is not known" in run("verify", "--instances", "3", "--only", "nothing")[2]


def test_near_misses_that_are_nearly_1():
    assert number(1.0001) == "1+1e-04"
    assert number(1.0003) == "1+3e-04"
    assert number(1.0006) == "1.001"
    assert number(0.9998) == "0.9998"


def test_ascii_locales(tmp_path):
    np.savez(tmp_path / "w.npz", W=0.5 * np.eye(2), U=np.eye(2))
    env = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "COLUMNS": "60"}
    told = [sys.executable, "-m", "theory", "certify", str(tmp_path / "w.npz"), "--effort", "0",
            "--activation", "tanh"]  # fmt: skip
    done = subprocess.run(told, capture_output=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    assert b"row_sums" in done.stdout
    assert not done.stderr
