r"""Check the proofs, print one, or render them.

python -m proofs               check all; the exit status is 1 if one fails
python -m proofs state_gap     print one, a theorem's or an activation's
python -m proofs --latex DIR   write one .tex file per theorem, and index.tex
python -m proofs --index       write proofs/INDEX.md, the table of all theorems
python -m proofs --new STEM    write the four files of a new theorem, and say what is left to do
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from proofs import PROOFS, prove, render, scaffold
from proofs.activations import EXAMPLES, FactProof
from proofs.activations import prove as prove_facts
from proofs.rocq import is_machine_checked
from proofs.steps import Proof, StepKind


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m proofs", description="Check the proofs.")
    parser.add_argument("name", nargs="?", help="print this proof only")
    parser.add_argument("--latex", metavar="DIR", type=Path, help="write .tex files here")
    parser.add_argument("--index", action="store_true", help="write proofs/INDEX.md")
    parser.add_argument("--new", metavar="STEM", help="write the four files of a new theorem")
    chosen = parser.parse_args(arguments)
    if chosen.new is not None:
        try:
            written = scaffold.write(chosen.new)
        except ValueError as error:
            parser.error(str(error))
        print("\n".join(f"wrote {path.relative_to(scaffold.ROOT)}" for path in written))
        print(f"\n{scaffold.what_is_left(chosen.new)}")
        return 0
    facts = {rho.name: rho for rho in EXAMPLES}
    if chosen.name is not None:
        if chosen.name not in PROOFS and chosen.name not in facts:
            parser.error(f"{chosen.name} is not one of: {', '.join([*PROOFS, *facts])}")
        one = prove(chosen.name) if chosen.name in PROOFS else prove_facts(facts[chosen.name])
        print(render.as_text(one))
        return 0 if one.ok else 1
    theorems = [prove(name) for name in PROOFS]
    if chosen.index:
        target = scaffold.ROOT / "proofs/INDEX.md"
        target.write_text(render.as_markdown(theorems), encoding="utf-8")
        print(f"wrote {target.relative_to(scaffold.ROOT)}")
    elif chosen.latex is not None:
        chosen.latex.mkdir(parents=True, exist_ok=True)
        for proof in theorems:
            path = chosen.latex / f"{proof.theorem.name}.tex"
            path.write_text(render.as_latex(proof), encoding="utf-8")
        (chosen.latex / "index.tex").write_text(render.index_latex(theorems), encoding="utf-8")
    else:
        return _report(theorems, [prove_facts(rho) for rho in EXAMPLES])
    return _status(theorems)


def _report(theorems: list[Proof], facts: list[FactProof]) -> int:
    table = Table(title="Proofs", padding=0)  # within 80 columns
    table.add_column("name", no_wrap=True)
    table.add_column("kind")
    for column in StepKind:
        table.add_column(column.value.replace("-", "-\n"), justify="right")
    table.add_column("in\nRocq", no_wrap=True)
    table.add_column("ok")
    everything: list[Proof | FactProof] = [*theorems, *facts]
    for proof in everything:
        named = proof.theorem if isinstance(proof, Proof) else proof.activation
        kind = proof.theorem.kind.value if isinstance(proof, Proof) else "facts"
        numbers = [str(proof.count(column)) for column in StepKind]
        machine = "yes" if is_machine_checked(named.name) else ""
        table.add_row(named.name, kind, *numbers, machine, "yes" if proof.ok else "NO")
    totals = [str(sum(proof.count(column) for proof in everything)) for column in StepKind]
    table.add_section()
    machine = str(sum(is_machine_checked(proof.theorem.name) for proof in theorems))
    table.add_row("all", "", *totals, machine, "yes" if _status(everything) == 0 else "NO")
    Console().print(table)
    for proof in everything:
        for problem in proof.problems:
            named = proof.theorem if isinstance(proof, Proof) else proof.activation
            print(f"{named.name}: {problem}")
    return _status(everything)


def _status(proofs: Sequence[Proof | FactProof]) -> int:
    return 0 if all(proof.ok for proof in proofs) else 1


if __name__ == "__main__":
    sys.exit(main())
