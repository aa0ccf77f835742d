r"""Compile the theorems in Rocq, or write their formulas anew.

python -m proofs.rocq DIR          compile into DIR; the exit status is 1 if anything fails
python -m proofs.rocq --formulas   write formulas.v from the theorems
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from proofs.rocq import FOLDER, build, machine_checked
from proofs.rocq.printer import formulas


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m proofs.rocq", description="Compile in Rocq.")
    parser.add_argument("folder", nargs="?", type=Path, metavar="DIR", help="compile into DIR")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="files at a time")
    parser.add_argument("--formulas", action="store_true", help="write formulas.v anew")
    chosen = parser.parse_args(arguments)
    if chosen.formulas:
        (FOLDER / "formulas.v").write_text(formulas(), encoding="utf-8")
        return 0
    if chosen.folder is None:
        parser.error("received no folder, needed one to compile into, such as build/rocq")
    if build.compiler() is None:
        print(build.MISSING, file=sys.stderr)
        return 1
    return _report(chosen.folder, chosen.jobs)


def _report(folder: Path, jobs: int) -> int:
    done = build.compile_into(folder, jobs=jobs)
    failed = [one for one in done if not one.ok]
    for one in failed:
        print(one.said, file=sys.stderr)
    expected = {path.stem for path in FOLDER.glob("*.v")}
    left_out = expected - {one.name for one in done}
    if failed or left_out:
        names = sorted({one.name for one in failed} | left_out)
        print(f"not compiled: {', '.join(names)}", file=sys.stderr)
        return 1
    assumed = build.axioms(folder)
    seconds = {one.name: one.seconds for one in done}
    table = Table(title="Theorems in Rocq")
    for column in ("name", "theorems", "lines", "seconds", "axioms"):
        right = column not in {"name", "axioms"}
        table.add_column(column, justify="right" if right else "left", no_wrap=column == "name")
    for stem in machine_checked():
        own = {name: found for name, found in assumed.items() if name.split(".")[0] == stem}
        beyond = sorted(frozenset[str]().union(*own.values()) - build.AXIOMS)
        lines = len((FOLDER / f"{stem}.v").read_text(encoding="utf-8").splitlines())
        said = ", ".join(["reals", *beyond])
        table.add_row(stem, str(len(own)), str(lines), f"{seconds[stem]:.1f}", said)
    Console().print(table)
    strange = build.unexpected(assumed)
    for name, extra in strange.items():
        print(f"{name} assumes {', '.join(sorted(extra))}, which is on no list", file=sys.stderr)
    return 1 if strange else 0


if __name__ == "__main__":
    sys.exit(main())
