"""Rules of the Makefile, run with a command in place that treats files as the real one does."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: As `theory verify`: refuses a --json file that is there, else writes $VERDICTS to it.
COMMAND = """#!/bin/sh
while [ "$1" != --json ]; do shift; done
if [ -e "$2" ]; then echo "$2 would be overwritten"; exit 2; fi
echo "$VERDICTS" > "$2"
exit "$STATUS"
"""


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_verify_runs_anew_each_time_and_keeps_the_verdicts_of_before(tmp_path):
    command, build = tmp_path / "bin/theory", tmp_path / "build"
    command.parent.mkdir()
    build.mkdir()
    command.write_text(COMMAND)
    command.chmod(0o755)
    ready = (tmp_path / "venv/.examples", build / "chorales.npz")
    ready[0].parent.mkdir()
    for path in ready:
        path.touch()

    def verify(verdicts: str, status: int = 0) -> int:
        places = [f"BIN={command.parent}", f"BUILD={build}", f"VENV={tmp_path / 'venv'}"]
        old = [word for path in ready for word in ("-o", str(path))]
        environment = {"PATH": "/usr/bin:/bin", "VERDICTS": verdicts, "STATUS": str(status)}
        made = subprocess.run(
            ["make", "-s", "verify", *places, *old],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return made.returncode

    now, before = build / "verdicts.json", build / "verdicts.before.json"
    assert verify("first") == 0
    assert (now.read_text(), before.exists()) == ("first\n", False)
    # a refutation is kept, too, when it is tried again
    assert verify("refuted", status=1) != 0
    assert (now.read_text(), before.read_text()) == ("refuted\n", "first\n")
    assert verify("third") == 0
    assert (now.read_text(), before.read_text()) == ("third\n", "refuted\n")
