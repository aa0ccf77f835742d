r"""The theorems in Rocq, formerly Coq: one file a stem, beside a library that they share.

Main names: `is_machine_checked`, `machine_checked`.

    python -m proofs.rocq DIR          compile into DIR, and compare the axioms with a list
    python -m proofs.rocq --formulas   write formulas.v anew, from `formula` of each theorem

A file STEM.v states the theorem of that stem with its assumptions; its right-hand side is
`formulas.STEM`, which `proofs.rocq.printer` prints from `theory.theorems.STEM.formula`, so that a
wrong formula does not compile.  Witnesses, such as the orbit that attains a bound, are theorems of
the same file.  A theorem that has a file is *machine-checked*.
"""

from __future__ import annotations

from pathlib import Path

from theory.theorems import THEOREMS

FOLDER = Path(__file__).parent


def is_machine_checked(stem: str) -> bool:
    """Return whether a theorem is stated and proved in Rocq."""
    return (FOLDER / f"{stem}.v").is_file()


def machine_checked() -> tuple[str, ...]:
    """Return the stems of the theorems in Rocq, in reading order."""
    return tuple(theorem.name for theorem in THEOREMS if is_machine_checked(theorem.name))
