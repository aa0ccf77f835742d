r"""The Statement line of a theorem's docstring, read back as mathematics.

Main names: `Statement`, `read`, `agrees`.

The line is there for the eye, in Python syntax; the statement that the code relies on is `formula`.
Here the two are compared.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module
from typing import final

from sympy import Symbol, parse_expr

from proofs.decide import Expr, is_zero
from proofs.steps import begin
from theory.theorems.theorem import Theorem

#: A criterion bounds a stretch: its line ends with the distance that `formula` leaves out.
_DISTANCE = "* |h - g|"


@final
@dataclass(frozen=True, kw_only=True)
class Statement:
    """A statement, taken apart."""

    left: str  # the quantity, in words and bars
    relation: str  # <= or >=
    right: str  # the formula, in Python syntax


def read(theorem: Theorem, docstring: str | None = None) -> Statement:
    """Read the statement from the docstring of the theorem's module, or from the one given.

    Raises
    ------
    ValueError
        If there is no line "Statement", or no relation in it.
    """
    if docstring is None:
        docstring = import_module(f"theory.theorems.{theorem.name}").__doc__ or ""
    found = re.search(r"^Statement\s+(.*?)^Assumes\s", docstring, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError(f"{theorem.name}: no Statement before Assumes in the module's docstring")
    text = " ".join(found.group(1).split())
    parts = re.split(r"\s(<=|>=)\s", text)
    if len(parts) != 3:
        raise ValueError(f"{theorem.name}: needed one <= or >= in the statement, got {text!r}")
    return Statement(left=parts[0], relation=parts[1], right=parts[2])


def agrees(theorem: Theorem, docstring: str | None = None) -> bool:
    """Return whether the statement says what `formula` computes."""
    statement = read(theorem, docstring)
    right = statement.right
    if theorem.criterion:
        if not right.endswith(_DISTANCE):
            return False
        right = right.removesuffix(_DISTANCE)
    proof = begin(theorem, theorem.formula)
    try:
        # an unknown name stays a letter of its own, and no difference with it is zero
        parsed: Expr = parse_expr(right, local_dict=dict(proof.arguments))
    except SyntaxError:
        return False
    known = set(proof.arguments.values())
    letters = {s for s in parsed.free_symbols if isinstance(s, Symbol)}
    same = is_zero(parsed - proof.bound())
    return statement.relation == theorem.relation and letters <= known and same
