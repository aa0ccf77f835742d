r"""The proofs of the theorems, one file each with the theorem's own stem.

Main names: `prove`, `PROOFS`, `FACTS`.

    python -m proofs               check all
    python -m proofs state_gap     print one
    python -m proofs --latex DIR   render all
    python -m proofs --index       write proofs/INDEX.md
    python -m proofs --new STEM    write the four files of a new theorem

`proofs.rocq` holds the theorems that are machine-checked, in Rocq.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from theory.theorems import THEOREMS
from theory.theorems.theorem import Formula

if TYPE_CHECKING:
    from proofs.steps import Proof

#: The stems, in reading order.
PROOFS: tuple[str, ...] = tuple(theorem.name for theorem in THEOREMS)


def prove(name: str, formula: Formula | None = None) -> Proof:
    """Return the proof of a theorem by its stem, of another formula if one is given.

    Raises
    ------
    ValueError
        If there is no such theorem.
    """
    if name not in PROOFS:
        raise ValueError(f"theorem {name!r} is not known, needed one of: {', '.join(PROOFS)}")
    module = import_module(f"proofs.{name}")
    proof: Proof = module.prove() if formula is None else module.prove(formula)
    return proof
