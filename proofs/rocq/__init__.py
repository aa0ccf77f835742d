r"""The theorems in Rocq, formerly Coq: one file a stem, beside a library that they share.

Main names: `is_machine_checked`, `machine_checked`, `proved_in`.

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

#: Where facts are proved that the sympy proofs cite, by their references.
PROVED = {
    "definition of a norm": "library.metric_of",
    "Cauchy and Schwarz": "inner.cauchy_schwarz",
    "linearity of inner products": "inner.dot_sub_l",
    "Cauchy-Schwarz for C_ik / sqrt(t_ik) and sqrt(t_ik) y_ki, two terms below": (
        "contractive_of_multipliers.products"
    ),
}

#: What a theorem's own file proves on the way.  What is in neither stays cited: the chain rule is
#: how `tangent.v` defines gradients, and the theorems need nothing of Perron and Frobenius.
ON_THE_WAY = frozenset(
    {
        "definition",
        "definition of a supremum",
        "expansion of the block matrix's quadratic form, checked for two units below",
        "nothing is to be proved at 0",
    }
)


def is_machine_checked(stem: str) -> bool:
    """Return whether a theorem is stated and proved in Rocq."""
    return (FOLDER / f"{stem}.v").is_file()


def machine_checked() -> tuple[str, ...]:
    """Return the stems of the theorems in Rocq, in reading order."""
    return tuple(theorem.name for theorem in THEOREMS if is_machine_checked(theorem.name))


def proved_in(stem: str, reference: str) -> str:
    """Return FILE.LEMMA where the fact that a theorem's proof cites is proved, or nothing.

    Examples
    --------
    >>> proved_in("nearest_point_gap", "Cauchy and Schwarz")
    'inner.cauchy_schwarz'
    """
    if not is_machine_checked(stem):
        return ""
    return f"{stem}.{stem}" if reference in ON_THE_WAY else PROVED.get(reference, "")
